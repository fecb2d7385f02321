//! Traits that decouple the modules: [`Feed`], [`Session`] and [`Settler`] (message sources), [`Decider`] and [`RecordWriter`]
//! (the store, as the pipeline sees it), [`Checkpoints`] and [`ReplayStore`] (persistence for the JSONL feed), [`Publisher`]
//! (event sink of the outbox), [`Backpressure`] (what the retention jobs yield to), and the shutdown signal [`Stop`].
//!
//! A feed is opened into a [`Session`] (one *generation* of connection, channel and consumer). When a
//! session ends with an error the pipeline drops it, with everything still unsettled in it, and opens
//! another: what was not settled is delivered again and the ledger makes that harmless.

use std::future::Future;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::domain::dead_letter::{Arrived, Origin};
use crate::domain::decision::Decision;
use crate::domain::enrollment::NewEnrollment;
use crate::domain::record::Record;
use crate::domain::rejection::Rejection;
use crate::domain::time::Time;
use crate::domain::trace::TraceContext;

/// Asks the long-running parts to come to an end.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// The handle to ask with (send `true`), and what the parts listen to.
    pub fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Has it been asked?
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked. Whoever could ask being gone counts as asked.
    pub async fn requested(&mut self) {
        drop(self.0.wait_for(|requested| *requested).await);
    }
}

/// Why a feed could not go on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// Goes away by itself (a lost connection, a broker that restarts): open a new session after a pause.
    #[error("{0}")]
    Transient(String),
    /// Needs a person (a queue that exists with other arguments): the service stops with this sentence.
    #[error("{0}")]
    Permanent(String),
}

/// Something that may fall behind, and goes before the jobs of retention.
pub trait Backpressure: Send + Sync + 'static {
    /// What it is, for the log.
    fn name(&self) -> &'static str;

    /// Is it further behind than it should be? Where that cannot be told, it is not: retention would wait for ever.
    fn should_wait(&self) -> BoxFuture<'_, bool>;

    /// Somebody else measures from now on: what the metrics show of it is no longer true.
    fn reset_gauges(&self) {}
}

/// One message as it arrived, with what its feed needs to settle it.
#[derive(Debug)]
pub struct Delivery<AckHandle> {
    /// The body: one event in structured mode, byte for byte where it came so.
    pub body: Vec<u8>,
    /// Why its feed could make no event of what came; then the body is that, byte for byte.
    pub unread: Option<Rejection>,
    /// The feed handed it out before and never saw it settled.
    pub redelivered: bool,
    /// How often it was put off, by [`SettleAction::Retry`]. Lost sessions do not count.
    pub attempt: u32,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
    /// Where it came from.
    pub origin: Origin,
    /// How to settle it; meaningful only to the session that made it.
    pub ack_handle: AckHandle,
}

impl<AckHandle> Delivery<AckHandle> {
    /// What a dead letter keeps of it.
    pub fn arrived(&self) -> Arrived<'_> {
        let Self { body, origin, attempt: attempts, trace, .. } = self;
        Arrived { body, origin, attempts: *attempts, trace: *trace, may_repeat: origin.may_repeat }
    }
}

/// A message of a batch: what was read of it, and what is kept should it become a dead letter.
#[derive(Clone, Debug)]
pub struct Message<'a, E> {
    pub event: Result<E, Rejection>,
    pub arrived: Arrived<'a>,
}

/// What became of a batch, message by message: the answer, or why the message is among the dead letters now.
pub type Answers<A> = Vec<Result<A, Rejection>>;

/// What becomes of a delivery once the store has committed.
#[derive(Debug)]
pub enum SettleAction {
    /// Decided, or decided before: never to be seen again.
    Ack,
    /// It is among the dead letters by now, with this reason: never to be seen again.
    DeadLetter(Rejection),
    /// Something was in its way: to be delivered again after a while, as one attempt more; acknowledged only once it is
    /// safe where it waits.
    Retry,
}

/// A delivery and its verdict.
#[derive(Debug)]
pub struct Settlement<AckHandle> {
    /// What is settled.
    pub delivery: Delivery<AckHandle>,
    /// How.
    pub verdict: SettleAction,
}

/// Where messages come from.
pub trait Feed: Send + 'static {
    /// One generation of the feed.
    type Session: Session;

    /// Connects once; the caller decides about another try.
    fn open(&mut self) -> impl Future<Output = Result<Self::Session, FeedError>> + Send;
}

/// One generation of a feed, from connect to disconnect.
pub trait Session: Send + 'static {
    /// What it takes to settle one delivery.
    type AckHandle: Send + Sync + 'static;
    /// Settles deliveries, from any task, while the session goes on.
    type Settler: Settler<AckHandle = Self::AckHandle>;

    /// The next delivery; `None` where the feed has ended for good. Safe to cancel: nothing is lost.
    fn next(&mut self) -> impl Future<Output = Result<Option<Delivery<Self::AckHandle>>, FeedError>> + Send;

    /// A handle to settle with.
    fn settler(&self) -> Self::Settler;

    /// Says goodbye: takes no more, gives back what was not settled.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The only place that acknowledges.
pub trait Settler: Clone + Send + Sync + 'static {
    /// As [`Session::AckHandle`].
    type AckHandle: Send + Sync + 'static;

    /// How often one message can be put off; 0 where the feed has no place for one to wait.
    fn retries(&self) -> u32;

    /// Settles in the order given. Whatever goes elsewhere is safe there before its delivery is acknowledged. An error
    /// ends the session: whatever was not settled comes again.
    fn settle(
        &self,
        settlements: Vec<Settlement<Self::AckHandle>>,
    ) -> impl Future<Output = Result<(), FeedError>> + Send;
}

/// A decision that was committed.
#[derive(Clone, Debug)]
pub struct Decided {
    pub decision: Decision,
    /// The database's clock.
    pub at: Time,
}

/// Why nothing of a batch is done, or nothing that a repetition would not find done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BatchError {
    /// Nobody's fault: no message would fare better until somebody mends it, or it mends itself.
    #[error("{0}")]
    Unavailable(String),
    /// Something was in the way of these messages; others may pass, and these another time.
    #[error("{message}")]
    Blocked {
        /// What it was.
        reason: RetryReason,
        /// As a sentence.
        message: String,
    },
    /// The store cannot take one of these messages, now or ever.
    #[error("{0}")]
    Poison(String),
}

/// What can be in the way of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// Other transactions, again and again.
    Contended,
    /// A lock that was not released in time, or a statement that took too long.
    TimedOut,
    /// The store does not support what it takes to process it.
    Unsupported,
}

impl RetryReason {
    /// Each of them, for counters that are born at zero.
    pub const ALL: [Self; 3] = [Self::Contended, Self::TimedOut, Self::Unsupported];

    /// As the metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contended => "contended",
            Self::TimedOut => "timed_out",
            Self::Unsupported => "unsupported",
        }
    }
}

/// The store of whatever messages bring.
pub trait MessageStore: Clone + Send + Sync + 'static {
    /// Writes one dead letter in a transaction of its own, unless another delivery of the message was written already.
    /// Never dropped before it ends.
    fn set_aside(
        &self,
        arrived: Arrived<'_>,
        rejection: &Rejection,
    ) -> impl Future<Output = Result<(), BatchError>> + Send;

    /// Is it there at all? Never dropped half-way.
    fn is_available(&self) -> impl Future<Output = bool> + Send;
}

/// Decides enrollments and carries out what was decided.
pub trait Decider: MessageStore {
    /// Decides a batch in one transaction, which also writes its dead letters: what was not read, and what contradicts
    /// an earlier event. The answers are in its order. All of it is committed, or none. Never dropped before it
    /// ends.
    fn decide(
        &self,
        batch: &[Message<'_, NewEnrollment>],
    ) -> impl Future<Output = Result<Answers<Decided>, BatchError>> + Send;
}

/// Writes records that messages bring.
pub trait RecordWriter: MessageStore {
    /// Writes the records of a batch in one transaction, each message whole or not at all; the dead letters of those that
    /// cannot be written, or were not read, with them. The answers are in its order. Never dropped before it ends.
    fn write(
        &self,
        batch: &[Message<'_, Vec<Record>>],
    ) -> impl Future<Output = Result<Answers<()>, BatchError>> + Send;
}

/// How far a feed has come, and by what it is known again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// In bytes.
    pub position: u64,
    /// Of all that was read up to there, in the feed's own words; `None` where an older version saved it.
    pub fingerprint: Option<String>,
}

/// Remembers how far a feed has come.
pub trait Checkpoints: Send + Sync + 'static {
    /// What was saved last; `None` for a feed never seen.
    ///
    /// # Errors
    ///
    /// The store does not answer; said in a sentence.
    fn load(&self, feed: &str) -> impl Future<Output = Result<Option<Checkpoint>, String>> + Send;

    /// Saves how far it has come.
    ///
    /// # Errors
    ///
    /// It is not known to be saved; said in a sentence.
    fn save(&self, feed: &str, reached: &Checkpoint) -> impl Future<Output = Result<(), String>> + Send;
}

/// Keeps dead letters while they are decided anew.
pub trait ReplayStore: Send + Sync + 'static {
    /// Removes those that were decided and gives those that were set aside again their new reason, in one transaction.
    ///
    /// # Errors
    ///
    /// Nothing is known to be settled; said in a sentence.
    fn settle(
        &self,
        decided: Vec<i64>,
        again: Vec<(i64, Rejection)>,
    ) -> impl Future<Output = Result<(), String>> + Send;
}

/// An event on its way to whoever listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The same at every try: who receives an event twice knows it by this.
    pub id: String,
    /// What happened, such as `contact.deletion`; it is addressed by this.
    pub kind: String,
    /// A CloudEvent in structured mode, JSON.
    pub body: Vec<u8>,
    /// The trace that the deed belongs to.
    pub trace: Option<TraceContext>,
}

/// Takes events to whoever listens.
pub trait Publisher: Send + 'static {
    /// Sends all of them at once and waits for every confirmation, as long as the connection lives; connects
    /// first where there is no connection. One answer an event, in their order: safe, or why it may not be.
    ///
    /// Dropped half-way it gives up its connection: what is not confirmed by then may still arrive.
    ///
    /// # Errors
    ///
    /// Nothing was sent.
    fn publish(
        &mut self,
        events: Vec<Event>,
    ) -> impl Future<Output = Result<Vec<Result<(), String>>, FeedError>> + Send;

    /// Disconnects; the next publish connects again.
    fn disconnect(&mut self) -> impl Future<Output = ()> + Send;
}
