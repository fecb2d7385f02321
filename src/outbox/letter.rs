//! What the user who asked for an erasure reads: ids, times and receipts; nothing of the person. Pure.

use crate::domain::time::Time;
use crate::store::outbox::mail::{ConfirmedErasure, Mail};

/// A mail but for its sender and its recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// The same at every try: who receives it twice knows it by this. The sender's domain completes it.
    pub id: String,
    pub date: Time,
    pub subject: String,
    pub body: String,
}

/// The letter of a mail.
pub fn letter(mail: &Mail) -> Email {
    let account_id = mail.account_id;
    let erasures = &mail.confirmation.erasures;
    let what = match &erasures[..] {
        [ConfirmedErasure { contact_id: Some(contact_id), .. }] => format!("contact {contact_id}"),
        [ConfirmedErasure { contact_id: None, .. }] => "an address that nobody had".to_owned(),
        more => format!("{} contacts", more.len()),
    };
    let done: String = erasures.iter().map(|erasure| line(account_id, erasure)).collect();
    let body = format!(
        "What you asked for was done for good at {}. It cannot be undone.\n\n{done}\n\
         A receipt counts what was deleted and holds nothing of the person.\n",
        mail.confirmation.erased_at
    );
    Email {
        // The time tells the messages of two stores apart that send from one address.
        id: format!("erasure-{account_id}-{}-{}", mail.message_id, mail.created_at.timestamp_micros()),
        date: mail.created_at,
        subject: format!("Erased in account {account_id}: {what}"),
        body,
    }
}

fn line(account_id: i64, ConfirmedErasure { erasure_id, contact_id }: &ConfirmedErasure) -> String {
    let what = contact_id.as_ref().map_or_else(
        || "The address, which nobody had, was put on the suppression list".to_owned(),
        |contact_id| format!("Contact {contact_id} was erased"),
    );
    format!(
        "{what}: receipt {erasure_id}\n  contact-reaper erasures show {erasure_id} --account {account_id}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::time::parse_time;
    use crate::store::outbox::mail::Confirmation;

    fn mail(erasures: &[(&str, Option<&str>)]) -> Mail {
        let erasure = |(erasure_id, contact_id): &(&str, Option<&str>)| ConfirmedErasure {
            erasure_id: (*erasure_id).to_owned(),
            contact_id: contact_id.map(str::to_owned),
        };
        Mail {
            account_id: 7,
            message_id: 42,
            created_at: parse_time("2026-11-21T10:00:00.5Z").unwrap(),
            age: Duration::ZERO,
            tries: 0,
            address: None,
            confirmation: Confirmation {
                user_id: "1".to_owned(),
                erased_at: "2026-11-21T10:00:00.500000Z".to_owned(),
                erasures: erasures.iter().map(erasure).collect(),
            },
        }
    }

    #[test]
    fn it_tells_the_receipts_and_keeps_its_id() {
        let letter = letter(&mail(&[("5", Some("11")), ("6", Some("12"))]));
        assert_eq!(letter.id, "erasure-7-42-1795255200500000");
        assert_eq!(letter.subject, "Erased in account 7: 2 contacts");
        assert_eq!(
            letter.body,
            "What you asked for was done for good at 2026-11-21T10:00:00.500000Z. It cannot be undone.\n\n\
             Contact 11 was erased: receipt 5\n  contact-reaper erasures show 5 --account 7\n\
             Contact 12 was erased: receipt 6\n  contact-reaper erasures show 6 --account 7\n\n\
             A receipt counts what was deleted and holds nothing of the person.\n"
        );
    }

    #[test]
    fn confirmation_never_contains_an_unknown_address() {
        let letter = letter(&mail(&[("5", None)]));
        assert_eq!(letter.subject, "Erased in account 7: an address that nobody had");
        assert!(
            letter.body.contains("The address, which nobody had, was put on the suppression list: receipt 5")
        );
    }
}
