//! Who asks: a token or a session, looked up anew for each request, and a bound on guessing.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::server::Peer;
use crate::domain::credential::{Credential, Kind};
use crate::domain::object_type::CONTACT;
use crate::domain::permission::{Over, Right};
use crate::domain::token_scope::TokenScope;
use crate::store::access::tokens::Caller;
use crate::store::{Operator, Store, StoreError};
use axum::http::HeaderMap;
use axum::http::header;

/// The cookie of a session.
pub const COOKIE: &str = "reaper_session";

/// After so many wrong tokens from one network within a [`MINUTE`] no more are looked at until it is over.
const MAX_FAILED_ATTEMPTS: u32 = 10;
const MINUTE: Duration = Duration::from_mins(1);
/// Networks kept in mind at most.
const MAX_NETWORKS: usize = 10_000;
/// Tokens and sessions kept in mind at most.
const MAX_ACCEPTED: usize = 10_000;

/// Lets in whoever shows what opens.
#[derive(Clone)]
pub struct Authenticator {
    store: Store,
    guesses: Arc<Guesses>,
    /// The hashes of what was in force when it was shown last.
    accepted: Arc<Mutex<HashSet<String>>>,
}

/// Wrong tokens, by the network that they came from.
#[derive(Default)]
struct Guesses(Mutex<HashMap<IpAddr, FailedAttempts>>);

/// Wrong tokens from one network.
struct FailedAttempts {
    since: Instant,
    tokens: u32,
}

impl Guesses {
    /// Have too many come from there?
    fn are_too_many(&self, network: IpAddr) -> bool {
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, wrong| wrong.since.elapsed() < MINUTE);
        wrong.get(&network).is_some_and(|wrong| wrong.tokens >= MAX_FAILED_ATTEMPTS)
    }

    /// One more. Where there are too many networks to keep in mind, one with the fewest goes, the oldest of them: whoever
    /// has many addresses has as many guesses, and none of them more.
    fn count(&self, network: IpAddr) {
        let mut wrong = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= MAX_NETWORKS && !wrong.contains_key(&network) {
            let fewest = wrong.iter().min_by_key(|(_, wrong)| (wrong.tokens, wrong.since));
            if let Some(fewest) = fewest.map(|(network, _)| *network) {
                wrong.remove(&fewest);
            }
        }
        let fresh = || FailedAttempts { since: Instant::now(), tokens: 0 };
        wrong.entry(network).or_insert_with(fresh).tokens += 1;
    }
}

/// Why somebody stays outside.
#[derive(Debug)]
pub enum AuthError {
    /// What was shown opens nothing.
    Unknown,
    /// Too many wrong tokens came from this address.
    TooMany,
    /// The token is for the vendor's API alone.
    NotForConsole,
    /// Nobody could be asked.
    Store(StoreError),
}

impl Authenticator {
    pub fn new(store: Store) -> Self {
        Self { store, guesses: Arc::default(), accepted: Arc::default() }
    }

    /// The store that is asked.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who shows this token.
    pub async fn by_token(&self, text: &str, peer: Peer) -> Result<Caller, AuthError> {
        let shown = self.parse_rate_limited(text, peer)?;
        let found = self.store.caller(&shown).await.map_err(AuthError::Store)?;
        self.remember(&shown, found.is_some());
        found.ok_or_else(|| self.record_failure(peer))
    }

    /// Who shows this token to the pages or to `/api/v1`.
    pub async fn by_console_token(&self, text: &str, peer: Peer) -> Result<Caller, AuthError> {
        let caller = self.by_token(text, peer).await?;
        if caller.has_scope(TokenScope::Console) { Ok(caller) } else { Err(AuthError::NotForConsole) }
    }

    /// A session for whoever shows this token.
    pub async fn begin_session(&self, text: &str, peer: Peer) -> Result<Credential, AuthError> {
        let shown = self.parse_rate_limited(text, peer)?;
        let caller = self.store.caller(&shown).await.map_err(AuthError::Store)?;
        let caller = caller.ok_or_else(|| self.record_failure(peer))?;
        if !caller.has_scope(TokenScope::Console) {
            return Err(AuthError::NotForConsole);
        }
        self.store.begin_session(&caller).await.map_err(AuthError::Store)
    }

    /// Whose session this is.
    pub async fn by_session(&self, session: &Credential) -> Result<Caller, AuthError> {
        let found = self.store.session(session).await.map_err(AuthError::Store)?;
        self.remember(session, found.is_some());
        found.ok_or(AuthError::Unknown)
    }

    /// Was this in force when it was shown last? Says nothing about now.
    pub fn was_accepted(&self, credential: &Credential) -> bool {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).contains(&credential.hash())
    }

    fn remember(&self, credential: &Credential, is_accepted: bool) {
        let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_accepted {
            accepted.remove(&credential.hash());
            return;
        }
        // The next valid request of a client adds it again.
        if accepted.len() >= MAX_ACCEPTED {
            accepted.clear();
        }
        accepted.insert(credential.hash());
    }

    fn parse_rate_limited(&self, text: &str, peer: Peer) -> Result<Credential, AuthError> {
        if self.guesses.are_too_many(peer.network()) {
            return Err(AuthError::TooMany);
        }
        Credential::parse(Kind::Token, text).ok_or_else(|| self.record_failure(peer))
    }

    fn record_failure(&self, peer: Peer) -> AuthError {
        self.guesses.count(peer.network());
        AuthError::Unknown
    }
}

/// The caller as whoever gives an order.
pub fn operator(caller: &Caller) -> Operator {
    Operator::OfTheAccount(caller.user_id.to_string())
}

/// May the caller read these? If not, why not.
pub fn may_view(caller: &Caller, over: Over<'_>) -> Result<(), String> {
    if caller.may_view(over) {
        return Ok(());
    }
    let what = match over {
        Over::Everything => "what the account has".to_owned(),
        Over::Type(CONTACT) => "contacts".to_owned(),
        Over::Type(object_type) => format!("records of the type {object_type}"),
    };
    Err(format!(
        "user {} may not read {what}: that takes the permission {} or {}",
        caller.user_id,
        Right::View.title(),
        Right::SuperAdmin.title()
    ))
}

/// The session that a cookie carries.
pub fn session_of(headers: &HeaderMap) -> Option<Credential> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, session) = pairs.find(|(name, _)| *name == COOKIE)?;
    Credential::parse(Kind::Session, session)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::*;

    fn network(address: impl Into<IpAddr>) -> IpAddr {
        Peer(SocketAddr::new(address.into(), 1)).network()
    }

    #[test]
    fn guesses_are_counted_at_any_number_of_addresses() {
        let guesses = Guesses::default();
        for _ in 0..MAX_FAILED_ATTEMPTS {
            guesses.count(network(Ipv4Addr::LOCALHOST));
        }
        let many = u32::try_from(MAX_NETWORKS).unwrap() + 100;
        for number in 0..many {
            guesses.count(network(Ipv4Addr::from_bits(0x0a00_0000 + number)));
        }
        assert_eq!(guesses.0.lock().unwrap().len(), MAX_NETWORKS, "memory is bounded");
        let late = network(Ipv4Addr::new(192, 0, 2, 1));
        for _ in 0..MAX_FAILED_ATTEMPTS {
            assert!(!guesses.are_too_many(late));
            guesses.count(late);
        }
        assert!(guesses.are_too_many(late));
        assert!(guesses.are_too_many(network(Ipv4Addr::LOCALHOST)), "whoever is out stays out");
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let v6 = |text: &str| network(text.parse::<Ipv6Addr>().unwrap());
        assert_eq!(v6("2001:db8:1:2::1"), v6("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::1"));
        assert_eq!(v6("::ffff:192.0.2.1"), network(Ipv4Addr::new(192, 0, 2, 1)));
        assert_ne!(v6("::ffff:192.0.2.1"), v6("::ffff:192.0.2.2"));
    }
}
