//! What counts as "also associated with another record" (rows 1, 6 and 10 of the matrix): a record that was not erased, imported or not.

use serde_json::{Value, json};

use crate::support::records::{ADMIN, activity, contact, days_ago, entitled_account};
use crate::support::{Database, Reaper, on_both};

/// The rows of a page, each as id and contact.
async fn page(reaper: &Reaper, name: &str) -> Vec<(String, Value)> {
    let view = reaper.json(&["inspect", "page", name, "--account", "1"]).await;
    let rows = view["rows"].as_array().expect("rows").iter();
    rows.map(|row| (row["id"].as_str().expect("an id").to_owned(), row["contact"].clone())).collect()
}

async fn stubs(db: &Database) -> Vec<Vec<String>> {
    db.rows("SELECT CAST(activity_id AS text) FROM activities WHERE stub ORDER BY activity_id").await
}

on_both!(a_record_that_was_not_imported_keeps_its_activity, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut person = contact(1, 11, json!({}));
    person["archived"] = json!(true);
    person["archivedAt"] = json!(days_ago(91));
    let mut records = entitled_account(1);
    records.extend([
        person,
        contact(1, 12, json!({})),
        activity(101, "call", &[("contact", 11), ("company", 77)]),
        activity(102, "call", &[("contact", 11), ("contact", 78)]),
        activity(103, "call", &[("contact", 11), ("contact", 12)]),
        activity(104, "note", &[("contact", 11), ("deal", 77)]),
        activity(105, "call", &[("contact", 11)]),
    ]);
    reaper.import(&records).await;
    let shared = [("103".to_owned(), json!("12"))];
    // Calls stay on their page until the purge, without the contact in the trash.
    let without = |id: &str| (id.to_owned(), Value::Null);
    let of_others = [without("101"), without("102"), shared[0].clone()];
    assert_eq!(page(&reaper, "calls").await, [&of_others[..], &[without("105")]].concat(), "in the trash");
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(page(&reaper, "calls").await, of_others, "purged");
    assert_eq!(stubs(&db).await, [["105"]]);
    let bodies = db.rows("SELECT properties ->> 'body' FROM activities WHERE NOT stub").await;
    assert_eq!(bodies, vec![["Something"]; 4]);
    // The contact that was named comes later, and its call is there.
    reaper.import(&[contact(1, 78, json!({}))]).await;
    assert!(page(&reaper, "calls").await.contains(&("102".to_owned(), json!("78"))));
});

on_both!(a_ticket_that_goes_with_its_conversation_keeps_no_activity, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = entitled_account(1);
    records.extend([
        contact(1, 11, json!({})),
        json!({"kind": "ticket", "accountId": "1", "id": "7", "properties": {"subject": "It halts"}}),
        json!({"kind": "conversation", "accountId": "1", "id": "51", "channel": "chat", "contactId": "11",
            "ticketIds": ["7"], "messages": []}),
        activity(101, "call", &[("contact", 11), ("ticket", 7)]),
        activity(102, "note", &[("contact", 11), ("ticket", 7)]),
        activity(103, "task", &[("contact", 11), ("ticket", 7)]),
    ]);
    reaper.import(&records).await;
    let user = ADMIN.to_string();
    reaper.json(&["erase", "--account", "1", "--as", &user, "--contact", "11", "--confirm", "1"]).await;
    assert_eq!(page(&reaper, "tickets").await, []);
    assert_eq!(page(&reaper, "calls").await, []);
    assert_eq!(page(&reaper, "tasks").await, [("103".to_owned(), Value::Null)]);
    assert_eq!(stubs(&db).await, [["101"], ["102"]]);
});
