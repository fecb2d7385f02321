//! The API against what it says of itself: requests that Schemathesis makes up from its description, right ones and wrong
//! ones, and what it has to say of the answers.

use std::process::Command;

use super::Scene;
use crate::support::records::{manual_workflow, segment};
use crate::support::{Database, TempDir, on_both, run_to_end, server};

on_both!(the_api_answers_as_its_description_says, async |db: Database| {
    let scene = Scene::new(db, &[manual_workflow(1, 7), segment(1, 4, &[7, 8])]).await;
    let token = scene.token("1").await;
    let api = format!("http://{}/api/v1", scene.worker.address().unwrap());
    let dir = TempDir::new();
    let mut command = Command::new(server("TEST_SCHEMATHESIS"));
    command
        // It leaves notes where it stands.
        .current_dir(dir.path())
        .args(["run", concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/api/openapi.json"), "--url", &api])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", "all", "--max-examples", "40", "--seed", "1", "--continue-on-failure"])
        // The first shows wrong tokens: after a few of them every request of this address is turned away; `doors` has the
        // tests. The others hold every request against the schema alone, which cannot say what excludes what.
        .args(["--exclude-checks", "ignored_auth,positive_data_acceptance,negative_data_rejection"])
        // This one needs a broker, and says so with 503 where there is none.
        .args(["--exclude-path-regex", "dead-letters/replay$"]);
    let output = tokio::task::spawn_blocking(move || run_to_end(&mut command, String::new())).await.unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
    assert!(!output.stdout.contains("429"), "turned away, and nothing was tested: {}", output.stdout);
});
