//! The pages, by the forms that they offer: what is sent is what the page itself has.

use serde_json::json;

use super::Scene;
use crate::support::records::{all_of, contact, event, property, workflow};
use crate::support::{Answered, Asking, Database, Worker, encoded, on_both};

/// Somebody who has logged in.
pub struct Browser<'a> {
    worker: &'a Worker,
    cookie: String,
}

impl<'a> Browser<'a> {
    pub async fn log_in(worker: &'a Worker, token: &str) -> Self {
        let answered = worker.ask(&Asking::form("/login", &[("token", token)])).await;
        assert_eq!((answered.status, answered.header("location")), (303, Some("/")), "{}", answered.body);
        let cookie = answered.header("set-cookie").expect("a cookie").to_owned();
        for guard in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
            assert!(cookie.contains(guard), "{cookie}");
        }
        Self { worker, cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    pub async fn of(scene: &'a Scene, user: &str) -> Self {
        let token = scene.token(user).await;
        Self::log_in(&scene.worker, &token).await
    }

    pub async fn ask(&self, asking: Asking) -> Answered {
        self.worker.ask(&asking.with("cookie", &self.cookie)).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.ask(Asking::get(path)).await
    }

    /// What the form on a page that goes to a path carries, beside what a person fills in.
    pub async fn form(&self, page: &str, action: &str) -> Vec<(String, String)> {
        let answered = self.get(page).await;
        assert_eq!(answered.status, 200, "{page}: {}", answered.body);
        hidden(&answered.body, action)
    }

    /// Sends the form of a page, filled in.
    pub async fn send(&self, page: &str, action: &str, filled: &[(&str, &str)]) -> Answered {
        let form = self.form(page, action).await;
        self.submit(action, &form, filled).await
    }

    pub async fn submit(&self, action: &str, form: &[(String, String)], filled: &[(&str, &str)]) -> Answered {
        let carried = form.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<(&str, &str)> = carried.chain(filled.iter().copied()).collect();
        self.ask(Asking::form(action, &fields)).await
    }
}

/// The hidden fields of the form that goes to a path.
pub fn hidden(page: &str, action: &str) -> Vec<(String, String)> {
    let start = format!("<form method=\"post\" action=\"{action}\">");
    let (_, form) = page.split_once(&start).unwrap_or_else(|| panic!("no form to {action} in\n{page}"));
    let (form, _) = form.split_once("</form>").expect("the form ends");
    let mut fields = Vec::new();
    for field in form.split("<input type=\"hidden\" name=\"").skip(1) {
        let (name, rest) = field.split_once("\" value=\"").expect("a value");
        fields.push((name.to_owned(), rest.split_once('"').expect("its end").0.replace("&amp;", "&")));
    }
    fields
}

on_both!(everything_is_done_by_the_forms_that_the_pages_offer, async |db: Database| {
    let ada = property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"));
    let scene = Scene::new(db, &[workflow(1, 6, &all_of(&[ada]))]).await;
    scene.reaper.decide(&[1, 2].map(|id| event(1, 6, id, id))).await;
    let guarded = scene.reaper.clone().setting("guard.workflow.max_deletions", "1");
    guarded.decide(&[3, 4].map(|id| event(1, 6, id, id))).await;
    let browser = Browser::of(&scene, "1").await;

    let deleted = browser.send("/contacts/5", "/delete", &[("confirm", "1")]).await;
    assert!(deleted.status == 200 && deleted.body.contains("restorable for 90 days"), "{}", deleted.body);
    let trash = browser.get("/trash").await.body;
    assert!(trash.contains("Ada No 5") && trash.contains("contact5@account1.example"), "{trash}");
    let found = browser.get("/trash?search=Contact2%40account1.example").await.body;
    assert!(found.contains("/contacts/2\"") && !found.contains("/contacts/5\""), "{found}");
    let restored = browser.send("/restore?contact=5&contact=1", "/restore", &[]).await;
    assert!(restored.body.contains("2 restored, 0 refused"), "{}", restored.body);
    assert_eq!(scene.reaper.state(1, 5).await, "live");

    let look = browser.send("/erase", "/erase/look", &[("email", "Contact2@account1.example")]).await;
    assert!(look.body.contains("/contacts/2\""), "{}", look.body);
    let wrong = browser.submit("/erase", &hidden(&look.body, "/erase"), &[("confirm", "2")]).await;
    assert_eq!((wrong.status, scene.reaper.state(1, 2).await.as_str()), (409, "in_trash"));
    let look = browser.send("/erase", "/erase/look", &[("contact", "2")]).await;
    let erased = browser.submit("/erase", &hidden(&look.body, "/erase"), &[("confirm", "1")]).await;
    assert!(erased.status == 200 && erased.body.contains("contact 2"), "{}", erased.body);
    assert!(!erased.body.contains("goes to you by e-mail"), "there is no mail server");
    assert_eq!(scene.reaper.state(1, 2).await, "erased");

    assert!(browser.get("/enrollments?outcome=held").await.body.contains("volume guard"));
    assert!(browser.get("/enrollments/3").await.body.contains("/explain?workflow=6&amp;contact=3"));
    assert!(browser.get("/explain?workflow=6&contact=3").await.body.contains("volume guard"));
    assert!(browser.get("/holds").await.body.contains("/holds/show?workflow=6"));
    let held = browser.get("/holds/show?workflow=6").await.body;
    assert!(held.contains("Ada No 3") && held.contains("Ada No 4") && !held.contains("Ada No 1"), "{held}");
    assert_eq!(browser.get("/holds/show?workflow=77").await.status, 404);
    let wrong = browser.send("/holds", "/holds/approve", &[("confirm", "1")]).await;
    assert_eq!(wrong.status, 409, "{}", wrong.body);
    let rejected = browser.send("/holds", "/holds/reject", &[("confirm", "2")]).await;
    assert!(rejected.body.contains("2 enrollments of workflow 6 are rejected"), "{}", rejected.body);
    browser.send("/holds", "/pause", &[]).await;
    assert!(browser.get("/").await.body.contains("Deletes by workflows are paused"));
    browser.send("/holds", "/resume", &[]).await;
    assert_eq!(scene.db.count("pauses", "TRUE").await, 0);

    for (page, says) in [
        // Contacts 1 and 2 by the workflow; of those held it rejected two; two are back and one is erased.
        ("/", "Deleted by workflows, the last 24 hours: 2 in all"),
        ("/", "Not deleted, the last 24 hours: 2 in all"),
        ("/", "Restored, or gone for good, the last 24 hours: 3 in all"),
        ("/retention?dry-run=yes", "Nothing was written"),
        ("/audit", "reject held"),
        ("/erasures/1", "Survivors"),
    ] {
        let answered = browser.get(page).await;
        assert!(answered.status == 200 && answered.body.contains(says), "{page}: {}", answered.body);
    }
    let who = "SELECT action FROM audit WHERE actor = 'user:1' AND account_id = 1 ORDER BY audit_id";
    let done: Vec<String> = scene.db.rows(who).await.into_iter().flatten().collect();
    assert_eq!(done, ["trash", "restore", "erase", "skip", "reject_held", "pause", "resume"]);
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_comes_from_a_token_and_goes_with_it() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    for page in ["/", "/trash", "/erase", "/nothing", "/contacts/1", "/logout"] {
        let answered = scene.worker.ask(&Asking::get(page)).await;
        assert_eq!((answered.status, answered.header("location")), (303, Some("/login")), "{page}");
        assert_eq!(answered.body, "", "{page}");
    }
    let wrong = scene.worker.ask(&Asking::form("/login", &[("token", "reaper_1_x")])).await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, None));

    let token = scene.token("1").await;
    let browser = Browser::log_in(&scene.worker, &token).await;
    let page = browser.get("/").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(
        (page.header("x-frame-options"), page.header("cache-control")),
        (Some("DENY"), Some("no-store"))
    );
    assert!(!page.body.contains("<script") && !page.body.contains("http://"), "{}", page.body);
    assert!(!page.body.contains(&token), "a page never shows a token");
    // Kept is a hash of the session, and over TLS the cookie says so.
    let session = browser.cookie.strip_prefix("reaper_session=").unwrap();
    let kept = scene.db.rows("SELECT session_hash FROM sessions").await;
    assert!(kept.len() == 1 && !session.contains(&kept[0][0]), "{kept:?}");
    let tls = Asking::form("/login", &[("token", &token)]).with("x-forwarded-proto", "https");
    assert!(scene.worker.ask(&tls).await.header("set-cookie").unwrap().contains("; Secure"));

    let form = browser.form("/", "/logout").await;
    let other = Browser::log_in(&scene.worker, &token).await;
    assert_eq!(browser.submit("/logout", &form, &[]).await.status, 303);
    assert_eq!((browser.get("/").await.status, other.get("/").await.status), (303, 200));
    scene.reaper.json(&["tokens", "revoke", "1", "--account", "1"]).await;
    assert_eq!(other.get("/").await.status, 303);

    // What opens the pages does not open the API, and the other way round.
    let last = Browser::of(&scene, "1").await;
    let session = last.cookie.strip_prefix("reaper_session=").unwrap();
    assert_eq!(scene.get(session, "/trash").await.status, 401);
    let by_cookie = Asking::get("/api/v1/trash").with("cookie", &last.cookie);
    assert_eq!(scene.worker.ask(&by_cookie).await.status, 401);
    let token = scene.token("1").await;
    let with_token = Asking::get("/trash").with("cookie", &format!("reaper_session={token}"));
    assert_eq!(scene.worker.ask(&with_token).await.status, 303);
    assert_eq!(scene.worker.ask(&Asking::get("/trash").showing(&token)).await.status, 303);
    scene.db.execute("UPDATE sessions SET expires_at = '2026-01-01T00:00:00.000000Z'").await;
    assert_eq!(last.get("/").await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_and_repeated_forms_do_nothing() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    let (browser, other) = (Browser::of(&scene, "1").await, Browser::of(&scene, "1").await);
    let wish = [("contact", "1"), ("confirm", "1")];
    let deleted = async || scene.db.count("contacts", "deleted_at IS NOT NULL").await;
    // None at all, one of another path, one of another session, one that somebody made up.
    let none = browser.ask(Asking::form("/delete", &wish)).await;
    let logout = browser.form("/", "/logout").await;
    let of_logout = browser.submit("/delete", &logout, &wish).await;
    let form = other.form("/contacts/1", "/delete").await;
    let of_other = browser.submit("/delete", &form, &[("confirm", "1")]).await;
    let made_up = [("form".to_owned(), format!("{}.{}", "0".repeat(32), "0".repeat(64)))];
    let made_up = browser.submit("/delete", &made_up, &wish).await;
    for (forged, what) in [(none, "none"), (of_logout, "path"), (of_other, "session"), (made_up, "made up")] {
        assert_eq!((forged.status, deleted().await), (403, 0), "{what}");
    }
    // A browser says from where it sends.
    let form = browser.form("/contacts/1", "/delete").await;
    let fields: Vec<(&str, &str)> =
        form.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain([("confirm", "1")]).collect();
    for (header, value) in
        [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        let sent = browser.ask(Asking::form("/delete", &fields).with(header, value)).await;
        assert_eq!((sent.status, deleted().await), (403, 0), "{value}");
    }
    let login = Asking::form("/login", &[("token", "x")]).with("sec-fetch-site", "cross-site");
    assert_eq!(scene.worker.ask(&login).await.status, 403);
    // Taken once.
    assert_eq!(browser.ask(Asking::form("/delete", &fields)).await.status, 200);
    scene.reaper.restore(1, 1).await;
    let again = browser.ask(Asking::form("/delete", &fields)).await;
    assert!(again.status == 409 && again.body.contains("sent before"), "{}", again.body);
    assert_eq!(deleted().await, 0);
    // Nor twice by being quick about it.
    let form = browser.form("/contacts/2", "/delete").await;
    let confirmed = [("confirm", "1")];
    let (one, other) = tokio::join!(
        browser.submit("/delete", &form, &confirmed),
        browser.submit("/delete", &form, &confirmed)
    );
    let mut both = [one.status, other.status];
    both.sort_unstable();
    assert_eq!((both, deleted().await), ([200, 409], 1));
    scene.reaper.restore(1, 2).await;
    // Neither a link nor another kind of body deletes, and a large one is not read.
    assert_eq!(browser.get("/delete?contact=1&confirm=1").await.status, 405);
    let document = Asking::post("/delete", &json!({"contact": "1", "confirm": "1"}));
    assert_eq!(browser.ask(document).await.status, 415);
    let large = Asking::sending("/delete", "application/x-www-form-urlencoded", "x".repeat(300 * 1024));
    assert_eq!(browser.ask(large).await.status, 413);
    assert_eq!(deleted().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_may_not_do_is_neither_offered_nor_done() {
    let scene = Scene::new(Database::sqlite(), &[]).await;
    scene.reaper.delete(1, 9).await;
    let browser = Browser::of(&scene, "4").await;
    let home = browser.get("/").await.body;
    assert!(
        home.contains("/trash") && !home.contains("href=\"/erase\"") && !home.contains("/retention"),
        "{home}"
    );
    for page in ["/contacts/1", "/contacts/9", "/trash", "/holds"] {
        let shown = browser.get(page).await;
        assert_eq!(shown.body.matches("method=\"post\"").count(), 1, "{page}: the log-out alone");
        assert!(!shown.body.contains("checkbox"), "{page}");
    }
    for page in ["/erase", "/retention", "/restore?contact=9"] {
        assert_eq!(browser.get(page).await.status, 403, "{page}");
    }
    // With a form that is genuine, made while the user still might.
    let token = scene.token("2").await;
    let able = Browser::log_in(&scene.worker, &token).await;
    let form = able.form("/contacts/1", "/delete").await;
    scene.reaper.import(&[crate::support::records::user(1, 2, &["view"])]).await;
    let refused = able.submit("/delete", &form, &[("confirm", "1")]).await;
    assert!(refused.status == 403 && refused.body.contains("permission Delete"), "{}", refused.body);
    assert_eq!(scene.reaper.state(1, 1).await, "live");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markup_in_names_and_in_what_is_typed_stays_text() {
    let bad = "<script>alert(1)</script>\"'><img src=x>";
    let injected = json!({"firstname": bad, "email": "\"><svg onload=alert(1)>@x.example", "note": bad});
    let scene = Scene::new(Database::sqlite(), &[contact(1, 40, injected)]).await;
    scene.reaper.delete(1, 40).await;
    let browser = Browser::of(&scene, "1").await;
    let typed = encoded(bad);
    for page in [
        "/trash".to_owned(),
        "/contacts/40".to_owned(),
        format!("/trash?search={typed}"),
        format!("/enrollments?reason={typed}"),
        format!("/contacts/{typed}"),
        format!("/erase?contact={typed}"),
        format!("/dead-letters/show?id={typed}"),
        format!("/{typed}"),
    ] {
        let shown = browser.get(&page).await.body.to_lowercase();
        for markup in ["<script", "<img", "<svg onload", "\"><svg", "'><"] {
            assert!(!shown.contains(markup), "{page} has {markup}:\n{shown}");
        }
    }
    assert!(browser.get("/trash").await.body.contains("&lt;script&gt;alert(1)"));
}
