//! What is to leave: written with the deed, in its transaction; read in order; removed once it is safe elsewhere.
//!
//! A message's id is taken before its transaction commits, so two transactions may commit out of the order of their
//! ids, and a reader may see 11 before 10. So nobody remembers a position: the oldest that are there are read, and
//! exactly those that were published are removed. A contact's own messages do become visible in the order of
//! their ids: its row is locked when an id is taken, and stays so until the commit.

pub mod mail;

use std::time::Duration;

use serde::Serialize;

use super::db::Tx;
use super::db::batch::{List, Lists};
use super::db::values::{Row, args};
use super::lease::{self, Lease};
use super::{Store, StoreError, read_transaction, transaction};
use crate::domain::record::ColumnType;
use crate::domain::time::Time;
use mail::CONFIRMATION;

/// The messages that are events. A message of any other kind is nothing for those who listen for events: an e-mail
/// is for one user alone.
pub const EVENTS: [&str; 20] = [
    "company.deletion",
    "company.purge",
    "company.restore",
    "contact.creation",
    "contact.deletion",
    "contact.privacyDeletion",
    "contact.propertyChange",
    "contact.purge",
    "contact.restore",
    "deal.deletion",
    "deal.purge",
    "deal.restore",
    "enrollment.refused",
    "guard.tripped",
    "object.deletion",
    "object.purge",
    "object.restore",
    "ticket.deletion",
    "ticket.purge",
    "ticket.restore",
];

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub account_id: i64,
    pub message_id: i64,
    /// One of [`EVENTS`].
    pub kind: String,
    /// JSON: ids, no personal data.
    pub data: String,
    pub created_at: Time,
}

/// How much waits in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many messages.
    pub messages: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
}

impl Store {
    /// The events that wait in the outbox.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn unsent_events(&self) -> Result<Waiting, StoreError> {
        read_transaction!(self, tx => waiting(tx, "<>"))
    }

    /// The confirmations that wait in the outbox.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn waiting_confirmations(&self) -> Result<Waiting, StoreError> {
        read_transaction!(self, tx => waiting(tx, "="))
    }

    /// The oldest events that wait, in the order of their ids.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn events(&self, limit: u32) -> Result<Vec<Message>, StoreError> {
        read_transaction!(self, tx => events(tx, limit))
    }

    /// Removes what is safe with the broker and prolongs the lease, in one transaction.
    ///
    /// # Errors
    ///
    /// Refused where the lease went to another: the messages stay, and the other one publishes them.
    pub async fn remove_published(
        &self,
        lease: &Lease,
        period: Duration,
        published: &[(i64, i64)],
    ) -> Result<(), StoreError> {
        transaction!(self, tx => remove(tx, lease, period, published))
    }
}

/// Messages whose type is (`=`) or is not (`<>`) that of a confirmation.
async fn waiting(tx: &mut Tx, is: &str) -> Result<Waiting, StoreError> {
    let now = tx.now().await?;
    let sql = format!(
        "SELECT count(*) AS waiting, min(created_at) AS oldest FROM outbox WHERE type {is} '{CONFIRMATION}'"
    );
    let Some(row) = tx.row(&sql, &[]).await? else { return Ok(Waiting::default()) };
    let age = row.optional_time("oldest")?.and_then(|oldest| (now - oldest).to_std().ok());
    Ok(Waiting {
        messages: u64::try_from(row.int("waiting")?).unwrap_or_default(),
        oldest: age.unwrap_or_default(),
    })
}

async fn events(tx: &mut Tx, limit: u32) -> Result<Vec<Message>, StoreError> {
    let sql = format!(
        "SELECT account_id, message_id, type, data, created_at FROM outbox WHERE type IN ('{}') \
         ORDER BY message_id LIMIT $1",
        EVENTS.join("', '")
    );
    tx.rows(&sql, args![i64::from(limit)]).await?.iter().map(message).collect()
}

fn message(row: &Row) -> Result<Message, StoreError> {
    Ok(Message {
        account_id: row.int("account_id")?,
        message_id: row.int("message_id")?,
        kind: row.text("type")?,
        data: row.text("data")?,
        created_at: row.time("created_at")?,
    })
}

async fn remove(
    tx: &mut Tx,
    lease: &Lease,
    period: Duration,
    published: &[(i64, i64)],
) -> Result<(), StoreError> {
    lease::renew(tx, lease, period).await?;
    let sql = format!(
        "DELETE FROM outbox WHERE (account_id, message_id) IN (SELECT b.account_id, b.message_id FROM {})",
        tx.dialect().ids(1, &["account_id", "message_id"])
    );
    tx.execute(
        &sql,
        args![Lists::ids(published.iter().map(|(account_id, message_id)| [*account_id, *message_id]))],
    )
    .await?;
    Ok(())
}

/// Puts messages into the outbox, with the deed: (account, kind, data).
pub(super) async fn write_outbox<D: Serialize>(
    tx: &mut Tx,
    at: Time,
    messages: Vec<(i64, &'static str, D)>,
) -> Result<(), StoreError> {
    let columns = [("account_id", ColumnType::Int), ("type", ColumnType::Text), ("data", ColumnType::Text)];
    let sql = format!(
        "INSERT INTO outbox (account_id, type, data, created_at) SELECT b.account_id, b.type, b.data, $1 FROM {}",
        tx.dialect().lists(2, &columns)
    );
    let data = |(_, _, data): &(_, _, D)| {
        serde_json::to_string(data).map_err(|error| StoreError::Failed(error.to_string()))
    };
    let lists = Lists::new([
        List::Ids(messages.iter().map(|(account_id, ..)| *account_id).collect()),
        List::texts(messages.iter().map(|(_, kind, _)| *kind)),
        List::texts(messages.iter().map(data).collect::<Result<Vec<_>, _>>()?),
    ]);
    tx.execute(&sql, args![at, lists]).await?;
    Ok(())
}
