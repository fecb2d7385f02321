//! Every column of the store that can hold words, with the decision what an erasure does to it (rules 4 and 8 of the matrix).
//! A column of the schema that is not here fails the tests.

use crate::domain::effects::Category;
use crate::domain::record::{Column, ColumnType};

use ColumnType::{Int, Text};

/// How far an erasure goes in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Rule 4 b: in rows that were the contact's as well everything that identifies it, in others addresses.
    Shared(Links),
    /// Rule 4 c, in rows of one other contact, named in `contact_id`: addresses.
    Owned,
    /// Rule 4 c: addresses.
    Addresses,
    /// Rule 4 d: nothing is changed; records that have an address of the person are reported.
    Reported,
}

/// Where the contacts of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Links {
    pub table: &'static str,
    pub contact: &'static str,
    /// Which rows of the table link contacts.
    pub condition: &'static str,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// JSON, in a column of the database's JSON type.
    Json,
    /// A text, which may be a JSON document.
    Prose,
    FileName,
}

/// A table with words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// Under which an erasure counts the records.
    pub category: Category,
    /// What a receipt calls a record.
    pub kind: Kind,
    /// The columns that tell a record, for a receipt. Empty: the row is of no record.
    pub id: &'static [&'static str],
    pub table: &'static str,
    /// The whole key.
    pub key: &'static [Column],
    pub columns: &'static [(&'static str, Content)],
    pub reach: Reach,
}

/// What a receipt calls a record: a name, or the column that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Named(&'static str),
    Column(&'static str),
}

const ACCOUNT: Column = ("account_id", Int);

/// A table whose records have one id.
const fn words(
    (category, kind, table): (Category, &'static str, &'static str),
    id: &'static [&'static str],
    key: &'static [Column],
    columns: &'static [(&'static str, Content)],
    reach: Reach,
) -> Words {
    Words { category, kind: Kind::Named(kind), id, table, key, columns, reach }
}

/// A table that names the contact of a record in `contact_id`.
const fn linked_in(table: &'static str) -> Reach {
    Reach::Shared(Links { table, contact: "contact_id", condition: "" })
}

pub const ACTIVITIES: Words = words(
    (Category::Activities, "activity", "activities"),
    &["activity_id"],
    &[ACCOUNT, ("activity_id", Int)],
    &[("properties", Content::Json)],
    Reach::Shared(Links {
        table: "activity_associations",
        contact: "object_id",
        condition: " AND l.object_type = 'contact'",
    }),
);

/// Every table with words that an erasure looks at, in the order in which it does.
#[rustfmt::skip]
pub const WORDS: [Words; 23] = {
    use Content::{FileName, Json, Prose};
    use Reach::{Addresses, Owned, Reported};
    [
    ACTIVITIES,
    words((Category::Conversations, "conversation", "conversations"), &["conversation_id"],
        &[ACCOUNT, ("conversation_id", Int)], &[("messages", Json)], linked_in("conversations")),
    words((Category::Quotes, "quote", "quotes"), &["quote_id"],
        &[ACCOUNT, ("quote_id", Int)], &[("title", Prose)], linked_in("quote_contacts")),
    words((Category::Files, "file", "files"), &["file_id"],
        &[ACCOUNT, ("file_id", Int)], &[("name", FileName)], linked_in("file_contacts")),
    words((Category::Notifications, "notification", "notifications"), &["notification_id"],
        &[ACCOUNT, ("notification_id", Int)],
        &[("title", Prose), ("contact_name", Prose), ("contact_email", Prose)], linked_in("notifications")),
    words((Category::Feedback, "feedback", "feedback"), &["feedback_id"],
        &[ACCOUNT, ("feedback_id", Int)], &[("comment", Prose), ("rating", Json), ("survey_id", Prose)], linked_in("feedback")),
    words((Category::Analytics, "analyticsEvent", "analytics_events"), &["event_id"],
        &[ACCOUNT, ("event_id", Int)], &[("source", Prose)], linked_in("analytics_events")),
    Words { category: Category::Associations, kind: Kind::Column("object_type"), id: &["object_id"], table: "objects",
        key: &[ACCOUNT, ("object_type", Text), ("object_id", Int)], columns: &[("properties", Json), ("history", Json)], reach: Addresses },
    words((Category::Associations, "objectType", "object_types"), &[], &[ACCOUNT, ("object_type", Text)],
        &[("singular", Prose), ("plural", Prose), ("primary_display_property", Prose)], Addresses),
    words((Category::Associations, "property", "property_definitions"), &[],
        &[ACCOUNT, ("object_type", Text), ("name", Text)],
        &[("label", Prose), ("group_name", Prose), ("options", Json)], Addresses),
    words((Category::FormSubmissions, "formSubmission", "form_submissions"), &["submission_id"],
        &[ACCOUNT, ("submission_id", Int)], &[("field_values", Json), ("form_id", Prose)], Owned),
    words((Category::CustomEvents, "customEvent", "custom_events"), &["event_id"],
        &[ACCOUNT, ("event_id", Int)], &[("properties", Json), ("event_type_id", Prose)], Owned),
    words((Category::Integrations, "integration", "integrations"), &["contact_id"],
        &[ACCOUNT, ("contact_id", Int), ("source", Text)], &[("payload", Json)], Owned),
    words((Category::Suppressions, "deliverability", "deliverability"), &[],
        &[ACCOUNT, ("email_key", Text), ("status", Text)], &[("subscription_id", Prose)], Addresses),
    words((Category::Suppressions, "suppression", "address_hashes"), &[],
        &[ACCOUNT, ("hash", Text), ("status", Text)], &[("subscription_id", Prose)], Addresses),
    words((Category::Workflows, "enrollment", "pending_events"), &["enrollment_id"],
        &[ACCOUNT, ("enrollment_id", Int), ("action_id", Int)], &[("event", Prose)], Owned),
    words((Category::ContactData, "contact", "contacts"), &["contact_id"],
        &[ACCOUNT, ("contact_id", Int)], &[("properties", Json), ("history", Json)], Reported),
    words((Category::Segments, "segment", "segments"), &["segment_id"],
        &[ACCOUNT, ("segment_id", Int)], &[("name", Prose)], Reported),
    words((Category::Workflows, "workflow", "workflows"), &["workflow_id"],
        &[ACCOUNT, ("workflow_id", Int)], &[("flow", Prose)], Reported),
    words((Category::ContactData, "user", "users"), &["user_id"],
        &[ACCOUNT, ("user_id", Int)], &[("email", Prose)], Reported),
    words((Category::ContactData, "account", "accounts"), &["account_id"],
        &[ACCOUNT], &[("name", Prose)], Reported),
    words((Category::ContactData, "legalHold", "legal_holds"), &["contact_id"],
        &[ACCOUNT, ("contact_id", Int)], &[("reason", Prose)], Reported),
    words((Category::ContactData, "token", "tokens"), &["token_id"],
        &[ACCOUNT, ("token_id", Int)], &[("name", Prose)], Reported),
    ]
};

/// A text that is part of a key, changed wherever it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyWords {
    pub category: Category,
    /// What a receipt calls a record.
    pub kind: &'static str,
    pub table: &'static str,
    pub column: &'static str,
    /// The columns of the key beside it and the account.
    pub rest: &'static [&'static str],
    /// Are there records with this key? Where it is the key of a name or a count, two that become the same are one.
    pub tells_records: bool,
    /// The columns that have a contact, each with the condition under which it does: rows of one under a legal hold stay.
    pub contacts: &'static [(&'static str, &'static str)],
}

impl KeyWords {
    /// Is a row of a contact under a legal hold? For SQL that has the account as `$1`.
    pub fn held(&self) -> String {
        let of_column = |(column, condition): &(&str, &str)| {
            format!(
                " OR {condition} AND {column} IN (SELECT h.contact_id FROM legal_holds h WHERE h.account_id = $1)"
            )
        };
        format!("FALSE{}", self.contacts.iter().map(of_column).collect::<String>())
    }

    /// Selects, as `id`, the rest of the keys of such rows with the text `$2`.
    pub fn held_rows(&self) -> String {
        let rest: Vec<String> = self.rest.iter().map(|column| format!("CAST({column} AS text)")).collect();
        let rest = if rest.is_empty() { "''".to_owned() } else { rest.join(" || ':' || ") };
        let Self { table, column, .. } = self;
        format!(
            "SELECT {rest} AS id FROM {table} WHERE account_id = $1 AND {column} = $2 AND ({})",
            self.held()
        )
    }
}

/// The column that has the contact wherever there is one.
const OF_CONTACT: &[(&str, &str)] = &[("contact_id", "TRUE")];

/// Texts that are part of a key: addresses go (rule 4 c).
pub const KEY_WORDS: [KeyWords; 7] = [
    KeyWords {
        category: Category::Associations,
        kind: "association",
        table: "associations",
        column: "label",
        rest: &["from_type", "from_id", "to_type", "to_id"],
        tells_records: true,
        contacts: &[("from_id", "from_type = 'contact'"), ("to_id", "to_type = 'contact'")],
    },
    KeyWords {
        category: Category::Integrations,
        kind: "integration",
        table: "integrations",
        column: "source",
        rest: &["contact_id"],
        tells_records: true,
        contacts: OF_CONTACT,
    },
    KeyWords {
        category: Category::LifecycleStage,
        kind: "lifecycleTransition",
        table: "lifecycle_transitions",
        column: "stage",
        rest: &["contact_id", "at"],
        tells_records: true,
        contacts: OF_CONTACT,
    },
    KeyWords {
        category: Category::FormSubmissions,
        kind: "form",
        table: "deleted_form_submissions",
        column: "form_id",
        rest: &[],
        tells_records: false,
        contacts: &[],
    },
    KeyWords {
        category: Category::ContactData,
        kind: "property",
        table: "contact_properties",
        column: "name",
        rest: &[],
        tells_records: false,
        contacts: &[],
    },
    KeyWords {
        category: Category::ContactData,
        kind: "property",
        table: "related_properties",
        column: "name",
        rest: &["record_type"],
        tells_records: false,
        contacts: &[],
    },
    // Properties of events stand here by the type of the events.
    KeyWords {
        category: Category::CustomEvents,
        kind: "property",
        table: "related_properties",
        column: "record_type",
        rest: &["name"],
        tells_records: false,
        contacts: &[],
    },
];

/// Columns that hold no words of a person, by table: ids, keys, hashes, names that the CRM gives, and words of the service's
/// own vocabulary. Dead letters are removed whole (`erase`).
pub const NO_WORDS: [(&str, &[&str]); 43] = [
    ("accounts", &["time_zone"]),
    ("activities", &["type"]),
    ("activity_associations", &["object_type"]),
    ("address_hashes", &["hash", "status", "key_id"]),
    ("analytics_events", &["type"]),
    ("associations", &["from_type", "to_type", "association_type_id"]),
    ("audit", &["actor", "action", "ids"]),
    ("contact_emails", &["email_key", "email"]),
    ("conversations", &["channel"]),
    (
        "dead_letters",
        &[
            "feed",
            "reason",
            "detail",
            "exchange",
            "routing_key",
            "traceparent",
            "content_type",
            "body",
            "identity",
        ],
    ),
    ("deletions", &["kind", "object_type"]),
    ("deliverability", &["email_key", "status"]),
    ("erased_records", &["kind"]),
    ("erasure_addresses", &["hash"]),
    ("erasures", &["counts", "others", "found"]),
    ("feed_checkpoints", &["feed", "fingerprint"]),
    ("gone_contacts", &["state"]),
    ("hash_key_checks", &["key_id", "key_check"]),
    ("hash_keys", &["key_id", "key_line"]),
    ("job_runs", &["job"]),
    ("kept_associations", &["object_type"]),
    ("leases", &["name", "holder"]),
    ("ledger", &["object_type_id", "cause", "outcome", "reason"]),
    ("legal_holds", &["set_by"]),
    ("manual_stages", &["stage"]),
    ("objects", &["object_type"]),
    ("object_types", &["object_type"]),
    ("outbox", &["type", "data"]),
    ("property_definitions", &["object_type", "name", "type", "field_type"]),
    ("record_trash_entries", &["object_type", "deleted_by", "closed_as"]),
    ("retention_failures", &["job"]),
    ("retention_runs", &["job", "run_by", "stopped_by", "counts"]),
    ("schema_migrations", &["name", "applied_at"]),
    ("segments", &["processing_type", "object_type"]),
    ("sessions", &["session_hash"]),
    ("spent_forms", &["form"]),
    ("subscriptions", &["product", "tier"]),
    ("tokens", &["token_hash", "scopes"]),
    ("trash_entries", &["deleted_by", "closed_as"]),
    ("owed_redactions", &["table_name", "identifiers"]),
    ("unfinished_imports", &["source"]),
    ("users", &["email_key", "permissions"]),
    ("pending_enrollments", &["reason"]),
];
