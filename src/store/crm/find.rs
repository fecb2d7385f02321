//! Rows of records by their type, whichever table they are in.

use std::collections::BTreeSet;

use crate::domain::object_type::{CONTACT, is_activity};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::args;

/// The tables of which records are rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Contacts,
    Objects,
    Activities,
}

impl Table {
    /// Where records of a type, by its one name, are.
    pub fn of(object_type: &str) -> Self {
        match object_type {
            CONTACT => Self::Contacts,
            other if is_activity(other) => Self::Activities,
            _ => Self::Objects,
        }
    }

    /// The column of the id.
    pub fn id(self) -> &'static str {
        match self {
            Self::Contacts => "r.contact_id",
            Self::Objects => "r.object_id",
            Self::Activities => "r.activity_id",
        }
    }

    /// The rows `r` of a type, in a parameter such as `$2`, in the account `$1`.
    pub fn rows(self, object_type: &str) -> String {
        match self {
            Self::Contacts => format!("contacts r WHERE r.account_id = $1 AND 'contact' = {object_type}"),
            Self::Objects => format!("objects r WHERE r.account_id = $1 AND r.object_type = {object_type}"),
            Self::Activities => {
                format!("activities r WHERE r.account_id = $1 AND r.type = {object_type} AND NOT r.stub")
            }
        }
    }

    /// When a record was created.
    pub fn created_at(self) -> &'static str {
        match self {
            Self::Contacts | Self::Objects => "r.created_at",
            Self::Activities => "r.occurred_at",
        }
    }

    /// When a record came back from the trash last.
    pub fn restored_at(self) -> &'static str {
        match self {
            Self::Contacts => "r.restored_at",
            Self::Objects => {
                "(SELECT max(e.closed_at) FROM record_trash_entries e WHERE e.account_id = r.account_id \
                 AND e.object_type = r.object_type AND e.record_id = r.object_id AND e.closed_as = 'restored' \
                 AND NOT e.is_activity)"
            }
            Self::Activities => {
                "(SELECT max(e.closed_at) FROM record_trash_entries e WHERE e.account_id = r.account_id \
                 AND e.object_type = r.type AND e.record_id = r.activity_id AND e.closed_as = 'restored' \
                 AND e.is_activity)"
            }
        }
    }

    pub fn history(self) -> &'static str {
        match self {
            Self::Contacts | Self::Objects => "CAST(r.history AS text)",
            Self::Activities => "CAST(NULL AS text)",
        }
    }

    /// The ids of records of the type `$2` in the trash of the account `$1`, above `$3`, in order.
    pub fn archived_ids(self) -> &'static str {
        match self {
            Self::Contacts => {
                "SELECT e.contact_id FROM trash_entries e WHERE e.account_id = $1 AND 'contact' = $2 \
                 AND e.closed_at IS NULL AND e.contact_id > $3 ORDER BY e.contact_id"
            }
            Self::Objects => {
                "SELECT e.record_id FROM record_trash_entries e WHERE e.account_id = $1 AND e.object_type = $2 \
                 AND e.closed_at IS NULL AND NOT e.is_activity AND e.record_id > $3 ORDER BY e.record_id"
            }
            Self::Activities => {
                "SELECT e.record_id FROM record_trash_entries e WHERE e.account_id = $1 AND e.object_type = $2 \
                 AND e.closed_at IS NULL AND e.is_activity AND e.record_id > $3 ORDER BY e.record_id"
            }
        }
    }
}

/// Those of the records of a type that are live.
pub(super) async fn live(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    ids: &BTreeSet<i64>,
) -> Result<BTreeSet<i64>, StoreError> {
    live_ids(tx, account_id, object_type, ids, "").await
}

/// Those that are live, and stay so until the commit: a deletion of one, or a decision about it, waits and sees what is written
/// meanwhile.
pub(super) async fn lock_live(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    ids: &BTreeSet<i64>,
) -> Result<BTreeSet<i64>, StoreError> {
    let lock = tx.dialect().for_share("r");
    live_ids(tx, account_id, object_type, ids, &lock).await
}

async fn live_ids(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    ids: &BTreeSet<i64>,
    lock: &str,
) -> Result<BTreeSet<i64>, StoreError> {
    let table = Table::of(object_type);
    let sql = format!(
        "SELECT {id} AS id FROM {} AND {id} IN (SELECT b.id FROM {}) AND r.deleted_at IS NULL ORDER BY {id}{lock}",
        table.rows("$2"),
        tx.dialect().ids(3, &["id"]),
        id = table.id(),
    );
    let ids = Lists::ids(ids.iter().map(|id| [*id]));
    tx.rows(&sql, args![account_id, object_type, ids]).await?.iter().map(|row| row.int("id")).collect()
}
