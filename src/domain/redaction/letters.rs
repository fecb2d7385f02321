//! A text as letters, each with its place in the source: decoded, lower-cased, decomposed. Whatever spelling a text uses
//! for a letter, the letters are the same.

use unicode_normalization::char::{canonical_combining_class, decompose_canonical};

/// Encodings may be nested (`%26%2364%3B` is `&#64;` is `@`); deeper ones than this are not looked into.
const DECODINGS: usize = 4;

/// The longest HTML tag that is read as one, and the longest entity, in characters.
const MAX_TAG: usize = 400;
const MAX_ENTITY: usize = 34;

/// Tags that stand between the words of a name, in the editors of a CRM.
const TAGS: [&str; 16] =
    ["a", "b", "br", "div", "em", "font", "i", "li", "p", "s", "span", "strong", "td", "tr", "u", "wbr"];

/// The role of a letter in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It has to match.
    Letter,
    /// An HTML tag: matches a blank, or nothing. It survives where the text around it goes.
    Tag,
    /// A soft hyphen or a zero-width character: matches nothing.
    Invisible,
}

/// A letter, and the bytes of the source that spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    pub character: char,
    pub role: Role,
    pub start: usize,
    pub end: usize,
}

/// Every reading of a text: as it stands, decoded once, twice and so on, and each of these with HTML tags as blanks (the
/// attributes of a tag are text too). `visit` gets the letters of each.
pub fn readings(text: &str, mut visit: impl FnMut(&[Letter])) {
    let mut both = |letters: &[Letter]| {
        visit(&comparable(letters));
        if let Some(without_tags) =
            replace(letters, |rest| if rest[0].character == '<' { tag(rest) } else { None })
        {
            visit(&comparable(&without_tags));
        }
    };
    let mut letters: Vec<Letter> = text
        .char_indices()
        .map(|(start, letter)| Letter {
            character: letter,
            role: Role::Letter,
            start,
            end: start + letter.len_utf8(),
        })
        .collect();
    both(&letters);
    for _ in 0..DECODINGS {
        let Some(decoded) = replace(&letters, escape) else { return };
        letters = decoded;
        both(&letters);
    }
}

/// The letters of a pattern.
pub fn folded(text: &str) -> Vec<char> {
    let letters: Vec<Letter> = text
        .chars()
        .map(|letter| Letter { character: letter, role: Role::Letter, start: 0, end: 0 })
        .collect();
    comparable(&letters).iter().filter(|it| it.role == Role::Letter).map(|it| it.character).collect()
}

/// Lower case, canonical decomposition, one form of apostrophes, hyphens and full-width signs.
fn comparable(letters: &[Letter]) -> Vec<Letter> {
    let mut folded: Vec<Letter> = Vec::with_capacity(letters.len());
    for source in letters {
        if source.role == Role::Tag || source.character.is_ascii() {
            folded.push(Letter { character: source.character.to_ascii_lowercase(), ..*source });
            continue;
        }
        for lower in plain(source.character).to_lowercase() {
            let role = if is_invisible(lower) { Role::Invisible } else { source.role };
            decompose_canonical(lower, |letter| folded.push(Letter { character: letter, role, ..*source }));
        }
    }
    // Canonical order: marks on one letter may be written in any order.
    let mut start = 0;
    while start < folded.len() {
        let class = |it: &Letter| canonical_combining_class(it.character);
        let marks =
            folded[start..].iter().take_while(|it| !it.character.is_ascii() && class(it) != 0).count();
        folded[start..start + marks].sort_by_key(class);
        start += marks.max(1);
    }
    folded
}

/// One sign for those that are typed for one another.
fn plain(letter: char) -> char {
    match letter {
        '\u{2018}' | '\u{2019}' | '\u{02bc}' | '\u{00b4}' | '\u{2032}' | '\u{ff07}' => '\'',
        '\u{2010}' | '\u{2011}' => '-',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(letter as u32 - 0xfee0).unwrap_or(letter),
        // Lower-casing a whole word ends it with the final form.
        'ς' => 'σ',
        other => other,
    }
}

fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Replaces what `meaning` recognises; `None` where there is nothing.
fn replace(letters: &[Letter], meaning: impl Fn(&[Letter]) -> Option<Escape>) -> Option<Vec<Letter>> {
    let mut replaced = Vec::with_capacity(letters.len());
    let (mut place, mut found) = (0, false);
    while let Some(letter) = letters.get(place) {
        let rest = &letters[place..];
        let Some((length, meant, role)) = meaning(rest) else {
            replaced.push(*letter);
            place += 1;
            continue;
        };
        let end = rest[length - 1].end;
        replaced.extend(meant.chars().map(|it| Letter { character: it, role, start: letter.start, end }));
        place += length;
        found = true;
    }
    found.then_some(replaced)
}

/// How many letters an escape takes, what they stand for, and its role.
type Escape = (usize, String, Role);

/// The escape that begins here.
fn escape(letters: &[Letter]) -> Option<Escape> {
    match letters.first()?.character {
        '\\' => backslash(letters),
        '&' => entity(letters),
        '%' => percent(letters),
        _ => None,
    }
}

fn text_of(letters: &[Letter]) -> String {
    letters.iter().map(|it| it.character).collect()
}

/// `\n`, `\"`, `\u00e9`, surrogates as a pair.
fn backslash(letters: &[Letter]) -> Option<Escape> {
    let unit = |at: usize| -> Option<u16> {
        let digits = letters.get(at..at + 6)?;
        if digits[0].character != '\\' || !matches!(digits[1].character, 'u' | 'U') {
            return None;
        }
        u16::from_str_radix(&text_of(&digits[2..]), 16).ok()
    };
    if let Some(first) = unit(0) {
        let pair = unit(6).map(|second| String::from_utf16(&[first, second]));
        return match (String::from_utf16(&[first]), pair) {
            (Ok(meant), _) => Some((6, meant, Role::Letter)),
            (Err(_), Some(Ok(meant))) => Some((12, meant, Role::Letter)),
            _ => None,
        };
    }
    let meant = match letters.get(1)?.character {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        sign @ ('"' | '\\' | '/') => sign,
        _ => return None,
    };
    Some((2, meant.to_string(), Role::Letter))
}

/// `&amp;`, `&#64;`, `&#x40;`.
fn entity(letters: &[Letter]) -> Option<Escape> {
    let length = letters.iter().take(MAX_ENTITY).position(|it| it.character == ';')? + 1;
    let written = text_of(&letters[..length]);
    let meant = html_escape::decode_html_entities(&written);
    (meant != written).then(|| (length, meant.into_owned(), Role::Letter))
}

/// `%40`, and the bytes of one character as `%C3%A9`.
fn percent(letters: &[Letter]) -> Option<Escape> {
    let mut bytes = Vec::new();
    let byte_at = |at: usize| {
        let sign = letters.get(at..at + 3).filter(|it| it[0].character == '%')?;
        u8::from_str_radix(&text_of(&sign[1..]), 16).ok()
    };
    while let Some(byte) = byte_at(3 * bytes.len()) {
        bytes.push(byte);
        if let Ok(meant) = std::str::from_utf8(&bytes) {
            return Some((3 * bytes.len(), meant.to_owned(), Role::Letter));
        }
        if bytes.len() == 4 {
            break;
        }
    }
    None
}

/// `<br/>`, `</b>`, `<span class="x">`: one blank. An address between angle brackets is no tag.
fn tag(letters: &[Letter]) -> Option<Escape> {
    let length = letters.iter().take(MAX_TAG).position(|it| it.character == '>')? + 1;
    let inside = &letters[1..length - 1];
    let inside =
        inside.strip_prefix(&inside[..usize::from(inside.first().is_some_and(|it| it.character == '/'))])?;
    let name: String = inside
        .iter()
        .map(|it| it.character.to_ascii_lowercase())
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    let ends = inside.get(name.len()).is_none_or(|it| it.character.is_whitespace() || it.character == '/');
    (ends && TAGS.contains(&name.as_str())).then(|| (length, " ".to_owned(), Role::Tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_reading(text: &str) -> String {
        let mut last = String::new();
        readings(text, |letters| last = letters.iter().map(|it| it.character).collect());
        last
    }

    #[test]
    fn escapes_of_every_kind_are_read() {
        for (text, meant) in [
            ("Ada", "ada"),
            ("a&#64;b", "a@b"),
            ("a&#x40;b", "a@b"),
            ("a&commat;b", "a@b"),
            ("a&amp;#64;b", "a@b"),
            ("a%40b%2Bc", "a@b+c"),
            ("a%26%2364%3Bb", "a@b"),
            (r"a\u0040b", "a@b"),
            (r"a\\u0040b", "a@b"),
            ("Tom&nbsp;O\u{2019}Neil", "tom\u{a0}o'neil"),
            ("S&ouml;hne", "so\u{308}hne"),
            ("%C3%B6", "o\u{308}"),
            (r"\ud83d\ude00", "\u{1f600}"),
            ("a<br/>b</b>c", "a b c"),
            ("<ada@x.example>", "<ada@x.example>"),
            ("100% of &c; %zz \\q", "100% of &c; %zz \\q"),
            ("ａ＠ｂ", "a@b"),
        ] {
            assert_eq!(last_reading(text), meant, "{text}");
        }
    }

    #[test]
    fn letters_know_their_place_in_the_source() {
        readings("x&#64;y", |letters| {
            let at = letters.iter().find(|it| it.character == '@');
            assert!(at.is_none_or(|it| (it.start, it.end) == (1, 6)), "{at:?}");
        });
    }

    #[test]
    fn marks_are_in_canonical_order() {
        assert_eq!(folded("a\u{323}\u{302}"), folded("a\u{302}\u{323}"));
        assert_eq!(folded("ậ"), folded("a\u{302}\u{323}"));
    }
}
