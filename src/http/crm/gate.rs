//! Who may ask, and how often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State as Shared};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::RATE_WINDOW;
use super::error::ApiError;
use crate::domain::permission::Over;
use crate::domain::token_scope::TokenScope;
use crate::http::api::token_in;
use crate::http::auth::{AuthError, Authenticator, may_view};
use crate::http::server::Peer;
use crate::store::access::tokens::Caller;

/// Tokens whose requests are counted at most.
const MAX_TOKENS: usize = 10_000;

/// Lets programs in.
#[derive(Clone)]
pub struct Gate {
    authenticator: Authenticator,
    /// Requests of one token within [`RATE_WINDOW`]; 0: any number.
    limit: u32,
    counts: Arc<Mutex<HashMap<(i64, i64), Count>>>,
}

/// The requests of one token in the window that began then.
struct Count {
    since: Instant,
    requests: u32,
}

impl Gate {
    pub fn new(authenticator: Authenticator, limit: u32) -> Self {
        Self { authenticator, limit, counts: Arc::default() }
    }

    /// Counts a request. How many more may come in this window; `None`: it is one too many.
    fn count(&self, caller: &Caller) -> Option<u32> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_TOKENS {
            counts.retain(|_, count| count.since.elapsed() < RATE_WINDOW);
        }
        let now = Instant::now();
        let count =
            counts.entry((caller.account_id, caller.token_id)).or_insert(Count { since: now, requests: 0 });
        if now - count.since >= RATE_WINDOW {
            *count = Count { since: now, requests: 0 };
        }
        count.requests += 1;
        self.limit.checked_sub(count.requests)
    }
}

/// Admits requests with a valid token, as often as the settings allow.
pub async fn admit(Shared(gate): Shared<Gate>, mut request: Request, next: Next) -> Response {
    let token = token_in(request.headers()).map(str::to_owned);
    let peer = request.extensions().get::<Peer>().copied();
    let caller = match (token, peer) {
        (Some(token), Some(peer)) => gate.authenticator.by_token(&token, peer).await,
        _ => Err(AuthError::Unknown),
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return ApiError::from(error).into_response(),
    };
    if gate.limit == 0 {
        request.extensions_mut().insert(caller);
        return next.run(request).await;
    }
    let remaining = gate.count(&caller);
    // The vendor's answers to searches carry no such headers.
    let is_search = request.uri().path().ends_with("/search");
    let mut response = if remaining.is_some() {
        request.extensions_mut().insert(caller);
        next.run(request).await
    } else {
        let message = "You have reached your ten_secondly_rolling limit.";
        ApiError::limited("TEN_SECONDLY_ROLLING", message, RATE_WINDOW.as_secs()).into_response()
    };
    if !is_search {
        let interval = u32::try_from(RATE_WINDOW.as_millis()).unwrap_or(u32::MAX);
        for (name, value) in [
            ("x-hubspot-ratelimit-max", gate.limit),
            ("x-hubspot-ratelimit-remaining", remaining.unwrap_or_default()),
            ("x-hubspot-ratelimit-interval-milliseconds", interval),
        ] {
            response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
    response
}

/// May the token do this?
pub fn demand(caller: &Caller, scope: TokenScope) -> Result<(), ApiError> {
    if caller.has_scope(scope) {
        return Ok(());
    }
    let why = format!(
        "This token lacks the scope {0}: make one with `contact-reaper tokens create --scope {0}`",
        scope.as_str()
    );
    Err(ApiError::missing_scope(scope.as_str(), why))
}

/// May the token, and its user, read records of a type, or write them and see what was written?
pub fn demand_view(caller: &Caller, scope: TokenScope, object_type: &str) -> Result<(), ApiError> {
    demand(caller, scope)?;
    may_view(caller, Over::Type(object_type)).map_err(|why| ApiError::missing_scope("view", why))
}
