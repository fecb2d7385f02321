//! What errors of the database mean: an outage, a store that is not set up, a conflict, or the data.

use std::sync::LazyLock;

use contact_reaper::domain::dead_letter::{Arrived, Origin};
use contact_reaper::domain::enrollment::parse_event;
use contact_reaper::ports::{BatchError, Decider as _, Message, RetryReason};
use contact_reaper::store::Rules;
use serde_json::json;

use crate::support::records::{contact, entitled_account, event, lines, manual_workflow};
use crate::support::{Database, Reaper, UNGUARDED, on_both, tls_file};

/// Account 1, whose workflow 6 takes whoever is enrolled by hand, with contact 1.
async fn prepare(db: &Database) {
    let mut records = entitled_account(1);
    records.extend([manual_workflow(1, 6), contact(1, 1, json!({}))]);
    Reaper::new(db).import(&records).await;
}

/// What the pipeline is told of an enrollment that the store does not decide.
async fn not_decided(db: &Database) -> BatchError {
    static NOWHERE: LazyLock<Origin> = LazyLock::new(|| Origin::place("test".into(), String::new()));
    let mut enrolled = event(1, 6, 1, 1);
    enrolled["data"]["cause"] = json!("MANUAL");
    let event = parse_event(enrolled.to_string().as_bytes());
    let arrived = Arrived { body: b"", origin: &NOWHERE, attempts: 0, trace: None, may_repeat: false };
    let rules: Rules = UNGUARDED;
    db.open().deciding(rules).decide(&[Message { event, arrived }]).await.expect_err("it fails")
}

/// From now on each write to the ledger fails with this error.
async fn fail_with(db: &Database, raise: &str) {
    db.execute("DROP TRIGGER IF EXISTS failing ON ledger").await;
    db.execute(&format!(
        "CREATE OR REPLACE FUNCTION failing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION {raise}; END $$"
    ))
    .await;
    db.execute("CREATE TRIGGER failing BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION failing()")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_nobody_reaches_is_told_by_the_cause() {
    for (url, cause) in [
        ("postgres://reaper@127.0.0.1:1/crm", "connection refused"),
        ("postgres://reaper@%2Fnowhere/crm", "a socket or a certificate that store.url names is not there"),
        (
            "postgres://reaper@127.0.0.1:1/crm?sslmode=verify-full&sslrootcert=/nowhere.pem",
            "connection refused",
        ),
    ] {
        let reaper = Reaper::without_a_store().setting("store.url", url);
        let said = reaper
            .setting("store.acquire_timeout", "200ms")
            .refused(&["trash", "list", "--account", "1"])
            .await;
        assert!(said.contains(cause), "{url}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_outage_makes_everybody_wait_and_only_data_is_poison() {
    let db = Database::postgres().await;
    prepare(&db).await;
    for code in ["57P01", "57P02", "53100", "53300", "08006", "58030", "XX000"] {
        fail_with(&db, &format!("'gone' USING ERRCODE = '{code}'")).await;
        let error = not_decided(&db).await;
        assert!(matches!(error, BatchError::Unavailable(_)), "{code}: {error:?}");
        assert!(error.to_string().starts_with("the store cannot be used: gone"), "{error}");
        assert_eq!(error.to_string().contains("the disk may be full"), ["53100", "58030"].contains(&code));
    }
    // No message fares better until a person has set the store up, but it is no outage.
    for code in ["42501", "42P01", "42703", "42883", "42P05", "3F000", "26000"] {
        fail_with(&db, &format!("'missing' USING ERRCODE = '{code}'")).await;
        let error = not_decided(&db).await;
        assert!(matches!(error, BatchError::Unavailable(_)), "{code}: {error:?}");
        assert!(
            error.to_string().starts_with("the store is not set up for this program: missing"),
            "{error}"
        );
        assert_eq!(error.to_string().contains("prepared_statements"), ["42P05", "26000"].contains(&code));
    }
    for code in ["0A000", "P0001", "XX001", "38000"] {
        fail_with(&db, &format!("'Ada Quirke' USING ERRCODE = '{code}'")).await;
        let error = not_decided(&db).await;
        let BatchError::Blocked { reason: RetryReason::Unsupported, message } = error else {
            panic!("{code}: {error:?}")
        };
        assert!(message.contains(code), "{message}");
        assert_eq!(message.contains("Quirke"), code == "0A000", "a trigger may quote a row");
    }
    for code in ["22P05", "22021", "23514", "54000"] {
        fail_with(&db, &format!("'Ada Quirke' USING ERRCODE = '{code}'")).await;
        let error = not_decided(&db).await;
        assert!(matches!(error, BatchError::Poison(_)), "{code}: {error:?}");
        assert!(error.to_string().contains(code) && !error.to_string().contains("Quirke"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_race_for_a_key_is_a_conflict_whatever_shard_or_partition_it_is_in() {
    let db = Database::postgres().await;
    prepare(&db).await;
    for (constraint, is_race) in [
        ("contact_emails_live", true),
        ("contact_emails_live_102008", true),
        ("contacts_pkey_102008", true),
        ("contact_emails_p1_account_id_email_key_idx", true),
        ("contact_emails_live_copy", false),
        ("companies_pkey", false),
    ] {
        fail_with(&db, &format!("'twice' USING ERRCODE = '23505', CONSTRAINT = '{constraint}'")).await;
        let error = not_decided(&db).await;
        let is_conflict = matches!(&error, BatchError::Blocked { reason: RetryReason::Contended, .. });
        assert_eq!(is_conflict, is_race, "{constraint}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_prepared_before_its_table_changed_is_prepared_again() {
    let db = Database::postgres().await;
    prepare(&db).await;
    let store = db.open_with(1);
    assert_eq!(store.users(1, 1, 10).await.unwrap().len(), 1);
    db.execute("ALTER TABLE users ALTER COLUMN email TYPE varchar(500)").await;
    assert_eq!(
        store.users(1, 1, 10).await.unwrap().len(),
        1,
        "0A000: cached plan must not change result type"
    );
}

on_both!(a_store_that_lacks_a_table_is_not_called_away, async |db: Database| {
    prepare(&db).await;
    db.execute("ALTER TABLE users RENAME TO others").await;
    let said = Reaper::new(&db).refused(&["users", "list", "--account", "1"]).await;
    assert!(said.contains("the store is not set up for this program") && said.contains("users"), "{said}");
    let store = db.open();
    assert!(store.users(1, 1, 10).await.is_err_and(|error| error.to_string().contains("not set up")));
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_whose_database_crashes_says_that_nothing_was_lost() {
    let db = Database::postgres().await;
    prepare(&db).await;
    db.execute(
        "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION \
         'terminating connection because of crash of another server process' USING ERRCODE = '57P02'; END $$",
    )
    .await;
    db.execute("CREATE TRIGGER crash BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION crash()").await;
    let (reaper, more) = (Reaper::new(&db), lines(&[contact(1, 2, json!({}))]));
    let said = reaper.refused_with_input(&["import", "-"], &more).await;
    assert!(said.contains("nothing was lost, run it again"), "{said}");
    db.execute("DROP TRIGGER crash ON contacts").await;
    assert_eq!(reaper.run_with_input(&["import", "-"], &more).await.code, 0);
    assert_eq!(reaper.contact(1, 2).await["state"], "live");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named() {
    let db = Database::sqlite();
    prepare(&db).await;
    let many: Vec<_> = (2..3000).map(|id| contact(1, id, json!({"about": "x".repeat(500)}))).collect();
    // Larger than the store and than the file that is imported, smaller than what the import writes.
    let reaper = Reaper::new(&db).with_files_up_to(2_500_000);
    let said = reaper.refused_with_input(&["import", "-"], &lines(&many)).await;
    assert!(said.contains("the disk may be full") && said.contains("nothing was lost"), "{said}");
    assert_eq!(Reaper::new(&db).run_with_input(&["import", "-"], &lines(&many)).await.code, 0);
    assert_eq!(db.count("contacts", "TRUE").await, 2999);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_host_and_a_wrong_certificate_are_named() {
    let db = Database::postgres().await;
    prepare(&db).await;
    let list = ["users", "list", "--account", "1"];
    let nowhere = Reaper::new(&db).setting("store.url", "postgres://reaper@nowhere.invalid/reaper");
    let said = nowhere.refused(&list).await;
    assert!(said.contains("name not found"), "{said}");
    let said = Reaper::new(&db)
        .setting("feed.kind", "rabbitmq")
        .setting("feed.rabbitmq.url", "amqp://nowhere.invalid")
        .refused_with_input(&["enroll", "-"], "{}")
        .await;
    assert!(said.contains("name not found"), "{said}");

    let (at, _) = db.url().split_once('?').expect("parameters");
    let by_name = at.replace("127.0.0.1", "localhost");
    let over_tls = |at: &str, authority: &str| {
        let url = format!("{at}?sslmode=verify-full&sslrootcert={}", tls_file(authority));
        Reaper::new(&db).setting("store.url", &url)
    };
    let said = over_tls(&by_name, "stranger.pem").refused(&list).await;
    assert!(said.contains("signed by an unknown authority"), "{said}");
    let said = over_tls(at, "ca.pem").refused(&list).await;
    assert!(said.contains("for another name"), "{said}");
    // The certificates are made for two days.
    let said = over_tls(&by_name, "ca.pem").with_clock_off_by("+1000d").refused(&list).await;
    assert!(said.contains("has expired"), "{said}");
}
