//! The first pass: is every line a record, is everything there that the records name, does each address belong to one live
//! contact at the end of the file? Nothing is written but temporary files, and little of the file is in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::iter::Peekable;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::index::Index;
use super::sorter::{Rows, Sorted, Sorter};
use super::source::{Entry, Next, Source, temporary_failed};
use super::{Phase, Progress, State, gone_of, ids, pairs_where, states};
use crate::domain::address::address_key;
use crate::domain::hex::hex;
use crate::domain::members::FieldError;
use crate::domain::record::{Column, ColumnType, Record, parse_record, stages, too_long};
use crate::store::contacts::absent_accounts;
use crate::store::db::Tx;
use crate::store::db::batch::{CONTACT, batch_row, batch_text};
use crate::store::db::values::args;
use crate::store::{Store, StoreError, read_transaction};

/// So many rows are asked about at once.
const ASKED: usize = 500;
/// Between two reports of the progress.
const REPORTED: u64 = 1_000;

const ADDRESS: [Column; 3] =
    [("account_id", ColumnType::Int), ("contact_id", ColumnType::Int), ("email_key", ColumnType::Text)];

/// A file that may be imported.
pub(super) struct Checked {
    pub index: Index,
    pub records: u64,
    /// Account and id of the contacts whose addresses the file replaces: one that they hold now they may hold no longer
    /// at its end.
    pub readdressed: Sorted<2>,
    /// The accounts of its records, and whether enrollments of them are among these.
    pub accounts: BTreeMap<i64, bool>,
    /// The same for the same lines.
    pub source_hash: String,
}

/// A mistake of the file as a whole: its line, and what it is.
type RecordError = (u64, String);

pub(super) async fn check(
    store: &Store,
    source: &Source,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Checked, StoreError> {
    let mut check = Check::new(store);
    let size = source.size().map_err(temporary_failed)?;
    let mut lines = source.lines().map_err(temporary_failed)?;
    let mut buffer = Vec::new();
    let mut line = 0;
    loop {
        line += 1;
        let next = lines.next(&mut buffer);
        let next = next.map_err(|error| at_line(line, "the line", &format!("cannot be read ({error})")))?;
        match next {
            Next::End => break,
            Next::TooLong(line) => return Err(fault_at(line, too_long())),
            Next::Line(entry) => {
                check.source_hash.update(entry.hash.to_be_bytes());
                check.source_hash.update(entry.length.to_be_bytes());
                let text = std::str::from_utf8(&buffer)
                    .map_err(|_| at_line(line, "the line", "must be text in UTF-8"))?;
                if !text.trim().is_empty() {
                    let record = parse_record(text).map_err(|fault| fault_at(line, fault))?;
                    check.take(entry, &record).await?;
                }
                if line.is_multiple_of(REPORTED) {
                    progress(Progress { phase: Phase::Check, done: entry.offset, all: size });
                }
            }
        }
    }
    check.finish().await
}

fn fault_at(line: u64, FieldError { place, expected }: FieldError) -> StoreError {
    at_line(line, &place, &expected)
}

fn at_line(line: u64, place: &str, problem: &str) -> StoreError {
    StoreError::Refused(format!("line {line}: {place}: {problem}; nothing was imported"))
}

fn refuse(mistake: Option<RecordError>) -> Result<(), StoreError> {
    mistake.map_or(Ok(()), |(line, problem)| {
        Err(StoreError::Refused(format!("line {line}: {problem}; nothing was imported")))
    })
}

struct Check<'a> {
    store: &'a Store,
    index: Index,
    records: u64,
    accounts: BTreeMap<i64, bool>,
    /// Accounts (with contact 0) and contacts that the file brings.
    brought: Sorter<2>,
    /// Those that it names, and where.
    named: Sorter<3>,
    /// The last ones of these, so that a file of one account names it once.
    last_named: HashMap<&'static str, [i64; 2]>,
    /// What the records of a contact say of its addresses; see [`Row`].
    addresses: Sorter<6>,
    /// Addresses of the file that another live contact holds: account, contact, hash.
    held: Sorter<4>,
    /// Addresses to ask the store about.
    asked: Vec<(i64, i64, String)>,
    hashes: [RandomState; 2],
    source_hash: Sha256,
}

/// A row of `addresses`: account, contact, line, what it is, and its value.
#[derive(Clone, Copy)]
enum Row {
    /// The record: which addresses it names, and whether it is archived.
    Record = 0,
    Primary = 1,
    Additional = 2,
}

/// An address, as a keyed hash.
type Hash = [i64; 2];

impl<'a> Check<'a> {
    fn new(store: &'a Store) -> Self {
        Self {
            store,
            index: Index::new(stages()),
            records: 0,
            accounts: BTreeMap::new(),
            brought: Sorter::new(),
            named: Sorter::new(),
            last_named: HashMap::new(),
            addresses: Sorter::new(),
            held: Sorter::new(),
            asked: Vec::new(),
            hashes: [RandomState::new(), RandomState::new()],
            source_hash: Sha256::new(),
        }
    }

    async fn take(&mut self, entry: Entry, record: &Record) -> Result<(), StoreError> {
        self.note(entry, record).map_err(temporary_failed)?;
        if self.asked.len() >= ASKED { self.ask_for_holders().await } else { Ok(()) }
    }

    fn note(&mut self, entry: Entry, record: &Record) -> std::io::Result<()> {
        self.records += 1;
        self.index.push(record.stage(), entry)?;
        let (account_id, line) = (record.account_id, line_number(entry.line));
        *self.accounts.entry(account_id).or_default() |= record.kind.name == "enrollment";
        match record.kind.name {
            "account" => self.brought.push([account_id, 0])?,
            _ => self.name("account", [account_id, 0], line)?,
        }
        if let Some(contact_id) = record.owner {
            self.name("contact", [account_id, contact_id], line)?;
        }
        if record.kind.name == "contact" {
            self.note_contact(record, line)?;
        }
        Ok(())
    }

    fn name(&mut self, what: &'static str, key: [i64; 2], line: i64) -> std::io::Result<()> {
        if self.last_named.insert(what, key) == Some(key) {
            return Ok(());
        }
        self.named.push([key[0], key[1], line])
    }

    fn note_contact(&mut self, record: &Record, line: i64) -> std::io::Result<()> {
        let (account_id, names) = (record.account_id, record.names_addresses);
        for contact_id in &record.contacts {
            if record.owner.is_none() {
                self.brought.push([account_id, *contact_id])?;
            }
            let flags = i64::from(names.primary)
                + 2 * i64::from(names.additional)
                + 4 * i64::from(record.archived.is_some());
            let row =
                |what: Row, [one, other]: Hash| [account_id, *contact_id, line, what as i64, one, other];
            self.addresses.push(row(Row::Record, [flags, 0]))?;
            let primary = primary_key(&record.row);
            for link in &record.links {
                let Some(key) = link.get("email_key").and_then(Value::as_str) else { continue };
                if link.get("exclusive") == Some(&Value::Bool(false)) {
                    continue;
                }
                let what = if primary.as_deref() == Some(key) { Row::Primary } else { Row::Additional };
                let hash = self.hash(key);
                self.addresses.push(row(what, hash))?;
                self.asked.push((account_id, *contact_id, key.to_owned()));
            }
        }
        Ok(())
    }

    fn hash(&self, address: &str) -> Hash {
        let [one, other] = &self.hashes;
        [one.hash_one(address).cast_signed(), other.hash_one(address).cast_signed()]
    }

    async fn ask_for_holders(&mut self) -> Result<(), StoreError> {
        let asked = std::mem::take(&mut self.asked);
        let holders = read_transaction!(self.store, tx => holders(tx, &asked))?;
        for Holder { account_id, address, held_by, .. } in holders {
            let [one, other] = self.hash(&address);
            self.held.push([account_id, held_by, one, other]).map_err(temporary_failed)?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Checked, StoreError> {
        self.ask_for_holders().await?;
        refuse(self.absent().await?)?;
        let (claims, readdressed) = self.claims().await?;
        refuse(contested(&claims).map_err(temporary_failed)?)?;
        let source_hash = hex(&self.source_hash.finalize());
        let Self { index, records, accounts, .. } = self;
        Ok(Checked { index, records, readdressed, accounts, source_hash })
    }

    /// The first account that the file names and neither it nor the store has, or else the first such contact; by line.
    async fn absent(&mut self) -> Result<Option<RecordError>, StoreError> {
        let (brought, named) = (take(&mut self.brought)?, take(&mut self.named)?);
        let mut brought = brought.rows().peekable();
        let (mut account, mut contact) = (None, None);
        let mut unknown: BTreeMap<(i64, i64), u64> = BTreeMap::new();
        let mut rows = named.rows().peekable();
        while let Some(row) = rows.next() {
            let [account_id, contact_id, line] = row.map_err(temporary_failed)?;
            if !pass_to(&mut brought, [account_id, contact_id])? {
                unknown.entry((account_id, contact_id)).or_insert(line.unsigned_abs());
            }
            if unknown.len() == ASKED || rows.peek().is_none() {
                for key in read_transaction!(self.store, tx => absent(tx, &unknown))? {
                    let first = if key.1 == 0 { &mut account } else { &mut contact };
                    let line = unknown.get(&key).copied().unwrap_or_default();
                    first.get_or_insert((line, key));
                }
                unknown.clear();
            }
        }
        Ok(account.or(contact).map(|(line, (account_id, contact_id))| {
            let problem = match contact_id {
                0 => {
                    format!("accountId: names account {account_id}, which neither the file nor the store has")
                }
                _ => {
                    format!("contactId: names contact {contact_id}, which neither the file nor the store has")
                }
            };
            (line, problem)
        }))
    }

    /// Which contact has which address at the end of the file, as far as it tells; and whose addresses it replaces.
    async fn claims(&mut self) -> Result<(Sorted<5>, Sorted<2>), StoreError> {
        let addresses = take(&mut self.addresses)?;
        let mut batch: Vec<Contact> = Vec::new();
        let (mut claims, mut readdressed) = (Sorter::new(), Sorter::new());
        let mut last: Option<Contact> = None;
        for row in addresses.rows() {
            let row = row.map_err(temporary_failed)?;
            let key = (row[0], row[1]);
            if last.as_ref().is_none_or(|contact| contact.key != key) {
                batch.extend(last.replace(Contact::new(key)));
                if batch.len() >= ASKED {
                    self.claim(std::mem::take(&mut batch), &mut claims, &mut readdressed).await?;
                }
            }
            if let Some(contact) = &mut last {
                contact.take(row);
            }
        }
        batch.extend(last);
        self.claim(batch, &mut claims, &mut readdressed).await?;
        let (held, readdressed) = (take(&mut self.held)?, readdressed.finish().map_err(temporary_failed)?);
        let mut replaced = readdressed.rows().peekable();
        for row in held.rows() {
            let [account_id, contact_id, one, other] = row.map_err(temporary_failed)?;
            if !pass_to(&mut replaced, [account_id, contact_id])? {
                claims.push([account_id, one, other, contact_id, 0]).map_err(temporary_failed)?;
            }
        }
        drop(replaced);
        Ok((claims.finish().map_err(temporary_failed)?, readdressed))
    }

    /// Notes what a batch of contacts claims: those who live, or are new and do not arrive in the trash.
    async fn claim(
        &self,
        contacts: Vec<Contact>,
        claims: &mut Sorter<5>,
        readdressed: &mut Sorter<2>,
    ) -> Result<(), StoreError> {
        let keys: BTreeSet<(i64, i64)> = contacts.iter().map(|contact| contact.key).collect();
        let kept = contacts.iter().filter(|contact| contact.is_partly_kept()).map(|contact| contact.key);
        let kept = kept.collect::<BTreeSet<_>>();
        let (states, gone, stored) = read_transaction!(self.store, tx => known(tx, &keys, &kept))?;
        for contact in contacts {
            let (account_id, contact_id) = contact.key;
            if contact.primary.is_some() || contact.additional.is_some() {
                readdressed.push([account_id, contact_id]).map_err(temporary_failed)?;
            }
            let is_live = match states.get(&contact.key) {
                Some(state) => !state.is_in_trash,
                None => !contact.arrives_archived && !gone.contains(&contact.key),
            };
            if !is_live {
                continue;
            }
            let stored = stored.get(&contact.key);
            let hash = |address: &String| self.hash(address);
            let primary = contact.primary.unwrap_or_else(|| {
                stored.map(|stored| stored.primary.iter().map(hash).collect()).unwrap_or_default()
            });
            let additional = contact.additional.unwrap_or_else(|| {
                stored.map(|stored| stored.additional.iter().map(hash).collect()).unwrap_or_default()
            });
            for [one, other] in primary.into_iter().chain(additional) {
                claims.push([account_id, one, other, contact_id, contact.line]).map_err(temporary_failed)?;
            }
        }
        Ok(())
    }
}

/// What the file says of a contact's addresses; `None`: nothing, they stay.
struct Contact {
    key: (i64, i64),
    /// The last line that says something.
    line: i64,
    has_record: bool,
    arrives_archived: bool,
    primary: Option<Vec<Hash>>,
    additional: Option<Vec<Hash>>,
}

impl Contact {
    fn new(key: (i64, i64)) -> Self {
        Self { key, line: 0, has_record: false, arrives_archived: false, primary: None, additional: None }
    }

    fn take(&mut self, row: [i64; 6]) {
        let [_, _, line, what, one, other] = row;
        if what == Row::Record as i64 {
            if !std::mem::replace(&mut self.has_record, true) {
                self.arrives_archived = one & 4 != 0;
            }
            if one & 1 != 0 {
                self.primary = Some(Vec::new());
            }
            if one & 2 != 0 {
                self.additional = Some(Vec::new());
            }
            self.line = line;
        } else if what == Row::Primary as i64 {
            self.primary = Some(vec![[one, other]]);
        } else {
            self.additional.get_or_insert_default().push([one, other]);
        }
    }

    /// Does it keep some addresses that the store has?
    fn is_partly_kept(&self) -> bool {
        self.primary.is_some() != self.additional.is_some()
    }
}

fn line_number(line: u64) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX)
}

fn take<const N: usize>(sorter: &mut Sorter<N>) -> Result<Sorted<N>, StoreError> {
    std::mem::replace(sorter, Sorter::new()).finish().map_err(temporary_failed)
}

/// Is the key among the rows, of which none before it are asked for any more?
fn pass_to(rows: &mut Peekable<Rows<'_, 2>>, key: [i64; 2]) -> Result<bool, StoreError> {
    while rows.next_if(|row| row.as_ref().is_ok_and(|row| *row < key)).is_some() {}
    match rows.peek() {
        Some(Ok(row)) => Ok(*row == key),
        Some(Err(error)) => Err(temporary_failed(std::io::Error::new(error.kind(), error.to_string()))),
        None => Ok(false),
    }
}

/// The first line that gives a contact an address which another live contact has at the end of the file.
fn contested(claims: &Sorted<5>) -> std::io::Result<Option<RecordError>> {
    let mut mistake: Option<RecordError> = None;
    let mut first: Option<[i64; 5]> = None;
    for claim in claims.rows() {
        let claim = claim?;
        let Some(held) = first.filter(|first| first[..3] == claim[..3]) else {
            first = Some(claim);
            continue;
        };
        let ([.., contact_id, line], [.., holder, _]) =
            // A contact of the store has no line: the later one is at fault.
            if claim[4] >= held[4] { (claim, held) } else { (held, claim) };
        let line = line.unsigned_abs();
        if contact_id != holder && mistake.as_ref().is_none_or(|(first, _)| line < *first) {
            mistake = Some((line, claims_held_address(contact_id, holder)));
        }
    }
    Ok(mistake)
}

/// What is wrong with the record of a contact that claims the address of another one.
pub(super) fn claims_held_address(contact_id: i64, holder: i64) -> String {
    format!(
        "properties.email or additionalEmails: gives contact {contact_id} an address that the live contact {holder} \
         holds; an address belongs to one"
    )
}

/// The key of a record's primary address.
fn primary_key(row: &crate::domain::record::Row) -> Option<String> {
    let email = row.get("properties")?.get("email")?.as_str()?;
    Some(address_key(email)).filter(|key| !key.is_empty())
}

/// A live contact with an address that another one is to have.
pub(super) struct Holder {
    pub account_id: i64,
    pub contact_id: i64,
    pub address: String,
    pub held_by: i64,
}

/// The live contacts that hold one of these addresses beside the contact that it is asked for.
pub(super) async fn holders(
    tx: &mut Tx,
    addresses: &[(i64, i64, String)],
) -> Result<Vec<Holder>, StoreError> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    // The cross joins keep SQLite from walking all contacts of the account; see `addresses::HOLDER`.
    let sql = format!(
        "SELECT b.account_id, b.contact_id, b.email_key, o.contact_id AS held_by FROM {} \
         CROSS JOIN contact_emails o CROSS JOIN contacts h \
         WHERE o.account_id = b.account_id AND o.email_key = b.email_key AND o.exclusive AND o.contact_id <> b.contact_id \
           AND h.account_id = o.account_id AND h.contact_id = o.contact_id AND h.deleted_at IS NULL",
        tx.dialect().batch(1, &ADDRESS)
    );
    let row = |(account_id, contact_id, address): &(i64, i64, String)| {
        batch_row(json!({"account_id": account_id, "contact_id": contact_id, "email_key": address}))
    };
    let rows = tx.rows(&sql, args![batch_text(addresses.iter().map(row))]).await?;
    let holder = |row: &crate::store::db::values::Row| {
        Ok(Holder {
            account_id: row.int("account_id")?,
            contact_id: row.int("contact_id")?,
            address: row.text("email_key")?,
            held_by: row.int("held_by")?,
        })
    };
    rows.iter().map(holder).collect()
}

/// Those of the accounts (with contact 0) and contacts that the store does not have and never had.
async fn absent(tx: &mut Tx, named: &BTreeMap<(i64, i64), u64>) -> Result<Vec<(i64, i64)>, StoreError> {
    let of = |is_account: bool| {
        named.keys().copied().filter(move |(_, contact_id)| (*contact_id == 0) == is_account)
    };
    let accounts = of(true).map(|(account_id, _)| account_id).collect();
    let mut absent: Vec<(i64, i64)> =
        absent_accounts(tx, &accounts).await?.into_iter().map(|account_id| (account_id, 0)).collect();
    let clause = "WHERE NOT EXISTS (SELECT 1 FROM contacts c \
                    WHERE c.account_id = b.account_id AND c.contact_id = b.contact_id) \
                  AND NOT EXISTS (SELECT 1 FROM gone_contacts g \
                    WHERE g.account_id = b.account_id AND g.contact_id = b.contact_id)";
    absent.extend(pairs_where(tx, clause, &of(false).collect()).await?);
    Ok(absent)
}

/// The addresses that the store has of a contact.
#[derive(Default)]
struct Stored {
    primary: Option<String>,
    additional: Vec<String>,
}

type Known = (HashMap<(i64, i64), State>, HashSet<(i64, i64)>, HashMap<(i64, i64), Stored>);

/// The state of these contacts, which of them are gone, and the addresses of some.
async fn known(
    tx: &mut Tx,
    contacts: &BTreeSet<(i64, i64)>,
    addressed: &BTreeSet<(i64, i64)>,
) -> Result<Known, StoreError> {
    let states = states(tx, contacts, "").await?;
    let absent = contacts.iter().filter(|key| !states.contains_key(key)).copied().collect();
    let gone = gone_of(tx, &absent).await?;
    let mut stored: HashMap<(i64, i64), Stored> = HashMap::new();
    if addressed.is_empty() {
        return Ok((states, gone, stored));
    }
    let sql = format!(
        "SELECT b.account_id, b.contact_id, e.email_key, c.properties ->> 'email' AS email FROM {} \
         JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
         JOIN contact_emails e ON e.account_id = b.account_id AND e.contact_id = b.contact_id",
        tx.dialect().ids(1, &CONTACT)
    );
    for row in tx.rows(&sql, args![ids(addressed)]).await? {
        let entry = stored.entry((row.int("account_id")?, row.int("contact_id")?)).or_default();
        let (key, email) = (row.text("email_key")?, row.optional_text("email")?);
        if email.is_some_and(|email| address_key(&email) == key) {
            entry.primary = Some(key);
        } else {
            entry.additional.push(key);
        }
    }
    Ok((states, gone, stored))
}
