//! Dead letters: messages that could not be processed, on their way into the store and as operators see and choose them.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::counted::{counted, verb};
use super::enrollment::account_of;
use super::hex::hex;
use super::time::Time;
use super::trace::TraceContext;

/// Where a message came from, and by what another delivery of it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The feed's name.
    pub feed: Arc<str>,
    /// What its producer calls the message, or its place in the feed; empty where it has no name.
    pub message_id: String,
    /// This may be another delivery of a message that was set aside before.
    pub may_repeat: bool,
    /// Where it was first published.
    pub exchange: String,
    /// As [`Self::exchange`].
    pub routing_key: String,
    pub content_type: Option<String>,
}

impl Origin {
    /// Of a feed without exchanges, where one place is one message however often it is read.
    pub fn place(feed: Arc<str>, place: String) -> Self {
        let (exchange, routing_key) = (String::new(), String::new());
        Self { feed, message_id: place, may_repeat: true, exchange, routing_key, content_type: None }
    }
}

/// A message as it arrived: all that a dead letter keeps of it.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Byte for byte.
    pub body: &'a [u8],
    pub origin: &'a Origin,
    /// How often it was put off.
    pub attempts: u32,
    pub trace: Option<TraceContext>,
    /// Its dead letter may have been written before: of another delivery, or by a transaction that gave no answer.
    pub may_repeat: bool,
}

impl Arrived<'_> {
    /// The account that the body names, if it names one at all.
    pub fn account_id(&self) -> Option<i64> {
        account_of(self.body)
    }

    /// The same for every delivery of a message of which this body is kept. Messages without a name that say the same have the
    /// same identity.
    pub fn identity(&self, body: &[u8]) -> String {
        let mut hash = Sha256::new();
        for name in [&self.origin.feed, self.origin.message_id.as_str()] {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
        hash.update(body);
        hex(&hash.finalize())
    }
}

/// A message that could not be processed, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: i64,
    /// A code, such as `malformed`.
    pub reason: String,
    /// Place and type of the fault, never a value.
    pub detail: String,
    /// How often it was put off before.
    pub attempts: u32,
    /// When the store took it in.
    pub at: Time,
    /// The account that the body names.
    pub account_id: Option<i64>,
    /// Where it was first published; empty where the feed has no exchanges.
    pub exchange: String,
    /// As [`Self::exchange`].
    pub routing_key: String,
    /// As the message said.
    pub content_type: Option<String>,
    /// The trace that it belongs to.
    pub trace: Option<TraceContext>,
    /// How long the body is.
    pub bytes: u64,
}

/// Which dead letters; all of them where nothing is asked.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub reason: Option<String>,
    pub account_id: Option<i64>,
    /// Only these; empty where it does not matter.
    pub ids: Vec<i64>,
}

impl Selection {
    /// Why nothing is discarded: `found` are selected, and another number was typed.
    pub fn other_number(&self, found: u64, confirm: u64) -> String {
        format!(
            "{} {} selected, not {confirm}; nothing was discarded: look at them (dead-letters list) and confirm the number \
             you mean",
            counted(found, "dead letter"),
            verb(found, "is", "are")
        )
    }
}

impl DeadLetter {
    /// What producers wrote about it, beside the body.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        [self.exchange.as_str(), &self.routing_key].into_iter().chain(self.content_type.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(feed: &str, message_id: &str, body: &str) -> String {
        let origin = Origin::place(feed.into(), message_id.to_owned());
        Arrived { body: body.as_bytes(), origin: &origin, attempts: 0, trace: None, may_repeat: false }
            .identity(body.as_bytes())
    }

    #[test]
    fn an_identity_is_of_feed_name_and_body_and_of_nothing_else() {
        assert_eq!(identity("a", "b", "c"), identity("a", "b", "c"));
        for other in [
            identity("ab", "", "c"),
            identity("", "ab", "c"),
            identity("a", "bc", ""),
            identity("a", "b", ""),
        ] {
            assert_ne!(identity("a", "b", "c"), other);
        }
    }
}
