//! Segments as the vendor's API has them, lists: their trash, and who is a member.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::find::{Table, lock_live};
use super::search::escaped;
use super::{Writing, read_record};
use crate::domain::object_type::{CONTACT, id_of};
use crate::domain::record::parse_record;
use crate::domain::restore::RESTORABLE;
use crate::domain::time::{Time, format_time};
use crate::store::access::audit::{self, Actor};
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::{Arg, Row, args};
use crate::store::import::ids::{allocate, keep_highest};
use crate::store::import::writer::{Writer, by_program};
use crate::store::{Store, StoreError, read_transaction};

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredList {
    pub id: i64,
    pub name: String,
    /// The one name of the type of its members.
    pub object_type: String,
    /// `MANUAL`, `SNAPSHOT` or `DYNAMIC`.
    pub processing_type: String,
    pub created_at: Option<Time>,
    pub updated_at: Option<Time>,
    /// Since when it is in the trash.
    pub deleted_at: Option<Time>,
    /// How many members it shows, where that was asked for.
    pub size: Option<u64>,
}

impl StoredList {
    /// Does the CRM say who is a member, and not the service's programs?
    pub fn is_dynamic(&self) -> bool {
        self.processing_type == "DYNAMIC"
    }
}

/// Which of the segments that are not in the trash, in the order of their ids.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// The one names of the types of their members.
    pub object_types: Vec<String>,
    /// Empty: any.
    pub ids: Vec<i64>,
    /// Empty: any.
    pub processing_types: Vec<String>,
    /// What is in the name; empty: anything.
    pub name: String,
    pub limit: i64,
    pub offset: i64,
    pub with_size: bool,
}

/// Members of a segment by their ids.
#[derive(Clone, Copy, Debug)]
pub enum MemberPage {
    /// Above this one.
    After(i64),
    /// Below it, the highest first.
    Before(i64),
}

/// A member, or a segment that a record is a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    pub id: i64,
    /// Since when; `None`: nothing says so.
    pub joined_at: Option<Time>,
}

/// What came of a change of members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembersChanged {
    pub added: Vec<i64>,
    pub removed: Vec<i64>,
    /// Those that are not there, or in the trash.
    pub missing: Vec<i64>,
}

/// What a program does to a segment.
enum ListChange<'a> {
    Create { name: &'a str, object_type: &'a str, processing_type: &'a str },
    Archive(i64),
    Restore(i64),
}

impl Store {
    /// The types of records of which the account has segments.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn list_types(&self, account_id: i64) -> Result<Vec<String>, StoreError> {
        read_transaction!(self, tx => types(tx, account_id))
    }

    /// Segments, and how many there are of the kind asked for.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn lists(
        &self,
        account_id: i64,
        query: &ListQuery,
    ) -> Result<(Vec<StoredList>, u64), StoreError> {
        read_transaction!(self, tx => find(tx, account_id, query))
    }

    /// One segment, also one in the trash; its members are counted where that is asked for.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn list(
        &self,
        account_id: i64,
        id: i64,
        with_size: bool,
    ) -> Result<Option<StoredList>, StoreError> {
        read_transaction!(self, tx => one(tx, account_id, id, with_size))
    }

    /// Creates a segment without members.
    ///
    /// # Errors
    ///
    /// Refused where it cannot be stored.
    pub async fn create_list(
        &self,
        by: Writing,
        name: &str,
        object_type: &str,
        processing_type: &str,
    ) -> Result<StoredList, StoreError> {
        let made = self.write_list(by, &ListChange::Create { name, object_type, processing_type }).await?;
        made.ok_or_else(|| StoreError::Failed("a segment that was written is not there".to_owned()))
    }

    /// Puts a segment into the trash. Its members stay as they are; where a workflow asks for it, it is unknown.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn archive_list(&self, by: Writing, id: i64) -> Result<(), StoreError> {
        self.write_list(by, &ListChange::Archive(id)).await.map(drop)
    }

    /// Takes a segment out of the trash; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Refused where its time in the trash is over.
    pub async fn restore_list(&self, by: Writing, id: i64) -> Result<Option<StoredList>, StoreError> {
        self.write_list(by, &ListChange::Restore(id)).await
    }

    async fn write_list(
        &self,
        by: Writing,
        change: &ListChange<'_>,
    ) -> Result<Option<StoredList>, StoreError> {
        by_program!(self, by.token_id, writer => carry_out(writer, by, change))
    }

    /// Members that show of a segment, by their ids.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn list_members(
        &self,
        account_id: i64,
        list: &StoredList,
        page: MemberPage,
        limit: i64,
    ) -> Result<Vec<Membership>, StoreError> {
        read_transaction!(self, tx => members(tx, account_id, list, page, limit))
    }

    /// The segments of which a record is a member.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn lists_of(
        &self,
        account_id: i64,
        object_type: &str,
        record_id: i64,
    ) -> Result<Vec<Membership>, StoreError> {
        read_transaction!(self, tx => of_record(tx, account_id, object_type, record_id))
    }

    /// Makes records members of a static segment, and takes others out of it; one that is named for both stays.
    ///
    /// # Errors
    ///
    /// Not found where there is no such segment; refused where the CRM says who its members are.
    pub async fn change_members(
        &self,
        by: Writing,
        list_id: i64,
        add: &BTreeSet<i64>,
        remove: &BTreeSet<i64>,
    ) -> Result<MembersChanged, StoreError> {
        by_program!(self, by.token_id, writer => change_in(writer, by, list_id, add, remove))
    }
}

async fn types(tx: &mut Tx, account_id: i64) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT DISTINCT object_type FROM segments WHERE account_id = $1 ORDER BY object_type";
    tx.rows(sql, args![account_id]).await?.iter().map(|row| row.text("object_type")).collect()
}

const COLUMNS: &str =
    "s.segment_id, s.name, s.object_type, s.processing_type, s.created_at, s.updated_at, s.deleted_at";

fn stored(row: &Row) -> Result<StoredList, StoreError> {
    Ok(StoredList {
        id: row.int("segment_id")?,
        name: row.text("name")?,
        object_type: row.text("object_type")?,
        processing_type: row.text("processing_type")?,
        created_at: row.optional_time("created_at")?,
        updated_at: row.optional_time("updated_at")?,
        deleted_at: row.optional_time("deleted_at")?,
        size: None,
    })
}

async fn one(
    tx: &mut Tx,
    account_id: i64,
    id: i64,
    with_size: bool,
) -> Result<Option<StoredList>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM segments s WHERE s.account_id = $1 AND s.segment_id = $2");
    let Some(row) = tx.row(&sql, args![account_id, id]).await? else { return Ok(None) };
    let mut lists = [stored(&row)?];
    if with_size {
        add_sizes(tx, account_id, &mut lists).await?;
    }
    let [list] = lists;
    Ok(Some(list))
}

async fn find(tx: &mut Tx, account_id: i64, query: &ListQuery) -> Result<(Vec<StoredList>, u64), StoreError> {
    let mut parameters: Vec<Arg> = vec![account_id.into()];
    let mut parameter = |arg: Arg| {
        parameters.push(arg);
        format!("${}", parameters.len())
    };
    let mut condition = "s.account_id = $1 AND s.deleted_at IS NULL".to_owned();
    let mut among = |column: &str, values: Vec<Arg>| {
        let places: Vec<String> = values.into_iter().map(&mut parameter).collect();
        condition = format!("{condition} AND {column} IN ({})", places.join(", "));
    };
    if query.object_types.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let texts = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect::<Vec<Arg>>();
    among("s.object_type", texts(&query.object_types));
    if !query.processing_types.is_empty() {
        among("s.processing_type", texts(&query.processing_types));
    }
    if !query.ids.is_empty() {
        among("s.segment_id", query.ids.iter().map(|id| (*id).into()).collect());
    }
    if !query.name.is_empty() {
        let place = parameter(format!("%{}%", escaped(&query.name.to_lowercase())).into());
        condition = format!("{condition} AND lower(s.name) LIKE {place} ESCAPE '\\'");
    }
    let sql = format!("SELECT count(*) AS total FROM segments s WHERE {condition}");
    let total = tx.row(&sql, &parameters).await?.map_or(Ok(0), |row| row.int("total"))?;
    let (limit, offset) = (query.limit, query.offset);
    let sql = format!(
        "SELECT {COLUMNS} FROM segments s WHERE {condition} ORDER BY s.segment_id LIMIT {limit} OFFSET {offset}"
    );
    let rows = tx.rows(&sql, &parameters).await?;
    let mut lists = rows.iter().map(stored).collect::<Result<Vec<_>, _>>()?;
    if query.with_size {
        add_sizes(tx, account_id, &mut lists).await?;
    }
    Ok((lists, total.unsigned_abs()))
}

async fn add_sizes(tx: &mut Tx, account_id: i64, lists: &mut [StoredList]) -> Result<(), StoreError> {
    let mut sizes = BTreeMap::new();
    for (table, _) in [MEMBERS_OF_CONTACTS, MEMBERS_OF_OTHERS] {
        let sql = format!(
            "SELECT m.segment_id, count(*) AS size FROM {} {} crm_{table} m \
             ON m.account_id = $1 AND m.segment_id = b.id GROUP BY m.segment_id",
            tx.dialect().ids(2, &["id"]),
            tx.dialect().batch_join(),
        );
        let ids = Lists::ids(lists.iter().map(|list| [list.id]));
        for row in tx.rows(&sql, args![account_id, ids]).await? {
            *sizes.entry(row.int("segment_id")?).or_default() += row.int("size")?.unsigned_abs();
        }
    }
    for list in lists {
        list.size = Some(sizes.get(&list.id).copied().unwrap_or_default());
    }
    Ok(())
}

/// Tables of members, and their column of the member's id.
const MEMBERS_OF_CONTACTS: (&str, &str) = ("segment_members", "contact_id");
const MEMBERS_OF_OTHERS: (&str, &str) = ("record_segment_members", "record_id");

fn members_of(object_type: &str) -> (&'static str, &'static str) {
    if object_type == CONTACT { MEMBERS_OF_CONTACTS } else { MEMBERS_OF_OTHERS }
}

/// That a record of the type `$2` is live.
fn is_live(object_type: &str, id: &str) -> String {
    let table = Table::of(object_type);
    format!("EXISTS (SELECT 1 FROM {} AND {} = {id} AND r.deleted_at IS NULL)", table.rows("$2"), table.id())
}

async fn members(
    tx: &mut Tx,
    account_id: i64,
    list: &StoredList,
    page: MemberPage,
    limit: i64,
) -> Result<Vec<Membership>, StoreError> {
    if list.deleted_at.is_some() {
        return Ok(Vec::new());
    }
    let (table, id) = members_of(&list.object_type);
    let (bound, beyond, order) = match page {
        MemberPage::After(bound) => (bound, ">", "ASC"),
        MemberPage::Before(bound) => (bound, "<", "DESC"),
    };
    let sql = format!(
        "SELECT m.{id} AS id, m.joined_at FROM {table} m WHERE m.account_id = $1 AND m.segment_id = $3 \
         AND m.{id} {beyond} $4 AND {} ORDER BY m.{id} {order} LIMIT {limit}",
        is_live(&list.object_type, &format!("m.{id}"))
    );
    let rows = tx.rows(&sql, args![account_id, list.object_type.as_str(), list.id, bound]).await?;
    rows.iter().map(membership).collect()
}

fn membership(row: &Row) -> Result<Membership, StoreError> {
    Ok(Membership { id: row.int("id")?, joined_at: row.optional_time("joined_at")? })
}

async fn of_record(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    record_id: i64,
) -> Result<Vec<Membership>, StoreError> {
    let (table, id) = members_of(object_type);
    let sql = format!(
        "SELECT m.segment_id AS id, m.joined_at FROM {table} m JOIN segments s ON s.account_id = m.account_id \
         AND s.segment_id = m.segment_id AND s.object_type = $2 AND s.deleted_at IS NULL \
         WHERE m.account_id = $1 AND m.{id} = $3 AND {} ORDER BY m.segment_id",
        is_live(object_type, "$3")
    );
    tx.rows(&sql, args![account_id, object_type, record_id]).await?.iter().map(membership).collect()
}

/// Does it in an open transaction; the segment, where there is one.
async fn carry_out(
    writer: &mut Writer,
    by: Writing,
    change: &ListChange<'_>,
) -> Result<Option<StoredList>, StoreError> {
    let (account_id, now) = (by.account_id, writer.now());
    let (id, action) = match *change {
        ListChange::Create { name, object_type, processing_type } => {
            let ids = allocate(writer.tx(), account_id, 1).await?;
            let id = *ids.first().ok_or_else(|| StoreError::Failed("no id was given".to_owned()))?;
            let at = format_time(now);
            let segment = json!({"kind": "segment", "accountId": account_id.to_string(), "id": id.to_string(),
                "name": name, "objectTypeId": id_of(object_type), "processingType": processing_type,
                "createdAt": at, "updatedAt": at, "members": []});
            let record = parse_record(&segment.to_string());
            let record = record.map_err(|fault| StoreError::Refused(fault.to_string()))?;
            writer.write_all(vec![record]).await?;
            (id, "create_segment")
        }
        ListChange::Archive(id) => {
            // Nothing else tells from then on that its id was given.
            keep_highest(writer.tx(), account_id).await?;
            let sql = "UPDATE segments SET deleted_at = $3 WHERE account_id = $1 AND segment_id = $2 AND deleted_at IS NULL";
            if writer.tx().execute(sql, args![account_id, id, now]).await? == 0 {
                return Ok(None);
            }
            (id, "delete_segment")
        }
        ListChange::Restore(id) => {
            let Some(list) = one(writer.tx(), account_id, id, false).await? else { return Ok(None) };
            let Some(deleted_at) = list.deleted_at else { return Ok(Some(list)) };
            if now - deleted_at > RESTORABLE {
                return Err(StoreError::Refused(format!("list {id} was deleted more than 90 days ago")));
            }
            let sql = "UPDATE segments SET deleted_at = NULL WHERE account_id = $1 AND segment_id = $2";
            writer.tx().execute(sql, args![account_id, id]).await?;
            (id, "restore_segment")
        }
    };
    audit::write(writer.tx(), now, account_id, &Actor::User(by.user_id), action, &[id], 1).await?;
    one(writer.tx(), account_id, id, false).await
}

async fn change_in(
    writer: &mut Writer,
    by: Writing,
    list_id: i64,
    add: &BTreeSet<i64>,
    remove: &BTreeSet<i64>,
) -> Result<MembersChanged, StoreError> {
    let account_id = by.account_id;
    let list = one(writer.tx(), account_id, list_id, false).await?.filter(|list| list.deleted_at.is_none());
    let list = list.ok_or_else(|| StoreError::NotFound("there is no such list".to_owned()))?;
    if list.is_dynamic() {
        return Err(StoreError::Refused(format!(
            "list {list_id} is DYNAMIC: the CRM says who its members are"
        )));
    }
    let live = lock_live(writer.tx(), account_id, &list.object_type, add).await?;
    let named: BTreeSet<i64> = add.union(remove).copied().collect();
    let before = members_among(writer.tx(), account_id, &list, &named).await?;
    let added: Vec<i64> = live.difference(&before).copied().collect();
    let missing: Vec<i64> = add.difference(&live).copied().collect();
    let removed: Vec<i64> =
        before.iter().filter(|id| remove.contains(id) && !add.contains(id)).copied().collect();
    let is_of_contacts = list.object_type == CONTACT;
    writer.add_members(account_id, list_id, is_of_contacts, &added).await?;
    let member = if is_of_contacts { "contactId" } else { "recordId" };
    for removed in removed.chunks(MAX_REMOVED) {
        let record = |id: &i64| {
            let mut record = json!({"kind": "remove", "of": "membership", "accountId": account_id.to_string(),
                "segmentId": list_id.to_string()});
            record[member] = Value::from(id.to_string());
            read_record(&record)
        };
        let records = removed.iter().map(record).collect::<Result<_, _>>()?;
        writer.write_all(records).await?;
    }
    let changed = added.iter().chain(&removed).copied().collect::<Vec<_>>();
    if !changed.is_empty() {
        let (now, actor) = (writer.now(), Actor::User(by.user_id));
        let count = i64::try_from(changed.len()).unwrap_or(i64::MAX);
        audit::write(writer.tx(), now, account_id, &actor, "change_members", &[list_id], count).await?;
    }
    Ok(MembersChanged { added, removed, missing })
}

/// How many memberships are removed in one statement.
const MAX_REMOVED: usize = 5_000;

/// Which of these records show as members.
async fn members_among(
    tx: &mut Tx,
    account_id: i64,
    list: &StoredList,
    ids: &BTreeSet<i64>,
) -> Result<BTreeSet<i64>, StoreError> {
    let (table, id) = members_of(&list.object_type);
    let sql = format!(
        "SELECT m.{id} AS id FROM {} {} {table} m ON m.account_id = $1 AND m.segment_id = $3 AND m.{id} = b.id WHERE {}",
        tx.dialect().ids(4, &["id"]),
        tx.dialect().batch_join(),
        is_live(&list.object_type, &format!("m.{id}"))
    );
    let ids = Lists::ids(ids.iter().map(|id| [*id]));
    let rows = tx.rows(&sql, args![account_id, list.object_type.as_str(), list.id, ids]).await?;
    rows.iter().map(|row| row.int("id")).collect()
}
