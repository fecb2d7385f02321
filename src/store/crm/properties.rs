//! The properties that an account knows: the vendor's, those that it defined, and those of which an import brought values.

use std::collections::BTreeMap;

use serde_json::json;

use crate::domain::object_type::{CONTACT, is_vendors, name_of};
use crate::domain::properties::{Definition, built_in};
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::{Store, StoreError, read_transaction, transaction};

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

    /// Defines a property.
    ///
    /// # Errors
    ///
    /// Refused where the account knows one of the name.
    pub async fn define_property(
        &self,
        account_id: i64,
        object_type: &str,
        definition: &Definition,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => define(tx, account_id, object_type, definition))
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
        definitions.insert(name.clone(), Definition::of_name(&name));
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
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    definition: &Definition,
) -> Result<(), StoreError> {
    let taken = || Err(StoreError::Refused(format!("there is a property {} already", definition.name)));
    if built_in(object_type).iter().any(|it| it.name == definition.name) {
        return taken();
    }
    let sql = format!(
        "INSERT INTO property_definitions (account_id, object_type, name, label, type, field_type, group_name, options, \
         calculated, read_only) VALUES ($1, $2, $3, $4, $5, $6, $7, {}, FALSE, FALSE) ON CONFLICT DO NOTHING",
        tx.dialect().json("$8")
    );
    let Definition { name, label, value_type, field_type, group_name, options, .. } = definition;
    let [name, label, value_type] = [name, label, value_type].map(String::as_str);
    let (field_type, group_name) = (field_type.as_str(), group_name.as_str());
    let args = args![
        account_id,
        object_type,
        name,
        label,
        value_type,
        field_type,
        group_name,
        json!(options).to_string()
    ];
    if tx.execute(&sql, args).await? == 0 {
        return taken();
    }
    Ok(())
}
