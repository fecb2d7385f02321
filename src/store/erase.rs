//! Erasing for good, for privacy: everything of a contact goes at once, the receipt says what did, and what was
//! counted as gone is looked for once more.

use std::collections::BTreeMap;

use serde_json::json;

use super::audit::{self, Actor};
use super::batch::Lists;
use super::contact::not_there;
use super::db::Tx;
use super::mail::{self, Confirmation, ConfirmedErasure};
use super::outbox::write_outbox;
use super::person::{self, People};
use super::plan::{self, Deed};
use super::receipts::{self, Counts, Receipt};
use super::redact::{self, Redacted};
use super::trash::DeletedBy;
use super::users::permitted_user;
use super::values::{Arg, args};
use super::{
    Store, StoreError, contact_counts, count_by_user, import, lifecycle, reading, scrubs, suppressions,
    transaction,
};
use crate::domain::address::address_key;
use crate::domain::effects::{Category, Transition};
use crate::domain::permission::Scope;
use crate::domain::person::Traces;
use crate::domain::time::{Time, format_time};

/// Whom to erase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// One contact, live or in the trash.
    Contact(i64),
    /// Every contact of an address, those in the trash too. An unknown one is still suppressed.
    Address(String),
}

/// What was committed, and what became of the files afterwards: a scrub that failed undoes no erasure.
#[derive(Debug)]
pub struct Erased {
    pub receipts: Vec<Receipt>,
    /// Where this failed a SQLite store's files may hold traces until the next scrub.
    pub scrubbed: Result<(), StoreError>,
}

/// A contact to be erased; its row is locked.
pub(super) struct Subject {
    contact_id: i64,
    live: bool,
    entry_id: Option<i64>,
}

impl Store {
    /// Erases for good, as a user; `confirm` is how many contacts that user expects to lose.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, a wrong count, a legal hold, a contact that is not there. Failed:
    /// rows that survived; then nothing was erased.
    pub async fn erase(
        &self,
        account_id: i64,
        user: &str,
        person: &Person,
        confirm: u64,
    ) -> Result<Erased, StoreError> {
        let receipts = transaction!(self, tx => erase(tx, self, account_id, user, person, confirm))?;
        let contacts = receipts.iter().filter(|receipt| receipt.contact_id.is_some()).count();
        count_by_user(Transition::Erase, contacts);
        Ok(Erased { receipts, scrubbed: self.scrub().await })
    }
}

impl Store {
    /// Whom an erasure would take now.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn to_be_erased(&self, account_id: i64, person: &Person) -> Result<Vec<i64>, StoreError> {
        let subjects = reading!(self, tx => subjects(tx, account_id, person))?;
        Ok(subjects.into_iter().map(|subject| subject.contact_id).collect())
    }
}

async fn erase(
    tx: &mut Tx,
    store: &Store,
    account_id: i64,
    user: &str,
    person: &Person,
    confirm: u64,
) -> Result<Vec<Receipt>, StoreError> {
    import::wait_for_chunk(tx).await?;
    let user_id = permitted_user(tx, account_id, user, "erase", Scope::One).await?;
    let subjects = subjects(tx, account_id, person).await?;
    if let (true, Person::Contact(contact_id)) = (subjects.is_empty(), person) {
        return Err(not_there(tx, account_id, *contact_id).await?);
    }
    if subjects.len() as u64 != confirm {
        return Err(StoreError::Miscounted(format!(
            "the confirmation says {confirm} where {} contacts would be erased; nothing was erased",
            subjects.len()
        )));
    }
    refuse_held(tx, account_id, &subjects).await?;
    let at = tx.now().await?;
    let keys = suppressions::keys(tx, store.hash_key_home()).await?;
    let mut receipts = Vec::new();
    if let (true, Person::Address(address)) = (subjects.is_empty(), person) {
        suppressions::suppress_unknown(tx, &keys, account_id, &address_key(address), at).await?;
        receipts.push(receipts::write(tx, account_id, None, user_id, at, BTreeMap::new()).await?);
    }
    for subject in &subjects {
        let counts = erase_one(tx, &keys, account_id, user_id, subject, at).await?;
        receipts.push(receipts::write(tx, account_id, Some(subject.contact_id), user_id, at, counts).await?);
    }
    let ids: Vec<i64> = subjects.iter().map(|subject| subject.contact_id).collect();
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    audit::write(tx, at, account_id, &Actor::User(user_id), "erase", &ids, count).await?;
    mail::confirm(tx, at, account_id, &confirmation(user_id, at, &receipts)).await?;
    Ok(receipts)
}

/// What the user is told: whom it was about is in the ids alone.
fn confirmation(user_id: i64, at: Time, receipts: &[Receipt]) -> Confirmation {
    let erasure = |receipt: &Receipt| ConfirmedErasure {
        erasure_id: receipt.erasure_id.clone(),
        contact_id: receipt.contact_id.clone(),
    };
    Confirmation {
        user_id: user_id.to_string(),
        erased_at: format_time(at),
        erasures: receipts.iter().map(erasure).collect(),
    }
}

/// The contacts to erase, locked.
pub(super) async fn subjects(
    tx: &mut Tx,
    account_id: i64,
    person: &Person,
) -> Result<Vec<Subject>, StoreError> {
    let (condition, wanted) = match person {
        Person::Contact(contact_id) => ("c.contact_id = $2", Arg::from(*contact_id)),
        Person::Address(address) => (
            "c.contact_id IN (SELECT e.contact_id FROM contact_emails e \
             WHERE e.account_id = $1 AND e.email_key = $2)",
            Arg::from(address_key(address)),
        ),
    };
    let sql = format!(
        "SELECT c.contact_id, c.deleted_at, c.trash_entry_id FROM contacts c \
         WHERE c.account_id = $1 AND {condition} ORDER BY c.contact_id{}",
        tx.for_update("c")
    );
    let mut subjects = Vec::new();
    for row in tx.rows(&sql, &[account_id.into(), wanted]).await? {
        subjects.push(Subject {
            contact_id: row.int("contact_id")?,
            live: row.optional_time("deleted_at")?.is_none(),
            entry_id: row.optional_int("trash_entry_id")?,
        });
    }
    Ok(subjects)
}

async fn refuse_held(tx: &mut Tx, account_id: i64, subjects: &[Subject]) -> Result<(), StoreError> {
    for Subject { contact_id, .. } in subjects {
        if let Some(since) = held_since(tx, account_id, *contact_id).await? {
            return Err(StoreError::Refused(format!(
                "contact {contact_id} is under a legal hold since {} and cannot be erased: lift the hold first",
                format_time(since)
            )));
        }
    }
    Ok(())
}

/// Since when a contact is under a legal hold, where it is.
pub(super) async fn held_since(
    tx: &mut Tx,
    account_id: i64,
    contact_id: i64,
) -> Result<Option<Time>, StoreError> {
    let sql = "SELECT since FROM legal_holds WHERE account_id = $1 AND contact_id = $2";
    tx.row(sql, args![account_id, contact_id]).await?.map(|hold| hold.time("since")).transpose()
}

/// Erases a contact; what that did, by category.
pub(super) async fn erase_one(
    tx: &mut Tx,
    keys: &crate::domain::suppression::HashKeys,
    account_id: i64,
    user_id: i64,
    subject: &Subject,
    at: Time,
) -> Result<BTreeMap<String, Counts>, StoreError> {
    let contact_id = subject.contact_id;
    let batch = Lists::ids([[account_id, contact_id, subject.entry_id.unwrap_or_default()]]);
    let People { addresses, texts } =
        person::people(tx, &batch).await?.remove(&account_id).unwrap_or_default();
    let traces = Traces::of(&texts.into_values().flatten().collect::<Vec<_>>());
    if subject.live {
        lifecycle::recompute(tx, Transition::Trash, &[(account_id, contact_id)]).await?;
        contact_counts::moved(tx, [account_id].into_iter(), -1).await?;
    }
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    add_redacted(&mut counts, redact::headers(tx, &batch).await?);
    let suppressed = suppressions::hash(tx, keys, account_id, &addresses, at).await?;
    counts.entry(Category::Suppressions.title().to_owned()).or_default().redacted += suppressed;
    mark_quotes(tx, account_id, contact_id, at).await?;
    close_entry(tx, account_id, contact_id, at).await?;
    let steps = plan::steps(Transition::Erase, tx.dialect());
    for step in &steps {
        let touched = tx.execute(&step.sql, args![&batch]).await?;
        let (deleted, unlinked) = step.deed.tally(touched);
        let counts = counts.entry(step.category.title().to_owned()).or_default();
        counts.deleted += deleted;
        counts.unlinked += unlinked;
    }
    add_redacted(&mut counts, redact::account_wide(tx, account_id, &traces, Transition::Erase).await?);
    redact::dead_letters(tx, &traces).await?;
    let mut survivors = 0;
    for step in steps.iter().filter(|step| matches!(step.deed, Deed::Delete | Deed::Unlink(_))) {
        let found = tx.row(&step.survivors, args![&batch]).await?;
        let found = found.map_or(Ok(0), |row| row.int("survivors"))?.unsigned_abs();
        counts.entry(step.category.title().to_owned()).or_default().survivors += found;
        survivors += found;
    }
    if survivors > 0 {
        return Err(StoreError::Failed(format!(
            "{survivors} rows of contact {contact_id} survived its erasure; nothing was erased"
        )));
    }
    counts.retain(|_, counts| *counts != Counts::default());
    scrubs::owe(tx, at).await?;
    announce_erasure(tx, account_id, subject, user_id, at).await?;
    Ok(counts)
}

fn add_redacted(counts: &mut BTreeMap<String, Counts>, redacted: Redacted) {
    for (category, rows) in redacted {
        counts.entry(category.to_owned()).or_default().redacted += rows;
    }
}

/// The contact's quotes stay for now; the schedule deletes them unless another live contact is on them.
async fn mark_quotes(tx: &mut Tx, account_id: i64, contact_id: i64, at: Time) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE quotes SET orphaned_at = $3 WHERE account_id = $1 AND quote_id IN \
         (SELECT quote_id FROM quote_contacts WHERE account_id = $1 AND contact_id = $2)",
        args![account_id, contact_id, at],
    )
    .await?;
    tx.execute(
        "DELETE FROM quote_contacts WHERE account_id = $1 AND contact_id = $2",
        args![account_id, contact_id],
    )
    .await?;
    Ok(())
}

async fn close_entry(tx: &mut Tx, account_id: i64, contact_id: i64, at: Time) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE trash_entries SET closed_at = $3, closed_as = 'erased' \
         WHERE account_id = $1 AND contact_id = $2 AND closed_at IS NULL",
        args![account_id, contact_id, at],
    )
    .await?;
    tx.execute(
        "INSERT INTO gone_contacts (account_id, contact_id, state, gone_at) VALUES ($1, $2, 'erased', $3)",
        args![account_id, contact_id, at],
    )
    .await?;
    Ok(())
}

/// Tells of an erasure: `contact.deletion` first where the contact was live, then `contact.privacyDeletion`.
async fn announce_erasure(
    tx: &mut Tx,
    account_id: i64,
    Subject { contact_id, live, entry_id }: &Subject,
    user_id: i64,
    at: Time,
) -> Result<(), StoreError> {
    let entry_id = entry_id.map(|id| id.to_string());
    let by = DeletedBy::User { user_id };
    let data = |when: &str, who: &str| {
        json!({"accountId": account_id.to_string(), "contactId": contact_id.to_string(), "trashEntryId": entry_id,
            when: format_time(at), who: by})
    };
    let deletion = live.then(|| (account_id, "contact.deletion", data("deletedAt", "deletedBy")));
    let erasure = (account_id, "contact.privacyDeletion", data("erasedAt", "erasedBy"));
    write_outbox(tx, at, deletion.into_iter().chain([erasure]).collect()).await
}
