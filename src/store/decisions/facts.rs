//! What the checks ask about, loaded for a whole batch under its locks.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use super::guard::{Guard, WorkflowKey};
use super::pauses::Pauses;
use super::unfinished_imports::{self, Unfinished};
use crate::domain::criteria::subject::{CustomEvent, DataRequirements, RelatedData};
use crate::domain::decision::{
    Attempt, Awaited, Contact, Decision, EnrollmentState, Explanation, Facts, PastEnrollment,
    UnfinishedImport, decide, explain,
};
use crate::domain::enrollment::{EnrollmentKey, Identity, NewEnrollment};
use crate::domain::entitlement::{Subscription, Tier};
use crate::domain::guard::Limit;
use crate::domain::time::Time;
use crate::domain::wall::zone_of_account;
use crate::domain::workflow::Workflow;
use crate::store::contacts::load_contacts;
use crate::store::criteria::cache::WorkflowCache;
use crate::store::criteria::kept::COUNTS_AS_ENROLLED;
use crate::store::criteria::properties::Completed;
use crate::store::db::Tx;
use crate::store::db::batch::{ACCOUNT, ENROLLED, ENROLLMENT, Lists, WORKFLOW};
use crate::store::db::values::args;
use crate::store::{StoreError, criteria};

/// What the database knew when the batch was decided, and what the batch itself has done since.
pub struct DecisionContext {
    now: Time,
    /// The accounts there are, with their zones.
    accounts: BTreeMap<i64, Option<Tz>>,
    workflows: HashMap<(i64, i64), Arc<Workflow>>,
    subscriptions: HashMap<i64, Vec<Subscription>>,
    contacts: HashMap<(i64, i64), Contact>,
    decided: HashMap<EnrollmentKey, Identity>,
    enrolled: HashMap<(i64, i64, i64), Vec<PastEnrollment>>,
    surroundings: HashMap<(i64, i64), RelatedData>,
    pauses: Pauses,
    unfinished: Unfinished,
    /// The batch waited before.
    waited: bool,
    /// Enrollments that a person let pass the guard.
    approved: HashSet<EnrollmentKey>,
    /// How long contacts are waited for that are not there yet, and since when they are.
    awaited: Option<(Duration, HashMap<EnrollmentKey, Time>)>,
    /// `None`: nothing has come near a limit.
    guard: Option<Guard>,
    since: BatchChanges,
}

/// What the batch itself has done.
#[derive(Default)]
struct BatchChanges {
    decided: HashMap<EnrollmentKey, Identity>,
    trashed: HashSet<(i64, i64)>,
    /// By contact, the enrollments that came to wait, or that no longer wait.
    moved: HashMap<(i64, i64), Vec<PendingChange>>,
}

/// An enrollment of the batch that was decided.
struct PendingChange {
    workflow_id: i64,
    enrollment_id: i64,
    enrolled_at: Time,
    waits: bool,
}

impl DecisionContext {
    /// Locks the contacts, workflows and subscriptions of the batch and loads the rest.
    pub async fn load(
        tx: &mut Tx,
        compiled: &WorkflowCache,
        batch: &[NewEnrollment],
        now: Time,
    ) -> Result<Self, StoreError> {
        let contact_keys: BTreeSet<(i64, i64)> =
            batch.iter().map(|enrollment| (enrollment.key.account_id, enrollment.object_id)).collect();
        let mut contacts = load_contacts(tx, &contact_keys).await?;
        let workflows = load_workflows(tx, compiled, batch).await?;
        let accounts: BTreeSet<i64> = batch.iter().map(|enrollment| enrollment.key.account_id).collect();
        let pauses = Pauses::load(tx, &accounts).await?;
        let (accounts, subscriptions) = load_accounts(tx, &accounts).await?;
        let mut asked: BTreeMap<i64, DataRequirements> = BTreeMap::new();
        for ((account_id, _), workflow) in &workflows {
            workflow.asks(asked.entry(*account_id).or_default());
        }
        let mut records: Vec<Completed<'_>> = contacts
            .iter_mut()
            .filter_map(|(key, contact)| match contact {
                Contact::Live { record, .. } => Some((*key, record)),
                Contact::Unknown | Contact::InTrash | Contact::Gone => None,
            })
            .collect();
        let told: Vec<(i64, &CustomEvent)> = batch
            .iter()
            .filter_map(|enrollment| Some((enrollment.key.account_id, enrollment.event.as_ref()?)))
            .collect();
        let surroundings = criteria::load(tx, &asked, &contact_keys, &mut records, &told).await?;
        let enrolled = load_enrolled(tx, batch).await?;
        let decided = load_decided(tx, batch).await?;
        let unfinished = unfinished_imports::unfinished(tx, &contact_keys).await?;
        Ok(Self {
            now,
            accounts,
            workflows,
            subscriptions,
            contacts,
            decided,
            enrolled,
            surroundings,
            pauses,
            unfinished,
            waited: false,
            approved: HashSet::new(),
            awaited: None,
            guard: None,
            since: BatchChanges::default(),
        })
    }

    /// The batch was decided before and waits: that is no reason against it. These of it were approved.
    pub fn prepare_redecision(&mut self, approved: HashSet<EnrollmentKey>) {
        self.decided.clear();
        self.waited = true;
        self.approved = approved;
    }

    /// Contacts that are not there yet are waited for: since now, where nothing else is said.
    pub fn wait_for_contacts(&mut self, patience: Duration, since: HashMap<EnrollmentKey, Time>) {
        self.awaited = Some((patience, since));
    }

    /// Leaves the enrollments of this workflow that are held or deferred out of what came before: what is supposed is what
    /// would become of them.
    pub fn leave_out_waiting(&mut self, account_id: i64, workflow_id: i64) {
        for ((account, workflow, _), enrolled) in &mut self.enrolled {
            if (*account, *workflow) == (account_id, workflow_id) {
                enrolled.retain(|past| past.standing != EnrollmentState::Waiting);
            }
        }
        for ((account, _), around) in &mut self.surroundings {
            if let (true, Some(enrolled)) = (*account == account_id, around.enrollments.get_mut(&workflow_id))
            {
                enrolled.waiting.clear();
            }
        }
    }

    /// Did a person let it pass the guard?
    pub fn is_approved(&self, key: &EnrollmentKey) -> bool {
        self.approved.contains(key)
    }

    /// Begins the batch anew, watched by the guard.
    pub fn enforce_guard(&mut self, guard: Guard) {
        self.guard = Some(guard);
        self.since = BatchChanges::default();
    }

    /// Was the contact erased or purged?
    pub fn is_gone(&self, account_id: i64, contact_id: i64) -> bool {
        matches!(self.contacts.get(&(account_id, contact_id)), Some(Contact::Gone))
    }

    /// Decides one enrollment by what is known.
    pub fn decide(&self, enrollment: &NewEnrollment, ledger_retention: Duration) -> Decision {
        self.with_facts(enrollment, ledger_retention, decide)
    }

    /// Explains what would be decided.
    pub fn explain(&self, enrollment: &NewEnrollment, ledger_retention: Duration) -> Explanation {
        self.with_facts(enrollment, ledger_retention, explain)
    }

    fn with_facts<T>(
        &self,
        enrollment: &NewEnrollment,
        ledger_retention: Duration,
        ask: impl FnOnce(&NewEnrollment, &Facts<'_>) -> T,
    ) -> T {
        let (key, account_id, workflow_id) =
            (&enrollment.key, enrollment.key.account_id, enrollment.workflow_id);
        let contact = (account_id, enrollment.object_id);
        let around = self.around(contact);
        let enrolled = self.enrolled_in((account_id, workflow_id, enrollment.object_id));
        let state = if self.since.trashed.contains(&contact) {
            &Contact::InTrash
        } else {
            self.contacts.get(&contact).unwrap_or(&Contact::Unknown)
        };
        ask(
            enrollment,
            &Facts {
                now: self.now,
                ledger_retention,
                attempt: match (self.is_approved(key), self.waited) {
                    (true, _) => Attempt::Approved,
                    (false, true) => Attempt::Again,
                    (false, false) => Attempt::First,
                },
                decided: self.since.decided.get(key).or_else(|| self.decided.get(key)),
                account_exists: self.accounts.contains_key(&account_id),
                workflow: self.workflows.get(&(account_id, workflow_id)).map(Arc::as_ref),
                subscriptions: self.subscriptions.get(&account_id).map_or(&[], Vec::as_slice),
                contact: state,
                unfinished_import: self.unfinished_import(contact),
                enrolled: &enrolled,
                zone: self.accounts.get(&account_id).copied().flatten(),
                around: &around,
                paused: self.pauses.is_paused(account_id, workflow_id),
                limit: self.limit((account_id, workflow_id)),
                awaited: self.awaited.as_ref().map(|(patience, since)| Awaited {
                    since: since.get(key).copied().unwrap_or(self.now),
                    patience: *patience,
                }),
            },
        )
    }

    fn unfinished_import(&self, contact: (i64, i64)) -> Option<UnfinishedImport> {
        match self.unfinished.accounts.get(&contact.0) {
            _ if self.unfinished.contacts.contains(&contact) => Some(UnfinishedImport::OfContact),
            Some(true) => Some(UnfinishedImport::OfEnrollments),
            Some(false) => Some(UnfinishedImport::OfAccount),
            None => None,
        }
    }

    /// The workflow that is asked about, to look at or to suppose something of it.
    pub fn workflow(&mut self, account_id: i64, workflow_id: i64) -> Option<&mut Workflow> {
        self.workflows.get_mut(&(account_id, workflow_id)).map(Arc::make_mut)
    }

    fn enrolled_in(&self, key: (i64, i64, i64)) -> Cow<'_, [PastEnrollment]> {
        let (account_id, workflow_id, contact_id) = key;
        let before = self.enrolled.get(&key).map_or(&[][..], Vec::as_slice);
        let Some(moved) = self.since.moved.get(&(account_id, contact_id)) else { return before.into() };
        let moved = || moved.iter().filter(|it| it.workflow_id == workflow_id);
        let stood = |past: &&PastEnrollment| {
            past.standing != EnrollmentState::Waiting
                || moved().all(|it| Some(it.enrollment_id) != past.enrollment_id)
        };
        let waiting = moved().filter(|it| it.waits).map(|it| PastEnrollment {
            enrollment_id: Some(it.enrollment_id),
            enrolled_at: it.enrolled_at,
            standing: EnrollmentState::Waiting,
        });
        before.iter().filter(stood).cloned().chain(waiting).collect()
    }

    /// What surrounds a contact, with what the batch has done to it.
    fn around(&self, contact: (i64, i64)) -> Cow<'_, RelatedData> {
        let before = self.surroundings.get(&contact);
        let Some(moved) = self.since.moved.get(&contact) else {
            return before.map_or_else(Cow::default, Cow::Borrowed);
        };
        let mut around = before.cloned().unwrap_or_default();
        for PendingChange { workflow_id, enrollment_id, waits, .. } in moved {
            let waiting = &mut around.enrollments.entry(*workflow_id).or_default().waiting;
            if *waits {
                waiting.insert(*enrollment_id);
                around.kept_workflows.insert(*workflow_id);
            } else {
                waiting.remove(enrollment_id);
            }
        }
        Cow::Owned(around)
    }

    /// The rest of the batch sees what this decision does.
    pub fn record_decision(&mut self, enrollment: &NewEnrollment, decision: &Decision) {
        let (account_id, workflow_id) = (enrollment.key.account_id, enrollment.workflow_id);
        match decision {
            Decision::Delete => {
                self.since.trashed.insert((account_id, enrollment.object_id));
                if let Some(guard) = &mut self.guard {
                    guard.count((account_id, workflow_id));
                }
            }
            Decision::Hold(_) | Decision::Defer(..) => self.moved(enrollment, true),
            Decision::Skip(_) | Decision::Refuse(_) if self.waited => self.moved(enrollment, false),
            Decision::Skip(_) | Decision::Refuse(_) => {}
            Decision::Duplicate | Decision::DeadLetter(_) => return,
        }
        self.since.decided.insert(enrollment.key, enrollment.identity());
    }

    fn moved(&mut self, enrollment: &NewEnrollment, waits: bool) {
        let contact = (enrollment.key.account_id, enrollment.object_id);
        self.since.moved.entry(contact).or_default().push(PendingChange {
            workflow_id: enrollment.workflow_id,
            enrollment_id: enrollment.key.enrollment_id,
            enrolled_at: enrollment.enrolled_at,
            waits,
        });
    }

    /// The limit of the guard that one more deletion by this workflow would break.
    pub fn limit(&self, workflow: WorkflowKey) -> Option<Limit> {
        self.guard.as_ref().and_then(|guard| guard.reached(workflow))
    }
}

async fn load_workflows(
    tx: &mut Tx,
    compiled: &WorkflowCache,
    batch: &[NewEnrollment],
) -> Result<HashMap<(i64, i64), Arc<Workflow>>, StoreError> {
    let keys: BTreeSet<[i64; 2]> =
        batch.iter().map(|enrollment| [enrollment.key.account_id, enrollment.workflow_id]).collect();
    let sql = format!(
        "SELECT w.account_id, w.workflow_id, w.flow FROM {} JOIN workflows w \
         ON w.account_id = b.account_id AND w.workflow_id = b.workflow_id \
         ORDER BY w.account_id, w.workflow_id{}",
        tx.dialect().ids(1, &WORKFLOW),
        tx.for_share("w")
    );
    let mut workflows = HashMap::with_capacity(keys.len());
    for row in tx.rows(&sql, args![Lists::ids(keys)]).await? {
        let workflow = compiled.workflow(row.text("flow")?)?;
        workflows.insert((row.int("account_id")?, row.int("workflow_id")?), workflow);
    }
    Ok(workflows)
}

async fn load_accounts(
    tx: &mut Tx,
    accounts: &BTreeSet<i64>,
) -> Result<(BTreeMap<i64, Option<Tz>>, HashMap<i64, Vec<Subscription>>), StoreError> {
    let batch = Lists::ids(accounts.iter().map(|account_id| [*account_id]));
    let source = tx.dialect().ids(1, &ACCOUNT);
    let sql = format!(
        "SELECT a.account_id, a.time_zone FROM {source} JOIN accounts a ON a.account_id = b.account_id"
    );
    let mut existing = BTreeMap::new();
    for row in tx.rows(&sql, args![&batch]).await? {
        let zone = row.optional_text("time_zone")?;
        existing.insert(row.int("account_id")?, zone_of_account(zone.as_deref()));
    }
    let sql = format!(
        "SELECT s.account_id, s.tier, s.starts_at, s.ends_at FROM {source} JOIN subscriptions s \
         ON s.account_id = b.account_id ORDER BY s.account_id, s.product, s.starts_at{}",
        tx.for_share("s")
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

/// Enrollments of the same contacts in the same workflows: imported ones, and those of the ledger that were carried out
/// or still wait.
async fn load_enrolled(
    tx: &mut Tx,
    batch: &[NewEnrollment],
) -> Result<HashMap<(i64, i64, i64), Vec<PastEnrollment>>, StoreError> {
    let keys: BTreeSet<[i64; 3]> = batch
        .iter()
        .map(|enrollment| [enrollment.key.account_id, enrollment.workflow_id, enrollment.object_id])
        .collect();
    let source = tx.dialect().ids(1, &ENROLLED);
    let sql = format!(
        "SELECT e.account_id, e.workflow_id, e.contact_id, e.enrollment_id, e.enrolled_at, e.active, FALSE AS waits \
         FROM {source} JOIN workflow_enrollments e \
         ON e.account_id = b.account_id AND e.workflow_id = b.workflow_id AND e.contact_id = b.contact_id \
         UNION ALL \
         SELECT l.account_id, l.workflow_id, l.object_id, l.enrollment_id, l.enrolled_at, FALSE, \
           l.outcome <> 'deleted' \
         FROM {source} JOIN ledger l \
         ON l.account_id = b.account_id AND l.workflow_id = b.workflow_id AND l.object_id = b.contact_id \
         WHERE {COUNTS_AS_ENROLLED}"
    );
    let mut enrolled: HashMap<_, Vec<PastEnrollment>> = HashMap::new();
    for row in tx.rows(&sql, args![Lists::ids(keys)]).await? {
        let key = (row.int("account_id")?, row.int("workflow_id")?, row.int("contact_id")?);
        enrolled.entry(key).or_default().push(PastEnrollment {
            enrollment_id: row.optional_int("enrollment_id")?,
            enrolled_at: row.time("enrolled_at")?,
            standing: match (row.bool("active")?, row.bool("waits")?) {
                (true, _) => EnrollmentState::Active,
                (_, true) => EnrollmentState::Waiting,
                _ => EnrollmentState::Over,
            },
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
        tx.dialect().ids(1, &ENROLLMENT)
    );
    let mut decided = HashMap::new();
    for row in tx.rows(&sql, args![Lists::ids(keys)]).await? {
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
