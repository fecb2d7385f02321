//! One batch, from bodies to settlements.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;
use tracing::warn;

use super::bisect::{BatchBisector, EnrollmentResult, NextAction};
use super::disposition::{Disposition, RetryBudget};
use super::{Options, Outcome, StateCallback};
use crate::backoff::Backoff;
use crate::domain::dead_letter::Arrived;
use crate::domain::decision::Decision;
use crate::domain::enrollment::{NewEnrollment, parse_event};
use crate::domain::rejection::Rejection;
use crate::ports::{DecideError, Decided, Decider, Delivery, FeedError, Message, Settlement, Settler, Stop};
use crate::telemetry;
use crate::telemetry::traces::Span;

/// How often a message that stands alone is tried again at its place, where the feed has no other to wait at.
const LOCAL_RETRIES: u32 = 5;

/// A store that is away for longer gets what was taken given back: a broker loses patience with whoever holds messages
/// for half an hour, and counts that against each of them.
const RELEASE_AFTER: Duration = Duration::from_mins(10);

/// Decides a batch and settles it.
///
/// # Errors
///
/// Nothing of the batch was settled, or not all: what was not comes again.
pub async fn process_batch<S: Settler, D: Decider>(
    batch: Vec<Delivery<S::AckHandle>>,
    decider: D,
    settler: S,
    options: Options,
    stop: Stop,
) -> Result<(), FeedError> {
    let _in_flight = InFlight::new(batch.len());
    let mut span = Span::batch(batch.len(), batch.iter().filter_map(|delivery| delivery.trace));
    let result = decide_and_settle(batch, &decider, &settler, &options, stop, &span).await;
    if result.is_err() {
        span.fail();
    }
    result
}

/// Messages in hand, counted for as long as it lives: a lane that panics has none either.
struct InFlight(f64);

impl InFlight {
    fn new(messages: usize) -> Self {
        let messages = messages as f64;
        gauge!(telemetry::IN_FLIGHT).increment(messages);
        Self(messages)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        gauge!(telemetry::IN_FLIGHT).decrement(self.0);
    }
}

async fn decide_and_settle<S: Settler, D: Decider>(
    batch: Vec<Delivery<S::AckHandle>>,
    decider: &D,
    settler: &S,
    options: &Options,
    stop: Stop,
    span: &Span,
) -> Result<(), FeedError> {
    histogram!(telemetry::BATCH_SIZE).record(batch.len() as f64);
    counter!(telemetry::REDELIVERED_TOTAL)
        .increment(batch.iter().filter(|delivery| delivery.redelivered).count() as u64);
    let started = Instant::now();
    let part = span.part("decide");
    let judged = decide_batch(&batch, settler.retries(), decider, options, stop.clone()).await?;
    drop(part);
    histogram!(telemetry::BATCH_SECONDS, "phase" => "decide").record(started.elapsed());
    for message in &judged {
        observe_age(message);
        report(message, options);
    }
    let started = Instant::now();
    let stopping = stop.is_requested();
    let settle = |(delivery, judged): (_, &Disposition)| {
        judged.verdict(stopping).map(|verdict| Settlement { delivery, verdict })
    };
    let _part = span.part("settle");
    settler.settle(batch.into_iter().zip(&judged).filter_map(settle).collect()).await?;
    histogram!(telemetry::BATCH_SECONDS, "phase" => "settle").record(started.elapsed());
    for message in &judged {
        match message {
            Disposition::Decided(..) => {}
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

/// Reads the messages and has them decided, and those that are given up set aside.
async fn decide_batch<'a, R, D: Decider>(
    batch: &'a [Delivery<R>],
    retries: u32,
    decider: &D,
    options: &Options,
    stop: Stop,
) -> Result<Vec<Disposition>, FeedError> {
    let read = |delivery: &'a Delivery<R>| {
        let event = delivery.unread.clone().map_or_else(|| parse_event(&delivery.body), Err);
        let event = event.map(|event| NewEnrollment { trace: delivery.trace, ..event });
        Message { event, arrived: delivery.arrived() }
    };
    let mut messages: Vec<Message<'_>> = batch.iter().map(read).collect();
    let at_once = if retries == 0 { LOCAL_RETRIES } else { 0 };
    let parts = BatchBisector::new(messages.len(), at_once);
    let answers = decide(&mut messages, parts, decider, options, stop.clone()).await?;
    let mut judged = Vec::with_capacity(messages.len());
    for (Message { event, arrived }, answer) in messages.into_iter().zip(answers) {
        let tries = RetryBudget { attempt: arrived.attempts, retries, at_once: at_once + 1 };
        let message = Disposition::of(event, answer, tries);
        if let Disposition::GivenUp(rejection) = &message {
            set_aside(arrived, rejection, decider, options, stop.clone()).await?;
        }
        judged.push(message);
    }
    Ok(judged)
}

/// While the store is away nothing is consumed and no attempt is spent: the lane waits here.
async fn decide<D: Decider>(
    messages: &mut [Message<'_>],
    mut parts: BatchBisector,
    decider: &D,
    options: &Options,
    mut stop: Stop,
) -> Result<Vec<EnrollmentResult>, FeedError> {
    let mut patience = StoreBackoff::new(options);
    while let Some(part) = parts.next() {
        match decider.decide(&messages[part.clone()]).await {
            Ok(answers) => {
                parts.decided(answers);
                patience = StoreBackoff::new(options);
            }
            Err(error) => {
                let problem = error.to_string();
                // Without an answer from the store it may have been committed all the same.
                if !matches!(error, DecideError::Poison(_)) {
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
async fn set_aside<D: Decider>(
    mut arrived: Arrived<'_>,
    rejection: &Rejection,
    decider: &D,
    options: &Options,
    mut stop: Stop,
) -> Result<(), FeedError> {
    let mut patience = StoreBackoff::new(options);
    while let Err(error) = decider.set_aside(arrived, rejection).await {
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
        warn!(error = problem, retry_in = ?delay, "batch not decided");
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

/// How long it took to the first decision. One that was held or deferred waits on purpose, and is not asked again.
fn observe_age(judged: &Disposition) {
    if let Disposition::Decided(enrollment, Decided { decision, at }) = judged
        && *decision != Decision::Duplicate
    {
        let age = (*at - enrollment.enrolled_at).max(TimeDelta::zero());
        histogram!(telemetry::ENROLLMENT_AGE_SECONDS).record(age.to_std().unwrap_or_default());
    }
}

/// Counts, logs and tells the observer what was committed.
pub(super) fn report(judged: &Disposition, options: &Options) {
    match judged {
        Disposition::Decided(enrollment, decided) => report_decided(enrollment, decided, options),
        Disposition::Rejected(rejection) | Disposition::GivenUp(rejection) => {
            warn!(reason = rejection.reason.as_str(), detail = rejection.detail, "message dead-lettered");
            if let Some(observer) = &options.observer {
                observer(Outcome::DeadLetter(rejection));
            }
        }
        Disposition::Retry(key, reason, problem) => warn!(
            account.id = key.map(|key| key.account_id),
            enrollment.id = key.map(|key| key.enrollment_id),
            reason = reason.as_str(),
            error = problem,
            "enrollment scheduled for retry"
        ),
    }
}

fn report_decided(enrollment: &NewEnrollment, Decided { decision, .. }: &Decided, options: &Options) {
    telemetry::decided(enrollment, decision);
    if let Some(observer) = &options.observer {
        observer(Outcome::Decided(enrollment, decision));
    }
}
