//! Restores of records that are no contacts.

use serde::Serialize;

use super::{Error, Operations};
use crate::domain::object_type::RecordKey;
use crate::store::records::{self, RefusedRecord};

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
