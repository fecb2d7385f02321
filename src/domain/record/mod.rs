//! The records of `import`: one JSON object a line, read into rows of the store's tables.
//!
//! A record is reduced to a row of one table and the rows of at most one table of links; [`kinds`] says for
//! each kind which members become which columns. Members that are not ours are ignored: the vendor's API
//! returns more than we keep.

mod kinds;
mod line;
mod remove;

use std::borrow::Cow;

pub use kinds::DELIVERABILITY;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::members::{FieldError, Members};
use super::object_type::RecordKey;
use line::Line;

/// The longest line of a record but a segment's, in bytes.
pub const MAX_RECORD_BYTES: usize = 4 << 20;
/// The longest line of a segment: some three million members.
pub const MAX_SEGMENT_BYTES: usize = 32 << 20;

/// The place of a fault that is of a whole record, which a file has on a line.
pub const THE_LINE: &str = "the line";

/// The column that says of a row that it came from a partial record alone.
pub const IS_PARTIAL: &str = "is_partial";

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
    read: fn(&Members<'_>) -> Result<Parts, FieldError>,
}

impl Kind {
    /// May a record name some of the properties, and leave the others as they are?
    pub fn may_be_partial(&self) -> bool {
        kinds::MERGED.contains(&self.name)
    }
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
    names_addresses: NamesAddresses,
}

/// Which of its addresses the record of a contact names: a partial one may name none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamesAddresses {
    /// `properties.email`, also where it is null.
    pub primary: bool,
    /// `additionalEmails`.
    pub additional: bool,
}

/// A contact or an object that arrives in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// When it was deleted; `None`: at the time of the import.
    pub at: Option<String>,
}

/// What a record does with the row of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The row becomes what the record says.
    Replace,
    /// The row keeps the properties that the record does not name.
    Merge,
    /// The row goes; the record has its key alone.
    Remove,
}

/// One line of an import, read.
#[derive(Clone, Debug)]
pub struct Record {
    pub kind: &'static Kind,
    pub action: Action,
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
    pub names_addresses: NamesAddresses,
    /// The members of a segment, in order and each once; they may be millions.
    pub members: Vec<i64>,
}

impl Record {
    /// The key, as text: records of one key must not meet in one statement.
    pub fn key(&self) -> String {
        self.key_of(self.kind.table.key)
    }

    /// The first columns of the key, as text.
    pub fn key_of(&self, columns: usize) -> String {
        let column = |(name, _): &Column| self.row.get(*name).map(Value::to_string).unwrap_or_default();
        self.kind.table.columns[..columns].iter().map(column).collect::<Vec<_>>().join("\u{1f}")
    }

    /// The position of its kind in the order in which kinds are imported: every kind comes after those that it refers to.
    pub fn stage(&self) -> usize {
        let of = if self.kind.name == remove::MEMBERSHIP.name { "segment" } else { self.kind.name };
        kinds::KINDS.iter().position(|kind| kind.name == of).unwrap_or_default()
    }

    /// The type and the id of an object.
    pub fn object_key(&self) -> Option<RecordKey> {
        let object_type = self.row.get("object_type")?.as_str()?.to_owned();
        Some(RecordKey { object_type, id: self.row.get("object_id")?.as_i64()? })
    }

    /// Does the record take one member out of a segment?
    pub fn is_membership(&self) -> bool {
        self.kind.name == remove::MEMBERSHIP.name
    }
}

/// Is it the name of a kind?
pub fn is_kind(name: &str) -> bool {
    name == "remove" || kinds::KINDS.iter().any(|kind| kind.name == name)
}

/// How many kinds of records there are.
pub fn stages() -> usize {
    kinds::KINDS.len()
}

/// Reads one line.
///
/// # Errors
///
/// The member at fault and what it must be.
pub fn parse_record(line: &str) -> Result<Record, FieldError> {
    refuse_too_long(line)?;
    let Line { value, members: ids } = Line::read(line).map_err(|unread| match unread {
        line::Unread::Twice(place) => FieldError { place, expected: "must be there once".to_owned() },
        line::Unread::NotJson(error) => not_json(&error),
    })?;
    if line.contains("\\u0000") {
        refuse_nul(&value)?;
    }
    read(&value, ids)
}

/// Reads a record that is no line of a file.
///
/// # Errors
///
/// The member at fault and what it must be.
pub fn record_of(value: &Value) -> Result<Record, FieldError> {
    refuse_nul(value)?;
    read(value, line::Ids::of(value))
}

fn refuse_nul(value: &Value) -> Result<(), FieldError> {
    if contains_nul(value) {
        return Err(of_the_line("must not contain the character U+0000, which PostgreSQL cannot store"));
    }
    Ok(())
}

fn read(value: &Value, ids: line::Ids) -> Result<Record, FieldError> {
    let members = Members::of(value, "").map_err(|_| of_the_line("must be a JSON object"))?;
    let name = members.text("kind")?;
    if name == "remove" {
        return remove::parse(&members);
    }
    // An object of a type that is a kind of its own is a record of that kind.
    let name = match name {
        "object" => Some(kinds::typed(&members)?).filter(|it| kinds::is_of_objects(it)).unwrap_or(name),
        _ => name,
    };
    let kind = kinds::KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| {
        let known: Vec<&str> = kinds::KINDS.iter().map(|kind| kind.name).chain(["remove"]).collect();
        members.fault("kind", &format!("must be one of {}", known.join(", ")))
    })?;
    let account_id = members.id(if name == "account" { "id" } else { "accountId" })?;
    let action = match members.flag("partial")? {
        Some(true) if kind.may_be_partial() => Action::Merge,
        Some(true) => {
            let expected = format!("must be left out: only {} can be partial", kinds::MERGED.join(", "));
            return Err(members.fault("partial", &expected));
        }
        _ => Action::Replace,
    };
    let Parts { mut row, mut links, contacts, shared, owner, archived, names_addresses } =
        (kind.read)(&members)?;
    row.insert("account_id".to_owned(), account_id.into());
    if kind.may_be_partial() {
        row.insert(IS_PARTIAL.to_owned(), (action == Action::Merge).into());
    }
    for link in &mut links {
        link.insert("account_id".to_owned(), account_id.into());
    }
    let members = if name == "segment" { ids.into_ids(&members)? } else { Vec::new() };
    Ok(Record {
        kind,
        action,
        account_id,
        row,
        links,
        contacts,
        shared,
        owner,
        archived,
        names_addresses,
        members,
    })
}

fn of_the_line(expected: &str) -> FieldError {
    FieldError { place: THE_LINE.to_owned(), expected: expected.to_owned() }
}

fn not_json(error: &serde_json::Error) -> FieldError {
    of_the_line(&format!("is not JSON (column {})", error.column()))
}

/// A record takes several times its length in memory, a segment only a little more than its length.
fn refuse_too_long(line: &str) -> Result<(), FieldError> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        kind: Option<Cow<'a, str>>,
    }
    if line.len() <= MAX_RECORD_BYTES {
        return Ok(());
    }
    let head: Head<'_> = serde_json::from_str(line).map_err(|error| not_json(&error))?;
    if head.kind.as_deref() == Some("segment") && line.len() <= MAX_SEGMENT_BYTES {
        return Ok(());
    }
    Err(too_long())
}

/// The fault of a line that is longer than a record may be.
pub fn too_long() -> FieldError {
    of_the_line(&format!(
        "must not be longer than {} MiB, or {} MiB where it is a segment",
        MAX_RECORD_BYTES >> 20,
        MAX_SEGMENT_BYTES >> 20
    ))
}

/// Is the character U+0000 in one of its texts or names? PostgreSQL cannot store it.
pub fn contains_nul(value: &Value) -> bool {
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
                "properties":{},"associations":[{"type":"contact","id":"1"},{"type":"a planet","id":"1"}]}"#,
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
            (
                r#"{"kind":"segment","accountId":"1","id":"4","name":"S","processingType":"MANUAL","members":"1"}"#,
                "members",
            ),
            (
                r#"{"kind":"quote","accountId":"1","id":"5","partial":true,"createdAt":"2026-01-01T00:00:00Z"}"#,
                "partial",
            ),
            (r#"{"kind":"remove","accountId":"1","id":"5"}"#, "of"),
            (r#"{"kind":"remove","of":"contact","accountId":"1","id":"5"}"#, "of"),
            (r#"{"kind":"remove","of":"quote","accountId":"1","id":"5"}"#, "of"),
            (r#"{"kind":"remove","of":"user","accountId":"1"}"#, "id"),
            (r#"{"kind":"remove","of":"membership","accountId":"1","segmentId":"4"}"#, "contactId"),
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

    #[test]
    fn members_of_a_segment_are_sorted_and_each_is_there_once() {
        let record = parse_record(
            r#"{"members":["30",7,"30","9"],"kind":"segment","accountId":"1","id":"4","name":"S","processingType":"MANUAL"}"#,
        );
        assert_eq!(record.unwrap().members, [7, 9, 30]);
    }

    #[test]
    fn only_a_segment_may_be_longer_than_four_mebibytes() {
        let company = |letters: usize| {
            format!(
                r#"{{"kind":"company","accountId":"1","id":"5","properties":{{"about":"{}"}}}}"#,
                "x".repeat(letters)
            )
        };
        assert!(parse_record(&company(MAX_RECORD_BYTES - 100)).is_ok());
        let (place, expected) = fault(&company(MAX_RECORD_BYTES));
        assert!(place == "the line" && expected.contains("4 MiB"), "{place}: {expected}");
        let members = (1..=700_000).map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(",");
        let segment = format!(
            r#"{{"kind":"segment","accountId":"1","id":"4","name":"S","processingType":"MANUAL","members":[{members}]}}"#
        );
        assert!(segment.len() > MAX_RECORD_BYTES);
        assert_eq!(parse_record(&segment).unwrap().members.len(), 700_000);
    }

    #[test]
    fn a_partial_record_names_what_it_clears() {
        let record = parse_record(
            r#"{"kind":"contact","accountId":"1","id":"5","partial":true,"properties":{"city":null,"email":"a@x.example"}}"#,
        )
        .unwrap();
        assert_eq!(record.action, Action::Merge);
        assert_eq!(record.row["properties"], serde_json::json!({"city": null, "email": "a@x.example"}));
        assert_eq!(record.names_addresses, NamesAddresses { primary: true, additional: false });
    }

    #[test]
    fn a_removal_has_the_key_of_its_kind() {
        let record = parse_record(
            r#"{"kind":"remove","of":"association","accountId":"1","from":{"type":"contact","id":"1"},"to":{"type":"deal","id":"2"}}"#,
        )
        .unwrap();
        assert_eq!((record.action, record.kind.name), (Action::Remove, "association"));
        assert_eq!(record.key(), "1\u{1f}\"contact\"\u{1f}1\u{1f}\"deal\"\u{1f}2\u{1f}\"\"");
    }
}
