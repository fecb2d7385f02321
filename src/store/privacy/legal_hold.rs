//! Legal holds: a contact under one is neither erased nor purged, whatever is asked. Trash and restore go on.

use serde::Serialize;
use tracing::warn;

use super::{redact, vacuum};
use crate::domain::time::format_time;
use crate::store::access::audit::{self, Actor};
use crate::store::contacts::locked_contact;
use crate::store::db::values::args;
use crate::store::db::{Tx, locks};
use crate::store::{HashKeySource, Operator, Store, StoreError, read_transaction, transaction};

/// A hold in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    pub contact_id: String,
    pub set_by: String,
    pub reason: String,
    pub since: String,
}

impl Store {
    /// Sets a hold, unless the contact is under one for the same reason.
    ///
    /// # Errors
    ///
    /// Refused for a contact that is not there or under a hold for another reason, and for a user who may not.
    pub async fn set_legal_hold(
        &self,
        account_id: i64,
        contact_id: i64,
        operator: &Operator,
        reason: &str,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => set(tx, account_id, contact_id, operator, reason))
    }

    /// Lifts a hold: the next erase or purge may go on. Erased people are redacted in what it kept whole.
    ///
    /// # Errors
    ///
    /// Refused where there is none, and for a user who may not.
    pub async fn lift_legal_hold(
        &self,
        account_id: i64,
        contact_id: i64,
        operator: &Operator,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => lift(tx, self.hash_key_home(), account_id, contact_id, operator))?;
        if let Err(problem) = self.scrub_if_owed().await {
            warn!(error = %problem, "what was redacted is not yet gone from the files; the next erasure or purge does it");
        }
        Ok(())
    }

    /// Holds of an account by contact, from this contact on, so many at most.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn legal_holds(&self, account_id: i64, from: i64, limit: i64) -> Result<Vec<Hold>, StoreError> {
        read_transaction!(self, tx => list(tx, account_id, from, limit))
    }

    /// The hold that a contact is under.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn legal_hold(&self, account_id: i64, contact_id: i64) -> Result<Option<Hold>, StoreError> {
        let next = self.legal_holds(account_id, contact_id, 1).await?.pop();
        Ok(next.filter(|hold| hold.contact_id == contact_id.to_string()))
    }
}

async fn set(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
    operator: &Operator,
    reason: &str,
) -> Result<(), StoreError> {
    let actor = operator.authorize_super_admin(tx, account_id, "set a legal hold").await?;
    // Under the contact's lock: an erase or a purge of it has ended before, or sees the hold.
    locked_contact(tx, account_id, contact_id).await?;
    let held = "SELECT reason, since FROM legal_holds WHERE account_id = $1 AND contact_id = $2";
    if let Some(held) = tx.row(held, args![account_id, contact_id]).await? {
        if held.text("reason")? == reason {
            return Ok(());
        }
        // One that hid another would end with it.
        return Err(StoreError::Refused(format!(
            "contact {contact_id} is under a legal hold for another reason since {}, which `legal-hold list` shows: lift it, \
             and set one that names both",
            format_time(held.time("since")?)
        )));
    }
    let now = tx.now().await?;
    tx.execute(
        "INSERT INTO legal_holds (account_id, contact_id, set_by, reason, since) VALUES ($1, $2, $3, $4, $5)",
        args![account_id, contact_id, set_by(&actor), reason, now],
    )
    .await?;
    audit::write(tx, now, account_id, &actor, "set_legal_hold", &[contact_id], 1).await
}

/// Whoever is at the command line by name, a user as the audit has it.
fn set_by(actor: &Actor) -> String {
    match actor {
        Actor::Operator(name) => name.clone(),
        actor => actor.to_text(),
    }
}

async fn lift(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
    contact_id: i64,
    operator: &Operator,
) -> Result<(), StoreError> {
    locks::lock_imports_and_removals(tx).await?;
    let actor = operator.authorize_super_admin(tx, account_id, "lift a legal hold").await?;
    let now = tx.now().await?;
    let lifted = tx
        .execute(
            "DELETE FROM legal_holds WHERE account_id = $1 AND contact_id = $2",
            args![account_id, contact_id],
        )
        .await?;
    if lifted == 0 {
        return Err(StoreError::NotFound(format!("contact {contact_id} is under no legal hold")));
    }
    if redact::owed(tx, home, account_id).await? {
        vacuum::mark_needed(tx, now).await?;
    }
    audit::write(tx, now, account_id, &actor, "lift_legal_hold", &[contact_id], 1).await
}

async fn list(tx: &mut Tx, account_id: i64, from: i64, limit: i64) -> Result<Vec<Hold>, StoreError> {
    let sql = "SELECT contact_id, set_by, reason, since FROM legal_holds \
               WHERE account_id = $1 AND contact_id >= $2 ORDER BY contact_id LIMIT $3";
    let rows = tx.rows(sql, args![account_id, from, limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(Hold {
                contact_id: row.int("contact_id")?.to_string(),
                set_by: row.text("set_by")?,
                reason: row.text("reason")?,
                since: format_time(row.time("since")?),
            })
        })
        .collect()
}
