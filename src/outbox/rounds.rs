//! Round after round: what the senders of the outbox have in common.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tracing::warn;

use super::leadership::RENEWAL;
use crate::backoff::Backoff;
use crate::ports::Stop;

/// How a round went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollResult {
    /// It sent, and more may wait.
    More,
    /// Nothing waits.
    Empty,
    /// Another instance sends.
    Elsewhere,
}

/// What is done round after round.
pub trait OutboxSender: Send {
    /// Why a round did not go well.
    type Error: Display + Send;
    /// Stands in the log where a round did not go well.
    const NOT_DONE: &'static str;
    /// Between two looks at an outbox that was empty.
    const POLL: Duration;

    fn round(&mut self) -> impl Future<Output = Result<PollResult, Self::Error>> + Send;

    /// Drops what the round had in hand: it failed, or another instance has taken over.
    fn abort(&mut self) -> impl Future<Output = ()> + Send;

    /// Leaves in good order: another instance need not wait for the end of the lease.
    fn release_lease(self) -> impl Future<Output = ()> + Send;
}

/// Works until it is asked to stop, and then on what waits at that moment; trouble is waited out for as long as it
/// takes, unless it was asked to stop.
pub async fn run<W: OutboxSender>(mut work: W, longest_pause: Duration, mut stop: Stop) {
    let mut backoff = Backoff::new(longest_pause);
    loop {
        // Asked before the round: the last one sees all that was committed before the stop.
        let last = stop.is_requested();
        let round = work.round().await;
        if !matches!(round, Ok(PollResult::More | PollResult::Empty)) {
            work.abort().await;
        }
        let pause = match round {
            Ok(round) => {
                backoff.reset();
                match round {
                    PollResult::More => continue,
                    PollResult::Empty => W::POLL,
                    PollResult::Elsewhere => RENEWAL,
                }
            }
            Err(trouble) if last => {
                warn!(error = %trouble, "{}; they wait for the next start", W::NOT_DONE);
                break;
            }
            Err(trouble) => {
                let pause = backoff.pause();
                warn!(error = %trouble, retry_in = ?pause, "{}", W::NOT_DONE);
                pause
            }
        };
        if last {
            break;
        }
        tokio::select! {
            () = stop.requested() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    work.abort().await;
    work.release_lease().await;
}
