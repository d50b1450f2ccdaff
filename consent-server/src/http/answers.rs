//! Answers that many routes have in common, for the description of the API.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use utoipa::IntoResponses;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

fn problems<const N: usize>(answers: [(&str, &str); N]) -> BTreeMap<String, RefOr<Response>> {
    let problem = |description: &str| {
        let content = Content::new(Some(Ref::from_schema_name("Problem")));
        ResponseBuilder::new().description(description).content("application/problem+json", content).build().into()
    };
    answers.into_iter().map(|(status, description)| (status.to_owned(), problem(description))).collect()
}

/// An answer that nothing between may keep.
pub(super) fn private(answer: impl IntoResponse) -> axum::response::Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What every route for officers and admins may answer.
pub(super) struct Guarded;

impl IntoResponses for Guarded {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems([
            ("400", "A path or a parameter that cannot be read"),
            ("401", "Neither a live key nor a live session"),
            ("403", "Another role, another site, or a session's request from another origin"),
            ("429", "Too many requests with this key or by this user: `Retry-After` says when"),
            ("503", "Try again"),
        ])
    }
}

/// What every route that reads a JSON body may answer, beside [`Guarded`].
pub(super) struct Bodied;

impl IntoResponses for Bodied {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems([
            ("413", "The body is too large"),
            ("415", "Not a JSON media type"),
            ("422", "Refused: says what and where"),
        ])
    }
}
