//! `store.url` and its kind: no part of a secret is told, and every form of an address leads to the database.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::json;

use crate::support::records::{contact, entitled_account};
use crate::support::{DEADLINE, Database, Reaper, wait_until};

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
