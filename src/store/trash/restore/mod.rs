//! Out of the trash: what people bring back, batch by batch, each batch in a transaction of its own.

mod candidates;
mod preview;

use serde::Serialize;
use serde_json::{Value, json};

use super::apply_transition;
use crate::domain::effects::Transition;
use crate::domain::permission::Scope;
use crate::domain::restore::{AddressOwners, Refusal, Verdict, decide};
use crate::domain::time::{Time, format_time};
use crate::store::access::audit::{self, Actor};
use crate::store::access::users::{authorize_user, user_named};
use crate::store::contacts::lifecycle::{self, StageChange};
use crate::store::contacts::{addresses, counts};
use crate::store::db::Tx;
use crate::store::db::batch::{BATCH, Lists};
use crate::store::db::values::args;
use crate::store::outbox::write_outbox;
use crate::store::{Store, StoreError, count_by_user, read_transaction, transaction};

pub use preview::{Missing, NOT_RESTORED, Preview, RecordsOfRun, RestorePreview};

/// How many contacts a transaction looks at.
const BATCH_SIZE: usize = 500;

/// Who wants which contacts back.
#[derive(Clone, Debug)]
pub struct Request {
    pub account_id: i64,
    /// The user, by id or e-mail address.
    pub user: String,
    pub wanted: RestoreSelection,
}

/// Which contacts are to come back.
#[derive(Clone, Debug)]
pub enum RestoreSelection {
    /// These, in this order.
    Contacts(Vec<i64>),
    /// Those that are in the trash because this workflow deleted them at that time or later, by id.
    DeletedBy { workflow_id: i64, since: Time },
    /// As [`Self::DeletedBy`], of a user by id or e-mail address; other records too.
    DeletedByUser { user: String, since: Time },
    /// Those that are in the trash since this deletion, by id; other records too.
    Deletion(i64),
}

impl RestoreSelection {
    /// These contacts, each once.
    pub fn contacts(ids: &[i64]) -> Self {
        let mut seen = std::collections::HashSet::new();
        Self::Contacts(ids.iter().copied().filter(|id| seen.insert(*id)).collect())
    }

    /// May other records than contacts be among them?
    pub fn has_records(&self) -> bool {
        matches!(self, Self::DeletedByUser { .. } | Self::Deletion(_))
    }

    /// What it takes to ask for them.
    fn scope(&self) -> Scope {
        match self {
            Self::Contacts(ids) if ids.len() == 1 => Scope::One,
            _ => Scope::Many,
        }
    }
}

/// How far a request was carried out.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreCursor {
    /// Contacts looked at.
    seen: usize,
    /// The last of them.
    after: i64,
}

/// A batch that was carried out.
#[derive(Debug)]
pub struct Restored {
    pub restored: Vec<i64>,
    pub refused: Vec<Refused>,
    /// Where the next batch begins; `None` after the last.
    pub next: Option<RestoreCursor>,
}

/// A contact that does not come back, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    pub contact_id: String,
    pub reason: &'static str,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
}

impl Refused {
    fn new(account_id: i64, (contact_id, refusal): (i64, Refusal)) -> Self {
        Self {
            contact_id: contact_id.to_string(),
            reason: refusal.code(),
            message: refusal.sentence(account_id, contact_id),
            held_by: refusal.held_by().map(|id| id.to_string()),
        }
    }
}

impl Store {
    /// Brings the next batch of a request back; each contact is restored or refused by itself.
    ///
    /// # Errors
    ///
    /// Refused as a whole: an unknown user, no permission, a time that is yet to come.
    pub async fn restore(&self, request: &Request, from: RestoreCursor) -> Result<Restored, StoreError> {
        let restored = transaction!(self, tx => restore(tx, request, from))?;
        count_by_user(Transition::Restore, restored.restored.len());
        Ok(restored)
    }

    /// Is there such a workflow?
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn has_workflow(&self, account_id: i64, workflow_id: i64) -> Result<bool, StoreError> {
        let sql = "SELECT workflow_id FROM workflows WHERE account_id = $1 AND workflow_id = $2";
        read_transaction!(self, tx => tx.row(sql, args![account_id, workflow_id])).map(|row| row.is_some())
    }

    /// Brings one contact back, as a user.
    ///
    /// # Errors
    ///
    /// As [`Store::restore`]; and where the contact is refused.
    pub async fn restore_contact(
        &self,
        account_id: i64,
        user: &str,
        contact_id: i64,
    ) -> Result<(), StoreError> {
        let wanted = RestoreSelection::Contacts(vec![contact_id]);
        let request = Request { account_id, user: user.to_owned(), wanted };
        let batch = self.restore(&request, RestoreCursor::default()).await?;
        match batch.refused.into_iter().next() {
            Some(refused) => Err(StoreError::Refused(refused.message)),
            None => Ok(()),
        }
    }
}

async fn restore(tx: &mut Tx, request: &Request, from: RestoreCursor) -> Result<Restored, StoreError> {
    let account_id = request.account_id;
    let RestorePlan { user_id, verdict: Verdict { back, refused, .. }, next } =
        plan_batch(tx, request, from, &AddressOwners::new()).await?;
    if !back.is_empty() {
        let (at, _) = apply_restore(tx, account_id, &back).await?;
        counts::record_change(tx, back.iter().map(|_| account_id), 1).await?;
        announce(tx, account_id, user_id, &back, at).await?;
    }
    let refused = refused.into_iter().map(|it| Refused::new(account_id, it)).collect();
    Ok(Restored { restored: back.into_iter().map(|(contact_id, _)| contact_id).collect(), refused, next })
}

/// A batch whose contacts are locked and decided on.
struct RestorePlan {
    user_id: i64,
    verdict: Verdict,
    next: Option<RestoreCursor>,
}

async fn plan_batch(
    tx: &mut Tx,
    request: &Request,
    from: RestoreCursor,
    earlier: &AddressOwners,
) -> Result<RestorePlan, StoreError> {
    let Request { account_id, user, wanted } = request;
    let user_id = authorize_user(tx, *account_id, user, "restore", wanted.scope()).await?;
    let at = tx.now().await?;
    let (candidates, more) = match wanted {
        RestoreSelection::Contacts(ids) => {
            let rest = ids.get(from.seen..).unwrap_or_default();
            let batch = &rest[..rest.len().min(BATCH_SIZE)];
            (candidates::named(tx, *account_id, batch).await?, rest.len() > BATCH_SIZE)
        }
        run => {
            let run = run_of(tx, *account_id, run, at).await?;
            let batch = candidates::of_run(tx, *account_id, &run, from.after).await?;
            let more = batch.len() == BATCH_SIZE;
            (batch, more)
        }
    };
    let last = candidates.last().map_or(from.after, |candidate| candidate.contact_id);
    let next = more.then_some(RestoreCursor { seen: from.seen + candidates.len(), after: last });
    Ok(RestorePlan { user_id, verdict: decide(&candidates, at, earlier), next })
}

/// What put records into the trash: the entries whose column has this value, at that time or later.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Run {
    pub column: &'static str,
    pub id: i64,
    pub since: Time,
}

/// The run that a selection names, as columns of trash entries. Fails for a list of contacts, and where no user has the address, or there is no such deletion.
pub(in crate::store) async fn run_of(
    tx: &mut Tx,
    account_id: i64,
    wanted: &RestoreSelection,
    now: Time,
) -> Result<Run, StoreError> {
    let (column, id, since) = match wanted {
        RestoreSelection::DeletedBy { workflow_id, since } => ("workflow_id", *workflow_id, *since),
        RestoreSelection::DeletedByUser { user, since } => {
            ("user_id", user_named(tx, account_id, user).await?, *since)
        }
        RestoreSelection::Deletion(deletion_id) => {
            let there = "SELECT 1 AS one FROM deletions WHERE account_id = $1 AND deletion_id = $2";
            if tx.row(there, args![account_id, *deletion_id]).await?.is_none() {
                return Err(StoreError::NotFound(format!(
                    "account {account_id} has no deletion {deletion_id}"
                )));
            }
            ("deletion_id", *deletion_id, Time::UNIX_EPOCH)
        }
        RestoreSelection::Contacts(_) => {
            return Err(StoreError::Failed("contacts that are named by id are no run".to_owned()));
        }
    };
    if since > now {
        return Err(StoreError::Refused(format!(
            "--since {} is yet to come, it is {} now: give the time at which the bad run began",
            format_time(since),
            format_time(now)
        )));
    }
    Ok(Run { column, id, since })
}

/// Does the whole restore column of the matrix to contacts that are in the trash and locked. When that was, read once the companies
/// are locked too: an enrollment made while the restore waited was made before it.
async fn apply_restore(
    tx: &mut Tx,
    account_id: i64,
    back: &[(i64, i64)],
) -> Result<(Time, Vec<StageChange>), StoreError> {
    let contacts: Vec<(i64, i64)> = back.iter().map(|(contact_id, _)| (account_id, *contact_id)).collect();
    let stages = lifecycle::recompute(tx, Transition::Restore, &contacts).await?;
    let at = tx.time(tx.dialect().clock()).await?;
    let batch = Lists::ids(back.iter().map(|(contact_id, entry_id)| [account_id, *contact_id, *entry_id]));
    let close = format!(
        "UPDATE trash_entries SET closed_at = $1, closed_as = 'restored' FROM {} \
         WHERE trash_entries.account_id = b.account_id AND trash_entries.entry_id = b.entry_id",
        tx.dialect().ids(2, &BATCH)
    );
    tx.execute(&close, args![at, &batch]).await?;
    apply_transition(tx, Transition::Restore, &batch).await?;
    addresses::claim(
        tx,
        &Lists::ids(contacts.iter().map(|(account_id, contact_id)| [*account_id, *contact_id])),
    )
    .await?;
    Ok((at, stages))
}

/// Tells the outbox of each contact and the audit of the batch.
async fn announce(
    tx: &mut Tx,
    account_id: i64,
    user_id: i64,
    back: &[(i64, i64)],
    at: Time,
) -> Result<(), StoreError> {
    let message = |&(contact_id, entry_id): &(i64, i64)| -> (i64, &'static str, Value) {
        let data = json!({"accountId": account_id.to_string(), "contactId": contact_id.to_string(),
            "trashEntryId": entry_id.to_string(), "restoredAt": format_time(at),
            "restoredBy": {"kind": "user", "userId": user_id.to_string()}});
        (account_id, "contact.restore", data)
    };
    write_outbox(tx, at, back.iter().map(message).collect()).await?;
    let ids: Vec<i64> = back.iter().map(|(contact_id, _)| *contact_id).collect();
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    audit::write(tx, at, account_id, &Actor::User(user_id), "restore", &ids, count).await
}
