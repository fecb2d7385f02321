//! One contact's own row, and why it is not there.

use super::StoreError;
use super::batch::Lists;
use super::db::Tx;
use super::values::args;
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
