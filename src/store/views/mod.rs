//! What commands, API and pages show. Reads only.

pub mod changes;
pub mod overview;
pub mod pages;
pub mod read;
pub mod trash_search;
