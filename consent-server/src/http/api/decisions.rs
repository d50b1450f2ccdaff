//! Recording a decision.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use consent_core::consent::{Consent, Effect};
use consent_core::decision::{Control, Decision, Layer, Method, Signals, Source};
use consent_core::id::{ChoiceId, Language, RecordId, SubjectId};
use consent_core::record::Hex32;
use consent_core::time::UnixMillis;
use cookie::{Cookie, SameSite};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::ToSchema;

use super::form;
use crate::app::App;
use crate::http::object::ConsentObject;
use crate::http::problem::Problem;
use crate::http::shapes::{Choice, ControlWord, LayerWord, MethodWord, SignalsShown, SourceWord, Tag, Uuid};
use crate::http::{body, caller, limit};
use crate::keys::Role;
use crate::store::{Behalf, NewDecision, Recorded, Site, Store, has_words};

/// The longest evidence text, in bytes.
const MAX_EVIDENCE: usize = 4096;

/// The most ids that a decision may name: more than a cookie holds, and few enough to be compared with each other.
pub(super) const MAX_GRANTED: usize = 256;

pub(super) fn too_many() -> Problem {
    Problem::refused(format!("at most {MAX_GRANTED} ids at once")).at("/granted")
}

/// What a person decided in one act.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DecisionBody {
    /// Chosen by who decides, so that sending it twice is one record: a UUID of version 7, or 4.
    #[schema(value_type = Uuid)]
    id: RecordId,
    /// The last decision that this browser knew for the subject. Without it, only the first decision of a subject can grant.
    #[schema(value_type = Option<Uuid>)]
    prev: Option<RecordId>,
    /// By whom. Left out by who carries no identifier.
    #[schema(value_type = Option<Uuid>)]
    subject: Option<SubjectId>,
    /// The notice version that was shown.
    notice: u32,
    /// The language it was shown in.
    #[schema(value_type = Tag)]
    language: Language,
    /// Where.
    #[schema(value_type = LayerWord)]
    layer: Layer,
    /// By which act.
    #[schema(value_type = MethodWord)]
    method: Method,
    /// The control that was used.
    #[schema(value_type = Option<ControlWord>)]
    control: Option<Control>,
    /// The optional categories, or services as `category:service`, that are granted.
    #[schema(value_type = Vec<Choice>, max_items = 256)]
    granted: Vec<ChoiceId>,
    /// When, by the clock of who decided.
    #[schema(value_type = String, format = DateTime)]
    decided_at: UnixMillis,
    /// The browser's signals.
    #[serde(default, deserialize_with = "signals_by_name")]
    #[schema(value_type = SignalsShown)]
    signals: Signals,
    /// SHA-256 of the widget's build, in hexadecimal.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    widget: Option<Hex32>,
    /// With a key, on a person's behalf: how the controller learnt of it.
    #[schema(value_type = Option<SourceWord>)]
    source: Option<Source>,
    /// With a key: the evidence, in words. It is kept beside the log, which holds a keyed hash of it.
    /// With source `import` it is the text that the person was shown: without it the record is kept and grants nothing.
    evidence: Option<String>,
}

/// What is derived would take a list of the values as well.
fn signals_by_name<'de, D: Deserializer<'de>>(from: D) -> Result<Signals, D::Error> {
    let fields = serde_json::Map::deserialize(from)?;
    serde_json::from_value(fields.into()).map_err(D::Error::custom)
}

/// The decision is on disk.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Decided<'a> {
    /// The record.
    #[schema(value_type = String, format = "uuid")]
    id: RecordId,
    /// Its index in the log.
    index: u64,
    /// When it was recorded.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: UnixMillis,
    /// Whose it is.
    #[schema(value_type = String, format = "uuid")]
    subject: SubjectId,
    /// What it did when it was recorded: `stale` if its grants came too late to count, `unproven` if it is an import without
    /// evidence of what the person was shown.
    #[schema(value_type = String, example = "applied")]
    effect: Effect,
    /// What holds now.
    consent: ConsentObject<'a>,
}

/// Record a decision.
///
/// From a page of the site: `Origin` must be one of the site's. With a backend key: on a person's behalf, `source` says how it was
/// learnt. Answers only after the record is durable. Sending the same decision again is harmless.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/decisions",
    tag = "public",
    request_body = DecisionBody,
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 201, description = "Recorded", body = Decided),
        (status = 200, description = "Recorded before; `consent` is what holds now", body = Decided),
        (status = 303, description = "Recorded; the request was a form, and leads back to its page"),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "A bad key", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A foreign origin, or a key for something else", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The id was used for another decision", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not a JSON media type", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Refused: says what and where", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many from here, or for this site: `Retry-After` says when. What grants nothing new to a known subject is never limited", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again", body = Problem, content_type = "application/problem+json"),
    ),
    security((), ("key" = []))
)]
pub(in crate::http) async fn record(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // A request with a key is a backend's, and a bad key never falls back to what a browser may do.
    let (site, key, origin) = if headers.contains_key(header::AUTHORIZATION) {
        let (site, key) = caller::with_key(&app, &headers, &site, Role::Backend)?;
        (site, Some(key), None)
    } else {
        let site = caller::site(&app, &site)?;
        let origin = caller::origin(&site, &headers)?;
        (site, None, Some(origin))
    };
    if origin.is_some() && form::is_form(&headers) {
        let (decision, back) = form::read(&app, &site, &headers, body).await?;
        limit::decision(&app, &site, &headers, &decision)?;
        let (id, layer, method) = (decision.decision.id, decision.decision.layer, decision.decision.method);
        let language = decision.language.clone();
        let recorded = app.store.decide(&site, decision).await?;
        count(&app, &site, method, &recorded);
        let cookie = answer(&app, &site, id, layer, origin, &recorded).headers_mut().remove(header::SET_COOKIE);
        let mut response = form::answer(&site, method, &language, back);
        response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        return Ok(response);
    }
    let request: DecisionBody = body::json(&headers, body).await?;
    if request.granted.len() > MAX_GRANTED {
        return Err(too_many());
    }
    let behalf = behalf(&request, key)?;
    let (id, layer, method) = (request.id, request.layer, request.method);
    let decision = NewDecision {
        decision: Decision {
            id,
            prev: request.prev,
            method: request.method,
            layer,
            granted: request.granted,
            decided_at: request.decided_at,
            signals: request.signals,
            on_behalf: behalf.is_some(),
        },
        subject: request.subject,
        notice: request.notice,
        language: request.language,
        control: request.control,
        widget: request.widget,
        behalf,
    };
    if origin.is_some() {
        limit::decision(&app, &site, &headers, &decision)?;
    }
    let recorded = app.store.decide(&site, decision).await?;
    count(&app, &site, method, &recorded);
    Ok(answer(&app, &site, id, layer, origin, &recorded))
}

fn count(app: &App, site: &Site, method: Method, recorded: &Recorded) {
    if !recorded.repeated {
        app.metrics.decided(site.id.as_str(), method.as_str(), recorded.effect.as_str());
    }
}

fn behalf(request: &DecisionBody, key: Option<String>) -> Result<Option<Behalf>, Problem> {
    let too_long = request.evidence.as_ref().is_some_and(|text| text.len() > MAX_EVIDENCE);
    match (key, request.source) {
        (_, _) if request.evidence.as_deref().is_some_and(|text| !has_words(text)) => {
            Err(Problem::refused("evidence without words is none: leave it out").at("/evidence"))
        }
        (_, _) if too_long => Err(Problem::refused(format!("evidence may have {MAX_EVIDENCE} bytes")).at("/evidence")),
        (Some(actor), Some(source)) => {
            Ok(Some(Behalf { source, evidence: request.evidence.clone(), actor, earlier: None }))
        }
        (Some(_), None) => {
            Err(Problem::refused("a decision on a person's behalf says how it was learnt: source is missing")
                .at("/source"))
        }
        (None, Some(_)) => Err(Problem::refused("source needs a backend key").at("/source")),
        (None, None) if request.evidence.is_some() => {
            Err(Problem::refused("evidence needs a backend key").at("/evidence"))
        }
        (None, None) => Ok(None),
    }
}

fn answer(app: &App, site: &Site, id: RecordId, layer: Layer, origin: Option<&str>, recorded: &Recorded) -> Response {
    let now = app.clock.now();
    // The store has recorded it on a published version, so there is one.
    let registry = app.store.registry();
    let site = registry.site(site.id.as_str()).map_or(site, |site| &**site);
    let Some(published) = site.notice() else {
        return Problem::not_found("the site has no notice").into_response();
    };
    let outline = &published.outline;
    let status = if recorded.repeated { StatusCode::OK } else { StatusCode::CREATED };
    let body = Decided {
        id,
        index: recorded.index,
        recorded_at: recorded.recorded_at,
        subject: recorded.subject,
        effect: recorded.effect,
        consent: ConsentObject::new(site, outline, recorded.subject, &recorded.consent, now),
    };
    let mut response = (status, Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // What was granted for one page view is not in the cookie, and says nothing about what is.
    if let Some(origin) = origin
        && layer != Layer::Placeholder
        && let Some(cookie) = cookie(site, published, &recorded.consent, recorded.subject, origin, now)
        && let Ok(value) = HeaderValue::from_str(&cookie)
    {
        headers.insert(header::SET_COOKIE, value);
    }
    response
}

/// The cookie that says what holds now, or clears it where nothing may be there.
fn cookie(
    site: &Site,
    published: &crate::store::Published,
    consent: &Consent,
    subject: SubjectId,
    origin: &str,
    now: UnixMillis,
) -> Option<String> {
    let shown = (consent.identified || published.notice.id_for_refusals()).then_some(subject);
    let value = consent.to_cookie(&published.outline, shown, now);
    let (value, days) = match value {
        Some(cookie) => (cookie.value(), i64::from(published.outline.renew_after_days)),
        None if consent.forgotten => (String::new(), 0),
        None => return None,
    };
    let mut cookie = Cookie::build((site.settings.cookie_name.as_str(), value))
        .path("/")
        .same_site(if site.settings.frames { SameSite::None } else { SameSite::Lax })
        .secure(site.settings.frames || !is_loopback(origin))
        .build();
    if let Some(domain) = &site.settings.cookie_domain {
        cookie.set_domain(domain.as_str());
    }
    // The crate's own max-age takes a type of another time library; the attribute is two words.
    Some(format!("{cookie}; Max-Age={}", days * 86_400))
}

/// Plain HTTP on this machine, where a browser would not store a `Secure` cookie.
fn is_loopback(origin: &str) -> bool {
    let Some(rest) = origin.strip_prefix("http://") else { return false };
    let host = if rest.starts_with('[') {
        rest.split(']').next().unwrap_or(rest)
    } else {
        rest.split(':').next().unwrap_or(rest)
    };
    matches!(host, "localhost" | "127.0.0.1" | "[::1") || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_loopback_does_without_secure() {
        for (origin, want) in [
            ("http://localhost:8080", true),
            ("http://127.0.0.1", true),
            ("http://[::1]:3000", true),
            ("http://shop.localhost:1", true),
            ("https://localhost", false),
            ("http://localhost.example", false),
            ("http://gardens.example", false),
            ("null", false),
        ] {
            assert_eq!(is_loopback(origin), want, "{origin}");
        }
    }
}
