//! What the settings say, as the options of each part.

use std::sync::Arc;

use super::HOLDER;
use crate::broker::{self, QueueLag};
use crate::config::{self, FeedKind, RetentionJob, Settings};
use crate::domain::guard::{AccountLimits, Limits, WorkflowLimits};
use crate::http::Health;
use crate::pipeline;
use crate::ports::Backpressure;
use crate::scheduler;
use crate::scheduler::jobs::{
    self, Job, delete_quotes, expire_notifications, expire_unlinked, prune_audit, prune_dead_letters,
    prune_ledger, prune_outbox, purge_trash, wake_deferred,
};
use crate::store::{self, HashKeySource, ReplicationLag, Rules, Store};

/// The store's options; `create` makes a SQLite file where there is none.
pub fn store(settings: &Settings, create: bool) -> store::Options {
    let hash_keys = match (&settings.privacy.hash_key_file, Store::file(settings.store.url.expose())) {
        (Some(file), _) => HashKeySource::File(file.clone()),
        (None, Some(store)) => HashKeySource::Beside(format!("{}.hash-key", store.display()).into()),
        (None, None) => HashKeySource::Database,
    };
    let record_changes = settings.events.record_changes;
    let settings = &settings.store;
    store::Options {
        hash_keys,
        record_changes,
        url: settings.url.expose().to_owned(),
        schema: settings.schema.clone(),
        max_connections: settings.max_connections,
        acquire_timeout: settings.acquire_timeout,
        statement_timeout: settings.statement_timeout,
        prepared_statements: settings.prepared_statements,
        busy_timeout: settings.busy_timeout,
        create,
    }
}

/// The broker's options.
pub fn broker(settings: &Settings) -> broker::Options {
    let rabbitmq = &settings.feed.rabbitmq;
    broker::Options {
        url: rabbitmq.url.expose().to_owned(),
        tls: broker::Tls {
            ca_file: rabbitmq.ca_file.clone(),
            identity: rabbitmq
                .client_identity
                .clone()
                .map(|(certificate_file, key_file)| broker::Identity { certificate_file, key_file }),
        },
        exchange: rabbitmq.exchange.clone(),
        routing_key: rabbitmq.routing_key.clone(),
        queue: rabbitmq.queue.clone(),
        retry_queue_prefix: rabbitmq.retry_queue_prefix.clone(),
        dead_letter_queue: rabbitmq.dead_letter_queue.clone(),
        events_exchange: rabbitmq.events_exchange.clone(),
        records: (!rabbitmq.records_queue.is_empty()).then(|| broker::RecordsTopology {
            exchange: rabbitmq.records_exchange.clone(),
            routing_key: rabbitmq.records_routing_key.clone(),
            queue: rabbitmq.records_queue.clone(),
        }),
        delivery_limit: rabbitmq.delivery_limit,
        retry_delays: rabbitmq.retry_delays.clone(),
        dead_letter_retention: rabbitmq.dead_letter_retention,
        heartbeat: rabbitmq.heartbeat,
        connect_timeout: rabbitmq.connect_timeout,
        prefetch: settings.pipeline.prefetch,
    }
}

/// The options of the pipeline of enrollments.
pub fn pipeline(settings: &Settings, health: Option<Health>) -> pipeline::Options {
    pipeline::Options {
        batch_size: settings.pipeline.batch_size,
        lanes: settings.pipeline.lanes,
        max_reconnect_delay: settings.feed.rabbitmq.max_reconnect_delay,
        on_connected: told(health.clone(), Health::set_feed_connected),
        on_stalled: told(health, Health::set_lane_stalled),
    }
}

/// The options of the pipeline of records: one batch after the other, in their order. The service is ready without it.
pub fn records_pipeline(settings: &Settings) -> pipeline::Options {
    pipeline::Options { lanes: 1, ..pipeline(settings, None) }
}

/// Messages of records in hand: each may be 256 KiB.
const MAX_RECORDS_PREFETCH: u16 = 200;

/// The broker's options, as the pipeline of records has them.
pub fn records_broker(settings: &Settings) -> broker::Options {
    let options = broker(settings);
    broker::Options { prefetch: options.prefetch.min(MAX_RECORDS_PREFETCH), ..options }
}

/// What the settings say about decisions.
pub fn rules(settings: &Settings) -> Rules {
    let config::Guard { workflow, account, api: _ } = &settings.guard;
    Rules {
        ledger_retention: settings.ledger.retention,
        wait_for_contact: settings.feed.wait_for_contact,
        announce_refusals: settings.events.refusals,
        limits: Limits {
            workflow: WorkflowLimits {
                max_deletions: workflow.max_deletions.into(),
                window: workflow.window,
            },
            account: AccountLimits {
                max_deletions: account.max_deletions.into(),
                max_share: account.max_share,
                min_contacts: account.min_contacts.into(),
                window: account.window,
            },
        },
    }
}

/// Tells the health, where there is one to tell.
fn told(health: Option<Health>, tell: fn(&Health, bool)) -> pipeline::StateCallback {
    Arc::new(move |begins| {
        if let Some(health) = &health {
            tell(health, begins);
        }
    })
}

/// The scheduler's options.
pub fn schedule(settings: &Settings, store: &Store) -> scheduler::Options {
    let config::Scheduler { lease, jitter, .. } = settings.scheduler;
    let lags = lags(settings, store);
    scheduler::Options { holder: HOLDER.clone(), lease, jitter, jobs: jobs(settings), lags }
}

/// Who goes before the jobs of retention.
fn lags(settings: &Settings, store: &Store) -> Vec<Box<dyn Backpressure>> {
    let limits = &settings.scheduler;
    let max_bytes = u64::from(limits.max_replication_lag_mb) * 1_000_000;
    let mut lags: Vec<Box<dyn Backpressure>> =
        vec![Box::new(ReplicationLag { store: store.clone(), max_bytes })];
    if settings.feed.kind == FeedKind::RabbitMq {
        lags.push(Box::new(QueueLag::new(broker(settings), limits.max_pending_enrollments)));
    }
    lags
}

/// The jobs of retention.
pub fn jobs(settings: &Settings) -> Vec<Job> {
    let with = |job: &RetentionJob| jobs::Settings {
        schedule: job.schedule.clone(),
        after: job.after,
        batch_size: job.batch_size,
        max_per_run: job.max_per_run.into(),
        time_budget: job.time_budget,
    };
    let rules = rules(settings);
    let settings = &settings.retention;
    vec![
        purge_trash::job(with(&settings.purge_trash)),
        expire_notifications::job(with(&settings.expire_notifications)),
        delete_quotes::job(with(&settings.delete_quotes)),
        expire_unlinked::job(with(&settings.expire_unlinked)),
        prune_ledger::job(with(&settings.prune_ledger)),
        prune_audit::job(with(&settings.prune_audit)),
        prune_outbox::job(with(&settings.prune_outbox)),
        prune_dead_letters::job(with(&settings.prune_dead_letters)),
        wake_deferred::job(with(&settings.wake_deferred), rules),
    ]
}
