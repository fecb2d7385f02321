//! Erasures: their preview, their receipts.

use serde::Serialize;

use super::{Error, Operations};
use crate::store::StoreError;
use crate::store::privacy::erase::{ErasureTarget, Preview};
use crate::store::privacy::receipts::Receipt;

/// What an erasure did.
#[derive(Clone, Debug, Serialize)]
pub struct Erasure {
    pub receipts: Vec<Receipt>,
    pub confirmation: Confirmation,
    /// Were a SQLite store's files rewritten?
    pub scrubbed: bool,
    /// Why they were not.
    #[serde(skip)]
    pub not_scrubbed: Option<StoreError>,
}

/// The e-mail that tells the user.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmation {
    pub user_id: Option<String>,
    /// What it needs to leave: `run`, or first of all `mail.smtp_url`.
    pub waits_for: &'static str,
}

impl Operations {
    /// Erases for good, as a user.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::erase`].
    pub async fn erase(
        &self,
        account_id: i64,
        user: &str,
        target: &ErasureTarget,
        confirm: u64,
    ) -> Result<Erasure, Error> {
        let erased = self.store.erase(account_id, user, target, confirm).await?;
        let user_id = erased.receipts.first().map(|receipt| receipt.erased_by.clone());
        let waits_for = if self.options.sends_mail { "run" } else { "mail.smtp_url" };
        Ok(Erasure {
            receipts: erased.receipts,
            confirmation: Confirmation { user_id, waits_for },
            scrubbed: erased.scrubbed.is_ok(),
            not_scrubbed: erased.scrubbed.err(),
        })
    }

    /// What an erasure would do; writes nothing.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::preview_erasure`].
    pub async fn preview_erasure(
        &self,
        account_id: i64,
        user: &str,
        target: &ErasureTarget,
    ) -> Result<Preview, Error> {
        Ok(self.store.preview_erasure(account_id, user, target).await?)
    }

    /// One receipt.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub async fn erasure(&self, account_id: i64, erasure_id: i64) -> Result<Receipt, Error> {
        let receipt = self.store.erasure(account_id, erasure_id).await?;
        receipt.ok_or_else(|| Error::NotFound(format!("account {account_id} has no erasure {erasure_id}")))
    }
}
