//! A row of the matrix → the statements that do it. Pure: it makes text.
//!
//! Every statement works on a whole batch, its only parameters: the contacts, each with the trash entry of this deletion,
//! which tells the time. How many statements there are does not depend on how many contacts.

use std::collections::BTreeSet;

use crate::domain::effects::{Category, Fate, Transition, effect};
use crate::store::db::batch::BATCH;
use crate::store::db::dialect::Dialect;

/// What a statement does to the rows it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowEffect {
    /// They go.
    Delete,
    /// They stay, without the contact: the assignments that see to it.
    Unlink(&'static str),
    /// They are marked: the assignments.
    Mark(&'static str),
    /// They are about to go and are counted, so that the form report does not shrink.
    CountByForm,
    /// They are about to go and are remembered, as records of this kind by this column, so that no import brings them back.
    Remember(&'static str, &'static str),
}

/// As what the rows that a statement touches are counted. Records are counted, not links: the link of a record that stays is
/// an unlinked record, that of a record that goes is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Deleted,
    Unlinked,
    No,
}

impl Counted {
    /// How many of so many records were deleted, and how many unlinked.
    pub fn counts(self, records: u64) -> (u64, u64) {
        match self {
            Self::Deleted => (records, 0),
            Self::Unlinked => (0, records),
            Self::No => (0, 0),
        }
    }
}

/// Rows of a table, and what becomes of them. In the predicate `{batch}` is the batch as a table `b`, `{contacts}` the
/// keys of its contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSelector {
    pub table: &'static str,
    pub effect: RowEffect,
    pub predicate: &'static str,
    pub counted: Counted,
    /// Where a record may have several rows: what tells it, and a further condition on the rows.
    pub record: Option<(&'static str, &'static str)>,
}

/// A statement of a transition, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub category: Category,
    pub effect: RowEffect,
    pub counted: Counted,
    pub sql: String,
    /// Counts what the statement should have found and did not: the same predicate, asked again.
    pub survivors: String,
    /// Counts the records beforehand, where they are fewer than the rows.
    pub records: Option<String>,
}

/// What is looked up through others comes before they go.
const ORDER: [Category; 19] = [
    // Their tickets first: an activity that was on one of them and on nothing else is of the contact alone.
    Category::Conversations,
    Category::Activities,
    Category::Calls,
    Category::Emails,
    Category::BotConversations,
    Category::Associations,
    Category::Analytics,
    Category::Suppressions,
    Category::CustomEvents,
    Category::Feedback,
    Category::Files,
    Category::FormSubmissions,
    Category::Integrations,
    Category::LifecycleStage,
    Category::Segments,
    Category::Notifications,
    Category::Quotes,
    Category::Workflows,
    Category::ContactData,
];

/// The tables whose rows a column of the matrix reaches.
pub fn tables(transition: Transition) -> BTreeSet<&'static str> {
    ORDER.into_iter().flat_map(|category| rows(transition, category)).map(|rows| rows.table).collect()
}

/// The statements of a transition, in the order in which they have to run: what is looked up through a
/// contact's rows comes before those rows go, and the contact itself comes last.
pub fn steps(transition: Transition, dialect: Dialect) -> Vec<Step> {
    let batch = dialect.ids(1, &BATCH);
    let contacts = format!("SELECT b.account_id, b.contact_id FROM {batch}");
    let fill = |template: &str| template.replace("{batch}", &batch).replace("{contacts}", &contacts);
    let step = |category, RowSelector { table, effect, predicate, counted, record }| {
        let sql = match effect {
            RowEffect::Delete => format!("DELETE FROM {table} WHERE {predicate}"),
            RowEffect::Unlink(assignments) | RowEffect::Mark(assignments) => {
                format!("UPDATE {table} SET {assignments} WHERE {predicate}")
            }
            // Ordered: two transactions then meet the forms in one order.
            RowEffect::CountByForm => format!(
                "INSERT INTO deleted_form_submissions (account_id, form_id, submissions) \
                 SELECT account_id, form_id, count(*) FROM {table} WHERE {predicate} \
                 GROUP BY account_id, form_id ORDER BY account_id, form_id \
                 ON CONFLICT (account_id, form_id) DO UPDATE \
                 SET submissions = deleted_form_submissions.submissions + excluded.submissions"
            ),
            RowEffect::Remember(kind, id) => format!(
                "INSERT INTO erased_records (account_id, kind, record_id) \
                 SELECT account_id, '{kind}', {id} FROM {table} WHERE {predicate} ON CONFLICT DO NOTHING"
            ),
        };
        let survivors = format!("SELECT count(*) AS survivors FROM {table} WHERE {predicate}");
        let records = record.map(|(id, also)| {
            fill(&format!("SELECT count(DISTINCT {id}) AS records FROM {table} WHERE {predicate}{also}"))
        });
        Step { category, effect, counted, sql: fill(&sql), survivors: fill(&survivors), records }
    };
    let rows = |category| {
        let rows = rows(transition, category).into_iter();
        // An erasure remembers what it deletes of others' kinds (rule 10).
        let remembered = move |rows: RowSelector| {
            let (kind, id) = match (transition, rows.effect, rows.table) {
                (Transition::Erase, RowEffect::Delete, "objects") => ("ticket", "object_id"),
                (Transition::Erase, RowEffect::Delete, "files") => ("file", "file_id"),
                (Transition::Erase, RowEffect::Delete, "conversations") => {
                    ("conversation", "conversation_id")
                }
                // What stays is a stub, which a backup from before does not have.
                (Transition::Erase, RowEffect::Mark(_), "activities") => ("activity", "activity_id"),
                _ => return [None, Some((category, rows))],
            };
            [Some((category, remember(kind, id, rows))), Some((category, rows))]
        };
        rows.flat_map(remembered).flatten()
    };
    ORDER.into_iter().flat_map(rows).map(|(category, rows)| step(category, rows)).collect()
}

/// Records that go.
fn delete(table: &'static str, predicate: &'static str) -> RowSelector {
    RowSelector { table, effect: RowEffect::Delete, predicate, counted: Counted::Deleted, record: None }
}

/// Rows that go and are no record: links of records that go as well, and what belongs to one.
fn delete_parts(table: &'static str, predicate: &'static str) -> RowSelector {
    RowSelector { counted: Counted::No, ..delete(table, predicate) }
}

/// Links that go, of records that stay.
fn delete_links(table: &'static str, predicate: &'static str) -> RowSelector {
    RowSelector { counted: Counted::Unlinked, ..delete(table, predicate) }
}

/// Links of the contact alone go, of records that stay.
fn delete_own_links(table: &'static str) -> RowSelector {
    RowSelector { counted: Counted::Unlinked, ..delete_own(table) }
}

/// Records that are remembered before they go.
fn remember(kind: &'static str, id: &'static str, rows: RowSelector) -> RowSelector {
    RowSelector { effect: RowEffect::Remember(kind, id), counted: Counted::No, record: None, ..rows }
}

/// Rows of the contact alone go.
fn delete_own(table: &'static str) -> RowSelector {
    delete(table, "(account_id, contact_id) IN ({contacts})")
}

/// Rows of the contact stay, without it.
fn unlink_own(table: &'static str) -> RowSelector {
    RowSelector { effect: RowEffect::Unlink("contact_id = NULL"), ..delete_own_links(table) }
}

fn mark(table: &'static str, assignments: &'static str, predicate: &'static str) -> RowSelector {
    RowSelector { effect: RowEffect::Mark(assignments), ..delete(table, predicate) }
}

/// The batch with its trash entries.
macro_rules! entries {
    () => {
        concat!(
            "{batch} JOIN trash_entries e ON e.account_id = b.account_id AND e.entry_id = b.entry_id ",
            // Says nothing new, but lets PostgreSQL look up the contact by the whole of its key in whatever order it joins.
            "AND e.contact_id = b.contact_id"
        )
    };
}

/// Activities of a contact of the batch.
macro_rules! activities_of {
    ($types:literal) => {
        concat!(
            "(account_id, activity_id) IN (SELECT a.account_id, a.activity_id FROM {batch} ",
            "JOIN activity_associations l ON l.account_id = b.account_id ",
            "AND l.object_type = 'contact' AND l.object_id = b.contact_id ",
            "JOIN activities a ON a.account_id = l.account_id AND a.activity_id = l.activity_id ",
            "WHERE a.type ",
            $types,
            ")",
        )
    };
}

/// Activities of the first types leave a stub if no other record is associated with them. A record that was not imported yet
/// counts, one that an erasure deleted does not. The links of a stub are deleted, and links to the contact from activities of the
/// second types.
macro_rules! release_activities {
    ($leaving_a_stub:literal, $all:literal, $which:literal) => {
        vec![
            mark(
                "activities",
                "properties = '{}', stub = TRUE, deleted_at = NULL",
                concat!(
                    "NOT stub AND ",
                    $which,
                    activities_of!($leaving_a_stub),
                    " AND NOT EXISTS (SELECT 1 FROM activity_associations o ",
                    "WHERE o.account_id = activities.account_id AND o.activity_id = activities.activity_id ",
                    "AND NOT (o.object_type = 'contact' AND (o.account_id, o.object_id) IN ({contacts})) ",
                    "AND NOT EXISTS (SELECT 1 FROM erased_records r WHERE r.account_id = o.account_id ",
                    "AND r.kind = o.object_type AND r.record_id = o.object_id))",
                ),
            ),
            // Row by row: PostgreSQL expects next to no stub, and joining those there are it would hold each against the
            // whole batch.
            delete_parts(
                "activity_associations",
                concat!(
                    activities_of!($all),
                    " AND EXISTS (SELECT 1 FROM activities s WHERE s.account_id = activity_associations.account_id ",
                    "AND s.activity_id = activity_associations.activity_id AND s.stub)",
                ),
            ),
            delete_links(
                "activity_associations",
                concat!(
                    "object_type = 'contact' AND (account_id, object_id) IN ({contacts}) AND ",
                    activities_of!($all),
                ),
            ),
        ]
    };
}

/// As [`release_activities`]: an erasure takes what is in the trash too, a purge leaves it its own time.
macro_rules! release {
    ($transition:expr, $leaving_a_stub:literal, $all:literal) => {
        match $transition {
            Transition::Purge => release_activities!($leaving_a_stub, $all, "deleted_at IS NULL AND "),
            _ => release_activities!($leaving_a_stub, $all, ""),
        }
    };
}

/// Conversations of the contact on these channels.
macro_rules! conversations_of {
    ($channel:literal) => {
        concat!(
            "(account_id, conversation_id) IN (SELECT v.account_id, v.conversation_id FROM {batch} ",
            "JOIN conversations v ON v.account_id = b.account_id AND v.contact_id = b.contact_id ",
            "WHERE v.channel ",
            $channel,
            ")",
        )
    };
}

/// Tickets of the contact's conversations that no other contact is on, by association or by a conversation. One in the
/// trash counts: it is not gone, and may come back to its ticket.
macro_rules! tickets_of_conversations {
    ($account:literal, $ticket:literal) => {
        concat!(
            "(", $account, ", ", $ticket, ") IN (SELECT t.account_id, t.ticket_id FROM {batch} ",
            "JOIN conversations v ON v.account_id = b.account_id AND v.contact_id = b.contact_id ",
            "JOIN conversation_tickets t ON t.account_id = v.account_id AND t.conversation_id = v.conversation_id ",
            "WHERE v.channel <> 'bot' ",
            "AND NOT EXISTS (SELECT 1 FROM associations a JOIN contacts c ON c.account_id = a.account_id ",
            "AND c.contact_id = CASE a.from_type WHEN 'contact' THEN a.from_id ELSE a.to_id END ",
            "WHERE a.account_id = t.account_id AND (c.account_id, c.contact_id) NOT IN ({contacts}) ",
            "AND ((a.from_type = 'ticket' AND a.from_id = t.ticket_id AND a.to_type = 'contact') ",
            "OR (a.to_type = 'ticket' AND a.to_id = t.ticket_id AND a.from_type = 'contact'))) ",
            "AND NOT EXISTS (SELECT 1 FROM conversation_tickets u ",
            "JOIN conversations w ON w.account_id = u.account_id AND w.conversation_id = u.conversation_id ",
            "JOIN contacts c ON c.account_id = w.account_id AND c.contact_id = w.contact_id ",
            "WHERE u.account_id = t.account_id AND u.ticket_id = t.ticket_id ",
            "AND (c.account_id, c.contact_id) NOT IN ({contacts})))",
        )
    };
}

/// Is the segment of a row of `segment_members` static, as a condition?
macro_rules! static_segment {
    () => {
        "EXISTS (SELECT 1 FROM segments s WHERE s.account_id = segment_members.account_id \
         AND s.segment_id = segment_members.segment_id AND s.processing_type IN ('MANUAL', 'SNAPSHOT'))"
    };
}

pub(in crate::store) const STATIC_SEGMENT: &str = static_segment!();

/// Memberships of the contact in static segments. Those in dynamic ones, and in segments of a kind that is not known,
/// stay: the views hide them while the contact is in the trash, and a segment that protects it protects it after a restore.
const IN_STATIC_SEGMENTS: &str = concat!("(account_id, contact_id) IN ({contacts}) AND ", static_segment!());

/// Files that were uploaded through a form submission of the contact, unless they are on a contact under a legal hold as well.
const UPLOADED: &str = "(account_id, file_id) IN (SELECT f.account_id, f.file_id FROM {batch} \
     JOIN form_submissions s ON s.account_id = b.account_id AND s.contact_id = b.contact_id \
     JOIN files f ON f.account_id = s.account_id AND f.form_submission_id = s.submission_id \
     WHERE NOT EXISTS (SELECT 1 FROM file_contacts l JOIN legal_holds h \
     ON h.account_id = l.account_id AND h.contact_id = l.contact_id \
     WHERE l.account_id = f.account_id AND l.file_id = f.file_id))";

/// What the fate of a category means for its tables. Fates that the views bring about need no statement.
fn rows(transition: Transition, category: Category) -> Vec<RowSelector> {
    use Category as C;
    match (category, effect(transition, category).fate) {
        (C::ContactData, Fate::Hidden) => vec![mark(
            "contacts",
            concat!("deleted_at = e.deleted_at, trash_entry_id = e.entry_id FROM ", entries!()),
            "contacts.account_id = b.account_id AND contacts.contact_id = b.contact_id",
        )],
        (C::ContactData, Fate::Back) => vec![mark(
            "contacts",
            concat!("deleted_at = NULL, trash_entry_id = NULL, restored_at = e.closed_at FROM ", entries!()),
            "contacts.account_id = b.account_id AND contacts.contact_id = b.contact_id",
        )],
        (C::ContactData, Fate::Deleted) => {
            vec![RowSelector { counted: Counted::No, ..delete_own("contact_emails") }, delete_own("contacts")]
        }
        (C::Activities, Fate::Deleted) => {
            // Of types that are not named here too: an activity such as a message by SMS is a note on its contact's timeline.
            release!(transition, "NOT IN ('task', 'call', 'email')", "NOT IN ('call', 'email')")
        }
        (C::Calls, Fate::Deleted) => release!(transition, "= 'call'", "= 'call'"),
        (C::Emails, Fate::Deleted) => release!(transition, "= 'email'", "= 'email'"),
        (C::Analytics, Fate::Unlinked) => vec![unlink_own("analytics_events")],
        (C::Associations, Fate::Deleted) => vec![
            RowSelector {
                record: Some(("account_id || ':' || to_type || ':' || to_id", "")),
                ..delete_links(
                    "associations",
                    "from_type = 'contact' AND (account_id, from_id) IN ({contacts})",
                )
            },
            // One that is associated in both directions was counted above.
            RowSelector {
                record: Some((
                    "account_id || ':' || from_type || ':' || from_id",
                    " AND NOT EXISTS (SELECT 1 FROM associations o WHERE o.account_id = associations.account_id \
                       AND o.from_type = associations.to_type AND o.from_id = associations.to_id \
                       AND o.to_type = associations.from_type AND o.to_id = associations.from_id)",
                )),
                ..delete_links("associations", "to_type = 'contact' AND (account_id, to_id) IN ({contacts})")
            },
        ],
        (C::BotConversations, Fate::Deleted) => vec![
            delete_parts("conversation_tickets", conversations_of!("= 'bot'")),
            delete("conversations", conversations_of!("= 'bot'")),
        ],
        // Not the bots': theirs go, and are looked up through the contact.
        (C::Conversations, Fate::Unlinked) => vec![RowSelector {
            effect: RowEffect::Unlink("contact_id = NULL"),
            ..delete_links("conversations", conversations_of!("<> 'bot'"))
        }],
        (C::Conversations, Fate::Deleted) => vec![
            delete_parts(
                "activity_associations",
                concat!("object_type = 'ticket' AND ", tickets_of_conversations!("account_id", "object_id")),
            ),
            delete(
                "objects",
                concat!("object_type = 'ticket' AND ", tickets_of_conversations!("account_id", "object_id")),
            ),
            delete_parts("conversation_tickets", conversations_of!("<> 'bot'")),
            delete("conversations", conversations_of!("<> 'bot'")),
        ],
        (C::CustomEvents, Fate::Deleted) => vec![delete_own("custom_events")],
        (C::Feedback, Fate::Deleted) => vec![delete_own("feedback")],
        (C::Files, Fate::Unlinked) => {
            vec![
                delete_parts("file_contacts", UPLOADED),
                delete("files", UPLOADED),
                delete_own_links("file_contacts"),
            ]
        }
        (C::FormSubmissions, Fate::Deleted) => vec![
            RowSelector {
                effect: RowEffect::CountByForm,
                counted: Counted::No,
                ..delete_own("form_submissions")
            },
            delete_own("form_submissions"),
        ],
        (C::Integrations, Fate::Deleted) => vec![delete_own("integrations")],
        (C::LifecycleStage, Fate::Deleted) => vec![delete_own("lifecycle_transitions")],
        (C::Segments, Fate::Removed) => vec![delete_links("segment_members", IN_STATIC_SEGMENTS)],
        (C::Segments, Fate::Deleted) => vec![delete_own_links("segment_members")],
        (C::Notifications, Fate::Unlinked) => vec![unlink_own("notifications")],
        (C::Notifications, Fate::Deleted) => vec![delete_own("notifications")],
        (C::Quotes, Fate::Unlinked) => vec![delete_own_links("quote_contacts")],
        (C::Workflows, Fate::Removed) => vec![mark(
            "workflow_enrollments",
            "active = FALSE",
            "active AND (account_id, contact_id) IN ({contacts})",
        )],
        (C::Workflows, Fate::Deleted) => {
            vec![
                delete_own("workflow_enrollments"),
                RowSelector { counted: Counted::No, ..delete_own("pending_events") },
            ]
        }
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_that_goes_has_a_statement() {
        for category in Category::ALL {
            for transition in [Transition::Trash, Transition::Purge, Transition::Erase] {
                let fate = effect(transition, category).fate;
                let silent = matches!(fate, Fate::Kept | Fate::Hidden) && category != Category::ContactData;
                assert_eq!(rows(transition, category).is_empty(), silent, "{transition:?} {category:?}");
            }
        }
    }

    #[test]
    fn every_statement_is_bound_to_the_batch() {
        for transition in Transition::ALL {
            for step in steps(transition, Dialect::Postgres) {
                assert!(step.sql.contains("unnest($1::bigint[]"), "{}", step.sql);
                assert!(!step.sql.replace("'{}'", "").contains(['{', '}']), "{}", step.sql);
            }
        }
    }
}
