//! What becomes of a contact in the trash and after it: who sees what, and what comes back.

use serde_json::{Value, json};

use crate::support::every_category::every_category;
use crate::support::records::{
    ADMIN, all_of, contact, days_ago, entitled_account, event, property, workflow,
};
use crate::support::{Database, Reaper, on_both};

/// What `inspect contact` shows of contact 1 of `every_category`.
fn everything() -> Value {
    json!({
        "activities": ["40", "41", "50", "51", "52"],
        "analytics": ["22", "57"],
        "associations": ["activity:13", "activity:40", "activity:41", "activity:42", "activity:50", "activity:51",
            "activity:52", "activity:53", "activity:54", "company:10:primary", "contact:3:colleague"],
        "bots": ["55"],
        "suppressions": ["bounced:contact1@account1.example"],
        "calls": ["13", "53"],
        "conversations": ["14"],
        "customEvents": ["21"],
        "emails": ["42", "54"],
        "feedback": ["23"],
        "files": ["15", "43", "56"],
        "formSubmissions": ["16"],
        "integrations": ["shop"],
        "lifecycleTransitions": ["lead@2026-01-04T10:00:00.000000Z"],
        "segments": ["4", "7"],
        "notifications": ["5"],
        "quotes": ["17", "44"],
        "workflows": ["6"],
    })
}

/// What it shows of contact 3, the neighbour.
fn neighbours() -> Value {
    json!({
        "activities": ["41", "60"], "analytics": ["65"],
        "associations": ["activity:41", "activity:60", "activity:61", "contact:1:colleague"],
        "bots": ["62"], "suppressions": ["unsubscribed:contact3@account1.example"], "calls": ["61"],
        "conversations": ["63"], "customEvents": ["64"], "emails": [], "feedback": ["66"], "files": ["43", "68"],
        "formSubmissions": ["67"], "integrations": ["shop"],
        "lifecycleTransitions": ["lead@2026-01-06T10:00:00.000000Z"], "segments": ["7"], "notifications": ["35"],
        "quotes": ["44"], "workflows": ["6"],
    })
}

/// Nothing in any category.
fn nothing() -> Value {
    everything().as_object().unwrap().keys().map(|category| (category.clone(), json!([]))).collect()
}

fn without(mut visible: Value, category: &str, members: &[&str]) -> Value {
    visible[category].as_array_mut().unwrap().retain(|member| !members.contains(&member.as_str().unwrap()));
    visible
}

async fn visible(reaper: &Reaper, contact: i64) -> Value {
    reaper.contact(1, contact).await["visible"].clone()
}

on_both!(
    a_contact_in_the_trash_shows_its_notifications_only_and_comes_back_as_it_was,
    async |db: Database| {
        let reaper = Reaper::new(&db);
        reaper.import(&every_category(1)).await;
        assert_eq!(visible(&reaper, 1).await, everything());
        assert_eq!(visible(&reaper, 3).await, neighbours());
        let live = reaper.contact(1, 1).await;
        // What these two do to other tables than these is nothing at all.
        let others = [
            "contacts",
            "contact_counts",
            "manual_stages",
            "segment_members",
            "workflow_enrollments",
            "trash_entries",
            "deletions",
            "outbox",
            "audit",
        ];
        let before = db.dump(&others).await;
        let created_at =
            "SELECT CAST(created_at AS text), CAST(history AS text) FROM contacts WHERE contact_id = 1";
        let contact_data = db.rows(created_at).await;

        reaper.delete(1, 1).await;
        let mut shown = nothing();
        shown["notifications"] = json!(["5"]);
        let trashed = reaper.contact(1, 1).await;
        assert_eq!((&trashed["state"], &trashed["visible"]), (&json!("in_trash"), &shown));
        assert_eq!(trashed["properties"], live["properties"]);
        assert_eq!(trashed["trash"]["deletedBy"], json!({"kind": "user", "userId": "1"}));
        assert_eq!(
            visible(&reaper, 3).await,
            without(neighbours(), "associations", &["contact:1:colleague"])
        );

        reaper.restore(1, 1).await;
        let mut back = everything();
        back["segments"] = json!([]);
        back["workflows"] = json!([]);
        let restored = reaper.contact(1, 1).await;
        assert_eq!(restored["visible"], back);
        assert_eq!((&restored["state"], &restored["trash"]), (&json!("live"), &Value::Null));
        assert_eq!(restored["properties"], live["properties"]);
        assert_eq!(visible(&reaper, 3).await, neighbours());
        db.assert_unchanged_since(&before).await;
        assert_eq!(db.rows(created_at).await, contact_data);
    }
);

on_both!(an_association_shows_if_and_only_if_both_its_ends_live, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&every_category(1)).await;
    let shown = async || {
        let one = visible(&reaper, 1).await["associations"]
            .as_array()
            .unwrap()
            .contains(&json!("contact:3:colleague"));
        let three = visible(&reaper, 3).await["associations"]
            .as_array()
            .unwrap()
            .contains(&json!("contact:1:colleague"));
        (one, three)
    };
    assert_eq!(shown().await, (true, true));
    reaper.delete(1, 3).await;
    assert_eq!(shown().await, (false, false));
    assert_eq!(visible(&reaper, 1).await["activities"], everything()["activities"], "the rest stays");
    reaper.delete(1, 1).await;
    // The first to come back does not see the other yet.
    reaper.restore(1, 3).await;
    assert_eq!(shown().await, (false, false));
    reaper.restore(1, 1).await;
    assert_eq!(shown().await, (true, true));
});

on_both!(the_trash_list_says_who_when_and_until_when_newest_first, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut archived = contact(1, 4, json!({}));
    archived["archived"] = json!(true);
    archived["archivedAt"] = json!("2026-11-01T10:00:00Z");
    let everybody = all_of(&[property("email", "ALL_PROPERTY", "IS_KNOWN", Value::Null)]);
    let mut records = [entitled_account(1), entitled_account(2)].concat();
    records.extend([workflow(1, 6, &everybody), contact(1, 1, json!({})), contact(1, 2, json!({}))]);
    records.extend([contact(1, 3, json!({})), contact(2, 1, json!({})), archived]);
    reaper.import(&records).await;
    reaper.delete(1, 1).await;
    reaper.delete(2, 1).await;
    reaper.decide(&[event(1, 6, 2, 77)]).await;
    reaper.delete(1, 3).await;
    reaper.restore(1, 3).await;

    let list = reaper.json(&["trash", "list", "--account", "1"]).await;
    let rows = list.as_array().unwrap();
    let by = |row: &Value| (row["contactId"].clone(), row["deletedBy"].clone());
    let expected = [
        (json!("2"), json!({"kind": "workflow", "workflowId": "6", "enrollmentId": "77"})),
        (json!("1"), json!({"kind": "user", "userId": ADMIN.to_string()})),
        (json!("4"), json!({"kind": "import"})),
    ];
    assert_eq!(rows.iter().map(by).collect::<Vec<_>>(), expected);
    for row in rows {
        let members: Vec<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(members, ["contactId", "deletedAt", "deletedBy", "entryId", "purgeAt"]);
        let contact: i64 = row["contactId"].as_str().unwrap().parse().unwrap();
        let trash = &reaper.contact(1, contact).await["trash"];
        assert_eq!(
            [&row["entryId"], &row["deletedAt"], &row["purgeAt"]],
            [&trash["entryId"], &trash["deletedAt"], &trash["purgeAt"]]
        );
    }
    // 90 days of 24 hours.
    assert_eq!(
        (&rows[2]["deletedAt"], &rows[2]["purgeAt"]),
        (&json!("2026-11-01T10:00:00.000000Z"), &json!("2027-01-30T10:00:00.000000Z"))
    );
    let listed = async |args: &[&str]| -> usize {
        reaper.json(&[&["trash", "list"], args].concat()).await.as_array().unwrap().len()
    };
    assert_eq!(listed(&["--account", "1"]).await, 3);
    assert_eq!(listed(&["--account", "2"]).await, 1);
    assert_eq!(listed(&["--account", "1", "--workflow", "6"]).await, 1);
    assert_eq!(reaper.json(&["trash", "list", "--account", "1", "--limit", "1"]).await, json!([rows[0]]));
});

on_both!(what_is_written_about_a_deed_names_ids_and_never_the_person, async |db: Database| {
    let reaper = Reaper::new(&db);
    let person = |id: i64| {
        let mut record = contact(
            1,
            id,
            json!({"firstname": "Zebulon", "lastname": "Quackenbush", "phone": "555-0199",
            "email": format!("Zeb{id}@Example.com")}),
        );
        record["additionalEmails"] = json!([format!("zq{id}@home.example")]);
        record
    };
    let mut old = person(3);
    old["archived"] = json!(true);
    old["archivedAt"] = json!(days_ago(91));
    let mut records = entitled_account(1);
    let named = all_of(&[property("firstname", "STRING", "IS_EQUAL_TO", json!("zebulon"))]);
    records.extend([workflow(1, 6, &named), person(1), person(2), old]);
    reaper.import(&records).await;
    reaper.decide(&[event(1, 6, 1, 1), event(1, 6, 9, 2), event(1, 7, 2, 3)]).await;
    let by_address = ["--account", "1", "--as", "user1@account1.example", "--contact", "2"];
    reaper.json(&[&["delete"], &by_address[..], &["--confirm", "1"]].concat()).await;
    reaper.json(&[&["restore"], &by_address[..]].concat()).await;
    reaper.json(&["retention", "run"]).await;

    let account_1 = |action: &str, actor: &str, ids: Value| json!({"accountId": "1", "actor": actor, "action": action, "ids": ids, "count": 1});
    let mut audit = reaper.json(&["audit", "list", "--account", "1"]).await;
    for row in audit.as_array_mut().unwrap() {
        assert!(row.as_object_mut().unwrap().remove("at").is_some());
    }
    let mut by_a_person = account_1("trash", "user:1", json!(["2"]));
    by_a_person["deletionId"] = json!("1");
    let expected = [
        account_1("purge", "job:purge_trash", json!(["3"])),
        account_1("restore", "user:1", json!(["2"])),
        by_a_person,
        account_1("trash", "workflow:6", json!(["1"])),
    ];
    assert_eq!(audit, json!(expected));
    assert_eq!(db.count("outbox", "type = 'contact.deletion'").await, 2);
    assert_eq!(db.count("outbox", "type = 'contact.restore'").await, 1);
    assert_eq!(db.count("ledger", "TRUE").await, 3);
    for table in
        ["audit", "outbox", "ledger", "trash_entries", "deletions", "gone_contacts", "job_runs", "leases"]
    {
        let rows = db.table(table).await;
        assert!(!rows.is_empty(), "{table} has rows to look at");
        for row in rows {
            let row = row.to_lowercase();
            for trace in ["zebulon", "quackenbush", "555-0199", "zeb1", "zeb2", "zeb3", "zq", "@"] {
                assert!(!row.contains(trace), "{table} holds {trace}: {row}");
            }
        }
    }
});
