//! Having dead letters processed anew: published to the queues that they come from, or decided here where there is no broker.

use std::sync::Arc;

use super::{Command, Error, RateLimiter, Replayed};
use crate::broker::{self, Requeue};
use crate::domain::dead_letter::DeadLetter;
use crate::jsonl::ReplayFeed;
use crate::pipeline;
use crate::pipeline::enrollments::Enrollments;
use crate::ports::{FeedError, ReplayStore, Stop};
use crate::store::feed::dead_letters::Replaying;

/// Publishes them to the queues that they come from. Only what the broker has confirmed is removed; a kill in between publishes again, and
/// the ledger answers.
pub async fn publish(
    order: &Command<'_>,
    options: &broker::Options,
    tempo: RateLimiter,
) -> Result<Replayed, Error> {
    let requeue = Requeue::connect(options).await.map_err(said)?;
    let replayed = publish_all(order, &requeue, tempo).await;
    requeue.close().await;
    replayed
}

async fn publish_all(
    order: &Command<'_>,
    requeue: &Requeue,
    mut tempo: RateLimiter,
) -> Result<Replayed, Error> {
    let replays = order.replays();
    let mut pages = Pages::of(order).await?;
    while let Some(page) = pages.next(order).await? {
        let ids: Vec<i64> = page.iter().map(|(letter, _)| letter.id).collect();
        let answers = requeue.publish(page).await.map_err(said)?;
        let confirmed = ids.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(id, _)| *id);
        replays.settle(confirmed.collect(), Vec::new()).await.map_err(Error::Failed)?;
        if let Some(Err(reason)) = answers.iter().find(|answer| answer.is_err()) {
            return Err(Error::Failed(format!(
                "RabbitMQ: a dead letter on its way to its queue was not confirmed ({reason}); it and those behind it are \
                 still there."
            )));
        }
        tempo.keep(replays.removed()).await;
    }
    Ok(Replayed { replayed: replays.removed(), dead_lettered_again: None })
}

/// Decides them here and now, as the service would.
pub async fn decide(
    order: &Command<'_>,
    options: &pipeline::Options,
    mut tempo: RateLimiter,
) -> Result<Replayed, Error> {
    let replays = Arc::new(order.replays());
    let mut pages = Pages::of(order).await?;
    let mut seen = 0;
    while let Some(page) = pages.next(order).await? {
        seen += page.len();
        let bodies = page.into_iter().map(|(letter, body)| (letter.id, body));
        let (_asker, stop) = Stop::channel();
        let decider = order.operations.store.deciding_again(order.operations.options.rules);
        let feed = ReplayFeed::new(bodies, Arc::clone(&replays));
        let handler = Enrollments::new(decider);
        pipeline::run(feed, handler, options.clone(), stop).await.map_err(Error::Failed)?;
        tempo.keep(seen).await;
    }
    let replayed = replays.removed();
    Ok(Replayed { replayed, dead_lettered_again: Some(seen.saturating_sub(replayed)) })
}

/// The letters of an order, oldest first, page by page.
struct Pages {
    after: i64,
    /// What is set aside meanwhile waits for another time.
    newest: i64,
}

impl Pages {
    async fn of(order: &Command<'_>) -> Result<Self, Error> {
        let newest = order.operations.store.dead_letters(order.selection, i64::MAX, 1).await?;
        Ok(Self { after: 0, newest: newest.first().map_or(0, |letter| letter.id) })
    }

    async fn next(&mut self, order: &Command<'_>) -> Result<Option<Vec<(DeadLetter, Vec<u8>)>>, Error> {
        let mut page = order.operations.store.dead_letters_after(self.after, order.selection).await?;
        page.retain(|(letter, _)| letter.id <= self.newest);
        let Some((last, _)) = page.last() else { return Ok(None) };
        self.after = last.id;
        Ok(Some(page))
    }
}

impl Command<'_> {
    fn replays(&self) -> Replaying {
        self.operations.store.replaying(self.selection, self.actor.clone())
    }
}

fn said(error: FeedError) -> Error {
    let (FeedError::Transient(sentence) | FeedError::Permanent(sentence)) = error;
    Error::Failed(sentence)
}
