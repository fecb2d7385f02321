//! Contacts that an import has changed, until it is complete.

use std::collections::BTreeSet;

use super::chunk::Chunk;
use super::unfinished::{Identity, has_another};
use super::{ids, states};
use crate::store::StoreError;
use crate::store::db::batch::CONTACT;
use crate::store::db::values::args;

impl Chunk {
    /// Marks contacts as changed by this import. The mark of another unfinished import stays.
    pub(super) async fn mark(&mut self, contacts: &BTreeSet<(i64, i64)>) -> Result<(), StoreError> {
        if contacts.is_empty() {
            return Ok(());
        }
        let lock = self.tx.dialect().for_update("c");
        states(&mut self.tx, contacts, &lock).await?;
        let Some(Identity { import_id, .. }) = self.origin.import() else { return Ok(()) };
        let sql = format!(
            "UPDATE contacts SET import_id = $1 WHERE (account_id, contact_id) IN \
             (SELECT b.account_id, b.contact_id FROM {}) AND import_id IS DISTINCT FROM $1 AND NOT {}",
            self.tx.dialect().ids(2, &CONTACT),
            has_another("contacts", "$1")
        );
        self.tx.execute(&sql, args![import_id, ids(contacts)]).await?;
        self.mark_beside(contacts).await
    }

    /// Marks those of the contacts whose row names another unfinished import.
    pub(super) async fn mark_beside(&mut self, contacts: &BTreeSet<(i64, i64)>) -> Result<(), StoreError> {
        let Some(Identity { import_id, has_others: true, .. }) = self.origin.import() else { return Ok(()) };
        let sql = format!(
            "INSERT INTO unfinished_contacts (account_id, contact_id, import_id) \
             SELECT t.account_id, t.contact_id, $1 FROM {} JOIN contacts t ON t.account_id = b.account_id \
             AND t.contact_id = b.contact_id WHERE {} ORDER BY 1, 2 ON CONFLICT DO NOTHING",
            self.tx.dialect().ids(2, &CONTACT),
            has_another("t", "$1")
        );
        self.tx.execute(&sql, args![import_id, ids(contacts)]).await.map(drop)
    }
}
