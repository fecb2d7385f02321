//! The limit of what the token of a program deletes and erases within a window: no person confirms a number there.

use std::time::Duration;

use serde_json::json;

use crate::domain::time::{Time, format_time};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::outbox::write_outbox;

/// How much a token may delete.
#[derive(Clone, Copy, Debug)]
pub struct ProgramGuard {
    /// Records within the window.
    pub max_deletions: u32,
    /// The sliding window.
    pub window: Duration,
}

/// A program that deletes.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    pub account_id: i64,
    pub token_id: i64,
    pub guard: ProgramGuard,
}

impl Program {
    /// Deletes by one token take turns from here on, until the commit.
    pub(in crate::store) async fn lock(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT t.token_id FROM tokens t WHERE t.account_id = $1 AND t.token_id = $2{}",
            tx.dialect().for_update("t")
        );
        tx.row(&sql, args![self.account_id, self.token_id]).await.map(drop)
    }

    /// May it delete so many now? If not, that is published once a window.
    pub(in crate::store) async fn admits(
        &self,
        tx: &mut Tx,
        count: u64,
        at: Time,
    ) -> Result<bool, StoreError> {
        let since = self.since(at);
        let sql = "SELECT CAST(coalesce(sum(deleted), 0) AS bigint) + (SELECT CAST(coalesce(sum(e.contacts), 0) AS bigint) FROM program_erasures e \
                   WHERE e.account_id = $1 AND e.token_id = $2 AND e.erased_at > $3) AS deleted FROM deletions \
                   WHERE account_id = $1 AND token_id = $2 AND started_at > $3";
        let row = tx.row(sql, args![self.account_id, self.token_id, since]).await?;
        let deleted = row.map_or(Ok(0), |row| row.int("deleted"))?.unsigned_abs();
        if deleted + count <= u64::from(self.guard.max_deletions) {
            return Ok(true);
        }
        let sql = "UPDATE tokens SET guard_tripped_at = $3 WHERE account_id = $1 AND token_id = $2 \
                   AND (guard_tripped_at IS NULL OR guard_tripped_at <= $4)";
        if tx.execute(sql, args![self.account_id, self.token_id, at, since]).await? > 0 {
            let data = json!({"accountId": self.account_id.to_string(), "tokenId": self.token_id.to_string(),
                "limit": "token", "refused": count, "trippedAt": format_time(at)});
            write_outbox(tx, at, vec![(self.account_id, "guard.tripped", data)]).await?;
        }
        Ok(false)
    }

    /// Notes an erasure of so many contacts.
    pub(in crate::store) async fn note_erasure(
        &self,
        tx: &mut Tx,
        contacts: u64,
        at: Time,
    ) -> Result<(), StoreError> {
        let old = "DELETE FROM program_erasures WHERE account_id = $1 AND token_id = $2 AND erased_at <= $3";
        tx.execute(old, args![self.account_id, self.token_id, self.since(at)]).await?;
        let sql = "INSERT INTO program_erasures (account_id, token_id, erased_at, contacts) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (account_id, token_id, erased_at) \
                   DO UPDATE SET contacts = program_erasures.contacts + excluded.contacts";
        let contacts = i64::try_from(contacts).unwrap_or(i64::MAX);
        tx.execute(sql, args![self.account_id, self.token_id, at, contacts]).await.map(drop)
    }

    /// When the window began.
    fn since(&self, at: Time) -> Time {
        let window = chrono::TimeDelta::from_std(self.guard.window).unwrap_or(chrono::TimeDelta::MAX);
        at.checked_sub_signed(window).unwrap_or_default()
    }
}
