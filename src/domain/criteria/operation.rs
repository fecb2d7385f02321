//! The property operations.

use caseless::{Caseless, default_case_fold_str};

use super::Truth;
use super::decimal::Decimal;
use super::instant::instant_of;
use super::moment::When;
use super::subject::Subject;
use crate::domain::redaction::REDACTED;
use crate::domain::time::format_time;

/// A parsed operation on one property.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// `IS_KNOWN` and its negation: they look at the value alone.
    Known { negated: bool },
    /// An operation that needs a value to look at.
    OnValue {
        test: Test,
        /// `HAS_EVER_…` and `HAS_NEVER_…`: any value that the property has or had.
        ever: bool,
        /// The operators that deny: the test must fail.
        negated: bool,
        /// `includeObjectsWithNoValueSet`: the verdict where there is no value.
        accepts_no_value: bool,
    },
}

/// What is asked of a value; negations are the operation's.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Bool(bool),
    Number {
        comparison: Comparison,
        operands: Vec<Decimal<'static>>,
    },
    /// Both bounds included.
    NumberBetween(Decimal<'static>, Decimal<'static>),
    /// The operands are folded already.
    Text {
        comparison: TextComparison,
        operands: Vec<String>,
    },
    /// Equal to what another property holds, or to this where it holds nothing.
    SameText {
        property: String,
        default: Option<String>,
    },
    Options {
        comparison: SetComparison,
        operands: Vec<String>,
    },
    /// The value, read as an instant.
    Value(When),
    /// The instant at which the property changed last.
    UpdatedAt(When),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TextComparison {
    Equal,
    Contains,
    StartsWith,
    EndsWith,
    ContainsWords,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SetComparison {
    Any,
    Exactly,
    All,
}

impl Operation {
    /// Does the property of this record pass?
    pub fn evaluate(&self, property: &str, subject: Subject<'_>) -> Truth {
        let value = subject.record.value(property);
        match (self, value) {
            (_, None) if subject.is_unheard_of(property) => Truth::Unknown,
            (Self::Known { negated }, value) => Truth::from_bool(value.is_some() != *negated),
            (Self::OnValue { accepts_no_value, .. }, None) => Truth::from_bool(*accepts_no_value),
            (Self::OnValue { test, ever, negated, .. }, Some(value)) => {
                let now = test.evaluate(property, value, subject);
                let truth = if *ever {
                    let past = subject.record.past(property);
                    past.fold(now, |truth, past| truth.or(test.evaluate(property, past, subject)))
                } else {
                    now
                };
                if *negated { truth.negate() } else { truth }
            }
        }
    }

    /// What it looked at, for people.
    pub fn saw(&self, property: &str, subject: Subject<'_>) -> String {
        let value = match subject.record.value(property) {
            Some(value) => format!("{value:?}"),
            None if subject.is_unheard_of(property) => "a property that the account does not know".to_owned(),
            None => "no value".to_owned(),
        };
        match self {
            Self::OnValue { ever: true, .. } => {
                let past: Vec<String> = subject.record.past(property).map(|it| format!("{it:?}")).collect();
                format!(
                    "{value}; before: {}",
                    if past.is_empty() { "nothing".to_owned() } else { past.join(", ") }
                )
            }
            Self::OnValue { test: Test::UpdatedAt(_), .. } => {
                let updated_at = subject.record.updated_at(property).map(format_time);
                format!("{value}, last changed {}", updated_at.unwrap_or("nobody knows when".to_owned()))
            }
            _ => value,
        }
    }

    /// The properties beside its own that it looks at.
    pub fn other_properties(&self) -> impl Iterator<Item = &str> {
        let (same, when) = match self {
            Self::OnValue { test: Test::SameText { property, .. }, .. } => (Some(property.as_str()), None),
            Self::OnValue { test: Test::Value(when) | Test::UpdatedAt(when), .. } => (None, Some(when)),
            Self::Known { .. } | Self::OnValue { .. } => (None, None),
        };
        same.into_iter().chain(when.into_iter().flat_map(When::properties))
    }

    /// Whether it asks what properties were before.
    pub fn asks_history(&self) -> bool {
        match self {
            Self::OnValue { ever: true, .. } | Self::OnValue { test: Test::UpdatedAt(_), .. } => true,
            Self::OnValue { test: Test::Value(when), .. } => when.asks_history(),
            Self::Known { .. } | Self::OnValue { .. } => false,
        }
    }
}

impl Test {
    fn evaluate(&self, property: &str, value: &str, subject: Subject<'_>) -> Truth {
        if value.contains(REDACTED) && !matches!(self, Self::UpdatedAt(_)) {
            // Nobody knows any more what stood there.
            return Truth::Unknown;
        }
        match self {
            Self::Bool(expected) => known(parse_bool(value), |actual| actual == *expected),
            Self::Number { comparison, operands } => known(Decimal::parse(value), |actual| {
                operands.iter().any(|operand| comparison.holds(&actual, operand))
            }),
            Self::NumberBetween(low, high) => {
                known(Decimal::parse(value), |actual| *low <= actual && actual <= *high)
            }
            Self::Text { comparison, operands } => {
                Truth::from_bool(operands.iter().any(|operand| comparison.holds(value, operand)))
            }
            Self::SameText { property, default } => {
                let other = match subject.record.value(property) {
                    None if subject.is_unheard_of(property) => None,
                    other => other.or(default.as_deref()),
                };
                known(other, |other| value.chars().default_caseless_match(other.chars()))
            }
            Self::Options { comparison, operands } => Truth::from_bool(comparison.holds(value, operands)),
            Self::Value(when) => instant_of(value).map_or(Truth::Unknown, |it| when.holds(it, subject)),
            Self::UpdatedAt(when) => {
                let updated_at = subject.record.updated_at(property);
                updated_at.map_or(Truth::Unknown, |it| when.holds(it, subject))
            }
        }
    }
}

/// Unknown where there is nothing to look at.
fn known<T>(value: Option<T>, holds: impl FnOnce(T) -> bool) -> Truth {
    value.map_or(Truth::Unknown, |value| Truth::from_bool(holds(value)))
}

/// `true` and `false` in any case; anything else is no boolean.
pub fn parse_bool(text: &str) -> Option<bool> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

impl Comparison {
    fn holds(self, actual: &Decimal<'_>, operand: &Decimal<'_>) -> bool {
        match self {
            Self::Equal => actual == operand,
            Self::Greater => actual > operand,
            Self::GreaterOrEqual => actual >= operand,
            Self::Less => actual < operand,
            Self::LessOrEqual => actual <= operand,
        }
    }
}

impl TextComparison {
    /// The operand is folded, the value is not.
    fn holds(self, value: &str, operand: &str) -> bool {
        match self {
            Self::Equal => value.chars().default_case_fold().eq(operand.chars()),
            Self::StartsWith => {
                let mut folded = value.chars().default_case_fold();
                operand.chars().all(|expected| folded.next() == Some(expected))
            }
            Self::Contains => folded(value, |value| value.contains(operand)),
            Self::EndsWith => folded(value, |value| value.ends_with(operand)),
            Self::ContainsWords => folded(value, |value| contains_words(value, operand)),
        }
    }
}

/// Looks at a folded value. Most are short and fit on the stack.
fn folded<T>(value: &str, look: impl FnOnce(&str) -> T) -> T {
    let mut buffer = [0; 256];
    let mut length = 0;
    for character in value.chars().default_case_fold() {
        let Some(room) = buffer.get_mut(length..length + character.len_utf8()) else {
            return look(&default_case_fold_str(value));
        };
        length += character.encode_utf8(room).len();
    }
    match str::from_utf8(&buffer[..length]) {
        Ok(short) => look(short),
        Err(_) => look(&default_case_fold_str(value)),
    }
}

fn contains_words(value: &str, words: &str) -> bool {
    value.char_indices().any(|(start, _)| {
        let before = value[..start].chars().next_back();
        let after = value[start..].strip_prefix(words).map(|rest| rest.chars().next());
        after.is_some_and(|after| ![before, after].into_iter().flatten().any(belongs_to_a_word))
    })
}

/// Letters, digits, and the accents that combine with the letter before them.
fn belongs_to_a_word(character: char) -> bool {
    character.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&character)
}

impl SetComparison {
    fn holds(self, value: &str, operands: &[String]) -> bool {
        let options = || value.split(';').map(str::trim).filter(|option| !option.is_empty());
        let has = |operand: &String| options().any(|option| option == operand);
        match self {
            Self::Any => operands.iter().any(has),
            Self::All => operands.iter().all(has),
            Self::Exactly => {
                operands.iter().all(has)
                    && options().all(|option| operands.iter().any(|operand| operand == option))
            }
        }
    }
}
