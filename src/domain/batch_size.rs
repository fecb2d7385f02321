//! How many rows go into one statement or transaction: as many as take about the time that others may be made to wait.

use std::time::Duration;

/// How many rows go into the first batch.
const FIRST: u32 = 250;

/// The size of the next batch: doubled after a full batch that took less than half of the target, halved after one that took longer
/// than the target.
#[derive(Debug)]
pub struct AdaptiveBatchSize {
    size: u32,
    max: u32,
    target: Duration,
}

impl AdaptiveBatchSize {
    pub fn new(max: u32, target: Duration) -> Self {
        Self { size: FIRST.min(max), max, target }
    }

    pub fn size(&self) -> u32 {
        self.size
    }

    /// After a batch that failed: smaller, down to one row.
    pub fn halve(&mut self) {
        self.size = (self.size / 2).max(1);
    }

    /// After a batch that succeeded.
    pub fn adjust(&mut self, was_full: bool, took: Duration) {
        if took > self.target {
            self.halve();
        } else if was_full && took < self.target / 2 {
            self.size = self.size.saturating_mul(2).min(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_secs(1);

    /// The size after many batches at this speed.
    fn converges_on(rows_per_second: u32, max: u32) -> u32 {
        let mut size = AdaptiveBatchSize::new(max, TARGET);
        for _ in 0..40 {
            size.adjust(true, Duration::from_secs(1) * size.size() / rows_per_second);
        }
        size.size()
    }

    #[test]
    fn batch_size_converges_on_the_target() {
        assert!((1000..=2000).contains(&converges_on(2000, 10_000)));
        assert!((1..=10).contains(&converges_on(10, 10_000)));
        assert_eq!(converges_on(100_000, 700), 700);
        assert_eq!(converges_on(1, 100), 1);
    }

    #[test]
    fn failing_batches_are_halved_down_to_one_row() {
        let mut size = AdaptiveBatchSize::new(10_000, TARGET);
        for _ in 0..14 {
            size.halve();
        }
        assert_eq!(size.size(), 1);
        // A batch that was not full tells nothing about a larger one.
        size.adjust(false, Duration::ZERO);
        assert_eq!(size.size(), 1);
    }
}
