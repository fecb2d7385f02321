//! Who gets in, and what does not.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Scene;
use crate::support::{Asking, DEADLINE, Database, on_both, wait_until};

/// Every path of the API, by its document.
pub async fn operations(scene: &Scene, token: &str) -> Vec<(String, String)> {
    let document = scene.get(token, "/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap().iter();
    let methods =
        |methods: &serde_json::Value| methods.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    paths
        .flat_map(|(path, its)| methods(its).into_iter().map(|method| (method, path.clone())))
        .map(|(method, path)| {
            let path = path.replace("{name}", "calls").replace("{record}", "deal:1");
            let path = path.replace("/trash/records", "/trash/records?object=deal");
            let ids = ["{contactId}", "{deadLetterId}", "{enrollmentId}", "{erasureId}", "{workflowId}"];
            (method, ids.iter().fold(path, |path, id| path.replace(id, "1")))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_requires_a_token() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    let token = scene.token("1").await;
    let operations = operations(&scene, &token).await;
    assert!(operations.len() > 20, "{operations:?}");
    for (method, path) in operations {
        let asking = match method.as_str() {
            "get" => Asking::get(&format!("/api/v1{path}")),
            _ => Asking::post(&format!("/api/v1{path}"), &json!({})),
        };
        let answered = scene.worker.ask(&asking).await;
        assert_eq!((answered.status, answered.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        let known = scene.worker.ask(&asking.showing(&token)).await;
        assert!(![401, 405].contains(&known.status), "{path}: {} {}", known.status, known.body);
    }
    for path in ["/api/v1", "/api/v1/nothing"] {
        assert_eq!(scene.worker.get(path).await.0, 401, "{path}");
        let unknown = scene.worker.ask(&Asking::get(path).showing(&token)).await;
        assert_eq!(unknown.status, 404, "{path}");
    }
    for path in ["/metrics", "/livez", "/startupz"] {
        assert_eq!(scene.worker.get(path).await.0, 200, "{path}");
    }
    for shown in
        ["", "Bearer", "Bearer ", "Basic cmVhcGVy", &token, "Bearer reaper_1_", "Bearer reaper_1_'--"]
    {
        let asking = Asking::get("/api/v1/trash").with("authorization", shown);
        assert_eq!(scene.worker.ask(&asking).await.status, 401, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_big_of_another_kind_or_not_understood_is_refused_with_a_sentence() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    let token = scene.token("1").await;
    let send = async |kind: &str, body: &str| {
        let asking = Asking::sending("/api/v1/delete", kind, body).showing(&token);
        let answered = scene.worker.ask(&asking).await;
        assert_eq!(answered.header("content-type"), Some("application/problem+json"), "{}", answered.body);
        answered.status
    };
    let large = format!(r#"{{"contactIds": ["1"], "confirm": 1, "x": "{}"}}"#, "x".repeat(300 * 1024));
    assert_eq!(send("application/json", &large).await, 413);
    assert_eq!(send("text/plain", r#"{"contactIds": ["1"], "confirm": 1}"#).await, 415);
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\u{0}",
        r#"{"contactIds": ["1"]}"#,
        r#"{"contactIds": [], "confirm": 0}"#,
        r#"{"contactIds": [1], "confirm": 1}"#,
        r#"{"contactIds": ["1"], "confirm": -1}"#,
        r#"{"contactIds": ["1"], "confirm": "1"}"#,
        r#"{"contactIds": ["1"], "confirm": 1, "confirm": 1}"#,
        r#"{"contactIds": ["1"], "confirm": 1, "force": true}"#,
        r#"{"confirm": 9}"#,
        r#"{"segmentId": null, "confirm": 9}"#,
        r#"{"contactIds": ["1"], "confirm": 1.5}"#,
    ] {
        assert_eq!(send("application/json", body).await, 400, "{body}");
    }
    // A tower of brackets, or of conditions, is no reason to fall.
    for tower in ["[".repeat(200_000), r#"{"filter":"#.repeat(20_000)] {
        assert_eq!(send("application/json", &tower).await, 400);
    }
    for filter in ["null", r"{}", r#"{"filterBranchType": "AND", "filterBranches": [], "filters": []}"#] {
        assert_eq!(send("application/json", &format!(r#"{{"filter": {filter}, "confirm": 9}}"#)).await, 409);
    }
    // What is left out is the whole account; null is a mistake.
    let null = json!({"workflowId": null});
    assert_eq!(scene.post(&token, "/pause", &null).await.status, 400);
    assert_eq!(scene.db.count("pauses", "TRUE").await, 0);
    for path in [
        "/trash?limit=0",
        "/trash?limit=1001",
        "/trash?limit=x",
        "/trash?cursor=1",
        "/trash?cursor=1-2-x",
        "/trash?account=2",
        "/enrollments?outcome=lost",
        "/contacts/0",
        "/contacts/x",
        "/contacts/1%00",
        "/contacts/9999999999999999999",
        "/pages/calls?object=company:9",
        "/pages/calls?id=9",
        "/pages/timeline",
        "/pages/timeline?object=company",
        "/pages/company",
        "/pages/segment?id=9&object=company:9",
        "/explain?workflow=1",
        "/dead-letters/%00",
        "/enrollments?reason=%00",
        "/trash?search=%00",
        "/dead-letters/x",
        "/dead-letters?cursor=0",
        "/dead-letters?cursor=x-1",
        "/legal-holds?cursor=0",
        "/workflows/6/holds?cursor=1",
        "/workflows/6/holds?cursor=1-0",
    ] {
        let answered = scene.get(&token, path).await;
        assert_eq!((answered.status, answered.json()["status"].as_u64()), (400, Some(400)), "{path}");
    }
    for path in
        ["/contacts/..", "/contacts/../trash", "/contacts/%2e%2e%2ftrash", "//trash", "/pages/..%2fcalls"]
    {
        let status = scene.get(&token, path).await.status;
        assert!([400, 404].contains(&status), "{path}: {status}");
    }
    let long = Asking::get(&format!("/api/v1/trash?x={}", "x".repeat(20_000))).showing(&token);
    let long = scene.worker.status_unless_hung_up(&long).await;
    assert!(long.is_none_or(|status| [414, 431].contains(&status)), "{long:?}");
    let wrong = scene.worker.ask(&Asking::get("/api/v1/trash").by("DELETE").showing(&token)).await;
    assert_eq!(wrong.status, 405);
    assert_eq!(scene.db.count("contacts", "deleted_at IS NOT NULL").await, 0);
}

/// A list would be read as the members in their order: `["1", "case 5"]` as a legal hold, `[]` as a pause of everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_place_of_an_object_is_refused_everywhere() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    let token = scene.token("1").await;
    // The rest is the service's own business.
    let require_super_admin =
        ["audit", "clock", "job_runs", "leases", "retention_failures", "retention_runs", "tokens"];
    let before = scene.db.dump(&require_super_admin).await;
    let mut asked = 0;
    for (method, path) in operations(&scene, &token).await {
        if method == "get" {
            continue;
        }
        for body in [
            json!([]),
            json!(["1"]),
            json!(["1", "case 5"]),
            json!([["1"], null, null, 1]),
            json!(["1", null, 1]),
            json!([true]),
            json!([1]),
            json!(["purge_trash"]),
            json!("1"),
            json!(1),
        ] {
            let answered = scene.post(&token, &path, &body).await;
            assert_eq!(answered.status, 400, "{path} {body}: {}", answered.body);
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked}");
    scene.db.assert_unchanged_since(&before).await;
}

/// So many that they are as many as the clients of one machine may have, up to ten thousand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_metrics_and_the_api_answer_beside_ten_thousand_half_open_connections() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    let token = scene.token("1").await;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let files: usize = files.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(20_000);
    let mut open = Vec::new();
    for number in 0..files.saturating_sub(200).min(10_000) {
        let mut stream = TcpStream::connect(scene.worker.address().unwrap()).await.unwrap();
        // Half of a head, a head and half of a body, or nothing.
        let said: &[u8] = match number % 3 {
            0 => b"GET /livez HTTP/1.1\r\nHost: x\r\n",
            1 => b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ntoken=",
            _ => b"",
        };
        // It may have had to give way already.
        let _ = stream.write_all(said).await;
        open.push(stream);
    }
    let answers = async {
        for path in ["/livez", "/startupz", "/metrics"] {
            assert_eq!(scene.worker.get(path).await.0, 200, "{path}");
        }
        assert_eq!(scene.get(&token, "/trash").await.status, 200);
    };
    tokio::time::timeout(DEADLINE, answers).await.expect("they answer while the others are open");
    drop(open);
}

/// Two previews that wait for a lock, and more who would like one: all else is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn previews_take_nobody_s_turn() {
    let scene = Scene::new(Database::postgres().await, &[]).await;
    let token = scene.token("1").await;
    scene.reaper.delete(1, 9).await;
    let mut lock = scene.db.connect_postgres().await;
    // A preview of a restore locks the contacts that it looks at.
    sqlx::raw_sql("BEGIN; SELECT 1 FROM contacts WHERE contact_id = 9 FOR UPDATE")
        .execute(&mut lock)
        .await
        .unwrap();
    let wish = json!({"contactIds": ["9"]});
    let asking = || scene.post(&token, "/restore/preview", &wish);
    let waiting = async {
        let asked = tokio::join!(asking(), asking(), asking(), asking(), asking(), asking());
        [asked.0, asked.1, asked.2, asked.3, asked.4, asked.5]
    };
    let others = async {
        let sql = "SELECT count(*)::text FROM pg_locks WHERE NOT granted";
        wait_until("previews wait", DEADLINE, async || scene.db.rows(sql).await[0][0] != "0").await;
        for _ in 0..20 {
            let answered = scene.get(&token, "/trash").await;
            assert_eq!(answered.status, 200, "{}", answered.body);
        }
        sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    };
    let (answers, ()) = tokio::join!(waiting, others);
    for answered in &answers {
        // Who did not get a turn in time, or had too many under way, is told so as the document of the API says.
        let kind = if answered.status == 200 { "application/json" } else { "application/problem+json" };
        assert!([200, 429, 503].contains(&answered.status), "{answered:?}");
        assert_eq!(answered.header("content-type"), Some(kind), "{answered:?}");
    }
    assert!(answers.iter().any(|answered| answered.status == 200), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_changes_the_host_is_named() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    let token = scene.token("1").await;
    let login = || Asking::form("/login", &[("token", &token)]);
    let proxied = login().with("origin", "https://crm.example").with("sec-fetch-site", "same-origin");
    let answered = scene.worker.ask(&proxied).await;
    assert_eq!(answered.status, 403);
    let arrived = scene.worker.address().unwrap();
    for words in ["crm.example", &arrived, "proxy_set_header Host"] {
        assert!(answered.body.contains(words), "{words}: {}", answered.body);
    }
    // Of another site nothing is said, and without a word of the browser's nothing is believed.
    for site in [Some("cross-site"), Some("same-site"), None] {
        let asking = login().with("origin", "https://evil.example");
        let asking = site.map_or(asking.clone(), |site| asking.with("sec-fetch-site", site));
        let answered = scene.worker.ask(&asking).await;
        assert_eq!(answered.status, 403, "{site:?}");
        assert!(!answered.body.contains("evil.example"), "{}", answered.body);
    }
    let own = login().with("origin", &format!("http://{arrived}")).with("sec-fetch-site", "same-origin");
    for (said, secure) in [("HTTPS", true), ("https, http", true), ("http, https", false)] {
        let answered = scene.worker.ask(&own.clone().with("X-Forwarded-Proto", said)).await;
        assert_eq!(answered.status, 303, "{}", answered.body);
        assert_eq!(answered.header("set-cookie").unwrap().contains("; Secure"), secure, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_slow_to_say_what_it_wants_keeps_nobody_waiting() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    let token = scene.token("1").await;
    let begun = "POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
                 Content-Length: 100\r\n\r\ntoken=";
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(scene.worker.address().unwrap()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // They are more than may be at the store at once.
    assert_eq!(scene.get(&token, "/trash").await.status, 200);
    drop(slow);
}

on_both!(
    without_the_permission_nothing_is_deleted_and_other_accounts_are_out_of_reach,
    async |db: Database| {
        let scene = Scene::new(db, &[]).await;
        let (nobody, one) = (scene.token("5").await, scene.token("2").await);
        scene.reaper.delete(1, 9).await;
        for (path, wish) in [
            ("/delete", json!({"contactIds": ["1"], "confirm": 1})),
            ("/erase", json!({"contactId": "1", "confirm": 1})),
            ("/erase", json!({"email": "contact1@account1.example", "confirm": 1})),
            ("/restore", json!({"contactIds": ["9"]})),
            ("/restore/preview", json!({"contactIds": ["9"]})),
            ("/pause", json!({})),
            ("/resume", json!({})),
            ("/legal-holds/set", json!({"contactId": "1", "reason": "case 5"})),
            ("/legal-holds/lift", json!({"contactId": "1"})),
            ("/workflows/6/holds/approve", json!({"confirm": 1})),
            ("/workflows/6/holds/reject", json!({"confirm": 1})),
            ("/retention/dry-run", json!({})),
            ("/retention/run", json!({"job": "purge_trash"})),
        ] {
            let answered = scene.post(&nobody, path, &wish).await;
            assert_eq!(answered.status, 403, "{path}: {}", answered.body);
        }
        assert_eq!(scene.get(&nobody, "/retention").await.status, 403);
        // Delete is for one.
        let two = json!({"contactIds": ["1", "2"], "confirm": 2});
        assert_eq!(scene.post(&one, "/delete", &two).await.status, 403);
        assert_eq!(scene.post(&one, "/pause", &json!({})).await.status, 403);
        // A contact of another account is one that this account does not have.
        let stranger = scene.token_of("2", "1").await;
        let wish = json!({"contactIds": ["5"], "confirm": 1});
        assert_eq!(scene.post(&stranger, "/delete", &wish).await.status, 404);
        assert_eq!(scene.get(&stranger, "/trash").await.json(), json!([]));
        assert_eq!(scene.get(&stranger, "/contacts/5").await.json()["state"], "unknown");
        let audit = scene.get(&stranger, "/audit?limit=1000").await.json();
        assert!(audit.as_array().unwrap().iter().all(|row| row["accountId"] == "2"), "{audit}");
        assert_eq!(scene.db.count("contacts", "deleted_at IS NOT NULL").await, 1);
        assert_eq!(scene.db.count("gone_contacts", "TRUE").await + scene.db.count("pauses", "TRUE").await, 0);
    }
);
