//! From one release to the next: stores that older programs have made, and a worker under which the schema goes on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _};

use crate::support::every_category::every_category;
use crate::support::records::{all_of, contact, entitled_account, event, property, workflow};
use crate::support::{Broker, DEADLINE, Database, Reaper, on_both, wait_until};

/// The migrations as they are shipped, oldest first: name and script.
fn migrations(db: &Database) -> Vec<(String, String)> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/schema/migrations");
    let own = shared.join(db.in_its_words("postgres", "sqlite"));
    let scripts = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "sql")).collect()
    };
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut found: Vec<(String, String)> = [scripts(&shared), scripts(&own)]
        .concat()
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    found
}

/// An empty store as the program of that version has made it.
async fn store_of(version: usize, migrations: &[(String, String)], db: &Database) {
    drop(db.open().schema().await); // The file is there from now on.
    let mut script = "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, name text NOT NULL, \
                      applied_at text NOT NULL);\n"
        .to_owned();
    for (number, (name, statements)) in (1..).zip(&migrations[..version]) {
        script += statements;
        write!(script, "\nINSERT INTO schema_migrations VALUES ({number}, '{name}', 'then');\n").unwrap();
    }
    db.execute(&script).await;
}

/// A table with some of its columns.
type Table = (String, Vec<String>);

/// Every table with its columns.
async fn tables(db: &Database) -> Vec<Table> {
    let sql = db.in_its_words(
        "SELECT CAST(t.tablename AS text), CAST(string_agg(c.column_name, ',' ORDER BY c.ordinal_position) AS text)
         FROM pg_tables t JOIN information_schema.columns c
           ON c.table_schema = t.schemaname AND c.table_name = t.tablename
         WHERE t.schemaname = current_schema() GROUP BY t.tablename ORDER BY t.tablename",
        "SELECT t.name, group_concat(c.name, ',') FROM sqlite_schema t, pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' GROUP BY t.name ORDER BY t.name",
    );
    let table = |row: Vec<String>| (row[0].clone(), row[1].split(',').map(str::to_owned).collect());
    db.rows(sql).await.into_iter().map(table).collect()
}

/// Of each table that both stores have, those columns that both have. What jobs did has moved since.
async fn in_common(one: &Database, other: &Database) -> Vec<Table> {
    let theirs: BTreeMap<String, Vec<String>> = tables(other).await.into_iter().collect();
    let mut common = tables(one).await;
    common.retain(|(name, _)| {
        theirs.contains_key(name) && !["schema_migrations", "job_runs"].contains(&name.as_str())
    });
    for (name, columns) in &mut common {
        columns.retain(|column| theirs[name].contains(column));
    }
    common
}

/// The rows of these tables as SQL writes them, each with the name of its table.
async fn rows(db: &Database, tables: &[Table]) -> Vec<Vec<String>> {
    let quoted = |column: &String| {
        let postgres = format!("quote_nullable(CAST({column} AS text))");
        db.in_its_words(&postgres, &format!("quote({column})")).to_owned()
    };
    let select = |(name, columns): &Table| {
        let values: Vec<String> = columns.iter().map(quoted).collect();
        format!("SELECT '{name}', {} FROM {name}", values.join(" || ', ' || "))
    };
    let selects: Vec<String> = tables.iter().map(select).collect();
    let mut rows = db.rows(&selects.join(" UNION ALL ")).await;
    rows.sort();
    rows
}

/// PostgreSQL: numbers go on after those that are there.
const NUMBER_ON: &str = "
    DO $$ DECLARE numbered record; BEGIN
      FOR numbered IN SELECT table_name, column_name FROM information_schema.columns
                      WHERE table_schema = current_schema() AND is_identity = 'YES' LOOP
        EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), (SELECT coalesce(max(%I), 0) + 1 FROM %I))',
          numbered.table_name, numbered.column_name, numbered.column_name, numbered.table_name);
      END LOOP;
    END $$;";

/// Puts rows into a store of an older version, in whatever order.
async fn fill(db: &Database, tables: &[Table], rows: &[Vec<String>]) {
    let (unchecked, given) = db
        .in_its_words(
            "SET session_replication_role = replica;| OVERRIDING SYSTEM VALUE",
            "PRAGMA foreign_keys = off;|",
        )
        .split_once('|')
        .unwrap();
    let columns: BTreeMap<&String, String> =
        tables.iter().map(|(name, columns)| (name, columns.join(", "))).collect();
    let mut script = format!("{unchecked} BEGIN;\n");
    for row in rows {
        let (table, values) = (&row[0], &row[1]);
        writeln!(script, "INSERT INTO {table} ({}){given} VALUES ({values});", columns[table]).unwrap();
    }
    script += db.in_its_words(NUMBER_ON, "");
    db.execute(&(script + "COMMIT")).await;
}

/// Somebody in every category, deleted by a workflow, restored, erased; and who was skipped.
async fn a_store_in_use(db: &Database) -> Reaper {
    let reaper = Reaper::new(db).unguarded();
    let mut records = every_category(1);
    records.extend((71..=74).map(|id| contact(1, id, json!({}))));
    records.push(json!({"kind": "deal", "accountId": "1", "id": "75", "properties": {"dealname": "Engine"}}));
    reaper.import(&records).await;
    reaper.json(&["delete", "--account", "1", "--as", "1", "--record", "deal:75", "--confirm", "1"]).await;
    let events: Vec<Value> = [1, 71, 72, 99].into_iter().map(|id| event(1, 6, id, 9000 + id)).collect();
    reaper.decide(&events).await;
    reaper.restore(1, 72).await;
    let erase = ["erase", "--account", "1", "--as", "1", "--contact", "73", "--confirm", "1"];
    assert_eq!(reaper.run(&erase).await.code, 0);
    reaper
}

on_both!(a_store_of_any_earlier_version_is_brought_up_to_date_and_keeps_its_rows, async |db: Database| {
    let migrations = migrations(&db);
    let reaper = a_store_in_use(&db).await;
    let applied = db.rows("SELECT name FROM schema_migrations ORDER BY version").await.concat();
    assert!(applied.iter().eq(migrations.iter().map(|(name, _)| name)), "{applied:?}");
    let mut shown = Vec::new();
    for contact in [1, 73] {
        shown.push((contact, reaper.contact(1, contact).await));
    }
    for version in 1..migrations.len() {
        let older = if db.is_sqlite() { Database::sqlite() } else { Database::postgres().await };
        store_of(version, &migrations, &older).await;
        let tables = in_common(&older, &db).await;
        let expected = rows(&db, &tables).await;
        fill(&older, &tables, &expected).await;
        let reaper = Reaper::new(&older).unguarded();
        assert_eq!(reaper.json(&["migrate"]).await, json!({"applied": applied[version..]}));
        assert_eq!(rows(&older, &tables).await, expected, "from version {version}");
        // From then on it had all that concerns a contact: the CRM shows them as before, and work goes on.
        if tables.iter().any(|(table, _)| table == "erasures") {
            for (contact, shown) in &shown {
                assert_eq!(reaper.contact(1, *contact).await, *shown, "from version {version}");
            }
            reaper.restore(1, 71).await;
            reaper.decide(&[event(1, 6, 74, 9074)]).await;
            assert_eq!(reaper.state(1, 74).await, "in_trash", "from version {version}");
        }
        if tables.iter().any(|(table, _)| table == "record_trash_entries") {
            let restored =
                reaper.json(&["restore", "--account", "1", "--as", "1", "--record", "deal:75"]).await;
            assert_eq!(restored, json!({"restored": ["deal:75"], "refused": []}), "from version {version}");
        }
    }
});

on_both!(interrupted_deletion_of_an_earlier_version_goes_on, async |db: Database| {
    // The version before deletions of other records than contacts.
    store_of(32, &migrations(&db), &db).await;
    let at = "'2026-11-01T00:00:00.000000Z'";
    let given = db.in_its_words("OVERRIDING SYSTEM VALUE", "");
    let mut script = format!(
        "INSERT INTO accounts (account_id, name) VALUES (1, 'One'); \
         INSERT INTO users VALUES (1, 1, 'a@b.example', 'a@b.example', '[\"super_admin\"]'); \
         INSERT INTO segments (account_id, segment_id, name, processing_type) VALUES (1, 4, 'S', 'MANUAL'); \
         INSERT INTO deletions (account_id, deletion_id, user_id, kind, segment_id, confirmed, deleted, skipped, \
           started_at, frozen_at, active_at) {given} VALUES (1, 9, 1, 'segment', 4, 2, 0, 0, {at}, {at}, {at});"
    );
    for id in [1, 2] {
        write!(
            script,
            "INSERT INTO contacts (account_id, contact_id, properties, history, created_at) \
             VALUES (1, {id}, '{{}}', '{{}}', {at}); \
             INSERT INTO segment_members VALUES (1, 4, {id}); INSERT INTO deletion_items VALUES (1, 9, {id});"
        )
        .unwrap();
    }
    db.execute(&script).await;
    let reaper = Reaper::new(&db);
    reaper.json(&["migrate"]).await;
    let command = ["delete", "--account", "1", "--as", "1", "--segment", "4", "--confirm", "2"];
    let answer = reaper.json(&command).await;
    assert_eq!((&answer["deletionId"], &answer["deleted"]), (&json!("9"), &json!(2)));
    assert_eq!(db.count("deletions", "object_type = 'contact' AND finished_at IS NOT NULL").await, 1);
});

on_both!(users_go_on_doing_what_they_did_when_permissions_become_finer, async |db: Database| {
    store_of(15, &migrations(&db), &db).await;
    let users = [
        (1, r#"["delete"]"#),
        (2, r#"["bulk_delete"]"#),
        (3, r#"["delete", "bulk_delete", "super_admin"]"#),
        (4, "[]"),
        (5, r#"["delete", "bulk_delete"]"#),
        (6, r#"["super_admin"]"#),
    ];
    let mut script = "INSERT INTO accounts (account_id, name) VALUES (1, 'One');".to_owned();
    for (id, permissions) in users {
        write!(
            script,
            "INSERT INTO users VALUES (1, {id}, 'user{id}@account1.example', 'user{id}@account1.example', '{permissions}');"
        )
        .unwrap();
    }
    db.execute(&script).await;
    let reaper = Reaper::new(&db);
    let migrated = reaper.run(&["migrate"]).await;
    assert!(
        migrated.code == 0 && migrated.stdout.starts_with("3 users were given permissions"),
        "{migrated:?}"
    );
    let listed = reaper.json(&["users", "list", "--account", "1"]).await;
    let held: Vec<&Value> = listed.as_array().unwrap().iter().map(|user| &user["permissions"]).collect();
    assert_eq!(
        held,
        [
            &json!(["delete", "permanently_delete", "view"]),
            &json!(["bulk_delete", "view"]),
            &json!(["delete", "bulk_delete", "super_admin"]),
            &json!([]),
            &json!(["delete", "bulk_delete", "permanently_delete", "view"]),
            &json!(["super_admin"]),
        ]
    );
    let audit = "SELECT actor, action, replace(CAST(ids AS text), ' ', ''), CAST(count AS text) FROM audit";
    let audited = db.rows(audit).await;
    assert_eq!(audited, [["migration:permissions", "grant_permissions", r#"["1","2","5"]"#, "3"]]);
    // Once, and not with every migration.
    assert_eq!(reaper.run(&["migrate"]).await.stdout, "the schema is up to date\n");
});

on_both!(dead_letters_of_an_earlier_version_get_their_accounts, async |db: Database| {
    let migrations = migrations(&db);
    let ours = migrations.iter().position(|(name, _)| name.ends_with("_dead_letters")).unwrap();
    store_of(ours, &migrations, &db).await;
    let bodies = [
        (r#"{"data": {"accountId": "7"}}"#, json!("7")),
        (r#"{"data": {"portalId": 7}}"#, json!("7")),
        (r#"{"data": {"accountId": 7, "portalId": "7"}}"#, json!("7")),
        (r#"{"data": {"accountId": "7", "portalId": "8"}}"#, json!(null)),
        (r#"{"data": {"accountId": "07"}}"#, json!(null)),
        (r#"{"data": {"accountId": "99999999999999999999"}}"#, json!(null)),
        (r#"{"data": {"accountId": "a", "name": "\u0000"}}"#, json!(null)),
        (r#"{"data": [7]}"#, json!(null)),
        ("7", json!(null)),
        ("{ no JSON", json!(null)),
    ];
    for (body, _) in &bodies {
        db.execute(&format!(
            "INSERT INTO dead_letters (feed, at, reason, detail, body) VALUES ('f', '2026-11-21T10:00:00.000000Z', 'malformed', 'body: no', {})",
            db.in_its_words(&format!("convert_to('{body}', 'UTF8')"), &format!("CAST('{body}' AS blob)"))
        ))
        .await;
    }
    db.execute(db.in_its_words(
        r"INSERT INTO dead_letters (feed, at, reason, detail, body) VALUES ('f', now(), 'malformed', 'body: no', '\xff7b')",
        "INSERT INTO dead_letters (feed, at, reason, detail, body) VALUES ('f', '2026-11-21T10:00:00.000000Z', 'malformed', 'body: no', x'ff7b')",
    ))
    .await;
    let reaper = Reaper::new(&db).fed_by_lines("-");
    reaper.json(&["migrate"]).await;
    let rows = reaper.json(&["dead-letters", "list"]).await;
    let accounts: Vec<Value> =
        rows.as_array().unwrap().iter().rev().map(|row| row["accountId"].clone()).collect();
    let expected: Vec<Value> = bodies.iter().map(|(_, account)| account.clone()).collect();
    assert_eq!(accounts, [&expected[..], &[json!(null)]].concat());
    reaper.decide_lines("[]\n").await;
    let newest = &reaper.json(&["dead-letters", "list", "--limit", "1"]).await[0];
    assert_eq!(newest["id"], json!((bodies.len() + 2).to_string()), "numbers go on");
});

on_both!(the_properties_of_an_earlier_version_are_known, async |db: Database| {
    let migrations = migrations(&db);
    let ours = migrations.iter().position(|(name, _)| name.ends_with("_contact_properties")).unwrap();
    store_of(ours, &migrations, &db).await;
    db.execute(
        r#"INSERT INTO accounts (account_id, name) VALUES (1, 'One'), (2, 'Two');
           INSERT INTO contacts (account_id, contact_id, properties, history, created_at) VALUES
           (1, 1, '{"firstname": "Ada", "nickname": ""}', '{"city": []}', '2026-01-01T00:00:00.000000Z'),
           (1, 2, '{"firstname": "Bo"}', '{}', '2026-01-01T00:00:00.000000Z'),
           (2, 1, '{"plan": "gold"}', '{}', '2026-01-01T00:00:00.000000Z');
           INSERT INTO objects (account_id, object_type, object_id, properties) VALUES
           (1, 'company', 7, '{"name": "Acme"}'), (1, 'deal', 8, '{"amount": "5"}');
           INSERT INTO activities (account_id, activity_id, type, occurred_at, properties, stub) VALUES
           (1, 9, 'call', '2026-01-01T00:00:00.000000Z', '{"result": "no"}', FALSE);
           INSERT INTO activity_associations (account_id, activity_id, object_type, object_id) VALUES
           (1, 9, 'contact', 1), (1, 9, 'deal', 8);
           INSERT INTO custom_events (account_id, event_id, contact_id, event_type_id, occurred_at, properties) VALUES
           (1, 1, 1, '6-1', '2026-01-01T00:00:00.000000Z', '{"plan": "gold"}');
           INSERT INTO associations (account_id, from_type, from_id, to_type, to_id, label) VALUES
           (1, 'company', 7, 'contact', 1, ''), (1, 'contact', 1, 'contact', 2, ''), (1, 'deal', 8, 'ticket', 1, '');"#,
    )
    .await;
    Reaper::new(&db).json(&["migrate"]).await;
    let known = db.rows("SELECT CAST(account_id AS text), name FROM contact_properties ORDER BY 1, 2").await;
    assert_eq!(known, [["1", "city"], ["1", "firstname"], ["1", "nickname"], ["2", "plan"]]);
    let known = db.rows("SELECT record_type, name FROM related_properties ORDER BY 1, 2").await;
    assert_eq!(known, [["call", "result"], ["company", "name"], ["deal", "amount"], ["event:6-1", "plan"]]);
    let known = db.rows("SELECT object_type FROM kept_associations ORDER BY 1").await;
    assert_eq!(known, [["call"], ["company"], ["contact"]]);
});

/// What a next release may do to the schema by the rule of `docs/OPERATIONS.md`, in every place that a deletion uses.
const NEXT: &str = "
    CREATE TABLE next_things (account_id bigint NOT NULL, thing_id bigint NOT NULL, PRIMARY KEY (account_id, thing_id));
    ALTER TABLE contacts ADD COLUMN next_word text;
    ALTER TABLE ledger ADD COLUMN next_number bigint;
    ALTER TABLE outbox ADD COLUMN next_number bigint NOT NULL DEFAULT 7;
    ALTER TABLE trash_entries ADD COLUMN next_word text;
    CREATE INDEX next_index ON ledger (account_id, next_number);
    CREATE VIEW next_view AS SELECT account_id, contact_id, next_word FROM contacts;
    INSERT INTO schema_migrations (version, name, applied_at) VALUES (1000, '1000_next', 'now');";

on_both!(an_old_worker_goes_on_while_the_schema_becomes_the_next_ones, async |db: Database| {
    const EVENTS: i64 = 600;
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db)
        .fed_by(&broker)
        .unguarded()
        .setting("pipeline.batch_size", "20")
        .setting("pipeline.prefetch", "40");
    let mut records = entitled_account(1);
    let everybody = all_of(&[property("email", "ALL_PROPERTY", "IS_KNOWN", json!(null))]);
    records.push(workflow(1, 6, &everybody));
    records.extend((1..=EVENTS).map(|id| contact(1, id, json!({}))));
    reaper.import(&records).await;
    let heard = broker.listen(&[]).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;

    let bodies: Vec<String> = (1..=EVENTS).map(|id| event(1, 6, id, 9000 + id).to_string()).collect();
    let decided = async || db.count("ledger", "TRUE").await;
    let migrates = async {
        wait_until("some are decided", DEADLINE, async || decided().await > 0).await;
        // As `migrate` does: all of it or nothing, again where a batch was in the way.
        wait_until("the next release's migration is done", DEADLINE, async || {
            db.try_execute(&format!("BEGIN; {NEXT} COMMIT")).await.is_ok()
        })
        .await;
    };
    let (first, second) = bodies.split_at(bodies.len() / 2);
    tokio::join!(broker.publish(first), migrates);
    broker.publish(second).await;
    wait_until("all are decided", DEADLINE, async || decided().await == EVENTS).await;
    assert_eq!(db.count("contacts", "deleted_at IS NULL").await, 0);
    assert_eq!(db.count("trash_entries", "closed_at IS NULL").await, EVENTS);
    wait_until("all is told", DEADLINE, async || i64::from(broker.count(&heard).await) == EVENTS).await;
    assert!(worker.is_ready().await);

    // It may finish, and nobody of its kind may start: neither a worker nor a command.
    for args in [["run"].as_slice(), &["migrate"], &["trash", "list", "--account", "1"]] {
        let said = reaper.clone().setting("http.listen", "127.0.0.1:0").refused(args).await;
        assert!(said.contains("version 1000, newer than") && said.contains("upgrade"), "{args:?}: {said}");
    }
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0), "{}", worker.stderr());
    assert_eq!(broker.count(&broker.queue()).await, 0, "all are acknowledged");
    assert_eq!(db.count("dead_letters", "TRUE").await, 0);
});

/// The limit on statements is for deciding; an index on a large table takes longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_may_take_longer_than_any_statement() {
    let db = Database::postgres().await;
    db.execute(
        "CREATE FUNCTION takes_long() RETURNS event_trigger LANGUAGE plpgsql AS
           'BEGIN IF to_regclass(''tokens'') IS NOT NULL AND to_regclass(''sessions'') IS NULL
                  THEN PERFORM pg_sleep(1.5); END IF; END';
         CREATE EVENT TRIGGER takes_long ON ddl_command_start EXECUTE FUNCTION takes_long()",
    )
    .await;
    let applied = Reaper::new(&db).setting("store.statement_timeout", "1s").json(&["migrate"]).await;
    assert_eq!(applied["applied"].as_array().unwrap().len(), migrations(&db).len());
}

/// A migration that waits for a table keeps everybody behind it waiting who wants that table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_does_not_wait_for_a_table_that_somebody_reads_for_hours() {
    let db = Database::postgres().await;
    let migrations = migrations(&db);
    store_of(migrations.len() - 1, &migrations, &db).await;
    db.execute(
        "CREATE TABLE read_for_hours (one bigint);
         CREATE FUNCTION takes_a_table() RETURNS event_trigger LANGUAGE plpgsql AS
           'BEGIN IF current_query() NOT LIKE ''%schema_migrations%'' THEN LOCK TABLE read_for_hours; END IF; END';
         CREATE EVENT TRIGGER takes_a_table ON ddl_command_start EXECUTE FUNCTION takes_a_table()",
    )
    .await;
    let mut session = db.connect_postgres().await;
    session.execute("BEGIN; SELECT * FROM read_for_hours").await.unwrap();
    let reaper = Reaper::new(&db).setting("store.statement_timeout", "1h");
    let said = reaper.refused(&["migrate"]).await;
    assert!(said.contains("a migration waits for a table"), "{said}");
    session.execute("COMMIT").await.unwrap();
    session.close().await.unwrap();
    let last = &migrations.last().unwrap().0;
    assert_eq!(reaper.json(&["migrate"]).await, json!({"applied": [last]}));
}
