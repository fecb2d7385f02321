//! Records that meet conditions on their properties, as the vendor's API has them.

use std::collections::BTreeMap;

use super::find::Table;
use super::properties;
use super::read::{StoredRecord, select};
use crate::domain::criteria::instant_of;
use crate::domain::properties::{Definition, TIMESTAMP, ValueType, last_modified, searched};
use crate::domain::time::format_millis;
use crate::store::db::Tx;
use crate::store::db::dialect::Dialect;
use crate::store::db::values::Arg;
use crate::store::{Store, StoreError, read_transaction};

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// All conditions of one group hold; without groups, every record is found.
    pub groups: Vec<Vec<Condition>>,
    /// Words that stand in one of the properties that are searched.
    pub words: Option<String>,
    /// Properties to sort by, each with whether the greatest comes first; the id follows.
    pub sorts: Vec<(String, bool)>,
    pub offset: i64,
    pub limit: i64,
}

/// A condition on one property.
#[derive(Clone, Debug)]
pub struct Condition {
    pub property: String,
    pub operator: Operator,
}

/// How a property is compared. But for the last two, a record without a value does not meet it.
#[derive(Clone, Debug)]
pub enum Operator {
    Equal(String),
    NotEqual(String),
    Less(String),
    LessOrEqual(String),
    Greater(String),
    GreaterOrEqual(String),
    Between(String, String),
    In(Vec<String>),
    NotIn(Vec<String>),
    ContainsToken(String),
    NotContainsToken(String),
    HasProperty,
    NotHasProperty,
}

/// A page of what was found.
#[derive(Clone, Debug)]
pub struct Matches {
    pub total: u64,
    pub records: Vec<StoredRecord>,
}

impl Store {
    /// Live records that meet the conditions.
    ///
    /// # Errors
    ///
    /// Refused: a property that the account does not know, or a value that it cannot be compared with.
    pub async fn search_records(
        &self,
        account_id: i64,
        object_type: &str,
        search: &Search,
    ) -> Result<Matches, StoreError> {
        read_transaction!(self, tx => find(tx, account_id, object_type, search))
    }
}

async fn find(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    search: &Search,
) -> Result<Matches, StoreError> {
    let definitions = properties::known(tx, account_id, object_type).await?;
    let mut statement = Statement {
        dialect: tx.dialect(),
        table: Table::of(object_type),
        last_modified: last_modified(object_type),
        definitions: &definitions,
        args: vec![account_id.into(), object_type.into()],
    };
    let condition = statement.condition(object_type, search)?;
    let sql = format!("SELECT count(*) AS total FROM {} AND {condition}", statement.table.rows("$2"));
    let total = tx.row(&sql, &statement.args).await?.map_or(Ok(0), |row| row.int("total"))?;
    let order = statement.order(&search.sorts)?;
    let [limit, offset] = [search.limit, search.offset].map(|count| statement.parameter(count.into()));
    let condition = format!("{condition} ORDER BY {order} LIMIT {limit} OFFSET {offset}");
    let records = select(tx, account_id, object_type, &condition, &statement.args, false).await?;
    Ok(Matches { total: total.unsigned_abs(), records })
}

/// The parts of a statement, and what it is given.
struct Statement<'a> {
    dialect: Dialect,
    table: Table,
    last_modified: &'static str,
    definitions: &'a BTreeMap<String, Definition>,
    args: Vec<Arg>,
}

/// A property within a statement.
struct Operand {
    sql: String,
    kind: OperandKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OperandKind {
    Id,
    /// A column with a time.
    Time,
    Text,
    Number,
    /// A text that holds a time.
    Date,
}

impl Statement<'_> {
    fn parameter(&mut self, value: Arg) -> String {
        self.args.push(value);
        format!("${}", self.args.len())
    }

    fn condition(&mut self, object_type: &str, search: &Search) -> Result<String, StoreError> {
        let mut groups = Vec::new();
        for group in &search.groups {
            let conditions = group.iter().map(|condition| self.holds(condition));
            let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
            groups.push(if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") });
        }
        let mut parts = vec!["r.deleted_at IS NULL".to_owned()];
        if !groups.is_empty() {
            parts.push(format!("(({}))", groups.join(") OR (")));
        }
        for word in search.words.iter().flat_map(|words| words.split_whitespace()) {
            let pattern = self.parameter(format!("%{}%", escaped(&word.to_lowercase())).into());
            let names = searched(object_type);
            let found = names
                .iter()
                .map(|name| format!("lower(r.properties ->> '{name}') LIKE {pattern} ESCAPE '\\'"));
            let addresses = format!(
                "EXISTS (SELECT 1 FROM contact_emails e WHERE e.account_id = r.account_id \
                 AND e.contact_id = r.contact_id AND e.email_key LIKE {pattern} ESCAPE '\\')"
            );
            let addresses = (self.table == Table::Contacts).then_some(addresses);
            parts.push(format!("({})", found.chain(addresses).collect::<Vec<_>>().join(" OR ")));
        }
        Ok(parts.join(" AND "))
    }

    fn order(&mut self, sorts: &[(String, bool)]) -> Result<String, StoreError> {
        let mut order = Vec::new();
        for (property, is_descending) in sorts {
            let operand = self.operand(property)?;
            let direction = if *is_descending { "DESC" } else { "ASC" };
            order.push(format!("{0} IS NULL, {0} {direction}", operand.sql));
        }
        order.push(self.table.id().to_owned());
        Ok(order.join(", "))
    }

    /// A property that the account knows, as it stands in a statement.
    fn operand(&mut self, property: &str) -> Result<Operand, StoreError> {
        let operand = |sql: &str, kind| Ok(Operand { sql: sql.to_owned(), kind });
        match property {
            "hs_object_id" => return operand(self.table.id(), OperandKind::Id),
            "createdate" | "hs_createdate" => return operand(self.table.created_at(), OperandKind::Time),
            name if name == self.last_modified => return operand(&self.changed_at(), OperandKind::Time),
            _ => {}
        }
        if property == TIMESTAMP && self.table == Table::Activities {
            return operand(self.table.created_at(), OperandKind::Time);
        }
        if property == "hs_additional_emails" && self.table == Table::Contacts {
            return operand(&other_addresses(self.dialect), OperandKind::Text);
        }
        let definition = self.definitions.get(property);
        let definition = definition.ok_or_else(|| {
            StoreError::Refused(format!("the account has no property {property} of such records"))
        })?;
        let value_type = ValueType::of(&definition.value_type);
        let name = self.parameter(property.into());
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let text = if self.dialect == Dialect::Postgres || property.bytes().all(is_plain) {
            format!("nullif(r.properties ->> CAST({name} AS text), '')")
        } else {
            // To SQLite it could be a path.
            format!("nullif((SELECT p.value FROM json_each(r.properties) p WHERE p.key = {name}), '')")
        };
        match (value_type, self.dialect) {
            (ValueType::Number, Dialect::Postgres) => operand(
                &format!(
                    "CASE WHEN {text} ~ '^-?[0-9]{{1,100}}([.][0-9]{{1,100}})?$' THEN CAST({text} AS numeric) END"
                ),
                OperandKind::Number,
            ),
            (ValueType::Number, Dialect::Sqlite) => operand(
                &format!("CASE WHEN {text} NOT GLOB '*[^-0-9.]*' THEN CAST({text} AS REAL) END"),
                OperandKind::Number,
            ),
            (ValueType::Date, dialect) => operand(&comparable_date(&text, dialect), OperandKind::Date),
            _ => operand(&format!("lower({text})"), OperandKind::Text),
        }
    }

    /// The last of creation, update and restore; of contacts word for word as in the index.
    fn changed_at(&self) -> String {
        let greatest = match self.dialect {
            Dialect::Postgres => "greatest",
            Dialect::Sqlite => "max",
        };
        let (created, updated, restored) =
            (self.table.created_at(), "r.updated_at", self.table.restored_at());
        match self.table {
            Table::Contacts => {
                format!(
                    "{greatest}({created}, coalesce({updated}, {created}), coalesce({restored}, {created}))"
                )
            }
            // An object may lack each of them.
            _ => format!(
                "{greatest}(coalesce({created}, {updated}, {restored}), coalesce({updated}, {restored}, {created}), \
                 coalesce({restored}, {updated}, {created}))"
            ),
        }
    }

    /// What an operand is compared with.
    fn value(&mut self, operand: &Operand, property: &str, value: &str) -> Result<String, StoreError> {
        let refused = |is: &str| {
            Err(StoreError::Refused(format!("{property} cannot be compared with a value that is no {is}")))
        };
        let value = value.trim();
        Ok(match operand.kind {
            OperandKind::Text => self.parameter(value.to_lowercase().into()),
            OperandKind::Id => match value.parse::<i64>() {
                Ok(id) => self.parameter(id.into()),
                Err(_) => return refused("id"),
            },
            OperandKind::Time | OperandKind::Date => match instant_of(value) {
                Some(at) if operand.kind == OperandKind::Time => self.parameter(at.into()),
                Some(at) => self.parameter(format_millis(at).into()),
                None => return refused("time: write milliseconds since 1970 or 2026-11-28T15:30:17.883Z"),
            },
            OperandKind::Number => {
                let digits = value.strip_prefix('-').unwrap_or(value);
                let is_number = !digits.is_empty()
                    && digits.len() <= 100
                    && digits.split('.').count() <= 2
                    && digits
                        .split('.')
                        .all(|part| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit()));
                if !is_number {
                    return refused("number");
                }
                let parameter = self.parameter(value.into());
                match self.dialect {
                    Dialect::Postgres => format!("CAST(CAST({parameter} AS text) AS numeric)"),
                    Dialect::Sqlite => format!("CAST({parameter} AS REAL)"),
                }
            }
        })
    }

    fn holds(&mut self, Condition { property, operator }: &Condition) -> Result<String, StoreError> {
        let operand = self.operand(property)?;
        let sql = &operand.sql;
        Ok(match operator {
            Operator::Equal(value) => format!("{sql} = {}", self.value(&operand, property, value)?),
            Operator::NotEqual(value) => format!("{sql} <> {}", self.value(&operand, property, value)?),
            Operator::Less(value) => format!("{sql} < {}", self.value(&operand, property, value)?),
            Operator::LessOrEqual(value) => format!("{sql} <= {}", self.value(&operand, property, value)?),
            Operator::Greater(value) => format!("{sql} > {}", self.value(&operand, property, value)?),
            Operator::GreaterOrEqual(value) => format!("{sql} >= {}", self.value(&operand, property, value)?),
            Operator::Between(low, high) => {
                let [low, high] = [low, high].map(|value| self.value(&operand, property, value));
                format!("{sql} BETWEEN {} AND {}", low?, high?)
            }
            Operator::In(values) | Operator::NotIn(values) => {
                let list = values.iter().map(|value| self.value(&operand, property, value));
                let list = list.collect::<Result<Vec<_>, _>>()?.join(", ");
                let not = if matches!(operator, Operator::NotIn(_)) { "NOT " } else { "" };
                format!("{sql} {not}IN ({list})")
            }
            Operator::ContainsToken(value) | Operator::NotContainsToken(value) => {
                let text = format!("lower(CAST({sql} AS text))");
                let spaced = SEPARATORS
                    .iter()
                    .fold(text, |text, separator| format!("replace({text}, '{separator}', ' ')"));
                let pattern = self.parameter(token_pattern(value).into());
                let not = if matches!(operator, Operator::NotContainsToken(_)) { "NOT " } else { "" };
                format!("' ' || {spaced} || ' ' {not}LIKE {pattern} ESCAPE '\\'")
            }
            Operator::HasProperty => format!("{sql} IS NOT NULL"),
            Operator::NotHasProperty => format!("{sql} IS NULL"),
        })
    }
}

/// The addresses of a contact but the primary one, as the answers show them.
fn other_addresses(dialect: Dialect) -> String {
    let joined = match dialect {
        Dialect::Postgres => "string_agg(e.email, ';' ORDER BY e.email_key)",
        Dialect::Sqlite => "group_concat(e.email, ';')",
    };
    format!(
        "(SELECT lower({joined}) FROM contact_emails e WHERE e.account_id = r.account_id AND e.contact_id = r.contact_id \
         AND e.email <> coalesce(r.properties ->> 'email', ''))"
    )
}

/// A text that holds a time, as milliseconds or in ISO form, in the one form that [`format_millis`] writes.
fn comparable_date(text: &str, dialect: Dialect) -> String {
    let (is_number, from_number) = match dialect {
        Dialect::Postgres => (
            format!("{text} ~ '^[0-9]{{1,15}}$'"),
            format!(
                "to_char(to_timestamp(CAST({text} AS numeric) / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
            ),
        ),
        Dialect::Sqlite => (
            format!("{text} NOT GLOB '*[^0-9]*' AND length({text}) <= 15"),
            format!("strftime('%Y-%m-%dT%H:%M:%fZ', CAST({text} AS INTEGER) / 1000.0, 'unixepoch')"),
        ),
    };
    format!(
        "CASE WHEN {is_number} THEN {from_number} WHEN length({text}) = 10 THEN {text} || 'T00:00:00.000Z' \
         WHEN length({text}) = 20 THEN substr({text}, 1, 19) || '.000Z' ELSE substr({text}, 1, 23) || 'Z' END"
    )
}

/// What stands between the tokens of a text.
const SEPARATORS: [char; 8] = ['@', '.', ',', ';', '-', '_', '/', '+'];

/// The pattern of one or more tokens that follow each other; a star stands for any characters.
fn token_pattern(value: &str) -> String {
    let spaced = value.trim().to_lowercase().replace(SEPARATORS, " ");
    format!("% {} %", escaped(&spaced).replace('*', "%"))
}

/// As a pattern that means itself.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}
