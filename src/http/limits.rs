//! What stands around every request that asks the store.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use super::room::Answering;
use super::{Health, api};

/// Requests at the store at once: the rest of its connections is left to the deletions.
const AT_ONCE: u32 = 4;
/// Of those that look at a whole account or run a job, beside the others: they take nobody's turn.
const LONG_AT_ONCE: u32 = 2;
/// How long a request may wait for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests that are at the store or wait for their turn; more are turned away at once.
const MAX_WAITING: usize = 64;

/// The longest body of a request.
pub const MAX_BODY_BYTES: usize = 256 * 1024;
/// A longer one is heard out to here and thrown away: a connection that is closed on a client in the midst of its sentence
/// often loses the answer.
const MAX_DRAINED_BYTES: usize = 8 * MAX_BODY_BYTES;
/// How long a request may work at a job or look at an account: longer than this nobody waits for an answer.
pub const JOB_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Whose turn it is, and whether it is anybody's yet.
#[derive(Clone)]
pub struct Limits {
    health: Health,
    turns: Arc<Semaphore>,
    long_turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// Does what is asked for take longer the more an account has?
fn is_long(path: &str) -> bool {
    path.ends_with("/preview")
        || ["/api/v1/retention/dry-run", "/api/v1/retention/run", "/retention/run", "/restore", "/erase/look"]
            .contains(&path)
}

/// Breaks off what takes longer than anybody waits for an answer.
pub fn patience<T>() -> impl Fn(T) -> ControlFlow<()> + Send + Sync {
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
    pub fn new(health: Health) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        Self {
            health,
            turns: semaphore(AT_ONCE as usize),
            long_turns: semaphore(LONG_AT_ONCE as usize),
            waiting: semaphore(MAX_WAITING),
        }
    }

    /// Waits for the requests that are at the store to end; none begins any more.
    pub async fn close(&self) {
        for (turns, all) in [(&self.turns, AT_ONCE), (&self.long_turns, LONG_AT_ONCE)] {
            if let Ok(turns) = turns.acquire_many(all).await {
                turns.forget();
            }
        }
    }

    /// These routes, within the limits.
    pub fn around(self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(self, carry_out))
    }
}

/// The body of a request, as it arrived or did not.
#[derive(Clone)]
struct Arrived(Result<Arc<[u8]>, BodyError>);

/// Carries a request out to its end, in its turn, whether or not somebody still waits for the answer: no future of the
/// store is dropped half-way because a client hung up.
async fn carry_out(Shared(limits): Shared<Limits>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    if let [reason, ..] = limits.health.startup_failures()[..] {
        return not_now(&path, StatusCode::SERVICE_UNAVAILABLE, reason);
    }
    // Before its turn: whoever is slow to say what it wants keeps nobody else waiting.
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Arrived(read(body).await.map(Arc::from)));
    // From now on it is not its client who keeps it waiting.
    let _under_way = parts.extensions.get::<Answering>().map(Answering::begin);
    let request = Request::from_parts(parts, Body::empty());
    let turns = if is_long(&path) { limits.long_turns } else { limits.turns };
    let turn = async {
        let waiting = limits.waiting.try_acquire_owned().ok()?;
        let turn = tokio::time::timeout(QUEUE_TIMEOUT, turns.acquire_owned()).await.ok()?.ok()?;
        Some((waiting, turn))
    };
    let Some(turn) = turn.await else {
        let reason = "too many requests are under way: try again in a moment";
        return not_now(&path, StatusCode::SERVICE_UNAVAILABLE, reason);
    };
    let work = tokio::spawn(async move {
        let response = next.run(request).await;
        drop(turn);
        response
    });
    // A handler that panicked has said so on standard error.
    work.await.unwrap_or_else(|_| {
        let reason = "this went wrong here: the log of the service says more";
        not_now(&path, StatusCode::INTERNAL_SERVER_ERROR, reason)
    })
}

/// As the API says it, and as people read it.
fn not_now(path: &str, status: StatusCode, reason: &str) -> Response {
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
    request.extensions().get::<Arrived>().map_or(Err(BodyError::Broken), |arrived| arrived.0.clone())
}

/// Reads a body to its end, if it is not too long and does not take too long.
async fn read(body: Body) -> Result<Vec<u8>, BodyError> {
    tokio::time::timeout(BODY_TIMEOUT, collect(body)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn collect(body: Body) -> Result<Vec<u8>, BodyError> {
    let (mut chunks, mut bytes, mut seen) = (body.into_data_stream(), Vec::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        seen += chunk.len();
        if seen > MAX_DRAINED_BYTES {
            return Err(BodyError::TooLarge);
        }
        if seen <= MAX_BODY_BYTES {
            bytes.extend_from_slice(&chunk);
        }
    }
    if seen > MAX_BODY_BYTES { Err(BodyError::TooLarge) } else { Ok(bytes) }
}
