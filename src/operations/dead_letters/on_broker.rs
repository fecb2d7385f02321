//! In the dead-letter queue of the broker.

use std::collections::VecDeque;

use super::{Error, Order, Tempo};
use crate::broker::{DeadLetters, Held, Options};
use crate::domain::dead_letter::{DeadLetter, Place, Selection};
use crate::ports::FeedError;
use crate::store::StoreError;

/// Letters that are replayed at a time.
const PAGE: usize = 100;

/// The newest of a selection, or the newest behind a place of its list, newest first.
pub async fn newest(
    options: &Options,
    selection: &Selection,
    behind: Option<&Place>,
    limit: usize,
) -> Result<Vec<DeadLetter>, Error> {
    let mut letters = opened(options).await?;
    let mut found = Newest::new(behind, limit);
    while let Some(held) = letters.next().await.map_err(said)? {
        if selection.takes(&held.letter) {
            found.see(held.letter);
        }
    }
    letters.give_back().await.map_err(said)?;
    Ok(found.ended())
}

/// The newest letters up to a place, of all that go by in the order of the queue.
struct Newest<'a> {
    limit: usize,
    behind: Option<&'a Place>,
    is_reached: bool,
    letters: VecDeque<DeadLetter>,
    /// Should the letter of that place be gone, its time tells what is older.
    older: VecDeque<DeadLetter>,
}

impl<'a> Newest<'a> {
    fn new(behind: Option<&'a Place>, limit: usize) -> Self {
        Self { limit, behind, is_reached: false, letters: VecDeque::new(), older: VecDeque::new() }
    }

    fn see(&mut self, letter: DeadLetter) {
        self.is_reached |= self.behind.is_some_and(|place| place.id == letter.id);
        if self.is_reached {
            return;
        }
        if self.behind.is_some_and(|place| letter.at < place.at) {
            keep(&mut self.older, self.limit, letter.clone());
        }
        keep(&mut self.letters, self.limit, letter);
    }

    fn ended(self) -> Vec<DeadLetter> {
        let is_whole = self.is_reached || self.behind.is_none();
        let letters = if is_whole { self.letters } else { self.older };
        letters.into_iter().rev().collect()
    }
}

fn keep(letters: &mut VecDeque<DeadLetter>, limit: usize, letter: DeadLetter) {
    if letters.len() == limit {
        letters.pop_front();
    }
    letters.push_back(letter);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_time;

    fn listed(behind: Option<(&str, &str)>) -> Vec<String> {
        let time = |second: &str| parse_time(&format!("2026-11-21T10:00:{second}Z"));
        let place = behind.map(|(id, second)| Place { at: time(second), id: id.to_owned() });
        let mut newest = Newest::new(place.as_ref(), 2);
        for (id, second) in [("a", "01"), ("b", "02"), ("c", "02"), ("d", "04")] {
            let (reason, detail) = (String::new(), String::new());
            let body = Vec::new();
            newest.see(DeadLetter { id: id.to_owned(), reason, detail, attempts: 0, at: time(second), body });
        }
        newest.ended().into_iter().map(|letter| letter.id).collect()
    }

    #[test]
    fn a_list_goes_on_behind_its_last_letter_or_behind_the_time_of_one_that_is_gone() {
        assert_eq!(listed(None), ["d", "c"]);
        assert_eq!(listed(Some(("c", "02"))), ["b", "a"]);
        assert_eq!(listed(Some(("b", "02"))), ["a"]);
        assert_eq!(listed(Some(("a", "01"))), [""; 0]);
        assert_eq!(listed(Some(("gone", "03"))), ["c", "b"]);
        assert_eq!(listed(Some(("gone", "00"))), [""; 0]);
    }
}
