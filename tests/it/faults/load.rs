//! A producer that goes on until the broker has confirmed everything.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::support::Broker;

/// Published at a time, and between two times, while there is no hurry.
const FEW: usize = 10;
const PAUSE: Duration = Duration::from_millis(50);
/// Published at a time in a hurry.
const MANY: usize = 200;

/// How often each body was sent, whether or not it arrived.
pub type Sent = Arc<Mutex<BTreeMap<Vec<u8>, usize>>>;

pub struct Load {
    task: JoinHandle<()>,
    hurry: Arc<AtomicBool>,
}

impl Load {
    /// Starts at an easy pace, so that it lasts.
    pub fn start(broker: Arc<Broker>, bodies: Vec<Vec<u8>>, sent: Sent) -> Self {
        let hurry = Arc::new(AtomicBool::new(false));
        Self { task: tokio::spawn(publish(broker, bodies, sent, Arc::clone(&hurry))), hurry }
    }

    /// As fast as it goes from now on.
    pub fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    /// Returns when all is confirmed.
    pub async fn finish(self) {
        self.hurry();
        self.task.await.expect("the producer does not panic");
    }
}

async fn publish(broker: Arc<Broker>, mut bodies: Vec<Vec<u8>>, sent: Sent, hurry: Arc<AtomicBool>) {
    while !bodies.is_empty() {
        let hurried = hurry.load(Ordering::Relaxed);
        let count = if hurried { MANY } else { FEW };
        let rest = bodies.split_off(count.min(bodies.len()));
        for body in &bodies {
            *sent.lock().expect("ours").entry(body.clone()).or_default() += 1;
        }
        // What was not confirmed may have arrived: then it is one more duplicate.
        let unconfirmed = broker.unconfirmed(std::mem::replace(&mut bodies, rest)).await;
        if !hurried || !unconfirmed.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        bodies.splice(0..0, unconfirmed);
    }
}
