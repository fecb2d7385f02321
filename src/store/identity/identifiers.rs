//! What identifies the people of the store, looked up before their rows go.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::domain::address::is_plain_address;
use crate::domain::identifiers::{ContactProperties, Identifiers};
use crate::domain::record::{Column, ColumnType};
use crate::domain::redaction;
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{BATCH, Lists, batch_row, batch_text};
use crate::store::db::values::{Row, args};

type Key = (i64, i64);

/// The addresses of a batch of contacts, current and former ones, by account. One that a contact outside of the batch has is
/// left out: it is in force there.
pub(in crate::store) async fn addresses(
    tx: &mut Tx,
    batch: &Lists,
) -> Result<BTreeMap<i64, Vec<String>>, StoreError> {
    let contacts = properties(tx, batch).await?;
    let mut told = held(tx, batch).await?;
    told.extend(
        contacts.iter().flat_map(|(key, contact)| contact.addresses().into_iter().map(|it| (*key, it))),
    );
    let contacts = contacts.into_keys().collect();
    let mut by_account: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for ((account_id, _), address) in unclaimed(tx, &contacts, told, &[CONTACTS]).await? {
        by_account.entry(account_id).or_default().push(address);
    }
    Ok(by_account)
}

/// Everything that identifies a contact. Addresses that another contact has are left out, and of those that only stand among
/// the properties those of users too: they belong to another person.
pub(in crate::store) async fn of_contact(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<Identifiers, StoreError> {
    let key = (account_id, contact_id);
    let batch = Lists::ids([[account_id, contact_id, 0]]);
    let Some(contact) = properties(tx, &batch).await?.remove(&key) else { return Ok(Identifiers::default()) };
    let mut own = held(tx, &batch).await?;
    own.extend(contact.addresses().into_iter().map(|it| (key, it)));
    let mentioned = contact.mentioned_addresses().into_iter().map(|it| (key, it)).collect();
    let contact_itself = BTreeSet::from([key]);
    let own = unclaimed(tx, &contact_itself, own, &[CONTACTS]).await?;
    let mentioned = unclaimed(tx, &contact_itself, mentioned, &[CONTACTS, USERS]).await?;
    let addresses = own.into_iter().chain(mentioned).map(|(_, address)| address).collect();
    let longer = longer(tx, account_id, &addresses).await?;
    Ok(Identifiers { addresses, longer, phones: contact.phones(), names: contact.full_names() })
}

/// The addresses of a contact that another contact has too.
pub(in crate::store) async fn shared_addresses(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<Vec<String>, StoreError> {
    let own = held(tx, &Lists::ids([[account_id, contact_id, 0]])).await?;
    let own: Vec<(i64, String)> = own.into_iter().map(|(_, address)| (account_id, address)).collect();
    let of_others =
        holders(tx, CONTACTS, &own).await?.into_iter().filter(|(_, holder)| *holder != contact_id);
    Ok(of_others.map(|((_, address), _)| address).collect::<BTreeSet<_>>().into_iter().collect())
}

/// Those of these addresses that no contact has.
pub(in crate::store) async fn without_holders(
    tx: &mut Tx,
    account_id: i64,
    mut addresses: BTreeSet<String>,
) -> Result<BTreeSet<String>, StoreError> {
    let asked: Vec<(i64, String)> = addresses.iter().map(|address| (account_id, address.clone())).collect();
    for ((_, address), _) in holders(tx, CONTACTS, &asked).await? {
        addresses.remove(&address);
    }
    Ok(addresses)
}

/// The names and phone numbers of contacts of an account, by id.
pub(in crate::store) async fn of_others(
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

/// The addresses that no contact outside the batch has in `contact_emails`, and no owner in the other tables.
async fn unclaimed(
    tx: &mut Tx,
    batch: &BTreeSet<Key>,
    told: BTreeSet<(Key, String)>,
    others: &[&str],
) -> Result<Vec<(Key, String)>, StoreError> {
    let addresses: Vec<(i64, String)> =
        told.iter().map(|((account_id, _), address)| (*account_id, address.clone())).collect();
    let mut claimed = BTreeSet::new();
    for table in others {
        for (address, holder) in holders(tx, table, &addresses).await? {
            if *table != CONTACTS || !batch.contains(&(address.0, holder)) {
                claimed.insert(address);
            }
        }
    }
    let is_free =
        |((account_id, _), address): &(Key, String)| !claimed.contains(&(*account_id, address.clone()));
    Ok(told.into_iter().filter(is_free).collect())
}

/// Tables of addresses, each with the id of whom they belong to.
pub(in crate::store) const CONTACTS: &str = "contact_emails";
const USERS: &str = "users";

/// Who has these addresses, in whichever of their spellings: each address with one of those who have it.
pub(in crate::store) async fn holders(
    tx: &mut Tx,
    table: &str,
    addresses: &[(i64, String)],
) -> Result<BTreeSet<((i64, String), i64)>, StoreError> {
    const SPELLED: [Column; 3] =
        [("account_id", ColumnType::Int), ("email_key", ColumnType::Text), ("spelled", ColumnType::Text)];
    let id = if table == USERS { "user_id" } else { "contact_id" };
    let sql = format!(
        "SELECT DISTINCT b.account_id, b.email_key, e.{id} AS holder FROM {} JOIN {table} e \
         ON e.account_id = b.account_id AND e.email_key = b.spelled",
        tx.dialect().batch(1, &SPELLED)
    );
    let rows = addresses.iter().flat_map(|(account_id, address)| {
        let row =
            |spelled| batch_row(json!({"account_id": account_id, "email_key": address, "spelled": spelled}));
        redaction::keys(address).into_iter().map(row).collect::<Vec<_>>()
    });
    let holder = |row: &Row| -> Result<_, StoreError> {
        Ok(((row.int("account_id")?, row.text("email_key")?), row.int("holder")?))
    };
    tx.rows(&sql, args![batch_text(rows)]).await?.iter().map(holder).collect()
}

/// The addresses that contacts hold.
async fn held(tx: &mut Tx, contacts: &Lists) -> Result<BTreeSet<(Key, String)>, StoreError> {
    let sql = format!(
        "SELECT e.account_id, e.contact_id, e.email_key FROM {} \
         JOIN contact_emails e ON e.account_id = b.account_id AND e.contact_id = b.contact_id",
        tx.dialect().ids(1, &BATCH)
    );
    let address = |row: &Row| -> Result<_, StoreError> {
        Ok(((row.int("account_id")?, row.int("contact_id")?), row.text("email_key")?))
    };
    let held: BTreeSet<_> =
        tx.rows(&sql, args![contacts]).await?.iter().map(address).collect::<Result<_, _>>()?;
    Ok(held.into_iter().filter(|(_, address)| is_plain_address(address)).collect())
}

/// Addresses of contacts that are one of these with one more sign before it.
pub(in crate::store) async fn longer(
    tx: &mut Tx,
    account_id: i64,
    addresses: &BTreeSet<String>,
) -> Result<BTreeSet<String>, StoreError> {
    /// What an address may begin with besides letters and digits (RFC 5322).
    const SIGNS: &str = "_*'/=!#{}|~`^$%&?+-.";
    let spelled: BTreeSet<String> = addresses.iter().flat_map(|address| redaction::keys(address)).collect();
    let signed = spelled.iter().flat_map(|address| SIGNS.chars().map(move |sign| format!("{sign}{address}")));
    let asked: Vec<(i64, String)> = signed.map(|address| (account_id, address)).collect();
    Ok(holders(tx, CONTACTS, &asked).await?.into_iter().map(|((_, address), _)| address).collect())
}
