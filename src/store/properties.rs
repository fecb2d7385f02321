//! Properties that conditions ask for and a contact does not have among its own: those that the vendor serves from the
//! record, and which of the others the account knows at all. Nothing is looked up where contacts have what is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;

use super::StoreError;
use super::batch::{ACCOUNT, CONTACT, Lists, batch_row, batch_text};
use super::db::Tx;
use super::values::args;
use crate::domain::address::address_key;
use crate::domain::criteria::subject::{Asks, Past, Record, Surroundings};
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::{Time, format_time};

const PROPERTY: [Column; 2] = [("account_id", ColumnType::Int), ("name", ColumnType::Text)];

type Key = (i64, i64);

/// A property that stands elsewhere in the store than among those of the contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served<'a> {
    CreateDate,
    LastModifiedDate,
    ObjectId,
    AdditionalEmails,
    /// When the contact came to a stage, as far as transitions are kept.
    StageDate(&'a str),
}

impl<'a> Served<'a> {
    fn of(name: &'a str) -> Option<Self> {
        let stage = || name.strip_prefix("hs_lifecyclestage_")?.strip_suffix("_date");
        match name {
            "createdate" => Some(Self::CreateDate),
            "lastmodifieddate" => Some(Self::LastModifiedDate),
            "hs_object_id" => Some(Self::ObjectId),
            "hs_additional_emails" => Some(Self::AdditionalEmails),
            _ => stage().map(Self::StageDate),
        }
    }
}

/// A contact and its record, to be completed.
pub type Completed<'a> = (Key, &'a mut Record);

/// Adds to the records what is asked of them and stands elsewhere, and to what surrounds them which of the names asked for
/// their account does not know.
pub async fn complete(
    tx: &mut Tx,
    asked: &BTreeMap<i64, Asks>,
    records: &mut [Completed<'_>],
    found: &mut HashMap<Key, Surroundings>,
) -> Result<(), StoreError> {
    let (mut served, mut unheard_of) = (Vec::new(), BTreeSet::new());
    for (index, ((account_id, _), record)) in records.iter().enumerate() {
        for name in asked.get(account_id).into_iter().flat_map(|asks| &asks.properties) {
            match Served::of(name) {
                Some(property) if record.value(name).is_none() => served.push((index, name, property)),
                None if !record.properties.contains_key(name) => {
                    unheard_of.insert((*account_id, name));
                }
                _ => {}
            }
        }
    }
    if !served.is_empty() {
        let source = Sources::load(tx, records, &served).await?;
        for (index, name, property) in served {
            let (key, record) = &mut records[index];
            match source.value(property, *key, record) {
                Some((value, at)) => {
                    record
                        .history
                        .entry(name.clone())
                        .or_default()
                        .extend(at.map(|at| Past { value: value.clone(), at }));
                    record.properties.insert(name.clone(), value);
                }
                None if source.keeps(property, *key) => {}
                None => drop(unheard_of.insert((key.0, name))),
            }
        }
    }
    if unheard_of.is_empty() {
        return Ok(());
    }
    let row =
        |(account_id, name): &(i64, &String)| batch_row(json!({"account_id": account_id, "name": name}));
    let sql = format!(
        "SELECT b.account_id, b.name FROM {} WHERE NOT EXISTS (SELECT 1 FROM contact_properties p \
         WHERE p.account_id = b.account_id AND p.name = b.name)",
        tx.dialect().batch(1, &PROPERTY)
    );
    let mut unknown: HashMap<i64, BTreeSet<String>> = HashMap::new();
    for row in tx.rows(&sql, args![batch_text(unheard_of.iter().map(row))]).await? {
        unknown.entry(row.int("account_id")?).or_default().insert(row.text("name")?);
    }
    for ((account_id, _), around) in found.iter_mut() {
        if let Some(names) = unknown.get(account_id) {
            around.unknown_properties.clone_from(names);
        }
    }
    Ok(())
}

/// What properties are served from.
#[derive(Default)]
struct Sources {
    /// The last change of each contact.
    changed: HashMap<Key, Time>,
    emails: HashMap<Key, Vec<(String, String)>>,
    /// When each contact came to each stage, the last time.
    stages: HashMap<Key, HashMap<String, Time>>,
    /// The accounts of which transitions are kept.
    with_stages: BTreeSet<i64>,
}

impl Sources {
    async fn load(
        tx: &mut Tx,
        records: &[Completed<'_>],
        served: &[(usize, &String, Served<'_>)],
    ) -> Result<Self, StoreError> {
        let those = |is: fn(Served<'_>) -> bool| -> BTreeSet<Key> {
            let those = served.iter().filter(|(_, _, property)| is(*property));
            those.map(|(index, ..)| records[*index].0).collect()
        };
        let ids = |keys: &BTreeSet<Key>| {
            Lists::ids(keys.iter().map(|(account_id, contact_id)| [*account_id, *contact_id]))
        };
        let mut sources = Self::default();
        let contacts = tx.dialect().ids(1, &CONTACT);
        let changed = those(|property| property == Served::LastModifiedDate);
        if !changed.is_empty() {
            let sql = format!(
                "SELECT c.account_id, c.contact_id, c.created_at, c.updated_at, c.restored_at FROM {contacts} \
                 JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id"
            );
            for row in tx.rows(&sql, args![ids(&changed)]).await? {
                let times = [
                    Some(row.time("created_at")?),
                    row.optional_time("updated_at")?,
                    row.optional_time("restored_at")?,
                ];
                if let Some(last) = times.into_iter().flatten().max() {
                    sources.changed.insert((row.int("account_id")?, row.int("contact_id")?), last);
                }
            }
        }
        let emails = those(|property| property == Served::AdditionalEmails);
        if !emails.is_empty() {
            let sql = format!(
                "SELECT e.account_id, e.contact_id, e.email_key, e.email FROM {contacts} JOIN contact_emails e \
                 ON e.account_id = b.account_id AND e.contact_id = b.contact_id \
                 ORDER BY e.account_id, e.contact_id, e.email_key"
            );
            for row in tx.rows(&sql, args![ids(&emails)]).await? {
                let of_contact = sources.emails.entry((row.int("account_id")?, row.int("contact_id")?));
                of_contact.or_default().push((row.text("email_key")?, row.text("email")?));
            }
        }
        let staged = those(|property| matches!(property, Served::StageDate(_)));
        if !staged.is_empty() {
            let sql = format!(
                "SELECT t.account_id, t.contact_id, t.stage, t.at FROM {contacts} JOIN lifecycle_transitions t \
                 ON t.account_id = b.account_id AND t.contact_id = b.contact_id ORDER BY t.at"
            );
            for row in tx.rows(&sql, args![ids(&staged)]).await? {
                let of_contact = sources.stages.entry((row.int("account_id")?, row.int("contact_id")?));
                of_contact.or_default().insert(row.text("stage")?, row.time("at")?);
            }
            let accounts: BTreeSet<i64> = staged.iter().map(|(account_id, _)| *account_id).collect();
            let sql = format!(
                "SELECT b.account_id FROM {} WHERE EXISTS \
                 (SELECT 1 FROM lifecycle_transitions t WHERE t.account_id = b.account_id)",
                tx.dialect().ids(1, &ACCOUNT)
            );
            for row in tx.rows(&sql, args![Lists::ids(accounts.iter().map(|id| [*id]))]).await? {
                sources.with_stages.insert(row.int("account_id")?);
            }
        }
        Ok(sources)
    }

    /// The value, and since when the contact has it where that is known.
    fn value(&self, property: Served<'_>, key: Key, record: &Record) -> Option<(String, Option<Time>)> {
        let since = |at: Time| (format_time(at), Some(at));
        match property {
            Served::CreateDate => record.created_at.map(since),
            Served::LastModifiedDate => self.changed.get(&key).copied().map(since),
            Served::ObjectId => Some((key.1.to_string(), None)),
            Served::AdditionalEmails => {
                let primary = record.value("email").map(address_key);
                let all = self.emails.get(&key).map_or(&[][..], Vec::as_slice);
                let others = all.iter().filter(|(key, _)| Some(key) != primary.as_ref());
                let others: Vec<&str> = others.map(|(_, email)| email.as_str()).collect();
                (!others.is_empty()).then(|| (others.join(";"), None))
            }
            Served::StageDate(stage) => self.stages.get(&key)?.get(stage).copied().map(since),
        }
    }

    /// Would the store have the value if there were one?
    fn keeps(&self, property: Served<'_>, key: Key) -> bool {
        match property {
            Served::StageDate(_) => self.with_stages.contains(&key.0),
            Served::CreateDate | Served::LastModifiedDate | Served::ObjectId | Served::AdditionalEmails => {
                true
            }
        }
    }
}

/// Keeps in mind that an account has properties of these names.
pub async fn learn(tx: &mut Tx, names: &BTreeSet<(i64, &str)>) -> Result<(), StoreError> {
    let row = |(account_id, name): &(i64, &str)| batch_row(json!({"account_id": account_id, "name": name}));
    let sql = format!(
        "INSERT INTO contact_properties (account_id, name) SELECT b.account_id, b.name FROM {} \
         WHERE NOT EXISTS (SELECT 1 FROM contact_properties p \
         WHERE p.account_id = b.account_id AND p.name = b.name) ON CONFLICT DO NOTHING",
        tx.dialect().batch(1, &PROPERTY)
    );
    tx.execute(&sql, args![batch_text(names.iter().map(row))]).await?;
    Ok(())
}
