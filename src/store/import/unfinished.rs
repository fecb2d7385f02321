//! Imports that have begun and not come to their end.
//!
//! An import writes kind after kind, so for a while the store may have a contact and not yet the segments, associations and
//! enrollments that keep it from being deleted; after an interruption that while lasts until somebody imports the file again.
//! No enrollment of a contact that such an import wrote last is decided: it waits as for a contact that is not there.

use std::collections::{BTreeSet, HashSet};

use super::chunk::Chunk;
use super::{ids, states};
use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::batch::CONTACT;
use crate::store::db::Tx;
use crate::store::values::args;

/// The imports that have not ended.
pub(in crate::store) async fn unfinished(tx: &mut Tx) -> Result<HashSet<i64>, StoreError> {
    tx.rows("SELECT import_id FROM unfinished_imports", &[])
        .await?
        .iter()
        .map(|row| row.int("import_id"))
        .collect()
}

/// The id of the import of this source, which begins with its first chunk.
pub(super) async fn begin(tx: &mut Tx, source: &str, now: Time) -> Result<i64, StoreError> {
    let sql = "INSERT INTO unfinished_imports (source, started_at) VALUES ($1, $2) \
               ON CONFLICT (source) DO UPDATE SET source = excluded.source RETURNING import_id";
    let row = tx.row(sql, args![source, now]).await?;
    row.ok_or_else(|| StoreError::Failed("an import has no id".to_owned()))?.int("import_id")
}

/// Takes an import for finished, or all of them.
pub(super) async fn end(tx: &mut Tx, source: &str, others_too: bool) -> Result<(), StoreError> {
    if others_too {
        return tx.execute("DELETE FROM unfinished_imports", &[]).await.map(drop);
    }
    let sql = "DELETE FROM unfinished_imports WHERE source = $1";
    tx.execute(sql, args![source]).await.map(drop)
}

impl Chunk {
    /// Says of contacts that this import changes what is around them.
    pub(super) async fn mark(&mut self, contacts: &BTreeSet<(i64, i64)>) -> Result<(), StoreError> {
        if contacts.is_empty() {
            return Ok(());
        }
        let lock = self.tx.dialect().for_update("c");
        states(&mut self.tx, contacts, &lock).await?;
        let sql = format!(
            "UPDATE contacts SET import_id = $1 WHERE (account_id, contact_id) IN \
             (SELECT b.account_id, b.contact_id FROM {}) AND import_id IS DISTINCT FROM $1",
            self.tx.dialect().ids(2, &CONTACT)
        );
        self.tx.execute(&sql, args![self.import_id, ids(contacts)]).await.map(drop)
    }
}
