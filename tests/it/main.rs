//! What the service does, seen from outside: real processes, a real PostgreSQL, real SQLite files, a real
//! RabbitMQ. `tests/run.sh` starts the servers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by a panic, in its helpers too")]

mod activities;
mod broker;
mod commands;
mod company_stage;
mod criteria;
mod dead_letters;
mod decisions;
mod deferral;
mod definitions;
mod deletes;
mod deletes_interrupted;
mod demo;
mod deployment;
mod edited;
mod end_to_end;
mod erase;
mod erase_column;
mod explain;
mod faults;
mod guard;
mod hostile;
mod import;
mod import_contacts;
mod journal;
mod lines;
mod mail;
mod mangled_bodies;
mod matrix;
mod metrics;
mod model;
mod monitoring;
mod otlp;
mod outbox;
mod pages;
mod pause;
mod people;
mod purge;
mod repetition;
mod restores;
mod retention;
mod retries;
mod schema;
mod service;
mod simulation;
mod support;
mod systemd;
mod tidy;
mod tls;
mod traces;
mod transactions;
mod trash;
mod triggers;
mod unknown;
