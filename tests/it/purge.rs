//! What a purge deletes, unlinks and leaves, row by row; and that it never takes what a restore gave back.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::every_category::every_category;
use crate::support::records::{ADMIN, contact, entitled_account, seconds_ago};
use crate::support::{Database, Output, Reaper, on_both};

const NINETY_DAYS: TimeDelta = TimeDelta::days(90);

/// A contact in the trash since then.
fn trashed_at(id: i64, at: DateTime<Utc>) -> Value {
    let mut record = contact(1, id, json!({}));
    record["archived"] = json!(true);
    record["archivedAt"] = json!(at.to_rfc3339_opts(SecondsFormat::Micros, true));
    record
}

fn integration(contact: i64) -> Value {
    json!({"kind": "integration", "accountId": "1", "contactId": contact.to_string(), "source": "shop",
        "payload": {}})
}

/// The rows of account 1, columns joined by commas, sorted as text.
pub async fn left(db: &Database, columns: &str, table: &str) -> Vec<String> {
    let casts: Vec<String> = columns.split(", ").map(|column| format!("CAST({column} AS text)")).collect();
    let sql = format!("SELECT {} FROM {table} WHERE account_id = 1", casts.join(", "));
    let mut rows: Vec<String> = db.rows(&sql).await.into_iter().map(|row| row.join(",")).collect();
    rows.sort();
    rows
}

/// The rows of one account, of every table that has accounts.
pub async fn of_account(db: &Database, account: i64) -> Vec<String> {
    let mut rows = Vec::new();
    for table in db.tables().await {
        if db.columns(&table).await.first().is_some_and(|column| column == "account_id") {
            let its =
                db.table(&table).await.into_iter().filter(|row| row.starts_with(&format!("{account} | ")));
            rows.extend(its.map(|row| format!("{table}: {row}")));
        }
    }
    rows
}

on_both!(a_purge_deletes_and_unlinks_what_the_matrix_says_and_leaves_the_rest, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = every_category(1);
    for record in &mut records {
        if record["kind"] == "contact" && record["id"] == "1" {
            record["archived"] = json!(true);
            record["archivedAt"] = json!(seconds_ago(NINETY_DAYS.num_seconds() + 60));
        }
    }
    reaper.import(&[records, every_category(2)].concat()).await;
    let neighbour = reaper.contact(1, 3).await;
    let elsewhere = of_account(&db, 2).await;
    assert!(elsewhere.len() > 60, "account 2 has rows to lose: {}", elsewhere.len());
    let report = reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(report["jobs"][0]["deleted"], 1);

    for (columns, table, expected) in [
        // Alone, notes, meetings and calls leave a stub without content; with others, and tasks, they stay.
        (
            "activity_id, type",
            "(SELECT * FROM activities WHERE NOT stub AND type <> 'email') a",
            &["13,call", "40,note", "41,meeting", "51,task", "60,note", "61,call"][..],
        ),
        (
            "activity_id, type",
            "(SELECT * FROM activities WHERE stub AND type <> 'email') a",
            &["50,note", "52,meeting", "53,call"],
        ),
        (
            "activity_id, object_type, object_id",
            "activity_associations",
            &["13,company,10", "40,company,10", "41,contact,3", "42,deal,11", "60,contact,3", "61,contact,3"],
        ),
        (
            "event_id, contact_id, type, source",
            "analytics_events",
            &["22,NULL,email_open,newsletter", "57,NULL,session,direct", "65,3,session,direct"],
        ),
        ("from_id, to_id", "associations", &[]),
        ("contact_id", "contacts", &["2", "3"]),
        (
            "contact_id, email",
            "contact_emails",
            &["2,contact2@account1.example", "3,contact3@account1.example"],
        ),
        (
            "conversation_id, contact_id, channel",
            "conversations",
            &["14,NULL,chat", "62,3,bot", "63,3,email"],
        ),
        ("conversation_id, ticket_id", "conversation_tickets", &["14,12"]),
        ("event_id", "custom_events", &["64"]),
        ("feedback_id", "feedback", &["66"]),
        // 15 came through a form of the contact; 43 is somebody else's too; 56 stays without anybody.
        ("file_id, name", "files", &["43,shared.pdf", "56,photo.jpg", "68,form.pdf"]),
        ("file_id, contact_id", "file_contacts", &["43,3", "68,3"]),
        ("submission_id", "form_submissions", &["67"]),
        ("contact_id, source", "integrations", &["3,shop"]),
        ("contact_id, stage", "lifecycle_transitions", &["3,lead"]),
        ("segment_id", "segments", &["4", "7"]),
        ("segment_id, contact_id", "segment_members", &["7,3"]),
        (
            "notification_id, contact_id, contact_name, contact_email",
            "notifications",
            &["5,NULL,A Contact,contact1@account1.example", "35,3,A Contact,contact3@account1.example"],
        ),
        ("quote_id, title", "quotes", &["17,One engine", "44,Two engines"]),
        ("quote_id, contact_id", "quote_contacts", &["44,3"]),
        ("contact_id, workflow_id", "workflow_enrollments", &["3,6"]),
        ("object_type, object_id", "objects", &["2-134,18", "company,10", "deal,11", "ticket,12"]),
        ("contact_id, state", "gone_contacts", &["1,purged"]),
        ("contact_id, closed_as", "trash_entries", &["1,purged", "2,NULL"]),
    ] {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(left(&db, columns, table).await, expected, "{table}");
    }
    // A stub is an id, a type and a time; what stays elsewhere keeps its text.
    assert_eq!(
        db.count("activities", "account_id = 1 AND stub AND CAST(properties AS text) <> '{}'").await,
        0
    );
    let kept =
        "account_id = 1 AND activity_id IN (40, 41, 51) AND CAST(properties AS text) LIKE '%About Ada%'";
    assert_eq!(db.count("activities", kept).await, 3);

    let purged = reaper.contact(1, 1).await;
    assert_eq!(
        (&purged["state"], &purged["properties"], &purged["trash"]),
        (&json!("purged"), &Value::Null, &Value::Null)
    );
    assert!(purged["visible"].as_object().unwrap().values().all(|members| *members == json!([])), "{purged}");
    assert_eq!(reaper.contact(1, 3).await, neighbour);
    assert_eq!(of_account(&db, 2).await, elsewhere);
    // A purge tells which contact, and since when it was in the trash; of the person it says nothing.
    let told = db.rows("SELECT type, data FROM outbox").await;
    let [told] = &told[..] else { panic!("one contact was purged: {told:?}") };
    let data: Value = serde_json::from_str(&told[1]).unwrap();
    assert_eq!(
        (told[0].as_str(), &data["accountId"], &data["contactId"]),
        ("contact.purge", &json!("1"), &json!("1"))
    );
    let times = ["deletedAt", "purgedAt"].map(|member| data[member].as_str().unwrap().to_owned());
    assert!(times[0] < times[1] && times[0] < crate::support::records::days_ago(90), "{times:?}");
    assert_eq!(data.as_object().unwrap().len(), 5, "{data}");
});

/// A restore that was first, and whose transaction still holds the contact when the purge comes to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_that_waited_for_a_restore_finds_nothing_to_do() {
    let db = Database::postgres().await;
    let reaper = Reaper::new(&db);
    let due = Utc::now() - NINETY_DAYS - TimeDelta::minutes(1);
    reaper
        .import(
            &[&entitled_account(1)[..], &[trashed_at(1, due), integration(1), trashed_at(2, due)]].concat(),
        )
        .await;
    let restore = "BEGIN; \
        UPDATE contacts SET deleted_at = NULL, trash_entry_id = NULL, restored_at = now() WHERE contact_id = 1; \
        UPDATE contact_emails SET live = TRUE WHERE contact_id = 1; \
        UPDATE trash_entries SET closed_at = now(), closed_as = 'restored' WHERE contact_id = 1; \
        SELECT pg_sleep(2); COMMIT";
    let purge = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        reaper.json(&["retention", "run", "--job", "purge_trash"]).await
    };
    let (_, report) = tokio::join!(db.execute(restore), purge);
    // The other one, which nobody held, went.
    assert_eq!(report["jobs"][0]["deleted"], 1);
    assert_eq!(reaper.contact(1, 1).await["visible"]["integrations"], json!(["shop"]));
    assert_eq!(left(&db, "contact_id", "gone_contacts").await, ["2"]);
}

// Row 2: the rows stay, without a contact and without an identifying field. Rows of others stay as they are.
on_both!(analytics_of_a_purged_contact_identify_nobody, async |db: Database| {
    let reaper = Reaper::new(&db);
    let event = |id: &str, contact: &str, source: &str| {
        json!({"kind": "analyticsEvent", "accountId": "1", "id": id, "contactId": contact, "type": "session",
            "occurredAt": seconds_ago(9), "source": source})
    };
    let mut ada = trashed_at(1, Utc::now() - NINETY_DAYS - TimeDelta::minutes(1));
    ada["properties"] = json!({"email": "ada@pers.example", "firstname": "Ada", "lastname": "Quirke"});
    let events = [
        event("1", "1", "newsletter?email=ada@pers.example"),
        event("2", "1", "Call with Ada Quirke"),
        event("3", "1", "ORGANIC_SEARCH"),
        event("4", "2", "Recommended by ada@pers.example"),
    ];
    let records = [&entitled_account(1)[..], &[ada, contact(1, 2, json!({}))], &events].concat();
    reaper.import(&records).await;
    let report = reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(report["jobs"][0]["deleted"], 1);
    assert_eq!(
        db.rows("SELECT CAST(contact_id AS text), source FROM analytics_events ORDER BY event_id").await,
        [
            ["NULL", "newsletter?email=[redacted]"],
            ["NULL", "Call with [redacted]"],
            ["NULL", "ORGANIC_SEARCH"],
            ["2", "Recommended by ada@pers.example"]
        ]
    );
});

on_both!(where_a_restore_and_a_purge_race_one_of_them_wins_whole, async |db: Database| {
    const CONTACTS: i64 = 24;
    let reaper = Reaper::new(&db);
    // The 90 days of one after the other end while restores and purges run.
    let first = Utc::now() + TimeDelta::milliseconds(1200);
    let ends = |id: i64| first + TimeDelta::milliseconds(50 * id);
    let mut records = entitled_account(1);
    for id in 1..=CONTACTS {
        records.extend([trashed_at(id, ends(id) - NINETY_DAYS), integration(id)]);
    }
    reaper.import(&records).await;
    let until = async |time: DateTime<Utc>| {
        tokio::time::sleep((time - Utc::now()).to_std().unwrap_or_default()).await;
    };
    let purges = async {
        while Utc::now() <= ends(CONTACTS) {
            reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
        }
    };
    let restores = |remainder: i64| {
        let (reaper, until) = (&reaper, &until);
        async move {
            let mut outputs: Vec<(i64, Output)> = Vec::new();
            for id in (1..=CONTACTS).filter(|id| id % 2 == remainder) {
                until(ends(id) - TimeDelta::milliseconds(70)).await;
                let (user, id_text) = (ADMIN.to_string(), id.to_string());
                let args = ["restore", "--account", "1", "--as", &user, "--contact", &id_text];
                outputs.push((id, reaper.run(&args).await));
            }
            outputs
        }
    };
    let ((), even, odd) = tokio::join!(purges, restores(0), restores(1));
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;

    for (id, output) in even.into_iter().chain(odd) {
        let of_contact = format!("contact_id = {id}");
        let mut rows = Vec::new();
        for table in ["contacts", "contact_emails", "integrations", "gone_contacts"] {
            rows.push(db.count(table, &of_contact).await);
        }
        let given_back = db.count("trash_entries", &format!("{of_contact} AND closed_as = 'restored'")).await;
        let (expected, how) = match output.code {
            0 => (([1, 1, 1, 0], 1), "was restored"),
            _ => (([0, 0, 0, 1], 0), "was purged"),
        };
        assert_eq!(
            (&rows[..], given_back),
            (&expected.0[..], expected.1),
            "contact {id} {how}: {}",
            output.stderr
        );
    }
    let restores = db.count("outbox", "type = 'contact.restore'").await;
    assert_eq!(restores + db.count("gone_contacts", "TRUE").await, CONTACTS);
});
