//! People with an account: their devices linked, and asked about together.
//!
//! The account id comes in bodies only, never in an address that a proxy logs, and is in no answer, not even where it is refused.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Deserializer, de::Error as _};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::object::{self, ConsentObject};
use crate::http::problem::Problem;
use crate::http::shapes::Subject;
use crate::http::{bare, body, caller};
use crate::keys::Role;
use crate::store::{AccountId, MAX_ACCOUNT, Store};

/// An account id, without saying what was there instead if it is none.
fn account<'de, D: Deserializer<'de>>(from: D) -> Result<AccountId, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    let id = value.as_str().and_then(AccountId::parse);
    id.ok_or_else(|| D::Error::custom(format!("the account is a text of 1 to {MAX_ACCOUNT} bytes")))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LinkBody {
    /// Your own id of the account, byte for byte. Only its keyed hash is kept.
    #[serde(deserialize_with = "account")]
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    account: AccountId,
}

/// Link a subject to an account.
///
/// Do so when a person signs in; the same link again is harmless. A link does not move: a subject that has another account keeps it.
/// That a subject was linked is a record of the log; the account is not in it.
#[utoipa::path(
    put,
    path = "/v1/sites/{site}/subjects/{subject}/account",
    tag = "backend",
    request_body = LinkBody,
    params(
        ("site" = String, Path, description = "The site"),
        ("subject" = inline(Subject), Path, description = "The subject, as a UUID or as in the cookie"),
    ),
    responses(
        (status = 204, description = "It is linked"),
        (status = 400, description = "Not a subject, or not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key, or a bad one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A key for something else", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Nothing was ever recorded for the subject", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The subject has another account, or the account is full", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not a JSON media type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused: says what and where", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests with this key: `Retry-After` says when", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again", body = Problem, content_type = "application/problem+json"),
    ),
    security(("key" = []))
)]
pub(in crate::http) async fn link(
    State(app): State<Arc<App>>,
    Path((site, subject)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (site, key) = caller::with_key(&app, &headers, &site, Role::Backend)?;
    let subject = object::subject(&subject, "subject")?;
    let request: LinkBody = body::json(&headers, body).await?;
    app.store.link(&site, subject, request.account, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct AccountBody {
    /// Your own id of the account.
    #[serde(deserialize_with = "account")]
    #[schema(value_type = String, min_length = 1, max_length = 256)]
    account: AccountId,
    /// A category, or `category:service`: `allowed` answers for it.
    category: Option<String>,
}

/// Check an account.
///
/// In each category the latest explicit answer of any linked device: *close* and signals count for their own device only. `subject` is
/// null. Unknown, expired, outdated and forgotten read as denied, and so must an error.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/accounts/consent",
    tag = "backend",
    request_body = AccountBody,
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 200, description = "What holds for the account now", body = ConsentObject),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key, or a bad one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A key for something else", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "Unknown category: lists those that there are", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not a JSON media type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused: says what and where", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests with this key: `Retry-After` says when", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again, and deny meanwhile", body = Problem, content_type = "application/problem+json"),
    ),
    security(("key" = []))
)]
pub(in crate::http) async fn consent(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (site, _) = caller::with_key(&app, &headers, &site, Role::Backend)?;
    let request: AccountBody = body::json(&headers, body).await?;
    let outline = &site.notice().ok_or_else(|| Problem::not_found("the site has no notice"))?.outline;
    let choice = request.category.as_deref().map(|text| object::choice(outline, text)).transpose()?;
    let consent = app.store.account(&site, &request.account)?;
    let now = app.clock.now();
    let mut object = ConsentObject::new(&site, outline, None, &consent, now);
    object.allowed = choice.map(|choice| consent.view(outline, now, false).granted(&choice));
    Ok(bare::json(&object))
}
