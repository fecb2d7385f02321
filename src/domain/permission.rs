//! Permissions of a user of the CRM. Source: the vendor's article "Delete CRM records", as matrix.md reads it.

use std::collections::BTreeSet;

use super::object_type::{is_type, name_of};

/// What a permission allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Reading, over HTTP.
    View,
    /// One record at a time.
    Delete,
    /// Many at once; it does not stand in for [`Right::Delete`].
    BulkDelete,
    /// Erasing a person for good; neither of the two above stands in for it.
    PermanentlyDelete,
    /// All of these, and what concerns the service as a whole.
    SuperAdmin,
}

/// What a permission may be called in an import record; the first three also with `:TYPE` behind them.
pub const NAMES: &str = "view, delete, bulk_delete (these also for one object type, such as delete:deal), \
                         permanently_delete, super_admin";

impl Right {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "view" => Self::View,
            "delete" => Self::Delete,
            "bulk_delete" => Self::BulkDelete,
            "permanently_delete" => Self::PermanentlyDelete,
            "super_admin" => Self::SuperAdmin,
            _ => return None,
        })
    }

    /// As people and programs call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::View => "View (view)",
            Self::Delete => "Delete (delete)",
            Self::BulkDelete => "Bulk delete (bulk_delete)",
            Self::PermanentlyDelete => "Permanently delete (permanently_delete)",
            Self::SuperAdmin => "Super admin (super_admin)",
        }
    }

    /// May it be held for one object type alone?
    fn can_be_narrowed(self) -> bool {
        matches!(self, Self::View | Self::Delete | Self::BulkDelete)
    }
}

/// A right that a user holds, for records of every type or of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    right: Right,
    object_type: Option<String>,
}

impl Permission {
    /// As it stands in an import record: `delete`, or `delete:deal`.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((name, object_type)) = text.split_once(':') else {
            return Right::parse(text).map(|right| Self { right, object_type: None });
        };
        let right = Right::parse(name).filter(|right| right.can_be_narrowed())?;
        let is_type = is_type(object_type) && !object_type.bytes().any(|byte| byte.is_ascii_uppercase());
        is_type.then(|| Self { right, object_type: Some(name_of(object_type).to_owned()) })
    }
}

/// What is to be read or done, and to which records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over<'a> {
    /// Records of one type.
    Type(&'a str),
    /// Whatever the account has: that takes a permission that is not narrowed.
    Everything,
}

/// The permissions of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// The permissions of these names. One that is not known allows nothing.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a String>) -> Self {
        Self(names.into_iter().filter_map(|name| Permission::parse(name)).collect())
    }

    /// May the holder do this?
    pub fn may(&self, right: Right, over: Over<'_>) -> bool {
        let covers = |held: &Permission| match (&held.object_type, over) {
            (None, _) => true,
            (Some(_), Over::Everything) => false,
            (Some(of), Over::Type(object_type)) => of == name_of(object_type),
        };
        self.is_super_admin() || self.0.iter().any(|held| held.right == right && covers(held))
    }

    /// May the holder do everything there is?
    pub fn is_super_admin(&self) -> bool {
        self.0.iter().any(|held| held.right == Right::SuperAdmin)
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

impl Scope {
    /// What it takes to delete, or restore, so much at once.
    pub fn right(self) -> Right {
        match self {
            Self::One => Right::Delete,
            Self::Many => Right::BulkDelete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::object_type::CONTACT;

    fn held(names: &[&str]) -> Permissions {
        Permissions::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn no_permission_stands_in_for_another_but_super_admin_for_all() {
        use Right::{BulkDelete, Delete, PermanentlyDelete, View};
        for (names, allowed) in [
            (&[][..], &[][..]),
            (&["view"], &[View]),
            (&["delete"], &[Delete]),
            (&["bulk_delete"], &[BulkDelete]),
            (&["permanently_delete"], &[PermanentlyDelete]),
            (&["delete", "bulk_delete"], &[Delete, BulkDelete]),
            (&["super_admin"], &[View, Delete, BulkDelete, PermanentlyDelete]),
        ] {
            for right in [View, Delete, BulkDelete, PermanentlyDelete] {
                for over in [Over::Type(CONTACT), Over::Type("deal"), Over::Everything] {
                    let may = held(names).may(right, over);
                    assert_eq!(may, allowed.contains(&right), "{names:?} {right:?} {over:?}");
                }
            }
            assert_eq!(held(names).is_super_admin(), names == ["super_admin"]);
        }
    }

    #[test]
    fn a_narrowed_permission_covers_its_type_alone() {
        for (name, covered, not_covered) in [
            ("delete:deal", "deal", CONTACT),
            ("delete:company", "company", "deal"),
            ("delete:contact", CONTACT, "company"),
            ("delete:0-1", CONTACT, "company"),
            ("delete:contact", "0-1", "0-2"),
            ("delete:0-3", "deal", CONTACT),
            ("delete:2-134", "2-134", "2-13"),
        ] {
            let held = held(&[name]);
            assert!(held.may(Right::Delete, Over::Type(covered)), "{name} {covered}");
            for over in [Over::Type(not_covered), Over::Everything] {
                assert!(!held.may(Right::Delete, over), "{name} {over:?}");
            }
            for right in [Right::View, Right::BulkDelete, Right::PermanentlyDelete] {
                assert!(!held.may(right, Over::Type(covered)), "{name} {right:?}");
            }
        }
    }

    #[test]
    fn unknown_names_and_narrowings_are_no_permissions() {
        for text in [
            "",
            "all",
            "Delete",
            "delete:",
            "delete:Deal",
            "delete:deal ",
            "delete:deal:x",
            "delete:2-",
            "delete:-1",
            "delete:2-1-3",
            ":deal",
            "super_admin:contact",
            "permanently_delete:contact",
        ] {
            assert_eq!(Permission::parse(text), None, "{text:?}");
            assert_eq!(held(&[text]), Permissions::default());
        }
    }
}
