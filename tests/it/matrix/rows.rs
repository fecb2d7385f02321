//! The rows that a store must hold, no more and no fewer, beside what it shows: nothing half gone hides behind a view.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{Account, RecordEntry};
use super::records::ACTIVITY;
use crate::support::Database;

/// Table, its columns to look at, and where they are booleans.
const TABLES: [(&str, &[&str]); 31] = [
    ("contacts", &["contact_id", "properties", "?deleted_at IS NOT NULL", "?restored_at IS NOT NULL"]),
    ("contact_emails", &["contact_id", "email_key", HOLDS_IT]),
    // How many are live, told by the volume guard's sum.
    ("contact_counts", &["coalesce(sum(change), 0)"]),
    ("gone_contacts", &["contact_id", "state"]),
    ("legal_holds", &["contact_id"]),
    ("trash_entries", &["contact_id", "deleted_by", "closed_as"]),
    ("objects", &["object_type", "object_id", "properties", "?deleted_at IS NOT NULL"]),
    (
        "record_trash_entries",
        &[
            "CASE WHEN is_activity THEN 'activity' ELSE object_type END",
            "record_id",
            "deleted_by",
            "closed_as",
        ],
    ),
    ("associations", &["from_type", "from_id", "to_type", "to_id", "label"]),
    ("activities", &["activity_id", "type", "properties", "?stub", "?deleted_at IS NOT NULL"]),
    ("activity_associations", &["activity_id", "object_type", "object_id"]),
    ("conversations", &["conversation_id", "contact_id", "channel", "messages -> 0 ->> 'text'"]),
    ("conversation_tickets", &["conversation_id", "ticket_id"]),
    ("deliverability", &["email_key", "status"]),
    ("address_hashes", &["status"]),
    ("custom_events", &["event_id", "contact_id", "properties ->> 'about'"]),
    ("analytics_events", &["event_id", "contact_id", "type"]),
    ("feedback", &["feedback_id", "contact_id", "comment"]),
    ("form_submissions", &["submission_id", "contact_id", "field_values ->> 'about'"]),
    ("deleted_form_submissions", &["form_id", "submissions"]),
    ("files", &["file_id", "name", "form_submission_id"]),
    ("file_contacts", &["file_id", "contact_id"]),
    ("integrations", &["contact_id", "source", "payload ->> 'about'"]),
    ("lifecycle_transitions", &["contact_id", "stage"]),
    ("segment_members", &["segment_id", "contact_id"]),
    ("record_segment_members", &["segment_id", "record_id"]),
    ("notifications", &["notification_id", "contact_id", "contact_name", "contact_email", "title"]),
    ("quote_contacts", &["quote_id", "contact_id"]),
    ("workflow_enrollments", &["workflow_id", "contact_id", "?active"]),
    ("outbox", &["type", "data"]),
    ("ledger", &["enrollment_id", "object_id", "outcome", "coalesce(reason, '')"]),
];

/// Who lives holds the address. In the trash it is held for as long as nobody else claims it.
const HOLDS_IT: &str = "?live OR contact_id IN (SELECT t.contact_id FROM contacts t \
     WHERE t.account_id = contact_emails.account_id AND t.deleted_at IS NOT NULL)";

/// The rows of each table, as text, sorted.
pub type Rows = BTreeMap<&'static str, Vec<String>>;

/// What is in the store of one account.
pub async fn stored(db: &Database, account: i64) -> Rows {
    let select = |(table, columns): &(&str, &[&str])| {
        let column = |column: &&str| match column.strip_prefix('?') {
            Some(condition) => format!("CASE WHEN {condition} THEN 'yes' ELSE 'no' END"),
            None => format!("coalesce(CAST({column} AS text), 'none')"),
        };
        let columns: Vec<String> = columns.iter().map(column).collect();
        format!(
            "SELECT '{table}', {} FROM {table} WHERE account_id = {account}",
            columns.join(" || ' | ' || ")
        )
    };
    let sql: Vec<String> = TABLES.iter().map(select).collect();
    let mut rows: Rows = TABLES.iter().map(|(table, _)| (*table, Vec::new())).collect();
    for row in db.rows(&sql.join(" UNION ALL ")).await {
        rows.get_mut(row[0].as_str()).expect("a table of ours").push(same_json(&row[1]));
    }
    sorted(rows)
}

fn sorted(mut rows: Rows) -> Rows {
    for rows in rows.values_mut() {
        rows.sort();
    }
    rows
}

/// A row with its JSON written in one way, as the databases do not, and of an event or a confirmation only whom it is
/// about.
fn same_json(row: &str) -> String {
    let cell = |cell: &str| match serde_json::from_str::<Value>(cell) {
        Ok(Value::Object(event)) if event.contains_key("contactId") => event["contactId"].to_string(),
        Ok(Value::Object(event)) if event.contains_key("objectId") => event["objectId"].to_string(),
        Ok(Value::Object(mail)) if mail.contains_key("erasures") => {
            let erasures = mail["erasures"].as_array().into_iter().flatten();
            erasures.filter_map(|it| it["contactId"].as_str()).collect::<Vec<_>>().join(" ")
        }
        Ok(object @ Value::Object(_)) => object.to_string(),
        _ => cell.to_owned(),
    };
    row.split(" | ").map(cell).collect::<Vec<_>>().join(" | ")
}

fn some(id: Option<i64>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.to_string())
}

fn yes(it: bool) -> &'static str {
    if it { "yes" } else { "no" }
}

impl Account {
    /// What the matrix says must be stored.
    pub fn rows(&self) -> Rows {
        let mut rows: Rows = TABLES.iter().map(|(table, _)| (*table, Vec::new())).collect();
        self.rows_of_people(&mut rows);
        self.rows_of_others(&mut rows);
        self.rows_owned(&mut rows);
        sorted(rows)
    }

    fn rows_of_people(&self, rows: &mut Rows) {
        let mut add = |table, row| rows.get_mut(table).expect("a table of ours").push(row);
        for (id, it) in &self.contacts {
            let (trashed, restored) = (yes(it.trash.is_some()), yes(it.restored));
            add("contacts", format!("{id} | {} | {trashed} | {restored}", json!(it.properties)));
            for address in &it.addresses {
                add("contact_emails", format!("{id} | {address} | yes"));
            }
            if it.held {
                add("legal_holds", id.to_string());
            }
        }
        let live = self.contacts.values().filter(|it| it.trash.is_none()).count();
        add("contact_counts", live.to_string());
        for (id, state) in &self.gone {
            add("gone_contacts", format!("{id} | {state}"));
        }
        for (id, by, closed) in &self.entries {
            add("trash_entries", format!("{id} | {by} | {}", closed.unwrap_or("none")));
        }
        for (address, status) in &self.deliverability {
            add("deliverability", format!("{address} | {status}"));
        }
        for (_, status) in &self.hashed {
            add("address_hashes", status.clone());
        }
        for ((workflow, contact, _), active) in &self.enrollments {
            add("workflow_enrollments", format!("{workflow} | {contact} | {}", yes(*active)));
        }
        for (event, contact) in &self.told {
            add("outbox", format!("{event} | \"{contact}\""));
        }
        for contacts in &self.confirmed {
            let contacts: Vec<String> = contacts.iter().map(i64::to_string).collect();
            add("outbox", format!("mail.erasure | {}", contacts.join(" ")));
        }
        for (id, it) in &self.ledger {
            add("ledger", format!("{id} | {} | {} | {}", it.contact, it.outcome, it.reason));
        }
    }

    fn rows_of_others(&self, rows: &mut Rows) {
        let mut add = |table, row| rows.get_mut(table).expect("a table of ours").push(row);
        for (object, properties) in &self.objects {
            let in_trash = yes(self.record_trash.contains_key(object));
            add("objects", format!("{} | {} | {} | {in_trash}", object.0, object.1, json!(properties)));
        }
        for RecordEntry { object: (kind, id), by, closed } in &self.record_entries {
            add("record_trash_entries", format!("{kind} | {id} | {by} | {}", closed.unwrap_or("none")));
        }
        for (id, segment) in &self.deal_segments {
            for deal in &segment.members {
                add("record_segment_members", format!("{id} | {deal}"));
            }
        }
        for (from, to, label) in &self.associations {
            add("associations", format!("{} | {} | {} | {} | {label}", from.0, from.1, to.0, to.1));
        }
        for (id, it) in &self.activities {
            let in_trash = yes(self.record_trash.contains_key(&(ACTIVITY.to_owned(), *id)));
            let stub = yes(it.stub);
            add("activities", format!("{id} | {} | {} | {stub} | {in_trash}", it.kind, json!(it.properties)));
            for (kind, end) in &it.ends {
                add("activity_associations", format!("{id} | {kind} | {end}"));
            }
        }
        for (id, it) in &self.conversations {
            add("conversations", format!("{id} | {} | {} | {}", some(it.contact), it.channel, it.text));
            for ticket in &it.tickets {
                add("conversation_tickets", format!("{id} | {ticket}"));
            }
        }
        for (id, it) in &self.files {
            add("files", format!("{id} | {} | {}", it.name, some(it.submission)));
            for contact in &it.contacts {
                add("file_contacts", format!("{id} | {contact}"));
            }
        }
        for (id, it) in &self.quotes {
            for contact in &it.contacts {
                add("quote_contacts", format!("{id} | {contact}"));
            }
        }
        for (id, segment) in &self.segments {
            for contact in &segment.members {
                add("segment_members", format!("{id} | {contact}"));
            }
        }
    }

    fn rows_owned(&self, rows: &mut Rows) {
        let mut add = |table, row| rows.get_mut(table).expect("a table of ours").push(row);
        for (table, owned) in [("custom_events", &self.custom_events), ("feedback", &self.feedback)] {
            for (id, it) in owned {
                add(table, format!("{id} | {} | {}", it.contact, it.text));
            }
        }
        for (id, it) in &self.analytics {
            add("analytics_events", format!("{id} | {} | {}", some(it.contact), it.kind));
        }
        for (id, it) in &self.submissions {
            add("form_submissions", format!("{id} | {} | {}", it.contact, it.text));
        }
        for (form, count) in &self.past_submissions {
            add("deleted_form_submissions", format!("{form} | {count}"));
        }
        for ((contact, source), text) in &self.integrations {
            add("integrations", format!("{contact} | {source} | {text}"));
        }
        for (contact, stage, _) in &self.transitions {
            add("lifecycle_transitions", format!("{contact} | {stage}"));
        }
        for (id, it) in &self.notifications {
            let words = format!("{} | {} | {}", it.name, it.email, it.title);
            add("notifications", format!("{id} | {} | {words}", some(it.contact)));
        }
    }
}
