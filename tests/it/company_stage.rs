//! The stage of a company, computed again when its contacts go and come back (row 15 of the matrix).

use serde_json::{Value, json};

use crate::support::records::{ADMIN, contact, entitled_account, user};
use crate::support::{Database, Reaper, on_both};

const ACCOUNT: i64 = 1;

fn company(id: i64, stage: Option<&str>) -> Value {
    let properties = stage.map_or_else(|| json!({"name": "C"}), |stage| json!({"lifecyclestage": stage}));
    json!({"kind": "company", "accountId": "1", "id": id.to_string(), "properties": properties})
}

fn linked(from: (&str, i64), to: (&str, i64)) -> Value {
    let end = |(kind, id): (&str, i64)| json!({"type": kind, "id": id.to_string()});
    json!({"kind": "association", "accountId": "1", "from": end(from), "to": end(to)})
}

async fn stages(db: &Database) -> Vec<Vec<String>> {
    db.rows(
        "SELECT CAST(object_id AS text), coalesce(properties ->> 'lifecyclestage', 'none') FROM objects \
         WHERE object_type = 'company' ORDER BY object_id",
    )
    .await
}

fn expected(stages: &[(i64, &str)]) -> Vec<Vec<String>> {
    stages.iter().map(|(id, stage)| vec![id.to_string(), (*stage).to_owned()]).collect()
}

on_both!(it_follows_the_contacts_that_live_and_the_deals, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = entitled_account(ACCOUNT);
    records.push(user(ACCOUNT, ADMIN, &["delete", "permanently_delete"]));
    records.push(contact(ACCOUNT, 11, json!({"lifecyclestage": "customer"})));
    records.push(contact(ACCOUNT, 12, json!({"lifecyclestage": "lead"})));
    // 21: a customer and a lead. 22: the customer alone. 23: the customer beside an open deal, the other way
    // round. 24: set by hand. 25: outside the list. 26: not the customer's.
    for (id, stage) in [
        (21, Some("customer")),
        (22, Some("customer")),
        (23, Some("customer")),
        (24, Some("evangelist")),
        (25, Some("partner")),
        (26, Some("lead")),
    ] {
        records.push(company(id, stage));
    }
    records.push(json!({"kind": "deal", "accountId": "1", "id": "31", "properties": {"dealstage": "open"}}));
    for company in [21, 22, 24, 25] {
        records.push(linked(("contact", 11), ("company", company)));
    }
    records.push(linked(("company", 23), ("contact", 11)));
    records.push(linked(("deal", 31), ("company", 23)));
    records.push(linked(("contact", 12), ("company", 21)));
    records.push(linked(("contact", 12), ("company", 26)));
    reaper.import(&records).await;

    let user = ADMIN.to_string();
    let deleted =
        reaper.run(&["delete", "--account", "1", "--as", &user, "--contact", "11", "--confirm", "1"]).await;
    assert_eq!(deleted.code, 0, "{}", deleted.stderr);
    let lowered =
        [(21, "lead"), (22, "none"), (23, "opportunity"), (24, "evangelist"), (25, "partner"), (26, "lead")];
    assert_eq!(stages(&db).await, expected(&lowered));

    let restored = reaper.run(&["restore", "--account", "1", "--as", &user, "--contact", "11"]).await;
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let as_before = [
        (21, "customer"),
        (22, "customer"),
        (23, "customer"),
        (24, "evangelist"),
        (25, "partner"),
        (26, "lead"),
    ];
    assert_eq!(stages(&db).await, expected(&as_before));
});

// Rule 1: the deletion leaves it, so the restore does, although it is the derived one by then.
on_both!(stage_set_by_hand_survives_a_deletion_and_a_restore, async |db: Database| {
    let reaper = Reaper::new(&db);
    let mut records = entitled_account(ACCOUNT);
    records.push(user(ACCOUNT, ADMIN, &["delete", "bulk_delete", "permanently_delete"]));
    records.push(contact(ACCOUNT, 11, json!({"lifecyclestage": "customer"})));
    records.push(contact(ACCOUNT, 12, json!({"lifecyclestage": "lead"})));
    // 21: an open deal makes it an opportunity without the customer. 22: without the customer there is none. 23: the lead that
    // stays makes it a lead.
    for (id, stage) in [(21, Some("opportunity")), (22, None), (23, Some("lead"))] {
        records.push(company(id, stage));
        records.push(linked(("contact", 11), ("company", id)));
    }
    records.push(json!({"kind": "deal", "accountId": "1", "id": "31", "properties": {"dealstage": "open"}}));
    records.push(linked(("deal", 31), ("company", 21)));
    records.push(linked(("contact", 12), ("company", 23)));
    reaper.import(&records).await;
    let by_hand = expected(&[(21, "opportunity"), (22, "none"), (23, "lead")]);

    let user = ADMIN.to_string();
    let run = async |arguments: &[&str]| {
        let output = reaper.run(&[arguments, &["--account", "1", "--as", &user]].concat()).await;
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert_eq!(stages(&db).await, by_hand, "{arguments:?}");
    };
    run(&["delete", "--contact", "11", "--confirm", "1"]).await;
    run(&["delete", "--contact", "12", "--confirm", "1"]).await;
    run(&["restore", "--contact", "12"]).await;
    run(&["restore", "--contact", "11"]).await;

    // Changed by an import it is computed again.
    reaper.import(&[company(21, Some("customer"))]).await;
    let deleted = ["delete", "--contact", "11", "--confirm", "1", "--account", "1", "--as", &user];
    assert_eq!(reaper.run(&deleted).await.code, 0);
    assert_eq!(stages(&db).await, expected(&[(21, "opportunity"), (22, "none"), (23, "lead")]));
    let restored = ["restore", "--contact", "11", "--account", "1", "--as", &user];
    assert_eq!(reaper.run(&restored).await.code, 0);
    assert_eq!(stages(&db).await, expected(&[(21, "customer"), (22, "none"), (23, "lead")]));
});
