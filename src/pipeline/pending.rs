//! Enrollments that were held or deferred and whose time has come: approved, resumed or due.
//!
//! Every instance looks for them and passes over those that another has in hand. What a run leaves waiting waits for
//! the next: the end of a feed is not held up by it.

use std::time::Duration;

use tracing::{error, warn};

use super::Options;
use crate::ports::Stop;
use crate::store::{Rules, Store};
use crate::telemetry;

/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Takes them up until asked to stop; once at least, so that a run that ends at once does its share.
pub async fn run(store: Store, rules: Rules, options: Options, mut stop: Stop) {
    loop {
        redecide_ready(&store, &rules, &options, &stop).await;
        if stop.is_requested() {
            return;
        }
        tokio::select! {
            () = stop.requested() => return,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Takes up all there are now, batch by batch.
async fn redecide_ready(store: &Store, rules: &Rules, options: &Options, stop: &Stop) {
    let mut limit = options.batch_size;
    loop {
        match store.redecide_ready(limit, rules).await {
            Ok(taken) => {
                for (enrollment, decided) in taken.changed {
                    telemetry::decided(&enrollment, &decided.decision);
                }
                if taken.keys.len() < limit {
                    return;
                }
                limit = options.batch_size;
            }
            Err(problem) if problem.is_transient() => {
                warn!(error = %problem, "pending enrollments were not decided; they are tried again");
                return;
            }
            // One that the store cannot take does not hold the others: it is first when it stands alone.
            Err(_) if limit > 1 => limit /= 2,
            Err(problem) => {
                error!(error = %problem, "a pending enrollment cannot be decided; it is tried again in an hour");
                if let Err(problem) = store.postpone_first_ready().await {
                    warn!(error = %problem, "the enrollment was not postponed");
                    return;
                }
            }
        }
        if stop.is_requested() {
            return;
        }
    }
}
