//! What `import` does to contacts: their addresses, their state, and the trash, which it leaves alone.

use serde_json::{Value, json};

use crate::support::every_category::every_category;
use crate::support::records::{
    ADMIN, contact, days_ago, enrollment, entitled_account, lines, manual_workflow, segment,
};
use crate::support::{Database, Reaper, on_both};

/// A contact with an address.
fn contact_at(id: i64, address: &str) -> Value {
    contact(1, id, json!({ "email": address }))
}

/// The same, in the trash since then.
fn archived(id: i64, address: &str, at: &str) -> Value {
    let mut record = contact_at(id, address);
    record["archived"] = json!(true);
    record["archivedAt"] = json!(at);
    record
}

/// A store that holds an account with its administrator, a workflow that enrolls by hand, and these.
async fn with(db: &Database, records: &[Value]) -> Reaper {
    let reaper = Reaper::new(db);
    let mut all = entitled_account(1);
    all.push(manual_workflow(1, 6));
    all.extend_from_slice(records);
    reaper.import(&all).await;
    reaper
}

on_both!(an_archived_contact_arrives_in_the_trash_with_its_date, async |db: Database| {
    let reaper = with(&db, &[archived(2, "b@example.com", "2026-11-01T12:00:00+02:00")]).await;
    let entry = db.rows("SELECT CAST(entry_id AS text) FROM trash_entries").await[0][0].clone();
    let trash = json!({"entryId": entry, "deletedAt": "2026-11-01T10:00:00.000000Z",
        "purgeAt": "2027-01-30T10:00:00.000000Z", "deletedBy": {"kind": "import"}});
    let inspected = reaper.contact(1, 2).await;
    assert_eq!((&inspected["state"], &inspected["trash"]), (&json!("in_trash"), &trash));
    assert_eq!(inspected["properties"], json!({"email": "b@example.com"}));
});

on_both!(importing_again_never_changes_the_state_of_a_contact, async |db: Database| {
    let (live, trashed) = (contact_at(1, "a@example.com"), archived(2, "b@example.com", &days_ago(3)));
    let reaper = with(&db, &[live, trashed]).await;
    let before = reaper.contact(1, 2).await["trash"].clone();
    reaper.import(&[archived(1, "a@example.com", &days_ago(1)), contact_at(2, "b@example.com")]).await;
    assert_eq!(reaper.state(1, 1).await, "live");
    assert_eq!(reaper.contact(1, 2).await["trash"], before);
    // Nor does it after a restore, whatever the file still says.
    reaper.restore(1, 2).await;
    reaper.import(&[archived(2, "b@example.com", &days_ago(3))]).await;
    assert_eq!(reaper.state(1, 2).await, "live");
});

on_both!(an_address_belongs_to_one_live_contact_however_it_is_written, async |db: Database| {
    let mut first = contact_at(1, "Ä.Müller@Example.com");
    first["additionalEmails"] = json!(["other@example.com"]);
    let reaper = with(&db, &[first]).await;
    let before = db.dump(&[]).await;
    let mut by_another = contact_at(2, "new@example.com");
    by_another["additionalEmails"] = json!(["OTHER@example.com"]);
    for record in [contact_at(2, " ä.MÜLLER@example.com "), contact_at(2, "other@example.com"), by_another]
    {
        let said = reaper.refused_with_input(&["import", "-"], &lines(&[record])).await;
        assert!(
            said.contains("line 1: ") && said.contains("contact 2") && said.contains("contact 1"),
            "{said}"
        );
        assert!(!said.to_lowercase().contains("example.com"), "an error does not repeat addresses: {said}");
    }
    let twice = [contact_at(2, "x@example.com"), contact_at(3, "X@example.com")];
    let said = reaper.refused_with_input(&["import", "-"], &lines(&twice)).await;
    assert!(said.contains("line 2: ") && said.contains("contact 3") && said.contains("contact 2"), "{said}");
    db.assert_unchanged_since(&before).await;
});

on_both!(contacts_may_swap_addresses_within_a_file_wherever_its_lines_are, async |db: Database| {
    let reaper = with(&db, &[contact_at(1, "a@example.com"), contact_at(2, "b@example.com")]).await;
    let company = json!({"kind": "company", "accountId": "1", "id": "9", "properties": {}});
    reaper.import(&[contact_at(1, "b@example.com"), contact_at(2, "a@example.com")]).await;
    assert_eq!(reaper.contact(1, 1).await["properties"]["email"], "b@example.com");
    reaper.import(&[contact_at(1, "a@example.com"), company, contact_at(2, "b@example.com")]).await;
    assert_eq!(reaper.contact(1, 1).await["properties"]["email"], "a@example.com");
    // Both still hold theirs.
    for address in ["a@example.com", "b@example.com"] {
        reaper.refused_with_input(&["import", "-"], &lines(&[contact_at(3, address)])).await;
    }
});

on_both!(the_address_of_a_contact_in_the_trash_is_free, async |db: Database| {
    let reaper = with(&db, &[archived(1, "a@example.com", &days_ago(3))]).await;
    reaper.import(&[contact_at(2, "a@example.com")]).await;
    assert_eq!(reaper.state(1, 2).await, "live");
    let (account, user) = ("1", ADMIN.to_string());
    let said = reaper.refused(&["restore", "--account", account, "--as", &user, "--contact", "1"]).await;
    assert!(said.contains("contact 2"), "{said}");
});

on_both!(a_contact_in_the_trash_joins_no_segment_and_no_workflow_by_import, async |db: Database| {
    let reaper =
        with(&db, &[contact_at(1, "a@example.com"), archived(2, "b@example.com", &days_ago(3))]).await;
    reaper.delete(1, 1).await;
    let both = [segment(1, 4, &[1, 2, 3]), enrollment(1, 6, 1, true), enrollment(1, 6, 2, true)];
    // Contact 3 arrives in the trash after it was named.
    let after = [enrollment(1, 6, 3, true), archived(3, "c@example.com", &days_ago(3))];
    reaper.import(&[&both[..], &after[..]].concat()).await;
    assert_eq!(db.count("segment_members", "TRUE").await, 0);
    assert_eq!(db.count("workflow_enrollments", "active").await, 0);
    for id in [1, 2, 3] {
        reaper.restore(1, id).await;
        let visible = &reaper.contact(1, id).await["visible"];
        assert_eq!((&visible["segments"], &visible["workflows"]), (&json!([]), &json!([])));
    }
});

on_both!(records_of_a_purged_contact_are_skipped_and_counted, async |db: Database| {
    let reaper = with(&db, &[archived(1, "contact1@account1.example", &days_ago(91))]).await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(reaper.state(1, 1).await, "purged");

    let output = reaper.run_with_input(&["--json", "import", "-"], &lines(&every_category(1))).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    // Of contact 1 alone are: itself; 2 associations; call 13 and note 40 and e-mail 42 have another record and
    // stay; 1 notification, 1 enrollment, 2 conversations, 1 custom event, 2 analytics events, 1 feedback, 1 form
    // submission, 1 integration, 1 transition; activities 50 to 54; files 15 and 56; quote 17.
    assert_eq!(report["skipped"], json!(1 + 2 + 1 + 1 + 2 + 1 + 2 + 1 + 1 + 1 + 1 + 5 + 2 + 1));
    assert_eq!(reaper.state(1, 1).await, "purged");
    for (table, column) in [
        ("contacts", "contact_id"),
        ("contact_emails", "contact_id"),
        ("custom_events", "contact_id"),
        ("analytics_events", "contact_id"),
        ("conversations", "contact_id"),
        ("feedback", "contact_id"),
        ("form_submissions", "contact_id"),
        ("file_contacts", "contact_id"),
        ("integrations", "contact_id"),
        ("lifecycle_transitions", "contact_id"),
        ("segment_members", "contact_id"),
        ("notifications", "contact_id"),
        ("quote_contacts", "contact_id"),
        ("workflow_enrollments", "contact_id"),
    ] {
        assert_eq!(db.count(table, &format!("{column} = 1")).await, 0, "{table}");
    }
    for (table, condition) in [
        ("activity_associations", "object_type = 'contact' AND object_id = 1"),
        ("associations", "from_type = 'contact' AND from_id = 1"),
        ("associations", "to_type = 'contact' AND to_id = 1"),
        ("activities", "activity_id BETWEEN 50 AND 54"),
        ("files", "file_id IN (15, 56)"),
    ] {
        assert_eq!(db.count(table, condition).await, 0, "{table} where {condition}");
    }
    // The neighbour's came in.
    assert_eq!(reaper.contact(1, 3).await["visible"]["activities"], json!(["41", "60"]));
});
