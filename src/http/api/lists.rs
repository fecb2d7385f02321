//! Lists, newest first, page by page.

use axum::extract::{Extension, OriginalUri, State as Shared};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Json;
use super::input::{
    Cursor, HeldCursor, Id, Limit, ObjectType, Since, StrictPath, StrictQuery, Text, Timestamp, cursor,
    held_cursor,
};
use super::problem::Problem;
use crate::domain::dead_letter::Selection;
use crate::domain::decision::OUTCOMES;
use crate::domain::object_type::CONTACT;
use crate::domain::permission::Over;
use crate::domain::search::Search;
use crate::http::auth::may_view;
use crate::operations::{Error, Operations, dead_letters};
use crate::store::access::tokens::Caller;
use crate::store::db::query::Filter;
use crate::store::views::changes::Changes;
use crate::store::views::read::TrashRow;

/// A list that goes on with a cursor.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangesQuery {
    #[serde(default)]
    limit: Limit,
    since: Option<Since>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrashQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
    workflow: Option<Id>,
    contact: Option<Id>,
    search: Option<Text>,
    by: Option<Text>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordTrashQuery {
    object: ObjectType,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
    by: Option<Text>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollmentsQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
    workflow: Option<Id>,
    outcome: Option<Outcome>,
    reason: Option<Text>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Outcome(String);

impl TryFrom<String> for Outcome {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let known = OUTCOMES.contains(&text.as_str());
        known.then_some(Self(text)).ok_or_else(|| format!("an outcome is one of {}", OUTCOMES.join(", ")))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasuresQuery {
    #[serde(default)]
    limit: Limit,
    /// The last receipt of the page before.
    cursor: Option<Id>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LegalHoldsQuery {
    #[serde(default)]
    limit: Limit,
    /// The last contact of the page before.
    cursor: Option<Id>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsersQuery {
    #[serde(default)]
    limit: Limit,
    /// The last user of the page before.
    cursor: Option<Id>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldsQuery {
    #[serde(default)]
    limit: Limit,
    workflow: Option<Id>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldEnrollmentsQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<HeldCursor>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLettersQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Id>,
    reason: Option<Text>,
}

/// So many rows of an account.
fn filter(caller: &Caller, rows: usize, after: Option<Cursor>) -> Filter {
    Filter {
        account_id: Some(caller.account_id),
        after: after.map(|cursor| cursor.0),
        limit: count(rows),
        ..Filter::default()
    }
}

/// As the store has it.
fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl Limit {
    /// One more than is shown, to know whether there are more.
    fn and_one(self) -> usize {
        self.0 + 1
    }

    /// What is shown of the rows, and the place of the last one where there are more.
    fn cut<T>(self, mut rows: Vec<T>, place: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let goes_on = rows.len() > self.0;
        rows.truncate(self.0);
        let next = rows.last().filter(|_| goes_on).map(place);
        (rows, next)
    }
}

/// A page of rows, and in its head the link to the next one.
fn page<T: Serialize>(
    uri: &axum::http::Uri,
    limit: Limit,
    rows: Vec<T>,
    place: impl Fn(&T) -> String,
) -> Response {
    let (rows, next) = limit.cut(rows, place);
    going_on(uri, rows, next)
}

/// Rows, and in the head the link to what is behind this place.
fn going_on<T: Serialize>(uri: &axum::http::Uri, rows: Vec<T>, next: Option<String>) -> Response {
    let next = next.map(|place| next_link(uri, &place));
    let mut response = Json(rows).into_response();
    if let Some(link) = next.and_then(|link| HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn next_link(uri: &axum::http::Uri, cursor: &str) -> String {
    let asked = uri.query().unwrap_or_default().split('&');
    let kept = asked.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<String> = kept.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))
}

pub async fn trash(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    StrictQuery(asked): StrictQuery<TrashQuery>,
) -> Result<Response, Problem> {
    let Ok(search) = asked.search.map(|Text(text)| Search::parse(&text)).transpose() else {
        // The text has no id, address or name in it, so no contact matches.
        return Ok(going_on::<TrashRow>(&uri, Vec::new(), None));
    };
    let filter = Filter {
        workflow_id: asked.workflow.map(|id| id.0),
        contact_id: asked.contact.map(|id| id.0),
        search,
        deleted_by: asked.by.map(|by| by.0),
        deleted: (asked.since.map(|it| it.0), asked.until.map(|it| it.0)),
        ..filter(&caller, asked.limit.0, asked.cursor)
    };
    let page = operations.store.trash(&filter).await?;
    Ok(going_on(&uri, page.rows, page.next.map(cursor)))
}

pub async fn record_trash(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    StrictQuery(asked): StrictQuery<RecordTrashQuery>,
) -> Result<Response, Problem> {
    may_view(&caller, Over::Type(&asked.object.0)).map_err(Problem::forbidden)?;
    if asked.object.0 == CONTACT {
        return Err(Problem::malformed("contacts in the trash are listed by /trash"));
    }
    let filter = Filter {
        deleted_by: asked.by.map(|by| by.0),
        deleted: (asked.since.map(|it| it.0), asked.until.map(|it| it.0)),
        ..filter(&caller, asked.limit.and_one(), asked.cursor)
    };
    let rows = operations.store.record_trash(caller.account_id, &asked.object.0, &filter).await;
    Ok(page(&uri, asked.limit, rows.map_err(Error::from)?, |row| cursor(row.place)))
}

pub async fn enrollments(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    StrictQuery(asked): StrictQuery<EnrollmentsQuery>,
) -> Result<Response, Problem> {
    let filter = Filter {
        workflow_id: asked.workflow.map(|id| id.0),
        outcome: asked.outcome.map(|outcome| outcome.0),
        reason: asked.reason.map(|reason| reason.0),
        ..filter(&caller, asked.limit.and_one(), asked.cursor)
    };
    let rows = operations.store.enrollments(&filter).await?;
    Ok(page(&uri, asked.limit, rows, |row| cursor(row.place)))
}

pub async fn audit(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    StrictQuery(asked): StrictQuery<AuditQuery>,
) -> Result<Response, Problem> {
    let rows = operations.store.audit(&filter(&caller, asked.limit.and_one(), asked.cursor)).await?;
    Ok(page(&uri, asked.limit, rows, |row| cursor(row.place)))
}

/// The changes behind a place, and the place behind them.
pub async fn changes(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictQuery(asked): StrictQuery<ChangesQuery>,
) -> Result<Json<Value>, Problem> {
    let since = asked.since.map(|since| since.0);
    let Changes { changes, place } =
        operations.store.changes(caller.account_id, since, asked.limit.0).await?;
    Ok(Json(json!({"changes": changes, "cursor": cursor(place)})))
}

pub async fn erasures(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    StrictQuery(asked): StrictQuery<ErasuresQuery>,
) -> Result<Response, Problem> {
    let before = asked.cursor.map(|receipt| receipt.0);
    let limit = count(asked.limit.and_one());
    let rows = operations.store.erasures(caller.account_id, before, limit).await?;
    Ok(page(&uri, asked.limit, rows, |row| row.erasure_id.clone()))
}

pub async fn legal_holds(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    StrictQuery(asked): StrictQuery<LegalHoldsQuery>,
) -> Result<Response, Problem> {
    let from = asked.cursor.map_or(1, |contact| contact.0.saturating_add(1));
    let limit = count(asked.limit.and_one());
    let rows = operations.store.legal_holds(caller.account_id, from, limit).await?;
    Ok(page(&uri, asked.limit, rows, |row| row.contact_id.clone()))
}

pub async fn users(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    StrictQuery(asked): StrictQuery<UsersQuery>,
) -> Result<Response, Problem> {
    let from = asked.cursor.map_or(1, |user| user.0.saturating_add(1));
    let limit = count(asked.limit.and_one());
    let rows = operations.store.users(caller.account_id, from, limit).await?;
    Ok(page(&uri, asked.limit, rows, |row| row.id.clone()))
}

pub async fn holds(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictQuery(asked): StrictQuery<HoldsQuery>,
) -> Result<Response, Problem> {
    let filter =
        Filter { workflow_id: asked.workflow.map(|id| id.0), ..filter(&caller, asked.limit.0, None) };
    Ok(Json(operations.store.holds(&filter).await?).into_response())
}

pub async fn held_enrollments(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictPath(Id(workflow)): StrictPath<Id>,
    OriginalUri(uri): OriginalUri,
    StrictQuery(asked): StrictQuery<HeldEnrollmentsQuery>,
) -> Result<Response, Problem> {
    let after = asked.cursor.map_or((0, 0), |cursor| cursor.0);
    let rows =
        operations.held_enrollments((caller.account_id, workflow), after, asked.limit.and_one()).await?;
    Ok(page(&uri, asked.limit, rows, |row| held_cursor(row.place)))
}

pub async fn dead_letters(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    StrictQuery(asked): StrictQuery<DeadLettersQuery>,
) -> Result<Response, Problem> {
    let selection = Selection {
        reason: asked.reason.map(|reason| reason.0),
        account_id: Some(caller.account_id),
        ids: Vec::new(),
    };
    let before = asked.cursor.map(|cursor| cursor.0);
    let letters = operations.dead_letters(&selection, before, asked.limit.and_one()).await?;
    let (letters, next) = asked.limit.cut(letters, |last| last.id.to_string());
    Ok(going_on(&uri, letters.iter().map(dead_letters::row).collect::<Vec<_>>(), next))
}
