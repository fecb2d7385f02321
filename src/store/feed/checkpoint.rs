//! The embedded feed's position, and by what the file is known again.

use crate::ports::{Checkpoint, Checkpoints};
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::{Store, StoreError, read_transaction, transaction};

impl Checkpoints for Store {
    async fn load(&self, feed: &str) -> Result<Option<Checkpoint>, String> {
        let load = async || -> Result<Option<Checkpoint>, StoreError> {
            read_transaction!(self, tx => checkpoint(tx, feed))
        };
        load().await.map_err(|error| error.to_string())
    }

    async fn save(&self, feed: &str, reached: &Checkpoint) -> Result<(), String> {
        let save = async || -> Result<(), StoreError> { transaction!(self, tx => keep(tx, feed, reached)) };
        save().await.map_err(|error| error.to_string())
    }
}

async fn checkpoint(tx: &mut Tx, feed: &str) -> Result<Option<Checkpoint>, StoreError> {
    let sql = "SELECT position, fingerprint FROM feed_checkpoints WHERE feed = $1";
    let Some(row) = tx.row(sql, args![feed]).await? else { return Ok(None) };
    let position = u64::try_from(row.int("position")?).unwrap_or_default();
    Ok(Some(Checkpoint { position, fingerprint: row.optional_text("fingerprint")? }))
}

async fn keep(tx: &mut Tx, feed: &str, reached: &Checkpoint) -> Result<(), StoreError> {
    let position = i64::try_from(reached.position).unwrap_or(i64::MAX);
    let sql = "INSERT INTO feed_checkpoints (feed, position, fingerprint) VALUES ($1, $2, $3) \
               ON CONFLICT (feed) DO UPDATE SET position = excluded.position, fingerprint = excluded.fingerprint";
    tx.execute(sql, args![feed, position, reached.fingerprint.clone()]).await.map(drop)
}
