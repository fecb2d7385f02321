//! THE MATRIX: what each way of deleting a contact does to every category of data around it; and a second one for the records that
//! are no contacts.
//!
//! One line a cell, no wildcard: a new category or transition does not compile until every fate is decided.
//! The statements (`store::trash::statements`, `store::records::statements`), the printed documentation (`effects`)
//! and the tests read these tables. The source is the vendor's articles "Delete CRM records" and "Understand restorable and permanent contact
//! deletions"; **D** in the wording marks a decision of ours where they are silent or disagree.

use std::fmt::Write;

/// A way of deleting, or of taking it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Restorable delete: into the trash for 90 days.
    Trash,
    /// Out of the trash again.
    Restore,
    /// Permanent, for privacy.
    Erase,
    /// What the schedule does to trash older than 90 days.
    Purge,
}

impl Transition {
    pub const ALL: [Self; 4] = [Self::Trash, Self::Restore, Self::Erase, Self::Purge];

    /// As it stands in metrics, audit and documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trash => "trash",
            Self::Restore => "restore",
            Self::Erase => "erase",
            Self::Purge => "purge",
        }
    }
}

/// A kind of data around a contact, in the order of the published table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    Activities,
    Analytics,
    Associations,
    BotConversations,
    Suppressions,
    Calls,
    ContactData,
    Conversations,
    CustomEvents,
    Emails,
    Feedback,
    Files,
    FormSubmissions,
    Integrations,
    LifecycleStage,
    Segments,
    Notifications,
    Quotes,
    Workflows,
}

impl Category {
    pub const ALL: [Self; 19] = [
        Self::Activities,
        Self::Analytics,
        Self::Associations,
        Self::BotConversations,
        Self::Suppressions,
        Self::Calls,
        Self::ContactData,
        Self::Conversations,
        Self::CustomEvents,
        Self::Emails,
        Self::Feedback,
        Self::Files,
        Self::FormSubmissions,
        Self::Integrations,
        Self::LifecycleStage,
        Self::Segments,
        Self::Notifications,
        Self::Quotes,
        Self::Workflows,
    ];

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Activities => "activities (notes, tasks, meetings)",
            Self::Analytics => "analytics",
            Self::Associations => "associations",
            Self::BotConversations => "bot conversations",
            Self::Suppressions => "bounces, spam reports, unsubscribes, quarantines",
            Self::Calls => "calls",
            Self::ContactData => "contact data (properties, additional e-mails, property history)",
            Self::Conversations => "conversations",
            Self::CustomEvents => "custom event completions",
            Self::Emails => "e-mails",
            Self::Feedback => "feedback responses",
            Self::Files => "files",
            Self::FormSubmissions => "form submissions",
            Self::Integrations => "integration data",
            Self::LifecycleStage => "lifecycle stage",
            Self::Segments => "segment memberships",
            Self::Notifications => "notifications",
            Self::Quotes => "quotes",
            Self::Workflows => "workflows",
        }
    }
}

/// What happens to the rows of a category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing is done to the rows.
    Kept,
    /// Invisible while the contact is in the trash: the views see to it.
    Hidden,
    /// Visible again as it was: the views see to it.
    Back,
    /// The rows stay, without the contact.
    Unlinked,
    /// Taken out for good: not even a restore brings it back.
    Removed,
    /// Stays removed on restore.
    StaysRemoved,
    /// The rows go.
    Deleted,
}

/// One cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    pub fate: Fate,
    /// The cell in words.
    pub says: &'static str,
}

const fn does(fate: Fate, says: &'static str) -> Effect {
    Effect { fate, says }
}

/// What `transition` does to `category`.
#[rustfmt::skip]
#[expect(clippy::match_same_arms, reason = "one line a cell, whatever it says")]
pub const fn effect(transition: Transition, category: Category) -> Effect {
    use Category as C;
    use Fate::{Back, Deleted, Hidden, Kept, Removed, StaysRemoved, Unlinked};
    use Transition::{Erase, Purge, Restore, Trash};
    match (transition, category) {
        (Trash,   C::Activities)       => does(Hidden,       "off the contact's timeline; stay on other records' timelines; tasks stay on the tasks page, unlinked"),
        (Trash,   C::Analytics)        => does(Hidden,       "engagement reports keep counting; sessions, opens and clicks stay without identity; out of contact reports"),
        (Trash,   C::Associations)     => does(Hidden,       "removed: an association shows if and only if both its ends live **D**"),
        (Trash,   C::BotConversations) => does(Hidden,       "removed from the inbox"),
        (Trash,   C::Suppressions)     => does(Kept,         "kept, by address"),
        (Trash,   C::Calls)            => does(Hidden,       "off the contact's timeline; stay on the calls page, unlinked, and on other records' timelines"),
        (Trash,   C::ContactData)      => does(Hidden,       "hidden"),
        (Trash,   C::Conversations)    => does(Hidden,       "stay in the inbox, unlinked"),
        (Trash,   C::CustomEvents)     => does(Hidden,       "hidden"),
        (Trash,   C::Emails)           => does(Hidden,       "hidden; one also associated with another record stays there, unlinked"),
        (Trash,   C::Feedback)         => does(Hidden,       "shown as from \"Unknown contact\" for 90 days"),
        (Trash,   C::Files)            => does(Hidden,       "stay in the file manager, unlinked"),
        (Trash,   C::FormSubmissions)  => does(Hidden,       "stay in the submissions report under \"No contact\" for 90 days; anonymous analytics remain"),
        (Trash,   C::Integrations)     => does(Hidden,       "hidden"),
        (Trash,   C::LifecycleStage)   => does(Hidden,       "stage transitions hidden; the stage of an associated company computed again"),
        (Trash,   C::Segments)         => does(Removed,      "of static segments (`MANUAL`, `SNAPSHOT`) removed, of dynamic ones hidden"),
        (Trash,   C::Notifications)    => does(Kept,         "kept, with the name and address they carry; gone 30 days after they were created **D**"),
        (Trash,   C::Quotes)           => does(Kept,         "kept"),
        (Trash,   C::Workflows)        => does(Removed,      "unenrolled from every workflow"),

        (Restore, C::Activities)       => does(Back,         "back"),
        (Restore, C::Analytics)        => does(Back,         "back"),
        (Restore, C::Associations)     => does(Back,         "back, for those whose other end still lives"),
        (Restore, C::BotConversations) => does(Back,         "back"),
        (Restore, C::Suppressions)     => does(Kept,         "in force again"),
        (Restore, C::Calls)            => does(Back,         "back"),
        (Restore, C::ContactData)      => does(Back,         "back"),
        (Restore, C::Conversations)    => does(Back,         "linked again"),
        (Restore, C::CustomEvents)     => does(Back,         "back"),
        (Restore, C::Emails)           => does(Back,         "back"),
        (Restore, C::Feedback)         => does(Back,         "back under the contact"),
        (Restore, C::Files)            => does(Back,         "linked again"),
        (Restore, C::FormSubmissions)  => does(Back,         "back under the contact"),
        (Restore, C::Integrations)     => does(Back,         "back"),
        (Restore, C::LifecycleStage)   => does(Back,         "back; company computed again"),
        (Restore, C::Segments)         => does(StaysRemoved, "dynamic ones back, static ones not"),
        (Restore, C::Notifications)    => does(Kept,         "as they were"),
        (Restore, C::Quotes)           => does(Kept,         "kept"),
        (Restore, C::Workflows)        => does(StaysRemoved, "not enrolled again"),

        (Erase,   C::Activities)       => does(Deleted,      "association deleted; notes and meetings with no other association deleted, leaving an anonymous stub; tasks stay, unlinked"),
        (Erase,   C::Analytics)        => does(Unlinked,     "rows stay, anonymous"),
        (Erase,   C::Associations)     => does(Deleted,      "deleted; e-mail header and derived properties redacted"),
        (Erase,   C::BotConversations) => does(Deleted,      "deleted"),
        (Erase,   C::Suppressions)     => does(Kept,         "kept as a keyed hash of the address; in force again when the address comes back"),
        (Erase,   C::Calls)            => does(Deleted,      "deleted, leaving the anonymous stub, unless associated with another record, then unlinked"),
        (Erase,   C::ContactData)      => does(Deleted,      "deleted"),
        (Erase,   C::Conversations)    => does(Deleted,      "deleted, and their tickets, unless another contact who is not gone (live or in the trash) is on them **D**"),
        (Erase,   C::CustomEvents)     => does(Deleted,      "deleted"),
        (Erase,   C::Emails)           => does(Deleted,      "as trash but for good; headers redacted"),
        (Erase,   C::Feedback)         => does(Deleted,      "deleted"),
        (Erase,   C::Files)            => does(Unlinked,     "files uploaded through a form deleted; others stay, unlinked"),
        (Erase,   C::FormSubmissions)  => does(Deleted,      "deleted; anonymous analytics remain"),
        (Erase,   C::Integrations)     => does(Deleted,      "deleted"),
        (Erase,   C::LifecycleStage)   => does(Deleted,      "transitions deleted; company computed again"),
        (Erase,   C::Segments)         => does(Deleted,      "deleted"),
        (Erase,   C::Notifications)    => does(Deleted,      "deleted"),
        (Erase,   C::Quotes)           => does(Kept,         "kept at first; deleted within 30 days unless another contact who is not gone (live or in the trash) is on them **D**"),
        (Erase,   C::Workflows)        => does(Deleted,      "removed"),

        (Purge,   C::Activities)       => does(Deleted,      "association deleted; notes and meetings with no other association deleted, leaving an anonymous stub; tasks stay, unlinked"),
        (Purge,   C::Analytics)        => does(Unlinked,     "rows stay, anonymous"),
        (Purge,   C::Associations)     => does(Deleted,      "deleted; nothing is redacted"),
        (Purge,   C::BotConversations) => does(Deleted,      "deleted"),
        (Purge,   C::Suppressions)     => does(Kept,         "kept as a keyed hash of the address; in force again when the address comes back"),
        (Purge,   C::Calls)            => does(Deleted,      "deleted, leaving the anonymous stub, unless associated with another record, then unlinked"),
        (Purge,   C::ContactData)      => does(Deleted,      "deleted"),
        (Purge,   C::Conversations)    => does(Unlinked,     "stay, unlinked, texts and all **D**"),
        (Purge,   C::CustomEvents)     => does(Deleted,      "deleted"),
        (Purge,   C::Emails)           => does(Deleted,      "as trash but for good; headers and texts unchanged"),
        (Purge,   C::Feedback)         => does(Deleted,      "deleted"),
        (Purge,   C::Files)            => does(Unlinked,     "files uploaded through a form deleted; others stay, unlinked **D**"),
        (Purge,   C::FormSubmissions)  => does(Deleted,      "deleted; anonymous analytics remain"),
        (Purge,   C::Integrations)     => does(Deleted,      "deleted"),
        (Purge,   C::LifecycleStage)   => does(Deleted,      "transitions deleted"),
        (Purge,   C::Segments)         => does(Deleted,      "deleted"),
        (Purge,   C::Notifications)    => does(Unlinked,     "kept, without the contact's id"),
        (Purge,   C::Quotes)           => does(Unlinked,     "kept, unlinked **D**"),
        (Purge,   C::Workflows)        => does(Deleted,      "deleted"),
    }
}

/// A kind of data around a record that is no contact: a company, a deal, a ticket, an object of any other type, an activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordCategory {
    RecordData,
    Associations,
    Activities,
    DeletedActivity,
    Segments,
    Conversations,
    QuotesAndNotifications,
    CompanyStage,
    PrimaryCompany,
}

impl RecordCategory {
    pub const ALL: [Self; 9] = [
        Self::RecordData,
        Self::Associations,
        Self::Activities,
        Self::DeletedActivity,
        Self::Segments,
        Self::Conversations,
        Self::QuotesAndNotifications,
        Self::CompanyStage,
        Self::PrimaryCompany,
    ];

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::RecordData => "the record's properties and their history",
            Self::Associations => "associations",
            Self::Activities => "activities on it",
            Self::DeletedActivity => "a deleted activity itself",
            Self::Segments => "segment memberships",
            Self::Conversations => "conversations of a ticket",
            Self::QuotesAndNotifications => "quotes and notifications of it",
            Self::CompanyStage => "stage of a company whose deal it is",
            Self::PrimaryCompany => "a contact whose primary company it is",
        }
    }
}

/// A way of deleting a record that is no contact, or of taking it back. Only a person is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordTransition {
    Trash,
    Restore,
    Purge,
}

impl RecordTransition {
    pub const ALL: [Self; 3] = [Self::Trash, Self::Restore, Self::Purge];

    /// As it stands in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trash => Transition::Trash.as_str(),
            Self::Restore => Transition::Restore.as_str(),
            Self::Purge => Transition::Purge.as_str(),
        }
    }
}

/// What `transition` of a record that is no contact does to `category`.
#[rustfmt::skip]
#[expect(clippy::match_same_arms, reason = "one line a cell, whatever it says")]
pub const fn record_effect(transition: RecordTransition, category: RecordCategory) -> Effect {
    use Fate::{Back, Deleted, Hidden, Kept, Removed, StaysRemoved, Unlinked};
    use RecordCategory as C;
    use RecordTransition::{Purge, Restore, Trash};
    match (transition, category) {
        (Trash,   C::RecordData)             => does(Hidden,       "hidden"),
        (Trash,   C::Associations)           => does(Hidden,       "removed: an association shows if and only if both its ends live **D**"),
        (Trash,   C::Activities)             => does(Hidden,       "off its timeline; stay on other records' timelines; calls and tasks stay on their pages, unlinked"),
        (Trash,   C::DeletedActivity)        => does(Hidden,       "off every timeline and page; reports go on counting it"),
        (Trash,   C::Segments)               => does(Removed,      "of static segments (`MANUAL`, `SNAPSHOT`) removed, of dynamic ones hidden"),
        (Trash,   C::Conversations)          => does(Hidden,       "stay in the inbox, without the ticket"),
        (Trash,   C::QuotesAndNotifications) => does(Kept,         "kept; notifications until 30 days after they were created"),
        (Trash,   C::CompanyStage)           => does(Hidden,       "the deal no longer counts; computed again"),
        (Trash,   C::PrimaryCompany)         => does(Hidden,       "loses the association"),

        (Restore, C::RecordData)             => does(Back,         "back"),
        (Restore, C::Associations)           => does(Back,         "back, for those whose other end still lives"),
        (Restore, C::Activities)             => does(Back,         "back"),
        (Restore, C::DeletedActivity)        => does(Back,         "back"),
        (Restore, C::Segments)               => does(StaysRemoved, "dynamic ones back, static ones not"),
        (Restore, C::Conversations)          => does(Back,         "linked again"),
        (Restore, C::QuotesAndNotifications) => does(Kept,         "kept"),
        (Restore, C::CompanyStage)           => does(Back,         "the deal counts again; computed again"),
        (Restore, C::PrimaryCompany)         => does(Back,         "back"),

        (Purge,   C::RecordData)             => does(Deleted,      "deleted"),
        (Purge,   C::Associations)           => does(Deleted,      "deleted"),
        (Purge,   C::Activities)             => does(Deleted,      "the link goes; a note, meeting, call or e-mail with no other association deleted, leaving the stub; tasks stay, unlinked"),
        (Purge,   C::DeletedActivity)        => does(Deleted,      "deleted, leaving the stub"),
        (Purge,   C::Segments)               => does(Deleted,      "deleted"),
        (Purge,   C::Conversations)          => does(Unlinked,     "stay, unlinked"),
        (Purge,   C::QuotesAndNotifications) => does(Unlinked,     "kept, unlinked"),
        (Purge,   C::CompanyStage)           => does(Kept,         "as it is"),
        (Purge,   C::PrimaryCompany)         => does(Deleted,      "the association goes"),
    }
}

/// The matrix of contacts as Markdown, one row a category.
pub fn to_markdown() -> String {
    table(
        Transition::ALL.map(Transition::as_str),
        Category::ALL.map(|category| {
            (category.title(), Transition::ALL.map(|transition| effect(transition, category).says))
        }),
    )
}

/// The matrix of other records.
pub fn record_matrix_to_markdown() -> String {
    table(
        RecordTransition::ALL.map(RecordTransition::as_str),
        RecordCategory::ALL.map(|category| {
            (
                category.title(),
                RecordTransition::ALL.map(|transition| record_effect(transition, category).says),
            )
        }),
    )
}

fn table<const COLUMNS: usize, const ROWS: usize>(
    transitions: [&str; COLUMNS],
    rows: [(&str, [&str; COLUMNS]); ROWS],
) -> String {
    let mut page =
        format!("| # | category | {} |\n|---|---{}|\n", transitions.join(" | "), "|---".repeat(COLUMNS));
    for (number, (category, cells)) in (1..).zip(rows) {
        // Writing into a string cannot fail.
        let _ = writeln!(page, "| {number} | {category} | {} |", cells.join(" | "));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_copy_in_the_docs_is_this_table() {
        let printed = include_str!("../../docs/MATRIX.md");
        for matrix in [to_markdown(), record_matrix_to_markdown()] {
            assert!(
                printed.contains(&format!("\n\n{matrix}")),
                "run: contact-reaper effects, and paste it in"
            );
        }
    }
}
