//! Who asks: a browser on a page of the site, a key, or a user who is logged in.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, header};
use consent_core::id::SiteId;
use consent_core::time::UnixMillis;

use super::limit;
use super::problem::Problem;
use crate::app::App;
use crate::keys::{self, ApiKey, Role};
use crate::store::{Actor, Change, Registry, Site, Store};
use crate::users::{self, User};

/// The cookie of a session. A browser takes this name only with `Secure`, without `Domain` and for all paths.
pub(super) const SESSION: &str = "__Host-consent-session";

/// The site of this id.
///
/// # Errors
/// 404.
pub(super) fn site(app: &App, id: &str) -> Result<Arc<Site>, Problem> {
    app.store.registry().site(id).cloned().ok_or_else(|| Problem::not_found(format!("there is no site \"{id}\"")))
}

/// The site, for a caller whose key has this role on it. Says nothing about sites to whom no key is good for.
///
/// # Errors
/// 401 without a live key, 403 for another role or another site, 429 for one that asks too often.
pub(super) fn with_key(app: &App, headers: &HeaderMap, id: &str, needed: Role) -> Result<(Arc<Site>, String), Problem> {
    let registry = app.store.registry();
    let (site, key) = allowed(app, &registry, headers, id, needed)?;
    Ok((Arc::clone(site), key.id.clone()))
}

/// As [`with_key`], without copies.
///
/// # Errors
/// As [`with_key`].
pub(super) fn allowed<'r>(
    app: &App,
    registry: &'r Registry,
    headers: &HeaderMap,
    id: &str,
    needed: Role,
) -> Result<(&'r Arc<Site>, &'r ApiKey), Problem> {
    let (key, _) = live_key(registry, headers, app.clock.now())?;
    if !key.role.includes(needed) {
        let (has, needed) = (key.role.as_str(), needed.as_str());
        return Err(Problem::forbidden(format!("this needs a key with the role {needed}; this one is {has}")));
    }
    match registry.site(id) {
        Some(site) if key.sites.contains(&site.id) => {
            app.limits.key(&key.id).map_err(|limited| limit::refuse(app, limited))?;
            Ok((site, key))
        }
        _ => Err(Problem::forbidden(format!("the key is not for a site \"{id}\""))),
    }
}

/// The key that is shown, and the hash of its secret.
fn live_key<'r>(
    registry: &'r Registry,
    headers: &HeaderMap,
    now: UnixMillis,
) -> Result<(&'r ApiKey, [u8; 32]), Problem> {
    let bad = || Problem::unauthorized("the key is unknown, expired or revoked").at("Authorization");
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(Problem::unauthorized("send a key as \"Authorization: Bearer ...\"").at("Authorization"));
    };
    let text = value.to_str().ok().and_then(bearer).ok_or_else(bad)?;
    let (key_id, secret) = keys::parse(text).ok_or_else(bad)?;
    let hash = keys::hash(secret);
    let key = registry.key(key_id).filter(|key| key.has(&hash, now) && key.is_live(now));
    key.map(|key| (key, hash)).ok_or_else(bad)
}

/// An officer or admin: a key, or a user who is logged in.
#[derive(Debug)]
pub(super) struct Staff {
    /// The site that is asked about.
    pub(super) site: Arc<Site>,
    /// Who they are: the store asks again whether they may.
    pub(super) actor: Actor,
    /// All their sites.
    pub(super) sites: Vec<SiteId>,
}

impl Staff {
    /// Whether all these sites are theirs.
    pub(super) fn has_all(&self, sites: &[SiteId]) -> bool {
        sites.iter().all(|site| self.sites.contains(site))
    }
}

/// An officer or admin of a site, by key or by session. A request with a key never falls back to a session. Says nothing about sites
/// that are not theirs.
///
/// # Errors
/// 401 without a live key or session, 403 for another role or another site, and for a session's unsafe request from another origin, 429
/// for one that asks too often.
pub(super) async fn staff(
    app: &App,
    method: &Method,
    headers: &HeaderMap,
    id: &str,
    needed: Role,
) -> Result<Staff, Problem> {
    let registry = app.store.registry();
    let now = app.clock.now();
    let (actor, role, sites) = if headers.contains_key(header::AUTHORIZATION) {
        let (key, secret) = live_key(&registry, headers, now)?;
        (Actor::Key { id: key.id.clone(), secret, needed }, key.role, &key.sites)
    } else {
        let (user, hash) = user(app, &registry, method, headers).await?;
        (Actor::Session { user: user.id.clone(), hash, needed }, user.role, &user.sites)
    };
    if !role.includes(needed) {
        let (has, needed) = (role.as_str(), needed.as_str());
        return Err(Problem::forbidden(format!("this needs the role {needed}; this caller is {has}")));
    }
    match registry.site(id) {
        Some(site) if sites.contains(&site.id) => {
            app.limits.key(actor.name()).map_err(|limited| limit::refuse(app, limited))?;
            if !method.is_safe() {
                app.limits.change(actor.name()).map_err(|limited| limit::refuse(app, limited))?;
            }
            Ok(Staff { site: Arc::clone(site), actor, sites: sites.clone() })
        }
        _ => Err(Problem::forbidden(format!("this caller has no site \"{id}\""))),
    }
}

/// The user who is logged in, and their session's hash.
///
/// # Errors
/// 401 without a live session, 403 for an unsafe request that no page of this service made.
pub(super) async fn user<'r>(
    app: &App,
    registry: &'r Registry,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(&'r User, [u8; 32]), Problem> {
    let none = || Problem::unauthorized("send a key as \"Authorization: Bearer ...\", or log in");
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = cookies.filter(|(name, _)| *name == SESSION).map(|(_, value)| value);
    let hash = values.next().and_then(users::session_hash).ok_or_else(none)?;
    let now = app.clock.now();
    let session = app.store.session(&hash)?.filter(|session| session.is_live(now)).ok_or_else(none)?;
    let user = registry.user(&session.user).filter(|user| user.disabled_at.is_none()).ok_or_else(none)?;
    if !method.is_safe() {
        same_origin(headers)?;
    } else if headers.contains_key("sec-fetch-site") && !["same-origin", "none"].contains(&fetch_site(headers)) {
        // Reading is recorded in the officer's name, and exports are made: no picture in a page of another host may ask for one.
        return Err(Problem::forbidden(
            "with a session, only pages of this service may ask: Sec-Fetch-Site is another",
        ));
    }
    if now.millis().saturating_sub(session.used_at.millis()) >= users::TOUCH
        && let Err(error) = app.store.change(Change::Touch { hash }, Actor::User(user.id.clone())).await
    {
        // The session ends a minute early, then.
        tracing::debug!(%error, "a session's use was not noted");
    }
    Ok((user, hash))
}

/// Whether a page of this service made the request: a cookie alone says only which browser did.
///
/// # Errors
/// 403 if not, and if the browser does not say.
pub(super) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let no =
        |what: &str| Err(Problem::forbidden(format!("with a session, only pages of this service may do this: {what}")));
    let one = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
    };
    if headers.contains_key("sec-fetch-site") {
        return if fetch_site(headers) == "same-origin" { Ok(()) } else { no("Sec-Fetch-Site is another") };
    }
    let origin = one("origin").and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    match (origin, one("host")) {
        (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
        (None, _) => no("there is neither Sec-Fetch-Site nor Origin"),
        _ => no("Origin is another"),
    }
}

/// The one `Sec-Fetch-Site`; nothing if there are several.
fn fetch_site(headers: &HeaderMap) -> &str {
    let mut values = headers.get_all("sec-fetch-site").iter();
    values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The token of `Authorization: Bearer`, whatever it is.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok().and_then(bearer)
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a page of this origin may write: exactly one of the site's origins, or `null` from the same origin.
///
/// # Errors
/// 403 for any other, and for none.
pub(super) fn origin<'a>(site: &Site, headers: &'a HeaderMap) -> Result<&'a str, Problem> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return Err(
            Problem::forbidden("a decision comes from a page of the site: one Origin header is needed").at("Origin")
        );
    };
    let origin = origin.to_str().unwrap_or_default();
    let same = || headers.get("sec-fetch-site").is_some_and(|value| value == "same-origin");
    if allows(site, origin) || (origin == "null" && same()) {
        Ok(origin)
    } else {
        Err(Problem::forbidden(format!("the origin \"{origin}\" is not one of the site's")).at("Origin"))
    }
}

/// Whether an origin is one of the site's.
pub(super) fn allows(site: &Site, origin: &str) -> bool {
    site.settings.origins.iter().any(|allowed| allowed == origin)
}
