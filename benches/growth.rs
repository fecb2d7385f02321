//! What growth costs: the service on stores and in numbers that differ from the first in one thing each.

use crate::Args;
use crate::report::Table;
use crate::service::Service;
use crate::world::{Size, World};

/// How much larger the large store is.
const LARGER: i64 = 100;

pub async fn growth(args: &Args) -> Table {
    let size = Size::of(args);
    let world = World::load(size).await;
    let workflows = World::load(Size { workflows: 200, ..size }).await;
    let accounts = World::load(Size { accounts: 50, ..size }).await;
    let large = World::load(Size { contacts: size.contacts * LARGER, ..size }).await;
    let few = world.enrolled(1..=args.enrollments);
    let rounds = i64::try_from(args.rounds).expect("not that many");
    // The large store is not copied: each round has contacts of its own, half of them side by side, half far apart.
    let side_by_side: Vec<_> = (0..rounds)
        .map(|round| large.enrolled(round * args.enrollments + 1..=(round + 1) * args.enrollments))
        .collect();
    let step = usize::try_from(size.contacts * LARGER / 2 / args.enrollments).expect("not that many");
    let far_apart: Vec<_> = (0..rounds)
        .map(|round| {
            large.enrolled((size.contacts * LARGER / 2 + round..size.contacts * LARGER).step_by(step))
        })
        .collect();
    let large = Service::new(large.into_store(), args).await;

    let mut table = Table::new(&format!("growth, from {} contacts", size.contacts), "contacts/s");
    for round in 0..args.rounds {
        for workers in 1..=4 {
            let service = Service::new(world.copy().await, args).await;
            let name = format!("{workers} worker{}", if workers == 1 { "" } else { "s" });
            table.add(&name, service.decide(&few, workers).await.rate());
        }
        for (name, world) in [("200 workflows", &workflows), ("50 accounts", &accounts)] {
            let service = Service::new(world.copy().await, args).await;
            table.add(name, service.decide(&world.enrolled(1..=args.enrollments), 1).await.rate());
        }
        let name = format!("{} contacts", size.contacts * LARGER);
        table.add(&name, large.decide(&side_by_side[round], 1).await.rate());
        table.add(&format!("{name}, far apart"), large.decide(&far_apart[round], 1).await.rate());
    }
    table
}
