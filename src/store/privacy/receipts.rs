//! Receipts: what each erasure did, in counts. They stay; nothing in them is about the person.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;

use super::redact::{Changed, Found, Redacted};
use crate::domain::address::address_key;
use crate::domain::redaction;
use crate::domain::time::{Time, format_time};
use crate::store::db::Tx;
use crate::store::db::batch::{batch_row, batch_text};
use crate::store::db::values::{Row, args};
use crate::store::identity::suppressions;
use crate::store::{HashKeySource, Store, StoreError, read_transaction};

/// What an erasure did to one contact, or to an address that no contact had: ids and counts, no person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    pub erasure_id: String,
    pub account_id: String,
    /// Null where no contact had the address.
    pub contact_id: Option<String>,
    pub erased_at: String,
    /// When the person was erased for the first time, where a backup brought the person back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_erased_at: Option<String>,
    pub erased_by: String,
    #[serde(flatten)]
    pub effect: Effect,
}

/// What an erasure does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Effect {
    pub categories: Vec<CategoryEffect>,
    /// Records that stay and were changed, by kind.
    pub others: BTreeMap<String, u64>,
    /// Records that have an address of the person and were left alone.
    pub found: BTreeSet<Found>,
    /// Rows found again by the condition that deleted them: an erasure with any fails as a whole.
    pub survivors: u64,
}

/// Records of one category.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CategoryEffect {
    pub category: String,
    #[serde(flatten)]
    pub counts: Counts,
}

/// How many records were deleted, unlinked from the contact, and redacted. Receipts of earlier versions have `deleted` and so
/// on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Counts {
    #[serde(rename(serialize = "delete"), alias = "delete")]
    pub deleted: u64,
    #[serde(rename(serialize = "unlink"), alias = "unlink")]
    pub unlinked: u64,
    #[serde(rename(serialize = "redact"), alias = "redact")]
    pub redacted: u64,
}

impl Effect {
    /// From counts by the titles of their categories.
    pub fn new(counts: BTreeMap<String, Counts>, redacted: &Redacted) -> Self {
        let mut counts = counts;
        let mut others = BTreeMap::new();
        for Changed { kind, category, .. } in &redacted.changed {
            counts.entry((*category).to_owned()).or_default().redacted += 1;
            *others.entry(kind.clone()).or_default() += 1;
        }
        counts.retain(|_, counts| *counts != Counts::default());
        let category = |(category, counts)| CategoryEffect { category, counts };
        let categories = counts.into_iter().map(category).collect();
        Self { categories, others, found: redacted.found.clone(), survivors: 0 }
    }

    fn counts(&self) -> BTreeMap<&str, Counts> {
        self.categories.iter().map(|it| (it.category.as_str(), it.counts)).collect()
    }
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
        read_transaction!(self, tx => receipts(tx, account_id, before.unwrap_or(i64::MAX), limit))
    }

    /// The receipts of erasures that were about an address, newest first. The address is known by its keyed hash.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn erasures_of(
        &self,
        account_id: i64,
        address: &str,
        limit: i64,
    ) -> Result<Vec<Receipt>, StoreError> {
        read_transaction!(self, tx => receipts_of(tx, self.hash_key_home(), account_id, address, limit))
    }

    /// One receipt of an account.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn erasure(&self, account_id: i64, erasure_id: i64) -> Result<Option<Receipt>, StoreError> {
        read_transaction!(self, tx => one(tx, account_id, erasure_id))
    }
}

/// An erasure to be written down.
pub(in crate::store) struct NewReceipt<'a> {
    pub account_id: i64,
    pub contact_id: Option<i64>,
    pub user_id: i64,
    pub at: Time,
    pub first_at: Option<Time>,
    pub effect: &'a Effect,
    /// Hashes of the addresses that it was about.
    pub addresses: Vec<String>,
}

/// Keeps what an erasure did.
pub(in crate::store) async fn write(tx: &mut Tx, new: NewReceipt<'_>) -> Result<Receipt, StoreError> {
    use crate::domain::record::ColumnType::Json;
    let NewReceipt { account_id, contact_id, user_id, at, first_at, effect, addresses } = new;
    let sql = format!(
        "INSERT INTO erasures (account_id, contact_id, at, user_id, first_at, counts, others, found) \
         SELECT $2, $3, $4, $5, $6, b.counts, b.others, b.found FROM {} WHERE TRUE RETURNING {RECEIPT}",
        tx.dialect().batch(1, &[("counts", Json), ("others", Json), ("found", Json)])
    );
    let batch = batch_text(vec![batch_row(
        json!({"counts": effect.counts(), "others": effect.others, "found": effect.found}),
    )]);
    let row = tx.row(&sql, args![batch, account_id, contact_id, at, user_id, first_at]).await?;
    let row = row.ok_or_else(|| StoreError::Failed("an erasure got no receipt".to_owned()))?;
    let erasure_id = row.int("erasure_id")?;
    for hash in addresses {
        let sql = "INSERT INTO erasure_addresses (account_id, hash, erasure_id) VALUES ($1, $2, $3)";
        tx.execute(sql, args![account_id, hash, erasure_id]).await?;
    }
    receipt(&row)
}

/// The columns of a receipt.
const RECEIPT: &str = "account_id, erasure_id, contact_id, at, user_id, first_at, CAST(counts AS text) AS counts, \
    CAST(others AS text) AS others, CAST(found AS text) AS found";

async fn receipts_of(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
    address: &str,
    limit: i64,
) -> Result<Vec<Receipt>, StoreError> {
    let Some(keys) = suppressions::existing_keys(tx, home).await? else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT {RECEIPT} FROM erasures WHERE account_id = $1 AND erasure_id IN \
         (SELECT a.erasure_id FROM erasure_addresses a WHERE a.account_id = $1 AND a.hash = $2) \
         ORDER BY erasure_id DESC LIMIT $3"
    );
    let mut found: Vec<Receipt> = Vec::new();
    for spelled in redaction::keys(&address_key(address)) {
        for hash in keys.hashes(account_id, &spelled) {
            for row in tx.rows(&sql, args![account_id, hash.hash, limit]).await? {
                let receipt = receipt(&row)?;
                if found.iter().all(|it| it.erasure_id != receipt.erasure_id) {
                    found.push(receipt);
                }
            }
        }
    }
    Ok(found)
}

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
    let counts: BTreeMap<String, Counts> = row.json("counts")?;
    let category = |(category, counts)| CategoryEffect { category, counts };
    Ok(Receipt {
        erasure_id: row.int("erasure_id")?.to_string(),
        account_id: row.int("account_id")?.to_string(),
        contact_id: row.optional_int("contact_id")?.map(|id| id.to_string()),
        erased_at: format_time(row.time("at")?),
        first_erased_at: row.optional_time("first_at")?.map(format_time),
        erased_by: row.int("user_id")?.to_string(),
        effect: Effect {
            categories: counts.into_iter().map(category).collect(),
            others: row.json("others")?,
            found: row.json("found")?,
            survivors: 0,
        },
    })
}
