//! What was published of each log, kept as a file beside the database: `published/HASH.txt`.
//!
//! A database that was restored from an old back-up is whole in itself. Only what is outside of it can tell that the world has seen
//! more: at every start each log must still have every record that its last published checkpoint signs.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use consent_core::checkpoint::Checkpoint;
use consent_core::merkle::root_at;
use consent_core::note::VerifyingKey;
use rusqlite::{Connection, OptionalExtension};

use crate::signers::file_stem;
use crate::store::tree::Stored;
use crate::store::{Site, StoreError};

/// The folder of the files.
#[derive(Debug)]
pub(super) struct PublishedFiles {
    folder: PathBuf,
    /// What is in each file, by site. Held while one is written, so that no older checkpoint is written over a newer one.
    kept: Mutex<HashMap<i64, u64>>,
}

/// A checkpoint that was published.
pub(super) struct Promise(Checkpoint);

impl PublishedFiles {
    pub(super) fn new(data: &Path) -> Self {
        Self { folder: data.join("published"), kept: Mutex::default() }
    }

    fn path(&self, site: &Site) -> PathBuf {
        self.folder.join(format!("{}.txt", file_stem(&site.log_origin)))
    }

    /// What was published of these logs.
    pub(super) fn read(&self, sites: &[Arc<Site>]) -> Result<Vec<(Arc<Site>, Promise)>, StoreError> {
        let mut promises = Vec::new();
        for site in sites {
            let path = self.path(site);
            let refused = |why: &dyn std::fmt::Display| {
                StoreError::Refused(format!(
                    "what was published of {} ({}) cannot be used: {why}",
                    site.id,
                    path.display()
                ))
            };
            let note = match fs::read_to_string(&path) {
                Ok(note) => note,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(refused(&error)),
            };
            let key = VerifyingKey::parse(&site.log_key).map_err(|error| refused(&error))?;
            let checkpoint = Checkpoint::open(&note, &key).map_err(|error| refused(&error))?;
            promises.push((Arc::clone(site), Promise(checkpoint)));
        }
        Ok(promises)
    }

    /// Keeps a checkpoint that has been published: returns only after it is on disk.
    pub(super) fn keep(&self, site: &Site, note: &str) -> Result<(), StoreError> {
        let size = note.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.get(&site.number).is_some_and(|kept| *kept >= size) {
            return Ok(());
        }
        let path = self.path(site);
        write_whole(&path, note.as_bytes())
            .map_err(|error| StoreError::NotWritten(format!("{}: {error}", path.display())))?;
        kept.insert(site.number, size);
        Ok(())
    }

    /// Keeps what was promised under another name: the next checkpoint takes its place, and an auditor may ask for it.
    pub(super) fn set_aside(&self, site: &Site) -> Result<(), StoreError> {
        let path = self.path(site);
        let aside =
            (1..=u32::MAX).map(|n| path.with_extension(format!("rolled-back-{n}.txt"))).find(|path| !path.exists());
        let aside = aside.expect("numbers do not end");
        fs::copy(&path, &aside)
            .map(|_| ())
            .map_err(|error| StoreError::Refused(format!("cannot write {}: {error}", aside.display())))
    }

    /// What is said at a start that is refused.
    pub(super) fn refusal(&self, site: &Site, broken: &str) -> String {
        format!(
            "the log of {} is not the one that was published: {broken} (published: {}). This is an old back-up, or another \
             database: restore a newer one. To go on with this one, which loses what came later and is recorded in the log: \
             `consent serve --accept-rollback`",
            site.id,
            self.path(site).display()
        )
    }
}

impl Promise {
    /// Whether the log in this database still has all that was signed; else what is missing.
    pub(super) fn keeps(&self, db: &Connection, site: &Site) -> Result<Result<(), String>, StoreError> {
        let size: Option<i64> =
            db.query_row("SELECT size FROM head WHERE site = ?1", [site.number], |row| row.get(0)).optional()?;
        let size = size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
        if size < self.0.size {
            return Ok(Err(format!("it has {size} records, {} were published", self.0.size)));
        }
        if root_at(&mut Stored::new(db, site.number, self.0.size), self.0.size)? != self.0.root {
            return Ok(Err(format!("its first {} records are other ones", self.0.size)));
        }
        Ok(Ok(()))
    }
}

/// Writes a file that is there as a whole or not at all, also after a power cut.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    fs::create_dir_all(folder)?;
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}
