//! The journal of erasures: JSON Lines, kept outside the store, so that whoever was erased stays erased when a backup
//! is restored. Content-free: ids, times, keyed hashes.

use serde_json::{Value, json};

use super::members::{FieldError, Members};
use super::record::DELIVERABILITY;
use super::suppression::MARKS;
use super::time::{Time, format_time};

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Key(Key),
    Erasure(Erasure),
    Suppression(Suppression),
    ErasedRecord(ErasedRecord),
    End(End),
}

/// The last line: without it the journal was cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub erasures: u64,
    pub suppressions: u64,
    /// None in a journal of a version that did not write them.
    pub erased_records: u64,
}

/// A key that hashes were made with: enough to tell it from another of the same id, useless to make hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub key_id: String,
    pub check: String,
}

/// An erasure, of a contact or of an address that nobody had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    pub account_id: i64,
    pub erasure_id: i64,
    pub contact_id: Option<i64>,
    pub erased_at: Time,
    /// The user who asked for it.
    pub erased_by: i64,
}

/// An address of somebody who is gone, and what is to be in force should it come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    pub account_id: i64,
    pub hash: String,
    pub key_id: String,
    /// One of [`MARKS`] for the address itself, or a status of deliverability.
    pub status: String,
    pub at: Time,
    pub subscription_id: Option<String>,
}

/// The kinds of records that an erasure deletes with the contact.
const RECORD_KINDS: [&str; 5] = ["activity", "ticket", "file", "conversation", "quote"];

/// A record of another kind that an erasure deleted: no import brings it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasedRecord {
    pub account_id: i64,
    /// One of the kinds of the import: `activity`, `ticket`, `file`, `conversation` or `quote`.
    pub kind: String,
    pub record_id: i64,
}

impl Entry {
    /// The line, without its end.
    pub fn to_line(&self) -> String {
        match self {
            Self::Key(Key { key_id, check }) => json!({"kind": "key", "keyId": key_id, "check": check}),
            Self::Erasure(erasure) => json!({"kind": "erasure", "accountId": erasure.account_id.to_string(),
                "erasureId": erasure.erasure_id.to_string(),
                "contactId": erasure.contact_id.map(|id| id.to_string()),
                "erasedAt": format_time(erasure.erased_at), "erasedBy": erasure.erased_by.to_string()}),
            Self::Suppression(suppression) => json!({"kind": "suppression",
                "accountId": suppression.account_id.to_string(), "hash": suppression.hash,
                "keyId": suppression.key_id, "status": suppression.status, "at": format_time(suppression.at),
                "subscriptionId": suppression.subscription_id}),
            Self::ErasedRecord(ErasedRecord { account_id, kind, record_id }) => {
                json!({"kind": "erasedRecord",
                "accountId": account_id.to_string(), "recordKind": kind, "recordId": record_id.to_string()})
            }
            Self::End(End { erasures, suppressions, erased_records }) => json!({"kind": "end",
                "erasures": erasures, "suppressions": suppressions, "erasedRecords": erased_records}),
        }
        .to_string()
    }

    /// Reads a line.
    ///
    /// # Errors
    ///
    /// The member at fault and what it must be. A kind that is not known is a fault: to pass over it could be to
    /// pass over an erasure.
    pub fn parse(line: &str) -> Result<Self, FieldError> {
        let whole =
            |expected: &str| FieldError { place: "the line".to_owned(), expected: expected.to_owned() };
        let value: Value = serde_json::from_str(line).map_err(|_| whole("is not JSON"))?;
        let members = Members::of(&value, "").map_err(|_| whole("must be a JSON object"))?;
        match members.text("kind")? {
            "key" => Ok(Self::Key(Key {
                key_id: members.text("keyId")?.to_owned(),
                check: members.text("check")?.to_owned(),
            })),
            "erasure" => Ok(Self::Erasure(Erasure {
                account_id: members.id("accountId")?,
                erasure_id: members.id("erasureId")?,
                contact_id: members.optional("contactId").map(|_| members.id("contactId")).transpose()?,
                erased_at: members.time("erasedAt")?,
                erased_by: members.id("erasedBy")?,
            })),
            "suppression" => suppression(&members).map(Self::Suppression),
            "erasedRecord" => Ok(Self::ErasedRecord(ErasedRecord {
                account_id: members.id("accountId")?,
                kind: record_kind(&members)?,
                record_id: members.id("recordId")?,
            })),
            "end" => {
                let count = |name: &str| {
                    let count = value.get(name).and_then(Value::as_u64);
                    count.ok_or_else(|| members.fault(name, "must be a whole number"))
                };
                Ok(Self::End(End {
                    erasures: count("erasures")?,
                    suppressions: count("suppressions")?,
                    erased_records: members
                        .optional("erasedRecords")
                        .map_or(Ok(0), |_| count("erasedRecords"))?,
                }))
            }
            _ => Err(members.fault("kind", "must be key, erasure, suppression, erasedRecord or end")),
        }
    }
}

fn record_kind(members: &Members<'_>) -> Result<String, FieldError> {
    let kind = members.text("recordKind")?;
    if RECORD_KINDS.contains(&kind) {
        Ok(kind.to_owned())
    } else {
        Err(members.fault("recordKind", &format!("must be one of {}", RECORD_KINDS.join(", "))))
    }
}

fn suppression(members: &Members<'_>) -> Result<Suppression, FieldError> {
    let hash = members.text("hash")?;
    if hash.len() != 64 || !hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(members.fault("hash", "must be 64 hexadecimal digits"));
    }
    let status = members.text("status")?;
    if !MARKS.contains(&status) && !DELIVERABILITY.contains(&status) {
        return Err(members.fault("status", "must be erased, purged or a status of deliverability"));
    }
    let subscription_id = members.optional("subscriptionId").map(|_| members.text("subscriptionId"));
    Ok(Suppression {
        account_id: members.id("accountId")?,
        hash: hash.to_owned(),
        key_id: members.text("keyId")?.to_owned(),
        status: status.to_owned(),
        at: members.time("at")?,
        subscription_id: subscription_id.transpose()?.map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_time;

    const AT: &str = "2026-11-21T10:00:00.500000Z";

    #[test]
    fn every_line_is_read_as_it_was_written() {
        let at = parse_time(AT).unwrap();
        let erasure =
            Erasure { account_id: 1, erasure_id: 5, contact_id: Some(11), erased_at: at, erased_by: 7 };
        let suppression = Suppression {
            account_id: 1,
            hash: "0f".repeat(32),
            key_id: "k1".to_owned(),
            status: "unsubscribed".to_owned(),
            at,
            subscription_id: Some("news".to_owned()),
        };
        for entry in [
            Entry::Key(Key { key_id: "k1".to_owned(), check: "00ff".to_owned() }),
            Entry::Erasure(erasure.clone()),
            Entry::Erasure(Erasure { contact_id: None, ..erasure }),
            Entry::ErasedRecord(ErasedRecord { account_id: 1, kind: "ticket".to_owned(), record_id: 31 }),
            Entry::End(End { erasures: 2, suppressions: 1, erased_records: 3 }),
            Entry::Suppression(suppression.clone()),
            Entry::Suppression(Suppression {
                status: MARKS[0].to_owned(),
                subscription_id: None,
                ..suppression
            }),
        ] {
            assert_eq!(Entry::parse(&entry.to_line()), Ok(entry.clone()), "{entry:?}");
        }
    }

    #[test]
    fn malformed_line_error_names_the_field() {
        let hash = "0f".repeat(32);
        for (line, place) in [
            ("{".to_owned(), "the line"),
            ("[]".to_owned(), "the line"),
            (r#"{"kind":"pardon"}"#.to_owned(), "kind"),
            (
                format!(
                    r#"{{"kind":"erasure","accountId":"1","erasureId":"5","contactId":"x","erasedAt":"{AT}","erasedBy":"7"}}"#
                ),
                "contactId",
            ),
            (
                format!(
                    r#"{{"kind":"erasure","accountId":"1","erasureId":"5","contactId":"1","erasedAt":"{AT}"}}"#
                ),
                "erasedBy",
            ),
            (
                format!(
                    r#"{{"kind":"suppression","accountId":"1","hash":"0F","keyId":"k","status":"erased","at":"{AT}"}}"#
                ),
                "hash",
            ),
            (
                format!(
                    r#"{{"kind":"suppression","accountId":"1","hash":"{hash}","keyId":"k","status":"sad","at":"{AT}"}}"#
                ),
                "status",
            ),
            (
                r#"{"kind":"erasedRecord","accountId":"1","recordKind":"contact","recordId":"5"}"#.to_owned(),
                "recordKind",
            ),
        ] {
            assert_eq!(Entry::parse(&line).unwrap_err().place, place, "{line}");
        }
    }
}
