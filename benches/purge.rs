//! The trash of long ago: the service's purge against a bare chunked DELETE, and beside enrollments.

use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::Args;
use crate::report::{Table, rate};
use crate::service::{LONG, Service, run_to_end};
use crate::support::{Database, wait_until};
use crate::world::{Size, World};

/// The tables of a contact's rows, as one would empty them by hand: no check, no receipt, nothing told.
const CHUNK: [&str; 9] = [
    "DELETE FROM activities WHERE (account_id, activity_id) IN (SELECT account_id, activity_id FROM activity_associations \
     WHERE object_type = 'contact' AND (account_id, object_id) IN (SELECT * FROM chunk))",
    "DELETE FROM activity_associations WHERE object_type = 'contact' AND (account_id, object_id) IN (SELECT * FROM chunk)",
    "DELETE FROM associations WHERE from_type = 'contact' AND (account_id, from_id) IN (SELECT * FROM chunk)",
    "DELETE FROM analytics_events WHERE (account_id, contact_id) IN (SELECT * FROM chunk)",
    "DELETE FROM form_submissions WHERE (account_id, contact_id) IN (SELECT * FROM chunk)",
    "DELETE FROM lifecycle_transitions WHERE (account_id, contact_id) IN (SELECT * FROM chunk)",
    "DELETE FROM workflow_enrollments WHERE (account_id, contact_id) IN (SELECT * FROM chunk)",
    "DELETE FROM contact_emails WHERE (account_id, contact_id) IN (SELECT * FROM chunk)",
    "DELETE FROM contacts WHERE (account_id, contact_id) IN (SELECT * FROM chunk)",
];

const PURGE: [&str; 4] = ["retention", "run", "--job", "purge_trash"];

/// The record of a purge that came to its end.
const DONE: &str = "job = 'purge_trash' AND stopped_by = 'done'";

/// All contacts but those that are enrolled elsewhere are in the trash.
fn trashed(args: &Args) -> i64 {
    let trashed = args.contacts - args.enrollments;
    assert!(trashed > 0, "--contacts must be more than --enrollments, which stay");
    trashed
}

/// To its end, by the service and by hand.
pub async fn purge(args: &Args) -> Table {
    let world = World::load(Size::of(args)).await;
    let trashed = trashed(args);
    let mut table = Table::new(&format!("purge of {trashed} contacts with 11 related rows"), "contacts/s");
    let count = usize::try_from(trashed).expect("not that many");
    let mut memory = 0;
    for _ in 0..args.rounds {
        let service = Service::new(in_the_trash(&world, trashed).await, args).await;
        let started = Instant::now();
        let used = run_to_end(service.spawn(&PURGE)).await;
        table.add("service", rate(count, started.elapsed().as_secs_f64()));
        let gone = service.database.count("contacts", "deleted_at IS NULL").await;
        assert_eq!(
            (service.database.count("contacts", "TRUE").await, gone),
            (args.enrollments, args.enrollments),
            "it purged others"
        );
        memory = memory.max(used);
        table.add(
            "bare chunked DELETE, 5000 a chunk",
            rate(count, bare(&in_the_trash(&world, trashed).await).await),
        );
    }
    table.note_memory(memory);
    table
}

/// What a purge costs the enrollments that come meanwhile: one by hand, which waits for nobody, and a scheduled one.
pub async fn beside(args: &Args) -> Table {
    let world = World::load(Size::of(args)).await;
    let trashed = trashed(args);
    let enrolled = world.enrolled(trashed + 1..=args.contacts);
    let mut table = Table::new(&format!("enrollments beside a purge of {trashed} contacts"), "contacts/s");
    let left = async |service: &Service| {
        service.database.count("contacts", &format!("contact_id <= {trashed}")).await
    };
    for _ in 0..args.rounds {
        let service = Service::new(in_the_trash(&world, trashed).await, args).await;
        table.add("alone", service.decide(&enrolled, args.workers).await.rate());
        let service = Service::new(in_the_trash(&world, trashed).await, args).await;
        let purging = service.spawn(&PURGE);
        table.add("beside one by hand", service.decide(&enrolled, args.workers).await.rate());
        table.note(&format!("by hand: {} were left when the enrollments were through", left(&service).await));
        drop(purging);
        let service = Service::new(in_the_trash(&world, trashed).await, args).await;
        let overdue = "INSERT INTO job_runs (job, first_seen) VALUES ('purge_trash', now() - interval '2 days') \
                       ON CONFLICT (job) DO UPDATE SET first_seen = excluded.first_seen";
        service.database.execute(overdue).await;
        table.add("beside a scheduled one", service.decide(&enrolled, args.workers).await.rate());
        let waiting = left(&service).await;
        table.note(&format!("scheduled: {waiting} were left when the enrollments were through"));
        let (worker, started) = (service.start().await, Instant::now());
        wait_until("the purge has ended", LONG, async || {
            service.database.count("retention_runs", DONE).await > 0
        })
        .await;
        assert_eq!(left(&service).await, 0, "it left some");
        let (count, seconds) = (usize::try_from(waiting).expect("a count"), started.elapsed().as_secs_f64());
        table.note(&format!("scheduled: these then went at {:.0} a second", rate(count, seconds)));
        drop(worker);
    }
    table
}

/// A copy in which the first contacts were deleted a hundred days ago.
async fn in_the_trash(world: &World, contacts: i64) -> Database {
    let database = world.copy().await;
    let trash = format!(
        "INSERT INTO trash_entries (account_id, contact_id, deleted_at, deleted_by, workflow_id, enrollment_id) \
           SELECT account_id, contact_id, now() - interval '100 days', 'workflow', 1, contact_id FROM contacts \
           WHERE contact_id <= {contacts}; \
         UPDATE contacts c SET deleted_at = e.deleted_at, trash_entry_id = e.entry_id FROM trash_entries e \
           WHERE e.account_id = c.account_id AND e.contact_id = c.contact_id; \
         DELETE FROM segment_members WHERE contact_id <= {contacts}; \
         UPDATE workflow_enrollments SET active = FALSE WHERE contact_id <= {contacts}"
    );
    database.execute(&trash).await;
    database.execute("VACUUM ANALYZE").await;
    database.execute("CHECKPOINT").await;
    database
}

/// Seconds that it takes to delete all that is old, chunk by chunk.
async fn bare(database: &Database) -> f64 {
    let mut connection = PgConnection::connect(database.url()).await.expect("PostgreSQL is there");
    let started = Instant::now();
    loop {
        let mut tx = connection.begin().await.expect("a transaction");
        let chunk = "CREATE TEMP TABLE chunk ON COMMIT DROP AS SELECT account_id, contact_id FROM contacts \
                     WHERE deleted_at < now() - interval '90 days' LIMIT 5000";
        let found = sqlx::query(chunk).execute(&mut *tx).await.expect(chunk).rows_affected();
        if found == 0 {
            return started.elapsed().as_secs_f64();
        }
        sqlx::query("ANALYZE chunk").execute(&mut *tx).await.expect("figures of the chunk");
        for statement in CHUNK {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await.expect(statement);
        }
        tx.commit().await.expect("a commit");
    }
}
