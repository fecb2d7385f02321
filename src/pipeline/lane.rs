//! One batch, from bodies to settlements.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tokio::time::Instant;
use tracing::warn;

use super::bisect::{BatchBisector, MessageResult, NextAction};
use super::disposition::{Disposition, RetryBudget};
use super::{Handler, Options, StateCallback};
use crate::backoff::Backoff;
use crate::domain::dead_letter::Arrived;
use crate::domain::rejection::Rejection;
use crate::ports::{BatchError, Delivery, FeedError, Message, MessageStore, Settlement, Settler, Stop};
use crate::telemetry;
use crate::telemetry::traces::Span;

/// How often a message that stands alone is tried again at its place, where the feed has no other to wait at.
const LOCAL_RETRIES: u32 = 5;

/// A store that is away for longer gets what was taken given back: a broker loses patience with whoever holds messages
/// for half an hour, and counts that against each of them.
const RELEASE_AFTER: Duration = Duration::from_mins(10);

/// Processes a batch and settles it.
///
/// # Errors
///
/// Nothing of the batch was settled, or not all: what was not comes again.
pub async fn process_batch<S: Settler, H: Handler>(
    batch: Vec<Delivery<S::AckHandle>>,
    handler: H,
    settler: S,
    options: Options,
    stop: Stop,
) -> Result<(), FeedError> {
    let _in_flight = InFlight::new(H::METRICS.in_flight, batch.len());
    let mut span = Span::batch(batch.len(), batch.iter().filter_map(|delivery| delivery.trace));
    let result = handle_and_settle(batch, &handler, &settler, &options, stop, &span).await;
    if result.is_err() {
        span.fail();
    }
    result
}

/// Messages in hand, counted for as long as it lives: a lane that panics has none either.
struct InFlight {
    gauge: &'static str,
    messages: f64,
}

impl InFlight {
    fn new(gauge: &'static str, messages: usize) -> Self {
        let messages = messages as f64;
        gauge!(gauge).increment(messages);
        Self { gauge, messages }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(self.gauge).decrement(self.messages);
    }
}

async fn handle_and_settle<S: Settler, H: Handler>(
    batch: Vec<Delivery<S::AckHandle>>,
    handler: &H,
    settler: &S,
    options: &Options,
    stop: Stop,
    span: &Span,
) -> Result<(), FeedError> {
    histogram!(H::METRICS.batch_size).record(batch.len() as f64);
    counter!(telemetry::REDELIVERED_TOTAL)
        .increment(batch.iter().filter(|delivery| delivery.redelivered).count() as u64);
    let started = Instant::now();
    let [handle, settle] = H::METRICS.phases;
    let part = span.part(handle);
    let dispositions = handle_batch(&batch, settler.retries(), handler, options, stop.clone()).await?;
    drop(part);
    histogram!(H::METRICS.batch_seconds, "phase" => handle).record(started.elapsed());
    for message in &dispositions {
        report(message, handler);
    }
    let started = Instant::now();
    let stopping = stop.is_requested();
    let settlement = |(delivery, disposition): (_, &Disposition<_, _>)| {
        disposition.verdict(stopping).map(|verdict| Settlement { delivery, verdict })
    };
    let _part = span.part(settle);
    settler.settle(batch.into_iter().zip(&dispositions).filter_map(settlement).collect()).await?;
    histogram!(H::METRICS.batch_seconds, "phase" => settle).record(started.elapsed());
    for message in &dispositions {
        match message {
            Disposition::Processed(..) => {}
            Disposition::Rejected(rejection) | Disposition::GivenUp(rejection) => {
                counter!(telemetry::DEAD_LETTERS_TOTAL, "reason" => rejection.reason.as_str()).increment(1);
            }
            Disposition::Retry(..) if stopping => {}
            Disposition::Retry(_, reason, _) => {
                counter!(telemetry::RETRIES_TOTAL, "reason" => reason.as_str()).increment(1);
            }
        }
    }
    Ok(())
}

/// Reads the messages and processes them, and those that are given up set aside.
async fn handle_batch<'a, R, H: Handler>(
    batch: &'a [Delivery<R>],
    retries: u32,
    handler: &H,
    options: &Options,
    stop: Stop,
) -> Result<Vec<Disposition<H::Event, H::Answer>>, FeedError> {
    let read = |delivery: &'a Delivery<R>| {
        let event =
            delivery.unread.clone().map_or_else(|| handler.parse(&delivery.body, delivery.trace), Err);
        Message { event, arrived: delivery.arrived() }
    };
    let mut messages: Vec<Message<'_, H::Event>> = batch.iter().map(read).collect();
    let at_once = if retries == 0 { LOCAL_RETRIES } else { 0 };
    let parts = BatchBisector::new(messages.len(), at_once);
    let answers = handle(&mut messages, parts, handler, options, stop.clone()).await?;
    let mut dispositions = Vec::with_capacity(messages.len());
    for (Message { event, arrived }, answer) in messages.into_iter().zip(answers) {
        let tries = RetryBudget { attempt: arrived.attempts, retries, at_once: at_once + 1 };
        let message = Disposition::of(event, answer, tries);
        if let Disposition::GivenUp(rejection) = &message {
            set_aside(arrived, rejection, handler, options, stop.clone()).await?;
        }
        dispositions.push(message);
    }
    Ok(dispositions)
}

/// While the store is away nothing is consumed and no attempt is spent: the lane waits here.
async fn handle<H: Handler>(
    messages: &mut [Message<'_, H::Event>],
    mut parts: BatchBisector<H::Answer>,
    handler: &H,
    options: &Options,
    mut stop: Stop,
) -> Result<Vec<MessageResult<H::Answer>>, FeedError> {
    let mut patience = StoreBackoff::new(options);
    while let Some(part) = parts.next() {
        match handler.handle(&messages[part.clone()]).await {
            Ok(answers) => {
                parts.processed(answers);
                patience = StoreBackoff::new(options);
            }
            Err(error) => {
                let problem = error.to_string();
                // Without an answer from the store it may have been committed all the same.
                if !matches!(error, BatchError::Poison(_)) {
                    messages[part].iter_mut().for_each(|message| message.arrived.may_repeat = true);
                }
                if parts.failed(error) == NextAction::Backoff {
                    patience.wait(&problem, &mut stop).await?;
                }
            }
        }
    }
    Ok(parts.into_answers())
}

/// Writes the dead letter of a message that is given up. If the store does not take it the lane waits: the message has nowhere
/// else to go.
async fn set_aside<H: Handler>(
    mut arrived: Arrived<'_>,
    rejection: &Rejection,
    handler: &H,
    options: &Options,
    mut stop: Stop,
) -> Result<(), FeedError> {
    let mut patience = StoreBackoff::new(options);
    while let Err(error) = handler.store().set_aside(arrived, rejection).await {
        arrived.may_repeat = true;
        patience.wait(&error.to_string(), &mut stop).await?;
    }
    Ok(())
}

/// How a lane waits for the store.
struct StoreBackoff {
    backoff: Backoff,
    since: Instant,
    on_stalled: StateCallback,
    /// From the second failure in a row on somebody is told.
    failures: u32,
}

impl StoreBackoff {
    fn new(options: &Options) -> Self {
        Self {
            backoff: Backoff::new(options.max_reconnect_delay),
            since: Instant::now(),
            on_stalled: Arc::clone(&options.on_stalled),
            failures: 0,
        }
    }

    /// # Errors
    ///
    /// It has waited long enough, or is asked to stop.
    async fn wait(&mut self, problem: &str, stop: &mut Stop) -> Result<(), FeedError> {
        self.failures += 1;
        if self.failures == 2 {
            (self.on_stalled)(true);
        }
        let delay = self.backoff.pause();
        warn!(error = problem, retry_in = ?delay, "batch not processed");
        if stop.is_requested() {
            return Err(FeedError::Transient(format!("stopping while {problem}")));
        }
        if self.since.elapsed() > RELEASE_AFTER {
            return Err(FeedError::Transient(format!("what was taken is given back: {problem}")));
        }
        tokio::select! {
            () = stop.requested() => {}
            () = tokio::time::sleep(delay) => {}
        }
        Ok(())
    }
}

impl Drop for StoreBackoff {
    fn drop(&mut self) {
        if self.failures >= 2 {
            (self.on_stalled)(false);
        }
    }
}

/// Counts and logs what was committed, and what was not.
fn report<H: Handler>(disposition: &Disposition<H::Event, H::Answer>, handler: &H) {
    match disposition {
        Disposition::Processed(event, answer) => handler.report(event, answer),
        Disposition::Rejected(rejection) | Disposition::GivenUp(rejection) => {
            warn!(reason = rejection.reason.as_str(), detail = rejection.detail, "message dead-lettered");
            handler.report_dead_letter(rejection);
        }
        Disposition::Retry(event, reason, problem) => {
            handler.report_retry(event.as_ref(), reason.as_str(), problem);
        }
    }
}
