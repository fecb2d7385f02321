//! The schema: which version the store has, and bringing it up to date.

use super::contacts::addresses;
use super::db::dialect::Dialect;
use super::db::values::args;
use super::db::{Tx, preconditions};
use super::identity::suppressions;
use super::{HashKeySource, Store, StoreError, read_transaction, transaction};

/// A step of the schema, the same under one name for both databases.
struct Migration {
    name: &'static str,
    postgres: &'static str,
    sqlite: &'static str,
}

/// In order; the position, from 1, is the version.
const MIGRATIONS: [Migration; 35] = [
    Migration {
        name: "0001_tables",
        postgres: include_str!("migrations/postgres/0001_tables.sql"),
        sqlite: include_str!("migrations/sqlite/0001_tables.sql"),
    },
    Migration {
        name: "0002_views",
        postgres: include_str!("migrations/0002_views.sql"),
        sqlite: include_str!("migrations/0002_views.sql"),
    },
    Migration {
        name: "0003_pages",
        postgres: include_str!("migrations/0003_pages.sql"),
        sqlite: include_str!("migrations/0003_pages.sql"),
    },
    Migration {
        name: "0004_privacy",
        postgres: include_str!("migrations/postgres/0004_privacy.sql"),
        sqlite: include_str!("migrations/sqlite/0004_privacy.sql"),
    },
    Migration {
        name: "0005_outbox_order",
        postgres: include_str!("migrations/postgres/0005_outbox_order.sql"),
        sqlite: include_str!("migrations/sqlite/0005_outbox_order.sql"),
    },
    Migration {
        name: "0006_deletions",
        postgres: include_str!("migrations/postgres/0006_deletions.sql"),
        sqlite: include_str!("migrations/sqlite/0006_deletions.sql"),
    },
    Migration {
        name: "0007_after_an_erasure",
        postgres: include_str!("migrations/postgres/0007_after_an_erasure.sql"),
        sqlite: include_str!("migrations/sqlite/0007_after_an_erasure.sql"),
    },
    Migration {
        name: "0008_vouching",
        postgres: include_str!("migrations/postgres/0008_vouching.sql"),
        sqlite: include_str!("migrations/sqlite/0008_vouching.sql"),
    },
    Migration {
        name: "0009_brakes",
        postgres: include_str!("migrations/postgres/0009_brakes.sql"),
        sqlite: include_str!("migrations/sqlite/0009_brakes.sql"),
    },
    Migration {
        name: "0010_retention",
        postgres: include_str!("migrations/postgres/0010_retention.sql"),
        sqlite: include_str!("migrations/sqlite/0010_retention.sql"),
    },
    Migration {
        name: "0011_types_of_events",
        postgres: include_str!("migrations/postgres/0011_types_of_events.sql"),
        sqlite: include_str!("migrations/sqlite/0011_types_of_events.sql"),
    },
    Migration {
        name: "0012_tokens",
        postgres: include_str!("migrations/postgres/0012_tokens.sql"),
        sqlite: include_str!("migrations/sqlite/0012_tokens.sql"),
    },
    Migration {
        name: "0013_lists",
        postgres: include_str!("migrations/0013_lists.sql"),
        sqlite: include_str!("migrations/0013_lists.sql"),
    },
    Migration {
        name: "0014_owed_searches",
        postgres: include_str!("migrations/postgres/0014_owed_searches.sql"),
        sqlite: include_str!("migrations/sqlite/0014_owed_searches.sql"),
    },
    Migration {
        name: "0015_held_addresses",
        postgres: include_str!("migrations/0015_held_addresses.sql"),
        sqlite: include_str!("migrations/0015_held_addresses.sql"),
    },
    Migration {
        name: ADDRESSES,
        postgres: include_str!("migrations/postgres/0016_bounded_erasure.sql"),
        sqlite: include_str!("migrations/sqlite/0016_bounded_erasure.sql"),
    },
    Migration {
        name: PERMISSIONS,
        postgres: include_str!("migrations/postgres/0017_permissions.sql"),
        sqlite: include_str!("migrations/sqlite/0017_permissions.sql"),
    },
    Migration {
        name: "0018_dead_letters",
        postgres: include_str!("migrations/postgres/0018_dead_letters.sql"),
        sqlite: include_str!("migrations/sqlite/0018_dead_letters.sql"),
    },
    Migration {
        name: "0019_contact_properties",
        postgres: include_str!("migrations/postgres/0019_contact_properties.sql"),
        sqlite: include_str!("migrations/sqlite/0019_contact_properties.sql"),
    },
    Migration {
        name: "0020_feeds",
        postgres: include_str!("migrations/0020_feeds.sql"),
        sqlite: include_str!("migrations/0020_feeds.sql"),
    },
    Migration {
        name: "0021_clock",
        postgres: include_str!("migrations/postgres/0021_clock.sql"),
        sqlite: include_str!("migrations/sqlite/0021_clock.sql"),
    },
    Migration {
        name: "0022_kept",
        postgres: include_str!("migrations/postgres/0022_kept.sql"),
        sqlite: include_str!("migrations/sqlite/0022_kept.sql"),
    },
    Migration {
        name: "0023_looks_of_commands",
        postgres: include_str!("migrations/postgres/0023_looks_of_commands.sql"),
        sqlite: include_str!("migrations/sqlite/0023_looks_of_commands.sql"),
    },
    Migration {
        name: "0024_unfinished_imports",
        postgres: include_str!("migrations/postgres/0024_unfinished_imports.sql"),
        sqlite: include_str!("migrations/sqlite/0024_unfinished_imports.sql"),
    },
    Migration {
        name: "0025_fingerprints",
        postgres: include_str!("migrations/0025_fingerprints.sql"),
        sqlite: include_str!("migrations/0025_fingerprints.sql"),
    },
    Migration {
        name: "0026_stages",
        postgres: include_str!("migrations/0026_stages.sql"),
        sqlite: include_str!("migrations/0026_stages.sql"),
    },
    Migration {
        name: "0027_owed_redactions",
        postgres: include_str!("migrations/postgres/0027_owed_redactions.sql"),
        sqlite: include_str!("migrations/sqlite/0027_owed_redactions.sql"),
    },
    Migration {
        name: "0028_manual_stages",
        postgres: include_str!("migrations/postgres/0028_manual_stages.sql"),
        sqlite: include_str!("migrations/sqlite/0028_manual_stages.sql"),
    },
    Migration {
        name: "0029_pending",
        postgres: include_str!("migrations/0029_pending.sql"),
        sqlite: include_str!("migrations/0029_pending.sql"),
    },
    Migration {
        name: "0030_unfinished_accounts",
        postgres: include_str!("migrations/0030_unfinished_accounts.sql"),
        sqlite: include_str!("migrations/0030_unfinished_accounts.sql"),
    },
    Migration {
        name: "0031_records",
        postgres: include_str!("migrations/postgres/0031_records.sql"),
        sqlite: include_str!("migrations/sqlite/0031_records.sql"),
    },
    Migration {
        name: "0032_record_trash",
        postgres: include_str!("migrations/postgres/0032_record_trash.sql"),
        sqlite: include_str!("migrations/sqlite/0032_record_trash.sql"),
    },
    Migration {
        name: "0033_record_selections",
        postgres: include_str!("migrations/postgres/0033_record_selections.sql"),
        sqlite: include_str!("migrations/sqlite/0033_record_selections.sql"),
    },
    Migration {
        name: "0034_programs",
        postgres: include_str!("migrations/postgres/0034_programs.sql"),
        sqlite: include_str!("migrations/sqlite/0034_programs.sql"),
    },
    Migration {
        name: "0035_vendors_api",
        postgres: include_str!("migrations/postgres/0035_vendors_api.sql"),
        sqlite: include_str!("migrations/sqlite/0035_vendors_api.sql"),
    },
];

/// Changes the permissions of users, and writes into the audit which.
const PERMISSIONS: &str = "0017_permissions";

/// Adds addresses that are split and lower-cased by the program.
const ADDRESSES: &str = "0016_bounded_erasure";

/// What it took to bring the schema up to date.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations, by name.
    pub applied: Vec<&'static str>,
    /// Users who were given permissions, so that they may still do what they could do before.
    pub users_granted: u64,
}

/// How the store's schema stands to this program's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    Current,
    /// Older: these migrations are missing.
    Behind(Vec<&'static str>),
    /// Made by a newer program; its version.
    Newer(i64),
}

impl Store {
    /// How the schema stands; writes nothing.
    ///
    /// # Errors
    ///
    /// As [`Store::migrate`].
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        read_transaction!(self, tx => schema(tx))
    }

    /// Brings the schema up to date; what that took. Safe to run from many processes at once.
    ///
    /// # Errors
    ///
    /// A schema that a newer program made, a database that cannot hold every text or has tables of another program, or
    /// one that does not answer.
    pub async fn migrate(&self) -> Result<Migrated, StoreError> {
        let migrated = transaction!(self, tx => migrate(tx))?;
        // Made now, the key is in every backup: a journal can be applied to whichever is restored.
        if *self.hash_key_home() == HashKeySource::Database {
            transaction!(self, tx => suppressions::keys(tx, self.hash_key_home()))?;
        }
        Ok(migrated)
    }
}

async fn schema(tx: &mut Tx) -> Result<Schema, StoreError> {
    preconditions::demand_unicode(tx).await?;
    let names = MIGRATIONS.map(|migration| migration.name);
    if !preconditions::has_migrations(tx, &names).await? {
        preconditions::demand_nothing_of_others(tx).await?;
        return Ok(missing_after(0));
    }
    let row = tx.row("SELECT coalesce(max(version), 0) AS version FROM schema_migrations", &[]).await?;
    Ok(missing_after(row.map_or(Ok(0), |row| row.int("version"))?))
}

fn missing_after(version: i64) -> Schema {
    match usize::try_from(version) {
        Ok(known) if known < MIGRATIONS.len() => {
            Schema::Behind(MIGRATIONS[known..].iter().map(|migration| migration.name).collect())
        }
        Ok(known) if known == MIGRATIONS.len() => Schema::Current,
        _ => Schema::Newer(version),
    }
}

async fn migrate(tx: &mut Tx) -> Result<Migrated, StoreError> {
    if tx.dialect() == Dialect::Postgres {
        // Others who migrate wait here. The number is this program's name in ASCII, shortened.
        tx.rows("SELECT 1 AS one FROM pg_advisory_xact_lock(7165905010)", &[]).await?;
    }
    preconditions::make_schema(tx).await?;
    let missing = match schema(tx).await? {
        Schema::Current => return Ok(Migrated::default()),
        Schema::Behind(missing) => missing,
        Schema::Newer(version) => {
            return Err(StoreError::Refused(format!(
                "the store's schema has version {version}, newer than the {} this program knows: upgrade it",
                MIGRATIONS.len()
            )));
        }
    };
    if missing.len() == MIGRATIONS.len() {
        tx.script(
            "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, name text NOT NULL, applied_at text NOT NULL)",
        )
        .await?;
    }
    if tx.dialect() == Dialect::Postgres {
        // An index on a large table takes as long as it takes. But while we wait for a table that somebody reads, all
        // who come after us wait too: better to let them through and try again.
        tx.disable_timeouts().await?;
        tx.script("SET LOCAL lock_timeout = '5s'").await?;
    }
    let applied = apply(tx, missing).await;
    applied.map_err(|error| match error {
        StoreError::TimedOut(_) => StoreError::Unavailable(
            "a migration waits for a table that another session is using; let that end first".to_owned(),
        ),
        other => other,
    })
}

async fn apply(tx: &mut Tx, missing: Vec<&'static str>) -> Result<Migrated, StoreError> {
    let first = MIGRATIONS.len() - missing.len();
    let now = tx.now().await?;
    let mut users_granted = 0;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(first) {
        let script = match tx.dialect() {
            Dialect::Postgres => migration.postgres,
            Dialect::Sqlite => migration.sqlite,
        };
        tx.script(script).await?;
        if migration.name == ADDRESSES {
            addresses::add_from_properties(tx).await?;
        }
        if migration.name == PERMISSIONS {
            users_granted = granted(tx).await?;
        }
        let version = i64::try_from(index + 1).unwrap_or(i64::MAX);
        tx.execute(
            "INSERT INTO schema_migrations (version, name, applied_at) VALUES ($1, $2, $3)",
            args![version, migration.name, crate::domain::time::format_time(now)],
        )
        .await?;
    }
    Ok(Migrated { applied: missing, users_granted })
}

/// How many users the migration of permissions changed.
async fn granted(tx: &mut Tx) -> Result<u64, StoreError> {
    let sql = "SELECT CAST(coalesce(sum(count), 0) AS bigint) AS granted FROM audit \
               WHERE actor = 'migration:permissions'";
    let row = tx.row(sql, &[]).await?;
    Ok(row.map_or(Ok(0), |row| row.int("granted"))?.unsigned_abs())
}
