//! contact-reaper: the *Delete contact* action of a CRM's workflows, as a background service.
//!
//! The rooms, in reading order. Imports run one way, and `tests/it/tidy.rs` fails where they do not:
//! `main → cli → service → http → operations → {broker, jsonl, pipeline, outbox, scheduler} → {ports, backoff, store} →
//! domain`.
//!
//! - [`domain`] decides, purely: the event, the checks in order, the filter language, the matrix of effects.
//! - [`store`] keeps, and is the only room that names sqlx: coarse verbs, each one transaction.
//! - [`ports`] is what the pipeline asks of whatever feeds it, a feed of the store, and the outbox of whoever takes
//!   its events; [`backoff`] the pauses between tries.
//! - [`broker`] (the only room that names lapin) and [`jsonl`] are the two feeds.
//! - [`pipeline`] takes deliveries, batches them, has them decided, and says how they are settled; it takes up again
//!   what was held or deferred.
//! - [`outbox`] sends what was written with the deeds, in order, until it is confirmed.
//! - [`scheduler`] runs the jobs of retention, on one of many instances.
//! - [`operations`] is what a command and an HTTP request have in common: the same deed, the same answer.
//! - [`http`] is health, metrics, API and pages; [`telemetry`] the logs, the traces and every metric's name.
//! - [`systemd`] is told how the service is, where it asks.
//! - [`service`] builds the parts and stops them, softly, then hard; [`cli`] is the command line;
//!   [`config`] the settings.
//!
//! What is never there: a delete without a row of the matrix; an acknowledgement before a commit; a time
//! compared that is not the database's; an `await` in `domain`; personal data in a log, a metric, an event, an
//! audit row or an error; a future of the store dropped half-way.

#![deny(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "they panic when the write fails: use cli::output"
)]

pub mod backoff;
pub mod broker;
pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod jsonl;
pub mod operations;
pub mod outbox;
pub mod pipeline;
pub mod ports;
pub mod scheduler;
pub mod service;
pub mod store;
pub mod systemd;
pub mod telemetry;
