//! Errors as RFC 9457 problem details: what is wrong and where.

use std::num::NonZeroU16;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::limits::Limited;
use crate::store::{DecideError, LinkError, StoreError};

/// The kind of the answer to a wrong password.
const WRONG_PASSWORD: &str = "wrong-password";

/// A problem detail.
///
/// # Standards
/// RFC 9457 section 3.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem, as a relative URI.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// What exactly.
    pub detail: String,
    /// Where in the request: a JSON pointer, a header or a parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The seconds to wait: as many as `Retry-After` says.
    #[serde(rename = "retry_after_seconds", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u16>, minimum = 1)]
    pub retry_after: Option<NonZeroU16>,
    /// More, depending on the kind.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: Map<String, Value>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(status: StatusCode, kind: &str, title: &'static str, detail: impl Into<String>) -> Self {
        let kind = format!("/problems/{kind}");
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            pointer: None,
            retry_after: None,
            more: Map::new(),
        }
    }

    /// Says how many seconds to wait.
    #[must_use]
    pub fn wait(mut self, seconds: u16) -> Self {
        self.retry_after = NonZeroU16::new(seconds);
        self
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// Says more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// 400: the request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", "The request cannot be read", detail)
    }

    /// 401: no key, or a bad one.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid key is needed", detail)
    }

    /// 401: no such user with this password.
    pub fn wrong_password(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, WRONG_PASSWORD, "The name or the password is wrong", detail)
    }

    /// 403: not by this caller.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// 404: no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 503: waiting helps.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again", detail).wait(1)
    }

    /// 409: it does not fit what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "It does not fit what is there", detail)
    }

    /// 429: too many requests. The answer has `Retry-After`, and the limit as a draft of the IETF says it.
    ///
    /// # Standards
    /// RFC 6585 section 4; draft-ietf-httpapi-ratelimit-headers-10.
    pub fn limited(limited: Limited) -> Self {
        let detail = format!("try again in {} s", limited.retry_after_seconds);
        Self::new(StatusCode::TOO_MANY_REQUESTS, "limited", "Too many requests", detail)
            .wait(u16::try_from(limited.retry_after_seconds).unwrap_or(u16::MAX))
            .with("limit", limited.class.as_str())
            .with("burst", limited.burst)
            .with("window_seconds", limited.window_seconds)
    }

    /// What a rate limit says beside `Retry-After`.
    fn limit_headers(&self, after: NonZeroU16, headers: &mut HeaderMap) {
        let number = |name: &str| self.more.get(name).and_then(Value::as_u64).unwrap_or(1);
        let Some(name) = self.more.get("limit").and_then(Value::as_str) else { return };
        let (burst, window) = (number("burst"), number("window_seconds"));
        for (header, value) in [
            ("ratelimit-policy", format!("\"{name}\";q={burst};w={window}")),
            ("ratelimit", format!("\"{name}\";r=0;t={after}")),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(header, value);
            }
        }
    }

    /// 422: readable, but refused.
    pub fn refused(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", "The request is refused", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(super::bare::DEFAULTS);
        if status == StatusCode::UNAUTHORIZED {
            // A 401 has a challenge (RFC 9110 section 15.5.2). That of a login is no key; browsers leave a scheme alone that they do not know.
            let scheme = if self.kind.ends_with(WRONG_PASSWORD) { "Session" } else { "Bearer" };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.get()));
            self.limit_headers(seconds, headers);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy | StoreError::Closed | StoreError::NotWritten(_) | StoreError::Unavailable(_) => {
                Self::unavailable("the store did not take it now")
            }
            StoreError::Conflict(what) => Self::conflict(what),
            StoreError::Ended => Self::unauthorized("the key or session has ended").at("Authorization"),
            StoreError::Forbidden(what) => Self::forbidden(what),
            error => {
                tracing::error!(%error, "the store failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "The service failed",
                    "the store could not answer; nothing was recorded",
                )
            }
        }
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        let detail = error.to_string();
        let conflict = |kind, title| Self::new(StatusCode::CONFLICT, kind, title, detail.clone()).at("/account");
        match error {
            LinkError::Store(error) => error.into(),
            LinkError::UnknownSubject => Self::not_found(detail).at("subject"),
            LinkError::OtherAccount => conflict("other-account", "The subject has an account"),
            LinkError::TooMany => conflict("too-many-subjects", "The account is full"),
        }
    }
}

impl From<DecideError> for Problem {
    fn from(error: DecideError) -> Self {
        use consent_core::decision::DecisionError;
        let detail = error.to_string();
        match error {
            DecideError::Store(error) => error.into(),
            DecideError::Conflict => Self::new(StatusCode::CONFLICT, "conflict", "The id is taken", detail).at("/id"),
            DecideError::UnknownNotice(_) => Self::refused(detail).at("/notice"),
            DecideError::UnknownLanguage(_) => Self::refused(detail).at("/language"),
            DecideError::Refused(DecisionError::Layer(..) | DecisionError::EmptyPlaceholder) => {
                Self::refused(detail).at("/layer")
            }
            DecideError::Refused(DecisionError::OnBehalf(_)) => Self::refused(detail).at("/method"),
            DecideError::Refused(_) => Self::refused(detail).at("/granted"),
        }
    }
}
