//! Who takes e-mail. There is one subscription here: all e-mail.

use serde_json::json;

use super::{Writing, read_record};
use crate::domain::address::address_key;
use crate::domain::time::format_time;
use crate::store::access::audit::{self, Actor};
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::identity::suppressions;
use crate::store::import::writer::{Writer, by_program};
use crate::store::{HashKeySource, Store, StoreError, read_transaction};

/// Does an address take e-mail?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscription {
    Subscribed,
    /// Its person said no.
    Unsubscribed,
    /// It bounces, reported spam or is in quarantine, or its person was erased.
    Suppressed,
}

impl Store {
    /// Whether an address takes e-mail.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn subscription(&self, account_id: i64, email: &str) -> Result<Subscription, StoreError> {
        read_transaction!(self, tx => subscription(tx, self.hash_key_home(), account_id, email))
    }

    /// Notes that an address takes no e-mail.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn unsubscribe(&self, by: Writing, email: &str) -> Result<(), StoreError> {
        by_program!(self, by.token_id, writer => unsubscribe(writer, by, email))
    }
}

async fn subscription(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
    email: &str,
) -> Result<Subscription, StoreError> {
    let key = address_key(email);
    let sql = "SELECT status FROM deliverability WHERE account_id = $1 AND email_key = $2";
    let rows = tx.rows(sql, args![account_id, key.as_str()]).await?;
    let mut statuses = rows.iter().map(|row| row.text("status")).collect::<Result<Vec<_>, _>>()?;
    // Of people who are gone the statuses are kept under hashes.
    statuses.extend(suppressions::kept_statuses(tx, home, account_id, &key).await?);
    Ok(match statuses.iter().map(String::as_str).min_by_key(|status| *status == UNSUBSCRIBED) {
        None => Subscription::Subscribed,
        Some(UNSUBSCRIBED) => Subscription::Unsubscribed,
        Some(_) => Subscription::Suppressed,
    })
}

const UNSUBSCRIBED: &str = "unsubscribed";

async fn unsubscribe(writer: &mut Writer, by: Writing, email: &str) -> Result<(), StoreError> {
    let now = writer.now();
    let key = address_key(email);
    let sql = "SELECT 1 AS one FROM deliverability WHERE account_id = $1 AND email_key = $2 AND status = $3 \
               AND subscription_id IS NULL";
    if writer.tx().row(sql, args![by.account_id, key.as_str(), UNSUBSCRIBED]).await?.is_some() {
        return Ok(());
    }
    let record = json!({"kind": "deliverability", "accountId": by.account_id.to_string(), "email": key,
        "status": UNSUBSCRIBED, "at": format_time(now)});
    writer.write_all(vec![read_record(&record)?]).await?;
    audit::write(writer.tx(), now, by.account_id, &Actor::User(by.user_id), UNSUBSCRIBED, &[], 1).await
}
