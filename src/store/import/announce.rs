//! Events about contacts that are created and changed, where the settings ask for them: ids and names of properties, no values.

use serde_json::{Value, json};

use super::Numbered;
use super::chunk::Chunk;
use crate::store::StoreError;
use crate::store::outbox::write_outbox;

impl Chunk {
    /// Announces contacts that are new and live.
    pub(super) async fn announce_new(
        &mut self,
        contacts: impl Iterator<Item = &(i64, i64)>,
    ) -> Result<(), StoreError> {
        if self.changed.is_none() {
            return Ok(());
        }
        let messages = contacts.map(|contact| (contact.0, "contact.creation", data(*contact)));
        let messages: Vec<_> = messages.collect();
        self.announce(messages).await
    }

    /// Announces contacts whose properties these records have changed.
    pub(super) async fn announce_changes(&mut self, records: &[Numbered]) -> Result<(), StoreError> {
        let Some(mut changed) = self.changed.as_mut().map(std::mem::take) else { return Ok(()) };
        let mut messages = Vec::new();
        for (_, record) in records {
            for contact_id in &record.contacts {
                let contact = (record.account_id, *contact_id);
                let Some(names) = changed.remove(&contact).filter(|names| !names.is_empty()) else {
                    continue;
                };
                let mut data = data(contact);
                data["properties"] = json!(names);
                messages.push((contact.0, "contact.propertyChange", data));
            }
        }
        self.announce(messages).await
    }

    async fn announce(&mut self, messages: Vec<(i64, &'static str, Value)>) -> Result<(), StoreError> {
        if messages.is_empty() { Ok(()) } else { write_outbox(&mut self.tx, self.now, messages).await }
    }
}

fn data((account_id, contact_id): (i64, i64)) -> Value {
    json!({"accountId": account_id.to_string(), "contactId": contact_id.to_string()})
}
