//! Sessions of the feed whose broker says goodbye while they settle: each of them ends.
//!
//! The client library may forget the answer that it owes when the connection ends at that very moment. A session that
//! waited for it would hold up its worker for ever, which looks like one that has nothing to do.

use std::sync::Arc;
use std::time::Duration;

use contact_reaper::broker::{Options, RabbitFeed, RabbitSession, Tls};
use contact_reaper::ports::{Feed, Session, SettleAction, Settlement, Settler};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::LONG;
use crate::support::{Broker, Servers};

/// Many: what is to be met takes chance.
const SESSIONS: usize = 40;
const GOODBYES: usize = 3;
/// More than are settled before the broker has gone.
const MESSAGES: usize = 20_000;

pub async fn all(servers: &Servers) {
    let broker = Broker::at(&servers.amqp_url()).await;
    for _ in 0..GOODBYES {
        let (mut sessions, all_are_open) = (JoinSet::new(), Arc::new(Barrier::new(SESSIONS + 1)));
        for _ in 0..SESSIONS {
            let mut feed = RabbitFeed::new(options(&broker));
            let all_are_open = Arc::clone(&all_are_open);
            sessions.spawn(async move {
                let session = feed.open().await.expect("the broker is there");
                all_are_open.wait().await;
                settle_to_the_end(session).await;
            });
        }
        all_are_open.wait().await;
        broker.publish(&vec!["{}"; MESSAGES]).await;
        servers.rabbitmqctl(&["stop_app"]).await;
        let ended = timeout(LONG, sessions.join_all()).await;
        assert!(ended.is_ok(), "a session waits for a broker that is gone");
        println!("broker says goodbye: {SESSIONS} sessions have ended");
        servers.rabbitmqctl(&["start_app"]).await;
    }
}

/// Settles each message by itself, so that at any moment there is something to be forgotten.
async fn settle_to_the_end(mut session: RabbitSession) {
    let mut settling = JoinSet::new();
    while let Ok(Some(delivery)) = session.next().await {
        let settler = session.settler();
        settling.spawn(async move {
            // That it may fail is known; that it ends is the question.
            drop(settler.settle(vec![Settlement { delivery, verdict: SettleAction::Ack }]).await);
        });
    }
    settling.join_all().await;
    session.close().await;
}

fn options(broker: &Broker) -> Options {
    Options {
        url: broker.url(),
        tls: Tls::default(),
        exchange: broker.exchange(),
        routing_key: "contact.delete".to_owned(),
        queue: broker.queue(),
        delivery_limit: 100,
        retry_queue_prefix: broker.own_name("contact-reaper.retry"),
        retry_delays: vec![Duration::from_secs(1)],
        dead_letter_queue: broker.dead_letter_queue(),
        dead_letter_retention: LONG,
        events_exchange: broker.events_exchange(),
        records: None,
        prefetch: 100,
        heartbeat: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(30),
    }
}
