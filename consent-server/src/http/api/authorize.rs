//! "May this visitor's request have what needs consent?", asked by a reverse proxy: see docs/nginx.md.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use consent_core::cookie::Cookie;
use consent_core::id::ChoiceId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::App;
use crate::http::problem::Problem;
use crate::http::visitor::Visitor;
use crate::http::{limit, object};
use crate::store::{Site, Store};

/// How many different mistakes are told to the operator. Anybody can make some, and a log that fills tells nothing.
const MOST_WARNINGS: usize = 32;

/// What the operator was told already.
static WARNED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// The category.
    category: String,
    /// One service of it, where that is enough.
    service: Option<String>,
}

impl Asked {
    /// The category or service that is meant.
    fn id(&self) -> String {
        match &self.service {
            Some(service) => format!("{}:{service}", self.category),
            None => self.category.clone(),
        }
    }
}

/// Authorize a visitor's request.
///
/// For a reverse proxy, which passes the visitor's own `Cookie`, `Sec-GPC` and `DNT` on; `Authorization` is the visitor's too, and not
/// looked at. 204 only if the cookie grants the category, the records of its subject do, and those of the account it is linked to.
/// All else is 403, also a question that is wrong, since a proxy takes other answers for a failure; while the store cannot
/// answer, 503; and 429 for a visitor with too many requests, whom the proxy names (`trusted_proxies`). No key: whoever asks learns what their own cookie may have.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/authorize",
    tag = "public",
    params(("site" = String, Path, description = "The site"), Asked),
    responses(
        (status = 204, description = "Granted"),
        (status = 403, description = "Not granted, or there is no such site or category", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many questions about this visitor: deny, and wait as Retry-After says", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again, and deny meanwhile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn authorize(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let registry = app.store.registry();
    let Some(site) = registry.site(&site) else {
        return Err(wrong("unknown-site", format!("there is no site \"{site}\"")));
    };
    limit::authorize(&app, site, &headers)?;
    let Query(asked) = query.map_err(|error| wrong("malformed", error.body_text()))?;
    let Some(published) = site.notice() else {
        return Err(wrong("unknown-category", format!("the site {} has no notice", site.id)));
    };
    let choice = object::choice(&published.outline, &asked.id()).map_err(|problem| unknown(site, &asked, problem))?;

    let visitor = Visitor::of(site, &headers);
    let (mut held, mut account) = (None, None);
    if let Some(subject) = visitor.cookie.as_ref().and_then(|cookie| cookie.subject) {
        held = app.store.consent(site, &subject)?;
        account = app.store.account_of(site, &subject)?;
    }
    let (now, signal) = (app.clock.now(), visitor.signals.on());
    let (cookie, held, account) = (visitor.cookie.as_ref(), held.as_deref(), account.as_ref());
    if !Cookie::authorizes(cookie, held, account, &published.outline, &choice, now, signal) {
        return Err(denied(&choice));
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn denied(choice: &ChoiceId) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "no-consent", "No consent", format!("\"{choice}\" is not granted"))
}

/// The question is wrong, and nothing is granted.
fn wrong(kind: &str, detail: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, kind, "The question is wrong", detail)
}

/// A category that the notice does not list: most likely a mistake in the proxy's configuration, which nobody else would notice.
fn unknown(site: &Site, asked: &Asked, problem: Problem) -> Problem {
    // Only what has the form of an id is repeated in the log.
    let asked = ChoiceId::parse(&asked.id()).map_or("what is no id".to_owned(), |id| id.to_string());
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.len() < MOST_WARNINGS && warned.insert(format!("{} {asked}", site.id)) {
        tracing::warn!(site = %site.id, "authorize was asked at {} for {asked}, which its notice does not list: denied", site.id);
    }
    Problem { status: StatusCode::FORBIDDEN.as_u16(), ..problem }
}
