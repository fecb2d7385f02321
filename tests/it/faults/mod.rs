//! Real processes under real faults, and one oracle: nothing is lost, nothing is done twice, and everybody recovers
//! without a person.
//!
//! The long form; each number has a default:
//!
//! ```sh
//! FAULTS_KILLS=300 FAULTS_EVENTS=100000 FAULTS_NODE_KILLS=10 FAULTS_ROUNDS=1000 FAULTS_SEED=1 FAULTS_RECOVERY=5 \
//!     tests/run.sh faults:: -- --nocapture
//! ```
//!
//! `FAULTS_ROUNDS`: of one worker under load that is hurt once in each, some four seconds long.
//!
//! `FAULTS_RECOVERY`: seconds until a service must be at work again after the end of a fault. The default is meant for
//! machines that have much else to do.

mod brokers;
mod cluster;
mod connections;
mod databases;
mod failover;
mod kills;
mod lines;
mod load;
mod oracle;
mod plan;
mod poolers;
mod scene;
mod sessions;
mod steps;

use std::env;
use std::time::Duration;

use plan::Mix;

use crate::support::Servers;

/// Longer than anything here takes that comes to an end at all.
pub const LONG: Duration = Duration::from_mins(2);

/// What most runs publish.
const MIX: Mix = Mix { duplicates: 20, bad: 4 };

pub fn number(variable: &str, default: usize) -> usize {
    let Ok(text) = env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}"))
}

/// A number of rows.
fn whole(count: usize) -> i64 {
    i64::try_from(count).expect("few")
}

pub fn seed() -> u64 {
    number("FAULTS_SEED", 1) as u64
}

fn recovery() -> Duration {
    Duration::from_secs(number("FAULTS_RECOVERY", 30) as u64)
}

/// Both in turn hurt servers that are only theirs, at the same time: the store of the one and the broker of the other
/// are those of the test run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_fail() {
    let servers = Servers::start().await;
    tokio::join!(
        async {
            sessions::all(&servers).await;
            brokers::all(&servers).await;
            cluster::all(&servers).await;
        },
        async {
            databases::all(&servers).await;
            failover::all(&servers).await;
        }
    );
}
