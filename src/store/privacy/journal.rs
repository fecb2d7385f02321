//! The journal of erasures, read out of the store as it stands at one moment.

use crate::domain::journal::{Entry, ErasedRecord, Erasure, Key, Suppression};
use crate::domain::suppression::HashKeys;
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::identity::suppressions;
use crate::store::{HashKeySource, Store, StoreError, transaction};

/// Lines read at a time.
const PAGE: i64 = 1000;

/// An export under way: one transaction that reads. It must be [finished](Export::finish), whatever happens.
#[derive(Debug)]
pub struct Export {
    tx: Tx,
    hash_keys: HashKeySource,
    next: Next,
}

/// What comes next, after which key.
#[derive(Debug)]
enum Next {
    Keys,
    Erasures(i64, i64),
    Suppressions(i64, String, String),
    ErasedRecords(i64, String, i64),
}

impl Store {
    /// Opens an export.
    ///
    /// # Errors
    ///
    /// Refused where a key is missing that hashes were made with.
    pub async fn begin_export(&self) -> Result<Export, StoreError> {
        // A journal always tells the store that it is of, by a key.
        transaction!(self, tx => suppressions::keys(tx, self.hash_key_home()))?;
        let tx = self.db.begin_read().await?;
        Ok(Export { tx, hash_keys: self.hash_key_home().clone(), next: Next::Keys })
    }
}

impl Export {
    /// The next entries, in an order that stays the same: keys, erasures, suppressions, erased records. None: that was all.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn page(&mut self) -> Result<Vec<Entry>, StoreError> {
        if matches!(self.next, Next::Keys) {
            self.next = Next::Erasures(0, 0);
            let keys = self.keys().await?;
            if !keys.is_empty() {
                return Ok(keys);
            }
        }
        if let Next::Erasures(account_id, erasure_id) = self.next {
            let erasures = self.erasures(account_id, erasure_id).await?;
            if let Some(last) = erasures.last() {
                self.next = Next::Erasures(last.account_id, last.erasure_id);
                return Ok(erasures.into_iter().map(Entry::Erasure).collect());
            }
            self.next = Next::Suppressions(0, String::new(), String::new());
        }
        if matches!(self.next, Next::Suppressions(..)) {
            let suppressions = self.suppressions().await?;
            if let Some(last) = suppressions.last() {
                self.next = Next::Suppressions(last.account_id, last.hash.clone(), last.status.clone());
                return Ok(suppressions.into_iter().map(Entry::Suppression).collect());
            }
            self.next = Next::ErasedRecords(0, String::new(), 0);
        }
        let records = self.erased_records().await?;
        if let Some(last) = records.last() {
            self.next = Next::ErasedRecords(last.account_id, last.kind.clone(), last.record_id);
        }
        Ok(records.into_iter().map(Entry::ErasedRecord).collect())
    }

    /// Ends the export.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn finish(self) -> Result<(), StoreError> {
        self.tx.commit_or_rollback(Ok(())).await
    }

    async fn keys(&mut self) -> Result<Vec<Entry>, StoreError> {
        let keys = suppressions::existing_keys(&mut self.tx, &self.hash_keys).await?;
        let entries = keys.iter().flat_map(HashKeys::iter);
        Ok(entries.map(|key| Entry::Key(Key { key_id: key.id.clone(), check: key.check() })).collect())
    }

    async fn erasures(&mut self, account_id: i64, erasure_id: i64) -> Result<Vec<Erasure>, StoreError> {
        let sql = "SELECT account_id, erasure_id, contact_id, at, user_id FROM erasures \
                   WHERE (account_id, erasure_id) > ($1, $2) ORDER BY account_id, erasure_id LIMIT $3";
        let rows = self.tx.rows(sql, args![account_id, erasure_id, PAGE]).await?;
        rows.iter()
            .map(|row| {
                Ok(Erasure {
                    account_id: row.int("account_id")?,
                    erasure_id: row.int("erasure_id")?,
                    contact_id: row.optional_int("contact_id")?,
                    erased_at: row.time("at")?,
                    erased_by: row.int("user_id")?,
                })
            })
            .collect()
    }

    async fn suppressions(&mut self) -> Result<Vec<Suppression>, StoreError> {
        let Next::Suppressions(account_id, hash, status) = &self.next else { return Ok(Vec::new()) };
        let sql = "SELECT account_id, hash, status, key_id, at, subscription_id FROM address_hashes \
                   WHERE (account_id, hash, status) > ($1, $2, $3) ORDER BY account_id, hash, status LIMIT $4";
        let rows = self.tx.rows(sql, args![*account_id, hash.as_str(), status.as_str(), PAGE]).await?;
        rows.iter()
            .map(|row| {
                Ok(Suppression {
                    account_id: row.int("account_id")?,
                    hash: row.text("hash")?,
                    key_id: row.text("key_id")?,
                    status: row.text("status")?,
                    at: row.time("at")?,
                    subscription_id: row.optional_text("subscription_id")?,
                })
            })
            .collect()
    }

    async fn erased_records(&mut self) -> Result<Vec<ErasedRecord>, StoreError> {
        let Next::ErasedRecords(account_id, kind, record_id) = &self.next else { return Ok(Vec::new()) };
        let sql = "SELECT account_id, kind, record_id FROM erased_records \
                   WHERE (account_id, kind, record_id) > ($1, $2, $3) ORDER BY account_id, kind, record_id LIMIT $4";
        let rows = self.tx.rows(sql, args![*account_id, kind.as_str(), *record_id, PAGE]).await?;
        rows.iter()
            .map(|row| {
                Ok(ErasedRecord {
                    account_id: row.int("account_id")?,
                    kind: row.text("kind")?,
                    record_id: row.int("record_id")?,
                })
            })
            .collect()
    }
}
