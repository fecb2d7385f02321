//! Workers and commands behind PgBouncer, which has fewer sessions than they have connections, and passes them on between
//! transactions.

use serde_json::json;

use super::databases::end_sessions;
use super::scene::{Scene, wait};
use super::{LONG, MIX, seed};
use crate::support::{Broker, Database, Reaper, records, wait_until};

const EVENTS: usize = 250;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_passed_on() {
    let (broker, database) = (Broker::new().await, Database::postgres().await);
    let mut scene = Scene::new(database, broker, 1000, MIX, seed()).await;
    scene.reaper = pooled(scene.reaper, &scene.database).setting("store.statement_timeout", "1s");
    scene.start(3).await;
    scene
        .survives("sessions behind the pooler are ended", EVENTS, async |scene| {
            end_sessions(&scene.database, 10).await;
        })
        .await;
    scene
        .survives("workers are killed behind the pooler", EVENTS, async |scene| {
            for worker in &mut scene.workers {
                worker.kill9();
                *worker = scene.reaper.spawn(&["run"]);
                wait(200).await;
            }
        })
        .await;
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_and_jobs_work_behind_a_pooler() {
    let database = Database::postgres().await;
    let reaper = pooled(Reaper::new(&database), &database).fed_by(&Broker::new().await);
    let mut world = records::entitled_account(1);
    world.extend((1..=4).map(|id| records::contact(1, id, json!({}))));
    let mut old = records::contact(1, 5, json!({}));
    old["archived"] = json!(true);
    old["archivedAt"] = json!(records::days_ago(91));
    world.push(old);
    reaper.import(&world).await;
    let mut workers = [reaper.spawn(&["run"]), reaper.spawn(&["run"]), reaper.spawn(&["run"])];
    for worker in &mut workers {
        worker.wait_ready().await;
    }
    wait_until("one of them leads", LONG, async || {
        let mut leaders = 0;
        for worker in &workers {
            let metrics = worker.metrics().await;
            leaders += metrics.lines().filter(|line| *line == "contact_reaper_scheduler_leader 1").count();
        }
        leaders == 1
    })
    .await;

    tokio::join!(reaper.delete(1, 1), reaper.delete(1, 2), reaper.delete(1, 3));
    let erase = ["erase", "--account", "1", "--as", "1", "--contact", "3", "--confirm", "1"];
    tokio::join!(reaper.restore(1, 1), reaper.json(&erase), reaper.json(&["retention", "run"]));
    for (contact, state) in [(1, "live"), (2, "in_trash"), (3, "erased"), (4, "live"), (5, "purged")] {
        assert_eq!(reaper.state(1, contact).await, state, "contact {contact}");
    }
}

/// Prepared statements have names that another client's session may have for others: then the wrong one would be run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_passes_sessions_on_is_refused_where_statements_are_prepared() {
    let database = Database::postgres().await;
    let reaper = Reaper::new(&database).setting("store.url", &database.pooled_url());
    let sentence = reaper.refused(&["migrate"]).await;
    assert!(sentence.contains("set store.prepared_statements = false"), "{sentence}");
}

fn pooled(reaper: Reaper, database: &Database) -> Reaper {
    reaper.setting("store.url", &database.pooled_url()).setting("store.prepared_statements", "false")
}
