//! Takes settings one by one, each by its type, and writes down what is wrong instead of stopping at it.
//!
//! A value that is wrong is answered with a placeholder: nobody sees it, for settings with mistakes are never
//! handed out.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::error::{ConfigError, ConfigErrors, Origin};
use super::layers::{SECRETS, Value, Values};
use super::secret::{Secret, may_hold_a_secret};
use crate::domain::connection_url::{self, Complaint};

/// A setting as `check-config` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The dotted key.
    pub key: String,
    /// The value in force, passwords hidden.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// The typed view of the layers.
pub(super) struct Reader {
    waiting: Values,
    /// What was taken so far, in the order it was taken.
    pub(super) taken: Vec<Setting>,
    pub(super) mistakes: ConfigErrors,
}

impl Reader {
    pub(super) fn new(values: Values, mistakes: ConfigErrors) -> Self {
        Self { waiting: values, taken: Vec::new(), mistakes }
    }

    /// A value that `parse` makes sense of; its error says what is wrong, `accepted` what would be right.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        accepted: &str,
        placeholder: T,
        parse: impl FnOnce(&Value) -> Result<T, String>,
    ) -> T {
        let Some((value, origin)) = self.waiting.remove(key) else {
            // Cannot happen once the test over default.toml has passed.
            self.error(key, "has no default".to_owned(), "please report this");
            return placeholder;
        };
        let result = parse(&value);
        self.taken.push(Setting { key: key.to_owned(), value: shown(key, value), origin });
        result.unwrap_or_else(|problem| {
            self.error(key, problem, &format!("it must be {accepted}"));
            placeholder
        })
    }

    /// Writes down a mistake in a value that was read, with where the value came from.
    pub(super) fn error(&mut self, key: &str, problem: String, remedy: &str) {
        let origin = self.taken.iter().find(|setting| setting.key == key);
        let origin = origin.map_or(Origin::Default, |setting| setting.origin.clone());
        self.mistakes.push(ConfigError { key: key.to_owned(), origin, problem, remedy: remedy.to_owned() });
    }

    /// A text that `parse` makes sense of; where it does not, the text is quoted.
    pub(super) fn text_as<T>(
        &mut self,
        key: &str,
        accepted: &str,
        placeholder: T,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> T {
        self.parsed(key, accepted, placeholder, |value| {
            text(value).and_then(|text| parse(text).ok_or_else(|| is(value)))
        })
    }

    /// The path of a file; none where it is empty. A URL is none: later errors name the path.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = |text: &str| (!text.contains("://")).then(|| PathBuf::from(text));
        let path = self.text_as(key, "empty, or the path of a file", PathBuf::new(), path);
        Some(path).filter(|path| path != "")
    }

    /// The name of a queue or an exchange, or a routing key.
    pub(super) fn name(&mut self, key: &str, longest: usize) -> String {
        let accepted = format!("a text of 1 to {longest} bytes");
        self.text_as(key, &accepted, String::new(), |text| {
            (1..=longest).contains(&text.len()).then(|| text.to_owned())
        })
    }

    /// As [`Self::name`], or empty.
    pub(super) fn optional_name(&mut self, key: &str, longest: usize) -> String {
        let accepted = format!("a text of at most {longest} bytes");
        self.text_as(key, &accepted, String::new(), |text| (text.len() <= longest).then(|| text.to_owned()))
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, first: (&str, T), second: (&str, T)) -> T {
        let accepted = format!("{:?} or {:?}", first.0, second.0);
        self.text_as(key, &accepted, first.1, |text| {
            [first, second].into_iter().find(|(word, _)| *word == text).map(|(_, choice)| choice)
        })
    }

    /// A connection URL with one of these schemes; empty only where `optional`. Its value is never quoted.
    pub(super) fn url(&mut self, key: &str, schemes: &[&str], optional: bool) -> Secret {
        let example = schemes.iter().map(|scheme| format!("{scheme}://…")).collect::<Vec<_>>().join(" or ");
        let accepted = format!("{}{example}", if optional { "empty, or " } else { "" });
        let url = self.parsed(key, &accepted, Secret::default(), |value| {
            let Value::Text(url) = value else { return Err("is not a text".to_owned()) };
            if !(url.is_empty() && optional) {
                check_url(url, schemes)?;
            }
            Ok(Secret::new(url.as_str()))
        });
        if !url.is_empty()
            && let Err(Complaint { problem, remedy }) = connection_url::check(url.expose())
        {
            self.error(key, problem, &remedy);
        }
        url
    }

    /// Yes or no.
    pub(super) fn boolean(&mut self, key: &str) -> bool {
        self.parsed(key, "true or false", false, |value| match value {
            Value::Flag(flag) => Ok(*flag),
            _ => Err(is(value)),
        })
    }

    /// A whole number in a range.
    pub(super) fn integer<T>(&mut self, key: &str, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display + Copy,
    {
        let accepted = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(key, &accepted, *range.start(), |value| {
            let Value::Integer(number) = value else { return Err(is(value)) };
            T::try_from(*number).ok().filter(|number| range.contains(number)).ok_or_else(|| is(value))
        })
    }

    /// A share of a whole.
    pub(super) fn fraction(&mut self, key: &str) -> f64 {
        self.parsed(key, "a number from 0 to 1", 0.0, |value| {
            let share = match value {
                Value::Float(number) => *number,
                Value::Integer(0) => 0.0,
                Value::Integer(1) => 1.0,
                _ => return Err(is(value)),
            };
            if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(is(value)) }
        })
    }

    /// A length of time in a range; the bounds are written as people write them.
    pub(super) fn duration(&mut self, key: &str, shortest: &str, longest: &str) -> Duration {
        let accepted = format!("a duration from {shortest:?} to {longest:?}");
        self.text_as(key, &accepted, Duration::ZERO, |text| within(text, shortest, longest))
    }

    /// A list of lengths of time, each in a range.
    pub(super) fn durations(
        &mut self,
        key: &str,
        counts: RangeInclusive<usize>,
        shortest: &str,
        longest: &str,
    ) -> Vec<Duration> {
        let (fewest, most) = (counts.start(), counts.end());
        let accepted = format!(
            "a list of {fewest} to {most} durations from {shortest:?} to {longest:?}, each longer than the one before"
        );
        self.parsed(key, &accepted, Vec::new(), |value| {
            let Value::List(items) = value else { return Err(is(value)) };
            items
                .iter()
                .map(|item| within(item, shortest, longest))
                .collect::<Option<Vec<_>>>()
                .filter(|list| counts.contains(&list.len()) && list.is_sorted_by(|a, b| a < b))
                .ok_or_else(|| is(value))
        })
    }
}

fn within(text: &str, shortest: &str, longest: &str) -> Option<Duration> {
    let parse = |text| humantime::parse_duration(text).ok();
    parse(text).filter(|&duration| parse(shortest) <= Some(duration) && Some(duration) <= parse(longest))
}

/// What is wrong with a URL. Of the text only the scheme is quoted, and only where it is a word: anything else may
/// hold the password.
fn check_url(url: &str, schemes: &[&str]) -> Result<(), String> {
    if url.is_empty() {
        return Err("is empty".to_owned());
    }
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| word(scheme)) else {
        return Err("is not a URL".to_owned());
    };
    if !schemes.contains(&scheme) {
        let letters = scheme.bytes().all(|byte| byte.is_ascii_lowercase());
        return Err(if letters {
            format!("has the scheme {scheme:?}")
        } else {
            "has another scheme".to_owned()
        });
    }
    if rest.is_empty() || (scheme == "sqlite" && rest.starts_with('?')) {
        return Err("names nothing after `://`".to_owned());
    }
    // A line break too many in the file of a secret.
    if rest.contains(char::is_control) {
        return Err("has a line break or another control character in it".to_owned());
    }
    Ok(())
}

fn text(value: &Value) -> Result<&str, String> {
    if let Value::Text(text) = value { Ok(text) } else { Err(is(value)) }
}

fn is(value: &Value) -> String {
    match value {
        Value::Text(text) if text.is_empty() => "is empty".to_owned(),
        Value::Text(text) if may_hold_a_secret(text) => UNQUOTED.to_owned(),
        Value::List(texts) if texts.iter().any(|text| may_hold_a_secret(text)) => UNQUOTED.to_owned(),
        value => format!("is {value}"),
    }
}

/// Said of a text that may be a URL with a password, in a place where no URL belongs.
const UNQUOTED: &str = "is something else, not repeated here because it may hold a password";

fn shown(key: &str, value: Value) -> Value {
    match value {
        Value::Text(text) if SECRETS.contains(&key) => Value::Text(Secret::new(text).to_string()),
        other => other,
    }
}
