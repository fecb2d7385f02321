//! `run` under systemd: what it tells its manager.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::support::{Broker, DEADLINE, Database, Reaper, TempDir, wait_until};

/// Everything that was said since the last time.
fn heard(manager: &UnixDatagram) -> Vec<String> {
    let mut bytes = [0; 256];
    let mut said = Vec::new();
    while let Ok(length) = manager.recv(&mut bytes) {
        said.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_hears_that_it_is_ready_alive_and_stopping() {
    let (database, broker, directory) = (Database::sqlite(), Broker::new().await, TempDir::new());
    let socket = directory.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_nonblocking(true).unwrap();
    let mut worker = Reaper::new(&database).fed_by(&broker).watched_by(&socket, 200_000).spawn(&["run"]);
    worker.wait_ready().await;
    let mut said = Vec::new();
    let mut waits_for = async |what: &str| {
        wait_until(what, DEADLINE, async || {
            said.extend(heard(&manager));
            said.iter().any(|state| state == what)
        })
        .await;
        std::mem::take(&mut said)
    };
    waits_for("READY=1").await;
    waits_for("WATCHDOG=1").await;
    worker.signal("STOP");
    let _ = heard(&manager);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(heard(&manager), [""; 0], "a process that stands still is not alive");
    worker.signal("CONT");
    waits_for("WATCHDOG=1").await;
    worker.terminate();
    let said = waits_for("STOPPING=1").await;
    assert!(!said.contains(&"READY=1".to_owned()), "it is ready once: {said:?}");
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0), "{}", worker.stderr());
}

/// Ready means that the schema is up to date. Nobody listens meanwhile, and that holds up nothing.
#[tokio::test]
async fn systemd_does_not_hear_ready_while_the_store_is_away() {
    let (database, broker, directory) = (Database::sqlite(), Broker::new().await, TempDir::new());
    let socket = directory.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_nonblocking(true).unwrap();
    let reaper = Reaper::new(&database)
        .fed_by(&broker)
        .setting("store.url", "postgres://127.0.0.1:1/none")
        .setting("store.acquire_timeout", "2s");
    let mut worker = reaper.watched_by(&socket, 200_000).spawn(&["run"]);
    worker.wait_listening().await;
    wait_until("it goes on", DEADLINE, async || worker.stderr().contains("store not reached")).await;
    let no_store = "the store does not answer";
    wait_until(no_store, DEADLINE, async || worker.get("/readyz").await.1.contains(no_store)).await;
    let said = heard(&manager);
    assert!(!said.contains(&"READY=1".to_owned()), "{said:?}");
}
