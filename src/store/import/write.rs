//! The statements of an import: of each batch only the rows that differ from those in the store are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::chunk::{Chunk, Origin};
use super::filter::Stored;
use super::sorter::Sorter;
use super::source::temporary_failed;
use super::unfinished::has_another;
use super::{Numbered, State, addresses_in, states};
use crate::domain::associations;
use crate::domain::object_type::RecordKey;
use crate::domain::record::{Archived, Column, ColumnType, Kind, Record, Row, Table};
use crate::domain::redaction::REDACTED;
use crate::domain::time::{Time, format_time, parse_time};
use crate::store::StoreError;
use crate::store::contacts::addresses::{self, HOLDER};
use crate::store::contacts::counts;
use crate::store::db::batch::{self, Lists, batch_row, batch_text};
use crate::store::db::dialect::names;
use crate::store::db::values::{Row as Found, args};
use crate::store::decisions::pending;
use crate::store::error::Conflict;
use crate::store::identity::suppressions;
use crate::store::privacy::redact::KEY_WORDS;
use crate::store::records::{self, Arrival};
use crate::store::trash::{self, DeletedBy, Deletion};

impl Chunk {
    /// Writes records of one kind, none of which has the key of another.
    pub(super) async fn write(
        &mut self,
        kind: &'static Kind,
        records: &mut Vec<Numbered>,
        contested: &mut Sorter<3>,
    ) -> Result<(), StoreError> {
        self.filter(kind, records).await?;
        let known = match kind.name {
            "contact" => Some(self.lock_contacts(records).await?),
            _ => None,
        };
        self.leave_out_older(kind, records).await?;
        let archived = self.new_and_archived(kind, records).await?;
        if kind.may_be_partial() {
            self.compare(kind, records).await?;
        }
        if let Some(known) = &known {
            self.refuse_held_addresses(records, known).await?;
        }
        self.upsert(&kind.table, records).await?;
        self.raise_ids(kind, records).await?;
        for (account_id, arrivals) in archived {
            records::bring_into_trash(&mut self.tx, account_id, &arrivals).await?;
        }
        self.learn(records).await?;
        if let Some(links) = &kind.links {
            self.replace_links(kind, links, records).await?;
        }
        if kind.name == "activity" {
            self.follow_activities(records).await?;
        }
        match kind.name {
            "contact" => {
                self.bring_contacts(records, &known.unwrap_or_default()).await?;
                self.announce_changes(records).await?;
                let claiming = records.iter().flat_map(|(entry, record)| {
                    record.contacts.iter().map(|id| ((record.account_id, *id), entry.line))
                });
                for (contact, line) in self.claim_addresses(&claiming.collect(), true).await?.into_keys() {
                    let row = [contact.0, contact.1, i64::try_from(line).unwrap_or(i64::MAX)];
                    contested.push(row).map_err(temporary_failed)?;
                }
                suppressions::reactivate(&mut self.tx, &self.hash_keys, &addresses_in(records)).await?;
            }
            "deliverability" => self.hash_gone_addresses(records).await?,
            "segment" => self.empty_static_segments_of_trash(records).await?,
            "workflow" => {
                let id = |record: &Record| record.row.get("workflow_id").and_then(Value::as_i64);
                let workflows =
                    records.iter().filter_map(|(_, record)| Some((record.account_id, id(record)?)));
                pending::mark_ready(&mut self.tx, workflows, self.now).await?;
            }
            _ => {}
        }
        self.report.imported += records.len() as u64;
        *self.report.kinds.entry(kind.name).or_default() += records.len() as u64;
        self.tables.extend([kind.table.name].into_iter().chain(kind.links.as_ref().map(|links| links.name)));
        match kind.name {
            "contact" => self.tables.extend(["trash_entries"]),
            "segment" => self.tables.extend(["segment_members", "record_segment_members"]),
            _ => {}
        }
        Ok(())
    }

    /// The contacts of records that are there already, locked until the commit: none of them is trashed, restored or decided
    /// about meanwhile.
    async fn lock_contacts(
        &mut self,
        records: &[Numbered],
    ) -> Result<HashMap<(i64, i64), State>, StoreError> {
        let named =
            records.iter().flat_map(|(_, record)| record.contacts.iter().map(|id| (record.account_id, *id)));
        let lock = self.tx.dialect().for_update("c");
        states(&mut self.tx, &named.collect(), &lock).await
    }

    /// The objects that arrive in the trash, by account: one that is there already keeps its state.
    async fn new_and_archived(
        &mut self,
        kind: &Kind,
        records: &[Numbered],
    ) -> Result<BTreeMap<i64, Vec<Arrival>>, StoreError> {
        let mut by_account: BTreeMap<i64, Vec<Arrival>> = BTreeMap::new();
        if kind.table.name != "objects" {
            return Ok(by_account);
        }
        for (_, record) in records {
            if let (Some(archived), Some(key)) = (&record.archived, record.object_key()) {
                let deleted_at = self.archived_at(archived);
                by_account.entry(record.account_id).or_default().push(Arrival { key, deleted_at });
            }
        }
        for (account_id, arrivals) in &mut by_account {
            let keys: Vec<RecordKey> = arrivals.iter().map(|arrival| arrival.key.clone()).collect();
            let known = records::existing(&mut self.tx, *account_id, &keys).await?;
            arrivals.retain(|arrival| !known.contains(&arrival.key));
        }
        Ok(by_account)
    }

    /// When what arrives in the trash was deleted: now, where nothing is said or what is said is yet to come.
    fn archived_at(&self, archived: &Archived) -> Time {
        archived.at.as_deref().and_then(parse_time).map_or(self.now, |at| at.min(self.now))
    }

    /// Counts the new contacts, and puts those of them into the trash that arrive there; they claim no address.
    async fn bring_contacts(
        &mut self,
        records: &[Numbered],
        known: &HashMap<(i64, i64), State>,
    ) -> Result<(), StoreError> {
        let (mut new, mut arriving) = (BTreeSet::new(), BTreeMap::new());
        for (_, record) in records {
            for contact_id in &record.contacts {
                let (account_id, contact_id) = (record.account_id, *contact_id);
                if known.contains_key(&(account_id, contact_id)) {
                    continue;
                }
                new.insert((account_id, contact_id));
                if let Some(archive) = &record.archived {
                    let at = self.archived_at(archive);
                    let by = DeletedBy::Import;
                    let deletion =
                        Deletion { account_id, contact_id, by, deletion_id: None, at, trace: None };
                    arriving.insert((account_id, contact_id), deletion);
                }
            }
        }
        self.announce_new(new.iter().filter(|contact| !arriving.contains_key(contact))).await?;
        counts::record_change(&mut self.tx, new.iter().map(|(account_id, _)| *account_id), 1).await?;
        let arriving: Vec<Deletion> = arriving.into_values().collect();
        trash::put_into_trash(&mut self.tx, &arriving).await?;
        counts::record_change(&mut self.tx, arriving.iter().map(|deletion| deletion.account_id), -1).await
    }

    /// Removes the rows of one kind that records name, with their links. What is not there is no error. An association is one
    /// fact, whichever end it was recorded from. Of `others` those go that a later line removes.
    pub(super) async fn remove(
        &mut self,
        kind: &Kind,
        records: &[Numbered],
        others: &mut Vec<Numbered>,
    ) -> Result<(), StoreError> {
        let key = &kind.table.columns[..kind.table.key];
        let other_ends: Vec<Row> =
            records.iter().filter_map(|(_, record)| from_the_other_end(record)).collect();
        let batch = batch_text(records.iter().map(|(_, record)| &record.row).chain(&other_ends));
        let keys = format!("(SELECT {} FROM {})", names(key), self.tx.dialect().batch(1, key));
        if let Some(links) = &kind.links {
            let owner = names(&links.columns[..links.key]);
            let sql = format!("DELETE FROM {} WHERE ({owner}) IN {keys}", links.name);
            self.tx.execute(&sql, args![batch.as_str()]).await?;
        }
        // Until the end of the file nobody knows what is there instead.
        self.mark(&records.iter().flat_map(|(_, record)| contacts_of(record)).collect()).await?;
        if kind.table.name == "users" {
            // Of a token nothing may be left for the next user of this id.
            let sql = format!("DELETE FROM tokens WHERE ({}) IN {keys}", names(key));
            self.tx.execute(&sql, args![batch.as_str()]).await?;
        }
        // A stub is what the reports keep of an activity that was deleted.
        let kept = if kind.table.name == "activities" { " AND NOT stub" } else { "" };
        let sql = format!("DELETE FROM {} WHERE ({}) IN {keys}{kept}", kind.table.name, names(key));
        self.report.removed += self.tx.execute(&sql, args![batch]).await?;
        if kind.table.name == "activities" {
            self.follow_activities(records).await?;
        }
        drop_removed_later(kind, records, others);
        Ok(())
    }

    /// Activities that were in the trash are known there by their type, and are gone once they are removed.
    async fn follow_activities(&mut self, records: &[Numbered]) -> Result<(), StoreError> {
        let key = |record: &Record| Some((record.account_id, record.row.get("activity_id")?.as_i64()?));
        let activities: Vec<(i64, i64)> = records.iter().filter_map(|(_, record)| key(record)).collect();
        records::follow_activities(&mut self.tx, &activities, self.now).await
    }

    async fn upsert(&mut self, table: &Table, records: &[Numbered]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let (key, rest) = table.columns.split_at(table.key);
        let import_id = self.origin.import().map(|identity| identity.import_id);
        // Of a new row; below, of one that is there.
        let (own, value) = match (table.name, self.origin) {
            ("contacts", Origin::Import(_)) => (", import_id", ", $2"),
            ("contacts" | "objects" | "activities" | "segments" | "workflows", Origin::Program { .. }) => {
                (", has_given_id", ", TRUE")
            }
            _ => ("", ""),
        };
        // A row that is as it should be is not even locked. It is looked up by its key, one by one, whatever PostgreSQL
        // believes of a table that fills.
        let (is_same, update) = if rest.is_empty() {
            ("TRUE".to_owned(), "NOTHING".to_owned())
        } else {
            let equal = rest.iter().map(|(name, _)| match *name {
                "association_type_id" => says_no_more(),
                name => format!("t.{name} IS NOT DISTINCT FROM b.{name}"),
            });
            let mut columns: Vec<String> =
                rest.iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect();
            if own == ", import_id" {
                let other = has_another("contacts", "$2");
                columns.push(format!(
                    "import_id = CASE WHEN {other} THEN contacts.import_id ELSE excluded.import_id END"
                ));
            }
            (equal.collect::<Vec<_>>().join(" AND "), format!("UPDATE SET {}", columns.join(", ")))
        };
        // An erasure can give several records the same key, and this one could be any of them: the stored row stays.
        let is_ambiguous = KEY_WORDS
            .iter()
            .find(|words| words.table == table.name && words.tells_records)
            .map_or_else(|| "FALSE".to_owned(), |words| format!("b.{} LIKE '%{REDACTED}%'", words.column));
        let sql = format!(
            "INSERT INTO {table} ({names}{own}) SELECT {names}{value} FROM {batch} \
             WHERE NOT coalesce((SELECT {is_ambiguous} OR {is_same} FROM {table} t WHERE {same}), FALSE) \
             ORDER BY {key} ON CONFLICT ({key}) DO {update}",
            table = table.name,
            names = names(table.columns),
            batch = self.tx.dialect().batch(1, table.columns),
            same = same("t", "b", key),
            key = names(key),
        );
        let rows = batch_text(records.iter().map(|(_, record)| &record.row));
        let Some(import_id) = import_id.filter(|_| table.name == "contacts") else {
            return self.tx.execute(&sql, args![rows]).await.map(drop);
        };
        self.tx.execute(&sql, args![rows, import_id]).await?;
        let contacts = records.iter().flat_map(|(_, record)| {
            record.contacts.iter().map(|contact_id| (record.account_id, *contact_id))
        });
        self.mark_beside(&contacts.collect()).await
    }

    /// The links of the records become those the records tell, no more and no fewer.
    async fn replace_links(
        &mut self,
        kind: &Kind,
        links: &Table,
        records: &[Numbered],
    ) -> Result<(), StoreError> {
        let columns = names(links.columns);
        let dialect = self.tx.dialect();
        let owner_columns = &links.columns[..links.key];
        let sql = format!(
            "DELETE FROM {table} WHERE ({owner}) IN (SELECT {owner} FROM {owners}) \
             AND ({row}) NOT IN (SELECT {row} FROM {rows})",
            table = links.name,
            owner = names(owner_columns),
            owners = dialect.batch(1, owner_columns),
            row = columns,
            rows = dialect.batch(2, links.columns),
        );
        let owner = |(_, record): &Numbered| {
            // The last column of an owner's key is the record's own id, under the table's name for it.
            let id = kind.table.columns[kind.table.key - 1].0;
            batch_row(
                json!({"account_id": record.account_id, owner_columns[links.key - 1].0: record.row.get(id)}),
            )
        };
        let owners = batch_text(records.iter().map(owner));
        let rows = batch_text(records.iter().flat_map(|(_, record)| &record.links));
        self.tx.execute(&sql, args![owners, rows.as_str()]).await?;
        let (extra, value) = match links.name {
            "contact_emails" => (", live", ", FALSE"),
            _ => ("", ""),
        };
        let sql = format!(
            "INSERT INTO {table} ({columns}{extra}) SELECT {columns}{value} FROM {batch} \
             WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE {same}) ORDER BY {columns} ON CONFLICT DO NOTHING",
            table = links.name,
            batch = dialect.batch(1, links.columns),
            same = same("t", "b", links.columns),
        );
        self.tx.execute(&sql, args![rows]).await?;
        Ok(())
    }

    /// Claims the addresses of these contacts, where they live; those with an address that another live contact holds
    /// are left as they are and come back with their lines, each with a holder.
    ///
    /// # Errors
    ///
    /// Contended where `is_checked` and a holder is not one of those who give their addresses up in this file: it came
    /// after the records were checked, and the next try finds it.
    pub(super) async fn claim_addresses(
        &mut self,
        contacts: &BTreeMap<(i64, i64), u64>,
        is_checked: bool,
    ) -> Result<BTreeMap<((i64, i64), u64), i64>, StoreError> {
        let ids = |(account_id, contact_id): &(i64, i64)| [*account_id, *contact_id];
        let sql = format!(
            "SELECT e.account_id, e.contact_id, e.holder FROM \
             (SELECT e.account_id, e.contact_id, {HOLDER} AS holder FROM {} \
              JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
              JOIN contact_emails e ON e.account_id = b.account_id AND e.contact_id = b.contact_id \
              WHERE c.deleted_at IS NULL) e \
             WHERE e.holder IS NOT NULL",
            self.tx.dialect().ids(1, &batch::CONTACT)
        );
        let mut contested = BTreeMap::new();
        for row in self.tx.rows(&sql, args![Lists::ids(contacts.keys().map(ids))]).await? {
            let (account_id, contact_id, holder) =
                (row.int("account_id")?, row.int("contact_id")?, row.int("holder")?);
            if is_checked && !self.readdressed.contains(&[account_id, holder]).map_err(temporary_failed)? {
                return Err(StoreError::Contended(Conflict::Address));
            }
            let line = contacts.get(&(account_id, contact_id)).copied().unwrap_or_default();
            contested.insert(((account_id, contact_id), line), holder);
        }
        let theirs = contacts.iter().filter(|(contact, line)| !contested.contains_key(&(**contact, **line)));
        addresses::claim(&mut self.tx, &Lists::ids(theirs.map(|(contact, _)| ids(contact)))).await?;
        Ok(contested)
    }

    /// Takes from live contacts what another one holds, and gives them the rest of their addresses.
    pub(super) async fn drop_held_addresses(
        &mut self,
        contacts: impl Iterator<Item = (i64, i64)>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "DELETE FROM contact_emails WHERE (account_id, contact_id, email_key) IN \
             (SELECT e.account_id, e.contact_id, e.email_key FROM {} JOIN contact_emails e \
              ON e.account_id = b.account_id AND e.contact_id = b.contact_id \
              WHERE NOT e.live AND {HOLDER} IS NOT NULL)",
            self.tx.dialect().ids(1, &batch::CONTACT)
        );
        let ids = Lists::ids(contacts.map(|(account_id, contact_id)| [account_id, contact_id]));
        self.tx.execute(&sql, args![&ids]).await?;
        addresses::claim(&mut self.tx, &ids).await
    }

    /// The rows of records as the store has them, locked.
    pub(super) async fn stored(
        &mut self,
        kind: &Kind,
        records: &[Numbered],
    ) -> Result<HashMap<String, Stored>, StoreError> {
        let (key, rest) = kind.table.columns.split_at(kind.table.key);
        let column = |(name, kind): &Column| match kind {
            ColumnType::Json => format!("CAST(t.{name} AS text) AS {name}"),
            _ => format!("t.{name}"),
        };
        let columns = rest.iter().map(column).collect::<Vec<_>>().join(", ");
        let (dialect, batch) = (self.tx.dialect(), batch_text(records.iter().map(|(_, record)| &record.row)));
        let sql = format!(
            "SELECT {}, {columns} FROM {} JOIN {} t ON {} ORDER BY {}{}",
            prefixed("t", key),
            dialect.batch(1, key),
            kind.table.name,
            same("t", "b", key),
            prefixed("t", key),
            dialect.for_update("t"),
        );
        let mut stored: HashMap<String, Stored> = HashMap::new();
        for found in self.tx.rows(&sql, args![batch.as_str()]).await? {
            let row = json_row(&found, kind.table.columns)?;
            let emails = Vec::new();
            stored.insert(key_text(&row, key), Stored { row, emails });
        }
        if kind.name == "contact" {
            let links = [("account_id", ColumnType::Int), ("contact_id", ColumnType::Int)];
            let sql = format!(
                "SELECT e.account_id, e.contact_id, e.email_key, e.email FROM {} JOIN contact_emails e ON {}",
                dialect.batch(1, &links),
                same("e", "b", &links)
            );
            let columns = [links[0], links[1], ("email_key", ColumnType::Text), ("email", ColumnType::Text)];
            for found in self.tx.rows(&sql, args![batch]).await? {
                let email = json_row(&found, &columns)?;
                if let Some(stored) = stored.get_mut(&key_text(&email, &links)) {
                    stored.emails.push(email);
                }
            }
        }
        Ok(stored)
    }
}

/// Drops associations that a later line removes by their other end. By its own key each is there once.
fn drop_removed_later(kind: &Kind, removals: &[Numbered], records: &mut Vec<Numbered>) {
    let key = &kind.table.columns[..kind.table.key];
    let removed: HashMap<String, u64> = removals
        .iter()
        .filter_map(|(entry, record)| Some((key_text(&from_the_other_end(record)?, key), entry.line)))
        .collect();
    records.retain(|(entry, record)| {
        removed.get(&key_text(&record.row, key)).is_none_or(|removed_in| *removed_in < entry.line)
    });
}

pub(super) fn key_text(row: &Row, key: &[Column]) -> String {
    let columns = key.iter().map(|(name, _)| row.get(*name).map(Value::to_string).unwrap_or_default());
    columns.collect::<Vec<_>>().join("\u{1f}")
}

/// A row of an answer as the row of a record.
pub(super) fn json_row(found: &Found, columns: &[Column]) -> Result<Row, StoreError> {
    let value = |(name, kind): &Column| -> Result<(String, Value), StoreError> {
        let value = match kind {
            ColumnType::Int => found.optional_int(name)?.into(),
            ColumnType::Json => found.optional_json(name)?.unwrap_or_default(),
            ColumnType::Text => found.optional_text(name)?.into(),
            ColumnType::Time => found.optional_time(name)?.map(format_time).into(),
            ColumnType::Bool => found.bool(name)?.into(),
        };
        Ok(((*name).to_owned(), value))
    };
    columns.iter().map(value).collect()
}

/// The key of an association as it is recorded from its other end. Between two records of one type a label there is another
/// fact.
fn from_the_other_end(record: &Record) -> Option<Row> {
    if record.kind.table.name != "associations" {
        return None;
    }
    let is_labelled = record.row.get("label").is_some_and(|label| label != "");
    if is_labelled && record.row.get("from_type") == record.row.get("to_type") {
        return None;
    }
    let mut row = record.row.clone();
    for (from, to) in [("from_type", "to_type"), ("from_id", "to_id")] {
        let ends = [from, to].map(|end| record.row.get(end).cloned().unwrap_or_default());
        let [own, other] = ends;
        row.insert(from.to_owned(), other);
        row.insert(to.to_owned(), own);
    }
    Some(row)
}

/// The contacts from which a removal takes a membership or an association.
fn contacts_of(record: &Record) -> Vec<(i64, i64)> {
    let id = |column: &str| record.row.get(column).and_then(Value::as_i64);
    let end = |of_type: &str, id_column: &str| {
        id(id_column).filter(|_| record.row.get(of_type).is_some_and(|it| it == "contact"))
    };
    let ids = match record.kind.table.name {
        "segment_members" => [id("contact_id"), None],
        "associations" => [end("from_type", "from_id"), end("to_type", "to_id")],
        _ => [None, None],
    };
    ids.into_iter().flatten().map(|contact_id| (record.account_id, contact_id)).collect()
}

/// The vendor gives two types where a company is the primary one, in any order: the plain one takes nothing from the other, and
/// none takes nothing at all.
fn says_no_more() -> String {
    let implied = associations::implied().map(|[more, plain]| format!("('{more}', '{plain}')"));
    format!(
        "(t.association_type_id IS NOT DISTINCT FROM b.association_type_id \
         OR b.association_type_id IS NULL \
         OR coalesce((t.association_type_id, b.association_type_id) IN ({}), FALSE))",
        implied.collect::<Vec<_>>().join(", ")
    )
}

/// Columns of one table are those of another.
pub(super) fn same(one: &str, other: &str, columns: &[Column]) -> String {
    let equal = columns.iter().map(|(name, _)| format!("{one}.{name} = {other}.{name}"));
    equal.collect::<Vec<_>>().join(" AND ")
}

pub(super) fn prefixed(table: &str, columns: &[Column]) -> String {
    columns.iter().map(|(name, _)| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
}
