//! Many rows for one statement, which takes them as a table: how many statements a transaction has does not depend on
//! how many rows it is about.

use serde::Serialize;
use serde_json::Value;

use crate::domain::record::Row;

/// The columns of ids that batches are made of.
pub const ACCOUNT: [&str; 1] = ["account_id"];
pub const CONTACT: [&str; 2] = ["account_id", "contact_id"];
pub const WORKFLOW: [&str; 2] = ["account_id", "workflow_id"];
pub const ENROLLED: [&str; 3] = ["account_id", "workflow_id", "contact_id"];
pub const ENROLLMENT: [&str; 3] = ["account_id", "enrollment_id", "action_id"];

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

/// Rows that are all ids; [`Dialect::ids`](super::dialect::Dialect::ids) reads them. The last of a statement's parameters:
/// PostgreSQL takes a list a column, which costs it a tenth of what the JSON does.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    columns: Vec<Vec<i64>>,
}

impl Ids {
    pub fn new<const N: usize>(rows: impl IntoIterator<Item = [i64; N]>) -> Self {
        let mut columns = vec![Vec::new(); N];
        for row in rows {
            for (column, id) in columns.iter_mut().zip(row) {
                column.push(id);
            }
        }
        Self { columns }
    }

    /// A list a column.
    pub fn columns(&self) -> &[Vec<i64>] {
        &self.columns
    }

    /// A JSON array of arrays, one a row.
    pub fn text(&self) -> String {
        let rows = self.columns.first().map_or(0, Vec::len);
        let row = |index: usize| self.columns.iter().map(move |column| column[index]).collect::<Vec<_>>();
        batch_text((0..rows).map(row))
    }
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn ids_are_columns_and_rows() {
        let ids = Ids::new([[1, 2], [3, 4], [5, 6]]);
        assert_eq!(
            (ids.columns(), ids.text().as_str()),
            (&[vec![1, 3, 5], vec![2, 4, 6]][..], "[[1,2],[3,4],[5,6]]")
        );
        assert_eq!((Ids::new::<2>([]).columns().len(), Ids::new::<2>([]).text().as_str()), (2, "[]"));
    }
}
