//! What an account has ever kept of that which conditions ask about. Where it has kept nothing of a kind, that nothing is
//! found says nothing: it may be known by another name, or be kept elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;

use super::properties::{Completed, is_served, kept_stages};
use crate::domain::criteria::subject::{
    CustomEvent, DataRequirements, PropertyNames, Record, RecordType, RelatedData,
};
use crate::domain::lifecycle::stage_of;
use crate::domain::object_type::CONTACT;
use crate::domain::record::{Column, ColumnType};
use crate::domain::workflow::Workflow;
use crate::store::db::Tx;
use crate::store::db::batch::{Lists, batch_row, batch_text};
use crate::store::db::values::{Arg, args};
use crate::store::{Store, StoreError, read_transaction};

/// Rows `l` by which a contact counts as enrolled; word for word the condition of the index that finds them.
pub(in crate::store) const COUNTS_AS_ENROLLED: &str = "l.outcome IN ('deleted', 'held', 'deferred')";

/// By account and contact.
pub type RelatedDataByContact = HashMap<(i64, i64), RelatedData>;

const NAMED: [&str; 2] = ["account_id", "id"];
const ACCOUNT: Column = ("account_id", ColumnType::Int);
const PROPERTY: [Column; 3] = [ACCOUNT, ("record_type", ColumnType::Text), ("name", ColumnType::Text)];
const OBJECT_TYPE: [Column; 2] = [ACCOUNT, ("object_type", ColumnType::Text)];
const EVENT_TYPE: [Column; 2] = [ACCOUNT, ("event_type_id", ColumnType::Text)];
const FORM: [Column; 2] = [ACCOUNT, ("form_id", ColumnType::Text)];

/// A property of the records of an account: its account, those records and its name.
type Property<'a> = (i64, RecordType, &'a str);

fn rows_of(properties: &BTreeSet<Property<'_>>) -> String {
    batch_text(properties.iter().map(|(account_id, records, name)| {
        batch_row(json!({"account_id": account_id, "record_type": records.as_str(), "name": name}))
    }))
}

/// Adds which of the properties asked about the account does not know. Those that the records, all of one type, have are not looked
/// up.
pub async fn properties(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    own_type: &RecordType,
    records: &[Completed<'_>],
    told: &[(i64, &CustomEvent)],
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    let mut missing: BTreeSet<Property<'_>> = BTreeSet::new();
    let mut look_at = |account_id: i64, records: RecordType, record: &Record| {
        let names = asked.get(&account_id).and_then(|asks| asks.properties.get(&records));
        let lacking = names.into_iter().flatten().filter(|name| !record.properties.contains_key(*name));
        missing.extend(lacking.map(|name| (account_id, records.clone(), name.as_str())));
    };
    for ((account_id, _), record) in records {
        look_at(*account_id, own_type.clone(), record);
    }
    for ((account_id, _), around) in found.iter() {
        for neighbour in &around.neighbours {
            if let Some(record) = &neighbour.record {
                look_at(*account_id, RecordType::object(neighbour.object_type), record);
            }
        }
        for event in &around.events {
            look_at(*account_id, RecordType::event(&event.event_type), &event.record);
        }
    }
    for (account_id, event) in told {
        look_at(*account_id, RecordType::event(&event.event_type), &event.record);
    }
    let unknown = unknown(tx, &missing).await?;
    for ((account_id, _), around) in found.iter_mut() {
        if let Some(names) = unknown.get(account_id) {
            around.unknown_properties.clone_from(names);
        }
    }
    Ok(())
}

/// Those of the properties that their accounts do not know.
async fn unknown(
    tx: &mut Tx,
    properties: &BTreeSet<Property<'_>>,
) -> Result<HashMap<i64, PropertyNames>, StoreError> {
    let mut unknown: HashMap<i64, PropertyNames> = HashMap::new();
    if properties.is_empty() {
        return Ok(unknown);
    }
    let sql = format!(
        "SELECT b.account_id, b.record_type, b.name FROM {} WHERE NOT EXISTS (SELECT 1 FROM contact_properties p \
         WHERE b.record_type = 'contact' AND p.account_id = b.account_id AND p.name = b.name) \
         AND NOT EXISTS (SELECT 1 FROM related_properties p \
         WHERE p.account_id = b.account_id AND p.record_type = b.record_type AND p.name = b.name)",
        tx.dialect().batch(1, &PROPERTY)
    );
    for row in tx.rows(&sql, args![rows_of(properties)]).await? {
        let of_account = unknown.entry(row.int("account_id")?).or_default();
        of_account.entry(RecordType::stored(row.text("record_type")?)).or_default().insert(row.text("name")?);
    }
    Ok(unknown)
}

impl Store {
    /// What an account has kept of that which a workflow asks; `None` where there is no such account.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn kept(
        &self,
        account_id: i64,
        workflow: &Workflow,
    ) -> Result<Option<RelatedData>, StoreError> {
        read_transaction!(self, tx => of_account(tx, account_id, workflow))
    }
}

/// What an account has kept of that which is asked, whatever its contacts.
pub(in crate::store) async fn of_account(
    tx: &mut Tx,
    account_id: i64,
    workflow: &Workflow,
) -> Result<Option<RelatedData>, StoreError> {
    let there = "SELECT 1 AS one FROM accounts WHERE account_id = $1";
    if tx.row(there, args![account_id]).await?.is_none() {
        return Ok(None);
    }
    let mut asks = DataRequirements::default();
    workflow.asks(&mut asks);
    let properties = asks.properties.iter().flat_map(|(records, names)| {
        names.iter().map(move |name| (account_id, records.clone(), name.as_str()))
    });
    let properties = properties.filter(|(_, records, name)| !is_served(records, name)).collect();
    let mut unknown_properties = unknown(tx, &properties).await?.remove(&account_id).unwrap_or_default();
    if let Some(names) = unknown_properties.get_mut(&RecordType::contact()) {
        let asked = names.iter().filter_map(|name| Some((account_id, stage_of(name)?))).collect();
        let kept = kept_stages(tx, &asked).await?;
        names.retain(|name| {
            stage_of(name).is_none_or(|stage| !kept.contains(&(account_id, stage.to_owned())))
        });
    }
    let asked = BTreeMap::from([(account_id, asks)]);
    let key = (account_id, 0);
    let mut found =
        RelatedDataByContact::from([(key, RelatedData { unknown_properties, ..RelatedData::default() })]);
    segments(tx, &asked, CONTACT, &mut found).await?;
    workflows(tx, &asked, &mut found).await?;
    associations(tx, &asked, &mut found).await?;
    events(tx, &asked, &mut found).await?;
    forms(tx, &asked, &mut found).await?;
    Ok(found.remove(&key))
}

/// Keeps in mind that an account has these properties.
pub async fn learn_properties(tx: &mut Tx, properties: &BTreeSet<Property<'_>>) -> Result<(), StoreError> {
    if properties.is_empty() {
        return Ok(());
    }
    let batch = tx.dialect().batch(1, &PROPERTY);
    for sql in [
        format!(
            "INSERT INTO contact_properties (account_id, name) SELECT b.account_id, b.name FROM {batch} \
             WHERE b.record_type = 'contact' AND NOT EXISTS (SELECT 1 FROM contact_properties p \
             WHERE p.account_id = b.account_id AND p.name = b.name) ON CONFLICT DO NOTHING"
        ),
        format!(
            "INSERT INTO related_properties (account_id, record_type, name) \
             SELECT b.account_id, b.record_type, b.name FROM {batch} \
             WHERE b.record_type <> 'contact' AND NOT EXISTS (SELECT 1 FROM related_properties p \
             WHERE p.account_id = b.account_id AND p.record_type = b.record_type AND p.name = b.name) \
             ON CONFLICT DO NOTHING"
        ),
    ] {
        tx.execute(&sql, args![rows_of(properties)]).await?;
    }
    Ok(())
}

/// Adds which of the segments asked about the account has, of those whose members are records of this type.
pub async fn segments(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    object_type: &str,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    let exists = "EXISTS (SELECT 1 FROM segments s WHERE s.account_id = b.account_id AND s.segment_id = b.id \
                  AND s.object_type = $1 AND s.deleted_at IS NULL)";
    let known = ids_where(tx, asked, |asks| &asks.segments, exists, &[object_type.into()]).await?;
    for ((account_id, _), around) in found.iter_mut() {
        around.known_segments = known.get(account_id).cloned().unwrap_or_default();
    }
    Ok(())
}

/// Adds of which of the workflows asked about the account has any enrollment: a definition comes without them.
pub async fn workflows(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    let kept = format!(
        "EXISTS (SELECT 1 FROM workflow_enrollments e \
         WHERE e.account_id = b.account_id AND e.workflow_id = b.id) \
         OR EXISTS (SELECT 1 FROM ledger l \
         WHERE l.account_id = b.account_id AND l.workflow_id = b.id AND {COUNTS_AS_ENROLLED})"
    );
    let kept = ids_where(tx, asked, |asks| &asks.workflows, &kept, &[]).await?;
    for ((account_id, _), around) in found.iter_mut() {
        around.kept_workflows = kept.get(account_id).cloned().unwrap_or_default();
    }
    Ok(())
}

/// Those of the ids asked about, as `b`, that meet a condition with these parameters, by account.
async fn ids_where(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    of: fn(&DataRequirements) -> &BTreeSet<i64>,
    condition: &str,
    parameters: &[Arg],
) -> Result<HashMap<i64, BTreeSet<i64>>, StoreError> {
    let pairs = asked.iter().flat_map(|(account, asks)| of(asks).iter().map(|id| [*account, *id]));
    let ids = tx.dialect().ids(parameters.len() + 1, &NAMED);
    let sql = format!("SELECT b.account_id, b.id FROM {ids} WHERE {condition}");
    let args: Vec<Arg> = parameters.iter().cloned().chain([Lists::ids(pairs).into()]).collect();
    let mut ids: HashMap<i64, BTreeSet<i64>> = HashMap::new();
    for row in tx.rows(&sql, &args).await? {
        ids.entry(row.int("account_id")?).or_default().insert(row.int("id")?);
    }
    Ok(ids)
}

/// Adds with which of the types of objects asked about the account has ever associated a contact.
pub async fn associations(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    let types: BTreeSet<(i64, &'static str)> = asked
        .iter()
        .flat_map(|(account_id, asks)| asks.neighbours.iter().map(|object_type| (*account_id, *object_type)))
        .collect();
    let sql = format!(
        "SELECT b.account_id, b.object_type FROM {} JOIN kept_associations k \
         ON k.account_id = b.account_id AND k.object_type = b.object_type",
        tx.dialect().batch(1, &OBJECT_TYPE)
    );
    let mut kept = BTreeSet::new();
    for row in tx.rows(&sql, args![rows_of_types(&types)]).await? {
        kept.insert((row.int("account_id")?, row.text("object_type")?));
    }
    for ((account_id, _), around) in found.iter_mut() {
        let of_account = types.iter().filter(|(account, object_type)| {
            account == account_id && kept.contains(&(*account, (*object_type).to_owned()))
        });
        around.kept_associations = of_account.map(|(_, object_type)| *object_type).collect();
    }
    Ok(())
}

fn rows_of_types(types: &BTreeSet<(i64, &str)>) -> String {
    batch_text(types.iter().map(|(account_id, object_type)| {
        batch_row(json!({"account_id": account_id, "object_type": object_type}))
    }))
}

/// Keeps in mind that accounts associate contacts with objects of these types.
pub async fn learn_associations(tx: &mut Tx, types: &BTreeSet<(i64, &str)>) -> Result<(), StoreError> {
    if types.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO kept_associations (account_id, object_type) SELECT b.account_id, b.object_type FROM {} \
         WHERE NOT EXISTS (SELECT 1 FROM kept_associations k \
         WHERE k.account_id = b.account_id AND k.object_type = b.object_type) ON CONFLICT DO NOTHING",
        tx.dialect().batch(1, &OBJECT_TYPE)
    );
    tx.execute(&sql, args![rows_of_types(types)]).await?;
    Ok(())
}

/// Adds of which of the types asked about the account has any event.
pub async fn events(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    let types = asked.iter().flat_map(|(account_id, asks)| {
        asks.events
            .iter()
            .map(move |event_type| batch_row(json!({"account_id": account_id, "event_type_id": event_type})))
    });
    let sql = format!(
        "SELECT b.account_id, b.event_type_id FROM {} WHERE EXISTS (SELECT 1 FROM custom_events e \
         WHERE e.account_id = b.account_id AND e.event_type_id = b.event_type_id)",
        tx.dialect().batch(1, &EVENT_TYPE)
    );
    let mut kept: HashMap<i64, BTreeSet<String>> = HashMap::new();
    for row in tx.rows(&sql, args![batch_text(types)]).await? {
        kept.entry(row.int("account_id")?).or_default().insert(row.text("event_type_id")?);
    }
    for ((account_id, _), around) in found.iter_mut() {
        around.kept_events = kept.get(account_id).cloned().unwrap_or_default();
    }
    Ok(())
}

/// Adds of which of the forms asked about the account has had any submission, those counted that went with their contacts.
pub async fn forms(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    let forms = asked.iter().flat_map(|(account_id, asks)| {
        let row = move |form_id| batch_row(json!({"account_id": account_id, "form_id": form_id}));
        asks.forms.iter().map(row)
    });
    let any_of = |table: &str| {
        format!(
            "b.form_id IS NULL AND EXISTS (SELECT 1 FROM {table} f WHERE f.account_id = b.account_id) \
             OR EXISTS (SELECT 1 FROM {table} f WHERE f.account_id = b.account_id AND f.form_id = b.form_id)"
        )
    };
    let sql = format!(
        "SELECT b.account_id, b.form_id FROM {} WHERE {} OR {}",
        tx.dialect().batch(1, &FORM),
        any_of("form_submissions"),
        any_of("deleted_form_submissions")
    );
    let mut kept: HashMap<i64, Vec<Option<String>>> = HashMap::new();
    for row in tx.rows(&sql, args![batch_text(forms)]).await? {
        kept.entry(row.int("account_id")?).or_default().push(row.optional_text("form_id")?);
    }
    for ((account_id, _), around) in found.iter_mut() {
        let forms = kept.get(account_id).map_or(&[][..], Vec::as_slice);
        around.keeps_forms = forms.contains(&None);
        around.kept_forms = forms.iter().flatten().cloned().collect();
    }
    Ok(())
}
