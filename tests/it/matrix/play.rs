//! Steps, taken in the store and in the model alike; after each, both are compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use contact_reaper::domain::enrollment::parse_event;
use contact_reaper::domain::object_type::RecordKey;
use contact_reaper::store::privacy::erase::ErasureTarget;
use contact_reaper::store::records::DeleteRequest;
use contact_reaper::store::retention::{Locked, Sweep, Target};
use contact_reaper::store::views::pages::{Page, Subject};
use contact_reaper::store::{Operator, Store, StoreError};
use serde_json::{Value, json};

use super::deeds::Refusal;
use super::graph::{self, ACTIVITIES, COMPANIES, CONTACTS, DEALS, ONCE, SEGMENTS, TICKETS};
use super::model::{Account, Object};
use super::records::ACTIVITY;
use super::rows::stored;
use crate::support::records::{ADMIN, event, seconds_ago};
use crate::support::{Database, import};

/// Both have the same ids.
pub const ACCOUNTS: [i64; 2] = [1, 2];

/// How often what is shown is looked at, beside the rows: after every so many steps, and at the end.
const SHOWN_EVERY: usize = 8;

const DAY: Duration = Duration::from_hours(24);

/// One thing that happens, whatever the state is then. The first number is the account, the second the contact.
#[derive(Clone, Debug)]
pub enum Step {
    Import(i64, Vec<Value>),
    Delete(i64, i64),
    /// (workflow, enrollment), and whether it was made just now or an hour ago.
    Enroll(i64, i64, (i64, i64), bool),
    Restore(i64, i64),
    /// All that are named, in this order.
    RestoreAll(i64, Vec<i64>),
    Erase(i64, i64),
    EraseAddress(i64, &'static str),
    Hold(i64, i64),
    Lift(i64, i64),
    /// More than 90 days pass for a contact in the trash.
    Age(i64, i64),
    DeleteRecord(i64, Object),
    RestoreRecord(i64, Object),
    /// More than 90 days pass for a record in the trash.
    AgeRecord(i64, Object),
    Purge,
    ExpireNotifications,
    /// More than 30 days pass for all quotes of erased people, and the job runs.
    DeleteQuotes,
}

/// The store and the model of it.
pub struct Scene {
    db: Database,
    store: Store,
    model: BTreeMap<i64, Account>,
}

impl Scene {
    pub async fn new(db: Database) -> Self {
        let store = db.open_with(1);
        store.migrate().await.expect("the schema");
        for account in ACCOUNTS {
            import(&store, &graph::ground(account)).await.expect("an account");
        }
        let model = ACCOUNTS.map(|account| (account, Account::default())).into();
        Self { db, store, model }
    }

    /// Plays the steps; where the store and the model part, which step it was, and how they differ.
    pub async fn play(&mut self, steps: &[Step]) -> Result<(), (usize, String)> {
        for (number, step) in steps.iter().enumerate() {
            let differs = |what: String| (number, what);
            self.take(step).await.map_err(differs)?;
            // Imports in a row are looked at together.
            if matches!((step, steps.get(number + 1)), (Step::Import(..), Some(Step::Import(..)))) {
                continue;
            }
            self.compare_rows().await.map_err(differs)?;
            if number % SHOWN_EVERY == 0 || number + 1 == steps.len() {
                self.compare_shown().await.map_err(differs)?;
            }
        }
        self.store.close().await;
        Ok(())
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        let people = match step {
            Step::EraseAddress(id, address) => self.model[id].of_address(&address.to_lowercase()).len(),
            _ => 1,
        };
        let answer = self.in_the_store(step, people as u64).await;
        match (answer, self.in_the_model(step)) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(said), Err(why)) if said.is_refusal() && said.to_string().contains(&why) => Ok(()),
            (answer, expected) => Err(format!("the store answers {answer:?}, the matrix says {expected:?}")),
        }
    }

    fn account(&mut self, id: i64) -> &mut Account {
        self.model.get_mut(&id).expect("an account of ours")
    }

    fn in_the_model(&mut self, step: &Step) -> Result<(), Refusal> {
        match step {
            Step::Import(id, records) => self.account(*id).import(records),
            Step::Delete(id, contact) => self.account(*id).trash(*contact, "user"),
            Step::Enroll(id, contact, (workflow, enrollment), lately) => {
                self.account(*id).enroll(*enrollment, (*workflow, *contact), *workflow == ONCE, *lately);
                Ok(())
            }
            Step::Restore(id, contact) => self.account(*id).restore(*contact),
            Step::RestoreAll(id, contacts) => {
                self.account(*id).restore_all(contacts);
                Ok(())
            }
            Step::Erase(id, contact) => self.account(*id).erase(*contact),
            Step::EraseAddress(id, address) => self.account(*id).erase_address(&address.to_lowercase()),
            Step::Hold(id, contact) => self.account(*id).hold(*contact, true),
            Step::Lift(id, contact) => self.account(*id).hold(*contact, false),
            Step::Age(id, contact) => {
                if let Some(trash) =
                    self.account(*id).contacts.get_mut(contact).and_then(|it| it.trash.as_mut())
                {
                    trash.old = true;
                }
                Ok(())
            }
            Step::DeleteRecord(id, object) => self.account(*id).trash_record(object),
            Step::RestoreRecord(id, object) => self.account(*id).restore_record(object),
            Step::AgeRecord(id, object) => {
                if let Some(old) = self.account(*id).record_trash.get_mut(object) {
                    *old = true;
                }
                Ok(())
            }
            Step::Purge => {
                self.model.values_mut().for_each(Account::purge);
                self.model.values_mut().for_each(Account::purge_records);
                Ok(())
            }
            Step::ExpireNotifications => {
                self.model.values_mut().for_each(Account::expire_notifications);
                Ok(())
            }
            Step::DeleteQuotes => {
                self.model.values_mut().for_each(Account::delete_quotes);
                Ok(())
            }
        }
    }

    async fn in_the_store(&self, step: &Step, people: u64) -> Result<(), StoreError> {
        let (store, user) = (&self.store, ADMIN.to_string());
        let user = user.as_str();
        match step {
            Step::Import(_, records) => import(store, records).await,
            Step::Delete(account, contact) => store.delete_contact(*account, user, *contact).await.map(drop),
            Step::Enroll(account, contact, (workflow, enrollment), lately) => {
                let mut event = event(*account, *workflow, *contact, *enrollment);
                event["data"]["cause"] = json!("MANUAL");
                self.db.restored_a_while_ago().await;
                event["data"]["enrolledAt"] = json!(seconds_ago(if *lately { 0 } else { 3600 }));
                let event = parse_event(event.to_string().as_bytes()).expect("well-formed");
                crate::support::decide(store, &[event]).await.map(drop)
            }
            Step::Restore(account, contact) => store.restore_contact(*account, user, *contact).await,
            Step::RestoreAll(account, contacts) => {
                for contact in contacts {
                    match store.restore_contact(*account, user, *contact).await {
                        Ok(()) => {}
                        Err(error) if error.is_refusal() => {}
                        Err(other) => return Err(other),
                    }
                }
                Ok(())
            }
            Step::Erase(account, contact) => {
                store.erase(*account, user, &ErasureTarget::Contact(*contact), people).await.map(drop)
            }
            Step::EraseAddress(account, address) => {
                let address = ErasureTarget::Address((*address).to_owned());
                store.erase(*account, user, &address, people).await.map(drop)
            }
            Step::Hold(account, contact) => {
                let me = Operator::OfTheSystem("me".to_owned());
                store.set_legal_hold(*account, *contact, &me, "a case").await
            }
            Step::Lift(account, contact) => {
                let me = Operator::OfTheSystem("me".to_owned());
                store.lift_legal_hold(*account, *contact, &me).await
            }
            Step::Age(account, contact) => self.age(*account, *contact).await,
            Step::DeleteRecord(account, object) => {
                let (account_id, user) = (*account, user.to_owned());
                let records = vec![self.key(*account, object)];
                store.delete_records(&DeleteRequest { account_id, user, records, confirm: 1 }).await.map(drop)
            }
            Step::RestoreRecord(account, object) => {
                let records = [self.key(*account, object)];
                let mut done = store.restore_records(*account, user, &records).await?;
                done.refused.pop().map_or(Ok(()), |it| Err(StoreError::Refused(it.message)))
            }
            Step::AgeRecord(account, (kind, id)) => {
                self.age_record(*account, kind, *id).await;
                Ok(())
            }
            // The first sweep takes contacts, the second one what is left.
            Step::Purge => {
                self.sweep(Target::Trash, 90).await?;
                self.sweep(Target::Trash, 90).await
            }
            Step::ExpireNotifications => self.sweep(Target::Notifications, 30).await,
            Step::DeleteQuotes => {
                let old = "UPDATE quotes SET orphaned_at = '2020-01-01T00:00:00.000000Z' WHERE orphaned_at IS NOT NULL";
                self.db.execute(old).await;
                self.sweep(Target::Quotes, 30).await
            }
        }
    }

    async fn age(&self, account: i64, contact: i64) -> Result<(), StoreError> {
        let old = "deleted_at = '2020-01-01T00:00:00.000000Z'";
        let of = format!("account_id = {account} AND contact_id = {contact}");
        let contacts = format!("UPDATE contacts SET {old} WHERE {of} AND deleted_at IS NOT NULL");
        let entries = format!("UPDATE trash_entries SET {old} WHERE {of} AND closed_at IS NULL");
        self.db.execute(&format!("{contacts}; {entries}")).await;
        Ok(())
    }

    /// A record as commands name it. One that is not there is named all the same.
    fn key(&self, account: i64, object: &Object) -> RecordKey {
        let name = self.model[&account].name(object).unwrap_or_else(|| format!("note:{}", object.1));
        RecordKey::parse(&name).expect("a record")
    }

    async fn age_record(&self, account: i64, kind: &str, id: i64) {
        let old = "deleted_at = '2020-01-01T00:00:00.000000Z'";
        let (table, of, is_activity) = match kind {
            ACTIVITY => ("activities", format!("activity_id = {id}"), "is_activity"),
            _ => ("objects", format!("object_type = '{kind}' AND object_id = {id}"), "NOT is_activity"),
        };
        let rows = format!(
            "UPDATE {table} SET {old} WHERE account_id = {account} AND {of} AND deleted_at IS NOT NULL"
        );
        let is_of = if kind == ACTIVITY { String::new() } else { format!(" AND object_type = '{kind}'") };
        let entries = format!(
            "UPDATE record_trash_entries SET {old} WHERE account_id = {account} AND record_id = {id} AND {is_activity}{is_of} \
             AND closed_at IS NULL"
        );
        self.db.execute(&format!("{rows}; {entries}")).await;
    }

    async fn sweep(&self, target: Target, days: u32) -> Result<(), StoreError> {
        let sweep =
            Sweep { target, after: DAY * days, limit: 500, locked: Locked::Wait, ..crate::support::sweep() };
        self.store.sweep(&sweep).await?;
        Ok(())
    }

    async fn compare_rows(&self) -> Result<(), String> {
        for (id, account) in &self.model {
            let (stored, expected) = (stored(&self.db, *id).await, account.rows());
            for (table, expected) in expected {
                same(&format!("account {id}, table {table}"), &stored[table], &expected)?;
            }
        }
        Ok(())
    }

    async fn compare_shown(&self) -> Result<(), String> {
        for (id, account) in &self.model {
            for contact in 1..=i64::try_from(CONTACTS).expect("few") {
                let shown = self.store.contact(*id, contact).await.expect("a contact");
                let mut visible = json!(shown.visible);
                for members in visible.as_object_mut().expect("categories").values_mut() {
                    members.as_array_mut().expect("members").sort_by_key(ToString::to_string);
                }
                let by = shown.trash.map(|trash| trash["deletedBy"]["kind"].clone());
                let shown = json!({"state": shown.state, "properties": shown.properties, "deletedBy": by,
                    "visible": visible});
                same(
                    &format!("account {id}, contact {contact}"),
                    &[shown],
                    &[account.contact_view(contact)],
                )?;
            }
            for object in records() {
                let Some(name) = account.name(&object) else { continue };
                let shown = self.store.record(*id, &RecordKey::parse(&name).expect("a record")).await;
                let shown = shown.expect("a record");
                let mut visible = json!(shown.visible);
                for members in visible.as_object_mut().expect("categories").values_mut() {
                    members.as_array_mut().expect("members").sort_by_key(ToString::to_string);
                }
                let shown = json!({"state": shown.state, "visible": visible});
                same(&format!("account {id}, {name}"), &[shown], &[account.record_view(&object)])?;
            }
            for (page, subject, expected) in pages(account) {
                let shown = self.store.page(*id, Page::named(page).expect(page), &subject).await;
                let shown = shown.expect("a page").rows.into_iter().map(Value::Object).collect();
                let what = format!("account {id}, page {page} {subject:?}");
                same(&what, &sorted(shown), &sorted(expected))?;
            }
        }
        Ok(())
    }
}

/// Every record that is no contact.
fn records() -> Vec<Object> {
    let kinds = [("company", COMPANIES), ("deal", DEALS), ("ticket", TICKETS), (ACTIVITY, ACTIVITIES)];
    let of_kind = |(kind, count): (&str, usize)| {
        let kind = kind.to_owned();
        (1..=i64::try_from(count).expect("few")).map(move |id| (kind.clone(), id))
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

/// Every page, with what the model shows on it.
fn pages(account: &Account) -> Vec<(&'static str, Subject, Vec<Value>)> {
    let ids = |count: usize| 1..=i64::try_from(count).expect("few");
    let mut pages: Vec<_> = WHOLE.iter().map(|page| (*page, Subject::Account, account.page(page))).collect();
    for (kind, count) in [("contact", CONTACTS), ("company", COMPANIES), ("deal", DEALS), ("ticket", TICKETS)]
    {
        for object in ids(count).map(|id| (kind.to_owned(), id)) {
            let rows = account.timeline(&object);
            let (object_type, object_id): Object = object;
            pages.push(("timeline", Subject::Record { object_type, object_id }, rows));
        }
    }
    pages.extend(ids(COMPANIES).map(|id| ("company", Subject::Id(id), account.company(id))));
    pages.extend(ids(SEGMENTS).map(|id| ("segment", Subject::Id(id), account.segment(id))));
    pages
}

/// The pages about a whole account.
const WHOLE: [&str; 14] = [
    "calls",
    "tasks",
    "inbox",
    "feedback",
    "form-submissions",
    "files",
    "notifications",
    "quotes",
    "tickets",
    "contact-report",
    "engagement-report",
    "email-report",
    "sources-report",
    "form-report",
];

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(ToString::to_string);
    rows
}

/// Are both the same rows? If not, which are on one side only.
pub fn same<T: PartialEq + std::fmt::Display>(what: &str, found: &[T], expected: &[T]) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let mut difference = format!("{what}:");
    let (mut found, mut expected): (Vec<&T>, Vec<&T>) = (found.iter().collect(), expected.iter().collect());
    found.retain(|row| match expected.iter().position(|other| other == row) {
        Some(place) => {
            expected.remove(place);
            false
        }
        None => true,
    });
    for (title, rows) in [("only in the store", found), ("only in the matrix", expected)] {
        for row in rows {
            let _ = write!(difference, "\n  {title}: {row}");
        }
    }
    Err(difference)
}
