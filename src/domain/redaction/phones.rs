//! Phone numbers in texts: by their digits, with the usual signs between them, with and without the country.

use super::letters::{Letter, Role};
use crate::domain::identifiers::{Phone, country_code};

/// From so many digits on a phone number is complete, and digits next to it after a blank belong to something else.
const COMPLETE_NUMBER: usize = 9;

/// A phone number in one of its spellings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    pub digits: Vec<char>,
    prefix: Prefix,
}

/// What may stand before the digits of a phone number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Prefix {
    /// The 0, or the code of any country: the person's number was written without one.
    AnyCountry,
    /// `+` or `00`: the digits begin with the country code.
    International,
    /// The 0 of calls within the country. A country code there is another country's.
    National,
}

impl Number {
    /// Where a phone number that begins here begins with its sign, and ends: its digits, with the usual signs between them.
    pub fn found_at(&self, letters: &[Letter], start: usize) -> Option<(usize, usize)> {
        let Self { digits, prefix } = self;
        let zeros = if *prefix == Prefix::International { "00" } else { "0" };
        let prefixed: Vec<char> = zeros.chars().chain(digits.iter().copied()).collect();
        let end = digits_at(letters, start, &prefixed).or_else(|| digits_at(letters, start, digits))?;
        let is_digit = |it: Option<&Letter>| it.is_some_and(|it| it.character.is_ascii_digit());
        let parted = |it: &Letter| {
            digits.len() >= COMPLETE_NUMBER && (it.role == Role::Tag || it.character.is_whitespace())
        };
        // A sign, and a digit behind it: the number goes on.
        let goes_on = |sign: Option<&Letter>, next: Option<&Letter>| {
            is_digit(sign)
                || sign.is_some_and(|it| is_phone_sign(it) && it.character != '+' && !parted(it))
                    && is_digit(next)
        };
        let before = |distance: usize| start.checked_sub(distance).and_then(|place| letters.get(place));
        if goes_on(letters.get(end), letters.get(end + 1)) {
            return None;
        }
        match (prefix, international_before(letters, start)) {
            (_, None) => {}
            (Prefix::AnyCountry, Some((from, true))) => return Some((from, end)),
            (_, Some(_)) => return None,
        }
        let mut from = start;
        if before(1).is_some_and(|it| it.character == '(')
            && letters[start..end].iter().any(|it| it.character == ')')
        {
            from -= 1;
        }
        if from > 0 && letters[from - 1].character == '+' {
            return Some((from - 1, end));
        }
        (!goes_on(before(1), before(2))).then_some((from, end))
    }
}

/// The spellings of a phone number: with its country, and as it is dialled within it.
pub fn numbers(phone: &Phone) -> Vec<Number> {
    /// Fewer digits may be a number of anything.
    const NATIONAL: usize = 8;
    let number = |digits: &str, prefix| Number { digits: digits.chars().collect(), prefix };
    let prefix = if phone.is_international { Prefix::National } else { Prefix::AnyCountry };
    let national = phone.national();
    let within = (national.len() >= NATIONAL).then(|| number(national, prefix));
    [Some(number(&phone.digits, Prefix::International)), within].into_iter().flatten().collect()
}

/// Stands between the digits of a phone number.
fn is_phone_sign(it: &Letter) -> bool {
    it.role != Role::Letter || it.character.is_whitespace() || "-./()+\u{2013}".contains(it.character)
}

/// How many letters from here on are signs between two digits of a phone number; the 0 of `+44 (0)20` is one.
fn phone_signs(letters: &[Letter]) -> usize {
    /// `) (0) (` the most.
    const SIGNS: usize = 7;
    let is = |place: usize, character: char| letters.get(place).is_some_and(|it| it.character == character);
    let mut place = 0;
    while place < SIGNS {
        if is(place, '(') && is(place + 1, '0') && is(place + 2, ')') {
            place += 3;
        } else if letters.get(place).is_some_and(is_phone_sign) {
            place += 1;
        } else {
            break;
        }
    }
    place
}

/// Where these digits end, that begin here, with the usual signs between them.
fn digits_at(letters: &[Letter], mut place: usize, digits: &[char]) -> Option<usize> {
    for (index, digit) in digits.iter().enumerate() {
        if index > 0 {
            place += phone_signs(&letters[place..]);
        }
        if letters.get(place).is_none_or(|it| it.character != *digit) {
            return None;
        }
        place += 1;
    }
    Some(place)
}

/// Where a number with `+` or `00` begins whose first digits stand before this place, and are those a country code?
fn international_before(letters: &[Letter], place: usize) -> Option<(usize, bool)> {
    /// A `+`, some digits, and signs behind them, perhaps a 0 in parentheses.
    const REACH: usize = 14;
    (place.saturating_sub(REACH)..place).find_map(|start| {
        let rest = &letters[start..place];
        let prefix = match rest {
            [plus, ..] if plus.character == '+' => 1,
            [first, second, ..] if first.character == '0' && second.character == '0' => 2,
            _ => return None,
        };
        let digits: String =
            rest[prefix..].iter().map(|it| it.character).take_while(char::is_ascii_digit).collect();
        let stands_alone = start
            .checked_sub(1)
            .and_then(|it| letters.get(it))
            .is_none_or(|it| !it.character.is_ascii_digit());
        let signs = rest.len() - prefix - digits.len();
        let is_before =
            !digits.is_empty() && stands_alone && phone_signs(&rest[prefix + digits.len()..]) == signs;
        is_before.then_some((start, country_code(&digits) == digits.len()))
    })
}
