//! Conditions on what happened: custom events and submitted forms, narrowed down and counted.

use super::Truth;
use super::moment::When;
use super::subject::Subject;
use crate::domain::time::Time;

/// What is asked of a number of things that happened.
///
/// In this order: those in question are taken, `prune` leaves some of them, the filters are asked of each,
/// `coalesce` says what of the answers counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Refinements {
    /// Which of them count at all; `None`: all.
    pub prune: Option<Moment>,
    pub coalesce: Coalesce,
}

/// A condition on when something happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    pub when: When,
    pub negated: bool,
}

/// What the answers must amount to.
#[derive(Clone, Debug, PartialEq)]
pub enum Coalesce {
    /// So many pass; without bounds at least one.
    Count {
        min: u64,
        max: Option<u64>,
    },
    /// At least one of those that pass happened then.
    At(Moment),
    Set(SetType),
}

/// How a whole set must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetType {
    All,
    AllOrEmpty,
    Any,
    AnyOrEmpty,
    None,
    NoneOfSome,
}

impl Coalesce {
    pub const AT_LEAST_ONE: Self = Self::Count { min: 1, max: None };
}

impl Moment {
    fn holds(&self, at: Time, subject: Subject<'_>) -> Truth {
        let truth = self.when.holds(at, subject);
        if self.negated { truth.negate() } else { truth }
    }
}

impl Refinements {
    /// Whether what happened is as asked: each with its time, whether it is one of its own, and the answer of the
    /// filters.
    pub fn holds(&self, happened: impl Iterator<Item = (Time, Truth, Truth)>, subject: Subject<'_>) -> Truth {
        let mut tally = MatchCounter::default();
        for (at, is_another, mut passes) in happened {
            if let Coalesce::At(moment) = &self.coalesce {
                passes = passes.and(moment.holds(at, subject));
            }
            tally.note(is_another.and(self.counts(at, subject)), passes);
        }
        tally.verdict(&self.coalesce)
    }

    /// Does something that happened at this time count at all?
    pub fn counts(&self, at: Time, subject: Subject<'_>) -> Truth {
        self.prune.as_ref().map_or(Truth::True, |moment| moment.holds(at, subject))
    }

    /// Is it as asked, or `negated` is it not, where nothing ever happened?
    pub fn hold_of_nothing(&self, negated: bool) -> bool {
        MatchCounter::default().verdict(&self.coalesce).negate_if(negated) == Truth::True
    }
}

/// How many there are and how many pass: at least, and at most where all that is unknown is counted.
#[derive(Clone, Copy, Debug, Default)]
struct MatchCounter {
    surely_there: u64,
    maybe_there: u64,
    surely_pass: u64,
    maybe_pass: u64,
    surely_fail: u64,
    maybe_fail: u64,
}

impl MatchCounter {
    fn note(&mut self, counts: Truth, passes: Truth) {
        let (passes, fails) = (counts.and(passes), counts.and(passes.negate()));
        for (truth, surely, maybe) in [
            (counts, &mut self.surely_there, &mut self.maybe_there),
            (passes, &mut self.surely_pass, &mut self.maybe_pass),
            (fails, &mut self.surely_fail, &mut self.maybe_fail),
        ] {
            *surely += u64::from(truth == Truth::True);
            *maybe += u64::from(truth != Truth::False);
        }
    }

    fn verdict(self, coalesce: &Coalesce) -> Truth {
        let some = at_least(1, self.surely_there, self.maybe_there);
        let one_passes = at_least(1, self.surely_pass, self.maybe_pass);
        let one_fails = at_least(1, self.surely_fail, self.maybe_fail);
        match coalesce {
            Coalesce::Count { min, max } => {
                let enough = at_least(*min, self.surely_pass, self.maybe_pass);
                let too_many = max.map_or(Truth::False, |max| {
                    at_least(max.saturating_add(1), self.surely_pass, self.maybe_pass)
                });
                enough.and(too_many.negate())
            }
            Coalesce::At(_) | Coalesce::Set(SetType::Any) => one_passes,
            Coalesce::Set(SetType::All) => some.and(one_fails.negate()),
            Coalesce::Set(SetType::AllOrEmpty) => one_fails.negate(),
            Coalesce::Set(SetType::AnyOrEmpty) => one_passes.or(some.negate()),
            Coalesce::Set(SetType::None) => one_passes.negate(),
            Coalesce::Set(SetType::NoneOfSome) => some.and(one_passes.negate()),
        }
    }
}

fn at_least(wanted: u64, surely: u64, maybe: u64) -> Truth {
    if surely >= wanted {
        Truth::True
    } else if maybe < wanted {
        Truth::False
    } else {
        Truth::Unknown
    }
}
