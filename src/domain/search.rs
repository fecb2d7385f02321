//! Finding somebody by what a person at the telephone knows: an id, an address, or a part of the name.

use super::members::parse_id_text;

/// Whom to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Search {
    /// The contact of this id.
    Contact(i64),
    /// Whoever has this address, whole.
    Address(String),
    Name(NameSearch),
}

/// The beginnings of words of a name, lower-cased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameSearch(Vec<String>);

impl Search {
    /// Digits are an id, an @ makes an address, anything else with a letter in it is a name.
    ///
    /// # Errors
    ///
    /// A sentence, where it is nothing of this.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(id) = parse_id_text(text) {
            return Ok(Self::Contact(id));
        }
        if text.contains('@') {
            return Ok(Self::Address(text.to_owned()));
        }
        let beginnings: Vec<String> = words(text).collect();
        if beginnings.is_empty() {
            return Err("search for the id of a contact, a whole e-mail address, or a name".to_owned());
        }
        Ok(Self::Name(NameSearch(beginnings)))
    }
}

impl NameSearch {
    /// Does each of them begin a word of this name?
    pub fn takes(&self, name: &str) -> bool {
        let words: Vec<String> = words(name).collect();
        self.0.iter().all(|beginning| words.iter().any(|word| word.starts_with(beginning)))
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|sign: char| !sign.is_alphanumeric());
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_the_beginnings_of_its_words() {
        let takes = |typed: &str, name: &str| match Search::parse(typed) {
            Ok(Search::Name(search)) => search.takes(name),
            other => panic!("{typed}: {other:?}"),
        };
        for typed in ["ada", "ADA LOVE", "love ada", "Lovelace, Ada", "élodie", "O'N"] {
            assert!(takes(typed, "Ada Élodie O'Neil-Lovelace"), "{typed}");
        }
        for typed in ["da", "ada byron", "lovelaces", "elodie"] {
            assert!(!takes(typed, "Ada Élodie O'Neil-Lovelace"), "{typed}");
        }
        assert!(!takes("ada", ""));
    }

    #[test]
    fn an_id_an_address_and_a_name_are_told_apart() {
        assert_eq!(Search::parse(" 512 "), Ok(Search::Contact(512)));
        assert_eq!(Search::parse(" Ada@X.example"), Ok(Search::Address("Ada@X.example".to_owned())));
        assert!(matches!(Search::parse("R2 D2"), Ok(Search::Name(_))));
        for nothing in ["", "  ", "-", "%_'"] {
            assert!(Search::parse(nothing).is_err(), "{nothing}");
        }
    }
}
