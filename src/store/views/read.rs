//! What the commands show. Reads only.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::address::address_key;
use crate::domain::restore::RESTORABLE;
use crate::domain::search::Search;
use crate::domain::time::format_time;
use crate::store::access::users::user_named;
use crate::store::contacts::gone_state;
use crate::store::contacts::members::{Visible, visible_members};
use crate::store::db::Tx;
use crate::store::db::query::{Filter, ListCursor, WhereClause};
use crate::store::db::values::{Arg, Row, args};
use crate::store::trash::DeletedBy;
use crate::store::{Store, StoreError, read_transaction};

/// A decision of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrollmentRow {
    pub account_id: String,
    pub enrollment_id: String,
    pub action_id: String,
    pub workflow_id: String,
    pub contact_id: String,
    pub outcome: String,
    pub reason: Option<String>,
    pub decided_at: String,
    pub trash_entry_id: Option<String>,
    #[serde(skip)]
    pub place: ListCursor,
}

/// A contact in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrashRow {
    pub entry_id: String,
    pub contact_id: String,
    pub deleted_at: String,
    /// From when on a purge may take it.
    pub purge_at: String,
    pub deleted_by: Value,
    #[serde(skip)]
    pub place: ListCursor,
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRow {
    /// Null where the deed concerned the service as a whole.
    pub account_id: Option<String>,
    pub at: String,
    pub actor: String,
    pub action: String,
    pub ids: Vec<String>,
    pub count: i64,
    /// The delete by a person that it was part of; left out where it was of none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_id: Option<String>,
    #[serde(skip)]
    pub place: ListCursor,
}

/// A contact as the CRM shows it now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContactView {
    pub account_id: String,
    pub id: String,
    /// `live`, `in_trash`, `erased`, `purged` or `unknown`.
    pub state: String,
    pub properties: Option<BTreeMap<String, String>>,
    pub trash: Option<Value>,
    pub visible: Visible,
}

impl Store {
    /// Decisions, newest first.
    ///
    /// # Errors
    ///
    /// As all reads: where the database does not answer.
    pub async fn enrollments(&self, filter: &Filter) -> Result<Vec<EnrollmentRow>, StoreError> {
        read_transaction!(self, tx => enrollments(tx, filter))
    }

    /// The decisions on one enrollment, one for each action.
    pub async fn enrollment(
        &self,
        account_id: i64,
        enrollment_id: i64,
        action_id: Option<i64>,
    ) -> Result<Vec<EnrollmentRow>, StoreError> {
        read_transaction!(self, tx => enrollment(tx, account_id, enrollment_id, action_id))
    }

    /// The audit, newest first.
    pub async fn audit(&self, filter: &Filter) -> Result<Vec<AuditRow>, StoreError> {
        read_transaction!(self, tx => audit_list(tx, filter))
    }

    /// One contact.
    pub async fn contact(&self, account_id: i64, contact_id: i64) -> Result<ContactView, StoreError> {
        read_transaction!(self, tx => contact(tx, account_id, contact_id))
    }
}

const LEDGER: &str = "account_id, enrollment_id, action_id, workflow_id, object_id, outcome, reason, decided_at, \
                      trash_entry_id";

async fn enrollments(tx: &mut Tx, filter: &Filter) -> Result<Vec<EnrollmentRow>, StoreError> {
    let mut conditions = WhereClause::default();
    conditions.equal("account_id", filter.account_id.map(Arg::from));
    conditions.equal("workflow_id", filter.workflow_id.map(Arg::from));
    conditions.equal("outcome", filter.outcome.clone().map(Arg::from));
    conditions.equal("reason", filter.reason.clone().map(Arg::from));
    conditions.after(["decided_at", "enrollment_id", "action_id"], filter.after);
    let order = "ORDER BY decided_at DESC, account_id, enrollment_id DESC, action_id";
    let rows = conditions.select(tx, LEDGER, "ledger", order, filter.limit).await?;
    rows.iter().map(enrollment_row).collect()
}

async fn enrollment(
    tx: &mut Tx,
    account_id: i64,
    enrollment_id: i64,
    action_id: Option<i64>,
) -> Result<Vec<EnrollmentRow>, StoreError> {
    let mut conditions = WhereClause::default();
    conditions.equal("account_id", Some(account_id.into()));
    conditions.equal("enrollment_id", Some(enrollment_id.into()));
    conditions.equal("action_id", action_id.map(Arg::from));
    let rows = conditions.select(tx, LEDGER, "ledger", "ORDER BY action_id", i64::MAX).await?;
    rows.iter().map(enrollment_row).collect()
}

/// Contacts with one address that are looked for in the trash, the youngest first: more than ever share one.
const SHARERS: i64 = 1000;

/// Entries of the trash, whatever the names of their contacts.
pub(super) async fn trash_list(tx: &mut Tx, filter: &Filter) -> Result<Vec<TrashRow>, StoreError> {
    let mut conditions = WhereClause::default();
    conditions.equal("account_id", filter.account_id.map(Arg::from));
    conditions.equal("workflow_id", filter.workflow_id.map(Arg::from));
    conditions.equal("contact_id", filter.contact_id.map(Arg::from));
    let (contact_id, address) = match &filter.search {
        Some(Search::Contact(contact_id)) => (Some(*contact_id), None),
        Some(Search::Address(address)) => (None, Some(address_key(address))),
        Some(Search::Name(_)) | None => (None, None),
    };
    conditions.equal("contact_id", contact_id.map(Arg::from));
    if let (Some(account_id), Some(user)) = (filter.account_id, &filter.deleted_by) {
        conditions.equal("user_id", Some(user_named(tx, account_id, user).await?.into()));
    }
    conditions.between("deleted_at", filter.deleted);
    if let Some(address) = address {
        // By itself: not knowing that who has an address is few, PostgreSQL would look through the whole trash for them.
        let whose = "SELECT contact_id FROM contact_emails WHERE account_id = $1 AND email_key = $2 \
                     ORDER BY contact_id DESC LIMIT $3";
        let rows = tx.rows(whose, args![filter.account_id, address, SHARERS]).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            ids.push(conditions.parameter(row.int("contact_id")?.into()));
        }
        conditions.also(format!("contact_id IN ({})", ids.join(", ")));
    }
    conditions.after(["deleted_at", "entry_id", "0"], filter.after);
    conditions.also("closed_at IS NULL");
    let columns = "entry_id, contact_id, deleted_at, deleted_by, workflow_id, enrollment_id, user_id";
    let order = "ORDER BY deleted_at DESC, entry_id DESC";
    let rows = conditions.select(tx, columns, "trash_entries", order, filter.limit).await?;
    rows.iter().map(trash_row).collect()
}

async fn audit_list(tx: &mut Tx, filter: &Filter) -> Result<Vec<AuditRow>, StoreError> {
    let mut conditions = WhereClause::default();
    conditions.equal("account_id", filter.account_id.map(Arg::from));
    conditions.after(["at", "audit_id", "0"], filter.after);
    let columns = "account_id, audit_id, at, actor, action, CAST(ids AS text) AS ids, count, deletion_id";
    let rows =
        conditions.select(tx, columns, "audit", "ORDER BY at DESC, audit_id DESC", filter.limit).await?;
    rows.iter()
        .map(|row| {
            let account_id = row.int("account_id")?;
            Ok(AuditRow {
                account_id: (account_id != 0).then(|| account_id.to_string()),
                at: format_time(row.time("at")?),
                actor: row.text("actor")?,
                action: row.text("action")?,
                ids: row.json("ids")?,
                count: row.int("count")?,
                deletion_id: row.optional_int("deletion_id")?.map(|id| id.to_string()),
                place: ListCursor { at: row.time("at")?, id: row.int("audit_id")?, part: 0 },
            })
        })
        .collect()
}

async fn contact(tx: &mut Tx, account_id: i64, contact_id: i64) -> Result<ContactView, StoreError> {
    let found = tx
        .row(
            "SELECT CAST(properties AS text) AS properties, deleted_at FROM contacts \
             WHERE account_id = $1 AND contact_id = $2",
            args![account_id, contact_id],
        )
        .await?;
    let (mut properties, mut trash) = (None, None);
    let state = if let Some(row) = found {
        properties = Some(row.json("properties")?);
        let in_trash = row.optional_time("deleted_at")?.is_some();
        if in_trash {
            trash = open_entry(tx, account_id, contact_id).await?;
        }
        if in_trash { "in_trash" } else { "live" }.to_owned()
    } else {
        gone_state(tx, account_id, contact_id).await?.unwrap_or_else(|| "unknown".to_owned())
    };
    let visible =
        visible_members(tx, account_id, &[contact_id]).await?.remove(&contact_id).unwrap_or_default();
    let (account_id, id) = (account_id.to_string(), contact_id.to_string());
    Ok(ContactView { account_id, id, state, properties, trash, visible })
}

/// The open trash entry of a contact, as the contact shows it.
async fn open_entry(tx: &mut Tx, account_id: i64, contact_id: i64) -> Result<Option<Value>, StoreError> {
    let mut conditions = WhereClause::default();
    conditions.equal("account_id", Some(account_id.into()));
    conditions.equal("contact_id", Some(contact_id.into()));
    conditions.also("closed_at IS NULL");
    let columns = "entry_id, contact_id, deleted_at, deleted_by, workflow_id, enrollment_id, user_id";
    let rows = conditions.select(tx, columns, "trash_entries", "", 1).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let TrashRow { entry_id, deleted_at, purge_at, deleted_by, .. } = trash_row(row)?;
    Ok(Some(
        json!({"entryId": entry_id, "deletedAt": deleted_at, "purgeAt": purge_at, "deletedBy": deleted_by}),
    ))
}

fn id_text(row: &Row, column: &str) -> Result<String, StoreError> {
    Ok(row.int(column)?.to_string())
}

fn enrollment_row(row: &Row) -> Result<EnrollmentRow, StoreError> {
    Ok(EnrollmentRow {
        account_id: id_text(row, "account_id")?,
        enrollment_id: id_text(row, "enrollment_id")?,
        action_id: id_text(row, "action_id")?,
        workflow_id: id_text(row, "workflow_id")?,
        contact_id: id_text(row, "object_id")?,
        outcome: row.text("outcome")?,
        reason: row.optional_text("reason")?,
        decided_at: format_time(row.time("decided_at")?),
        trash_entry_id: row.optional_int("trash_entry_id")?.map(|id| id.to_string()),
        place: ListCursor {
            at: row.time("decided_at")?,
            id: row.int("enrollment_id")?,
            part: row.int("action_id")?,
        },
    })
}

fn trash_row(row: &Row) -> Result<TrashRow, StoreError> {
    let deleted_at = row.time("deleted_at")?;
    let missing = || StoreError::Failed("a trash entry does not say who deleted".to_owned());
    let by = match row.text("deleted_by")?.as_str() {
        "workflow" => DeletedBy::Workflow {
            workflow_id: row.optional_int("workflow_id")?.ok_or_else(missing)?,
            enrollment_id: row.optional_int("enrollment_id")?.ok_or_else(missing)?,
        },
        "user" => DeletedBy::User { user_id: row.optional_int("user_id")?.ok_or_else(missing)? },
        _ => DeletedBy::Import,
    };
    Ok(TrashRow {
        entry_id: id_text(row, "entry_id")?,
        contact_id: id_text(row, "contact_id")?,
        deleted_at: format_time(deleted_at),
        purge_at: format_time(deleted_at + RESTORABLE),
        deleted_by: json!(by),
        place: ListCursor { at: deleted_at, id: row.int("entry_id")?, part: 0 },
    })
}
