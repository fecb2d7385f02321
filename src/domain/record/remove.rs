//! Records of the kind `remove`: each takes away the record that has its key.

use serde_json::Value;

use super::ColumnType::Int;
use super::kinds::{self, KINDS};
use super::{Action, Column, Kind, NamesAddresses, Record, Row, Table};
use crate::domain::members::{FieldError, Members};

/// The kinds that can be removed, as they stand in `of`.
const REMOVABLE: &[&str] = &["association", "activity", "membership", "notification", "user"];
/// Those that a person deletes, so that they can be restored.
const DELETED: &[&str] = &["contact", "company", "deal", "ticket", "object"];

/// One member of a segment: a contact, or another record. It is no kind of record of its own: a segment's record has them all.
pub(super) static MEMBERSHIP: Kind =
    membership("segment_members", &[("account_id", Int), ("segment_id", Int), ("contact_id", Int)]);
static RECORD_MEMBERSHIP: Kind =
    membership("record_segment_members", &[("account_id", Int), ("segment_id", Int), ("record_id", Int)]);

const fn membership(table: &'static str, columns: &'static [Column; 3]) -> Kind {
    Kind {
        name: "membership",
        table: Table { name: table, columns, key: columns.len() },
        links: None,
        read: |_| Ok(super::Parts::default()),
    }
}

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
    let is_of_contact = m.optional("recordId").is_none();
    let membership = if is_of_contact { &MEMBERSHIP } else { &RECORD_MEMBERSHIP };
    let kind = KINDS.iter().find(|kind| kind.name == of).unwrap_or(membership);
    let account_id = m.id("accountId")?;
    let mut row = match of {
        "association" => kinds::association_key(m)?,
        "membership" => {
            let member = if is_of_contact {
                ("contact_id", m.id("contactId")?)
            } else {
                ("record_id", m.id("recordId")?)
            };
            let ids = [("segment_id", m.id("segmentId")?), member];
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
