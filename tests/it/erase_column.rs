//! The erase column of the matrix, row by row of the matrix: what is left in the store of somebody with something in
//! every category. The other columns have theirs: trash and restore in `trash` and `pages`, purge in `purge`.

use crate::purge::{left, of_account};
use crate::support::every_category::every_category;
use crate::support::records::ADMIN;
use crate::support::{Database, Reaper, on_both};

/// A row of the matrix, and what is left in a table of it: columns, table, rows.
type Cell = (u8, &'static str, &'static str, &'static [&'static str]);

/// Contact 1 is erased, contact 3 stays.
const CELLS: [Cell; 27] = [
    (
        1,
        "activity_id, type",
        "activities WHERE NOT stub AND type IN ('note', 'meeting', 'task')",
        &["40,note", "41,meeting", "51,task", "60,note"],
    ),
    (
        1,
        "activity_id, type, properties",
        "activities WHERE stub AND type IN ('note', 'meeting', 'task')",
        &["50,note,{}", "52,meeting,{}"],
    ),
    (
        1,
        "activity_id, object_type, object_id",
        "activity_associations",
        &["13,company,10", "40,company,10", "41,contact,3", "42,deal,11", "60,contact,3", "61,contact,3"],
    ),
    (
        2,
        "event_id, contact_id, type, source",
        "analytics_events",
        &["22,NULL,email_open,newsletter", "57,NULL,session,direct", "65,3,session,direct"],
    ),
    (3, "from_id, to_id", "associations", &[]),
    (4, "conversation_id", "conversations WHERE channel = 'bot'", &["62"]),
    (
        5,
        "email_key, status",
        "deliverability",
        &["ada@example.com,unsubscribed", "contact3@account1.example,unsubscribed"],
    ),
    (5, "status", "address_hashes", &["bounced", "erased", "erased"]),
    (
        6,
        "activity_id, stub",
        "(SELECT account_id, activity_id, CASE WHEN stub THEN 'stub' ELSE 'whole' END AS stub FROM activities WHERE type = 'call') a",
        &["13,whole", "53,stub", "61,whole"],
    ),
    (7, "contact_id", "contacts", &["2", "3"]),
    (7, "contact_id", "contact_emails", &["2", "3"]),
    (8, "conversation_id", "conversations WHERE channel <> 'bot'", &["63"]),
    (8, "conversation_id", "conversation_tickets", &[]),
    (8, "object_type, object_id", "objects", &["2-134,18", "company,10", "deal,11"]),
    (9, "event_id", "custom_events", &["64"]),
    (
        10,
        "activity_id, stub",
        "(SELECT account_id, activity_id, CASE WHEN stub THEN 'stub' ELSE 'whole' END AS stub FROM activities WHERE type = 'email') a",
        &["42,whole", "54,stub"],
    ),
    (11, "feedback_id", "feedback", &["66"]),
    (12, "file_id", "files", &["43", "56", "68"]),
    (12, "file_id, contact_id", "file_contacts", &["43,3", "68,3"]),
    (13, "submission_id", "form_submissions", &["67"]),
    (14, "contact_id, source", "integrations", &["3,shop"]),
    (15, "contact_id, stage", "lifecycle_transitions", &["3,lead"]),
    (16, "segment_id, contact_id", "segment_members", &["7,3"]),
    (17, "notification_id, contact_id", "notifications", &["35,3"]),
    (18, "quote_id", "quotes", &["17", "44"]),
    (18, "quote_id, contact_id", "quote_contacts", &["44,3"]),
    (19, "contact_id, workflow_id", "workflow_enrollments", &["3,6"]),
];

on_both!(each_category_is_left_as_the_matrix_says, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[every_category(1), every_category(2)].concat()).await;
    let (neighbour, elsewhere) = (reaper.contact(1, 3).await, of_account(&db, 2).await);
    let user = ADMIN.to_string();
    reaper.json(&["erase", "--account", "1", "--as", &user, "--contact", "1", "--confirm", "1"]).await;
    for (row, columns, table, expected) in CELLS {
        let table = match table.split_once(" WHERE ") {
            Some((table, condition)) if !table.starts_with('(') => {
                format!("(SELECT * FROM {table} WHERE {condition}) t")
            }
            _ => table.to_owned(),
        };
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(left(&db, columns, &table).await, expected, "row {row}, {table}");
    }
    let mut after = reaper.contact(1, 3).await;
    // What both were associated with is the neighbour's alone; the contact itself is gone.
    let associations = after["visible"]["associations"].as_array_mut().unwrap();
    associations.push("contact:1:colleague".into());
    assert_eq!(after, neighbour);
    assert_eq!(of_account(&db, 2).await, elsewhere);

    // Row 18: within 30 days, unless somebody living is on it.
    let due = "UPDATE quotes SET orphaned_at = '2020-01-01T00:00:00.000000Z' WHERE orphaned_at IS NOT NULL";
    assert_eq!(db.execute(due).await, 2);
    let report = reaper.json(&["retention", "run", "--job", "delete_quotes"]).await;
    assert_eq!(report["jobs"][0]["deleted"], 1);
    assert_eq!(left(&db, "quote_id", "quotes").await, ["44"]);
});
