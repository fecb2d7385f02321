//! Where a message waits that is to be tried again: a queue a rung, which gives it back to the work queue.

use std::time::Duration;

use lapin::types::ShortString;

use super::{Options, short};
use crate::ports::FeedError;

/// The rungs, in the order they are climbed.
#[derive(Default)]
pub(super) struct RetryQueues(Vec<RetryQueue>);

/// One queue and its time to live.
pub(super) struct RetryQueue {
    pub(super) queue: ShortString,
    millis: u64,
}

impl RetryQueues {
    /// # Errors
    /// A name that is too long.
    pub(super) fn new(options: &Options) -> Result<Self, FeedError> {
        let rung = |delay: &Duration| {
            let queue = short(&queue(&options.retry_queue_prefix, *delay))?;
            Ok(RetryQueue { queue, millis: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) })
        };
        options.retry_delays.iter().map(rung).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// For a message that was put off so often; `None` where it has been on all of them.
    pub(super) fn for_attempt(&self, attempt: u32) -> Option<&RetryQueue> {
        self.0.get(usize::try_from(attempt).ok()?)
    }
}

impl RetryQueue {
    /// How long a message waits here: between half of the rung and all of it, so that many that failed together come
    /// back apart. None waits longer than the rung behind one that came before it.
    pub(super) fn wait(&self) -> u64 {
        let half = self.millis / 2;
        fastrand::u64(half..=self.millis)
    }
}

/// `contact-reaper.retry.5s`: the delay is part of the name, so that another ladder gets other queues instead
/// of a contradiction.
pub(super) fn queue(prefix: &str, delay: Duration) -> String {
    let millis = delay.as_millis();
    let (count, unit) = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")]
        .into_iter()
        .find(|(size, _)| millis > 0 && millis.is_multiple_of(*size))
        .map_or((millis, "ms"), |(size, unit)| (millis / size, unit));
    format!("{prefix}.{count}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_options;

    #[test]
    fn retry_queues_are_named_by_their_delay() {
        let name = |millis| queue("r", Duration::from_millis(millis));
        assert_eq!([name(500), name(5_000), name(90_000)], ["r.500ms", "r.5s", "r.90s"]);
        assert_eq!([name(120_000), name(3_600_000), name(0)], ["r.2m", "r.1h", "r.0ms"]);
    }

    #[test]
    fn retry_delay_is_jittered_between_half_and_full() {
        let queues = RetryQueues::new(&test_options()).unwrap();
        assert_eq!(queues.len(), 5);
        for (attempt, seconds) in [1, 5, 30, 120, 600].into_iter().enumerate() {
            let rung = queues.for_attempt(u32::try_from(attempt).unwrap()).unwrap();
            let waits: Vec<u64> = (0..500).map(|_| rung.wait()).collect();
            assert!(waits.iter().all(|wait| (500 * seconds..=1000 * seconds).contains(wait)), "{seconds}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "all come back at once");
        }
        assert!(queues.for_attempt(5).is_none());
    }
}
