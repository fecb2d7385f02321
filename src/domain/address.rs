//! E-mail addresses.

/// The form in which addresses are compared, indexed and hashed: trimmed, lower-cased by Unicode's rules.
///
/// Always computed here, never in SQL: SQLite's `lower` knows ASCII only.
pub fn address_key(address: &str) -> String {
    address.trim().to_lowercase()
}

/// Is it one address and nothing else: no `Name <a@b>`, no `mailto:`, no list?
pub fn is_plain_address(text: &str) -> bool {
    let is_word = |part: &str| {
        !part.is_empty()
            && !part.chars().any(|it| it.is_whitespace() || it.is_control() || "@<>()[],;:\"\\".contains(it))
    };
    let Some((local, domain)) = text.trim().split_once('@') else { return false };
    is_word(local) && is_word(domain) && domain.split('.').all(|label| !label.is_empty())
}

/// Is it a plain address whatever it stands in? Its domain has a dot.
pub fn has_address_shape(text: &str) -> bool {
    is_plain_address(text) && text.rsplit_once('@').is_some_and(|(_, domain)| domain.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ignore_case_and_blanks_beyond_ascii() {
        assert_eq!(address_key("  ÉLODIE@Example.ORG\t"), "élodie@example.org");
    }

    #[test]
    fn keys_tell_letters_apart_that_case_folding_does_not() {
        assert_ne!(address_key("strauß@x.example"), address_key("strauss@x.example"));
    }

    #[test]
    fn a_plain_address_is_one_address_and_nothing_else() {
        for address in [
            "a@x.example",
            " Ada.Lov+crm@sub.x.example ",
            "o'neil@x.example",
            "zoë@persönlich.example",
            "root@localhost",
            "ada@x.example\n",
        ] {
            assert!(is_plain_address(address), "{address}");
        }
        for other in [
            "",
            "ada",
            "@x.example",
            "ada@",
            "ada@x..example",
            "Ada <ada@x.example>",
            "<ada@x.example>",
            "mailto:ada@x.example",
            "a@x.example, b@x.example",
            "a@x.example;b@x.example",
            "a@x.example b@x.example",
            "a@b@x.example",
            "ada@x.exam\u{7}ple",
        ] {
            assert!(!is_plain_address(other), "{other}");
        }
        assert!(has_address_shape("a@x.example") && !has_address_shape("root@localhost"));
    }
}
