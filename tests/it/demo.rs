//! The demo as a newcomer runs it: in an empty folder, twice, and then what it says to try next.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::http::pages::Browser;
use crate::support::{DEADLINE, TempDir, Worker, wait_until};

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_contact-reaper"));
    command
        .current_dir(folder)
        .args(args)
        .env("CONTACT_REAPER_STORE__URL", "sqlite://contact-reaper-demo.db");
    command
}

fn reaper(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("it runs")
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

#[tokio::test]
async fn its_pages_show_all_of_it_and_bring_a_contact_back() {
    let folder = TempDir::new();
    let mut command = command(folder.path(), &["demo", "--serve", "--verbose"]);
    command.env("CONTACT_REAPER_HTTP__LISTEN", "127.0.0.1:0").env("CONTACT_REAPER_LOG__FORMAT", "json");
    let mut demo = Worker::start(&mut command);
    let mut token = None;
    wait_until("the demo says how to open the pages", DEADLINE, async || {
        assert!(demo.ended().is_none(), "{}", demo.stderr());
        token =
            demo.stdout().lines().map(str::trim).find(|line| line.starts_with("reaper_")).map(str::to_owned);
        token.is_some()
    })
    .await;
    let browser = Browser::log_in(&demo, &token.expect("waited for")).await;

    for (page, says) in [
        ("/", "Deleted by workflows, the last 24 hours: 15 in all"),
        ("/trash", "Tilda Dupont"),
        ("/enrollments", "criteria unsupported"),
        ("/holds", "Nothing here"),
        ("/dead-letters", "conflicting duplicate"),
        ("/legal-holds", "Nothing here"),
        ("/erase", "Nothing here"),
        ("/retention", "purge trash"),
        ("/audit", "workflow:5001"),
    ] {
        let answered = browser.get(page).await;
        assert!(answered.status == 200 && answered.body.contains(says), "{page}: {}", answered.body);
    }
    let before = "Restored, or gone for good, the last 24 hours: 2 in all";
    assert!(browser.get("/").await.body.contains(before), "the demo restores one and purges one");
    let restored = browser.send("/restore?contact=105", "/restore", &[]).await;
    assert!(restored.body.contains("1 restored, 0 refused"), "{}", restored.body);
    let overview = browser.get("/").await.body;
    assert!(overview.contains(&before.replace("2 in all", "3 in all")), "{overview}");
}
