//! vanilla-cookieconsent: the configuration of versions 2 and 3, and the cookie of both.

use anyhow::{Context, bail};
use consent_core::time::UnixMillis;
use serde::Deserialize;

use super::literal::Value;
use super::{Claim, Reasons, Sketch, words};

/// By what the configuration is known.
pub(super) const KEYS: &[&str] = &[
    "categories",
    "language",
    "guiOptions",
    "onConsent",
    "onChange",
    "cookie",
    "languages",
    "gui_options",
    "current_lang",
    "cookie_name",
];

const LOOK: &str = "the look is the notice's preset and theme, with accepting and refusing alike";
const CALLBACK: &str = "code of the page: listen to the event consent:change instead";
const COOKIE: &str = "the choice is kept in our own cookie; `consent import` takes over what the old one says";
const GATE: &str = "scripts are marked in the page: type=\"text/plain\" data-category=\"…\"";

const REASONS: Reasons = &[
    ("guiOptions", LOOK),
    ("gui_options", LOOK),
    ("theme_css", LOOK),
    ("onFirstConsent", CALLBACK),
    ("onFirstAction", CALLBACK),
    ("onConsent", CALLBACK),
    ("onAccept", CALLBACK),
    ("onChange", CALLBACK),
    ("onModalReady", CALLBACK),
    ("onModalShow", CALLBACK),
    ("onModalHide", CALLBACK),
    ("categories.*.services.*.onAccept", CALLBACK),
    ("categories.*.services.*.onReject", CALLBACK),
    ("cookie.*", COOKIE),
    ("cookie_name", COOKIE),
    ("cookie_domain", COOKIE),
    ("cookie_path", COOKIE),
    ("cookie_same_site", COOKIE),
    ("use_rfc_cookie", COOKIE),
    ("manageScriptTags", GATE),
    ("page_scripts", GATE),
    ("script_selector", GATE),
    ("autoClearCookies", "what a withdrawn category has stored is always deleted"),
    ("autoclear_cookies", "what a withdrawn category has stored is always deleted"),
    ("revision", "publishing numbers the versions of a notice"),
    ("language.autoDetect", "the page's language is taken, then the browser's"),
    ("auto_language", "the page's language is taken, then the browser's"),
    ("categories.*.enabled", "a switch that is on before anybody pressed it is no consent: it starts off"),
    ("categories.*.autoClear.reloadPage", "a withdrawal does not reload the page; listen to consent:change"),
    ("language.translations.*.consentModal.closeIconLabel", "the preset choice has no closing X on the first layer"),
];

/// Reads a configuration.
pub(super) fn read(root: &Value, sketch: &mut Sketch) -> Reasons {
    if root.get("languages").is_some() {
        version_2(root, sketch);
    } else {
        version_3(root, sketch);
    }
    REASONS
}

const FIRST: &[(&str, &str)] = &[
    ("title", "title"),
    ("description", "intro"),
    ("acceptAllBtn", "accept"),
    ("acceptNecessaryBtn", "reject"),
    ("showPreferencesBtn", "settings"),
];

const SETTINGS: &[(&str, &str)] =
    &[("title", "settings_title"), ("savePreferencesBtn", "save"), ("closeIconLabel", "cancel")];

fn version_3(root: &Value, sketch: &mut Sketch) {
    for mode in root.get("mode").into_iter().filter(|mode| mode.text() != Some("opt-in")) {
        sketch.leave("mode", mode, "nothing optional runs before consent: there is no opt-out");
    }
    sketch.took("mode");
    sketch.days("cookie.expiresAfterDays", root.get("cookie").and_then(|cookie| cookie.get("expiresAfterDays")));
    for (id, category) in root.get("categories").map(Value::fields).unwrap_or_default() {
        categories_3(sketch, id, category);
    }
    let Some(language) = root.get("language") else { return };
    if let Some(default) = language.get("default").and_then(Value::text) {
        sketch.default_language = sketch.language(default);
        sketch.took("language.default");
    }
    for (tag, texts) in language.get("translations").map(Value::fields).unwrap_or_default() {
        let path = format!("language.translations.{tag}");
        if !matches!(texts, Value::Object(_)) {
            sketch.language(tag);
            sketch.leave(&path, texts, "the texts are in another file: put them in here, or into the draft");
            continue;
        }
        let Some(l) = sketch.language(tag) else { continue };
        let (first, settings) = (texts.get("consentModal"), texts.get("preferencesModal"));
        sketch.texts_of(first, &format!("{path}.consentModal"), &l, FIRST);
        sketch.texts_of(settings, &format!("{path}.preferencesModal"), &l, SETTINGS);
        // The same buttons again.
        for again in ["acceptAllBtn", "acceptNecessaryBtn"] {
            sketch.took(format!("{path}.preferencesModal.{again}"));
        }
        for key in ["footer", "description"] {
            let link = first.and_then(|first| first.get(key)?.text()).and_then(words::policy_link);
            policy(sketch, &l, link);
        }
        if sketch.privacy_policy.contains_key(&l) {
            sketch.took(format!("{path}.consentModal.footer"));
        }
        let sections = settings.and_then(|settings| settings.get("sections")).map(Value::list).unwrap_or_default();
        for (at, section) in sections.iter().enumerate() {
            let path = format!("{path}.preferencesModal.sections[{at}]");
            let linked = section.get("linkedCategory").and_then(Value::text).map(str::to_owned);
            part(sketch, &l, &path, section, linked.as_deref());
            sketch.took(format!("{path}.linkedCategory"));
            if let (Some(id), Some(table)) = (linked, section.get("cookieTable")) {
                let headers = table.get("headers").map(Value::fields).unwrap_or_default();
                let headers: Vec<_> =
                    headers.iter().filter_map(|(key, name)| Some((key.as_str(), name.text()?))).collect();
                for row in table.get("body").map(Value::list).unwrap_or_default() {
                    table_row(sketch, &l, &id, row, &headers);
                }
                sketch.took(format!("{path}.cookieTable"));
            }
        }
    }
}

fn policy(sketch: &mut Sketch, language: &str, link: Option<String>) {
    if let Some(link) = link {
        sketch.privacy_policy.entry(language.to_owned()).or_insert(link);
    }
}

fn categories_3(sketch: &mut Sketch, id: &str, category: &Value) {
    let path = format!("categories.{id}");
    let necessary = category.get("readOnly").and_then(Value::bool) == Some(true);
    sketch.category(id).necessary = necessary;
    sketch.took(format!("{path}.readOnly"));
    if necessary {
        sketch.took(format!("{path}.enabled"));
    }
    let clears = category.get("autoClear").and_then(|clear| clear.get("cookies")).map(Value::list).unwrap_or_default();
    for (at, cookie) in clears.iter().enumerate() {
        let names = names(sketch, &format!("{path}.autoClear.cookies[{at}]"), cookie);
        for name in names {
            sketch.category(id).service(id).cookie(&name);
        }
    }
    for (service, settings) in category.get("services").map(Value::fields).unwrap_or_default() {
        let path = format!("{path}.services.{service}");
        let label = settings.get("label").and_then(Value::text).map(words::plain).filter(|label| !label.is_empty());
        let entry = sketch.category(id).service(service);
        if let Some(label) = label {
            entry.same_name = Some(label);
            sketch.took(format!("{path}.label"));
        }
        for (at, cookie) in settings.get("cookies").map(Value::list).unwrap_or_default().iter().enumerate() {
            let names = names(sketch, &format!("{path}.cookies[{at}]"), cookie);
            for name in names {
                sketch.category(id).service(service).cookie(&name);
            }
        }
    }
}

/// The names of a cookie to clear.
fn names(sketch: &mut Sketch, path: &str, cookie: &Value) -> Vec<String> {
    let names = match cookie.get("name") {
        Some(Value::Text(name)) => Some(vec![name.clone()]),
        Some(Value::Regex(source)) => words::patterns(source),
        _ => None,
    };
    if let Some(names) = names {
        // Where it was set is not said again: what the names fit is deleted on every domain and path of the page.
        sketch.took(path);
        return names;
    }
    let value = cookie.get("name").unwrap_or(cookie);
    sketch.leave(path, value, "cookies are listed by name, or by how the name begins: name*");
    Vec::new()
}

/// A part of the settings: a category, or the words above them.
fn part(sketch: &mut Sketch, language: &str, path: &str, section: &Value, category: Option<&str>) {
    let title = section.get("title").and_then(Value::text).map(words::plain).unwrap_or_default();
    let raw = section.get("description").and_then(Value::text);
    policy(sketch, language, raw.and_then(words::policy_link));
    let description = raw.map(words::plain).unwrap_or_default();
    if let Some(id) = category {
        let entry = sketch.category(id);
        if !title.is_empty() {
            entry.name.insert(language.to_owned(), title);
        }
        if !description.is_empty() {
            entry.purpose.insert(language.to_owned(), description);
        }
    } else if sketch.texts.get(language).is_none_or(|texts| !texts.contains_key("settings_intro"))
        && !description.is_empty()
    {
        sketch.text(language, "settings_intro", &description);
    } else {
        return sketch.leave(path, section, "the settings have one text above the switches");
    }
    sketch.took(format!("{path}.title"));
    sketch.took(format!("{path}.description"));
}

#[derive(Clone, Copy, PartialEq)]
enum Column {
    Name,
    Provider,
    Purpose,
    Lifetime,
}

fn column(key: &str, header: &str) -> Option<Column> {
    let text = format!("{key} {header}").to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["desc", "purpose", "zweck", "beschreib"]) {
        Some(Column::Purpose)
    } else if has(&["expir", "duration", "lifetime", "dauer", "ablauf", "kept", "retention"]) {
        Some(Column::Lifetime)
    } else if has(&["domain", "provider", "service", "anbieter", "dienst"]) {
        Some(Column::Provider)
    } else if has(&["name", "cookie"]) {
        Some(Column::Name)
    } else {
        None
    }
}

/// A row of a table of cookies, with the columns' keys and headings.
fn table_row(sketch: &mut Sketch, language: &str, category: &str, row: &Value, headers: &[(&str, &str)]) {
    let cell = |wanted: Column| {
        let key = headers.iter().find(|(key, header)| column(key, header) == Some(wanted))?.0;
        row.get(key)?.text().map(words::plain).filter(|text| !text.is_empty())
    };
    for (key, header) in headers.iter().filter(|(key, header)| column(key, header).is_none()) {
        if let Some(value) = row.get(key) {
            sketch.note(format!(
                "{category}: column \"{header}\" = {value}: a cookie has a name, a lifetime, a purpose and its service"
            ));
        }
    }
    let Some(name) = cell(Column::Name) else {
        return sketch.note(format!("{category}: a row of the table of cookies without a name"));
    };
    if name.starts_with("cc_cookie") {
        return sketch.note(format!("{category}: {name} is the cookie of the old banner: our own is listed instead"));
    }
    let is_regex = row.get("is_regex").and_then(Value::bool) == Some(true);
    let names = if is_regex { words::patterns(&name) } else { Some(vec![name.clone()]) };
    let Some(names) = names else {
        return sketch
            .note(format!("{category}: {name}: cookies are listed by name, or by how the name begins: name*"));
    };
    let (lifetime, purpose) = (cell(Column::Lifetime), cell(Column::Purpose));
    let read = lifetime.as_deref().and_then(words::lifetime);
    if let (Some(said), None) = (&lifetime, &read) {
        sketch.note(format!("{category}: the lifetime \"{said}\" of {name} was not understood"));
    }
    let provider = cell(Column::Provider);
    for name in names {
        let entry = sketch.category(category);
        // Listed with a service already, or to be cleared with the category.
        let known = entry.services.iter().position(|service| service.cookies.iter().any(|cookie| cookie.name == name));
        let service = match known {
            Some(at) => &mut entry.services[at],
            None => entry.service(provider.as_deref().unwrap_or(category)),
        };
        let cookie = service.cookie(&name);
        cookie.lifetime = cookie.lifetime.take().or_else(|| read.clone());
        if let Some(purpose) = &purpose {
            cookie.purpose.insert(language.to_owned(), purpose.clone());
        }
    }
}

fn version_2(root: &Value, sketch: &mut Sketch) {
    for mode in root.get("mode").into_iter().filter(|mode| mode.text() != Some("opt-in")) {
        sketch.leave("mode", mode, "nothing optional runs before consent: there is no opt-out");
    }
    sketch.took("mode");
    sketch.days("cookie_expiration", root.get("cookie_expiration"));
    if let Some(default) = root.get("current_lang").and_then(Value::text) {
        sketch.default_language = sketch.language(default);
        sketch.took("current_lang");
    }
    for (tag, texts) in root.get("languages").map(Value::fields).unwrap_or_default() {
        let Some(l) = sketch.language(tag) else { continue };
        let path = format!("languages.{tag}");
        let (first, settings) = (texts.get("consent_modal"), texts.get("settings_modal"));
        let within = format!("{path}.consent_modal");
        sketch.texts_of(first, &within, &l, &[("title", "title"), ("description", "intro")]);
        policy(sketch, &l, first.and_then(|first| first.get("description")?.text()).and_then(words::policy_link));
        for button in ["primary_btn", "secondary_btn"] {
            let Some(button_settings) = first.and_then(|first| first.get(button)) else { continue };
            let field = match button_settings.get("role").and_then(Value::text) {
                Some("accept_all") => "accept",
                Some("accept_necessary") => "reject",
                Some("settings") => "settings",
                _ => continue,
            };
            sketch.texts_of(Some(button_settings), &format!("{within}.{button}"), &l, &[("text", field)]);
            sketch.took(format!("{within}.{button}.role"));
        }
        let within = format!("{path}.settings_modal");
        let fields = [("title", "settings_title"), ("save_settings_btn", "save"), ("close_btn_label", "cancel")];
        sketch.texts_of(settings, &within, &l, &fields);
        // The same buttons again, unless the first layer has only one of them.
        for (theirs, ours) in [("accept_all_btn", "accept"), ("reject_all_btn", "reject")] {
            if sketch.texts.get(&l).is_none_or(|texts| !texts.contains_key(ours)) {
                sketch.texts_of(settings, &within, &l, &[(theirs, ours)]);
            }
            sketch.took(format!("{within}.{theirs}"));
        }
        let headers =
            settings.and_then(|settings| settings.get("cookie_table_headers")).map(Value::list).unwrap_or_default();
        let headers: Vec<_> = headers
            .iter()
            .flat_map(Value::fields)
            .filter_map(|(key, name)| Some((key.as_str(), name.text()?)))
            .collect();
        sketch.took(format!("{within}.cookie_table_headers"));
        let blocks = settings.and_then(|settings| settings.get("blocks")).map(Value::list).unwrap_or_default();
        for (at, block) in blocks.iter().enumerate() {
            let path = format!("{within}.blocks[{at}]");
            let toggle = block.get("toggle");
            let id = toggle.and_then(|toggle| toggle.get("value")?.text()).map(str::to_owned);
            part(sketch, &l, &path, block, id.as_deref());
            let (Some(id), Some(toggle)) = (id, toggle) else { continue };
            let necessary = toggle.get("readonly").and_then(Value::bool) == Some(true);
            sketch.category(&id).necessary = necessary;
            sketch.took(format!("{path}.toggle"));
            if let Some(on @ Value::Bool(true)) = toggle.get("enabled").filter(|_| !necessary) {
                let why = "a switch that is on before anybody pressed it is no consent: it starts off";
                sketch.leave(&format!("{path}.toggle.enabled"), on, why);
            }
            for row in block.get("cookie_table").map(Value::list).unwrap_or_default() {
                table_row(sketch, &l, &id, row, &headers);
            }
            sketch.took(format!("{path}.cookie_table"));
        }
    }
}

/// Reads the cookie: the accepted categories, with the accepted services of each.
pub(super) fn claim(text: &str) -> anyhow::Result<Claim> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cookie {
        categories: Vec<String>,
        #[serde(default)]
        services: std::collections::BTreeMap<String, Vec<String>>,
        #[serde(alias = "consent_uuid")]
        consent_id: Option<String>,
        #[serde(alias = "last_consent_update")]
        last_consent_timestamp: Option<String>,
        #[serde(alias = "consent_date")]
        consent_timestamp: Option<String>,
        language_code: Option<String>,
    }
    let cookie: Cookie = serde_json::from_str(text).context("not a cookie of vanilla-cookieconsent")?;
    let at = cookie.last_consent_timestamp.or(cookie.consent_timestamp);
    let decided_at = match at.as_deref().map(UnixMillis::parse) {
        Some(Ok(at)) => Some(at),
        Some(Err(_)) => bail!("the cookie's time is not one of RFC 3339"),
        None => None,
    };
    let mut granted = Vec::new();
    for category in cookie.categories {
        match cookie.services.get(&category).filter(|services| !services.is_empty()) {
            Some(services) => granted.extend(services.iter().map(|service| format!("{category}:{service}"))),
            None => granted.push(category),
        }
    }
    Ok(Claim { id: cookie.consent_id, decided_at, language: cookie.language_code, granted, refused: None })
}
