//! A person's identifiers: e-mail addresses, phone numbers and full names, current and former (rule 4 b of the matrix).
//!
//! This is the only notion of it. Import, search, restore and suppression ask for the addresses of a contact
//! ([`own_addresses`]), an erasure for everything ([`Identifiers`]), and [`redaction`](super::redaction) finds it in texts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use unicode_normalization::char::is_combining_mark;

use super::address::{address_key, has_address_shape, is_plain_address};
use super::scripts::is_unspaced;

/// Properties that hold the contact's own addresses, several of them separated by semicolons. Source: the vendor's API
/// returns further addresses of a contact in `hs_additional_emails`, and those of merged contacts too.
const ADDRESS_PROPERTIES: [&str; 3] = ["email", "hs_additional_emails", WORK_EMAIL];

/// The one address property whose value several live contacts may share, such as `office@company.example`.
const WORK_EMAIL: &str = "work_email";

/// No property, but the name under which the history of a contact keeps former `additionalEmails`.
pub const ADDITIONAL_ADDRESSES: &str = "additionalEmails";

/// The value of `hs_additional_emails` by a contact's addresses, each with its key: all but the primary one, by key. `None`: there
/// is no other.
pub fn additional_emails<'a>(
    primary: Option<&str>,
    emails: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Option<String> {
    let primary = primary.map(address_key);
    let others: BTreeMap<&str, &str> =
        emails.into_iter().filter(|(key, _)| Some(*key) != primary.as_deref()).collect();
    (!others.is_empty()).then(|| others.into_values().collect::<Vec<_>>().join(";"))
}

/// Properties that hold a full name, where the CRM or an integration keeps it in one: their names in lower case, letters alone.
/// Source: the vendor derives `hs_full_name_or_email` and `hs_calculated_full_name`.
const FULL_NAME_PROPERTIES: [&str; 6] =
    ["fullname", "displayname", "contactname", "hsfullname", "hsfullnameoremail", "hscalculatedfullname"];

/// Words of a property's name that say that its value is a phone number: `phone`, `hs_whatsapp_phone_number`, `home_fax`.
const PHONE_WORDS: [&str; 13] = [
    "phone",
    "mobilephone",
    "mobile",
    "telephone",
    "fax",
    "whatsapp",
    "tel",
    "telefon",
    "cell",
    "cellphone",
    "gsm",
    "handy",
    "rufnummer",
];

/// Fewer digits are an extension or an emergency number, more are no phone number (E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The former values of a contact's properties.
pub type History = HashMap<String, Vec<Version>>;

/// A value that a property had.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Version {
    pub value: String,
}

/// The properties of a contact, with their history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactProperties {
    pub properties: HashMap<String, String>,
    pub history: History,
}

/// An address of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnAddress {
    /// As it was written.
    pub email: String,
    /// As it is compared.
    pub key: String,
    /// One live contact at most may have it; others of the kind are shared.
    pub exclusive: bool,
}

/// A first and a last name. Where the two cannot be told apart the first is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FullName {
    pub first: String,
    pub last: String,
}

/// A phone number, as its digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Phone {
    /// Without `+` and `00`.
    pub digits: String,
    /// Do they begin with a country code?
    pub is_international: bool,
}

/// Everything that identifies one person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identifiers {
    /// Address keys.
    pub addresses: BTreeSet<String>,
    /// Addresses of other people that end with one of these, such as `_ada@x.example`.
    pub longer: BTreeSet<String>,
    pub phones: BTreeSet<Phone>,
    pub names: BTreeSet<FullName>,
}

impl Identifiers {
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.phones.is_empty() && self.names.is_empty()
    }

    /// The addresses alone: each identifies one person.
    #[must_use]
    pub fn only_addresses(&self) -> Self {
        Self { addresses: self.addresses.clone(), longer: self.longer.clone(), ..Self::default() }
    }

    /// Each identifier by itself; an address with the longer ones that end with it.
    pub fn each(&self) -> impl Iterator<Item = Self> {
        let addresses = self.addresses.iter().map(|address| {
            let longer = self.longer.iter().filter(|longer| longer.ends_with(address)).cloned().collect();
            Self { addresses: BTreeSet::from([address.clone()]), longer, ..Self::default() }
        });
        let phones = self.phones.iter().cloned();
        let phones = phones.map(|phone| Self { phones: BTreeSet::from([phone]), ..Self::default() });
        let names = self.names.iter().cloned();
        let names = names.map(|name| Self { names: BTreeSet::from([name]), ..Self::default() });
        addresses.chain(phones).chain(names)
    }

    pub fn add(&mut self, other: &Self) {
        self.addresses.extend(other.addresses.iter().cloned());
        self.longer.extend(other.longer.iter().cloned());
        self.phones.extend(other.phones.iter().cloned());
        self.names.extend(other.names.iter().cloned());
    }

    /// Without the names and phone numbers that another person has too.
    #[must_use]
    pub fn without_shared(&self, other: &Self) -> Self {
        let folded: BTreeSet<_> = other.names.iter().map(FullName::folded).collect();
        let has = |phone: &&Phone| !other.phones.iter().any(|it| it.may_be(phone));
        Self {
            addresses: self.addresses.clone(),
            longer: self.longer.clone(),
            phones: self.phones.iter().filter(has).cloned().collect(),
            names: self.names.iter().filter(|name| !folded.contains(&name.folded())).cloned().collect(),
        }
    }
}

impl Phone {
    /// Of a value that is a phone number and nothing else.
    pub fn of(value: &str) -> Self {
        let value = value.trim_start_matches(['(', ' ']);
        let is_international = value.starts_with('+') || value.starts_with("00");
        // `+44 (0)20`: the 0 is for calls within the country.
        let value = if is_international { value.replace("(0)", "") } else { value.to_owned() };
        let digits: String = value.chars().filter(char::is_ascii_digit).collect();
        let digits = digits.strip_prefix("00").map_or_else(|| digits.clone(), str::to_owned);
        Self { digits, is_international }
    }

    /// The numbers that a value may be which is a phone number and nothing else: `1-212-555-0199` and `48 600 111 222` begin
    /// with a country code, though nothing says so, and `011 48 600 111 222` is dialled so in zone 1.
    fn readings(value: &str) -> Vec<Self> {
        /// Few numbers have so many digits without their country.
        const LONG: usize = 11;
        let number = Self::of(value);
        if number.is_international {
            return vec![number];
        }
        let rest = number.digits.strip_prefix("011").filter(|rest| rest.len() >= LONG - 1);
        let first_group = value.split(|it: char| !it.is_ascii_digit()).find(|group| !group.is_empty());
        // Codes of three digits are area codes as well.
        let is_short_code = |group: &str| group.len() < 3 && group.len() == country_code(&number.digits);
        let begins_with_code = !number.digits.starts_with('0')
            && (number.digits.len() >= LONG || first_group.is_some_and(is_short_code));
        let international = rest.or_else(|| begins_with_code.then_some(number.digits.as_str()));
        let international = international.map(|it| Self { digits: it.to_owned(), is_international: true });
        [Some(number), international].into_iter().flatten().collect()
    }

    /// The digits that are dialled within the country, without a leading 0.
    pub fn national(&self) -> &str {
        let code = if self.is_international { country_code(&self.digits) } else { 0 };
        self.digits.get(code..).unwrap_or_default().trim_start_matches('0')
    }

    /// May the two be one number? One that is written without its country may be of any.
    fn may_be(&self, other: &Self) -> bool {
        self.national() == other.national()
            && (self.digits == other.digits || !self.is_international || !other.is_international)
    }
}

/// How many digits of an international number are its country code. Source: ITU-T E.164; codes of the zones 1 and 7 have one
/// digit, these two, all others three.
pub fn country_code(digits: &str) -> usize {
    const TWO_DIGITS: [&str; 44] = [
        "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48",
        "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81",
        "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
    ];
    match digits.as_bytes() {
        [b'1' | b'7', ..] => 1,
        [_, _, ..] if TWO_DIGITS.contains(&&digits[..2]) => 2,
        _ => 3,
    }
}

impl FullName {
    /// The full names that a value may be: two words at least, `Lovelace, Ada`, or signs of a script that puts no spaces between
    /// words.
    fn readings(value: &str) -> Vec<Self> {
        let is_name = |it: char| {
            it.is_alphabetic() || is_combining_mark(it) || it.is_whitespace() || ",.'’-·・".contains(it)
        };
        let value = value.trim();
        if !value.chars().all(is_name) {
            return Vec::new();
        }
        let (before, behind) = value.split_once(',').unwrap_or((value, ""));
        let (before, behind) = (before.trim(), behind.trim());
        let name = |first: &str, last: &str| Self { first: first.trim().to_owned(), last: last.to_owned() };
        let mut names = Vec::new();
        if !before.is_empty() && !behind.is_empty() {
            names.push(name(behind, before));
        }
        if let Some((first, last)) = before.rsplit_once(char::is_whitespace) {
            names.push(name(first, last));
        } else if before.chars().count() >= 3 && before.chars().all(is_unspaced) {
            // Which of the signs are the last name cannot be told.
            names.push(name("", before));
        }
        names
    }

    fn folded(&self) -> (String, String) {
        (self.first.to_lowercase(), self.last.to_lowercase())
    }
}

/// The addresses of a contact: those of its address properties, and further ones that its record names. The first of equal
/// ones counts, an exclusive one before a shared one.
pub fn own_addresses<'a>(
    property: impl Fn(&str) -> Option<&'a str>,
    additional: impl IntoIterator<Item = &'a str>,
) -> Vec<OwnAddress> {
    let (exclusive, shared): (Vec<&str>, Vec<&str>) =
        ADDRESS_PROPERTIES.iter().partition(|name| **name != WORK_EMAIL);
    let values = |names: Vec<&str>| {
        let values: Vec<&str> =
            names.into_iter().filter_map(&property).flat_map(|it| it.split(';')).collect();
        values.into_iter()
    };
    let exclusive = values(exclusive).chain(additional).map(|email| (email, true));
    let mut found: Vec<OwnAddress> = Vec::new();
    for (email, exclusive) in exclusive.chain(values(shared).map(|email| (email, false))) {
        let key = address_key(email);
        if !key.is_empty() && found.iter().all(|other| other.key != key) {
            found.push(OwnAddress { email: email.trim().to_owned(), key, exclusive });
        }
    }
    found
}

impl ContactProperties {
    /// The current and former values of a property.
    fn values<'a>(&'a self, property: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let former = self.history.get(property).into_iter().flatten().map(|version| version.value.as_str());
        former
            .chain(self.properties.get(property).map(String::as_str))
            .map(str::trim)
            .filter(|it| !it.is_empty())
    }

    /// The name of every property that has or had a value.
    fn names(&self) -> BTreeSet<&str> {
        self.properties.keys().chain(self.history.keys()).map(String::as_str).collect()
    }

    /// The keys of the contact's own addresses, former ones too. Another contact may have a former one by now.
    pub fn addresses(&self) -> BTreeSet<String> {
        let names = ADDRESS_PROPERTIES.into_iter().chain([ADDITIONAL_ADDRESSES]);
        // `Ada <ada@x.example>` is an address too; `n/a` is none.
        let parts = names
            .flat_map(|property| self.values(property))
            .flat_map(|value| value.split([';', ',', '<', '>']));
        parts.filter(|part| is_plain_address(part)).map(address_key).collect()
    }

    /// The keys of addresses that stand in any other property. They are the contact's unless they belong to another contact
    /// or to a user of the CRM.
    pub fn mentioned_addresses(&self) -> BTreeSet<String> {
        let others = self.names().into_iter().filter(|name| !ADDRESS_PROPERTIES.contains(name));
        let values = others.flat_map(|name| self.values(name));
        let parts = values.flat_map(|value| value.split([';', ',', '<', '>'])).map(|part| {
            let part = part.trim();
            part.strip_prefix("mailto:").unwrap_or(part)
        });
        parts.filter(|part| has_address_shape(part)).map(address_key).collect()
    }

    pub fn phones(&self) -> BTreeSet<Phone> {
        let mut phones = BTreeSet::new();
        for name in self.names() {
            let is_phone = is_phone_property(name);
            for value in self.values(name) {
                let numbers = parts(value).into_iter().filter_map(|Part { text, is_phone: said }| {
                    let takes = if is_phone || said { may_be_phone } else { has_phone_shape };
                    takes(&text).then(|| number_in(&text)).flatten()
                });
                phones.extend(numbers.flat_map(|number| Phone::readings(&number)));
            }
        }
        phones
    }

    /// Every first name with every last name, because a former one may stand with a current one; and the full names that are
    /// kept in one property.
    pub fn full_names(&self) -> BTreeSet<FullName> {
        let firsts: Vec<&str> = self.values("firstname").chain(self.values("first_name")).collect();
        let lasts: Vec<&str> = self.values("lastname").chain(self.values("last_name")).collect();
        let both = |first: &&str| {
            let first = (*first).to_owned();
            let with = move |last: &&str| FullName { first: first.clone(), last: (*last).to_owned() };
            lasts.iter().map(with).collect::<Vec<_>>()
        };
        let mut names: BTreeSet<FullName> = firsts.iter().flat_map(both).collect();
        // "Ada Maria" alone is no full name where a last name is known, "Ada Lovelace" is.
        let whole = |values: &[&str], others: &[&str]| -> Vec<FullName> {
            let has_other = |value: &str| {
                let words: Vec<String> = value.split_whitespace().map(str::to_lowercase).collect();
                others.iter().any(|other| words.contains(&other.to_lowercase()))
            };
            let whole = values.iter().filter(|value| others.is_empty() || has_other(value));
            whole.flat_map(|value| FullName::readings(value)).collect()
        };
        names.extend(whole(&firsts, &lasts));
        names.extend(whole(&lasts, &firsts));
        // `name` may be that of a company, where the contact's own is known.
        let ambiguous = (firsts.is_empty() && lasts.is_empty()).then_some("name");
        let is_full_name = |property: &&str| {
            let letters = property.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase);
            FULL_NAME_PROPERTIES.contains(&letters.collect::<String>().as_str())
        };
        let properties = self.names().into_iter().filter(is_full_name).chain(ambiguous);
        names.extend(properties.flat_map(|property| self.values(property)).flat_map(FullName::readings));
        // Users fill required fields with "-" and ".".
        let says_something = |part: &String| part.contains(char::is_alphanumeric);
        names.retain(|name| {
            says_something(&name.last) && (name.first.is_empty() || says_something(&name.first))
        });
        names
    }
}

/// Says the name that its value is a phone number? Words count, so that `headphones_order` is none; a name that speaks of
/// a time or of a state (`phone_verified_on`) has no number either, which [`may_be_phone`] sees.
fn is_phone_property(name: &str) -> bool {
    name.split('_').any(|word| PHONE_WORDS.contains(&word.to_lowercase().as_str()))
}

/// A part of a value that may be a number, with ASCII digits and signs.
struct Part {
    text: String,
    /// It says so itself: `tel:…`.
    is_phone: bool,
}

/// The numbers that a value may hold, one beside the other.
fn parts(value: &str) -> Vec<Part> {
    let plain = |it: char| match it {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(it as u32 - 0xfee0).unwrap_or(it),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '[' | '{' => '(',
        ']' | '}' => ')',
        other => other,
    };
    let value: String = value.chars().map(plain).collect();
    // Each `+` begins a number.
    let value = value.replace('+', "\n+").replace(" / ", "\n");
    let parts = value.split(['\n', ';', ',', '|']).map(|part| {
        let part = part.trim();
        let tel = part.get(..4).filter(|it| it.eq_ignore_ascii_case("tel:"));
        let text = tel.map_or(part, |tel| &part[tel.len()..]).trim().to_owned();
        Part { text, is_phone: tel.is_some() }
    });
    parts.filter(|part| !part.text.is_empty()).collect()
}

/// The number that a part begins with: without an extension (`x12`, `ext. 12`, `#12`) and what else is said of it (`(home)`).
fn number_in(part: &str) -> Option<String> {
    let is_sign = |it: char| it.is_ascii_digit() || it.is_whitespace() || "+()-./".contains(it);
    let end = part.find(|it| !is_sign(it)).unwrap_or(part.len());
    let number = part[..end].trim_end_matches(|it: char| !it.is_ascii_digit());
    PHONE_DIGITS.contains(&Phone::of(number).digits.len()).then(|| number.to_owned())
}

/// May a part of a phone property's value be a number? A date, a flag and a short number are none.
fn may_be_phone(part: &str) -> bool {
    number_in(part).is_some_and(|number| !is_date(&number) && !is_amount(&number))
}

/// Is it a phone number whatever property it stands in? It begins with `+` or `00`, or is written in a way that phone numbers
/// are: `(212) 555-0199`, `212-555-0199`, `1-212-555-0199`, or `0171-2233445` with the 0 of calls within a country.
fn has_phone_shape(part: &str) -> bool {
    let number = part.split_once(['x', '#', 'e']).map_or(part, |(number, _extension)| number).trim_end();
    let groups: Vec<usize> =
        number.split(|it: char| !it.is_ascii_digit()).map(str::len).filter(|length| *length > 0).collect();
    let international = number.starts_with('+') || number.starts_with("00") && groups.len() > 1;
    let area_code = number.starts_with('(') && number.contains(')');
    let dashed = (groups == [3, 3, 4] && number.len() == 12 || groups == [1, 3, 3, 4] && number.len() == 14)
        && !number.contains(' ');
    let is_decimal = number.contains('.') && number.parse::<f64>().is_ok();
    let within = number.starts_with('0')
        && !number.starts_with("00")
        && !is_decimal
        && (9..=12).contains(&groups.iter().sum::<usize>());
    let whole = number_in(number).is_some_and(|found| found == number);
    whole && may_be_phone(number) && (international || area_code || dashed || within)
}

/// `2026-11-28`, `28.11.2026`, `11/28/26`, also with a time behind.
fn is_date(value: &str) -> bool {
    let date = value.split_whitespace().next().unwrap_or_default();
    ['-', '.', '/'].into_iter().any(|separator| {
        let parts: Vec<Option<u32>> = date.split(separator).map(|part| part.parse().ok()).collect();
        let [Some(first), Some(middle), Some(last)] = parts[..] else { return false };
        let (year, day) = if first > 31 { (first, last) } else { (last, first) };
        (year < 100 || (1800..2200).contains(&year)) && middle.max(day) <= 31 && middle.min(day) <= 12
    })
}

/// `+1200000.50`: digits with nothing but a decimal point.
fn is_amount(value: &str) -> bool {
    let unsigned = value.trim_start_matches(['+', '-']);
    unsigned.split_once('.').is_some_and(|(whole, cents)| {
        cents.len() <= 2 && whole.chars().chain(cents.chars()).all(|it| it.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(properties: &[(&str, &str)], history: &[(&str, &[&str])]) -> ContactProperties {
        let version = |value: &&str| Version { value: (*value).to_owned() };
        ContactProperties {
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

    fn texts(set: impl IntoIterator<Item = String>) -> Vec<String> {
        set.into_iter().collect()
    }

    #[test]
    fn own_addresses_are_current_and_former() {
        let contact = contact(
            &[
                ("email", " A@x.example"),
                ("hs_additional_emails", "b@x.example;C@x.example"),
                ("city", "d@x"),
            ],
            &[("email", &["old@x.example", "none"]), ("work_email", &["w@x.example"])],
        );
        let expected = ["a@x.example", "b@x.example", "c@x.example", "old@x.example", "w@x.example"];
        assert_eq!(texts(contact.addresses()), expected);
        assert!(contact.mentioned_addresses().is_empty(), "d@x has no domain");
    }

    #[test]
    fn addresses_in_other_properties_are_mentioned() {
        let contact = contact(
            &[
                ("alt", "Z@x.example"),
                ("both", "p@x.example; q@x.example"),
                ("link", "mailto:s@x.example"),
                ("named", "Tea <t@x.example>"),
                ("note", "write to r@x.example"),
            ],
            &[("former_alt", &["y@x.example"])],
        );
        assert_eq!(
            texts(contact.mentioned_addresses()),
            ["p@x.example", "q@x.example", "s@x.example", "t@x.example", "y@x.example", "z@x.example"]
        );
    }

    #[test]
    fn work_email_is_the_only_address_that_contacts_share() {
        let property = |name: &str| match name {
            "email" => Some("Ada@x.example"),
            "hs_additional_emails" => Some("B@x.example; ada@X.example"),
            "work_email" => Some("office@x.example;b@x.example"),
            _ => None,
        };
        let found = own_addresses(property, ["c@x.example"]);
        let found: Vec<(&str, bool)> = found.iter().map(|it| (it.key.as_str(), it.exclusive)).collect();
        assert_eq!(
            found,
            [
                ("ada@x.example", true),
                ("b@x.example", true),
                ("c@x.example", true),
                ("office@x.example", false)
            ]
        );
    }

    #[test]
    fn phone_numbers_are_known_by_their_property() {
        for name in ["phone", "mobilephone", "fax", "hs_whatsapp_phone_number", "home_Phone"] {
            let phones = contact(&[(name, "600 700 800")], &[]).phones();
            assert_eq!(phones, BTreeSet::from([Phone::of("600700800")]), "{name}");
        }
        for (name, value) in [
            ("phone_verified_on", "2026-11-28"),
            ("phone_verified_on", "28.11.2026 10:30"),
            ("phone_verified", "true"),
            ("headphones_order", "600 700 800"),
            ("phone", "112"),
            ("phone", "112 ext. 3456789"),
            ("phone", "2026-11-28T10:00:00Z"),
            ("phone", "ask reception"),
            ("microphone", "1234567"),
        ] {
            assert!(contact(&[(name, value)], &[]).phones().is_empty(), "{name}: {value}");
        }
    }

    #[test]
    fn phone_numbers_are_read_without_what_is_said_of_them() {
        for (value, numbers) in [
            ("(415) 555-0132 ext. 12", &["4155550132"][..]),
            ("415-555-0132x12", &["4155550132"]),
            ("tel:+48600111222", &["+48600111222"]),
            ("600111222 (home)", &["600111222"]),
            ("+48\u{2013}600\u{2013}111\u{2013}222", &["+48600111222"]),
            ("\u{ff0b}\u{ff14}\u{ff18} 600 111 222", &["+48600111222"]),
            ("+48 600 111 222 / +48 600 333 444", &["+48600111222", "+48600333444"]),
            ("600 111 222 / 600 333 444", &["600111222", "600333444"]),
            ("+49 (0)30 901820", &["+4930901820"]),
            ("+44 (0) 20 7946 0958", &["+442079460958"]),
            ("0171/2345678", &["01712345678"]),
        ] {
            let expected: BTreeSet<Phone> = numbers.iter().map(|it| Phone::of(it)).collect();
            assert_eq!(contact(&[("custom_tel", value)], &[]).phones(), expected, "{value}");
        }
    }

    #[test]
    fn a_number_that_begins_with_a_country_code_is_known_without_it() {
        for (value, national) in [
            ("1-744-019-9220", "7440199220"),
            ("1 (744) 019-9221", "7440199221"),
            ("17440199220", "7440199220"),
            ("48 744 199 209", "744199209"),
            ("(0048) 744 199 201", "744199201"),
            ("[+48] 744 199 207", "744199207"),
            ("{+48} 744 199 207", "744199207"),
            ("011 48 744 199 202", "744199202"),
            ("65 9123 4567", "91234567"),
            ("45 12 34 56 78", "12345678"),
        ] {
            let phones = contact(&[("phone", value)], &[]).phones();
            let found: Vec<&str> =
                phones.iter().filter(|it| it.is_international).map(Phone::national).collect();
            assert_eq!(found, [national], "{value}");
        }
        // A number of zone 1 begins with digits that are another zone's code.
        for value in ["415 555 0132", "4155550132", "600 111 222", "020 7946 0958"] {
            let phones = contact(&[("phone", value)], &[]).phones();
            assert!(phones.iter().all(|it| !it.is_international) && phones.len() == 1, "{value}");
        }
    }

    #[test]
    fn phone_numbers_are_known_by_their_shape() {
        for (value, digits) in [
            ("+48 600 111 222", "+48600111222"),
            ("0048 600-111-222", "+48600111222"),
            ("(212) 555-0199", "2125550199"),
            ("212.555.0199", "2125550199"),
            ("0171-2233445", "01712233445"),
            ("0171/2233449", "01712233449"),
            ("01712233448", "01712233448"),
            ("06 12 34 56 78", "0612345678"),
            ("030 1234567", "0301234567"),
            ("020 7946 0959", "02079460959"),
            ("tel:171 2233451", "1712233451"),
        ] {
            let phones = contact(&[("reach_me_at", value)], &[]).phones();
            assert_eq!(phones, BTreeSet::from([Phone::of(digits)]), "{value}");
        }
        for value in [
            "600 111 222",
            "1234567",
            "2026-11-28",
            "28/11/2026",
            "11-28-2026",
            "+1200000.50",
            "1 234 567",
            "00000001",
            "0012345678",
            "0.12345678",
            "01.02.2026 10:30",
            "01234567",
            "1.234.567",
            "+12",
            "555-0199",
            "DE-600-111-222",
            "2026-11-28T10:00:00Z",
            "4111 1111 1111 1111 11",
        ] {
            assert!(contact(&[("reach_me_at", value)], &[]).phones().is_empty(), "{value}");
        }
    }

    #[test]
    fn a_number_without_its_country_may_be_the_one_with_it() {
        let number = Phone::of;
        for (value, national) in [
            ("+48 600 111 222", "600111222"),
            ("+1 212 555 0199", "2125550199"),
            ("00358 40 1234567", "401234567"),
            ("020 7946 0958", "2079460958"),
            ("600 111 222", "600111222"),
        ] {
            assert_eq!(number(value).national(), national, "{value}");
        }
        assert!(number("+44 20 7946 0958").may_be(&number("020 7946 0958")));
        assert!(number("600111222").may_be(&number("+48600111222")));
        assert!(!number("+49600111222").may_be(&number("+48600111222")));
    }

    #[test]
    fn a_former_name_stands_with_a_current_one() {
        let contact = contact(&[("firstname", "Zoë"), ("lastname", "Strauß")], &[("lastname", &["Lindt"])]);
        let names: Vec<String> =
            contact.full_names().iter().map(|name| format!("{} {}", name.first, name.last)).collect();
        assert_eq!(names, ["Zoë Lindt", "Zoë Strauß"]);
    }

    #[test]
    fn full_name_in_one_property_is_an_identifier() {
        for (properties, expected) in [
            (&[("firstname", "Zdenka Quarkovitch")][..], &["Zdenka/Quarkovitch"][..]),
            (&[("lastname", "Quarkovitch, Zdenka Maria")], &["Zdenka Maria/Quarkovitch"]),
            (&[("lastname", "Zdenka Quarkovitch, PhD")], &["PhD/Zdenka Quarkovitch", "Zdenka/Quarkovitch"]),
            (&[("lastname", "山田太郎")], &["/山田太郎"]),
            (&[("name", "Zdenka Quarkovitch")], &["Zdenka/Quarkovitch"]),
            (&[("Full Name", "Zdenka Quarkovitch")], &["Zdenka/Quarkovitch"]),
            (&[("hs_full_name_or_email", "Zdenka Quarkovitch")], &["Zdenka/Quarkovitch"]),
            (&[("hs_full_name_or_email", "zq@x.example")], &[]),
            (&[("first_name", "Zdenka"), ("last_name", "Quarkovitch")], &["Zdenka/Quarkovitch"]),
            (
                &[("firstname", "Zdenka Quarkovitch"), ("lastname", "quarkovitch")],
                &["Zdenka/Quarkovitch", "Zdenka Quarkovitch/quarkovitch"],
            ),
            // A first name of two words, a single one, the name of a company, and what is no name.
            (&[("firstname", "Anna Maria"), ("lastname", "Lee")], &["Anna Maria/Lee"]),
            (&[("firstname", "Zdenka")], &[]),
            (&[("firstname", "Ann"), ("lastname", "Lee"), ("name", "Blue Works")], &["Ann/Lee"]),
            (&[("firstname", "2 pm call")], &[]),
            (&[("firstname", "-"), ("lastname", "-")], &[]),
            (&[("firstname", "Ann"), ("lastname", ".")], &[]),
            (&[("firstname", "?"), ("lastname", "Lee")], &[]),
        ] {
            let names = contact(properties, &[]).full_names();
            let names: Vec<String> = names.iter().map(|it| format!("{}/{}", it.first, it.last)).collect();
            assert_eq!(names, expected, "{properties:?}");
        }
    }

    #[test]
    fn names_and_numbers_that_another_person_has_are_not_identifiers() {
        let person = |first: &str, phone: &str| Identifiers {
            addresses: BTreeSet::from([format!("{first}@x.example")]),
            longer: BTreeSet::new(),
            phones: BTreeSet::from([phone, "1234567"].map(Phone::of)),
            names: BTreeSet::from([FullName { first: first.to_owned(), last: "Lee".to_owned() }]),
        };
        let left = person("Ann", "5550199").without_shared(&person("ANN", "5550100"));
        assert_eq!(left.phones, BTreeSet::from([Phone::of("5550199")]));
        assert!(left.names.is_empty() && left.addresses.contains("Ann@x.example"));
    }
}
