//! Restorable deletes by people.

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::{Context, Failure, id, output};

#[derive(Debug, Args)]
pub struct Delete {
    #[arg(long, value_parser = id)]
    account: i64,
    /// The user who deletes, by id or e-mail address
    #[arg(long = "as", value_name = "USER")]
    user: String,
    #[arg(long, value_parser = id)]
    contact: i64,
    /// How many contacts this will delete, typed to be sure
    #[arg(long, value_name = "COUNT")]
    confirm: u64,
}

impl Delete {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.confirm != 1 {
            return Err(anyhow!(
                "--confirm says {} where 1 contact would be deleted; nothing was deleted",
                self.confirm
            )
            .into());
        }
        let store = context.existing_store().await?;
        let entry = store.delete_contact(self.account, &self.user, self.contact).await?;
        if context.json {
            return output::document(&json!({"deleted": 1,
                "entries": [{"contactId": self.contact.to_string(), "entryId": entry.to_string()}]}));
        }
        output::line(&format!(
            "contact {} is in the trash (entry {entry}), restorable for 90 days",
            self.contact
        ))
    }
}
