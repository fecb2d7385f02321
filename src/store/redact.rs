//! Taking people out of what stays for somebody else's sake: rule 4 of the matrix.
//!
//! An erase, and the end of a purge, look at every text of the account, page by page, once for all the people who go
//! together.
//! [`Traces`] decides, so that both databases redact the same; what it finds is locked, read again, and rewritten.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::batch::Lists;
use super::db::Tx;
use super::values::{Arg, Row, args};
use super::{StoreError, batch_text};
use crate::domain::effects::{Category, Transition};
use crate::domain::person::{REDACTED, Traces};
use crate::domain::record::{Column, ColumnType, Row as JsonRow};

use ColumnType::{Int, Json, Text};

/// How many rows are read at once: a page is held in memory.
const PAGE: i64 = 1000;

/// A table with texts that people write into.
struct Texts {
    /// Under which an erasure counts what it redacted.
    category: Category,
    table: &'static str,
    /// Its key beside `account_id`.
    key: &'static [Column],
    columns: &'static [Column],
}

/// The e-mails among the activities have headers.
const ACTIVITIES: Texts =
    texts(Category::Activities, "activities", &[("activity_id", Int)], &[("properties", Json)]);

/// Whom the texts are still to be searched for after a purge: that search does not look at itself.
const OWED: &str = "owed_searches";

/// Every table and column that can hold what somebody wrote about a contact.
const TEXTS: [Texts; 15] = [
    ACTIVITIES,
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
    texts(Category::ContactData, OWED, &[("contact_id", Int)], &[("texts", Json)]),
    texts(
        Category::Workflows,
        "waiting_events",
        &[("enrollment_id", Int), ("action_id", Int)],
        &[("event", Text)],
    ),
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

/// Redacts every text of an account that the transition, an erase or a purge, does not keep. The people's own rows must be
/// gone already.
pub async fn account_wide(
    tx: &mut Tx,
    account_id: i64,
    traces: &Traces,
    transition: Transition,
) -> Result<Redacted, StoreError> {
    let mut redacted = Redacted::new();
    if traces.is_empty() {
        return Ok(redacted);
    }
    for texts in TEXTS.iter().filter(|texts| !texts.are_kept_by(transition)) {
        let count = texts.redact(tx, account_id, traces).await?;
        if count > 0 {
            *redacted.entry(texts.category.title()).or_default() += count;
        }
    }
    Ok(redacted)
}

/// Messages of the embedded feed that could not be decided may hold anything, of any account; one that is no text is
/// searched as if its odd bytes were not there.
pub async fn dead_letters(tx: &mut Tx, traces: &Traces) -> Result<(), StoreError> {
    const BODIES: i64 = 50;
    let mut last = 0;
    loop {
        let sql = "SELECT dead_letter_id, body FROM dead_letters WHERE dead_letter_id > $1 \
                   ORDER BY dead_letter_id LIMIT $2";
        let page = tx.rows(sql, args![last, BODIES]).await?;
        let Some(end) = page.last() else { return Ok(()) };
        last = end.int("dead_letter_id")?;
        for row in &page {
            if let Some(clean) = traces.redact(&String::from_utf8_lossy(&row.bytes("body")?)) {
                tx.execute(
                    "UPDATE dead_letters SET body = $2 WHERE dead_letter_id = $1",
                    args![row.int("dead_letter_id")?, clean.into_bytes()],
                )
                .await?;
            }
        }
    }
}

/// Takes the headers, and what was derived from them, from the e-mails of a batch of contacts. The links must still
/// be there.
pub async fn headers(tx: &mut Tx, contacts: &Lists) -> Result<Redacted, StoreError> {
    let sql = format!(
        "SELECT DISTINCT l.account_id, l.activity_id FROM {} JOIN activity_associations l \
         ON l.account_id = b.account_id AND l.object_type = 'contact' AND l.object_id = b.contact_id",
        tx.dialect().ids(1, &super::plan::BATCH)
    );
    let rows = tx.rows(&sql, args![contacts]).await?;
    let keys = rows.iter().map(|row| ACTIVITIES.key_of(row)).collect::<Result<_, _>>()?;
    let count = ACTIVITIES.rewrite(tx, keys, redact_headers).await?;
    Ok(Redacted::from_iter((count > 0).then_some((ACTIVITIES.category.title(), count))))
}

/// Row 10: the header of an e-mail, and what was derived from it, tells who wrote to whom. An activity without them is
/// no e-mail, and stays as it is.
pub(super) fn redact_headers(properties: &mut Value) -> bool {
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
    /// Rows 17 and 18 of the matrix: a purge leaves the name and the address that notifications and quotes carry.
    fn are_kept_by(&self, transition: Transition) -> bool {
        let kept = matches!(self.category, Category::Notifications | Category::Quotes) || self.table == OWED;
        transition == Transition::Purge && kept
    }

    /// Account and key of a row.
    fn key_of(&self, row: &Row) -> Result<JsonRow, StoreError> {
        let mut key = Map::from_iter([("account_id".to_owned(), row.int("account_id")?.into())]);
        for (column, kind) in self.key {
            let value: Value = if *kind == Int { row.int(column)?.into() } else { row.text(column)?.into() };
            key.insert((*column).to_owned(), value);
        }
        Ok(key)
    }

    /// The columns of a row, with JSON as text.
    fn selected(&self) -> String {
        let keys = self.key.iter().map(|(column, _)| format!("t.{column}"));
        let texts = self.columns.iter().map(|(column, _)| format!("CAST(t.{column} AS text) AS {column}"));
        let columns: Vec<String> = ["t.account_id".to_owned()].into_iter().chain(keys).chain(texts).collect();
        columns.join(", ")
    }

    /// The texts of a row, each with its column.
    fn texts_of(&self, row: &Row) -> Result<Vec<(&'static str, Value)>, StoreError> {
        let text = |(column, kind): &Column| -> Result<_, StoreError> {
            Ok((*column, if *kind == Json { row.json(column)? } else { row.text(column)?.into() }))
        };
        self.columns.iter().map(text).collect()
    }

    /// Redacts all rows of an account; how many had a trace.
    async fn redact(&self, tx: &mut Tx, account_id: i64, traces: &Traces) -> Result<u64, StoreError> {
        let names: Vec<String> = self.key.iter().map(|(column, _)| format!("t.{column}")).collect();
        let places: Vec<String> = (2..).take(names.len()).map(|place| format!("${place}")).collect();
        let sql = format!(
            "SELECT {} FROM {} t WHERE t.account_id = $1 AND ({names}) > ({}) ORDER BY {names} LIMIT {PAGE}",
            self.selected(),
            self.table,
            places.join(", "),
            names = names.join(", ")
        );
        let first = |(_, kind): &Column| if *kind == Int { Arg::from(0) } else { Arg::from("") };
        let mut after: Vec<Arg> = self.key.iter().map(first).collect();
        let mut count = 0;
        loop {
            let page = tx.rows(&sql, &[vec![account_id.into()], after].concat()).await?;
            let Some(end) = page.last() else { return Ok(count) };
            let last = |(column, kind): &Column| -> Result<Arg, StoreError> {
                Ok(if *kind == Int { end.int(column)?.into() } else { end.text(column)?.into() })
            };
            after = self.key.iter().map(last).collect::<Result<_, _>>()?;
            let mut found = Vec::new();
            for row in &page {
                if self.texts_of(row)?.iter_mut().any(|(_, text)| traces.redact_json(text)) {
                    found.push(self.key_of(row)?);
                }
            }
            count += self.rewrite(tx, found, |text| traces.redact_json(text)).await?;
        }
    }

    /// Locks rows, by their keys, and writes back what `clean` changes in their texts; how many rows it changed.
    async fn rewrite(
        &self,
        tx: &mut Tx,
        keys: Vec<JsonRow>,
        clean: impl Fn(&mut Value) -> bool,
    ) -> Result<u64, StoreError> {
        if keys.is_empty() {
            return Ok(0);
        }
        let key: Vec<Column> = [("account_id", Int)].into_iter().chain(self.key.iter().copied()).collect();
        let on = |alias: &str| -> String {
            let columns = key.iter().map(|(column, _)| format!("{alias}.{column} = b.{column}"));
            columns.collect::<Vec<_>>().join(" AND ")
        };
        let order: Vec<&str> = key.iter().map(|(column, _)| *column).collect();
        let sql = format!(
            "SELECT {} FROM {} JOIN {} t ON {} ORDER BY t.{}{}",
            self.selected(),
            tx.dialect().batch(1, &key),
            self.table,
            on("t"),
            order.join(", t."),
            tx.dialect().for_update("t")
        );
        let mut changed = Vec::new();
        for row in tx.rows(&sql, args![batch_text(keys)]).await? {
            let mut texts = self.texts_of(&row)?;
            if texts.iter_mut().fold(false, |found, (_, text)| clean(text) || found) {
                let mut row = self.key_of(&row)?;
                row.extend(texts.into_iter().map(|(column, text)| (column.to_owned(), text)));
                changed.push(row);
            }
        }
        if changed.is_empty() {
            return Ok(0);
        }
        let all: Vec<Column> = key.iter().chain(self.columns).copied().collect();
        let assignments: Vec<String> =
            self.columns.iter().map(|(column, _)| format!("{column} = b.{column}")).collect();
        let sql = format!(
            "UPDATE {} SET {} FROM {} WHERE {}",
            self.table,
            assignments.join(", "),
            tx.dialect().batch(1, &all),
            on(self.table)
        );
        tx.execute(&sql, args![batch_text(changed)]).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
