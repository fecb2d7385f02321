//! The trash, searched: by the command, the API and the page alike.

use serde_json::{Value, json};

use super::Scene;
use super::pages::Browser;
use crate::support::records::{contact, days_ago};
use crate::support::{Database, on_both};

fn named(account: i64, id: i64, first: &str, last: &str) -> Value {
    let mut record = contact(account, id, json!({"firstname": first, "lastname": last}));
    record["archived"] = json!(true);
    record["archivedAt"] = json!(days_ago(5));
    record
}

fn ids(rows: &Value) -> Vec<String> {
    rows.as_array().unwrap().iter().map(|row| row["contactId"].as_str().unwrap().to_owned()).collect()
}

on_both!(the_trash_is_searched_by_id_address_and_name, async |db: Database| {
    let records = [
        named(1, 40, "Élodie", "O'Neil"),
        named(1, 41, "Grace", "Hopper"),
        named(1, 42, "Grace", "Élan-Jones"),
        named(2, 40, "Grace", "Hopper"),
    ];
    let scene = Scene::new(db, &records).await;
    let token = scene.token("4").await;
    for (typed, found) in [
        ("41", &["41"][..]),
        ("Contact42@Account1.example", &["42"]),
        ("grace", &["42", "41"]),
        ("ÉL", &["42", "40"]),
        ("hopper gr", &["41"]),
        ("o'n", &["40"]),
        ("opper", &[]),
        ("contact42", &[]),
        // Live: not in the trash.
        ("ada", &[]),
    ] {
        let listed = scene.reaper.json(&["trash", "list", "--account", "1", "--search", typed]).await;
        assert_eq!(ids(&listed), found, "{typed}");
        let path = format!("/trash?search={}", crate::support::encoded(typed));
        assert_eq!(scene.get(&token, &path).await.json(), listed, "{typed}");
    }
    for (asked, found) in
        [("search=grace&contact=41", &["41"][..]), ("search=o'n&contact=41", &[]), ("search=%25", &[])]
    {
        assert_eq!(ids(&scene.get(&token, &format!("/trash?{asked}")).await.json()), found, "{asked}");
    }
    scene.reaper.restore(1, 41).await;
    scene.reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "42", "--confirm", "1"]).await;
    assert_eq!(scene.get(&token, "/trash?search=grace").await.json(), json!([]));
    let nothing = scene.reaper.run(&["trash", "list", "--account", "1", "--search", "%"]).await;
    assert_eq!((nothing.code, nothing.stderr.contains("search for the id")), (2, true), "{}", nothing.stderr);
});

on_both!(a_search_looks_at_so_many_entries_and_goes_on_behind_them, async |db: Database| {
    let scene = Scene::new(db, &[named(1, 40, "Grace", "Hopper"), named(1, 41, "Grace", "Kelly")]).await;
    // Newer than both, and without a contact: nobody's name is theirs.
    let columns = "INSERT INTO trash_entries (account_id, contact_id, deleted_at, deleted_by)";
    let newer = [
        format!("{columns} SELECT 1, 1000 + g, now(), 'import' FROM generate_series(1, 5500) g"),
        format!(
            "{columns} SELECT 1, 1000 + value, strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'), 'import' FROM (WITH RECURSIVE \
             g(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM g WHERE value < 5500) SELECT value FROM g)"
        ),
    ];
    scene.db.execute(scene.db.in_its_words(&newer[0], &newer[1])).await;
    let token = scene.token("1").await;
    let mut path = "/trash?search=grace&limit=1".to_owned();
    let mut pages = Vec::new();
    for _ in 0..4 {
        let page = scene.get(&token, &path).await;
        assert_eq!(page.status, 200, "{}", page.body);
        pages.push(ids(&page.json()));
        let Some(link) = page.header("link") else { break };
        path = link.trim_start_matches("</api/v1").split('>').next().unwrap().to_owned();
    }
    assert_eq!(pages, [vec![], vec!["41".to_owned()], vec!["40".to_owned()]]);
    // The command goes on by itself; the page says how it is.
    let listed = scene.reaper.json(&["trash", "list", "--account", "1", "--search", "grace"]).await;
    assert_eq!(ids(&listed), ["41", "40"]);
    let shown = Browser::of(&scene, "1").await.get("/trash?search=grace").await.body;
    assert!(shown.contains("5,000 entries") && shown.contains("/trash?search=grace&amp;cursor="), "{shown}");
});
