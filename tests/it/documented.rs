//! The commands in README, GUIDE and OPERATIONS, as somebody who copies them would type them.

use std::process::Command;

use crate::support::{TempDir, run_to_end};

/// Every command that a page shows, in a sentence or a block of its own.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, part) in page.split("```").enumerate() {
        let shown: Vec<&str> = if number % 2 == 1 {
            part.lines().collect()
        } else {
            part.split('`').skip(1).step_by(2).collect()
        };
        for text in shown {
            // What is long goes over two lines of the page.
            let text =
                text.split(" #").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
            let command = text.strip_prefix("target/debug/").unwrap_or(&text).strip_prefix("contact-reaper ");
            found.extend(command.map(str::to_owned));
        }
    }
    found
}

/// The words of a command, with something in place of those that stand for something.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in command.split('"').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
            continue;
        }
        words.extend(part.split_whitespace().map(|word| match word {
            "A" | "W" | "C" | "ID" | "USER" | "COUNT" => "1".to_owned(),
            "TIME" => "2026-11-21T10:00:00Z".to_owned(),
            word => word.to_owned(),
        }));
    }
    words
}

/// There is no store here, so each fails; but none because of how it is written, which is exit code 2.
#[test]
fn every_documented_command_is_one() {
    let directory = TempDir::new();
    let pages = [
        include_str!("../../README.md"),
        include_str!("../../docs/GUIDE.md"),
        include_str!("../../docs/OPERATIONS.md"),
    ];
    let documented: Vec<String> = pages.into_iter().flat_map(commands).collect();
    assert!(documented.len() > 40, "{documented:?}");
    for command in documented {
        // They would go on for ever, make a store of their own, or read settings that are not here.
        if ["run", "demo", "migrate"].contains(&command.as_str()) || command.starts_with("--config") {
            continue;
        }
        let mut process = Command::new(env!("CARGO_BIN_EXE_contact-reaper"));
        process.args(words(&command)).current_dir(directory.path());
        process.env("CONTACT_REAPER_STORE__URL", "sqlite://no/store.db");
        process.env("CONTACT_REAPER_FEED__RABBITMQ__URL", "amqp://127.0.0.1:1/");
        let output = run_to_end(&mut process, String::new());
        assert_ne!(output.code, 2, "{command}: {}", output.stderr);
    }
}
