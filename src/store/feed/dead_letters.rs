//! Dead letters of both feeds: written with the batch that they are of, looked at, decided anew, discarded.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::domain::body_texts::{is_kept_whole, is_searchable, kept, legible, texts_of};
use crate::domain::dead_letter::{Arrived, DeadLetter, Selection};
use crate::domain::identifiers::Identifiers;
use crate::domain::mentions::{about, without_contact};
use crate::domain::redaction::{REDACTED, Redactor, Style, addresses_in};
use crate::domain::rejection::Rejection;
use crate::domain::time::Time;
use crate::domain::trace::TraceContext;
use crate::ports::ReplayStore;
use crate::store::access::audit::{self, Actor};
use crate::store::db::batch::{CONTACT, Lists};
use crate::store::db::values::{Arg, Row, args};
use crate::store::db::{Tx, locks};
use crate::store::identity::suppressions;
use crate::store::{HashKeySource, Operator, Store, StoreError, read_transaction, transaction};

/// Bodies in memory at a time, of 256 KiB at most.
const PAGE: i64 = 50;

/// Bodies that are searched between two statements. PostgreSQL ends a session that is idle in a transaction for long.
const SEARCHED: i64 = 10;

/// Contacts of accounts that one body may make the store look up.
const MAX_LOOKUPS: usize = 100_000;

/// All columns of a dead letter but its body.
const COLUMNS: &str = "account_id, dead_letter_id, at, reason, detail, attempts, exchange, routing_key, traceparent, \
                       content_type, CAST(length(body) AS bigint) AS bytes";

impl Store {
    /// The newest dead letters of a selection with an id below this one, newest first, without their bodies.
    pub async fn dead_letters(
        &self,
        selection: &Selection,
        before: i64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        read_transaction!(self, tx => newest(tx, selection, before, limit))
    }

    /// The oldest dead letters of a selection that came after one of them (0: from the first on) and with their bodies
    /// fit into memory, oldest first.
    pub async fn dead_letters_after(
        &self,
        after: i64,
        selection: &Selection,
    ) -> Result<Vec<(DeadLetter, Vec<u8>)>, StoreError> {
        read_transaction!(self, tx => bodies_after(tx, after, selection))
    }

    /// Removes the dead letters of a selection for good, if they are as many as was typed.
    ///
    /// # Errors
    ///
    /// Refused where they are not: then all of them stay.
    pub async fn discard_dead_letters(
        &self,
        selection: &Selection,
        confirm: u64,
        actor: &Actor,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => discard(tx, selection, confirm, actor))
    }

    /// Who it is that replays or discards dead letters of an account, or of any (0).
    ///
    /// # Errors
    ///
    /// Refused where a user is not there, or may not delete many.
    pub async fn authorize_dead_letters(
        &self,
        account_id: i64,
        operator: &Operator,
    ) -> Result<Actor, StoreError> {
        read_transaction!(self, tx => operator.authorize_bulk(tx, account_id, "decide about events that delete"))
    }

    /// Settles dead letters that are replayed, on behalf of an actor.
    pub fn replaying(&self, selection: &Selection, actor: Actor) -> Replaying {
        let (account_id, removed) = (selection.account_id.unwrap_or(0), AtomicUsize::new(0));
        Replaying { store: self.clone(), account_id, actor, removed }
    }

    /// Writes one dead letter by itself.
    pub(in crate::store) async fn write_dead_letter(
        &self,
        arrived: Arrived<'_>,
        rejection: &Rejection,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => write_one(tx, self.hash_key_home(), arrived, rejection))
    }
}

async fn write_one(
    tx: &mut Tx,
    home: &HashKeySource,
    arrived: Arrived<'_>,
    rejection: &Rejection,
) -> Result<(), StoreError> {
    let now = tx.now().await?;
    write(tx, home, &[(arrived, rejection)], now).await
}

/// Waits for the transactions that write dead letters or events of held enrollments; those that come later see what this one commits.
pub(in crate::store) async fn lock(tx: &mut Tx) -> Result<(), StoreError> {
    tx.time(&tx.dialect().lock_exclusive_and_now(locks::DEAD_LETTERS)).await.map(drop)
}

/// Writes dead letters, but none of a message whose letter is there.
///
/// Of two messages with the same identity both are written where both come for the first time: then there are two. If
/// either may be a repetition they are taken for one. The writers take turns: otherwise two deliveries of
/// one message, the first still in a transaction of a worker that has lost its connection, would not see each other.
///
/// The body is kept as it arrived, but for data in base64, which is kept as text, and for what names erased people: the message
/// may have waited while its person was erased. Of a body that is too long the beginning is kept, so that an erasure can search
/// it.
pub(in crate::store) async fn write(
    tx: &mut Tx,
    home: &HashKeySource,
    letters: &[(Arrived<'_>, &Rejection)],
    now: Time,
) -> Result<(), StoreError> {
    if letters.is_empty() {
        return Ok(());
    }
    lock(tx).await?;
    let erasing = accounts_with_erasures(tx).await?;
    for (arrived, Rejection { reason, detail }) in letters {
        let Kept { body, exchange, routing_key, content_type } =
            without_erased(tx, home, arrived, &erasing).await?;
        // Of those that are too long several may begin alike.
        let identity = arrived.identity(if is_kept_whole(arrived.body) { &body } else { arrived.body });
        let may_repeat = if arrived.may_repeat { "TRUE" } else { "FALSE" };
        let sql = format!(
            "INSERT INTO dead_letters (account_id, feed, at, reason, detail, attempts, exchange, routing_key, traceparent, \
             content_type, body, identity, may_repeat) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, {may_repeat} \
             WHERE NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.identity = $12 AND (d.may_repeat OR {may_repeat}))"
        );
        let parameters = args![
            arrived.account_id().unwrap_or(0),
            &*arrived.origin.feed,
            now,
            reason.as_str(),
            storable(detail),
            i64::from(arrived.attempts),
            storable(&exchange),
            storable(&routing_key),
            arrived.trace.map(|trace| trace.to_string()),
            content_type.as_deref().map(storable),
            body,
            identity
        ];
        tx.execute(&sql, parameters).await?;
    }
    Ok(())
}

async fn accounts_with_erasures(tx: &mut Tx) -> Result<Vec<i64>, StoreError> {
    let rows = tx.rows("SELECT DISTINCT account_id FROM erasures ORDER BY account_id", &[]).await?;
    rows.iter().map(|row| row.int("account_id")).collect()
}

/// The parts of a message that its dead letter keeps.
struct Kept {
    body: Vec<u8>,
    exchange: String,
    routing_key: String,
    content_type: Option<String>,
}

impl Kept {
    /// Redacts what the redactor knows; the whole body where that is packed.
    fn redact(&mut self, redactor: &Redactor) {
        let clean = |text: &str| redactor.redact(text, Style::Prose).map(|(clean, _)| clean);
        for text in [&mut self.exchange, &mut self.routing_key].into_iter().chain(&mut self.content_type) {
            *text = clean(text).unwrap_or_else(|| std::mem::take(text));
        }
        let texts = texts_of(&self.body);
        let mut texts = texts.iter().map(|text| clean(text));
        if let Some(body) = texts.next().flatten() {
            self.body = body.into_bytes();
        } else if texts.any(|text| text.is_some()) {
            self.body = REDACTED.into();
        }
    }
}

/// Redacts a dead letter that is there.
pub(in crate::store) async fn redact(
    tx: &mut Tx,
    letter: DeadLetter,
    body: Vec<u8>,
    redactor: &Redactor,
) -> Result<(), StoreError> {
    let DeadLetter { id, exchange, routing_key, content_type, .. } = letter;
    let mut kept = Kept { body, exchange, routing_key, content_type };
    kept.redact(redactor);
    let sql = "UPDATE dead_letters SET body = $2, exchange = $3, routing_key = $4, content_type = $5 \
               WHERE dead_letter_id = $1";
    let Kept { body, exchange, routing_key, content_type } = kept;
    tx.execute(sql, args![id, body, exchange, routing_key, content_type]).await.map(drop)
}

/// Redacts addresses of erased people in a message: people of its account, or of any account with erasures if it names none. A
/// body about an erased contact, one that packs such an address, or one that cannot be searched is dropped; a batch loses the events about the contact.
async fn without_erased(
    tx: &mut Tx,
    home: &HashKeySource,
    arrived: &Arrived<'_>,
    erasing: &[i64],
) -> Result<Kept, StoreError> {
    let origin = arrived.origin;
    let mut kept = Kept {
        body: legible(&kept(arrived.body)).into_owned(),
        exchange: origin.exchange.clone(),
        routing_key: origin.routing_key.clone(),
        content_type: origin.content_type.clone(),
    };
    if erasing.is_empty() {
        return Ok(kept);
    }
    let mut texts = texts_of(&kept.body);
    let about = about(&texts);
    let accounts = if let Some(account_id) = arrived.account_id() {
        vec![account_id]
    } else {
        let may_be_of = |account_id: &&i64| about.accounts.is_empty() || about.accounts.contains(account_id);
        erasing.iter().filter(may_be_of).copied().collect()
    };
    let lookups = accounts.len().saturating_mul(about.contacts.len());
    let may_name_erased = accounts.iter().any(|account_id| erasing.contains(account_id));
    let erased = if lookups > MAX_LOOKUPS || may_name_erased && !is_searchable(&kept.body) {
        // A body that names so many contacts and no account is no event: it is dropped rather than looked up.
        kept.body = REDACTED.into();
        texts = texts_of(&kept.body);
        Vec::new()
    } else {
        erased_among(tx, &accounts, &about.contacts).await?
    };
    for (account_id, contact_id) in erased {
        let others = without_contact(&kept.body, account_id, contact_id);
        kept.body = others.filter(|_| about.contacts.len() > 1).unwrap_or_else(|| REDACTED.into());
        texts = texts_of(&kept.body);
    }
    let words = [&kept.exchange, &kept.routing_key].into_iter().chain(&kept.content_type).chain(&texts);
    let addresses: BTreeSet<String> = words.flat_map(|text| addresses_in(text)).collect();
    if addresses.is_empty() {
        return Ok(kept);
    }
    let asked: Vec<_> =
        accounts.iter().flat_map(|id| addresses.iter().map(move |address| (*id, address.clone()))).collect();
    let mut people = Identifiers::default();
    for (_, of_account) in suppressions::erased_people(tx, home, &asked).await? {
        people.addresses.extend(of_account.addresses);
        people.longer.extend(of_account.longer);
    }
    kept.redact(&Redactor::new(&people));
    Ok(kept)
}

/// Which of these contacts of these accounts were erased.
async fn erased_among(
    tx: &mut Tx,
    accounts: &[i64],
    contacts: &BTreeSet<i64>,
) -> Result<Vec<(i64, i64)>, StoreError> {
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT g.account_id, g.contact_id FROM {} JOIN gone_contacts g \
         ON g.account_id = b.account_id AND g.contact_id = b.contact_id AND g.state = 'erased'",
        tx.dialect().ids(1, &CONTACT)
    );
    let asked =
        accounts.iter().flat_map(|account_id| contacts.iter().map(|contact_id| [*account_id, *contact_id]));
    let rows = tx.rows(&sql, args![Lists::ids(asked)]).await?;
    rows.iter().map(|row| Ok((row.int("account_id")?, row.int("contact_id")?))).collect()
}

/// Removes the bodies of dead letters.
pub(in crate::store) async fn empty(tx: &mut Tx, ids: &[i64]) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE dead_letters SET body = $1 WHERE dead_letter_id IN (SELECT b.dead_letter_id FROM {})",
        tx.dialect().ids(2, &["dead_letter_id"])
    );
    let ids = Lists::ids(ids.iter().map(|id| [*id]));
    tx.execute(&sql, args![REDACTED.as_bytes().to_vec(), ids]).await.map(drop)
}

/// PostgreSQL's texts take no U+0000; what a producer or an older version wrote into a header may have one.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Removes what was decided or published; what was set aside again keeps its place, with the new reason.
#[derive(Debug)]
pub struct Replaying {
    store: Store,
    account_id: i64,
    actor: Actor,
    removed: AtomicUsize,
}

impl Replaying {
    /// How many were replayed and removed so far.
    pub fn removed(&self) -> usize {
        self.removed.load(Ordering::Relaxed)
    }
}

impl ReplayStore for Replaying {
    async fn settle(&self, replayed: Vec<i64>, again: Vec<(i64, Rejection)>) -> Result<(), String> {
        let settle = async || -> Result<(), StoreError> {
            transaction!(self.store, tx => settle(tx, self, &replayed, &again))
        };
        settle().await.map_err(|error| error.to_string())?;
        self.removed.fetch_add(replayed.len(), Ordering::Relaxed);
        Ok(())
    }
}

async fn settle(
    tx: &mut Tx,
    replaying: &Replaying,
    replayed: &[i64],
    again: &[(i64, Rejection)],
) -> Result<(), StoreError> {
    for (id, rejection) in again {
        tx.execute(
            "UPDATE dead_letters SET reason = $2, detail = $3 WHERE dead_letter_id = $1",
            args![*id, rejection.reason.as_str(), rejection.detail.as_str()],
        )
        .await?;
    }
    if replayed.is_empty() {
        return Ok(());
    }
    delete(tx, replayed).await?;
    audited(tx, replaying.account_id, &replaying.actor, "replay_dead_letters", replayed).await
}

async fn audited(
    tx: &mut Tx,
    account_id: i64,
    actor: &Actor,
    action: &str,
    ids: &[i64],
) -> Result<(), StoreError> {
    let now = tx.now().await?;
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    audit::write(tx, now, account_id, actor, action, ids, count).await
}

async fn newest(
    tx: &mut Tx,
    selection: &Selection,
    before: i64,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (selected, parameters) = selected(tx, selection, &[before, limit]);
    let sql = format!(
        "SELECT {COLUMNS} FROM dead_letters WHERE dead_letter_id < $1{selected} ORDER BY dead_letter_id DESC LIMIT $2"
    );
    tx.rows(&sql, &parameters).await?.iter().map(letter).collect()
}

/// The oldest dead letters of a selection behind an id, with their bodies, in the order of their ids: as many as fit into
/// memory, and none where no more are left.
pub(super) async fn bodies_after(
    tx: &mut Tx,
    after: i64,
    selection: &Selection,
) -> Result<Vec<(DeadLetter, Vec<u8>)>, StoreError> {
    let (selected, parameters) = selected(tx, selection, &[after, PAGE]);
    bodies(tx, &selected, &parameters).await
}

/// The same of the dead letters that may name a person of an account: its own, and those without an account.
pub(in crate::store) async fn bodies_for(
    tx: &mut Tx,
    after: i64,
    account_id: i64,
) -> Result<Vec<(DeadLetter, Vec<u8>)>, StoreError> {
    bodies(tx, " AND account_id IN (0, $3)", args![after, SEARCHED, account_id]).await
}

async fn bodies(
    tx: &mut Tx,
    condition: &str,
    parameters: &[Arg],
) -> Result<Vec<(DeadLetter, Vec<u8>)>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, body FROM dead_letters WHERE dead_letter_id > $1{condition} ORDER BY dead_letter_id LIMIT $2"
    );
    let rows = tx.rows(&sql, parameters).await?;
    rows.iter().map(|row| Ok((letter(row)?, row.bytes("body")?))).collect()
}

async fn discard(tx: &mut Tx, selection: &Selection, confirm: u64, actor: &Actor) -> Result<(), StoreError> {
    let (selected, parameters) = selected(tx, selection, &[]);
    let sql = format!(
        "SELECT d.dead_letter_id FROM dead_letters d WHERE TRUE{selected} ORDER BY d.dead_letter_id{lock}",
        lock = tx.for_update("d")
    );
    let rows = tx.rows(&sql, &parameters).await?;
    let ids: Vec<i64> = rows.iter().map(|row| row.int("dead_letter_id")).collect::<Result<_, _>>()?;
    if ids.len() as u64 != confirm {
        return Err(StoreError::CountMismatch(selection.other_number(ids.len() as u64, confirm)));
    }
    delete(tx, &ids).await?;
    audited(tx, selection.account_id.unwrap_or(0), actor, "discard_dead_letters", &ids).await
}

/// Removes dead letters for good; how many there were.
pub(in crate::store) async fn delete(tx: &mut Tx, ids: &[i64]) -> Result<u64, StoreError> {
    let batch = tx.dialect().ids(1, &["dead_letter_id"]);
    let sql =
        format!("DELETE FROM dead_letters WHERE dead_letter_id IN (SELECT b.dead_letter_id FROM {batch})");
    tx.execute(&sql, args![Lists::ids(ids.iter().map(|id| [*id]))]).await
}

/// What a selection asks for, as more conditions behind the first parameters, and all parameters.
fn selected(tx: &Tx, selection: &Selection, first: &[i64]) -> (String, Vec<Arg>) {
    let mut parameters: Vec<Arg> = first.iter().map(|value| Arg::from(*value)).collect();
    let mut conditions = Vec::new();
    if let Some(reason) = &selection.reason {
        parameters.push(storable(reason).into());
        conditions.push(format!(" AND reason = ${}", parameters.len()));
    }
    if let Some(account_id) = selection.account_id {
        parameters.push(account_id.into());
        conditions.push(format!(" AND account_id = ${}", parameters.len()));
    }
    if !selection.ids.is_empty() {
        parameters.push(Lists::ids(selection.ids.iter().map(|id| [*id])).into());
        let batch = tx.dialect().ids(parameters.len(), &["dead_letter_id"]);
        conditions.push(format!(" AND dead_letter_id IN (SELECT b.dead_letter_id FROM {batch})"));
    }
    (conditions.concat(), parameters)
}

fn letter(row: &Row) -> Result<DeadLetter, StoreError> {
    let account_id = row.int("account_id")?;
    Ok(DeadLetter {
        id: row.int("dead_letter_id")?,
        reason: row.text("reason")?,
        detail: row.text("detail")?,
        attempts: u32::try_from(row.int("attempts")?).unwrap_or(u32::MAX),
        at: row.time("at")?,
        account_id: (account_id > 0).then_some(account_id),
        exchange: row.text("exchange")?,
        routing_key: row.text("routing_key")?,
        content_type: row.optional_text("content_type")?,
        trace: row.optional_text("traceparent")?.as_deref().and_then(TraceContext::parse),
        bytes: row.int("bytes")?.unsigned_abs(),
    })
}
