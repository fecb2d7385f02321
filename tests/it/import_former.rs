//! Values that an import replaces stay in the history, and unnamed properties of partial records are unknown.

use std::time::Duration;

use contact_reaper::store::import::{Import, Pace, Phase, Progress, Source};
use serde_json::{Value, json};

use crate::support::records::{all_of, contact, days_ago, entitled_account, lines, property, workflow};
use crate::support::{Database, Reaper, TempDir, on_both};

/// Account 1 with workflows 7, 8 and 9: never a customer; not changed in a month; changed in a month.
fn by_history() -> Vec<Value> {
    let never = property("lifecyclestage", "ENUMERATION", "HAS_NEVER_BEEN_ANY_OF", json!(["customer"]));
    let rolling = |operator: &str| {
        json!({"filterType": "PROPERTY", "property": "plan", "operation": {"operationType": "ROLLING_PROPERTY_UPDATED",
            "operator": operator, "numberOfDays": 30, "includeObjectsWithNoValueSet": false}})
    };
    let flows = [
        workflow(1, 7, &all_of(&[never])),
        workflow(1, 8, &all_of(&[rolling("NOT_UPDATED_IN_LAST_X_DAYS")])),
        workflow(1, 9, &all_of(&[rolling("UPDATED_IN_LAST_X_DAYS")])),
    ];
    [&entitled_account(1)[..], &flows].concat()
}

async fn explained(reaper: &Reaper, workflow: i64, contact: i64) -> String {
    let (workflow, contact) = (workflow.to_string(), contact.to_string());
    let it =
        reaper.json(&["explain", "--account", "1", "--workflow", &workflow, "--contact", &contact]).await;
    let text = |member: &str| it[member].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("verdict"), text("reason")).trim().to_owned()
}

fn made_long_ago(id: i64, properties: Value) -> Value {
    let mut made = contact(1, id, properties);
    made["createdAt"] = json!(days_ago(400));
    made["updatedAt"] = json!(days_ago(300));
    made
}

on_both!(replaced_values_stay_in_the_history, async |db: Database| {
    let reaper = Reaper::new(&db);
    let first = [1, 2, 3].map(|id| made_long_ago(id, json!({"lifecyclestage": "customer", "plan": "gold"})));
    reaper.import(&[&by_history()[..], &first].concat()).await;
    assert_eq!(explained(&reaper, 8, 1).await, "delete", "not changed since it was created");
    let mut changed = contact(1, 1, json!({"lifecyclestage": "other", "plan": "free"}));
    changed["createdAt"] = json!(days_ago(400));
    let partial = json!({"kind": "contact", "accountId": "1", "id": "2", "partial": true,
        "properties": {"lifecyclestage": "other", "plan": "free"}});
    // One that says when it was changed.
    let mut dated = made_long_ago(3, json!({"lifecyclestage": "other", "plan": "free"}));
    dated["updatedAt"] = json!(days_ago(60));
    for _ in 0..2 {
        reaper.import(&[changed.clone(), partial.clone(), dated.clone()]).await;
        for id in [1, 2] {
            assert_eq!(explained(&reaper, 7, id).await, "skip criteria_not_met", "it was a customer");
            assert_eq!(explained(&reaper, 8, id).await, "skip criteria_not_met", "it changed just now");
            assert_eq!(explained(&reaper, 9, id).await, "delete");
        }
        assert_eq!(explained(&reaper, 7, 3).await, "skip criteria_not_met");
        assert_eq!(explained(&reaper, 8, 3).await, "delete", "it changed two months ago");
    }
    let history = "SELECT CAST(contact_id AS text), history -> 'plan' -> 0 ->> 'value', history -> 'plan' -> 1 ->> 'value', \
                   coalesce(history -> 'plan' -> 2 ->> 'value', 'none') FROM contacts ORDER BY contact_id";
    let expected = ["1", "2", "3"].map(|id| [id, "gold", "free", "none"]);
    assert_eq!(db.rows(history).await, expected, "once, however often the same is imported");
});

on_both!(change_is_dated_by_the_record_or_the_import, async |db: Database| {
    let reaper = Reaper::new(&db);
    let part = |id: i64, properties: Value| json!({"kind": "contact", "accountId": "1", "id": id.to_string(), "partial": true, "properties": properties});
    let mut known = made_long_ago(2, json!({"plan": "gold"}));
    known["propertiesWithHistory"] = json!({"plan": [{"value": "gold", "timestamp": days_ago(380)}, {"value": "free", "timestamp": days_ago(390)}]});
    let first = [made_long_ago(1, json!({})), known];
    reaper.import(&[&by_history()[..], &first].concat()).await;
    reaper.import(&[part(1, json!({"plan": "free"})), part(2, json!({"plan": "free"}))]).await;
    for id in [1, 2] {
        assert_eq!(explained(&reaper, 8, id).await, "skip criteria_not_met", "contact {id}");
        assert_eq!(explained(&reaper, 9, id).await, "delete", "contact {id}");
    }
    // The CRM's own history, when it comes, is believed instead.
    let mut told = made_long_ago(2, json!({"plan": "free"}));
    told["propertiesWithHistory"] = json!({"plan": [{"value": "free", "timestamp": days_ago(100)}, {"value": "gold", "timestamp": days_ago(380)}]});
    reaper.import(&[told]).await;
    assert_eq!(explained(&reaper, 8, 2).await, "delete");
    assert_eq!(explained(&reaper, 9, 2).await, "skip criteria_not_met");
});

on_both!(reimport_of_a_file_with_repeated_contacts_changes_nothing, async |db: Database| {
    let reaper = Reaper::new(&db);
    let part = |id: i64, plan: &str| json!({"kind": "contact", "accountId": "1", "id": id.to_string(), "partial": true, "properties": {"plan": plan}});
    let dated = |id: i64, plan: &str, days: i64| {
        let mut it = made_long_ago(id, json!({"plan": plan}));
        it["updatedAt"] = json!(days_ago(days));
        it
    };
    let undated = |id: i64, plan: &str| {
        let mut it = contact(1, id, json!({"plan": plan}));
        it["createdAt"] = json!(days_ago(400));
        it
    };
    let file = [
        dated(1, "gold", 200),
        dated(1, "free", 100),
        undated(2, "gold"),
        undated(2, "free"),
        undated(3, "gold"),
        part(3, "free"),
        part(3, "none"),
    ];
    reaper.import(&[&by_history()[..], &file].concat()).await;
    let ids = "SELECT CAST(contact_id AS text), CAST(properties AS text), CAST(history AS text) FROM contacts ORDER BY contact_id";
    let contacts = db.rows(ids).await;
    for _ in 0..2 {
        reaper.import(&file).await;
        assert_eq!(db.rows(ids).await, contacts);
    }
    assert_eq!(explained(&reaper, 8, 1).await, "delete", "it changed a hundred days ago");
});

on_both!(history_without_the_current_value_leaves_the_change_time_unknown, async |db: Database| {
    let reaper = Reaper::new(&db);
    let with_history = |id: i64, value: &str| {
        let mut it = made_long_ago(id, json!({"lifecyclestage": "other", "plan": "free"}));
        it["propertiesWithHistory"] = json!({"plan": [{"value": value, "timestamp": days_ago(200)}]});
        it
    };
    reaper.import(&[&by_history()[..], &[with_history(1, "gold"), with_history(2, "free")]].concat()).await;
    for workflow in [8, 9] {
        assert_eq!(explained(&reaper, workflow, 1).await, "refuse criteria_unsupported");
    }
    assert_eq!(explained(&reaper, 8, 2).await, "delete");
    assert_eq!(explained(&reaper, 9, 2).await, "skip criteria_not_met");
});

on_both!(unnamed_properties_of_a_partial_record_are_unknown, async |db: Database| {
    let reaper = Reaper::new(&db);
    let no_plan = json!({"filterType": "PROPERTY", "property": "plan",
        "operation": {"operationType": "ALL_PROPERTY", "operator": "IS_UNKNOWN", "includeObjectsWithNoValueSet": false}});
    let not_gold = json!({"filterType": "PROPERTY", "property": "plan", "operation": {"operationType": "ENUMERATION",
        "operator": "IS_NONE_OF", "values": ["gold"], "includeObjectsWithNoValueSet": true}});
    let firm = json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": "0-2",
        "operator": "IN_LIST", "filterBranches": [], "filters": [no_plan]});
    let firms = json!({"filterBranchType": "OR", "filterBranchOperator": "OR", "filters": [], "filterBranches": [
        {"filterBranchType": "AND", "filterBranchOperator": "AND", "filters": [], "filterBranches": [firm]}]});
    let flows =
        [workflow(1, 7, &all_of(&[no_plan])), workflow(1, 8, &all_of(&[not_gold])), workflow(1, 9, &firms)];
    let company = |partial: bool| json!({"kind": "company", "accountId": "1", "id": "5", "partial": partial, "properties": {"name": "Works"}});
    let known = [
        contact(1, 1, json!({"plan": "gold"})),
        json!({"kind": "company", "accountId": "1", "id": "6", "properties": {"plan": "gold"}}),
        json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "2"}, "to": {"type": "company", "id": "5"}}),
    ];
    let mut part = contact(1, 2, json!({"firstname": "Bo"}));
    part["partial"] = json!(true);
    let own = [part.clone(), company(true)];
    reaper.import(&[&entitled_account(1)[..], &flows, &own, &known].concat()).await;
    for round in 0..2 {
        for workflow in [7, 8, 9] {
            let verdict = explained(&reaper, workflow, 2).await;
            assert_eq!(verdict, "refuse criteria_unsupported", "workflow {workflow}, round {round}");
        }
        // Another part does not make it whole.
        part["properties"] = json!({"lastname": "Ray"});
        reaper.import(&[part.clone()]).await;
    }
    // Named without a value it is known to have none, in the first part of a contact and in a later one.
    for (contact_id, parts) in [
        (4, vec![json!({"plan": null})]),
        (5, vec![json!({"firstname": "Cy"}), json!({"plan": null})]),
        (6, vec![json!({"plan": "gold"}), json!({"plan": null})]),
    ] {
        let mut part = contact(1, contact_id, json!({}));
        part["partial"] = json!(true);
        for properties in parts {
            part["properties"] = properties;
            reaper.import(&[part.clone()]).await;
        }
        for workflow in [7, 8] {
            assert_eq!(explained(&reaper, workflow, contact_id).await, "delete", "contact {contact_id}");
        }
    }
    // What is told at last has come nobody knows when; of the addresses too nobody told.
    let now = json!({"filterType": "PROPERTY", "property": "plan", "operation": {"operationType": "ROLLING_PROPERTY_UPDATED",
        "operator": "UPDATED_IN_LAST_X_DAYS", "numberOfDays": 30, "includeObjectsWithNoValueSet": false}});
    let mailless = json!({"filterType": "PROPERTY", "property": "hs_additional_emails",
        "operation": {"operationType": "ALL_PROPERTY", "operator": "IS_UNKNOWN", "includeObjectsWithNoValueSet": false}});
    let mut later = contact(1, 3, json!({"firstname": "Al"}));
    later["partial"] = json!(true);
    reaper
        .import(&[workflow(1, 10, &all_of(&[now])), workflow(1, 11, &all_of(&[mailless])), later.clone()])
        .await;
    later["properties"] = json!({"plan": "gold"});
    reaper.import(&[later]).await;
    for workflow in [10, 11] {
        assert_eq!(
            explained(&reaper, workflow, 3).await,
            "refuse criteria_unsupported",
            "workflow {workflow}"
        );
    }

    reaper.import(&[contact(1, 2, json!({"firstname": "Bo"})), company(false)]).await;
    part["properties"] = json!({"lastname": "Ray"});
    reaper.import(&[part]).await;
    for workflow in [7, 8, 9] {
        assert_eq!(explained(&reaper, workflow, 2).await, "delete", "workflow {workflow}");
    }
});

on_both!(erasure_finds_replaced_identifiers, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut ann = contact(
        1,
        1,
        json!({"email": "ann@old.example", "firstname": "Annabel", "lastname": "Leeson",
        "phone": "+44 20 7946 0991", "work_email": "office@old.example"}),
    );
    ann["additionalEmails"] = json!(["annie@second.example"]);
    ann["properties"]["hs_additional_emails"] = json!("fourth@x.example");
    let text = "Annabel Leeson, ann@old.example, annie@second.example, third@x.example, +44 20 7946 0991, Annabel Lee, fourth@x.example";
    let note = json!({"kind": "activity", "accountId": "1", "id": "70", "type": "note", "timestamp": days_ago(2),
        "properties": {"hs_note_body": text}, "associations": [{"type": "contact", "id": "1"}, {"type": "company", "id": "9"}]});
    let bounced = json!({"kind": "deliverability", "accountId": "1", "email": "annie@second.example",
        "status": "bounced", "at": days_ago(3)});
    let company = json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"name": "Works"}});
    reaper.import(&[&entitled_account(1)[..], &[ann, company, note, bounced]].concat()).await;
    // All of it is replaced, in two ways, and then once more.
    let mut partial =
        json!({"kind": "contact", "accountId": "1", "id": "1", "partial": true, "properties": {}});
    partial["additionalEmails"] = json!(["third@x.example"]);
    reaper.import(&[partial]).await;
    let new = contact(
        1,
        1,
        json!({"email": "ann@new.example", "firstname": "Ann", "lastname": "Lee", "phone": "+44 20 7946 0000"}),
    );
    reaper.import(&[new]).await;
    let output =
        reaper.run(&["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let dump = format!("{:?}", db.dump(&[]).await);
    for trace in
        ["old.example", "second.example", "third@", "fourth@", "Annabel", "Leeson", "7946 0991", "ann@new"]
    {
        assert!(!dump.contains(trace), "{trace} is left: {dump}");
    }
    assert_eq!(
        db.rows("SELECT properties ->> 'hs_note_body' FROM activities").await,
        [["[redacted], [redacted], [redacted], [redacted], [redacted], [redacted], [redacted]"]]
    );
    assert_eq!(db.count("deliverability", "TRUE").await, 0);
});

on_both!(line_rewritten_during_the_import_is_rejected, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&entitled_account(1)).await;
    let dir = TempDir::new();
    let path = dir.path().join("contacts.jsonl");
    let people = [(1, "Ada"), (2, "Bob")].map(|(id, name)| contact(1, id, json!({"firstname": name})));
    // Of one kind, in two pieces.
    let file = lines(&[&people[..1], &people].concat());
    std::fs::write(&path, &file).unwrap();
    let source = Source::open(&path).unwrap();
    let pace = Pace { chunk: Duration::ZERO, ..Pace::default() };
    let import = Import { source: &source, operator: "me", pace, ends_others: false };
    let store = db.open();
    let mut rewrite = |progress: Progress| {
        if progress.phase == Phase::Apply && progress.done == 1 {
            std::fs::write(&path, file.replace("Bob", "Eve")).unwrap();
        }
    };
    let refused = store.import(import, &mut rewrite).await.unwrap_err().to_string();
    assert!(refused.starts_with("line 3: is not what it was when the file was checked"), "{refused}");
    assert_eq!(db.rows("SELECT properties ->> 'firstname' FROM contacts").await, [["Ada"]]);
    store.close().await;
});

on_both!(primary_association_survives_the_unlabelled_type, async |db: Database| {
    let reaper = Reaper::new(&db);
    let tie = |contact: &str, outward: bool, id: &str| {
        let (one, other) = (json!({"type": "contact", "id": contact}), json!({"type": "company", "id": "9"}));
        let (from, to) = if outward { (one, other) } else { (other, one) };
        json!({"kind": "association", "accountId": "1", "from": from, "to": to, "associationTypeId": id})
    };
    let company = json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"name": "Works"}});
    let ties = [
        [tie("1", true, "1"), tie("1", true, "279")],
        [tie("2", true, "279"), tie("2", true, "1")],
        [tie("3", false, "2"), tie("3", false, "280")],
        // Of two others the last one counts.
        [tie("4", true, "17"), tie("4", true, "279")],
    ];
    let people = [1, 2, 3, 4].map(|id| contact(1, id, json!({})));
    for _ in 0..2 {
        reaper
            .import(
                &[&entitled_account(1)[..], &people, std::slice::from_ref(&company), &ties.concat()].concat(),
            )
            .await;
        let carried = "SELECT association_type_id FROM associations ORDER BY from_type DESC, from_id, to_id";
        assert_eq!(db.rows(carried).await, [["1"], ["1"], ["279"], ["2"]]);
    }
    let wordy = tie("1", true, "ada@x.example");
    let said = reaper.refused_with_input(&["import", "-"], &lines(&[wordy])).await;
    assert!(said.contains("associationTypeId: must be an id such as 279"), "{said}");
    assert!(!said.contains("ada@x.example"), "{said}");
});
