//! In the store, where the embedded feed keeps them.

use std::sync::Arc;

use super::{Failure, Order, Tempo};
use crate::service;

/// Decides them here and now, as the service would; how many were, and how many were set aside again.
pub async fn replay(order: &Order<'_>, mut tempo: Tempo) -> Result<(usize, usize), Failure> {
    let Order { context, store, selection, actor } = order;
    let all = store.dead_letters(selection, 1).await?;
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
        service::replay(&context.settings, store, bodies, Arc::clone(&replays)).await?;
        tempo.keep(seen).await;
    }
    Ok((replays.removed(), seen.saturating_sub(replays.removed())))
}
