//! JSON Schema, as somebody else's library understands it.

use std::process::Command;

use serde_json::{Value, json};

use super::process::run_to_end;

/// Debian's own interpreter: the library is one of its packages.
const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/json_schema.py");

/// What is wrong with each of these values by a schema of the document, which is named by its pointer.
pub fn complaints(document: &Value, judged: &[(String, Value)]) -> Vec<Option<String>> {
    let asked = json!({"document": document, "judged": judged});
    let output = run_to_end(Command::new(PYTHON).arg(SCRIPT), asked.to_string());
    assert_eq!(output.code, 0, "{}", output.stderr);
    let complaints: Vec<Option<String>> = serde_json::from_str(&output.stdout).expect("a list");
    assert_eq!(complaints.len(), judged.len());
    complaints
}
