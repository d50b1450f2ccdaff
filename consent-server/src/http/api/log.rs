//! The log in its public form: checkpoint, hash tiles, consistency proofs and keys for everybody; entries, which hold decisions, for
//! officers only.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{Html, IntoResponse, Response};
use consent_core::record::Action;
use consent_core::tile::{self, TILE_WIDTH, Tile};
use consent_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::http::caller;
use crate::http::docs::{self, escape};
use crate::http::problem::Problem;
use crate::keys::Role;
use crate::store::{Change, Site, Store, StoreError};

/// What never changes any more.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// A partial tile never changes either, but nobody asks for it again once the next checkpoint is there.
const A_MINUTE: &str = "public, max-age=60";

/// What grows.
const A_MOMENT: &str = "public, max-age=5";

/// The published checkpoint, a signed note.
///
/// With the lines of the witnesses that have cosigned it, where the operator has any.
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
    let none = || Problem::not_found("nothing is published yet");
    let (_, note) = app.shown_checkpoint(&site)?.ok_or_else(none)?;
    let headers = [(header::CACHE_CONTROL, A_MOMENT), (header::CONTENT_TYPE, "text/plain; charset=utf-8")];
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
        (header::CACHE_CONTROL, if tile.width == TILE_WIDTH { FOR_GOOD } else { A_MINUTE }),
        (header::CONTENT_TYPE, "application/octet-stream"),
    ];
    Ok((headers, tile::to_bytes(&hashes)).into_response())
}

/// An entry bundle: the leaves under a tile of level 0 (C2SP tlog-tiles).
///
/// Leaves hold decisions, so this is for officers, and that it was read becomes a record before the answer.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/log/tile/entries/{*n}",
    tag = "officer",
    params(
        ("site" = String, Path, description = "The site"),
        ("n" = String, Path, description = "As in C2SP tlog-tiles: x001/x234/067, with .p/W if partial"),
    ),
    responses(
        (status = 200, description = "The leaves, each after its length in 16 bits", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 401, description = "No key, or a bad one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A key for something else", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "The published tree has no such bundle", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests with this key: `Retry-After` says when", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again", body = Problem, content_type = "application/problem+json"),
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn entries(
    State(app): State<Arc<App>>,
    Path((site, n)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller::Staff { site, actor, .. } = caller::staff(&app, &method, &headers, &site, Role::Officer).await?;
    let unknown = || Problem::not_found("the published tree has no such bundle");
    let tile = Tile::parse_path("0", &n).ok_or_else(unknown)?;
    let (size, _) = app.store.checkpoint(&site)?.filter(|(size, _)| tile.is_in_tree(*size)).ok_or_else(unknown)?;
    let (_, range) = tile.nodes().filter(|(_, range)| range.end <= size).ok_or_else(unknown)?;
    let target = format!("records {} to {} as an entry bundle", range.start, range.end - 1);
    app.store.change(Change::Access { site: site.id.clone(), action: Action::Read, target }, actor).await?;
    let reading = app.reading(move |app| -> Result<Vec<u8>, StoreError> {
        let mut leaves = Vec::with_capacity(usize::from(tile.width));
        app.store.entries(&site, range.start, range.end, &mut |entry| {
            leaves.push(entry.leaf);
            true
        })?;
        tile::bundle(leaves).map_err(|error| StoreError::Corrupt { table: "record", what: error.to_string() })
    });
    let bundle = reading.await?;
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "application/octet-stream")];
    Ok((headers, bundle).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Sizes {
    /// The smaller tree: how many records it has.
    #[param(minimum = 0)]
    from: u64,
    /// The larger one, at most what is published.
    #[param(minimum = 0)]
    to: u64,
}

/// A proof that one tree extends another.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Consistency {
    from: u64,
    to: u64,
    /// The hashes in base64, in the order of RFC 9162 section 2.1.4.
    proof: Vec<String>,
}

/// Prove that a tree extends an earlier one (RFC 9162).
///
/// Between any two sizes up to the published one. It proves something only about two roots that were signed for these sizes: hold it
/// against two checkpoints. Everything here can be computed from the tiles, too.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/log/consistency",
    tag = "log",
    params(("site" = String, Path, description = "The site"), Sizes),
    responses(
        (status = 200, description = "The proof", body = Consistency),
        (status = 400, description = "Not two sizes, or no two trees of this log", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn consistency(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    query: Result<Query<Sizes>, QueryRejection>,
) -> Result<Response, Problem> {
    let site = caller::site(&app, &site)?;
    let Query(Sizes { from, to }) = query.map_err(|error| Problem::malformed(error.body_text()).at("query"))?;
    let none = || Problem::malformed("from must be at most to, and to at most what is published").at("query");
    let proof = app.store.consistency(&site, from, to)?.ok_or_else(none)?;
    let proof = proof.iter().map(consent_core::merkle::Hash::to_base64).collect();
    Ok(([(header::CACHE_CONTROL, FOR_GOOD)], Json(Consistency { from, to, proof })).into_response())
}

/// The keys of a log, first to last.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct LogKeys {
    /// The first line of the checkpoints, and the name of every key.
    origin: String,
    /// Where checkpoint and tiles are, below this service.
    path: String,
    keys: Vec<LogKey>,
}

/// A key with the sizes of the trees that it signs.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct LogKey {
    /// The public key (C2SP signed-note).
    vkey: String,
    /// The smallest tree that it signs.
    from_size: u64,
    /// The largest; null for the key that signs now.
    to_size: Option<u64>,
    /// When it took over; null for the first.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<UnixMillis>,
    /// A note in which the key before names this one, signed by both; null for the first.
    hand_over: Option<String>,
}

fn log_keys(site: &Site) -> Result<LogKeys, StoreError> {
    let hand_overs = std::iter::once(None).chain(site.hand_overs.iter().map(Some));
    let keys = site.keys()?;
    let keys = keys.all().iter().zip(hand_overs).map(|(ranged, hand_over)| LogKey {
        vkey: ranged.key.to_string(),
        from_size: ranged.from,
        to_size: ranged.to,
        since: hand_over.map(|hand_over| hand_over.at),
        hand_over: hand_over.map(|hand_over| hand_over.note.clone()),
    });
    Ok(LogKeys { origin: site.log_origin.clone(), path: format!("/v1/sites/{}/log", site.id), keys: keys.collect() })
}

/// The public keys of the log, the present one and earlier ones.
///
/// A key that a service tells about itself proves nothing: keep the first one you were given, and follow the hand-overs from it.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/log/keys",
    tag = "log",
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 200, description = "The keys, first to last", body = LogKeys),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn keys(State(app): State<Arc<App>>, Path(site): Path<String>) -> Result<Response, Problem> {
    let site = caller::site(&app, &site)?;
    Ok(([(header::CACHE_CONTROL, A_MOMENT)], Json(log_keys(&site)?)).into_response())
}

/// The public keys of the log as a page, with what to do with them.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/log/keys.html",
    tag = "log",
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 200, description = "The keys", body = String, content_type = "text/html"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn keys_page(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
) -> Result<Response, Problem> {
    let site = caller::site(&app, &site)?;
    let mut response = Html(page(&log_keys(&site)?)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(docs::POLICY));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(A_MOMENT));
    Ok(response)
}

fn page(log: &LogKeys) -> String {
    let (origin, path) = (escape(&log.origin), escape(&log.path));
    let current = log.keys.last().map_or("", |key| &key.vkey);
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Keys of the log {origin}</title><link rel=stylesheet href=/docs.css>\
         <main><h1>Keys of the log {origin}</h1>\
         <p>This log of consent decisions can be checked without trusting who keeps it. It is published as a \
         <a href=\"{path}/checkpoint\">checkpoint</a> and hash tiles (C2SP tlog-checkpoint, tlog-tiles); its entries hold decisions of \
         people and are not public. Keep the key that you see today: a service that shows you another one later must show a hand-over \
         from it, signed by both. The same as <a href=\"{path}/keys\">JSON</a>.</p>\
         <p>To follow the log, and to be told if its past is ever changed:</p>\
         <pre><code>consent monitor https://THIS-HOST{path} --key '{}' --state {}.checkpoint</code></pre>",
        escape(current),
        origin.replace('/', "-"),
    );
    for key in log.keys.iter().rev() {
        let (from, to) = (key.from_size, key.to_size);
        let sizes = match to {
            None => format!("signs checkpoints of {from} records and more"),
            Some(to) => format!("signed checkpoints of {from} to {to} records, and no other counts"),
        };
        let _ = write!(
            page,
            "<section><h2>{}</h2><p><code>{}</code></p><dl><dt>Sizes<dd>{sizes}",
            if to.is_none() { "The present key" } else { "An earlier key" },
            escape(&key.vkey)
        );
        if let (Some(since), Some(note)) = (key.since, &key.hand_over) {
            let _ = write!(page, "<dt>Since<dd>{since}<dt>Hand-over<dd><pre><code>{}</code></pre>", escape(note));
        }
        page.push_str("</dl></section>");
    }
    page.push_str("</main></html>");
    page
}
