//! Companies' lifecycle stages, computed again when contacts go or come back.
//!
//! The companies' rows are locked before their members are read: two deletions around one company see each other. A stage that
//! does not equal the one derived before the change was set by hand. It is left alone, and noted: later it may happen to equal
//! the derived one, and a restore must not change what the deletion left.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::effects::Transition;
use crate::domain::lifecycle::derive;
use crate::domain::record::{Column, ColumnType, Row as JsonRow};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{Lists, batch_row, batch_text};
use crate::store::db::values::{Row, args};

const COMPANY: [&str; 2] = ["account_id", "company_id"];
const MANUAL: [Column; 3] =
    [("account_id", ColumnType::Int), ("company_id", ColumnType::Int), ("stage", ColumnType::Text)];
const STAGED: [Column; 3] =
    [("account_id", ColumnType::Int), ("company_id", ColumnType::Int), ("properties", ColumnType::Json)];

/// Where a company's stage stands among its properties, as a contact's does.
const STAGE: &str = "lifecyclestage";

type Key = (i64, i64);

/// A company whose stage was computed anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageChange {
    pub company_id: String,
    pub from: Option<&'static str>,
    pub to: Option<&'static str>,
}

/// A contact or a deal of a company.
struct Member {
    id: i64,
    live: bool,
    stage: String,
}

/// Stages that were set by hand.
struct ManualStages {
    stages: HashMap<Key, String>,
    /// To be inserted, and to be deleted.
    new: Vec<JsonRow>,
    outdated: Vec<[i64; 2]>,
}

impl ManualStages {
    async fn load(tx: &mut Tx, companies: &Lists) -> Result<Self, StoreError> {
        let sql = format!(
            "SELECT m.account_id, m.company_id, m.stage FROM {} JOIN manual_stages m \
             ON m.account_id = b.account_id AND m.company_id = b.company_id",
            tx.dialect().ids(1, &COMPANY)
        );
        let stage = |row: &Row| Ok(((row.int("account_id")?, row.int("company_id")?), row.text("stage")?));
        let rows = tx.rows(&sql, args![companies]).await?;
        let stages = rows.iter().map(stage).collect::<Result<_, StoreError>>()?;
        Ok(Self { stages, new: Vec::new(), outdated: Vec::new() })
    }

    /// Was this stage of a company set by hand? It is another than the derived one, or was when a contact left or returned before.
    fn is_manual(&mut self, company: Key, stage: &str, derived: &str) -> bool {
        let known = self.stages.get(&company);
        if known.is_some_and(|known| known == stage) {
            return true;
        }
        if stage != derived {
            self.new
                .push(batch_row(json!({"account_id": company.0, "company_id": company.1, "stage": stage})));
            return true;
        }
        if known.is_some() {
            self.outdated.push([company.0, company.1]);
        }
        false
    }

    async fn save(self, tx: &mut Tx) -> Result<(), StoreError> {
        if !self.outdated.is_empty() {
            let sql = format!(
                "DELETE FROM manual_stages WHERE (account_id, company_id) IN \
                 (SELECT b.account_id, b.company_id FROM {})",
                tx.dialect().ids(1, &COMPANY)
            );
            tx.execute(&sql, args![Lists::ids(self.outdated)]).await?;
        }
        if !self.new.is_empty() {
            let sql = format!(
                "INSERT INTO manual_stages (account_id, company_id, stage) \
                 SELECT b.account_id, b.company_id, b.stage FROM {} WHERE TRUE \
                 ON CONFLICT (account_id, company_id) DO UPDATE SET stage = excluded.stage",
                tx.dialect().batch(1, &MANUAL)
            );
            tx.execute(&sql, args![batch_text(self.new)]).await?;
        }
        Ok(())
    }
}

/// Computes the stages of all companies that these contacts, which are locked and change in this transaction, belong to; answers
/// what became other.
pub(in crate::store) async fn recompute(
    tx: &mut Tx,
    transition: Transition,
    contacts: &[Key],
) -> Result<Vec<StageChange>, StoreError> {
    recompute_by(tx, transition, "contact", contacts).await
}

/// As [`recompute`], of the companies of deals that are locked and change in this transaction.
pub(in crate::store) async fn recompute_by_deals(
    tx: &mut Tx,
    transition: Transition,
    deals: &[Key],
) -> Result<Vec<StageChange>, StoreError> {
    recompute_by(tx, transition, "deal", deals).await
}

async fn recompute_by(
    tx: &mut Tx,
    transition: Transition,
    object_type: &str,
    changing: &[Key],
) -> Result<Vec<StageChange>, StoreError> {
    let companies =
        if changing.is_empty() { BTreeMap::new() } else { lock_companies(tx, object_type, changing).await? };
    if companies.is_empty() {
        return Ok(Vec::new());
    }
    let changing: HashSet<(&str, Key)> = changing.iter().map(|key| (object_type, *key)).collect();
    let batch = Lists::ids(companies.keys().map(|(account_id, company_id)| [*account_id, *company_id]));
    let members = members(tx, &batch).await?;
    let deals = deals(tx, &batch).await?;
    let mut manual = ManualStages::load(tx, &batch).await?;
    let (mut changes, mut updates) = (Vec::new(), Vec::new());
    for ((account_id, company_id), mut properties) in companies {
        let key = (account_id, company_id);
        let members = members.get(&key).map_or(&[][..], Vec::as_slice);
        let deals = deals.get(&key).map_or(&[][..], Vec::as_slice);
        // As if those that change were live, or were not.
        let stage = |are_live: bool| {
            let counts = |object_type: &'static str| {
                let changing = &changing;
                move |it: &&Member| {
                    if changing.contains(&(object_type, (account_id, it.id))) { are_live } else { it.live }
                }
            };
            derive(
                members.iter().filter(counts("contact")).map(|it| it.stage.as_str()),
                deals.iter().filter(counts("deal")).map(|it| it.stage.as_str()),
            )
        };
        let (with, without) = (stage(true), stage(false));
        let (before, after) =
            if transition == Transition::Restore { (without, with) } else { (with, without) };
        let in_place = properties.get(STAGE).and_then(Value::as_str).unwrap_or_default();
        if manual.is_manual(key, in_place, before.unwrap_or_default()) {
            continue;
        }
        if before == after {
            continue;
        }
        changes.push(StageChange { company_id: company_id.to_string(), from: before, to: after });
        match after {
            Some(stage) => properties.insert(STAGE.to_owned(), stage.into()),
            None => properties.remove(STAGE),
        };
        updates.push(batch_row(
            json!({"account_id": account_id, "company_id": company_id, "properties": properties}),
        ));
    }
    manual.save(tx).await?;
    if updates.is_empty() {
        return Ok(changes);
    }
    let sql = format!(
        "UPDATE objects SET properties = b.properties FROM {} WHERE objects.object_type = 'company' \
         AND objects.account_id = b.account_id AND objects.object_id = b.company_id",
        tx.dialect().batch(1, &STAGED)
    );
    tx.execute(&sql, args![batch_text(updates)]).await?;
    Ok(changes)
}

/// The companies that contacts, or deals, are associated with, locked; each with its properties.
async fn lock_companies(
    tx: &mut Tx,
    object_type: &str,
    changing: &[Key],
) -> Result<BTreeMap<Key, Map<String, Value>>, StoreError> {
    let source = tx.dialect().ids(1, &["account_id", "record_id"]);
    let sql = format!(
        "SELECT o.account_id, o.object_id, CAST(o.properties AS text) AS properties FROM objects o \
         WHERE o.object_type = 'company' AND (o.account_id, o.object_id) IN \
         (SELECT a.account_id, a.to_id FROM {source} JOIN associations a ON a.account_id = b.account_id \
            AND a.from_type = '{object_type}' AND a.from_id = b.record_id AND a.to_type = 'company' \
          UNION SELECT a.account_id, a.from_id FROM {source} JOIN associations a ON a.account_id = b.account_id \
            AND a.to_type = '{object_type}' AND a.to_id = b.record_id AND a.from_type = 'company') \
         ORDER BY o.account_id, o.object_id{}",
        tx.dialect().for_update("o")
    );
    let mut companies = BTreeMap::new();
    for row in tx
        .rows(
            &sql,
            args![Lists::ids(changing.iter().map(|(account_id, record_id)| [*account_id, *record_id]))],
        )
        .await?
    {
        companies.insert((row.int("account_id")?, row.int("object_id")?), row.json("properties")?);
    }
    Ok(companies)
}

/// The contacts of these companies, whichever way they are associated.
async fn members(tx: &mut Tx, companies: &Lists) -> Result<HashMap<Key, Vec<Member>>, StoreError> {
    let source = tx.dialect().ids(1, &COMPANY);
    let sql = format!(
        "SELECT m.account_id, m.company_id, m.id, c.properties ->> '{STAGE}' AS stage, c.deleted_at IS NULL AS live \
         FROM ({}) m JOIN contacts c ON c.account_id = m.account_id AND c.contact_id = m.id",
        other_ends(&source, "contact")
    );
    by_company(tx, &sql, companies).await
}

/// The deals of these companies.
async fn deals(tx: &mut Tx, companies: &Lists) -> Result<HashMap<Key, Vec<Member>>, StoreError> {
    let source = tx.dialect().ids(1, &COMPANY);
    let sql = format!(
        "SELECT m.account_id, m.company_id, m.id, o.properties ->> 'dealstage' AS stage, o.deleted_at IS NULL AS live \
         FROM ({}) m JOIN objects o ON o.account_id = m.account_id AND o.object_type = 'deal' AND o.object_id = m.id \
         WHERE o.properties ->> 'dealstage' IS NOT NULL",
        other_ends(&source, "deal")
    );
    by_company(tx, &sql, companies).await
}

async fn by_company(
    tx: &mut Tx,
    sql: &str,
    companies: &Lists,
) -> Result<HashMap<Key, Vec<Member>>, StoreError> {
    let mut members: HashMap<Key, Vec<Member>> = HashMap::new();
    for row in tx.rows(sql, args![companies]).await? {
        members.entry((row.int("account_id")?, row.int("company_id")?)).or_default().push(Member {
            id: row.int("id")?,
            live: row.bool("live")?,
            stage: row.optional_text("stage")?.unwrap_or_default(),
        });
    }
    Ok(members)
}

/// The objects of one type that the companies of a batch are associated with, in either direction.
fn other_ends(source: &str, object_type: &str) -> String {
    format!(
        "SELECT a.account_id, b.company_id, a.to_id AS id FROM {source} JOIN associations a \
           ON a.account_id = b.account_id AND a.from_type = 'company' AND a.from_id = b.company_id \
          AND a.to_type = '{object_type}' \
         UNION SELECT a.account_id, b.company_id, a.from_id FROM {source} JOIN associations a \
           ON a.account_id = b.account_id AND a.to_type = 'company' AND a.to_id = b.company_id \
          AND a.from_type = '{object_type}'"
    )
}
