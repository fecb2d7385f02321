//! Records that a program or the records queue writes: the steps of an import in one transaction, and nothing that waits for the rest
//! of a file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chunk::{Chunk, Origin, has_erasures};
use super::ids;
use super::sorter::Sorter;
use super::source::{Entry, temporary_failed};
use super::{ImportReport, Refusal};
use crate::domain::record::Record;
use crate::domain::time::Time;
use crate::store::db::Tx;
use crate::store::db::locks::lock_imports_and_removals;
use crate::store::{Store, StoreError};

/// An open transaction.
pub(in crate::store) struct Writer(Chunk);

/// Does a program's work in a transaction of its own, again where another was in the way; a macro for the reason of
/// [`transaction`](crate::store::transaction).
macro_rules! by_program {
    ($store:expr, $token_id:expr, $writer:ident => $work:expr) => {{
        let mut tries = 0;
        loop {
            let mut writer = $crate::store::import::writer::Writer::begin($store, $token_id).await?;
            let $writer = &mut writer;
            let work = $work.await;
            match writer.end(work).await {
                Err(error) if $crate::store::should_retry(&error, tries) => {
                    tries += 1;
                    $crate::store::retry_delay(tries).await;
                }
                done => break done,
            }
        }
    }};
}
pub(in crate::store) use by_program;

impl Writer {
    /// Begins the transaction of a program, for which imports and removals wait.
    pub async fn begin(store: &Store, token_id: i64) -> Result<Self, StoreError> {
        Self::open(store, Origin::Program { token_id }).await
    }

    pub(super) async fn open(store: &Store, origin: Origin) -> Result<Self, StoreError> {
        let readdressed = Arc::new(Sorter::new().finish().map_err(temporary_failed)?);
        let mut tx = store.db.begin().await?;
        let (now, has_erasures, has_ids) = match begin(&mut tx, origin).await {
            Ok(begun) => begun,
            Err(error) => return tx.rollback(Err(error)).await,
        };
        Ok(Self(Chunk {
            tx,
            now,
            origin,
            hash_keys: store.hash_key_home().clone(),
            has_erasures,
            has_ids,
            changed: store.record_changes.then(std::collections::BTreeMap::new),
            readdressed,
            pieces: Vec::new(),
            report: ImportReport::default(),
            refused: Vec::new(),
            tables: std::collections::BTreeSet::new(),
            done: 0,
            began: Instant::now(),
            time: Duration::MAX,
        }))
    }

    pub fn tx(&mut self) -> &mut Tx {
        &mut self.0.tx
    }

    /// When the transaction began, by the database's clock.
    pub fn now(&self) -> Time {
        self.0.now
    }

    /// Writes records of one kind, none of which has the key of another, each with its position in the request. Those that were not
    /// written.
    pub async fn write(&mut self, records: Vec<(u64, Record)>) -> Result<Vec<Refusal>, StoreError> {
        let mut readdressed = Sorter::new();
        for (_, record) in records.iter().filter(|(_, record)| record.names_addresses.primary) {
            for contact_id in &record.contacts {
                readdressed.push([record.account_id, *contact_id]).map_err(temporary_failed)?;
            }
        }
        self.0.readdressed = Arc::new(readdressed.finish().map_err(temporary_failed)?);
        let mut contested = Sorter::new();
        let numbered = records.into_iter().map(|(line, record)| (Entry { line, ..Entry::default() }, record));
        self.0.apply_records(numbered.collect(), 0, &mut contested).await?;
        let contested = contested.finish().map_err(temporary_failed)?.rows().collect::<Result<Vec<_>, _>>();
        self.0.claim_again(&contested.map_err(temporary_failed)?).await?;
        Ok(std::mem::take(&mut self.0.refused))
    }

    /// Writes records of one kind, all of them.
    ///
    /// # Errors
    ///
    /// Refused where one cannot be written.
    pub async fn write_all(&mut self, records: Vec<Record>) -> Result<(), StoreError> {
        match self.write((0..).zip(records).collect()).await?.into_iter().next() {
            Some(refusal) => Err(StoreError::Refused(refusal.problem)),
            None => Ok(()),
        }
    }

    /// Makes records members of a static segment, beside those that are.
    pub async fn add_members(
        &mut self,
        account_id: i64,
        segment_id: i64,
        is_of_contacts: bool,
        ids: &[i64],
    ) -> Result<(), StoreError> {
        self.0.add_members(account_id, segment_id, is_of_contacts, ids).await
    }

    /// What was written and left out so far.
    pub fn report(&self) -> &ImportReport {
        &self.0.report
    }

    /// Commits where the work succeeded, rolls back where it failed.
    pub async fn end<T>(self, work: Result<T, StoreError>) -> Result<T, StoreError> {
        self.0.tx.commit_or_rollback(work).await
    }

    /// Takes back what was done.
    pub async fn take_back<T>(self, work: T) -> Result<T, StoreError> {
        self.0.tx.rollback(Ok(work)).await
    }
}

async fn begin(tx: &mut Tx, origin: Origin) -> Result<(Time, bool, bool), StoreError> {
    let (now, has_erasures) = (lock_imports_and_removals(tx).await?, has_erasures(tx).await?);
    // A program gets ids itself.
    let has_ids = matches!(origin, Origin::Program { .. }) || ids::are_given(tx).await?;
    Ok((now, has_erasures, has_ids))
}
