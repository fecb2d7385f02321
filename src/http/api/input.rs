//! What a request says, read strictly: an unknown member, a wrong type or a member too many is an error of its sender.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::problem::Problem;
use crate::domain::criteria::plain;
use crate::domain::members::{parse_id_text, parse_strictly};
use crate::domain::object_type::{RecordKey, is_type, name_of};
use crate::domain::time::{Time, parse_time};
use crate::http::limits;
use crate::store::db::query::ListCursor;

/// The most rows of a list.
const MAX_LIMIT: u32 = 1000;
/// The longest text, in characters.
const MAX_WORDS: usize = 250;

/// The parameters behind the question mark.
pub struct StrictQuery<T>(pub T);

/// The names within the path.
pub struct StrictPath<T>(pub T);

/// The JSON document in the body.
pub struct StrictJson<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for StrictQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = Query::try_from_uri(&parts.uri);
        query.map(|Query(asked)| Self(asked)).map_err(|error| Problem::malformed(error.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for StrictPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(named)| Self(named)).map_err(|error| Problem::malformed(error.body_text()))
    }
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for StrictJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        if kind.as_deref() != Some("application/json") {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::new(status, "unsupported_type", "the body must be application/json"));
        }
        let body = limits::body_of(&request)?;
        let text = std::str::from_utf8(&body).map_err(|_| Problem::malformed("the body is no UTF-8"))?;
        let document = parse_strictly(text).map_err(|error| Problem::malformed(error.to_string()))?;
        // A list would be taken for the members in their order, and an empty one for a wish without any.
        if !document.is_object() {
            return Err(Problem::malformed("the body must be a JSON object"));
        }
        serde_json::from_value(document).map(Self).map_err(|error| Problem::malformed(error.to_string()))
    }
}

/// An id: a decimal text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(pub i64);

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_id_text(&text).map(Self).ok_or("an id is a positive 64-bit integer as a text")
    }
}

/// A record that is no contact, such as `deal:30`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Record(pub RecordKey);

impl TryFrom<String> for Record {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        RecordKey::parse(&text).map(Self).ok_or("a record is a type and an id, such as deal:30")
    }
}

/// A type of records, such as `deal`, `0-3` or `2-134`, by its one name.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct ObjectType(pub String);

impl TryFrom<String> for ObjectType {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let named = is_type(&text).then(|| Self(name_of(&text).to_owned()));
        named.ok_or("a type of records is such as deal, 0-3 or 2-134")
    }
}

/// A text that both databases take.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(pub String);

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = !text.is_empty() && text.chars().count() <= MAX_WORDS && !text.contains('\0');
        fits.then_some(Self(text)).ok_or("a text has 1 to 250 characters and no U+0000")
    }
}

/// How many rows of a list.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u32")]
pub struct Limit(pub usize);

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl TryFrom<u32> for Limit {
    type Error = &'static str;

    fn try_from(limit: u32) -> Result<Self, Self::Error> {
        let fits = (1..=MAX_LIMIT).contains(&limit);
        usize::try_from(limit).ok().filter(|_| fits).map(Self).ok_or("a limit is 1 to 1000")
    }
}

/// A time, RFC 3339.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Timestamp(pub Time);

impl TryFrom<String> for Timestamp {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        parse_time(&text).map(Self).ok_or("a time is written like 2026-11-21T10:00:00Z")
    }
}

/// Where a list goes on: what the `Link` to the next page carries, and nobody has to understand.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Cursor(pub ListCursor);

impl TryFrom<String> for Cursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts: Option<Vec<i64>> = text.split('-').map(|part| part.parse().ok()).collect();
        let place = match parts.as_deref() {
            Some([micros, id, part]) => {
                Time::from_timestamp_micros(*micros).map(|at| ListCursor { at, id: *id, part: *part })
            }
            _ => None,
        };
        place.map(Self).ok_or("a cursor is taken from the Link of the page before")
    }
}

/// From where on changes are asked for: the cursor of an answer, or a time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Since(pub ListCursor);

impl TryFrom<String> for Since {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Some(at) = parse_time(&text) {
            return Ok(Self(ListCursor { at, id: 0, part: 0 }));
        }
        let place =
            Cursor::try_from(text).map_err(|_| "since is the cursor of an answer, or an RFC 3339 time")?;
        Ok(Self(place.0))
    }
}

/// A row's place as a cursor.
pub fn cursor(place: ListCursor) -> String {
    format!("{}-{}-{}", place.at.timestamp_micros(), place.id, place.part)
}

/// As [`Cursor`], of the list of held enrollments: the enrollment and the action of the last one.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct HeldCursor(pub (i64, i64));

impl TryFrom<String> for HeldCursor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let ids = text
            .split_once('-')
            .map(|(enrollment, action)| (parse_id_text(enrollment), parse_id_text(action)));
        match ids {
            Some((Some(enrollment), Some(action))) => Ok(Self((enrollment, action))),
            _ => Err("a cursor is taken from the Link of the page before"),
        }
    }
}

/// The place of a held enrollment as a cursor.
pub fn held_cursor((enrollment, action): (i64, i64)) -> String {
    format!("{enrollment}-{action}")
}

/// A number that was typed to be sure. JSON knows no integers: 2.0 is 2.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "serde_json::Number")]
pub struct Count(pub u64);

/// Up to here JSON's numbers are exact.
const EXACT: u64 = 9_007_199_254_740_991;

impl TryFrom<serde_json::Number> for Count {
    type Error = &'static str;

    fn try_from(number: serde_json::Number) -> Result<Self, Self::Error> {
        let count = plain(&number.to_string()).parse().ok().filter(|it| *it <= EXACT);
        count.map(Self).ok_or("a count is a whole number that is not negative")
    }
}

/// A member that may be left out, but is no null: a wish that says nothing must not be one for everything.
///
/// # Errors
///
/// As the member's own.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}
