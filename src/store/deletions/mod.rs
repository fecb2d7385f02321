//! Deletes by people. One contact goes in one transaction. Many, and records of other types by a segment or a filter, are
//! selected first: their ids are frozen under the id of the deletion ([`select`]), and nothing is deleted unless they are as
//! many as the person confirmed. Then they go in batches, each in a transaction that looks at every record once more
//! ([`batches`]). Whatever ends the process in between, the same command goes on where it stopped. [`of_type`] is what
//! contacts and other records do not have in common.

mod batches;
mod of_type;
mod one;
mod pages;
mod preview;
mod programs;
mod resume;
mod select;

use std::collections::BTreeSet;

pub(super) use of_type::put_into_trash;
pub use programs::{Program, ProgramGuard};

use super::db::Tx;
use super::db::values::args;
use super::{Store, StoreError, count_by_user, read_transaction, transaction};
use crate::domain::criteria::Filter;
use crate::domain::effects::Transition;
use crate::domain::object_type::CONTACT;
use crate::domain::permission::Scope;
use crate::domain::time::Time;

/// Up to so many records an answer lists each with its trash entry.
pub const LISTED: u64 = 1000;

/// What a person wants deleted.
#[derive(Clone, Debug)]
pub struct Request {
    pub account_id: i64,
    /// Who deletes, by id or address.
    pub user: String,
    /// The one name of the type of the records. Where a segment is deleted, the type of its members takes its place.
    pub object_type: String,
    pub selection: Selection,
    /// How many records that person expects to lose.
    pub confirm: u64,
}

/// Which records.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Contacts picked by id; with a segment they must be its members.
    Picked { contacts: BTreeSet<i64>, segment_id: Option<i64> },
    /// The members of a segment.
    Segment(i64),
    /// What a filter accepts.
    Filter(Box<Filter>),
}

impl Selection {
    /// The only contact, where it was named by its id and nothing else.
    fn only(&self) -> Option<i64> {
        match self {
            Self::Picked { contacts, segment_id: None } if contacts.len() == 1 => contacts.first().copied(),
            _ => None,
        }
    }

    fn segment_id(&self) -> Option<i64> {
        match self {
            Self::Picked { segment_id, .. } => *segment_id,
            Self::Segment(segment_id) => Some(*segment_id),
            Self::Filter(_) => None,
        }
    }

    /// As its record names it.
    fn kind(&self) -> &'static str {
        match self {
            _ if self.only().is_some() => "one",
            Self::Picked { .. } => "picked",
            Self::Segment(_) => "segment",
            Self::Filter(_) => "filter",
        }
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    pub deletion_id: i64,
    /// The type of the records.
    pub object_type: String,
    pub deleted: u64,
    /// Records that were selected, and no longer were when their turn came.
    pub skipped: u64,
    /// Each record with its trash entry; `None` where more than [`LISTED`] were confirmed.
    pub entries: Option<Vec<(i64, i64)>>,
}

/// How far a delete of many is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many records are selected by now.
    Selected(u64),
    /// So many had their turn.
    Done(u64),
}

impl Store {
    /// Puts records into the trash, as a user. A delete of many that was interrupted goes on where it stopped.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, a wrong count, a picked contact that is not live, a filter that leaves
    /// a record open. Then nothing was deleted. Where the database fails during the batches, the rest is still to be deleted.
    pub async fn delete(
        &self,
        request: &Request,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Deleted, StoreError> {
        if let Some(contact_id) = request.selection.only() {
            let deleted = transaction!(self, tx => one::delete(tx, request, contact_id))?;
            count_by_user(Transition::Trash, 1);
            return Ok(deleted);
        }
        let request = &self.with_type(request).await?;
        let (user_id, deletion_id) = self.select(request, progress).await?;
        let (deleted, skipped) = self.carry_out(request, user_id, deletion_id, progress).await?;
        let entries = match request.confirm {
            ..=LISTED => Some(read_transaction!(self, tx => of_type::entries(tx, request, deletion_id))?),
            _ => None,
        };
        Ok(Deleted { deletion_id, object_type: request.object_type.clone(), deleted, skipped, entries })
    }

    /// The request about records of the type that the members of its segment have.
    async fn with_type(&self, request: &Request) -> Result<Request, StoreError> {
        let mut request = request.clone();
        if let Selection::Segment(segment_id) = request.selection {
            let of_members =
                read_transaction!(self, tx => of_type::type_of_segment(tx, request.account_id, segment_id))?;
            request.object_type = of_members.unwrap_or(request.object_type);
        }
        Ok(request)
    }

    /// Puts one live contact into the trash, as a user.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, a contact that is not live.
    pub async fn delete_contact(
        &self,
        account_id: i64,
        user: &str,
        contact_id: i64,
    ) -> Result<Deleted, StoreError> {
        let selection = Selection::Picked { contacts: [contact_id].into(), segment_id: None };
        let (user, object_type) = (user.to_owned(), CONTACT.to_owned());
        let request = Request { account_id, user, object_type, selection, confirm: 1 };
        self.delete(&request, &mut |_| ()).await
    }
}

/// What a record of this type is called in a sentence.
pub fn noun(object_type: &str) -> &'static str {
    if object_type == CONTACT { "contact" } else { "record" }
}

/// The permission that a selection takes.
fn scope(selection: &Selection) -> Scope {
    if selection.only().is_some() { Scope::One } else { Scope::Many }
}

/// Begins the record of a deletion; its id.
async fn begin(tx: &mut Tx, request: &Request, user_id: i64, at: Time) -> Result<i64, StoreError> {
    let confirmed = i64::try_from(request.confirm).unwrap_or(i64::MAX);
    let row = tx
        .row(
            "INSERT INTO deletions \
             (account_id, user_id, object_type, kind, segment_id, confirmed, deleted, skipped, started_at, active_at) \
             VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, $7) RETURNING deletion_id",
            args![
                request.account_id,
                user_id,
                request.object_type.as_str(),
                request.selection.kind(),
                request.selection.segment_id(),
                confirmed,
                at
            ],
        )
        .await?;
    row.ok_or_else(|| StoreError::Failed("a deletion got no id".to_owned()))?.int("deletion_id")
}
