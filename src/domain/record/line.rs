//! A line as JSON, with the ids of `members` read into numbers: a segment of a million members takes eight megabytes of
//! memory, where it would take hundreds as a tree of JSON.

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::domain::members::{FieldError, Members, Strict, parse_id, parse_id_text, step};

/// A line, read.
pub(super) struct Line {
    /// Without the member `members`.
    pub value: Value,
    pub members: Ids,
}

/// The member `members` of a line.
#[derive(Default)]
pub(super) enum Ids {
    #[default]
    Missing,
    NoList,
    /// The item at this place is no id.
    NoId(usize),
    List(Vec<i64>),
}

impl Ids {
    /// Those of a record that was read whole.
    pub fn of(record: &Value) -> Self {
        let Some(members) = record.get("members") else { return Self::Missing };
        let Some(items) = members.as_array() else { return Self::NoList };
        let ids = items.iter().map(parse_id);
        match ids.clone().position(|id| id.is_none()) {
            Some(at) => Self::NoId(at),
            None => Self::List(ids.flatten().collect()),
        }
    }

    /// The ids in order, each once.
    pub fn into_ids(self, members: &Members<'_>) -> Result<Vec<i64>, FieldError> {
        match self {
            // Taken for none it would empty the segment, and with it a suppression.
            Self::Missing | Self::NoList => Err(members.fault("members", "must be a list")),
            Self::NoId(at) => {
                Err(members.fault(&format!("members[{at}]"), "must be a positive 64-bit integer"))
            }
            Self::List(mut ids) => {
                ids.sort_unstable();
                ids.dedup();
                Ok(ids)
            }
        }
    }
}

/// Why a line cannot be read.
pub(super) enum Unread {
    /// A member is there twice, at this place: of two values either could be meant.
    Twice(String),
    NotJson(serde_json::Error),
}

impl Line {
    pub fn read(text: &str) -> Result<Self, Unread> {
        let twice = Cell::new(None);
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = reader.deserialize_any(LineVisitor(&twice)).and_then(|line| reader.end().map(|()| line));
        read.map_err(|error| twice.take().map_or(Unread::NotJson(error), Unread::Twice))
    }
}

struct LineVisitor<'a>(&'a Cell<Option<String>>);

impl LineVisitor<'_> {
    /// The place of a member within the line.
    fn found_twice(&self, path: &str) {
        self.0.set(Some(path.trim_start_matches('.').to_owned()));
    }
}

impl<'de> Visitor<'de> for LineVisitor<'_> {
    type Value = Line;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Line, A::Error> {
        let (mut object, mut members) = (Map::new(), None);
        while let Some(name) = access.next_key::<String>()? {
            if object.contains_key(&name) || name == "members" && members.is_some() {
                self.found_twice(&step(&name));
                return Err(A::Error::custom("a member is there twice"));
            }
            if name == "members" {
                members = Some(access.next_value()?);
            } else {
                let within = Cell::new(None);
                let value = access.next_value_seed(Strict(&within)).inspect_err(|_| {
                    if let Some(path) = within.take() {
                        self.found_twice(&(step(&name) + &path));
                    }
                })?;
                object.insert(name, value);
            }
        }
        let members = members.unwrap_or_default();
        Ok(Line { value: Value::Object(object), members })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Line, A::Error> {
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(NO_OBJECT)
    }

    fn visit_str<E>(self, _: &str) -> Result<Line, E> {
        Ok(NO_OBJECT)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Line, E> {
        Ok(NO_OBJECT)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Line, E> {
        Ok(NO_OBJECT)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Line, E> {
        Ok(NO_OBJECT)
    }

    fn visit_unit<E>(self) -> Result<Line, E> {
        Ok(NO_OBJECT)
    }
}

/// JSON that is no object, which no record is.
const NO_OBJECT: Line = Line { value: Value::Null, members: Ids::Missing };

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdsVisitor)
    }
}

struct IdsVisitor;

impl<'de> Visitor<'de> for IdsVisitor {
    type Value = Ids;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Ids, A::Error> {
        let (mut ids, mut no_id, mut at) = (Vec::new(), None, 0);
        while let Some(Id(id)) = items.next_element()? {
            match id {
                Some(id) if no_id.is_none() => ids.push(id),
                None => no_id = no_id.or(Some(at)),
                Some(_) => {}
            }
            at += 1;
        }
        Ok(no_id.map_or(Ids::List(ids), Ids::NoId))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Ids, A::Error> {
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Ids::NoList)
    }

    fn visit_str<E>(self, _: &str) -> Result<Ids, E> {
        Ok(Ids::NoList)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Ids, E> {
        Ok(Ids::NoList)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Ids, E> {
        Ok(Ids::NoList)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Ids, E> {
        Ok(Ids::NoList)
    }

    fn visit_unit<E>(self) -> Result<Ids, E> {
        Ok(Ids::Missing)
    }
}

/// One item of a list of ids; `None` where it is no id.
struct Id(Option<i64>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor).map(Self)
    }
}

struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = Option<i64>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an id")
    }

    fn visit_str<E>(self, text: &str) -> Result<Option<i64>, E> {
        Ok(parse_id_text(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Option<i64>, E> {
        Ok(i64::try_from(number).ok().filter(|id| *id > 0))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<i64>, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Option<i64>, A::Error> {
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Option<i64>, A::Error> {
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}
