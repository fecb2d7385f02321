//! The audit: who did what, when, to which ids, how many; written with the deed, never with a value.

use serde_json::{Value, json};

use crate::domain::record::ColumnType;
use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::values::args;

/// Whoever acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    Workflow(i64),
    User(i64),
    /// A scheduled job, by name.
    Job(String),
    /// A person at the command line, by the name the operating system knows.
    Operator(String),
    /// A program that publishes to a queue, by the queue's name.
    Queue(String),
}

impl Actor {
    /// As the audit has it.
    pub(in crate::store) fn to_text(&self) -> String {
        match self {
            Self::Workflow(id) => format!("workflow:{id}"),
            Self::User(id) => format!("user:{id}"),
            Self::Job(name) => format!("job:{name}"),
            Self::Operator(name) => format!("operator:{name}"),
            Self::Queue(name) => format!("queue:{name}"),
        }
    }
}

/// Writes one row. `account_id` 0 stands for the service as a whole.
pub async fn write(
    tx: &mut Tx,
    at: Time,
    account_id: i64,
    actor: &Actor,
    action: &str,
    ids: &[i64],
    count: i64,
) -> Result<(), StoreError> {
    insert(tx, at, account_id, actor, action, count, json!({ "ids": texts(ids) })).await
}

/// Writes the row of contacts that a person's delete put into the trash; its id brings its rows together.
pub async fn write_deletion(
    tx: &mut Tx,
    at: Time,
    account_id: i64,
    user_id: i64,
    deletion_id: i64,
    ids: &[i64],
) -> Result<(), StoreError> {
    write_record_deletion(tx, at, account_id, user_id, deletion_id, &texts(ids)).await
}

/// As [`write_deletion`], for records that are no contacts, each as `deal:30`.
pub async fn write_record_deletion(
    tx: &mut Tx,
    at: Time,
    account_id: i64,
    user_id: i64,
    deletion_id: i64,
    records: &[String],
) -> Result<(), StoreError> {
    let count = i64::try_from(records.len()).unwrap_or(i64::MAX);
    let what = json!({"ids": records, "deletion_id": deletion_id});
    insert(tx, at, account_id, &Actor::User(user_id), "trash", count, what).await
}

/// As [`write()`], for what is no row of the store and is known by texts.
pub async fn write_texts(
    tx: &mut Tx,
    at: Time,
    account_id: i64,
    actor: &Actor,
    action: &str,
    ids: &[String],
) -> Result<(), StoreError> {
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    insert(tx, at, account_id, actor, action, count, json!({ "ids": ids })).await
}

fn texts(ids: &[i64]) -> Vec<String> {
    ids.iter().map(i64::to_string).collect()
}

async fn insert(
    tx: &mut Tx,
    at: Time,
    account_id: i64,
    actor: &Actor,
    action: &str,
    count: i64,
    what: Value,
) -> Result<(), StoreError> {
    let columns = [("ids", ColumnType::Json), ("deletion_id", ColumnType::Int)];
    let sql = format!(
        "INSERT INTO audit (account_id, at, actor, action, count, ids, deletion_id) \
         SELECT $2, $3, $4, $5, $6, b.ids, b.deletion_id FROM {}",
        tx.dialect().batch(1, &columns)
    );
    let batch = Value::Array(vec![what]).to_string();
    tx.execute(&sql, args![batch, account_id, at, actor.to_text(), action, count]).await?;
    Ok(())
}
