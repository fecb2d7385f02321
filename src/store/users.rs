//! Who stands behind `--as`, and what they may do.

use std::collections::BTreeSet;

use super::StoreError;
use super::audit::Actor;
use super::db::Tx;
use super::values::Arg;
use crate::domain::address::address_key;
use crate::domain::members::parse_id_text;
use crate::domain::permission::{Permission, Scope, may_delete};

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
    pub(super) async fn who(&self, tx: &mut Tx, account_id: i64, deed: &str) -> Result<Actor, StoreError> {
        match self {
            Self::OfTheSystem(name) => Ok(Actor::Operator(name.clone())),
            Self::OfTheAccount(user) => {
                permitted_user(tx, account_id, user, deed, Scope::Many).await.map(Actor::User)
            }
        }
    }

    /// As the audit names who does what goes beyond deleting: that takes a user who may do anything.
    pub(super) async fn who_may_anything(
        &self,
        tx: &mut Tx,
        account_id: i64,
        deed: &str,
    ) -> Result<Actor, StoreError> {
        let user = match self {
            Self::OfTheSystem(name) => return Ok(Actor::Operator(name.clone())),
            Self::OfTheAccount(user) => user,
        };
        let (user_id, held) = known_user(tx, account_id, user).await?;
        if held.contains(&Permission::SuperAdmin) {
            return Ok(Actor::User(user_id));
        }
        Err(StoreError::Forbidden(format!(
            "user {user_id} may not {deed}: that takes the permission Super admin (super_admin)"
        )))
    }
}

/// The id of a user, by id or address, who may delete and restore so much at once.
pub(super) async fn permitted_user(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    deed: &str,
    scope: Scope,
) -> Result<i64, StoreError> {
    let (user_id, held) = known_user(tx, account_id, user).await?;
    if may_delete(&held, scope) {
        return Ok(user_id);
    }
    let (what, permission) = match scope {
        Scope::One => ("a contact", "Delete (delete)"),
        Scope::Many => ("many contacts at once", "Bulk delete (bulk_delete)"),
    };
    Err(StoreError::Forbidden(format!(
        "user {user_id} may not {deed} {what}: that takes the permission {permission} or Super admin (super_admin)"
    )))
}

/// The id of a user, by id or address, and what that user may do.
pub(super) async fn known_user(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
) -> Result<(i64, BTreeSet<Permission>), StoreError> {
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
    let held = held.iter().filter_map(|name| Permission::parse(name)).collect();
    Ok((user_id, held))
}
