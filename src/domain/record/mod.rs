//! The records of `import`: one JSON object a line, read into rows of the store's tables.
//!
//! A record is reduced to a row of one table and the rows of at most one table of links; [`kinds`] says for
//! each kind which members become which columns. Members that are not ours are ignored: the vendor's API
//! returns more than we keep.

mod kinds;

pub use kinds::DELIVERABILITY;
use serde_json::{Map, Value};

use super::members::{Fault, Members};

/// What a column holds; the store knows how each database spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    Int,
    Text,
    Time,
    Json,
    Bool,
}

/// A column's name and type.
pub type Column = (&'static str, ColumnType);

/// A row by column name.
pub type Row = Map<String, Value>;

/// A table that records are upserted into.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [Column],
    /// How many of the first columns are the key.
    pub key: usize,
}

/// A kind of record.
#[derive(Debug)]
pub struct Kind {
    /// As it stands in `kind`.
    pub name: &'static str,
    pub table: Table,
    /// The rows that hang on the record: all of them are replaced with it. Their owner is the table's key.
    pub links: Option<Table>,
    read: fn(&Members<'_>) -> Result<Parts, Fault>,
}

/// What a reader makes of a record, beside the account.
#[derive(Debug, Default)]
struct Parts {
    row: Row,
    links: Vec<Row>,
    contacts: Vec<i64>,
    shared: Vec<i64>,
    owner: Option<i64>,
    archived: Option<Archived>,
}

/// A contact that arrives in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// When it was deleted; `None`: at the time of the import.
    pub at: Option<String>,
}

/// One line of an import, read.
#[derive(Debug)]
pub struct Record {
    pub kind: &'static Kind,
    pub account_id: i64,
    pub row: Row,
    pub links: Vec<Row>,
    /// The contacts that the record is of: one that was erased or purged makes it skipped.
    pub contacts: Vec<i64>,
    /// The contacts that share the record with nobody else: it is skipped where all of them are gone.
    pub shared: Vec<i64>,
    /// The contact that has to exist, from `contactId`.
    pub owner: Option<i64>,
    pub archived: Option<Archived>,
}

impl Record {
    /// The key, as text: records of one key must not meet in one statement.
    pub fn key(&self) -> String {
        let column = |(name, _): &Column| self.row.get(*name).map(Value::to_string).unwrap_or_default();
        self.kind.table.columns[..self.kind.table.key].iter().map(column).collect::<Vec<_>>().join("\u{1f}")
    }
}

/// Reads one line.
///
/// # Errors
///
/// The member at fault and what it must be.
pub fn parse_record(line: &str) -> Result<Record, Fault> {
    let document = |expected: String| Fault { place: "the line".to_owned(), expected };
    let value: Value = serde_json::from_str(line)
        .map_err(|error| document(format!("is not JSON (column {})", error.column())))?;
    if line.contains("\\u0000") && contains_nul(&value) {
        return Err(document(
            "must not contain the character U+0000, which PostgreSQL cannot store".to_owned(),
        ));
    }
    let members = Members::of(&value, "").map_err(|_| document("must be a JSON object".to_owned()))?;
    let name = members.text("kind")?;
    let kind = kinds::KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
        let known: Vec<&str> = kinds::KINDS.iter().map(|kind| kind.name).collect();
        members.fault("kind", &format!("must be one of {}", known.join(", ")))
    })?;
    let account_id = members.id(if name == "account" { "id" } else { "accountId" })?;
    let Parts { mut row, mut links, contacts, shared, owner, archived } = (kind.read)(&members)?;
    row.insert("account_id".to_owned(), account_id.into());
    for link in &mut links {
        link.insert("account_id".to_owned(), account_id.into());
    }
    Ok(Record { kind, account_id, row, links, contacts, shared, owner, archived })
}

fn contains_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(contains_nul),
        Value::Object(members) => {
            members.iter().any(|(name, value)| name.contains('\0') || contains_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> (String, String) {
        let fault = parse_record(line).unwrap_err();
        (fault.place, fault.expected)
    }

    #[test]
    fn faults_name_the_member() {
        for (line, place) in [
            ("{", "the line"),
            ("[]", "the line"),
            (r#"{"kind":"contact"}"#, "accountId"),
            (r#"{"kind":"visitor","accountId":"1"}"#, "kind"),
            (r#"{"kind":"account","id":"0","name":"A"}"#, "id"),
            (
                r#"{"kind":"contact","accountId":"1","id":"5","properties":{"age":7},"createdAt":"2026-01-01T00:00:00Z"}"#,
                "properties.age",
            ),
            (r#"{"kind":"contact","accountId":"1","id":"5","properties":{}}"#, "createdAt"),
            (
                r#"{"kind":"activity","accountId":"1","id":"5","type":"note","timestamp":"2026-01-01T00:00:00Z",
                "properties":{},"associations":[{"type":"contact","id":"1"},{"type":"planet","id":"1"}]}"#,
                "associations[1].type",
            ),
            (
                r#"{"kind":"subscription","accountId":"1","product":"marketing_hub","tier":"gold",
                "startsAt":"2026-01-01T00:00:00Z"}"#,
                "tier",
            ),
            (
                r#"{"kind":"segment","accountId":"1","id":"4","name":"S","processingType":"MANUAL","members":["x"]}"#,
                "members[0]",
            ),
            (r#"{"kind":"workflow","accountId":"1","flow":{"name":"no id"}}"#, "flow.id"),
            (r#"{"kind":"account","id":"1","name":"A\u0000"}"#, "the line"),
        ] {
            assert_eq!(fault(line).0, place, "{line}");
        }
    }

    #[test]
    fn a_contact_is_read_with_its_addresses() {
        let record = parse_record(
            r#"{"kind":"contact","accountId":"1","id":"512","createdAt":"2026-01-01T00:00:00Z","archived":true,
                "properties":{"email":" Ada@Example.org ","firstname":null},
                "additionalEmails":["ada@work.example","ADA@example.org"]}"#,
        )
        .unwrap();
        assert_eq!(record.row["properties"], serde_json::json!({"email": " Ada@Example.org "}));
        let keys: Vec<&str> = record.links.iter().filter_map(|link| link["email_key"].as_str()).collect();
        assert_eq!(keys, ["ada@example.org", "ada@work.example"]);
        assert_eq!(record.archived, Some(Archived { at: None }));
        assert_eq!(record.key(), "1\u{1f}512");
    }
}
