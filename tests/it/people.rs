//! `delete` and `restore`: who may, what is refused, and that a refusal leaves no trace.

use serde_json::{Value, json};

use crate::support::records::{
    ADMIN, account, contact, days_ago, entitled_account, lines, seconds_ago, user,
};
use crate::support::{Database, Reaper, on_both};

/// The seconds of 90 days.
const NINETY_DAYS: i64 = 90 * 24 * 60 * 60;

/// Contact 2, in the trash since then.
fn archived(at: &str) -> Value {
    let mut record = contact(1, 2, json!({}));
    record["archived"] = json!(true);
    record["archivedAt"] = json!(at);
    record
}

/// Account 1 with contact 1, its administrator, user 2 with *Delete*, 3 with *Bulk delete*, 4 with *Super admin*,
/// 5 with nothing; account 2 with an administrator 9 of its own; and these.
async fn with(db: &Database, records: &[Value]) -> Reaper {
    let reaper = Reaper::new(db);
    let mut all = entitled_account(1);
    all.extend([contact(1, 1, json!({})), account(2), user(2, 9, &["super_admin"])]);
    for (id, permissions) in
        [(2, vec!["delete"]), (3, vec!["bulk_delete"]), (4, vec!["super_admin"]), (5, vec![])]
    {
        all.push(user(1, id, &permissions));
    }
    all.extend_from_slice(records);
    reaper.import(&all).await;
    reaper
}

fn delete<'a>(user: &'a str, contact: &'a str) -> [&'a str; 9] {
    ["delete", "--account", "1", "--as", user, "--contact", contact, "--confirm", "1"]
}

fn restore<'a>(user: &'a str, contact: &'a str) -> [&'a str; 7] {
    ["restore", "--account", "1", "--as", user, "--contact", contact]
}

on_both!(delete_or_super_admin_may_delete_and_restore_by_id_or_address_in_any_case, async |db: Database| {
    let reaper = with(&db, &[]).await;
    for (user, id) in
        [("2", "2"), ("4", "4"), ("USER2@Account1.EXAMPLE", "2"), (" user4@account1.example ", "4")]
    {
        reaper.json(&delete(user, "1")).await;
        let trash = reaper.contact(1, 1).await["trash"].clone();
        assert_eq!(trash["deletedBy"], json!({"kind": "user", "userId": id}), "{user}");
        reaper.json(&restore(user, "1")).await;
        assert_eq!(reaper.state(1, 1).await, "live");
    }
});

on_both!(without_the_permission_nothing_happens_and_the_permission_is_named, async |db: Database| {
    let reaper = with(&db, &[archived(&days_ago(3))]).await;
    let before = db.dump(&[]).await;
    for user in ["3", "5", "user3@account1.example"] {
        for said in [reaper.refused(&delete(user, "1")).await, reaper.refused(&restore(user, "2")).await] {
            assert!(said.contains("(delete)") && said.contains("(super_admin)"), "{said}");
        }
    }
    // A user of another account, and nobody at all.
    for user in ["9", "user9@account2.example", "77", "nobody@example.com"] {
        for said in [reaper.refused(&delete(user, "1")).await, reaper.refused(&restore(user, "2")).await] {
            assert!(said.contains("no such user") && said.contains("by id or e-mail address"), "{said}");
        }
    }
    db.assert_unchanged_since(&before).await;
});

on_both!(a_wrong_count_deletes_nothing, async |db: Database| {
    let reaper = with(&db, &[]).await;
    let before = db.dump(&[]).await;
    let admin = ADMIN.to_string();
    let args = delete(&admin, "1");
    for count in ["0", "2", "100"] {
        let said = reaper.refused(&[&args[..8], &[count]].concat()).await;
        assert!(said.contains(count) && said.contains("nothing was deleted"), "{said}");
    }
    for args in [&args[..7], &[&args[..8], &["all"]].concat(), &[&args[..8], &["-1"]].concat()] {
        assert_eq!(reaper.run(args).await.code, 2, "{args:?}");
    }
    db.assert_unchanged_since(&before).await;
});

on_both!(what_is_not_there_to_delete_or_restore_is_named_with_its_state, async |db: Database| {
    let reaper = with(&db, &[archived(&days_ago(91))]).await;
    let purged = reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(purged["jobs"][0]["deleted"], 1);
    reaper.import(&[contact(1, 3, json!({}))]).await;
    reaper.delete(1, 3).await;
    let before = db.dump(&[]).await;
    for (args, contact, why) in [
        (&delete("2", "3")[..], "contact 3", "in the trash already"),
        (&restore("2", "1"), "contact 1", "not in the trash"),
        (&delete("2", "2"), "contact 2", "purged"),
        (&restore("2", "2"), "contact 2", "purged"),
        (&delete("2", "8"), "contact 8", "no contact"),
        (&restore("2", "8"), "contact 8", "no contact"),
    ] {
        let said = reaper.refused(args).await;
        assert!(said.contains(contact) && said.contains(why), "{args:?}: {said}");
    }
    db.assert_unchanged_since(&before).await;
});

on_both!(a_contact_is_not_restored_while_a_live_one_holds_one_of_its_addresses, async |db: Database| {
    let mut trashed = archived(&days_ago(3));
    trashed["properties"]["email"] = json!("Ä@example.com");
    trashed["additionalEmails"] = json!(["second@example.com"]);
    let reaper = with(&db, &[trashed]).await;
    let holder = |id: i64, primary: &str, additional: &[&str]| {
        let mut record = contact(1, id, json!({ "email": primary }));
        record["additionalEmails"] = json!(additional);
        record
    };
    for record in [
        holder(7, "ä@EXAMPLE.com", &[]),
        holder(7, "SECOND@example.com", &[]),
        holder(7, "x@example.com", &["ä@example.com"]),
        holder(7, "x@example.com", &["y@example.com", "second@example.com"]),
    ] {
        reaper.import(&[record]).await;
        let said = reaper.refused(&restore("2", "2")).await;
        assert!(said.contains("contact 7"), "{said}");
        assert_eq!(reaper.state(1, 2).await, "in_trash");
    }
    // Neither another account's address nor one in the trash is in the way.
    let mut elsewhere = contact(2, 7, json!({"email": "ä@example.com"}));
    elsewhere["accountId"] = json!("2");
    reaper.import(&[elsewhere]).await;
    reaper.delete(1, 7).await;
    reaper.restore(1, 2).await;
    // Of two contacts with one address the first restored has it.
    let said = reaper.refused(&restore("2", "7")).await;
    assert!(said.contains("contact 2"), "{said}");
    // And holds it: nobody else gets it.
    let said =
        reaper.refused_with_input(&["import", "-"], &lines(&[holder(8, "Second@Example.com", &[])])).await;
    assert!(said.contains("contact 2"), "{said}");
});

on_both!(a_contact_is_restored_within_ninety_days_and_not_after, async |db: Database| {
    let reaper = with(&db, &[archived(&seconds_ago(NINETY_DAYS + 60))]).await;
    let before = db.dump(&[]).await;
    let said = reaper.refused(&restore("2", "2")).await;
    assert!(said.contains("contact 2") && said.contains("90 days"), "{said}");
    db.assert_unchanged_since(&before).await;
});

on_both!(a_contact_is_restored_until_the_last_minute_of_ninety_days, async |db: Database| {
    let reaper = with(&db, &[archived(&seconds_ago(NINETY_DAYS - 60))]).await;
    reaper.json(&restore("2", "2")).await;
    assert_eq!(reaper.state(1, 2).await, "live");
});
