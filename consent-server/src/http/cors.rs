//! Cross-origin requests: from the site's own origins only, named exactly, with credentials.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::caller::allows;
use crate::app::App;
use crate::store::Store;

/// The origin that an answer may be read by; put into the request by [`preflight`].
#[derive(Clone)]
struct Allowed(HeaderValue);

/// Answers preflights, and notes an allowed origin for [`answer`].
pub(super) async fn preflight(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else { return next.run(request).await };
    let site = request.uri().path().strip_prefix("/v1/sites/").and_then(|path| path.split('/').next());
    let allowed = site.is_some_and(|id| {
        let registry = app.store.registry();
        registry.site(id).is_some_and(|site| origin.to_str().is_ok_and(|origin| allows(site, origin)))
    });
    if request.method() == Method::OPTIONS {
        let mut response = StatusCode::NO_CONTENT.into_response();
        if allowed {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("content-type, consent-subject"),
            );
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
            allow(&mut response, origin);
        }
        return response;
    }
    if allowed {
        request.extensions_mut().insert(Allowed(origin));
    }
    next.run(request).await
}

/// Lets the page read an answer that was given before the route was asked.
pub(super) fn answer_early(request: &Request, mut response: Response) -> Response {
    if let Some(Allowed(origin)) = request.extensions().get::<Allowed>().cloned() {
        allow(&mut response, origin);
    }
    response
}

/// Lets the page read the answer. Only the routes for browsers have this.
pub(super) async fn answer(request: Request, next: Next) -> Response {
    let allowed = request.extensions().get::<Allowed>().cloned();
    let mut response = next.run(request).await;
    if let Some(Allowed(origin)) = allowed {
        allow(&mut response, origin);
    }
    response
}

fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
