//! What identifies the people of the store, looked up before their rows go.

use std::collections::BTreeMap;

use serde_json::json;

use super::batch::Lists;
use super::db::Tx;
use super::plan::BATCH;
use super::values::{Row, args};
use super::{StoreError, batch_row, batch_text};
use crate::domain::identifiers::{ContactProperties, Identifiers};
use crate::domain::record::{Column, ColumnType};

type Key = (i64, i64);

const ADDRESS: [Column; 3] =
    [("account_id", ColumnType::Int), ("contact_id", ColumnType::Int), ("email_key", ColumnType::Text)];

/// The addresses of a batch of contacts, current and former ones, by account. One that a contact outside of the batch has is
/// left out: it is in force there.
pub(super) async fn addresses(tx: &mut Tx, batch: &Lists) -> Result<BTreeMap<i64, Vec<String>>, StoreError> {
    let contacts = properties(tx, batch).await?;
    let told =
        contacts.iter().flat_map(|(key, contact)| contact.addresses().into_iter().map(|it| (*key, it)));
    let mut by_account: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for ((account_id, _), address) in unclaimed(tx, batch, told.collect(), "").await? {
        by_account.entry(account_id).or_default().push(address);
    }
    Ok(by_account)
}

/// Everything that identifies a contact. Addresses that another contact has are left out, and of those that only stand among
/// the properties those of users too: they belong to another person.
pub(super) async fn of_contact(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<Identifiers, StoreError> {
    /// Keeps an address of the batch that no user has.
    const NO_USER: &str = " AND NOT EXISTS (SELECT 1 FROM users u WHERE u.account_id = a.account_id \
                            AND u.email_key = a.email_key)";
    let key = (account_id, contact_id);
    let batch = Lists::ids([[account_id, contact_id, 0]]);
    let Some(contact) = properties(tx, &batch).await?.remove(&key) else { return Ok(Identifiers::default()) };
    let own = contact.addresses().into_iter().map(|it| (key, it)).collect();
    let mentioned = contact.mentioned_addresses().into_iter().map(|it| (key, it)).collect();
    let own = unclaimed(tx, &batch, own, "").await?;
    let mentioned = unclaimed(tx, &batch, mentioned, NO_USER).await?;
    let addresses = own.into_iter().chain(mentioned).map(|(_, address)| address).collect();
    Ok(Identifiers { addresses, phones: contact.phones(), names: contact.full_names() })
}

/// The names and phone numbers of contacts of an account, by id.
pub(super) async fn of_others(
    tx: &mut Tx,
    account_id: i64,
    contacts: impl IntoIterator<Item = i64>,
) -> Result<BTreeMap<i64, Identifiers>, StoreError> {
    let batch = Lists::ids(contacts.into_iter().map(|contact_id| [account_id, contact_id, 0]));
    let contacts = properties(tx, &batch).await?.into_iter();
    let identifiers = |((_, contact_id), contact): (Key, ContactProperties)| {
        let (phones, names) = (contact.phones(), contact.full_names());
        (contact_id, Identifiers { phones, names, ..Identifiers::default() })
    };
    Ok(contacts.map(identifiers).collect())
}

async fn properties(tx: &mut Tx, batch: &Lists) -> Result<BTreeMap<Key, ContactProperties>, StoreError> {
    let sql = format!(
        "SELECT c.account_id, c.contact_id, CAST(c.properties AS text) AS properties, \
                CAST(c.history AS text) AS history \
         FROM {} JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id",
        tx.dialect().ids(1, &BATCH)
    );
    let contact = |row: &Row| -> Result<_, StoreError> {
        let key = (row.int("account_id")?, row.int("contact_id")?);
        Ok((key, ContactProperties { properties: row.json("properties")?, history: row.json("history")? }))
    };
    tx.rows(&sql, args![batch]).await?.iter().map(contact).collect()
}

/// Those of these addresses, and of the ones that the contacts of a batch hold, that no contact outside of it holds.
async fn unclaimed(
    tx: &mut Tx,
    batch: &Lists,
    told: Vec<(Key, String)>,
    also: &str,
) -> Result<Vec<(Key, String)>, StoreError> {
    let row = |((account_id, contact_id), address): &(Key, String)| {
        batch_row(json!({"account_id": account_id, "contact_id": contact_id, "email_key": address}))
    };
    let contacts = tx.dialect().ids(2, &BATCH);
    // For addresses among the properties only the given ones count, not those that the contact holds.
    let held = if also.is_empty() {
        format!(
            "UNION SELECT e.account_id, e.contact_id, e.email_key FROM {contacts} \
             JOIN contact_emails e ON e.account_id = b.account_id AND e.contact_id = b.contact_id"
        )
    } else {
        String::new()
    };
    let sql = format!(
        "SELECT a.account_id, a.contact_id, a.email_key FROM \
         (SELECT b.account_id, b.contact_id, b.email_key FROM {} {held}) a \
         WHERE NOT EXISTS (SELECT 1 FROM contact_emails o WHERE o.account_id = a.account_id \
                           AND o.email_key = a.email_key \
                           AND (o.account_id, o.contact_id) NOT IN (SELECT b.account_id, b.contact_id FROM {contacts})){also} \
         ORDER BY a.account_id, a.contact_id, a.email_key",
        tx.dialect().batch(1, &ADDRESS)
    );
    let address = |row: &Row| -> Result<_, StoreError> {
        Ok(((row.int("account_id")?, row.int("contact_id")?), row.text("email_key")?))
    };
    tx.rows(&sql, args![batch_text(told.iter().map(row)), batch]).await?.iter().map(address).collect()
}
