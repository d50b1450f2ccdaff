//! `consent.js`, composed for a site and a language, and the widget's other files.

use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use consent_core::adapter::{Adapter, Options};
use consent_core::id::Language;
use consent_core::notice::PublicNotice;
use consent_core::outline::{CategoryOutline, Outline};
use consent_core::render;
use consent_core::texts::primary;
use serde_json::{Value, json};

use super::encoded::{choose, send};
use super::problem::Problem;
use crate::store::{Published, Site};
use crate::widget;

/// What a page may ask of its `consent.js`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// Draw nothing: the page draws for itself.
    pub(super) headless: bool,
    /// Warn a developer of what runs too early.
    pub(super) debug: bool,
    /// The language was chosen by the browser's list, so the page's own may still overrule it.
    pub(super) negotiated: bool,
}

/// A file of the widget. Its name changes with its content, so it is kept for good.
pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let asset = widget::FILES.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| Problem::not_found("there is no such file"))?;
    let (body, encoding) = choose(&headers, asset.raw, asset.gzip, asset.brotli);
    Ok(send(body.to_vec(), encoding, asset.kind, "public, max-age=31536000, immutable"))
}

/// The loader with the site's configuration put in. ARCHITECTURE.md, "What the server tells the widget", says what each name means.
pub(super) fn compose(site: &Site, published: &Published, language: &Language, wanted: Wanted) -> String {
    let notice = &published.notice;
    let shown = notice.for_language(language);
    let mut config = json!({
        "site": site.id,
        "v": published.outline.version,
        "lang": shown.language,
        "dir": render::direction(shown.language),
        "days": published.outline.renew_after_days,
        "name": site.settings.cookie_name,
        "c": categories(published, &shown),
        "l": render::first_layer(&shown, None).iter().map(render::Node::json).collect::<Vec<_>>(),
        "p": render::placeholder(&shown).json(),
        "reopen": shown.texts.reopen,
        "error": shown.texts.error,
        "core": core(),
    });
    let mut set = |name: &str, value: Value| config[name] = value;
    if let Some(domain) = &site.settings.cookie_domain {
        set("domain", json!(domain));
    }
    if notice.id_for_refusals() {
        set("idr", json!(1));
    }
    if site.settings.frames {
        // What is said where nothing can be granted.
        let hint = &shown.texts.frame_hint;
        set("frames", json!(if hint.is_empty() { &shown.texts.error } else { hint }));
    }
    if wanted.headless {
        set("headless", json!(1));
        set("l", json!([]));
    }
    let css = notice.theme().css();
    if !css.is_empty() {
        set("css", json!(css));
    }
    // In which other languages this file is to be had, for a page that is written in one of them.
    let own = primary(shown.language);
    let others: Vec<_> = notice.languages().iter().map(primary).filter(|other| *other != own).collect();
    if wanted.negotiated && !wanted.headless && !wanted.debug && !others.is_empty() {
        set("langs", json!(others));
    }
    let mut config = literal(&config);
    let adapters = notice.adapters().iter().filter_map(|a| adapter(a, &published.outline));
    let adapters: Vec<_> = adapters.chain(wanted.debug.then(|| debug(&published.outline)).flatten()).collect();
    if !adapters.is_empty() {
        // It is an object literal, so functions may stand in it.
        config.truncate(config.len() - 1);
        config = format!("{config},a:[{}]}}", adapters.join(","));
    }
    widget::LOADER.replace(widget::CONFIG, &config)
}

/// The address of the core's two files, without their endings.
fn core() -> String {
    let name = widget::by_ending(".wasm").map(|asset| asset.name).unwrap_or_default();
    format!("/assets/{}", name.trim_end_matches("wasm"))
}

/// What the rules need of the categories, in the fewest bytes; with the name of each that can be refused.
pub(super) fn categories(published: &Published, shown: &PublicNotice<'_>) -> Value {
    let one = |category: &CategoryOutline| {
        let services: Vec<_> = category.services.iter().map(|service| json!([service.id, service.since])).collect();
        let name = shown.categories.iter().find(|shown| *shown.id == category.id && !shown.necessary);
        let mut fields =
            vec![json!(category.id), json!(u8::from(!category.necessary)), json!(u8::from(category.signals))];
        fields.extend([json!(category.since), json!(services)]);
        fields.extend(name.map(|shown| json!(shown.name)));
        Value::from(fields)
    };
    published.outline.categories.iter().map(one).collect()
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

/// Development mode in the place of an adapter: it is told the ids that there are.
fn debug(outline: &Outline) -> Option<String> {
    let (_, function) = widget::ADAPTERS.iter().find(|(name, _)| *name == widget::DEBUG)?;
    let ids = outline.categories.iter().flat_map(|category| {
        let services = category.services.iter().map(move |service| format!("{}:{}", category.id, service.id));
        std::iter::once(category.id.to_string()).chain(services)
    });
    Some(format!("[{function},{},null]", json!(ids.collect::<Vec<_>>())))
}

/// JSON as JavaScript in the fewest bytes: names without quotes, no empty attributes.
fn literal(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(",");
    match value {
        Value::Array(items) => format!("[{}]", list(items.iter().map(literal).collect())),
        Value::Object(fields) if fields.is_empty() => "0".to_owned(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let plain = name.bytes().all(|b| b.is_ascii_lowercase());
                let name = if plain { name.clone() } else { Value::from(name.as_str()).to_string() };
                format!("{name}:{}", literal(value))
            };
            format!("{{{}}}", list(fields.iter().map(field).collect()))
        }
        other => inert(other),
    }
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
