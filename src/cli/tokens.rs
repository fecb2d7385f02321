//! `tokens`: what opens the pages and the API over HTTP.

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Context, Failure, id, operator, output};
use crate::domain::time::{SPOKEN_TIMES, SpokenTime};
use crate::domain::token_scope::TokenScope;
use crate::store::access::tokens::{Expiry, NewToken, TokenRow};

#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// Make a token that acts as a user of an account; it is shown once and kept as a hash
    Create(Create),
    /// Tokens, newest first, the revoked ones too
    List {
        /// Only of this account
        #[arg(long, value_parser = id)]
        account: Option<i64>,
    },
    /// End a token, and the sessions begun with it
    Revoke {
        #[arg(value_name = "TOKEN", value_parser = id)]
        token: i64,
        #[arg(long, value_parser = id)]
        account: i64,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    #[arg(long, value_parser = id)]
    account: i64,
    /// The user it acts as, by id or e-mail address; what that user may do is asked each time
    #[arg(long, value_name = "USER")]
    user: String,
    /// What it is for, so that you know it again
    #[arg(long, default_value = "")]
    name: String,
    /// When it ends: a period such as 90d, `tomorrow 14:00` or 2026-11-21 (both UTC), or RFC 3339; without this it lasts
    /// until it is revoked
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
    /// What it is for, once for each: console (pages and /api/v1, the default), crm.read, crm.write, crm.delete, crm.erase,
    /// automation (the vendor's API)
    #[arg(long = "scope", value_name = "SCOPE", value_parser = TokenScope::parse)]
    scopes: Vec<TokenScope>,
}

fn expiry(text: &str) -> Result<Expiry, String> {
    match SpokenTime::parse(text, Utc::now()) {
        Some(SpokenTime::At(time)) => Ok(Expiry::At(time)),
        Some(SpokenTime::Period(period)) => Ok(Expiry::In(period)),
        None => Err(SPOKEN_TIMES.to_owned()),
    }
}

impl Tokens {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let store = context.existing_store().await?;
        match self {
            Self::Create(Create { account, user, name, expires, scopes }) => {
                let wanted = NewToken {
                    account_id: account,
                    user,
                    name,
                    expires,
                    scopes: scopes.into_iter().collect(),
                };
                let made = store.create_token(&wanted, &operator()).await?;
                if context.json {
                    let mut document = json!(made.row);
                    document["token"] = Value::from(made.token.expose());
                    return output::document(&document);
                }
                output::line(made.token.expose())?;
                output::say(&format!(
                    "This is token {} of user {}; it is not shown again. Revoke it with `contact-reaper tokens revoke {} \
                     --account {account}`.",
                    made.row.token_id, made.row.user_id, made.row.token_id
                ));
                Ok(())
            }
            Self::List { account } => {
                let tokens = store.tokens(account).await?;
                context.refuse_unknown(&store, account, tokens.is_empty()).await?;
                print(context, tokens)
            }
            Self::Revoke { token, account } => {
                store.revoke_token(account, token, &operator()).await?;
                if context.json {
                    return output::document(
                        &json!({"accountId": account.to_string(), "tokenId": token.to_string(),
                        "revoked": true}),
                    );
                }
                output::line(&format!("token {token} is revoked: it opens nothing any more"))
            }
        }
    }
}

fn print(context: &Context, tokens: Vec<TokenRow>) -> Result<(), Failure> {
    if context.json {
        return output::document(&tokens);
    }
    let time = |time: Option<String>| time.map_or_else(|| "-".to_owned(), |time| output::short_time(&time));
    let row = |it: TokenRow| {
        let created = output::short_time(&it.created_at);
        let times = [it.last_used_at, it.expires_at, it.revoked_at].map(time);
        let scopes: Vec<&str> = it.scopes.iter().map(|scope| scope.as_str()).collect();
        [it.token_id, it.account_id, it.user_id, it.name, scopes.join(", "), created]
            .into_iter()
            .chain(times)
            .collect()
    };
    let rows: Vec<Vec<String>> = tokens.into_iter().map(row).collect();
    let headings =
        ["token", "account", "user", "name", "scopes", "created", "last used", "expires", "revoked"];
    output::table(&headings, &rows, "no tokens")
}
