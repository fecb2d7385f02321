//! Into the trash: what a workflow, a person or an import does to contacts, within the transaction of whoever decides.

use serde_json::{Value, json};

use super::db::{Tx, args};
use super::outbox::write_outbox;
use super::plan::{self, Deed, Step};
use super::{StoreError, batch_row, batch_text, contact_counts, lifecycle};
use crate::domain::effects::{Category, Transition};
use crate::domain::record::{Column, ColumnType, Row};
use crate::domain::time::{Time, format_time};

/// The columns of new trash entries.
const ENTRY: [Column; 8] = [
    ("account_id", ColumnType::Int),
    ("contact_id", ColumnType::Int),
    ("deleted_at", ColumnType::Time),
    ("deleted_by", ColumnType::Text),
    ("workflow_id", ColumnType::Int),
    ("enrollment_id", ColumnType::Int),
    ("user_id", ColumnType::Int),
    ("deletion_id", ColumnType::Int),
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
    /// The delete by a person that this is part of.
    pub deletion_id: Option<i64>,
    pub at: Time,
}

/// A deletion and the trash entry it got.
#[derive(Clone, Copy, Debug)]
pub struct Trashed {
    pub deletion: Deletion,
    pub entry_id: i64,
}

/// Does the whole trash column of the matrix to contacts that are live and locked.
pub(super) async fn put_into_trash(tx: &mut Tx, deletions: &[Deletion]) -> Result<Vec<Trashed>, StoreError> {
    if deletions.is_empty() {
        return Ok(Vec::new());
    }
    let columns: Vec<&str> = ENTRY.iter().map(|(name, _)| *name).collect();
    let columns = columns.join(", ");
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
    contact_counts::moved(tx, deletions.iter().map(|deletion| deletion.account_id), -1).await?;
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

/// The rows that a statement touched.
pub(super) struct Touched {
    pub category: Category,
    pub deed: Deed,
    pub rows: u64,
}

/// Runs every statement of a transition over a batch; what each touched.
pub(super) async fn run_plan(
    tx: &mut Tx,
    transition: Transition,
    batch: &str,
) -> Result<Vec<Touched>, StoreError> {
    let mut touched = Vec::new();
    for Step { category, deed, sql, .. } in plan::steps(transition, tx.dialect()) {
        touched.push(Touched { category, deed, rows: tx.execute(&sql, args![batch]).await? });
    }
    Ok(touched)
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
        "enrollment_id": enrollment_id, "user_id": user_id, "deletion_id": deletion.deletion_id}))
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
