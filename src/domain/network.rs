//! Errors of connections in words that say what to mend.

use std::io::{Error, ErrorKind};

/// What an input or output error means, where its own words do not say.
pub fn explain(error: &Error) -> Option<String> {
    let text = error.to_string();
    match error.kind() {
        // As bad data the library of TLS speaks of what it does not accept, certificates above all.
        ErrorKind::InvalidData => Some(explain_tls(&text)),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some(format!("{text}: the disk may be full"))
        }
        // The kind is one without a name, so the standard library's words tell it.
        _ => {
            let (_, cause) = text.split_once("failed to lookup address information: ")?;
            Some(format!("name not found: the host's name leads to no address ({cause})"))
        }
    }
}

/// What was wrong with TLS, and with the certificate if it was that, by the words of the library of TLS.
pub fn explain_tls(text: &str) -> String {
    let meaning = [
        ("UnknownIssuer", "the certificate is signed by an unknown authority"),
        ("xpired", "the certificate has expired"),
        ("not valid for name", "the certificate is for another name"),
        ("NotValidForName", "the certificate is for another name"),
        ("not valid yet", "the certificate is not valid yet"),
        ("NotValidYet", "the certificate is not valid yet"),
        ("Revoked", "the certificate was revoked"),
        ("CertificateRequired", "the server asks for a client's certificate"),
    ];
    match meaning.iter().find(|(words, _)| text.contains(words)) {
        Some((_, meaning)) => format!("TLS failed: {meaning} ({text})"),
        None => format!("TLS failed: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_full_disks_are_told_from_other_failures() {
        let unknown = Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(
            explain(&unknown).unwrap(),
            "name not found: the host's name leads to no address (Name or service not known)"
        );
        assert!(explain(&ErrorKind::StorageFull.into()).unwrap().ends_with(": the disk may be full"));
        assert_eq!(explain(&ErrorKind::ConnectionRefused.into()), None);
    }

    #[test]
    fn a_certificate_is_told_by_what_is_wrong_with_it() {
        for (said, meaning) in [
            ("invalid peer certificate: UnknownIssuer", "signed by an unknown authority"),
            ("invalid peer certificate: Expired", "has expired"),
            ("invalid peer certificate: certificate expired: verification time 3", "has expired"),
            ("invalid peer certificate: certificate not valid for name \"a.example\"", "for another name"),
            ("invalid peer certificate: NotValidYet", "not valid yet"),
            ("received fatal alert: CertificateRequired", "asks for a client's certificate"),
        ] {
            let explained = explain(&Error::new(ErrorKind::InvalidData, said)).unwrap();
            assert!(explained.contains(meaning) && explained.ends_with(&format!("({said})")), "{explained}");
        }
        assert_eq!(explain_tls("received corrupt message"), "TLS failed: received corrupt message");
    }
}
