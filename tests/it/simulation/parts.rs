//! What the pipeline is given: a feed and a decider that do what the [`World`](super::world::World) says.

use std::sync::MutexGuard;
use std::time::Duration;

use contact_reaper::domain::dead_letter::{Arrived, Origin};
use contact_reaper::domain::decision::Decision;
use contact_reaper::domain::enrollment::NewEnrollment;
use contact_reaper::domain::rejection::Rejection;
use contact_reaper::domain::time::parse_time;
use contact_reaper::ports::{
    self, Answers, BatchError, Decided, Decider, Delivery, Feed, FeedError, MessageStore, Session,
    SettleAction, Settlement, Settler,
};
use tokio::time::sleep;

use super::world::{Message, RETRIES, Shared, World};

/// How long a store that is away is waited for.
const NO_ANSWER: Duration = Duration::from_secs(10);

fn locked(shared: &Shared) -> MutexGuard<'_, World> {
    shared.lock().expect("nobody panics with it")
}

async fn wait_a_bit(shared: &Shared) {
    let delay = locked(shared).delay();
    sleep(delay).await;
}

fn lost() -> FeedError {
    FeedError::Transient("lost".to_owned())
}

#[derive(Clone)]
pub struct ModelDecider(pub Shared);

impl Decider for ModelDecider {
    async fn decide(
        &self,
        batch: &[ports::Message<'_, NewEnrollment>],
    ) -> Result<Answers<Decided>, BatchError> {
        wait_a_bit(&self.0).await;
        let decided = locked(&self.0).decide(batch);
        let decisions = self.answered(decided).await?;
        let at = parse_time("2026-11-21T10:00:00Z").expect("a time");
        let answer = |decision| match decision {
            Decision::DeadLetter(rejection) => Err(rejection),
            decision => Ok(Decided { decision, at }),
        };
        Ok(decisions.into_iter().map(answer).collect())
    }
}

impl MessageStore for ModelDecider {
    async fn set_aside(&self, arrived: Arrived<'_>, rejection: &Rejection) -> Result<(), BatchError> {
        wait_a_bit(&self.0).await;
        let set_aside = locked(&self.0).set_aside_alone(arrived, rejection.reason);
        self.answered(set_aside).await
    }

    async fn is_available(&self) -> bool {
        let away = locked(&self.0).is_away();
        sleep(if away { NO_ANSWER } else { Duration::ZERO }).await;
        !away
    }
}

impl ModelDecider {
    /// What the store answers, if the answer arrives.
    async fn answered<T>(&self, answer: Result<T, BatchError>) -> Result<T, BatchError> {
        if matches!(answer, Err(BatchError::Unavailable(_))) {
            sleep(NO_ANSWER).await;
        }
        wait_a_bit(&self.0).await;
        let is_lost = locked(&self.0).strikes(30);
        if answer.is_ok() && is_lost {
            return Err(BatchError::Unavailable("the answer was lost".to_owned()));
        }
        answer
    }
}

pub struct ModelFeed(pub Shared);

impl Feed for ModelFeed {
    type Session = ModelSession;

    async fn open(&mut self) -> Result<ModelSession, FeedError> {
        // Something always takes time: a loop of failures must not be endless at one moment.
        sleep(Duration::from_millis(1)).await;
        let mut world = locked(&self.0);
        if world.strikes(4) {
            return Err(lost());
        }
        Ok(ModelSession { world: self.0.clone(), number: world.open() })
    }
}

pub struct ModelSession {
    world: Shared,
    number: u64,
}

impl Drop for ModelSession {
    fn drop(&mut self) {
        locked(&self.world).end(self.number);
    }
}

#[derive(Clone)]
pub struct ModelSettler {
    world: Shared,
    number: u64,
}

impl Session for ModelSession {
    type AckHandle = (u64, Message);
    type Settler = ModelSettler;

    async fn next(&mut self) -> Result<Option<Delivery<(u64, Message)>>, FeedError> {
        loop {
            let pause = {
                let mut world = locked(&self.world);
                if world.strikes(300) {
                    world.end(self.number);
                }
                if !world.is_open(self.number) {
                    return Err(lost());
                }
                if let Some((tag, message, body)) = world.deliver() {
                    let Message { attempt, redelivered, copy, .. } = message;
                    let origin = Origin {
                        may_repeat: redelivered || attempt > 0,
                        ..Origin::place("model".into(), copy.to_string())
                    };
                    let (trace, ack_handle) = (None, (tag, message));
                    return Ok(Some(Delivery {
                        body,
                        unread: None,
                        redelivered,
                        attempt,
                        trace,
                        origin,
                        ack_handle,
                    }));
                }
                if world.is_away() { NO_ANSWER } else { Duration::from_millis(7) }
            };
            sleep(pause).await;
        }
    }

    fn settler(&self) -> ModelSettler {
        ModelSettler { world: self.world.clone(), number: self.number }
    }

    async fn close(self) {}
}

impl Settler for ModelSettler {
    type AckHandle = (u64, Message);

    fn retries(&self) -> u32 {
        RETRIES
    }

    async fn settle(&self, settlements: Vec<Settlement<(u64, Message)>>) -> Result<(), FeedError> {
        let mut decided = Vec::new();
        let mut sent_on = Vec::new();
        for Settlement { delivery, verdict } in settlements {
            match verdict {
                SettleAction::Ack | SettleAction::DeadLetter(_) => decided.push(delivery.ack_handle.0),
                SettleAction::Retry => sent_on.push(delivery.ack_handle),
            }
        }
        wait_a_bit(&self.world).await;
        locked(&self.world).acknowledge(self.number, &decided);
        let tags: Vec<u64> = sent_on.iter().map(|(tag, _)| *tag).collect();
        for (_, message) in sent_on {
            wait_a_bit(&self.world).await;
            let mut world = locked(&self.world);
            if world.strikes(30) {
                return Err(lost());
            }
            world.put_off(message);
        }
        wait_a_bit(&self.world).await;
        let mut world = locked(&self.world);
        if world.strikes(30) {
            return Err(lost());
        }
        world.acknowledge(self.number, &tags);
        Ok(())
    }
}
