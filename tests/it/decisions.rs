//! From an event to a decision: every outcome and reason, through the service, as the ledger shows it.

use serde_json::{Value, json};

use crate::support::records::{
    account, activity, all_of, contact, days_ago, enrollment, entitled_account, event, in_list,
    manual_workflow, property, segment, subscription, workflow,
};
use crate::support::{Database, Reaper, on_both};

/// What a decision may change, and what the service keeps for itself.
const CHANGED: [&str; 12] = [
    "ledger",
    "contacts",
    "contact_emails",
    "trash_entries",
    "outbox",
    "audit",
    "job_runs",
    "clock",
    "leases",
    "contact_counts",
    "guard_counts",
    "guarded_accounts",
];

/// A workflow that deletes everybody whose first name is Ada.
fn deletes_ada(account: i64, id: i64) -> Value {
    workflow(account, id, &all_of(&[property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"))]))
}

fn ada(account: i64, id: i64) -> Value {
    contact(account, id, json!({"firstname": "Ada"}))
}

/// An event with members of its data replaced.
fn event_with(account: i64, workflow: i64, contact: i64, enrollment: i64, data: Value) -> Value {
    let mut event = event(account, workflow, contact, enrollment);
    let Value::Object(data) = data else { panic!("an object: {data}") };
    event["data"].as_object_mut().unwrap().extend(data);
    event
}

/// Account 1, entitled, with a workflow 6 that deletes Adas, and these.
async fn with(db: &Database, records: &[Value]) -> Reaper {
    let reaper = Reaper::new(db);
    let mut all = entitled_account(1);
    all.push(deletes_ada(1, 6));
    all.extend_from_slice(records);
    reaper.import(&all).await;
    reaper
}

/// An account of which no workflow deletes; its workflow 6 is on, 8 is off, 7 is no contact workflow.
fn account_two() -> Vec<Value> {
    let (mut off, mut other) = (deletes_ada(2, 8), deletes_ada(2, 7));
    off["flow"]["isEnabled"] = json!(false);
    other["flow"]["isEnabled"] = json!(false);
    other["flow"]["type"] = json!("PLATFORM_FLOW");
    vec![account(2), deletes_ada(2, 6), off, other, ada(2, 10)]
}

on_both!(the_first_check_that_fails_decides_and_the_ledger_says_why, async |db: Database| {
    let mut archived = [ada(1, 12), ada(1, 13)];
    for (record, days) in archived.iter_mut().zip([3, 91]) {
        record["archived"] = json!(true);
        record["archivedAt"] = json!(days_ago(days));
    }
    let mut unsupported = deletes_ada(1, 9);
    unsupported["flow"]["timeWindows"] = json!([{"day": "HOLIDAY"}]);
    let mut records = account_two();
    records.extend(archived);
    records.push(unsupported);
    records.extend([ada(1, 10), contact(1, 11, json!({})), ada(1, 14), ada(1, 15), ada(1, 16), ada(1, 17)]);
    records.extend([enrollment(1, 6, 15, true), enrollment(1, 6, 15, false), enrollment(1, 6, 16, false)]);
    let reaper = with(&db, &records).await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    reaper.delete(1, 14).await;
    reaper.restore(1, 14).await;

    let old = days_ago(121);
    // Each fails its own check and, where it can, all that follow.
    let cases = [
        (
            event_with(99, 90, 10, 1, json!({"enrolledAt": old, "objectTypeId": "0-2"})),
            "refused",
            "enrollment_too_old",
        ),
        (event_with(99, 90, 10, 2, json!({"objectTypeId": "0-2"})), "refused", "object_type_not_supported"),
        (event(99, 90, 10, 3), "refused", "account_not_found"),
        (event(2, 90, 10, 4), "refused", "workflow_not_found"),
        (event_with(2, 7, 90, 5, json!({"actionId": "5"})), "refused", "workflow_type_not_supported"),
        (event_with(2, 8, 90, 6, json!({"actionId": "5"})), "refused", "action_not_in_workflow"),
        (event(2, 8, 90, 7), "skipped", "workflow_off"),
        (event(2, 6, 90, 8), "refused", "subscription_required"),
        (event(1, 6, 90, 9), "skipped", "contact_not_found"),
        (event(1, 6, 12, 10), "skipped", "already_in_trash"),
        (event(1, 6, 13, 11), "skipped", "permanently_deleted"),
        (event(1, 6, 14, 12), "skipped", "restored_since_enrollment"),
        (event(1, 6, 15, 13), "skipped", "already_enrolled"),
        (event(1, 6, 16, 14), "skipped", "re_enrollment_off"),
        (event(1, 6, 11, 15), "skipped", "criteria_not_met"),
        (event(1, 9, 17, 16), "refused", "criteria_unsupported"),
    ];
    let mut events: Vec<Value> = cases.iter().map(|(event, _, _)| event.clone()).collect();
    events.push(event(1, 6, 10, 17));
    let before = db.dump(&CHANGED).await;
    reaper.decide(&events).await;

    for (event, outcome, reason) in &cases {
        let data = &event["data"];
        let expected = json!({"accountId": data["accountId"], "enrollmentId": data["enrollmentId"],
            "actionId": data["actionId"], "workflowId": data["workflowId"], "contactId": data["objectId"],
            "outcome": outcome, "reason": reason, "trashEntryId": null});
        let id = |member: &str| data[member].as_str().unwrap().parse::<i64>().unwrap();
        assert_eq!(reaper.decision(id("accountId"), id("enrollmentId")).await, expected);
    }
    let trash = reaper.contact(1, 10).await["trash"].clone();
    assert_eq!(trash["deletedBy"], json!({"kind": "workflow", "workflowId": "6", "enrollmentId": "17"}));
    let deleted = json!({"accountId": "1", "enrollmentId": "17", "actionId": "1", "workflowId": "6",
        "contactId": "10", "outcome": "deleted", "reason": null, "trashEntryId": trash["entryId"]});
    assert_eq!(reaper.decision(1, 17).await, deleted);
    for contact in [11, 14, 15, 16, 17] {
        assert_eq!(reaper.state(1, contact).await, "live", "contact {contact}");
    }
    assert_eq!(reaper.state(2, 10).await, "live");
    // Nothing else has changed but what a deletion changes.
    db.assert_unchanged_since(&before).await;
    assert_eq!(db.count("dead_letters", "TRUE").await, 0);
});

on_both!(only_an_active_professional_or_enterprise_subscription_entitles, async |db: Database| {
    let (past, ended, soon) = (days_ago(30), days_ago(1), days_ago(-1));
    let cases = [
        (20, vec![("marketing_hub", "starter", &past, None)], false),
        (21, vec![("marketing_hub", "professional", &past, Some(&ended))], false),
        (22, vec![("marketing_hub", "professional", &soon, None)], false),
        (23, vec![("smart_crm", "free", &past, None), ("sales_hub", "starter", &past, None)], false),
        (24, vec![("commerce_hub", "professional", &past, Some(&soon))], true),
        (25, vec![("sales_hub", "starter", &past, None), ("service_hub", "enterprise", &past, None)], true),
        (26, vec![], false),
    ];
    let reaper = Reaper::new(&db);
    let mut records = Vec::new();
    for (id, subscriptions, _) in &cases {
        records.extend([account(*id), deletes_ada(*id, 6), ada(*id, 1)]);
        records.extend(subscriptions.iter().map(|(product, tier, starts_at, ends_at)| {
            subscription(*id, product, tier, starts_at, ends_at.map(String::as_str))
        }));
    }
    reaper.import(&records).await;
    reaper.decide(&cases.iter().map(|(id, _, _)| event(*id, 6, 1, 1)).collect::<Vec<_>>()).await;
    for (id, _, entitled) in cases {
        let (outcome, reason, state) = if entitled {
            ("deleted", Value::Null, "in_trash")
        } else {
            ("refused", json!("subscription_required"), "live")
        };
        let decision = reaper.decision(id, 1).await;
        assert_eq!((&decision["outcome"], &decision["reason"]), (&json!(outcome), &reason), "account {id}");
        assert_eq!(reaper.state(id, 1).await, state, "account {id}");
    }
});

on_both!(the_contact_is_judged_as_it_is_when_decided_not_when_enrolled, async |db: Database| {
    let reaper = with(&db, &[ada(1, 1), ada(1, 2)]).await;
    let late = [event(1, 6, 1, 1), event(1, 6, 2, 2)];
    reaper.import(&[contact(1, 1, json!({"firstname": "Grace"}))]).await;
    reaper.decide(&late).await;
    assert_eq!(reaper.decision(1, 1).await["reason"], "criteria_not_met");
    assert_eq!(reaper.decision(1, 2).await["outcome"], "deleted");
    assert_eq!(reaper.state(1, 1).await, "live");
    // A later change does not bring the old event back.
    reaper.import(&[ada(1, 1)]).await;
    reaper.decide(&late).await;
    assert_eq!(reaper.state(1, 1).await, "live");
});

on_both!(an_enrollment_by_hand_need_not_meet_the_criteria_but_everything_else, async |db: Database| {
    let mut off = deletes_ada(1, 8);
    off["flow"]["isEnabled"] = json!(false);
    let grace = |id| contact(1, id, json!({"firstname": "Grace"}));
    let records =
        [off, manual_workflow(1, 7), grace(1), grace(2), grace(3), grace(4), enrollment(1, 6, 4, false)];
    let reaper = with(&db, &records).await;
    let by_hand = |workflow, contact, id| event_with(1, workflow, contact, id, json!({"cause": "MANUAL"}));
    reaper.decide(&[by_hand(6, 1, 1), by_hand(7, 2, 2), by_hand(8, 3, 3), by_hand(6, 4, 4)]).await;
    for (enrollment, outcome, reason) in [
        (1, "deleted", Value::Null),
        (2, "deleted", Value::Null),
        (3, "skipped", json!("workflow_off")),
        (4, "skipped", json!("re_enrollment_off")),
    ] {
        let decision = reaper.decision(1, enrollment).await;
        assert_eq!((&decision["outcome"], &decision["reason"]), (&json!(outcome), &reason), "{enrollment}");
    }
});

on_both!(an_event_of_the_vendors_shape_with_numbers_for_ids_is_the_same_event, async |db: Database| {
    let reaper = with(&db, &[ada(1, 1)]).await;
    let numbers = json!({"portalId": 1, "workflowId": 6, "actionId": 1, "enrollmentId": 1, "objectId": 1,
        "unknown": {"member": true}});
    let mut vendors = event_with(1, 6, 1, 1, numbers);
    vendors["data"].as_object_mut().unwrap().remove("accountId");
    vendors["extension"] = json!(7);
    reaper.decide(&[vendors]).await;
    assert_eq!(reaper.decision(1, 1).await["outcome"], "deleted");
    // As texts it is a repetition.
    reaper.decide(&[event(1, 6, 1, 1)]).await;
    assert_eq!((db.count("ledger", "TRUE").await, db.count("dead_letters", "TRUE").await), (1, 0));
});

on_both!(membership_of_a_segment_decides_and_a_segment_nobody_knows_deletes_nobody, async |db: Database| {
    let asks = |id: i64, segment, operator| workflow(1, id, &all_of(&[in_list(segment, operator)]));
    let records = [
        ada(1, 1),
        ada(1, 2),
        ada(1, 3),
        segment(1, 4, &[1]),
        asks(21, 4, "IN_LIST"),
        asks(22, 4, "NOT_IN_LIST"),
        asks(23, 5, "IN_LIST"),
        asks(24, 5, "NOT_IN_LIST"),
    ];
    let reaper = with(&db, &records).await;
    let events = [
        event(1, 21, 2, 1),
        event(1, 22, 1, 2),
        event(1, 23, 3, 3),
        event(1, 24, 3, 4),
        event(1, 21, 1, 5),
        event(1, 22, 2, 6),
    ];
    reaper.decide(&events).await;
    for (enrollment, outcome, reason) in [
        (1, "skipped", json!("criteria_not_met")),
        (2, "skipped", json!("criteria_not_met")),
        (3, "refused", json!("criteria_unsupported")),
        (4, "refused", json!("criteria_unsupported")),
        (5, "deleted", Value::Null),
        (6, "deleted", Value::Null),
    ] {
        let decision = reaper.decision(1, enrollment).await;
        assert_eq!((&decision["outcome"], &decision["reason"]), (&json!(outcome), &reason), "{enrollment}");
    }
});

/// The types of records of the vendor's but contacts, by hand, and how else a type may be written.
const OTHER_TYPES: &str = "0-2 0-3 0-5 0-7 0-8 0-14 0-18 0-19 0-27 0-46 0-47 0-48 0-49 0-53 0-54 0-69 0-74 0-84 0-85 0-86 \
    0-101 0-115 0-116 0-123 0-136 0-142 0-162 0-410 0-420 0-421 0-970 2-134 0-99999 deal companies contact contacts 0-01 0-10";

on_both!(workflows_delete_no_record_but_contacts, async |db: Database| {
    let mut records = vec![ada(1, 7), ada(1, 8)];
    let (mut events, mut expected) = (Vec::new(), Vec::new());
    for (n, object_type) in (1..).zip(OTHER_TYPES.split_whitespace()) {
        // A record of the type, with the id of a contact.
        if object_type != "0-01" && !object_type.starts_with("contact") {
            records.push(match object_type {
                "0-18" | "0-27" | "0-46" | "0-47" | "0-48" | "0-49" | "0-116" => {
                    activity(100 + n, object_type, &[("contact", 8)])
                }
                _ => json!({"kind": "object", "accountId": "1", "objectTypeId": object_type, "id": "7",
                    "properties": {"firstname": "Ada"}}),
            });
        }
        // A workflow about the type, and one that says both.
        for (workflow_id, flow_type) in [(100 + n, "PLATFORM_FLOW"), (200 + n, "CONTACT_FLOW")] {
            let mut about_type = deletes_ada(1, workflow_id);
            about_type["flow"]["objectTypeId"] = json!(object_type);
            about_type["flow"]["type"] = json!(flow_type);
            records.push(about_type);
            events.push(event(1, workflow_id, 7, 1000 + workflow_id));
            expected.push([(1000 + workflow_id).to_string(), "workflow_type_not_supported".to_owned()]);
        }
        for workflow_id in [6, 100 + n] {
            let enrollment_id = 2000 + 10 * n + i64::from(workflow_id == 6);
            events.push(event_with(1, workflow_id, 7, enrollment_id, json!({"objectTypeId": object_type})));
            expected.push([enrollment_id.to_string(), "object_type_not_supported".to_owned()]);
        }
    }
    let reaper = with(&db, &records).await;
    let before = db.dump(&["ledger", "outbox", "job_runs", "clock", "leases"]).await;
    reaper.decide(&events).await;
    let decided = "SELECT CAST(enrollment_id AS text), reason FROM ledger WHERE outcome = 'refused' ORDER BY enrollment_id";
    expected.sort();
    assert_eq!(db.rows(decided).await, expected);
    db.assert_unchanged_since(&before).await;
    // A workflow about contacts deletes the contact, and no record that is called as it is.
    let records = db.count("objects", "deleted_at IS NULL").await;
    reaper.decide(&[event(1, 6, 7, 1)]).await;
    assert_eq!((reaper.state(1, 7).await, reaper.state(1, 8).await), ("in_trash".into(), "live".into()));
    assert_eq!(db.count("objects", "deleted_at IS NULL").await, records);
    assert_eq!(db.count("record_trash_entries", "TRUE").await, 0);
});
