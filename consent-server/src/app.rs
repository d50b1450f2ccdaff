//! What everything else is handed: the store, the clock, the log keys.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::{Semaphore, watch};

use crate::attempts::Attempts;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::http::Compressed;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::signers::FileSigners;
use crate::store::sqlite::{Options, Sqlite};
use crate::store::{Site, Store, StoreError};
use crate::witness::ask::Witnesses;

/// The application.
pub struct App {
    /// The store.
    pub store: Arc<Sqlite>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The private keys of the logs.
    pub signers: Arc<FileSigners>,
    /// The folder that all of it is in.
    pub data: PathBuf,
    /// Composed and compressed scripts, by what they were made from.
    pub scripts: Compressed,
    /// Turns true when the server is asked to stop: whoever waits answers at once then.
    pub stopping: watch::Sender<bool>,
    /// Tries to log in.
    pub attempts: Attempts,
    /// Passwords are hashed one after the other: each takes 46 MiB and a core.
    pub hashing: Arc<Semaphore>,
    /// One look through a whole log at a time.
    pub counting: Arc<Semaphore>,
    /// The configuration.
    pub config: Config,
    /// What is counted.
    pub metrics: Metrics,
    /// How often who may ask.
    pub limits: Limits,
    /// Who cosigns the logs.
    pub witnesses: Witnesses,
}

/// Opens what is in this folder for a command, making it if it is not there.
///
/// # Errors
/// If the folder cannot be used, or the store refuses what is in it.
pub fn open(data: &Path) -> anyhow::Result<App> {
    open_with(Config { data: data.to_owned(), ..Config::default() }, false)
}

/// Opens what is in the configured folder, making it if it is not there. `accept_rollback` opens a database that is older than what
/// was published of it; see [`Sqlite::rolled_back`].
///
/// # Errors
/// If the folder cannot be used, or the store refuses what is in it.
pub fn open_with(config: Config, accept_rollback: bool) -> anyhow::Result<App> {
    let data = config.data.as_path();
    std::fs::create_dir_all(data).with_context(|| format!("cannot make the folder {}", data.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot keep others out of {}", data.display()))?;
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let signers = Arc::new(FileSigners::new(data.join("keys")));
    let options = Options { queue: usize::try_from(config.max_queue).unwrap_or(usize::MAX), accept_rollback };
    let store = Sqlite::open_with(data, Arc::clone(&clock), Arc::clone(&signers) as _, options)
        .with_context(|| format!("cannot open the store in {}", data.display()))?;
    Ok(App::new(config, store, clock, signers))
}

/// Keeps other servers out of a folder for as long as the answer lives. Commands may be used beside a server.
///
/// # Errors
/// If another process serves it.
pub fn serve_alone(data: &Path) -> anyhow::Result<File> {
    let path = data.join("serving.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.try_lock().with_context(|| format!("another process serves {} already", data.display()))?;
    Ok(file)
}

impl App {
    /// The application over a store that is open.
    pub fn new(config: Config, store: Sqlite, clock: Arc<dyn Clock>, signers: Arc<FileSigners>) -> Self {
        Self {
            store: Arc::new(store),
            clock,
            signers,
            data: config.data.clone(),
            scripts: Compressed::default(),
            stopping: watch::Sender::new(false),
            attempts: Attempts::default(),
            hashing: Arc::new(Semaphore::new(1)),
            counting: Arc::new(Semaphore::new(1)),
            metrics: Metrics::default(),
            limits: Limits::new(&config),
            witnesses: Witnesses::new(&config),
            config,
        }
    }

    /// The checkpoint that is shown to the world, with the size that it signs. Where witnesses are needed, it is the newest one that
    /// enough of them have cosigned, once there is one.
    ///
    /// # Errors
    /// As [`Store::consent`].
    pub fn shown_checkpoint(&self, site: &Site) -> Result<Option<(u64, String)>, StoreError> {
        if self.config.witness_quorum > 0
            && let Some(cosigned) = self.store.cosigned(site)?
        {
            return Ok(Some(cosigned));
        }
        self.store.checkpoint(site)
    }

    /// Reads much on a thread that answers nobody else.
    ///
    /// # Errors
    /// Those of `read`; [`StoreError::Closed`] if it did not come to its end.
    pub async fn reading<T, E>(
        self: &Arc<Self>,
        read: impl FnOnce(&Self) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let app = Arc::clone(self);
        tokio::task::spawn_blocking(move || read(&app)).await.map_err(|_| StoreError::Closed)?
    }

    /// Passes on that the server is asked to stop.
    pub async fn until(self: Arc<Self>, stop: impl Future<Output = ()>) {
        stop.await;
        self.stopping.send_replace(true);
    }

    /// Publishes the checkpoint of every log that has grown, again and again.
    pub async fn publish_forever(self: Arc<Self>) {
        let every = Duration::from_secs(self.config.publish_every_seconds);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for site in &self.store.registry().sites {
                match self.store.publish(site).await {
                    Ok(note) => {
                        self.metrics.published(site.id.as_str(), Instant::now());
                        Witnesses::collect(&self, site, note);
                    }
                    Err(error) => {
                        tracing::error!(%error, site = %site.id, "the checkpoint of {} was not published", site.id);
                    }
                }
            }
        }
    }
}
