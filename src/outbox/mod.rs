//! What was written to the outbox with the deed leaves: events to the broker, confirmations by e-mail.
//!
//! Each goes its own way, under a lease of its own: a mail server that is away holds up no event, and the other way
//! round. Both are sent at least once, and know a repetition by an id that stays the same.

mod event;
pub mod events;
mod leadership;
mod letter;
pub mod mail;
mod rounds;
mod smtp;
