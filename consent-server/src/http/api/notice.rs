//! The notice in force, and the script that shows it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use consent_core::notice::PublicNotice;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::app::App;
use crate::http::problem::Problem;
use crate::http::reading::{Reading, SOON};
use crate::http::script::{self, Wanted};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// A language tag; without it the browser's languages decide.
    pub(super) lang: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    site: &'a str,
    #[serde(flatten)]
    notice: PublicNotice<'a>,
}

/// The notice in force, in one language.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/notice",
    tag = "public",
    params(("site" = String, Path, description = "The site"), Asked),
    responses(
        (status = 200, description = "Version, texts, categories and services", body = Object),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn notice(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reading = Reading::of(&app, &site, asked.lang.as_deref(), &headers)?;
    let shown = Shown { site: reading.site.id.as_str(), notice: reading.shown() };
    let mut response = ([(header::CACHE_CONTROL, SOON)], Json(shown)).into_response();
    reading.vary(&mut response);
    Ok(response)
}

/// What a page may ask of its script.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ScriptAsked {
    /// A language tag; without it the page's language decides, then the browser's.
    lang: Option<String>,
    /// With any value: nothing is drawn, the page has `window.consent` only.
    headless: Option<String>,
    /// With any value: warnings on the console for who builds the page.
    debug: Option<String>,
}

/// The banner's script for this site.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/consent.js",
    tag = "public",
    params(("site" = String, Path, description = "The site"), ScriptAsked),
    responses(
        (status = 200, description = "The script", body = String, content_type = "text/javascript"),
        (status = 304, description = "Not changed"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn script(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    Query(asked): Query<ScriptAsked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    const CACHE: &str = "public, max-age=300, stale-while-revalidate=86400";
    const KIND: &str = "text/javascript; charset=utf-8";
    let reading = Reading::of(&app, &site, asked.lang.as_deref(), &headers)?;
    let wanted =
        Wanted { headless: asked.headless.is_some(), debug: asked.debug.is_some(), negotiated: reading.negotiated };
    let make = || script::compose(&reading.site, &reading.published, &reading.language, wanted);
    Ok(reading.answer(&format!("consent.js {wanted:?}"), KIND, CACHE, make).await)
}
