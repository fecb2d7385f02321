//! The primary gives way to a standby, while workers reach the one or the other by the same address.
//!
//! What the primary has confirmed is on the standby: replication is synchronous, and nothing may be lost.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::scene::{Scene, wait};
use super::{LONG, MIX, seed};
use crate::support::{Broker, Database, Proxy, Servers, signal_postgres, wait_until};

const EVENTS: usize = 250;

pub async fn all(servers: &Servers) {
    let (primary, broker) = (servers.postgres_url(), Broker::new().await);
    let mut to_primary = Proxy::new(host(&primary));
    to_primary.open();
    let by_proxy = primary.replace(host(&primary), &to_primary.address());
    let database = Database::postgres_at(&by_proxy).await;
    let (standby, standbys_postmaster) = servers.start_standby().await;
    wait_for_each_other(&primary).await;
    let mut scene = Scene::new(database, broker, 1500, MIX, seed()).await;
    scene.reaper = scene.reaper.setting("store.statement_timeout", "1s");
    scene.start(2).await;

    scene
        .survives("primary takes no writes, and its standby becomes the primary", EVENTS, async |scene| {
            run(&primary, "ALTER SYSTEM SET default_transaction_read_only = on").await;
            run(&primary, "SELECT pg_reload_conf()").await;
            // Whoever is connected to the old one stays so, unless he leaves.
            to_primary.lead_to(host(&standby));
            for worker in &scene.workers {
                wait_until("it sees that nothing is written", LONG, async || !worker.is_ready().await).await;
            }
            run(&standby, "SELECT pg_promote()").await;
        })
        .await;
    scene
        .survives("old primary is gone", EVENTS, async |_| {
            signal_postgres("KILL", &servers.postmaster());
        })
        .await;

    let (last, _) = servers.start_standby().await;
    wait_for_each_other(&standby).await;
    scene
        .survives("primary dies, and its standby becomes the primary", EVENTS, async |_| {
            signal_postgres("KILL", &standbys_postmaster);
            to_primary.lead_to(host(&last));
            wait(500).await;
            run(&last, "SELECT pg_promote()").await;
        })
        .await;
    scene.finish().await;
}

/// From now on a commit is confirmed when the standby has it.
async fn wait_for_each_other(primary: &str) {
    run(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    run(primary, "SELECT pg_reload_conf()").await;
    let mut connection = PgConnection::connect(primary).await.expect("it takes connections");
    let sync = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
    wait_until("the standby follows", LONG, async || {
        connection.fetch_optional(sync).await.expect("it answers").is_some()
    })
    .await;
}

async fn run(server: &str, statement: &'static str) {
    let mut connection = PgConnection::connect(server).await.expect("it takes connections");
    connection.execute(statement).await.expect(statement);
}

/// The `host:port` of a server's URL.
fn host(url: &str) -> &str {
    let (_, after_user) = url.split_once('@').expect("the URL of a server");
    after_user.split_once('/').expect("the URL names a database").0
}
