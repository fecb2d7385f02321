//! Tokens: made once, kept as hashes, and good for as long as they are meant to be.

use serde_json::json;

use super::Scene;
use crate::support::records::user;
use crate::support::{Asking, Database, on_both};

on_both!(a_token_is_shown_once_kept_as_a_hash_and_ends_when_it_is_revoked, async |db: Database| {
    let scene = Scene::new(db, &[]).await;
    let create =
        ["tokens", "create", "--account", "1", "--user", "USER2@account1.example", "--name", "nightly"];
    let made = scene.reaper.json(&create).await;
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("reaper_1_") && token.len() == "reaper_1_".len() + 64, "{token}");
    assert_eq!(
        (&made["userId"], &made["name"], &made["lastUsedAt"]),
        (&json!("2"), &json!("nightly"), &json!(null))
    );
    let kept = scene.db.rows("SELECT token_hash, name FROM tokens").await;
    assert!(kept.len() == 1 && kept[0][0].len() == 64 && !token.contains(&kept[0][0]), "{kept:?}");

    assert_eq!(scene.get(token, "/contacts/1").await.json(), scene.reaper.contact(1, 1).await);
    let listed = scene.reaper.json(&["tokens", "list", "--account", "1"]).await;
    assert!(listed[0]["lastUsedAt"].is_string() && listed[0].get("token").is_none(), "{listed}");

    let id = made["tokenId"].as_str().unwrap();
    scene.reaper.json(&["tokens", "revoke", id, "--account", "1"]).await;
    assert_eq!(scene.get(token, "/contacts/1").await.status, 401);
    let again = scene.reaper.refused(&["tokens", "revoke", id, "--account", "1"]).await;
    assert!(again.contains("has no token"), "{again}");
    let actions =
        scene.db.rows("SELECT action FROM audit WHERE actor LIKE 'operator:%' ORDER BY audit_id").await;
    let actions: Vec<&str> = actions.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(actions, ["import", "create_token", "revoke_token"]);
    let nobody = scene.reaper.refused(&["tokens", "create", "--account", "1", "--user", "77"]).await;
    assert!(nobody.contains("no such user"), "{nobody}");
    let past = ["tokens", "create", "--account", "1", "--user", "2", "--expires", "2020-01-01T00:00:00Z"];
    assert!(scene.reaper.refused(&past).await.contains("later time"));
});

on_both!(
    a_token_ends_with_its_time_and_with_its_user_and_knows_no_permission_of_its_own,
    async |db: Database| {
        let scene = Scene::new(db, &[]).await;
        let create = ["tokens", "create", "--account", "1", "--user", "2", "--expires", "1h"];
        let made = scene.reaper.json(&create).await;
        let token = made["token"].as_str().unwrap();
        let delete = |contact: &str| json!({"contactIds": [contact], "confirm": 1});
        assert_eq!(scene.post(token, "/delete", &delete("1")).await.status, 200);
        // The permission goes, and with it the next deed.
        scene.reaper.import(&[user(1, 2, &["view"])]).await;
        let refused = scene.post(token, "/delete", &delete("2")).await;
        assert_eq!((refused.status, refused.header("content-type")), (403, Some("application/problem+json")));
        assert!(refused.json()["detail"].as_str().unwrap().contains("permission Delete"), "{}", refused.body);
        assert_eq!(scene.reaper.state(1, 2).await, "live");
        assert_eq!(scene.get(token, "/contacts/2").await.status, 200);
        // Its time comes.
        let past = scene.db.in_its_words(
            "UPDATE tokens SET expires_at = now() - interval '1 second'",
            "UPDATE tokens SET expires_at = '2026-01-01T00:00:00.000000Z'",
        );
        scene.db.execute(past).await;
        assert_eq!(scene.get(token, "/contacts/2").await.status, 401);
        // A token of a user who is gone opens nothing.
        let token = scene.token("3").await;
        assert_eq!(scene.get(&token, "/contacts/2").await.status, 200);
        scene.db.execute("DELETE FROM users WHERE account_id = 1 AND user_id = 3").await;
        assert_eq!(scene.get(&token, "/contacts/2").await.status, 401);
    }
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_are_looked_at_a_few_times_a_minute() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    let token = scene.token("2").await;
    let wrong = format!("reaper_1_{}", "0".repeat(64));
    for _ in 0..10 {
        assert_eq!(scene.get(&wrong, "/contacts/1").await.status, 401);
    }
    let locked = scene.get(&token, "/contacts/1").await;
    assert_eq!((locked.status, locked.header("retry-after")), (429, Some("60")));
    let login = scene.worker.ask(&Asking::form("/login", &[("token", &token)])).await;
    assert_eq!(login.status, 429);
    // Who has a session already, and whoever asks for health, is not in this.
    assert_eq!(scene.worker.get("/livez").await.0, 200);
}

on_both!(a_token_ends_with_its_user_and_does_not_come_back_with_the_next_one, async |db: Database| {
    let scene = Scene::new(db, &[]).await;
    let token = scene.token("4").await;
    assert_eq!(scene.get(&token, "/trash").await.status, 200);
    scene.reaper.import(&[json!({"kind": "remove", "of": "user", "accountId": "1", "id": "4"})]).await;
    scene.reaper.import(&[user(1, 4, &["super_admin"])]).await;
    assert_eq!(scene.get(&token, "/trash").await.status, 401);
});
