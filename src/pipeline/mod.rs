//! From a delivery to its settlement: batch, have it decided, say what becomes of each message.
//!
//! [`run`] drives a feed through its generations. A batch closes when it is full, or at once when nothing more
//! waits: no delay at low load, few transactions at high load. Several batches may be in flight (lanes). A
//! message is settled only after the transaction that decided it, or wrote its dead letter, has committed. [`pending`] takes
//! up what was held or deferred, [`letters`] takes in what the broker moved to its dead letters.
//!
//! What decides about messages is pure: `batcher` (which go together), `bisect` (what is tried next where a batch fails),
//! `disposition` (how each is settled). What waits is thin: `lane` and this file.

mod batcher;
mod bisect;
mod disposition;
mod lane;
pub mod letters;
pub mod pending;

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::domain::decision::{Decision, DeferReason, HoldReason, RefuseReason, SkipReason};
use crate::domain::effects::Transition;
use crate::domain::enrollment::NewEnrollment;
use crate::domain::rejection::{DeadLetterReason, Rejection};
use crate::ports::{Decider, Feed, FeedError, RetryReason, Session, Stop};
use crate::telemetry;

use batcher::Batcher;

/// What one message came to.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Decided, now or before.
    Decided(&'a NewEnrollment, &'a Decision),
    /// Set aside.
    DeadLetter(&'a Rejection),
}

/// Is told of every outcome, after its commit and before it is settled.
pub type Observer = Arc<dyn Fn(Outcome<'_>) + Send + Sync>;

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
    /// Told of every outcome.
    pub observer: Option<Observer>,
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
pub async fn run<F: Feed, D: Decider>(
    mut feed: F,
    decider: D,
    options: Options,
    mut stop: Stop,
) -> Result<End, String> {
    init_metrics();
    let mut backoff = Backoff::new(options.max_reconnect_delay);
    let mut connected_before = false;
    while !stop.is_requested() {
        let error = match open(&mut feed, &decider).await {
            Ok(session) => {
                backoff.reset();
                info!("feed connected");
                if std::mem::replace(&mut connected_before, true) {
                    counter!(telemetry::FEED_RECONNECTS_TOTAL).increment(1);
                }
                connected(&options, true);
                let end = run_session(session, &decider, &options, &stop).await;
                connected(&options, false);
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

/// Takes no message that nobody could decide: each would be one delivery nearer to the broker's limit.
async fn open<F: Feed, D: Decider>(feed: &mut F, decider: &D) -> Result<F::Session, FeedError> {
    if !decider.is_available().await {
        return Err(FeedError::Transient(
            "the store does not answer; nothing is consumed until it does".to_owned(),
        ));
    }
    feed.open().await
}

/// Shows every outcome from the start, so that the first of its kind is a step.
fn init_metrics() {
    let born = |outcome: &'static str, reason: &'static str| {
        counter!(telemetry::ENROLLMENTS_TOTAL, "outcome" => outcome, "reason" => reason).increment(0);
    };
    born("deleted", "");
    born("duplicate", "");
    for reason in SkipReason::ALL {
        born("skipped", reason.as_str());
    }
    for reason in RefuseReason::ALL {
        born("refused", reason.as_str());
    }
    for reason in HoldReason::ALL {
        born("held", reason.as_str());
    }
    for reason in DeferReason::ALL {
        born("deferred", reason.as_str());
    }
    for reason in DeadLetterReason::ALL {
        counter!(telemetry::DEAD_LETTERS_TOTAL, "reason" => reason.as_str()).increment(0);
    }
    for reason in RetryReason::ALL {
        counter!(telemetry::RETRIES_TOTAL, "reason" => reason.as_str()).increment(0);
    }
    for phase in ["decide", "settle"] {
        drop(histogram!(telemetry::BATCH_SECONDS, "phase" => phase));
    }
    let trash = Transition::Trash.as_str();
    counter!(telemetry::TRANSITIONS_TOTAL, "transition" => trash, "origin" => "workflow").increment(0);
}

fn connected(options: &Options, connected: bool) {
    gauge!(telemetry::FEED_CONNECTED).set(if connected { 1.0 } else { 0.0 });
    (options.on_connected)(connected);
}

/// One session of the feed, from its first delivery to its end.
async fn run_session<S: Session, D: Decider>(
    mut session: S,
    decider: &D,
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
                let (decider, settler) = (decider.clone(), settler.clone());
                lanes.spawn(lane::process_batch(batcher.take(), decider, settler, options.clone(), given_up.clone()));
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
