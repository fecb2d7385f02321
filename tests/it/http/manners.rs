//! What every page owes to whoever has no mouse, no eyes for it, or a small screen, as far as a machine can tell.

use serde_json::json;

use super::Scene;
use super::pages::Browser;
use crate::support::records::{all_of, event, property, workflow};
use crate::support::{Asking, Database};

/// The tags of a page with this name, each with its attributes.
fn tags<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let opening = format!("<{name}");
    let after = page.split(&opening as &str).skip(1);
    let rest = after.filter(|rest| rest.starts_with([' ', '>']));
    rest.map(|rest| rest.split('>').next().unwrap_or_default()).collect()
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\"") as &str)?.1.split('"').next()
}

/// What is wrong with a page.
fn complaints(page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut demand = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    demand(page.starts_with("<!DOCTYPE html>") && page.contains("<html lang=\"en\">"), "a language");
    let (head, _) = page.split_once("<body>").unwrap_or((page, ""));
    demand(tags(head, "title").len() == 1 && !page.contains("<title> "), "one title");
    demand(tags(page, "h1").len() == 1, "one h1");
    demand(tags(page, "main").len() == 1, "one main");
    demand(page.contains("name=\"viewport\" content=\"width=device-width"), "a viewport");
    let first = page.find("<a ").map_or("", |at| &page[at..]);
    demand(
        first.starts_with("<a class=\"skip\" href=\"#content\"") || page.contains(" autofocus"),
        "a first tab stop that leads to the content",
    );
    demand(page.contains("id=\"content\""), "the place that it leads to");
    for nothing in ["<script", " style=\"", "javascript:", " onclick", "://", "tabindex=\"1", "<img"] {
        demand(!page.contains(nothing), &format!("no {nothing}"));
    }
    let labels: Vec<&str> = tags(page, "label").iter().filter_map(|tag| attribute(tag, "for")).collect();
    let fields = [tags(page, "input"), tags(page, "select")].concat();
    for field in fields.iter().filter(|field| attribute(field, "type") != Some("hidden")) {
        let id = attribute(field, "id");
        let named = field.contains(" aria-label=\"") || id.is_some_and(|id| labels.contains(&id));
        demand(named, &format!("a label for {field}"));
    }
    let mut ids: Vec<&str> = page.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    demand(ids.len() == all, "ids that are there once");
    for described in page.split(" aria-describedby=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        demand(ids.contains(&described), &format!("the description {described}"));
    }
    demand(tags(page, "table").len() == tags(page, "caption").len(), "a caption for every table");
    demand(tags(page, "th").iter().all(|tag| tag.contains("scope=\"col\"")), "headings of columns");
    wrong
}

/// Every kind of page, and one that is not there.
pub const PAGES: [&str; 21] = [
    "/",
    "/trash",
    "/trash?search=ada",
    "/contacts/1",
    "/contacts/5",
    "/contacts/6",
    "/contacts/9",
    "/restore?contact=1&contact=2",
    "/restore?workflow=6&since=2020-01-01T00:00:00Z",
    "/restore",
    "/erase",
    "/erasures/1",
    "/enrollments",
    "/enrollments/1",
    "/explain?workflow=6&contact=3",
    "/holds",
    "/dead-letters",
    "/legal-holds",
    "/retention?dry-run=yes",
    "/audit",
    "/nothing",
];

#[test]
fn a_page_without_manners_is_complained_about() {
    let good = "<!DOCTYPE html><html lang=\"en\"><meta name=\"viewport\" content=\"width=device-width\"><title>T</title>\
                <a class=\"skip\" href=\"#content\">S</a><main id=\"content\"><h1>T</h1><label for=\"a\">A</label>\
                <input id=\"a\" name=\"a\"></main>";
    assert_eq!(complaints(good), Vec::<String>::new());
    for (from, to, complaint) in [
        (" lang=\"en\"", "", "a language"),
        ("<label for=\"a\">A</label>", "", "a label for"),
        ("<h1>T</h1>", "<h1>T</h1><h1>U</h1>", "one h1"),
        ("<a class=\"skip\"", "<a href=\"/\">H</a><a class=\"skip\"", "a first tab stop"),
        ("<input", "<script></script><input", "no <script"),
        ("<input", "<input tabindex=\"1\"", "no tabindex"),
        ("<input", "<p id=\"a\"></p><input", "ids that"),
    ] {
        let found = complaints(&good.replace(from, to));
        assert!(found.iter().any(|it| it.starts_with(complaint)), "{complaint}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_accessible() {
    let ada = property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"));
    let scene = Scene::new(Database::sqlite(), &[workflow(1, 6, &all_of(&[ada]))]).await;
    scene.reaper.decide(&[1, 2].map(|id| event(1, 6, id, id))).await;
    let guarded = scene.reaper.clone().setting("guard.workflow.max_deletions", "1");
    guarded.decide(&[3, 4].map(|id| event(1, 6, id, id))).await;
    scene.reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "9", "--confirm", "1"]).await;
    let hold = ["legal-hold", "set", "--account", "1", "--contact", "5", "--reason", "case 5"];
    scene.reaper.json(&hold).await;
    let login = scene.worker.ask(&Asking::get("/login")).await.body;
    assert_eq!(complaints(&login), Vec::<String>::new(), "{login}");
    for user in ["1", "5"] {
        let browser = Browser::of(&scene, user).await;
        for page in PAGES {
            let shown = browser.get(page).await;
            assert_eq!(complaints(&shown.body), Vec::<String>::new(), "{page}, user {user}:\n{}", shown.body);
        }
    }
}
