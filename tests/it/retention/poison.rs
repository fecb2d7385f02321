//! A row that cannot be removed holds up nobody: it is set aside, counted, and tried again by the next run.

use serde_json::{Value, json};

use super::{DAY, trashed, with};
use crate::support::{Database, on_both};

/// A table of somebody else, which does not let go of these contacts.
async fn cling(db: &Database, contacts: &[i64]) {
    let int = db.in_its_words("bigint", "INTEGER");
    db.execute(&format!(
        "CREATE TABLE elsewhere (account_id {int}, contact_id {int}, \
         FOREIGN KEY (account_id, contact_id) REFERENCES contacts (account_id, contact_id))"
    ))
    .await;
    for id in contacts {
        db.execute(&format!("INSERT INTO elsewhere VALUES (1, {id})")).await;
    }
}

on_both!(what_cannot_be_purged_is_set_aside_and_starves_nobody, async |db: Database| {
    let records: Vec<Value> = (1..=20).map(|id| trashed(id, 91 * DAY + 1000 - id)).collect();
    let reaper = with(&db, &records).await;
    // The oldest of all, and two in a row.
    cling(&db, &[1, 9, 10]).await;
    let run = ["--json", "retention", "run", "--job", "purge_trash"];
    let output = reaper.run(&run).await;
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let expected = json!({"job": "purge_trash", "dryRun": false, "deleted": 17, "remaining": 3, "held": 0, "stoppedBy": "done", "failed": 3});
    assert_eq!((output.code, &report["jobs"][0]), (1, &expected), "{}", output.stderr);
    assert!(output.stderr.contains("3 rows could not be removed"), "{}", output.stderr);
    for id in [1, 9, 10] {
        assert_eq!(reaper.state(1, id).await, "in_trash");
        assert_eq!(db.count("contact_emails", &format!("contact_id = {id}")).await, 1);
    }
    let aside =
        db.rows("SELECT CAST(ids AS text) FROM audit WHERE action = 'set_aside' ORDER BY audit_id").await;
    assert_eq!(aside.concat(), [r#"["1"]"#, r#"["9"]"#, r#"["10"]"#]);
    let status = reaper.json(&["retention", "status"]).await["jobs"][0].clone();
    assert_eq!(
        (&status["failing"], &status["backlog"], &status["lastSuccess"]),
        (&json!(3), &json!(3), &Value::Null)
    );

    // Those who come after are no more held up, and they are tried once a run.
    reaper.import(&[trashed(30, 91 * DAY)]).await;
    let report: Value = serde_json::from_str(&reaper.run(&run).await.stdout).unwrap();
    assert_eq!((&report["jobs"][0]["deleted"], &report["jobs"][0]["failed"]), (&json!(1), &json!(3)));
    assert_eq!(db.count("retention_failures", "tries = 2").await, 3);

    db.execute("DROP TABLE elsewhere").await;
    let report = reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(report["jobs"][0]["deleted"], 3);
    assert_eq!(db.count("gone_contacts", "TRUE").await, 21);
    assert_eq!(db.count("retention_failures", "TRUE").await, 0);
});
