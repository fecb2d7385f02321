//! `inspect page`: the pages of the CRM, by name.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use super::{Context, Failure, id, output};
use crate::domain::members::parse_id_text;
use crate::store::pages::{About, PAGES, Page, Subject};

/// The types of records that have a timeline.
const RECORD_TYPES: [&str; 4] = ["contact", "company", "deal", "ticket"];

#[derive(Debug, Args)]
pub struct PageArgs {
    /// Which page
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(PAGES.iter().map(|page| page.name)))]
    page: String,
    #[arg(long, value_parser = id)]
    account: i64,
    /// Whose timeline, such as company:9
    #[arg(long, value_name = "TYPE:ID", value_parser = record)]
    object: Option<(String, i64)>,
    /// Which company or segment
    #[arg(long, value_parser = id)]
    id: Option<i64>,
}

impl PageArgs {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let page = Page::named(&self.page)
            .ok_or_else(|| Failure::Usage(format!("there is no page {}", self.page)))?;
        let account = self.account;
        let subject = self.subject(page).map_err(Failure::Usage)?;
        let store = context.existing_store().await?;
        let view = store.page(account, page, &subject).await?;
        if context.json {
            return output::document(&view);
        }
        let headings: Vec<&str> = page.members().collect();
        let cell = |member: &str, value: Option<&Value>| match value {
            None | Some(Value::Null) => output::or_dash(None),
            Some(Value::String(time)) if member == "occurredAt" => output::short_time(time),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let rows: Vec<Vec<String>> = view
            .rows
            .iter()
            .map(|row| headings.iter().map(|member| cell(member, row.get(*member))).collect())
            .collect();
        output::table(&headings, &rows, "nothing is on this page")
    }

    /// What the page is asked about; a sentence where that is missing or does not fit.
    fn subject(self, page: &Page) -> Result<Subject, String> {
        let name = page.name;
        match (page.about, self.object, self.id) {
            (About::Account, None, None) => Ok(Subject::Account),
            (About::Record, Some((object_type, object_id)), None) => {
                Ok(Subject::Record { object_type, object_id })
            }
            (About::Id(_), None, Some(id)) => Ok(Subject::Id(id)),
            (About::Account, ..) => {
                Err(format!("the page {name} is about the whole account: leave out --object and --id"))
            }
            (About::Record, ..) => Err(format!(
                "the page {name} is about one record: name it, and only it, with --object company:9"
            )),
            (About::Id(_), ..) => {
                Err(format!("the page {name} is about one {name}: name it, and only it, with --id 9"))
            }
        }
    }
}

/// A record on the command line.
fn record(text: &str) -> Result<(String, i64), String> {
    let parts = text.split_once(':').and_then(|(kind, id)| Some((kind, parse_id_text(id)?)));
    match parts.filter(|(kind, _)| RECORD_TYPES.contains(kind)) {
        Some((kind, id)) => Ok((kind.to_owned(), id)),
        None => Err(format!("a record is one of {}, a colon and its id", RECORD_TYPES.join(", "))),
    }
}
