//! Exact comparison of decimal numbers, of any length and exponent, without ever computing a power of ten, and without
//! copying a digit.

use std::borrow::Cow;
use std::cmp::Ordering;

/// A number as sign, digits and the place of its decimal point; equal numbers are equal values.
#[derive(Clone, Debug)]
pub struct Decimal<'a> {
    negative: bool,
    /// How many digits stand before the point; zero and negative where the number is below one.
    magnitude: i64,
    /// The significant digits, in two parts as they were written, without leading or trailing zeros; empty for zero.
    digits: [Cow<'a, str>; 2],
}

/// A number without exponent, superfluous zeros or a minus before zero: one text for each number. What is no number, or has more
/// zeros than anybody writes, stays as it is.
pub fn plain(text: &str) -> String {
    const ZEROS: i64 = 400;
    let Some(Decimal { negative, magnitude, digits }) = Decimal::parse(text) else { return text.to_owned() };
    let digits = digits.concat();
    let digits = digits.trim_end_matches('0');
    let (Ok(count), false) = (i64::try_from(digits.len()), magnitude.abs() > ZEROS) else {
        return text.to_owned();
    };
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
    let sign = if negative { "-" } else { "" };
    match usize::try_from(magnitude) {
        _ if digits.is_empty() => "0".to_owned(),
        Ok(before) if magnitude > 0 && magnitude < count => {
            format!("{sign}{}.{}", &digits[..before], &digits[before..])
        }
        Ok(_) if magnitude > 0 => format!("{sign}{digits}{}", zeros(magnitude - count)),
        _ => format!("{sign}0.{}{digits}", zeros(-magnitude)),
    }
}

impl<'a> Decimal<'a> {
    /// Reads `-12.5`, `.5`, `5.`, `007`, `1e3`; blanks around it are ignored. `None`: no number.
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if mantissa.len() == usize::from(mantissa.contains('.'))
            || !whole.bytes().chain(fraction.bytes()).all(|digit| digit.is_ascii_digit())
        {
            return None;
        }
        let significant = whole.trim_start_matches('0');
        let after_zeros = fraction.trim_start_matches('0');
        let zeros = if significant.is_empty() { fraction.len() - after_zeros.len() } else { 0 };
        let magnitude =
            i64::try_from(significant.len()).ok()? - i64::try_from(zeros).ok()? + i64::from(exponent);
        let (whole, fraction) = match (significant, fraction.trim_end_matches('0')) {
            ("", "") => {
                return Some(Self { negative: false, magnitude: 0, digits: [Cow::from(""), Cow::from("")] });
            }
            ("", _) => ("", after_zeros.trim_end_matches('0')),
            (whole, "") => (whole.trim_end_matches('0'), ""),
            both => both,
        };
        Some(Self { negative, magnitude, digits: [whole.into(), fraction.into()] })
    }

    /// The same with digits of its own.
    pub fn into_owned(self) -> Decimal<'static> {
        let digits = self.digits.map(|part| Cow::Owned(part.into_owned()));
        Decimal { negative: self.negative, magnitude: self.magnitude, digits }
    }

    fn digits(&self) -> impl Iterator<Item = u8> {
        self.digits.iter().flat_map(|part| part.bytes())
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|part| part.is_empty())
    }

    fn compare_size(&self, other: &Decimal<'_>) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Both start with a non-zero digit, so the magnitude decides before any digit does.
            (false, false) => {
                self.magnitude.cmp(&other.magnitude).then_with(|| self.digits().cmp(other.digits()))
            }
        }
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn order_is_exact() {
        let ascending = [
            "-1e2147483647",
            "-10",
            "-9.99",
            "-0.1",
            "-1e-2147483648",
            "0",
            "1e-2147483648",
            "0.1",
            "0.1000000000000000000000001",
            "1",
            "9",
            "10",
            "10.01",
            "100",
            "1e2147483647",
        ];
        for pair in ascending.windows(2) {
            assert!(Decimal::parse(pair[0]) < Decimal::parse(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn one_number_has_many_spellings() {
        for (left, right) in [("1e3", "1000"), ("007", "7.0"), ("-0", "0"), (".5", "+0.50"), ("5.", "5")] {
            assert_eq!(Decimal::parse(left), Decimal::parse(right));
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", " ", ".", "-", "1e", "e3", "1,5", "0x10", "NaN", "inf", "--1", "1e99999999999", "१"]
        {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
