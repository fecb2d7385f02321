//! Many rows for one statement, which takes them as a table: how many statements a transaction has does not depend on
//! how many rows it is about.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use crate::domain::record::Row;
use crate::domain::time::{Time, format_time};

/// The columns of ids that batches are made of.
pub const ACCOUNT: [&str; 1] = ["account_id"];
pub const CONTACT: [&str; 2] = ["account_id", "contact_id"];
/// A record of any type.
pub const RECORD: [&str; 2] = ["account_id", "record_id"];
pub const WORKFLOW: [&str; 2] = ["account_id", "workflow_id"];
pub const ENROLLED: [&str; 3] = ["account_id", "workflow_id", "contact_id"];
pub const ENROLLMENT: [&str; 3] = ["account_id", "enrollment_id", "action_id"];

/// The columns of a batch of contacts; the entry matters only where contacts go into the trash or come back.
pub const BATCH: [&str; 3] = ["account_id", "contact_id", "entry_id"];

/// Rows as the one JSON text that travels to the database; [`Dialect::batch`](super::dialect::Dialect::batch) reads it.
pub fn batch_text<R: Serialize>(rows: impl IntoIterator<Item = R>) -> String {
    let mut text = Vec::with_capacity(4096);
    // Rows are made of texts and numbers: nothing that JSON could not say, into a buffer that takes everything.
    let written = serde::Serializer::collect_seq(&mut serde_json::Serializer::new(&mut text), rows);
    debug_assert!(written.is_ok(), "{written:?}");
    String::from_utf8(text).unwrap_or_default()
}

/// A row for a batch from a JSON object.
pub fn batch_row(value: Value) -> Row {
    match value {
        Value::Object(row) => row,
        _ => Row::new(),
    }
}

/// Rows as a list a column; [`Dialect::lists`](super::dialect::Dialect::lists) reads them. The last of a statement's
/// parameters: PostgreSQL takes each list by itself, and of ids that costs it a tenth of what the JSON does.
#[derive(Clone, Debug)]
pub struct Lists(Vec<List>);

/// A column.
#[derive(Clone, Debug)]
pub enum List {
    Ids(Vec<i64>),
    Ints(Vec<Option<i64>>),
    Texts(Vec<Option<Cow<'static, str>>>),
    Times(Vec<Time>),
}

impl Lists {
    /// Columns of equal length.
    pub fn new(columns: impl Into<Vec<List>>) -> Self {
        Self(columns.into())
    }

    /// Rows that are all ids.
    pub fn ids<const N: usize>(rows: impl IntoIterator<Item = [i64; N]>) -> Self {
        let mut columns = [const { Vec::new() }; N];
        for row in rows {
            for (column, id) in columns.iter_mut().zip(row) {
                column.push(id);
            }
        }
        Self(columns.map(List::Ids).into())
    }

    /// A list a column.
    pub fn columns(&self) -> &[List] {
        &self.0
    }

    /// A JSON array of arrays, one a row.
    pub fn text(&self) -> String {
        let rows = self.0.first().map_or(0, List::len);
        let row = |index: usize| self.0.iter().map(move |column| column.cell(index)).collect::<Vec<_>>();
        batch_text((0..rows).map(row))
    }
}

impl List {
    pub fn texts<T: Into<Cow<'static, str>>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Texts(texts.into_iter().map(|text| Some(text.into())).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Ids(ids) => ids.len(),
            Self::Ints(ints) => ints.len(),
            Self::Texts(texts) => texts.len(),
            Self::Times(times) => times.len(),
        }
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Self::Ids(ids) => Cell::Int(Some(ids[row])),
            Self::Ints(ints) => Cell::Int(ints[row]),
            Self::Texts(texts) => Cell::Text(texts[row].as_deref()),
            Self::Times(times) => Cell::Time(format_time(times[row])),
        }
    }
}

/// A value of a row.
#[derive(Serialize)]
#[serde(untagged)]
enum Cell<'a> {
    Int(Option<i64>),
    Text(Option<&'a str>),
    Time(String),
}

#[cfg(test)]
mod tests {
    use super::{List, Lists};
    use crate::domain::time::parse_time;

    #[test]
    fn ids_are_columns_and_rows() {
        let ids = Lists::ids([[1, 2], [3, 4], [5, 6]]);
        let [List::Ids(left), List::Ids(right)] = ids.columns() else { panic!("{ids:?}") };
        assert_eq!((left, right), (&vec![1, 3, 5], &vec![2, 4, 6]));
        assert_eq!(ids.text(), "[[1,2],[3,4],[5,6]]");
        let none = Lists::ids::<2>([]);
        assert_eq!((none.columns().len(), none.text().as_str()), (2, "[]"));
    }

    #[test]
    fn columns_of_any_kind_are_rows() {
        let at = parse_time("2026-03-01T10:00:00.000001Z").unwrap();
        let lists = Lists::new([
            List::Ints(vec![Some(1), None]),
            List::Texts(vec![None, Some("a \"quoted\" one".into())]),
            List::texts(["x", "y"]),
            List::Times(vec![at, at]),
        ]);
        assert_eq!(
            lists.text(),
            r#"[[1,null,"x","2026-03-01T10:00:00.000001Z"],[null,"a \"quoted\" one","y","2026-03-01T10:00:00.000001Z"]]"#
        );
    }
}
