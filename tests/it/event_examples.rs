//! `docs/EVENT.md`, held against real messages: its enrollment is decided, and every event that leaves looks as it says,
//! and as `docs/asyncapi.json` does.

use contact_reaper::domain::record_event::parse_records;
use serde_json::{Value, json};

use crate::asyncapi::{document, schema};
use crate::support::records::{ADMIN, contact, days_ago, entitled_account, manual_workflow};
use crate::support::{Broker, DEADLINE, Database, Reaper, complaints, wait_until};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

/// The examples of the page, in their order.
fn examples() -> Vec<Value> {
    let page = include_str!("../../docs/EVENT.md");
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    blocks.map(|block| serde_json::from_str(block).expect("JSON")).collect()
}

/// What a value looks like: members and types, and the words that are the same in every event.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let same = ["specversion", "source", "type", "datacontenttype", "kind"];
            let shape = |(name, value): (&String, &Value)| {
                let shape = if same.contains(&name.as_str()) { value.clone() } else { shape(value) };
                (name.clone(), shape)
            };
            members.iter().map(shape).collect()
        }
        Value::String(text) if text.parse::<u64>().is_ok() => json!("an id"),
        Value::String(text) if text.len() == 27 && text.ends_with('Z') => json!("a time"),
        Value::String(_) => json!("a text"),
        Value::Number(_) => json!("a number"),
        other => other.clone(),
    }
}

/// The name that `docs/asyncapi.json` gives to the message of an event: `contactDeletion` for `contact.deletion`, and
/// `recordDeletion` for that of any other record.
fn message_of(event: &Value) -> String {
    let (subject, deed) = event["type"].as_str().and_then(|kind| kind.split_once('.')).expect("two words");
    let subject = if ["company", "deal", "ticket", "object"].contains(&subject) { "record" } else { subject };
    format!("{subject}{}{}", deed[..1].to_uppercase(), &deed[1..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_looks_as_the_page_says() {
    let examples = examples();
    let [enrollment, record, events @ ..] = examples.as_slice() else {
        panic!("an enrollment and a record first")
    };
    let (body, payload) = (record.to_string(), schema("recordUpserted", "payload"));
    assert_eq!(parse_records(body.as_bytes()).map(|records| records.len()), Ok(1));
    assert_eq!(complaints(&document(), &[(payload, record.clone())]), [None]);
    let (database, broker) = (Database::postgres().await, Broker::new().await);
    let heard = broker.listen(&[]).await;
    let reaper =
        Reaper::new(&database).fed_by(&broker).unguarded().setting("guard.workflow.max_deletions", "2");
    let reaper = reaper.setting("events.refusals", "true");
    let mut records = entitled_account(1);
    records.push(manual_workflow(1, 6));
    records.extend((512..=514).map(|id| contact(1, id, json!({}))));
    let mut old = contact(1, 515, json!({}));
    old["archived"] = json!(true);
    old["archivedAt"] = json!(days_ago(91));
    old["createdAt"] = json!(days_ago(200));
    records.push(old);
    records.extend([
        json!({"kind": "object", "accountId": "1", "objectTypeId": "2-134", "id": "640", "properties": {}}),
        json!({"kind": "deal", "accountId": "1", "id": "620", "properties": {}, "archived": true,
            "archivedAt": days_ago(91)}),
    ]);
    reaper.import(&records).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;

    let enroll = async |contact: &str, enrollment_id: &str| {
        let mut event = enrollment.clone();
        event["data"]["objectId"] = json!(contact);
        event["data"]["enrollmentId"] = json!(enrollment_id);
        event["data"]["enrolledAt"] = json!(crate::support::records::seconds_ago(0));
        let headers = vec![("traceparent", lapin::types::AMQPValue::LongString(TRACE.into()))];
        broker.put(&broker.queue(), &[(event.to_string(), headers)]).await;
    };
    let decided = async |count: i64| {
        wait_until("it is decided", DEADLINE, async || database.count("ledger", "TRUE").await == count).await;
    };
    enroll("512", "9001").await;
    decided(1).await;
    reaper.restore(1, 512).await;
    reaper.delete(1, 512).await;
    let user = ADMIN.to_string();
    let erase = ["erase", "--account", "1", "--as", &user, "--contact", "512", "--confirm", "1"];
    assert_eq!(reaper.run(&erase).await.code, 0);
    enroll("513", "9002").await;
    decided(2).await;
    enroll("514", "9003").await;
    decided(3).await;
    let mut refused = enrollment.clone();
    refused["data"]["actionId"] = json!("9");
    refused["data"]["enrollmentId"] = json!("9004");
    refused["data"]["enrolledAt"] = json!(crate::support::records::seconds_ago(0));
    broker.publish(&[refused.to_string()]).await;
    decided(4).await;
    let of_record = ["--account", "1", "--as", &user, "--record", "2-134:640"];
    reaper.json(&[&["delete", "--confirm", "1"], &of_record[..]].concat()).await;
    reaper.json(&[&["restore"], &of_record[..]].concat()).await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    let announcing = reaper.clone().setting("events.record_changes", "true");
    let mut newcomer = contact(1, 520, json!({}));
    for _ in 0..2 {
        announcing.import(std::slice::from_ref(&newcomer)).await;
    }
    newcomer["properties"]["city"] = json!("Berlin");
    newcomer["properties"]["lifecyclestage"] = json!("lead");
    announcing.import(&[newcomer]).await;

    // Deleted, restored, deleted by a user, erased; deleted, stopped; refused; purged; created, changed. Of the others: deleted,
    // restored, purged.
    wait_until("all events have arrived", DEADLINE, async || broker.count(&heard).await == 13).await;
    let messages = broker.drain(&heard).await;
    let told: Vec<Value> =
        messages.iter().map(|message| serde_json::from_slice(&message.body).expect("JSON")).collect();
    let mut judged = Vec::new();
    for event in told.iter().chain(events) {
        judged.push((schema(&message_of(event), "payload"), event.clone()));
    }
    for (message, event) in messages.iter().zip(&told) {
        judged.push((schema(&message_of(event), "headers"), json!(message.headers)));
        assert_eq!(message.envelope[0], "application/cloudevents+json");
        assert_eq!(event["type"], message.routing_key);
    }
    judged.push((schema("enrollment", "payload"), enrollment.clone()));
    for (complaint, (_, value)) in complaints(&document(), &judged).iter().zip(&judged) {
        assert_eq!(*complaint, None, "{value}");
    }
    for example in events {
        let is_like = |event: &&Value| {
            event["type"] == example["type"]
                && event["data"]["deletedBy"]["kind"] == example["data"]["deletedBy"]["kind"]
        };
        let event =
            told.iter().find(is_like).unwrap_or_else(|| panic!("none is {}: {told:?}", example["type"]));
        assert_eq!(shape(event), shape(example));
    }
    assert_eq!(events.len(), 11);
}
