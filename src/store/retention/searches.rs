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
/// Accounts searched at a time. Dead letters are of no account: each search reads them all.
const ACCOUNTS: i64 = 50;

const OWED: [Column; 3] =
    [("account_id", ColumnType::Int), ("contact_id", ColumnType::Int), ("texts", ColumnType::Json)];

impl Store {
    /// Takes people who were purged out of the texts of their accounts, as many as are searched for at a time. `None`:
    /// nobody is left.
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
    let take = "DELETE FROM owed_searches WHERE (account_id, contact_id) IN \
                (SELECT account_id, contact_id FROM owed_searches WHERE account_id IN \
                  (SELECT DISTINCT account_id FROM owed_searches ORDER BY account_id LIMIT $1) \
                 ORDER BY account_id, contact_id LIMIT $2) \
                RETURNING account_id, CAST(texts AS text) AS texts";
    let mut owed: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in tx.rows(take, args![ACCOUNTS, PEOPLE]).await? {
        owed.entry(row.int("account_id")?).or_default().extend(row.json::<Vec<String>>("texts")?);
    }
    if owed.is_empty() {
        return Ok(None);
    }
    let (mut swept, mut everybody) = (Swept::default(), Traces::default());
    for (account_id, texts) in owed {
        let traces = Traces::of(&texts);
        for (category, rows) in redact::account_wide(tx, account_id, &traces, Transition::Purge).await? {
            swept.counts.entry(category.to_owned()).or_default().redacted += rows;
        }
        everybody.extend(traces);
    }
    redact::dead_letters(tx, &everybody).await?;
    if let Some(run) = run {
        runs::progress(tx, run, &run.done.and(&swept), now).await?;
    }
    Ok(Some(swept))
}
