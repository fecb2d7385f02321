//! `holds show`: whom an approval would delete, and who would be spared and why; and that a trip is logged once.

use serde_json::{Value, json};

use crate::support::records::{all_of, contact, entitled_account, event, property, seconds_ago, workflow};
use crate::support::{Database, Output, Reaper, on_both};

/// A workflow that deletes everybody whose first name is Ada.
fn deletes_ada(id: i64) -> Value {
    workflow(1, id, &all_of(&[property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"))]))
}

fn ada(id: i64) -> Value {
    contact(1, id, json!({"firstname": "Ada", "lastname": format!("Quirke{id}")}))
}

const SHOW: [&str; 6] = ["holds", "show", "--account", "1", "--workflow", "6"];

/// Contact 1 was deleted by workflow 6, and 2 to 8 are held; contact 7 by two enrollments, the later of which was made first.
async fn scene(db: &Database) -> Reaper {
    let reaper = Reaper::new(db).unguarded().setting("guard.workflow.max_deletions", "1");
    let mut records = entitled_account(1);
    let mut again = deletes_ada(6);
    again["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
    records.extend([again, deletes_ada(7)]);
    records.extend((1..=9).map(ada));
    reaper.import(&records).await;
    let mut events: Vec<Value> = (1..=8).map(|id| event(1, 6, id, 100 + id)).collect();
    let mut earlier = event(1, 6, 7, 109);
    earlier["data"]["enrolledAt"] = json!(seconds_ago(600));
    events.push(earlier);
    reaper.decide(&events).await;
    reaper
}

fn row(enrollment: i64, contact: i64, verdict: &str, reason: Option<&str>) -> Value {
    json!({"enrollmentId": enrollment.to_string(), "contactId": contact.to_string(), "verdict": verdict,
        "reason": reason})
}

on_both!(an_approval_does_what_it_is_shown_to_do, async |db: Database| {
    let reaper = scene(&db).await;
    reaper.import(&[contact(1, 2, json!({"firstname": "Grace"}))]).await;
    reaper.delete(1, 3).await;
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "4", "--confirm", "1"]).await;
    reaper.delete(1, 5).await;
    reaper.restore(1, 5).await;

    let before = db.dump(&[]).await;
    let shown = reaper.json(&SHOW).await;
    let expected = json!([
        row(102, 2, "skip", Some("criteria_not_met")),
        row(103, 3, "skip", Some("already_in_trash")),
        row(104, 4, "skip", Some("permanently_deleted")),
        row(105, 5, "skip", Some("restored_since_enrollment")),
        row(106, 6, "delete", None),
        row(107, 7, "skip", Some("already_enrolled")),
        row(108, 8, "delete", None),
        row(109, 7, "delete", None),
    ]);
    assert_eq!(shown, expected);
    // People read names, programs do not.
    let words = reaper.run(&SHOW).await;
    assert_eq!((words.code, words.stderr.as_str()), (0, ""));
    for said in ["Ada Quirke6", "criteria_not_met", "an approval of 8 enrollments would delete 3 contacts"] {
        assert!(words.stdout.contains(said), "{said}: {}", words.stdout);
    }
    db.assert_unchanged_since(&before).await;

    // A pause holds all of it, and is said.
    reaper.json(&["pause"]).await;
    let paused = reaper.json(&SHOW).await;
    assert_eq!(paused[4], row(106, 6, "hold", Some("paused")));
    reaper.json(&["resume"]).await;

    reaper.json(&["holds", "approve", "--account", "1", "--workflow", "6", "--confirm", "8"]).await;
    reaper.decide(&[]).await;
    for row in shown.as_array().unwrap() {
        let decision = reaper.decision(1, row["enrollmentId"].as_str().unwrap().parse().unwrap()).await;
        let outcome = if row["verdict"] == "delete" { "deleted" } else { "skipped" };
        assert_eq!((&decision["outcome"], &decision["reason"]), (&json!(outcome), &row["reason"]), "{row}");
    }
    assert_eq!(reaper.json(&SHOW).await, json!([]));
    let nothing = ["holds", "show", "--account", "1", "--workflow", "77"];
    assert!(reaper.refused(&nothing).await.contains("account 1 has no workflow 77"));
});

/// Runs the service on these events, one in a batch; what it logged.
async fn logged(reaper: &Reaper, events: &[Value]) -> Output {
    let reaper = reaper.fed_by_lines("-").setting("pipeline.batch_size", "1");
    let output = reaper.run_with_input(&["run"], &crate::support::records::lines(events)).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    output
}

on_both!(a_trip_of_the_guard_is_logged_once_and_not_for_every_batch, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded().setting("guard.workflow.max_deletions", "1");
    let mut records = entitled_account(1);
    records.extend([deletes_ada(6), deletes_ada(7)]);
    records.extend((1..=12).map(ada));
    reaper.import(&records).await;
    let trips = |output: &Output| output.stderr.matches("the volume guard has stopped a workflow").count();
    let one = logged(&reaper, &(1..=6).map(|id| event(1, 6, id, id)).collect::<Vec<_>>()).await;
    assert_eq!(trips(&one), 1, "{}", one.stderr);
    assert!(!one.stderr.contains("Quirke"), "{}", one.stderr);
    let another = logged(&reaper, &(7..=10).map(|id| event(1, 7, id, id)).collect::<Vec<_>>()).await;
    assert_eq!(trips(&another), 1, "{}", another.stderr);
    // What was held and is ruled on is a trip that has ended: the next one is another.
    reaper.json(&["holds", "reject", "--account", "1", "--workflow", "6", "--confirm", "5"]).await;
    let again = logged(&reaper, &[event(1, 6, 11, 11), event(1, 6, 12, 12)]).await;
    assert_eq!(trips(&again), 1, "{}", again.stderr);
});
