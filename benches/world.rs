//! Stores full of contacts, and the enrollments that are to delete them.

use serde_json::Value;

use crate::Args;
use crate::support::{Database, Reaper, records};

/// A store that measurements take copies of.
pub struct World {
    template: Database,
    size: Size,
}

/// What there is in a store.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub contacts: i64,
    pub accounts: i64,
    pub workflows: i64,
    /// Notes of each contact beyond its 11 related rows.
    pub more: i64,
    /// Bytes that an event has beyond the usual ones.
    pub padding: usize,
}

impl Size {
    pub fn of(args: &Args) -> Self {
        Self {
            contacts: args.contacts,
            accounts: args.accounts,
            workflows: args.workflows,
            more: 0,
            padding: args.padding,
        }
    }
}

/// A contact to be deleted, and by which enrollment.
#[derive(Clone, Copy, Debug)]
pub struct Enrolled {
    pub account: i64,
    pub workflow: i64,
    pub contact: i64,
    pub enrollment: i64,
    /// Bytes that the event has beyond the usual ones.
    pub padding: usize,
}

impl World {
    pub async fn load(size: Size) -> Self {
        let template = Database::postgres().await;
        let migrated = Reaper::new(&template).run(&["migrate"]).await;
        assert_eq!(migrated.code, 0, "{}", migrated.stderr);
        let flow = format!("'{}'", include_str!("workflow.json").replace('\'', "''"));
        let sql = include_str!("world.sql")
            .replace(":contacts", &size.contacts.to_string())
            .replace(":accounts", &size.accounts.to_string())
            .replace(":workflows", &size.workflows.to_string())
            .replace(":more", &size.more.to_string())
            .replace(":flow", &flow);
        template.execute(&sql).await;
        template.execute("VACUUM ANALYZE").await;
        Self { template, size }
    }

    /// A store of a measurement's own, with nothing left to be written.
    pub async fn copy(&self) -> Database {
        let copy = self.template.copy().await;
        copy.execute("CHECKPOINT").await;
        copy
    }

    /// The store itself, where it is too large for copies.
    pub fn into_store(self) -> Database {
        self.template
    }

    /// Enrollments of these contacts, each by its own.
    pub fn enrolled(&self, contacts: impl IntoIterator<Item = i64>) -> Vec<Enrolled> {
        let Size { accounts, workflows, padding, .. } = self.size;
        let enrolled = |contact| Enrolled {
            account: 1 + contact % accounts,
            workflow: 1 + contact / accounts % workflows,
            contact,
            enrollment: contact,
            padding,
        };
        contacts.into_iter().map(enrolled).collect()
    }
}

/// The event of an enrollment.
pub fn event(enrolled: &Enrolled) -> Value {
    let mut event =
        records::event(enrolled.account, enrolled.workflow, enrolled.contact, enrolled.enrollment);
    if enrolled.padding > 0 {
        event["comment"] = "x".repeat(enrolled.padding).into();
    }
    event
}
