//! The rows of a list: which of them, from where on, and how many.

use super::Tx;
use super::values::{Arg, Row};
use crate::domain::search::Search;
use crate::domain::time::Time;
use crate::store::StoreError;

/// Which rows of a list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub account_id: Option<i64>,
    pub workflow_id: Option<i64>,
    pub outcome: Option<String>,
    pub reason: Option<String>,
    /// Of the trash alone.
    pub contact_id: Option<i64>,
    /// What this user, by id or e-mail address, deleted; of the trash alone.
    pub deleted_by: Option<String>,
    /// Deleted at that time or later, and before that time; of the trash alone.
    pub deleted: (Option<Time>, Option<Time>),
    /// Only whom this finds; of the trash alone.
    pub search: Option<Search>,
    /// Only what the list has after this row.
    pub after: Option<ListCursor>,
    pub limit: i64,
}

/// A row's place in a list: lists go by time, the newest first, then by ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListCursor {
    pub at: Time,
    pub id: i64,
    /// Which of several rows of one id; 0 where there is but one.
    pub part: i64,
}

/// The conditions of a list, as text with parameters.
#[derive(Default)]
pub(in crate::store) struct WhereClause {
    sql: Vec<String>,
    args: Vec<Arg>,
}

impl WhereClause {
    /// `column = value`, where there is a value to ask for.
    pub(in crate::store) fn equal(&mut self, column: &'static str, value: Option<Arg>) {
        if let Some(value) = value {
            let parameter = self.parameter(value);
            self.sql.push(format!("{column} = {parameter}"));
        }
    }

    /// `column` from the first time on, and before the second one, where they are given.
    pub(in crate::store) fn between(
        &mut self,
        column: &'static str,
        (from, to): (Option<Time>, Option<Time>),
    ) {
        for (time, is) in [(from, ">="), (to, "<")] {
            if let Some(time) = time {
                let parameter = self.parameter(time.into());
                self.sql.push(format!("{column} {is} {parameter}"));
            }
        }
    }

    pub(in crate::store) fn parameter(&mut self, value: Arg) -> String {
        self.args.push(value);
        format!("${}", self.args.len())
    }

    /// What a list has after a row, by the columns of the row's place.
    pub(in crate::store) fn after(&mut self, [at, id, part]: [&'static str; 3], after: Option<ListCursor>) {
        let Some(place) = after else { return };
        let [t, i, p] = [place.at.into(), place.id.into(), place.part.into()].map(|it| self.parameter(it));
        // The first part lets an index of the time find the place.
        self.sql.push(format!("{at} <= {t} AND ({at} < {t} OR {id} < {i} OR {id} = {i} AND {part} > {p})"));
    }

    /// A condition without parameter.
    pub(in crate::store) fn also(&mut self, condition: impl Into<String>) {
        self.sql.push(condition.into());
    }

    pub(in crate::store) async fn select(
        mut self,
        tx: &mut Tx,
        columns: &'static str,
        table: &'static str,
        order: &'static str,
        limit: i64,
    ) -> Result<Vec<Row>, StoreError> {
        let conditions = if self.sql.is_empty() { "TRUE".to_owned() } else { self.sql.join(" AND ") };
        self.args.push(limit.into());
        let sql =
            format!("SELECT {columns} FROM {table} WHERE {conditions} {order} LIMIT ${}", self.args.len());
        tx.rows(&sql, &self.args).await
    }
}
