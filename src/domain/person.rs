//! What tells a person apart in a text, and taking it out of texts that stay for somebody else's sake.
//!
//! Rule 4 of the matrix: an exact occurrence, in any case, escaped or not, of an address, a phone number or a full
//! name of an erased person becomes `[redacted]`.

use std::collections::HashMap;
use std::fmt::Write;

use caseless::Caseless;
use serde_json::Value;

use super::address::address_key;

/// What stands where something was taken out.
pub const REDACTED: &str = "[redacted]";

/// Fewer digits are no phone number but any number.
const MIN_PHONE_DIGITS: usize = 5;

/// The texts that identify a person, folded for comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// The longest first: an address is taken out whole before a name inside it is looked for.
    needles: Vec<Vec<char>>,
    patterns: Vec<String>,
}

impl Traces {
    /// The traces of a contact: its addresses, the values of its phone properties, first and last name together.
    pub fn of<'a>(
        properties: &HashMap<String, String>,
        addresses: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut texts: Vec<String> =
            addresses.into_iter().map(address_key).filter(|it| it.contains('@')).collect();
        for (name, value) in properties {
            let digits = value.chars().filter(char::is_ascii_digit).count();
            if name.contains("phone") && digits >= MIN_PHONE_DIGITS {
                texts.push(value.trim().to_owned());
            }
        }
        let name = |property: &str| properties.get(property).map_or("", |value| value.trim());
        let (first, last) = (name("firstname"), name("lastname"));
        if !first.is_empty() && !last.is_empty() {
            texts.push(format!("{first} {last}"));
            texts.push(format!("{last}, {first}"));
        }
        let patterns = texts.iter().map(|text| like_pattern(text)).collect();
        let escaped: Vec<String> = texts.iter().map(|text| escape(text)).collect();
        let mut needles: Vec<Vec<char>> = texts.iter().chain(&escaped).map(|text| folded(text)).collect();
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Self { needles, patterns }
    }

    /// Nothing to look for?
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// Patterns for SQL's `LIKE`, blind to ASCII case, that find every text with a trace, and some without: what
    /// databases fold, escape or match in ways of their own is a gap.
    pub fn like_patterns(&self) -> &[String] {
        &self.patterns
    }

    /// The text without the traces; `None` where it has none.
    pub fn redact(&self, text: &str) -> Option<String> {
        let haystack: Vec<(char, usize)> = text
            .char_indices()
            .flat_map(|(start, character)| fold(character).map(move |folded| (folded, start)))
            .collect();
        let ends_at = |index: usize| haystack.get(index).map_or(text.len(), |(_, start)| *start);
        let mut clean = String::new();
        let (mut index, mut copied) = (0, 0);
        while index < haystack.len() {
            let found = self.needles.iter().find(|needle| {
                let rest = &haystack[index..];
                rest.len() >= needle.len()
                    && needle.iter().zip(rest).all(|(wanted, (actual, _))| wanted == actual)
            });
            match found {
                Some(needle) => {
                    clean.push_str(&text[copied..haystack[index].1]);
                    clean.push_str(REDACTED);
                    index += needle.len();
                    copied = ends_at(index);
                }
                None => index += 1,
            }
        }
        if clean.is_empty() {
            return None;
        }
        clean.push_str(&text[copied..]);
        Some(clean)
    }

    /// Takes the traces out of every string of a JSON value, member names included; whether there were any.
    pub fn redact_json(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => match self.redact(text) {
                Some(clean) => {
                    *text = clean;
                    true
                }
                None => false,
            },
            Value::Array(items) => {
                let mut found = false;
                for item in items {
                    found = self.redact_json(item) || found;
                }
                found
            }
            Value::Object(members) => {
                let mut found = false;
                let names: Vec<String> = members.keys().cloned().collect();
                for name in names {
                    if let Some(member) = members.get_mut(&name) {
                        found = self.redact_json(member) || found;
                    }
                    if let Some(clean) = self.redact(&name)
                        && let Some(member) = members.remove(&name)
                    {
                        members.insert(clean, member);
                        found = true;
                    }
                }
                found
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
}

fn folded(text: &str) -> Vec<char> {
    text.chars().flat_map(fold).collect()
}

fn fold(character: char) -> impl Iterator<Item = char> {
    std::iter::once(character).default_case_fold()
}

fn like_pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        match character {
            '%' | '_' | '\\' | '"' if !pattern.ends_with('%') => pattern.push('%'),
            '%' | '_' | '\\' | '"' => {}
            ascii if ascii.is_ascii() => pattern.push(ascii),
            _ if pattern.ends_with('%') => {}
            _ => pattern.push('%'),
        }
    }
    if !pattern.ends_with('%') {
        pattern.push('%');
    }
    pattern
}

/// As a program that escapes everything beyond ASCII writes it into JSON.
fn escape(text: &str) -> String {
    let mut units = [0; 2];
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            ascii if ascii.is_ascii() => escaped.push(ascii),
            other => {
                for unit in other.encode_utf16(&mut units) {
                    // Writing into a string cannot fail.
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn traces() -> Traces {
        let properties = [
            ("firstname", "Zoë"),
            ("lastname", "Strauß"),
            ("phone", "+48 600 700 800"),
            ("mobilephone", "12"),
            ("city", "Gdynia"),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Traces::of(&properties, ["Zoe.S@Example.org", "not an address"])
    }

    #[test]
    fn addresses_phones_and_full_names_go_in_any_case() {
        for (text, clean) in [
            ("mail zoe.s@example.ORG today", "mail [redacted] today"),
            ("ZOË STRAUSS rang: +48 600 700 800.", "[redacted] rang: [redacted]."),
            ("Strauß, Zoë", "[redacted]"),
            (r#"{\"n\":\"Zo\u00eb Strau\u00df\"}"#, r#"{\"n\":\"[redacted]\"}"#),
            ("zoe.s@example.orgzoe.s@example.org", "[redacted][redacted]"),
        ] {
            assert_eq!(traces().redact(text).as_deref(), Some(clean));
        }
    }

    #[test]
    fn what_does_not_identify_stays() {
        for text in ["", "Zoë called", "Strauß & sons", "Gdynia", "12", "oe.s@example.org", "+48 600 700 80"]
        {
            assert_eq!(traces().redact(text), None, "{text}");
        }
        assert!(Traces::of(&HashMap::new(), []).is_empty());
    }

    #[test]
    fn json_is_redacted_in_its_strings_and_names_and_nowhere_else() {
        let mut value =
            json!({"note": ["Zoë Strauß", 5, null], "zoe.s@example.org": {"seen": true}, "z": "z"});
        assert!(traces().redact_json(&mut value));
        assert_eq!(value, json!({"note": ["[redacted]", 5, null], "[redacted]": {"seen": true}, "z": "z"}));
        assert!(!traces().redact_json(&mut value));
    }

    #[test]
    fn patterns_leave_a_gap_for_what_databases_treat_differently() {
        assert!(traces().like_patterns().contains(&"%Zo% Strau%".to_owned()), "{:?}", traces().patterns);
        let odd = Traces::of(&HashMap::new(), ["50%_off@x.example"]);
        assert_eq!(odd.like_patterns(), ["%50%off@x.example%"]);
    }
}
