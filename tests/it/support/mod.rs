//! What the integration tests stand on: stores, a broker, the real binary as a process, and records to feed it.
//!
//! The servers come from `tests/run.sh`, which says where they are in the environment.

mod broker;
pub mod chromium;
mod database;
pub mod every_category;
pub mod every_kind;
mod http;
mod json_schema;
mod mail_server;
pub mod messages;
mod process;
mod proxy;
mod reaper;
pub mod records;
mod servers;
mod tables;
mod verbs;
mod worker;

pub use broker::Broker;
pub use database::Database;
pub use http::{Answered, Asking, encoded};
pub use json_schema::complaints;
pub use mail_server::MailServer;
pub use process::{Process, run_to_end};
pub use proxy::{Direction, Proxy};
pub use reaper::{Output, Reaper};
pub use servers::{Servers, signal_postgres};
pub use worker::Worker;

use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use contact_reaper::domain::dead_letter::{Arrived, Origin};
use contact_reaper::domain::enrollment::NewEnrollment;
use contact_reaper::domain::guard::{AccountLimits, Limits, WorkflowLimits};
use contact_reaper::ports::{Decided, Message};
use contact_reaper::store::import::{Import, ImportReport, Pace, Progress, Source};
use contact_reaper::store::retention::{Locked, Sweep, Target};
use contact_reaper::store::{Rules, Store, StoreError};
use serde_json::Value;

/// The rules of decisions as the settings come, with a guard that is out of the way.
pub const UNGUARDED: Rules = Rules {
    ledger_retention: Duration::from_hours(120 * 24),
    wait_for_contact: Duration::ZERO,
    announce_refusals: false,
    limits: Limits {
        workflow: WorkflowLimits { max_deletions: u64::MAX, window: Duration::from_hours(1) },
        account: AccountLimits {
            max_deletions: u64::MAX,
            max_share: 1.0,
            min_contacts: 0,
            window: Duration::from_hours(1),
        },
    },
};

/// Imports as the command does.
pub async fn import(store: &Store, records: &[Value]) -> Result<(), StoreError> {
    import_at(store, records, Pace::default(), &mut |_| {}).await.map(drop)
}

/// As [`import`], in chunks of this size; `between` is called after each.
pub async fn import_at(
    store: &Store,
    records: &[Value],
    pace: Pace,
    between: &mut (dyn FnMut(Progress) + Send),
) -> Result<ImportReport, StoreError> {
    let source = Source::copy(records::lines(records).as_bytes()).expect("a copy of the records");
    store.import(Import { source: &source, operator: "me", pace, ends_others: false }, between).await
}

/// Decides as the pipeline does; nothing is known of the messages that these came in.
pub async fn decide(store: &Store, batch: &[NewEnrollment]) -> Result<Vec<Decided>, StoreError> {
    static NOWHERE: LazyLock<Origin> = LazyLock::new(|| Origin::place("test".into(), String::new()));
    let arrived = Arrived { body: b"", origin: &NOWHERE, attempts: 0, trace: None, may_repeat: false };
    let message = |enrollment: &NewEnrollment| Message { event: Ok(enrollment.clone()), arrived };
    store.decide(&batch.iter().map(message).collect::<Vec<_>>(), &UNGUARDED).await
}

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(50);

/// One test on both databases: `on_both!(name, async |db: Database| { … });` makes the tests `name::postgres`
/// and `name::sqlite`, each on a store of its own.
macro_rules! on_both {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                ($test)($crate::support::Database::postgres().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                ($test)($crate::support::Database::sqlite()).await;
            }
        }
    };
}

pub(crate) use on_both;

/// A batch of the purge, as a person's run without a record does it.
pub fn sweep() -> Sweep<'static> {
    Sweep {
        job: "purge_trash",
        target: Target::Trash,
        after: Duration::from_hours(90 * 24),
        limit: 10,
        locked: Locked::Skip,
        lease: None,
        failed_before: None,
        run: None,
    }
}

/// Longer than anything takes that is waited for, also where the machine is slow and busy.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// Waits until a condition holds; at the deadline the test fails with `what` it had waited for.
pub async fn wait_until(what: &str, deadline: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < deadline, "not within {deadline:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// The verdict of `promtool check metrics`: empty where it has nothing to say against the text.
pub fn metrics_complaints(metrics: &str) -> String {
    let mut command = std::process::Command::new(server("TEST_PROMTOOL"));
    let output = process::run_to_end(command.args(["check", "metrics"]), metrics.to_owned());
    if output.code == 0 { output.stderr } else { format!("exit {}: {}", output.code, output.stderr) }
}

/// Where `tests/run.sh` has put one of the servers.
pub fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run the tests with tests/run.sh, which starts the servers")
    })
}

/// Runs `rabbitmqctl` for the broker of the test run, with a text on standard input; it must succeed.
pub async fn rabbitmqctl(args: &[&str], input: &str) {
    let mut command = std::process::Command::new(server("TEST_RABBITMQCTL"));
    command.args(args);
    let input = input.to_owned();
    let run = tokio::task::spawn_blocking(move || process::run_to_end(&mut command, input));
    let output = run.await.expect("it runs");
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

/// The broker of the test run, over TLS.
pub fn amqps_url() -> String {
    server("TEST_AMQPS_URL")
}

/// The path of a certificate or a key that `tests/run.sh` has made.
pub fn tls_file(name: &str) -> String {
    format!("{}/{name}", server("TEST_TLS"))
}

/// A name that no other test has, now or earlier, on servers that live through many runs.
fn unique_name() -> String {
    format!("t_{:016x}", RandomState::new().hash_one(()))
}

/// A directory of the test's own, gone with it.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(unique_name());
        std::fs::create_dir(&path).expect("a fresh temporary directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
