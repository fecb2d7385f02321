//! Deletes and restores of records that are no contacts.

use serde::Serialize;

use super::{Error, Operations};
use crate::domain::object_type::RecordKey;
use crate::store::records::{self, DeleteRequest, RefusedRecord};

/// What a delete of records did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletedRecords {
    pub deletion_id: String,
    pub deleted: u64,
    pub skipped: u64,
    /// Each record with its trash entry.
    pub entries: Vec<RecordEntry>,
}

/// A record that is in the trash now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordEntry {
    /// As it is named: `deal:30`.
    pub record: String,
    pub entry_id: String,
}

/// What a restore of records did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RestoredRecords {
    /// As they are named: `deal:30`.
    pub restored: Vec<String>,
    pub refused: Vec<Refused>,
}

/// A record that does not come back, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    pub record: String,
    pub reason: &'static str,
    pub message: String,
}

impl From<RefusedRecord> for Refused {
    fn from(RefusedRecord { key, reason, message }: RefusedRecord) -> Self {
        Self { record: key.to_string(), reason, message }
    }
}

impl From<records::RestoredRecords> for RestoredRecords {
    fn from(done: records::RestoredRecords) -> Self {
        Self {
            restored: done.restored.iter().map(ToString::to_string).collect(),
            refused: done.refused.into_iter().map(Refused::from).collect(),
        }
    }
}

impl RestoredRecords {
    /// Adds what a later batch did.
    pub(super) fn add(&mut self, later: Self) {
        self.restored.extend(later.restored);
        self.refused.extend(later.refused);
    }
}

impl Operations {
    /// Puts records into the trash, as a user: all of them, or none.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::delete_records`].
    pub async fn delete_records(&self, request: &DeleteRequest) -> Result<DeletedRecords, Error> {
        let done = self.store.delete_records(request).await?;
        let entry = |(key, entry_id): (RecordKey, i64)| RecordEntry {
            record: key.to_string(),
            entry_id: entry_id.to_string(),
        };
        Ok(DeletedRecords {
            deletion_id: done.deletion_id.to_string(),
            deleted: done.entries.len() as u64,
            skipped: 0,
            entries: done.entries.into_iter().map(entry).collect(),
        })
    }

    /// What a restore of records would do; writes nothing.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::restore_records`].
    pub async fn preview_restore_of_records(
        &self,
        account_id: i64,
        user: &str,
        records: &[RecordKey],
    ) -> Result<RestoredRecords, Error> {
        Ok(self.store.preview_restore_of_records(account_id, user, records).await?.into())
    }

    /// Brings records back from the trash, as a user; each is restored or refused by itself.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::restore_records`].
    pub async fn restore_records(
        &self,
        account_id: i64,
        user: &str,
        records: &[RecordKey],
    ) -> Result<RestoredRecords, Error> {
        Ok(self.store.restore_records(account_id, user, records).await?.into())
    }
}
