//! Wiring only: build the parts from the settings, run them, stop softly, then hard.

pub mod options;

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use futures_util::FutureExt;
use futures_util::future::join_all;
use metrics::{gauge, histogram};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::broker::{EventPublisher, LetterFeed, RabbitFeed};
use crate::config::{FeedKind, Mail, Settings};
use crate::http::{self, Health};
use crate::jsonl::{self, JsonlFeed, Source};
use crate::operations::{self, Operations, dead_letters};
use crate::outbox::events;
use crate::outbox::mail::{self, Mails};
use crate::pipeline::enrollments::{Enrollments, Observer};
use crate::pipeline::records::Records;
use crate::pipeline::{self, End};
use crate::ports::Stop;
use crate::scheduler;
use crate::store::deletions::ProgramGuard;
use crate::store::outbox::Waiting;
use crate::store::{Migrated, Rules, Store};
use crate::systemd::{State, Systemd};
use crate::telemetry::traces::Traces;
use crate::telemetry::{self, Telemetry};

/// Between two looks at the store before it answers.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How long requests may go on when all else has ended: a job's batch takes a second.
const HTTP_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the connections to the store may take to close.
const STORE_CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often pools, outbox and histograms are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// The service: feed, pipeline, scheduler and what it serves over HTTP, until it is asked to stop or its feed ends.
///
/// # Errors
///
/// Wrong settings that only show at run time, a schema newer than this program, a feed that needs a person, or
/// a drain that took too long.
pub async fn run(settings: &Settings, telemetry: Telemetry) -> anyhow::Result<()> {
    let mut asked = shutdown_signal()?;
    let traces = match settings.traces.endpoint.as_str() {
        "" => None,
        endpoint => Some(Traces::start(endpoint)?),
    };
    let store = Store::open(&options::store(settings, true))?;
    let health = Health::new({
        let store = store.clone();
        Box::new(move || {
            let store = store.clone();
            async move { store.answers().await }.boxed()
        })
    });
    let server = serve(settings, store.clone(), health.clone(), telemetry.clone()).await?;
    let systemd = Arc::new(Systemd::from_environment());
    tokio::spawn(watchdog(Arc::clone(&systemd), health.clone()));
    let outcome = run_until_stopped(settings, &store, &health, &systemd, telemetry, &mut asked).await;
    // Before the store goes: what was asked for over HTTP ends well, too.
    if tokio::time::timeout(HTTP_DRAIN_TIMEOUT, server.stop()).await.is_err() {
        warn!("requests over HTTP are still under way; they are cut off");
    }
    // A connection may be stuck; the exit closes it as well.
    drop(tokio::time::timeout(STORE_CLOSE_TIMEOUT, store.close()).await);
    if let Some(traces) = traces {
        tokio::task::spawn_blocking(move || traces.end()).await.context("the traces ended in a panic")?;
    }
    outcome
}

/// Everything between the opening of the store and its closing.
async fn run_until_stopped(
    settings: &Settings,
    store: &Store,
    health: &Health,
    systemd: &Systemd,
    telemetry: Telemetry,
    asked: &mut watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mails = mails(settings, store)?;
    if !migrate(store, asked).await? {
        return Ok(());
    }
    if let Err(problem) = store.scrub_if_owed().await {
        warn!(error = %problem, "what was erased or purged is not yet gone from the files; the next purge tries again");
    }
    health.set_startup_done();
    systemd.notify(State::Ready);
    let (stop, listener) = Stop::channel();
    let schedule =
        tokio::spawn(scheduler::run(store.clone(), options::schedule(settings, store), listener.clone()));
    let housekeeping = {
        let sends_mail = !settings.mail.smtp_url.is_empty();
        tokio::spawn(run_housekeeping(store.clone(), telemetry, sends_mail, listener.clone()))
    };
    let options = options::pipeline(settings, Some(health.clone()));
    let waiting = tokio::spawn(pipeline::pending::run(
        store.clone(),
        options::rules(settings),
        options.clone(),
        listener.clone(),
    ));
    let letters = spawn_letters(settings, store, &listener);
    let records = spawn_records(settings, store, &listener);
    let mut pipeline = spawn_pipeline(settings, store.clone(), options, listener);
    let (stop_outbox, listener) = Stop::channel();
    let outbox = spawn_outbox(settings, store, mails, &listener);
    let ended = tokio::select! {
        ended = &mut pipeline => Some(ended),
        _ = asked.wait_for(|asked| *asked) => None,
    };
    health.set_draining();
    systemd.notify(State::Stopping);
    stop.send_replace(true);
    // All listen to the same stop; none is dropped half-way, they are waited for or left behind at the exit.
    let rest = async {
        let end = match ended {
            Some(end) => end,
            None => pipeline.await,
        };
        waiting.await.context("the taking up of what waits ended in a panic")?;
        schedule.await.context("the scheduler ended in a panic")?;
        housekeeping.await.context("the housekeeping ended in a panic")?;
        if let Some(letters) = letters {
            letters.await.context("the taking in of dead letters ended in a panic")?;
        }
        if let Some(records) = records {
            records.await.context("the pipeline of records ended in a panic")?;
        }
        end.context("the pipeline ended in a panic")
    };
    let started = Instant::now();
    let drained = drain(rest, settings.pipeline.drain_timeout).await;
    // After the pipeline, so that its last events leave too. What does not is no failure: it waits in the store.
    stop_outbox.send_replace(true);
    end_outbox(outbox, settings.pipeline.drain_timeout.saturating_sub(started.elapsed())).await?;
    histogram!(telemetry::DRAIN_SECONDS).record(started.elapsed());
    match drained?? {
        Ok(End::Stopped) => info!("stopped"),
        Ok(End::Finished) => info!("the feed has ended"),
        Err(sentence) => return Err(anyhow!(sentence)),
    }
    Ok(())
}

/// Lets systemd restart a process that hangs.
async fn watchdog(systemd: Arc<Systemd>, health: Health) {
    systemd.run_watchdog(|| health.liveness_failures().is_empty()).await;
}

type PipelineTask = JoinHandle<Result<End, String>>;

/// Waits for what is under way to be settled; then no longer.
async fn drain<T>(rest: impl Future<Output = T>, patience: Duration) -> anyhow::Result<T> {
    info!("draining");
    tokio::time::timeout(patience, rest).await.map_err(|_| {
        anyhow!(
            "draining took longer than pipeline.drain_timeout ({}); what was not settled will be delivered again",
            humantime::format_duration(patience)
        )
    })
}

fn spawn_pipeline(settings: &Settings, store: Store, options: pipeline::Options, stop: Stop) -> PipelineTask {
    match settings.feed.kind {
        FeedKind::RabbitMq => {
            let decider = store.deciding(options::rules(settings));
            let feed = RabbitFeed::new(options::broker(settings));
            tokio::spawn(pipeline::run(feed, Enrollments::new(decider), options, stop))
        }
        FeedKind::JsonLines => {
            let path = &settings.feed.jsonl.path;
            let source = if path == Path::new("-") { Source::Stdin } else { Source::File(path.clone()) };
            tokio::spawn(run_lines(source, store, options::rules(settings), None, options, stop))
        }
    }
}

/// Writes the records of the records queue, where there is one.
fn spawn_records(settings: &Settings, store: &Store, stop: &Stop) -> Option<JoinHandle<()>> {
    if settings.feed.kind != FeedKind::RabbitMq {
        return None;
    }
    let feed = RabbitFeed::of_records(options::records_broker(settings))?;
    let handler = Records(store.receiving_records(settings.feed.rabbitmq.records_queue.clone()));
    let run = pipeline::run(feed, handler, options::records_pipeline(settings), stop.clone());
    Some(tokio::spawn(async move {
        // The feed of enrollments, which declares the same, ends the service over it.
        if let Err(problem) = run.await {
            warn!(error = problem, "no records are taken in");
        }
    }))
}

/// Takes in what waits in the broker's queue of dead letters, where there is a broker.
fn spawn_letters(settings: &Settings, store: &Store, stop: &Stop) -> Option<JoinHandle<()>> {
    (settings.feed.kind == FeedKind::RabbitMq).then(|| {
        let feed = LetterFeed::new(options::broker(settings));
        let decider = store.deciding(options::rules(settings));
        let max_reconnect_delay = settings.feed.rabbitmq.max_reconnect_delay;
        tokio::spawn(pipeline::letters::run(feed, decider, max_reconnect_delay, stop.clone()))
    })
}

/// Sends what is in the outbox: events where there is a broker, e-mails where there is a mail server; what has nowhere
/// to go waits.
fn spawn_outbox(
    settings: &Settings,
    store: &Store,
    mails: Option<Mails>,
    stop: &Stop,
) -> Vec<JoinHandle<()>> {
    let mails = mails.map(|mails| tokio::spawn(mails.run(stop.clone())));
    let events = (settings.feed.kind == FeedKind::RabbitMq).then(|| {
        let max_retry_delay = settings.feed.rabbitmq.max_reconnect_delay;
        let options = events::Options { holder: HOLDER.clone(), max_retry_delay };
        let publisher = EventPublisher::new(options::broker(settings));
        tokio::spawn(events::run(publisher, store.clone(), options, stop.clone()))
    });
    mails.into_iter().chain(events).collect()
}

/// Waits until what can leave has left; then no longer.
async fn end_outbox(outbox: Vec<JoinHandle<()>>, patience: Duration) -> anyhow::Result<()> {
    if let Ok(ended) = tokio::time::timeout(patience, join_all(outbox)).await {
        ended.into_iter().collect::<Result<(), _>>().context("the outbox ended in a panic")?;
    } else {
        warn!("messages are left in the outbox; another instance or the next start sends them");
    }
    Ok(())
}

/// The sender of e-mails; none without `mail.smtp_url`.
fn mails(settings: &Settings, store: &Store) -> anyhow::Result<Option<Mails>> {
    let Mail { smtp_url, from, max_retry_delay, give_up_after } = settings.mail.clone();
    if smtp_url.is_empty() {
        return Ok(None);
    }
    let smtp_url = smtp_url.expose().to_owned();
    let options = mail::Options { holder: HOLDER.clone(), smtp_url, from, max_retry_delay, give_up_after };
    Mails::new(store.clone(), options).map(Some).map_err(|sentence| anyhow!(sentence))
}

/// Runs the pipeline on the embedded feed.
///
/// # Errors
///
/// As [`pipeline::run`].
pub async fn run_lines(
    source: Source,
    store: Store,
    rules: Rules,
    observer: Option<Observer>,
    options: pipeline::Options,
    stop: Stop,
) -> Result<End, String> {
    let handler = Enrollments { decider: store.deciding(rules), observer };
    let feed = JsonlFeed::new(jsonl::Options { source }, Arc::new(store));
    pipeline::run(feed, handler, options, stop).await
}

/// What people and programs may ask of a store.
pub fn operations(settings: &Settings, store: Store) -> Operations {
    let replay = match settings.feed.kind {
        FeedKind::RabbitMq => dead_letters::Replay::Publish(Box::new(options::broker(settings))),
        FeedKind::JsonLines => dead_letters::Replay::Decide(options::pipeline(settings, None)),
    };
    let sends_mail = !settings.mail.smtp_url.is_empty();
    let options = operations::Options {
        rules: options::rules(settings),
        jobs: options::jobs(settings),
        replay,
        sends_mail,
    };
    Operations::new(store, options)
}

/// Brings the schema up to date, waiting for the store as long as it takes; `false`: asked to stop meanwhile.
async fn migrate(store: &Store, asked: &mut watch::Receiver<bool>) -> anyhow::Result<bool> {
    loop {
        // A task of its own: asked to stop, nobody waits for a store that may never answer, and no future of the
        // store is dropped half-way.
        let attempt = tokio::spawn({
            let store = store.clone();
            async move { store.migrate().await }
        });
        let migrated = tokio::select! {
            _ = asked.wait_for(|asked| *asked) => return Ok(false),
            migrated = attempt => migrated.context("the migration ended in a panic")?,
        };
        match migrated {
            Ok(Migrated { applied, users_granted }) => {
                if !applied.is_empty() {
                    info!(store.migrations = applied.join(", "), "schema brought up to date");
                }
                if users_granted > 0 {
                    info!(
                        users.granted = users_granted,
                        "users were given the permissions view and permanently_delete for what they could do before"
                    );
                }
                return Ok(true);
            }
            Err(error) if error.is_transient() => {
                warn!(%error, retry_in = ?STORE_RETRY, "store not reached");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            _ = asked.wait_for(|asked| *asked) => return Ok(false),
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
    }
}

/// Metrics that nobody's work brings up to date.
async fn run_housekeeping(store: Store, telemetry: Telemetry, sends_mail: bool, mut stop: Stop) {
    while !stop.is_requested() {
        telemetry.run_upkeep();
        let (open, idle) = store.connections();
        gauge!(telemetry::STORE_POOL, "state" => "idle").set(idle as f64);
        gauge!(telemetry::STORE_POOL, "state" => "busy").set(f64::from(open) - idle as f64);
        if let Ok(Waiting { messages, oldest }) = store.unsent_events().await {
            gauge!(telemetry::OUTBOX_PENDING).set(messages as f64);
            gauge!(telemetry::OUTBOX_OLDEST_SECONDS).set(oldest);
        }
        if let Ok(Waiting { messages, oldest }) = store.waiting_confirmations().await {
            gauge!(telemetry::CONFIRMATIONS_PENDING).set(messages as f64);
            // Without a mail server none is late.
            let oldest = if sends_mail { oldest } else { Duration::ZERO };
            gauge!(telemetry::CONFIRMATIONS_OLDEST_SECONDS).set(oldest);
        }
        if let Ok(held) = store.held_by_the_guard().await {
            gauge!(telemetry::GUARD_HELD).set(held as f64);
        }
        if let Ok(pauses) = store.pauses().await {
            gauge!(telemetry::PAUSED).set(pauses as f64);
        }
        tokio::select! {
            () = stop.requested() => {}
            () = tokio::time::sleep(HOUSEKEEPING) => {}
        }
    }
}

/// The listening server and the way to stop it.
pub struct Server {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    /// Where it listens.
    pub address: std::net::SocketAddr,
}

impl Server {
    /// Answers what is under way, then closes.
    pub async fn stop(self) {
        // Where the server ended by itself there is nobody left to tell.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            warn!(%error, "the server did not end well");
        }
    }
}

/// Starts serving health and metrics, the API and the pages.
///
/// # Errors
///
/// Where `http.listen` cannot be listened on.
pub async fn serve(
    settings: &Settings,
    store: Store,
    health: Health,
    telemetry: Telemetry,
) -> anyhow::Result<Server> {
    let listener = http::bind(settings.http.listen).await?;
    let address = listener.local_addr().context("the listening socket has no address")?;
    info!(http.address = %address, "listening");
    tokio::spawn(health.clone().run_heartbeat());
    let (stop, stopped) = oneshot::channel::<()>();
    let state = http::State { health, metrics: Arc::new(move || telemetry.render()) };
    let operations = operations(settings, store);
    let (crm, guard) = (&settings.http.crm, settings.guard.api);
    let crm = http::crm::Options {
        prefix: crm.prefix.clone(),
        requests_per_10s: crm.requests_per_10s,
        guard: ProgramGuard { max_deletions: guard.max_deletions, window: guard.window },
    };
    let shutdown = async move { drop(stopped.await) };
    let task = tokio::spawn(http::serve(listener, state, operations, crm, shutdown));
    Ok(Server { task, stop, address })
}

/// Becomes true with the first SIGTERM, SIGINT or SIGHUP (a terminal that is closed); the second ends the process at once.
/// Whoever started it with SIGHUP ignored, as nohup does, wants it to go on.
///
/// # Errors
///
/// Where the operating system does not let signals be listened to.
pub fn shutdown_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be listened to")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be listened to")?;
    let hangup = || signal(SignalKind::hangup()).context("SIGHUP cannot be listened to");
    let mut hangup = if is_hangup_ignored() { None } else { Some(hangup()?) };
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        for first in [true, false] {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = hung_up => {}
            }
            if !first {
                std::process::exit(1);
            }
            sender.send_replace(true);
        }
    });
    Ok(receiver)
}

/// Was the process started with SIGHUP ignored? Linux says so in a mask, the first signal in its lowest bit.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// This instance among the others: the host, a random number and the process, for containers may have one name
/// and one number for both.
static HOLDER: LazyLock<String> = LazyLock::new(|| {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{:08x}:{}", host.trim(), fastrand::u32(..), std::process::id())
});
