//! What a database must be like before anything is asked of it: it holds every text, and what is in it is ours.

use super::Tx;
use super::dialect::{Dialect, quoted};
use super::values::args;
use crate::store::StoreError;

/// Refuses a database that cannot hold every text.
pub async fn demand_unicode(tx: &mut Tx) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let row = tx.row("SELECT current_setting('server_encoding') AS encoding", &[]).await?;
    let encoding = row.map_or(Ok(String::new()), |row| row.text("encoding"))?;
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "the database's encoding is {encoding}, and only UTF8 holds every name: make a database with CREATE DATABASE … \
         ENCODING 'UTF8' TEMPLATE template0, and set store.url to it"
    )))
}

/// Makes the schema of `store.schema` where it is missing.
pub async fn make_schema(tx: &mut Tx) -> Result<(), StoreError> {
    let Some(schema) = tx.schema().map(str::to_owned) else { return Ok(()) };
    let sql = "SELECT 1 AS one FROM pg_namespace WHERE nspname = $1";
    if tx.row(sql, args![schema.as_str()]).await?.is_some() {
        return Ok(());
    }
    let sql = "SELECT 1 AS one WHERE has_database_privilege(current_database(), 'CREATE')";
    if tx.row(sql, &[]).await?.is_none() {
        return Err(StoreError::Refused(format!(
            "the role of store.url may not make the schema {schema}: have the database's owner run CREATE SCHEMA {schema} \
             AUTHORIZATION and that role, or GRANT CREATE ON DATABASE to it"
        )));
    }
    tx.execute(&format!("CREATE SCHEMA {}", quoted(&schema)), &[]).await?;
    Ok(())
}

/// Is the table of migrations there? One of another program's is refused: many keep theirs under that name.
pub async fn has_migrations(tx: &mut Tx, names: &[&str]) -> Result<bool, StoreError> {
    let (exists, columns) = match tx.dialect() {
        Dialect::Postgres => (
            "SELECT 1 AS one FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'schema_migrations'",
            "SELECT count(*) AS columns FROM information_schema.columns WHERE table_schema = current_schema() \
             AND table_name = 'schema_migrations' \
             AND (column_name = 'version' AND data_type = 'bigint' OR column_name IN ('name', 'applied_at'))",
        ),
        Dialect::Sqlite => (
            "SELECT 1 AS one FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'",
            "SELECT count(*) AS columns FROM pragma_table_info('schema_migrations') \
             WHERE name IN ('version', 'name', 'applied_at')",
        ),
    };
    if tx.row(exists, &[]).await?.is_none() {
        return Ok(false);
    }
    let columns = tx.row(columns, &[]).await?.map_or(Ok(0), |row| row.int("columns"))?;
    if columns != 3 {
        return Err(of_another_program(tx, "schema_migrations"));
    }
    for row in tx.rows("SELECT version, name FROM schema_migrations ORDER BY version", &[]).await? {
        let position = usize::try_from(row.int("version")?).ok().and_then(|version| version.checked_sub(1));
        let name = row.text("name")?;
        if position.and_then(|position| names.get(position)).is_some_and(|known| *known != name) {
            return Err(of_another_program(tx, "schema_migrations"));
        }
    }
    Ok(true)
}

/// Refuses a database with tables of another program in it and none of ours. What an extension has made is nobody's.
pub async fn demand_nothing_of_others(tx: &mut Tx) -> Result<(), StoreError> {
    let sql = match tx.dialect() {
        Dialect::Postgres => {
            "SELECT CAST(c.relname AS text) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
             AND NOT EXISTS (SELECT 1 FROM pg_depend d \
                             WHERE d.classid = CAST('pg_class' AS regclass) AND d.objid = c.oid AND d.deptype = 'e') \
             ORDER BY name LIMIT 1"
        }
        Dialect::Sqlite => {
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY name LIMIT 1"
        }
    };
    match tx.row(sql, &[]).await? {
        None => Ok(()),
        Some(row) => {
            let name = row.text("name")?;
            Err(of_another_program(tx, &name))
        }
    }
}

fn of_another_program(tx: &Tx, table: &str) -> StoreError {
    StoreError::Refused(match tx.dialect() {
        Dialect::Postgres => format!(
            "the database has tables of another program, such as {table}: set store.schema to a name of its own, and \
             `contact-reaper migrate` makes that schema; or set store.url to another database"
        ),
        Dialect::Sqlite => format!(
            "the file that store.url names has tables of another program, such as {table}: name another file"
        ),
    })
}
