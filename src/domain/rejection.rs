//! Why a message is set aside.

use super::members::{FieldError, Unread};

/// A longer body is set aside unread.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Why a message went to the dead letters; the text form is public surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadLetterReason {
    /// Not JSON, a member missing, of the wrong type or out of range.
    Malformed,
    /// A CloudEvent of another type.
    UnsupportedType,
    /// Over [`MAX_BODY_BYTES`].
    TooLarge,
    /// The key of an earlier decision with another object or workflow.
    ConflictingDuplicate,
    /// The one event of a batch that the store cannot take.
    Poison,
    /// It was put off as often as there are rungs, and something was in its way each time.
    RetriesExhausted,
    /// The broker moved it: it was delivered as often as its queue allows, and never acknowledged.
    DeliveryLimit,
}

impl DeadLetterReason {
    /// Every reason, for counters that are born at zero.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::UnsupportedType,
        Self::TooLarge,
        Self::ConflictingDuplicate,
        Self::Poison,
        Self::RetriesExhausted,
        Self::DeliveryLimit,
    ];

    /// As it stands in lists and in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnsupportedType => "unsupported_type",
            Self::TooLarge => "too_large",
            Self::ConflictingDuplicate => "conflicting_duplicate",
            Self::Poison => "poison",
            Self::RetriesExhausted => "retries_exhausted",
            Self::DeliveryLimit => "delivery_limit",
        }
    }

    /// What [`DeadLetterReason::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A message that cannot be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: DeadLetterReason,
    /// Place and type of the fault, never a value: dead letters are read by operators.
    pub detail: String,
}

impl Rejection {
    /// A body whose member at `place` is not what it must be.
    pub fn malformed(place: &str, expected: &str) -> Self {
        Self { reason: DeadLetterReason::Malformed, detail: format!("{place}: {expected}") }
    }
}

impl From<FieldError> for Rejection {
    fn from(fault: FieldError) -> Self {
        Self::malformed(&fault.place, &fault.expected)
    }
}

impl Rejection {
    /// What was read at `place` is no JSON, or has a member twice.
    pub fn unread(place: &str, unread: &Unread) -> Self {
        match &unread.twice {
            Some(member) => Self::malformed(member, "is there twice"),
            None => Self::malformed(place, &not_json(&unread.error)),
        }
    }
}

/// Why a body over [`MAX_BODY_BYTES`] is set aside.
pub fn too_large() -> Rejection {
    Rejection {
        reason: DeadLetterReason::TooLarge,
        detail: format!("body: over the limit of {MAX_BODY_BYTES} bytes"),
    }
}

/// What is wrong with a text that is no JSON.
pub fn not_json(error: &serde_json::Error) -> String {
    format!("not JSON at line {} column {}", error.line(), error.column())
}
