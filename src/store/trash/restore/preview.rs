//! What a restore would do: done by the restore's own code, looked at, and taken back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;

use serde::Serialize;

use super::{BATCH_SIZE, Refused, Request, RestoreCursor, RestorePlan, Verdict, apply_restore, plan_batch};
use crate::domain::restore::AddressOwners;
use crate::store::contacts::contact_batch;
use crate::store::contacts::lifecycle::StageChange;
use crate::store::contacts::members::{Visible, visible_members};
use crate::store::db::Tx;
use crate::store::db::batch::CONTACT;
use crate::store::db::values::args;
use crate::store::{Store, StoreError, dry_run};

/// What a restore would do. The counts are of the whole request; where it is `truncated`, the lists are of its first
/// contacts, and what is visible under them is what would be with them alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    pub restorable: usize,
    /// How many would be refused, by reason.
    pub blocked: BTreeMap<&'static str, usize>,
    pub truncated: bool,
    pub contacts: Vec<RestorePreview>,
    /// Companies whose lifecycle stage would change with these contacts.
    pub companies: Vec<StageChange>,
    pub refused: Vec<Refused>,
    /// Records that are no contacts; left out where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<RecordsOfRun>,
    /// What comes back with none of them: memberships of static segments, enrollments (rows 16 and 19 of the matrix).
    pub not_restored: [&'static str; 2],
}

/// How many records that are no contacts would come back, and how many would not, by reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordsOfRun {
    pub restorable: u64,
    pub blocked: BTreeMap<&'static str, u64>,
}

/// What never comes back with a contact.
pub const NOT_RESTORED: [&str; 2] = ["staticSegments", "workflows"];

/// A contact that would come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestorePreview {
    pub contact_id: String,
    /// As `inspect contact` would show it.
    pub visible: Visible,
    /// Associations that would stay hidden, by their other ends.
    pub missing: Vec<Missing>,
}

/// The other end of an association that does not live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    #[serde(rename = "type")]
    pub object_type: String,
    pub id: String,
    /// `in_trash`, or `gone` where no such object is.
    pub state: &'static str,
}

impl Store {
    /// What a restore would do now; writes nothing. Tells `seen` of each batch how many contacts it was; none where that
    /// breaks it off.
    ///
    /// # Errors
    ///
    /// As [`Store::restore`].
    pub async fn preview_restore(
        &self,
        request: &Request,
        seen: &(dyn Fn(usize) -> ControlFlow<()> + Sync),
    ) -> Result<Option<Preview>, StoreError> {
        let mut preview = Preview { not_restored: NOT_RESTORED, ..Preview::default() };
        // Batches that were taken back know nothing of each other: what they would have left is kept here.
        let mut holders = AddressOwners::new();
        let mut later = HashSet::new();
        let mut next = Some(RestoreCursor::default());
        while let Some(place) = next {
            let batch = dry_run!(self, tx => try_out(tx, request, place, &holders))?;
            next = batch.next;
            preview.count(&batch.verdict, request.account_id);
            if place.seen == 0 {
                preview.truncated = next.is_some();
                (preview.contacts, preview.companies) = (batch.contacts, batch.companies);
            } else {
                later.extend(batch.verdict.back.iter().map(|(contact_id, _)| contact_id.to_string()));
            }
            if seen(batch.verdict.back.len() + batch.verdict.refused.len()).is_break() {
                return Ok(None);
            }
            holders.extend(batch.verdict.holders);
        }
        let comes_back = |end: &Missing| end.object_type == "contact" && later.contains(&end.id);
        preview.contacts.iter_mut().for_each(|contact| contact.missing.retain(|end| !comes_back(end)));
        Ok(Some(preview))
    }
}

impl Preview {
    fn count(&mut self, verdict: &Verdict, account_id: i64) {
        self.restorable += verdict.back.len();
        for (contact_id, refusal) in &verdict.refused {
            *self.blocked.entry(refusal.code()).or_default() += 1;
            if self.refused.len() < BATCH_SIZE {
                self.refused.push(Refused::new(account_id, (*contact_id, *refusal)));
            }
        }
    }
}

/// A batch that was done and looked at.
struct DryRunResult {
    verdict: Verdict,
    contacts: Vec<RestorePreview>,
    companies: Vec<StageChange>,
    next: Option<RestoreCursor>,
}

async fn try_out(
    tx: &mut Tx,
    request: &Request,
    from: RestoreCursor,
    earlier: &AddressOwners,
) -> Result<DryRunResult, StoreError> {
    let RestorePlan { verdict, next, .. } = plan_batch(tx, request, from, earlier).await?;
    // Only the first batch is told in detail.
    if from.seen > 0 {
        return Ok(DryRunResult { verdict, contacts: Vec::new(), companies: Vec::new(), next });
    }
    let account_id = request.account_id;
    let (_, companies) = apply_restore(tx, account_id, &verdict.back).await?;
    let back: Vec<i64> = verdict.back.iter().map(|(contact_id, _)| *contact_id).collect();
    let mut visible = visible_members(tx, account_id, &back).await?;
    let mut missing = missing(tx, account_id, &back).await?;
    let returning = |contact_id: &i64| RestorePreview {
        contact_id: contact_id.to_string(),
        visible: visible.remove(contact_id).unwrap_or_default(),
        missing: missing.remove(contact_id).unwrap_or_default(),
    };
    let contacts = back.iter().map(returning).collect();
    Ok(DryRunResult { verdict, contacts, companies, next })
}

/// The other ends of the associations of live contacts that do not show, whichever way they point.
async fn missing(
    tx: &mut Tx,
    account_id: i64,
    contacts: &[i64],
) -> Result<HashMap<i64, Vec<Missing>>, StoreError> {
    let source = tx.dialect().ids(1, &CONTACT);
    let hidden = "NOT EXISTS (SELECT 1 FROM crm_associations v WHERE v.account_id = a.account_id \
                  AND v.from_type = a.from_type AND v.from_id = a.from_id \
                  AND v.to_type = a.to_type AND v.to_id = a.to_id)";
    let sql = format!(
        "SELECT e.contact_id, e.object_type, e.object_id, coalesce(c.contact_id, o.object_id) AS trashed FROM ( \
           SELECT b.account_id, b.contact_id, a.to_type AS object_type, a.to_id AS object_id FROM {source} \
           JOIN associations a ON a.account_id = b.account_id AND a.from_type = 'contact' AND a.from_id = b.contact_id \
           WHERE {hidden} \
           UNION SELECT b.account_id, b.contact_id, a.from_type, a.from_id FROM {source} \
           JOIN associations a ON a.account_id = b.account_id AND a.to_type = 'contact' AND a.to_id = b.contact_id \
           WHERE {hidden}) e \
         LEFT JOIN contacts c ON e.object_type = 'contact' AND c.account_id = e.account_id \
                             AND c.contact_id = e.object_id \
         LEFT JOIN objects o ON o.account_id = e.account_id AND o.object_type = e.object_type \
                            AND o.object_id = e.object_id AND o.deleted_at IS NOT NULL \
         ORDER BY e.contact_id, e.object_type, e.object_id"
    );
    let mut missing: HashMap<i64, Vec<Missing>> = HashMap::new();
    for row in tx.rows(&sql, args![contact_batch(account_id, contacts)]).await? {
        let state = if row.optional_int("trashed")?.is_some() { "in_trash" } else { "gone" };
        let (object_type, id) = (row.text("object_type")?, row.int("object_id")?.to_string());
        missing.entry(row.int("contact_id")?).or_default().push(Missing { object_type, id, state });
    }
    Ok(missing)
}
