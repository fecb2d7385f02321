//! Dead letters that wait with the broker: taken into the store, one by one, beside all other work.
//!
//! Every worker does it; the broker gives each letter to one of them. A letter is acknowledged once it is committed, and
//! one that comes again is known by its identity. After any failure the letter stays where it is, and the
//! enrollments do not wait for it.

use std::time::Duration;

use metrics::counter;
use tracing::{info, warn};

use super::open;
use crate::backoff::Backoff;
use crate::domain::rejection::Rejection;
use crate::ports::{
    BatchError, Feed, FeedError, MessageStore, Session, SettleAction, Settlement, Settler, Stop,
};
use crate::telemetry;

/// Takes them in until asked to stop. A letter's handle says why it was set aside.
pub async fn run<F, M>(mut feed: F, store: M, max_reconnect_delay: Duration, mut stop: Stop)
where
    F: Feed,
    <F::Session as Session>::AckHandle: AsRef<Rejection>,
    M: MessageStore,
{
    let mut backoff = Backoff::new(max_reconnect_delay);
    while !stop.is_requested() {
        let taken_in = match open(&mut feed, &store).await {
            Ok(session) => {
                backoff.reset();
                take_in(session, &store, &mut stop).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = taken_in {
            let delay = backoff.pause();
            warn!(%error, retry_in = ?delay, "dead letters of the broker not taken in");
            tokio::select! {
                () = stop.requested() => {}
                () = tokio::time::sleep(delay) => {}
            }
        }
    }
}

/// All of one session.
async fn take_in<S, M>(mut session: S, store: &M, stop: &mut Stop) -> Result<(), FeedError>
where
    S: Session,
    S::AckHandle: AsRef<Rejection>,
    M: MessageStore,
{
    let settler = session.settler();
    let ended = loop {
        let next = tokio::select! {
            biased;
            () = stop.requested() => Ok(None),
            next = session.next() => next,
        };
        let delivery = match next {
            Ok(Some(delivery)) => delivery,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        let rejection = delivery.ack_handle.as_ref().clone();
        match store.set_aside(delivery.arrived(), &rejection).await {
            Ok(()) => {}
            // Left in hand it does not hold up the others.
            Err(BatchError::Poison(problem)) => {
                warn!(error = problem, "a dead letter stays with the broker");
                continue;
            }
            Err(error) => break Err(FeedError::Transient(error.to_string())),
        }
        let reason = rejection.reason.as_str();
        info!(reason, detail = rejection.detail, "dead letter of the broker taken in");
        let verdict = SettleAction::DeadLetter(rejection);
        if let Err(error) = settler.settle(vec![Settlement { delivery, verdict }]).await {
            break Err(error);
        }
        counter!(telemetry::DEAD_LETTERS_TOTAL, "reason" => reason).increment(1);
    };
    session.close().await;
    ended
}
