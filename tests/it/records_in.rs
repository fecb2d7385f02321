//! Records that a CRM publishes to the records queue: as an import writes them, in their order, each message whole or not at all.

use std::collections::BTreeSet;
use std::process::Command;

use lapin::BasicProperties;
use serde_json::{Value, json};

use crate::faults::{LONG, number, seed};
use crate::model::Dice;
use crate::support::every_kind::every_kind;
use crate::support::messages::{batch, binary, gzip};
use crate::support::records::{
    activity, association, contact, entitled_account, event as enrollment_event, manual_workflow, segment,
};
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, on_both, run_to_end, server, wait_until};

fn event(event_type: &str, data: impl Into<Value>) -> Value {
    let data: Value = data.into();
    json!({"specversion": "1.0", "id": format!("m-{}", fastrand::u64(..)), "source": "/crm", "type": event_type,
        "time": "2026-02-01T12:00:00Z", "data": data})
}

fn upserted(data: impl Into<Value>) -> String {
    event("record.upserted", data).to_string()
}

fn removed(data: impl Into<Value>) -> String {
    event("record.removed", data).to_string()
}

/// A contact of account 1 as it was at this second of a minute long ago.
fn contact_at(id: i64, second: u32, properties: Value) -> Value {
    let mut record = contact(1, id, properties);
    record["createdAt"] = json!("2026-01-01T00:00:00Z");
    record["updatedAt"] = json!(format!("2026-02-01T10:00:{second:02}Z"));
    record
}

/// A service that consumes the queue of records of a store with account 1.
async fn started(reaper: &Reaper) -> Worker {
    reaper.import(&entitled_account(1)).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    worker
}

/// Publishes these, and waits until all are settled.
async fn deliver<B: AsRef<[u8]>>(broker: &Broker, worker: &Worker, bodies: &[B]) {
    wait_until("the queue is consumed", DEADLINE, async || {
        worker.metrics().await.contains("contact_reaper_records_connected 1")
    })
    .await;
    let before = processed(worker).await;
    broker.publish_records(bodies).await;
    settled(worker, before + bodies.len()).await;
}

/// How many messages of the queue of records the worker has taken up.
async fn processed(worker: &Worker) -> usize {
    let metrics = worker.metrics().await;
    let sum = metrics.lines().find_map(|line| line.strip_prefix("contact_reaper_records_batch_size_sum "));
    sum.expect("a histogram").parse().expect("a number")
}

/// Waits until the worker has settled so many messages in all.
async fn settled(worker: &Worker, messages: usize) {
    wait_until("all records are settled", LONG, async || {
        processed(worker).await >= messages
            && worker.metrics().await.contains("contact_reaper_records_in_flight 0")
    })
    .await;
}

async fn stop(mut worker: Worker) {
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
}

/// Reasons and details of the dead letters, oldest first.
async fn set_aside(db: &Database) -> Vec<[String; 2]> {
    let rows = db.rows("SELECT reason, detail FROM dead_letters ORDER BY dead_letter_id").await;
    rows.into_iter().map(|row| row.try_into().expect("two columns")).collect()
}

async fn property(db: &Database, contact_id: i64, name: &str) -> String {
    let value = db.in_its_words("properties ->> ", "json_extract(properties, '$.' || ");
    let end = db.in_its_words("", ")");
    let sql = format!("SELECT {value}'{name}'{end} FROM contacts WHERE contact_id = {contact_id}");
    db.rows(&sql).await[0][0].clone()
}

/// The values that a property of a contact had, in the order of their times.
async fn versions(db: &Database, contact_id: i64, name: &str) -> Vec<String> {
    let sql = format!(
        "SELECT CAST(history AS text) FROM contacts WHERE account_id = 1 AND contact_id = {contact_id}"
    );
    let history: Value = serde_json::from_str(&db.rows(&sql).await[0][0]).unwrap();
    let versions = history[name].as_array().cloned().unwrap_or_default();
    let mut versions: Vec<(String, String)> = versions
        .iter()
        .map(|it| (it["timestamp"].as_str().unwrap().to_owned(), it["value"].as_str().unwrap().to_owned()))
        .collect();
    versions.sort();
    versions.into_iter().map(|(_, value)| value).collect()
}

on_both!(the_queue_writes_what_an_import_of_the_same_records_writes, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    let worker = started(&reaper).await;
    // What a record refers to may come after it.
    let records = every_kind(1);
    let backwards: Vec<Value> = records.iter().rev().cloned().collect();
    let (one_by_one, at_once) = backwards.split_at(backwards.len() / 2);
    let mut bodies: Vec<String> = vec![upserted(json!(at_once))];
    bodies.extend(one_by_one.iter().cloned().map(upserted));
    deliver(&broker, &worker, &bodies).await;
    assert_eq!(set_aside(&db).await, [] as [[String; 2]; 0]);
    assert_eq!(reaper.state(1, 1).await, "live");
    assert_eq!(reaper.state(1, 2).await, "in_trash", "it arrived archived");
    let left_out = ["audit", "imports", "leases"];
    let before = db.dump(&left_out).await;
    reaper.import(&records).await;
    db.assert_unchanged_since(&before).await;
    deliver(&broker, &worker, &bodies).await;
    db.assert_unchanged_since(&before).await;
    stop(worker).await;
});

on_both!(every_mode_of_a_cloud_event_is_read, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    let worker = started(&reaper).await;
    let of = |id: i64| event("record.upserted", contact(1, id, json!({})));
    let (packed, headers) = binary(&of(3), "cloudEvents:");
    let messages = [
        (of(1).to_string().into_bytes(), BasicProperties::default()),
        (gzip(of(2).to_string().as_bytes()), batch(&[]).1.with_content_encoding("gzip".into())),
        (packed, headers),
        batch(&[of(4).to_string(), of(5).to_string()]),
        batch(&[]),
    ];
    deliver(&broker, &worker, &[] as &[&str]).await;
    broker.publish_records_with(&messages).await;
    settled(&worker, 5).await;
    assert_eq!(db.count("contacts", "contact_id IN (1, 3, 4, 5)").await, 4);
    // A batch that is none.
    assert_eq!(set_aside(&db).await, [["malformed", "$: must be a list of events"]]);
    assert_eq!(db.count("contacts", "TRUE").await, 4);
    stop(worker).await;
});

on_both!(an_older_record_does_not_overwrite_a_newer_one, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    let worker = started(&reaper).await;
    let dated = |mut record: Value, second: u32| {
        record["updatedAt"] = json!(format!("2026-02-01T10:00:{second:02}Z"));
        record
    };
    let company =
        |name: &str| json!({"kind": "company", "accountId": "1", "id": "10", "properties": {"name": name}});
    let mut call = activity(20, "call", &[("contact", 1)]);
    let newer =
        [contact_at(1, 20, json!({"city": "Newer"})), dated(company("Newer"), 20), dated(call.clone(), 20)];
    call["properties"]["body"] = json!("Older");
    let older = [
        contact_at(1, 19, json!({"city": "Older"})),
        json!({"kind": "contact", "accountId": "1", "id": "1", "partial": true, "properties": {"city": "Older"},
            "updatedAt": "2026-02-01T10:00:19.999Z"}),
        dated(company("Older"), 19),
        dated(call, 19),
    ];
    deliver(&broker, &worker, &newer.clone().map(upserted)).await;
    let before = db.dump(&["audit", "leases"]).await;
    deliver(&broker, &worker, &older.map(upserted)).await;
    db.assert_unchanged_since(&before).await;
    deliver(&broker, &worker, &newer.map(upserted)).await;
    db.assert_unchanged_since(&before).await;
    assert_eq!(property(&db, 1, "city").await, "Newer");
    let metrics = worker.metrics().await;
    assert!(metrics.contains("contact_reaper_records_total{outcome=\"skipped\"} 4"), "{metrics}");
    // Of the same time the later one wins, and one without a time is written as it comes.
    deliver(&broker, &worker, &[upserted(contact_at(1, 20, json!({"city": "Same"})))]).await;
    assert_eq!(property(&db, 1, "city").await, "Same");
    let mut undated = contact(1, 1, json!({"city": "Undated"}));
    undated["createdAt"] = json!("2026-01-01T00:00:00Z");
    deliver(&broker, &worker, &[upserted(undated)]).await;
    assert_eq!(property(&db, 1, "city").await, "Undated");
    stop(worker).await;
});

on_both!(records_of_one_key_are_written_in_their_order, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    let worker = started(&reaper).await;
    let step = |step: u32| contact_at(1, step, json!({"city": format!("City {step}")}));
    // Some in one message, the others one by one; membership and association come and go between them.
    let mut bodies = vec![upserted(json!((0..10).map(step).collect::<Vec<_>>()))];
    let link = association(("contact", 1), ("deal", 2));
    bodies.push(upserted(link.clone()));
    bodies.push(upserted(segment(1, 4, &[1])));
    for second in 10..40 {
        bodies.push(upserted(step(second)));
        bodies.push(removed(link.clone()));
        if second < 39 {
            bodies.push(upserted(link.clone()));
        }
    }
    let member = json!({"kind": "membership", "accountId": "1", "segmentId": "4", "contactId": "1"});
    bodies.push(removed(member));
    deliver(&broker, &worker, &bodies).await;
    assert_eq!(set_aside(&db).await, [] as [[String; 2]; 0]);
    assert_eq!(property(&db, 1, "city").await, "City 39");
    let expected: Vec<String> = (0..40).map(|step| format!("City {step}")).collect();
    assert_eq!(versions(&db, 1, "city").await, expected, "none is missing");
    assert_eq!((db.count("associations", "TRUE").await, db.count("segment_members", "TRUE").await), (0, 0));
    stop(worker).await;
});

on_both!(a_message_is_written_whole_or_becomes_a_dead_letter, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    let worker = started(&reaper).await;
    let with_email = |id: i64, email: &str| contact(1, id, json!({"email": email}));
    deliver(&broker, &worker, &[upserted(with_email(1, "ada@example.org"))]).await;
    let note = |id: i64, contact: i64| {
        json!({"kind": "conversation", "accountId": "1", "id": id.to_string(), "channel": "chat",
            "contactId": contact.to_string(), "messages": []})
    };
    let mut of_another = contact(7, 5, json!({}));
    of_another["properties"]["email"] = json!("stranger@example.org");
    let bodies = [
        upserted(contact(1, 10, json!({}))),
        upserted(json!([contact(1, 11, json!({})), {"kind": "company", "accountId": "1", "id": "0"}])),
        upserted(json!([contact(1, 12, json!({})), with_email(13, "Ada@example.org")])),
        upserted(json!([note(30, 14), note(31, 10)])),
        upserted(of_another),
        event("record.changed", contact(1, 15, json!({}))).to_string(),
        removed(contact(1, 10, json!({}))),
        "{".to_owned(),
        upserted(note(32, 10)),
        upserted(contact(1, 16, json!({}))),
    ];
    deliver(&broker, &worker, &bodies).await;
    let ids = db.rows("SELECT CAST(contact_id AS text) FROM contacts ORDER BY contact_id").await;
    assert_eq!(ids.concat(), ["1", "10", "16"]);
    assert_eq!(db.count("conversations", "TRUE").await, 1);
    let mut found = set_aside(&db).await;
    found.sort();
    let detail = |at: usize| found[at][1].as_str();
    let reasons: Vec<&str> = found.iter().map(|[reason, _]| reason.as_str()).collect();
    assert_eq!(
        reasons,
        ["malformed", "malformed", "malformed", "poison", "poison", "poison", "unsupported_type"]
    );
    assert!(detail(0).starts_with("$.data.of: must not be a contact"), "{}", detail(0));
    assert!(detail(1).starts_with("$.data[1].id: must be a decimal string"), "{}", detail(1));
    assert!(detail(2).starts_with("body: not JSON"), "{}", detail(2));
    assert_eq!(detail(3), "$.data: accountId: names account 7, which is not there");
    assert_eq!(detail(4), "$.data[0]: contactId: names contact 14, which is not there");
    assert!(detail(5).starts_with("$.data[1]: ") && !detail(5).contains("ada@"), "{}", detail(5));
    assert_eq!(detail(6), "$.type: only record.upserted or record.removed is understood");
    // What was in the way is mended: the letters go back to the queue that they come from.
    reaper.delete(1, 1).await;
    deliver(&broker, &worker, &[upserted(contact(1, 14, json!({})))]).await;
    let before = processed(&worker).await;
    assert_eq!(reaper.run(&["dead-letters", "replay", "--all"]).await.code, 0);
    settled(&worker, before + 7).await;
    assert_eq!(reaper.state(1, 13).await, "live");
    assert_eq!(db.count("conversations", "TRUE").await, 3);
    wait_until("five are set aside again", DEADLINE, async || db.count("dead_letters", "TRUE").await == 5)
        .await;
    stop(worker).await;
});

on_both!(of_two_contacts_that_want_an_address_the_first_one_gets_it, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    let worker = started(&reaper).await;
    let with_email =
        |(id, name): (i64, &str)| upserted(contact(1, id, json!({"email": format!("{name}@x.example")})));
    // One takes what another one has given up; 391 and 382 want what is taken.
    let wanted = [(390, "m"), (391, "m"), (380, "k"), (380, "k2"), (381, "k"), (382, "k"), (383, "k3")];
    deliver(&broker, &worker, &wanted.map(with_email)).await;
    let ids = db.rows("SELECT CAST(contact_id AS text) FROM contacts ORDER BY contact_id").await;
    assert_eq!(ids.concat(), ["380", "381", "383", "390"]);
    let mut found = set_aside(&db).await;
    found.sort();
    let [[_, of_381], [_, of_390]] = &found[..] else { panic!("two letters: {found:?}") };
    assert!(of_381.contains("382") && of_381.contains("the live contact 381"), "{of_381}");
    assert!(of_390.contains("391") && of_390.contains("the live contact 390"), "{of_390}");
    stop(worker).await;
});

on_both!(what_is_gone_does_not_come_back_by_the_queue, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    let worker = started(&reaper).await;
    let ada = contact(1, 1, json!({"email": "ada@example.org", "firstname": "Ada"}));
    let others = [contact(1, 2, json!({})), contact(1, 3, json!({}))];
    deliver(&broker, &worker, &[upserted(json!([ada, others[0], others[1]]))]).await;
    // A message that could not be written before the erasure, and one that comes after it.
    let unwritable = json!([ada, {"kind": "company", "accountId": "1", "id": "0"}]);
    let nameless = json!({"kind": "contact", "accountId": "1", "id": "1", "partial": true, "createdAt": 5,
        "properties": {"jobtitle": "Countess of Nowhere"}});
    deliver(&broker, &worker, &[upserted(unwritable.clone()), upserted(nameless.clone())]).await;
    assert_eq!(db.count("dead_letters", "TRUE").await, 2);
    reaper.delete(1, 2).await;
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"]).await;
    let quoting = json!({"kind": "company", "accountId": "1", "id": "10", "properties": {"note": "Ask ada@example.org"}});
    let bodies = [
        upserted(ada),
        upserted(others[0].clone()),
        upserted(quoting),
        upserted(unwritable),
        upserted(nameless),
    ];
    deliver(&broker, &worker, &bodies).await;
    assert_eq!(reaper.state(1, 1).await, "erased");
    assert_eq!(reaper.state(1, 2).await, "in_trash");
    let notes = db.rows("SELECT CAST(properties AS text) FROM objects").await.concat();
    assert!(notes.len() == 1 && notes[0].contains("Ask [redacted]"), "{notes:?}");
    for table in db.tables().await {
        for row in db.table(&table).await {
            let is_trace =
                row.contains("ada@example") || row.contains("Countess") || row.contains("6164614065");
            assert!(!is_trace, "{table}: {row}");
        }
    }
    let letters = db.letters().await;
    assert!(letters.iter().all(|letter| !String::from_utf8_lossy(&letter.body).contains("Countess")));
    stop(worker).await;
});

on_both!(without_a_queue_of_records_none_is_declared, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker).setting("feed.rabbitmq.records_queue", "");
    let declared = reaper.json(&["topology"]).await;
    assert_eq!(declared["exchanges"], json!([broker.exchange(), broker.events_exchange()]));
    let worker = started(&reaper).await;
    assert!(worker.metrics().await.contains("contact_reaper_records_connected 0"));
    stop(worker).await;
});

/// Two workers take turns at the queue and are killed at random moments: every record is there once it is settled, none goes back to
/// what it was, and no step of a history is missing or there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_lose_and_double_no_record() {
    let (db, broker) = (Database::postgres().await, Broker::new().await);
    let reaper = Reaper::new(&db).fed_by(&broker);
    let mut workers = vec![started(&reaper).await, reaper.spawn(&["run"])];
    workers[1].wait_ready().await;
    let (kills, contacts, steps) = (number("RECORDS_KILLS", 6), 60, 50);
    let mut dice = Dice::new(seed());
    for round in 0..kills {
        let first = u32::try_from(round * steps / kills).unwrap();
        let last = u32::try_from((round + 1) * steps / kills).unwrap();
        let records: Vec<Value> = (first..last)
            .flat_map(|step| {
                (1..=contacts).map(move |id| {
                    let mut record = contact(1, id, json!({"step": step.to_string()}));
                    record["createdAt"] = json!("2026-01-01T00:00:00Z");
                    record["updatedAt"] = json!(format!("2026-02-01T10:00:{step:02}Z"));
                    record
                })
            })
            .collect();
        let bodies: Vec<String> = records.chunks(7).map(|some| upserted(json!(some))).collect();
        broker.publish_records(&bodies).await;
        tokio::time::sleep(std::time::Duration::from_millis(dice.roll(300) as u64)).await;
        let victim = dice.roll(2);
        workers[victim].kill9();
        workers[victim] = reaper.spawn(&["run"]);
    }
    for worker in &mut workers {
        worker.wait_ready().await;
    }
    // They come in their order: with the last one all others are written.
    let last = format!("{}", steps - 1);
    wait_until("the last record is written", LONG, async || property(&db, contacts, "step").await == last)
        .await;
    let expected: Vec<String> = (0..steps).map(|step| step.to_string()).collect();
    for id in 1..=contacts {
        assert_eq!(versions(&db, id, "step").await, expected, "contact {id}, seed {}", seed());
    }
    assert_eq!(set_aside(&db).await, [] as [[String; 2]; 0]);
    for worker in workers {
        stop(worker).await;
    }
}

on_both!(the_audit_and_the_metrics_tell_of_records_without_a_value, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    let worker = started(&reaper).await;
    deliver(&broker, &worker, &[upserted(contact(1, 1, json!({"email": "ada@example.org"})))]).await;
    let rows = db.rows("SELECT actor, CAST(count AS text) FROM audit WHERE action = 'receive_records'").await;
    assert_eq!(rows, [[format!("queue:{}", broker.records_queue()), "1".to_owned()]]);
    let actors: BTreeSet<String> =
        db.rows("SELECT CAST(ids AS text) FROM audit").await.concat().into_iter().collect();
    assert!(actors.iter().all(|ids| !ids.contains("ada@")));
    let metrics = worker.metrics().await;
    assert!(metrics.contains("contact_reaper_records_total{outcome=\"written\"} 1"), "{metrics}");
    assert!(!metrics.contains("ada@"));
    stop(worker).await;
});

on_both!(contacts_that_come_and_change_are_announced_where_that_is_asked_for, async |db: Database| {
    let reaper = Reaper::new(&db);
    let announcing = reaper.clone().setting("events.record_changes", "true");
    let events = async || {
        let rows = db.rows("SELECT type, data FROM outbox ORDER BY message_id").await.concat();
        db.execute("DELETE FROM outbox").await;
        rows
    };
    let mut archived = contact(1, 3, json!({}));
    archived["archived"] = json!(true);
    let company = json!({"kind": "company", "accountId": "1", "id": "10", "properties": {}});
    let mut ada = contact(1, 1, json!({"city": "London", "phone": "1"}));
    let records = [&entitled_account(1)[..], &[ada.clone(), archived.clone(), company]].concat();
    announcing.import(&records).await;
    assert_eq!(events().await, ["contact.creation", r#"{"accountId":"1","contactId":"1"}"#]);
    // What is as it was is no change, nor is a time or another address beside it.
    announcing.import(&records).await;
    ada["updatedAt"] = json!("2026-11-01T00:00:00Z");
    ada["additionalEmails"] = json!(["ada.second@example.org"]);
    announcing.import(&[ada.clone()]).await;
    assert_eq!(events().await, [] as [&str; 0]);
    // Changed, cleared and new; a name that is no word may be an address.
    ada["properties"] = json!({"email": "ada@example.org", "city": "Paris", "a@b.example": "x"});
    let held = contact(1, 2, json!({"email": "ada@example.org"}));
    announcing.import(&[ada.clone()]).await;
    let changed = r#"{"accountId":"1","contactId":"1","properties":["city","email","phone"]}"#;
    assert_eq!(events().await, ["contact.propertyChange", changed]);
    assert_eq!(announcing.run_with_input(&["import", "-"], &held.to_string()).await.code, 1);
    ada["properties"]["city"] = json!("Rome");
    reaper.import(&[ada, contact(1, 5, json!({}))]).await;
    assert_eq!(events().await, [] as [&str; 0], "it is off by default");
});

/// The Python of `docs/EVENT.md`, on a broker of the test's own, with this event and the names that it takes.
async fn publish_by_python(broker: &Broker, event: &Value, exchange: &str, routing_key: &str) {
    let page = include_str!("../../docs/EVENT.md");
    let (_, rest) = page.split_once("```python\n").expect("a block of Python");
    let (snippet, _) = rest.split_once("```").expect("its end");
    let mut program = format!("import json\nevent = json.loads({:?})\n{snippet}", event.to_string());
    for (said, here) in [
        ("amqp://guest:guest@localhost:5672/%2F", broker.url().as_str()),
        ("\"workflow.enrollments\"", &format!("{exchange:?}")),
        ("\"contact.delete\"", &format!("{routing_key:?}")),
    ] {
        assert!(program.contains(said), "{said} in {program}");
        program = program.replace(said, here);
    }
    let mut command = Command::new(server("TEST_PYTHON"));
    command.arg("-");
    let output = tokio::task::spawn_blocking(move || run_to_end(&mut command, program)).await.unwrap();
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_of_the_page_publishes_enrollments_and_records() {
    let (db, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = Reaper::new(&db).fed_by(&broker).unguarded();
    let worker = started(&reaper).await;
    reaper.import(&[manual_workflow(1, 6)]).await;
    deliver(&broker, &worker, &[] as &[&str]).await;
    let record = event("record.upserted", contact(1, 512, json!({})));
    publish_by_python(&broker, &record, &broker.records_exchange(), "record.upserted").await;
    wait_until("it is written", DEADLINE, async || db.count("contacts", "TRUE").await == 1).await;
    let mut enrollment = enrollment_event(1, 6, 512, 9001);
    enrollment["data"]["cause"] = json!("MANUAL");
    publish_by_python(&broker, &enrollment, &broker.exchange(), "contact.delete").await;
    wait_until("it is deleted", DEADLINE, async || reaper.state(1, 512).await == "in_trash").await;
    stop(worker).await;
}
