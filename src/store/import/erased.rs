//! Erased stays erased (rule 10 of the matrix): what an erasure deleted of other kinds never comes back, what it redacted in a
//! shared record stays redacted, and addresses of erased people in texts that come in are redacted by their hashes.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;

use super::chunk::Chunk;
use super::{Numbered, gone_as};
use crate::domain::record::{Kind, Record};
use crate::domain::redaction::{Redactor, addresses_in};
use crate::store::StoreError;
use crate::store::db::batch::Lists;
use crate::store::db::values::{Row, args};
use crate::store::identity::suppressions;
use crate::store::privacy::redact::{Content, KEY_WORDS, Reach, WORDS};

/// Kinds whose records several contacts may share: their links name the contacts.
const SHARED: [&str; 3] = ["activity", "file", "quote"];

impl Chunk {
    /// Drops records that an erasure deleted, and those of shared records that name an erased contact and are there: the file
    /// knows nothing newer of them than the erasure.
    pub(super) async fn preserve_redactions(
        &mut self,
        kind: &Kind,
        records: &mut Vec<Numbered>,
    ) -> Result<(), StoreError> {
        if !self.has_erasures {
            return Ok(());
        }
        let id = kind.table.columns[kind.table.key - 1].0;
        let key = |record: &Record| Some((record.account_id, record.row.get(id)?.as_i64()?));
        let keys: Vec<(i64, i64)> = records.iter().filter_map(|(_, record)| key(record)).collect();
        let batch = Lists::ids(keys.iter().map(|(account_id, id)| [*account_id, *id]));
        let pair =
            |row: &Row| -> Result<_, StoreError> { Ok((row.int("account_id")?, row.int("record_id")?)) };
        let sql = format!(
            "SELECT e.account_id, e.record_id FROM {} JOIN erased_records e \
             ON e.account_id = b.account_id AND e.record_id = b.record_id WHERE e.kind = $1",
            self.tx.dialect().ids(2, &["account_id", "record_id"])
        );
        let rows = self.tx.rows(&sql, args![kind.name, &batch]).await?;
        let mut dropped: HashSet<(i64, i64)> = rows.iter().map(pair).collect::<Result<_, _>>()?;
        if SHARED.contains(&kind.name) {
            let named: BTreeSet<(i64, i64)> =
                records.iter().flat_map(|(_, record)| super::filter::linked(record)).collect();
            let erased = gone_as(&mut self.tx, &named, "erased").await?;
            let sql = format!(
                "SELECT t.account_id, t.{id} AS record_id FROM {} JOIN {} t \
                 ON t.account_id = b.account_id AND t.{id} = b.record_id",
                self.tx.dialect().ids(1, &["account_id", "record_id"]),
                kind.table.name
            );
            let rows = self.tx.rows(&sql, args![batch]).await?;
            let there: HashSet<(i64, i64)> = rows.iter().map(pair).collect::<Result<_, _>>()?;
            let names_erased =
                |record: &Record| super::filter::linked(record).any(|contact| erased.contains(&contact));
            let known = records.iter().filter(|(_, record)| names_erased(record));
            dropped.extend(known.filter_map(|(_, record)| key(record)).filter(|key| there.contains(key)));
            super::filter::redact_headers_of(records, &erased);
        }
        records.retain(|(_, record)| key(record).is_none_or(|key| !dropped.contains(&key)));
        Ok(())
    }

    /// Redacts addresses of erased people that no contact has by now.
    pub(super) async fn redact_erased(
        &mut self,
        kind: &Kind,
        records: &mut [Numbered],
    ) -> Result<(), StoreError> {
        let columns = columns(kind);
        if columns.is_empty() || !self.has_erasures {
            return Ok(());
        }
        let mut addresses = BTreeSet::new();
        for (_, record) in records.iter() {
            let values =
                columns.iter().filter_map(|(name, content)| Some((record.row.get(*name)?, *content)));
            for text in values.filter_map(|(value, content)| text_of(value, content)) {
                addresses.extend(addresses_in(&text).into_iter().map(|address| (record.account_id, address)));
            }
        }
        let addresses: Vec<(i64, String)> = addresses.into_iter().collect();
        let erased = suppressions::erased_people(&mut self.tx, &self.hash_keys, &addresses).await?;
        let redactors: BTreeMap<i64, Redactor> =
            erased.iter().map(|(account_id, people)| (*account_id, Redactor::new(people))).collect();
        for (_, record) in records {
            let Some(redactor) = redactors.get(&record.account_id) else { continue };
            let mut redacted = false;
            for (name, content) in &columns {
                let Some(value) = record.row.get_mut(*name) else { continue };
                let clean = text_of(value, *content).and_then(|text| content.redact(redactor, &text));
                if let Some((clean, _)) = clean {
                    *value = match content {
                        Content::Json => serde_json::from_str(&clean).unwrap_or_default(),
                        Content::Prose | Content::FileName => clean.into(),
                    };
                    redacted = true;
                }
            }
            self.report.redacted += u64::from(redacted);
        }
        Ok(())
    }
}

/// The columns of a kind that an erasure redacts.
fn columns(kind: &Kind) -> Vec<(&'static str, Content)> {
    let words = WORDS.iter().filter(|words| words.table == kind.table.name && words.reach != Reach::Reported);
    let words = words.flat_map(|words| words.columns.iter().copied());
    let keys = KEY_WORDS.iter().filter(|words| words.table == kind.table.name);
    words.chain(keys.map(|words| (words.column, Content::Prose))).collect()
}

fn text_of(value: &Value, content: Content) -> Option<String> {
    match (value, content) {
        (Value::Null, _) => None,
        (Value::String(text), Content::Prose | Content::FileName) => Some(text.clone()),
        (json, _) => Some(json.to_string()),
    }
}
