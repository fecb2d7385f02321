//! What a feed leaves in the store: the position in a file, and the messages that were set aside.

pub mod checkpoint;
pub mod dead_letters;
