//! The rules of the house, read off the source: who may name whom, and what must stay small.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms, and the rooms of this crate that each may name. Who is not in a list is out of bounds.
const MAY_NAME: [(&str, &[&str]); 17] = [
    ("domain", &[]),
    ("telemetry", &["domain"]),
    ("http", &["domain", "operations", "store"]),
    ("backoff", &[]),
    ("systemd", &[]),
    ("ports", &["domain"]),
    ("config", &["domain"]),
    ("store", &["domain", "ports", "telemetry"]),
    ("broker", &["backoff", "domain", "ports", "telemetry"]),
    ("jsonl", &["domain", "ports"]),
    ("pipeline", &["backoff", "domain", "ports", "store", "telemetry"]),
    ("outbox", &["backoff", "domain", "ports", "store", "telemetry"]),
    ("scheduler", &["domain", "ports", "store", "telemetry"]),
    ("operations", &["broker", "domain", "jsonl", "pipeline", "ports", "scheduler", "store"]),
    (
        "service",
        &[
            "broker",
            "config",
            "domain",
            "http",
            "jsonl",
            "operations",
            "outbox",
            "pipeline",
            "ports",
            "scheduler",
            "store",
            "systemd",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "broker",
            "config",
            "domain",
            "http",
            "jsonl",
            "operations",
            "outbox",
            "pipeline",
            "ports",
            "scheduler",
            "service",
            "store",
            "telemetry",
        ],
    ),
    ("main", &["cli"]),
];

/// The modules of the store from the bottom up: each names only what stands before it.
const STORE: [&str; 19] = [
    "error",
    "db",
    "lease",
    "access",
    "criteria",
    "contacts",
    "identity",
    "feed",
    "outbox",
    "trash",
    "records",
    "decisions",
    "views",
    "deletions",
    "privacy",
    "import",
    "crm",
    "retention",
    "schema",
];

/// Libraries that one room keeps to itself.
const KEPT: [(&str, &str); 3] = [("sqlx", "store"), ("lapin", "broker"), ("lettre", "outbox")];

const MAIN_LINES: usize = 60;

/// Words that say nothing to an engineer of the field. Names of items and headings of documents use the standard term instead.
const NO_TERMS: [&str; 27] = [
    "anybody", "brakes", "chance", "deed", "deeds", "doors", "goodbye", "halfway", "heard", "judged",
    "ladder", "mistake", "mistakes", "nobody", "obstacle", "owe", "patience", "pile", "rooms", "rung",
    "rungs", "silent", "somebody", "spend", "trouble", "troubles", "whoever",
];

#[test]
fn imports_run_one_way_and_rooms_keep_their_libraries_to_themselves() {
    let complaints: Vec<String> = sources()
        .iter()
        .flat_map(|path| complaints(path, &fs::read_to_string(src().join(path)).expect("a source file")))
        .collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn main_is_short_enough_to_read_as_a_story() {
    let lines = fs::read_to_string(src().join("main.rs")).expect("src/main.rs").lines().count();
    assert!(lines < MAIN_LINES, "src/main.rs has {lines} lines");
}

#[test]
fn the_map_lists_every_room() {
    let map = fs::read_to_string(src().join("lib.rs")).expect("src/lib.rs");
    let missing = missing_in_map(&map, &rooms_on_disk());
    assert!(missing.is_empty(), "{missing:?}");
    for path in sources() {
        if let [store, part, ..] = &module_of(&path)[..]
            && store == "store"
        {
            assert!(
                STORE.contains(&part.as_str()),
                "store::{part} is not in the order of the store's modules"
            );
        }
    }
}

/// A module with others in it is a folder with a `mod.rs`.
#[test]
fn module_has_one_place() {
    let twice: Vec<PathBuf> =
        sources().into_iter().filter(|path| src().join(path.with_extension("")).is_dir()).collect();
    assert_eq!(twice, Vec::<PathBuf>::new());
}

/// Each rule, broken once: a check that never complains proves nothing.
#[test]
fn a_broken_rule_is_noticed() {
    for (path, source, complaint) in [
        ("domain/decision.rs", "use crate::store::Store;", "domain names store"),
        ("domain/mod.rs", "use std::fmt;\nuse super::ports;", "domain names ports"),
        ("http/mod.rs", "use sqlx::Row;", "http names sqlx"),
        ("service.rs", "use lettre::Message;", "service names lettre"),
        ("pipeline/lane.rs", "fn f() -> lapin::Channel { todo!() }", "pipeline names lapin"),
        ("broker/mod.rs", "use crate::jsonl::JsonlFeed;", "broker names jsonl"),
        ("jsonl.rs", "use crate::pipeline::run;", "jsonl names pipeline"),
        ("pipeline/mod.rs", "fn f() { crate::scheduler::run(); }", "pipeline names scheduler"),
        (
            "scheduler/jobs/mod.rs",
            "use crate::{\n    ports::Stop,\n    http::{self, Health},\n};",
            "scheduler names http",
        ),
        ("http/health.rs", "use super::super::broker::Options;", "http names broker"),
        ("store/mod.rs", "use crate::config::Settings;", "store names config"),
        ("store/trash/mod.rs", "use super::decisions::Rules;", "store::trash names store::decisions"),
        (
            "store/db/pool.rs",
            "use crate::store::{Store, access::tokens};",
            "store::db::pool names store::access",
        ),
        ("service.rs", "use crate::cli::Cli;", "service names cli"),
        ("main.rs", "use contact_reaper::{cli, store};", "main names store"),
        ("attic.rs", "", "attic is not in the list of rooms"),
    ] {
        let found = complaints(Path::new(path), source);
        assert_eq!(found, [format!("src/{path}: {complaint}")], "{source}");
    }
    assert_eq!(missing_in_map("//! [`store`]\npub mod store;", &["attic".to_owned()]), ["attic"]);
    assert_eq!(missing_in_map("pub mod attic;", &["attic".to_owned()]), ["attic"], "declared, not explained");
}

#[test]
fn names_and_headings_use_terms_of_the_field() {
    let mut complaints = Vec::new();
    for path in sources() {
        let code = code_of(&fs::read_to_string(src().join(&path)).expect("a source file"));
        complaints
            .extend(items(&code).flat_map(no_terms).map(|word| format!("src/{}: {word}", path.display())));
    }
    for (path, page) in crate::documented::pages() {
        let headings = page.lines().filter(|line| line.starts_with('#'));
        complaints.extend(headings.flat_map(no_terms).map(|word| format!("{}: {word}", path.display())));
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
    for planted in ["pub async fn ask_whoever() {}", "enum DeedOrder { A }", "const PATIENCE: u8 = 1;"] {
        assert_eq!(items(planted).flat_map(no_terms).count(), 1, "{planted}");
    }
    assert_eq!(no_terms("## Silent failures").len(), 1);
    assert_eq!(
        items("fn f(whoever: u8) { call(deed) }").flat_map(no_terms).count(),
        0,
        "no item is named so"
    );
}

/// The names of the items that a source declares.
fn items(code: &str) -> impl Iterator<Item = &str> {
    const KEYWORDS: [&str; 8] = ["const", "enum", "fn", "mod", "static", "struct", "trait", "type"];
    let mut words = code.split(|it: char| !it.is_alphanumeric() && it != '_').filter(|word| !word.is_empty());
    std::iter::from_fn(move || {
        words.find(|word| KEYWORDS.contains(word))?;
        words.next()
    })
}

/// The words of a name or a heading that are no terms.
fn no_terms(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        after_lower = letter.is_lowercase();
        words.last_mut().expect("a word").extend(letter.to_lowercase().filter(|it| it.is_alphanumeric()));
    }
    words.retain(|word| NO_TERMS.contains(&word.as_str()));
    words
}

#[test]
fn what_is_only_said_is_not_named() {
    let source = "// use crate::store\n/* lapin /* sqlx */ */\nconst A: &str = \"crate::cli \\\" sqlx\";\n\
                  const B: &str = r#\"a \" lapin\"#; const C: char = '\"'; fn f<'a>(_: &'a str) {}";
    assert_eq!(complaints(Path::new("domain/mod.rs"), source), Vec::<String>::new());
    let neighbour = "use super::outbox::write;";
    assert_eq!(complaints(Path::new("store/trash/mod.rs"), neighbour), Vec::<String>::new());
}

/// What a file does against the rules.
fn complaints(path: &Path, source: &str) -> Vec<String> {
    let module = module_of(path);
    let room = module.first().map_or("lib", String::as_str);
    if room == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == room) else {
        return vec![format!("src/{}: {room} is not in the list of rooms", path.display())];
    };
    let words = words(&code_of(source));
    let paths = paths_named(&words, &module);
    let first = paths.iter().filter_map(|path| path.first());
    let rooms = first.filter_map(|first| MAY_NAME.iter().map(|(name, _)| *name).find(|name| name == first));
    let mut named: Vec<String> =
        rooms.filter(|name| *name != room && !allowed.contains(name)).map(str::to_owned).collect();
    named.extend(
        KEPT.iter()
            .filter(|(library, owner)| *owner != room && words.iter().any(|word| word == library))
            .map(|(library, _)| (*library).to_owned()),
    );
    named.extend(above(&module, &paths));
    named.sort_unstable();
    named.dedup();
    let place = if room == "store" { module.join("::") } else { room.to_owned() };
    named.into_iter().map(|name| format!("src/{}: {place} names {name}", path.display())).collect()
}

/// The modules of the store that a file of it names though they stand above it.
fn above(module: &[String], paths: &[Vec<String>]) -> Vec<String> {
    let place = |path: &[String]| {
        let [store, part, ..] = path else { return None };
        STORE.iter().position(|name| store == "store" && name == part)
    };
    let Some(own) = place(module) else { return Vec::new() };
    let above = paths.iter().filter_map(|path| place(path)).filter(|named| *named > own);
    above.map(|named| format!("store::{}", STORE[named])).collect()
}

/// The module that a file is, from the root of its crate.
fn module_of(path: &Path) -> Vec<String> {
    let mut module: Vec<String> = path
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_str().expect("UTF-8").to_owned())
        .collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

/// The paths of this crate that a module names, from the root: behind `crate::`, the crate's own name, `self::` or as many `super::` as
/// lead there, in groups too.
fn paths_named(words: &[String], module: &[String]) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let begins = ["crate", "contact_reaper", "self", "super"].contains(&word.as_str())
            && words.get(at + 1).is_some_and(|next| next == "::")
            && (at == 0 || words[at - 1] != "::");
        if !begins {
            continue;
        }
        let mut base: Vec<String> = match word.as_str() {
            "self" | "super" => module.to_vec(),
            _ => Vec::new(),
        };
        let mut rest = &words[at..];
        while let [word, colons, ..] = rest
            && colons == "::"
            && ["crate", "contact_reaper", "self", "super"].contains(&word.as_str())
        {
            if word == "super" {
                base.pop();
            }
            rest = &rest[2..];
        }
        add_paths(rest, &base, &mut paths);
    }
    paths
}

/// Adds the path, or the group of paths, that the words begin with; how many words that were.
fn add_paths(words: &[String], base: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word == "{" {
            at += 1;
            while words.get(at).is_some_and(|word| word != "}") {
                at += add_paths(&words[at..], &path, paths).max(1);
            }
            return at + 1;
        }
        if word != "self" {
            path.push(word.clone());
        }
        at += 1;
        if words.get(at).is_none_or(|next| next != "::") {
            break;
        }
        at += 1;
    }
    paths.push(path);
    at
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let own = |path: PathBuf| {
        let source = fs::read_to_string(src().join(&path)).expect("a source file");
        (path, source)
    };
    assert_eq!(circle(&sources().into_iter().map(own).collect::<Vec<_>>()), None);
    let benches = src().with_file_name("benches");
    let files = fs::read_dir(&benches).expect("benches").map(|file| file.expect("a file").path());
    let files =
        files.filter(|path| path.extension().is_some_and(|it| it == "rs") && !path.ends_with("main.rs"));
    let benches = files.map(|path| {
        let name = path.file_name().map(PathBuf::from).expect("a name");
        (name, fs::read_to_string(path).expect("a source file"))
    });
    assert_eq!(circle(&benches.collect::<Vec<_>>()), None);
    let file = |path: &str, source: &str| (PathBuf::from(path), source.to_owned());
    let planted = [
        file("a/b.rs", "use super::c::{self, D};"),
        file("a/c.rs", "fn f() { crate::e::g(); }"),
        file("e.rs", "use crate::{a::b::H, other};"),
        file("a/mod.rs", "mod b; use self::b::I;"),
    ];
    assert_eq!(circle(&planted), Some("a::b -> a::c -> e -> a::b".to_owned()));
    assert_eq!(circle(&planted[..2]), None);
}

/// The first circle of modules that name each other. A module and those in it are one.
fn circle(files: &[(PathBuf, String)]) -> Option<String> {
    let modules: Vec<Vec<String>> = files.iter().map(|(path, _)| module_of(path)).collect();
    let file_of = |path: &[String]| {
        (1..=path.len()).rev().find_map(|length| modules.iter().position(|it| *it == path[..length]))
    };
    let named: Vec<Vec<usize>> = files
        .iter()
        .zip(&modules)
        .map(|((_, source), module)| {
            let code = code_of(source);
            let code = code.split("mod tests {").next().unwrap_or_default();
            let paths = paths_named(&words(code), module);
            let others = paths.iter().filter_map(|path| file_of(path));
            others
                .filter(|it| !module.starts_with(&modules[*it]) && !modules[*it].starts_with(module))
                .collect()
        })
        .collect();
    let mut state = vec![0_u8; files.len()];
    let mut trail = Vec::new();
    let found = (0..files.len()).find_map(|file| walk(file, &named, &mut state, &mut trail))?;
    Some(found.into_iter().map(|file| modules[file].join("::")).collect::<Vec<_>>().join(" -> "))
}

/// Follows what a file names, to a file that is on the trail already.
fn walk(file: usize, named: &[Vec<usize>], state: &mut [u8], trail: &mut Vec<usize>) -> Option<Vec<usize>> {
    const ON_TRAIL: u8 = 1;
    const DONE: u8 = 2;
    if state[file] == ON_TRAIL {
        let start = trail.iter().position(|it| *it == file)?;
        return Some(trail[start..].iter().copied().chain([file]).collect());
    }
    if state[file] == DONE {
        return None;
    }
    state[file] = ON_TRAIL;
    trail.push(file);
    let found = named[file].iter().find_map(|next| walk(*next, named, state, trail));
    trail.pop();
    state[file] = DONE;
    found
}

/// Identifiers, `::`, and every other sign by itself.
fn words(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut within = false;
    let mut signs = code.chars().peekable();
    while let Some(sign) = signs.next() {
        let letter = sign.is_alphanumeric() || sign == '_';
        match words.last_mut() {
            Some(word) if letter && within => word.push(sign),
            _ if sign == ':' && signs.next_if_eq(&':').is_some() => words.push("::".to_owned()),
            _ if !sign.is_whitespace() => words.push(sign.to_string()),
            _ => {}
        }
        within = letter;
    }
    words
}

/// A source without its comments and its texts.
fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment_length(rest)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") && !rest.starts_with("r#type") {
            let fence =
                format!("\"{}", "#".repeat(rest[1..].chars().take_while(|sign| *sign == '#').count()));
            let start = 1 + fence.len();
            rest[start..].find(&fence).map_or(rest.len(), |end| start + end + fence.len())
        } else if first == '"' {
            quoted_length(rest, '"')
        } else if rest.starts_with("'\\") || rest.chars().nth(2) == Some('\'') && first == '\'' {
            quoted_length(rest, '\'')
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices().skip(1) {
        if sign == quote && !escaped {
            return at + 1;
        }
        escaped = sign == '\\' && !escaped;
    }
    text.len()
}

fn comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth += 1, 2).1,
            Some(b"*/") => (depth -= 1, 2).1,
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The first part of a path, without `.rs`.
fn room_of(path: &Path) -> String {
    let first = path.components().next().expect("a path below src").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn missing_in_map(map: &str, rooms: &[String]) -> Vec<String> {
    let listed =
        |room: &&String| map.contains(&format!("\npub mod {room};")) && map.contains(&format!("[`{room}`]"));
    rooms.iter().filter(|room| !listed(room)).cloned().collect()
}

fn rooms_on_disk() -> Vec<String> {
    let mut rooms: Vec<String> = sources().iter().map(|path| room_of(path)).collect();
    rooms.retain(|room| room != "main" && room != "lib");
    rooms.sort_unstable();
    rooms.dedup();
    rooms
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file, as a path below `src`.
fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![src()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(src()).expect("below src").to_path_buf());
            }
        }
    }
    assert!(found.len() > 30, "only {} sources were found", found.len());
    found
}
