//! A broker and a store in a few lines each, with all that can go wrong with them, and what may never be seen in them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contact_reaper::domain::dead_letter::Arrived;
use contact_reaper::domain::decision::Decision;
use contact_reaper::domain::enrollment::NewEnrollment;
use contact_reaper::domain::progress::{AckTracker, Acks};
use contact_reaper::domain::rejection::DeadLetterReason;
use contact_reaper::ports::{self, BatchError, RetryReason};
use serde_json::json;
use tokio::time::Instant;

use crate::model::Dice;

/// Rungs of the ladder.
pub const RETRIES: u32 = 3;
const PREFETCH: usize = 12;

/// What is to become of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    /// Decided, though something is in its way so often at first.
    Decidable(u32),
    Malformed,
    /// The store never takes it.
    Poison,
    /// Something is always in its way.
    Stuck,
}

/// A mistake made on purpose: the oracle must notice it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    Nothing,
    /// Acknowledges all up to the latest, whatever is open before it.
    BeyondTheGap,
    /// Acknowledges on delivery.
    BeforeTheCommit,
}

#[derive(Clone, Copy, Debug)]
pub struct Message {
    event: usize,
    /// Which of the messages that say the same: on the ladder too it stays the one it is.
    pub copy: usize,
    pub attempt: u32,
    pub redelivered: bool,
}

/// What the store keeps of a dead letter.
#[derive(Clone, Copy, Debug)]
struct Letter {
    event: usize,
    copy: usize,
    may_repeat: bool,
    reason: DeadLetterReason,
    attempts: u32,
}

/// All there is outside of the pipeline; it outlives its crashes.
pub struct World {
    pub dice: Dice,
    pub faulty: bool,
    planted: Planted,
    natures: Vec<Nature>,
    queue: VecDeque<Message>,
    ladder: Vec<(Instant, Message)>,
    session: Option<Open>,
    sessions: u64,
    ledger: BTreeSet<usize>,
    dead: Vec<Letter>,
    away_until: Instant,
    pub complaints: Vec<String>,
}

/// The session that is open: what it was handed and has not acknowledged, by tag.
struct Open {
    number: u64,
    tags: u64,
    unacked: BTreeMap<u64, Message>,
    progress: AckTracker,
}

pub type Shared = Arc<Mutex<World>>;

impl World {
    pub fn new(seed: u64, planted: Planted) -> Shared {
        // Neighbours are to have nothing in common.
        let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let natures: Vec<Nature> = (0..5 + dice.roll(30)).map(|_| nature(&mut dice)).collect();
        let mut events: Vec<usize> = (0..natures.len()).collect();
        events.extend((0..dice.roll(6)).map(|_| dice.roll(natures.len())).collect::<Vec<_>>());
        dice.shuffle(&mut events);
        let message = |(copy, event)| Message { event, copy, attempt: 0, redelivered: false };
        let queue = events.into_iter().enumerate().map(message).collect();
        Arc::new(Mutex::new(Self {
            dice,
            faulty: true,
            planted,
            natures,
            queue,
            ladder: Vec::new(),
            session: None,
            sessions: 0,
            ledger: BTreeSet::new(),
            dead: Vec::new(),
            away_until: Instant::now(),
            complaints: Vec::new(),
        }))
    }

    /// Once in so many times, while there are faults at all.
    pub fn strikes(&mut self, once_in: usize) -> bool {
        self.faulty && self.dice.roll(once_in) == 0
    }

    /// How long something takes: often no time at all.
    pub fn delay(&mut self) -> Duration {
        let millis = if self.dice.roll(2) == 0 { 0 } else { self.dice.roll(40) };
        Duration::from_millis(millis as u64)
    }

    /// A crash, or a drain, or nothing happens after so long.
    pub fn lifetime(&mut self) -> Duration {
        Duration::from_millis(self.dice.roll(1500) as u64)
    }

    pub fn open(&mut self) -> u64 {
        self.lose();
        self.sessions += 1;
        let (number, tags) = (self.sessions, 0);
        self.session = Some(Open { number, tags, unacked: BTreeMap::new(), progress: AckTracker::default() });
        number
    }

    /// This session is over: what it has not acknowledged comes again, in any order.
    pub fn end(&mut self, number: u64) {
        if self.is_open(number) {
            self.lose();
        }
    }

    pub fn is_open(&self, number: u64) -> bool {
        self.session.as_ref().is_some_and(|open| open.number == number)
    }

    fn lose(&mut self) {
        let Some(open) = self.session.take() else { return };
        for (_, message) in open.unacked {
            let place = self.dice.roll(self.queue.len() + 1);
            self.queue.insert(place, Message { redelivered: true, ..message });
        }
    }

    /// The next message, with its tag and body, if one waits.
    pub fn deliver(&mut self) -> Option<(u64, Message, Vec<u8>)> {
        let (due, waiting) = self.ladder.drain(..).partition(|(at, _)| *at <= Instant::now());
        self.ladder = waiting;
        let due: Vec<(Instant, Message)> = due;
        self.queue.extend(due.into_iter().map(|(_, message)| message));
        let open = self.session.as_mut()?;
        if open.unacked.len() >= PREFETCH {
            return None;
        }
        let message = self.queue.pop_front()?;
        open.tags += 1;
        let tag = open.tags;
        open.unacked.insert(tag, message);
        if self.planted == Planted::BeforeTheCommit {
            self.acked(tag);
        }
        Some((tag, message, body(message.event, self.natures[message.event])))
    }

    pub fn is_away(&self) -> bool {
        Instant::now() < self.away_until
    }

    /// Decides a batch, all of it or nothing.
    pub fn decide(
        &mut self,
        batch: &[ports::Message<'_, NewEnrollment>],
    ) -> Result<Vec<Decision>, BatchError> {
        self.be_there()?;
        let events: Vec<usize> = batch.iter().map(|message| event_of(&message.arrived)).collect();
        self.complain_of_company(&events);
        if events.iter().any(|event| self.natures[*event] == Nature::Poison) {
            return Err(BatchError::Poison("never".to_owned()));
        }
        if self.obstructed(&events) {
            return Err(BatchError::Blocked { reason: RetryReason::TimedOut, message: "a lock".to_owned() });
        }
        let mut decisions = Vec::new();
        for (event, message) in events.into_iter().zip(batch) {
            decisions.push(match &message.event {
                Err(rejection) => {
                    self.set_aside(message.arrived, rejection.reason);
                    Decision::DeadLetter(rejection.clone())
                }
                Ok(_) if self.ledger.insert(event) => Decision::Delete,
                Ok(_) => Decision::Duplicate,
            });
        }
        Ok(decisions)
    }

    /// Writes a dead letter by itself.
    pub fn set_aside_alone(
        &mut self,
        arrived: Arrived<'_>,
        reason: DeadLetterReason,
    ) -> Result<(), BatchError> {
        self.be_there()?;
        self.set_aside(arrived, reason);
        Ok(())
    }

    /// As the store does: where either may be another delivery of the same message, there is one letter.
    fn set_aside(&mut self, arrived: Arrived<'_>, reason: DeadLetterReason) {
        let letter = Letter {
            event: event_of(&arrived),
            copy: arrived.origin.message_id.parse().expect("the number of a copy"),
            may_repeat: arrived.may_repeat,
            reason,
            attempts: arrived.attempts,
        };
        let is_there = |it: &Letter| {
            it.event == letter.event && it.copy == letter.copy && (it.may_repeat || letter.may_repeat)
        };
        if !self.dead.iter().any(is_there) {
            self.dead.push(letter);
        }
    }

    fn be_there(&mut self) -> Result<(), BatchError> {
        if self.strikes(25) {
            let seconds = if self.dice.roll(10) == 0 { 3600 } else { self.dice.roll(20) };
            self.away_until = Instant::now() + Duration::from_secs(seconds as u64);
        }
        if self.is_away() { Err(BatchError::Unavailable("away".to_owned())) } else { Ok(()) }
    }

    /// Is something in the way of one of them? What is in the way for a time goes when its message stands alone.
    fn obstructed(&mut self, events: &[usize]) -> bool {
        let alone = events.len() == 1;
        let mut obstructed = false;
        for event in events {
            match &mut self.natures[*event] {
                Nature::Decidable(left) if *left > 0 => {
                    *left -= u32::from(alone);
                    obstructed = true;
                }
                Nature::Stuck => obstructed = true,
                _ => {}
            }
        }
        obstructed
    }

    /// Who was handed out or put off before is decided alone.
    fn complain_of_company(&mut self, events: &[usize]) {
        let Some(open) = &self.session else { return };
        for event in events.iter().filter(|_| events.len() > 1) {
            let mut held = open.unacked.values().filter(|message| message.event == *event).peekable();
            let fresh = |message: &Message| !message.redelivered && message.attempt == 0;
            if held.peek().is_some() && !held.any(fresh) {
                self.complaints.push(format!("event {event} came again and was decided among others"));
            }
        }
    }

    /// Where it waits a message is safe.
    pub fn put_off(&mut self, message: Message) {
        let due = Instant::now() + Duration::from_millis(500 + self.dice.roll(500) as u64);
        self.ladder.push((due, Message { attempt: message.attempt + 1, redelivered: false, ..message }));
    }

    /// Acknowledges as the pipeline's feeds do; what belongs to a session that is over is acknowledged by nobody.
    pub fn acknowledge(&mut self, number: u64, tags: &[u64]) {
        if !self.is_open(number) {
            return;
        }
        let Some(open) = &mut self.session else { return };
        let mut acks = open.progress.acknowledge(tags);
        if self.planted == Planted::BeyondTheGap {
            acks = Acks { up_to: tags.iter().max().copied(), singly: Vec::new() };
        }
        let mut acked = acks.singly;
        if let Some(up_to) = acks.up_to {
            if !open.unacked.contains_key(&up_to) {
                self.complaints.push(format!("delivery {up_to} is not known any more"));
            }
            acked.extend(open.unacked.range(..=up_to).map(|(tag, _)| *tag));
        }
        for tag in acked {
            self.acked(tag);
        }
    }

    fn acked(&mut self, tag: u64) {
        let Some(message) = self.session.as_mut().and_then(|open| open.unacked.remove(&tag)) else {
            self.complaints.push(format!("delivery {tag} was acknowledged twice"));
            return;
        };
        let put_off = self.ladder.iter().map(|(_, waiting)| waiting).chain(&self.queue);
        let safe = self.ledger.contains(&message.event)
            || self.dead.iter().any(|letter| letter.event == message.event)
            || put_off.into_iter().any(|it| it.event == message.event && it.attempt > message.attempt)
            || self
                .session
                .iter()
                .flat_map(|open| open.unacked.values())
                .any(|it| it.event == message.event && it.attempt > message.attempt);
        if !safe {
            self.complaints.push(format!("event {} was acknowledged before it was safe", message.event));
        }
    }

    /// Nothing waits, and nothing is in anybody's hand.
    pub fn is_done(&self) -> bool {
        self.queue.is_empty()
            && self.ladder.is_empty()
            && self.session.as_ref().is_none_or(|open| open.unacked.is_empty())
    }

    /// Each event came to what it had to come to.
    pub fn check(&mut self) {
        for (event, nature) in self.natures.iter().enumerate() {
            let decided = self.ledger.contains(&event);
            let dead: Vec<&Letter> = self.dead.iter().filter(|letter| letter.event == event).collect();
            let copies: BTreeSet<usize> = dead.iter().map(|letter| letter.copy).collect();
            if copies.len() < dead.len() {
                self.complaints.push(format!("event {event} was set aside twice: {dead:?}"));
            }
            let aside = |reason, attempts| {
                !decided
                    && !dead.is_empty()
                    && dead.iter().all(|letter| (letter.reason, letter.attempts) == (reason, attempts))
            };
            let right = match nature {
                Nature::Decidable(_) => decided && dead.is_empty(),
                Nature::Malformed => aside(DeadLetterReason::Malformed, 0),
                Nature::Poison => aside(DeadLetterReason::Poison, 0),
                Nature::Stuck => aside(DeadLetterReason::RetriesExhausted, RETRIES),
            };
            if !right {
                self.complaints
                    .push(format!("event {event}, {nature:?}: decided {decided}, set aside {dead:?}"));
            }
        }
    }
}

fn nature(dice: &mut Dice) -> Nature {
    match dice.roll(20) {
        0 => Nature::Malformed,
        1 => Nature::Poison,
        2 => Nature::Stuck,
        3 | 4 => Nature::Decidable(u32::from(dice.roll(2) == 0) + u32::from(dice.roll(2) == 0) + 1),
        _ => Nature::Decidable(0),
    }
}

/// The event that a message is about, whether or not it can be read.
fn event_of(arrived: &Arrived<'_>) -> usize {
    let number =
        arrived.body.strip_prefix(b"{ no JSON ").map(|number| String::from_utf8_lossy(number).into_owned());
    let number = number.unwrap_or_else(|| {
        let event: serde_json::Value = serde_json::from_slice(arrived.body).expect("JSON");
        event["data"]["enrollmentId"].to_string()
    });
    number.parse::<usize>().expect("a number") - 1
}

fn body(event: usize, nature: Nature) -> Vec<u8> {
    if nature == Nature::Malformed {
        return format!("{{ no JSON {}", event + 1).into_bytes();
    }
    let data = json!({"accountId": "1", "workflowId": "5", "actionId": "1", "enrollmentId": event + 1,
        "objectTypeId": "0-1", "objectId": "7", "enrolledAt": "2026-11-21T10:00:00Z", "cause": "MANUAL"});
    json!({"specversion": "1.0", "id": "m", "source": "/s", "type": "workflow.enrollment.created", "data": data})
        .to_string()
        .into_bytes()
}
