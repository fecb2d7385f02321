//! Who may delete. Source: the vendor's article "Delete CRM records", as matrix.md reads it.

use std::collections::BTreeSet;

/// A right of a user of the CRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// One record at a time.
    Delete,
    /// Many at once; it does not stand in for [`Permission::Delete`].
    BulkDelete,
    /// Either.
    SuperAdmin,
}

impl Permission {
    /// As it stands in an import record.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "delete" => Self::Delete,
            "bulk_delete" => Self::BulkDelete,
            "super_admin" => Self::SuperAdmin,
            _ => return None,
        })
    }
}

/// How much a delete or a restore takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One contact, named by its id.
    One,
    /// Several picked ones, a segment, a filter: even where it comes down to one contact.
    Many,
}

/// May the holder of these permissions delete, or restore, so much at once?
pub fn may_delete(held: &BTreeSet<Permission>, scope: Scope) -> bool {
    let own = match scope {
        Scope::One => Permission::Delete,
        Scope::Many => Permission::BulkDelete,
    };
    held.contains(&own) || held.contains(&Permission::SuperAdmin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_of_delete_and_bulk_delete_stands_in_for_the_other() {
        use Permission::{BulkDelete, Delete, SuperAdmin};
        for (held, one, many) in [
            (&[][..], false, false),
            (&[Delete], true, false),
            (&[BulkDelete], false, true),
            (&[Delete, BulkDelete], true, true),
            (&[SuperAdmin], true, true),
        ] {
            let held: BTreeSet<Permission> = held.iter().copied().collect();
            assert_eq!(
                (may_delete(&held, Scope::One), may_delete(&held, Scope::Many)),
                (one, many),
                "{held:?}"
            );
        }
    }
}
