//! How fast the service is, held against what the machine could do at best and against the plain way, in one run:
//!
//! ```text
//! cargo bench                            # every scenario
//! cargo bench -- deletable purge         # these
//! cargo bench -- --contacts 5000000 deletable
//! ```
//!
//! `BENCH_PYTHON` may name a Python with the packages of the peer (see `peer.py`); without it the peer is left out.
//!
//! It starts its own PostgreSQL and RabbitMQ (`tests/run.sh --with`), which write as durably as in production. Nothing is
//! asserted: figures of one run are to be compared with each other, and with nothing else.

#![expect(clippy::expect_used, reason = "a benchmark that cannot go on ends")]

mod embedded;
mod floor;
mod growth;
mod import;
mod latency;
mod plain;
mod processor;
mod profile;
mod purge;
mod report;
mod scenarios;
mod service;
#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the harness of the tests, not all of which is needed"
)]
#[path = "../tests/it/support/mod.rs"]
mod support;
mod world;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;

/// Measures the service and what it is held against, in turn.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Scenarios to run; all where none is named.
    #[arg(value_parser = scenarios::NAMES)]
    scenarios: Vec<String>,
    /// How often each candidate is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Contacts in the store.
    #[arg(long, default_value_t = 50_000)]
    contacts: i64,
    /// Enrollments a measurement.
    #[arg(long, default_value_t = 20_000)]
    enrollments: i64,
    /// Accounts that share the contacts.
    #[arg(long, default_value_t = 1)]
    accounts: i64,
    /// Workflows of each account.
    #[arg(long, default_value_t = 1)]
    workflows: i64,
    /// Bytes that an event has beyond the some 400 that it needs.
    #[arg(long, default_value_t = 0)]
    padding: usize,
    /// Processes of the service.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// A setting of the service, KEY=VALUE; may be given several times.
    #[arg(long = "set", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Writes the figures there too, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn main() -> ExitCode {
    let args = Args::parse();
    if std::env::var_os("TEST_POSTGRES_URL").is_none() {
        return with_servers(&args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(scenarios::run(&args));
    ExitCode::SUCCESS
}

/// Runs this program again beside servers of its own.
fn with_servers(args: &Args) -> ExitCode {
    let status = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/run.sh"))
        .arg("--with")
        .arg(std::env::current_exe().expect("this program is a file"))
        .args(std::env::args_os().skip(1))
        .env("TEST_POSTGRES_OPTIONS", scenarios::postgres_options(args))
        .status()
        .expect("tests/run.sh starts");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
