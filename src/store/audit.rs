//! The audit: who did what, when, to which ids, how many; written with the deed, never with a value.

use serde_json::{Value, json};

use super::StoreError;
use super::db::{Tx, args};
use crate::domain::time::Time;

/// Whoever acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    Workflow(i64),
    User(i64),
    /// A scheduled job, by name.
    Job(String),
    /// A person at the command line, by the name the operating system knows.
    Operator(String),
}

impl Actor {
    fn to_text(&self) -> String {
        match self {
            Self::Workflow(id) => format!("workflow:{id}"),
            Self::User(id) => format!("user:{id}"),
            Self::Job(name) => format!("job:{name}"),
            Self::Operator(name) => format!("operator:{name}"),
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
    let ids: Vec<Value> = ids.iter().map(|id| json!(id.to_string())).collect();
    let columns = [("ids", crate::domain::record::ColumnType::Json)];
    let sql = format!(
        "INSERT INTO audit (account_id, at, actor, action, count, ids) \
         SELECT $2, $3, $4, $5, $6, b.ids FROM {}",
        tx.dialect().batch(1, &columns)
    );
    let batch = json!([{ "ids": ids }]).to_string();
    tx.execute(&sql, args![batch, account_id, at, actor.to_text(), action, count]).await?;
    Ok(())
}
