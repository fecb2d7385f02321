//! Taking a person out of what stays for somebody else's sake: rule 4 of the matrix.
//!
//! An erase looks at every text of the account; a purge, which comes by the hundred, at the texts that hang on the
//! contact. SQL finds the rows that may hold a trace, [`Traces`] decides and rewrites.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::db::{Row, Tx, args};
use super::{StoreError, batch_row, batch_text};
use crate::domain::effects::Category;
use crate::domain::person::{REDACTED, Traces};
use crate::domain::record::{Column, ColumnType};

use ColumnType::{Int, Json, Text};

/// A table with texts that people write into.
struct Texts {
    /// Under which an erasure counts what it redacted.
    category: Category,
    table: &'static str,
    /// Its key beside `account_id`.
    key: &'static [Column],
    columns: &'static [Column],
}

/// Every table and column that can hold what somebody wrote about a contact.
const TEXTS: [Texts; 13] = [
    texts(Category::Activities, "activities", &[("activity_id", Int)], &[("properties", Json)]),
    texts(Category::Conversations, "conversations", &[("conversation_id", Int)], &[("messages", Json)]),
    texts(
        Category::Associations,
        "objects",
        &[("object_type", Text), ("object_id", Int)],
        &[("properties", Json)],
    ),
    texts(Category::Quotes, "quotes", &[("quote_id", Int)], &[("title", Text)]),
    texts(Category::Files, "files", &[("file_id", Int)], &[("name", Text)]),
    texts(Category::Segments, "segments", &[("segment_id", Int)], &[("name", Text)]),
    texts(
        Category::Notifications,
        "notifications",
        &[("notification_id", Int)],
        &[("title", Text), ("contact_name", Text), ("contact_email", Text)],
    ),
    texts(Category::Feedback, "feedback", &[("feedback_id", Int)], &[("comment", Text)]),
    texts(
        Category::FormSubmissions,
        "form_submissions",
        &[("submission_id", Int)],
        &[("field_values", Json)],
    ),
    texts(Category::CustomEvents, "custom_events", &[("event_id", Int)], &[("properties", Json)]),
    texts(
        Category::Integrations,
        "integrations",
        &[("contact_id", Int), ("source", Text)],
        &[("payload", Json)],
    ),
    texts(
        Category::ContactData,
        "contacts",
        &[("contact_id", Int)],
        &[("properties", Json), ("history", Json)],
    ),
    texts(Category::Workflows, "workflows", &[("workflow_id", Int)], &[("flow", Text)]),
];

const fn texts(
    category: Category,
    table: &'static str,
    key: &'static [Column],
    columns: &'static [Column],
) -> Texts {
    Texts { category, table, key, columns }
}

/// Rows redacted, by category.
pub type Redacted = BTreeMap<&'static str, u64>;

/// Redacts every text of an account. The person's own rows must be gone already.
pub async fn account_wide(tx: &mut Tx, account_id: i64, traces: &Traces) -> Result<Redacted, StoreError> {
    let mut redacted = Redacted::new();
    if traces.is_empty() {
        return Ok(redacted);
    }
    let patterns =
        traces.like_patterns().iter().map(|pattern| batch_row(json!({ "pattern": pattern }))).collect();
    let patterns = batch_text(patterns);
    for texts in &TEXTS {
        let matches = texts.columns.iter().map(|(column, _)| {
            format!("CAST(t.{column} AS text) {} b.pattern", tx.dialect().like_any_case())
        });
        let condition = format!(
            "t.account_id = $2 AND EXISTS (SELECT 1 FROM {} WHERE {})",
            tx.dialect().batch(1, &[("pattern", Text)]),
            matches.collect::<Vec<_>>().join(" OR ")
        );
        let rows = tx.rows(&texts.select(&condition), args![patterns.as_str(), account_id]).await?;
        let count = texts.rewrite(tx, &rows, |_, value| traces.redact_json(value)).await?;
        if count > 0 {
            *redacted.entry(texts.category.title()).or_default() += count;
        }
    }
    Ok(redacted)
}

/// Redacts the activities, conversations and tickets that hang on contacts, each by its own contact's traces; the
/// headers and derived properties of their e-mails go whole. The links must still be there.
pub async fn linked(
    tx: &mut Tx,
    contacts: &str,
    traces: &BTreeMap<(i64, i64), Traces>,
) -> Result<Redacted, StoreError> {
    let batch = tx.dialect().batch(1, &super::plan::BATCH);
    let of_contact = [
        format!(
            "SELECT l.account_id, l.activity_id, b.contact_id FROM {batch} JOIN activity_associations l \
             ON l.account_id = b.account_id AND l.object_type = 'contact' AND l.object_id = b.contact_id"
        ),
        format!(
            "SELECT v.account_id, v.conversation_id, b.contact_id FROM {batch} JOIN conversations v \
             ON v.account_id = b.account_id AND v.contact_id = b.contact_id"
        ),
    ];
    let mut redacted = Redacted::new();
    for (texts, linked) in TEXTS.iter().zip(&of_contact) {
        let (id, _) = texts.key[0];
        let sql = format!(
            "SELECT l.contact_id, {} FROM ({linked}) l JOIN {} t ON t.account_id = l.account_id AND t.{id} = l.{id}",
            texts.selected(),
            texts.table
        );
        let rows = tx.rows(&sql, args![contacts]).await?;
        // A row that hangs on several contacts comes once for each: the traces of all of them go.
        let mut of_row: BTreeMap<(i64, i64), Vec<&Traces>> = BTreeMap::new();
        for row in &rows {
            let account_id = row.int("account_id")?;
            if let Some(traces) = traces.get(&(account_id, row.int("contact_id")?)) {
                of_row.entry((account_id, row.int(id)?)).or_default().push(traces);
            }
        }
        let count = texts
            .rewrite(tx, &rows, |row, value| {
                let key = (row.int("account_id").unwrap_or_default(), row.int(id).unwrap_or_default());
                let headers = texts.category == Category::Activities && redact_headers(value);
                let traces = of_row.get(&key).map_or(&[][..], Vec::as_slice);
                traces.iter().fold(headers, |found, traces| traces.redact_json(value) || found)
            })
            .await?;
        if count > 0 {
            *redacted.entry(texts.category.title()).or_default() += count;
        }
    }
    Ok(redacted)
}

/// Row 10: the header of an e-mail, and what was derived from it, tells who wrote to whom. An activity without them is
/// no e-mail, and stays as it is.
fn redact_headers(properties: &mut Value) -> bool {
    const DERIVED: [&str; 5] =
        ["hs_email_from_", "hs_email_to_", "hs_email_cc_", "hs_email_bcc_", "hs_email_sender_"];
    let Some(properties) = properties.as_object_mut() else { return false };
    let mut found = false;
    for (name, value) in properties.iter_mut() {
        let clean = match name.as_str() {
            "hs_email_headers" => "GDPR_DELETED",
            derived if DERIVED.iter().any(|prefix| derived.starts_with(prefix)) => REDACTED,
            _ => continue,
        };
        if value != clean {
            *value = clean.into();
            found = true;
        }
    }
    found
}

impl Texts {
    /// The columns of a row, with JSON as text.
    fn selected(&self) -> String {
        let keys = self.key.iter().map(|(column, _)| format!("t.{column}"));
        let texts = self.columns.iter().map(|(column, _)| format!("CAST(t.{column} AS text) AS {column}"));
        let columns: Vec<String> = ["t.account_id".to_owned()].into_iter().chain(keys).chain(texts).collect();
        columns.join(", ")
    }

    fn select(&self, condition: &str) -> String {
        format!("SELECT {} FROM {} t WHERE {condition}", self.selected(), self.table)
    }

    /// Writes back what `clean` changed; how many rows.
    async fn rewrite(
        &self,
        tx: &mut Tx,
        rows: &[Row],
        clean: impl Fn(&Row, &mut Value) -> bool,
    ) -> Result<u64, StoreError> {
        let mut changed = Vec::new();
        for row in rows {
            let mut columns = Map::new();
            let mut found = false;
            for (column, kind) in self.columns {
                let mut value: Value = match kind {
                    Json => row.json(column)?,
                    _ => row.text(column)?.into(),
                };
                found = clean(row, &mut value) || found;
                columns.insert((*column).to_owned(), value);
            }
            if found {
                columns.insert("account_id".to_owned(), row.int("account_id")?.into());
                for (column, kind) in self.key {
                    let key: Value =
                        if *kind == Int { row.int(column)?.into() } else { row.text(column)?.into() };
                    columns.insert((*column).to_owned(), key);
                }
                if !changed.contains(&columns) {
                    changed.push(columns);
                }
            }
        }
        if changed.is_empty() {
            return Ok(0);
        }
        let all: Vec<Column> = [("account_id", Int)]
            .into_iter()
            .chain(self.key.iter().copied())
            .chain(self.columns.iter().copied())
            .collect();
        let assignments: Vec<String> =
            self.columns.iter().map(|(column, _)| format!("{column} = b.{column}")).collect();
        let keys: Vec<String> = [("account_id", Int)]
            .iter()
            .chain(self.key)
            .map(|(column, _)| format!("{table}.{column} = b.{column}", table = self.table))
            .collect();
        let sql = format!(
            "UPDATE {} SET {} FROM {} WHERE {}",
            self.table,
            assignments.join(", "),
            tx.dialect().batch(1, &all),
            keys.join(" AND ")
        );
        tx.execute(&sql, args![batch_text(changed)]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_what_was_derived_from_them_go_whole() {
        let mut email = json!({"hs_email_headers": "{\"from\":\"x\"}", "hs_email_to_email": "a@b.example",
            "hs_email_from_firstname": "Ada", "hs_email_subject": "Spring", "hs_email_topic": "to"});
        assert!(redact_headers(&mut email));
        assert_eq!(
            email,
            json!({"hs_email_headers": "GDPR_DELETED", "hs_email_to_email": "[redacted]",
                "hs_email_from_firstname": "[redacted]", "hs_email_subject": "Spring", "hs_email_topic": "to"})
        );
        assert!(!redact_headers(&mut email));
        assert!(!redact_headers(&mut json!({"hs_note_body": "hs_email_to_"})));
    }
}
