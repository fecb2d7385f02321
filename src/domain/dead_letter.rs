//! What was set aside, as operators see and choose it.

use super::enrollment::account_of;
use super::time::Time;

/// A message that could not be processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub id: String,
    /// A code, such as `malformed`.
    pub reason: String,
    /// Place and type of the fault, never a value.
    pub detail: String,
    /// How often it was put off before.
    pub attempts: u32,
    /// When it was set aside.
    pub at: Option<Time>,
    /// What arrived, byte for byte.
    pub body: Vec<u8>,
}

impl DeadLetter {
    /// Its place in a list.
    pub fn place(&self) -> Place {
        Place { at: self.at, id: self.id.clone() }
    }

    /// The account that the body names, if it names one at all.
    pub fn account_id(&self) -> Option<i64> {
        account_of(&self.body)
    }
}

/// Where a list of dead letters goes on: behind the one that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub at: Option<Time>,
    pub id: String,
}

/// Which dead letters; all of them where nothing is asked.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub reason: Option<String>,
    pub account_id: Option<i64>,
    /// Only these; empty where it does not matter.
    pub ids: Vec<String>,
}

impl Selection {
    pub fn takes(&self, letter: &DeadLetter) -> bool {
        (self.ids.is_empty() || self.ids.contains(&letter.id))
            && self.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
            && self.account_id.is_none_or(|account_id| letter.account_id() == Some(account_id))
    }
}

impl Selection {
    /// Why nothing is discarded: `found` are selected, and another number was typed.
    pub fn other_number(&self, found: u64, confirm: u64) -> String {
        format!(
            "{found} dead letters are selected, not {confirm}; nothing was discarded: look at them (dead-letters list) and \
             confirm the number you mean"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_takes_what_meets_all_of_it() {
        let letter = DeadLetter {
            id: "7".to_owned(),
            reason: "poison".to_owned(),
            detail: String::new(),
            attempts: 0,
            at: None,
            body: br#"{"data": {"portalId": 3}}"#.to_vec(),
        };
        let selection = |reason: Option<&str>, account_id, ids: &[&str]| Selection {
            reason: reason.map(str::to_owned),
            account_id,
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        };
        assert!(Selection::default().takes(&letter));
        assert!(selection(Some("poison"), Some(3), &["6", "7"]).takes(&letter));
        for none in [
            selection(Some("malformed"), None, &[]),
            selection(None, Some(4), &[]),
            selection(Some("poison"), Some(3), &["6"]),
        ] {
            assert!(!none.takes(&letter), "{none:?}");
        }
        let noise = DeadLetter { body: b"{".to_vec(), ..letter };
        assert!(Selection::default().takes(&noise) && !selection(None, Some(3), &[]).takes(&noise));
    }
}
