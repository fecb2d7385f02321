//! The whole matrix against a model of it: random graphs of records, random deeds, and after every deed the rows and
//! everything that is shown, held against what an independent model says.
//!
//! A failure prints its seed and the few steps that it takes. The long form, on one database or both:
//!
//! ```sh
//! REAPER_STEPS=30000 REAPER_SEED=1 REAPER_RACES=1000 tests/run.sh matrix:: -- --nocapture
//! ```

mod chance;
mod deeds;
mod gone;
mod graph;
mod import;
mod model;
mod play;
mod races;
mod records;
mod rows;
mod shown;
mod stages;

use std::env;
use std::time::{Duration, Instant};

use chance::steps;
use play::{Scene, Step};

use crate::model::Dice;
use crate::support::{Database, on_both};

/// Deeds between two fresh stores.
const STEPS_A_STORE: usize = 150;

/// How long a failure may take to be made shorter.
const PATIENCE: Duration = Duration::from_secs(40);

on_both!(the_store_is_as_the_model, async |db: Database| {
    let is_sqlite = db.is_sqlite();
    drop(db);
    let wanted = number("REAPER_STEPS").unwrap_or(if is_sqlite { 600 } else { 150 });
    let seed = number("REAPER_SEED").unwrap_or(1);
    let mut played = 0;
    for round in 0.. {
        if played >= wanted {
            break;
        }
        let steps = steps(STEPS_A_STORE, &mut Dice::new(mixed(seed, round)));
        if let Err((number, _)) = play(is_sqlite, &steps).await {
            let (steps, why) = shortened(is_sqlite, steps[..=number].to_vec()).await;
            let list: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
            panic!("REAPER_SEED={seed}, round {round}: {why}\nafter\n{}", list.join("\n"));
        }
        played += STEPS_A_STORE;
    }
    println!("{played} steps");
});

/// A number from the environment.
pub fn number(variable: &str) -> Option<usize> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// A seed of its own for each round; chance wants one whose bits are mixed.
fn mixed(seed: usize, round: usize) -> u64 {
    let number = u64::try_from(seed * 1_000_000 + round + 1).expect("64 bits");
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

async fn play(is_sqlite: bool, steps: &[Step]) -> Result<(), (usize, String)> {
    let db = if is_sqlite { Database::sqlite() } else { Database::postgres().await };
    Scene::new(db).await.play(steps).await
}

/// Fewer steps that fail too: whatever can be left out is.
async fn shortened(is_sqlite: bool, mut steps: Vec<Step>) -> (Vec<Step>, String) {
    let mut why = String::new();
    let (mut size, started) = (steps.len() / 2, Instant::now());
    while size > 0 && started.elapsed() < PATIENCE {
        let mut start = 0;
        while start < steps.len() && started.elapsed() < PATIENCE {
            let mut fewer = steps.clone();
            fewer.drain(start..(start + size).min(steps.len()));
            match play(is_sqlite, &fewer).await {
                Err((number, difference)) => {
                    fewer.truncate(number + 1);
                    (steps, why) = (fewer, difference);
                }
                Ok(()) => start += size,
            }
        }
        size /= 2;
    }
    if why.is_empty() {
        why = play(is_sqlite, &steps).await.expect_err("it failed before").1;
    }
    (steps, why)
}
