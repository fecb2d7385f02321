//! From contacts and criteria to what can be evaluated: whatever criteria ask about a contact beyond its own row, loaded
//! for many contacts at once. Enrollments and deletes by a filter both come this way.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::db::{Tx, args};
use super::{CONTACT, StoreError, id_batch};
use crate::domain::criteria::{Criteria, Segments, Subject};
use crate::domain::record::{Column, ColumnType};

const SEGMENT: [Column; 2] = [("account_id", ColumnType::Int), ("segment_id", ColumnType::Int)];

/// An account and a contact.
type Key = (i64, i64);

/// What criteria may ask about these contacts.
#[derive(Debug)]
pub struct Subjects {
    segments: HashMap<Key, Segments>,
    nothing: Segments,
}

impl Subjects {
    /// Loads what these criteria, each of an account, ask about these contacts; nothing where they ask nothing.
    pub async fn load(
        tx: &mut Tx,
        criteria: &[(i64, &Criteria)],
        contacts: &BTreeSet<Key>,
    ) -> Result<Self, StoreError> {
        let segments = load_segments(tx, criteria, contacts).await?;
        Ok(Self { segments, nothing: Segments::default() })
    }

    /// A contact with these properties, ready to be evaluated.
    pub fn subject<'a>(&'a self, contact: Key, properties: &'a HashMap<String, String>) -> Subject<'a> {
        Subject { properties, segments: self.segments(contact) }
    }

    /// The segments that were asked about, as they stand to a contact.
    pub fn segments(&self, contact: Key) -> &Segments {
        self.segments.get(&contact).unwrap_or(&self.nothing)
    }
}

async fn load_segments(
    tx: &mut Tx,
    criteria: &[(i64, &Criteria)],
    contacts: &BTreeSet<Key>,
) -> Result<HashMap<Key, Segments>, StoreError> {
    let mut asked: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for (account_id, criteria) in criteria {
        criteria.segments(asked.entry(*account_id).or_default());
    }
    asked.retain(|_, segments| !segments.is_empty());
    let mut found: HashMap<Key, Segments> = HashMap::new();
    if asked.is_empty() {
        return Ok(found);
    }
    let pairs =
        asked.iter().flat_map(|(account, segments)| segments.iter().map(|segment| [*account, *segment]));
    let sql = format!(
        "SELECT s.account_id, s.segment_id FROM {} JOIN segments s \
         ON s.account_id = b.account_id AND s.segment_id = b.segment_id",
        tx.dialect().batch(1, &SEGMENT)
    );
    let mut known: HashMap<i64, BTreeSet<i64>> = HashMap::new();
    for row in tx.rows(&sql, args![id_batch(&SEGMENT, pairs)]).await? {
        known.entry(row.int("account_id")?).or_default().insert(row.int("segment_id")?);
    }
    let concerned = contacts.iter().filter(|(account_id, _)| asked.contains_key(account_id));
    for (account_id, contact_id) in concerned.clone() {
        let known = known.get(account_id).cloned().unwrap_or_default();
        found.insert((*account_id, *contact_id), Segments { known, joined: BTreeSet::new() });
    }
    let sql = format!(
        "SELECT m.account_id, m.contact_id, m.segment_id FROM {} JOIN segment_members m \
         ON m.account_id = b.account_id AND m.contact_id = b.contact_id",
        tx.dialect().batch(1, &CONTACT)
    );
    let batch = id_batch(&CONTACT, concerned.map(|(account_id, contact_id)| [*account_id, *contact_id]));
    for row in tx.rows(&sql, args![batch]).await? {
        if let Some(segments) = found.get_mut(&(row.int("account_id")?, row.int("contact_id")?)) {
            segments.joined.insert(row.int("segment_id")?);
        }
    }
    Ok(found)
}
