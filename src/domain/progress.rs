//! How far a feed is settled without a gap.
//!
//! Messages are settled in any order. What says "everything up to here" (a position to save, an acknowledgement of
//! many) may only say so where nothing before it is open: it would be lost with the next crash.

use std::collections::BTreeMap;

/// Everything before `position` is settled, and of what follows the ranges `ahead` (start → end).
#[derive(Clone, Debug, Default)]
pub struct AckTracker {
    position: u64,
    ahead: BTreeMap<u64, u64>,
}

/// How a number of deliveries is acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acks {
    /// All up to this one at once.
    pub up_to: Option<u64>,
    /// One by one, because something before them is open.
    pub singly: Vec<u64>,
}

impl AckTracker {
    /// Everything before `position` was settled long ago.
    pub fn from(position: u64) -> Self {
        Self { position, ahead: BTreeMap::new() }
    }

    /// Nothing before it is open.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What lies from `start` to just before `end` is settled.
    pub fn settle(&mut self, start: u64, end: u64) {
        self.ahead.insert(start, end);
        while let Some(range) = self.ahead.first_entry()
            && *range.key() <= self.position
        {
            self.position = self.position.max(range.remove());
        }
    }

    /// These deliveries, numbered from 1 in the order they came, are settled. The one that speaks for all before it
    /// is one of them: the broker does not know the earlier ones any more.
    pub fn acknowledge(&mut self, tags: &[u64]) -> Acks {
        for tag in tags {
            self.settle(tag.saturating_sub(1), *tag);
        }
        let (settled, ahead): (Vec<u64>, Vec<u64>) = tags.iter().partition(|tag| **tag <= self.position);
        Acks { up_to: settled.into_iter().max(), singly: ahead }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks(up_to: Option<u64>, singly: &[u64]) -> Acks {
        Acks { up_to, singly: singly.to_vec() }
    }

    #[test]
    fn multiple_ack_never_skips_an_unsettled_delivery() {
        let mut progress = AckTracker::default();
        assert_eq!(progress.acknowledge(&[1, 2, 3]), acks(Some(3), &[]));
        assert_eq!(progress.acknowledge(&[6, 7]), acks(None, &[6, 7]), "4 and 5 are open");
        assert_eq!(progress.acknowledge(&[4, 9]), acks(Some(4), &[9]), "5 is open");
        // Up to 7 all is settled, but 6 and 7 are known to the broker no more.
        assert_eq!(progress.acknowledge(&[5]), acks(Some(5), &[]));
        assert_eq!(progress.acknowledge(&[10, 8]), acks(Some(10), &[]));
        assert_eq!(progress.acknowledge(&[]), acks(None, &[]));
    }

    #[test]
    fn a_position_waits_for_what_is_open_before_it() {
        let mut progress = AckTracker::from(10);
        progress.settle(20, 30);
        assert_eq!(progress.position(), 10);
        progress.settle(10, 20);
        assert_eq!(progress.position(), 30);
    }
}
