//! The export for a privacy officer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use consent_core::record::Action;
use consent_core::time::UnixMillis;
use http_body::Frame;
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use super::audit;
use crate::app::App;
use crate::export::{csv, jsonl};
use crate::http::caller;
use crate::http::problem::Problem;
use crate::keys::Role;
use crate::store::{Change, Signers, Store};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// `jsonl` (with its proof, for `consent verify`) or `csv`.
    #[param(pattern = "^(jsonl|csv)$")]
    format: Option<String>,
    /// Records recorded at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<String>,
    /// Records recorded before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<String>,
}

/// Export the records with their proof.
///
/// That this was done, by which key, becomes a record itself before the first byte is sent.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/export",
    tag = "officer",
    params(("site" = String, Path, description = "The site"), Asked),
    responses(
        (status = 200, description = "The export", content((String = "application/jsonl"), (String = "text/csv"))),
        (status = 400, description = "Not a time, or not a format", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key, or a bad one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A key for something else", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests with this key or by this user: `Retry-After` says when", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again", body = Problem, content_type = "application/problem+json"),
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn export(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    query: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller::Staff { site, actor, .. } = caller::staff(&app, &method, &headers, &site, Role::Officer).await?;
    let Query(asked) = query.map_err(|error| Problem::malformed(error.body_text()).at("query"))?;
    let range = audit::range(asked.from.as_deref(), asked.to.as_deref())?;
    let format = asked.format.as_deref().unwrap_or("jsonl");
    let lines = match format {
        "jsonl" => true,
        "csv" => false,
        other => return Err(Problem::malformed(format!("format is jsonl or csv, not \"{other}\"")).at("format")),
    };
    let target = format!("{format} of {}", range_in_words(range));
    app.store.change(Change::Access { site: site.id.clone(), action: Action::Export, target }, actor).await?;
    app.store.publish(&site).await?;
    // The key may have been replaced a moment ago: the one that signed this checkpoint must seal the export, too.
    let site = caller::site(&app, site.id.as_str())?;
    let signer = app.signers.signer(site.keys()?.current())?;

    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(8);
    let name = format!("attachment; filename=\"consent-{}.{format}\"", site.id);
    tokio::task::spawn_blocking(move || {
        let mut out = |chunk: &[u8]| {
            sender.blocking_send(Ok(Bytes::copy_from_slice(chunk))).map_err(|_| io::ErrorKind::BrokenPipe.into())
        };
        let written = app.store.stretch(&site, range.0, range.1).map_err(anyhow::Error::from).and_then(|stretch| {
            if lines {
                jsonl::write(&*app.store, &site, &signer, &stretch, range, &mut out)?;
            } else {
                csv::write(&*app.store, &site, &signer, &stretch, range, &mut out)?;
            }
            Ok(())
        });
        if let Err(error) = written {
            tracing::warn!(%error, "an export ended early");
            // Cut off visibly: without its last line an export does not verify.
            drop(sender.blocking_send(Err(io::Error::other("the export ended early"))));
        }
    });
    let mut response = Body::new(Chunks(receiver)).into_response();
    let out = response.headers_mut();
    let kind = if lines { "application/jsonl" } else { "text/csv; charset=utf-8" };
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        out.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// A range of time as an access record says it.
pub(crate) fn range_in_words((from, to): (Option<UnixMillis>, Option<UnixMillis>)) -> String {
    match (from, to) {
        (None, None) => "all records".to_owned(),
        (Some(from), None) => format!("records from {from}"),
        (None, Some(to)) => format!("records before {to}"),
        (Some(from), Some(to)) => format!("records from {from} to {to}"),
    }
}

/// A body that another thread fills.
struct Chunks(mpsc::Receiver<io::Result<Bytes>>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
