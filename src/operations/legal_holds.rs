//! Legal holds: contacts that are neither erased nor purged.

use serde_json::{Value, json};

use super::{Error, Operations};
use crate::store::Operator;

impl Operations {
    /// Keeps a contact from being erased and purged.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::set_legal_hold`], and where no reason is given.
    pub async fn set_legal_hold(
        &self,
        (account_id, contact_id): (i64, i64),
        operator: &Operator,
        reason: &str,
    ) -> Result<Value, Error> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(Error::Usage("a legal hold needs a reason: a case number, say".to_owned()));
        }
        self.store.set_legal_hold(account_id, contact_id, operator, reason).await?;
        Ok(hold(account_id, contact_id, "held"))
    }

    /// Lets a contact be erased and purged again.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::lift_legal_hold`].
    pub async fn lift_legal_hold(
        &self,
        (account_id, contact_id): (i64, i64),
        operator: &Operator,
    ) -> Result<Value, Error> {
        self.store.lift_legal_hold(account_id, contact_id, operator).await?;
        Ok(hold(account_id, contact_id, "lifted"))
    }
}

fn hold(account_id: i64, contact_id: i64, state: &str) -> Value {
    json!({"accountId": account_id.to_string(), "contactId": contact_id.to_string(), "state": state})
}
