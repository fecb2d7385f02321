//! An account at a glance: what its pages show before anybody asks for more.

use std::collections::{BTreeMap, HashMap};

use crate::domain::decision::OUTCOMES;
use crate::domain::effects::Transition;
use crate::domain::time::Time;
use crate::store::contacts::contact_batch;
use crate::store::contacts::counts::live_contacts_of;
use crate::store::db::Tx;
use crate::store::db::batch::CONTACT;
use crate::store::db::values::args;
use crate::store::{Store, StoreError, read_transaction};

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

/// What was decided and done in an hour.
#[derive(Clone, Debug)]
pub struct Hour {
    pub from: Time,
    /// How many enrollments by outcome, and contacts by transition, of [`AFTERWARDS`].
    pub counts: BTreeMap<&'static str, i64>,
}

/// What became of contacts in the trash, or live.
pub const AFTERWARDS: [Transition; 3] = [Transition::Restore, Transition::Purge, Transition::Erase];

/// How a person would name a contact.
#[derive(Clone, Debug, Default)]
pub struct Name {
    pub name: String,
    pub email: String,
}

impl Store {
    /// How an account stands, with what was decided and done in its last so many hours.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn overview(&self, account_id: i64, hours: i32) -> Result<Overview, StoreError> {
        read_transaction!(self, tx => overview(tx, account_id, hours))
    }

    /// The names of contacts that are there, live or in the trash.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn names(&self, account_id: i64, contacts: &[i64]) -> Result<HashMap<i64, Name>, StoreError> {
        read_transaction!(self, tx => names(tx, account_id, contacts))
    }
}

async fn overview(tx: &mut Tx, account_id: i64, hours: i32) -> Result<Overview, StoreError> {
    let now = tx.now().await?;
    let live_contacts = live_contacts_of(tx, account_id).await?;
    let sql = "SELECT count(*) AS entries FROM trash_entries WHERE account_id = $1 AND closed_at IS NULL";
    let in_trash = tx.row(sql, args![account_id]).await?.map_or(Ok(0), |row| row.int("entries"))?;
    let sql = "SELECT reason, count(*) AS enrollments FROM pending_enrollments WHERE account_id = $1 \
               GROUP BY reason ORDER BY reason";
    let waiting = tx.rows(sql, args![account_id]).await?;
    let waiting = waiting.iter().map(|row| Ok((row.text("reason")?, row.int("enrollments")?)));
    let waiting = waiting.collect::<Result<_, StoreError>>()?;
    let sql = "SELECT workflow_id FROM pauses WHERE account_id IN (0, $1) ORDER BY workflow_id";
    let paused = tx.rows(sql, args![account_id]).await?;
    let paused = paused.iter().map(|row| row.int("workflow_id")).collect::<Result<Vec<i64>, _>>()?;
    Ok(Overview {
        live_contacts,
        in_trash,
        waiting,
        is_paused: paused.contains(&0),
        paused_workflows: paused.into_iter().filter(|workflow| *workflow != 0).collect(),
        hours: by_hour(tx, account_id, now, hours).await?,
    })
}

/// Hour by hour: joined to a list of hours, SQLite may go through the list for every row.
async fn by_hour(tx: &mut Tx, account_id: i64, now: Time, hours: i32) -> Result<Vec<Hour>, StoreError> {
    let hour = chrono::TimeDelta::hours(1);
    let outcomes = OUTCOMES.map(|it| format!("count(*) FILTER (WHERE outcome = '{it}') AS {it}"));
    let transitions = AFTERWARDS.map(Transition::as_str);
    let contacts = transitions
        .map(|it| format!("CAST(coalesce(sum(count) FILTER (WHERE action = '{it}'), 0) AS bigint) AS {it}"));
    let of_the_hour = |counts: &[String], table: &str, at: &str| {
        let counts = counts.join(", ");
        format!("SELECT {counts} FROM {table} WHERE account_id = $1 AND {at} >= $2 AND {at} < $3")
    };
    let decided = of_the_hour(&outcomes, "ledger", "decided_at");
    let done = of_the_hour(&contacts, "audit", "at");
    let mut found = Vec::new();
    for from in (0..hours).rev().map(|ago| now - hour * (ago + 1)) {
        let mut counts = BTreeMap::new();
        for (sql, names) in [(&decided, &OUTCOMES[..]), (&done, &transitions)] {
            if let Some(row) = tx.row(sql, args![account_id, from, from + hour]).await? {
                for name in names {
                    counts.insert(*name, row.int(name)?);
                }
            }
        }
        found.push(Hour { from, counts });
    }
    Ok(found)
}

pub(in crate::store) async fn names(
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
