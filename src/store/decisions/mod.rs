//! A batch of enrollments, decided and carried out in one transaction.
//!
//! Lock the contacts, load what the checks ask about, decide each enrollment in the order of arrival, apply
//! the trash column of the matrix to those that are to go, write ledger, outbox and audit. The rows of a
//! contact, workflow and subscription stay locked until the commit, so that nothing decides on what is no
//! longer true. Locks are taken in one order everywhere: the pause, contacts by key, then workflows, subscriptions, what
//! is the contact's, ledger, companies, the guards of accounts, dead letters; but a guard that is near a limit comes first
//! of these.

mod apply;
pub(super) mod decider;
pub(super) mod explain;
mod facts;
mod guard;
pub mod holds;
mod ledger;
pub mod pauses;
pub mod pending;
pub(super) mod unfinished_imports;
mod workflows;

use std::collections::HashMap;
use std::time::Duration;

use super::db::Tx;
use super::feed::dead_letters;
use super::{Store, StoreError, transaction};
use crate::domain::decision::{Decision, as_of};
use crate::domain::enrollment::NewEnrollment;
use crate::domain::guard::Limits;
use crate::domain::time::Time;
use crate::ports::{Decided, Message};
use facts::DecisionContext;
use pending::Trip;

/// What the settings say about decisions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// How long the ledger remembers.
    pub ledger_retention: Duration,
    /// How long an enrollment waits for its contact to come.
    pub wait_for_contact: Duration,
    /// Does what is refused leave as an event?
    pub announce_refusals: bool,
    /// How much workflows may delete.
    pub limits: Limits,
}

impl Store {
    /// Decides a batch and does what was decided, dead letters included; the answers are in the order of the batch. All
    /// of it is committed, or none.
    ///
    /// # Errors
    ///
    /// Transient ones leave nothing done that a repetition would not find in the ledger or among the dead letters.
    pub async fn decide(
        &self,
        batch: &[Message<'_, NewEnrollment>],
        rules: &Rules,
    ) -> Result<Vec<Decided>, StoreError> {
        let (decided, trips) = transaction!(self, tx => decide_and_set_aside(tx, self, batch, rules))?;
        pending::log(&trips);
        Ok(decided)
    }

    /// As [`Store::decide`], for messages that are dead letters of the store already: none is written.
    pub(super) async fn decide_again(
        &self,
        batch: &[Message<'_, NewEnrollment>],
        rules: &Rules,
    ) -> Result<Vec<Decided>, StoreError> {
        let (decided, trips, _) = transaction!(self, tx => decide_batch(tx, self, batch, rules))?;
        pending::log(&trips);
        Ok(decided)
    }
}

/// The dead letters are written last: the lock that they take is one that nothing else is waited for with.
async fn decide_and_set_aside(
    tx: &mut Tx,
    store: &Store,
    batch: &[Message<'_, NewEnrollment>],
    rules: &Rules,
) -> Result<(Vec<Decided>, Vec<Trip>), StoreError> {
    let (decided, trips, now) = decide_batch(tx, store, batch, rules).await?;
    let mut rejected = Vec::new();
    for (message, decided) in batch.iter().zip(&decided) {
        if let Decision::DeadLetter(rejection) = &decided.decision {
            rejected.push((message.arrived, rejection));
        }
    }
    dead_letters::write(tx, store.hash_key_home(), &rejected, now).await?;
    Ok((decided, trips))
}

/// What was not read is answered with why.
async fn decide_batch(
    tx: &mut Tx,
    store: &Store,
    batch: &[Message<'_, NewEnrollment>],
    rules: &Rules,
) -> Result<(Vec<Decided>, Vec<Trip>, Time), StoreError> {
    let now = pauses::lock_pauses_shared(tx).await?;
    let read = batch.iter().filter_map(|message| message.event.as_ref().ok().cloned());
    let enrollments: Vec<NewEnrollment> = read.map(|enrollment| as_of(enrollment, now)).collect();
    let (mut decided, mut trips) = (Vec::new(), Vec::new());
    if !enrollments.is_empty() {
        (decided, trips) = decide_enrollments(tx, store, &enrollments, rules, now).await?;
    }
    let mut decided = decided.into_iter();
    let answer = |message: &Message<'_, NewEnrollment>| match &message.event {
        Ok(_) => decided.next(),
        Err(rejection) => Some(Decided { decision: Decision::DeadLetter(rejection.clone()), at: now }),
    };
    Ok((batch.iter().filter_map(answer).collect(), trips, now))
}

async fn decide_enrollments(
    tx: &mut Tx,
    store: &Store,
    batch: &[NewEnrollment],
    rules: &Rules,
    now: Time,
) -> Result<(Vec<Decided>, Vec<Trip>), StoreError> {
    let mut known = DecisionContext::load(tx, &store.compiled, batch, now).await?;
    known.wait_for_contacts(rules.wait_for_contact, HashMap::new());
    let (decided, entries, last) = apply::decide_and_apply(tx, &mut known, batch, rules, now).await?;
    ledger::write(tx, batch.iter().zip(&decided), &entries).await?;
    let trips = pending::insert_pending(tx, &known, batch.iter().zip(&decided)).await?;
    apply::announce_refusals(tx, rules, batch.iter().zip(&decided)).await?;
    last.finish(tx, rules, now).await?;
    pending::insert_events(tx, store.hash_key_home(), &known, batch.iter().zip(&decided)).await?;
    Ok((decided, trips))
}
