//! What a delete by a user would do: the answer, for contacts and for other records.

use std::collections::BTreeMap;

use serde::Serialize;

/// How many blockers are named.
const NAMED: usize = 500;

/// What a delete would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeletePreview {
    /// How many contacts or records would go: what has to be confirmed.
    pub records: u64,
    /// What shows under them now, by category; each without what no record has.
    pub categories: Vec<CategoryCount>,
    /// What is named and could not be deleted, the first ones: a delete that names it deletes nothing.
    pub blockers: Vec<Blocker>,
    /// What one of the records is called in a sentence.
    #[serde(skip)]
    pub noun: &'static str,
}

/// How many members a category has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CategoryCount {
    pub category: &'static str,
    pub count: u64,
}

/// Why something that is named could not be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// As it is named: `contact:512`, `deal:30`.
    pub record: String,
    /// As programs know it: `in_trash`, `erased`, `purged`, `unknown`, `not_in_segment`.
    pub reason: &'static str,
    /// As people read it.
    pub message: String,
}

impl DeletePreview {
    /// Adds what shows under records.
    pub(in crate::store) fn new(
        noun: &'static str,
        records: u64,
        counts: BTreeMap<&'static str, u64>,
        mut blockers: Vec<Blocker>,
    ) -> Self {
        blockers.truncate(NAMED);
        let categories = counts.into_iter().filter(|(_, count)| *count > 0);
        let categories = categories.map(|(category, count)| CategoryCount { category, count }).collect();
        Self { records, categories, blockers, noun }
    }
}
