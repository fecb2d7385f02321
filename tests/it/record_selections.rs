//! Records that are no contacts, deleted by a filter or a segment: what is selected, what is left open, and what comes between.

use serde_json::{Value, json};

use crate::support::records::{
    ADMIN, activity, all_of, association, before_year, branch, contact, entitled_account, in_list, property,
    segment, user, workflow,
};
use crate::support::{DEADLINE, Database, Output, Reaper, TempDir, on_both, wait_until};

/// Contacts, companies and deals 1 to 6. Of the deals 2, 4 and 6 are lost, 5 and 6 were won before, 1 was created in 2024 and 3 in 2026;
/// nothing tells when the others were, though the account knows the property. Deals 1 and 2 are of contact 1, deal 3 is of contact 2, whose tier is gold; call 701 is on deal 1.
/// Segment 4 is one of contacts, 5 and 6 are of deals. Users 2 and 3 may bulk delete deals, and contacts.
fn world() -> Vec<Value> {
    let mut records = entitled_account(1);
    records.extend([
        user(1, 2, &["delete:deal", "bulk_delete:deal"]),
        user(1, 3, &["bulk_delete:contact"]),
        contact(1, 1, json!({"tier": "tin"})),
        contact(1, 2, json!({"tier": "gold"})),
    ]);
    records.extend((3..=6).map(|id| contact(1, id, json!({}))));
    for id in 1..=6 {
        let stage = if id % 2 == 0 { "lost" } else { "open" };
        let mut deal = record("deal", id, &json!({"dealstage": stage, "amount": (id * 100).to_string()}));
        match id {
            1 => deal["createdAt"] = json!("2024-03-01T00:00:00Z"),
            3 => {
                for name in ["createdate", "hs_lastmodifieddate"] {
                    deal["properties"][name] = json!("2026-03-01T00:00:00Z");
                }
            }
            5 | 6 => {
                deal["propertiesWithHistory"] = json!({"dealstage": [
                    {"value": stage, "timestamp": "2026-02-01T00:00:00Z"},
                    {"value": "won", "timestamp": "2026-01-01T00:00:00Z"}]});
            }
            _ => {}
        }
        records.extend([deal, record("company", id, &json!({"name": "Larkspur"}))]);
    }
    records.extend([
        association(("contact", 1), ("deal", 1)),
        association(("deal", 2), ("contact", 1)),
        association(("contact", 2), ("deal", 3)),
        activity(701, "call", &[("deal", 1)]),
        activity(702, "call", &[("contact", 1)]),
        segment(1, 4, &[1, 2, 3]),
        deals(5, "MANUAL", &[2, 3, 4]),
        deals(6, "DYNAMIC", &[2, 3]),
    ]);
    records
}

fn record(kind: &str, id: i64, properties: &Value) -> Value {
    json!({"kind": kind, "accountId": "1", "id": id.to_string(), "properties": properties})
}

/// A segment of deals.
fn deals(id: i64, processing_type: &str, members: &[i64]) -> Value {
    let mut deals = segment(1, id, members);
    deals["objectTypeId"] = json!("0-3");
    deals["processingType"] = json!(processing_type);
    deals
}

/// A dynamic segment of contacts.
fn dynamic(id: i64, members: &[i64]) -> Value {
    let mut segment = segment(1, id, members);
    segment["processingType"] = json!("DYNAMIC");
    segment
}

fn equals(name: &str, value: &str) -> Value {
    property(name, "STRING", "IS_EQUAL_TO", json!(value))
}

/// What is associated with a record of this type that these filters accept, or with none.
fn associated(type_id: &str, operator: &str, filters: &[Value]) -> Value {
    let association = json!({"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": type_id,
        "operator": operator, "filters": filters, "filterBranches": []});
    branch("OR", &[branch("AND", &[association], &[])], &[])
}

/// Deletes what a filter accepts, as this user.
async fn delete_where(
    reaper: &Reaper,
    user: i64,
    object_type: &str,
    filter: &Value,
    confirm: &str,
) -> Output {
    let dir = TempDir::new();
    let file = dir.path().join("filter.json");
    std::fs::write(&file, filter.to_string()).unwrap();
    let (file, user) = (file.to_str().unwrap(), user.to_string());
    let args =
        ["--json", "delete", "--account", "1", "--as", &user, "--object", object_type, "--where", file];
    let last = if confirm == "--preview" { vec!["--preview"] } else { vec!["--confirm", confirm] };
    reaper.run(&[&args[..], &last[..]].concat()).await
}

async fn in_trash(db: &Database) -> Vec<String> {
    let sql = "SELECT object_type || ':' || record_id FROM record_trash_entries WHERE closed_at IS NULL ORDER BY record_id";
    db.rows(sql).await.concat()
}

on_both!(filter_selects_live_records_of_its_type_and_nothing_else_of_their_ids, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    let lost = all_of(&[equals("dealstage", "lost")]);
    reaper.json(&["delete", "--account", "1", "--as", "1", "--record", "deal:6", "--confirm", "1"]).await;
    let before = (
        db.table("contacts").await,
        db.rows("SELECT CAST(properties AS text) FROM objects ORDER BY object_type, object_id").await,
    );
    for (user, confirm, code, says) in [
        (3, "2", 1, "takes the permission Bulk delete"),
        (2, "3", 1, "the confirmation says 3 where 2 records would be deleted; nothing was deleted"),
    ] {
        let refused = delete_where(&reaper, user, "deal", &lost, confirm).await;
        assert_eq!(refused.code, code);
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
    }
    assert_eq!(in_trash(&db).await, ["deal:6"]);
    let output = delete_where(&reaper, 2, "0-3", &lost, "2").await;
    let answer: Value = serde_json::from_str(&output.stdout).expect(&output.stderr);
    assert_eq!((&answer["deleted"], &answer["skipped"]), (&json!(2), &json!(0)));
    let entries: Vec<&str> =
        answer["entries"].as_array().unwrap().iter().map(|it| it["record"].as_str().unwrap()).collect();
    assert_eq!(entries, ["deal:2", "deal:4"]);
    assert_eq!(in_trash(&db).await, ["deal:2", "deal:4", "deal:6"]);
    let after = (
        db.table("contacts").await,
        db.rows("SELECT CAST(properties AS text) FROM objects ORDER BY object_type, object_id").await,
    );
    assert_eq!(after, before);
    assert_eq!(db.count("objects", "deleted_at IS NOT NULL").await, 3);
    assert_eq!(db.count("outbox", "type = 'deal.deletion'").await, 3);
    let deletion = answer["deletionId"].as_str().unwrap();
    let row = format!(
        "SELECT object_type, kind, CAST(confirmed AS text), CAST(deleted AS text) FROM deletions \
         WHERE deletion_id = {deletion} AND finished_at IS NOT NULL"
    );
    assert_eq!(db.rows(&row).await, [["deal", "filter", "2", "2"]]);
    let audit = reaper.json(&["audit", "list", "--account", "1", "--limit", "1"]).await[0].clone();
    assert_eq!((&audit["ids"], &audit["deletionId"]), (&json!(["deal:2", "deal:4"]), &json!(deletion)));
    let undo = ["restore", "--account", "1", "--as", "2", "--deletion", deletion];
    reaper.json(&undo).await;
    assert_eq!(in_trash(&db).await, ["deal:6"]);
});

on_both!(filter_asks_of_a_deal_what_it_asks_of_a_contact, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    let history = |operator| property("dealstage", "STRING", operator, json!("won"));
    for (filter, deals) in [
        (all_of(&[property("amount", "NUMBER", "IS_GREATER_THAN", json!(400))]), &[5, 6][..]),
        (all_of(&[equals("hs_object_id", "3")]), &[3]),
        (all_of(&[history("HAS_EVER_BEEN_EQUAL_TO")]), &[5, 6]),
        (all_of(&[history("HAS_NEVER_BEEN_EQUAL_TO")]), &[1, 2, 3, 4]),
        (associated("0-1", "IN_LIST", &[]), &[1, 2, 3]),
        (associated("0-1", "IN_LIST", &[equals("tier", "gold")]), &[3]),
        (associated("0-1", "NOT_IN_LIST", &[]), &[4, 5, 6]),
        (associated("0-48", "IN_LIST", &[]), &[1]),
        (all_of(&[in_list(5, "IN_LIST")]), &[2, 3, 4]),
        (all_of(&[in_list(6, "NOT_IN_LIST")]), &[1, 4, 5, 6]),
    ] {
        let output = delete_where(&reaper, ADMIN, "deal", &filter, &deals.len().to_string()).await;
        assert_eq!(output.code, 0, "{filter}: {}", output.stderr);
        let gone: Vec<String> = deals.iter().map(|id| format!("deal:{id}")).collect();
        assert_eq!(in_trash(&db).await, gone, "{filter}");
        let answer: Value = serde_json::from_str(&output.stdout).unwrap();
        let undo = answer["deletionId"].as_str().unwrap().to_owned();
        reaper.json(&["restore", "--account", "1", "--as", "1", "--deletion", &undo]).await;
        // A static segment has lost the members that were in the trash.
        reaper.import(&world()).await;
    }
    let calls = associated("0-1", "IN_LIST", &[equals("tier", "tin")]);
    assert_eq!(delete_where(&reaper, ADMIN, "calls", &calls, "1").await.code, 0);
    assert_eq!(in_trash(&db).await, ["call:702"]);
});

on_both!(what_a_filter_leaves_open_deletes_no_record, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    for (object_type, filter, says) in [
        ("deal", all_of(&[equals("dealstag", "lost")]), "the account does not know the property"),
        ("deal", associated("0-5", "NOT_IN_LIST", &[]), "as with every deal of the account"),
        // A segment of contacts, one that there is not, and enrollments, which are of contacts.
        ("deal", all_of(&[in_list(4, "NOT_IN_LIST")]), "it is unknown whether the deal"),
        ("deal", all_of(&[in_list(99, "NOT_IN_LIST")]), "it is unknown whether the deal"),
        ("deal", all_of(&[json!({"filterType": "FORM_SUBMISSION", "operator": "NOT_FILLED_OUT"})]), ""),
        // Two of them were created at a time that is known.
        (
            "deal",
            all_of(&[before_year("createdate", 2025)]),
            "the filter leaves open whether deal 2 is meant",
        ),
        ("deal", all_of(&[before_year("hs_lastmodifieddate", 2025)]), "leaves open whether deal 2"),
        (
            "deal",
            all_of(&[property("createdate", "ALL_PROPERTY", "IS_UNKNOWN", Value::Null)]),
            "deal 2 is meant",
        ),
        (
            "call",
            all_of(&[property("body", "STRING", "HAS_NEVER_BEEN_EQUAL_TO", json!("x"))]),
            "no history is kept",
        ),
        ("deal", all_of(&[]), "without a condition"),
    ] {
        for confirm in ["0", "1", "6", "--preview"] {
            let output = delete_where(&reaper, ADMIN, object_type, &filter, confirm).await;
            assert_eq!(output.code, 1, "{filter}: {}", output.stdout);
            assert!(output.stderr.contains(says), "{filter}: {}", output.stderr);
        }
    }
    assert_eq!(in_trash(&db).await, Vec::<String>::new());
    // The filter of a contact that asks for what only deals are members of is left open too.
    let dir = TempDir::new();
    let file = dir.path().join("filter.json");
    std::fs::write(&file, all_of(&[in_list(5, "NOT_IN_LIST")]).to_string()).unwrap();
    let contacts =
        ["delete", "--account", "1", "--as", "1", "--where", file.to_str().unwrap(), "--confirm", "6"];
    let output = reaper.run(&contacts).await;
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("it is unknown whether the contact"), "{}", output.stderr);
    let flow = workflow(1, 7, &all_of(&[in_list(5, "NOT_IN_LIST")]));
    reaper.import(&[flow]).await;
    let explained = reaper.json(&["explain", "--account", "1", "--workflow", "7", "--contact", "1"]).await;
    assert_eq!(
        (&explained["verdict"], &explained["reason"]),
        (&json!("refuse"), &json!("criteria_unsupported"))
    );
});

on_both!(times_that_the_store_was_told_decide, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = entitled_account(1);
    for (id, created) in
        [(1, "2024-03-01T00:00:00Z"), (2, "2024-04-01T00:00:00Z"), (3, "2026-03-01T00:00:00Z")]
    {
        let mut deal = record("deal", id, &json!({"dealname": "D"}));
        deal["createdAt"] = json!(created);
        records.push(deal);
    }
    // An old export, and an update since.
    let mut updated =
        record("deal", 4, &json!({"hs_lastmodifieddate": "2024-03-01T00:00:00Z", "hs_object_id": "1"}));
    updated["updatedAt"] = json!("2026-03-01T00:00:00Z");
    records.push(updated);
    reaper.import(&records).await;
    let old = all_of(&[before_year("hs_lastmodifieddate", 2025)]);
    assert_eq!(delete_where(&reaper, ADMIN, "deal", &old, "2").await.code, 0);
    assert_eq!(in_trash(&db).await, ["deal:1", "deal:2"]);
    // A restore changes a record, but not when it was created.
    reaper.json(&["restore", "--account", "1", "--as", "1", "--record", "deal:1"]).await;
    assert_eq!(delete_where(&reaper, ADMIN, "deal", &old, "0").await.code, 0);
    let first = all_of(&[equals("hs_object_id", "1")]);
    let preview = delete_where(&reaper, ADMIN, "deal", &first, "--preview").await;
    assert_eq!(serde_json::from_str::<Value>(&preview.stdout).unwrap()["records"], 1);
    db.execute("DELETE FROM objects WHERE object_id = 4").await;
    let created = all_of(&[before_year("createdate", 2025)]);
    assert_eq!(delete_where(&reaper, ADMIN, "deal", &created, "1").await.code, 0);
    assert_eq!(in_trash(&db).await, ["deal:1", "deal:2"]);
});

on_both!(segment_of_deals_is_one_of_deals, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    let segments = async |record: &str| {
        reaper.json(&["inspect", "record", record, "--account", "1"]).await["visible"]["segments"].clone()
    };
    let members = async |segment: &str| {
        let page = reaper.json(&["inspect", "page", "segment", "--id", segment, "--account", "1"]).await;
        page["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(segments("deal:2").await, json!(["5", "6"]));
    assert_eq!(segments("company:2").await, json!([]));
    assert_eq!(reaper.contact(1, 2).await["visible"]["segments"], json!(["4"]));
    assert_eq!(
        (members("5").await, members("4").await),
        (
            vec!["2", "3", "4"].into_iter().map(str::to_owned).collect(),
            vec!["1", "2", "3"].into_iter().map(str::to_owned).collect()
        )
    );
    let delete =
        |selection: &[&'static str]| [&["delete", "--account", "1", "--as", "2"], selection].concat();
    // A type is said of a filter alone.
    for selection in [["--segment", "4"], ["--contact", "1"], ["--record", "deal:1"]] {
        let usage = [
            &["delete", "--account", "1", "--as", "1", "--object", "deal"],
            &selection[..],
            &["--confirm", "1"],
        ]
        .concat();
        assert_eq!(reaper.run(&usage).await.code, 2, "{selection:?}");
    }
    let preview = reaper.json(&delete(&["--segment", "6", "--preview"])).await;
    assert_eq!((&preview["records"], &preview["blockers"]), (&json!(2), &json!([])));
    let categories = json!([{"category": "associations", "count": 2}, {"category": "segments", "count": 4}]);
    assert_eq!(preview["categories"], categories);
    let refused = reaper.run(&delete(&["--segment", "5", "--contact", "2", "--confirm", "1"])).await;
    assert!(refused.code == 1, "{}", refused.stdout);
    let contacts = reaper
        .run(&["delete", "--account", "1", "--as", "3", "--segment", "5", "--contact", "2", "--confirm", "1"])
        .await;
    assert!(contacts.stderr.contains("segment 5 is one of records of the type deal"), "{}", contacts.stderr);
    let forbidden =
        reaper.run(&["delete", "--account", "1", "--as", "3", "--segment", "6", "--confirm", "2"]).await;
    assert!(forbidden.stderr.contains("a deal among them"), "{}", forbidden.stderr);
    let answer = reaper.json(&delete(&["--segment", "6", "--confirm", "2"])).await;
    let entries: Vec<&str> =
        answer["entries"].as_array().unwrap().iter().map(|it| it["record"].as_str().unwrap()).collect();
    assert_eq!(entries, ["deal:2", "deal:3"]);
    assert_eq!(db.count("contacts", "deleted_at IS NOT NULL").await, 0);
    // Row 16: out of the static segment for good, hidden in the other one.
    assert_eq!((members("5").await, members("6").await), (vec!["4".to_owned()], vec![]));
    reaper.import(&[deals(5, "MANUAL", &[2, 4])]).await;
    assert_eq!(members("5").await, ["4"]);
    reaper.json(&["restore", "--account", "1", "--as", "2", "--record", "deal:2"]).await;
    assert_eq!(segments("deal:2").await, json!(["6"]));
    assert_eq!((members("5").await, members("6").await), (vec!["4".to_owned()], vec!["2".to_owned()]));
});

on_both!(members_of_segments_of_deals_are_replaced_and_removed_by_imports, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    let rows = async || {
        db.rows("SELECT CAST(segment_id AS text), CAST(record_id AS text) FROM record_segment_members ORDER BY 1, 2").await
    };
    assert_eq!(rows().await, [["5", "2"], ["5", "3"], ["5", "4"], ["6", "2"], ["6", "3"]]);
    let remove = |member: &str, id: &str| json!({"kind": "remove", "of": "membership", "accountId": "1", "segmentId": "6", member: id});
    let contact =
        json!({"kind": "remove", "of": "membership", "accountId": "1", "segmentId": "4", "contactId": "1"});
    reaper
        .import(&[
            deals(5, "MANUAL", &[4, 5, 5, 77]),
            remove("recordId", "3"),
            contact,
            remove("contactId", "2"),
        ])
        .await;
    assert_eq!(rows().await, [["5", "4"], ["5", "5"], ["5", "77"], ["6", "2"]]);
    assert_eq!(db.count("segment_members", "TRUE").await, 2);
    // The same segment, of other records now.
    reaper.import(&[segment(1, 6, &[2])]).await;
    assert_eq!(rows().await, [["5", "4"], ["5", "5"], ["5", "77"]]);
    assert_eq!(db.count("segment_members", "segment_id = 6").await, 1);
    // Contact 2 is hidden in it while it changes.
    reaper.import(&[dynamic(6, &[2])]).await;
    reaper.delete(1, 2).await;
    reaper.import(&[deals(6, "DYNAMIC", &[3])]).await;
    assert_eq!(db.count("segment_members", "segment_id = 6").await, 0);
    assert_eq!(rows().await.last().unwrap(), &["6", "3"]);
    // In the trash it is hidden in the dynamic segment, and in none that became static.
    reaper.json(&["delete", "--account", "1", "--as", "1", "--record", "deal:3", "--confirm", "1"]).await;
    assert_eq!(rows().await.last().unwrap(), &["6", "3"]);
    reaper.import(&[deals(6, "SNAPSHOT", &[3])]).await;
    assert_eq!(db.count("record_segment_members", "segment_id = 6").await, 0);
    // What was purged is a member of nothing, and never becomes one.
    let long_ago = "UPDATE record_trash_entries SET deleted_at = '2026-01-01T00:00:00Z'; \
                    UPDATE objects SET deleted_at = '2026-01-01T00:00:00Z' WHERE deleted_at IS NOT NULL";
    db.execute(long_ago).await;
    let status = reaper.json(&["retention", "status"]).await["jobs"][0].clone();
    assert_eq!((&status["backlog"], &status["recordBacklog"]), (&json!(1), &json!({"deal": 1})));
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(db.count("record_segment_members", "segment_id = 6").await, 0);
    reaper.import(&[deals(6, "DYNAMIC", &[3, 4])]).await;
    assert_eq!(rows().await.last().unwrap(), &["6", "4"]);
    assert_eq!(db.count("record_segment_members", "segment_id = 6").await, 1);
});

on_both!(killed_in_the_middle_of_deals_the_same_command_finishes_the_same_deletion, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = entitled_account(1);
    records.extend((1..=1100).map(|id| record("deal", id, &json!({"dealstage": "lost"}))));
    // Contacts with the ids of what will be left of the deals.
    records.extend((501..=1100).map(|id| contact(1, id, json!({"dealstage": "lost"}))));
    reaper.import(&records).await;
    let dir = TempDir::new();
    let file = dir.path().join("filter.json");
    std::fs::write(&file, all_of(&[equals("dealstage", "lost")]).to_string()).unwrap();
    let file = file.to_str().unwrap();
    let contacts = |confirm| ["delete", "--account", "1", "--as", "1", "--where", file, "--confirm", confirm];
    let command = [&contacts("1100")[..], &["--object", "deal"]].concat();
    db.execute(db.in_its_words(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$; \
         CREATE TRIGGER meddle BEFORE INSERT ON record_trash_entries FOR EACH ROW WHEN (NEW.record_id = 700) \
         EXECUTE FUNCTION meddle()",
        "CREATE VIEW for_ever AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n; \
         CREATE TRIGGER meddle BEFORE INSERT ON record_trash_entries WHEN NEW.record_id = 700 \
         BEGIN SELECT max(i) FROM for_ever; END",
    ))
    .await;
    let mut first = reaper.spawn(&command);
    wait_until("the first batch is done", DEADLINE, async || {
        db.count("record_trash_entries", "TRUE").await == 500
    })
    .await;
    first.kill9();
    db.end_sessions_of_the_service().await;
    db.execute(db.in_its_words(
        "DROP TRIGGER meddle ON record_trash_entries; DROP FUNCTION meddle()",
        "DROP TRIGGER meddle",
    ))
    .await;
    assert_eq!(db.count("record_trash_entries", "TRUE").await, 500, "half-way");
    // The same filter and number for contacts does not go on with it, and a deletion of contacts takes nothing of it over.
    let refused = reaper.run(&contacts("1100")).await;
    assert!(refused.stderr.contains("says 1100 where 600 contacts would be deleted"), "{refused:?}");
    let other = reaper.json(&contacts("600")).await;
    assert_eq!((&other["deleted"], &other["skipped"]), (&json!(600), &json!(0)));
    let answer = reaper.json(&command).await;
    assert_eq!((&answer["deleted"], &answer["skipped"]), (&json!(1100), &json!(0)));
    assert_ne!(answer["deletionId"], other["deletionId"]);
    assert_eq!(db.count("record_trash_entries", "TRUE").await, 1100);
    let deletion = answer["deletionId"].as_str().unwrap();
    assert_eq!(db.count("record_trash_entries", &format!("deletion_id = {deletion}")).await, 1100);
    assert_eq!(db.count("outbox", "type = 'deal.deletion'").await, 1100);
    assert_eq!(db.count("deletions", "finished_at IS NOT NULL AND deleted = confirmed").await, 2);
    assert_eq!(db.count("deletions", "TRUE").await, 2);
});
