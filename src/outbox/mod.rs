//! What was written to the outbox with the deed leaves, under a lease.

mod event;
pub mod events;
mod leadership;
mod rounds;
