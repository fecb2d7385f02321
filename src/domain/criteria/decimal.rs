//! Exact comparison of decimal numbers, of any length and exponent, without ever computing a power of ten.

use std::cmp::Ordering;

/// A number as sign, digits and the place of its decimal point; equal numbers are equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// How many digits stand before the point; zero and negative where the number is below one.
    magnitude: i64,
    /// Significant digits, without leading or trailing zeros; empty for zero.
    digits: Vec<u8>,
}

impl Decimal {
    /// Reads `-12.5`, `.5`, `5.`, `007`, `1e3`; blanks around it are ignored. `None`: no number.
    pub fn parse(text: &str) -> Option<Self> {
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
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        let trailing = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        if leading == digits.len() {
            return Some(Self { negative: false, magnitude: 0, digits: Vec::new() });
        }
        let magnitude = i64::try_from(whole.len()).ok()? - i64::try_from(leading).ok()? + i64::from(exponent);
        Some(Self { negative, magnitude, digits: digits[leading..digits.len() - trailing].to_vec() })
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Both start with a non-zero digit, so the magnitude decides before any digit does.
            (false, false) => {
                self.magnitude.cmp(&other.magnitude).then_with(|| self.digits.cmp(&other.digits))
            }
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Decimal {
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
