//! `import`: what it takes, what it refuses and how it says so.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::every_kind::every_kind;
use crate::support::records::{account, contact, entitled_account, lines, user};
use crate::support::{Database, Reaper, TempDir, on_both};

/// The kinds that a record can be of.
const KINDS: [&str; 26] = [
    "account",
    "subscription",
    "user",
    "contact",
    "company",
    "deal",
    "ticket",
    "association",
    "activity",
    "conversation",
    "deliverability",
    "customEvent",
    "analyticsEvent",
    "feedback",
    "file",
    "formSubmission",
    "integration",
    "lifecycleTransition",
    "segment",
    "notification",
    "object",
    "objectType",
    "property",
    "quote",
    "workflow",
    "enrollment",
];

/// What a record of each kind about contact 1 makes the contact show, members without an id by a stable key.
fn shown() -> Value {
    json!({"activities": [], "analytics": ["22"], "associations": ["activity:13", "company:10:primary"],
        "bots": [], "suppressions": [], "calls": ["13"], "conversations": ["14"], "customEvents": ["21"],
        "emails": [], "feedback": ["23"], "files": ["15"], "formSubmissions": ["16"], "integrations": ["shop"],
        "lifecycleTransitions": ["lead@2026-01-04T10:00:00.000000Z"], "segments": ["4"], "notifications": ["5"],
        "quotes": ["17"], "workflows": ["6"]})
}

/// A store with the schema, an account with its administrator, and contact 1.
async fn with_contact(db: &Database) -> Reaper {
    let reaper = Reaper::new(db);
    let mut records = entitled_account(1);
    records.push(contact(1, 1, json!({"firstname": "Ada"})));
    reaper.import(&records).await;
    reaper
}

on_both!(every_kind_of_record_is_taken_and_counted, async |db: Database| {
    let reaper = Reaper::new(&db);
    let output = reaper.run_with_input(&["--json", "import", "-"], &lines(&every_kind(1))).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let mut kinds: BTreeMap<&str, u64> = KINDS.into_iter().map(|kind| (kind, 1)).collect();
    kinds.insert("contact", 2);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        report,
        json!({"imported": 27, "skipped": 0, "removed": 0, "redacted": 0, "droppedProperties": 0, "kinds": kinds})
    );

    let inspected = reaper.contact(1, 1).await;
    assert_eq!(inspected["visible"], shown());
    let properties =
        json!({"email": "contact1@account1.example", "firstname": "Ada", "lifecyclestage": "lead"});
    assert_eq!(inspected["properties"], properties);
});

on_both!(importing_the_same_file_again_changes_nothing, async |db: Database| {
    let reaper = Reaper::new(&db);
    let records = every_kind(1);
    reaper.import(&records).await;
    // The audit alone tells of both imports.
    let before = db.dump(&["audit"]).await;
    assert_eq!(db.count("contacts", "TRUE").await, 2);
    reaper.import(&records).await;
    db.assert_unchanged_since(&before).await;
    assert_eq!(db.count("audit", "action = 'import'").await, 2);
});

on_both!(a_record_imported_again_replaces_what_the_first_one_said, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = every_kind(1);
    reaper.import(&records).await;
    for record in &mut records {
        match record["kind"].as_str() {
            Some("contact") => record["properties"]["firstname"] = json!("Augusta"),
            Some("segment") => record["members"] = json!([]),
            Some("file") => record["contactIds"] = json!(["1", "9"]),
            Some("enrollment") => record["active"] = json!(false),
            _ => {}
        }
    }
    reaper.import(&records).await;
    let mut visible = shown();
    visible["segments"] = json!([]);
    visible["workflows"] = json!([]);
    let inspected = reaper.contact(1, 1).await;
    assert_eq!(inspected["visible"], visible);
    assert_eq!(inspected["properties"]["firstname"], "Augusta");
    assert_eq!(db.count("file_contacts", "contact_id = 9").await, 1);
});

on_both!(
    a_file_with_one_bad_line_is_refused_whole_and_the_line_and_member_are_named,
    async |db: Database| {
        let reaper = Reaper::new(&db);
        reaper.import(&[]).await;
        let before = db.dump(&[]).await;
        let mut good = entitled_account(1);
        good.push(contact(1, 1, json!({})));
        let at = "2026-01-01T00:00:00Z";
        for (bad, place) in [
        ("{\"kind\":".to_owned(), "the line"),
        ("[]".to_owned(), "the line"),
        (json!({"accountId": "1", "id": "9"}).to_string(), "kind"),
        (json!({"kind": "visitor", "accountId": "1", "id": "9"}).to_string(), "kind"),
        (json!({"kind": "contact", "id": "9", "properties": {}, "createdAt": at}).to_string(), "accountId"),
        (
            json!({"kind": "contact", "accountId": "1", "id": "-9", "properties": {}, "createdAt": at}).to_string(),
            "id",
        ),
        (
            json!({"kind": "contact", "accountId": "1", "id": "9", "properties": {"age": 7}, "createdAt": at})
                .to_string(),
            "properties.age",
        ),
        (
            json!({"kind": "contact", "accountId": "1", "id": "9", "properties": {}, "createdAt": "yesterday"})
                .to_string(),
            "createdAt",
        ),
        (
            json!({"kind": "user", "accountId": "1", "id": "9", "email": "a@b", "permissions": ["all"]}).to_string(),
            "permissions[0]",
        ),
        (
            json!({"kind": "user", "accountId": "1", "id": "9", "email": "a@b",
                "permissions": ["view", "delete:deal", "permanently_delete:contact"]})
            .to_string(),
            "permissions[2]",
        ),
        (json!({"kind": "workflow", "accountId": "1", "flow": {"name": "no id"}}).to_string(), "flow.id"),
    ] {
        let said = reaper.refused_with_input(&["import", "-"], &(lines(&good) + &bad)).await;
        assert!(said.contains(&format!("line 5: {place}: ")), "{bad}\n{said}");
        assert!(said.contains("nothing was imported"), "{said}");
        assert!(!said.contains("yesterday"), "an error does not repeat values: {said}");
    }
        db.assert_unchanged_since(&before).await;
    }
);

on_both!(a_reference_may_come_before_what_it_refers_to, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = every_kind(1);
    records.reverse();
    reaper.import(&records).await;
    let inspected = reaper.contact(1, 1).await;
    assert_eq!((&inspected["state"], &inspected["visible"]), (&json!("live"), &shown()));
});

on_both!(
    a_contact_or_account_that_is_nowhere_is_refused_with_the_first_line_that_names_it,
    async |db: Database| {
        let reaper = with_contact(&db).await;
        let before = db.dump(&[]).await;
        let integration = |account: &str, contact: &str| json!({"kind": "integration", "accountId": account, "contactId": contact, "source": "shop", "payload": {}});
        let company =
            |account: &str| json!({"kind": "company", "accountId": account, "id": "9", "properties": {}});
        for (records, line, named) in [
            (
                vec![integration("1", "1"), company("1"), integration("1", "8"), integration("1", "8")],
                "line 3: contactId: ",
                "contact 8",
            ),
            (vec![company("1"), company("7"), company("7")], "line 2: accountId: ", "account 7"),
            // Contact 1 is another account's.
            (vec![account(2), integration("2", "1")], "line 2: contactId: ", "contact 1"),
        ] {
            let said = reaper.refused_with_input(&["import", "-"], &lines(&records)).await;
            assert!(said.contains(line) && said.contains(named), "{said}");
        }
        db.assert_unchanged_since(&before).await;
    }
);

on_both!(other_references_may_point_to_nothing, async |db: Database| {
    let reaper = with_contact(&db).await;
    let at = "2026-01-01T00:00:00Z";
    reaper
        .import(&[
            json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "1"},
                "to": {"type": "company", "id": "90"}}),
            json!({"kind": "activity", "accountId": "1", "id": "91", "type": "note", "timestamp": at,
                "properties": {}, "associations": [{"type": "contact", "id": "1"}, {"type": "deal", "id": "92"}]}),
            json!({"kind": "file", "accountId": "1", "id": "93", "name": "f", "contactIds": ["94"],
                "formSubmissionId": "95"}),
            json!({"kind": "conversation", "accountId": "1", "id": "96", "channel": "chat", "contactId": "1",
                "ticketIds": ["97"], "messages": []}),
            json!({"kind": "segment", "accountId": "1", "id": "98", "name": "s", "processingType": "MANUAL",
                "members": ["99"]}),
        ])
        .await;
    let visible = &reaper.contact(1, 1).await["visible"];
    assert_eq!(visible["associations"], json!(["activity:91"]), "an end that does not exist does not live");
    assert_eq!((&visible["activities"], &visible["conversations"]), (&json!(["91"]), &json!(["96"])));
});

on_both!(the_character_u0000_is_refused_wherever_it_stands, async |db: Database| {
    let reaper = with_contact(&db).await;
    let before = db.dump(&[]).await;
    let nul = "a\u{0}b";
    for record in [
        contact(1, 2, json!({ "firstname": nul })),
        contact(1, 2, json!({ nul: "a" })),
        json!({"kind": "integration", "accountId": "1", "contactId": "1", "source": nul, "payload": {}}),
        json!({"kind": "integration", "accountId": "1", "contactId": "1", "source": "s", "payload": {"deep": [nul]}}),
        json!({"kind": "workflow", "accountId": "1", "flow": {"id": "5", "name": nul}}),
    ] {
        let said = reaper.refused_with_input(&["import", "-"], &lines(&[user(1, 2, &[]), record])).await;
        assert!(said.contains("line 2: ") && said.contains("U+0000"), "{said}");
    }
    db.assert_unchanged_since(&before).await;
    // Text that only looks like it is text like any other.
    reaper.import(&[contact(1, 2, json!({"firstname": "\\u0000"}))]).await;
    assert_eq!(reaper.contact(1, 2).await["properties"]["firstname"], "\\u0000");
});

on_both!(blank_lines_and_windows_line_ends_do_not_matter_and_are_counted, async |db: Database| {
    let reaper = with_contact(&db).await;
    let text = format!("\r\n{}\r\n\r\n  \n{}", contact(1, 2, json!({})), contact(1, 3, json!({})));
    let output = reaper.run_with_input(&["--json", "import", "-"], &text).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(reaper.state(1, 3).await, "live");
    let said = reaper.refused_with_input(&["import", "-"], &(text + "\r\n\r\n{}")).await;
    assert!(said.contains("line 7: kind: "), "{said}");
});

on_both!(a_file_is_imported_by_its_name, async |db: Database| {
    let reaper = with_contact(&db).await;
    let dir = TempDir::new();
    let path = dir.path().join("records.jsonl").display().to_string();
    let said = reaper.refused(&["import", &path]).await;
    assert!(said.contains(&path) && said.contains("cannot be read"), "{said}");
    std::fs::write(&path, lines(&[contact(1, 2, json!({}))])).unwrap();
    let output = reaper.run(&["import", &path]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(reaper.state(1, 2).await, "live");
});
