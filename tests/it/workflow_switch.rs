//! `workflow on` and `off`, and who may be named by `--as`.

use serde_json::{Value, json};

use crate::support::records::{contact, entitled_account, event, manual_workflow, user};
use crate::support::{Database, Output, Reaper, on_both};

/// Account 1 with workflow 6, which takes whoever is enrolled by hand, contacts 1 to 3, and users 7 and 8, of whom only 7 may
/// delete many.
async fn prepare(db: &Database) -> Reaper {
    let reaper = Reaper::new(db);
    let mut records = entitled_account(1);
    records.extend([manual_workflow(1, 6), user(1, 7, &["bulk_delete"]), user(1, 8, &["delete"])]);
    records.extend((1..=3).map(|id| contact(1, id, json!({}))));
    reaper.import(&records).await;
    reaper
}

/// What became of a contact that workflow 6 was to delete.
async fn enrolled(reaper: &Reaper, contact: i64) -> Value {
    let mut event = event(1, 6, contact, contact);
    event["data"]["cause"] = json!("MANUAL");
    reaper.decide(&[event]).await;
    let decision = reaper.decision(1, contact).await;
    if decision["reason"].is_null() { decision["outcome"].clone() } else { decision["reason"].clone() }
}

fn switch<'a>(to: &'a str, user: &'a str) -> [&'a str; 8] {
    ["workflow", to, "--account", "1", "--workflow", "6", "--as", user]
}

/// Who did what, oldest first, but for what workflows did.
async fn audited(reaper: &Reaper) -> Vec<(String, String)> {
    let rows = reaper.json(&["audit", "list"]).await;
    let text = |row: &Value, member: &str| row[member].as_str().unwrap().to_owned();
    let rows = rows.as_array().unwrap().iter().rev();
    let rows = rows.map(|row| (text(row, "actor"), text(row, "action")));
    rows.filter(|(actor, action)| !actor.starts_with("workflow:") && action != "import").collect()
}

fn owned(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(actor, action)| ((*actor).to_owned(), (*action).to_owned())).collect()
}

on_both!(a_workflow_is_switched_off_and_on_again_and_the_audit_says_by_whom, async |db: Database| {
    let reaper = prepare(&db).await;
    let said = reaper.refused(&switch("off", "8")).await;
    assert!(said.contains("user 8 may not switch off workflows") && said.contains("bulk_delete"), "{said}");
    assert_eq!(enrolled(&reaper, 1).await, json!("deleted"));
    let off = reaper.json(&switch("off", "7")).await;
    assert_eq!(off, json!({"accountId": "1", "workflowId": "6", "isOn": false, "wasOn": true}));
    assert_eq!(enrolled(&reaper, 2).await, json!("workflow_off"));
    let again = reaper.run(&switch("off", "7")).await;
    assert_eq!((again.code, again.stdout.as_str()), (0, "workflow 6 of account 1 is off already\n"));
    let on = reaper.run(&switch("on", "system:night-shift")).await;
    assert_eq!((on.code, on.stdout.as_str()), (0, "workflow 6 of account 1 is on\n"), "{}", on.stderr);
    assert_eq!(enrolled(&reaper, 3).await, json!("deleted"));
    let expected = [("user:7", "switch_workflow_off"), ("operator:night-shift", "switch_workflow_on")];
    assert_eq!(audited(&reaper).await, owned(&expected));
    let said =
        reaper.refused(&["workflow", "on", "--account", "1", "--workflow", "9", "--as", "system:a"]).await;
    assert!(said.contains("account 1 has no workflow 9"), "{said}");
});

on_both!(operators_of_the_service_are_named_where_users_may_be, async |db: Database| {
    let reaper = prepare(&db).await;
    for args in [
        &["pause", "--as", "system:ops"][..],
        &["resume", "--account", "1", "--as", "system:ops"],
        &["legal-hold", "set", "--account", "1", "--contact", "1", "--reason", "suit", "--as", "system:ops"],
        &["dead-letters", "discard", "--all", "--confirm", "0", "--as", "system:ops"],
    ] {
        let output = reaper.run(args).await;
        assert_eq!(output.code, 0, "{args:?}: {}", output.stderr);
    }
    let audited = audited(&reaper).await;
    assert!(audited.len() >= 2 && audited.iter().all(|(actor, _)| actor == "operator:ops"), "{audited:?}");
    let wrong = async |args: &[&str]| {
        let Output { code, stderr, .. } = reaper.run(args).await;
        assert_eq!(code, 2, "{args:?}: {stderr}");
        stderr
    };
    let said = wrong(&["pause", "--as", "7"]).await;
    assert!(said.contains("--as names a user of an account: add --account"), "{said}");
    for name in ["system:", "system:a b", "system:a\nb"] {
        let said = wrong(&["pause", "--as", name]).await;
        assert!(said.contains("after `system:`"), "{said}");
    }
    // Deletes and restores take a user of the account.
    let delete = ["delete", "--account", "1", "--as", "system:ops", "--contact", "2", "--confirm", "1"];
    let said = reaper.refused(&delete).await;
    assert!(said.contains("has no such user"), "{said}");
});

on_both!(times_are_asked_for_in_words_that_people_use, async |db: Database| {
    let reaper = prepare(&db).await;
    assert_eq!(enrolled(&reaper, 1).await, json!("deleted"));
    let restore = |since| {
        let args = ["restore", "--account", "1", "--as", "7", "--workflow", "6", "--preview", "--since"];
        [&args[..], &[since]].concat()
    };
    for since in
        ["1h", "2h ago", "yesterday 14:00", "2026-01-01", "2026-01-01 10:00", "2026-01-01T00:00:00+01:00"]
    {
        let preview = reaper.json(&restore(since)).await;
        assert_eq!(preview["restorable"], 1, "{since}");
    }
    let said = reaper.refused(&restore("tomorrow")).await;
    assert!(said.contains("is yet to come"), "{said}");
    let said = reaper.run(&restore("1h")).await.stdout;
    assert!(said.starts_with("1 contact would come back, 0 would not"), "{said}");
    let wrong = reaper.run(&restore("last week")).await;
    assert!(wrong.code == 2 && wrong.stderr.contains("`yesterday 14:00` (UTC)"), "{}", wrong.stderr);
    let create = ["tokens", "create", "--account", "1", "--user", "7", "--expires", "tomorrow 12:00"];
    let token = reaper.json(&create).await;
    assert!(token["expiresAt"].as_str().unwrap().contains("T12:00:00"), "{token}");
});
