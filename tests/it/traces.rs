//! Nothing of a person who is gone, wherever somebody may look: in the store, in what its commands and a running
//! service logged at debug level, and in the events that were sent out.

use serde_json::{Value, json};

use crate::erase::{TRACES, graph};
use crate::support::records::{ADMIN, event, manual_workflow, seconds_ago};
use crate::support::{Broker, DEADLINE, Database, Output, Reaper, on_both, wait_until};

const PERSON: i64 = 11;
const WORKFLOW: i64 = 50;

/// The ways in which a value may stand somewhere, all in small letters.
fn spellings(value: &str) -> Vec<String> {
    let ascii = |text: &str| -> String {
        let escape = |letter: char| match letter {
            ascii if ascii.is_ascii() => ascii.to_string(),
            other => format!("\\u{:04x}", u32::from(other)),
        };
        text.chars().map(escape).collect()
    };
    [value.to_owned(), value.to_uppercase(), value.to_lowercase()]
        .iter()
        .flat_map(|text| [text.to_lowercase(), ascii(text).to_lowercase()])
        .collect()
}

/// Which of the person's values a text holds.
fn found(text: &str) -> Vec<&'static str> {
    let text = text.to_lowercase();
    let holds = |trace: &&str| spellings(trace).iter().any(|spelling| text.contains(spelling));
    TRACES.into_iter().filter(holds).collect()
}

/// The service, the broker, and all that was said.
struct Scene<'a> {
    db: &'a Database,
    broker: Broker,
    reaper: Reaper,
    heard: String,
}

impl<'a> Scene<'a> {
    async fn new(db: &'a Database) -> Self {
        let broker = Broker::new().await;
        let heard = broker.listen(&[]).await;
        let reaper = Reaper::new(db).setting("log.level", "debug").fed_by(&broker);
        let mut records = graph();
        records.push(manual_workflow(1, WORKFLOW));
        // As somebody pasted it, escaped by a program that knows ASCII only.
        records.push(json!({"kind": "activity", "accountId": "1", "id": "45", "type": "note",
            "timestamp": seconds_ago(60), "properties": {"body": "{\"to\":\"ZEBULON.quirke@pers\\u00F6nlich.example\"}"},
            "associations": [{"type": "contact", "id": "12"}]}));
        reaper.import(&records).await;
        Self { db, broker, reaper, heard }
    }

    /// The person is deleted by a workflow and by a user, restored, and told of in messages that make no sense.
    async fn events_about_the_person(&self) {
        let mut enrolled = event(1, WORKFLOW, PERSON, 1);
        enrolled["data"]["cause"] = json!("MANUAL");
        let mut faulty = enrolled.clone();
        faulty["data"]["objectId"] = json!(TRACES[0]);
        let garbage = format!("{{\"note\": \"{}, {}\"", TRACES[1], TRACES[4]);
        let bodies = [enrolled.to_string(), faulty.to_string(), garbage];
        self.broker.publish(&bodies).await;
        wait_until("the person is in the trash", DEADLINE, async || {
            self.reaper.state(1, PERSON).await == "in_trash"
        })
        .await;
        self.reaper.restore(1, PERSON).await;
        self.reaper.delete(1, PERSON).await;
    }

    /// What left, once all has.
    async fn sent(&self) -> String {
        // The confirmation stays: there is no mail server.
        wait_until("every event is out", DEADLINE, async || {
            self.db.count("outbox", "type <> 'mail.erasure'").await == 0
        })
        .await;
        let sent = self.broker.drain(&self.heard).await;
        assert!(!sent.is_empty(), "events were heard");
        let said = sent
            .iter()
            .map(|message| format!("{:?}{}", message.headers, String::from_utf8_lossy(&message.body)));
        said.collect::<Vec<_>>().join("\n")
    }

    /// The embedded feed, too, meets lines about the person.
    async fn lines_about_the_person(&self) -> Output {
        let line = format!("{{\"for\": \"{}\", \"tel\": \"{}\"\n", TRACES[0].to_uppercase(), TRACES[4]);
        let output = self.reaper.fed_by_lines("-").run_with_input(&["run"], &line).await;
        assert_eq!((output.code, self.db.count("dead_letters", "TRUE").await), (0, 1), "{}", output.stderr);
        output
    }
}

on_both!(an_erased_person_is_in_no_store_no_log_and_no_event, async |db: Database| {
    let scene = Scene::new(&db).await;
    let lines = scene.lines_about_the_person().await;
    let mut worker = scene.reaper.spawn(&["run"]);
    worker.wait_ready().await;
    scene.events_about_the_person().await;
    assert_eq!(found(&db.everything().await), TRACES, "the search finds what is there");
    let (user, email) = (ADMIN.to_string(), TRACES[1]);
    let erase = ["-v", "erase", "--account", "1", "--as", &user, "--email", email, "--confirm", "1"];
    let erased = scene.reaper.run(&erase).await;
    assert_eq!(erased.code, 0, "{}", erased.stderr);
    let sent = scene.sent().await;
    worker.terminate();
    worker.exit(DEADLINE).await;

    assert_eq!(found(&db.everything().await), [""; 0], "the store");
    for (what, said) in [
        ("the erase", erased.stdout + &erased.stderr),
        ("the service", worker.stderr()),
        ("the embedded feed", lines.stderr),
        ("the events", sent),
    ] {
        assert!(!said.is_empty(), "{what} says something");
        assert_eq!(found(&said), [""; 0], "{what}: {said}");
    }
    let pasted = db.rows("SELECT properties ->> 'body' FROM activities WHERE activity_id = 45").await;
    assert_eq!(pasted, [[r#"{"to":"[redacted]"}"#]]);
});

on_both!(a_purged_person_is_in_no_log_and_no_event_and_its_properties_are_gone, async |db: Database| {
    let scene = Scene::new(&db).await;
    scene.lines_about_the_person().await;
    let mut worker = scene.reaper.spawn(&["run"]);
    worker.wait_ready().await;
    scene.events_about_the_person().await;
    let sent = scene.sent().await;
    worker.terminate();
    worker.exit(DEADLINE).await;
    let old = "deleted_at = '2020-01-01T00:00:00.000000Z'";
    db.execute(&format!(
        "UPDATE contacts SET {old} WHERE contact_id = {PERSON}; \
         UPDATE trash_entries SET {old} WHERE contact_id = {PERSON} AND closed_at IS NULL"
    ))
    .await;
    let purged = scene.reaper.run(&["-v", "retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(
        (purged.code, scene.reaper.state(1, PERSON).await.as_str()),
        (0, "purged"),
        "{}",
        purged.stderr
    );

    // What only the contact itself had is gone; what other records say of the person stays as it is.
    db.open().scrub().await.unwrap();
    let left = found(&db.everything().await);
    assert!(!left.contains(&"Gdynia-Orłowo") && !left.contains(&"unique-custom-value"), "{left:?}");
    assert!(left.contains(&"typed-by-them-alone"), "a chat stays: {left:?}");
    for (what, said) in [
        ("the purge", purged.stdout + &purged.stderr),
        ("the service", worker.stderr()),
        ("the events", sent),
    ] {
        assert_eq!(found(&said), [""; 0], "{what}: {said}");
    }
    let audit: Vec<Value> = serde_json::from_value(scene.reaper.json(&["audit", "list"]).await).unwrap();
    assert!(audit.iter().any(|row| row["action"] == "purge"), "{audit:?}");
});
