//! Into the trash and out of it: what a workflow, a person or an import does to contacts, in one transaction.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::audit::{self, Actor};
use super::db::{Arg, Tx, args};
use super::plan;
use super::{Store, StoreError, batch_row, batch_text, lifecycle, transaction};
use crate::domain::address::address_key;
use crate::domain::effects::Transition;
use crate::domain::members::parse_id_text;
use crate::domain::permission::{Permission, may_delete_one};
use crate::domain::record::{Column, ColumnType, Row};
use crate::domain::time::{Time, format_time};

/// How long the trash keeps a contact restorable: 90 × 24 hours, by the database's clock.
/// Source: the vendor's article "Understand restorable and permanent contact deletions".
pub const RESTORABLE: chrono::TimeDelta = chrono::TimeDelta::days(90);

/// The columns of new trash entries.
const ENTRY: [Column; 7] = [
    ("account_id", ColumnType::Int),
    ("contact_id", ColumnType::Int),
    ("deleted_at", ColumnType::Time),
    ("deleted_by", ColumnType::Text),
    ("workflow_id", ColumnType::Int),
    ("enrollment_id", ColumnType::Int),
    ("user_id", ColumnType::Int),
];

/// Who put a contact into the trash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletedBy {
    Workflow { workflow_id: i64, enrollment_id: i64 },
    User { user_id: i64 },
    Import,
}

/// One contact to be put into the trash; its row is locked already.
#[derive(Clone, Copy, Debug)]
pub struct Deletion {
    pub account_id: i64,
    pub contact_id: i64,
    pub by: DeletedBy,
    pub at: Time,
}

/// A deletion and the trash entry it got.
#[derive(Clone, Copy, Debug)]
pub struct Trashed {
    pub deletion: Deletion,
    pub entry_id: i64,
}

impl Store {
    /// Puts one live contact into the trash, as a user.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, a contact that is not live.
    pub async fn delete_contact(
        &self,
        account_id: i64,
        user: &str,
        contact_id: i64,
    ) -> Result<i64, StoreError> {
        transaction!(self, tx => delete_contact(tx, account_id, user, contact_id))
    }

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

/// A contact's own row.
pub(super) struct ContactRow {
    deleted_at: Option<Time>,
    entry_id: Option<i64>,
}

async fn delete_contact(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    contact_id: i64,
) -> Result<i64, StoreError> {
    let user_id = permitted_user(tx, account_id, user, "delete").await?;
    let contact = locked_contact(tx, account_id, contact_id).await?;
    if contact.deleted_at.is_some() {
        return Err(StoreError::Refused(format!("contact {contact_id} is in the trash already")));
    }
    let at = tx.now().await?;
    let deletion = Deletion { account_id, contact_id, by: DeletedBy::User { user_id }, at };
    let trashed = put_into_trash(tx, &[deletion]).await?;
    announce(tx, &trashed).await?;
    audit::write(tx, at, account_id, &Actor::User(user_id), "trash", &[contact_id], 1).await?;
    match trashed[..] {
        [Trashed { entry_id, .. }] => Ok(entry_id),
        _ => Err(StoreError::Failed("a deletion got no trash entry".to_owned())),
    }
}

async fn restore_contact(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    contact_id: i64,
) -> Result<(), StoreError> {
    let user_id = permitted_user(tx, account_id, user, "restore").await?;
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

/// The id of a user, by id or address, who may delete and restore single contacts.
pub(super) async fn permitted_user(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    deed: &str,
) -> Result<i64, StoreError> {
    // Digits are an id and nothing else: an address is never mistaken for one.
    let (condition, wanted) = match parse_id_text(user) {
        Some(user_id) => ("user_id = $2", Arg::from(user_id)),
        None => ("email_key = $2", Arg::from(address_key(user))),
    };
    let sql = format!(
        "SELECT user_id, CAST(permissions AS text) AS permissions FROM users \
         WHERE account_id = $1 AND email_key <> '' AND {condition} ORDER BY user_id LIMIT 2"
    );
    let found = tx.rows(&sql, &[account_id.into(), wanted]).await?;
    let row = match &found[..] {
        [row] => row,
        [] => {
            return Err(StoreError::Refused(format!(
                "account {account_id} has no such user: give --as the id or e-mail address of one of its users"
            )));
        }
        _ => {
            return Err(StoreError::Refused(format!(
                "account {account_id} has several users with that address: give --as the id of the one you are"
            )));
        }
    };
    let user_id = row.int("user_id")?;
    let held: Vec<String> = row.json("permissions")?;
    let held: BTreeSet<Permission> = held.iter().filter_map(|name| Permission::parse(name)).collect();
    if may_delete_one(&held) {
        return Ok(user_id);
    }
    Err(StoreError::Refused(format!(
        "user {user_id} may not {deed} a contact: that takes the permission Delete (delete) or Super admin (super_admin)"
    )))
}

/// Locks a contact that exists, live or in the trash.
pub(super) async fn locked_contact(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<ContactRow, StoreError> {
    let sql = format!(
        "SELECT c.deleted_at, c.trash_entry_id FROM contacts c WHERE c.account_id = $1 AND c.contact_id = $2{}",
        tx.dialect().for_update("c")
    );
    if let Some(row) = tx.row(&sql, args![account_id, contact_id]).await? {
        return Ok(ContactRow {
            deleted_at: row.optional_time("deleted_at")?,
            entry_id: row.optional_int("trash_entry_id")?,
        });
    }
    Err(not_there(tx, account_id, contact_id).await?)
}

/// Why a contact is not to be found.
pub(super) async fn not_there(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<StoreError, StoreError> {
    Ok(StoreError::Refused(match gone_state(tx, account_id, contact_id).await? {
        Some(state) => format!("contact {contact_id} was {state} and is gone for good"),
        None => format!("account {account_id} has no contact {contact_id}"),
    }))
}

/// `erased` or `purged`, for a contact that is gone.
pub(super) async fn gone_state(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT state FROM gone_contacts WHERE account_id = $1 AND contact_id = $2";
    tx.row(sql, args![account_id, contact_id]).await?.map(|row| row.text("state")).transpose()
}

/// Does the whole trash column of the matrix to contacts that are live and locked.
pub(super) async fn put_into_trash(tx: &mut Tx, deletions: &[Deletion]) -> Result<Vec<Trashed>, StoreError> {
    if deletions.is_empty() {
        return Ok(Vec::new());
    }
    let columns = "account_id, contact_id, deleted_at, deleted_by, workflow_id, enrollment_id, user_id";
    // Ordered: on PostgreSQL two transactions then meet rows in one order.
    let sql = format!(
        "INSERT INTO trash_entries ({columns}) SELECT {columns} FROM {} WHERE TRUE ORDER BY account_id, contact_id \
         RETURNING account_id, contact_id, entry_id",
        tx.dialect().batch(1, &ENTRY)
    );
    let entries = tx.rows(&sql, args![batch_text(deletions.iter().map(entry_row).collect())]).await?;
    let mut ids = std::collections::HashMap::with_capacity(entries.len());
    for row in &entries {
        ids.insert((row.int("account_id")?, row.int("contact_id")?), row.int("entry_id")?);
    }
    let mut trashed = Vec::with_capacity(deletions.len());
    for deletion in deletions {
        let entry_id = ids.get(&(deletion.account_id, deletion.contact_id)).copied();
        let entry_id =
            entry_id.ok_or_else(|| StoreError::Failed("a deletion got no trash entry".to_owned()))?;
        trashed.push(Trashed { deletion: *deletion, entry_id });
    }
    // A company that is imported brings the stage it has without its archived contacts.
    let contacts: Vec<(i64, i64)> = deletions
        .iter()
        .filter(|deletion| deletion.by != DeletedBy::Import)
        .map(|deletion| (deletion.account_id, deletion.contact_id))
        .collect();
    lifecycle::recompute(tx, Transition::Trash, &contacts).await?;
    run_plan(tx, Transition::Trash, &plan_batch(&trashed)).await?;
    Ok(trashed)
}

/// The contacts of a batch, as the plan's statements want them.
fn plan_batch(trashed: &[Trashed]) -> String {
    let row = |Trashed { deletion, entry_id }: &Trashed| {
        batch_row(json!({"account_id": deletion.account_id, "contact_id": deletion.contact_id,
            "entry_id": entry_id, "at": format_time(deletion.at)}))
    };
    batch_text(trashed.iter().map(row).collect())
}

/// Runs every statement of a transition over a batch.
pub(super) async fn run_plan(tx: &mut Tx, transition: Transition, batch: &str) -> Result<(), StoreError> {
    for step in plan::steps(transition, tx.dialect()) {
        tx.execute(&step.sql, args![batch]).await?;
    }
    Ok(())
}

fn entry_row(deletion: &Deletion) -> Row {
    let (kind, workflow_id, enrollment_id, user_id) = match deletion.by {
        DeletedBy::Workflow { workflow_id, enrollment_id } => {
            ("workflow", Some(workflow_id), Some(enrollment_id), None)
        }
        DeletedBy::User { user_id } => ("user", None, None, Some(user_id)),
        DeletedBy::Import => ("import", None, None, None),
    };
    batch_row(json!({"account_id": deletion.account_id, "contact_id": deletion.contact_id,
        "deleted_at": format_time(deletion.at), "deleted_by": kind, "workflow_id": workflow_id,
        "enrollment_id": enrollment_id, "user_id": user_id}))
}

/// Tells of an erasure: `contact.deletion` first where the contact was live, then `contact.privacyDeletion`.
pub(super) async fn announce_erasure(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
    user_id: i64,
    was_live: bool,
    at: Time,
) -> Result<(), StoreError> {
    let by = deleted_by(DeletedBy::User { user_id });
    let data = |when: &str, who: &str| {
        json!({"accountId": account_id.to_string(), "contactId": contact_id.to_string(), "trashEntryId": null,
            when: format_time(at), who: by})
    };
    let deletion = was_live.then(|| (account_id, "contact.deletion", data("deletedAt", "deletedBy")));
    let erasure = (account_id, "contact.privacyDeletion", data("erasedAt", "erasedBy"));
    write_outbox(tx, at, deletion.into_iter().chain([erasure]).collect()).await
}

/// Puts a `contact.deletion` for each into the outbox: ids, no personal data.
pub(super) async fn announce(tx: &mut Tx, trashed: &[Trashed]) -> Result<(), StoreError> {
    let Some(first) = trashed.first() else { return Ok(()) };
    let message = |Trashed { deletion, entry_id }: &Trashed| {
        let data = json!({"accountId": deletion.account_id.to_string(),
            "contactId": deletion.contact_id.to_string(), "trashEntryId": entry_id.to_string(),
            "deletedAt": format_time(deletion.at), "deletedBy": deleted_by(deletion.by)});
        (deletion.account_id, "contact.deletion", data)
    };
    write_outbox(tx, first.deletion.at, trashed.iter().map(message).collect()).await
}

/// As the commands and the events show who deleted.
pub fn deleted_by(by: DeletedBy) -> Value {
    match by {
        DeletedBy::Workflow { workflow_id, enrollment_id } => json!({"kind": "workflow",
            "workflowId": workflow_id.to_string(), "enrollmentId": enrollment_id.to_string()}),
        DeletedBy::User { user_id } => json!({"kind": "user", "userId": user_id.to_string()}),
        DeletedBy::Import => json!({"kind": "import"}),
    }
}

async fn write_outbox(tx: &mut Tx, at: Time, messages: Vec<(i64, &str, Value)>) -> Result<(), StoreError> {
    let columns = [("account_id", ColumnType::Int), ("type", ColumnType::Text), ("data", ColumnType::Text)];
    let sql = format!(
        "INSERT INTO outbox (account_id, type, data, created_at) SELECT b.account_id, b.type, b.data, $2 FROM {}",
        tx.dialect().batch(1, &columns)
    );
    let row = |(account_id, kind, data): (i64, &str, Value)| {
        batch_row(json!({"account_id": account_id, "type": kind, "data": data.to_string()}))
    };
    tx.execute(&sql, args![batch_text(messages.into_iter().map(row).collect()), at]).await?;
    Ok(())
}
