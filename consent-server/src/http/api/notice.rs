//! The notice in force, and the script that shows it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use consent_core::id::Language;
use consent_core::notice::Notice;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::layers;
use crate::app::App;
use crate::http::caller;
use crate::http::problem::Problem;
use crate::http::script::{self, Wanted};
use crate::store::{Published, Site};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// A language tag; without it the browser's languages decide.
    pub(super) lang: Option<String>,
}

pub(super) fn in_force(site: &Site) -> Result<&Arc<Published>, Problem> {
    site.notice().ok_or_else(|| Problem::not_found("the site has no notice yet"))
}

/// The language to answer in: the one asked for, else the first of the browser's that the notice has.
pub(super) fn language(notice: &Notice, asked: Option<&str>, headers: &HeaderMap) -> Language {
    if let Some(lang) = asked {
        return notice.negotiate(&[lang]);
    }
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut wanted: Vec<(&str, f32)> = accepted
        .split(',')
        .take(32)
        .filter_map(|part| {
            let (tag, quality) = part.split_once(';').unwrap_or((part, ""));
            let quality = quality.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse().ok())?;
            (quality > 0.0 && !tag.trim().is_empty()).then_some((tag.trim(), quality))
        })
        .collect();
    wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let wanted: Vec<&str> = wanted.into_iter().map(|(tag, _)| tag).collect();
    notice.negotiate(&wanted)
}

#[derive(Serialize)]
struct Shown<'a> {
    site: &'a str,
    #[serde(flatten)]
    notice: consent_core::notice::PublicNotice<'a>,
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
    let site = caller::site(&app, &site)?;
    let published = in_force(&site)?;
    let language = language(&published.notice, asked.lang.as_deref(), &headers);
    let shown = Shown { site: site.id.as_str(), notice: published.notice.for_language(&language) };
    let mut response = Json(shown).into_response();
    let out = response.headers_mut();
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    if asked.lang.is_none() {
        out.insert(header::VARY, HeaderValue::from_static("Accept-Language"));
    }
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
    let site = caller::site(&app, &site)?;
    let published = in_force(&site)?;
    let language = language(&published.notice, asked.lang.as_deref(), &headers);
    let negotiated = asked.lang.is_none();
    let wanted = Wanted { headless: asked.headless.is_some(), debug: asked.debug.is_some(), negotiated };
    let key = layers::key(&site, published, format!("consent.js {language} {wanted:?}"));
    let make = || script::compose(&site, published, &language, wanted);
    let mut response = app.scripts.answer(&headers, key, KIND, CACHE, make);
    layers::vary(&mut response, negotiated);
    Ok(response)
}
