//! PostgreSQL crashes, stops, ends sessions, and takes no more of them.

use std::process::Command;

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::scene::{Scene, wait};
use super::{MIX, seed};
use crate::support::{Broker, Database, Servers, signal_postgres};

const EVENTS: usize = 250;

/// Sessions of the workers, also those that a pooler has for them, as a condition on `pg_stat_activity`.
const THEIRS: &str = "datname = current_database() AND application_name = 'contact-reaper'";

pub async fn all(servers: &Servers) {
    let (database, broker) = (Database::postgres_at(&servers.postgres_url()).await, Broker::new().await);
    let mut scene = Scene::new(database, broker, 2000, MIX, seed()).await;
    scene.reaper = scene.reaper.setting("store.statement_timeout", "1s");
    scene.start(2).await;
    scene
        .survives("database crashes", EVENTS, async |scene| {
            let backend = format!("SELECT CAST(pid AS text) FROM pg_stat_activity WHERE {THEIRS} LIMIT 1");
            let backend = scene.database.rows(&backend).await.remove(0).remove(0);
            // It cannot know what its memory is worth then, and starts again.
            assert!(Command::new("kill").args(["-s", "KILL", &backend]).status().expect("kill").success());
        })
        .await;
    scene.survives("sessions are ended", EVENTS, async |scene| end_sessions(&scene.database, 10).await).await;
    scene
        .survives("database takes no more sessions", EVENTS, async |scene| {
            let mut others = Vec::new();
            take_all(scene, &mut others).await;
            let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {THEIRS}");
            others[0].execute(sqlx::AssertSqlSafe(end)).await.expect("ended");
            for _ in 0..10 {
                take_all(scene, &mut others).await;
                wait(100).await;
            }
        })
        .await;
    scene
        .survives("database stands still", EVENTS, async |_| {
            signal_postgres("STOP", &servers.postmaster());
            wait(3000).await;
            signal_postgres("CONT", &servers.postmaster());
        })
        .await;
    scene.finish().await;
}

/// All that are there, so often.
pub async fn end_sessions(database: &Database, times: usize) {
    let mut connection = database.connect_postgres().await;
    for _ in 0..times {
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {THEIRS}");
        connection.execute(sqlx::AssertSqlSafe(end)).await.expect("ended");
        wait(100).await;
    }
}

/// Opens sessions until the server refuses one.
async fn take_all(scene: &Scene, sessions: &mut Vec<PgConnection>) {
    while let Ok(session) = PgConnection::connect(scene.database.url()).await {
        sessions.push(session);
    }
}
