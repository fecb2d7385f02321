//! The types of associations that the vendor defines.
//!
//! An association is one fact, seen from two ends: 4 leads from a contact to a deal, and 3 is the same association from the
//! deal's end. Whoever compares types by their numbers alone takes what is recorded from the other end for absent. The ids
//! are those that the vendor's documentation lists for both directions; of others nothing is known but that each is equal to
//! itself.

/// What a type says besides that two records are associated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Nothing.
    Unlabelled,
    /// That the company is the primary one, which it can only be where it is associated at all.
    Primary,
    /// Which of two records of one type is which.
    Role,
}
use Meaning::{Primary, Role, Unlabelled};

/// One fact and the ids of its two directions: from the first type of records to the second, and back.
#[derive(Debug, PartialEq, Eq)]
struct Defined {
    records: [&'static str; 2],
    ids: [u32; 2],
    meaning: Meaning,
}

const fn defined(from: &'static str, to: &'static str, ids: [u32; 2], meaning: Meaning) -> Defined {
    Defined { records: [from, to], ids, meaning }
}

static TYPES: &[Defined] = &[
    defined("contact", "contact", [449, 449], Unlabelled),
    defined("contact", "company", [279, 280], Unlabelled),
    defined("contact", "company", [1, 2], Primary),
    defined("contact", "deal", [4, 3], Unlabelled),
    defined("contact", "ticket", [15, 16], Unlabelled),
    defined("contact", "call", [193, 194], Unlabelled),
    defined("contact", "email", [197, 198], Unlabelled),
    defined("contact", "meeting", [199, 200], Unlabelled),
    defined("contact", "note", [201, 202], Unlabelled),
    defined("contact", "task", [203, 204], Unlabelled),
    defined("contact", "communication", [82, 81], Unlabelled),
    defined("contact", "postal_mail", [454, 453], Unlabelled),
    defined("contact", "cart", [587, 586], Unlabelled),
    defined("contact", "order", [508, 507], Unlabelled),
    defined("company", "company", [450, 450], Unlabelled),
    defined("company", "company", [14, 13], Role),
    defined("company", "deal", [342, 341], Unlabelled),
    defined("company", "deal", [6, 5], Primary),
    defined("company", "ticket", [340, 339], Unlabelled),
    defined("company", "ticket", [25, 26], Primary),
    defined("company", "call", [181, 182], Unlabelled),
    defined("company", "email", [185, 186], Unlabelled),
    defined("company", "meeting", [187, 188], Unlabelled),
    defined("company", "note", [189, 190], Unlabelled),
    defined("company", "task", [191, 192], Unlabelled),
    defined("company", "communication", [88, 87], Unlabelled),
    defined("company", "postal_mail", [460, 459], Unlabelled),
    defined("company", "order", [510, 509], Unlabelled),
    defined("deal", "deal", [451, 451], Unlabelled),
    defined("deal", "ticket", [27, 28], Unlabelled),
    defined("deal", "call", [205, 206], Unlabelled),
    defined("deal", "email", [209, 210], Unlabelled),
    defined("deal", "meeting", [211, 212], Unlabelled),
    defined("deal", "note", [213, 214], Unlabelled),
    defined("deal", "task", [215, 216], Unlabelled),
    defined("deal", "communication", [86, 85], Unlabelled),
    defined("deal", "postal_mail", [458, 457], Unlabelled),
    defined("deal", "line_item", [19, 20], Unlabelled),
    defined("deal", "quote", [63, 64], Unlabelled),
    defined("deal", "order", [511, 512], Unlabelled),
    defined("ticket", "ticket", [452, 452], Unlabelled),
    defined("ticket", "call", [219, 220], Unlabelled),
    defined("ticket", "email", [223, 224], Unlabelled),
    defined("ticket", "meeting", [225, 226], Unlabelled),
    defined("ticket", "note", [227, 228], Unlabelled),
    defined("ticket", "task", [229, 230], Unlabelled),
    defined("ticket", "communication", [84, 83], Unlabelled),
    defined("ticket", "postal_mail", [456, 455], Unlabelled),
    defined("ticket", "order", [526, 525], Unlabelled),
];

/// The ids of types that say more than another one between the same records, each with the other one: who is the primary company
/// is associated as well.
pub fn implied() -> impl Iterator<Item = [u32; 2]> {
    let more = TYPES.iter().filter(|it| it.meaning == Primary);
    more.flat_map(|more| {
        let plain = TYPES.iter().filter(|it| it.meaning == Unlabelled && it.records == more.records);
        // Whichever end the id is of.
        plain.flat_map(|plain| more.ids.into_iter().flat_map(|more| plain.ids.map(|plain| [more, plain])))
    })
}

/// A type as the vendor's API names it: seen from one of two records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// 0, where nothing says which one the vendor gives it.
    pub id: u32,
    /// By the vendor, and not by the account.
    pub is_the_vendors: bool,
    /// `None`: that they are associated, and no more.
    pub label: Option<String>,
}

impl Named {
    fn unlabelled(own: &str, other: &str) -> Self {
        Self { id: unlabelled(own, other).unwrap_or_default(), is_the_vendors: true, label: None }
    }
}

/// What an association that carries this type id and this label says, as the vendor's API names it from the own end. A primary company
/// is an associated one as well.
pub fn named(carried: Option<&str>, label: &str, ends: Ends<'_>) -> Vec<Named> {
    // An association whose label nothing tells has its type id in the label's place.
    let own_label = Some(label.to_owned()).filter(|label| !label.is_empty() && carried != Some(label));
    let Some(carried) = carried else {
        return match own_label {
            None => vec![Named::unlabelled(ends.own, ends.other)],
            label => vec![Named { id: 0, is_the_vendors: false, label }],
        };
    };
    let Some(reading) = Reading::of(carried, ends, ends.is_outward) else {
        let is_the_vendors = label.is_empty();
        return vec![Named { id: carried.parse().unwrap_or_default(), is_the_vendors, label: own_label }];
    };
    let named = |label| Named { id: reading.id(ends), is_the_vendors: true, label };
    let named =
        named(own_label.or_else(|| Some(reading.label().to_owned()).filter(|label| !label.is_empty())));
    match reading.defined.meaning {
        Primary => vec![named, Named::unlabelled(ends.own, ends.other)],
        Unlabelled | Role => vec![named],
    }
}

/// What the vendor calls the company at the other end: that of the first of a role, and that of the second.
const ROLES: [&str; 2] = ["Parent Company", "Child Company"];

/// The id of the vendor's type that says no more than that records are associated, seen from the first one.
pub fn unlabelled(own: &str, other: &str) -> Option<u32> {
    let defined = TYPES.iter().find(|it| it.meaning == Unlabelled && it.is_between(own, other))?;
    Some(defined.ids[usize::from(defined.records[0] != own)])
}

/// The id of the same type of the vendor's, seen from the other one of two records.
pub fn from_the_other_end(id: &str, own: &str, other: &str) -> Option<u32> {
    let id: u32 = id.parse().ok()?;
    let defined = TYPES.iter().find(|it| it.ids.contains(&id) && it.is_between(own, other))?;
    Some(defined.ids[usize::from(defined.ids[0] == id)])
}

/// Is it the id of a type of the vendor's between records of these types?
pub fn is_the_vendors(id: u32, own: &str, other: &str) -> bool {
    TYPES.iter().any(|it| it.ids.contains(&id) && it.is_between(own, other))
}

/// As version 3 of the vendor's API names types.
pub fn name_in_version_3(named: &Named, own: &str, other: &str) -> String {
    let has_primary = TYPES.iter().any(|it| it.meaning == Primary && it.is_between(own, other));
    match (&named.label, named.id) {
        (None, _) if named.is_the_vendors && has_primary => format!("{own}_to_{other}_unlabeled"),
        (_, 13) if is_the_vendors(13, own, other) => "parent_to_child_company".to_owned(),
        (_, 14) if is_the_vendors(14, own, other) => "child_to_parent_company".to_owned(),
        (Some(label), _) if !named.is_the_vendors => label.clone(),
        _ => format!("{own}_to_{other}"),
    }
}

/// The type of records to which the vendor's type of this id leads from records of one type.
pub fn leads_to(own: &str, id: u32) -> Option<&'static str> {
    let mut of_id = TYPES.iter().filter(|it| it.ids.contains(&id));
    of_id.find_map(|it| match it.records {
        [first, second] if first == own => Some(second),
        [first, second] if second == own => Some(first),
        _ => None,
    })
}

/// A type that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociationType {
    pub id: String,
    /// By the vendor, and not by the account or an app: then the table tells what it means.
    pub is_the_vendors: bool,
}

/// The two ends of an association, seen from one of them.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The type of the record that asks, such as `contact`.
    pub own: &'a str,
    /// The type of the record at the other end.
    pub other: &'a str,
    /// Was it recorded as leading from the own end to the other?
    pub is_outward: bool,
}

impl AssociationType {
    /// Is an association that carries this type id of the type asked for? `None`: unknown.
    pub fn is_met_by(&self, carried: &str, ends: Ends<'_>) -> Option<bool> {
        let asked = if self.is_the_vendors { Reading::of(&self.id, ends, true) } else { None };
        match (asked, Reading::of(carried, ends, ends.is_outward)) {
            (Some(asked), Some(carried)) => asked.is_met_by(carried),
            // Between two records of one type the other direction may be another type under another id.
            (None, None) if self.id == carried && (ends.own != ends.other || ends.is_outward) => Some(true),
            _ => None,
        }
    }

    /// Is it the vendor's type of a primary company, between these?
    pub fn is_primary(&self, own: &str, other: &str) -> bool {
        self.defined(own, other).is_some_and(|defined| defined.meaning == Primary)
    }

    /// The vendor's label of a type of the table, seen from the own end; empty where it has none.
    pub fn label_of_vendor(&self, own: &str, other: &str) -> Option<&'static str> {
        let ends = Ends { own, other, is_outward: true };
        let reading = Reading::of(&self.id, ends, true).filter(|_| self.is_the_vendors)?;
        Some(reading.label())
    }

    fn defined(&self, own: &str, other: &str) -> Option<&'static Defined> {
        let id: u32 = self.id.parse().ok()?;
        let defined = TYPES.iter().find(|it| it.ids.contains(&id) && it.is_between(own, other));
        defined.filter(|_| self.is_the_vendors)
    }

    /// Is it one of the vendor's between other types of records than these?
    pub fn is_between_others(&self, own: &str, other: &str) -> bool {
        let id = self.id.parse().ok();
        let mut of_id = TYPES.iter().filter(|it| id.is_some_and(|id| it.ids.contains(&id))).peekable();
        self.is_the_vendors && of_id.peek().is_some() && !of_id.any(|it| it.is_between(own, other))
    }
}

impl Defined {
    fn is_between(&self, own: &str, other: &str) -> bool {
        self.records == [own, other] || self.records == [other, own]
    }
}

/// A type of the table as it is seen from the own end.
#[derive(Clone, Copy)]
struct Reading {
    defined: &'static Defined,
    /// Which of the two records of one type the own one is; elsewhere their types say it.
    is_first: bool,
}

impl Reading {
    fn of(id: &str, ends: Ends<'_>, is_outward: bool) -> Option<Self> {
        let id: u32 = id.parse().ok()?;
        let defined = TYPES.iter().find(|it| it.ids.contains(&id) && it.is_between(ends.own, ends.other))?;
        let is_symmetric = ends.own != ends.other || defined.ids[0] == defined.ids[1];
        Some(Self { defined, is_first: is_symmetric || (defined.ids[0] == id) == is_outward })
    }

    /// The vendor's label, from the own end.
    fn label(self) -> &'static str {
        match self.defined.meaning {
            Unlabelled => "",
            Primary => "Primary",
            Role => ROLES[usize::from(!self.is_first)],
        }
    }

    /// The id from the own end.
    fn id(self, ends: Ends<'_>) -> u32 {
        let is_first =
            if ends.own == ends.other { self.is_first } else { self.defined.records[0] == ends.own };
        self.defined.ids[usize::from(!is_first)]
    }

    fn is_met_by(self, carried: Self) -> Option<bool> {
        match (self.defined.meaning, carried.defined.meaning) {
            (Unlabelled, Primary) => Some(true),
            // Whether a role is written down besides the association or in its place nobody says.
            (Unlabelled, Role) | (Role, Unlabelled) => None,
            _ => Some(self.defined == carried.defined && self.is_first == carried.is_first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked for by a contact.
    fn of_contact(asked: &str, other: &str, carried: &str, is_outward: bool) -> Option<bool> {
        let asked = AssociationType { id: asked.to_owned(), is_the_vendors: true };
        asked.is_met_by(carried, Ends { own: "contact", other, is_outward })
    }

    #[test]
    fn an_association_is_the_same_from_both_ends() {
        for (other, one, back) in [
            ("deal", "4", "3"),
            ("company", "279", "280"),
            ("company", "1", "2"),
            ("ticket", "15", "16"),
            ("call", "193", "194"),
            ("contact", "449", "449"),
        ] {
            for (asked, carried) in [(one, back), (back, one), (one, one), (back, back)] {
                for is_outward in [true, false] {
                    assert_eq!(
                        of_contact(asked, other, carried, is_outward),
                        Some(true),
                        "{asked} {carried}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_primary_company_is_an_associated_one_and_not_the_other_way_round() {
        for carried in ["1", "2"] {
            assert_eq!(of_contact("279", "company", carried, true), Some(true));
            assert_eq!(of_contact("280", "company", carried, false), Some(true));
        }
        assert_eq!(of_contact("1", "company", "279", true), Some(false));
        assert_eq!(of_contact("2", "company", "280", false), Some(false));
    }

    #[test]
    fn what_the_table_does_not_know_is_equal_to_itself_and_to_nothing_else() {
        assert_eq!(of_contact("37", "company", "37", true), Some(true));
        assert_eq!(of_contact("37", "company", "37", false), Some(true));
        for (asked, other, carried) in [
            ("37", "company", "38"),
            ("37", "company", "279"),
            ("279", "company", "37"),
            // Known, but between other records.
            ("4", "deal", "341"),
            ("4", "deal", "deal_to_contact"),
        ] {
            assert_eq!(of_contact(asked, other, carried, true), None, "{asked} {carried}");
        }
        // A label of a colleague may have another id for the way back.
        assert_eq!(of_contact("37", "contact", "37", true), Some(true));
        assert_eq!(of_contact("37", "contact", "37", false), None);
    }

    #[test]
    fn what_an_account_defines_is_not_looked_up_in_the_vendors_table() {
        let label = |id: &str| AssociationType { id: id.to_owned(), is_the_vendors: false };
        let ends = Ends { own: "contact", other: "deal", is_outward: true };
        assert_eq!(label("37").is_met_by("37", ends), Some(true));
        for carried in ["3", "4"] {
            assert_eq!(label("4").is_met_by(carried, ends), None, "{carried}");
        }
    }

    #[test]
    fn a_parent_is_not_its_own_child() {
        let asked = |id: &str| AssociationType { id: id.to_owned(), is_the_vendors: true };
        let ends = |is_outward| Ends { own: "company", other: "company", is_outward };
        assert_eq!(asked("14").is_met_by("14", ends(true)), Some(true));
        assert_eq!(asked("14").is_met_by("13", ends(false)), Some(true));
        assert_eq!(asked("14").is_met_by("14", ends(false)), Some(false));
        assert_eq!(asked("14").is_met_by("13", ends(true)), Some(false));
        assert_eq!(asked("450").is_met_by("14", ends(true)), None);
    }

    #[test]
    fn each_id_is_of_one_fact() {
        let mut ids: Vec<u32> = TYPES
            .iter()
            .flat_map(|it| if it.ids[0] == it.ids[1] { vec![it.ids[0]] } else { it.ids.to_vec() })
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        let deals = AssociationType { id: "4".to_owned(), is_the_vendors: true };
        assert!(deals.is_between_others("contact", "company") && !deals.is_between_others("contact", "deal"));
    }
}
