//! Deletes by users: contacts and other records to the trash.

use serde::Serialize;

use super::{Error, Operations};
use crate::domain::counted::{counted, verb};
use crate::domain::object_type::CONTACT;
use crate::store::deletions::{self, Progress, Request};
use crate::store::records::{self, DeleteRequest};

/// What a delete did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    pub deletion_id: String,
    pub deleted: u64,
    pub skipped: u64,
    /// Each record with its trash entry; left out where many were confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<Entry>>,
    /// What one of the records is called in a sentence.
    #[serde(skip)]
    pub noun: &'static str,
}

/// A record that is in the trash now.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
pub enum Entry {
    Contact {
        contact_id: String,
        entry_id: String,
    },
    Record {
        /// As it is named: `deal:30`.
        record: String,
        entry_id: String,
    },
}

impl From<deletions::Deleted> for Deleted {
    fn from(done: deletions::Deleted) -> Self {
        let entry = |(id, entry_id): (i64, i64)| {
            let entry_id = entry_id.to_string();
            match done.object_type.as_str() {
                CONTACT => Entry::Contact { contact_id: id.to_string(), entry_id },
                other => Entry::Record { record: format!("{other}:{id}"), entry_id },
            }
        };
        Self {
            deletion_id: done.deletion_id.to_string(),
            deleted: done.deleted,
            skipped: done.skipped,
            entries: done.entries.map(|entries| entries.into_iter().map(entry).collect()),
            noun: deletions::noun(&done.object_type),
        }
    }
}

impl From<records::DeletedRecords> for Deleted {
    fn from(done: records::DeletedRecords) -> Self {
        let entries: Vec<Entry> = done
            .entries
            .iter()
            .map(|(key, entry_id)| Entry::Record { record: key.to_string(), entry_id: entry_id.to_string() })
            .collect();
        let (deletion_id, deleted) = (done.deletion_id.to_string(), entries.len() as u64);
        Self { deletion_id, deleted, skipped: 0, entries: Some(entries), noun: "record" }
    }
}

impl Operations {
    /// Puts records into the trash, as a user.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::delete`]; where it ended partway the message says how to resume.
    pub async fn delete(
        &self,
        request: &Request,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Deleted, Error> {
        let mut decided = 0;
        let deleted = self
            .store
            .delete(request, &mut |step| {
                if let Progress::Done(done) = step {
                    decided = done;
                }
                progress(step);
            })
            .await;
        match deleted {
            Ok(deleted) => Ok(deleted.into()),
            Err(error) if decided > 0 && !error.is_refusal() => Err(Error::Failed(format!(
                "{error}; {decided} of {} {} done, the same command goes on with the rest",
                counted(request.confirm, deletions::noun(&request.object_type)),
                verb(decided, "is", "are")
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts named records that are no contacts into the trash, as a user: all of them, or none.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::delete_records`].
    pub async fn delete_records(&self, request: &DeleteRequest) -> Result<Deleted, Error> {
        Ok(self.store.delete_records(request).await?.into())
    }
}
