//! The embedded feed's position.

use super::db::Tx;
use super::values::args;
use super::{Store, StoreError, reading, transaction};
use crate::ports::Checkpoints;

impl Checkpoints for Store {
    async fn load(&self, feed: &str) -> Result<Option<u64>, String> {
        let load = async || -> Result<Option<u64>, StoreError> { reading!(self, tx => position(tx, feed)) };
        load().await.map_err(|error| error.to_string())
    }

    async fn save(&self, feed: &str, position: u64) -> Result<(), String> {
        let save = async || -> Result<(), StoreError> {
            transaction!(self, tx => keep_position(tx, feed, position))
        };
        save().await.map_err(|error| error.to_string())
    }
}

async fn position(tx: &mut Tx, feed: &str) -> Result<Option<u64>, StoreError> {
    let row = tx.row("SELECT position FROM feed_checkpoints WHERE feed = $1", args![feed]).await?;
    Ok(row.map(|row| row.int("position")).transpose()?.and_then(|position| u64::try_from(position).ok()))
}

async fn keep_position(tx: &mut Tx, feed: &str, position: u64) -> Result<(), StoreError> {
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let sql = "INSERT INTO feed_checkpoints (feed, position) VALUES ($1, $2) \
               ON CONFLICT (feed) DO UPDATE SET position = excluded.position";
    tx.execute(sql, args![feed, position]).await.map(drop)
}
