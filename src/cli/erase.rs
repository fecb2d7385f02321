//! The privacy officer's commands: `erase`, `erasures`, `legal-hold`.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::data::Input;
use super::{Context, Failure, id, journal, operator_or, output};
use crate::operations::Confirmation;
use crate::store::StoreError;
use crate::store::erase::Person;
use crate::store::receipts::Receipt;

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
    /// Every contact of this address; an address that nobody has is suppressed all the same
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// How many contacts this will erase for good, typed to be sure
    #[arg(long, value_name = "COUNT")]
    confirm: u64,
}

#[derive(Debug, Subcommand)]
pub enum Erasures {
    /// Receipts, newest first
    List {
        #[arg(long, value_parser = id)]
        account: i64,
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
        /// The user who sets it, by id or e-mail address; without this whoever is at the command line
        #[arg(long = "as", value_name = "USER")]
        user: Option<String>,
    },
    /// Let it be erased and purged again
    Lift {
        #[arg(long, value_parser = id)]
        account: i64,
        #[arg(long, value_parser = id)]
        contact: i64,
        /// The user who lifts it, by id or e-mail address; without this whoever is at the command line
        #[arg(long = "as", value_name = "USER")]
        user: Option<String>,
    },
    /// Contacts under a hold
    List {
        #[arg(long, value_parser = id)]
        account: i64,
    },
}

impl Erase {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let person = match (self.contact, self.email) {
            (Some(contact), _) => Person::Contact(contact),
            (None, address) => Person::Address(address.unwrap_or_default()),
        };
        let operations = context.operations().await?;
        let erasure = operations.erase(self.account, &self.user, &person, self.confirm).await?;
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
        output::line(&format!(
            "the confirmation e-mail to user {} waits in the outbox {}",
            output::or_dash(user_id.as_deref()),
            if *waits_for == "run" { "for `contact-reaper run`" } else { "until mail.smtp_url is set" }
        ))
    }
}

/// Says where the files of a SQLite store may hold traces yet.
pub fn warn_of_files(problem: &StoreError) {
    eprintln!(
        "warning: the erasure is done, but the store's files could not be rewritten ({problem}); the next erasure or \
         purge does it"
    );
}

impl Erasures {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Export(output) => journal::export(context, &output).await,
            Self::Apply(input) => journal::apply(context, &input).await,
            Self::List { account, limit } => {
                let store = context.existing_store().await?;
                let receipts = store.erasures(account, None, limit).await?;
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

fn print_receipt(receipt: &Receipt) -> Result<(), Failure> {
    let erased = receipt.contact_id.as_ref().map_or_else(
        || "nobody had the address; it is on the suppression list".to_owned(),
        |contact| format!("contact {contact} is erased for good"),
    );
    output::line(&format!(
        "{erased} (erasure {}, {}, user {})",
        receipt.erasure_id,
        output::short_time(&receipt.erased_at),
        receipt.erased_by
    ))?;
    let rows: Vec<Vec<String>> = receipt
        .categories
        .iter()
        .map(|(category, counts)| {
            let counts = [counts.deleted, counts.unlinked, counts.redacted, counts.survivors];
            [category.clone()].into_iter().chain(counts.map(|count| count.to_string())).collect()
        })
        .collect();
    output::table(
        &["category", "deleted", "unlinked", "redacted", "survivors"],
        &rows,
        "there was nothing else",
    )
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
