//! From a delivery to its settlement: batch, have it decided, say what becomes of each message.
//!
//! [`run`] drives a feed through its generations. A batch closes when it is full, or at once when nothing more
//! waits: no delay at low load, few transactions at high load. Several batches may be in flight (lanes). A
//! message is settled only after the transaction that decided it has committed. [`waiting`] takes up what was held or
//! deferred.

mod lane;
pub mod waiting;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::domain::decision::{Decision, DeferReason, HoldReason, RefuseReason, SkipReason};
use crate::domain::enrollment::{NewEnrollment, Rejection};
use crate::ports::{Delivery, Feed, FeedError, Session, Stop};
use crate::store::{Rules, Store};
use crate::telemetry;

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

/// How the pipeline works.
#[derive(Clone)]
pub struct Options {
    /// Messages a transaction, at most.
    pub batch_size: usize,
    /// Batches in flight.
    pub lanes: usize,
    /// What the settings say about decisions.
    pub rules: Rules,
    /// The longest pause before another connection is tried.
    pub max_reconnect_delay: Duration,
    /// Told when the feed is connected and when no longer.
    pub on_connected: Arc<dyn Fn(bool) + Send + Sync>,
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
pub async fn run<F: Feed>(
    mut feed: F,
    store: Store,
    options: Options,
    mut stop: Stop,
) -> Result<End, String> {
    born_at_zero();
    let mut backoff = Backoff::new(options.max_reconnect_delay);
    let mut connected_before = false;
    while !stop.is_requested() {
        let error = match feed.open().await {
            Ok(session) => {
                backoff.reset();
                info!("feed connected");
                if std::mem::replace(&mut connected_before, true) {
                    counter!(telemetry::FEED_RECONNECTS_TOTAL).increment(1);
                }
                connected(&options, true);
                let end = generation(session, &store, &options, &mut stop).await;
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

/// Shows every outcome from the start, so that the first of its kind is a step.
fn born_at_zero() {
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
}

fn connected(options: &Options, connected: bool) {
    gauge!(telemetry::FEED_CONNECTED).set(if connected { 1.0 } else { 0.0 });
    (options.on_connected)(connected);
}

/// One session of the feed, from its first delivery to its end.
async fn generation<S: Session>(
    mut session: S,
    store: &Store,
    options: &Options,
    stop: &mut Stop,
) -> Result<End, FeedError> {
    let settler = session.settler();
    let mut waiting: VecDeque<Delivery<S::Receipt>> = VecDeque::new();
    let mut lanes: JoinSet<Result<(), FeedError>> = JoinSet::new();
    let mut listener = stop.clone();
    let work = |batch: VecDeque<Delivery<S::Receipt>>| {
        lane::work(batch.into(), store.clone(), settler.clone(), options.clone(), stop.clone())
    };
    let end = loop {
        let full = waiting.len() >= options.batch_size;
        let flush = !waiting.is_empty() && lanes.len() < options.lanes;
        tokio::select! {
            // In this order: while more waits the batch grows, when nothing does it goes.
            biased;
            () = listener.requested() => break Ok(End::Stopped),
            Some(done) = lanes.join_next() => if let Err(error) = outcome(done) { break Err(error) },
            next = session.next(), if !full => match next {
                Ok(Some(delivery)) => waiting.push_back(delivery),
                Ok(None) => break Ok(End::Finished),
                Err(error) => break Err(error),
            },
            () = std::future::ready(()), if flush => {
                lanes.spawn(work(std::mem::take(&mut waiting)));
            }
        }
    };
    // A lost session cannot settle any more: what waits comes again. Otherwise it is finished properly.
    if end.is_ok() && !waiting.is_empty() {
        lanes.spawn(work(waiting));
    }
    let mut end = end;
    while let Some(done) = lanes.join_next().await {
        if let (Ok(_), Err(error)) = (&end, outcome(done)) {
            end = Err(error);
        }
    }
    // Asked to stop, nothing of a lost session is tried again.
    if stop.is_requested() && matches!(end, Err(FeedError::Transient(_))) {
        end = Ok(End::Stopped);
    }
    session.close().await;
    end
}

/// A lane that panicked ends the session: its messages come again.
fn outcome(done: Result<Result<(), FeedError>, tokio::task::JoinError>) -> Result<(), FeedError> {
    done.unwrap_or_else(|_| Err(FeedError::Transient("a batch ended in a panic".to_owned())))
}
