//! Row 16 of the matrix: memberships of dynamic segments come back with the contact, those of static ones do not.

use serde_json::{Value, json};

use crate::support::records::{
    ADMIN, all_of, contact, days_ago, entitled_account, event, in_list, property, segment, workflow,
};
use crate::support::{Database, Reaper, on_both};

fn of_type(processing_type: &str, mut segment: Value) -> Value {
    segment["processingType"] = json!(processing_type);
    segment
}

fn dynamic(id: i64, members: &[i64]) -> Value {
    of_type("DYNAMIC", segment(1, id, members))
}

fn cleanup() -> Value {
    property("cleanup", "STRING", "IS_EQUAL_TO", json!(["yes"]))
}

/// Contacts 1 to 3 are in the dynamic segment 2. All workflows delete whom `cleanup` names: 30 suppresses segment 2, 31
/// leaves its members out by its criteria, 20 has no protection.
async fn scene(db: &Database) -> Reaper {
    let reaper = Reaper::new(db).unguarded();
    let mut records = entitled_account(1);
    let mut suppressing = workflow(1, 30, &all_of(&[cleanup()]));
    suppressing["flow"]["suppressionListIds"] = json!(["2"]);
    records.extend([
        workflow(1, 20, &all_of(&[cleanup()])),
        suppressing,
        workflow(1, 31, &all_of(&[cleanup(), in_list(2, "NOT_IN_LIST")])),
    ]);
    records.extend((1..=3).map(|id| contact(1, id, json!({"cleanup": "yes"}))));
    records.push(dynamic(2, &[1, 2, 3]));
    reaper.import(&records).await;
    reaper
}

/// Lets the restores be long ago, so that what was enrolled just now was enrolled after them.
async fn restored_long_ago(db: &Database) {
    db.execute(
        "UPDATE contacts SET restored_at = '2020-01-01T00:00:00.000000Z' WHERE restored_at IS NOT NULL",
    )
    .await;
}

async fn segments_of(reaper: &Reaper, id: i64) -> Value {
    reaper.contact(1, id).await["visible"]["segments"].clone()
}

async fn members(reaper: &Reaper, id: &str) -> Value {
    let page = reaper.json(&["inspect", "page", "segment", "--account", "1", "--id", id]).await;
    page["rows"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect()
}

on_both!(a_suppression_segment_protects_a_restored_contact, async |db: Database| {
    let reaper = scene(&db).await;
    reaper.decide(&[event(1, 20, 1, 9001), event(1, 20, 2, 9002)]).await;
    for id in [1, 2] {
        assert_eq!(reaper.state(1, id).await, "in_trash");
        reaper.restore(1, id).await;
    }
    restored_long_ago(&db).await;
    reaper.decide(&[event(1, 30, 1, 9003), event(1, 31, 2, 9004)]).await;
    let why = async |enrollment| reaper.decision(1, enrollment).await["reason"].clone();
    assert_eq!((why(9003).await, why(9004).await), (json!("suppressed"), json!("criteria_not_met")));
    assert_eq!((reaper.state(1, 1).await, reaper.state(1, 2).await), ("live".to_owned(), "live".to_owned()));
});

on_both!(memberships_of_dynamic_segments_are_hidden_and_come_back, async |db: Database| {
    let reaper = scene(&db).await;
    reaper
        .import(&[
            segment(1, 4, &[1, 2]),
            of_type("SNAPSHOT", segment(1, 5, &[1, 2])),
            dynamic(6, &[1]),
            dynamic(7, &[1, 2]),
        ])
        .await;
    assert_eq!(segments_of(&reaper, 1).await, json!(["2", "4", "5", "6", "7"]));
    reaper.delete(1, 1).await;
    assert_eq!(segments_of(&reaper, 1).await, json!([]));
    assert_eq!((members(&reaper, "2").await, members(&reaper, "6").await), (json!(["2", "3"]), json!([])));
    // A delete of the segment takes the live ones alone.
    let user = ADMIN.to_string();
    let delete = |confirm: &'static str| {
        let (reaper, user) = (&reaper, user.as_str());
        async move {
            let delete = ["delete", "--account", "1", "--as", user, "--segment", "2", "--confirm", confirm];
            reaper.run(&delete).await.code
        }
    };
    assert_eq!((delete("3").await, delete("2").await), (1, 0));
    // It becomes a static segment while its members are in the trash.
    reaper.import(&[segment(1, 7, &[1, 2])]).await;
    for id in [1, 2, 3] {
        reaper.restore(1, id).await;
    }
    assert_eq!(segments_of(&reaper, 1).await, json!(["2", "6"]));
    assert_eq!(segments_of(&reaper, 2).await, json!(["2"]));
    assert_eq!(members(&reaper, "2").await, json!(["1", "2", "3"]));
    for id in ["4", "5", "7"] {
        assert_eq!(members(&reaper, id).await, json!([]), "segment {id}");
    }
});

on_both!(an_import_keeps_the_hidden_memberships_of_a_contact_in_the_trash, async |db: Database| {
    let reaper = scene(&db).await;
    reaper.delete(1, 1).await;
    // As the CRM tells of the segment meanwhile: without the contact in the trash, and without contact 3, who left it.
    reaper.import(&[dynamic(2, &[2])]).await;
    reaper.restore(1, 1).await;
    assert_eq!(members(&reaper, "2").await, json!(["1", "2"]));
    // A live contact that the record does not name is in it no more.
    reaper.import(&[dynamic(2, &[2])]).await;
    assert_eq!(members(&reaper, "2").await, json!(["2"]));
});

on_both!(a_contact_that_arrives_in_the_trash_has_its_dynamic_segments_in_any_order, async |db: Database| {
    let reaper = scene(&db).await;
    let archived = |id| {
        let mut archived = contact(1, id, json!({}));
        archived["archived"] = json!(true);
        archived["archivedAt"] = json!(days_ago(3));
        archived
    };
    reaper.import(&[archived(11), dynamic(8, &[11, 12]), segment(1, 9, &[11, 12]), archived(12)]).await;
    assert_eq!((members(&reaper, "8").await, members(&reaper, "9").await), (json!([]), json!([])));
    for id in [11, 12] {
        reaper.restore(1, id).await;
        assert_eq!(segments_of(&reaper, id).await, json!(["8"]), "contact {id}");
    }
});

on_both!(an_erased_or_purged_contact_is_in_no_segment, async |db: Database| {
    let reaper = scene(&db).await;
    for id in [1, 2] {
        reaper.delete(1, id).await;
    }
    let erase = ["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"];
    assert_eq!(reaper.run(&erase).await.code, 0);
    db.execute(
        "UPDATE contacts SET deleted_at = '2020-01-01T00:00:00.000000Z' WHERE contact_id = 2; \
         UPDATE trash_entries SET deleted_at = '2020-01-01T00:00:00.000000Z' WHERE contact_id = 2",
    )
    .await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(reaper.state(1, 2).await, "purged");
    reaper.import(&[dynamic(2, &[1, 2, 3])]).await;
    let rows = db.rows("SELECT CAST(contact_id AS text) FROM segment_members").await;
    assert_eq!(rows, [["3"]]);
});
