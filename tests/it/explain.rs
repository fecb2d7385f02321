//! `explain`, `workflow preview` and `workflow lint`: what would be decided, without deciding it.

use serde_json::{Value, json};

use crate::support::records::{
    account, all_of, branch, contact, days_ago, enrollment, entitled_account, event, property, segment,
    workflow,
};
use crate::support::{Database, Reaper, TempDir, on_both};

fn deletes_ada(account: i64, id: i64) -> Value {
    workflow(account, id, &all_of(&[property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"))]))
}

/// Account 1 with a workflow 6 and a workflow 7 that is off; account 2 without a subscription.
async fn scene(db: &Database) -> Reaper {
    let reaper = Reaper::new(db);
    let mut off = deletes_ada(1, 7);
    off["flow"]["isEnabled"] = json!(false);
    let mut archived = contact(1, 13, json!({"firstname": "Ada"}));
    archived["archived"] = json!(true);
    archived["archivedAt"] = json!(days_ago(3));
    let mut records = entitled_account(1);
    records.extend([account(2), deletes_ada(1, 6), off, deletes_ada(2, 6), archived]);
    records.extend(
        [(10, "ADA"), (11, "Bo"), (12, "Ada")].map(|(id, name)| contact(1, id, json!({"firstname": name}))),
    );
    records.extend([enrollment(1, 7, 12, false), contact(2, 10, json!({"firstname": "Ada"}))]);
    reaper.import(&records).await;
    reaper
}

async fn explain(reaper: &Reaper, account: &str, workflow: &str, contact: &str) -> Value {
    reaper.json(&["explain", "--account", account, "--workflow", workflow, "--contact", contact]).await
}

/// The checks that did not pass, in their order.
fn failed(explanation: &Value) -> Vec<&str> {
    let checks = explanation["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["passed"] == false).map(|check| check["check"].as_str().unwrap()).collect()
}

on_both!(an_explanation_names_every_check_and_what_each_filter_saw, async |db: Database| {
    let reaper = scene(&db).await;
    let before = db.dump(&[]).await;
    let explained = explain(&reaper, "1", "6", "10").await;
    assert_eq!((&explained["verdict"], &explained["reason"]), (&json!("delete"), &Value::Null));
    assert_eq!(failed(&explained), Vec::<&str>::new());
    let checks = explained["checks"].as_array().unwrap();
    let criteria = checks.iter().find(|check| check["check"] == "criteria_are_met").unwrap();
    let filter = &criteria["filters"][0]["parts"][0]["parts"][0];
    assert_eq!(filter["at"], "$.enrollmentCriteria.listFilterBranch.filterBranches[0].filters[0]");
    assert_eq!((&filter["actualValue"], &filter["verdict"]), (&json!("\"ADA\""), &json!("accepts")));

    for (account, workflow, contact, verdict, reason, first) in [
        ("1", "6", "11", "skip", "criteria_not_met", "criteria_are_met"),
        ("1", "6", "13", "skip", "already_in_trash", "contact_is_live"),
        ("1", "6", "99", "skip", "contact_not_found", "contact_is_live"),
        ("1", "7", "10", "skip", "workflow_off", "workflow_is_on"),
        ("1", "7", "12", "skip", "workflow_off", "workflow_is_on"),
        ("1", "8", "10", "refuse", "workflow_not_found", "workflow_deletes_contacts"),
        ("2", "6", "10", "refuse", "subscription_required", "subscription_is_active"),
        ("3", "6", "10", "refuse", "account_not_found", "account_exists"),
    ] {
        let explained = explain(&reaper, account, workflow, contact).await;
        assert_eq!((&explained["verdict"], &explained["reason"]), (&json!(verdict), &json!(reason)));
        assert_eq!(failed(&explained)[0], first, "{account} {workflow} {contact}");
    }
    // What comes after the first that fails is told as well, where it can be asked.
    assert_eq!(failed(&explain(&reaper, "1", "7", "12").await), ["workflow_is_on", "may_enroll"]);
    let words = reaper.run(&["explain", "--account", "1", "--workflow", "6", "--contact", "11"]).await;
    assert_eq!(words.code, 0);
    assert!(words.stdout.contains("firstname IS_EQUAL_TO \"Ada\" [\"Bo\"]"), "{}", words.stdout);
    assert!(words.stdout.ends_with("verdict: skip (criteria_not_met)\n"), "{}", words.stdout);
    db.assert_unchanged_since(&before).await;
});

on_both!(a_preview_counts_by_reason_as_if_the_workflow_were_on, async |db: Database| {
    let reaper = scene(&db).await;
    let before = db.dump(&[]).await;
    let preview = reaper.json(&["workflow", "preview", "--account", "1", "--workflow", "7"]).await;
    let expected = json!({"liveContacts": 3, "wouldDelete": {"count": 1, "samples": ["10"]},
        "wouldNotDelete": {"criteria_not_met": {"count": 1, "samples": ["11"]},
            "re_enrollment_off": {"count": 1, "samples": ["12"]}}});
    assert_eq!(preview, expected);
    let refused = reaper.refused(&["workflow", "preview", "--account", "1", "--workflow", "8"]).await;
    assert!(refused.contains("account 1 has no workflow 8"), "{refused}");
    db.assert_unchanged_since(&before).await;
});

on_both!(a_held_or_deferred_enrollment_does_not_stand_before_itself, async |db: Database| {
    let mut closed = deletes_ada(1, 8);
    let in_three_days = chrono::Utc::now() + chrono::TimeDelta::days(3);
    closed["flow"]["timeWindows"] = json!([{"day": in_three_days.format("%A").to_string().to_uppercase()}]);
    let reaper = Reaper::new(&db).unguarded().setting("guard.workflow.max_deletions", "1");
    let mut records = entitled_account(1);
    records.extend([deletes_ada(1, 6), closed]);
    records.extend((1..=3).map(|id| contact(1, id, json!({"firstname": "Ada"}))));
    records.push(contact(1, 4, json!({"firstname": "Bo"})));
    // Contact 3 went through workflow 6 before: that is no own enrollment that waits.
    records.push(enrollment(1, 6, 3, false));
    reaper.import(&records).await;
    let mut by_hand = event(1, 6, 4, 4);
    by_hand["data"]["cause"] = json!("MANUAL");
    reaper.decide(&[event(1, 6, 1, 1), event(1, 6, 2, 2), event(1, 8, 2, 3), by_hand]).await;
    let decisions = [reaper.decision(1, 2).await, reaper.decision(1, 3).await];
    assert_eq!([&decisions[0]["outcome"], &decisions[1]["outcome"]], [&json!("held"), &json!("deferred")]);

    let answer = async |reaper: &Reaper, workflow, contact| {
        let explained = explain(reaper, "1", workflow, contact).await;
        [explained["verdict"].clone(), explained["reason"].clone()]
    };
    let before = db.dump(&[]).await;
    assert_eq!(answer(&reaper, "6", "2").await, [json!("hold"), json!("volume_guard")]);
    let unguarded = reaper.clone().unguarded();
    assert_eq!(answer(&unguarded, "6", "2").await, [json!("delete"), Value::Null]);
    assert_eq!(answer(&unguarded, "8", "2").await, [json!("defer"), json!("outside_time_window")]);
    assert_eq!(answer(&unguarded, "6", "3").await, [json!("skip"), json!("re_enrollment_off")]);
    // `explain` answers for the waiting enrollment: this one was made by hand, and its criteria are not checked.
    assert_eq!(answer(&reaper, "6", "4").await, [json!("hold"), json!("volume_guard")]);
    assert_eq!(answer(&unguarded, "6", "4").await, [json!("delete"), Value::Null]);
    let checks = explain(&reaper, "1", "6", "4").await["checks"].clone();
    assert_eq!(checks[1]["detail"], "it was held or deferred, and waits to be decided anew");
    let preview = reaper.json(&["workflow", "preview", "--account", "1", "--workflow", "6"]).await;
    assert_eq!(preview["wouldDelete"], json!({"count": 1, "samples": ["2"]}));
    let others = json!({"re_enrollment_off": {"count": 1, "samples": ["3"]}, "criteria_not_met": {"count": 1, "samples": ["4"]}});
    assert_eq!(preview["wouldNotDelete"], others);
    db.assert_unchanged_since(&before).await;
});

async fn lint(flow: &Value) -> Vec<(String, String)> {
    let dir = TempDir::new();
    let file = dir.path().join("flow.json");
    std::fs::write(&file, flow.to_string()).unwrap();
    let reaper = Reaper::new(&Database::sqlite());
    let output = reaper.run(&["--json", "workflow", "lint", file.to_str().unwrap()]).await;
    let answer: Value = serde_json::from_str(&output.stdout).unwrap();
    let text = |finding: &Value, member: &str| finding[member].as_str().unwrap().to_owned();
    let findings = answer["findings"].as_array().unwrap().iter();
    let findings: Vec<_> = findings.map(|finding| (text(finding, "concern"), text(finding, "at"))).collect();
    let unsupported = findings.iter().filter(|(concern, _)| concern == "unsupported").count();
    assert_eq!(output.code, i32::from(unsupported > 0), "{}", output.stderr);
    match unsupported {
        0 => assert_eq!(output.stderr, ""),
        1 => assert!(output.stderr.contains("1 part of") && output.stderr.contains(" is unsupported")),
        _ => assert!(output.stderr.contains(" are unsupported")),
    }
    findings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lint_says_where_and_how_grave() {
    let sound = deletes_ada(1, 6)["flow"].clone();
    assert_eq!(lint(&sound).await, []);
    assert_eq!(lint(&deletes_ada(1, 6)).await, [], "a line of an import file has the definition within");
    let root = "$.enrollmentCriteria.listFilterBranch";
    let back = json!({"operationType": "TIME_POINT", "operator": "IS_AFTER", "timePoint": {"timeType": "INDEXED",
        "zoneId": "UTC", "indexReference": {"referenceType": "TODAY"}, "offset": {"days": -5}}});
    let since = json!({"filterType": "PROPERTY", "property": "lastmodifieddate", "operation": back});
    let sounds = property("firstname", "STRING", "SOUNDS_LIKE", json!("x"));
    let filters =
        |branch: Value| json!({"type": "LIST_BASED", "shouldReEnroll": false, "listFilterBranch": branch});
    let actions = json!([{"actionId": "1", "actionTypeVersion": 0, "actionTypeId": "0-18224765", "fields": {},
        "type": "SINGLE_CONNECTION", "connection": {"edgeType": "STANDARD", "nextActionId": "2"}}]);
    for (member, value, expected) in [
        (
            "enrollmentCriteria",
            filters(branch("OR", &[branch("AND", &[], &[])], &[])),
            vec![("dangerous", format!("{root}.filterBranches[0]")), ("dangerous", root.to_owned())],
        ),
        (
            "enrollmentCriteria",
            filters(all_of(&[since])),
            vec![("ambiguous", format!("{root}.filterBranches[0].filters[0].operation"))],
        ),
        (
            "enrollmentCriteria",
            filters(all_of(&[sounds])),
            vec![("unsupported", format!("{root}.filterBranches[0].filters[0]"))],
        ),
        (
            "enrollmentCriteria",
            filters(branch("AND", &[], &[property("city", "ALL_PROPERTY", "IS_KNOWN", Value::Null)])),
            vec![("ambiguous", root.to_owned())],
        ),
        (
            "enrollmentCriteria",
            json!({"type": "DATASET"}),
            vec![("unsupported", "$.enrollmentCriteria".to_owned())],
        ),
        ("actions", actions, vec![("ignored", "$.actions[0].connection".to_owned())]),
        ("startActionId", json!("9"), vec![("ambiguous", "$.actions[0]".to_owned())]),
        ("actions", json!([]), vec![("ignored", "$.actions".to_owned())]),
        ("suppressionListIds", json!([4, "x"]), vec![("unsupported", "$.suppressionListIds[1]".to_owned())]),
        (
            "unEnrollmentSetting",
            json!({"type": "ALL", "flowIds": []}),
            vec![("ignored", "$.unEnrollmentSetting".to_owned())],
        ),
        ("id", Value::Null, vec![("unsupported", "$.id".to_owned())]),
        ("type", json!("PLATFORM_FLOW"), vec![("unsupported", "$.type".to_owned())]),
    ] {
        let mut flow = sound.clone();
        flow[member] = value;
        let found = lint(&flow).await;
        let expected: Vec<(String, String)> =
            expected.into_iter().map(|(concern, at)| (concern.to_owned(), at)).collect();
        assert_eq!(found, expected, "{member}: {}", flow[member]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_there_twice_is_told_of() {
    let text = deletes_ada(1, 6)["flow"].to_string().replacen('{', r#"{"suppressionListIds": [4], "#, 1);
    let reaper = Reaper::new(&Database::sqlite());
    let told = reaper.run_with_input(&["--json", "workflow", "lint", "-"], &text).await;
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    let findings = told["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{told}");
    assert_eq!((&findings[0]["concern"], &findings[0]["at"]), (&json!("ambiguous"), &json!("$")));
    let says = findings[0]["says"].as_str().unwrap();
    assert!(says.starts_with("the member suppressionListIds is there twice at line 1"), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_definition_is_refused_in_a_sentence() {
    let reaper = Reaper::new(&Database::sqlite());
    let missing = reaper.refused(&["workflow", "lint", "/nowhere/flow.json"]).await;
    assert!(missing.contains("/nowhere/flow.json cannot be read"), "{missing}");
    let broken = reaper.refused_with_input(&["workflow", "lint", "-"], "{").await;
    assert!(broken.contains("- is no JSON document"), "{broken}");
}

on_both!(a_lint_with_an_account_names_what_it_never_kept, async |db: Database| {
    let filter = |kind: &str, operator: &str, rest: Value| {
        let mut filter = json!({"filterType": kind, "operator": operator});
        filter.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        filter
    };
    let asked = [
        property("firstname", "ALL_PROPERTY", "IS_KNOWN", Value::Null),
        property("favourite_tea", "ALL_PROPERTY", "IS_UNKNOWN", Value::Null),
        property("createdate", "ALL_PROPERTY", "IS_KNOWN", Value::Null),
        filter("IN_LIST", "NOT_IN_LIST", json!({"listId": "4"})),
        filter("IN_LIST", "NOT_IN_LIST", json!({"listId": "5"})),
        filter("FORM_SUBMISSION", "NOT_FILLED_OUT", json!({"formId": "f1"})),
        filter("FORM_SUBMISSION", "NOT_FILLED_OUT", json!({"formId": "f2"})),
    ];
    let associated = |kind: &str, name: &str| {
        json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": kind,
            "operator": "NOT_IN_LIST", "filterBranches": [],
            "filters": [property(name, "ALL_PROPERTY", "IS_KNOWN", Value::Null)]})
    };
    let event = |kind: &str| {
        json!({"filterBranchType": "UNIFIED_EVENTS", "filterBranchOperator": "AND", "eventTypeId": kind,
            "operator": "HAS_NOT_COMPLETED", "filterBranches": [], "filters": []})
    };
    let branches = [associated("0-2", "name"), associated("0-2", "industry"), event("6-1"), event("6-2")];
    let flow = workflow(1, 6, &branch("OR", &[branch("AND", &branches, &asked)], &[]));
    let reaper = Reaper::new(&db);
    let mut records = entitled_account(1);
    records.extend([
        contact(1, 1, json!({"firstname": "Ada"})),
        segment(1, 4, &[]),
        json!({"kind": "company", "accountId": "1", "id": "7", "properties": {"name": "Acme"}}),
        json!({"kind": "association", "accountId": "1", "from": {"type": "company", "id": "7"},
            "to": {"type": "contact", "id": "1"}}),
        json!({"kind": "customEvent", "accountId": "1", "id": "1", "contactId": "1", "eventTypeId": "6-1",
            "occurredAt": days_ago(2), "properties": {}}),
        json!({"kind": "formSubmission", "accountId": "1", "id": "1", "formId": "f1", "contactId": "1",
            "submittedAt": days_ago(2), "values": {}}),
    ]);
    reaper.import(&records).await;
    let lint = |account: &'static [&'static str]| {
        let (reaper, text) = (reaper.clone(), flow.to_string());
        async move {
            reaper.run_with_input(&[&["--json", "workflow", "lint", "-"], account].concat(), &text).await
        }
    };
    assert_eq!(lint(&[]).await.code, 0, "no store is asked");
    let told = lint(&["--account", "1"]).await;
    assert_eq!(told.code, 1, "{}", told.stderr);
    let document: Value = serde_json::from_str(&told.stdout).unwrap();
    let said: Vec<String> = document["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["concern"] == "unsupported")
        .map(|it| {
            let says = it["says"].as_str().unwrap().split(':').next().unwrap();
            format!("{} {says}", it["at"].as_str().unwrap().rsplit('.').next().unwrap())
        })
        .collect();
    assert_eq!(
        said,
        [
            "filters[1] the account never kept a property favourite_tea of contact records",
            "filters[4] the account has no segment 5",
            "filters[6] the account never kept a submission of the form f2",
            "filters[0] the account never kept a property industry of company records",
            "filterBranches[3] the account never kept an event of type 6-2",
        ]
    );
    let nobody = lint(&["--account", "2"]).await;
    assert!(nobody.code == 1 && nobody.stderr.contains("no account 2"), "{}", nobody.stderr);
});
