//! What was published of each log, kept as a file beside the database: `published/HASH.txt`.
//!
//! A database that was restored from an old back-up is whole in itself. Only what is outside of it can tell that the world has seen
//! more: at every start each log must still have every record that its last published checkpoint signs.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use consent_core::checkpoint::Checkpoint;
use consent_core::merkle::root_at;
use rusqlite::{Connection, OptionalExtension};

use crate::files::write_whole;
use crate::signers::file_stem;
use crate::store::tree::Stored;
use crate::store::{Site, StoreError};

/// What to do about it.
pub(super) const WAY_OUT: &str = "This is an old back-up, or another database: restore a newer one. To go on with this one, which loses \
                                  what came later and is recorded in the log: `consent serve --accept-rollback`";

/// The folder of the files.
#[derive(Debug)]
pub(super) struct PublishedFiles {
    folder: PathBuf,
    /// What is in each file, by site. Held while one is written, so that no older checkpoint is written over a newer one.
    kept: Mutex<HashMap<i64, u64>>,
}

/// A checkpoint that was published.
pub(super) struct Promise {
    /// What its log's files are called.
    stem: String,
    /// The signed note.
    note: String,
}

impl PublishedFiles {
    pub(super) fn new(data: &Path) -> Self {
        Self { folder: data.join("published"), kept: Mutex::default() }
    }

    fn path(&self, site: &Site) -> PathBuf {
        self.folder.join(format!("{}.txt", file_stem(&site.log_origin)))
    }

    /// What was published of logs, as it lies in the folder.
    ///
    /// To be called before sites and heads are read: another process may publish, and create sites, meanwhile; what it writes may not
    /// look newer than what is read.
    pub(super) fn read(&self) -> Result<Vec<Promise>, StoreError> {
        let refused = |path: &Path, error: &dyn std::fmt::Display| {
            StoreError::Refused(format!("what was published ({}) cannot be read: {error}", path.display()))
        };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(refused(&self.folder, &error)),
        };
        let mut promises = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| refused(&self.folder, &error))?.path();
            // What was put aside has a second ending, what is being written another one.
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(stem) = name.strip_suffix(".txt").filter(|stem| !stem.contains('.')) {
                let stem = stem.to_owned();
                let note = fs::read(&path).map_err(|error| refused(&path, &error))?;
                promises.push(Promise { stem, note: String::from_utf8_lossy(&note).into_owned() });
            }
        }
        promises.sort_by(|a, b| a.stem.cmp(&b.stem));
        Ok(promises)
    }

    /// Keeps a checkpoint that has been published: returns only after it is on disk. `again` writes one of the same size anew.
    pub(super) fn keep(&self, site: &Site, note: &str, again: bool) -> Result<(), StoreError> {
        let size = note.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Of the same size it may be written again: witnesses have signed it since.
        if kept.get(&site.number).is_some_and(|kept| *kept > size || (*kept == size && !again)) {
            return Ok(());
        }
        let path = self.path(site);
        // After a restart it may be there already, and with more signatures.
        if !again && fs::read_to_string(&path).is_ok_and(|kept| kept.starts_with(note)) {
            kept.insert(site.number, size);
            return Ok(());
        }
        write_whole(&path, note.as_bytes())
            .map_err(|error| StoreError::NotWritten(format!("{}: {error}", path.display())))?;
        kept.insert(site.number, size);
        Ok(())
    }

    /// Keeps what was promised under another name: the next checkpoint takes its place, and an auditor may ask for it.
    pub(super) fn set_aside(&self, promise: &Promise, gone: bool) -> Result<(), StoreError> {
        let path = self.folder.join(format!("{}.txt", promise.stem));
        let aside = aside(&path);
        // Of a log that is not there nothing will take the place.
        let done = if gone { fs::rename(&path, &aside) } else { fs::copy(&path, &aside).map(|_| ()) };
        done.map_err(|error| StoreError::Refused(format!("cannot write {}: {error}", aside.display())))
    }

    /// Keeps a checkpoint that others have seen and that the log does not have, as [`Self::set_aside`] does.
    pub(super) fn keep_aside(&self, site: &Site, note: &str) -> Result<(), StoreError> {
        let aside = aside(&self.path(site));
        write_whole(&aside, note.as_bytes())
            .map_err(|error| StoreError::Refused(format!("cannot write {}: {error}", aside.display())))
    }

    /// Whether somebody has accepted already that the log does not have this checkpoint.
    pub(super) fn was_set_aside(&self, site: &Site, checkpoint: &Checkpoint) -> bool {
        let path = self.path(site);
        let text = checkpoint.text();
        (1..=u32::MAX)
            .map(|n| fs::read_to_string(path.with_extension(format!("rolled-back-{n}.txt"))))
            .map_while(Result::ok)
            .any(|note| note.starts_with(&text))
    }

    /// What is said at a start that is refused.
    pub(super) fn refusal(&self, site: &Site, broken: &str) -> String {
        format!(
            "the log of {} is not the one that was published: {broken} (published: {}). {WAY_OUT}",
            site.id,
            self.path(site).display()
        )
    }
}

impl Promise {
    /// Whether it is one of this log.
    pub(super) fn is_of(&self, site: &Site) -> bool {
        self.stem == file_stem(&site.log_origin)
    }

    /// What of it can be said without its log.
    pub(super) fn in_words(&self) -> String {
        let mut lines = self.note.lines();
        let (origin, size) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        format!("a log {origin:?} of which {size:?} records were published is not in this database")
    }

    /// Whether the log in this database still has all that was signed; else what is missing.
    pub(super) fn keeps(&self, db: &Connection, site: &Site) -> Result<Result<(), String>, StoreError> {
        match site.keys()?.open(&self.note) {
            Ok(checkpoint) => extends(db, site, &checkpoint),
            // Older than the log's last key, or the file was changed: either way it is not known to be whole.
            Err(error) => Ok(Err(format!("what was published cannot be held against it: {error}"))),
        }
    }
}

/// Whether a log has all that a checkpoint of it signs; else what is missing.
pub(super) fn extends(db: &Connection, site: &Site, checkpoint: &Checkpoint) -> Result<Result<(), String>, StoreError> {
    let size: Option<i64> =
        db.query_row("SELECT size FROM head WHERE site = ?1", [site.number], |row| row.get(0)).optional()?;
    let size = size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    if size < checkpoint.size {
        return Ok(Err(format!("it has {size} records, {} were published", checkpoint.size)));
    }
    if root_at(&mut Stored::new(db, site.number, checkpoint.size), checkpoint.size)? != checkpoint.root {
        return Ok(Err(format!("its first {} records are other ones", checkpoint.size)));
    }
    Ok(Ok(()))
}

/// A name beside this one that is free.
fn aside(path: &Path) -> PathBuf {
    let free = (1..=u32::MAX).map(|n| path.with_extension(format!("rolled-back-{n}.txt"))).find(|path| !path.exists());
    free.expect("numbers do not end")
}
