//! A line as JSON, with the ids of `members` read into numbers: a segment of a million members takes eight megabytes of
//! memory, where it would take hundreds as a tree of JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::domain::members::{Fault, Members, parse_id_text};

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
    /// The ids in order, each once.
    pub fn into_ids(self, members: &Members<'_>) -> Result<Vec<i64>, Fault> {
        match self {
            Self::Missing => Ok(Vec::new()),
            Self::NoList => Err(members.fault("members", "must be a list")),
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

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Line, A::Error> {
        let (mut object, mut members) = (Map::new(), Ids::Missing);
        while let Some(name) = access.next_key::<String>()? {
            if name == "members" {
                members = access.next_value()?;
            } else {
                object.insert(name, access.next_value()?);
            }
        }
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

    fn visit_f64<E>(self, _: f64) -> Result<Line, E> {
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

    fn visit_f64<E>(self, _: f64) -> Result<Ids, E> {
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

    fn visit_f64<E>(self, _: f64) -> Result<Option<i64>, E> {
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
