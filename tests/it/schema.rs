//! The schema: the same on both databases, and sharded by account from its first day.

use std::collections::BTreeMap;

use contact_reaper::domain::effects::{RecordTransition, Transition};
use contact_reaper::store::privacy::redact::{KEY_WORDS, NO_WORDS, WORDS};
use contact_reaper::store::{tables_reached_by, tables_reached_by_records};

use crate::support::{Database, Reaper, on_both};

/// The tables that belong to the service as a whole and not to an account.
const OF_NO_ACCOUNT: [&str; 10] = [
    "clock",
    "feed_checkpoints",
    "hash_key_checks",
    "hash_keys",
    "job_runs",
    "leases",
    "owed_scrubs",
    "retention_runs",
    "schema_migrations",
    "unfinished_imports",
];

/// The columns of a table that can hold words: neither numbers nor, by their names, times.
async fn wordy(db: &Database, table: &str) -> Vec<String> {
    let postgres = format!(
        "SELECT CAST(column_name AS text) FROM information_schema.columns WHERE table_name = '{table}' \
         AND table_schema = current_schema() AND data_type IN ('text', 'jsonb', 'bytea') ORDER BY ordinal_position"
    );
    let sqlite = format!(
        "SELECT name FROM pragma_table_info('{table}') WHERE type IN ('TEXT', 'BLOB') AND name <> 'at' \
         AND name NOT LIKE '%\\_at' ESCAPE '\\' AND name NOT IN ('since', 'first_seen') ORDER BY cid"
    );
    db.rows(db.in_its_words(&postgres, &sqlite)).await.into_iter().flatten().collect()
}

on_both!(every_column_that_can_hold_words_has_a_decision, async |db: Database| {
    let db = migrated(db).await;
    let mut undecided = Vec::new();
    for table in db.tables().await {
        for column in wordy(&db, &table).await {
            let searched = WORDS
                .iter()
                .any(|it| it.table == table && it.columns.iter().any(|(name, _)| *name == column))
                || KEY_WORDS.iter().any(|it| it.table == table && it.column == column);
            let without =
                NO_WORDS.iter().any(|(name, columns)| *name == table && columns.contains(&column.as_str()));
            // A key may be of words that are searched for all the same.
            if searched == without {
                undecided.push(format!("{table}.{column}"));
            }
        }
    }
    assert_eq!(undecided, Vec::<String>::new(), "what does an erasure do to these?");
    // And the other way round: no decision about a column that is not there.
    for (table, column) in
        WORDS.iter().flat_map(|it| it.columns.iter().map(|(column, _)| (it.table, *column)))
    {
        assert!(db.columns(table).await.contains(&column.to_owned()), "{table}.{column}");
    }
});

/// Tables that name contacts and keep ids, times and reasons only: what is left of a contact.
const WHAT_IS_LEFT: [&str; 6] =
    ["deletion_items", "erasures", "gone_contacts", "legal_holds", "trash_entries", "unfinished_contacts"];

on_both!(every_table_that_names_contacts_is_reached_by_the_matrix, async |db: Database| {
    let db = migrated(db).await;
    // Row 18 keeps a quote at first, and marks it for the job that deletes it: no statement of the plan.
    let mut erase = tables_reached_by(Transition::Erase);
    erase.insert("quote_contacts");
    // What a purge finds no more went with the trash; notifications go by their own thirty days.
    let mut purge = tables_reached_by(Transition::Purge);
    purge.extend(tables_reached_by(Transition::Trash));
    purge.insert("notifications");
    for table in db.tables().await {
        let names_contacts = db.columns(&table).await.contains(&"contact_id".to_owned());
        if names_contacts && !WHAT_IS_LEFT.contains(&table.as_str()) {
            assert!(erase.contains(table.as_str()), "{table}: no cell of the matrix erases it");
            assert!(purge.contains(table.as_str()), "{table}: no cell of the matrix purges it");
        }
    }
});

/// Tables that name other records and keep ids, times and reasons only; a decision names what it was asked about.
const WHAT_IS_LEFT_OF_RECORDS: [&str; 4] =
    ["deletion_items", "erased_records", "ledger", "record_trash_entries"];

on_both!(every_table_that_names_other_records_is_reached_by_their_matrix, async |db: Database| {
    let db = migrated(db).await;
    let purge = tables_reached_by_records(RecordTransition::Purge);
    for table in db.tables().await {
        let columns = db.columns(&table).await;
        let names_records = ["object_id", "record_id", "ticket_id", "company_id", "from_id", "activity_id"];
        let names_records = names_records.iter().any(|column| columns.iter().any(|it| it == column));
        if names_records && !WHAT_IS_LEFT_OF_RECORDS.contains(&table.as_str()) {
            assert!(
                purge.contains(table.as_str()),
                "{table}: no cell of the matrix of other records purges it"
            );
        }
    }
});

async fn migrated(db: Database) -> Database {
    Reaper::new(&db).json(&["migrate"]).await;
    db
}

async fn columns(db: &Database) -> BTreeMap<String, Vec<String>> {
    let mut columns = BTreeMap::new();
    for table in db.tables().await {
        let its = db.columns(&table).await;
        columns.insert(table, its);
    }
    columns
}

/// The views, by name, each with its columns.
async fn views(db: &Database) -> BTreeMap<String, Vec<String>> {
    let names = db.in_its_words(
        "SELECT CAST(viewname AS text) FROM pg_views WHERE schemaname = current_schema()",
        "SELECT name FROM sqlite_schema WHERE type = 'view'",
    );
    let mut views = BTreeMap::new();
    for view in db.rows(names).await.into_iter().flatten() {
        let columns = db.columns(&view).await;
        views.insert(view, columns);
    }
    views
}

/// The columns of every primary key and unique index of a table, in the order of the key.
async fn keys(db: &Database, table: &str) -> Vec<Vec<String>> {
    let postgres = format!(
        "SELECT array_to_string(ARRAY(SELECT pg_get_indexdef(indexrelid, place, TRUE) \
         FROM generate_series(1, indnkeyatts) place), ',') FROM pg_index \
         WHERE indrelid = '{table}'::regclass AND indisunique"
    );
    let sqlite = format!(
        "SELECT (SELECT group_concat(name, ',' ORDER BY seqno) FROM pragma_index_info(i.name)) \
         FROM pragma_index_list('{table}') i WHERE i.\"unique\" \
         UNION ALL SELECT group_concat(name, ',' ORDER BY pk) FROM pragma_table_info('{table}') WHERE pk > 0 \
         HAVING count(*) > 0"
    );
    let keys = db.rows(db.in_its_words(&postgres, &sqlite)).await.into_iter().flatten();
    keys.map(|key| key.split(',').map(str::to_owned).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_have_the_same_tables_views_and_columns() {
    let (postgres, sqlite) = (migrated(Database::postgres().await).await, migrated(Database::sqlite()).await);
    let tables = columns(&postgres).await;
    assert!(tables.len() > 30 && tables["contacts"].contains(&"deleted_at".to_owned()), "{tables:?}");
    assert_eq!(tables, columns(&sqlite).await);
    let seen = views(&postgres).await;
    assert!(seen["crm_contacts"].contains(&"properties".to_owned()), "{seen:?}");
    assert_eq!(seen, views(&sqlite).await);
}

on_both!(every_key_starts_with_the_account_but_those_of_the_service_itself, async |db: Database| {
    let db = migrated(db).await;
    for table in db.tables().await {
        let columns = db.columns(&table).await;
        let mut keys = keys(&db, &table).await;
        assert!(!keys.is_empty(), "{table} has a key");
        if OF_NO_ACCOUNT.contains(&table.as_str()) {
            assert!(!columns.contains(&"account_id".to_owned()), "{table} belongs to an account after all");
            continue;
        }
        assert_eq!(columns[0], "account_id", "{table}");
        // SQLite numbers rows only through a key of one column; the unique key beside it has the account.
        let numbered = [
            "entry_id",
            "message_id",
            "audit_id",
            "erasure_id",
            "deletion_id",
            "count_id",
            "token_id",
            "dead_letter_id",
            "owed_id",
        ];
        keys.retain(|key| {
            !(db.url().starts_with("sqlite") && key.len() == 1 && numbered.contains(&key[0].as_str()))
        });
        assert!(!keys.is_empty(), "{table} has a key with the account");
        for key in keys {
            assert_eq!(key[0], "account_id", "a key of {table}: {key:?}");
        }
    }
});
