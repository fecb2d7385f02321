//! What an import tells of that which its accounts keep: a condition on anything else is not understood.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Numbered;
use super::chunk::Chunk;
use crate::domain::criteria::subject::RecordType;
use crate::domain::record::{Record, Row};
use crate::store::StoreError;
use crate::store::criteria::kept;

impl Chunk {
    /// Keeps in mind which properties these records have, and with what they associate contacts.
    pub(super) async fn learn(&mut self, records: &[Numbered]) -> Result<(), StoreError> {
        let properties = records.iter().flat_map(|(_, record)| properties(record)).collect();
        kept::learn_properties(&mut self.tx, &properties).await?;
        let associated = records.iter().flat_map(|(_, record)| {
            associated(record).into_iter().map(|of_type| (record.account_id, of_type))
        });
        kept::learn_associations(&mut self.tx, &associated.collect()).await
    }
}

fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// The names of the properties that a record has or had.
fn properties(record: &Record) -> BTreeSet<(i64, RecordType, &str)> {
    let records = match record.kind.table.name {
        "contacts" => RecordType::contact(),
        "objects" => RecordType::object(text(&record.row, "object_type")),
        "activities" => RecordType::object(text(&record.row, "type")),
        "custom_events" => RecordType::event(text(&record.row, "event_type_id")),
        _ => return BTreeSet::new(),
    };
    let members =
        ["properties", "history"].into_iter().filter_map(|column| record.row.get(column)?.as_object());
    members
        .flat_map(|members| members.keys().map(|name| (record.account_id, records.clone(), name.as_str())))
        .collect()
}

/// The types of objects with which a record associates a contact.
fn associated(record: &Record) -> BTreeSet<&str> {
    match record.kind.table.name {
        "associations" => {
            let ends = [text(&record.row, "from_type"), text(&record.row, "to_type")];
            let others = [(ends[0], ends[1]), (ends[1], ends[0])];
            others.into_iter().filter(|(own, _)| *own == "contact").map(|(_, other)| other).collect()
        }
        "activities" => {
            let with_contact = record.links.iter().any(|link| text(link, "object_type") == "contact");
            with_contact.then(|| text(&record.row, "type")).into_iter().collect()
        }
        _ => BTreeSet::new(),
    }
}
