//! The vendor's own client library, end to end.

use std::process::Command;

use super::{ALL, token};
use crate::http::Scene;
use crate::support::{Database, on_both, run_to_end, server};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/http/crm/client.py");

on_both!(the_vendors_client_for_python_works, async |db: Database| {
    let scene = Scene::new(db, &[]).await;
    let token = token(&scene, "1", &ALL).await;
    let mut command = Command::new(server("TEST_PYTHON"));
    command.arg(PROGRAM).arg(format!("http://{}", scene.worker.address().unwrap())).arg(token);
    let output = tokio::task::spawn_blocking(move || run_to_end(&mut command, String::new())).await.unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    let ada: i64 = output.stdout.trim().parse().expect("the id of a contact");
    assert_eq!(scene.reaper.state(1, ada).await, "in_trash");
    scene.reaper.restore(1, ada).await;
    assert_eq!(scene.reaper.state(1, ada).await, "live");
});
