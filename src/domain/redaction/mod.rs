//! Finding a person's identifiers in texts, in every usual spelling, and replacing them (rule 4 of the matrix).

mod json;
mod letters;
mod phones;

use std::collections::BTreeSet;
use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use super::identifiers::{FullName, Identifiers};
use crate::domain::scripts::is_unspaced;
use letters::{Letter, Role, folded, readings};
use phones::{Number, numbers};

/// Replaces a redacted text.
pub const REDACTED: &str = "[redacted]";

/// Endings that make a word with an address in it the name of a file. No country's or common top-level domain is among them:
/// `cv_bo@x.example.net` names the person of another address.
const FILE_EXTENSIONS: [&str; 48] = [
    "7z", "avi", "bmp", "csv", "doc", "docm", "docx", "eml", "epub", "gif", "gz", "heic", "heif", "htm",
    "html", "ics", "jpeg", "jpg", "json", "log", "m4a", "mbox", "mp3", "mp4", "msg", "odp", "ods", "odt",
    "p7m", "pdf", "png", "ppt", "pptx", "pst", "rar", "rtf", "svg", "tar", "tif", "tiff", "txt", "vcf",
    "wav", "webp", "xls", "xlsx", "xml", "zip",
];

/// The kind of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Prose,
    /// `_`, `-` and `.` separate words, and the name ends with an extension.
    FileName,
}

/// Identifiers, prepared for comparison.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    addresses: Vec<Vec<char>>,
    /// Addresses of others that end with one of these.
    longer: Vec<Vec<char>>,
    phones: Vec<Number>,
    names: Vec<Name>,
}

/// A full name in one of its orders, as words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    words: Vec<Vec<char>>,
    /// Behind this word a comma may stand: it begins with the last name.
    comma_after: Option<usize>,
}

impl Redactor {
    pub fn new(identifiers: &Identifiers) -> Self {
        let mut addresses: Vec<Vec<char>> =
            identifiers.addresses.iter().flat_map(|it| spellings(it)).collect();
        // The longest first: a match is taken whole.
        addresses.sort_by_key(|it| std::cmp::Reverse(it.len()));
        let longer = identifiers.longer.iter().flat_map(|it| spellings(it)).collect();
        let phones: BTreeSet<Number> = identifiers.phones.iter().flat_map(numbers).collect();
        let mut phones: Vec<Number> = phones.into_iter().collect();
        phones.sort_by_key(|number| std::cmp::Reverse(number.digits.len()));
        let names: BTreeSet<Name> = identifiers.names.iter().flat_map(orders).collect();
        let mut names: Vec<Name> = names.into_iter().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.words.concat().len()));
        Self { addresses, longer, phones, names }
    }

    /// Has it nothing to look for?
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.phones.is_empty() && self.names.is_empty()
    }

    /// Redacts a text; the new text, and how many places were redacted. A text that is a JSON document is redacted as JSON.
    /// `None`: nothing was found.
    pub fn redact(&self, text: &str, style: Style) -> Option<(String, u64)> {
        if !self.may_be_in(text) {
            return None;
        }
        if text.trim_start().starts_with(['{', '['])
            && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        {
            return self.redact_json(text);
        }
        let mut found: Vec<(Range<usize>, Vec<Range<usize>>)> = Vec::new();
        readings(text, |letters| self.find(letters, style, &mut found));
        found.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
        let (mut clean, mut copied, mut count) = (String::new(), 0, 0);
        for (range, tags) in found {
            if range.end <= copied {
                continue;
            }
            // A second reading may find more of the same place.
            if range.start >= copied {
                clean.push_str(&text[copied..range.start]);
                clean.push_str(REDACTED);
                count += 1;
            }
            for tag in tags.iter().filter(|tag| tag.start >= copied) {
                clean.push_str(&text[tag.clone()]);
            }
            copied = range.end;
        }
        (count > 0).then(|| {
            clean.push_str(&text[copied..]);
            (clean, count)
        })
    }

    /// Redacts a JSON document: its strings, its member names, and numbers that are a phone number of the person, which
    /// become 0. Everything else stays as it is, byte for byte.
    pub fn redact_json(&self, document: &str) -> Option<(String, u64)> {
        if !self.may_be_in(document) {
            return None;
        }
        let is_phone =
            |number: &str| self.phones.iter().any(|it| number.chars().eq(it.digits.iter().copied()));
        json::redact(document, &|text| self.redact(text, Style::Prose), &is_phone)
    }

    /// Excludes most texts quickly: an address has an at sign, in one of its spellings.
    fn may_be_in(&self, text: &str) -> bool {
        let escapes = |it: char| matches!(it, '@' | '%' | '&' | '\\' | '＠');
        !self.phones.is_empty()
            || !self.names.is_empty()
            || (!self.addresses.is_empty() && text.contains(escapes))
    }

    /// Adds every match in a reading: its place in the source, and the tags within.
    fn find(&self, letters: &[Letter], style: Style, found: &mut Vec<(Range<usize>, Vec<Range<usize>>)>) {
        let mut place = 0;
        while place < letters.len() {
            let Some((from, to)) = self.matches_at(letters, place, style) else {
                place += 1;
                continue;
            };
            let matched = &letters[from..to];
            let tags = matched.iter().filter(|it| it.role == Role::Tag).map(|it| it.start..it.end).collect();
            found.push((letters[from].start..letters[to - 1].end, tags));
            place = to;
        }
    }

    /// Is the address, with the sign before it, the address of another contact?
    fn is_of_another(&self, letters: &[Letter], place: usize, address: &[char]) -> bool {
        before(letters, place).next().is_some_and(|sign| {
            self.longer.iter().any(|longer| longer.first() == Some(&sign) && longer[1..] == *address)
        })
    }

    fn matches_at(&self, letters: &[Letter], place: usize, style: Style) -> Option<(usize, usize)> {
        let first = letters[place];
        if first.role != Role::Letter {
            return None;
        }
        let begins = |pattern: &[char]| pattern.first() == Some(&first.character);
        for address in self.addresses.iter().filter(|it| begins(it)) {
            if let Some(end) = literal(letters, place, address)
                && address_stands_alone(letters, place, end, style)
                && !self.is_of_another(letters, place, address)
            {
                return Some((place, end));
            }
        }
        if first.character.is_ascii_digit() {
            return self.phones.iter().find_map(|number| number.found_at(letters, place));
        }
        let begins = |word: &[char]| word.first() == Some(&in_names(first.character));
        self.names.iter().filter(|name| begins(&name.words[0])).find_map(|name| {
            let end = name_at(letters, place, name, style)?;
            word_stands_alone(letters, place, end).then_some((place, end))
        })
    }
}

/// Every address in a text that could be meant, as keys: of `cv_ada@x.example.pdf` also `ada@x.example`.
pub fn addresses_in(text: &str) -> BTreeSet<String> {
    /// More labels than this are cut off from neither end.
    const CUTS: usize = 8;
    let mut found = BTreeSet::new();
    if !text.contains(['@', '%', '&', '\\', '＠']) {
        return found;
    }
    readings(text, |letters| {
        let visible: Vec<char> = letters
            .iter()
            .filter(|it| it.role != Role::Invisible)
            .map(|it| if it.role == Role::Tag { ' ' } else { it.character })
            .collect();
        for (at, _) in visible.iter().enumerate().filter(|(_, letter)| **letter == '@') {
            let local: String =
                visible[..at].iter().rev().take_while(|it| is_local(**it) || is_unspaced(**it)).collect();
            let local: String = local.chars().rev().collect();
            let domain: String = visible[at + 1..].iter().take_while(|it| in_domain(**it)).collect();
            let cut = |it: char| "._-+%'/=".contains(it);
            let mut starts: Vec<usize> =
                local.match_indices(cut).map(|(place, sign)| place + sign.len()).take(CUTS).collect();
            // Where words have no blanks between them an address may begin with any letter.
            let unspaced = local.char_indices().rev().filter(|(_, letter)| is_unspaced(*letter));
            starts.extend(unspaced.map(|(place, _)| place).take(2 * CUTS));
            let ends: Vec<usize> =
                domain.match_indices(['.', '-']).map(|(place, _)| place).chain([domain.len()]).collect();
            for start in [0].into_iter().chain(starts) {
                for end in ends.iter().rev().take(CUTS) {
                    let (local, domain) = (&local[start..], &domain[..*end]);
                    if !local.is_empty() && domain.contains('.') {
                        found.extend(keys_of(local, domain));
                    }
                }
            }
        }
    });
    found
}

/// Composed, as it would be typed, and with its domain in both spellings.
fn keys_of(local: &str, domain: &str) -> BTreeSet<String> {
    let both = |domain: &str| {
        let address = format!("{local}@{domain}");
        // Folding makes one letter of the two sigmas, and a key has the one that ends a word.
        let final_sigma = address.replace('σ', "Σ").to_lowercase();
        [address.nfc().collect::<String>(), final_sigma, address]
    };
    domains(&domain.nfc().collect::<String>())
        .iter()
        .chain([&domain.to_owned()])
        .flat_map(|domain| both(domain))
        .collect()
}

/// The keys of an address: as it is, composed and decomposed, and with its domain as Unicode and as `xn--`.
pub fn keys(address: &str) -> BTreeSet<String> {
    let forms = |text: &str| -> BTreeSet<String> {
        [text.to_owned(), text.nfc().collect(), text.nfd().collect()].into_iter().collect()
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return forms(address) };
    let domains: BTreeSet<String> =
        domains(domain).iter().chain([&domain.to_owned()]).flat_map(|domain| forms(domain)).collect();
    let address = |local: String| domains.iter().map(move |domain| format!("{local}@{domain}"));
    forms(local).into_iter().flat_map(address).collect()
}

/// The patterns of an address.
fn spellings(address: &str) -> Vec<Vec<char>> {
    let spelled: BTreeSet<Vec<char>> = keys(address).iter().map(|key| folded(key)).collect();
    spelled.into_iter().collect()
}

/// A domain in the spellings of IDNA.
fn domains(domain: &str) -> BTreeSet<String> {
    if domain.is_ascii() && !domain.contains("xn--") {
        return BTreeSet::new();
    }
    let (unicode, valid) = idna::domain_to_unicode(domain);
    let ascii = idna::domain_to_ascii(domain);
    let unicode = valid.is_ok().then_some(unicode);
    unicode.into_iter().chain(ascii).filter(|it| !it.is_empty()).collect()
}

/// First name first, and last name first.
fn orders(name: &FullName) -> Vec<Name> {
    let words = |text: &str| -> Vec<Vec<char>> {
        let word =
            |word: &str| folded(word).into_iter().filter(|it| *it != DOT_ABOVE).map(in_names).collect();
        text.split_whitespace().map(word).filter(|word: &Vec<char>| !word.is_empty()).collect()
    };
    let (first, last) = (words(&name.first), words(&name.last));
    if last.is_empty() || (first.is_empty() && !name.first.is_empty()) {
        return Vec::new();
    }
    if first.is_empty() {
        return vec![Name { words: last, comma_after: None }];
    }
    vec![
        Name { words: [first.clone(), last.clone()].concat(), comma_after: None },
        Name { comma_after: Some(last.len()), words: [last, first].concat() },
    ]
}

/// What is left over the `i` of a lower-cased `İ`.
const DOT_ABOVE: char = '\u{307}';

/// A letter as it is compared in names. Turkish names in capitals lose the difference between `ı` and `i`.
fn in_names(letter: char) -> char {
    match letter {
        'ı' => 'i',
        '\u{2013}' => '-',
        other => other,
    }
}

/// Where a pattern that begins here ends. Tags and invisible letters within it do not count.
fn literal(letters: &[Letter], start: usize, pattern: &[char]) -> Option<usize> {
    pattern_at(letters, start, pattern, |it| it.role != Role::Letter, |it| it)
}

/// Where a word of a name that begins here ends.
fn name_word(letters: &[Letter], start: usize, word: &[char]) -> Option<usize> {
    let passed_over = |it: &Letter| it.role != Role::Letter || it.character == DOT_ABOVE;
    let end = pattern_at(letters, start, word, passed_over, in_names)?;
    Some(end + letters[end..].iter().take_while(|it| it.character == DOT_ABOVE).count())
}

fn pattern_at(
    letters: &[Letter],
    start: usize,
    pattern: &[char],
    passed_over: impl Fn(&Letter) -> bool,
    compared: impl Fn(char) -> char,
) -> Option<usize> {
    let mut place = start;
    for expected in pattern {
        while letters.get(place).is_some_and(&passed_over) && place > start {
            place += 1;
        }
        let matches = |it: &Letter| it.role == Role::Letter && compared(it.character) == *expected;
        if !letters.get(place).is_some_and(matches) {
            return None;
        }
        place += 1;
    }
    Some(place)
}

/// Where a name that begins here ends.
fn name_at(letters: &[Letter], start: usize, name: &Name, style: Style) -> Option<usize> {
    let mut place = name_word(letters, start, &name.words[0])?;
    for (index, pair) in (1..).zip(name.words.windows(2)) {
        let comma = name.comma_after == Some(index);
        let is_separator = |it: &Letter| {
            it.role != Role::Letter
                || it.character.is_whitespace()
                || "+_".contains(it.character)
                || (comma && it.character == ',')
                || (style == Style::FileName && "-.".contains(it.character))
                || "\u{b7}\u{30fb}".contains(it.character)
        };
        let separators = letters[place..].iter().take_while(|it| is_separator(it)).count();
        let joined = pair.iter().all(|word| word.iter().all(|it| is_unspaced(*it)));
        if separators == 0 && !joined {
            return None;
        }
        place = name_word(letters, place + separators, &pair[1])?;
    }
    Some(place)
}

/// Is it part of a word that has spaces around it?
fn is_word(letter: char) -> bool {
    (letter.is_alphanumeric() || is_combining_mark(letter)) && !is_unspaced(letter)
}

fn in_domain(letter: char) -> bool {
    is_word(letter) || is_unspaced(letter) || "-.".contains(letter)
}

fn is_local(letter: char) -> bool {
    is_word(letter) || "._%+-'/=".contains(letter)
}

/// The letters before a place, nearest first, without invisible ones; a tag is a blank.
fn before(letters: &[Letter], place: usize) -> impl Iterator<Item = char> {
    let visible = letters[..place].iter().rev().filter(|it| it.role != Role::Invisible);
    visible.map(|it| if it.role == Role::Tag { ' ' } else { it.character })
}

fn after(letters: &[Letter], place: usize) -> impl Iterator<Item = char> {
    let visible = letters[place..].iter().filter(|it| it.role != Role::Invisible);
    visible.map(|it| if it.role == Role::Tag { ' ' } else { it.character })
}

/// Is it not part of a longer address, which may belong to another person? `ann@x.example` is no part of `joann@x.example`.
fn address_stands_alone(letters: &[Letter], start: usize, end: usize, style: Style) -> bool {
    let mut next = after(letters, end);
    let (sign, behind) = (next.next(), next.next());
    let extension: String =
        after(letters, end).skip(1).take_while(char::is_ascii_alphanumeric).take(6).collect();
    let is_extension = sign == Some('.') && FILE_EXTENSIONS.contains(&extension.as_str());
    let longer_after = match (sign, behind) {
        (Some('.' | '-'), Some(other)) => is_word(other) && !is_extension,
        (Some(other), _) => is_word(other),
        (None, _) => false,
    };
    let mut earlier = before(letters, start);
    let is_file = is_extension || style == Style::FileName;
    let longer_before = match (earlier.next(), earlier.next()) {
        (Some('_' | '-'), _) if is_file => false,
        (Some('.' | '_' | '%' | '+' | '-'), Some(other)) | (Some(other), _) => is_word(other),
        (None, _) => false,
    };
    !longer_after && !longer_before
}

/// Is it not part of a longer word? `Ann Lee` is no part of `Joann Leeds`.
fn word_stands_alone(letters: &[Letter], start: usize, end: usize) -> bool {
    let joined = |one: Option<char>, other: char| {
        one.is_some_and(|one| is_word(one) && is_word(other) && one.is_numeric() == other.is_numeric())
    };
    let follows = after(letters, end).next();
    !joined(before(letters, start).next(), letters[start].character)
        && !joined(follows, letters[end - 1].character)
        && !follows.is_some_and(is_combining_mark)
}

#[cfg(test)]
mod tests;
