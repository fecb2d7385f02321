//! Workers on a store and a broker, with events coming in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lapin::types::AMQPValue;
use sqlx::{Executor as _, PgConnection};

use super::load::{Load, Sent};
use super::oracle::{self, Outside, RUNGS};
use super::plan::{self, ACCOUNT, Mix, POISON, Plan, RESTORED};
use super::{LONG, recovery, whole};
use crate::support::{Broker, Database, Reaper, Worker, records, wait_until};

pub struct Scene {
    pub database: Database,
    pub broker: Arc<Broker>,
    pub reaper: Reaper,
    pub workers: Vec<Worker>,
    pub plan: Plan,
    sent: Sent,
    outside: Outside,
    known: i64,
}

impl Scene {
    /// No worker runs yet. There may be so many events.
    pub async fn new(database: Database, broker: Broker, events: i64, mix: Mix, seed: u64) -> Self {
        // Whatever happens to a node of the broker, it keeps what it was told.
        let listener = broker.listen(&[("x-queue-type", AMQPValue::LongString("quorum".into()))]).await;
        // Many small batches: more of them are in some step when something happens.
        let reaper = Reaper::new(&database)
            .fed_by(&broker)
            .unguarded()
            // What the guard has counted is added up at the end, hours later it may be.
            .setting("guard.workflow.window", "30d")
            .setting("guard.account.window", "30d")
            .setting("pipeline.batch_size", "20")
            .setting("pipeline.prefetch", "60")
            .setting("feed.rabbitmq.retry_delays", &RUNGS.join(","))
            .setting("feed.rabbitmq.max_reconnect_delay", "1s");
        prepare(&database, &reaper, events).await;
        let broker = Arc::new(broker);
        let (events_told, sent) = (Vec::new(), Sent::default());
        let outside = Outside::Broker {
            broker: Arc::clone(&broker),
            listener,
            sent: sent.clone(),
            events: events_told,
        };
        let known = whole(plan::known(events).count());
        let (workers, plan) = (Vec::new(), Plan::new(mix, seed));
        Self { database, broker, reaper, workers, plan, sent, outside, known }
    }

    pub async fn start(&mut self, workers: usize) {
        for _ in 0..workers {
            let mut worker = self.reaper.spawn(&["run"]);
            worker.wait_ready().await;
            self.workers.push(worker);
        }
    }

    /// Publishes the next events, at an easy pace.
    pub fn load(&mut self, events: usize) -> Load {
        Load::start(Arc::clone(&self.broker), self.plan.take(events), self.sent.clone())
    }

    /// How many are decided; while the database is away, nobody knows.
    pub async fn decided(&self) -> Option<usize> {
        let rows = self.database.try_rows("SELECT CAST(count(*) AS text) FROM ledger").await.ok()?;
        rows[0][0].parse().ok()
    }

    pub async fn wait_decided(&self, count: usize) {
        let what = format!("{count} are decided");
        wait_until(&what, LONG, async || self.decided().await >= Some(count)).await;
    }

    /// Events come in, something happens and ends again: everybody recovers by themselves, and all is as it must be.
    pub async fn survives(&mut self, what: &str, events: usize, fault: impl AsyncFnOnce(&mut Self)) {
        self.recovers(what, events, fault).await;
        self.check().await;
    }

    /// The same without a look at what was done, which takes the longer the more there was.
    pub async fn recovers(&mut self, what: &str, events: usize, fault: impl AsyncFnOnce(&mut Self)) {
        let before = self.plan.decided();
        let load = self.load(events);
        self.wait_decided(before + 10).await;
        fault(self).await;
        let ended = Instant::now();
        let decided = self.decided().await.unwrap_or(0);
        for worker in &mut self.workers {
            worker.wait_ready().await;
        }
        let all = self.plan.decided();
        wait_until("work goes on", LONG, async || self.decided().await >= Some(all.min(decided + 1))).await;
        let took = ended.elapsed();
        println!("{what}: recovered within {took:?}");
        let logs = || self.workers.iter().map(Worker::stderr).collect::<Vec<_>>().join("\n\n");
        assert!(took <= recovery(), "{what}: it took {took:?} to recover:\n{}", logs());
        load.finish().await;
        self.settle().await;
    }

    /// Waits until nothing is under way any more.
    pub async fn settle(&mut self) {
        self.wait_decided(self.plan.decided()).await;
        let bad = self.plan.dead_letters().len();
        wait_until("the bad ones are set aside", LONG, async || {
            oracle::letters(&self.database).await.len() >= bad
        })
        .await;
        wait_until("every event is out", LONG, async || self.database.count("outbox", "TRUE").await == 0)
            .await;
        wait_until("nothing is in a queue or in hand", LONG, async || self.is_idle().await).await;
        for worker in &self.workers {
            // A lane that panics is survived: what it had in hand comes again. It is a mistake all the same.
            assert!(!worker.stderr().contains("panicked"), "{}", worker.stderr());
        }
    }

    /// Repetitions of what is decided may still be on their way, from hands to queues and from queues to hands: the
    /// hands are looked at before the queues and after.
    async fn is_idle(&self) -> bool {
        !self.in_hand().await && oracle::waiting(&self.broker).await == 0 && !self.in_hand().await
    }

    async fn in_hand(&self) -> bool {
        for worker in &self.workers {
            if in_flight(worker).await > 0 {
                return true;
            }
        }
        false
    }

    pub async fn check(&mut self) {
        oracle::check(&self.plan, self.known, &self.database, &mut self.outside, &self.workers).await;
    }

    /// Ends the workers, which gives back what they had not acknowledged: there must be nothing.
    pub async fn finish(mut self) {
        self.settle().await;
        self.check().await;
        for worker in &mut self.workers {
            worker.terminate();
        }
        for mut worker in std::mem::take(&mut self.workers) {
            let status = worker.exit(LONG).await;
            assert_eq!(status.code(), Some(0), "{}", worker.stderr());
        }
        self.check().await;
    }
}

/// How many messages a worker has in hand.
pub async fn in_flight(worker: &Worker) -> u32 {
    let metrics = worker.metrics().await;
    // Not there before the first batch.
    let count = metrics.lines().find_map(|line| line.strip_prefix("contact_reaper_in_flight "));
    count.map_or(0, |count| count.parse().expect("a number"))
}

/// Makes the schema, imports the world and gives some contacts a past; poison will be refused by the ledger.
pub async fn prepare(database: &Database, reaper: &Reaper, events: i64) {
    reaper.import(&plan::world(events)).await;
    let (store, user) = (database.open(), records::ADMIN.to_string());
    for contact in RESTORED {
        store.delete_contact(ACCOUNT, &user, contact).await.expect("deleted");
        store.restore_contact(ACCOUNT, &user, contact).await.expect("restored");
    }
    store.close().await;
    database.restored_a_while_ago().await;
    let postgres = format!(
        "CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'poison' USING ERRCODE = '23514'; END $$; \
         CREATE TRIGGER poison BEFORE INSERT ON ledger FOR EACH ROW WHEN (NEW.object_id > {POISON}) \
         EXECUTE FUNCTION poison()"
    );
    let sqlite = format!(
        "CREATE TRIGGER poison BEFORE INSERT ON ledger WHEN NEW.object_id > {POISON} \
         BEGIN SELECT RAISE(ABORT, 'poison'); END"
    );
    database.execute(database.in_its_words(&postgres, &sqlite)).await;
}

/// Locks every contact, in the order of everybody else, until the connection is dropped.
pub async fn lock_all(connection: &mut PgConnection) {
    let lock = "BEGIN; SELECT 1 FROM contacts ORDER BY account_id, contact_id FOR UPDATE";
    connection.execute(lock).await.expect("locked");
}

/// A moment of waiting while something is wrong.
pub async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
