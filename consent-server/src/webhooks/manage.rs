//! Making, ending and redelivering webhooks: the same for the command line and for admins over HTTP.

use consent_core::id::SiteId;

use super::secret::{Secrets, WebhookSecret};
use super::{address, new_id};
use crate::app::App;
use crate::store::events::{Cursor, EventType};
use crate::store::webhooks::{Again, Ended, Webhook, WebhookStore};
use crate::store::{Actor, Change, Site, Store, StoreError};

/// The most live webhooks of a site: each is a task of its own.
pub const MOST: usize = 100;

/// What a new webhook is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where the events are sent.
    pub url: String,
    /// Which; all if none is named.
    pub types: Vec<EventType>,
    /// The place in the feed after which it begins; none for what comes from now on.
    pub after: Option<Cursor>,
    /// Whether http, other ports and private addresses are allowed.
    pub allow_private: bool,
}

/// Why a webhook was not made, ended or told to send again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManageError {
    /// The address cannot be used.
    #[error("{0}")]
    Url(String),
    /// The place to begin at is none of this log.
    #[error("the log does not reach to this cursor: it is of another site, or the log was restored from a back-up")]
    After,
    /// There are [`MOST`] already.
    #[error("the site has {MOST} webhooks: end one first")]
    TooMany,
    /// The site has none of this id, or it was ended.
    #[error("the site has no live webhook {0}")]
    Unknown(String),
    /// The file with its secret.
    #[error("the secret's file: {0}")]
    Secret(#[from] std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The webhook of this id, ended or not, if it is the site's.
///
/// # Errors
/// [`ManageError::Unknown`], and what the store says.
pub fn find(app: &App, site: &SiteId, id: &str) -> Result<Webhook, ManageError> {
    let found = app.store.webhooks()?.into_iter().find(|webhook| webhook.id == id && webhook.site == *site);
    found.ok_or_else(|| ManageError::Unknown(id.to_owned()))
}

/// Makes a webhook. Its secret is shown to whoever asked, and to nobody later.
///
/// # Errors
/// [`ManageError`].
pub async fn create(
    app: &App,
    site: &Site,
    wanted: Wanted,
    actor: Actor,
) -> Result<(Webhook, WebhookSecret), ManageError> {
    address::parse(&wanted.url, wanted.allow_private).map_err(ManageError::Url)?;
    let live = app.store.webhooks()?.into_iter().filter(|webhook| webhook.site == site.id && webhook.ended.is_none());
    if live.count() >= MOST {
        return Err(ManageError::TooMany);
    }
    let (id, secret, created_at) = (new_id(), WebhookSecret::mint(), app.clock.now());
    let cursor = match wanted.after {
        None => app.store.feed_end(site, created_at)?,
        Some(after) => app.store.feed(site, &after, 1, created_at)?.map(|_| after).ok_or(ManageError::After)?,
    };
    let types = EventType::ALL.into_iter().filter(|kind| wanted.types.is_empty() || wanted.types.contains(kind));
    let webhook = Webhook {
        id: id.clone(),
        site: site.id.clone(),
        url: wanted.url,
        types: types.collect(),
        created_at,
        cursor,
        ended: None,
    };
    let secrets = Secrets::new(&app.data);
    // Before the webhook, which is of no use without: a server that runs beside sends with it at once.
    secrets.write(&id, &secret)?;
    if let Err(error) = app.store.change(Change::CreateWebhook(Box::new(webhook.clone())), actor).await {
        secrets.remove(&id)?;
        return Err(error.into());
    }
    Ok((webhook, secret))
}

/// Ends a webhook, also one whose receiver is gone, and forgets its secret.
///
/// # Errors
/// [`ManageError::Unknown`] if it was ended before, and what the store says.
pub async fn revoke(app: &App, site: &SiteId, id: &str, actor: Actor) -> Result<(), ManageError> {
    if find(app, site, id)?.ended.is_some_and(|(_, why)| why == Ended::Revoked) {
        return Err(ManageError::Unknown(id.to_owned()));
    }
    app.store.change(Change::RevokeWebhook { site: site.clone(), id: id.to_owned() }, actor).await?;
    Ok(Secrets::new(&app.data).remove(id)?)
}

/// Has what was given up, or one event, sent again.
///
/// # Errors
/// [`ManageError::Unknown`], and [`StoreError::Conflict`] if there is nothing to send or it has ended.
pub async fn redeliver(app: &App, site: &SiteId, id: &str, which: Again, actor: Actor) -> Result<(), ManageError> {
    find(app, site, id)?;
    app.store.change(Change::Redeliver { site: site.clone(), id: id.to_owned(), which }, actor).await?;
    Ok(())
}
