//! What is wrong with the settings, in sentences.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::secret::named;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The embedded `default.toml`.
    Default,
    /// A line of the configuration file.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A file that an environment variable names.
    SecretFile(PathBuf, String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{} line {line}", named(&path.to_string_lossy())),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::SecretFile(path, variable) => {
                write!(f, "{} named by {variable}", named(&path.to_string_lossy()))
            }
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One thing that is wrong, as one sentence: which key, from where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The key, or the name of what was meant to be one.
    pub key: String,
    /// Where it was set.
    pub origin: Origin,
    /// What is wrong, starting with a verb. Never shows the value of a secret.
    pub problem: String,
    /// What is accepted instead.
    pub remedy: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}; {}", self.key, self.origin, self.problem, self.remedy)
    }
}

/// Everything that is wrong with the settings; never empty where it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Each of them: first what is no setting at all, then key by key.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, mistake: ConfigError) {
        self.0.push(mistake);
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
