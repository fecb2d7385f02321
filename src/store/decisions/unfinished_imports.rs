//! Imports that have begun and are not complete, as decisions see them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{ACCOUNT, CONTACT, Lists};
use crate::store::db::values::args;

/// What unfinished imports concern of that which was asked about.
#[derive(Debug, Default)]
pub(in crate::store) struct Unfinished {
    /// Contacts that one has changed.
    pub contacts: HashSet<(i64, i64)>,
    /// Accounts of which one has records, and whether enrollments of them are among these.
    pub accounts: BTreeMap<i64, bool>,
}

/// What unfinished imports concern of these contacts, which the caller has locked, and of their accounts. It must be asked after
/// whatever an import may have written was read, in a transaction in which no import ends: see [`pauses`](super::pauses).
pub(in crate::store) async fn unfinished(
    tx: &mut Tx,
    contacts: &BTreeSet<(i64, i64)>,
) -> Result<Unfinished, StoreError> {
    let mut found = Unfinished::default();
    if tx.row("SELECT 1 AS one FROM unfinished_imports LIMIT 1", &[]).await?.is_none() {
        return Ok(found);
    }
    let batch = tx.dialect().ids(1, &CONTACT);
    let sql = format!(
        "SELECT c.account_id, c.contact_id FROM {batch} JOIN contacts c \
         ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
         JOIN unfinished_imports i ON i.import_id = c.import_id \
         UNION SELECT u.account_id, u.contact_id FROM {batch} JOIN unfinished_contacts u \
         ON u.account_id = b.account_id AND u.contact_id = b.contact_id \
         JOIN unfinished_imports i ON i.import_id = u.import_id"
    );
    for row in tx
        .rows(
            &sql,
            args![Lists::ids(contacts.iter().map(|(account_id, contact_id)| [*account_id, *contact_id]))],
        )
        .await?
    {
        found.contacts.insert((row.int("account_id")?, row.int("contact_id")?));
    }
    let accounts = contacts.iter().map(|(account_id, _)| *account_id).collect();
    found.accounts = unfinished_accounts(tx, &accounts).await?;
    Ok(found)
}

/// Those of the accounts of which an unfinished import has records; asked as [`unfinished`] is.
pub(in crate::store) async fn unfinished_accounts(
    tx: &mut Tx,
    accounts: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, bool>, StoreError> {
    let sql = format!(
        "SELECT u.account_id, u.has_enrollments FROM {} JOIN unfinished_accounts u ON u.account_id = b.account_id",
        tx.dialect().ids(1, &ACCOUNT)
    );
    let rows = tx.rows(&sql, args![Lists::ids(accounts.iter().map(|id| [*id]))]).await?;
    let mut found = BTreeMap::new();
    for row in rows {
        *found.entry(row.int("account_id")?).or_default() |= row.bool("has_enrollments")?;
    }
    Ok(found)
}
