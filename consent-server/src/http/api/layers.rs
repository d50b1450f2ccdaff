//! What people see, for the widget and for pages without it: settings, declaration, and the first layer as HTML.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use consent_core::consent::Status;
use consent_core::notice::PublicNotice;
use consent_core::render::{self, Hidden, Node, Standing};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;

use super::notice::Asked;
use crate::app::App;
use crate::http::problem::Problem;
use crate::http::reading::{Reading, SOON};
use crate::http::script;
use crate::http::visitor::{Visitor, home, page_of, referrer};
use crate::store::{Site, Store};
use crate::widget;

const JSON: &str = "application/json";

/// The texts that the settings need while they are open.
fn words(shown: &PublicNotice<'_>) -> serde_json::Value {
    let t = shown.texts;
    json!({
        "error": t.error, "saved": t.saved, "forgotten": t.forgotten, "close": t.close, "outdated": t.outdated,
        "details": t.details, "hide_details": t.hide_details, "on": t.on, "off": t.off, "always_on": t.always_on,
        "consent_id": t.consent_id, "no_consent_id": t.no_consent_id, "chosen_on": t.chosen_on,
    })
}

/// What the settings ask.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct SettingsAsked {
    /// A language tag; without it the browser's languages decide.
    lang: Option<String>,
    /// The notice version that the person chose under: what has changed since then is told.
    since: Option<String>,
}

/// The settings dialog, drawn, with what the widget needs to bring it to life.
///
/// For the widget; its shape may change with it. `GET …/notice` is the description of the notice for others.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/settings",
    tag = "public",
    params(("site" = String, Path, description = "The site"), SettingsAsked),
    responses(
        (status = 200, description = "Trees of elements as JSON", body = Object),
        (status = 304, description = "Not changed"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn settings(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    Query(asked): Query<SettingsAsked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reading = Reading::of(&app, &site, asked.lang.as_deref(), &headers)?;
    let Reading { site, published, .. } = &reading;
    // A version that there was; anything else has nothing to tell.
    let since = asked.since.as_deref().and_then(|since| since.parse().ok());
    let chosen = since.filter(|since| *since < published.outline.version).and_then(|since| site.version(since));
    let what = format!("settings {}", chosen.map_or(0, |chosen| chosen.outline.version));
    let make = || {
        let shown = reading.shown();
        let changes = chosen.and_then(|chosen| render::changes(&chosen.notice, &published.notice, &shown));
        let stored: Vec<_> = shown
            .categories
            .iter()
            .filter(|category| !category.necessary)
            .flat_map(|category| category.services.iter().map(move |service| (category.id, service)))
            .flat_map(|(id, service)| service.cookies.iter().map(move |c| json!([id, c.storage, c.name])))
            .collect();
        json!({
            "v": published.outline.version,
            "days": published.outline.renew_after_days,
            "c": script::categories(published, &shown),
            "t": words(&shown),
            "dialog": render::settings(&shown).json(),
            "stored": stored,
            "changes": changes.as_ref().map(Node::json),
        })
        .to_string()
    };
    Ok(reading.answer(&what, JSON, SOON, make).await)
}

/// What the notice in force declares, as a tree of elements, for `<div data-consent-declaration>`.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/declaration",
    tag = "public",
    params(("site" = String, Path, description = "The site"), Asked),
    responses(
        (status = 200, description = "A tree of elements as JSON", body = Vec<serde_json::Value>),
        (status = 304, description = "Not changed"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn declaration(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reading = Reading::of(&app, &site, asked.lang.as_deref(), &headers)?;
    let make = || render::declaration(&reading.shown(), false).json().to_string();
    Ok(reading.answer("declaration", JSON, SOON, make).await)
}

/// What a page with HTML of ours asks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Page {
    /// A language tag; without it the browser's languages decide.
    #[serde(alias = "language")]
    lang: Option<String>,
    /// With any value: the part itself, to be put into a page, not a page of its own.
    fragment: Option<String>,
}

const HTML: &str = "text/html; charset=utf-8";

/// A page of ours: its own style, nothing else, no scripts; forms go to this service.
fn page(shown: &PublicNotice<'_>, title: &str, body: &str) -> String {
    let sheet = widget::by_ending("page.css").map(|asset| format!("/assets/{}", asset.name)).unwrap_or_default();
    render::page(shown.language, title, &[&sheet], body)
}

/// What a page that includes the first layer asks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct BannerAsked {
    /// A language tag; without it the browser's languages decide.
    lang: Option<String>,
    /// `link`: the style comes from a file, for pages whose policy allows no style in the page.
    style: Option<String>,
    /// The nonce of the page's policy, for the style in the page.
    nonce: Option<String>,
    /// The address of the page, to lead back to after a choice, where the page sends no `Referer`.
    page: Option<String>,
}

/// The first layer as HTML, for a page that carries it from the start; nothing for a visitor who has chosen.
///
/// For includes on the server. Pass on the visitor's `Cookie`, `Sec-GPC` and `DNT`, and do not keep the answer for others. Its buttons
/// are a form until `consent.js` takes over, so it works without scripts.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/banner.html",
    tag = "public",
    params(("site" = String, Path, description = "The site"), BannerAsked),
    responses(
        (status = 200, description = "HTML to be put at the beginning of the body; empty where nothing is to be asked", body = String, content_type = "text/html"),
        (status = 400, description = "Not a nonce", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn banner(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    Query(asked): Query<BannerAsked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reading = Reading::of(&app, &site, asked.lang.as_deref(), &headers)?;
    let Reading { site, published, .. } = &reading;
    let visitor = Visitor::of(site, &headers);
    let nonce = asked.nonce.as_deref();
    if nonce.is_some_and(|nonce| nonce.bytes().any(|b| !b.is_ascii_alphanumeric() && !b"+/=-_".contains(&b))) {
        return Err(Problem::malformed("a nonce is letters, digits and + / - _ =").at("nonce"));
    }
    let (status, _) = visitor.stands(published, app.clock.now());
    let html = if status == Status::Valid {
        String::new()
    } else {
        let style = widget::style(
            &["banner.css"],
            &published.notice.theme().css(),
            asked.style.as_deref() == Some("link"),
            nonce,
        );
        let shown = reading.shown();
        let path = |name: &str| format!("/v1/sites/{}/{name}", site.id);
        let mut hidden = fields(&app, site, &shown, &visitor, "first")?;
        hidden.0.extend(asked.page.as_deref().and_then(|page| page_of(site, page)).map(|page| ("back", page)));
        let form = render::Form { action: path("decisions"), settings: path("settings.html"), hidden };
        render::banner_html(&shown, &style, visitor.signals.on(), Some(&form))
    };
    Ok(private(html, None))
}

/// An answer for one visitor.
fn private(html: String, policy: Option<String>) -> Response {
    let mut response = html.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Cookie, Sec-GPC, DNT, Accept-Language"));
    if let Some(policy) = policy.and_then(|policy| HeaderValue::from_str(&policy).ok()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        // The form's page is found again by where it was sent from.
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    response
}

/// The hidden fields that a form sends along with a choice.
fn fields(
    app: &App,
    site: &Site,
    shown: &PublicNotice<'_>,
    visitor: &Visitor,
    layer: &'static str,
) -> Result<Hidden, Problem> {
    let mut fields = vec![
        ("notice", shown.version.to_string()),
        ("language", shown.language.to_string()),
        ("layer", layer.to_owned()),
    ];
    // The last decision that this browser can know of: what it shows is what holds now.
    if let Some(subject) = visitor.cookie.as_ref().and_then(|cookie| cookie.subject)
        && let Some(consent) = app.store.consent(site, &subject)?
        && let Some(last) = consent.last
    {
        fields.push(("prev", last.id.to_string()));
    }
    Ok(Hidden(fields))
}

/// The settings as a page, for browsers without scripts.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/settings.html",
    tag = "public",
    params(("site" = String, Path, description = "The site"), Page),
    responses(
        (status = 200, description = "A page with a form", body = String, content_type = "text/html"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn settings_page(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    Query(asked): Query<Page>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reading = Reading::of(&app, &site, asked.lang.as_deref(), &headers)?;
    let Reading { site, published, .. } = &reading;
    let shown = reading.shown();
    let visitor = Visitor::of(site, &headers);
    let (status, granted) = visitor.stands(published, app.clock.now());
    let cookie = visitor.cookie.as_ref();
    let standing = Standing {
        granted,
        subject: cookie.and_then(|cookie| cookie.subject).map(|subject| subject.to_string()),
        chosen_on: cookie.map(|cookie| day(&cookie.decided_at.to_string())),
        signalled: visitor.signals.on(),
        outdated: status == Status::Outdated,
    };
    let back = referrer(site, &headers).filter(|page| !page.contains("/settings.html"));
    let back = back.or_else(|| home(site)).unwrap_or_else(|| "/".to_owned());
    let mut hidden = fields(&app, site, &shown, &visitor, "settings")?;
    hidden.0.push(("back", back.clone()));
    let action = format!("/v1/sites/{}/decisions", site.id);
    let main = render::settings_page(&shown, &standing, &action, &hidden, &back);
    let style = widget::style(&["banner.css", "page.css", "settings.css"], "", true, None);
    let body = render::in_shadow(&style, &main);
    // The answer to the form leads back to the page, which a policy counts as part of sending it.
    let to: Vec<_> = site.settings.origins.iter().map(String::as_str).collect();
    let policy =
        format!("default-src 'none'; style-src 'self'; form-action 'self' {}; frame-ancestors 'none'", to.join(" "));
    Ok(private(page(&shown, &shown.texts.settings_title, &body), Some(policy)))
}

/// The day of an RFC 3339 time, and the minute, in UTC.
fn day(time: &str) -> String {
    time.get(..16).map_or_else(|| time.to_owned(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

/// What the notice in force declares, as a page, or as a part of one.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/declaration.html",
    tag = "public",
    params(("site" = String, Path, description = "The site"), Page),
    responses(
        (status = 200, description = "HTML", body = String, content_type = "text/html"),
        (status = 304, description = "Not changed"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn declaration_page(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    Query(asked): Query<Page>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let reading = Reading::of(&app, &site, asked.lang.as_deref(), &headers)?;
    let whole = asked.fragment.is_none();
    let make = || {
        let shown = reading.shown();
        let section = render::declaration(&shown, whole).html();
        if whole {
            let title = &shown.texts.services;
            let heading = Node::Element("h1", Vec::new(), vec![Node::Text(title.clone())]).html();
            page(&shown, title, &format!("<main>{heading}{section}</main>"))
        } else {
            section
        }
    };
    let mut response = reading.answer(&format!("declaration.html {whole}"), HTML, SOON, make).await;
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'self'; frame-ancestors *");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

/// Where a browser goes after a form: `back` if it names a page of the site, else where the request says it comes from.
pub(super) fn after(site: &Site, headers: &HeaderMap, back: Option<&str>) -> Option<String> {
    back.and_then(|back| page_of(site, back)).or_else(|| referrer(site, headers))
}
