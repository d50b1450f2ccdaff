//! Who is asked to wait.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Once};

use axum::RequestExt;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use consent_core::decision::Method;

use super::cors;
use super::problem::Problem;
use crate::app::App;
use crate::client;
use crate::limits::Limited;
use crate::store::{NewDecision, Site, Store};

tokio::task_local! {
    /// The peer of the connection that this task serves. Not in the request: putting it there costs every request an allocation,
    /// and only those that are limited ask for it.
    pub(super) static PEER: SocketAddr;
}

/// What is read from pages and by programs, and costs more than a file from memory. The widget's own files are not here: a whole
/// school may load them at once from behind one address. Nor are the pages that a web server includes for its visitors.
const READS: [&str; 11] = [
    "/v1/sites/{site}/notice",
    "/v1/sites/{site}/settings",
    "/v1/sites/{site}/declaration",
    "/v1/sites/{site}/judge",
    "/v1/sites/{site}/records",
    "/v1/sites/{site}/records/{id}/receipt",
    "/v1/sites/{site}/log/checkpoint",
    "/v1/sites/{site}/log/tile/{level}/{*n}",
    "/v1/sites/{site}/log/consistency",
    "/v1/sites/{site}/log/keys",
    "/v1/sites/{site}/log/keys.html",
];

fn client(app: &App, headers: &HeaderMap) -> Option<IpAddr> {
    let peer = PEER.try_with(|peer| *peer).ok()?;
    client::of(peer, headers, &app.config.trusted_proxies, app.config.forwarded_header)
}

/// Counts a refusal and says it.
pub(super) fn refuse(app: &App, limited: Limited) -> Problem {
    app.limits.count(limited);
    Problem::limited(limited)
}

/// Whether a password may be tried now. By the client: the queue of those who wait for a hash is one for all.
///
/// # Errors
/// 429.
pub(super) fn login(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    app.limits.login(client(app, headers)).map_err(|limited| refuse(app, limited))
}

/// Whether a decision may be recorded now. One that grants nothing new to a subject that the store knows always may (rule 3).
///
/// # Errors
/// 429.
pub(super) fn decision(app: &App, site: &Site, headers: &HeaderMap, decision: &NewDecision) -> Result<(), Problem> {
    let Err(limited) = app.limits.decision(site.id.as_str(), client(app, headers)) else { return Ok(()) };
    if withdraws(app, site, decision) { Ok(()) } else { Err(refuse(app, limited)) }
}

/// Whether a reverse proxy may ask about a visitor's request now. The visitor is who asks too often, not the proxy that asks for all of
/// them: it is limited itself only if nobody said that it is one, and the operator is told that, once.
///
/// # Errors
/// 429.
pub(super) fn authorize(app: &App, site: &Site, headers: &HeaderMap) -> Result<(), Problem> {
    static TOLD: Once = Once::new();
    let visitor = client(app, headers);
    let Err(limited) = app.limits.authorize(site.id.as_str(), visitor) else { return Ok(()) };
    if visitor == PEER.try_with(|peer| peer.ip().to_canonical()).ok() {
        TOLD.call_once(|| {
            tracing::warn!(site = %site.id, "authorize was asked too often at {} by a peer for itself: a reverse proxy belongs \
                into trusted_proxies and has to name its visitors", site.id);
        });
    }
    Err(refuse(app, limited))
}

/// Whether a decision is of a subject that the store knows, and grants nothing that is not granted now.
fn withdraws(app: &App, site: &Site, new: &NewDecision) -> bool {
    let (Some(subject), Some(published)) = (new.subject, site.notice()) else { return false };
    let Ok(Some(consent)) = app.store.consent(site, &subject) else { return false };
    let view = consent.view(&published.outline, app.clock.now(), false);
    new.decision.method != Method::AcceptAll && new.decision.granted.iter().all(|id| view.granted(id))
}

/// Lets reads through until their client has had too many.
pub(super) async fn reads(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    if route.is_some_and(|route| READS.contains(&route.as_str())) {
        // By the site that is meant, however its name is written. What is no site shares one bucket.
        let params = request.extract_parts::<RawPathParams>().await;
        let name = params.iter().flatten().find(|(name, _)| *name == "site").map_or("", |(_, site)| site);
        let registry = app.store.registry();
        let site = registry.site(name).map_or("", |site| site.id.as_str());
        if let Err(limited) = app.limits.read(site, client(&app, request.headers())) {
            return cors::answer_early(&request, refuse(&app, limited).into_response());
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_limited_are_routes() {
        let description: serde_json::Value = serde_json::from_str(&crate::http::openapi()).unwrap();
        for route in super::READS {
            let path = route.replace("{*n}", "{n}");
            assert!(description["paths"].get(&path).is_some(), "{path}");
        }
    }
}
