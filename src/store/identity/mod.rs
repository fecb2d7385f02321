//! By what people are known: addresses, names and numbers of contacts, and keyed hashes of the addresses of those who are gone.

pub(super) mod identifiers;
pub(super) mod suppressions;
