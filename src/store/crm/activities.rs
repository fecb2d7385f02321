//! Activities as programs change them: a record of an import has all of an activity, so what a program does not name is read first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::domain::members::FieldError;
use crate::domain::object_type::{RecordKey, id_of};
use crate::domain::record::{Record, record_of};
use crate::domain::time::{Time, format_time};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::args;

/// An activity, with all that it is on, whether or not that is live.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    pub object_type: String,
    pub occurred_at: Time,
    pub updated_at: Option<Time>,
    pub properties: Map<String, Value>,
    pub on: BTreeSet<RecordKey>,
}

/// These activities, by id.
pub(super) async fn stored(
    tx: &mut Tx,
    account_id: i64,
    ids: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, Activity>, StoreError> {
    let mut found = BTreeMap::new();
    let batch = Lists::ids(ids.iter().map(|id| [*id]));
    let (ids, join) = (tx.dialect().ids(2, &["id"]), tx.dialect().batch_join());
    let sql = format!(
        "SELECT a.activity_id, a.type, a.occurred_at, a.updated_at, CAST(a.properties AS text) AS properties \
         FROM {ids} {join} activities a ON a.account_id = $1 AND a.activity_id = b.id WHERE NOT a.stub"
    );
    for row in tx.rows(&sql, args![account_id, &batch]).await? {
        let activity = Activity {
            object_type: row.text("type")?,
            occurred_at: row.time("occurred_at")?,
            updated_at: row.optional_time("updated_at")?,
            properties: row.json("properties")?,
            on: BTreeSet::new(),
        };
        found.insert(row.int("activity_id")?, activity);
    }
    let sql = format!(
        "SELECT l.activity_id, l.object_type, l.object_id FROM {ids} {join} activity_associations l \
         ON l.account_id = $1 AND l.activity_id = b.id"
    );
    for row in tx.rows(&sql, args![account_id, batch]).await? {
        if let Some(activity) = found.get_mut(&row.int("activity_id")?) {
            activity
                .on
                .insert(RecordKey { object_type: row.text("object_type")?, id: row.int("object_id")? });
        }
    }
    Ok(found)
}

impl Activity {
    /// As an import would bring it.
    ///
    /// # Errors
    ///
    /// Why it cannot be stored.
    pub fn record(&self, account_id: i64, id: i64) -> Result<Record, FieldError> {
        let on = self.on.iter().map(|on| json!({"type": id_of(&on.object_type), "id": on.id.to_string()}));
        let record = json!({"kind": "activity", "accountId": account_id.to_string(), "id": id.to_string(),
            "type": self.object_type, "timestamp": format_time(self.occurred_at),
            "updatedAt": self.updated_at.map(format_time), "properties": self.properties,
            "associations": on.collect::<Vec<_>>()});
        record_of(&record)
    }
}
