//! The database's clock, as it was seen last. Whoever purges by a clock that has just jumped might purge what could still be
//! restored.

use chrono::TimeDelta;

use super::db::Tx;
use super::values::args;
use super::{Store, StoreError, reading, transaction};
use crate::domain::time::Time;

/// What is further from the last look than this was a jump.
const JUMP: TimeDelta = TimeDelta::days(1);
/// How long no purge starts after one.
const WAIT: TimeDelta = TimeDelta::hours(1);
/// How often the time is written down.
const EVERY: TimeDelta = TimeDelta::seconds(15);

/// A look at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    now: Time,
    jumped_at: Option<Time>,
    /// How far it has jumped, where this look was the first to see it.
    pub jumped_by: Option<TimeDelta>,
    /// The last look was so long ago that the time is to be written down.
    is_stale: bool,
}

impl Clock {
    fn of(now: Time, seen: Option<(Time, Option<Time>)>) -> Self {
        let (seen_at, jumped_at) = seen.unzip();
        let gap = seen_at.map(|seen_at| now - seen_at);
        let jumped_by = gap.filter(|gap| gap.abs() > JUMP);
        let jumped_at = if jumped_by.is_some() { Some(now) } else { jumped_at.flatten() };
        Self { now, jumped_at, jumped_by, is_stale: gap.is_none_or(|gap| gap.abs() >= EVERY) }
    }

    /// Until when no purge starts; `None` where it may.
    pub fn purges_wait_until(&self) -> Option<Time> {
        self.jumped_at.filter(|at| (self.now - at).abs() < WAIT).map(|at| at + WAIT)
    }
}

impl Store {
    /// Looks at the clock. Reads only.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn clock(&self) -> Result<Clock, StoreError> {
        reading!(self, tx => look(tx))
    }

    /// Looks at the clock, and remembers what it saw.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn watch_clock(&self) -> Result<Clock, StoreError> {
        let clock = self.clock().await?;
        if clock.is_stale { transaction!(self, tx => watch(tx)) } else { Ok(clock) }
    }
}

async fn look(tx: &mut Tx) -> Result<Clock, StoreError> {
    let now = tx.now().await?;
    let row = tx.row("SELECT seen_at, jumped_at FROM clock WHERE clock_id = 1", &[]).await?;
    let seen = row.map(|row| Ok::<_, StoreError>((row.time("seen_at")?, row.optional_time("jumped_at")?)));
    Ok(Clock::of(now, seen.transpose()?))
}

async fn watch(tx: &mut Tx) -> Result<Clock, StoreError> {
    let clock = look(tx).await?;
    let sql = "INSERT INTO clock (clock_id, seen_at, jumped_at) VALUES (1, $1, $2) ON CONFLICT (clock_id) \
               DO UPDATE SET seen_at = excluded.seen_at, jumped_at = excluded.jumped_at";
    tx.execute(sql, args![clock.now, clock.jumped_at]).await?;
    Ok(clock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_time;

    #[test]
    fn a_jump_of_more_than_a_day_either_way_makes_purges_wait_for_an_hour() {
        let now = parse_time("2026-11-28T12:00:00Z").unwrap();
        let second = TimeDelta::seconds(1);
        for gap in [JUMP + second, TimeDelta::days(4000), -JUMP - second] {
            let clock = Clock::of(now, Some((now - gap, None)));
            assert_eq!((clock.jumped_by, clock.purges_wait_until()), (Some(gap), Some(now + WAIT)));
        }
        for gap in [JUMP, second, TimeDelta::zero(), -JUMP] {
            let clock = Clock::of(now, Some((now - gap, None)));
            assert_eq!((clock.jumped_by, clock.purges_wait_until()), (None, None));
        }
        assert_eq!(Clock::of(now, None).purges_wait_until(), None, "a new store");
        for (ago, waits) in [(WAIT - second, true), (WAIT, false), (-WAIT, false), (TimeDelta::zero(), true)]
        {
            let clock = Clock::of(now, Some((now, Some(now - ago))));
            assert_eq!(clock.purges_wait_until().is_some(), waits, "{ago}");
        }
    }
}
