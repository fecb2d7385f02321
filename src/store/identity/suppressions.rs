//! Bounces, spam reports, unsubscribes and quarantines of addresses whose people are gone: kept as keyed hashes, in
//! force again when the address comes back. Suppression outlives the person.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;

use super::identifiers::{CONTACTS, holders};
use crate::domain::identifiers::Identifiers;
use crate::domain::journal::Suppression;
use crate::domain::record::{Column, ColumnType};
use crate::domain::redaction::{self, Redactor, Style, addresses_in};
use crate::domain::suppression::{AddressHash, ERASED, HashKeys, MARKS, PURGED};
use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::access::random;
use crate::store::db::Tx;
use crate::store::db::batch::{List, Lists, batch_row, batch_text};
use crate::store::db::dialect::names;
use crate::store::db::pool::HashKeySource;
use crate::store::db::values::args;

const HASH: [Column; 6] = [
    ("account_id", ColumnType::Int),
    ("hash", ColumnType::Text),
    ("status", ColumnType::Text),
    ("key_id", ColumnType::Text),
    ("at", ColumnType::Time),
    ("subscription_id", ColumnType::Text),
];
const ADDRESS: [Column; 2] = [("account_id", ColumnType::Int), ("email_key", ColumnType::Text)];
const LOOKUP: [Column; 3] =
    [("account_id", ColumnType::Int), ("hash", ColumnType::Text), ("email_key", ColumnType::Text)];

/// The keys in force, every one among them that hashes were made with; makes one where that is this home's way and no
/// hash was made yet.
pub async fn keys(tx: &mut Tx, home: &HashKeySource) -> Result<HashKeys, StoreError> {
    // In this order: whoever made the first key just now committed it together with what tells it.
    let used = used_keys(tx).await?;
    let keys = match (keys_at(tx, home, &used).await?, home) {
        (Some(keys), _) => keys,
        (None, HashKeySource::File(path)) => return Err(unusable(path, "it does not exist")),
        (None, HashKeySource::Beside(path)) => parse(home, &make(path)?)?,
        (None, HashKeySource::Database) => parse(home, &insert_database_key(tx).await?)?,
    };
    for key in keys.iter().filter(|key| !used.iter().any(|(id, _)| *id == key.id)) {
        tx.execute(
            "INSERT INTO hash_key_checks (key_id, key_check) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            args![key.id.as_str(), key.check()],
        )
        .await?;
    }
    Ok(keys)
}

/// The keys that hashes were made with, each with what tells it.
async fn used_keys(tx: &mut Tx) -> Result<Vec<(String, String)>, StoreError> {
    let rows = tx.rows("SELECT key_id, key_check FROM hash_key_checks ORDER BY key_id", &[]).await?;
    rows.iter().map(|row| Ok((row.text("key_id")?, row.text("key_check")?))).collect()
}

/// Without a key that hashes were made with, an erased address that comes back would not be recognised.
fn ensure_all_keys_present(
    home: &HashKeySource,
    existing: Option<&HashKeys>,
    used: &[(String, String)],
) -> Result<(), StoreError> {
    let has = |(id, check): &&(String, String)| {
        existing.into_iter().flat_map(HashKeys::iter).any(|key| key.id == *id && key.check() == *check)
    };
    let Some((missing, _)) = used.iter().find(|used| !has(used)) else { return Ok(()) };
    let place = match home {
        HashKeySource::File(path) | HashKeySource::Beside(path) => {
            format!("the hash key file {}", path.display())
        }
        HashKeySource::Database => "the table hash_keys".to_owned(),
    };
    Err(StoreError::Refused(format!(
        "erased addresses of this store were hashed with the key {missing}, which {place} does not have: put that key \
         back: without it nobody knows who was erased, and addresses that unsubscribed would be mailed again"
    )))
}

/// The keys in force, where there are any yet; makes none. Without one that was used what is asked by a hash is not known.
pub async fn existing_keys(tx: &mut Tx, home: &HashKeySource) -> Result<Option<HashKeys>, StoreError> {
    let used = used_keys(tx).await?;
    keys_at(tx, home, &used).await
}

async fn keys_at(
    tx: &mut Tx,
    home: &HashKeySource,
    used: &[(String, String)],
) -> Result<Option<HashKeys>, StoreError> {
    let text = match home {
        HashKeySource::File(path) | HashKeySource::Beside(path) => read(path)?,
        HashKeySource::Database => Some(load_database_key(tx).await?).filter(|text| !text.is_empty()),
    };
    let keys = text.map(|text| parse(home, &text)).transpose()?;
    ensure_all_keys_present(home, keys.as_ref(), used)?;
    Ok(keys)
}

fn parse(home: &HashKeySource, text: &str) -> Result<HashKeys, StoreError> {
    HashKeys::parse(text).map_err(|problem| match home {
        HashKeySource::File(path) | HashKeySource::Beside(path) => unusable(path, &problem),
        HashKeySource::Database => {
            StoreError::Refused(format!("the table hash_keys cannot be used: {problem}"))
        }
    })
}

fn unusable(path: &Path, problem: &str) -> StoreError {
    StoreError::Refused(format!("the hash key file {} cannot be used: {problem}", path.display()))
}

fn read(path: &Path) -> Result<Option<String>, StoreError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

fn fresh_key() -> Result<String, StoreError> {
    Ok(HashKeys::render("k1", &random::random_bytes::<32>()?))
}

/// Makes the file, unless another process has by now.
fn make(path: &Path) -> Result<String, StoreError> {
    let key = fresh_key()?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match file.and_then(|mut file| file.write_all(key.as_bytes()).and_then(|()| file.sync_all())) {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| unusable(path, "it vanished"))
        }
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

async fn load_database_key(tx: &mut Tx) -> Result<String, StoreError> {
    let rows = tx.rows("SELECT key_line FROM hash_keys ORDER BY key_id DESC", &[]).await?;
    rows.iter().map(|row| row.text("key_line")).collect()
}

async fn insert_database_key(tx: &mut Tx) -> Result<String, StoreError> {
    let key = fresh_key()?;
    tx.execute(
        "INSERT INTO hash_keys (key_id, key_line) VALUES ('k1', $1) ON CONFLICT DO NOTHING",
        args![key.as_str()],
    )
    .await?;
    tracing::warn!(
        "a key for the hashes of erased addresses was made in the database, beside the hashes; \
         set privacy.hash_key_file to keep it elsewhere"
    );
    // Another process may have been first.
    load_database_key(tx).await
}

/// Turns what is kept by these addresses into hashes, and marks the addresses as erased or purged; how many rows that were.
pub async fn hash(
    tx: &mut Tx,
    keys: &HashKeys,
    account_id: i64,
    addresses: &[String],
    mark: &'static str,
    at: Time,
) -> Result<u64, StoreError> {
    if addresses.is_empty() {
        return Ok(0);
    }
    let spelled: BTreeSet<String> = addresses.iter().flat_map(|address| redaction::keys(address)).collect();
    let batch = Lists::new([List::Ids(vec![account_id; spelled.len()]), List::texts(spelled)]);
    let source = tx.dialect().lists(1, &ADDRESS);
    let sql = format!(
        "SELECT d.email_key, d.status, d.at, d.subscription_id FROM {source} JOIN deliverability d \
         ON d.account_id = b.account_id AND d.email_key = b.email_key"
    );
    let mut hashes = Vec::new();
    for row in tx.rows(&sql, args![&batch]).await? {
        let (address, status) = (row.text("email_key")?, row.text("status")?);
        hashes.push((address, status, row.time("at")?, row.optional_text("subscription_id")?));
    }
    let kept = hashes.len() as u64;
    hashes.extend(addresses.iter().map(|address| (address.clone(), mark.to_owned(), at, None)));
    write(tx, keys, account_id, hashes).await?;
    let sql = format!(
        "DELETE FROM deliverability WHERE (account_id, email_key) IN (SELECT b.account_id, b.email_key FROM {source})"
    );
    tx.execute(&sql, args![batch]).await?;
    Ok(kept)
}

/// Marks addresses that other contacts still have. The mark takes effect once no contact has them.
pub async fn mark_shared(
    tx: &mut Tx,
    keys: &HashKeys,
    account_id: i64,
    addresses: &[String],
    mark: &'static str,
    at: Time,
) -> Result<(), StoreError> {
    let marks = addresses.iter().map(|address| (address.clone(), mark.to_owned(), at, None));
    write(tx, keys, account_id, marks.collect()).await
}

/// Puts an address that nobody has on the list: whoever asked for it to be forgotten wants no mail.
pub async fn suppress_unknown(
    tx: &mut Tx,
    keys: &HashKeys,
    account_id: i64,
    address: &str,
    at: Time,
) -> Result<(), StoreError> {
    hash(tx, keys, account_id, &[address.to_owned()], ERASED, at).await?;
    write(tx, keys, account_id, vec![(address.to_owned(), "unsubscribed".to_owned(), at, None)]).await
}

async fn write(
    tx: &mut Tx,
    keys: &HashKeys,
    account_id: i64,
    hashes: Vec<(String, String, Time, Option<String>)>,
) -> Result<(), StoreError> {
    let suppression = |(address, status, at, subscription_id): (String, String, Time, Option<String>)| {
        let AddressHash { key_id, hash } = keys.hash(account_id, &address);
        Suppression { account_id, hash, key_id, status, at, subscription_id }
    };
    let hashes: Vec<Suppression> = hashes.into_iter().map(suppression).collect();
    insert(tx, &hashes).await.map(drop)
}

/// Keeps hashes, as far as they are not kept yet; how many were new.
pub async fn insert(tx: &mut Tx, hashes: &[Suppression]) -> Result<u64, StoreError> {
    let texts = |of: fn(&Suppression) -> &String| List::texts(hashes.iter().map(of).cloned());
    let lists = Lists::new([
        List::Ids(hashes.iter().map(|it| it.account_id).collect()),
        texts(|it| &it.hash),
        texts(|it| &it.status),
        texts(|it| &it.key_id),
        List::Times(hashes.iter().map(|it| it.at).collect()),
        List::Texts(hashes.iter().map(|it| it.subscription_id.clone().map(Cow::Owned)).collect()),
    ]);
    let columns = names(&HASH);
    let sql = format!(
        "INSERT INTO address_hashes ({columns}) SELECT {columns} FROM {} WHERE TRUE ON CONFLICT DO NOTHING",
        tx.dialect().lists(1, &HASH)
    );
    tx.execute(&sql, args![lists]).await
}

/// Addresses that come back, with a contact that is created or imported: what was kept of them is in force again. How
/// many statuses that were.
pub async fn reactivate(
    tx: &mut Tx,
    home: &HashKeySource,
    addresses: &[(i64, String)],
) -> Result<u64, StoreError> {
    if addresses.is_empty() || tx.row("SELECT 1 AS one FROM address_hashes LIMIT 1", &[]).await?.is_none() {
        return Ok(0);
    }
    let batch = lookups(&keys(tx, home).await?, addresses);
    let sql = format!(
        "INSERT INTO deliverability (account_id, email_key, status, at, subscription_id) \
         SELECT b.account_id, b.email_key, h.status, h.at, h.subscription_id FROM {} \
         JOIN address_hashes h ON h.account_id = b.account_id AND h.hash = b.hash WHERE h.status NOT IN ('{ERASED}', '{PURGED}') \
         ON CONFLICT DO NOTHING",
        tx.dialect().batch(1, &LOOKUP)
    );
    tx.execute(&sql, args![batch]).await
}

/// What is kept of an address whose person is gone: its statuses of deliverability, and whether the person was erased.
pub async fn kept_statuses(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
    address: &str,
) -> Result<Vec<String>, StoreError> {
    let is_kept = tx.row("SELECT 1 AS one FROM address_hashes LIMIT 1", &[]).await?.is_some();
    let Some(keys) = existing_keys(tx, home).await?.filter(|_| is_kept) else { return Ok(Vec::new()) };
    let sql = format!(
        "SELECT DISTINCT h.status FROM {} JOIN address_hashes h ON h.account_id = b.account_id AND h.hash = b.hash \
         WHERE h.status <> '{PURGED}'",
        tx.dialect().batch(1, &LOOKUP)
    );
    let lookups = lookups(&keys, &[(account_id, address.to_owned())]);
    tx.rows(&sql, args![lookups]).await?.iter().map(|row| row.text("status")).collect()
}

/// Those of the addresses whose person is gone, and that no contact has now: what is told of them is kept as a hash.
pub async fn gone(
    tx: &mut Tx,
    home: &HashKeySource,
    addresses: &[(i64, String)],
) -> Result<Vec<(i64, String)>, StoreError> {
    marked(tx, home, addresses, &MARKS).await
}

/// Those of the addresses whose person was erased, and that no contact has now.
pub async fn erased(
    tx: &mut Tx,
    home: &HashKeySource,
    addresses: &[(i64, String)],
) -> Result<Vec<(i64, String)>, StoreError> {
    marked(tx, home, addresses, &[ERASED]).await
}

/// As [`erased`], by account, with the addresses of contacts that end with an erased one.
pub async fn erased_people(
    tx: &mut Tx,
    home: &HashKeySource,
    addresses: &[(i64, String)],
) -> Result<BTreeMap<i64, Identifiers>, StoreError> {
    let mut people: BTreeMap<i64, Identifiers> = BTreeMap::new();
    for (account_id, address) in erased(tx, home, addresses).await? {
        people.entry(account_id).or_default().addresses.insert(address);
    }
    if people.is_empty() {
        return Ok(people);
    }
    for ((account_id, address), _) in holders(tx, CONTACTS, addresses).await? {
        if let Some(Identifiers { addresses, longer, .. }) = people.get_mut(&account_id)
            && addresses.iter().any(|erased| address.ends_with(erased.as_str()))
        {
            longer.insert(address);
        }
    }
    Ok(people)
}

/// The addresses of erased people in texts of an account.
pub async fn erased_in(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
    texts: &[String],
) -> Result<BTreeSet<String>, StoreError> {
    let erased = erased(tx, home, &candidates(account_id, texts)).await?;
    Ok(erased.into_iter().map(|(_, address)| address).collect())
}

/// What may be an address in texts of an account.
fn candidates(account_id: i64, texts: &[String]) -> Vec<(i64, String)> {
    let addresses: BTreeSet<String> = texts.iter().flat_map(|text| addresses_in(text)).collect();
    addresses.into_iter().map(|address| (account_id, address)).collect()
}

/// A text without the addresses of erased people of an account.
pub async fn without_erased(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
    text: String,
) -> Result<String, StoreError> {
    let candidates = candidates(account_id, std::slice::from_ref(&text));
    let people = erased_people(tx, home, &candidates).await?.remove(&account_id).unwrap_or_default();
    let redactor = Redactor::new(&people);
    Ok(redactor.redact(&text, Style::Prose).map_or(text, |(clean, _)| clean))
}

/// Addresses that are hashed between two statements.
const HASHED: usize = 1000;

async fn marked(
    tx: &mut Tx,
    home: &HashKeySource,
    addresses: &[(i64, String)],
    marks: &[&str],
) -> Result<Vec<(i64, String)>, StoreError> {
    if addresses.is_empty() || tx.row("SELECT 1 AS one FROM address_hashes LIMIT 1", &[]).await?.is_none() {
        return Ok(Vec::new());
    }
    let keys = keys(tx, home).await?;
    let sql = format!(
        "SELECT DISTINCT b.account_id, b.email_key FROM {} \
         JOIN address_hashes h ON h.account_id = b.account_id AND h.hash = b.hash AND h.status IN ('{}')",
        tx.dialect().batch(1, &LOOKUP),
        marks.join("', '")
    );
    let mut marked = Vec::new();
    // A dead letter may hold ten thousand addresses, and PostgreSQL ends a session that is idle while they are hashed.
    for some in addresses.chunks(HASHED) {
        for row in tx.rows(&sql, args![lookups(&keys, some)]).await? {
            marked.push((row.int("account_id")?, row.text("email_key")?));
        }
    }
    let held: BTreeSet<(i64, String)> =
        holders(tx, CONTACTS, &marked).await?.into_iter().map(|(address, _)| address).collect();
    marked.retain(|address| !held.contains(address));
    Ok(marked)
}

fn lookups(keys: &HashKeys, addresses: &[(i64, String)]) -> String {
    let rows = addresses.iter().flat_map(|(account_id, address)| {
        let hashes = redaction::keys(address)
            .into_iter()
            .flat_map(|key| keys.hashes(*account_id, &key).map(|hash| hash.hash).collect::<Vec<_>>());
        hashes
            .map(move |hash| batch_row(json!({"account_id": account_id, "hash": hash, "email_key": address})))
    });
    batch_text(rows)
}
