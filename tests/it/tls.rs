//! TLS to the broker and to PostgreSQL, with certificates of an authority that the system does not know.

use serde_json::json;

use crate::support::records::{all_of, contact, entitled_account, event, property, workflow};
use crate::support::{Broker, DEADLINE, Database, Reaper, amqps_url, tls_file, wait_until};

/// A store with one contact whom workflow 6 deletes, and that contact's event.
async fn with_an_enrollment(reaper: &Reaper) -> String {
    let mut records = entitled_account(1);
    records.push(workflow(1, 6, &all_of(&[property("email", "ALL_PROPERTY", "IS_KNOWN", json!(null))])));
    records.push(contact(1, 1, json!({})));
    reaper.import(&records).await;
    event(1, 6, 1, 1).to_string()
}

/// Over TLS, trusting this authority, with this certificate.
fn over_tls(database: &Database, broker: &Broker, url: &str, authority: &str, client: &str) -> Reaper {
    let settings = broker.settings_by(url);
    let reaper = settings.into_iter().fold(Reaper::new(database), |it, (key, value)| it.setting(key, &value));
    let file =
        |name: &str, end| if name.is_empty() { String::new() } else { tls_file(&format!("{name}.{end}")) };
    reaper
        .setting("feed.rabbitmq.ca_file", &file(authority, "pem"))
        .setting("feed.rabbitmq.client_certificate_file", &file(client, "pem"))
        .setting("feed.rabbitmq.client_key_file", &file(client, "key"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_is_reached_over_tls_by_a_client_that_it_knows() {
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = over_tls(&database, &broker, &amqps_url(), "ca", "client");
    let event = with_an_enrollment(&reaper).await;
    let heard = broker.listen(&[]).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let said = reaper.run_with_input(&["enroll", "-"], &event).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    wait_until("the contact is deleted and told of", DEADLINE, async || {
        database.count("trash_entries", "TRUE").await == 1 && broker.count(&heard).await == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_cannot_be_trusted_or_does_not_trust_us_is_named_and_tried_again() {
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let url = amqps_url();
    let event = with_an_enrollment(&Reaper::new(&database)).await;
    let enroll = ["enroll", "-"];
    let by_number = url.replace("localhost", "127.0.0.1");
    for (url, authority, client, expected) in [
        (&url, "", "client", "UnknownIssuer"),
        (&url, "stranger", "client", "UnknownIssuer"),
        (&by_number, "ca", "client", "not valid for"),
        // What arrives of the broker's refusal may be its words or only the end of the connection.
        (&url, "ca", "", "do not agree on TLS"),
        (&url, "ca", "stranger", "do not agree on TLS"),
    ] {
        let said =
            over_tls(&database, &broker, url, authority, client).refused_with_input(&enroll, &event).await;
        assert!(said.contains(expected) && said.contains("feed.rabbitmq.ca_file"), "{client}: {said}");
    }
    let missing = over_tls(&database, &broker, &url, "nowhere", "client");
    let said = missing.refused_with_input(&enroll, &event).await;
    assert!(said.contains("nowhere.pem cannot be read"), "{said}");
    // A service waits for the right certificate, and says that it is not ready.
    let mut worker = over_tls(&database, &broker, &url, "stranger", "client").spawn(&["run"]);
    worker.wait_listening().await;
    wait_until("it tries again", DEADLINE, async || worker.stderr().matches("UnknownIssuer").count() > 1)
        .await;
    assert_eq!(worker.get("/readyz").await.0, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_reached_over_tls_with_certificates_on_both_sides() {
    let database = Database::postgres().await;
    // The server asks this one for a certificate.
    database.execute("CREATE ROLE certified SUPERUSER LOGIN").await;
    let (at, _) = database.url().split_once('?').expect("parameters");
    let at = at.replace("postgres@127.0.0.1", "certified@localhost");
    let store = |parameters: &[(&str, &str)]| {
        let parameters: Vec<String> =
            parameters.iter().map(|(name, file)| format!("{name}={}", tls_file(file))).collect();
        let url = format!("{at}?sslmode=verify-full&{}", parameters.join("&"));
        Reaper::new(&database).setting("store.url", &url)
    };
    let (trusted, identity) =
        (("sslrootcert", "ca.pem"), [("sslcert", "client.pem"), ("sslkey", "client.key")]);
    let reaper = store(&[&[trusted][..], &identity].concat());
    reaper.run(&["migrate"]).await;
    with_an_enrollment(&reaper).await;
    assert_eq!(reaper.contact(1, 1).await["state"], "live");

    let list = ["trash", "list", "--account", "1"];
    let said = store(&[trusted]).refused(&list).await;
    assert!(said.contains("certificate"), "{said}");
    let said = store(&[&[("sslrootcert", "stranger.pem")][..], &identity].concat()).refused(&list).await;
    assert!(said.contains("UnknownIssuer"), "{said}");
}
