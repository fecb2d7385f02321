//! What only looks back goes by its age, and never what still decides something or has to be told.

use serde_json::{Value, json};

use super::{DAY, trashed, with};
use crate::support::records::{contact, days_ago, event, manual_workflow, seconds_ago};
use crate::support::{Database, Reaper, on_both};

async fn left(db: &Database, column: &str, table: &str) -> Vec<String> {
    db.rows(&format!("SELECT CAST({column} AS text) FROM {table} ORDER BY {column}")).await.concat()
}

async fn run(reaper: &Reaper, job: &str) -> Value {
    reaper.json(&["retention", "run", "--job", job]).await["jobs"][0]["deleted"].clone()
}

on_both!(
    decisions_go_once_no_message_can_ask_for_them_but_not_those_that_took_in_somebody_still_there,
    async |db: Database| {
        let mut workflow = manual_workflow(1, 7);
        workflow["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(false);
        let reaper = with(&db, &[workflow, contact(1, 1, json!({})), trashed(2, DAY)]).await;
        let (old, young) = (days_ago(121), days_ago(119));
        // By the number of the enrollment; contacts 1 and 2 are there, 3 is not.
        for (id, contact, outcome, at) in [
            (11, 1, "skipped", &old),
            (12, 3, "refused", &old),
            (13, 1, "skipped", &young),
            (14, 1, "deleted", &old),
            (15, 2, "deleted", &old),
            (16, 3, "deleted", &old),
            (17, 3, "held", &old),
            (18, 3, "deferred", &old),
            (19, 3, "deleted", &young),
        ] {
            db.execute(&format!(
            "INSERT INTO ledger (account_id, enrollment_id, action_id, workflow_id, object_type_id, object_id, cause, \
             enrolled_at, outcome, decided_at) VALUES (1, {id}, 1, 7, '0-1', {contact}, 'MANUAL', '{at}', '{outcome}', '{at}')"
        ))
        .await;
        }
        assert_eq!(run(&reaper, "prune_ledger").await, json!(3));
        assert_eq!(left(&db, "enrollment_id", "ledger").await, ["13", "14", "15", "17", "18", "19"]);
        // Contact 1 was taken in once, and came back: the workflow does not take it a second time.
        let mut again = event(1, 7, 1, 99);
        again["data"]["cause"] = json!("MANUAL");
        reaper.decide(&[again]).await;
        assert_eq!(reaper.decision(1, 99).await["reason"], "re_enrollment_off");
        // The audit tells how many, and under no id.
        let told = db
            .rows("SELECT actor, CAST(ids AS text), CAST(count AS text) FROM audit WHERE action = 'prune'")
            .await;
        assert_eq!(told, [["job:prune_ledger", "[]", "3"]]);
    }
);

on_both!(
    the_audit_goes_by_its_age_and_so_do_records_of_runs_but_the_last_of_each_job,
    async |db: Database| {
        let reaper = with(&db, &[trashed(1, 91 * DAY)]).await;
        for _ in 0..2 {
            reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
        }
        let (runs, rows) = (db.count("retention_runs", "TRUE").await, db.count("audit", "TRUE").await);
        assert_eq!((runs, rows > 1), (2, true));
        db.execute(&format!(
        "UPDATE retention_runs SET started_at = '{old}'; UPDATE audit SET at = '{old}'; UPDATE audit SET at = '{young}' WHERE action = 'purge'",
        old = days_ago(1096),
        young = days_ago(1094)
    ))
    .await;
        assert_eq!(run(&reaper, "prune_audit").await, json!(rows - 1));
        let mut actions = left(&db, "action", "audit").await;
        actions.dedup();
        assert_eq!(actions, ["prune", "purge", "run_jobs"]);
        assert_eq!(left(&db, "job", "retention_runs").await, ["prune_audit", "purge_trash"]);
    }
);

on_both!(
    events_nobody_took_go_but_none_of_an_erasure_no_mail_and_none_of_another_kind,
    async |db: Database| {
        let reaper = with(&db, &[]).await;
        let kinds = [
            "contact.deletion",
            "contact.privacyDeletion",
            "contact.purge",
            "contact.restore",
            "enrollment.refused",
            "guard.tripped",
            "mail.erasure",
            "other",
        ];
        for (kind, at) in
            kinds.iter().map(|kind| (*kind, days_ago(366))).chain([("contact.deletion", days_ago(364))])
        {
            db.execute(&format!(
                "INSERT INTO outbox (account_id, type, data, created_at) VALUES (1, '{kind}', '{{}}', '{at}')"
            ))
            .await;
        }
        assert_eq!(run(&reaper, "prune_outbox").await, json!(5));
        assert_eq!(
            left(&db, "type", "outbox").await,
            ["contact.deletion", "contact.privacyDeletion", "mail.erasure", "other"]
        );
    }
);

on_both!(dead_letters_go_thirty_days_after_they_were_set_aside, async |db: Database| {
    let reaper = with(&db, &[]).await;
    for (body, at) in [("old", days_ago(31)), ("young", days_ago(29))] {
        db.execute(&format!(
            "INSERT INTO dead_letters (feed, at, reason, detail, body) VALUES ('f', '{at}', 'malformed', 'body: no', '{body}')"
        ))
        .await;
    }
    assert_eq!(run(&reaper, "prune_dead_letters").await, json!(1));
    let bodies: Vec<Vec<u8>> = db.letters().await.into_iter().map(|letter| letter.body).collect();
    assert_eq!(bodies, [b"young"]);
    let told =
        db.rows("SELECT actor, CAST(ids AS text), CAST(count AS text) FROM audit WHERE action = 'prune'");
    assert_eq!(told.await, [["job:prune_dead_letters", "[]", "1"]]);
    let longer = reaper.setting("dead_letters.retention", "20d");
    assert_eq!(run(&longer, "prune_dead_letters").await, json!(1));
});

on_both!(
    feedback_and_submissions_leave_their_pages_after_ninety_days_though_a_hold_keeps_the_contact,
    async |db: Database| {
        let of = |id: i64| {
            let id = id.to_string();
            let at = seconds_ago(200 * DAY);
            [
                json!({"kind": "feedback", "accountId": "1", "id": id, "contactId": id, "surveyId": "s", "submittedAt": at, "rating": 5, "text": "fine"}),
                json!({"kind": "formSubmission", "accountId": "1", "id": id, "formId": "f", "contactId": id, "submittedAt": at, "values": {}}),
            ]
        };
        let mut records = vec![contact(1, 1, json!({})), trashed(2, 89 * DAY), trashed(3, 91 * DAY)];
        records.extend((1..=3).flat_map(of));
        let reaper = with(&db, &records).await;
        let hold = ["legal-hold", "set", "--account", "1", "--contact", "3", "--reason", "case 5"];
        assert_eq!(reaper.run(&hold).await.code, 0);
        let page = async |name: &str| {
            let page = reaper.json(&["inspect", "page", name, "--account", "1"]).await;
            let mut rows: Vec<String> = page["rows"]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| format!("{} {}", row["id"], row["contact"]))
                .collect();
            rows.sort();
            rows.join(", ").replace('"', "")
        };
        reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
        assert_eq!(page("feedback").await, "1 1, 2 Unknown contact, 3 Unknown contact");
        assert_eq!(run(&reaper, "expire_unlinked").await, json!(1));
        assert_eq!(page("feedback").await, "1 1, 2 Unknown contact");
        assert_eq!(page("form-submissions").await, "1 1, 2 No contact");
        // The hold keeps the rows, and what counts goes on counting.
        assert_eq!(db.count("feedback", "contact_id = 3").await, 1);
        assert_eq!(reaper.state(1, 3).await, "in_trash");
        assert_eq!(
            reaper.json(&["inspect", "page", "form-report", "--account", "1"]).await["rows"][0]["count"],
            3
        );
        assert_eq!(run(&reaper, "expire_unlinked").await, json!(0));
    }
);
