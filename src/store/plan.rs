//! A row of the matrix → the statements that do it. Pure: it makes text.
//!
//! Every statement works on a whole batch, given as parameter `$1`: the contacts, each with the trash entry of
//! this deletion and the time. How many statements there are does not depend on how many contacts.

use super::dialect::Dialect;
use crate::domain::effects::{Category, Fate, Transition, effect};
use crate::domain::record::{Column, ColumnType};

/// The columns of a batch of contacts.
pub const BATCH: [Column; 4] = [
    ("account_id", ColumnType::Int),
    ("contact_id", ColumnType::Int),
    ("entry_id", ColumnType::Int),
    ("at", ColumnType::Time),
];

/// The statements of a transition, in the order in which they have to run: what is looked up through a
/// contact's rows comes before those rows go, and the contact itself comes last.
pub fn steps(transition: Transition, dialect: Dialect) -> Vec<String> {
    use Category as C;
    let order = [
        C::Activities,
        C::Calls,
        C::Emails,
        C::Associations,
        C::Analytics,
        C::BotConversations,
        C::Conversations,
        C::Suppressions,
        C::CustomEvents,
        C::Feedback,
        C::Files,
        C::FormSubmissions,
        C::Integrations,
        C::LifecycleStage,
        C::Segments,
        C::Notifications,
        C::Quotes,
        C::Workflows,
        C::ContactData,
    ];
    let batch = dialect.batch(1, &BATCH);
    let contacts = format!("SELECT b.account_id, b.contact_id FROM {batch}");
    order
        .into_iter()
        .flat_map(|category| statements(transition, category))
        .map(|template| template.replace("{batch}", &batch).replace("{contacts}", &contacts))
        .collect()
}

/// Activities of the first types leave a stub where nothing else is associated with them; links to the contact
/// go from those of the second types.
macro_rules! release_activities {
    ($leaving_a_stub:literal, $all:literal) => {
        &[
            concat!(
                "UPDATE activities SET properties = '{}', stub = TRUE WHERE type IN (", $leaving_a_stub, ") ",
                "AND (account_id, activity_id) IN (SELECT l.account_id, l.activity_id FROM {batch} ",
                "JOIN activity_associations l ON l.account_id = b.account_id ",
                "AND l.object_type = 'contact' AND l.object_id = b.contact_id) ",
                "AND NOT EXISTS (SELECT 1 FROM activity_associations o ",
                "WHERE o.account_id = activities.account_id AND o.activity_id = activities.activity_id ",
                "AND NOT (o.object_type = 'contact' AND (o.account_id, o.object_id) IN ({contacts})))",
            ),
            concat!(
                "DELETE FROM activity_associations WHERE object_type = 'contact' ",
                "AND (account_id, object_id) IN ({contacts}) ",
                "AND EXISTS (SELECT 1 FROM activities a WHERE a.account_id = activity_associations.account_id ",
                "AND a.activity_id = activity_associations.activity_id AND a.type IN (", $all, "))",
            ),
        ]
    };
}

/// Rows of the contact alone go.
macro_rules! delete_rows {
    ($table:literal) => {
        concat!("DELETE FROM ", $table, " WHERE (account_id, contact_id) IN ({contacts})")
    };
}

/// Rows of the contact stay, without it.
macro_rules! unlink_rows {
    ($table:literal) => {
        concat!("UPDATE ", $table, " SET contact_id = NULL WHERE (account_id, contact_id) IN ({contacts})")
    };
}

/// What the fate of a category means for its tables. Fates that the views bring about need no statement.
fn statements(transition: Transition, category: Category) -> &'static [&'static str] {
    use Category as C;
    match (category, effect(transition, category).fate) {
        (C::ContactData, Fate::Hidden) => &[
            "UPDATE contacts SET deleted_at = b.at, trash_entry_id = b.entry_id FROM {batch} \
             WHERE contacts.account_id = b.account_id AND contacts.contact_id = b.contact_id",
            "UPDATE contact_emails SET live = FALSE WHERE live AND (account_id, contact_id) IN ({contacts})",
        ],
        (C::ContactData, Fate::Back) => &[
            "UPDATE contacts SET deleted_at = NULL, trash_entry_id = NULL, restored_at = b.at FROM {batch} \
             WHERE contacts.account_id = b.account_id AND contacts.contact_id = b.contact_id",
            "UPDATE contact_emails SET live = TRUE WHERE (account_id, contact_id) IN ({contacts})",
        ],
        (C::ContactData, Fate::Deleted) => &[delete_rows!("contact_emails"), delete_rows!("contacts")],
        (C::Activities, Fate::Deleted) => {
            release_activities!("'note', 'meeting'", "'note', 'meeting', 'task'")
        }
        (C::Calls, Fate::Deleted) => release_activities!("'call'", "'call'"),
        (C::Emails, Fate::Deleted) => release_activities!("'email'", "'email'"),
        (C::Analytics, Fate::Unlinked) => &[unlink_rows!("analytics_events")],
        (C::Associations, Fate::Deleted) => &[
            "DELETE FROM associations WHERE from_type = 'contact' AND (account_id, from_id) IN ({contacts})",
            "DELETE FROM associations WHERE to_type = 'contact' AND (account_id, to_id) IN ({contacts})",
        ],
        (C::BotConversations, Fate::Deleted) => &[
            "DELETE FROM conversation_tickets WHERE (account_id, conversation_id) IN \
             (SELECT v.account_id, v.conversation_id FROM {batch} JOIN conversations v \
              ON v.account_id = b.account_id AND v.contact_id = b.contact_id WHERE v.channel = 'bot')",
            "DELETE FROM conversations WHERE channel = 'bot' AND (account_id, contact_id) IN ({contacts})",
        ],
        (C::Conversations, Fate::Unlinked) => &[unlink_rows!("conversations")],
        (C::CustomEvents, Fate::Deleted) => &[delete_rows!("custom_events")],
        (C::Feedback, Fate::Deleted) => &[delete_rows!("feedback")],
        (C::Files, Fate::Unlinked) => &[
            "DELETE FROM file_contacts WHERE (account_id, file_id) IN \
             (SELECT f.account_id, f.file_id FROM {batch} \
              JOIN form_submissions s ON s.account_id = b.account_id AND s.contact_id = b.contact_id \
              JOIN files f ON f.account_id = s.account_id AND f.form_submission_id = s.submission_id)",
            "DELETE FROM files WHERE (account_id, file_id) IN \
             (SELECT f.account_id, f.file_id FROM {batch} \
              JOIN form_submissions s ON s.account_id = b.account_id AND s.contact_id = b.contact_id \
              JOIN files f ON f.account_id = s.account_id AND f.form_submission_id = s.submission_id)",
            delete_rows!("file_contacts"),
        ],
        (C::FormSubmissions, Fate::Deleted) => &[delete_rows!("form_submissions")],
        (C::Integrations, Fate::Deleted) => &[delete_rows!("integrations")],
        (C::LifecycleStage, Fate::Deleted) => &[delete_rows!("lifecycle_transitions")],
        (C::Segments, Fate::Removed | Fate::Deleted) => &[delete_rows!("segment_members")],
        (C::Notifications, Fate::Unlinked) => &[unlink_rows!("notifications")],
        (C::Quotes, Fate::Unlinked) => &[delete_rows!("quote_contacts")],
        (C::Workflows, Fate::Removed) => &[
            "UPDATE workflow_enrollments SET active = FALSE WHERE active AND (account_id, contact_id) IN ({contacts})",
        ],
        (C::Workflows, Fate::Deleted) => &[delete_rows!("workflow_enrollments")],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_that_goes_has_a_statement() {
        for category in Category::ALL {
            for transition in [Transition::Trash, Transition::Purge] {
                let fate = effect(transition, category).fate;
                let silent = matches!(fate, Fate::Kept | Fate::Hidden) && category != Category::ContactData;
                assert_eq!(
                    statements(transition, category).is_empty(),
                    silent,
                    "{transition:?} {category:?}"
                );
            }
        }
    }

    #[test]
    fn every_statement_is_bound_to_the_batch() {
        for transition in Transition::ALL {
            for sql in steps(transition, Dialect::Postgres) {
                assert!(sql.contains("jsonb_to_recordset($1::jsonb)"), "{sql}");
                assert!(!sql.replace("'{}'", "").contains(['{', '}']), "{sql}");
            }
        }
    }
}
