//! Who may do something, by which token or session, and who did it.

pub(super) mod audit;
pub(super) mod random;
pub mod sessions;
pub mod tokens;
pub(super) mod users;
