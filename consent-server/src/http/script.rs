//! `consent.js`, composed for a site and a language, and the widget's other files.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use consent_core::adapter::{Adapter, Options};
use consent_core::id::Language;
use consent_core::notice::Preset;
use consent_core::outline::{CategoryOutline, Outline};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use crate::app::App;
use crate::store::{Published, Site};
use crate::widget;

/// A script in every encoding.
struct Script {
    etag: String,
    raw: Vec<u8>,
    gzip: Vec<u8>,
    brotli: Vec<u8>,
}

/// What was composed and compressed before, by what it was made from.
#[derive(Default)]
pub struct Compressed(Mutex<HashMap<[u8; 32], Arc<Script>>>);

/// The most scripts kept: sites times languages, bounded.
const MOST: usize = 4096;

impl Compressed {
    fn of(&self, text: String) -> Arc<Script> {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let known = |scripts: &HashMap<_, Arc<Script>>| scripts.get(&digest).map(Arc::clone);
        if let Some(script) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return script;
        }
        let script = Arc::new(Script {
            etag: format!("\"{}\"", BASE64URL_NOPAD.encode(&digest[..16])),
            gzip: gzip(text.as_bytes()),
            brotli: brotli(text.as_bytes()),
            raw: text.into_bytes(),
        });
        let mut scripts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if scripts.len() >= MOST {
            scripts.clear();
        }
        scripts.insert(digest, Arc::clone(&script));
        script
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let settings = brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 18, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut out, &settings).expect("writing to memory does not fail");
    out
}

/// The encodings that a client takes.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|part| {
        let mut part = part.split(';').map(str::trim);
        part.next() == Some(encoding) && !part.any(|parameter| parameter == "q=0")
    })
}

/// The smallest form that the client takes.
fn encoded<'a>(
    headers: &HeaderMap,
    raw: &'a [u8],
    gzip: &'a [u8],
    brotli: &'a [u8],
) -> (&'a [u8], Option<&'static str>) {
    if accepts(headers, "br") {
        (brotli, Some("br"))
    } else if accepts(headers, "gzip") {
        (gzip, Some("gzip"))
    } else {
        (raw, None)
    }
}

fn send(body: Vec<u8>, encoding: Option<&'static str>, kind: &'static str, cache: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    // Pages of other origins load these; there is nothing in them that is not public.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// A file of the widget. Its name changes with its content, so it is kept for good.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let asset = widget::FILES.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| Problem::not_found("there is no such file"))?;
    let (body, encoding) = encoded(&headers, asset.raw, asset.gzip, asset.brotli);
    Ok(send(body.to_vec(), encoding, asset.kind, "public, max-age=31536000, immutable"))
}

/// `consent.js` for a site.
pub(super) fn answer(
    app: &App,
    site: &Site,
    published: &Published,
    language: &Language,
    headers: &HeaderMap,
    negotiated: bool,
) -> Response {
    const CACHE: &str = "public, max-age=300, stale-while-revalidate=86400";
    const KIND: &str = "text/javascript; charset=utf-8";
    let script = app.scripts.of(compose(site, published, language));
    let same = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim().trim_start_matches("W/") == script.etag));
    let mut response = if same {
        let mut response = send(Vec::new(), None, KIND, CACHE);
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let (body, encoding) = encoded(headers, &script.raw, &script.gzip, &script.brotli);
        send(body.to_vec(), encoding, KIND, CACHE)
    };
    let out = response.headers_mut();
    if negotiated {
        out.append(header::VARY, HeaderValue::from_static("Accept-Language"));
    }
    if let Ok(etag) = HeaderValue::from_str(&script.etag) {
        out.insert(header::ETAG, etag);
    }
    response
}

/// The loader with the site's configuration put in.
fn compose(site: &Site, published: &Published, language: &Language) -> String {
    let shown = published.notice.for_language(language);
    let texts = shown.texts;
    let address = |ending| widget::by_ending(ending).map(|asset| format!("/assets/{}", asset.name));
    let mut t = json!({
        "title": texts.title,
        "intro": texts.intro,
        "withdraw_hint": texts.withdraw_hint,
        "privacy_policy": texts.privacy_policy,
        "settings": texts.settings,
        "reopen": texts.reopen,
        "error": texts.error,
        "signal_said": texts.signal_said,
        "placeholder_text": texts.placeholder_text,
        "placeholder_once": texts.placeholder_once,
        "placeholder_always": texts.placeholder_always,
    });
    // Only what its first layer says: every byte of this is paid by every visitor.
    let actions = if shown.preset == Preset::Choice {
        [("accept", &texts.accept), ("reject", &texts.reject)]
    } else {
        [("close", &texts.close), ("close_label", &texts.close_label)]
    };
    for (name, text) in actions {
        t[name] = json!(text);
    }
    let mut config = json!({
        "site": site.id,
        "v": published.outline.version,
        "lang": shown.language,
        "preset": shown.preset,
        "days": published.outline.renew_after_days,
        "name": site.settings.cookie_name,
        "policy": shown.privacy_policy,
        "c": published.outline.categories.iter().map(category).collect::<Vec<_>>(),
        "t": t,
        "core": address(".js"),
        "wasm": address(".wasm"),
    });
    if let Some(domain) = &site.settings.cookie_domain {
        config["domain"] = json!(domain);
    }
    if published.notice.id_for_refusals() {
        config["idr"] = json!(true);
    }
    let mut config = inert(&config);
    let adapters: Vec<_> = published.notice.adapters().iter().filter_map(|a| adapter(a, &published.outline)).collect();
    if !adapters.is_empty() {
        // In a script this is an object literal, so functions may stand in it.
        config.truncate(config.len() - 1);
        config = format!("{config},\"a\":[{}]}}", adapters.join(","));
    }
    widget::LOADER.replace(widget::CONFIG, &config)
}

/// As JSON that cannot end the script it is in.
fn inert(value: &serde_json::Value) -> String {
    // "</" would end an inline script, and U+2028 and U+2029 a line, where a site pastes the script into its page.
    value.to_string().replace("</", "<\\/").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// `[FUNCTION, MAP, OPTIONS]`: how a platform is told, where its words' answers come from, and what else it is told.
fn adapter(adapter: &Adapter, outline: &Outline) -> Option<String> {
    let (_, function) = widget::ADAPTERS.iter().find(|(name, _)| *name == adapter.id.as_str())?;
    let map: serde_json::Map<_, _> =
        adapter.answers(outline).into_iter().map(|(word, answer)| (word.to_owned(), json!(answer))).collect();
    // How a site loads its tags is no business of the browser's.
    let options = json!(Options { advanced: false, ..adapter.options.clone() });
    Some(format!("[{function},{},{}]", inert(&map.into()), inert(&options)))
}

fn category(category: &CategoryOutline) -> serde_json::Value {
    let services: Vec<_> = category.services.iter().map(|service| json!([service.id, service.since])).collect();
    json!([category.id, u8::from(!category.necessary), u8::from(category.signals), category.since, services])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_carries_no_script_of_the_notice() {
        let json = r#"{
            "id": "google-consent-mode",
            "map": {"ad_storage": "marketing", "security_storage": "functional", "</script>": "marketing"},
            "options": {"regions": ["</script>\u2028"], "advanced": true}
        }"#;
        let outline = Outline::builder(1).necessary("functional").optional("marketing").build().unwrap();
        // The lint lets no such notice be published; this is how it would be served all the same.
        let served = adapter(&serde_json::from_str(json).unwrap(), &outline).unwrap();
        let data = served.strip_prefix('[').unwrap().strip_prefix(widget::ADAPTERS[0].1).unwrap();
        assert_eq!(
            data,
            concat!(
                r#",{"ad_personalization":false,"ad_storage":"marketing","ad_user_data":false,"analytics_storage":false,"#,
                r#""functionality_storage":false,"personalization_storage":false,"security_storage":true},"#,
                r#"{"regions":["<\/script>\u2028"]}]"#
            )
        );
    }
}
