//! What the program is made of: the licences, bans and sources of `deny.toml` without the tool that reads it, and a
//! reason and a use for every dependency.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::run_to_end;

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Every package that is built on the platforms we run on.
fn packages() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version=1", "--locked", "--offline"]);
    command.args(["--filter-platform=x86_64-unknown-linux-gnu"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = run_to_end(&mut command, String::new());
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut metadata: Value = serde_json::from_str(&output.stdout).unwrap();
    let resolved: Vec<String> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect();
    let Value::Array(mut packages) = metadata["packages"].take() else { panic!("no packages") };
    packages.retain(|package| resolved.iter().any(|id| package["id"] == id.as_str()));
    assert!(packages.len() > 200, "only {}", packages.len());
    packages
}

fn policy() -> toml::Table {
    read("deny.toml").parse().unwrap()
}

/// May a package under this SPDX expression be used? Parentheses do not nest there.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    if let Some((before, rest)) = expression.split_once('(')
        && let Some((within, after)) = rest.split_once(')')
    {
        let within = if is_allowed(within, allowed) { allowed[0] } else { "none" };
        return is_allowed(&format!("{before}{within}{after}"), allowed);
    }
    let expression = expression.replace('/', " OR ");
    let both = |part: &str| part.split(" AND ").all(|licence| allowed.contains(&licence.trim()));
    expression.split(" OR ").any(both)
}

#[test]
fn an_expression_is_read_as_it_is_meant() {
    let allowed = ["MIT", "Zlib"];
    for yes in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(MIT OR GPL-3.0) AND Zlib", "Zlib AND MIT"] {
        assert!(is_allowed(yes, &allowed), "{yes}");
    }
    for no in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-3.0", ""] {
        assert!(!is_allowed(no, &allowed), "{no}");
    }
}

#[test]
fn licences_bans_and_sources_are_as_deny_toml_says() {
    let policy = policy();
    let allowed: Vec<&str> =
        policy["licenses"]["allow"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    let banned: Vec<&str> =
        policy["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["name"].as_str().unwrap()).collect();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{name} is under {licence}: is that wanted? (deny.toml)");
        assert!(!banned.contains(&name), "{name} is banned in deny.toml");
        let registry = "registry+https://github.com/rust-lang/crates.io-index";
        assert!(name == "contact-reaper" || package["source"] == registry, "{name} is from elsewhere");
    }
}

/// A second version of a crate is more to build, to watch and to trust.
#[test]
fn there_are_two_versions_only_of_what_deny_toml_names() {
    let policy = policy();
    let skipped: BTreeSet<&str> = policy["bans"]["skip"]
        .as_array()
        .unwrap()
        .iter()
        .map(|crates| crates["name"].as_str().unwrap())
        .collect();
    let packages = packages();
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&str> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .filter(|name| !seen.insert(*name))
        .collect();
    assert_eq!(twice, skipped);
}

/// The sources below a folder, one text.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &std::fs::read_to_string(&path).unwrap();
        }
    }
    text
}

/// Does a source name the crate?
fn names(source: &str, name: &str) -> bool {
    let identifier = name.replace('-', "_");
    let uses = [format!("{identifier}::"), format!("{identifier} "), format!("use {identifier};")];
    uses.iter().any(|named| source.contains(named))
}

/// `cargo bench -- --rounds 2` gives its options to every target that has benchmarks, and the harness of unit tests knows
/// no such option.
#[test]
fn only_the_benchmark_is_a_target_of_cargo_bench() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let targets = |kind: &str| manifest[kind].as_array().unwrap().iter();
    for target in targets("bin").chain([&manifest["lib"]]) {
        assert_eq!(target.get("bench").and_then(toml::Value::as_bool), Some(false), "{target:?}");
    }
    assert!(targets("bench").all(|target| target["harness"].as_bool() == Some(false)));
    assert!(!Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin").exists(), "name it with bench = false");
}

#[test]
fn every_dependency_is_used_and_has_its_reason() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let folder = |name: &str| sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name));
    let source = folder("src");
    let map = read("docs/ARCHITECTURE.md");
    let reasons = map.split("## Dependencies").nth(1).unwrap();
    for name in manifest["dependencies"].as_table().unwrap().keys() {
        assert!(names(&source, name), "nothing uses {name}");
        assert!(reasons.lines().any(|line| line.starts_with('|') && line.contains(name)), "why {name}?");
    }
    let tests = source + &folder("tests") + &folder("benches");
    for name in manifest["dev-dependencies"].as_table().unwrap().keys() {
        assert!(names(&tests, name), "no test uses {name}");
    }
}
