//! The scheduled jobs as a person runs them: what is due, what is not, in which portions, and what they report.

mod boundary;
mod bounds;
mod clocks;
mod leaders;
mod legal_holds;
mod poison;
mod pruning;
mod yields;

use serde_json::{Value, json};

use crate::support::records::{contact, days_ago, entitled_account, notification, seconds_ago};
use crate::support::{Database, Reaper, on_both};

const DAY: i64 = 24 * 60 * 60;

/// A contact in the trash for that many seconds.
fn trashed(id: i64, seconds: i64) -> Value {
    let mut record = contact(1, id, json!({}));
    record["archived"] = json!(true);
    record["archivedAt"] = json!(seconds_ago(seconds));
    record
}

async fn with(db: &Database, records: &[Value]) -> Reaper {
    let reaper = Reaper::new(db);
    reaper.import(&[&entitled_account(1)[..], records].concat()).await;
    reaper
}

/// All jobs, in their order. The last one alone deletes nothing.
const JOBS: [&str; 9] = [
    "purge_trash",
    "expire_notifications",
    "delete_quotes",
    "expire_unlinked",
    "prune_ledger",
    "prune_audit",
    "prune_outbox",
    "prune_dead_letters",
    "wake_deferred",
];

/// The report of a run that did all there was to do.
fn done(job: &str, deleted: u64) -> Value {
    json!({"job": job, "dryRun": false, "deleted": deleted, "remaining": 0, "held": 0, "stoppedBy": "done"})
}

/// The report of all jobs, of which these two had something to do.
fn all_done(purged: u64, expired: u64) -> Value {
    let jobs = JOBS.map(|job| match job {
        "purge_trash" => done(job, purged),
        "expire_notifications" => done(job, expired),
        _ => done(job, 0),
    });
    json!({ "jobs": jobs })
}

on_both!(trash_is_purged_after_ninety_days_and_not_a_minute_before, async |db: Database| {
    let reaper =
        with(&db, &[trashed(1, 90 * DAY + 60), trashed(2, 90 * DAY - 60), contact(1, 3, json!({}))]).await;
    let report = reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(report, json!({"jobs": [done("purge_trash", 1)]}));
    assert_eq!(reaper.state(1, 1).await, "purged");
    assert_eq!(reaper.state(1, 2).await, "in_trash");
    assert_eq!(reaper.state(1, 3).await, "live");
});

on_both!(
    notifications_expire_thirty_days_after_they_were_created_and_not_a_minute_before,
    async |db: Database| {
        let at = |id, contact, seconds| notification(1, id, contact, &seconds_ago(seconds));
        let records = [
            contact(1, 1, json!({})),
            trashed(2, 3 * DAY),
            at(11, 1, 30 * DAY + 60),
            at(12, 1, 30 * DAY - 60),
            at(21, 2, 30 * DAY + 60),
            at(22, 2, 30 * DAY - 60),
        ];
        let reaper = with(&db, &records).await;
        let report = reaper.json(&["retention", "run", "--job", "expire_notifications"]).await;
        assert_eq!(report, json!({"jobs": [done("expire_notifications", 2)]}));
        for (contact, left) in [(1, "12"), (2, "22")] {
            assert_eq!(reaper.contact(1, contact).await["visible"]["notifications"], json!([left]));
        }
    }
);

on_both!(longer_times_can_be_set_and_are_kept_to, async |db: Database| {
    let records = [trashed(1, 91 * DAY - 60), contact(1, 2, json!({})), notification(1, 3, 2, &days_ago(31))];
    let reaper = with(&db, &records).await;
    let longer = reaper.clone().setting("retention.purge_trash.after", "91d");
    let longer = longer.setting("retention.expire_notifications.after", "32d");
    let longer = longer.setting("retention.expire_unlinked.after", "91d");
    let report = longer.json(&["retention", "run"]).await;
    assert_eq!(report, all_done(0, 0));
    let report = reaper.json(&["retention", "run"]).await;
    assert_eq!(report, all_done(1, 1));
    // Shorter than the law of the matrix they cannot be set.
    let shorter = reaper.setting("retention.purge_trash.after", "89d").run(&["retention", "run"]).await;
    assert!(
        shorter.code == 2 && shorter.stderr.contains("retention.purge_trash.after"),
        "{}",
        shorter.stderr
    );
});

on_both!(a_dry_run_tells_what_is_due_and_writes_nothing_at_all, async |db: Database| {
    let records = [
        trashed(1, 91 * DAY),
        trashed(2, 92 * DAY),
        trashed(3, 3 * DAY),
        notification(1, 4, 3, &days_ago(31)),
    ];
    let reaper = with(&db, &records).await;
    let before = db.dump(&[]).await;
    let small = reaper.clone().setting("retention.purge_trash.batch_size", "1");
    let report = small.json(&["retention", "run", "--dry-run"]).await;
    let dry = |job: &str, remaining: u64, batches: u64| {
        json!({"job": job, "dryRun": true, "deleted": 0, "remaining": remaining, "held": 0, "stoppedBy": "dry_run",
            "batches": batches, "estimatedSeconds": u64::from(remaining > 0)})
    };
    let jobs = report["jobs"].as_array().unwrap();
    let told = [dry("purge_trash", 2, 2), dry("expire_notifications", 1, 1), dry("delete_quotes", 0, 0)];
    assert_eq!((&jobs[..3], jobs.len()), (&told[..], 9));
    reaper.json(&["retention", "status"]).await;
    db.assert_unchanged_since(&before).await;
});

on_both!(work_is_done_in_portions_no_larger_than_the_batch_size_until_all_is_done, async |db: Database| {
    let mut records: Vec<Value> = (1..=5).map(|id| trashed(id, 91 * DAY)).collect();
    records.push(contact(1, 9, json!({})));
    records.extend((1..=5).map(|id| notification(1, id, 9, &days_ago(31))));
    let reaper = with(&db, &records).await.setting("retention.purge_trash.batch_size", "1");
    let reaper = reaper.setting("retention.expire_notifications.batch_size", "2");
    let report = reaper.json(&["retention", "run"]).await;
    assert_eq!(report, all_done(5, 5));
    // Each portion has its row of the audit, written in the same transaction.
    let audit = reaper.json(&["audit", "list", "--account", "1"]).await;
    let counts = |action: &str| -> Vec<i64> {
        let rows = audit.as_array().unwrap().iter().filter(|row| row["action"] == action);
        rows.map(|row| row["count"].as_i64().unwrap()).collect()
    };
    assert_eq!(counts("purge"), [1, 1, 1, 1, 1]);
    let mut expired = counts("expire");
    expired.sort_unstable();
    assert_eq!(expired, [1, 2, 2]);
    assert_eq!(db.count("gone_contacts", "state = 'purged'").await, 5);
    assert_eq!(db.count("notifications", "TRUE").await, 0);
});

on_both!(the_status_tells_the_last_run_the_next_one_and_what_is_overdue, async |db: Database| {
    let reaper = with(&db, &[trashed(1, 91 * DAY), trashed(2, 92 * DAY)]).await;
    let job = async |index: usize| reaper.json(&["retention", "status"]).await["jobs"][index].clone();
    let mut status = job(0).await;
    let members = status.as_object_mut().unwrap();
    let overdue = members.remove("oldestOverdueSeconds").unwrap().as_i64().unwrap();
    assert!((2 * DAY..2 * DAY + 120).contains(&overdue), "overdue for {overdue} seconds");
    assert!(
        members.remove("nextRun").unwrap().as_str().unwrap().ends_with(":17:00.000000Z"),
        "the default is 02:17"
    );
    let never = json!({"job": "purge_trash", "lastRun": null, "lastSuccess": null, "lastResult": null,
        "lastDeleted": null, "backlog": 2, "failing": 0, "held": 0, "run": null});
    assert_eq!(status, never);

    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    let status = job(0).await;
    assert!(
        status["lastRun"].is_string() && status["lastSuccess"].as_str() >= status["lastRun"].as_str(),
        "{status}"
    );
    let told = ["lastResult", "lastDeleted", "backlog", "oldestOverdueSeconds"].map(|member| &status[member]);
    assert_eq!(told, [&json!("done"), &json!(2), &json!(0), &json!(0)]);
    let other = job(1).await;
    assert_eq!(
        (&other["job"], &other["lastRun"], &other["backlog"]),
        (&json!("expire_notifications"), &Value::Null, &json!(0))
    );
});

on_both!(an_unknown_job_is_wrong_usage_and_the_known_ones_are_named, async |db: Database| {
    let reaper = with(&db, &[trashed(1, 91 * DAY)]).await;
    let output = reaper.run(&["retention", "run", "--job", "purge"]).await;
    assert_eq!((output.code, output.stdout.as_str()), (2, ""));
    for word in ["purge_trash", "expire_notifications"] {
        assert!(output.stderr.contains(word), "{}", output.stderr);
    }
    assert_eq!(reaper.state(1, 1).await, "in_trash");
});
