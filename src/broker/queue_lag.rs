//! How many enrollments wait in the queue: they go before the jobs of retention.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use metrics::gauge;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::debug;

use super::connection::{Role, connect, transient};
use super::{Options, short};
use crate::ports::{Backpressure, FeedError};
use crate::telemetry;

/// An answer is good for so long: a job asks before each of its batches.
const CACHE_TTL: Duration = Duration::from_secs(2);
/// How long the broker may take to answer: nobody's end is to wait for it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// A broker that is away is left alone for so long.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// The work queue, of which so many messages may wait.
pub struct QueueLag {
    options: Options,
    max_waiting: u32,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    open: Option<(Connection, Channel)>,
    /// Until when it need not be asked again, and what it answered.
    answer: Option<(Instant, bool)>,
}

impl QueueLag {
    /// Connects with the first question.
    pub fn new(options: Options, max_waiting: u32) -> Self {
        Self { options, max_waiting, seen: Mutex::default() }
    }

    async fn ask(&self) -> bool {
        let mut seen = self.seen.lock().await;
        if let Some((until, answer)) = seen.answer
            && Instant::now() < until
        {
            return answer;
        }
        let (good_for, answer) = match timeout(QUERY_TIMEOUT, self.waiting(&mut seen.open)).await {
            Ok(Ok(waiting)) => (CACHE_TTL, waiting > self.max_waiting),
            unknown => {
                debug!(answer = ?unknown, "how many enrollments wait is not known");
                seen.open = None;
                (LEFT_ALONE, false)
            }
        };
        seen.answer = Some((Instant::now() + good_for, answer));
        answer
    }

    async fn waiting(&self, open: &mut Option<(Connection, Channel)>) -> Result<u32, FeedError> {
        if open.is_none() {
            let connection = connect(&self.options, Role::Look).await?;
            let channel =
                connection.create_channel().await.map_err(|error| transient("opening a channel", &error))?;
            *open = Some((connection, channel));
        }
        let Some((_, channel)) = open else { return Ok(0) };
        let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let mut enrollments = 0;
        for (queue, name) in self.queues() {
            let seen = channel.queue_declare(short(name)?, look, FieldTable::default()).await;
            let messages = seen.map_err(|error| transient("looking at a queue", &error))?.message_count();
            gauge!(telemetry::QUEUE_MESSAGES, "queue" => queue).set(messages);
            if name == self.options.queue {
                enrollments = messages;
            }
        }
        Ok(enrollments)
    }

    /// What is looked at, as the metrics call it and as it is named.
    fn queues(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Options { queue, dead_letter_queue, records, .. } = &self.options;
        let records = records.as_ref().map(|records| ("records", records.queue.as_str()));
        [("enrollments", queue.as_str()), ("dead_letters", dead_letter_queue)].into_iter().chain(records)
    }
}

impl Backpressure for QueueLag {
    fn name(&self) -> &'static str {
        "enrollments"
    }

    fn should_wait(&self) -> BoxFuture<'_, bool> {
        self.ask().boxed()
    }

    fn reset_gauges(&self) {
        for (queue, _) in self.queues() {
            gauge!(telemetry::QUEUE_MESSAGES, "queue" => queue).set(0.0);
        }
    }
}
