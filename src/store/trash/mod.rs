//! Into the trash: what a workflow, a person or an import does to contacts, within the transaction of whoever decides.

mod preview;
pub mod restore;
pub(super) mod statements;

pub use preview::{Blocker, CategoryCount, DeletePreview};
use serde::{Serialize, Serializer};

use super::StoreError;
use super::db::Tx;
use super::db::batch::{List, Lists};
use super::db::dialect::names;
use super::db::values::args;
use super::outbox::write_outbox;
use crate::domain::effects::{Category, Transition};
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::{Time, format_time};
use crate::domain::trace::TraceContext;
use statements::{Counted, Step};

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

/// Who put a contact into the trash; serialized as the commands and the events show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum DeletedBy {
    Workflow {
        #[serde(serialize_with = "as_text")]
        workflow_id: i64,
        #[serde(serialize_with = "as_text")]
        enrollment_id: i64,
    },
    User {
        #[serde(serialize_with = "as_text")]
        user_id: i64,
    },
    Import,
}

/// Ids leave as texts.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn as_text<S: Serializer>(id: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
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
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
}

/// A deletion and the trash entry it got.
#[derive(Clone, Copy, Debug)]
pub struct Trashed {
    pub deletion: Deletion,
    pub entry_id: i64,
}

/// Does the trash column of the matrix to contacts that are live and locked; the stages of their companies and the
/// number of live contacts are left to the caller, who knows when others may be made to wait.
pub(super) async fn put_into_trash(tx: &mut Tx, deletions: &[Deletion]) -> Result<Vec<Trashed>, StoreError> {
    if deletions.is_empty() {
        return Ok(Vec::new());
    }
    let columns = names(&ENTRY);
    // Ordered: on PostgreSQL two transactions then meet rows in one order.
    let sql = format!(
        "INSERT INTO trash_entries ({columns}) SELECT {columns} FROM {} WHERE TRUE ORDER BY account_id, contact_id \
         RETURNING account_id, contact_id, entry_id",
        tx.dialect().lists(1, &ENTRY)
    );
    let entries = tx.rows(&sql, args![entries(deletions)]).await?;
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
    apply_transition(tx, Transition::Trash, &plan_batch(&trashed)).await?;
    Ok(trashed)
}

/// The contacts of a batch, as the plan's statements want them.
fn plan_batch(trashed: &[Trashed]) -> Lists {
    Lists::ids(trashed.iter().map(|it| [it.deletion.account_id, it.deletion.contact_id, it.entry_id]))
}

/// The rows that a statement touched.
pub(super) struct StatementResult {
    pub category: Category,
    pub counted: Counted,
    pub rows: u64,
}

/// Runs every statement of a transition over a batch; what each touched.
pub(super) async fn apply_transition(
    tx: &mut Tx,
    transition: Transition,
    batch: &Lists,
) -> Result<Vec<StatementResult>, StoreError> {
    let mut touched = Vec::new();
    for Step { category, counted, sql, .. } in statements::steps(transition, tx.dialect()) {
        touched.push(StatementResult { category, counted, rows: tx.execute(&sql, args![batch]).await? });
    }
    Ok(touched)
}

/// New trash entries, column by column as in [`ENTRY`].
fn entries(deletions: &[Deletion]) -> Lists {
    let by = deletions.iter().map(|deletion| match deletion.by {
        DeletedBy::Workflow { workflow_id, enrollment_id } => {
            ("workflow", Some(workflow_id), Some(enrollment_id), None)
        }
        DeletedBy::User { user_id } => ("user", None, None, Some(user_id)),
        DeletedBy::Import => ("import", None, None, None),
    });
    let by: Vec<_> = by.collect();
    Lists::new([
        List::Ids(deletions.iter().map(|deletion| deletion.account_id).collect()),
        List::Ids(deletions.iter().map(|deletion| deletion.contact_id).collect()),
        List::Times(deletions.iter().map(|deletion| deletion.at).collect()),
        List::texts(by.iter().map(|(kind, ..)| *kind)),
        List::Ints(by.iter().map(|(_, workflow_id, ..)| *workflow_id).collect()),
        List::Ints(by.iter().map(|(.., enrollment_id, _)| *enrollment_id).collect()),
        List::Ints(by.iter().map(|(.., user_id)| *user_id).collect()),
        List::Ints(deletions.iter().map(|deletion| deletion.deletion_id).collect()),
    ])
}

/// Puts a `contact.deletion` for each into the outbox: ids, no personal data.
pub(super) async fn announce(tx: &mut Tx, trashed: &[Trashed]) -> Result<(), StoreError> {
    let Some(first) = trashed.first() else { return Ok(()) };
    let message = |Trashed { deletion, entry_id }: &Trashed| {
        let data = Announcement {
            account_id: deletion.account_id,
            contact_id: deletion.contact_id,
            trash_entry_id: *entry_id,
            deleted_at: format_time(deletion.at),
            deleted_by: deletion.by,
            traceparent: deletion.trace.map(|trace| trace.to_string()),
        };
        (deletion.account_id, "contact.deletion", data)
    };
    write_outbox(tx, first.deletion.at, trashed.iter().map(message).collect()).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Announcement {
    #[serde(serialize_with = "as_text")]
    account_id: i64,
    #[serde(serialize_with = "as_text")]
    contact_id: i64,
    #[serde(serialize_with = "as_text")]
    trash_entry_id: i64,
    deleted_at: String,
    deleted_by: DeletedBy,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}
