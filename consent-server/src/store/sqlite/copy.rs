//! Copies of the database: made while it is in use, and looked at before they are trusted.

use std::path::Path;

use consent_core::merkle::{Edge, leaf_hash};
use consent_core::note::VerifyingKey;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OptionalExtension};

use super::{connect, read};
use crate::store::StoreError;

/// Pages in one step, between which `progress` is told.
const STEP: i32 = 4096;

/// A log in a copy, found whole.
#[derive(Debug, Clone)]
pub struct Log {
    /// Its site.
    pub site: String,
    /// Its origin.
    pub log_origin: String,
    /// The key that signs it.
    pub key: VerifyingKey,
    /// How many records it has.
    pub size: u64,
}

/// Copies the database as it is at this moment into a new file, while others go on writing.
///
/// `progress` is told how many pages there are, and how many are left.
///
/// # Errors
/// [`StoreError`] if it cannot be read, or the copy not be written.
pub fn copy(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), StoreError> {
    let source = connect(from, true)?;
    // One view for the whole copy: without it every write by another process begins it anew.
    source.execute_batch("BEGIN")?;
    source.query_row("SELECT count(*) FROM migration", [], |_| Ok(()))?;
    let mut target = Connection::open(to)?;
    {
        let backup = Backup::new(&source, &mut target)?;
        loop {
            let step = backup.step(STEP)?;
            let done = backup.progress();
            progress(u64::try_from(done.pagecount).unwrap_or(0), u64::try_from(done.remaining).unwrap_or(0));
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
    }
    source.execute_batch("COMMIT")?;
    // One plain file, with nothing beside it that would have to be copied too.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    drop(target);
    let synced = std::fs::File::open(to).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::NotWritten(error.to_string()))
}

/// Reads every record of every log in a database that nobody writes, and compares the tree they give with the signed head.
///
/// `progress` is told how many records there are in a log, and how many were read.
///
/// # Errors
/// [`StoreError::Corrupt`] with the log whose records are not those that were signed.
pub fn inspect(path: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Vec<Log>, StoreError> {
    let db = connect(path, true)?;
    let corrupt = |what: String| StoreError::Corrupt { table: "head", what };
    let mut logs = Vec::new();
    for site in &read::registry(&db)?.sites {
        let head: Option<String> =
            db.query_row("SELECT checkpoint FROM head WHERE site = ?1", [site.number], |row| row.get(0)).optional()?;
        let note = head.ok_or_else(|| corrupt(format!("{}: no signed head", site.id)))?;
        let signed = site.keys()?.open(&note).map_err(|error| corrupt(format!("{}: {error}", site.id)))?;
        let mut edge = Edge::default();
        read::entries(&db, site, 0, signed.size, &mut |entry| {
            edge.push(leaf_hash(&entry.leaf));
            if entry.index % 65_536 == 0 {
                progress(signed.size, entry.index);
            }
            true
        })?;
        if edge.root() != signed.root {
            return Err(corrupt(format!(
                "the {} records of {} do not give the root that was signed",
                signed.size, site.id
            )));
        }
        let (log_origin, key) = (site.log_origin.clone(), site.keys()?.current().clone());
        logs.push(Log { site: site.id.to_string(), log_origin, key, size: signed.size });
    }
    Ok(logs)
}
