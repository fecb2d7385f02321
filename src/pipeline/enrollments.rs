//! Enrollments: messages that are decided.

use std::sync::Arc;

use chrono::TimeDelta;
use metrics::{counter, histogram};
use tracing::warn;

use super::{Handler, Metrics};
use crate::domain::decision::{Decision, DeferReason, HoldReason, RefuseReason, SkipReason};
use crate::domain::effects::Transition;
use crate::domain::enrollment::{EnrollmentKey, NewEnrollment, parse_event};
use crate::domain::rejection::Rejection;
use crate::domain::trace::TraceContext;
use crate::ports::{Answers, BatchError, Decided, Decider, Message};
use crate::telemetry;

/// What one message came to.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Decided, now or before.
    Decided(&'a NewEnrollment, &'a Decision),
    /// Set aside.
    DeadLetter(&'a Rejection),
}

/// Receives every outcome, after its commit and before it is settled.
pub type Observer = Arc<dyn Fn(Outcome<'_>) + Send + Sync>;

/// Has enrollments decided.
#[derive(Clone)]
pub struct Enrollments<D> {
    pub decider: D,
    pub observer: Option<Observer>,
}

impl<D> Enrollments<D> {
    /// Without an observer.
    pub fn new(decider: D) -> Self {
        Self { decider, observer: None }
    }
}

impl<D: Decider> Handler for Enrollments<D> {
    type Event = NewEnrollment;
    type Answer = Decided;
    type Store = D;

    const METRICS: Metrics = Metrics {
        batch_size: telemetry::BATCH_SIZE,
        batch_seconds: telemetry::BATCH_SECONDS,
        phases: ["decide", "settle"],
        in_flight: telemetry::IN_FLIGHT,
        connected: telemetry::FEED_CONNECTED,
        reconnects: telemetry::FEED_RECONNECTS_TOTAL,
    };

    fn store(&self) -> &D {
        &self.decider
    }

    fn parse(&self, body: &[u8], trace: Option<TraceContext>) -> Result<NewEnrollment, Rejection> {
        parse_event(body).map(|enrollment| NewEnrollment { trace, ..enrollment })
    }

    async fn handle(&self, batch: &[Message<'_, NewEnrollment>]) -> Result<Answers<Decided>, BatchError> {
        self.decider.decide(batch).await
    }

    fn report(&self, enrollment: &NewEnrollment, decided: &Decided) {
        observe_age(enrollment, decided);
        telemetry::decided(enrollment, &decided.decision);
        if let Some(observer) = &self.observer {
            observer(Outcome::Decided(enrollment, &decided.decision));
        }
    }

    fn report_dead_letter(&self, rejection: &Rejection) {
        if let Some(observer) = &self.observer {
            observer(Outcome::DeadLetter(rejection));
        }
    }

    fn report_retry(&self, event: Option<&NewEnrollment>, reason: &'static str, problem: &str) {
        let key = event.map(|NewEnrollment { key, .. }| key);
        warn!(
            account.id = key.map(|EnrollmentKey { account_id, .. }| account_id),
            enrollment.id = key.map(|EnrollmentKey { enrollment_id, .. }| enrollment_id),
            reason,
            error = problem,
            "enrollment scheduled for retry"
        );
    }

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
        let trash = Transition::Trash.as_str();
        counter!(telemetry::TRANSITIONS_TOTAL, "transition" => trash, "origin" => "workflow").increment(0);
    }
}

/// How long it took to the first decision. One that was held or deferred waits on purpose, and is not asked again.
fn observe_age(enrollment: &NewEnrollment, Decided { decision, at }: &Decided) {
    if *decision != Decision::Duplicate {
        let age = (*at - enrollment.enrolled_at).max(TimeDelta::zero());
        histogram!(telemetry::ENROLLMENT_AGE_SECONDS).record(age.to_std().unwrap_or_default());
    }
}
