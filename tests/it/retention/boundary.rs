//! Ninety days to the microsecond, by the database's clock, whatever the clocks on the wall and the worker's own say.
//!
//! On PostgreSQL the database's clock is stopped, and the worker's is a day wrong. On SQLite, which has no clock of its
//! own, the worker's clock is the database's, and it is stopped.

use serde_json::json;

use super::with;
use crate::support::records::contact;
use crate::support::{Database, Reaper, on_both};

/// By the database's clock, and 90 × 24 h before it: as Berlin puts its clocks forward; from behind that to after it,
/// so that those days are an hour short; and into the hour that Berlin shows twice.
const MOMENTS: [(&str, &str); 3] = [
    ("2026-03-29T01:00:00", "2025-12-29T01:00:00"),
    ("2026-06-27T00:30:00", "2026-03-29T00:30:00"),
    ("2027-01-23T01:30:00", "2026-10-25T01:30:00"),
];

/// A worker whose clock is wrong, on a database whose clock stands at this moment.
async fn at(db: &Database, reaper: &Reaper, now: &str, error: &str) -> Reaper {
    if db.is_sqlite() {
        return reaper.clone().in_time(&now.replace('T', " "));
    }
    let stop = format!(
        "CREATE OR REPLACE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE \
         AS $$ SELECT timestamptz '{now}Z' $$"
    );
    db.execute(&stop).await;
    let look_there_first = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', \
                            current_database()); END $$";
    db.execute(look_there_first).await;
    reaper.clone().in_time(error)
}

on_both!(only_what_is_older_than_ninety_days_goes_by_the_database_s_clock, async |db: Database| {
    let mut records = Vec::new();
    for (first, (_, ninety_days_ago)) in (1..).step_by(3).zip(MOMENTS) {
        // One microsecond older, exactly, one microsecond younger.
        let (second, _) = ninety_days_ago.rsplit_once(':').expect("seconds");
        let before = chrono::NaiveDateTime::parse_from_str(ninety_days_ago, "%Y-%m-%dT%H:%M:%S")
            .expect("a time")
            - chrono::TimeDelta::microseconds(1);
        let times = [
            before.format("%Y-%m-%dT%H:%M:%S%.6f").to_string(),
            format!("{second}:00.000000"),
            format!("{second}:00.000001"),
        ];
        for (id, at) in (first..).zip(times) {
            let mut record = contact(1, id, json!({}));
            record["archived"] = json!(true);
            record["archivedAt"] = json!(format!("{at}Z"));
            record["createdAt"] = json!("2025-01-01T00:00:00Z");
            records.push(record);
        }
    }
    let reaper = with(&db, &records).await.setting("retention.time_zone", "Europe/Berlin");
    for (first, (now, _)) in (1..).step_by(3).zip(MOMENTS) {
        for error in ["+1d", "-1d"] {
            let worker = at(&db, &reaper, now, error).await;
            worker.json(&["retention", "run", "--job", "purge_trash", "--clock-is-right"]).await;
            // Those of the moments before are older by now, those to come younger.
            let gone: Vec<String> = db
                .rows("SELECT CAST(contact_id AS text) FROM gone_contacts ORDER BY contact_id")
                .await
                .concat();
            let expected: Vec<String> = (1..=first).map(|id| id.to_string()).collect();
            assert_eq!(gone, expected, "at {now}, with a clock that is {error} wrong");
        }
    }
});
