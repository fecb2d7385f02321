//! The documents, held against the program: commands as a reader would type them, the records and views they describe, links.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Database, Reaper, TempDir, on_both, run_to_end};

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
        include_str!("../../docs/IMPORT.md"),
        include_str!("../../docs/INTEGRATE.md"),
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

/// The parts of a page below its headings of the third level, each with its heading.
fn sections(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split("\n### ").skip(1).map(|section| {
        let section = section.split("\n## ").next().unwrap_or_default();
        section.split_once('\n').expect("a heading and its text")
    })
}

/// Every word of a text that stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

on_both!(examples_of_all_record_kinds_can_be_imported, async |db: Database| {
    let page = include_str!("../../docs/IMPORT.md");
    let reaper = Reaper::new(&db);
    let kinds = page.split("## Record kinds").nth(1).expect("the kinds of records");
    let documented: Vec<&str> = sections(kinds).filter_map(|(heading, _)| quoted(heading).next()).collect();
    let said = reaper.refused_with_input(&["import", "-"], "{\"kind\": \"unknown\"}\n").await;
    let known = said.split("must be one of ").nth(1).expect("the kinds").split([':', ';', '.', '\n']).next();
    assert_eq!(documented.join(", "), known.unwrap_or_default(), "{said}");

    let mut examples = String::new();
    for (heading, section) in sections(kinds) {
        let blocks: Vec<&str> = section.split("```json\n").skip(1).collect();
        let [block] = blocks[..] else { panic!("{heading}: one example") };
        examples += block.split("```").next().expect("an example");
    }
    let output = reaper.run_with_input(&["--json", "import", "-"], &examples).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let summary: serde_json::Value = serde_json::from_str(&output.stdout).expect("a summary");
    let counts = ["imported", "removed", "skipped"].map(|name| summary[name].as_u64());
    assert_eq!(counts, [Some(documented.len() as u64 - 1), Some(1), Some(0)], "{summary}");
});

on_both!(views_have_the_documented_columns, async |db: Database| {
    Reaper::new(&db).json(&["migrate"]).await;
    let sql = db.in_its_words(
        "SELECT CAST(viewname AS text) FROM pg_views WHERE schemaname = current_schema()",
        "SELECT name FROM sqlite_schema WHERE type = 'view'",
    );
    let views = db.rows(sql).await.concat().into_iter().filter(|view| view.starts_with("crm_"));
    let mut documented = BTreeMap::new();
    for (heading, section) in sections(include_str!("../../docs/INTEGRATE.md")) {
        let (text, table) = section.split_once("| column |").expect("a table of columns");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let columns: BTreeSet<String> = rows
            .flat_map(|row| quoted(row.split('|').nth(1).unwrap_or_default()))
            .map(str::to_owned)
            .collect();
        let of = quoted(heading).chain(quoted(text)).filter(|word| word.starts_with("crm_"));
        documented.extend(of.map(|view| (view, columns.clone())));
    }
    assert_eq!(
        documented.keys().map(ToString::to_string).collect::<BTreeSet<_>>(),
        views.collect::<BTreeSet<_>>()
    );
    for (view, columns) in documented {
        assert_eq!(BTreeSet::from_iter(db.columns(view).await), columns, "{view}");
    }
});

/// Every page of the project, with its text.
pub fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [root.to_owned(), root.join("docs"), root.join("docs/decisions")];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let files = files.map(|entry| entry.expect("an entry").path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.clone(), fs::read_to_string(path).expect("a page"))).collect()
}

/// Where a link to a heading leads: its words in lower case, joined by hyphens, without other signs.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    let anchor = |heading: &str| {
        let letters = heading.to_lowercase();
        let kept = letters.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let (pages, mut links) = (pages(), 0);
    assert!(pages.len() > 70, "only {} pages were found", pages.len());
    for (path, page) in pages {
        let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let other = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            assert!(other.exists(), "{}: {target}", path.display());
            let leads = || anchors(&fs::read_to_string(&other).expect("a page")).contains(anchor);
            assert!(anchor.is_empty() || leads(), "{}: {target}", path.display());
            links += 1;
        }
    }
    assert!(links > 200, "only {links} links were found");
}
