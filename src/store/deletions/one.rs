//! One contact, in one transaction.

use super::{Deleted, Request, begin, scope};
use crate::domain::effects::Transition;
use crate::domain::object_type::CONTACT;
use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::access::audit;
use crate::store::access::users::authorize_user;
use crate::store::contacts::{counts, lifecycle, locked_contact};
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::records::ByUser;
use crate::store::trash::{DeletedBy, Deletion, Trashed, announce, put_into_trash};

pub(super) async fn delete(tx: &mut Tx, request: &Request, contact_id: i64) -> Result<Deleted, StoreError> {
    let account_id = request.account_id;
    let user_id = authorize_user(tx, account_id, &request.user, "delete", scope(&request.selection)).await?;
    if request.confirm != 1 {
        return Err(StoreError::CountMismatch(format!(
            "the confirmation says {} where 1 contact would be deleted; nothing was deleted",
            request.confirm
        )));
    }
    let contact = locked_contact(tx, account_id, contact_id).await?;
    if contact.deleted_at.is_some() {
        return Err(StoreError::Refused(format!("contact {contact_id} is in the trash already")));
    }
    let at = tx.now().await?;
    let deletion_id = begin(tx, request, user_id, at).await?;
    let by = ByUser { account_id, user_id, deletion_id, at };
    let trashed = put_contacts_into_trash(tx, by, &[contact_id]).await?;
    finish(tx, account_id, deletion_id, at).await?;
    match trashed[..] {
        [Trashed { entry_id, .. }] => {
            let (object_type, entries) = (CONTACT.to_owned(), Some(vec![(contact_id, entry_id)]));
            Ok(Deleted { deletion_id, object_type, deleted: 1, skipped: 0, entries })
        }
        _ => Err(StoreError::Failed("a deletion got no trash entry".to_owned())),
    }
}

/// Puts contacts that are live and locked into the trash, as a user.
pub(super) async fn put_contacts_into_trash(
    tx: &mut Tx,
    ByUser { account_id, user_id, deletion_id, at }: ByUser,
    contacts: &[i64],
) -> Result<Vec<Trashed>, StoreError> {
    let by = DeletedBy::User { user_id };
    let deletion = |contact_id: &i64| Deletion {
        account_id,
        contact_id: *contact_id,
        by,
        deletion_id: Some(deletion_id),
        at,
        trace: None,
    };
    let trashed = put_into_trash(tx, &contacts.iter().map(deletion).collect::<Vec<_>>()).await?;
    let keys: Vec<(i64, i64)> = contacts.iter().map(|contact_id| (account_id, *contact_id)).collect();
    lifecycle::recompute(tx, Transition::Trash, &keys).await?;
    counts::record_change(tx, contacts.iter().map(|_| account_id), -1).await?;
    announce(tx, &trashed).await?;
    audit::write_deletion(tx, at, account_id, user_id, deletion_id, contacts).await?;
    Ok(trashed)
}

async fn finish(tx: &mut Tx, account_id: i64, deletion_id: i64, at: Time) -> Result<(), StoreError> {
    let sql = "UPDATE deletions SET deleted = 1, frozen_at = $3, finished_at = $3 \
               WHERE account_id = $1 AND deletion_id = $2";
    tx.execute(sql, args![account_id, deletion_id, at]).await?;
    Ok(())
}
