//! A small CRM, enrollments of every kind, and what the contract says becomes of each: written from the
//! contract's table of checks alone, so that the program can be held against it.
//!
//! No answer depends on the order of arrival: a contact has one enrollment, or several of which any may win.

mod world;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::records::{self, days_ago, seconds_ago};

pub use world::{Faulty, faulty, world};

/// Professional, Starter, ended yesterday, Enterprise of another hub, and an account that does not exist.
const ACCOUNTS: [(i64, usize); 5] = [(1, 68), (2, 6), (3, 6), (4, 16), (99, 4)];
const STARTER: i64 = 2;
const ENDED: i64 = 3;
const ABSENT: i64 = 99;

/// Deletes whose score is above 49, by action 1 or 3; nobody twice.
const BY_SCORE: i64 = 11;
/// Deletes the members of the segment, as often as they come.
const BY_SEGMENT: i64 = 12;
const SWITCHED_OFF: i64 = 13;
const OF_DEALS: i64 = 14;
/// Asks for what nobody has built yet.
const NOT_UNDERSTOOD: i64 = 15;
const BY_HAND: i64 = 16;
const MISSING: i64 = 17;
const WORKFLOWS: [(i64, usize); 7] = [
    (BY_SCORE, 45),
    (BY_SEGMENT, 27),
    (SWITCHED_OFF, 4),
    (OF_DEALS, 4),
    (NOT_UNDERSTOOD, 8),
    (BY_HAND, 8),
    (MISSING, 4),
];

pub const SEGMENT: i64 = 4;

/// How a contact stands before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Live,
    Unknown,
    InTrash,
    Purged,
    /// Deleted and restored by a user.
    Restored,
}

/// An earlier enrollment in the same workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    None,
    Ended,
    Active,
}

/// When the contact was enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Enrolled {
    /// Before anything that happens in the test.
    LongAgo,
    /// More than the ledger remembers.
    TooLongAgo,
    /// After every restore.
    Lately,
}

/// An enrollment and its contact.
#[derive(Clone, Debug)]
pub struct Case {
    pub account: i64,
    pub contact: i64,
    pub workflow: i64,
    pub enrollment: i64,
    pub action: i64,
    pub state: State,
    pub earlier: Earlier,
    object_type: &'static str,
    cause: &'static str,
    enrolled: Enrolled,
    score: usize,
    member: bool,
}

/// An outcome, and its reason or nothing.
pub type Answer = (&'static str, &'static str);

/// Chance that is the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`: xorshift, which is enough to mix.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    /// One of the choices, each as often as its weight says.
    fn choose<T: Copy>(&mut self, choices: &[(T, usize)]) -> T {
        let mut place = self.roll(choices.iter().map(|(_, weight)| weight).sum());
        for (choice, weight) in choices {
            match place.checked_sub(*weight) {
                Some(rest) => place = rest,
                None => return *choice,
            }
        }
        unreachable!("the weights were summed")
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.roll(last + 1));
        }
    }
}

/// As many enrollments, every circumstance chosen apart from the others: so the order of the checks shows. Every
/// fortieth contact has three of which one wins.
pub fn cases(count: usize, dice: &mut Dice) -> Vec<Case> {
    let mut cases = Vec::with_capacity(count);
    let mut contact = 500_000;
    while cases.len() < count {
        contact += 1;
        if contact % 40 == 0 && cases.len() + 3 <= count {
            cases.extend(rivals(contact));
        } else {
            cases.push(case(contact, dice));
        }
    }
    cases
}

fn case(contact: i64, dice: &mut Dice) -> Case {
    use {Earlier as E, Enrolled as N, State as S};
    let account = dice.choose(&ACCOUNTS);
    let workflow = dice.choose(&WORKFLOWS);
    let states = [(S::Live, 84), (S::Unknown, 5), (S::InTrash, 5), (S::Purged, 3), (S::Restored, 3)];
    let state = if account == ABSENT { S::Unknown } else { dice.choose(&states) };
    let earlier = if state == S::Live && workflow != MISSING {
        dice.choose(&[(E::None, 80), (E::Ended, 12), (E::Active, 8)])
    } else {
        E::None
    };
    let causes = [("CRITERIA", 76), ("EVENT", 10), ("MANUAL", 14)];
    Case {
        account,
        contact,
        workflow,
        enrollment: contact + 400_000,
        action: dice.choose(&[(1, 90), (3, 7), (2, 3)]),
        state,
        earlier,
        object_type: dice.choose(&[("0-1", 97), ("0-2", 3)]),
        cause: if workflow == BY_HAND { "MANUAL" } else { dice.choose(&causes) },
        enrolled: dice.choose(&[(N::LongAgo, 72), (N::Lately, 25), (N::TooLongAgo, 3)]),
        score: dice.roll(100),
        member: dice.roll(100) < 60,
    }
}

/// Two actions of one enrollment, and an enrollment in another workflow: each would delete.
fn rivals(contact: i64) -> [Case; 3] {
    let first = Case {
        account: 1,
        contact,
        workflow: BY_SCORE,
        enrollment: contact + 400_000,
        action: 1,
        state: State::Live,
        earlier: Earlier::None,
        object_type: "0-1",
        cause: "CRITERIA",
        enrolled: Enrolled::LongAgo,
        score: 80,
        member: true,
    };
    let second = Case { action: 3, ..first.clone() };
    let third = Case { workflow: BY_SEGMENT, enrollment: contact + 800_000, ..first.clone() };
    [first, second, third]
}

impl Case {
    /// What the contract's checks say, in their order, of this enrollment alone.
    fn answer(&self) -> Answer {
        let manual = self.cause == "MANUAL";
        // Who was restored left the segment when they were deleted.
        let member = self.member && self.state == State::Live;
        if self.enrolled == Enrolled::TooLongAgo {
            ("refused", "enrollment_too_old")
        } else if self.object_type != "0-1" {
            ("refused", "object_type_not_supported")
        } else if self.account == ABSENT {
            ("refused", "account_not_found")
        } else if self.workflow == MISSING {
            ("refused", "workflow_not_found")
        } else if self.workflow == OF_DEALS {
            ("refused", "workflow_type_not_supported")
        } else if self.action == 2 || self.action == 3 && self.workflow != BY_SCORE {
            ("refused", "action_not_in_workflow")
        } else if self.workflow == SWITCHED_OFF {
            ("skipped", "workflow_off")
        } else if self.account == STARTER || self.account == ENDED {
            ("refused", "subscription_required")
        } else if self.state == State::Unknown {
            ("skipped", "contact_not_found")
        } else if self.state == State::InTrash {
            ("skipped", "already_in_trash")
        } else if self.state == State::Purged {
            ("skipped", "permanently_deleted")
        } else if self.state == State::Restored && self.enrolled != Enrolled::Lately {
            ("skipped", "restored_since_enrollment")
        } else if self.earlier == Earlier::Active {
            ("skipped", "already_enrolled")
        } else if self.earlier == Earlier::Ended && self.workflow != BY_SEGMENT {
            ("skipped", "re_enrollment_off")
        } else if self.workflow == NOT_UNDERSTOOD && !manual {
            ("refused", "criteria_unsupported")
        } else if manual
            || self.workflow == BY_SCORE && self.score > 49
            || self.workflow == BY_SEGMENT && member
        {
            ("deleted", "")
        } else {
            ("skipped", "criteria_not_met")
        }
    }

    /// The body of the event.
    pub fn body(&self) -> Value {
        let mut event = records::event(self.account, self.workflow, self.contact, self.enrollment);
        let data = &mut event["data"];
        data["actionId"] = json!(self.action.to_string());
        data["objectTypeId"] = json!(self.object_type);
        data["cause"] = json!(self.cause);
        data["enrolledAt"] = json!(match self.enrolled {
            Enrolled::LongAgo => seconds_ago(3600),
            Enrolled::TooLongAgo => days_ago(121),
            Enrolled::Lately => seconds_ago(0),
        });
        if self.cause == "EVENT" {
            data["event"] = json!({"eventTypeId": "7", "occurredAt": seconds_ago(3600), "properties": {}});
        }
        event
    }

    /// Is the contact in the segment when the first event comes?
    pub fn is_member(&self) -> bool {
        self.member && self.state == State::Live
    }
}

/// By contact: what becomes of its enrollments, in no order. Of several that would all delete the first does.
pub fn answers(cases: &[Case]) -> BTreeMap<(i64, i64), Vec<Answer>> {
    let mut answers: BTreeMap<(i64, i64), Vec<Answer>> = BTreeMap::new();
    for case in cases {
        let of_contact = answers.entry((case.account, case.contact)).or_default();
        let taken = of_contact.iter().any(|(outcome, _)| *outcome == "deleted");
        of_contact.push(if taken { ("skipped", "already_in_trash") } else { case.answer() });
    }
    for of_contact in answers.values_mut() {
        of_contact.sort_unstable();
    }
    answers
}
