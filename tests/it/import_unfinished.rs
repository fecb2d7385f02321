//! Enrollments wait for unfinished imports: their contacts, their workflows, and the kinds of records that they bring.

use std::time::Duration;

use contact_reaper::store::Store;
use contact_reaper::store::import::{Pace, Phase, Progress};
use serde_json::{Value, json};

use crate::support::records::{
    all_of, branch, contact, days_ago, enrollment, entitled_account, event, in_list, lines, manual_workflow,
    property, segment, workflow,
};
use crate::support::{Database, Reaper, TempDir, import_at, on_both};

async fn outcome(reaper: &Reaper, enrollment: i64) -> [String; 2] {
    outcome_in(reaper, 1, enrollment).await
}

async fn outcome_in(reaper: &Reaper, account: i64, enrollment: i64) -> [String; 2] {
    let decision = reaper.decision(account, enrollment).await;
    ["outcome", "reason"].map(|member| decision[member].as_str().unwrap_or_default().to_owned())
}

fn by_hand(contact: i64, enrollment: i64) -> Value {
    let mut event = event(1, 6, contact, enrollment);
    event["data"]["cause"] = json!("MANUAL");
    event
}

/// Imports records until the first chunk of which so many are done, and is torn off there.
async fn torn_off(store: Store, records: Vec<Value>, after: u64) {
    let torn = tokio::spawn(async move {
        let pace = Pace { chunk: Duration::ZERO, ..Pace::default() };
        let mut until = |progress: Progress| {
            assert!(progress.phase == Phase::Check || progress.done < after, "torn off, as intended");
        };
        import_at(&store, &records, pace, &mut until).await
    });
    assert!(torn.await.unwrap_err().is_panic());
}

/// Lets what waits be looked at now.
async fn look_again(db: &Database, reaper: &Reaper) {
    db.execute("UPDATE pending_enrollments SET ready_at = since").await;
    reaper.decide(&[]).await;
}

/// Account 1 with workflow 6, which suppresses segment 4.
fn suppressing() -> Vec<Value> {
    let mut flow = manual_workflow(1, 6);
    flow["flow"]["suppressionListIds"] = json!(["4"]);
    [&entitled_account(1)[..], &[segment(1, 4, &[]), segment(1, 5, &[]), flow]].concat()
}

on_both!(enrollment_waits_for_the_unfinished_import_of_its_contact, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    reaper.import(&suppressing()).await;
    let file = vec![contact(1, 1, json!({})), contact(1, 2, json!({})), segment(1, 4, &[1])];
    torn_off(db.open(), file.clone(), 2).await;
    assert_eq!(db.count("contacts", "TRUE").await, 2, "its contacts are there, and its segment is not");
    reaper.decide(&[by_hand(1, 1), by_hand(2, 2)]).await;
    let awaited = ["deferred", "awaiting_contact"];
    assert_eq!(
        (outcome(&reaper, 1).await, outcome(&reaper, 2).await),
        (awaited.map(Into::into), awaited.map(Into::into))
    );
    // However old the interrupted import is.
    db.execute(&format!("UPDATE pending_enrollments SET since = '{}'", days_ago(9))).await;
    look_again(&db, &reaper).await;
    assert_eq!(outcome(&reaper, 1).await, awaited);
    let explained = reaper.json(&["explain", "--account", "1", "--workflow", "6", "--contact", "2"]).await;
    assert_eq!((&explained["verdict"], &explained["reason"]), (&json!("defer"), &json!("awaiting_contact")));
    assert!(explained.to_string().contains("the import that wrote it has not finished"), "{explained}");

    reaper.import(&file).await;
    look_again(&db, &reaper).await;
    assert_eq!(outcome(&reaper, 1).await, ["skipped", "suppressed"]);
    assert_eq!(outcome(&reaper, 2).await, ["deleted", ""]);
    assert_eq!(db.count("unfinished_imports", "TRUE").await, 0);
});

// An import writes workflows last.
on_both!(enrollment_waits_for_the_workflow_of_an_unfinished_import, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    let mut off = manual_workflow(1, 7);
    off["flow"]["isEnabled"] = json!(false);
    reaper.import(&[&entitled_account(1)[..], &[off]].concat()).await;
    let file = vec![contact(1, 1, json!({})), manual_workflow(1, 6), manual_workflow(1, 7)];
    torn_off(db.open(), file.clone(), 1).await;
    let mut in_7 = by_hand(1, 2);
    in_7["data"]["workflowId"] = json!("7");
    reaper.decide(&[by_hand(1, 1), in_7]).await;
    let awaited = ["deferred", "awaiting_contact"];
    assert_eq!(outcome(&reaper, 1).await, awaited, "there is no workflow 6 yet");
    assert_eq!(outcome(&reaper, 2).await, awaited, "workflow 7 is off until then");
    reaper.import(&file).await;
    look_again(&db, &reaper).await;
    assert_eq!(outcome(&reaper, 1).await, ["deleted", ""]);
    assert_eq!(outcome(&reaper, 2).await, ["skipped", "already_in_trash"]);
});

on_both!(new_workflow_arrives_after_the_enrollments_that_protect_contacts, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    reaper.import(&[&entitled_account(1)[..], &[contact(1, 1, json!({}))]].concat()).await;
    let file = vec![manual_workflow(1, 6), enrollment(1, 6, 1, false)];
    torn_off(db.open(), file.clone(), 1).await;
    assert_eq!((db.count("workflow_enrollments", "TRUE").await, db.count("workflows", "TRUE").await), (1, 0));
    reaper.import(&file).await;
    reaper.decide(&[by_hand(1, 1)]).await;
    assert_eq!(outcome(&reaper, 1).await, ["skipped", "re_enrollment_off"]);
});

on_both!(removed_membership_defers_enrollments_until_the_import_is_finished, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    let mut flow = manual_workflow(1, 6);
    flow["flow"]["suppressionListIds"] = json!(["4", "5"]);
    let records = [
        &entitled_account(1)[..],
        &[contact(1, 1, json!({})), segment(1, 4, &[1]), segment(1, 5, &[]), flow],
    ];
    reaper.import(&records.concat()).await;
    // Records of one key are never written together.
    let file = vec![segment(1, 4, &[]), segment(1, 4, &[]), segment(1, 5, &[1])];
    torn_off(db.open(), file, 1).await;
    assert_eq!(db.count("segment_members", "TRUE").await, 0);
    reaper.decide(&[by_hand(1, 1)]).await;
    assert_eq!(outcome(&reaper, 1).await, ["deferred", "awaiting_contact"]);
    // Another import, by which an interrupted one counts as finished, and one that may be under way does not.
    let unfinished_after = async || {
        let file = lines(&[segment(1, 5, &[1])]);
        let output = reaper.run_with_input(&["import", "-", "--end-unfinished"], &file).await;
        assert_eq!(output.code, 0, "{}", output.stderr);
        db.count("unfinished_imports", "TRUE").await
    };
    assert_eq!(unfinished_after().await, 1);
    db.execute(&format!("UPDATE unfinished_imports SET seen_at = '{}'", days_ago(1))).await;
    assert_eq!(unfinished_after().await, 0);
    look_again(&db, &reaper).await;
    assert_eq!(outcome(&reaper, 1).await, ["skipped", "suppressed"]);
});

on_both!(other_imports_do_not_release_contacts_of_an_unfinished_import, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    reaper.import(&suppressing()).await;
    let people = [1, 2, 3].map(|id| contact(1, id, json!({"plan": "gold"})));
    let file = [&people[..], &[segment(1, 4, &[1, 2, 3])]].concat();
    torn_off(db.open(), file.clone(), 3).await;
    // One that writes a contact, a part of it, or takes it out of a segment, and comes to its end.
    reaper.import(&[contact(1, 1, json!({"plan": "free"}))]).await;
    reaper.import(&[json!({"kind": "contact", "accountId": "1", "id": "2", "partial": true, "properties": {"plan": "free"}})]).await;
    for members in [&[3][..], &[]] {
        reaper.import(&[segment(1, 5, members)]).await;
    }
    // One that does not come to its end either, and then does.
    let other = vec![
        contact(1, 1, json!({"plan": "none"})),
        contact(1, 1, json!({"plan": "none"})),
        segment(1, 5, &[]),
    ];
    torn_off(db.open(), other.clone(), 1).await;
    reaper.decide(&[by_hand(1, 1), by_hand(2, 2), by_hand(3, 3)]).await;
    for (whole, outcomes) in [(other, ["deferred"; 3]), (file, ["skipped"; 3])] {
        look_again(&db, &reaper).await;
        for enrollment in [1, 2, 3] {
            assert_eq!(outcome(&reaper, enrollment).await[0], "deferred");
        }
        reaper.import(&whole).await;
        look_again(&db, &reaper).await;
        for (enrollment, expected) in (1..).zip(outcomes) {
            assert_eq!(outcome(&reaper, enrollment).await[0], expected, "enrollment {enrollment}");
        }
    }
    assert_eq!(
        (db.count("unfinished_imports", "TRUE").await, db.count("unfinished_contacts", "TRUE").await),
        (0, 0)
    );
});

on_both!(contact_of_two_unfinished_imports_waits_for_both, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    reaper.import(&suppressing()).await;
    let first = vec![contact(1, 1, json!({})), contact(1, 1, json!({})), segment(1, 5, &[])];
    torn_off(db.open(), first.clone(), 1).await;
    let second =
        vec![contact(1, 1, json!({"plan": "x"})), contact(1, 1, json!({"plan": "x"})), segment(1, 4, &[1])];
    torn_off(db.open(), second.clone(), 1).await;
    reaper.decide(&[by_hand(1, 1)]).await;
    reaper.import(&first).await;
    look_again(&db, &reaper).await;
    assert_eq!(outcome(&reaper, 1).await, ["deferred", "awaiting_contact"]);
    reaper.import(&second).await;
    look_again(&db, &reaper).await;
    assert_eq!(outcome(&reaper, 1).await, ["skipped", "suppressed"]);
});

on_both!(different_file_at_the_same_path_is_a_different_import, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    reaper.import(&suppressing()).await;
    let dir = TempDir::new();
    let path = dir.path().join("nightly.jsonl");
    std::fs::write(&path, lines(&[contact(1, 2, json!({}))])).unwrap();
    torn_off(db.open(), vec![contact(1, 1, json!({})), segment(1, 4, &[1])], 1).await;
    let output = reaper.run(&["import", path.to_str().unwrap()]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    reaper.decide(&[by_hand(1, 1)]).await;
    assert_eq!(outcome(&reaper, 1).await, ["deferred", "awaiting_contact"]);
});

on_both!(removed_association_defers_enrollments_until_the_import_is_finished, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    let nowhere = json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": "0-2",
        "operator": "NOT_IN_LIST", "associationTypeId": 279, "associationCategory": "HUBSPOT_DEFINED",
        "filterBranches": [], "filters": [{"filterType": "PROPERTY", "property": "name",
            "operation": {"operationType": "ALL_PROPERTY", "operator": "IS_KNOWN", "includeObjectsWithNoValueSet": false}}]});
    let lonely = json!({"filterBranchType": "OR", "filterBranchOperator": "OR", "filters": [], "filterBranches": [
        {"filterBranchType": "AND", "filterBranchOperator": "AND", "filters": [], "filterBranches": [nowhere]}]});
    let company =
        |id: &str| json!({"kind": "company", "accountId": "1", "id": id, "properties": {"name": "Works"}});
    let tie = |id: &str| {
        json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "1"},
        "to": {"type": "company", "id": id}, "associationTypeId": "279"})
    };
    let records = [contact(1, 1, json!({})), company("9"), company("10"), tie("9"), workflow(1, 6, &lonely)];
    reaper.import(&[&entitled_account(1)[..], &records].concat()).await;
    let mut remove = tie("9");
    remove["kind"] = json!("remove");
    remove["of"] = json!("association");
    // Two of one key are never in one piece.
    let file = vec![remove.clone(), remove, tie("10")];
    torn_off(db.open(), file.clone(), 1).await;
    assert_eq!(db.count("associations", "TRUE").await, 0);
    reaper.decide(&[event(1, 6, 1, 1)]).await;
    assert_eq!(outcome(&reaper, 1).await, ["deferred", "awaiting_contact"]);
    reaper.import(&file).await;
    look_again(&db, &reaper).await;
    assert_eq!(outcome(&reaper, 1).await, ["skipped", "criteria_not_met"]);
});

/// One filter of memberships in workflow 20.
fn never_enrolled() -> Value {
    json!({"filterType": "IN_LIST", "operator": "NOT_IN_LIST", "listId": "20",
        "metadata": {"id": "20", "inListType": "WORKFLOWS_ENROLLMENT"}})
}

/// An `OR` of an `AND` of this branch, as the vendor nests them.
fn within(part: Value) -> Value {
    branch("OR", &[branch("AND", &[part], &[])], &[])
}

fn without_any(object_type: &str) -> Value {
    within(
        json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": object_type,
        "operator": "NOT_IN_LIST", "filterBranches": [], "filters": []}),
    )
}

/// A kind of record: its name, criteria that a contact has none, and the record that says that this contact has one.
type RecordKind = (&'static str, Value, fn(&str) -> Value);

/// What a contact may have.
fn kinds() -> Vec<RecordKind> {
    let filter = |filter: Value| all_of(&[filter]);
    vec![
        (
            "customEvent",
            within(
                json!({"filterBranchType": "UNIFIED_EVENTS", "filterBranchOperator": "AND", "eventTypeId": "6-1",
                "operator": "HAS_NOT_COMPLETED", "filterBranches": [], "filters": []}),
            ),
            |id| json!({"id": id, "contactId": id, "eventTypeId": "6-1", "occurredAt": days_ago(1), "properties": {}}),
        ),
        (
            "formSubmission",
            filter(json!({"filterType": "FORM_SUBMISSION", "operator": "NOT_FILLED_OUT", "formId": "f"})),
            |id| json!({"id": id, "contactId": id, "formId": "f", "submittedAt": days_ago(1), "values": {}}),
        ),
        (
            "association",
            without_any("0-5"),
            |id| json!({"from": {"type": "contact", "id": id}, "to": {"type": "ticket", "id": "9"}}),
        ),
        ("activity", without_any("0-48"), |id| {
            json!({"id": id, "type": "call", "timestamp": days_ago(1), "properties": {},
                "associations": [{"type": "contact", "id": id}]})
        }),
        (
            "enrollment",
            filter(never_enrolled()),
            |id| json!({"workflowId": "20", "contactId": id, "enrolledAt": days_ago(1), "active": false}),
        ),
        (
            "segment",
            filter(in_list(5, "NOT_IN_LIST")),
            |id| json!({"id": "5", "name": "five", "processingType": "MANUAL", "members": [id]}),
        ),
        (
            "lifecycleTransition",
            filter(property("lifecyclestage", "ENUMERATION", "HAS_NEVER_BEEN_ANY_OF", json!(["customer"]))),
            |id| json!({"contactId": id, "stage": "customer", "at": days_ago(1)}),
        ),
        (
            "lifecycleTransition",
            filter(property("hs_lifecyclestage_customer_date", "ALL_PROPERTY", "IS_UNKNOWN", Value::Null)),
            |id| json!({"contactId": id, "stage": "customer", "at": days_ago(1)}),
        ),
        (
            "contact",
            filter(property("vip", "ALL_PROPERTY", "IS_UNKNOWN", Value::Null)),
            |id| json!({"id": id, "properties": {"lifecyclestage": "lead", "vip": "yes"}, "createdAt": days_ago(9)}),
        ),
    ]
}

// With its first row of a kind the account keeps that kind, and "has none" of it would select everybody whose row is still to come.
on_both!(kind_that_an_unfinished_import_brings_selects_nobody, async |db: Database| {
    for (number, (kind, has_none, has_one)) in (1..).zip(kinds()) {
        let account = 100 + number;
        let reaper = Reaper::new(&db).unguarded();
        let of_kind = |id: &str| {
            let mut record = has_one(id);
            record["kind"] = json!(kind);
            record["accountId"] = json!(account.to_string());
            record
        };
        let at_stage = |id: i64| contact(account, id, json!({"lifecyclestage": "lead"}));
        let records =
            [at_stage(1), at_stage(2), workflow(account, 6, &has_none), workflow(account, 20, &Value::Null)];
        reaper.import(&[&entitled_account(account)[..], &records].concat()).await;
        // Records of one key are never written together: the row of contact 2 comes with the second one.
        let file = vec![of_kind("1"), of_kind("1"), of_kind("2")];
        torn_off(db.open(), file.clone(), 1).await;
        reaper.decide(&[event(account, 6, 2, 1)]).await;
        assert_eq!(outcome_in(&reaper, account, 1).await, ["deferred", "awaiting_contact"], "{kind}");
        let account_id = account.to_string();
        let explained = ["explain", "--account", &account_id, "--workflow", "6", "--contact", "2"];
        let explained = reaper.json(&explained).await.to_string();
        assert!(explained.contains("an import of its account has not finished"), "{explained}");

        let dir = TempDir::new();
        let filter = dir.path().join("none.json");
        std::fs::write(&filter, has_none.to_string()).unwrap();
        let delete = [
            "delete",
            "--account",
            &account_id,
            "--as",
            "1",
            "--where",
            filter.to_str().unwrap(),
            "--confirm",
            "7",
        ];
        let refused = reaper.refused(&delete).await;
        assert!(refused.contains(&format!("an import into account {account} has not finished")), "{refused}");

        reaper.import(&file).await;
        look_again(&db, &reaper).await;
        // Of a segment that comes twice the last record counts: contact 2 alone is in it.
        assert_eq!(outcome_in(&reaper, account, 1).await, ["skipped", "criteria_not_met"], "{kind}");
        let refused = reaper.refused(&delete).await;
        assert!(refused.contains("would be deleted"), "{refused}");
    }
});

// The contact is as the file has it, so no chunk writes its row.
on_both!(
    enrollment_that_an_unfinished_import_brings_protects_a_contact_that_stays_as_it_is,
    async |db: Database| {
        let reaper = Reaper::new(&db).unguarded();
        let lead = all_of(&[property("lifecyclestage", "ENUMERATION", "IS_ANY_OF", json!(["lead"]))]);
        let at_stage = |id: i64| contact(1, id, json!({"lifecyclestage": "lead"}));
        let records = [at_stage(1), at_stage(2), workflow(1, 7, &lead), manual_workflow(1, 6)];
        reaper.import(&[&entitled_account(1)[..], &records].concat()).await;
        let file = vec![
            contact(1, 9, json!({})),
            contact(1, 9, json!({})),
            enrollment(1, 7, 1, false),
            enrollment(1, 6, 2, true),
        ];
        torn_off(db.open(), file.clone(), 1).await;
        reaper.decide(&[event(1, 7, 1, 1), by_hand(2, 2)]).await;
        for id in [1, 2] {
            assert_eq!(outcome(&reaper, id).await, ["deferred", "awaiting_contact"]);
        }
        reaper.import(&file).await;
        look_again(&db, &reaper).await;
        assert_eq!(outcome(&reaper, 1).await, ["skipped", "re_enrollment_off"]);
        assert_eq!(outcome(&reaper, 2).await, ["skipped", "already_enrolled"]);
    }
);

on_both!(unfinished_import_defers_only_what_it_may_change, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    let lead = all_of(&[property("lifecyclestage", "ENUMERATION", "IS_ANY_OF", json!(["lead"]))]);
    let records = [workflow(1, 7, &lead), manual_workflow(1, 6)];
    let contacts = (1..=5).map(|id| contact(1, id, json!({"lifecyclestage": "lead"}))).collect::<Vec<_>>();
    reaper.import(&[&entitled_account(1)[..], &records, &contacts].concat()).await;
    reaper
        .import(&[&entitled_account(2)[..], &[contact(2, 1, json!({})), manual_workflow(2, 6)]].concat())
        .await;
    let file = vec![contact(1, 9, json!({})), contact(1, 9, json!({})), contact(1, 10, json!({}))];
    torn_off(db.open(), file.clone(), 1).await;
    let mut absent_workflow = by_hand(4, 4);
    absent_workflow["data"]["workflowId"] = json!("8");
    let mut elsewhere = event(2, 6, 1, 1);
    elsewhere["data"]["cause"] = json!("MANUAL");
    reaper.decide(&[event(1, 7, 1, 1), by_hand(2, 2), by_hand(10, 3), absent_workflow, elsewhere]).await;
    assert_eq!(outcome(&reaper, 1).await, ["deleted", ""], "all that its workflow asks stands in its record");
    assert_eq!(outcome(&reaper, 2).await, ["deleted", ""], "its workflow asks nothing");
    assert_eq!(
        outcome(&reaper, 3).await,
        ["deferred", "awaiting_contact"],
        "the import may bring the contact"
    );
    assert_eq!(
        outcome(&reaper, 4).await,
        ["deferred", "awaiting_contact"],
        "the import may bring the workflow"
    );
    assert_eq!(outcome_in(&reaper, 2, 1).await, ["deleted", ""], "the import is of another account");
    // Not for a minute, as where no import is unfinished.
    db.execute(&format!("UPDATE pending_enrollments SET since = '{}'", days_ago(9))).await;
    look_again(&db, &reaper).await;
    assert_eq!(outcome(&reaper, 3).await, ["deferred", "awaiting_contact"]);
    reaper.import(&file).await;
    look_again(&db, &reaper).await;
    assert_eq!(outcome(&reaper, 3).await, ["deleted", ""]);
    assert_eq!(outcome(&reaper, 4).await, ["refused", "workflow_not_found"]);
    assert_eq!(db.count("unfinished_accounts", "TRUE").await, 0);
});
