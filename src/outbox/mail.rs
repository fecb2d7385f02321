//! Confirmations by e-mail: at least once, oldest first, retried for as long as it takes.
//!
//! A mail that the server does not take waits by itself, longer with each try, and those behind it go on. One that is
//! still refused for good after [`Options::give_up_after`] is dropped, as is one whose user is gone: the audit names
//! the receipts, which stay.

use std::time::Duration;

use metrics::counter;
use tracing::{info, warn};

use super::leadership::{LEASE, LeaseKeeper};
use super::letter::letter;
use super::rounds::{self, OutboxSender, PollResult};
use super::smtp::{SendError, Smtp};
use crate::ports::Stop;
use crate::store::lease::LeaseName;
use crate::store::outbox::mail::{Mail, Outcome};
use crate::store::{Store, StoreError};
use crate::telemetry;

/// Mails read at a time.
const ROUND: u32 = 20;
/// The first pause of a mail that was not taken; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// How confirmations leave.
#[derive(Clone)]
pub struct Options {
    /// Tells this instance from the others.
    pub holder: String,
    /// The mail server. May hold a password: never logged.
    pub smtp_url: String,
    /// The sender.
    pub from: String,
    /// The longest pause before another try.
    pub max_retry_delay: Duration,
    /// From this age on a mail that is refused for good is dropped.
    pub give_up_after: Duration,
}

/// Sends what waits, round after round.
pub struct Mails {
    store: Store,
    smtp: Smtp,
    leadership: LeaseKeeper,
    max_retry_delay: Duration,
    give_up_after: Duration,
}

impl Mails {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// The setting at fault, in one sentence.
    pub fn new(store: Store, options: Options) -> Result<Self, String> {
        Ok(Self {
            smtp: Smtp::new(&options.smtp_url, &options.from)?,
            leadership: LeaseKeeper::new(store.clone(), LeaseName::Mail, options.holder),
            store,
            max_retry_delay: options.max_retry_delay,
            give_up_after: options.give_up_after,
        })
    }

    /// Sends until it is asked to stop, and then what waits at that moment.
    pub async fn run(self, stop: Stop) {
        for result in ["sent", "not_taken", "given_up", "no_user"] {
            counter!(telemetry::MAILS_TOTAL, "result" => result).increment(0);
        }
        let longest_pause = self.max_retry_delay;
        rounds::run(self, longest_pause, stop).await;
    }

    /// What becomes of a mail; `None` where the lease was lost meanwhile.
    async fn deliver(&mut self, mail: &Mail) -> Result<Option<Outcome>, MailError> {
        let (account_id, message_id) = (mail.account_id, mail.message_id);
        let Some(address) = &mail.address else {
            warn!(account_id, message_id, "confirmation dropped: its user is gone");
            count("no_user");
            return Ok(Some(Outcome::Dropped));
        };
        let sending = self.smtp.send(letter(mail), address);
        let Some(answer) = self.leadership.keep_while(sending).await? else { return Ok(None) };
        Ok(Some(match answer {
            Ok(()) => {
                info!(account_id, message_id, "confirmation sent");
                count("sent");
                Outcome::Sent
            }
            Err(away @ SendError::Away(_)) => return Err(MailError::Away(away)),
            Err(SendError::Refused(problem)) if mail.age >= self.give_up_after => {
                warn!(account_id, message_id, problem, "confirmation dropped: refused for too long");
                count("given_up");
                Outcome::Dropped
            }
            Err(problem) => {
                let pause = self.pause(mail.tries);
                warn!(account_id, message_id, error = %problem, retry_in = ?pause, "confirmation not sent");
                count("not_taken");
                Outcome::Later(pause)
            }
        }))
    }

    fn pause(&self, tries: u32) -> Duration {
        FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(tries)).min(self.max_retry_delay)
    }
}

impl OutboxSender for Mails {
    type Error = MailError;
    const NOT_DONE: &'static str = "confirmations not sent";
    const POLL: Duration = Duration::from_secs(1);

    async fn round(&mut self) -> Result<PollResult, MailError> {
        let Some(lease) = self.leadership.lease().await? else { return Ok(PollResult::Elsewhere) };
        let mails = self.store.mails(ROUND).await?;
        if mails.is_empty() {
            return Ok(PollResult::Empty);
        }
        for mail in &mails {
            let Some(outcome) = self.deliver(mail).await? else { return Ok(PollResult::Elsewhere) };
            let settled = self.store.settle_mail(&lease, LEASE, mail, outcome).await;
            if !self.leadership.prolonged_by(lease.clone(), settled)? {
                return Ok(PollResult::Elsewhere);
            }
        }
        Ok(PollResult::More)
    }

    /// Each mail had a connection of its own.
    async fn abort(&mut self) {}

    async fn release_lease(self) {
        self.leadership.resign().await;
    }
}

/// Why a round did not go well.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Away(#[from] SendError),
}

fn count(result: &'static str) {
    counter!(telemetry::MAILS_TOTAL, "result" => result).increment(1);
}
