//! What records are associated with, seen from either end: rows of associations, and what activities are on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::find::{Table, live};
use crate::domain::associations::{Ends, Named, named};
use crate::domain::object_type::{RecordKey, is_activity};
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::args;
use crate::store::{Store, StoreError, read_transaction};

/// The types of two records, by their one names, seen from the first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Between {
    pub own: String,
    pub other: String,
}

impl Between {
    pub(super) fn ends(&self, is_outward: bool) -> Ends<'_> {
        Ends { own: &self.own, other: &self.other, is_outward }
    }

    /// The records of a pair of ids.
    pub(super) fn records(&self, (own, other): Pair) -> [RecordKey; 2] {
        [(&self.own, own), (&self.other, other)]
            .map(|(object_type, id)| RecordKey { object_type: object_type.clone(), id })
    }
}

/// Records with which one is associated, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssociatedPage {
    pub records: Vec<Associated>,
    /// Are there more?
    pub goes_on: bool,
}

impl AssociatedPage {
    /// The id of the last record, where there are more.
    pub fn last_of_more(&self) -> Option<i64> {
        self.records.last().filter(|_| self.goes_on).map(|record| record.id)
    }
}

/// A record at the other end, and by what it is associated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Associated {
    pub id: i64,
    pub types: Vec<Named>,
}

impl Store {
    /// With which live records of one type live ones of another are associated: of each so many at most, above an id. One that is not
    /// live is missing.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn associated(
        &self,
        account_id: i64,
        between: &Between,
        own: &BTreeMap<i64, i64>,
        limit: i64,
    ) -> Result<HashMap<i64, AssociatedPage>, StoreError> {
        read_transaction!(self, tx => associated(tx, account_id, between, own, limit))
    }
}

async fn associated(
    tx: &mut Tx,
    account_id: i64,
    between: &Between,
    own: &BTreeMap<i64, i64>,
    limit: i64,
) -> Result<HashMap<i64, AssociatedPage>, StoreError> {
    let live = live(tx, account_id, &between.own, &own.keys().copied().collect()).await?;
    let mut pages: HashMap<i64, AssociatedPage> =
        live.iter().map(|id| (*id, AssociatedPage::default())).collect();
    let pairs =
        others(tx, account_id, between, own.iter().filter(|(id, _)| live.contains(id)), limit).await?;
    let mut rows = rows(tx, account_id, between, &pairs).await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    for (own, id) in pairs {
        let Some(page) = pages.get_mut(&own) else { continue };
        page.goes_on = page.records.len() >= most;
        if !page.goes_on {
            let rows = rows.remove(&(own, id)).unwrap_or_default();
            let types: BTreeSet<Named> = rows.iter().flat_map(|row| row.named(between)).collect();
            page.records.push(Associated { id, types: types.into_iter().collect() });
        }
    }
    Ok(pages)
}

/// The ids of an own record and of one at the other end.
pub type Pair = (i64, i64);

/// The live records at the other ends, one more of each than the limit.
async fn others(
    tx: &mut Tx,
    account_id: i64,
    between: &Between,
    own: impl Iterator<Item = (&i64, &i64)>,
    limit: i64,
) -> Result<BTreeSet<Pair>, StoreError> {
    let table = Table::of(&between.other);
    let selects = sources(between).map(|source| {
        format!(
            "SELECT b.own, {other} AS other FROM {batch} {join} {table} ON {condition} WHERE {other} > b.after \
             AND EXISTS (SELECT 1 FROM {rows} AND {id} = {other} AND r.deleted_at IS NULL)",
            other = source.other,
            batch = tx.dialect().ids(5, &["own", "after"]),
            join = tx.dialect().batch_join(),
            table = source.table,
            condition = source.condition,
            rows = table.rows("$3"),
            id = table.id(),
        )
    });
    let selects: Vec<String> = selects.collect();
    if selects.is_empty() {
        return Ok(BTreeSet::new());
    }
    let sql = format!(
        "SELECT own, other FROM (SELECT own, other, row_number() OVER (PARTITION BY own ORDER BY other) AS place \
         FROM ({}) found) numbered WHERE place <= $4 ORDER BY own, other",
        selects.join(" UNION ")
    );
    let own = Lists::ids(own.map(|(id, after)| [*id, *after]));
    let args = args![account_id, between.own.as_str(), between.other.as_str(), limit + 1, own];
    tx.rows(&sql, args).await?.iter().map(|row| Ok((row.int("own")?, row.int("other")?))).collect()
}

/// A row by which two records are associated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AssociationRow {
    pub label: String,
    pub type_id: Option<String>,
    /// Was it recorded as leading from the own record to the other?
    pub is_outward: bool,
}

impl AssociationRow {
    fn named(&self, between: &Between) -> Vec<Named> {
        named(self.type_id.as_deref(), &self.label, between.ends(self.is_outward))
    }
}

/// The rows by which pairs of records are associated, whether or not the records are live.
pub(super) async fn rows(
    tx: &mut Tx,
    account_id: i64,
    between: &Between,
    pairs: &BTreeSet<Pair>,
) -> Result<BTreeMap<Pair, Vec<AssociationRow>>, StoreError> {
    let mut found: BTreeMap<Pair, Vec<AssociationRow>> = BTreeMap::new();
    let batch = Lists::ids(pairs.iter().map(|(own, other)| [*own, *other]));
    let selects = sources(between).map(|source| {
        format!(
            "SELECT b.own, b.other, {says}, {is_outward} AS is_outward FROM {batch} {join} {table} \
             ON {condition} AND {other} = b.other",
            says = source.says,
            is_outward = source.is_outward,
            batch = tx.dialect().ids(4, &["own", "other"]),
            join = tx.dialect().batch_join(),
            table = source.table,
            condition = source.condition,
            other = source.other,
        )
    });
    let selects: Vec<String> = selects.collect();
    if selects.is_empty() {
        return Ok(found);
    }
    let sql = selects.join(" UNION ALL ");
    for row in tx.rows(&sql, args![account_id, between.own.as_str(), between.other.as_str(), batch]).await? {
        found.entry((row.int("own")?, row.int("other")?)).or_default().push(AssociationRow {
            label: row.text("label")?,
            type_id: row.optional_text("association_type_id")?,
            is_outward: row.bool("is_outward")?,
        });
    }
    Ok(found)
}

/// Where it stands that records `b.own` of the type `$2`, in the account `$1`, are associated with records of the type `$3`.
struct Source {
    table: &'static str,
    condition: &'static str,
    /// The column of the other record's id.
    other: &'static str,
    /// The columns of the label and of the type id.
    says: &'static str,
    is_outward: &'static str,
}

const ASSOCIATION: &str = "a.label, a.association_type_id";
/// What an activity is on says no more.
const LINK: &str = "'' AS label, CAST(NULL AS text) AS association_type_id";

static ASSOCIATIONS: [Source; 2] = [
    Source {
        table: "associations a",
        condition: "a.account_id = $1 AND a.from_type = $2 AND a.from_id = b.own AND a.to_type = $3",
        other: "a.to_id",
        says: ASSOCIATION,
        is_outward: "TRUE",
    },
    Source {
        table: "associations a",
        condition: "a.account_id = $1 AND a.to_type = $2 AND a.to_id = b.own AND a.from_type = $3",
        other: "a.from_id",
        says: ASSOCIATION,
        is_outward: "FALSE",
    },
];
static ON_ACTIVITIES: [Source; 1] = [Source {
    table: "activity_associations a",
    condition: "a.account_id = $1 AND a.object_type = $2 AND a.object_id = b.own AND EXISTS (SELECT 1 FROM activities v \
                WHERE v.account_id = $1 AND v.activity_id = a.activity_id AND v.type = $3 AND NOT v.stub)",
    other: "a.activity_id",
    says: LINK,
    is_outward: "FALSE",
}];
static OF_ACTIVITIES: [Source; 1] = [Source {
    table: "activity_associations a",
    condition: "a.account_id = $1 AND a.activity_id = b.own AND a.object_type = $3 AND EXISTS (SELECT 1 FROM activities v \
                WHERE v.account_id = $1 AND v.activity_id = a.activity_id AND v.type = $2 AND NOT v.stub)",
    other: "a.object_id",
    says: LINK,
    is_outward: "TRUE",
}];

fn sources(between: &Between) -> impl Iterator<Item = &'static Source> {
    let sources: &[Source] = match (is_activity(&between.own), is_activity(&between.other)) {
        (false, false) => &ASSOCIATIONS,
        (false, true) => &ON_ACTIVITIES,
        (true, false) => &OF_ACTIVITIES,
        // No activity is on another.
        (true, true) => &[],
    };
    sources.iter()
}
