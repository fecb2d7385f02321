//! Ten thousand events from outside, a fifth of them twice, in no order, some of them malformed, while a worker is
//! killed half-way: afterwards everything is as an independent model says, row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{self, Case, Dice, Earlier, Faulty, State};
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, records, wait_until};

const EVENTS: usize = 10_000;
const TWICE: usize = EVENTS / 5;
const FAULTY: usize = 240;
/// Decided before the rest is published, so that others can contradict them.
const EARLY: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_workers_on_postgres_one_is_killed_and_nothing_is_lost_or_done_twice() {
    let scene = Scene::new(Database::postgres().await, 2).await;
    let (mut victim, mut survivor) = (scene.worker().await, scene.worker().await);
    scene.publish_and_at_half_time(async || victim.kill9()).await;
    scene.wait_until_decided().await;
    finish(&mut survivor).await;
    scene.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_on_sqlite_is_killed_and_started_again_and_nothing_is_lost_or_done_twice() {
    let scene = Scene::new(Database::sqlite(), 1).await;
    let mut worker = scene.worker().await;
    scene
        .publish_and_at_half_time(async || {
            worker.kill9();
            worker = scene.worker().await;
        })
        .await;
    scene.wait_until_decided().await;
    finish(&mut worker).await;
    scene.check().await;
}

async fn finish(worker: &mut Worker) {
    worker.terminate();
    let status = worker.exit(Duration::from_secs(30)).await;
    assert_eq!(status.code(), Some(0), "{}", worker.stderr());
}

struct Scene {
    database: Database,
    broker: Broker,
    /// The queue that hears of what happened.
    heard: String,
    reaper: Reaper,
    cases: Vec<Case>,
    faulty: Vec<Faulty>,
}

impl Scene {
    async fn new(database: Database, seed: u64) -> Self {
        let cases = model::cases(EVENTS - TWICE - FAULTY, &mut Dice::new(seed));
        let faulty = model::faulty(FAULTY, &cases[..EARLY]);
        let broker = Broker::new().await;
        let heard = broker.listen(&[]).await;
        // Small batches, so that many are under way when the worker is killed.
        let reaper = Reaper::new(&database)
            .fed_by(&broker)
            .setting("pipeline.batch_size", "50")
            .setting("pipeline.prefetch", "150")
            .unguarded();
        reaper.import(&model::world(&cases)).await;
        let purged = reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
        let to_purge = contacts(&cases, |case| case.state == State::Purged).len();
        assert_eq!(purged["jobs"][0]["deleted"], to_purge);
        let store = database.open();
        for (account, contact) in contacts(&cases, |case| case.state == State::Restored) {
            let user = records::ADMIN.to_string();
            store.delete_contact(account, &user, contact).await.expect("deleted");
            store.restore_contact(account, &user, contact).await.expect("restored");
        }
        store.close().await;
        database.restored_a_while_ago().await;
        Self { database, broker, heard, reaper, cases, faulty }
    }

    async fn worker(&self) -> Worker {
        let mut worker = self.reaper.spawn(&["run"]);
        worker.wait_ready().await;
        worker
    }

    /// Publishes everything, and does something when about half of it is decided.
    async fn publish_and_at_half_time(&self, deed: impl AsyncFnOnce()) {
        let bodies = |cases: &[Case]| -> Vec<Vec<u8>> {
            cases.iter().map(|case| case.body().to_string().into_bytes()).collect()
        };
        let early = bodies(&self.cases[..EARLY]);
        self.broker.publish(&early).await;
        wait_until("the early ones are decided", DEADLINE, async || self.decided().await == EARLY).await;

        let mut dice = Dice::new(7);
        let mut events = early;
        events.extend(bodies(&self.cases[EARLY..]));
        let again: Vec<Vec<u8>> = (0..TWICE).map(|_| events[dice.roll(events.len())].clone()).collect();
        events.drain(..EARLY);
        events.extend(again);
        events.extend(self.faulty.iter().map(|faulty| faulty.body.clone()));
        assert_eq!(events.len() + EARLY, EVENTS);
        dice.shuffle(&mut events);

        let half_time = async {
            let half = self.cases.len() / 2;
            wait_until("half of them are decided", DEADLINE, async || self.decided().await >= half).await;
            deed().await;
            let decided = self.decided().await;
            assert!(decided < self.cases.len(), "the worker was killed too late to tell anything");
        };
        tokio::join!(self.broker.publish(&events), half_time);
    }

    async fn decided(&self) -> usize {
        let rows = self.database.rows("SELECT CAST(count(*) AS text) FROM ledger").await;
        rows[0][0].parse().expect("a count")
    }

    async fn wait_until_decided(&self) {
        wait_until("every enrollment is decided", DEADLINE, async || {
            self.decided().await == self.cases.len()
        })
        .await;
        // What is behind them in the queue are duplicates and dead letters.
        wait_until("the queue is empty", DEADLINE, async || {
            self.broker.count(&self.broker.queue()).await == 0
        })
        .await;
        // The lease of a worker that was killed may have to end first.
        wait_until("every event is out", DEADLINE, async || self.database.count("outbox", "TRUE").await == 0)
            .await;
    }

    async fn check(&self) {
        let everything: BTreeSet<model::Answer> =
            model::answers(&self.cases).into_values().flatten().collect();
        assert_eq!(everything.len(), 17, "an outcome that can occur does not: {everything:?}");
        self.check_dead_letters().await;
        let deleted = self.check_ledger().await;
        self.check_contacts(&deleted).await;
        self.check_trash(&deleted).await;
        self.check_segments_and_workflows(&deleted).await;
    }

    /// The worker is gone, and what it had in hand would be back by now.
    async fn check_dead_letters(&self) {
        assert_eq!(self.broker.count(&self.broker.queue()).await, 0, "something is left in the work queue");
        let mut letters: BTreeMap<Vec<u8>, (String, String)> = BTreeMap::new();
        for letter in self.database.letters().await {
            let place = letter.detail.split(": ").next().expect("split gives one part at least").to_owned();
            assert_ne!(place, letter.detail, "a detail says what must be there, too");
            let before = letters.insert(letter.body, (letter.reason, place));
            assert_eq!(before, None, "set aside twice");
        }
        let expected: BTreeMap<Vec<u8>, (String, String)> = self
            .faulty
            .iter()
            .map(|faulty| (faulty.body.clone(), (faulty.reason.to_owned(), faulty.place.to_owned())))
            .collect();
        assert_eq!(expected.len(), FAULTY, "two faulty bodies are equal");
        for (body, reasons) in &expected {
            assert_eq!(letters.get(body), Some(reasons), "{}", String::from_utf8_lossy(body));
        }
        assert_eq!(letters.len(), FAULTY, "something well-formed was set aside");
    }

    /// By contact that was deleted: the workflow and the enrollment that did it, and the trash entry.
    async fn check_ledger(&self) -> BTreeMap<(i64, i64), [String; 3]> {
        let rows = self
            .database
            .rows(
                "SELECT CAST(account_id AS text), CAST(object_id AS text), CAST(workflow_id AS text), \
                 CAST(enrollment_id AS text), CAST(action_id AS text), outcome, coalesce(reason, ''), \
                 coalesce(CAST(trash_entry_id AS text), '') FROM ledger",
            )
            .await;
        let keys: BTreeSet<[String; 5]> =
            rows.iter().map(|row| std::array::from_fn(|column| row[column].clone())).collect();
        let expected = self.cases.iter().map(|case| {
            [case.account, case.contact, case.workflow, case.enrollment, case.action].map(|id| id.to_string())
        });
        assert_eq!(keys, expected.collect());
        assert_eq!(rows.len(), keys.len(), "an enrollment has two rows");

        let mut answers: BTreeMap<(i64, i64), Vec<(&str, &str)>> = BTreeMap::new();
        let mut deleted = BTreeMap::new();
        for row in &rows {
            let contact = (row[0].parse().expect("an id"), row[1].parse().expect("an id"));
            answers.entry(contact).or_default().push((&row[5], &row[6]));
            assert_eq!(row[5] == "deleted", !row[7].is_empty(), "{row:?}");
            if row[5] == "deleted" {
                deleted.insert(contact, [row[2].clone(), row[3].clone(), row[7].clone()]);
            }
        }
        for (contact, expected) in model::answers(&self.cases) {
            let mut found = answers.remove(&contact).unwrap_or_default();
            found.sort_unstable();
            let cases = self.cases.iter().filter(|case| (case.account, case.contact) == contact);
            assert_eq!(found, expected, "{:?}", cases.collect::<Vec<_>>());
        }
        deleted
    }

    async fn check_contacts(&self, deleted: &BTreeMap<(i64, i64), [String; 3]>) {
        let rows = self
            .database
            .rows(
                "SELECT CAST(account_id AS text), CAST(contact_id AS text), \
                 CASE WHEN deleted_at IS NULL THEN 'live' ELSE 'in_trash' END FROM contacts \
                 UNION ALL SELECT CAST(account_id AS text), CAST(contact_id AS text), state FROM gone_contacts",
            )
            .await;
        let known = self.cases.iter().filter(|case| case.state != State::Unknown);
        let states: BTreeMap<(i64, i64), State> =
            known.map(|case| ((case.account, case.contact), case.state)).collect();
        let expected = states.into_iter().map(|(contact, state)| {
            let state = match state {
                State::Purged => "purged",
                State::InTrash => "in_trash",
                _ if deleted.contains_key(&contact) => "in_trash",
                _ => "live",
            };
            vec![contact.0.to_string(), contact.1.to_string(), state.to_owned()]
        });
        assert_same(rows, expected.collect());
    }

    /// Entries that are open, and those of the contacts that a user restored, or that were purged, closed.
    async fn check_trash(&self, deleted: &BTreeMap<(i64, i64), [String; 3]>) {
        let rows = self
            .database
            .rows(
                "SELECT CAST(account_id AS text), CAST(contact_id AS text), deleted_by, \
                 coalesce(CAST(workflow_id AS text), ''), coalesce(CAST(enrollment_id AS text), ''), \
                 CASE deleted_by WHEN 'workflow' THEN CAST(entry_id AS text) ELSE '' END, \
                 coalesce(closed_as, '') FROM trash_entries",
            )
            .await;
        let entry = |contact: (i64, i64), rest: [&str; 5]| {
            let ids = [contact.0.to_string(), contact.1.to_string()];
            ids.into_iter().chain(rest.map(str::to_owned)).collect::<Vec<_>>()
        };
        let mut expected: Vec<Vec<String>> = deleted
            .iter()
            .map(|(contact, [workflow, enrollment, id])| {
                entry(*contact, ["workflow", workflow, enrollment, id, ""])
            })
            .collect();
        for (state, by, closed_as) in [
            (State::InTrash, "import", ""),
            (State::Purged, "import", "purged"),
            (State::Restored, "user", "restored"),
        ] {
            let of_state = contacts(&self.cases, |case| case.state == state);
            expected.extend(of_state.into_iter().map(|contact| entry(contact, [by, "", "", "", closed_as])));
        }
        assert_same(rows, expected);
        // Heard at least once each, and none left to be told.
        let events = self.broker.drain(&self.heard).await.into_iter();
        let id = |body: &[u8]| {
            let event: serde_json::Value = serde_json::from_slice(body).expect("a CloudEvent");
            event["id"].to_string()
        };
        let heard: BTreeSet<String> = events.map(|event| id(&event.body)).collect();
        let by_users = 2 * contacts(&self.cases, |case| case.state == State::Restored).len();
        let purged = contacts(&self.cases, |case| case.state == State::Purged).len();
        assert_eq!(
            heard.len(),
            deleted.len() + by_users + purged,
            "deletions, restores and purges announced"
        );
        assert_eq!(self.database.count("outbox", "TRUE").await, 0);
    }

    async fn check_segments_and_workflows(&self, deleted: &BTreeMap<(i64, i64), [String; 3]>) {
        let sql = "SELECT CAST(account_id AS text), CAST(segment_id AS text), CAST(contact_id AS text) \
                   FROM segment_members";
        let mut members = contacts(&self.cases, Case::is_member);
        members.retain(|contact| !deleted.contains_key(contact));
        let row = |(account, contact): (i64, i64)| {
            [account, model::SEGMENT, contact].map(|id| id.to_string()).to_vec()
        };
        assert_same(self.database.rows(sql).await, members.into_iter().map(row).collect());

        let sql = "SELECT CAST(account_id AS text), CAST(contact_id AS text), CAST(workflow_id AS text), \
                   CASE WHEN active THEN 'active' ELSE 'ended' END FROM workflow_enrollments";
        let enrolled = self.cases.iter().filter(|case| case.earlier != Earlier::None).map(|case| {
            let gone = deleted.contains_key(&(case.account, case.contact));
            let active = case.earlier == Earlier::Active && !gone;
            let ids = [case.account, case.contact, case.workflow].map(|id| id.to_string());
            [ids.to_vec(), vec![if active { "active" } else { "ended" }.to_owned()]].concat()
        });
        assert_same(self.database.rows(sql).await, enrolled.collect());
    }
}

fn contacts(cases: &[Case], wanted: impl Fn(&Case) -> bool) -> BTreeSet<(i64, i64)> {
    cases.iter().filter(|case| wanted(case)).map(|case| (case.account, case.contact)).collect()
}

fn assert_same(found: Vec<Vec<String>>, expected: Vec<Vec<String>>) {
    assert_eq!(found.len(), expected.len(), "rows");
    let found: BTreeSet<Vec<String>> = found.into_iter().collect();
    let expected: BTreeSet<Vec<String>> = expected.into_iter().collect();
    let wrong: Vec<_> = found.symmetric_difference(&expected).take(10).collect();
    assert!(wrong.is_empty(), "found and not expected, or the other way round: {wrong:?}");
}
