//! What waits, and in which batches it goes. A pure state machine: no await, no clock.

use std::collections::VecDeque;

use crate::ports::Delivery;

/// What the bodies of a batch may take: what is read of them takes several times as much.
const MAX_BATCH_BYTES: usize = 512 * 1024;

/// Deliveries in the order they came, until a lane is free for them.
pub struct Batcher<R> {
    size: usize,
    waiting: VecDeque<Delivery<R>>,
}

impl<R> Batcher<R> {
    /// No batch is larger than `size`.
    pub fn new(size: usize) -> Self {
        Self { size, waiting: VecDeque::new() }
    }

    pub fn push(&mut self, delivery: Delivery<R>) {
        self.waiting.push_back(delivery);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Enough waits for a batch: no more is taken until one goes.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.size
    }

    /// The next batch, oldest first: as many as may go together, or one alone.
    pub fn take(&mut self) -> Vec<Delivery<R>> {
        let mut bytes = 0;
        let mut fits = |delivery: &Delivery<R>| {
            bytes += delivery.body.len();
            bytes <= MAX_BATCH_BYTES
        };
        let goes_along = |delivery: &&Delivery<R>| !must_run_alone(delivery) && fits(delivery);
        let together = self.waiting.iter().take(self.size).take_while(goes_along).count();
        self.waiting.drain(..together.max(1).min(self.waiting.len())).collect()
    }
}

/// Whoever had it last may have died of it, or something is in its way: others are not drawn into that.
fn must_run_alone<R>(delivery: &Delivery<R>) -> bool {
    delivery.redelivered || delivery.attempt > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dead_letter::Origin;

    /// Batches of at most three, of messages that are fresh (`f`), large (`l`), redelivered (`r`) or put off before (`p`).
    fn batches(messages: &str) -> Vec<String> {
        let mut batcher = Batcher::new(3);
        for kind in messages.chars() {
            let attempt = u32::from(kind == 'p');
            batcher.push(Delivery {
                body: vec![b' '; if kind == 'l' { MAX_BATCH_BYTES / 2 } else { 0 }],
                unread: None,
                redelivered: kind == 'r',
                attempt,
                trace: None,
                origin: Origin::place("test".into(), String::new()),
                ack_handle: kind,
            });
        }
        let mut taken = Vec::new();
        while !batcher.is_empty() {
            taken.push(batcher.take().iter().map(|delivery| delivery.ack_handle).collect());
        }
        taken
    }

    #[test]
    fn a_batch_is_as_large_as_it_may_be_and_in_the_order_of_arrival() {
        assert_eq!(batches("fffff"), ["fff", "ff"]);
        assert_eq!(batches("f"), ["f"]);
        assert_eq!(batches(""), Vec::<String>::new());
    }

    #[test]
    fn a_batch_of_large_messages_is_short() {
        assert_eq!(batches("lllf"), ["ll", "lf"]);
    }

    #[test]
    fn redelivered_and_retried_messages_get_their_own_batch() {
        assert_eq!(batches("rrf"), ["r", "r", "f"]);
        assert_eq!(batches("ffrffp"), ["ff", "r", "ff", "p"]);
    }
}
