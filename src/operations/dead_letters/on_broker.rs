//! In the dead-letter queue of the broker.

use std::collections::VecDeque;

use super::{Error, Order, Tempo};
use crate::broker::{DeadLetters, Held, Options};
use crate::domain::dead_letter::{DeadLetter, Selection};
use crate::ports::FeedError;
use crate::store::StoreError;

/// Letters that are replayed at a time.
const PAGE: usize = 100;

/// The newest of a selection, newest first.
pub async fn newest(
    options: &Options,
    selection: &Selection,
    limit: usize,
) -> Result<Vec<DeadLetter>, Error> {
    let mut letters = opened(options).await?;
    let mut found = VecDeque::new();
    while let Some(held) = letters.next().await.map_err(said)? {
        if selection.takes(&held.letter) {
            if found.len() == limit {
                found.pop_front();
            }
            found.push_back(held.letter);
        }
    }
    letters.give_back().await.map_err(said)?;
    Ok(found.into_iter().rev().collect())
}

/// How many were published to the work queue again.
pub async fn replay(order: &Order<'_>, options: &Options, tempo: Tempo) -> Result<usize, Error> {
    let mut letters = opened(options).await?;
    let replayed = replay_all(&mut letters, order, tempo).await;
    // However it ended, the rest goes back in its order.
    let returned = letters.give_back().await.map_err(said);
    replayed.and_then(|replayed| returned.map(|()| replayed))
}

/// Page by page: published, confirmed, audited, and only then removed. A kill in between repeats, and the ledger answers.
async fn replay_all(letters: &mut DeadLetters, order: &Order<'_>, mut tempo: Tempo) -> Result<usize, Error> {
    let mut page = Vec::new();
    let mut replayed = 0;
    loop {
        let next = letters.next().await.map_err(said)?;
        let at_end = next.is_none();
        match next {
            Some(held) if order.selection.takes(&held.letter) => page.push(held),
            Some(_) | None => {}
        }
        if page.len() == PAGE || letters.is_full() || at_end {
            replayed += page.len();
            send_back(letters, order, std::mem::take(&mut page)).await?;
            tempo.keep(replayed).await;
        }
        if at_end {
            return Ok(replayed);
        }
    }
}

async fn send_back(letters: &mut DeadLetters, order: &Order<'_>, page: Vec<Held>) -> Result<(), Error> {
    if page.is_empty() {
        return Ok(());
    }
    letters.send_back(&page).await.map_err(said)?;
    order.audit("replay_dead_letters", &page).await?;
    letters.remove(page).await.map_err(said)
}

pub async fn discard(order: &Order<'_>, options: &Options, confirm: u64) -> Result<(), Error> {
    let mut letters = opened(options).await?;
    let discarded = discard_all(&mut letters, order, confirm).await;
    let returned = letters.give_back().await.map_err(said);
    discarded.and(returned)
}

async fn discard_all(letters: &mut DeadLetters, order: &Order<'_>, confirm: u64) -> Result<(), Error> {
    let mut chosen = Vec::new();
    while let Some(mut held) = letters.next().await.map_err(said)? {
        if order.selection.takes(&held.letter) {
            held.letter.body = Vec::new();
            chosen.push(held);
        }
    }
    if chosen.len() as u64 != confirm {
        return Err(StoreError::Miscounted(order.selection.other_number(chosen.len() as u64, confirm)).into());
    }
    if chosen.is_empty() {
        return Ok(());
    }
    order.audit("discard_dead_letters", &chosen).await?;
    letters.remove(chosen).await.map_err(said)
}

impl Order<'_> {
    async fn audit(&self, action: &str, letters: &[Held]) -> Result<(), Error> {
        let ids: Vec<String> = letters.iter().map(|held| held.letter.id.clone()).collect();
        Ok(self.operations.store.audit_dead_letters(self.selection, &self.actor, action, &ids).await?)
    }
}

async fn opened(options: &Options) -> Result<DeadLetters, Error> {
    DeadLetters::open(options).await.map_err(said)
}

fn said(error: FeedError) -> Error {
    let (FeedError::Transient(sentence) | FeedError::Permanent(sentence)) = error;
    Error::Failed(sentence)
}
