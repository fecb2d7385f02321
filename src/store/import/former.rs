//! Former values. The history of a contact keeps the values that an import replaces: conditions evaluate them, and an erasure
//! searches for every address, phone number and name that the contact ever had.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Numbered;
use super::chunk::{Chunk, Origin};
use super::filter::Stored;
use crate::domain::identifiers::{ADDITIONAL_ADDRESSES, additional_emails};
use crate::domain::members::is_word;
use crate::domain::record::{Action, IS_PARTIAL, Kind, Record, Row};
use crate::domain::time::{Time, format_time};
use crate::store::StoreError;

/// Served from a contact's addresses where no property of the name has a value.
const ADDITIONAL_EMAILS: &str = "hs_additional_emails";

/// The column that says what properties were.
const HISTORY: &str = "history";
/// Since when a value applies that was stored without a time.
const LONG_AGO: &str = "1970-01-01T00:00:00.000000Z";

/// What is in the column of former values.
type History = BTreeMap<String, Vec<Version>>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    value: String,
    /// Since when; times are written in one form, so that the later one is the greater text.
    timestamp: String,
    /// `None`: told by the CRM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<VersionSource>,
    /// The token of the program that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "sourceId")]
    source_id: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum VersionSource {
    /// Seen by an import, which compared two records.
    Import,
    /// Written by a program.
    Integration,
}

impl Version {
    fn seen(value: &str, timestamp: &str) -> Self {
        let (value, timestamp) = (value.to_owned(), timestamp.to_owned());
        Self { value, timestamp, source: Some(VersionSource::Import), source_id: None }
    }

    /// What came from there.
    fn new(value: &str, timestamp: &str, origin: Origin) -> Self {
        let version = Self::seen(value, timestamp);
        match origin {
            Origin::Import(_) | Origin::Queue => version,
            Origin::Program { token_id } => Self {
                source: Some(VersionSource::Integration),
                source_id: Some(token_id.to_string()),
                ..version
            },
        }
    }

    fn is_seen(&self) -> bool {
        self.source == Some(VersionSource::Import)
    }
}

/// The time of the last version.
fn last(versions: &[Version]) -> Option<&str> {
    versions.iter().map(|it| it.timestamp.as_str()).max()
}

/// Do versions end with this value?
fn end_with(versions: &[Version], value: &str) -> bool {
    let last = last(versions);
    versions.iter().any(|it| Some(it.timestamp.as_str()) == last && it.value == value)
}

impl Chunk {
    /// Compares records with the stored rows: completes partial records, counts the properties that whole records drop, and adds
    /// replaced values of contacts to their history. A partial record that needs a stored contact and finds none is skipped.
    pub(super) async fn compare(
        &mut self,
        kind: &Kind,
        records: &mut Vec<Numbered>,
    ) -> Result<(), StoreError> {
        let stored = self.stored(kind, records).await?;
        let began = self.origin.import().map_or(self.now, |identity| identity.started_at);
        let mut kept = Vec::with_capacity(records.len());
        for (entry, mut record) in std::mem::take(records) {
            let stored = stored.get(&record.key());
            let changed_at = text(&record.row, "updated_at").map(str::to_owned);
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
                self.note_changes(&record, stored);
                if kind.table.columns.iter().any(|(name, _)| *name == HISTORY) {
                    record.keep_former(stored, changed_at.as_deref(), began, self.origin)?;
                }
            } else if matches!(self.origin, Origin::Program { .. }) {
                record.begin_history(&format_time(began), self.origin);
            }
            kept.push((entry, record));
        }
        *records = kept;
        Ok(())
    }

    /// Notes which properties of a contact a record changes, where that is announced. A name that is no plain word may hold an
    /// address.
    fn note_changes(&mut self, record: &Record, stored: &Stored) {
        let Some(changed) = self.changed.as_mut().filter(|_| record.kind.name == "contact") else { return };
        let (before, after) = (values(&stored.row, &[]), values(&record.row, &[]));
        let differs = |name: &&String| before.get(*name) != after.get(*name);
        let names = before.keys().chain(after.keys()).filter(differs);
        let names: BTreeSet<String> = names.filter(|name| is_word(name)).cloned().collect();
        for contact_id in &record.contacts {
            changed.insert((record.account_id, *contact_id), names.clone());
        }
    }
}

fn members<'a>(row: &'a Row, column: &str) -> Option<&'a Map<String, Value>> {
    row.get(column)?.as_object()
}

fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column)?.as_str()
}

fn history(row: &Row) -> Result<History, StoreError> {
    let history = row.get(HISTORY).filter(|it| !it.is_null()).map(History::deserialize).transpose();
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
    let emails = emails.iter().filter_map(|email| Some((text(email, "email_key")?, text(email, "email")?)));
    if let Some(additional) = additional_emails(values.get("email").map(String::as_str), emails) {
        values.entry(ADDITIONAL_EMAILS.to_owned()).or_insert_with(|| additional.clone());
        values.insert(ADDITIONAL_ADDRESSES.to_owned(), additional);
    }
    values
}

impl Record {
    /// The history of a new record begins with its values.
    fn begin_history(&mut self, at: &str, origin: Origin) {
        let versions = values(&self.row, &self.links).into_iter();
        let versions = versions.map(|(name, value)| (name, vec![Version::new(&value, at, origin)]));
        self.row.insert(HISTORY.to_owned(), json!(versions.collect::<History>()));
    }

    /// Merges the stored history, the replaced values and the new values into the record's history. A change is dated by the
    /// record's `updatedAt`, or else by when its source `began`, so that several records of one file make one change. A replaced
    /// value without a known time is dated by the last update of the stored row.
    fn keep_former(
        &mut self,
        stored: &Stored,
        changed_at: Option<&str>,
        began: Time,
        origin: Origin,
    ) -> Result<(), StoreError> {
        let began = format_time(began);
        let was_at = text(&stored.row, "updated_at").or(text(&stored.row, "created_at")).unwrap_or(LONG_AGO);
        let (before, after) = (values(&stored.row, &stored.emails), values(&self.row, &self.links));
        let is_partial = stored.row.get(IS_PARTIAL) == Some(&Value::Bool(true));
        let named = members(&stored.row, "properties");
        let mut history = self::history(&stored.row)?;
        for (name, told) in self::history(&self.row)? {
            let versions = history.entry(name.clone()).or_default();
            // The history of the CRM takes precedence over what imports observed.
            if end_with(&told, after.get(&name).map_or("", String::as_str)) {
                versions.retain(|it| !it.is_seen() || told.iter().all(|told| told.value != it.value));
            }
            let new: Vec<Version> = told.into_iter().filter(|version| !versions.contains(version)).collect();
            versions.extend(new);
        }
        for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (before.get(name), after.get(name).map_or("", String::as_str));
            if old.map_or("", String::as_str) == new {
                continue;
            }
            let versions = history.entry(name.clone()).or_default();
            let mut seen_now = Vec::new();
            versions.retain(|it| {
                let is_of_now = it.is_seen() && it.timestamp == began;
                seen_now.extend(is_of_now.then(|| it.value.clone()));
                !is_of_now
            });
            let earlier = if seen_now.is_empty() { None } else { last(versions).map(str::to_owned) };
            for value in seen_now.iter().chain(old) {
                if versions.iter().all(|it| it.value != *value) {
                    versions.push(Version::seen(value, earlier.as_deref().unwrap_or(was_at)));
                }
            }
            let was_unknown = old.is_none() && is_partial && !named.is_some_and(|it| it.contains_key(name));
            if was_unknown && versions.is_empty() {
                // The time of the change is unknown.
                versions.push(Version::seen("", was_at));
            } else if !end_with(versions, new) && !was_unknown {
                let change = Version::new(new, changed_at.unwrap_or(&began), origin);
                if !versions.contains(&change) {
                    versions.push(change);
                }
            }
        }
        self.row.insert(HISTORY.to_owned(), json!(history));
        Ok(())
    }
}
