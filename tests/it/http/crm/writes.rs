//! Records that programs create and change.

use serde_json::{Value, json};

use super::{CHANGING, Crm, deal};
use crate::support::records::{contact, lines, seconds_ago};
use crate::support::{Database, on_both};

on_both!(records_are_created_changed_and_found_again, async |db: Database| {
    let crm = Crm::new(db, &[contact(1, 20, json!({"email": "taken@people.example"}))]).await;
    let properties = json!({"email": "Ada@people.example", "firstname": "Ada", "lastname": "", "numemployees": 7,
        "hs_email_optout": true});
    let made = crm.post("/crm/v3/objects/contacts", &json!({"properties": properties, "unknown": 1})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let ada = made.json();
    let id = ada["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (
            &ada["properties"]["email"],
            &ada["properties"]["numemployees"],
            &ada["properties"]["hs_email_optout"]
        ),
        (&json!("Ada@people.example"), &json!("7"), &json!("true"))
    );
    assert!(ada["properties"].get("lastname").is_none(), "only what has a value: {ada}");
    assert_eq!((&ada["createdAt"], &ada["archived"]), (&ada["updatedAt"], &json!(false)));
    assert_eq!(crm.scene.reaper.contact(1, id.parse().unwrap()).await["state"], json!("live"));

    // The sentence that programs look for an id in.
    for email in ["taken@people.example", " TAKEN@people.example"] {
        let taken =
            crm.post("/crm/v3/objects/contacts", &json!({"properties": {"email": email.trim()}})).await;
        let error = taken.json();
        assert_eq!(
            (taken.status, &error["category"], &error["message"]),
            (409, &json!("CONFLICT"), &json!("Contact already exists. Existing ID: 20"))
        );
    }
    let wrong = json!({"properties": {"email": "no address", "shoe_size": "43", "createdate": "2026-01-01", "firstname": "Eve"}});
    let refused = crm.post("/crm/v3/objects/contacts", &wrong).await;
    let error = refused.json();
    assert_eq!((refused.status, &error["category"]), (400, &json!("VALIDATION_ERROR")));
    let message =
        error["message"].as_str().unwrap().strip_prefix("Property values were not valid: ").unwrap();
    let details: Vec<Value> = serde_json::from_str(message).unwrap();
    let details: Vec<[&str; 2]> =
        details.iter().map(|it| [it["name"].as_str().unwrap(), it["error"].as_str().unwrap()]).collect();
    assert_eq!(
        details,
        [
            ["createdate", "READ_ONLY_VALUE"],
            ["email", "INVALID_EMAIL"],
            ["shoe_size", "PROPERTY_DOESNT_EXIST"]
        ]
    );
    assert!(!refused.body.contains("no address"), "{}", refused.body);

    let changed = crm
        .patch(
            &format!("/crm/v3/objects/contacts/{id}"),
            &json!({"properties": {"firstname": "Adele", "numemployees": "", "hs_email_optout": null}}),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let changed = changed.json();
    assert_eq!(
        (&changed["properties"]["firstname"], &changed["properties"]["email"]),
        (&json!("Adele"), &json!("Ada@people.example"))
    );
    assert!(
        changed["properties"].get("numemployees").is_none()
            && changed["properties"].get("hs_email_optout").is_none()
    );
    assert!(changed["updatedAt"].as_str() > changed["createdAt"].as_str());
    let by_email = "/crm/v3/objects/contacts/ada@people.example?idProperty=email";
    let moved = crm.patch(by_email, &json!({"properties": {"email": "adele@people.example"}})).await;
    assert_eq!((moved.status, &moved.json()["id"]), (200, &json!(id)));
    assert_eq!(crm.get(by_email).await.status, 404, "the address is free");
    assert_eq!(
        crm.created("contacts", &json!({"email": "ada@people.example"})).await,
        (id.parse::<i64>().unwrap() + 1).to_string()
    );

    // What changes nothing is no change; and a change comes after the last one, which an import dated ahead of the clock.
    let path = format!("/crm/v3/objects/contacts/{id}");
    let before = crm.get(&path).await.json();
    assert_eq!(crm.patch(&path, &json!({"properties": {}})).await.json()["updatedAt"], before["updatedAt"]);
    let ahead = json!({"kind": "contact", "accountId": "1", "id": id, "partial": true, "properties": {"city": "Here"},
        "updatedAt": seconds_ago(-60)});
    crm.scene.reaper.import(&[ahead]).await;
    let imported = crm.get(&path).await.json()["updatedAt"].clone();
    let later = crm.patch(&path, &json!({"properties": {"city": "There"}})).await.json()["updatedAt"].clone();
    assert!(later.as_str() > imported.as_str(), "{later} {imported}");

    // Since when each value applies, and who wrote it.
    let path = format!("/crm/v3/objects/contacts/{id}?propertiesWithHistory=firstname,email");
    let history = crm.get(&path).await.json()["propertiesWithHistory"].clone();
    let values = |name: &str| -> Vec<Value> {
        history[name].as_array().unwrap().iter().map(|it| it["value"].clone()).collect()
    };
    assert_eq!(values("firstname"), ["Adele", "Ada"]);
    assert_eq!(values("email"), ["adele@people.example", "Ada@people.example"]);
    for version in history["firstname"].as_array().unwrap() {
        assert_eq!(
            (&version["sourceType"], &version["sourceId"]),
            (&json!("INTEGRATION"), &json!("1")),
            "{history}"
        );
    }

    // Deals are records like any other, but that nothing in them is an address.
    let id = crm.created("deals", &json!({"dealname": "Big", "amount": 12.50, "dealstage": "open"})).await;
    let big = crm
        .patch(&format!("/crm/v3/objects/0-3/{id}"), &json!({"properties": {"dealstage": "closedwon"}}))
        .await;
    assert_eq!(
        (&big.json()["properties"]["amount"], &big.json()["properties"]["dealstage"]),
        (&json!("12.5"), &json!("closedwon"))
    );
    let shown = crm.scene.reaper.json(&["inspect", "record", "--account", "1", &format!("deal:{id}")]).await;
    assert_eq!(shown["properties"]["dealstage"], json!("closedwon"));
    crm.finish();
});

on_both!(batches_are_all_or_nothing_unless_each_input_is_traced, async |db: Database| {
    let taken = contact(1, 20, json!({"email": "taken@people.example"}));
    let crm = Crm::new(db, &[taken, deal(30, &json!({"dealname": "One"}))]).await;
    let input = |email: &str| json!({"properties": {"email": email}});
    let before = crm.scene.db.dump(&CHANGING).await;
    let clash = json!({"inputs": [input("a@people.example"), input("taken@people.example"), input("c@people.example")]});
    let refused = crm.post("/crm/v3/objects/contacts/batch/create", &clash).await;
    assert_eq!(
        (refused.status, &refused.json()["message"]),
        (409, &json!("Contact already exists. Existing ID: 20"))
    );
    let twice = json!({"inputs": [input("a@people.example"), input("A@people.example")]});
    assert_eq!(crm.post("/crm/v3/objects/contacts/batch/create", &twice).await.status, 400);
    let wrong = json!({"inputs": [input("a@people.example"), {"properties": {"nowhere": "x"}}]});
    assert_eq!(crm.post("/crm/v3/objects/contacts/batch/create", &wrong).await.status, 400);
    let taken = json!({"inputs": [{"id": "1", "properties": {"firstname": "One"}}, {"id": "2", "properties": {"email": "taken@people.example"}}]});
    crm.scene.db.assert_unchanged_since(&before).await;

    let traced =
        |email: &str, trace: &str| json!({"properties": {"email": email}, "objectWriteTraceId": trace});
    let some = json!({"inputs": [traced("a@people.example", "t1"), traced("taken@people.example", "t2"),
        traced("A@people.example", "t3"), traced("no address", "t4"), traced("b@people.example", "t5")]});
    let answered = crm.post("/crm/v3/objects/contacts/batch/create", &some).await;
    assert_eq!(answered.status, 207, "{}", answered.body);
    let answered = answered.json();
    let written: Vec<&Value> =
        answered["results"].as_array().unwrap().iter().map(|it| &it["objectWriteTraceId"]).collect();
    assert_eq!(written, [&json!("t1"), &json!("t5")]);
    let errors: Vec<[&Value; 2]> = answered["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| [&it["category"], &it["context"]["objectWriteTraceId"][0]])
        .collect();
    let [conflict, invalid] = [json!("CONFLICT"), json!("VALIDATION_ERROR")];
    assert_eq!(errors, [[&conflict, &json!("t2")], [&invalid, &json!("t3")], [&invalid, &json!("t4")]]);
    assert_eq!(answered["numErrors"], json!(3));

    // Updates: what can be changed is, the rest is said.
    let answered = crm.post("/crm/v3/objects/contacts/batch/update", &taken).await;
    assert_eq!(answered.status, 207, "{}", answered.body);
    assert_eq!(answered.json()["results"][0]["properties"]["firstname"], json!("One"));
    assert_eq!(answered.json()["errors"][0]["category"], json!("CONFLICT"));
    let missing = json!({"inputs": [{"id": "1", "properties": {"firstname": "Uno"}}, {"id": "999", "properties": {}}, {"id": "x", "properties": {}}]});
    let answered = crm.post("/crm/v3/objects/contacts/batch/update", &missing).await;
    assert_eq!(
        (answered.status, &answered.json()["errors"][0]["context"]["ids"]),
        (207, &json!(["999", "x"]))
    );
    // The same record twice is one, and the later value stands.
    let repeated = json!({"inputs": [{"id": "1", "properties": {"firstname": "Eins", "lastname": "A"}}, {"id": "1", "properties": {"firstname": "Un"}}]});
    let answered = crm.post("/crm/v3/objects/contacts/batch/update", &repeated).await;
    assert_eq!((answered.status, answered.json()["results"].as_array().unwrap().len()), (200, 1));
    let one = crm.get("/crm/v3/objects/contacts/1").await.json();
    assert_eq!(
        (&one["properties"]["firstname"], &one["properties"]["lastname"]),
        (&json!("Un"), &json!("A"))
    );
    // Addresses change hands within one request.
    let swap = json!({"inputs": [{"id": "20", "properties": {"email": "free@people.example"}}, {"id": "2", "properties": {"email": "taken@people.example"}}]});
    let answered = crm.post("/crm/v3/objects/contacts/batch/update", &swap).await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    let holder = "/crm/v3/objects/contacts/taken@people.example?idProperty=email";
    assert_eq!(crm.get(holder).await.json()["id"], json!("2"));
    let answered = crm
        .post(
            "/crm/v3/objects/deals/batch/update",
            &json!({"inputs": [{"id": "30", "properties": {"amount": "1"}}]}),
        )
        .await;
    assert_eq!((answered.status, &answered.json()["results"][0]["properties"]["amount"]), (200, &json!("1")));

    let upsert = json!({"inputs": [
        {"id": "taken@people.example", "idProperty": "email", "properties": {"firstname": "Known"}},
        {"id": "new@people.example", "idProperty": "email", "properties": {"firstname": "New"}},
        {"id": "NEW@people.example", "idProperty": "email", "properties": {"lastname": "Once"}}]});
    let answered = crm.post("/crm/v3/objects/contacts/batch/upsert", &upsert).await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    let results = answered.json()["results"].as_array().unwrap().clone();
    let new: Vec<&Value> = results.iter().map(|it| &it["new"]).collect();
    assert_eq!(new, [&json!(false), &json!(true)]);
    assert_eq!((&results[0]["id"], &results[1]["properties"]["lastname"]), (&json!("2"), &json!("Once")));
    let again = crm.post("/crm/v3/objects/contacts/batch/upsert", &upsert).await.json();
    assert_eq!(again["results"][1]["new"], json!(false));
    // An answer names no id without a record, and a repeated request creates no second contact.
    let named =
        |id: &str, email: &str| json!({"id": id, "idProperty": "email", "properties": {"email": email}});
    for inputs in [
        json!([
            named("w1@people.example", "w2@people.example"),
            named("w2@people.example", "w2@people.example")
        ]),
        json!([named("w3@people.example", "")]),
    ] {
        let refused = crm.post("/crm/v3/objects/contacts/batch/upsert", &json!({ "inputs": inputs })).await;
        assert_eq!((refused.status, refused.body.contains("Existing ID")), (400, false), "{}", refused.body);
    }
    let clash = json!({"inputs": [{"id": "3", "properties": {"email": "w4@people.example"}}, {"id": "4", "properties": {"email": "w4@people.example"}}]});
    let answered = crm.post("/crm/v3/objects/contacts/batch/update", &clash).await;
    assert_eq!(
        (answered.status, &answered.json()["errors"][0]["category"]),
        (207, &json!("VALIDATION_ERROR"))
    );
    let wrong = json!({"inputs": [{"id": "no address", "idProperty": "email", "properties": {}}]});
    let refused = crm.post("/crm/v3/objects/contacts/batch/upsert", &wrong).await;
    assert!(refused.status == 400 && refused.body.contains("INVALID_EMAIL"), "{}", refused.body);
    crm.finish();
});

on_both!(an_upsert_by_another_address_leaves_the_primary_one, async |db: Database| {
    let mut ada = contact(1, 20, json!({"email": "ada@people.example"}));
    ada["additionalEmails"] = json!(["second@people.example", "third@people.example"]);
    let crm = Crm::new(db, &[ada]).await;
    let upsert = json!({"inputs": [{"id": "second@people.example", "idProperty": "email", "properties": {"firstname": "Ada"}}]});
    let answered = crm.post("/crm/v3/objects/contacts/batch/upsert", &upsert).await.json();
    let shown = &answered["results"][0];
    assert_eq!((&shown["id"], &shown["new"]), (&json!("20"), &json!(false)));
    assert_eq!(
        (
            &shown["properties"]["email"],
            &shown["properties"]["hs_additional_emails"],
            &shown["properties"]["firstname"]
        ),
        (&json!("ada@people.example"), &json!("second@people.example;third@people.example"), &json!("Ada"))
    );
    crm.finish();
});

on_both!(ids_are_never_given_twice, async |db: Database| {
    let mut gone = contact(1, 700, json!({}));
    (gone["archived"], gone["archivedAt"]) = (json!(true), json!("2026-01-02T10:00:00Z"));
    let mut purged = deal(800, &json!({}));
    (purged["archived"], purged["archivedAt"]) = (json!(true), json!("2026-01-02T10:00:00Z"));
    let crm = Crm::new(db, &[gone, purged]).await;
    let reaper = &crm.scene.reaper;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    // Above those that are gone, of whatever type.
    assert_eq!(crm.created("contacts", &json!({"firstname": "A"})).await, "801");
    assert_eq!(crm.created("companies", &json!({"name": "Works"})).await, "802");
    reaper.import(&[contact(1, 900, json!({}))]).await;
    assert_eq!(crm.created("deals", &json!({"dealname": "B"})).await, "901");
    let erase = crm.post("/crm/v3/objects/contacts/gdpr-delete", &json!({"objectId": "801"})).await;
    assert_eq!(erase.status, 204, "{}", erase.body);
    assert_eq!(crm.created("contacts", &json!({"firstname": "C"})).await, "902");
    // Nor by another account.
    let made =
        reaper.json(&["tokens", "create", "--account", "2", "--user", "1", "--scope", "crm.write"]).await;
    let body = json!({"properties": {}});
    let asking = crate::support::Asking::post("/crm/v3/objects/contacts", &body)
        .showing(made["token"].as_str().unwrap());
    assert_eq!(crm.scene.worker.ask(&asking).await.json()["id"], json!("2"));

    // A file that brings a given id means another record, unless it is the one that was created then.
    let theirs = crm.get("/crm/v3/objects/contacts/902").await.json();
    let said = reaper
        .refused_with_input(&["import", "-"], &lines(&[contact(1, 902, json!({"firstname": "Other"}))]))
        .await;
    assert!(said.contains("line 1: id: 902 was given to a record that a program created"), "{said}");
    assert_eq!(crm.get("/crm/v3/objects/contacts/902").await.json(), theirs);
    let mut same = contact(1, 902, json!({"firstname": "Carla"}));
    same["createdAt"] = theirs["createdAt"].clone();
    reaper.import(&[same]).await;
    assert_eq!(
        crm.get("/crm/v3/objects/contacts/902").await.json()["properties"]["firstname"],
        json!("Carla")
    );
    let partial = json!({"kind": "contact", "accountId": "1", "id": "902", "partial": true, "properties": {"lastname": "X"}});
    reaper.import(&[partial]).await;
    let shown = crm.get("/crm/v3/objects/contacts/902").await.json();
    assert_eq!(shown["properties"]["lastname"], json!("X"));
    let said = reaper
        .refused_with_input(&["import", "-"], &lines(&[deal(901, &json!({"dealname": "Other"}))]))
        .await;
    assert!(said.contains("line 1: id: 901 was given"), "{said}");
    crm.finish();
});

on_both!(properties_are_defined_and_the_unknown_refused, async |db: Database| {
    let defined = json!({"kind": "property", "accountId": "1", "objectType": "0-3", "name": "margin", "label": "Margin",
        "type": "number", "fieldType": "number", "groupName": "dealinformation"});
    let locked = json!({"kind": "property", "accountId": "1", "objectType": "contact", "name": "score", "type": "number",
        "readOnly": true});
    let crm = Crm::new(db, &[defined, locked, deal(30, &json!({"shade": "red"}))]).await;
    let all = crm.get("/crm/v3/properties/deals").await.json();
    let of = |name: &str| all["results"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned();
    let margin = of("margin").expect("an imported definition");
    assert_eq!(
        (&margin["type"], &margin["label"], &margin["hubspotDefined"]),
        (&json!("number"), &json!("Margin"), &json!(false))
    );
    assert_eq!(of("shade").expect("a name that an import brought")["type"], json!("string"));
    let properties = crm.get("/crm/v3/properties/contacts").await;
    assert!(!properties.body.contains("additionalEmails"), "{}", properties.body);
    assert_eq!(of("amount").expect("one of the vendor's")["hubspotDefined"], json!(true));
    assert_eq!(crm.get("/crm/v3/properties/deals/margin").await.json(), margin);
    assert_eq!(crm.get("/crm/v3/properties/deals/nowhere").await.status, 404);
    assert_eq!(crm.get("/crm/v3/properties/deals?archived=true").await.json()["results"], json!([]));

    let refused = crm.post("/crm/v3/objects/deals", &json!({"properties": {"colour": "blue"}})).await;
    assert_eq!(refused.status, 400);
    let new = json!({"name": "colour", "label": "Colour", "type": "enumeration", "fieldType": "select",
        "groupName": "dealinformation", "options": [{"label": "Blue", "value": "blue"}]});
    let made = crm.post("/crm/v3/properties/deals", &new).await;
    assert_eq!((made.status, &made.json()["options"][0]["value"]), (201, &json!("blue")), "{}", made.body);
    assert_eq!(crm.post("/crm/v3/properties/deals", &new).await.status, 409);
    for (member, value) in [("name", "Colour 2"), ("name", "amount"), ("type", "paint"), ("label", "")] {
        let mut wrong = new.clone();
        wrong[member] = json!(value);
        let status = crm.post("/crm/v3/properties/deals", &wrong).await.status;
        assert_eq!(status, if value == "amount" { 409 } else { 400 }, "{member} {value}");
    }
    crm.created("deals", &json!({"colour": "blue", "margin": 3, "shade": "pink"})).await;
    // It is not defined for contacts; and a read-only property stays as it is.
    assert_eq!(
        crm.post("/crm/v3/objects/contacts", &json!({"properties": {"colour": "blue"}})).await.status,
        400
    );
    let refused = crm.post("/crm/v3/objects/contacts", &json!({"properties": {"score": 5}})).await;
    assert!(refused.body.contains("READ_ONLY_VALUE"), "{}", refused.body);
    crm.finish();
});

on_both!(an_erased_address_comes_back_as_another_person, async |db: Database| {
    let mut ada = contact(1, 20, json!({"email": "ada@people.example"}));
    ada["additionalEmails"] = json!(["second@people.example"]);
    let unsubscribed = json!({"kind": "deliverability", "accountId": "1", "email": "ada@people.example",
        "status": "unsubscribed", "at": "2026-01-02T10:00:00Z"});
    let crm = Crm::new(db, &[ada, unsubscribed]).await;
    let gone = crm
        .post(
            "/crm/v3/objects/contacts/gdpr-delete",
            &json!({"objectId": "ADA@people.example", "idProperty": "email"}),
        )
        .await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    assert_eq!(crm.scene.reaper.state(1, 20).await, "erased");
    for path in ["20", "20?archived=true", "ada@people.example?idProperty=email"] {
        assert_eq!(crm.get(&format!("/crm/v3/objects/contacts/{path}")).await.status, 404);
    }
    assert_eq!(crm.delete("/crm/v3/objects/contacts/20").await.status, 204);
    assert_eq!(crm.patch("/crm/v3/objects/contacts/20", &json!({"properties": {}})).await.status, 404);
    let upsert = json!({"inputs": [{"id": "ada@people.example", "idProperty": "email", "properties": {}}]});
    let back = crm.post("/crm/v3/objects/contacts/batch/upsert", &upsert).await.json();
    assert_eq!((&back["results"][0]["new"], &back["results"][0]["id"]), (&json!(true), &json!("21")));
    // Nor does it come back in the words of a definition.
    let gone = crm.post("/crm/v3/objects/contacts/gdpr-delete", &json!({"objectId": "21"})).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    let told = json!({"name": "told", "label": "Of ada@people.example", "type": "enumeration", "fieldType": "select",
        "groupName": "ada@people.example", "options": [{"label": "ada@people.example", "value": "ada@people.example"}]});
    assert_eq!(crm.post("/crm/v3/properties/deals", &told).await.status, 201);
    let shown = crm.get("/crm/v3/properties/deals/told").await;
    assert!(shown.body.contains("[redacted]") && !shown.body.contains("ada@"), "{}", shown.body);
    let upsert = json!({"inputs": [{"id": "ada@people.example", "idProperty": "email", "properties": {}}]});
    crm.post("/crm/v3/objects/contacts/batch/upsert", &upsert).await;
    let statuses = crm.scene.db.rows("SELECT email_key, status FROM deliverability").await;
    assert_eq!(statuses, [["ada@people.example", "unsubscribed"]], "the address stays unsubscribed");
    crm.finish();
});

on_both!(an_upsert_by_another_of_its_addresses_leaves_a_contact_its_primary_one, async |db: Database| {
    let mut ada = contact(1, 20, json!({"email": "primary@people.example"}));
    ada["additionalEmails"] = json!(["second@people.example"]);
    let crm = Crm::new(db, &[ada]).await;
    let input = json!({"id": "Second@people.example", "idProperty": "email",
        "properties": {"email": "second@people.example", "firstname": "Ada"}});
    let body = json!({ "inputs": [input] });
    let written = crm.post("/crm/v3/objects/contacts/batch/upsert", &body).await;
    assert_eq!(written.status, 200, "{}", written.body);
    let path = "/crm/v3/objects/contacts/20?properties=email,firstname,hs_additional_emails";
    let read = crm.get(path).await.json()["properties"].clone();
    assert_eq!(
        (&read["email"], &read["firstname"], &read["hs_additional_emails"]),
        (&json!("primary@people.example"), &json!("Ada"), &json!("second@people.example"))
    );
    crm.finish();
});
