//! Whole definitions of the published shape, each imported as it is, linted, and asked about contacts.
//!
//! A file is a case, worked out by hand: `flow` is the definition as the vendor's API returns it, `lint` what must be
//! found in it (concern and JSON path), `records` what else is in its account, where `@-3d` is three days ago, and
//! `explain` what would become of each contact if it enrolled now.

mod mangled;
mod scene;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::support::records::{days_ago, entitled_account};
use crate::support::{Database, Reaper, on_both};

struct Definition {
    path: PathBuf,
    flow: Value,
    lint: Vec<String>,
    records: Vec<Value>,
    explain: Map<String, Value>,
}

impl Definition {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).expect("a definition");
        let mut case: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut take = |member: &str| case[member].take();
        let texts = |list: Value| -> Vec<String> { serde_json::from_value(list).expect("texts") };
        Self {
            flow: take("flow"),
            lint: texts(take("lint")),
            records: take("records").as_array().expect("records").clone(),
            explain: take("explain").as_object().expect("contacts").clone(),
            path,
        }
    }

    /// An account of its own with the definition and all that it is asked about.
    fn account(&self, id: i64) -> Vec<Value> {
        let mut records = entitled_account(id);
        records.push(serde_json::json!({"kind": "workflow", "flow": self.flow}));
        records.extend(self.records.iter().map(dated));
        for record in records.iter_mut().filter(|record| record["kind"] != "account") {
            record["accountId"] = id.to_string().into();
            if record["kind"] == "contact" && record["createdAt"].is_null() {
                record["createdAt"] = days_ago(20).into();
            }
        }
        records
    }
}

fn all() -> Vec<Definition> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/definitions");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.into_iter().map(Definition::read).collect()
}

/// With times in place of days: `@-3d` was three days ago.
fn dated(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('@').and_then(|text| text.strip_suffix('d')) {
            Some(days) => days_ago(-days.parse::<i64>().expect("days")).into(),
            None => value.clone(),
        },
        Value::Array(items) => items.iter().map(dated).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), dated(member))).collect()
        }
        other => other.clone(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lint_finds_what_is_the_matter_and_nothing_else() {
    let reaper = Reaper::new(&Database::sqlite());
    let mut wrong = Vec::new();
    for Definition { path, mut lint, .. } in all() {
        let output = reaper.run(&["--json", "workflow", "lint", path.to_str().expect("a path")]).await;
        let answer: Value = serde_json::from_str(&output.stdout).expect("one JSON document");
        let text = |finding: &Value, member: &str| finding[member].as_str().expect("a text").to_owned();
        let findings = answer["findings"].as_array().expect("findings").iter();
        let mut found: Vec<String> =
            findings.map(|finding| format!("{} {}", text(finding, "concern"), text(finding, "at"))).collect();
        found.sort();
        lint.sort();
        if found != lint {
            wrong.push(format!("{}: {found:#?}, not {lint:#?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

on_both!(each_contact_fares_as_the_definition_says, async |db: Database| {
    let definitions = all();
    assert!(definitions.len() >= 50, "{} definitions", definitions.len());
    let accounts = || (1..).zip(&definitions);
    let reaper = Reaper::new(&db);
    reaper.import(&accounts().flat_map(|(id, definition)| definition.account(id)).collect::<Vec<_>>()).await;
    let mut wrong = Vec::new();
    for (id, Definition { path, flow, explain, .. }) in accounts() {
        let (account, workflow) = (id.to_string(), flow["id"].to_string().replace('"', ""));
        for (contact, expected) in explain {
            let of = ["--account", &account, "--workflow", &workflow, "--contact", contact];
            let explained = reaper.json(&[&["explain"], of.as_slice()].concat()).await;
            let verdict = explained["verdict"].as_str().expect("a verdict").to_owned();
            let said = explained["reason"].as_str().map(|reason| format!("{verdict}: {reason}"));
            let said = said.unwrap_or(verdict);
            if said != *expected {
                wrong.push(format!("{}: contact {contact}: {said}, not {expected}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
});
