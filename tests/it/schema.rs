//! The schema: the same on both databases, and sharded by account from its first day.

use std::collections::BTreeMap;

use crate::support::{Database, Reaper, on_both};

/// The tables that belong to the service as a whole and not to an account.
const OF_NO_ACCOUNT: [&str; 6] =
    ["dead_letters", "feed_checkpoints", "hash_keys", "job_runs", "leases", "schema_migrations"];

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
        let numbered = ["entry_id", "message_id", "audit_id", "erasure_id"];
        keys.retain(|key| {
            !(db.url().starts_with("sqlite") && key.len() == 1 && numbered.contains(&key[0].as_str()))
        });
        assert!(!keys.is_empty(), "{table} has a key with the account");
        for key in keys {
            assert_eq!(key[0], "account_id", "a key of {table}: {key:?}");
        }
    }
});
