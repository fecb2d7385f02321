//! The filter language against a second reading of its specification (`tests/model/criteria.py`), on cases made up from
//! a seed. `CRITERIA_CASES` and `CRITERIA_SEED` ask for more of them, and for others.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use contact_reaper::domain::criteria::Criteria;
use serde_json::Value;

use super::scene::Scene;

const CASES: u64 = 5_000;
const SEED: u64 = 1;
/// As many disagreements as a person looks at.
const SHOWN: usize = 10;

#[test]
fn both_readings_of_the_specification_agree() {
    let (seed, count) = (asked("CRITERIA_SEED", SEED), asked("CRITERIA_CASES", CASES));
    let mut model = Command::new("/usr/bin/python3")
        .args(["-B", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/model/cases.py")])
        .args([seed.to_string(), count.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let lines = BufReader::new(model.stdout.take().expect("its output")).lines();
    let (mut read, mut disagreements) = (0, Vec::new());
    for line in lines.map(|line| line.expect("a line")) {
        disagreements.extend(disagreement(&line));
        read += 1;
    }
    assert!(model.wait().expect("python3 ends").success(), "the model failed");
    assert_eq!(read, count);
    let shown: Vec<String> = disagreements.iter().take(SHOWN).cloned().collect();
    assert!(shown.is_empty(), "seed {seed}: {} of {count} differ\n{}", disagreements.len(), shown.join("\n"));
}

fn disagreement(line: &str) -> Option<String> {
    let case: Value = serde_json::from_str(line).expect("a case");
    let scene = Scene::read(case["scene"].as_object().expect("a scene"));
    let criteria = Criteria::parse(&case["branch"], "$");
    let verdict = criteria.evaluate(scene.subject());
    assert_eq!(criteria.explain(scene.subject()).verdict, verdict, "explained: {line}");
    (case["verdict"] != verdict.as_str()).then(|| format!("the program {}: {line}", verdict.as_str()))
}

fn asked(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |asked| asked.parse().expect(name))
}
