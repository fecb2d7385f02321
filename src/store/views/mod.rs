//! What commands, API and pages show. Reads only.

pub mod overview;
pub mod pages;
pub mod read;
pub mod trash_search;
