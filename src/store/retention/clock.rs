//! The database's clock, as it was seen last. Whoever deletes by age, and by a clock that has just jumped, might delete what
//! was to stay for weeks.

use chrono::TimeDelta;

use crate::domain::time::Time;
use crate::store::db::Tx;
use crate::store::db::values::{Row, args};
use crate::store::{Store, StoreError, read_transaction, transaction};

/// What is further from the last look of a leader than this was a jump.
const JUMP: TimeDelta = TimeDelta::days(1);
/// How long nobody looks where commands alone do: `retention run` once a day.
const BETWEEN_COMMANDS: TimeDelta = TimeDelta::days(1);
/// How long no job that deletes starts after one.
const WAIT: TimeDelta = TimeDelta::hours(1);
/// How often the time is written down.
const EVERY: TimeDelta = TimeDelta::seconds(15);

/// Who looks at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looker {
    /// The leader of the schedule, every 15 seconds.
    Leader,
    /// A command, now and then.
    Command,
}

/// An earlier look.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Time,
    by: Looker,
    jumped_at: Option<Time>,
}

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
    fn of(now: Time, seen: Option<Seen>) -> Self {
        let gap = seen.map(|seen| now - seen.at);
        let may_pass = match seen.map(|seen| seen.by) {
            Some(Looker::Command) => BETWEEN_COMMANDS,
            Some(Looker::Leader) | None => TimeDelta::zero(),
        };
        let jumped_by = gap.filter(|gap| *gap > may_pass + JUMP || *gap < -JUMP);
        let jumped_at = if jumped_by.is_some() { Some(now) } else { seen.and_then(|seen| seen.jumped_at) };
        Self { now, jumped_at, jumped_by, is_stale: gap.is_none_or(|gap| gap.abs() >= EVERY) }
    }

    /// Until when no job that deletes starts; `None` where it may.
    pub fn jobs_wait_until(&self) -> Option<Time> {
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
        read_transaction!(self, tx => look(tx))
    }

    /// Looks at the clock, and remembers what it saw.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn watch_clock(&self, by: Looker) -> Result<Clock, StoreError> {
        let clock = self.clock().await?;
        if clock.is_stale { transaction!(self, tx => watch(tx, by)) } else { Ok(clock) }
    }
}

async fn look(tx: &mut Tx) -> Result<Clock, StoreError> {
    let now = tx.now().await?;
    let row = tx.row("SELECT seen_at, jumped_at, by_command FROM clock WHERE clock_id = 1", &[]).await?;
    let seen = |row: Row| {
        let by = if row.bool("by_command")? { Looker::Command } else { Looker::Leader };
        Ok::<_, StoreError>(Seen { at: row.time("seen_at")?, by, jumped_at: row.optional_time("jumped_at")? })
    };
    Ok(Clock::of(now, row.map(seen).transpose()?))
}

async fn watch(tx: &mut Tx, by: Looker) -> Result<Clock, StoreError> {
    let clock = look(tx).await?;
    let sql = "INSERT INTO clock (clock_id, seen_at, jumped_at, by_command) VALUES (1, $1, $2, $3 = 1) \
               ON CONFLICT (clock_id) DO UPDATE SET seen_at = excluded.seen_at, jumped_at = excluded.jumped_at, \
               by_command = excluded.by_command";
    tx.execute(sql, args![clock.now, clock.jumped_at, i64::from(by == Looker::Command)]).await?;
    Ok(clock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_time;

    #[test]
    fn a_jump_of_more_than_a_day_either_way_makes_jobs_wait_for_an_hour() {
        let now = parse_time("2026-11-28T12:00:00Z").unwrap();
        let second = TimeDelta::seconds(1);
        let seen = |by, ago, jumped_at| Some(Seen { at: now - ago, by, jumped_at });
        for (by, gap) in [
            (Looker::Leader, JUMP + second),
            (Looker::Leader, TimeDelta::days(4000)),
            (Looker::Leader, -JUMP - second),
            // A day may have passed, and another is a jump.
            (Looker::Command, JUMP * 2 + second),
            (Looker::Command, -JUMP - second),
        ] {
            let clock = Clock::of(now, seen(by, gap, None));
            assert_eq!((clock.jumped_by, clock.jobs_wait_until()), (Some(gap), Some(now + WAIT)));
        }
        for (by, gap) in [
            (Looker::Leader, JUMP),
            (Looker::Leader, second),
            (Looker::Leader, TimeDelta::zero()),
            (Looker::Leader, -JUMP),
            (Looker::Command, JUMP * 2),
            (Looker::Command, -JUMP),
        ] {
            let clock = Clock::of(now, seen(by, gap, None));
            assert_eq!((clock.jumped_by, clock.jobs_wait_until()), (None, None));
        }
        assert_eq!(Clock::of(now, None).jobs_wait_until(), None, "a new store");
        for (ago, waits) in [(WAIT - second, true), (WAIT, false), (-WAIT, false), (TimeDelta::zero(), true)]
        {
            let clock = Clock::of(now, seen(Looker::Leader, TimeDelta::zero(), Some(now - ago)));
            assert_eq!(clock.jobs_wait_until().is_some(), waits, "{ago}");
        }
    }
}
