//! What a token is for: its program can do no more than that, whatever its user may do.

use serde::{Deserialize, Serialize};

/// One of the things that a token can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TokenScope {
    /// The pages and `/api/v1`.
    #[serde(rename = "console")]
    Console,
    /// Reading records by the vendor's API.
    #[serde(rename = "crm.read")]
    CrmRead,
    /// Creating and changing records by it.
    #[serde(rename = "crm.write")]
    CrmWrite,
    /// Putting records into the trash by it.
    #[serde(rename = "crm.delete")]
    CrmDelete,
    /// Erasing contacts for good by it.
    #[serde(rename = "crm.erase")]
    CrmErase,
    /// Workflows by it.
    #[serde(rename = "automation")]
    Automation,
}

impl TokenScope {
    const ALL: [Self; 6] =
        [Self::Console, Self::CrmRead, Self::CrmWrite, Self::CrmDelete, Self::CrmErase, Self::Automation];

    /// As people and programs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::CrmRead => "crm.read",
            Self::CrmWrite => "crm.write",
            Self::CrmDelete => "crm.delete",
            Self::CrmErase => "crm.erase",
            Self::Automation => "automation",
        }
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// Which there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| format!("a scope is one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}
