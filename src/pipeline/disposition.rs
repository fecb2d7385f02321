//! What one message came to, and how it is settled. Pure.

use super::bisect::MessageResult;
use crate::domain::rejection::{DeadLetterReason, Rejection};
use crate::ports::{RetryReason, SettleAction};

/// What one message came to.
#[derive(Clone, Debug)]
pub enum Disposition<E, A> {
    /// What it brought is committed, with this answer.
    Processed(E, A),
    /// It is no event, or contradicts one; the dead letter is committed.
    Rejected(Rejection),
    /// It cannot be processed: the dead letter is to be written by itself.
    GivenUp(Rejection),
    /// It is tried again later; with what was read of it.
    Retry(Option<E>, RetryReason, String),
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

impl<E, A> Disposition<E, A> {
    /// What was read of a message, and what was found out about it. One that was not read stays what it is.
    pub fn of(event: Result<E, Rejection>, answer: MessageResult<A>, tries: RetryBudget) -> Self {
        let give_up = |event: Result<_, _>, reason, detail| {
            Self::GivenUp(event.err().unwrap_or(Rejection { reason, detail }))
        };
        match (answer, event) {
            (MessageResult::Processed(Err(rejection)), _)
            | (MessageResult::Processed(Ok(_)), Err(rejection)) => Self::Rejected(rejection),
            (MessageResult::Processed(Ok(answer)), Ok(event)) => Self::Processed(event, answer),
            (MessageResult::Poison(problem), event) => {
                give_up(event, DeadLetterReason::Poison, format!("$.data: {problem}"))
            }
            (MessageResult::Blocked(reason, problem), event) if tries.attempt < tries.retries => {
                Self::Retry(event.ok(), reason, problem)
            }
            (MessageResult::Blocked(_, problem), event) => {
                let times = (tries.attempt.min(tries.retries) + 1) * tries.at_once;
                let detail = format!("$.data: {problem}; tried {times} times");
                give_up(event, DeadLetterReason::RetriesExhausted, detail)
            }
        }
    }

    /// How it is settled. `None`: not at all, it is given back; a service that stops spends nobody's attempts.
    pub fn verdict(&self, stopping: bool) -> Option<SettleAction> {
        match self {
            Self::Processed(..) => Some(SettleAction::Ack),
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
    use super::*;

    fn in_the_way(attempt: u32, retries: u32, at_once: u32) -> Disposition<(), ()> {
        let answer = MessageResult::Blocked(RetryReason::Contended, "a lock".to_owned());
        Disposition::of(Ok(()), answer, RetryBudget { attempt, retries, at_once })
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
