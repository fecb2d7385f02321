//! The layers of settings, flattened: key → the value that wins and where it came from. The embedded
//! `default.toml` is the list of the keys there are, and of their types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, ConfigErrors, Origin};
use super::secret::named;
use crate::domain::nearest::nearest;

/// The defaults, which are also the manual.
pub const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Keys that may carry a password, and so may be read from a file.
pub(super) const SECRETS: [&str; 3] = ["store.url", "feed.rabbitmq.url", "mail.smtp_url"];

const PREFIX: &str = "CONTACT_REAPER_";
const FROM_FILE: &str = "_FILE";
const FORMAT: &str = "it must be a readable text file in TOML, with the keys that `check-config` lists";

/// What a table without a key in it is.
const EMPTY_TABLE: Value = Value::Other("a table");

/// A value as it was written, before its key gives it a meaning.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
    /// Something no key takes; holds its name.
    #[serde(skip)]
    Other(&'static str),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(items) => write!(f, "{items:?}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// Every known key with the value in force.
pub(super) type Values = BTreeMap<String, (Value, Origin)>;

/// Lays the configuration file and the environment over the defaults.
pub(super) fn merge_layers(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    mistakes: &mut ConfigErrors,
) -> Values {
    let mut values = Values::new();
    for (key, _, value) in parse(DEFAULTS, &|_| Origin::Default, mistakes) {
        values.insert(key, (value, Origin::Default));
    }
    if let Some(path) = file {
        merge_file(&mut values, path, mistakes);
    }
    merge_environment(&mut values, environment, mistakes);
    values
}

fn merge_file(values: &mut Values, path: &Path, mistakes: &mut ConfigErrors) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            mistakes.push(ConfigError {
                key: "the configuration file".to_owned(),
                origin: Origin::File(path.to_owned(), 1),
                problem: format!("cannot be read: {error}"),
                remedy: FORMAT.to_owned(),
            });
            return;
        }
    };
    let origin = |line| Origin::File(path.to_owned(), line);
    for (key, line, value) in parse(&text, &origin, mistakes) {
        if let Some(known) = values.get_mut(&key) {
            *known = (value, origin(line));
        } else if is_table(values, &key) {
            if value != EMPTY_TABLE {
                mistakes.push(ConfigError {
                    problem: "is a table, not a setting".to_owned(),
                    remedy: format!("write [{key}] and its keys below it"),
                    origin: origin(line),
                    key,
                });
            }
        } else {
            let remedy = nearest(&key, values.keys().map(String::as_str)).map_or_else(
                || "run `check-config` without it for a list of the keys there are".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            let (key, problem) = (named(&key).to_owned(), "is unknown".to_owned());
            mistakes.push(ConfigError { key, origin: origin(line), problem, remedy });
        }
    }
}

fn merge_environment(
    values: &mut Values,
    environment: impl Iterator<Item = (String, String)>,
    mistakes: &mut ConfigErrors,
) {
    let mut variables: BTreeMap<String, String> =
        environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    for (key, known) in values.iter_mut() {
        let name = variable_of(key);
        let named_file = format!("{name}{FROM_FILE}");
        let direct = variables.remove(&name);
        let file = if SECRETS.contains(&key.as_str()) { variables.remove(&named_file) } else { None };
        match (direct, file) {
            (Some(_), Some(_)) => mistakes.push(ConfigError {
                key: key.clone(),
                origin: Origin::Environment(name),
                problem: format!("is set by {named_file} too"),
                remedy: "keep one of the two variables".to_owned(),
            }),
            (Some(text), None) => *known = (coerce(&text, &known.0), Origin::Environment(name)),
            (None, Some(path)) => read_secret(key, known, path.into(), named_file, mistakes),
            (None, None) => {}
        }
    }
    for name in variables.into_keys() {
        let known: Vec<String> = values.keys().map(|key| variable_of(key)).collect();
        let remedy = nearest(&name, known.iter().map(String::as_str)).map_or_else(
            || {
                format!(
                    "unset it: {PREFIX} is followed by a key that `check-config` lists, with __ for each dot"
                )
            },
            |near| format!("did you mean {near}?"),
        );
        mistakes.push(ConfigError {
            origin: Origin::Environment(name.clone()),
            key: name,
            problem: "is unknown".to_owned(),
            remedy,
        });
    }
}

fn read_secret(
    key: &str,
    known: &mut (Value, Origin),
    path: PathBuf,
    variable: String,
    mistakes: &mut ConfigErrors,
) {
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let line = text.strip_suffix('\n').unwrap_or(&text);
            let line = line.strip_suffix('\r').unwrap_or(line);
            *known = (Value::Text(line.to_owned()), Origin::SecretFile(path, variable));
        }
        Err(error) => mistakes.push(ConfigError {
            key: key.to_owned(),
            origin: Origin::SecretFile(path, variable),
            problem: format!("cannot be read: {error}"),
            remedy: "name a text file that this user may read".to_owned(),
        }),
    }
}

/// A variable's text, read by the type of the default; what does not fit stays text, and its reader says so.
fn coerce(text: &str, default: &Value) -> Value {
    match default {
        Value::Integer(_) => text.trim().parse().map(Value::Integer).ok(),
        Value::Float(_) => text.trim().parse().map(Value::Float).ok(),
        Value::Flag(_) => text.trim().parse().map(Value::Flag).ok(),
        Value::List(_) => Some(Value::List(
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect(),
        )),
        Value::Text(_) | Value::Other(_) => None,
    }
    .unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// The environment variable of a key.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// The tables a key stands in: `a.b` and `a` of `a.b.c`.
fn tables_of(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices('.').map(|(end, _)| &key[..end])
}

fn is_table(values: &Values, name: &str) -> bool {
    values.keys().any(|key| tables_of(key).any(|table| table == name))
}

/// The keys of a TOML text with their line and value; an empty table is listed too, so that a misspelt one
/// does not pass unseen.
fn parse(
    text: &str,
    origin: &dyn Fn(usize) -> Origin,
    mistakes: &mut ConfigErrors,
) -> Vec<(String, usize, Value)> {
    let line_at = |offset: usize| 1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
    let mut found = Vec::new();
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        flatten(table.get_ref(), "", &line_at, &mut found);
    }
    // Not the error's own display: it quotes the line, and a password may stand in it.
    for error in errors {
        mistakes.push(ConfigError {
            key: "the configuration file".to_owned(),
            origin: origin(line_at(error.span().map_or(0, |span| span.start))),
            problem: format!("is not TOML: {}", error.message()),
            remedy: FORMAT.to_owned(),
        });
    }
    found
}

fn flatten(
    table: &DeTable<'_>,
    parent: &str,
    line_at: &dyn Fn(usize) -> usize,
    found: &mut Vec<(String, usize, Value)>,
) {
    for (name, value) in table {
        let key = if parent.is_empty() {
            name.get_ref().to_string()
        } else {
            format!("{parent}.{}", name.get_ref())
        };
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => flatten(inner, &key, line_at, found),
            other => found.push((key, line_at(name.span().start), raw(other))),
        }
    }
}

fn raw(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number out of range"), Value::Integer),
        DeValue::Float(number) => {
            number.as_str().parse().map_or(Value::Other("a number out of range"), Value::Float)
        }
        DeValue::Array(items) => items
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                _ => None,
            })
            .collect::<Option<_>>()
            .map_or(Value::Other("a list of other things than texts"), Value::List),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Table(_) => EMPTY_TABLE,
    }
}
