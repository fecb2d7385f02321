//! The members of segments: up to three million in one record, written in pieces.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Numbered;
use super::chunk::Chunk;
use crate::domain::object_type::CONTACT;
use crate::domain::record::{Column, ColumnType};
use crate::store::StoreError;
use crate::store::db::batch::{Lists, batch_row, batch_text};
use crate::store::db::dialect::Dialect;
use crate::store::db::values::args;

/// How many members of segments travel in one statement.
const MEMBERS: usize = 5_000;

/// Members of segments for one statement, and which ids of each segment they are all members of.
#[derive(Debug, Default)]
struct Members {
    /// Account, segment, contact.
    contacts: Vec<[i64; 3]>,
    /// Account, segment, record, which is no contact.
    others: Vec<[i64; 3]>,
    /// Account, segment, and the ids above the one and up to the other.
    ranges: Vec<[i64; 4]>,
}

/// The members of segments in pieces, always the same for the same records.
fn pieces(records: &[Numbered]) -> Vec<Members> {
    let mut pieces = vec![Members::default()];
    for (_, record) in records {
        let Some(segment_id) = record.row.get("segment_id").and_then(Value::as_i64) else { continue };
        let is_of_contacts = record.row.get("object_type").is_none_or(|object_type| object_type == CONTACT);
        let (mut low, mut rest) = (0, &record.members[..]);
        loop {
            if pieces.last().is_none_or(|last| last.len() >= MEMBERS) {
                pieces.push(Members::default());
            }
            let Some(piece) = pieces.last_mut() else { break };
            let (taken, left) = rest.split_at(rest.len().min(MEMBERS - piece.len()));
            let high = if left.is_empty() { i64::MAX } else { taken.last().copied().unwrap_or(low) };
            let members = if is_of_contacts { &mut piece.contacts } else { &mut piece.others };
            members.extend(taken.iter().map(|id| [record.account_id, segment_id, *id]));
            piece.ranges.push([record.account_id, segment_id, low, high]);
            (low, rest) = (high, left);
            if rest.is_empty() {
                break;
            }
        }
    }
    pieces
}

impl Members {
    fn len(&self) -> usize {
        self.contacts.len() + self.others.len()
    }

    /// The ids that `contacts` and `others` are all members of.
    fn ranges(&self) -> String {
        let range = |[account_id, segment_id, low, high]: &[i64; 4]| {
            batch_row(json!({"account_id": account_id, "segment_id": segment_id, "low": low, "high": high}))
        };
        batch_text(self.ranges.iter().map(range))
    }
}

const RANGE: [Column; 4] = [
    ("account_id", ColumnType::Int),
    ("segment_id", ColumnType::Int),
    ("low", ColumnType::Int),
    ("high", ColumnType::Int),
];

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
            self.replace_contacts(piece).await?;
            self.replace_others(piece).await?;
        }
        Ok(None)
    }

    /// Adds members to a segment, and takes none away.
    pub(super) async fn add_members(
        &mut self,
        account_id: i64,
        segment_id: i64,
        is_of_contacts: bool,
        ids: &[i64],
    ) -> Result<(), StoreError> {
        for ids in ids.chunks(MEMBERS) {
            let rows = ids.iter().map(|id| [account_id, segment_id, *id]).collect();
            let members = Members::default();
            if is_of_contacts {
                self.replace_contacts(&Members { contacts: rows, ..members }).await?;
            } else {
                self.replace_others(&Members { others: rows, ..members }).await?;
            }
        }
        Ok(())
    }

    /// A contact in the trash is in no static segment, whatever a record says. The CRM does not name it as a member of a dynamic
    /// one, and a restore brings it back as one: there it stays, hidden.
    async fn replace_contacts(&mut self, piece: &Members) -> Result<(), StoreError> {
        const MEMBER: [&str; 3] = ["account_id", "segment_id", "contact_id"];
        let dialect = self.tx.dialect();
        let members = Lists::ids(piece.contacts.iter().copied());
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
        let ranges = piece.ranges();
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
            "INSERT INTO segment_members (account_id, segment_id, contact_id, joined_at) \
             SELECT b.account_id, b.segment_id, b.contact_id, $1 FROM {} \
             WHERE NOT EXISTS (SELECT 1 FROM gone_contacts c WHERE {of_b}) \
               AND NOT EXISTS (SELECT 1 FROM contacts c JOIN segments s ON s.account_id = b.account_id \
                 AND s.segment_id = b.segment_id AND s.processing_type IN ('MANUAL', 'SNAPSHOT') \
                 WHERE {of_b} AND c.deleted_at IS NOT NULL) \
               AND NOT EXISTS (SELECT 1 FROM segment_members c WHERE {of_b} AND c.segment_id = b.segment_id) \
             ORDER BY b.account_id, b.segment_id, b.contact_id ON CONFLICT DO NOTHING",
            dialect.ids(2, &MEMBER),
            of_b = of("b")
        );
        self.tx.execute(&sql, args![self.now, members]).await.map(drop)
    }

    /// The same for records of other types.
    async fn replace_others(&mut self, piece: &Members) -> Result<(), StoreError> {
        const MEMBER: [&str; 3] = ["account_id", "segment_id", "record_id"];
        let dialect = self.tx.dialect();
        let members = Lists::ids(piece.others.iter().copied());
        // Is the record of a row in the trash, and was it purged? By the type of the row's segment, `s`.
        let is_in = |row: &str, table: &str, condition: &str| {
            format!(
                "EXISTS (SELECT 1 FROM segments s JOIN {table} r ON r.account_id = s.account_id \
                 AND r.object_type = s.object_type AND r.record_id = {row}.record_id AND {condition} \
                 WHERE s.account_id = {row}.account_id AND s.segment_id = {row}.segment_id)"
            )
        };
        let in_trash = |row: &str| is_in(row, "stored_records", "r.deleted_at IS NOT NULL");
        for (table, object_type, id) in
            [("objects", "object_type", "object_id"), ("activities", "type", "activity_id")]
        {
            let lock = format!(
                "SELECT count(*) AS locked FROM (SELECT r.{id} FROM {} \
                 JOIN segments s ON s.account_id = b.account_id AND s.segment_id = b.segment_id \
                 JOIN {table} r ON r.account_id = b.account_id AND r.{object_type} = s.object_type AND r.{id} = b.record_id \
                 ORDER BY r.account_id, r.{object_type}, r.{id}{}) r",
                dialect.ids(1, &MEMBER),
                dialect.for_share("r")
            );
            if dialect == Dialect::Postgres && !piece.others.is_empty() {
                self.tx.rows(&lock, args![&members]).await?;
            }
        }
        let leave = format!(
            "DELETE FROM record_segment_members WHERE (account_id, segment_id, record_id) IN \
             (SELECT m.account_id, m.segment_id, m.record_id FROM {} CROSS JOIN record_segment_members m \
             WHERE m.account_id = b.account_id AND m.segment_id = b.segment_id \
             AND m.record_id > b.low AND m.record_id <= b.high AND NOT {} \
             AND (m.account_id, m.segment_id, m.record_id) NOT IN \
             (SELECT b.account_id, b.segment_id, b.record_id FROM {}))",
            dialect.batch(1, &RANGE),
            in_trash("m"),
            dialect.ids(2, &MEMBER)
        );
        self.tx.execute(&leave, args![piece.ranges(), &members]).await?;
        if piece.others.is_empty() {
            return Ok(());
        }
        let enter = format!(
            "INSERT INTO record_segment_members (account_id, segment_id, record_id, joined_at) \
             SELECT b.account_id, b.segment_id, b.record_id, $1 FROM {} WHERE NOT {} \
             AND NOT EXISTS (SELECT 1 FROM segments s WHERE s.account_id = b.account_id AND s.segment_id = b.segment_id \
             AND s.processing_type IN ('MANUAL', 'SNAPSHOT') AND {}) \
             ORDER BY b.account_id, b.segment_id, b.record_id ON CONFLICT DO NOTHING",
            dialect.ids(2, &MEMBER),
            is_in("b", "record_trash_entries", "r.closed_as IN ('purged', 'erased')"),
            in_trash("b")
        );
        self.tx.execute(&enter, args![self.now, members]).await.map(drop)
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
        let members: Vec<usize> = pieces.iter().map(|piece| piece.contacts.len()).collect();
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
