//! What a form or the query of a page says. A field that was left empty is as good as none.

use crate::domain::members::parse_id_text;
use crate::http::api::input::{Cursor, HeldCursor};
use crate::store::db::query::ListCursor;

/// Names and values, in their order.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads `application/x-www-form-urlencoded`.
    pub fn parse(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text);
        Self(pairs.map(|(name, value)| (name.into_owned(), value.trim().to_owned())).collect())
    }

    /// The value of a field that was filled in.
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(field, value)| field == name && !value.is_empty());
        values.next().map(|(_, value)| value.as_str())
    }

    /// As [`Fields::text`], of a text that goes to the store.
    pub fn bounded_text(&self, name: &str) -> Result<Option<String>, String> {
        match self.text(name) {
            Some(text) if text.contains('\0') || text.len() > 1000 => {
                Err(format!("{name} is too long, or has a character that is none"))
            }
            text => Ok(text.map(str::to_owned)),
        }
    }

    /// An id that was filled in.
    pub fn id(&self, name: &str) -> Result<Option<i64>, String> {
        let read = |text| parse_id_text(text).ok_or_else(|| format!("{name} is an id: a positive number"));
        self.text(name).map(read).transpose()
    }

    /// An id that must be there.
    pub fn needed_id(&self, name: &str) -> Result<i64, String> {
        self.id(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    /// All ids of a field that may be there several times.
    pub fn ids(&self, name: &str) -> Result<Vec<i64>, String> {
        let values = self.0.iter().filter(|(field, value)| field == name && !value.is_empty());
        let read = |text: &String| parse_id_text(text).ok_or_else(|| format!("{name} is an id"));
        values.map(|(_, value)| read(value)).collect()
    }

    /// The number that was typed to be sure.
    pub fn confirm(&self) -> Result<u64, String> {
        let typed = self.text("confirm").and_then(|text| text.parse().ok());
        typed.ok_or_else(|| "type the number to be sure; nothing was done".to_owned())
    }

    /// Where the list of held enrollments goes on.
    pub fn held_cursor(&self) -> Result<Option<(i64, i64)>, String> {
        let read = |text: &str| HeldCursor::try_from(text.to_owned()).map(|cursor| cursor.0);
        self.text("cursor").map(read).transpose().map_err(str::to_owned)
    }

    /// Where a list goes on.
    pub fn cursor(&self) -> Result<Option<ListCursor>, String> {
        let read = |text: &str| Cursor::try_from(text.to_owned()).map(|cursor| cursor.0);
        self.text("cursor").map(read).transpose().map_err(str::to_owned)
    }
}
