//! A preview of an erasure: the erasure itself, rolled back.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{By, ErasureTarget, erase_address, erase_one, held_since, targeted};
use crate::domain::address::address_key;
use crate::domain::suppression::HashKeys;
use crate::domain::time::format_time;
use crate::store::access::audit::Actor;
use crate::store::access::users::user_who_may_erase;
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::identity::suppressions;
use crate::store::privacy::receipts::{CategoryEffect, Counts, Effect};
use crate::store::privacy::redact::{Changed, Found, Redacted};
use crate::store::{Store, StoreError, dry_run};

/// What an erasure would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    pub contacts: Vec<ToBeErased>,
    pub categories: Vec<CategoryEffect>,
    /// Records that stay and would be changed.
    pub others: Vec<Changed>,
    /// Records that have an address of the person and would be left alone.
    pub found: BTreeSet<Found>,
}

/// A contact that an erasure would take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToBeErased {
    pub id: String,
    pub name: String,
    pub emails: Vec<String>,
    /// Since when a legal hold forbids the erasure.
    pub legal_hold: Option<String>,
}

impl Store {
    /// What an erasure would do: it is done in a transaction that is rolled back.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, a text that is no plain address, a contact that is not there.
    pub async fn preview_erasure(
        &self,
        account_id: i64,
        user: &str,
        target: &ErasureTarget,
    ) -> Result<Preview, StoreError> {
        dry_run!(self, tx => preview(tx, self, account_id, user, target))
    }
}

async fn preview(
    tx: &mut Tx,
    store: &Store,
    account_id: i64,
    user: &str,
    target: &ErasureTarget,
) -> Result<Preview, StoreError> {
    let user_id = user_who_may_erase(tx, account_id, user).await?;
    let locked = targeted(tx, account_id, target).await?;
    let at = tx.now().await?;
    // A transaction that is rolled back must not leave a key file behind.
    let keys =
        suppressions::existing_keys(tx, store.hash_key_home()).await?.unwrap_or_else(HashKeys::throwaway);
    let by = By { keys: &keys, actor: Actor::User(user_id), user_id, first_at: None };
    let (mut contacts, mut counts, mut redacted) = (Vec::new(), BTreeMap::new(), Redacted::default());
    if let (true, ErasureTarget::Address(address)) = (locked.is_empty(), target) {
        let erasure = erase_address(tx, &by, account_id, &address_key(address), at).await?;
        (counts, redacted) = (erasure.counts, erasure.redacted);
    }
    for contact in &locked {
        contacts.push(to_be_erased(tx, account_id, contact.contact_id).await?);
    }
    for contact in &locked {
        let erasure = erase_one(tx, &by, account_id, contact, at).await?;
        for (category, more) in erasure.counts {
            let counts: &mut Counts = counts.entry(category).or_default();
            counts.deleted += more.deleted;
            counts.unlinked += more.unlinked;
            counts.redacted += more.redacted;
        }
        redacted.changed.extend(erasure.redacted.changed);
        redacted.found.extend(erasure.redacted.found);
    }
    let Effect { categories, found, .. } = Effect::new(counts, &redacted);
    Ok(Preview { contacts, categories, others: redacted.changed, found })
}

/// A contact as the preview shows it.
async fn to_be_erased(tx: &mut Tx, account_id: i64, contact_id: i64) -> Result<ToBeErased, StoreError> {
    let sql = "SELECT coalesce(properties ->> 'firstname', '') AS first, coalesce(properties ->> 'lastname', '') AS last \
               FROM contacts WHERE account_id = $1 AND contact_id = $2";
    let row = tx.row(sql, args![account_id, contact_id]).await?;
    let name = row.map(|row| Ok::<_, StoreError>(format!("{} {}", row.text("first")?, row.text("last")?)));
    let sql = "SELECT email FROM contact_emails WHERE account_id = $1 AND contact_id = $2 ORDER BY email_key";
    let emails = tx.rows(sql, args![account_id, contact_id]).await?;
    Ok(ToBeErased {
        id: contact_id.to_string(),
        name: name.transpose()?.unwrap_or_default().trim().to_owned(),
        emails: emails.iter().map(|row| row.text("email")).collect::<Result<_, _>>()?,
        legal_hold: held_since(tx, account_id, contact_id).await?.map(format_time),
    })
}
