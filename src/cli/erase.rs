//! The privacy officer's commands: `erase`, `erasures`, `legal-hold`.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::data::Input;
use super::output::warn_of_files;
use super::{Context, Failure, id, journal, operator_named, operator_or, output};
use crate::operations::Confirmation;
use crate::store::Operator;
use crate::store::privacy::erase::{ErasureTarget, Preview};
use crate::store::privacy::receipts::{CategoryEffect, Receipt};

#[derive(Debug, Args)]
pub struct Erase {
    #[arg(long, value_parser = id)]
    account: i64,
    /// The user who erases, by id or e-mail address
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// One contact, live or in the trash
    #[arg(long, value_parser = id, required_unless_present = "email", conflicts_with = "email")]
    contact: Option<i64>,
    /// Every contact of this address, and whatever names it; it is suppressed even where no contact has it
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// How many contacts this will erase for good, typed to be sure
    #[arg(long, value_name = "COUNT", required_unless_present = "preview", conflicts_with = "preview")]
    confirm: Option<u64>,
    /// Show what would go, be changed and be left alone; writes nothing
    #[arg(long)]
    preview: bool,
}

#[derive(Debug, Subcommand)]
pub enum Erasures {
    /// Receipts, newest first
    List {
        #[arg(long, value_parser = id)]
        account: i64,
        /// Only erasures of this address, which is compared by its keyed hash
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
    },
    /// One receipt
    Show {
        #[arg(value_name = "ERASURE", value_parser = id)]
        erasure: i64,
        #[arg(long, value_parser = id)]
        account: i64,
    },
    /// The journal of all erasures (JSON Lines, no personal data), to be kept outside the store
    Export(journal::Output),
    /// After a backup was restored: erase again whoever is in the journal, before the service runs
    Apply(Input),
}

#[derive(Debug, Subcommand)]
pub enum LegalHold {
    /// Keep a contact from being erased or purged
    Set {
        #[arg(long, value_parser = id)]
        account: i64,
        #[arg(long, value_parser = id)]
        contact: i64,
        /// Why: a case number, say; no personal data
        #[arg(long)]
        reason: String,
        /// Who sets it, instead of the operating system's user: a user of the account by id or e-mail address, or system:NAME
        #[arg(long = "as", value_name = "USER", value_parser = operator_named)]
        user: Option<Operator>,
    },
    /// Let it be erased and purged again
    Lift {
        #[arg(long, value_parser = id)]
        account: i64,
        #[arg(long, value_parser = id)]
        contact: i64,
        /// Who lifts it, instead of the operating system's user: a user of the account by id or e-mail address, or system:NAME
        #[arg(long = "as", value_name = "USER", value_parser = operator_named)]
        user: Option<Operator>,
    },
    /// Contacts under a hold
    List {
        #[arg(long, value_parser = id)]
        account: i64,
    },
}

impl Erase {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let target = match (self.contact, self.email) {
            (Some(contact), _) => ErasureTarget::Contact(contact),
            (None, address) => ErasureTarget::Address(address.unwrap_or_default()),
        };
        let operations = context.operations().await?;
        let Some(confirm) = self.confirm else {
            let preview = operations.preview_erasure(self.account, &self.user, &target).await?;
            return if context.json { output::document(&preview) } else { print_preview(&preview) };
        };
        let erasure = operations.erase(self.account, &self.user, &target, confirm).await?;
        if let Some(problem) = &erasure.not_scrubbed {
            warn_of_files(problem);
        }
        if context.json {
            return output::document(&erasure);
        }
        for receipt in &erasure.receipts {
            print_receipt(receipt)?;
        }
        let Confirmation { user_id, waits_for } = &erasure.confirmation;
        let user = output::or_dash(user_id.as_deref());
        output::line(&if *waits_for == "run" {
            format!("the confirmation e-mail to user {user} waits in the outbox for `contact-reaper run`")
        } else {
            format!("no confirmation e-mail is sent to user {user}: mail.smtp_url is not set")
        })
    }
}

impl Erasures {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Export(output) => journal::export(context, &output).await,
            Self::Apply(input) => journal::apply(context, &input).await,
            Self::List { account, email, limit } => {
                let store = context.existing_store().await?;
                let receipts = match email {
                    Some(address) => store.erasures_of(account, &address, limit).await?,
                    None => store.erasures(account, None, limit).await?,
                };
                context.refuse_unknown(&store, Some(account), receipts.is_empty()).await?;
                if context.json {
                    return output::document(&receipts);
                }
                let rows: Vec<Vec<String>> = receipts
                    .into_iter()
                    .map(|receipt| {
                        vec![
                            receipt.erasure_id,
                            output::or_dash(receipt.contact_id.as_deref()),
                            output::short_time(&receipt.erased_at),
                            receipt.erased_by,
                        ]
                    })
                    .collect();
                output::table(&["erasure", "contact", "erased", "by user"], &rows, "nobody was erased")
            }
            Self::Show { account, erasure } => {
                let receipt = context.operations().await?.erasure(account, erasure).await?;
                if context.json { output::document(&receipt) } else { print_receipt(&receipt) }
            }
        }
    }
}

/// A receipt in words: when, by which user, what.
fn print_receipt(receipt: &Receipt) -> Result<(), Failure> {
    let Receipt { erasure_id, account_id, contact_id, erased_at, first_erased_at, erased_by, effect } =
        receipt;
    let erased = contact_id.as_ref().map_or_else(
        || "an address that no contact had is erased, and on the suppression list".to_owned(),
        |contact| format!("contact {contact} is erased for good"),
    );
    output::line(&format!(
        "{erased} (erasure {erasure_id} of account {account_id}, {}, user {erased_by})",
        output::short_time(erased_at),
    ))?;
    if let Some(first) = first_erased_at {
        output::line(&format!(
            "first erased {}; a backup brought the contact back",
            output::short_time(first)
        ))?;
    }
    print_categories(&effect.categories)?;
    if !effect.others.is_empty() {
        let others: Vec<String> =
            effect.others.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        output::line(&format!("redacted in records that stay: {}", others.join(", ")))?;
    }
    print_found(effect.found.iter().map(|it| (it.kind.as_str(), it.id.as_str())))?;
    output::line(&format!("survivors: {}", effect.survivors))
}

fn print_preview(preview: &Preview) -> Result<(), Failure> {
    let contacts: Vec<Vec<String>> = preview
        .contacts
        .iter()
        .map(|it| {
            let hold = it.legal_hold.as_deref().map_or_else(|| "-".to_owned(), output::short_time);
            vec![it.id.clone(), it.name.clone(), it.emails.join(" "), hold]
        })
        .collect();
    output::table(
        &["contact", "name", "addresses", "legal hold since"],
        &contacts,
        "no contact has the address",
    )?;
    output::line("")?;
    print_categories(&preview.categories)?;
    output::line("")?;
    let others: Vec<Vec<String>> = preview
        .others
        .iter()
        .map(|it| vec![it.kind.clone(), output::or_dash(it.id.as_deref()), it.redact.to_string()])
        .collect();
    output::table(&["changed record", "id", "places"], &others, "no other record would be changed")?;
    print_found(preview.found.iter().map(|it| (it.kind.as_str(), it.id.as_str())))?;
    output::line("nothing was written")
}

fn print_categories(categories: &[CategoryEffect]) -> Result<(), Failure> {
    let row = |it: &CategoryEffect| {
        let counts = [it.counts.deleted, it.counts.unlinked, it.counts.redacted];
        [it.category.clone()].into_iter().chain(counts.map(|count| count.to_string())).collect()
    };
    let rows: Vec<Vec<String>> = categories.iter().map(row).collect();
    output::table(&["category", "deleted", "unlinked", "redacted"], &rows, "there is nothing else")
}

fn print_found<'a>(found: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), Failure> {
    let found: Vec<String> = found.map(|(kind, id)| format!("{kind} {id}")).collect();
    if found.is_empty() {
        return Ok(());
    }
    output::line(&format!("an address of the person was found and left in: {}", found.join(", ")))
}

impl LegalHold {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let operations = context.operations().await?;
        match self {
            Self::Set { account, contact, reason, user } => {
                let set = operations.set_legal_hold((account, contact), &operator_or(user), &reason).await?;
                let words = "is under a legal hold: it is neither erased nor purged";
                said(context, contact, &set, words)
            }
            Self::Lift { account, contact, user } => {
                let lifted = operations.lift_legal_hold((account, contact), &operator_or(user)).await?;
                said(context, contact, &lifted, "is under no legal hold any more")
            }
            Self::List { account } => {
                let holds = operations.store.legal_holds(account, 1, i64::MAX).await?;
                context.refuse_unknown(&operations.store, Some(account), holds.is_empty()).await?;
                if context.json {
                    return output::document(&holds);
                }
                let rows: Vec<Vec<String>> = holds
                    .into_iter()
                    .map(|hold| {
                        vec![hold.contact_id, output::short_time(&hold.since), hold.set_by, hold.reason]
                    })
                    .collect();
                output::table(
                    &["contact", "since", "set by", "reason"],
                    &rows,
                    "no contact is under a legal hold",
                )
            }
        }
    }
}

fn said(context: &Context, contact: i64, document: &Value, words: &str) -> Result<(), Failure> {
    if context.json {
        return output::document(document);
    }
    output::line(&format!("contact {contact} {words}"))
}
