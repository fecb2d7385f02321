//! Erasing for good, for privacy: everything of a contact goes at once, the receipt says what did, and what was
//! counted as gone is looked for once more.

mod letters;
mod preview;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::receipts::{self, Counts, Effect, NewReceipt, Receipt};
use super::redact::{self, Redacted};
use super::vacuum;
use crate::domain::address::{address_key, is_plain_address};
use crate::domain::counted::counted;
use crate::domain::effects::{Category, Transition};
use crate::domain::identifiers::Identifiers;
use crate::domain::redaction::keys;
use crate::domain::suppression::{ERASED, HashKeys};
use crate::domain::time::{Time, format_time};
use crate::store::access::audit::{self, Actor};
use crate::store::access::users::user_who_may_erase;
use crate::store::contacts::{counts, lifecycle, not_found_error};
use crate::store::db::batch::Lists;
use crate::store::db::values::{Arg, args};
use crate::store::db::{Tx, locks};
use crate::store::deletions::Program;
use crate::store::identity::{identifiers, suppressions};
use crate::store::outbox::mail::{self, Confirmation, ConfirmedErasure};
use crate::store::outbox::write_outbox;
use crate::store::records;
use crate::store::trash::DeletedBy;
use crate::store::trash::statements::{self, RowEffect};
use crate::store::{HashKeySource, Store, StoreError, count_by_user, transaction};

pub use preview::{Preview, ToBeErased};

/// Whom to erase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErasureTarget {
    /// One contact, live or in the trash.
    Contact(i64),
    /// Every contact of an address, those in the trash too. Of one that no contact has, whatever names it is redacted, and it is
    /// suppressed.
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
struct LockedContact {
    contact_id: i64,
    live: bool,
    entry_id: Option<i64>,
}

/// What an erasure did to one person.
struct Erasure {
    counts: BTreeMap<String, Counts>,
    redacted: Redacted,
    addresses: BTreeSet<String>,
}

impl Store {
    /// Erases for good, as a user; `confirm` is how many contacts that user expects to lose.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, a text that is no plain address, a wrong count, a legal hold, a contact that is
    /// not there. Failed: rows that survived; then nothing was erased.
    pub async fn erase(
        &self,
        account_id: i64,
        user: &str,
        target: &ErasureTarget,
        confirm: u64,
    ) -> Result<Erased, StoreError> {
        let confirmed = Confirmed::Count(confirm);
        let receipts = transaction!(self, tx => erase(tx, self, account_id, user, target, confirmed))?;
        Ok(self.erased(receipts.unwrap_or_default()).await)
    }

    /// Erases for good what a program names, for the user of its token. `None`: it would be more than the token may delete.
    ///
    /// # Errors
    ///
    /// As [`Store::erase`], but for a wrong count.
    pub async fn erase_by_program(
        &self,
        program: Program,
        user: &str,
        target: &ErasureTarget,
    ) -> Result<Option<Erased>, StoreError> {
        let (account_id, confirmed) = (program.account_id, Confirmed::Program(program));
        match transaction!(self, tx => erase(tx, self, account_id, user, target, confirmed))? {
            Some(receipts) => Ok(Some(self.erased(receipts).await)),
            None => Ok(None),
        }
    }

    async fn erased(&self, receipts: Vec<Receipt>) -> Erased {
        let contacts = receipts.iter().filter(|receipt| receipt.contact_id.is_some()).count();
        count_by_user(Transition::Erase, contacts);
        Erased { receipts, scrubbed: self.scrub().await }
    }
}

/// What stands for the number that a person types.
#[derive(Clone, Copy, Debug)]
enum Confirmed {
    Count(u64),
    Program(Program),
}

async fn erase(
    tx: &mut Tx,
    store: &Store,
    account_id: i64,
    user: &str,
    target: &ErasureTarget,
    confirmed: Confirmed,
) -> Result<Option<Vec<Receipt>>, StoreError> {
    locks::lock_imports_and_removals(tx).await?;
    let user_id = user_who_may_erase(tx, account_id, user).await?;
    if let Confirmed::Program(program) = confirmed {
        program.lock(tx).await?;
    }
    let contacts = targeted(tx, account_id, target).await?;
    if let Confirmed::Count(confirm) = confirmed
        && confirm != contacts.len() as u64
    {
        let found = counted(contacts.len() as u64, "contact");
        return Err(StoreError::CountMismatch(format!(
            "the confirmation says {confirm} where {found} would be erased; nothing was erased"
        )));
    }
    refuse_held(tx, account_id, &contacts).await?;
    let at = tx.now().await?;
    if let Confirmed::Program(program) = confirmed {
        let count = contacts.len() as u64;
        if !program.admits(tx, count, at).await? {
            return Ok(None);
        }
        program.note_erasure(tx, count, at).await?;
    }
    let keys = suppressions::keys(tx, store.hash_key_home()).await?;
    let by = By { keys: &keys, actor: Actor::User(user_id), user_id, first_at: None };
    let mut receipts = Vec::new();
    if let (true, ErasureTarget::Address(address)) = (contacts.is_empty(), target) {
        let erasure = erase_address(tx, &by, account_id, &address_key(address), at).await?;
        receipts.push(write_receipt(tx, &by, account_id, None, at, erasure).await?);
    }
    for contact in &contacts {
        let erasure = erase_one(tx, &by, account_id, contact, at).await?;
        receipts.push(write_receipt(tx, &by, account_id, Some(contact.contact_id), at, erasure).await?);
    }
    let ids: Vec<i64> = contacts.iter().map(|contact| contact.contact_id).collect();
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    audit::write(tx, at, account_id, &Actor::User(user_id), "erase", &ids, count).await?;
    mail::confirm(tx, at, account_id, &confirmation(user_id, at, &receipts)).await?;
    Ok(Some(receipts))
}

/// In whose name, and with which keys.
pub(in crate::store) struct By<'a> {
    pub keys: &'a HashKeys,
    pub actor: Actor,
    pub user_id: i64,
    /// When the person was erased for the first time, where it is done again.
    pub first_at: Option<Time>,
}

async fn write_receipt(
    tx: &mut Tx,
    by: &By<'_>,
    account_id: i64,
    contact_id: Option<i64>,
    at: Time,
    erasure: Erasure,
) -> Result<Receipt, StoreError> {
    let Erasure { counts, redacted, addresses } = erasure;
    let effect = Effect::new(counts, &redacted);
    let addresses = addresses.iter().map(|address| by.keys.hash(account_id, address).hash).collect();
    let By { user_id, first_at, .. } = *by;
    let new = NewReceipt { account_id, contact_id, user_id, at, first_at, effect: &effect, addresses };
    receipts::write(tx, new).await
}

/// The confirmation to the user. It identifies contacts by their ids only.
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

/// The contacts to erase, locked. Looked up again once they are locked: a transaction that was waited for may have given the
/// address to another contact.
async fn targeted(
    tx: &mut Tx,
    account_id: i64,
    target: &ErasureTarget,
) -> Result<Vec<LockedContact>, StoreError> {
    if let ErasureTarget::Address(address) = target
        && !is_plain_address(address)
    {
        return Err(StoreError::Refused(
            "that is not one plain e-mail address: write it as ada@example.org, without a name, mailto: or a second one"
                .to_owned(),
        ));
    }
    let contacts = lock_contacts(tx, account_id, target, true).await?;
    if let ErasureTarget::Contact(contact_id) = target
        && contacts.is_empty()
    {
        return Err(not_found_error(tx, account_id, *contact_id).await?);
    }
    let again = lock_contacts(tx, account_id, target, false).await?;
    let ids = |contacts: &[LockedContact]| contacts.iter().map(|it| it.contact_id).collect::<Vec<_>>();
    if ids(&contacts) != ids(&again) {
        return Err(StoreError::CountMismatch(format!(
            "another change was under way: the address is now of {}; look again, nothing was erased",
            counted(again.len() as u64, "contact")
        )));
    }
    Ok(contacts)
}

/// The contacts of a target, by id.
async fn lock_contacts(
    tx: &mut Tx,
    account_id: i64,
    target: &ErasureTarget,
    lock: bool,
) -> Result<Vec<LockedContact>, StoreError> {
    let mut parameters = vec![Arg::from(account_id)];
    let condition = match target {
        ErasureTarget::Contact(contact_id) => {
            parameters.push((*contact_id).into());
            "c.contact_id = $2".to_owned()
        }
        ErasureTarget::Address(address) => {
            parameters.extend(keys(&address_key(address)).into_iter().map(Arg::from));
            let places: Vec<String> = (2..=parameters.len()).map(|place| format!("${place}")).collect();
            format!(
                "c.contact_id IN (SELECT e.contact_id FROM contact_emails e \
                 WHERE e.account_id = $1 AND e.email_key IN ({}))",
                places.join(", ")
            )
        }
    };
    let sql = format!(
        "SELECT c.contact_id, c.deleted_at, c.trash_entry_id FROM contacts c \
         WHERE c.account_id = $1 AND {condition} ORDER BY c.contact_id{}",
        if lock { tx.for_update("c") } else { String::new() }
    );
    let mut contacts = Vec::new();
    for row in tx.rows(&sql, &parameters).await? {
        contacts.push(LockedContact {
            contact_id: row.int("contact_id")?,
            live: row.optional_time("deleted_at")?.is_none(),
            entry_id: row.optional_int("trash_entry_id")?,
        });
    }
    Ok(contacts)
}

async fn refuse_held(tx: &mut Tx, account_id: i64, contacts: &[LockedContact]) -> Result<(), StoreError> {
    for LockedContact { contact_id, .. } in contacts {
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

/// Erases a contact that may be erased again after a backup was restored; `None` where it is not there.
pub(super) async fn erase_contact(
    tx: &mut Tx,
    by: &By<'_>,
    account_id: i64,
    contact_id: i64,
    at: Time,
) -> Result<Option<Receipt>, StoreError> {
    let target = ErasureTarget::Contact(contact_id);
    let Some(contact) = lock_contacts(tx, account_id, &target, true).await?.pop() else { return Ok(None) };
    let erasure = erase_one(tx, by, account_id, &contact, at).await?;
    write_receipt(tx, by, account_id, Some(contact_id), at, erasure).await.map(Some)
}

/// Erases a contact.
async fn erase_one(
    tx: &mut Tx,
    by: &By<'_>,
    account_id: i64,
    contact: &LockedContact,
    at: Time,
) -> Result<Erasure, StoreError> {
    let contact_id = contact.contact_id;
    let batch = Lists::ids([[account_id, contact_id, contact.entry_id.unwrap_or_default()]]);
    let person = identifiers::of_contact(tx, account_id, contact_id).await?;
    let shared = redact::rows_of(tx, account_id, contact_id).await?;
    if contact.live {
        lifecycle::recompute(tx, Transition::Trash, &[(account_id, contact_id)]).await?;
        counts::record_change(tx, [account_id].into_iter(), -1).await?;
    }
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    let addresses: Vec<String> = person.addresses.iter().cloned().collect();
    let suppressed = suppressions::hash(tx, by.keys, account_id, &addresses, ERASED, at).await?;
    of(&mut counts, Category::Suppressions).redacted += suppressed;
    let shared_addresses = identifiers::shared_addresses(tx, account_id, contact_id).await?;
    suppressions::mark_shared(tx, by.keys, account_id, &shared_addresses, ERASED, at).await?;
    of(&mut counts, Category::Quotes).unlinked += mark_quotes(tx, account_id, contact_id, at).await?;
    close_entry(tx, account_id, contact_id, at).await?;
    let steps = statements::steps(Transition::Erase, tx.dialect());
    let mut records = Vec::new();
    for step in &steps {
        records.push(match &step.records {
            Some(sql) => Some(
                tx.row(sql, args![&batch]).await?.map_or(Ok(0), |row| row.int("records"))?.unsigned_abs(),
            ),
            None => None,
        });
    }
    for (step, records) in steps.iter().zip(records) {
        let rows = tx.execute(&step.sql, args![&batch]).await?;
        let (deleted, unlinked) = step.counted.counts(records.unwrap_or(rows));
        let counts = of(&mut counts, step.category);
        counts.deleted += deleted;
        counts.unlinked += unlinked;
    }
    records::close_erased(tx, account_id, at).await?;
    erase_beside(tx, &by.actor, account_id, Some(contact_id), &person, at, &mut counts).await?;
    let redacted = redact::contact(tx, account_id, &person, &shared).await?;
    let mut survivors = 0;
    for step in steps.iter().filter(|step| matches!(step.effect, RowEffect::Delete | RowEffect::Unlink(_))) {
        let found = tx.row(&step.survivors, args![&batch]).await?;
        let found = found.ok_or_else(|| StoreError::Failed("survivors were not counted".to_owned()))?;
        survivors += found.int("survivors")?;
    }
    if survivors > 0 {
        return Err(StoreError::Failed(format!(
            "{survivors} rows of contact {contact_id} survived its erasure; nothing was erased"
        )));
    }
    vacuum::mark_needed(tx, at).await?;
    announce_erasure(tx, account_id, contact, by.user_id, at).await?;
    let addresses = person.addresses.into_iter().chain(shared_addresses).collect();
    Ok(Erasure { counts, redacted, addresses })
}

/// Erases an address that no contact has: whatever names it, and mail to it is suppressed.
async fn erase_address(
    tx: &mut Tx,
    by: &By<'_>,
    account_id: i64,
    address: &str,
    at: Time,
) -> Result<Erasure, StoreError> {
    suppressions::suppress_unknown(tx, by.keys, account_id, address, at).await?;
    redact_address(tx, &by.actor, account_id, address, at).await
}

/// Whatever names an erased address goes, or is redacted.
async fn redact_address(
    tx: &mut Tx,
    actor: &Actor,
    account_id: i64,
    address: &str,
    at: Time,
) -> Result<Erasure, StoreError> {
    let mut counts = BTreeMap::new();
    // Notifications of a contact who was purged show the name beside the address.
    let names = redact::names_beside(tx, account_id, address).await?;
    let addresses = BTreeSet::from([address.to_owned()]);
    let longer = identifiers::longer(tx, account_id, &addresses).await?;
    let person = Identifiers { addresses, longer, names, ..Identifiers::default() };
    erase_beside(tx, actor, account_id, None, &person, at, &mut counts).await?;
    let redacted = redact::address(tx, account_id, &person).await?;
    vacuum::mark_needed(tx, at).await?;
    Ok(Erasure { counts, redacted, addresses: person.addresses })
}

/// The addresses of erased people that still stand somewhere in an account, told by their hashes.
pub(super) async fn erased_addresses(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
) -> Result<BTreeSet<String>, StoreError> {
    let mut addresses = redact::erased_addresses(tx, home, account_id).await?;
    addresses.extend(letters::erased_addresses(tx, home, account_id).await?);
    Ok(addresses)
}

/// Redacts whatever names an address that was erased before; how many records changed or went. Nothing, where a contact has
/// the address by now.
pub(super) async fn redact_address_again(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
    address: &str,
    actor: &Actor,
) -> Result<u64, StoreError> {
    let at = locks::lock_imports_and_removals(tx).await?;
    if suppressions::erased(tx, home, &[(account_id, address.to_owned())]).await?.is_empty() {
        return Ok(0);
    }
    let Erasure { counts, redacted, .. } = redact_address(tx, actor, account_id, address, at).await?;
    let records = redacted.changed.len() as u64 + counts.values().map(|counts| counts.deleted).sum::<u64>();
    if records > 0 {
        let count = i64::try_from(records).unwrap_or(i64::MAX);
        audit::write(tx, at, account_id, actor, "redact_again", &[], count).await?;
    }
    Ok(records)
}

/// The counts of a category.
fn of(counts: &mut BTreeMap<String, Counts>, category: Category) -> &mut Counts {
    counts.entry(category.title().to_owned()).or_default()
}

/// Deletes what is of the person and linked with no contact: notifications to its addresses, dead letters that name it; those about others are redacted.
async fn erase_beside(
    tx: &mut Tx,
    actor: &Actor,
    account_id: i64,
    contact_id: Option<i64>,
    person: &Identifiers,
    at: Time,
    counts: &mut BTreeMap<String, Counts>,
) -> Result<(), StoreError> {
    let notifications = redact::delete_notifications(tx, account_id, &person.addresses).await?;
    of(counts, Category::Notifications).deleted += notifications;
    let letters = letters::let_go_of_dead_letters(tx, account_id, contact_id, person).await?;
    if letters.redacted > 0 {
        counts.entry("dead letters".to_owned()).or_default().redacted += letters.redacted;
    }
    if !letters.deleted.is_empty() {
        counts.entry("dead letters".to_owned()).or_default().deleted += letters.deleted.len() as u64;
        let ids: Vec<String> = letters.deleted.iter().map(i64::to_string).collect();
        audit::write_texts(tx, at, account_id, actor, "discard_dead_letters", &ids).await?;
    }
    Ok(())
}

/// The contact's quotes stay for now; the schedule deletes them unless another contact is on them. How many.
async fn mark_quotes(tx: &mut Tx, account_id: i64, contact_id: i64, at: Time) -> Result<u64, StoreError> {
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
    .await
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
    LockedContact { contact_id, live, entry_id }: &LockedContact,
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
