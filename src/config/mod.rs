//! The settings: default < file < environment, validated whole.
//!
//! `config/default.toml` is the list of keys, their defaults and their manual. [`Settings::load`] lays the file and
//! the environment over it and answers with typed settings, or with *every* mistake in them. Only the command
//! line and the service see this module; every other room takes options of its own.

mod error;
mod layers;
mod read;
mod reader;
mod secret;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::schedule::Schedule;
pub use error::{ConfigError, ConfigErrors, Origin};
pub use layers::{DEFAULTS, Value};
pub use reader::Setting;
pub use secret::Secret;

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `store.*`
    pub store: Store,
    /// `feed.*`
    pub feed: Feed,
    /// `pipeline.*`
    pub pipeline: Pipeline,
    /// `events.*`
    pub events: Events,
    /// `ledger.*`
    pub ledger: Ledger,
    /// `dead_letters.*`
    pub dead_letters: DeadLetters,
    /// `guard.*`
    pub guard: Guard,
    /// `retention.*`
    pub retention: Retention,
    /// `scheduler.*`
    pub scheduler: Scheduler,
    /// `mail.*`
    pub mail: Mail,
    /// `privacy.*`
    pub privacy: Privacy,
    /// `http.*`
    pub http: Http,
    /// `traces.*`
    pub traces: Traces,
    /// `log.*`
    pub log: Log,
    described: Vec<Setting>,
}

impl Settings {
    /// Reads the defaults, then `file`, then the variables of `environment` that start with
    /// `CONTACT_REAPER_`.
    ///
    /// # Errors
    ///
    /// Every mistake there is, not only the first.
    pub fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut mistakes = ConfigErrors::default();
        let values = layers::merge_layers(file, environment, &mut mistakes);
        read::settings(reader::Reader::new(values, mistakes))
    }

    /// What `run` needs beyond what every command does.
    ///
    /// # Errors
    ///
    /// The mistake that only `run` minds.
    pub fn demand_a_feed(&self) -> Result<(), ConfigErrors> {
        let mut mistakes = ConfigErrors::default();
        if self.feed.kind == FeedKind::JsonLines && self.feed.jsonl.path.as_os_str().is_empty() {
            let key = "feed.jsonl.path";
            let origin = self.described.iter().find(|setting| setting.key == key);
            mistakes.push(ConfigError {
                key: key.to_owned(),
                origin: origin.map_or(Origin::Default, |setting| setting.origin.clone()),
                problem: "is empty".to_owned(),
                remedy: "name a file, or \"-\" for standard input, where feed.kind is \"jsonl\"".to_owned(),
            });
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// Every key with the value in force and where it came from, passwords hidden, in the order of
    /// `default.toml`.
    pub fn describe(&self) -> &[Setting] {
        &self.described
    }
}

/// The environment of this process, for [`Settings::load`]. Unlike [`std::env::vars`] it does not panic at a
/// variable that is not Unicode.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Which database a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// `sqlite://PATH`
    Sqlite,
    /// `postgres://…`
    Postgres,
}

/// Where everything is kept.
#[derive(Debug, Clone)]
pub struct Store {
    /// The database; the password stays inside.
    pub url: Secret,
    /// PostgreSQL's schema for the tables; none where the session's search path says.
    pub schema: Option<String>,
    /// Connections at most.
    pub max_connections: u32,
    /// Wait for a free connection.
    pub acquire_timeout: Duration,
    /// PostgreSQL's bound on one statement.
    pub statement_timeout: Duration,
    /// PostgreSQL's sessions remember statements.
    pub prepared_statements: bool,
    /// SQLite's wait for another writer.
    pub busy_timeout: Duration,
}

impl Store {
    /// The kind of database [`Store::url`] names.
    pub fn database(&self) -> Database {
        if self.url.expose().starts_with("sqlite:") { Database::Sqlite } else { Database::Postgres }
    }
}

/// Which feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedKind {
    /// A quorum queue.
    RabbitMq,
    /// A file of JSON Lines, or standard input.
    JsonLines,
}

/// Where enrollment events come from.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Which of the two below is used.
    pub kind: FeedKind,
    /// How long an enrollment waits for its contact to come.
    pub wait_for_contact: Duration,
    /// The broker.
    pub rabbitmq: RabbitMq,
    /// The embedded feed.
    pub jsonl: JsonLines,
}

/// The broker, and the names of everything in it.
#[derive(Debug, Clone)]
pub struct RabbitMq {
    /// The broker's address; the password stays inside.
    pub url: Secret,
    /// Authorities trusted beside the system's, where the URL asks for TLS.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate, and its key.
    pub client_identity: Option<(PathBuf, PathBuf)>,
    /// Exchange that producers publish to.
    pub exchange: String,
    /// Binds the queue to it.
    pub routing_key: String,
    /// The work queue.
    pub queue: String,
    /// Deliveries of one message before the broker dead-letters it.
    pub delivery_limit: u32,
    /// Start of the names of the retry queues.
    pub retry_queue_prefix: String,
    /// The rungs of the retry ladder, each longer than the one before; never empty.
    pub retry_delays: Vec<Duration>,
    /// Where the broker moves what used up its deliveries.
    pub dead_letter_queue: String,
    /// How long that waits there for a worker.
    pub dead_letter_retention: Duration,
    /// What happened is published here.
    pub events_exchange: String,
    /// Exchange that records are published to.
    pub records_exchange: String,
    /// Binds the queue of records to it.
    pub records_routing_key: String,
    /// The queue of records; empty: there is none.
    pub records_queue: String,
    /// Heartbeat, whole seconds.
    pub heartbeat: Duration,
    /// Bound on one attempt to connect.
    pub connect_timeout: Duration,
    /// Cap of the pause between attempts.
    pub max_reconnect_delay: Duration,
}

/// The embedded feed.
#[derive(Debug, Clone)]
pub struct JsonLines {
    /// The file; `-` is standard input. Empty unless this feed is used.
    pub path: PathBuf,
}

/// How enrollments are gathered into transactions.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Enrollments in a transaction at most.
    pub batch_size: usize,
    /// Messages taken and not yet acknowledged; never fewer than a batch.
    pub prefetch: u16,
    /// Batches in flight; already 1 where the store is SQLite.
    pub lanes: usize,
    /// Time to finish what is in hand when stopping.
    pub drain_timeout: Duration,
}

/// What was decided.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// How long decisions are kept.
    pub retention: Duration,
}

/// What leaves as an event, beside what always does.
#[derive(Debug, Clone, Copy)]
pub struct Events {
    /// Enrollments that are refused.
    pub refusals: bool,
    /// Contacts that are created or changed.
    pub record_changes: bool,
}

/// What could not be processed.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    /// How long it is kept in the store.
    pub retention: Duration,
}

/// The volume guard.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Limits of one workflow.
    pub workflow: WorkflowGuard,
    /// Limits of all workflows of an account.
    pub account: AccountGuard,
    /// Limits of one token of a program.
    pub api: ApiGuard,
}

/// Limits of one token of a program.
#[derive(Clone, Copy, Debug)]
pub struct ApiGuard {
    /// Deletions within the window.
    pub max_deletions: u32,
    /// The sliding window.
    pub window: Duration,
}

/// Limits of one workflow.
#[derive(Debug, Clone)]
pub struct WorkflowGuard {
    /// Deletions within the window.
    pub max_deletions: u32,
    /// The sliding window.
    pub window: Duration,
}

/// Limits of all workflows of an account.
#[derive(Debug, Clone)]
pub struct AccountGuard {
    /// Deletions within the window.
    pub max_deletions: u32,
    /// Deletions as a share of the account's contacts; 1 never trips.
    pub max_share: f64,
    /// The share counts only above this many contacts.
    pub min_contacts: u32,
    /// The sliding window.
    pub window: Duration,
}

/// What is removed for good.
#[derive(Debug, Clone)]
pub struct Retention {
    /// The trash.
    pub purge_trash: RetentionJob,
    /// Contacts may be purged before the 90 days for which they can be restored are over.
    pub allow_purge_within_restore_window: bool,
    /// Notifications about contacts.
    pub expire_notifications: RetentionJob,
    /// Quotes whose contact was erased.
    pub delete_quotes: RetentionJob,
    /// Feedback and form submissions of trashed contacts.
    pub expire_unlinked: RetentionJob,
    /// Decisions; how long they are kept is `ledger.retention`.
    pub prune_ledger: RetentionJob,
    /// The audit.
    pub prune_audit: RetentionJob,
    /// Events that nobody took.
    pub prune_outbox: RetentionJob,
    /// Dead letters; how long they are kept is `dead_letters.retention`.
    pub prune_dead_letters: RetentionJob,
    /// Enrollments that have waited long enough.
    pub wake_deferred: RetentionJob,
}

/// One job of retention.
#[derive(Debug, Clone)]
pub struct RetentionJob {
    /// Cron expression of five fields, in its own zone or that of all.
    pub schedule: Schedule,
    /// Age at which it removes.
    pub after: Duration,
    /// Rows in a transaction.
    pub batch_size: u32,
    /// A run stops after this many rows.
    pub max_per_run: u32,
    /// A run stops after this long.
    pub time_budget: Duration,
}

/// Who runs the jobs.
#[derive(Debug, Clone)]
pub struct Scheduler {
    /// Silence after which another runner takes over.
    pub lease: Duration,
    /// How much later than on time a job may start.
    pub jitter: Duration,
    /// Jobs wait while more enrollments than this do.
    pub max_pending_enrollments: u32,
    /// Jobs wait while a replica is further behind, in megabytes of the database's log.
    pub max_replication_lag_mb: u32,
}

/// Confirmation e-mails.
#[derive(Debug, Clone)]
pub struct Mail {
    /// The mail server; empty where confirmations wait.
    pub smtp_url: Secret,
    /// The sender.
    pub from: String,
    /// Cap of the pause between tries.
    pub max_retry_delay: Duration,
    /// From this age on a confirmation that is refused for good is dropped.
    pub give_up_after: Duration,
}

/// Permanent deletion.
#[derive(Debug, Clone)]
pub struct Privacy {
    /// The key of the hashed suppression list; `None` where one is made.
    pub hash_key_file: Option<PathBuf>,
}

/// Metrics and health.
#[derive(Debug, Clone)]
pub struct Http {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The vendor's API.
    pub crm: Crm,
}

/// The vendor's API.
#[derive(Clone, Debug)]
pub struct Crm {
    /// What its paths begin with: empty, or a path such as `/hubspot`.
    pub prefix: String,
    /// Requests of one token within ten seconds; 0: any number.
    pub requests_per_10s: u32,
}

/// Traces.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The collector's address; empty for none.
    pub endpoint: String,
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// The log.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its form.
    pub format: LogFormat,
    /// A directive of `tracing_subscriber::EnvFilter`, already known to parse.
    pub level: String,
}

#[cfg(test)]
mod tests;
