//! Rows of a table with words: read, locked and written back.

use serde_json::{Map, Value};

use super::Found;
use super::columns::{ACTIVITIES, Content, Kind, Words};
use crate::domain::effects::Category;
use crate::domain::record::{Column, ColumnType, Row as JsonRow};
use crate::domain::redaction::{Redactor, Style};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{List, Lists, batch_text};
use crate::store::db::values::{Row, args};

impl Content {
    /// Redacts a text of this column; the new text, and how many places.
    pub(in crate::store) fn redact(self, redactor: &Redactor, text: &str) -> Option<(String, u64)> {
        match self {
            Self::Json => redactor.redact_json(text),
            Self::Prose => redactor.redact(text, Style::Prose),
            Self::FileName => redactor.redact(text, Style::FileName),
        }
    }
}

impl Words {
    /// The key and the columns of a row, with JSON as text.
    pub(super) fn selected(&self) -> String {
        let keys = self.key.iter().map(|(column, _)| format!("t.{column}"));
        let texts =
            self.columns.iter().map(|(column, _)| format!("CAST(t.{column} AS text) AS {column}_text"));
        let kind = (self.table == ACTIVITIES.table).then(|| "t.type".to_owned());
        keys.chain(texts).chain(kind).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn key_of(&self, row: &Row) -> Result<JsonRow, StoreError> {
        let mut key = Map::new();
        for (column, kind) in self.key {
            let value: Value =
                if *kind == ColumnType::Int { row.int(column)?.into() } else { row.text(column)?.into() };
            key.insert((*column).to_owned(), value);
        }
        Ok(key)
    }

    /// What tells the record of a key, for a receipt.
    pub(super) fn id_of(&self, key: &JsonRow) -> Vec<String> {
        let text = |column: &&str| {
            key.get(*column).map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
        };
        self.id.iter().filter_map(text).collect()
    }

    pub(super) fn kind_of(&self, key: &JsonRow) -> String {
        match self.kind {
            Kind::Named(name) => name.to_owned(),
            Kind::Column(column) => key.get(column).and_then(Value::as_str).unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn found(&self, key: &JsonRow) -> Option<Found> {
        let id = self.id_of(key).join(":");
        (!id.is_empty()).then(|| Found { kind: self.kind_of(key), id })
    }

    /// Calls and e-mails are categories of their own.
    pub(super) fn category_of(&self, row: &Row) -> Result<Category, StoreError> {
        if self.table != ACTIVITIES.table {
            return Ok(self.category);
        }
        Ok(match row.text("type")?.as_str() {
            "call" => Category::Calls,
            "email" => Category::Emails,
            _ => Category::Activities,
        })
    }

    /// The texts of a row.
    pub(super) fn texts_of(&self, row: &Row) -> Result<Vec<(Content, String)>, StoreError> {
        let text = |(column, content): &(&str, Content)| -> Result<_, StoreError> {
            Ok((*content, row.optional_text(&format!("{column}_text"))?.unwrap_or_default()))
        };
        self.columns.iter().map(text).collect()
    }

    /// Locks rows by their keys, and reads them.
    pub(super) async fn lock(&self, tx: &mut Tx, keys: Vec<JsonRow>) -> Result<Vec<Row>, StoreError> {
        let order: Vec<String> = self.key.iter().map(|(column, _)| format!("t.{column}")).collect();
        let sql = format!(
            "SELECT {} FROM {} JOIN {} t ON {} ORDER BY {}{}",
            self.selected(),
            tx.dialect().batch(1, self.key),
            self.table,
            self.same_key("t"),
            order.join(", "),
            tx.dialect().for_update("t")
        );
        tx.rows(&sql, args![batch_text(keys)]).await
    }

    fn same_key(&self, alias: &str) -> String {
        let columns = self.key.iter().map(|(column, _)| format!("{alias}.{column} = b.{column}"));
        columns.collect::<Vec<_>>().join(" AND ")
    }

    /// Writes texts back, by key, each a list per column.
    pub(super) async fn write(
        &self,
        tx: &mut Tx,
        keys: Vec<Vec<Value>>,
        texts: Vec<Vec<String>>,
    ) -> Result<(), StoreError> {
        if keys.first().is_none_or(Vec::is_empty) {
            return Ok(());
        }
        let dialect = tx.dialect();
        let columns: Vec<Column> = self
            .key
            .iter()
            .copied()
            .chain(self.columns.iter().map(|(name, _)| (*name, ColumnType::Text)))
            .collect();
        let assignments: Vec<String> = self
            .columns
            .iter()
            .map(|(column, content)| match content {
                Content::Json => format!("{column} = {}", dialect.json(&format!("b.{column}"))),
                // A column that has no text yet keeps none.
                _ => format!(
                    "{column} = CASE WHEN {}.{column} IS NULL THEN NULL ELSE b.{column} END",
                    self.table
                ),
            })
            .collect();
        let sql = format!(
            "UPDATE {} SET {} FROM {} WHERE {}",
            self.table,
            assignments.join(", "),
            dialect.lists(1, &columns),
            self.same_key(self.table)
        );
        let key_list = |((_, kind), values): (&Column, Vec<Value>)| match kind {
            ColumnType::Int => List::Ids(values.iter().filter_map(Value::as_i64).collect()),
            _ => List::texts(values.iter().filter_map(Value::as_str).map(str::to_owned)),
        };
        let keys = self.key.iter().zip(keys).map(key_list);
        let lists: Vec<List> = keys.chain(texts.into_iter().map(List::texts)).collect();
        tx.execute(&sql, args![Lists::new(lists)]).await.map(drop)
    }
}
