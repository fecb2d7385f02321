//! What somebody tried in order to break it, kept.

use serde_json::{Value, json};

use crate::support::records::{
    ADMIN, account, contact, days_ago, entitled_account, event, lines, manual_workflow, user, workflow,
};
use crate::support::{Database, Reaper, TempDir, on_both};

async fn with_contacts(db: &Database, more: Vec<Value>) -> Reaper {
    let reaper = Reaper::new(db);
    let mut records = entitled_account(1);
    records.push(manual_workflow(1, 6));
    records.extend((1..=3).map(|id| contact(1, id, json!({}))));
    records.extend(more);
    reaper.import(&records).await;
    reaper
}

fn by_hand(contact: i64, enrollment: i64) -> Value {
    let mut event = event(1, 6, contact, enrollment);
    event["data"]["cause"] = json!("MANUAL");
    event
}

on_both!(an_object_is_no_number_whatever_its_member_is_called, async |db: Database| {
    let reaper = with_contacts(&db, vec![]).await;
    let mut odd = by_hand(1, 1);
    odd["data"]["objectId"] = json!({"$serde_json::private::Number": "1"});
    reaper.decide(&[odd]).await;
    assert_eq!(reaper.state(1, 1).await, "live");
    let reasons = db.rows("SELECT reason FROM dead_letters").await;
    assert_eq!(reasons, [["malformed"]]);
});

on_both!(a_user_is_never_mistaken_for_another, async |db: Database| {
    let mut first = user(1, 10, &["delete"]);
    let mut second = user(1, 11, &[]);
    first["email"] = json!("shared@x.example");
    second["email"] = json!("Shared@x.example");
    let reaper = with_contacts(&db, vec![user(1, 7, &[]), first, second]).await;
    for (who, why) in [("7", "user 7 may not"), ("", "no such user"), ("shared@x.example", "several users")] {
        let said = reaper
            .refused(&["delete", "--account", "1", "--as", who, "--contact", "1", "--confirm", "1"])
            .await;
        assert!(said.contains(why), "{who:?}: {said}");
    }
    assert_eq!(reaper.state(1, 1).await, "live");
});

on_both!(contacts_in_the_trash_may_share_an_address_also_when_they_arrive_there, async |db: Database| {
    let of = |id: i64, archived: bool| {
        let mut record = contact(1, id, json!({"email": "one@x.example"}));
        record["archived"] = json!(archived);
        record["archivedAt"] = json!(days_ago(3));
        record
    };
    let reaper = with_contacts(&db, vec![of(21, true), of(22, false), of(23, true)]).await;
    for (id, state) in [(21, "in_trash"), (22, "live"), (23, "in_trash")] {
        assert_eq!(reaper.state(1, id).await, state, "{id}");
    }
});

on_both!(what_one_database_takes_the_other_takes_and_refusals_name_the_member, async |db: Database| {
    let reaper = with_contacts(&db, vec![]).await;
    let of = |kind: &str, members: Value| {
        let mut record = json!({"kind": kind, "accountId": "1", "contactId": "1"});
        record.as_object_mut().unwrap().append(&mut members.as_object().unwrap().clone());
        record
    };
    let at = days_ago(1);
    reaper
        .import(&[
            of("feedback", json!({"id": "1", "surveyId": "s", "submittedAt": at})),
            of("formSubmission", json!({"id": "1", "formId": "f", "submittedAt": at, "values": null})),
            of("integration", json!({"source": "shop"})),
        ])
        .await;
    let long = "x".repeat(9000);
    for (record, member) in [
        (contact(1, 9, json!({"email": format!("{long}@x.example")})), "line 1: properties.email"),
        (of("integration", json!({"source": long, "payload": {}})), "line 1: source"),
        (of("integration", json!({"source": "s", "payload": "NUMBER"})), "line 1: the line"),
    ] {
        let line = lines(&[record]).replace("\"NUMBER\"", "1e400000");
        let said = reaper.refused_with_input(&["import", "-"], &line).await;
        assert!(said.contains(member), "{said}");
    }
});

on_both!(a_half_written_last_line_is_decided_once_it_is_whole, async |db: Database| {
    let reaper = with_contacts(&db, vec![]).await;
    let dir = TempDir::new();
    let file = dir.path().join("events.jsonl");
    let fed = reaper.fed_by_lines(file.to_str().unwrap());
    let whole = lines(&[by_hand(1, 1), by_hand(2, 2)]);
    std::fs::write(&file, &whole[..whole.len() - 40]).unwrap();
    assert_eq!(fed.run(&["run"]).await.code, 0);
    assert_eq!((reaper.state(1, 1).await.as_str(), reaper.state(1, 2).await.as_str()), ("in_trash", "live"));
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(fed.run(&["run"]).await.code, 0);
    assert_eq!(reaper.state(1, 2).await, "in_trash");
    assert_eq!(db.count("dead_letters", "TRUE").await, 0);
});

on_both!(imports_that_meet_in_opposite_order_both_succeed, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[account(1)]).await;
    let contacts: Vec<Value> =
        (1..=1200).map(|id| contact(1, id, json!({"email": format!("c{id}@x.example")}))).collect();
    let (forth, back) = (lines(&contacts), lines(&contacts.into_iter().rev().collect::<Vec<_>>()));
    let (forth, back) = tokio::join!(
        reaper.run_with_input(&["import", "-"], &forth),
        reaper.run_with_input(&["import", "-"], &back)
    );
    assert_eq!((forth.code, back.code), (0, 0), "{}{}", forth.stderr, back.stderr);
    assert_eq!(db.count("contacts", "TRUE").await, 1200);
});

on_both!(a_definition_that_is_not_understood_deletes_nobody, async |db: Database| {
    let known = json!({"filterType": "PROPERTY", "property": "firstname",
        "operation": {"operationType": "ALL_PROPERTY", "operator": "IS_KNOWN"}});
    let all = |members: Value| {
        let mut branch = json!({"filterBranchType": "AND", "filterBranches": [], "filters": [known]});
        branch.as_object_mut().unwrap().append(&mut members.as_object().unwrap().clone());
        branch
    };
    let odd = [
        all(json!({"filterBranchOperator": "XOR"})),
        all(json!({"filterBranchOperator": "OR"})),
        json!({"filterBranchType": "AND"}),
        json!({"filterBranchType": "AND", "filters": null, "filterBranches": null}),
        json!({"filterBranchType": "AND", "filterss": [known]}),
    ];
    let mut records = vec![user(1, ADMIN + 1, &[]), contact(1, 5, json!({"firstname": "Ada"}))];
    records.extend((100..).zip(&odd).map(|(id, branch)| workflow(1, id, branch)));
    let reaper = with_contacts(&db, records).await;
    let events: Vec<Value> = (100..).zip(&odd).map(|(id, _)| event(1, id, 5, id)).collect();
    reaper.decide(&events).await;
    assert_eq!(reaper.state(1, 5).await, "live");
    let decisions = reaper.json(&["enrollments", "list", "--reason", "criteria_unsupported"]).await;
    assert_eq!(decisions.as_array().unwrap().len(), odd.len());
});
