//! The command itself: the shape of its answers, and what it refuses.

use serde_json::json;

use super::{deed, graph};
use crate::support::{Database, Reaper, on_both};

on_both!(an_answer_has_the_account_the_page_and_its_rows, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&graph::records(1)).await;
    deed(&reaper, "delete", 11).await;
    let page =
        async |page: &[&str]| reaper.json(&[&["inspect", "page", "--account", "1"], page].concat()).await;
    assert_eq!(
        page(&["calls"]).await,
        json!({"accountId": "1", "page": "calls", "rows": [{"id": "101", "contact": null},
            {"id": "102", "contact": null}, {"id": "103", "contact": "12"}, {"id": "104", "contact": null}]})
    );
    assert_eq!(
        page(&["form-report"]).await,
        json!({"accountId": "1", "page": "form-report", "rows": [
            {"id": "Signup", "count": 1}, {"id": "contact-us", "count": 1}, {"id": "signup", "count": 1}]})
    );
    assert_eq!(
        page(&["timeline", "--object", "deal:8"]).await,
        json!({"accountId": "1", "page": "timeline", "rows": [{"id": "141", "type": "meeting",
            "occurredAt": "2026-01-03T10:00:00.000000Z", "contact": null}]})
    );
    for nothing in
        [&["company", "--id", "10"][..], &["segment", "--id", "5"], &["timeline", "--object", "deal:9"]]
    {
        assert_eq!(page(nothing).await["rows"], json!([]), "{nothing:?}");
    }
    let people = reaper.run(&["inspect", "page", "tickets", "--account", "1"]).await;
    assert_eq!(
        people.stdout,
        "id  subject    contact\n\
         5   -          -\n\
         6   It stalls  12\n\
         7   It halts   -\n"
    );
    let nobody = reaper.run(&["inspect", "page", "tickets", "--account", "3"]).await;
    assert_eq!(nobody.stdout, "nothing is on this page\n");
});

on_both!(a_question_that_no_page_answers_is_wrong_usage, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&[]).await;
    for (page, said) in [
        (
            &["leads"][..],
            "calls, tasks, inbox, feedback, form-submissions, files, notifications, quotes, tickets",
        ),
        (&["timeline"], "--object company:9"),
        (&["timeline", "--id", "9"], "--object company:9"),
        (&["timeline", "--object", "company"], "a type and an id, such as company:9"),
        (&["timeline", "--object", "company:x"], "a type and an id, such as company:9"),
        (&["company"], "--id"),
        (&["segment"], "--id"),
        (&["segment", "--object", "company:9"], "--id"),
        (&["calls", "--id", "9"], "leave out"),
    ] {
        let output = reaper.run(&[&["inspect", "page", "--account", "1"], page].concat()).await;
        assert_eq!(output.code, 2, "{page:?}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{page:?}: {}", output.stderr);
        assert_eq!(output.stdout, "", "{page:?}");
    }
});
