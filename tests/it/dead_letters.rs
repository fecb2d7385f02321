//! `dead-letters`: what was set aside is in the store with either feed, once, and is looked at, replayed, discarded.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lapin::types::AMQPValue;
use serde_json::{Value, json};

use crate::support::messages::{gzip, typed};
use crate::support::records::{self, ADMIN, entitled_account, event, manual_workflow};
use crate::support::{Broker, DEADLINE, Database, Direction, Proxy, Reaper, Worker, on_both, wait_until};

/// Account 1 with a workflow 6 that enrolls by hand and contacts 1 to 9.
async fn with_contacts(reaper: &Reaper) {
    let mut world = entitled_account(1);
    world.push(manual_workflow(1, 6));
    world.extend((1..=9).map(|id| records::contact(1, id, json!({}))));
    reaper.import(&world).await;
}

fn by_hand(contact: i64, enrollment: i64) -> Value {
    let mut event = event(1, 6, contact, enrollment);
    event["data"]["cause"] = json!("MANUAL");
    event
}

/// An event of this account that names no contact.
fn without_contact(account: i64, enrollment: i64) -> String {
    let mut event = event(account, 6, 1, enrollment);
    event["data"].as_object_mut().expect("an object").remove("objectId");
    event.to_string()
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn column<'a>(rows: &'a Value, member: &str) -> Vec<&'a str> {
    rows.as_array().expect("an array").iter().map(|row| row[member].as_str().expect(member)).collect()
}

async fn bodies(broker: &Broker, queue: &str) -> Vec<String> {
    let messages = broker.drain(queue).await.into_iter();
    messages.map(|message| String::from_utf8(message.body).expect("a text")).collect()
}

async fn set_aside(db: &Database, count: usize) {
    wait_until("they are set aside", DEADLINE, async || db.letters().await.len() == count).await;
}

/// The bodies in the store, sorted.
async fn kept(db: &Database) -> Vec<String> {
    let letters = db.letters().await.into_iter();
    let mut bodies: Vec<String> =
        letters.map(|letter| String::from_utf8(letter.body).expect("a text")).collect();
    bodies.sort();
    bodies
}

async fn ended(mut worker: Worker) {
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0), "{}", worker.stderr());
}

async fn ready(reaper: &Reaper) -> Worker {
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    worker
}

/// A worker that is killed before the broker hears an acknowledgement, with a proxy before the broker.
async fn unheard(reaper: &Reaper, broker: &Broker) -> (Proxy, Worker) {
    let mut proxy = Proxy::new(&broker.host());
    proxy.open();
    let url = format!("amqp://guest:guest@{}/%2f", proxy.address());
    let worker = ready(&reaper.clone().setting("feed.rabbitmq.url", &url)).await;
    wait_until("all queues are subscribed to", DEADLINE, async || {
        worker.stderr().matches("subscribed").count() == 3
    })
    .await;
    (proxy, worker)
}

on_both!(they_are_listed_shown_and_discarded_while_the_broker_is_away, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    with_contacts(&reaper).await;
    let sent = ["{ not JSON".to_owned(), without_contact(1, 2), without_contact(2, 3), "[]".to_owned()];
    let worker = ready(&reaper).await;
    for (count, body) in (1..).zip(&sent) {
        broker.publish(&[body]).await;
        set_aside(&db, count).await;
    }
    ended(worker).await;
    assert_eq!(broker.count(&broker.dead_letter_queue()).await, 0, "the store has them");

    let working = reaper.clone();
    let reaper = reaper.setting("feed.rabbitmq.url", "amqp://guest:guest@127.0.0.1:1/%2f");
    let rows = reaper.json(&["dead-letters", "list"]).await;
    let ids: Vec<i64> = column(&rows, "id").iter().map(|id| id.parse().expect("a number")).collect();
    assert!(ids.len() == 4 && ids.is_sorted_by(|newer, older| newer > older), "newest first: {rows}");
    let mut second = rows[2].clone();
    let (id, at) = (second["id"].take(), second["at"].take());
    assert!(at.as_str().is_some_and(|at| at.ends_with('Z')), "{at}");
    let expected = json!({"id": null, "at": null, "reason": "malformed", "detail": "$.data.objectId: missing",
        "attempts": 0, "accountId": "1", "bytes": sent[1].len()});
    assert_eq!(second, expected);
    let limited = reaper.json(&["dead-letters", "list", "--limit", "2"]).await;
    assert_eq!(limited.as_array().expect("an array")[..], rows.as_array().expect("an array")[..2]);
    let of_two = reaper.json(&["dead-letters", "list", "--account", "2"]).await;
    assert_eq!(of_two, json!([rows[1]]));
    assert_eq!(reaper.json(&["dead-letters", "list", "--reason", "poison"]).await, json!([]));

    let id = id.as_str().expect("a text");
    let shown = reaper.json(&["dead-letters", "show", id]).await;
    assert_eq!((&shown["id"], &shown["body"]), (&json!(id), &json!(sent[1])));
    assert_eq!(
        (&shown["exchange"], &shown["routingKey"]),
        (&json!(broker.exchange()), &json!("contact.delete"))
    );
    assert_eq!(reaper.run(&["dead-letters", "show", id, "--body"]).await.stdout, sent[1]);
    let said = reaper.refused(&["dead-letters", "show", "9999"]).await;
    assert!(said.contains("no dead letter has the id 9999"), "{said}");
    assert_eq!(reaper.run(&["dead-letters", "replay"]).await.code, 2, "nothing is not everything");
    let said = reaper.refused(&["dead-letters", "replay", "--id", id]).await;
    assert!(said.contains("cannot be reached"), "{said}");

    let said = reaper.refused(&["dead-letters", "discard", "--reason", "malformed", "--confirm", "3"]).await;
    assert!(said.contains("4 dead letters are selected, not 3; nothing was discarded"), "{said}");
    let as_admin = ["--account", "2", "--as", "user1@account1.example"];
    let discard = ["dead-letters", "discard", "--all", "--confirm", "1"];
    assert!(reaper.refused(&[&discard[..], &as_admin].concat()).await.contains("no such user"));
    assert_eq!(db.letters().await.len(), 4, "all are still there");
    assert_eq!(reaper.json(&[&discard[..], &["--account", "2"]].concat()).await, json!({"discarded": 1}));

    let oldest = ids[3].to_string();
    let replayed = working.json(&["dead-letters", "replay", "--id", id, &oldest]).await;
    assert_eq!(replayed, json!({"replayed": 2}));
    assert_eq!(bodies(&broker, &broker.queue()).await, [&sent[0][..], &sent[1]], "oldest first");
    assert_eq!(kept(&db).await, ["[]"]);

    let audit = reaper.json(&["audit", "list", "--limit", "2"]).await;
    let discarded = ids[1].to_string();
    assert_eq!(
        (&audit[1]["action"], &audit[1]["ids"]),
        (&json!("discard_dead_letters"), &json!([discarded]))
    );
    assert_eq!((&audit[1]["accountId"], &audit[1]["count"]), (&json!("2"), &json!(1)));
    assert_eq!(
        (&audit[0]["action"], &audit[0]["ids"]),
        (&json!("replay_dead_letters"), &json!([oldest, id]))
    );
    assert_eq!((&audit[0]["accountId"], &audit[0]["count"]), (&json!(null), &json!(2)));
    assert!(audit[0]["actor"].as_str().is_some_and(|actor| actor.starts_with("operator:")), "{audit}");
});

on_both!(a_kill_between_commit_and_acknowledgement_doubles_none, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    with_contacts(&reaper).await;
    db.execute(db.in_its_words(
        "ALTER TABLE ledger ADD CONSTRAINT never CHECK (enrollment_id <> 3)",
        "CREATE TRIGGER never BEFORE INSERT ON ledger WHEN NEW.enrollment_id = 3 BEGIN SELECT RAISE(ABORT, 'never'); END",
    ))
    .await;
    ended(ready(&reaper).await).await;
    let (proxy, mut worker) = unheard(&reaper, &broker).await;
    proxy.hold(Direction::ToServer);
    // Malformed, twice the same; a conflict with the first; poison.
    let mut sent: Vec<String> = (0..40).map(|number| format!("{{ no JSON {number}")).collect();
    sent.push(sent[0].clone());
    sent.extend([by_hand(1, 1), by_hand(2, 1), by_hand(3, 3)].map(|event| event.to_string()));
    broker.publish(&sent).await;
    set_aside(&db, 43).await;
    worker.kill9();
    drop(proxy);
    let queue = broker.queue();
    wait_until("all come again", DEADLINE, async || broker.count(&queue).await == 44).await;
    // A worker that ends gives back what it has taken and not begun.
    wait_until("all are settled", DEADLINE, async || {
        let worker = ready(&reaper).await;
        wait_until("all are taken", DEADLINE, async || broker.count(&queue).await == 0).await;
        ended(worker).await;
        broker.count(&queue).await == 0
    })
    .await;
    let mut expected = sent;
    expected.remove(41);
    expected.sort();
    assert_eq!(kept(&db).await, expected);
    assert_eq!(db.count("ledger", "TRUE").await, 1);
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_before_the_commit_loses_none() {
    let (db, broker) = (Database::postgres().await, Broker::new().await);
    let reaper = Reaper::new(&db).fed_by(&broker);
    with_contacts(&reaper).await;
    let mut worker = ready(&reaper).await;
    // The transaction that writes one waits, with all else of its batch done and not committed.
    let mut rival = db.connect_postgres().await;
    sqlx::Executor::execute(&mut rival, "BEGIN; LOCK TABLE dead_letters IN SHARE MODE")
        .await
        .expect("locked");
    let (decided, conflict) = (by_hand(1, 1).to_string(), by_hand(2, 1).to_string());
    broker.publish(&["{ no JSON", &decided, &conflict]).await;
    let waits = "datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO dead_letters%'";
    wait_until("it waits", DEADLINE, async || db.count("pg_stat_activity", waits).await > 0).await;
    worker.kill9();
    drop(rival);
    // Its session ends when the server notices.
    wait_until("its transaction ended", DEADLINE, async || db.count("pg_stat_activity", waits).await == 0)
        .await;
    let worker = ready(&reaper).await;
    set_aside(&db, 2).await;
    wait_until("all are settled", DEADLINE, async || broker.count(&broker.queue()).await == 0).await;
    ended(worker).await;
    // They come again in any order: either may be the one that is decided.
    let gone = db.rows("SELECT CAST(object_id AS text) FROM ledger").await.concat();
    let expected = if gone == ["1"] { conflict } else { decided };
    assert_eq!((gone.len(), kept(&db).await), (1, vec!["{ no JSON".to_owned(), expected]));
}

/// The first delivery is still in a transaction when the second is decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_two_workers_have_in_hand_is_one_letter() {
    let (db, broker) = (Database::postgres().await, Broker::new().await);
    let reaper = Reaper::new(&db).fed_by(&broker);
    with_contacts(&reaper).await;
    let (mut proxy, first) = unheard(&reaper, &broker).await;
    let mut to_second = Proxy::new(&broker.host());
    let mut second = reaper
        .clone()
        .setting("feed.rabbitmq.url", &format!("amqp://guest:guest@{}/%2f", to_second.address()))
        .setting("feed.rabbitmq.max_reconnect_delay", "100ms")
        .spawn(&["run"]);
    second.wait_listening().await;
    db.execute(
        "CREATE FUNCTION takes_long() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN PERFORM pg_sleep(5); RETURN NEW; END';
         CREATE TRIGGER takes_long BEFORE INSERT ON dead_letters FOR EACH ROW EXECUTE FUNCTION takes_long()",
    )
    .await;
    broker.publish(&["{ no JSON"]).await;
    let writes = "datname = current_database() AND wait_event = 'PgSleep'";
    wait_until("the first writes it", DEADLINE, async || db.count("pg_stat_activity", writes).await == 1)
        .await;
    proxy.close().await;
    to_second.open();
    set_aside(&db, 1).await;
    wait_until("the second has settled it", DEADLINE, async || {
        let settled = r#"contact_reaper_dead_letters_total{reason="malformed"} 1"#;
        second.metrics().await.contains(settled)
    })
    .await;
    assert_eq!(broker.count(&broker.queue()).await, 0);
    assert_eq!(db.letters().await.len(), 1);
    proxy.open();
    ended(first).await;
    ended(second).await;
}

on_both!(what_an_older_version_left_on_the_broker_is_taken_over_as_it_was, async |db: Database| {
    const LETTERS: usize = 120;
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    with_contacts(&reaper).await;
    ended(ready(&reaper).await).await;
    let letters = broker.dead_letter_queue();
    let headers = |number: usize| {
        vec![
            ("x-reason", text(if number.is_multiple_of(3) { "poison" } else { "malformed" })),
            ("x-detail", text(&format!("$.data: fault {number}"))),
            ("x-attempt", AMQPValue::LongLongInt(i64::try_from(number % 5).expect("small"))),
            ("x-original-exchange", text("workflow.enrollments")),
            ("x-original-routing-key", text("contact.delete")),
            ("traceparent", text("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01")),
        ]
    };
    let messages: Vec<_> =
        (0..LETTERS).map(|number| (format!("letter {number:03}"), headers(number))).collect();
    // One worker is killed before the broker hears of an acknowledgement, and another follows.
    let (proxy, mut worker) = unheard(&reaper, &broker).await;
    proxy.hold(Direction::ToServer);
    broker.put(&letters, &messages).await;
    wait_until("some are taken in", DEADLINE, async || !db.letters().await.is_empty()).await;
    worker.kill9();
    drop(proxy);
    let worker = ready(&reaper).await;
    set_aside(&db, LETTERS).await;
    wait_until("none is left", DEADLINE, async || broker.count(&letters).await == 0).await;
    let counted = worker.metrics().await;
    for reason in ["malformed", "poison"] {
        let none = format!("contact_reaper_dead_letters_total{{reason=\"{reason}\"}} 0");
        assert!(!counted.contains(&none), "not counted: {reason}");
    }
    ended(worker).await;
    assert_eq!(broker.count(&letters).await, 0);
    let taken = db.letters().await;
    assert_eq!(taken.len(), LETTERS, "one is there twice");
    for (body, headers) in messages {
        let letter = taken.iter().find(|letter| letter.body == body.as_bytes()).expect("it is there");
        let number: usize = body.rsplit(' ').next().expect("a number").parse().expect("a number");
        let expected = if number.is_multiple_of(3) { "poison" } else { "malformed" };
        assert_eq!(headers[0].1, text(&letter.reason));
        assert_eq!((&*letter.reason, &letter.detail), (expected, &format!("$.data: fault {number}")));
        let found = [&*letter.attempts, &letter.exchange, &letter.routing_key, &letter.traceparent];
        let trace = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        assert_eq!(found, [&(number % 5).to_string(), "workflow.enrollments", "contact.delete", trace]);
    }
});

on_both!(
    what_used_up_its_deliveries_arrives_in_the_store_and_is_decided_after_a_replay,
    async |db: Database| {
        let broker = Broker::new().await;
        let reaper = Reaper::new(&db).fed_by(&broker).setting("feed.rabbitmq.delivery_limit", "2");
        with_contacts(&reaper).await;
        ended(ready(&reaper).await).await;
        let body = by_hand(5, 5).to_string();
        broker.publish(&[&body]).await;
        for _ in 0..3 {
            broker.take_and_give_back(&broker.queue()).await;
        }
        let letters = broker.dead_letter_queue();
        wait_until("the broker moves it", DEADLINE, async || broker.count(&letters).await == 1).await;
        let worker = ready(&reaper).await;
        set_aside(&db, 1).await;
        wait_until("it is counted", DEADLINE, async || {
            let counted = r#"contact_reaper_dead_letters_total{reason="delivery_limit"} 1"#;
            worker.metrics().await.contains(counted)
        })
        .await;
        assert_eq!(broker.count(&letters).await, 0);
        ended(worker).await;
        let rows =
            reaper.json(&["dead-letters", "list", "--reason", "delivery_limit", "--account", "1"]).await;
        let detail = "moved here by the broker: crashes, or lost connections, used up its deliveries";
        assert_eq!((&rows[0]["detail"], &rows[0]["attempts"]), (&json!(detail), &json!(0)));
        let id = rows[0]["id"].as_str().expect("an id").to_owned();
        let shown = reaper.json(&["dead-letters", "show", &id]).await;
        assert_eq!(
            (&shown["exchange"], &shown["routingKey"]),
            (&json!(broker.exchange()), &json!("contact.delete"))
        );

        assert_eq!(reaper.json(&["dead-letters", "replay", "--id", &id]).await, json!({"replayed": 1}));
        let message = broker.drain(&broker.queue()).await.remove(0);
        assert_eq!(message.body, body.as_bytes());
        let brokers = message.headers.keys().find(|name| name.contains("death"));
        assert_eq!(brokers, None, "its history would stop it on the ladder");
        broker.put(&broker.queue(), &[(body, vec![])]).await;
        let _worker = ready(&reaper).await;
        wait_until("it is decided", DEADLINE, async || db.count("ledger", "TRUE").await == 1).await;
        assert_eq!(reaper.state(1, 5).await, "in_trash");
        assert_eq!(db.letters().await.len(), 0);
    }
);

on_both!(what_was_set_aside_and_moved_by_the_broker_all_the_same_is_one_letter, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker).setting("feed.rabbitmq.delivery_limit", "2");
    with_contacts(&reaper).await;
    let (proxy, mut worker) = unheard(&reaper, &broker).await;
    proxy.hold(Direction::ToServer);
    broker.publish(&["{ no JSON"]).await;
    set_aside(&db, 1).await;
    worker.kill9();
    drop(proxy);
    let (queue, letters) = (broker.queue(), broker.dead_letter_queue());
    wait_until("it comes again", DEADLINE, async || broker.count(&queue).await == 1).await;
    for _ in 0..2 {
        broker.take_and_give_back(&queue).await;
    }
    wait_until("the broker moves it", DEADLINE, async || broker.count(&letters).await == 1).await;
    let worker = ready(&reaper).await;
    wait_until("it is taken in", DEADLINE, async || {
        let counted = r#"contact_reaper_dead_letters_total{reason="delivery_limit"} 1"#;
        worker.metrics().await.contains(counted)
    })
    .await;
    ended(worker).await;
    let reasons: Vec<String> = db.letters().await.into_iter().map(|letter| letter.reason).collect();
    assert_eq!(reasons, ["malformed"]);
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_removes_only_what_the_broker_has_confirmed() {
    const LETTERS: usize = 230;
    let (db, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = Reaper::new(&db).fed_by(&broker);
    with_contacts(&reaper).await;
    ended(ready(&reaper).await).await;
    let (letters, work) = (broker.dead_letter_queue(), broker.queue());
    let all: Vec<String> = (100..100 + LETTERS).map(|number| number.to_string()).collect();
    let messages: Vec<_> =
        all.iter().map(|body| (body.clone(), vec![("x-reason", text("malformed"))])).collect();
    broker.put(&letters, &messages).await;
    let worker = ready(&reaper).await;
    set_aside(&db, LETTERS).await;
    ended(worker).await;

    // After the first page it waits long enough.
    let mut killed = reaper.spawn(&["dead-letters", "replay", "--all", "--rate", "5"]);
    wait_until("some are replayed", DEADLINE, async || db.letters().await.len() < LETTERS).await;
    killed.kill9();
    let replayed = LETTERS - db.letters().await.len();
    assert!(replayed <= 100, "the kill came too late to tell anything");
    let mut seen = bodies(&broker, &work).await;
    assert!(seen == all[..seen.len()] && seen.len() >= replayed, "not the order of their ids");
    seen.truncate(replayed);

    let mut refused = reaper.spawn(&["dead-letters", "replay", "--all", "--rate", "30"]);
    wait_until("more are replayed", DEADLINE, async || db.letters().await.len() < LETTERS - replayed).await;
    seen.extend(bodies(&broker, &work).await);
    // Nothing takes the next ones: what is not confirmed is not removed.
    broker.delete_queue(&work).await;
    assert_eq!(refused.exit(DEADLINE).await.code(), Some(1), "{}", refused.stderr());
    assert!(refused.stderr().contains("was not confirmed"), "{}", refused.stderr());
    seen.extend(kept(&db).await);
    seen.sort();
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), LETTERS, "one is lost");
    assert!(seen == all, "one is in the queue and in the store");
}

on_both!(those_of_the_embedded_feed_are_decided_anew_or_discarded, async |db: Database| {
    let reaper = Reaper::new(&db).fed_by_lines("-");
    with_contacts(&reaper).await;
    db.execute(db.in_its_words(
        "ALTER TABLE ledger ADD CONSTRAINT never CHECK (enrollment_id <> 3)",
        "CREATE TRIGGER never BEFORE INSERT ON ledger WHEN NEW.enrollment_id = 3 BEGIN SELECT RAISE(ABORT, 'never'); END",
    ))
    .await;
    let (noise, other) = ("{ \u{fffd}".to_owned(), without_contact(2, 8));
    for line in [noise.clone(), by_hand(3, 3).to_string(), other.clone()] {
        reaper.decide_lines(&(line + "\n")).await;
    }
    let rows = reaper.json(&["dead-letters", "list"]).await;
    assert_eq!(column(&rows, "reason"), ["malformed", "poison", "malformed"]);
    let ids = column(&rows, "id");
    assert_eq!(ids, ["3", "2", "1"]);
    assert_eq!(rows[1]["accountId"], "1");
    assert_eq!(
        reaper.json(&["dead-letters", "list", "--limit", "1", "--account", "1"]).await,
        json!([rows[1]])
    );
    assert_eq!(reaper.json(&["dead-letters", "show", "1"]).await["body"], json!(noise));
    assert_eq!(reaper.run(&["dead-letters", "show", "3", "--body"]).await.stdout, other);

    // As long as nothing was mended, a replay changes nothing.
    let admin = ADMIN.to_string();
    let all = ["dead-letters", "replay", "--all"];
    assert_eq!(reaper.json(&all).await, json!({"replayed": 0, "deadLetteredAgain": 3}));
    assert_eq!(reaper.json(&["dead-letters", "list"]).await.as_array().map(Vec::len), Some(3));
    db.execute(db.in_its_words("ALTER TABLE ledger DROP CONSTRAINT never", "DROP TRIGGER never")).await;
    let replay =
        ["dead-letters", "replay", "--reason", "poison", "--account", "1", "--as", "user1@account1.example"];
    assert_eq!(reaper.json(&replay).await, json!({"replayed": 1, "deadLetteredAgain": 0}));
    assert_eq!(reaper.state(1, 3).await, "in_trash");
    assert_eq!(column(&reaper.json(&["dead-letters", "list"]).await, "id"), ["3", "1"]);

    let said = reaper.refused(&["dead-letters", "discard", "--all", "--confirm", "3"]).await;
    assert!(said.contains("2 dead letters are selected, not 3"), "{said}");
    assert_eq!(db.count("dead_letters", "TRUE").await, 2);
    let discard = ["dead-letters", "discard", "--id", "1", "--confirm", "1"];
    assert_eq!(reaper.json(&discard).await, json!({"discarded": 1}));
    assert_eq!(column(&reaper.json(&["dead-letters", "list"]).await, "id"), ["3"]);
    let audit = reaper.json(&["audit", "list", "--limit", "10"]).await;
    let of = |action: &str| {
        let mut rows = audit.as_array().expect("an array").iter().filter(|row| row["action"] == action);
        rows.next().unwrap_or_else(|| panic!("no {action} in {audit}")).clone()
    };
    assert_eq!(of("discard_dead_letters")["ids"], json!(["1"]));
    let replayed = of("replay_dead_letters");
    assert_eq!((&replayed["actor"], &replayed["ids"]), (&json!(format!("user:{admin}")), &json!(["2"])));
    assert!(!audit.to_string().contains("@account1"), "{audit}");
});

on_both!(nothing_of_an_erased_person_is_kept_whatever_it_is_packed_in, async |db: Database| {
    const NAMED: &str = "{\"note\": \"for zq@old.example\"";
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    with_contacts(&reaper).await;
    let person = json!({"email": "zq@old.example", "firstname": "Zebulon", "lastname": "Quirke", "phone": "+44 20 7946 0991"});
    reaper.import(&[records::contact(1, 8, person)]).await;
    let mut about = by_hand(8, 1);
    about["data"].as_object_mut().expect("an object").remove("workflowId");
    about["data"]["note"] = json!("Zebulon Quirke, 020 7946 0991");
    let utf16: Vec<u8> = NAMED.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let json = |body: &str| typed(body.as_bytes().to_vec(), "application/json");
    let zipped = STANDARD.encode(gzip(NAMED.as_bytes()));
    let words = typed(b"{\"a\"".to_vec(), "text/plain; name=\"zq@old.example\"");
    let encoded = |bytes: &[u8]| {
        let (body, properties) = typed(gzip(bytes), "application/json");
        (body, properties.with_content_encoding("gzip".into()))
    };
    let packed = [
        typed(about.to_string().into_bytes(), "application/json"),
        encoded(NAMED.as_bytes()),
        typed(gzip(NAMED.as_bytes()), "application/json"),
        typed(STANDARD.encode(NAMED).into_bytes(), "text/plain"),
        typed(utf16, "text/plain"),
        json(NAMED),
        json(&format!("{{\"a\": \"{}\"", URL_SAFE_NO_PAD.encode(NAMED))),
        json(&format!("{{\"a\": \"{zipped}\"")),
        json("{\"data\": {\"accountId\": \"1\", \"objectId\": \"8\", \"name\": \"Zebulon Quirke\""),
        json("[{\"data\": {\"portalId\": 1, \"objectId\": \" 08\", \"name\": \"Zebulon Quirke\"}}"),
        json(r#"{"data": "{\"accountId\": \"1\", \"objectId\": 8, \"name\": \"Zebulon Quirke\"}" x"#),
        words,
    ];
    // Of whichever account it is; and in an encoding that no erasure searches.
    let utf32: Vec<u8> = NAMED.chars().flat_map(|it| u32::from(it).to_be_bytes()).collect();
    let of_no_account =
        [json("{\"data\": {\"objectId\": 8, \"phone\": \"020 7946 0991\""), typed(utf32, "text/plain")];
    let others = [typed(b"{\"of\": \"ann@x.example\"".to_vec(), "application/json"), encoded(b"{\"b\"")];
    let worker = ready(&reaper).await;
    // Before the erasure they are kept as they came, and it removes them.
    broker.publish_with(&[&packed[..], &others, &of_no_account].concat()).await;
    set_aside(&db, packed.len() + others.len() + of_no_account.len()).await;
    let admin = ADMIN.to_string();
    let erased = ["erase", "--account", "1", "--as", &admin, "--contact", "8", "--confirm", "1"];
    let output = reaper.run(&erased).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let left = async || db.letters().await.into_iter().map(|letter| letter.body).collect::<Vec<_>>();
    let emptied = b"[redacted]".to_vec();
    assert_eq!(left().await, [others[0].0.clone(), b"{\"b\"".to_vec(), emptied.clone(), emptied]);
    // After it they are kept without the person.
    for _ in 0..2 {
        broker.publish_with(&[&packed[..], &of_no_account].concat()).await;
    }
    wait_until("they are taken in", DEADLINE, async || broker.count(&broker.queue()).await == 0).await;
    wait_until("all are set aside", DEADLINE, async || left().await.len() > others.len() + packed.len())
        .await;
    let replaced = "{\"note\": \"for [redacted]\"";
    for body in left().await.into_iter().skip(others.len()).map(String::from_utf8) {
        let body = body.expect("nothing is packed any more");
        assert!(["[redacted]", replaced, "{\"a\""].contains(&body.as_str()), "{body}");
    }
    let everything = db.everything().await;
    for trace in ["zq@old.example", "Zebulon", "7946 0991", "z\0\0\0q"] {
        assert!(!everything.contains(trace), "{trace}");
    }
    ended(worker).await;
});
