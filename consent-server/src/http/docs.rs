//! The description of the API: as JSON, and as a page that asks no other host for anything.

use std::fmt::Write;

use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};

/// Says that keys are bearer tokens, and sessions a cookie.
pub(super) struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("key", scheme);
        let cookie = ApiKeyValue::with_description(
            super::caller::SESSION,
            "Set by POST /v1/session. Requests that change something must come from a page of this service.",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    }
}

/// What a page may load that has our style sheet and nothing else.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'";

pub(super) async fn json() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], super::openapi()).into_response()
}

pub(super) async fn css() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("../../assets/docs.css")).into_response()
}

pub(super) async fn page() -> Response {
    let description: Value = serde_json::from_str(&super::openapi()).unwrap_or_default();
    let mut response = Html(render(&description)).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn render(description: &Value) -> String {
    let mut page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title} API {version}</title><link rel=stylesheet href=/docs.css>\
         <main><h1>{title} API <small>{version}</small></h1><p>{about}</p>\
         <p>The same as <a href=/openapi.json>OpenAPI {openapi}</a>.</p>",
        title = text(&description["info"]["title"]),
        version = text(&description["info"]["version"]),
        about = text(&description["info"]["description"]),
        openapi = text(&description["openapi"]),
    );
    let paths = description["paths"].as_object();
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            operation_html(&mut page, path, method, operation);
        }
    }
    page.push_str("<h2>Shapes</h2>");
    for (name, schema) in description["components"]["schemas"].as_object().into_iter().flatten() {
        schema_html(&mut page, name, schema);
    }
    page.push_str("</main></html>");
    page
}

fn operation_html(page: &mut String, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        page,
        "<section><h2><code><b>{}</b> {}</code></h2><p><strong>{}</strong></p><p>{}</p>",
        escape(&method.to_uppercase()),
        escape(path),
        text(&operation["summary"]),
        text(&operation["description"])
    );
    let parameters = operation["parameters"].as_array();
    if parameters.is_some_and(|list| !list.is_empty()) {
        page.push_str("<h3>Parameters</h3><dl>");
        for parameter in parameters.into_iter().flatten() {
            let _ = write!(
                page,
                "<dt><code>{}</code> <small>{}</small><dd>{}",
                text(&parameter["name"]),
                text(&parameter["in"]),
                text(&parameter["description"])
            );
        }
        page.push_str("</dl>");
    }
    for content in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ =
            write!(page, "<h3>Body</h3><p><code>{}</code>, {}</p>", escape(content.0), reference(&content.1["schema"]));
    }
    page.push_str("<h3>Answers</h3><dl>");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let _ = write!(page, "<dt><code>{}</code><dd>{}", escape(status), text(&answer["description"]));
        for content in answer["content"].as_object().into_iter().flatten() {
            let _ = write!(page, " <small>{}</small> {}", escape(content.0), reference(&content.1["schema"]));
        }
    }
    page.push_str("</dl></section>");
}

fn reference(schema: &Value) -> String {
    match schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        Some(name) => format!("<a href=\"#{0}\">{0}</a>", escape(name)),
        None => kind(&schema["type"]),
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        Value::Array(list) => list.iter().map(kind).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}

fn schema_html(page: &mut String, name: &str, schema: &Value) {
    let _ = write!(page, "<section id=\"{0}\"><h3>{0}</h3><p>{1}</p><dl>", escape(name), text(&schema["description"]));
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        let needed = if required.contains(&field.as_str()) { "" } else { ", optional" };
        let _ = write!(
            page,
            "<dt><code>{}</code> <small>{}{needed}</small><dd>{}",
            escape(field),
            reference(schema),
            text(&schema["description"])
        );
    }
    page.push_str("</dl></section>");
}
