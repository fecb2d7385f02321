//! The pages of the CRM, read through the `crm_page_…` views and nothing else.

use serde::Serialize;
use serde_json::Value;

use crate::domain::record::Row as JsonRow;
use crate::domain::time::format_time;
use crate::store::db::Tx;
use crate::store::db::values::{Arg, Row};
use crate::store::{Store, StoreError, read_transaction};

/// A page: where it is read and what its rows hold.
#[derive(Debug)]
pub struct Page {
    /// As people and programs ask for it.
    pub name: &'static str,
    /// What of it has to be told beside the account.
    pub about: About,
    view: &'static str,
    /// The members of a row beside `id`, each with its column in the view.
    members: &'static [Member],
    order: Order,
}

/// What a page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// The whole account.
    Account,
    /// One record of any type.
    Record,
    /// What this column of the view says is meant by an id.
    Id(&'static str),
}

/// A member of a row, by its name in JSON and its column in the view.
type Member = (&'static str, &'static str, Type);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Text,
    Count,
    Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    ById,
    /// Ids that are opaque text, which each database sorts in its own way: sorted here.
    ByText,
    NewestFirst,
}

const CONTACT: Member = ("contact", "contact", Type::Text);
const COUNT: Member = ("count", "count", Type::Count);
const TYPE: Member = ("type", "type", Type::Text);
const AT: Member = ("occurredAt", "occurred_at", Type::Time);

/// Every page, in the order in which help lists them.
#[rustfmt::skip]
pub const PAGES: [Page; 17] = [
    page("calls",             About::Account, "crm_page_calls",             &[CONTACT], Order::ById),
    page("tasks",             About::Account, "crm_page_tasks",             &[CONTACT], Order::ById),
    page("inbox",             About::Account, "crm_page_inbox",             &[CONTACT], Order::ById),
    page("feedback",          About::Account, "crm_page_feedback",          &[CONTACT], Order::ById),
    page("form-submissions",  About::Account, "crm_page_form_submissions",  &[CONTACT], Order::ById),
    page("files",             About::Account, "crm_page_files",             &[CONTACT], Order::ById),
    page("notifications",     About::Account, "crm_page_notifications",     NOTIFICATION, Order::ById),
    page("quotes",            About::Account, "crm_page_quotes",            &[CONTACT], Order::ById),
    page("tickets",           About::Account, "crm_page_tickets",           TICKET, Order::ById),
    page("contact-report",    About::Account, "crm_page_contact_report",    &[], Order::ById),
    page("engagement-report", About::Account, "crm_page_engagement_report", &[TYPE, AT, CONTACT], Order::ById),
    page("email-report",      About::Account, "crm_page_email_report",      &[COUNT], Order::ByText),
    page("sources-report",    About::Account, "crm_page_sources_report",    &[COUNT], Order::ByText),
    page("form-report",       About::Account, "crm_page_form_report",       &[COUNT], Order::ByText),
    page("timeline",          About::Record,  "crm_page_timeline",          &[TYPE, AT, CONTACT], Order::NewestFirst),
    page("company",           About::Id("id"),         "crm_page_company",  COMPANY, Order::ById),
    page("segment",           About::Id("segment_id"), "crm_page_segment",  &[], Order::ById),
];

const NOTIFICATION: &[Member] = &[
    ("title", "title", Type::Text),
    ("contactName", "contact_name", Type::Text),
    ("contactEmail", "contact_email", Type::Text),
    CONTACT,
];
const TICKET: &[Member] = &[("subject", "subject", Type::Text), CONTACT];
const COMPANY: &[Member] = &[("name", "name", Type::Text), ("lifecycleStage", "lifecycle_stage", Type::Text)];

const fn page(
    name: &'static str,
    about: About,
    view: &'static str,
    members: &'static [Member],
    order: Order,
) -> Page {
    Page { name, about, view, members, order }
}

impl Page {
    /// The page of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PAGES.iter().find(|page| page.name == name)
    }

    /// What a row holds, in the order in which people read it.
    pub fn members(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once("id").chain(self.members.iter().map(|(name, ..)| *name))
    }
}

/// What a page is asked about, beside the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Account,
    Record { object_type: String, object_id: i64 },
    Id(i64),
}

/// A page as the CRM shows it now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageView {
    pub account_id: String,
    pub page: &'static str,
    pub rows: Vec<JsonRow>,
}

impl Store {
    /// The rows of a page. Where the page is about something else than it is asked about, it is empty.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn page(
        &self,
        account_id: i64,
        page: &'static Page,
        subject: &Subject,
    ) -> Result<PageView, StoreError> {
        let rows = read_transaction!(self, tx => rows(tx, account_id, page, subject))?;
        Ok(PageView { account_id: account_id.to_string(), page: page.name, rows })
    }
}

async fn rows(
    tx: &mut Tx,
    account_id: i64,
    page: &'static Page,
    subject: &Subject,
) -> Result<Vec<JsonRow>, StoreError> {
    let mut args: Vec<Arg> = vec![account_id.into()];
    let narrowed = match (page.about, subject) {
        (About::Account, Subject::Account) => String::new(),
        (About::Record, Subject::Record { object_type, object_id }) => {
            args.extend([object_type.as_str().into(), (*object_id).into()]);
            " AND p.object_type = $2 AND p.object_id = $3".to_owned()
        }
        (About::Id(column), Subject::Id(id)) => {
            args.push((*id).into());
            format!(" AND p.{column} = $2")
        }
        _ => return Ok(Vec::new()),
    };
    let mut columns = vec!["CAST(p.id AS text) AS id".to_owned()];
    columns.extend(page.members.iter().map(|(_, column, _)| format!("p.{column}")));
    // With the table's name it is the view's id that sorts, a number, not the text made of it.
    let order = match page.order {
        Order::ById => " ORDER BY p.id",
        Order::ByText => "",
        Order::NewestFirst => " ORDER BY p.occurred_at DESC, p.id DESC",
    };
    let sql = format!(
        "SELECT {} FROM {} p WHERE p.account_id = $1{narrowed}{order}",
        columns.join(", "),
        page.view
    );
    let mut rows: Vec<JsonRow> =
        tx.rows(&sql, &args).await?.iter().map(|row| json_row(row, page)).collect::<Result<_, _>>()?;
    if page.order == Order::ByText {
        rows.sort_by(|one, other| one["id"].as_str().cmp(&other["id"].as_str()));
    }
    Ok(rows)
}

fn json_row(row: &Row, page: &Page) -> Result<JsonRow, StoreError> {
    let mut json = JsonRow::from_iter([("id".to_owned(), Value::String(row.text("id")?))]);
    for (name, column, kind) in page.members {
        let value = match kind {
            Type::Text => row.optional_text(column)?.map_or(Value::Null, Value::String),
            Type::Count => row.int(column)?.into(),
            Type::Time => format_time(row.time(column)?).into(),
        };
        json.insert((*name).to_owned(), value);
    }
    Ok(json)
}
