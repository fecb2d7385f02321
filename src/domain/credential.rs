//! What opens the HTTP side: tokens for programs and people, sessions for browsers. Both are secrets that name their
//! account; kept is only a hash, which says nothing of them: they are 256 bits from the operating system.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::hex::{hex, unhex};
use super::members::parse_id_text;

/// The bytes of a secret.
pub const SECRET: usize = 32;

/// What a credential is for; it starts with that, so that it is known for what it is wherever it turns up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Token,
    Session,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Token => "reaper_",
            Self::Session => "session_",
        }
    }
}

/// A token or a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    account_id: i64,
    text: String,
}

impl Credential {
    /// A new one, of a secret that nobody else knows.
    pub fn new(kind: Kind, account_id: i64, secret: &[u8; SECRET]) -> Self {
        Self { account_id, text: format!("{}{account_id}_{}", kind.prefix(), hex(secret)) }
    }

    /// Reads what somebody shows; `None` where it cannot be one.
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        let (account, secret) = text.strip_prefix(kind.prefix())?.split_once('_')?;
        let digits = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        let is_whole = secret.len() == 2 * SECRET && secret.bytes().all(digits);
        is_whole.then_some(Self { account_id: parse_id_text(account)?, text: text.to_owned() })
    }

    /// The account that it belongs to, if it is genuine.
    pub fn account_id(&self) -> i64 {
        self.account_id
    }

    /// The secret itself, to be shown once.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is kept of it.
    pub fn hash(&self) -> String {
        hex(&Sha256::digest(self.text.as_bytes()))
    }

    /// What only somebody with this credential can make of these words.
    pub fn sign(&self, words: &str) -> String {
        // An HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.text.as_bytes()) else { return String::new() };
        mac.update(words.as_bytes());
        hex(&mac.finalize().into_bytes())
    }

    /// Did somebody with this credential make that of these words? Takes as long whatever is wrong with it.
    pub fn verify(&self, words: &str, seal: &str) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.text.as_bytes()) else { return false };
        mac.update(words.as_bytes());
        unhex(seal).is_some_and(|seal| mac.verify_slice(&seal).is_ok())
    }
}

/// Never the secret: it must not come into a log.
impl fmt::Debug for Credential {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Credential of account {}", self.account_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again_and_nothing_else_is() {
        let token = Credential::new(Kind::Token, 12, &[0xab; SECRET]);
        assert_eq!(token.expose(), format!("reaper_12_{}", "ab".repeat(32)));
        assert_eq!(Credential::parse(Kind::Token, token.expose()), Some(token.clone()));
        assert_eq!(token.account_id(), 12);
        // printf %s "reaper_12_$(printf 'ab%.0s' {1..32})" | sha256sum
        assert_eq!(token.hash(), "1d7330866d0896e04f367c72469a7be2e7a712fd11a71432704ba542a733190b");
        let secret = "ab".repeat(32);
        for wrong in [
            "",
            &secret,
            &format!("reaper_{secret}"),
            &format!("reaper_0_{secret}"),
            &format!("reaper_-1_{secret}"),
            &format!("reaper_12_{secret}a"),
            &format!("reaper_12_{}", &secret[1..]),
            &format!("reaper_12_{}", secret.to_uppercase()),
            &format!("session_12_{secret}"),
            &format!("reaper_12_{}'", &secret[1..]),
        ] {
            assert_eq!(Credential::parse(Kind::Token, wrong), None, "{wrong}");
        }
        assert!(!format!("{token:?}").contains("abab"));
    }

    #[test]
    fn a_seal_is_of_one_credential_and_these_words() {
        let [one, other] = [1, 2].map(|secret| Credential::new(Kind::Session, 1, &[secret; SECRET]));
        let seal = one.sign("/erase");
        assert!(one.verify("/erase", &seal));
        assert!(!one.verify("/restore", &seal) && !other.verify("/erase", &seal));
        assert!(
            !one.verify("/erase", "") && !one.verify("/erase", &seal[2..]) && !one.verify("/erase", "zz")
        );
    }
}
