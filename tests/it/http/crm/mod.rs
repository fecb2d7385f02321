//! The vendor's API: what hubspot-api.md says of each path, in the vendor's own shapes.
//!
//! `vendor.json` has names, types and required members from the vendor's published `OpenAPI` file for contacts.

mod associations;
mod client;
mod deletes;
mod flows;
mod lists;
mod search;
mod writes;

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::Scene;
use crate::support::records::{contact, days_ago, user};
use crate::support::{Answered, Asking, Database, complaints, on_both};

/// What a service at rest keeps writing, and what a request leaves of itself.
const CHANGING: [&str; 6] = ["tokens", "audit", "leases", "clock", "job_runs", "retention_runs"];

pub const ALL: [&str; 5] = ["crm.read", "crm.write", "crm.delete", "crm.erase", "automation"];

/// A service with a program that may do everything, and each answer that it got.
struct Crm {
    scene: Scene,
    token: String,
    judged: Mutex<Vec<(String, Value)>>,
}

impl Crm {
    async fn new(db: Database, records: &[Value]) -> Self {
        Self::with(db, records, &[]).await
    }

    async fn with(db: Database, records: &[Value], settings: &[(&str, &str)]) -> Self {
        let away = ("feed.rabbitmq.url", "amqp://127.0.0.1:1/");
        let settings: Vec<(&str, String)> =
            settings.iter().chain([&away]).map(|(key, value)| (*key, (*value).to_owned())).collect();
        let scene = Scene::with(db, records, &settings).await;
        let token = token(&scene, "1", &ALL).await;
        Self { scene, token, judged: Mutex::default() }
    }

    async fn ask(&self, method: &'static str, path: &str, body: Option<&Value>) -> Answered {
        let asking = match body {
            Some(body) => Asking::post(path, body).by(method),
            None => Asking::get(path).by(method),
        };
        let answered = self.scene.worker.ask(&asking.showing(&self.token)).await;
        self.judge(method, path, &answered);
        answered
    }

    /// An answer is in the vendor's shape, whatever the type of records; so is every error.
    fn judge(&self, method: &str, path: &str, answered: &Answered) {
        let Some(of_path) = of_path(path) else { return };
        if answered.body.is_empty() {
            assert_eq!(answered.status, 204, "{method} {path}");
            return;
        }
        let schema = if (200..300).contains(&answered.status) {
            let schema = of_path[method.to_ascii_lowercase()][answered.status.to_string()].as_str();
            schema
                .unwrap_or_else(|| panic!("{method} {path}: the vendor knows no {}", answered.status))
                .to_owned()
        } else {
            let kind = answered.header("content-type").unwrap_or_default();
            assert_eq!(kind, "application/json;charset=utf-8", "{method} {path}: {}", answered.body);
            let id = answered.json()["correlationId"].as_str().map(str::to_owned);
            assert_eq!(id.as_deref(), answered.header("x-hubspot-correlation-id"));
            "Error".to_owned()
        };
        let mut judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        judged.push((format!("#/components/schemas/{schema}"), answered.json()));
    }

    async fn get(&self, path: &str) -> Answered {
        self.ask("GET", path, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answered {
        self.ask("POST", path, Some(body)).await
    }

    async fn patch(&self, path: &str, body: &Value) -> Answered {
        self.ask("PATCH", path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Answered {
        self.ask("DELETE", path, None).await
    }

    /// The id of a new record.
    async fn created(&self, object_type: &str, properties: &Value) -> String {
        let made =
            self.post(&format!("/crm/v3/objects/{object_type}"), &json!({ "properties": properties })).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Holds all answers against the vendor's schemas.
    fn finish(&self) {
        let mut vendor: Value = serde_json::from_str(include_str!("vendor.json")).unwrap();
        // The vendor's answers have nulls where a property has no value, and its schema does not say so.
        for schema in vendor["components"]["schemas"].as_object_mut().unwrap().values_mut() {
            if let Some(values) = schema.pointer_mut("/properties/properties/additionalProperties/type") {
                *values = json!(["string", "null"]);
            }
            // Nor has an unlabelled association a label, or a sub-category members.
            for (name, types) in
                [("label", json!(["string", "null"])), ("subCategory", json!(["string", "object"]))]
            {
                if let Some(known) = schema.pointer_mut(&format!("/properties/{name}/type")) {
                    *known = types;
                }
            }
        }
        let judged = self.judged.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(!judged.is_empty());
        for (complaint, (schema, value)) in complaints(&vendor, &judged).iter().zip(judged.iter()) {
            assert_eq!(complaint.as_deref(), None, "{schema}: {value}");
        }
    }
}

/// What the vendor's file says of a path: of those that it fits the one with the most literal steps. Records of every type are shown as
/// contacts are.
fn of_path(path: &str) -> Option<Value> {
    let path = path.strip_prefix("/hubspot").unwrap_or(path).split('?').next().unwrap_or_default();
    let path = path.trim_end_matches('/');
    let steps: Vec<&str> = path.split('/').collect();
    let vendor: Value = serde_json::from_str(include_str!("vendor.json")).unwrap();
    let literal = |template: &str| {
        let of_template: Vec<&str> = template.split('/').collect();
        let is_any = |step: &str| step.starts_with('{') || step == "contacts";
        let fits = of_template.len() == steps.len()
            && of_template.iter().zip(&steps).all(|(known, step)| is_any(known) || known == step);
        fits.then(|| of_template.iter().filter(|step| !is_any(step)).count())
    };
    let paths = vendor["paths"].as_object().unwrap().iter();
    let fitting = paths.filter_map(|(template, methods)| Some((literal(template)?, methods)));
    fitting.max_by_key(|(literal, _)| *literal).map(|(_, methods)| methods.clone())
}

/// A token with these scopes, of a user of account 1.
pub async fn token(scene: &Scene, user: &str, scopes: &[&str]) -> String {
    let mut command = vec!["tokens", "create", "--account", "1", "--user", user];
    command.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
    let made = scene.reaper.json(&command).await;
    assert_eq!(made["scopes"], json!(scopes), "{made}");
    made["token"].as_str().expect("a token").to_owned()
}

fn deal(id: i64, properties: &Value) -> Value {
    json!({"kind": "deal", "accountId": "1", "id": id.to_string(), "properties": properties,
        "createdAt": "2026-01-03T10:00:00Z", "updatedAt": "2026-02-03T10:00:00.1234Z"})
}

on_both!(records_are_read_as_the_vendor_shows_them, async |db: Database| {
    let mut bert = contact(1, 20, json!({"email": "bert@people.example", "firstname": "Bert", "rank": "7"}));
    (bert["createdAt"], bert["updatedAt"]) = (json!("2026-01-02T10:00:00.5Z"), json!("2026-03-02T10:00:00Z"));
    bert["additionalEmails"] = json!(["second@people.example"]);
    let mut gone = contact(1, 21, json!({"email": "gone@people.example"}));
    (gone["archived"], gone["archivedAt"]) = (json!(true), json!(days_ago(3)));
    let deals = (30..34).map(|id| deal(id, &json!({"dealname": format!("Deal {id}"), "amount": "12.5"})));
    let records: Vec<Value> = [bert, gone].into_iter().chain(deals).collect();
    let crm = Crm::new(db, &records).await;

    let one = crm.get("/crm/v3/objects/contacts/20").await;
    assert_eq!(
        (one.status, one.json()),
        (
            200,
            json!({"id": "20", "createdAt": "2026-01-02T10:00:00.500Z", "updatedAt": "2026-03-02T10:00:00.000Z",
                "archived": false, "properties": {"createdate": "2026-01-02T10:00:00.500Z",
                "email": "bert@people.example", "firstname": "Bert", "hs_object_id": "20",
                "lastmodifieddate": "2026-03-02T10:00:00.000Z", "lastname": null}})
        )
    );
    // The same by every name of the type, and by an address.
    for path in ["contact/20", "0-1/20", "CONTACTS/20", "contacts/second%40people.example?idProperty=email"] {
        assert_eq!(crm.get(&format!("/crm/v3/objects/{path}")).await.json(), one.json(), "{path}");
    }
    let chosen = "?properties=rank,phone&properties=nowhere&properties=hs_additional_emails";
    let chosen = crm.get(&format!("/crm/v3/objects/contacts/20{chosen}")).await.json();
    assert_eq!(
        chosen["properties"],
        json!({"rank": "7", "phone": null, "hs_additional_emails": "second@people.example", "hs_object_id": "20",
            "createdate": "2026-01-02T10:00:00.500Z", "lastmodifieddate": "2026-03-02T10:00:00.000Z"})
    );
    let of_deal = crm.get("/crm/v3/objects/deals/30").await.json();
    assert_eq!(
        (&of_deal["properties"]["amount"], &of_deal["properties"]["pipeline"]),
        (&json!("12.5"), &Value::Null)
    );
    assert_eq!(of_deal["properties"]["hs_lastmodifieddate"], json!("2026-02-03T10:00:00.123Z"));

    // What is in the trash shows where it is asked for, and only there.
    assert_eq!(crm.get("/crm/v3/objects/contacts/21").await.status, 404);
    for archived in ["true", "True", "1"] {
        let gone = crm.get(&format!("/crm/v3/objects/contacts/21?archived={archived}")).await.json();
        assert_eq!((&gone["archived"], &gone["id"]), (&json!(true), &json!("21")));
        assert!(gone["archivedAt"].is_string());
    }
    assert_eq!(crm.get("/crm/v3/objects/contacts/20?archived=true").await.status, 404);
    assert_eq!(crm.get("/crm/v3/objects/contacts/21?archived=False").await.status, 404);
    let page = crm.get("/crm/v3/objects/contacts?archived=true").await.json();
    assert_eq!((page["results"].as_array().unwrap().len(), &page["results"][0]["id"]), (1, &json!("21")));

    // By the link alone, as some clients do.
    let mut path = "/crm/v3/objects/deals?limit=3&properties=dealname,amount".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = crm.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let page = page.json();
        seen.extend(
            page["results"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()),
        );
        let Some(link) = page["paging"]["next"]["link"].as_str() else { break };
        let (scheme, rest) = link.split_once("://").expect("an absolute link");
        let (host, rest) = rest.split_once('/').unwrap();
        assert_eq!(
            (scheme, host),
            ("http", crm.scene.worker.address().expect("it listens").as_str()),
            "{link}"
        );
        assert!(rest.contains("limit=3") && rest.contains("properties=dealname%2Camount"), "{link}");
        path = format!("/{rest}");
    }
    assert_eq!(seen, ["30", "31", "32", "33"]);

    let asked = json!({"inputs": [{"id": "32"}, {"id": "30"}, {"id": "32"}], "properties": ["amount"]});
    let both = crm.post("/crm/v3/objects/deals/batch/read", &asked).await;
    let ids: Vec<Value> =
        both.json()["results"].as_array().unwrap().iter().map(|it| it["id"].clone()).collect();
    assert_eq!((both.status, ids), (200, vec![json!("32"), json!("30")]));
    let asked = json!({"inputs": [{"id": "20"}, {"id": "21"}, {"id": "999"}, {"id": "x"}]});
    let some = crm.post("/crm/v3/objects/contacts/batch/read", &asked).await;
    assert_eq!(some.status, 207);
    let some = some.json();
    assert_eq!((&some["numErrors"], some["results"].as_array().unwrap().len()), (&json!(1), 1));
    assert_eq!(some["errors"][0]["category"], json!("OBJECT_NOT_FOUND"));
    assert_eq!(some["errors"][0]["context"]["ids"], json!(["21", "999", "x"]));
    let asked = json!({"idProperty": "email", "inputs": [{"id": "BERT@people.example"}, {"id": "second@people.example"}]});
    let by_email = crm.post("/crm/v3/objects/contacts/batch/read", &asked).await;
    assert_eq!((by_email.status, by_email.json()["results"].as_array().unwrap().len()), (200, 1));
    crm.finish();
});

on_both!(tokens_and_users_do_what_they_may, async |db: Database| {
    let records = [
        deal(30, &json!({"dealname": "One"})),
        user(1, 6, &["view:deal", "delete:deal"]),
        user(1, 7, &["view"]),
    ];
    let crm = Crm::new(db, &records).await;
    let scene = &crm.scene;
    let ask = async |token: &str, method: &'static str, path: &str, body: Option<Value>| {
        let asking = match &body {
            Some(body) => Asking::post(path, body).by(method),
            None => Asking::get(path).by(method),
        };
        scene.worker.ask(&asking.showing(token)).await
    };
    let doors: [(&'static str, &str, Option<Value>, &str); 9] = [
        ("GET", "/crm/v3/objects/contacts", None, "crm.read"),
        ("GET", "/crm/v3/objects/contacts/1", None, "crm.read"),
        ("GET", "/crm/v3/properties/contacts", None, "crm.read"),
        ("POST", "/crm/v3/objects/contacts/search", Some(json!({})), "crm.read"),
        ("POST", "/crm/v3/objects/contacts", Some(json!({"properties": {}})), "crm.write"),
        ("PATCH", "/crm/v3/objects/contacts/1", Some(json!({"properties": {}})), "crm.write"),
        ("DELETE", "/crm/v3/objects/contacts/1", None, "crm.delete"),
        (
            "POST",
            "/crm/v3/objects/contacts/batch/archive",
            Some(json!({"inputs": [{"id": "1"}]})),
            "crm.delete",
        ),
        ("POST", "/crm/v3/objects/contacts/gdpr-delete", Some(json!({"objectId": "1"})), "crm.erase"),
    ];
    let before = scene.db.dump(&CHANGING).await;
    for scope in ALL {
        let narrow = token(scene, "1", &[scope]).await;
        for (method, path, body, needs) in doors.iter().filter(|door| door.3 != scope) {
            let answered = ask(&narrow, method, path, body.clone()).await;
            assert_eq!(answered.status, 403, "{method} {path} with {scope}: {}", answered.body);
            let error = answered.json();
            assert_eq!(
                (&error["category"], &error["errors"][0]["context"]["requiredScopes"]),
                (&json!("MISSING_SCOPES"), &json!([needs]))
            );
        }
        // Nor is it good for the console.
        assert_eq!(ask(&narrow, "GET", "/api/v1/trash", None).await.status, 403);
        let form = Asking::form("/login", &[("token", narrow.as_str())]);
        assert_eq!(scene.worker.ask(&form).await.status, 403);
    }
    let console = scene.token("1").await;
    assert_eq!(ask(&console, "GET", "/crm/v3/objects/contacts", None).await.status, 403);
    // All scopes, and a user who may only look, or only deals.
    let (looks, deals) = (token(scene, "7", &ALL).await, token(scene, "6", &ALL).await);
    for (who, method, path, body, needs) in [
        (&looks, "DELETE", "/crm/v3/objects/contacts/1", None, "delete"),
        (
            &looks,
            "POST",
            "/crm/v3/objects/contacts/batch/archive",
            Some(json!({"inputs": [{"id": "1"}]})),
            "bulk_delete",
        ),
        (
            &looks,
            "POST",
            "/crm/v3/objects/contacts/gdpr-delete",
            Some(json!({"objectId": "1"})),
            "permanently_delete",
        ),
        (&deals, "GET", "/crm/v3/objects/contacts/1", None, "view"),
        (&deals, "PATCH", "/crm/v3/objects/contacts/1", Some(json!({"properties": {}})), "view"),
        (&deals, "DELETE", "/crm/v3/objects/contacts/1", None, "delete"),
        (
            &deals,
            "POST",
            "/crm/v3/objects/deals/batch/archive",
            Some(json!({"inputs": [{"id": "30"}]})),
            "bulk_delete",
        ),
    ] {
        let answered = ask(who, method, path, body).await;
        let needed = answered.json()["errors"][0]["context"]["requiredScopes"].clone();
        assert_eq!((answered.status, needed), (403, json!([needs])), "{method} {path}: {}", answered.body);
    }
    scene.db.assert_unchanged_since(&before).await;
    assert_eq!(ask(&deals, "DELETE", "/crm/v3/objects/deals/30", None).await.status, 204);

    // Of another account nothing is there, whatever its id.
    let made = scene
        .reaper
        .json(&[
            "tokens",
            "create",
            "--account",
            "2",
            "--user",
            "1",
            "--scope",
            "crm.read",
            "--scope",
            "crm.write",
            "--scope",
            "crm.delete",
            "--scope",
            "crm.erase",
        ])
        .await;
    let stranger = made["token"].as_str().unwrap();
    assert_eq!(ask(stranger, "GET", "/crm/v3/objects/contacts/5", None).await.status, 404);
    let change = Some(json!({"properties": {"firstname": "Eve"}}));
    assert_eq!(ask(stranger, "PATCH", "/crm/v3/objects/contacts/5", change).await.status, 404);
    assert_eq!(ask(stranger, "DELETE", "/crm/v3/objects/contacts/5", None).await.status, 204);
    assert_eq!(
        ask(stranger, "POST", "/crm/v3/objects/contacts/gdpr-delete", Some(json!({"objectId": "5"})))
            .await
            .status,
        404
    );
    let page = ask(stranger, "GET", "/crm/v3/objects/contacts", None).await.json();
    assert_eq!(page["results"].as_array().unwrap().len(), 1);
    assert_eq!(scene.reaper.state(1, 5).await, "live");
});

on_both!(what_is_asked_wrongly_is_refused_in_the_vendors_shape, async |db: Database| {
    let crm = Crm::new(db, &[deal(30, &json!({"dealname": "One"}))]).await;
    let before = crm.scene.db.dump(&CHANGING).await;
    let many: Vec<Value> = (0..101).map(|id| json!({"id": (id + 1).to_string(), "properties": {}})).collect();
    let objects = "/crm/v3/objects";
    for (method, path, body, status, category) in [
        ("GET", "/planets", None, 404, "OBJECT_NOT_FOUND"),
        ("GET", "/2-99", None, 404, "OBJECT_NOT_FOUND"),
        ("GET", "/contacts/999", None, 404, "OBJECT_NOT_FOUND"),
        ("GET", "/contacts/x", None, 404, "OBJECT_NOT_FOUND"),
        ("GET", "/contacts/0", None, 404, "OBJECT_NOT_FOUND"),
        ("GET", "/contacts/%FF", None, 404, "OBJECT_NOT_FOUND"),
        ("GET", "/contacts/a%00b?idProperty=email", None, 404, "OBJECT_NOT_FOUND"),
        ("GET", "/%00", None, 404, "OBJECT_NOT_FOUND"),
        ("DELETE", "/contacts/x", None, 404, "OBJECT_NOT_FOUND"),
        ("GET", "/contacts/1/more", None, 404, "OBJECT_NOT_FOUND"),
        ("PUT", "/contacts", None, 405, "VALIDATION_ERROR"),
        ("GET", "/contacts?limit=0", None, 400, "VALIDATION_ERROR"),
        ("GET", "/contacts?limit=101", None, 400, "VALIDATION_ERROR"),
        ("GET", "/contacts?limit=51&propertiesWithHistory=email", None, 400, "VALIDATION_ERROR"),
        ("GET", "/contacts?limit=ten", None, 400, "VALIDATION_ERROR"),
        ("GET", "/contacts?after=Zm9v", None, 400, "VALIDATION_ERROR"),
        ("GET", "/contacts?archived=perhaps", None, 400, "VALIDATION_ERROR"),
        ("GET", "/contacts?associations=dragons", None, 400, "VALIDATION_ERROR"),
        ("GET", "/contacts?limit=%00", None, 400, "VALIDATION_ERROR"),
        ("GET", "/contacts/ada?idProperty=firstname", None, 400, "VALIDATION_ERROR"),
        ("GET", "/deals/one?idProperty=email", None, 400, "VALIDATION_ERROR"),
        ("POST", "/contacts", Some(json!([])), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts", Some(json!({})), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts", Some(json!({"properties": []})), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts", Some(json!({"properties": {"firstname": ["Ada"]}})), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts", Some(json!({"properties": {"firstname": "A\u{0}"}})), 400, "VALIDATION_ERROR"),
        (
            "POST",
            "/contacts",
            Some(json!({"properties": {}, "associations": [{"to": {"id": "30"}}]})),
            400,
            "VALIDATION_ERROR",
        ),
        ("PATCH", "/contacts/999", Some(json!({"properties": {}})), 404, "OBJECT_NOT_FOUND"),
        ("POST", "/contacts/batch/create", Some(json!({})), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts/batch/create", Some(json!({"inputs": ["x"]})), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts/batch/create", Some(json!({ "inputs": many })), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts/batch/update", Some(json!({ "inputs": many })), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts/batch/read", Some(json!({ "inputs": many })), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts/batch/archive", Some(json!({ "inputs": many })), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts/batch/archive", Some(json!({"inputs": [{}]})), 400, "VALIDATION_ERROR"),
        (
            "POST",
            "/contacts/batch/upsert",
            Some(json!({"inputs": [{"id": "1", "properties": {}}]})),
            400,
            "VALIDATION_ERROR",
        ),
        ("POST", "/contacts/gdpr-delete", Some(json!({})), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts/gdpr-delete", Some(json!({"objectId": "999"})), 404, "OBJECT_NOT_FOUND"),
        ("POST", "/deals/gdpr-delete", Some(json!({"objectId": "30"})), 404, "OBJECT_NOT_FOUND"),
        ("POST", "/contacts/merge", Some(json!({})), 501, "VALIDATION_ERROR"),
        ("POST", "/contacts/search", Some(json!({"limit": 201})), 400, "VALIDATION_ERROR"),
        ("POST", "/contacts/search", Some(json!({"limit": 100, "after": "9901"})), 400, "VALIDATION_ERROR"),
        (
            "POST",
            "/contacts/search",
            Some(json!({"filterGroups": [{"filters": [{"propertyName": "email", "operator": "LIKE"}]}]})),
            400,
            "VALIDATION_ERROR",
        ),
        (
            "POST",
            "/contacts/search",
            Some(json!({"filters": [{"propertyName": "email", "operator": "EQ"}]})),
            400,
            "VALIDATION_ERROR",
        ),
        (
            "POST",
            "/contacts/search",
            Some(json!({"filters": [{"propertyName": "createdate", "operator": "GT", "value": "soon"}]})),
            400,
            "VALIDATION_ERROR",
        ),
    ] {
        let answered = crm.ask(method, &format!("{objects}{path}"), body.as_ref()).await;
        assert_eq!(
            (answered.status, &answered.json()["category"]),
            (status, &json!(category)),
            "{method} {path}: {}",
            answered.body
        );
        assert_eq!(answered.json()["status"], json!("error"));
    }
    let no_json = Asking::sending("/crm/v3/objects/contacts", "application/json", "{").showing(&crm.token);
    let answered = crm.scene.worker.ask(&no_json).await;
    assert_eq!(
        (answered.status, &answered.json()["category"]),
        (400, &json!("VALIDATION_ERROR")),
        "{}",
        answered.body
    );
    let long = json!({"properties": {"firstname": "x".repeat(2 * 1024 * 1024)}});
    assert_eq!(crm.post("/crm/v3/objects/contacts", &long).await.status, 413);
    for (token, status) in [("reaper_1_wrong", 401), ("", 401)] {
        let answered = crm.scene.worker.ask(&Asking::get("/crm/v3/objects/contacts").showing(token)).await;
        assert_eq!(
            (answered.status, &answered.json()["category"]),
            (status, &json!("INVALID_AUTHENTICATION"))
        );
    }
    crm.scene.db.assert_unchanged_since(&before).await;
    crm.finish();
});

on_both!(requests_of_one_token_are_limited_and_counted_in_headers, async |db: Database| {
    let settings = [("http.crm.requests_per_10s", "3"), ("http.crm.prefix", "/hubspot")];
    let crm = Crm::with(db, &[], &settings).await;
    let path = "/hubspot/crm/v3/objects/contacts?limit=2";
    let without = Asking::get("/crm/v3/objects/contacts").showing(&crm.token);
    assert_eq!(crm.scene.worker.ask(&without).await.status, 303, "the prefix is part of every path");
    for left in ["2", "1", "0"] {
        let answered = crm.get(path).await;
        assert_eq!((answered.status, answered.header("x-hubspot-ratelimit-remaining")), (200, Some(left)));
        assert_eq!(answered.header("x-hubspot-ratelimit-max"), Some("3"));
        assert_eq!(answered.header("x-hubspot-ratelimit-interval-milliseconds"), Some("10000"));
        let link = answered.json()["paging"]["next"]["link"].as_str().unwrap().to_owned();
        assert!(link.contains("/hubspot/crm/v3/objects/contacts?limit=2&after=2"), "{link}");
    }
    let answered = crm.get(path).await;
    assert_eq!((answered.status, answered.header("retry-after")), (429, Some("10")), "{}", answered.body);
    let error = answered.json();
    assert_eq!(
        (&error["category"], &error["policyName"]),
        (&json!("RATE_LIMITS"), &json!("TEN_SECONDLY_ROLLING"))
    );
    // Another token has its own.
    let other = token(&crm.scene, "1", &["crm.read"]).await;
    assert_eq!(crm.scene.worker.ask(&Asking::get(path).showing(&other)).await.status, 200);
});
