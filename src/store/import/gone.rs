//! What an import does not bring back: whatever is of contacts who were erased or purged. And what it does not bring about:
//! the membership of those in the trash.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::{CONTACT, Import, SEGMENT, addresses_in};
use crate::domain::record::Record;
use crate::domain::suppression::PURGED;
use crate::store::batch::Lists;
use crate::store::plan::STATIC_SEGMENT;
use crate::store::redact::redact_header_values;
use crate::store::values::args;
use crate::store::{StoreError, batch_text, suppressions};

impl Import {
    /// What is told of an address whose person is gone is kept, but not by the address.
    pub(super) async fn hash_what_is_gone(&mut self, chunk: &[(u64, Record)]) -> Result<(), StoreError> {
        let gone = suppressions::gone(&mut self.tx, &self.hash_keys, &addresses_in(chunk)).await?;
        if gone.is_empty() {
            return Ok(());
        }
        let keys = suppressions::keys(&mut self.tx, &self.hash_keys).await?;
        for (account_id, address) in gone {
            // It has its mark already; this one never causes a redaction.
            suppressions::hash(&mut self.tx, &keys, account_id, &[address], PURGED, self.now).await?;
        }
        Ok(())
    }

    /// Which of the contacts that these records are of were erased or purged.
    pub(super) async fn gone(&mut self, chunk: &[(u64, Record)]) -> Result<HashSet<(i64, i64)>, StoreError> {
        let named = chunk.iter().flat_map(|(_, record)| {
            record.contacts.iter().chain(&record.shared).map(|id| (record.account_id, *id))
        });
        self.gone_of(named.collect()).await
    }

    /// Which of these contacts were erased or purged.
    pub(super) async fn gone_of(
        &mut self,
        contacts: BTreeSet<(i64, i64)>,
    ) -> Result<HashSet<(i64, i64)>, StoreError> {
        let gone = "JOIN gone_contacts g ON g.account_id = b.account_id AND g.contact_id = b.contact_id";
        Ok(self.pairs_where(gone, &contacts).await?.into_iter().collect())
    }

    /// What an erasure or a purge took from activities does not come back with their records: a stub stays one; and whoever
    /// names somebody who is gone knows nothing newer of an activity that is there, and of a new one not the header. Who
    /// is gone of those who are named.
    pub(super) async fn keep_erased(
        &mut self,
        chunk: &mut Vec<(u64, Record)>,
    ) -> Result<HashSet<(i64, i64)>, StoreError> {
        let id = |record: &Record| record.row.get("activity_id").and_then(Value::as_i64).unwrap_or_default();
        let dialect = self.tx.dialect();
        // Locked, so that none becomes a stub while its record is written.
        let sql = format!(
            "SELECT a.account_id, a.activity_id, a.stub FROM {} \
             JOIN activities a ON a.account_id = b.account_id AND a.activity_id = b.activity_id \
             ORDER BY a.account_id, a.activity_id{}",
            dialect.ids(1, &["account_id", "activity_id"]),
            dialect.for_update("a")
        );
        let keys = Lists::ids(chunk.iter().map(|(_, record)| [record.account_id, id(record)]));
        let mut is_stub = HashMap::new();
        for row in self.tx.rows(&sql, args![keys]).await? {
            is_stub.insert((row.int("account_id")?, row.int("activity_id")?), row.bool("stub")?);
        }
        let gone = self.gone_of(linked_contacts(chunk)).await?;
        let names_gone = |record: &Record| linked(record).any(|contact| gone.contains(&contact));
        chunk.retain(|(_, record)| {
            let there = is_stub.get(&(record.account_id, id(record)));
            !there.is_some_and(|is_stub| *is_stub || names_gone(record))
        });
        for (_, record) in chunk.iter_mut().filter(|(_, record)| names_gone(record)) {
            if let Some(properties) = record.row.get_mut("properties") {
                redact_header_values(properties);
            }
        }
        Ok(linked_contacts(chunk).intersection(&gone.into_iter().collect()).copied().collect())
    }

    /// Whatever the record said, a contact in the trash is in none of these segments where they are static. Memberships of
    /// dynamic ones stay and are hidden, in whatever order a file names contacts and segments.
    pub(super) async fn empty_static_segments_of_trash(
        &mut self,
        chunk: &[(u64, Record)],
    ) -> Result<(), StoreError> {
        let sql = format!(
            "DELETE FROM segment_members WHERE (account_id, segment_id) IN \
             (SELECT b.account_id, b.segment_id FROM {}) AND {STATIC_SEGMENT} \
             AND EXISTS (SELECT 1 FROM contacts c WHERE c.account_id = segment_members.account_id \
               AND c.contact_id = segment_members.contact_id AND c.deleted_at IS NOT NULL)",
            self.tx.dialect().batch(1, &SEGMENT)
        );
        let segments = batch_text(chunk.iter().map(|(_, record)| record.row.clone()));
        self.tx.execute(&sql, args![segments]).await.map(drop)
    }

    /// Whatever the record said, a contact in the trash joins no workflow.
    pub(super) async fn unenroll_trash(&mut self, chunk: &[(u64, Record)]) -> Result<(), StoreError> {
        let sql = format!(
            "UPDATE workflow_enrollments SET active = FALSE WHERE active AND (account_id, contact_id) IN \
             (SELECT b.account_id, b.contact_id FROM {} JOIN contacts c \
              ON c.account_id = b.account_id AND c.contact_id = b.contact_id WHERE c.deleted_at IS NOT NULL)",
            self.tx.dialect().batch(1, &CONTACT)
        );
        let enrollments = batch_text(chunk.iter().map(|(_, record)| record.row.clone()));
        self.tx.execute(&sql, args![enrollments]).await.map(drop)
    }
}

/// The contacts that an activity is linked with.
fn linked(record: &Record) -> impl Iterator<Item = (i64, i64)> {
    let links = record.links.iter().filter(|link| link.get("object_type").is_some_and(|it| it == "contact"));
    links.filter_map(|link| Some((record.account_id, link.get("object_id")?.as_i64()?)))
}

pub(super) fn linked_contacts(chunk: &[(u64, Record)]) -> BTreeSet<(i64, i64)> {
    chunk.iter().flat_map(|(_, record)| linked(record)).collect()
}

/// Is the record of one of these contacts, or shared by none but these?
pub(super) fn is_of(contacts: &HashSet<(i64, i64)>, record: &Record) -> bool {
    let is_one = |id: &i64| contacts.contains(&(record.account_id, *id));
    record.contacts.iter().any(is_one) || (!record.shared.is_empty() && record.shared.iter().all(is_one))
}
