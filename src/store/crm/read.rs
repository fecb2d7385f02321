//! Records by id, by address, and page by page.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::find::Table;
use crate::domain::address::address_key;
use crate::domain::identifiers::additional_emails;
use crate::domain::object_type::{CONTACT, is_activity};
use crate::domain::properties::{TIMESTAMP, last_modified};
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::{Time, format_millis, parse_time};
use crate::store::contacts::contact_batch;
use crate::store::db::Tx;
use crate::store::db::batch::{CONTACT as CONTACT_IDS, List, Lists};
use crate::store::db::values::{Arg, Row, args};
use crate::store::{Store, StoreError, read_transaction};

/// A record, live or in the trash.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    pub id: i64,
    /// Those that have a value, and what the vendor serves from the record itself.
    pub properties: BTreeMap<String, String>,
    /// Of each property its values, the newest first; empty unless they were asked for.
    pub history: BTreeMap<String, Vec<StoredVersion>>,
    /// `None`: no import said so.
    pub created_at: Option<Time>,
    /// The last of creation, update and restore.
    pub updated_at: Option<Time>,
    /// Since when it is in the trash.
    pub archived_at: Option<Time>,
}

/// A value that a property has or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    pub value: String,
    /// Since when.
    pub at: Time,
    /// `IMPORT` or `INTEGRATION`.
    pub source_type: &'static str,
    /// The token of the program.
    pub source_id: Option<String>,
}

/// By what a record is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordRef {
    Id(i64),
    /// One of the addresses of a contact.
    Email(String),
}

/// Records in the order of their ids.
#[derive(Clone, Copy, Debug)]
pub struct PageRequest {
    /// Only above this id; 0: from the first.
    pub after: i64,
    pub limit: i64,
    /// Those in the trash, in place of the live ones.
    pub is_archived: bool,
    pub with_history: bool,
}

impl Store {
    /// Records of a type, page by page.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn record_page(
        &self,
        account_id: i64,
        object_type: &str,
        page: PageRequest,
    ) -> Result<Vec<StoredRecord>, StoreError> {
        read_transaction!(self, tx => self::page(tx, account_id, object_type, page))
    }

    /// These records, live ones or those in the trash, in the order asked; `None` where one is not there.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn records_by(
        &self,
        account_id: i64,
        object_type: &str,
        named: &[RecordRef],
        is_archived: bool,
        with_history: bool,
    ) -> Result<Vec<Option<StoredRecord>>, StoreError> {
        read_transaction!(self, tx => by_ref(tx, account_id, object_type, named, is_archived, with_history))
    }
}

async fn page(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    page: PageRequest,
) -> Result<Vec<StoredRecord>, StoreError> {
    let PageRequest { after, limit, is_archived, with_history } = page;
    let table = Table::of(object_type);
    let id = table.id();
    let condition = if is_archived {
        format!("{id} IN ({} LIMIT $4) AND r.deleted_at IS NOT NULL", table.archived_ids())
    } else {
        format!("{id} > $3 AND r.deleted_at IS NULL")
    };
    let condition = format!("{condition} ORDER BY {id} LIMIT $4");
    let args = args![account_id, object_type, after, limit];
    select(tx, account_id, object_type, &condition, args, with_history).await
}

async fn by_ref(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    named: &[RecordRef],
    is_archived: bool,
    with_history: bool,
) -> Result<Vec<Option<StoredRecord>>, StoreError> {
    let by_address = ids_of(tx, account_id, named, is_archived).await?;
    let id_of = |record: &RecordRef| match record {
        RecordRef::Id(id) => Some(*id),
        RecordRef::Email(email) => by_address.get(&address_key(email)).copied(),
    };
    let ids: BTreeSet<i64> = named.iter().filter_map(id_of).collect();
    let found = by_ids(tx, account_id, object_type, &ids, is_archived, with_history).await?;
    Ok(named.iter().map(|record| found.get(&id_of(record)?).cloned()).collect())
}

const KEY: [Column; 1] = [("email_key", ColumnType::Text)];

/// The contacts of addresses, by the key of each.
pub(super) async fn ids_of(
    tx: &mut Tx,
    account_id: i64,
    named: &[RecordRef],
    is_archived: bool,
) -> Result<HashMap<String, i64>, StoreError> {
    let keys = named.iter().filter_map(|record| match record {
        RecordRef::Email(email) => Some(address_key(email)),
        RecordRef::Id(_) => None,
    });
    let keys: BTreeSet<String> = keys.collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let is_there = if is_archived { "c.deleted_at IS NOT NULL" } else { "e.live AND c.deleted_at IS NULL" };
    // Several in the trash may have had an address: the last of them.
    let sql = format!(
        "SELECT e.email_key, max(e.contact_id) AS contact_id FROM {} CROSS JOIN contact_emails e CROSS JOIN contacts c \
         WHERE e.account_id = $1 AND e.email_key = b.email_key AND e.exclusive AND c.account_id = e.account_id \
         AND c.contact_id = e.contact_id AND {is_there} GROUP BY e.email_key",
        tx.dialect().lists(2, &KEY)
    );
    let keys = Lists::new([List::texts(keys)]);
    let rows = tx.rows(&sql, args![account_id, keys]).await?;
    rows.iter().map(|row| Ok((row.text("email_key")?, row.int("contact_id")?))).collect()
}

/// Records by id.
pub(super) async fn by_ids(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    ids: &BTreeSet<i64>,
    is_archived: bool,
    with_history: bool,
) -> Result<HashMap<i64, StoredRecord>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let is_there = if is_archived { "IS NOT NULL" } else { "IS NULL" };
    let condition = format!(
        "{} IN (SELECT b.id FROM {}) AND r.deleted_at {is_there}",
        Table::of(object_type).id(),
        tx.dialect().ids(3, &["id"])
    );
    let args = args![account_id, object_type, Lists::ids(ids.iter().map(|id| [*id]))];
    let found = select(tx, account_id, object_type, &condition, args, with_history).await?;
    Ok(found.into_iter().map(|record| (record.id, record)).collect())
}

/// The records that meet a condition on their rows `r`, for which `args` begin with the account and the type.
pub(super) async fn select(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    condition: &str,
    args: &[Arg],
    with_history: bool,
) -> Result<Vec<StoredRecord>, StoreError> {
    let table = Table::of(object_type);
    let sql = format!(
        "SELECT {} AS id, CAST(r.properties AS text) AS properties, {} AS history, {} AS created_at, {} AS updated_at, \
         {} AS restored_at, r.deleted_at FROM {} AND {condition}",
        table.id(),
        if with_history { table.history() } else { "CAST(NULL AS text)" },
        table.created_at(),
        "r.updated_at",
        table.restored_at(),
        table.rows("$2"),
    );
    let rows = tx.rows(&sql, args).await?;
    let mut records = rows.iter().map(|row| record(row, object_type)).collect::<Result<Vec<_>, _>>()?;
    if object_type == CONTACT {
        add_addresses(tx, account_id, &mut records).await?;
    }
    Ok(records)
}

/// A version in the column of former values.
#[derive(Deserialize)]
struct Version {
    value: String,
    timestamp: String,
    source: Option<String>,
    #[serde(rename = "sourceId")]
    source_id: Option<String>,
}

fn record(row: &Row, object_type: &str) -> Result<StoredRecord, StoreError> {
    let id = row.int("id")?;
    let mut properties: BTreeMap<String, String> = row.json("properties")?;
    properties.retain(|_, value| !value.is_empty());
    let created_at = row.optional_time("created_at")?;
    let updated_at = created_at.max(row.optional_time("updated_at")?).max(row.optional_time("restored_at")?);
    let created = if object_type == CONTACT { &["createdate"][..] } else { &["createdate", "hs_createdate"] };
    let times =
        created.iter().map(|name| (*name, created_at)).chain([(last_modified(object_type), updated_at)]);
    properties.extend(times.filter_map(|(name, at)| Some((name.to_owned(), format_millis(at?)))));
    properties.insert("hs_object_id".to_owned(), id.to_string());
    if let Some(at) = created_at.filter(|_| is_activity(object_type)) {
        properties.entry(TIMESTAMP.to_owned()).or_insert_with(|| format_millis(at));
    }
    let mut history = BTreeMap::new();
    if let Some(kept) = row.optional_json::<BTreeMap<String, Vec<Version>>>("history")? {
        history = kept.into_iter().map(|(name, kept)| (name, versions(kept))).collect();
        for (name, value) in &properties {
            let versions: &mut Vec<StoredVersion> = history.entry(name.clone()).or_default();
            // Of a value that nothing says since when it applies, the creation is the earliest.
            if versions.first().is_none_or(|last| last.value != *value) {
                let at = if versions.is_empty() { created_at } else { updated_at };
                let at = at.unwrap_or_default();
                versions.insert(
                    0,
                    StoredVersion { value: value.clone(), at, source_type: IMPORT, source_id: None },
                );
            }
        }
    }
    Ok(StoredRecord {
        id,
        properties,
        history,
        created_at,
        updated_at,
        archived_at: row.optional_time("deleted_at")?,
    })
}

const IMPORT: &str = "IMPORT";

/// The newest first.
fn versions(kept: Vec<Version>) -> Vec<StoredVersion> {
    let version = |version: Version| {
        let is_of_program = version.source.as_deref() == Some("integration");
        Some(StoredVersion {
            at: parse_time(&version.timestamp)?,
            value: version.value,
            source_type: if is_of_program { "INTEGRATION" } else { IMPORT },
            source_id: version.source_id,
        })
    };
    let mut versions: Vec<StoredVersion> = kept.into_iter().filter_map(version).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(version.at));
    versions
}

/// The addresses of contacts that do not stand in a property.
async fn add_addresses(
    tx: &mut Tx,
    account_id: i64,
    contacts: &mut [StoredRecord],
) -> Result<(), StoreError> {
    let ids: Vec<i64> = contacts.iter().map(|contact| contact.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT e.contact_id, e.email_key, e.email FROM {} JOIN contact_emails e \
         ON e.account_id = b.account_id AND e.contact_id = b.contact_id",
        tx.dialect().ids(1, &CONTACT_IDS)
    );
    let mut emails: HashMap<i64, Vec<(String, String)>> = HashMap::new();
    for row in tx.rows(&sql, args![contact_batch(account_id, &ids)]).await? {
        let email = (row.text("email_key")?, row.text("email")?);
        emails.entry(row.int("contact_id")?).or_default().push(email);
    }
    for contact in contacts {
        let own = emails.get(&contact.id).map_or(&[][..], Vec::as_slice);
        let own = own.iter().map(|(key, email)| (key.as_str(), email.as_str()));
        let primary = contact.properties.get("email").map(String::as_str);
        if let Some(additional) = additional_emails(primary, own) {
            contact.properties.insert("hs_additional_emails".to_owned(), additional);
        }
    }
    Ok(())
}
