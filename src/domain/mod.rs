//! Everything that decides, as pure functions of facts and a time: no await, no SQL, no AMQP, no clock.
//!
//! Read [`enrollment`] (what comes in), [`decision`] (the checks, in order), [`workflow`] and [`criteria`]
//! (what they ask), then [`effects`] (what a deletion does) and [`restore`] (who may come back).

pub mod actions;
pub mod address;
pub mod associations;
pub mod batch_size;
pub mod body_texts;
pub mod cloud_event;
pub mod connection_url;
pub mod counted;
pub mod credential;
pub mod criteria;
pub mod dead_letter;
pub mod decision;
pub mod effects;
pub mod enrollment;
pub mod entitlement;
pub mod guard;
pub mod hex;
pub mod identifiers;
pub mod journal;
pub mod lifecycle;
pub mod lint;
pub mod members;
pub mod mentions;
pub mod nearest;
pub mod network;
pub mod object_type;
pub mod permission;

pub mod progress;
pub mod properties;
pub mod record;
pub mod record_event;
pub mod redaction;
pub mod rejection;
pub mod restore;
pub mod schedule;
pub mod scripts;
pub mod search;
pub mod suppression;
pub mod time;
pub mod token_scope;
pub mod trace;
pub mod unread;
pub mod wall;
pub mod windows;
pub mod workflow;
