//! The trash page by page, and whoever in it has a name like this.
//!
//! Names have no index: every deletion would have to write it, to speed up a few searches. So the trash is looked through,
//! the newest first, and a page that has looked at enough goes on with the next one, however little it found.

use super::overview::names;
use super::read::{TrashRow, trash_list};
use crate::domain::members::parse_id_text;
use crate::domain::search::{NameSearch, Search};
use crate::store::db::Tx;
use crate::store::db::query::{Filter, ListCursor};
use crate::store::{Store, StoreError, read_transaction};

/// Entries looked at at a time, and how often for one page.
const CHUNK: i64 = 1000;
const CHUNKS: usize = 5;

/// A page of the trash, newest first.
#[derive(Clone, Debug, Default)]
pub struct TrashPage {
    pub rows: Vec<TrashRow>,
    /// Behind which place it goes on, where it does.
    pub next: Option<ListCursor>,
}

impl Store {
    /// What is in the trash of an account; at most `limit` entries, and fewer where it has looked at many that did not
    /// meet the search.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn trash(&self, filter: &Filter) -> Result<TrashPage, StoreError> {
        read_transaction!(self, tx => trash(tx, filter))
    }
}

async fn trash(tx: &mut Tx, filter: &Filter) -> Result<TrashPage, StoreError> {
    if let Some(Search::Name(wanted)) = &filter.search {
        return by_name(tx, filter, wanted).await;
    }
    let one_more = Filter { limit: filter.limit.saturating_add(1), ..filter.clone() };
    let mut rows = trash_list(tx, &one_more).await?;
    let limit = usize::try_from(filter.limit).unwrap_or_default();
    let goes_on = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| goes_on).map(|row| row.place);
    Ok(TrashPage { rows, next })
}

async fn by_name(tx: &mut Tx, filter: &Filter, wanted: &NameSearch) -> Result<TrashPage, StoreError> {
    let account_id = filter.account_id.unwrap_or_default();
    let limit = usize::try_from(filter.limit).unwrap_or_default();
    let mut page = TrashPage { rows: Vec::new(), next: filter.after };
    for _ in 0..CHUNKS {
        let chunk = Filter { after: page.next, limit: CHUNK, ..filter.clone() };
        let chunk = trash_list(tx, &chunk).await?;
        let is_last = chunk.len() < usize::try_from(CHUNK).unwrap_or_default();
        let id = |row: &TrashRow| parse_id_text(&row.contact_id);
        let ids: Vec<i64> = chunk.iter().filter_map(id).collect();
        let names = names(tx, account_id, &ids).await?;
        for row in chunk {
            if page.rows.len() == limit {
                return Ok(page);
            }
            page.next = Some(row.place);
            if id(&row).and_then(|id| names.get(&id)).is_some_and(|it| wanted.takes(&it.name)) {
                page.rows.push(row);
            }
        }
        if is_last {
            page.next = None;
            break;
        }
    }
    Ok(page)
}
