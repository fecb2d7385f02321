//! Pauses between tries: full jitter up to a bound that doubles.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);

/// The pauses of one thing that is tried again and again.
#[derive(Debug)]
pub struct Backoff {
    cap: Duration,
    bound: Duration,
}

impl Backoff {
    /// No pause is longer than `cap`.
    pub fn new(cap: Duration) -> Self {
        Self { cap, bound: FIRST.min(cap) }
    }

    /// It worked: start small again.
    pub fn reset(&mut self) {
        self.bound = FIRST.min(self.cap);
    }

    /// The next pause, anywhere between nothing and the bound: many that failed together come back apart.
    pub fn pause(&mut self) -> Duration {
        let bound = self.bound;
        self.bound = (self.bound * 2).min(self.cap);
        let millis = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(fastrand::u64(..=millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_start_small_again() {
        let cap = Duration::from_secs(5);
        let mut backoff = Backoff::new(cap);
        assert!(backoff.pause() <= FIRST);
        let longest = (0..200).map(|_| backoff.pause()).max();
        assert!(longest > Some(Duration::from_secs(1)) && longest <= Some(cap), "{longest:?}");
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
