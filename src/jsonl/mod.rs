//! The embedded feed: enrollment events from a JSON Lines file, standard input or memory, one a line.
//!
//! A file is followed by position, which is saved once a batch is decided: what was read but not settled is read again
//! after a restart. A stream has no position: what was not settled is kept in memory and handed out again by the next
//! session of the same process. A line is known by its place, so that none becomes two dead letters. A file is known by
//! all that was read of it, which is compared when it is opened and when its end is reached, and has one reader.

mod fingerprint;
mod lines;
mod replay;

use std::collections::{BTreeMap, VecDeque};
use std::fs::TryLockError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use sha2::Digest as _;
use tokio::io::BufReader;
use tokio::sync::Mutex;
use tracing::warn;

use crate::domain::dead_letter::Origin;
use crate::domain::hex::hex;
use crate::domain::progress::AckTracker;
use crate::ports::{
    Checkpoint, Checkpoints, Delivery, Feed, FeedError, Session, SettleAction, Settlement, Settler,
};

use fingerprint::hash_of;
pub use lines::AckHandle;
use lines::Lines;
pub use replay::{ReplayFeed, ReplaySession, ReplaySettler};

/// Where the lines come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A regular file; lines are appended to it, never changed.
    File(PathBuf),
    /// Standard input, up to its end.
    Stdin,
    /// The bytes of a file that is built in.
    Lines(Vec<u8>),
}

/// How to feed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the lines come from.
    pub source: Source,
}

/// A feed of lines.
pub struct JsonlFeed<C> {
    input: Input,
    checkpoints: Arc<C>,
}

enum Input {
    /// How far it was handed out in this process: what is below comes again.
    File { path: PathBuf, handed_out: Arc<AtomicU64> },
    /// Cannot be read twice: the reader outlives the session, and so does what was not settled.
    Stream { lines: Arc<Mutex<Lines>>, ledger: Arc<Ledger> },
}

impl<C: Checkpoints> JsonlFeed<C> {
    /// Reads nothing yet.
    pub fn new(options: Options, checkpoints: Arc<C>) -> Self {
        let stream = |reader, feed: &str| Input::Stream {
            lines: Arc::new(Mutex::new(Lines::new(reader))),
            ledger: Arc::new(Ledger::new(feed, None)),
        };
        let input = match options.source {
            Source::File(path) => Input::File { path, handed_out: Arc::default() },
            Source::Stdin => stream(Box::new(BufReader::new(tokio::io::stdin())), "stdin"),
            Source::Lines(bytes) => stream(Box::new(io::Cursor::new(bytes)), "bundled"),
        };
        Self { input, checkpoints }
    }
}

impl<C: Checkpoints> Feed for JsonlFeed<C> {
    type Session = JsonlSession<C>;

    async fn open(&mut self) -> Result<JsonlSession<C>, FeedError> {
        let checkpoints = Arc::clone(&self.checkpoints);
        match &self.input {
            Input::File { path, handed_out } => {
                let (lines, ledger, file) = open_file(path, checkpoints.as_ref()).await?;
                Ok(JsonlSession {
                    file: Some(file),
                    lines: Arc::new(Mutex::new(lines)),
                    replay: VecDeque::new(),
                    redelivered_below: handed_out.load(Ordering::Relaxed),
                    handed_out: Arc::clone(handed_out),
                    settler: JsonlSettler { ledger: Arc::new(ledger), checkpoints },
                })
            }
            Input::Stream { lines, ledger } => Ok(JsonlSession {
                file: None,
                lines: Arc::clone(lines),
                replay: ledger.unsettled(),
                redelivered_below: 0,
                handed_out: Arc::default(),
                settler: JsonlSettler { ledger: Arc::clone(ledger), checkpoints },
            }),
        }
    }
}

/// The lines of a file from where the last reading of it ended, and the file, locked.
async fn open_file<C: Checkpoints>(
    path: &Path,
    checkpoints: &C,
) -> Result<(Lines, Ledger, LockedFile), FeedError> {
    let shown = path.display();
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => FeedError::Permanent(format!(
            "The JSON Lines file {shown} does not exist: create it, or name another one."
        )),
        _ => FeedError::Permanent(format!(
            "The JSON Lines file {shown} cannot be read ({error}): check its permissions, or name another one."
        )),
    };
    let canonical = tokio::fs::canonicalize(path).await.map_err(unreadable)?;
    // Asked before it is opened: opening a pipe would wait for its writer.
    let metadata = tokio::fs::metadata(&canonical).await.map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FeedError::Permanent(format!(
            "{shown} is not a regular file and cannot be followed by position: name a file, or - for standard \
             input."
        )));
    }
    // By a handle of its own: it is let go of with the session, whatever is still being read.
    let lock = tokio::fs::File::open(&canonical).await.map_err(unreadable)?.into_std().await;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(FeedError::Permanent(format!(
                "The JSON Lines file {shown} is being read by another process, and a file has one reader: end that \
                 process, or name another file."
            )));
        }
        Err(TryLockError::Error(error)) => warn!(%error, "the JSON Lines file cannot be locked where it is"),
    }
    let mut file = tokio::fs::File::open(&canonical).await.map_err(unreadable)?;
    let feed = canonical.to_string_lossy();
    let saved = checkpoints.load(&feed).await.map_err(FeedError::Transient)?.unwrap_or_default();
    let position = saved.position;
    let hash = hash_of(&mut file, position).await.map_err(unreadable)?;
    let known =
        hash.filter(|hash| saved.fingerprint.is_none_or(|known| known == hex(&hash.clone().finalize())));
    let Some(hash) = known else { return Err(replaced(path, position)) };
    let ledger = Ledger::new(&feed, Some(position));
    let lines = Lines::of_file(Box::new(BufReader::new(file)), position, hash);
    Ok((lines, ledger, LockedFile { path: path.to_owned(), lock }))
}

/// That a file is not the one that was read up to here.
fn replaced(path: &Path, position: u64) -> FeedError {
    FeedError::Permanent(format!(
        "The JSON Lines file {} does not begin with the {position} bytes that were read before: it was cut or replaced; \
         put it back, or give the new events in a file of another name.",
        path.display()
    ))
}

/// A file with an exclusive lock.
struct LockedFile {
    path: PathBuf,
    lock: std::fs::File,
}

impl LockedFile {
    /// Does it still begin with what was read of it?
    async fn still_has(&self, (length, digest): (u64, [u8; 32])) -> Result<(), FeedError> {
        let hash = async {
            let mut file = tokio::fs::File::from_std(self.lock.try_clone()?);
            hash_of(&mut file, length).await
        };
        match hash.await {
            Ok(Some(hash)) if hash.clone().finalize()[..] == digest => Ok(()),
            Ok(_) => Err(replaced(&self.path, length)),
            Err(error) => Err(FeedError::Transient(format!(
                "Reading '{}' again failed ({error}); it is tried again.",
                self.path.display()
            ))),
        }
    }
}

/// One reading, from open to drop.
pub struct JsonlSession<C> {
    file: Option<LockedFile>,
    lines: Arc<Mutex<Lines>>,
    replay: VecDeque<(AckHandle, Vec<u8>)>,
    redelivered_below: u64,
    handed_out: Arc<AtomicU64>,
    settler: JsonlSettler<C>,
}

impl<C> JsonlSession<C> {
    fn delivery(&self, ack_handle: AckHandle, body: Vec<u8>, redelivered: bool) -> Delivery<AckHandle> {
        let origin = self.settler.ledger.origin(ack_handle);
        Delivery { body, unread: None, redelivered, attempt: 0, trace: None, origin, ack_handle }
    }
}

impl<C: Checkpoints> Session for JsonlSession<C> {
    type AckHandle = AckHandle;
    type Settler = JsonlSettler<C>;

    async fn next(&mut self) -> Result<Option<Delivery<AckHandle>>, FeedError> {
        if let Some((ack_handle, body)) = self.replay.pop_front() {
            return Ok(Some(self.delivery(ack_handle, body, true)));
        }
        let mut lines = self.lines.lock().await;
        let next = lines.next().await;
        // Nothing is awaited from here on: cancelled there, the line would be lost.
        let Some((ack_handle, body)) = next.map_err(|error| {
            FeedError::Transient(format!(
                "Reading '{}' failed ({error}); it is tried again.",
                self.settler.ledger.feed
            ))
        })?
        else {
            // Whatever is cancelled here, the end stays the end.
            if let Some(file) = &self.file {
                file.still_has(lines.was_read()).await?;
            }
            return Ok(None);
        };
        self.settler.ledger.retain(ack_handle, &body);
        self.handed_out.fetch_max(ack_handle.end, Ordering::Relaxed);
        Ok(Some(self.delivery(ack_handle, body, ack_handle.start < self.redelivered_below)))
    }

    fn settler(&self) -> JsonlSettler<C> {
        self.settler.clone()
    }

    async fn close(self) {}
}

/// Saves positions.
pub struct JsonlSettler<C> {
    ledger: Arc<Ledger>,
    checkpoints: Arc<C>,
}

impl<C> Clone for JsonlSettler<C> {
    fn clone(&self) -> Self {
        Self { ledger: Arc::clone(&self.ledger), checkpoints: Arc::clone(&self.checkpoints) }
    }
}

impl<C: Checkpoints> Settler for JsonlSettler<C> {
    type AckHandle = AckHandle;

    /// A line has nowhere to wait.
    fn retries(&self) -> u32 {
        0
    }

    async fn settle(&self, settlements: Vec<Settlement<AckHandle>>) -> Result<(), FeedError> {
        // No retry is asked for, see `retries`: left open, it comes again with the next session.
        let settled = settlements.into_iter().filter(|it| !matches!(it.verdict, SettleAction::Retry));
        let ack_handles: Vec<AckHandle> = settled.map(|it| it.delivery.ack_handle).collect();
        // Held while saving: a later position must not be overtaken by an earlier one.
        let mut settled = self.ledger.settled.lock().await;
        let mut advanced = settled.clone();
        for ack_handle in &ack_handles {
            advanced.progress.settle(ack_handle.start, ack_handle.end);
        }
        let position = advanced.progress.position();
        if self.ledger.follows_position {
            advanced.digests.extend(ack_handles.iter().map(|ack_handle| (ack_handle.end, ack_handle.digest)));
        }
        if self.ledger.follows_position && position != settled.progress.position() {
            let fingerprint = advanced.digests.get(&position).map(|digest| hex(digest));
            advanced.digests.retain(|end, _| *end > position);
            let reached = Checkpoint { position, fingerprint };
            let saved = self.checkpoints.save(&self.ledger.feed, &reached).await;
            saved.map_err(FeedError::Transient)?;
        }
        // Only now: had the save failed, no other batch may carry the position past these lines.
        *settled = advanced;
        self.ledger.release(&ack_handles);
        Ok(())
    }
}

/// What of a feed is settled.
struct Ledger {
    /// The key in the store.
    feed: Arc<str>,
    /// Tells the places of a stream from those of another one; empty for a file, which is the same at each reading.
    stream: String,
    follows_position: bool,
    settled: Mutex<Settled>,
    /// Of a stream: what was handed out and not settled.
    unsettled: std::sync::Mutex<BTreeMap<u64, (AckHandle, Vec<u8>)>>,
}

/// Up to where all is settled, and what is beyond.
#[derive(Clone, Default)]
struct Settled {
    progress: AckTracker,
    /// Of a file: the hashes of it up to the ends of settled lines beyond the position.
    digests: BTreeMap<u64, [u8; 32]>,
}

impl Ledger {
    /// Of a file that was read up to this position before, or of a stream.
    fn new(feed: &str, position: Option<u64>) -> Self {
        let follows_position = position.is_some();
        let stream = if follows_position { String::new() } else { format!("{:016x}-", fastrand::u64(..)) };
        let progress = position.map_or_else(AckTracker::default, AckTracker::from);
        let settled = Settled { progress, digests: BTreeMap::new() };
        Self {
            feed: feed.into(),
            stream,
            follows_position,
            settled: Mutex::new(settled),
            unsettled: std::sync::Mutex::default(),
        }
    }

    fn origin(&self, ack_handle: AckHandle) -> Origin {
        Origin::place(Arc::clone(&self.feed), format!("{}{}", self.stream, ack_handle.start))
    }

    fn retain(&self, ack_handle: AckHandle, body: &[u8]) {
        if !self.follows_position {
            let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
            unsettled.insert(ack_handle.start, (ack_handle, body.to_vec()));
        }
    }

    fn release(&self, ack_handles: &[AckHandle]) {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        for ack_handle in ack_handles {
            unsettled.remove(&ack_handle.start);
        }
    }

    fn unsettled(&self) -> VecDeque<(AckHandle, Vec<u8>)> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::domain::rejection::{DeadLetterReason, Rejection};

    /// What a store would hold: positions by feed. Refuses while `down`.
    #[derive(Default)]
    struct Memory(std::sync::Mutex<State>);

    #[derive(Default)]
    struct State {
        reached: BTreeMap<String, Checkpoint>,
        down: bool,
    }

    impl Memory {
        fn down(&self, down: bool) {
            self.0.lock().unwrap().down = down;
        }

        fn position(&self) -> Option<u64> {
            self.0.lock().unwrap().reached.values().next().map(|reached| reached.position)
        }
    }

    impl Checkpoints for Memory {
        async fn load(&self, feed: &str) -> Result<Option<Checkpoint>, String> {
            Ok(self.0.lock().unwrap().reached.get(feed).cloned())
        }

        async fn save(&self, feed: &str, reached: &Checkpoint) -> Result<(), String> {
            let mut state = self.0.lock().unwrap();
            if state.down {
                return Err("down".to_owned());
            }
            state.reached.insert(feed.to_owned(), reached.clone());
            Ok(())
        }
    }

    struct TempFile(PathBuf);

    impl TempFile {
        fn with(content: &[u8]) -> Self {
            let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
            let path = std::env::temp_dir().join(format!("jsonl-{}-{nanos}", std::process::id()));
            std::fs::write(&path, content).unwrap();
            Self(path)
        }

        fn feed(&self, store: &Arc<Memory>) -> JsonlFeed<Memory> {
            JsonlFeed::new(Options { source: Source::File(self.0.clone()) }, Arc::clone(store))
        }
    }

    impl Drop for TempFile {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    async fn rest(session: &mut JsonlSession<Memory>) -> Vec<Delivery<AckHandle>> {
        let mut all = Vec::new();
        while let Some(delivery) = session.next().await.unwrap() {
            all.push(delivery);
        }
        all
    }

    fn acked(delivery: Delivery<AckHandle>) -> Settlement<AckHandle> {
        Settlement { delivery, verdict: SettleAction::Ack }
    }

    fn dead(delivery: Delivery<AckHandle>) -> Settlement<AckHandle> {
        let rejection = Rejection { reason: DeadLetterReason::Malformed, detail: String::new() };
        Settlement { delivery, verdict: SettleAction::DeadLetter(rejection) }
    }

    #[tokio::test]
    async fn it_resumes_after_the_contiguous_settled_lines() {
        let file = TempFile::with(b"a\nb\nc\nd");
        let store = Arc::default();
        let mut feed = file.feed(&store);
        let mut session = feed.open().await.unwrap();
        let mut all = rest(&mut session).await;
        let third = all[2].arrived().identity(all[2].arrived().body);
        let settler = session.settler();
        settler.settle(vec![acked(all.remove(2))]).await.unwrap();
        assert_eq!(store.position(), None, "nothing contiguous yet, nothing to save");
        settler.settle(vec![dead(all.remove(0))]).await.unwrap();
        assert_eq!(store.position(), Some(2));
        drop(session);

        let mut again = feed.open().await.unwrap();
        let rest = rest(&mut again).await;
        let seen: Vec<_> = rest.iter().map(|d| (d.body.as_slice(), d.redelivered)).collect();
        assert_eq!(seen, [(&b"b"[..], true), (b"c", true), (b"d", true)]);
        assert_eq!(
            rest[1].arrived().identity(rest[1].arrived().body),
            third,
            "the line is the same at each reading"
        );
        again.settler().settle(rest.into_iter().map(acked).collect()).await.unwrap();
        assert_eq!(store.position(), Some(7));
        drop(again);
        std::fs::write(&file.0, b"a\nb\nc\nd\ne\n").unwrap();
        let appended = feed.open().await.unwrap().next().await.unwrap().unwrap();
        assert_eq!((appended.body.as_slice(), appended.redelivered), (&b"e"[..], false));
    }

    #[tokio::test]
    async fn a_batch_that_was_not_saved_is_never_passed_by() {
        let file = TempFile::with(b"a\nb\n");
        let store = Arc::default();
        let mut session = file.feed(&store).open().await.unwrap();
        let mut all = rest(&mut session).await;
        let (first, second) = (all.remove(0), all.remove(0));
        store.down(true);
        assert!(session.settler().settle(vec![dead(first)]).await.is_err());
        store.down(false);
        session.settler().settle(vec![acked(second)]).await.unwrap();
        assert_eq!(store.position(), None);
    }

    #[tokio::test]
    async fn a_stream_hands_out_again_what_was_not_settled() {
        let store = Arc::<Memory>::default();
        let source = Source::Lines(b"a\nb\nc\n".to_vec());
        let mut feed = JsonlFeed::new(Options { source }, Arc::clone(&store));
        let mut session = feed.open().await.unwrap();
        let (first, second) = (session.next().await.unwrap().unwrap(), session.next().await.unwrap());
        assert!(second.is_some());
        session.settler().settle(vec![dead(first)]).await.unwrap();
        assert_eq!(store.position(), None, "a stream has none");
        let all = rest(&mut feed.open().await.unwrap()).await;
        let seen: Vec<_> = all.iter().map(|d| (d.body.as_slice(), d.redelivered)).collect();
        assert_eq!(seen, [(&b"b"[..], true), (b"c", false)]);
    }

    #[tokio::test]
    async fn permanent_errors_are_reported_as_permanent() {
        let file = TempFile::with(b"a\nb\n");
        let store = Arc::default();
        let mut feed = file.feed(&store);
        let mut session = feed.open().await.unwrap();
        let all = rest(&mut session).await;
        session.settler().settle(all.into_iter().map(acked).collect()).await.unwrap();
        let Err(FeedError::Permanent(read)) = feed.open().await else { panic!("a file has two readers") };
        assert!(read.contains("a file has one reader"), "{read}");
        drop(session);
        std::fs::write(&file.0, b"a\n").unwrap();
        let Err(FeedError::Permanent(cut)) = feed.open().await else { panic!("a cut file was opened") };
        assert!(cut.contains("does not begin with the 4 bytes that were read before"), "{cut}");
        std::fs::remove_file(&file.0).unwrap();
        let Err(FeedError::Permanent(gone)) = feed.open().await else { panic!("a missing file was opened") };
        assert!(gone.contains("does not exist"), "{gone}");
    }
}
