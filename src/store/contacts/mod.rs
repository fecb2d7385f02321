//! Contacts' own rows, and why one is not there.

pub(super) mod addresses;
pub(super) mod counts;
pub(super) mod lifecycle;
pub(super) mod members;

use std::collections::{BTreeSet, HashMap};

use serde_json::json;

use super::StoreError;
use super::criteria::record;
use super::db::Tx;
use super::db::batch::{CONTACT, Lists, batch_row, batch_text};
use super::db::values::args;
use crate::domain::decision::Contact;
use crate::domain::record::ColumnType;
use crate::domain::time::Time;

/// A contact's own row.
pub(super) struct ContactRow {
    pub deleted_at: Option<Time>,
}

/// Contacts of one account as a batch.
pub(super) fn contact_batch(account_id: i64, contacts: &[i64]) -> Lists {
    Lists::ids(contacts.iter().map(|contact_id| [account_id, *contact_id]))
}

/// Locks a contact that exists, live or in the trash.
pub(super) async fn locked_contact(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<ContactRow, StoreError> {
    let sql = format!(
        "SELECT c.deleted_at FROM contacts c WHERE c.account_id = $1 AND c.contact_id = $2{}",
        tx.dialect().for_update("c")
    );
    if let Some(row) = tx.row(&sql, args![account_id, contact_id]).await? {
        return Ok(ContactRow { deleted_at: row.optional_time("deleted_at")? });
    }
    Err(not_found_error(tx, account_id, contact_id).await?)
}

/// Why a contact is not to be found.
pub(super) async fn not_found_error(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<StoreError, StoreError> {
    Ok(StoreError::NotFound(match gone_state(tx, account_id, contact_id).await? {
        Some(state) => format!("contact {contact_id} was {state} and is gone for good"),
        None => format!("account {account_id} has no contact {contact_id}"),
    }))
}

/// `erased` or `purged`, for a contact that is gone.
pub(super) async fn gone_state(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT state FROM gone_contacts WHERE account_id = $1 AND contact_id = $2";
    tx.row(sql, args![account_id, contact_id]).await?.map(|row| row.text("state")).transpose()
}

/// Locks the contacts, in the order of their keys, and loads them as they are now.
pub(super) async fn load_contacts(
    tx: &mut Tx,
    keys: &BTreeSet<(i64, i64)>,
) -> Result<HashMap<(i64, i64), Contact>, StoreError> {
    let batch = Lists::ids(keys.iter().map(|(account_id, contact_id)| [*account_id, *contact_id]));
    let source = tx.dialect().ids(1, &CONTACT);
    let sql = format!(
        "SELECT c.account_id, c.contact_id, c.deleted_at, c.restored_at, c.created_at, \
         CAST(c.properties AS text) AS properties, CAST(c.history AS text) AS history, c.is_partial \
         FROM {source} JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
         ORDER BY c.account_id, c.contact_id{}",
        tx.for_update("c")
    );
    let rows = tx.rows(&sql, args![&batch]).await?;
    let mut contacts = HashMap::with_capacity(keys.len());
    for row in &rows {
        let contact = match row.optional_time("deleted_at")? {
            Some(_) => Contact::InTrash,
            None => Contact::Live {
                restored_at: row.optional_time("restored_at")?,
                record: record(row, row.optional_time("created_at")?)?,
            },
        };
        contacts.insert((row.int("account_id")?, row.int("contact_id")?), contact);
    }
    if contacts.len() < keys.len() {
        let sql = format!(
            "SELECT g.account_id, g.contact_id FROM {source} JOIN gone_contacts g \
             ON g.account_id = b.account_id AND g.contact_id = b.contact_id"
        );
        for row in tx.rows(&sql, args![batch]).await? {
            contacts.insert((row.int("account_id")?, row.int("contact_id")?), Contact::Gone);
        }
    }
    Ok(contacts)
}

/// Those of the accounts that are not there.
pub(super) async fn absent_accounts(tx: &mut Tx, accounts: &BTreeSet<i64>) -> Result<Vec<i64>, StoreError> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let columns = [("account_id", ColumnType::Int)];
    let sql = format!(
        "SELECT b.account_id FROM {} WHERE NOT EXISTS \
         (SELECT 1 FROM accounts a WHERE a.account_id = b.account_id) ORDER BY b.account_id",
        tx.dialect().batch(1, &columns)
    );
    let batch = batch_text(accounts.iter().map(|id| batch_row(json!({ "account_id": id }))));
    tx.rows(&sql, args![batch]).await?.iter().map(|row| row.int("account_id")).collect()
}
