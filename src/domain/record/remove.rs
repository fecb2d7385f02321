//! Records of the kind `remove`: each takes away the record that has its key.

use serde_json::Value;

use super::ColumnType::Int;
use super::kinds::{self, KINDS};
use super::{Action, Kind, NamesAddresses, Record, Row, Table};
use crate::domain::members::{FieldError, Members};

/// The kinds that can be removed, as they stand in `of`.
const REMOVABLE: &[&str] = &["association", "activity", "membership", "notification", "user"];
/// Those that a person deletes, so that they can be restored.
const DELETED: &[&str] = &["contact", "company", "deal", "ticket", "object"];

/// One member of a segment. It is no kind of record of its own: a segment's record has them all.
pub(super) static MEMBERSHIP: Kind = Kind {
    name: "membership",
    table: Table {
        name: "segment_members",
        columns: &[("account_id", Int), ("segment_id", Int), ("contact_id", Int)],
        key: 3,
    },
    links: None,
    read: |_| Ok(super::Parts::default()),
};

/// Reads a removal.
///
/// # Errors
///
/// The member at fault and what it must be.
pub(super) fn parse(m: &Members<'_>) -> Result<Record, FieldError> {
    let of = m.text("of")?;
    if DELETED.contains(&of) {
        return Err(m.fault("of", "must not be a contact or a record: these are deleted by `delete`"));
    }
    if !REMOVABLE.contains(&of) {
        return Err(m.fault("of", &format!("must be one of {}", REMOVABLE.join(", "))));
    }
    let kind = KINDS.iter().find(|kind| kind.name == of).unwrap_or(&MEMBERSHIP);
    let account_id = m.id("accountId")?;
    let mut row = match of {
        "association" => kinds::association_key(m)?,
        "membership" => {
            let ids = [("segment_id", m.id("segmentId")?), ("contact_id", m.id("contactId")?)];
            ids.into_iter().map(|(column, id)| (column.to_owned(), Value::from(id))).collect()
        }
        _ => Row::from_iter([(kind.table.columns[1].0.to_owned(), m.id("id")?.into())]),
    };
    row.insert("account_id".to_owned(), account_id.into());
    Ok(Record {
        kind,
        action: Action::Remove,
        account_id,
        row,
        links: Vec::new(),
        contacts: Vec::new(),
        shared: Vec::new(),
        owner: None,
        archived: None,
        names_addresses: NamesAddresses::default(),
        members: Vec::new(),
    })
}
