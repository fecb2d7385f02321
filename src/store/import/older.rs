//! The order of records that come one by one.

use std::collections::HashSet;

use super::Numbered;
use super::chunk::{Chunk, Origin};
use super::write::{json_row, key_text, prefixed, same};
use crate::domain::record::{Column, ColumnType, Kind};
use crate::store::StoreError;
use crate::store::db::batch::batch_text;
use crate::store::db::values::args;

/// When a record was changed in the CRM.
const UPDATED: Column = ("updated_at", ColumnType::Time);

impl Chunk {
    /// Of the records queue, which may deliver a record late or again, one that is older than the stored row by its `updatedAt` is left
    /// out.
    pub(super) async fn leave_out_older(
        &mut self,
        kind: &Kind,
        records: &mut Vec<Numbered>,
    ) -> Result<(), StoreError> {
        let is_dated = kind.table.columns.contains(&UPDATED)
            && records.iter().any(|(_, record)| record.row.get(UPDATED.0).is_some_and(|it| !it.is_null()));
        if !matches!(self.origin, Origin::Queue) || !is_dated {
            return Ok(());
        }
        let key = &kind.table.columns[..kind.table.key];
        let columns: Vec<Column> = key.iter().copied().chain([UPDATED]).collect();
        let sql = format!(
            "SELECT {} FROM {} JOIN {} t ON {} WHERE t.updated_at > b.updated_at",
            prefixed("t", key),
            self.tx.dialect().batch(1, &columns),
            kind.table.name,
            same("t", "b", key),
        );
        let batch = batch_text(records.iter().map(|(_, record)| &record.row));
        let mut older = HashSet::new();
        for found in self.tx.rows(&sql, args![batch]).await? {
            older.insert(key_text(&json_row(&found, key)?, key));
        }
        let read = records.len();
        records.retain(|(_, record)| !older.contains(&record.key()));
        self.report.skipped += (read - records.len()) as u64;
        Ok(())
    }
}
