//! Associations that programs make and take away. They enter as the records of an import do.
//!
//! An association is one fact, from whichever end it is made. What is made is added to what is there; only another company that was
//! the primary one before is an associated one from then on.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::activities;
use super::associations::{AssociationRow, Between, Pair, rows};
use super::find::lock_live;
use super::{Writing, read_record};
use crate::domain::associations::{AssociationType, Ends, Named, from_the_other_end, named, unlabelled};
use crate::domain::object_type::{RecordKey, id_of, is_activity};
use crate::domain::record::{ColumnType, Record};
use crate::domain::redaction::REDACTED;
use crate::store::access::audit::{self, Actor};
use crate::store::db::Tx;
use crate::store::db::batch::{List, Lists};
use crate::store::db::values::{Row, args};
use crate::store::import::writer::{Writer, by_program};
use crate::store::{Store, StoreError};

/// What a program changes between records of two types.
#[derive(Clone, Debug)]
pub struct AssociateRequest {
    pub by: Writing,
    pub between: Between,
    pub changes: Vec<AssociationChange>,
}

/// What becomes of the association of two records.
#[derive(Clone, Debug)]
pub struct AssociationChange {
    /// The ids of the own record and of the other one.
    pub pair: Pair,
    pub to: ToBe,
}

/// How two records are to be associated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToBe {
    /// By these types too, seen from the own record; by none of them: associated at all.
    Associated(Vec<AssociationType>),
    /// Not at all.
    Separate,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unassociated {
    /// The own record is not there, or in the trash.
    NoOwn,
    /// The other one.
    NoOther,
    /// No association of the account tells the label of this type.
    NoLabel(String),
}

/// All types by which the records are associated now, seen from the own one.
type Outcome = Result<Vec<Named>, Unassociated>;

impl Store {
    /// Associates records that are live, or takes their associations away. What became of each change.
    ///
    /// # Errors
    ///
    /// Refused where an association cannot be stored.
    pub async fn associate(&self, request: &AssociateRequest) -> Result<Vec<Outcome>, StoreError> {
        by_program!(self, request.by.token_id, writer => work(writer, request))
    }
}

async fn work(writer: &mut Writer, request: &AssociateRequest) -> Result<Vec<Outcome>, StoreError> {
    let AssociateRequest { by: Writing { account_id, user_id, .. }, between, changes } = request;
    let outcomes = associate(writer, *account_id, between, changes).await?;
    let done = changes.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
    let ids: Vec<i64> = done.map(|(change, _)| change.pair.0).collect();
    if !ids.is_empty() {
        let (now, actor) = (writer.now(), Actor::User(*user_id));
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        audit::write(writer.tx(), now, *account_id, &actor, "write_associations", &ids, count).await?;
    }
    Ok(outcomes)
}

/// Makes changes between records of two types in an open transaction.
pub(super) async fn associate(
    writer: &mut Writer,
    account_id: i64,
    between: &Between,
    changes: &[AssociationChange],
) -> Result<Vec<Outcome>, StoreError> {
    let ids = |of: fn(&Pair) -> i64| {
        let associated = changes.iter().filter(|change| change.to != ToBe::Separate);
        associated.map(|change| of(&change.pair)).collect::<BTreeSet<_>>()
    };
    let own = lock_live(writer.tx(), account_id, &between.own, &ids(|pair| pair.0)).await?;
    let others = lock_live(writer.tx(), account_id, &between.other, &ids(|pair| pair.1)).await?;
    let labels = labels(writer.tx(), account_id, between, changes).await?;
    let mut outcomes: Vec<Outcome> = changes
        .iter()
        .map(|AssociationChange { pair, to }| match to {
            // Whether or not they are live: a restore would bring the association back.
            ToBe::Separate => Ok(Vec::new()),
            ToBe::Associated(_) if !own.contains(&pair.0) => Err(Unassociated::NoOwn),
            ToBe::Associated(_) if !others.contains(&pair.1) => Err(Unassociated::NoOther),
            ToBe::Associated(types) => match types.iter().find(|it| labels.of(it).is_none()) {
                Some(unknown) => Err(Unassociated::NoLabel(unknown.id.clone())),
                None => Ok(Vec::new()),
            },
        })
        .collect();
    let possible: Vec<&AssociationChange> = changes
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| outcome.is_ok())
        .map(|(change, _)| change)
        .collect();
    let named = if is_activity(&between.own) || is_activity(&between.other) {
        on_activities(writer, account_id, between, &possible).await?
    } else {
        between_objects(writer, account_id, between, &possible, &labels).await?
    };
    for (outcome, named) in outcomes.iter_mut().filter_map(|outcome| outcome.as_mut().ok()).zip(named) {
        *outcome = named;
    }
    Ok(outcomes)
}

/// The labels that tell associations apart: those that imports use, so that an import and a program name the same association.
struct Labels<'a> {
    between: &'a Between,
    /// By the id of a type.
    known: BTreeMap<String, String>,
}

impl Labels<'_> {
    /// `None`: nothing tells that of a type of the account's own.
    fn of(&self, asked: &AssociationType) -> Option<String> {
        let Between { own, other } = self.between;
        if is_activity(own) || is_activity(other) {
            return Some(String::new());
        }
        let known = self.known.get(&asked.id).cloned();
        match asked.label_of_vendor(own, other) {
            Some("") => Some(String::new()),
            Some(label) => Some(known.unwrap_or_else(|| label.to_owned())),
            None if asked.is_the_vendors => Some(known.unwrap_or_default()),
            None => known,
        }
    }
}

async fn labels<'a>(
    tx: &mut Tx,
    account_id: i64,
    between: &'a Between,
    changes: &[AssociationChange],
) -> Result<Labels<'a>, StoreError> {
    let Between { own, other } = between;
    let types = changes.iter().filter_map(|change| match &change.to {
        ToBe::Associated(types) => Some(types),
        ToBe::Separate => None,
    });
    let with_label = types.flatten().filter(|it| it.label_of_vendor(own, other) != Some(""));
    let ids: BTreeSet<&str> = with_label.map(|it| it.id.as_str()).collect();
    let mut known = BTreeMap::new();
    if is_activity(own) || is_activity(other) || ids.is_empty() {
        return Ok(Labels { between, known });
    }
    // Of two records of one type another id has the label from the other end. An erasure may have made one of several labels. A type whose
    // label another one has is known by its id.
    let sql = format!(
        "SELECT b.id, coalesce(min(CASE WHEN a.label <> b.id THEN a.label END), b.id) AS label FROM {} {} associations a ON a.account_id = $1 AND a.association_type_id = b.id \
         AND a.label <> '' AND a.label NOT LIKE '%{REDACTED}%' \
         AND (a.from_type = $2 AND a.to_type = $3 OR a.from_type = $3 AND a.to_type = $2) GROUP BY b.id",
        tx.dialect().lists(4, &[("id", ColumnType::Text)]),
        tx.dialect().batch_join(),
    );
    let ids = Lists::new([List::texts(ids.into_iter().map(str::to_owned))]);
    for row in tx.rows(&sql, args![account_id, own.as_str(), other.as_str(), ids]).await? {
        known.insert(row.text("id")?, row.text("label")?);
    }
    Ok(Labels { between, known })
}

/// An association as the store has it, or is to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    from: RecordKey,
    to: RecordKey,
    label: String,
    type_id: Option<String>,
}

/// The associations of pairs of records, as they are and as they are to be, by both ends in order.
struct Facts {
    before: BTreeMap<[RecordKey; 2], Vec<Fact>>,
    after: BTreeMap<[RecordKey; 2], Vec<Fact>>,
}

async fn between_objects(
    writer: &mut Writer,
    account_id: i64,
    between: &Between,
    changes: &[&AssociationChange],
    labels: &Labels<'_>,
) -> Result<Vec<Vec<Named>>, StoreError> {
    let mut pairs: BTreeSet<Pair> = changes.iter().map(|change| change.pair).collect();
    pairs.extend(primary_companies(writer, account_id, between, changes).await?);
    let stored = rows(writer.tx(), account_id, between, &pairs).await?;
    let mut facts = Facts::new(between, stored);
    for AssociationChange { pair, to } in changes {
        let [own, other] = between.records(*pair);
        match to {
            ToBe::Associated(types) => facts.associate(&own, &other, types, labels),
            ToBe::Separate => drop(facts.after.remove(&in_order(&own, &other))),
        }
    }
    let named = changes.iter().map(|change| facts.named(between, change.pair)).collect();
    facts.write(writer, account_id).await?;
    Ok(named)
}

/// The pairs of a record and the companies that it is associated with, for those that get another primary one.
async fn primary_companies(
    writer: &mut Writer,
    account_id: i64,
    between: &Between,
    changes: &[&AssociationChange],
) -> Result<Vec<Pair>, StoreError> {
    let company_comes_first = between.own == COMPANY;
    let record = |(own, other): Pair| if company_comes_first { other } else { own };
    let is_primary = |change: &&&AssociationChange| match &change.to {
        ToBe::Associated(types) => types.iter().any(|it| it.is_primary(&between.own, &between.other)),
        ToBe::Separate => false,
    };
    let records: BTreeSet<i64> =
        changes.iter().filter(is_primary).map(|change| record(change.pair)).collect();
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let dialect = writer.tx().dialect();
    let companies = |company: &str, record: &str| {
        format!(
            "SELECT b.id, a.{company}_id AS company FROM {} {} associations a ON a.account_id = $1 \
             AND a.{record}_type = $2 AND a.{record}_id = b.id AND a.{company}_type = '{COMPANY}'",
            dialect.ids(3, &["id"]),
            dialect.batch_join(),
        )
    };
    let sql = format!("{} UNION {}", companies("to", "from"), companies("from", "to"));
    let object_type = if company_comes_first { &between.other } else { &between.own };
    let records = Lists::ids(records.into_iter().map(|id| [id]));
    let found = writer.tx().rows(&sql, args![account_id, object_type.as_str(), records]).await?;
    let pair = |row: &Row| {
        let (record, company) = (row.int("id")?, row.int("company")?);
        Ok(if company_comes_first { (company, record) } else { (record, company) })
    };
    found.iter().map(pair).collect()
}

const COMPANY: &str = "company";

fn in_order(own: &RecordKey, other: &RecordKey) -> [RecordKey; 2] {
    let mut ends = [own.clone(), other.clone()];
    ends.sort();
    ends
}

/// The type of the table that says no more than that records are associated.
fn plain(own: &RecordKey, other: &RecordKey) -> Option<AssociationType> {
    let id = unlabelled(&own.object_type, &other.object_type)?;
    Some(AssociationType { id: id.to_string(), is_the_vendors: true })
}

impl Facts {
    fn new(between: &Between, stored: BTreeMap<Pair, Vec<AssociationRow>>) -> Self {
        let mut before: BTreeMap<[RecordKey; 2], Vec<Fact>> = BTreeMap::new();
        for (pair, rows) in stored {
            let [own, other] = between.records(pair);
            let facts = before.entry(in_order(&own, &other)).or_default();
            for AssociationRow { label, type_id, is_outward } in rows {
                let (from, to) = if is_outward { (&own, &other) } else { (&other, &own) };
                let fact = Fact { from: from.clone(), to: to.clone(), label, type_id };
                // Of two records of one type either may be the own one.
                if !facts.contains(&fact) {
                    facts.push(fact);
                }
            }
        }
        Self { after: before.clone(), before }
    }

    /// By what a pair is to be associated.
    fn named(&self, between: &Between, pair: Pair) -> Vec<Named> {
        let [own, other] = between.records(pair);
        let facts = self.after.get(&in_order(&own, &other)).map_or(&[][..], Vec::as_slice);
        let named = facts
            .iter()
            .flat_map(|fact| named(fact.type_id.as_deref(), &fact.label, between.ends(fact.from == own)));
        named.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Adds what is not said yet: by types that are seen from the own record, and that they are associated at all.
    fn associate(
        &mut self,
        own: &RecordKey,
        other: &RecordKey,
        types: &[AssociationType],
        labels: &Labels<'_>,
    ) {
        let (own_type, other_type) = (own.object_type.as_str(), other.object_type.as_str());
        if types.iter().any(|it| it.is_primary(own_type, other_type)) {
            self.end_primary(own, other);
        }
        let facts = self.after.entry(in_order(own, other)).or_default();
        let new = |label: &str, type_id: Option<&str>| Fact {
            from: own.clone(),
            to: other.clone(),
            label: label.to_owned(),
            type_id: type_id.map(str::to_owned),
        };
        let plain = plain(own, other);
        for asked in types.iter().chain(&plain) {
            let says = |fact: &Fact| {
                let ends = Ends { own: own_type, other: other_type, is_outward: fact.from == *own };
                fact.type_id.as_ref().is_some_and(|carried| asked.is_met_by(carried, ends) == Some(true))
            };
            if facts.iter().any(says) {
                continue;
            }
            let label = labels.of(asked).unwrap_or_default();
            // Between two records of one type a label has a direction.
            let has_key = |fact: &Fact| {
                fact.label == label && (own_type != other_type || label.is_empty() || fact.from == *own)
            };
            match facts.iter_mut().find(|fact| has_key(fact)) {
                None => facts.push(new(&label, Some(&asked.id))),
                // Nothing told its type.
                Some(fact) if fact.type_id.is_none() => {
                    let id = if fact.from == *own {
                        None
                    } else {
                        from_the_other_end(&asked.id, own_type, other_type)
                    };
                    fact.type_id = Some(id.map_or_else(|| asked.id.clone(), |id| id.to_string()));
                }
                // That they are associated at all is said.
                Some(_) if label.is_empty() && plain.as_ref() == Some(asked) => {}
                // Another type has the label: its own id tells it from that.
                Some(_) => facts.push(new(&asked.id, Some(&asked.id))),
            }
        }
        if facts.is_empty() {
            facts.push(new("", None));
        }
    }

    /// Of the companies of a record none but this one is the primary one; the others stay associated.
    fn end_primary(&mut self, own: &RecordKey, other: &RecordKey) {
        let (record, company) = if own.object_type == COMPANY { (other, own) } else { (own, other) };
        for (ends, facts) in &mut self.after {
            let former = match ends {
                [one, former] | [former, one] if one == record && former.object_type == COMPANY => former,
                _ => continue,
            };
            if former == company {
                continue;
            }
            let all = facts.len();
            facts.retain(|fact| {
                let carried = fact.type_id.clone().map(|id| AssociationType { id, is_the_vendors: true });
                !carried.is_some_and(|it| it.is_primary(&record.object_type, COMPANY))
            });
            if facts.len() < all && facts.iter().all(|fact| !fact.label.is_empty()) {
                facts.push(Fact {
                    from: record.clone(),
                    to: former.clone(),
                    label: String::new(),
                    type_id: plain(record, former).map(|it| it.id),
                });
            }
        }
    }

    /// Writes what has changed.
    async fn write(mut self, writer: &mut Writer, account_id: i64) -> Result<(), StoreError> {
        let (mut removed, mut written) = (Vec::new(), Vec::new());
        for (ends, before) in &self.before {
            let after = self.after.get(ends).map_or(&[][..], Vec::as_slice);
            let gone = before.iter().filter(|fact| !after.contains(fact));
            let all = removed.len();
            removed.extend(gone.map(|fact| fact.record(account_id, true)));
            if removed.len() > all {
                // What is removed is removed as it is seen from either end.
                written.extend(after.iter().map(|fact| fact.record(account_id, false)));
                self.after.remove(ends);
            }
        }
        for (ends, after) in &self.after {
            let before = self.before.get(ends).map_or(&[][..], Vec::as_slice);
            let new = after.iter().filter(|fact| !before.contains(fact));
            written.extend(new.map(|fact| fact.record(account_id, false)));
        }
        writer.write_all(removed.into_iter().collect::<Result<_, _>>()?).await?;
        writer.write_all(written.into_iter().collect::<Result<_, _>>()?).await
    }
}

impl Fact {
    /// As an import would bring it, or take it away.
    fn record(&self, account_id: i64, is_removal: bool) -> Result<Record, StoreError> {
        let end = |end: &RecordKey| json!({"type": id_of(&end.object_type), "id": end.id.to_string()});
        let mut record = json!({"accountId": account_id.to_string(), "from": end(&self.from), "to": end(&self.to),
            "label": self.label});
        if is_removal {
            (record["kind"], record["of"]) = (json!("remove"), json!("association"));
        } else {
            (record["kind"], record["associationTypeId"]) = (json!("association"), json!(self.type_id));
        }
        read_record(&record)
    }
}

/// Changes what activities are on, which stands with each of them.
async fn on_activities(
    writer: &mut Writer,
    account_id: i64,
    between: &Between,
    changes: &[&AssociationChange],
) -> Result<Vec<Vec<Named>>, StoreError> {
    let is_own = is_activity(&between.own);
    let mut by_activity: BTreeMap<i64, Vec<(RecordKey, &ToBe)>> = BTreeMap::new();
    for change in changes {
        let [own, other] = between.records(change.pair);
        let (activity, record) = if is_own { (own, other) } else { (other, own) };
        by_activity.entry(activity.id).or_default().push((record, &change.to));
    }
    let ids = by_activity.keys().copied().collect();
    let mut activities = activities::stored(writer.tx(), account_id, &ids).await?;
    for (id, changes) in by_activity {
        let Some(activity) = activities.get_mut(&id) else { continue };
        for (record, to) in changes {
            match to {
                ToBe::Associated(_) => activity.on.insert(record),
                ToBe::Separate => activity.on.remove(&record),
            };
        }
    }
    let records = activities.iter().map(|(id, activity)| activity.record(account_id, *id));
    let records =
        records.collect::<Result<_, _>>().map_err(|fault| StoreError::Refused(fault.to_string()))?;
    writer.write_all(records).await?;
    Ok(changes.iter().map(|_| named(None, "", between.ends(true))).collect())
}
