//! The properties that an account knows: the vendor's, those that it defined, and those of which an import brought values.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::read_record;
use crate::domain::identifiers::ADDITIONAL_ADDRESSES;
use crate::domain::object_type::{CONTACT, id_of, is_vendors, name_of};
use crate::domain::properties::{Definition, built_in};
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::import::writer::{Writer, by_program};
use crate::store::{Store, StoreError, read_transaction};

impl Store {
    /// The properties of records of a type, by name.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn properties(
        &self,
        account_id: i64,
        object_type: &str,
    ) -> Result<BTreeMap<String, Definition>, StoreError> {
        read_transaction!(self, tx => known(tx, account_id, object_type))
    }

    /// Defines a property, by a program; it enters as a record of an import does.
    ///
    /// # Errors
    ///
    /// Refused where the account has a definition of the name.
    pub async fn define_property(
        &self,
        account_id: i64,
        token_id: i64,
        object_type: &str,
        definition: &Definition,
    ) -> Result<(), StoreError> {
        let record = json!({"kind": "property", "accountId": account_id.to_string(), "objectType": id_of(object_type),
            "name": definition.name, "label": definition.label, "type": definition.value_type,
            "fieldType": definition.field_type, "groupName": definition.group_name, "options": definition.options});
        let name = &definition.name;
        by_program!(self, token_id, writer => define(writer, account_id, object_type, name, &record))
    }

    /// The one name of a type of records that the account has, however it is written; `None` where it has none.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn object_type(&self, account_id: i64, written: &str) -> Result<Option<String>, StoreError> {
        let name = name_of(written);
        if is_vendors(name) {
            return Ok(Some(name.to_owned()));
        }
        read_transaction!(self, tx => own_type(tx, account_id, name))
    }
}

async fn own_type(tx: &mut Tx, account_id: i64, written: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT t.object_type FROM object_types t WHERE t.account_id = $1 \
               AND (t.object_type = $2 OR lower(t.singular) = $3 OR lower(t.plural) = $3) \
               UNION SELECT o.object_type FROM objects o WHERE o.account_id = $1 AND o.object_type = $2 LIMIT 1";
    let row = tx.row(sql, args![account_id, written, written.to_lowercase()]).await?;
    row.map(|row| row.text("object_type")).transpose()
}

/// All properties of records of a type, by name.
pub(super) async fn known(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
) -> Result<BTreeMap<String, Definition>, StoreError> {
    let named = match object_type {
        CONTACT => "SELECT name FROM contact_properties WHERE account_id = $1 AND 'contact' = $2",
        _ => "SELECT name FROM related_properties WHERE account_id = $1 AND record_type = $2",
    };
    let mut definitions = BTreeMap::new();
    for row in tx.rows(named, args![account_id, object_type]).await? {
        let name = row.text("name")?;
        // The history of a contact has its addresses under this name: they are no property.
        if name != ADDITIONAL_ADDRESSES {
            definitions.insert(name.clone(), Definition::of_name(&name));
        }
    }
    let own = "SELECT name, label, type, field_type, group_name, CAST(options AS text) AS options, calculated, read_only \
               FROM property_definitions WHERE account_id = $1 AND object_type = $2";
    for row in tx.rows(own, args![account_id, object_type]).await? {
        let definition = Definition {
            name: row.text("name")?,
            label: row.text("label")?,
            value_type: row.text("type")?,
            field_type: row.text("field_type")?,
            group_name: row.text("group_name")?,
            options: row.json("options")?,
            calculated: row.bool("calculated")?,
            is_read_only: row.bool("read_only")?,
            hubspot_defined: false,
        };
        definitions.insert(definition.name.clone(), definition);
    }
    definitions.extend(built_in(object_type).into_iter().map(|it| (it.name.clone(), it)));
    Ok(definitions)
}

async fn define(
    writer: &mut Writer,
    account_id: i64,
    object_type: &str,
    name: &str,
    record: &Value,
) -> Result<(), StoreError> {
    let there =
        "SELECT 1 AS one FROM property_definitions WHERE account_id = $1 AND object_type = $2 AND name = $3";
    let is_there = writer.tx().row(there, args![account_id, object_type, name]).await?.is_some();
    if is_there || built_in(object_type).iter().any(|it| it.name == name) {
        return Err(StoreError::Refused(format!("there is a property {name} already")));
    }
    writer.write_all(vec![read_record(record)?]).await
}
