//! Pause and resume: every deciding transaction reads the pauses.
//!
//! Whoever decides shares a lock with the others before it reads them; whoever pauses holds that lock alone. So a pause
//! waits for the batches under way, and once it has returned no later commit deletes.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;

use crate::domain::time::Time;
use crate::store::access::audit::{self, Actor};
use crate::store::access::users::Operator;
use crate::store::db::batch::{ACCOUNT, Lists};
use crate::store::db::values::args;
use crate::store::db::{Tx, locks};
use crate::store::{Store, StoreError, read_transaction, transaction};

/// What is paused: everything, an account, or one of its workflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    pub account_id: Option<i64>,
    /// Only with an account.
    pub workflow_id: Option<i64>,
}

impl Scope {
    /// As the table has it: 0 for all there are.
    fn key(self) -> (i64, i64) {
        (self.account_id.unwrap_or_default(), self.workflow_id.unwrap_or_default())
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.account_id, self.workflow_id) {
            (None, _) => to.write_str("everything"),
            (Some(account_id), None) => write!(to, "account {account_id}"),
            (Some(account_id), Some(workflow_id)) => {
                write!(to, "workflow {workflow_id} of account {account_id}")
            }
        }
    }
}

/// What a resume did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resumed {
    /// False where it was not paused.
    pub resumed: bool,
    /// A wider pause is still in force.
    pub still_paused: bool,
}

impl Store {
    /// Stops deletes by workflows: once this has returned none is committed any more. False where it was paused already.
    ///
    /// # Errors
    ///
    /// Refused: an account, a workflow or a user that is not there, a user who may not delete many. Where a batch under
    /// way cannot be waited for any longer: nothing is paused.
    pub async fn pause(&self, scope: Scope, operator: &Operator) -> Result<bool, StoreError> {
        transaction!(self, tx => insert_pause(tx, scope, operator))
    }

    /// Lets deletes by workflows go on; what was held meanwhile is taken up again.
    ///
    /// # Errors
    ///
    /// Refused: a user that is not there, or who may not delete many.
    pub async fn resume(&self, scope: Scope, operator: &Operator) -> Result<Resumed, StoreError> {
        transaction!(self, tx => resume(tx, scope, operator))
    }

    /// How many pauses are in force.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn pauses(&self) -> Result<u64, StoreError> {
        read_transaction!(self, tx => count(tx))
    }
}

/// What is paused of the accounts of a batch.
#[derive(Debug, Default)]
pub(super) struct Pauses(HashSet<(i64, i64)>);

impl Pauses {
    pub(in crate::store) async fn load(tx: &mut Tx, accounts: &BTreeSet<i64>) -> Result<Self, StoreError> {
        let batch = Lists::ids(accounts.iter().map(|account_id| [*account_id]));
        let sql = format!(
            "SELECT account_id, workflow_id FROM pauses \
             WHERE account_id = 0 OR account_id IN (SELECT b.account_id FROM {})",
            tx.dialect().ids(1, &ACCOUNT)
        );
        let rows = tx.rows(&sql, args![batch]).await?;
        let keys = rows.iter().map(|row| Ok((row.int("account_id")?, row.int("workflow_id")?)));
        keys.collect::<Result<_, StoreError>>().map(Self)
    }

    pub(in crate::store) fn is_paused(&self, account_id: i64, workflow_id: i64) -> bool {
        [(0, 0), (account_id, 0), (account_id, workflow_id)].iter().any(|key| self.0.contains(key))
    }
}

/// Begins a deciding transaction: no pause comes between the pauses it is about to read and its commit.
pub(in crate::store) async fn lock_pauses_shared(tx: &mut Tx) -> Result<Time, StoreError> {
    tx.time(&tx.dialect().lock_shared_and_now(locks::PAUSES)).await
}

/// Waits for the deciding transactions under way; those that follow wait for this one.
pub(in crate::store) async fn lock_pauses(tx: &mut Tx) -> Result<Time, StoreError> {
    tx.time(&tx.dialect().lock_exclusive_and_now(locks::PAUSES)).await
}

async fn insert_pause(tx: &mut Tx, scope: Scope, operator: &Operator) -> Result<bool, StoreError> {
    let now = lock_pauses(tx).await?;
    let (account_id, workflow_id) = scope.key();
    let who = operator.authorize_bulk(tx, account_id, "stop workflows that delete").await?;
    refuse_unknown(tx, scope, "paused").await?;
    let paused = tx
        .execute(
            "INSERT INTO pauses (account_id, workflow_id, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            args![account_id, workflow_id, now],
        )
        .await?;
    if paused > 0 {
        audit(tx, now, scope, &who, "pause").await?;
    }
    Ok(paused > 0)
}

/// A typing error must not look like a pause, or like the end of one.
async fn refuse_unknown(tx: &mut Tx, scope: Scope, action: &str) -> Result<(), StoreError> {
    let Some(account_id) = scope.account_id else { return Ok(()) };
    let found = match scope.workflow_id {
        None => tx.row("SELECT 1 AS one FROM accounts WHERE account_id = $1", args![account_id]).await?,
        Some(workflow_id) => {
            let sql = "SELECT 1 AS one FROM workflows WHERE account_id = $1 AND workflow_id = $2";
            tx.row(sql, args![account_id, workflow_id]).await?
        }
    };
    match found {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound(format!("there is no {scope}; nothing was {action}"))),
    }
}

async fn resume(tx: &mut Tx, scope: Scope, operator: &Operator) -> Result<Resumed, StoreError> {
    // Alone, like a pause: a batch that still saw it would hold rows that nobody takes up.
    let now = lock_pauses(tx).await?;
    let (account_id, workflow_id) = scope.key();
    let who = operator.authorize_bulk(tx, account_id, "let workflows delete").await?;
    let resumed = tx
        .execute(
            "DELETE FROM pauses WHERE account_id = $1 AND workflow_id = $2",
            args![account_id, workflow_id],
        )
        .await?;
    // A workflow may have gone since it was paused.
    if resumed == 0 {
        refuse_unknown(tx, scope, "resumed").await?;
    } else {
        tx.execute(
            "UPDATE pending_enrollments SET ready_at = $1 WHERE reason = 'paused' AND ready_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM pauses s WHERE s.account_id = 0 \
                OR s.account_id = pending_enrollments.account_id \
                   AND s.workflow_id IN (0, pending_enrollments.workflow_id))",
            args![now],
        )
        .await?;
        audit(tx, now, scope, &who, "resume").await?;
    }
    let sql = "SELECT 1 AS one FROM pauses WHERE account_id = 0 \
               OR account_id = $1 AND workflow_id IN (0, $2) LIMIT 1";
    let still_paused = tx.row(sql, args![account_id, workflow_id]).await?.is_some();
    Ok(Resumed { resumed: resumed > 0, still_paused })
}

async fn audit(tx: &mut Tx, now: Time, scope: Scope, who: &Actor, action: &str) -> Result<(), StoreError> {
    let workflow: Vec<i64> = scope.workflow_id.into_iter().collect();
    audit::write(tx, now, scope.key().0, who, action, &workflow, 1).await
}

async fn count(tx: &mut Tx) -> Result<u64, StoreError> {
    let row = tx.row("SELECT count(*) AS pauses FROM pauses", &[]).await?;
    Ok(row.map_or(Ok(0), |row| row.int("pauses"))?.unsigned_abs())
}
