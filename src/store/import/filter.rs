//! What records bring with them that must not come in. This is the one place where records are dropped or changed on their
//! way into the store, in the transaction that writes them: an erasure or a purge either has committed before, and is seen
//! here, or waits for the transaction ([`lock_imports_and_removals`](crate::store::db::locks::lock_imports_and_removals)).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use super::chunk::Chunk;
use super::{Numbered, Refusal, State, addresses_in, check, gone_of, states};
use crate::domain::decision::RESTORE_GRACE;
use crate::domain::identifiers::{OwnAddress, own_addresses};
use crate::domain::object_type::{CONTACT, RecordKey};
use crate::domain::record::{Column, ColumnType, IS_PARTIAL, Kind, Record, Row};
use crate::domain::suppression::PURGED;
use crate::domain::time::parse_time;
use crate::store::StoreError;
use crate::store::db::batch::{Lists, batch_row, batch_text};
use crate::store::db::values::args;
use crate::store::identity::suppressions;
use crate::store::privacy::redact::redact_header_values;
use crate::store::records;
use crate::store::trash::statements::STATIC_SEGMENT;

impl Chunk {
    /// Drops and changes records of one kind before they are written.
    pub(super) async fn filter(
        &mut self,
        kind: &Kind,
        records: &mut Vec<Numbered>,
    ) -> Result<(), StoreError> {
        let read = records.len();
        let gone = gone_of(&mut self.tx, &named(records)).await?;
        if kind.name == "activity" {
            self.keep_stubs(records).await?;
        }
        if kind.table.name == "objects" {
            self.leave_out_purged(records).await?;
        }
        self.preserve_redactions(kind, records).await?;
        records.retain(|(_, record)| !is_of(&gone, record));
        let read = read - self.refuse_given_ids(kind, records).await?;
        drop_links(records, &gone);
        self.drop_ends_that_are_gone(kind, records).await?;
        self.redact_erased(kind, records).await?;
        self.report.skipped += (read - records.len()) as u64;
        match kind.name {
            "contact" => {}
            "enrollment" => self.end_enrollments(records).await?,
            _ => drop(self.owners(records, "").await?),
        }
        Ok(())
    }

    /// The status of an address whose person is gone is kept under the hash of the address.
    pub(super) async fn hash_gone_addresses(&mut self, records: &[Numbered]) -> Result<(), StoreError> {
        let gone = suppressions::gone(&mut self.tx, &self.hash_keys, &addresses_in(records)).await?;
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

    /// Nothing leads to an object that was purged, or that an erasure deleted: an association with one is dropped, and so is the link of
    /// an activity.
    async fn drop_ends_that_are_gone(
        &mut self,
        kind: &Kind,
        records: &mut Vec<Numbered>,
    ) -> Result<(), StoreError> {
        let mut by_account: BTreeMap<i64, BTreeSet<RecordKey>> = BTreeMap::new();
        for (_, record) in records.iter() {
            by_account.entry(record.account_id).or_default().extend(ends(kind, record));
        }
        for (account_id, keys) in by_account {
            let keys: Vec<RecordKey> = keys.into_iter().collect();
            let gone = if keys.is_empty() {
                BTreeSet::new()
            } else {
                records::gone(&mut self.tx, account_id, &keys).await?
            };
            if gone.is_empty() {
                continue;
            }
            for (_, record) in records.iter_mut().filter(|(_, record)| record.account_id == account_id) {
                record.links.retain(|link| linked_object(link).is_none_or(|key| !gone.contains(&key)));
            }
            let leads_there = |record: &Record| {
                kind.name == "association" && ends(kind, record).iter().any(|key| gone.contains(key))
            };
            records.retain(|(_, record)| record.account_id != account_id || !leads_there(record));
        }
        Ok(())
    }

    /// An object that was purged does not come back.
    async fn leave_out_purged(&mut self, records: &mut Vec<Numbered>) -> Result<(), StoreError> {
        let mut by_account: BTreeMap<i64, Vec<RecordKey>> = BTreeMap::new();
        for (_, record) in records.iter() {
            by_account.entry(record.account_id).or_default().extend(record.object_key());
        }
        for (account_id, keys) in by_account {
            let purged = records::purged(&mut self.tx, account_id, &keys).await?;
            let is_purged = |record: &Record| {
                record.account_id == account_id
                    && record.object_key().is_some_and(|key| purged.contains(&key))
            };
            records.retain(|(_, record)| !is_purged(record));
        }
        Ok(())
    }

    /// A stub is what an erasure or a purge left of an activity, and stays one.
    async fn keep_stubs(&mut self, records: &mut Vec<Numbered>) -> Result<(), StoreError> {
        let id = |record: &Record| record.row.get("activity_id").and_then(Value::as_i64).unwrap_or_default();
        let sql = format!(
            "SELECT a.account_id, a.activity_id FROM {} \
             JOIN activities a ON a.account_id = b.account_id AND a.activity_id = b.activity_id WHERE a.stub",
            self.tx.dialect().ids(1, &["account_id", "activity_id"]),
        );
        let keys = Lists::ids(records.iter().map(|(_, record)| [record.account_id, id(record)]));
        let mut stubs = HashSet::new();
        for row in self.tx.rows(&sql, args![keys]).await? {
            stubs.insert((row.int("account_id")?, row.int("activity_id")?));
        }
        records.retain(|(_, record)| !stubs.contains(&(record.account_id, id(record))));
        Ok(())
    }

    /// Whatever the record said, a contact or a record in the trash is in none of these segments where they are static. Memberships
    /// of dynamic ones stay and are hidden, in whatever order a file names records and segments, unless the segment is one of other
    /// records by now.
    pub(super) async fn empty_static_segments_of_trash(
        &mut self,
        records: &[Numbered],
    ) -> Result<(), StoreError> {
        const SEGMENT: [Column; 2] = [("account_id", ColumnType::Int), ("segment_id", ColumnType::Int)];
        let sql = format!(
            "DELETE FROM segment_members WHERE (account_id, segment_id) IN \
             (SELECT b.account_id, b.segment_id FROM {}) AND ({STATIC_SEGMENT} OR EXISTS (SELECT 1 FROM segments s \
               WHERE s.account_id = segment_members.account_id AND s.segment_id = segment_members.segment_id \
                 AND s.object_type <> 'contact')) \
             AND EXISTS (SELECT 1 FROM contacts c WHERE c.account_id = segment_members.account_id \
               AND c.contact_id = segment_members.contact_id AND c.deleted_at IS NOT NULL)",
            self.tx.dialect().batch(1, &SEGMENT)
        );
        let of_records = format!(
            "DELETE FROM record_segment_members WHERE (account_id, segment_id) IN \
             (SELECT b.account_id, b.segment_id FROM {}) AND EXISTS (SELECT 1 FROM segments s \
             JOIN stored_records r ON r.account_id = s.account_id AND r.object_type = s.object_type \
               AND r.record_id = record_segment_members.record_id AND r.deleted_at IS NOT NULL \
             WHERE s.account_id = record_segment_members.account_id \
               AND s.segment_id = record_segment_members.segment_id AND s.processing_type IN ('MANUAL', 'SNAPSHOT'))",
            self.tx.dialect().batch(1, &SEGMENT)
        );
        let segments = batch_text(records.iter().map(|(_, record)| &record.row));
        for sql in [sql, of_records] {
            self.tx.execute(&sql, args![segments.as_str()]).await?;
        }
        Ok(())
    }

    /// A contact in the trash is in no workflow, whatever a record says; and one that was restored is in none that enrolled it
    /// before, with the margin that decisions have.
    async fn end_enrollments(&mut self, records: &mut Vec<Numbered>) -> Result<(), StoreError> {
        let lock = self.tx.dialect().for_share("c");
        let states = self.owners(records, &lock).await?;
        for (_, record) in records {
            let Some(state) = record.owner.and_then(|id| states.get(&(record.account_id, id))) else {
                continue;
            };
            let enrolled_at = record.row.get("enrolled_at").and_then(Value::as_str).and_then(parse_time);
            let is_older = match (enrolled_at, state.restored_at) {
                (Some(enrolled_at), Some(restored_at)) => enrolled_at < restored_at + RESTORE_GRACE,
                _ => false,
            };
            if state.is_in_trash || is_older {
                record.row.insert("active".to_owned(), false.into());
            }
        }
        Ok(())
    }

    /// The contacts that records are of. One that is not there was refused, or erased since: then the record has no place.
    async fn owners(
        &mut self,
        records: &mut Vec<Numbered>,
        lock: &str,
    ) -> Result<HashMap<(i64, i64), State>, StoreError> {
        let owner = |record: &Record| record.owner.map(|contact_id| (record.account_id, contact_id));
        let owners: BTreeSet<(i64, i64)> = records.iter().filter_map(|(_, record)| owner(record)).collect();
        if owners.is_empty() {
            return Ok(HashMap::new());
        }
        let states = states(&mut self.tx, &owners, lock).await?;
        records.retain(|(entry, record)| {
            let absent = owner(record).filter(|owner| !states.contains_key(owner));
            self.refused.extend(absent.map(|(_, contact_id)| Refusal {
                line: entry.line,
                problem: format!("contactId: names contact {contact_id}, which is not there"),
                holder: None,
            }));
            absent.is_none()
        });
        Ok(states)
    }

    /// Drops the records of live contacts with an address that another live contact has, unless the file takes it from that one:
    /// another transaction gave it away since the file was checked. A contact keeps what it has rather than lose its address, which
    /// a workflow may be looking for.
    pub(super) async fn refuse_held_addresses(
        &mut self,
        records: &mut Vec<Numbered>,
        states: &HashMap<(i64, i64), State>,
    ) -> Result<(), StoreError> {
        let claims = |record: &&Record| {
            record.contacts.iter().all(|id| {
                states
                    .get(&(record.account_id, *id))
                    .map_or(record.archived.is_none(), |state| !state.is_in_trash)
            })
        };
        let mut addresses = Vec::new();
        for record in records.iter().map(|(_, record)| record).filter(claims) {
            for (link, contact_id) in
                record.links.iter().flat_map(|link| record.contacts.iter().map(move |id| (link, id)))
            {
                if link.get("exclusive") == Some(&Value::Bool(false)) {
                    continue;
                }
                let key = link.get("email_key").and_then(Value::as_str).unwrap_or_default();
                addresses.push((record.account_id, *contact_id, key.to_owned()));
            }
        }
        let mut held: HashMap<(i64, i64), i64> = HashMap::new();
        for check::Holder { account_id, contact_id, held_by, .. } in
            check::holders(&mut self.tx, &addresses).await?
        {
            let key = [account_id, held_by];
            if !self.readdressed.contains(&key).map_err(super::source::temporary_failed)? {
                held.insert((account_id, contact_id), held_by);
            }
        }
        records.retain(|(entry, record)| {
            let contact = record.contacts.first().copied().unwrap_or_default();
            let holder = held.get(&(record.account_id, contact));
            self.refused.extend(holder.map(|holder| Refusal {
                line: entry.line,
                problem: check::claims_held_address(contact, *holder),
                holder: Some(*holder),
            }));
            holder.is_none()
        });
        Ok(())
    }
}

/// The row of a record as the store has it, and its addresses.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub row: Row,
    pub emails: Vec<Row>,
}

impl Record {
    /// Adds what is stored and not named; can it stand now?
    pub(super) fn merge_into(&mut self, stored: Option<&Stored>) -> bool {
        let given = self.additional_addresses();
        if let Some(Stored { row, .. }) = stored {
            for (column, value) in row {
                match (self.row.get_mut(column), value) {
                    (Some(Value::Object(given)), Value::Object(stored)) => {
                        for (name, value) in stored {
                            given.entry(name.clone()).or_insert_with(|| value.clone());
                        }
                    }
                    (Some(Value::Null) | None, value) => {
                        self.row.insert(column.clone(), value.clone());
                    }
                    (Some(given), value) if column == IS_PARTIAL => *given = value.clone(),
                    (Some(_), _) => {}
                }
            }
        }
        let is_partial = self.row.get(IS_PARTIAL) == Some(&Value::Bool(true));
        if let Some(Value::Object(properties)) = self.row.get_mut("properties") {
            if is_partial {
                // Named without a value: unlike what no part has named, it is known to have none.
                properties.values_mut().filter(|value| value.is_null()).for_each(|value| *value = json!(""));
            }
            properties.retain(|_, value| !value.is_null());
        }
        if let Some(stored) = stored.filter(|_| !self.contacts.is_empty()) {
            self.merge_addresses(stored, given);
        }
        stored.is_some() || self.owner.is_none()
    }
}

impl Record {
    /// The addresses that do not stand in the properties.
    fn additional_addresses(&self) -> Vec<String> {
        additional(&self.row, &self.links)
    }

    /// The addresses of the properties, and the additional ones that the record names or, where it names none, that are
    /// stored.
    fn merge_addresses(&mut self, stored: &Stored, given: Vec<String>) {
        let additional =
            if self.names_addresses.additional { given } else { additional(&stored.row, &stored.emails) };
        let contact_id = self.contacts.first().copied().unwrap_or_default();
        let addresses =
            own_addresses(|name| property(&self.row, name), additional.iter().map(String::as_str));
        let link = |OwnAddress { email, key, exclusive }| {
            batch_row(json!({"account_id": self.account_id, "contact_id": contact_id, "email_key": key,
                "email": email, "exclusive": exclusive}))
        };
        self.links = addresses.into_iter().map(link).collect();
    }
}

fn property<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get("properties")?.get(name)?.as_str()
}

/// Those of the addresses that do not stand in the properties of a row.
fn additional(row: &Row, emails: &[Row]) -> Vec<String> {
    let of_properties = own_addresses(|name| property(row, name), []);
    let text =
        |email: &Row, name: &str| email.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let others = emails.iter().filter(|email| {
        let key = text(email, "email_key");
        of_properties.iter().all(|own| own.key != key)
    });
    others.map(|email| text(email, "email")).collect()
}

/// All contacts that records name, but the members of segments.
fn named(records: &[Numbered]) -> BTreeSet<(i64, i64)> {
    let of = |record: &Record| -> Vec<(i64, i64)> {
        let ids = record.contacts.iter().chain(&record.shared);
        ids.map(|id| (record.account_id, *id)).chain(linked(record)).collect()
    };
    records.iter().flat_map(|(_, record)| of(record)).collect()
}

/// The header of an e-mail that one of these contacts is on does not come in.
pub(super) fn redact_headers_of(records: &mut [Numbered], contacts: &HashSet<(i64, i64)>) {
    let names_one = |record: &Record| linked(record).any(|contact| contacts.contains(&contact));
    for (_, record) in records.iter_mut().filter(|(_, record)| names_one(record)) {
        if let Some(properties) = record.row.get_mut("properties") {
            redact_header_values(properties);
        }
    }
}

/// The contacts that a link of a record leads to, each with the account.
pub(super) fn linked(record: &Record) -> impl Iterator<Item = (i64, i64)> {
    record.links.iter().filter_map(|link| Some((record.account_id, linked_contact(link)?)))
}

/// The objects that an association has at its ends, or an activity is on.
fn ends(kind: &Kind, record: &Record) -> Vec<RecordKey> {
    let key = |of_type: &str, id: &str| {
        let object_type = record.row.get(of_type)?.as_str().filter(|of_type| *of_type != CONTACT)?.to_owned();
        Some(RecordKey { object_type, id: record.row.get(id)?.as_i64()? })
    };
    match kind.name {
        "association" => {
            [key("from_type", "from_id"), key("to_type", "to_id")].into_iter().flatten().collect()
        }
        "activity" => record.links.iter().filter_map(linked_object).collect(),
        _ => Vec::new(),
    }
}

/// The object that a link of an activity leads to.
fn linked_object(link: &Row) -> Option<RecordKey> {
    let object_type = link.get("object_type")?.as_str().filter(|of_type| *of_type != CONTACT)?.to_owned();
    Some(RecordKey { object_type, id: link.get("object_id")?.as_i64()? })
}

fn linked_contact(link: &Row) -> Option<i64> {
    match link.get("object_type") {
        Some(object_type) if object_type == "contact" => link.get("object_id")?.as_i64(),
        Some(_) => None,
        None => link.get("contact_id")?.as_i64(),
    }
}

/// Nothing leads to a contact that is gone.
fn drop_links(records: &mut [Numbered], gone: &HashSet<(i64, i64)>) {
    for (_, record) in records {
        let account_id = record.account_id;
        let is_gone = |link: &_| linked_contact(link).is_some_and(|id| gone.contains(&(account_id, id)));
        record.links.retain(|link| !is_gone(link));
    }
}

/// Is the record of one of these contacts, or shared by none but these?
fn is_of(contacts: &HashSet<(i64, i64)>, record: &Record) -> bool {
    let is_one = |id: &i64| contacts.contains(&(record.account_id, *id));
    record.contacts.iter().any(is_one) || (!record.shared.is_empty() && record.shared.iter().all(is_one))
}
