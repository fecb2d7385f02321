//! Compiled definitions: a revision is parsed once, however many batches ask for it.
//!
//! By its text, not by its `revisionId`, which an import may leave as it was: what a batch decides by is always what
//! the store held under the batch's lock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::workflow::Workflow;
use crate::store::StoreError;

/// How much text is remembered; beyond that all of it is forgotten, and what is in use comes back with the next batch.
const CAPACITY: usize = 16 << 20;

/// All clones share what is remembered.
#[derive(Clone, Debug, Default)]
pub struct WorkflowCache(Arc<Mutex<CacheInner>>);

#[derive(Debug, Default)]
struct CacheInner {
    by_text: HashMap<String, Arc<Workflow>>,
    bytes: usize,
}

impl WorkflowCache {
    /// The workflow that a definition says.
    ///
    /// # Errors
    ///
    /// Where the text is no JSON.
    pub fn workflow(&self, flow: String) -> Result<Arc<Workflow>, StoreError> {
        // Nothing is left half-done in it, whatever panicked beside.
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(workflow) = memory.by_text.get(&flow) {
            return Ok(Arc::clone(workflow));
        }
        let definition = serde_json::from_str(&flow)
            .map_err(|_| StoreError::Failed("a workflow's definition in the store is no JSON".to_owned()))?;
        let workflow = Arc::new(Workflow::parse(&definition));
        if memory.bytes.saturating_add(flow.len()) > CAPACITY {
            *memory = CacheInner::default();
        }
        memory.bytes += flow.len();
        memory.by_text.insert(flow, Arc::clone(&workflow));
        Ok(workflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(revision: &str, room: usize) -> String {
        format!(
            r#"{{"id": "5", "isEnabled": true, "revisionId": "{revision}", "name": "{}"}}"#,
            "x".repeat(room)
        )
    }

    #[test]
    fn a_revision_is_compiled_once_and_another_one_is_not_taken_for_it() {
        let compiled = WorkflowCache::default();
        let first = compiled.workflow(flow("1", 0)).unwrap();
        assert!(Arc::ptr_eq(&first, &compiled.clone().workflow(flow("1", 0)).unwrap()));
        let off = compiled.workflow(flow("1", 0).replace("true", "false")).unwrap();
        assert!(first.is_enabled && !off.is_enabled);
        assert!(compiled.workflow("{".to_owned()).is_err());
    }

    #[test]
    fn cache_is_bounded() {
        let compiled = WorkflowCache::default();
        for revision in ["1", "2", "3", "4"] {
            compiled.workflow(flow(revision, CAPACITY / 3)).unwrap();
        }
        let memory = compiled.0.lock().unwrap();
        assert!(
            memory.bytes <= CAPACITY && memory.bytes == memory.by_text.keys().map(String::len).sum::<usize>()
        );
    }
}
