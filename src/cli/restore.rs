//! Bringing contacts back from the trash.

use clap::Args;
use serde_json::json;

use super::{Context, Failure, id, output};

#[derive(Debug, Args)]
pub struct Restore {
    #[arg(long, value_parser = id)]
    account: i64,
    /// The user who restores, by id or e-mail address
    #[arg(long = "as", value_name = "USER")]
    user: String,
    #[arg(long, value_parser = id)]
    contact: i64,
}

impl Restore {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let store = context.existing_store().await?;
        store.restore_contact(self.account, &self.user, self.contact).await?;
        if context.json {
            return output::document(&json!({"restored": [self.contact.to_string()]}));
        }
        output::line(&format!("contact {} is back", self.contact))
    }
}
