//! Applies the numbered migrations, once each, and refuses a database that is newer than the binary or was migrated differently.

use consent_core::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::StoreError;

/// In ascending order. A number may be missing: it is that of a change which is not in this binary.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/sqlite/0001_log.sql")),
    (2, include_str!("../../migrations/sqlite/0002_account.sql")),
    (3, include_str!("../../migrations/sqlite/0003_downstream.sql")),
    (4, include_str!("../../migrations/sqlite/0004_users.sql")),
    (6, include_str!("../../migrations/sqlite/0006_public_log.sql")),
];

/// The number of the newest schema.
pub fn schema() -> i64 {
    MIGRATIONS[MIGRATIONS.len() - 1].0
}

/// Brings the database to the newest schema.
pub(super) fn run(connection: &mut Connection, now: UnixMillis) -> Result<(), StoreError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (
            number INTEGER PRIMARY KEY, sha256 BLOB NOT NULL, applied_at INTEGER NOT NULL
        ) STRICT",
    )?;
    let known = schema();
    let applied = connection
        .prepare("SELECT number FROM migration ORDER BY number DESC")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    if let Some(other) = applied.into_iter().find(|number| MIGRATIONS.iter().all(|(known, _)| known != number)) {
        return Err(StoreError::Refused(format!(
            "the database has schema {other}, this binary knows up to {known}: use the binary that wrote it, or a newer one"
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

    #[test]
    fn an_earlier_number_that_is_not_known_is_refused_too() {
        let mut db = Connection::open_in_memory().unwrap();
        let now = UnixMillis::new(0);
        run(&mut db, now).unwrap();
        db.execute("INSERT INTO migration VALUES (0, x'00', 0)", []).unwrap();
        assert!(matches!(run(&mut db, now), Err(StoreError::Refused(why)) if why.contains("schema 0")));
    }

    #[test]
    fn a_number_that_came_late_is_applied() {
        let mut db = Connection::open_in_memory().unwrap();
        let now = UnixMillis::new(0);
        run(&mut db, now).unwrap();
        let mut tables = db.prepare("SELECT count(*) FROM sqlite_schema").unwrap();
        let all: i64 = tables.query_row([], |row| row.get(0)).unwrap();
        drop(tables);
        // As a binary left it that had all numbers but one in the middle.
        db.execute_batch(
            "DROP TABLE early; DROP TABLE delivery; DROP TABLE webhook; DELETE FROM migration WHERE number = 3",
        )
        .unwrap();
        run(&mut db, now).unwrap();
        let again: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(again, all);
    }
}
