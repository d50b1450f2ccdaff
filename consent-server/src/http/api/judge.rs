//! The widget's judge, for pages whose policy forbids WebAssembly.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::http::problem::Problem;
use crate::http::{body, caller};

/// Judge: the function that the widget has as WebAssembly, run here.
///
/// For the widget, where a page's policy lacks `'wasm-unsafe-eval'`. Nothing is stored: lines in, one line out, as
/// `consent-wasm/src/lib.rs` says. A decision counts when it is recorded, not here.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/judge",
    tag = "public",
    request_body(content = Option<String>, content_type = "text/plain"),
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 200, description = "One line", body = String, content_type = "text/plain"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not text", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn judge(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller::site(&app, &site)?;
    let bytes = body::bounded(&headers, body, body::LIMIT).await?;
    let lines = std::str::from_utf8(&bytes).map_err(|_| Problem::refused("the body is not UTF-8"))?;
    let mut response = consent_wasm::judge(lines).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
