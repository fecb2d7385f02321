//! Records of `import` that change part of what is there, or remove it.

use serde_json::{Value, json};

use crate::support::every_kind::every_kind;
use crate::support::records::{
    contact, days_ago, enrollment, entitled_account, lines, manual_workflow, segment,
};
use crate::support::{Database, Reaper, on_both};

/// Imports records, which must succeed, and reads the summary.
async fn report(reaper: &Reaper, records: &[Value]) -> Value {
    let output = reaper.run_with_input(&["--json", "import", "-"], &lines(records)).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    serde_json::from_str(&output.stdout).unwrap()
}

on_both!(a_partial_record_changes_only_the_properties_that_it_names, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut whole = contact(1, 1, json!({"email": "a@x.example", "firstname": "Ada", "city": "Bonn"}));
    whole["additionalEmails"] = json!(["b@x.example"]);
    whole["propertiesWithHistory"] =
        json!({"city": [{"value": "Kiel", "timestamp": "2026-01-01T00:00:00Z"}]});
    let deal = json!({"kind": "deal", "accountId": "1", "id": "8", "properties": {"dealname": "Engine", "dealstage": "open"}});
    reaper.import(&[&entitled_account(1)[..], &[whole, deal]].concat()).await;
    let created = db.rows("SELECT CAST(created_at AS text) FROM contacts").await;

    let partial = |kind: &str, id: &str, properties: Value| {
        json!({"kind": kind, "accountId": "1", "id": id,
        "partial": true, "properties": properties})
    };
    let changed = report(
        &reaper,
        &[
            partial("contact", "1", json!({"firstname": "Augusta", "city": null, "email": "c@x.example"})),
            partial("deal", "8", json!({"dealstage": "closedwon"})),
            partial("ticket", "3", json!({"subject": "New"})),
        ],
    )
    .await;
    assert_eq!((&changed["imported"], &changed["droppedProperties"]), (&json!(3), &json!(0)));
    let properties = reaper.contact(1, 1).await["properties"].clone();
    assert_eq!(properties, json!({"email": "c@x.example", "firstname": "Augusta"}));
    let held = "SELECT email_key FROM contact_emails WHERE live ORDER BY email_key";
    assert_eq!(db.rows(held).await, [["b@x.example"], ["c@x.example"]]);
    assert_eq!(db.rows("SELECT CAST(created_at AS text) FROM contacts").await, created);
    let city = |at: i64| format!("history -> 'city' -> {at} ->> 'value'");
    let cities = format!("SELECT {}, {}, {} FROM contacts", city(0), city(1), city(2));
    assert_eq!(db.rows(&cities).await, [["Kiel", "Bonn", ""]]);
    let stage =
        "SELECT properties ->> 'dealname', properties ->> 'dealstage' FROM objects WHERE object_id = 8";
    assert_eq!(db.rows(stage).await, [["Engine", "closedwon"]]);
    assert_eq!(db.count("objects", "object_type = 'ticket' AND object_id = 3").await, 1);

    // Additional addresses are named by themselves.
    let mut additional = partial("contact", "1", json!({}));
    additional["additionalEmails"] = json!(["d@x.example"]);
    report(&reaper, &[additional]).await;
    assert_eq!(db.rows(held).await, [["c@x.example"], ["d@x.example"]]);
    assert_eq!(reaper.contact(1, 1).await["properties"]["email"], "c@x.example");

    // One of a contact that is nowhere, and that does not say when it was created, refers to nothing.
    let said =
        reaper.refused_with_input(&["import", "-"], &lines(&[partial("contact", "7", json!({}))])).await;
    assert!(said.contains("line 1: ") && said.contains("names contact 7, which neither"), "{said}");
});

on_both!(a_partial_record_may_claim_an_address_and_is_held_to_it, async |db: Database| {
    let reaper = Reaper::new(&db);
    let of = |id: i64, address: &str| contact(1, id, json!({ "email": address }));
    reaper.import(&[&entitled_account(1)[..], &[of(1, "a@x.example"), of(2, "b@x.example")]].concat()).await;
    let partial = |id: &str, address: &str| {
        json!({"kind": "contact", "accountId": "1", "id": id, "partial": true,
        "properties": {"email": address}})
    };
    let said = reaper.refused_with_input(&["import", "-"], &lines(&[partial("1", "B@x.example")])).await;
    assert!(said.contains("gives contact 1 an address that the live contact 2 holds"), "{said}");
    reaper.import(&[partial("1", "b@x.example"), partial("2", "a@x.example")]).await;
    let held = "SELECT contact_id || ' ' || email_key FROM contact_emails WHERE live ORDER BY contact_id";
    assert_eq!(db.rows(held).await, [["1 b@x.example"], ["2 a@x.example"]]);
});

on_both!(the_summary_counts_the_properties_that_were_dropped, async |db: Database| {
    let reaper = Reaper::new(&db);
    let company =
        |properties: Value| json!({"kind": "company", "accountId": "1", "id": "9", "properties": properties});
    let first = [
        contact(1, 1, json!({"firstname": "Ada", "city": "Bonn", "zip": "53111"})),
        contact(1, 2, json!({"firstname": "Bo"})),
        company(json!({"name": "Works", "city": "Bonn"})),
    ];
    reaper.import(&[&entitled_account(1)[..], &first].concat()).await;
    assert_eq!(report(&reaper, &first).await["droppedProperties"], 0);
    let again = [
        contact(1, 1, json!({"firstname": "Augusta", "street": "New"})),
        contact(1, 2, json!({"firstname": "Bo"})),
        company(json!({"name": "Works"})),
    ];
    assert_eq!(report(&reaper, &again).await["droppedProperties"], 2 + 1);
});

on_both!(records_are_removed_by_their_keys_and_what_is_not_there_is_no_mistake, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&every_kind(1)).await;
    let remove = |of: &str, members: Value| {
        let mut record = json!({"kind": "remove", "of": of, "accountId": "1"});
        record.as_object_mut().unwrap().append(&mut members.as_object().unwrap().clone());
        record
    };
    let removals = [
        remove(
            "association",
            json!({"from": {"type": "contact", "id": "1"}, "to": {"type": "company", "id": "10"}, "label": "primary"}),
        ),
        remove(
            "association",
            json!({"from": {"type": "contact", "id": "1"}, "to": {"type": "company", "id": "10"}}),
        ),
        remove("activity", json!({"id": "13"})),
        remove("membership", json!({"segmentId": "4", "contactId": "1"})),
        remove("membership", json!({"segmentId": "4", "contactId": "77"})),
        remove("notification", json!({"id": "5"})),
        remove("user", json!({"id": "1"})),
    ];
    let summary = report(&reaper, &removals).await;
    assert_eq!((&summary["removed"], &summary["imported"]), (&json!(5), &json!(0)));
    let visible = reaper.contact(1, 1).await["visible"].clone();
    for category in ["associations", "calls", "segments", "notifications"] {
        assert_eq!(visible[category], json!([]), "{category}");
    }
    assert_eq!(db.count("activity_associations", "activity_id = 13").await, 0);
    let said =
        reaper.refused(&["delete", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"]).await;
    assert!(said.contains("no such user"), "{said}");
    // What the user did before is still in the audit.
    assert_eq!(report(&reaper, &removals).await["removed"], 0);
});

on_both!(an_association_is_removed_from_either_end, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&every_kind(1)).await;
    let (contact, deal) = (json!({"type": "contact", "id": "1"}), json!({"type": "deal", "id": "77"}));
    let tie = |from: &Value, to: &Value, id: &str| json!({"kind": "association", "accountId": "1", "from": from, "to": to, "associationTypeId": id});
    let remove = |from: &Value, to: &Value| json!({"kind": "remove", "of": "association", "accountId": "1", "from": from, "to": to});
    let (ours, theirs) = (tie(&contact, &deal, "4"), tie(&deal, &contact, "3"));
    for (records, left) in [
        (&[ours.clone(), theirs.clone()][..], 2),
        (&[remove(&deal, &contact)], 0),
        (&[ours.clone(), remove(&deal, &contact)], 0),
        (&[remove(&deal, &contact), ours.clone()], 1),
        (&[remove(&contact, &deal)], 0),
        (&[theirs.clone(), remove(&contact, &deal)], 0),
        (&[remove(&contact, &deal), theirs], 1),
        (&[remove(&contact, &deal)], 0),
    ] {
        reaper.import(records).await;
        let ends = "from_id = 77 OR to_id = 77";
        assert_eq!(db.count("associations", ends).await, left, "{records:?}");
    }
    // A label between two contacts has a direction.
    let of = |from: &str, to: &str, kind: &str| {
        let mut record = json!({"kind": kind, "accountId": "1", "from": {"type": "contact", "id": from},
            "to": {"type": "contact", "id": to}, "label": "reports to"});
        if kind == "remove" {
            record["of"] = json!("association");
        }
        record
    };
    reaper.import(&[of("1", "2", "association")]).await;
    reaper.import(&[of("2", "1", "remove")]).await;
    assert_eq!(db.count("associations", "label = 'reports to'").await, 1);
});

on_both!(of_several_records_of_one_key_the_last_one_wins, async |db: Database| {
    let reaper = Reaper::new(&db);
    let remove = |contact: &str| json!({"kind": "remove", "of": "membership", "accountId": "1", "segmentId": "4", "contactId": contact});
    let note = json!({"kind": "activity", "accountId": "1", "id": "13", "type": "note", "timestamp": days_ago(1), "associations": []});
    let no_note = json!({"kind": "remove", "of": "activity", "accountId": "1", "id": "13"});
    let records = [
        &entitled_account(1)[..],
        &[
            segment(1, 4, &[1, 2, 3]),
            remove("1"),
            contact(1, 1, json!({"city": "A"})),
            note.clone(),
            no_note.clone(),
        ],
        &[
            contact(1, 1, json!({"city": "B"})),
            segment(1, 4, &[1, 2]),
            remove("2"),
            remove("3"),
            no_note,
            note,
        ],
    ];
    reaper.import(&records.concat()).await;
    assert_eq!(reaper.contact(1, 1).await["properties"]["city"], "B");
    let members = "SELECT CAST(contact_id AS text) FROM segment_members ORDER BY contact_id";
    assert_eq!(db.rows(members).await, [["1"]]);
    assert_eq!(db.count("activities", "activity_id = 13").await, 1);
});

on_both!(an_enrollment_older_than_a_restore_is_stored_as_ended, async |db: Database| {
    let reaper = Reaper::new(&db);
    // Enrolled two days ago.
    let again = [contact(1, 1, json!({})), enrollment(1, 6, 1, true), segment(1, 4, &[1])];
    reaper.import(&[&entitled_account(1)[..], &[manual_workflow(1, 6)], &again].concat()).await;
    assert_eq!(reaper.contact(1, 1).await["visible"]["workflows"], json!(["6"]));
    reaper.delete(1, 1).await;
    reaper.restore(1, 1).await;
    reaper.import(&again).await;
    assert_eq!(reaper.contact(1, 1).await["visible"]["workflows"], json!([]));
    // One that it does not know yet is as old.
    reaper.import(&[enrollment(1, 7, 1, true)]).await;
    assert_eq!(reaper.contact(1, 1).await["visible"]["workflows"], json!([]));
    assert_eq!(db.count("workflow_enrollments", "NOT active").await, 2);
    // One made after the restore is in force; a margin of five seconds is for clocks that differ.
    let mut later = enrollment(1, 8, 1, true);
    later["enrolledAt"] = json!(crate::support::records::seconds_ago(-60));
    reaper.import(&[later]).await;
    assert_eq!(reaper.contact(1, 1).await["visible"]["workflows"], json!(["8"]));
});
