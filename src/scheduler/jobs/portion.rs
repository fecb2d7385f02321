//! How many rows go in one transaction: as many as take about a second, which nobody waits for in vain.

use std::time::Duration;

/// How long a transaction may work.
const SHORT: Duration = Duration::from_secs(1);
/// How many go in the first one.
const FIRST: u32 = 250;

/// The size of the next batch.
#[derive(Debug)]
pub struct Portion {
    size: u32,
    max: u32,
}

impl Portion {
    pub fn new(max: u32) -> Self {
        Self { size: FIRST.min(max), max }
    }

    pub fn size(&self) -> u32 {
        self.size
    }

    /// One of them cannot be removed: fewer, until it stands alone.
    pub fn halve(&mut self) {
        self.size = (self.size / 2).max(1);
    }

    /// Learns from a batch.
    pub fn fit(&mut self, was_full: bool, took: Duration) {
        if took > SHORT {
            self.halve();
        } else if was_full && took < SHORT / 2 {
            self.size = self.size.saturating_mul(2).min(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size after many batches at this speed.
    fn settles_at(rows_a_second: u32, max: u32) -> u32 {
        let mut portion = Portion::new(max);
        for _ in 0..40 {
            portion.fit(true, Duration::from_secs(1) * portion.size() / rows_a_second);
        }
        portion.size()
    }

    #[test]
    fn a_batch_takes_a_second() {
        assert!((1000..=2000).contains(&settles_at(2000, 10_000)));
        assert!((1..=10).contains(&settles_at(10, 10_000)));
        assert_eq!(settles_at(100_000, 700), 700);
        assert_eq!(settles_at(1, 100), 1);
    }

    #[test]
    fn what_cannot_be_removed_is_soon_alone() {
        let mut portion = Portion::new(10_000);
        for _ in 0..14 {
            portion.halve();
        }
        assert_eq!(portion.size(), 1);
        // Few were left: that says nothing of how many would do.
        portion.fit(false, Duration::ZERO);
        assert_eq!(portion.size(), 1);
    }
}
