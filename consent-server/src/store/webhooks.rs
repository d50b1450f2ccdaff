//! What is kept about webhooks: who is told of events by HTTP, how far they are, and what came of each delivery.

use consent_core::id::SiteId;
use consent_core::time::UnixMillis;

use super::events::{Cursor, Event, EventType};
use super::{Site, StoreError};

/// Somebody who is told of a site's events by HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its public name.
    pub id: String,
    /// Whose events.
    pub site: SiteId,
    /// Where they are sent.
    pub url: String,
    /// The types that are wanted.
    pub types: Vec<EventType>,
    /// When it was made; it is told of what comes later.
    pub created_at: UnixMillis,
    /// Up to where everything was delivered or given up.
    pub cursor: Cursor,
    /// Since when, and why, nothing is sent any more.
    pub ended: Option<(UnixMillis, Ended)>,
}

impl Webhook {
    /// Whether it is told of an event. Who wants to hear of revokes hears of everything that denies something: a grant of one category
    /// may be the revoke of another.
    pub fn wants(&self, event: &Event) -> bool {
        self.types.contains(&event.kind) || (self.types.contains(&EventType::Revoke) && !event.denied.is_empty())
    }
}

/// Why a webhook is sent nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The operator revoked it.
    Revoked,
    /// Its receiver answered 410 Gone.
    Gone,
}

impl Ended {
    /// As text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Gone => "gone",
        }
    }

    /// The reason of this text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Revoked, Self::Gone].into_iter().find(|why| why.as_str() == text)
    }
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It failed and is tried again; what comes later waits for it.
    Retrying,
    /// The receiver has it.
    Delivered,
    /// It was given up.
    Dead,
    /// It is to be sent again, beside the others.
    Again,
    /// It does not hold any more: there is nothing to send.
    Void,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Retrying, Self::Delivered, Self::Dead, Self::Again, Self::Void];

    /// As text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Again => "again",
            Self::Void => "void",
        }
    }

    /// The state of this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// One event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its number; none until it is kept.
    pub n: Option<u64>,
    /// The id of the event.
    pub event: String,
    /// Its type.
    pub kind: EventType,
    /// How it stands.
    pub state: State,
    /// How often it was sent.
    pub attempts: u32,
    /// The status of the last answer, if there was one.
    pub status: Option<u16>,
    /// Why there was none, in a few words that name no address.
    pub error: Option<String>,
    /// When it was first sent.
    pub first_at: UnixMillis,
    /// When it was last sent.
    pub last_at: UnixMillis,
    /// When it is tried again.
    pub next_at: Option<UnixMillis>,
    /// While it is retried: the cursor behind it.
    pub place: Option<Cursor>,
}

/// Which deliveries of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that are retried or to be sent again, oldest first.
    Open,
    /// Those that were given up, newest first.
    Dead,
    /// All, newest first.
    All,
}

/// Which deliveries are to be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// Those that were given up.
    Dead,
    /// That of this event.
    Event(String),
}

/// What any database must do for webhooks. They are made and ended by [`super::Change`].
pub trait WebhookStore {
    /// The event of this id as it is now; none if it does not hold any more. Its cursor is none of the feed.
    ///
    /// # Errors
    /// [`StoreError`] if the database does not answer or its data is corrupt.
    fn event(&self, site: &Site, id: &str) -> Result<Option<Event>, StoreError>;

    /// All webhooks, ended ones too.
    ///
    /// # Errors
    /// As [`WebhookStore::event`].
    fn webhooks(&self) -> Result<Vec<Webhook>, StoreError>;

    /// At most so many deliveries of a webhook; with a number, only those before it.
    ///
    /// # Errors
    /// As [`WebhookStore::event`].
    fn deliveries(
        &self,
        webhook: &str,
        which: Which,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// How many deliveries of a webhook were given up.
    ///
    /// # Errors
    /// As [`WebhookStore::event`].
    fn dead_letters(&self, webhook: &str) -> Result<u64, StoreError>;

    /// Keeps what came of deliveries and how far the webhook is, and ends it if its receiver is gone: returns once that is on disk.
    fn keep_deliveries(
        &self,
        webhook: &str,
        cursor: Cursor,
        deliveries: Vec<Delivery>,
        gone: bool,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
