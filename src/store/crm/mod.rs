//! What the vendor's API reads and writes: records of every type by id, by address, page by page and by search; their creation and
//! changes, which enter as the records of an import do; and deletes by programs.

mod archive;
mod find;
mod properties;
mod read;
mod search;
mod write;

pub use archive::{Archive, Archived};
pub use read::{PageRequest, RecordRef, StoredRecord, StoredVersion};
pub use search::{Condition, Matches, Operator, Search};
pub use write::{Change, Problem, PropertyProblem, Target, WriteRequest, Written};
