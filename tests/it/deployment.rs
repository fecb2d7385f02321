//! What `deploy/` offers, as far as it can be tried here: the unit is read by systemd, the definitions by a broker.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Broker, Database, Reaper, TempDir, rabbitmqctl, run_to_end};

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

#[test]
fn systemd_accepts_the_unit_and_finds_it_well_confined() {
    let text = std::fs::read_to_string(deploy("systemd/contact-reaper.service")).unwrap();
    // Only the program is elsewhere on this machine.
    let text = text.replace("/usr/local/bin/contact-reaper", env!("CARGO_BIN_EXE_contact-reaper"));
    let directory = TempDir::new();
    let unit = directory.path().join("contact-reaper.service");
    std::fs::write(&unit, text).unwrap();
    let run =
        |args: &[&str]| run_to_end(Command::new("systemd-analyze").args(args).arg(&unit), String::new());
    let verified = run(&["verify", "--man=no"]);
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{}", verified.stdout);
    // Tenths: from 0, which nothing can reach that talks to a network, to 100.
    let judged = run(&["security", "--offline=true", "--threshold=15"]);
    assert_eq!(judged.code, 0, "{}", judged.stdout);
}

/// A worker compares the arguments of each queue with what exists, and does not start where they differ.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_takes_the_definitions_and_a_worker_finds_nothing_to_declare() {
    let definitions = std::fs::read_to_string(deploy("rabbitmq/definitions.json")).unwrap();
    rabbitmqctl(&["import_definitions"], &definitions).await;
    let (database, url) = (Database::sqlite(), Broker::new().await.url());
    let reaper = Reaper::new(&database).setting("feed.rabbitmq.url", &url);
    reaper.spawn(&["run"]).wait_ready().await;
}
