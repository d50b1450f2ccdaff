//! The head of a request: method, path, query, and headers such as `Accept-Language` and `Cookie`.
//!
//! An input is a request line and header lines. `$backend`, `$officer` and `$admin` stand for keys.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Uri};
use consent_server::keys::Role;

use super::Target;
use super::server;

pub(super) static TARGET: Target = Target {
    name: "request",
    check,
    words: &[
        "GET ",
        "POST ",
        "HEAD ",
        "OPTIONS ",
        "/v1/sites/demo/",
        "settings",
        "settings.html",
        "banner.html",
        "declaration",
        "declaration.html",
        "consent.js",
        "notice",
        "records",
        "receipt",
        "events",
        "export",
        "authorize",
        "log/checkpoint",
        "log/tile/0/000",
        "log/tile/entries/000",
        "/.well-known/gpc.json",
        "/assets/",
        "/openapi.json",
        "subjects/",
        "accounts/consent",
        "?language=",
        "&category=",
        "&subject=",
        "&from=",
        "&to=",
        "&after=",
        "&limit=",
        "&wait=",
        "&format=csv",
        "&version=",
        "Accept-Language: ",
        "en",
        "de-AT;q=0.5",
        "*;q=0",
        "Cookie: consent=",
        "Sec-GPC: 1",
        "DNT: 1",
        "Origin: ",
        "https://gardens.example",
        "Referer: ",
        "Authorization: Bearer $officer",
        "$backend",
        "$admin",
        "If-None-Match: ",
        "Accept-Encoding: br",
        "Range: bytes=0-1",
        "X-Original-URI: ",
        "%2e%2e",
        "2026-01-01T00:00:00Z",
    ],
    longest: 8 << 10,
    runs: 6_000,
    memory: (64 << 20, 64),
};

fn check(input: &[u8]) -> bool {
    server::with(|server| {
        let mut lines = input.split(|&byte| byte == b'\n');
        let Some(mut request) = lines.next().and_then(request_line) else { return false };
        for line in lines.take(100) {
            let Some((name, value)) = header_line(line, &server.keys) else { continue };
            request.headers_mut().append(name, value);
        }
        let answer = server.ask(request);
        answer.status.is_success() || answer.status.is_redirection()
    })
}

/// What hyper, too, lets through.
fn request_line(line: &[u8]) -> Option<Request<Body>> {
    let blank = line.iter().position(|&byte| byte == b' ')?;
    let method = Method::from_bytes(&line[..blank]).ok()?;
    let uri = Uri::try_from(line[blank..].trim_ascii()).ok()?;
    let mut request = Request::new(Body::empty());
    (*request.method_mut(), *request.uri_mut()) = (method, uri);
    Some(request)
}

fn header_line(line: &[u8], keys: &[String]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = line[colon + 1..].trim_ascii();
    let mut text = core::str::from_utf8(value).ok().map(str::to_owned);
    for (role, key) in Role::ALL.into_iter().zip(keys) {
        text = text.map(|text| text.replace(&format!("${}", format!("{role:?}").to_lowercase()), key));
    }
    let value = text.as_ref().map_or(value, String::as_bytes);
    Some((name, HeaderValue::from_bytes(value).ok()?))
}
