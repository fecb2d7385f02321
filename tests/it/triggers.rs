//! Enrollment triggers as the service meets them: what the store loads for the filter language, on both databases.
//! What each operator means is in `criteria/`.

use serde_json::{Value, json};

use crate::support::records::{
    all_of, branch, contact, days_ago, enrollment, entitled_account, event, in_list, manual_workflow,
    property, seconds_ago, segment, workflow,
};
use crate::support::{Database, Reaper, on_both};

const DELETED: &str = "deleted";

fn first_name(name: &str) -> Value {
    property("firstname", "STRING", "IS_EQUAL_TO", json!(name))
}

fn deletes_ada(id: i64) -> Value {
    workflow(1, id, &all_of(&[first_name("Ada")]))
}

fn ada(id: i64) -> Value {
    contact(1, id, json!({"firstname": "Ada"}))
}

/// A day, so many from today, as a blocked date.
fn blocked_day(from_today: i64) -> Value {
    let date = chrono::Utc::now() + chrono::TimeDelta::days(from_today);
    let month = chrono::Month::try_from(u8::try_from(chrono::Datelike::month(&date)).unwrap()).unwrap();
    json!({"dayOfMonth": chrono::Datelike::day(&date), "month": month.name().to_uppercase()})
}

/// With members of the definition, named by their JSON pointers, replaced.
fn with(mut workflow: Value, members: &[(&str, Value)]) -> Value {
    for (name, value) in members {
        workflow["flow"][*name] = value.clone();
    }
    workflow
}

fn because_of(mut event: Value, cause: &str) -> Value {
    event["data"]["cause"] = json!(cause);
    event
}

/// A contact bought something in a plan.
fn bought(mut event: Value, plan: &str) -> Value {
    event["data"]["cause"] = json!("EVENT");
    event["data"]["event"] =
        json!({"eventTypeId": "6-1", "occurredAt": days_ago(1), "properties": {"plan": plan}});
    event
}

/// Has these decided, and holds each against the outcome and reason it must have.
async fn decides(reaper: &Reaper, cases: &[(Value, &str)]) {
    let events: Vec<Value> = cases.iter().map(|(event, _)| event.clone()).collect();
    reaper.decide(&events).await;
    for (event, expected) in cases {
        let enrollment = event["data"]["enrollmentId"].as_str().unwrap().parse().unwrap();
        let row = reaper.decision(1, enrollment).await;
        let outcome = row["reason"].as_str().or(row["outcome"].as_str());
        assert_eq!(outcome, Some(*expected), "{event}");
    }
}

async fn account_with(db: &Database, records: &[Value]) -> Reaper {
    let reaper = Reaper::new(db);
    reaper.import(&[entitled_account(1), records.to_vec()].concat()).await;
    reaper
}

on_both!(who_met_the_goal_or_is_suppressed_stays, async |db: Database| {
    let customer =
        branch("AND", &[], &[property("lifecyclestage", "ENUMERATION", "IS_ANY_OF", json!(["customer"]))]);
    let strange = branch("AND", &[], &[json!({"filterType": "PAGE_VIEW"})]);
    let mut won = ada(20);
    won["properties"]["lifecyclestage"] = json!("customer");
    let reaper = account_with(
        &db,
        &[
            with(deletes_ada(10), &[("goalFilterBranch", customer)]),
            with(deletes_ada(11), &[("goalFilterBranch", strange)]),
            with(manual_workflow(1, 12), &[("suppressionListIds", json!([4, "5"]))]),
            with(manual_workflow(1, 13), &[("suppressionListIds", json!([4, 99]))]),
            segment(1, 4, &[22]),
            segment(1, 5, &[]),
            won,
            ada(21),
            ada(22),
            ada(23),
            ada(24),
            ada(25),
        ],
    )
    .await;
    let by_hand =
        |workflow, contact, enrollment| because_of(event(1, workflow, contact, enrollment), "MANUAL");
    decides(
        &reaper,
        &[
            (event(1, 10, 20, 1), "goal_met"),
            (because_of(event(1, 10, 20, 2), "MANUAL"), "goal_met"),
            (event(1, 10, 21, 3), DELETED),
            (event(1, 11, 24, 4), "criteria_unsupported"),
            (by_hand(12, 22, 5), "suppressed"),
            (by_hand(12, 23, 6), DELETED),
            // A segment that is not there: nobody can tell, unless another one suppresses already.
            (by_hand(13, 22, 7), "suppressed"),
            (by_hand(13, 25, 8), "criteria_unsupported"),
        ],
    )
    .await;
});

on_both!(the_event_of_the_message_enrolls_and_stored_ones_are_conditions, async |db: Database| {
    let gold = json!({"filterBranchType": "UNIFIED_EVENTS", "filterBranchOperator": "AND", "eventTypeId": "6-1",
        "operator": "HAS_COMPLETED", "filterBranches": [],
        "filters": [property("plan", "STRING", "IS_EQUAL_TO", json!("gold"))]});
    let on_event = json!({"type": "EVENT_BASED", "shouldReEnroll": false, "eventFilterBranches": [gold],
        "refinementCriteria": branch("AND", &[], &[first_name("Ada")])});
    let stored = |contact: i64, id: i64, plan: &str| {
        json!({"kind": "customEvent", "accountId": "1", "id": id.to_string(),
        "contactId": contact.to_string(), "eventTypeId": "6-1", "occurredAt": days_ago(3), "properties": {"plan": plan}})
    };
    let reaper = account_with(
        &db,
        &[
            with(manual_workflow(1, 10), &[("enrollmentCriteria", on_event)]),
            workflow(1, 11, &branch("OR", &[branch("AND", &[gold], &[])], &[])),
            ada(20),
            ada(21),
            ada(22),
            ada(23),
            contact(1, 24, json!({"firstname": "Bo"})),
            ada(25),
            ada(26),
            stored(22, 1, "gold"),
            stored(23, 2, "gold"),
            stored(25, 3, "silver"),
        ],
    )
    .await;
    decides(
        &reaper,
        &[
            (bought(event(1, 10, 20, 1), "GOLD"), DELETED),
            (bought(event(1, 10, 21, 2), "silver"), "criteria_not_met"),
            // What happened before is not what enrolls now.
            (bought(event(1, 10, 22, 3), "silver"), "criteria_not_met"),
            (event(1, 10, 23, 4), DELETED),
            (bought(event(1, 10, 24, 5), "gold"), "criteria_not_met"),
            (because_of(event(1, 10, 22, 6), "RE_ENROLLMENT"), "criteria_not_met"),
            (event(1, 11, 25, 7), "criteria_not_met"),
            (bought(event(1, 11, 25, 8), "gold"), DELETED),
            (event(1, 11, 26, 9), "criteria_not_met"),
            (event(1, 11, 22, 10), DELETED),
        ],
    )
    .await;
});

on_both!(the_event_of_the_message_is_of_a_type_that_is_kept, async |db: Database| {
    let gold = |operator: &str| {
        json!({"filterBranchType": "UNIFIED_EVENTS", "filterBranchOperator": "AND", "eventTypeId": "6-1",
            "operator": operator, "filterBranches": [],
            "filters": [property("plan", "STRING", "IS_EQUAL_TO", json!("gold"))]})
    };
    let on_event = json!({"type": "EVENT_BASED", "shouldReEnroll": false, "eventFilterBranches": [gold("HAS_COMPLETED")]});
    let never = branch("OR", &[branch("AND", &[gold("HAS_NOT_COMPLETED")], &[])], &[]);
    let reaper = account_with(
        &db,
        &[
            with(manual_workflow(1, 10), &[("enrollmentCriteria", on_event)]),
            workflow(1, 11, &never),
            ada(20),
            ada(21),
            ada(22),
        ],
    )
    .await;
    decides(
        &reaper,
        &[
            (event(1, 10, 20, 1), "criteria_unsupported"),
            (event(1, 11, 20, 2), "criteria_unsupported"),
            (bought(event(1, 11, 20, 3), "gold"), "criteria_not_met"),
            (bought(event(1, 10, 21, 4), "silver"), "criteria_not_met"),
            (bought(event(1, 10, 20, 5), "gold"), DELETED),
            (bought(event(1, 11, 22, 6), "silver"), DELETED),
        ],
    )
    .await;
});

on_both!(being_in_a_segment_enrolls_whatever_the_cause, async |db: Database| {
    let member = json!({"type": "EVENT_BASED", "shouldReEnroll": true, "eventFilterBranches": [],
        "listMembershipFilterBranches": [branch("AND", &[], &[in_list(9, "IN_LIST")])]});
    let reaper = account_with(
        &db,
        &[
            with(manual_workflow(1, 10), &[("enrollmentCriteria", member)]),
            segment(1, 9, &[20, 21, 22]),
            ada(20),
            ada(21),
            ada(22),
            ada(23),
        ],
    )
    .await;
    decides(
        &reaper,
        &[
            (event(1, 10, 20, 1), DELETED),
            (bought(event(1, 10, 21, 2), "gold"), DELETED),
            (event(1, 10, 23, 3), "criteria_not_met"),
            (bought(event(1, 10, 23, 4), "gold"), "criteria_not_met"),
            (because_of(event(1, 10, 22, 5), "RE_ENROLLMENT"), "criteria_not_met"),
        ],
    )
    .await;
});

on_both!(associated_records_history_forms_and_enrollments_are_looked_at, async |db: Database| {
    let at = |kind: &str, filter: Value| {
        json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND",
        "objectTypeId": kind, "operator": "IN_LIST", "filterBranches": [], "filters": [filter]})
    };
    let acme = branch(
        "OR",
        &[branch("AND", &[at("0-2", property("name", "STRING", "IS_EQUAL_TO", json!("ACME")))], &[])],
        &[],
    );
    let friend = branch("OR", &[branch("AND", &[at("0-1", first_name("Bo"))], &[])], &[]);
    let called = branch(
        "OR",
        &[branch("AND", &[at("0-48", property("result", "STRING", "IS_EQUAL_TO", json!("no")))], &[])],
        &[],
    );
    let was_lead = property("lifecyclestage", "ENUMERATION", "HAS_EVER_BEEN_ANY_OF", json!(["lead"]));
    let filled = json!({"filterType": "FORM_SUBMISSION", "operator": "FILLED_OUT", "formId": "f1"});
    let active = json!({"filterType": "IN_LIST", "operator": "IN_LIST", "listId": "6",
        "metadata": {"id": "6", "inListType": "WORKFLOWS_ACTIVE"}});
    let never_through = json!({"filterType": "IN_LIST", "operator": "NOT_IN_LIST", "listId": "6",
        "metadata": {"id": "6", "inListType": "WORKFLOWS_COMPLETED"}});
    let mut again = enrollment(1, 6, 33, true);
    again["enrolledAt"] = json!(days_ago(1));
    let company = |id: &str, name: &str| json!({"kind": "company", "accountId": "1", "id": id, "properties": {"name": name}});
    let tie =
        |from: Value, to: Value| json!({"kind": "association", "accountId": "1", "from": from, "to": to});
    let person = |id: &str| json!({"type": "contact", "id": id});
    let firm = |id: &str| json!({"type": "company", "id": id});
    let mut changed = ada(24);
    changed["properties"]["lifecyclestage"] = json!("customer");
    changed["propertiesWithHistory"] = json!({"lifecyclestage": [
        {"value": "customer", "timestamp": days_ago(2)}, {"value": "lead", "timestamp": days_ago(9)}]});
    let mut always = ada(25);
    always["properties"]["lifecyclestage"] = json!("customer");
    let mut bo_in_trash = contact(1, 31, json!({"firstname": "Bo"}));
    bo_in_trash["archived"] = json!(true);
    bo_in_trash["archivedAt"] = json!(days_ago(1));
    let mut records = vec![
        workflow(1, 10, &acme),
        workflow(1, 11, &all_of(&[was_lead])),
        workflow(1, 12, &all_of(&[filled])),
        workflow(1, 13, &all_of(&[active])),
        workflow(1, 16, &all_of(&[never_through])),
        workflow(1, 14, &friend),
        workflow(1, 15, &called),
        deletes_ada(6),
        company("9", "Acme"),
        company("8", "Other"),
        // Whichever end the contact is.
        tie(person("20"), firm("9")),
        tie(firm("9"), person("21")),
        tie(person("22"), firm("8")),
        tie(person("28"), person("30")),
        tie(person("29"), person("31")),
        json!({"kind": "activity", "accountId": "1", "id": "70", "type": "call", "timestamp": days_ago(2),
            "properties": {"result": "No"}, "associations": [person("32")]}),
        json!({"kind": "formSubmission", "accountId": "1", "id": "60", "formId": "f1", "contactId": "26",
            "submittedAt": days_ago(4), "values": {}}),
        enrollment(1, 6, 27, true),
        // Through it once, and on the way again.
        enrollment(1, 6, 33, false),
        again,
        contact(1, 30, json!({"firstname": "Bo"})),
        changed,
        always,
        bo_in_trash,
    ];
    records.extend([20, 21, 22, 23, 26, 27, 28, 29, 32, 33].map(ada));
    let reaper = account_with(&db, &records).await;
    decides(
        &reaper,
        &[
            (event(1, 10, 20, 1), DELETED),
            (event(1, 10, 21, 2), DELETED),
            (event(1, 10, 22, 3), "criteria_not_met"),
            (event(1, 10, 23, 4), "criteria_not_met"),
            (event(1, 11, 24, 5), DELETED),
            (event(1, 11, 25, 6), "criteria_not_met"),
            (event(1, 12, 26, 7), DELETED),
            (event(1, 12, 23, 8), "criteria_not_met"),
            (event(1, 13, 27, 9), DELETED),
            (event(1, 13, 23, 10), "criteria_not_met"),
            (event(1, 14, 28, 11), DELETED),
            // The other end is in the trash: nobody sees the association.
            (event(1, 14, 29, 12), "criteria_not_met"),
            (event(1, 15, 32, 13), DELETED),
            (event(1, 15, 23, 14), "criteria_not_met"),
            (event(1, 16, 33, 15), "criteria_not_met"),
            (event(1, 16, 23, 16), DELETED),
        ],
    )
    .await;
});

on_both!(a_re_enrollment_meets_a_trigger_and_the_criteria, async |db: Database| {
    let again = |triggers: Value| {
        json!({"type": "LIST_BASED", "shouldReEnroll": true,
        "listFilterBranch": all_of(&[first_name("Ada")]), "reEnrollmentTriggersFilterBranches": triggers})
    };
    let moved = branch("AND", &[], &[property("city", "ALL_PROPERTY", "IS_KNOWN", Value::Null)]);
    let mut records = vec![
        with(manual_workflow(1, 10), &[("enrollmentCriteria", again(json!([moved])))]),
        with(manual_workflow(1, 11), &[("enrollmentCriteria", again(json!([])))]),
        contact(1, 20, json!({"firstname": "Ada", "city": "Gdynia"})),
        contact(1, 21, json!({"firstname": "Bo", "city": "Gdynia"})),
        ada(22),
        ada(23),
    ];
    records.extend([20, 21, 22].map(|contact| enrollment(1, 10, contact, false)));
    records.extend([22, 23].map(|contact| enrollment(1, 11, contact, false)));
    let reaper = account_with(&db, &records).await;
    let again =
        |workflow, contact, enrollment| because_of(event(1, workflow, contact, enrollment), "RE_ENROLLMENT");
    decides(
        &reaper,
        &[
            (again(10, 20, 1), DELETED),
            (again(10, 21, 2), "criteria_not_met"),
            (again(10, 22, 3), "criteria_not_met"),
            (again(11, 22, 4), "criteria_not_met"),
            (because_of(event(1, 11, 23, 5), "MANUAL"), DELETED),
        ],
    )
    .await;
});

on_both!(a_re_enrollment_trigger_that_is_not_understood_says_nothing_of_the_contact, async |db: Database| {
    let change = [
        property("hs_name", "STRING", "IS_EQUAL_TO", json!("city")),
        property("hs_value", "ALL_PROPERTY", "IS_KNOWN", Value::Null),
    ];
    let outside = branch("AND", &[], &change);
    let within = json!({"filterBranchType": "UNIFIED_EVENTS", "filterBranchOperator": "AND", "filterBranches": [],
        "eventTypeId": "4-655002", "operator": "HAS_COMPLETED", "filters": change});
    let moved = branch("AND", &[], &[property("city", "STRING", "IS_EQUAL_TO", json!("Gdynia"))]);
    let again = |triggers: Value| {
        json!({"type": "LIST_BASED", "shouldReEnroll": true,
        "listFilterBranch": all_of(&[first_name("Ada")]), "reEnrollmentTriggersFilterBranches": triggers})
    };
    let triggers = [
        (10, json!([outside])),
        (11, json!([branch("OR", std::slice::from_ref(&outside), &[])])),
        (12, json!([within])),
        (13, json!([outside, moved])),
        (14, json!([branch("AND", &[], &[change[1].clone()])])),
        (15, json!([moved])),
    ];
    let mut records: Vec<Value> = triggers
        .iter()
        .map(|(id, triggers)| {
            with(manual_workflow(1, *id), &[("enrollmentCriteria", again(triggers.clone()))])
        })
        .collect();
    records.push(contact(
        1,
        20,
        json!({"firstname": "Ada", "city": "Gdynia", "hs_value": "x", "hs_name": "y"}),
    ));
    records.push(contact(1, 21, json!({"firstname": "Ada", "city": "Sopot"})));
    let reaper = account_with(&db, &records).await;
    let again =
        |workflow, contact, enrollment| because_of(event(1, workflow, contact, enrollment), "RE_ENROLLMENT");
    decides(
        &reaper,
        &[
            (again(10, 20, 1), "criteria_unsupported"),
            (again(11, 21, 2), "criteria_unsupported"),
            // No such event was ever kept.
            (again(12, 20, 3), "criteria_unsupported"),
            (again(13, 21, 4), "criteria_unsupported"),
            (again(14, 20, 5), "criteria_unsupported"),
            (again(15, 21, 6), "criteria_not_met"),
            // Another trigger decides.
            (again(13, 20, 7), DELETED),
        ],
    )
    .await;
});

on_both!(whoever_waited_when_the_trash_came_may_enroll_anew_after_the_restore, async |db: Database| {
    let any_day: Vec<Value> = [-1, 0, 1].map(blocked_day).to_vec();
    let mut re_enrolling = with(deletes_ada(10), &[("blockedDates", json!(any_day))]);
    re_enrolling["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
    let active = json!({"filterType": "IN_LIST", "operator": "IN_LIST", "listId": "10",
        "metadata": {"id": "10", "inListType": "WORKFLOWS_ACTIVE"}});
    let reaper =
        account_with(&db, &[re_enrolling, workflow(1, 11, &all_of(&[active])), ada(20), ada(21)]).await;
    let mut before = event(1, 10, 20, 1);
    before["data"]["enrolledAt"] = json!(seconds_ago(120));
    decides(&reaper, &[(before, "blocked_date"), (event(1, 10, 21, 2), "blocked_date")]).await;
    reaper.delete(1, 20).await;
    reaper.restore(1, 20).await;
    db.execute(&format!("UPDATE contacts SET restored_at = '{}' WHERE contact_id = 20", seconds_ago(60)))
        .await;
    decides(&reaper, &[(event(1, 11, 20, 3), "criteria_not_met"), (event(1, 10, 20, 4), "blocked_date")])
        .await;
    // Open, it takes whoever enrolled anew, and not by the enrollment before.
    let mut open = deletes_ada(10);
    open["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
    reaper.import(&[open]).await;
    reaper.decide(&[]).await;
    assert_eq!(reaper.decision(1, 1).await["reason"], "restored_since_enrollment");
    assert_eq!(reaper.decision(1, 4).await["outcome"], DELETED);
});

on_both!(whoever_waits_in_a_workflow_is_on_the_way_through_it, async |db: Database| {
    let of_ten = |operator: &str, kind: &str| {
        all_of(&[json!({"filterType": "IN_LIST", "operator": operator, "listId": "10",
            "metadata": {"id": "10", "inListType": kind}})])
    };
    let any_day: Vec<Value> = [-1, 0, 1].map(blocked_day).to_vec();
    let mut re_enrolling = with(deletes_ada(10), &[("blockedDates", json!(any_day))]);
    re_enrolling["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
    let reaper = account_with(
        &db,
        &[
            re_enrolling,
            workflow(1, 11, &of_ten("IN_LIST", "WORKFLOWS_COMPLETED")),
            workflow(1, 12, &of_ten("NOT_IN_LIST", "WORKFLOWS_ACTIVE")),
            workflow(1, 13, &of_ten("NOT_IN_LIST", "WORKFLOWS_ENROLLMENT")),
            workflow(1, 14, &of_ten("IN_LIST", "WORKFLOWS_ACTIVE")),
            ada(20),
            ada(21),
            ada(22),
        ],
    )
    .await;
    decides(
        &reaper,
        &[
            (event(1, 10, 20, 1), "blocked_date"),
            // In the same batch, and in a later one.
            (event(1, 13, 20, 2), "criteria_not_met"),
            (event(1, 10, 22, 3), "blocked_date"),
        ],
    )
    .await;
    decides(
        &reaper,
        &[
            (event(1, 11, 20, 4), "criteria_not_met"),
            (event(1, 12, 20, 5), "criteria_not_met"),
            (event(1, 13, 20, 6), "criteria_not_met"),
            // Another enrollment does not slip past what holds it.
            (event(1, 10, 20, 7), "already_enrolled"),
            (event(1, 14, 20, 8), DELETED),
        ],
    )
    .await;
    // Held together and taken up together: one waits on, and that is what the other one looks at.
    reaper.json(&["pause", "--account", "1"]).await;
    decides(&reaper, &[(event(1, 10, 21, 9), "paused"), (event(1, 13, 21, 10), "paused")]).await;
    reaper.json(&["resume", "--account", "1"]).await;
    reaper.decide(&[]).await;
    let reason = async |enrollment| reaper.decision(1, enrollment).await["reason"].clone();
    assert_eq!((reason(9).await, reason(10).await), (json!("blocked_date"), json!("criteria_not_met")));
    // Open again, it does not wait for the moment that the old definition gave.
    reaper.import(&[deletes_ada(10)]).await;
    reaper.decide(&[]).await;
    assert_eq!(reaper.decision(1, 3).await["outcome"], DELETED);
});
