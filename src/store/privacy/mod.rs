//! Erasing people for good, everywhere, again after a backup was restored, and never under a legal hold.

pub mod erase;
pub mod journal;
pub mod legal_hold;
pub mod reapply;
pub mod receipts;
pub mod redact;
pub(super) mod vacuum;
