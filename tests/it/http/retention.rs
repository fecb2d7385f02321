//! The scheduled jobs, run by hand over HTTP: they are of all accounts, and take a user who may do anything.

use serde_json::{Value, json};

use super::pages::Browser;
use super::{Scene, serving};
use crate::support::records::{contact, days_ago};
use crate::support::{Asking, DEADLINE, Database, on_both, wait_until};

fn archived(id: i64, days: i64) -> Value {
    let mut record = contact(1, id, json!({}));
    record["archived"] = json!(true);
    record["archivedAt"] = json!(days_ago(days));
    record
}

on_both!(a_job_is_run_by_hand_and_removes_what_is_due_and_nothing_else, async |db: Database| {
    let scene = Scene::new(db, &[archived(40, 91), archived(41, 91), archived(42, 89)]).await;
    let (admin, many) = (scene.token("1").await, scene.token("3").await);
    scene
        .reaper
        .json(&["legal-hold", "set", "--account", "1", "--contact", "41", "--reason", "case 5"])
        .await;
    let purge = json!({"job": "purge_trash"});
    assert_eq!(scene.post(&many, "/retention/run", &purge).await.status, 403);
    assert_eq!(scene.reaper.state(1, 40).await, "in_trash");
    for wish in [json!({}), json!({"job": "nothing"}), json!({"job": null})] {
        assert_eq!(scene.post(&admin, "/retention/run", &wish).await.status, 400, "{wish}");
    }
    // The one under the hold is counted by itself.
    let ran = scene.post(&admin, "/retention/run", &purge).await.json();
    let report = json!({"job": "purge_trash", "dryRun": false, "deleted": 1, "remaining": 0, "held": 1, "stoppedBy": "done"});
    assert_eq!(ran, json!({ "jobs": [report] }));
    for (id, state) in [(40, "purged"), (41, "in_trash"), (42, "in_trash"), (1, "live")] {
        assert_eq!(scene.reaper.state(1, id).await, state, "{id}");
    }
    let runs = scene.get(&admin, "/retention").await.json();
    assert_eq!(runs["jobs"][0]["run"]["by"], "user:1 of account 1");
    let by_hand =
        "SELECT CAST(account_id AS text), actor, CAST(ids AS text) FROM audit WHERE action = 'run_jobs'";
    assert_eq!(scene.db.rows(by_hand).await, [["1", "user:1", "[\"purge_trash\"]"]]);

    let browser = Browser::of(&scene, "1").await;
    let ran = browser.send("/retention", "/retention/run", &[("job", "expire_notifications")]).await;
    assert!(ran.body.contains("expire notifications: 0 removed, 0 still due"), "{}", ran.body);
    // One run at a time.
    let active = crate::support::records::seconds_ago(-60);
    let open = format!(
        "UPDATE retention_runs SET ended_at = NULL, active_at = '{active}' WHERE job = 'purge_trash'"
    );
    scene.db.execute(&open).await;
    let refused = scene.post(&admin, "/retention/run", &purge).await;
    assert!(refused.status == 409 && refused.body.contains("under way"), "{}", refused.body);
    scene.reaper.json(&["retention", "run", "--job", "prune_outbox"]).await;
    assert_eq!(scene.db.count("audit", "account_id = 0 AND action = 'run_jobs'").await, 1);
});

on_both!(a_service_that_is_asked_to_stop_ends_the_job_after_its_batch_and_answers, async |db: Database| {
    const DUE: i64 = 400;
    let due: Vec<Value> = (100..100 + DUE).map(|id| archived(id, 91)).collect();
    let scene = Scene::new(db, &due).await;
    let admin = scene.token("1").await;
    let mut worker = serving(&scene.reaper.clone().setting("retention.purge_trash.batch_size", "1")).await;
    let wish = Asking::post("/api/v1/retention/run", &json!({"job": "purge_trash"})).showing(&admin);
    let begun = async {
        wait_until("it purges", DEADLINE, async || scene.db.count("gone_contacts", "TRUE").await > 0).await;
        worker.terminate();
    };
    let (answer, ()) = tokio::join!(worker.ask(&wish), begun);
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0), "{}", worker.stderr());
    let gone = scene.db.count("gone_contacts", "TRUE").await;
    let report = json!({"job": "purge_trash", "dryRun": false, "deleted": gone, "remaining": DUE - gone, "held": 0,
        "stoppedBy": "shutdown"});
    assert_eq!((answer.status, answer.json()), (200, json!({ "jobs": [report] })));
    assert!(gone < DUE);
    // Nothing is under way that would be in the way of the next.
    scene.reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(scene.db.count("gone_contacts", "TRUE").await, DUE);
});
