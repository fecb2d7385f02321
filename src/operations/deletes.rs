//! Deletes by users: contacts to the trash.

use serde::Serialize;

use super::{Error, Operations};
use crate::domain::counted::{counted, verb};
use crate::store::deletions::{self, Progress, Request};

/// What a delete did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    pub deletion_id: String,
    pub deleted: u64,
    pub skipped: u64,
    /// Each contact with its trash entry; left out where many were confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<Entry>>,
}

/// A contact that is in the trash now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub contact_id: String,
    pub entry_id: String,
}

impl From<deletions::Deleted> for Deleted {
    fn from(done: deletions::Deleted) -> Self {
        let entry = |(contact_id, entry_id): (i64, i64)| Entry {
            contact_id: contact_id.to_string(),
            entry_id: entry_id.to_string(),
        };
        Self {
            deletion_id: done.deletion_id.to_string(),
            deleted: done.deleted,
            skipped: done.skipped,
            entries: done.entries.map(|entries| entries.into_iter().map(entry).collect()),
        }
    }
}

impl Operations {
    /// Puts contacts into the trash, as a user.
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
                counted(request.confirm, "contact"),
                verb(decided, "is", "are")
            ))),
            Err(error) => Err(error.into()),
        }
    }
}
