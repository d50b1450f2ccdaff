//! Answers of the route that is asked most: written once, with all their headers, so that no layer has to touch them again.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use serde::Serialize;

/// Headers that no answer is without, unless it has set its own.
pub(super) const DEFAULTS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// A private JSON answer.
pub(super) fn json(value: &impl Serialize) -> Response {
    // Room for the answer about a site of a dozen categories, so that it does not grow in steps.
    let mut body = Vec::with_capacity(512);
    serde_json::to_writer(&mut body, value).expect("answers hold only text, numbers and string keys");
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(DEFAULTS);
    let mut response = Response::new(Body::from(body));
    *response.headers_mut() = headers;
    response
}
