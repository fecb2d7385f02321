//! Records of one type that are no contacts, live, as a filter looks at them: in pages by the order of their ids, and locked.

use std::collections::HashMap;

use super::delete::{ByUser, put_live_into_trash};
use super::{RecordTable, State, StoredRecord};
use crate::domain::criteria::Criteria;
use crate::domain::criteria::subject::{DataRequirements, Record, RecordType};
use crate::domain::object_type::{self, RecordKey};
use crate::store::StoreError;
use crate::store::criteria::properties::{LAST_MODIFIED, serve};
use crate::store::criteria::record;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::{Row, args};

/// Records of one type, as they are read for a filter.
#[derive(Debug)]
pub struct Source<'a> {
    account_id: i64,
    object_type: &'a str,
    table: RecordTable,
    /// The filter asks when a record was changed last.
    asks_last_change: bool,
}

impl<'a> Source<'a> {
    /// Where records of this type are kept. A type that the vendor does not name is one of objects, unless the account has none.
    ///
    /// # Errors
    ///
    /// Refused: criteria that ask for the history of activities, of which none is kept.
    pub async fn of(
        tx: &mut Tx,
        account_id: i64,
        object_type: &'a str,
        criteria: Option<&Criteria>,
    ) -> Result<Self, StoreError> {
        let objects = "SELECT 1 AS one FROM objects WHERE account_id = $1 AND object_type = $2 LIMIT 1";
        let is_activity = object_type::is_activity(object_type)
            || !object_type::is_vendors(object_type)
                && tx.row(objects, args![account_id, object_type]).await?.is_none();
        let mut asks = DataRequirements::default();
        let own = RecordType::object(object_type);
        if let Some(criteria) = criteria {
            criteria.asks_of(&own, &mut asks);
        }
        if is_activity && asks.history {
            return Err(StoreError::Refused(format!(
                "the filter asks what a {object_type} was before or when it changed, and of activities no history is kept; \
                 nothing was deleted"
            )));
        }
        let asks_last_change = asks.properties.get(&own).is_some_and(|names| names.contains(LAST_MODIFIED));
        let table = if is_activity { RecordTable::Activities } else { RecordTable::Objects };
        Ok(Self { account_id, object_type, table, asks_last_change })
    }

    /// The next live records after this one.
    pub async fn page(
        &self,
        tx: &mut Tx,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, Record)>, StoreError> {
        let (table, of_type, id) = self.table.columns();
        let sql = format!(
            "SELECT {} FROM {table} r WHERE r.account_id = $1 AND r.{of_type} = $2 AND r.{id} > $3 \
             AND r.deleted_at IS NULL{} ORDER BY r.{id} LIMIT {limit}",
            self.columns(),
            self.table.no_stub()
        );
        let rows = tx.rows(&sql, args![self.account_id, self.object_type, after]).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    /// Those of these records that are live, locked until the transaction ends.
    pub async fn lock_live(&self, tx: &mut Tx, ids: &[i64]) -> Result<HashMap<i64, Record>, StoreError> {
        let (table, of_type, id) = self.table.columns();
        let sql = format!(
            "SELECT {} FROM {} {} {table} r ON r.account_id = $1 AND r.{of_type} = $2 AND r.{id} = b.record_id{} \
             WHERE r.deleted_at IS NULL ORDER BY r.{id}{}",
            self.columns(),
            tx.dialect().ids(3, &["record_id"]),
            tx.dialect().batch_join(),
            self.table.no_stub(),
            tx.dialect().for_update("r")
        );
        let batch = Lists::ids(ids.iter().map(|id| [*id]));
        let rows = tx.rows(&sql, args![self.account_id, self.object_type, batch]).await?;
        rows.iter().map(|row| self.read(row)).collect()
    }

    fn columns(&self) -> String {
        let restored = if self.asks_last_change {
            "(SELECT max(e.closed_at) FROM record_trash_entries e WHERE e.account_id = r.account_id \
             AND e.object_type = $2 AND e.record_id = r.object_id AND e.closed_as = 'restored')"
        } else {
            "CAST(NULL AS timestamptz)"
        };
        match self.table {
            RecordTable::Objects => format!(
                "r.object_id AS record_id, CAST(r.properties AS text) AS properties, CAST(r.history AS text) AS history, \
                 r.created_at, r.updated_at, r.is_partial, {restored} AS restored_at"
            ),
            RecordTable::Activities => {
                "r.activity_id AS record_id, CAST(r.properties AS text) AS properties, CAST(NULL AS text) AS history, \
                 CAST(NULL AS timestamptz) AS created_at, CAST(NULL AS timestamptz) AS updated_at, FALSE AS is_partial, \
                 CAST(NULL AS timestamptz) AS restored_at"
                    .to_owned()
            }
        }
    }

    /// A record with what the vendor serves from it.
    fn read(&self, row: &Row) -> Result<(i64, Record), StoreError> {
        let id = row.int("record_id")?;
        let mut record = record(row, row.optional_time("created_at")?)?;
        let changed = row.optional_time("updated_at")?.max(row.optional_time("restored_at")?);
        serve(&mut record, self.object_type, id, changed);
        Ok((id, record))
    }

    /// Puts these records, which are live and locked, into the trash, with everything that goes with it.
    pub async fn put_into_trash(&self, tx: &mut Tx, by: ByUser, ids: &[i64]) -> Result<(), StoreError> {
        let keys: Vec<RecordKey> =
            ids.iter().map(|id| RecordKey { object_type: self.object_type.to_owned(), id: *id }).collect();
        let stored = StoredRecord { table: self.table, state: State::Live };
        let found = keys.iter().map(|key| (key.clone(), stored)).collect();
        put_live_into_trash(tx, by, &keys, &found).await.map(drop)
    }
}
