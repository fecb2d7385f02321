//! The embedded feed's position and its dead letters.

use super::db::Tx;
use super::values::args;
use super::{Store, StoreError, reading, transaction};
use crate::domain::enrollment::Rejection;
use crate::ports::Checkpoints;

impl Checkpoints for Store {
    async fn load(&self, feed: &str) -> Result<Option<u64>, String> {
        let load = async || -> Result<Option<u64>, StoreError> { reading!(self, tx => position(tx, feed)) };
        load().await.map_err(|error| error.to_string())
    }

    async fn save(
        &self,
        feed: &str,
        position: u64,
        dead_letters: Vec<(Vec<u8>, Rejection)>,
    ) -> Result<(), String> {
        let save = async || -> Result<(), StoreError> {
            transaction!(self, tx => settle(tx, feed, position, &dead_letters))
        };
        save().await.map_err(|error| error.to_string())
    }
}

async fn position(tx: &mut Tx, feed: &str) -> Result<Option<u64>, StoreError> {
    let row = tx.row("SELECT position FROM feed_checkpoints WHERE feed = $1", args![feed]).await?;
    Ok(row.map(|row| row.int("position")).transpose()?.and_then(|position| u64::try_from(position).ok()))
}

async fn settle(
    tx: &mut Tx,
    feed: &str,
    position: u64,
    dead_letters: &[(Vec<u8>, Rejection)],
) -> Result<(), StoreError> {
    let now = tx.now().await?;
    for (body, rejection) in dead_letters {
        tx.execute(
            "INSERT INTO dead_letters (feed, at, reason, detail, body) VALUES ($1, $2, $3, $4, $5)",
            args![feed, now, rejection.reason.as_str(), rejection.detail.as_str(), body.clone()],
        )
        .await?;
    }
    tx.execute(
        "INSERT INTO feed_checkpoints (feed, position) VALUES ($1, $2) \
         ON CONFLICT (feed) DO UPDATE SET position = excluded.position",
        args![feed, i64::try_from(position).unwrap_or(i64::MAX)],
    )
    .await?;
    Ok(())
}
