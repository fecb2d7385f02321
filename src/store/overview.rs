//! An account at a glance: what its pages show before anybody asks for more.

use std::collections::{BTreeMap, HashMap};

use super::contact::contact_batch;
use super::contact_counts::live_contacts_of;
use super::db::{Tx, args};
use super::{CONTACT, Store, StoreError, reading};
use crate::domain::decision::OUTCOMES;
use crate::domain::time::Time;

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
    pub decisions: BTreeMap<&'static str, i64>,
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
    let live_contacts = live_contacts_of(tx, account_id).await?;
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

/// Hour by hour: joined to a list of hours, SQLite may go through the list for every row of the ledger.
async fn decisions(tx: &mut Tx, account_id: i64, now: Time, hours: i32) -> Result<Vec<Hour>, StoreError> {
    let hour = chrono::TimeDelta::hours(1);
    let counts =
        OUTCOMES.map(|outcome| format!("count(*) FILTER (WHERE outcome = '{outcome}') AS {outcome}"));
    let sql = format!(
        "SELECT {} FROM ledger WHERE account_id = $1 AND decided_at >= $2 AND decided_at < $3",
        counts.join(", ")
    );
    let mut found = Vec::new();
    for from in (0..hours).rev().map(|ago| now - hour * (ago + 1)) {
        let mut decisions = BTreeMap::new();
        if let Some(row) = tx.row(&sql, args![account_id, from, from + hour]).await? {
            for outcome in OUTCOMES {
                decisions.insert(outcome, row.int(outcome)?);
            }
        }
        found.push(Hour { from, decisions });
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
