//! Unfinished imports.
//!
//! An import writes records by kind, so for a while the store has a contact without the segments, associations and enrollments that
//! protect it; after an interruption, until the same import runs again. Enrollments of contacts that an unfinished import has changed
//! are therefore deferred. So are, in its accounts, those whose criteria look beyond the record of the contact: with its first row of a
//! kind the account keeps that kind, and of other contacts that row may be still to come. Where it has enrollments every enrollment of the
//! account waits, because one that is still to come may say that the contact was enrolled before.

use std::collections::BTreeMap;

use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::args;
use crate::store::decisions::pauses;

/// An import that chunk after chunk takes part in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub import_id: i64,
    /// When its first chunk began, in whichever process.
    pub started_at: Time,
    /// There are other unfinished imports.
    pub has_others: bool,
}

/// By what an import is known again, and whom it concerns.
pub(super) struct ImportSource {
    /// The same for the same lines.
    pub hash: String,
    /// The accounts of its records, and whether enrollments of them are among these.
    pub accounts: BTreeMap<i64, bool>,
}

/// Begins an import with its first chunk, and says with each that it is under way. `begun` is the id under which a chunk of this
/// process was committed: under another one its accounts have to be noted first.
pub(super) async fn begin(
    tx: &mut Tx,
    source: &ImportSource,
    begun: Option<i64>,
    now: Time,
) -> Result<Identity, StoreError> {
    let sql = "INSERT INTO unfinished_imports (source, started_at, seen_at) VALUES ($1, $2, $2) \
               ON CONFLICT (source) DO UPDATE SET seen_at = excluded.seen_at RETURNING import_id, started_at";
    let row = tx.row(sql, args![source.hash.as_str(), now]).await?;
    let row = row.ok_or_else(|| StoreError::Failed("an import has no id".to_owned()))?;
    let (import_id, started_at) = (row.int("import_id")?, row.time("started_at")?);
    if begun != Some(import_id) {
        let sql = format!(
            "INSERT INTO unfinished_accounts (account_id, import_id, has_enrollments) \
             SELECT b.account_id, $1, b.has_enrollments <> 0 FROM {} WHERE TRUE ON CONFLICT DO NOTHING",
            tx.dialect().ids(2, &["account_id", "has_enrollments"])
        );
        let accounts = source.accounts.iter().map(|(id, has_enrollments)| [*id, i64::from(*has_enrollments)]);
        let accounts = Lists::ids(accounts);
        tx.execute(&sql, args![import_id, accounts]).await?;
    }
    let sql = "SELECT 1 AS one FROM unfinished_imports WHERE import_id <> $1 LIMIT 1";
    let has_others = tx.row(sql, args![import_id]).await?.is_some();
    Ok(Identity { import_id, started_at, has_others })
}

/// An import that has written nothing for so long counts as interrupted. A chunk takes about a second.
const INTERRUPTED: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// Marks an import as finished, and with it those that were interrupted where `others_too` says so. How many are left. It waits for
/// the deciding transactions under way: what they have read of the import may be a part of it.
pub(super) async fn end(tx: &mut Tx, source: &str, others_too: bool) -> Result<u64, StoreError> {
    let now = pauses::lock_pauses(tx).await?;
    let seen_before = others_too.then_some(now - INTERRUPTED);
    let ended = "source = $1 OR seen_at < $2";
    for table in ["unfinished_contacts", "unfinished_accounts"] {
        let sql = format!(
            "DELETE FROM {table} WHERE import_id IN (SELECT import_id FROM unfinished_imports WHERE {ended})"
        );
        tx.execute(&sql, args![source, seen_before]).await?;
    }
    let sql = format!("DELETE FROM unfinished_imports WHERE {ended}");
    tx.execute(&sql, args![source, seen_before]).await?;
    let left = tx.row("SELECT count(*) AS imports FROM unfinished_imports", &[]).await?;
    Ok(left.map_or(Ok(0), |row| row.int("imports"))?.unsigned_abs())
}

/// The condition that a row of `contacts`, by its alias, names another unfinished import than the one of a parameter.
pub(super) fn has_another(contact: &str, import: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM unfinished_imports u WHERE u.import_id = {contact}.import_id AND u.import_id <> {import})"
    )
}
