//! `dead-letters`: what was set aside, on the broker and in the store, looked at, replayed, discarded.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::records::{self, ADMIN, entitled_account, event, manual_workflow};
use crate::support::{Broker, DEADLINE, Database, Reaper, on_both, wait_until};

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

fn column<'a>(rows: &'a Value, member: &str) -> Vec<&'a str> {
    rows.as_array().expect("an array").iter().map(|row| row[member].as_str().expect(member)).collect()
}

async fn bodies(broker: &Broker, queue: &str) -> Vec<String> {
    let messages = broker.drain(queue).await.into_iter();
    messages.map(|message| String::from_utf8(message.body).expect("a text")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_set_aside_is_listed_shown_replayed_and_discarded_by_its_id() {
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = Reaper::new(&database).fed_by(&broker);
    with_contacts(&reaper).await;
    let sent = ["{ not JSON".to_owned(), without_contact(1, 2), without_contact(2, 3), "[]".to_owned()];
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let letters = broker.dead_letter_queue();
    for (count, body) in (1..).zip(&sent) {
        broker.publish(&[body]).await;
        wait_until("it is set aside", DEADLINE, async || broker.count(&letters).await == count).await;
    }
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));

    let rows = reaper.json(&["dead-letters", "list"]).await;
    let ids = column(&rows, "id");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 4, "{rows}");
    assert!(ids.is_sorted_by(|newer, older| newer > older), "newest first: {rows}");
    let mut second = rows[2].clone();
    let (id, at) = (second["id"].take(), second["at"].take());
    assert!(at.as_str().is_some_and(|at| at.ends_with('Z')), "{at}");
    let expected = json!({"id": null, "at": null, "reason": "malformed", "detail": "$.data.objectId: missing",
        "attempts": 0, "accountId": "1", "bytes": sent[1].len()});
    assert_eq!(second, expected);
    assert_eq!(reaper.json(&["dead-letters", "list"]).await, rows, "looking at them changes nothing");
    let limited = reaper.json(&["dead-letters", "list", "--limit", "2"]).await;
    assert_eq!(limited.as_array().expect("an array")[..], rows.as_array().expect("an array")[..2]);
    let of_two = reaper.json(&["dead-letters", "list", "--account", "2"]).await;
    assert_eq!(of_two, json!([rows[1]]));
    assert_eq!(reaper.json(&["dead-letters", "list", "--reason", "poison"]).await, json!([]));

    let id = id.as_str().expect("a text");
    let shown = reaper.json(&["dead-letters", "show", id]).await;
    assert_eq!((&shown["id"], &shown["body"]), (&json!(id), &json!(sent[1])));
    assert_eq!(reaper.run(&["dead-letters", "show", id, "--body"]).await.stdout, sent[1]);
    assert!(
        reaper
            .refused(&["dead-letters", "show", "nobody"])
            .await
            .contains("no dead letter has the id nobody")
    );
    assert_eq!(reaper.run(&["dead-letters", "replay"]).await.code, 2, "nothing is not everything");

    let replayed = reaper.json(&["dead-letters", "replay", "--id", id, ids[3]]).await;
    assert_eq!(replayed, json!({"replayed": 2}));
    assert_eq!(bodies(&broker, &broker.queue()).await, [&sent[0][..], &sent[1]], "oldest first");
    let said = reaper.refused(&["dead-letters", "discard", "--reason", "malformed", "--confirm", "4"]).await;
    assert!(said.contains("2 dead letters are selected, not 4; nothing was discarded"), "{said}");
    let as_admin = ["--account", "2", "--as", "user1@account1.example"];
    let discard = ["dead-letters", "discard", "--all", "--confirm", "1"];
    assert!(reaper.refused(&[&discard[..], &as_admin].concat()).await.contains("no such user"));
    assert_eq!(reaper.json(&[&discard[..], &["--account", "2"]].concat()).await, json!({"discarded": 1}));
    assert_eq!(bodies(&broker, &letters).await, [&sent[3][..]]);

    let audit = reaper.json(&["audit", "list", "--limit", "2"]).await;
    assert_eq!((&audit[0]["action"], &audit[0]["ids"]), (&json!("discard_dead_letters"), &json!([ids[1]])));
    assert_eq!((&audit[0]["accountId"], &audit[0]["count"]), (&json!("2"), &json!(1)));
    assert_eq!(
        (&audit[1]["action"], &audit[1]["ids"]),
        (&json!("replay_dead_letters"), &json!([ids[3], id]))
    );
    assert_eq!((&audit[1]["accountId"], &audit[1]["count"]), (&json!(null), &json!(2)));
    assert!(audit[1]["actor"].as_str().is_some_and(|actor| actor.starts_with("operator:")), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_one_subscription_may_hold_are_taken_and_given_back_in_their_order() {
    const LETTERS: usize = 2300;
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = Reaper::new(&database).fed_by(&broker);
    assert_eq!(reaper.run(&["migrate"]).await.code, 0);
    assert_eq!(
        reaper.json(&["dead-letters", "list"]).await,
        json!([]),
        "the queue is declared by whoever asks first"
    );
    let letters = broker.dead_letter_queue();
    let reason = |number: usize| if number.is_multiple_of(3) { "poison" } else { "malformed" };
    let messages: Vec<_> = (0..LETTERS)
        .map(|number| (number.to_string(), vec![("x-reason", reason(number).to_owned())]))
        .collect();
    broker.put(&letters, &messages).await;
    for _ in 0..2 {
        let rows = reaper.json(&["dead-letters", "list", "--limit", "5000"]).await;
        let reasons = column(&rows, "reason");
        assert!(reasons == (0..LETTERS).rev().map(reason).collect::<Vec<_>>(), "not the order of the queue");
    }
    let poison = (0..LETTERS).filter(|number| number.is_multiple_of(3)).count().to_string();
    let discard = ["dead-letters", "discard", "--reason", "poison", "--confirm"];
    assert_eq!(reaper.run(&[&discard[..], &[&poison]].concat()).await.code, 0);
    let left: Vec<String> =
        (0..LETTERS).filter(|number| !number.is_multiple_of(3)).map(|number| number.to_string()).collect();
    wait_until("the rest is back", DEADLINE, async || broker.count(&letters).await as usize == left.len())
        .await;
    let replayed = reaper.json(&["dead-letters", "replay", "--all", "--rate", "100000"]).await;
    assert_eq!(replayed, json!({"replayed": left.len()}));
    assert!(bodies(&broker, &broker.queue()).await == left, "not the order of the queue");
    assert_eq!(broker.count(&letters).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_killed_or_refused_half_way_loses_nothing() {
    const LETTERS: usize = 350;
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = Reaper::new(&database).fed_by(&broker);
    assert_eq!(reaper.run(&["migrate"]).await.code, 0);
    assert_eq!(reaper.json(&["dead-letters", "list"]).await, json!([]));
    let (letters, work) = (broker.dead_letter_queue(), broker.queue());
    let all: Vec<String> = (100..100 + LETTERS).map(|number| number.to_string()).collect();
    let messages: Vec<_> =
        all.iter().map(|body| (body.clone(), vec![("x-reason", "malformed".to_owned())])).collect();
    broker.put(&letters, &messages).await;
    // After the first hundred it waits long enough.
    let slowly = ["dead-letters", "replay", "--all", "--rate", "10"];
    let mut killed = reaper.spawn(&slowly);
    wait_until("some are replayed", DEADLINE, async || broker.count(&work).await >= 100).await;
    killed.kill9();
    wait_until("the rest is back", DEADLINE, async || {
        (broker.count(&letters).await + broker.count(&work).await) as usize >= LETTERS
    })
    .await;
    assert!(broker.count(&letters).await >= 200, "the kill came too late to tell anything");
    let mut seen = bodies(&broker, &work).await;

    let mut refused = reaper.spawn(&["dead-letters", "replay", "--all", "--rate", "30"]);
    wait_until("some are replayed", DEADLINE, async || broker.count(&work).await >= 100).await;
    seen.extend(bodies(&broker, &work).await);
    // Nobody takes the next ones: what is not confirmed is not removed.
    broker.delete_queue(&work).await;
    assert_eq!(refused.exit(DEADLINE).await.code(), Some(1), "{}", refused.stderr());
    assert!(refused.stderr().contains("was not confirmed"), "{}", refused.stderr());
    let back = async || seen.len() + broker.count(&letters).await as usize;
    wait_until("the rest is back", DEADLINE, async || back().await >= LETTERS).await;
    seen.extend(bodies(&broker, &letters).await);
    seen.sort();
    seen.dedup();
    assert!(seen == all, "{} of {} are left", seen.len(), all.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_moved_has_its_reason_and_comes_back_as_it_was() {
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = Reaper::new(&database).fed_by(&broker).setting("feed.rabbitmq.delivery_limit", "2");
    with_contacts(&reaper).await;
    assert_eq!(reaper.json(&["dead-letters", "list"]).await, json!([]));
    let body = by_hand(5, 5).to_string();
    broker.publish(&[&body]).await;
    for _ in 0..3 {
        broker.take_and_give_back(&broker.queue()).await;
    }
    let letters = broker.dead_letter_queue();
    wait_until("the broker moves it", DEADLINE, async || broker.count(&letters).await == 1).await;
    let rows = reaper.json(&["dead-letters", "list"]).await;
    assert_eq!(
        (&rows[0]["reason"], &rows[0]["accountId"]),
        (&json!("delivery_limit"), &json!("1")),
        "{rows}"
    );
    let id = rows[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        reaper.json(&["dead-letters", "list", "--reason", "delivery_limit"]).await,
        rows,
        "the same id again"
    );
    assert_eq!(reaper.json(&["dead-letters", "replay", "--id", &id]).await, json!({"replayed": 1}));
    let message = broker.drain(&broker.queue()).await.remove(0);
    assert_eq!(message.body, body.as_bytes());
    let brokers = message.headers.keys().find(|name| name.contains("death"));
    assert_eq!(brokers, None, "its history would stop it on the ladder");
    broker.put(&broker.queue(), &[(body, vec![])]).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    wait_until("it is decided", DEADLINE, async || database.count("ledger", "TRUE").await == 1).await;
    assert_eq!(reaper.state(1, 5).await, "in_trash");
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
    assert_eq!(reaper.json(&all).await, json!({"replayed": 0, "setAsideAgain": 3}));
    assert_eq!(reaper.json(&["dead-letters", "list"]).await.as_array().map(Vec::len), Some(3));
    db.execute(db.in_its_words("ALTER TABLE ledger DROP CONSTRAINT never", "DROP TRIGGER never")).await;
    let replay =
        ["dead-letters", "replay", "--reason", "poison", "--account", "1", "--as", "user1@account1.example"];
    assert_eq!(reaper.json(&replay).await, json!({"replayed": 1, "setAsideAgain": 0}));
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
