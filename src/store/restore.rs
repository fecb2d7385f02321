//! Out of the trash: what people bring back.

use serde_json::json;

use super::audit::{self, Actor};
use super::contact::locked_contact;
use super::db::{Tx, args};
use super::outbox::write_outbox;
use super::trash::run_plan;
use super::users::permitted_user;
use super::{Store, StoreError, lifecycle, transaction};
use crate::domain::effects::Transition;
use crate::domain::permission::Scope;
use crate::domain::time::format_time;

/// How long the trash keeps a contact restorable: 90 × 24 hours, by the database's clock.
/// Source: the vendor's article "Understand restorable and permanent contact deletions".
pub const RESTORABLE: chrono::TimeDelta = chrono::TimeDelta::days(90);

impl Store {
    /// Brings one contact back from the trash, as a user.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, a contact that is not in the trash or is there for more than
    /// 90 days, an address that a live contact holds meanwhile.
    pub async fn restore_contact(
        &self,
        account_id: i64,
        user: &str,
        contact_id: i64,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => restore_contact(tx, account_id, user, contact_id))
    }
}

async fn restore_contact(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    contact_id: i64,
) -> Result<(), StoreError> {
    let user_id = permitted_user(tx, account_id, user, "restore", Scope::One).await?;
    let contact = locked_contact(tx, account_id, contact_id).await?;
    let at = tx.now().await?;
    let (Some(deleted_at), Some(entry_id)) = (contact.deleted_at, contact.entry_id) else {
        return Err(StoreError::Refused(format!("contact {contact_id} is not in the trash")));
    };
    if deleted_at < at - RESTORABLE {
        return Err(StoreError::Refused(format!(
            "contact {contact_id} was deleted at {}, more than 90 days ago, and cannot be restored",
            format_time(deleted_at)
        )));
    }
    let blocked = tx
        .row(
            "SELECT o.contact_id FROM contact_emails e \
             JOIN contact_emails o ON o.account_id = e.account_id AND o.email_key = e.email_key AND o.live \
             WHERE e.account_id = $1 AND e.contact_id = $2 AND o.contact_id <> $2 ORDER BY o.contact_id LIMIT 1",
            args![account_id, contact_id],
        )
        .await?;
    if let Some(holder) = blocked {
        return Err(StoreError::Refused(format!(
            "contact {contact_id} cannot be restored: contact {} holds one of its e-mail addresses; \
             delete or change that one first",
            holder.int("contact_id")?
        )));
    }
    let row = json!({"account_id": account_id, "contact_id": contact_id, "entry_id": entry_id, "at": format_time(at)});
    lifecycle::recompute(tx, Transition::Restore, &[(account_id, contact_id)]).await?;
    run_plan(tx, Transition::Restore, &json!([row]).to_string()).await?;
    tx.execute(
        "UPDATE trash_entries SET closed_at = $3, closed_as = 'restored' WHERE account_id = $1 AND entry_id = $2",
        args![account_id, entry_id, at],
    )
    .await?;
    let data = json!({"accountId": account_id.to_string(), "contactId": contact_id.to_string(),
        "trashEntryId": entry_id.to_string(), "restoredAt": format_time(at),
        "restoredBy": {"kind": "user", "userId": user_id.to_string()}});
    write_outbox(tx, at, vec![(account_id, "contact.restore", data)]).await?;
    audit::write(tx, at, account_id, &Actor::User(user_id), "restore", &[contact_id], 1).await
}
