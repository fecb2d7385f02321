//! Which contacts a row is linked with.

use std::collections::{BTreeMap, BTreeSet};

use super::Found;
use super::columns::{Kind, Links, Reach, WORDS, Words};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::args;

/// Rows that stay whole, by table, as their records.
pub(super) type HeldRows = BTreeMap<&'static str, BTreeSet<Found>>;

/// The contacts on shared rows, by row.
pub(super) async fn contacts_on(
    tx: &mut Tx,
    account_id: i64,
    words: &Words,
    links: Links,
    ids: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, Vec<i64>>, StoreError> {
    let sql = format!(
        "SELECT b.id, l.{contact} AS contact_id FROM {} JOIN {} l ON l.account_id = b.account_id AND l.{} = b.id{} \
         WHERE l.{contact} IS NOT NULL",
        tx.dialect().ids(1, &["account_id", "id"]),
        links.table,
        words.id[0],
        links.condition,
        contact = links.contact
    );
    let batch = Lists::ids(ids.iter().map(|id| [account_id, *id]));
    let mut on_rows: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in tx.rows(&sql, args![batch]).await? {
        on_rows.entry(row.int("id")?).or_default().push(row.int("contact_id")?);
    }
    Ok(on_rows)
}

/// The rows of contacts under a legal hold, and the rows that they are linked with (rule 9).
pub(super) async fn held_rows(tx: &mut Tx, account_id: i64) -> Result<HeldRows, StoreError> {
    const HELD: &str = "(SELECT h.contact_id FROM legal_holds h WHERE h.account_id = $1)";
    let mut held = HeldRows::new();
    let any = "SELECT 1 AS one FROM legal_holds WHERE account_id = $1 LIMIT 1";
    if tx.row(any, args![account_id]).await?.is_none() {
        return Ok(held);
    }
    for words in &WORDS {
        let (table, contact, condition) = match words.reach {
            Reach::Shared(Links { table, contact, condition }) => (table, contact, condition),
            Reach::Owned => (words.table, "contact_id", ""),
            Reach::Addresses | Reach::Reported => continue,
        };
        let sql = format!(
            "SELECT l.{} AS id FROM {table} l WHERE l.account_id = $1 AND l.{contact} IN {HELD}{condition}",
            words.id[0]
        );
        for row in tx.rows(&sql, args![account_id]).await? {
            let Kind::Named(kind) = words.kind else { continue };
            let record = Found { kind: kind.to_owned(), id: row.int("id")?.to_string() };
            held.entry(words.table).or_default().insert(record);
        }
    }
    let objects = format!(
        "SELECT a.to_type AS kind, a.to_id AS id FROM associations a \
           WHERE a.account_id = $1 AND a.from_type = 'contact' AND a.to_type <> 'contact' AND a.from_id IN {HELD} \
         UNION SELECT a.from_type, a.from_id FROM associations a \
           WHERE a.account_id = $1 AND a.to_type = 'contact' AND a.from_type <> 'contact' AND a.to_id IN {HELD} \
         UNION SELECT 'ticket', t.ticket_id FROM conversations v \
           JOIN conversation_tickets t ON t.account_id = v.account_id AND t.conversation_id = v.conversation_id \
           WHERE v.account_id = $1 AND v.contact_id IN {HELD}"
    );
    for row in tx.rows(&objects, args![account_id]).await? {
        let record = Found { kind: row.text("kind")?, id: row.int("id")?.to_string() };
        held.entry("objects").or_default().insert(record);
    }
    Ok(held)
}
