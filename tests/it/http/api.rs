//! The API does what the commands do, and answers with the same documents.

use serde_json::{Value, json};

use super::Scene;
use crate::support::records::{
    all_of, contact, event, manual_workflow, property, seconds_ago, segment, user, workflow,
};
use crate::support::{Broker, DEADLINE, Database, on_both, wait_until};

/// A workflow that deletes Adas, a segment, and decisions on four contacts.
async fn decided(db: Database) -> Scene {
    let ada = property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"));
    let records = [workflow(1, 6, &all_of(&[ada])), manual_workflow(1, 7), segment(1, 4, &[7, 8])];
    let scene = Scene::new(db, &records).await;
    scene.reaper.decide(&[1, 2, 3].map(|id| event(1, 6, id, id))).await;
    scene.reaper.decide(&[event(1, 6, 99, 99)]).await;
    scene
}

on_both!(reads_answer_with_the_documents_of_the_commands, async |db: Database| {
    let scene = decided(db).await;
    let token = scene.token("1").await;
    scene.reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "3", "--confirm", "1"]).await;
    let of_account = ["--account", "1"];
    for (path, command) in [
        ("/contacts/1", &["inspect", "contact", "1"][..]),
        ("/contacts/3", &["inspect", "contact", "3"]),
        ("/pages/contact-report", &["inspect", "page", "contact-report"]),
        ("/pages/segment?id=4", &["inspect", "page", "segment", "--id", "4"]),
        ("/trash", &["trash", "list"]),
        ("/trash?workflow=6&limit=1", &["trash", "list", "--workflow", "6", "--limit", "1"]),
        ("/enrollments", &["enrollments", "list"]),
        ("/enrollments?outcome=skipped", &["enrollments", "list", "--outcome", "skipped"]),
        ("/enrollments/2", &["enrollments", "show", "--enrollment", "2"]),
        ("/erasures", &["erasures", "list"]),
        ("/workflows/6/preview", &["workflow", "preview", "--workflow", "6"]),
        ("/holds", &["holds", "list"]),
        ("/workflows/6/holds", &["holds", "show", "--workflow", "6"]),
        ("/audit", &["audit", "list"]),
    ] {
        let answered = scene.get(&token, path).await;
        assert_eq!(answered.status, 200, "{path}: {}", answered.body);
        assert_eq!(answered.json(), scene.reaper.json(&[command, &of_account[..]].concat()).await, "{path}");
    }
    // Both say when they were asked: what the checks saw is the same.
    let explain = ["explain", "--account", "1", "--workflow", "6", "--contact", "5"];
    let (there, here) =
        (scene.get(&token, "/explain?workflow=6&contact=5").await.json(), scene.reaper.json(&explain).await);
    assert_eq!((&there["verdict"], &there["checks"][8]), (&here["verdict"], &here["checks"][8]));
    assert!(there["verdict"] == "delete" && there["checks"][8]["check"].is_string(), "{there}");
    let receipt = scene.get(&token, "/erasures").await.json()[0].clone();
    let erasure = receipt["erasureId"].as_str().unwrap();
    assert_eq!(scene.get(&token, &format!("/erasures/{erasure}")).await.json(), receipt);
    for path in
        ["/enrollments/77", "/erasures/77", "/workflows/77/preview", "/workflows/77/holds", "/pages/nothing"]
    {
        assert_eq!(scene.get(&token, path).await.status, 404, "{path}");
    }
});

on_both!(deeds_are_done_as_the_user_and_audited_with_who, async |db: Database| {
    let scene = decided(db).await;
    let (one, many, admin) = (scene.token("2").await, scene.token("3").await, scene.token("1").await);
    let miscounted = scene.post(&one, "/delete", &json!({"contactIds": ["4"], "confirm": 2})).await;
    assert_eq!(
        (miscounted.status, miscounted.json()["type"].clone()),
        (409, json!("urn:contact-reaper:problem:miscounted"))
    );
    let deleted = scene.post(&one, "/delete", &json!({"contactIds": ["4"], "confirm": 1})).await.json();
    assert_eq!((&deleted["deleted"], &deleted["entries"][0]["contactId"]), (&json!(1), &json!("4")));
    assert_eq!(scene.post(&one, "/delete", &json!({"contactIds": ["4"], "confirm": 1})).await.status, 409);
    let members = json!({"segmentId": "4", "confirm": 2});
    assert_eq!(scene.post(&many, "/delete", &members).await.json()["deleted"], 2);
    let ada = property("lastname", "STRING", "IS_EQUAL_TO", json!("No 9"));
    let filter = json!({"filter": all_of(&[ada]), "confirm": 1});
    assert_eq!(scene.post(&many, "/delete", &filter).await.json()["deleted"], 1);

    let preview = scene.post(&one, "/restore/preview", &json!({"contactIds": ["4"]})).await.json();
    assert_eq!((&preview["restorable"], scene.reaper.state(1, 4).await.as_str()), (&json!(1), "in_trash"));
    let restored = scene.post(&many, "/restore", &json!({"contactIds": ["4", "5"]})).await.json();
    assert_eq!(
        (&restored["restored"], &restored["refused"][0]["reason"]),
        (&json!(["4"]), &json!("not_in_trash"))
    );
    let run = json!({"workflowId": "6", "since": "2020-01-01T00:00:00Z"});
    assert_eq!(scene.post(&many, "/restore", &run).await.json()["restored"], json!(["1", "2", "3"]));

    let wrong = json!({"email": "contact1@account1.example", "confirm": 2});
    assert_eq!(scene.post(&one, "/erase", &wrong).await.status, 409);
    let erase = json!({"email": "contact1@account1.example", "confirm": 1});
    let erased = scene.post(&one, "/erase", &erase).await.json();
    assert_eq!(
        (&erased["receipts"][0]["contactId"], &erased["receipts"][0]["erasedBy"]),
        (&json!("1"), &json!("2"))
    );
    assert_eq!(scene.reaper.state(1, 1).await, "erased");

    assert_eq!(
        scene.post(&many, "/pause", &json!({"workflowId": "6"})).await.json(),
        json!({"paused": true, "wasPaused": false})
    );
    assert_eq!(scene.post(&many, "/pause", &json!({"workflowId": "66"})).await.status, 404);
    assert_eq!(
        scene.post(&many, "/resume", &json!({"workflowId": "6"})).await.json(),
        json!({"resumed": true, "stillPaused": false})
    );
    assert_eq!(scene.get(&admin, "/retention").await.json()["jobs"][0]["job"], "purge_trash");
    let dry = scene.post(&admin, "/retention/dry-run", &json!({"job": "purge_trash"})).await.json();
    assert_eq!((&dry["jobs"][0]["dryRun"], &dry["jobs"][0]["deleted"]), (&json!(true), &json!(0)));
    assert_eq!(scene.post(&admin, "/retention/dry-run", &json!({"job": "x"})).await.status, 400);

    let audited =
        scene.db.rows("SELECT actor, action FROM audit WHERE actor LIKE 'user:%' ORDER BY audit_id").await;
    let audited: Vec<String> = audited.iter().map(|row| row.join(" ")).collect();
    let expected = [
        "user:2 trash",
        "user:3 trash",
        "user:3 trash",
        "user:3 restore",
        "user:3 restore",
        "user:2 erase",
        "user:3 pause",
        "user:3 resume",
    ];
    assert_eq!(audited, expected);
});

on_both!(what_the_guard_holds_is_approved_or_rejected_by_number, async |db: Database| {
    let scene = decided(db).await;
    let guarded = scene.reaper.clone().setting("guard.workflow.max_deletions", "1");
    guarded.decide(&[4, 5, 6].map(|id| event(1, 6, id, id))).await;
    let token = scene.token("3").await;
    let held = scene.get(&token, "/holds").await.json();
    assert_eq!((&held[0]["workflowId"], &held[0]["count"]), (&json!("6"), &json!(3)));
    let rule = async |verb: &str, confirm: u64| {
        scene.post(&token, &format!("/workflows/6/holds/{verb}"), &json!({"confirm": confirm})).await
    };
    assert_eq!(rule("approve", 2).await.status, 409);
    assert_eq!(rule("reject", 3).await.json(), json!({"rejected": 3}));
    assert_eq!(rule("approve", 3).await.status, 409);
    assert_eq!(scene.db.count("ledger", "reason = 'rejected'").await, 3);
});

on_both!(lists_go_on_where_a_page_ended_and_name_every_row_once, async |db: Database| {
    let records: Vec<Value> = (100..125).map(|id| contact(1, id, json!({}))).collect();
    let scene = Scene::new(db, &records).await;
    let ids: Vec<String> = (100..125).map(|id| id.to_string()).collect();
    let token = scene.token("1").await;
    // All at one time: the cursor has to go by more than that.
    let wish = json!({"contactIds": ids, "confirm": 25});
    assert_eq!(scene.post(&token, "/delete", &wish).await.json()["deleted"], 25);
    scene.reaper.decide(&(100..125).map(|id| event(1, 6, id, id)).collect::<Vec<_>>()).await;
    for id in [5, 6, 7] {
        scene
            .reaper
            .json(&["erase", "--account", "1", "--as", "1", "--contact", &id.to_string(), "--confirm", "1"])
            .await;
    }
    for (list, all) in [
        ("/trash?limit=7", 25),
        ("/enrollments?limit=7&reason=workflow_not_found", 25),
        ("/audit?limit=2", 5),
        ("/erasures?limit=1", 3),
    ] {
        let path = list.replace("limit=", "limit=90");
        let whole = scene.get(&token, &path).await.json();
        let mut rows = Vec::new();
        let mut path = list.to_owned();
        loop {
            let page = scene.get(&token, &path).await;
            assert_eq!(page.status, 200, "{path}: {}", page.body);
            rows.extend(page.json().as_array().unwrap().clone());
            let Some(link) = page.header("link") else { break };
            path = link
                .strip_prefix("</api/v1")
                .and_then(|link| link.strip_suffix(">; rel=\"next\""))
                .expect(link)
                .to_owned();
        }
        assert!(rows.len() >= all, "{list}: {}", rows.len());
        assert_eq!(json!(rows), whole, "{list}");
    }
});

on_both!(dead_letters_of_the_account_are_shown_replayed_and_discarded, async |db: Database| {
    let broker = Broker::new().await;
    let mut scene = Scene::new(db, &[]).await;
    scene.worker = scene.reaper.clone().fed_by(&broker).spawn(&["run"]);
    scene.worker.wait_ready().await;
    let misshapen = |account| {
        let mut event = event(account, 6, 1, 1);
        event["data"]["objectId"] = json!("x");
        event.to_string()
    };
    broker.publish(&[misshapen(1), misshapen(1), misshapen(2)]).await;
    let token = scene.token("3").await;
    let listed = async || scene.get(&token, "/dead-letters").await.json().as_array().expect("a list").len();
    wait_until("those of the account are set aside", DEADLINE, async || listed().await == 2).await;
    let newest = scene.get(&token, "/dead-letters?limit=1").await;
    let next = newest.header("link").and_then(|link| link.split('>').next()).expect("a link").to_owned();
    let oldest = scene.get(&token, next.trim_start_matches("</api/v1")).await;
    assert_eq!((oldest.header("link"), oldest.json().as_array().unwrap().len()), (None, 1));
    assert_eq!(json!([newest.json()[0], oldest.json()[0]]), scene.get(&token, "/dead-letters").await.json());
    let first = scene.get(&token, "/dead-letters?reason=malformed").await.json()[0].clone();
    let path = format!("/dead-letters/{}", first["id"].as_str().unwrap());
    let shown = scene.get(&token, &path).await.json();
    assert!(shown["body"].as_str().unwrap().contains("\"objectId\":\"x\""), "{shown}");
    let stranger = scene.token_of("2", "1").await;
    assert_eq!(scene.get(&stranger, &path).await.status, 404);

    let discard = |confirm: u64| json!({"ids": [first["id"]], "confirm": confirm});
    let nobody = scene.token("5").await;
    assert_eq!(scene.post(&nobody, "/dead-letters/discard", &discard(1)).await.status, 403);
    assert_eq!(scene.post(&nobody, "/dead-letters/replay", &json!({"all": true})).await.status, 403);
    assert_eq!(scene.post(&stranger, "/dead-letters/discard", &discard(1)).await.status, 404);
    assert_eq!(scene.post(&token, "/dead-letters/discard", &discard(2)).await.status, 409);
    assert_eq!(
        scene.post(&token, "/dead-letters/discard", &discard(1)).await.json(),
        json!({"discarded": 1})
    );
    let replayed = scene.post(&token, "/dead-letters/replay", &json!({"all": true})).await.json();
    assert_eq!(replayed, json!({"replayed": 1}));
    wait_until("it is set aside again", DEADLINE, async || listed().await == 1).await;
    assert_eq!(scene.get(&stranger, "/dead-letters").await.json().as_array().unwrap().len(), 1);
    assert_eq!(scene.db.count("audit", "actor = 'user:3' AND action = 'replay_dead_letters'").await, 1);
});

on_both!(records_are_deleted_restored_and_shown_by_their_type, async |db: Database| {
    let deal =
        |id: &str| json!({"kind": "deal", "accountId": "1", "id": id, "properties": {"dealname": "Engine"}});
    let users = [user(1, 15, &["view:deal", "delete:deal"]), user(1, 16, &["view:contact"])];
    let scene = Scene::new(db, &[&users[..], &[deal("30"), deal("31")]].concat()).await;
    let (all, deals, contacts) = (scene.token("1").await, scene.token("15").await, scene.token("16").await);
    let shown = scene.get(&deals, "/records/deals:30").await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    assert_eq!(shown.json(), scene.reaper.json(&["inspect", "record", "deal:30", "--account", "1"]).await);
    assert_eq!(scene.get(&contacts, "/records/deal:30").await.status, 403);
    assert_eq!(scene.get(&all, "/records/contact:1").await.status, 404);
    assert_eq!(scene.get(&all, "/records/deal").await.status, 400);

    let both = json!({"records": ["deal:30", "deal:31"], "confirm": 2});
    assert_eq!(scene.post(&deals, "/delete", &both).await.status, 403);
    let one = scene.post(&deals, "/delete", &json!({"records": ["deal:30"], "confirm": 1})).await;
    assert_eq!((one.status, &one.json()["entries"][0]["record"]), (200, &json!("deal:30")), "{}", one.body);
    assert_eq!(scene.post(&all, "/delete", &both).await.status, 409, "one of them is in the trash");
    let mixed = json!({"records": ["deal:31"], "contactIds": ["1"], "confirm": 2});
    assert_eq!(scene.post(&all, "/delete", &mixed).await.status, 400);
    let trash = scene.get(&deals, "/trash/records?object=0-3&by=15").await;
    assert_eq!(trash.json().as_array().unwrap().len(), 1, "{}", trash.body);
    assert_eq!(
        (&trash.json()[0]["recordId"], &trash.json()[0]["objectType"]),
        (&json!("30"), &json!("deal"))
    );
    assert_eq!(scene.get(&contacts, "/trash/records?object=deal").await.status, 403);
    assert_eq!(scene.get(&all, "/trash/records?object=contact").await.status, 400);
    assert_eq!(scene.get(&all, "/trash/records?object=deal&by=16").await.json(), json!([]));
    let counted = r#"record_transitions_total{object_type="deal",transition="trash",origin="user"} 1"#;
    assert!(scene.worker.metrics().await.contains(counted), "{}", scene.worker.metrics().await);
    let back = scene.post(&deals, "/restore", &json!({"records": ["deal:30", "deal:30"]})).await;
    assert_eq!(
        (back.status, back.json()),
        (200, json!({"restored": ["deal:30"], "refused": []})),
        "{}",
        back.body
    );

    let deletion = scene.post(&all, "/delete", &both).await.json()["deletionId"].clone();
    let preview = scene.post(&all, "/restore/preview", &json!({ "deletionId": deletion })).await;
    let records = json!({"restorable": 2, "blocked": {}});
    assert_eq!((preview.status, &preview.json()["records"]), (200, &records), "{}", preview.body);
    assert_eq!(scene.post(&all, "/restore/preview", &json!({"records": ["deal:30"]})).await.status, 400);
    let undone = scene.post(&all, "/restore", &json!({ "deletionId": deletion })).await.json();
    assert_eq!(undone["records"]["restored"], json!(["deal:30", "deal:31"]));
    assert_eq!(scene.post(&all, "/delete", &both).await.status, 200);
    let run = json!({"deletedBy": "user1@account1.example", "since": seconds_ago(60)});
    assert_eq!(
        scene.post(&all, "/restore", &run).await.json()["records"]["restored"],
        json!(["deal:30", "deal:31"])
    );

    let engines = all_of(&[property("dealname", "STRING", "IS_EQUAL_TO", json!("Engine"))]);
    let engines = json!({"filter": engines, "objectType": "deals"});
    let preview = scene.post(&all, "/delete/preview", &engines).await;
    let nothing: &[Value] = &[];
    assert_eq!(
        preview.json(),
        json!({"records": 2, "categories": nothing, "blockers": nothing}),
        "{}",
        preview.body
    );
    for (token, status) in [(&deals, 403), (&contacts, 403)] {
        assert_eq!(scene.post(token, "/delete/preview", &engines).await.status, status);
    }
    let confirmed = |count: u64| {
        let mut confirmed = engines.clone();
        confirmed["confirm"] = json!(count);
        confirmed
    };
    assert_eq!(scene.post(&all, "/delete", &confirmed(1)).await.status, 409);
    let mut almost = confirmed(2);
    almost["confirm"] = serde_json::from_str("1.9999999999999999999999").unwrap();
    assert_eq!(scene.post(&all, "/delete", &almost).await.status, 400);
    let deleted = scene.post(&all, "/delete", &confirmed(2)).await;
    assert_eq!(deleted.json()["entries"][1]["record"], "deal:31", "{}", deleted.body);
    let named = json!({"records": ["deal:30", "deal:99"]});
    let preview = scene.post(&all, "/delete/preview", &named).await.json();
    assert_eq!(preview["records"], 0);
    let reasons: Vec<&Value> =
        preview["blockers"].as_array().unwrap().iter().map(|it| &it["reason"]).collect();
    assert_eq!(reasons, ["in_trash", "unknown"]);
});
