//! Numbers with their words, in the singular and the plural.

/// A number and its noun: `1 contact`, `2 contacts`, `0 entries`.
pub fn counted(number: u64, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) if noun.ends_with('s') => format!("{number} {noun}es"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// The verb that goes with a number.
pub fn verb<'a>(number: u64, of_one: &'a str, of_many: &'a str) -> &'a str {
    if number == 1 { of_one } else { of_many }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_agree_with_their_number() {
        assert_eq!(
            [0, 1, 2].map(|number| counted(number, "contact")),
            ["0 contacts", "1 contact", "2 contacts"]
        );
        assert_eq!([1, 3].map(|number| counted(number, "entry")), ["1 entry", "3 entries"]);
        assert_eq!([1, 3].map(|number| counted(number, "status")), ["1 status", "3 statuses"]);
        assert_eq!([0, 1, 2].map(|number| verb(number, "is", "are")), ["are", "is", "are"]);
    }
}
