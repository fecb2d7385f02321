//! What people do to contacts and workflows: delete, erase, hold, rule on what is held, pause.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Error, Operations};
use crate::domain::counted::{counted, verb};
use crate::store::deletions::{self, Progress, Request};
use crate::store::erase::{ErasureTarget, Preview};
use crate::store::holds::HoldResolution;
use crate::store::pauses::Scope;
use crate::store::receipts::Receipt;
use crate::store::{Operator, StoreError};

/// What a delete did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    pub deletion_id: String,
    pub deleted: u64,
    pub skipped: u64,
    /// Each contact with its trash entry; left out where many were confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<Entry>>,
}

/// A contact that is in the trash now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub contact_id: String,
    pub entry_id: String,
}

impl From<deletions::Deleted> for Deleted {
    fn from(done: deletions::Deleted) -> Self {
        let entry = |(contact_id, entry_id): (i64, i64)| Entry {
            contact_id: contact_id.to_string(),
            entry_id: entry_id.to_string(),
        };
        Self {
            deletion_id: done.deletion_id.to_string(),
            deleted: done.deleted,
            skipped: done.skipped,
            entries: done.entries.map(|entries| entries.into_iter().map(entry).collect()),
        }
    }
}

/// What an erasure did.
#[derive(Clone, Debug, Serialize)]
pub struct Erasure {
    pub receipts: Vec<Receipt>,
    pub confirmation: Confirmation,
    /// Were a SQLite store's files rewritten?
    pub scrubbed: bool,
    /// Why they were not.
    #[serde(skip)]
    pub not_scrubbed: Option<StoreError>,
}

/// The e-mail that tells the user.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    pub user_id: Option<String>,
    /// What it needs to leave: `run`, or first of all `mail.smtp_url`.
    pub waits_for: &'static str,
}

/// What a pause did.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Paused {
    pub paused: bool,
    pub was_paused: bool,
}

impl Operations {
    /// Puts contacts into the trash, as a user.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::delete`]; where it ended half-way the sentence says how to go on.
    pub async fn delete(
        &self,
        request: &Request,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Deleted, Error> {
        let mut turns = 0;
        let deleted = self
            .store
            .delete(request, &mut |step| {
                if let Progress::Done(done) = step {
                    turns = done;
                }
                progress(step);
            })
            .await;
        match deleted {
            Ok(deleted) => Ok(deleted.into()),
            Err(error) if turns > 0 && !error.is_refusal() => Err(Error::Failed(format!(
                "{error}; {turns} of {} {} done, the same command goes on with the rest",
                counted(request.confirm, "contact"),
                verb(turns, "is", "are")
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Erases for good, as a user.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::erase`].
    pub async fn erase(
        &self,
        account_id: i64,
        user: &str,
        target: &ErasureTarget,
        confirm: u64,
    ) -> Result<Erasure, Error> {
        let erased = self.store.erase(account_id, user, target, confirm).await?;
        let user_id = erased.receipts.first().map(|receipt| receipt.erased_by.clone());
        let waits_for = if self.options.sends_mail { "run" } else { "mail.smtp_url" };
        Ok(Erasure {
            receipts: erased.receipts,
            confirmation: Confirmation { user_id, waits_for },
            scrubbed: erased.scrubbed.is_ok(),
            not_scrubbed: erased.scrubbed.err(),
        })
    }

    /// What an erasure would do; writes nothing.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::preview_erasure`].
    pub async fn preview_erasure(
        &self,
        account_id: i64,
        user: &str,
        target: &ErasureTarget,
    ) -> Result<Preview, Error> {
        Ok(self.store.preview_erasure(account_id, user, target).await?)
    }

    /// One receipt.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub async fn erasure(&self, account_id: i64, erasure_id: i64) -> Result<Receipt, Error> {
        let receipt = self.store.erasure(account_id, erasure_id).await?;
        receipt.ok_or_else(|| Error::NotFound(format!("account {account_id} has no erasure {erasure_id}")))
    }

    /// Keeps a contact from being erased and purged.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::set_legal_hold`], and where no reason is given.
    pub async fn set_legal_hold(
        &self,
        (account_id, contact_id): (i64, i64),
        operator: &Operator,
        reason: &str,
    ) -> Result<Value, Error> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Error::Usage("a legal hold needs a reason: a case number, say".to_owned()));
        }
        self.store.set_legal_hold(account_id, contact_id, operator, reason).await?;
        Ok(hold(account_id, contact_id, "held"))
    }

    /// Lets a contact be erased and purged again.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::lift_legal_hold`].
    pub async fn lift_legal_hold(
        &self,
        (account_id, contact_id): (i64, i64),
        operator: &Operator,
    ) -> Result<Value, Error> {
        self.store.lift_legal_hold(account_id, contact_id, operator).await?;
        Ok(hold(account_id, contact_id, "lifted"))
    }

    /// Approves or rejects all that the guard holds of a workflow.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::resolve_holds`].
    pub async fn resolve_holds(
        &self,
        workflow: (i64, i64),
        ruling: HoldResolution,
        confirm: u64,
        operator: &Operator,
    ) -> Result<Value, Error> {
        self.store.resolve_holds(workflow.0, workflow.1, ruling, confirm, operator).await?;
        let member = match ruling {
            HoldResolution::Approve => "approved",
            HoldResolution::Reject => "rejected",
        };
        Ok(json!({ member: confirm }))
    }

    /// Stops deletes by workflows.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::pause`], with what to do about it.
    pub async fn pause(&self, scope: Scope, operator: &Operator) -> Result<Paused, Error> {
        match self.store.pause(scope, operator).await {
            Ok(paused) => Ok(Paused { paused: true, was_paused: !paused }),
            Err(error) if error.is_refusal() => Err(error.into()),
            Err(error) => Err(Error::Failed(format!(
                "{scope} is not paused ({error}): a worker may be stuck in a batch, which a pause waits for; stop that \
                 worker, or try again"
            ))),
        }
    }
}

fn hold(account_id: i64, contact_id: i64, state: &str) -> Value {
    json!({"accountId": account_id.to_string(), "contactId": contact_id.to_string(), "state": state})
}
