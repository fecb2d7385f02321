//! Purging: all of the matrix's purge column, for contacts whose trash entry is past its time.

use std::collections::{BTreeMap, HashSet};

use serde_json::json;

use super::db::{Row, Tx, args};
use super::person::{self, People};
use super::plan::BATCH;
use super::retention::{Sweep, lock_clause};
use super::{Store, StoreError, batch_row, batch_text, redact, scrubs, suppressions, trash};
use crate::domain::effects::{Category, Transition};
use crate::domain::person::Traces;
use crate::domain::time::{Time, format_time};

/// Purges one batch; by account, which contacts. One under a legal hold stays, and stays due.
pub async fn purge(
    tx: &mut Tx,
    store: &Store,
    sweep: &Sweep<'_>,
    now: Time,
    cutoff: Time,
) -> Result<BTreeMap<i64, Vec<i64>>, StoreError> {
    // The conditions stand on the contact's own row: PostgreSQL asks them again once it has the lock, and a
    // contact restored meanwhile no longer meets them.
    let sql = format!(
        "SELECT e.account_id, e.contact_id, e.entry_id FROM trash_entries e \
         JOIN contacts c ON c.account_id = e.account_id AND c.contact_id = e.contact_id \
                        AND c.trash_entry_id = e.entry_id AND c.deleted_at < $1 \
         WHERE e.closed_at IS NULL AND e.deleted_at < $1 \
           AND NOT EXISTS (SELECT 1 FROM legal_holds h \
                           WHERE h.account_id = e.account_id AND h.contact_id = e.contact_id) \
         ORDER BY e.deleted_at, e.account_id, e.contact_id LIMIT $2{}",
        lock_clause(tx, sweep.locked, "c")
    );
    let rows = tx.rows(&sql, args![cutoff, i64::from(sweep.limit)]).await?;
    let held = held_now(tx, &rows).await?;
    let mut by_account: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    let mut contacts = Vec::with_capacity(rows.len());
    for row in &rows {
        let (account_id, contact_id) = (row.int("account_id")?, row.int("contact_id")?);
        if held.contains(&(account_id, contact_id)) {
            continue;
        }
        by_account.entry(account_id).or_default().push(contact_id);
        contacts.push(batch_row(json!({"account_id": account_id, "contact_id": contact_id,
            "entry_id": row.int("entry_id")?, "at": format_time(now)})));
    }
    if contacts.is_empty() {
        return Ok(by_account);
    }
    let batch = batch_text(contacts);
    let people = person::people(tx, &batch).await?;
    redact::headers(tx, &batch).await?;
    hash_addresses(tx, store, &people, now).await?;
    let source = tx.dialect().batch(1, &BATCH);
    let gone = format!(
        "INSERT INTO gone_contacts (account_id, contact_id, state, gone_at) \
         SELECT b.account_id, b.contact_id, 'purged', b.at FROM {source}"
    );
    tx.execute(&gone, args![batch.as_str()]).await?;
    let close = format!(
        "UPDATE trash_entries SET closed_at = b.at, closed_as = 'purged' FROM {source} \
         WHERE trash_entries.account_id = b.account_id AND trash_entries.entry_id = b.entry_id"
    );
    tx.execute(&close, args![batch.as_str()]).await?;
    trash::run_plan(tx, Transition::Purge, &batch).await?;
    redact_texts(tx, people).await?;
    scrubs::owe(tx, now).await?;
    Ok(by_account)
}

/// Which of these contacts, whose rows are locked by now, are under a hold: one that was set while the lock was waited
/// for was not to be seen before.
async fn held_now(tx: &mut Tx, rows: &[Row]) -> Result<HashSet<(i64, i64)>, StoreError> {
    let row = |row: &Row| -> Result<_, StoreError> {
        Ok(batch_row(json!({"account_id": row.int("account_id")?, "contact_id": row.int("contact_id")?})))
    };
    let batch = batch_text(rows.iter().map(row).collect::<Result<_, _>>()?);
    let sql = format!(
        "SELECT h.account_id, h.contact_id FROM {} JOIN legal_holds h \
         ON h.account_id = b.account_id AND h.contact_id = b.contact_id",
        tx.dialect().batch(1, &BATCH)
    );
    let held = tx.rows(&sql, args![batch]).await?;
    held.iter().map(|row| Ok((row.int("account_id")?, row.int("contact_id")?))).collect()
}

async fn hash_addresses(
    tx: &mut Tx,
    store: &Store,
    people: &BTreeMap<i64, People>,
    now: Time,
) -> Result<(), StoreError> {
    if people.values().all(|people| people.addresses.is_empty()) {
        return Ok(());
    }
    let keys = suppressions::keys(tx, store.hash_key_home()).await?;
    for (account_id, People { addresses, .. }) in people {
        suppressions::hash(tx, &keys, *account_id, addresses, now).await?;
    }
    Ok(())
}

/// Takes the people out of what stays: each account is searched once, whoever of it goes.
async fn redact_texts(tx: &mut Tx, people: BTreeMap<i64, People>) -> Result<(), StoreError> {
    // Rows 17 and 18 of the matrix keep the name and the address that they carry.
    let kept = [Category::Notifications, Category::Quotes];
    let mut all = Traces::default();
    for (account_id, People { traces, .. }) in people {
        redact::account_wide(tx, account_id, &traces, &kept).await?;
        all.extend(traces);
    }
    redact::dead_letters(tx, &all).await
}
