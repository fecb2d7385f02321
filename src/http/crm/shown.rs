//! How records are shown.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Api;
use super::error::ApiError;
use super::input::Params;
use crate::domain::properties::{built_in, last_modified, shown_by_default};
use crate::domain::time::{Time, format_millis};
use crate::store::crm::{StoredRecord, StoredVersion};

/// The most records of a page with former values.
const MAX_WITH_HISTORY: u32 = 50;

/// Which properties of records are shown.
pub struct Shown {
    /// Those that an answer names, whether or not a record has a value; `None`: those that have one.
    names: Option<BTreeSet<String>>,
    /// Those whose former values are shown.
    history: Vec<String>,
}

impl Shown {
    /// All that have a value: what answers a change.
    pub fn all() -> Self {
        Self { names: None, history: Vec::new() }
    }

    /// The named ones that the account knows, or those that the vendor shows by default.
    pub async fn of(
        api: &Api,
        account_id: i64,
        object_type: &str,
        wanted: Vec<String>,
        history: Vec<String>,
    ) -> Result<Self, ApiError> {
        let defaults = || shown_by_default(object_type).iter().map(|name| (*name).to_owned()).collect();
        if wanted.is_empty() {
            return Ok(Self { names: Some(defaults()), history });
        }
        let vendors: BTreeSet<String> = built_in(object_type).into_iter().map(|it| it.name).collect();
        let mut names: BTreeSet<String> = wanted.into_iter().collect();
        if !names.is_subset(&vendors) {
            let known = api.operations.store.properties(account_id, object_type).await?;
            names.retain(|name| known.contains_key(name));
        }
        names.extend(["hs_object_id", "createdate", last_modified(object_type)].map(str::to_owned));
        Ok(Self { names: Some(names), history })
    }

    /// As the parameters of a request have it.
    pub async fn by_params(
        api: &Api,
        account_id: i64,
        object_type: &str,
        params: &Params,
    ) -> Result<Self, ApiError> {
        let (wanted, history) = (params.list("properties"), params.list("propertiesWithHistory"));
        Self::of(api, account_id, object_type, wanted, history).await
    }

    pub fn with_history(&self) -> bool {
        !self.history.is_empty()
    }

    /// How many records a page may have.
    pub fn most(&self, most: u32) -> u32 {
        if self.with_history() { most.min(MAX_WITH_HISTORY) } else { most }
    }

    /// One record.
    pub fn object(&self, record: &StoredRecord) -> Value {
        let properties: Map<String, Value> = match &self.names {
            Some(names) => {
                names.iter().map(|name| (name.clone(), json!(record.properties.get(name)))).collect()
            }
            None => record.properties.iter().map(|(name, value)| (name.clone(), json!(value))).collect(),
        };
        let mut object = json!({"id": record.id.to_string(), "properties": properties,
            "createdAt": time(record.created_at), "updatedAt": time(record.updated_at),
            "archived": record.archived_at.is_some()});
        if let Some(at) = record.archived_at {
            object["archivedAt"] = json!(format_millis(at));
        }
        let history = self.history.iter().filter_map(|name| {
            let versions = record.history.get(name).filter(|versions| !versions.is_empty())?;
            Some((name.clone(), versions.iter().map(version).collect()))
        });
        let history: Map<String, Value> = history.collect();
        if !history.is_empty() {
            object["propertiesWithHistory"] = history.into();
        }
        object
    }
}

/// The vendor's shape has a time in any case: the earliest one where none is known.
fn time(time: Option<Time>) -> String {
    format_millis(time.unwrap_or_default())
}

fn version(version: &StoredVersion) -> Value {
    let mut shown = json!({"value": version.value, "timestamp": format_millis(version.at), "sourceType": version.source_type});
    if let Some(id) = &version.source_id {
        shown["sourceId"] = json!(id);
    }
    shown
}
