//! Records that messages bring: a batch in one transaction, each message whole or not at all.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::iter::Peekable;

use metrics::counter;

use super::chunk::{Origin, add_key};
use super::writer::Writer;
use super::{ImportReport, Refusal};
use crate::domain::dead_letter::Arrived;
use crate::domain::record::Record;
use crate::domain::record_event::place_of;
use crate::domain::rejection::{DeadLetterReason, MAX_BODY_BYTES, Rejection};
use crate::ports::{Answers, BatchError, Message, MessageStore, RecordWriter};
use crate::store::access::audit::{self, Actor};
use crate::store::contacts::absent_accounts;
use crate::store::feed::dead_letters;
use crate::store::{Store, StoreError, retry_delay, should_retry};
use crate::telemetry;

/// The most records that travel in one statement.
const MAX_PIECE: usize = 500;

/// A store that takes in the records of a queue.
#[derive(Clone, Debug)]
pub struct RecordReceiver {
    store: Store,
    /// The queue, for the audit.
    queue: String,
}

impl Store {
    /// Takes in the records of a queue of this name.
    pub fn receiving_records(&self, queue: String) -> RecordReceiver {
        RecordReceiver { store: self.clone(), queue }
    }
}

impl MessageStore for RecordReceiver {
    async fn set_aside(&self, arrived: Arrived<'_>, rejection: &Rejection) -> Result<(), BatchError> {
        let written = self.store.write_dead_letter(arrived, rejection).await;
        written.map_err(|error| self.store.batch_error(error))
    }

    async fn is_available(&self) -> bool {
        self.store.answers().await
    }
}

impl RecordWriter for RecordReceiver {
    async fn write(&self, batch: &[Message<'_, Vec<Record>>]) -> Result<Answers<()>, BatchError> {
        let mut tries = 0;
        loop {
            match self.write_once(batch).await {
                Err(error) if should_retry(&error, tries) => {
                    tries += 1;
                    retry_delay(tries).await;
                }
                written => return written.map_err(|error| self.store.batch_error(error)),
            }
        }
    }
}

impl RecordReceiver {
    /// Writes what can be written: where a record is refused, the whole transaction is repeated without its message.
    ///
    /// # Errors
    ///
    /// Failed where contacts are in each other's way: then the batch is to be written in parts.
    async fn write_once(&self, batch: &[Message<'_, Vec<Record>>]) -> Result<Answers<()>, StoreError> {
        let unread =
            |(at, message): (usize, &Message<'_, _>)| Some((at, message.event.as_ref().err()?.clone()));
        let mut rejected: BTreeMap<usize, Rejection> = batch.iter().enumerate().filter_map(unread).collect();
        loop {
            let mut writer = Writer::open(&self.store, Origin::Queue).await?;
            let refused = match write_records(&mut writer, batch, &rejected).await {
                Ok(refused) => refused,
                Err(error) => return writer.end(Err(error)).await,
            };
            if refused.is_empty() {
                let answers = self.finish(&mut writer, batch, &rejected).await;
                let ImportReport { imported, removed, skipped, .. } = writer.report().clone();
                let answers = writer.end(answers).await?;
                counter!(telemetry::RECORDS_TOTAL, "outcome" => "written").increment(imported + removed);
                counter!(telemetry::RECORDS_TOTAL, "outcome" => "skipped").increment(skipped);
                return Ok(answers);
            }
            writer.take_back(()).await?;
            // Of two that want one address the later one is refused, which shows where each is written by itself.
            if batch.len() > 1 && refused.iter().any(|refusal| refusal.holder.is_some()) {
                return Err(StoreError::Failed(
                    "a contact of the batch has an address of another one".to_owned(),
                ));
            }
            for Refusal { line, problem, .. } in refused {
                let Line { message, item } = Line::of(line);
                let is_list = batch[message].event.as_ref().is_ok_and(|records| records.len() > 1);
                let detail = format!("{}: {problem}", place_of(is_list.then_some(item)));
                let rejection = Rejection { reason: DeadLetterReason::Poison, detail };
                rejected.entry(message).or_insert(rejection);
            }
        }
    }

    /// Writes dead letters and audit. The dead letters come last: the lock that they take is one that nothing else is waited for with.
    async fn finish(
        &self,
        writer: &mut Writer,
        batch: &[Message<'_, Vec<Record>>],
        rejected: &BTreeMap<usize, Rejection>,
    ) -> Result<Answers<()>, StoreError> {
        let (now, report) = (writer.now(), writer.report());
        let count = i64::try_from(report.imported + report.removed).unwrap_or(i64::MAX);
        if count > 0 {
            let actor = Actor::Queue(self.queue.clone());
            audit::write(writer.tx(), now, 0, &actor, "receive_records", &[], count).await?;
        }
        let letters: Vec<_> =
            rejected.iter().map(|(at, rejection)| (batch[*at].arrived, rejection)).collect();
        dead_letters::write(writer.tx(), self.store.hash_key_home(), &letters, now).await?;
        Ok((0..batch.len()).map(|at| rejected.get(&at).cloned().map_or(Ok(()), Err)).collect())
    }
}

/// Writes the records of the messages that are not rejected, kind after kind as an import does, those of one key in their order. Those
/// that were refused; then nothing may be committed.
async fn write_records(
    writer: &mut Writer,
    batch: &[Message<'_, Vec<Record>>],
    rejected: &BTreeMap<usize, Rejection>,
) -> Result<Vec<Refusal>, StoreError> {
    let mut records: Vec<(Line, &Record)> = Vec::new();
    for (message, of_message) in batch.iter().enumerate().filter(|(at, _)| !rejected.contains_key(at)) {
        let of_message = of_message.event.iter().flatten().enumerate();
        records.extend(of_message.map(|(item, record)| (Line { message, item }, record)));
    }
    records.sort_by_key(|(_, record)| record.stage());
    let mut refused = refuse_absent_accounts(writer, &records).await?;
    let mut pieces = Pieces(records.into_iter().peekable());
    while refused.is_empty()
        && let Some(piece) = pieces.next()
    {
        refused = writer.write(piece).await?;
    }
    Ok(refused)
}

/// Refuses records of accounts that neither the store has nor the batch brings.
async fn refuse_absent_accounts(
    writer: &mut Writer,
    records: &[(Line, &Record)],
) -> Result<Vec<Refusal>, StoreError> {
    let of = |brings: bool| {
        let accounts = records.iter().filter(move |(_, record)| (record.kind.name == "account") == brings);
        accounts.map(|(_, record)| record.account_id).collect::<BTreeSet<i64>>()
    };
    let named = of(false).difference(&of(true)).copied().collect();
    let absent: BTreeSet<i64> = absent_accounts(writer.tx(), &named).await?.into_iter().collect();
    let refused = records.iter().filter(|(_, record)| absent.contains(&record.account_id));
    let refused = refused.map(|(line, record)| Refusal {
        line: line.number(),
        problem: format!("accountId: names account {}, which is not there", record.account_id),
        holder: None,
    });
    Ok(refused.collect())
}

/// Records that may be written together, as many as travel in one statement.
struct Pieces<'a, I: Iterator<Item = (Line, &'a Record)>>(Peekable<I>);

impl<'a, I: Iterator<Item = (Line, &'a Record)>> Iterator for Pieces<'a, I> {
    type Item = Vec<(u64, Record)>;

    fn next(&mut self) -> Option<Self::Item> {
        let stage = self.0.peek()?.1.stage();
        let (mut piece, mut keys) = (Vec::new(), HashSet::new());
        while piece.len() < MAX_PIECE
            && let Some((line, record)) =
                self.0.next_if(|(_, record)| record.stage() == stage && add_key(&mut keys, record))
        {
            piece.push((line.number(), record.clone()));
        }
        Some(piece)
    }
}

/// Where a record stands in a batch.
#[derive(Clone, Copy, Debug)]
struct Line {
    message: usize,
    /// In the message.
    item: usize,
}

/// A body has fewer records than this.
const MAX_ITEMS: u64 = MAX_BODY_BYTES as u64;

impl Line {
    /// As an import numbers its lines.
    fn number(self) -> u64 {
        self.message as u64 * MAX_ITEMS + self.item as u64
    }

    fn of(number: u64) -> Self {
        let at = |number: u64| usize::try_from(number).unwrap_or_default();
        Self { message: at(number / MAX_ITEMS), item: at(number % MAX_ITEMS) }
    }
}
