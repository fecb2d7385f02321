//! Who holds an address: one live contact at most, which an index sees to (`contact_emails.live`). Addresses that contacts may
//! share (`work_email`) are not exclusive, and no contact holds them.
//!
//! Whoever goes to the trash holds its addresses there until a live contact claims one. So a deletion need not write
//! them, which would move each of them to another place in indexes that are sorted by text.

use std::collections::HashMap;

use crate::domain::identifiers::own_addresses;
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{CONTACT, Lists};
use crate::store::db::values::args;

/// As SQL, the lowest id of the live contacts that have the address of `e` beside the contact of `e`; null where none
/// has. The cross join keeps SQLite, which knows nothing of the sizes, from walking all contacts of the account: first
/// the few rows of the address, then their contacts.
pub(in crate::store) const HOLDER: &str = "(SELECT min(o.contact_id) FROM contact_emails o CROSS JOIN contacts h \
     WHERE o.account_id = e.account_id AND o.email_key = e.email_key \
       AND h.account_id = o.account_id AND h.contact_id = o.contact_id \
       AND o.contact_id <> e.contact_id AND o.exclusive AND e.exclusive AND h.deleted_at IS NULL)";

/// Makes the addresses of those of these contacts who live theirs alone. Who held one in the trash no longer does.
///
/// # Errors
///
/// Contended where another live contact holds one, which whoever asks for [`HOLDER`] first knows; it came meanwhile.
pub(in crate::store) async fn claim(tx: &mut Tx, contacts: &Lists) -> Result<(), StoreError> {
    let source = tx.dialect().ids(1, &CONTACT);
    // The holders are locked, for one who is being restored would come back without the address that it had.
    let release = format!(
        "UPDATE contact_emails SET live = FALSE WHERE (account_id, contact_id, email_key) IN \
         (SELECT o.account_id, o.contact_id, o.email_key FROM {source} \
          CROSS JOIN contact_emails e CROSS JOIN contact_emails o CROSS JOIN contacts h \
          WHERE e.account_id = b.account_id AND e.contact_id = b.contact_id AND NOT e.live AND e.exclusive \
            AND o.account_id = e.account_id AND o.email_key = e.email_key AND o.live \
            AND h.account_id = o.account_id AND h.contact_id = o.contact_id AND h.deleted_at IS NOT NULL \
          ORDER BY h.account_id, h.contact_id{})",
        tx.dialect().for_update("h")
    );
    tx.execute(&release, args![contacts]).await?;
    let claim = format!(
        "UPDATE contact_emails SET live = TRUE WHERE NOT live AND exclusive AND (account_id, contact_id) IN \
         (SELECT c.account_id, c.contact_id FROM {source} JOIN contacts c \
          ON c.account_id = b.account_id AND c.contact_id = b.contact_id WHERE c.deleted_at IS NULL)"
    );
    tx.execute(&claim, args![contacts]).await?;
    Ok(())
}

/// Adds the addresses that stand in the properties `hs_additional_emails` and `work_email` of contacts of an earlier version,
/// which knew them as texts only. A live contact gets an exclusive one that no other contact holds.
pub(in crate::store) async fn add_from_properties(tx: &mut Tx) -> Result<(), StoreError> {
    const CONTACTS: i64 = 1000;
    let page = "SELECT account_id, contact_id, deleted_at, CAST(properties AS text) AS properties FROM contacts \
                WHERE (account_id, contact_id) > ($1, $2) \
                  AND (properties ->> 'hs_additional_emails' IS NOT NULL OR properties ->> 'work_email' IS NOT NULL) \
                ORDER BY account_id, contact_id LIMIT $3";
    let insert = "INSERT INTO contact_emails (account_id, contact_id, email_key, email, live, exclusive) \
                  VALUES ($1, $2, $3, $4, FALSE, $5 = 1) ON CONFLICT DO NOTHING";
    let hold = "UPDATE contact_emails SET live = TRUE WHERE account_id = $1 AND contact_id = $2 AND email_key = $3 \
                AND exclusive AND NOT live AND NOT EXISTS (SELECT 1 FROM contact_emails o \
                  WHERE o.account_id = $1 AND o.email_key = $3 AND o.live)";
    let (mut account_id, mut contact_id) = (0, 0);
    loop {
        let rows = tx.rows(page, args![account_id, contact_id, CONTACTS]).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            (account_id, contact_id) = (row.int("account_id")?, row.int("contact_id")?);
            let properties: HashMap<String, String> = row.json("properties")?;
            let live = row.optional_time("deleted_at")?.is_none();
            for address in own_addresses(|name| properties.get(name).map(String::as_str), []) {
                let (key, email) = (address.key.as_str(), address.email.as_str());
                let exclusive = i64::from(address.exclusive);
                tx.execute(insert, args![account_id, contact_id, key, email, exclusive]).await?;
                if live {
                    tx.execute(hold, args![account_id, contact_id, key]).await?;
                }
            }
        }
    }
}
