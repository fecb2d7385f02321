//! What the vendor's API reads and writes: records of every type by id, by address, page by page and by search; their creation and
//! changes, and what they are associated with, which enter as the records of an import do; and deletes by programs.

mod activities;
mod archive;
mod associate;
mod associations;
mod find;
mod flows;
mod lists;
mod preferences;
mod properties;
mod read;
mod search;
mod write;

pub use archive::{Archive, Archived};
pub use associate::{AssociateRequest, AssociationChange, ToBe, Unassociated};
pub use associations::{Associated, AssociatedPage, Between, Pair};
pub use flows::{FlowProblem, StoredFlow};
pub use lists::{ListQuery, MemberPage, MembersChanged, Membership, StoredList};
pub use preferences::Subscription;
pub use read::{PageRequest, RecordRef, StoredRecord, StoredVersion};
pub use search::{Condition, Matches, Operator, Search};
pub use write::{Change, NewAssociation, Problem, PropertyProblem, Target, WriteRequest, Written};

use serde_json::Value;

use crate::domain::record::{Record, record_of};
use crate::store::StoreError;

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub struct Writing {
    pub account_id: i64,
    pub token_id: i64,
    /// Whose token it is.
    pub user_id: i64,
}

/// A record as an import would bring it.
///
/// # Errors
///
/// Refused where it cannot be stored.
fn read_record(record: &Value) -> Result<Record, StoreError> {
    record_of(record).map_err(|fault| StoreError::Refused(fault.to_string()))
}
