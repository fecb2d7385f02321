//! `docs/asyncapi.json`, held against real messages: what it allows is taken, what it forbids is set aside, and what
//! leaves is as it says.

use serde_json::{Value, json};

use crate::support::records::{entitled_account, event, seconds_ago};
use crate::support::{Broker, DEADLINE, Database, Reaper, complaints, wait_until};

pub fn document() -> Value {
    serde_json::from_str(include_str!("../../docs/asyncapi.json")).expect("JSON")
}

/// The schema of a message's part: its payload or its headers.
pub fn schema(message: &str, part: &str) -> String {
    format!("#/components/messages/{message}/{part}")
}

/// An event with a change to it.
fn changed(enrollment: i64, change: impl FnOnce(&mut Value)) -> Value {
    let mut event = event(1, 6, 1, enrollment);
    change(&mut event);
    event
}

/// Every shape that the page allows.
fn allowed() -> Vec<Value> {
    let when = seconds_ago(0).replace('Z', "+00:00");
    vec![
        changed(1, |_| {}),
        changed(2, |event| {
            let data = event["data"].as_object_mut().expect("an object");
            data.remove("accountId");
            data.insert("portalId".to_owned(), json!(1));
            data.insert("objectId".to_owned(), json!(9_223_372_036_854_775_807_i64));
        }),
        changed(3, |event| {
            event["data"]["cause"] = json!("EVENT");
            event["data"]["event"] =
                json!({"eventTypeId": "6-1", "occurredAt": when, "properties": {"plan": "gold", "seats": 3}});
        }),
        changed(4, |event| {
            event["data"]["cause"] = json!("RE_ENROLLMENT");
            event["data"]["enrolledAt"] = json!(when);
            event["data"]["later"] = json!([null]);
            event["extension"] = json!(true);
        }),
        changed(5, |event| {
            event["data"]["cause"] = json!("MANUAL");
            event["data"]["objectTypeId"] = json!("2-12345678");
            event["data"]["objectId"] = json!("9007199254740993");
        }),
    ]
}

/// An event with each of its members missing, and with others that are not as they must be.
fn forbidden() -> Vec<Value> {
    let sound = event(1, 6, 1, 99);
    let mut found = Vec::new();
    for member in ["specversion", "id", "source", "type", "data"] {
        let mut event = sound.clone();
        event.as_object_mut().expect("an object").remove(member);
        found.push(event);
    }
    for member in sound["data"].as_object().expect("an object").keys() {
        let mut event = sound.clone();
        event["data"].as_object_mut().expect("an object").remove(member);
        found.push(event);
    }
    let wrong = [
        ("/specversion", json!("0.3")),
        ("/id", json!("")),
        ("/type", json!("workflow.enrollment.removed")),
        ("/data", json!("accountId=1")),
        ("/data/accountId", json!("-1")),
        ("/data/accountId", Value::Null),
        ("/data/enrollmentId", json!("099")),
        ("/data/objectId", json!(1.5)),
        ("/data/objectId", json!(0)),
        ("/data/objectTypeId", json!("a contact")),
        ("/data/enrolledAt", json!("yesterday")),
        ("/data/enrolledAt", json!(1_795_000_000)),
        ("/data/cause", json!("BIRTHDAY")),
        ("/data/cause", json!("EVENT")),
    ];
    for (place, value) in wrong {
        let mut event = sound.clone();
        *event.pointer_mut(place).expect("it is there") = value;
        found.push(event);
    }
    found.push(json!([]));
    found
}

/// The headers of all that the broker moved, with the schema for them.
async fn moved(broker: &Broker) -> Vec<(String, Value)> {
    let typed = |(name, value): (String, String)| (name, json!(value));
    let letters = broker.drain(&broker.dead_letter_queue()).await.into_iter();
    letters
        .map(|letter| {
            (schema("deadLetterOfTheBroker", "headers"), letter.headers.into_iter().map(typed).collect())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_takes_what_the_document_allows_and_sets_aside_what_it_forbids() {
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = Reaper::new(&database).fed_by(&broker).setting("feed.rabbitmq.delivery_limit", "2");
    reaper.import(&entitled_account(1)).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let (allowed, forbidden) = (allowed(), forbidden());
    let bodies: Vec<String> = allowed.iter().chain(&forbidden).map(Value::to_string).collect();
    broker.publish(&bodies).await;
    let letters = broker.dead_letter_queue();
    wait_until("all are settled", DEADLINE, async || {
        let decided = database.count("ledger", "TRUE").await;
        decided == 5 && database.letters().await.len() == forbidden.len()
    })
    .await;

    let payload = schema("enrollment", "payload");
    let mut judged: Vec<(String, Value)> =
        allowed.iter().chain(&forbidden).map(|event| (payload.clone(), event.clone())).collect();
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0), "{}", worker.stderr());
    broker.publish(&bodies[..1]).await;
    for _ in 0..3 {
        broker.take_and_give_back(&broker.queue()).await;
    }
    wait_until("the broker moves it", DEADLINE, async || broker.count(&letters).await == 1).await;
    judged.extend(moved(&broker).await);
    let complaints = complaints(&document(), &judged);
    assert_eq!(judged.len(), bodies.len() + 1);
    for (number, (complaint, (_, value))) in complaints.iter().zip(&judged).enumerate() {
        let is_forbidden = (allowed.len()..bodies.len()).contains(&number);
        assert_eq!(complaint.is_some(), is_forbidden, "{value}: {complaint:?}");
    }
}

#[test]
fn the_document_names_what_the_service_declares() {
    let document = document();
    let definitions: Value =
        serde_json::from_str(include_str!("../../deploy/rabbitmq/definitions.json")).expect("JSON");
    let amqp = |channel: &str| document["channels"][channel]["bindings"]["amqp"].clone();
    let exchanges = ["enrollments", "events", "records"].map(|channel| amqp(channel)["exchange"].clone());
    for (said, declared) in exchanges.iter().zip(definitions["exchanges"].as_array().expect("a list")) {
        for member in ["name", "type", "durable", "vhost"] {
            assert_eq!(said[member], declared[member]);
        }
    }
    assert_eq!(document["channels"]["enrollments"]["address"], definitions["bindings"][0]["routing_key"]);
    assert_eq!(definitions["bindings"][1]["source"], amqp("records")["exchange"]["name"]);
    let queues = definitions["queues"].as_array().expect("a list");
    let letters = amqp("deadLetters")["queue"]["name"].clone();
    assert!(queues.iter().any(|queue| queue["name"] == letters), "{letters}");
}
