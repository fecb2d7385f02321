//! E-mail addresses as keys.

/// The form in which addresses are compared, indexed and hashed: trimmed, lower-cased by Unicode's rules.
///
/// Always computed here, never in SQL: SQLite's `lower` knows ASCII only.
pub fn address_key(address: &str) -> String {
    address.trim().to_lowercase()
}

/// Is it one address and nothing else? What a mail server or a header could read as something more, such as a list
/// of addresses or a second header, is not plain.
pub fn is_plain_address(text: &str) -> bool {
    let suspicious = |sign: char| sign.is_whitespace() || sign.is_control() || "<>()[]\\,;:\"".contains(sign);
    let (name, host) = text.split_once('@').unwrap_or_default();
    !name.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(suspicious)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ignore_case_and_blanks_beyond_ascii() {
        assert_eq!(address_key("  ÉLODIE@Example.ORG\t"), "élodie@example.org");
    }

    #[test]
    fn more_than_one_address_is_not_plain() {
        for plain in ["ada@example.org", "o'brien+x@münchen.example", "reaper@localhost"] {
            assert!(is_plain_address(plain), "{plain}");
        }
        let lines = "a@b.example\r\nBcc: c@d.example";
        for other in ["", "ada", "@b", "a@", "a@b@c", "a@b,c@d", "a b@c", lines, "A <a@b>", "\"a\"@b"] {
            assert!(!is_plain_address(other), "{other:?}");
        }
    }
}
