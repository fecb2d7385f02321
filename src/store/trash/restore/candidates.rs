//! The contacts of a restore, locked, with what is to be known to decide on them.

use std::collections::HashMap;

use super::{BATCH_SIZE, Run};
use crate::domain::restore::{Address, Candidate, TrashState};
use crate::store::StoreError;
use crate::store::contacts::addresses::HOLDER;
use crate::store::contacts::contact_batch;
use crate::store::db::Tx;
use crate::store::db::batch::{CONTACT, Lists};
use crate::store::db::values::{Row, args};

/// These contacts, in this order, whether they are in the trash or not.
pub(super) async fn named(tx: &mut Tx, account_id: i64, ids: &[i64]) -> Result<Vec<Candidate>, StoreError> {
    let batch = contact_batch(account_id, ids);
    let sql = format!(
        "SELECT c.contact_id, c.deleted_at, c.trash_entry_id FROM {} \
         JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
         ORDER BY c.contact_id{}",
        tx.dialect().ids(1, &CONTACT),
        tx.dialect().for_update("c")
    );
    let mut standings = HashMap::with_capacity(ids.len());
    for row in tx.rows(&sql, args![&batch]).await? {
        standings.insert(row.int("contact_id")?, standing(&row)?);
    }
    if standings.len() < ids.len() {
        standings.extend(removed_state(tx, &batch).await?);
    }
    let standing = |id: &i64| (*id, standings.get(id).copied().unwrap_or(TrashState::Unknown));
    with_addresses(tx, account_id, ids.iter().map(standing).collect()).await
}

/// The next contacts that are in the trash because of a run, by id. What
/// makes a contact one of them is asked of its own row too, once that is locked: whoever was restored meanwhile, or
/// deleted again, has another entry or none.
pub(super) async fn of_run(
    tx: &mut Tx,
    account_id: i64,
    run: &Run,
    after: i64,
) -> Result<Vec<Candidate>, StoreError> {
    let sql = format!(
        "SELECT c.contact_id, c.deleted_at, c.trash_entry_id FROM trash_entries e \
         JOIN contacts c ON c.account_id = e.account_id AND c.contact_id = e.contact_id \
                        AND c.trash_entry_id = e.entry_id \
         WHERE e.account_id = $1 AND e.closed_at IS NULL AND e.{} = $2 AND e.deleted_at >= $3 \
           AND e.contact_id > $4 ORDER BY e.contact_id LIMIT $5{}",
        run.column,
        tx.dialect().for_update("c")
    );
    let limit = i64::try_from(BATCH_SIZE).unwrap_or(i64::MAX);
    let rows = tx.rows(&sql, args![account_id, run.id, run.since, after, limit]).await?;
    let standings = rows.iter().map(|row| Ok((row.int("contact_id")?, standing(row)?)));
    let standings = standings.collect::<Result<_, StoreError>>()?;
    with_addresses(tx, account_id, standings).await
}

fn standing(row: &Row) -> Result<TrashState, StoreError> {
    Ok(match (row.optional_time("deleted_at")?, row.optional_int("trash_entry_id")?) {
        (Some(deleted_at), Some(entry_id)) => TrashState::InTrash { entry_id, deleted_at },
        _ => TrashState::Live,
    })
}

/// Those of a batch that are gone for good.
async fn removed_state(tx: &mut Tx, batch: &Lists) -> Result<HashMap<i64, TrashState>, StoreError> {
    let sql = format!(
        "SELECT g.contact_id, g.state FROM {} JOIN gone_contacts g \
         ON g.account_id = b.account_id AND g.contact_id = b.contact_id",
        tx.dialect().ids(1, &CONTACT)
    );
    let mut gone = HashMap::new();
    for row in tx.rows(&sql, args![batch]).await? {
        let standing = if row.text("state")? == "erased" { TrashState::Erased } else { TrashState::Purged };
        gone.insert(row.int("contact_id")?, standing);
    }
    Ok(gone)
}

/// Adds the addresses of those in the trash, each with the live contact that holds it.
async fn with_addresses(
    tx: &mut Tx,
    account_id: i64,
    standings: Vec<(i64, TrashState)>,
) -> Result<Vec<Candidate>, StoreError> {
    let in_trash = standings.iter().filter(|(_, standing)| matches!(standing, TrashState::InTrash { .. }));
    let in_trash: Vec<i64> = in_trash.map(|(contact_id, _)| *contact_id).collect();
    let batch = contact_batch(account_id, &in_trash);
    let sql = format!(
        "SELECT e.contact_id, e.email_key, {HOLDER} AS held_by FROM {} \
         JOIN contact_emails e ON e.account_id = b.account_id AND e.contact_id = b.contact_id AND e.exclusive",
        tx.dialect().ids(1, &CONTACT)
    );
    let mut addresses: HashMap<i64, Vec<Address>> = HashMap::new();
    for row in tx.rows(&sql, args![batch]).await? {
        let address = Address { key: row.text("email_key")?, held_by: row.optional_int("held_by")? };
        addresses.entry(row.int("contact_id")?).or_default().push(address);
    }
    let candidate = |(contact_id, standing)| {
        let addresses = addresses.remove(&contact_id).unwrap_or_default();
        Candidate { contact_id, standing, addresses }
    };
    Ok(standings.into_iter().map(candidate).collect())
}
