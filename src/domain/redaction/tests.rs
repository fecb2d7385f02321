//! Every spelling of rule 4 b, and what is none.

use super::*;
use crate::domain::identifiers::Phone;

fn redactor(addresses: &[&str], phones: &[&str], names: &[(&str, &str)]) -> Redactor {
    let texts = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
    let name =
        |(first, last): &(&str, &str)| FullName { first: (*first).to_owned(), last: (*last).to_owned() };
    Redactor::new(&Identifiers {
        addresses: texts(addresses),
        longer: BTreeSet::new(),
        phones: phones.iter().map(|it| Phone::of(it)).collect(),
        names: names.iter().map(name).collect(),
    })
}

fn zoe() -> Redactor {
    redactor(
        &["zoe.s@example.org", "zoe+crm@persönlich.example"],
        &["+48600700800", "5550199"],
        &[
            ("Zoë", "Strauß"),
            ("Zoë", "Lindt"),
            ("Tom", "O'Neil & Söhne"),
            ("明", "李"),
            ("민수", "김"),
            ("Ana María", "de la Cruz"),
        ],
    )
}

fn redacted(text: &str) -> Option<String> {
    zoe().redact(text, Style::Prose).map(|(text, _)| text)
}

#[test]
fn every_usual_spelling_is_found() {
    for (text, clean) in [
        ("mail zoe.s@example.ORG today", "mail [redacted] today"),
        ("ZOË STRAUẞ rang: +48 600 700 800.", "[redacted] rang: [redacted]."),
        ("Zoe\u{308} Strauß", "[redacted]"),
        ("Strauß, Zoë", "[redacted]"),
        ("Strauß Zoë", "[redacted]"),
        ("Zoë \n\t Strauß", "[redacted]"),
        ("Zoë&nbsp;Strauß, Zo&euml; Strau&szlig;", "[redacted], [redacted]"),
        ("Zoë%20Strauß and Zo%C3%AB+Strau%C3%9F", "[redacted] and [redacted]"),
        (r"Zo\u00eb Strau\u00df", "[redacted]"),
        (r#"{\"n\":\"Zo\u00eb Strau\u00df\"}"#, r#"{\"n\":\"[redacted]\"}"#),
        ("zoe.s&#64;example.org zoe.s&#x40;example.org", "[redacted] [redacted]"),
        ("zoe.s&amp;#64;example.org", "[redacted]"),
        (
            "<a href=\"mailto:zoe%2Bcrm%40pers%C3%B6nlich.example\">m</a>",
            "<a href=\"mailto:[redacted]\">m</a>",
        ),
        ("zoe+crm@xn--persnlich-37a.example", "[redacted]"),
        (r"zoe\u002bcrm\u0040persönlich.example", "[redacted]"),
        ("Tom O&#39;Neil &amp; S&ouml;hne called", "[redacted] called"),
        ("Tom O\u{2019}Neil &amp; Söhne", "[redacted]"),
        ("<b>Zoë</b> <i>Strauß</i>", "<b>[redacted]</b><i></i>"),
        ("Zoë<br/>Strauß", "[redacted]<br/>"),
        ("zoe.s@example.org;<zoe.s@example.org>.", "[redacted];<[redacted]>."),
        (r"line\nzoe.s@example.org\u000aZoë Strauß", r"line\n[redacted]\u000a[redacted]"),
        ("邮箱zoe.s@example.org今天Zoë Strauß见", "邮箱[redacted]今天[redacted]见"),
        ("昨天李明来了，李 明", "昨天[redacted]来了，[redacted]"),
        ("明·李", "[redacted]"),
        ("김민수는 왔다", "[redacted]는 왔다"),
        ("ANA   MARÍA DE LA\nCRUZ", "[redacted]"),
        ("de la Cruz, Ana María", "[redacted]"),
        ("0048600700800, 48-600-700-800, +48(600)700.800", "[redacted], [redacted], [redacted]"),
        ("tel:%2B48600700800", "tel:[redacted]"),
        ("&#43;48 600&nbsp;700&nbsp;800", "[redacted]"),
        ("call 2026-11-01 +48 600 700 800 2 times", "call 2026-11-01 [redacted] 2 times"),
        ("Once Zoë Lindt, 555-0199", "Once [redacted], [redacted]"),
        ("see cv_zoe.s@example.org.pdf", "see cv_[redacted].pdf"),
        ("zo\u{ad}e.s@exam\u{200b}ple.org", "[redacted]"),
        ("ｚｏｅ.ｓ＠example.org", "[redacted]"),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(clean), "{text}");
    }
}

#[test]
fn names_are_found_in_capitals_and_with_any_dash() {
    let names = [("İbrahim", "Yıldız"), ("Anna", "Nowak-Kot")];
    let person = redactor(&[], &[], &names);
    let redacted = |text: &str| person.redact(text, Style::Prose).map(|(text, _)| text);
    for (text, clean) in [
        ("İBRAHİM YILDIZ", "[redacted]"),
        ("IBRAHIM YILDIZ,", "[redacted],"),
        ("İbrahim Yıldız", "[redacted]"),
        ("yıldız, i\u{307}brahim", "[redacted]"),
        ("Anna Nowak\u{2013}Kot", "[redacted]"),
        ("ANNA NOWAK\u{2011}KOT", "[redacted]"),
        ("see cv_anna_nowak-kot.pdf", "see cv_[redacted].pdf"),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(clean), "{text}");
    }
    for text in ["Ibrahim Yildizoğlu", "Anna Nowak \u{2013} Kot", "Anna Nowak"] {
        assert_eq!(redacted(text), None, "{text}");
    }
}

#[test]
fn a_phone_number_is_found_with_and_without_its_country() {
    let person = redactor(&[], &["+44 20 7946 0958", "(212) 555-0199", "601 602 603"], &[]);
    let redacted = |text: &str| person.redact(text, Style::Prose).map(|(text, _)| text);
    for (text, clean) in [
        ("020 7946 0958", "[redacted]"),
        ("+44 (0)20 7946 0958", "[redacted]"),
        ("(020) 7946-0958 or 2079460958", "[redacted] or [redacted]"),
        ("0044 20 79460958", "[redacted]"),
        ("+1 212-555-0199", "[redacted]"),
        ("+1-212-555-0199, 212.555.0199", "[redacted], [redacted]"),
        ("ring 0048601602603 or +48 601-602-603", "ring [redacted] or [redacted]"),
        ("+420 601 602 603", "[redacted]"),
    ] {
        assert_eq!(redacted(text).as_deref(), Some(clean), "{text}");
    }
    for text in [
        "+49 20 7946 0958",
        "+449 601602603",
        "1601602603",
        "601 602 60",
        "12 2079460958.5",
        "+48-1-601602603",
    ] {
        assert_eq!(redacted(text), None, "{text}");
    }
}

#[test]
fn text_without_an_identifier_stays() {
    for text in [
        "",
        "Zoë called",
        "Strauß & sons",
        "ZOË STRAUSS",
        "Zoe Strauß",
        "oe.s@example.org",
        "azoe.s@example.org",
        "anna.zoe.s@example.org",
        "cv_zoe.s@example.org",
        "zoe.s@example.org.pl",
        "zoe.s@example.orgs",
        "zoe.s@example.org\u{308}",
        "Chezoë Strauß",
        "Zoë Straußberg",
        "Zoë, Strauß",
        "Zoë-Strauß",
        "Zoë and Strauß",
        "+48 600 700 80",
        "148600700800",
        "1555-0199",
        "22 555-0199",
        "555-0199 22",
        "555-01990",
        "5550199.50",
        "明天李先生",
    ] {
        assert_eq!(redacted(text), None, "{text}");
    }
    assert!(Redactor::default().redact("zoe.s@example.org", Style::Prose).is_none());
}

#[test]
fn file_names_separate_words_in_their_own_way() {
    for (name, clean) in [
        ("cv_zoe.s@example.org.pdf", "cv_[redacted].pdf"),
        ("2026-zoe.s@example.org", "2026-[redacted]"),
        ("zoe.s@example.org.heif", "[redacted].heif"),
        ("cv_Zoë_Strauß.pdf", "cv_[redacted].pdf"),
        ("strauß-zoë.docx", "[redacted].docx"),
    ] {
        let found = zoe().redact(name, Style::FileName);
        assert_eq!(found, Some((clean.to_owned(), 1)), "{name}");
    }
    for other in ["joezoe.s@example.org.pdf", "cv_zoe.s@example.org.net", "zoe.s@example.org.uk"] {
        assert!(zoe().redact(other, Style::FileName).is_none(), "{other}");
    }
}

#[test]
fn json_stays_json_of_the_same_types() {
    let fax = redactor(&["a@x.example"], &["5550199111"], &[]);
    for (document, clean) in [
        (
            r#"{"value":5550199111,"n":1.10,"big":12345678901234567890}"#,
            r#"{"value":0,"n":1.10,"big":12345678901234567890}"#,
        ),
        (r#"[ "a@x.example", null, true ]"#, r#"[ "[redacted]", null, true ]"#),
        (r#"{"a@x.example": 1, "A@x.example" : 2}"#, r#"{"[redacted]": 1, "[redacted] 2" : 2}"#),
        (r#"{"t":"a\u0040x.example \"q\"\n"}"#, r#"{"t":"[redacted] \"q\"\n"}"#),
        (
            r#"{"inner":"{\"value\":5550199111,\"to\":\"a@x.example\"}"}"#,
            r#"{"inner":"{\"value\":0,\"to\":\"[redacted]\"}"}"#,
        ),
        (r#"{"n":-5550199111,"t":"5550199111"}"#, r#"{"n":-5550199111,"t":"[redacted]"}"#),
    ] {
        let (found, _) = fax.redact_json(document).expect(document);
        assert_eq!(found, clean);
        serde_json::from_str::<serde_json::Value>(&found).expect("valid JSON");
    }
    assert!(fax.redact_json(r#"{"n":55501991110,"t":"b@x.example"}"#).is_none());
    assert!(fax.redact_json("a@x.example, not JSON").is_none());
}

#[test]
fn places_are_counted() {
    assert_eq!(zoe().redact("Zoë Strauß <zoe.s@example.org>", Style::Prose).map(|(_, count)| count), Some(2));
}

#[test]
fn addresses_are_told_from_what_surrounds_them() {
    let found = |text: &str, address: &str| addresses_in(text).contains(address);
    for (text, address) in [
        ("write to Ada@X.example.", "ada@x.example"),
        ("cv_ada@x.example.pdf", "ada@x.example"),
        ("q?to=ada%40x.example&b=1", "ada@x.example"),
        ("ada&#64;x.example", "ada@x.example"),
        (r"ada\u0040x.example", "ada@x.example"),
        ("zoe@xn--persnlich-37a.example", "zoe@persönlich.example"),
        ("zoe@persönlich.example", "zoe@xn--persnlich-37a.example"),
        ("zo\u{308}e@x.example", "zöe@x.example"),
    ] {
        assert!(found(text, address), "{text}: {:?}", addresses_in(text));
    }
    assert!(addresses_in("no address, 5 @ 3, a@b").is_empty());
}
