//! The embedded store: SQLite in WAL mode, one writer thread, readers beside it.
//!
//! The writer takes whatever has queued as one transaction (group commit) and answers only after the commit, which with
//! `synchronous=FULL` has synced the WAL. An error from that sync ends the process: what the kernel failed to write once, it may
//! report as written the next time, so nothing after it can be trusted.

mod account;
pub mod copy;
mod events;
mod keys;
mod published;
mod read;
mod recent;
mod users;
mod webhooks;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use consent_core::consent::Consent;
use consent_core::id::{RecordId, SubjectId};
use consent_core::merkle::Hash;
use consent_core::tile::Tile;
use consent_core::time::UnixMillis;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{mpsc, oneshot, watch};

use super::events::{Cursor, Event, Page};
use super::webhooks::{Delivery, Webhook, WebhookStore, Which};
use super::{
    AccountId, Actor, Aside, Change, DecideError, Entry, LinkError, NewDecision, Recorded, Registry, Signers, Site,
    Store, StoreError, Stretch,
};
use crate::clock::Clock;
use crate::metrics::Commits;
use crate::users::Session;

use published::PublishedFiles;
use recent::Recent;
use writer::{Job, Writer};

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many jobs may wait for the writer. More are refused: a queue that grows without bound answers nobody.
    pub queue: usize,
    /// Go on with a log that is shorter than what was published of it, or another one. See [`Sqlite::rolled_back`].
    pub accept_rollback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { queue: 8192, accept_rollback: false }
    }
}

/// How a store does.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Whether the writer lives.
    pub writing: bool,
    /// Whether the last transaction was undone.
    pub failing: bool,
    /// Jobs that wait for the writer.
    pub queued: usize,
    /// Bytes in the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes in the database file.
    pub database_bytes: u64,
    /// How often sites, notices and keys were changed.
    pub generation: i64,
    /// How many records each log has, by site.
    pub sizes: Vec<(String, u64)>,
}

/// The name of the thread that writes.
const WRITER: &str = "consent-writer";

/// The WAL is copied into the database beside the writer once it has so many pages (16 MiB).
const CHECKPOINT_PAGES: i64 = 4096;

/// How often the registry is compared with what other processes may have written.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// The embedded store.
pub struct Sqlite {
    shared: Arc<Shared>,
    jobs: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    rolled_back: Vec<(Arc<Site>, String)>,
}

/// What writer, readers and watcher share.
pub(super) struct Shared {
    path: PathBuf,
    readers: Mutex<Vec<Connection>>,
    registry: RwLock<Arc<Registry>>,
    reloading: Mutex<()>,
    recent: Recent,
    commits: watch::Sender<()>,
    /// Another process may serve this folder: what is written here must reach what it remembers.
    beside: AtomicBool,
    stopping: (Mutex<bool>, std::sync::Condvar),
    /// All but the newest of the WAL is in the database: the writer is asked to copy the rest, so that it begins anew.
    rewind: AtomicBool,
    counted: Commits,
    /// Whether the last transaction was undone.
    failing: AtomicBool,
    published: PublishedFiles,
}

impl Sqlite {
    /// Opens the database in this folder, makes or migrates it, and checks that its logs are whole at their edge.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be opened, is newer than this binary, its tree does not match its signed head, or it is older
    /// than what was published.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>, signers: Arc<dyn Signers>) -> Result<Self, StoreError> {
        Self::open_with(folder, clock, signers, Options::default())
    }

    /// As [`Self::open`], with other options.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(
        folder: &Path,
        clock: Arc<dyn Clock>,
        signers: Arc<dyn Signers>,
        options: Options,
    ) -> Result<Self, StoreError> {
        let path = folder.join("consent.db");
        let mut connection = connect(&path, false)?;
        super::migrate::run(&mut connection, clock.now())?;
        let published = PublishedFiles::new(folder);
        let promised = published.read()?;
        let registry = read::registry(&connection)?;
        let sites = registry.sites.clone();
        let shared = Arc::new(Shared {
            registry: RwLock::new(Arc::new(registry)),
            reloading: Mutex::default(),
            recent: Recent::default(),
            commits: watch::Sender::default(),
            beside: AtomicBool::new(false),
            path,
            readers: Mutex::default(),
            stopping: Default::default(),
            rewind: AtomicBool::new(false),
            counted: Commits::default(),
            failing: AtomicBool::new(false),
            published,
        });
        let (jobs, queue) = mpsc::channel(options.queue.max(1));
        let writer = Writer::new(connection, Arc::clone(&shared), clock, signers)?;
        let mut rolled_back = Vec::new();
        for promise in promised {
            let Some(site) = sites.iter().find(|site| promise.is_of(site)) else {
                // The whole log is gone. Those that are there say so, since it cannot.
                let broken = promise.in_words();
                if !options.accept_rollback {
                    return Err(StoreError::Refused(format!("{broken}. {}", published::WAY_OUT)));
                }
                shared.published.set_aside(&promise, true)?;
                rolled_back.extend(sites.iter().map(|site| (Arc::clone(site), broken.clone())));
                continue;
            };
            let Err(broken) = promise.keeps(writer.db(), site)? else { continue };
            if !options.accept_rollback {
                return Err(StoreError::Refused(shared.published.refusal(site, &broken)));
            }
            shared.published.set_aside(&promise, false)?;
            rolled_back.push((Arc::clone(site), broken));
        }
        let threads = vec![
            spawn(WRITER, move || writer.run(queue))?,
            spawn("consent-keeper", {
                let shared = Arc::clone(&shared);
                move || shared.keep()
            })?,
        ];
        Ok(Self { shared, jobs: Some(jobs), threads, rolled_back })
    }

    /// The logs that were older than what was published of them, with what is missing: empty unless that was accepted
    /// ([`Options::accept_rollback`]). Who accepts it has it recorded ([`Change::Restored`]).
    pub fn rolled_back(&self) -> &[(Arc<Site>, String)] {
        &self.rolled_back
    }

    /// Compares a log with a checkpoint of it that a witness has cosigned: `Some` says what is missing.
    ///
    /// What was accepted once is not found again. If it is accepted now, the checkpoint is kept aside like one of our own, and who
    /// accepts it has it recorded ([`Change::Restored`]).
    ///
    /// # Errors
    /// [`StoreError::Refused`] if something is missing and that is not accepted.
    pub fn compare_with_witness(
        &self,
        site: &Site,
        witness: &str,
        note: &str,
        accept: bool,
    ) -> Result<Option<String>, StoreError> {
        let broken = match site.keys()?.open(note) {
            Ok(seen) if self.shared.published.was_set_aside(site, &seen) => return Ok(None),
            Ok(seen) => match self.shared.read(|db| published::extends(db, site, &seen))? {
                Ok(()) => return Ok(None),
                Err(broken) => broken,
            },
            Err(error) => format!("what was published cannot be held against it: {error}"),
        };
        let broken = format!("{broken}, and cosigned by {witness}");
        if !accept {
            let id = &site.id;
            let way = published::WAY_OUT;
            return Err(StoreError::Refused(format!(
                "the log of {id} is not the one that was published: {broken}. {way}"
            )));
        }
        self.shared.published.keep_aside(site, note)?;
        Ok(Some(broken))
    }

    /// Keeps a published checkpoint with what witnesses have signed: as the one that is shown to the world, and beside the database.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written.
    pub async fn keep_cosigned(&self, site: &Arc<Site>, size: u64, note: String) -> Result<(), StoreError> {
        let (number, text, shared) = (site.number, note.clone(), Arc::clone(&self.shared));
        self.ask(|reply| Job::Cosigned { site: number, size, note: text, reply }).await??;
        let site = Arc::clone(site);
        let kept = tokio::task::spawn_blocking(move || shared.published.keep(&site, &note, true)).await;
        kept.map_err(|_| StoreError::Closed)?
    }

    /// The newest published checkpoint that enough witnesses have cosigned, with the size that it signs.
    ///
    /// # Errors
    /// As [`Store::consent`].
    pub fn cosigned(&self, site: &Site) -> Result<Option<(u64, String)>, StoreError> {
        self.shared.read(|db| read::cosigned(db, site))
    }

    /// How it does.
    ///
    /// # Errors
    /// As [`Store::consent`].
    pub fn condition(&self) -> Result<Condition, StoreError> {
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let queue = self.jobs.as_ref().filter(|jobs| !jobs.is_closed());
        let (generation, sizes) = self.shared.read(|db| Ok((generation(db)?, read::sizes(db)?)))?;
        Ok(Condition {
            writing: queue.is_some(),
            failing: self.shared.failing.load(Ordering::Relaxed),
            queued: queue.map_or(0, |jobs| jobs.max_capacity() - jobs.capacity()),
            wal_bytes: bytes(&self.shared.path.with_extension("db-wal")),
            database_bytes: bytes(&self.shared.path),
            generation,
            sizes,
        })
    }

    /// What the writer has done.
    pub fn counted(&self) -> &Commits {
        &self.shared.counted
    }

    /// When the last record of a log was recorded, if it has one.
    ///
    /// # Errors
    /// As [`Store::consent`].
    pub fn last_recorded(&self, site: &Site) -> Result<Option<UnixMillis>, StoreError> {
        self.shared.read(|db| read::last_recorded(db, site))
    }

    /// For a command that records decisions while a server may run: with each transaction the server is told to forget what it
    /// remembers of subjects, so that within a quarter of a second no check there says what no longer holds.
    pub fn write_beside_a_server(&self) {
        self.shared.beside.store(true, Ordering::Relaxed);
    }

    /// Asks SQLite whether its file is whole.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] with the first thing that is not.
    pub fn integrity(&self) -> Result<String, StoreError> {
        self.shared.read(read::integrity)
    }

    /// Folds the records of every subject again and compares with what is kept for checks; returns how many there are.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] for the first that differs.
    pub fn compare_folds(&self, site: &Site) -> Result<u64, StoreError> {
        self.shared.read(|db| read::compare_folds(db, site))
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        jobs.try_send(job(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answer.await.map_err(|_| StoreError::Closed)
    }
}

impl Drop for Sqlite {
    /// Finishes what was taken, then closes.
    fn drop(&mut self) {
        *self.shared.stopping.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.stopping.1.notify_all();
        // A connection that may only read cannot copy the WAL into the database when it is the last to close: these go first, so that
        // what is left behind is one file.
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // The keeper, which was started last, has ended before the writer is told to: where two connections close at once, each
        // sees the other, and neither copies the WAL.
        for thread in self.threads.drain(..).rev() {
            if thread.thread().name() == Some(WRITER) {
                self.jobs = None;
            }
            if thread.join().is_err() {
                tracing::error!("a store thread panicked");
            }
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| StoreError::Refused(format!("cannot start the thread {name}: {error}")))
}

/// Opens a connection with the settings that durability and erasure rely on.
pub(super) fn connect(path: &Path, read_only: bool) -> Result<Connection, StoreError> {
    let access = if read_only {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    } else {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    };
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.busy_timeout(Duration::from_secs(10))?;
    if !read_only {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // FULL: the WAL is synced at every commit, not only when it is copied.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "secure_delete", "ON")?;
        // The keeper copies the WAL; the writer does it itself only if the keeper cannot follow (256 MiB).
        connection.pragma_update(None, "wal_autocheckpoint", 65_536)?;
    }
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    Ok(connection)
}

/// Ends the process if an error means that the disk did not take what it was given.
pub(super) fn end_on_io_error(error: &rusqlite::Error) {
    let broken = matches!(
        error,
        rusqlite::Error::SqliteFailure(failure, _) if failure.code == rusqlite::ErrorCode::SystemIoFailure
    );
    if broken {
        tracing::error!(%error, "the disk did not take a write: stopping, since nothing written after it could be trusted");
        std::process::exit(70);
    }
}

impl Shared {
    pub(super) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the registry anew.
    pub(super) fn reload(&self, db: &Connection) -> Result<Arc<Registry>, StoreError> {
        self.replace(|| Ok(Arc::new(read::registry(db)?)))
    }

    /// Puts another registry into the place of this one.
    ///
    /// Made and put in one go: else what one thread has read before a commit could take the place of what another one read after it, and
    /// a key that was revoked would open for a moment more. The writer commits in `make` what it then puts.
    pub(super) fn replace(
        &self,
        make: impl FnOnce() -> Result<Arc<Registry>, StoreError>,
    ) -> Result<Arc<Registry>, StoreError> {
        let _one_after_the_other = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = make()?;
        *self.registry.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&registry);
        Ok(registry)
    }

    /// Lends a reading connection to `read`.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, true)?,
        };
        let answer = read(&connection)?;
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(answer)
    }

    /// Copies the WAL into the database and follows what other processes change, until told to stop.
    fn keep(&self) {
        let connection = match connect(&self.path, false) {
            Ok(connection) => connection,
            Err(error) => return tracing::error!(%error, "the store's keeper cannot start"),
        };
        let mut generation = generation(&connection).unwrap_or(0);
        let (lock, wake) = &self.stopping;
        let mut stop = lock.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stop {
            stop = wake.wait_timeout(stop, WATCH_EVERY).unwrap_or_else(PoisonError::into_inner).0;
            if let Err(error) = self.look(&connection, &mut generation) {
                tracing::warn!(%error, "the store's keeper");
                if let StoreError::Unavailable(error) = &error {
                    end_on_io_error(error);
                }
            }
        }
    }

    fn look(&self, connection: &Connection, generation: &mut i64) -> Result<(), StoreError> {
        let newest = self::generation(connection)?;
        if newest != *generation {
            self.reload(connection)?;
            self.recent.clear();
            *generation = newest;
        }
        let wal = self.path.with_extension("db-wal");
        let pages = std::fs::metadata(wal).map_or(0, |file| i64::try_from(file.len() / 4096).unwrap_or(i64::MAX));
        if pages > CHECKPOINT_PAGES {
            // PASSIVE never waits for the writer, and the writer never waits for it. While it copies, the writer goes on, so the WAL
            // would grow for as long as there is something to write. So what was written meanwhile is copied in a second go, which is
            // short, and the very last by the writer, between two transactions: then it writes from the beginning of the WAL again.
            if checkpoint(connection)? > CHECKPOINT_PAGES && checkpoint(connection)? > CHECKPOINT_PAGES {
                self.rewind.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// Copies what is in the WAL, as far as no reader still needs the page before; answers how many pages the WAL has.
fn checkpoint(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))?)
}

/// Counts the changes of the registry: every one of them adds to `user_version`.
fn generation(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

impl Store for Sqlite {
    async fn decide(&self, site: &Arc<Site>, decision: NewDecision) -> Result<Recorded, DecideError> {
        let (site, decision) = (Arc::clone(site), Box::new(decision));
        self.ask(|reply| Job::Decide { site, decision, reply }).await?
    }

    async fn change(&self, change: Change, actor: Actor) -> Result<(), StoreError> {
        let change = Box::new(change);
        self.ask(|reply| Job::Change { change, actor, reply }).await?
    }

    async fn link(
        &self,
        site: &Arc<Site>,
        subject: SubjectId,
        account: AccountId,
        actor: &str,
    ) -> Result<(), LinkError> {
        let (site, actor) = (Arc::clone(site), actor.to_owned());
        self.ask(|reply| Job::Link { site, subject, account, actor, reply }).await?
    }

    async fn publish(&self, site: &Arc<Site>) -> Result<String, StoreError> {
        let (of, shared) = (Arc::clone(site), Arc::clone(&self.shared));
        let note = self.ask(|reply| Job::Publish { site: of, reply }).await??;
        let site = Arc::clone(site);
        // It is in the database; the promise beside it is written where it may take its time.
        let kept = tokio::task::spawn_blocking(move || shared.published.keep(&site, &note, false).map(|()| note)).await;
        kept.map_err(|_| StoreError::Closed)?
    }

    fn registry(&self) -> Arc<Registry> {
        self.shared.registry()
    }

    fn consent(&self, site: &Site, subject: &SubjectId) -> Result<Option<Arc<Consent>>, StoreError> {
        let ticket = match self.shared.recent.find(site.number, subject) {
            Ok(consent) => return Ok(Some(consent)),
            Err(ticket) => ticket,
        };
        let Some(consent) = self.shared.read(|db| read::consent(db, site, subject))? else { return Ok(None) };
        let consent = Arc::new(consent);
        self.shared.recent.read(site.number, subject, &ticket, Arc::clone(&consent));
        Ok(Some(consent))
    }

    fn account(&self, site: &Site, account: &AccountId) -> Result<Consent, StoreError> {
        self.shared.read(|db| account::consent(db, site, account))
    }

    fn account_of(&self, site: &Site, subject: &SubjectId) -> Result<Option<Consent>, StoreError> {
        self.shared.read(|db| account::consent_of(db, site, subject))
    }

    fn records(&self, site: &Site, subject: &SubjectId) -> Result<Vec<Entry>, StoreError> {
        self.shared.read(|db| read::records(db, site, subject))
    }

    fn record(&self, site: &Site, subject: &SubjectId, id: &RecordId) -> Result<Option<(Entry, [u8; 32])>, StoreError> {
        self.shared.read(|db| read::record(db, site, subject, id))
    }

    fn find(&self, site: &Site, id: &RecordId) -> Result<Option<Entry>, StoreError> {
        self.shared.read(|db| read::find(db, site, id))
    }

    fn aside(&self, site: &Site, index: u64) -> Result<Aside, StoreError> {
        self.shared.read(|db| read::aside(db, site, index))
    }

    fn staff_acts(&self, site: &Site, before: u64, most: u32) -> Result<Vec<Entry>, StoreError> {
        self.shared.read(|db| read::staff_acts(db, site, before, most))
    }

    fn session(&self, hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        self.shared.read(|db| users::session(db, hash))
    }

    fn checkpoint(&self, site: &Site) -> Result<Option<(u64, String)>, StoreError> {
        self.shared.read(|db| read::checkpoint(db, site))
    }

    fn tile(&self, site: &Site, tile: &Tile) -> Result<Option<Vec<Hash>>, StoreError> {
        self.shared.read(|db| read::tile(db, site, tile))
    }

    fn inclusion(&self, site: &Site, index: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
        self.shared.read(|db| read::inclusion(db, site, index, size))
    }

    fn consistency(&self, site: &Site, from: u64, to: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        self.shared.read(|db| read::consistency(db, site, from, to))
    }

    fn stretch(&self, site: &Site, from: Option<UnixMillis>, to: Option<UnixMillis>) -> Result<Stretch, StoreError> {
        self.shared.read(|db| read::stretch(db, site, from, to))
    }

    fn entries(&self, site: &Site, from: u64, to: u64, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError> {
        self.shared.read(|db| read::entries(db, site, from, to, each))
    }

    fn feed(&self, site: &Site, after: &Cursor, limit: usize, now: UnixMillis) -> Result<Option<Page>, StoreError> {
        self.shared.read(|db| events::page(db, site, after, limit, now))
    }

    fn feed_end(&self, site: &Site, now: UnixMillis) -> Result<Cursor, StoreError> {
        self.shared.read(|db| events::end(db, site, now))
    }

    fn commits(&self) -> watch::Receiver<()> {
        self.shared.commits.subscribe()
    }
}

impl WebhookStore for Sqlite {
    fn event(&self, site: &Site, id: &str) -> Result<Option<Event>, StoreError> {
        self.shared.read(|db| events::event(db, site, id))
    }

    fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let registry = self.shared.registry();
        self.shared.read(|db| webhooks::list(db, &registry))
    }

    fn deliveries(
        &self,
        webhook: &str,
        which: Which,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.shared.read(|db| webhooks::deliveries(db, webhook, which, before, most))
    }

    fn dead_letters(&self, webhook: &str) -> Result<u64, StoreError> {
        self.shared.read(|db| webhooks::dead(db, webhook))
    }

    async fn keep_deliveries(
        &self,
        webhook: &str,
        cursor: Cursor,
        deliveries: Vec<Delivery>,
        gone: bool,
    ) -> Result<(), StoreError> {
        let kept = webhooks::Kept { webhook: webhook.to_owned(), cursor, deliveries, gone };
        self.ask(|reply| Job::Deliveries { kept: Box::new(kept), reply }).await?
    }
}
