//! What records are associated with: objects, contacts and activities at the other end, whichever end the record is, but those that
//! are in the trash.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::kept::RelatedDataByContact;
use super::properties::{always_has_value, serve};
use super::record;
use crate::domain::criteria::subject::{AssociatedObject, DataRequirements, RecordType};
use crate::domain::object_type::CONTACT;
use crate::domain::record::{Column, ColumnType};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{Lists, RECORD, batch_row, batch_text};
use crate::store::db::values::args;

/// The types of associated records that are rows of `objects`, and those that are activities.
const OBJECTS: [&str; 3] = ["company", "deal", "ticket"];
const ACTIVITIES: [&str; 5] = ["note", "task", "meeting", "call", "email"];

const OBJECT_TYPE: [Column; 1] = [("object_type", ColumnType::Text)];

/// Both ends of an association: the record's own, the other one, and whether it leads from the record.
const ENDS: [(&str, &str, &str); 2] = [("from", "to", "TRUE"), ("to", "from", "FALSE")];

/// The associated object, as `o`, and the associated contact, as `c`.
const OBJECT: &str = "CAST(o.properties AS text) AS properties, CAST(o.history AS text) AS history, o.created_at, o.is_partial, \
     o.updated_at, (SELECT max(e.closed_at) FROM record_trash_entries e WHERE e.account_id = o.account_id \
     AND e.object_type = o.object_type AND e.record_id = o.object_id AND e.closed_as = 'restored') AS restored_at";
const ASSOCIATED_CONTACT: &str = "CAST(c.properties AS text) AS properties, CAST(c.history AS text) AS history, c.created_at, \
     c.is_partial, c.updated_at, c.restored_at";

/// Adds what the records of a batch, all of one type, are associated with, as far as the accounts ask for it.
pub async fn add(
    tx: &mut Tx,
    own_type: &str,
    asked: &BTreeMap<i64, DataRequirements>,
    records: &Lists,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    let types: BTreeSet<&'static str> =
        asked.values().flat_map(|asks| asks.neighbours.iter().copied()).collect();
    let types = &types;
    for sql in statements(own_type, types, &tx.dialect().ids(2, &RECORD)) {
        for row in tx.rows(&sql, args![own_type, records]).await? {
            let object_type = row.text("object_type")?;
            let object_type = types.iter().copied().find(|it| *it == object_type);
            let account_id = row.int("account_id")?;
            let around = found.get_mut(&(account_id, row.int("record_id")?));
            let (Some(around), Some(object_type)) = (around, object_type) else { continue };
            let is_known = row.optional_text("properties")?.is_some();
            let mut record =
                if is_known { Some(record(&row, row.optional_time("created_at")?)?) } else { None };
            if let Some(record) = &mut record {
                let changed = row.optional_time("updated_at")?.max(row.optional_time("restored_at")?);
                serve(record, object_type, row.int("object_id")?, changed);
                let asks = asked
                    .get(&account_id)
                    .and_then(|asks| asks.properties.get(&RecordType::object(object_type)));
                let mut asks = asks.into_iter().flatten();
                // Every record has these times. Where the store lacks one, what else the record lacks is unknown too.
                record.is_partial |= asks.any(|name| always_has_value(name) && record.value(name).is_none());
            }
            around.neighbours.push(AssociatedObject {
                object_type,
                association_type: row.optional_text("association_type_id")?,
                is_outward: row.bool("is_outward")?,
                record,
            });
        }
    }
    Ok(())
}

/// The questions to be asked about the records of the type `$1` in the batch `source`, which begins at `$2`.
fn statements(own_type: &str, types: &BTreeSet<&'static str>, source: &str) -> Vec<String> {
    let named = |of: &[&str]| {
        let of: Vec<&str> = of.iter().copied().filter(|it| types.contains(it)).collect();
        (!of.is_empty()).then(|| format!("('{}')", of.join("', '")))
    };
    let mut statements = Vec::new();
    let mut through_associations = |other_types: &str, columns: &str, join: &str, is_live: &str| {
        for (own, other, is_outward) in ENDS {
            let join =
                join.replace("{id}", &format!("a.{other}_id")).replace("{type}", &format!("a.{other}_type"));
            statements.push(format!(
                "SELECT b.account_id, b.record_id, a.{other}_type AS object_type, a.{other}_id AS object_id, \
                 a.association_type_id, {is_outward} AS is_outward, {columns} \
                 FROM {source} JOIN associations a ON a.account_id = b.account_id \
                 AND a.{own}_type = $1 AND a.{own}_id = b.record_id AND a.{other}_type IN {other_types} \
                 {join} WHERE {is_live}"
            ));
        }
        // What an activity is on stands with the activity.
        if own_type != CONTACT {
            let join = join.replace("{id}", "a.object_id").replace("{type}", "a.object_type");
            statements.push(format!(
                "SELECT b.account_id, b.record_id, a.object_type, a.object_id, NULL AS association_type_id, \
                 TRUE AS is_outward, {columns} \
                 FROM {source} JOIN activities v ON v.account_id = b.account_id AND v.activity_id = b.record_id \
                 AND v.type = $1 JOIN activity_associations a ON a.account_id = v.account_id \
                 AND a.activity_id = v.activity_id AND a.object_type IN {other_types} {join} WHERE {is_live}"
            ));
        }
    };
    if let Some(objects) = named(&OBJECTS) {
        let join = "LEFT JOIN objects o ON o.account_id = a.account_id AND o.object_type = {type} AND o.object_id = {id}";
        through_associations(&objects, OBJECT, join, "o.deleted_at IS NULL");
    }
    if let Some(contacts) = named(&[CONTACT]) {
        let join = "LEFT JOIN contacts c ON c.account_id = a.account_id AND c.contact_id = {id}";
        through_associations(&contacts, ASSOCIATED_CONTACT, join, "c.deleted_at IS NULL");
    }
    if let Some(activities) = named(&ACTIVITIES) {
        statements.push(format!(
            "SELECT b.account_id, b.record_id, v.type AS object_type, v.activity_id AS object_id, \
             NULL AS association_type_id, TRUE AS is_outward, CAST(v.properties AS text) AS properties, NULL AS history, \
             v.occurred_at AS created_at, FALSE AS is_partial, CAST(NULL AS timestamptz) AS updated_at, \
             CAST(NULL AS timestamptz) AS restored_at \
             FROM {source} JOIN activity_associations l ON l.account_id = b.account_id \
             AND l.object_type = $1 AND l.object_id = b.record_id \
             JOIN activities v ON v.account_id = l.account_id AND v.activity_id = l.activity_id \
             AND NOT v.stub AND v.deleted_at IS NULL AND v.type IN {activities}"
        ));
    }
    statements
}

/// With which of these types any record of this one, which is not that of contacts, is associated in the account. Where none is,
/// associations of the kind may be kept elsewhere.
pub async fn kept(
    tx: &mut Tx,
    account_id: i64,
    own_type: &str,
    types: &BTreeSet<&'static str>,
) -> Result<BTreeSet<&'static str>, StoreError> {
    let sql = format!(
        "SELECT b.object_type FROM {} WHERE EXISTS (SELECT 1 FROM associations a WHERE a.account_id = $2 \
         AND a.from_type = $3 AND a.to_type = b.object_type) OR EXISTS (SELECT 1 FROM associations a \
         WHERE a.account_id = $2 AND a.to_type = $3 AND a.from_type = b.object_type) OR EXISTS \
         (SELECT 1 FROM activity_associations l JOIN activities v ON v.account_id = l.account_id \
         AND v.activity_id = l.activity_id WHERE l.account_id = $2 \
         AND (l.object_type = $3 AND v.type = b.object_type OR v.type = $3 AND l.object_type = b.object_type))",
        tx.dialect().batch(1, &OBJECT_TYPE)
    );
    let batch = batch_text(types.iter().map(|object_type| batch_row(json!({"object_type": object_type}))));
    let mut kept = BTreeSet::new();
    for row in tx.rows(&sql, args![batch, account_id, own_type]).await? {
        let object_type = row.text("object_type")?;
        kept.extend(types.iter().copied().find(|it| *it == object_type));
    }
    Ok(kept)
}
