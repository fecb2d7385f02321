//! `store.url` and its kind: no part of a secret is told, and every form of an address leads to the database. What the
//! database must be like.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::support::records::{contact, entitled_account};
use crate::support::{DEADLINE, Database, Reaper, TempDir, on_both, wait_until};

/// Settings with a secret in them, as people get them wrong, and what to read instead.
const MISTAKES: [(&str, &str, &str); 16] = [
    ("store.url", "postgres://127.0.0.1:1/db?user=u&pasword=hunter2", "the parameter pasword"),
    ("store.url", "postgres://u:/7M+x?E':hunter2@127.0.0.1:1/db", "%3F for ?"),
    ("store.url", "postgres://u:hunter2@127.0.0.1:1/db?sslmod=verify-full", "the parameter sslmod"),
    ("store.url", "postgres://u:hunter2@127.0.0.1:1/db?ssl=true", "the parameter ssl"),
    ("store.url", "postgres://u:hunter2#x@127.0.0.1:1/db", "%23 for #"),
    ("store.url", "postgres://127.0.0.1:1/db?password=hunter2&password=hunter2", "twice"),
    ("store.url", "postgres://u:1/hunter2@127.0.0.1:1/db", "%2F for /"),
    ("store.url", "sqlite://store.db?mode=hunter2", "parameter mode"),
    ("feed.rabbitmq.url", "amqp://u:p?hunter2@127.0.0.1:1/%2f", "%3F for ?"),
    ("feed.rabbitmq.url", "amqp://u@127.0.0.1:1/%2f?pasword=hunter2", "the parameter pasword"),
    ("feed.rabbitmq.ca_file", "amqps://u:hunter2@127.0.0.1:1", "the path of a file"),
    ("mail.smtp_url", "smtp://u:hunter2@127.0.0.1:1?starttls=yes", "the parameter starttls"),
    ("traces.endpoint", "http://u:hunter2@127.0.0.1:4318/v1/traces", "http://HOST:PORT/PATH"),
    ("traces.endpoint", "http://127.0.0.1:4318/v1/traces?api-key=hunter2", "http://HOST:PORT/PATH"),
    ("http.listen", "postgres://u:hunter2@127.0.0.1:1/db", "an IP address"),
    ("store.url_file", "postgres://u:hunter2@127.0.0.1:1/db", "cannot be read"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_is_wrong_is_refused_by_every_command_and_no_part_of_it_told() {
    let database = Database::sqlite();
    for (key, value, remedy) in MISTAKES {
        let mut reaper = Reaper::new(&database).setting("log.level", "trace");
        if key == "store.url_file" {
            reaper = Reaper::without_a_store();
        }
        let reaper = reaper.setting(key, value);
        for args in
            [&["run"][..], &["check-config"], &["migrate"], &["audit", "list"], &["check-config", "--json"]]
        {
            let output = reaper.run(args).await;
            assert_eq!(output.code, 2, "{key} = {value}, {args:?}: {output:?}");
            assert!(output.stderr.contains(remedy), "{key} = {value}: {}", output.stderr);
            let said = output.stdout + &output.stderr;
            assert!(!said.contains("hunter2") && !said.contains("7M"), "{key} = {value}, {args:?}: {said}");
        }
    }
}

/// All is well with these; the servers are away, and libraries say what they do as loud as they can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_library_logs_a_password_at_any_level() {
    let levels = "trace,lapin::connection=trace,amq_protocol_tcp=trace,sqlx_postgres::options::pgpass=trace";
    for store in [
        "postgres://u:hunter2@127.0.0.1:1/db?sslmode=require&application_name=x",
        "postgres://127.0.0.1:1/db?user=u&password=hunter2",
        "postgres://u:hunt%65r2@[::1]:1/db?options=-c%20my.secret%3Dhunter2",
    ] {
        let reaper = Reaper::new(&Database::sqlite())
            .setting("store.url", store)
            .setting("store.acquire_timeout", "200ms")
            .setting("feed.rabbitmq.url", "amqp://u:hunter2@127.0.0.1:1/%2f")
            .setting("mail.smtp_url", "smtp://u:hunter2@127.0.0.1:1")
            .setting("log.level", levels);
        let mut worker = reaper.spawn(&["run"]);
        wait_until("it has asked for the store twice", DEADLINE, async || {
            worker.stderr().matches("store not reached").count() > 1
        })
        .await;
        worker.terminate();
        worker.exit(DEADLINE).await;
        let said = worker.stderr();
        assert!(!said.contains("hunter2") && !said.contains("hunt%65r2"), "{said}");
    }
    // With a store the broker is asked for, too.
    let database = Database::sqlite();
    let reaper = Reaper::new(&database)
        .setting("feed.rabbitmq.url", "amqp://u:hunter2@127.0.0.1:1/%2f")
        .setting("log.level", levels);
    let mut worker = reaper.spawn(&["run"]);
    wait_until("it has asked for the broker", DEADLINE, async || {
        worker.stderr().contains("cannot be reached")
    })
    .await;
    worker.terminate();
    worker.exit(DEADLINE).await;
    assert!(!worker.stderr().contains("hunter2"), "{}", worker.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sqlite_store_consists_of_is_for_its_owner_alone() {
    let database = Database::sqlite();
    let reaper = Reaper::new(&database).umask("000");
    reaper.import(&[&entitled_account(1)[..], &[contact(1, 1, json!({}))]].concat()).await;
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"]).await;
    let mut worker = reaper.setting("feed.rabbitmq.url", "amqp://127.0.0.1:1/").spawn(&["run"]);
    worker.wait_listening().await;
    let file = database.url().trim_start_matches("sqlite://").to_owned();
    let mode = |end: &str| {
        Path::new(&format!("{file}{end}")).metadata().map(|file| file.permissions().mode() & 0o777)
    };
    wait_until("the store is open", DEADLINE, async || mode("-wal").is_ok() && mode("-shm").is_ok()).await;
    for end in ["", "-wal", "-shm", ".hash-key"] {
        assert_eq!(mode(end).unwrap(), 0o600, "{file}{end}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_behind_a_link_that_leads_nowhere_yet_is_for_its_owner_alone() {
    let dir = TempDir::new();
    let (link, target) = (dir.path().join("link.db"), dir.path().join("target.db"));
    std::os::unix::fs::symlink("target.db", &link).unwrap();
    let reaper = Reaper::without_a_store().setting("store.url", &format!("sqlite://{}", link.display()));
    reaper.umask("000").import(&entitled_account(1)).await;
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_program_stays_as_it_is() {
    for makes in ["CREATE TABLE cats (id bigint)", "CREATE TABLE schema_migrations (version varchar(255))"] {
        let database = Database::sqlite();
        let file = database.url().trim_start_matches("sqlite://").to_owned();
        std::fs::File::create_new(&file).unwrap();
        database.execute(makes).await;
        let before = std::fs::read(&file).unwrap();
        let reaper = Reaper::new(&database);
        for command in [&["trash", "list", "--account", "1"][..], &["migrate"]] {
            let said = reaper.refused(command).await;
            assert!(said.contains("tables of another program"), "{makes}: {said}");
            assert!(std::fs::read(&file).unwrap() == before, "{makes}: {command:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_an_address_leads_to_the_database() {
    let database = Database::postgres().await;
    let (directory, name) = database.socket();
    let port = database.host().rsplit_once(':').unwrap().1.to_owned();
    let encoded = directory.replace('/', "%2F");
    let mut urls = vec![
        format!("postgres://postgres@/{name}?host={directory}&port={port}"),
        format!("postgres:///{name}?host={directory}&port={port}&user=postgres"),
        format!("postgres://?host={directory}&port={port}&user=postgres&dbname={name}"),
        format!("postgresql://postgres@{encoded}:{port}/{name}"),
        format!("postgres://postgres:{}@127.0.0.1:{port}/{name}", "a+b&c%2Fd@e"),
    ];
    // Some machines have no IPv6 at all.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        urls.push(format!("postgres://postgres@[::1]:{port}/{name}"));
        urls.push(format!("postgres://postgres@[::1]:{port}/{name}?sslmode=require"));
    }
    for url in urls {
        let reaper = Reaper::new(&database).setting("store.url", &url);
        for args in [&["migrate"][..], &["audit", "list"]] {
            let output = reaper.run(args).await;
            assert_eq!(output.code, 0, "{url}: {}", output.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_cannot_hold_every_name_is_refused_by_every_command() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = Database::postgres_in(encoding).await;
        let reaper = Reaper::new(&database).setting("http.listen", "127.0.0.1:0");
        for command in
            ["migrate", "run", "import -", "audit list", "trash list --account 1", "retention run", "pause"]
        {
            let args: Vec<&str> = command.split(' ').collect();
            let said = reaper.refused(&args).await;
            assert!(said.contains(encoding) && said.contains("ENCODING 'UTF8'"), "{command}: {said}");
        }
        assert!(database.tables().await.is_empty());
    }
}

on_both!(tables_of_another_program_are_recognised_and_stay, async |db: Database| {
    let remedy = db.in_its_words("store.schema", "another file");
    let reaper = Reaper::new(&db);
    for (makes, removes) in [
        ("CREATE TABLE contacts (id bigint)", "DROP TABLE contacts"),
        ("CREATE TABLE cats (id bigint)", "DROP TABLE cats"),
        ("CREATE VIEW cats AS SELECT 1 AS one", "DROP VIEW cats"),
        // As Rails, golang-migrate and a namesake of ours have it.
        ("CREATE TABLE schema_migrations (version varchar(255))", "DROP TABLE schema_migrations"),
        ("CREATE TABLE schema_migrations (version bigint, dirty boolean)", "DROP TABLE schema_migrations"),
        (
            "CREATE TABLE schema_migrations (version bigint, name text, applied_at text); \
             INSERT INTO schema_migrations VALUES (1, 'cats', 'now')",
            "DROP TABLE schema_migrations",
        ),
    ] {
        if let Some(file) = db.url().strip_prefix("sqlite://") {
            std::fs::File::options().append(true).create(true).open(file).unwrap();
        }
        db.execute(makes).await;
        let before = db.tables().await;
        let said = reaper.refused(&["migrate"]).await;
        assert!(said.contains("another program") && said.contains(remedy), "{makes}: {said}");
        assert_eq!(db.tables().await, before, "{makes}");
        db.execute(removes).await;
    }
    reaper.json(&["migrate"]).await;
    // What comes later is not asked about: the first of ours says whose place it is.
    db.execute("CREATE TABLE cats (id bigint)").await;
    assert_eq!(reaper.json(&["migrate"]).await, json!({"applied": []}));
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_schema_of_its_own_the_store_is_in_nobody_s_way() {
    let database = Database::postgres().await;
    database.execute("CREATE TABLE contacts (id bigint); CREATE VIEW crm_contacts AS SELECT 1 AS one").await;
    let owned = "SELECT CAST(count(*) AS text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = 'reaper_own' AND c.relkind = 'r'";
    let by_pooler = Reaper::new(&database)
        .setting("store.schema", "reaper_own")
        .setting("store.url", &database.pooled_url())
        .setting("store.prepared_statements", "false");
    let directly = Reaper::new(&database).setting("store.schema", "reaper_own");
    let said = directly.refused(&["audit", "list"]).await;
    assert!(said.contains("migrate"), "{said}");
    let before = database.dump(&[]).await;
    for reaper in [directly, by_pooler] {
        reaper
            .import(&[&entitled_account(1)[..], &[contact(1, 1, json!({"firstname": "Ada"}))]].concat())
            .await;
        reaper.delete(1, 1).await;
        assert_eq!(reaper.state(1, 1).await, "in_trash");
        reaper.restore(1, 1).await;
        reaper.json(&["retention", "run"]).await;
        assert_eq!(reaper.state(1, 1).await, "live");
    }
    database.assert_unchanged_since(&before).await;
    assert_ne!(database.rows(owned).await[0][0], "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_takes_the_right_to_make_it_or_is_made_by_the_owner() {
    let database = Database::postgres().await;
    let (_, name) = database.socket();
    let role = format!("role_{name}");
    database.execute(&format!("CREATE ROLE {role} LOGIN")).await;
    let url = database.url().replace("postgres@", &format!("{role}@"));
    let reaper = Reaper::new(&database).setting("store.url", &url).setting("store.schema", "reaper_own");
    let said = reaper.refused(&["migrate"]).await;
    assert!(said.contains("CREATE SCHEMA reaper_own AUTHORIZATION"), "{said}");
    database.execute(&format!("CREATE SCHEMA reaper_own AUTHORIZATION {role}")).await;
    reaper.import(&entitled_account(1)).await;
    let other = reaper.setting("store.schema", "reaper_two");
    database.execute(&format!("GRANT CREATE ON DATABASE {name} TO {role}")).await;
    other.import(&entitled_account(1)).await;
    database.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    for wrong in ["Reaper", "pg_reaper", "information_schema", "a-b", "1a", "\"a\""] {
        let output = other.clone().setting("store.schema", wrong).run(&["migrate"]).await;
        assert_eq!(output.code, 2, "{wrong}: {}", output.stderr);
    }
    let sqlite = Reaper::new(&Database::sqlite()).setting("store.schema", "reaper_own");
    let output = sqlite.run(&["migrate"]).await;
    assert!(output.code == 2 && output.stderr.contains("leave it empty"), "{}", output.stderr);
}
