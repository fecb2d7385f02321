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

/// May the holder of these permissions delete, or restore, a single contact?
pub fn may_delete_one(held: &BTreeSet<Permission>) -> bool {
    held.contains(&Permission::Delete) || held.contains(&Permission::SuperAdmin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_delete_does_not_stand_in_for_delete() {
        assert!(may_delete_one(&[Permission::Delete].into()));
        assert!(may_delete_one(&[Permission::SuperAdmin].into()));
        assert!(!may_delete_one(&[Permission::BulkDelete].into()));
        assert!(!may_delete_one(&BTreeSet::new()));
    }
}
