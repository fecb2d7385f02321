//! Properties that the vendor serves from the record of a contact: conditions ask for them, and a contact does not have them
//! among its own. Nothing is looked up where nobody asks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;

use crate::domain::address::address_key;
use crate::domain::criteria::instant_of;
use crate::domain::criteria::subject::{
    DataRequirements, PropertyVersion, Record, RecordType, may_be_outdated,
};
use crate::domain::identifiers::additional_emails;
use crate::domain::lifecycle::stage_of;
use crate::domain::object_type::{CONTACT as CONTACT_TYPE, is_activity};
use crate::domain::properties::TIMESTAMP;
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::{Time, format_time};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{CONTACT, Lists, batch_row, batch_text};
use crate::store::db::values::args;

type Key = (i64, i64);

const STAGES: [Column; 2] = [("account_id", ColumnType::Int), ("stage", ColumnType::Text)];

/// A property that stands elsewhere in the store than among those of the contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served<'a> {
    CreateDate,
    LastModifiedDate,
    ObjectId,
    AdditionalEmails,
    /// When the contact came to a stage, as far as transitions are kept.
    StageDate(&'a str),
    /// The stages that the contact had, which its history may lack.
    Stages,
}

/// When a record was created, and when it was changed last: a contact, and another record.
const CREATED: [&str; 2] = ["createdate", "hs_createdate"];
const LAST_MODIFIED_CONTACT: &str = "lastmodifieddate";
pub const LAST_MODIFIED: &str = "hs_lastmodifieddate";

/// Does every record have a value of this property, whether the store knows it or not?
pub fn always_has_value(property: &str) -> bool {
    [LAST_MODIFIED_CONTACT, LAST_MODIFIED].contains(&property) || CREATED.contains(&property)
}

/// Adds what the vendor serves from the record itself: its id, when it was created and when it was changed last. It is for records
/// that are no contacts, and for associated ones. What the store does not know is left out. An exported date of the last change may be
/// older than `changed`, the last update or restore. Of an activity only the id is known.
pub fn serve(record: &mut Record, object_type: &str, id: i64, changed: Option<Time>) {
    record.properties.insert("hs_object_id".to_owned(), id.to_string());
    if is_activity(object_type) {
        // When it took place is known, whether or not its properties say so.
        if let Some(at) = record.created_at.filter(|_| record.value(TIMESTAMP).is_none()) {
            record.properties.insert(TIMESTAMP.to_owned(), format_time(at));
        }
        return;
    }
    let last = if object_type == CONTACT_TYPE { LAST_MODIFIED_CONTACT } else { LAST_MODIFIED };
    let last_modified = match record.value(last) {
        Some(exported) => changed.max(changed_since(record, last)).filter(|at| is_later(*at, exported)),
        None => changed.max(record.created_at).max(changed_since(record, last)),
    };
    let created = CREATED.into_iter().filter(|name| record.value(name).is_none());
    let created: Vec<_> = created.map(|name| (name, record.created_at)).collect();
    let served = created.into_iter().chain([(last, last_modified)]);
    let served = served.filter_map(|(name, at)| Some((name.to_owned(), format_time(at?))));
    record.properties.extend(served);
}

/// When a property changed last since the export brought the value that `date` has, by the history of the record. What came together
/// with that value is no later change than the value tells.
fn changed_since(record: &Record, date: &str) -> Option<Time> {
    let is_date = |name: &str| [LAST_MODIFIED_CONTACT, LAST_MODIFIED].contains(&name);
    let changes = record.history.iter().filter(|(name, _)| !is_date(name)).flat_map(|(_, versions)| versions);
    let last = changes.map(|past| past.at).max();
    last.filter(|at| arrived(record, date).is_none_or(|arrived| *at > arrived))
}

/// When the value of a property came, by its history.
fn arrived(record: &Record, name: &str) -> Option<Time> {
    let value = record.value(name)?;
    let versions = record.history.get(name).into_iter().flatten();
    versions.filter(|past| past.value == value).map(|past| past.at).max()
}

/// Is this later than a time that an export brought? Where that is no time, conditions on it are unknown.
pub fn is_later(at: Time, exported: &str) -> bool {
    instant_of(exported).is_some_and(|exported| at > exported)
}

/// The property whose changes are kept as transitions too.
const STAGE: &str = "lifecyclestage";

impl<'a> Served<'a> {
    fn of(name: &'a str) -> Option<Self> {
        match name {
            "createdate" => Some(Self::CreateDate),
            "lastmodifieddate" => Some(Self::LastModifiedDate),
            "hs_object_id" => Some(Self::ObjectId),
            "hs_additional_emails" => Some(Self::AdditionalEmails),
            _ => stage_of(name).map(Self::StageDate),
        }
    }
}

/// Does every such record have the property, whether it is kept or not?
pub fn is_served(records: &RecordType, property: &str) -> bool {
    match Served::of(property) {
        Some(Served::ObjectId) => true,
        Some(Served::StageDate(_)) => false,
        served => served.is_some() && records.is_of_object("contact"),
    }
}

/// Those of these stages to which a transition of any contact is kept, by account.
pub async fn kept_stages(
    tx: &mut Tx,
    asked: &BTreeSet<(i64, &str)>,
) -> Result<BTreeSet<(i64, String)>, StoreError> {
    let mut kept = BTreeSet::new();
    if asked.is_empty() {
        return Ok(kept);
    }
    let sql = format!(
        "SELECT b.account_id, b.stage FROM {} WHERE EXISTS (SELECT 1 FROM lifecycle_transitions t \
         WHERE t.account_id = b.account_id AND t.stage = b.stage)",
        tx.dialect().batch(1, &STAGES)
    );
    let row =
        |(account_id, stage): &(i64, &str)| batch_row(json!({"account_id": account_id, "stage": stage}));
    for row in tx.rows(&sql, args![batch_text(asked.iter().map(row))]).await? {
        kept.insert((row.int("account_id")?, row.text("stage")?));
    }
    Ok(kept)
}

/// A contact and its record, to be completed.
pub type Completed<'a> = (Key, &'a mut Record);

/// Adds to the records what is asked of them and stands elsewhere. The dates of stages that contacts have or had, and that nothing
/// says, are unknown, whatever other contacts have.
pub async fn complete(
    tx: &mut Tx,
    asked: &BTreeMap<i64, DataRequirements>,
    records: &mut [Completed<'_>],
) -> Result<Vec<(Key, String)>, StoreError> {
    let (contact, mut served) = (RecordType::contact(), Vec::new());
    for (index, ((account_id, _), record)) in records.iter().enumerate() {
        let Some(asks) = asked.get(account_id) else { continue };
        for name in asks.properties.get(&contact).into_iter().flatten() {
            if let Some(property) = Served::of(name)
                && (may_be_outdated(name) || record.value(name).is_none())
            {
                served.push((index, name, property));
            }
            if asks.history && name == STAGE {
                served.push((index, name, Served::Stages));
            }
        }
    }
    let mut unknown = Vec::new();
    if served.is_empty() {
        return Ok(unknown);
    }
    let source = Sources::load(tx, records, &served).await?;
    for (index, name, property) in served {
        let (key, record) = &mut records[index];
        if property == Served::Stages {
            source.add_stages(*key, record);
            continue;
        }
        if let Served::StageDate(stage) = property
            && source.is_stage_date_outdated(*key, record, (name, stage))
        {
            record.properties.remove(name);
            unknown.push((*key, name.clone()));
            continue;
        }
        let own = match record.value(name) {
            Some(exported) => match source.newer(property, *key, record, exported) {
                None => continue,
                own => own,
            },
            None => source.value(property, *key, record),
        };
        match own {
            Some((value, at)) => {
                let past = at.map(|at| PropertyVersion { value: value.clone(), at });
                record.history.entry(name.clone()).or_default().extend(past);
                record.properties.insert(name.clone(), value);
            }
            // It is known that it has none.
            None if source.keeps(property, *key, record) => {
                record.properties.entry(name.clone()).or_default();
            }
            None => {
                if let Served::StageDate(stage) = property
                    && had_stage(record, stage)
                {
                    unknown.push((*key, name.clone()));
                }
            }
        }
    }
    Ok(unknown)
}

/// Does a contact's own record say that it has or had a stage?
fn had_stage(record: &Record, stage: &str) -> bool {
    stages(record).any(|had| had == stage)
}

/// Since when a contact had a stage last, by the history of its stage.
fn seen_at_stage(record: &Record, stage: &str) -> Option<Time> {
    let versions = record.history.get(STAGE).into_iter().flatten();
    versions.filter(|past| past.value == stage).map(|past| past.at).max()
}

fn stages(record: &Record) -> impl Iterator<Item = &str> {
    let had = record.history.get(STAGE).into_iter().flatten().map(|past| past.value.as_str());
    had.chain(record.value(STAGE))
}

/// What properties are served from.
#[derive(Default)]
struct Sources {
    /// When each contact was created, and when it was changed or restored last, as far as that is known.
    changed: HashMap<Key, (Time, Option<Time>)>,
    emails: HashMap<Key, Vec<(String, String)>>,
    /// The transitions of each contact, in their order.
    stages: HashMap<Key, Vec<(String, Time)>>,
    /// The stages to which a transition of any contact is kept, of those asked about, by account.
    kept_stages: BTreeSet<(i64, String)>,
}

impl Sources {
    async fn load(
        tx: &mut Tx,
        records: &[Completed<'_>],
        served: &[(usize, &String, Served<'_>)],
    ) -> Result<Self, StoreError> {
        let those = |is: fn(Served<'_>) -> bool| -> BTreeSet<Key> {
            let those = served.iter().filter(|(_, _, property)| is(*property));
            those.map(|(index, ..)| records[*index].0).collect()
        };
        let ids = |keys: &BTreeSet<Key>| {
            Lists::ids(keys.iter().map(|(account_id, contact_id)| [*account_id, *contact_id]))
        };
        let mut sources = Self::default();
        let contacts = tx.dialect().ids(1, &CONTACT);
        let changed = those(|property| property == Served::LastModifiedDate);
        if !changed.is_empty() {
            let sql = format!(
                "SELECT c.account_id, c.contact_id, c.created_at, c.updated_at, c.restored_at FROM {contacts} \
                 JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id"
            );
            for row in tx.rows(&sql, args![ids(&changed)]).await? {
                let changed = row.optional_time("updated_at")?.max(row.optional_time("restored_at")?);
                let key = (row.int("account_id")?, row.int("contact_id")?);
                sources.changed.insert(key, (row.time("created_at")?, changed));
            }
        }
        let emails = those(|property| property == Served::AdditionalEmails);
        if !emails.is_empty() {
            let sql = format!(
                "SELECT e.account_id, e.contact_id, e.email_key, e.email FROM {contacts} JOIN contact_emails e \
                 ON e.account_id = b.account_id AND e.contact_id = b.contact_id AND e.exclusive \
                 ORDER BY e.account_id, e.contact_id, e.email_key"
            );
            for row in tx.rows(&sql, args![ids(&emails)]).await? {
                let of_contact = sources.emails.entry((row.int("account_id")?, row.int("contact_id")?));
                of_contact.or_default().push((row.text("email_key")?, row.text("email")?));
            }
        }
        let staged = those(|property| matches!(property, Served::StageDate(_) | Served::Stages));
        if !staged.is_empty() {
            let sql = format!(
                "SELECT t.account_id, t.contact_id, t.stage, t.at FROM {contacts} JOIN lifecycle_transitions t \
                 ON t.account_id = b.account_id AND t.contact_id = b.contact_id ORDER BY t.at"
            );
            for row in tx.rows(&sql, args![ids(&staged)]).await? {
                let of_contact = sources.stages.entry((row.int("account_id")?, row.int("contact_id")?));
                of_contact.or_default().push((row.text("stage")?, row.time("at")?));
            }
        }
        let asked: BTreeSet<(i64, &str)> = served
            .iter()
            .filter_map(|(index, _, property)| match property {
                Served::StageDate(stage) => Some((records[*index].0.0, *stage)),
                _ => None,
            })
            .collect();
        sources.kept_stages = kept_stages(tx, &asked).await?;
        Ok(sources)
    }

    /// The value, and since when the contact has it where that is known.
    fn value(&self, property: Served<'_>, key: Key, record: &Record) -> Option<(String, Option<Time>)> {
        let since = |at: Time| (format_time(at), Some(at));
        match property {
            Served::CreateDate => record.created_at.map(since),
            Served::LastModifiedDate => {
                let (created, changed) = self.changed.get(&key).copied().unzip();
                created.max(changed.flatten()).max(changed_since(record, LAST_MODIFIED_CONTACT)).map(since)
            }
            Served::ObjectId => Some((key.1.to_string(), None)),
            Served::AdditionalEmails => {
                let all = self.emails_of(key).map(|(key, email)| (key.as_str(), email.as_str()));
                additional_emails(record.value("email"), all).map(|emails| (emails, None))
            }
            Served::StageDate(stage) => self.last_transition(key, stage).map(since),
            Served::Stages => None,
        }
    }

    /// The value, where the store knows better than what the export brought. What an export brought may be years old.
    fn newer(
        &self,
        property: Served<'_>,
        key: Key,
        record: &Record,
        exported: &str,
    ) -> Option<(String, Option<Time>)> {
        let later = |at: Time| is_later(at, exported).then(|| (format_time(at), Some(at)));
        match property {
            Served::LastModifiedDate => {
                let changed = self.changed.get(&key).and_then(|(_, changed)| *changed);
                changed.max(changed_since(record, LAST_MODIFIED_CONTACT)).and_then(later)
            }
            Served::StageDate(stage) => self.last_transition(key, stage).and_then(later),
            Served::ObjectId => Some((key.1.to_string(), None)),
            Served::AdditionalEmails => {
                let known =
                    exported.split(';').map(address_key).chain(record.value("email").map(address_key));
                let known: BTreeSet<String> = known.collect();
                let missing = self.emails_of(key).filter(|(key, _)| !known.contains(key));
                let all = [exported].into_iter().chain(missing.map(|(_, email)| email.as_str()));
                Some((all.collect::<Vec<_>>().join(";"), None))
            }
            Served::CreateDate | Served::Stages => None,
        }
    }

    /// The additional addresses of a contact, by key.
    fn emails_of(&self, key: Key) -> impl Iterator<Item = &(String, String)> {
        self.emails.get(&key).into_iter().flatten()
    }

    /// Has a contact come to a stage again since the date of it that is known? When it did is not: an import sees only that the stage
    /// has changed.
    fn is_stage_date_outdated(&self, key: Key, record: &Record, (date, stage): (&str, &str)) -> bool {
        // The vendor sets the date with the stage.
        const TOGETHER: chrono::TimeDelta = chrono::TimeDelta::hours(1);
        let exported = record.value(date).and_then(instant_of);
        let known = self.last_transition(key, stage).max(exported);
        let is_later = |at: Time| known.is_none_or(|known| at > known + TOGETHER);
        let seen = seen_at_stage(record, stage);
        if seen.is_some_and(|at| is_later(at) && arrived(record, date).is_none_or(|arrived| at > arrived)) {
            return true;
        }
        let transitions =
            self.stages.get(&key).into_iter().flatten().map(|(stage, at)| (stage.as_str(), *at));
        let seen = record.history.get(STAGE).into_iter().flatten().map(|past| (past.value.as_str(), past.at));
        let last = transitions.chain(seen).filter(|(stage, _)| !stage.is_empty()).max_by_key(|(_, at)| *at);
        record.value(STAGE) == Some(stage) && last.is_some_and(|(last, at)| last != stage && is_later(at))
    }

    fn last_transition(&self, key: Key, stage: &str) -> Option<Time> {
        self.stages.get(&key)?.iter().rfind(|(to, _)| to == stage).map(|(_, at)| *at)
    }

    /// Would the store have the value if there were one?
    fn keeps(&self, property: Served<'_>, key: Key, record: &Record) -> bool {
        match property {
            // A stage that nobody came to may be misspelt; and of whom no transition is kept, or not this one, may
            // have come to it all the same.
            Served::StageDate(stage) => {
                let is_stage_known = !record.is_partial || record.properties.contains_key(STAGE);
                is_stage_known
                    && (stages(record).next().is_none() || self.stages.contains_key(&key))
                    && !had_stage(record, stage)
                    && self.kept_stages.contains(&(key.0, stage.to_owned()))
            }
            Served::AdditionalEmails => !record.is_partial,
            Served::CreateDate | Served::LastModifiedDate | Served::ObjectId => true,
            Served::Stages => false,
        }
    }

    /// Adds the contact's transitions to the history of its stage.
    fn add_stages(&self, key: Key, record: &mut Record) {
        let Some(stages) = self.stages.get(&key) else { return };
        let history = record.history.entry(STAGE.to_owned()).or_default();
        for (stage, at) in stages {
            if !history.iter().any(|past| past.value == *stage && past.at == *at) {
                history.push(PropertyVersion { value: stage.clone(), at: *at });
            }
        }
        history.sort_by_key(|past| past.at);
    }
}
