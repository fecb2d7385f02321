//! The feed: a generation of connections that consumes, puts off and acknowledges.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use lapin::options::BasicAckOptions;
use lapin::types::ShortString;
use lapin::{Acker, BasicProperties, Connection};
use tokio::sync::Mutex;
use tracing::warn;

use super::connection::{Role, connect, transient, unless_lost};
use super::envelope::Incoming;
use super::ladder::Ladder;
use super::publisher::{Outgoing, Publisher};
use super::subscription::Subscription;
use super::{Options, short, topology};
use crate::domain::progress::{Acks, Progress};
use crate::ports::{Delivery, Feed, FeedError, Session, Settlement, Settler, Verdict};

/// Consumes the work queue.
#[derive(Debug)]
pub struct RabbitFeed {
    options: Options,
}

impl RabbitFeed {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }
}

impl Feed for RabbitFeed {
    type Session = RabbitSession;

    async fn open(&mut self) -> Result<RabbitSession, FeedError> {
        let options = &self.options;
        let queue = short(&options.queue)?;
        let ladder = Arc::new(Ladder::new(options)?);
        let connection = Arc::new(connect(options, Role::Consume).await?);
        topology::declare(&connection, options).await?;
        let publisher = Arc::new(Publisher::connect(options, Role::Publish).await?);

        let subscription = Subscription::open(Arc::clone(&connection), queue, options.prefetch).await?;
        let settler = RabbitSettler { connection, publisher, ladder, progress: Arc::default() };
        Ok(RabbitSession { subscription, settler })
    }
}

/// One consuming connection, channel and subscription, and one publishing connection beside it. Dropped, it
/// disconnects, and what was not settled comes again.
pub struct RabbitSession {
    subscription: Subscription,
    settler: RabbitSettler,
}

/// What settles a delivery: its acker, and what is repeated of it where it goes elsewhere. It cannot be printed: headers are
/// the producer's and may name people.
pub struct Receipt {
    /// Its number on the channel, from 1 on.
    tag: u64,
    acker: Acker,
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
}

impl Receipt {
    fn incoming(&self) -> Incoming<'_> {
        let Self { exchange, routing_key, properties, .. } = self;
        Incoming { properties, exchange, routing_key }
    }
}

impl Session for RabbitSession {
    type Receipt = Receipt;
    type Settler = RabbitSettler;

    async fn next(&mut self) -> Result<Option<Delivery<Receipt>>, FeedError> {
        self.subscription.next().await.map(|delivery| Some(received(delivery)))
    }

    fn settler(&self) -> RabbitSettler {
        self.settler.clone()
    }

    async fn close(self) {
        self.subscription.close().await;
        self.settler.publisher.close().await;
    }
}

fn received(delivery: lapin::message::Delivery) -> Delivery<Receipt> {
    let lapin::message::Delivery {
        delivery_tag,
        exchange,
        routing_key,
        redelivered,
        properties,
        data,
        acker,
        ..
    } = delivery;
    let receipt = Receipt { tag: delivery_tag, acker, exchange, routing_key, properties };
    let incoming = receipt.incoming();
    let (attempt, trace, origin) = (incoming.attempt(), incoming.trace(), incoming.origin(redelivered));
    Delivery { body: data, redelivered, attempt, trace, origin, receipt }
}

/// Acknowledges, and sends elsewhere before that.
#[derive(Clone)]
pub struct RabbitSettler {
    /// The one that the deliveries came by.
    connection: Arc<Connection>,
    publisher: Arc<Publisher>,
    ladder: Arc<Ladder>,
    /// Of the deliveries of this session. Held while acknowledging: an acknowledgement of many must not be overtaken by
    /// a later one that includes it, the broker would not know it any more.
    progress: Arc<Mutex<Progress>>,
}

impl Settler for RabbitSettler {
    type Receipt = Receipt;

    fn retries(&self) -> u32 {
        self.ladder.len()
    }

    /// What was decided is acknowledged at once, also while a broker in alarm keeps the others waiting; their
    /// deliveries follow when all of them are confirmed.
    async fn settle(&self, settlements: Vec<Settlement<Receipt>>) -> Result<(), FeedError> {
        let mut decided = Vec::with_capacity(settlements.len());
        let mut sent_on = Vec::new();
        let mut outgoing = Vec::new();
        for Settlement { delivery, verdict } in settlements {
            let Delivery { body, attempt, receipt, .. } = delivery;
            let (routing_key, properties) = match verdict {
                Verdict::Ack | Verdict::DeadLetter(_) => {
                    decided.push((receipt.tag, receipt.acker));
                    continue;
                }
                Verdict::Retry => match self.ladder.rung(attempt) {
                    Some(rung) => (rung.queue.clone(), receipt.incoming().retry(rung.wait())),
                    // Left open it comes again; nobody asks for more rungs than there are.
                    None => continue,
                },
            };
            // What cannot be acknowledged any more comes again, and is sent on then.
            if receipt.acker.usable() {
                outgoing.push(Outgoing { exchange: ShortString::default(), routing_key, properties, body });
            }
            sent_on.push((receipt.tag, receipt.acker));
        }
        let (acknowledged, published) =
            join(self.acknowledge(decided), self.publisher.publish_confirmed(outgoing)).await;
        acknowledged?;
        published?;
        self.acknowledge(sent_on).await
    }
}

impl RabbitSettler {
    /// Through each delivery's own acker: it knows when its channel is gone, a bare tag does not.
    async fn acknowledge(&self, settled: Vec<(u64, Acker)>) -> Result<(), FeedError> {
        let tags: Vec<u64> = settled.iter().map(|(tag, _)| *tag).collect();
        let mut progress = self.progress.lock().await;
        let Acks { up_to, singly } = progress.acknowledge(&tags);
        let singly: HashSet<u64> = singly.into_iter().collect();
        let acks = settled.iter().filter_map(|(tag, acker)| {
            let multiple = up_to == Some(*tag);
            (multiple || singly.contains(tag)).then(|| acker.ack(BasicAckOptions { multiple }))
        });
        let acked = async {
            let mut not_acked = 0_usize;
            for acked in join_all(acks).await {
                if !acked.map_err(|error| transient("acknowledging", &error))? {
                    not_acked += 1;
                }
            }
            Ok(not_acked)
        };
        let not_acked = unless_lost(&self.connection, "acknowledging", acked).await?;
        if not_acked > 0 {
            warn!(feed.not_acked = not_acked, "deliveries outlived their channel and come again");
        }
        Ok(())
    }
}
