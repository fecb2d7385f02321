//! Erasing again, by the journal, after a backup was restored: by the same code as the first time, one transaction an
//! erasure, and harmless however often it is done.
//!
//! It goes by contact ids, which are never used again: the contact of an id is the person who was erased, or nobody. A
//! contact that only has an address of the journal may be somebody else, and is left alone.

use std::collections::{BTreeMap, BTreeSet};

use super::erase::{self, By};
use super::receipts::{self, Effect, NewReceipt};
use crate::domain::journal::{ErasedRecord, Erasure, Suppression};
use crate::domain::record::{Column, ColumnType};
use crate::domain::suppression::{HashKeys, PURGED};
use crate::domain::time::Time;
use crate::store::access::audit::{self, Actor};
use crate::store::contacts::absent_accounts;
use crate::store::db::Tx;
use crate::store::db::batch::{List, Lists};
use crate::store::db::dialect::names;
use crate::store::db::locks::lock_imports_and_removals;
use crate::store::db::values::{Arg, args};
use crate::store::identity::identifiers::{CONTACTS, holders};
use crate::store::identity::suppressions;
use crate::store::{HashKeySource, Store, StoreError, read_transaction, transaction};

/// Addresses looked at in one transaction.
const PAGE: i64 = 1000;

/// What became of an erasure of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReapplyOutcome {
    /// The contact was back, and is gone again.
    Erased,
    /// Nobody was there; an import will know.
    Recorded,
    /// The store knew already.
    Known,
    /// The contact is back and under a legal hold.
    Held,
}

impl Store {
    /// Does this store have these keys? Each is told by its id and its check.
    ///
    /// # Errors
    ///
    /// Refused: which key it lacks, and what to do.
    pub async fn knows_keys(&self, keys: &BTreeMap<String, String>) -> Result<(), StoreError> {
        read_transaction!(self, tx => verify_keys(tx, self.hash_key_home(), keys))
    }

    /// Those of the accounts that this store does not have.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn absent_accounts(&self, accounts: &BTreeSet<i64>) -> Result<Vec<i64>, StoreError> {
        read_transaction!(self, tx => absent_accounts(tx, accounts))
    }

    /// Erases again what was erased before. Whoever asked for it then was told then; nobody is told again.
    ///
    /// # Errors
    ///
    /// Where the database does not answer, or rows survived: then nothing of this contact was erased.
    pub async fn reapply_erasure(
        &self,
        erasure: &Erasure,
        operator: &str,
    ) -> Result<ReapplyOutcome, StoreError> {
        transaction!(self, tx => again(tx, self, erasure, operator))
    }

    /// Puts addresses on the suppression list again; how many were not on it.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn reapply_suppressions(
        &self,
        hashes: &[Suppression],
        operator: &str,
    ) -> Result<u64, StoreError> {
        transaction!(self, tx => suppress(tx, hashes, operator))
    }

    /// Keeps which records of other kinds an erasure deleted, so that no import brings them back; how many were not known.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn record_erased_again(&self, records: &[ErasedRecord]) -> Result<u64, StoreError> {
        transaction!(self, tx => erased_records(tx, records))
    }

    /// Redacts the addresses of erased people, told by their hashes, wherever an erasure would; how many records were
    /// redacted or deleted.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn redact_again(&self, account_id: i64, operator: &str) -> Result<u64, StoreError> {
        let (home, actor) = (self.hash_key_home(), Actor::Operator(operator.to_owned()));
        let mut redacted = 0;
        for address in transaction!(self, tx => erase::erased_addresses(tx, home, account_id))? {
            redacted += transaction!(self, tx => erase::redact_address_again(tx, home, account_id, &address, &actor))?;
        }
        Ok(redacted)
    }

    /// Puts what is kept by hash into force again for addresses that the account has, and takes away what it still has
    /// of addresses whose person is gone; one page of addresses, after `after`. `None`: that was the last.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn reactivate_suppressions(
        &self,
        account_id: i64,
        after: &str,
        operator: &str,
    ) -> Result<Option<(String, u64)>, StoreError> {
        transaction!(self, tx => revive(tx, self.hash_key_home(), account_id, after, operator))
    }
}

async fn verify_keys(
    tx: &mut Tx,
    home: &HashKeySource,
    wanted: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    let keys = suppressions::existing_keys(tx, home).await?;
    for (key_id, check) in wanted {
        let known = keys.iter().flat_map(HashKeys::iter).find(|key| key.id == *key_id);
        let problem = match known {
            Some(key) if key.check() == *check => continue,
            Some(_) => "has another key of that id",
            None => "does not have it",
        };
        return Err(StoreError::Refused(format!(
            "the journal is of a store with the key {key_id}, and this store {problem}: apply it to the store that it is \
             of, with that key's line in the file that privacy.hash_key_file names; nothing was done"
        )));
    }
    Ok(())
}

async fn again(
    tx: &mut Tx,
    store: &Store,
    erasure: &Erasure,
    operator: &str,
) -> Result<ReapplyOutcome, StoreError> {
    // An import may be about to bring the contact: it ends first, or sees that the contact is gone.
    let now = lock_imports_and_removals(tx).await?;
    let &Erasure { account_id, contact_id, erased_at, erased_by, .. } = erasure;
    let actor = Actor::Operator(operator.to_owned());
    let Some(contact_id) = contact_id else { return record_unknown(tx, erasure, &actor).await };
    if erase::held_since(tx, account_id, contact_id).await?.is_some() {
        return Ok(ReapplyOutcome::Held);
    }
    let keys = suppressions::keys(tx, store.hash_key_home()).await?;
    let by = By { keys: &keys, actor: actor.clone(), user_id: erased_by, first_at: Some(erased_at) };
    if erase::erase_contact(tx, &by, account_id, contact_id, now).await?.is_some() {
        audit::write(tx, now, account_id, &actor, "erase_again", &[contact_id], 1).await?;
        return Ok(ReapplyOutcome::Erased);
    }
    // An erasure says more than a purge.
    let sql = "INSERT INTO gone_contacts (account_id, contact_id, state, gone_at) VALUES ($1, $2, 'erased', $3) \
               ON CONFLICT (account_id, contact_id) DO UPDATE SET state = 'erased', gone_at = excluded.gone_at \
               WHERE gone_contacts.state <> 'erased'";
    if tx.execute(sql, args![account_id, contact_id, erased_at]).await? == 0 {
        return Ok(ReapplyOutcome::Known);
    }
    record(tx, erasure, &actor, now).await
}

/// An erasure by an address that no contact had: the receipt; the address is among the suppressions.
async fn record_unknown(tx: &mut Tx, erasure: &Erasure, actor: &Actor) -> Result<ReapplyOutcome, StoreError> {
    let &Erasure { account_id, erased_at, .. } = erasure;
    let sql = "SELECT 1 AS one FROM erasures WHERE account_id = $1 AND contact_id IS NULL AND at = $2";
    if tx.row(sql, args![account_id, erased_at]).await?.is_some() {
        return Ok(ReapplyOutcome::Known);
    }
    let now = tx.now().await?;
    record(tx, erasure, actor, now).await
}

/// Keeps the receipt of an erasure that has nothing to erase here.
async fn record(
    tx: &mut Tx,
    erasure: &Erasure,
    actor: &Actor,
    now: Time,
) -> Result<ReapplyOutcome, StoreError> {
    let &Erasure { account_id, contact_id, erased_at: at, erased_by: user_id, .. } = erasure;
    let effect = &Effect::default();
    let new =
        NewReceipt { account_id, contact_id, user_id, at, first_at: None, effect, addresses: Vec::new() };
    receipts::write(tx, new).await?;
    let ids: Vec<i64> = contact_id.into_iter().collect();
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    audit::write(tx, now, account_id, actor, "record_erasure", &ids, count).await?;
    Ok(ReapplyOutcome::Recorded)
}

async fn suppress(tx: &mut Tx, hashes: &[Suppression], operator: &str) -> Result<u64, StoreError> {
    let new = suppressions::insert(tx, hashes).await?;
    // Account 0: the hashes may be of many.
    audit_statuses(tx, 0, operator, "suppress_again", new).await?;
    Ok(new)
}

async fn erased_records(tx: &mut Tx, records: &[ErasedRecord]) -> Result<u64, StoreError> {
    const COLUMNS: [Column; 3] =
        [("account_id", ColumnType::Int), ("kind", ColumnType::Text), ("record_id", ColumnType::Int)];
    let ids = |of: fn(&ErasedRecord) -> i64| List::Ids(records.iter().map(of).collect());
    let kinds = List::texts(records.iter().map(|it| it.kind.clone()));
    let batch = Lists::new([ids(|it| it.account_id), kinds, ids(|it| it.record_id)]);
    let columns = names(&COLUMNS);
    let sql = format!(
        "INSERT INTO erased_records ({columns}) SELECT {columns} FROM {} WHERE TRUE ON CONFLICT DO NOTHING",
        tx.dialect().lists(1, &COLUMNS)
    );
    tx.execute(&sql, args![batch]).await
}

async fn audit_statuses(
    tx: &mut Tx,
    account_id: i64,
    operator: &str,
    action: &str,
    statuses: u64,
) -> Result<(), StoreError> {
    if statuses == 0 {
        return Ok(());
    }
    let now = tx.now().await?;
    let count = i64::try_from(statuses).unwrap_or(i64::MAX);
    audit::write(tx, now, account_id, &Actor::Operator(operator.to_owned()), action, &[], count).await
}

async fn revive(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
    after: &str,
    operator: &str,
) -> Result<Option<(String, u64)>, StoreError> {
    let now = lock_imports_and_removals(tx).await?;
    let page = |table| {
        format!(
            "SELECT * FROM (SELECT DISTINCT email_key FROM {table} WHERE account_id = $1 AND email_key > $2 \
             ORDER BY email_key LIMIT $3) {table}"
        )
    };
    let sql =
        format!("{} UNION {} ORDER BY email_key LIMIT $3", page("contact_emails"), page("deliverability"));
    let rows = tx.rows(&sql, &[account_id.into(), Arg::from(after), PAGE.into()]).await?;
    let addresses: Vec<(i64, String)> =
        rows.iter().map(|row| Ok((account_id, row.text("email_key")?))).collect::<Result<_, StoreError>>()?;
    let Some((_, last)) = addresses.last().cloned() else { return Ok(None) };
    let gone = suppressions::gone(tx, home, &addresses).await?;
    if !gone.is_empty() {
        let keys = suppressions::keys(tx, home).await?;
        let gone: Vec<String> = gone.into_iter().map(|(_, address)| address).collect();
        // Each has its mark already; this one never causes a redaction.
        suppressions::hash(tx, &keys, account_id, &gone, PURGED, now).await?;
    }
    let owned: BTreeSet<(i64, String)> =
        holders(tx, CONTACTS, &addresses).await?.into_iter().map(|(address, _)| address).collect();
    let owned: Vec<(i64, String)> = owned.into_iter().collect();
    let revived = suppressions::reactivate(tx, home, &owned).await?;
    audit_statuses(tx, account_id, operator, "revive_suppressions", revived).await?;
    Ok(Some((last, revived)))
}
