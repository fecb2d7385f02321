//! Import: records into the store, all of a file or nothing of it.
//!
//! Records are upserted in chunks of one kind, within one transaction. It never changes the state of a contact
//! that exists; a new one that is archived arrives in the trash. What is of an erased or purged contact is
//! skipped and counted: erased stays erased. A contact in the trash is in no static segment and in no workflow,
//! whatever a record says; its memberships of dynamic segments stay hidden until it is restored.

mod gone;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use gone::{is_of, linked_contacts};
use serde::Serialize;
use serde_json::{Value, json};

use super::addresses::{self, HOLDER};
use super::audit::{self, Actor};
use super::batch::{self, Lists};
use super::db::Tx;
use super::dialect::{Dialect, names};
use super::trash::{self, DeletedBy, Deletion};
use super::values::args;
use super::{KeyHome, Store, StoreError, batch_row, batch_text, contact_counts, suppressions, waiting};
use crate::domain::members::Fault;
use crate::domain::record::{Column, ColumnType, Kind, Record, Row, Table, parse_record};
use crate::domain::time::{Time, parse_time};

/// How many records travel in one statement.
const CHUNK: usize = 500;

/// So many records make other tables of those that are written.
const MANY: u64 = 2_000;

const CONTACT: [Column; 2] = [("account_id", ColumnType::Int), ("contact_id", ColumnType::Int)];
const SEGMENT: [Column; 2] = [("account_id", ColumnType::Int), ("segment_id", ColumnType::Int)];

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Records stored, new or again.
    pub imported: u64,
    /// Records of erased or purged contacts, left out.
    pub skipped: u64,
    /// Records stored, by kind.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// An import under way: one transaction. It must be [finished](Import::finish), whatever happens.
#[derive(Debug)]
pub struct Import {
    tx: Tx,
    now: Time,
    operator: String,
    hash_keys: KeyHome,
    chunk: Vec<(u64, Record)>,
    keys: HashSet<String>,
    /// Accounts and contacts that records name and that have not come yet, with the first line that does.
    missing_accounts: BTreeMap<i64, u64>,
    missing_contacts: BTreeMap<(i64, i64), u64>,
    /// Contacts with an address that another one holds so far, with their line: a later line may give it up.
    contested: BTreeMap<(i64, i64), u64>,
    /// The tables that were written.
    tables: BTreeSet<&'static str>,
    /// With so many records PostgreSQL is to look at the tables again.
    look_at: u64,
    report: ImportReport,
}

impl Store {
    /// Opens an import, in the name of whoever runs it.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn begin_import(&self, operator: &str) -> Result<Import, StoreError> {
        let mut tx = self.db.begin().await?;
        let now = match take_turn(&mut tx).await {
            Ok(now) => now,
            Err(error) => return tx.finish(Err(error)).await,
        };
        Ok(Import {
            tx,
            now,
            operator: operator.to_owned(),
            hash_keys: self.hash_key_home().clone(),
            chunk: Vec::with_capacity(CHUNK),
            keys: HashSet::with_capacity(CHUNK),
            missing_accounts: BTreeMap::new(),
            missing_contacts: BTreeMap::new(),
            contested: BTreeMap::new(),
            tables: BTreeSet::new(),
            look_at: MANY,
            report: ImportReport::default(),
        })
    }
}

/// One import at a time: two that name the same contacts in different orders would only be in each other's way. It
/// waits as long as it takes.
pub(super) async fn take_turn(tx: &mut Tx) -> Result<Time, StoreError> {
    if tx.dialect() == Dialect::Postgres {
        tx.wait_without_end().await?;
        tx.rows("SELECT 1 AS one FROM pg_advisory_xact_lock(7165905011)", &[]).await?;
    }
    tx.now().await
}

impl Import {
    /// Takes one line; `number` counts from 1.
    ///
    /// # Errors
    ///
    /// Refused: what the line has wrong, and where.
    pub async fn line(&mut self, number: u64, line: &str) -> Result<(), StoreError> {
        if line.trim().is_empty() {
            return Ok(());
        }
        let record =
            parse_record(line).map_err(|Fault { place, expected }| at_line(number, &place, &expected))?;
        let key = record.key();
        let other_kind = self.chunk.first().is_some_and(|(_, first)| first.kind.name != record.kind.name);
        if other_kind || self.chunk.len() == CHUNK || self.keys.contains(&key) {
            self.flush().await?;
        }
        self.keys.insert(key);
        self.chunk.push((number, record));
        Ok(())
    }

    /// Commits where every line was taken and every account and contact named is there; otherwise nothing was.
    ///
    /// # Errors
    ///
    /// The failure of `lines`, handed through, or a reference to what does not exist.
    pub async fn finish(mut self, lines: Result<(), StoreError>) -> Result<ImportReport, StoreError> {
        let work = match lines {
            Ok(()) => self.complete().await,
            Err(error) => Err(error),
        };
        self.tx.finish(work).await?;
        Ok(self.report)
    }

    async fn complete(&mut self) -> Result<(), StoreError> {
        self.flush().await?;
        let accounts = self.missing_accounts.keys().copied().collect();
        if let Some(account_id) = absent_accounts(&mut self.tx, &accounts).await?.first() {
            let line = self.missing_accounts.get(account_id).copied().unwrap_or_default();
            let problem = format!("names account {account_id}, which neither the file nor the store has");
            return Err(at_line(line, "accountId", &problem));
        }
        let contacts: BTreeSet<(i64, i64)> = self.missing_contacts.keys().copied().collect();
        if let Some(key) = self.absent_contacts(&contacts).await?.first() {
            let line = self.missing_contacts.get(key).copied().unwrap_or_default();
            let problem = format!("names contact {}, which neither the file nor the store has", key.1);
            return Err(at_line(line, "contactId", &problem));
        }
        let contested = std::mem::take(&mut self.contested);
        if let Some(((key, line), holder)) = self.claim_addresses(&contested).await?.first() {
            let problem = format!(
                "gives contact {} an address that the live contact {holder} holds; an address belongs to one",
                key.1
            );
            return Err(at_line(*line, "properties.email or additionalEmails", &problem));
        }
        if self.report.imported >= MANY {
            self.look_at_the_tables().await?;
        }
        let actor = Actor::Operator(self.operator.clone());
        let count = i64::try_from(self.report.imported).unwrap_or(i64::MAX);
        audit::write(&mut self.tx, self.now, 0, &actor, "import", &[], count).await
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        let mut chunk = std::mem::take(&mut self.chunk);
        self.keys.clear();
        let Some((_, first)) = chunk.first() else { return Ok(()) };
        let kind = first.kind;
        let gone = self.gone(&chunk).await?;
        let read = chunk.len();
        chunk.retain(|(_, record)| !is_of(&gone, record));
        let linked_before = match kind.name {
            "activity" => self.keep_erased(&mut chunk).await?,
            _ => HashSet::new(),
        };
        self.report.skipped += (read - chunk.len()) as u64;
        self.note_references(&chunk).await?;
        let new = if kind.name == "contact" { self.new_contacts(&chunk).await? } else { BTreeSet::new() };
        self.upsert(&kind.table, chunk.iter().map(|(_, record)| record.row.clone()).collect()).await?;
        if let Some(links) = &kind.links {
            self.replace_links(kind, links, &chunk).await?;
        }
        match kind.name {
            "contact" => {
                contact_counts::moved(&mut self.tx, new.iter().map(|(account_id, _)| *account_id), 1).await?;
                let arriving = self.arriving_in_trash(&chunk, &new);
                // What arrives in the trash claims no address.
                trash::put_into_trash(&mut self.tx, &arriving).await?;
                let gone = arriving.iter().map(|deletion| deletion.account_id);
                contact_counts::moved(&mut self.tx, gone, -1).await?;
                let contacts = chunk.iter().flat_map(|(line, record)| {
                    record.contacts.iter().map(|contact_id| ((record.account_id, *contact_id), *line))
                });
                let conflicts = self.claim_addresses(&contacts.collect()).await?;
                self.contested.extend(conflicts.into_iter().map(|(contact, _)| contact));
                suppressions::revive(&mut self.tx, &self.hash_keys, &addresses_in(&chunk)).await?;
            }
            "deliverability" => self.hash_what_is_gone(&chunk).await?,
            "segment" => self.empty_static_segments_of_trash(&chunk).await?,
            "enrollment" => self.unenroll_trash(&chunk).await?,
            "workflow" => {
                let id = |record: &Record| record.row.get("workflow_id").and_then(Value::as_i64);
                let workflows = chunk.iter().filter_map(|(_, record)| Some((record.account_id, id(record)?)));
                waiting::look_again(&mut self.tx, workflows, self.now).await?;
            }
            _ => {}
        }
        // Whoever purged a contact while its record waited for the lock has committed by now.
        let gone = self.gone(&chunk).await?;
        let linked = if kind.name == "activity" {
            self.gone_of(linked_contacts(&chunk)).await?
        } else {
            HashSet::new()
        };
        if linked != linked_before || chunk.iter().any(|(_, record)| is_of(&gone, record)) {
            return Err(StoreError::Contended("a contact was purged while its record was imported".into()));
        }
        self.report.imported += chunk.len() as u64;
        *self.report.kinds.entry(kind.name).or_default() += chunk.len() as u64;
        self.tables.extend([kind.table.name].into_iter().chain(kind.links.as_ref().map(|links| links.name)));
        self.tables.extend((kind.name == "contact").then_some("trash_entries"));
        if self.report.imported >= self.look_at {
            self.look_at = 4 * self.report.imported;
            self.look_at_the_tables().await?;
        }
        Ok(())
    }

    /// PostgreSQL plans with what it knows of the tables, and knows nothing yet of what an import brings: until its next
    /// autovacuum each batch, of this import and of the deeds after it, would be held against all the rows of an account.
    async fn look_at_the_tables(&mut self) -> Result<(), StoreError> {
        let tables: Vec<&str> = self.tables.iter().copied().collect();
        if let Some(sql) = self.tx.dialect().analyze(&tables) {
            self.tx.execute(&sql, &[]).await?;
        }
        Ok(())
    }

    /// Remembers which accounts and contacts these records name that are not there yet.
    async fn note_references(&mut self, chunk: &[(u64, Record)]) -> Result<(), StoreError> {
        let accounts: BTreeSet<i64> = chunk
            .iter()
            .filter(|(_, record)| record.kind.name != "account")
            .map(|(_, record)| record.account_id)
            .collect();
        for account_id in absent_accounts(&mut self.tx, &accounts).await? {
            let line =
                chunk.iter().find(|(_, record)| record.account_id == account_id).map(|(line, _)| *line);
            self.missing_accounts.entry(account_id).or_insert(line.unwrap_or_default());
        }
        let owner = |record: &Record| record.owner.map(|contact_id| (record.account_id, contact_id));
        let contacts: BTreeSet<(i64, i64)> = chunk.iter().filter_map(|(_, record)| owner(record)).collect();
        for key in self.absent_contacts(&contacts).await? {
            let line = chunk.iter().find(|(_, record)| owner(record) == Some(key)).map(|(line, _)| *line);
            self.missing_contacts.entry(key).or_insert(line.unwrap_or_default());
        }
        Ok(())
    }

    async fn absent_contacts(
        &mut self,
        contacts: &BTreeSet<(i64, i64)>,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let absent = "WHERE NOT EXISTS (SELECT 1 FROM contacts c \
                      WHERE c.account_id = b.account_id AND c.contact_id = b.contact_id)";
        self.pairs_where(absent, contacts).await
    }

    /// Those of the contacts for which a clause holds.
    async fn pairs_where(
        &mut self,
        clause: &str,
        contacts: &BTreeSet<(i64, i64)>,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        if contacts.is_empty() {
            return Ok(Vec::new());
        }
        let row = |(account_id, contact_id): &(i64, i64)| {
            batch_row(json!({"account_id": account_id, "contact_id": contact_id}))
        };
        let sql = format!(
            "SELECT b.account_id, b.contact_id FROM {} {clause} ORDER BY b.account_id, b.contact_id",
            self.tx.dialect().batch(1, &CONTACT)
        );
        let rows = self.tx.rows(&sql, args![batch_text(contacts.iter().map(row))]).await?;
        rows.iter().map(|row| Ok((row.int("account_id")?, row.int("contact_id")?))).collect()
    }

    /// Those contacts of a chunk that are new.
    async fn new_contacts(&mut self, chunk: &[(u64, Record)]) -> Result<BTreeSet<(i64, i64)>, StoreError> {
        let named =
            chunk.iter().flat_map(|(_, record)| record.contacts.iter().map(|id| (record.account_id, *id)));
        Ok(self.absent_contacts(&named.collect()).await?.into_iter().collect())
    }

    /// Archived contacts that are new: only they arrive in the trash.
    fn arriving_in_trash(&self, chunk: &[(u64, Record)], new: &BTreeSet<(i64, i64)>) -> Vec<Deletion> {
        let mut arriving = BTreeMap::new();
        for (_, record) in chunk {
            if let (Some(archive), [contact_id]) = (&record.archived, &record.contacts[..]) {
                let (account_id, contact_id) = (record.account_id, *contact_id);
                let at = archive.at.as_deref().and_then(parse_time).unwrap_or(self.now);
                let deletion = Deletion {
                    account_id,
                    contact_id,
                    by: DeletedBy::Import,
                    deletion_id: None,
                    at,
                    trace: None,
                };
                arriving.insert((account_id, contact_id), deletion);
            }
        }
        arriving.retain(|contact, _| new.contains(contact));
        arriving.into_values().collect()
    }

    async fn upsert(&mut self, table: &Table, rows: Vec<Row>) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
        let (key, rest) = names.split_at(table.key);
        let update = if rest.is_empty() {
            "NOTHING".to_owned()
        } else {
            let columns: Vec<String> = rest.iter().map(|name| format!("{name} = excluded.{name}")).collect();
            format!("UPDATE SET {}", columns.join(", "))
        };
        let sql = format!(
            "INSERT INTO {} ({names}) SELECT {names} FROM {} WHERE TRUE ORDER BY {key} ON CONFLICT ({key}) DO {update}",
            table.name,
            self.tx.dialect().batch(1, table.columns),
            names = names.join(", "),
            key = key.join(", "),
        );
        self.tx.execute(&sql, args![batch_text(rows)]).await?;
        Ok(())
    }

    /// The links of the records become those the records tell, no more and no fewer.
    async fn replace_links(
        &mut self,
        kind: &Kind,
        links: &Table,
        chunk: &[(u64, Record)],
    ) -> Result<(), StoreError> {
        let columns = names(links.columns);
        let dialect = self.tx.dialect();
        let owner_columns = &links.columns[..links.key];
        // The CRM does not name a contact in the trash as a member, and the restore brings it back as one.
        let hidden_stay = match links.name {
            "segment_members" => {
                " AND NOT EXISTS (SELECT 1 FROM contacts c WHERE c.account_id = segment_members.account_id \
                 AND c.contact_id = segment_members.contact_id AND c.deleted_at IS NOT NULL)"
            }
            _ => "",
        };
        let sql = format!(
            "DELETE FROM {table} WHERE ({owner}) IN (SELECT {owner} FROM {owners}) \
             AND ({row}) NOT IN (SELECT {row} FROM {rows}){hidden_stay}",
            table = links.name,
            owner = names(owner_columns),
            owners = dialect.batch(1, owner_columns),
            row = columns,
            rows = dialect.batch(2, links.columns),
        );
        let owner = |(_, record): &(u64, Record)| {
            // The last column of an owner's key is the record's own id, under the table's name for it.
            let id = kind.table.columns[kind.table.key - 1].0;
            batch_row(
                json!({"account_id": record.account_id, owner_columns[links.key - 1].0: record.row.get(id)}),
            )
        };
        let owners = batch_text(chunk.iter().map(owner));
        let rows: Vec<Row> = chunk.iter().flat_map(|(_, record)| record.links.clone()).collect();
        self.tx.execute(&sql, args![owners, batch_text(rows.clone())]).await?;
        let (extra, value, contact) = match links.name {
            "contact_emails" => (", live", ", FALSE", None),
            "activity_associations" => {
                ("", "", Some("b.object_type = 'contact' AND g.contact_id = b.object_id"))
            }
            "conversation_tickets" => ("", "", None),
            _ => ("", "", Some("g.contact_id = b.contact_id")),
        };
        let erased_stays_erased = contact.map_or_else(
            || "TRUE".to_owned(),
            |same| {
                format!(
                    "NOT EXISTS (SELECT 1 FROM gone_contacts g WHERE g.account_id = b.account_id AND {same})"
                )
            },
        );
        let sql = format!(
            "INSERT INTO {} ({columns}{extra}) SELECT {columns}{value} FROM {} WHERE {erased_stays_erased} \
             ORDER BY {columns} ON CONFLICT DO NOTHING",
            links.name,
            dialect.batch(1, links.columns),
        );
        self.tx.execute(&sql, args![batch_text(rows)]).await?;
        Ok(())
    }

    /// Claims the addresses of these contacts, where they live; those with an address that another live contact holds
    /// are left as they are and come back, each with the holder.
    async fn claim_addresses(
        &mut self,
        contacts: &BTreeMap<(i64, i64), u64>,
    ) -> Result<Vec<(((i64, i64), u64), i64)>, StoreError> {
        let ids = |(account_id, contact_id): &(i64, i64)| [*account_id, *contact_id];
        let sql = format!(
            "SELECT e.account_id, e.contact_id, min(e.holder) AS holder FROM \
             (SELECT e.account_id, e.contact_id, {HOLDER} AS holder FROM {} \
              JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
              JOIN contact_emails e ON e.account_id = b.account_id AND e.contact_id = b.contact_id \
              WHERE c.deleted_at IS NULL) e \
             WHERE e.holder IS NOT NULL GROUP BY e.account_id, e.contact_id \
             ORDER BY e.account_id, e.contact_id DESC",
            self.tx.dialect().ids(1, &batch::CONTACT)
        );
        let mut conflicts = BTreeSet::new();
        let mut answers = Vec::new();
        for row in self.tx.rows(&sql, args![Lists::ids(contacts.keys().map(ids))]).await? {
            let contact = (row.int("account_id")?, row.int("contact_id")?);
            let line = contacts.get(&contact).copied().unwrap_or_default();
            answers.push(((contact, line), row.int("holder")?));
            conflicts.insert(contact);
        }
        let theirs = contacts.keys().filter(|contact| !conflicts.contains(contact));
        addresses::claim(&mut self.tx, &Lists::ids(theirs.map(ids))).await?;
        Ok(answers)
    }
}

/// Those of the accounts that are not there.
pub(super) async fn absent_accounts(tx: &mut Tx, accounts: &BTreeSet<i64>) -> Result<Vec<i64>, StoreError> {
    if accounts.is_empty() {
        return Ok(Vec::new());
    }
    let columns = [("account_id", ColumnType::Int)];
    let sql = format!(
        "SELECT b.account_id FROM {} WHERE NOT EXISTS \
         (SELECT 1 FROM accounts a WHERE a.account_id = b.account_id) ORDER BY b.account_id",
        tx.dialect().batch(1, &columns)
    );
    let batch = batch_text(accounts.iter().map(|id| batch_row(json!({ "account_id": id }))));
    tx.rows(&sql, args![batch]).await?.iter().map(|row| row.int("account_id")).collect()
}

/// The addresses that records bring, whether they are a contact's or stand alone.
fn addresses_in(chunk: &[(u64, Record)]) -> Vec<(i64, String)> {
    let rows = chunk.iter().flat_map(|(_, record)| record.links.iter().chain([&record.row]));
    rows.filter_map(|row| {
        Some((row.get("account_id")?.as_i64()?, row.get("email_key")?.as_str()?.to_owned()))
    })
    .collect()
}

fn at_line(line: u64, place: &str, problem: &str) -> StoreError {
    StoreError::Refused(format!("line {line}: {place}: {problem}; nothing was imported"))
}
