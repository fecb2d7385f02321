//! Reading JSON objects that others wrote, so that a fault can say where it is.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::time::{Time, parse_time};

/// A member that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the member.
    pub place: String,
    /// What it must be; never what it is.
    pub expected: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.expected)
    }
}

/// A JSON object and where it stands.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    members: &'a Map<String, Value>,
    place: Cow<'static, str>,
}

impl<'a> Members<'a> {
    /// The members of an object. An empty `place` is the document itself.
    ///
    /// # Errors
    ///
    /// Where the value is no object.
    pub fn of(value: &'a Value, place: impl Into<Cow<'static, str>>) -> Result<Self, FieldError> {
        let place = place.into();
        match value {
            Value::Object(members) => Ok(Self { members, place }),
            _ => Err(FieldError { place: place.into_owned(), expected: "must be an object".to_owned() }),
        }
    }

    /// A member that may be missing; null is missing.
    pub fn optional(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A member that must be there.
    ///
    /// # Errors
    ///
    /// As all readers here: a [`FieldError`] with the member's place.
    pub fn required(&self, name: &str) -> Result<&'a Value, FieldError> {
        self.optional(name).ok_or_else(|| self.fault(name, "missing"))
    }

    /// A non-empty string.
    pub fn text(&self, name: &str) -> Result<&'a str, FieldError> {
        match self.required(name)?.as_str() {
            // U+0000 is no character to PostgreSQL: what one database takes the other must take.
            Some(text) if !text.is_empty() && !text.contains('\0') => Ok(text),
            _ => Err(self.fault(name, "must be a non-empty string")),
        }
    }

    /// A time.
    pub fn time(&self, name: &str) -> Result<Time, FieldError> {
        let time = self.required(name)?.as_str().and_then(parse_time);
        time.ok_or_else(|| self.fault(name, "must be an RFC 3339 time"))
    }

    /// An id: a decimal string, or an integer as some producers write it.
    pub fn id(&self, name: &str) -> Result<i64, FieldError> {
        parse_id(self.required(name)?)
            .ok_or_else(|| self.fault(name, "must be a decimal string from 1 to 2^63-1"))
    }

    /// A boolean that may be missing.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, FieldError> {
        match self.optional(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.fault(name, "must be true or false")),
        }
    }

    /// A list that may be missing, which means empty.
    pub fn list(&self, name: &str) -> Result<&'a [Value], FieldError> {
        match self.optional(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(self.fault(name, "must be a list")),
        }
    }

    /// A member object.
    pub fn object(&self, name: &str) -> Result<Self, FieldError> {
        Self::of(self.required(name)?, self.path(name))
    }

    /// The objects of a list.
    pub fn objects(&self, name: &str) -> Result<Vec<Self>, FieldError> {
        let item = |(index, item)| Self::of(item, self.path(&format!("{name}[{index}]")));
        self.list(name)?.iter().enumerate().map(item).collect()
    }

    /// All members, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.members.iter()
    }

    /// A fault of the member.
    pub fn fault(&self, name: &str, expected: &str) -> FieldError {
        FieldError { place: self.path(name), expected: expected.to_owned() }
    }

    fn path(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }
}

/// The items of a list, or the one value itself.
pub fn one_or_list(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// A member that is there and not null.
pub fn non_null<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|member| !member.is_null())
}

/// An id as the vendor writes it (a decimal string) or as some producers do (an integer).
pub fn parse_id(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => parse_id_text(text),
        Value::Number(number) => number.as_i64().filter(|id| *id > 0),
        _ => None,
    }
}

/// A decimal string without sign, blanks or leading zeros, from 1 to 2^63 - 1.
pub fn parse_id_text(text: &str) -> Option<i64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if canonical { text.parse().ok() } else { None }
}

/// Why a text is not read.
#[derive(Debug)]
pub struct Unread {
    /// As JSON's reader says it, with line and column.
    pub error: serde_json::Error,
    /// The place of the member that is there twice, where that is the reason.
    pub twice: Option<String>,
}

/// Reads JSON in which no object has a member twice: of two the first would be lost without a word, and with it a
/// condition.
///
/// # Errors
///
/// Where it is no JSON, or which member is there twice, with line and column.
pub fn parse_strictly(text: &str) -> Result<Value, serde_json::Error> {
    read_strictly(text.as_bytes(), "$").map_err(|unread| unread.error)
}

/// As [`parse_strictly`], of a document that stands at this place.
///
/// # Errors
///
/// As [`parse_strictly`], with the place of a member that is there twice.
pub fn read_strictly(text: &[u8], place: &str) -> Result<Value, Unread> {
    let twice = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Strict(&twice).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| Unread { error, twice: twice.take().map(|path| format!("{place}{path}")) })
}

/// Numbers keep all their digits, for one with many may be a key, such as that of a SIM card: rounded it would be another one. The
/// reader of JSON shows a number that is no 64-bit integer as an object with this one member, which has its text.
const NUMBER: &str = "$serde_json::private::Number";

/// The longest number, in bytes: both databases take it.
const MAX_NUMBER_BYTES: usize = 1000;

/// The text of a number, as the reader of JSON shows it. It hands the text over; that of a member of such a name in a document it lends.
struct Digits;

impl<'de> DeserializeSeed<'de> for Digits {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Digits {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Value, E> {
        Err(E::custom("an object is no number, whatever its member is called"))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Value, E> {
        let size = text.parse::<f64>().map_err(E::custom)?.abs();
        let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
        let is_zero = !mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
        if text.len() > MAX_NUMBER_BYTES || size.is_infinite() || (size == 0.0 && !is_zero) {
            return Err(E::custom("a number is too large, too small or too long"));
        }
        text.parse().map(Value::Number).map_err(E::custom)
    }
}

/// With the path from here to a member that is there twice; each level that is left puts its own step before it.
#[derive(Clone, Copy)]
pub struct Strict<'a>(pub &'a Cell<Option<String>>);

impl Strict<'_> {
    fn within(self, step: impl FnOnce() -> String) {
        if let Some(path) = self.0.take() {
            self.0.set(Some(step() + &path));
        }
    }
}

/// A name that is no plain word may be somebody's, such as an address: it is not told.
pub fn step(name: &str) -> String {
    if name.len() <= 40 && is_word(name) { format!(".{name}") } else { ".*".to_owned() }
}

/// Is a name a plain word?
pub fn is_word(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        loop {
            match items.next_element_seed(self) {
                Ok(Some(item)) => read.push(item),
                Ok(None) => return Ok(Value::Array(read)),
                Err(error) => {
                    self.within(|| format!("[{}]", read.len()));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = serde_json::Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == NUMBER {
                return members.next_value_seed(Digits);
            }
            if read.contains_key(&name) {
                self.0.set(Some(step(&name)));
                return Err(A::Error::custom(format!("the member {name} is there twice")));
            }
            let value = members.next_value_seed(self).inspect_err(|_| self.within(|| step(&name)))?;
            read.insert(name, value);
        }
        Ok(Value::Object(read))
    }
}
