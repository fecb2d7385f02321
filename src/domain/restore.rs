//! Who may come back from the trash, and why somebody may not.

use std::collections::HashMap;

use super::time::{Time, format_time};

/// How long the trash keeps a contact restorable: 90 × 24 hours, by the database's clock.
/// Source: the vendor's article "Understand restorable and permanent contact deletions".
pub const RESTORABLE: chrono::TimeDelta = chrono::TimeDelta::days(90);

/// How a contact that somebody wants back stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrashState {
    Live,
    InTrash { entry_id: i64, deleted_at: Time },
    Erased,
    Purged,
    Unknown,
}

/// A contact that somebody wants back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub contact_id: i64,
    pub standing: TrashState,
    pub addresses: Vec<Address>,
}

/// One of its addresses, primary or additional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub key: String,
    /// The live contact that holds it meanwhile.
    pub held_by: Option<i64>,
}

/// Addresses by key, each with the contact that comes back with it.
pub type AddressOwners = HashMap<String, i64>;

/// Why a contact does not come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    AddressHeld { by: i64 },
    Expired { deleted_at: Time },
    NotInTrash,
    Erased,
    Purged,
    Unknown,
}

impl Refusal {
    /// As programs know it.
    pub fn code(self) -> &'static str {
        match self {
            Self::AddressHeld { .. } => "address_held",
            Self::Expired { .. } => "expired",
            Self::NotInTrash => "not_in_trash",
            Self::Erased => "erased",
            Self::Purged => "purged",
            Self::Unknown => "unknown",
        }
    }

    /// The contact that is in the way.
    pub fn held_by(self) -> Option<i64> {
        match self {
            Self::AddressHeld { by } => Some(by),
            _ => None,
        }
    }

    /// As people read it: what, and what to do.
    pub fn sentence(self, account_id: i64, contact_id: i64) -> String {
        match self {
            Self::AddressHeld { by } => format!(
                "contact {contact_id} cannot be restored: contact {by} holds one of its e-mail addresses; \
                 delete or change that one first"
            ),
            Self::Expired { deleted_at } => format!(
                "contact {contact_id} was deleted at {}, more than 90 days ago, and cannot be restored: \
                 create a new contact where one is needed",
                format_time(deleted_at)
            ),
            Self::NotInTrash => format!("contact {contact_id} is not in the trash"),
            Self::Erased => format!(
                "contact {contact_id} was erased and is gone for good: nothing of it is left to restore"
            ),
            Self::Purged => format!(
                "contact {contact_id} was purged and is gone for good: create a new contact where one is needed"
            ),
            Self::Unknown => {
                format!(
                    "account {account_id} has no contact {contact_id}: `trash list` shows what can come back"
                )
            }
        }
    }
}

/// What was decided on a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Contacts that come back, each with its trash entry.
    pub back: Vec<(i64, i64)>,
    pub refused: Vec<(i64, Refusal)>,
    /// The addresses that those who come back bring with them.
    pub holders: AddressOwners,
}

/// Decides on each contact by itself, in the order of the list: of two with one address the first has it.
/// `earlier` are the addresses of those before this list.
pub fn decide(candidates: &[Candidate], now: Time, earlier: &AddressOwners) -> Verdict {
    let mut verdict = Verdict::default();
    for candidate in candidates {
        let contact_id = candidate.contact_id;
        match entry_to_close(candidate, now, [earlier, &verdict.holders]) {
            Ok(entry_id) => {
                let keys = candidate.addresses.iter().map(|address| address.key.clone());
                verdict.holders.extend(keys.map(|key| (key, contact_id)));
                verdict.back.push((contact_id, entry_id));
            }
            Err(refusal) => verdict.refused.push((contact_id, refusal)),
        }
    }
    verdict
}

fn entry_to_close(candidate: &Candidate, now: Time, taken: [&AddressOwners; 2]) -> Result<i64, Refusal> {
    let (entry_id, deleted_at) = match candidate.standing {
        TrashState::InTrash { entry_id, deleted_at } => (entry_id, deleted_at),
        TrashState::Live => return Err(Refusal::NotInTrash),
        TrashState::Erased => return Err(Refusal::Erased),
        TrashState::Purged => return Err(Refusal::Purged),
        TrashState::Unknown => return Err(Refusal::Unknown),
    };
    if deleted_at < now - RESTORABLE {
        return Err(Refusal::Expired { deleted_at });
    }
    let holder = |address: &Address| {
        address.held_by.or_else(|| taken.iter().find_map(|holders| holders.get(&address.key).copied()))
    };
    match candidate.addresses.iter().filter_map(holder).min() {
        Some(by) => Err(Refusal::AddressHeld { by }),
        None => Ok(entry_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_trash(contact_id: i64, deleted_at: Time, addresses: &[(&str, Option<i64>)]) -> Candidate {
        let address =
            |(key, held_by): &(&str, Option<i64>)| Address { key: (*key).to_owned(), held_by: *held_by };
        let standing = TrashState::InTrash { entry_id: contact_id + 100, deleted_at };
        Candidate { contact_id, standing, addresses: addresses.iter().map(address).collect() }
    }

    #[test]
    fn ninety_days_to_the_microsecond_are_not_too_long() {
        let now = Time::UNIX_EPOCH + chrono::TimeDelta::days(1000);
        let last = now - chrono::TimeDelta::days(90);
        let late = last - chrono::TimeDelta::microseconds(1);
        let verdict = decide(&[in_trash(1, last, &[]), in_trash(2, late, &[])], now, &AddressOwners::new());
        assert_eq!(verdict.back, [(1, 101)]);
        assert_eq!(verdict.refused, [(2, Refusal::Expired { deleted_at: late })]);
    }

    #[test]
    fn an_address_belongs_to_the_live_contact_then_to_the_first_of_the_list() {
        let now = Time::UNIX_EPOCH;
        let list = [
            in_trash(5, now, &[("held", Some(9)), ("a", None)]),
            // The one before was refused: its other address is free.
            in_trash(4, now, &[("a", None), ("b", None)]),
            in_trash(3, now, &[("b", None)]),
            in_trash(2, now, &[("earlier", None)]),
        ];
        let verdict = decide(&list, now, &[("earlier".to_owned(), 7)].into());
        assert_eq!(verdict.back, [(4, 104)]);
        let held = |contact, by| (contact, Refusal::AddressHeld { by });
        assert_eq!(verdict.refused, [held(5, 9), held(3, 4), held(2, 7)]);
    }
}
