//! How many live contacts an account has, without counting them.
//!
//! Every transaction that changes the number writes by how much; the sum is the number. Nobody waits for anybody to do
//! so, in whatever order a transaction locks its rows. The volume guard folds the rows into one when they have become
//! many.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::record::{Column, ColumnType};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{ACCOUNT, Lists, batch_row, batch_text};
use crate::store::db::values::args;

const CHANGE: [Column; 2] = [("account_id", ColumnType::Int), ("change", ColumnType::Int)];

/// More rows than this are folded.
const MANY: i64 = 100;

/// Contacts of these accounts, one each, live now (1), or no longer do (-1).
pub async fn record_change(
    tx: &mut Tx,
    accounts: impl Iterator<Item = i64>,
    by: i64,
) -> Result<(), StoreError> {
    let mut changes = BTreeMap::new();
    for account_id in accounts {
        *changes.entry(account_id).or_default() += by;
    }
    change(tx, &changes).await
}

/// Adds to the numbers of accounts.
async fn change(tx: &mut Tx, changes: &BTreeMap<i64, i64>) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let rows = changes
        .iter()
        .map(|(account_id, change)| batch_row(json!({"account_id": account_id, "change": change})));
    let sql = format!(
        "INSERT INTO contact_counts (account_id, change) SELECT b.account_id, b.change FROM {} ORDER BY b.account_id",
        tx.dialect().batch(1, &CHANGE)
    );
    tx.execute(&sql, args![batch_text(rows)]).await?;
    Ok(())
}

/// The live contacts of accounts.
pub async fn live_contacts(
    tx: &mut Tx,
    accounts: impl Iterator<Item = i64>,
) -> Result<BTreeMap<i64, u64>, StoreError> {
    let sql = format!(
        "SELECT b.account_id, CAST(sum(c.change) AS bigint) AS contacts FROM {} \
         JOIN contact_counts c ON c.account_id = b.account_id GROUP BY b.account_id",
        tx.dialect().ids(1, &ACCOUNT)
    );
    let batch = Lists::ids(accounts.map(|account_id| [account_id]));
    let rows = tx.rows(&sql, args![batch]).await?;
    let count = |contacts: i64| u64::try_from(contacts).unwrap_or_default();
    rows.iter().map(|row| Ok((row.int("account_id")?, count(row.int("contacts")?)))).collect()
}

/// The live contacts of an account.
pub async fn live_contacts_of(tx: &mut Tx, account_id: i64) -> Result<u64, StoreError> {
    Ok(live_contacts(tx, std::iter::once(account_id)).await?.into_values().sum())
}

/// Makes one row of many, for accounts whose guard is locked: nobody else folds them meanwhile.
pub async fn fold(tx: &mut Tx, accounts: impl Iterator<Item = i64>) -> Result<(), StoreError> {
    let sql = format!(
        "DELETE FROM contact_counts WHERE account_id IN \
         (SELECT c.account_id FROM {} JOIN contact_counts c ON c.account_id = b.account_id \
          GROUP BY c.account_id HAVING count(*) > $1) RETURNING account_id, change",
        tx.dialect().ids(2, &ACCOUNT)
    );
    let batch = Lists::ids(accounts.map(|account_id| [account_id]));
    let mut sums = BTreeMap::new();
    for row in tx.rows(&sql, args![MANY, batch]).await? {
        *sums.entry(row.int("account_id")?).or_default() += row.int("change")?;
    }
    change(tx, &sums).await
}
