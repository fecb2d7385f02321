//! From contacts and criteria to what can be evaluated: whatever criteria ask about a contact beyond its own row, loaded
//! for many contacts at once; nothing where they ask nothing. Enrollments and deletes by a filter both come this way.

pub(super) mod cache;
pub(super) mod kept;
pub(super) mod properties;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::StoreError;
use super::db::Tx;
use super::db::batch::{CONTACT, ENROLLED, Lists};
use super::db::values::{Row, args};
use crate::domain::criteria::Criteria;
use crate::domain::criteria::subject::{
    AssociatedObject, CustomEvent, DataRequirements, PropertyVersion, Record, RecordType, RelatedData,
    Subject, Submission, texts,
};
use crate::domain::time::{Time, parse_time};
use crate::domain::wall::zone_of_account;
use chrono_tz::Tz;
use kept::{COUNTS_AS_ENROLLED, RelatedDataByContact};
use properties::{Completed, complete};

/// The types of associated objects that are rows of `objects`, and those that are activities.
const OBJECTS: [&str; 3] = ["company", "deal", "ticket"];
const ACTIVITIES: [&str; 5] = ["note", "task", "meeting", "call", "email"];

/// What each of these contacts has of what is asked about in its account; the records of those that are live are completed.
/// `told` are the events of messages, each with its account.
pub async fn load(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    contacts: &BTreeSet<(i64, i64)>,
    records: &mut [Completed<'_>],
    told: &[(i64, &CustomEvent)],
) -> Result<RelatedDataByContact, StoreError> {
    let concerned: Vec<(i64, i64)> =
        contacts.iter().copied().filter(|(account_id, _)| asked.contains_key(account_id)).collect();
    let mut found: RelatedDataByContact =
        concerned.iter().map(|key| (*key, RelatedData::default())).collect();
    let those_who = |wants: fn(&DataRequirements) -> bool| -> Lists {
        let wanting = concerned.iter().filter(|(account_id, _)| asked.get(account_id).is_some_and(wants));
        Lists::ids(wanting.map(|(account_id, contact_id)| [*account_id, *contact_id]))
    };
    if asked.values().any(|asks| !asks.segments.is_empty()) {
        segments(tx, asked, &those_who(|asks| !asks.segments.is_empty()), &mut found).await?;
    }
    if asked.values().any(|asks| !asks.workflows.is_empty()) {
        enrollments(tx, asked, &concerned, &mut found).await?;
    }
    if asked.values().any(|asks| !asks.neighbours.is_empty()) {
        neighbours(tx, asked, &those_who(|asks| !asks.neighbours.is_empty()), &mut found).await?;
    }
    if asked.values().any(|asks| !asks.events.is_empty()) {
        events(tx, asked, &those_who(|asks| !asks.events.is_empty()), &mut found).await?;
    }
    if asked.values().any(|asks| !asks.forms.is_empty()) {
        submissions(tx, asked, &those_who(|asks| !asks.forms.is_empty()), &mut found).await?;
    }
    let unknown = complete(tx, asked, records).await?;
    kept::properties(tx, asked, records, told, &mut found).await?;
    for (contact, name) in unknown {
        let names = &mut found.entry(contact).or_default().unknown_properties;
        names.entry(RecordType::contact()).or_default().insert(name);
    }
    Ok(found)
}

/// Contacts of one account, ready to be looked at by a person's filter.
pub struct EvaluationContext {
    now: Time,
    zone: Option<Tz>,
    found: RelatedDataByContact,
    nothing: RelatedData,
}

impl EvaluationContext {
    /// Loads what is asked about these contacts, and completes their records.
    pub async fn load(
        tx: &mut Tx,
        account_id: i64,
        criteria: &Criteria,
        records: &mut HashMap<i64, Record>,
    ) -> Result<Self, StoreError> {
        let mut asks = DataRequirements::default();
        criteria.asks(&mut asks);
        let now = tx.now().await?;
        let sql = "SELECT time_zone FROM accounts WHERE account_id = $1";
        let account = tx.row(sql, args![account_id]).await?;
        let name = account.map(|row| row.optional_text("time_zone")).transpose()?.flatten();
        let contacts = records.keys().map(|contact_id| (account_id, *contact_id)).collect();
        let mut records: Vec<Completed<'_>> =
            records.iter_mut().map(|(contact_id, record)| ((account_id, *contact_id), record)).collect();
        let found = load(tx, &[(account_id, asks)].into(), &contacts, &mut records, &[]).await?;
        Ok(Self { now, zone: zone_of_account(name.as_deref()), found, nothing: RelatedData::default() })
    }

    /// A contact with this record.
    pub fn subject<'a>(&'a self, contact: (i64, i64), record: &'a Record) -> Subject<'a> {
        let around = self.found.get(&contact).unwrap_or(&self.nothing);
        Subject::contact(self.now, self.zone, record, around)
    }
}

/// A record of the store as conditions look at it: the columns `properties`, `history` and `is_partial`.
pub fn record(row: &Row, created_at: Option<Time>) -> Result<Record, StoreError> {
    let mut history: HashMap<String, Vec<PropertyVersion>> = HashMap::new();
    if let Some(versions) = row.optional_json::<HashMap<String, Vec<HashMap<String, String>>>>("history")? {
        for (property, versions) in versions {
            let past = |mut version: HashMap<String, String>| {
                let at = version.get("timestamp").and_then(|at| parse_time(at))?;
                Some(PropertyVersion { value: version.remove("value").unwrap_or_default(), at })
            };
            history.insert(property, versions.into_iter().filter_map(past).collect());
        }
    }
    let properties: serde_json::Map<String, serde_json::Value> = row.json("properties")?;
    Ok(Record {
        properties: texts(&properties),
        history,
        created_at,
        is_partial: row.optional_bool("is_partial")? == Some(true),
    })
}

fn key(row: &Row) -> Result<(i64, i64), StoreError> {
    Ok((row.int("account_id")?, row.int("contact_id")?))
}

async fn segments(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    contacts: &Lists,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    kept::segments(tx, asked, found).await?;
    let sql = format!(
        "SELECT m.account_id, m.contact_id, m.segment_id FROM {} JOIN crm_segment_members m \
         ON m.account_id = b.account_id AND m.contact_id = b.contact_id",
        tx.dialect().ids(1, &CONTACT)
    );
    for row in tx.rows(&sql, args![contacts]).await? {
        if let Some(around) = found.get_mut(&key(&row)?) {
            around.segments.insert(row.int("segment_id")?);
        }
    }
    Ok(())
}

/// Enrollments that the CRM tells of, and those that the service carried out itself.
async fn enrollments(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    contacts: &[(i64, i64)],
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    kept::workflows(tx, asked, found).await?;
    let triples = contacts.iter().flat_map(|(account_id, contact_id)| {
        let workflows = asked.get(account_id).into_iter().flat_map(|asks| &asks.workflows);
        workflows.map(|workflow_id| [*account_id, *workflow_id, *contact_id])
    });
    let source = tx.dialect().ids(1, &ENROLLED);
    let sql = format!(
        "SELECT e.account_id, e.workflow_id, e.contact_id, e.active, \
           COALESCE(e.enrolled_at <= c.restored_at, FALSE) AS before_restore, NULL AS waiting_id \
         FROM {source} JOIN workflow_enrollments e \
         ON e.account_id = b.account_id AND e.workflow_id = b.workflow_id AND e.contact_id = b.contact_id \
         JOIN contacts c ON c.account_id = e.account_id AND c.contact_id = e.contact_id \
         UNION ALL \
         SELECT l.account_id, l.workflow_id, l.object_id, FALSE, \
           l.outcome <> 'deleted' AND COALESCE(l.enrolled_at <= c.restored_at, FALSE), \
           CASE WHEN l.outcome <> 'deleted' THEN l.enrollment_id END FROM {source} JOIN ledger l \
         ON l.account_id = b.account_id AND l.workflow_id = b.workflow_id AND l.object_id = b.contact_id \
         LEFT JOIN contacts c ON c.account_id = l.account_id AND c.contact_id = l.object_id \
         WHERE {COUNTS_AS_ENROLLED}"
    );
    for row in tx.rows(&sql, args![Lists::ids(triples)]).await? {
        if let Some(around) = found.get_mut(&key(&row)?) {
            let enrolled = around.enrollments.entry(row.int("workflow_id")?).or_default();
            match (row.bool("active")?, row.optional_int("waiting_id")?) {
                (false, _) if row.bool("before_restore")? => enrolled.completed_or_removed = true,
                (_, Some(waiting_id)) => drop(enrolled.waiting.insert(waiting_id)),
                (true, None) => enrolled.active = true,
                (false, None) => enrolled.completed = true,
            }
        }
    }
    Ok(())
}

/// Objects at the other end of an association, whichever end the contact is, but those that are in the trash.
async fn neighbours(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    contacts: &Lists,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    kept::associations(tx, asked, found).await?;
    let types: BTreeSet<&'static str> =
        asked.values().flat_map(|asks| asks.neighbours.iter().copied()).collect();
    let source = tx.dialect().ids(1, &CONTACT);
    let named = |of: &[&str]| {
        let of: Vec<&str> = of.iter().copied().filter(|it| types.contains(it)).collect();
        (!of.is_empty()).then(|| format!("('{}')", of.join("', '")))
    };
    let ends = [("from", "to"), ("to", "from")];
    let is_outward = |own: &str| if own == "from" { "TRUE" } else { "FALSE" };
    let mut selects = Vec::new();
    if let Some(objects) = named(&OBJECTS) {
        selects.extend(ends.iter().map(|(own, other)| {
            format!(
                "SELECT b.account_id, b.contact_id, a.{other}_type AS object_type, a.{other}_id AS object_id, a.association_type_id, \
                 {} AS is_outward, CAST(o.properties AS text) AS properties, NULL AS history, o.is_partial \
                 FROM {source} JOIN associations a ON a.account_id = b.account_id \
                 AND a.{own}_type = 'contact' AND a.{own}_id = b.contact_id AND a.{other}_type IN {objects} \
                 LEFT JOIN objects o ON o.account_id = a.account_id AND o.object_type = a.{other}_type \
                 AND o.object_id = a.{other}_id WHERE o.deleted_at IS NULL",
                is_outward(own)
            )
        }));
    }
    let of_object = |_: &Row| Ok(None);
    for sql in &selects {
        add_associated_objects(tx, sql, contacts, of_object, &types, found).await?;
    }
    if types.contains("contact") {
        for (own, other) in ends {
            let sql = format!(
                "SELECT b.account_id, b.contact_id, 'contact' AS object_type, a.{other}_id AS object_id, a.association_type_id, \
                 {} AS is_outward, CAST(c.properties AS text) AS properties, \
                 CAST(c.history AS text) AS history, c.created_at, c.is_partial \
                 FROM {source} JOIN associations a ON a.account_id = b.account_id \
                 AND a.{own}_type = 'contact' AND a.{own}_id = b.contact_id AND a.{other}_type = 'contact' \
                 LEFT JOIN contacts c ON c.account_id = a.account_id AND c.contact_id = a.{other}_id \
                 WHERE c.deleted_at IS NULL",
                is_outward(own)
            );
            add_associated_objects(tx, &sql, contacts, |row| row.optional_time("created_at"), &types, found)
                .await?;
        }
    }
    if let Some(activities) = named(&ACTIVITIES) {
        let sql = format!(
            "SELECT b.account_id, b.contact_id, v.type AS object_type, v.activity_id AS object_id, NULL AS association_type_id, \
             TRUE AS is_outward, CAST(v.properties AS text) AS properties, NULL AS history, v.occurred_at AS created_at, \
             FALSE AS is_partial \
             FROM {source} JOIN activity_associations l ON l.account_id = b.account_id \
             AND l.object_type = 'contact' AND l.object_id = b.contact_id \
             JOIN activities v ON v.account_id = l.account_id AND v.activity_id = l.activity_id \
             AND NOT v.stub AND v.deleted_at IS NULL AND v.type IN {activities}"
        );
        add_associated_objects(tx, &sql, contacts, |row| row.optional_time("created_at"), &types, found)
            .await?;
    }
    Ok(())
}

/// Adds the neighbours that a query finds.
async fn add_associated_objects(
    tx: &mut Tx,
    sql: &str,
    contacts: &Lists,
    created_at: impl Fn(&Row) -> Result<Option<Time>, StoreError>,
    types: &BTreeSet<&'static str>,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    for row in tx.rows(sql, args![contacts]).await? {
        let object_type = row.text("object_type")?;
        let object_type = types.iter().copied().find(|it| *it == object_type);
        if let (Some(around), Some(object_type)) = (found.get_mut(&key(&row)?), object_type) {
            let association_type = row.optional_text("association_type_id")?;
            let is_known = row.optional_text("properties")?.is_some();
            let mut record = if is_known { Some(record(&row, created_at(&row)?)?) } else { None };
            if let Some(Record { properties, .. }) = &mut record {
                properties.entry("hs_object_id".to_owned()).or_insert(row.int("object_id")?.to_string());
            }
            let is_outward = row.bool("is_outward")?;
            around.neighbours.push(AssociatedObject { object_type, association_type, is_outward, record });
        }
    }
    Ok(())
}

async fn events(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    contacts: &Lists,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    kept::events(tx, asked, found).await?;
    let sql = format!(
        "SELECT e.account_id, e.contact_id, e.event_type_id, e.occurred_at, CAST(e.properties AS text) AS properties \
         FROM {} JOIN custom_events e ON e.account_id = b.account_id AND e.contact_id = b.contact_id",
        tx.dialect().ids(1, &CONTACT)
    );
    for row in tx.rows(&sql, args![contacts]).await? {
        let (account_id, contact_id) = key(&row)?;
        let event_type = row.text("event_type_id")?;
        let wanted = asked.get(&account_id).is_some_and(|asks| asks.events.contains(&event_type));
        if let Some(around) = found.get_mut(&(account_id, contact_id)).filter(|_| wanted) {
            let properties: serde_json::Map<String, serde_json::Value> = row.json("properties")?;
            around.events.push(CustomEvent::told(event_type, row.time("occurred_at")?, properties.iter()));
        }
    }
    Ok(())
}

async fn submissions(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    contacts: &Lists,
    found: &mut RelatedDataByContact,
) -> Result<(), StoreError> {
    kept::forms(tx, asked, found).await?;
    let sql = format!(
        "SELECT s.account_id, s.contact_id, s.form_id, s.submitted_at, FALSE AS is_by_analytics \
         FROM {source} JOIN form_submissions s ON s.account_id = b.account_id AND s.contact_id = b.contact_id \
         UNION ALL \
         SELECT a.account_id, a.contact_id, a.source, a.occurred_at, TRUE \
         FROM {source} JOIN analytics_events a ON a.account_id = b.account_id AND a.contact_id = b.contact_id \
         WHERE lower(a.type) = 'form_submission' AND NOT EXISTS (SELECT 1 FROM form_submissions s \
         WHERE s.account_id = a.account_id AND s.contact_id = a.contact_id AND s.form_id = a.source \
         AND s.submitted_at = a.occurred_at)",
        source = tx.dialect().ids(1, &CONTACT)
    );
    for row in tx.rows(&sql, args![contacts]).await? {
        if let Some(around) = found.get_mut(&key(&row)?) {
            around.submissions.push(Submission {
                form_id: row.text("form_id")?,
                at: row.time("submitted_at")?,
                is_by_analytics: row.bool("is_by_analytics")?,
            });
        }
    }
    Ok(())
}
