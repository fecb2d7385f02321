//! E-mails that wait in the outbox: to users, about what they did; of the person it was done to they hold nothing.
//!
//! The address is not in the outbox: it is looked up when the mail is sent. One that did not go through waits by
//! itself, longer with each try, so that those behind it go on.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::write_outbox;
use crate::domain::record::ColumnType;
use crate::domain::time::Time;
use crate::store::access::audit::{self, Actor};
use crate::store::db::Tx;
use crate::store::db::batch::{batch_row, batch_text};
use crate::store::db::values::{Row, args};
use crate::store::lease::{self, Lease};
use crate::store::{Store, StoreError, read_transaction, transaction};

/// The messages that are e-mails: never an event. The migration's index names it too.
pub(super) const CONFIRMATION: &str = "mail.erasure";

/// What the user who asked for an erasure is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    pub user_id: String,
    pub erased_at: String,
    pub erasures: Vec<ConfirmedErasure>,
}

/// A receipt, by its number, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmedErasure {
    pub erasure_id: String,
    /// Null where nobody had the address.
    pub contact_id: Option<String>,
}

/// A mail that is due.
#[derive(Clone, Debug)]
pub struct Mail {
    pub account_id: i64,
    pub message_id: i64,
    pub created_at: Time,
    /// How long it has waited, by the database's clock.
    pub age: Duration,
    /// How often it was tried.
    pub tries: u32,
    /// Where to; `None` where the user is gone.
    pub address: Option<String>,
    pub confirmation: Confirmation,
}

/// What becomes of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has it.
    Sent,
    /// It is tried again after this.
    Later(Duration),
    /// It goes to nobody; the audit says so.
    Dropped,
}

impl Store {
    /// The mails that are due: the oldest first, and one that was tried before by the time of its next try, so that
    /// many of those do not keep a new one waiting.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn mails(&self, limit: u32) -> Result<Vec<Mail>, StoreError> {
        read_transaction!(self, tx => mails(tx, limit))
    }

    /// Writes down what became of a mail and prolongs the lease, in one transaction.
    ///
    /// # Errors
    ///
    /// Refused where the lease went to another: the mail stays as it was, and the other one sends it.
    pub async fn settle_mail(
        &self,
        lease: &Lease,
        period: Duration,
        mail: &Mail,
        outcome: Outcome,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => settle(tx, lease, period, mail, outcome))
    }
}

/// Puts a confirmation into the outbox, with the deed.
pub(in crate::store) async fn confirm(
    tx: &mut Tx,
    at: Time,
    account_id: i64,
    confirmation: &Confirmation,
) -> Result<(), StoreError> {
    write_outbox(tx, at, vec![(account_id, CONFIRMATION, json!(confirmation))]).await
}

async fn mails(tx: &mut Tx, limit: u32) -> Result<Vec<Mail>, StoreError> {
    let now = tx.now().await?;
    let sql = format!(
        "SELECT account_id, message_id, data, created_at, tries FROM outbox \
         WHERE type = '{CONFIRMATION}' AND (retry_at IS NULL OR retry_at <= $1) \
         ORDER BY coalesce(retry_at, created_at), message_id LIMIT $2"
    );
    let rows = tx.rows(&sql, args![now, i64::from(limit)]).await?;
    let mut mails: Vec<Mail> = rows.iter().map(|row| mail(row, now)).collect::<Result<_, _>>()?;
    let mut addresses = addresses(tx, &mails).await?;
    for mail in &mut mails {
        mail.address = addresses.remove(&(mail.account_id, mail.message_id));
    }
    Ok(mails)
}

fn mail(row: &Row, now: Time) -> Result<Mail, StoreError> {
    let created_at = row.time("created_at")?;
    Ok(Mail {
        account_id: row.int("account_id")?,
        message_id: row.int("message_id")?,
        created_at,
        age: (now - created_at).to_std().unwrap_or_default(),
        tries: u32::try_from(row.int("tries")?).unwrap_or(u32::MAX),
        address: None,
        confirmation: row.json("data")?,
    })
}

/// Where each mail goes to, as the users' addresses are now.
async fn addresses(tx: &mut Tx, mails: &[Mail]) -> Result<HashMap<(i64, i64), String>, StoreError> {
    if mails.is_empty() {
        return Ok(HashMap::new());
    }
    let columns =
        [("account_id", ColumnType::Int), ("message_id", ColumnType::Int), ("user_id", ColumnType::Int)];
    let row = |mail: &Mail| {
        let user_id: Option<i64> = mail.confirmation.user_id.parse().ok();
        batch_row(json!({"account_id": mail.account_id, "message_id": mail.message_id, "user_id": user_id}))
    };
    let sql = format!(
        "SELECT b.account_id, b.message_id, u.email FROM {} \
         JOIN users u ON u.account_id = b.account_id AND u.user_id = b.user_id",
        tx.dialect().batch(1, &columns)
    );
    let rows = tx.rows(&sql, args![batch_text(mails.iter().map(row))]).await?;
    let address = |row: &Row| Ok(((row.int("account_id")?, row.int("message_id")?), row.text("email")?));
    rows.iter().map(address).collect()
}

async fn settle(
    tx: &mut Tx,
    lease: &Lease,
    period: Duration,
    mail: &Mail,
    outcome: Outcome,
) -> Result<(), StoreError> {
    lease::renew(tx, lease, period).await?;
    let now = tx.now().await?;
    if let Outcome::Later(pause) = outcome {
        let retry_at = now + chrono::TimeDelta::from_std(pause).unwrap_or(chrono::TimeDelta::MAX);
        let sql =
            "UPDATE outbox SET tries = tries + 1, retry_at = $3 WHERE account_id = $1 AND message_id = $2";
        tx.execute(sql, args![mail.account_id, mail.message_id, retry_at]).await?;
        return Ok(());
    }
    let sql = "DELETE FROM outbox WHERE account_id = $1 AND message_id = $2";
    tx.execute(sql, args![mail.account_id, mail.message_id]).await?;
    if outcome == Outcome::Dropped {
        let erasures = mail.confirmation.erasures.iter();
        let ids: Vec<i64> = erasures.filter_map(|erasure| erasure.erasure_id.parse().ok()).collect();
        let actor = Actor::Job("mail".to_owned());
        audit::write(tx, now, mail.account_id, &actor, "drop_confirmation", &ids, 1).await?;
    }
    Ok(())
}
