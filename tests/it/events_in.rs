//! What an enrollment event may look like: read in every mode, and never where it says two things.

use lapin::BasicProperties;
use lapin::types::AMQPValue;
use serde_json::{Value, json};

use crate::support::messages::{attributes, batch, binary, gzip, in_base64, typed};
use crate::support::records::{contact, entitled_account, event, manual_workflow, seconds_ago};
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, on_both, wait_until};

/// Account 1, entitled, with a workflow 6 that enrolls by hand and contacts 1 to 20.
async fn with_contacts(reaper: &Reaper) {
    let mut records = entitled_account(1);
    records.push(manual_workflow(1, 6));
    records.extend((1..=20).map(|id| contact(1, id, json!({}))));
    reaper.import(&records).await;
}

fn by_hand(contact: i64, enrollment: i64) -> Value {
    let mut event = event(1, 6, contact, enrollment);
    event["data"]["cause"] = json!("MANUAL");
    event
}

/// Reasons and details of what was set aside, sorted.
async fn set_aside(db: &Database) -> Vec<[String; 2]> {
    let rows = db.rows("SELECT reason, detail FROM dead_letters ORDER BY detail, dead_letter_id").await;
    rows.into_iter().map(|row| row.try_into().expect("two columns")).collect()
}

async fn started(reaper: &Reaper) -> Worker {
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    worker
}

on_both!(an_event_that_says_two_things_deletes_neither, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    with_contacts(&reaper).await;
    // One event a line, numbered as its contact: the member, and what stands before it.
    let twice = [
        ("\"objectId\":", "\"objectId\":\"11\",", "$.data.objectId"),
        ("\"objectId\":", "\"objectI\\u0064\":\"12\",", "$.data.objectId"),
        ("\"workflowId\":", "\"workflowId\":7,", "$.data.workflowId"),
        ("\"cause\":", "\"cause\":\"CRITERIA\",", "$.data.cause"),
        ("\"enrolledAt\":", "\"enrolledAt\":null,", "$.data.enrolledAt"),
        ("\"data\":", "\"data\":{\"accountId\":\"1\"},", "$.data"),
        ("\"type\":", "\"type\":\"workflow.enrollment.removed\",", "$.type"),
        ("\"source\":", "\"later\":[{\"x\":1,\"x\":1}],", "$.later[0].x"),
    ];
    let mut lines: Vec<String> = Vec::new();
    for (number, (member, before, _)) in (1..).zip(twice) {
        let event = by_hand(number, number).to_string();
        assert!(event.contains(member), "{event}");
        lines.push(event.replace(member, &format!("{before}{member}")));
    }
    let mut both = in_base64(by_hand(9, 9));
    both["data"] = by_hand(10, 9)["data"].clone();
    lines.push(both.to_string());
    reaper.decide_lines(&lines.join("\n")).await;
    let mut expected: Vec<String> = twice.iter().map(|(_, _, at)| format!("{at}: is there twice")).collect();
    expected.push("$.data_base64: stands beside data".to_owned());
    expected.sort();
    let found = set_aside(&db).await;
    assert!(found.iter().all(|[reason, _]| reason == "malformed"), "{found:?}");
    assert_eq!(found.into_iter().map(|[_, detail]| detail).collect::<Vec<_>>(), expected);
    assert_eq!(
        (db.count("ledger", "TRUE").await, db.count("contacts", "deleted_at IS NOT NULL").await),
        (0, 0)
    );
    // The account that they name is told where it is one.
    assert_eq!(db.count("dead_letters", "account_id = 1").await, 7);
});

on_both!(an_enrollment_from_a_clock_that_is_ahead_was_made_now, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    with_contacts(&reaper).await;
    reaper.json(&["pause"]).await;
    let mut ahead = by_hand(1, 1);
    ahead["data"]["enrolledAt"] = json!(seconds_ago(-240));
    reaper.decide(&[ahead]).await;
    assert_eq!(reaper.decision(1, 1).await["reason"], "paused");
    assert_eq!(db.count("ledger", "enrolled_at = decided_at").await, 1);
    // Brought back after it was enrolled: as good as withdrawn.
    reaper.delete(1, 1).await;
    reaper.restore(1, 1).await;
    reaper.json(&["resume"]).await;
    reaper.decide(&[]).await;
    assert_eq!(reaper.decision(1, 1).await["reason"], "restored_since_enrollment");
    assert_eq!(reaper.state(1, 1).await, "live");
});

on_both!(every_mode_is_read, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).unguarded().fed_by(&broker);
    with_contacts(&reaper).await;
    let mut worker = started(&reaper).await;
    let text = |contact: i64| by_hand(contact, contact).to_string();
    let marked = |text: &str| format!("\u{feff}{text}").into_bytes();
    let (packed_binary, packed) = binary(&by_hand(7, 7), "cloudEvents:");
    let structured = "application/cloudevents+json";
    broker
        .publish_with(&[
            typed(text(1).into_bytes(), "Application/CloudEvents+JSON; charset=UTF-8"),
            typed(marked(&text(2)), structured),
            typed(in_base64(by_hand(3, 3)).to_string().into_bytes(), structured),
            binary(&by_hand(4, 4), "cloudEvents:"),
            binary(&by_hand(5, 5), "cloudEvents_"),
            (gzip(text(6).as_bytes()), BasicProperties::default().with_content_encoding("gzip".into())),
            (gzip(&packed_binary), packed.with_content_encoding("GZIP".into())),
            batch(&[text(8), text(9), in_base64(by_hand(10, 10)).to_string()]),
            batch(&[]),
            (gzip(&marked(&format!("[{}]", text(11)))), batch(&[]).1.with_content_encoding("gzip".into())),
            (marked(&by_hand(12, 12)["data"].to_string()), binary(&by_hand(12, 12), "cloudEvents:").1),
        ])
        .await;
    wait_until("all are decided", DEADLINE, async || db.count("ledger", "TRUE").await == 12).await;
    assert_eq!(db.count("ledger", "outcome = 'deleted' AND object_id = enrollment_id").await, 12);
    assert_eq!(set_aside(&db).await, [] as [[String; 2]; 0]);
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
    assert_eq!(broker.count(&broker.queue()).await, 0, "each message is settled, the empty batch too");
});

on_both!(each_event_of_a_batch_is_decided_by_itself, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).unguarded().fed_by(&broker);
    with_contacts(&reaper).await;
    let mut worker = started(&reaper).await;
    let text = |contact: i64| by_hand(contact, contact).to_string();
    let mut other_type = by_hand(3, 3);
    other_type["type"] = json!("workflow.enrollment.removed");
    let twice = text(4).replace("\"objectId\":", "\"objectId\":\"5\",\"objectId\":");
    let events = [text(1), "7".to_owned(), other_type.to_string(), twice.clone(), text(1), text(6)];
    broker.publish_with(&[batch(&events), batch(&["{}".to_owned(), "{}".to_owned()])]).await;
    wait_until("all are set aside", DEADLINE, async || db.count("dead_letters", "TRUE").await == 5).await;
    wait_until("all are decided", DEADLINE, async || db.count("ledger", "TRUE").await == 2).await;
    assert_eq!(db.count("ledger", "outcome = 'deleted' AND object_id IN (1, 6)").await, 2);
    let expected = [
        ["malformed", "$.data.objectId: is there twice"],
        ["malformed", "$.specversion: missing"],
        ["malformed", "$.specversion: missing"],
        ["unsupported_type", "$.type: only workflow.enrollment.created is understood"],
        ["malformed", "$: must be an object"],
    ];
    let mut found = set_aside(&db).await;
    let mut expected: Vec<[String; 2]> = expected.into_iter().map(|row| row.map(str::to_owned)).collect();
    // Databases do not agree on the order of signs.
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // Each letter is one event, and no longer a batch: mended, it can be replayed alone.
    let letters = "content_type = 'application/cloudevents+json'";
    assert_eq!(db.count("dead_letters", letters).await, 5);
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
    assert_eq!(broker.count(&broker.queue()).await, 0);
});

on_both!(what_no_mode_explains_is_set_aside_whole, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).unguarded().fed_by(&broker);
    with_contacts(&reaper).await;
    let mut worker = started(&reaper).await;
    let sound = by_hand(1, 1);
    let headers = |name: &str, value: AMQPValue| {
        let mut headers = attributes(&sound, "cloudEvents:");
        headers.insert(name.into(), value);
        let data = sound["data"].to_string().into_bytes();
        (data, BasicProperties::default().with_delivery_mode(2).with_headers(headers))
    };
    let text = |text: &str| AMQPValue::LongString(text.into());
    let encoded = |body: &[u8], encoding: &str| {
        (body.to_vec(), BasicProperties::default().with_content_encoding(encoding.into()))
    };
    let (data, properties) = binary(&sound, "cloudEvents:");
    let spliced = format!("{},\"data\":{}", String::from_utf8(data).unwrap(), by_hand(2, 1)["data"]);
    let bomb = gzip(&vec![b' '; 50 * 1024 * 1024]);
    let messages = [
        (headers("cloudEvents_id", text("other")), "malformed", "$.id: is there twice"),
        (headers("cloudEvents:type", text("x")), "unsupported_type", "$.type: only "),
        (headers("cloudEvents:specversion", text("0.3")), "malformed", "$.specversion: "),
        (headers("cloudEvents:id", AMQPValue::Boolean(true)), "malformed", "$.id: must be"),
        (
            binary(
                &json!({"specversion": "1.0", "id": "x", "source": "/x", "type": "workflow.enrollment.created",
            "time": "now", "data": sound}),
                "cloudEvents:",
            ),
            "malformed",
            "$.data.cause: missing",
        ),
        ((spliced.into_bytes(), properties), "malformed", "$.data: not JSON at line 1"),
        (batch(&["{".to_owned()]), "malformed", "body: not JSON at line 1"),
        (
            typed(sound.to_string().into_bytes(), "application/cloudevents-batch+json"),
            "malformed",
            "$: must be a list",
        ),
        (
            typed(sound.to_string().into_bytes(), "application/cloudevents+xml"),
            "malformed",
            "content-type: must be",
        ),
        (encoded(sound.to_string().as_bytes(), "gzip"), "malformed", "body: not gzip"),
        (encoded(sound.to_string().as_bytes(), "br"), "malformed", "content-encoding: only gzip"),
        (encoded(&bomb, "gzip"), "too_large", "body: over the limit of 262144 bytes"),
    ];
    assert!(bomb.len() < 256 * 1024, "a bomb that goes through the door");
    broker.publish_with(&messages.iter().map(|(message, ..)| message.clone()).collect::<Vec<_>>()).await;
    let count = i64::try_from(messages.len()).unwrap();
    wait_until("all are set aside", DEADLINE, async || db.count("dead_letters", "TRUE").await == count).await;
    let found = set_aside(&db).await;
    for (_, reason, place) in &messages {
        assert!(
            found.iter().any(|[is, at]| is == reason && at.starts_with(place)),
            "{reason} {place}: {found:?}"
        );
    }
    // Nobody who looks for a person has to unpack it again and again.
    let letters = db.letters().await;
    let kept = letters.iter().find(|letter| letter.reason == "too_large").unwrap();
    assert_eq!((kept.body.len(), kept.body[0]), (256 * 1024 + 1, b' '), "its unpacked beginning");
    assert_eq!((db.count("ledger", "TRUE").await, reaper.state(1, 1).await), (0, "live".to_owned()));
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
    assert!(!worker.stderr().contains("panick"), "{}", worker.stderr());
});

// A letter has no headers: what a binary event says in them must not be lost on the way back to work.
on_both!(a_binary_event_that_was_set_aside_can_be_replayed, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).unguarded().fed_by(&broker).setting("feed.rabbitmq.delivery_limit", "2");
    with_contacts(&reaper).await;
    let mut worker = started(&reaper).await;
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
    let (data, properties) = binary(&by_hand(1, 1), "cloudEvents:");
    broker.publish_with(&[(gzip(&data), properties.with_content_encoding("gzip".into()))]).await;
    for _ in 0..3 {
        broker.take_and_give_back(&broker.queue()).await;
    }
    let mut worker = started(&reaper).await;
    wait_until("it is taken in", DEADLINE, async || db.count("dead_letters", "TRUE").await == 1).await;
    assert_eq!(set_aside(&db).await[0][0], "delivery_limit");
    assert_eq!(reaper.run(&["dead-letters", "replay", "--all"]).await.code, 0);
    wait_until("it is decided", DEADLINE, async || db.count("ledger", "outcome = 'deleted'").await == 1)
        .await;
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
});

#[tokio::test]
async fn what_is_published_before_the_first_run_is_not_lost_where_the_topology_is_declared() {
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = Reaper::new(&database).unguarded().fed_by(&broker);
    with_contacts(&reaper).await;
    let declared = reaper.json(&["topology"]).await;
    assert_eq!(
        declared["exchanges"],
        json!([broker.exchange(), broker.events_exchange(), broker.records_exchange()])
    );
    let queues = declared["queues"].as_array().unwrap();
    for queue in [broker.queue(), broker.dead_letter_queue(), broker.records_queue()] {
        assert!(queues.contains(&json!(queue)), "{queue}");
    }
    assert_eq!(reaper.json(&["topology"]).await, declared, "again it changes nothing");
    broker.publish(&[by_hand(1, 1).to_string()]).await;
    let mut worker = started(&reaper).await;
    wait_until("it is decided", DEADLINE, async || database.count("ledger", "TRUE").await == 1).await;
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));

    let taken = Broker::new().await;
    taken.declare_queue(&taken.queue(), &[]).await.expect("declared by somebody else");
    let sentence = Reaper::new(&database).fed_by(&taken).refused(&["topology"]).await;
    assert!(sentence.contains(&format!("The queue '{}' exists", taken.queue())), "{sentence}");
}
