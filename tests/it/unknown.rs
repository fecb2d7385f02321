//! What nobody can know never deletes: what an erasure took out, what was never told of, what may be one or two.

use serde_json::{Value, json};

use crate::support::records::{
    activity, all_of, association, before_year, branch, contact, days_ago, enrollment, entitled_account,
    event, lines, manual_workflow, property, seconds_ago, workflow,
};
use crate::support::{Database, Reaper, TempDir, on_both};

const AT: &str = "2026-01-06T10:00:00Z";
const UNKNOWN: &str = "criteria_unsupported";

fn person(id: i64, properties: Value) -> Value {
    contact(1, id, properties)
}

/// An `OR` of an `AND` of one branch, as the vendor nests them.
fn within(part: Value) -> Value {
    branch("OR", &[branch("AND", &[part], &[])], &[])
}

fn custom_event(id: i64, contact: i64, kind: &str, properties: &Value) -> Value {
    json!({"kind": "customEvent", "accountId": "1", "id": id.to_string(), "contactId": contact.to_string(),
        "eventTypeId": kind, "occurredAt": AT, "properties": properties})
}

fn by_event(mut event: Value, kind: &str, properties: &Value) -> Value {
    event["data"]["cause"] = json!("EVENT");
    event["data"]["event"] = json!({"eventTypeId": kind, "occurredAt": AT, "properties": properties});
    event
}

fn unified(kind: &str, operator: &str) -> Value {
    json!({"filterBranchType": "UNIFIED_EVENTS", "filterBranchOperator": "AND", "eventTypeId": kind,
        "operator": operator, "filterBranches": [], "filters": []})
}

async fn account_with(db: &Database, records: &[Value]) -> Reaper {
    let reaper = Reaper::new(db);
    reaper.import(&[entitled_account(1), records.to_vec()].concat()).await;
    reaper
}

/// What `workflow lint` says of a workflow of account 1.
async fn lint(reaper: &Reaper, workflow: &Value) -> String {
    let flow = workflow["flow"].to_string();
    reaper.run_with_input(&["workflow", "lint", "-", "--account", "1"], &flow).await.stdout
}

/// The reason why it stayed, or `deleted`.
async fn decided(reaper: &Reaper, event: Value) -> String {
    reaper.decide(std::slice::from_ref(&event)).await;
    outcome(reaper, event["data"]["enrollmentId"].as_str().unwrap().parse().unwrap()).await
}

async fn outcome(reaper: &Reaper, enrollment: i64) -> String {
    let row = reaper.decision(1, enrollment).await;
    row["reason"].as_str().or(row["outcome"].as_str()).unwrap().to_owned()
}

on_both!(what_an_erasure_took_out_is_compared_with_nothing, async |db: Database| {
    let referrer = |operator, value| all_of(&[property("referrer", "STRING", operator, json!(value))]);
    let mut on_event = workflow(1, 12, &Value::Null);
    let mut said = unified("6-1", "HAS_COMPLETED");
    said["filters"] = json!([property("by", "STRING", "DOES_NOT_CONTAIN", json!("@account1.example"))]);
    on_event["flow"]["enrollmentCriteria"] = json!({"type": "EVENT_BASED", "eventFilterBranches": [said]});
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &referrer("IS_EQUAL_TO", "contact1@account1.example")),
            workflow(1, 11, &referrer("DOES_NOT_CONTAIN", "@account1.example")),
            workflow(1, 13, &all_of(&[property("referrer", "ALL_PROPERTY", "IS_KNOWN", Value::Null)])),
            on_event,
            person(1, json!({})),
            person(2, json!({})),
            // As an earlier version left it, which redacted the properties of others.
            person(3, json!({"referrer": "[redacted]"})),
            person(4, json!({})),
        ],
    )
    .await;
    reaper.json(&["pause", "--account", "1", "--workflow", "12"]).await;
    let told = json!({"by": "contact2@account1.example"});
    reaper.decide(&[by_event(event(1, 12, 4, 4), "6-1", &told)]).await;
    for id in ["1", "2"] {
        reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", id, "--confirm", "1"]).await;
    }
    assert_eq!(
        decided(&reaper, event(1, 10, 3, 1)).await,
        UNKNOWN,
        "on both sides nobody knows what stood there"
    );
    assert_eq!(decided(&reaper, event(1, 11, 3, 2)).await, UNKNOWN);
    reaper.json(&["resume", "--account", "1", "--workflow", "12"]).await;
    reaper.decide(&[]).await;
    assert_eq!(outcome(&reaper, 4).await, UNKNOWN, "what the event said");
    assert_eq!(decided(&reaper, event(1, 13, 3, 3)).await, "deleted", "that there is something is known");
});

on_both!(an_object_that_nobody_told_of_is_there_and_unknown, async |db: Database| {
    let deal = |operator: &str, filters: Value| {
        within(
            json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": "0-3",
            "operator": operator, "filterBranches": [], "filters": filters}),
        )
    };
    let won = json!([property("dealstage", "ENUMERATION", "IS_ANY_OF", json!(["closedwon"]))]);
    let tie = |contact: i64| {
        json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": contact.to_string()},
            "to": {"type": "deal", "id": "777"}})
    };
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &deal("NOT_IN_LIST", won.clone())),
            workflow(1, 11, &deal("NOT_IN_LIST", json!([]))),
            workflow(1, 12, &deal("IN_LIST", won)),
            workflow(1, 13, &deal("IN_LIST", json!([]))),
            tie(1),
            person(1, json!({})),
            person(2, json!({})),
        ],
    )
    .await;
    for (workflow, contact, enrollment, expected) in [
        (10, 1, 1, UNKNOWN),
        (11, 1, 2, "criteria_not_met"),
        (12, 1, 3, UNKNOWN),
        (10, 2, 4, "deleted"),
        (13, 1, 5, "deleted"),
    ] {
        let reason = decided(&reaper, event(1, workflow, contact, enrollment)).await;
        assert_eq!(reason, expected, "workflow {workflow}, contact {contact}");
    }
});

on_both!(
    a_type_that_no_event_has_may_be_kept_under_another_name_or_as_something_else,
    async |db: Database| {
        let never = |kind| within(unified(kind, "HAS_NOT_COMPLETED"));
        let filled = json!({"kind": "formSubmission", "accountId": "1", "id": "60", "formId": "f1", "contactId": "1",
        "submittedAt": days_ago(4), "values": {}});
        let reaper = account_with(
            &db,
            &[
                workflow(1, 10, &never("4-1639801")),
                workflow(1, 11, &never("6-1")),
                filled,
                person(1, json!({})),
                person(2, json!({})),
                person(3, json!({})),
                custom_event(9, 3, "pe1_bought", &json!({})),
            ],
        )
        .await;
        assert_eq!(decided(&reaper, event(1, 10, 1, 1)).await, UNKNOWN);
        assert_eq!(decided(&reaper, event(1, 11, 2, 2)).await, UNKNOWN);
        // As soon as there is one such event the absence of others says something.
        reaper
            .import(&[custom_event(1, 3, "4-1639801", &json!({})), custom_event(2, 3, "6-1", &json!({}))])
            .await;
        assert_eq!(decided(&reaper, event(1, 11, 2, 5)).await, "deleted");
        assert_eq!(decided(&reaper, event(1, 10, 3, 3)).await, "criteria_not_met");
        assert_eq!(decided(&reaper, event(1, 10, 1, 4)).await, "deleted");
    }
);

on_both!(an_event_told_of_in_two_ways_may_be_one_or_two, async |db: Database| {
    let mut twice = unified("6-1", "HAS_COMPLETED");
    twice["coalescingRefineBy"] = json!({"type": "NUM_OCCURRENCES", "minOccurrences": 2});
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &within(twice)),
            person(1, json!({})),
            person(2, json!({})),
            custom_event(1, 1, "6-1", &json!({"plan": "gold"})),
            custom_event(2, 2, "6-1", &json!({"plan": "gold", "seats": "5"})),
        ],
    )
    .await;
    let bought =
        |contact, enrollment| by_event(event(1, 10, contact, enrollment), "6-1", &json!({"plan": "gold"}));
    assert_eq!(decided(&reaper, bought(1, 1)).await, "criteria_not_met", "it is stored already");
    assert_eq!(decided(&reaper, bought(2, 2)).await, UNKNOWN);
});

on_both!(a_property_that_no_such_record_ever_had_is_not_understood, async |db: Database| {
    let missing = |name: &str| json!([property(name, "ALL_PROPERTY", "IS_UNKNOWN", Value::Null)]);
    let associated = |kind: &str, operator: &str, name: &str| {
        within(json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": kind,
            "operator": operator, "filterBranches": [], "filters": missing(name)}))
    };
    let completed = |name: &str| {
        let mut branch = unified("6-1", "HAS_COMPLETED");
        branch["filters"] = missing(name);
        within(branch)
    };
    let mut missing_in_event = unified("6-3", "HAS_COMPLETED");
    missing_in_event["filters"] = missing("plan");
    let mut by_any_event = workflow(1, 16, &Value::Null);
    by_any_event["flow"]["enrollmentCriteria"] =
        json!({"type": "EVENT_BASED", "eventFilterBranches": [missing_in_event]});
    let company = |id: i64, properties: Value| {
        json!({"kind": "company", "accountId": "1", "id": id.to_string(),
        "properties": properties})
    };
    let tie = |contact: i64, company: i64| {
        json!({"kind": "association", "accountId": "1", "from": {"type": "company", "id": company.to_string()},
            "to": {"type": "contact", "id": contact.to_string()}})
    };
    let call = |id: i64, contact: i64, properties: Value| {
        json!({"kind": "activity", "accountId": "1", "id": id.to_string(), "type": "call", "timestamp": AT,
            "properties": properties, "associations": [{"type": "contact", "id": contact.to_string()}]})
    };
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &associated("0-2", "IN_LIST", "industry")),
            workflow(1, 11, &associated("0-2", "NOT_IN_LIST", "industry")),
            workflow(1, 12, &associated("0-48", "IN_LIST", "result")),
            workflow(1, 13, &completed("plan")),
            workflow(1, 14, &associated("0-2", "NOT_IN_LIST", "hs_object_id")),
            workflow(1, 15, &associated("0-3", "NOT_IN_LIST", "dealname")),
            by_any_event,
            // What contacts have says nothing about companies, nor companies about calls.
            person(1, json!({"industry": "x", "plan": "x"})),
            person(2, json!({"result": "x"})),
            person(3, json!({})),
            person(4, json!({})),
            company(7, json!({"name": "Acme", "result": "x", "plan": "x"})),
            tie(1, 7),
            tie(2, 7),
            tie(3, 7),
            call(30, 3, json!({"industry": "x", "plan": "x"})),
            custom_event(40, 3, "6-1", &json!({"industry": "x"})),
            custom_event(41, 3, "6-2", &json!({"plan": "x"})),
        ],
    )
    .await;
    for (workflow, contact, enrollment, expected) in [
        (10, 1, 1, UNKNOWN),
        (11, 1, 2, UNKNOWN),
        (12, 3, 3, UNKNOWN),
        (13, 3, 4, UNKNOWN),
        // There is no company at all of which anything could be asked.
        (11, 4, 5, "deleted"),
        // Every record has an id.
        (14, 1, 6, "deleted"),
        // No contact of the account was ever associated with a deal.
        (15, 2, 7, UNKNOWN),
    ] {
        let reason = decided(&reaper, event(1, workflow, contact, enrollment)).await;
        assert_eq!(reason, expected, "workflow {workflow}, contact {contact}");
    }
    let told = by_event(event(1, 16, 2, 8), "6-3", &json!({"industry": "x"}));
    assert_eq!(decided(&reaper, told).await, UNKNOWN, "nor what an event of a message lacks");
    let dir = TempDir::new();
    let file = dir.path().join("filter.json");
    std::fs::write(&file, associated("0-2", "IN_LIST", "industry").to_string()).unwrap();
    let said = reaper
        .refused(&[
            "delete",
            "--account",
            "1",
            "--as",
            "1",
            "--where",
            file.to_str().unwrap(),
            "--confirm",
            "1",
        ])
        .await;
    assert!(said.contains("it is unknown whether") && said.contains("1 associated (company)"), "{said}");

    // As soon as one such record has the property, its absence from others says something.
    let deal = json!({"kind": "deal", "accountId": "1", "id": "50", "properties": {"dealname": "Big"}});
    let of_deal = json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "3"},
        "to": {"type": "deal", "id": "50"}});
    reaper
        .import(&[
            company(8, json!({"industry": "steel"})),
            call(31, 2, json!({"result": "no"})),
            custom_event(42, 2, "6-1", &json!({"plan": "gold"})),
            deal,
            of_deal,
        ])
        .await;
    for (workflow, contact, enrollment, expected) in
        [(11, 3, 10, "criteria_not_met"), (15, 3, 11, "deleted"), (15, 2, 12, "deleted")]
    {
        let reason = decided(&reaper, event(1, workflow, contact, enrollment)).await;
        assert_eq!(reason, expected, "workflow {workflow}, contact {contact}");
    }
});

on_both!(a_contact_that_was_never_imported_is_associated_all_the_same, async |db: Database| {
    let friend = |operator: &str, filters: Value| {
        within(
            json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": "0-1",
            "operator": operator, "filterBranches": [], "filters": filters}),
        )
    };
    let known = json!([property("email", "ALL_PROPERTY", "IS_KNOWN", Value::Null)]);
    let tie = |contact: i64, other: i64| {
        json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": contact.to_string()},
            "to": {"type": "contact", "id": other.to_string()}})
    };
    let mut in_trash = person(4, json!({}));
    in_trash["archived"] = json!(true);
    in_trash["archivedAt"] = json!(days_ago(1));
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &friend("NOT_IN_LIST", known)),
            workflow(1, 11, &friend("NOT_IN_LIST", json!([]))),
            person(1, json!({})),
            person(2, json!({})),
            person(3, json!({})),
            in_trash,
            tie(1, 999),
            tie(2, 3),
            tie(3, 4),
        ],
    )
    .await;
    for (workflow, contact, enrollment, expected) in
        [(10, 1, 1, UNKNOWN), (11, 1, 2, "criteria_not_met"), (11, 3, 3, "criteria_not_met")]
    {
        let reason = decided(&reaper, event(1, workflow, contact, enrollment)).await;
        assert_eq!(reason, expected, "workflow {workflow}, contact {contact}");
    }
});

on_both!(of_whom_no_transition_is_kept_nobody_knows_when_a_stage_was_reached, async |db: Database| {
    let date = |stage: &str| {
        let name = format!("hs_lifecyclestage_{stage}_date");
        all_of(&[property(&name, "ALL_PROPERTY", "IS_UNKNOWN", Value::Null)])
    };
    let transition = |contact: i64, stage: &str| {
        json!({"kind": "lifecycleTransition", "accountId": "1", "contactId": contact.to_string(), "stage": stage,
            "at": AT})
    };
    let at_stage = |id: i64, stage: &str| person(id, json!({"lifecyclestage": stage}));
    let mut once = at_stage(3, "lead");
    once["propertiesWithHistory"] = json!({"lifecyclestage": [{"value": "customer", "timestamp": AT}]});
    let never = property("lifecyclestage", "ENUMERATION", "HAS_NEVER_BEEN_ANY_OF", json!(["customer"]));
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &date("customer")),
            workflow(1, 11, &date("custmer")),
            workflow(1, 12, &all_of(&[never])),
            at_stage(1, "customer"),
            at_stage(2, "lead"),
            once,
            at_stage(4, "lead"),
            person(5, json!({})),
            at_stage(6, "lead"),
            transition(3, "lead"),
            transition(4, "lead"),
            transition(6, "lead"),
            at_stage(99, "customer"),
            transition(99, "customer"),
            at_stage(98, "lead"),
            transition(98, "customer"),
        ],
    )
    .await;
    for (workflow, contact, expected) in [
        // It is a customer, and no transition says so.
        (10, 1, UNKNOWN),
        // No transition of it is kept at all.
        (10, 2, UNKNOWN),
        // Its history says that it was one.
        (10, 3, UNKNOWN),
        (10, 99, "criteria_not_met"),
        (11, 4, UNKNOWN),
        (10, 4, "deleted"),
        (10, 5, "deleted"),
        // It was a customer by its transitions alone.
        (12, 98, "criteria_not_met"),
        (12, 6, "deleted"),
    ] {
        let reason = decided(&reaper, event(1, workflow, contact, workflow * 100 + contact)).await;
        assert_eq!(reason, expected, "workflow {workflow}, contact {contact}");
    }
    // What another contact has as a property says nothing of a contact that has the stage.
    let mut dated = person(97, json!({"hs_lifecyclestage_customer_date": "1790000000000"}));
    dated["partial"] = json!(true);
    reaper.import(&[dated]).await;
    for (contact, expected) in [(1, UNKNOWN), (3, UNKNOWN), (2, "deleted")] {
        let reason = decided(&reaper, event(1, 10, contact, 5000 + contact)).await;
        assert_eq!(reason, expected, "contact {contact}");
    }
    for (stage, kept) in [("custmer", false), ("customer", true)] {
        let told = lint(&reaper, &workflow(1, 10, &date(stage))).await;
        let unkept = format!("never kept a property hs_lifecyclestage_{stage}_date");
        assert_eq!(told.contains(&unkept), !kept, "{told}");
    }
});

on_both!(a_submission_that_the_analytics_alone_know_may_be_the_one, async |db: Database| {
    let not_filled = |form: Option<&str>| {
        let mut filter = json!({"filterType": "FORM_SUBMISSION", "operator": "NOT_FILLED_OUT"});
        if let Some(form) = form {
            filter["formId"] = json!(form);
        }
        all_of(&[filter])
    };
    let submitted = |id: &str, contact: &str| {
        json!({"kind": "formSubmission", "accountId": "1", "id": id, "formId": "f", "contactId": contact,
            "submittedAt": AT, "values": {}})
    };
    let analytics = |id: &str, contact: &str, kind: &str, source: &str| {
        json!({"kind": "analyticsEvent", "accountId": "1", "id": id, "contactId": contact, "type": kind,
            "occurredAt": AT, "source": source})
    };
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &not_filled(Some("f"))),
            workflow(1, 11, &not_filled(None)),
            person(1, json!({})),
            person(2, json!({})),
            person(3, json!({})),
            person(4, json!({})),
            person(5, json!({})),
            analytics("1", "1", "form_submission", "f"),
            submitted("1", "2"),
            // The same, told twice.
            analytics("2", "2", "form_submission", "f"),
            analytics("3", "3", "form_submission", "another form"),
            analytics("4", "4", "form_view", "f"),
            analytics("5", "5", "session", "f"),
        ],
    )
    .await;
    for (workflow, contact, expected) in [
        (10, 1, UNKNOWN),
        (11, 1, UNKNOWN),
        (10, 2, "criteria_not_met"),
        (11, 2, "criteria_not_met"),
        (11, 3, UNKNOWN),
        (10, 3, "deleted"),
        (10, 4, "deleted"),
        (11, 5, "deleted"),
    ] {
        let reason = decided(&reaper, event(1, workflow, contact, workflow * 100 + contact)).await;
        assert_eq!(reason, expected, "workflow {workflow}, contact {contact}");
    }
});

on_both!(a_workflow_without_any_enrollment_says_nothing_about_who_was_enrolled, async |db: Database| {
    let enrolled = |workflow: &str, operator: &str, kind: &str| {
        all_of(&[json!({"filterType": "IN_LIST", "operator": operator, "listId": workflow,
            "metadata": {"id": workflow, "inListType": kind}})])
    };
    let kinds = ["WORKFLOWS_ENROLLMENT", "WORKFLOWS_ACTIVE", "WORKFLOWS_COMPLETED"];
    let mut records = vec![workflow(1, 20, &Value::Null), workflow(1, 21, &Value::Null)];
    for (number, kind) in (0..).zip(kinds) {
        records.push(workflow(1, 30 + number, &enrolled("20", "NOT_IN_LIST", kind)));
        records.push(workflow(1, 40 + number, &enrolled("20", "IN_LIST", kind)));
        records.push(workflow(1, 50 + number, &enrolled("21", "NOT_IN_LIST", kind)));
    }
    records.extend((1..=20).map(|id| person(id, json!({}))));
    // Of workflow 21 one enrollment is kept, of somebody else.
    records.push(enrollment(1, 21, 20, false));
    let reaper = account_with(&db, &records).await;
    for number in 0..3 {
        assert_eq!(decided(&reaper, event(1, 30 + number, 1, 100 + number)).await, UNKNOWN);
        assert_eq!(decided(&reaper, event(1, 40 + number, 1, 200 + number)).await, UNKNOWN);
        assert_eq!(decided(&reaper, event(1, 50 + number, 2 + number, 300 + number)).await, "deleted");
    }
    for (of, kept) in [("20", false), ("21", true)] {
        let told = lint(&reaper, &workflow(1, 30, &enrolled(of, "NOT_IN_LIST", kinds[0]))).await;
        assert_eq!(told.contains(&format!("never kept an enrollment in the workflow {of}")), !kept, "{told}");
    }
    // What the service itself decided is kept as well.
    let mut by_hand = event(1, 20, 10, 400);
    by_hand["data"]["cause"] = json!("MANUAL");
    reaper.import(&[manual_workflow(1, 20)]).await;
    assert_eq!(decided(&reaper, by_hand).await, "deleted");
    assert_eq!(decided(&reaper, event(1, 30, 11, 401)).await, "deleted");
});

on_both!(who_was_taken_out_of_a_workflow_by_the_trash_did_not_come_through, async |db: Database| {
    let completed = json!({"filterType": "IN_LIST", "operator": "IN_LIST", "listId": "20",
        "metadata": {"id": "20", "inListType": "WORKFLOWS_COMPLETED"}});
    let reaper = account_with(
        &db,
        &[
            workflow(1, 20, &Value::Null),
            workflow(1, 21, &all_of(&[completed])),
            person(1, json!({})),
            person(2, json!({})),
            enrollment(1, 20, 1, true),
            enrollment(1, 20, 2, false),
        ],
    )
    .await;
    reaper.json(&["delete", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"]).await;
    reaper.json(&["restore", "--account", "1", "--as", "1", "--contact", "1"]).await;
    // Made after the restore, by more than clocks may differ.
    db.execute(&format!("UPDATE contacts SET restored_at = '{}' WHERE contact_id = 1", seconds_ago(60)))
        .await;
    assert_eq!(decided(&reaper, event(1, 21, 1, 1)).await, UNKNOWN);
    assert_eq!(decided(&reaper, event(1, 21, 2, 2)).await, "deleted", "it came through");
});

on_both!(list_or_object_in_an_event_is_compared_with_nothing, async |db: Database| {
    let premium = |operator: &str| {
        let operation = json!({"operationType": "ENUMERATION", "operator": operator, "values": ["premium"],
            "includeObjectsWithNoValueSet": false});
        json!({"filterType": "PROPERTY", "property": "plan", "operation": operation})
    };
    let mut not_completed = unified("6-1", "HAS_NOT_COMPLETED");
    not_completed["filters"] = json!([premium("IS_ANY_OF")]);
    let mut trigger = unified("6-1", "HAS_COMPLETED");
    trigger["filters"] = json!([premium("IS_NONE_OF")]);
    let mut by_trigger = workflow(1, 11, &Value::Null);
    by_trigger["flow"]["enrollmentCriteria"] =
        json!({"type": "EVENT_BASED", "shouldReEnroll": false, "eventFilterBranches": [trigger]});
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &within(not_completed)),
            by_trigger,
            person(1, json!({})),
            person(2, json!({})),
            person(3, json!({})),
            custom_event(1, 1, "6-1", &json!({"plan": ["premium", "gold"]})),
            custom_event(2, 2, "6-1", &json!({"plan": {"name": "premium"}})),
            custom_event(3, 3, "6-1", &json!({"plan": "basic"})),
        ],
    )
    .await;
    for (contact, expected) in [(1, UNKNOWN), (2, UNKNOWN), (3, "deleted")] {
        assert_eq!(decided(&reaper, event(1, 10, contact, contact)).await, expected, "contact {contact}");
    }
    // The event of the enrollment, also after a pause.
    reaper.json(&["pause"]).await;
    reaper.decide(&[by_event(event(1, 11, 1, 11), "6-1", &json!({"plan": ["premium"]}))]).await;
    reaper.json(&["resume"]).await;
    let later = by_event(event(1, 11, 2, 12), "6-1", &json!({"plan": ["premium"]}));
    assert_eq!(decided(&reaper, later).await, UNKNOWN);
    assert_eq!(outcome(&reaper, 11).await, UNKNOWN);
});

on_both!(partial_contact_without_a_stage_may_have_come_to_any, async |db: Database| {
    let unknown = property("hs_lifecyclestage_lead_date", "ALL_PROPERTY", "IS_UNKNOWN", Value::Null);
    let mut partial = person(1, json!({}));
    partial["partial"] = json!(true);
    let transition = json!({"kind": "lifecycleTransition", "accountId": "1", "contactId": "9", "stage": "lead",
        "at": AT});
    let records = [
        workflow(1, 10, &all_of(&[unknown])),
        partial,
        person(2, json!({})),
        person(9, json!({})),
        transition,
    ];
    let reaper = account_with(&db, &records).await;
    assert_eq!(decided(&reaper, event(1, 10, 1, 1)).await, UNKNOWN);
    assert_eq!(decided(&reaper, event(1, 10, 2, 2)).await, "deleted", "its record is whole, without a stage");
});

on_both!(work_email_is_no_additional_address, async |db: Database| {
    let known = property("hs_additional_emails", "ALL_PROPERTY", "IS_KNOWN", Value::Null);
    let mut with_another = person(2, json!({}));
    with_another["additionalEmails"] = json!(["two@more.example"]);
    let records = [
        workflow(1, 10, &all_of(&[known])),
        person(1, json!({"work_email": "office@x.example"})),
        with_another,
    ];
    let reaper = account_with(&db, &records).await;
    assert_eq!(decided(&reaper, event(1, 10, 1, 1)).await, "criteria_not_met");
    assert_eq!(decided(&reaper, event(1, 10, 2, 2)).await, "deleted");
});

on_both!(number_is_compared_digit_by_digit, async |db: Database| {
    // The number of a SIM card has twenty digits: as a binary fraction two of them are one.
    let (card, other) = ("89490200001234567890", "89490200001234567899");
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let iccid = |operator| all_of(&[property("iccid", "NUMBER", operator, number(card))]);
    let mut by_card = workflow(1, 12, &Value::Null);
    let mut used = unified("6-1", "HAS_COMPLETED");
    used["filters"] = json!([property("iccid", "NUMBER", "IS_EQUAL_TO", number(card))]);
    by_card["flow"]["enrollmentCriteria"] = json!({"type": "EVENT_BASED", "eventFilterBranches": [used]});
    let price = all_of(&[property("price", "NUMBER", "IS_EQUAL_TO", number("0.123456789012345678"))]);
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &iccid("IS_NOT_EQUAL_TO")),
            workflow(1, 11, &iccid("IS_EQUAL_TO")),
            by_card,
            workflow(1, 13, &price),
            person(1, json!({"iccid": card, "price": "0.12345678901234568"})),
            person(2, json!({"iccid": other})),
            custom_event(1, 1, "6-1", &json!({"iccid": number(other)})),
            custom_event(2, 2, "6-1", &json!({"iccid": number(card)})),
        ],
    )
    .await;
    assert_eq!(
        db.rows("SELECT properties ->> 'iccid' FROM contacts ORDER BY contact_id").await,
        [[card], [other]]
    );
    assert_eq!(decided(&reaper, event(1, 10, 1, 1)).await, "criteria_not_met");
    assert_eq!(decided(&reaper, event(1, 11, 2, 2)).await, "criteria_not_met");
    assert_eq!(decided(&reaper, event(1, 13, 1, 3)).await, "criteria_not_met");
    let properties = json!({"iccid": number(other)});
    assert_eq!(decided(&reaper, by_event(event(1, 12, 1, 4), "6-1", &properties)).await, "criteria_not_met");
    let dir = TempDir::new();
    let file = dir.path().join("filter.json");
    std::fs::write(&file, iccid("IS_NOT_EQUAL_TO").to_string()).unwrap();
    let file = file.to_str().unwrap();
    let answer =
        reaper.json(&["delete", "--account", "1", "--as", "1", "--where", file, "--confirm", "1"]).await;
    assert_eq!(answer["entries"][0]["contactId"], "2");
    let properties = json!({"iccid": number(card)});
    assert_eq!(decided(&reaper, by_event(event(1, 12, 1, 5), "6-1", &properties)).await, "deleted");
});

on_both!(property_that_was_exported_once_is_not_newer_than_the_record, async |db: Database| {
    let year = |name: &str| all_of(&[before_year(name, 2025)]);
    let stale = json!({"lastmodifieddate": "2024-01-01T00:00:00Z", "hs_lifecyclestage_lead_date": "2024-01-01T00:00:00Z",
        "lifecyclestage": "lead"});
    let address =
        |operator| all_of(&[property("hs_additional_emails", "STRING", operator, json!("new@x.example"))]);
    let mut two = person(5, json!({"email": "five@x.example", "hs_additional_emails": "old@x.example"}));
    two["additionalEmails"] = json!(["old@x.example", "new@x.example"]);
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &year("lastmodifieddate")),
            workflow(1, 11, &year("hs_lifecyclestage_lead_date")),
            workflow(1, 12, &address("DOES_NOT_CONTAIN")),
            person(1, stale.clone()),
            person(2, stale.clone()),
            person(3, stale.clone()),
            person(4, stale),
            two,
            json!({"kind": "lifecycleTransition", "accountId": "1", "contactId": "3", "stage": "lead", "at": days_ago(1)}),
        ],
    )
    .await;
    let mut changed = person(1, json!({"city": "Here"}));
    changed["partial"] = json!(true);
    changed["updatedAt"] = json!(days_ago(1));
    reaper.import(&[changed]).await;
    reaper.delete(1, 2).await;
    reaper.restore(1, 2).await;
    let verdict = async |workflow: &str, contact: &str| {
        let explained = ["explain", "--account", "1", "--workflow", workflow, "--contact", contact];
        reaper.json(&explained).await["verdict"].as_str().unwrap().to_owned()
    };
    for (workflow, contact, expected) in [
        ("10", "1", "skip"),
        ("10", "2", "skip"),
        ("10", "4", "delete"),
        ("11", "3", "skip"),
        ("11", "4", "delete"),
        ("12", "5", "skip"),
    ] {
        assert_eq!(verdict(workflow, contact).await, expected, "workflow {workflow}, contact {contact}");
    }
});

on_both!(associated_record_is_as_new_as_it_is_when_it_is_asked_itself, async |db: Database| {
    let deal = |id: i64, properties: &Value| json!({"kind": "deal", "accountId": "1", "id": id.to_string(), "properties": properties});
    let mut old = person(
        1,
        json!({"lastmodifieddate": "2024-01-01T00:00:00Z", "hs_object_id": "77", "lifecyclestage": "lead",
        "hs_lifecyclestage_lead_date": "2024-01-01T00:00:00Z", "hs_additional_emails": "x@x.example", "city": "Here"}),
    );
    old["updatedAt"] = json!(days_ago(1));
    let mut changed = deal(30, &json!({"hs_lastmodifieddate": "2024-01-01T00:00:00Z"}));
    changed["updatedAt"] = json!(days_ago(1));
    // Nothing tells when it was created or changed, though the account knows both properties.
    let silent = deal(31, &json!({"dealname": "D"}));
    let known = deal(
        32,
        &json!({"createdate": "2024-01-01T00:00:00Z", "hs_lastmodifieddate": "2024-01-01T00:00:00Z"}),
    );
    let link = |contact: i64, other: (&str, i64)| association(("contact", contact), other);
    let asking = |id: i64, type_id: &str, operator: &str, filter: Value| {
        let associated = json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": type_id,
            "operator": operator, "filterBranches": [], "filters": [filter]});
        workflow(1, id, &within(associated))
    };
    let after = |name: &str| {
        let mut after = before_year(name, 2025);
        after["operation"]["operator"] = json!("IS_AFTER");
        after
    };
    let ever = property("lifecyclestage", "STRING", "HAS_NEVER_BEEN_EQUAL_TO", json!("customer"));
    let reaper = account_with(
        &db,
        &[
            old,
            person(8, json!({})),
            person(9, json!({})),
            changed,
            silent,
            known,
            link(8, ("contact", 1)),
            link(8, ("deal", 30)),
            link(9, ("deal", 31)),
            asking(10, "0-1", "IN_LIST", before_year("lastmodifieddate", 2025)),
            asking(11, "0-1", "IN_LIST", property("hs_object_id", "STRING", "IS_EQUAL_TO", json!("77"))),
            asking(
                12,
                "0-1",
                "IN_LIST",
                property("hs_additional_emails", "STRING", "DOES_NOT_CONTAIN", json!("add@x.example")),
            ),
            asking(13, "0-1", "IN_LIST", before_year("hs_lifecyclestage_lead_date", 2025)),
            asking(14, "0-1", "IN_LIST", ever),
            asking(15, "0-3", "IN_LIST", before_year("hs_lastmodifieddate", 2025)),
            asking(16, "0-3", "NOT_IN_LIST", after("hs_lastmodifieddate")),
            asking(17, "0-3", "NOT_IN_LIST", after("createdate")),
        ],
    )
    .await;
    for (workflow, contact, expected) in [
        ("10", "8", "criteria_not_met"),
        ("11", "8", "criteria_not_met"),
        ("12", "8", UNKNOWN),
        ("13", "8", UNKNOWN),
        ("14", "8", UNKNOWN),
        ("15", "8", "criteria_not_met"),
        ("16", "9", UNKNOWN),
        ("17", "9", UNKNOWN),
    ] {
        let explained = ["explain", "--account", "1", "--workflow", workflow, "--contact", contact];
        assert_eq!(reaper.json(&explained).await["reason"], expected, "workflow {workflow}");
    }
});

on_both!(date_of_the_last_change_changed_last_when_it_says, async |db: Database| {
    let quiet = json!({"filterType": "PROPERTY", "property": "lastmodifieddate", "operation": {
        "operationType": "ROLLING_PROPERTY_UPDATED", "operator": "NOT_UPDATED_IN_LAST_X_DAYS", "numberOfDays": 30,
        "includeObjectsWithNoValueSet": false}});
    let of_2020 = |id: i64, properties: Value| {
        let mut contact = person(id, properties);
        contact["createdAt"] = json!("2020-01-01T00:00:00Z");
        contact
    };
    let mut told = of_2020(2, json!({}));
    told["updatedAt"] = json!(days_ago(2));
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &all_of(&[quiet])),
            of_2020(1, json!({"lastmodifieddate": days_ago(2)})),
            told,
            of_2020(3, json!({"lastmodifieddate": "2024-01-01T00:00:00Z"})),
        ],
    )
    .await;
    for (contact, expected) in [("1", "skip"), ("2", "skip"), ("3", "delete")] {
        let explained = ["explain", "--account", "1", "--workflow", "10", "--contact", contact];
        assert_eq!(reaper.json(&explained).await["verdict"], expected, "contact {contact}");
    }
});

on_both!(number_of_an_event_has_one_text_however_it_is_written, async |db: Database| {
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let mut other = workflow(1, 10, &Value::Null);
    let mut said = unified("6-1", "HAS_COMPLETED");
    said["filters"] = json!([property("n", "STRING", "IS_NOT_EQUAL_TO", json!("100"))]);
    other["flow"]["enrollmentCriteria"] = json!({"type": "EVENT_BASED", "eventFilterBranches": [said]});
    let texts = ["1e2", "100.0", "1E+2", "100", "-0", "0.50"];
    let mut records = vec![other];
    for (id, text) in (1..).zip(texts) {
        records.push(person(id, json!({})));
        records.push(custom_event(id, id, "6-1", &json!({"n": number(text)})));
    }
    let reaper = account_with(&db, &records).await;
    for (id, text) in (1..).zip(texts) {
        let expected = if id <= 4 { "criteria_not_met" } else { "deleted" };
        assert_eq!(decided(&reaper, event(1, 10, id, id)).await, expected, "{text}");
    }
});

on_both!(change_that_an_import_saw_is_newer_than_an_exported_date, async |db: Database| {
    let year = |name: &str| all_of(&[before_year(name, 2025)]);
    let stale = |city: &str| json!({"lastmodifieddate": "2024-01-01T00:00:00Z", "city": city});
    let lead =
        |stage: &str| json!({"lifecyclestage": stage, "hs_lifecyclestage_lead_date": "2024-01-01T00:00:00Z"});
    let transition = |contact: i64, stage: &str, at: &str| json!({"kind": "lifecycleTransition", "accountId": "1", "contactId": contact.to_string(), "stage": stage, "at": at});
    let deal = |id: i64, city: &str| {
        json!({"kind": "deal", "accountId": "1", "id": id.to_string(),
            "properties": {"hs_lastmodifieddate": "2024-01-01T00:00:00Z", "city": city}})
    };
    let associated = json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": "0-3",
        "operator": "IN_LIST", "filterBranches": [], "filters": [before_year("hs_lastmodifieddate", 2025)]});
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &year("lastmodifieddate")),
            workflow(1, 11, &year("hs_lifecyclestage_lead_date")),
            workflow(1, 12, &within(associated)),
            person(1, stale("a")),
            person(2, stale("a")),
            person(3, stale("a")),
            person(4, stale("a")),
            person(5, lead("customer")),
            person(6, lead("lead")),
            person(7, json!({"lifecyclestage": "lead"})),
            transition(7, "lead", "2024-01-01T00:00:00Z"),
            transition(7, "customer", "2024-03-01T00:00:00Z"),
            person(8, json!({})),
            person(9, json!({})),
            deal(30, "a"),
            deal(31, "a"),
            association(("contact", 8), ("deal", 30)),
            association(("contact", 9), ("deal", 31)),
        ],
    )
    .await;
    let partial = |mut record: Value, properties: Value| {
        (record["partial"], record["properties"]) = (json!(true), properties);
        record
    };
    // A whole record that brings another date of the change brings the change itself.
    let mut told = stale("b");
    told["lastmodifieddate"] = json!("2024-02-01T00:00:00Z");
    reaper
        .import(&[
            partial(person(1, json!({})), json!({"city": "b"})),
            person(2, stale("b")),
            person(3, told),
            partial(person(5, json!({})), json!({"lifecyclestage": "lead"})),
            partial(deal(30, "a"), json!({"city": "b"})),
        ])
        .await;
    let verdict = async |workflow: &str, contact: &str| {
        let explained = ["explain", "--account", "1", "--workflow", workflow, "--contact", contact];
        reaper.json(&explained).await["reason"].as_str().unwrap_or("delete").to_owned()
    };
    for (workflow, contact, expected) in [
        ("10", "1", "criteria_not_met"),
        ("10", "2", "criteria_not_met"),
        ("10", "3", "delete"),
        ("10", "4", "delete"),
        // They are leads again, and nothing says since when.
        ("11", "5", UNKNOWN),
        ("11", "7", UNKNOWN),
        ("11", "6", "delete"),
        ("12", "8", "criteria_not_met"),
        ("12", "9", "delete"),
    ] {
        assert_eq!(verdict(workflow, contact).await, expected, "workflow {workflow}, contact {contact}");
    }
});

on_both!(nothing_leads_to_a_record_that_is_gone, async |db: Database| {
    let mut old = json!({"kind": "deal", "accountId": "1", "id": "30", "properties": {}});
    (old["archived"], old["archivedAt"]) = (json!(true), json!(days_ago(91)));
    let deal = |id: i64| json!({"kind": "deal", "accountId": "1", "id": id.to_string(), "properties": {}});
    let ticket = json!({"kind": "ticket", "accountId": "1", "id": "40", "properties": {}});
    let conversation = json!({"kind": "conversation", "accountId": "1", "id": "50", "channel": "chat", "contactId": "9",
        "ticketIds": ["40"], "messages": []});
    let has = |type_id: &str| {
        within(
            json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": type_id,
            "operator": "IN_LIST", "filterBranches": [], "filters": []}),
        )
    };
    let reaper = account_with(
        &db,
        &[
            workflow(1, 10, &has("0-3")),
            workflow(1, 11, &has("0-5")),
            person(1, json!({})),
            person(2, json!({})),
            person(9, json!({})),
            old,
            deal(31),
            association(("contact", 2), ("deal", 31)),
            ticket,
            conversation,
            association(("contact", 2), ("ticket", 41)),
        ],
    )
    .await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "9", "--confirm", "1"]).await;
    let inspected = reaper.json(&["inspect", "record", "--account", "1", "ticket:40"]).await;
    assert_eq!(inspected["state"], "erased");
    let again = [
        association(("contact", 1), ("deal", 30)),
        association(("ticket", 40), ("contact", 1)),
        activity(60, "note", &[("contact", 1), ("deal", 30), ("ticket", 40)]),
    ];
    let output = reaper.run_with_input(&["--json", "import", "-"], &lines(&again)).await;
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!((&report["imported"], &report["skipped"]), (&json!(1), &json!(2)), "{}", output.stderr);
    let links =
        "SELECT object_type, CAST(object_id AS text) FROM activity_associations WHERE activity_id = 60";
    assert_eq!(db.rows(links).await, [["contact", "1"]]);
    for (workflow, contact, expected) in
        [("10", "1", "criteria_not_met"), ("11", "1", "criteria_not_met"), ("10", "2", "delete")]
    {
        let explained = ["explain", "--account", "1", "--workflow", workflow, "--contact", contact];
        let reason = reaper.json(&explained).await["reason"].as_str().unwrap_or("delete").to_owned();
        assert_eq!(reason, expected, "workflow {workflow}, contact {contact}");
    }
});
