//! `--record` of `delete` and `restore`: records that are no contacts.

use std::collections::BTreeSet;

use anyhow::anyhow;

use super::{Context, Failure, output};
use crate::domain::counted::{counted, verb};
use crate::domain::object_type::{CONTACT, RecordKey, is_type, name_of};
use crate::operations::records::{Refused, RestoredRecords};
use crate::store::trash::{Blocker, CategoryCount, DeletePreview};

/// Reads a record as it is named on the command line.
pub fn record(text: &str) -> Result<RecordKey, String> {
    RecordKey::parse(text).ok_or_else(|| "must be a type and an id, such as deal:30 or 2-134:7".to_owned())
}

/// Reads a type as it is named on the command line.
pub fn object_type(text: &str) -> Result<String, String> {
    if is_type(text) {
        Ok(name_of(text).to_owned())
    } else {
        Err("must be a type of records, such as deal or 2-134".to_owned())
    }
}

/// The ids of records that are all contacts: what is done with them is done as if they had been named by `--contact`.
pub fn only_contacts(records: &[RecordKey]) -> Option<Vec<i64>> {
    let ids: Option<Vec<i64>> =
        records.iter().map(|key| (key.object_type == CONTACT).then_some(key.id)).collect();
    ids.filter(|ids| !ids.is_empty())
}

/// Each record once, in the order in which they were named.
pub fn distinct(records: Vec<RecordKey>) -> Vec<RecordKey> {
    let mut seen = BTreeSet::new();
    records.into_iter().filter(|key| seen.insert(key.clone())).collect()
}

/// What a delete of records would do.
pub async fn preview_delete(
    context: &Context,
    account_id: i64,
    user: &str,
    records: Vec<RecordKey>,
) -> Result<(), Failure> {
    let store = &context.operations().await?.store;
    let preview = store.preview_delete_of_records(account_id, user, &distinct(records)).await?;
    print_preview(context, &preview)
}

/// What a delete would do, in words or as JSON.
pub fn print_preview(context: &Context, preview: &DeletePreview) -> Result<(), Failure> {
    if context.json {
        return output::document(preview);
    }
    output::line(&format!(
        "{} would be deleted; nothing was changed",
        counted(preview.records, preview.noun)
    ))?;
    if !preview.categories.is_empty() {
        let row = |it: &CategoryCount| vec![it.category.to_owned(), it.count.to_string()];
        let rows: Vec<Vec<String>> = preview.categories.iter().map(row).collect();
        output::table(&["category", "shows now"], &rows, "")?;
    }
    if preview.blockers.is_empty() {
        return Ok(());
    }
    let row = |it: &Blocker| vec![it.record.clone(), it.reason.to_owned(), it.message.clone()];
    let rows: Vec<Vec<String>> = preview.blockers.iter().map(row).collect();
    output::table(&["in the way", "reason", "why"], &rows, "")
}

/// What a restore of records would do.
pub async fn preview_restore(
    context: &Context,
    account_id: i64,
    user: &str,
    records: Vec<RecordKey>,
) -> Result<(), Failure> {
    let operations = context.operations().await?;
    let report = operations.preview_restore_of_records(account_id, user, &distinct(records)).await?;
    if context.json {
        return output::document(&report);
    }
    let [back, not] = [report.restored.len(), report.refused.len()];
    output::line(&format!(
        "{} would come back, {not} would not; nothing was changed",
        counted(back as u64, "record")
    ))?;
    print_refused(&report.refused)
}

/// Brings records back.
pub async fn restore(
    context: &Context,
    account_id: i64,
    user: &str,
    records: Vec<RecordKey>,
) -> Result<(), Failure> {
    let report = context.operations().await?.restore_records(account_id, user, &distinct(records)).await?;
    if context.json {
        output::document(&report)?;
    } else {
        print_restored(&report)?;
    }
    let RestoredRecords { restored, refused } = report;
    match &refused[..] {
        [] => Ok(()),
        [one] if restored.is_empty() => Err(anyhow!("{}", one.message).into()),
        some => Err(anyhow!(
            "{} of {} {} not restored; the answer says why and what to do",
            some.len(),
            counted((some.len() + restored.len()) as u64, "record"),
            verb(some.len() as u64, "was", "were")
        )
        .into()),
    }
}

/// What came back, in words.
pub fn print_restored(report: &RestoredRecords) -> Result<(), Failure> {
    match &report.restored[..] {
        [] => {}
        [one] => output::line(&format!("{one} is back"))?,
        some => output::line(&format!("{} are back", counted(some.len() as u64, "record")))?,
    }
    if report.refused.len() + report.restored.len() == 1 { Ok(()) } else { print_refused(&report.refused) }
}

fn print_refused(refused: &[Refused]) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<String>> =
        refused.iter().map(|it| vec![it.record.clone(), it.reason.to_owned(), it.message.clone()]).collect();
    output::table(&["refused", "reason", "why, and what to do"], &rows, "")
}
