//! The trace of an evaluation: each part, the value it was evaluated with, and its verdict.

use serde::Serialize;

use super::Truth;

/// One part of the criteria as it was evaluated.
///
/// It holds values of the contact: it is for whoever asked, never for a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvaluationTrace {
    /// Its place in the definition, as a JSON path.
    pub at: String,
    /// The condition in words.
    pub description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// The value that it was evaluated with.
    pub actual_value: Option<String>,
    pub verdict: Truth,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<EvaluationTrace>,
}

impl Serialize for Truth {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl Truth {
    /// As the commands say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "accepts",
            Self::False => "rejects",
            Self::Unknown => "unsupported",
        }
    }
}
