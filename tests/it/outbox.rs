//! Events out: each deed leaves as a CloudEvent, at least once, in order per contact, and says nothing of a person.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contact_reaper::store::StoreError;
use contact_reaper::store::lease::LeaseName;
use lapin::types::AMQPValue;
use serde_json::{Value, json};

use crate::support::records::{all_of, contact, entitled_account, event, lines, property, workflow};
use crate::support::{Broker, DEADLINE, Database, Proxy, Reaper, on_both, wait_until};

const ACCOUNT: i64 = 1;
const WORKFLOW: i64 = 50;

/// An account whose workflow deletes every contact, and these contacts.
fn account_with(contacts: impl IntoIterator<Item = i64>) -> Vec<Value> {
    let known = all_of(&[property("email", "ALL_PROPERTY", "IS_KNOWN", Value::Null)]);
    let mut records = entitled_account(ACCOUNT);
    records.push(workflow(ACCOUNT, WORKFLOW, &known));
    records.extend(contacts.into_iter().map(|id| contact(ACCOUNT, id, json!({}))));
    records
}

/// The event that enrolls a contact.
fn enrolled(contact: i64) -> Value {
    event(ACCOUNT, WORKFLOW, contact, 10_000 + contact)
}

fn bodies(events: &[Value]) -> Vec<String> {
    events.iter().map(Value::to_string).collect()
}

/// What has arrived, in the order of arrival.
#[derive(Default)]
struct Arrivals(Vec<Value>);

impl Arrivals {
    /// Takes what waits; checks the envelope of each.
    async fn take(&mut self, broker: &Broker, queue: &str) {
        for message in broker.drain(queue).await {
            let event: Value = serde_json::from_slice(&message.body).expect("JSON");
            let id = event["id"].as_str().expect("an id").to_owned();
            assert_eq!(message.envelope, ["application/cloudevents+json".to_owned(), "2".to_owned(), id]);
            assert_eq!(event["type"], json!(message.routing_key));
            self.0.push(event);
        }
    }

    /// Takes until so many different ones have arrived; fails the test where they do not.
    async fn wait(&mut self, broker: &Broker, queue: &str, different: usize) {
        wait_until("all events have arrived", DEADLINE, async || {
            self.take(broker, queue).await;
            self.ids().len() >= different
        })
        .await;
    }

    fn ids(&self) -> BTreeSet<&str> {
        self.0.iter().filter_map(|event| event["id"].as_str()).collect()
    }

    /// The types of each contact's events, repetitions left out, in the order of their first arrival.
    fn by_contact(&self) -> BTreeMap<i64, Vec<&str>> {
        let mut seen = BTreeSet::new();
        let mut contacts: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
        for event in self.0.iter().filter(|event| seen.insert(event["id"].to_string())) {
            let contact = event["data"]["contactId"].as_str().and_then(|id| id.parse().ok());
            let kind = event["type"].as_str().expect("a type");
            contacts.entry(contact.expect("about a contact")).or_default().push(kind);
        }
        contacts
    }
}

async fn waiting(db: &Database) -> i64 {
    db.count("outbox", "TRUE").await
}

async fn wait_empty(db: &Database) {
    wait_until("the outbox is empty", DEADLINE, async || waiting(db).await == 0).await;
}

on_both!(each_deed_leaves_in_order_and_says_nothing_of_the_person, async |db: Database| {
    let broker = Broker::new().await;
    let queue = broker.listen(&[]).await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    let mut records = account_with([12]);
    let person = contact(
        ACCOUNT,
        11,
        json!({"firstname": "Ottoline", "lastname": "Ähre-\"Quill\"", "phone": "+49 30 555 0199"}),
    );
    records.push(person.clone());
    reaper.import(&records).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;

    reaper.delete(ACCOUNT, 11).await;
    reaper.restore(ACCOUNT, 11).await;
    db.restored_a_while_ago().await;
    broker.publish(&bodies(&[enrolled(11), enrolled(12)])).await;

    let mut arrivals = Arrivals::default();
    arrivals.wait(&broker, &queue, 4).await;
    wait_empty(&db).await;
    arrivals.take(&broker, &queue).await;
    assert_eq!(arrivals.0.len(), 4, "nothing went wrong, nothing is repeated");
    let (deletion, restore) = ("contact.deletion", "contact.restore");
    let expected = BTreeMap::from([(11, vec![deletion, restore, deletion]), (12, vec![deletion])]);
    assert_eq!(arrivals.by_contact(), expected);

    let about_11: Vec<&Value> =
        arrivals.0.iter().filter(|event| event["data"]["contactId"] == json!("11")).collect();
    for event in &arrivals.0 {
        assert_eq!(event["specversion"], json!("1.0"));
        assert_eq!(event["source"], json!("/contact-reaper"));
        assert_eq!(event["datacontenttype"], json!("application/json"));
        assert_eq!(event["data"]["accountId"], json!("1"));
        assert!(event["id"].as_str().is_some_and(|id| id.starts_with("1-")), "{event}");
        assert!(event["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{event}");
    }
    let by_admin = json!({"kind": "user", "userId": "1"});
    assert_eq!(about_11[0]["data"]["deletedBy"], by_admin);
    assert_eq!(about_11[1]["data"]["restoredBy"], by_admin);
    assert_eq!(about_11[1]["data"]["trashEntryId"], about_11[0]["data"]["trashEntryId"]);
    let by_workflow = json!({"kind": "workflow", "workflowId": "50", "enrollmentId": "10011"});
    assert_eq!(about_11[2]["data"]["deletedBy"], by_workflow);

    let said = format!("{:?} {:?}", arrivals.0, bodies(&arrivals.0)).to_lowercase();
    for value in person["properties"].as_object().expect("an object").values() {
        let value = value.as_str().expect("a string").to_lowercase();
        assert!(!said.contains(&value), "an event says {value}");
    }
});

on_both!(a_killed_publisher_loses_nothing_and_the_order_holds, async |db: Database| {
    const CONTACTS: i64 = 2000;
    const TWICE: i64 = 5;
    let broker = Broker::new().await;
    let queue = broker.listen(&[]).await;
    let reaper = Reaper::new(&db).fed_by(&broker).unguarded();
    for some in account_with(1..=CONTACTS).chunks(250) {
        reaper.import(some).await;
    }
    // These have a history that waits in the outbox already.
    for id in 1..=TWICE {
        reaper.delete(ACCOUNT, id).await;
        reaper.restore(ACCOUNT, id).await;
    }
    db.restored_a_while_ago().await;
    let mut workers = [reaper.spawn(&["run"]), reaper.spawn(&["run"])];
    for worker in &mut workers {
        worker.wait_ready().await;
    }
    let events: Vec<Value> = (1..=CONTACTS).map(enrolled).collect();
    broker.publish(&bodies(&events)).await;
    wait_until("the first deletions are out", DEADLINE, async || broker.count(&queue).await >= 50).await;

    let holder = db.rows("SELECT holder FROM leases WHERE name = 'outbox'").await.remove(0).remove(0);
    let publishes = |id: u32| holder.ends_with(&format!(":{id}"));
    let leader = workers.iter_mut().find(|worker| publishes(worker.id()));
    leader.expect("one of the two publishes").kill9();
    let out = i64::from(broker.count(&queue).await);
    assert!(out < CONTACTS + 2 * TWICE, "it was killed after the last event, not in the middle");

    let all = usize::try_from(CONTACTS + 2 * TWICE).expect("small");
    let mut arrivals = Arrivals::default();
    arrivals.wait(&broker, &queue, all).await;
    wait_empty(&db).await;
    arrivals.take(&broker, &queue).await;
    assert_eq!(arrivals.ids().len(), all);
    let contacts = arrivals.by_contact();
    assert_eq!(contacts.keys().copied().collect::<Vec<_>>(), (1..=CONTACTS).collect::<Vec<_>>());
    for (id, kinds) in contacts {
        let expected: &[&str] = if id <= TWICE {
            &["contact.deletion", "contact.restore", "contact.deletion"]
        } else {
            &["contact.deletion"]
        };
        assert_eq!(kinds, expected, "contact {id}");
    }
});

on_both!(events_wait_for_the_broker_and_leave_when_it_comes, async |db: Database| {
    let broker = Broker::new().await;
    let queue = broker.listen(&[]).await;
    let mut proxy = Proxy::new(&broker.host());
    let url = format!("amqp://guest:guest@{}/%2f", proxy.address());
    let mut reaper = Reaper::new(&db);
    for (key, value) in broker.settings_by(&url) {
        reaper = reaper.setting(key, &value);
    }
    reaper.import(&account_with([1, 2])).await;
    reaper.delete(ACCOUNT, 1).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_listening().await;
    wait_until("it has tried", DEADLINE, async || worker.stderr().contains("events not published")).await;
    assert_eq!(waiting(&db).await, 1);

    proxy.open();
    let mut arrivals = Arrivals::default();
    arrivals.wait(&broker, &queue, 1).await;
    wait_empty(&db).await;

    // And where it goes away under a connection that had been made.
    proxy.close().await;
    reaper.delete(ACCOUNT, 2).await;
    proxy.open();
    arrivals.wait(&broker, &queue, 2).await;
    wait_empty(&db).await;
});

on_both!(where_nobody_listens_events_do_not_pile_up, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker);
    reaper.import(&account_with([1])).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    assert!(!broker.routes(&broker.events_exchange(), "contact.deletion").await);
    reaper.delete(ACCOUNT, 1).await;
    wait_empty(&db).await;
});

on_both!(a_listener_that_is_full_gets_all_later_and_in_order, async |db: Database| {
    const CONTACTS: usize = 10;
    const EVENTS: usize = 100;
    let broker = Broker::new().await;
    let reject = AMQPValue::LongString("reject-publish".into());
    let queue = broker.listen(&[("x-max-length", AMQPValue::LongInt(5)), ("x-overflow", reject)]).await;
    let reaper = Reaper::new(&db).fed_by(&broker).setting("feed.rabbitmq.max_reconnect_delay", "100ms");
    reaper.import(&account_with([])).await;
    // A long history of few contacts: what a wave may mix up.
    for number in 0..EVENTS {
        let contact = number % CONTACTS;
        insert_message(&db, "contact.deletion", &format!(r#"{{"contactId":"{contact}","number":{number}}}"#))
            .await;
    }
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    wait_until("it was refused", DEADLINE, async || worker.stderr().contains("did not confirm")).await;
    assert!(waiting(&db).await >= 90, "what was refused is kept");

    let mut arrivals = Arrivals::default();
    // What was taken and not confirmed in time is sent again: there must be room for it until the end.
    wait_until("the outbox is empty", DEADLINE, async || {
        arrivals.take(&broker, &queue).await;
        waiting(&db).await == 0
    })
    .await;
    arrivals.wait(&broker, &queue, EVENTS).await;
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for event in arrivals.0.iter().filter(|event| seen.insert(event["id"].to_string())) {
        let number = event["data"]["number"].as_u64().expect("a number");
        let before = last.insert(event["data"]["contactId"].to_string(), number);
        assert!(before < Some(number), "{number} came after {before:?}");
    }
});

/// Puts a message into the outbox behind the program's back.
async fn insert_message(db: &Database, kind: &str, data: &str) {
    let row = format!("(1, '{kind}', '{data}', '2026-11-21T10:00:00.000000Z')");
    db.execute(&format!("INSERT INTO outbox (account_id, type, data, created_at) VALUES {row}")).await;
}

on_both!(what_was_done_before_the_stop_leaves_before_the_end, async |db: Database| {
    let broker = Broker::new().await;
    let queue = broker.listen(&[]).await;
    let reaper = Reaper::new(&db).fed_by(&broker).unguarded();
    reaper.import(&account_with(1..=600)).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    broker.publish(&bodies(&(1..=600).map(enrolled).collect::<Vec<_>>())).await;
    wait_until("it is at work", DEADLINE, async || db.count("ledger", "outcome = 'deleted'").await > 0).await;
    worker.terminate();
    assert!(worker.exit(DEADLINE).await.success(), "{}", worker.stderr());

    assert_eq!(waiting(&db).await, 0);
    let mut arrivals = Arrivals::default();
    arrivals.take(&broker, &queue).await;
    let deleted = db.count("ledger", "outcome = 'deleted'").await;
    assert_eq!(i64::try_from(arrivals.ids().len()), Ok(deleted));
});

on_both!(without_a_broker_events_wait, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&account_with([1])).await;
    reaper.decide_lines(&lines(&[enrolled(1)])).await;
    assert_eq!(waiting(&db).await, 1);
});

on_both!(who_has_lost_the_lease_removes_nothing, async |db: Database| {
    let store = db.open();
    store.migrate().await.expect("a schema");
    for data in [r#"{"contactId":"1"}"#, r#"{"contactId":"2"}"#] {
        insert_message(&db, "contact.deletion", data).await;
    }
    // Not an event: nothing that is published.
    insert_message(&db, "mail", "{}").await;
    let long = Duration::from_mins(1);
    let ids = async || -> Vec<(i64, i64)> {
        let events = store.events(10).await.expect("it answers");
        events.iter().map(|event| (event.account_id, event.message_id)).collect()
    };
    let both = ids().await;
    assert_eq!(both.len(), 2);

    let slept = store
        .acquire_or_renew_lease(LeaseName::Outbox, "slept", Duration::ZERO)
        .await
        .unwrap()
        .expect("it is free");
    tokio::time::sleep(Duration::from_millis(20)).await;
    // Its time is over, but nobody came.
    store.remove_published(&slept, Duration::ZERO, &both[..1]).await.expect("still its own");
    tokio::time::sleep(Duration::from_millis(20)).await;
    let woke = store
        .acquire_or_renew_lease(LeaseName::Outbox, "took over", long)
        .await
        .unwrap()
        .expect("it has ended");
    let refused = store.remove_published(&slept, long, &both).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(ids().await, both[1..]);
    assert_eq!(store.acquire_or_renew_lease(LeaseName::Outbox, "slept", long).await.unwrap(), None);
    // Another duty is another lease.
    assert!(store.acquire_or_renew_lease(LeaseName::Schedule, "slept", long).await.unwrap().is_some());

    store.remove_published(&woke, long, &both).await.expect("it has the lease");
    assert_eq!((ids().await.len(), waiting(&db).await), (0, 1));
});
