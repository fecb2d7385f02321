//! A batch of enrollments, decided and carried out in one transaction.
//!
//! Lock the contacts, load what the checks ask about, decide each enrollment in the order of arrival, apply
//! the trash column of the matrix to those that are to go, write ledger, outbox and audit. The rows of a
//! contact, workflow and subscription stay locked until the commit, so that nothing decides on what is no
//! longer true. Locks are taken in one order everywhere: contacts by key, then workflows, subscriptions, ledger.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde_json::json;

use super::audit::{self, Actor};
use super::db::{Tx, args};
use super::trash::{self, DeletedBy, Deletion, Trashed};
use super::{Store, StoreError, batch_row, batch_text, transaction};
use crate::domain::criteria::Segments;
use crate::domain::decision::{Contact, Decision, Facts, PastEnrollment, decide};
use crate::domain::enrollment::{EnrollmentKey, Identity, NewEnrollment};
use crate::domain::entitlement::{Subscription, Tier};
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::{Time, format_time};
use crate::domain::workflow::Workflow;

const CONTACT: [Column; 2] = [("account_id", ColumnType::Int), ("contact_id", ColumnType::Int)];
const WORKFLOW: [Column; 2] = [("account_id", ColumnType::Int), ("workflow_id", ColumnType::Int)];
const ACCOUNT: [Column; 1] = [("account_id", ColumnType::Int)];
const KEY: [Column; 3] =
    [("account_id", ColumnType::Int), ("enrollment_id", ColumnType::Int), ("action_id", ColumnType::Int)];
const ENROLLED: [Column; 3] =
    [("account_id", ColumnType::Int), ("workflow_id", ColumnType::Int), ("contact_id", ColumnType::Int)];
const SEGMENT: [Column; 2] = [("account_id", ColumnType::Int), ("segment_id", ColumnType::Int)];
const LEDGER: [Column; 12] = [
    ("account_id", ColumnType::Int),
    ("enrollment_id", ColumnType::Int),
    ("action_id", ColumnType::Int),
    ("workflow_id", ColumnType::Int),
    ("object_type_id", ColumnType::Text),
    ("object_id", ColumnType::Int),
    ("cause", ColumnType::Text),
    ("enrolled_at", ColumnType::Time),
    ("outcome", ColumnType::Text),
    ("reason", ColumnType::Text),
    ("decided_at", ColumnType::Time),
    ("trash_entry_id", ColumnType::Int),
];

/// A decision that was committed.
#[derive(Clone, Debug)]
pub struct Decided {
    pub decision: Decision,
    /// The database's clock.
    pub at: Time,
}

impl Store {
    /// Decides a batch and does what was decided; the answers are in the order of the batch. All of it is
    /// committed, or none.
    ///
    /// # Errors
    ///
    /// Transient ones leave nothing done that a repetition would not find in the ledger.
    pub async fn decide(
        &self,
        batch: &[NewEnrollment],
        ledger_retention: Duration,
    ) -> Result<Vec<Decided>, StoreError> {
        transaction!(self, tx => decide_batch(tx, batch, ledger_retention))
    }
}

async fn decide_batch(
    tx: &mut Tx,
    batch: &[NewEnrollment],
    ledger_retention: Duration,
) -> Result<Vec<Decided>, StoreError> {
    let now = tx.now().await?;
    let mut known = Known::load(tx, batch, now).await?;
    let mut decided = Vec::with_capacity(batch.len());
    for enrollment in batch {
        let decision = known.decide(enrollment, ledger_retention);
        known.note(enrollment, &decision);
        decided.push(Decided { decision, at: now });
    }
    let trashed = apply(tx, batch, &decided, now).await?;
    write_ledger(tx, batch, &decided, &trashed).await?;
    Ok(decided)
}

/// What the database knew when the batch was decided, and what the batch itself has done since.
struct Known {
    now: Time,
    accounts: BTreeSet<i64>,
    workflows: HashMap<(i64, i64), Workflow>,
    subscriptions: HashMap<i64, Vec<Subscription>>,
    contacts: HashMap<(i64, i64), Contact>,
    decided: HashMap<EnrollmentKey, Identity>,
    enrolled: HashMap<(i64, i64, i64), Vec<PastEnrollment>>,
    segments: HashMap<(i64, i64), Segments>,
}

impl Known {
    async fn load(tx: &mut Tx, batch: &[NewEnrollment], now: Time) -> Result<Self, StoreError> {
        let contact_keys: BTreeSet<(i64, i64)> =
            batch.iter().map(|enrollment| (enrollment.key.account_id, enrollment.object_id)).collect();
        let contacts = load_contacts(tx, &contact_keys).await?;
        let workflows = load_workflows(tx, batch).await?;
        let accounts: BTreeSet<i64> = batch.iter().map(|enrollment| enrollment.key.account_id).collect();
        let (accounts, subscriptions) = load_accounts(tx, &accounts).await?;
        let segments = load_segments(tx, &workflows, &contact_keys).await?;
        let enrolled = load_enrolled(tx, batch).await?;
        let decided = load_decided(tx, batch).await?;
        Ok(Self { now, accounts, workflows, subscriptions, contacts, decided, enrolled, segments })
    }

    fn decide(&self, enrollment: &NewEnrollment, ledger_retention: Duration) -> Decision {
        let account_id = enrollment.key.account_id;
        let contact = (account_id, enrollment.object_id);
        let nothing = Segments::default();
        let enrolled = self.enrolled.get(&(account_id, enrollment.workflow_id, enrollment.object_id));
        decide(
            enrollment,
            &Facts {
                now: self.now,
                ledger_retention,
                decided: self.decided.get(&enrollment.key),
                account_exists: self.accounts.contains(&account_id),
                workflow: self.workflows.get(&(account_id, enrollment.workflow_id)),
                subscriptions: self.subscriptions.get(&account_id).map_or(&[], Vec::as_slice),
                contact: self.contacts.get(&contact).unwrap_or(&Contact::Unknown),
                enrolled: enrolled.map_or(&[], Vec::as_slice),
                segments: self.segments.get(&contact).unwrap_or(&nothing),
            },
        )
    }

    /// The rest of the batch sees what this decision does.
    fn note(&mut self, enrollment: &NewEnrollment, decision: &Decision) {
        match decision {
            Decision::Delete => {
                self.contacts.insert((enrollment.key.account_id, enrollment.object_id), Contact::InTrash);
            }
            Decision::Skip(_) | Decision::Refuse(_) => {}
            Decision::Duplicate | Decision::DeadLetter(_) => return,
        }
        self.decided.insert(enrollment.key, enrollment.identity());
    }
}

/// Rows of ids as a batch.
fn id_batch<const N: usize>(columns: &[Column; N], rows: impl IntoIterator<Item = [i64; N]>) -> String {
    let row = |ids: [i64; N]| {
        columns.iter().zip(ids).map(|((name, _), id)| ((*name).to_owned(), id.into())).collect()
    };
    batch_text(rows.into_iter().map(row).collect())
}

async fn load_contacts(
    tx: &mut Tx,
    keys: &BTreeSet<(i64, i64)>,
) -> Result<HashMap<(i64, i64), Contact>, StoreError> {
    let batch = id_batch(&CONTACT, keys.iter().map(|(account_id, contact_id)| [*account_id, *contact_id]));
    let source = tx.dialect().batch(1, &CONTACT);
    let sql = format!(
        "SELECT c.account_id, c.contact_id, c.deleted_at, c.restored_at, CAST(c.properties AS text) AS properties \
         FROM {source} JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
         ORDER BY c.account_id, c.contact_id{}",
        tx.dialect().for_update("c")
    );
    let mut contacts = HashMap::with_capacity(keys.len());
    for row in tx.rows(&sql, args![batch.as_str()]).await? {
        let contact = match row.optional_time("deleted_at")? {
            Some(_) => Contact::InTrash,
            None => Contact::Live {
                restored_at: row.optional_time("restored_at")?,
                properties: row.json("properties")?,
            },
        };
        contacts.insert((row.int("account_id")?, row.int("contact_id")?), contact);
    }
    if contacts.len() < keys.len() {
        let sql = format!(
            "SELECT g.account_id, g.contact_id FROM {source} JOIN gone_contacts g \
             ON g.account_id = b.account_id AND g.contact_id = b.contact_id"
        );
        for row in tx.rows(&sql, args![batch]).await? {
            contacts.insert((row.int("account_id")?, row.int("contact_id")?), Contact::Gone);
        }
    }
    Ok(contacts)
}

async fn load_workflows(
    tx: &mut Tx,
    batch: &[NewEnrollment],
) -> Result<HashMap<(i64, i64), Workflow>, StoreError> {
    let keys: BTreeSet<[i64; 2]> =
        batch.iter().map(|enrollment| [enrollment.key.account_id, enrollment.workflow_id]).collect();
    let sql = format!(
        "SELECT w.account_id, w.workflow_id, w.flow FROM {} JOIN workflows w \
         ON w.account_id = b.account_id AND w.workflow_id = b.workflow_id \
         ORDER BY w.account_id, w.workflow_id{}",
        tx.dialect().batch(1, &WORKFLOW),
        tx.dialect().for_share("w")
    );
    let mut workflows = HashMap::with_capacity(keys.len());
    for row in tx.rows(&sql, args![id_batch(&WORKFLOW, keys)]).await? {
        let flow = row.json::<serde_json::Value>("flow")?;
        workflows.insert((row.int("account_id")?, row.int("workflow_id")?), Workflow::parse(&flow));
    }
    Ok(workflows)
}

async fn load_accounts(
    tx: &mut Tx,
    accounts: &BTreeSet<i64>,
) -> Result<(BTreeSet<i64>, HashMap<i64, Vec<Subscription>>), StoreError> {
    let batch = id_batch(&ACCOUNT, accounts.iter().map(|account_id| [*account_id]));
    let source = tx.dialect().batch(1, &ACCOUNT);
    let sql = format!("SELECT a.account_id FROM {source} JOIN accounts a ON a.account_id = b.account_id");
    let mut existing = BTreeSet::new();
    for row in tx.rows(&sql, args![batch.as_str()]).await? {
        existing.insert(row.int("account_id")?);
    }
    let sql = format!(
        "SELECT s.account_id, s.tier, s.starts_at, s.ends_at FROM {source} JOIN subscriptions s \
         ON s.account_id = b.account_id ORDER BY s.account_id, s.product, s.starts_at{}",
        tx.dialect().for_share("s")
    );
    let mut subscriptions: HashMap<i64, Vec<Subscription>> = HashMap::new();
    for row in tx.rows(&sql, args![batch]).await? {
        if let Some(tier) = Tier::parse(&row.text("tier")?) {
            subscriptions.entry(row.int("account_id")?).or_default().push(Subscription {
                tier,
                starts_at: row.time("starts_at")?,
                ends_at: row.optional_time("ends_at")?,
            });
        }
    }
    Ok((existing, subscriptions))
}

/// What the criteria of these workflows want to know about segments; nothing where they ask nothing.
async fn load_segments(
    tx: &mut Tx,
    workflows: &HashMap<(i64, i64), Workflow>,
    contacts: &BTreeSet<(i64, i64)>,
) -> Result<HashMap<(i64, i64), Segments>, StoreError> {
    let mut asked: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for ((account_id, _), workflow) in workflows {
        workflow.segments(asked.entry(*account_id).or_default());
    }
    asked.retain(|_, segments| !segments.is_empty());
    let mut found: HashMap<(i64, i64), Segments> = HashMap::new();
    if asked.is_empty() {
        return Ok(found);
    }
    let pairs =
        asked.iter().flat_map(|(account, segments)| segments.iter().map(|segment| [*account, *segment]));
    let sql = format!(
        "SELECT s.account_id, s.segment_id FROM {} JOIN segments s \
         ON s.account_id = b.account_id AND s.segment_id = b.segment_id",
        tx.dialect().batch(1, &SEGMENT)
    );
    let mut known: HashMap<i64, BTreeSet<i64>> = HashMap::new();
    for row in tx.rows(&sql, args![id_batch(&SEGMENT, pairs)]).await? {
        known.entry(row.int("account_id")?).or_default().insert(row.int("segment_id")?);
    }
    let concerned = contacts.iter().filter(|(account_id, _)| asked.contains_key(account_id));
    for (account_id, contact_id) in concerned.clone() {
        let known = known.get(account_id).cloned().unwrap_or_default();
        found.insert((*account_id, *contact_id), Segments { known, joined: BTreeSet::new() });
    }
    let sql = format!(
        "SELECT m.account_id, m.contact_id, m.segment_id FROM {} JOIN segment_members m \
         ON m.account_id = b.account_id AND m.contact_id = b.contact_id",
        tx.dialect().batch(1, &CONTACT)
    );
    let batch = id_batch(&CONTACT, concerned.map(|(account_id, contact_id)| [*account_id, *contact_id]));
    for row in tx.rows(&sql, args![batch]).await? {
        if let Some(segments) = found.get_mut(&(row.int("account_id")?, row.int("contact_id")?)) {
            segments.joined.insert(row.int("segment_id")?);
        }
    }
    Ok(found)
}

/// Enrollments of the same contacts in the same workflows: imported ones, and those the ledger carried out.
async fn load_enrolled(
    tx: &mut Tx,
    batch: &[NewEnrollment],
) -> Result<HashMap<(i64, i64, i64), Vec<PastEnrollment>>, StoreError> {
    let keys: BTreeSet<[i64; 3]> = batch
        .iter()
        .map(|enrollment| [enrollment.key.account_id, enrollment.workflow_id, enrollment.object_id])
        .collect();
    let source = tx.dialect().batch(1, &ENROLLED);
    let sql = format!(
        "SELECT e.account_id, e.workflow_id, e.contact_id, e.enrollment_id, e.enrolled_at, e.active \
         FROM {source} JOIN workflow_enrollments e \
         ON e.account_id = b.account_id AND e.workflow_id = b.workflow_id AND e.contact_id = b.contact_id \
         UNION ALL \
         SELECT l.account_id, l.workflow_id, l.object_id, l.enrollment_id, l.enrolled_at, FALSE \
         FROM {source} JOIN ledger l \
         ON l.account_id = b.account_id AND l.workflow_id = b.workflow_id AND l.object_id = b.contact_id \
         WHERE l.outcome = 'deleted'"
    );
    let mut enrolled: HashMap<_, Vec<PastEnrollment>> = HashMap::new();
    for row in tx.rows(&sql, args![id_batch(&ENROLLED, keys)]).await? {
        let key = (row.int("account_id")?, row.int("workflow_id")?, row.int("contact_id")?);
        enrolled.entry(key).or_default().push(PastEnrollment {
            enrollment_id: row.optional_int("enrollment_id")?,
            enrolled_at: row.time("enrolled_at")?,
            active: row.bool("active")?,
        });
    }
    Ok(enrolled)
}

/// What the ledger holds under the keys of the batch.
///
/// Read after the contacts are locked: whoever decides about the same contact has committed by now.
async fn load_decided(
    tx: &mut Tx,
    batch: &[NewEnrollment],
) -> Result<HashMap<EnrollmentKey, Identity>, StoreError> {
    let keys: BTreeSet<[i64; 3]> = batch
        .iter()
        .map(|NewEnrollment { key, .. }| [key.account_id, key.enrollment_id, key.action_id])
        .collect();
    let sql = format!(
        "SELECT l.account_id, l.enrollment_id, l.action_id, l.workflow_id, l.object_type_id, l.object_id \
         FROM {} JOIN ledger l ON l.account_id = b.account_id AND l.enrollment_id = b.enrollment_id \
         AND l.action_id = b.action_id",
        tx.dialect().batch(1, &KEY)
    );
    let mut decided = HashMap::new();
    for row in tx.rows(&sql, args![id_batch(&KEY, keys)]).await? {
        let key = EnrollmentKey {
            account_id: row.int("account_id")?,
            enrollment_id: row.int("enrollment_id")?,
            action_id: row.int("action_id")?,
        };
        let identity = Identity {
            workflow_id: row.int("workflow_id")?,
            object_type_id: row.text("object_type_id")?,
            object_id: row.int("object_id")?,
        };
        decided.insert(key, identity);
    }
    Ok(decided)
}

/// Puts what was decided to go into the trash, and says so to the outbox and the audit.
async fn apply(
    tx: &mut Tx,
    batch: &[NewEnrollment],
    decided: &[Decided],
    now: Time,
) -> Result<HashMap<EnrollmentKey, i64>, StoreError> {
    let to_go = batch.iter().zip(decided).filter(|(_, decided)| decided.decision == Decision::Delete);
    let mut keys = Vec::new();
    let mut deletions = Vec::new();
    let mut by_workflow: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for (enrollment, _) in to_go {
        let (account_id, workflow_id) = (enrollment.key.account_id, enrollment.workflow_id);
        let by = DeletedBy::Workflow { workflow_id, enrollment_id: enrollment.key.enrollment_id };
        keys.push(enrollment.key);
        deletions.push(Deletion { account_id, contact_id: enrollment.object_id, by, at: now });
        by_workflow.entry((account_id, workflow_id)).or_default().push(enrollment.object_id);
    }
    let trashed = trash::put_into_trash(tx, &deletions).await?;
    trash::announce(tx, &trashed).await?;
    for ((account_id, workflow_id), ids) in by_workflow {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        audit::write(tx, now, account_id, &Actor::Workflow(workflow_id), "trash", &ids, count).await?;
    }
    Ok(keys.into_iter().zip(trashed.iter().map(|Trashed { entry_id, .. }| *entry_id)).collect())
}

/// One row a decision. A row that is there already was written by another worker since it was looked up:
/// then nothing of this batch counts, and the next try finds it.
async fn write_ledger(
    tx: &mut Tx,
    batch: &[NewEnrollment],
    decided: &[Decided],
    trashed: &HashMap<EnrollmentKey, i64>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(batch.len());
    for (enrollment, Decided { decision, at }) in batch.iter().zip(decided) {
        if matches!(decision, Decision::Duplicate | Decision::DeadLetter(_)) {
            continue;
        }
        let entry_id = (*decision == Decision::Delete).then(|| trashed.get(&enrollment.key)).flatten();
        rows.push(batch_row(json!({"account_id": enrollment.key.account_id,
            "enrollment_id": enrollment.key.enrollment_id, "action_id": enrollment.key.action_id,
            "workflow_id": enrollment.workflow_id, "object_type_id": enrollment.object_type_id,
            "object_id": enrollment.object_id, "cause": enrollment.cause.as_str(),
            "enrolled_at": format_time(enrollment.enrolled_at), "outcome": decision.outcome(),
            "reason": decision.reason(), "decided_at": format_time(*at), "trash_entry_id": entry_id})));
    }
    let expected = rows.len() as u64;
    if expected == 0 {
        return Ok(());
    }
    let columns: Vec<&str> = LEDGER.iter().map(|(name, _)| *name).collect();
    let columns = columns.join(", ");
    let sql = format!(
        "INSERT INTO ledger ({columns}) SELECT {columns} FROM {} WHERE TRUE \
         ORDER BY account_id, enrollment_id, action_id ON CONFLICT DO NOTHING",
        tx.dialect().batch(1, &LEDGER)
    );
    if tx.execute(&sql, args![batch_text(rows)]).await? == expected {
        Ok(())
    } else {
        Err(StoreError::Contended("ledger".into()))
    }
}
