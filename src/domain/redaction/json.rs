//! Redacting JSON as JSON: only string literals, member names and numbers that have something to redact are written anew, every
//! other byte stays. The result is valid JSON with the same types.

use serde::de::IgnoredAny;

use super::REDACTED;

/// Redacts a JSON document; how often, and the new text. `None`: it has nothing to redact, or is not JSON.
pub fn redact(
    document: &str,
    redact_text: &dyn Fn(&str) -> Option<(String, u64)>,
    is_number: &dyn Fn(&str) -> bool,
) -> Option<(String, u64)> {
    serde_json::from_str::<IgnoredAny>(document).ok()?;
    let (mut clean, mut copied, mut count) = (String::new(), 0, 0);
    // A second redaction must not give a member the name of another.
    let mut names = document.matches(REDACTED).count();
    let bytes = document.as_bytes();
    let mut place = 0;
    while let Some(byte) = bytes.get(place) {
        let (end, replaced) = match byte {
            b'"' => {
                let end = end_of_string(bytes, place);
                let literal = &document[place..end];
                let is_name = document[end..].trim_start().starts_with(':');
                let replaced =
                    serde_json::from_str::<String>(literal).ok().and_then(|text| redact_text(&text));
                let replaced = replaced.map(|(text, times)| {
                    count += times;
                    if is_name && names > 0 {
                        quoted(&format!("{text} {}", names + 1))
                    } else {
                        quoted(&text)
                    }
                });
                names += usize::from(is_name && replaced.is_some());
                (end, replaced)
            }
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[place..];
                let length =
                    rest.iter().position(|it| !matches!(it, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
                let end = place + length.unwrap_or(rest.len());
                let found = is_number(&document[place..end]);
                count += u64::from(found);
                (end, found.then(|| "0".to_owned()))
            }
            _ => (place + 1, None),
        };
        if let Some(replaced) = replaced {
            clean.push_str(&document[copied..place]);
            clean.push_str(&replaced);
            copied = end;
        }
        place = end;
    }
    (count > 0).then(|| {
        clean.push_str(&document[copied..]);
        (clean, count)
    })
}

/// Behind the closing quote of the literal that begins here.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut place = start + 1;
    loop {
        match bytes.get(place) {
            Some(b'\\') => place += 2,
            Some(b'"') | None => return (place + 1).min(bytes.len()),
            Some(_) => place += 1,
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
