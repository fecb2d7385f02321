//! One transaction of an import: as many pieces as fit into its time. Others wait for its locks no longer than that, and it
//! waits for theirs only while it holds next to none.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ids;
use super::sorter::{Sorted, Sorter};
use super::source::{Entry, Source};
use super::unfinished::{self, Identity, ImportSource};
use super::{ImportReport, Numbered, Refusal};
use crate::domain::record::{Action, Record, parse_record};
use crate::domain::time::Time;
use crate::store::access::audit::{self, Actor};
use crate::store::db::Tx;
use crate::store::db::dialect::Dialect;
use crate::store::db::locks::lock_imports_and_removals;
use crate::store::{HashKeySource, Store, StoreError};

/// What is applied at once.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Records of one kind; of segments so many pieces of their members are done.
    Records { entries: Vec<Entry>, members_done: usize },
    /// Contacts, each with its line, with addresses that other contacts of the file held when they came.
    Claims(Vec<[i64; 3]>),
}

/// Where records come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// A file: until its end its contacts are marked.
    Import(Identity),
    /// A program that showed this token: its records are complete by themselves.
    Program { token_id: i64 },
    /// The records queue: as an import, with records that are complete by themselves.
    Queue,
}

impl Origin {
    pub fn import(self) -> Option<Identity> {
        match self {
            Self::Import(identity) => Some(identity),
            Self::Program { .. } | Self::Queue => None,
        }
    }
}

/// An open transaction, and what it did.
pub(super) struct Chunk {
    pub tx: Tx,
    pub now: Time,
    pub origin: Origin,
    pub hash_keys: HashKeySource,
    /// Does the store have an erasure?
    pub has_erasures: bool,
    /// Has a program ever got an id for a new record?
    pub has_ids: bool,
    /// The properties of contacts that change, by account and contact; `None`: changes are not announced.
    pub changed: Option<BTreeMap<(i64, i64), BTreeSet<String>>>,
    /// The contacts whose addresses the file replaces.
    pub readdressed: Arc<Sorted<2>>,
    pub pieces: Vec<Piece>,
    pub report: ImportReport,
    pub refused: Vec<Refusal>,
    pub tables: BTreeSet<&'static str>,
    /// Records read.
    pub done: u64,
    pub(super) began: Instant,
    pub(super) time: Duration,
}

async fn begin(
    tx: &mut Tx,
    source: &ImportSource,
    begun: Option<i64>,
) -> Result<(Time, Identity, bool, bool), StoreError> {
    let now = lock_imports_and_removals(tx).await?;
    let identity = unfinished::begin(tx, source, begun, now).await?;
    Ok((now, identity, has_erasures(tx).await?, ids::are_given(tx).await?))
}

/// Is there an erasure to be kept? Most stores have none, and texts need not be looked through.
pub(super) async fn has_erasures(tx: &mut Tx) -> Result<bool, StoreError> {
    Ok(tx.row("SELECT 1 AS one FROM erasures LIMIT 1", &[]).await?.is_some())
}

impl Chunk {
    pub async fn begin(
        store: &Store,
        source: &ImportSource,
        begun: Option<i64>,
        readdressed: Arc<Sorted<2>>,
        time: Duration,
    ) -> Result<Self, StoreError> {
        let mut tx = store.db.begin().await?;
        let (now, identity, has_erasures, has_ids) = match begin(&mut tx, source, begun).await {
            Ok(begun) => begun,
            Err(error) => return tx.commit_or_rollback(Err(error)).await,
        };
        Ok(Self {
            tx,
            now,
            origin: Origin::Import(identity),
            hash_keys: store.hash_key_home().clone(),
            has_erasures,
            has_ids,
            changed: store.record_changes.then(BTreeMap::new),
            readdressed,
            pieces: Vec::new(),
            report: ImportReport::default(),
            refused: Vec::new(),
            tables: BTreeSet::new(),
            done: 0,
            began: Instant::now(),
            time,
        })
    }

    /// Is its time up?
    pub fn is_full(&self) -> bool {
        self.began.elapsed() >= self.time
    }

    /// What follows can be taken back by itself. From here on it waits for the locks of others less long than it takes
    /// PostgreSQL to look for a deadlock, so that it is never another transaction that has to give way.
    pub async fn savepoint(&mut self) -> Result<(), StoreError> {
        let script = match (self.pieces.len(), self.tx.dialect()) {
            (1, Dialect::Postgres) => "SET LOCAL lock_timeout = '300ms'; SAVEPOINT piece",
            (1, Dialect::Sqlite) => "SAVEPOINT piece",
            _ => "RELEASE SAVEPOINT piece; SAVEPOINT piece",
        };
        self.tx.script(script).await
    }

    /// Takes back what was done since the savepoint.
    pub async fn roll_back_to_savepoint(&mut self) -> Result<(), StoreError> {
        self.tx.script("ROLLBACK TO SAVEPOINT piece").await
    }

    /// Applies a piece. What is left of it, where there was no time for all of its members.
    pub async fn apply(
        &mut self,
        piece: &Piece,
        records: Vec<Numbered>,
        contested: &mut Sorter<3>,
    ) -> Result<Option<Piece>, StoreError> {
        match piece {
            Piece::Claims(claims) => self.claim_again(claims).await.map(|()| None),
            Piece::Records { entries, members_done } => {
                let rest = self.apply_records(records, *members_done, contested).await?;
                Ok(rest.map(|members_done| Piece::Records { entries: entries.clone(), members_done }))
            }
        }
    }

    /// Applies records of one kind, none of which has the key of another. From which piece of their members it has to go on, where
    /// there was no time for all.
    pub(super) async fn apply_records(
        &mut self,
        records: Vec<Numbered>,
        members_done: usize,
        contested: &mut Sorter<3>,
    ) -> Result<Option<usize>, StoreError> {
        let (removals, mut records): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|(_, record)| record.action == Action::Remove);
        // Members of segments are in one of two tables.
        for removals in removals.chunk_by(|one, next| one.1.kind.table.name == next.1.kind.table.name) {
            if let Some((_, first)) = removals.first() {
                self.remove(first.kind, removals, &mut records).await?;
            }
        }
        let Some((_, first)) = records.first() else { return Ok(None) };
        let kind = first.kind;
        if members_done == 0 {
            self.write(kind, &mut records, contested).await?;
        }
        if kind.name == "segment" { self.write_members(&records, members_done).await } else { Ok(None) }
    }

    /// Claims addresses that other contacts of the file have given up by now. One that has not was given it by another transaction.
    pub(super) async fn claim_again(&mut self, claims: &[[i64; 3]]) -> Result<(), StoreError> {
        let claims = claims
            .iter()
            .map(|[account_id, contact_id, line]| ((*account_id, *contact_id), line.unsigned_abs()));
        let held = self.claim_addresses(&claims.collect(), false).await?;
        self.drop_held_addresses(held.keys().map(|(contact, _)| *contact)).await?;
        self.refused.extend(held.into_iter().map(|(((_, contact_id), line), holder)| Refusal {
            line,
            problem: super::check::claims_held_address(contact_id, holder),
            holder: Some(holder),
        }));
        Ok(())
    }

    /// Writes the audit and commits.
    pub async fn commit(&mut self, operator: &str) -> Result<(), StoreError> {
        let actor = Actor::Operator(operator.to_owned());
        let count = i64::try_from(self.report.imported + self.report.removed).unwrap_or(i64::MAX);
        audit::write(&mut self.tx, self.now, 0, &actor, "import", &[], count).await
    }
}

/// Reads the records of a piece up to the first one whose key one before it has: of several the last one wins, so each has its
/// own piece. The entries of those that are left.
pub(super) fn read_piece(
    source: &Source,
    entries: &mut Vec<Entry>,
) -> Result<(Vec<Numbered>, Vec<Entry>), StoreError> {
    let mut keys = HashSet::with_capacity(2 * entries.len());
    let mut records: Vec<Numbered> = Vec::with_capacity(entries.len());
    for entry in entries.iter() {
        let record = read_record(source, entry)?;
        if !add_key(&mut keys, &record) {
            break;
        }
        records.push((*entry, record));
    }
    let left = entries.split_off(records.len());
    Ok((records, left))
}

fn read_record(source: &Source, entry: &Entry) -> Result<Record, StoreError> {
    let line = source.line(entry).ok();
    let record = line.as_deref().and_then(|line| std::str::from_utf8(line).ok()).map(parse_record);
    record.and_then(Result::ok).ok_or_else(|| {
        StoreError::Refused(format!(
            "line {}: is not what it was when the file was checked: do not change a file while it is imported; import it \
             again",
            entry.line
        ))
    })
}

/// Remembers a key; `false` where its record must not be applied together with one before it.
pub(super) fn add_key(keys: &mut HashSet<String>, record: &Record) -> bool {
    let key = record.key();
    if record.is_membership() {
        let segment = record.key_of(2);
        let has_members = format!("members of {segment}");
        if keys.contains(&segment) {
            return false;
        }
        keys.insert(has_members);
    } else if keys.contains(&format!("members of {key}")) {
        return false;
    }
    keys.insert(key)
}
