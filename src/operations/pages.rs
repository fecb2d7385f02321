//! The pages of the CRM, by name.

use super::{Error, Operations};
use crate::domain::object_type::RecordKey;
use crate::store::views::pages::{About, Page, PageView, Subject};

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
    let key = RecordKey::parse(text).ok_or("a record is a type and an id, such as company:9 or 2-134:7")?;
    Ok((key.object_type, key.id))
}
