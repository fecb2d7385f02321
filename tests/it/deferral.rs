//! Time windows and blocked dates: what comes at the wrong moment waits for the right one, and is decided anew.

use chrono::{DateTime, Datelike, Month, TimeDelta, Utc};
use chrono_tz::Europe::Berlin;
use serde_json::{Value, json};

use crate::support::records::{all_of, contact, days_ago, entitled_account, event, property, workflow};
use crate::support::{Database, Reaper, on_both};

/// Account 1, entitled, in Berlin, with workflow 6 that deletes Adas at some times, and contacts 1 to 4.
async fn with_times(db: &Database, windows: Value, blocked: Value) -> Reaper {
    let reaper = Reaper::new(db);
    let mut records = entitled_account(1);
    records.push(timed(windows, blocked));
    records.extend((1..=4).map(|id| contact(1, id, json!({"firstname": "Ada"}))));
    reaper.import(&records).await;
    reaper
}

fn timed(windows: Value, blocked: Value) -> Value {
    let mut timed = workflow(1, 6, &all_of(&[property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"))]));
    (timed["flow"]["timeWindows"], timed["flow"]["blockedDates"]) = (windows, blocked);
    timed
}

/// The day of the week there, so many days from now.
fn day(from_now: i64) -> String {
    let day = (Utc::now() + TimeDelta::days(from_now)).with_timezone(&Berlin);
    day.format("%A").to_string().to_uppercase()
}

fn date(from_now: i64) -> Value {
    let date = (Utc::now() + TimeDelta::days(from_now)).with_timezone(&Berlin);
    let month = Month::try_from(u8::try_from(date.month()).unwrap()).unwrap().name().to_uppercase();
    json!({"dayOfMonth": date.day(), "month": month, "year": date.year()})
}

/// The outcome and reason of an enrollment, as `outcome` or `outcome: reason`.
async fn outcome(reaper: &Reaper, enrollment: i64) -> String {
    let decision = reaper.decision(1, enrollment).await;
    let outcome = decision["outcome"].as_str().expect("an outcome");
    decision["reason"].as_str().map_or(outcome.to_owned(), |reason| format!("{outcome}: {reason}"))
}

/// When an enrollment is to be taken up.
async fn due(db: &Database, enrollment: i64) -> DateTime<Utc> {
    let text = db.in_its_words(
        "to_char(ready_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        "ready_at",
    );
    let sql = format!("SELECT {text} FROM pending_enrollments WHERE enrollment_id = {enrollment}");
    db.rows(&sql).await[0][0].parse().expect("a time")
}

/// Time goes by, as far as those are concerned that wait.
async fn set_back(db: &Database) {
    db.execute(&format!("UPDATE pending_enrollments SET ready_at = '{}'", days_ago(1))).await;
}

on_both!(outside_of_its_windows_a_deletion_waits_and_passes_every_check_anew, async |db: Database| {
    let reaper = with_times(&db, json!([{"day": day(3)}]), json!([])).await;
    reaper.decide(&[event(1, 6, 1, 1), event(1, 6, 2, 2), event(1, 6, 3, 3), event(1, 6, 1, 4)]).await;
    for enrollment in [1, 2, 3] {
        assert_eq!(outcome(&reaper, enrollment).await, "deferred: outside_time_window");
    }
    assert_eq!(outcome(&reaper, 4).await, "skipped: re_enrollment_off");
    let opens = (Utc::now() + TimeDelta::days(3)).with_timezone(&Berlin).date_naive();
    let due_at = due(&db, 1).await.with_timezone(&Berlin);
    assert!(
        due_at.date_naive() == opens && due_at.format("%H:%M").to_string().as_str() < "00:15",
        "{due_at}"
    );
    assert_ne!(due(&db, 1).await, due(&db, 2).await);

    // Taken up too early they wait on, and nothing was done.
    let first_due = due(&db, 1).await;
    set_back(&db).await;
    reaper.decide(&[]).await;
    assert_eq!(
        (outcome(&reaper, 1).await.as_str(), due(&db, 1).await),
        ("deferred: outside_time_window", first_due)
    );
    assert_eq!(db.count("audit", "actor = 'workflow:6'").await, 0);

    // Another window is open: nobody waits for the old one. One has changed meanwhile, and of one the workflow was told
    // twice.
    let open = timed(json!([{"day": day(0)}, {"day": day(1)}]), json!([]));
    reaper.import(&[open, contact(1, 2, json!({"firstname": "Grace"}))]).await;
    reaper.decide(&[event(1, 6, 3, 3)]).await;
    for (enrollment, expected) in [(1, "deleted"), (2, "skipped: criteria_not_met"), (3, "deleted")] {
        assert_eq!(outcome(&reaper, enrollment).await, expected, "enrollment {enrollment}");
    }
    assert_eq!(db.count("pending_enrollments", "TRUE").await, 0);
    assert_eq!(db.count("audit", "action = 'skip' AND actor = 'workflow:6' AND count = 1").await, 1);
});

on_both!(on_a_blocked_date_a_deletion_waits_for_the_next_day_that_is_not, async |db: Database| {
    let reaper = with_times(&db, json!([]), json!([date(0), date(1), date(2)])).await;
    reaper.decide(&[event(1, 6, 1, 1)]).await;
    assert_eq!(outcome(&reaper, 1).await, "deferred: blocked_date");
    let due_at = due(&db, 1).await.with_timezone(&Berlin);
    assert_eq!(due_at.date_naive(), (Utc::now() + TimeDelta::days(3)).with_timezone(&Berlin).date_naive());
    let explained = reaper.json(&["explain", "--account", "1", "--workflow", "6", "--contact", "2"]).await;
    assert_eq!((&explained["verdict"], &explained["reason"]), (&json!("defer"), &json!("blocked_date")));
    let listed = reaper.json(&["enrollments", "list", "--outcome", "deferred"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(reaper.json(&["holds", "list"]).await, json!([]), "nobody has to say anything");
});

on_both!(an_enrollment_that_waited_longer_than_the_ledger_remembers_is_refused, async |db: Database| {
    let reaper = with_times(&db, json!([{"day": day(3)}]), json!([])).await;
    reaper.decide(&[event(1, 6, 1, 1)]).await;
    db.execute(&format!("UPDATE ledger SET enrolled_at = '{}'", days_ago(121))).await;
    set_back(&db).await;
    reaper.decide(&[]).await;
    assert_eq!(outcome(&reaper, 1).await, "refused: enrollment_too_old");
});

on_both!(by_hand_a_job_takes_up_what_has_waited_long_enough, async |db: Database| {
    let reaper = with_times(&db, json!([{"day": day(3)}]), json!([])).await;
    reaper.decide(&[event(1, 6, 1, 1), event(1, 6, 2, 2), event(1, 6, 3, 3)]).await;
    let run = ["retention", "run", "--job", "wake_deferred"];
    let report = |deleted, remaining| {
        json!({"jobs": [{"job": "wake_deferred", "dryRun": false, "deleted": deleted, "remaining": remaining, "held": 0,
            "stoppedBy": "done"}]})
    };
    assert_eq!(reaper.json(&run).await, report(0, 0), "it is not their time");

    // The window opens, and no worker runs. One contact is not called Ada any more; and one the store does not take.
    let open = timed(json!([{"day": day(0)}, {"day": day(1)}]), json!([]));
    reaper.import(&[open, contact(1, 2, json!({"firstname": "Grace"}))]).await;
    refuse_deletion_of_3(&db).await;
    let status = reaper.json(&["retention", "status"]).await;
    let jobs = status["jobs"].as_array().expect("jobs");
    let job = jobs.iter().find(|job| job["job"] == "wake_deferred").expect("it is one of them");
    assert_eq!(job["backlog"], json!(3));
    let output = reaper.run(&[&["--json"], &run[..]].concat()).await;
    let told: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let told = &told["jobs"][0];
    assert_eq!((output.code, &told["deleted"], &told["failed"]), (1, &json!(2), &json!(1)), "{told}");
    for (enrollment, expected) in
        [(1, "deleted"), (2, "skipped: criteria_not_met"), (3, "deferred: outside_time_window")]
    {
        assert_eq!(outcome(&reaper, enrollment).await, expected, "enrollment {enrollment}");
    }
    assert_eq!(
        (reaper.state(1, 1).await, reaper.state(1, 2).await),
        ("in_trash".to_owned(), "live".to_owned())
    );
    let woken =
        "SELECT CAST(sum(count) AS text) FROM audit WHERE action = 'wake' AND actor = 'job:wake_deferred'";
    assert_eq!(db.rows(woken).await, [["2"]]);
    assert_eq!(reaper.json(&run).await, report(0, 0), "it is left alone for an hour");

    db.execute(db.in_its_words("DROP TRIGGER refuse ON ledger", "DROP TRIGGER refuse")).await;
    set_back(&db).await;
    assert_eq!(reaper.json(&run).await, report(1, 0));
    assert_eq!(outcome(&reaper, 3).await, "deleted");
});

async fn refuse_deletion_of_3(db: &Database) {
    db.execute(db.in_its_words(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'not this one' USING ERRCODE = '23514'; END $$; \
         CREATE TRIGGER refuse BEFORE UPDATE ON ledger FOR EACH ROW WHEN (NEW.object_id = 3) EXECUTE FUNCTION refuse()",
        "CREATE TRIGGER refuse BEFORE UPDATE ON ledger WHEN NEW.object_id = 3 \
         BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    ))
    .await;
}
