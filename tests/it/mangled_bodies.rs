//! Bodies of every kind of wrong: none ends the service, none blocks the queue, each that is no event is set aside with a
//! reason that helps. `REAPER_BODIES=100000` sends more than the usual number.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::model::Dice;
use crate::support::messages::{batch, binary, gzip, typed};
use crate::support::records::{entitled_account, event, manual_workflow};
use crate::support::{Broker, Database, Reaper, Worker, records, wait_until};

const BODIES: usize = 2_000;
const DEADLINE: Duration = Duration::from_mins(20);
const REASONS: [&str; 4] = ["malformed", "unsupported_type", "too_large", "conflicting_duplicate"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_ends_the_service_or_blocks_the_queue_and_each_gets_its_answer() {
    let count = bodies();
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = world(&database, &broker).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;

    let mut dice = Dice::new(0x5eed);
    let mut sent: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut left = count;
    while left > 0 {
        let bodies: Vec<Vec<u8>> = (0..left.min(2_000)).map(|_| mangled(&mut dice)).collect();
        left -= bodies.len();
        broker.publish(&bodies).await;
        for body in bodies {
            *sent.entry(body).or_default() += 1;
        }
    }
    wait_until("all have their answer", DEADLINE, async || answered(&worker).await == count).await;
    the_queue_goes_on(&database, &broker).await;
    worker.terminate();
    assert_eq!(worker.exit(Duration::from_mins(1)).await.code(), Some(0));
    assert!(!worker.stderr().contains("panick"), "{}", worker.stderr());
    assert_eq!(broker.count(&broker.queue()).await, 0);

    let mut set_aside = 0;
    for letter in database.letters().await {
        set_aside += 1;
        let (reason, detail) = (letter.reason.as_str(), &letter.detail);
        let place =
            detail.split_once(": ").map(|(place, says)| (place == "body" || place.starts_with('$'), says));
        assert!(
            REASONS.contains(&reason) && place.is_some_and(|(known, says)| known && !says.is_empty()),
            "{detail}"
        );
        assert!(!detail.contains("Quimby"), "{detail}");
        let whole = sent.get(&letter.body).filter(|times| **times > 0).map(|_| letter.body.clone());
        let body = whole.or_else(|| cut(&letter.body, &sent));
        let body = body.unwrap_or_else(|| panic!("a body that was not sent: {detail}"));
        sent.entry(body).and_modify(|times| *times -= 1);
    }
    assert!(
        set_aside > count / 2 && set_aside < count,
        "{set_aside} of {count}: too few or too many to tell anything"
    );
}

fn bodies() -> usize {
    env::var("REAPER_BODIES").map_or(BODIES, |count| count.parse().expect("a number"))
}

/// An account with a workflow that people put contacts into, and two contacts.
async fn world(database: &Database, broker: &Broker) -> Reaper {
    let reaper = Reaper::new(database).fed_by(broker);
    let contacts = [1, 2].map(|id| records::contact(1, id, json!({})));
    reaper.import(&[entitled_account(1), vec![manual_workflow(1, 6)], contacts.to_vec()].concat()).await;
    reaper
}

/// One good event after all the others is decided.
async fn the_queue_goes_on(database: &Database, broker: &Broker) {
    let mut good = event(1, 6, 2, 1_000_000);
    good["data"]["cause"] = json!("MANUAL");
    broker.publish(&[good.to_string()]).await;
    wait_until("the queue goes on", DEADLINE, async || {
        database.count("ledger", "object_id = 2 AND enrollment_id = 1000000").await == 1
    })
    .await;
}

/// A longer body that begins with this one: of a body over 256 KiB the beginning is kept, without the last word.
fn cut(kept: &[u8], sent: &BTreeMap<Vec<u8>, usize>) -> Option<Vec<u8>> {
    let words = kept.trim_ascii_end();
    let begins = |body: &[u8]| body.len() > kept.len() && body.starts_with(words);
    let found = sent.iter().find(|(body, times)| **times > 0 && begins(body));
    found.filter(|_| kept.len() == 256 * 1024 + 1).map(|(body, _)| body.clone())
}

/// Decided, decided before, or set aside.
async fn answered(worker: &Worker) -> usize {
    let metrics = worker.metrics().await;
    let counted = metrics.lines().filter(|line| {
        line.starts_with("contact_reaper_enrollments_total{")
            || line.starts_with("contact_reaper_dead_letters_total{")
    });
    counted
        .map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok()).expect("a count"))
        .sum()
}

/// An event with something done to it, or nothing like an event.
fn mangled(dice: &mut Dice) -> Vec<u8> {
    let enrollment = i64::try_from(1 + dice.roll(500_000)).expect("a small number");
    let mut event = event(1, 6, 1, enrollment);
    event["data"]["cause"] = json!("MANUAL");
    event["data"]["name"] = json!("Zebedee Quimby");
    match dice.roll(8) {
        0 => (0..dice.roll(300)).map(|_| byte(dice)).collect(),
        1 => torn(event.to_string().into_bytes(), dice),
        2 => flipped(event.to_string().into_bytes(), dice),
        3 => without(event, dice).to_string().into_bytes(),
        4 => deep(dice),
        5 => twice(&event.to_string(), dice),
        6 => padded(event, dice),
        _ => replaced(event, dice).to_string().into_bytes(),
    }
}

fn byte(dice: &mut Dice) -> u8 {
    u8::try_from(dice.roll(256)).expect("a byte")
}

fn torn(mut body: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    body.truncate(dice.roll(body.len()));
    body
}

fn flipped(mut body: Vec<u8>, dice: &mut Dice) -> Vec<u8> {
    for _ in 0..=dice.roll(4) {
        let place = dice.roll(body.len());
        match dice.roll(3) {
            0 => body[place] = byte(dice),
            1 => drop(body.remove(place)),
            _ => body.insert(place, b"\"{}[],:\\0-e\0\xff"[dice.roll(13)]),
        }
    }
    body
}

/// A member of the event or of its data.
fn member<'a>(event: &'a mut Value, dice: &mut Dice) -> (&'a mut serde_json::Map<String, Value>, String) {
    let object = if dice.roll(4) == 0 { event } else { &mut event["data"] };
    let members = object.as_object_mut().expect("an object");
    let name = members.keys().nth(dice.roll(members.len())).expect("it has members").clone();
    (members, name)
}

fn without(mut event: Value, dice: &mut Dice) -> Value {
    let (members, name) = member(&mut event, dice);
    members.remove(&name);
    event
}

fn replaced(mut event: Value, dice: &mut Dice) -> Value {
    let hostile = [
        json!(null),
        json!(""),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!("9223372036854775808"),
        json!(" 7"),
        json!("007"),
        json!("７"),
        json!("\u{0}"),
        json!("Quimby\u{202e}"),
        json!(true),
        json!([]),
        json!({}),
        json!({"Quimby": ["7"]}),
        json!("2026-02-30T00:00:00Z"),
        json!("9999-12-31T23:59:60Z"),
        json!("0000-01-01T00:00:00+23:59"),
        json!("EVENT"),
        json!("0-2"),
        json!("x".repeat(5000)),
    ];
    let (members, name) = member(&mut event, dice);
    members.insert(name, hostile[dice.roll(hostile.len())].clone());
    event
}

/// Brackets deeper than anybody nests.
fn deep(dice: &mut Dice) -> Vec<u8> {
    let depth = dice.roll(100_000);
    let (open, close) = if dice.roll(2) == 0 { ("[", "]") } else { (r#"{"data":"#, "}") };
    let body = open.repeat(depth) + if dice.roll(2) == 0 { "" } else { "1" };
    (body + &close.repeat(dice.roll(depth + 1))).into_bytes()
}

/// A member that stands there twice, or a whole event that does.
fn twice(event: &str, dice: &mut Dice) -> Vec<u8> {
    match dice.roll(3) {
        0 => format!("{event}{event}").into_bytes(),
        1 => event.replacen("\"accountId\"", "\"accountId\":\"2\",\"accountId\"", 1).into_bytes(),
        _ => event.replacen("\"accountId\"", "\"portalId\":\"2\",\"accountId\"", 1).into_bytes(),
    }
}

/// Around the limit of 256 KiB.
fn padded(mut event: Value, dice: &mut Dice) -> Vec<u8> {
    event["padding"] = json!("");
    let room = 256 * 1024 - event.to_string().len();
    event["padding"] =
        json!("p".repeat(if dice.roll(20) == 0 { room + dice.roll(3) } else { dice.roll(2000) }));
    event.to_string().into_bytes()
}

/// A message in one of the modes of CloudEvents, its body, its attributes or what it says of itself mangled.
fn message(dice: &mut Dice) -> (Vec<u8>, BasicProperties) {
    let (body, properties) = match dice.roll(3) {
        0 => typed(mangled(dice), "application/cloudevents+json"),
        1 => {
            let events: Vec<String> =
                (0..dice.roll(6)).map(|_| String::from_utf8_lossy(&mangled(dice)).into_owned()).collect();
            batch(&events)
        }
        _ => {
            let mut event = event(1, 6, 1, i64::try_from(1 + dice.roll(500_000)).expect("a small number"));
            event["data"]["name"] = json!("Zebedee Quimby");
            if dice.roll(2) == 0 {
                event["data"] = replaced(event.clone(), dice)["data"].clone();
            }
            let (data, mut properties) =
                binary(&event, ["cloudEvents:", "cloudEvents_", "ce-"][dice.roll(3)]);
            if dice.roll(2) == 0 {
                let mut headers = properties.headers().clone().unwrap_or_default();
                headers.insert(
                    ["cloudEvents:id", "cloudEvents_type", "cloudEvents:data"][dice.roll(3)].into(),
                    header(dice),
                );
                properties = properties.with_headers(headers);
            }
            (if dice.roll(3) == 0 { torn(data, dice) } else { data }, properties)
        }
    };
    match dice.roll(6) {
        0 => (gzip(&body), properties.with_content_encoding("gzip".into())),
        1 => (flipped(gzip(&body), dice), properties.with_content_encoding("gzip".into())),
        2 => {
            let kinds =
                ["", "application/cloudevents", "application/cloudevents+avro", "Application/JSON;", "\u{0}"];
            (body, properties.with_content_type(kinds[dice.roll(kinds.len())].into()))
        }
        _ => (body, properties),
    }
}

fn header(dice: &mut Dice) -> AMQPValue {
    match dice.roll(5) {
        0 => AMQPValue::Void,
        1 => AMQPValue::LongLongInt(-1),
        2 => AMQPValue::ByteArray(vec![0, 255].into()),
        3 => AMQPValue::FieldTable(FieldTable::default()),
        _ => AMQPValue::LongString(vec![b'Q', 0xff, 0].into()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_in_any_mode_ends_the_service_or_blocks_the_queue() {
    let count = bodies();
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = world(&database, &broker).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let mut dice = Dice::new(0xce);
    let mut left = count;
    while left > 0 {
        let messages: Vec<_> = (0..left.min(500)).map(|_| message(&mut dice)).collect();
        left -= messages.len();
        broker.publish_with(&messages).await;
    }
    the_queue_goes_on(&database, &broker).await;
    worker.terminate();
    assert_eq!(worker.exit(Duration::from_mins(1)).await.code(), Some(0));
    assert!(!worker.stderr().contains("panick"), "{}", worker.stderr());
    assert_eq!(broker.count(&broker.queue()).await, 0, "each is settled");
    let letters = database.letters().await;
    assert!(letters.len() > count / 3, "{} of {count}: too few to tell anything", letters.len());
    for letter in letters {
        assert!(
            REASONS.contains(&letter.reason.as_str()) && !letter.detail.contains("Quimby"),
            "{}",
            letter.detail
        );
    }
    assert!(database.count("ledger", "TRUE").await > 1, "some were sound");
}
