//! klaro: its configuration, and its cookie.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

use super::literal::Value;
use super::{Claim, Reasons, Sketch, words};

/// By what the configuration is known.
pub(super) const KEYS: &[&str] = &[
    "services",
    "apps",
    "translations",
    "elementID",
    "storageMethod",
    "mustConsent",
    "acceptAll",
    "cookieName",
    "styling",
];

const LOOK: &str = "the look is the notice's preset and theme, with accepting and refusing alike";
const CODE: &str = "code of the page: listen to the event consent:change instead";
const COOKIE: &str = "the choice is kept in our own cookie; `consent import` takes over what the old one says";
const ON: &str = "a switch that is on before anybody pressed it is no consent: it starts off";

const REASONS: Reasons = &[
    ("version", "of klaro's own format"),
    ("styling", LOOK),
    ("showNoticeTitle", LOOK),
    ("noticeAsModal", LOOK),
    ("embedded", LOOK),
    ("autoFocus", LOOK),
    ("additionalClass", LOOK),
    ("disablePoweredBy", LOOK),
    ("showDescriptionEmptyStore", LOOK),
    ("hideLearnMore", "the first layer always leads to the settings"),
    ("hideDeclineAll", "refusing is on the layer that has accepting"),
    ("mustConsent", "nobody is kept out until they choose"),
    ("acceptAll", "the preset choice has Accept all and Reject all"),
    ("groupByPurpose", "the settings always group services by their purpose"),
    ("htmlTexts", "texts are plain: markup was taken out"),
    ("elementID", "the banner needs no element"),
    ("noAutoLoad", "leave the script out, or load it when it may show"),
    ("storageMethod", COOKIE),
    ("storageName", COOKIE),
    ("cookieName", COOKIE),
    ("cookieDomain", COOKIE),
    ("cookiePath", COOKIE),
    ("default", ON),
    ("callback", CODE),
];

const PARTS: &[(&str, &str, &str)] = &[
    ("consentNotice", "title", "title"),
    ("consentNotice", "description", "intro"),
    ("consentNotice", "learnMore", "settings"),
    ("consentModal", "title", "settings_title"),
    ("consentModal", "description", "settings_intro"),
];

/// Reads a configuration.
pub(super) fn read(root: &Value, sketch: &mut Sketch) -> Reasons {
    sketch.days("cookieExpiresAfterDays", root.get("cookieExpiresAfterDays"));
    if let Some(lang) = root.get("lang").and_then(Value::text) {
        sketch.default_language = sketch.language(lang);
        sketch.took("lang");
    }
    let translations = root.get("translations").map(Value::fields).unwrap_or_default();
    for (tag, texts) in translations.iter().filter(|(tag, _)| tag != "zz") {
        if let Some(language) = sketch.language(tag) {
            interface(sketch, &language, &format!("translations.{tag}"), texts);
        }
    }
    let services = if root.get("services").is_some() { "services" } else { "apps" };
    for (at, service) in root.get(services).map(Value::list).unwrap_or_default().iter().enumerate() {
        one_service(sketch, &format!("{services}[{at}]"), service, translations);
    }
    policies(root, sketch, translations);
    REASONS
}

fn interface(sketch: &mut Sketch, language: &str, path: &str, texts: &Value) {
    for (part, theirs, ours) in PARTS {
        let Some(text) = texts.get(part).and_then(|part| part.get(theirs)?.text()) else { continue };
        sketch.text(language, ours, &text.replace("{purposes}", "{optional}"));
        sketch.took(format!("{path}.{part}.{theirs}"));
    }
    let fields = [("acceptAll", "accept"), ("decline", "reject"), ("save", "save"), ("close", "cancel")];
    sketch.texts_of(Some(texts), path, language, &fields);
    // The button that accepts what is preselected, or everything.
    if sketch.texts.get(language).is_none_or(|texts| !texts.contains_key("accept")) {
        sketch.texts_of(Some(texts), path, language, &[("ok", "accept")]);
    }
}

fn one_service(sketch: &mut Sketch, path: &str, service: &Value, translations: &[(String, Value)]) {
    let Some(name) = service.get("name").and_then(Value::text) else {
        return sketch.leave(path, service, "it has no name");
    };
    sketch.took(format!("{path}.name"));
    let required = service.get("required").and_then(Value::bool) == Some(true);
    sketch.took(format!("{path}.required"));
    let purposes: Vec<&str> =
        service.get("purposes").map(Value::list).unwrap_or_default().iter().filter_map(Value::text).collect();
    sketch.took(format!("{path}.purposes"));
    let purpose = purposes.first().copied().unwrap_or("other");
    if purposes.len() > 1 && !required {
        let rest = purposes[1..].join(", ");
        sketch.note(format!(
            "{path}.purposes of {name}: taken as {purpose}; also {rest}: list it in each category that needs it, one switch for each purpose"
        ));
    }
    let (id, label) = if required { ("functional", None) } else { (purpose, Some(purpose)) };
    sketch.category(id).necessary |= required;
    if let Some(purpose) = label {
        for (tag, texts) in translations {
            let Some(said) = texts.get("purposes").and_then(|purposes| purposes.get(purpose)) else { continue };
            sketch.took(format!("translations.{tag}.purposes.{purpose}"));
            let Some(language) = sketch.language(if tag == "zz" { "" } else { tag }) else { continue };
            let (title, text) =
                (said.text().or_else(|| said.get("title")?.text()), said.get("description").and_then(Value::text));
            let entry = sketch.category(id);
            entry.name.extend(title.map(|title| (language.clone(), words::plain(title))));
            entry.purpose.extend(text.map(|text| (language, words::plain(text))));
        }
    } else {
        for tag in translations.iter().map(|(tag, _)| tag) {
            for purpose in &purposes {
                sketch.took(format!("translations.{tag}.purposes.{purpose}"));
            }
        }
    }
    let title = service.get("title").and_then(Value::text).map(words::plain);
    sketch.took(format!("{path}.title"));
    let entry = sketch.category(id).service(name);
    if let Some(title) = title.clone() {
        entry.same_name = Some(title);
    }
    for (tag, texts) in translations {
        let Some(own) = texts.get(name) else { continue };
        if let Some(text) = own.get("title").and_then(Value::text).filter(|_| title.is_none() && tag != "zz")
            && let Some(language) = sketch.language(tag)
        {
            sketch.category(id).service(name).name.insert(language, words::plain(text));
            sketch.took(format!("translations.{tag}.{name}.title"));
        }
    }
    // A title in some languages only: the rest get the name that code has.
    let languages = sketch.languages.clone();
    let entry = sketch.category(id).service(name);
    if !entry.name.is_empty() {
        for language in languages {
            entry.name.entry(language).or_insert_with(|| name.to_owned());
        }
    }
    cookies(sketch, path, service, id, name, translations);
    flags(sketch, path, service, name);
}

fn cookies(sketch: &mut Sketch, path: &str, service: &Value, id: &str, name: &str, translations: &[(String, Value)]) {
    for (at, cookie) in service.get("cookies").map(Value::list).unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.cookies[{at}]");
        // A name or expression, alone or before the path and domain it was set for.
        let named = match cookie {
            Value::List(parts) => parts.first(),
            Value::Object(_) => cookie.get("pattern").or_else(|| cookie.get("name")),
            other => Some(other),
        };
        let names = match named {
            Some(Value::Text(text)) => Some(vec![text.clone()]),
            Some(Value::Regex(source)) => words::patterns(source),
            _ => None,
        };
        let Some(names) = names else {
            sketch.leave(
                &path,
                named.unwrap_or(cookie),
                "cookies are listed by name, or by how the name begins: name*",
            );
            continue;
        };
        sketch.took(path);
        for cookie in names {
            sketch.category(id).service(name).cookie(&cookie);
        }
    }
    // What the service is for is said once in klaro, and for each cookie here.
    for (tag, texts) in translations {
        let Some(text) = texts.get(name).and_then(|own| own.get("description")?.text()).map(words::plain) else {
            continue;
        };
        let path = format!("translations.{tag}.{name}.description");
        let entry = sketch.category(id).service(name);
        if entry.cookies.is_empty() || tag == "zz" {
            let value = Value::Text(text);
            sketch.leave(&path, &value, "a service has no text of its own: put it into the purpose of its category");
            continue;
        }
        for cookie in &mut entry.cookies {
            cookie.purpose.insert(tag.replace('_', "-"), text.clone());
        }
        sketch.took(path);
    }
}

fn flags(sketch: &mut Sketch, path: &str, service: &Value, name: &str) {
    for (key, why) in [
        ("default", ON),
        ("optOut", "it would run before consent: it starts off"),
        ("onlyOnce", "a script runs once"),
        ("contextualConsentOnly", "its placeholder in the page can grant it: data-category, data-src"),
        ("callback", CODE),
        ("onAccept", CODE),
        ("onDecline", CODE),
        ("onInit", CODE),
        ("vars", CODE),
    ] {
        match service.get(key) {
            None | Some(Value::Bool(false)) => sketch.took(format!("{path}.{key}")),
            Some(value) => {
                let at = format!("{path}.{key}");
                sketch.took(at.clone());
                sketch.note(format!("{at} of {name} = {value}: {why}"));
            }
        }
    }
}

fn policies(root: &Value, sketch: &mut Sketch, translations: &[(String, Value)]) {
    let mut found: BTreeMap<String, (String, String)> = BTreeMap::new();
    match root.get("privacyPolicy") {
        Some(Value::Text(address)) => {
            found.insert("zz".to_owned(), ("privacyPolicy".to_owned(), address.clone()));
        }
        Some(Value::Object(each)) => {
            for (tag, address) in each {
                let tag = if tag == "default" { "zz" } else { tag };
                let entry = address.text().map(|address| (format!("privacyPolicy.{tag}"), address.to_owned()));
                found.extend(entry.map(|entry| (tag.to_owned(), entry)));
            }
        }
        _ => {}
    }
    for (tag, texts) in translations {
        if let Some(address) = texts.get("privacyPolicyUrl").and_then(Value::text) {
            found.insert(tag.clone(), (format!("translations.{tag}.privacyPolicyUrl"), address.to_owned()));
        }
    }
    for (path, address) in found.values() {
        if words::usable(address).is_none() {
            sketch.leave(
                path,
                &Value::Text(address.clone()),
                "the policy is at an https address or a path on the site",
            );
        }
        sketch.took(path.clone());
    }
    let usable = |tag: &str| found.get(tag).and_then(|(_, address)| words::usable(address));
    for language in sketch.languages.clone() {
        if let Some(address) = usable(&language).or_else(|| usable("zz")) {
            sketch.privacy_policy.insert(language, address);
        }
    }
}

/// Reads the cookie: each service with whether it was accepted. It holds no time and no id.
pub(super) fn claim(text: &str) -> anyhow::Result<Claim> {
    let services: BTreeMap<String, bool> = serde_json::from_str(text).context("not a cookie of klaro")?;
    if services.is_empty() {
        bail!("the cookie holds no decision");
    }
    let (granted, refused): (Vec<_>, Vec<_>) = services.into_iter().partition(|(_, granted)| *granted);
    let names = |services: Vec<(String, bool)>| services.into_iter().map(|(name, _)| name).collect();
    Ok(Claim { granted: names(granted), refused: Some(names(refused)), ..Claim::default() })
}
