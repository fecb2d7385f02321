//! Those who were purged, and whom the texts of others have not yet been searched for.
//!
//! A search reads every text of an account and takes as long for one person as for thousands. So a purge writes down what
//! identifies its people, with each batch, and its run searches once when the batches are through and fewer texts are
//! left. What was written down goes in the transaction that has searched for it: whoever comes after a crash finds it.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Held, Run, Swept, begin, runs};
use crate::domain::effects::Transition;
use crate::domain::person::Traces;
use crate::domain::record::{Column, ColumnType};
use crate::store::db::Tx;
use crate::store::values::args;
use crate::store::{Store, StoreError, batch_row, batch_text, redact, transaction};

/// People searched for at a time: what identifies them is held in memory.
const PEOPLE: i64 = 20_000;

const OWED: [Column; 3] =
    [("account_id", ColumnType::Int), ("contact_id", ColumnType::Int), ("texts", ColumnType::Json)];

impl Store {
    /// Takes people who were purged out of the texts of one account, as many as are searched for at a time. `None`: nobody
    /// is left.
    ///
    /// # Errors
    ///
    /// Refused where the lease is no longer held, or the run was given up. Nothing is forgotten: another search finds them.
    pub async fn search_for_purged(
        &self,
        held: Option<&Held>,
        run: Option<&Run>,
    ) -> Result<Option<Swept>, StoreError> {
        transaction!(self, tx => search(tx, held, run))
    }
}

/// Writes down what identifies people, by contact, in the transaction that purges them.
pub(in crate::store) async fn owe(
    tx: &mut Tx,
    account_id: i64,
    people: BTreeMap<i64, Vec<String>>,
) -> Result<(), StoreError> {
    let known = people.into_iter().filter(|(_, texts)| !texts.is_empty());
    let rows = known.map(|(contact_id, texts)| {
        batch_row(json!({"account_id": account_id, "contact_id": contact_id, "texts": texts}))
    });
    let sql = format!(
        "INSERT INTO owed_searches (account_id, contact_id, texts) SELECT b.account_id, b.contact_id, b.texts FROM {}",
        tx.dialect().batch(1, &OWED)
    );
    tx.execute(&sql, args![batch_text(rows)]).await.map(drop)
}

async fn search(tx: &mut Tx, held: Option<&Held>, run: Option<&Run>) -> Result<Option<Swept>, StoreError> {
    let now = begin(tx, held).await?;
    let first = "SELECT account_id FROM owed_searches ORDER BY account_id LIMIT 1";
    let Some(first) = tx.row(first, &[]).await? else { return Ok(None) };
    let account_id = first.int("account_id")?;
    let take = "DELETE FROM owed_searches WHERE account_id = $1 AND contact_id IN \
                (SELECT contact_id FROM owed_searches WHERE account_id = $1 ORDER BY contact_id LIMIT $2) \
                RETURNING CAST(texts AS text) AS texts";
    let mut traces = Traces::default();
    for row in tx.rows(take, args![account_id, PEOPLE]).await? {
        traces.extend(Traces::of(&row.json::<Vec<String>>("texts")?));
    }
    let mut swept = Swept::default();
    for (category, rows) in redact::account_wide(tx, account_id, &traces, Transition::Purge).await? {
        swept.counts.entry(category.to_owned()).or_default().redacted += rows;
    }
    redact::dead_letters(tx, &traces).await?;
    if let Some(run) = run {
        runs::progress(tx, run, &run.done.and(&swept), now).await?;
    }
    Ok(Some(swept))
}
