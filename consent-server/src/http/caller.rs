//! Who asks: a browser on a page of the site, or a key.

use std::sync::Arc;

use axum::http::{HeaderMap, header};

use super::problem::Problem;
use crate::app::App;
use crate::keys::{self, Role};
use crate::store::{Site, Store};

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
/// 401 without a live key, 403 for another role or another site.
pub(super) fn with_key(app: &App, headers: &HeaderMap, id: &str, needed: Role) -> Result<(Arc<Site>, String), Problem> {
    let registry = app.store.registry();
    let bad = || Problem::unauthorized("the key is unknown, expired or revoked").at("Authorization");
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(Problem::unauthorized("send a key as \"Authorization: Bearer ...\"").at("Authorization"));
    };
    let text = value.to_str().ok().and_then(bearer).ok_or_else(bad)?;
    let (key_id, secret) = keys::parse(text).ok_or_else(bad)?;
    let key = registry.key(key_id).filter(|key| key.matches(secret)).ok_or_else(bad)?;
    if !key.is_live(app.clock.now()) {
        return Err(bad());
    }
    if !key.role.includes(needed) {
        let (has, needed) = (key.role.as_str(), needed.as_str());
        return Err(Problem::forbidden(format!("this needs a key with the role {needed}; this one is {has}")));
    }
    match registry.site(id) {
        Some(site) if key.sites.contains(&site.id) => Ok((Arc::clone(site), key.id.clone())),
        _ => Err(Problem::forbidden(format!("the key is not for a site \"{id}\""))),
    }
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
