//! One batch, from bodies to settlements.

use std::ops::Range;
use std::time::Instant;

use chrono::TimeDelta;
use metrics::{counter, gauge, histogram};
use tracing::{debug, warn};

use super::{Options, Outcome};
use crate::backoff::Backoff;
use crate::domain::decision::Decision;
use crate::domain::effects::Transition;
use crate::domain::enrollment::{DeadLetterReason, NewEnrollment, Rejection, parse_event};
use crate::ports::{Delivery, FeedError, Settlement, Settler, Stop, Verdict};
use crate::store::{Decided, Store, StoreError};
use crate::telemetry;

/// What became of one message: decided, or why it cannot be.
type Judged = Result<(NewEnrollment, Decided), Rejection>;

/// Decides a batch and settles it.
///
/// # Errors
///
/// Nothing of the batch was settled, or not all: what was not comes again.
pub async fn work<S: Settler>(
    batch: Vec<Delivery<S::Receipt>>,
    store: Store,
    settler: S,
    options: Options,
    stop: Stop,
) -> Result<(), FeedError> {
    let size = batch.len() as f64;
    gauge!(telemetry::IN_FLIGHT).increment(size);
    let result = decide_and_settle(batch, &store, &settler, &options, stop).await;
    gauge!(telemetry::IN_FLIGHT).decrement(size);
    result
}

async fn decide_and_settle<S: Settler>(
    batch: Vec<Delivery<S::Receipt>>,
    store: &Store,
    settler: &S,
    options: &Options,
    stop: Stop,
) -> Result<(), FeedError> {
    histogram!(telemetry::BATCH_SIZE).record(batch.len() as f64);
    counter!(telemetry::REDELIVERED_TOTAL)
        .increment(batch.iter().filter(|delivery| delivery.redelivered).count() as u64);
    let parsed: Vec<Result<NewEnrollment, Rejection>> =
        batch.iter().map(|delivery| parse_event(&delivery.body)).collect();
    let started = Instant::now();
    let results = decide(parsed, store, options, stop).await?;
    histogram!(telemetry::BATCH_SECONDS, "phase" => "decide").record(started.elapsed());
    for result in &results {
        report(result, options);
    }
    let started = Instant::now();
    let settle = |(delivery, result)| Settlement { delivery, verdict: verdict(result) };
    let rejections: Vec<DeadLetterReason> =
        results.iter().filter_map(rejection).map(|it| it.reason).collect();
    settler.settle(batch.into_iter().zip(results).map(settle).collect()).await?;
    histogram!(telemetry::BATCH_SECONDS, "phase" => "settle").record(started.elapsed());
    for reason in rejections {
        counter!(telemetry::DEAD_LETTERS_TOTAL, "reason" => reason.as_str()).increment(1);
    }
    Ok(())
}

/// Has the well-formed ones decided. One that the store cannot take does not hold the others: the batch is
/// halved until it stands alone.
async fn decide(
    parsed: Vec<Result<NewEnrollment, Rejection>>,
    store: &Store,
    options: &Options,
    mut stop: Stop,
) -> Result<Vec<Judged>, FeedError> {
    let enrollments: Vec<NewEnrollment> = parsed.iter().filter_map(|event| event.clone().ok()).collect();
    let mut decided: Vec<Option<Result<Decided, Rejection>>> = vec![None; enrollments.len()];
    let mut parts: Vec<Range<usize>> = std::iter::once(0..enrollments.len()).collect();
    let mut backoff = Backoff::new(options.max_reconnect_delay);
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        match store.decide(&enrollments[part.clone()], &options.rules).await {
            Ok(answers) => {
                for (slot, answer) in decided[part].iter_mut().zip(answers) {
                    *slot = Some(Ok(answer));
                }
            }
            Err(error) if error.is_transient() => {
                // While the store is away nothing is consumed and no attempt is spent: the lane waits here.
                let delay = backoff.pause();
                warn!(%error, retry_in = ?delay, "batch not decided");
                if stop.is_requested() {
                    return Err(FeedError::Transient(format!("stopping while {error}")));
                }
                tokio::select! {
                    () = stop.requested() => {}
                    () = tokio::time::sleep(delay) => {}
                }
                parts.push(part);
            }
            Err(error) if part.len() == 1 => decided[part.start] = Some(Err(poison(&error))),
            Err(_) => {
                let middle = part.start + part.len() / 2;
                // The first half is taken first: decisions are made in the order of arrival.
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            }
        }
    }
    let mut decided = enrollments.into_iter().zip(decided);
    let result = |event: Result<NewEnrollment, Rejection>| match event {
        Err(rejection) => Err(rejection),
        Ok(_) => match decided.next() {
            Some((enrollment, Some(Ok(decided)))) => Ok((enrollment, decided)),
            Some((_, Some(Err(rejection)))) => Err(rejection),
            _ => Err(poison(&StoreError::Failed("it gave no answer".to_owned()))),
        },
    };
    Ok(parsed.into_iter().map(result).collect())
}

fn poison(error: &StoreError) -> Rejection {
    Rejection { reason: DeadLetterReason::Poison, detail: format!("$.data: {error}") }
}

/// Why a message is set aside, if it is.
fn rejection(result: &Judged) -> Option<&Rejection> {
    match result {
        Err(rejection) | Ok((_, Decided { decision: Decision::DeadLetter(rejection), .. })) => {
            Some(rejection)
        }
        Ok(_) => None,
    }
}

fn verdict(result: Judged) -> Verdict {
    match result {
        Err(rejection) | Ok((_, Decided { decision: Decision::DeadLetter(rejection), .. })) => {
            Verdict::DeadLetter(rejection)
        }
        Ok(_) => Verdict::Ack,
    }
}

/// Counts, logs and tells the observer what was committed.
pub(super) fn report(result: &Judged, options: &Options) {
    if let Some(rejection) = rejection(result) {
        warn!(reason = rejection.reason.as_str(), detail = rejection.detail, "message set aside");
        if let Some(observer) = &options.observer {
            observer(Outcome::DeadLetter(rejection));
        }
        return;
    }
    let Ok((enrollment, Decided { decision, at })) = result else { return };
    let (outcome, reason) = (decision.outcome(), decision.reason().unwrap_or_default());
    debug!(
        account.id = enrollment.key.account_id,
        enrollment.id = enrollment.key.enrollment_id,
        workflow.id = enrollment.workflow_id,
        outcome,
        reason,
        "enrollment decided"
    );
    counter!(telemetry::ENROLLMENTS_TOTAL, "outcome" => outcome, "reason" => reason).increment(1);
    if *decision != Decision::Duplicate {
        let age = (*at - enrollment.enrolled_at).max(TimeDelta::zero());
        histogram!(telemetry::ENROLLMENT_AGE_SECONDS).record(age.to_std().unwrap_or_default());
    }
    if *decision == Decision::Delete {
        let trash = Transition::Trash.as_str();
        counter!(telemetry::TRANSITIONS_TOTAL, "transition" => trash, "origin" => "workflow").increment(1);
    }
    if let Some(observer) = &options.observer {
        observer(Outcome::Decided(enrollment, decision));
    }
}
