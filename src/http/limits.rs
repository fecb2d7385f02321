//! What stands around every request that asks the store.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::auth::{Authenticator, session_of};
use super::room::Answering;
use super::server::Peer;
use super::{Health, api, crm};

/// Requests at the store: the rest of its connections is left to the deletions.
const ORDINARY: Capacity = Capacity { at_once: 4, at_once_of_one: 3, waiting: 128, waiting_of_one: 32 };
/// Of those that look at a whole account or run a job, beside the others: they take nobody's turn.
const LONG: Capacity = Capacity { at_once: 2, at_once_of_one: 1, waiting: 16, waiting_of_one: 4 };
/// How long a request may wait for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest body of a request, but to the vendor's API.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// A longer one is heard out to so many times this and thrown away: a connection that is closed on a client in the midst of its
/// sentence often loses the answer.
const DRAINED: usize = 8;
/// How long a request may work at a job or look at an account: longer than this nobody waits for an answer.
pub const JOB_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Whose turn it is, and whether it is anybody's yet.
#[derive(Clone)]
pub struct Limits {
    health: Health,
    gate: Authenticator,
    ordinary: Queue,
    long: Queue,
    /// What the paths of the vendor's API begin with.
    crm_prefix: Arc<str>,
}

/// The limits of a queue, in total and for one client. The limits for one client leave turns and places to the others.
#[derive(Clone, Copy)]
struct Capacity {
    /// At the store.
    at_once: usize,
    at_once_of_one: usize,
    /// At the store or waiting for their turn; more are turned away at once.
    waiting: usize,
    waiting_of_one: usize,
}

/// Requests of a kind, at the store or on their way to it.
#[derive(Clone)]
struct Queue {
    capacity: Capacity,
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    by_client: Arc<ByClient>,
}

/// What each client has in a queue. A client is known by a hash of its token or session, which stay secret.
#[derive(Default)]
struct ByClient {
    hasher: RandomState,
    clients: Mutex<HashMap<u64, Share>>,
}

/// The requests of one client in a queue.
struct Share {
    count: usize,
    turns: Arc<Semaphore>,
}

/// A request's turn, until this is dropped.
struct Turn {
    _permits: [OwnedSemaphorePermit; 3],
    _of_client: OfClient,
}

/// That a client has one more request in a queue, until this is dropped.
struct OfClient {
    by_client: Arc<ByClient>,
    client: u64,
}

/// Why a request does not get its turn.
enum Refusal {
    /// The client has too many requests under way.
    Client,
    /// All clients together have.
    Everybody,
}

impl Queue {
    fn new(capacity: Capacity) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        let Capacity { at_once, waiting, .. } = capacity;
        Self { capacity, turns: semaphore(at_once), waiting: semaphore(waiting), by_client: Arc::default() }
    }

    /// Waits for a turn, but not for long.
    async fn turn(self, client: &[u8]) -> Result<Turn, Refusal> {
        let (of_client, own) = self.by_client.one_more(client, self.capacity).ok_or(Refusal::Client)?;
        let waiting = self.waiting.try_acquire_owned().map_err(|_| Refusal::Everybody)?;
        // The client's own turn first: a request that waits for it takes no turn of other clients.
        let turn = async { Some((own.acquire_owned().await.ok()?, self.turns.acquire_owned().await.ok()?)) };
        let turn = tokio::time::timeout(QUEUE_TIMEOUT, turn).await.ok().flatten();
        let (own, turn) = turn.ok_or(Refusal::Everybody)?;
        Ok(Turn { _permits: [waiting, own, turn], _of_client: of_client })
    }

    /// Waits for the requests that are at the store to end; none begins any more.
    async fn close(&self) {
        for _ in 0..self.capacity.at_once {
            if let Ok(turn) = self.turns.acquire().await {
                turn.forget();
            }
        }
    }
}

impl ByClient {
    /// With the turns that the client may have at once.
    fn one_more(self: &Arc<Self>, client: &[u8], capacity: Capacity) -> Option<(OfClient, Arc<Semaphore>)> {
        let client = self.hasher.hash_one(client);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let turns = || Arc::new(Semaphore::new(capacity.at_once_of_one));
        let share = clients.entry(client).or_insert_with(|| Share { count: 0, turns: turns() });
        if share.count >= capacity.waiting_of_one {
            return None;
        }
        share.count += 1;
        Some((OfClient { by_client: Arc::clone(self), client }, Arc::clone(&share.turns)))
    }
}

impl Drop for OfClient {
    fn drop(&mut self) {
        let mut clients = self.by_client.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = clients.get_mut(&self.client) {
            share.count -= 1;
            if share.count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// Identifies the client of a request: its token or session if that was valid at its last request, otherwise its network.
/// Invalid credentials must not count as clients: anybody can invent many.
fn client(gate: &Authenticator, parts: &Parts) -> Vec<u8> {
    let credential = api::token_of(&parts.headers).or_else(|| session_of(&parts.headers));
    if let Some(credential) = credential.filter(|credential| gate.was_accepted(credential)) {
        return credential.hash().into_bytes();
    }
    let network = parts.extensions.get::<Peer>().map(|peer| peer.network());
    network.map(|network| network.to_string()).unwrap_or_default().into_bytes()
}

/// Does what is asked for take longer the more an account has, or does it wait for the broker?
fn is_long(path: &str) -> bool {
    const OTHERS: [&str; 7] = [
        "/api/v1/dead-letters/replay",
        "/api/v1/retention/dry-run",
        "/api/v1/retention/run",
        "/dead-letters/replay",
        "/erase/look",
        "/restore",
        "/retention/run",
    ];
    path.ends_with("/preview") || OTHERS.contains(&path)
}

/// Breaks off what takes longer than anybody waits for an answer.
pub fn time_limit<T>() -> impl Fn(T) -> ControlFlow<()> + Send + Sync {
    let asked = Instant::now();
    move |_| if asked.elapsed() < JOB_TIMEOUT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// A body that was not taken.
#[derive(Clone, Copy, Debug)]
pub enum BodyError {
    TooLarge,
    TooSlow,
    Broken,
}

impl Limits {
    pub fn new(health: Health, gate: Authenticator, crm_prefix: &str) -> Self {
        let (ordinary, long) = (Queue::new(ORDINARY), Queue::new(LONG));
        Self { health, gate, ordinary, long, crm_prefix: crm_prefix.into() }
    }

    /// Waits for the requests that are at the store to end; none begins any more.
    pub async fn close(&self) {
        self.ordinary.close().await;
        self.long.close().await;
    }

    /// These routes, within the limits.
    pub fn layer(self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(self, run_to_completion))
    }
}

/// The body of a request, as it arrived or did not.
#[derive(Clone)]
struct BufferedBody(Result<Arc<[u8]>, BodyError>);

/// Carries a request out to its end, in its turn, whether or not somebody still waits for the answer: no future of the
/// store is dropped half-way because a client hung up.
async fn run_to_completion(Shared(limits): Shared<Limits>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_of_crm = crm::is_path(&limits.crm_prefix, &path);
    let not_now = |status, reason: &str| not_now(&path, is_of_crm, status, reason);
    if let [reason, ..] = limits.health.startup_failures()[..] {
        return not_now(StatusCode::SERVICE_UNAVAILABLE, reason);
    }
    // Before its turn: whoever is slow to say what it wants keeps nobody else waiting.
    let (mut parts, body) = request.into_parts();
    let most = if is_of_crm { crm::MAX_BODY_BYTES } else { MAX_BODY_BYTES };
    parts.extensions.insert(BufferedBody(read(body, most).await.map(Arc::from)));
    // From now on it is not its client who keeps it waiting.
    let _under_way = parts.extensions.get::<Answering>().map(Answering::begin);
    let client = client(&limits.gate, &parts);
    let request = Request::from_parts(parts, Body::empty());
    let queue = if is_long(&path) { limits.long } else { limits.ordinary };
    let turn = match queue.turn(&client).await {
        Ok(turn) => turn,
        Err(Refusal::Client) => {
            let reason = "too many of your requests are under way: wait for their answers";
            return not_now(StatusCode::TOO_MANY_REQUESTS, reason);
        }
        Err(Refusal::Everybody) => {
            let reason = "too many requests are under way: try again in a moment";
            return not_now(StatusCode::SERVICE_UNAVAILABLE, reason);
        }
    };
    let work = tokio::spawn(async move {
        let response = next.run(request).await;
        drop(turn);
        response
    });
    // A handler that panicked has said so on standard error.
    work.await.unwrap_or_else(|_| {
        let reason = "this went wrong here: the log of the service says more";
        not_now(StatusCode::INTERNAL_SERVER_ERROR, reason)
    })
}

/// As the API says it, and as people read it.
fn not_now(path: &str, is_of_crm: bool, status: StatusCode, reason: &str) -> Response {
    if is_of_crm {
        return crm::not_now(status, reason);
    }
    if path.starts_with("/api/") {
        return api::not_now(status, reason);
    }
    (status, [(header::RETRY_AFTER, "1")], format!("{reason}\n")).into_response()
}

/// What came with a request.
///
/// # Errors
///
/// Where it was too long, took too long, or ended too early.
pub fn body_of(request: &Request) -> Result<Arc<[u8]>, BodyError> {
    request.extensions().get::<BufferedBody>().map_or(Err(BodyError::Broken), |arrived| arrived.0.clone())
}

/// Reads a body to its end, if it is not too long and does not take too long.
async fn read(body: Body, most: usize) -> Result<Vec<u8>, BodyError> {
    tokio::time::timeout(BODY_TIMEOUT, collect(body, most)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(body: Body, most: usize) -> Result<Vec<u8>, BodyError> {
    let (mut chunks, mut bytes, mut seen) = (body.into_data_stream(), Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        seen += chunk.len();
        if seen > DRAINED * most {
            return Err(BodyError::TooLarge);
        }
        if seen <= most {
            bytes.extend_from_slice(&chunk);
        }
    }
    if seen > most { Err(BodyError::TooLarge) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queue_leaves_places_and_turns_to_other_clients() {
        let capacity = Capacity { at_once: 2, at_once_of_one: 1, waiting: 5, waiting_of_one: 3 };
        let queue = Queue::new(capacity);
        let turn = |client: &'static str| tokio::spawn(queue.clone().turn(client.as_bytes()));
        let are_waiting = async |all: usize| {
            while queue.waiting.available_permits() > 5 - all {
                tokio::task::yield_now().await;
            }
        };
        let first = turn("greedy").await.unwrap().ok().expect("the queue is empty");
        let waiting = [turn("greedy"), turn("greedy")];
        are_waiting(3).await;
        assert!(matches!(turn("greedy").await.unwrap(), Err(Refusal::Client)));
        let other = turn("other").await.unwrap().ok().expect("one client never has all turns");
        let third = turn("a third");
        are_waiting(5).await;
        assert!(matches!(turn("a fourth").await.unwrap(), Err(Refusal::Everybody)));
        drop((first, other));
        assert!(third.await.unwrap().is_ok());
        for turn in waiting {
            assert!(turn.await.unwrap().is_ok());
        }
        assert!(queue.by_client.clients.lock().unwrap().is_empty(), "a client without requests is removed");
    }
}
