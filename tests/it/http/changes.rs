//! `GET /api/v1/changes`: every deletion, restore, erasure and purge, in order, each once.

use std::time::Instant;

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::Scene;
use crate::support::records::contact;
use crate::support::{DEADLINE, Database, encoded, on_both, wait_until};

/// A poll: the changes as `type objectTypeId:objectId`, and the cursor.
async fn poll(scene: &Scene, token: &str, query: &str) -> (Vec<String>, String) {
    let answered = scene.get(token, &format!("/changes{query}")).await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    let document = answered.json();
    let changes = document["changes"].as_array().unwrap().iter().map(|change| {
        let text = |name: &str| change[name].as_str().unwrap().to_owned();
        assert!(text("at").ends_with('Z'));
        format!("{} {}:{}", text("type"), text("objectTypeId"), text("objectId"))
    });
    (changes.collect(), document["cursor"].as_str().unwrap().to_owned())
}

/// Polls until it has so many changes.
async fn polled(scene: &Scene, token: &str, cursor: &mut String, wanted: usize) -> Vec<String> {
    let (mut told, began) = (Vec::new(), Instant::now());
    while told.len() < wanted {
        assert!(began.elapsed() < DEADLINE, "listed by now: {told:?}");
        let (changes, next) = poll(scene, token, &format!("?since={cursor}")).await;
        told.extend(changes);
        *cursor = next;
    }
    told
}

async fn as_admin(scene: &Scene, args: &[&str]) {
    let of_admin = ["--account", "1", "--as", "1"];
    scene.reaper.json(&[&args[..1], &of_admin, &args[1..]].concat()).await;
}

on_both!(every_transition_of_every_type_is_told_once, async |db: Database| {
    let of = |kind: &str, id: &str| json!({"kind": kind, "accountId": "1", "id": id, "properties": {}});
    let mut car = of("object", "50");
    car["objectTypeId"] = json!("2-134");
    let mut archived = contact(1, 60, json!({}));
    archived["archived"] = json!(true);
    archived["archivedAt"] = json!("2026-01-01T00:00:00Z");
    let records = [of("company", "10"), of("deal", "30"), of("ticket", "40"), car, archived];
    let scene = Scene::new(db, &records).await;
    let token = scene.token("4").await;
    let (none, mut cursor) = poll(&scene, &token, "").await;
    assert_eq!(none, [] as [&str; 0], "what the CRM brought itself is no change");
    as_admin(&scene, &["delete", "--contact", "1", "2", "3", "--confirm", "3"]).await;
    as_admin(&scene, &["restore", "--contact", "2"]).await;
    as_admin(&scene, &["erase", "--contact", "3", "--confirm", "1"]).await;
    as_admin(&scene, &["erase", "--contact", "4", "--confirm", "1"]).await;
    let all = ["company:10", "deal:30", "ticket:40", "2-134:50"];
    as_admin(&scene, &[&["delete", "--record"][..], &all, &["--confirm", "4"]].concat()).await;
    as_admin(&scene, &["restore", "--record", "deal:30"]).await;
    let expected = [
        "contact.deletion 0-1:1",
        "contact.deletion 0-1:2",
        "contact.deletion 0-1:3",
        "contact.restore 0-1:2",
        "contact.privacyDeletion 0-1:3",
        "contact.privacyDeletion 0-1:4",
    ];
    let told = polled(&scene, &token, &mut cursor, 11).await;
    assert_eq!(told[..6], expected);
    let mut of_records = told[6..10].to_vec();
    of_records.sort();
    let deleted = [
        "company.deletion 0-2:10",
        "deal.deletion 0-3:30",
        "object.deletion 2-134:50",
        "ticket.deletion 0-5:40",
    ];
    assert_eq!(of_records, deleted);
    assert_eq!(told[10..], ["deal.restore 0-3:30"]);
    for table in ["record_trash_entries", "objects"] {
        let sql = "SET deleted_at = '2026-01-01T00:00:00Z' WHERE deleted_at IS NOT NULL";
        scene.db.execute(&format!("UPDATE {table} {sql}")).await;
    }
    scene.reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    let mut purged = polled(&scene, &token, &mut cursor, 4).await;
    purged.sort();
    let gone =
        ["company.purge 0-2:10", "contact.purge 0-1:60", "object.purge 2-134:50", "ticket.purge 0-5:40"];
    assert_eq!(purged, gone);
    assert_eq!(poll(&scene, &token, &format!("?since={cursor}")).await, (Vec::new(), cursor.clone()));
    // Page by page the same, whatever the size of a page.
    for limit in [1, 2, 7] {
        let (mut paged, mut since) = (Vec::new(), String::new());
        loop {
            let query = if since.is_empty() { String::new() } else { format!("&since={since}") };
            let (changes, next) = poll(&scene, &token, &format!("?limit={limit}{query}")).await;
            assert!(changes.len() <= limit);
            if changes.is_empty() {
                break;
            }
            paged.extend(changes);
            since = next;
        }
        assert_eq!(paged.len(), 15, "{limit}");
        assert_eq!((&paged[..6], &paged[10..11]), (&told[..6], &told[10..11]), "{limit}");
    }
    // Another account sees none of them, and a time serves as a cursor.
    let stranger = scene.token_of("2", "1").await;
    assert_eq!(poll(&scene, &stranger, "").await.0, [] as [&str; 0]);
    let time = |at: chrono::DateTime<Utc>| encoded(&at.to_rfc3339_opts(SecondsFormat::Micros, true));
    assert_eq!(poll(&scene, &token, &format!("?since={}", time(Utc::now()))).await.0, [] as [&str; 0]);
    let hour_ago = time(Utc::now() - TimeDelta::hours(1));
    assert_eq!(poll(&scene, &token, &format!("?since={hour_ago}")).await.0.len(), 15);
});

on_both!(changes_take_view_and_a_cursor_that_was_given, async |db: Database| {
    let scene = Scene::new(db, &[]).await;
    let token = scene.token("4").await;
    for query in ["?since=yesterday", "?since=1-2", "?cursor=1-2-3", "?limit=0"] {
        assert_eq!(scene.get(&token, &format!("/changes{query}")).await.status, 400, "{query}");
    }
    assert_eq!(scene.get(&scene.token("5").await, "/changes").await.status, 403);
});

/// A deletion that began first and commits last is not passed over by a poll in between.
#[tokio::test]
async fn no_change_is_passed_over_that_commits_late() {
    let scene = Scene::new(Database::postgres().await, &[]).await;
    let token = scene.token("4").await;
    let (_, mut cursor) = poll(&scene, &token, "").await;
    let mut late = scene.db.connect_postgres().await;
    let mut run = async |sql: &str| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut late).await.expect("it runs");
    };
    run("BEGIN; INSERT INTO audit (account_id, at, actor, action, ids, count) \
         VALUES (1, now(), 'user:1', 'trash', '[\"77\"]', 1)")
    .await;
    as_admin(&scene, &["delete", "--contact", "1", "--confirm", "1"]).await;
    let is_old =
        async || scene.db.count("audit", "action = 'trash' AND at < now() - INTERVAL '1 second'").await == 1;
    wait_until("the change is older than a second", DEADLINE, is_old).await;
    let (before, next) = poll(&scene, &token, &format!("?since={cursor}")).await;
    assert_eq!(before, [] as [&str; 0], "it waits for the one that began before it");
    cursor = next;
    run("COMMIT").await;
    let told: Vec<Value> =
        polled(&scene, &token, &mut cursor, 2).await.into_iter().map(Value::from).collect();
    assert_eq!(told, ["contact.deletion 0-1:77", "contact.deletion 0-1:1"]);
}
