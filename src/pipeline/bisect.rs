//! How a batch comes to its answers: all at once, and where that fails in parts, so that one message never holds the
//! others. A pure state machine: no await, no clock.

use std::ops::Range;

use crate::domain::rejection::Rejection;
use crate::ports::{Answers, BatchError, RetryReason};

/// What was found out about one message.
#[derive(Clone, Debug)]
pub enum MessageResult<A> {
    /// Committed: the answer, or its dead letter.
    Processed(Result<A, Rejection>),
    /// The store cannot take it.
    Poison(String),
    /// Something was in its way, as often as it was tried.
    Blocked(RetryReason, String),
}

/// What to do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextAction {
    /// Ask for the next part.
    Continue,
    /// The same part again, after a pause.
    Backoff,
}

/// A batch on its way to its answers.
pub struct BatchBisector<A> {
    answers: Vec<Option<MessageResult<A>>>,
    /// Without an answer yet; the last one is next.
    open: Vec<Range<usize>>,
    /// How often a message that stands alone is tried again at its place.
    tries: u32,
    tries_left: u32,
}

impl<A> BatchBisector<A> {
    pub fn new(count: usize, tries: u32) -> Self {
        let open = if count == 0 { Vec::new() } else { vec![0..count; 1] };
        let answers = std::iter::repeat_with(|| None).take(count).collect();
        Self { answers, open, tries, tries_left: tries }
    }

    /// What to process next: parts come in the order of arrival.
    pub fn next(&self) -> Option<Range<usize>> {
        self.open.last().cloned()
    }

    /// The next part is committed, with these answers.
    pub fn processed(&mut self, answers: Answers<A>) {
        let part = self.answered();
        for (slot, answer) in self.answers[part].iter_mut().zip(answers) {
            *slot = Some(MessageResult::Processed(answer));
        }
    }

    /// The next part was not processed.
    pub fn failed(&mut self, error: BatchError) -> NextAction {
        let alone = self.next().is_some_and(|part| part.len() == 1);
        match error {
            BatchError::Unavailable(_) => return NextAction::Backoff,
            BatchError::Blocked { .. } if alone && self.tries_left > 0 => {
                self.tries_left -= 1;
                return NextAction::Backoff;
            }
            BatchError::Blocked { reason, message } if alone => {
                self.answer(MessageResult::Blocked(reason, message));
            }
            BatchError::Poison(problem) if alone => self.answer(MessageResult::Poison(problem)),
            // Each costs its own timeout, so that only those pay it that something is in the way of.
            BatchError::Blocked { .. } => {
                let part = self.answered();
                self.open.extend(part.rev().map(|index| index..index + 1));
            }
            BatchError::Poison(_) => {
                let part = self.answered();
                let middle = part.start + part.len() / 2;
                self.open.extend([middle..part.end, part.start..middle]);
            }
        }
        NextAction::Continue
    }

    /// The answers in the order of arrival; none is missing once there is no next part.
    pub fn into_answers(self) -> Vec<MessageResult<A>> {
        let unanswered = || MessageResult::Poison("the store gave no answer".to_owned());
        self.answers.into_iter().map(|answer| answer.unwrap_or_else(unanswered)).collect()
    }

    fn answer(&mut self, answer: MessageResult<A>) {
        let part = self.answered();
        if let Some(slot) = self.answers.get_mut(part.start) {
            *slot = Some(answer);
        }
    }

    fn answered(&mut self) -> Range<usize> {
        self.tries_left = self.tries;
        self.open.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_the_way() -> BatchError {
        BatchError::Blocked { reason: RetryReason::TimedOut, message: "57014".to_owned() }
    }

    /// Has `count` messages processed by something that fails like this on every part with message `bad` in it: the parts
    /// that were asked for, and the answers in short.
    fn play(count: usize, bad: usize, error: &BatchError) -> (Vec<Range<usize>>, String) {
        let mut parts = BatchBisector::new(count, 0);
        let mut asked = Vec::new();
        while let Some(part) = parts.next() {
            asked.push(part.clone());
            if part.contains(&bad) {
                assert_eq!(parts.failed(error.clone()), NextAction::Continue);
            } else {
                parts.processed(vec![Ok(()); part.len()]);
            }
        }
        let short = |answer| match answer {
            MessageResult::Processed(_) => 'd',
            MessageResult::Poison(_) => 'u',
            MessageResult::Blocked(..) => 'w',
        };
        (asked, parts.into_answers().into_iter().map(short).collect())
    }

    #[test]
    fn a_batch_that_passes_is_asked_for_once() {
        assert_eq!(play(4, 9, &in_the_way()), (vec![0..4; 1], "dddd".to_owned()));
        assert_eq!(play(0, 9, &in_the_way()), (vec![], String::new()));
    }

    #[test]
    fn poison_message_is_isolated_by_bisection() {
        let (asked, answers) = play(8, 5, &BatchError::Poison(String::new()));
        assert_eq!(answers, "dddddudd");
        assert_eq!(asked, [0..8, 0..4, 4..8, 4..6, 4..5, 5..6, 6..8]);
    }

    #[test]
    fn where_something_is_in_the_way_each_is_tried_alone() {
        let (asked, answers) = play(4, 1, &in_the_way());
        assert_eq!((asked, answers.as_str()), (vec![0..4, 0..1, 1..2, 2..3, 3..4], "dwdd"));
    }

    #[test]
    fn while_the_store_is_away_nothing_moves() {
        let mut parts = BatchBisector::<()>::new(3, 0);
        for _ in 0..50 {
            assert_eq!(parts.failed(BatchError::Unavailable(String::new())), NextAction::Backoff);
            assert_eq!(parts.next(), Some(0..3));
        }
    }

    #[test]
    fn without_retry_queues_a_message_is_retried_in_place() {
        let mut parts = BatchBisector::<()>::new(1, 2);
        assert_eq!(parts.failed(in_the_way()), NextAction::Backoff);
        assert_eq!(parts.failed(in_the_way()), NextAction::Backoff);
        assert_eq!(parts.failed(in_the_way()), NextAction::Continue);
        assert_eq!(parts.next(), None);
        assert!(matches!(parts.into_answers()[..], [MessageResult::Blocked(RetryReason::TimedOut, _)]));
    }
}
