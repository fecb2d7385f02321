//! Tokens, and who stands behind one. Whether it is good, and what its user may do, is asked each time.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::Datelike as _;
use serde::Serialize;
use serde_json::json;

use super::audit::{self, Actor};
use super::random;
use super::users::known_user;
use crate::domain::credential::{Credential, Kind};
use crate::domain::object_type::CONTACT;
use crate::domain::permission::{Over, Permissions, Right, Scope};
use crate::domain::time::{Time, format_time};
use crate::domain::token_scope::TokenScope;
use crate::store::db::Tx;
use crate::store::db::values::{Row, args};
use crate::store::{Store, StoreError, read_transaction, transaction};

/// The last use is written down this often at most: reading must not cost a write.
const LAST_USED_RESOLUTION: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    pub account_id: i64,
    /// Whose it is, by id or address.
    pub user: String,
    /// What it is for, in words of whoever asks for it.
    pub name: String,
    pub expires: Option<Expiry>,
    /// What it is for; where nothing is said, the console.
    pub scopes: BTreeSet<TokenScope>,
}

/// When a token ends.
#[derive(Clone, Copy, Debug)]
pub enum Expiry {
    At(Time),
    In(Duration),
}

/// A token that was made. The secret is in here and nowhere else.
#[derive(Debug)]
pub struct CreatedToken {
    pub token: Credential,
    pub row: TokenRow,
}

/// A token as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenRow {
    pub account_id: String,
    pub token_id: String,
    pub user_id: String,
    pub name: String,
    /// What it is for.
    pub scopes: BTreeSet<TokenScope>,
    pub created_at: String,
    pub expires_at: Option<String>,
    pub revoked_at: Option<String>,
    /// To the hour.
    pub last_used_at: Option<String>,
}

/// Whoever showed a token or has a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub account_id: i64,
    pub account_name: String,
    pub user_id: i64,
    pub email: String,
    pub token_id: i64,
    permissions: Permissions,
    scopes: BTreeSet<TokenScope>,
}

impl Caller {
    /// Is the token for this?
    pub fn has_scope(&self, scope: TokenScope) -> bool {
        self.scopes.contains(&scope)
    }

    /// May the user delete, or restore, so much at once? What is done asks again, in its own transaction.
    pub fn may_delete(&self, scope: Scope) -> bool {
        self.permissions.may(scope.right(), Over::Type(CONTACT))
    }

    /// May the user erase contacts for good? The erasure asks again, in its own transaction.
    pub fn may_erase(&self) -> bool {
        self.permissions.may(Right::PermanentlyDelete, Over::Type(CONTACT))
    }

    /// May the user read these?
    pub fn may_view(&self, over: Over<'_>) -> bool {
        self.permissions.may(Right::View, over)
    }

    /// May the user see what is of the service as a whole?
    pub fn is_super_admin(&self) -> bool {
        self.permissions.is_super_admin()
    }
}

impl Store {
    /// Makes a token for a user of an account, on behalf of somebody at the command line.
    ///
    /// # Errors
    ///
    /// Refused where there is no such user, or the token would have ended already.
    pub async fn create_token(&self, wanted: &NewToken, operator: &str) -> Result<CreatedToken, StoreError> {
        let token = Credential::new(Kind::Token, wanted.account_id, &random::random_bytes()?);
        let row = transaction!(self, tx => create(tx, wanted, &token, operator))?;
        Ok(CreatedToken { token, row })
    }

    /// The tokens of an account, or all, newest first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn tokens(&self, account_id: Option<i64>) -> Result<Vec<TokenRow>, StoreError> {
        read_transaction!(self, tx => list(tx, account_id))
    }

    /// Ends a token and the sessions begun with it; once this has returned it opens nothing.
    ///
    /// # Errors
    ///
    /// Refused where there is no such token, or it is revoked already.
    pub async fn revoke_token(
        &self,
        account_id: i64,
        token_id: i64,
        operator: &str,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => revoke(tx, account_id, token_id, operator))
    }

    /// Who shows this token; `None` where it is unknown, revoked or expired, or its user is gone.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn caller(&self, token: &Credential) -> Result<Option<Caller>, StoreError> {
        let found = read_transaction!(self, tx => by_token(tx, token))?;
        let Some(Found { caller, is_stale }) = found else { return Ok(None) };
        if is_stale {
            transaction!(self, tx => touch(tx, caller.account_id, caller.token_id))?;
        }
        Ok(Some(caller))
    }
}

const ROW: &str = "account_id, token_id, user_id, name, CAST(scopes AS text) AS scopes, created_at, expires_at, revoked_at, last_used_at";

async fn create(
    tx: &mut Tx,
    wanted: &NewToken,
    token: &Credential,
    operator: &str,
) -> Result<TokenRow, StoreError> {
    let account_id = wanted.account_id;
    let (user_id, _) = known_user(tx, account_id, &wanted.user).await?;
    let now = tx.now().await?;
    let expires_at = wanted.expires.map(|expiry| expires_at(expiry, now)).transpose()?;
    let sql = format!(
        "INSERT INTO tokens (account_id, user_id, name, token_hash, created_at, expires_at, scopes) \
         VALUES ($1, $2, $3, $4, $5, $6, {}) RETURNING {ROW}",
        tx.dialect().json("$7")
    );
    let scopes =
        if wanted.scopes.is_empty() { BTreeSet::from([TokenScope::Console]) } else { wanted.scopes.clone() };
    let scopes = json!(scopes).to_string();
    let args = args![account_id, user_id, wanted.name.as_str(), token.hash(), now, expires_at, scopes];
    let made = tx.row(&sql, args).await?;
    let made = made.ok_or_else(|| StoreError::Failed("a token got no number".to_owned()))?;
    let actor = Actor::Operator(operator.to_owned());
    audit::write(tx, now, account_id, &actor, "create_token", &[made.int("token_id")?], 1).await?;
    row(&made)
}

fn expires_at(expiry: Expiry, now: Time) -> Result<Time, StoreError> {
    let at = match expiry {
        Expiry::At(at) => Some(at),
        Expiry::In(period) => {
            chrono::TimeDelta::from_std(period).ok().and_then(|it| now.checked_add_signed(it))
        }
    };
    // Later ones cannot be written as the answers write times.
    match at.filter(|at| at.year() < 10_000) {
        None => Err(StoreError::Refused(
            "a token cannot end after the year 9999: give an earlier time".to_owned(),
        )),
        Some(at) if at <= now => Err(StoreError::Refused(format!(
            "a token has to end after it began, which is {}: give a later time",
            format_time(now)
        ))),
        Some(at) => Ok(at),
    }
}

async fn list(tx: &mut Tx, account_id: Option<i64>) -> Result<Vec<TokenRow>, StoreError> {
    let sql = format!(
        "SELECT {ROW} FROM tokens WHERE account_id = coalesce($1, account_id) ORDER BY token_id DESC"
    );
    tx.rows(&sql, args![account_id]).await?.iter().map(row).collect()
}

async fn revoke(tx: &mut Tx, account_id: i64, token_id: i64, operator: &str) -> Result<(), StoreError> {
    let now = tx.now().await?;
    let sql = "UPDATE tokens SET revoked_at = $3 \
               WHERE account_id = $1 AND token_id = $2 AND revoked_at IS NULL";
    if tx.execute(sql, args![account_id, token_id, now]).await? == 0 {
        return Err(StoreError::NotFound(format!(
            "account {account_id} has no token {token_id} that is not revoked: see `tokens list`"
        )));
    }
    let sql = "DELETE FROM sessions WHERE account_id = $1 AND token_id = $2";
    tx.execute(sql, args![account_id, token_id]).await?;
    let actor = Actor::Operator(operator.to_owned());
    audit::write(tx, now, account_id, &actor, "revoke_token", &[token_id], 1).await
}

/// A caller, and whether it is time to write down that the token was used.
struct Found {
    caller: Caller,
    is_stale: bool,
}

/// The columns of a caller, of a token `t` and its user; `now` is `$3`.
pub(super) const CALLER: &str = "t.account_id, t.token_id, t.last_used_at, u.user_id, u.email, CAST(u.permissions AS text) AS permissions, \
     CAST(t.scopes AS text) AS scopes, \
     a.name AS account_name FROM tokens t \
     JOIN users u ON u.account_id = t.account_id AND u.user_id = t.user_id AND u.email_key <> '' \
     JOIN accounts a ON a.account_id = t.account_id";

/// What makes a token good.
pub(super) const TOKEN_IS_VALID: &str =
    "t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $3)";

async fn by_token(tx: &mut Tx, token: &Credential) -> Result<Option<Found>, StoreError> {
    let now = tx.now().await?;
    let sql = format!("SELECT {CALLER} WHERE t.account_id = $1 AND t.token_hash = $2 AND {TOKEN_IS_VALID}");
    let Some(found) = tx.row(&sql, args![token.account_id(), token.hash(), now]).await? else {
        return Ok(None);
    };
    let is_stale = found.optional_time("last_used_at")?.is_none_or(|used| used < now - LAST_USED_RESOLUTION);
    Ok(Some(Found { caller: caller(&found)?, is_stale }))
}

pub(in crate::store) fn caller(row: &Row) -> Result<Caller, StoreError> {
    let held: Vec<String> = row.json("permissions")?;
    Ok(Caller {
        account_id: row.int("account_id")?,
        account_name: row.text("account_name")?,
        user_id: row.int("user_id")?,
        email: row.text("email")?,
        token_id: row.int("token_id")?,
        permissions: Permissions::of(&held),
        scopes: row.json("scopes")?,
    })
}

pub(in crate::store) async fn touch(tx: &mut Tx, account_id: i64, token_id: i64) -> Result<(), StoreError> {
    let now = tx.now().await?;
    let sql = "UPDATE tokens SET last_used_at = $3 WHERE account_id = $1 AND token_id = $2";
    tx.execute(sql, args![account_id, token_id, now]).await.map(drop)
}

fn row(row: &Row) -> Result<TokenRow, StoreError> {
    let time = |column| row.optional_time(column).map(|time| time.map(format_time));
    Ok(TokenRow {
        account_id: row.int("account_id")?.to_string(),
        token_id: row.int("token_id")?.to_string(),
        user_id: row.int("user_id")?.to_string(),
        name: row.text("name")?,
        scopes: row.json("scopes")?,
        created_at: format_time(row.time("created_at")?),
        expires_at: time("expires_at")?,
        revoked_at: time("revoked_at")?,
        last_used_at: time("last_used_at")?,
    })
}
