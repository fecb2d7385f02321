//! The API against what it says of itself: requests that Schemathesis makes up from its description, right ones and wrong
//! ones, and what it has to say of the answers.

use std::process::Command;

use super::Scene;
use crate::support::records::{manual_workflow, segment};
use crate::support::{Database, on_both, run_to_end, server};

on_both!(the_api_answers_as_its_description_says, async |db: Database| {
    let scene = Scene::new(db, &[manual_workflow(1, 7), segment(1, 4, &[7, 8])]).await;
    let token = scene.token("1").await;
    let api = format!("http://{}/api/v1", scene.worker.address().unwrap());
    let mut command = Command::new(server("TEST_SCHEMATHESIS"));
    command
        .args(["run", concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/api/openapi.json"), "--url", &api])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", "all", "--max-examples", "40", "--seed", "1", "--continue-on-failure"]);
    let output = tokio::task::spawn_blocking(move || run_to_end(&mut command, String::new())).await.unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
});
