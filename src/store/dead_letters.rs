//! Dead letters of the embedded feed, in an operator's hand: looked at, decided anew, or discarded.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::audit::{self, Actor};
use super::db::Tx;
use super::values::{Row, args};
use super::{Operator, Store, StoreError, batch_row, batch_text, reading, transaction};
use crate::domain::dead_letter::{DeadLetter, Selection};
use crate::domain::enrollment::Rejection;
use crate::domain::record::ColumnType;
use crate::ports::Replays;

/// Bodies in memory at a time: each may have 256 KiB.
const PAGE: i64 = 50;

impl Store {
    /// The newest dead letters of a selection with an id below this one, newest first.
    pub async fn dead_letters(
        &self,
        selection: &Selection,
        before: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        reading!(self, tx => newest(tx, selection, before, limit))
    }

    /// The oldest dead letters of a selection that came after one of them (0: from the first on), oldest first; no more
    /// than fit into memory.
    pub async fn dead_letters_after(
        &self,
        after: i64,
        selection: &Selection,
    ) -> Result<Vec<(i64, DeadLetter)>, StoreError> {
        reading!(self, tx => next_of(tx, after, selection))
    }

    /// Removes the dead letters of a selection for good, if they are as many as was typed.
    ///
    /// # Errors
    ///
    /// Refused where they are not: then all of them stay.
    pub async fn discard_dead_letters(
        &self,
        selection: &Selection,
        confirm: u64,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => discard(tx, selection, confirm, actor))
    }

    /// Who it is that replays or discards dead letters of an account, or of any (0).
    ///
    /// # Errors
    ///
    /// Refused where a user is not there, or may not delete many.
    pub async fn who_rules_on_dead_letters(
        &self,
        account_id: i64,
        operator: &Operator,
    ) -> Result<Actor, StoreError> {
        reading!(self, tx => operator.who(tx, account_id, "decide about events that delete"))
    }

    /// Settles dead letters that are decided anew, on behalf of somebody.
    pub fn replaying(&self, selection: &Selection, actor: Actor) -> Replaying {
        let (account_id, removed) = (selection.account_id.unwrap_or(0), AtomicUsize::new(0));
        Replaying { store: self.clone(), account_id, actor, removed }
    }

    /// Says in the audit what is about to become of dead letters that a broker keeps.
    pub async fn audit_dead_letters(
        &self,
        selection: &Selection,
        actor: &Actor,
        action: &str,
        ids: &[String],
    ) -> Result<(), StoreError> {
        let account_id = selection.account_id.unwrap_or(0);
        transaction!(self, tx => audited(tx, account_id, actor, action, ids))
    }
}

async fn audited(
    tx: &mut Tx,
    account_id: i64,
    actor: &Actor,
    action: &str,
    ids: &[String],
) -> Result<(), StoreError> {
    let now = tx.now().await?;
    audit::write_texts(tx, now, account_id, actor, action, ids).await
}

/// Removes what was decided; what was set aside again keeps its place, with the new reason.
#[derive(Debug)]
pub struct Replaying {
    store: Store,
    account_id: i64,
    actor: Actor,
    removed: AtomicUsize,
}

impl Replaying {
    /// How many were decided and removed so far.
    pub fn removed(&self) -> usize {
        self.removed.load(Ordering::Relaxed)
    }
}

impl Replays for Replaying {
    async fn settle(&self, decided: Vec<i64>, again: Vec<(i64, Rejection)>) -> Result<(), String> {
        let settle = async || -> Result<(), StoreError> {
            transaction!(self.store, tx => settle(tx, self, &decided, &again))
        };
        settle().await.map_err(|error| error.to_string())?;
        self.removed.fetch_add(decided.len(), Ordering::Relaxed);
        Ok(())
    }
}

async fn settle(
    tx: &mut Tx,
    replaying: &Replaying,
    decided: &[i64],
    again: &[(i64, Rejection)],
) -> Result<(), StoreError> {
    for (id, rejection) in again {
        tx.execute(
            "UPDATE dead_letters SET reason = $2, detail = $3 WHERE dead_letter_id = $1",
            args![*id, rejection.reason.as_str(), rejection.detail.as_str()],
        )
        .await?;
    }
    if decided.is_empty() {
        return Ok(());
    }
    remove(tx, decided).await?;
    let ids: Vec<String> = decided.iter().map(i64::to_string).collect();
    audited(tx, replaying.account_id, &replaying.actor, "replay_dead_letters", &ids).await
}

async fn newest(
    tx: &mut Tx,
    selection: &Selection,
    mut before: i64,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let mut found = Vec::new();
    while found.len() < limit {
        let page = page(tx, 0..before, "DESC").await?;
        let Some((last, _)) = page.last() else { break };
        before = *last;
        found.extend(page.into_iter().map(|(_, letter)| letter).filter(|letter| selection.takes(letter)));
    }
    found.truncate(limit);
    Ok(found)
}

async fn next_of(
    tx: &mut Tx,
    mut after: i64,
    selection: &Selection,
) -> Result<Vec<(i64, DeadLetter)>, StoreError> {
    loop {
        let mut page = page(tx, after..i64::MAX, "ASC").await?;
        let Some((last, _)) = page.last() else { return Ok(Vec::new()) };
        after = *last;
        page.retain(|(_, letter)| selection.takes(letter));
        if !page.is_empty() {
            return Ok(page);
        }
    }
}

async fn discard(tx: &mut Tx, selection: &Selection, confirm: u64, actor: &Actor) -> Result<(), StoreError> {
    let mut ids = Vec::new();
    let mut after = 0;
    loop {
        let page = next_of(tx, after, selection).await?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        ids.extend(page.into_iter().map(|(id, _)| id));
    }
    if ids.len() as u64 != confirm {
        return Err(StoreError::Miscounted(selection.other_number(ids.len() as u64, confirm)));
    }
    remove(tx, &ids).await?;
    let texts: Vec<String> = ids.iter().map(i64::to_string).collect();
    audited(tx, selection.account_id.unwrap_or(0), actor, "discard_dead_letters", &texts).await
}

/// Those with an id between two others.
async fn page(
    tx: &mut Tx,
    between: Range<i64>,
    direction: &'static str,
) -> Result<Vec<(i64, DeadLetter)>, StoreError> {
    let sql = format!(
        "SELECT dead_letter_id, at, reason, detail, body FROM dead_letters \
         WHERE dead_letter_id > $1 AND dead_letter_id < $2 ORDER BY dead_letter_id {direction} LIMIT $3"
    );
    let rows = tx.rows(&sql, args![between.start, between.end, PAGE]).await?;
    let letter = |row: &Row| {
        let id = row.int("dead_letter_id")?;
        let letter = DeadLetter {
            id: id.to_string(),
            reason: row.text("reason")?,
            detail: row.text("detail")?,
            attempts: 0,
            at: Some(row.time("at")?),
            body: row.bytes("body")?,
        };
        Ok((id, letter))
    };
    rows.iter().map(letter).collect()
}

async fn remove(tx: &mut Tx, ids: &[i64]) -> Result<(), StoreError> {
    let rows = ids.iter().map(|id| batch_row(serde_json::json!({ "dead_letter_id": id })));
    let batch = tx.dialect().batch(1, &[("dead_letter_id", ColumnType::Int)]);
    let sql =
        format!("DELETE FROM dead_letters WHERE dead_letter_id IN (SELECT b.dead_letter_id FROM {batch})");
    tx.execute(&sql, args![batch_text(rows)]).await.map(|_| ())
}
