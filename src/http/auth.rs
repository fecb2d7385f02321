//! Who asks: a token or a session, looked up anew for each request, and a bound on guessing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::server::Peer;
use crate::domain::credential::{Credential, Kind};
use crate::domain::permission::{Over, Right};
use crate::store::tokens::Caller;
use crate::store::{Operator, Store, StoreError};

/// After so many wrong tokens from one address within a [`MINUTE`] no more are looked at until it is over.
const MAX_WRONG: u32 = 10;
const MINUTE: Duration = Duration::from_mins(1);
/// Addresses kept in mind at most.
const MAX_ADDRESSES: usize = 10_000;

/// Lets in whoever shows what opens.
#[derive(Clone)]
pub struct Gate {
    store: Store,
    wrong: Arc<Mutex<HashMap<IpAddr, Wrong>>>,
}

/// Wrong tokens from one address.
struct Wrong {
    since: Instant,
    tokens: u32,
}

/// Why somebody stays outside.
#[derive(Debug)]
pub enum Outside {
    /// What was shown opens nothing.
    Unknown,
    /// Too many wrong tokens came from this address.
    TooMany,
    /// Nobody could be asked.
    Store(StoreError),
}

impl Gate {
    pub fn new(store: Store) -> Self {
        Self { store, wrong: Arc::default() }
    }

    /// The store that is asked.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Who shows this token.
    pub async fn by_token(&self, text: &str, peer: Peer) -> Result<Caller, Outside> {
        let shown = self.shown(text, peer)?;
        let found = self.store.caller(&shown).await.map_err(Outside::Store)?;
        found.ok_or_else(|| self.refuse(peer))
    }

    /// A session for whoever shows this token.
    pub async fn begin_session(&self, text: &str, peer: Peer) -> Result<Credential, Outside> {
        let shown = self.shown(text, peer)?;
        let session = self.store.begin_session(&shown).await.map_err(Outside::Store)?;
        session.ok_or_else(|| self.refuse(peer))
    }

    /// Whose session this is.
    pub async fn by_session(&self, session: &Credential) -> Result<Caller, Outside> {
        let found = self.store.session(session).await.map_err(Outside::Store)?;
        found.ok_or(Outside::Unknown)
    }

    fn shown(&self, text: &str, peer: Peer) -> Result<Credential, Outside> {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, wrong| wrong.since.elapsed() < MINUTE);
        if wrong.get(&peer.0.ip()).is_some_and(|wrong| wrong.tokens >= MAX_WRONG) {
            return Err(Outside::TooMany);
        }
        drop(wrong);
        Credential::parse(Kind::Token, text).ok_or_else(|| self.refuse(peer))
    }

    fn refuse(&self, peer: Peer) -> Outside {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() < MAX_ADDRESSES {
            let fresh = || Wrong { since: Instant::now(), tokens: 0 };
            wrong.entry(peer.0.ip()).or_insert_with(fresh).tokens += 1;
        }
        Outside::Unknown
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
    let what = if over == Over::Everything { "what the account has" } else { "contacts" };
    Err(format!(
        "user {} may not read {what}: that takes the permission {} or {}",
        caller.user_id,
        Right::View.title(),
        Right::SuperAdmin.title()
    ))
}
