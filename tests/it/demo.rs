//! The demo as a newcomer runs it: in an empty folder, twice, and then what it says to try next.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::TempDir;

fn reaper(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_contact-reaper"));
    command
        .current_dir(folder)
        .args(args)
        .env("CONTACT_REAPER_STORE__URL", "sqlite://contact-reaper-demo.db");
    command.output().expect("it runs")
}

fn answer(folder: &Path, args: &[&str]) -> Value {
    let output = reaper(folder, &[&["--json"], args].concat());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

#[test]
fn it_shows_every_outcome_and_leaves_a_store_that_commands_work_on() {
    let folder = TempDir::new();
    for _ in 0..2 {
        let shown = answer(folder.path(), &["demo"]);
        let mut outcomes: BTreeMap<&str, u32> = BTreeMap::new();
        for decision in shown["decisions"].as_array().unwrap() {
            *outcomes.entry(decision["outcome"].as_str().unwrap()).or_default() += 1;
        }
        let expected =
            [("dead letter", 4), ("deleted", 15), ("duplicate", 1), ("refused", 9), ("skipped", 9)];
        assert_eq!(outcomes, BTreeMap::from(expected));
    }
    let user = ["--account", "1", "--as", "ola@larkspur.example"];
    let back = answer(folder.path(), &[&["restore", "--contact", "105"], &user[..]].concat());
    assert_eq!(back["restored"], json!(["105"]));
    let erase = ["erase", "--email", "bruno.novak@mail.example", "--confirm", "1"];
    let erased = answer(folder.path(), &[&erase[..], &user[..]].concat());
    assert_eq!(erased["receipts"][0]["contactId"], "102");
    let journal = reaper(folder.path(), &["erasures", "export"]);
    assert!(journal.status.success(), "{}", String::from_utf8_lossy(&journal.stderr));
}
