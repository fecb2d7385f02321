//! The pages of the CRM, by name.

use super::{Error, Operations};
use crate::domain::members::parse_id_text;
use crate::store::views::pages::{About, Page, PageView, Subject};

/// The types of records that have a timeline.
const RECORD_TYPES: [&str; 4] = ["contact", "company", "deal", "ticket"];

impl Operations {
    /// A page of the CRM as it shows now: of a record or of one id, where it is about one.
    ///
    /// # Errors
    ///
    /// Where there is no such page, or it is about something else.
    pub async fn page(
        &self,
        account_id: i64,
        name: &str,
        object: Option<(String, i64)>,
        id: Option<i64>,
    ) -> Result<PageView, Error> {
        let page = Page::named(name).ok_or_else(|| Error::NotFound(format!("there is no page {name}")))?;
        let subject = subject(page, object, id).map_err(Error::Usage)?;
        Ok(self.store.page(account_id, page, &subject).await?)
    }
}

/// What the page is asked about; a sentence where that is missing or does not fit.
fn subject(page: &Page, object: Option<(String, i64)>, id: Option<i64>) -> Result<Subject, String> {
    let name = page.name;
    match (page.about, object, id) {
        (About::Account, None, None) => Ok(Subject::Account),
        (About::Record, Some((object_type, object_id)), None) => {
            Ok(Subject::Record { object_type, object_id })
        }
        (About::Id(_), None, Some(id)) => Ok(Subject::Id(id)),
        (About::Account, ..) => {
            Err(format!("the page {name} is about the whole account: leave out --object and --id"))
        }
        (About::Record, ..) => {
            Err(format!("the page {name} is about one record: name it, and only it, with --object company:9"))
        }
        (About::Id(_), ..) => {
            Err(format!("the page {name} is about one {name}: name it, and only it, with --id 9"))
        }
    }
}

/// A record as a person writes it, such as `company:9`.
///
/// # Errors
///
/// A sentence on how it is written.
pub fn record(text: &str) -> Result<(String, i64), String> {
    let parts = text.split_once(':').and_then(|(kind, id)| Some((kind, parse_id_text(id)?)));
    match parts.filter(|(kind, _)| RECORD_TYPES.contains(kind)) {
        Some((kind, id)) => Ok((kind.to_owned(), id)),
        None => Err(format!("a record is one of {}, a colon and its id", RECORD_TYPES.join(", "))),
    }
}
