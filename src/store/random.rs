//! Secrets from the operating system.

use std::fs::File;
use std::io::Read as _;

use super::StoreError;

/// Bytes that nobody can guess.
///
/// # Errors
///
/// Where the operating system gives none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut secret = [0; N];
    let filled = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut secret));
    filled.map_err(|error| StoreError::Refused(format!("/dev/urandom cannot be read: {error}")))?;
    Ok(secret)
}
