//! The second pass: piece after piece in the order of kinds, in chunks.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::check::Checked;
use super::chunk::{Chunk, Piece, read_piece};
use super::index::{Cursor, Index};
use super::sorter::{Sorted, Sorter};
use super::source::{Entry, temporary_failed};
use super::unfinished::{self, ImportSource};
use super::{Import, ImportReport, Phase, Progress, Refusal};
use crate::domain::batch_size::AdaptiveBatchSize;
use crate::domain::counted::{counted, verb};
use crate::domain::record::stages;
use crate::store::db::Tx;
use crate::store::db::dialect::Dialect;
use crate::store::{Store, StoreError, transaction};

/// The most records, and bytes of them, that travel in one statement.
const MAX_PIECE: u32 = 500;
const MAX_PIECE_BYTES: u64 = 1 << 20;
/// How long a piece may take.
const TARGET_PIECE_TIME: Duration = Duration::from_millis(250);
/// How often a chunk that met other transactions is tried again.
const MAX_TRIES: u32 = 10;
/// After so many records the tables are no longer those that PostgreSQL knows.
const ANALYZE_AFTER: u64 = 2_000;
/// So many of the records that were not imported are named.
const MAX_NAMED: usize = 10;

/// An import whose file was checked.
pub(super) struct Apply<'a> {
    store: &'a Store,
    import: Import<'a>,
    /// By which the same import is known again, and the accounts of its records.
    source: ImportSource,
    /// The id under which a chunk of it was committed.
    begun: Option<i64>,
    index: Index,
    records: u64,
    readdressed: Arc<Sorted<2>>,
    cursor: Cursor,
    /// An entry that was read and did not fit into the last piece.
    next: Option<Entry>,
    /// What comes before that: pieces that were begun, or are to be applied again.
    first: VecDeque<Piece>,
    /// So many of them are applied alone, because one of a chunk that they were in cannot be stored.
    alone: usize,
    /// Contacts that are to claim their addresses again when all contacts are there.
    contested: Sorter<3>,
    size: AdaptiveBatchSize,
    tries: u32,
    report: ImportReport,
    refused: Vec<Refusal>,
    count_refused: u64,
    /// The tables that were written.
    tables: BTreeSet<&'static str>,
    /// With so many records PostgreSQL is to look at the tables again.
    analyze_at: u64,
    /// Records read.
    done: u64,
}

impl<'a> Apply<'a> {
    pub fn new(store: &'a Store, import: Import<'a>, checked: Checked) -> Self {
        let Checked { index, records, readdressed, accounts, source_hash } = checked;
        Self {
            store,
            import,
            source: ImportSource { hash: source_hash, accounts },
            begun: None,
            index,
            records,
            readdressed: Arc::new(readdressed),
            cursor: Cursor::default(),
            next: None,
            first: VecDeque::new(),
            alone: 0,
            contested: Sorter::new(),
            size: AdaptiveBatchSize::new(MAX_PIECE, TARGET_PIECE_TIME),
            tries: 0,
            report: ImportReport::default(),
            refused: Vec::new(),
            count_refused: 0,
            tables: BTreeSet::new(),
            analyze_at: ANALYZE_AFTER,
            done: 0,
        }
    }

    pub async fn run(
        mut self,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<ImportReport, StoreError> {
        let mut rest = Duration::ZERO;
        while let Some(piece) = self.next_piece()? {
            tokio::time::sleep(rest).await;
            if self.store.db.dialect() == Dialect::Sqlite {
                rest = self.import.pace.rest;
            }
            self.chunk(piece).await?;
            if self.report.imported >= self.analyze_at {
                self.analyze_at = 4 * self.report.imported;
                self.analyze().await?;
            }
            progress(Progress { phase: Phase::Apply, done: self.done, all: self.records });
        }
        if self.report.imported >= ANALYZE_AFTER {
            self.analyze().await?;
        }
        self.finish().await
    }

    async fn finish(mut self) -> Result<ImportReport, StoreError> {
        if self.count_refused == 0 {
            let left = self.end().await?;
            self.report.unfinished_imports = (left > 0).then_some(left);
            return Ok(self.report);
        }
        self.refused.sort_by_key(|refusal| refusal.line);
        let lines =
            self.refused.iter().map(|Refusal { line, problem, .. }| format!("line {line}: {problem}"));
        let mut lines: Vec<String> = lines.collect();
        let more = self.count_refused - lines.len() as u64;
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        Err(StoreError::Refused(format!(
            "{} {} imported, and {} could not be: {}; what was written meanwhile is in their way; mend that and \
             import the file again, or mend them and import with --end-unfinished",
            counted(self.report.imported, "record"),
            verb(self.report.imported, "was", "were"),
            self.count_refused,
            lines.join("; ")
        )))
    }

    /// Marks the import as finished; how many others are not.
    async fn end(&mut self) -> Result<u64, StoreError> {
        loop {
            let (hash, ends_others) = (&self.source.hash, self.import.ends_others);
            match transaction!(self.store, tx => unfinished::end(tx, hash, ends_others)) {
                Err(error) => self.wait(error).await?,
                ended => return ended,
            }
        }
    }

    /// The next piece, in the order of kinds; `None` at the end.
    fn next_piece(&mut self) -> Result<Option<Piece>, StoreError> {
        loop {
            if let Some(piece) = self.first.pop_front() {
                return Ok(Some(piece));
            }
            let entries = self.next_entries().map_err(temporary_failed)?;
            if !entries.is_empty() {
                return Ok(Some(Piece::Records { entries, members_done: 0 }));
            }
            // All contacts are there: those that hand an address on to another one have done so.
            let contested = std::mem::replace(&mut self.contested, Sorter::new());
            self.claim_again(&contested.finish().map_err(temporary_failed)?)?;
            if self.first.is_empty() {
                if self.cursor.stage >= stages() {
                    return Ok(None);
                }
                self.cursor.next_stage();
            }
        }
    }

    /// Entries of one kind; none at its end.
    fn next_entries(&mut self) -> std::io::Result<Vec<Entry>> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while entries.len() < self.size.size() as usize {
            let entry = match self.next.take() {
                Some(entry) => entry,
                None => match self.cursor.next(&self.index)? {
                    Some(entry) => entry,
                    None => break,
                },
            };
            bytes += u64::from(entry.length);
            if bytes > MAX_PIECE_BYTES && !entries.is_empty() {
                self.next = Some(entry);
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn claim_again(&mut self, contested: &Sorted<3>) -> Result<(), StoreError> {
        let mut claims = Vec::new();
        for row in contested.rows() {
            claims.push(row.map_err(temporary_failed)?);
            if claims.len() == MAX_PIECE as usize {
                self.first.push_back(Piece::Claims(std::mem::take(&mut claims)));
            }
        }
        if !claims.is_empty() {
            self.first.push_back(Piece::Claims(claims));
        }
        Ok(())
    }

    /// Applies pieces in one transaction until its time is up.
    async fn chunk(&mut self, first: Piece) -> Result<(), StoreError> {
        let time = self.import.pace.chunk;
        let mut chunk =
            match Chunk::begin(self.store, &self.source, self.begun, Arc::clone(&self.readdressed), time)
                .await
            {
                Ok(chunk) => chunk,
                Err(error) => return self.give_way(error, first).await,
            };
        let (mut piece, mut rest) = (first, None);
        loop {
            let began = Instant::now();
            match self.apply(&mut chunk, &mut piece).await {
                Ok(left) => rest = left,
                Err(error) if chunk.pieces.is_empty() => {
                    return match chunk.tx.rollback::<()>(Err(error)).await {
                        Ok(()) => Ok(()),
                        Err(error) => self.give_way(error, piece).await,
                    };
                }
                // What came before it stands; it comes first in the next chunk, which holds no lock then that others wait for.
                Err(error) => {
                    self.first.push_front(piece);
                    if matches!(error, StoreError::Unavailable(_)) {
                        return chunk.tx.rollback(Err(error)).await;
                    }
                    if let Err(error) = chunk.roll_back_to_savepoint().await {
                        return chunk.tx.rollback(Err(error)).await;
                    }
                    break;
                }
            }
            if let Piece::Records { entries, .. } = &piece {
                self.size.adjust(entries.len() == self.size.size() as usize, began.elapsed());
            }
            chunk.pieces.push(piece);
            let imported = self.report.imported + chunk.report.imported;
            if rest.is_some() || self.alone > 0 || chunk.is_full() || imported >= self.analyze_at {
                break;
            }
            let next = self.next_piece();
            let next = match (next, &mut chunk) {
                (Ok(Some(next)), chunk) => chunk.savepoint().await.map(|()| Some(next)),
                (next, _) => next,
            };
            piece = match next {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(error) => return chunk.tx.rollback(Err(error)).await,
            };
        }
        self.commit(chunk, rest).await
    }

    /// Reads a piece and applies it; it is cut down to what could be read at once.
    async fn apply(&mut self, chunk: &mut Chunk, piece: &mut Piece) -> Result<Option<Piece>, StoreError> {
        let (refused, report, done) = (chunk.refused.len(), chunk.report.clone(), chunk.done);
        let mut records = Vec::new();
        if let Piece::Records { entries, members_done } = piece {
            let (read, left) = read_piece(self.import.source, entries)?;
            if !left.is_empty() {
                self.first.push_front(Piece::Records { entries: left, members_done: 0 });
            }
            if *members_done == 0 {
                chunk.done += read.len() as u64;
            }
            records = read;
        }
        let applied = chunk.apply(piece, records, &mut self.contested).await;
        if applied.is_err() {
            chunk.refused.truncate(refused);
            (chunk.report, chunk.done) = (report, done);
        }
        applied
    }

    async fn commit(&mut self, mut chunk: Chunk, rest: Option<Piece>) -> Result<(), StoreError> {
        let written = chunk.commit(self.import.operator).await;
        let Chunk { tx, origin, pieces, report, refused, tables, done, .. } = chunk;
        if let Err(error) = tx.commit_or_rollback(written).await {
            return self.give_way_with(error, pieces).await;
        }
        if let Some(rest) = rest {
            self.first.push_front(rest);
        }
        self.begun = origin.import().map(|identity| identity.import_id);
        self.alone = self.alone.saturating_sub(1);
        self.tries = 0;
        self.report.add(report);
        self.count_refused += refused.len() as u64;
        self.refused.extend(refused);
        self.refused.truncate(MAX_NAMED);
        self.tables.extend(tables);
        self.done += done;
        Ok(())
    }

    /// After a chunk that was not committed.
    async fn give_way_with(&mut self, error: StoreError, mut pieces: Vec<Piece>) -> Result<(), StoreError> {
        if pieces.len() == 1
            && let Some(piece) = pieces.pop()
        {
            return self.give_way(error, piece).await;
        }
        if matches!(error, StoreError::Failed(_)) {
            self.alone = pieces.len();
        } else {
            self.wait(error).await?;
        }
        for piece in pieces.into_iter().rev() {
            self.first.push_front(piece);
        }
        Ok(())
    }

    /// After a piece that was not committed: again, where another transaction was in the way; in two halves, where the store does
    /// not take it, until the record is alone that cannot be stored.
    async fn give_way(&mut self, error: StoreError, mut piece: Piece) -> Result<(), StoreError> {
        if let (StoreError::Failed(problem), Piece::Records { entries, .. }) = (&error, &mut piece) {
            if let [entry] = &entries[..] {
                self.count_refused += 1;
                let problem = format!("cannot be stored ({problem})");
                self.refused.push(Refusal { line: entry.line, problem, holder: None });
            } else {
                let half = entries.split_off(entries.len() / 2);
                self.first.push_front(Piece::Records { entries: half, members_done: 0 });
                self.first.push_front(piece);
            }
            return Ok(());
        }
        self.wait(error).await?;
        self.first.push_front(piece);
        Ok(())
    }

    /// Waits a little longer each time for a transaction that is in the way, but not without end.
    async fn wait(&mut self, error: StoreError) -> Result<(), StoreError> {
        let is_in_the_way = matches!(error, StoreError::Contended(_) | StoreError::TimedOut(_));
        if !is_in_the_way || self.tries == MAX_TRIES {
            return Err(error);
        }
        self.tries += 1;
        tokio::time::sleep(Duration::from_millis(100) * self.tries).await;
        Ok(())
    }

    /// PostgreSQL plans with what it knows of the tables, and knows nothing yet of what an import brings: until its next
    /// autovacuum each batch, of this import and of the deletions after it, would be held against all the rows of an account.
    async fn analyze(&self) -> Result<(), StoreError> {
        let tables: Vec<&str> = self.tables.iter().copied().collect();
        let Some(sql) = self.store.db.dialect().analyze(&tables).filter(|_| !tables.is_empty()) else {
            return Ok(());
        };
        transaction!(self.store, tx => analyze(tx, &sql))
    }
}

async fn analyze(tx: &mut Tx, sql: &str) -> Result<(), StoreError> {
    tx.disable_timeouts().await?;
    tx.execute(sql, &[]).await.map(drop)
}
