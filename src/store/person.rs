//! What the store knows people by, looked up before their rows go.

use std::collections::BTreeMap;

use serde_json::json;

use super::batch::Lists;
use super::db::Tx;
use super::plan::BATCH;
use super::values::args;
use super::{StoreError, batch_row, batch_text};
use crate::domain::person::Person;
use crate::domain::record::{Column, ColumnType};

const ADDRESS: [Column; 3] =
    [("account_id", ColumnType::Int), ("contact_id", ColumnType::Int), ("email_key", ColumnType::Text)];

/// The people of one account.
#[derive(Debug, Default)]
pub struct People {
    /// Their addresses, former ones too. One that another contact has is that one's as well, and stays.
    pub addresses: Vec<String>,
    /// By contact, what identifies them in texts.
    pub texts: BTreeMap<i64, Vec<String>>,
}

/// The people behind a batch of contacts, by account.
pub async fn people(tx: &mut Tx, batch: &Lists) -> Result<BTreeMap<i64, People>, StoreError> {
    let source = tx.dialect().ids(1, &BATCH);
    let sql = format!(
        "SELECT c.account_id, c.contact_id, CAST(c.properties AS text) AS properties, \
                CAST(c.history AS text) AS history \
         FROM {source} JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id"
    );
    let mut persons = BTreeMap::new();
    for row in tx.rows(&sql, args![batch]).await? {
        let person = Person { properties: row.json("properties")?, history: row.json("history")? };
        persons.insert((row.int("account_id")?, row.int("contact_id")?), person);
    }
    let mut addresses = addresses(tx, batch, &persons).await?;
    let mut people: BTreeMap<i64, People> = BTreeMap::new();
    for (key, person) in persons {
        let own = addresses.remove(&key).unwrap_or_default();
        let people = people.entry(key.0).or_default();
        people.texts.insert(key.1, person.texts(own.iter().map(String::as_str)));
        people.addresses.extend(own);
    }
    Ok(people)
}

/// The addresses that the contacts of a batch have or had, and that no contact outside of it has.
async fn addresses(
    tx: &mut Tx,
    batch: &Lists,
    persons: &BTreeMap<(i64, i64), Person>,
) -> Result<BTreeMap<(i64, i64), Vec<String>>, StoreError> {
    let row = |(account_id, contact_id): &(i64, i64), address: String| {
        batch_row(json!({"account_id": account_id, "contact_id": contact_id, "email_key": address}))
    };
    let told = persons.iter().flat_map(|(key, person)| person.addresses().into_iter().map(|it| row(key, it)));
    let contacts = tx.dialect().ids(2, &BATCH);
    let sql = format!(
        "SELECT a.account_id, a.contact_id, a.email_key FROM \
         (SELECT b.account_id, b.contact_id, b.email_key FROM {} \
          UNION SELECT e.account_id, e.contact_id, e.email_key FROM {contacts} \
          JOIN contact_emails e ON e.account_id = b.account_id AND e.contact_id = b.contact_id) a \
         WHERE NOT EXISTS (SELECT 1 FROM contact_emails o WHERE o.account_id = a.account_id \
                           AND o.email_key = a.email_key \
                           AND (o.account_id, o.contact_id) NOT IN (SELECT b.account_id, b.contact_id FROM {contacts})) \
         ORDER BY a.account_id, a.contact_id, a.email_key",
        tx.dialect().batch(1, &ADDRESS)
    );
    let mut addresses: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for row in tx.rows(&sql, args![batch_text(told), batch]).await? {
        let key = (row.int("account_id")?, row.int("contact_id")?);
        addresses.entry(key).or_default().push(row.text("email_key")?);
    }
    Ok(addresses)
}
