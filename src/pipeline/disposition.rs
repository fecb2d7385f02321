//! What one message came to, and how it is settled. Pure.

use super::bisect::EnrollmentResult;
use crate::domain::decision::Decision;
use crate::domain::enrollment::{EnrollmentKey, NewEnrollment};
use crate::domain::rejection::{DeadLetterReason, Rejection};
use crate::ports::{Decided, RetryReason, SettleAction};

/// What one message came to.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are of the large variant")]
pub enum Disposition {
    /// It stands in the ledger.
    Decided(NewEnrollment, Decided),
    /// It is no event, or contradicts one; the dead letter is committed.
    Rejected(Rejection),
    /// It cannot be decided: the dead letter is to be written by itself.
    GivenUp(Rejection),
    /// It is tried again later; by its key it is known, if it was read.
    Retry(Option<EnrollmentKey>, RetryReason, String),
}

/// How often a message was tried, and may be.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    /// How often it was put off before.
    pub attempt: u32,
    /// How often the feed can put it off in all.
    pub retries: u32,
    /// How often it was tried at one go.
    pub at_once: u32,
}

impl Disposition {
    /// What was read of a message, and what was found out about it. One that was not read stays what it is.
    pub fn of(event: Result<NewEnrollment, Rejection>, answer: EnrollmentResult, tries: RetryBudget) -> Self {
        let give_up = |event: Result<_, _>, reason, detail| {
            Self::GivenUp(event.err().unwrap_or(Rejection { reason, detail }))
        };
        match (answer, event) {
            (EnrollmentResult::Decided(Decided { decision: Decision::DeadLetter(rejection), .. }), _)
            | (EnrollmentResult::Decided(_), Err(rejection)) => Self::Rejected(rejection),
            (EnrollmentResult::Decided(decided), Ok(enrollment)) => Self::Decided(enrollment, decided),
            (EnrollmentResult::Poison(problem), event) => {
                give_up(event, DeadLetterReason::Poison, format!("$.data: {problem}"))
            }
            (EnrollmentResult::Blocked(reason, problem), event) if tries.attempt < tries.retries => {
                Self::Retry(event.ok().map(|enrollment| enrollment.key), reason, problem)
            }
            (EnrollmentResult::Blocked(_, problem), event) => {
                let times = (tries.attempt.min(tries.retries) + 1) * tries.at_once;
                let detail = format!("$.data: {problem}; tried {times} times");
                give_up(event, DeadLetterReason::RetriesExhausted, detail)
            }
        }
    }

    /// How it is settled. `None`: not at all, it is given back; a service that stops spends nobody's attempts.
    pub fn verdict(&self, stopping: bool) -> Option<SettleAction> {
        match self {
            Self::Decided(..) => Some(SettleAction::Ack),
            Self::Rejected(rejection) | Self::GivenUp(rejection) => {
                Some(SettleAction::DeadLetter(rejection.clone()))
            }
            Self::Retry(..) if stopping => None,
            Self::Retry(..) => Some(SettleAction::Retry),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::enrollment::parse_event;

    fn in_the_way(attempt: u32, retries: u32, at_once: u32) -> Disposition {
        let event = json!({"specversion": "1.0", "id": "m-1", "source": "/engine", "type": "workflow.enrollment.created",
            "data": {"accountId": "1", "workflowId": "5", "actionId": "2", "enrollmentId": "9001",
                "objectTypeId": "0-1", "objectId": "512", "enrolledAt": "2026-11-21T10:00:00Z", "cause": "MANUAL"}});
        let enrollment = parse_event(event.to_string().as_bytes()).unwrap();
        let answer = EnrollmentResult::Blocked(RetryReason::Contended, "a lock".to_owned());
        Disposition::of(Ok(enrollment), answer, RetryBudget { attempt, retries, at_once })
    }

    #[test]
    fn message_is_dead_lettered_after_the_last_retry() {
        for attempt in 0..5 {
            assert!(
                matches!(in_the_way(attempt, 5, 1).verdict(false), Some(SettleAction::Retry)),
                "{attempt}"
            );
        }
        for (attempt, retries, at_once, times) in [(5, 5, 1, 6), (9, 5, 1, 6), (0, 0, 6, 6)] {
            let Disposition::GivenUp(rejection) = in_the_way(attempt, retries, at_once) else {
                panic!("put off")
            };
            assert_eq!(rejection.reason, DeadLetterReason::RetriesExhausted);
            assert_eq!(rejection.detail, format!("$.data: a lock; tried {times} times"));
        }
    }

    #[test]
    fn shutdown_requeues_instead_of_scheduling_retries() {
        assert!(in_the_way(0, 5, 1).verdict(true).is_none());
        assert!(
            matches!(in_the_way(5, 5, 1).verdict(true), Some(SettleAction::DeadLetter(_))),
            "its last try was made"
        );
    }
}
