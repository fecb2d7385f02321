//! What `deploy/` offers, as far as it can be tried here: the unit is read by systemd, the definitions by a broker, the
//! settings of all by the program.

use std::collections::BTreeSet;
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

/// The variables that a file sets for the program.
fn variables(text: &str) -> BTreeSet<&str> {
    let name =
        |rest: &str| rest.bytes().take_while(|byte| byte.is_ascii_uppercase() || *byte == b'_').count();
    let prefix = "CONTACT_REAPER_";
    let found = text.match_indices(prefix).map(|(at, _)| &text[at..at + name(&text[at..])]);
    found.filter(|name| *name != "CONTACT_REAPER_REVISION").collect()
}

/// A setting that does not exist, or is given twice, is refused by the program: a worker would not start.
#[test]
fn the_program_takes_every_setting_that_the_files_make() {
    let directory = TempDir::new();
    for file in [
        "systemd/contact-reaper.service",
        "docker/Dockerfile",
        "compose/compose.yaml",
        "kubernetes/deployment.yaml",
    ] {
        let text = std::fs::read_to_string(deploy(file)).unwrap();
        let variables = variables(&text);
        assert!(variables.len() > 1, "{file}: {variables:?}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_contact-reaper"));
        if file.starts_with("kubernetes/") {
            command.arg("--config").arg(deploy("kubernetes/contact-reaper.toml"));
        }
        for variable in variables {
            let value = match variable {
                name if name.contains("STORE__URL") => "postgres://reaper:hunter2@db/crm",
                name if name.contains("RABBITMQ__URL") => "amqp://reaper:hunter2@broker/%2f",
                name if name.contains("HTTP__LISTEN") => "0.0.0.0:9464",
                _ => "json",
            };
            let secret = directory.path().join(variable);
            std::fs::write(&secret, value).unwrap();
            let in_a_file = variable.ends_with("_FILE");
            command.env(variable, if in_a_file { secret.as_os_str() } else { value.as_ref() });
        }
        let checked = run_to_end(command.arg("check-config"), String::new());
        assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{file}");
        for line in ["db/crm", "broker", "json"] {
            assert!(
                checked.stdout.contains(line) || file.starts_with("docker/"),
                "{file}: {}",
                checked.stdout
            );
        }
        assert!(!checked.stdout.contains("hunter2"), "{file}");
    }
}

/// Whoever stops a worker gives it longer than it takes to drain, and the probes ask where it listens.
#[test]
fn every_worker_may_drain_and_is_asked_where_it_listens() {
    let settings: toml::Table = include_str!("../../config/default.toml").parse().unwrap();
    let drain = settings["pipeline"]["drain_timeout"].as_str().unwrap().trim_end_matches('s');
    let drain: u32 = drain.parse().unwrap();
    let (_, port) = settings["http"]["listen"].as_str().unwrap().rsplit_once(':').unwrap();
    for (file, patience) in [
        ("systemd/contact-reaper.service", "TimeoutStopSec="),
        ("compose/compose.yaml", "stop_grace_period: "),
        ("kubernetes/deployment.yaml", "terminationGracePeriodSeconds: "),
    ] {
        let text = std::fs::read_to_string(deploy(file)).unwrap();
        let given = text.lines().find_map(|line| line.trim().strip_prefix(patience)).unwrap();
        assert!(given.trim_end_matches('s').parse::<u32>().unwrap() > drain, "{file}: {given}");
    }
    for file in [
        "docker/Dockerfile",
        "compose/prometheus.yaml",
        "prometheus/prometheus.yaml",
        "kubernetes/deployment.yaml",
        "kubernetes/service.yaml",
        "kubernetes/network.yaml",
        "kubernetes/contact-reaper.toml",
    ] {
        assert!(std::fs::read_to_string(deploy(file)).unwrap().contains(port), "{file}: not at {port}");
    }
}
