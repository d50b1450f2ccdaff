//! The log in its public form: checkpoint and hash tiles. Entries hold decisions and stay private.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use consent_core::tile::{self, Tile};

use crate::app::App;
use crate::http::caller;
use crate::http::problem::Problem;
use crate::store::Store;

/// The published checkpoint, a signed note.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/log/checkpoint",
    tag = "log",
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 200, description = "C2SP tlog-checkpoint", body = String, content_type = "text/plain"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn checkpoint(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
) -> Result<Response, Problem> {
    let site = caller::site(&app, &site)?;
    let (_, note) = app.store.checkpoint(&site)?.ok_or_else(|| Problem::not_found("nothing is published yet"))?;
    let headers = [(header::CACHE_CONTROL, "public, max-age=5"), (header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, note).into_response())
}

/// A hash tile of the published tree (C2SP tlog-tiles).
#[utoipa::path(
    get,
    // A tile's path has slashes of its own. The description, which knows no such parameter, names it without the star.
    path = "/v1/sites/{site}/log/tile/{level}/{*n}",
    tag = "log",
    params(
        ("site" = String, Path, description = "The site"),
        ("level" = String, Path, description = "0 to 63"),
        ("n" = String, Path, description = "As in C2SP tlog-tiles: x001/x234/067, with .p/W if partial"),
    ),
    responses(
        (status = 200, description = "Its hashes, 32 bytes each", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "The published tree has no such tile", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn tile(
    State(app): State<Arc<App>>,
    Path((site, level, n)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let site = caller::site(&app, &site)?;
    let unknown = || Problem::not_found("the published tree has no such tile");
    let tile = Tile::parse_path(&level, &n).ok_or_else(unknown)?;
    let hashes = app.store.tile(&site, &tile)?.ok_or_else(unknown)?;
    let headers = [
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::CONTENT_TYPE, "application/octet-stream"),
    ];
    Ok((headers, tile::to_bytes(&hashes)).into_response())
}
