//! An account at a glance: what its pages show before anybody asks for more.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::contact::contact_batch;
use super::db::{Tx, args};
use super::explain::live_contacts;
use super::{CONTACT, Store, StoreError, batch_row, batch_text, reading};
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::{Time, format_time};

/// An hour, by its number among those that are asked for.
const HOUR: [Column; 3] =
    [("hour", ColumnType::Int), ("from_at", ColumnType::Time), ("to_at", ColumnType::Time)];

/// How an account stands.
#[derive(Clone, Debug)]
pub struct Overview {
    pub live_contacts: u64,
    pub in_trash: i64,
    /// Enrollments that wait, by reason.
    pub waiting: BTreeMap<String, i64>,
    /// Everything is paused, or the account is.
    pub is_paused: bool,
    /// Workflows that are paused by themselves.
    pub paused_workflows: Vec<i64>,
    /// The last hours, the oldest first.
    pub hours: Vec<Hour>,
}

/// The decisions of an hour.
#[derive(Clone, Debug)]
pub struct Hour {
    pub from: Time,
    /// By outcome.
    pub decisions: BTreeMap<String, i64>,
}

/// How a person would name a contact.
#[derive(Clone, Debug, Default)]
pub struct Name {
    pub name: String,
    pub email: String,
}

impl Store {
    /// How an account stands, with the decisions of its last so many hours.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn overview(&self, account_id: i64, hours: i32) -> Result<Overview, StoreError> {
        reading!(self, tx => overview(tx, account_id, hours))
    }

    /// The names of contacts that are there, live or in the trash.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn names(&self, account_id: i64, contacts: &[i64]) -> Result<HashMap<i64, Name>, StoreError> {
        reading!(self, tx => names(tx, account_id, contacts))
    }
}

async fn overview(tx: &mut Tx, account_id: i64, hours: i32) -> Result<Overview, StoreError> {
    let now = tx.now().await?;
    let live_contacts = live_contacts(tx, account_id).await?;
    let sql = "SELECT count(*) AS entries FROM trash_entries WHERE account_id = $1 AND closed_at IS NULL";
    let in_trash = tx.row(sql, args![account_id]).await?.map_or(Ok(0), |row| row.int("entries"))?;
    let sql = "SELECT reason, count(*) AS enrollments FROM waiting_enrollments WHERE account_id = $1 \
               GROUP BY reason ORDER BY reason";
    let waiting = tx.rows(sql, args![account_id]).await?;
    let waiting = waiting.iter().map(|row| Ok((row.text("reason")?, row.int("enrollments")?)));
    let waiting = waiting.collect::<Result<_, StoreError>>()?;
    let sql = "SELECT workflow_id FROM switches WHERE account_id IN (0, $1) ORDER BY workflow_id";
    let paused = tx.rows(sql, args![account_id]).await?;
    let paused = paused.iter().map(|row| row.int("workflow_id")).collect::<Result<Vec<i64>, _>>()?;
    Ok(Overview {
        live_contacts,
        in_trash,
        waiting,
        is_paused: paused.contains(&0),
        paused_workflows: paused.into_iter().filter(|workflow| *workflow != 0).collect(),
        hours: decisions(tx, account_id, now, hours).await?,
    })
}

async fn decisions(tx: &mut Tx, account_id: i64, now: Time, hours: i32) -> Result<Vec<Hour>, StoreError> {
    let hour = chrono::TimeDelta::hours(1);
    let starts: Vec<Time> = (0..hours).rev().map(|ago| now - hour * (ago + 1)).collect();
    let row = |(number, from): (usize, &Time)| {
        batch_row(json!({"hour": number, "from_at": format_time(*from), "to_at": format_time(*from + hour)}))
    };
    let batch = batch_text(starts.iter().enumerate().map(row));
    let sql = format!(
        "SELECT b.hour, l.outcome, count(*) AS decisions FROM {} \
         JOIN ledger l ON l.decided_at >= b.from_at AND l.decided_at < b.to_at AND l.account_id = $2 \
         GROUP BY b.hour, l.outcome",
        tx.dialect().batch(1, &HOUR)
    );
    let mut found: Vec<Hour> =
        starts.into_iter().map(|from| Hour { from, decisions: BTreeMap::new() }).collect();
    for row in tx.rows(&sql, args![batch, account_id]).await? {
        let number = usize::try_from(row.int("hour")?).unwrap_or(usize::MAX);
        if let Some(hour) = found.get_mut(number) {
            hour.decisions.insert(row.text("outcome")?, row.int("decisions")?);
        }
    }
    Ok(found)
}

pub(super) async fn names(
    tx: &mut Tx,
    account_id: i64,
    contacts: &[i64],
) -> Result<HashMap<i64, Name>, StoreError> {
    if contacts.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT c.contact_id, c.properties ->> 'firstname' AS firstname, c.properties ->> 'lastname' AS lastname, \
         c.properties ->> 'email' AS email FROM {} \
         JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id",
        tx.dialect().ids(1, &CONTACT)
    );
    let rows = tx.rows(&sql, args![contact_batch(account_id, contacts)]).await?;
    rows.iter()
        .map(|row| {
            let text = |column| row.optional_text(column).map(Option::unwrap_or_default);
            let (first, last, email) = (text("firstname")?, text("lastname")?, text("email")?);
            Ok((row.int("contact_id")?, Name { name: format!("{first} {last}").trim().to_owned(), email }))
        })
        .collect()
}
