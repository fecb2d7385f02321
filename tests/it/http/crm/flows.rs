//! Workflows and subscriptions, read and written by programs.

use serde_json::{Value, json};

use super::{ALL, CHANGING, Crm, token};
use crate::support::records::{
    all_of, contact, event, in_list, manual_workflow, property, segment, workflow,
};
use crate::support::{Asking, Database, on_both};

/// Deletes Adas.
fn adas(id: i64) -> Value {
    workflow(1, id, &all_of(&[property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"))]))
}

/// What a program sends to create a workflow like this one.
fn new(flow: &Value, is_on: bool) -> Value {
    let mut new = flow["flow"].clone();
    for name in
        ["id", "revisionId", "createdAt", "updatedAt", "crmObjectCreationStatus", "nextAvailableActionId"]
    {
        new.as_object_mut().unwrap().remove(name);
    }
    new["isEnabled"] = json!(is_on);
    new
}

/// What it sends to replace one.
fn put(read: &Value) -> Value {
    let mut sent = read.clone();
    for name in
        ["id", "createdAt", "updatedAt", "dataSources", "objectTypeId", "flowType", "nextAvailableActionId"]
    {
        sent.as_object_mut().unwrap().remove(name);
    }
    sent
}

const FLOWS: &str = "/automation/v4/flows";

on_both!(workflows_are_read_created_replaced_and_deleted, async |db: Database| {
    let mut imported = adas(6);
    imported["flow"]["dataSources"] = json!([{"name": "kept"}]);
    let crm =
        Crm::new(db, &[imported, manual_workflow(1, 7), manual_workflow(2, 8), segment(1, 4, &[1])]).await;
    let page = crm.get(&format!("{FLOWS}?limit=1")).await.json();
    assert_eq!((&page["results"][0]["id"], &page["results"][0]["isEnabled"]), (&json!("6"), &json!(true)));
    let next = crm
        .get(&format!("{FLOWS}?limit=1&after={}", page["paging"]["next"]["after"].as_str().unwrap()))
        .await
        .json();
    assert_eq!((&next["results"][0]["id"], next.get("paging")), (&json!("7"), None));
    assert_eq!(crm.get(&format!("{FLOWS}/8")).await.status, 404, "the workflow of another account");
    let read = crm.get(&format!("{FLOWS}/6")).await.json();
    assert_eq!(read["enrollmentCriteria"]["type"], json!("LIST_BASED"));
    let asked = json!({"inputs": [{"type": "FLOW_ID", "flowId": "7"}, {"type": "FLOW_ID", "flowId": "8"}]});
    let some = crm.post(&format!("{FLOWS}/batch/read"), &asked).await;
    assert_eq!((some.status, &some.json()["errors"][0]["context"]), (207, &json!({"ids": ["8"]})));
    assert_eq!(some.json()["results"][0]["id"], json!("7"));

    let made = crm.post(FLOWS, &new(&adas(1), false)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!((&made["revisionId"], &made["nextAvailableActionId"]), (&json!("1"), &json!("2")));
    let path = format!("{FLOWS}/{id}");
    assert_eq!(crm.get(&path).await.json(), made);

    // The revision that was read, and no other; what the request cannot say stays.
    let mut switched = put(&read);
    switched["isEnabled"] = json!(false);
    switched["id"] = json!("999");
    let off = crm.ask("PUT", &format!("{FLOWS}/6"), Some(&switched)).await;
    assert_eq!(off.status, 200, "{}", off.body);
    let off = off.json();
    assert_eq!(
        (&off["id"], &off["revisionId"], &off["isEnabled"], &off["dataSources"], &off["objectTypeId"]),
        (&json!("6"), &json!("2"), &json!(false), &json!([{"name": "kept"}]), &json!("0-1"))
    );
    let before = crm.scene.db.dump(&CHANGING).await;
    let stale = crm.ask("PUT", &format!("{FLOWS}/6"), Some(&switched)).await;
    assert_eq!((stale.status, &stale.json()["category"]), (409, &json!("CONFLICT")));

    // Switched on only where each part is understood; the list in the trash is not.
    let mut unknown = put(&off);
    unknown["isEnabled"] = json!(true);
    unknown["enrollmentCriteria"]["listFilterBranch"] = all_of(&[in_list(99, "IN_LIST")]);
    let refused = crm.ask("PUT", &format!("{FLOWS}/6"), Some(&unknown)).await;
    assert_eq!((refused.status, &refused.json()["category"]), (400, &json!("VALIDATION_ERROR")));
    let at = refused.json()["errors"][0]["in"].as_str().unwrap().to_owned();
    assert!(at.starts_with("$.enrollmentCriteria"), "{at}");
    let mut unsupported = new(&adas(1), true);
    unsupported["timeWindows"] = json!([{"day": "HOLIDAY"}]);
    assert_eq!(crm.post(FLOWS, &unsupported).await.status, 400);
    crm.scene.db.assert_unchanged_since(&before).await;
    unknown["isEnabled"] = json!(false);
    assert_eq!(
        crm.ask("PUT", &format!("{FLOWS}/6"), Some(&unknown)).await.status,
        200,
        "a workflow that is off may have unsupported parts"
    );

    // What was created decides once it is on.
    let mut on = put(&made);
    on["isEnabled"] = json!(true);
    assert_eq!(crm.ask("PUT", &path, Some(&on)).await.json()["revisionId"], json!("2"));
    let workflow_id = id.parse().unwrap();
    crm.scene.reaper.decide(&[event(1, workflow_id, 1, 1)]).await;
    assert_eq!(crm.scene.reaper.state(1, 1).await, "in_trash");
    // An import that brings the id means another workflow, unless it says when it was created.
    let mut echoed = adas(workflow_id);
    let output = crm.scene.reaper.run_with_input(&["import", "-"], &format!("{echoed}\n")).await;
    assert!(output.code == 1 && output.stderr.contains(&format!("{id} was given")), "{}", output.stderr);
    echoed["flow"]["createdAt"] = made["createdAt"].clone();
    crm.scene.reaper.import(&[echoed]).await;

    assert_eq!(crm.delete(&path).await.status, 204);
    assert_eq!(crm.delete(&path).await.status, 404);
    assert_eq!(crm.get(&path).await.status, 404);
    crm.scene.reaper.decide(&[event(1, workflow_id, 2, 2)]).await;
    // As one that is ahead of its workflow it waits a little.
    assert_eq!(crm.scene.reaper.decision(1, 2).await["reason"], json!("awaiting_contact"));
    assert_eq!(crm.scene.reaper.state(1, 2).await, "live");
    assert_eq!(
        crm.post(FLOWS, &new(&adas(1), false)).await.json()["id"],
        json!((workflow_id + 1).to_string())
    );
    crm.finish();
});

on_both!(what_waits_for_a_deleted_workflow_deletes_nobody, async |db: Database| {
    let mut closed = adas(6);
    closed["flow"]["blockedDates"] =
        json!((0..3)
        .map(|from_now| {
            let day = chrono::Utc::now() + chrono::TimeDelta::days(from_now);
            let month = day.format("%B").to_string().to_uppercase();
            json!({"dayOfMonth": day.format("%-d").to_string().parse::<u32>().unwrap(), "month": month,
                "year": day.format("%Y").to_string().parse::<u32>().unwrap()})
        })
        .collect::<Vec<Value>>());
    let crm = Crm::new(db, &[closed, adas(7)]).await;
    let reaper = &crm.scene.reaper;
    let pause = ["pause", "--account", "1", "--workflow", "7"];
    assert_eq!(reaper.run(&pause).await.code, 0);
    reaper.decide(&[event(1, 6, 1, 1), event(1, 7, 2, 2)]).await;
    let outcome = async |enrollment: i64| reaper.decision(1, enrollment).await["outcome"].clone();
    assert_eq!([outcome(1).await, outcome(2).await], [json!("deferred"), json!("held")]);
    for workflow in [6, 7] {
        assert_eq!(crm.delete(&format!("{FLOWS}/{workflow}")).await.status, 204);
    }
    reaper.decide(&[]).await;
    for enrollment in [1, 2] {
        let decision = reaper.decision(1, enrollment).await;
        assert_eq!(decision["reason"], json!("workflow_not_found"), "{decision}");
    }
    assert_eq!([reaper.state(1, 1).await, reaper.state(1, 2).await], ["live", "live"]);
    assert_eq!(crm.scene.db.count("pending_enrollments", "TRUE").await, 0);
});

on_both!(workflows_take_a_scope_a_permission_and_all_members, async |db: Database| {
    let crm = Crm::new(db, &[adas(6)]).await;
    let before = crm.scene.db.dump(&CHANGING).await;
    let read = crm.get(&format!("{FLOWS}/6")).await.json();
    // User 2 may delete one, and not many.
    let one_at_a_time = token(&crm.scene, "2", &ALL).await;
    let without = token(&crm.scene, "1", &["crm.read", "crm.write", "crm.delete"]).await;
    let doors: [(&'static str, String, Option<Value>); 5] = [
        ("GET", FLOWS.to_owned(), None),
        ("GET", format!("{FLOWS}/6"), None),
        ("POST", FLOWS.to_owned(), Some(new(&adas(1), false))),
        ("PUT", format!("{FLOWS}/6"), Some(put(&read))),
        ("DELETE", format!("{FLOWS}/6"), None),
    ];
    for (method, path, body) in &doors {
        let asking =
            body.as_ref().map_or_else(|| Asking::get(path), |body| Asking::post(path, body)).by(method);
        let answered = crm.scene.worker.ask(&asking.clone().showing(&without)).await;
        assert_eq!(answered.status, 403, "{method} {path}: {}", answered.body);
        assert_eq!(answered.json()["errors"][0]["context"]["requiredScopes"], json!(["automation"]));
        let answered = crm.scene.worker.ask(&asking.showing(&one_at_a_time)).await;
        assert_eq!(
            answered.status,
            if *method == "GET" { 200 } else { 403 },
            "{method} {path}: {}",
            answered.body
        );
    }
    for name in [
        "type",
        "revisionId",
        "isEnabled",
        "actions",
        "timeWindows",
        "blockedDates",
        "customProperties",
        "suppressionListIds",
        "canEnrollFromSalesforce",
    ] {
        let mut sent = put(&read);
        sent.as_object_mut().unwrap().remove(name);
        let refused = crm.ask("PUT", &format!("{FLOWS}/6"), Some(&sent)).await;
        assert_eq!(
            (refused.status, &refused.json()["errors"][0]["in"]),
            (400, &json!(name)),
            "{}",
            refused.body
        );
    }
    for wrong in [json!({"inputs": [{"flowId": "6"}]}), json!({"inputs": [{"type": "FLOW_ID"}]})] {
        assert_eq!(crm.post(&format!("{FLOWS}/batch/read"), &wrong).await.status, 400, "{wrong}");
    }
    crm.scene.db.assert_unchanged_since(&before).await;
    crm.finish();
});

on_both!(whether_an_address_takes_mail_is_told_and_noted, async |db: Database| {
    let of = |email: &str, status: &str| json!({"kind": "deliverability", "accountId": "1", "email": email, "status": status, "at": "2026-03-01T10:00:00Z"});
    let records = [
        contact(1, 20, json!({"email": "erased@people.example"})),
        of("bounced@people.example", "bounced"),
        of("bounced@people.example", "unsubscribed"),
        of("left@people.example", "unsubscribed"),
    ];
    let crm = Crm::new(db, &records).await;
    let definitions = crm.get("/communication-preferences/v3/definitions").await.json();
    assert_eq!(definitions["subscriptionDefinitions"][0]["id"], json!("1"));
    let status = async |email: &str| {
        let read = crm.get(&format!("/communication-preferences/v3/status/email/{email}")).await;
        assert_eq!(read.status, 200, "{}", read.body);
        let status = read.json()["subscriptionStatuses"][0].clone();
        (status["status"].clone(), status["sourceOfStatus"].clone())
    };
    let of_type = |status: &str| (json!(status), json!("SUBSCRIPTION_STATUS"));
    let of_all = (json!("NOT_SUBSCRIBED"), json!("PORTAL_WIDE_STATUS"));
    assert_eq!(status("erased@people.example").await, of_type("SUBSCRIBED"));
    assert_eq!(status("unknown%40people.example").await, of_type("SUBSCRIBED"));
    assert_eq!(status("LEFT@people.example").await, of_type("NOT_SUBSCRIBED"));
    assert_eq!(status("bounced@people.example").await, of_all);
    let unsubscribe = "/communication-preferences/v3/unsubscribe";
    let body = json!({"emailAddress": "Unknown@people.example", "subscriptionId": "1", "legalBasis": "LEGITIMATE_INTEREST_PQL"});
    for _ in 0..2 {
        let noted = crm.post(unsubscribe, &body).await;
        assert_eq!(
            (noted.status, &noted.json()["status"]),
            (200, &json!("NOT_SUBSCRIBED")),
            "{}",
            noted.body
        );
    }
    assert_eq!(status("unknown@people.example").await, of_type("NOT_SUBSCRIBED"));
    assert_eq!(crm.scene.db.count("deliverability", "email_key = 'unknown@people.example'").await, 1);
    // Of an erased person the address stays unsubscribed, and is not written down.
    let erase = json!({"objectId": "erased@people.example", "idProperty": "email"});
    assert_eq!(crm.post("/crm/v3/objects/contacts/gdpr-delete", &erase).await.status, 204);
    assert_eq!(status("erased@people.example").await, of_all);
    let body = json!({"emailAddress": "erased@people.example", "subscriptionId": "1"});
    assert_eq!(crm.post(unsubscribe, &body).await.status, 200);
    assert_eq!(crm.scene.db.count("deliverability", "email_key LIKE '%erased%'").await, 0);
    for wrong in [
        json!({"emailAddress": "no address", "subscriptionId": "1"}),
        json!({"emailAddress": "a@people.example", "subscriptionId": "2"}),
        json!({"emailAddress": "a@people.example"}),
    ] {
        assert_eq!(crm.post(unsubscribe, &wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(crm.get("/communication-preferences/v3/status/email/nobody").await.status, 400);
    let reads = token(&crm.scene, "1", &["crm.read"]).await;
    let asking =
        Asking::post(unsubscribe, &json!({"emailAddress": "a@people.example", "subscriptionId": "1"}));
    assert_eq!(crm.scene.worker.ask(&asking.showing(&reads)).await.status, 403);
    crm.finish();
});
