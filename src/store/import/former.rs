//! What a record was before an import changed it. Of contacts the history keeps it: conditions ask what a contact ever was and
//! when it changed, and an erasure looks for every address, number and name that it ever had.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Numbered;
use super::chunk::Chunk;
use super::filter::Stored;
use crate::domain::address::address_key;
use crate::domain::record::{Action, Kind, Record, Row};
use crate::domain::time::{Time, format_time};
use crate::store::StoreError;

/// Served from a contact's addresses where no property of the name has a value.
const ADDITIONAL_EMAILS: &str = "hs_additional_emails";

/// What properties were: the column `history`.
type History = BTreeMap<String, Vec<Version>>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    value: String,
    /// Since when; times are written in one form, so that the later one is the greater text.
    timestamp: String,
}

impl Chunk {
    /// Makes whole records of partial ones: what they do not name is what the store has; where it has nothing, one that cannot
    /// stand by itself is skipped. Counts the properties that whole ones drop, and keeps what contacts were.
    pub(super) async fn compare(
        &mut self,
        kind: &Kind,
        records: &mut Vec<Numbered>,
    ) -> Result<(), StoreError> {
        let stored = self.stored(kind, records).await?;
        let mut kept = Vec::with_capacity(records.len());
        for (entry, mut record) in std::mem::take(records) {
            let stored = stored.get(&record.key());
            if record.action == Action::Merge && !record.merge_into(stored) {
                self.report.skipped += 1;
                continue;
            }
            if let Some(stored) = stored {
                if record.action == Action::Replace {
                    let told = members(&record.row, "properties");
                    let names = members(&stored.row, "properties").into_iter().flat_map(Map::keys);
                    let dropped = names.filter(|name| told.is_none_or(|told| !told.contains_key(*name)));
                    self.report.dropped_properties += dropped.count() as u64;
                }
                if kind.name == "contact" {
                    record.keep_former(stored, self.now)?;
                }
            }
            kept.push((entry, record));
        }
        *records = kept;
        Ok(())
    }
}

fn members<'a>(row: &'a Row, column: &str) -> Option<&'a Map<String, Value>> {
    row.get(column)?.as_object()
}

fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column)?.as_str()
}

fn history(row: &Row) -> Result<History, StoreError> {
    let history = row.get("history").filter(|it| !it.is_null()).map(History::deserialize).transpose();
    let history =
        history.map_err(|_| StoreError::Failed("a history holds JSON of another shape than ours".to_owned()));
    Ok(history?.unwrap_or_default())
}

/// The value of every property that has one, the additional addresses among them.
fn values(row: &Row, emails: &[Row]) -> BTreeMap<String, String> {
    let properties = members(row, "properties").into_iter().flatten();
    let mut values: BTreeMap<String, String> = properties
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let primary = values.get("email").map(|email| address_key(email));
    let additional: BTreeMap<&str, &str> = emails
        .iter()
        .filter_map(|email| Some((text(email, "email_key")?, text(email, "email")?)))
        .filter(|(key, _)| Some(*key) != primary.as_deref())
        .collect();
    if !additional.is_empty() {
        let joined = additional.into_values().collect::<Vec<_>>().join(";");
        values.entry(ADDITIONAL_EMAILS.to_owned()).or_insert(joined);
    }
    values
}

impl Record {
    /// Adds to the history what the store has there, each value that the record replaces, and the one that it puts in its
    /// place. The time of a change is the record's where it tells one, else that of the import; a value that was replaced had
    /// been there when its own record was last changed.
    fn keep_former(&mut self, stored: &Stored, now: Time) -> Result<(), StoreError> {
        let mut history = self::history(&stored.row)?;
        for (name, told) in self::history(&self.row)? {
            let versions = history.entry(name).or_default();
            let new: Vec<Version> = told.into_iter().filter(|version| !versions.contains(version)).collect();
            versions.extend(new);
        }
        let now = format_time(now);
        let changed_at = text(&self.row, "updated_at").unwrap_or(&now);
        let was_at = text(&stored.row, "updated_at").or(text(&stored.row, "created_at")).unwrap_or_default();
        let (before, after) = (values(&stored.row, &stored.emails), values(&self.row, &self.links));
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (before.get(name), after.get(name));
            if old == new {
                continue;
            }
            let versions = history.entry(name.clone()).or_default();
            if let Some(old) = old.filter(|old| versions.iter().all(|it| it.value != **old)) {
                versions.push(Version { value: old.clone(), timestamp: was_at.to_owned() });
            }
            let new = new.cloned().unwrap_or_default();
            let last = versions.iter().map(|it| it.timestamp.clone()).max().unwrap_or_default();
            if versions.iter().all(|it| it.timestamp != last || it.value != new) {
                let at = if *changed_at > *last { changed_at } else { &now };
                versions.push(Version { value: new, timestamp: at.to_owned() });
            }
        }
        self.row.insert("history".to_owned(), json!(history));
        Ok(())
    }
}
