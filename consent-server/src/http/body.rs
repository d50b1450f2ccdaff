//! JSON bodies, bounded, with errors that say where.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// How long a body may take in all. Between two of its parts it may take less: see [`super::router`].
const PATIENCE: Duration = Duration::from_secs(30);

/// The most a public body may have, in bytes.
pub(super) const LIMIT: usize = 16 * 1024;

/// The most that is read of a body that nobody wanted, in bytes.
const UNWANTED: usize = 64 * 1024;

/// The longest time for which it is read.
const UNWANTED_TIME: Duration = Duration::from_secs(2);

/// Answers, and reads what the handler left of the body: a request that is refused before its body is read would have its connection
/// reset, and the answer lost with it.
pub(super) async fn read_out(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let shared = Arc::new(Mutex::new(Some(body)));
    let response = next.run(Request::from_parts(parts, Body::new(Lent(Arc::clone(&shared))))).await;
    let left = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(left) = left.filter(|left| !left.is_end_stream()) {
        // What is longer, or stops coming, is cut off after all.
        drop(tokio::time::timeout(UNWANTED_TIME, Limited::new(left, UNWANTED).collect()).await);
    }
    response
}

/// A body that is taken back when the answer is there.
struct Lent(Arc<Mutex<Option<Body>>>);

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        body.as_ref().map_or(SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

/// Reads a JSON body of `application/json` or `text/plain` (what a beacon sends).
///
/// # Errors
/// 415, 413, 400 for what is not JSON, 422 for JSON of another shape.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    json_up_to(headers, body, LIMIT).await
}

/// As [`json`], with another limit in bytes.
///
/// # Errors
/// As [`json`].
pub(super) async fn json_up_to<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<T, Problem> {
    let kind = media_type(headers);
    if !kind.eq_ignore_ascii_case("application/json") && !kind.eq_ignore_ascii_case("text/plain") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "Another media type is needed",
            "send application/json (or text/plain that is JSON)",
        )
        .at("Content-Type"));
    }
    parse(&bounded(headers, body, limit).await?)
}

/// What a request says that its body is, without parameters; empty if it does not say.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// 415 for a compressed one, 408, 413, 400.
pub(super) async fn bounded(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "Another media type is needed",
            "send the body as it is, not compressed",
        )
        .at("Content-Encoding"));
    }
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await.map_err(|_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "The body did not come in time",
            format!("a body may take {} s", PATIENCE.as_secs()),
        )
    })?;
    let bytes = read.map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The body is too large",
                format!("a body may have {limit} bytes"),
            )
        } else {
            Problem::malformed("the body could not be read")
        }
    })?;
    Ok(bytes.to_bytes())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            Problem::refused(inner.to_string()).at(pointer)
        } else {
            Problem::malformed(format!("the body is not JSON: {inner}"))
        }
    })?;
    json.end().map_err(|error| Problem::malformed(format!("the body is not one JSON value: {error}")))?;
    // What derives Deserialize takes a list of its fields' values just as well; nobody means that.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::refused("the body must be a JSON object"));
    }
    Ok(value)
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => pointer.push_str(variant),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}
