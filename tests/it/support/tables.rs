//! The store as a whole: its tables, their columns, and everything in them, for comparing before and after.

use std::collections::BTreeMap;

use contact_reaper::domain::hex::unhex;

use super::Database;

/// Every row of the tables that were looked at.
#[derive(Debug)]
pub struct Dump {
    left_out: Vec<String>,
    tables: BTreeMap<String, Vec<String>>,
}

/// A dead letter as the store has it.
pub struct Letter {
    pub reason: String,
    pub detail: String,
    pub attempts: String,
    pub exchange: String,
    pub routing_key: String,
    pub traceparent: String,
    /// Byte for byte.
    pub body: Vec<u8>,
}

impl Database {
    /// The one of two texts that is meant for this database.
    pub fn in_its_words<'a>(&self, postgres: &'a str, sqlite: &'a str) -> &'a str {
        if self.url().starts_with("postgres") { postgres } else { sqlite }
    }

    /// The names of all tables, sorted.
    pub async fn tables(&self) -> Vec<String> {
        let sql = self.in_its_words(
            "SELECT CAST(tablename AS text) FROM pg_tables WHERE schemaname = current_schema()",
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        );
        let mut tables: Vec<String> = self.rows(sql).await.into_iter().flatten().collect();
        tables.sort();
        tables
    }

    /// The names of a table's columns, in the order of the table.
    pub async fn columns(&self, table: &str) -> Vec<String> {
        let postgres = format!(
            "SELECT CAST(column_name AS text) FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = '{table}' ORDER BY ordinal_position"
        );
        let sqlite = format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid");
        self.rows(self.in_its_words(&postgres, &sqlite)).await.into_iter().flatten().collect()
    }

    /// Every row of every table but those left out, as text, in an order of its own.
    pub async fn dump(&self, left_out: &[&str]) -> Dump {
        let left_out: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        let mut tables = BTreeMap::new();
        for table in self.tables().await {
            if !left_out.contains(&table) {
                let rows = self.table(&table).await;
                tables.insert(table, rows);
            }
        }
        assert!(!tables.is_empty(), "the store has its schema");
        Dump { left_out, tables }
    }

    /// Fails the test with the rows that came or went since a dump, in the tables that it looked at.
    pub async fn assert_unchanged_since(&self, before: &Dump) {
        let left_out: Vec<&str> = before.left_out.iter().map(String::as_str).collect();
        let after = self.dump(&left_out).await;
        for (table, rows) in &after.tables {
            let missing = |rows: &[String], from: &[String]| -> Vec<String> {
                rows.iter().filter(|row| !from.contains(row)).cloned().collect()
            };
            let earlier = before.tables.get(table).map_or(&[][..], Vec::as_slice);
            let (gone, came) = (missing(earlier, rows), missing(rows, earlier));
            assert!(earlier == rows, "{table} has changed\n  gone: {gone:#?}\n  come: {came:#?}");
        }
        assert_eq!(after.tables.len(), before.tables.len(), "a table is gone");
    }

    /// Every row of a table, as text, sorted.
    pub async fn table(&self, table: &str) -> Vec<String> {
        let texts: Vec<String> =
            self.columns(table).await.iter().map(|column| format!("CAST({column} AS text)")).collect();
        let rows = self.rows(&format!("SELECT {} FROM {table}", texts.join(", "))).await;
        let mut rows: Vec<String> = rows.into_iter().map(|row| row.join(" | ")).collect();
        rows.sort();
        rows
    }

    /// Everything the store holds, to search in: on PostgreSQL all rows, on SQLite the bytes of its files.
    pub async fn everything(&self) -> String {
        if let Some(file) = self.url().strip_prefix("sqlite://") {
            let files = [file.to_owned(), format!("{file}-wal"), format!("{file}-shm")];
            let bytes = files.iter().filter_map(|file| std::fs::read(file).ok()).flatten();
            return String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned();
        }
        self.dump(&[]).await.tables.into_values().flatten().collect()
    }

    /// The dead letters, oldest first.
    pub async fn letters(&self) -> Vec<Letter> {
        let body = self.in_its_words("encode(body, 'hex')", "lower(hex(body))");
        let sql = format!(
            "SELECT reason, detail, CAST(attempts AS text), exchange, routing_key, coalesce(traceparent, ''), {body} \
             FROM dead_letters ORDER BY dead_letter_id"
        );
        let letter = |row: Vec<String>| {
            let [reason, detail, attempts, exchange, routing_key, traceparent, body] =
                row.try_into().expect("seven columns");
            let body = unhex(&body).expect("hexadecimal");
            Letter { reason, detail, attempts, exchange, routing_key, traceparent, body }
        };
        self.rows(&sql).await.into_iter().map(letter).collect()
    }

    /// How many rows of a table meet a condition.
    pub async fn count(&self, table: &str, condition: &str) -> i64 {
        let sql = format!("SELECT CAST(count(*) AS text) FROM {table} WHERE {condition}");
        self.rows(&sql).await[0][0].parse().expect("a count is a number")
    }
}
