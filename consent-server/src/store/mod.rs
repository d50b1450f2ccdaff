//! What is kept: the records with their tree, and beside them what erasing can cut.
//!
//! [`Store`] is the narrow trait that every kind of database implements; one conformance suite runs on each of them
//! (`tests/it/store.rs`). All SQL is below this folder.

pub mod events;
mod migrate;
pub use migrate::schema;
mod packed;
mod settings;
pub mod sqlite;
mod tree;
pub mod webhooks;

use std::sync::Arc;

use consent_core::consent::{Consent, Effect};
use consent_core::decision::{Control, Decision, DecisionError, Source};
use consent_core::id::{CategoryId, ChoiceId, Language, RecordId, SiteId, SubjectId};
use consent_core::merkle::{Hash, RangeProof};
use consent_core::note::{SigningKey, VerifyingKey};
use consent_core::notice::Notice;
use consent_core::record::{Action, Hex32, Kind};
use consent_core::rotation::Keys;
use consent_core::tile::Tile;
use consent_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::keys::{ApiKey, Role};
use crate::users::{PasswordHash, Session, User};
use events::{Cursor, Page};
pub use settings::SettingsError;
use webhooks::{Again, Webhook};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Stored data breaks a rule we rely on. Never retried, always paged: it may be tampering.
    #[error("corrupt data in {table}: {what}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What does not fit.
        what: String,
    },
    /// The database did not do it. Waiting may help.
    #[error("database unavailable: {0}")]
    Unavailable(#[source] rusqlite::Error),
    /// Nothing of it was written, and the database is whole: the disk is full, or another process holds it. Waiting may help.
    #[error("not written: {0}")]
    NotWritten(String),
    /// More is waiting to be written than can be held. Waiting helps.
    #[error("too many decisions are waiting to be written")]
    Busy,
    /// The writer has stopped: the process is going down.
    #[error("the store is shut down")]
    Closed,
    /// The database cannot be used as it is.
    #[error("{0}")]
    Refused(String),
    /// What was asked for does not fit what is there. Nothing was written.
    #[error("{0}")]
    Conflict(String),
    /// Who asks was let in, and is not any more: their key or session ended meanwhile. Nothing was written.
    #[error("the key or session has ended")]
    Ended,
    /// Who asks may not do this any more, or to this. Nothing was written.
    #[error("{0}")]
    Forbidden(String),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error)
    }
}

/// Why a decision was not recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// The id was used for something else.
    #[error("the id was used before, for a decision with other content")]
    Conflict,
    /// The notice version is not published.
    #[error("notice version {0} is not published")]
    UnknownNotice(u32),
    /// The notice was never shown in this language.
    #[error("the notice is not offered in {0}")]
    UnknownLanguage(Language),
    /// The semantics refuse it.
    #[error(transparent)]
    Refused(#[from] DecisionError),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The most subjects that one account may have: one a day for as long as any answer can hold.
pub const MAX_DEVICES: usize = 400;

/// The longest account id, in bytes.
pub const MAX_ACCOUNT: usize = 256;

/// The controller's own id of an account. It names a person: `Debug` masks it, and only its keyed hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountId(String);

impl AccountId {
    /// An id of 1 to [`MAX_ACCOUNT`] bytes, taken as it is.
    pub fn parse(text: &str) -> Option<Self> {
        (1..=MAX_ACCOUNT).contains(&text.len()).then(|| Self(text.to_owned()))
    }

    /// The id itself, for the one place that hashes it.
    fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for AccountId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Why a subject was not linked to an account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Nothing was ever recorded for the subject, or it was erased.
    #[error("there is no such subject")]
    UnknownSubject,
    /// It is linked already, and a link does not move.
    #[error("the subject is linked to another account")]
    OtherAccount,
    /// The account has as many subjects as it may have.
    #[error("the account has {MAX_DEVICES} subjects whose answers may still hold, and cannot have more")]
    TooMany,
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a site lets be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteSettings {
    /// The web origins whose pages may post decisions.
    #[schema(min_items = 1, max_items = 64)]
    pub origins: Vec<String>,
    /// The name of the cookie.
    #[serde(default = "default_cookie_name")]
    #[schema(pattern = "^(?!__)[A-Za-z0-9._-]{1,64}$")]
    pub cookie_name: String,
    /// The Domain of the cookie; none for host-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie_domain: Option<String>,
    /// Whether the banner is shown in frames of other sites, where people can refuse but not grant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frames: bool,
}

fn default_cookie_name() -> String {
    "consent".to_owned()
}

/// One web property with its notices, as the running server knows it.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its number in the store.
    pub number: i64,
    /// Its id.
    pub id: SiteId,
    /// The first line of its checkpoints.
    pub log_origin: String,
    /// The public key of its log: the one that signs now.
    pub log_key: String,
    /// How its log came to that key, oldest first; none if it never had another.
    pub hand_overs: Vec<HandedOver>,
    /// Its settings.
    pub settings: SiteSettings,
    /// Its notice versions, from 1 without gaps.
    pub notices: Vec<Arc<Published>>,
}

/// One replacement of a log's key.
#[derive(Debug, Clone)]
pub struct HandedOver {
    /// When.
    pub at: UnixMillis,
    /// The key before, as a vkey.
    pub old: String,
    /// What both keys have signed: a [`HandOver`](consent_core::rotation::HandOver).
    pub note: String,
}

impl Site {
    /// All keys of its log with the sizes they sign, the first one first.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the hand-overs do not lead to the key that signs now.
    pub fn keys(&self) -> Result<Keys, StoreError> {
        keys_of(&self.log_key, &self.hand_overs)
    }

    /// The notice in force.
    pub fn notice(&self) -> Option<&Arc<Published>> {
        self.notices.last()
    }

    /// One version.
    pub fn version(&self, version: u32) -> Option<&Arc<Published>> {
        self.notices.get(usize::try_from(version).ok()?.checked_sub(1)?)
    }
}

fn keys_of(log_key: &str, hand_overs: &[HandedOver]) -> Result<Keys, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt { table: "hand_over", what };
    let first = hand_overs.first().map_or(log_key, |first| &first.old);
    let first = VerifyingKey::parse(first).map_err(|error| corrupt(error.to_string()))?;
    let keys = Keys::follow(first, hand_overs.iter().map(|hand_over| hand_over.note.as_str()));
    let whole = keys.all().len() == hand_overs.len() + 1 && keys.current().to_string() == log_key;
    if whole { Ok(keys) } else { Err(corrupt(format!("the keys of {log_key} do not follow one another"))) }
}

/// A notice version with what is derived from it once.
#[derive(Debug)]
pub struct Published {
    /// The notice.
    pub notice: Notice,
    /// SHA-256 of its canonical bytes.
    pub sha256: Hex32,
    /// When it came into force.
    pub published_at: UnixMillis,
    /// What the rules need of it.
    pub outline: consent_core::outline::Outline,
}

/// Sites, notices and keys: small, read at every request, changed by few. Replaced as a whole when it changes.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// All sites.
    pub sites: Vec<Arc<Site>>,
    /// All keys, revoked ones too.
    pub keys: Vec<ApiKey>,
    /// All users, disabled ones too.
    pub users: Vec<User>,
}

impl Registry {
    /// The site of this id.
    pub fn site(&self, id: &str) -> Option<&Arc<Site>> {
        self.sites.iter().find(|site| site.id.as_str() == id)
    }

    /// The key of this id.
    pub fn key(&self, id: &str) -> Option<&ApiKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// The user of this id.
    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// The user of this name, as [`crate::users::name`] writes it.
    pub fn user_named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }
}

/// A decision to record.
#[derive(Debug, Clone)]
pub struct NewDecision {
    /// What was decided.
    pub decision: Decision,
    /// By whom, if they are known already. Without, a one-off subject is made.
    pub subject: Option<SubjectId>,
    /// The notice version that was shown.
    pub notice: u32,
    /// The language it was shown in.
    pub language: Language,
    /// The control that was used.
    pub control: Option<Control>,
    /// The widget's build.
    pub widget: Option<Hex32>,
    /// For a decision on a person's behalf: how the controller learnt of it, the evidence, and which key says so.
    pub behalf: Option<Behalf>,
}

/// What comes with a decision on a person's behalf.
#[derive(Debug, Clone)]
pub struct Behalf {
    /// How the controller learnt of it.
    pub source: Source,
    /// The evidence text.
    pub evidence: Option<String>,
    /// The id of the key.
    pub actor: String,
    /// For a decision taken over from an earlier system: what is known of it beside the evidence.
    pub earlier: Option<Earlier>,
}

/// What is known of a decision that an earlier system recorded.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// The text that the person was shown. Without it the decision is kept and grants nothing.
    pub notice_text: Option<String>,
    /// What was refused; everything that was not granted if this is not said.
    pub refused: Option<Vec<ChoiceId>>,
}

impl Behalf {
    /// The text that is kept beside the record.
    pub fn text(&self) -> Option<String> {
        let shown = self.earlier.as_ref().and_then(|earlier| earlier.notice_text.as_deref());
        match (self.evidence.as_deref(), shown) {
            (evidence, None) => evidence.map(str::to_owned),
            (None, Some(shown)) => Some(format!("Shown:\n{shown}")),
            (Some(evidence), Some(shown)) => Some(format!("{evidence}\n\nShown:\n{shown}")),
        }
    }

    /// Whether the text that the person was shown is there. Who calls the API hands it in as the evidence.
    pub fn shown(&self) -> bool {
        let text = self.earlier.as_ref().map_or(&self.evidence, |earlier| &earlier.notice_text);
        text.as_deref().is_some_and(has_words)
    }
}

/// Whether a text says anything: evidence that does not is none.
pub fn has_words(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// A decision that is on disk.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// It was there before: the same decision again.
    pub repeated: bool,
    /// Its index in the log.
    pub index: u64,
    /// When it was recorded.
    pub recorded_at: UnixMillis,
    /// What it did when it was recorded.
    pub effect: Effect,
    /// Whose it is.
    pub subject: SubjectId,
    /// What holds for them now.
    pub consent: Consent,
}

/// Who makes a change. The store asks again whether they may, inside the transaction that makes it: between the moment somebody is let in
/// and that one lie a body that comes slowly, a hash, a queue.
#[derive(Debug, Clone)]
pub enum Actor {
    /// Whoever has this machine, by this name: the command line. They may do everything.
    Machine(&'static str),
    /// A key.
    Key {
        /// Its id.
        id: String,
        /// SHA-256 of the secret that was shown.
        secret: [u8; 32],
        /// The role that it needs for this.
        needed: Role,
    },
    /// A user who is logged in.
    Session {
        /// Their id.
        user: String,
        /// SHA-256 of the session's secret.
        hash: [u8; 32],
        /// The role that they need for this.
        needed: Role,
    },
    /// A user in what concerns only themselves: logging in and out.
    User(String),
}

impl Actor {
    /// What the record calls them.
    pub fn name(&self) -> &str {
        match self {
            Self::Machine(name) => name,
            Self::Key { id, .. } => id,
            Self::Session { user, .. } | Self::User(user) => user,
        }
    }
}

/// What is done to the registry, with who does it. Each is a record of the site's log in the same transaction.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new site; its log starts with this record.
    CreateSite {
        /// Its id.
        id: SiteId,
        /// The first line of its checkpoints.
        log_origin: String,
        /// Its settings.
        settings: SiteSettings,
    },
    /// New settings for a site.
    UpdateSite {
        /// Which.
        site: SiteId,
        /// What they are from now on.
        settings: SiteSettings,
    },
    /// A notice version comes into force.
    PublishNotice {
        /// Of which site.
        site: SiteId,
        /// The version.
        notice: Box<Notice>,
        /// The categories it is material for.
        material: Vec<CategoryId>,
    },
    /// A new key.
    CreateKey(ApiKey),
    /// A key ends.
    RevokeKey {
        /// Its id.
        id: String,
    },
    /// A new webhook.
    CreateWebhook(Box<Webhook>),
    /// A webhook ends.
    RevokeWebhook {
        /// Of which site.
        site: SiteId,
        /// Its id.
        id: String,
    },
    /// Deliveries of a webhook are sent again.
    Redeliver {
        /// Of which site.
        site: SiteId,
        /// The id of the webhook.
        id: String,
        /// Which of them.
        which: Again,
    },
    /// Records of an earlier system were taken over.
    Import {
        /// Into which site.
        site: SiteId,
        /// How many, in words.
        target: String,
    },
    /// A key gets another secret.
    RotateKey {
        /// Its id.
        id: String,
        /// SHA-256 of the new secret.
        hash: [u8; 32],
        /// Until when the present secret opens too.
        until: UnixMillis,
    },
    /// A new user.
    CreateUser(User),
    /// A user changes. Sessions end with a new password, and when the user is disabled.
    UpdateUser {
        /// Their id.
        id: String,
        /// What changes.
        update: UserUpdate,
    },
    /// A user goes, with their name.
    RemoveUser {
        /// Their id.
        id: String,
    },
    /// A user logged in: the session and the record of it.
    Login {
        /// Their id.
        user: String,
        /// SHA-256 of the session's secret.
        hash: [u8; 32],
        /// The hash that their password was compared with. It must be theirs still.
        password: PasswordHash,
    },
    /// A user logged out.
    Logout {
        /// Their id.
        user: String,
        /// SHA-256 of the session's secret.
        hash: [u8; 32],
    },
    /// A user is kept out for a while.
    Lock {
        /// Their id.
        user: String,
    },
    /// A session is in use. Not recorded.
    Touch {
        /// SHA-256 of the session's secret.
        hash: [u8; 32],
    },
    /// Records were read or exported by an officer.
    Access {
        /// Of which site.
        site: SiteId,
        /// How.
        action: Action,
        /// What, in words.
        target: String,
    },
    /// A log gets another key. The new private key is there already ([`Signers::replace`]).
    RotateLogKey {
        /// Of which site.
        site: SiteId,
        /// The new key, as a vkey.
        key: String,
    },
    /// A log goes on from a state that is older than what was published, because an operator said so.
    Restored {
        /// Of which site.
        site: SiteId,
        /// From what to what, in words.
        target: String,
    },
}

/// What changes of a user; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct UserUpdate {
    /// Their role.
    pub role: Option<Role>,
    /// Their sites.
    pub sites: Option<Vec<SiteId>>,
    /// Their password.
    pub password: Option<PasswordHash>,
    /// Whether they are kept out.
    pub disabled: Option<bool>,
}

/// The texts whose HMACs are in a leaf, as far as they are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aside {
    /// Who did it.
    pub actor: Option<String>,
    /// On what.
    pub target: Option<String>,
    /// The evidence of a decision on a person's behalf.
    pub evidence: Option<String>,
}

/// One leaf with its index.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its index in the log.
    pub index: u64,
    /// Its canonical bytes.
    pub leaf: Vec<u8>,
}

/// A stretch of a log for an export, with all that proves it.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The first index.
    pub from: u64,
    /// One past the last.
    pub to: u64,
    /// The published checkpoint, as a signed note.
    pub checkpoint: String,
    /// The size of the tree it signs.
    pub size: u64,
    /// The hashes left and right of the stretch.
    pub proof: RangeProof,
}

/// What any database must do.
///
/// Reads are short look-ups and may be made from async code; [`Store::entries`] and [`Store::stretch`] read more and belong on a
/// thread that may block.
pub trait Store: Send + Sync + 'static {
    /// Records a decision: returns only after it is on disk.
    fn decide(
        &self,
        site: &Arc<Site>,
        decision: NewDecision,
    ) -> impl Future<Output = Result<Recorded, DecideError>> + Send;

    /// Changes sites, notices or keys on behalf of `actor`: returns only after it is on disk and in the registry. [`StoreError::Ended`] or
    /// [`StoreError::Forbidden`] if they may not, at that moment and with the sites that it touches then.
    fn change(&self, change: Change, actor: Actor) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Links a subject to an account on behalf of `actor`, and records that it was: returns only after it is on disk. The same link
    /// again changes and records nothing.
    fn link(
        &self,
        site: &Arc<Site>,
        subject: SubjectId,
        account: AccountId,
        actor: &str,
    ) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Publishes the head of a log as its checkpoint, if it has grown since; returns the one that is published then.
    fn publish(&self, site: &Arc<Site>) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// Sites, notices and keys.
    fn registry(&self) -> Arc<Registry>;

    /// What holds for a subject, if it is known.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer or its data is corrupt.
    fn consent(&self, site: &Site, subject: &SubjectId) -> Result<Option<Arc<Consent>>, StoreError>;

    /// What holds for an account; that of someone nobody has heard of for one without subjects.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn account(&self, site: &Site, account: &AccountId) -> Result<Consent, StoreError>;

    /// What holds for the account that a subject is linked to, if it is linked.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn account_of(&self, site: &Site, subject: &SubjectId) -> Result<Option<Consent>, StoreError>;

    /// The records of a subject, oldest first; none for an unknown one.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn records(&self, site: &Site, subject: &SubjectId) -> Result<Vec<Entry>, StoreError>;

    /// One record of a subject with its opening, if it is theirs.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn record(&self, site: &Site, subject: &SubjectId, id: &RecordId) -> Result<Option<(Entry, [u8; 32])>, StoreError>;

    /// One record, whoever's it is.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn find(&self, site: &Site, id: &RecordId) -> Result<Option<Entry>, StoreError>;

    /// The texts beside a record.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn aside(&self, site: &Site, index: u64) -> Result<Aside, StoreError>;

    /// At most `most` records of what officers, admins and commands did before this index, latest first.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn staff_acts(&self, site: &Site, before: u64, most: u32) -> Result<Vec<Entry>, StoreError>;

    /// The session of this hash, live or not.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn session(&self, hash: &[u8; 32]) -> Result<Option<Session>, StoreError>;

    /// The published checkpoint and the size it signs.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn checkpoint(&self, site: &Site) -> Result<Option<(u64, String)>, StoreError>;

    /// A tile of the published tree, if that has it.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn tile(&self, site: &Site, tile: &Tile) -> Result<Option<Vec<Hash>>, StoreError>;

    /// The inclusion proof of a record in the tree of this size.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn inclusion(&self, site: &Site, index: u64, size: u64) -> Result<Vec<Hash>, StoreError>;

    /// The proof that the published tree of `to` records extends that of `from`; `None` if it has fewer than `to`, or `from` is
    /// above `to`.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn consistency(&self, site: &Site, from: u64, to: u64) -> Result<Option<Vec<Hash>>, StoreError>;

    /// The stretch of the published log whose records lie in `[from, to)`, with one neighbour on each side where there is one.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn stretch(&self, site: &Site, from: Option<UnixMillis>, to: Option<UnixMillis>) -> Result<Stretch, StoreError>;

    /// Hands the leaves of `[from, to)` to `each` in order, until it returns `false`.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn entries(&self, site: &Site, from: u64, to: u64, each: &mut dyn FnMut(Entry) -> bool) -> Result<(), StoreError>;

    /// Reads the event feed on from a place, at most `limit` events; `None` if the log does not reach to that place. Belongs on a
    /// thread that may block.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn feed(&self, site: &Site, after: &Cursor, limit: usize, now: UnixMillis) -> Result<Option<Page>, StoreError>;

    /// The place behind every event there is.
    ///
    /// # Errors
    /// As [`Store::consent`].
    fn feed_end(&self, site: &Site, now: UnixMillis) -> Result<Cursor, StoreError>;

    /// Changes after each commit of this process, so that whoever follows the feed need not ask again and again.
    fn commits(&self) -> tokio::sync::watch::Receiver<()>;
}

/// Where the private keys of the logs are: files outside the database.
pub trait Signers: Send + Sync + 'static {
    /// The private key to this public one.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if there is none that can be read.
    fn signer(&self, key: &VerifyingKey) -> Result<SigningKey, StoreError>;

    /// Makes and keeps the first key of a log.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if it cannot be written.
    fn create(&self, log_origin: &str) -> Result<SigningKey, StoreError>;

    /// Makes and keeps a further key of a log, beside those that it has.
    ///
    /// # Errors
    /// As [`Self::create`].
    fn replace(&self, log_origin: &str) -> Result<SigningKey, StoreError>;
}

impl Change {
    /// What it is recorded as; `None` if it is not.
    pub(crate) fn kind(&self) -> Option<(Kind, Action)> {
        Some(match self {
            Self::CreateSite { .. } => (Kind::Site, Action::Create),
            Self::UpdateSite { .. } | Self::CreateWebhook(_) | Self::RevokeWebhook { .. } | Self::Redeliver { .. } => {
                (Kind::Site, Action::Update)
            }
            Self::PublishNotice { .. } => (Kind::Notice, Action::Create),
            Self::CreateKey(_) => (Kind::Key, Action::Create),
            Self::RevokeKey { .. } => (Kind::Key, Action::Revoke),
            Self::Import { .. } => (Kind::Log, Action::Create),
            Self::Restored { .. } => (Kind::Log, Action::Restore),
            Self::RotateKey { .. } | Self::RotateLogKey { .. } => (Kind::Key, Action::Rotate),
            Self::CreateUser(_) => (Kind::User, Action::Create),
            Self::UpdateUser { .. } => (Kind::User, Action::Update),
            Self::RemoveUser { .. } => (Kind::User, Action::Revoke),
            Self::Login { .. } => (Kind::Access, Action::Login),
            Self::Logout { .. } => (Kind::Access, Action::Logout),
            Self::Lock { .. } => (Kind::Access, Action::Lock),
            Self::Access { action, .. } => (Kind::Access, *action),
            Self::Touch { .. } => return None,
        })
    }

    /// Whether sites, notices, keys or users are others after it.
    pub(crate) fn changes_registry(&self) -> bool {
        !matches!(
            self,
            Self::Import { .. }
                | Self::Restored { .. }
                | Self::Access { .. }
                | Self::Login { .. }
                | Self::Logout { .. }
                | Self::Lock { .. }
                | Self::Touch { .. }
        )
    }

    /// What it is done to, in words for the record of this site.
    pub(crate) fn target(&self, site: &SiteId, before: &Registry) -> Option<String> {
        Some(match self {
            Self::CreateSite { log_origin, .. } => log_origin.clone(),
            Self::UpdateSite { settings, .. } => settings.to_json(),
            Self::CreateKey(key) => format!("{} key {}", key.role.as_str(), key.id),
            Self::RevokeKey { id } => format!("key {id}"),
            Self::RotateKey { id, until, .. } => format!("key {id}, the secret before ends {until}"),
            Self::RotateLogKey { key, .. } => format!("log key, from now on {key}"),
            Self::CreateUser(user) => format!("{} {}", user.role.as_str(), user.id),
            Self::UpdateUser { id, update } => {
                let sites = before.user(id).map(|user| &*user.sites).unwrap_or_default();
                format!("user {id}: {}", update.in_words(site, sites))
            }
            Self::RemoveUser { id } => format!("user {id}"),
            Self::CreateWebhook(webhook) => format!("webhook {} to {}", webhook.id, webhook.url),
            Self::RevokeWebhook { id, .. } => format!("webhook {id} revoked"),
            Self::Redeliver { id, .. } => format!("webhook {id} redelivers"),
            Self::Import { target, .. } | Self::Access { target, .. } | Self::Restored { target, .. } => target.clone(),
            Self::Lock { user } => format!("user {user}, after too many wrong passwords"),
            Self::PublishNotice { .. } | Self::Login { .. } | Self::Logout { .. } | Self::Touch { .. } => return None,
        })
    }
}

impl SiteSettings {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("settings hold only text")
    }
}

impl UserUpdate {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.role.is_none() && self.sites.is_none() && self.password.is_none() && self.disabled.is_none()
    }

    /// For the record of one site, which does not name others. `before` are the user's sites until now.
    fn in_words(&self, site: &SiteId, before: &[SiteId]) -> String {
        let mut words = Vec::new();
        words.extend(self.role.map(|role| format!("role {}", role.as_str())));
        words.extend(self.sites.as_ref().map(|sites| {
            let words = match (before.contains(site), sites.contains(site)) {
                (false, true) => "this site added",
                (true, false) => "this site taken",
                _ => "other sites",
            };
            words.to_owned()
        }));
        words.extend(self.password.as_ref().map(|_| "password".to_owned()));
        words.extend(self.disabled.map(|disabled| if disabled { "disabled" } else { "enabled" }.to_owned()));
        words.join(", ")
    }
}

/// The sites that a change touches, and is recorded for: those before it, which the registry says, and those after it.
pub(crate) fn sites_of(change: &Change, registry: &Registry) -> Vec<SiteId> {
    let of_user = |id: &str| registry.user(id).map(|user| user.sites.clone()).unwrap_or_default();
    let mut sites = match change {
        Change::CreateSite { id, .. } => vec![id.clone()],
        Change::UpdateSite { site, .. }
        | Change::PublishNotice { site, .. }
        | Change::RevokeWebhook { site, .. }
        | Change::Redeliver { site, .. }
        | Change::Import { site, .. }
        | Change::Access { site, .. }
        | Change::RotateLogKey { site, .. }
        | Change::Restored { site, .. } => vec![site.clone()],
        Change::CreateWebhook(webhook) => vec![webhook.site.clone()],
        Change::CreateKey(key) => key.sites.clone(),
        Change::RevokeKey { id } | Change::RotateKey { id, .. } => {
            registry.key(id).map(|key| key.sites.clone()).unwrap_or_default()
        }
        Change::CreateUser(user) => user.sites.clone(),
        Change::UpdateUser { id, update } => {
            of_user(id).into_iter().chain(update.sites.iter().flatten().cloned()).collect()
        }
        Change::RemoveUser { id } => of_user(id),
        Change::Login { user, .. } | Change::Logout { user, .. } | Change::Lock { user } => of_user(user),
        Change::Touch { .. } => Vec::new(),
    };
    sites.sort();
    sites.dedup();
    sites
}
