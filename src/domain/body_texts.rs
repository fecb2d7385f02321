//! What can be read in the body of a message, whatever its message said of it: an erasure has to find a person there.

use std::borrow::Cow;
use std::io::Read as _;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use super::members::read_strictly;
use super::rejection::MAX_BODY_BYTES;

/// So much of a packed body is searched, and what is packed in it so many times.
const MAX_SEARCHED_BYTES: u64 = 1 << 20;
const PACKED_DEPTH: usize = 3;
/// No address is in fewer letters of base64.
const MIN_BASE64: usize = 8;

/// Decodes base64 with padding and without.
const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A text without the mark that some editors and platforms put before it.
pub fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// What is kept of a body: all of it, or the beginning of one that is too long to be decided.
pub fn kept(body: &[u8]) -> Cow<'_, [u8]> {
    if !is_kept_whole(body) {
        let mut beginning = body[..=MAX_BODY_BYTES].to_vec();
        blank_last_word(&mut beginning);
        return beginning.into();
    }
    body.into()
}

/// Is a body short enough to be kept whole? One byte over the limit says that it was too long.
pub fn is_kept_whole(body: &[u8]) -> bool {
    body.len() <= MAX_BODY_BYTES + 1
}

/// Blanks the last word of a body that was cut, and keeps the length, which says that the body was too long. The word may be the
/// first half of an address, which an erasure would not recognise.
pub fn blank_last_word(body: &mut [u8]) {
    /// No address is longer (RFC 5321).
    const LONGEST_ADDRESS: usize = 320;
    let tail = body.len().saturating_sub(LONGEST_ADDRESS);
    let is_separator = |byte: &u8| byte.is_ascii_whitespace() || b"\"',;<>".contains(byte);
    let word = body[tail..].iter().rposition(is_separator).map_or(tail, |end| tail + end + 1);
    body[word..].fill(b' ');
}

/// The same event with its data as text where it is base64, and the beginning of what unpacks to more than an event may have:
/// who keeps it may have to find a person in it.
pub fn legible(event: &[u8]) -> Cow<'_, [u8]> {
    let legible = if is_gzip(event) { beginning(event) } else { written_out(event) };
    legible.map_or(Cow::Borrowed(event), Cow::Owned)
}

fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(b"\x1f\x8b")
}

/// Of a body that unpacks to more than an event may have, as much as shows that it is too long.
fn beginning(packed: &[u8]) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    // It may be cut off, and still have been too long before.
    let _ = MultiGzDecoder::new(packed).take(MAX_BODY_BYTES as u64 + 1).read_to_end(&mut unpacked);
    (unpacked.len() > MAX_BODY_BYTES).then(|| {
        blank_last_word(&mut unpacked);
        unpacked
    })
}

/// Can an erasure search all of a body? Bytes that are no text may hold a person in an encoding that [`texts_of`] does not read.
pub fn is_searchable(body: &[u8]) -> bool {
    is_searchable_within(body, PACKED_DEPTH)
}

fn is_searchable_within(body: &[u8], depth: usize) -> bool {
    if is_gzip(body) {
        return depth > 0 && is_searchable_within(&unpacked_part(body), depth - 1);
    }
    let is_text = match std::str::from_utf8(body) {
        Ok(text) => count_controls(text) * MAX_CONTROLS <= text.len(),
        // Of one byte a character, as in Latin-1, or broken.
        Err(_) => count_controls(&String::from_utf8_lossy(body)) == 0,
    };
    let is_utf16 = || {
        let decoded = utf16_texts(body);
        decoded
            .iter()
            .any(|text| !text.contains('\u{fffd}') && count_controls(text) * MAX_CONTROLS <= text.len())
    };
    if !is_text {
        return is_utf16();
    }
    data_in_base64(body).iter().all(|data| depth > 0 && is_searchable_within(data, depth - 1))
}

/// As much as there is of what was compressed, which may be cut off.
fn unpacked_part(body: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    let _ = MultiGzDecoder::new(body).take(MAX_SEARCHED_BYTES).read_to_end(&mut unpacked);
    unpacked
}

/// One character in so many may be a control character in a text.
const MAX_CONTROLS: usize = 20;

fn count_controls(text: &str) -> usize {
    text.chars().filter(|it| it.is_ascii_control() && !it.is_ascii_whitespace()).count()
}

/// What `data_base64` of an event, or of the events of a batch, holds.
fn data_in_base64(body: &[u8]) -> Vec<Vec<u8>> {
    let events = match serde_json::from_slice(without_bom(body)) {
        Ok(Value::Array(events)) => events,
        Ok(event) => vec![event],
        Err(_) => Vec::new(),
    };
    let data = events.iter().filter_map(|event| event.get("data_base64")?.as_str());
    data.filter_map(|data| ANY_PADDING.decode(data).ok()).collect()
}

fn utf16_texts(body: &[u8]) -> [String; 2] {
    [u16::from_le_bytes, u16::from_be_bytes].map(|unit| {
        let units: Vec<u16> = body.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    })
}

/// The texts that a body may be, whatever its message said of it: as it stands, and what is packed in it by gzip, base64 or UTF-16.
pub fn texts_of(body: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    add_texts(body, PACKED_DEPTH, &mut texts);
    texts
}

fn add_texts(body: &[u8], depth: usize, texts: &mut Vec<String>) {
    let text = String::from_utf8_lossy(body).into_owned();
    texts.push(text.clone());
    if depth > 0 {
        if is_gzip(body) {
            add_texts(&unpacked_part(body), depth - 1, texts);
        }
        // A line of base64 may be broken.
        let whole: String = text.chars().filter(|it| !it.is_ascii_whitespace()).collect();
        let is_of_base64 = |it: char| it.is_ascii_alphanumeric() || "+/-_".contains(it);
        let runs = text.split(|it| !is_of_base64(it)).chain(whole.split(|it| !is_of_base64(it)));
        for run in runs.filter(|run| run.len() >= MIN_BASE64) {
            let standard = run.replace('-', "+").replace('_', "/");
            if let Ok(decoded) = ANY_PADDING.decode(standard) {
                add_texts(&decoded, depth - 1, texts);
            }
        }
        if body.contains(&0) || body.starts_with(b"\xff\xfe") || body.starts_with(b"\xfe\xff") {
            texts.extend(utf16_texts(body));
        }
    }
}

fn written_out(event: &[u8]) -> Option<Vec<u8>> {
    let Value::Object(mut members) = read_strictly(without_bom(event), "$").ok()? else { return None };
    if members.contains_key("data") {
        return None;
    }
    let data = STANDARD.decode(members.remove("data_base64")?.as_str()?).ok()?;
    let data = String::from_utf8(data).ok()?;
    let data = read_strictly(without_bom(data.as_bytes()), "$").unwrap_or(Value::String(data));
    members.insert("data".to_owned(), data);
    serde_json::to_vec(&members).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    const EVENT: &str = r#"{"data": {"email": "zq@old.example", "name": "Zebulon Quirke"}, "id": "a-1"}"#;

    #[test]
    fn event_is_kept_with_its_data_as_text() {
        let event = |data: &str| format!("{{\"data_base64\":\"{}\",\"id\":\"x\"}}", STANDARD.encode(data));
        let legible = |event: &str| String::from_utf8(legible(event.as_bytes()).into_owned()).unwrap();
        assert_eq!(legible(&event("{\"a\":1}")), "{\"data\":{\"a\":1},\"id\":\"x\"}");
        assert_eq!(legible(&event("ada@x.example")), "{\"data\":\"ada@x.example\",\"id\":\"x\"}");
        for other in
            ["{\"data\":{} }", "{\"data_base64\":\"e30=\",\"data\":1}", "[]", "{\"data_base64\":\"*\"}"]
        {
            assert_eq!(legible(other), other);
        }
    }

    #[test]
    fn texts_in_the_encodings_that_are_read_are_searchable() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(EVENT.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        let latin: Vec<u8> = "{\"name\": \"J\u{fc}rgen M\u{fc}ller\"}".chars().map(|it| it as u8).collect();
        let marked: Vec<u8> =
            [0xfeff].into_iter().chain(EVENT.encode_utf16()).flat_map(u16::to_be_bytes).collect();
        for body in [
            EVENT.as_bytes(),
            b"",
            "{\"name\": \"\u{1} and one control character in a longer text\"}".as_bytes(),
            &latin,
            &marked,
            &EVENT.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
            &gzip,
            &gzip[..gzip.len() - 12],
            format!("{{\"data_base64\": \"{}\"}}", STANDARD.encode(EVENT)).as_bytes(),
        ] {
            assert!(is_searchable(body), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn bytes_in_other_encodings_are_not_searchable() {
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
        deflate.write_all(EVENT.as_bytes()).unwrap();
        let deflate = deflate.finish().unwrap();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
        zlib.write_all(EVENT.as_bytes()).unwrap();
        let mut packed_twice = GzEncoder::new(Vec::new(), Compression::best());
        packed_twice.write_all(&deflate).unwrap();
        let in_base64 = format!("{{\"data_base64\": \"{}\"}}", STANDARD.encode(&deflate));
        let batch = format!("[{{}}, {in_base64}]");
        for body in [
            &deflate,
            &zlib.finish().unwrap(),
            &packed_twice.finish().unwrap(),
            &EVENT.chars().flat_map(|it| (it as u32).to_be_bytes()).collect(),
            &EVENT.chars().flat_map(|it| (it as u32).to_le_bytes()).collect(),
            &in_base64.into_bytes(),
            &batch.into_bytes(),
        ] {
            assert!(!is_searchable(body), "{}", String::from_utf8_lossy(body));
        }
    }
}
