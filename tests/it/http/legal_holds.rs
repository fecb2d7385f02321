//! Legal holds, by the API and by the pages: set and lifted by whoever may do anything, and by nobody else.

use serde_json::json;

use super::Scene;
use super::pages::Browser;
use crate::support::{Database, on_both};

on_both!(a_hold_set_over_http_keeps_a_contact_until_it_is_lifted, async |db: Database| {
    let scene = Scene::new(db, &[]).await;
    let (admin, one) = (scene.token("1").await, scene.token("2").await);
    for contact in ["2", "4", "6"] {
        let hold = json!({"contactId": contact, "reason": " case 5 "});
        let set = scene.post(&admin, "/legal-holds/set", &hold).await;
        assert_eq!(set.json(), json!({"accountId": "1", "contactId": contact, "state": "held"}));
    }
    let listed = scene.get(&admin, "/legal-holds").await.json();
    assert_eq!(listed, scene.reaper.json(&["legal-hold", "list", "--account", "1"]).await);
    let ids = |page: &serde_json::Value| -> Vec<String> {
        page.as_array().unwrap().iter().map(|row| row["contactId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&listed), ["2", "4", "6"]);
    assert_eq!((&listed[0]["setBy"], &listed[0]["reason"]), (&json!("user:1"), &json!("case 5")));
    let first = scene.get(&one, "/legal-holds?limit=2").await;
    assert_eq!(ids(&first.json()), ["2", "4"]);
    let next = first.header("link").unwrap().trim_start_matches("</api/v1").split('>').next().unwrap();
    let second = scene.get(&one, next).await;
    assert_eq!((ids(&second.json()), second.header("link")), (vec!["6".to_owned()], None));

    let erase = json!({"contactId": "2", "confirm": 1});
    let kept = scene.post(&one, "/erase", &erase).await;
    assert!(kept.status == 409 && kept.body.contains("legal hold"), "{}", kept.body);
    // Who may erase may not clear the way for it.
    assert_eq!(scene.post(&one, "/legal-holds/lift", &json!({"contactId": "2"})).await.status, 403);
    assert_eq!(scene.post(&one, "/erase", &erase).await.status, 409);
    let released = scene.post(&admin, "/legal-holds/lift", &json!({"contactId": "2"})).await.json();
    assert_eq!(released, json!({"accountId": "1", "contactId": "2", "state": "lifted"}));
    assert_eq!(scene.post(&admin, "/legal-holds/lift", &json!({"contactId": "2"})).await.status, 404);
    assert_eq!(scene.post(&one, "/erase", &erase).await.status, 200);

    for (wish, status) in [
        (json!({"contactId": "2", "reason": "too late"}), 404),
        (json!({"contactId": "77", "reason": "nobody"}), 404),
        (json!({"contactId": "3", "reason": "  "}), 400),
        (json!({"contactId": "3", "reason": ""}), 400),
        (json!({"contactId": "3"}), 400),
    ] {
        assert_eq!(scene.post(&admin, "/legal-holds/set", &wish).await.status, status, "{wish}");
    }
    let stranger = scene.token_of("2", "1").await;
    assert_eq!(scene.get(&stranger, "/legal-holds").await.json(), json!([]));
    assert_eq!(scene.post(&stranger, "/legal-holds/lift", &json!({"contactId": "4"})).await.status, 404);
    let audited =
        "SELECT actor, action, CAST(ids AS text) FROM audit WHERE action LIKE '%hold' ORDER BY audit_id";
    let audited: Vec<String> = scene.db.rows(audited).await.iter().map(|row| row.join(" ")).collect();
    assert_eq!(
        audited,
        [
            "user:1 set_legal_hold [\"2\"]",
            "user:1 set_legal_hold [\"4\"]",
            "user:1 set_legal_hold [\"6\"]",
            "user:1 lift_legal_hold [\"2\"]"
        ]
    );
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_and_the_command_hold_contacts_for_whoever_may() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    let admin = Browser::of(&scene, "1").await;
    let why = [("reason", "<b>case</b> 5")];
    let set = admin.send("/contacts/5", "/legal-holds/set", &why).await;
    assert!(set.status == 200 && set.body.contains("under a legal hold"), "{}", set.body);
    let held = scene.db.rows("SELECT CAST(contact_id AS text), set_by, reason FROM legal_holds").await;
    assert_eq!(held, [["5", "user:1", "<b>case</b> 5"]]);
    for page in ["/contacts/5", "/legal-holds"] {
        let shown = admin.get(page).await.body;
        assert!(shown.contains("&lt;b&gt;case") && !shown.contains("<b>case"), "{shown}");
    }
    let reader = Browser::of(&scene, "2").await;
    for page in ["/contacts/5", "/legal-holds"] {
        let shown = reader.get(page).await.body;
        assert!(shown.contains("case") && !shown.contains("action=\"/legal-holds"), "{shown}");
    }
    // A genuine form of a session that may no more.
    let form = admin.form("/legal-holds", "/legal-holds/lift").await;
    scene.reaper.import(&[crate::support::records::user(1, 1, &["view", "delete", "bulk_delete"])]).await;
    assert_eq!(admin.submit("/legal-holds/lift", &form, &[]).await.status, 403);
    let lift = ["legal-hold", "lift", "--account", "1", "--contact", "5"];
    let refused = scene.reaper.refused(&[&lift[..], &["--as", "2"]].concat()).await;
    assert!(
        refused.contains("user 2 may not lift a legal hold") && refused.contains("Super admin"),
        "{refused}"
    );
    assert_eq!(scene.db.count("legal_holds", "TRUE").await, 1);
    scene.reaper.json(&lift).await;
    assert_eq!(scene.db.count("legal_holds", "TRUE").await, 0);
    assert_eq!(scene.db.count("audit", "action = 'lift_legal_hold' AND actor LIKE 'operator:%'").await, 1);
}
