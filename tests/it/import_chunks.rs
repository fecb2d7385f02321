//! `import` checks a file whole and applies it in chunks: what a mistake, another order, an interruption and another
//! transaction between two chunks do to it.

use std::collections::BTreeSet;
use std::time::Duration;

use contact_reaper::store::Store;
use contact_reaper::store::import::{Pace, Phase, Progress};
use contact_reaper::store::privacy::erase::ErasureTarget;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::restores::waiting_for;
use crate::support::records::{
    ADMIN, account, contact, days_ago, enrollment, entitled_account, lines, manual_workflow, segment,
};
use crate::support::{DEADLINE, Database, Reaper, TempDir, import, import_at, on_both, wait_until};

const AT: &str = "2026-01-03T10:00:00Z";

/// A record of one contact, of each kind in turn.
fn of_contact(id: i64) -> [Value; 6] {
    let (text, address) = (id.to_string(), format!("contact{id}@account1.example"));
    let me = json!({"type": "contact", "id": text});
    [
        contact(1, id, json!({"firstname": format!("First{id}")})),
        json!({"kind": "customEvent", "accountId": "1", "id": text, "contactId": text, "eventTypeId": "6-1",
            "occurredAt": AT, "properties": {"n": text}}),
        json!({"kind": "activity", "accountId": "1", "id": text, "type": "note", "timestamp": AT,
            "properties": {"body": "A note"}, "associations": [me, {"type": "company", "id": "9"}]}),
        json!({"kind": "association", "accountId": "1", "from": me, "to": {"type": "company", "id": "9"}}),
        json!({"kind": "integration", "accountId": "1", "contactId": text, "source": "shop", "payload": {"n": id}}),
        json!({"kind": "deliverability", "accountId": "1", "email": address, "status": "bounced", "at": AT}),
    ]
}

/// An account with so many contacts and their records: sorted by kind, and one contact after the other.
fn both_orders(contacts: i64) -> (Vec<Value>, Vec<Value>) {
    let mut ground = entitled_account(1);
    ground.push(manual_workflow(1, 6));
    ground.push(json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"name": "Works"}}));
    ground.push(segment(1, 4, &(1..=contacts).collect::<Vec<_>>()));
    let of_each: Vec<[Value; 6]> = (1..=contacts).map(of_contact).collect();
    let by_kind = (0..6).flat_map(|kind| of_each.iter().map(move |records| records[kind].clone()));
    let sorted = ground.iter().cloned().chain(by_kind).collect();
    // The records of a contact before the contact, and all before the account.
    let in_turns = of_each.iter().rev().flat_map(|records| records.iter().rev().cloned());
    (sorted, in_turns.chain(ground).collect())
}

/// A store with the schema, and another one of its kind.
async fn two(db: &Database) -> (Reaper, Database) {
    let reaper = Reaper::new(db);
    assert_eq!(reaper.run(&["migrate"]).await.code, 0);
    (reaper, db.copy().await)
}

on_both!(a_mistake_on_the_last_line_writes_nothing, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[]).await;
    let before = db.dump(&[]).await;
    let (_, good) = both_orders(500);
    let last = good.len() + 1;
    let mut address = contact(1, 501, json!({}));
    address["additionalEmails"] = json!(["CONTACT7@account1.example"]);
    let integration = |account: &str, contact: &str| json!({"kind": "integration", "accountId": account, "contactId": contact, "source": "s"});
    for (mistake, problem) in [
        (json!("no record"), "the line: must be a JSON object"),
        (json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"n": 1}}), "properties.n: "),
        (integration("1", "502"), "contactId: names contact 502, "),
        (integration("2", "1"), "accountId: names account 2, "),
        (address, "gives contact 501 an address that the live contact 7 holds"),
        (json!({"kind": "remove", "of": "contact", "accountId": "1", "id": "1"}), "of: "),
    ] {
        let said = reaper.refused_with_input(&["import", "-"], &(lines(&good) + &lines(&[mistake]))).await;
        assert!(said.contains(&format!("line {last}: ")) && said.contains(problem), "{said}");
        assert!(said.contains("nothing was imported"), "{said}");
    }
    db.assert_unchanged_since(&before).await;
});

async fn forget_joining_times(databases: [&Database; 2]) {
    for db in databases {
        assert_eq!(db.count("segment_members", "joined_at IS NULL").await, 0);
        db.execute("UPDATE segment_members SET joined_at = NULL").await;
    }
}

on_both!(the_order_of_the_lines_does_not_matter, async |db: Database| {
    let (reaper, other) = two(&db).await;
    let (sorted, in_turns) = both_orders(1_500);
    reaper.import(&sorted).await;
    Reaper::new(&other).import(&in_turns).await;
    // Which transaction counted which contacts, and the audit of each, may differ; so may when it made members.
    forget_joining_times([&db, &other]).await;
    let expected = db.dump(&["audit", "contact_counts", "schema_migrations"]).await;
    other.assert_unchanged_since(&expected).await;
    assert_eq!(db.count("segment_members", "TRUE").await, 1_500);
    let counted = "SELECT CAST(sum(change) AS text) FROM contact_counts WHERE account_id = 1";
    assert_eq!(
        (db.rows(counted).await, other.rows(counted).await),
        (vec![vec!["1500".to_owned()]], vec![vec!["1500".to_owned()]])
    );
});

on_both!(an_import_that_was_killed_goes_on_where_it_was, async |db: Database| {
    let (reaper, other) = two(&db).await;
    let (_, records) = both_orders(1_500);
    let dir = TempDir::new();
    let file = dir.path().join("records.jsonl").display().to_string();
    std::fs::write(&file, lines(&records)).unwrap();
    let mut killed = reaper.spawn(&["import", &file]);
    wait_until("a chunk is committed", DEADLINE, async || db.count("contacts", "TRUE").await > 0).await;
    killed.kill9();
    for reaper in [reaper, Reaper::new(&other)] {
        let output = reaper.run(&["--json", "import", &file]).await;
        assert_eq!(output.code, 0, "{}", output.stderr);
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        assert_eq!(report["imported"], json!(records.len()));
    }
    forget_joining_times([&db, &other]).await;
    let expected = db.dump(&["audit", "contact_counts", "schema_migrations"]).await;
    other.assert_unchanged_since(&expected).await;
    let counted = "SELECT CAST(sum(change) AS text) FROM contact_counts WHERE account_id = 1";
    assert_eq!(
        (db.rows(counted).await, other.rows(counted).await),
        (vec![vec!["1500".to_owned()]], vec![vec!["1500".to_owned()]])
    );
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_rows_that_differ_are_written() {
    let db = Database::postgres().await;
    let reaper = Reaper::new(&db);
    let (mut records, _) = both_orders(50);
    reaper.import(&records).await;
    let versions = async || {
        let mut versions = BTreeSet::new();
        for table in [
            "contacts",
            "contact_emails",
            "custom_events",
            "activities",
            "activity_associations",
            "associations",
            "integrations",
            "deliverability",
            "segment_members",
            "users",
            "workflows",
        ] {
            let rows = db.rows(&format!("SELECT '{table}' || ctid || ' ' || xmin FROM {table}")).await;
            versions.extend(rows.into_iter().flatten());
        }
        versions
    };
    let before = versions().await;
    reaper.import(&records).await;
    assert_eq!(versions().await, before);
    for record in &mut records {
        if record["kind"] == "integration" && record["contactId"] == "7" {
            record["payload"] = json!({"n": 8});
        }
    }
    reaper.import(&records).await;
    assert_eq!(versions().await.difference(&before).count(), 1);
}

/// Imports piece by piece; what is to happen in between happens once so many records are applied.
async fn interrupted_by(
    store: &Store,
    records: &[Value],
    after: u64,
    mut happens: impl AsyncFnMut() + Send,
) -> Value {
    let pace = Pace { chunk: Duration::ZERO, ..Pace::default() };
    let mut is_over = false;
    let mut between = |at: Progress| {
        if at.phase == Phase::Apply && at.done >= after && !std::mem::replace(&mut is_over, true) {
            tokio::task::block_in_place(|| Handle::current().block_on(happens()));
        }
    };
    let report = import_at(store, records, pace, &mut between).await;
    assert!(is_over, "nothing happened in between");
    match report {
        Ok(report) => serde_json::to_value(report).unwrap(),
        Err(error) => json!({ "refused": error.to_string() }),
    }
}

/// Tables, and the condition on what is of contact 1.
const OF_CONTACT_1: [(&str, &str); 9] = [
    ("contacts", "contact_id = 1"),
    ("contact_emails", "contact_id = 1"),
    ("custom_events", "contact_id = 1"),
    ("integrations", "contact_id = 1"),
    ("segment_members", "contact_id = 1"),
    ("workflow_enrollments", "contact_id = 1"),
    ("associations", "from_type = 'contact' AND from_id = 1"),
    ("activity_associations", "object_type = 'contact' AND object_id = 1"),
    ("deliverability", "email_key = 'contact1@account1.example'"),
];

on_both!(each_chunk_sees_what_was_erased_and_deleted_before_it, async |db: Database| {
    let store = db.open();
    store.migrate().await.unwrap();
    let (mut records, _) = both_orders(3);
    records.extend((1..=3).map(|id| enrollment(1, 6, id, true)));
    import(&store, &records).await.unwrap();
    // Contact 1 is erased once its record was applied again, contact 2 is deleted.
    let report = interrupted_by(&store, &records, 6, async || {
        let user = ADMIN.to_string();
        store.erase(1, &user, &ErasureTarget::Contact(1), 1).await.unwrap();
        Reaper::new(&db).delete(1, 2).await;
    })
    .await;
    // Its association, event, integration and enrollment; and the note, which the erasure has redacted. The address alone
    // tells of no contact.
    assert_eq!(report["skipped"], json!(4 + 1), "{report}");
    for (table, condition) in OF_CONTACT_1 {
        assert_eq!(db.count(table, condition).await, 0, "{table}");
    }
    assert_eq!(db.count("segment_members", "contact_id = 2").await, 0);
    assert_eq!(db.count("workflow_enrollments", "contact_id = 2 AND active").await, 0);
    assert_eq!(db.count("segment_members", "contact_id = 3").await, 1);
    assert_eq!(db.count("workflow_enrollments", "contact_id = 3 AND active").await, 1);
    store.close().await;
});

on_both!(an_address_given_to_another_contact_meanwhile_stays_there, async |db: Database| {
    let store = db.open();
    store.migrate().await.unwrap();
    let of = |id: i64, address: &str| contact(1, id, json!({ "email": address }));
    let mut trashed = of(3, "new@x.example");
    trashed["archived"] = json!(true);
    trashed["archivedAt"] = json!(days_ago(3));
    import(&store, &[&entitled_account(1)[..], &[of(1, "one@x.example"), trashed]].concat()).await.unwrap();
    let event = |contact: &str| {
        json!({"kind": "customEvent", "accountId": "1", "id": contact, "contactId": contact,
        "eventTypeId": "6-1", "occurredAt": AT, "properties": {}})
    };
    // Contact 3 comes back from the trash, and with it its address.
    let records = [account(1), of(1, "new@x.example"), of(4, "four@x.example"), event("1"), event("4")];
    let report = interrupted_by(&store, &records, 1, async || {
        store.restore_contact(1, &ADMIN.to_string(), 3).await.unwrap();
    })
    .await;
    let said = report["refused"].as_str().unwrap();
    assert!(said.contains("4 records were imported, and 1 could not be: line 2: "), "{said}");
    assert!(said.contains("gives contact 1 an address that the live contact 3 holds"), "{said}");
    let reaper = Reaper::new(&db);
    assert_eq!(reaper.contact(1, 1).await["properties"]["email"], "one@x.example");
    assert_eq!(reaper.contact(1, 3).await["properties"]["email"], "new@x.example");
    assert_eq!(reaper.contact(1, 4).await["visible"]["customEvents"], json!(["4"]));
    assert_eq!(db.count("contact_emails", "NOT live").await, 0);
    // The next import is refused before anything is written.
    let said = reaper.refused_with_input(&["import", "-"], &lines(&records)).await;
    assert!(said.contains("line 2: ") && said.contains("nothing was imported"), "{said}");
    store.close().await;
});

on_both!(addresses_change_hands_in_a_ring_across_chunks, async |db: Database| {
    const RING: i64 = 7;
    let store = db.open();
    store.migrate().await.unwrap();
    let ring = |by: i64| -> Vec<Value> {
        let address = |id: i64| json!({ "email": format!("ring{}@x.example", (id + by) % RING) });
        (1..=RING).map(|id| contact(1, id, address(id))).collect()
    };
    import(&store, &[&entitled_account(1)[..], &ring(0)].concat()).await.unwrap();
    // Each record is of the kind of the one before it, and has its key: a piece of its own, and a chunk.
    let mut records = Vec::new();
    for (first, second) in ring(1).into_iter().zip(ring(2)) {
        records.extend([first, second]);
    }
    let pace = Pace { chunk: Duration::ZERO, ..Pace::default() };
    let report = import_at(&store, &records, pace, &mut |_| {}).await.unwrap();
    assert_eq!(report.imported, 2 * 7);
    let held = "SELECT contact_id || ' ' || email_key FROM contact_emails WHERE live ORDER BY contact_id";
    let held: Vec<String> = db.rows(held).await.into_iter().flatten().collect();
    let expected: Vec<String> =
        (1..=RING).map(|id| format!("{id} ring{}@x.example", (id + 2) % RING)).collect();
    assert_eq!(held, expected);
    assert_eq!(db.count("contact_emails", "TRUE").await, RING);
    store.close().await;
});

on_both!(a_large_segment_becomes_what_its_record_says, async |db: Database| {
    let store = db.open();
    store.migrate().await.unwrap();
    import(&store, &[&entitled_account(1)[..], &[contact(1, 5, json!({}))]].concat()).await.unwrap();
    let members = |keep: fn(&i64) -> bool| -> Vec<i64> { (1..=24_000).filter(keep).collect() };
    let pace = Pace { chunk: Duration::ZERO, ..Pace::default() };
    for keep in [(|_: &i64| true) as fn(&i64) -> bool, |id| id % 3 == 0, |id| id % 2 == 0, |_| false] {
        let segments = [segment(1, 4, &members(keep)), segment(1, 7, &[1])];
        let report = import_at(&store, &segments, pace, &mut |_| {}).await.unwrap();
        assert_eq!((report.imported, report.kinds["segment"]), (2, 2));
        let found = "SELECT CAST(contact_id AS text) FROM segment_members WHERE segment_id = 4";
        let mut found: Vec<i64> = db.rows(found).await.iter().map(|row| row[0].parse().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, members(keep));
        assert_eq!(db.count("segment_members", "segment_id = 7").await, 1);
    }
    store.close().await;
});

on_both!(a_line_that_is_too_long_is_refused_with_its_number_and_the_limit, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&entitled_account(1)).await;
    for length in [5 << 20, 50 << 20] {
        let long = contact(1, 2, json!({"about": "x".repeat(length)}));
        let input = lines(&[contact(1, 1, json!({})), long]);
        let said = reaper.refused_with_input(&["import", "-"], &input).await;
        assert!(said.contains("line 2: the line: ") && said.contains("4 MiB"), "{said}");
    }
    assert_eq!(db.count("contacts", "TRUE").await, 0);
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_waited_for_a_deletion_adds_no_membership_and_no_enrollment() {
    let db = Database::postgres().await;
    let reaper = Reaper::new(&db);
    reaper.import(&[&entitled_account(1)[..], &[contact(1, 1, json!({}))]].concat()).await;
    let deletion = "SELECT 1 FROM contacts WHERE contact_id = 1 FOR UPDATE; \
        UPDATE contacts SET deleted_at = now(), trash_entry_id = 1 WHERE contact_id = 1";
    for record in [segment(1, 4, &[1]), enrollment(1, 6, 1, true)] {
        waiting_for(&db, deletion, reaper.import(&[record])).await;
        assert_eq!(db.count("segment_members", "TRUE").await, 0);
        assert_eq!(db.count("workflow_enrollments", "active").await, 0);
        db.execute("UPDATE contacts SET deleted_at = NULL, trash_entry_id = NULL").await;
    }
    assert_eq!(db.count("workflow_enrollments", "NOT active").await, 1);
}
