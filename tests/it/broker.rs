//! The service and RabbitMQ: what is declared, what differs, what is set aside, and what a lost connection costs.

use lapin::types::AMQPValue;
use serde_json::{Value, json};

use crate::support::{Broker, DEADLINE, Database, Proxy, Reaper, Worker, records, wait_until};

const THIRTY_DAYS: i64 = 30 * 24 * 60 * 60 * 1000;

#[tokio::test]
async fn the_topology_is_the_one_of_the_contract_and_of_the_definitions_file() {
    let database = Database::sqlite();
    let broker = Broker::new().await;
    let mut worker = Reaper::new(&database).fed_by(&broker).spawn(&["run"]);
    worker.wait_ready().await;

    // The broker itself compares: it refuses a declaration that differs from what exists.
    let work = work_queue(&broker, 100);
    broker.declare_queue(&broker.queue(), &work).await.expect("the work queue as the contract has it");
    let other = work_queue(&broker, 99);
    assert!(broker.declare_queue(&broker.queue(), &other).await.is_err(), "the broker does not compare");
    broker.declare_topic_exchange(&broker.exchange()).await.expect("the exchange for enrollments");
    broker.declare_topic_exchange(&broker.own_name("contact.events")).await.expect("the exchange for events");
    assert!(broker.routes(&broker.exchange(), "contact.delete").await, "enrollments reach the queue");
    assert!(!broker.routes(&broker.exchange(), "contact.restore").await, "nothing else does");

    let file = include_str!("../../deploy/rabbitmq/definitions.json");
    let file: Value = serde_json::from_str(file).expect("the definitions are JSON");
    let list = |name: &str| file[name].as_array().expect("a list").clone();
    let names: Vec<String> = list("queues").iter().map(|queue| text(&queue["name"])).collect();
    let expected = [
        "contact-reaper.enrollments",
        "contact-reaper.retry.1s",
        "contact-reaper.retry.5s",
        "contact-reaper.retry.30s",
        "contact-reaper.retry.2m",
        "contact-reaper.retry.10m",
        "contact-reaper.dead-letters",
        "contact-reaper.records",
    ];
    assert_eq!(names, expected);
    for queue in list("queues") {
        let arguments = queue["arguments"].as_object().expect("an object");
        let arguments: Vec<(&str, AMQPValue)> = arguments
            .iter()
            .map(|(key, value)| match value {
                Value::String(name) => (key.as_str(), long(&broker.own_name(name))),
                Value::Bool(flag) => (key.as_str(), AMQPValue::Boolean(*flag)),
                number => (key.as_str(), AMQPValue::LongLongInt(number.as_i64().expect("a number"))),
            })
            .collect();
        let name = broker.own_name(&text(&queue["name"]));
        assert_eq!((&queue["durable"], &queue["vhost"]), (&json!(true), &json!("/")), "{name}");
        broker.declare_queue(&name, &arguments).await.expect("a queue as the service declared it");
    }
    for exchange in list("exchanges") {
        assert_eq!((&exchange["type"], &exchange["durable"]), (&json!("topic"), &json!(true)));
        broker.declare_topic_exchange(&broker.own_name(&text(&exchange["name"]))).await.expect("an exchange");
    }
    let bindings = list("bindings");
    let bound =
        |binding: &Value| ["source", "destination", "routing_key"].map(|member| text(&binding[member]));
    let expected = [
        ["workflow.enrollments", "contact-reaper.enrollments", "contact.delete"],
        ["crm.records", "contact-reaper.records", "record.#"],
    ];
    assert_eq!(bindings.iter().map(bound).collect::<Vec<_>>(), expected);
    let letters = [
        ("x-queue-type", long("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(1_000_000_000)),
        ("x-message-ttl", AMQPValue::LongLongInt(THIRTY_DAYS)),
    ];
    broker
        .declare_queue(&broker.dead_letter_queue(), &letters)
        .await
        .expect("dead letters, kept there for 30 days");
}

#[tokio::test]
async fn a_queue_that_exists_with_other_arguments_ends_the_run_with_one_sentence() {
    let database = Database::sqlite();
    let broker = Broker::new().await;
    broker.declare_queue(&broker.queue(), &work_queue(&broker, 50)).await.expect("declared by somebody else");
    let output = Reaper::new(&database)
        .fed_by(&broker)
        .setting("http.listen", "127.0.0.1:0")
        .setting("log.level", "off")
        .run(&["run"])
        .await;
    assert_eq!(output.code, 1, "{output:?}");
    let sentence = format!(
        "error: The queue '{}' exists in RabbitMQ with another x-delivery-limit ('50' there, '100' wanted): ",
        broker.queue()
    );
    assert!(output.stderr.starts_with(&sentence), "{}", output.stderr);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
}

#[tokio::test]
async fn what_is_malformed_is_set_aside_with_reason_and_place_and_the_queue_goes_on() {
    let scene = Scene::new(2).await;
    let mut worker = scene.reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let mut missing = records::event(1, 7, 1, 901);
    missing["data"].as_object_mut().expect("an object").remove("objectId");
    let mut other_type = records::event(1, 7, 1, 902);
    other_type["type"] = json!("something.else");
    let bodies = [
        (b"{ not JSON".to_vec(), "malformed", "body: not JSON at line 1 column 3"),
        (missing.to_string().into_bytes(), "malformed", "$.data.objectId: missing"),
        (
            other_type.to_string().into_bytes(),
            "unsupported_type",
            "$.type: only workflow.enrollment.created is understood",
        ),
        (vec![b'['; 256 * 1024 + 1], "too_large", "body: over the limit of 262144 bytes"),
    ];
    let published: Vec<&[u8]> = bodies.iter().map(|(body, ..)| body.as_slice()).collect();
    scene.broker.publish(&published).await;
    scene
        .broker
        .publish(&[records::event(1, 7, 1, 1).to_string(), records::event(1, 7, 2, 2).to_string()])
        .await;
    scene.wait_until_decided(2).await;
    wait_until("all are set aside", DEADLINE, async || {
        scene.database.count("dead_letters", "TRUE").await == 4
    })
    .await;
    let letters = scene.database.letters().await;
    for (body, reason, detail) in bodies {
        let letter = letters.iter().find(|letter| letter.body == body).expect("the body, unchanged");
        let found = [&letter.reason, &letter.detail, &letter.attempts, &letter.exchange, &letter.routing_key];
        assert_eq!(found, [reason, detail, "0", &scene.broker.exchange(), "contact.delete"]);
    }
}

/// The beginning of an oversized message is kept: an erasure has to search it. Its last word may be half an address.
#[tokio::test]
async fn oversized_message_is_cut_and_does_not_delay_others() {
    let scene = Scene::new(2).await;
    scene.reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "2", "--confirm", "1"]).await;
    let mut worker = scene.reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let addresses: Vec<String> = (0..60_000).map(|it| format!("u{it}@m{it}.example")).collect();
    let oversized = addresses.join(" ").into_bytes();
    assert!(oversized.len() > 1024 * 1024);
    scene.broker.publish(&[&oversized[..], records::event(1, 7, 1, 1).to_string().as_bytes()]).await;
    scene.wait_until_decided(1).await;
    wait_until("it is set aside", DEADLINE, async || scene.database.letters().await.len() == 1).await;
    let [letter] = &scene.database.letters().await[..] else { panic!("one dead letter") };
    assert_eq!((letter.reason.as_str(), letter.body.len()), ("too_large", 256 * 1024 + 1));
    let kept = letter.body.trim_ascii_end();
    assert!(oversized.starts_with(kept) && oversized[kept.len()] == b' ', "whole words");
}

#[tokio::test]
async fn enroll_publishes_every_line_and_says_how_many_were_confirmed() {
    let broker = Broker::new().await;
    // No store is needed to publish, and no worker has to run.
    let reaper = Reaper::new(&Database::sqlite()).fed_by(&broker);
    let events: Vec<Value> = (1..=5).map(|number| records::event(1, 7, number, number)).collect();
    let output = reaper.run_with_input(&["enroll", "-"], &(records::lines(&events) + "\n")).await;
    assert_eq!((output.code, output.stdout.trim()), (0, "5 events confirmed"), "{}", output.stderr);
    let output = reaper.run_with_input(&["--json", "enroll", "-"], &records::lines(&events[..2])).await;
    let document: Value = serde_json::from_str(&output.stdout).expect("one JSON document");
    assert_eq!(document, json!({"confirmed": 2, "failures": []}));
    let bodies: Vec<Value> = broker
        .drain(&broker.queue())
        .await
        .iter()
        .map(|message| serde_json::from_slice(&message.body).expect("the line as it was"))
        .collect();
    assert_eq!(bodies, [&events[..], &events[..2]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_in_hand_when_the_connection_breaks_are_decided_once() {
    let scene = Scene::new(600).await;
    let mut proxy = Proxy::new(&scene.broker.host());
    proxy.open();
    let reaper = scene.through(&proxy, "guest:guest").setting("pipeline.batch_size", "20");
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let events: Vec<String> = (1..=600).map(|id| records::event(1, 7, id, id).to_string()).collect();
    let cuts = async {
        for decided in [50, 150, 250, 350] {
            // A worker that is connecting again may have nothing to cut yet.
            wait_until("connections are cut", DEADLINE, async || {
                scene.decided().await >= decided && proxy.cut() > 0
            })
            .await;
        }
    };
    tokio::join!(scene.broker.publish(&events), cuts);
    scene.wait_until_decided(600).await;
    // The last cut may have come late: what was in hand then, and is decided, is still on its way back.
    wait_until("all are settled", DEADLINE, async || {
        worker.terminate();
        assert_eq!(worker.exit(DEADLINE).await.code(), Some(0), "{}", worker.stderr());
        let left = scene.broker.count(&scene.broker.queue()).await;
        if left > 0 {
            worker = reaper.spawn(&["run"]);
            worker.wait_ready().await;
        }
        left == 0
    })
    .await;
    assert_eq!(scene.database.count("dead_letters", "TRUE").await, 0);
    let entries =
        "SELECT CAST(count(*) AS text), CAST(count(DISTINCT contact_id) AS text) FROM trash_entries";
    assert_eq!(scene.database.rows(entries).await, [["600", "600"]]);
}

#[tokio::test]
async fn the_service_starts_without_the_broker_and_gets_ready_when_it_comes() {
    let scene = Scene::new(1).await;
    let mut proxy = Proxy::new(&scene.broker.host());
    let mut worker = scene.through(&proxy, "guest:guest").spawn(&["run"]);
    worker.wait_listening().await;
    said_times(&worker, "cannot be reached", 2).await;
    let (status, body) = worker.get("/readyz").await;
    assert_eq!((status, body.contains("the feed is not connected")), (503, true), "{body}");
    assert_eq!(worker.get("/startupz").await.0, 200);
    proxy.open();
    worker.wait_ready().await;
    scene.broker.publish(&[records::event(1, 7, 1, 1).to_string()]).await;
    scene.wait_until_decided(1).await;

    assert_eq!(reconnects(&worker).await, "0", "it was never connected before");

    proxy.close().await;
    wait_until("it says that the broker is gone", DEADLINE, async || worker.get("/readyz").await.0 == 503)
        .await;
    proxy.open();
    worker.wait_ready().await;
    assert_eq!(reconnects(&worker).await, "1");
}

async fn reconnects(worker: &Worker) -> String {
    let metrics = worker.metrics().await;
    let mut values =
        metrics.lines().filter_map(|line| line.strip_prefix("contact_reaper_feed_reconnects_total "));
    values.next().expect("counted from the start").to_owned()
}

#[tokio::test]
async fn a_wrong_password_is_said_clearly_tried_again_and_never_printed() {
    let scene = Scene::new(1).await;
    let mut proxy = Proxy::new(&scene.broker.host());
    proxy.open();
    let mut worker =
        scene.through(&proxy, "guest:hunter2hunter2").setting("log.level", "debug").spawn(&["run"]);
    worker.wait_listening().await;
    said_times(&worker, "refused the user name or the password", 2).await;
    assert_eq!(worker.get("/readyz").await.0, 503);
    assert_eq!(worker.get("/livez").await.0, 200);
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0), "{}", worker.stderr());
    assert!(!worker.stderr().contains("hunter2"), "the password is in the log:\n{}", worker.stderr());
}

async fn said_times(worker: &Worker, sentence: &str, times: usize) {
    wait_until(sentence, DEADLINE, async || worker.stderr().matches(sentence).count() >= times).await;
}

/// One account, one workflow (7) that deletes everybody, contacts from 1 on.
struct Scene {
    database: Database,
    broker: Broker,
    reaper: Reaper,
}

impl Scene {
    async fn new(contacts: i64) -> Self {
        let (database, broker) = (Database::sqlite(), Broker::new().await);
        let reaper = Reaper::new(&database).fed_by(&broker).unguarded();
        let mut world = records::entitled_account(1);
        let everybody =
            records::all_of(&[records::property("email", "ALL_PROPERTY", "IS_KNOWN", json!(null))]);
        world.push(records::workflow(1, 7, &everybody));
        world.extend((1..=contacts).map(|id| records::contact(1, id, json!({}))));
        reaper.import(&world).await;
        Self { database, broker, reaper }
    }

    /// The service, with a proxy between it and the broker.
    fn through(&self, proxy: &Proxy, user: &str) -> Reaper {
        let url = format!("amqp://{user}@{}/%2f", proxy.address());
        self.reaper
            .clone()
            .setting("feed.rabbitmq.url", &url)
            .setting("feed.rabbitmq.max_reconnect_delay", "500ms")
    }

    async fn decided(&self) -> usize {
        let rows = self.database.rows("SELECT CAST(count(*) AS text) FROM ledger").await;
        rows[0][0].parse().expect("a count")
    }

    async fn wait_until_decided(&self, count: usize) {
        wait_until("all are decided", DEADLINE, async || self.decided().await == count).await;
    }
}

/// The work queue's arguments as the contract has them, with some delivery limit.
fn work_queue(broker: &Broker, delivery_limit: i64) -> Vec<(&'static str, AMQPValue)> {
    vec![
        ("x-queue-type", long("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(delivery_limit)),
        ("x-dead-letter-exchange", long("")),
        ("x-dead-letter-routing-key", long(&broker.dead_letter_queue())),
        ("x-dead-letter-strategy", long("at-least-once")),
        ("x-overflow", long("reject-publish")),
    ]
}

fn long(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
