//! E-mail addresses as keys.

/// The form in which addresses are compared, indexed and hashed: trimmed, lower-cased by Unicode's rules.
///
/// Always computed here, never in SQL: SQLite's `lower` knows ASCII only.
pub fn address_key(address: &str) -> String {
    address.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::address_key;

    #[test]
    fn keys_ignore_case_and_blanks_beyond_ascii() {
        assert_eq!(address_key("  ÉLODIE@Example.ORG\t"), "élodie@example.org");
    }
}
