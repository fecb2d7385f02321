//! What comes twice: duplicates, conflicts, re-enrollments, and what was restored meanwhile.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::records::{
    all_of, contact, days_ago, enrollment, entitled_account, event, property, workflow,
};
use crate::support::{Database, Reaper, on_both};

fn is(name: &str, value: &str) -> Value {
    property(name, "STRING", "IS_EQUAL_TO", json!(value))
}

fn ada(id: i64) -> Value {
    contact(1, id, json!({"firstname": "Ada"}))
}

/// Account 1, entitled, and these. Its workflow 6 deletes Adas, once each; 7 deletes them again and again, those
/// that are also called Lovelace on a trigger.
async fn with(db: &Database, records: &[Value]) -> Reaper {
    let reaper = Reaper::new(db);
    let mut again = workflow(1, 7, &all_of(&[is("firstname", "Ada")]));
    again["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
    let trigger = all_of(&[is("lastname", "Lovelace")]);
    again["flow"]["enrollmentCriteria"]["reEnrollmentTriggersFilterBranches"] = json!([trigger]);
    let mut all = entitled_account(1);
    all.extend([workflow(1, 6, &all_of(&[is("firstname", "Ada")])), again]);
    all.extend_from_slice(records);
    reaper.import(&all).await;
    reaper
}

/// The event with another time or cause.
fn event_with(workflow: i64, contact: i64, enrollment: i64, member: &str, value: &str) -> Value {
    let mut event = event(1, workflow, contact, enrollment);
    event["data"][member] = json!(value);
    event
}

/// The outcome and reason of an enrollment, as `outcome` or `outcome: reason`.
async fn outcome(reaper: &Reaper, enrollment: i64) -> String {
    let decision = reaper.decision(1, enrollment).await;
    let outcome = decision["outcome"].as_str().expect("an outcome");
    decision["reason"].as_str().map_or(outcome.to_owned(), |reason| format!("{outcome}: {reason}"))
}

/// What one deletion leaves behind, counted.
async fn deeds(db: &Database) -> [i64; 4] {
    [
        db.count("ledger", "TRUE").await,
        db.count("trash_entries", "TRUE").await,
        db.count("outbox", "type = 'contact.deletion'").await,
        db.count("audit", "action = 'trash'").await,
    ]
}

on_both!(an_event_that_comes_again_in_one_batch_or_in_a_later_run_is_one_deed, async |db: Database| {
    let reaper = with(&db, &[ada(1)]).await;
    let mut again = event(1, 6, 1, 1);
    // Neither another message id nor another time makes it another enrollment.
    again["id"] = json!("another-message");
    again["data"]["enrolledAt"] = json!(days_ago(1));
    reaper.decide(&[event(1, 6, 1, 1), again.clone(), event(1, 6, 1, 1)]).await;
    assert_eq!(deeds(&db).await, [1, 1, 1, 1]);
    let first = reaper.decision(1, 1).await;
    reaper.decide(&[again]).await;
    assert_eq!(deeds(&db).await, [1, 1, 1, 1]);
    assert_eq!(reaper.decision(1, 1).await, first);
    assert_eq!(db.count("dead_letters", "TRUE").await, 0);
});

on_both!(
    the_same_key_with_another_contact_or_workflow_does_nothing_and_is_set_aside,
    async |db: Database| {
        let reaper = with(&db, &[ada(1), ada(2), ada(3)]).await;
        // In one batch, then in a later run.
        reaper.decide(&[event(1, 6, 1, 1), event(1, 6, 2, 1)]).await;
        reaper
            .decide(&[event(1, 6, 3, 1), event(1, 7, 1, 1), event_with(6, 1, 1, "objectTypeId", "0-2")])
            .await;
        assert_eq!(reaper.decision(1, 1).await["contactId"], "1");
        assert_eq!(deeds(&db).await, [1, 1, 1, 1]);
        assert_eq!(db.count("dead_letters", "reason = 'conflicting_duplicate'").await, 4);
        assert_eq!((reaper.state(1, 2).await, reaper.state(1, 3).await), ("live".into(), "live".into()));
        // Another action of the same enrollment is another key.
        reaper.decide(&[event_with(6, 2, 1, "actionId", "5")]).await;
        let row = reaper
            .json(&["enrollments", "show", "--account", "1", "--enrollment", "1", "--action", "5"])
            .await;
        assert_eq!((&row["contactId"], &row["reason"]), (&json!("2"), &json!("action_not_in_workflow")));
        let both = reaper.run(&["enrollments", "show", "--account", "1", "--enrollment", "1"]).await;
        assert_eq!(both.code, 2, "{}", both.stderr);
        assert!(both.stderr.contains("--action") && both.stderr.contains("1, 5"), "{}", both.stderr);
    }
);

on_both!(of_two_enrollments_of_one_contact_in_one_batch_the_first_deletes, async |db: Database| {
    let reaper = with(&db, &[ada(1)]).await;
    reaper.decide(&[event(1, 7, 1, 1), event(1, 6, 1, 2), event(1, 7, 1, 3)]).await;
    assert_eq!(outcome(&reaper, 1).await, "deleted");
    assert_eq!(outcome(&reaper, 2).await, "skipped: already_in_trash");
    assert_eq!(outcome(&reaper, 3).await, "skipped: already_in_trash");
    assert_eq!(db.count("trash_entries", "TRUE").await, 1);
});

on_both!(a_restored_contact_stays_whatever_is_delivered_again, async |db: Database| {
    let reaper = with(&db, &[ada(1)]).await;
    let (delivered, delayed) = (event(1, 7, 1, 1), event(1, 7, 1, 2));
    reaper.decide(std::slice::from_ref(&delivered)).await;
    assert_eq!(reaper.state(1, 1).await, "in_trash");
    reaper.restore(1, 1).await;
    let by_hand = event_with(7, 1, 3, "cause", "MANUAL");
    reaper.decide(&[delivered, delayed, by_hand, event_with(7, 1, 4, "enrolledAt", &days_ago(100))]).await;
    for enrollment in [2, 3, 4] {
        assert_eq!(outcome(&reaper, enrollment).await, "skipped: restored_since_enrollment");
    }
    assert_eq!(outcome(&reaper, 1).await, "deleted");
    assert_eq!(reaper.state(1, 1).await, "live");
});

on_both!(an_enrollment_counts_as_made_before_a_restore_until_five_seconds_after_it, async |db: Database| {
    let reaper = with(&db, &[ada(1)]).await;
    reaper.delete(1, 1).await;
    reaper.restore(1, 1).await;
    db.restored_a_while_ago().await;
    let text = db.in_its_words(
        "SELECT to_char(restored_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM contacts",
        "SELECT restored_at FROM contacts",
    );
    let restored: DateTime<Utc> = db.rows(text).await[0][0].parse().expect("a time");
    let after = |micros| (restored + TimeDelta::microseconds(micros)).to_rfc3339();
    reaper.decide(&[event_with(7, 1, 1, "enrolledAt", &after(4_999_999))]).await;
    assert_eq!(outcome(&reaper, 1).await, "skipped: restored_since_enrollment");
    reaper.decide(&[event_with(7, 1, 2, "enrolledAt", &after(5_000_000))]).await;
    assert_eq!(outcome(&reaper, 2).await, "deleted");
});

on_both!(
    a_contact_enrolls_again_only_where_the_workflow_allows_it_and_a_trigger_is_met,
    async |db: Database| {
        let named = |id, first, last| contact(1, id, json!({"firstname": first, "lastname": last}));
        let mut no_trigger = workflow(1, 8, &all_of(&[is("firstname", "Ada")]));
        no_trigger["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
        let mut records = vec![no_trigger];
        records.extend((1..=6).map(|id| named(id, "Ada", "Lovelace")));
        records.extend([named(7, "Ada", "Byron"), named(8, "Grace", "Lovelace")]);
        // All but contact 1 were enrolled before.
        for workflow in [6, 7, 8] {
            records.extend((2..=8).map(|id| enrollment(1, workflow, id, false)));
        }
        let reaper = with(&db, &records).await;
        let cases = [
            (event_with(7, 7, 1, "cause", "RE_ENROLLMENT"), "skipped: criteria_not_met"),
            (event_with(7, 8, 2, "cause", "RE_ENROLLMENT"), "skipped: criteria_not_met"),
            (event_with(8, 2, 3, "cause", "RE_ENROLLMENT"), "skipped: criteria_not_met"),
            (event_with(6, 2, 4, "cause", "RE_ENROLLMENT"), "skipped: re_enrollment_off"),
            (event_with(6, 3, 5, "cause", "MANUAL"), "skipped: re_enrollment_off"),
            (event(1, 6, 4, 6), "skipped: re_enrollment_off"),
            (event_with(7, 2, 7, "cause", "RE_ENROLLMENT"), "deleted"),
            (event_with(7, 8, 8, "cause", "MANUAL"), "deleted"),
            (event(1, 7, 7, 9), "deleted"),
            (event(1, 6, 1, 10), "deleted"),
        ];
        reaper.decide(&cases.iter().map(|(event, _)| event.clone()).collect::<Vec<_>>()).await;
        for ((_, expected), enrollment) in cases.iter().zip(1..) {
            assert_eq!(outcome(&reaper, enrollment).await, *expected, "enrollment {enrollment}");
        }
    }
);

on_both!(a_deletion_of_the_ledger_counts_as_enrolled_before_but_a_skip_does_not, async |db: Database| {
    let reaper = with(&db, &[ada(1), contact(1, 2, json!({}))]).await;
    reaper.decide(&[event(1, 6, 1, 1), event(1, 6, 2, 2)]).await;
    reaper.restore(1, 1).await;
    db.restored_a_while_ago().await;
    reaper.import(&[ada(2)]).await;
    let later = |contact, enrollment| event_with(6, contact, enrollment, "enrolledAt", &days_ago(0));
    reaper.decide(&[later(1, 3), later(2, 4)]).await;
    assert_eq!(outcome(&reaper, 3).await, "skipped: re_enrollment_off");
    assert_eq!(outcome(&reaper, 4).await, "deleted");
});
