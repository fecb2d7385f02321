//! `inspect page`: the pages of the CRM, by name.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Value;

use super::{Context, Failure, id, output};
use crate::operations::pages::record;
use crate::store::views::pages::{PAGES, Page};

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
        let operations = context.operations().await?;
        let view = operations.page(self.account, &self.page, self.object, self.id).await?;
        if context.json {
            return output::document(&view);
        }
        let page = Page::named(&self.page)
            .ok_or_else(|| Failure::Usage(format!("there is no page {}", self.page)))?;
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
}
