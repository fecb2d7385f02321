//! Records that programs create and change: up to a hundred in one transaction. They enter as the records of an import do.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::activities::{self, Activity};
use super::associate::{AssociationChange, ToBe, Unassociated, associate};
use super::associations::Between;
use super::find::Table;
use super::properties;
use super::read::{RecordRef, StoredRecord, by_ids, ids_of};
use crate::domain::address::{address_key, is_plain_address};
use crate::domain::associations::AssociationType;
use crate::domain::criteria::instant_of;
use crate::domain::members::FieldError;
use crate::domain::object_type::{CONTACT, RecordKey, id_of, is_activity};
use crate::domain::properties::{Definition, TIMESTAMP};
use crate::domain::record::{Record, record_of};
use crate::domain::time::{Time, format_time};
use crate::store::access::audit::{self, Actor};
use crate::store::db::batch::Lists;
use crate::store::db::values::args;
use crate::store::import::ids::allocate;
use crate::store::import::writer::Writer;
use crate::store::{Store, StoreError, retry_delay, should_retry};

/// What a program writes.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    pub account_id: i64,
    /// The one name of the type of all records.
    pub object_type: String,
    pub token_id: i64,
    /// Whose token it is.
    pub user_id: i64,
    pub changes: Vec<Change>,
    /// Where one of the changes cannot be made, are the others?
    pub is_partial: bool,
}

/// A record to be created or changed.
#[derive(Clone, Debug)]
pub struct Change {
    pub target: Target,
    /// `None` clears a property.
    pub properties: BTreeMap<String, Option<String>>,
    /// What a new record is associated with.
    pub associations: Vec<NewAssociation>,
}

/// A record with which a new one is associated.
#[derive(Clone, Debug)]
pub struct NewAssociation {
    pub with: RecordKey,
    /// Seen from the new record; none of them: associated at all.
    pub types: Vec<AssociationType>,
}

/// Which record a change is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    New,
    /// One that is live.
    Live(RecordRef),
    /// The live contact with this address, or a new one.
    Upsert(String),
}

/// A record that was written.
#[derive(Clone, Debug)]
pub struct Written {
    pub record: StoredRecord,
    pub is_new: bool,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The live contact of this id has the address.
    Taken(i64),
    /// Another record of the request has the address.
    TakenInRequest,
    NotFound,
    /// What it was to be associated with is not there, or in the trash.
    NoAssociated(RecordKey),
    /// No association of the account tells the label of this type.
    NoLabel(String),
    Properties(Vec<PropertyProblem>),
    /// The record cannot be stored, by this sentence.
    Unstorable(String),
    /// Nothing is wrong with it, but with another one, and all or nothing was asked for.
    NotTried,
}

/// What is wrong with the value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyProblem {
    pub name: String,
    /// `PROPERTY_DOESNT_EXIST`, `READ_ONLY_VALUE`, `INVALID_EMAIL` or `INVALID_DATE`.
    pub error: &'static str,
    pub message: String,
}

type Outcome = Result<Written, Problem>;

impl Store {
    /// Creates and changes records, each in the order of the request: all of them, or, where the request is partial, those that can
    /// be written.
    ///
    /// # Errors
    ///
    /// Where the database does not answer, or the account has no id left.
    pub async fn write_records(&self, request: &WriteRequest) -> Result<Vec<Outcome>, StoreError> {
        let mut tries = 0;
        loop {
            match write(self, request).await {
                Err(error) if should_retry(&error, tries) => {
                    tries += 1;
                    retry_delay(tries).await;
                }
                written => return written,
            }
        }
    }
}

async fn write(store: &Store, request: &WriteRequest) -> Result<Vec<Outcome>, StoreError> {
    let mut problems: BTreeMap<usize, Problem> = BTreeMap::new();
    loop {
        let known = problems.len();
        let mut writer = Writer::begin(store, request.token_id).await?;
        let written = match attempt(&mut writer, request, &mut problems).await {
            Ok(written) => written,
            Err(error) => return writer.end(Err(error)).await,
        };
        match written {
            Some(written) => return writer.end(Ok(outcomes(request, problems, written))).await,
            // Once more without those that could not be written.
            None if request.is_partial && problems.len() > known => writer.take_back(()).await?,
            None => return writer.take_back(outcomes(request, problems, Vec::new())).await,
        }
    }
}

/// What became of each change: those without a problem were written in their order, or none was.
fn outcomes(
    request: &WriteRequest,
    mut problems: BTreeMap<usize, Problem>,
    written: Vec<Written>,
) -> Vec<Outcome> {
    let mut written = written.into_iter();
    let outcome = |at| match problems.remove(&at) {
        Some(problem) => Err(problem),
        None => written.next().ok_or(Problem::NotTried),
    };
    (0..request.changes.len()).map(outcome).collect()
}

/// One try at all changes without a known problem. `None`: nothing is to be committed.
async fn attempt(
    writer: &mut Writer,
    request: &WriteRequest,
    problems: &mut BTreeMap<usize, Problem>,
) -> Result<Option<Vec<Written>>, StoreError> {
    let WriteRequest { account_id, object_type, changes, is_partial, .. } = request;
    let definitions = properties::known(writer.tx(), *account_id, object_type).await?;
    for (at, change) in changes.iter().enumerate() {
        let mut wrong = property_problems(object_type, &definitions, &change.properties);
        if let Target::Upsert(email) = &change.target {
            wrong.extend((!is_plain_address(email)).then(invalid_email));
        }
        if !wrong.is_empty() {
            problems.entry(at).or_insert(Problem::Properties(wrong));
        }
    }
    let (targets, changed) = targets(writer, request, problems).await?;
    if object_type == CONTACT {
        refuse_other_addresses(changes, &targets, problems);
        refuse_addresses_twice(changes, &targets, problems);
    }
    if !problems.is_empty() && !is_partial {
        return Ok(None);
    }
    let new = targets.iter().filter(|(at, target)| target.is_none() && !problems.contains_key(at)).count();
    let mut new_ids = allocate(writer.tx(), *account_id, new).await?.into_iter();
    let mut planned: BTreeMap<i64, Plan> = BTreeMap::new();
    let mut ids = Vec::new();
    let mut upserted: HashMap<String, i64> = HashMap::new();
    for (at, target) in targets {
        if problems.contains_key(&at) {
            continue;
        }
        let change = &changes[at];
        let address = match &change.target {
            Target::Upsert(email) => Some(address_key(email)),
            _ => None,
        };
        let (id, is_new) = match target.or_else(|| upserted.get(address.as_ref()?).copied()) {
            Some(id) => (id, planned.get(&id).is_some_and(|plan| plan.is_new)),
            None => match new_ids.next() {
                Some(id) => (id, true),
                None => return Err(StoreError::Failed("fewer ids than new records".to_owned())),
            },
        };
        upserted.extend(address.iter().map(|address| (address.clone(), id)));
        let plan = planned.entry(id).or_insert_with(|| Plan { at, is_new, properties: BTreeMap::new() });
        let mut properties = change.properties.clone();
        // The address by which an upsert names a contact that is there is not a change of its primary one.
        let names_it = |email: &Option<String>| email.as_deref().map(address_key) == address;
        if address.is_some() && !is_new && properties.get("email").is_some_and(names_it) {
            properties.remove("email");
        }
        // Of several changes of one record the later ones win.
        plan.properties.extend(properties);
        // One that is there may have the address beside its primary one.
        if let (Target::Upsert(email), true) = (&change.target, is_new) {
            plan.properties.entry("email".to_owned()).or_insert_with(|| Some(email.clone()));
        }
        ids.push((id, is_new));
    }
    let records = records(writer, request, &planned, &changed, problems).await?;
    let is_unstorable = planned.values().any(|plan| problems.contains_key(&plan.at));
    if !problems.is_empty() && !is_partial || is_unstorable {
        return Ok(None);
    }
    let refused = writer.write(records).await?;
    for refusal in &refused {
        let problem = match refusal.holder {
            // It is not there unless this request is carried out.
            Some(holder) if planned.get(&holder).is_some_and(|plan| plan.is_new) => Problem::TakenInRequest,
            Some(holder) => Problem::Taken(holder),
            None => Problem::Unstorable(refusal.problem.clone()),
        };
        problems.insert(usize::try_from(refusal.line).unwrap_or_default(), problem);
    }
    if !refused.is_empty() {
        return Ok(None);
    }
    associate_new(writer, request, &planned, problems).await?;
    if planned.values().any(|plan| problems.contains_key(&plan.at)) {
        return Ok(None);
    }
    let written = planned.keys().copied().collect();
    let stored = by_ids(writer.tx(), *account_id, object_type, &written, false, false).await?;
    let (now, actor) = (writer.now(), Actor::User(request.user_id));
    let keys: Vec<i64> = written.into_iter().collect();
    let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
    if count > 0 {
        audit::write(writer.tx(), now, *account_id, &actor, "write_records", &keys, count).await?;
    }
    let written = ids.into_iter().map(|(id, is_new)| {
        let record = stored.get(&id).cloned();
        let record =
            record.ok_or_else(|| StoreError::Failed("a record that was written is not there".to_owned()))?;
        Ok(Written { record, is_new })
    });
    written.collect::<Result<Vec<_>, StoreError>>().map(Some)
}

/// The records that are to be written, each with the position of its change; what cannot be stored is a problem.
async fn records(
    writer: &mut Writer,
    request: &WriteRequest,
    planned: &BTreeMap<i64, Plan>,
    changed: &Live,
    problems: &mut BTreeMap<usize, Problem>,
) -> Result<Vec<(u64, Record)>, StoreError> {
    let (now, account_id) = (writer.now(), request.account_id);
    let are_activities = is_activity(&request.object_type);
    let mut activities = BTreeMap::new();
    if are_activities {
        let ids = planned.keys().copied().collect();
        activities = activities::stored(writer.tx(), account_id, &ids).await?;
    }
    let mut records = Vec::new();
    // What changes nothing is no change.
    for (id, plan) in planned.iter().filter(|(_, plan)| plan.is_new || !plan.properties.is_empty()) {
        let now = changed.get(id).copied().flatten().map_or(now, |changed| after(changed, now));
        let record = if are_activities {
            plan.activity(request, activities.remove(id), now).record(account_id, *id)
        } else {
            plan.record(request, *id, now)
        };
        match record {
            Ok(record) => records.push((plan.at as u64, record)),
            Err(fault) => {
                problems.insert(plan.at, Problem::Unstorable(fault.to_string()));
            }
        }
    }
    Ok(records)
}

/// Associates new records with others.
async fn associate_new(
    writer: &mut Writer,
    request: &WriteRequest,
    planned: &BTreeMap<i64, Plan>,
    problems: &mut BTreeMap<usize, Problem>,
) -> Result<(), StoreError> {
    let mut by_type: BTreeMap<&str, Vec<(usize, AssociationChange)>> = BTreeMap::new();
    for (id, plan) in planned.iter().filter(|(_, plan)| plan.is_new) {
        for NewAssociation { with, types } in &request.changes[plan.at].associations {
            let change = AssociationChange { pair: (*id, with.id), to: ToBe::Associated(types.clone()) };
            by_type.entry(&with.object_type).or_default().push((plan.at, change));
        }
    }
    for (other, changes) in by_type {
        let between = Between { own: request.object_type.clone(), other: other.to_owned() };
        let (at, changes): (Vec<usize>, Vec<AssociationChange>) = changes.into_iter().unzip();
        let outcomes = associate(writer, request.account_id, &between, &changes).await?;
        for ((at, change), outcome) in at.into_iter().zip(changes).zip(outcomes) {
            let problem = match outcome {
                Ok(_) => continue,
                Err(Unassociated::NoLabel(id)) => Problem::NoLabel(id),
                Err(Unassociated::NoOwn | Unassociated::NoOther) => {
                    Problem::NoAssociated(RecordKey { object_type: other.to_owned(), id: change.pair.1 })
                }
            };
            problems.insert(at, problem);
        }
    }
    Ok(())
}

/// A change comes after the last one, also where an import dated that a little ahead of the clock.
fn after(last: Time, now: Time) -> Time {
    let next = last + TimeDelta::milliseconds(1);
    if next < now + TimeDelta::days(1) { now.max(next) } else { now }
}

/// What becomes of one record.
struct Plan {
    /// The first change that it stands in.
    at: usize,
    is_new: bool,
    properties: BTreeMap<String, Option<String>>,
}

impl Plan {
    /// As an import would bring it.
    fn record(&self, request: &WriteRequest, id: i64, now: Time) -> Result<Record, FieldError> {
        let now = format_time(now);
        let properties: Map<String, Value> = self
            .properties
            .iter()
            .filter(|(_, value)| value.is_some() || !self.is_new)
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let kind = if request.object_type == CONTACT { "contact" } else { "object" };
        let mut record = json!({"kind": kind, "accountId": request.account_id.to_string(), "id": id.to_string(),
            "objectTypeId": id_of(&request.object_type), "properties": properties, "updatedAt": now});
        if self.is_new {
            record["createdAt"] = json!(now);
        } else {
            record["partial"] = json!(true);
        }
        record_of(&record)
    }

    /// As it is to be.
    fn activity(&self, request: &WriteRequest, stored: Option<Activity>, now: Time) -> Activity {
        let mut activity = stored.unwrap_or_else(|| Activity {
            object_type: request.object_type.clone(),
            occurred_at: now,
            updated_at: None,
            properties: Map::new(),
            on: BTreeSet::new(),
        });
        for (name, value) in &self.properties {
            match value {
                Some(value) => drop(activity.properties.insert(name.clone(), json!(value))),
                None => drop(activity.properties.remove(name)),
            }
        }
        let told = self.properties.get(TIMESTAMP).and_then(Option::as_ref);
        activity.occurred_at = told.and_then(|told| instant_of(told)).unwrap_or(activity.occurred_at);
        activity.updated_at = Some(now);
        activity
    }
}

/// The record of each change that has no problem, by its position: `None` is a new one. With those that are live.
async fn targets(
    writer: &mut Writer,
    request: &WriteRequest,
    problems: &mut BTreeMap<usize, Problem>,
) -> Result<(Vec<(usize, Option<i64>)>, Live), StoreError> {
    let named: Vec<RecordRef> = request
        .changes
        .iter()
        .filter_map(|change| match &change.target {
            Target::New => None,
            Target::Live(record) => Some(record.clone()),
            Target::Upsert(email) => Some(RecordRef::Email(email.clone())),
        })
        .collect();
    let by_address = ids_of(writer.tx(), request.account_id, &named, false).await?;
    let id_of_address = |email: &str| by_address.get(&address_key(email)).copied();
    let ids = named.iter().filter_map(|record| match record {
        RecordRef::Id(id) => Some(*id),
        RecordRef::Email(email) => id_of_address(email),
    });
    let live = lock_live(writer, request, &ids.collect()).await?;
    let mut targets = Vec::new();
    for (at, change) in request.changes.iter().enumerate() {
        if problems.contains_key(&at) {
            continue;
        }
        let target = match &change.target {
            Target::New => None,
            Target::Upsert(email) => id_of_address(email).filter(|id| live.contains_key(id)),
            Target::Live(record) => {
                let id = match record {
                    RecordRef::Id(id) => Some(*id),
                    RecordRef::Email(email) => id_of_address(email),
                };
                let Some(id) = id.filter(|id| live.contains_key(id)) else {
                    problems.insert(at, Problem::NotFound);
                    continue;
                };
                Some(id)
            }
        };
        targets.push((at, target));
    }
    Ok((targets, live))
}

/// Live records, and when each was changed last, as far as its row says.
type Live = HashMap<i64, Option<Time>>;

/// Those of the records that are live, locked until the commit.
async fn lock_live(
    writer: &mut Writer,
    request: &WriteRequest,
    ids: &BTreeSet<i64>,
) -> Result<Live, StoreError> {
    if ids.is_empty() {
        return Ok(Live::new());
    }
    let table = Table::of(&request.object_type);
    let dialect = writer.tx().dialect();
    let sql = format!(
        "SELECT {id} AS id, {} AS updated_at FROM {} AND {id} IN (SELECT b.id FROM {}) AND r.deleted_at IS NULL ORDER BY {id}{}",
        "r.updated_at",
        table.rows("$2"),
        dialect.ids(3, &["id"]),
        dialect.for_update("r"),
        id = table.id(),
    );
    let ids = Lists::ids(ids.iter().map(|id| [*id]));
    let rows = writer.tx().rows(&sql, args![request.account_id, request.object_type.as_str(), ids]).await?;
    rows.iter().map(|row| Ok((row.int("id")?, row.optional_time("updated_at")?))).collect()
}

/// A new contact has the address that an upsert names it by: sent again, it would be another one otherwise.
fn refuse_other_addresses(
    changes: &[Change],
    targets: &[(usize, Option<i64>)],
    problems: &mut BTreeMap<usize, Problem>,
) {
    for (at, _) in targets.iter().filter(|(_, target)| target.is_none()) {
        let Change { target: Target::Upsert(named), properties, .. } = &changes[*at] else { continue };
        let is_other = |email: &Option<String>| {
            email.as_ref().is_none_or(|email| address_key(email) != address_key(named))
        };
        if properties.get("email").is_some_and(is_other) {
            problems.entry(*at).or_insert_with(|| Problem::Properties(vec![invalid_email()]));
        }
    }
}

/// Of several new records with one address the first one has it; one that changes has it, too.
fn refuse_addresses_twice(
    changes: &[Change],
    targets: &[(usize, Option<i64>)],
    problems: &mut BTreeMap<usize, Problem>,
) {
    let mut taken: HashMap<String, Option<i64>> = HashMap::new();
    for (at, target) in targets {
        let email = changes[*at].properties.get("email").cloned().flatten();
        let upsert = match &changes[*at].target {
            Target::Upsert(email) => Some(email.clone()),
            _ => None,
        };
        let is_upsert = upsert.is_some();
        let Some(key) = email.or(upsert).map(|email| address_key(&email)) else { continue };
        match taken.get(&key) {
            // The same record once more.
            Some(first) if *first == *target && (target.is_some() || is_upsert) => {}
            Some(_) => {
                problems.entry(*at).or_insert(Problem::TakenInRequest);
            }
            None => {
                taken.insert(key, *target);
            }
        }
    }
}

/// The address itself is not repeated.
fn invalid_email() -> PropertyProblem {
    let message = "Email address is invalid".to_owned();
    PropertyProblem { name: "email".to_owned(), error: "INVALID_EMAIL", message }
}

fn property_problems(
    object_type: &str,
    definitions: &BTreeMap<String, Definition>,
    properties: &BTreeMap<String, Option<String>>,
) -> Vec<PropertyProblem> {
    let mut problems = Vec::new();
    for (name, value) in properties {
        let mut problem =
            |error, message| problems.push(PropertyProblem { name: name.clone(), error, message });
        match definitions.get(name) {
            None => problem("PROPERTY_DOESNT_EXIST", format!("Property \"{name}\" does not exist")),
            Some(definition) if definition.is_read_only => {
                problem(
                    "READ_ONLY_VALUE",
                    format!("\"{name}\" is a read only property; its value cannot be set."),
                );
            }
            Some(_) => {
                let is_time = is_activity(object_type) && name == TIMESTAMP;
                if object_type == CONTACT
                    && name == "email"
                    && value.as_ref().is_some_and(|email| !is_plain_address(email))
                {
                    problems.push(invalid_email());
                } else if is_time && value.as_ref().is_some_and(|time| instant_of(time).is_none()) {
                    problem(
                        "INVALID_DATE",
                        format!(
                            "\"{name}\" is no time: write milliseconds since 1970 or 2026-11-28T15:30:17.883Z"
                        ),
                    );
                }
            }
        }
    }
    problems
}
