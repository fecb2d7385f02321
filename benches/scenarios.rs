//! What is measured, one function a scenario: the candidates in turn, round by round.

use std::collections::HashMap;
use std::fs;
use std::hint::black_box;
use std::time::Instant;

use contact_reaper::domain::criteria::subject::{Record, Subject};
use contact_reaper::domain::criteria::{Criteria, Truth};
use serde_json::{Value, json};

use crate::report::{Table, rate};
use crate::service::Service;
use crate::world::{Enrolled, Size, World};
use crate::{Args, embedded, floor, growth, import, latency, plain, profile, purge};

/// The scenarios, in the order in which they run.
pub const NAMES: [&str; 13] = [
    "deletable",
    "mix",
    "heavy",
    "duplicates",
    "latency",
    "restore",
    "purge",
    "beside",
    "embedded",
    "import",
    "criteria",
    "growth",
    "profile",
];

/// A server that writes as durably as one in production, with memory enough for the machine.
const POSTGRES_OPTIONS: &str = "-c fsync=on -c full_page_writes=on -c shared_buffers=2GB -c max_wal_size=8GB \
     -c checkpoint_timeout=30min -c autovacuum_naptime=10min -c random_page_cost=1.1 -c track_commit_timestamp=on";

/// The options of the server for these scenarios.
pub fn postgres_options(args: &Args) -> String {
    // Counting what statements cost is not free.
    let counting = if args.scenarios == ["profile"] { profile::POSTGRES_OPTION } else { "" };
    format!("{POSTGRES_OPTIONS} {counting}")
}

/// Enrollments of those that do one after the other: their rate does not depend on it.
const ONE_BY_ONE: usize = 2_000;

/// Enrollments a second that leave everybody time.
const LOW_RATE: i64 = 50;

pub async fn run(args: &Args) {
    let machine = machine();
    println!("{machine}");
    let mut tables = Vec::new();
    for name in NAMES {
        // The profile counts statements, which is not free, and growth fills a disk: only where they are asked for.
        let asked = args.scenarios.iter().any(|it| it == name);
        if !asked && (!args.scenarios.is_empty() || ["growth", "profile"].contains(&name)) {
            continue;
        }
        let table = match name {
            "deletable" => deletable(args).await,
            "mix" => mix(args).await,
            "heavy" => heavy(args).await,
            "duplicates" => duplicates(args).await,
            "latency" => latency(args).await,
            "restore" => restore(args).await,
            "purge" => purge::purge(args).await,
            "beside" => purge::beside(args).await,
            "embedded" => embedded::embedded(args).await,
            "import" => import::import(args).await,
            "criteria" => criteria(args),
            "growth" => growth::growth(args).await,
            _ => profiled(args).await,
        };
        println!("\n{}", table.text());
        tables.push(table);
    }
    if let Some(file) = &args.json {
        let all =
            json!({"machine": machine, "scenarios": tables.iter().map(Table::json).collect::<Vec<_>>()});
        fs::write(file, all.to_string()).expect("the file is written");
    }
}

fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo").lines().next().unwrap_or_default().to_owned();
    format!(
        "{cores} cores{}, {memory}, shared with PostgreSQL ({POSTGRES_OPTIONS}) and RabbitMQ",
        model.trim_start_matches(['\t', ' '])
    )
}

/// Every contact is to go: against the limit, the plain way and a peer.
async fn deletable(args: &Args) -> Table {
    let world = World::load(Size::of(args)).await;
    let enrolled = world.enrolled(1..=args.enrollments);
    let few: Vec<Enrolled> = enrolled.iter().copied().take(ONE_BY_ONE).collect();
    let mut table = Table::new(&format!("deletable, {} contacts in the store", args.contacts), "contacts/s");
    let mut memory = 0;
    for _ in 0..args.rounds {
        let service = Service::new(world.copy().await, args).await;
        let measured = service.decide(&enrolled, args.workers).await;
        memory = memory.max(measured.memory);
        table.add("service", measured.rate());
        let service = Service::new(world.copy().await, args).await;
        service.keep_events().await;
        table.add(
            "service, its events left in the outbox",
            service.decide(&enrolled, args.workers).await.rate(),
        );
        let mut best: f64 = 0.0;
        for (connections, batch) in [(2, 300), (2, 1000), (3, 1000)] {
            let rate =
                rate(enrolled.len(), floor::sql(&world.copy().await, &enrolled, connections, batch).await);
            table.add(&format!("sql, {connections} connections, {batch} a batch"), rate);
            best = best.max(rate);
        }
        let drain = rate(enrolled.len(), floor::drain(&service.broker, &enrolled).await);
        table.add("drain", drain);
        table.add("limit: 1 / (1 / sql + 1 / drain)", 1.0 / (1.0 / best + 1.0 / drain));
        let service = Service::new(world.copy().await, args).await;
        table.add("plain worker", rate(few.len(), plain::worker(&service, &few).await));
        match plain::peer(&world.copy().await, few.len()).await {
            Some(seconds) => table.add("peer: Dramatiq, pika, psycopg", rate(few.len(), seconds)),
            None => table.note("the peer was not measured: BENCH_PYTHON names no Python with its packages"),
        }
    }
    table.note_memory(memory);
    table
}

/// Six of ten are to go; of the rest each is spared for another reason.
async fn mix(args: &Args) -> Table {
    let world = World::load(Size::of(args)).await;
    let mut enrolled = world.enrolled(1..=args.enrollments);
    for it in &mut enrolled {
        match it.contact % 10 {
            6 => it.contact += 1_000_000_000,
            7 => it.workflow += 1_000_000,
            8 => it.account += 1_000_000,
            _ => {}
        }
    }
    let mut table =
        Table::new("mix: 60 % go, 10 % each: criteria, unknown contact, workflow, account", "decisions/s");
    for _ in 0..args.rounds {
        let database = world.copy().await;
        database
            .execute("UPDATE contacts SET properties = properties - 'country' WHERE contact_id % 10 = 9")
            .await;
        database.execute("VACUUM ANALYZE contacts").await;
        database.execute("CHECKPOINT").await;
        let service = Service::new(database, args).await;
        table.add("service", service.decide(&enrolled, args.workers).await.rate());
    }
    table
}

/// Contacts with 300 related rows.
async fn heavy(args: &Args) -> Table {
    let size = Size { contacts: args.contacts / 10, more: 144, ..Size::of(args) };
    let world = World::load(size).await;
    let enrolled = world.enrolled(1..=size.contacts.min(args.enrollments));
    let mut table = Table::new("heavy: 300 related rows a contact", "contacts/s");
    for _ in 0..args.rounds {
        let service = Service::new(world.copy().await, args).await;
        table.add("service", service.decide(&enrolled, args.workers).await.rate());
        let seconds = floor::sql(&world.copy().await, &enrolled, 2, 1000).await;
        table.add("sql, 2 connections, 1000 a batch", rate(enrolled.len(), seconds));
    }
    table
}

/// The same events again: what a redelivery costs.
async fn duplicates(args: &Args) -> Table {
    let world = World::load(Size::of(args)).await;
    let enrolled = world.enrolled(1..=args.enrollments);
    let mut table = Table::new("duplicates: each event once more", "events/s");
    for _ in 0..args.rounds {
        let service = Service::new(world.copy().await, args).await;
        table.add("first time", service.decide(&enrolled, args.workers).await.rate());
        service.publish(&enrolled).await;
        table.add("again", rate(enrolled.len(), service.empty_the_queue().await));
    }
    table
}

/// Fifty a second, one by one: from publish to commit.
async fn latency(args: &Args) -> Table {
    let world = World::load(Size::of(args)).await;
    let enrolled = world.enrolled(1..=LOW_RATE * 20);
    let mut table = Table::new("latency: fifty a second, from publish to commit", "ms");
    for _ in 0..args.rounds {
        let service = Service::new(world.copy().await, args).await;
        let worker = service.start().await;
        let (median, p99) = latency::of(&service, &enrolled, LOW_RATE).await;
        drop(worker);
        table.add("service, p99", p99);
        table.add("service, median", median);
        let service = Service::new(world.copy().await, args).await;
        let (measured, _) = tokio::join!(
            latency::of(&service, &enrolled, LOW_RATE),
            plain::consume(&service, enrolled.len())
        );
        table.add("plain worker, p99", measured.1);
        table.add("plain worker, median", measured.0);
    }
    table
}

/// A bad run taken back.
async fn restore(args: &Args) -> Table {
    let world = World::load(Size::of(args)).await;
    let enrolled = world.enrolled(1..=args.enrollments);
    let mut table = Table::new("restore: a workflow's run taken back", "contacts/s");
    for _ in 0..args.rounds {
        let service = Service::new(world.copy().await, args).await;
        table.add("service: the deletion", service.decide(&enrolled, args.workers).await.rate());
        let restored = service.restore_all().await;
        table.add("command: the restore", rate(enrolled.len(), restored));
    }
    table
}

/// One core, no store: how many contacts a second a workflow's criteria are held against.
fn criteria(args: &Args) -> Table {
    let flow: Value = serde_json::from_str(include_str!("workflow.json")).expect("a definition");
    let criteria = Criteria::parse(&flow["enrollmentCriteria"]["listFilterBranch"], "$");
    let properties =
        [("lifecyclestage", "lead"), ("country", "DE"), ("city", "Berlin"), ("email", "a@example.com")];
    let properties =
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let record = Record { properties, history: HashMap::new(), created_at: None, is_partial: false };
    let now = chrono::Utc::now();
    let subject = Subject {
        own_type: "contact",
        now,
        zone: None,
        record: &record,
        around: None,
        unknown_properties: None,
        event: None,
        own: None,
    };
    let mut table = Table::new("criteria: three filters, one core", "contacts/s");
    for _ in 0..args.rounds {
        const CONTACTS: usize = 2_000_000;
        let started = Instant::now();
        for _ in 0..CONTACTS {
            assert_eq!(black_box(&criteria).evaluate(black_box(subject)), Truth::True);
        }
        table.add("evaluated", rate(CONTACTS, started.elapsed().as_secs_f64()));
    }
    table
}

/// Where the time goes.
async fn profiled(args: &Args) -> Table {
    let world = World::load(Size::of(args)).await;
    let service = Service::new(world.copy().await, args).await;
    let mut table = Table::new("profile: a contact's share", "µs");
    let lines = profile::profile(&service, &world.enrolled(1..=args.enrollments), &mut table).await;
    for line in &lines {
        table.note(line);
    }
    table
}
