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
    /// Its rows that hang on the contacts of `{batch}`: account, key and `contact_id`.
    linked: Option<&'static str>,
}

/// Activities, by their associations.
const ACTIVITIES: &str = "SELECT l.account_id, l.activity_id, b.contact_id FROM {batch} \
     JOIN activity_associations l \
     ON l.account_id = b.account_id AND l.object_type = 'contact' AND l.object_id = b.contact_id";

const CONVERSATIONS: &str = "SELECT v.account_id, v.conversation_id, b.contact_id FROM {batch} \
     JOIN conversations v ON v.account_id = b.account_id AND v.contact_id = b.contact_id";

/// Companies, deals and tickets, by association in either direction, and tickets by a conversation.
const OBJECTS: &str = "SELECT a.account_id, a.to_type AS object_type, a.to_id AS object_id, b.contact_id FROM {batch} \
     JOIN associations a ON a.account_id = b.account_id AND a.from_type = 'contact' AND a.from_id = b.contact_id \
     UNION SELECT a.account_id, a.from_type, a.from_id, b.contact_id FROM {batch} \
     JOIN associations a ON a.account_id = b.account_id AND a.to_type = 'contact' AND a.to_id = b.contact_id \
     UNION SELECT t.account_id, 'ticket', t.ticket_id, b.contact_id FROM {batch} \
     JOIN conversations v ON v.account_id = b.account_id AND v.contact_id = b.contact_id \
     JOIN conversation_tickets t ON t.account_id = v.account_id AND t.conversation_id = v.conversation_id";

const FILES: &str = "SELECT f.account_id, f.file_id, b.contact_id FROM {batch} \
     JOIN file_contacts f ON f.account_id = b.account_id AND f.contact_id = b.contact_id";

/// Every table and column that can hold what somebody wrote about a contact.
const TEXTS: [Texts; 13] = [
    texts(Category::Activities, "activities", &[("activity_id", Int)], &[("properties", Json)])
        .by(ACTIVITIES),
    texts(Category::Conversations, "conversations", &[("conversation_id", Int)], &[("messages", Json)])
        .by(CONVERSATIONS),
    texts(
        Category::Associations,
        "objects",
        &[("object_type", Text), ("object_id", Int)],
        &[("properties", Json)],
    )
    .by(OBJECTS),
    texts(Category::Quotes, "quotes", &[("quote_id", Int)], &[("title", Text)]),
    texts(Category::Files, "files", &[("file_id", Int)], &[("name", Text)]).by(FILES),
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
    Texts { category, table, key, columns, linked: None }
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
    dead_letters(tx, traces).await?;
    Ok(redacted)
}

/// Messages of the embedded feed that could not be decided may hold anything, of any account. Few of them are kept, so
/// all are looked at; one that is no text is searched as if its odd bytes were not there.
async fn dead_letters(tx: &mut Tx, traces: &Traces) -> Result<(), StoreError> {
    for row in tx.rows("SELECT dead_letter_id, body FROM dead_letters", &[]).await? {
        if let Some(clean) = traces.redact(&String::from_utf8_lossy(&row.bytes("body")?)) {
            tx.execute(
                "UPDATE dead_letters SET body = $2 WHERE dead_letter_id = $1",
                args![row.int("dead_letter_id")?, clean.into_bytes()],
            )
            .await?;
        }
    }
    Ok(())
}

/// Redacts the texts that hang on contacts, each by its own contact's traces; the headers and derived properties of
/// their e-mails go whole. The links must still be there.
pub async fn linked(
    tx: &mut Tx,
    contacts: &str,
    traces: &BTreeMap<(i64, i64), Traces>,
) -> Result<Redacted, StoreError> {
    let batch = tx.dialect().batch(1, &super::plan::BATCH);
    let mut redacted = Redacted::new();
    for texts in &TEXTS {
        let Some(linked) = texts.linked else { continue };
        let keys = texts.key.iter().map(|(column, _)| format!(" AND t.{column} = l.{column}"));
        let sql = format!(
            "SELECT l.contact_id, {} FROM ({}) l JOIN {} t ON t.account_id = l.account_id{}",
            texts.selected(),
            linked.replace("{batch}", &batch),
            texts.table,
            keys.collect::<String>()
        );
        let rows = tx.rows(&sql, args![contacts]).await?;
        // A row that hangs on several contacts comes once for each: the traces of all of them go.
        let mut of_row: BTreeMap<String, Vec<&Traces>> = BTreeMap::new();
        for row in &rows {
            if let Some(traces) = traces.get(&(row.int("account_id")?, row.int("contact_id")?)) {
                of_row.entry(texts.key_of(row)?.to_string()).or_default().push(traces);
            }
        }
        let count = texts
            .rewrite(tx, &rows, |key, value| {
                let headers = texts.category == Category::Activities && redact_headers(value);
                let traces = of_row.get(&key.to_string()).map_or(&[][..], Vec::as_slice);
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
    /// With the way from a contact to its rows.
    const fn by(self, linked: &'static str) -> Self {
        Self { linked: Some(linked), ..self }
    }

    /// Account and key of a row.
    fn key_of(&self, row: &Row) -> Result<Value, StoreError> {
        let mut key = Map::from_iter([("account_id".to_owned(), row.int("account_id")?.into())]);
        for (column, kind) in self.key {
            let value: Value = if *kind == Int { row.int(column)?.into() } else { row.text(column)?.into() };
            key.insert((*column).to_owned(), value);
        }
        Ok(Value::Object(key))
    }

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

    /// Writes back what `clean`, which is given a row's key and one of its texts, changed; how many rows.
    async fn rewrite(
        &self,
        tx: &mut Tx,
        rows: &[Row],
        clean: impl Fn(&Value, &mut Value) -> bool,
    ) -> Result<u64, StoreError> {
        // By key: a row that came for several contacts is written once.
        let mut changed = BTreeMap::new();
        for row in rows {
            let key = self.key_of(row)?;
            let mut columns = batch_row(key.clone());
            let mut found = false;
            for (column, kind) in self.columns {
                let mut value: Value = match kind {
                    Json => row.json(column)?,
                    _ => row.text(column)?.into(),
                };
                found = clean(&key, &mut value) || found;
                columns.insert((*column).to_owned(), value);
            }
            if found {
                changed.insert(key.to_string(), columns);
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
        tx.execute(&sql, args![batch_text(changed.into_values().collect())]).await
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
