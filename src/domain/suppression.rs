//! Addresses of people who are gone, kept as keyed hashes: enough to recognise one that comes back, useless to
//! whoever finds them without the key.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::hex::{hex, unhex};

/// The mark of an address whose person was erased, whatever its other statuses.
pub const ERASED: &str = "erased";

/// The mark of an address whose contact was purged: unlike an erased one it is not redacted in texts that come in.
pub const PURGED: &str = "purged";

/// Every mark; other statuses are those of deliverability.
pub const MARKS: [&str; 2] = [ERASED, PURGED];

/// Hashed to tell a key; no account's address, because those start with a number.
const KEY_CHECK: &str = "which key is this";

/// The key's id and its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey {
    /// Stands beside every hash made with it.
    pub id: String,
    secret: Vec<u8>,
}

/// A secret is never shown.
impl std::fmt::Debug for HashKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HashKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// All keys: new hashes are made with the first, look-ups try every one, so that keys can be rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashKeys {
    current: HashKey,
    older: Vec<HashKey>,
}

/// An address as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHash {
    pub key_id: String,
    /// 64 hexadecimal digits.
    pub hash: String,
}

impl HashKeys {
    /// Reads one key a line, `ID:HEX`, the one in use first; blank lines and lines from `#` on are skipped.
    ///
    /// # Errors
    ///
    /// The line at fault, never its text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<HashKey> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = parse_key(line).ok_or_else(|| {
                format!("line {number} is no key: write ID:HEX with at least 32 hexadecimal digits")
            })?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(format!(
                    "line {number} gives a key the id of another: every key needs one of its own"
                ));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let current = keys.next().ok_or_else(|| "there is no key in it".to_owned())?;
        Ok(Self { current, older: keys.collect() })
    }

    /// A key for hashes that are never kept: of a preview, where no key was made yet.
    pub fn throwaway() -> Self {
        Self { current: HashKey { id: "preview".to_owned(), secret: vec![0; 16] }, older: Vec::new() }
    }

    /// A file of one key made of these bytes.
    pub fn render(id: &str, secret: &[u8]) -> String {
        format!("{id}:{}\n", hex(secret))
    }

    /// The hash to keep of an address key, which differs from one account to the next.
    pub fn hash(&self, account_id: i64, address_key: &str) -> AddressHash {
        self.current.hash(account_id, address_key)
    }

    /// Every hash under which an address key may be kept.
    pub fn hashes(&self, account_id: i64, address_key: &str) -> impl Iterator<Item = AddressHash> {
        self.iter().map(move |key| key.hash(account_id, address_key))
    }

    /// Every key, the one in use first.
    pub fn iter(&self) -> impl Iterator<Item = &HashKey> {
        std::iter::once(&self.current).chain(&self.older)
    }
}

impl HashKey {
    /// Tells this key from another of the same id, and nothing of its secret.
    pub fn check(&self) -> String {
        keyed_hash(&self.secret, KEY_CHECK)
    }

    fn hash(&self, account_id: i64, address_key: &str) -> AddressHash {
        let text = format!("{account_id}:{address_key}");
        AddressHash { key_id: self.id.clone(), hash: keyed_hash(&self.secret, &text) }
    }
}

fn parse_key(line: &str) -> Option<HashKey> {
    let (id, digits) = line.split_once(':')?;
    let valid_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let secret = unhex(digits)?;
    (valid_id && secret.len() >= 16).then(|| HashKey { id: id.to_owned(), secret })
}

fn keyed_hash(secret: &[u8], text: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(text.as_bytes());
    hex(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_hmac_sha_256_of_account_and_address() {
        // python3 -c "import hmac; print(hmac.new(bytes(range(16)), b'1:ada@example.org', 'sha256').hexdigest())"
        let keys = HashKeys::parse("k1:000102030405060708090a0b0c0d0e0f").unwrap();
        let AddressHash { key_id, hash } = keys.hash(1, "ada@example.org");
        assert_eq!(key_id, "k1");
        assert_eq!(hash, "ead2063a1258d2141ab2befc871739aedaffeff58ce75f45f2cf3923af2debb3");
        assert_ne!(keys.hash(2, "ada@example.org").hash, hash);
    }

    #[test]
    fn a_rotated_key_is_still_recognised() {
        let old = HashKeys::parse("old:00000000000000000000000000000000").unwrap();
        let both = HashKeys::parse(
            "# rotated\nnew:11111111111111111111111111111111\nold:00000000000000000000000000000000",
        )
        .unwrap();
        let kept = old.hash(1, "ada@example.org");
        assert_ne!(both.hash(1, "ada@example.org"), kept);
        assert!(both.hashes(1, "ada@example.org").any(|hash| hash == kept));
    }

    #[test]
    fn a_key_is_told_by_its_secret_not_by_its_id() {
        let check = |text: &str| HashKeys::parse(text).unwrap().iter().map(HashKey::check).next();
        let zeros = check("a:00000000000000000000000000000000");
        assert_eq!(zeros, check("b:00000000000000000000000000000000"));
        assert_ne!(zeros, check("a:11111111111111111111111111111111"));
    }

    #[test]
    fn what_is_no_key_file_says_where_and_shows_nothing() {
        for text in ["", "# only this", "k1", "k1:0011", "k 1:00112233445566778899aabbccddeeff", "k1:zz"] {
            let error = HashKeys::parse(text).unwrap_err();
            assert!(!error.contains("zz") && !error.contains("0011"), "{error}");
        }
        let twice = "a:00000000000000000000000000000000\na:11111111111111111111111111111111";
        assert!(HashKeys::parse(twice).unwrap_err().starts_with("line 2"));
        let keys = HashKeys::parse("k1:00112233445566778899aabbccddeeff").unwrap();
        assert!(!format!("{keys:?}").contains("17"));
    }
}
