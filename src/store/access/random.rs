//! Secrets from the operating system.

use crate::store::StoreError;

/// Bytes that nobody can guess.
///
/// # Errors
///
/// Where the operating system gives none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut secret = [0; N];
    getrandom::fill(&mut secret).map_err(|error| {
        StoreError::Refused(format!("the operating system gives no random bytes for a secret: {error}"))
    })?;
    Ok(secret)
}
