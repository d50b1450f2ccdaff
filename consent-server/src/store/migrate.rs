//! Applies the numbered migrations, once each, and refuses a database that is newer than the binary or was migrated differently.

use consent_core::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::StoreError;

const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/sqlite/0001_log.sql")),
    (2, include_str!("../../migrations/sqlite/0002_account.sql")),
];

/// Brings the database to the newest schema.
pub(super) fn run(connection: &mut Connection, now: UnixMillis) -> Result<(), StoreError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (
            number INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, applied_at INTEGER NOT NULL
        ) STRICT",
    )?;
    let newest: i64 = connection.query_row("SELECT coalesce(max(number), 0) FROM migration", [], |row| row.get(0))?;
    let known = MIGRATIONS[MIGRATIONS.len() - 1].0;
    if newest > known {
        return Err(StoreError::Refused(format!(
            "the database has schema {newest}, this binary knows up to {known}: use the binary that wrote it, or a newer one"
        )));
    }
    for &(number, sql) in MIGRATIONS {
        let digest: [u8; 32] = Sha256::digest(sql.as_bytes()).into();
        let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let applied: Option<Vec<u8>> =
            tx.query_row("SELECT sha256 FROM migration WHERE number = ?1", [number], |row| row.get(0)).optional()?;
        match applied {
            Some(before) if before == digest => {}
            Some(_) => {
                return Err(StoreError::Refused(format!(
                    "migration {number} was applied to this database in another form than this binary has"
                )));
            }
            None => {
                tx.execute_batch(sql)?;
                tx.execute("INSERT INTO migration VALUES (?1, ?2, ?3)", params![number, digest, now.millis()])?;
            }
        }
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_or_other_database_is_refused() {
        let mut db = Connection::open_in_memory().unwrap();
        let now = UnixMillis::new(0);
        run(&mut db, now).unwrap();
        run(&mut db, now).unwrap();
        db.execute("UPDATE migration SET sha256 = x'00'", []).unwrap();
        assert!(matches!(run(&mut db, now), Err(StoreError::Refused(why)) if why.contains("another form")));
        db.execute("INSERT INTO migration VALUES (99, x'00', 0)", []).unwrap();
        assert!(matches!(run(&mut db, now), Err(StoreError::Refused(why)) if why.contains("schema 99")));
    }
}
