//! Dead letters of the embedded feed as a feed: what was set aside is decided anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::dead_letter::Origin;
use crate::ports::{Delivery, Feed, FeedError, ReplayStore, Session, SettleAction, Settlement, Settler};

/// A number of dead letters; ends when all were handed out.
pub struct ReplayFeed<R>(DeadLetterRows<R>);

struct DeadLetterRows<R> {
    /// By id, which is their order: those that are not settled.
    open: Arc<Mutex<BTreeMap<i64, Vec<u8>>>>,
    replays: Arc<R>,
}

impl<R> Clone for DeadLetterRows<R> {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open), replays: Arc::clone(&self.replays) }
    }
}

impl<R: ReplayStore> ReplayFeed<R> {
    /// Ids and bodies.
    pub fn new(letters: impl IntoIterator<Item = (i64, Vec<u8>)>, replays: Arc<R>) -> Self {
        let open = Arc::new(Mutex::new(letters.into_iter().collect()));
        Self(DeadLetterRows { open, replays })
    }
}

impl<R: ReplayStore> Feed for ReplayFeed<R> {
    type Session = ReplaySession<R>;

    async fn open(&mut self) -> Result<ReplaySession<R>, FeedError> {
        let letters = self.0.clone();
        let waiting =
            letters.open.lock().unwrap_or_else(PoisonError::into_inner).clone().into_iter().collect();
        Ok(ReplaySession { feed: "replay".into(), waiting, settler: ReplaySettler(letters) })
    }
}

/// One going-through.
pub struct ReplaySession<R> {
    feed: Arc<str>,
    waiting: VecDeque<(i64, Vec<u8>)>,
    settler: ReplaySettler<R>,
}

impl<R: ReplayStore> Session for ReplaySession<R> {
    type AckHandle = i64;
    type Settler = ReplaySettler<R>;

    async fn next(&mut self) -> Result<Option<Delivery<i64>>, FeedError> {
        let next = self.waiting.pop_front();
        Ok(next.map(|(ack_handle, body)| {
            let origin = Origin::place(Arc::clone(&self.feed), ack_handle.to_string());
            Delivery { body, unread: None, redelivered: false, attempt: 0, trace: None, origin, ack_handle }
        }))
    }

    fn settler(&self) -> ReplaySettler<R> {
        self.settler.clone()
    }

    async fn close(self) {}
}

/// Removes what was decided, and keeps what was set aside again.
pub struct ReplaySettler<R>(DeadLetterRows<R>);

impl<R> Clone for ReplaySettler<R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<R: ReplayStore> Settler for ReplaySettler<R> {
    type AckHandle = i64;

    /// A letter has nowhere else to wait.
    fn retries(&self) -> u32 {
        0
    }

    async fn settle(&self, settlements: Vec<Settlement<i64>>) -> Result<(), FeedError> {
        let mut decided = Vec::new();
        let mut again = Vec::new();
        for Settlement { delivery, verdict } in settlements {
            match verdict {
                SettleAction::Ack => decided.push(delivery.ack_handle),
                SettleAction::DeadLetter(rejection) => again.push((delivery.ack_handle, rejection)),
                // Nobody asks for it, see `retries`: left open, it comes again with the next session.
                SettleAction::Retry => {}
            }
        }
        let settled: Vec<i64> = decided.iter().chain(again.iter().map(|(id, _)| id)).copied().collect();
        self.0.replays.settle(decided, again).await.map_err(FeedError::Transient)?;
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|id, _| !settled.contains(id));
        Ok(())
    }
}
