//! Records that programs delete and erase.

use serde_json::{Value, json};

use super::{Crm, deal};
use crate::support::records::{activity, contact, days_ago};
use crate::support::{Broker, DEADLINE, Database, on_both, wait_until};

on_both!(programs_delete_and_people_restore, async |db: Database| {
    let mut gone = contact(1, 21, json!({}));
    (gone["archived"], gone["archivedAt"]) = (json!(true), json!(days_ago(3)));
    let deals = (30..33).map(|id| deal(id, &json!({"dealname": "D"})));
    let crm = Crm::new(db, &[gone].into_iter().chain(deals).collect::<Vec<Value>>()).await;
    let changed = crm.get("/crm/v3/objects/contacts/1").await.json()["updatedAt"].clone();
    for id in ["1", "1", "21", "999"] {
        assert_eq!(crm.delete(&format!("/crm/v3/objects/contacts/{id}")).await.status, 204, "{id}");
    }
    let trash = crm.scene.reaper.contact(1, 1).await["trash"].clone();
    assert_eq!(trash["deletedBy"]["userId"], json!("1"), "{trash}");
    let archived = crm.get("/crm/v3/objects/contacts/1?archived=true").await.json();
    assert_eq!(archived["updatedAt"], changed, "a delete is no change");
    assert!(archived["archivedAt"].as_str() > changed.as_str());

    // A batch is one deletion, of those that are live.
    let batch =
        json!({"inputs": [{"id": "2"}, {"id": "3"}, {"id": "1"}, {"id": "999"}, {"id": "x"}, {"id": "2"}]});
    assert_eq!(crm.post("/crm/v3/objects/contacts/batch/archive", &batch).await.status, 204);
    let deals = json!({"inputs": [{"id": "30"}, {"id": "31"}]});
    assert_eq!(crm.post("/crm/v3/objects/deals/batch/archive", &deals).await.status, 204);
    let ended = "SELECT CAST(deleted AS text), object_type, kind FROM deletions ORDER BY deletion_id";
    assert_eq!(
        crm.scene.db.rows(ended).await,
        [["1", "contact", "one"], ["2", "contact", "picked"], ["2", "deal", "picked"]]
    );
    assert_eq!(crm.post("/crm/v3/objects/deals/batch/archive", &deals).await.status, 204);
    assert_eq!(crm.scene.db.count("deletions", "TRUE").await, 3, "nothing was left to delete");
    let live = crm.get("/crm/v3/objects/deals").await.json();
    assert_eq!((live["results"].as_array().unwrap().len(), &live["results"][0]["id"]), (1, &json!("32")));
    let archived = crm.get("/crm/v3/objects/deals?archived=true").await.json();
    assert_eq!(archived["results"].as_array().unwrap().len(), 2);
    let metrics = crm.scene.worker.metrics().await;
    for counted in [
        r#"transitions_total{transition="trash",origin="user"} 3"#,
        r#"record_transitions_total{object_type="deal",transition="trash",origin="user"} 2"#,
    ] {
        assert!(metrics.contains(counted), "{counted}: {metrics}");
    }

    let ids = crm
        .scene
        .db
        .rows("SELECT CAST(max(deletion_id) AS text), CAST(max(deletion_id) - 1 AS text) FROM deletions")
        .await
        .concat();
    for (id, restored) in ids.iter().zip([json!(["deal:30", "deal:31"]), json!(["2", "3"])]) {
        let undone =
            crm.scene.reaper.json(&["restore", "--account", "1", "--as", "1", "--deletion", id]).await;
        let shown = if restored[0] == "2" { &undone["restored"] } else { &undone["records"]["restored"] };
        assert_eq!(shown, &restored, "{undone}");
    }
    let back = crm.get("/crm/v3/objects/deals/30").await.json();
    assert!(back["updatedAt"].as_str() > Some("2026-02-03T10:00:00.123Z"), "a restore is a change: {back}");
    crm.finish();
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_of_one_token_have_a_limit() {
    let (db, broker) = (Database::postgres().await, Broker::new().await);
    let mut settings = broker.settings().to_vec();
    settings.extend([("guard.api.max_deletions", "3".to_owned()), ("guard.api.window", "1h".to_owned())]);
    let listening = broker.listen(&[]).await;
    let scene = super::Scene::with(db, &[deal(30, &json!({})), deal(31, &json!({}))], &settings).await;
    let token = super::token(&scene, "1", &super::ALL).await;
    let crm = Crm { scene, token, judged: std::sync::Mutex::default() };
    assert_eq!(crm.delete("/crm/v3/objects/contacts/1").await.status, 204);
    let deals = json!({"inputs": [{"id": "30"}]});
    assert_eq!(crm.post("/crm/v3/objects/deals/batch/archive", &deals).await.status, 204);
    let two = json!({"inputs": [{"id": "2"}, {"id": "3"}]});
    for _ in 0..2 {
        let refused = crm.post("/crm/v3/objects/contacts/batch/archive", &two).await;
        assert_eq!((refused.status, refused.header("retry-after")), (429, Some("3600")), "{}", refused.body);
        assert!(
            refused.json()["message"].as_str().unwrap().contains("nothing was deleted"),
            "{}",
            refused.body
        );
    }
    assert_eq!(crm.scene.reaper.state(1, 2).await, "live");
    // One more is within it, and what is gone already counts for nothing.
    assert_eq!(crm.delete("/crm/v3/objects/contacts/2").await.status, 204);
    assert_eq!(crm.delete("/crm/v3/objects/contacts/2").await.status, 204);
    assert_eq!(crm.delete("/crm/v3/objects/contacts/3").await.status, 429);
    // Another token has a limit of its own; a person has none.
    let other = super::token(&crm.scene, "1", &["crm.delete"]).await;
    let asking = crate::support::Asking::get("/crm/v3/objects/contacts/3").by("DELETE").showing(&other);
    assert_eq!(crm.scene.worker.ask(&asking).await.status, 204);
    let by_hand =
        ["delete", "--account", "1", "--as", "1", "--contact", "4", "5", "6", "7", "--confirm", "4"];
    crm.scene.reaper.json(&by_hand).await;
    // What was restored may be deleted, but the window counts what was deleted.
    crm.scene.reaper.restore(1, 1).await;
    assert_eq!(crm.delete("/crm/v3/objects/contacts/1").await.status, 429);
    crm.scene.db.execute("UPDATE deletions SET started_at = started_at - interval '61 minutes'").await;
    assert_eq!(crm.delete("/crm/v3/objects/contacts/1").await.status, 204);

    // Erasures count as well, and one that is refused counts for nothing.
    let scopes = ["crm.erase"];
    let eraser = super::token(&crm.scene, "1", &scopes).await;
    let erase = async |id: &str| {
        let body = json!({"objectId": id});
        let asking = crate::support::Asking::post("/crm/v3/objects/contacts/gdpr-delete", &body);
        crm.scene.worker.ask(&asking.showing(&eraser)).await.status
    };
    let statuses =
        [erase("8").await, erase("999").await, erase("9").await, erase("4").await, erase("5").await];
    assert_eq!(statuses, [204, 404, 204, 204, 429]);
    assert_eq!(crm.scene.reaper.state(1, 5).await, "in_trash");
    // Told once for each token.
    let published = async || crm.scene.db.count("outbox", "type = 'guard.tripped'").await == 0;
    wait_until("all is published", DEADLINE, published).await;
    let events = broker.drain(&listening).await;
    let tripped: Vec<Value> = events
        .iter()
        .map(|message| serde_json::from_slice::<Value>(&message.body).unwrap())
        .filter(|event| event["type"] == "guard.tripped")
        .collect();
    let [event, of_eraser] = &tripped[..] else { panic!("{tripped:?}") };
    assert_eq!((&of_eraser["data"]["tokenId"], &of_eraser["data"]["refused"]), (&json!("3"), &json!(1)));
    let mut data = event["data"].clone();
    assert!(data.as_object_mut().unwrap().remove("trippedAt").is_some());
    assert_eq!(data, json!({"accountId": "1", "tokenId": "1", "limit": "token", "refused": 2}));
    crm.finish();
}

on_both!(activities_are_read_and_deleted, async |db: Database| {
    let mut call = activity(40, "call", &[("contact", 1)]);
    call["properties"] = json!({"hs_call_title": "Rang"});
    let crm = Crm::new(db, &[call, activity(41, "note", &[("contact", 1)])]).await;
    let shown = crm.get("/crm/v3/objects/calls/40?properties=hs_call_title").await.json();
    assert_eq!((&shown["id"], &shown["properties"]["hs_call_title"]), (&json!("40"), &json!("Rang")));
    assert_eq!(crm.get("/crm/v3/objects/calls/41").await.status, 404, "a note");
    assert_eq!(crm.delete("/crm/v3/objects/0-48/41").await.status, 204);
    assert_eq!(crm.get("/crm/v3/objects/notes/41").await.status, 200);
    assert_eq!(crm.delete("/crm/v3/objects/0-48/40").await.status, 204);
    assert_eq!(crm.get("/crm/v3/objects/calls").await.json()["results"], json!([]));
    let archived = crm.get("/crm/v3/objects/calls?archived=true").await.json();
    assert_eq!(archived["results"][0]["id"], json!("40"));
    let read = json!({"inputs": [{"id": "41"}]});
    assert_eq!(crm.post("/crm/v3/objects/notes/batch/read", &read).await.status, 200);
    crm.finish();
});

on_both!(erasures_by_programs_keep_holds_and_leave_receipts, async |db: Database| {
    let crm = Crm::new(db, &[contact(1, 20, json!({"email": "held@people.example"}))]).await;
    let set = ["legal-hold", "set", "--account", "1", "--contact", "20", "--reason", "court"];
    crm.scene.reaper.json(&set).await;
    for body in [json!({"objectId": "20"}), json!({"objectId": "held@people.example", "idProperty": "email"})]
    {
        let refused = crm.post("/crm/v3/objects/contacts/gdpr-delete", &body).await;
        assert_eq!(
            (refused.status, &refused.json()["category"]),
            (409, &json!("CONFLICT")),
            "{}",
            refused.body
        );
        assert!(!refused.body.contains("held@") && !refused.body.contains("court"), "{}", refused.body);
    }
    // A hold does not keep a contact out of the trash.
    assert_eq!(crm.delete("/crm/v3/objects/contacts/20").await.status, 204);
    assert_eq!(crm.scene.reaper.state(1, 20).await, "in_trash");
    // An address that no contact has is suppressed.
    let unknown = json!({"objectId": "unknown@people.example", "idProperty": "email"});
    assert_eq!(crm.post("/crm/v3/objects/contacts/gdpr-delete", &unknown).await.status, 204);
    assert_eq!(crm.scene.db.count("erasures", "TRUE").await, 1);
    let by_number = json!({"objectId": 1});
    assert_eq!(crm.post("/crm/v3/objects/contacts/gdpr-delete", &by_number).await.status, 204);
    assert_eq!(crm.scene.reaper.state(1, 1).await, "erased");
    crm.finish();
});
