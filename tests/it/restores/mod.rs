//! `restore`: lists, the undoing of a bad run, what a preview says; races with what deletes for good.

mod addresses;
mod lists;
mod order;
mod preview;
mod races;
mod segments;
mod undo;

use serde_json::{Value, json};

use crate::support::records::{self, contact, days_ago};
use crate::support::{DEADLINE, Database, Output, Reaper, wait_until};

/// `restore` in account 1 as this user, of what the rest says.
fn restore<'a>(user: &'a str, what: &[&'a str]) -> Vec<&'a str> {
    [&["restore", "--account", "1", "--as", user], what].concat()
}

/// Has this user restore what the rest says, and answer in JSON.
async fn restored(reaper: &Reaper, user: &str, what: &[&str]) -> Output {
    reaper.run(&[&["--json"], &restore(user, what)[..]].concat()).await
}

/// What this user is told would come back.
async fn preview_of(reaper: &Reaper, user: &str, what: &[&str]) -> Value {
    reaper.json(&[&restore(user, what)[..], &["--preview"]].concat()).await
}

/// `--contact` and these ids.
fn contacts(ids: &[i64]) -> Vec<String> {
    ["--contact".to_owned()].into_iter().chain(ids.iter().map(i64::to_string)).collect()
}

/// Restores a list as the administrator, in this order.
async fn restore_list(reaper: &Reaper, ids: &[i64]) -> Output {
    let ids = contacts(ids);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    restored(reaper, "1", &ids).await
}

/// The one document on standard output.
fn document(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A contact of account 1 that is in the trash since so many days.
fn trashed(id: i64, days: i64, addresses: &[&str]) -> Value {
    let mut record = contact(1, id, json!({}));
    if let [primary, additional @ ..] = addresses {
        record["properties"]["email"] = json!(primary);
        record["additionalEmails"] = json!(additional);
    }
    record["archived"] = json!(true);
    record["archivedAt"] = json!(days_ago(days));
    record
}

/// Ids as the answers write them.
fn texts(ids: &[i64]) -> Value {
    ids.iter().map(i64::to_string).collect()
}

/// An association within account 1.
fn linked(from: (&str, i64), to: (&str, i64)) -> Value {
    let end = |(kind, id): (&str, i64)| json!({"type": kind, "id": id.to_string()});
    json!({"kind": "association", "accountId": "1", "from": end(from), "to": end(to)})
}

/// Account 1 with its administrator 1, user 2 with *Delete*, 3 with *Bulk delete*, 4 with *Super admin*, 5 with
/// nothing; and these.
async fn with(db: &Database, records: &[Value]) -> Reaper {
    let reaper = Reaper::new(db);
    let mut all = records::entitled_account(1);
    for (id, permissions) in
        [(2, vec!["delete"]), (3, vec!["bulk_delete"]), (4, vec!["super_admin"]), (5, vec![])]
    {
        all.push(records::user(1, id, &permissions));
    }
    all.extend_from_slice(records);
    reaper.import(&all).await;
    reaper
}

/// Does something while a deed of somebody else is done and not committed yet: it comes to wait for it.
pub async fn waiting_for<T>(db: &Database, deed: &str, something: impl Future<Output = T>) -> T {
    let held = format!("BEGIN; {deed}; SELECT pg_sleep(2); COMMIT");
    let sleeps = "datname = current_database() AND wait_event = 'PgSleep'";
    let something = async {
        wait_until("the deed is done", DEADLINE, async || db.count("pg_stat_activity", sleeps).await == 1)
            .await;
        something.await
    };
    tokio::join!(db.execute(&held), something).1
}
