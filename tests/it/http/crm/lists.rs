//! Segments, which the vendor's API calls lists, read and written by programs.

use serde_json::{Value, json};

use super::{ALL, CHANGING, Crm, token};
use crate::support::records::{all_of, contact, days_ago, in_list, segment, user, workflow};
use crate::support::{Asking, Database, on_both};

/// Contacts 1 to 9 are there; 20 is in the trash.
fn records() -> Vec<Value> {
    let mut gone = contact(1, 20, json!({}));
    gone["archived"] = json!(true);
    let mut dynamic = segment(1, 5, &[1]);
    dynamic["processingType"] = json!("DYNAMIC");
    vec![
        gone,
        segment(1, 4, &[1, 2]),
        dynamic,
        segment(2, 6, &[1]),
        workflow(1, 6, &all_of(&[in_list(4, "IN_LIST")])),
    ]
}

fn ids(answer: &Value, list: &str, member: &str) -> Vec<String> {
    answer[list].as_array().unwrap().iter().map(|it| it[member].as_str().unwrap().to_owned()).collect()
}

/// A new list's id.
async fn made(crm: &Crm, path: &str, name: &str) -> String {
    let body = json!({"name": name, "objectTypeId": "0-1", "processingType": "MANUAL"});
    let made = crm.post(path, &body).await;
    assert_eq!(made.status, 200, "{}", made.body);
    made.json()["list"]["listId"].as_str().unwrap().to_owned()
}

on_both!(lists_are_made_and_filled, async |db: Database| {
    let crm = Crm::new(db, &records()).await;
    let id = made(&crm, "/crm/v3/lists", "Best % people").await;
    assert_eq!(
        made(&crm, "/crm/v3/lists/", "Others").await.parse::<i64>().unwrap(),
        id.parse::<i64>().unwrap() + 1
    );
    let list = format!("/crm/v3/lists/{id}");
    let read = crm.get(&list).await.json()["list"].clone();
    assert_eq!(
        (&read["name"], &read["objectTypeId"], &read["processingType"], &read["size"]),
        (&json!("Best % people"), &json!("0-1"), &json!("MANUAL"), &json!(0))
    );
    assert_eq!(read["createdAt"], read["updatedAt"]);
    let named = json!(["1", "2", 3, "20", "999", "x", "1"]);
    let added = crm.ask("PUT", &format!("{list}/memberships/add"), Some(&named)).await;
    assert_eq!(
        (added.status, added.json()),
        (
            200,
            json!({"recordsIdsAdded": ["1", "2", "3"], "recordIdsRemoved": [], "recordIdsMissing": ["20", "999", "x"]})
        )
    );
    let again = crm.ask("PUT", &format!("{list}/memberships/add"), Some(&json!(["1"]))).await;
    assert_eq!(again.json()["recordsIdsAdded"], json!([]));
    let mut path = format!("{list}/memberships?limit=2");
    let mut seen = Vec::new();
    loop {
        let page = crm.get(&path).await.json();
        seen.extend(ids(&page, "results", "recordId"));
        let joined = page["results"][0]["membershipTimestamp"].as_str().unwrap().to_owned();
        assert!(joined > days_ago(1), "{joined}");
        let Some(after) = page["paging"]["next"]["after"].as_str() else { break };
        path = format!("{list}/memberships?limit=2&after={after}");
    }
    assert_eq!(seen, ["1", "2", "3"]);
    let before = crm.get(&format!("{list}/memberships?before=3&limit=1")).await.json();
    assert_eq!(
        (ids(&before, "results", "recordId"), &before["paging"]["prev"]["before"]),
        (vec!["2".to_owned()], &json!("2"))
    );
    let of_one = crm.get("/crm/v3/lists/records/contacts/1/memberships").await.json();
    assert_eq!(ids(&of_one, "results", "listId"), ["4", "5", &id]);

    // One that is named for both stays.
    let both = json!({"recordIdsToAdd": ["4", "2"], "recordIdsToRemove": ["1", "2", "9"]});
    let changed = crm.ask("PUT", &format!("{list}/memberships/add-and-remove"), Some(&both)).await;
    assert_eq!(
        changed.json(),
        json!({"recordsIdsAdded": ["4"], "recordIdsRemoved": ["1"], "recordIdsMissing": []})
    );
    let removed = crm.ask("PUT", &format!("{list}/memberships/remove"), Some(&json!(["4"]))).await;
    assert_eq!(removed.json()["recordIdsRemoved"], json!(["4"]));
    let members = crm.get(&format!("{list}/memberships")).await.json();
    assert_eq!(ids(&members, "results", "recordId"), ["2", "3"]);
    assert_eq!(crm.scene.reaper.contact(1, 2).await["visible"]["segments"], json!(["4", id]));

    let search = async |body: Value| crm.post("/crm/v3/lists/search", &body).await.json();
    let found = search(json!({"query": "BEST %", "additionalProperties": ["hs_list_size"]})).await;
    assert_eq!((ids(&found, "lists", "listId"), &found["total"]), (vec![id.clone()], &json!(1)));
    assert_eq!(found["lists"][0]["additionalProperties"], json!({"hs_list_size": "2"}));
    let found = search(json!({"count": 2, "offset": 1})).await;
    assert_eq!(
        (ids(&found, "lists", "listId"), &found["hasMore"]),
        (vec!["5".to_owned(), id.clone()], &json!(true))
    );
    let found = search(json!({"processingTypes": ["DYNAMIC"]})).await;
    assert_eq!(ids(&found, "lists", "listId"), ["5"]);
    assert_eq!(search(json!({"listIds": ["6"]})).await["total"], json!(0), "the list of another account");
    let read = crm.get(&format!("/crm/v3/lists/?listIds=4&listIds={id}&listIds=6")).await.json();
    assert_eq!(ids(&read, "lists", "listId"), ["4", &id]);

    // An import that brings the id means another segment, unless it says when it was created.
    let mut echoed = segment(1, id.parse().unwrap(), &[7]);
    let output = crm.scene.reaper.run_with_input(&["import", "-"], &format!("{echoed}\n")).await;
    assert!(output.code == 1 && output.stderr.contains(&format!("{id} was given")), "{}", output.stderr);
    let read = crm.get(&list).await.json()["list"].clone();
    echoed["createdAt"] = read["createdAt"].clone();
    crm.scene.reaper.import(&[echoed]).await;
    assert_eq!(ids(&crm.get(&format!("{list}/memberships")).await.json(), "results", "recordId"), ["7"]);
    crm.finish();
});

on_both!(a_list_in_the_trash_is_unknown_until_it_is_restored, async |db: Database| {
    let crm = Crm::new(db, &records()).await;
    let reaper = &crm.scene.reaper;
    let explained = async || {
        let it = reaper.json(&["explain", "--account", "1", "--workflow", "6", "--contact", "1"]).await;
        (it["verdict"].clone(), it["reason"].clone())
    };
    assert_eq!(explained().await, (json!("delete"), Value::Null));
    for _ in 0..2 {
        assert_eq!(crm.delete("/crm/v3/lists/4").await.status, 204);
    }
    assert_eq!(explained().await, (json!("refuse"), json!("criteria_unsupported")));
    let read = crm.get("/crm/v3/lists/4").await.json()["list"].clone();
    assert!(
        read["deletedAt"].is_string() && read.get("size").is_none(),
        "its members come back with it: {read}"
    );
    assert_eq!(crm.get("/crm/v3/lists?listIds=4").await.json(), json!({"lists": []}));
    assert_eq!(crm.post("/crm/v3/lists/search", &json!({})).await.json()["total"], json!(1));
    assert_eq!(crm.get("/crm/v3/lists/4/memberships").await.status, 404);
    assert_eq!(crm.ask("PUT", "/crm/v3/lists/4/memberships/remove", Some(&json!(["1"]))).await.status, 404);
    let of_one = crm.get("/crm/v3/lists/records/0-1/1/memberships").await.json();
    assert_eq!(ids(&of_one, "results", "listId"), ["5"]);
    assert_eq!(reaper.contact(1, 1).await["visible"]["segments"], json!(["5"]));
    let delete = ["delete", "--account", "1", "--as", "1", "--segment", "4", "--confirm", "2"];
    assert_eq!(reaper.run(&delete).await.code, 1, "nobody is deleted by a list in the trash");
    assert_eq!(reaper.state(1, 1).await, "live");
    // An import changes it, and leaves it where it is.
    reaper.import(&[segment(1, 4, &[1, 2, 3])]).await;
    assert_eq!(explained().await, (json!("refuse"), json!("criteria_unsupported")));
    for _ in 0..2 {
        assert_eq!(crm.ask("PUT", "/crm/v3/lists/4/restore", None).await.status, 204);
    }
    assert_eq!(explained().await, (json!("delete"), Value::Null));
    assert_eq!(
        ids(&crm.get("/crm/v3/lists/4/memberships").await.json(), "results", "recordId"),
        ["1", "2", "3"]
    );

    // After 90 days it is gone, and its id is nobody's.
    let id = made(&crm, "/crm/v3/lists", "Short").await;
    for list in ["4", &id] {
        assert_eq!(crm.delete(&format!("/crm/v3/lists/{list}")).await.status, 204);
    }
    let purge = ["retention", "run", "--job", "purge_trash"];
    reaper.json(&purge).await;
    assert_eq!(crm.get("/crm/v3/lists/4").await.status, 200, "its time is not over");
    crm.scene
        .db
        .execute(&format!("UPDATE segments SET deleted_at = '{}' WHERE deleted_at IS NOT NULL", days_ago(91)))
        .await;
    assert_eq!(crm.ask("PUT", "/crm/v3/lists/4/restore", None).await.status, 400);
    assert_eq!(reaper.json(&purge).await["jobs"][0]["deleted"], json!(2));
    for list in ["4", &id] {
        assert_eq!(crm.get(&format!("/crm/v3/lists/{list}")).await.status, 404);
        assert_eq!(crm.delete(&format!("/crm/v3/lists/{list}")).await.status, 404);
    }
    assert_eq!(crm.scene.db.count("segment_members", "segment_id = 4").await, 0);
    assert_eq!(reaper.state(1, 1).await, "live");
    assert_eq!(
        made(&crm, "/crm/v3/lists", "Next").await.parse::<i64>().unwrap(),
        id.parse::<i64>().unwrap() + 1
    );
    crm.finish();
});

on_both!(lists_of_records_of_other_types_and_what_is_refused, async |db: Database| {
    let company = json!({"kind": "company", "accountId": "1", "id": "610", "properties": {"name": "One"}});
    let mut all = records();
    all.extend([company, user(1, 6, &["view:contact"])]);
    let crm = Crm::new(db, &all).await;
    let body = json!({"name": "Companies", "objectTypeId": "companies", "processingType": "SNAPSHOT"});
    let id = crm.post("/crm/v3/lists", &body).await.json()["list"]["listId"].as_str().unwrap().to_owned();
    let added =
        crm.ask("PUT", &format!("/crm/v3/lists/{id}/memberships/add"), Some(&json!(["610", "1"]))).await;
    assert_eq!(
        added.json(),
        json!({"recordsIdsAdded": ["610"], "recordIdsRemoved": [], "recordIdsMissing": ["1"]})
    );
    assert_eq!(
        ids(&crm.get("/crm/v3/lists/records/0-2/610/memberships").await.json(), "results", "listId"),
        [id.as_str()]
    );
    assert_eq!(crm.delete("/crm/v3/objects/companies/610").await.status, 204);
    assert_eq!(crm.get(&format!("/crm/v3/lists/{id}/memberships")).await.json(), json!({"results": []}));

    let before = crm.scene.db.dump(&CHANGING).await;
    let list = |name: &str, kind: &str, processing: &str| json!({"name": name, "objectTypeId": kind, "processingType": processing});
    for wrong in [
        json!({}),
        list("", "0-1", "MANUAL"),
        list("A", "dragons", "MANUAL"),
        list("A", "0-1", "DYNAMIC"),
        list("A", "0-1", "OTHER"),
        json!({"name": "A", "objectTypeId": "0-1", "processingType": "SNAPSHOT", "filterBranch": {"filterBranchType": "OR"}}),
    ] {
        let refused = crm.post("/crm/v3/lists", &wrong).await;
        assert_eq!(
            (refused.status, &refused.json()["category"]),
            (400, &json!("VALIDATION_ERROR")),
            "{wrong}"
        );
    }
    for (method, path, body, status) in [
        ("PUT", "/crm/v3/lists/5/memberships/add", json!(["2"]), 400),
        ("PUT", "/crm/v3/lists/5/memberships/remove", json!(["1"]), 400),
        ("PUT", "/crm/v3/lists/4/memberships/add", json!({}), 400),
        ("PUT", "/crm/v3/lists/4/memberships/add", json!([["1"]]), 400),
        ("PUT", "/crm/v3/lists/6/memberships/add", json!(["1"]), 404),
        ("POST", "/crm/v3/lists/search", json!({"count": 501}), 400),
        ("POST", "/crm/v3/lists/search", json!({"listIds": "4"}), 400),
    ] {
        let refused = crm.ask(method, path, Some(&body)).await;
        assert_eq!(refused.status, status, "{method} {path}: {}", refused.body);
    }
    for path in ["/crm/v3/lists/6", "/crm/v3/lists/x", "/crm/v3/lists/6/memberships", "/crm/v3/lists/4%00"] {
        assert_eq!(crm.get(path).await.status, 404, "{path}");
    }
    for path in ["/crm/v3/lists/4/memberships?limit=251", "/crm/v3/lists/4/memberships?before=x"] {
        assert_eq!(crm.get(path).await.status, 400, "{path}");
    }
    assert_eq!(crm.delete("/crm/v3/lists/6").await.status, 404);

    // Scopes, and users who may not look at companies.
    let contacts_only = token(&crm.scene, "6", &ALL).await;
    let ask = async |token: &str, method: &'static str, path: &str, body: Option<Value>| {
        let asking =
            body.as_ref().map_or_else(|| Asking::get(path), |body| Asking::post(path, body)).by(method);
        crm.scene.worker.ask(&asking.showing(token)).await
    };
    assert_eq!(ask(&contacts_only, "GET", &format!("/crm/v3/lists/{id}"), None).await.status, 403);
    let found = ask(&contacts_only, "POST", "/crm/v3/lists/search", Some(json!({}))).await.json();
    assert_eq!(ids(&found, "lists", "listId"), ["4", "5"]);
    let doors: [(&'static str, &str, Option<Value>, &str); 7] = [
        ("GET", "/crm/v3/lists/4", None, "crm.read"),
        ("GET", "/crm/v3/lists/4/memberships", None, "crm.read"),
        ("POST", "/crm/v3/lists/search", Some(json!({})), "crm.read"),
        ("POST", "/crm/v3/lists", Some(list("A", "0-1", "MANUAL")), "crm.write"),
        ("PUT", "/crm/v3/lists/4/memberships/add", Some(json!([])), "crm.write"),
        ("DELETE", "/crm/v3/lists/4", None, "crm.delete"),
        ("PUT", "/crm/v3/lists/4/restore", None, "crm.delete"),
    ];
    for scope in ALL {
        let narrow = token(&crm.scene, "1", &[scope]).await;
        for (method, path, body, _) in doors.iter().filter(|door| door.3 != scope) {
            let answered = ask(&narrow, method, path, body.clone()).await;
            assert_eq!(answered.status, 403, "{method} {path} with {scope}: {}", answered.body);
        }
    }
    crm.scene.db.assert_unchanged_since(&before).await;
    crm.finish();
});
