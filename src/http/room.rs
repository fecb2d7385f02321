//! Who may keep a connection open when there are too many: whoever is being answered, and then whoever came last.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The connections that are open. One that waits for its client, for a head, a body or the next request, gives way to a new
/// one where there is no room: the longest waiting one of the network that has the most of them. So a probe is answered
/// however many connections somebody opens and leaves.
pub struct Room {
    most: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// By age.
    seats: BTreeMap<u64, Seat>,
}

struct Seat {
    network: IpAddr,
    answering: Answering,
    give_way: Arc<Notify>,
}

/// A connection's place; free again when dropped.
pub struct Place {
    room: Arc<Room>,
    number: u64,
    /// What is being answered over it.
    pub answering: Answering,
    /// Told when it has to close.
    pub give_way: Arc<Notify>,
}

/// How many requests of a connection are being answered.
#[derive(Clone, Debug, Default)]
pub struct Answering(Arc<AtomicUsize>);

/// A request that is being answered, until this is dropped.
pub struct InProgress(Answering);

impl Answering {
    /// A request has arrived whole.
    pub fn begin(&self) -> InProgress {
        self.0.fetch_add(1, Ordering::Relaxed);
        InProgress(self.clone())
    }

    fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, open: Mutex::default() })
    }

    /// A place for a new connection; none where everybody is being answered.
    pub fn enter(self: &Arc<Self>, network: IpAddr) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.seats.len() >= self.most {
            let number = open.dispensable()?;
            if let Some(seat) = open.seats.remove(&number) {
                seat.give_way.notify_one();
            }
        }
        let (answering, give_way) = (Answering::default(), Arc::<Notify>::default());
        let number = open.next;
        open.next += 1;
        let seat = Seat { network, answering: answering.clone(), give_way: Arc::clone(&give_way) };
        open.seats.insert(number, seat);
        Some(Place { room: Arc::clone(self), number, answering, give_way })
    }
}

impl Open {
    fn dispensable(&self) -> Option<u64> {
        let idle = || self.seats.iter().filter(|(_, seat)| seat.answering.is_idle());
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (_, seat) in idle() {
            *counts.entry(seat.network).or_default() += 1;
        }
        let most = counts.values().max()?;
        idle().find(|(_, seat)| counts.get(&seat.network) == Some(most)).map(|(number, _)| *number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.room.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt as _;

    use super::*;

    fn network(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn must_close(place: &Place) -> bool {
        place.give_way.notified().now_or_never().is_some()
    }

    #[test]
    fn oldest_idle_connection_of_the_largest_network_is_closed() {
        let room = Room::new(4);
        let [probe, first, second, third] = [1, 2, 2, 2].map(|last| room.enter(network(last)).unwrap());
        let fourth = room.enter(network(2)).unwrap();
        assert_eq!(
            [&probe, &first, &second, &third, &fourth].map(must_close),
            [false, true, false, false, false]
        );
        // Whoever is being answered stays.
        let under_way = second.answering.begin();
        let fifth = room.enter(network(3)).unwrap();
        assert_eq!(
            [&probe, &second, &third, &fourth, &fifth].map(must_close),
            [false, false, true, false, false]
        );
        drop(under_way);
        drop((first, third));
        let sixth = room.enter(network(3)).unwrap();
        assert_eq!(
            [&probe, &second, &fourth, &fifth, &sixth].map(must_close),
            [false, true, false, false, false]
        );
    }

    #[test]
    fn full_room_of_busy_connections_admits_none_until_one_ends() {
        let room = Room::new(2);
        let places = [1, 2].map(|last| room.enter(network(last)).unwrap());
        let under_way = [places[0].answering.begin(), places[1].answering.begin()];
        assert!(room.enter(network(3)).is_none());
        drop(under_way);
        drop(places);
        let [_first, _second] = [1, 2].map(|last| room.enter(network(last)).unwrap());
        assert_eq!(room.open.lock().unwrap().seats.len(), 2);
    }
}
