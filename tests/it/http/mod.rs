//! Over HTTP: who gets in, and that what is asked there is what the commands do.

mod api;
mod changes;
mod chromium;
mod conformance;
mod crm;
mod doors;
mod legal_holds;
mod manners;
pub mod pages;
mod permissions;
mod retention;
mod search;
mod tokens;

use serde_json::{Value, json};

use crate::support::records::{contact, entitled_account, user};
use crate::support::{Answered, Asking, Broker, DEADLINE, Database, Reaper, Worker, wait_until};

/// A store with people in it, and the service that serves it, its feed at rest.
pub struct Scene {
    pub db: Database,
    pub reaper: Reaper,
    pub worker: Worker,
}

impl Scene {
    /// Account 1 with its administrator, users 2 to 4 with *View*, 2 with *Delete* and *Permanently delete* too, 3 with
    /// *Bulk delete* too, 5 with nothing; account 2 with
    /// its own administrator; contacts 1 to 9 in the first and 1 in the second; and these records.
    pub async fn new(db: Database, records: &[Value]) -> Self {
        // A broker that is away: the service serves all the same.
        Self::with(db, records, &[("feed.rabbitmq.url", "amqp://127.0.0.1:1/".to_owned())]).await
    }

    /// As [`Scene::new`], with the service on this broker.
    pub async fn on(broker: &Broker, db: Database, records: &[Value]) -> Self {
        Self::with(db, records, &broker.settings()).await
    }

    async fn with(db: Database, records: &[Value], settings: &[(&str, String)]) -> Self {
        let mut reaper = Reaper::new(&db).unguarded();
        for (key, value) in settings {
            reaper = reaper.setting(key, value);
        }
        let mut all = entitled_account(1);
        all.extend(entitled_account(2));
        all.extend([
            user(1, 2, &["view", "delete", "permanently_delete"]),
            user(1, 3, &["view", "bulk_delete"]),
            user(1, 4, &["view"]),
            user(1, 5, &[]),
        ]);
        all.extend(
            (1..=9).map(|id| contact(1, id, json!({"firstname": "Ada", "lastname": format!("No {id}")}))),
        );
        all.push(contact(2, 1, json!({"firstname": "Stranger"})));
        all.extend_from_slice(records);
        reaper.import(&all).await;
        let worker = serving(&reaper).await;
        Self { db, reaper, worker }
    }

    /// A token of a user of account 1.
    pub async fn token(&self, user: &str) -> String {
        self.token_of("1", user).await
    }

    pub async fn token_of(&self, account: &str, user: &str) -> String {
        let made = self.reaper.json(&["tokens", "create", "--account", account, "--user", user]).await;
        made["token"].as_str().expect("a token").to_owned()
    }

    pub async fn get(&self, token: &str, path: &str) -> Answered {
        self.worker.ask(&Asking::get(&format!("/api/v1{path}")).showing(token)).await
    }

    pub async fn post(&self, token: &str, path: &str, document: &Value) -> Answered {
        self.worker.ask(&Asking::post(&format!("/api/v1{path}"), document).showing(token)).await
    }
}

/// The service, once it serves.
async fn serving(reaper: &Reaper) -> Worker {
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_listening().await;
    let started = async || worker.get("/startupz").await.0 == 200;
    wait_until("the start is finished", DEADLINE, started).await;
    worker
}
