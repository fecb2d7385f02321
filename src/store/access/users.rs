//! The users of an account, who stands behind `--as`, and what they may do.

use std::collections::BTreeSet;

use serde::Serialize;

use super::audit::Actor;
use crate::domain::address::address_key;
use crate::domain::members::parse_id_text;
use crate::domain::object_type::CONTACT;
use crate::domain::permission::{Over, Permissions, Right, Scope};
use crate::store::db::Tx;
use crate::store::db::values::{Arg, args};
use crate::store::{Store, StoreError, read_transaction};

/// A user of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UserRow {
    pub id: String,
    pub email: String,
    /// As they were imported.
    pub permissions: Vec<String>,
}

impl Store {
    /// Users of an account by id, from this one on, so many at most.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn users(&self, account_id: i64, from: i64, limit: i64) -> Result<Vec<UserRow>, StoreError> {
        read_transaction!(self, tx => list(tx, account_id, from, limit))
    }

    /// Is this account there?
    ///
    /// # Errors
    ///
    /// Where it is not, or the database does not answer.
    pub async fn demand_account(&self, account_id: i64) -> Result<(), StoreError> {
        read_transaction!(self, tx => demand_account(tx, account_id))
    }
}

async fn demand_account(tx: &mut Tx, account_id: i64) -> Result<(), StoreError> {
    let sql = "SELECT 1 AS one FROM accounts WHERE account_id = $1";
    match tx.row(sql, args![account_id]).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound(format!("there is no account {account_id}"))),
    }
}

async fn list(tx: &mut Tx, account_id: i64, from: i64, limit: i64) -> Result<Vec<UserRow>, StoreError> {
    let sql = "SELECT user_id, email, CAST(permissions AS text) AS permissions FROM users \
               WHERE account_id = $1 AND user_id >= $2 ORDER BY user_id LIMIT $3";
    let rows = tx.rows(sql, args![account_id, from, limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(UserRow {
                id: row.int("user_id")?.to_string(),
                email: row.text("email")?,
                permissions: row.json("permissions")?,
            })
        })
        .collect()
}

/// Who gives the service an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The operating system's user, by name: whoever has the settings may do all that the service can.
    OfTheSystem(String),
    /// A user of the account, by id or address: named by `--as`, and held to the user's permissions.
    OfTheAccount(String),
}

impl Operator {
    /// As the audit names who rules over deletes by workflows: that takes the permission to delete many.
    pub(in crate::store) async fn authorize_bulk(
        &self,
        tx: &mut Tx,
        account_id: i64,
        action: &str,
    ) -> Result<Actor, StoreError> {
        match self {
            Self::OfTheSystem(name) => Ok(Actor::Operator(name.clone())),
            Self::OfTheAccount(user) => {
                authorize_user(tx, account_id, user, action, Scope::Many).await.map(Actor::User)
            }
        }
    }

    /// As the audit names who does what goes beyond deleting: that takes a user who may do anything.
    pub(in crate::store) async fn authorize_super_admin(
        &self,
        tx: &mut Tx,
        account_id: i64,
        action: &str,
    ) -> Result<Actor, StoreError> {
        let user = match self {
            Self::OfTheSystem(name) => return Ok(Actor::Operator(name.clone())),
            Self::OfTheAccount(user) => user,
        };
        let (user_id, held) = known_user(tx, account_id, user).await?;
        if held.is_super_admin() {
            return Ok(Actor::User(user_id));
        }
        Err(StoreError::Forbidden(format!(
            "user {user_id} may not {action}: that takes the permission {}",
            Right::SuperAdmin.title()
        )))
    }
}

/// The id of a user, by id or address, who may delete and restore so much at once.
pub(in crate::store) async fn authorize_user(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    action: &str,
    scope: Scope,
) -> Result<i64, StoreError> {
    let what = match scope {
        Scope::One => "a contact",
        Scope::Many => "many contacts at once",
    };
    user_with(tx, account_id, user, &format!("{action} {what}"), scope.right()).await
}

/// The id of a user, by id or address, who may do this with so many records of all these types.
pub(in crate::store) async fn user_who_may(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    action: &str,
    scope: Scope,
    types: &BTreeSet<&str>,
) -> Result<i64, StoreError> {
    let (user_id, held) = known_user(tx, account_id, user).await?;
    let right = scope.right();
    let Some(missing) = types.iter().find(|it| !held.may(right, Over::Type(it))) else { return Ok(user_id) };
    let what = match scope {
        Scope::One => format!("a {missing}"),
        Scope::Many => format!("several records at once, a {missing} among them"),
    };
    Err(forbidden(user_id, &format!("{action} {what}"), right))
}

/// The id of a user, by id or address, who may erase contacts for good.
pub(in crate::store) async fn user_who_may_erase(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
) -> Result<i64, StoreError> {
    user_with(tx, account_id, user, "erase a contact", Right::PermanentlyDelete).await
}

async fn user_with(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    action: &str,
    right: Right,
) -> Result<i64, StoreError> {
    let (user_id, held) = known_user(tx, account_id, user).await?;
    if held.may(right, Over::Type(CONTACT)) { Ok(user_id) } else { Err(forbidden(user_id, action, right)) }
}

fn forbidden(user_id: i64, action: &str, right: Right) -> StoreError {
    StoreError::Forbidden(format!(
        "user {user_id} may not {action}: that takes the permission {} or {}",
        right.title(),
        Right::SuperAdmin.title()
    ))
}

/// The id of a user who did something before: any id, also of a user who was removed since, or the address of a present user.
pub(in crate::store) async fn user_named(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
) -> Result<i64, StoreError> {
    match parse_id_text(user) {
        Some(user_id) => Ok(user_id),
        None => known_user(tx, account_id, user).await.map(|(user_id, _)| user_id),
    }
}

/// The id of a user, by id or address, and what that user may do.
pub(super) async fn known_user(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
) -> Result<(i64, Permissions), StoreError> {
    // Digits are an id and nothing else: an address is never mistaken for one.
    let (condition, wanted) = match parse_id_text(user) {
        Some(user_id) => ("user_id = $2", Arg::from(user_id)),
        None => ("email_key = $2", Arg::from(address_key(user))),
    };
    let sql = format!(
        "SELECT user_id, CAST(permissions AS text) AS permissions FROM users \
         WHERE account_id = $1 AND email_key <> '' AND {condition} ORDER BY user_id LIMIT 2"
    );
    let found = tx.rows(&sql, &[account_id.into(), wanted]).await?;
    let row = match &found[..] {
        [row] => row,
        [] => {
            return Err(StoreError::Forbidden(format!(
                "account {account_id} has no such user: name one of its users by id or e-mail address"
            )));
        }
        _ => {
            return Err(StoreError::Forbidden(format!(
                "account {account_id} has several users with that address: name the one that is meant by id"
            )));
        }
    };
    let user_id = row.int("user_id")?;
    let held: Vec<String> = row.json("permissions")?;
    Ok((user_id, Permissions::of(&held)))
}
