//! `users`: the users of an account, and what they may do.

use clap::Subcommand;

use super::{Context, Failure, id, output};

/// Users looked up in one transaction.
const PAGE: i64 = 1000;

#[derive(Debug, Subcommand)]
pub enum Users {
    /// Users of an account, by id, and their permissions
    List {
        #[arg(long, value_parser = id)]
        account: i64,
    },
}

impl Users {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::List { account } = self;
        let store = context.existing_store().await?;
        let (mut users, mut from) = (Vec::new(), 1);
        loop {
            let page = store.users(account, from, PAGE).await?;
            let is_last = i64::try_from(page.len()).is_ok_and(|rows| rows < PAGE);
            let last = page.last().and_then(|user| user.id.parse::<i64>().ok());
            users.extend(page);
            match last.filter(|_| !is_last) {
                Some(last) => from = last.saturating_add(1),
                None => break,
            }
        }
        context.refuse_unknown(&store, Some(account), users.is_empty()).await?;
        if context.json {
            return output::document(&users);
        }
        let rows: Vec<Vec<String>> =
            users.into_iter().map(|user| vec![user.id, user.email, user.permissions.join(", ")]).collect();
        output::table(&["user", "e-mail", "permissions"], &rows, "the account has no users")
    }
}
