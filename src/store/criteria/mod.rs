//! From contacts and criteria to what can be evaluated: whatever criteria ask about a contact beyond its own row, loaded
//! for many contacts at once; nothing where they ask nothing. Enrollments and deletes by a filter both come this way.

pub(super) mod cache;
pub(super) mod kept;
mod neighbours;
pub(super) mod properties;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::StoreError;
use super::db::Tx;
use super::db::batch::{CONTACT, ENROLLED, Lists, RECORD};
use super::db::values::{Row, args};
use crate::domain::criteria::Criteria;
use crate::domain::criteria::subject::{
    CustomEvent, DataRequirements, PropertyVersion, Record, RecordType, RelatedData, Subject, Submission,
    texts,
};
use crate::domain::object_type::CONTACT as CONTACT_TYPE;
use crate::domain::time::{Time, parse_time};
use crate::domain::wall::zone_of_account;
use chrono_tz::Tz;
use kept::{COUNTS_AS_ENROLLED, RelatedDataByContact};
use properties::{Completed, always_has_value, complete};

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
        kept::associations(tx, asked, &mut found).await?;
        let contacts = those_who(|asks| !asks.neighbours.is_empty());
        neighbours::add(tx, CONTACT_TYPE, asked, &contacts, &mut found).await?;
    }
    if asked.values().any(|asks| !asks.events.is_empty()) {
        events(tx, asked, &those_who(|asks| !asks.events.is_empty()), &mut found).await?;
    }
    if asked.values().any(|asks| !asks.forms.is_empty()) {
        submissions(tx, asked, &those_who(|asks| !asks.forms.is_empty()), &mut found).await?;
    }
    let unknown = complete(tx, asked, records).await?;
    kept::properties(tx, asked, &RecordType::contact(), records, told, &mut found).await?;
    for (contact, name) in unknown {
        let names = &mut found.entry(contact).or_default().unknown_properties;
        names.entry(RecordType::contact()).or_default().insert(name);
    }
    Ok(found)
}

/// What each of these records, which are no contacts, has of what is asked about. Events, forms and enrollments are of contacts alone:
/// nothing of them is ever kept, and conditions on them are left open. So are those on times that every record has, where the store
/// was not told of them.
async fn load_others(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    asks: DataRequirements,
    records: &mut [Completed<'_>],
) -> Result<RelatedDataByContact, StoreError> {
    let mut found: RelatedDataByContact =
        records.iter().map(|(key, _)| (*key, RelatedData::default())).collect();
    let batch = Lists::ids(found.keys().map(|(account_id, record_id)| [*account_id, *record_id]));
    let asked = BTreeMap::from([(account_id, asks)]);
    let asks = &asked[&account_id];
    if !asks.segments.is_empty() {
        kept::segments(tx, &asked, object_type, &mut found).await?;
        let sql = format!(
            "SELECT m.account_id, m.record_id, m.segment_id FROM {} JOIN crm_record_segment_members m \
             ON m.account_id = b.account_id AND m.record_id = b.record_id AND m.object_type = $1",
            tx.dialect().ids(2, &RECORD)
        );
        for row in tx.rows(&sql, args![object_type, &batch]).await? {
            if let Some(around) = found.get_mut(&(account_id, row.int("record_id")?)) {
                around.segments.insert(row.int("segment_id")?);
            }
        }
    }
    if !asks.neighbours.is_empty() {
        let kept = neighbours::kept(tx, account_id, object_type, &asks.neighbours).await?;
        for around in found.values_mut() {
            around.kept_associations.clone_from(&kept);
        }
        neighbours::add(tx, object_type, &asked, &batch, &mut found).await?;
    }
    let own = RecordType::object(object_type);
    kept::properties(tx, &asked, &own, records, &[], &mut found).await?;
    let served: BTreeSet<&String> =
        asks.properties.get(&own).into_iter().flatten().filter(|name| always_has_value(name)).collect();
    for (key, record) in records.iter() {
        let missing = served.iter().filter(|name| record.value(name).is_none());
        if let Some(around) = found.get_mut(key) {
            let missing = missing.map(|name| (*name).clone());
            around.unknown_properties.entry(own.clone()).or_default().extend(missing);
        }
    }
    Ok(found)
}

/// Records of one type in one account, ready to be looked at by a person's filter.
pub struct EvaluationContext<'a> {
    object_type: &'a str,
    now: Time,
    zone: Option<Tz>,
    found: RelatedDataByContact,
    nothing: RelatedData,
}

impl<'a> EvaluationContext<'a> {
    /// Loads what is asked about these records, and completes them where they are contacts.
    pub async fn load(
        tx: &mut Tx,
        account_id: i64,
        object_type: &'a str,
        criteria: &Criteria,
        records: &mut HashMap<i64, Record>,
    ) -> Result<Self, StoreError> {
        let mut asks = DataRequirements::default();
        criteria.asks_of(&RecordType::object(object_type), &mut asks);
        let now = tx.now().await?;
        let sql = "SELECT time_zone FROM accounts WHERE account_id = $1";
        let account = tx.row(sql, args![account_id]).await?;
        let name = account.map(|row| row.optional_text("time_zone")).transpose()?.flatten();
        let keys = records.keys().map(|record_id| (account_id, *record_id)).collect();
        let mut records: Vec<Completed<'_>> =
            records.iter_mut().map(|(record_id, record)| ((account_id, *record_id), record)).collect();
        let found = if object_type == CONTACT_TYPE {
            load(tx, &[(account_id, asks)].into(), &keys, &mut records, &[]).await?
        } else {
            load_others(tx, account_id, object_type, asks, &mut records).await?
        };
        let zone = zone_of_account(name.as_deref());
        Ok(Self { object_type, now, zone, found, nothing: RelatedData::default() })
    }

    /// One of the records.
    pub fn subject<'s>(&'s self, key: (i64, i64), record: &'s Record) -> Subject<'s> {
        let around = self.found.get(&key).unwrap_or(&self.nothing);
        Subject::of_type(self.object_type, self.now, self.zone, record, around)
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
    kept::segments(tx, asked, CONTACT_TYPE, found).await?;
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
