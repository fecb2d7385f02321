//! Dead letters that name a person.

use serde_json::Value;

use crate::domain::dead_letter::Selection;
use crate::domain::identifiers::Identifiers;
use crate::domain::members::parse_id;
use crate::domain::redaction::{Redactor, Style};
use crate::store::db::Tx;
use crate::store::{StoreError, dead_letters};

/// Deletes dead letters that name a person, of one account or without an account, and returns their ids.
pub(super) async fn delete_dead_letters(
    tx: &mut Tx,
    account_id: i64,
    contact_id: Option<i64>,
    person: &Identifiers,
) -> Result<Vec<i64>, StoreError> {
    let addresses = Identifiers { addresses: person.addresses.clone(), ..Identifiers::default() };
    let redactor = Redactor::new(&addresses);
    let is_about = |body: &[u8]| {
        let event: Value = serde_json::from_slice(body).unwrap_or_default();
        contact_id.is_some() && event.pointer("/data/objectId").and_then(parse_id) == contact_id
    };
    // One that is being written is waited for; one that comes later is redacted by the hash of the address.
    dead_letters::lock(tx).await?;
    let (mut named, mut last) = (Vec::new(), 0);
    loop {
        let page = dead_letters::bodies_after(tx, last, &Selection::default()).await?;
        let Some((end, _)) = page.last() else { break };
        last = end.id;
        for (letter, body) in page {
            let is_own = letter.account_id.is_some() && is_about(&body);
            let text = String::from_utf8_lossy(&body);
            if letter.account_id.is_none_or(|it| it == account_id)
                && (is_own || redactor.redact(&text, Style::Prose).is_some())
            {
                named.push(letter.id);
            }
        }
    }
    dead_letters::delete(tx, &named).await?;
    Ok(named)
}
