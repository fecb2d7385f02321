//! What a delete would do now: how many records would go, what of them would be hidden, and which could not be deleted.

use std::collections::BTreeMap;

use super::pages::{Unfit, refuse_during_import, select_fit};
use super::resume::refuse_unknown_segment;
use super::{Request, noun, of_type};
use crate::store::db::Tx;
use crate::store::trash::{Blocker, DeletePreview};
use crate::store::{Store, StoreError, dry_run};

impl Store {
    /// What a delete would do now; writes nothing. Tells `seen` how many were looked at so far.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, a filter that leaves a record open, a segment or a filter while an import into the
    /// account has not finished.
    pub async fn preview_delete(
        &self,
        request: &Request,
        seen: &mut (dyn FnMut(u64) + Send),
    ) -> Result<DeletePreview, StoreError> {
        let request = &self.with_type(request).await?;
        let (mut records, mut counts, mut blockers) = (0, BTreeMap::new(), Vec::new());
        let mut after = Some(0);
        while let Some(place) = after {
            let page = dry_run!(self, tx => look(tx, request, place))?;
            records += page.records;
            for (category, count) in page.counts {
                *counts.entry(category).or_default() += count;
            }
            blockers.extend(page.unfit.into_iter().map(Blocker::from));
            after = page.next;
            seen(records);
        }
        Ok(DeletePreview::new(noun(&request.object_type), records, counts, blockers))
    }
}

impl From<Unfit> for Blocker {
    fn from(Unfit { contact_id, reason, message }: Unfit) -> Self {
        Self { record: format!("contact:{contact_id}"), reason, message }
    }
}

struct Look {
    records: u64,
    counts: BTreeMap<&'static str, u64>,
    unfit: Vec<Unfit>,
    next: Option<i64>,
}

async fn look(tx: &mut Tx, request: &Request, after: i64) -> Result<Look, StoreError> {
    of_type::authorize(tx, request, &request.user).await?;
    refuse_unknown_segment(tx, request).await?;
    let (page, unfit) = select_fit(tx, request, after).await?;
    refuse_during_import(tx, request).await?;
    let counts = of_type::count_members(tx, request, &page.selected).await?;
    Ok(Look { records: page.selected.len() as u64, counts, unfit, next: page.next })
}
