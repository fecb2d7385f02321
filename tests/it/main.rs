//! What the service does, seen from outside: real processes, a real PostgreSQL, real SQLite files, a real
//! RabbitMQ. `tests/run.sh` starts the servers.

mod company_stage;
mod support;
