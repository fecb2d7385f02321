//! Browsers that have shown a token: their sessions, and the forms they send.

use super::random;
use super::tokens::{CALLER, Caller, TOKEN_IS_VALID, caller, touch};
use crate::domain::credential::{Credential, Kind};
use crate::domain::hex::hex;
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::{Store, StoreError, read_transaction, transaction};

/// How long a session lasts; then the token is asked for again.
const SESSION_TTL: chrono::TimeDelta = chrono::TimeDelta::hours(12);
/// How long a form is good for.
const CSRF_TOKEN_TTL: chrono::TimeDelta = chrono::TimeDelta::hours(12);

impl Store {
    /// Begins a session of a caller.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn begin_session(&self, caller: &Caller) -> Result<Credential, StoreError> {
        let session = Credential::new(Kind::Session, caller.account_id, &random::random_bytes()?);
        transaction!(self, tx => begin(tx, caller, &session))?;
        Ok(session)
    }

    /// Whose session this is; `None` where it has ended, or its token is no good any more.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn session(&self, session: &Credential) -> Result<Option<Caller>, StoreError> {
        read_transaction!(self, tx => find(tx, session))
    }

    /// Ends a session.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn end_session(&self, session: &Credential) -> Result<(), StoreError> {
        transaction!(self, tx => end(tx, session))
    }

    /// Takes a form that a session sends to a path, if it was made for both and was not taken before.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn consume_csrf_token(
        &self,
        session: &Credential,
        path: &str,
        form: &str,
    ) -> Result<CsrfCheck, StoreError> {
        let Some((nonce, seal)) = form.split_once('.') else { return Ok(CsrfCheck::Forged) };
        if nonce.len() != 2 * NONCE || !session.verify(&sealed_words(nonce, path), seal) {
            return Ok(CsrfCheck::Forged);
        }
        let first = transaction!(self, tx => consume_nonce(tx, session, nonce))?;
        Ok(if first { CsrfCheck::Accepted } else { CsrfCheck::Replayed })
    }
}

/// What became of a form that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsrfCheck {
    Accepted,
    /// It was sent a second time.
    Replayed,
    /// Nobody made it for this session and this path.
    Forged,
}

/// The bytes that tell one form from another.
const NONCE: usize = 16;

/// What a form of this session carries, so that only it may be sent to this path, and only once.
///
/// # Errors
///
/// Where the operating system has no random bytes.
pub fn issue_csrf_token(session: &Credential, path: &str) -> Result<String, StoreError> {
    let nonce = hex(&random::random_bytes::<NONCE>()?);
    Ok(format!("{nonce}.{}", session.sign(&sealed_words(&nonce, path))))
}

fn sealed_words(nonce: &str, path: &str) -> String {
    format!("{nonce} {path}")
}

async fn begin(tx: &mut Tx, caller: &Caller, session: &Credential) -> Result<(), StoreError> {
    let now = tx.now().await?;
    for table in ["sessions", "spent_forms"] {
        let sql = format!("DELETE FROM {table} WHERE account_id = $1 AND expires_at < $2");
        tx.execute(&sql, args![caller.account_id, now]).await?;
    }
    tx.execute(
        "INSERT INTO sessions (account_id, session_hash, token_id, expires_at) VALUES ($1, $2, $3, $4)",
        args![caller.account_id, session.hash(), caller.token_id, now + SESSION_TTL],
    )
    .await?;
    touch(tx, caller.account_id, caller.token_id).await
}

async fn find(tx: &mut Tx, session: &Credential) -> Result<Option<Caller>, StoreError> {
    let now = tx.now().await?;
    let sql = format!(
        "SELECT {CALLER} JOIN sessions s ON s.account_id = t.account_id AND s.token_id = t.token_id \
         WHERE s.account_id = $1 AND s.session_hash = $2 AND s.expires_at > $3 AND {TOKEN_IS_VALID}"
    );
    tx.row(&sql, args![session.account_id(), session.hash(), now]).await?.as_ref().map(caller).transpose()
}

async fn end(tx: &mut Tx, session: &Credential) -> Result<(), StoreError> {
    let sql = "DELETE FROM sessions WHERE account_id = $1 AND session_hash = $2";
    tx.execute(sql, args![session.account_id(), session.hash()]).await.map(drop)
}

async fn consume_nonce(tx: &mut Tx, session: &Credential, form: &str) -> Result<bool, StoreError> {
    let now = tx.now().await?;
    let sql = "INSERT INTO spent_forms (account_id, form, expires_at) VALUES ($1, $2, $3) \
               ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, args![session.account_id(), form, now + CSRF_TOKEN_TTL]).await? > 0)
}
