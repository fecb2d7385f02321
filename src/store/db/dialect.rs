//! The few things in which the two databases differ.

use crate::domain::record::{Column, ColumnType};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    Sqlite,
}

impl Dialect {
    /// A batch as a table expression: the parameter `$n` holds all rows as one JSON text.
    ///
    /// One text parameter for a whole batch costs little beside the rest of a transaction and works the same
    /// on both databases.
    pub fn batch(self, parameter: usize, columns: &[Column]) -> String {
        match self {
            Self::Postgres => {
                let columns: Vec<String> =
                    columns.iter().map(|(name, kind)| format!("{name} {}", postgres_type(*kind))).collect();
                format!("jsonb_to_recordset(${parameter}::jsonb) AS b({})", columns.join(", "))
            }
            Self::Sqlite => {
                let columns: Vec<String> = columns
                    .iter()
                    .map(|(name, kind)| match kind {
                        ColumnType::Json => format!("value -> '{name}' AS {name}"),
                        _ => format!("value ->> '{name}' AS {name}"),
                    })
                    .collect();
                format!("(SELECT {} FROM jsonb_each(${parameter})) AS b", columns.join(", "))
            }
        }
    }

    /// Rows of ids as a table expression: the last of a statement's parameters, from `$n` on.
    pub fn ids(self, parameter: usize, columns: &[&'static str]) -> String {
        self.lists(parameter, &columns.iter().map(|name| (*name, ColumnType::Int)).collect::<Vec<_>>())
    }

    /// As [`Dialect::ids`], for columns of any type but JSON.
    pub fn lists(self, parameter: usize, columns: &[Column]) -> String {
        match self {
            Self::Postgres => {
                let lists: Vec<String> = (parameter..)
                    .zip(columns)
                    .map(|(n, (_, kind))| format!("${n}::{}[]", postgres_type(*kind)))
                    .collect();
                format!("unnest({}) AS b({})", lists.join(", "), names(columns))
            }
            Self::Sqlite => {
                let columns: Vec<String> = columns
                    .iter()
                    .enumerate()
                    .map(|(index, (name, _))| format!("value ->> {index} AS {name}"))
                    .collect();
                format!("(SELECT {} FROM jsonb_each(${parameter})) AS b", columns.join(", "))
            }
        }
    }

    /// Joins a batch with a table that has an index for it. SQLite would rather walk the whole table than believe that the batch is the
    /// shorter one; a cross join is walked as it is written.
    pub fn batch_join(self) -> &'static str {
        match self {
            Self::Postgres => "JOIN",
            Self::Sqlite => "CROSS JOIN",
        }
    }

    /// A text as a value of a JSON column.
    pub fn json(self, text: &str) -> String {
        match self {
            Self::Postgres => format!("CAST({text} AS jsonb)"),
            Self::Sqlite => text.to_owned(),
        }
    }

    /// Is a text more than one of the vendor's constants, such as `ORGANIC_SEARCH`?
    pub fn is_no_constant(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("{column} ~ '[^A-Z_]'"),
            Self::Sqlite => format!("{column} GLOB '*[^A-Z_]*'"),
        }
    }

    /// The database's clock, to the microsecond: it decides what is old, the process's never does.
    pub fn now(self) -> &'static str {
        match self {
            Self::Postgres => "SELECT now() AS now",
            Self::Sqlite => "SELECT strftime('%Y-%m-%dT%H:%M:%f000Z', 'now') AS now",
        }
    }

    /// As [`Dialect::now`], but not of the moment in which the transaction began: it may have waited for locks since.
    pub fn clock(self) -> &'static str {
        match self {
            Self::Postgres => "SELECT clock_timestamp() AS now",
            Self::Sqlite => self.now(),
        }
    }

    /// As [`Dialect::now`], once nobody holds the lock for himself; it is shared until the end of the transaction.
    /// SQLite has one writer, who shares with nobody.
    ///
    /// What follows in such a transaction is found by keys. PostgreSQL is kept from making plans for a batch: it would
    /// read a table of a hundred batches from end to end rather than look each key up.
    pub fn lock_shared_and_now(self, lock: i64) -> String {
        match self {
            Self::Postgres => format!(
                "{}, set_config('plan_cache_mode', 'force_generic_plan', TRUE) FROM pg_advisory_xact_lock_shared({lock})",
                self.now()
            ),
            Self::Sqlite => self.now().to_owned(),
        }
    }

    /// As [`Dialect::lock_shared_and_now`], with an exclusive lock that is held until the end of the transaction.
    pub fn lock_exclusive_and_now(self, lock: i64) -> String {
        match self {
            Self::Postgres => format!("{} FROM pg_advisory_xact_lock({lock})", self.now()),
            Self::Sqlite => self.now().to_owned(),
        }
    }

    /// When the oldest transaction began that is under way, as far as the role may see, and not within the last second: by then each
    /// has told when it began, and a clock that was put back a little has caught up. SQLite has one writer, and its reader
    /// sees all that was written.
    pub fn begin_of_oldest_transaction(self) -> &'static str {
        match self {
            Self::Postgres => {
                "SELECT least(min(xact_start), now() - INTERVAL '1 second') AS now \
                 FROM pg_stat_activity WHERE datname = current_database()"
            }
            Self::Sqlite => "SELECT strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '+1 second') AS now",
        }
    }

    /// Takes samples of the tables, to plan with. SQLite plans without.
    pub fn analyze(self, tables: &[&str]) -> Option<String> {
        match self {
            Self::Postgres => Some(format!("ANALYZE {}", tables.join(", "))),
            Self::Sqlite => None,
        }
    }

    /// Locks the rows of `table` until the end of the transaction. SQLite has one writer and needs none.
    pub fn for_update(self, table: &str) -> String {
        self.lock("UPDATE", table)
    }

    /// Keeps the rows of `table` from being changed until the end of the transaction.
    pub fn for_share(self, table: &str) -> String {
        self.lock("SHARE", table)
    }

    /// As [`Dialect::for_update`], passing over rows that another transaction holds.
    pub fn for_update_skip_locked(self, table: &str) -> String {
        match self {
            Self::Postgres => format!(" FOR UPDATE OF {table} SKIP LOCKED"),
            Self::Sqlite => String::new(),
        }
    }

    fn lock(self, strength: &str, table: &str) -> String {
        match self {
            Self::Postgres => format!(" FOR {strength} OF {table}"),
            Self::Sqlite => String::new(),
        }
    }

    /// Opens a transaction that writes. SQLite takes its one write lock at once: a reader that becomes a
    /// writer half-way would fail. PostgreSQL bounds its statements here, where a pooler between does no harm.
    pub fn begin(self, statement_timeout_ms: u128) -> String {
        match self {
            // Idle as well: the locks of a process that sleeps, or of a machine that is gone, are in everybody's way.
            Self::Postgres => format!(
                "BEGIN; SET LOCAL statement_timeout = {statement_timeout_ms}; \
                 SET LOCAL idle_in_transaction_session_timeout = {statement_timeout_ms}"
            ),
            Self::Sqlite => "BEGIN IMMEDIATE".to_owned(),
        }
    }

    /// Added to what opens a transaction: names without a schema are looked up in this one alone. In the transaction and
    /// not in the session, for a pooler may pass that on.
    pub fn within(self, schema: &str) -> String {
        match self {
            Self::Postgres => format!("; SET LOCAL search_path = {}", quoted(schema)),
            Self::Sqlite => String::new(),
        }
    }

    /// Added to what opens a transaction: fails it in a session without the mark. PostgreSQL's statements are prepared
    /// under names that say nothing of what they do. Behind a pooler that passes sessions from one client to the next a
    /// name may mean somebody else's statement, and another one would be run.
    pub fn assert_own_session(self) -> &'static str {
        match self {
            Self::Postgres => "; SELECT current_setting('contact_reaper.own_session')",
            Self::Sqlite => "",
        }
    }

    /// Answers a row where the server takes writes. A standby takes none, nor does a primary that is to be one.
    pub fn takes_writes(self) -> &'static str {
        match self {
            Self::Postgres => {
                "SELECT 1 AS one WHERE NOT pg_is_in_recovery() \
                 AND current_setting('default_transaction_read_only') = 'off'"
            }
            Self::Sqlite => "SELECT 1 AS one",
        }
    }

    /// How many bytes of its log the slowest replica has yet to replay. Where one does not say how far it has replayed,
    /// what it has received counts.
    pub fn replication_lag(self) -> Option<&'static str> {
        match self {
            Self::Postgres => Some(
                "SELECT CAST(coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), \
                 coalesce(replay_lsn, flush_lsn, write_lsn, sent_lsn))), 0) AS bigint) AS bytes FROM pg_stat_replication",
            ),
            Self::Sqlite => None,
        }
    }

    /// Ends the transaction where its client is silent in the midst of it.
    pub fn set_idle_in_transaction_timeout(self, patience_ms: u128) -> Option<String> {
        match self {
            Self::Postgres => Some(format!("SET LOCAL idle_in_transaction_session_timeout = {patience_ms}")),
            Self::Sqlite => None,
        }
    }

    /// Opens a transaction that only reads, and sees one moment throughout. On SQLite it is in no writer's way.
    pub fn begin_read(self, statement_timeout_ms: u128) -> String {
        match self {
            Self::Postgres => format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {statement_timeout_ms}"
            ),
            Self::Sqlite => "BEGIN DEFERRED".to_owned(),
        }
    }
}

/// The names of columns, as a statement lists them.
pub fn names(columns: &[Column]) -> String {
    columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn postgres_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Int => "bigint",
        ColumnType::Text => "text",
        ColumnType::Time => "timestamptz",
        ColumnType::Json => "jsonb",
        ColumnType::Bool => "boolean",
    }
}

/// A name as SQL has it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
