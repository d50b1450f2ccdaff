//! c15t: the options of its runtime, provider or backend, and its cookie.

use anyhow::{Context, bail};
use consent_core::time::UnixMillis;

use super::literal::Value;
use super::{Claim, Reasons, Sketch, slug, words};

/// By what the options are known.
pub(super) const KEYS: &[&str] = &[
    "consentCategories",
    "initialGdprTypes",
    "gdprTypes",
    "backendURL",
    "i18n",
    "translations",
    "scripts",
    "legalLinks",
    "policyPacks",
    "offlinePolicy",
    "mode",
    "storageConfig",
];

const LOOK: &str = "the look is the notice's preset and theme, with accepting and refusing alike";
const CODE: &str = "code of the page: listen to the event consent:change instead";
const HOST: &str = "the service's address is in the script tag of consent.js";
const LAW: &str = "there is one notice, for everybody, that asks before anything optional runs";

const REASONS: Reasons = &[
    ("mode", HOST),
    ("backendURL", HOST),
    ("endpointHandlers", HOST),
    ("adapter", "the store is SQLite or PostgreSQL: see consent.toml"),
    ("trustedOrigins", "origins are the site's: `consent site create --origin`"),
    ("callbacks", CODE),
    ("theme", LOOK),
    ("ui", LOOK),
    ("components", LOOK),
    ("policyPacks", LAW),
    ("offlinePolicy", LAW),
    ("iab", "TCF strings are not made"),
    ("storageConfig", "the choice is kept in our own cookie; `consent import` takes over what the old one says"),
    ("reloadOnConsentRevoked", "a withdrawal does not reload the page; listen to consent:change"),
    ("networkBlocker", "nothing that is not marked loads: `consent lint-page` finds what does"),
    ("iframeBlockerConfig", "frames are marked in the page: data-category, data-src"),
    ("legalLinks.*", "a notice links to one page, the privacy policy"),
];

/// Reads the options.
pub(super) fn read(root: &Value, sketch: &mut Sketch) -> Reasons {
    categories(root, sketch);
    texts(root, sketch);
    for (at, script) in root.get("scripts").map(Value::list).unwrap_or_default().iter().enumerate() {
        one_script(sketch, &format!("scripts[{at}]"), script);
    }
    if let Some(address) = root.get("legalLinks").and_then(|links| links.get("privacyPolicy")?.get("href")?.text()) {
        match words::usable(address) {
            Some(address) => {
                for language in languages(sketch) {
                    sketch.privacy_policy.insert(language, address.clone());
                }
                sketch.took("legalLinks.privacyPolicy");
            }
            None => sketch.leave(
                "legalLinks.privacyPolicy",
                &Value::Text(address.to_owned()),
                "the policy is at an https address or a path on the site",
            ),
        }
    }
    REASONS
}

/// The languages found so far, or the one that c15t has without any.
fn languages(sketch: &mut Sketch) -> Vec<String> {
    if sketch.languages.is_empty() {
        sketch.language("en");
    }
    sketch.languages.clone()
}

fn categories(root: &Value, sketch: &mut Sketch) {
    // c15t adds it by itself.
    sketch.category("necessary").necessary = true;
    let mut found = false;
    for key in ["consentCategories", "initialGdprTypes", "gdprTypes"] {
        for category in root.get(key).map(Value::list).unwrap_or_default().iter().filter_map(Value::text) {
            sketch.category(category);
            found = true;
        }
        sketch.took(key);
    }
    if found {
        return;
    }
    let packs = root.get("policyPacks").or_else(|| root.get("offlinePolicy")?.get("policyPacks"));
    for pack in packs.map(Value::list).unwrap_or_default() {
        let listed =
            pack.get("consent").and_then(|consent| consent.get("categories")).map(Value::list).unwrap_or_default();
        for category in listed.iter().filter_map(Value::text) {
            sketch.category(category);
        }
    }
}

const FIELDS: &[(&str, &[(&str, &str)])] = &[
    ("common", &[("acceptAll", "accept"), ("rejectAll", "reject"), ("customize", "settings"), ("save", "save")]),
    ("cookieBanner", &[("title", "title"), ("description", "intro")]),
    ("consentManagerDialog", &[("title", "settings_title"), ("description", "settings_intro")]),
    ("legalLinks", &[("privacyPolicy", "privacy_policy")]),
];

fn texts(root: &Value, sketch: &mut Sketch) {
    // `i18n` comes before the older `translations`.
    let (section, path, default) = match (root.get("i18n"), root.get("translations")) {
        (Some(i18n), _) => (i18n.get("messages"), "i18n.messages".to_owned(), i18n.get("locale")),
        (None, Some(old)) => {
            (old.get("translations"), "translations.translations".to_owned(), old.get("defaultLanguage"))
        }
        _ => return,
    };
    if let Some(default) = default.and_then(Value::text) {
        sketch.default_language = sketch.language(default);
    }
    for key in [
        "i18n.locale",
        "i18n.detectBrowserLanguage",
        "translations.defaultLanguage",
        "translations.disableAutoLanguageSwitch",
    ] {
        sketch.took(key);
    }
    let Some(section) = section else { return };
    // A backend has profiles of messages: the default one is taken.
    let profiled = section.fields().iter().any(|(_, value)| value.get("translations").is_some());
    let (section, path) = if profiled {
        let wanted = root.get("i18n").and_then(|i18n| i18n.get("defaultProfile")?.text()).unwrap_or("default");
        sketch.took("i18n.defaultProfile");
        let Some(profile) = section.get(wanted) else { return };
        sketch.took(format!("{path}.{wanted}.fallbackLanguage"));
        (profile.get("translations"), format!("{path}.{wanted}.translations"))
    } else {
        (Some(section), path)
    };
    for (tag, messages) in section.map(Value::fields).unwrap_or_default() {
        let Some(language) = sketch.language(tag) else { continue };
        for (part, fields) in FIELDS {
            sketch.texts_of(messages.get(part), &format!("{path}.{tag}.{part}"), &language, fields);
        }
        for (category, said) in messages.get("consentTypes").map(Value::fields).unwrap_or_default() {
            let at = format!("{path}.{tag}.consentTypes.{category}");
            // Texts of categories that are not shown are no categories.
            if !sketch.categories.iter().any(|known| known.id == slug(category)) {
                continue;
            }
            for field in ["title", "description"] {
                let Some(text) = said.get(field).and_then(Value::text).map(words::plain) else { continue };
                let entry = sketch.category(category);
                let texts = if field == "title" { &mut entry.name } else { &mut entry.purpose };
                texts.insert(language.clone(), text);
                sketch.took(format!("{at}.{field}"));
            }
        }
    }
}

fn one_script(sketch: &mut Sketch, path: &str, script: &Value) {
    let (id, category) = (script.get("id").and_then(Value::text), script.get("category").and_then(Value::text));
    let (Some(id), Some(category)) = (id, category) else {
        return sketch.leave(path, script, "a service needs an id and one category: add it to the draft by hand");
    };
    sketch.category(category).service(id);
    sketch.took(format!("{path}.id"));
    sketch.took(format!("{path}.category"));
    for (key, value) in script.fields().iter().filter(|(key, _)| !matches!(key.as_str(), "id" | "category")) {
        let why = match key.as_str() {
            "src" | "textContent" => "mark the script in the page: type=\"text/plain\" data-category=\"…\"",
            "alwaysLoad" => "nothing optional loads before consent",
            _ => CODE,
        };
        sketch.leave(&format!("{path}.{key}"), value, why);
    }
}

/// Reads the cookie (`c.measurement:1,i.t:…`), or the same as JSON from local storage.
pub(super) fn claim(text: &str) -> anyhow::Result<Claim> {
    let mut claim = Claim::default();
    let mut seen = false;
    let time =
        |millis: i64| Some(UnixMillis::new(millis)).filter(|at| *at >= UnixMillis::MIN && *at <= UnixMillis::MAX);
    if text.starts_with('{') {
        let json: serde_json::Value = serde_json::from_str(text).context("not what c15t stores")?;
        for (name, granted) in json["consents"].as_object().into_iter().flatten() {
            seen = true;
            if granted.as_bool().with_context(|| format!("consents.{name} is neither true nor false"))? {
                claim.granted.push(name.clone());
            }
        }
        let info = &json["consentInfo"];
        claim.decided_at = info["time"].as_i64().and_then(time);
        claim.id = info["subjectId"].as_str().map(str::to_owned);
    } else {
        for pair in text.split(',') {
            let Some((key, value)) = pair.split_once(':') else {
                bail!("not a cookie of c15t: a part of it is no pair")
            };
            match (key.split_once('.'), value) {
                (Some(("c", category)), "1") if !category.is_empty() => claim.granted.push(category.to_owned()),
                (Some(("c", category)), "0") if !category.is_empty() => {}
                (Some(("c", _)), _) => bail!("not a cookie of c15t: {key} is neither 1 nor 0"),
                (Some(("i", "t")), value) => claim.decided_at = value.parse().ok().and_then(time),
                (Some(("i", "sid" | "id")), value) => claim.id = Some(value.to_owned()).filter(|id| !id.is_empty()),
                (Some(("i", _)), _) => {}
                _ => continue,
            }
            seen = true;
        }
    }
    if !seen {
        bail!("the cookie holds no decision");
    }
    Ok(claim)
}
