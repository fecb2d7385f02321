//! In the store, where the embedded feed keeps them.

use std::sync::Arc;

use super::{Error, Order, Replayed, Tempo};
use crate::jsonl::ReplayFeed;
use crate::pipeline;
use crate::ports::Stop;

/// Decides them here and now, as the service would.
pub async fn replay(
    order: &Order<'_>,
    options: &pipeline::Options,
    mut tempo: Tempo,
) -> Result<Replayed, Error> {
    let Order { operations, selection, actor } = order;
    let store = &operations.store;
    let all = store.dead_letters(selection, i64::MAX, 1).await?;
    // What is set aside meanwhile waits for another time.
    let newest = all.first().and_then(|letter| letter.id.parse().ok()).unwrap_or(0);
    let replays = Arc::new(store.replaying(selection, actor.clone()));
    let (mut seen, mut after) = (0, 0);
    loop {
        let mut page = store.dead_letters_after(after, selection).await?;
        page.retain(|(id, _)| *id <= newest);
        let Some((last, _)) = page.last() else { break };
        after = *last;
        seen += page.len();
        let bodies = page.into_iter().map(|(id, letter)| (id, letter.body));
        let (_asker, stop) = Stop::channel();
        let decider = store.deciding(operations.options.rules);
        let feed = ReplayFeed::new(bodies, Arc::clone(&replays));
        pipeline::run(feed, decider, options.clone(), stop).await.map_err(Error::Failed)?;
        tempo.keep(seen).await;
    }
    let replayed = replays.removed();
    Ok(Replayed { replayed, set_aside_again: Some(seen.saturating_sub(replayed)) })
}
