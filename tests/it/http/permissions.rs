//! Permissions over HTTP: *View* for reading, *Permanently delete* for erasing, and permissions for one object type.

use serde_json::{Value, json};

use super::Scene;
use super::doors::operations;
use super::pages::Browser;
use crate::support::records::{contact, days_ago, user};
use crate::support::{Answered, Asking, Database, on_both};

const VIEW: &str = "takes the permission View (view) or Super admin (super_admin)";
const PAGES: [&str; 10] = [
    "/",
    "/trash",
    "/contacts/1",
    "/enrollments",
    "/explain?workflow=6&contact=1",
    "/holds",
    "/holds/show?workflow=6",
    "/dead-letters",
    "/legal-holds",
    "/audit",
];

/// Is it a problem document that names the permission to read?
fn is_without_view(answered: &Answered) -> bool {
    answered.status == 403
        && answered.header("content-type") == Some("application/problem+json")
        && answered.json()["detail"].as_str().is_some_and(|detail| detail.ends_with(VIEW))
}

on_both!(reading_the_api_takes_the_permission_to_view, async |db: Database| {
    let scene = Scene::new(db, &[user(1, 6, &["view"]), user(1, 7, &["delete", "bulk_delete"])]).await;
    let [admin, none, viewer, deletes] =
        [scene.token("1").await, scene.token("5").await, scene.token("6").await, scene.token("7").await];
    let mut read = 0;
    for (method, path) in operations(&scene, &admin).await {
        if method != "get" || path == "/openapi.json" || path == "/retention" {
            continue;
        }
        read += 1;
        for token in [&none, &deletes] {
            let answered = scene.get(token, &path).await;
            assert!(is_without_view(&answered), "{path}: {} {}", answered.status, answered.body);
        }
        for token in [&admin, &viewer] {
            assert!(![401, 403].contains(&scene.get(token, &path).await.status), "{path}");
        }
    }
    assert!(read > 12, "{read}");
    assert_eq!(scene.get(&none, "/openapi.json").await.status, 200);
    // A preview shows contacts too. An operation takes its own permission, and no other.
    scene.reaper.delete(1, 9).await;
    let one = json!({"contactIds": ["9"]});
    assert!(is_without_view(&scene.post(&deletes, "/restore/preview", &one).await));
    assert_eq!(scene.post(&viewer, "/restore/preview", &one).await.status, 403);
    assert_eq!(scene.post(&viewer, "/restore", &one).await.status, 403);
    assert_eq!(scene.post(&deletes, "/restore", &one).await.status, 200);
    // A permission that is taken away counts at once.
    assert_eq!(scene.get(&viewer, "/contacts/1").await.status, 200);
    scene.reaper.import(&[user(1, 6, &[])]).await;
    assert!(is_without_view(&scene.get(&viewer, "/contacts/1").await));
});

on_both!(a_permission_for_one_object_type_covers_no_other, async |db: Database| {
    let narrowed = [
        user(1, 6, &["view:contact", "delete:contact"]),
        user(1, 7, &["view:company", "delete:deal", "bulk_delete:2-134"]),
    ];
    let scene = Scene::new(db, &narrowed).await;
    let (contacts, others) = (scene.token("6").await, scene.token("7").await);
    for path in ["/contacts/1", "/trash", "/enrollments", "/legal-holds", "/erasures"] {
        assert_eq!(scene.get(&contacts, path).await.status, 200, "{path}");
        assert!(is_without_view(&scene.get(&others, path).await), "{path}");
    }
    // Everything else takes the whole permission.
    for path in ["/audit", "/users", "/pages/calls", "/dead-letters"] {
        assert!(is_without_view(&scene.get(&contacts, path).await), "{path}");
    }
    let delete = |contact: &str| json!({"contactIds": [contact], "confirm": 1});
    assert_eq!(scene.post(&others, "/delete", &delete("1")).await.status, 403);
    let two = json!({"contactIds": ["1", "2"], "confirm": 2});
    assert_eq!(scene.post(&others, "/delete", &two).await.status, 403);
    assert_eq!(scene.post(&contacts, "/delete", &delete("1")).await.status, 200);
});

on_both!(erasing_takes_a_permission_of_its_own, async |db: Database| {
    let users = [user(1, 6, &["view", "delete", "bulk_delete"]), user(1, 7, &["permanently_delete"])];
    let mut archived = contact(1, 30, json!({}));
    (archived["archived"], archived["archivedAt"]) = (json!(true), json!(days_ago(5)));
    let scene = Scene::new(db, &[&users[..], &[archived]].concat()).await;
    let (deletes, erases) = (scene.token("6").await, scene.token("7").await);
    let needed = "takes the permission Permanently delete (permanently_delete) or Super admin (super_admin)";
    let wish = |contact: &str| json!({"contactId": contact, "confirm": 1});
    for wish in [wish("1"), wish("30"), json!({"email": "contact1@account1.example", "confirm": 1})] {
        let refused = scene.post(&deletes, "/erase", &wish).await;
        assert!(refused.status == 403 && refused.body.contains(needed), "{}", refused.body);
    }
    let erase = ["erase", "--account", "1", "--as", "6", "--contact", "1", "--confirm", "1"];
    let said = scene.reaper.refused(&erase).await;
    assert!(said.contains(&format!("user 6 may not erase a contact: that {needed}")), "{said}");
    assert_eq!(scene.db.count("gone_contacts", "TRUE").await, 0);
    assert_eq!(scene.post(&erases, "/erase", &wish("30")).await.status, 200);
    assert_eq!(scene.reaper.state(1, 30).await, "erased");
    // It stands in for no other.
    let delete = json!({"contactIds": ["1"], "confirm": 1});
    assert_eq!(scene.post(&erases, "/delete", &delete).await.status, 403);

    let browser = Browser::of(&scene, "6").await;
    assert!(!browser.get("/contacts/1").await.body.contains("/erase?contact=1"));
    let page = browser.get("/erase").await;
    assert!(
        page.status == 403 && page.body.contains("Permanently delete (permanently_delete)"),
        "{}",
        page.body
    );
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_take_the_permission_to_view_and_say_so() {
    let users = [user(1, 6, &["view"]), user(1, 7, &["view:contact"])];
    let scene = Scene::new(Database::sqlite(), &users).await;
    let (none, viewer, contacts) =
        (Browser::of(&scene, "5").await, Browser::of(&scene, "6").await, Browser::of(&scene, "7").await);
    for path in PAGES {
        let page = none.get(path).await;
        assert!(
            page.status == 403 && page.body.contains(VIEW) && !page.body.contains("Ada"),
            "{path}: {}",
            page.body
        );
        assert_ne!(viewer.get(path).await.status, 403, "{path}");
        let all = ["/", "/dead-letters", "/audit"].contains(&path);
        assert_eq!(contacts.get(path).await.status == 403, all, "{path}");
    }
    // It is offered nothing but the way out, which it may take.
    let page = none.get("/").await.body;
    assert!(!page.contains("href=\"/trash\"") && !page.contains("href=\"/audit\""), "{page}");
    let form = super::pages::hidden(&page, "/logout");
    assert_eq!(none.submit("/logout", &form, &[]).await.status, 303);
    assert_eq!(none.get("/").await.header("location"), Some("/login"));
    let sees = contacts.get("/trash").await.body;
    assert!(sees.contains("href=\"/trash\"") && !sees.contains("href=\"/audit\""), "{sees}");
}

on_both!(users_are_listed_with_what_they_may_do, async |db: Database| {
    let scene = Scene::new(db, &[user(1, 6, &["view:company", "delete:deal"])]).await;
    let admin = scene.token("1").await;
    let of = |id: &str, permissions: &[&str]| json!({"id": id, "email": format!("user{id}@account1.example"), "permissions": permissions});
    let expected = json!([
        of("1", &["delete", "bulk_delete", "super_admin"]),
        of("2", &["view", "delete", "permanently_delete"]),
        of("3", &["view", "bulk_delete"]),
        of("4", &["view"]),
        of("5", &[]),
        of("6", &["view:company", "delete:deal"]),
    ]);
    let list = ["users", "list", "--account", "1"];
    assert_eq!(scene.reaper.json(&list).await, expected);
    assert_eq!(scene.get(&admin, "/users").await.json(), expected);
    let first = scene.get(&admin, "/users?limit=5").await;
    assert_eq!(first.json().as_array().map(Vec::len), Some(5));
    let next =
        first.header("link").unwrap().trim_start_matches("</api/v1").split('>').next().unwrap().to_owned();
    assert_eq!(
        scene.get(&admin, &next).await.json(),
        Value::Array(vec![of("6", &["view:company", "delete:deal"])])
    );
    let words = scene.reaper.run(&list).await;
    assert!(words.code == 0 && words.stdout.contains("view:company, delete:deal"), "{}", words.stdout);
    let strange = Asking::get("/api/v1/users").showing(&scene.token_of("2", "1").await);
    let strange = scene.worker.ask(&strange).await.json();
    assert_eq!(
        strange.as_array().map(Vec::len),
        Some(1),
        "those of another account are out of reach: {strange}"
    );
});
