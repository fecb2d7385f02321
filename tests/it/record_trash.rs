//! Companies, deals, tickets, objects and activities in the trash and out of it (matrix.md, *Other records*): what is hidden, what comes
//! back, what a purge leaves.

use serde_json::{Value, json};

use crate::support::records::{
    ADMIN, activity, all_of, association, contact, days_ago, entitled_account, event, segment, user, workflow,
};
use crate::support::{Database, Reaper, on_both};

/// Tables that a delete and a restore add rows to: audit log, deletions, events, trash entries.
const TRACKS: [&str; 4] = ["audit", "deletions", "outbox", "record_trash_entries"];

fn object(kind: &str, id: i64, properties: &Value) -> Value {
    json!({"kind": kind, "accountId": "1", "id": id.to_string(), "properties": properties})
}

fn car(id: i64) -> Value {
    let mut car = object("object", id, &json!({"plate": "GD 1"}));
    car["objectTypeId"] = json!("2-134");
    car
}

/// Contact 1 with a company, a deal, a ticket and a car, and activities on them. The company's stage is that of its open deal.
fn world() -> Vec<Value> {
    let mut records = entitled_account(1);
    records.extend([
        user(1, 5, &["delete:deal"]),
        user(1, 6, &["bulk_delete"]),
        contact(1, 1, json!({"lifecyclestage": "lead"})),
        segment(1, 4, &[1]),
        object("company", 10, &json!({"name": "Works", "lifecyclestage": "opportunity"})),
        object("deal", 30, &json!({"dealname": "Engine", "dealstage": "open"})),
        object("ticket", 31, &json!({"subject": "It halts"})),
        car(7),
        association(("contact", 1), ("company", 10)),
        association(("contact", 1), ("deal", 30)),
        association(("deal", 30), ("company", 10)),
        association(("ticket", 31), ("contact", 1)),
        association(("contact", 1), ("2-134", 7)),
        json!({"kind": "conversation", "accountId": "1", "id": "40", "channel": "chat", "contactId": "1",
            "ticketIds": ["31"], "messages": []}),
        activity(50, "note", &[("deal", 30)]),
        activity(51, "note", &[("deal", 30), ("contact", 1)]),
        activity(52, "task", &[("deal", 30)]),
        activity(53, "call", &[("contact", 1), ("company", 10)]),
        activity(54, "communication", &[("2-134", 7)]),
    ]);
    records
}

/// Every record of [`world`] that can be deleted by `--record`.
const RECORDS: [&str; 9] = [
    "company:10",
    "deal:30",
    "ticket:31",
    "2-134:7",
    "note:50",
    "note:51",
    "task:52",
    "call:53",
    "communication:54",
];

async fn delete(reaper: &Reaper, user: i64, records: &[&str], confirm: usize) -> crate::support::Output {
    let (user, confirm) = (user.to_string(), confirm.to_string());
    let args = ["--json", "delete", "--account", "1", "--as", &user, "--confirm", &confirm, "--record"];
    reaper.run(&[&args[..], records].concat()).await
}

async fn deleted(reaper: &Reaper, records: &[&str]) -> Value {
    let output = delete(reaper, ADMIN, records, records.len()).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

async fn restored(reaper: &Reaper, records: &[&str]) {
    let user = ADMIN.to_string();
    let args = ["restore", "--account", "1", "--as", &user, "--record"];
    let report = reaper.json(&[&args[..], records].concat()).await;
    assert_eq!(report, json!({"restored": records, "refused": []}));
}

async fn inspect(reaper: &Reaper, record: &str) -> Value {
    reaper.json(&["inspect", "record", record, "--account", "1"]).await
}

/// The ids of the rows of a page.
async fn page(reaper: &Reaper, page: &[&str]) -> Vec<String> {
    let args = [&["inspect", "page"], page, &["--account", "1"]].concat();
    let rows = reaper.json(&args).await["rows"].clone();
    rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// Lets so many days pass for what is in the trash.
async fn age(db: &Database, days: u32) {
    for table in ["record_trash_entries", "objects", "activities", "trash_entries", "contacts"] {
        let postgres = format!("UPDATE {table} SET deleted_at = deleted_at - interval '{days} days'");
        let sqlite = format!(
            "UPDATE {table} SET deleted_at = strftime('%Y-%m-%dT%H:%M:%f000Z', deleted_at, '-{days} days')"
        );
        db.execute(db.in_its_words(&postgres, &sqlite)).await;
    }
}

async fn purge(reaper: &Reaper) -> Value {
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await["jobs"][0]["deleted"].clone()
}

async fn company_stage(db: &Database) -> Vec<Vec<String>> {
    db.rows(
        "SELECT coalesce(properties ->> 'lifecyclestage', 'none') FROM objects WHERE object_type = 'company'",
    )
    .await
}

on_both!(record_of_every_type_comes_back_as_it_was, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    let before = db.dump(&TRACKS).await;
    for record in RECORDS {
        let shown = inspect(&reaper, record).await;
        assert_eq!(shown["state"], "live", "{record}");
        let answer = deleted(&reaper, &[record]).await;
        assert_eq!((&answer["deleted"], &answer["entries"][0]["record"]), (&json!(1), &json!(record)));
        let hidden = inspect(&reaper, record).await;
        assert_eq!(
            (&hidden["state"], &hidden["properties"]),
            (&json!("in_trash"), &shown["properties"]),
            "{record}"
        );
        assert_eq!(hidden["trash"]["entryId"], answer["entries"][0]["entryId"], "{record}");
        assert_eq!(hidden["trash"]["deletedBy"], json!({"kind": "user", "userId": "1"}), "{record}");
        let members = hidden["visible"].as_object().unwrap();
        assert!(members.len() == 5 && members.values().all(|ids| ids == &json!([])), "{record}: {hidden}");
        let contact = reaper.contact(1, 1).await["visible"].to_string();
        let (object_type, id) = record.split_once(':').unwrap();
        let is_activity = ["note", "task", "call", "communication"].contains(&object_type);
        let key = if is_activity { format!("activity:{id}") } else { (*record).to_owned() };
        assert!(!contact.contains(&format!("\"{key}\"")), "{record}: {contact}");
        restored(&reaper, &[record]).await;
        assert_eq!(inspect(&reaper, record).await, shown, "{record}");
        db.assert_unchanged_since(&before).await;
    }
    let rows = db.rows("SELECT closed_as FROM record_trash_entries").await;
    assert_eq!(rows, vec![["restored"]; RECORDS.len()]);
});

on_both!(deleted_deal_leaves_its_activities_to_others_and_its_company_another_stage, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    assert_eq!(page(&reaper, &["timeline", "--object", "deal:30"]).await, ["52", "51", "50"]);
    deleted(&reaper, &["deal:30"]).await;
    assert_eq!(page(&reaper, &["timeline", "--object", "deal:30"]).await, Vec::<String>::new());
    assert_eq!(page(&reaper, &["timeline", "--object", "contact:1"]).await, ["53", "51"]);
    assert_eq!(page(&reaper, &["tasks"]).await, ["52"], "a task stays on its page");
    assert_eq!(company_stage(&db).await, [["lead"]], "what its contact has");
    let company = inspect(&reaper, "company:10").await;
    assert_eq!(company["visible"]["associations"], json!(["contact:1"]));
    restored(&reaper, &["deal:30"]).await;
    assert_eq!(company_stage(&db).await, [["opportunity"]]);
    let company = inspect(&reaper, "company:10").await;
    assert_eq!(company["visible"]["associations"], json!(["contact:1", "deal:30"]));
});

on_both!(deleted_activity_is_on_no_page_and_is_still_counted, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    let counted = page(&reaper, &["engagement-report"]).await;
    deleted(&reaper, &["call:53", "task:52", "note:51"]).await;
    assert_eq!(page(&reaper, &["calls"]).await, Vec::<String>::new());
    assert_eq!(page(&reaper, &["tasks"]).await, Vec::<String>::new());
    for record in ["contact:1", "company:10"] {
        assert_eq!(page(&reaper, &["timeline", "--object", record]).await, Vec::<String>::new(), "{record}");
    }
    assert_eq!(page(&reaper, &["timeline", "--object", "deal:30"]).await, ["50"]);
    assert_eq!(page(&reaper, &["engagement-report"]).await, counted);
    // A ticket is off its page, and its conversation stays in the inbox.
    deleted(&reaper, &["ticket:31"]).await;
    assert_eq!(page(&reaper, &["tickets"]).await, Vec::<String>::new());
    assert_eq!(page(&reaper, &["inbox"]).await, ["40"]);
});

on_both!(mixed_deletions_are_restored_in_any_order, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    let tracks = [&TRACKS[..], &["trash_entries"]].concat();
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    // A contact leaves its static segment, and is not what it was in one column: the last restore.
    reaper.delete(1, 1).await;
    reaper.restore(1, 1).await;
    let ignored = [&tracks[..], &["contacts", "contact_counts"]].concat();
    let before = db.dump(&ignored).await;
    let shown = inspect(&reaper, "company:10").await;
    for (index, order) in orders.iter().enumerate() {
        let back = orders[(index + 2) % orders.len()];
        for (steps, deletes) in [(order, true), (&back, false)] {
            for step in steps {
                match (step, deletes) {
                    (0, true) => reaper.delete(1, 1).await,
                    (0, false) => reaper.restore(1, 1).await,
                    (1, true) => drop(deleted(&reaper, &["company:10"]).await),
                    (1, false) => restored(&reaper, &["company:10"]).await,
                    (_, true) => drop(deleted(&reaper, &["deal:30"]).await),
                    (_, false) => restored(&reaper, &["deal:30"]).await,
                }
            }
        }
        db.assert_unchanged_since(&before).await;
        assert_eq!(inspect(&reaper, "company:10").await, shown, "deleted {order:?}, restored {back:?}");
    }
});

on_both!(permission_confirmation_and_state_guard_a_delete_of_records, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[&world()[..], &[object("deal", 32, &json!({}))]].concat()).await;
    let before = db.dump(&[]).await;
    for (user, records, confirm, said) in [
        (
            5,
            &["ticket:31"][..],
            1,
            "user 5 may not delete a ticket: that takes the permission Delete (delete)",
        ),
        (5, &["deal:30", "deal:32"], 2, "that takes the permission Bulk delete (bulk_delete)"),
        (6, &["deal:30"], 1, "user 6 may not delete a deal"),
        (9, &["deal:30"], 1, "no such user"),
        (1, &["deal:30"], 2, "the confirmation says 2 where 1 record would be deleted; nothing was deleted"),
        (1, &["deal:30", "deals:30"], 2, "the confirmation says 2 where 1 record would be deleted"),
        (1, &["deal:30", "deal:99"], 2, "account 1 has no deal 99; nothing was deleted"),
        (1, &["note:53"], 1, "account 1 has no note 53"),
        (1, &["deal:30", "contact:1"], 2, "contacts are named by themselves"),
    ] {
        let output = delete(&reaper, user, records, confirm).await;
        assert_eq!(output.code, 1, "{records:?}");
        assert!(output.stderr.contains(said), "{records:?}: {}", output.stderr);
    }
    assert_eq!(delete(&reaper, 1, &["deal"], 1).await.code, 2);
    db.assert_unchanged_since(&before).await;

    assert_eq!(delete(&reaper, 5, &["deal:30"], 1).await.code, 0);
    let again = delete(&reaper, 5, &["deal:30"], 1).await;
    assert!(
        again.stderr.contains("deal:30 is in the trash already; nothing was deleted"),
        "{}",
        again.stderr
    );
    assert_eq!(delete(&reaper, 6, &["ticket:31", "deal:32"], 2).await.code, 0);
    let refused = reaper.refused(&["restore", "--account", "1", "--as", "5", "--record", "ticket:31"]).await;
    assert!(refused.contains("user 5 may not restore a ticket"), "{refused}");
    assert_eq!(inspect(&reaper, "ticket:31").await["state"], "in_trash");

    let audit = reaper.json(&["audit", "list", "--account", "1", "--limit", "1"]).await;
    assert_eq!(audit[0]["ids"], json!(["ticket:31", "deal:32"]));
    assert_eq!((&audit[0]["action"], &audit[0]["actor"]), (&json!("trash"), &json!("user:6")));
    let listed = reaper.json(&["trash", "list", "--account", "1", "--object", "deals"]).await;
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|row| &row["recordId"]).collect();
    assert_eq!(ids, [&json!("32"), &json!("30")]);
    assert_eq!(
        reaper.json(&["trash", "list", "--account", "1"]).await,
        json!([]),
        "contacts have a list of their own"
    );
});

on_both!(restore_of_records_refuses_each_by_itself, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut old = object("deal", 33, &json!({}));
    (old["archived"], old["archivedAt"]) = (json!(true), json!(days_ago(91)));
    reaper.import(&[&world()[..], &[old]].concat()).await;
    deleted(&reaper, &["deal:30"]).await;
    let user = ADMIN.to_string();
    let args = ["--json", "restore", "--account", "1", "--as", &user, "--record"];
    let output = reaper.run(&[&args[..], &["ticket:31", "deal:30", "deal:33", "deal:99"]].concat()).await;
    assert_eq!(output.code, 1);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["restored"], json!(["deal:30"]));
    let refused: Vec<[&Value; 2]> =
        report["refused"].as_array().unwrap().iter().map(|it| [&it["record"], &it["reason"]]).collect();
    let expected = [("ticket:31", "not_in_trash"), ("deal:33", "expired"), ("deal:99", "unknown")];
    assert_eq!(
        refused,
        expected.map(|(record, reason)| [json!(record), json!(reason)]).each_ref().map(|it| [&it[0], &it[1]])
    );
});

on_both!(purge_of_records_deletes_what_the_matrix_says, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    deleted(&reaper, &["deal:30", "company:10", "ticket:31", "2-134:7", "call:53"]).await;
    let purge = ["retention", "run", "--job", "purge_trash"];
    assert_eq!(reaper.json(&purge).await["jobs"][0]["deleted"], 0, "none is 90 days old");
    age(&db, 91).await;
    // What a contact under a legal hold shares stays whole.
    let hold = ["--account", "1", "--contact", "1"];
    reaper.json(&[&["legal-hold", "set", "--reason", "case 7"], &hold[..]].concat()).await;
    let dry = reaper.json(&[&purge[..], &["--dry-run"]].concat()).await;
    assert_eq!([&dry["jobs"][0]["remaining"], &dry["jobs"][0]["held"]], [&json!(0), &json!(5)]);
    assert_eq!(reaper.json(&purge).await["jobs"][0]["deleted"], 0);
    reaper.json(&[&["legal-hold", "lift"], &hold[..]].concat()).await;
    assert_eq!(reaper.json(&purge).await["jobs"][0]["deleted"], 5);

    assert_eq!(db.count("objects", "TRUE").await, 0);
    assert_eq!(db.count("associations", "TRUE").await, 0);
    assert_eq!(db.count("conversation_tickets", "TRUE").await, 0);
    assert_eq!(db.count("conversations", "contact_id = 1").await, 1, "it stays in the inbox");
    // A note that was on the deal alone is a stub, one that is the contact's too stays, a task stays in any case.
    let stubs = "SELECT CAST(activity_id AS text), CAST(properties AS text) FROM activities WHERE stub ORDER BY activity_id";
    assert_eq!(db.rows(stubs).await, [["50", "{}"], ["53", "{}"], ["54", "{}"]]);
    let links = "SELECT CAST(activity_id AS text), object_type FROM activity_associations";
    assert_eq!(db.rows(links).await, [["51", "contact"]]);
    assert_eq!(page(&reaper, &["tasks"]).await, ["52"]);
    assert_eq!(page(&reaper, &["timeline", "--object", "contact:1"]).await, ["51"]);
    assert_eq!(page(&reaper, &["engagement-report"]).await.len(), 5, "reports count on");
    let audit = reaper.json(&["audit", "list", "--account", "1", "--limit", "1"]).await;
    assert_eq!((&audit[0]["action"], &audit[0]["count"]), (&json!("purge"), &json!(5)));

    for record in ["deal:30", "company:10"] {
        assert_eq!(inspect(&reaper, record).await["state"], "purged");
        let said = reaper.refused(&["restore", "--account", "1", "--as", "1", "--record", record]).await;
        assert!(said.contains("was purged"), "{said}");
    }
    let again = [object("deal", 30, &json!({})), car(7), object("deal", 34, &json!({}))];
    let output =
        reaper.run_with_input(&["--json", "import", "-"], &crate::support::records::lines(&again)).await;
    let summary: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!([&summary["imported"], &summary["skipped"]], [&json!(1), &json!(2)]);
    assert_eq!(db.rows("SELECT CAST(object_id AS text) FROM objects").await, [["34"]]);
    // The contact is as it was.
    assert_eq!(reaper.state(1, 1).await, "live");
});

on_both!(archived_object_arrives_in_the_trash, async |db: Database| {
    let reaper = Reaper::new(&db);
    let archived = |id: i64, at: &str| {
        let mut deal = object("deal", id, &json!({"dealstage": "open"}));
        (deal["archived"], deal["archivedAt"]) = (json!(true), json!(at));
        deal
    };
    reaper.import(&world()).await;
    let (past, future) = (days_ago(3), days_ago(-3));
    reaper.import(&[archived(30, &past), archived(35, &past), archived(36, &future)]).await;
    assert_eq!(inspect(&reaper, "deal:30").await["state"], "live", "the state of one that is there stays");
    let there = inspect(&reaper, "deal:35").await;
    assert_eq!(
        (&there["state"], &there["trash"]["deletedBy"]),
        (&json!("in_trash"), &json!({"kind": "import"}))
    );
    let date = |text: &Value| text.as_str().unwrap()[..10].to_owned();
    assert_eq!(date(&there["trash"]["deletedAt"]), past[..10]);
    let now = inspect(&reaper, "deal:36").await;
    assert_eq!(date(&now["trash"]["deletedAt"]), days_ago(0)[..10], "nothing was deleted in the future");
    restored(&reaper, &["deal:35"]).await;
    assert_eq!(inspect(&reaper, "deal:35").await["state"], "live");
});

on_both!(conditions_on_associated_records_see_only_live_ones, async |db: Database| {
    let reaper = Reaper::new(&db);
    let open = json!({"filterType": "PROPERTY", "property": "dealstage", "operation": {"operationType": "STRING",
        "operator": "IS_EQUAL_TO", "value": "open", "includeObjectsWithNoValueSet": false}});
    let body = json!({"filterType": "PROPERTY", "property": "body", "operation": {"operationType": "STRING",
        "operator": "IS_EQUAL_TO", "value": "Something", "includeObjectsWithNoValueSet": false}});
    let associated = |object_type: &str, filter: &Value| {
        json!({"filterBranchType": "OR", "filterBranchOperator": "OR", "filters": [], "filterBranches": [
            {"filterBranchType": "AND", "filterBranchOperator": "AND", "filters": [], "filterBranches": [
                {"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": object_type,
                    "operator": "IN_LIST", "filterBranches": [], "filters": [filter]}]}]})
    };
    let flows = [workflow(1, 6, &associated("0-3", &open)), workflow(1, 7, &associated("0-48", &body))];
    reaper.import(&[&world()[..], &flows, &[workflow(1, 8, &all_of(&[]))]].concat()).await;
    let verdict = async |workflow: &str| {
        reaper.json(&["explain", "--account", "1", "--workflow", workflow, "--contact", "1"]).await["verdict"]
            .clone()
    };
    assert_eq!([verdict("6").await, verdict("7").await], [json!("delete"), json!("delete")]);
    deleted(&reaper, &["deal:30", "call:53"]).await;
    assert_eq!([verdict("6").await, verdict("7").await], [json!("skip"), json!("skip")]);
    reaper.decide(&[event(1, 6, 1, 1)]).await;
    assert_eq!(reaper.state(1, 1).await, "live");
    restored(&reaper, &["deal:30", "call:53"]).await;
    assert_eq!([verdict("6").await, verdict("7").await], [json!("delete"), json!("delete")]);
});

on_both!(what_a_user_deleted_is_undone_as_one, async |db: Database| {
    let reaper = Reaper::new(&db);
    let narrowed = [
        user(1, 8, &["bulk_delete:contact", "bulk_delete:deal"]),
        user(1, 9, &["bulk_delete:deal", "bulk_delete:company"]),
    ];
    let users = [user(1, 7, &["super_admin"]), contact(1, 2, json!({})), contact(1, 3, json!({}))];
    reaper.import(&[&world()[..], &users, &narrowed].concat()).await;
    let before = db.dump(&[&TRACKS[..], &["trash_entries", "contacts", "contact_counts"]].concat()).await;
    let delete_contacts = async |ids: &[&str]| {
        let confirm = ids.len().to_string();
        let args = ["delete", "--account", "1", "--as", "7", "--confirm", &confirm, "--contact"];
        reaper.json(&[&args[..], ids].concat()).await["deletionId"].as_str().unwrap().to_owned()
    };
    // The undo leaves deletions by other users, and earlier ones.
    deleted(&reaper, &["note:50"]).await;
    let output = delete(&reaper, 7, &["task:52"], 1).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    db.execute(db.in_its_words(
        "UPDATE record_trash_entries SET deleted_at = deleted_at - interval '2 hours' WHERE object_type = 'task'",
        "UPDATE record_trash_entries SET deleted_at = strftime('%Y-%m-%dT%H:%M:%f000Z', deleted_at, '-2 hours') \
         WHERE object_type = 'task'",
    ))
    .await;
    delete_contacts(&["2", "3"]).await;
    assert_eq!(delete(&reaper, 7, &["deal:30", "company:10"], 2).await.code, 0);

    let listed = async |more: &[&str]| {
        let args = ["trash", "list", "--account", "1"];
        reaper.json(&[&args[..], more].concat()).await.as_array().unwrap().len()
    };
    assert_eq!(listed(&["--by", "7"]).await, 2);
    assert_eq!(listed(&["--by", "1"]).await, 0);
    assert_eq!(listed(&["--object", "task", "--by", "user7@account1.example", "--until", "1h"]).await, 1);
    assert_eq!(listed(&["--object", "task", "--by", "7", "--since", "1h"]).await, 0);
    assert_eq!(listed(&["--object", "deal", "--since", "1h"]).await, 1);

    let undo = ["restore", "--account", "1", "--as", "1", "--by", "7", "--since", "1h"];
    let preview = reaper.json(&[&undo[..], &["--preview"]].concat()).await;
    let records = json!({"restorable": 2, "blocked": {}});
    assert_eq!((&preview["restorable"], &preview["records"]), (&json!(2), &records));
    // A user who may not restore one of the types is refused before anything changes.
    for (user, of_type) in [("5", "a company"), ("8", "a company"), ("9", "a contact")] {
        let undo = ["restore", "--account", "1", "--as", user, "--by", "7", "--since", "1h"];
        for more in [&[][..], &["--preview"]] {
            let refused = reaper.refused(&[&undo[..], more].concat()).await;
            let said = format!("user {user} may not restore several records at once, {of_type} among them");
            assert!(refused.contains(&said), "{refused}");
        }
        assert_eq!([reaper.state(1, 2).await, reaper.state(1, 3).await], ["in_trash", "in_trash"]);
    }
    let report = reaper.json(&undo).await;
    assert_eq!((&report["restored"], &report["refused"]), (&json!(["2", "3"]), &json!([])));
    assert_eq!(report["records"], json!({"restored": ["company:10", "deal:30"], "refused": []}));
    let again = reaper.run(&undo).await;
    assert!(
        again.stdout.starts_with("nothing to restore: user 7 deleted nothing since "),
        "{}",
        again.stdout
    );
    restored(&reaper, &["task:52"]).await;
    restored(&reaper, &["note:50"]).await;
    db.assert_unchanged_since(&before).await;

    // One deletion, of contacts or of records.
    let first = delete_contacts(&["2", "3"]).await;
    delete_contacts(&["1"]).await;
    let second = deleted(&reaper, &["deal:30", "call:53"]).await["deletionId"].as_str().unwrap().to_owned();
    let undo =
        async |id: &str| reaper.json(&["restore", "--account", "1", "--as", "1", "--deletion", id]).await;
    assert_eq!(undo(&first).await, json!({"restored": ["2", "3"], "refused": []}));
    let records = json!({"restored": ["deal:30", "call:53"], "refused": []});
    assert_eq!(undo(&second).await, json!({"restored": [], "refused": [], "records": records}));
    assert_eq!(reaper.state(1, 1).await, "in_trash");
    // One of records alone takes no permission for contacts; what is past its time is said beforehand.
    let third = deleted(&reaper, &["deal:30", "company:10"]).await["deletionId"].as_str().unwrap().to_owned();
    let undo = ["restore", "--account", "1", "--as", "9", "--deletion", &third];
    assert_eq!(reaper.json(&undo).await["records"]["restored"], json!(["company:10", "deal:30"]));
    let fourth = deleted(&reaper, &["deal:30"]).await["deletionId"].as_str().unwrap().to_owned();
    age(&db, 91).await;
    let undo = ["restore", "--account", "1", "--as", "9", "--deletion", &fourth, "--preview"];
    let records = json!({"restorable": 0, "blocked": {"expired": 1}});
    assert_eq!(reaper.json(&undo).await["records"], records);
    let named = ["restore", "--account", "1", "--as", "1", "--preview", "--record", "deal:30", "company:10"];
    let preview = reaper.json(&named).await;
    assert_eq!(preview["restored"], json!([]));
    let reasons: Vec<&Value> =
        preview["refused"].as_array().unwrap().iter().map(|it| &it["reason"]).collect();
    assert_eq!(reasons, [&json!("expired"), &json!("not_in_trash")]);
});

on_both!(preview_of_a_delete_says_what_goes_and_what_is_in_the_way, async |db: Database| {
    let reaper = Reaper::new(&db);
    let others = [contact(1, 2, json!({})), contact(1, 3, json!({})), segment(1, 5, &[1, 2])];
    reaper.import(&[&world()[..], &others].concat()).await;
    deleted(&reaper, &["task:52"]).await;
    reaper.delete(1, 3).await;
    let before = db.dump(&[]).await;
    let preview = async |more: &[&str]| {
        let args = ["delete", "--account", "1", "--as", "1", "--preview"];
        reaper.json(&[&args[..], more].concat()).await
    };
    let count = |category: &str, count: u64| json!({"category": category, "count": count});
    // A deal with two notes, one of them the contact's too; its company has the call.
    assert_eq!(
        preview(&["--record", "deal:30", "company:10"]).await,
        json!({"records": 2, "categories": [count("activities", 3), count("associations", 4)], "blockers": []})
    );
    let blocked = preview(&["--record", "deal:30", "task:52", "deal:99"]).await;
    assert_eq!(blocked["records"], 1);
    let reasons: Vec<[&Value; 2]> =
        blocked["blockers"].as_array().unwrap().iter().map(|it| [&it["record"], &it["reason"]]).collect();
    assert_eq!(reasons, [[&json!("task:52"), &json!("in_trash")], [&json!("deal:99"), &json!("unknown")]]);

    let picked = preview(&["--contact", "1", "2", "3", "99"]).await;
    assert_eq!(picked["records"], 2);
    let shown = reaper.contact(1, 1).await["visible"].clone();
    let calls = picked["categories"].as_array().unwrap().iter().find(|it| it["category"] == "calls").unwrap();
    assert_eq!((calls["count"].as_u64(), shown["calls"].as_array().unwrap().len()), (Some(1), 1));
    let reasons: Vec<[&Value; 2]> =
        picked["blockers"].as_array().unwrap().iter().map(|it| [&it["record"], &it["reason"]]).collect();
    assert_eq!(
        reasons,
        [[&json!("contact:3"), &json!("in_trash")], [&json!("contact:99"), &json!("unknown")]]
    );
    assert_eq!(preview(&["--segment", "5"]).await["records"], 2);
    let refused = async |user: &str, more: &[&str]| {
        let args = ["delete", "--account", "1", "--as", user, "--preview"];
        reaper.refused(&[&args[..], more].concat()).await
    };
    assert!(refused("5", &["--record", "ticket:31"]).await.contains("user 5 may not delete a ticket"));
    assert!(refused("6", &["--contact", "1"]).await.contains("user 6 may not delete a contact"));
    let both = ["delete", "--account", "1", "--as", "1", "--preview", "--confirm", "1", "--contact", "1"];
    assert_eq!(reaper.run(&both).await.code, 2);
    let words = reaper
        .run(&["delete", "--account", "1", "--as", "1", "--preview", "--record", "deal:30", "deal:99"])
        .await;
    assert!(words.stdout.starts_with("1 record would be deleted; nothing was changed\n"), "{}", words.stdout);
    assert!(
        words.stdout.contains("deal:99") && words.stdout.contains("account 1 has no deal 99"),
        "{}",
        words.stdout
    );
    db.assert_unchanged_since(&before).await;
});

on_both!(purge_takes_only_what_is_in_the_trash_itself, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    let note = activity(51, "note", &[("deal", 30), ("contact", 1)]);
    let removal = json!({"kind": "remove", "of": "activity", "accountId": "1", "id": "51"});
    deleted(&reaper, &["note:51"]).await;
    reaper.import(&[removal]).await;
    let listed = reaper.json(&["trash", "list", "--account", "1", "--object", "note"]).await;
    assert_eq!(listed, json!([]), "what is removed is in no trash");
    reaper.import(&[note]).await;
    age(&db, 91).await;
    assert_eq!(purge(&reaper).await, 0);
    assert_eq!(inspect(&reaper, "note:51").await["state"], "live");
    // Nor by an entry that was left over.
    db.execute(
        "UPDATE record_trash_entries SET closed_at = NULL, closed_as = NULL WHERE object_type = 'note' AND record_id = 51",
    )
    .await;
    assert_eq!(purge(&reaper).await, 0);
    assert_eq!(inspect(&reaper, "note:51").await["properties"], json!({"body": "Something"}));
});

on_both!(activity_that_an_import_gives_another_type_stays_restorable, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    deleted(&reaper, &["note:51"]).await;
    reaper.import(&[activity(51, "meeting", &[("deal", 30), ("contact", 1)])]).await;
    let there = inspect(&reaper, "meeting:51").await;
    assert_eq!((&there["state"], &there["trash"]["entryId"]), (&json!("in_trash"), &json!("1")));
    assert_eq!(inspect(&reaper, "note:51").await["state"], "unknown");
    restored(&reaper, &["meeting:51"]).await;
    assert_eq!(reaper.contact(1, 1).await["visible"]["activities"], json!(["51"]));
    deleted(&reaper, &["meeting:51"]).await;
    reaper.import(&[activity(51, "call", &[("contact", 1)])]).await;
    age(&db, 91).await;
    assert_eq!(purge(&reaper).await, 1);
    assert_eq!(db.rows("SELECT CAST(activity_id AS text) FROM activities WHERE stub").await, [["51"]]);
    assert_eq!(inspect(&reaper, "call:51").await["state"], "purged");
});

on_both!(object_and_activity_of_one_type_and_id_are_kept_apart, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut object = car(9);
    object["objectTypeId"] = json!("sms");
    reaper.import(&[&world()[..], &[object, activity(9, "sms", &[("contact", 1)])]].concat()).await;
    deleted(&reaper, &["sms:9"]).await;
    assert_eq!(
        reaper.contact(1, 1).await["visible"]["activities"],
        json!(["9", "51"]),
        "the object was meant"
    );
    assert_eq!(db.count("objects", "object_type = 'sms' AND deleted_at IS NOT NULL").await, 1);
    age(&db, 91).await;
    assert_eq!(purge(&reaper).await, 1);
    assert_eq!(reaper.contact(1, 1).await["visible"]["activities"], json!(["9", "51"]));
    // Now the activity alone has the name.
    deleted(&reaper, &["sms:9"]).await;
    assert_eq!(reaper.contact(1, 1).await["visible"]["activities"], json!(["51"]));
    restored(&reaper, &["sms:9"]).await;
    assert_eq!(reaper.contact(1, 1).await["visible"]["activities"], json!(["9", "51"]));
});

on_both!(activity_in_the_trash_outlives_the_purge_of_what_it_is_on, async |db: Database| {
    let reaper = Reaper::new(&db);
    let alone = activity(60, "note", &[("contact", 1)]);
    reaper.import(&[&world()[..], &[alone]].concat()).await;
    deleted(&reaper, &["deal:30"]).await;
    reaper.delete(1, 1).await;
    age(&db, 91).await;
    deleted(&reaper, &["note:50", "note:60"]).await;
    assert_eq!(purge(&reaper).await, 2);
    for note in ["note:50", "note:60"] {
        let there = inspect(&reaper, note).await;
        assert_eq!(
            (&there["state"], &there["properties"]),
            (&json!("in_trash"), &json!({"body": "Something"})),
            "{note}"
        );
    }
    restored(&reaper, &["note:50"]).await;
    assert_eq!(inspect(&reaper, "note:50").await["visible"]["associations"], json!([]));
    age(&db, 91).await;
    assert_eq!(purge(&reaper).await, 1);
    assert_eq!(inspect(&reaper, "note:60").await["state"], "purged");
});

on_both!(erasure_ends_the_trash_of_what_it_deletes, async |db: Database| {
    let reaper = Reaper::new(&db);
    let own = [activity(60, "note", &[("contact", 1)]), activity(61, "email", &[("contact", 1)])];
    reaper.import(&[&world()[..], &own].concat()).await;
    deleted(&reaper, &["note:60", "email:61", "ticket:31", "deal:30"]).await;
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"]).await;
    for record in ["note:60", "email:61", "ticket:31"] {
        assert_eq!(inspect(&reaper, record).await["state"], "erased", "{record}");
        let said = reaper.refused(&["restore", "--account", "1", "--as", "1", "--record", record]).await;
        assert!(
            said.contains(&format!("{record} was erased, is gone for good and cannot be restored")),
            "{said}"
        );
    }
    let open = db.rows("SELECT object_type FROM record_trash_entries WHERE closed_at IS NULL").await;
    assert_eq!(open, [["deal"]]);
    assert_eq!(db.count("activities", "stub AND deleted_at IS NOT NULL").await, 0);
    restored(&reaper, &["deal:30"]).await;
});

on_both!(contacts_are_records_too, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    assert_eq!(inspect(&reaper, "0-1:1").await, reaper.contact(1, 1).await);
    let output = delete(&reaper, ADMIN, &["contact:1"], 1).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    assert_eq!(reaper.state(1, 1).await, "in_trash");
    let user = ADMIN.to_string();
    let report = reaper.json(&["restore", "--account", "1", "--as", &user, "--record", "contact:1"]).await;
    assert_eq!(report["restored"], json!(["1"]));
    let listed = reaper.json(&["trash", "list", "--account", "1", "--object", "contact"]).await;
    assert_eq!(listed, json!([]));
});

/// The vendor's types but contacts, by hand: what one record is called, and the id of the type.
const TYPES: &str = "company 0-2 deal 0-3 ticket 0-5 product 0-7 line_item 0-8 quote 0-14 communication 0-18 \
    feedback_submission 0-19 task 0-27 note 0-46 meeting 0-47 call 0-48 email 0-49 invoice 0-53 marketing_event 0-54 \
    subscription 0-69 goal 0-74 discount 0-84 fee 0-85 tax 0-86 payment 0-101 user 0-115 postal_mail 0-116 order 0-123 \
    lead 0-136 cart 0-142 service 0-162 course 0-410 listing 0-420 appointment 0-421 project 0-970 2-134 2-134 0-99999 0-99999";

on_both!(records_of_all_types_go_come_back_and_are_purged, async |db: Database| {
    const ACTIVITIES: [&str; 7] =
        ["communication", "task", "note", "meeting", "call", "email", "postal_mail"];
    let words: Vec<&str> = TYPES.split_whitespace().collect();
    let types: Vec<(&str, &str)> = words.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    let mut records = entitled_account(1);
    records.push(contact(1, 1, json!({})));
    let mut names = Vec::new();
    for (id, (name, type_id)) in (101..).zip(&types) {
        names.push(format!("{name}:{id}"));
        records.push(if ACTIVITIES.contains(name) {
            activity(id, type_id, &[("contact", 1)])
        } else {
            json!({"kind": "object", "accountId": "1", "objectTypeId": type_id, "id": id.to_string(), "properties": {"hs_name": *name}})
        });
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let reaper = Reaper::new(&db);
    reaper.import(&records).await;
    let before = db.dump(&TRACKS).await;
    let states = async |expected: &str| {
        for name in &names {
            assert_eq!(inspect(&reaper, name).await["state"], expected, "{name}");
        }
    };
    assert_eq!(deleted(&reaper, &names).await["deleted"], json!(names.len()));
    states("in_trash").await;
    for (id, (_, type_id)) in (101..).zip(&types) {
        let rows = reaper.json(&["trash", "list", "--account", "1", "--object", type_id]).await;
        assert_eq!(
            (rows.as_array().unwrap().len(), &rows[0]["recordId"]),
            (1, &json!(id.to_string())),
            "{type_id}"
        );
    }
    let command = [&["restore", "--account", "1", "--as", "1", "--record"][..], &names].concat();
    assert_eq!(reaper.json(&command).await["refused"], json!([]));
    db.assert_unchanged_since(&before).await;
    states("live").await;

    deleted(&reaper, &names).await;
    age(&db, 91).await;
    let purge_job = reaper.json(&["retention", "status"]).await["jobs"][0].clone();
    let due: serde_json::Map<_, _> = types.iter().map(|(name, _)| ((*name).to_owned(), json!(1))).collect();
    assert_eq!((&purge_job["backlog"], &purge_job["recordBacklog"]), (&json!(names.len()), &due.into()));
    assert_eq!(purge(&reaper).await, json!(names.len()));
    states("purged").await;
    assert_eq!(db.count("objects", "TRUE").await, 0);
    assert_eq!(db.count("activities", "NOT stub").await, 0);
    assert_eq!(reaper.state(1, 1).await, "live");
});
