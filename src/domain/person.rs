//! What tells a person apart in a text, and taking it out of texts that stay for somebody else's sake.
//!
//! Rule 4 of the matrix: an exact occurrence, in any case, escaped or not, of an address, a phone number or a full
//! name of an erased person becomes `[redacted]`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write;

use caseless::Caseless;
use serde_json::Value;

use super::address::address_key;

/// What stands where something was taken out.
pub const REDACTED: &str = "[redacted]";

/// Fewer digits are no phone number but any number.
const MIN_PHONE_DIGITS: usize = 5;

/// Properties that hold addresses, several of them parted by semicolons.
const ADDRESS_PROPERTIES: [&str; 3] = ["email", "hs_additional_emails", "work_email"];

/// The former values of a contact's properties.
pub type History = HashMap<String, Vec<Version>>;

/// A value that a property had.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Version {
    pub value: String,
}

/// What is known of a person, now and before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub properties: HashMap<String, String>,
    pub history: History,
}

impl Person {
    /// Every value that a property has or had.
    fn values<'a>(&'a self, property: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let former = self.history.get(property).into_iter().flatten().map(|version| version.value.as_str());
        former
            .chain(self.properties.get(property).map(String::as_str))
            .map(str::trim)
            .filter(|it| !it.is_empty())
    }

    /// The addresses among the properties, as they are compared. Somebody else may have one by now.
    pub fn addresses(&self) -> BTreeSet<String> {
        let values = ADDRESS_PROPERTIES.into_iter().flat_map(|property| self.values(property));
        values.flat_map(|value| value.split(';')).map(address_key).filter(|it| it.contains('@')).collect()
    }

    fn phones(&self) -> impl Iterator<Item = &str> {
        let is_phone = |name: &&String| name.contains("phone") || *name == "fax";
        let names = self.properties.keys().chain(self.history.keys()).filter(is_phone);
        let digits = |value: &&str| value.chars().filter(char::is_ascii_digit).count() >= MIN_PHONE_DIGITS;
        names.flat_map(|name| self.values(name)).filter(digits)
    }

    fn full_names(&self) -> impl Iterator<Item = String> {
        let both = |first| self.values("lastname").map(move |last| (first, last));
        let names = self.values("firstname").flat_map(both);
        names.flat_map(|(first, last)| [format!("{first} {last}"), format!("{last}, {first}")])
    }

    /// What identifies the person in a text: these addresses, and of now and before the phone numbers and full names.
    pub fn texts<'a>(&self, addresses: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let addresses = addresses.into_iter().map(address_key).filter(|it| it.contains('@'));
        addresses.chain(self.phones().map(str::to_owned)).chain(self.full_names()).collect()
    }
}

/// The texts that identify people, folded for comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    needles: HashSet<Vec<char>>,
    /// How long those are that begin with these characters. The longest first: an address is taken out whole before a
    /// name inside it is looked for.
    lengths: HashMap<[char; HEAD], BTreeSet<Reverse<usize>>>,
    /// Beginnings that there may be; most places of a text begin with none of them, and are told apart by this alone.
    beginnings: Beginnings,
}

/// A set of beginnings, one bit each: what is in it may be one, what is not is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Beginnings(Box<[u64]>);

impl Beginnings {
    const BITS: u32 = 1 << 16;

    fn place([a, b, c]: [char; HEAD]) -> (usize, u32) {
        let mixed = [a, b, c].iter().fold(0_u32, |mixed, it| mixed.wrapping_mul(31).wrapping_add(*it as u32));
        let bit = mixed % Self::BITS;
        ((bit / u64::BITS) as usize, bit % u64::BITS)
    }

    fn add(&mut self, head: [char; HEAD]) {
        let (word, bit) = Self::place(head);
        self.0[word] |= 1 << bit;
    }

    fn may_have(&self, head: [char; HEAD]) -> bool {
        let (word, bit) = Self::place(head);
        self.0[word] >> bit & 1 == 1
    }
}

impl Default for Beginnings {
    fn default() -> Self {
        Self(vec![0; (Self::BITS / u64::BITS) as usize].into())
    }
}

/// So many characters of a needle are looked up at once; there is none as short.
const HEAD: usize = 3;

impl Traces {
    /// Whoever is identified by these ([`Person::texts`]).
    pub fn of(texts: &[String]) -> Self {
        let mut traces = Self::default();
        traces.take(texts.iter().map(String::as_str).map(folded));
        for also in ["", ESCAPED_BY_SOME] {
            traces.take(texts.iter().map(|text| folded(&escape(text, also))));
        }
        traces
    }

    /// Those of others too.
    pub fn extend(&mut self, others: Self) {
        self.take(others.needles.into_iter());
    }

    fn take(&mut self, needles: impl Iterator<Item = Vec<char>>) {
        for needle in needles {
            let Some(head) = needle.first_chunk() else { continue };
            self.beginnings.add(*head);
            self.lengths.entry(*head).or_default().insert(Reverse(needle.len()));
            self.needles.insert(needle);
        }
    }

    /// Nothing to look for?
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// The text without the traces; `None` where it has none.
    pub fn redact(&self, text: &str) -> Option<String> {
        if text.is_ascii() && !self.may_begin_in(text.as_bytes()) {
            return None;
        }
        let haystack: Vec<(char, usize)> = text
            .char_indices()
            .flat_map(|(start, character)| fold(character).map(move |folded| (folded, start)))
            .collect();
        let letters: Vec<char> = haystack.iter().map(|(letter, _)| *letter).collect();
        let start_of = |index: usize| haystack.get(index).map_or(text.len(), |(_, start)| *start);
        let mut clean = String::new();
        let (mut index, mut copied) = (0, 0);
        while index < letters.len() {
            match self.at(&letters, index) {
                Some(length) => {
                    clean.push_str(&text[copied..start_of(index)]);
                    clean.push_str(REDACTED);
                    index += length;
                    copied = start_of(index);
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

    /// Is there a place in this ASCII text where a trace may begin?
    fn may_begin_in(&self, text: &[u8]) -> bool {
        let letter = |byte: u8| char::from(byte.to_ascii_lowercase());
        text.array_windows::<HEAD>().any(|head| self.beginnings.may_have(head.map(letter)))
    }

    /// How long the trace is that stands here.
    fn at(&self, letters: &[char], index: usize) -> Option<usize> {
        let here = &letters[index..];
        let head = here.first_chunk::<HEAD>().filter(|head| self.beginnings.may_have(**head))?;
        let stands_here = |length: &usize| {
            let needle = here.get(..*length).and_then(|letters| self.needles.get(letters));
            needle.is_some_and(|needle| stands_alone(letters, index, needle))
        };
        self.lengths.get(head)?.iter().map(|Reverse(length)| *length).find(stands_here)
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
            // A phone number may have been kept as one.
            Value::Number(number) => match self.redact(&number.to_string()) {
                Some(clean) => {
                    *value = clean.into();
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
            Value::Null | Value::Bool(_) => false,
        }
    }
}

fn folded(text: &str) -> Vec<char> {
    text.chars().flat_map(fold).collect()
}

fn fold(character: char) -> impl Iterator<Item = char> {
    std::iter::once(character).default_case_fold()
}

/// Is it not a part of something longer, which may be somebody else's? `ann@x.example` is no part of
/// `joann@x.example`, nor `Ann Lee` of `Joann Leeds`.
fn stands_alone(letters: &[char], index: usize, needle: &[char]) -> bool {
    let (before, after) = (&letters[..index], &letters[index + needle.len()..]);
    let (Some(first), Some(last)) = (needle.first(), needle.last()) else { return false };
    // Letters that have a case, folded to the small one: scripts without write names and addresses with no space between.
    let in_word = |letter: &char| letter.is_lowercase() || letter.is_numeric();
    if needle.contains(&'@') {
        let longer_before = match before {
            [.., other, '.' | '_' | '%' | '+' | '-'] => {
                in_word(other) && !ends_an_escape(&before[..before.len() - 1])
            }
            [.., other] => in_word(other) && !ends_an_escape(before),
            [] => false,
        };
        let longer_after = match after {
            ['.' | '-', other, ..] | [other, ..] => in_word(other),
            [] => false,
        };
        return !longer_before && !longer_after;
    }
    let one_word =
        |one: &char, other: &char| in_word(one) && in_word(other) && one.is_numeric() == other.is_numeric();
    let longer_before = before.last().is_some_and(|other| one_word(other, first) && !ends_an_escape(before));
    !longer_before && !after.first().is_some_and(|other| one_word(last, other))
}

/// Does the text end with what stands in JSON for a character that is no part of a word, such as `\n` or `\u0022`?
fn ends_an_escape(text: &[char]) -> bool {
    match text {
        [.., '\\', 'u', a, b, c, d] => {
            let code: String = [a, b, c, d].into_iter().collect();
            let letter = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
            letter.is_some_and(|letter| !letter.is_alphanumeric())
        }
        [.., '\\', 'b' | 'f' | 'n' | 'r' | 't'] => true,
        _ => false,
    }
}

/// What some programs escape of ASCII as well, for JSON within HTML.
const ESCAPED_BY_SOME: &str = "+'&<>\"`";

/// As a program that escapes everything beyond ASCII, and these signs, writes it into JSON.
fn escape(text: &str, also: &str) -> String {
    let mut units = [0; 2];
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '"' | '\\' if !also.contains(character) => escaped.extend(['\\', character]),
            ascii if ascii.is_ascii() && !also.contains(ascii) => escaped.push(ascii),
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

    fn person(properties: &[(&str, &str)], history: &[(&str, &[&str])]) -> Person {
        let version = |value: &&str| Version { value: (*value).to_owned() };
        Person {
            properties: properties
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            history: history
                .iter()
                .map(|(name, values)| ((*name).to_owned(), values.iter().map(version).collect()))
                .collect(),
        }
    }

    fn traces() -> Traces {
        let zoe = person(
            &[
                ("firstname", "Zoë"),
                ("lastname", "Strauß"),
                ("phone", "+48 600 700 800"),
                ("mobilephone", "12"),
                ("city", "Gdynia"),
            ],
            &[("lastname", &["Lindt"]), ("phone", &["555-0199"]), ("email", &["zoe@old.example"])],
        );
        Traces::of(&zoe.texts(["Zoe.S@Example.org", "not an address"]))
    }

    #[test]
    fn addresses_phones_and_full_names_go_in_any_case() {
        for (text, clean) in [
            ("mail zoe.s@example.ORG today", "mail [redacted] today"),
            ("ZOË STRAUSS rang: +48 600 700 800.", "[redacted] rang: [redacted]."),
            ("Strauß, Zoë", "[redacted]"),
            (r#"{\"n\":\"Zo\u00eb Strau\u00df\"}"#, r#"{\"n\":\"[redacted]\"}"#),
            ("zoe.s@example.org;<zoe.s@example.org>.", "[redacted];<[redacted]>."),
            (r"\u002B48 600 700 800", "[redacted]"),
            (r"line\nzoe.s@example.org\u000aZoë Strauß", r"line\n[redacted]\u000a[redacted]"),
            ("Once Zoë Lindt, 555-0199", "Once [redacted], [redacted]"),
            ("邮箱zoe.s@example.org今天Zoë Strauß见", "邮箱[redacted]今天[redacted]见"),
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
        assert!(Traces::of(&Person::default().texts([])).is_empty());
    }

    #[test]
    fn what_holds_a_trace_within_something_longer_is_somebody_elses() {
        for text in [
            "azoe.s@example.org",
            "anna.zoe.s@example.org",
            r"\u00ebzoe.s@example.org",
            "zoe.s@example.org.pl",
            "zoe.s@example.orgs",
            "Chezoë Strauß",
            "Zoë Straußberg",
            "1555-0199",
            "555-01990",
        ] {
            assert_eq!(traces().redact(text), None, "{text}");
        }
    }

    #[test]
    fn the_addresses_of_a_person_are_those_of_now_and_before() {
        let person = person(
            &[
                ("email", " A@x.example"),
                ("hs_additional_emails", "b@x.example;C@x.example"),
                ("city", "d@x"),
            ],
            &[("email", &["old@x.example", "none"])],
        );
        assert_eq!(
            person.addresses().into_iter().collect::<Vec<_>>(),
            ["a@x.example", "b@x.example", "c@x.example", "old@x.example"]
        );
    }

    #[test]
    fn the_traces_of_several_people_are_looked_for_together() {
        let mut both = traces();
        both.extend(Traces::of(&Person::default().texts(["bo@x.example"])));
        assert_eq!(both.redact("bo@x.example, Zoë Strauß").as_deref(), Some("[redacted], [redacted]"));
    }

    #[test]
    fn json_is_redacted_in_its_strings_and_names_and_nowhere_else() {
        let mut value =
            json!({"note": ["Zoë Strauß", 5, null], "zoe.s@example.org": {"seen": true}, "z": "z"});
        assert!(traces().redact_json(&mut value));
        assert_eq!(value, json!({"note": ["[redacted]", 5, null], "[redacted]": {"seen": true}, "z": "z"}));
        assert!(!traces().redact_json(&mut value));
        let fax = Traces::of(&person(&[("fax", "5550199111")], &[]).texts([]));
        let mut number = json!({"n": 5_550_199_111_u64, "m": 1});
        assert!(fax.redact_json(&mut number));
        assert_eq!(number, json!({"n": "[redacted]", "m": 1}));
    }
}
