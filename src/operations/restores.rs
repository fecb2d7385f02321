//! Bringing contacts back from the trash, batch by batch to the end.

use std::ops::ControlFlow;

use serde::Serialize;

use super::records::RestoredRecords;
use super::{Error, Operations};
use crate::domain::counted::{counted, verb};
use crate::domain::object_type::CONTACT;
use crate::domain::time::format_time;
use crate::store;
use crate::store::trash::restore::{
    NOT_RESTORED, Preview, Refused, Request, RestoreCursor, RestoreSelection,
};

/// What a restore did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub restored: Vec<String>,
    pub refused: Vec<Refused>,
    /// Records that are no contacts; left out where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<RestoredRecords>,
}

impl Report {
    /// How many contacts and other records had their turn.
    pub fn seen(&self) -> usize {
        let records = self.records.as_ref().map_or(0, |it| it.restored.len() + it.refused.len());
        self.restored.len() + self.refused.len() + records
    }
}

impl Operations {
    /// Restores batch by batch. Where one fails the report holds those before it, and the error says so.
    pub async fn restore(
        &self,
        request: &Request,
        seen: &mut (dyn FnMut(usize) + Send),
    ) -> (Report, Result<(), Error>) {
        let mut report = Report::default();
        let mut next = match self.has_contacts(request).await {
            Ok(has_contacts) => has_contacts.then(RestoreCursor::default),
            Err(error) => return (report, Err(error)),
        };
        while let Some(place) = next {
            let batch = match self.store.restore(request, place).await {
                Ok(batch) => batch,
                Err(error) if report.seen() == 0 => return (report, Err(error.into())),
                Err(error) => {
                    let back = report.restored.len() as u64;
                    let sentence = format!(
                        "{error}; {} {} back: run the same command again for the rest",
                        counted(back, "contact"),
                        verb(back, "is", "are")
                    );
                    return (report, Err(Error::Failed(sentence)));
                }
            };
            next = batch.next;
            report.restored.extend(batch.restored.iter().map(i64::to_string));
            report.refused.extend(batch.refused);
            seen(report.seen());
        }
        let ended = self.restore_records_of(request, &mut report).await;
        (report, ended)
    }

    /// May contacts be among what is asked for? Of what a user deleted the permission is asked for all types before anything is changed.
    async fn has_contacts(&self, request: &Request) -> Result<bool, Error> {
        if !request.wanted.has_records() {
            return Ok(true);
        }
        Ok(self.store.types_of_run(request).await?.contains(CONTACT))
    }

    /// Restores the records that are no contacts of what a user deleted.
    async fn restore_records_of(&self, request: &Request, report: &mut Report) -> Result<(), Error> {
        if !request.wanted.has_records() {
            return Ok(());
        }
        let mut after = Some(0);
        while let Some(place) = after {
            let (done, next) = self.store.restore_run_of_records(request, place).await?;
            if done != store::records::RestoredRecords::default() {
                report.records.get_or_insert_default().add(done.into());
            }
            after = next;
        }
        Ok(())
    }

    /// What a restore would do; tells `seen` of each batch how many contacts it was.
    ///
    /// # Errors
    ///
    /// As the restore's own, and where `seen` breaks it off.
    pub async fn preview_restore(
        &self,
        request: &Request,
        seen: &(dyn Fn(usize) -> ControlFlow<()> + Sync),
    ) -> Result<Preview, Error> {
        if !self.has_contacts(request).await? {
            let records = Some(self.store.count_records_of_run(request).await?);
            return Ok(Preview { records, not_restored: NOT_RESTORED, ..Preview::default() });
        }
        let mut preview = self.store.preview_restore(request, seen).await?.ok_or_else(|| {
            let sentence = "the preview was given up, because it takes too long here: `contact-reaper restore --preview` \
                            takes the time it needs";
            Error::TooLong(sentence.to_owned())
        })?;
        if request.wanted.has_records() {
            let records = self.store.count_records_of_run(request).await?;
            preview.records = Some(records).filter(|it| it.restorable > 0 || !it.blocked.is_empty());
        }
        Ok(preview)
    }

    /// Why a restore found nothing to do, in words.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn nothing_to_restore(&self, request: &Request) -> Result<String, Error> {
        let account = request.account_id;
        let (workflow_id, since) = match &request.wanted {
            RestoreSelection::DeletedBy { workflow_id, since } => (*workflow_id, *since),
            RestoreSelection::DeletedByUser { user, since } => {
                return Ok(format!(
                    "nothing to restore: user {user} deleted nothing since {} that is still in the trash",
                    format_time(*since)
                ));
            }
            RestoreSelection::Deletion(deletion_id) => {
                return Ok(format!(
                    "nothing to restore: nothing of a deletion {deletion_id} of account {account} is still in the trash"
                ));
            }
            RestoreSelection::Contacts(_) => return Ok("nothing to restore".to_owned()),
        };
        let known = self.store.has_workflow(account, workflow_id).await?;
        let unknown =
            if known { String::new() } else { format!("; account {account} has no workflow {workflow_id}") };
        Ok(format!(
            "nothing to restore: workflow {workflow_id} deleted nothing since {} that is still in the trash{unknown}",
            format_time(since)
        ))
    }
}
