//! A choice that comes as a form: from a page without scripts, or before they are there.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use consent_core::decision::{Decision, Layer, Method};
use consent_core::id::{ChoiceId, Language, RecordId, SubjectId};
use consent_core::render::{self, Node};
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::decisions::{MAX_GRANTED, too_many};
use super::layers;
use crate::app::App;
use crate::http::body;
use crate::http::problem::Problem;
use crate::http::visitor::{Visitor, home};
use crate::random;
use crate::store::{NewDecision, Site};

/// Whether a request carries a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    body::media_type(headers).eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// The fields of a form, as they come.
#[derive(Default)]
struct Fields {
    notice: Option<String>,
    language: Option<String>,
    layer: Option<String>,
    method: Option<String>,
    prev: Option<String>,
    back: Option<String>,
    granted: Vec<String>,
}

impl Fields {
    fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let mut fields = Self::default();
        for (name, value) in form_urlencoded::parse(bytes) {
            let value = value.into_owned();
            let field = match &*name {
                "granted" if fields.granted.len() < MAX_GRANTED => {
                    fields.granted.push(value);
                    continue;
                }
                "granted" => return Err(too_many()),
                "notice" => &mut fields.notice,
                "language" => &mut fields.language,
                "layer" => &mut fields.layer,
                "method" => &mut fields.method,
                "prev" => &mut fields.prev,
                "back" => &mut fields.back,
                _ => return Err(Problem::refused(format!("there is no field \"{name}\"")).at(format!("/{name}"))),
            };
            if field.replace(value).is_some() {
                return Err(Problem::refused("this field is there twice").at(format!("/{name}")));
            }
        }
        Ok(fields)
    }
}

fn must<'a>(value: Option<&'a String>, name: &str) -> Result<&'a str, Problem> {
    value
        .map(String::as_str)
        .ok_or_else(|| Problem::refused(format!("the field {name} is missing")).at(format!("/{name}")))
}

/// One of the words of an enum.
fn word<'de, T: serde::Deserialize<'de>>(text: &'de str, name: &str) -> Result<T, Problem> {
    let from: StrDeserializer<'de, ValueError> = text.into_deserializer();
    T::deserialize(from).map_err(|error| Problem::refused(error.to_string()).at(format!("/{name}")))
}

/// What a form decided, ready to be recorded, and where the browser goes then.
///
/// Who it is and which signals it sends is read from the request itself: a page without scripts can tell neither.
///
/// # Errors
/// 413, 415, 422.
pub(super) async fn read(
    app: &App,
    site: &Site,
    headers: &HeaderMap,
    request: Body,
) -> Result<(NewDecision, Option<String>), Problem> {
    let bytes = body::bounded(headers, request, body::LIMIT).await?;
    let fields = Fields::read(&bytes)?;
    let visitor = Visitor::of(site, headers);
    let method: Method = word(must(fields.method.as_ref(), "method")?, "method")?;
    let layer: Layer = word(must(fields.layer.as_ref(), "layer")?, "layer")?;
    let wrong = |name: &'static str| move |error: String| Problem::refused(error).at(format!("/{name}"));
    let notice: u32 =
        must(fields.notice.as_ref(), "notice")?.parse().map_err(|_| Problem::refused("not a number").at("/notice"))?;
    let language = must(fields.language.as_ref(), "language")?;
    let language = Language::parse(language).map_err(|error| wrong("language")(error.to_string()))?;
    let prev = fields.prev.as_deref().map(RecordId::parse).transpose();
    let prev = prev.map_err(|error| wrong("prev")(error.to_string()))?;
    let mut granted = Vec::new();
    // The switches of a form are sent with every button; only Save means them.
    if method == Method::Save {
        for id in &fields.granted {
            granted.push(ChoiceId::parse(id).map_err(|error| wrong("granted")(error.to_string()))?);
        }
    }
    let published = site.version(notice);
    if method == Method::AcceptAll
        && let Some(published) = published
    {
        granted = published.outline.optional().map(|category| ChoiceId::from(&category.id)).collect();
    }
    let now = app.clock.now();
    let known = visitor.cookie.as_ref().and_then(|cookie| cookie.subject);
    let asks_for_id = published.is_some_and(|published| published.notice.id_for_refusals());
    let fresh = (!granted.is_empty() || asks_for_id).then(|| SubjectId::from_random(random::bytes()));
    let mut signals = visitor.signals;
    // The page was drawn for the same browser, and says so where it sends a signal.
    signals.said = signals.on();
    let decision = NewDecision {
        decision: Decision {
            id: RecordId::at(now, &random::bytes()),
            prev,
            method,
            layer,
            granted,
            decided_at: now,
            signals,
            on_behalf: false,
        },
        subject: known.or(fresh),
        notice,
        language,
        control: None,
        widget: None,
        behalf: None,
    };
    Ok((decision, layers::after(site, headers, fields.back.as_deref())))
}

/// Leads the browser back to its page, or to the site where that is not known; says what was done where not even that is.
pub(super) fn answer(site: &Arc<Site>, method: Method, language: &Language, back: Option<String>) -> Response {
    if let Some(back) = back.or_else(|| home(site)).and_then(|back| HeaderValue::from_str(&back).ok()) {
        let mut response = StatusCode::SEE_OTHER.into_response();
        response.headers_mut().insert(header::LOCATION, back);
        return response;
    }
    let Some(published) = site.notice() else { return StatusCode::NO_CONTENT.into_response() };
    let shown = published.notice.for_language(language);
    let said = if method == Method::Forget { &shown.texts.forgotten } else { &shown.texts.saved };
    let body = format!("<main><p>{}</p></main>", Node::Text(said.clone()).html());
    Html(render::page(shown.language, said, &[], &body)).into_response()
}
