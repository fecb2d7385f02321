//! What records are associated with, read and written by programs.

use serde_json::{Value, json};

use super::{ALL, CHANGING, Crm, deal, token};
use crate::support::records::{activity, association, contact, property, segment, user, workflow};
use crate::support::{Asking, Database, on_both};

fn company(id: i64, account: i64) -> Value {
    json!({"kind": "company", "accountId": account.to_string(), "id": id.to_string(),
        "properties": {"name": format!("Company {id}")}, "createdAt": "2026-01-03T10:00:00Z"})
}

fn by_vendor(id: u32) -> Value {
    json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": id}])
}

/// The types, and with which records, as the first page has them: id, then type ids with labels.
async fn seen(crm: &Crm, path: &str) -> Vec<(String, Vec<(i64, Value)>)> {
    let answered = crm.get(&format!("/crm/v4/objects/{path}")).await;
    assert_eq!(answered.status, 200, "{path}: {}", answered.body);
    let types = |record: &Value| {
        let types = record["associationTypes"].as_array().unwrap();
        types.iter().map(|it| (it["typeId"].as_i64().unwrap(), it["label"].clone())).collect()
    };
    let records = answered.json()["results"].as_array().unwrap().clone();
    records.iter().map(|it| (it["toObjectId"].as_str().unwrap().to_owned(), types(it))).collect()
}

fn of(id: &str, types: &[(i64, Value)]) -> (String, Vec<(i64, Value)>) {
    (id.to_owned(), types.to_vec())
}

on_both!(an_association_is_one_fact_from_both_ends, async |db: Database| {
    let mut labelled = association(("contact", 3), ("company", 610));
    (labelled["label"], labelled["associationTypeId"]) = (json!("Decision maker"), json!("37"));
    let records = [company(610, 1), company(611, 1), labelled, deal(30, &json!({"dealname": "One"}))];
    let crm = Crm::new(db, &records).await;
    let path = "/crm/v4/objects/contacts/1/associations/default/companies/610";
    let made = crm.ask("PUT", path, None).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(
        made.json()["results"],
        json!([{"from": {"id": "1"}, "to": {"id": "610"},
            "associationSpec": {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}}])
    );
    let (plain, none) = (json!(null), Vec::<(String, Vec<(i64, Value)>)>::new());
    assert_eq!(seen(&crm, "contacts/1/associations/companies").await, [of("610", &[(279, plain.clone())])]);
    assert_eq!(
        seen(&crm, "company/610/associations/0-1").await,
        [of("1", &[(280, plain.clone())]), of("3", &[(37, json!("Decision maker"))])]
    );
    assert_eq!(seen(&crm, "contacts/2/associations/companies").await, none);
    // From the other end it is there already.
    let again = crm.ask("PUT", "/crm/v4/objects/0-2/610/associations/default/contact/1", None).await;
    assert_eq!(
        again.json()["results"][0]["associationSpec"],
        json!({"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 280})
    );
    let rows = async || {
        let sql = "SELECT from_type, CAST(from_id AS text), to_type, CAST(to_id AS text), label, coalesce(association_type_id, '') FROM associations \
                   WHERE from_id = 1 ORDER BY 1, 2, 3, 4, 5";
        crm.scene.db.rows(sql).await
    };
    assert_eq!(rows().await, [["contact", "1", "company", "610", "", "279"]]);

    // The primary company is associated as well, and there is one of a contact.
    let primary = |company: &str| format!("/crm/v4/objects/contacts/1/associations/companies/{company}");
    let made = crm.ask("PUT", &primary("610"), Some(&by_vendor(1))).await;
    assert_eq!(
        (made.status, made.json()),
        (
            201,
            json!({"fromObjectTypeId": "0-1", "fromObjectId": "1", "toObjectTypeId": "0-2", "toObjectId": "610",
                "labels": ["Primary"]})
        )
    );
    let is_primary = [(1, json!("Primary")), (279, plain.clone())];
    assert_eq!(seen(&crm, "contacts/1/associations/companies").await, [of("610", &is_primary)]);
    assert_eq!(crm.ask("PUT", &primary("610"), Some(&by_vendor(279))).await.status, 201);
    assert_eq!(seen(&crm, "contacts/1/associations/companies").await, [of("610", &is_primary)]);
    let path = "/crm/v4/objects/companies/611/associations/contacts/1";
    assert_eq!(crm.ask("PUT", path, Some(&by_vendor(2))).await.status, 201);
    assert_eq!(
        seen(&crm, "contacts/1/associations/companies").await,
        [of("610", &[(279, plain.clone())]), of("611", &is_primary)]
    );
    // A label of the account's own comes beside it.
    let label = json!([{"associationCategory": "USER_DEFINED", "associationTypeId": 37}]);
    assert_eq!(crm.ask("PUT", &primary("611"), Some(&label)).await.status, 201);
    let labelled = [(1, json!("Primary")), (37, json!("Decision maker")), (279, plain.clone())];
    assert_eq!(seen(&crm, "contacts/1/associations/companies").await[1], of("611", &labelled));
    let read = crm.get("/crm/v4/objects/contacts/1/associations/companies?limit=1").await.json();
    assert_eq!(read["paging"]["next"]["after"], json!("610"));
    let read = crm.get("/crm/v4/objects/contacts/1/associations/companies?limit=1&after=610").await.json();
    assert_eq!((&read["results"][0]["toObjectId"], read.get("paging")), (&json!("611"), None));
    assert_eq!(read["results"][0]["associationTypes"][1]["category"], json!("USER_DEFINED"));

    // What is in the trash is associated with nothing, and comes back as it was.
    assert_eq!(crm.delete("/crm/v3/objects/companies/611").await.status, 204);
    assert_eq!(seen(&crm, "contacts/1/associations/companies").await.len(), 1);
    assert_eq!(crm.get("/crm/v4/objects/companies/611/associations/contacts").await.status, 404);
    assert_eq!(crm.ask("PUT", path, Some(&by_vendor(280))).await.status, 404);
    let back = ["restore", "--account", "1", "--as", "1", "--record", "company:611"];
    assert_eq!(crm.scene.reaper.run(&back).await.code, 0);
    assert_eq!(seen(&crm, "contacts/1/associations/companies").await[1], of("611", &labelled));
    // Taken away while an end is in the trash it does not come back with it.
    assert_eq!(crm.delete("/crm/v3/objects/companies/611").await.status, 204);
    assert_eq!(crm.delete(path).await.status, 204);
    assert_eq!(crm.delete(path).await.status, 204);
    assert_eq!(crm.scene.reaper.run(&back).await.code, 0);
    assert_eq!(seen(&crm, "companies/611/associations/contacts").await, none);
    assert_eq!(rows().await, [["contact", "1", "company", "610", "", "279"]]);
    // Others are as they were.
    let shown = crm.scene.reaper.json(&["inspect", "record", "--account", "1", "company:610"]).await;
    assert_eq!(shown["visible"]["associations"], json!(["contact:1", "contact:3:Decision maker"]));
    crm.finish();
});

on_both!(what_an_import_brought_and_what_programs_write_is_one, async |db: Database| {
    let with = |mut record: Value, label: &str, id: &str| {
        (record["label"], record["associationTypeId"]) = (json!(label), json!(id));
        record
    };
    let records = [
        company(610, 1),
        company(611, 1),
        with(association(("company", 610), ("contact", 1)), "Primary", "2"),
        association(("company", 610), ("contact", 1)),
        with(association(("contact", 1), ("company", 611)), "Decision maker", "37"),
        with(association(("company", 610), ("company", 611)), "", "14"),
    ];
    let crm = Crm::new(db, &records).await;
    let (plain, primary) = (json!(null), json!("Primary"));
    let both =
        [of("610", &[(1, primary), (279, plain.clone())]), of("611", &[(37, json!("Decision maker"))])];
    assert_eq!(seen(&crm, "contacts/1/associations/companies").await, both);
    // A role is seen from its own end.
    assert_eq!(
        seen(&crm, "companies/610/associations/companies").await,
        [of("611", &[(14, json!("Parent Company"))])]
    );
    assert_eq!(
        seen(&crm, "companies/611/associations/companies").await,
        [of("610", &[(13, json!("Child Company"))])]
    );
    // Said already, by the one label or the other, from the one end or the other.
    let contact = "/crm/v4/objects/contacts/1/associations/companies";
    assert_eq!(crm.ask("PUT", &format!("{contact}/610"), Some(&by_vendor(1))).await.status, 201);
    let role = "/crm/v4/objects/companies/611/associations/companies/610";
    let made = crm.ask("PUT", role, Some(&by_vendor(13))).await;
    assert_eq!((made.status, &made.json()["labels"]), (201, &json!(["Child Company"])));
    let label = json!([{"associationCategory": "USER_DEFINED", "associationTypeId": 37}]);
    let made = crm.ask("PUT", &format!("{contact}/611"), Some(&label)).await;
    assert_eq!((made.status, &made.json()["labels"]), (201, &json!(["Decision maker"])));
    let after = crm.scene.db.dump(&CHANGING).await;
    let rows =
        async || crm.scene.db.rows("SELECT label, association_type_id FROM associations ORDER BY 1, 2").await;
    assert_eq!(rows().await.len(), 5, "a label goes with an unlabelled one");
    assert_eq!(crm.ask("PUT", &format!("{contact}/611"), Some(&label)).await.status, 201);
    crm.scene.db.assert_unchanged_since(&after).await;
    // Another primary one takes it from the imported one, which stays associated.
    assert_eq!(crm.ask("PUT", &format!("{contact}/611"), Some(&by_vendor(1))).await.status, 201);
    let types: Vec<Vec<i64>> = seen(&crm, "contacts/1/associations/companies")
        .await
        .iter()
        .map(|(_, types)| types.iter().map(|it| it.0).collect())
        .collect();
    assert_eq!(types, [vec![279], vec![1, 37, 279]]);
    // All associations of two records go, those of an import too.
    assert_eq!(crm.delete(&format!("{contact}/611")).await.status, 204);
    assert_eq!(seen(&crm, "contacts/1/associations/companies").await, [of("610", &[(279, plain)])]);
    // And an import finds them.
    let removal = json!({"kind": "remove", "of": "association", "accountId": "1",
        "from": {"type": "contact", "id": "1"}, "to": {"type": "company", "id": "610"}});
    crm.scene.reaper.import(&[removal]).await;
    assert!(seen(&crm, "contacts/1/associations/companies").await.is_empty());
    crm.finish();
});

on_both!(a_label_between_records_of_one_type_is_written_in_either_direction, async |db: Database| {
    let mut tutor = association(("contact", 1), ("contact", 2));
    (tutor["label"], tutor["associationTypeId"]) = (json!("Tutor"), json!("7002"));
    let crm = Crm::new(db, &[tutor]).await;
    let label = json!([{"associationCategory": "USER_DEFINED", "associationTypeId": 7002}]);
    // The other way round, and then between others.
    for (from, to) in [(2, 1), (3, 4), (4, 3)] {
        let made = crm
            .ask("PUT", &format!("/crm/v4/objects/contacts/{from}/associations/contacts/{to}"), Some(&label))
            .await;
        assert_eq!((made.status, &made.json()["labels"]), (201, &json!(["Tutor"])), "{from} {to}");
    }
    let rows =
        crm.scene.db.rows("SELECT DISTINCT label FROM associations WHERE association_type_id = '7002'").await;
    assert_eq!(rows, [["Tutor"]]);
    assert_eq!(crm.scene.db.count("associations", "label = 'Tutor'").await, 4);
    crm.finish();
});

on_both!(batches_of_associations_do_what_they_can, async |db: Database| {
    let deals = (30..33).map(|id| deal(id, &json!({"dealname": format!("Deal {id}")})));
    let mut records: Vec<Value> = deals.collect();
    records.extend([company(610, 1), company(700, 2), contact(1, 40, json!({}))]);
    let crm = Crm::new(db, &records).await;
    let pair = |from: &str, to: &str| json!({"from": {"id": from}, "to": {"id": to}});
    let typed = |from: &str, to: &str, id: u32| {
        let mut pair = pair(from, to);
        pair["types"] = by_vendor(id);
        pair
    };
    let inputs = json!({"inputs": [typed("30", "40", 3), typed("31", "40", 3), typed("99", "40", 3), typed("32", "41", 3)]});
    let made = crm.post("/crm/v4/associations/deals/contacts/batch/create", &inputs).await;
    assert_eq!(made.status, 207, "{}", made.body);
    let made = made.json();
    assert_eq!((made["results"].as_array().unwrap().len(), &made["numErrors"]), (2, &json!(2)));
    assert_eq!(made["errors"][0]["context"], json!({"fromObjectId": ["99"]}));
    assert_eq!(made["errors"][1]["context"], json!({"toObjectId": ["41"]}));
    let all = json!({"inputs": [typed("30", "40", 3)]});
    assert_eq!(crm.post("/crm/v4/associations/deals/contacts/batch/create", &all).await.status, 201);
    let all = json!({"inputs": [pair("30", "610"), pair("30", "700"), pair("30", "610")]});
    let made = crm.post("/crm/v4/associations/deals/companies/batch/associate/default", &all).await;
    assert_eq!((made.status, &made.json()["numErrors"]), (200, &json!(1)), "the company of another account");
    let asked = json!({"inputs": [{"id": "30"}, {"id": "32"}, {"id": "x"}, {"id": "30"}]});
    let read = crm.post("/crm/v4/associations/deals/contacts/batch/read", &asked).await;
    assert_eq!(read.status, 207);
    let read = read.json();
    assert_eq!(
        read["results"],
        json!([{"from": {"id": "30"}, "to": [{"toObjectId": "40",
            "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": null}]}]}])
    );
    let of_error = |n: usize| {
        (read["errors"][n]["subCategory"].clone(), read["errors"][n]["context"]["fromObjectId"].clone())
    };
    let none = "crm.associations.NO_ASSOCIATIONS_FOUND";
    assert_eq!([of_error(0), of_error(1)], [(json!(none), json!(["32"])), (json!(none), json!(["x"]))]);
    let asked = json!({"inputs": [{"id": "30"}]});
    let read = crm.post("/crm/v3/associations/deal/company/batch/read", &asked).await;
    assert_eq!(
        (read.status, &read.json()["results"][0]["to"]),
        (200, &json!([{"id": "610", "type": "deal_to_company_unlabeled"}]))
    );
    let read =
        crm.post("/crm/v3/associations/contact/deal/batch/read", &json!({"inputs": [{"id": "40"}]})).await;
    assert_eq!(
        read.json()["results"][0]["to"],
        json!([{"id": "30", "type": "contact_to_deal"}, {"id": "31", "type": "contact_to_deal"}])
    );
    // With the records themselves.
    let page = crm.get("/crm/v3/objects/deals?associations=contact,companies&limit=2").await.json();
    assert_eq!(
        page["results"][0]["associations"],
        json!({"contacts": {"results": [{"id": "40", "type": "deal_to_contact"}]},
            "companies": {"results": [{"id": "610", "type": "deal_to_company_unlabeled"}]}})
    );
    assert_eq!(page["results"][1]["associations"].as_object().unwrap().len(), 1);
    let one = crm.get("/crm/v3/objects/contacts/40?associations=deals").await.json();
    assert_eq!(one["associations"]["deals"]["results"].as_array().unwrap().len(), 2);
    let gone = json!({"inputs": [{"from": {"id": "30"}, "to": [{"id": "40"}, {"id": "41"}]}, {"from": {"id": "98"}, "to": [{"id": "40"}]}]});
    assert_eq!(crm.post("/crm/v4/associations/deals/contacts/batch/archive", &gone).await.status, 204);
    let read =
        crm.post("/crm/v3/associations/contact/deal/batch/read", &json!({"inputs": [{"id": "40"}]})).await;
    assert_eq!(read.json()["results"][0]["to"], json!([{"id": "31", "type": "contact_to_deal"}]));
    crm.finish();
});

on_both!(activities_are_written_with_what_they_are_on, async |db: Database| {
    let records = [deal(30, &json!({"dealname": "One"})), activity(70, "note", &[("contact", 1)])];
    let crm = Crm::new(db, &records).await;
    let note = json!({"properties": {"hs_timestamp": "2026-03-02T10:00:00Z", "hs_note_body": "Call back"},
        "associations": [{"to": {"id": "1"}, "types": by_vendor(202)}]});
    let made = crm.post("/crm/v3/objects/notes", &note).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&made["properties"]["hs_note_body"], &made["createdAt"]),
        (&json!("Call back"), &json!("2026-03-02T10:00:00.000Z"))
    );
    let visible = async || crm.scene.reaper.contact(1, 1).await["visible"]["activities"].clone();
    assert_eq!(visible().await, json!(["70", id]));
    let changed = crm
        .patch(
            &format!("/crm/v3/objects/notes/{id}"),
            &json!({"properties": {"hs_note_body": "Done", "hs_timestamp": "1773000000000"}}),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let changed = changed.json();
    assert_eq!(
        (&changed["properties"]["hs_note_body"], &changed["createdAt"]),
        (&json!("Done"), &json!("2026-03-08T20:00:00.000Z"))
    );
    assert!(changed["updatedAt"].as_str() > Some("2026-03-08T20:00:00.000Z"), "{changed}");
    let wrong = json!({"properties": {"hs_timestamp": "soon"}});
    let refused = crm.patch(&format!("/crm/v3/objects/notes/{id}"), &wrong).await;
    assert_eq!((refused.status, &refused.json()["errors"][0]["code"]), (400, &json!("INVALID_DATE")));
    // It is on a deal, too; and on the contact no more.
    let on_deal = format!("/crm/v4/objects/deals/30/associations/default/notes/{id}");
    let made = crm.ask("PUT", &on_deal, None).await;
    assert_eq!(
        made.json()["results"][0]["associationSpec"],
        json!({"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 213})
    );
    assert_eq!(crm.delete(&format!("/crm/v4/objects/notes/{id}/associations/contacts/1")).await.status, 204);
    assert_eq!(visible().await, json!(["70"]));
    assert_eq!(
        seen(&crm, &format!("notes/{id}/associations/deals")).await,
        [of("30", &[(214, json!(null))])]
    );
    assert_eq!(seen(&crm, "deals/30/associations/notes").await, [of(&id, &[(213, json!(null))])]);
    // The properties that an import brought stay, and what it was on.
    let path = "/crm/v3/objects/notes/70";
    assert_eq!(crm.patch(path, &json!({"properties": {"hs_note_body": "More"}})).await.status, 200);
    let read = crm.get(&format!("{path}?properties=body,hs_note_body&associations=contacts")).await.json();
    assert_eq!(
        (&read["properties"]["body"], &read["properties"]["hs_note_body"]),
        (&json!("Something"), &json!("More"))
    );
    assert_eq!(read["associations"]["contacts"]["results"], json!([{"id": "1", "type": "note_to_contact"}]));
    // An import that brings this id means another activity, unless it says when that one took place.
    let mut echoed = activity(id.parse().unwrap(), "note", &[("deal", 30)]);
    let output = crm.scene.reaper.run_with_input(&["import", "-"], &format!("{echoed}\n")).await;
    assert_eq!(output.code, 1, "{}", output.stderr);
    assert!(output.stderr.contains(&format!("{id} was given")), "{}", output.stderr);
    echoed["timestamp"] = json!("2026-03-08T20:00:00Z");
    crm.scene.reaper.import(&[echoed]).await;
    // On another activity none can be.
    assert_eq!(
        crm.ask("PUT", &format!("/crm/v4/objects/notes/{id}/associations/default/notes/70"), None)
            .await
            .status,
        400
    );
    crm.finish();
});

on_both!(a_new_record_comes_with_its_associations_or_not_at_all, async |db: Database| {
    let crm = Crm::new(db, &[company(610, 1), company(700, 2)]).await;
    let new = |company: &str, id: u32| json!({"properties": {"firstname": "New"}, "associations": [{"to": {"id": company}, "types": by_vendor(id)}]});
    let made = crm.post("/crm/v3/objects/contacts", &new("610", 1)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        seen(&crm, &format!("contacts/{id}/associations/companies")).await,
        [of("610", &[(1, json!("Primary")), (279, json!(null))])]
    );
    let before = crm.scene.db.dump(&CHANGING).await;
    for (company, id) in [("700", 1), ("611", 279), ("610", 4), ("610", 37)] {
        let refused = crm.post("/crm/v3/objects/contacts", &new(company, id)).await;
        assert_eq!(
            (refused.status, &refused.json()["category"]),
            (400, &json!("VALIDATION_ERROR")),
            "{company} {id}"
        );
    }
    let mut unlabelled = new("610", 279);
    let unknown = json!({"associationCategory": "USER_DEFINED", "associationTypeId": 77});
    unlabelled["associations"][0]["types"].as_array_mut().unwrap().push(unknown);
    let refused = crm.post("/crm/v3/objects/contacts", &unlabelled).await;
    assert!(refused.status == 400 && refused.body.contains("the label of type 77"), "{}", refused.body);
    let batch = json!({"inputs": [new("610", 279), new("611", 279)]});
    assert_eq!(crm.post("/crm/v3/objects/contacts/batch/create", &batch).await.status, 400);
    crm.scene.db.assert_unchanged_since(&before).await;
    let traced = json!({"inputs": [
        {"properties": {}, "associations": [{"to": {"id": "611"}, "types": by_vendor(279)}], "objectWriteTraceId": "a"},
        {"properties": {}, "associations": [{"to": {"id": "610"}, "types": by_vendor(279)}], "objectWriteTraceId": "b"}]});
    let some = crm.post("/crm/v3/objects/contacts/batch/create", &traced).await;
    assert_eq!((some.status, &some.json()["numErrors"]), (207, &json!(1)), "{}", some.body);
    let id = some.json()["results"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(seen(&crm, &format!("contacts/{id}/associations/companies")).await.len(), 1);
    crm.finish();
});

on_both!(associations_take_both_types_a_scope_and_sense, async |db: Database| {
    let records = [company(610, 1), user(1, 6, &["view:contact"])];
    let crm = Crm::new(db, &records).await;
    let doors: [(&'static str, &str, Option<Value>, &str); 8] = [
        ("GET", "/crm/v4/objects/contacts/1/associations/companies", None, "crm.read"),
        (
            "POST",
            "/crm/v4/associations/contacts/companies/batch/read",
            Some(json!({"inputs": []})),
            "crm.read",
        ),
        (
            "POST",
            "/crm/v3/associations/contacts/companies/batch/read",
            Some(json!({"inputs": []})),
            "crm.read",
        ),
        ("PUT", "/crm/v4/objects/contacts/1/associations/default/companies/610", None, "crm.write"),
        ("PUT", "/crm/v4/objects/contacts/1/associations/companies/610", Some(by_vendor(279)), "crm.write"),
        ("DELETE", "/crm/v4/objects/contacts/1/associations/companies/610", None, "crm.write"),
        (
            "POST",
            "/crm/v4/associations/contacts/companies/batch/create",
            Some(json!({"inputs": []})),
            "crm.write",
        ),
        (
            "POST",
            "/crm/v4/associations/contacts/companies/batch/archive",
            Some(json!({"inputs": []})),
            "crm.write",
        ),
    ];
    let before = crm.scene.db.dump(&CHANGING).await;
    for scope in ALL {
        let narrow = token(&crm.scene, "1", &[scope]).await;
        for (method, path, body, _) in doors.iter().filter(|door| door.3 != scope) {
            let asking =
                body.as_ref().map_or_else(|| Asking::get(path), |body| Asking::post(path, body)).by(method);
            let answered = crm.scene.worker.ask(&asking.showing(&narrow)).await;
            assert_eq!(answered.status, 403, "{method} {path} with {scope}: {}", answered.body);
        }
    }
    // A user who may not look at companies does not learn of them by their contacts.
    let contacts_only = token(&crm.scene, "6", &ALL).await;
    for (method, path, body, _) in &doors {
        let asking =
            body.as_ref().map_or_else(|| Asking::get(path), |body| Asking::post(path, body)).by(method);
        let answered = crm.scene.worker.ask(&asking.showing(&contacts_only)).await;
        assert_eq!(answered.status, 403, "{method} {path}: {}", answered.body);
    }
    let asking = Asking::get("/crm/v3/objects/contacts/1?associations=companies").showing(&contacts_only);
    assert_eq!(crm.scene.worker.ask(&asking).await.status, 403);
    let put = "/crm/v4/objects/contacts/1/associations/companies/610";
    for wrong in [
        json!([]),
        json!({}),
        json!([{"associationCategory": "OTHER", "associationTypeId": 279}]),
        json!([{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": "many"}]),
        // Between a contact and a deal.
        by_vendor(4),
        // A label that nothing names.
        json!([{"associationCategory": "USER_DEFINED", "associationTypeId": 77}]),
        // The vendor's id for a primary company.
        json!([{"associationCategory": "USER_DEFINED", "associationTypeId": 1}]),
    ] {
        let refused = crm.ask("PUT", put, Some(&wrong)).await;
        assert_eq!(
            (refused.status, &refused.json()["category"]),
            (400, &json!("VALIDATION_ERROR")),
            "{wrong}"
        );
    }
    for (path, status) in [
        ("contacts/1/associations/default/contacts/1", 400),
        ("contacts/x/associations/default/companies/610", 404),
        ("contacts/1/associations/default/companies/999", 404),
        ("contacts/1/associations/default/dragons/1", 404),
    ] {
        assert_eq!(crm.ask("PUT", &format!("/crm/v4/objects/{path}"), None).await.status, status, "{path}");
    }
    for query in ["associations=dragons", "associations=contacts&associations=%00"] {
        assert_eq!(crm.get(&format!("/crm/v3/objects/contacts/1?{query}")).await.status, 400, "{query}");
    }
    crm.scene.db.assert_unchanged_since(&before).await;
    crm.finish();
});

/// Deletes contacts whose associated record of a type, by this type of associations, passes a filter.
fn by_associated(id: i64, object_type: &str, type_id: u32, operator: &str, filter: &Value) -> Value {
    workflow(
        1,
        id,
        &json!({"filterBranchType": "OR", "filterBranchOperator": "OR", "filters": [], "filterBranches": [
        {"filterBranchType": "AND", "filterBranchOperator": "AND", "filters": [], "filterBranches": [
            {"filterBranchType": "ASSOCIATION", "filterBranchOperator": "AND", "objectTypeId": object_type,
                "associationTypeId": type_id, "associationCategory": "HUBSPOT_DEFINED", "operator": operator,
                "filterBranches": [], "filters": [filter]}]}]}),
    )
}

async fn verdict(crm: &Crm, workflow: &str, contact: &str) -> Value {
    let explained = ["explain", "--account", "1", "--workflow", workflow, "--contact", contact];
    crm.scene.reaper.json(&explained).await["verdict"].clone()
}

on_both!(criteria_ask_for_the_primary_company_of_now, async |db: Database| {
    let named = property("name", "STRING", "IS_EQUAL_TO", json!("Company 610"));
    let records = [company(610, 1), company(611, 1), by_associated(6, "0-2", 1, "IN_LIST", &named)];
    let crm = Crm::new(db, &records).await;
    let primary = async |contact: i64, company: i64| {
        let path = format!("/crm/v4/objects/contacts/{contact}/associations/companies/{company}");
        assert_eq!(crm.ask("PUT", &path, Some(&by_vendor(1))).await.status, 201);
    };
    let typed = |contact: i64, company: i64, label: &str, id: &str| {
        let mut record = association(("contact", contact), ("company", company));
        (record["label"], record["associationTypeId"]) = (json!(label), json!(id));
        record
    };
    let removal = |contact: i64, company: i64, label: &str| {
        json!({"kind": "remove", "of": "association", "accountId": "1", "label": label,
            "from": {"type": "contact", "id": contact.to_string()}, "to": {"type": "company", "id": company.to_string()}})
    };
    primary(1, 610).await;
    assert_eq!(verdict(&crm, "6", "1").await, json!("delete"));
    primary(1, 611).await;
    assert_eq!(verdict(&crm, "6", "1").await, json!("skip"));
    // An import takes away what a program wrote, by the label that it uses itself.
    primary(2, 610).await;
    crm.scene.reaper.import(&[removal(2, 610, "Primary"), typed(2, 611, "Primary", "1")]).await;
    assert_eq!(verdict(&crm, "6", "2").await, json!("skip"));
    // One without a type is not the primary one, once another is.
    crm.scene.reaper.import(&[association(("contact", 3), ("company", 610))]).await;
    assert_eq!(verdict(&crm, "6", "3").await, json!("delete"));
    primary(3, 611).await;
    assert_eq!(verdict(&crm, "6", "3").await, json!("skip"));
    // Of two primary ones nothing tells which it is.
    primary(4, 611).await;
    crm.scene.reaper.import(&[typed(4, 610, "Primary", "1")]).await;
    assert_eq!(verdict(&crm, "6", "4").await, json!("refuse"));
    // The label that an import names is the one that programs write.
    crm.scene.reaper.import(&[typed(5, 611, "Partner", "77")]).await;
    let label = json!([{"associationCategory": "USER_DEFINED", "associationTypeId": 77}]);
    let path = "/crm/v4/objects/contacts/6/associations/companies/611";
    let made = crm.ask("PUT", path, Some(&label)).await;
    assert_eq!((made.status, &made.json()["labels"]), (201, &json!(["Partner"])));
    crm.scene.reaper.import(&[typed(6, 611, "Partner", "77"), removal(6, 611, "Partner")]).await;
    assert_eq!(seen(&crm, "contacts/6/associations/companies").await, [of("611", &[(279, json!(null))])]);
});

on_both!(an_activity_took_place_whether_or_not_its_properties_say_when, async |db: Database| {
    let known = json!({"filterType": "PROPERTY", "property": "hs_timestamp", "operation": {"operationType": "ALL_PROPERTY",
        "operator": "IS_KNOWN", "includeObjectsWithNoValueSet": false}});
    let crm = Crm::new(db, &[by_associated(6, "0-46", 201, "NOT_IN_LIST", &known)]).await;
    let note = |contact: &str, properties: Value| json!({"properties": properties, "associations": [{"to": {"id": contact}, "types": by_vendor(202)}]});
    let dated = note("1", json!({"hs_timestamp": "2026-03-02T10:00:00Z"}));
    assert_eq!(crm.post("/crm/v3/objects/notes", &dated).await.status, 201);
    let made = crm.post("/crm/v3/objects/notes", &note("2", json!({"hs_note_body": "today"}))).await.json();
    assert_eq!(made["properties"]["hs_timestamp"], made["createdAt"]);
    for contact in ["1", "2"] {
        assert_eq!(verdict(&crm, "6", contact).await, json!("skip"), "{contact}");
    }
    assert_eq!(verdict(&crm, "6", "3").await, json!("delete"), "it has no note");
    let search = json!({"filters": [{"propertyName": "hs_timestamp", "operator": "GTE", "value": "2026-03-03T00:00:00Z"}]});
    let found = crm.post("/crm/v3/objects/notes/search", &search).await.json();
    assert_eq!((&found["total"], &found["results"][0]["id"]), (&json!(1), &made["id"]));
    crm.finish();
});

on_both!(who_may_not_look_at_a_type_associates_nothing_with_it, async |db: Database| {
    let crm = Crm::new(db, &[user(1, 6, &["view:company"])]).await;
    let companies_only = token(&crm.scene, "6", &["crm.write"]).await;
    let before = crm.scene.db.dump(&CHANGING).await;
    let new =
        json!({"properties": {"name": "New"}, "associations": [{"to": {"id": "1"}, "types": by_vendor(2)}]});
    let many = json!({ "inputs": [new] });
    for (path, body) in [("companies", &new), ("companies/batch/create", &many)] {
        let asking = Asking::post(&format!("/crm/v3/objects/{path}"), body).showing(&companies_only);
        assert_eq!(crm.scene.worker.ask(&asking).await.status, 403, "{path}");
    }
    crm.scene.db.assert_unchanged_since(&before).await;
});

/// A decision locks its contact; a program that associates the contact meanwhile waits for the decision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_association_waits_for_the_decision_about_its_contact() {
    let records = [deal(30, &json!({"dealname": "One"})), segment(1, 4, &[])];
    let crm = Crm::new(Database::postgres().await, &records).await;
    let note = json!({"properties": {}, "associations": [{"to": {"id": "1"}, "types": by_vendor(202)}]});
    let writes: [(&'static str, &str, Option<Value>, u16); 3] = [
        ("PUT", "/crm/v4/objects/deals/30/associations/default/contacts/1", None, 200),
        ("POST", "/crm/v3/objects/notes", Some(note), 201),
        ("PUT", "/crm/v3/lists/4/memberships/add", Some(json!(["1"])), 200),
    ];
    for (method, path, body, status) in writes {
        let mut deciding = crm.scene.db.connect_postgres().await;
        for statement in
            ["BEGIN", "SELECT 1 FROM contacts WHERE account_id = 1 AND contact_id = 1 FOR UPDATE"]
        {
            sqlx::raw_sql(statement).execute(&mut deciding).await.unwrap();
        }
        let write = crm.ask(method, path, body.as_ref());
        tokio::pin!(write);
        let early = tokio::time::timeout(std::time::Duration::from_millis(500), &mut write).await;
        assert!(early.is_err(), "{method} {path} did not wait: {:?}", early.map(|answered| answered.status));
        sqlx::raw_sql("ROLLBACK").execute(&mut deciding).await.unwrap();
        assert_eq!(write.await.status, status, "{method} {path}");
    }
    crm.finish();
}
