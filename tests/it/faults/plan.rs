//! The events of a run, and what the contract says becomes of each: a model so small that it can be read.
//!
//! Contacts are told apart by the last digit of their number: up to 5 they meet the criteria, 6 and 7 they do not, 8
//! and 9 the CRM does not know them. Every fifth event enrolls the contact before it a second time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::Dice;
use crate::support::records::{self, all_of, property};

pub const ACCOUNT: i64 = 1;
pub const WORKFLOW: i64 = 7;

/// Contacts from this number on: the store does not take a decision about them.
pub const POISON: i64 = 50_000_000;

/// Contacts that somebody deleted and restored before the first event.
pub const RESTORED: [i64; 3] = [1, 2, 11];

/// Outcome and reason; the reason is empty where there is none.
pub type Answer = (&'static str, &'static str);

/// How much of the events is out of the ordinary, in percent.
#[derive(Clone, Copy)]
pub struct Mix {
    /// Published twice.
    pub duplicates: usize,
    /// Malformed or poison, half of each.
    pub bad: usize,
}

pub enum Fate {
    Decided {
        contact: i64,
        enrollment: i64,
    },
    /// Set aside for this reason.
    DeadLetter(&'static str),
}

pub struct Event {
    pub body: Vec<u8>,
    pub fate: Fate,
}

/// All that may happen, taken in slices.
pub struct Plan {
    dice: Dice,
    mix: Mix,
    /// Everything taken so far, each once.
    pub taken: Vec<Event>,
}

impl Plan {
    pub fn new(mix: Mix, seed: u64) -> Self {
        Self { dice: Dice::new(seed), mix, taken: Vec::new() }
    }

    /// The next events, some of them twice, in no order.
    pub fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            let number = i64::try_from(self.taken.len()).expect("not that many") + 1;
            let event = event(number, self.dice.roll(100) < self.mix.bad);
            bodies.push(event.body.clone());
            if self.dice.roll(100) < self.mix.duplicates {
                bodies.push(event.body.clone());
            }
            self.taken.push(event);
        }
        self.dice.shuffle(&mut bodies);
        bodies
    }

    /// So many more enrollments of each of these contacts, in turn.
    pub fn enroll(&mut self, contacts: &[i64], times: usize) -> Vec<Vec<u8>> {
        let mut bodies = Vec::new();
        for contact in std::iter::repeat_n(contacts, times).flatten() {
            let number = i64::try_from(self.taken.len()).expect("not that many") + 1;
            let event = enrollment(number, *contact);
            bodies.push(event.body.clone());
            self.taken.push(event);
        }
        bodies
    }

    /// By contact, what its enrollments come to, in no order: the first deletes, the second finds it in the trash.
    pub fn answers(&self) -> BTreeMap<i64, Vec<Answer>> {
        let mut answers: BTreeMap<i64, Vec<Answer>> = BTreeMap::new();
        for event in &self.taken {
            if let Fate::Decided { contact, .. } = event.fate {
                let of_contact = answers.entry(contact).or_default();
                of_contact.push(match contact % 10 {
                    0..=5 if of_contact.is_empty() => ("deleted", ""),
                    0..=5 => ("skipped", "already_in_trash"),
                    6 | 7 => ("skipped", "criteria_not_met"),
                    _ => ("skipped", "contact_not_found"),
                });
            }
        }
        answers
    }

    /// How many rows the ledger is to have.
    pub fn decided(&self) -> usize {
        self.taken.iter().filter(|event| matches!(event.fate, Fate::Decided { .. })).count()
    }

    /// By body, why it is to be set aside.
    pub fn dead_letters(&self) -> BTreeMap<Vec<u8>, &'static str> {
        let bad = self.taken.iter().filter_map(|event| match event.fate {
            Fate::DeadLetter(reason) => Some((event.body.clone(), reason)),
            Fate::Decided { .. } => None,
        });
        bad.collect()
    }
}

fn event(number: i64, bad: bool) -> Event {
    if bad && number % 2 == 0 {
        let body = format!("{{\"specversion\": \"1.0\", \"id\": {number}").into_bytes();
        return Event { body, fate: Fate::DeadLetter("malformed") };
    }
    if bad {
        return Event { fate: Fate::DeadLetter("poison"), ..enrollment(number, POISON + number) };
    }
    enrollment(number, if number % 5 == 0 { number - 1 } else { number })
}

fn enrollment(number: i64, contact: i64) -> Event {
    let event = records::event(ACCOUNT, WORKFLOW, contact, number);
    Event { body: event.to_string().into_bytes(), fate: Fate::Decided { contact, enrollment: number } }
}

/// The account and the contacts it knows, enough of them for so many events.
pub fn world(events: i64) -> Vec<Value> {
    let mut world = records::entitled_account(ACCOUNT);
    let above = all_of(&[property("score", "NUMBER", "IS_GREATER_THAN", json!(49))]);
    world.push(records::workflow(ACCOUNT, WORKFLOW, &above));
    world.extend(known(events).map(|id| {
        let score = if id % 10 <= 5 { "50" } else { "49" };
        records::contact(ACCOUNT, id, json!({ "score": score }))
    }));
    world
}

/// The contacts that the CRM knows.
pub fn known(events: i64) -> impl Iterator<Item = i64> {
    (1..=events).filter(|id| id % 10 < 8)
}
