//! Ids that records of an import bring, beside those that were given here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::chunk::{Chunk, Origin};
use super::ids::IDS;
use super::write::{json_row, key_text, prefixed, same};
use super::{Numbered, Refusal};
use crate::domain::record::{Action, Column, ColumnType, Kind, Record, Row};
use crate::domain::time::{Time, parse_time};
use crate::store::StoreError;
use crate::store::db::batch::{Lists, batch_text};
use crate::store::db::values::args;

impl Chunk {
    /// The counters stay above the ids that these records bring.
    pub(super) async fn raise_ids(&mut self, kind: &Kind, records: &[Numbered]) -> Result<(), StoreError> {
        let Some((_, id)) = IDS.iter().find(|(table, _)| *table == kind.table.name && self.has_ids) else {
            return Ok(());
        };
        let mut highest: BTreeMap<i64, i64> = BTreeMap::new();
        for (_, record) in records {
            let brought = record.row.get(*id).and_then(Value::as_i64).unwrap_or_default();
            let highest = highest.entry(record.account_id).or_default();
            *highest = brought.max(*highest);
        }
        let sql = format!(
            "UPDATE record_ids SET last_id = (SELECT b.id FROM {batch} WHERE b.account_id = record_ids.account_id) \
             WHERE EXISTS (SELECT 1 FROM {batch} WHERE b.account_id = record_ids.account_id AND b.id > record_ids.last_id)",
            batch = self.tx.dialect().ids(1, &["account_id", "id"])
        );
        let highest = Lists::ids(highest.into_iter().map(|(account_id, id)| [account_id, id]));
        self.tx.execute(&sql, args![highest]).await.map(drop)
    }

    /// An import that brings an id which was given to a record that a program created means another record, unless it says when that
    /// one was created. How many are refused.
    pub(super) async fn refuse_given_ids(
        &mut self,
        kind: &Kind,
        records: &mut Vec<Numbered>,
    ) -> Result<usize, StoreError> {
        let is_of_programs = matches!(self.origin, Origin::Program { .. });
        let since = match kind.table.name {
            "contacts" | "objects" | "segments" => ("created_at", ColumnType::Time),
            "activities" => ("occurred_at", ColumnType::Time),
            "workflows" => ("flow", ColumnType::Text),
            _ => return Ok(0),
        };
        if !self.has_ids || is_of_programs {
            return Ok(0);
        }
        let key = &kind.table.columns[..kind.table.key];
        let columns: Vec<Column> = key.iter().copied().chain([since]).collect();
        let sql = format!(
            "SELECT {} FROM {} JOIN {} t ON {} WHERE t.has_given_id",
            prefixed("t", &columns),
            self.tx.dialect().batch(1, key),
            kind.table.name,
            same("t", "b", key),
        );
        let batch = batch_text(records.iter().map(|(_, record)| &record.row));
        let mut given = BTreeMap::new();
        for found in self.tx.rows(&sql, args![batch]).await? {
            let row = json_row(&found, &columns)?;
            given.insert(key_text(&row, key), told_since(&row, since.0));
        }
        let read = records.len();
        records.retain(|(entry, record)| {
            let Some(created_at) = given.get(&record.key()) else { return true };
            let is_same = match told_since(&record.row, since.0) {
                // A program was told milliseconds.
                Some(told) => created_at.is_some_and(|at| at.timestamp_millis() == told.timestamp_millis()),
                None => record.action == Action::Merge,
            };
            if !is_same {
                self.refused.push(Refusal { line: entry.line, problem: is_given(record), holder: None });
            }
            is_same
        });
        Ok(read - records.len())
    }
}

/// Since when a record is there, which its definition says of a workflow.
fn told_since(row: &Row, column: &str) -> Option<Time> {
    let text = row.get(column)?.as_str()?;
    match column {
        "flow" => parse_time(serde_json::from_str::<Value>(text).ok()?.get("createdAt")?.as_str()?),
        _ => parse_time(text),
    }
}

fn is_given(record: &Record) -> String {
    let id = record.key().rsplit('\u{1f}').next().unwrap_or_default().to_owned();
    format!(
        "id: {id} was given to a record that a program created at another time; an import may bring that one with its createdAt, and an activity with its timestamp"
    )
}
