//! How many enrollments wait in the queue: they go before the jobs of retention.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection};
use tokio::sync::Mutex;
use tracing::debug;

use super::connection::{Role, connect, transient};
use super::{Options, short};
use crate::ports::{FeedError, Lag};

/// An answer is good for so long: a job asks before each of its batches.
const GOOD_FOR: Duration = Duration::from_secs(2);
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
        let (good_for, answer) = match self.waiting(&mut seen.open).await {
            Ok(waiting) => (GOOD_FOR, waiting > self.max_waiting),
            Err(problem) => {
                debug!(error = %problem, "how many enrollments wait is not known");
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
        let queue = channel.queue_declare(short(&self.options.queue)?, look, FieldTable::default()).await;
        queue.map(|queue| queue.message_count()).map_err(|error| transient("looking at the queue", &error))
    }
}

impl Lag for QueueLag {
    fn of_what(&self) -> &'static str {
        "enrollments"
    }

    fn is_behind(&self) -> BoxFuture<'_, bool> {
        self.ask().boxed()
    }
}
