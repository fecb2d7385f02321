//! Erasing for good: nothing of the person is left, and what others need stays.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::records::{ADMIN, contact, days_ago, entitled_account, segment, user};
use crate::support::{Database, Reaper, on_both};

const ACCOUNT: i64 = 1;

/// Values that nobody else has: none may be found afterwards.
pub const TRACES: [&str; 11] = [
    "zebulon.quirke@persönlich.example",
    "zq@old.example",
    "Zebulon",
    "Quirke",
    "+48 601 602 603",
    "Gdynia-Orłowo",
    "unique-custom-value",
    "typed-by-them-alone",
    "z.maiden@former.example",
    "Zebulon Maiden",
    "+48 999 888 777",
];

/// The person is contact 11; contact 12 shares a note, an e-mail and a ticket with them.
pub fn graph() -> Vec<Value> {
    let mut records = entitled_account(ACCOUNT);
    records.push(user(ACCOUNT, ADMIN, &["delete", "permanently_delete"]));
    let mut person = contact(
        ACCOUNT,
        11,
        json!({"email": TRACES[0], "firstname": "Zebulon", "lastname": "Quirke", "phone": TRACES[4],
            "city": TRACES[5], "custom": TRACES[6], "lifecyclestage": "lead"}),
    );
    person["additionalEmails"] = json!([TRACES[1]]);
    person["propertiesWithHistory"] = json!({"city": [{"value": "unique-custom-value", "timestamp": days_ago(9)}],
            "email": [{"value": TRACES[0], "timestamp": days_ago(9)}, {"value": TRACES[8], "timestamp": days_ago(99)}],
            "lastname": [{"value": "Quirke", "timestamp": days_ago(9)}, {"value": "Maiden", "timestamp": days_ago(99)}],
            "phone": [{"value": TRACES[10], "timestamp": days_ago(99)}]});
    records.push(person);
    records.push(contact(ACCOUNT, 12, json!({"email": "other@x.example", "firstname": "Otto"})));
    // Associated with nothing, and names a former address.
    records.push(json!({"kind": "deal", "accountId": "1", "id": "22", "properties": {
        "dealname": "z.maiden@former.example signs"}}));
    records.push(json!({"kind": "deliverability", "accountId": "1", "email": TRACES[8], "status": "bounced",
        "at": days_ago(99)}));
    let object = |kind: &str, id: &str, properties: Value| json!({"kind": kind, "accountId": "1", "id": id, "properties": properties});
    records.push(object(
        "company",
        "21",
        json!({"name": "ACME", "about": "ZEBULON.QUIRKE@persönlich.example runs it"}),
    ));
    records.push(object("ticket", "31", json!({"subject": "From zq@OLD.example"})));
    records.push(object("ticket", "32", json!({"subject": "Only theirs"})));
    let to = |ids: &[i64]| -> Vec<Value> {
        ids.iter().map(|id| json!({"type": "contact", "id": id.to_string()})).collect()
    };
    let activity = |id: &str, kind: &str, properties: Value, contacts: &[i64]| {
        json!({"kind": "activity", "accountId": "1", "id": id, "type": kind, "timestamp": days_ago(3),
            "properties": properties, "associations": to(contacts)})
    };
    records.push(activity(
        "41",
        "note",
        json!({"body": "Zebulon Quirke and Otto met, +48 601 602 603"}),
        &[11, 12],
    ));
    records.push(activity("42", "note", json!({"body": "typed-by-them-alone"}), &[11]));
    let former = json!({"body": "once Zebulon Maiden, +48 999 888 777"});
    records.push(activity("46", "note", former, &[11, 12]));
    let email = json!({"hs_email_headers": "{\"to\":\"zebulon.quirke@pers\\u00f6nlich.example\"}",
        "hs_email_to_firstname": "Zebulon", "hs_email_subject": "Hello"});
    records.push(activity("43", "email", email, &[11, 12]));
    records.push(activity("44", "task", json!({"subject": "Ring Quirke, Zebulon"}), &[11]));
    let conversation = |id: &str, channel: &str, contact: &str, tickets: &[&str]| {
        json!({"kind": "conversation", "accountId": "1", "id": id, "channel": channel, "contactId": contact,
            "ticketIds": tickets, "messages": [{"at": days_ago(2), "text": "typed-by-them-alone"}]})
    };
    records.push(conversation("51", "chat", "11", &["31", "32"]));
    records.push(conversation("52", "bot", "11", &[]));
    records.push(json!({"kind": "association", "accountId": "1", "from": {"type": "ticket", "id": "31"},
        "to": {"type": "contact", "id": "12"}}));
    let of = |kind: &str, members: Value| {
        let mut record = json!({"kind": kind, "accountId": "1", "contactId": "11"});
        record.as_object_mut().unwrap().append(&mut members.as_object().unwrap().clone());
        record
    };
    records.push(of("customEvent", json!({"id": "61", "eventTypeId": "e", "occurredAt": days_ago(1), "properties": {"v": "unique-custom-value"}})));
    records.push(of("feedback", json!({"id": "62", "surveyId": "s", "submittedAt": days_ago(1), "rating": 5, "text": "typed-by-them-alone"})));
    records.push(of(
        "formSubmission",
        json!({"id": "63", "formId": "f", "submittedAt": days_ago(1), "values": {"email": TRACES[1]}}),
    ));
    records.push(of("integration", json!({"source": "shop", "payload": {"name": "Zebulon"}})));
    records.push(of("notification", json!({"id": "64", "userId": "1", "contactName": "Zebulon Quirke", "contactEmail": TRACES[0], "title": "Zebulon opened", "createdAt": days_ago(1)})));
    records.push(of(
        "analyticsEvent",
        json!({"id": "65", "type": "session", "occurredAt": days_ago(1), "source": "web"}),
    ));
    records.push(of("lifecycleTransition", json!({"stage": "lead", "at": days_ago(5)})));
    records.push(json!({"kind": "file", "accountId": "1", "id": "71", "name": "cv zebulon quirke.pdf", "contactIds": ["11"]}));
    records.push(
        json!({"kind": "file", "accountId": "1", "id": "72", "name": "upload.pdf", "formSubmissionId": "63"}),
    );
    records.push(json!({"kind": "quote", "accountId": "1", "id": "73", "title": "For Zebulon Quirke", "contactIds": ["11"], "createdAt": days_ago(4)}));
    records.push(json!({"kind": "deliverability", "accountId": "1", "email": TRACES[1], "status": "unsubscribed", "at": days_ago(30)}));
    records.push(segment(ACCOUNT, 4, &[11, 12]));
    records
}

/// The same, with contact 11 in the trash for longer than it stays there.
fn graph_with_the_person_due() -> Vec<Value> {
    let mut records = graph();
    let person =
        records.iter_mut().find(|record| record["kind"] == "contact" && record["id"] == "11").unwrap();
    person["archived"] = json!(true);
    person["archivedAt"] = json!(days_ago(91));
    records
}

async fn erase(reaper: &Reaper, extra: &[&str]) -> crate::support::Output {
    let admin = ADMIN.to_string();
    reaper.run(&[&["--json", "erase", "--account", "1", "--as", &admin], extra].concat()).await
}

/// Every trace that is still somewhere, in any case.
pub async fn found(db: &Database, elsewhere: &str) -> Vec<&'static str> {
    let everything = (db.everything().await + elsewhere).to_lowercase();
    TRACES.into_iter().filter(|trace| everything.contains(&trace.to_lowercase())).collect()
}

on_both!(nothing_of_the_person_is_left, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph()).await;
    // A message that made no sense, and names the person all the same.
    reaper.decide_lines("{\"note\": \"for Zebulon Quirke, zq@old.example\"\n").await;
    assert_eq!(found(&db, "").await, TRACES, "the search finds what is there");
    let output = erase(&reaper, &["--contact", "11", "--confirm", "1"]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(found(&db, &(output.stdout.clone() + &output.stderr)).await, Vec::<&str>::new());

    let contact = reaper.json(&["inspect", "contact", "11", "--account", "1"]).await;
    assert_eq!((&contact["state"], &contact["properties"]), (&json!("erased"), &Value::Null));
    let kept = db
        .rows(
            "SELECT CAST(activity_id AS text), CAST(stub AS text), CAST(properties ->> 'body' AS text) \
             FROM activities WHERE type = 'note' ORDER BY activity_id",
        )
        .await;
    assert_eq!(kept[0][2], "[redacted] and Otto met, [redacted]");
    assert_eq!(kept[1][2], "NULL", "a note of no other record is a stub");
    assert_eq!(kept[2][2], "once [redacted], [redacted]");
    let email = db.rows("SELECT properties ->> 'hs_email_headers', properties ->> 'hs_email_to_firstname', properties ->> 'hs_email_subject' FROM activities WHERE activity_id = 43").await;
    assert_eq!(email, [["GDPR_DELETED", "[redacted]", "Hello"]]);
    let tickets = db.rows("SELECT CAST(object_id AS text), properties ->> 'subject' FROM objects WHERE object_type = 'ticket'").await;
    assert_eq!(tickets, [["31", "From [redacted]"]], "a ticket that somebody else is on stays");
    assert_eq!(db.count("dead_letters", "TRUE").await, 0, "it named the person");
    assert_eq!(db.count("audit", "action = 'discard_dead_letters' AND count = 1").await, 1);
    let files = db.rows("SELECT CAST(file_id AS text), name FROM files").await;
    assert_eq!(files, [["71", "cv [redacted].pdf"]]);
});

on_both!(a_contact_in_the_trash_is_erased_as_well, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph()).await;
    let admin = ADMIN.to_string();
    let deleted =
        reaper.run(&["delete", "--account", "1", "--as", &admin, "--contact", "11", "--confirm", "1"]).await;
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    let output = erase(&reaper, &["--email", " ZQ@old.example", "--confirm", "1"]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(found(&db, &output.stdout).await, Vec::<&str>::new());
    let restored = reaper.run(&["restore", "--account", "1", "--as", &admin, "--contact", "11"]).await;
    assert_eq!(restored.code, 1);
    assert!(restored.stderr.contains("erased"), "{}", restored.stderr);
    assert_eq!(reaper.json(&["trash", "list", "--account", "1"]).await, json!([]));
});

on_both!(erased_stays_erased_and_unsubscribed_stays_unsubscribed, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph()).await;
    assert_eq!(erase(&reaper, &["--contact", "11", "--confirm", "1"]).await.code, 0);
    // The same file again: nothing of the person comes back, not even by their suppression.
    let mut again = graph();
    // What others wrote may name anybody, and is theirs to bring.
    let others = ["company", "deal", "ticket", "quote", "activity", "file"];
    again.retain(|record| !others.contains(&record["kind"].as_str().unwrap()));
    reaper.import(&again).await;
    assert_eq!(found(&db, "").await, Vec::<&str>::new());
    // The address with somebody new: still unsubscribed.
    reaper.import(&[contact(ACCOUNT, 99, json!({"email": "zq@old.example"}))]).await;
    let newcomer = reaper.json(&["inspect", "contact", "99", "--account", "1"]).await;
    assert_eq!(newcomer["visible"]["suppressions"], json!(["unsubscribed:zq@old.example"]));
});

on_both!(what_was_taken_from_activities_does_not_come_back_with_the_same_file, async |db: Database| {
    let reaper = Reaper::new(&db);
    let end = |kind: &str, id: &str| json!({"type": kind, "id": id});
    let activity = |id: &str, kind: &str, properties: &Value, others: &[Value]| {
        let ends = [&[end("contact", "1")], others].concat();
        json!({"kind": "activity", "accountId": "1", "id": id, "type": kind, "timestamp": days_ago(3),
            "properties": properties, "associations": ends})
    };
    let header =
        json!({"body": "by Ada", "hs_email_headers": "ada@x.example", "hs_email_to_firstname": "Ada"});
    let mut file = entitled_account(ACCOUNT);
    file.extend([
        contact(ACCOUNT, 1, json!({"firstname": "Ada", "lastname": "Lovelace"})),
        contact(ACCOUNT, 2, json!({})),
        activity("21", "note", &json!({"body": "Ada Lovelace is nice"}), &[]),
        activity("22", "note", &json!({"body": "Ada Lovelace runs it"}), &[end("company", "77")]),
        activity("23", "email", &header, &[end("contact", "2")]),
    ]);
    reaper.import(&file).await;
    let erase = ["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"];
    assert_eq!(reaper.run(&erase).await.code, 0);
    let kept = async || {
        db.rows(
            "SELECT CAST(activity_id AS text), CASE WHEN stub THEN 'stub' ELSE '' END, \
             coalesce(properties ->> 'body', ''), coalesce(properties ->> 'hs_email_headers', ''), \
             coalesce(properties ->> 'hs_email_to_firstname', '') FROM activities ORDER BY activity_id",
        )
        .await
    };
    let expected = [
        ["21", "stub", "", "", ""],
        ["22", "", "[redacted] runs it", "", ""],
        ["23", "", "by Ada", "GDPR_DELETED", "[redacted]"],
    ];
    assert_eq!(kept().await, expected);
    // And one that comes for the first time.
    file.push(activity("24", "email", &header, &[end("contact", "2")]));
    reaper.import(&file).await;
    let late = [["24", "", "by Ada", "GDPR_DELETED", "[redacted]"]];
    assert_eq!(kept().await, [&expected[..], &late].concat());
    let links = db
        .rows(
            "SELECT CAST(activity_id AS text), CAST(object_id AS text) FROM activity_associations ORDER BY 1",
        )
        .await;
    assert_eq!(links, [["22", "77"], ["23", "2"], ["24", "2"]]);
});

on_both!(a_second_legal_hold_is_not_lost_behind_the_first, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph()).await;
    let set = ["legal-hold", "set", "--account", "1", "--contact", "11", "--reason"];
    let hold = async |reason: &str| reaper.run(&[&set[..], &[reason]].concat()).await;
    assert_eq!((hold("case 5").await.code, hold("case 5").await.code), (0, 0));
    let refused = hold("case 6").await;
    assert!(
        refused.code == 1 && refused.stderr.contains("lift it, and set one that names both"),
        "{}",
        refused.stderr
    );
    assert_eq!(db.rows("SELECT reason FROM legal_holds").await, [["case 5"]]);
    assert_eq!(db.count("audit", "action = 'set_legal_hold'").await, 1);
});

on_both!(a_wrong_count_a_hold_and_a_stranger_erase_nothing, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph()).await;
    let refused = async |extra: &[&str], why: &str| {
        let output = erase(&reaper, extra).await;
        assert_eq!(output.code, 1, "{}", output.stdout);
        assert!(output.stderr.contains(why), "{}", output.stderr);
    };
    refused(&["--contact", "11", "--confirm", "2"], "nothing was erased").await;
    refused(&["--contact", "77", "--confirm", "1"], "no contact 77").await;
    let hold = ["legal-hold", "set", "--account", "1", "--contact", "11", "--reason", "case 5"];
    assert_eq!(reaper.run(&hold).await.code, 0);
    refused(&["--contact", "11", "--confirm", "1"], "legal hold").await;
    assert_eq!(found(&db, "").await, TRACES);
    let lift = ["legal-hold", "lift", "--account", "1", "--contact", "11"];
    assert_eq!(reaper.run(&lift).await.code, 0);
    assert_eq!(erase(&reaper, &["--contact", "11", "--confirm", "1"]).await.code, 0);
});

on_both!(an_unknown_address_is_suppressed_all_the_same, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph()).await;
    let output = erase(&reaper, &["--email", "stranger@x.example", "--confirm", "0"]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(!db.everything().await.contains("stranger@x.example"));
    reaper.import(&[contact(ACCOUNT, 99, json!({"email": "Stranger@x.example"}))]).await;
    let newcomer = reaper.json(&["inspect", "contact", "99", "--account", "1"]).await;
    assert_eq!(newcomer["visible"]["suppressions"], json!(["unsubscribed:stranger@x.example"]));
});

on_both!(a_purge_leaves_the_texts_of_other_records_as_they_are, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph_with_the_person_due()).await;
    reaper.decide_lines("{\"note\": \"for Zebulon Quirke, zq@old.example\"\n").await;
    let texts = async || {
        let mut texts = Vec::new();
        for sql in [
            "SELECT CAST(properties AS text) FROM activities WHERE activity_id IN (41, 43, 44) ORDER BY activity_id",
            "SELECT CAST(properties AS text) FROM objects ORDER BY object_type, object_id",
            "SELECT CAST(messages AS text) FROM conversations WHERE channel <> 'bot' ORDER BY conversation_id",
            "SELECT title, contact_name, contact_email FROM notifications",
            "SELECT title FROM quotes",
            "SELECT name FROM files WHERE file_id = 71",
            "SELECT name FROM segments",
            "SELECT reason FROM dead_letters",
        ] {
            texts.push(db.rows(sql).await);
        }
        texts
    };
    let before = texts().await;
    assert!(format!("{before:?}").contains("Zebulon Quirke and Otto met"));
    let report = reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(report["jobs"][0]["deleted"], json!(1));
    assert_eq!(texts().await, before);
    assert_eq!(reaper.state(ACCOUNT, 11).await, "purged");
    reaper.import(&[contact(ACCOUNT, 99, json!({"email": "zq@old.example"}))]).await;
    let newcomer = reaper.json(&["inspect", "contact", "99", "--account", "1"]).await;
    assert_eq!(newcomer["visible"]["suppressions"], json!(["unsubscribed:zq@old.example"]));
});

on_both!(an_erasure_takes_nothing_from_those_whose_address_or_name_is_longer, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = entitled_account(ACCOUNT);
    records.push(user(ACCOUNT, ADMIN, &["delete", "permanently_delete"]));
    let named = |id: i64, email: &str, first: &str, last: &str| {
        contact(ACCOUNT, id, json!({"email": email, "firstname": first, "lastname": last}))
    };
    records.push(named(11, "ann@x.example", "Ann", "Lee"));
    records.push(named(12, "joann@x.example", "Joann", "Leeds"));
    records.push(named(13, "ann@x.example.net", "Anna", "Lee"));
    records.push(json!({"kind": "company", "accountId": "1", "id": "21",
        "properties": {"about": "ANN LEE <ann@x.example>, Joann Leeds <joann@x.example>"}}));
    reaper.import(&records).await;
    let others = async || (reaper.contact(1, 12).await, reaper.contact(1, 13).await);
    let before = others().await;
    assert_eq!(erase(&reaper, &["--contact", "11", "--confirm", "1"]).await.code, 0);
    assert_eq!(others().await, before);
    let about = db.rows("SELECT properties ->> 'about' FROM objects").await;
    assert_eq!(
        about,
        [["ANN LEE <[redacted]>, Joann Leeds <joann@x.example>"]],
        "no note of the contact: the name stays"
    );
});

on_both!(an_event_of_an_erasure_names_the_trash_entry_that_it_ends, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph()).await;
    reaper.delete(ACCOUNT, 11).await;
    let entry = reaper.contact(ACCOUNT, 11).await["trash"]["entryId"].clone();
    assert_eq!(erase(&reaper, &["--contact", "11", "--confirm", "1"]).await.code, 0);
    assert_eq!(erase(&reaper, &["--contact", "12", "--confirm", "1"]).await.code, 0);
    let told = db.rows("SELECT type, data FROM outbox WHERE type LIKE 'contact.%' ORDER BY message_id").await;
    let told: Vec<(&str, Value)> = told
        .iter()
        .map(|row| (row[0].as_str(), serde_json::from_str::<Value>(&row[1]).unwrap()["trashEntryId"].clone()))
        .collect();
    let of_12 = [("contact.deletion", Value::Null), ("contact.privacyDeletion", Value::Null)];
    assert_eq!(told[..2], [("contact.deletion", entry.clone()), ("contact.privacyDeletion", entry)]);
    assert_eq!(told[2..], of_12);
});

/// Somebody writes on, in a transaction that is still open when the erasure comes to the text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_changes_during_an_erasure_keeps_the_change() {
    let db = Database::postgres().await;
    let reaper = Reaper::new(&db);
    reaper.import(&graph()).await;
    let change = "BEGIN; UPDATE objects SET properties = '{\"name\": \"ACME, of zq@old.example once\"}' \
                  WHERE object_type = 'company'; SELECT pg_sleep(2); COMMIT";
    let erasing = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        erase(&reaper, &["--contact", "11", "--confirm", "1"]).await
    };
    let (_, output) = tokio::join!(db.execute(change), erasing);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let name = db.rows("SELECT properties ->> 'name' FROM objects WHERE object_type = 'company'").await;
    assert_eq!(name, [["ACME, of [redacted] once"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_cannot_scrub_the_files_is_done_and_says_so() {
    let db = Database::sqlite();
    let reaper = Reaper::new(&db).setting("store.busy_timeout", "1s");
    reaper.import(&graph()).await;
    let in_the_way = db.open_reader().await;
    let output = erase(&reaper, &["--contact", "11", "--confirm", "1"]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert!(output.stderr.contains("the erasure is done, but"), "{}", output.stderr);
    assert_eq!(serde_json::from_str::<Value>(&output.stdout).unwrap()["receipts"][0]["contactId"], "11");
    assert_eq!(serde_json::from_str::<Value>(&output.stdout).unwrap()["scrubbed"], false);
    drop(in_the_way);
    assert_eq!(db.count("owed_scrubs", "TRUE").await, 1);
    // A run of the job that purges nobody does what is owed.
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(found(&db, "").await, Vec::<&str>::new(), "the files are rewritten");
    assert_eq!(db.count("owed_scrubs", "TRUE").await, 0);
}
