//! Search: every operator, by hand.

use serde_json::{Value, json};

use super::{Crm, deal};
use crate::support::records::contact;
use crate::support::{Database, on_both};

on_both!(conditions_find_what_they_say, async |db: Database| {
    let person = |id: i64, properties: Value| {
        let mut person = contact(1, id, properties);
        (person["createdAt"], person["updatedAt"]) =
            (json!(format!("2026-01-0{}T00:00:00Z", id - 19)), json!("2026-02-01T00:00:00Z"));
        person
    };
    let definitions = [("rank", "number"), ("joined", "date")].map(|(name, of)| {
        json!({"kind": "property", "accountId": "1", "objectType": "contact", "name": name, "type": of})
    });
    let mut records = [
        person(
            20,
            json!({"firstname": "Zoë", "email": "zoe@corner-shop.example", "rank": "9", "joined": "2026-01-31"}),
        ),
        person(
            21,
            json!({"firstname": "zoltan", "email": "z@mail.example", "rank": "10", "joined": "1769904000000"}),
        ),
        person(22, json!({"firstname": "50%_off", "email": "sale@corner-shop.example", "rank": "-3.5"})),
        person(23, json!({"firstname": "", "rank": "many", "joined": "2026-02-02T12:00:00Z"})),
    ];
    records[0]["additionalEmails"] = json!(["second@people.example"]);
    let mut all: Vec<Value> = definitions.into_iter().chain(records).collect();
    // Names that one of the databases could take for something else.
    let odd = ["$.firstname", "a\"b", "it's", "[0]"];
    all.push(person(
        24,
        odd.iter().map(|name| ((*name).to_owned(), json!("odd"))).collect::<serde_json::Map<_, _>>().into(),
    ));
    all.extend(
        (30..33).map(|id| deal(id, &json!({"dealname": format!("Deal {id}"), "amount": id.to_string()}))),
    );
    let crm = Crm::new(db, &all).await;
    // Those of the scene's own nine contacts are left out by their ids.
    let ids = async |object_type: &str, body: Value| -> Vec<String> {
        let found = crm.post(&format!("/crm/v3/objects/{object_type}/search"), &body).await;
        assert_eq!(found.status, 200, "{body}: {}", found.body);
        let found = found.json();
        let ids: Vec<String> = found["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(found["total"], json!(ids.len()), "{body}");
        ids
    };
    let own =
        json!({"propertyName": "hs_object_id", "operator": "BETWEEN", "value": "20", "highValue": "23"});
    let filter = |name: &str, operator: &str, value: Value| {
        let mut filter = json!({"propertyName": name, "operator": operator});
        match value {
            Value::Array(values) => filter["values"] = values.into(),
            Value::Null => {}
            value => filter["value"] = value,
        }
        filter
    };
    let cases: [(Value, &[&str]); 27] = [
        (filter("firstname", "EQ", json!("ZOLTAN")), &["21"]),
        (filter("firstname", "NEQ", json!("zoltan")), &["20", "22"]),
        (filter("firstname", "IN", json!(["zoltan", "zoë"])), &["20", "21"]),
        (filter("firstname", "NOT_IN", json!(["zoltan"])), &["20", "22"]),
        (filter("firstname", "HAS_PROPERTY", Value::Null), &["20", "21", "22"]),
        (filter("firstname", "NOT_HAS_PROPERTY", Value::Null), &["23"]),
        (filter("firstname", "CONTAINS_TOKEN", json!("zo*")), &["20", "21"]),
        (filter("firstname", "CONTAINS_TOKEN", json!("50%")), &["22"]),
        (filter("firstname", "CONTAINS_TOKEN", json!("%")), &[]),
        (filter("email", "CONTAINS_TOKEN", json!("shop")), &["20", "22"]),
        (filter("email", "CONTAINS_TOKEN", json!("*@corner-shop.example")), &["20", "22"]),
        (filter("email", "CONTAINS_TOKEN", json!("sho")), &[]),
        (filter("email", "NOT_CONTAINS_TOKEN", json!("shop")), &["21", "23"]),
        // Numbers are no texts: 10 is more than 9.
        (filter("rank", "GT", json!("9")), &["21"]),
        (filter("rank", "GTE", json!(9)), &["20", "21"]),
        (filter("rank", "LT", json!("0")), &["22"]),
        (filter("rank", "LTE", json!("-3.5")), &["22"]),
        (filter("rank", "EQ", json!("10.0")), &["21"]),
        (
            json!({"propertyName": "rank", "operator": "BETWEEN", "value": "9", "highValue": "10"}),
            &["20", "21"],
        ),
        // 2026-02-01 in milliseconds, a day, and a moment.
        (filter("joined", "GT", json!("2026-01-31")), &["21", "23"]),
        (filter("joined", "EQ", json!("1769904000000")), &["21"]),
        (filter("joined", "LTE", json!("2026-01-31T00:00:00Z")), &["20"]),
        (filter("createdate", "GTE", json!("2026-01-03T00:00:00Z")), &["22", "23"]),
        (filter("createdate", "LT", json!("1767312000000")), &["20"]),
        (filter("lastmodifieddate", "GTE", json!("2026-02-01T00:00:00.000Z")), &["20", "21", "22", "23"]),
        (filter("hs_object_id", "EQ", json!("9")), &[]),
        (filter("hs_object_id", "IN", json!(["20", "23"])), &["20", "23"]),
    ];
    for (filter, expected) in cases {
        let body = json!({"filterGroups": [{"filters": [own, filter]}], "limit": 200});
        assert_eq!(ids("contacts", body).await, expected, "{filter}");
    }
    let other =
        |operator: &str, value: Value| json!({"filters": [filter("hs_additional_emails", operator, value)]});
    assert_eq!(ids("contacts", other("CONTAINS_TOKEN", json!("second@people.example"))).await, ["20"]);
    assert_eq!(ids("contacts", other("HAS_PROPERTY", Value::Null)).await, ["20"]);
    assert_eq!(ids("contacts", json!({"query": "second@people"})).await, ["20"]);
    let long = [
        json!({"query": "a ".repeat(21)}),
        json!({"filters": [filter("firstname", "CONTAINS_TOKEN", json!("*a".repeat(2000)))]}),
    ];
    for body in long {
        assert_eq!(crm.post("/crm/v3/objects/contacts/search", &body).await.status, 400);
    }
    for name in odd {
        assert_eq!(
            ids("contacts", json!({"filters": [filter(name, "EQ", json!("odd"))], "sorts": [name]})).await,
            ["24"],
            "{name}"
        );
    }
    for body in [
        json!({"filters": [filter("$", "EQ", json!("x"))]}),
        json!({"sorts": ["nowhere"]}),
        json!({"sorts": [""]}),
    ] {
        assert_eq!(crm.post("/crm/v3/objects/contacts/search", &body).await.status, 400, "{body}");
    }
    // Groups are alternatives; filters at the top are one of them.
    let either = json!({"filterGroups": [{"filters": [filter("rank", "EQ", json!("9"))]}, {"filters": [filter("rank", "EQ", json!("10"))]}]});
    assert_eq!(ids("contacts", either).await, ["20", "21"]);
    let top = json!({"filters": [filter("rank", "EQ", json!("9"))], "sorts": ["email"], "limit": 200});
    assert_eq!(ids("contacts", top).await, ["20"]);
    for (sorts, expected) in [
        (json!(["rank"]), ["22", "20", "21", "23"]),
        (json!(["-rank"]), ["21", "20", "22", "23"]),
        (json!([{"propertyName": "createdate", "direction": "DESCENDING"}]), ["23", "22", "21", "20"]),
    ] {
        let body = json!({"filters": [own], "sorts": sorts, "limit": 200});
        assert_eq!(ids("contacts", body).await, expected, "{sorts}");
    }
    assert_eq!(ids("contacts", json!({"query": "CORNER zo"})).await, ["20"]);
    assert_eq!(ids("deals", json!({"query": "deal 31"})).await, ["31"]);
    assert_eq!(ids("deals", json!({"filters": [filter("amount", "GT", json!("30"))]})).await, ["31", "32"]);
    let changed = filter("hs_lastmodifieddate", "GT", json!("2026-02-03T10:00:00Z"));
    assert_eq!(ids("deals", json!({"filters": [changed]})).await, ["30", "31", "32"]);

    // Pages, and what was written a moment ago.
    let page = crm.post("/crm/v3/objects/deals/search", &json!({"limit": 2})).await.json();
    assert_eq!((&page["total"], &page["paging"]), (&json!(3), &json!({"next": {"after": "2"}})));
    let page = crm
        .post("/crm/v3/objects/deals/search", &json!({"limit": 2, "after": "2", "properties": ["amount"]}))
        .await
        .json();
    assert_eq!(page["results"][0]["properties"]["amount"], json!("32"));
    assert!(page.get("paging").is_none());
    let id = crm.created("contacts", &json!({"firstname": "Now"})).await;
    assert_eq!(
        ids("contacts", json!({"filters": [filter("firstname", "EQ", json!("now"))]})).await,
        std::slice::from_ref(&id)
    );
    assert_eq!(crm.delete(&format!("/crm/v3/objects/contacts/{id}")).await.status, 204);
    assert!(ids("contacts", json!({"filters": [filter("firstname", "EQ", json!("now"))]})).await.is_empty());
    crm.finish();
});
