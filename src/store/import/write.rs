//! The statements of an import: of each batch only the rows that differ from those in the store are written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::chunk::Chunk;
use super::filter::Stored;
use super::sorter::Sorter;
use super::source::temporary_failed;
use super::unfinished::HAS_ANOTHER;
use super::{Numbered, State, addresses_in, states};
use crate::domain::associations;
use crate::domain::record::{Column, ColumnType, Kind, Record, Row, Table};
use crate::domain::time::{format_time, parse_time};
use crate::store::addresses::{self, HOLDER};
use crate::store::batch::{self, Lists};
use crate::store::conflict::Conflict;
use crate::store::dialect::{Dialect, names};
use crate::store::trash::{self, DeletedBy, Deletion};
use crate::store::values::{Row as Found, args};
use crate::store::{StoreError, batch_row, batch_text, contact_counts, pending, suppressions};

/// How many members of segments travel in one statement.
const MEMBERS: usize = 5_000;

impl Chunk {
    /// Writes records of one kind, none of which has the key of another.
    pub(super) async fn write(
        &mut self,
        kind: &'static Kind,
        records: &mut Vec<Numbered>,
        contested: &mut Sorter<3>,
    ) -> Result<(), StoreError> {
        self.filter(kind, records).await?;
        let known = match kind.name {
            "contact" => Some(self.lock_contacts(records).await?),
            _ => None,
        };
        if kind.may_be_partial() {
            self.compare(kind, records).await?;
        }
        if let Some(known) = &known {
            self.refuse_held_addresses(records, known).await?;
        }
        self.upsert(&kind.table, records).await?;
        self.learn(records).await?;
        if let Some(links) = &kind.links {
            self.replace_links(kind, links, records).await?;
        }
        match kind.name {
            "contact" => {
                self.bring_contacts(records, &known.unwrap_or_default()).await?;
                let claiming = records.iter().flat_map(|(entry, record)| {
                    record.contacts.iter().map(|id| ((record.account_id, *id), entry.line))
                });
                for (contact, line) in self.claim_addresses(&claiming.collect(), true).await?.into_keys() {
                    let row = [contact.0, contact.1, i64::try_from(line).unwrap_or(i64::MAX)];
                    contested.push(row).map_err(temporary_failed)?;
                }
                suppressions::revive(&mut self.tx, &self.hash_keys, &addresses_in(records)).await?;
            }
            "deliverability" => self.hash_gone_addresses(records).await?,
            "segment" => self.empty_static_segments_of_trash(records).await?,
            "workflow" => {
                let id = |record: &Record| record.row.get("workflow_id").and_then(Value::as_i64);
                let workflows =
                    records.iter().filter_map(|(_, record)| Some((record.account_id, id(record)?)));
                pending::mark_ready(&mut self.tx, workflows, self.now).await?;
            }
            _ => {}
        }
        self.report.imported += records.len() as u64;
        *self.report.kinds.entry(kind.name).or_default() += records.len() as u64;
        self.tables.extend([kind.table.name].into_iter().chain(kind.links.as_ref().map(|links| links.name)));
        match kind.name {
            "contact" => self.tables.extend(["trash_entries"]),
            "segment" => self.tables.extend(["segment_members"]),
            _ => {}
        }
        Ok(())
    }

    /// The contacts of records that are there already, locked until the commit: none of them is trashed, restored or decided
    /// about meanwhile.
    async fn lock_contacts(
        &mut self,
        records: &[Numbered],
    ) -> Result<HashMap<(i64, i64), State>, StoreError> {
        let named =
            records.iter().flat_map(|(_, record)| record.contacts.iter().map(|id| (record.account_id, *id)));
        let lock = self.tx.dialect().for_update("c");
        states(&mut self.tx, &named.collect(), &lock).await
    }

    /// Counts the new contacts, and puts those of them into the trash that arrive there; they claim no address.
    async fn bring_contacts(
        &mut self,
        records: &[Numbered],
        known: &HashMap<(i64, i64), State>,
    ) -> Result<(), StoreError> {
        let (mut new, mut arriving) = (BTreeSet::new(), BTreeMap::new());
        for (_, record) in records {
            for contact_id in &record.contacts {
                let (account_id, contact_id) = (record.account_id, *contact_id);
                if known.contains_key(&(account_id, contact_id)) {
                    continue;
                }
                new.insert((account_id, contact_id));
                if let Some(archive) = &record.archived {
                    let at = archive.at.as_deref().and_then(parse_time).unwrap_or(self.now);
                    let by = DeletedBy::Import;
                    let deletion =
                        Deletion { account_id, contact_id, by, deletion_id: None, at, trace: None };
                    arriving.insert((account_id, contact_id), deletion);
                }
            }
        }
        contact_counts::moved(&mut self.tx, new.iter().map(|(account_id, _)| *account_id), 1).await?;
        let arriving: Vec<Deletion> = arriving.into_values().collect();
        trash::put_into_trash(&mut self.tx, &arriving).await?;
        contact_counts::moved(&mut self.tx, arriving.iter().map(|deletion| deletion.account_id), -1).await
    }

    /// Removes the rows of one kind that records name, with their links. What is not there is no error.
    pub(super) async fn remove(&mut self, kind: &Kind, records: &[Numbered]) -> Result<(), StoreError> {
        let key = &kind.table.columns[..kind.table.key];
        let batch = batch_text(records.iter().map(|(_, record)| &record.row));
        let keys = format!("(SELECT {} FROM {})", names(key), self.tx.dialect().batch(1, key));
        if let Some(links) = &kind.links {
            let owner = names(&links.columns[..links.key]);
            let sql = format!("DELETE FROM {} WHERE ({owner}) IN {keys}", links.name);
            self.tx.execute(&sql, args![batch.as_str()]).await?;
        }
        // Until the end of the file nobody knows what is there instead.
        self.mark(&records.iter().flat_map(|(_, record)| contacts_of(record)).collect()).await?;
        if kind.table.name == "users" {
            // Of a token nothing may be left for the next user of this id.
            let sql = format!("DELETE FROM tokens WHERE ({}) IN {keys}", names(key));
            self.tx.execute(&sql, args![batch.as_str()]).await?;
        }
        // A stub is what the reports keep of an activity that was deleted.
        let kept = if kind.table.name == "activities" { " AND NOT stub" } else { "" };
        let sql = format!("DELETE FROM {} WHERE ({}) IN {keys}{kept}", kind.table.name, names(key));
        self.report.removed += self.tx.execute(&sql, args![batch]).await?;
        Ok(())
    }

    async fn upsert(&mut self, table: &Table, records: &[Numbered]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let (key, rest) = table.columns.split_at(table.key);
        let (import, import_id) = if table.name == "contacts" { (", import_id", ", $2") } else { ("", "") };
        // A row that is as it should be is not even locked. It is looked up by its key, one by one, whatever PostgreSQL
        // believes of a table that fills.
        let (is_same, update) = if rest.is_empty() {
            ("TRUE".to_owned(), "NOTHING".to_owned())
        } else {
            let equal = rest.iter().map(|(name, _)| match *name {
                "association_type_id" => says_no_more(),
                name => format!("t.{name} IS NOT DISTINCT FROM b.{name}"),
            });
            let mut columns: Vec<String> =
                rest.iter().map(|(name, _)| format!("{name} = excluded.{name}")).collect();
            if !import.is_empty() {
                let other = HAS_ANOTHER.replace("t.import_id", "contacts.import_id");
                columns.push(format!(
                    "import_id = CASE WHEN {other} THEN contacts.import_id ELSE excluded.import_id END"
                ));
            }
            (equal.collect::<Vec<_>>().join(" AND "), format!("UPDATE SET {}", columns.join(", ")))
        };
        let sql = format!(
            "INSERT INTO {table} ({names}{import}) SELECT {names}{import_id} FROM {batch} \
             WHERE NOT coalesce((SELECT {is_same} FROM {table} t WHERE {same}), FALSE) \
             ORDER BY {key} ON CONFLICT ({key}) DO {update}",
            table = table.name,
            names = names(table.columns),
            batch = self.tx.dialect().batch(1, table.columns),
            same = same("t", "b", key),
            key = names(key),
        );
        let rows = batch_text(records.iter().map(|(_, record)| &record.row));
        if import_id.is_empty() {
            return self.tx.execute(&sql, args![rows]).await.map(drop);
        }
        self.tx.execute(&sql, args![rows, self.identity.import_id]).await?;
        let contacts = records.iter().flat_map(|(_, record)| {
            record.contacts.iter().map(|contact_id| (record.account_id, *contact_id))
        });
        self.mark_beside(&contacts.collect()).await
    }

    /// The links of the records become those the records tell, no more and no fewer.
    async fn replace_links(
        &mut self,
        kind: &Kind,
        links: &Table,
        records: &[Numbered],
    ) -> Result<(), StoreError> {
        let columns = names(links.columns);
        let dialect = self.tx.dialect();
        let owner_columns = &links.columns[..links.key];
        let sql = format!(
            "DELETE FROM {table} WHERE ({owner}) IN (SELECT {owner} FROM {owners}) \
             AND ({row}) NOT IN (SELECT {row} FROM {rows})",
            table = links.name,
            owner = names(owner_columns),
            owners = dialect.batch(1, owner_columns),
            row = columns,
            rows = dialect.batch(2, links.columns),
        );
        let owner = |(_, record): &Numbered| {
            // The last column of an owner's key is the record's own id, under the table's name for it.
            let id = kind.table.columns[kind.table.key - 1].0;
            batch_row(
                json!({"account_id": record.account_id, owner_columns[links.key - 1].0: record.row.get(id)}),
            )
        };
        let owners = batch_text(records.iter().map(owner));
        let rows = batch_text(records.iter().flat_map(|(_, record)| &record.links));
        self.tx.execute(&sql, args![owners, rows.as_str()]).await?;
        let (extra, value) = match links.name {
            "contact_emails" => (", live", ", FALSE"),
            _ => ("", ""),
        };
        let sql = format!(
            "INSERT INTO {table} ({columns}{extra}) SELECT {columns}{value} FROM {batch} \
             WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE {same}) ORDER BY {columns} ON CONFLICT DO NOTHING",
            table = links.name,
            batch = dialect.batch(1, links.columns),
            same = same("t", "b", links.columns),
        );
        self.tx.execute(&sql, args![rows]).await?;
        Ok(())
    }

    /// Claims the addresses of these contacts, where they live; those with an address that another live contact holds
    /// are left as they are and come back with their lines, each with a holder.
    ///
    /// # Errors
    ///
    /// Contended where `is_checked` and a holder is not one of those who give their addresses up in this file: it came
    /// after the records were checked, and the next try finds it.
    pub(super) async fn claim_addresses(
        &mut self,
        contacts: &BTreeMap<(i64, i64), u64>,
        is_checked: bool,
    ) -> Result<BTreeMap<((i64, i64), u64), i64>, StoreError> {
        let ids = |(account_id, contact_id): &(i64, i64)| [*account_id, *contact_id];
        let sql = format!(
            "SELECT e.account_id, e.contact_id, e.holder FROM \
             (SELECT e.account_id, e.contact_id, {HOLDER} AS holder FROM {} \
              JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
              JOIN contact_emails e ON e.account_id = b.account_id AND e.contact_id = b.contact_id \
              WHERE c.deleted_at IS NULL) e \
             WHERE e.holder IS NOT NULL",
            self.tx.dialect().ids(1, &batch::CONTACT)
        );
        let mut contested = BTreeMap::new();
        for row in self.tx.rows(&sql, args![Lists::ids(contacts.keys().map(ids))]).await? {
            let (account_id, contact_id, holder) =
                (row.int("account_id")?, row.int("contact_id")?, row.int("holder")?);
            if is_checked && !self.readdressed.contains(&[account_id, holder]).map_err(temporary_failed)? {
                return Err(StoreError::Contended(Conflict::Address));
            }
            let line = contacts.get(&(account_id, contact_id)).copied().unwrap_or_default();
            contested.insert(((account_id, contact_id), line), holder);
        }
        let theirs = contacts.iter().filter(|(contact, line)| !contested.contains_key(&(**contact, **line)));
        addresses::claim(&mut self.tx, &Lists::ids(theirs.map(|(contact, _)| ids(contact)))).await?;
        Ok(contested)
    }

    /// Takes from live contacts what another one holds, and gives them the rest of their addresses.
    pub(super) async fn drop_held_addresses(
        &mut self,
        contacts: impl Iterator<Item = (i64, i64)>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "DELETE FROM contact_emails WHERE (account_id, contact_id, email_key) IN \
             (SELECT e.account_id, e.contact_id, e.email_key FROM {} JOIN contact_emails e \
              ON e.account_id = b.account_id AND e.contact_id = b.contact_id \
              WHERE NOT e.live AND {HOLDER} IS NOT NULL)",
            self.tx.dialect().ids(1, &batch::CONTACT)
        );
        let ids = Lists::ids(contacts.map(|(account_id, contact_id)| [account_id, contact_id]));
        self.tx.execute(&sql, args![&ids]).await?;
        addresses::claim(&mut self.tx, &ids).await
    }

    /// The rows of records as the store has them, locked.
    pub(super) async fn stored(
        &mut self,
        kind: &Kind,
        records: &[Numbered],
    ) -> Result<HashMap<String, Stored>, StoreError> {
        let (key, rest) = kind.table.columns.split_at(kind.table.key);
        let column = |(name, kind): &Column| match kind {
            ColumnType::Json => format!("CAST(t.{name} AS text) AS {name}"),
            _ => format!("t.{name}"),
        };
        let columns = rest.iter().map(column).collect::<Vec<_>>().join(", ");
        let (dialect, batch) = (self.tx.dialect(), batch_text(records.iter().map(|(_, record)| &record.row)));
        let sql = format!(
            "SELECT {}, {columns} FROM {} JOIN {} t ON {} ORDER BY {}{}",
            prefixed("t", key),
            dialect.batch(1, key),
            kind.table.name,
            same("t", "b", key),
            prefixed("t", key),
            dialect.for_update("t"),
        );
        let mut stored: HashMap<String, Stored> = HashMap::new();
        for found in self.tx.rows(&sql, args![batch.as_str()]).await? {
            let row = json_row(&found, kind.table.columns)?;
            let emails = Vec::new();
            stored.insert(key_text(&row, key), Stored { row, emails });
        }
        if kind.name == "contact" {
            let links = [("account_id", ColumnType::Int), ("contact_id", ColumnType::Int)];
            let sql = format!(
                "SELECT e.account_id, e.contact_id, e.email_key, e.email FROM {} JOIN contact_emails e ON {}",
                dialect.batch(1, &links),
                same("e", "b", &links)
            );
            let columns = [links[0], links[1], ("email_key", ColumnType::Text), ("email", ColumnType::Text)];
            for found in self.tx.rows(&sql, args![batch]).await? {
                let email = json_row(&found, &columns)?;
                if let Some(stored) = stored.get_mut(&key_text(&email, &links)) {
                    stored.emails.push(email);
                }
            }
        }
        Ok(stored)
    }
}

fn key_text(row: &Row, key: &[Column]) -> String {
    let columns = key.iter().map(|(name, _)| row.get(*name).map(Value::to_string).unwrap_or_default());
    columns.collect::<Vec<_>>().join("\u{1f}")
}

/// A row of an answer as the row of a record.
fn json_row(found: &Found, columns: &[Column]) -> Result<Row, StoreError> {
    let value = |(name, kind): &Column| -> Result<(String, Value), StoreError> {
        let value = match kind {
            ColumnType::Int => found.optional_int(name)?.into(),
            ColumnType::Json => found.optional_json(name)?.unwrap_or_default(),
            ColumnType::Text => found.optional_text(name)?.into(),
            ColumnType::Time => found.optional_time(name)?.map(format_time).into(),
            ColumnType::Bool => found.bool(name)?.into(),
        };
        Ok(((*name).to_owned(), value))
    };
    columns.iter().map(value).collect()
}

/// The contacts from which a removal takes a membership or an association.
fn contacts_of(record: &Record) -> Vec<(i64, i64)> {
    let id = |column: &str| record.row.get(column).and_then(Value::as_i64);
    let end = |of_type: &str, id_column: &str| {
        id(id_column).filter(|_| record.row.get(of_type).is_some_and(|it| it == "contact"))
    };
    let ids = match record.kind.table.name {
        "segment_members" => [id("contact_id"), None],
        "associations" => [end("from_type", "from_id"), end("to_type", "to_id")],
        _ => [None, None],
    };
    ids.into_iter().flatten().map(|contact_id| (record.account_id, contact_id)).collect()
}

/// The vendor gives two types where a company is the primary one, in any order: the plain one takes nothing from the other, and
/// none takes nothing at all.
fn says_no_more() -> String {
    let implied = associations::implied().map(|[more, plain]| format!("('{more}', '{plain}')"));
    format!(
        "(t.association_type_id IS NOT DISTINCT FROM b.association_type_id \
         OR b.association_type_id IS NULL \
         OR coalesce((t.association_type_id, b.association_type_id) IN ({}), FALSE))",
        implied.collect::<Vec<_>>().join(", ")
    )
}

/// Columns of one table are those of another.
fn same(one: &str, other: &str, columns: &[Column]) -> String {
    let equal = columns.iter().map(|(name, _)| format!("{one}.{name} = {other}.{name}"));
    equal.collect::<Vec<_>>().join(" AND ")
}

fn prefixed(table: &str, columns: &[Column]) -> String {
    columns.iter().map(|(name, _)| format!("{table}.{name}")).collect::<Vec<_>>().join(", ")
}

/// Members of segments for one statement, and which ids of each segment they are all members of.
#[derive(Debug, Default)]
struct Members {
    /// Account, segment, contact.
    members: Vec<[i64; 3]>,
    /// Account, segment, and the ids above the one and up to the other.
    ranges: Vec<[i64; 4]>,
}

/// The members of segments in pieces, always the same for the same records.
fn pieces(records: &[Numbered]) -> Vec<Members> {
    let mut pieces = vec![Members::default()];
    for (_, record) in records {
        let Some(segment_id) = record.row.get("segment_id").and_then(Value::as_i64) else { continue };
        let (mut low, mut rest) = (0, &record.members[..]);
        loop {
            if pieces.last().is_none_or(|last| last.members.len() >= MEMBERS) {
                pieces.push(Members::default());
            }
            let Some(piece) = pieces.last_mut() else { break };
            let (taken, left) = rest.split_at(rest.len().min(MEMBERS - piece.members.len()));
            let high = if left.is_empty() { i64::MAX } else { taken.last().copied().unwrap_or(low) };
            piece.members.extend(taken.iter().map(|id| [record.account_id, segment_id, *id]));
            piece.ranges.push([record.account_id, segment_id, low, high]);
            (low, rest) = (high, left);
            if rest.is_empty() {
                break;
            }
        }
    }
    pieces
}

impl Chunk {
    /// Makes the members of segments those of the records, from a piece on, as long as there is time. The piece to go on with,
    /// where some are left.
    pub(super) async fn write_members(
        &mut self,
        records: &[Numbered],
        from: usize,
    ) -> Result<Option<usize>, StoreError> {
        let pieces = pieces(records);
        for (done, piece) in pieces.iter().enumerate().skip(from) {
            // One at least, so that each chunk comes further.
            if done > from && self.is_full() {
                return Ok(Some(done));
            }
            self.replace_members(piece).await?;
        }
        Ok(None)
    }

    /// A contact in the trash is in no static segment, whatever a record says. The CRM does not name it as a member of a dynamic
    /// one, and a restore brings it back as one: there it stays, hidden.
    async fn replace_members(&mut self, piece: &Members) -> Result<(), StoreError> {
        const MEMBER: [&str; 3] = ["account_id", "segment_id", "contact_id"];
        const RANGE: [Column; 4] = [
            ("account_id", ColumnType::Int),
            ("segment_id", ColumnType::Int),
            ("low", ColumnType::Int),
            ("high", ColumnType::Int),
        ];
        let dialect = self.tx.dialect();
        let members = Lists::ids(piece.members.iter().copied());
        let of = |contact: &str| {
            format!("c.account_id = {contact}.account_id AND c.contact_id = {contact}.contact_id")
        };
        let lock = format!(
            "SELECT count(*) AS locked FROM (SELECT c.contact_id FROM {} JOIN contacts c ON {} \
             ORDER BY c.account_id, c.contact_id{}) c",
            dialect.ids(1, &MEMBER),
            of("b"),
            dialect.for_share("c")
        );
        if dialect == Dialect::Postgres {
            self.tx.rows(&lock, args![&members]).await?;
        }
        let range = |[account_id, segment_id, low, high]: &[i64; 4]| {
            batch_row(json!({"account_id": account_id, "segment_id": segment_id, "low": low, "high": high}))
        };
        let leaving = format!(
            "SELECT m.account_id, m.segment_id, m.contact_id FROM {} CROSS JOIN segment_members m \
             WHERE m.account_id = b.account_id AND m.segment_id = b.segment_id \
               AND m.contact_id > b.low AND m.contact_id <= b.high \
               AND NOT EXISTS (SELECT 1 FROM contacts c WHERE {} AND c.deleted_at IS NOT NULL) \
               AND (m.account_id, m.segment_id, m.contact_id) NOT IN \
               (SELECT b.account_id, b.segment_id, b.contact_id FROM {})",
            dialect.batch(1, &RANGE),
            of("m"),
            dialect.ids(2, &MEMBER)
        );
        let ranges = batch_text(piece.ranges.iter().map(range));
        let mut left = BTreeSet::new();
        for row in self.tx.rows(&leaving, args![ranges.as_str(), &members]).await? {
            left.insert((row.int("account_id")?, row.int("contact_id")?));
        }
        if !left.is_empty() {
            // Until the end of the file nobody knows in which segment they are instead.
            self.mark(&left).await?;
            let sql = format!(
                "DELETE FROM segment_members WHERE (account_id, segment_id, contact_id) IN ({leaving})"
            );
            self.tx.execute(&sql, args![ranges, &members]).await?;
        }
        let sql = format!(
            "INSERT INTO segment_members (account_id, segment_id, contact_id) \
             SELECT b.account_id, b.segment_id, b.contact_id FROM {} \
             WHERE NOT EXISTS (SELECT 1 FROM gone_contacts c WHERE {of_b}) \
               AND NOT EXISTS (SELECT 1 FROM contacts c JOIN segments s ON s.account_id = b.account_id \
                 AND s.segment_id = b.segment_id AND s.processing_type IN ('MANUAL', 'SNAPSHOT') \
                 WHERE {of_b} AND c.deleted_at IS NOT NULL) \
               AND NOT EXISTS (SELECT 1 FROM segment_members c WHERE {of_b} AND c.segment_id = b.segment_id) \
             ORDER BY b.account_id, b.segment_id, b.contact_id ON CONFLICT DO NOTHING",
            dialect.ids(1, &MEMBER),
            of_b = of("b")
        );
        self.tx.execute(&sql, args![members]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::parse_record;
    use crate::store::import::source::Entry;

    fn segment(id: i64, members: i64) -> Numbered {
        let members: Vec<String> = (1..=members).map(|id| (10 * id).to_string()).collect();
        let line = json!({"kind": "segment", "accountId": "1", "id": id.to_string(), "name": "S",
            "processingType": "MANUAL", "members": members});
        (Entry::default(), parse_record(&line.to_string()).unwrap())
    }

    #[test]
    fn members_are_cut_into_pieces_whose_ranges_cover_every_id_once() {
        let pieces = pieces(&[segment(1, 3), segment(2, 0), segment(3, 12_000), segment(4, 1)]);
        let members: Vec<usize> = pieces.iter().map(|piece| piece.members.len()).collect();
        assert_eq!(members, [5_000, 5_000, 2_004]);
        let ranges: Vec<&[i64]> = pieces.iter().flat_map(|piece| &piece.ranges).map(|it| &it[1..]).collect();
        let end = i64::MAX;
        let expected: [&[i64]; 6] = [
            &[1, 0, end],
            &[2, 0, end],
            &[3, 0, 49_970],
            &[3, 49_970, 99_970],
            &[3, 99_970, end],
            &[4, 0, end],
        ];
        assert_eq!(ranges, expected);
    }
}
