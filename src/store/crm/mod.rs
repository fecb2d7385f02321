//! What the vendor's API reads and writes: records of every type by id, by address, page by page and by search; their creation and
//! changes, and what they are associated with, which enter as the records of an import do; and deletes by programs.

mod activities;
mod archive;
mod associate;
mod associations;
mod find;
mod properties;
mod read;
mod search;
mod write;

pub use archive::{Archive, Archived};
pub use associate::{AssociateRequest, AssociationChange, ToBe, Unassociated};
pub use associations::{Associated, AssociatedPage, Between, Pair};
pub use read::{PageRequest, RecordRef, StoredRecord, StoredVersion};
pub use search::{Condition, Matches, Operator, Search};
pub use write::{Change, NewAssociation, Problem, PropertyProblem, Target, WriteRequest, Written};
