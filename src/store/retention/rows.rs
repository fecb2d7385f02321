//! Rows that go by their age alone: which table, which time, which must stay all the same; and the statement for them.

use super::{ByAccount, Sweep, Target, failed_rows_condition, lock_clause};
use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::{Arg, args};

/// Where the rows of a target are. In `condition` `{t}` is the table.
pub(super) struct Rows {
    pub table: &'static str,
    /// Its key beside `account_id`; the id comes first.
    key: &'static [&'static str],
    pub time: &'static str,
    condition: &'static str,
}

impl Rows {
    fn id(&self) -> &'static str {
        self.key[0]
    }

    /// Is a row of this table due, as a condition? `$1` is the time up to which.
    pub fn eligible(&self, table: &str) -> String {
        format!("{table}.{} < $1 AND {}", self.time, self.condition.replace("{t}", table))
    }

    fn columns(&self, table: &str) -> String {
        let key = self.key.iter().map(|column| format!(", {table}.{column}"));
        format!("{table}.account_id{}", key.collect::<String>())
    }

    /// The rows of a batch, locked. `$2` is the limit, `$3` and `$4` those of the condition `turn`.
    fn due(&self, tx: &Tx, sweep: &Sweep<'_>) -> String {
        format!(
            "SELECT {columns} FROM {table} t WHERE {eligible} AND {turn} ORDER BY t.{time}, {columns} LIMIT $2{lock}",
            columns = self.columns("t"),
            table = self.table,
            eligible = self.eligible("t"),
            turn = failed_rows_condition(sweep, "t", &format!("t.{}", self.id()), 3),
            time = self.time,
            lock = lock_clause(tx, sweep.locked, "t")
        )
    }
}

const ALL: &str = "TRUE";

/// A legal hold on the contact of a row.
macro_rules! legal_hold {
    ($contact:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM legal_holds h WHERE h.account_id = {t}.account_id AND h.contact_id = {t}.",
            $contact,
            ")"
        )
    };
}

/// A contact of a quote who is not gone, live or in the trash.
macro_rules! contact_on_quote {
    () => {
        "EXISTS (SELECT 1 FROM quote_contacts l JOIN contacts c \
         ON c.account_id = l.account_id AND c.contact_id = l.contact_id \
         WHERE l.account_id = {t}.account_id AND l.quote_id = {t}.quote_id)"
    };
}

pub(super) const fn of(target: Target) -> Rows {
    match target {
        Target::Trash => rows(
            "trash_entries",
            &["entry_id"],
            "deleted_at",
            concat!("{t}.closed_at IS NULL AND NOT ", legal_hold!("contact_id")),
        ),
        Target::Notifications => rows("notifications", &["notification_id"], "created_at", ALL),
        Target::Quotes => rows("quotes", &["quote_id"], "orphaned_at", concat!("NOT ", contact_on_quote!())),
        Target::Unlinked => rows(
            "trash_entries",
            &["entry_id"],
            "deleted_at",
            "{t}.closed_at IS NULL AND {t}.unlisted_at IS NULL",
        ),
        // Whom a workflow has taken in it takes in no second time: that is remembered as long as there is somebody to
        // take in. And what is held or deferred is not decided yet.
        Target::Ledger => rows(
            "ledger",
            &["enrollment_id", "action_id"],
            "decided_at",
            "({t}.outcome IN ('skipped', 'refused') OR {t}.outcome = 'deleted' AND NOT EXISTS \
             (SELECT 1 FROM contacts c WHERE c.account_id = {t}.account_id AND c.contact_id = {t}.object_id))",
        ),
        Target::Audit => rows("audit", &["audit_id"], "at", ALL),
        // Not mails, which their sender gives up on; not erasures, which must be told however late; not what is none
        // of ours.
        Target::Outbox => rows(
            "outbox",
            &["message_id"],
            "created_at",
            "{t}.type IN ('contact.deletion', 'contact.purge', 'contact.restore', 'enrollment.refused', \
             'guard.tripped')",
        ),
        Target::DeadLetters => rows("dead_letters", &["dead_letter_id"], "at", ALL),
        Target::Waiting(_) => rows("pending_enrollments", &["enrollment_id", "action_id"], "ready_at", ALL),
    }
}

const fn rows(
    table: &'static str,
    key: &'static [&'static str],
    time: &'static str,
    condition: &'static str,
) -> Rows {
    Rows { table, key, time, condition }
}

fn parameters(sweep: &Sweep<'_>, cutoff: Time, limit: u32) -> Vec<Arg> {
    let mut parameters = args![cutoff, i64::from(limit), sweep.job].to_vec();
    parameters.extend(sweep.failed_before.map(Arg::from));
    parameters
}

/// How many rows would be due but for a legal hold: only a purge is stopped by one.
pub(super) async fn held(tx: &mut Tx, target: Target, cutoff: Time) -> Result<u64, StoreError> {
    if target != Target::Trash {
        return Ok(0);
    }
    let sql = concat!(
        "SELECT count(*) AS held FROM trash_entries t WHERE t.closed_at IS NULL AND t.deleted_at < $1 AND ",
        legal_hold!("contact_id")
    );
    let row = tx.row(&sql.replace("{t}", "t"), args![cutoff]).await?;
    Ok(row.map_or(Ok(0), |row| row.int("held"))?.unsigned_abs())
}

/// How many rows could not be removed so far and are still due. A purge sets contacts aside, by their ids.
pub(super) async fn failing(tx: &mut Tx, job: &str, target: Target) -> Result<u64, StoreError> {
    let due = match target {
        Target::Trash => concat!("NOT ", legal_hold!("item_id")),
        _ => ALL,
    };
    let sql = format!(
        "SELECT count(*) AS failing FROM retention_failures f WHERE f.job = $1 AND {}",
        due.replace("{t}", "f")
    );
    let row = tx.row(&sql, args![job]).await?;
    Ok(row.map_or(Ok(0), |row| row.int("failing"))?.unsigned_abs())
}

/// The first row of a batch, locked.
pub(super) async fn first(
    tx: &mut Tx,
    sweep: &Sweep<'_>,
    cutoff: Time,
) -> Result<Option<(i64, i64)>, StoreError> {
    let rows = of(sweep.target);
    let row = tx.row(&rows.due(tx, sweep), &parameters(sweep, cutoff, 1)).await?;
    row.map(|row| Ok((row.int("account_id")?, row.int(rows.id())?))).transpose()
}

/// Removes a batch; which ids, by account.
pub(super) async fn remove(
    tx: &mut Tx,
    sweep: &Sweep<'_>,
    now: Time,
    cutoff: Time,
) -> Result<ByAccount, StoreError> {
    let rows @ Rows { table, .. } = of(sweep.target);
    let mut parameters = parameters(sweep, cutoff, sweep.limit);
    match sweep.target {
        Target::Quotes => release_quotes(tx, sweep, cutoff).await?,
        Target::Audit => forget_runs(tx, cutoff).await?,
        _ => {}
    }
    let deed = if sweep.target == Target::Unlinked {
        parameters.push(now.into());
        format!("UPDATE {table} SET unlisted_at = ${}", parameters.len())
    } else {
        format!("DELETE FROM {table}")
    };
    // Materialized, so that PostgreSQL does not look for the batch more than once and find another.
    let sql = format!(
        "WITH due AS MATERIALIZED ({due}) {deed} WHERE {eligible} AND ({columns}) IN (SELECT {due_columns} FROM due) \
         RETURNING {columns}",
        due = rows.due(tx, sweep),
        eligible = rows.eligible(table),
        columns = rows.columns(table).replace(&format!("{table}."), ""),
        due_columns = rows.columns("due"),
    );
    let mut removed = ByAccount::new();
    for row in tx.rows(&sql, &parameters).await? {
        removed.entry(row.int("account_id")?).or_default().push(row.int(rows.id())?);
    }
    if sweep.target == Target::Quotes {
        remember_quotes(tx, &removed).await?;
    }
    Ok(removed)
}

/// A quote goes because its contact was erased: no import brings it back.
async fn remember_quotes(tx: &mut Tx, removed: &ByAccount) -> Result<(), StoreError> {
    let ids = removed.iter().flat_map(|(account_id, ids)| ids.iter().map(|id| [*account_id, *id]));
    let sql = format!(
        "INSERT INTO erased_records (account_id, kind, record_id) SELECT b.account_id, 'quote', b.quote_id FROM {} \
         WHERE TRUE ON CONFLICT DO NOTHING",
        tx.dialect().ids(1, &["account_id", "quote_id"])
    );
    tx.execute(&sql, args![Lists::ids(ids)]).await.map(drop)
}

/// A quote with a contact on it who is not gone is that one's, and loses its mark; one that is about to go loses its links
/// to contacts who were never there.
async fn release_quotes(tx: &mut Tx, sweep: &Sweep<'_>, cutoff: Time) -> Result<(), StoreError> {
    let shared = contact_on_quote!().replace("{t}", "quotes");
    tx.execute(
        &format!("UPDATE quotes SET orphaned_at = NULL WHERE orphaned_at < $1 AND {shared}"),
        args![cutoff],
    )
    .await?;
    let rows = of(Target::Quotes);
    let links = format!(
        "WITH due AS MATERIALIZED ({}) \
         DELETE FROM quote_contacts WHERE (account_id, quote_id) IN (SELECT account_id, quote_id FROM due)",
        rows.due(tx, sweep)
    );
    tx.execute(&links, &parameters(sweep, cutoff, sweep.limit)).await?;
    Ok(())
}

/// The records of runs are an audit too; of each job the last one stays.
async fn forget_runs(tx: &mut Tx, cutoff: Time) -> Result<(), StoreError> {
    let sql = "DELETE FROM retention_runs WHERE started_at < $1 \
               AND run_id NOT IN (SELECT max(run_id) FROM retention_runs GROUP BY job)";
    tx.execute(sql, args![cutoff]).await.map(drop)
}
