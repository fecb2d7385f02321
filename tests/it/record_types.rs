//! Records of types that the service has no name for, and the one name of a type that can be written in several ways.

use serde_json::{Value, json};

use crate::support::records::{
    ADMIN, account, activity, association, contact, days_ago, entitled_account, event, lines,
    manual_workflow, user,
};
use crate::support::{Database, Reaper, on_both};

const AT: &str = "2026-01-03T10:00:00Z";

fn object(object_type: &str, id: i64, properties: &Value) -> Value {
    json!({"kind": "object", "accountId": "1", "objectTypeId": object_type, "id": id.to_string(), "properties": properties})
}

on_both!(types_channels_and_products_that_are_not_known_are_stored, async |db: Database| {
    let reaper = Reaper::new(&db);
    let of_contact = json!({"accountId": "1", "contactId": "1"});
    let with = |more: Value| {
        let mut record = of_contact.clone();
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let records = [
        account(1),
        json!({"kind": "subscription", "accountId": "1", "product": "data_hub", "tier": "enterprise", "startsAt": AT}),
        user(1, ADMIN, &["super_admin"]),
        contact(1, 1, json!({})),
        manual_workflow(1, 6),
        json!({"kind": "objectType", "accountId": "1", "id": "2-134", "singular": "Car", "plural": "Cars",
            "primaryDisplayProperty": "plate"}),
        object("2-134", 7, &json!({"plate": "GD 1"})),
        object("0-136", 8, &json!({"hs_lead_name": "New"})),
        association(("contact", 1), ("2-134", 7)),
        association(("contact", 1), ("p134_boats", 9)),
        activity(20, "0-18", &[("contact", 1), ("2-134", 7)]),
        activity(21, "p_fax", &[("contact", 1)]),
        with(json!({"kind": "conversation", "id": "30", "channel": "whatsapp", "messages": []})),
        with(json!({"kind": "analyticsEvent", "id": "31", "type": "page_view", "occurredAt": AT})),
    ];
    reaper.import(&records).await;
    let types = "SELECT object_type, CAST(object_id AS text) FROM objects ORDER BY object_id";
    assert_eq!(db.rows(types).await, [["2-134", "7"], ["lead", "8"]]);
    let called = "SELECT object_type, singular, plural, primary_display_property FROM object_types";
    assert_eq!(db.rows(called).await, [["2-134", "Car", "Cars", "plate"]]);
    assert_eq!(db.rows("SELECT to_type FROM associations ORDER BY to_id").await, [["2-134"], ["p134_boats"]]);
    let activities = db.rows("SELECT type FROM activities ORDER BY activity_id").await;
    assert_eq!(activities, [["communication"], ["p_fax"]]);
    assert_eq!(db.rows("SELECT channel FROM conversations").await, [["whatsapp"]]);
    assert_eq!(db.rows("SELECT type FROM analytics_events").await, [["page_view"]]);

    // The product counts by its tier.
    let mut by_hand = event(1, 6, 1, 5);
    by_hand["data"]["cause"] = json!("MANUAL");
    reaper.decide(&[by_hand]).await;
    assert_eq!(reaper.state(1, 1).await, "in_trash");
    let inbox = reaper.json(&["inspect", "page", "inbox", "--account", "1"]).await;
    assert_eq!(inbox["rows"], json!([{"id": "30", "contact": null}]), "a conversation stays in the inbox");
    reaper.restore(1, 1).await;
    assert_eq!(reaper.state(1, 1).await, "live");
});

on_both!(type_is_one_however_it_is_written, async |db: Database| {
    let reaper = Reaper::new(&db);
    let records = [
        &entitled_account(1)[..],
        &[
            contact(1, 1, json!({})),
            object("0-2", 5, &json!({"name": "Works"})),
            object("tickets", 5, &json!({"subject": "Help"})),
            association(("contacts", 1), ("0-2", 5)),
            association(("0-1", 1), ("COMPANY", 5)),
            activity(20, "calls", &[("0-1", 1), ("companies", 5)]),
        ],
    ]
    .concat();
    let output = reaper.run_with_input(&["--json", "import", "-"], &lines(&records)).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let kinds = serde_json::from_str::<Value>(&output.stdout).unwrap()["kinds"].clone();
    assert_eq!([&kinds["company"], &kinds["ticket"], &kinds["object"]], [&json!(1), &json!(1), &Value::Null]);
    let ends = "SELECT from_type, to_type FROM associations";
    assert_eq!(db.rows(ends).await, [["contact", "company"]]);
    let links = "SELECT object_type FROM activity_associations ORDER BY object_type";
    assert_eq!(db.rows(links).await, [["company"], ["contact"]]);
    assert_eq!(db.rows("SELECT type FROM activities").await, [["call"]]);
    // A contact that an association names by the number of its type is still a contact: one that is gone has none.
    let erase = ["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"];
    reaper.json(&erase).await;
    reaper.import(&[association(("0-1", 1), ("0-2", 5))]).await;
    assert_eq!(db.count("associations", "TRUE").await, 0);

    let mut other = association(("deals", 1), ("0-2", 5));
    reaper.import(&[other.clone()]).await;
    other = association(("0-3", 1), ("company", 5));
    (other["kind"], other["of"]) = (json!("remove"), json!("association"));
    reaper.import(&[other]).await;
    assert_eq!(db.count("associations", "TRUE").await, 0);
});

on_both!(what_is_no_type_is_refused, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&entitled_account(1)).await;
    let before = db.dump(&[]).await;
    for (record, place) in [
        (object("0-1", 5, &json!({})), "objectTypeId: must not be the type of contacts"),
        (object("call", 5, &json!({})), "objectTypeId: must not be the type of contacts"),
        (object("ada@x.example", 5, &json!({})), "objectTypeId: must be a type"),
        (activity(5, "deal", &[]), "type: must be a type of activities"),
        (activity(5, "a note", &[]), "type: must be a type"),
        (association(("", 1), ("deal", 2)), "from.type: "),
        (association(("note", 1), ("deal", 2)), "from.type: must not be a type of activities"),
        (association(("deal", 1), ("0-48", 2)), "to.type: must not be a type of activities"),
        (
            json!({"kind": "conversation", "accountId": "1", "id": "5", "channel": "a b", "contactId": "1"}),
            "channel: must be",
        ),
        (
            json!({"kind": "remove", "of": "object", "accountId": "1", "id": "5"}),
            "of: must not be a contact or a record",
        ),
    ] {
        let said = reaper.refused_with_input(&["import", "-"], &lines(std::slice::from_ref(&record))).await;
        assert!(said.contains(place), "{record}: {said}");
    }
    db.assert_unchanged_since(&before).await;
});

on_both!(activity_of_a_type_without_a_name_goes_as_a_note_does, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut old = contact(1, 2, json!({}));
    (old["archived"], old["archivedAt"]) = (json!(true), json!(days_ago(91)));
    let mut records = [&entitled_account(1)[..], &[contact(1, 1, json!({})), old]].concat();
    for contact_id in [1, 2] {
        records.extend([
            activity(10 + contact_id, "communication", &[("contact", contact_id)]),
            activity(20 + contact_id, "p_fax", &[("contact", contact_id), ("2-134", 7)]),
        ]);
    }
    reaper.import(&records).await;
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"]).await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    let left = "SELECT CAST(activity_id AS text), CASE WHEN stub THEN 'stub' ELSE type END, CAST(properties AS text) \
                FROM activities ORDER BY activity_id";
    let stubs = db.rows("SELECT CAST(activity_id AS text) FROM activities WHERE stub ORDER BY 1").await;
    assert_eq!(stubs, [["11"], ["12"]], "{:?}", db.rows(left).await);
    assert_eq!(db.count("activity_associations", "object_type = 'contact'").await, 0);
    assert_eq!(db.count("activity_associations", "object_type = '2-134'").await, 2);
});

on_both!(objects_keep_their_former_values, async |db: Database| {
    let reaper = Reaper::new(&db);
    let deal = |amount: &str| {
        json!({"kind": "deal", "accountId": "1", "id": "5", "properties": {"amount": amount},
        "propertiesWithHistory": {"amount": [{"value": "1", "timestamp": AT}]},
        "createdAt": AT, "updatedAt": "2026-02-01T00:00:00Z"})
    };
    reaper
        .import(
            &[&entitled_account(1)[..], &[deal("1"), object("2-134", 7, &json!({"plate": "GD 1"}))]].concat(),
        )
        .await;
    let before = db.dump(&["audit"]).await;
    reaper.import(&[deal("1"), object("2-134", 7, &json!({"plate": "GD 1"}))]).await;
    db.assert_unchanged_since(&before).await;

    reaper.import(&[deal("2"), object("2-134", 7, &json!({"plate": "GD 2"}))]).await;
    let values = |property: &str| {
        format!(
            "SELECT history -> '{property}' -> 0 ->> 'value', history -> '{property}' -> 0 ->> 'timestamp', \
                 history -> '{property}' -> 1 ->> 'value' FROM objects WHERE history ->> '{property}' IS NOT NULL"
        )
    };
    assert_eq!(db.rows(&values("amount")).await, [["1", "2026-01-03T10:00:00.000000Z", "2"]]);
    assert_eq!(db.rows(&values("plate")).await, [["GD 1", "1970-01-01T00:00:00.000000Z", "GD 2"]]);
    assert_eq!(db.count("objects", "object_type = 'deal' AND created_at < updated_at").await, 1);
});

on_both!(erasure_reaches_former_values_of_objects_and_names_of_types, async |db: Database| {
    let reaper = Reaper::new(&db);
    let address = "ada@x.example";
    let car = |owner: &str| object("2-134", 7, &json!({ "owner": owner }));
    let named = json!({"kind": "objectType", "accountId": "1", "id": "2-134", "singular": format!("Car of {address}"),
        "plural": "Cars", "primaryDisplayProperty": "plate"});
    let records = [contact(1, 1, json!({"email": address})), car(address), named.clone()];
    reaper.import(&[&entitled_account(1)[..], &records].concat()).await;
    reaper.import(&[car("Otto")]).await;
    assert_eq!(db.count("objects", &format!("CAST(history AS text) LIKE '%{address}%'")).await, 1);
    let erase = ["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"];
    reaper.json(&erase).await;
    assert_eq!(db.count("objects", &format!("CAST(history AS text) LIKE '%{address}%'")).await, 0);
    assert_eq!(db.rows("SELECT singular FROM object_types").await, [["Car of [redacted]"]]);
    reaper.import(&[named, car(address)]).await;
    assert_eq!(db.rows("SELECT singular FROM object_types").await, [["Car of [redacted]"]]);
    assert_eq!(db.count("objects", &format!("CAST(properties AS text) LIKE '%{address}%'")).await, 0);
});
