//! Receipts: what each erasure did, in counts. They stay; nothing in them is about the person.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use super::db::Tx;
use super::values::{Row, args};
use super::{Store, StoreError, batch_row, batch_text, reading};
use crate::domain::time::{Time, format_time};

/// What an erasure did to one contact: counts, no person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    pub erasure_id: String,
    pub account_id: String,
    /// Null where nobody had the address.
    pub contact_id: Option<String>,
    pub erased_at: String,
    pub erased_by: String,
    pub categories: BTreeMap<String, Counts>,
}

/// Rows of one category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Counts {
    pub deleted: u64,
    pub unlinked: u64,
    pub redacted: u64,
    /// Rows found again by the condition that deleted them; an erasure with any fails as a whole.
    pub survivors: u64,
}

impl Store {
    /// The receipts of an account, newest first; `before` this one, where one is named.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn erasures(
        &self,
        account_id: i64,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Receipt>, StoreError> {
        reading!(self, tx => receipts(tx, account_id, before.unwrap_or(i64::MAX), limit))
    }

    /// One receipt of an account.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn erasure(&self, account_id: i64, erasure_id: i64) -> Result<Option<Receipt>, StoreError> {
        reading!(self, tx => one(tx, account_id, erasure_id))
    }
}

/// Keeps what an erasure did.
pub(super) async fn write(
    tx: &mut Tx,
    account_id: i64,
    contact_id: Option<i64>,
    user_id: i64,
    at: Time,
    categories: BTreeMap<String, Counts>,
) -> Result<Receipt, StoreError> {
    use crate::domain::record::ColumnType::Json;
    let sql = format!(
        "INSERT INTO erasures (account_id, contact_id, at, user_id, counts) SELECT $2, $3, $4, $5, b.counts FROM {} \
         WHERE TRUE RETURNING {RECEIPT}",
        tx.dialect().batch(1, &[("counts", Json)])
    );
    let batch = batch_text(vec![batch_row(json!({ "counts": categories }))]);
    let row = tx.row(&sql, args![batch, account_id, contact_id, at, user_id]).await?;
    receipt(&row.ok_or_else(|| StoreError::Failed("an erasure got no receipt".to_owned()))?)
}

/// The columns of a receipt.
const RECEIPT: &str = "account_id, erasure_id, contact_id, at, user_id, CAST(counts AS text) AS counts";

async fn receipts(tx: &mut Tx, account_id: i64, before: i64, limit: i64) -> Result<Vec<Receipt>, StoreError> {
    let sql = format!(
        "SELECT {RECEIPT} FROM erasures WHERE account_id = $1 AND erasure_id < $2 ORDER BY erasure_id DESC LIMIT $3"
    );
    tx.rows(&sql, args![account_id, before, limit]).await?.iter().map(receipt).collect()
}

async fn one(tx: &mut Tx, account_id: i64, erasure_id: i64) -> Result<Option<Receipt>, StoreError> {
    let sql = format!("SELECT {RECEIPT} FROM erasures WHERE account_id = $1 AND erasure_id = $2");
    tx.row(&sql, args![account_id, erasure_id]).await?.as_ref().map(receipt).transpose()
}

fn receipt(row: &Row) -> Result<Receipt, StoreError> {
    Ok(Receipt {
        erasure_id: row.int("erasure_id")?.to_string(),
        account_id: row.int("account_id")?.to_string(),
        contact_id: row.optional_int("contact_id")?.map(|id| id.to_string()),
        erased_at: format_time(row.time("at")?),
        erased_by: row.int("user_id")?.to_string(),
        categories: row.json("counts")?,
    })
}
