//! What is in a message's way for a while, and what is in everybody's: the ladder of retries, a store that is away, the
//! one bad row of a batch.

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::records::{entitled_account, event, lines, manual_workflow};
use crate::support::{Broker, DEADLINE, Database, Proxy, Reaper, Worker, on_both, records, wait_until};

const TWO_RUNGS: &str = "300ms,600ms";

/// Account 1 with a workflow 6 that enrolls by hand and contacts 1 to 9, on PostgreSQL behind a broker.
struct Scene {
    database: Database,
    broker: Broker,
    reaper: Reaper,
}

impl Scene {
    async fn new() -> Self {
        let (database, broker) = (Database::postgres().await, Broker::new().await);
        let reaper = Reaper::new(&database)
            .fed_by(&broker)
            .setting("feed.rabbitmq.retry_delays", TWO_RUNGS)
            .setting("store.statement_timeout", "1s");
        reaper.import(&world()).await;
        Self { database, broker, reaper }
    }

    async fn worker(&self) -> Worker {
        let mut worker = self.reaper.spawn(&["run"]);
        worker.wait_ready().await;
        worker
    }

    /// Keeps a contact from everybody until the connection is dropped.
    async fn lock(&self, contact: i64) -> PgConnection {
        let mut lock = PgConnection::connect(self.database.url()).await.expect("a connection");
        let sql = match contact {
            2 => "BEGIN; SELECT 1 FROM contacts WHERE contact_id = 2 FOR UPDATE",
            _ => "BEGIN; SELECT 1 FROM contacts WHERE contact_id = 3 FOR UPDATE",
        };
        lock.execute(sql).await.expect("locked");
        lock
    }

    async fn wait_until_decided(&self, count: i64) {
        wait_until("they are decided", DEADLINE, async || {
            self.database.count("ledger", "TRUE").await == count
        })
        .await;
    }

    /// How many wait, in the work queue, on the ladder and among the dead letters.
    async fn waiting(&self) -> [i64; 4] {
        let rungs =
            ["contact-reaper.retry.300ms", "contact-reaper.retry.600ms"].map(|it| self.broker.own_name(it));
        let count = async |queue: &str| i64::from(self.broker.count(queue).await);
        [
            count(&self.broker.queue()).await,
            count(&rungs[0]).await,
            count(&rungs[1]).await,
            self.database.count("dead_letters", "TRUE").await,
        ]
    }
}

fn world() -> Vec<Value> {
    let mut world = entitled_account(1);
    world.push(manual_workflow(1, 6));
    world.extend((1..=9).map(|id| records::contact(1, id, json!({}))));
    world
}

/// Enrollment and contact have the same number.
fn by_hand(contact: i64) -> Value {
    let mut event = event(1, 6, contact, contact);
    event["data"]["cause"] = json!("MANUAL");
    event
}

async fn counted(worker: &Worker, sample: &str) -> u64 {
    let metrics = worker.metrics().await;
    let start = format!("contact_reaper_{sample} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&start));
    value.unwrap_or_else(|| panic!("no {sample}")).parse().expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_locked_climbs_the_ladder_while_the_others_go_on_and_is_decided_once_it_is_free() {
    let scene = Scene::new().await;
    let worker = scene.worker().await;
    assert_eq!(counted(&worker, r#"retries_total{reason="timed_out"}"#).await, 0);
    // The rung is not there to take it: what no queue has taken is not acknowledged, and the next session declares it.
    scene.broker.delete_queue(&scene.broker.own_name("contact-reaper.retry.300ms")).await;
    let lock = scene.lock(2).await;
    scene.broker.publish(&(1..=4).map(|id| by_hand(id).to_string()).collect::<Vec<_>>()).await;
    scene.wait_until_decided(3).await;
    wait_until("it was put off", DEADLINE, async || {
        counted(&worker, r#"retries_total{reason="timed_out"}"#).await > 0
    })
    .await;
    drop(lock);
    scene.wait_until_decided(4).await;
    assert_eq!(scene.reaper.state(1, 2).await, "in_trash");
    wait_until("nothing is left", DEADLINE, async || scene.waiting().await == [0; 4]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stays_locked_is_set_aside_after_the_last_rung_and_can_be_replayed() {
    let scene = Scene::new().await;
    let mut worker = scene.worker().await;
    let lock = scene.lock(3).await;
    let body = by_hand(3).to_string();
    scene.broker.publish(&[body.clone(), by_hand(1).to_string()]).await;
    wait_until("it is set aside", DEADLINE, async || scene.database.count("dead_letters", "TRUE").await == 1)
        .await;
    assert_eq!(scene.database.count("ledger", "TRUE").await, 1);
    assert_eq!(counted(&worker, r#"retries_total{reason="timed_out"}"#).await, 2, "once a rung");
    wait_until("it is counted once it is settled", DEADLINE, async || {
        counted(&worker, r#"dead_letters_total{reason="retries_exhausted"}"#).await == 1
    })
    .await;
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0), "{}", worker.stderr());

    let rows = scene.reaper.json(&["dead-letters", "list"]).await;
    let row = &rows[0];
    assert_eq!((&row["reason"], &row["attempts"]), (&json!("retries_exhausted"), &json!(2)), "{row}");
    let detail = row["detail"].as_str().expect("a text");
    assert!(detail.starts_with("$.data: ") && detail.ends_with("tried 3 times"), "{detail}");
    let replayed = scene.reaper.json(&["dead-letters", "replay", "--reason", "retries_exhausted"]).await;
    assert_eq!(replayed, json!({"replayed": 1}));
    let messages = scene.broker.drain(&scene.broker.queue()).await;
    assert_eq!((messages.len(), &messages[0].body), (1, &body.clone().into_bytes()));
    // The broker itself writes the number of deliveries on every message.
    let headers = messages[0].headers.keys().map(String::as_str);
    let headers: Vec<&str> = headers.filter(|name| *name != "x-delivery-count").collect();
    assert_eq!(
        headers,
        ["x-original-exchange", "x-original-message-id", "x-original-routing-key"],
        "nothing of the ladder sticks to it"
    );
    assert_eq!(messages[0].headers["x-original-exchange"], scene.broker.exchange());
    drop(lock);
    scene.broker.publish(&[body]).await;
    let _worker = scene.worker().await;
    scene.wait_until_decided(2).await;
    assert_eq!(scene.waiting().await, [0; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_costs_nobody_an_attempt_and_stopping_meanwhile_gives_everything_back() {
    let scene = Scene::new().await;
    let (server, path) = scene.database.url().rsplit_once('/').expect("a database in the URL");
    let (_, host) = server.rsplit_once('@').expect("a user in the URL");
    let mut proxy = Proxy::new(host);
    proxy.open();
    let url = format!("postgres://postgres@{}/{path}", proxy.address());
    let reaper = scene.reaper.clone().setting("store.url", &url).setting("store.acquire_timeout", "500ms");
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    proxy.close().await;
    scene.broker.publish(&(1..=5).map(|id| by_hand(id).to_string()).collect::<Vec<_>>()).await;
    wait_until("it has tried a few times", DEADLINE, async || {
        worker.stderr().matches("batch not processed").count() >= 4
    })
    .await;
    assert_eq!(worker.get("/readyz").await, (503, "the store does not answer\n".to_owned()));
    assert_eq!(scene.waiting().await, [0; 4], "all in hand");
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0), "{}", worker.stderr());
    wait_until("all are given back", DEADLINE, async || scene.waiting().await == [5, 0, 0, 0]).await;

    proxy.open();
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    scene.wait_until_decided(5).await;
    assert_eq!(counted(&worker, r#"retries_total{reason="contended"}"#).await, 0);
    // A store that answers but takes nothing is no reason to spend attempts either; and it resumes by itself.
    scene.database.execute("ALTER TABLE ledger RENAME TO ledger_away").await;
    scene.broker.publish(&[by_hand(6).to_string()]).await;
    wait_until("it says so", DEADLINE, async || {
        worker.get("/readyz").await == (503, "the store decides nothing; the log says why\n".to_owned())
    })
    .await;
    scene.database.execute("ALTER TABLE ledger_away RENAME TO ledger").await;
    scene.wait_until_decided(6).await;
    worker.wait_ready().await;
    assert_eq!(scene.waiting().await, [0; 4]);
}

on_both!(the_one_row_that_the_store_cannot_take_is_found_and_the_others_are_decided, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&world()).await;
    db.execute(db.in_its_words(
        "ALTER TABLE ledger ADD CONSTRAINT never CHECK (enrollment_id NOT IN (3, 7))",
        "CREATE TRIGGER never BEFORE INSERT ON ledger WHEN NEW.enrollment_id IN (3, 7) \
         BEGIN SELECT RAISE(ABORT, 'never'); END",
    ))
    .await;
    let events: Vec<Value> = (1..=9).map(by_hand).collect();
    reaper.decide(&events).await;
    assert_eq!(db.count("ledger", "outcome = 'deleted'").await, 7);
    let letters = reaper.fed_by_lines("-").json(&["dead-letters", "list", "--reason", "poison"]).await;
    assert_eq!(letters.as_array().expect("an array").len(), 2);
    assert!(letters[0]["detail"].as_str().expect("a text").starts_with("$.data: the store does not take it"));
    for contact in [3, 7] {
        assert_eq!(reaper.state(1, contact).await, "live");
    }
    let bodies: Vec<Vec<String>> = db
        .rows(db.in_its_words(
            "SELECT convert_from(body, 'UTF8') FROM dead_letters ORDER BY dead_letter_id",
            "SELECT CAST(body AS text) FROM dead_letters ORDER BY dead_letter_id",
        ))
        .await;
    assert_eq!(bodies.concat().join("\n") + "\n", lines(&[by_hand_of(&events, 3), by_hand_of(&events, 7)]));
});

fn by_hand_of(events: &[Value], enrollment: i64) -> Value {
    let wanted = json!(enrollment.to_string());
    events.iter().find(|event| event["data"]["enrollmentId"] == wanted).expect("one of them").clone()
}
