//! Import: records into the store, beside the running service.
//!
//! A file is [checked](mod@check) whole before its first row is written: a mistake anywhere means that nothing of it is
//! imported. Then it is applied kind after kind, whatever the order of its lines, in chunks of about a second, each a
//! transaction of its own. Interrupted, the same import goes on: rows that are as they should be are not written again.
//!
//! Each chunk sees which contacts were erased, purged, deleted and restored meanwhile, and [`filter`] drops or changes what
//! must not come in. [`former`] keeps what contacts were, and until the import has come to its [end](unfinished) no enrollment of
//! a contact that it wrote is decided. It never changes the state of a contact that exists; a new one that is archived arrives in the trash.

mod announce;
mod apply;
mod check;
mod chunk;
mod erased;
mod filter;
mod former;
mod given_ids;
pub(super) mod ids;
mod index;
mod learn;
mod marks;
mod members;
mod older;
pub(super) mod receive;
mod sorter;
mod source;
mod unfinished;
mod write;
pub(super) mod writer;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::db::Tx;
use super::db::batch::{CONTACT, Lists};
use super::db::values::args;
use super::{Store, StoreError};
use crate::domain::record::Record;
use crate::domain::time::Time;
use apply::Apply;
use check::check;
use serde::Serialize;
use source::Entry;
pub use source::Source;

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Records stored, new or again.
    pub imported: u64,
    /// Records of erased or purged contacts, and records that an erasure deleted, left out.
    pub skipped: u64,
    /// Records in which addresses of erased people were redacted.
    pub redacted: u64,
    /// Rows that records of the kind `remove` took away.
    pub removed: u64,
    /// Properties that were stored and that the records which replaced them do not have.
    pub dropped_properties: u64,
    /// Other imports that have begun and are not complete: enrollments of their contacts wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unfinished_imports: Option<u64>,
    /// Records stored, by kind.
    pub kinds: BTreeMap<&'static str, u64>,
}

impl ImportReport {
    fn add(&mut self, other: Self) {
        self.imported += other.imported;
        self.skipped += other.skipped;
        self.redacted += other.redacted;
        self.removed += other.removed;
        self.dropped_properties += other.dropped_properties;
        for (kind, records) in other.kinds {
            *self.kinds.entry(kind).or_default() += records;
        }
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    /// Bytes checked, or records applied.
    pub done: u64,
    pub all: u64,
}

/// What an import is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Check,
    Apply,
}

/// How much room an import leaves to others.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A chunk takes about so long, and others wait for its locks no longer.
    pub chunk: Duration,
    /// Between two chunks on SQLite, whose one write lock other processes look for every 100 ms.
    pub rest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { chunk: Duration::from_secs(1), rest: Duration::from_millis(120) }
    }
}

/// An import to be made.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    pub source: &'a Source,
    /// Who imports, for the audit.
    pub operator: &'a str,
    pub pace: Pace,
    /// At its end imports that were interrupted count as finished too.
    pub ends_others: bool,
}

impl Store {
    /// Imports records. `progress` is called between transactions with how far it is.
    ///
    /// # Errors
    ///
    /// Refused: the first mistake of the file, by line and member; nothing of it was imported then. Or the lines that could
    /// not be imported because of what others wrote meanwhile; the rest was imported.
    pub async fn import(
        &self,
        import: Import<'_>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, StoreError> {
        let checked = check(self, import.source, progress).await?;
        Apply::new(self, import, checked).run(progress).await
    }
}

/// A record, and where it stands.
type Numbered = (Entry, Record);

/// A record that was not written.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Of the file, or the position in a request.
    pub line: u64,
    pub problem: String,
    /// The live contact that holds one of its addresses, where that is the problem.
    pub holder: Option<i64>,
}

/// The state of a contact that is not gone.
#[derive(Clone, Copy, Debug)]
struct State {
    is_in_trash: bool,
    restored_at: Option<Time>,
}

/// Those of the contacts for which a clause holds.
async fn pairs_where(
    tx: &mut Tx,
    clause: &str,
    contacts: &BTreeSet<(i64, i64)>,
) -> Result<Vec<(i64, i64)>, StoreError> {
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT b.account_id, b.contact_id FROM {} {clause}", tx.dialect().ids(1, &CONTACT));
    let rows = tx.rows(&sql, args![ids(contacts)]).await?;
    rows.iter().map(|row| Ok((row.int("account_id")?, row.int("contact_id")?))).collect()
}

fn ids(contacts: &BTreeSet<(i64, i64)>) -> Lists {
    Lists::ids(contacts.iter().map(|(account_id, contact_id)| [*account_id, *contact_id]))
}

/// Which of these contacts were erased or purged.
async fn gone_of(tx: &mut Tx, contacts: &BTreeSet<(i64, i64)>) -> Result<HashSet<(i64, i64)>, StoreError> {
    let gone = "JOIN gone_contacts g ON g.account_id = b.account_id AND g.contact_id = b.contact_id";
    Ok(pairs_where(tx, gone, contacts).await?.into_iter().collect())
}

/// Which of these contacts were erased, or purged.
async fn gone_as(
    tx: &mut Tx,
    contacts: &BTreeSet<(i64, i64)>,
    state: &str,
) -> Result<HashSet<(i64, i64)>, StoreError> {
    let gone = format!(
        "JOIN gone_contacts g ON g.account_id = b.account_id AND g.contact_id = b.contact_id AND g.state = '{state}'"
    );
    Ok(pairs_where(tx, &gone, contacts).await?.into_iter().collect())
}

/// The state of those of these contacts that are there, locked as `lock` says.
async fn states(
    tx: &mut Tx,
    contacts: &BTreeSet<(i64, i64)>,
    lock: &str,
) -> Result<HashMap<(i64, i64), State>, StoreError> {
    if contacts.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT c.account_id, c.contact_id, c.deleted_at, c.restored_at FROM {} \
         JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
         ORDER BY c.account_id, c.contact_id{lock}",
        tx.dialect().ids(1, &CONTACT)
    );
    let mut states = HashMap::with_capacity(contacts.len());
    for row in tx.rows(&sql, args![ids(contacts)]).await? {
        let state = State {
            is_in_trash: row.optional_time("deleted_at")?.is_some(),
            restored_at: row.optional_time("restored_at")?,
        };
        states.insert((row.int("account_id")?, row.int("contact_id")?), state);
    }
    Ok(states)
}

/// The addresses that records bring, whether they are a contact's or stand alone.
fn addresses_in(records: &[Numbered]) -> Vec<(i64, String)> {
    let rows = records.iter().flat_map(|(_, record)| record.links.iter().chain([&record.row]));
    rows.filter_map(|row| {
        Some((row.get("account_id")?.as_i64()?, row.get("email_key")?.as_str()?.to_owned()))
    })
    .collect()
}
