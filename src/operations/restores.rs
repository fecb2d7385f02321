//! Bringing contacts back from the trash, batch by batch to the end.

use std::ops::ControlFlow;

use serde::Serialize;

use super::{Error, Operations};
use crate::domain::counted::{counted, verb};
use crate::domain::time::format_time;
use crate::store::trash::restore::{Preview, Refused, Request, RestoreCursor, RestoreSelection};

/// What a restore did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub restored: Vec<String>,
    pub refused: Vec<Refused>,
}

impl Report {
    /// How many contacts had their turn.
    pub fn seen(&self) -> usize {
        self.restored.len() + self.refused.len()
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
        let mut next = Some(RestoreCursor::default());
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
        (report, Ok(()))
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
        self.store.preview_restore(request, seen).await?.ok_or_else(|| {
            let sentence = "the preview was given up, because it takes too long here: `contact-reaper restore --preview` \
                            takes the time it needs";
            Error::TooLong(sentence.to_owned())
        })
    }

    /// Why a restore found nothing to do, in words.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn nothing_to_restore(&self, request: &Request) -> Result<String, Error> {
        let RestoreSelection::DeletedBy { workflow_id, since } = request.wanted else {
            return Ok("nothing to restore".to_owned());
        };
        let account = request.account_id;
        let known = self.store.has_workflow(account, workflow_id).await?;
        let unknown =
            if known { String::new() } else { format!("; account {account} has no workflow {workflow_id}") };
        Ok(format!(
            "nothing to restore: workflow {workflow_id} deleted nothing since {} that is still in the trash{unknown}",
            format_time(since)
        ))
    }
}
