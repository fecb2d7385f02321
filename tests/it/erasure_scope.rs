//! What an erasure changes, and what it leaves: rule 4 of the matrix, on people who share names, numbers and records.

use serde_json::{Value, json};

use crate::support::records::{self, account, contact, days_ago, entitled_account, lines, user};
use crate::support::{Database, Output, Reaper, on_both};

const ADMINISTRATOR: &str = "1";

async fn erase(reaper: &Reaper, target: &[&str]) -> Output {
    reaper.run(&[&["--json", "erase", "--account", "1", "--as", ADMINISTRATOR], target].concat()).await
}

/// The only receipt of an erasure that must succeed.
async fn receipt(reaper: &Reaper, target: &[&str]) -> Value {
    let output = erase(reaper, target).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let erased: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(erased["receipts"].as_array().unwrap().len(), 1, "{erased}");
    erased["receipts"][0].clone()
}

async fn preview(reaper: &Reaper, target: &[&str]) -> Value {
    reaper.json(&[&["erase", "--account", "1", "--as", ADMINISTRATOR, "--preview"], target].concat()).await
}

fn activity(id: &str, kind: &str, body: &str, ends: &[(&str, &str)]) -> Value {
    let ends: Vec<Value> = ends.iter().map(|(kind, id)| json!({"type": kind, "id": id})).collect();
    json!({"kind": "activity", "accountId": "1", "id": id, "type": kind, "timestamp": days_ago(3),
        "properties": {"hs_note_body": body}, "associations": ends})
}

fn person(id: i64, email: &str, first: &str, last: &str, phone: &str) -> Value {
    contact(1, id, json!({"email": email, "firstname": first, "lastname": last, "phone": phone}))
}

/// A column of every row, by id.
async fn texts(db: &Database, column: &str, table: &str, id: &str) -> Vec<String> {
    let sql = format!("SELECT CAST({column} AS text) FROM {table} ORDER BY {id}");
    db.rows(&sql).await.concat()
}

async fn bodies(db: &Database) -> Vec<String> {
    texts(db, "properties ->> 'hs_note_body'", "activities", "activity_id").await
}

/// How many records a receipt or preview counts: deleted, unlinked, redacted.
fn counted(document: &Value, category: &str) -> [u64; 3] {
    let found = document["categories"].as_array().unwrap().iter().find(|it| it["category"] == category);
    ["delete", "unlink", "redact"].map(|name| found.map_or(0, |it| it[name].as_u64().unwrap()))
}

on_both!(a_purge_of_a_duplicate_leaves_the_contact_that_stays_as_it_is, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut duplicate = person(1, "ada@old.example", "Ada", "Lovelace", "+48 600 111 222");
    duplicate["archived"] = json!(true);
    duplicate["archivedAt"] = json!(days_ago(120));
    let mut stays = person(2, "ada@new.example", "Ada", "Lovelace", "+48 600 111 222");
    stays["properties"]["display_name"] = json!("Ada Lovelace");
    let object = |kind: &str, id: &str, properties: Value| json!({"kind": kind, "accountId": "1", "id": id, "properties": properties});
    let others = vec![
        object("company", "9", json!({"name": "Ada Lovelace Ltd", "phone": "+48 600 111 222"})),
        object("deal", "20", json!({"dealname": "Ada Lovelace - renewal, ada@old.example"})),
        json!({"kind": "quote", "accountId": "1", "id": "80", "title": "Contract Ada Lovelace", "contactIds": ["1", "2"],
            "createdAt": days_ago(9)}),
        activity("60", "note", "Ada Lovelace prefers +48 600 111 222", &[("contact", "1"), ("contact", "2")]),
        json!({"kind": "segment", "accountId": "1", "id": "4", "name": "Friends of Ada Lovelace",
            "processingType": "MANUAL", "members": ["2"]}),
    ];
    reaper.import(&[entitled_account(1), vec![duplicate, stays], others].concat()).await;
    let kept = async || {
        let tables = ["objects", "quotes", "activities", "segments"];
        let mut rows = Vec::new();
        for table in tables {
            rows.push(db.table(table).await);
        }
        (rows, reaper.contact(1, 2).await)
    };
    let before = kept().await;
    assert_eq!(reaper.json(&["retention", "run", "--job", "purge_trash"]).await["jobs"][0]["deleted"], 1);
    assert_eq!(kept().await, before);
});

on_both!(a_restore_is_exact_after_the_erasure_of_a_colleague, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut eve = person(3, "eve@x.example", "Eve", "Els", "");
    eve["properties"]["alt"] = json!("test@x.example");
    let mut bob = person(2, "bob@x.example", "Bob", "Bee", "+48 22 555 00 00");
    bob["properties"]["hs_owner_team"] = json!("Sales Team");
    let records = vec![person(1, "test@x.example", "Sales", "Team", "+48 22 555 00 00"), bob, eve];
    let segment = json!({"kind": "segment", "accountId": "1", "id": "4", "name": "Sales Team leads",
        "processingType": "DYNAMIC", "members": ["2"]});
    reaper.import(&[entitled_account(1), records, vec![segment]].concat()).await;
    let (bob, eve) = (reaper.contact(1, 2).await, reaper.contact(1, 3).await);
    reaper.delete(1, 2).await;
    let receipt = receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    assert_eq!(receipt["found"], json!([{"kind": "contact", "id": "3"}]), "its property was left alone");
    reaper.restore(1, 2).await;
    assert_eq!(
        (reaper.contact(1, 2).await["properties"].clone(), reaper.contact(1, 3).await),
        (bob["properties"].clone(), eve)
    );
    assert_eq!(texts(&db, "name", "segments", "segment_id").await, ["Sales Team leads"]);
});

on_both!(every_address_of_a_contact_finds_it, async |db: Database| {
    let reaper = Reaper::new(&db);
    let addresses = ["b@gmail.example", "C@alias.example", "more@x.example", "w@x.example"];
    let mut record = contact(
        1,
        100,
        json!({"hs_additional_emails": "B@Gmail.example; c@alias.example",
        "work_email": "w@x.example"}),
    );
    record["additionalEmails"] = json!(["More@x.example"]);
    let unsubscribed = addresses.map(|address| {
        json!({"kind": "deliverability", "accountId": "1", "email": address, "status": "unsubscribed", "at": days_ago(9)})
    });
    reaper.import(&[entitled_account(1), vec![record], unsubscribed.to_vec()].concat()).await;
    let suppressed = addresses.map(|address| format!("unsubscribed:{}", address.to_lowercase()));
    assert_eq!(reaper.contact(1, 100).await["visible"]["suppressions"], json!(suppressed));
    reaper.delete(1, 100).await;
    for address in addresses {
        let search = reaper.json(&["trash", "list", "--account", "1", "--search", address]).await;
        assert_eq!(search[0]["contactId"], "100", "{address}");
        let shown = preview(&reaper, &["--email", &format!(" {address}")]).await;
        assert_eq!(shown["contacts"][0]["id"], "100", "{address}");
    }
});

on_both!(an_internationalized_domain_is_found_in_either_spelling, async |db: Database| {
    let reaper = Reaper::new(&db);
    let both = vec![
        person(1, "zoe@müller.example", "Zoe", "A", ""),
        person(2, "bo@xn--mller-kva.example", "Bo", "B", ""),
    ];
    reaper.import(&[entitled_account(1), both].concat()).await;
    for (address, id) in [("zoe@xn--mller-kva.example", "1"), ("bo@MÜLLER.example", "2")] {
        assert_eq!(preview(&reaper, &["--email", address]).await["contacts"][0]["id"], id, "{address}");
    }
    let unsubscribed = json!({"kind": "deliverability", "accountId": "1", "email": "zoe@müller.example",
        "status": "unsubscribed", "at": days_ago(3)});
    reaper.import(&[unsubscribed]).await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    reaper.import(&[person(3, "zoe@XN--mller-kva.example", "Zoe", "C", "")]).await;
    assert_eq!(
        reaper.contact(1, 3).await["visible"]["suppressions"],
        json!(["unsubscribed:zoe@xn--mller-kva.example"])
    );
});

on_both!(a_phone_number_without_its_country_is_the_persons_in_shared_records_only, async |db: Database| {
    let reaper = Reaper::new(&db);
    let with = |id: &str, body: &str, contacts: &[&str]| {
        let ends: Vec<(&str, &str)> = contacts.iter().map(|id| ("contact", *id)).collect();
        activity(id, "note", body, &ends)
    };
    let records = vec![
        person(1, "ada@x.example", "Ada", "Lee", "+48 601 602 603 (home) / 0048 601 602 604"),
        person(2, "bo@x.example", "Bo", "Lee", "601 602 604 ext. 3"),
        with("11", "601-602-603 or 0048601602604", &["1", "2"]),
        with("12", "601-602-603", &["2"]),
        with("13", "+49 601 602 603", &["1", "2"]),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    assert_eq!(
        bodies(&db).await,
        ["[redacted] or 0048601602604", "601-602-603", "+49 601 602 603"],
        "contact 2 has a number of its own, note 12 was not the person's, and 13 has another country's"
    );
});

on_both!(an_address_in_a_property_belongs_to_one_live_contact, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[entitled_account(1), vec![
        contact(1, 100, json!({"hs_additional_emails": "b@x.example;c@x.example", "work_email": "office@x.example"})),
        contact(1, 101, json!({"work_email": "office@x.example"})),
    ]].concat()).await;
    let second = contact(1, 102, json!({"email": "B@x.example"}));
    let refused = reaper.refused_with_input(&["import", "-"], &format!("{second}\n")).await;
    assert!(refused.contains("live contact 100 holds"), "{refused}");
    // In the trash 100 lets the address go to 102, and cannot come back beside it.
    reaper.delete(1, 100).await;
    reaper.import(&[second]).await;
    let refused =
        reaper.refused(&["restore", "--account", "1", "--as", ADMINISTRATOR, "--contact", "100"]).await;
    assert!(refused.contains("102"), "{refused}");
    // Both who share a work address are taken by it.
    let shown = preview(&reaper, &["--email", "office@x.example"]).await;
    let taken: Vec<&str> =
        shown["contacts"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(taken, ["100", "101"]);
});

on_both!(shared_address_is_redacted_once_nobody_has_it, async |db: Database| {
    let reaper = Reaper::new(&db);
    let office = |id: i64| contact(1, id, json!({"work_email": "office@x.example"}));
    let bounced = json!({"kind": "deliverability", "accountId": "1", "email": "office@x.example", "status": "bounced",
        "at": days_ago(9)});
    let records = vec![office(100), office(101), contact(1, 102, json!({})), bounced];
    reaper.import(&[entitled_account(1), records].concat()).await;
    receipt(&reaper, &["--contact", "100", "--confirm", "1"]).await;
    let note = |id: &str| activity(id, "note", "write to office@x.example", &[("contact", "102")]);
    reaper.import(&[note("60")]).await;
    assert_eq!(bodies(&db).await, ["write to office@x.example"], "101 has it");
    assert_eq!(db.count("deliverability", "TRUE").await, 1, "it is in force for 101");
    let erasures = reaper.json(&["erasures", "list", "--account", "1", "--email", "office@x.example"]).await;
    assert_eq!(erasures[0]["contactId"], "100", "{erasures}");
    reaper.import(&[contact(1, 101, json!({})), note("61")]).await;
    assert_eq!(
        bodies(&db).await,
        ["write to office@x.example", "write to [redacted]"],
        "only the erased person had it"
    );
});

on_both!(an_erasure_by_address_finds_what_a_purge_left, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut ada = person(11, "ada@x.example", "Ada", "Aalto", "");
    ada["archived"] = json!(true);
    ada["archivedAt"] = json!(days_ago(120));
    let records = vec![
        ada,
        contact(1, 12, json!({"firstname": "Otto"})),
        json!({"kind": "notification", "accountId": "1", "id": "70", "userId": "1", "contactId": "11",
            "contactName": "Ada Aalto", "contactEmail": "ada@x.example", "title": "t", "createdAt": days_ago(3)}),
        json!({"kind": "quote", "accountId": "1", "id": "80", "title": "Offer for Ada Aalto, ada@x.example",
            "contactIds": ["11"], "createdAt": days_ago(90)}),
        activity("60", "note", "Ada Aalto <ada@x.example> asks", &[("contact", "12")]),
        activity("61", "note", "Ada Aalto of another town", &[("contact", "12")]),
        json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"about": "Ada Aalto, ada@x.example"}}),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    let shown = preview(&reaper, &["--email", "ada@x.example"]).await;
    let receipt = receipt(&reaper, &["--email", "ada@x.example", "--confirm", "0"]).await;
    assert_eq!(receipt["contactId"], Value::Null);
    assert_eq!(shown["contacts"], json!([]));
    for document in [&shown, &receipt] {
        assert_eq!(counted(document, "notifications"), [1, 0, 0]);
        assert_eq!(counted(document, "quotes"), [0, 0, 1]);
        assert_eq!(counted(document, "activities (notes, tasks, meetings)"), [0, 0, 1]);
        assert_eq!(counted(document, "associations"), [0, 0, 1]);
    }
    assert_eq!(receipt["others"], json!({"activity": 1, "company": 1, "quote": 1}));
    assert_eq!(db.count("notifications", "TRUE").await, 0);
    assert_eq!(texts(&db, "title", "quotes", "quote_id").await, ["Offer for [redacted], [redacted]"]);
    assert_eq!(bodies(&db).await, ["[redacted] <[redacted]> asks", "Ada Aalto of another town"]);
    // A company is not the person's: of it only the address goes.
    assert_eq!(texts(&db, "properties ->> 'about'", "objects", "object_id").await, ["Ada Aalto, [redacted]"]);
    assert!(!db.everything().await.contains("ada@x.example"));
    let again = reaper.json(&["erasures", "list", "--account", "1", "--email", "Ada@x.example"]).await;
    assert_eq!(again[0]["erasureId"], receipt["erasureId"]);
    assert_eq!(
        reaper.json(&["erasures", "list", "--account", "1", "--email", "b@x.example"]).await,
        json!([])
    );
});

on_both!(names_and_numbers_go_in_shared_records_only_and_addresses_everywhere, async |db: Database| {
    let reaper = Reaper::new(&db);
    let both = [("contact", "1"), ("contact", "2")];
    let records = vec![
        person(1, "ann@x.example", "Ann", "Lee", "+48 600 111 222"),
        person(2, "bo@x.example", "Bo", "Ray", "+48 600 333 444"),
        // A namesake with the same number.
        person(3, "ann@y.example", "ANN", "LEE", "+48600111222"),
        activity("1", "note", "Ann Lee, 600, +48 600-111-222, ann@x.example", &both),
        activity("2", "note", "Ann Lee, +48 600 111 222, ann@x.example", &[("contact", "2")]),
        activity(
            "3",
            "note",
            "Ann Lee, +48 600 111 222, ann@x.example",
            &[("contact", "1"), ("contact", "3")],
        ),
        activity("4", "task", "call Lee, Ann", &[("contact", "1")]),
        json!({"kind": "quote", "accountId": "1", "id": "1", "title": "Ann Lee", "contactIds": ["1", "2"], "createdAt": days_ago(3)}),
        json!({"kind": "quote", "accountId": "1", "id": "2", "title": "Ann Lee", "contactIds": ["2"], "createdAt": days_ago(3)}),
        json!({"kind": "file", "accountId": "1", "id": "1", "name": "cv_Ann_Lee.pdf", "contactIds": ["1"]}),
        json!({"kind": "file", "accountId": "1", "id": "2", "name": "cv_ann@x.example.pdf", "contactIds": ["2"]}),
        json!({"kind": "file", "accountId": "1", "id": "3", "name": "cv_Ann_Lee.pdf", "contactIds": ["3"]}),
        json!({"kind": "analyticsEvent", "accountId": "1", "id": "1", "contactId": "1", "type": "session",
            "occurredAt": days_ago(3), "source": "mail?to=ann%40x.example&name=Ann+Lee"}),
        json!({"kind": "analyticsEvent", "accountId": "1", "id": "2", "contactId": "2", "type": "session",
            "occurredAt": days_ago(3), "source": "ann@x.example, Ann Lee"}),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    let namesake = reaper.contact(1, 3).await["properties"].clone();
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    assert_eq!(
        bodies(&db).await,
        [
            "[redacted], 600, [redacted], [redacted]",
            "Ann Lee, +48 600 111 222, [redacted]",
            "Ann Lee, +48 600 111 222, [redacted]",
            "call [redacted]",
        ]
    );
    assert_eq!(texts(&db, "title", "quotes", "quote_id").await, ["[redacted]", "Ann Lee"]);
    assert_eq!(
        texts(&db, "name", "files", "file_id").await,
        ["cv_[redacted].pdf", "cv_[redacted].pdf", "cv_Ann_Lee.pdf"]
    );
    assert_eq!(
        texts(&db, "source", "analytics_events", "event_id").await,
        ["mail?to=[redacted]&name=[redacted]", "[redacted], Ann Lee"]
    );
    assert_eq!(reaper.contact(1, 3).await["properties"], namesake);
});

on_both!(an_address_that_another_contact_has_stays, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut ann = person(1, "ann@x.example", "Ann", "Lee", "");
    ann["propertiesWithHistory"] =
        json!({"email": [{"value": "shared@x.example", "timestamp": days_ago(90)}]});
    ann["properties"]["referred_by"] = json!("bo@x.example");
    ann["properties"]["owner"] = json!("user1@account1.example");
    ann["properties"]["alt"] = json!("ann@alt.example");
    let records = vec![
        ann,
        person(2, "shared@x.example", "Bo", "Ray", ""),
        person(3, "bo@x.example", "Bob", "Bee", ""),
        activity(
            "1",
            "note",
            "shared@x.example bo@x.example user1@account1.example ann@alt.example ann@x.example",
            &[("contact", "1"), ("contact", "3")],
        ),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    assert_eq!(
        bodies(&db).await,
        ["shared@x.example bo@x.example user1@account1.example [redacted] [redacted]"]
    );
});

on_both!(records_of_rule_4_d_are_reported_and_never_changed, async |db: Database| {
    let reaper = Reaper::new(&db);
    let named = json!({"kind": "segment", "accountId": "1", "id": "4", "name": "like ann@x.example",
        "processingType": "MANUAL", "members": []});
    let mut flow = crate::support::records::manual_workflow(1, 7);
    flow["flow"]["name"] = json!("for ann@x.example");
    let mut owner = user(1, 5, &["delete"]);
    owner["email"] = json!("ann@x.example");
    let mut other = person(2, "bo@x.example", "Bo", "Ray", "");
    other["properties"]["note"] = json!("ask ann@x.example");
    let records = vec![
        person(1, "ann@x.example", "Ann", "Lee", ""),
        other,
        named,
        flow,
        owner,
        json!({"kind": "account", "id": "1", "name": "Account of ann@x.example"}),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    let hold = ["legal-hold", "set", "--account", "1", "--contact", "2", "--reason", "case of ann@x.example"];
    reaper.json(&hold).await;
    let token = ["tokens", "create", "--account", "1", "--user", "1", "--name", "ann@x.example"];
    assert_eq!(reaper.run(&token).await.code, 0);
    let tables = ["segments", "workflows", "users", "legal_holds", "tokens", "accounts"];
    let mut before = Vec::new();
    for table in tables {
        before.push(db.table(table).await);
    }
    let shown = preview(&reaper, &["--contact", "1"]).await;
    let receipt = receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    let mut found: Vec<String> = receipt["found"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{} {}", it["kind"].as_str().unwrap(), it["id"].as_str().unwrap()))
        .collect();
    found.sort();
    assert_eq!(
        found,
        ["account 1", "contact 2", "legalHold 2", "segment 4", "token 1", "user 5", "workflow 7"]
    );
    assert_eq!(shown["found"], receipt["found"]);
    for (table, before) in tables.into_iter().zip(before) {
        assert_eq!(db.table(table).await, before, "{table}");
    }
});

on_both!(receipts_count_records_and_not_links, async |db: Database| {
    let reaper = Reaper::new(&db);
    let call = |id: &str, ends: &[(&str, &str)]| activity(id, "call", "c", ends);
    let associated = |from: (&str, &str), to: (&str, &str), label: &str| {
        json!({"kind": "association", "accountId": "1", "from": {"type": from.0, "id": from.1},
            "to": {"type": to.0, "id": to.1}, "label": label})
    };
    let records = vec![
        contact(1, 1, json!({})),
        contact(1, 2, json!({})),
        json!({"kind": "company", "accountId": "1", "id": "9", "properties": {}}),
        call("1", &[("contact", "1")]),
        call("2", &[("contact", "1"), ("contact", "2")]),
        call("3", &[("contact", "1"), ("company", "9")]),
        call("4", &[("contact", "1"), ("contact", "2"), ("company", "9")]),
        // One company, three links: counted once. The contact is another.
        associated(("contact", "1"), ("company", "9"), ""),
        associated(("contact", "1"), ("company", "9"), "boss"),
        associated(("company", "9"), ("contact", "1"), "staff"),
        associated(("contact", "2"), ("contact", "1"), ""),
        json!({"kind": "quote", "accountId": "1", "id": "1", "title": "q", "contactIds": ["1"], "createdAt": days_ago(3)}),
        json!({"kind": "file", "accountId": "1", "id": "1", "name": "f", "contactIds": ["1", "2"]}),
        json!({"kind": "formSubmission", "accountId": "1", "id": "1", "formId": "f", "contactId": "1",
            "submittedAt": days_ago(3), "values": {}}),
        json!({"kind": "file", "accountId": "1", "id": "2", "name": "upload", "contactIds": ["1"], "formSubmissionId": "1"}),
        json!({"kind": "ticket", "accountId": "1", "id": "5", "properties": {}}),
        json!({"kind": "conversation", "accountId": "1", "id": "1", "channel": "chat", "contactId": "1",
            "ticketIds": ["5"], "messages": []}),
        json!({"kind": "segment", "accountId": "1", "id": "4", "name": "s", "processingType": "MANUAL", "members": ["1", "2"]}),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    let shown = preview(&reaper, &["--contact", "1"]).await;
    let receipt = receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    for document in [&shown, &receipt] {
        for (category, expected) in [
            ("calls", [1, 3, 0]),
            ("associations", [0, 2, 0]),
            ("quotes", [0, 1, 0]),
            ("files", [1, 1, 0]),
            ("form submissions", [1, 0, 0]),
            // The conversation and its ticket.
            ("conversations", [2, 0, 0]),
            ("segment memberships", [0, 1, 0]),
            ("contact data (properties, additional e-mails, property history)", [1, 0, 0]),
        ] {
            assert_eq!(counted(document, category), expected, "{category}: {document}");
        }
    }
    assert_eq!(receipt["survivors"], 0);
});

on_both!(a_preview_writes_nothing_and_shows_whom, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut ann = person(1, "ann@x.example", "Ann", "Lee", "");
    ann["additionalEmails"] = json!(["b@x.example"]);
    let records = vec![
        ann,
        activity("1", "note", "Ann Lee, ann@x.example, b@x.example", &[("contact", "1"), ("contact", "2")]),
        contact(1, 2, json!({})),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    let before = db.dump(&[]).await;
    let shown = preview(&reaper, &["--email", "b@x.example"]).await;
    assert_eq!(
        shown["contacts"],
        json!([{"id": "1", "name": "Ann Lee", "emails": ["ann@x.example", "b@x.example"], "legalHold": null}])
    );
    assert_eq!(shown["others"], json!([{"kind": "activity", "id": "1", "redact": 3}]));
    db.assert_unchanged_since(&before).await;
    let words =
        reaper.run(&["erase", "--account", "1", "--as", ADMINISTRATOR, "--contact", "1", "--preview"]).await;
    assert!(
        words.code == 0 && words.stdout.contains("Ann Lee") && words.stdout.contains("nothing was written"),
        "{words:?}"
    );
    reaper.json(&["legal-hold", "set", "--account", "1", "--contact", "1", "--reason", "case"]).await;
    assert!(preview(&reaper, &["--contact", "1"]).await["contacts"][0]["legalHold"].is_string());
    let both = reaper
        .run(&["erase", "--account", "1", "--as", "1", "--contact", "1", "--preview", "--confirm", "1"])
        .await;
    assert_eq!(both.code, 2, "{}", both.stderr);
});

on_both!(what_is_no_plain_address_is_refused, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[entitled_account(1), vec![person(1, "ann@x.example", "Ann", "Lee", "")]].concat()).await;
    let before = db.dump(&[]).await;
    for address in [
        "Ann <ann@x.example>",
        "mailto:ann@x.example",
        "ann@x.example, bo@x.example",
        "ann@x.example bo@x.example",
        "ann@x.example;bo@x.example",
        "<ann@x.example>",
        "ann",
        "@x.example",
    ] {
        let refused = reaper
            .refused(&["erase", "--account", "1", "--as", "1", "--email", address, "--confirm", "1"])
            .await;
        assert!(refused.contains("not one plain e-mail address") && !refused.contains("ann@x"), "{refused}");
    }
    db.assert_unchanged_since(&before).await;
});

on_both!(json_stays_json_with_the_same_types, async |db: Database| {
    let reaper = Reaper::new(&db);
    let records = vec![
        person(1, "ann@x.example", "Ann", "Lee", "5550199111"),
        contact(1, 2, json!({})),
        json!({"kind": "integration", "accountId": "1", "contactId": "2", "source": "shop",
            "payload": {"buyer": "ann@x.example", "total": 12.50, "list": [1, "ann@x.example", null, true], "ann@x.example": 1}}),
        json!({"kind": "formSubmission", "accountId": "1", "id": "1", "formId": "for ann@x.example", "contactId": "2",
            "submittedAt": days_ago(3), "values": {"friend": "ann@x.example", "raw": "{\"to\":\"ann@x.example\",\"n\":1.10}"}}),
        json!({"kind": "feedback", "accountId": "1", "id": "1", "surveyId": "s", "contactId": "2",
            "submittedAt": days_ago(3), "rating": {"by": "ann@x.example", "stars": 5}, "text": "ann@x.example is kind"}),
        json!({"kind": "customEvent", "accountId": "1", "id": "1", "eventTypeId": "met ann@x.example", "contactId": "2",
            "occurredAt": days_ago(3), "properties": {"who": "ann@x.example", "value": 5_550_199_111_u64}}),
        json!({"kind": "activity", "accountId": "1", "id": "1", "type": "note", "timestamp": days_ago(3),
            "properties": {"hs_note_body": "{\"value\":5550199111}"}, "associations": [{"type": "contact", "id": "1"}, {"type": "contact", "id": "2"}]}),
        json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "2"}, "to": {"type": "company", "id": "9"}, "label": "hired by ann@x.example"}),
        json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "2"}, "to": {"type": "company", "id": "9"}, "label": "hired by [redacted]"}),
        json!({"kind": "deliverability", "accountId": "1", "email": "bo@x.example", "status": "bounced", "at": days_ago(3), "subscriptionId": "of ann@x.example"}),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    // A form that was counted by its name when its last submission went.
    db.execute("INSERT INTO deleted_form_submissions (account_id, form_id, submissions) VALUES (1, 'by ann@x.example', 2), (1, 'by [redacted]', 3)").await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    let json_of = async |column: &str, table: &str| -> Value {
        serde_json::from_str(&texts(&db, column, table, "1").await[0]).expect("valid JSON")
    };
    assert_eq!(
        json_of("payload", "integrations").await,
        json!({"buyer": "[redacted]", "total": 12.50, "list": [1, "[redacted]", null, true], "[redacted]": 1})
    );
    assert_eq!(
        json_of("field_values", "form_submissions").await,
        json!({"friend": "[redacted]", "raw": "{\"to\":\"[redacted]\",\"n\":1.10}"})
    );
    assert_eq!(json_of("rating", "feedback").await, json!({"by": "[redacted]", "stars": 5}));
    // Another contact's event: of it only addresses go, a number stays.
    assert_eq!(
        json_of("properties", "custom_events").await,
        json!({"who": "[redacted]", "value": 5_550_199_111_u64})
    );
    assert_eq!(bodies(&db).await, ["{\"value\":0}"]);
    assert_eq!(texts(&db, "event_type_id", "custom_events", "1").await, ["met [redacted]"]);
    assert_eq!(texts(&db, "form_id", "form_submissions", "1").await, ["for [redacted]"]);
    assert_eq!(texts(&db, "comment", "feedback", "1").await, ["[redacted] is kind"]);
    assert_eq!(
        texts(&db, "label", "associations", "label").await,
        ["hired by [redacted]", "hired by [redacted] 2"],
        "there were two"
    );
    assert_eq!(texts(&db, "subscription_id", "deliverability", "1").await, ["of [redacted]"]);
    let forms = db.rows("SELECT form_id, CAST(submissions AS text) FROM deleted_form_submissions").await;
    assert_eq!(forms, [["by [redacted]", "5"]]);
    assert!(!db.everything().await.contains("ann@x.example"));
});

on_both!(what_a_contact_under_a_legal_hold_shares_stays_whole, async |db: Database| {
    let reaper = Reaper::new(&db);
    let records = vec![
        person(1, "ann@x.example", "Ann", "Lee", ""),
        contact(1, 2, json!({})),
        activity("1", "note", "Ann Lee, ann@x.example", &[("contact", "1"), ("contact", "2")]),
        activity("2", "note", "Ann Lee, ann@x.example", &[("contact", "1"), ("company", "9")]),
        json!({"kind": "company", "accountId": "1", "id": "9", "properties": {}}),
        json!({"kind": "quote", "accountId": "1", "id": "1", "title": "Ann Lee", "contactIds": ["1", "2"], "createdAt": days_ago(3)}),
        json!({"kind": "ticket", "accountId": "1", "id": "5", "properties": {"subject": "ann@x.example"}}),
        json!({"kind": "association", "accountId": "1", "from": {"type": "ticket", "id": "5"}, "to": {"type": "contact", "id": "2"}}),
        json!({"kind": "conversation", "accountId": "1", "id": "1", "channel": "chat", "contactId": "1",
            "ticketIds": ["5"], "messages": []}),
        // A company of the ticket's number is not the held contact's.
        json!({"kind": "company", "accountId": "1", "id": "5", "properties": {"about": "ann@x.example"}}),
        json!({"kind": "integration", "accountId": "1", "contactId": "2", "source": "shop", "payload": {"friend": "ann@x.example"}}),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    reaper.json(&["legal-hold", "set", "--account", "1", "--contact", "2", "--reason", "case"]).await;
    let receipt = receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    assert_eq!(bodies(&db).await, ["Ann Lee, ann@x.example", "[redacted], [redacted]"]);
    assert_eq!(texts(&db, "title", "quotes", "1").await, ["Ann Lee"]);
    assert_eq!(
        texts(&db, "properties", "objects", "object_type, object_id")
            .await
            .iter()
            .map(|it| it.contains("ann@x.example"))
            .collect::<Vec<_>>(),
        [false, false, true]
    );
    assert!(texts(&db, "payload", "integrations", "1").await[0].contains("ann@x.example"));
    assert_eq!(
        receipt["found"],
        json!([{"kind": "activity", "id": "1"}, {"kind": "integration", "id": "2"}, {"kind": "ticket", "id": "5"}])
    );
});

// Forty spellings of a person in one note of the contact's and, as a control, of a namesake.
on_both!(a_person_is_found_in_forty_spellings, async |db: Database| {
    let spellings = [
        "ada.lov+crm@persönlich.example",
        "ADA.LOV+CRM@PERSÖNLICH.EXAMPLE",
        "ada.lov+crm&#64;persönlich.example",
        "ada.lov+crm&#x40;persönlich.example",
        "ada.lov+crm&commat;persönlich.example",
        "ada.lov%2Bcrm%40pers%C3%B6nlich.example",
        "ada.lov\\u002bcrm@persönlich.example",
        "ada.lov\\u002Bcrm\\u0040pers\\u00f6nlich.example",
        "ada.lov+crm@xn--persnlich-37a.example",
        "ada.lov+crm@perso\u{308}nlich.example",
        "ada.lov&amp;#43;crm@persönlich.example",
        "<a href=\"mailto:ada.lov%2Bcrm%40persönlich.example\">",
        "cv_ada.lov+crm@persönlich.example.pdf",
        "ada.lov+crm@pers&ouml;nlich.example",
        "<ada.lov+crm@persönlich.example>",
        "(ada.lov+crm@persönlich.example)",
        "mail:ada.lov+crm@persönlich.example.",
        "ada.lov+crm＠persönlich.example",
        "Ada O'Neil-Söhne",
        "ADA O'NEIL-SÖHNE",
        "Ada  O'Neil-Söhne",
        "Ada\nO'Neil-Söhne",
        "Ada\u{a0}O'Neil-Söhne",
        "Ada&nbsp;O&#39;Neil-S&ouml;hne",
        "Ada O\u{2019}Neil-Söhne",
        "Ada O&rsquo;Neil-So\u{308}hne",
        "O'Neil-Söhne, Ada",
        "O'Neil-Söhne Ada",
        "Ada%20O%27Neil-S%C3%B6hne",
        "Ada+O'Neil-Söhne",
        "Ada<br>O'Neil-Söhne",
        "<b>Ada</b> O'Neil-Söhne",
        "{\\\"n\\\":\\\"Ada O'Neil-S\\u00f6hne\\\"}",
        "+48 600 700 800",
        "+48600700800",
        "0048 600 700 800",
        "+48-600-700-800",
        "(+48) 600.700.800",
        "%2B48600700800",
        "&#43;48&nbsp;600&nbsp;700&nbsp;800",
        "tel:+48600700800",
    ];
    assert!(spellings.len() >= 40);
    let reaper = Reaper::new(&db);
    let properties = json!({"email": "ada.lov+crm@persönlich.example", "firstname": "Ada", "lastname": "O'Neil-Söhne",
        "phone": "+48 600 700 800"});
    let mut records = entitled_account(1);
    records.push(contact(1, 1, properties));
    records.push(contact(1, 2, json!({})));
    for (id, spelling) in (1..).zip(spellings) {
        let text = format!("before {spelling} after");
        records.push(activity(&id.to_string(), "note", &text, &[("contact", "1"), ("contact", "2")]));
        records.push(activity(&(id + 100).to_string(), "note", &text, &[("contact", "2")]));
    }
    reaper.import(&records).await;
    let receipt = receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    let bodies = bodies(&db).await;
    for (index, spelling) in spellings.iter().enumerate() {
        let (shared, others) = (&bodies[index], &bodies[spellings.len() + index]);
        assert!(
            shared.starts_with("before ") && shared.ends_with(" after") && shared.contains("[redacted]"),
            "{spelling}: {shared}"
        );
        let left = ["ada", "lov", "neil", "hne", "600", "700", "800"]
            .iter()
            .find(|left| shared.to_lowercase().contains(**left));
        assert_eq!(left, None, "{spelling}: {shared}");
        let is_address = spelling.to_lowercase().contains("lov");
        assert_eq!(others.contains("[redacted]"), is_address, "{spelling}: {others}");
        assert!(is_address || *others == format!("before {spelling} after"), "a namesake's stays: {others}");
    }
    assert_eq!(receipt["others"]["activity"], json!(spellings.len() + 18));
});

/// An import moves the address to another contact, in a transaction that is open when the erasure looks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_by_an_address_that_moves_meanwhile_is_refused() {
    let db = Database::postgres().await;
    let reaper = Reaper::new(&db);
    let records =
        vec![person(3, "moving@x.example", "Ann", "Lee", ""), person(51, "other@x.example", "Bo", "Ray", "")];
    reaper.import(&[entitled_account(1), records].concat()).await;
    let mut other = db.connect_postgres().await;
    let moving = "BEGIN; UPDATE contacts SET updated_at = now() WHERE contact_id IN (3, 51); \
                  DELETE FROM contact_emails WHERE contact_id = 3; \
                  INSERT INTO contact_emails (account_id, contact_id, email_key, email, live) \
                  VALUES (1, 51, 'moving@x.example', 'moving@x.example', TRUE)";
    sqlx::raw_sql(moving).execute(&mut other).await.unwrap();
    let erasing = tokio::spawn({
        let reaper = reaper.clone();
        async move { erase(&reaper, &["--email", "moving@x.example", "--confirm", "1"]).await }
    });
    let waits =
        "SELECT state FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while db.rows(waits).await.is_empty() {
        tokio::task::yield_now().await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let output = erasing.await.unwrap();
    assert_eq!(output.code, 1, "{}", output.stdout);
    assert!(
        output.stderr.contains("is now of 1 contact") && output.stderr.contains("nothing was erased"),
        "{}",
        output.stderr
    );
    assert_eq!((reaper.state(1, 3).await.as_str(), reaper.state(1, 51).await.as_str()), ("live", "live"));
}

on_both!(what_a_legal_hold_kept_whole_is_redacted_once_it_is_lifted, async |db: Database| {
    let reaper = Reaper::new(&db);
    let on = |ids: &[&str]| ids.iter().map(|id| json!({"type": "contact", "id": id})).collect::<Vec<_>>();
    let note = |id: &str, body: &str, contacts: &[&str]| {
        json!({"kind": "activity", "accountId": "1", "id": id, "type": "note", "timestamp": days_ago(2),
            "properties": {"hs_note_body": body}, "associations": on(contacts)})
    };
    let shared = "Zeb Quack <zeb@q.example> calls from 0600 100 200";
    let records = vec![
        contact(
            1,
            1,
            json!({"email": "zeb@q.example", "hs_additional_emails": "zeb.work@q.example",
            "firstname": "Zeb", "lastname": "Quack", "phone": "+48 600 100 200"}),
        ),
        person(6, "six@x.example", "Six", "Held", ""),
        person(7, "seven@x.example", "Seven", "Held", ""),
        note("33", shared, &["1", "6", "7"]),
        note("34", shared, &["1", "6"]),
        // Not the person's: of it the address goes alone.
        note("35", shared, &["6"]),
        note("36", shared, &["1", "8"]),
        note("37", "It mentions nothing", &["1", "6"]),
        contact(1, 8, json!({})),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    let hold = async |verb: &str, contact: &str| {
        let reason: &[&str] = if verb == "set" { &["--reason", "case"] } else { &[] };
        reaper.json(&[&["legal-hold", verb, "--account", "1", "--contact", contact], reason].concat()).await;
    };
    hold("set", "6").await;
    hold("set", "7").await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    let gone = "[redacted] <[redacted]> calls from [redacted]";
    let other = "It mentions nothing";
    assert_eq!(bodies(&db).await, [shared, shared, shared, gone, other]);
    // Until then nothing is kept of the person but what the held rows mention.
    assert_eq!(db.count("owed_redactions", "TRUE").await, 2, "notes 33 and 34");
    assert!(!db.everything().await.contains("zeb.work"), "an address that no row mentions");
    hold("lift", "6").await;
    let named = "Zeb Quack <[redacted]> calls from 0600 100 200";
    assert_eq!(bodies(&db).await, [shared, gone, named, gone, other]);
    assert_eq!(db.count("owed_redactions", "TRUE").await, 1, "the other hold keeps it whole");
    hold("lift", "7").await;
    assert_eq!(bodies(&db).await, [gone, gone, named, gone, other]);
    assert_eq!(db.count("owed_redactions", "TRUE").await, 0);
    assert!(!db.everything().await.contains("zeb@q.example"));
});

on_both!(dead_letters_that_name_the_person_are_removed, async |db: Database| {
    let reaper = Reaper::new(&db);
    let records =
        vec![person(1, "ann@x.example", "Ann", "Lee", ""), person(2, "bo@x.example", "Bo", "Ray", "")];
    reaper.import(&[entitled_account(1), records, vec![account(2)]].concat()).await;
    let letter = |account: &str, contact: &str, more: &str| {
        format!(
            "{{\"specversion\":\"1.0\",\"data\":{{\"accountId\":\"{account}\",\"objectId\":\"{contact}\"{more}}}}}\n"
        )
    };
    let lines = [
        letter("1", "1", ""),
        letter("1", "2", ""),
        letter("2", "1", ""),
        letter("1", "2", ",\"note\":\"ann\\u0040x.example\""),
        letter("2", "2", ",\"note\":\"ann@x.example\""),
        "ann%40x.example, no JSON\n".to_owned(),
        "Ann Lee, no JSON\n".to_owned(),
        format!(
            "[{},{}]\n",
            letter("1", "1", ",\"name\":\"Ann Lee\"").trim_end(),
            letter("1", "2", "").trim_end()
        ),
        format!("{}{}", letter("1", "1", ",\"name\":\"Ann Lee\"").trim_end(), letter("1", "2", "")),
    ];
    reaper.decide_lines(&lines.concat()).await;
    assert_eq!(db.count("dead_letters", "TRUE").await, 9);
    let receipt = receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    // A name alone may be a namesake's, and another account's letters are not this one's. What is about somebody else keeps
    // the rest, and may be replayed.
    // A batch loses the event about the person, and a body that cannot be taken apart goes whole.
    assert_eq!(counted(&receipt, "dead letters"), [2, 0, 2]);
    assert_eq!(db.count("dead_letters", "TRUE").await, 7);
    assert_eq!(db.count("audit", "action = 'discard_dead_letters' AND count = 2").await, 1);
    let sql = db.in_its_words(
        "SELECT convert_from(body, 'UTF8') FROM dead_letters ORDER BY dead_letter_id",
        "SELECT CAST(body AS text) FROM dead_letters ORDER BY dead_letter_id",
    );
    let bodies: Vec<String> = db.rows(sql).await.into_iter().flatten().collect();
    assert_eq!(bodies[2], lines[3].trim_end().replace("ann\\u0040x.example", "[redacted]"));
    assert_eq!(bodies[3], lines[4].trim_end());
    assert_eq!(bodies[5], format!("[{}]", letter("1", "2", "").trim_end()));
    assert_eq!(bodies[6], "[redacted]");
    // As do those that come later.
    reaper.decide_lines(&lines[7..].concat().replace("Ann", "Anna")).await;
    let bodies: Vec<String> = db.rows(sql).await.into_iter().flatten().collect();
    assert_eq!(bodies[7], format!("[{}]", letter("1", "2", "").trim_end()));
    assert_eq!(bodies[8], "[redacted]");
});

on_both!(erased_stays_erased_when_the_same_file_comes_again, async |db: Database| {
    let reaper = Reaper::new(&db);
    let records = vec![
        person(11, "ada@x.example", "Ada", "Aalto", ""),
        contact(1, 12, json!({"note": "knows ada@x.example"})),
        json!({"kind": "ticket", "accountId": "1", "id": "5", "properties": {"subject": "Of Ada Aalto, ada@x.example"}}),
        json!({"kind": "ticket", "accountId": "1", "id": "6", "properties": {"subject": "Of ada&#64;x.example"}}),
        json!({"kind": "conversation", "accountId": "1", "id": "50", "channel": "chat", "contactId": "11",
            "ticketIds": ["5"], "messages": []}),
        json!({"kind": "formSubmission", "accountId": "1", "id": "62", "formId": "f", "contactId": "11",
            "submittedAt": days_ago(3), "values": {}}),
        json!({"kind": "file", "accountId": "1", "id": "63", "name": "passport Ada Aalto.pdf", "formSubmissionId": "62"}),
        json!({"kind": "file", "accountId": "1", "id": "64", "name": "cv_ada@x.example.pdf", "contactIds": ["11", "12"]}),
        json!({"kind": "feedback", "accountId": "1", "id": "66", "contactId": "12", "surveyId": "s", "submittedAt": days_ago(3),
            "rating": "ada@x.example", "text": ""}),
        json!({"kind": "quote", "accountId": "1", "id": "70", "title": "Ada Aalto", "contactIds": ["11"], "createdAt": days_ago(3)}),
        json!({"kind": "quote", "accountId": "1", "id": "71", "title": "Ada Aalto", "contactIds": ["11", "12"], "createdAt": days_ago(3)}),
        json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"about": "by Ada Aalto, ada%40x.example"}}),
        activity("60", "note", "Ada Aalto, ada@x.example", &[("company", "9")]),
        activity("61", "note", "Ada Aalto, ada@x.example", &[("contact", "11"), ("contact", "12")]),
        json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "12"}, "to": {"type": "company", "id": "9"},
            "label": "by ada@x.example"}),
    ];
    let file = [entitled_account(1), records].concat();
    reaper.import(&file).await;
    receipt(&reaper, &["--contact", "11", "--confirm", "1"]).await;
    db.execute("UPDATE quotes SET orphaned_at = '2020-01-01T00:00:00.000000Z' WHERE orphaned_at IS NOT NULL")
        .await;
    reaper.json(&["retention", "run", "--job", "delete_quotes"]).await;
    let kept = async || {
        let mut kept = Vec::new();
        for (column, table, id) in [
            ("properties", "objects", "object_type, object_id"),
            ("name", "files", "file_id"),
            ("title", "quotes", "quote_id"),
            ("properties", "activities", "activity_id"),
            ("label", "associations", "label"),
            ("rating", "feedback", "feedback_id"),
            ("conversation_id", "conversations", "conversation_id"),
            ("properties", "contacts", "contact_id"),
        ] {
            kept.push(texts(&db, column, table, id).await);
        }
        kept
    };
    let erased = kept().await;
    assert_eq!(erased[1], ["cv_[redacted].pdf"]);
    assert_eq!(erased[2], ["[redacted]"], "quote 70 is deleted");
    assert_eq!(erased[4], ["by [redacted]"]);
    let lines = lines(&file);
    let output = reaper.run_with_input(&["--json", "import", "-"], &lines).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(kept().await, erased);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    // Company 9, ticket 6, note 60, feedback 66, the association.
    assert_eq!(report["redacted"], 5, "{report}");
    // Contact 11, its conversation and submission, ticket 5, files 63 and 64, quotes 70 and 71, note 61.
    assert_eq!(report["skipped"], 9, "{report}");
    assert!(
        erased[7][0].contains("knows ada@x.example"),
        "another contact's property stays: {:?}",
        erased[7]
    );
});

on_both!(an_address_that_comes_back_with_a_contact_is_not_redacted, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper
        .import(&[entitled_account(1), vec![person(11, "ada@x.example", "Ada", "Aalto", "")]].concat())
        .await;
    receipt(&reaper, &["--contact", "11", "--confirm", "1"]).await;
    let company =
        |about: &str| json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"about": about}});
    reaper.import(&[company("ada@x.example")]).await;
    let about = async || texts(&db, "properties ->> 'about'", "objects", "object_id").await;
    assert_eq!(about().await, ["[redacted]"]);
    reaper.import(&[contact(1, 99, json!({"email": "ada@x.example"})), company("ada@x.example")]).await;
    assert_eq!(about().await, ["ada@x.example"]);
});

on_both!(what_a_purge_took_with_it_does_not_redact_what_comes_in, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut ada = person(11, "ada@x.example", "Ada", "Aalto", "");
    ada["archived"] = json!(true);
    ada["archivedAt"] = json!(days_ago(120));
    let header = json!({"kind": "activity", "accountId": "1", "id": "60", "type": "email", "timestamp": days_ago(3),
        "properties": {"hs_email_headers": "to ada@x.example"}, "associations": [{"type": "contact", "id": "11"}, {"type": "contact", "id": "12"}]});
    reaper
        .import(
            &[
                entitled_account(1),
                vec![ada, contact(1, 12, json!({})), person(13, "bo@x.example", "Bo", "Ray", "")],
            ]
            .concat(),
        )
        .await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    receipt(&reaper, &["--contact", "13", "--confirm", "1"]).await;
    let company = json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"about": "ada@x.example, bo@x.example"}});
    reaper.import(&[company, header]).await;
    assert_eq!(
        texts(&db, "properties ->> 'about'", "objects", "object_id").await,
        ["ada@x.example, [redacted]"]
    );
    assert_eq!(
        texts(&db, "properties ->> 'hs_email_headers'", "activities", "activity_id").await,
        ["to ada@x.example"]
    );
});

on_both!(a_dead_letter_that_comes_after_the_erasure_does_not_name_the_person, async |db: Database| {
    let reaper = Reaper::new(&db);
    let records =
        vec![person(1, "ann@x.example", "Ann", "Lee", ""), person(2, "bo@x.example", "Bo", "Ray", "")];
    reaper.import(&[entitled_account(1), records].concat()).await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    let letters = [
        "{\"data\":{\"accountId\":\"1\",\"note\":\"ann@x.example, bo@x.example\"}}\n",
        "ann%40x.example, no JSON\n",
    ];
    reaper.decide_lines(&letters.concat()).await;
    let bodies = db.letters().await.into_iter().map(|letter| String::from_utf8(letter.body).unwrap());
    assert_eq!(
        bodies.collect::<Vec<_>>(),
        ["{\"data\":{\"accountId\":\"1\",\"note\":\"[redacted], bo@x.example\"}}", "[redacted], no JSON"]
    );
});

on_both!(texts_in_keys_of_a_held_contact_stay_and_are_reported, async |db: Database| {
    let reaper = Reaper::new(&db);
    let label = |contact: &str| {
        json!({"kind": "association", "accountId": "1", "from": {"type": "company", "id": "9"},
            "to": {"type": "contact", "id": contact}, "label": "hired by ann@x.example"})
    };
    let stage = |contact: &str| {
        json!({"kind": "lifecycleTransition", "accountId": "1", "contactId": contact, "at": "2026-01-01T00:00:00Z",
            "stage": "met ann@x.example"})
    };
    let source = |contact: &str| {
        json!({"kind": "integration", "accountId": "1", "contactId": contact, "source": "list of ann@x.example",
            "payload": {}})
    };
    let mut records = vec![
        person(1, "ann@x.example", "Ann", "Lee", ""),
        contact(1, 2, json!({})),
        contact(1, 3, json!({})),
        json!({"kind": "company", "accountId": "1", "id": "9", "properties": {}}),
    ];
    for held_or_not in ["2", "3"] {
        records.extend([label(held_or_not), stage(held_or_not), source(held_or_not)]);
    }
    reaper.import(&[entitled_account(1), records].concat()).await;
    reaper.json(&["legal-hold", "set", "--account", "1", "--contact", "2", "--reason", "case"]).await;
    let receipt = receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    for (column, table, order, whole) in [
        ("label", "associations", "to_id", "hired by "),
        ("stage", "lifecycle_transitions", "contact_id", "met "),
        ("source", "integrations", "contact_id", "list of "),
    ] {
        let kept = db.rows(&format!("SELECT {column} FROM {table} ORDER BY {order}")).await.concat();
        assert_eq!(kept, [format!("{whole}ann@x.example"), format!("{whole}[redacted]")], "{table}");
    }
    let mut found: Vec<&str> =
        receipt["found"].as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, ["association", "integration", "lifecycleTransition"]);
});

on_both!(records_whose_keys_become_the_same_stay_apart, async |db: Database| {
    let reaper = Reaper::new(&db);
    let of_three = |by: &str, number: i64| {
        let address = format!("{by}@x.example");
        vec![
            json!({"kind": "integration", "accountId": "1", "contactId": "3", "source": format!("mailbox {address}"),
                "payload": {"orders": number}}),
            json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "3"},
                "to": {"type": "company", "id": "9"}, "label": format!("via {address}"),
                "associationTypeId": (100 + number).to_string()}),
            json!({"kind": "lifecycleTransition", "accountId": "1", "contactId": "3", "at": "2026-01-01T00:00:00Z",
                "stage": format!("ref {address}")}),
        ]
    };
    let people = vec![
        person(1, "amy@x.example", "Amy", "Lee", ""),
        person(2, "bob@x.example", "Bob", "Ray", ""),
        contact(1, 3, json!({})),
        json!({"kind": "company", "accountId": "1", "id": "9", "properties": {}}),
    ];
    let theirs = [of_three("amy", 7), of_three("bob", 12), of_three("BOB", 30)].concat();
    reaper.import(&[entitled_account(1), people, theirs.clone()].concat()).await;
    for id in ["1", "2"] {
        receipt(&reaper, &["--contact", id, "--confirm", "1"]).await;
    }
    let kept = async || {
        let integrations =
            "SELECT source, CAST(payload ->> 'orders' AS text) FROM integrations ORDER BY source";
        let associations = "SELECT label, CAST(association_type_id AS text) FROM associations ORDER BY label";
        let mut kept = db.rows(integrations).await;
        kept.extend(db.rows(associations).await);
        kept.extend(db.rows("SELECT stage, 'x' FROM lifecycle_transitions ORDER BY stage").await);
        kept
    };
    let expected = [
        ["mailbox [redacted]", "7"],
        ["mailbox [redacted] 2", "30"],
        ["mailbox [redacted] 3", "12"],
        ["via [redacted]", "107"],
        ["via [redacted] 2", "130"],
        ["via [redacted] 3", "112"],
        ["ref [redacted]", "x"],
        ["ref [redacted] 2", "x"],
        ["ref [redacted] 3", "x"],
    ];
    let mut found = kept().await;
    // Which of Bob's two comes first does not matter.
    for rows in [1..3, 4..6] {
        let mut numbers: Vec<String> = rows.clone().map(|at| found[at][1].clone()).collect();
        numbers.sort_by_key(|it| std::cmp::Reverse(it.parse::<i64>().unwrap()));
        rows.zip(numbers).for_each(|(at, number)| found[at][1] = number);
    }
    assert_eq!(found, expected);
    let before = kept().await;
    reaper.import(&theirs).await;
    assert_eq!(kept().await, before, "an imported record could be any of them");
});

// Each of the two would see the other and leave the record to it.
on_both!(people_who_are_erased_at_once_leave_nothing_that_they_shared, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = entitled_account(1);
    let pairs: Vec<[i64; 2]> = (1..=6).map(|pair| [10 * pair, 10 * pair + 1]).collect();
    for (number, [one, other]) in pairs.iter().enumerate() {
        let office = format!("office{one}@x.example");
        let mut first = contact(1, *one, json!({"work_email": office}));
        if number % 2 == 1 {
            first["archived"] = json!(true);
            first["archivedAt"] = json!(days_ago(120));
        }
        records.extend([first, contact(1, *other, json!({"work_email": office}))]);
        let ends = [("contact", one.to_string()), ("contact", other.to_string())];
        let ends = ends.each_ref().map(|(kind, id)| (*kind, id.as_str()));
        records.push(activity(&one.to_string(), "note", "told us of an illness", &ends));
        records.push(activity(
            &other.to_string(),
            "note",
            &format!("write to {office}"),
            &[("contact", "9")],
        ));
        records.push(
            json!({"kind": "deliverability", "accountId": "1", "email": office, "status": "unsubscribed",
            "at": days_ago(9)}),
        );
    }
    records.push(contact(1, 9, json!({})));
    reaper.import(&records).await;
    for (number, [one, other]) in pairs.iter().enumerate() {
        let [one, other] = [one, other].map(ToString::to_string);
        let erased = async |id: &str| receipt(&reaper, &["--contact", id, "--confirm", "1"]).await;
        if number % 2 == 0 {
            tokio::join!(erased(&one), erased(&other));
            continue;
        }
        let purge = ["retention", "run", "--job", "purge_trash"];
        tokio::join!(reaper.json(&purge), erased(&other));
    }
    let left = bodies(&db).await;
    assert!(left.iter().all(|it| !it.contains("illness")), "{left:?}");
    // An address that the contact in the trash still had stays: a purge changes no other record.
    let erased = left.chunks(2).step_by(2).flatten();
    assert!(erased.into_iter().all(|it| !it.contains("office")), "{left:?}");
    assert_eq!(db.count("deliverability", "TRUE").await, 0, "kept as hashes");
});

on_both!(a_file_of_a_held_contact_stays, async |db: Database| {
    let reaper = Reaper::new(&db);
    let records = vec![
        person(1, "ann@x.example", "Ann", "Lee", ""),
        contact(1, 2, json!({})),
        json!({"kind": "formSubmission", "accountId": "1", "id": "1", "formId": "f", "contactId": "1",
            "submittedAt": days_ago(3), "values": {}}),
        json!({"kind": "file", "accountId": "1", "id": "3", "name": "held.pdf", "contactIds": ["1", "2"],
            "formSubmissionId": "1"}),
        json!({"kind": "file", "accountId": "1", "id": "4", "name": "own.pdf", "contactIds": ["1"],
            "formSubmissionId": "1"}),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    reaper.json(&["legal-hold", "set", "--account", "1", "--contact", "2", "--reason", "case"]).await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    assert_eq!(db.rows("SELECT name FROM files").await, [["held.pdf"]]);
});

on_both!(full_name_in_one_property_is_redacted, async |db: Database| {
    let reaper = Reaper::new(&db);
    let records = vec![
        contact(1, 1, json!({"email": "zq@pers.example", "firstname": "Zdenka Quarkovitch"})),
        contact(1, 2, json!({"email": "ty@pers.example", "lastname": "山田太郎"})),
        contact(1, 3, json!({"email": "ov@pers.example", "fullname": "Vestergaard, Ottoline"})),
        contact(1, 4, json!({"email": "bo@pers.example", "firstname": "Bo", "lastname": "Lee"})),
        activity(
            "11",
            "note",
            "Met Zdenka Quarkovitch, 山田太郎様 and Ottoline Vestergaard",
            &[("contact", "1"), ("contact", "2"), ("contact", "3"), ("contact", "4")],
        ),
        activity("12", "task", "Call Quarkovitch Zdenka", &[("contact", "1")]),
        activity("13", "note", "Another Zdenka Quarkovitch", &[("contact", "4")]),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    for (id, redacted) in [("1", 2), ("2", 1), ("3", 1)] {
        let receipt = receipt(&reaper, &["--contact", id, "--confirm", "1"]).await;
        let activities = counted(&receipt, "activities (notes, tasks, meetings)");
        assert_eq!(activities[2], redacted, "{id}: {receipt}");
    }
    assert_eq!(
        bodies(&db).await,
        ["Met [redacted], [redacted]様 and [redacted]", "Call [redacted]", "Another Zdenka Quarkovitch"]
    );
});

on_both!(dead_letter_of_an_older_version_that_is_too_long_loses_its_body, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[entitled_account(1), vec![person(1, "ann@x.example", "Ann", "Lee", "")]].concat()).await;
    let mut event = records::event(1, 6, 7, 1);
    event["type"] = json!("other");
    reaper.decide(&[event]).await;
    // 256 KiB and two bytes, as they were kept whole once.
    let long = db.in_its_words(
        "convert_to(repeat('x ', 131073), 'UTF8')",
        "CAST(printf('%.*c', 262146, 'x') AS blob)",
    );
    db.execute(&format!("UPDATE dead_letters SET body = {long}")).await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    let letters = db.letters().await;
    assert_eq!(letters.iter().map(|it| it.body.as_slice()).collect::<Vec<_>>(), [b"[redacted]"]);
});

on_both!(an_address_goes_from_the_names_of_properties_too, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut ann = person(1, "ann@x.example", "Ann", "Lee", "");
    ann["properties"]["ann@x.example"] = json!("1");
    let records = vec![
        ann,
        contact(1, 2, json!({})),
        json!({"kind": "customEvent", "accountId": "1", "id": "1", "contactId": "2", "eventTypeId": "pe1_x",
            "occurredAt": days_ago(3), "properties": {"ann@x.example": "1"}}),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    for table in ["contact_properties", "related_properties"] {
        assert!(!db.table(table).await.concat().contains("ann@x.example"), "{table}");
    }
});

on_both!(an_address_that_another_contact_has_in_another_spelling_stays, async |db: Database| {
    let reaper = Reaper::new(&db);
    let (composed, decomposed) = ("zo\u{eb}@b\u{fc}cher.example", "zoe\u{308}@b\u{fc}cher.example");
    let (unicode, ascii) = ("ann@b\u{fc}cher.example", "ann@xn--bcher-kva.example");
    let own = "mine@b\u{fc}cher.example";
    let mut ann = person(1, unicode, "Ann", "Lee", "");
    ann["additionalEmails"] = json!([composed, own]);
    let mut bo = person(2, ascii, "Bo", "Ray", "");
    bo["additionalEmails"] = json!([decomposed]);
    let text = format!("{unicode} {ascii} {composed} {decomposed} {own} mine@xn--bcher-kva.example");
    let bounced = |email: &str| json!({"kind": "deliverability", "accountId": "1", "email": email, "status": "bounced", "at": days_ago(3)});
    let records = vec![
        ann,
        bo,
        activity("1", "note", &text, &[("contact", "1"), ("contact", "2")]),
        json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"about": text}}),
        bounced(ascii),
        bounced(decomposed),
        bounced("mine@xn--bcher-kva.example"),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    let left = format!("{unicode} {ascii} {composed} {decomposed} [redacted] [redacted]");
    assert_eq!(bodies(&db).await, [left.as_str()]);
    assert_eq!(db.rows("SELECT properties ->> 'about' FROM objects").await, [[left.as_str()]]);
    let kept = "SELECT email_key FROM deliverability ORDER BY email_key";
    let expected: Vec<[&str; 1]> = vec![[ascii], [decomposed]];
    assert_eq!(db.rows(kept).await, expected, "the other one's bounces count on");
    // What comes in is held against the hash of the one, and not of those that the other contact has.
    reaper
        .import(&[json!({"kind": "company", "accountId": "1", "id": "10", "properties": {"about": text}})])
        .await;
    assert_eq!(
        db.rows("SELECT properties ->> 'about' FROM objects").await,
        [[left.as_str()], [left.as_str()]]
    );
    for spelled in [own, "Mine@xn--bcher-kva.example"] {
        let found = reaper.json(&["erasures", "list", "--account", "1", "--email", spelled]).await;
        assert_eq!(found.as_array().map(Vec::len), Some(1), "{spelled}: {found}");
    }
});

on_both!(only_addresses_are_looked_for_everywhere_and_no_part_of_another_ones, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut ann = person(1, "ops@x.example", "Ann", "Lee", "");
    ann["properties"]["work_email"] = json!("n/a");
    ann["properties"]["hs_additional_emails"] = json!("-;Ann <ann@second.example>, ann@third.example");
    let text =
        "n/a - none: ops@x.example, _ops@x.example, *ops@x.example, ann@second.example, ann@third.example";
    let records = vec![
        ann,
        person(2, "_ops@x.example", "Bo", "Ray", ""),
        json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"about": text}}),
    ];
    reaper.import(&[entitled_account(1), records].concat()).await;
    receipt(&reaper, &["--contact", "1", "--confirm", "1"]).await;
    let left = "n/a - none: [redacted], _ops@x.example, *[redacted], [redacted], [redacted]";
    assert_eq!(texts(&db, "properties ->> 'about'", "objects", "object_id").await, [left]);
    // The same in texts that come later, which are held against the hash of the address.
    let late = json!({"kind": "company", "accountId": "1", "id": "10", "properties": {"about": "_ops@x.example ops@x.example"}});
    reaper.import(&[late]).await;
    let about = texts(&db, "properties ->> 'about'", "objects", "object_id").await;
    assert_eq!(about, [left, "_ops@x.example [redacted]"]);
});

on_both!(an_erased_address_in_any_script_does_not_come_in_again, async |db: Database| {
    let reaper = Reaper::new(&db);
    let addresses = [
        "\u{7530}\u{4e2d}@q1.example",
        "\u{3bf}\u{3b4}\u{3bf}\u{3c2}@q2.\u{4f8b}\u{3048}",
        "\u{ae40}@q3.\u{d55c}\u{ad6d}",
    ];
    let people = (1..).zip(addresses).map(|(id, address)| person(id, address, "Ken", "Ito", ""));
    reaper.import(&[entitled_account(1), people.collect()].concat()).await;
    for id in ["1", "2", "3"] {
        receipt(&reaper, &["--contact", id, "--confirm", "1"]).await;
    }
    let text = format!("see {} {}, \u{8bf7}\u{8054}\u{7cfb}{}", addresses[1], addresses[2], addresses[0]);
    reaper
        .import(&[json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"about": text}})])
        .await;
    let about = texts(&db, "properties ->> 'about'", "objects", "object_id").await;
    assert_eq!(about, ["see [redacted] [redacted], \u{8bf7}\u{8054}\u{7cfb}[redacted]"]);
});
