//! From a delivery to its settlement: batch, process, say what becomes of each message.
//!
//! [`run`] drives a feed through its generations, and a [`Handler`] knows what its messages are: [`enrollments`] or
//! [`records`]. A batch closes when it is full, or at once when nothing more
//! waits: no delay at low load, few transactions at high load. Several batches may be in flight (lanes). A
//! message is settled only after the transaction that processed it, or wrote its dead letter, has committed. [`pending`] takes
//! up what was held or deferred, [`letters`] takes in what the broker moved to its dead letters.
//!
//! What decides about messages is pure: `batcher` (which go together), `bisect` (what is tried next where a batch fails),
//! `disposition` (how each is settled). What waits is thin: `lane` and this file.

mod batcher;
mod bisect;
mod disposition;
pub mod enrollments;
mod lane;
pub mod letters;
pub mod pending;
pub mod records;

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::domain::rejection::{DeadLetterReason, Rejection};
use crate::domain::trace::TraceContext;
use crate::ports::{Answers, BatchError, Feed, FeedError, Message, MessageStore, RetryReason, Session, Stop};
use crate::telemetry;

use batcher::Batcher;

/// What a pipeline does with its messages.
pub trait Handler: Clone + Send + Sync + 'static {
    /// What is read of a message.
    type Event: Send + Sync;
    /// What became of it.
    type Answer: Send;
    /// Where it is processed.
    type Store: MessageStore;

    /// What its work is called in the metrics.
    const METRICS: Metrics;

    /// The store.
    fn store(&self) -> &Self::Store;

    /// Reads a body.
    ///
    /// # Errors
    ///
    /// Why it becomes a dead letter.
    fn parse(&self, body: &[u8], trace: Option<TraceContext>) -> Result<Self::Event, Rejection>;

    /// Processes a batch in one transaction, its dead letters included. The answers are in its order.
    fn handle(
        &self,
        batch: &[Message<'_, Self::Event>],
    ) -> impl Future<Output = Result<Answers<Self::Answer>, BatchError>> + Send;

    /// Counts and logs a message whose effects were committed.
    fn report(&self, event: &Self::Event, answer: &Self::Answer);

    /// As [`Self::report`], for a dead letter that was committed; the pipeline counts and logs it.
    fn report_dead_letter(&self, _: &Rejection) {}

    /// Logs a message that is tried again later, for this reason.
    fn report_retry(&self, event: Option<&Self::Event>, reason: &'static str, problem: &str);

    /// Shows each metric of its own from the start.
    fn init_metrics();
}

/// Names of metrics.
#[derive(Clone, Copy, Debug)]
pub struct Metrics {
    pub batch_size: &'static str,
    pub batch_seconds: &'static str,
    /// The values of its label `phase`: processing, then settling.
    pub phases: [&'static str; 2],
    pub in_flight: &'static str,
    pub connected: &'static str,
    pub reconnects: &'static str,
}

/// Is told when something begins, and when it is over.
pub type StateCallback = Arc<dyn Fn(bool) + Send + Sync>;

/// How the pipeline works.
#[derive(Clone)]
pub struct Options {
    /// Messages a transaction, at most.
    pub batch_size: usize,
    /// Batches in flight.
    pub lanes: usize,
    /// The longest pause before another connection is tried.
    pub max_reconnect_delay: Duration,
    /// Told when the feed is connected and when no longer.
    pub on_connected: StateCallback,
    /// Told when a lane waits for the store, and when no longer: once a lane.
    pub on_stalled: StateCallback,
}

/// Why [`run`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to stop, and has settled what it had.
    Stopped,
    /// The feed has ended, and all of it is settled.
    Finished,
}

/// Works until it is asked to stop or the feed ends; reconnects for ever.
///
/// # Errors
///
/// What needs a person before the feed can go on.
pub async fn run<F: Feed, H: Handler>(
    mut feed: F,
    handler: H,
    options: Options,
    mut stop: Stop,
) -> Result<End, String> {
    init_metrics::<H>();
    let mut backoff = Backoff::new(options.max_reconnect_delay);
    let mut connected_before = false;
    while !stop.is_requested() {
        let error = match open(&mut feed, handler.store()).await {
            Ok(session) => {
                backoff.reset();
                info!("feed connected");
                if std::mem::replace(&mut connected_before, true) {
                    counter!(H::METRICS.reconnects).increment(1);
                }
                connected::<H>(&options, true);
                let end = run_session(session, &handler, &options, &stop).await;
                connected::<H>(&options, false);
                match end {
                    Ok(end) => return Ok(end),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        match error {
            FeedError::Permanent(sentence) => return Err(sentence),
            FeedError::Transient(sentence) => {
                let delay = backoff.pause();
                warn!(error = sentence, retry_in = ?delay, "feed not connected");
                tokio::select! {
                    () = stop.requested() => {}
                    () = tokio::time::sleep(delay) => {}
                }
            }
        }
    }
    Ok(End::Stopped)
}

/// Takes no message that cannot be processed: each would be one delivery nearer to the broker's limit.
async fn open<F: Feed, M: MessageStore>(feed: &mut F, store: &M) -> Result<F::Session, FeedError> {
    if !store.is_available().await {
        return Err(FeedError::Transient(
            "the store does not answer; nothing is consumed until it does".to_owned(),
        ));
    }
    feed.open().await
}

/// Shows every outcome from the start, so that the first of its kind is a step.
fn init_metrics<H: Handler>() {
    for reason in DeadLetterReason::ALL {
        counter!(telemetry::DEAD_LETTERS_TOTAL, "reason" => reason.as_str()).increment(0);
    }
    for reason in RetryReason::ALL {
        counter!(telemetry::RETRIES_TOTAL, "reason" => reason.as_str()).increment(0);
    }
    for phase in H::METRICS.phases {
        drop(histogram!(H::METRICS.batch_seconds, "phase" => phase));
    }
    H::init_metrics();
}

fn connected<H: Handler>(options: &Options, connected: bool) {
    gauge!(H::METRICS.connected).set(if connected { 1.0 } else { 0.0 });
    (options.on_connected)(connected);
}

/// One session of the feed, from its first delivery to its end.
async fn run_session<S: Session, H: Handler>(
    mut session: S,
    handler: &H,
    options: &Options,
    stop: &Stop,
) -> Result<End, FeedError> {
    let settler = session.settler();
    let mut batcher = Batcher::new(options.batch_size);
    let mut lanes: JoinSet<Result<(), FeedError>> = JoinSet::new();
    let mut listener = stop.clone();
    // Lanes that wait for the store are told to wait no longer.
    let (quit, given_up) = Stop::channel();
    // Nothing more is taken; what was taken is finished.
    let mut ending = None;
    let mut end = loop {
        if let Some(end) = ending
            && batcher.is_empty()
            && lanes.is_empty()
        {
            break Ok(end);
        }
        tokio::select! {
            // In this order: while more waits the batch grows, when nothing does it goes.
            biased;
            () = listener.requested(), if !given_up.is_requested() => {
                quit.send_replace(true);
                ending = ending.or(Some(End::Stopped));
            }
            Some(done) = lanes.join_next() => if let Err(error) = join_result(done) { break Err(error) },
            next = session.next(), if ending.is_none() && !batcher.is_full() => match next {
                Ok(Some(delivery)) => batcher.push(delivery),
                Ok(None) => ending = Some(End::Finished),
                Err(error) => break Err(error),
            },
            () = std::future::ready(()), if !batcher.is_empty() && lanes.len() < options.lanes => {
                let (handler, settler) = (handler.clone(), settler.clone());
                lanes.spawn(lane::process_batch(batcher.take(), handler, settler, options.clone(), given_up.clone()));
            }
        }
    };
    // A lost session cannot settle any more: what waits comes again, and what is under way ends as soon as it can.
    quit.send_replace(true);
    while lanes.join_next().await.is_some() {}
    // Asked to stop, nothing of a lost session is tried again.
    if stop.is_requested() && matches!(end, Err(FeedError::Transient(_))) {
        end = Ok(End::Stopped);
    }
    session.close().await;
    end
}

/// A lane that panicked ends the session: its messages come again.
fn join_result(done: Result<Result<(), FeedError>, tokio::task::JoinError>) -> Result<(), FeedError> {
    done.unwrap_or_else(|_| Err(FeedError::Transient("a batch ended in a panic".to_owned())))
}
