//! The follower: what the service knows beyond a visitor's cookie, kept in memory and dropped when the event feed says so.

mod ask;
mod client;
mod follow;
mod known;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use consent_core::id::{ChoiceId, Name, SubjectId};
use consent_core::outline::Outline;
use consent_core::time::UnixMillis;

use crate::judge::{Elsewhere, Knowledge};
use ask::Desk;
use client::{Client, Page};
use known::Known;

/// How to reach the service, and how old what is known may be.
#[derive(Clone)]
pub struct Settings {
    /// The service, such as `http://127.0.0.1:8080`; `https://` with the feature `tls`.
    pub service: String,
    /// The site.
    pub site: String,
    /// A key with the role backend for the site; only the feed needs it.
    pub key: String,
    /// The name of the consent cookie; `consent` unless the site's settings say otherwise.
    pub cookie_name: String,
    /// What is known may be so old; older, the service is asked for each request. 10 s unless set, at least 1 s.
    pub max_age: Duration,
    /// How long to wait for the service's answer before a visitor is denied. 1 s unless set.
    pub timeout: Duration,
    /// Whether subjects of the site are linked to accounts (`PUT …/subjects/{subject}/account`). The feed names the device that revoked,
    /// not the others of its account, so an answer is asked for anew once it is older than `max_age`. True unless set; without
    /// accounts, false spares those questions.
    pub accounts: bool,
    /// For how many subjects something is kept: about 200 bytes each. The oldest are dropped and asked for again. 100,000 unless set.
    pub max_subjects: usize,
}

impl Settings {
    /// With the usual limits.
    pub fn new(service: impl Into<String>, site: impl Into<String>, key: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            site: site.into(),
            key: key.into(),
            cookie_name: "consent".to_owned(),
            max_age: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            accounts: true,
            max_subjects: 100_000,
        }
    }
}

impl fmt::Debug for Settings {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("service", &self.service)
            .field("site", &self.site)
            .field("cookie_name", &self.cookie_name)
            .field("max_age", &self.max_age)
            .field("timeout", &self.timeout)
            .field("accounts", &self.accounts)
            .field("max_subjects", &self.max_subjects)
            .finish_non_exhaustive()
    }
}

/// Why no follower can be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum SettingsError {
    /// The service is not an address that this build can reach.
    Service(String),
    /// The site is not a site's id.
    Site(String),
    /// The key has characters that no key has.
    Key,
    /// The operating system gives no thread.
    Thread(std::io::Error),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(text) if text.starts_with("https://") => {
                write!(f, "{text} needs the feature \"tls\" of consent-tower")
            }
            Self::Service(text) => write!(f, "\"{text}\" is not an address such as http://127.0.0.1:8080"),
            Self::Site(text) => write!(f, "\"{text}\" is not a site"),
            Self::Key => f.write_str("the key is not one that the service gives out"),
            Self::Thread(error) => write!(f, "no thread: {error}"),
        }
    }
}

impl std::error::Error for SettingsError {}

/// Follows a site's event feed and asks the service about those it has not seen; see the crate's own page for what that promises.
///
/// Runs five threads that sleep most of the time and end after it is dropped. Take one for each site and share it.
pub struct Follower {
    shared: Arc<Shared>,
    desk: Desk,
    cookie_name: String,
}

impl Follower {
    /// Starts following. Until the notice in force has been fetched everything is denied, and until the feed has answered everyone is
    /// asked for; [`Self::is_following`] says when that is over.
    ///
    /// # Errors
    /// [`SettingsError`]. A service that is away is none: it is tried again until it is there.
    pub fn start(settings: Settings) -> Result<Self, SettingsError> {
        let client = Arc::new(Client::new(&settings)?);
        let max_age = settings.max_age.max(Duration::from_secs(1));
        let shared = Arc::new(Shared {
            notice: RwLock::new(None),
            known: RwLock::new(Known::new(settings.max_subjects, max_age, settings.accounts)),
            trouble: Mutex::new(None),
        });
        let desk = Desk::open(&client, &shared, settings.timeout).map_err(SettingsError::Thread)?;
        follow::start(client, &shared, max_age).map_err(SettingsError::Thread)?;
        Ok(Self { shared, desk, cookie_name: settings.cookie_name })
    }

    /// Whether the feed is as young as it must be and the notice is known, so that most requests are answered without the service.
    pub fn is_following(&self) -> bool {
        self.notice().is_some() && read(&self.shared.known).is_fresh(Instant::now())
    }

    /// Why the service could not be followed the last time, for a health page or a log; nothing while all is well.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("following", &self.is_following()).finish_non_exhaustive()
    }
}

impl Knowledge for Follower {
    fn notice(&self) -> Option<Arc<Outline>> {
        read(&self.shared.notice).clone()
    }

    fn cookie_name(&self) -> &str {
        &self.cookie_name
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one clock of this crate: a visitor's cookie is judged by the time of its request"
    )]
    fn now(&self) -> UnixMillis {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixMillis::new(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn elsewhere(&self, subject: SubjectId, cookie: &str, choice: &ChoiceId) -> Elsewhere {
        match read(&self.shared.known).of(subject, choice, Instant::now()) {
            Some(true) => Elsewhere::Granted,
            Some(false) => Elsewhere::Denied,
            None => Elsewhere::Ask(Box::pin(self.desk.ask(subject, cookie.to_owned(), choice.clone()))),
        }
    }
}

/// What the threads share.
struct Shared {
    notice: RwLock<Option<Arc<Outline>>>,
    known: RwLock<Known>,
    trouble: Mutex<Option<String>>,
}

impl Shared {
    /// Takes the notice in force. What was kept under another one says nothing any more.
    fn publish(&self, outline: Outline) {
        let mut notice = self.notice.write().unwrap_or_else(PoisonError::into_inner);
        if notice.as_deref() != Some(&outline) {
            *notice = Some(Arc::new(outline));
            drop(notice);
            self.write().clear();
        }
    }

    /// Whether an event speaks of a notice that is newer than the one that is known.
    fn knows_notice(&self, version: u32) -> bool {
        read(&self.notice).as_ref().is_some_and(|outline| outline.version >= version)
    }

    /// Takes a page of the feed. `as_of`, where nothing is left to read, is a time at which nothing had happened that is not in it.
    fn take(&self, page: &Page, as_of: Option<Instant>) {
        let mut known = self.write();
        for event in &page.events {
            match event.subject.as_deref().map(SubjectId::parse) {
                Some(Ok(subject)) => known.drop_subject(subject),
                // Of whom it speaks cannot be read: it may be anybody.
                _ => known.clear(),
            }
        }
        if let Some(as_of) = as_of {
            known.fresh_as_of(as_of);
        }
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// What a lock guards is whole between any two statements, so a panic elsewhere does not spoil it.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn site_of(settings: &Settings) -> Result<Name, SettingsError> {
    Name::parse(&settings.site).map_err(|_| SettingsError::Site(settings.site.clone()))
}
