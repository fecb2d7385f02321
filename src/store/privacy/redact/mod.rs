//! Redacting people in the records that stay: rule 4 of the matrix.
//!
//! Every text of an account is read, page by page. [`Redactor`] decides, so that both databases redact the same; a row with
//! something to redact is locked, read again, and rewritten.

mod columns;
mod contacts;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::address::address_key;
use crate::domain::identifiers::{FullName, Identifiers};
use crate::domain::record::{Column, ColumnType, Row as JsonRow};
use crate::domain::redaction::{REDACTED, Redactor, Style};
use crate::store::db::Tx;
use crate::store::db::batch::{BATCH, Lists, batch_row, batch_text};
use crate::store::db::values::{Arg, Row, args};
use crate::store::identity::{identifiers, suppressions};
use crate::store::{HashKeySource, StoreError};

use columns::{ACTIVITIES, KeyWords, Links};
pub use columns::{Content, KEY_WORDS, NO_WORDS, Reach, WORDS, Words};
use contacts::{HeldRows, contacts_on, held_rows};

/// How many rows are read at once: a page is held in memory.
const PAGE: i64 = 1000;

const OWED: [Column; 4] = [
    ("account_id", ColumnType::Int),
    ("table_name", ColumnType::Text),
    ("row_id", ColumnType::Int),
    ("identifiers", ColumnType::Text),
];

/// A record that stays, and was changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Changed {
    pub kind: String,
    /// Null where the row is of no record of its own.
    pub id: Option<String>,
    /// How many places were redacted.
    pub redact: u64,
    #[serde(skip)]
    pub category: &'static str,
}

/// A record that has an address of the person, and was left alone (rule 4 d, and what a legal hold protects).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Found {
    pub kind: String,
    pub id: String,
}

/// What a redaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redacted {
    pub changed: Vec<Changed>,
    pub found: BTreeSet<Found>,
}

/// The rows that were a contact's as well, by table: found before its links go.
pub type SharedRows = BTreeMap<&'static str, BTreeSet<i64>>;

/// Rows that are linked with a contact, by table.
pub async fn rows_of(tx: &mut Tx, account_id: i64, contact_id: i64) -> Result<SharedRows, StoreError> {
    let mut rows = SharedRows::new();
    for (words, links) in shared() {
        let sql = format!(
            "SELECT l.{} AS id FROM {} l WHERE l.account_id = $1 AND l.{} = $2{}",
            words.id[0], links.table, links.contact, links.condition
        );
        let found = tx.rows(&sql, args![account_id, contact_id]).await?;
        rows.insert(words.table, found.iter().map(|row| row.int("id")).collect::<Result<_, _>>()?);
    }
    Ok(rows)
}

fn shared() -> impl Iterator<Item = (&'static Words, Links)> {
    WORDS.iter().filter_map(|words| match words.reach {
        Reach::Shared(links) => Some((words, links)),
        _ => None,
    })
}

/// Redacts a person in an account. The person's own rows are gone by now; `rows` were the person's as well.
pub async fn contact(
    tx: &mut Tx,
    account_id: i64,
    person: &Identifiers,
    rows: &SharedRows,
) -> Result<Redacted, StoreError> {
    let mut work = Work::new(tx, account_id, person).await?;
    work.redact_rows(tx, person, rows).await?;
    work.redact_account(tx, None).await?;
    work.save_owed(tx).await?;
    Ok(work.done)
}

/// The analytics of contacts that are about to be purged and what identifies these contacts, as far as their sources may say
/// that: by account, which rows of whom.
pub async fn analytics_of(
    tx: &mut Tx,
    contacts: &Lists,
) -> Result<Vec<(i64, Identifiers, SharedRows)>, StoreError> {
    let sql = format!(
        "SELECT a.account_id, a.contact_id, a.event_id FROM {} JOIN analytics_events a \
         ON a.account_id = b.account_id AND a.contact_id = b.contact_id AND {}",
        tx.dialect().ids(1, &BATCH),
        tx.dialect().is_no_constant("a.source")
    );
    let mut by_contact: BTreeMap<(i64, i64), BTreeSet<i64>> = BTreeMap::new();
    for row in tx.rows(&sql, args![contacts]).await? {
        let contact = (row.int("account_id")?, row.int("contact_id")?);
        by_contact.entry(contact).or_default().insert(row.int("event_id")?);
    }
    let mut analytics = Vec::new();
    for ((account_id, contact_id), events) in by_contact {
        let person = identifiers::of_contact(tx, account_id, contact_id).await?;
        analytics.push((account_id, person, SharedRows::from([("analytics_events", events)])));
    }
    Ok(analytics)
}

/// Redacts people in rows that were theirs, and nowhere else.
pub async fn own_rows(tx: &mut Tx, people: Vec<(i64, Identifiers, SharedRows)>) -> Result<(), StoreError> {
    for (account_id, person, rows) in people {
        Work::new(tx, account_id, &person).await?.redact_rows(tx, &person, &rows).await?;
    }
    Ok(())
}

/// Redacts what erasures owe because of a legal hold that was lifted: who was erased meanwhile, in rows that were theirs as well,
/// and the addresses of erased people in all others. What another hold keeps whole stays owed. Was there anything to look for?
pub async fn owed(tx: &mut Tx, home: &HashKeySource, account_id: i64) -> Result<bool, StoreError> {
    let any = "SELECT 1 AS one FROM erasures WHERE account_id = $1 LIMIT 1";
    if tx.row(any, args![account_id]).await?.is_none() {
        return Ok(false);
    }
    pay(tx, account_id).await?;
    let addresses = erased_addresses(tx, home, account_id).await?;
    let erased = Identifiers { addresses, ..Identifiers::default() };
    Work::new(tx, account_id, &erased).await?.redact_account(tx, None).await?;
    Ok(true)
}

/// Redacts what erasures owe in rows that no legal hold keeps any more: an import took them off the contacts under one. Was there
/// anything to redact?
pub async fn released(tx: &mut Tx) -> Result<bool, StoreError> {
    let mut any = false;
    let accounts =
        tx.rows("SELECT DISTINCT account_id FROM owed_redactions ORDER BY account_id", &[]).await?;
    for row in accounts {
        any |= pay(tx, row.int("account_id")?).await?;
    }
    Ok(any)
}

/// Redacts what an account owes in rows that are not held. An address that another contact has by now is that contact's.
async fn pay(tx: &mut Tx, account_id: i64) -> Result<bool, StoreError> {
    let held = held_rows(tx, account_id).await?;
    let mut people: BTreeMap<String, SharedRows> = BTreeMap::new();
    let mut paid = Vec::new();
    let sql = "SELECT table_name, row_id, identifiers FROM owed_redactions WHERE account_id = $1";
    for row in tx.rows(sql, args![account_id]).await? {
        let (table, id, identifiers) =
            (row.text("table_name")?, row.int("row_id")?, row.text("identifiers")?);
        let Some((words, _)) = shared().find(|(words, _)| words.table == table) else { continue };
        let key = JsonRow::from_iter([(words.id[0].to_owned(), id.into())]);
        let is_held = |record| held.get(words.table).is_some_and(|held| held.contains(&record));
        if !words.found(&key).is_some_and(is_held) {
            people.entry(identifiers).or_default().entry(words.table).or_default().insert(id);
            paid.push(batch_row(json!({"account_id": account_id, "table_name": table, "row_id": id})));
        }
    }
    if people.is_empty() {
        return Ok(false);
    }
    let sql = format!(
        "DELETE FROM owed_redactions WHERE (account_id, table_name, row_id) IN \
         (SELECT b.account_id, b.table_name, b.row_id FROM {})",
        tx.dialect().batch(1, &OWED[..3])
    );
    tx.execute(&sql, args![batch_text(paid)]).await?;
    for (identifiers, rows) in people {
        let mut person: Identifiers = serde_json::from_str(&identifiers)
            .map_err(|_| StoreError::Failed("an owed redaction in the store is no JSON".to_owned()))?;
        person.addresses = identifiers::without_holders(tx, account_id, person.addresses).await?;
        Work::new(tx, account_id, &person).await?.redact_rows(tx, &person, &rows).await?;
    }
    Ok(true)
}

/// Redacts an address that no contact has: in shared rows that name it everything that identifies the person, as if they were
/// linked.
pub async fn address(tx: &mut Tx, account_id: i64, person: &Identifiers) -> Result<Redacted, StoreError> {
    let mut work = Work::new(tx, account_id, person).await?;
    work.redact_account(tx, Some(person)).await?;
    work.save_owed(tx).await?;
    Ok(work.done)
}

/// Deletes notifications of contacts who are gone that are addressed by one of these addresses: they are of the person alone.
/// How many.
pub async fn delete_notifications(
    tx: &mut Tx,
    account_id: i64,
    addresses: &BTreeSet<String>,
) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for (notification_id, _) in
        unlinked_notifications(tx, account_id, |email| addresses.contains(email)).await?
    {
        let sql = "DELETE FROM notifications WHERE account_id = $1 AND notification_id = $2";
        deleted += tx.execute(sql, args![account_id, notification_id]).await?;
    }
    Ok(deleted)
}

/// The notifications without a contact whose address, as it is compared, is wanted, each with the name it shows.
async fn unlinked_notifications(
    tx: &mut Tx,
    account_id: i64,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(i64, String)>, StoreError> {
    let sql = "SELECT notification_id, contact_name, contact_email FROM notifications \
               WHERE account_id = $1 AND contact_id IS NULL ORDER BY notification_id";
    let mut found = Vec::new();
    for row in tx.rows(sql, args![account_id]).await? {
        if wanted(&address_key(&row.text("contact_email")?)) {
            found.push((row.int("notification_id")?, row.text("contact_name")?));
        }
    }
    Ok(found)
}

/// Full names that notifications show beside an address.
pub async fn names_beside(
    tx: &mut Tx,
    account_id: i64,
    address: &str,
) -> Result<BTreeSet<FullName>, StoreError> {
    let shown = unlinked_notifications(tx, account_id, |email| email == address).await?;
    let parts = |(_, name): &(i64, String)| {
        let (first, last) = name.trim().rsplit_once(char::is_whitespace)?;
        Some(FullName { first: first.trim().to_owned(), last: last.to_owned() })
    };
    Ok(shown.iter().filter_map(parts).collect())
}

/// The addresses of erased people in the texts of an account that an erasure changes, told by their hashes. Addresses that a
/// contact has are not among them.
pub async fn erased_addresses(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
) -> Result<BTreeSet<String>, StoreError> {
    let mut erased = BTreeSet::new();
    for words in WORDS.iter().filter(|words| words.reach != Reach::Reported) {
        let mut after = None;
        loop {
            let (rows, last) = page(tx, account_id, words, after).await?;
            let mut texts = Vec::new();
            for row in &rows {
                texts.extend(words.texts_of(row)?.into_iter().map(|(_, text)| text));
            }
            erased.extend(suppressions::erased_in(tx, home, account_id, &texts).await?);
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
    }
    for words in &KEY_WORDS {
        let texts = key_texts(tx, account_id, words).await?;
        erased.extend(suppressions::erased_in(tx, home, account_id, &texts).await?);
    }
    Ok(erased)
}

/// The texts of an account that are part of a key, each once.
async fn key_texts(tx: &mut Tx, account_id: i64, words: &KeyWords) -> Result<Vec<String>, StoreError> {
    let sql =
        format!("SELECT DISTINCT t.{} AS text FROM {} t WHERE t.account_id = $1", words.column, words.table);
    tx.rows(&sql, args![account_id]).await?.iter().map(|row| row.text("text")).collect()
}

/// One page of a table, and where the next begins.
async fn page(
    tx: &mut Tx,
    account_id: i64,
    words: &Words,
    after: Option<Vec<Arg>>,
) -> Result<(Vec<Row>, Option<Vec<Arg>>), StoreError> {
    let names: Vec<String> = words.key.iter().map(|(column, _)| format!("t.{column}")).collect();
    let places: Vec<String> = (2..).take(names.len()).map(|place| format!("${place}")).collect();
    let sql = format!(
        "SELECT {} FROM {} t WHERE t.account_id = $1 AND ({names}) > ({}) ORDER BY {names} LIMIT {PAGE}",
        words.selected(),
        words.table,
        places.join(", "),
        names = names.join(", ")
    );
    let first = |(_, kind): &Column| if *kind == ColumnType::Int { Arg::from(0) } else { Arg::from("") };
    let after = after.unwrap_or_else(|| words.key.iter().map(first).collect());
    let rows = tx.rows(&sql, &[vec![account_id.into()], after].concat()).await?;
    let last = |row: &Row| -> Result<Vec<Arg>, StoreError> {
        let column = |(column, kind): &Column| -> Result<Arg, StoreError> {
            Ok(if *kind == ColumnType::Int { row.int(column)?.into() } else { row.text(column)?.into() })
        };
        words.key.iter().map(column).collect()
    };
    let last = rows.last().map(last).transpose()?;
    Ok((rows, last))
}

/// A redaction under way.
struct Work {
    account_id: i64,
    addresses: Redactor,
    /// Rows of contacts under a legal hold, and rows that they share: they stay whole.
    held: HeldRows,
    /// Those of them that were the person's as well, by table.
    owed: SharedRows,
    /// What of the person those rows mention.
    mentioned: Identifiers,
    done: Redacted,
}

impl Work {
    async fn new(tx: &mut Tx, account_id: i64, person: &Identifiers) -> Result<Self, StoreError> {
        let only_addresses = person.only_addresses();
        let held = held_rows(tx, account_id).await?;
        let (owed, mentioned, done) = (SharedRows::new(), Identifiers::default(), Redacted::default());
        Ok(Self { account_id, addresses: Redactor::new(&only_addresses), held, owed, mentioned, done })
    }

    /// The person in rows that were the person's as well.
    async fn redact_rows(
        &mut self,
        tx: &mut Tx,
        person: &Identifiers,
        rows: &SharedRows,
    ) -> Result<(), StoreError> {
        for (words, links) in shared() {
            let ids = rows.get(words.table).into_iter().flatten().copied().collect();
            self.redact_shared(tx, words, links, ids, person).await?;
        }
        Ok(())
    }

    /// Keeps what identifies the person in held rows, until their hold is lifted.
    async fn save_owed(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        if self.owed.is_empty() {
            return Ok(());
        }
        let identifiers = serde_json::to_string(&self.mentioned)
            .map_err(|_| StoreError::Failed("what identifies a person is no JSON".to_owned()))?;
        let rows = self.owed.iter().flat_map(|(table, ids)| ids.iter().map(move |id| (*table, *id)));
        let rows = rows.map(|(table, id)| {
            batch_row(json!({"account_id": self.account_id, "table_name": table, "row_id": id,
                "identifiers": identifiers}))
        });
        let sql = format!(
            "INSERT INTO owed_redactions (account_id, table_name, row_id, identifiers) \
             SELECT b.account_id, b.table_name, b.row_id, b.identifiers FROM {} WHERE TRUE",
            tx.dialect().batch(1, &OWED)
        );
        tx.execute(&sql, args![batch_text(rows)]).await.map(drop)
    }

    /// Notes those of these held rows that mention the person, and what of it they mention.
    async fn note_mentions(
        &mut self,
        tx: &mut Tx,
        words: &Words,
        held: Vec<JsonRow>,
        person: &Identifiers,
    ) -> Result<(), StoreError> {
        let each: Vec<(Identifiers, Redactor)> =
            person.each().map(|one| (one.clone(), Redactor::new(&one))).collect();
        let mut mentioning = Vec::new();
        for row in words.lock(tx, held).await? {
            let texts = words.texts_of(&row)?;
            let mentioned: Vec<_> = each
                .iter()
                .filter(|(_, redactor)| {
                    texts.iter().any(|(content, text)| content.redact(redactor, text).is_some())
                })
                .collect();
            let has_headers = words.table == ACTIVITIES.table
                && texts.into_iter().any(|(_, text)| redact_headers(text).1 > 0);
            if has_headers || !mentioned.is_empty() {
                mentioning.push(words.key_of(&row)?);
            }
            for (one, _) in mentioned {
                self.mentioned.add(one);
            }
        }
        if !mentioning.is_empty() {
            self.note_owed(words, &mentioning);
        }
        Ok(())
    }

    /// Notes that these rows of a table are held.
    fn note_owed(&mut self, words: &Words, keys: &[JsonRow]) {
        let ids = keys.iter().filter_map(|key| key.get(words.id[0])?.as_i64());
        self.owed.entry(words.table).or_default().extend(ids);
    }

    fn is_held(&self, words: &Words, key: &JsonRow) -> bool {
        let held = self.held.get(words.table);
        held.is_some_and(|held| words.found(key).is_some_and(|record| held.contains(&record)))
    }

    /// Rule 4 b: everything that identifies the person and no other contact on the row.
    async fn redact_shared(
        &mut self,
        tx: &mut Tx,
        words: &'static Words,
        links: Links,
        ids: BTreeSet<i64>,
        person: &Identifiers,
    ) -> Result<(), StoreError> {
        let on_rows = contacts_on(tx, self.account_id, words, links, &ids).await?;
        let others: BTreeSet<i64> = on_rows.values().flatten().copied().collect();
        let others = identifiers::of_others(tx, self.account_id, others).await?;
        let whole = Redactor::new(person);
        let mut by_row = BTreeMap::new();
        for (id, contacts) in on_rows {
            let known = contacts.iter().filter_map(|contact_id| others.get(contact_id));
            let left = known.fold(person.clone(), |left, other| left.without_shared(other));
            if left != *person {
                by_row.insert(id.to_string(), Redactor::new(&left));
            }
        }
        let key = |id: &i64| {
            JsonRow::from_iter([
                ("account_id".to_owned(), self.account_id.into()),
                (words.id[0].to_owned(), (*id).into()),
            ])
        };
        let (held, keys): (Vec<JsonRow>, Vec<JsonRow>) =
            ids.iter().map(key).partition(|key| self.is_held(words, key));
        if !held.is_empty() {
            self.note_mentions(tx, words, held, person).await?;
        }
        self.rewrite(tx, words, keys, |id| by_row.get(id).unwrap_or(&whole), true).await
    }

    /// Rule 4 c and d: addresses, wherever they stand. In shared rows with one `whole` goes, where it is given.
    async fn redact_account(&mut self, tx: &mut Tx, whole: Option<&Identifiers>) -> Result<(), StoreError> {
        if self.addresses.is_empty() {
            return Ok(());
        }
        for words in &WORDS {
            let addresses = self.addresses.clone();
            let mut after = None;
            loop {
                let (rows, last) = page(tx, self.account_id, words, after).await?;
                let mut keys = self.keys_with_addresses(words, &rows)?;
                let held: Vec<JsonRow> = keys.extract_if(.., |key| self.is_held(words, key)).collect();
                self.done.found.extend(held.iter().filter_map(|key| words.found(key)));
                if let (Some(person), Reach::Shared(_)) = (whole, words.reach)
                    && !held.is_empty()
                {
                    self.note_mentions(tx, words, held, person).await?;
                }
                match (words.reach, whole) {
                    (Reach::Reported, _) => {
                        self.done.found.extend(keys.iter().filter_map(|key| words.found(key)));
                    }
                    (Reach::Shared(links), Some(person)) => {
                        let ids = keys.iter().filter_map(|key| key.get(words.id[0])?.as_i64()).collect();
                        self.redact_shared(tx, words, links, ids, person).await?;
                    }
                    _ => self.rewrite(tx, words, keys, |_| &addresses, false).await?,
                }
                match last {
                    Some(last) => after = Some(last),
                    None => break,
                }
            }
        }
        for key_words in &KEY_WORDS {
            self.redact_key(tx, key_words).await?;
        }
        Ok(())
    }

    /// The keys of those rows that have an address.
    fn keys_with_addresses(&self, words: &Words, rows: &[Row]) -> Result<Vec<JsonRow>, StoreError> {
        let mut keys = Vec::new();
        for row in rows {
            let has = |(content, text): &(Content, String)| content.redact(&self.addresses, text).is_some();
            if words.texts_of(row)?.iter().any(has) {
                keys.push(words.key_of(row)?);
            }
        }
        Ok(keys)
    }

    /// Locks rows, by their keys, and writes back what is redacted in them; with `headers`, those of e-mails too (row 10).
    async fn rewrite<'a>(
        &mut self,
        tx: &mut Tx,
        words: &'static Words,
        keys: Vec<JsonRow>,
        redactor: impl Fn(&str) -> &'a Redactor,
        headers: bool,
    ) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut lists: Vec<Vec<Value>> = vec![Vec::new(); words.key.len()];
        let mut texts: Vec<Vec<String>> = vec![Vec::new(); words.columns.len()];
        for row in words.lock(tx, keys).await? {
            let key = words.key_of(&row)?;
            let id = words.id_of(&key).join(":");
            let (mut places, mut clean) = (0, Vec::new());
            for (content, text) in words.texts_of(&row)? {
                let mut text = text;
                if headers && words.table == ACTIVITIES.table {
                    let (redacted, count) = redact_headers(text);
                    (text, places) = (redacted, places + count);
                }
                if let Some((redacted, count)) = content.redact(redactor(&id), &text) {
                    (text, places) = (redacted, places + count);
                }
                clean.push(text);
            }
            if places == 0 {
                continue;
            }
            self.done.changed.push(Changed {
                kind: words.kind_of(&key),
                id: (!id.is_empty()).then_some(id),
                redact: places,
                category: words.category_of(&row)?.title(),
            });
            let values = words.key.iter().map(|(column, _)| key.get(*column).cloned().unwrap_or_default());
            lists.iter_mut().zip(values).for_each(|(list, value)| list.push(value));
            texts.iter_mut().zip(clean).for_each(|(list, text)| list.push(text));
        }
        words.write(tx, lists, texts).await
    }

    /// A text that is part of a key changes wherever it stands but in rows of held contacts. Where the new key is there already, a
    /// record gets a number behind it, and of names and counts one stays.
    async fn redact_key(&mut self, tx: &mut Tx, words: &KeyWords) -> Result<(), StoreError> {
        let KeyWords { table, column, .. } = words;
        let held = words.held();
        for old in key_texts(tx, self.account_id, words).await? {
            let Some((new, places)) = self.addresses.redact(&old, Style::Prose) else { continue };
            for row in tx.rows(&words.held_rows(), args![self.account_id, old.as_str()]).await? {
                self.done.found.insert(Found { kind: words.kind.to_owned(), id: row.text("id")? });
            }
            let same = words.rest.iter().map(|column| format!(" AND o.{column} = {table}.{column}"));
            let update = format!(
                "UPDATE {table} SET {column} = $3 WHERE account_id = $1 AND {column} = $2 AND NOT ({held}) AND NOT EXISTS \
                 (SELECT 1 FROM {table} o WHERE o.account_id = $1 AND o.{column} = $3{})",
                same.collect::<String>()
            );
            if words.table == "deleted_form_submissions" {
                let add = format!(
                    "UPDATE {table} SET submissions = submissions + (SELECT o.submissions FROM {table} o \
                     WHERE o.account_id = $1 AND o.{column} = $2) WHERE account_id = $1 AND {column} = $3"
                );
                tx.execute(&add, args![self.account_id, old.as_str(), new.as_str()]).await?;
            }
            let mut rows = tx.execute(&update, args![self.account_id, old.as_str(), new.as_str()]).await?;
            if words.tells_records {
                let left = format!(
                    "SELECT 1 AS one FROM {table} WHERE account_id = $1 AND {column} = $2 AND NOT ({held}) LIMIT 1"
                );
                let mut number = 2;
                while tx.row(&left, args![self.account_id, old.as_str()]).await?.is_some() {
                    let numbered = format!("{new} {number}");
                    rows += tx.execute(&update, args![self.account_id, old.as_str(), numbered]).await?;
                    number += 1;
                }
            } else {
                let delete =
                    format!("DELETE FROM {table} WHERE account_id = $1 AND {column} = $2 AND NOT ({held})");
                rows += tx.execute(&delete, args![self.account_id, old]).await?;
            }
            let changed = Changed {
                kind: words.kind.to_owned(),
                id: None,
                redact: places,
                category: words.category.title(),
            };
            self.done.changed.extend((0..rows).map(|_| changed.clone()));
        }
        Ok(())
    }
}

/// Row 10: the header of an e-mail, and what was derived from it, tells who wrote to whom. The properties without them, and how
/// many there were; an activity without any is no e-mail, and stays as it is.
fn redact_headers(properties: String) -> (String, u64) {
    match serde_json::from_str(&properties) {
        Ok(mut value) => match redact_header_values(&mut value) {
            0 => (properties, 0),
            count => (value.to_string(), count),
        },
        Err(_) => (properties, 0),
    }
}

/// Redacts the headers of an e-mail among its properties; how many.
pub(in crate::store) fn redact_header_values(properties: &mut Value) -> u64 {
    const DERIVED: [&str; 5] =
        ["hs_email_from_", "hs_email_to_", "hs_email_cc_", "hs_email_bcc_", "hs_email_sender_"];
    let Some(properties) = properties.as_object_mut() else { return 0 };
    let mut count = 0;
    for (name, value) in properties.iter_mut() {
        let clean = match name.as_str() {
            "hs_email_headers" => "GDPR_DELETED",
            derived if DERIVED.iter().any(|prefix| derived.starts_with(prefix)) => REDACTED,
            _ => continue,
        };
        if value != clean {
            *value = clean.into();
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_headers_and_derived_fields_are_redacted() {
        let mut email = json!({"hs_email_headers": "{\"from\":\"x\"}", "hs_email_to_email": "a@b.example",
            "hs_email_from_firstname": "Ada", "hs_email_subject": "Spring", "hs_email_topic": "to"});
        assert_eq!(redact_header_values(&mut email), 3);
        assert_eq!(
            email,
            json!({"hs_email_headers": "GDPR_DELETED", "hs_email_to_email": "[redacted]",
                "hs_email_from_firstname": "[redacted]", "hs_email_subject": "Spring", "hs_email_topic": "to"})
        );
        assert_eq!(redact_header_values(&mut email), 0);
        assert_eq!(redact_header_values(&mut json!({"hs_note_body": "hs_email_to_"})), 0);
    }
}
