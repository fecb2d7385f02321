//! Dead letters that name a person.

use std::collections::BTreeSet;

use crate::domain::body_texts::{is_kept_whole, is_searchable, texts_of};
use crate::domain::dead_letter::DeadLetter;
use crate::domain::identifiers::Identifiers;
use crate::domain::mentions::{About, about, without_contact};
use crate::domain::redaction::{Redactor, Style};
use crate::store::db::Tx;
use crate::store::feed::dead_letters;
use crate::store::identity::suppressions;
use crate::store::{HashKeySource, StoreError};

/// What became of dead letters.
#[derive(Default)]
pub(super) struct Letters {
    pub deleted: Vec<i64>,
    pub redacted: u64,
}

/// Deletes dead letters that name a person, of one account or without an account. Those about other contacts are redacted, and
/// batches lose the events about the person: the other enrollments may still be replayed. A dead letter that has the id of the
/// contact and names no account loses its body: it may be of another account, and can be of no use any more. So does one whose
/// body cannot be searched.
pub(super) async fn let_go_of_dead_letters(
    tx: &mut Tx,
    account_id: i64,
    contact_id: Option<i64>,
    person: &Identifiers,
) -> Result<Letters, StoreError> {
    let redactor = Redactor::new(&person.only_addresses());
    // One that is being written is waited for; one that comes later is redacted by the hash of the address.
    dead_letters::lock(tx).await?;
    let (mut letters, mut emptied, mut last) = (Letters::default(), Vec::new(), 0);
    loop {
        let page = dead_letters::bodies_for(tx, last, account_id).await?;
        let Some((end, _)) = page.last() else { break };
        last = end.id;
        for (letter, body) in page {
            // An older version kept it whole: it takes long to search, and can never be decided. Or it is no text.
            if !is_kept_whole(&body) || !is_searchable(&body) {
                emptied.push(letter.id);
                continue;
            }
            let texts = texts(&letter, &body);
            let About { accounts, contacts } = about(&texts);
            let may_be_here = accounts.is_empty() || accounts.contains(&account_id);
            let person = contact_id.filter(|id| contacts.contains(id));
            let (is_about, is_alone) = (person.is_some(), contacts.len() == 1);
            let names = || texts.iter().any(|it| redactor.redact(it, Style::Prose).is_some());
            if is_about && is_alone && accounts.contains(&account_id) {
                letters.deleted.push(letter.id);
            } else if let (Some(contact_id), false, true) = (person, is_alone, may_be_here) {
                if let Some(others) = without_contact(&body, account_id, contact_id) {
                    dead_letters::redact(tx, letter, others, &redactor).await?;
                    letters.redacted += 1;
                } else {
                    emptied.push(letter.id);
                }
            } else if !is_about && !contacts.is_empty() && names() {
                dead_letters::redact(tx, letter, body, &redactor).await?;
                letters.redacted += 1;
            } else if names() {
                letters.deleted.push(letter.id);
            } else if is_about && accounts.is_empty() {
                emptied.push(letter.id);
            }
        }
    }
    dead_letters::delete(tx, &letters.deleted).await?;
    dead_letters::empty(tx, &emptied).await?;
    Ok(letters)
}

/// The addresses of erased people in dead letters of one account or without an account.
pub(super) async fn erased_addresses(
    tx: &mut Tx,
    home: &HashKeySource,
    account_id: i64,
) -> Result<BTreeSet<String>, StoreError> {
    let (mut erased, mut last) = (BTreeSet::new(), 0);
    loop {
        let page = dead_letters::bodies_for(tx, last, account_id).await?;
        let Some((end, _)) = page.last() else { return Ok(erased) };
        last = end.id;
        let page = page.iter().filter(|(_, body)| is_kept_whole(body));
        let texts: Vec<String> = page.flat_map(|(letter, body)| texts(letter, body)).collect();
        erased.extend(suppressions::erased_in(tx, home, account_id, &texts).await?);
    }
}

/// The texts of a dead letter that may identify a person.
fn texts(letter: &DeadLetter, body: &[u8]) -> Vec<String> {
    texts_of(body).into_iter().chain(letter.words().map(str::to_owned)).collect()
}
