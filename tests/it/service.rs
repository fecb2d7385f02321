//! The service as those see it who run it: probes, metrics, signals, the lease, the logs, the socket.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{Timelike as _, Utc};
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{
    Broker, DEADLINE, Database, Proxy, Reaper, Worker, metrics_complaints, records, wait_until,
};

#[tokio::test]
async fn the_probes_tell_alive_started_and_ready_apart() {
    let (database, broker) = (Database::postgres().await, Broker::new().await);
    let (server, path) = database.url().rsplit_once('/').expect("a database in the URL");
    let (_, host) = server.rsplit_once('@').expect("a user in the URL");
    let mut proxy = Proxy::new(host);
    let url = format!("postgres://postgres@{}/{path}", proxy.address());
    let reaper = Reaper::new(&database).fed_by(&broker).setting("store.url", &url);
    let mut worker = reaper.setting("store.acquire_timeout", "1s").spawn(&["run"]);
    worker.wait_listening().await;
    assert_eq!(worker.get("/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(worker.get("/startupz").await.0, 503);
    let (status, reasons) = worker.get("/readyz").await;
    assert_eq!(status, 503);
    for reason in ["the start is not finished", "the feed is not connected", "the store does not answer"] {
        assert!(reasons.lines().any(|line| line == reason), "{reasons}");
    }
    proxy.open();
    worker.wait_ready().await;
    assert_eq!(worker.get("/startupz").await.0, 200);

    proxy.close().await;
    wait_until("it says that the store is gone", DEADLINE, async || worker.get("/readyz").await.0 == 503)
        .await;
    assert_eq!(worker.get("/readyz").await.1, "the store does not answer\n");
    assert_eq!((worker.get("/livez").await.0, worker.get("/startupz").await.0), (200, 200));
    proxy.open();
    worker.wait_ready().await;
}

#[tokio::test]
async fn the_metrics_count_what_happened_and_name_nobody() {
    let scene = Scene::new(Database::sqlite(), 12).await;
    let worker = scene.worker().await;
    let mut bodies: Vec<String> = (1..=10).map(|number| Scene::event(number).to_string()).collect();
    // Ten are deleted, three of them come twice, two are unknown, one was trashed before, two make no sense.
    bodies.extend_from_within(..3);
    bodies.extend([Scene::event(90).to_string(), Scene::event(91).to_string()]);
    bodies.extend(["{".to_owned(), "[]".to_owned()]);
    scene.broker.publish(&bodies).await;
    wait_until("all are decided", DEADLINE, async || scene.decided().await == 12).await;
    let mut again = Scene::event(1);
    again["data"]["enrollmentId"] = json!("777099");
    scene.broker.publish(&[again.to_string()]).await;
    let samples = [
        (r#"enrollments_total{outcome="deleted",reason=""}"#, "10"),
        (r#"enrollments_total{outcome="duplicate",reason=""}"#, "3"),
        (r#"enrollments_total{outcome="skipped",reason="contact_not_found"}"#, "2"),
        (r#"enrollments_total{outcome="skipped",reason="already_in_trash"}"#, "1"),
        (r#"dead_letters_total{reason="malformed"}"#, "2"),
        (r#"transitions_total{transition="trash",origin="workflow"}"#, "10"),
        ("enrollment_age_seconds_count", "13"),
        ("batch_size_sum", "18"),
        ("in_flight", "0"),
        ("redelivered_total", "0"),
        ("feed_connected", "1"),
        ("feed_reconnects_total", "0"),
        ("outbox_pending", "0"),
    ];
    let mut metrics = String::new();
    let counted = |metrics: &str, (sample, value): &(&str, &str)| {
        metrics.lines().any(|line| line == format!("contact_reaper_{sample} {value}"))
    };
    wait_until("the metrics say so", DEADLINE, async || {
        metrics = worker.metrics().await;
        samples.iter().all(|sample| counted(&metrics, sample))
    })
    .await;
    assert_eq!(metrics_complaints(&metrics), "");
    // Ids here start with 777: none is in a name or a label.
    for line in metrics.lines().filter(|line| !line.is_empty()) {
        let (series, _) = line.rsplit_once(' ').expect("a value");
        assert!(!series.contains("777"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_drains_and_loses_nothing() {
    drains("TERM").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_under_load_drains_and_loses_nothing() {
    drains("INT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_under_load_drains_and_loses_nothing() {
    drains("HUP").await;
}

/// As under nohup, which means that the terminal may close.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_that_was_to_be_ignored_is() {
    let database = Database::sqlite();
    let reaper =
        Reaper::new(&database).setting("feed.rabbitmq.url", "amqp://127.0.0.1:1/").ignoring_hangups(true);
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_listening().await;
    let started = async || worker.get("/startupz").await.0 == 200;
    wait_until("the start is finished", DEADLINE, started).await;
    worker.signal("HUP");
    // Only the second signal would end it at once.
    worker.signal("TERM");
    assert!(worker.exit(DEADLINE).await.success(), "{}", worker.stderr());
    assert!(worker.stderr().contains("stopped"), "{}", worker.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_told_once_with_the_setting_that_mends_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let said = Reaper::new(&Database::sqlite()).setting("http.listen", &address).refused(&["run"]).await;
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        format!(
            "error: http.listen is {address}, and another process listens there: set http.listen to another port, or end \
             that process (`ss -ltnp` names it)"
        )
    );
    let said =
        Reaper::new(&Database::sqlite()).setting("http.listen", "203.0.113.7:9464").refused(&["run"]).await;
    assert!(said.contains("which is no address of this machine: set http.listen"), "{said}");
}

async fn drains(signal: &str) {
    const EVENTS: i64 = 1200;
    let mut scene = Scene::new(Database::postgres().await, EVENTS).await;
    scene.reaper = scene.reaper.setting("pipeline.batch_size", "40").setting("pipeline.prefetch", "120");
    scene.reaper = scene.reaper.ignoring_hangups(false);
    let mut worker = scene.worker().await;
    let bodies: Vec<String> = (1..=EVENTS).map(|number| Scene::event(number).to_string()).collect();
    let stop = async {
        wait_until("some are decided", DEADLINE, async || scene.decided().await >= 100).await;
        // Holds up what is under way, so that the drain lasts until we have seen it.
        let mut lock = PgConnection::connect(scene.database.url()).await.expect("a connection");
        lock.execute("BEGIN; LOCK TABLE ledger IN SHARE MODE").await.expect("locked");
        let waiting =
            "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = 'ledger'::regclass";
        wait_until("something is in hand", DEADLINE, async || scene.database.rows(waiting).await != [["0"]])
            .await;
        worker.signal(signal);
        wait_until("it drains", DEADLINE, async || {
            worker.get("/readyz").await == (503, "the service is stopping\n".to_owned())
        })
        .await;
        assert_eq!(worker.get("/livez").await.0, 200);
        let before = scene.decided().await;
        lock.execute("COMMIT").await.expect("released");
        (worker.exit(Duration::from_secs(30)).await, before)
    };
    let ((), (status, before)) = tokio::join!(scene.broker.publish(&bodies), stop);
    assert_eq!(status.code(), Some(0), "{}", worker.stderr());
    let decided = scene.decided().await;
    assert!(before < decided, "what was in hand was not finished");
    assert!(decided < 1200, "it went on taking");
    // Acknowledged is what was decided, no less and no more.
    let waiting = async || usize::try_from(scene.broker.count(&scene.broker.queue()).await).expect("a count");
    wait_until("the rest is in the queue", DEADLINE, async || waiting().await == 1200 - decided).await;
    let mut next = scene.worker().await;
    wait_until("the next one decides the rest", DEADLINE, async || scene.decided().await == 1200).await;
    next.terminate();
    assert_eq!(next.exit(DEADLINE).await.code(), Some(0), "{}", next.stderr());
    assert_eq!(waiting().await, 0);
    let answers = "SELECT outcome, CAST(count(*) AS text) FROM ledger GROUP BY outcome";
    assert_eq!(scene.database.rows(answers).await, [["deleted", "1200"]]);
}

#[tokio::test]
async fn one_instance_leads_and_another_takes_over_within_15_seconds_of_its_death() {
    let scene = Scene::new(Database::postgres().await, 1).await;
    let mut first = scene.worker().await;
    wait_until("the first one leads", DEADLINE, async || leads(&first).await).await;
    let second = scene.worker().await;
    let token = "SELECT CAST(token AS text), holder FROM leases";
    let holder = scene.database.rows(token).await;
    let kept = "SELECT CAST(EXTRACT(EPOCH FROM expires_at) AS text) FROM leases";
    let mut renewals = BTreeSet::new();
    wait_until("the lease is kept for a while", DEADLINE, async || {
        assert!(!leads(&second).await, "two lead at once");
        renewals.insert(scene.database.rows(kept).await[0][0].clone());
        renewals.len() > 3
    })
    .await;
    assert_eq!(scene.database.rows(token).await, holder, "one holder throughout");
    first.kill9();
    wait_until("the second one leads", Duration::from_secs(15), async || leads(&second).await).await;
    let after = scene.database.rows(token).await;
    assert_eq!(after[0][0], (holder[0][0].parse::<i64>().expect("a number") + 1).to_string());
    assert!(after[0][1].ends_with(&format!(":{}", second.id())), "{after:?}");
}

async fn leads(worker: &Worker) -> bool {
    worker.metrics().await.lines().any(|line| line == "contact_reaper_scheduler_leader 1")
}

#[tokio::test]
async fn runs_missed_while_nobody_was_there_are_made_up_by_one() {
    let mut scene = Scene::new(Database::sqlite(), 1).await;
    // Half a day away from now, whenever now is.
    let schedule = format!("0 {} * * *", (Utc::now().hour() + 12) % 24);
    scene.reaper = scene.reaper.setting("retention.purge_trash.schedule", &schedule);
    let mut old = records::contact(777, 777_050, json!({}));
    old["archived"] = json!(true);
    old["archivedAt"] = json!(records::days_ago(91));
    scene.reaper.import(&[old]).await;
    let last = records::days_ago(4);
    let missed = format!(
        "INSERT INTO job_runs (job, first_seen) VALUES ('purge_trash', '{last}'); \
         INSERT INTO retention_runs (job, run_by, started_at, active_at, ended_at, stopped_by, batches, deleted, failed, \
         counts) VALUES ('purge_trash', 'x', '{last}', '{last}', '{last}', 'done', 0, 0, 0, '{{}}')"
    );
    scene.database.execute(&missed).await;
    let worker = scene.worker().await;
    let state = "SELECT state FROM gone_contacts";
    wait_until("the missed run is made up", DEADLINE, async || {
        scene.database.rows(state).await == [["purged"]]
    })
    .await;
    let kept = "SELECT expires_at FROM leases";
    let mut ticks = BTreeSet::new();
    wait_until("the clockwork has gone on", DEADLINE, async || {
        ticks.insert(scene.database.rows(kept).await.concat());
        ticks.len() > 4
    })
    .await;
    let once = r#"contact_reaper_job_runs_total{job="purge_trash",result="done"} 1"#;
    assert!(worker.metrics().await.lines().any(|line| line == once), "{}", worker.metrics().await);
}

#[tokio::test]
async fn the_logs_of_a_whole_run_name_nobody_and_nothing_listens_beyond_loopback() {
    let mut scene = Scene::new(Database::sqlite(), 8).await;
    scene.reaper = scene.reaper.setting("log.level", "debug");
    let mut worker = scene.worker().await;
    let mut bodies: Vec<String> = (1..=8).map(|number| Scene::event(number).to_string()).collect();
    for member in ["objectId", "cause", "enrolledAt", "objectTypeId"] {
        let mut event = Scene::event(9);
        event["data"][member] = json!({"email": "contact777009@account777.example", "name": "Zebedee"});
        bodies.push(event.to_string());
    }
    bodies.push("contact777009@account777.example Zebedee".to_owned());
    scene.broker.publish(&bodies).await;
    wait_until("all are decided", DEADLINE, async || scene.decided().await == 8).await;
    wait_until("all are set aside", DEADLINE, async || {
        scene.database.count("dead_letters", "TRUE").await == 5
    })
    .await;
    let listening = listening(worker.id());
    assert!(!listening.is_empty(), "the service listens somewhere");
    assert!(listening.iter().all(|address| address == "0100007F"), "beyond 127.0.0.1: {listening:?}");
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
    let logs = worker.stderr();
    for line in logs.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
    }
    assert!(logs.contains("enrollment decided") && logs.contains("message dead-lettered"), "{logs}");
    for secret in ["@account777", "Zebedee", "Quimby", "zebedee", "quimby"] {
        assert!(!logs.contains(secret), "{secret} is in the logs:\n{logs}");
    }
    assert_eq!(worker.stdout(), "");
}

/// The local addresses, in the kernel's hexadecimal, of the sockets on which a process listens.
fn listening(process: u32) -> Vec<String> {
    let sockets = std::fs::read_dir(format!("/proc/{process}/fd")).expect("our own child");
    let sockets: BTreeSet<String> = sockets
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table =
        |file: &str| std::fs::read_to_string(format!("/proc/{process}/net/{file}")).unwrap_or_default();
    let mut found = Vec::new();
    for line in [table("tcp"), table("tcp6")].concat().lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields[..]
            && sockets.contains(inode)
        {
            found.push(local.split(':').next().expect("an address").to_owned());
        }
    }
    found
}

/// Account 777, a workflow (7) that deletes everybody, contacts from 777001 on, who are all called Zebedee Quimby.
struct Scene {
    database: Database,
    broker: Broker,
    reaper: Reaper,
}

impl Scene {
    async fn new(database: Database, contacts: i64) -> Self {
        let broker = Broker::new().await;
        let reaper = Reaper::new(&database).fed_by(&broker).unguarded();
        let mut world = records::entitled_account(777);
        let everybody =
            records::all_of(&[records::property("email", "ALL_PROPERTY", "IS_KNOWN", json!(null))]);
        world.push(records::workflow(777, 7, &everybody));
        let name = json!({"firstname": "Zebedee", "lastname": "Quimby"});
        world.extend((1..=contacts).map(|number| records::contact(777, 777_000 + number, name.clone())));
        reaper.import(&world).await;
        Self { database, broker, reaper }
    }

    async fn worker(&self) -> Worker {
        let mut worker = self.reaper.spawn(&["run"]);
        worker.wait_ready().await;
        worker
    }

    fn event(number: i64) -> Value {
        records::event(777, 7, 777_000 + number, 777_000 + number)
    }

    async fn decided(&self) -> usize {
        let rows = self.database.rows("SELECT CAST(count(*) AS text) FROM ledger").await;
        rows[0][0].parse().expect("a count")
    }
}
