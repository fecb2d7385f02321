//! Every key once: its type, its range, and what must hold between keys.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::reader::Reader;
use super::secret::may_hold_a_secret;
use super::{
    AccountGuard, ApiGuard, ConfigErrors, Crm, Database, DeadLetters, Events, Feed, FeedKind, Guard, Http,
    JsonLines, Ledger, Log, LogFormat, Mail, Pipeline, Privacy, RabbitMq, Retention, RetentionJob, Scheduler,
    Settings, Store, Traces, WorkflowGuard,
};
use crate::domain::schedule::Schedule;

/// Longest name AMQP can carry.
const AMQP_NAME: usize = 255;
const MANY: u32 = 1_000_000_000;

/// How long users were promised that they can bring a contact back.
const RESTORE_WINDOW: Duration = Duration::from_hours(90 * 24);
/// The key that takes the promise back.
const ALLOW_PURGE: &str = "retention.purge_trash.allow_purge_within_restore_window";

/// Reads everything; fields are read in the order of `default.toml`, which is the order `check-config` shows.
pub(super) fn settings(mut reader: Reader) -> Result<Settings, ConfigErrors> {
    let r = &mut reader;
    let mut settings = Settings {
        store: store(r),
        feed: Feed {
            kind: feed_kind(r),
            wait_for_contact: r.duration("feed.wait_for_contact", "0s", "1h"),
            rabbitmq: rabbitmq(r),
            jsonl: JsonLines { path: r.path("feed.jsonl.path").unwrap_or_default() },
        },
        pipeline: Pipeline {
            batch_size: r.integer("pipeline.batch_size", 1..=5000_u16).into(),
            prefetch: r.integer("pipeline.prefetch", 1..=u16::MAX),
            lanes: r.integer("pipeline.lanes", 1..=32_u16).into(),
            drain_timeout: r.duration("pipeline.drain_timeout", "100ms", "1h"),
        },
        events: Events {
            refusals: r.boolean("events.refusals"),
            record_changes: r.boolean("events.record_changes"),
        },
        ledger: Ledger { retention: r.duration("ledger.retention", "91d", "3650d") },
        dead_letters: DeadLetters { retention: r.duration("dead_letters.retention", "1h", "90d") },
        guard: guard(r),
        retention: retention(r),
        scheduler: scheduler(r),
        mail: mail(r),
        privacy: Privacy { hash_key_file: r.path("privacy.hash_key_file") },
        http: Http { listen: listen(r), crm: crm(r) },
        traces: Traces { endpoint: endpoint(r) },
        log: log(r),
        described: Vec::new(),
    };
    if r.mistakes.is_empty() {
        validate_combinations(r, &settings);
    }
    if !reader.mistakes.is_empty() {
        return Err(reader.mistakes);
    }
    settings.retention.prune_ledger.after = settings.ledger.retention;
    settings.retention.prune_dead_letters.after = settings.dead_letters.retention;
    if settings.store.database() == Database::Sqlite {
        settings.pipeline.lanes = 1;
    }
    settings.described = reader.taken;
    Ok(settings)
}

fn store(r: &mut Reader) -> Store {
    Store {
        url: r.url("store.url", &["sqlite", "postgres", "postgresql"], false),
        schema: schema(r),
        max_connections: r.integer("store.max_connections", 1..=200),
        acquire_timeout: r.duration("store.acquire_timeout", "100ms", "10m"),
        statement_timeout: r.duration("store.statement_timeout", "1s", "1h"),
        prepared_statements: r.boolean("store.prepared_statements"),
        busy_timeout: r.duration("store.busy_timeout", "100ms", "10m"),
    }
}

fn schema(r: &mut Reader) -> Option<String> {
    let accepted = "empty, or a name of up to 63 small letters, digits and underscores that begins with a letter and not \
                    with pg_";
    let schema = r.text_as("store.schema", accepted, String::new(), |text| {
        let sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let name = text.len() <= 63
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(sign)
            && !text.starts_with("pg_")
            && text != "information_schema";
        (text.is_empty() || name).then(|| text.to_owned())
    });
    Some(schema).filter(|name| !name.is_empty())
}

fn feed_kind(r: &mut Reader) -> FeedKind {
    r.choice("feed.kind", ("rabbitmq", FeedKind::RabbitMq), ("jsonl", FeedKind::JsonLines))
}

fn rabbitmq(r: &mut Reader) -> RabbitMq {
    RabbitMq {
        url: r.url("feed.rabbitmq.url", &["amqp", "amqps"], false),
        ca_file: r.path("feed.rabbitmq.ca_file"),
        client_identity: client_identity(r),
        exchange: r.name("feed.rabbitmq.exchange", AMQP_NAME),
        routing_key: r.name("feed.rabbitmq.routing_key", AMQP_NAME),
        queue: r.name("feed.rabbitmq.queue", AMQP_NAME),
        delivery_limit: r.integer("feed.rabbitmq.delivery_limit", 1..=1_000_000),
        retry_queue_prefix: r.name("feed.rabbitmq.retry_queue_prefix", 200),
        retry_delays: r.durations("feed.rabbitmq.retry_delays", 1..=12, "100ms", "1d"),
        dead_letter_queue: r.name("feed.rabbitmq.dead_letter_queue", AMQP_NAME),
        dead_letter_retention: r.duration("feed.rabbitmq.dead_letter_retention", "1s", "90d"),
        events_exchange: r.name("feed.rabbitmq.events_exchange", AMQP_NAME),
        records_exchange: r.name("feed.rabbitmq.records_exchange", AMQP_NAME),
        records_routing_key: r.name("feed.rabbitmq.records_routing_key", AMQP_NAME),
        records_queue: r.optional_name("feed.rabbitmq.records_queue", AMQP_NAME),
        heartbeat: r.duration("feed.rabbitmq.heartbeat", "1s", "10m"),
        connect_timeout: r.duration("feed.rabbitmq.connect_timeout", "100ms", "5m"),
        max_reconnect_delay: r.duration("feed.rabbitmq.max_reconnect_delay", "100ms", "5m"),
    }
}

fn client_identity(r: &mut Reader) -> Option<(PathBuf, PathBuf)> {
    let certificate = r.path("feed.rabbitmq.client_certificate_file");
    let key = r.path("feed.rabbitmq.client_key_file");
    if certificate.is_some() != key.is_some() {
        let problem = "is set without the other half".to_owned();
        let half = if key.is_some() { "client_key_file" } else { "client_certificate_file" };
        r.error(
            &format!("feed.rabbitmq.{half}"),
            problem,
            "a certificate and its key belong together: set both or none",
        );
    }
    certificate.zip(key)
}

fn guard(r: &mut Reader) -> Guard {
    Guard {
        workflow: WorkflowGuard {
            max_deletions: r.integer("guard.workflow.max_deletions", 1..=MANY),
            window: r.duration("guard.workflow.window", "1s", "30d"),
        },
        account: AccountGuard {
            max_deletions: r.integer("guard.account.max_deletions", 1..=MANY),
            max_share: r.fraction("guard.account.max_share"),
            min_contacts: r.integer("guard.account.min_contacts", 0..=MANY),
            window: r.duration("guard.account.window", "1s", "30d"),
        },
        api: ApiGuard {
            max_deletions: r.integer("guard.api.max_deletions", 0..=MANY),
            window: r.duration("guard.api.window", "1s", "30d"),
        },
    }
}

fn retention(r: &mut Reader) -> Retention {
    let accepted = "an IANA time zone such as \"UTC\" or \"Europe/Berlin\"";
    let zone = r.text_as("retention.time_zone", accepted, chrono_tz::UTC, |text| text.parse().ok());
    Retention {
        // Less than 90 days takes the flag that follows.
        purge_trash: retention_job(r, zone, "purge_trash", Some(["1h", "3650d"])),
        allow_purge_within_restore_window: r.boolean(ALLOW_PURGE),
        expire_notifications: retention_job(r, zone, "expire_notifications", Some(["30d", "3650d"])),
        delete_quotes: retention_job(r, zone, "delete_quotes", Some(["1h", "29d"])),
        expire_unlinked: retention_job(r, zone, "expire_unlinked", Some(["90d", "3650d"])),
        prune_ledger: retention_job(r, zone, "prune_ledger", None),
        prune_audit: retention_job(r, zone, "prune_audit", Some(["365d", "36500d"])),
        prune_outbox: retention_job(r, zone, "prune_outbox", Some(["120d", "3650d"])),
        prune_dead_letters: retention_job(r, zone, "prune_dead_letters", None),
        wake_deferred: retention_job(r, zone, "wake_deferred", None),
    }
}

fn scheduler(r: &mut Reader) -> Scheduler {
    Scheduler {
        lease: r.duration("scheduler.lease", "2s", "5m"),
        jitter: r.duration("scheduler.jitter", "0s", "10m"),
        max_pending_enrollments: r.integer("scheduler.max_pending_enrollments", 0..=MANY),
        max_replication_lag_mb: r.integer("scheduler.max_replication_lag_mb", 1..=1_000_000),
    }
}

fn retention_job(r: &mut Reader, zone: chrono_tz::Tz, job: &str, ages: Option<[&str; 2]>) -> RetentionJob {
    let key = |name| format!("retention.{job}.{name}");
    let accepted = "a cron expression of five fields such as \"17 2 * * *\"";
    let schedule = |text: &str, zone| Schedule::parse(text, zone).ok();
    let expression = r.text_as(&key("schedule"), accepted, String::new(), |text| {
        schedule(text, zone).map(|_| text.to_owned())
    });
    let zone = r.text_as(&key("time_zone"), "empty, or an IANA time zone", zone, |text| {
        if text.is_empty() { Some(zone) } else { text.parse().ok() }
    });
    RetentionJob {
        schedule: schedule(&expression, zone).unwrap_or_else(Schedule::never),
        after: ages.map_or(Duration::ZERO, |[youngest, oldest]| r.duration(&key("after"), youngest, oldest)),
        batch_size: r.integer(&key("batch_size"), 1..=10_000),
        max_per_run: r.integer(&key("max_per_run"), 1..=MANY),
        time_budget: r.duration(&key("time_budget"), "1s", "1d"),
    }
}

fn mail(r: &mut Reader) -> Mail {
    Mail {
        smtp_url: r.url("mail.smtp_url", &["smtp", "smtps"], true),
        from: mail_from(r),
        max_retry_delay: r.duration("mail.max_retry_delay", "100ms", "1h"),
        give_up_after: r.duration("mail.give_up_after", "1s", "90d"),
    }
}

fn mail_from(r: &mut Reader) -> String {
    r.text_as("mail.from", "an e-mail address", String::new(), |text| {
        let (name, host) = text.split_once('@')?;
        let blank = |c: char| c.is_whitespace() || c.is_control();
        (!name.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(blank))
            .then(|| text.to_owned())
    })
}

fn listen(r: &mut Reader) -> SocketAddr {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    r.text_as("http.listen", "an IP address and a port such as \"127.0.0.1:9464\"", nowhere, |text| {
        text.parse().ok()
    })
}

fn crm(r: &mut Reader) -> Crm {
    let is_prefix = |text: &str| {
        let is_step = |step: &str| {
            !step.is_empty() && step.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it))
        };
        text.is_empty() || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_step))
    };
    Crm {
        prefix: r.text_as(
            "http.crm.prefix",
            "empty, or a path such as \"/hubspot\"",
            String::new(),
            |text| is_prefix(text).then(|| text.to_owned()),
        ),
        requests_per_10s: r.integer("http.crm.requests_per_10s", 0..=MANY),
    }
}

fn endpoint(r: &mut Reader) -> String {
    r.text_as(
        "traces.endpoint",
        "empty, or http://HOST:PORT/PATH without a password or a query",
        String::new(),
        |text| {
            if text.is_empty() {
                return Some(String::new());
            }
            let rest = text.strip_prefix("http://")?;
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            // Only the path is sent: a key in a query would go nowhere, and be shown by `check-config`.
            let is_plain =
                rest.bytes().all(|byte| byte.is_ascii_graphic()) && !rest.contains(['@', '?', '#']);
            if host.is_empty() || host.starts_with(':') || !is_plain {
                return None;
            }
            // Where OpenTelemetry's collectors take traces.
            Some(format!("http://{host}/{}", if path.is_empty() { "v1/traces" } else { path }))
        },
    )
}

fn log(r: &mut Reader) -> Log {
    Log {
        format: r.choice("log.format", ("text", LogFormat::Text), ("json", LogFormat::Json)),
        level: r.text_as(
            "log.level",
            "a level (error, warn, info, debug, trace) or directives such as \"warn,contact_reaper=info\"",
            String::new(),
            |text| {
                (!may_hold_a_secret(text) && is_level(text) && EnvFilter::try_new(text).is_ok())
                    .then(|| text.to_owned())
            },
        ),
    }
}

/// A word alone is a level: the filter would take a misspelt one for the name of a module, and log nothing else.
fn is_level(text: &str) -> bool {
    let word = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
    text.split(',').all(|part| !word(part) || (!part.is_empty() && part.parse::<LevelFilter>().is_ok()))
}

/// What one key demands of another; asked only where each is right by itself.
fn validate_combinations(r: &mut Reader, settings: &Settings) {
    let Settings { store, feed, pipeline, ledger, dead_letters, retention, .. } = settings;
    if usize::from(pipeline.prefetch) < pipeline.batch_size {
        let problem =
            format!("is {}, less than pipeline.batch_size, {}", pipeline.prefetch, pipeline.batch_size);
        r.error("pipeline.prefetch", problem, "set it to two or three times the batch size");
    }
    if store.database() == Database::Postgres && pipeline.lanes > store.max_connections as usize {
        let problem =
            format!("is {}, more than store.max_connections, {}", pipeline.lanes, store.max_connections);
        r.error("pipeline.lanes", problem, "each lane needs a connection of its own");
    }
    if store.database() == Database::Sqlite && store.schema.is_some() {
        let problem = "is set, and store.url names a SQLite file, which has no schemas".to_owned();
        r.error("store.schema", problem, "leave it empty, or name a PostgreSQL database");
    }
    if retention.purge_trash.after < RESTORE_WINDOW && !retention.allow_purge_within_restore_window {
        let problem = "is less than the 90 days for which a deleted contact can be brought back".to_owned();
        let remedy = format!(
            "set it to \"90d\" or more; or set {ALLOW_PURGE} to true, and every run destroys for good what users could still \
             restore"
        );
        r.error("retention.purge_trash.after", problem, &remedy);
    }
    let rabbitmq = &feed.rabbitmq;
    if rabbitmq.queue == rabbitmq.dead_letter_queue {
        let problem = "is the same queue as feed.rabbitmq.queue".to_owned();
        r.error("feed.rabbitmq.dead_letter_queue", problem, "give each queue a name of its own");
    }
    if [&rabbitmq.queue, &rabbitmq.dead_letter_queue].contains(&&rabbitmq.records_queue) {
        let problem = "is the same queue as another one of the service".to_owned();
        r.error("feed.rabbitmq.records_queue", problem, "give each queue a name of its own");
    }
    let is_rung = |name: &str| {
        name.strip_prefix(&rabbitmq.retry_queue_prefix).is_some_and(|delay| delay.starts_with('.'))
    };
    let queues = [
        ("queue", &rabbitmq.queue),
        ("dead_letter_queue", &rabbitmq.dead_letter_queue),
        ("records_queue", &rabbitmq.records_queue),
    ];
    for (key, _) in queues.into_iter().filter(|(_, name)| is_rung(name)) {
        let problem = "begins with feed.rabbitmq.retry_queue_prefix, as the retry queues do".to_owned();
        r.error(&format!("feed.rabbitmq.{key}"), problem, "give each queue a name of its own");
    }
    let with_tls = rabbitmq.url.expose().starts_with("amqps:");
    if !with_tls && (rabbitmq.ca_file.is_some() || rabbitmq.client_identity.is_some()) {
        let problem = "asks for no TLS, and there are certificates for it".to_owned();
        r.error("feed.rabbitmq.url", problem, "write amqps://, or leave the certificates out");
    }
    if rabbitmq.heartbeat.subsec_nanos() != 0 {
        let problem = "is not a whole number of seconds".to_owned();
        r.error("feed.rabbitmq.heartbeat", problem, "AMQP counts it in seconds, such as \"30s\"");
    }
    let ladder: std::time::Duration = rabbitmq.retry_delays.iter().sum();
    if ledger.retention <= rabbitmq.dead_letter_retention + dead_letters.retention + ladder {
        let problem = "is no longer than a message may wait for a retry and as a dead letter".to_owned();
        let remedy = "keep it above feed.rabbitmq.dead_letter_retention, dead_letters.retention and all of \
                      feed.rabbitmq.retry_delays together, or a replay would come too late to be decided";
        r.error("ledger.retention", problem, remedy);
    }
}
