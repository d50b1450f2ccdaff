//! "May I process this for that subject?"

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, Request};
use axum::response::{IntoResponse, Response};
use consent_core::consent::Status;
use consent_core::id::SubjectId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::http::object::{self, ConsentObject};
use crate::http::problem::Problem;
use crate::http::shapes::{Subject, Uuid};
use crate::http::{bare, body, caller};
use crate::keys::Role;
use crate::store::{Published, Site, Store};

/// The most subjects in one request.
const MOST: usize = 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// The category, or `category:service`, that `allowed` answers.
    category: Option<String>,
}

fn notice(site: &Site) -> Result<&Arc<Published>, Problem> {
    site.notice().ok_or_else(|| Problem::not_found("the site has no notice"))
}

/// Check one subject.
///
/// Fails closed: an unknown, expired, outdated or forgotten consent reads as denied.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/subjects/{subject}/consent",
    tag = "backend",
    params(("site" = String, Path, description = "The site"), ("subject" = inline(Subject), Path, description = "The subject, as a UUID or as in the cookie"), Asked),
    responses(
        (status = 200, description = "What holds", body = ConsentObject),
        (status = 400, description = "Not a subject", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key, or a bad one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A key for something else", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown category: lists those that there are", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests with this key: `Retry-After` says when", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again, and deny meanwhile", body = Problem, content_type = "application/problem+json"),
    ),
    security(("key" = []))
)]
pub(in crate::http) async fn one(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    query: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    counted(&app, || {
        let Path((site, subject)) = path.map_err(|error| Problem::malformed(error.body_text()).at("path"))?;
        let registry = app.store.registry();
        let site = caller::allowed(&app, &registry, &headers, &site, Role::Backend)?.0;
        let Query(asked) = query.map_err(|error| Problem::malformed(error.body_text()).at("query"))?;
        ask(&app, site, &subject, asked.category.as_deref())
    })
}

/// What [`one`] answers to a request that is written in the plainest way: nothing in its address is encoded, and it asks for nothing but
/// the category. `None` for every other request: ask the router, which costs as much as all the rest of a check.
pub(in crate::http) fn plain<B>(app: &App, request: &Request<B>) -> Option<Response> {
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':'))
    };
    let (site, rest) = request.uri().path().strip_prefix("/v1/sites/")?.split_once('/')?;
    let subject = rest.strip_prefix("subjects/")?.strip_suffix("/consent")?;
    let category = match request.uri().query() {
        Some(query) => Some(query.strip_prefix("category=")?),
        None => None,
    };
    if request.method() != Method::GET || !plain(site) || !plain(subject) || !category.is_none_or(plain) {
        return None;
    }
    let answer = counted(app, || {
        let registry = app.store.registry();
        let site = caller::allowed(app, &registry, request.headers(), site, Role::Backend)?.0;
        ask(app, site, subject, category)
    });
    Some(answer.into_response())
}

/// Counts an answer: this route goes through no layer that would.
fn counted(app: &App, answer: impl FnOnce() -> Result<Response, Problem>) -> Result<Response, Problem> {
    let begin = Instant::now();
    let answer = answer();
    let status = answer.as_ref().map_or_else(|problem| problem.status, |response| response.status().as_u16());
    app.metrics.check.answered(status, begin.elapsed());
    answer
}

fn ask(app: &App, site: &Site, subject: &str, category: Option<&str>) -> Result<Response, Problem> {
    let subject = object::subject(subject, "subject")?;
    let outline = &notice(site)?.outline;
    let choice = category.map(|text| object::choice(outline, text)).transpose()?;
    let consent = app.store.consent(site, &subject)?.unwrap_or_default();
    let mut object = ConsentObject::new(site, outline, subject, &consent, app.clock.now());
    object.allowed = choice.map(|choice| object.categories.granted(&choice));
    Ok(bare::json(&object))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct CheckBody {
    /// At most 1000 subjects.
    #[schema(value_type = Vec<Uuid>, max_items = 1000)]
    subjects: Vec<SubjectId>,
    /// The category, or `category:service`.
    category: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct CheckedAll {
    results: Vec<Checked>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Checked {
    #[schema(value_type = String, format = "uuid")]
    subject: SubjectId,
    #[schema(value_type = String)]
    status: Status,
    /// Whether the category may be used.
    allowed: bool,
}

/// Check many subjects.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/consent/check",
    tag = "backend",
    request_body = CheckBody,
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not a JSON media type", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests with this key: `Retry-After` says when", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again, and deny meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 200, description = "One answer for each subject, in the same order", body = CheckedAll),
        (status = 401, description = "No key, or a bad one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A key for something else", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown category: lists those that there are", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Too many subjects, or not subjects", body = Problem, content_type = "application/problem+json"),
    ),
    security(("key" = []))
)]
pub(in crate::http) async fn many(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<CheckedAll>, Problem> {
    let (site, _) = caller::with_key(&app, &headers, &site, Role::Backend)?;
    let batch: CheckBody = body::json_up_to(&headers, body, MOST * 64).await?;
    if batch.subjects.len() > MOST {
        return Err(Problem::refused(format!("at most {MOST} subjects at once")).at("/subjects"));
    }
    let outline = &notice(&site)?.outline;
    let choice = object::choice(outline, &batch.category)?;
    let now = app.clock.now();
    let mut results = Vec::with_capacity(batch.subjects.len());
    for subject in batch.subjects {
        let consent = app.store.consent(&site, &subject)?.unwrap_or_default();
        let view = consent.view(outline, now, false);
        results.push(Checked { subject, status: view.status(), allowed: view.granted(&choice) });
    }
    Ok(Json(CheckedAll { results }))
}
