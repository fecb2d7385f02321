//! Purging: the matrix's purge column, for contacts whose trash entry is past its time. A purge changes no other record: it
//! deletes what the trash kept of the contact and the links to it. Of texts it reads the sources of the contact's own analytics,
//! which stay without what identifies it (row 2).

use std::collections::{BTreeMap, HashSet};

use serde_json::json;

use super::{BatchResult, ByAccount, Sweep, failed_rows_condition, failures, lock_clause};
use crate::domain::effects::Transition;
use crate::domain::suppression::PURGED;
use crate::domain::time::{Time, format_time};
use crate::store::access::audit::{self, Actor};
use crate::store::db::batch::{BATCH, CONTACT, Lists};
use crate::store::db::values::{Arg, Row, args};
use crate::store::db::{Tx, locks};
use crate::store::identity::{identifiers, suppressions};
use crate::store::outbox::write_outbox;
use crate::store::privacy::{redact, vacuum};
use crate::store::records::{self, Due};
use crate::store::trash::StatementResult;
use crate::store::{Store, StoreError, trash};

/// A contact to be purged; its row is locked.
#[derive(Clone, Copy)]
pub struct Expired {
    /// Account and id.
    pub contact: (i64, i64),
    entry_id: i64,
    deleted_at: Time,
}

/// Purges one batch; by account, which contacts. One under a legal hold stays, and stays due.
pub async fn purge(
    tx: &mut Tx,
    store: &Store,
    sweep: &Sweep<'_>,
    now: Time,
    cutoff: Time,
) -> Result<(ByAccount, BatchResult), StoreError> {
    locks::lock_imports_and_removals(tx).await?;
    let entries = due(tx, sweep, cutoff).await?;
    let (mut by_account, mut swept) = (ByAccount::new(), BatchResult::default());
    for Expired { contact: (account_id, contact_id), .. } in &entries {
        by_account.entry(*account_id).or_default().push(*contact_id);
    }
    if entries.is_empty() {
        return Ok((by_account, purge_records(tx, sweep, now, cutoff).await?));
    }
    let ids = |Expired { contact: (account_id, contact_id), entry_id, .. }: &Expired| {
        [*account_id, *contact_id, *entry_id]
    };
    let batch = Lists::ids(entries.iter().map(ids));
    let addresses = identifiers::addresses(tx, &batch).await?;
    hash_addresses(tx, store, &addresses, now).await?;
    let analytics = redact::analytics_of(tx, &batch).await?;
    close(tx, &batch, now).await?;
    announce(tx, &entries, now).await?;
    for StatementResult { category, counted, rows } in
        trash::apply_transition(tx, Transition::Purge, &batch).await?
    {
        let (deleted, unlinked) = counted.counts(rows);
        let counts = swept.counts.entry(category.title().to_owned()).or_default();
        counts.deleted += deleted;
        counts.unlinked += unlinked;
    }
    redact::own_rows(tx, analytics).await?;
    vacuum::mark_needed(tx, now).await?;
    Ok((by_account, swept))
}

/// Once no contact is due: the records whose time has come.
async fn purge_records(
    tx: &mut Tx,
    sweep: &Sweep<'_>,
    now: Time,
    cutoff: Time,
) -> Result<BatchResult, StoreError> {
    let mut swept = BatchResult::default();
    let due = due_records(tx, sweep, cutoff, sweep.limit).await?;
    if due.is_empty() && sweep.failed_before.is_none() {
        purge_segment(tx, sweep, now, cutoff, &mut swept).await?;
    }
    let purged = records::purge(tx, due, cutoff, now).await?;
    let actor = Actor::Job(sweep.job.to_owned());
    let mut items = ByAccount::new();
    for (account_id, purged) in purged {
        let ids: Vec<String> = purged.iter().map(|due| due.key.to_string()).collect();
        audit::write_texts(tx, now, account_id, &actor, sweep.target.action(), &ids).await?;
        for due in purged {
            swept.deleted += 1;
            items.entry(account_id).or_default().push(item(&due));
            *swept.records.entry(due.key.object_type.clone()).or_default() += 1;
            swept.counts.entry(due.key.object_type).or_default().deleted += 1;
        }
    }
    if sweep.failed_before.is_some() {
        failures::forget(tx, sweep.job, &items).await?;
    }
    // Every batch of records may be the last one, after which nothing is looked at until the next run.
    if redact::released(tx).await? || swept.deleted > 0 {
        vacuum::mark_needed(tx, now).await?;
    }
    Ok(swept)
}

/// Once no record is due: a segment whose time in the trash is over, with all of its memberships.
async fn purge_segment(
    tx: &mut Tx,
    sweep: &Sweep<'_>,
    now: Time,
    cutoff: Time,
    swept: &mut BatchResult,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT s.account_id, s.segment_id FROM segments s WHERE s.deleted_at < $1 ORDER BY s.deleted_at LIMIT 1{}",
        lock_clause(tx, sweep.locked, "s")
    );
    let Some(row) = tx.row(&sql, args![cutoff]).await? else { return Ok(()) };
    let (account_id, segment_id) = (row.int("account_id")?, row.int("segment_id")?);
    for table in ["segment_members", "record_segment_members", "segments"] {
        let sql = format!("DELETE FROM {table} WHERE account_id = $1 AND segment_id = $2");
        tx.execute(&sql, args![account_id, segment_id]).await?;
    }
    let actor = Actor::Job(sweep.job.to_owned());
    audit::write(tx, now, account_id, &actor, "purge_segment", &[segment_id], 1).await?;
    swept.deleted += 1;
    swept.counts.entry("segments in the trash".to_owned()).or_default().deleted += 1;
    Ok(())
}

/// What a record is among the rows that could not be removed: there contacts are known by their ids, and no id is negative.
fn item(due: &Due) -> i64 {
    -due.entry_id
}

async fn due_records(
    tx: &mut Tx,
    sweep: &Sweep<'_>,
    cutoff: Time,
    limit: u32,
) -> Result<Vec<Due>, StoreError> {
    let turn = failed_rows_condition(sweep, "e", "-e.entry_id", 2);
    let mut parameters = args![sweep.job].to_vec();
    parameters.extend(sweep.failed_before.map(Arg::from));
    records::due(tx, cutoff, &turn, &parameters, limit).await
}

/// What is to be purged next, as the rows that could not be removed have it.
pub async fn first(tx: &mut Tx, sweep: &Sweep<'_>, cutoff: Time) -> Result<Option<(i64, i64)>, StoreError> {
    if let Some(entry) = due(tx, sweep, cutoff).await?.first() {
        return Ok(Some(entry.contact));
    }
    let due = due_records(tx, sweep, cutoff, 1).await?;
    Ok(due.first().map(|due| (due.account_id, item(due))))
}

/// Who is to be purged next, locked.
async fn due(tx: &mut Tx, sweep: &Sweep<'_>, cutoff: Time) -> Result<Vec<Expired>, StoreError> {
    // The conditions stand on the contact's own row: PostgreSQL asks them again once it has the lock, and a
    // contact restored meanwhile no longer meets them.
    // The oldest are found first, by their index, and then locked: PostgreSQL takes the join for one of few rows and
    // would read and sort the whole trash for each batch. It has to see how few it is to find.
    let sql = format!(
        "WITH due AS MATERIALIZED (SELECT e.account_id, e.contact_id, e.entry_id, e.deleted_at FROM trash_entries e \
           WHERE e.closed_at IS NULL AND e.deleted_at < $1 AND {} \
             AND NOT EXISTS (SELECT 1 FROM legal_holds h \
                             WHERE h.account_id = e.account_id AND h.contact_id = e.contact_id) \
           ORDER BY e.deleted_at LIMIT {}) \
         SELECT e.account_id, e.contact_id, e.entry_id, e.deleted_at FROM due e \
         JOIN contacts c ON c.account_id = e.account_id AND c.contact_id = e.contact_id \
                        AND c.trash_entry_id = e.entry_id AND c.deleted_at < $1 \
         ORDER BY e.account_id, e.contact_id{}",
        failed_rows_condition(sweep, "e", "e.contact_id", 2),
        sweep.limit,
        lock_clause(tx, sweep.locked, "c")
    );
    let mut parameters = args![cutoff, sweep.job].to_vec();
    parameters.extend(sweep.failed_before.map(Arg::from));
    let rows = tx.rows(&sql, &parameters).await?;
    let held = held_now(tx, &rows).await?;
    let entry = |row: &Row| -> Result<Expired, StoreError> {
        let contact = (row.int("account_id")?, row.int("contact_id")?);
        Ok(Expired { contact, entry_id: row.int("entry_id")?, deleted_at: row.time("deleted_at")? })
    };
    let mut entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    entries.retain(|entry| !held.contains(&entry.contact));
    Ok(entries)
}

/// Puts a `contact.purge` for each into the outbox, all in one statement.
async fn announce(tx: &mut Tx, entries: &[Expired], now: Time) -> Result<(), StoreError> {
    let message = |Expired { contact: (account_id, contact_id), entry_id, deleted_at }: &Expired| {
        let data = json!({"accountId": account_id.to_string(), "contactId": contact_id.to_string(),
            "trashEntryId": entry_id.to_string(), "deletedAt": format_time(*deleted_at),
            "purgedAt": format_time(now)});
        (*account_id, "contact.purge", data)
    };
    write_outbox(tx, now, entries.iter().map(message).collect()).await
}

/// Their ids are never used again, and their entries say how they ended.
async fn close(tx: &mut Tx, batch: &Lists, at: Time) -> Result<(), StoreError> {
    let source = tx.dialect().ids(2, &BATCH);
    let gone = format!(
        "INSERT INTO gone_contacts (account_id, contact_id, state, gone_at) \
         SELECT b.account_id, b.contact_id, 'purged', $1 FROM {source}"
    );
    tx.execute(&gone, args![at, batch]).await?;
    let close = format!(
        "UPDATE trash_entries SET closed_at = $1, closed_as = 'purged' FROM {source} \
         WHERE trash_entries.account_id = b.account_id AND trash_entries.entry_id = b.entry_id"
    );
    tx.execute(&close, args![at, batch]).await.map(drop)
}

/// Which of these contacts, whose rows are locked by now, are under a hold: one that was set while the lock was waited
/// for was not to be seen before.
async fn held_now(tx: &mut Tx, rows: &[Row]) -> Result<HashSet<(i64, i64)>, StoreError> {
    let ids = |row: &Row| -> Result<_, StoreError> { Ok([row.int("account_id")?, row.int("contact_id")?]) };
    let batch = Lists::ids(rows.iter().map(ids).collect::<Result<Vec<_>, _>>()?);
    let sql = format!(
        "SELECT h.account_id, h.contact_id FROM {} JOIN legal_holds h \
         ON h.account_id = b.account_id AND h.contact_id = b.contact_id",
        tx.dialect().ids(1, &CONTACT)
    );
    let held = tx.rows(&sql, args![batch]).await?;
    held.iter().map(|row| Ok((row.int("account_id")?, row.int("contact_id")?))).collect()
}

async fn hash_addresses(
    tx: &mut Tx,
    store: &Store,
    addresses: &BTreeMap<i64, Vec<String>>,
    now: Time,
) -> Result<(), StoreError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let keys = suppressions::keys(tx, store.hash_key_home()).await?;
    for (account_id, addresses) in addresses {
        suppressions::hash(tx, &keys, *account_id, addresses, PURGED, now).await?;
    }
    Ok(())
}
