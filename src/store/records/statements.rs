//! From the second matrix to SQL: what a transition of records that are no contacts does to the rows around them. What only shows or
//! hides follows from the mark of the record itself, and needs no statement.

use std::collections::BTreeSet;

use super::{KEY, RecordTable};
use crate::domain::effects::{Fate, RecordCategory, RecordTransition, record_effect};
use crate::store::db::dialect::Dialect;

/// One statement: `$1` is a batch of records of one account, which is `$2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordStep {
    pub table: &'static str,
    pub sql: String,
}

/// What remains of an activity.
const STUB: &str = "properties = '{}', stub = TRUE, deleted_at = NULL";

/// The statements of a transition over records that are rows of `of`, in their order.
pub(super) fn steps(transition: RecordTransition, of: RecordTable, dialect: Dialect) -> Vec<RecordStep> {
    let batch = dialect.batch(1, &KEY);
    RecordCategory::ALL.into_iter().flat_map(|category| rows(transition, category, of, &batch)).collect()
}

/// The tables that a transition of objects and of activities reaches.
pub fn tables(transition: RecordTransition) -> BTreeSet<&'static str> {
    let steps = RecordTable::ALL.into_iter().flat_map(|of| steps(transition, of, Dialect::Sqlite));
    steps.map(|step| step.table).collect()
}

/// What the fate of a category means for its tables.
fn rows(
    transition: RecordTransition,
    category: RecordCategory,
    of: RecordTable,
    batch: &str,
) -> Vec<RecordStep> {
    use RecordCategory as C;
    let delete = |table: &'static str, condition: &str| RecordStep {
        table,
        sql: format!("DELETE FROM {table} WHERE account_id = $2 AND {condition}"),
    };
    let leave_stub = |condition: &str| RecordStep {
        table: "activities",
        sql: format!("UPDATE activities SET {STUB} WHERE account_id = $2 AND {condition}"),
    };
    let of_batch = |object_type: &str, id: &str| {
        format!("({object_type}, {id}) IN (SELECT b.object_type, b.record_id FROM {batch})")
    };
    let of_type = |id: &str, name: &str| {
        format!("{id} IN (SELECT b.record_id FROM {batch} WHERE b.object_type = '{name}')")
    };
    let fate = record_effect(transition, category).fate;
    match (category, fate, of) {
        (C::RecordData, Fate::Deleted, RecordTable::Objects) => vec![
            delete("manual_stages", &of_type("company_id", "company")),
            delete("objects", &of_batch("object_type", "object_id")),
        ],
        (C::Associations, Fate::Deleted, RecordTable::Objects) => vec![
            delete("associations", &of_batch("from_type", "from_id")),
            delete("associations", &of_batch("to_type", "to_id")),
        ],
        (C::Activities, Fate::Deleted, RecordTable::Objects) => {
            let on_one = format!(
                "activity_id IN (SELECT l.activity_id FROM activity_associations l WHERE l.account_id = $2 AND {})",
                of_batch("l.object_type", "l.object_id")
            );
            vec![
                leave_stub(&format!("{on_one} AND {}", released(batch))),
                delete("activity_associations", &of_batch("object_type", "object_id")),
            ]
        }
        (C::DeletedActivity, Fate::Deleted, RecordTable::Activities) => {
            let ids = format!("activity_id IN (SELECT b.record_id FROM {batch})");
            vec![leave_stub(&ids), delete("activity_associations", &ids)]
        }
        (C::Segments, Fate::Removed, _) => vec![delete(
            "record_segment_members",
            &format!("{} AND s.processing_type IN ('MANUAL', 'SNAPSHOT'))", in_segments(batch)),
        )],
        (C::Segments, Fate::Deleted, _) => {
            vec![delete("record_segment_members", &format!("{})", in_segments(batch)))]
        }
        (C::Conversations, Fate::Unlinked, RecordTable::Objects) => {
            vec![delete("conversation_tickets", &of_type("ticket_id", "ticket"))]
        }
        // Links of quotes and of primary companies are associations.
        _ => Vec::new(),
    }
}

/// Which activities on purged objects leave a stub: those that are on nothing else. Tasks stay on their page, and what is in the trash
/// itself has its own time.
fn released(batch: &str) -> String {
    format!(
        "NOT stub AND deleted_at IS NULL AND type <> 'task' AND NOT EXISTS \
         (SELECT 1 FROM activity_associations o WHERE o.account_id = activities.account_id \
         AND o.activity_id = activities.activity_id \
         AND (o.object_type, o.object_id) NOT IN (SELECT b.object_type, b.record_id FROM {batch}))"
    )
}

/// Memberships of the batch's records in segments `s` of their type; the bracket is left open for one more condition.
fn in_segments(batch: &str) -> String {
    format!(
        "(segment_id, record_id) IN (SELECT s.segment_id, b.record_id FROM {batch} JOIN segments s ON s.account_id = $2 \
         AND s.object_type = b.object_type"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables that a transition reaches, in their order, each once.
    fn reached(transition: RecordTransition, of: RecordTable) -> Vec<&'static str> {
        let mut tables: Vec<_> =
            steps(transition, of, Dialect::Sqlite).into_iter().map(|step| step.table).collect();
        tables.dedup();
        tables
    }

    #[test]
    fn each_transition_reaches_the_tables_of_its_cells() {
        use RecordTable::{Activities, Objects};
        use RecordTransition::{Purge, Restore, Trash};
        for of in RecordTable::ALL {
            assert_eq!(reached(Trash, of), ["record_segment_members"]);
            assert!(reached(Restore, of).is_empty());
        }
        assert_eq!(
            reached(Purge, Objects),
            [
                "manual_stages",
                "objects",
                "associations",
                "activities",
                "activity_associations",
                "record_segment_members",
                "conversation_tickets"
            ]
        );
        assert_eq!(
            reached(Purge, Activities),
            ["activities", "activity_associations", "record_segment_members"]
        );
    }

    #[test]
    fn every_statement_is_bound_to_the_batch_and_its_account() {
        for (transition, of) in
            RecordTransition::ALL.into_iter().flat_map(|it| RecordTable::ALL.map(|of| (it, of)))
        {
            for step in steps(transition, of, Dialect::Postgres) {
                assert!(step.sql.contains("account_id = $2 AND"), "{}", step.sql);
                assert!(step.sql.contains("jsonb_to_recordset($1"), "{}", step.sql);
                assert!(!step.sql.replace("'{}'", "").contains(['{', '}']), "{}", step.sql);
            }
        }
    }
}
