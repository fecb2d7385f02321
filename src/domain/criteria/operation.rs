//! The property operations.

use caseless::default_case_fold_str;

use super::Truth;
use super::decimal::Decimal;

/// A parsed operation on one property value.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// `IS_KNOWN` and its negation: they look at the value alone.
    Known { negated: bool },
    /// An operation that needs a value to look at.
    OnValue {
        test: Test,
        /// The operators that deny: the test must fail.
        negated: bool,
        /// `includeObjectsWithNoValueSet`: the verdict where there is no value.
        accepts_no_value: bool,
    },
    /// An operation that is not understood; which one.
    Unsupported(String),
}

/// What is asked of a value; negations are the operation's.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Bool(bool),
    Number {
        comparison: Comparison,
        operands: Vec<Decimal>,
    },
    /// The operands are folded already.
    Text {
        comparison: TextComparison,
        operands: Vec<String>,
    },
    Options {
        comparison: SetComparison,
        operands: Vec<String>,
    },
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
    /// `value` is `None` where the property is absent or empty.
    pub fn evaluate(&self, value: Option<&str>) -> Truth {
        match (self, value) {
            (Self::Known { negated }, value) => Truth::from_bool(value.is_some() != *negated),
            (Self::OnValue { accepts_no_value, .. }, None) => Truth::from_bool(*accepts_no_value),
            (Self::OnValue { test, negated, .. }, Some(value)) => {
                let truth = test.evaluate(value);
                if *negated { truth.negate() } else { truth }
            }
            (Self::Unsupported(_), _) => Truth::Unknown,
        }
    }
}

impl Test {
    fn evaluate(&self, value: &str) -> Truth {
        match self {
            Self::Bool(expected) => match parse_bool(value) {
                Some(actual) => Truth::from_bool(actual == *expected),
                None => Truth::Unknown,
            },
            Self::Number { comparison, operands } => match Decimal::parse(value) {
                Some(actual) => {
                    Truth::from_bool(operands.iter().any(|operand| comparison.holds(&actual, operand)))
                }
                None => Truth::Unknown,
            },
            Self::Text { comparison, operands } => {
                let actual = default_case_fold_str(value);
                Truth::from_bool(operands.iter().any(|operand| comparison.holds(&actual, operand)))
            }
            Self::Options { comparison, operands } => Truth::from_bool(comparison.holds(value, operands)),
        }
    }
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
    fn holds(self, actual: &Decimal, operand: &Decimal) -> bool {
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
    fn holds(self, actual: &str, operand: &str) -> bool {
        match self {
            Self::Equal => actual == operand,
            Self::Contains => actual.contains(operand),
            Self::StartsWith => actual.starts_with(operand),
            Self::EndsWith => actual.ends_with(operand),
            Self::ContainsWords => actual.char_indices().any(|(start, _)| {
                let before = actual[..start].chars().next_back();
                let after = actual[start..].strip_prefix(operand).map(|rest| rest.chars().next());
                after.is_some_and(|after| ![before, after].into_iter().flatten().any(belongs_to_a_word))
            }),
        }
    }
}

/// Letters, digits, and the accents that combine with the letter before them.
fn belongs_to_a_word(character: char) -> bool {
    character.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&character)
}

impl SetComparison {
    fn holds(self, value: &str, operands: &[String]) -> bool {
        let options: Vec<&str> =
            value.split(';').map(str::trim).filter(|option| !option.is_empty()).collect();
        let has = |operand: &String| options.contains(&operand.as_str());
        match self {
            Self::Any => operands.iter().any(has),
            Self::All => operands.iter().all(has),
            Self::Exactly => {
                operands.iter().all(has)
                    && options.iter().all(|option| operands.iter().any(|operand| operand == option))
            }
        }
    }
}
