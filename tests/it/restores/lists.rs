//! Lists: who may, and that each contact is restored or refused by itself.

use serde_json::{Value, json};

use super::{contacts, document, linked, preview_of, restore, restore_list, restored, texts, trashed, with};
use crate::support::records::contact;
use crate::support::{Database, on_both};

on_both!(one_contact_takes_delete_and_several_take_bulk_delete, async |db: Database| {
    let reaper = with(&db, &[trashed(1, 3, &[]), trashed(2, 3, &[])]).await;
    let before = db.dump(&[]).await;
    let run = ["--workflow", "6", "--since", "2026-01-01T00:00:00Z"];
    for (who, may_one, may_many) in
        [("2", true, false), ("3", false, true), ("4", true, true), ("5", false, false)]
    {
        for (what, may, permission) in [
            (&["--contact", "1"][..], may_one, "(delete)"),
            // The same one twice is one.
            (&["--contact", "1", "--contact", "1"], may_one, "(delete)"),
            (&["--contact", "1", "--contact", "2"], may_many, "(bulk_delete)"),
            (&["--contact", "1", "2"], may_many, "(bulk_delete)"),
            (&run, may_many, "(bulk_delete)"),
        ] {
            let output = reaper.run(&[&restore(who, what)[..], &["--preview"]].concat()).await;
            assert_eq!(output.code, i32::from(!may), "{who} {what:?}: {}", output.stderr);
            if !may {
                let said = reaper.refused(&restore(who, what)).await;
                assert!(said.contains(permission) && said.contains("(super_admin)"), "{what:?}: {said}");
            }
        }
    }
    db.assert_unchanged_since(&before).await;
    for (who, what) in [("2", &["--contact", "1"][..]), ("3", &["--contact", "2", "1"])] {
        reaper.run(&restore(who, what)).await;
    }
    assert_eq!((reaper.state(1, 1).await, reaper.state(1, 2).await), ("live".to_owned(), "live".to_owned()));
});

/// Contacts 1, 2 and 3 can come back; 9 and 8 share an address, as do 10 and 7, which lives.
const LIST: [i64; 12] = [3, 20, 9, 4, 5, 6, 99, 10, 8, 1, 7, 2];

async fn mixed(db: &Database) -> crate::support::Reaper {
    let reaper = with(db, &[trashed(5, 91, &[]), contact(1, 6, json!({}))]).await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "6", "--confirm", "1"]).await;
    reaper
        .import(&[
            trashed(1, 3, &[]),
            trashed(2, 3, &[]),
            trashed(3, 89, &[]),
            trashed(4, 91, &[]),
            contact(1, 7, json!({"email": "seven@example.com"})),
            trashed(8, 3, &["other@example.com", "Shared@example.com"]),
            trashed(9, 3, &["shared@EXAMPLE.com"]),
            trashed(10, 3, &["ten@example.com", "SEVEN@example.com"]),
            contact(1, 20, json!({})),
        ])
        .await;
    reaper
}

/// What must be refused of them: the contact, why, who is in the way, and a word that tells what to do or why not.
const REFUSED: [(i64, &str, Option<&str>, &str); 8] = [
    (20, "not_in_trash", None, "not in the trash"),
    (4, "expired", None, "90 days"),
    (5, "purged", None, "create a new contact"),
    (6, "erased", None, "erased"),
    (99, "unknown", None, "no contact 99"),
    (10, "address_held", Some("7"), "contact 7 holds"),
    (8, "address_held", Some("9"), "contact 9 holds"),
    (7, "not_in_trash", None, "not in the trash"),
];

fn assert_refused(refused: &Value) {
    let rows: Vec<(Value, Value, Option<&str>)> = refused
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["contactId"].clone(), row["reason"].clone(), row["heldBy"].as_str()))
        .collect();
    let expected = REFUSED.map(|(id, reason, held_by, _)| (json!(id.to_string()), json!(reason), held_by));
    assert_eq!(rows, expected);
    for (row, (id, _, _, word)) in refused.as_array().unwrap().iter().zip(REFUSED) {
        let said = row["message"].as_str().unwrap();
        assert!(said.contains(word) && said.contains(&format!("contact {id}")), "{said}");
    }
}

on_both!(each_contact_of_a_list_is_restored_or_refused_by_itself, async |db: Database| {
    let reaper = mixed(&db).await;
    let before = db.dump(&[]).await;
    let ids = LIST.map(|id| id.to_string());
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let what = [&["--contact"], &ids[..]].concat();
    let preview = preview_of(&reaper, "1", &what).await;
    assert_refused(&preview["refused"]);
    let would: Vec<&Value> =
        preview["contacts"].as_array().unwrap().iter().map(|it| &it["contactId"]).collect();
    assert_eq!(json!(would), texts(&[3, 9, 1, 2]));
    assert_eq!(preview["restorable"], 4);
    let blocked =
        json!({"address_held": 2, "erased": 1, "expired": 1, "not_in_trash": 2, "purged": 1, "unknown": 1});
    assert_eq!(preview["blocked"], blocked);
    db.assert_unchanged_since(&before).await;

    let output = restored(&reaper, "1", &what).await;
    assert_eq!(output.code, 1);
    let report = document(&output);
    assert_eq!(report["restored"], texts(&[3, 9, 1, 2]));
    assert_refused(&report["refused"]);
    assert!(output.stderr.contains("8 of 12 contacts"), "{}", output.stderr);
    for id in [1, 2, 3, 9] {
        assert_eq!(reaper.state(1, id).await, "live");
    }
    for id in [4, 8, 10] {
        assert_eq!(reaper.state(1, id).await, "in_trash");
    }
    let audit = reaper.json(&["audit", "list", "--account", "1", "--limit", "1"]).await;
    assert_eq!(
        [&audit[0]["action"], &audit[0]["actor"], &audit[0]["ids"]],
        [&json!("restore"), &json!("user:1"), &texts(&[3, 9, 1, 2])]
    );
    assert_eq!(db.count("outbox", "type = 'contact.restore'").await, 4);
    assert_eq!(db.count("trash_entries", "closed_as = 'restored'").await, 4);

    // Once the one in the way is gone, the other may come.
    reaper.delete(1, 9).await;
    assert_eq!(restore_list(&reaper, &[8]).await.code, 0);
});

on_both!(people_read_what_came_back_and_why_the_rest_did_not, async |db: Database| {
    let reaper = mixed(&db).await;
    let output = reaper.run(&["restore", "--account", "1", "--as", "1", "--contact", "1", "4", "2"]).await;
    assert_eq!(output.code, 1);
    for word in ["2 contacts are back", "expired", "contact 4 was deleted at"] {
        assert!(output.stdout.contains(word), "{word}: {}", output.stdout);
    }
    // One that is asked for alone is refused in one sentence.
    let said = reaper
        .refused(&["restore", "--account", "1", "--as", "1", "--contact", "10", "--contact", "10"])
        .await;
    assert!(said.contains("contact 10 cannot be restored: contact 7 holds"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
});

on_both!(a_list_longer_than_a_batch_is_decided_as_one_list, async |db: Database| {
    // The last one shares the address of the first, and comes with another batch.
    let mut records: Vec<Value> = (2..=501).map(|id| trashed(id, 3, &[])).collect();
    records.extend([trashed(1, 3, &["same@example.com"]), trashed(502, 3, &["Same@example.com"])]);
    records.extend([linked(("contact", 1), ("contact", 501)), linked(("contact", 2), ("contact", 502))]);
    let reaper = with(&db, &records).await;
    let ids: Vec<i64> = (1..=502).collect();
    let before = db.dump(&[]).await;
    let what = contacts(&ids);
    let what: Vec<&str> = what.iter().map(String::as_str).collect();
    let preview = preview_of(&reaper, "1", &what).await;
    assert_eq!((&preview["restorable"], &preview["truncated"]), (&json!(501), &json!(true)));
    assert_eq!(preview["blocked"], json!({"address_held": 1}));
    assert_eq!(preview["refused"][0]["heldBy"], "1");
    assert_eq!(preview["contacts"].as_array().unwrap().len(), 500);
    // 501 comes back with a later batch, 502 does not.
    assert_eq!(preview["contacts"][0]["missing"], json!([]));
    assert_eq!(
        preview["contacts"][1]["missing"],
        json!([{"type": "contact", "id": "502", "state": "in_trash"}])
    );
    db.assert_unchanged_since(&before).await;

    let output = restore_list(&reaper, &ids).await;
    let report = document(&output);
    assert_eq!((output.code, report["restored"].as_array().unwrap().len()), (1, 501));
    assert_eq!(
        [&report["refused"][0]["contactId"], &report["refused"][0]["heldBy"]],
        [&json!("502"), &json!("1")]
    );
    assert_eq!(db.count("contacts", "deleted_at IS NULL").await, 501);
    assert_eq!(db.count("contact_emails", "live").await, 501);
    assert_eq!(db.count("outbox", "type = 'contact.restore'").await, 501);
    assert_eq!(db.count("audit", "action = 'restore'").await, 2);
});

on_both!(a_legal_hold_is_in_no_restores_way, async |db: Database| {
    let reaper = with(&db, &[trashed(1, 3, &[]), trashed(2, 3, &[])]).await;
    reaper.json(&["legal-hold", "set", "--account", "1", "--contact", "1", "--reason", "case 5"]).await;
    let output = restore_list(&reaper, &[1, 2]).await;
    assert_eq!((output.code, &document(&output)["restored"]), (0, &texts(&[1, 2])));
    assert_eq!(db.count("legal_holds", "contact_id = 1").await, 1);
});

on_both!(a_company_follows_all_of_a_list_at_once, async |db: Database| {
    let company = |id: &str, stage: &str| json!({"kind": "company", "accountId": "1", "id": id, "properties": {"lifecyclestage": stage}});
    let person = |id: i64, stage: &str| contact(1, id, json!({"lifecyclestage": stage}));
    // 21 of a customer and a lead, 22 of a subscriber and a lead, 23 set by hand.
    let mut records =
        vec![person(1, "customer"), person(2, "lead"), person(3, "subscriber"), company("21", "customer")];
    records.extend([company("22", "lead"), company("23", "partner")]);
    for (contact, company) in [(1, 21), (2, 21), (2, 22), (3, 22), (1, 23), (3, 23)] {
        records.push(linked(("contact", contact), ("company", company)));
    }
    let reaper = with(&db, &records).await;
    let stages = async || {
        let sql = "SELECT CAST(object_id AS text), coalesce(properties ->> 'lifecyclestage', 'none') FROM objects \
                   ORDER BY object_id";
        db.rows(sql).await.into_iter().map(|row| row.join(" ")).collect::<Vec<_>>()
    };
    for id in [1, 2, 3] {
        reaper.delete(1, id).await;
    }
    assert_eq!(stages().await, ["21 none", "22 none", "23 partner"]);
    let preview = preview_of(&reaper, "1", &["--contact", "3", "2"]).await;
    let change = |id: &str, to: &str| json!({"companyId": id, "from": null, "to": to});
    assert_eq!(preview["companies"], json!([change("21", "lead"), change("22", "lead")]));
    assert_eq!(restore_list(&reaper, &[3, 2]).await.code, 0);
    assert_eq!(stages().await, ["21 lead", "22 lead", "23 partner"]);
    assert_eq!(restore_list(&reaper, &[1]).await.code, 0);
    assert_eq!(stages().await, ["21 customer", "22 lead", "23 partner"]);
});
