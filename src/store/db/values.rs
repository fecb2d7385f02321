//! What a statement is given, and what it answers, whichever database it is.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use super::batch::Lists;
use crate::domain::time::{Time, parse_time};
use crate::store::error::StoreError;

/// A value for a statement's parameter.
#[derive(Clone, Debug)]
pub enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Time(Option<Time>),
    Bytes(Vec<u8>),
    /// The last one.
    Lists(Lists),
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Time> for Arg {
    fn from(value: Time) -> Self {
        Self::Time(Some(value))
    }
}

impl From<Option<Time>> for Arg {
    fn from(value: Option<Time>) -> Self {
        Self::Time(value)
    }
}

impl From<Vec<u8>> for Arg {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<Lists> for Arg {
    fn from(value: Lists) -> Self {
        Self::Lists(value)
    }
}

impl From<&Lists> for Arg {
    fn from(value: &Lists) -> Self {
        Self::Lists(value.clone())
    }
}

/// The parameters of a statement, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { &[$($crate::store::db::values::Arg::from($value)),*] };
}
pub(in crate::store) use args;

/// A row of an answer, read by column name.
#[derive(Debug)]
pub enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

macro_rules! get {
    ($row:expr, $column:expr, $type:ty) => {
        match $row {
            Row::Postgres(row) => row.try_get::<$type, _>($column),
            Row::Sqlite(row) => row.try_get::<$type, _>($column),
        }
    };
}

impl Row {
    pub fn int(&self, column: &str) -> Result<i64, StoreError> {
        Ok(get!(self, column, i64)?)
    }

    pub fn optional_int(&self, column: &str) -> Result<Option<i64>, StoreError> {
        Ok(get!(self, column, Option<i64>)?)
    }

    pub fn text(&self, column: &str) -> Result<String, StoreError> {
        Ok(get!(self, column, String)?)
    }

    pub fn optional_text(&self, column: &str) -> Result<Option<String>, StoreError> {
        Ok(get!(self, column, Option<String>)?)
    }

    pub fn bytes(&self, column: &str) -> Result<Vec<u8>, StoreError> {
        Ok(get!(self, column, Vec<u8>)?)
    }

    pub fn optional_bool(&self, column: &str) -> Result<Option<bool>, StoreError> {
        Ok(get!(self, column, Option<bool>)?)
    }

    pub fn bool(&self, column: &str) -> Result<bool, StoreError> {
        Ok(get!(self, column, bool)?)
    }

    /// A JSON column, selected with `CAST(column AS text)`.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|_| {
            StoreError::Failed(format!("the column {column} holds JSON of another shape than ours"))
        })
    }

    pub fn optional_json<T: serde::de::DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?.map(|_| self.json(column)).transpose()
    }

    pub fn time(&self, column: &str) -> Result<Time, StoreError> {
        self.optional_time(column)?
            .ok_or_else(|| StoreError::Failed(format!("the column {column} holds no time")))
    }

    pub fn optional_time(&self, column: &str) -> Result<Option<Time>, StoreError> {
        match self {
            Self::Postgres(row) => Ok(row.try_get::<Option<DateTime<Utc>>, _>(column)?),
            Self::Sqlite(row) => match row.try_get::<Option<String>, _>(column)? {
                None => Ok(None),
                Some(text) => parse_time(&text)
                    .map(Some)
                    .ok_or_else(|| StoreError::Failed(format!("the column {column} holds no time"))),
            },
        }
    }
}
