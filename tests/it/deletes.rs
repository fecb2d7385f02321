//! `delete` of many: which contacts a selection means, who may, and what refuses all of it.

use serde_json::{Value, json};

use crate::support::records::{
    account, all_of, branch, contact, entitled_account, event, in_list, manual_workflow, property, segment,
    user,
};
use crate::support::{Database, Reaper, TempDir, on_both};

/// In both accounts: contacts 1 to 6, of whom 1 and 5 are called Ada; segment 4 with the first three; a company, a deal
/// and a ticket of the same ids as contacts. In account 1: users 2 with *Delete*, 3 with *Bulk delete*, 4 with *Super
/// admin*, 5 with nothing.
async fn world(db: &Database) -> Reaper {
    let reaper = Reaper::new(db);
    let mut records = entitled_account(1);
    records.extend([account(2), user(2, 1, &["super_admin"]), manual_workflow(1, 7)]);
    for (id, permissions) in
        [(2, vec!["delete"]), (3, vec!["bulk_delete"]), (4, vec!["super_admin"]), (5, vec![])]
    {
        records.push(user(1, id, &permissions));
    }
    for account in [1, 2] {
        let name = |id| if [1, 5].contains(&id) { "Ada" } else { "Grace" };
        records.extend((1..=6).map(|id| contact(account, id, json!({"firstname": name(id), "age": "old"}))));
        records.push(segment(account, 4, &[1, 2, 3]));
        for (kind, id) in [("company", 1), ("deal", 2), ("ticket", 3), ("company", 77)] {
            records.push(json!({"kind": kind, "accountId": account.to_string(), "id": id.to_string(),
                "properties": {"name": "Larkspur"}}));
        }
    }
    reaper.import(&records).await;
    reaper
}

fn named(name: &str) -> Value {
    all_of(&[property("firstname", "STRING", "IS_EQUAL_TO", json!(name))])
}

/// A file with a filter.
fn filter(dir: &TempDir, filter: &Value) -> String {
    let file = dir.path().join("filter.json");
    std::fs::write(&file, filter.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

fn delete<'a>(user: &'a str, selection: &[&'a str], confirm: &'a str) -> Vec<&'a str> {
    [&["delete", "--account", "1", "--as", user], selection, &["--confirm", confirm]].concat()
}

async fn live(db: &Database) -> Vec<String> {
    let sql = "SELECT CAST(contact_id AS text) FROM contacts WHERE account_id = 1 AND deleted_at IS NULL \
               ORDER BY contact_id";
    db.rows(sql).await.concat()
}

/// Everything of account 2, and what no delete of contacts may touch.
async fn untouched(db: &Database) -> Vec<String> {
    let mut rows = [db.table("objects").await, db.table("segments").await].concat();
    for table in db.tables().await {
        rows.extend(db.table(&table).await.into_iter().filter(|row| row.starts_with("2 | ")));
    }
    rows
}

on_both!(a_selection_means_these_contacts_and_nothing_else_of_their_ids, async |db: Database| {
    let reaper = world(&db).await;
    let dir = TempDir::new();
    let ada = filter(&dir, &named("ada"));
    let before = untouched(&db).await;
    for (kind, selection, gone) in [
        ("one", vec!["--contact", "5"], vec!["5"]),
        ("one", vec!["--contact", "5", "--contact", "5"], vec!["5"]),
        ("picked", vec!["--contact", "6", "--contact", "2", "--contact", "6"], vec!["2", "6"]),
        ("picked", vec!["--contact", "1", "3"], vec!["1", "3"]),
        ("segment", vec!["--segment", "4"], vec!["1", "2", "3"]),
        ("picked", vec!["--segment", "4", "--contact", "2", "--contact", "3"], vec!["2", "3"]),
        ("picked", vec!["--segment", "4", "--contact", "2"], vec!["2"]),
        ("filter", vec!["--where", &ada], vec!["1", "5"]),
    ] {
        let count = gone.len().to_string();
        let answer = reaper.json(&delete("4", &selection, &count)).await;
        let stays: Vec<String> =
            (1..=6).map(|id| id.to_string()).filter(|id| !gone.contains(&id.as_str())).collect();
        assert_eq!(live(&db).await, stays, "{selection:?}");
        assert_eq!((&answer["deleted"], &answer["skipped"]), (&json!(gone.len()), &json!(0)));
        // One id for all of it: in the answer, at the trash entries, in the audit, in the record of the deletion.
        let deletion = answer["deletionId"].as_str().unwrap();
        let of_it = format!(
            "SELECT CAST(contact_id AS text), CAST(entry_id AS text) FROM trash_entries \
             WHERE account_id = 1 AND deletion_id = {deletion} ORDER BY contact_id"
        );
        let entries: Vec<Value> =
            db.rows(&of_it).await.iter().map(|row| json!({"contactId": row[0], "entryId": row[1]})).collect();
        assert_eq!(answer["entries"], json!(entries), "{selection:?}");
        assert_eq!(
            entries.iter().map(|entry| entry["contactId"].as_str().unwrap()).collect::<Vec<_>>(),
            gone
        );
        let audit = reaper.json(&["audit", "list", "--account", "1", "--limit", "1"]).await[0].clone();
        assert_eq!((&audit["ids"], &audit["deletionId"]), (&json!(gone), &json!(deletion)));
        assert_eq!((&audit["actor"], &audit["action"]), (&json!("user:4"), &json!("trash")));
        let record = format!(
            "SELECT kind, CAST(user_id AS text), CAST(confirmed AS text), CAST(deleted AS text), \
             CAST(skipped AS text) FROM deletions WHERE deletion_id = {deletion} AND finished_at IS NOT NULL"
        );
        assert_eq!(db.rows(&record).await, [[kind, "4", &count, &count, "0"]]);
        for id in gone {
            reaper.restore(1, id.parse().unwrap()).await;
        }
        reaper.import(&[segment(1, 4, &[1, 2, 3])]).await;
    }
    assert_eq!(untouched(&db).await, before);
    assert_eq!(db.count("deletion_items", "TRUE").await, 0);
});

on_both!(a_contact_of_a_bulk_delete_is_in_the_trash_like_any_other, async |db: Database| {
    let reaper = world(&db).await;
    reaper.json(&delete("3", &["--segment", "4"], "3")).await;
    let contact = reaper.contact(1, 2).await;
    assert_eq!(contact["trash"]["deletedBy"], json!({"kind": "user", "userId": "3"}));
    let mut enrollment = event(1, 7, 2, 1);
    enrollment["data"]["cause"] = json!("MANUAL");
    reaper.decide(&[enrollment]).await;
    assert_eq!(reaper.decision(1, 1).await["reason"], "already_in_trash");
    reaper.restore(1, 2).await;
    assert_eq!(reaper.state(1, 2).await, "live");
});

on_both!(one_takes_delete_and_many_take_bulk_delete_and_neither_the_other, async |db: Database| {
    let reaper = world(&db).await;
    let dir = TempDir::new();
    let nobody = filter(&dir, &named("nobody"));
    let before = db.dump(&[]).await;
    let one: &[&str] = &["--contact", "1"];
    let many: [(&[&str], &str); 4] = [
        (&["--contact", "1", "--contact", "2"], "2"),
        (&["--segment", "4"], "3"),
        (&["--segment", "4", "--contact", "1"], "1"),
        (&["--where", &nobody], "0"),
    ];
    for user in ["3", "5"] {
        let said = reaper.refused(&delete(user, one, "1")).await;
        assert!(said.contains("Delete (delete)") && !said.contains("bulk_delete"), "{said}");
    }
    for user in ["2", "5"] {
        for (selection, count) in many {
            let said = reaper.refused(&delete(user, selection, count)).await;
            assert!(said.contains("Bulk delete (bulk_delete)"), "{selection:?}: {said}");
        }
    }
    let said = reaper.refused(&delete("9", &["--segment", "4"], "3")).await;
    assert!(said.contains("no such user"), "{said}");
    db.assert_unchanged_since(&before).await;
    for user in ["3", "4"] {
        for (selection, count) in many {
            reaper.json(&delete(user, selection, count)).await;
            reaper.json(&["trash", "list", "--account", "1"]).await;
            for id in (1..=3).filter(|_| count != "0") {
                if reaper.state(1, id).await == "in_trash" {
                    reaper.restore(1, id).await;
                }
            }
            reaper.import(&[segment(1, 4, &[1, 2, 3])]).await;
        }
    }
});

on_both!(a_wrong_number_deletes_nothing_and_names_both, async |db: Database| {
    let reaper = world(&db).await;
    let dir = TempDir::new();
    let ada = filter(&dir, &named("Ada"));
    let before = db.dump(&[]).await;
    for (selection, right) in [
        (vec!["--contact", "1", "--contact", "2", "--contact", "2"], "2 contacts"),
        (vec!["--segment", "4"], "3 contacts"),
        (vec!["--segment", "4", "--contact", "2"], "1 contact"),
        (vec!["--where", &ada], "2 contacts"),
    ] {
        for wrong in ["0", "4", "1000000"] {
            let said = reaper.refused(&delete("4", &selection, wrong)).await;
            assert!(
                said.contains(&format!("says {wrong} where {right} would be deleted"))
                    && said.contains("nothing was deleted"),
                "{said}"
            );
        }
    }
    db.assert_unchanged_since(&before).await;
});

/// A negation of what holds of no contact.
fn within(negation: &str) -> Value {
    let nothing = json!({"filterType": "CONSTANT", "shouldAccept": false});
    branch("OR", &[branch("AND", &[branch(negation, &[], &[nothing])], &[])], &[])
}

on_both!(a_filter_that_asks_nothing_or_is_not_understood_deletes_nobody, async |db: Database| {
    let reaper = world(&db).await;
    let dir = TempDir::new();
    let before = db.dump(&[]).await;
    let ada = property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"));
    let mut misspelt = branch("AND", &[], std::slice::from_ref(&ada));
    misspelt["Filters"] = json!([property("age", "STRING", "IS_EQUAL_TO", json!("young"))]);
    for (asked, place) in [
        (branch("AND", &[], &[]), "$:"),
        (branch("OR", &[], &[]), "$:"),
        (branch("OR", &[branch("AND", &[], &[])], &[]), "$.filterBranches[0]:"),
        (branch("OR", &[branch("AND", &[], &[])], std::slice::from_ref(&ada)), "$.filterBranches[0]:"),
        (
            branch("AND", &[branch("AND", &[branch("OR", &[], &[])], &[])], &[]),
            "$.filterBranches[0].filterBranches[0]:",
        ),
        (json!({"filterBranchType": "AND"}), "$:"),
        (json!({"filterBranchType": "AND", "filters": null, "filterBranches": null}), "$:"),
        (json!({}), "$:"),
        (json!([]), "$:"),
        (json!(null), "$:"),
        (all_of(&[ada.clone(), json!({"filterType": "PAGE_VIEW"})]), "$.filterBranches[0].filters[1]:"),
        (
            all_of(&[property("age", "STRING", "SOUNDS_LIKE", json!("old"))]),
            "$.filterBranches[0].filters[0]:",
        ),
        (
            branch("OR", &[json!({"filterBranchType": "RESTRICTED"})], std::slice::from_ref(&ada)),
            "$.filterBranches[0]:",
        ),
        (misspelt, "$:"),
        // Each accepts every contact.
        (within("NOT_ANY"), "$:"),
        (within("NOT_ALL"), "$:"),
    ] {
        let file = filter(&dir, &asked);
        for count in ["0", "2", "6"] {
            let said = reaper.refused(&delete("4", &["--where", &file], count)).await;
            assert!(said.contains(place) && said.contains("filter.json"), "{asked}: {said}");
        }
    }
    std::fs::write(dir.path().join("broken"), "{").unwrap();
    // Of two members of one name the first would be lost, and with it its condition.
    let (nobody, everybody) = (
        property("firstname", "STRING", "IS_EQUAL_TO", json!("Nobody")),
        property("firstname", "ALL_PROPERTY", "IS_KNOWN", Value::Null),
    );
    let twice =
        format!("{{\"filterBranchType\": \"AND\", \"filters\": [{nobody}], \"filters\": [{everybody}]}}");
    std::fs::write(dir.path().join("twice"), twice).unwrap();
    for (file, why) in
        [("broken", "no JSON"), ("missing", "cannot be read"), ("twice", "filters is there twice")]
    {
        let file = dir.path().join(file);
        let said = reaper.refused(&delete("4", &["--where", file.to_str().unwrap()], "6")).await;
        assert!(said.contains(why), "{said}");
    }
    db.assert_unchanged_since(&before).await;
});

on_both!(a_filter_that_leaves_a_contact_open_deletes_nobody, async |db: Database| {
    let reaper = world(&db).await;
    reaper.import(&[contact(1, 1, json!({"firstname": "Ada", "age": "41"}))]).await;
    let dir = TempDir::new();
    let before = db.dump(&[]).await;
    for (asked, contact, what) in [
        (all_of(&[property("age", "NUMBER", "IS_GREATER_THAN", json!(40))]), "contact 2", "age"),
        (all_of(&[in_list(9, "NOT_IN_LIST")]), "contact 1", "segment 9"),
        (
            all_of(&[property("shoe_size", "ALL_PROPERTY", "IS_UNKNOWN", Value::Null)]),
            "contact 1",
            "the account does not know the property",
        ),
    ] {
        let file = filter(&dir, &asked);
        for count in ["1", "6"] {
            let said = reaper.refused(&delete("4", &["--where", &file], count)).await;
            assert!(
                said.contains(contact) && said.contains(what) && !said.contains("old"),
                "{asked}: {said}"
            );
        }
    }
    db.assert_unchanged_since(&before).await;
    // Where another part decides, nothing is left open.
    let decided = all_of(&[
        in_list(4, "IN_LIST"),
        property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada")),
        property("age", "NUMBER", "IS_GREATER_THAN", json!(40)),
    ]);
    reaper.json(&delete("4", &["--where", &filter(&dir, &decided)], "1")).await;
    assert_eq!(live(&db).await, ["2", "3", "4", "5", "6"]);
});

on_both!(a_picked_contact_that_is_not_there_refuses_all_of_it_by_name, async |db: Database| {
    let reaper = world(&db).await;
    reaper.delete(1, 5).await;
    let erase = ["erase", "--account", "1", "--as", "4", "--contact", "6", "--confirm", "1"];
    reaper.json(&erase).await;
    let before = db.dump(&[]).await;
    for (selection, count, words) in [
        (vec!["--contact", "1", "--contact", "5"], "2", vec!["contact 5 is in the trash already"]),
        (vec!["--contact", "1", "--contact", "5"], "1", vec!["contact 5 is in the trash already"]),
        (vec!["--contact", "1", "--contact", "6"], "2", vec!["contact 6 was erased"]),
        // A company's id is no contact's.
        (vec!["--contact", "77", "1", "99"], "3", vec!["no contact 77", "no contact 99"]),
        (vec!["--segment", "4", "--contact", "1", "4"], "2", vec!["contact 4 is not in segment 4"]),
        (vec!["--segment", "4", "--contact", "5"], "1", vec!["contact 5 is in the trash already"]),
        (vec!["--segment", "9"], "0", vec!["no segment 9"]),
        (vec!["--segment", "9", "--contact", "1"], "1", vec!["no segment 9"]),
    ] {
        let said = reaper.refused(&delete("4", &selection, count)).await;
        assert!(said.contains("nothing was deleted"), "{said}");
        assert!(words.iter().all(|words| said.contains(words)), "{selection:?}: {said}");
        assert!(!said.contains("contact 1 "), "{said}");
    }
    let unknown: Vec<String> = (100..130).map(|id| id.to_string()).collect();
    let unknown: Vec<&str> = ["--contact"].into_iter().chain(unknown.iter().map(String::as_str)).collect();
    let said = reaper.refused(&delete("4", &unknown, "30")).await;
    assert!(said.contains("no contact 109, and at least 20 more") && !said.contains("110"), "{said}");
    db.assert_unchanged_since(&before).await;
    for selection in [&[][..], &["--where", "f", "--contact", "1"], &["--where", "f", "--segment", "4"]] {
        assert_eq!(reaper.run(&delete("4", selection, "1")).await.code, 2, "{selection:?}");
    }
});
