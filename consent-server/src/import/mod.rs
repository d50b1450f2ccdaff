//! Changing over from a peer: its configuration becomes a draft, its cookie an earlier decision.
//!
//! One file for each peer. A configuration is read, never run ([`literal`]); what has no place in a notice is listed, and what the
//! law asks and the peer never knew is marked as still to be filled in, which the lint refuses.

mod c15t;
mod klaro;
mod literal;
mod vanilla;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use consent_core::id::{Language, MAX_NAME};
use consent_core::outline::{DEFAULT_RENEW_AFTER_DAYS, MAX_RENEW_AFTER_DAYS};
use consent_core::time::UnixMillis;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::draft;
use literal::Value;

/// The longest configuration, in bytes.
const MAX_SOURCE: usize = 1 << 20;

/// Another consent manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    /// vanilla-cookieconsent, version 2 or 3
    VanillaCookieconsent,
    /// klaro
    Klaro,
    /// c15t
    C15t,
}

/// A configuration that was read.
#[derive(Debug)]
pub(crate) struct Imported {
    /// The draft, as TOML with a comment in front.
    pub(crate) toml: String,
    /// What was not taken over, with where it was and why.
    pub(crate) left: Vec<String>,
    /// How many values are still to be filled in.
    pub(crate) unfilled: usize,
}

/// Makes a draft of a peer's configuration.
///
/// # Errors
/// If the text holds no configuration of that peer.
pub(crate) fn notice(peer: Peer, text: &str) -> anyhow::Result<Imported> {
    if text.len() > MAX_SOURCE {
        bail!("a configuration of more than {MAX_SOURCE} bytes is none: name the file with the settings, not a bundle");
    }
    let objects = literal::objects(text);
    let known = match peer {
        Peer::VanillaCookieconsent => vanilla::KEYS,
        Peer::Klaro => klaro::KEYS,
        Peer::C15t => c15t::KEYS,
    };
    let score = |value: &Value| value.fields().iter().filter(|(key, _)| known.contains(&key.as_str())).count();
    let best = objects.iter().map(score).max().unwrap_or(0);
    let root = objects
        .iter()
        .find(|value| best > 0 && score(value) == best)
        .with_context(|| format!("there is no object with any of {}", known.join(", ")))?;
    let mut sketch = Sketch::default();
    let reasons = match peer {
        Peer::VanillaCookieconsent => vanilla::read(root, &mut sketch),
        Peer::Klaro => klaro::read(root, &mut sketch),
        Peer::C15t => c15t::read(root, &mut sketch),
    };
    sketch.leave_the_rest(root, "", reasons);
    if sketch.categories.iter().all(|category| category.necessary) {
        sketch.note("no optional category was found: is this the whole configuration?");
    }
    Ok(sketch.finish())
}

/// An earlier decision, as a peer's cookie tells it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Claim {
    /// The peer's id for the person or the browser.
    pub(crate) id: Option<String>,
    pub(crate) decided_at: Option<UnixMillis>,
    pub(crate) language: Option<String>,
    /// Categories, services, or `category:service`, by the peer's names.
    pub(crate) granted: Vec<String>,
    /// What was refused, if the cookie tells it from what was never asked.
    pub(crate) refused: Option<Vec<String>>,
}

/// Reads the value of a peer's cookie, as it is in the cookie or decoded.
///
/// # Errors
/// If it is not one.
pub(crate) fn claim(peer: Peer, cookie: &str) -> anyhow::Result<Claim> {
    let text = words::percent_decoded(cookie.trim()).context("the cookie is not UTF-8")?;
    match peer {
        Peer::VanillaCookieconsent => vanilla::claim(&text),
        Peer::Klaro => klaro::claim(&text),
        Peer::C15t => c15t::claim(&text),
    }
}

/// The id that an import gives to something of this name.
pub(crate) fn slug(name: &str) -> String {
    let mut id = String::new();
    for c in name.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => id.push(c),
            _ if id.is_empty() || id.ends_with('-') => {}
            _ => id.push('-'),
        }
    }
    if !id.starts_with(|c: char| c.is_ascii_lowercase()) {
        id.insert_str(0, "x-");
    }
    id.truncate(MAX_NAME);
    id.trim_end_matches('-').to_owned()
}

fn todo(what: &str) -> String {
    format!("TODO: {what}")
}

/// A text for each language.
type Texts = BTreeMap<String, String>;

/// A notice in the making: like a draft, but what is missing may be missing.
#[derive(Debug, Default)]
struct Sketch {
    default_language: Option<String>,
    languages: Vec<String>,
    renew_after_days: Option<u16>,
    privacy_policy: Texts,
    /// Texts of the user interface, by language and field.
    texts: BTreeMap<String, BTreeMap<&'static str, String>>,
    categories: Vec<Category>,
    /// Paths of the configuration that were taken over, or need no place.
    used: BTreeSet<String>,
    left: Vec<String>,
}

#[derive(Debug, Default)]
struct Category {
    id: String,
    necessary: bool,
    name: Texts,
    purpose: Texts,
    services: Vec<Service>,
}

#[derive(Debug, Default)]
struct Service {
    id: String,
    name: Texts,
    /// The name where it is the same in every language.
    same_name: Option<String>,
    exempt: bool,
    cookies: Vec<Cookie>,
}

#[derive(Debug, Default, Clone)]
struct Cookie {
    name: String,
    /// In local storage, where it is no cookie.
    local: bool,
    lifetime: Option<String>,
    purpose: Texts,
}

impl Category {
    fn service(&mut self, name: &str) -> &mut Service {
        let id = slug(name);
        let at = self.services.iter().position(|service| service.id == id).unwrap_or_else(|| {
            self.services.push(Service { id, same_name: Some(name.to_owned()), ..Service::default() });
            self.services.len() - 1
        });
        &mut self.services[at]
    }
}

impl Service {
    fn cookie(&mut self, name: &str) -> &mut Cookie {
        let at = self.cookies.iter().position(|cookie| cookie.name == name).unwrap_or_else(|| {
            self.cookies.push(Cookie { name: name.to_owned(), ..Cookie::default() });
            self.cookies.len() - 1
        });
        &mut self.cookies[at]
    }
}

/// Why something has no place: paths, where `*` stands for one part, and the reason.
type Reasons = &'static [(&'static str, &'static str)];

impl Sketch {
    fn took(&mut self, path: impl Into<String>) {
        self.used.insert(path.into());
    }

    fn note(&mut self, note: impl Into<String>) {
        self.left.push(note.into());
    }

    fn leave(&mut self, path: &str, value: &Value, why: &str) {
        self.took(path);
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        self.note(format!("{path} = {value}{why}"));
    }

    /// The tag of a language as a notice writes it; offered from now on.
    fn language(&mut self, tag: &str) -> Option<String> {
        let tag = tag.replace('_', "-");
        let (primary, rest) = tag.split_once('-').map_or((&*tag, ""), |(primary, rest)| (primary, rest));
        let tag = if rest.is_empty() {
            primary.to_ascii_lowercase()
        } else {
            format!("{}-{rest}", primary.to_ascii_lowercase())
        };
        Language::parse(&tag).ok()?;
        if !self.languages.contains(&tag) {
            self.languages.push(tag.clone());
        }
        Some(tag)
    }

    fn category(&mut self, name: &str) -> &mut Category {
        let id = slug(name);
        let at = self.categories.iter().position(|category| category.id == id).unwrap_or_else(|| {
            self.categories.push(Category { id, ..Category::default() });
            self.categories.len() - 1
        });
        &mut self.categories[at]
    }

    fn text(&mut self, language: &str, field: &'static str, text: &str) {
        let text = words::plain(text);
        if !text.is_empty() {
            self.texts.entry(language.to_owned()).or_default().insert(field, text);
        }
    }

    /// Takes the texts of `at` that have a field of ours.
    fn texts_of(&mut self, value: Option<&Value>, path: &str, language: &str, fields: &[(&str, &'static str)]) {
        for (theirs, ours) in fields {
            if let Some(text) = value.and_then(|value| value.get(theirs)?.text()) {
                self.text(language, ours, text);
                self.took(format!("{path}.{theirs}"));
            }
        }
    }

    /// Keeps for how long a choice holds, if that is possible.
    fn days(&mut self, path: &str, value: Option<&Value>) {
        let Some(value) = value else { return };
        match value {
            Value::Number(days) => match days.parse::<u16>() {
                Ok(days @ 1..=MAX_RENEW_AFTER_DAYS) => {
                    self.renew_after_days = Some(days);
                    self.took(path);
                }
                _ => self.leave(path, value, "a choice holds for 1 to 395 days"),
            },
            _ => self.leave(path, value, "renew_after_days is one number, the same for yes and no"),
        }
    }

    /// Lists everything that nobody has taken.
    fn leave_the_rest(&mut self, value: &Value, path: &str, reasons: Reasons) {
        // What is off, or not there, asks for nothing.
        if self.used.contains(path) || matches!(value, Value::Null | Value::Bool(false)) {
            return;
        }
        let fits = |pattern: &str| {
            let (mut wanted, mut there) = (pattern.split('.'), path.split('.'));
            loop {
                match (wanted.next(), there.next()) {
                    (None, None) => return true,
                    (Some(wanted), Some(there)) if wanted == "*" || wanted == there => {}
                    _ => return false,
                }
            }
        };
        if let Some((_, why)) = reasons.iter().find(|(pattern, _)| !path.is_empty() && fits(pattern)) {
            return self.leave(path, value, why);
        }
        let nested = |item: &Value| matches!(item, Value::Object(_) | Value::List(_));
        let within = |path: &str, key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    self.leave_the_rest(value, &within(path, key), reasons);
                }
            }
            Value::List(items)
                if items.iter().any(nested) || self.used.iter().any(|used| used.starts_with(&format!("{path}["))) =>
            {
                for (at, item) in items.iter().enumerate() {
                    self.leave_the_rest(item, &format!("{path}[{at}]"), reasons);
                }
            }
            Value::Object(_) => {}
            Value::List(items) if items.is_empty() => {}
            Value::Code(_) => self.leave(path, value, "only a literal can be read"),
            _ => self.leave(path, value, ""),
        }
    }

    fn finish(mut self) -> Imported {
        if self.languages.is_empty() {
            self.languages.push(self.default_language.clone().unwrap_or_else(|| "en".to_owned()));
        }
        let default = self.default_language.clone().filter(|tag| self.languages.contains(tag));
        let english = || self.languages.iter().find(|tag| *tag == "en").cloned();
        let default = default.or_else(english).unwrap_or_else(|| self.languages[0].clone());
        self.keep_the_choice();
        let categories: Vec<Json> = self.categories.iter().map(|category| self.category_json(category)).collect();
        let policy = self.localized(&self.privacy_policy, None, "the address of the privacy policy");
        let draft = json!({
            "preset": "choice",
            "default_language": default,
            "languages": self.languages,
            "renew_after_days": self.renew_after_days.unwrap_or(DEFAULT_RENEW_AFTER_DAYS),
            "privacy_policy": policy,
            "controller": {
                "name": todo("the legal name of who is responsible"),
                "address": todo("the postal address"),
                "contact": todo("an e-mail address for questions and requests"),
            },
            "texts": self.texts,
            "category": categories,
        });
        let written = draft::to_toml(&draft);
        let unfilled = written.matches("\"TODO").count();
        let toml = format!(
            "# Made from the configuration of another consent manager. What is marked TODO was not in it and is needed:\n\
             # `consent notice lint` lists it. Countries have two letters (IE); lifetimes are session, kept, or days (\"30 days\").\n\
             {written}"
        );
        Imported { toml, left: self.left, unfilled }
    }

    /// Our own cookie is in a necessary category, which is the first one.
    fn keep_the_choice(&mut self) {
        let at = self.categories.iter().position(|category| category.necessary);
        let mut necessary = match at {
            Some(at) => self.categories.remove(at),
            None => Category { id: "functional".to_owned(), necessary: true, ..Category::default() },
        };
        let texts = |en: &str, de: &str| {
            let known = [("en", en), ("de", de)].map(|(language, text)| (language.to_owned(), text.to_owned()));
            Texts::from(known)
        };
        let choice = Cookie {
            name: "consent".to_owned(),
            lifetime: Some("renewal".to_owned()),
            purpose: texts("Keeps what you chose here.", "Behält, was Sie hier gewählt haben."),
            ..Cookie::default()
        };
        let queue = Cookie {
            name: "consent".to_owned(),
            local: true,
            lifetime: Some("kept".to_owned()),
            purpose: texts(
                "Keeps a choice until our server has confirmed it, and after that the number of its record.",
                "Behält eine Wahl, bis unser Server sie bestätigt hat, und danach die Nummer ihrer Aufzeichnung.",
            ),
        };
        let service = Service {
            id: "privacy-choice".to_owned(),
            name: texts("Privacy choice", "Datenschutz-Wahl"),
            cookies: vec![choice, queue],
            exempt: true,
            ..Service::default()
        };
        necessary.services.insert(0, service);
        self.categories.insert(0, necessary);
    }

    fn localized(&self, texts: &Texts, same: Option<&str>, what: &str) -> Json {
        let first = self.languages.first().and_then(|language| texts.get(language));
        if let Some(same) = same.filter(|_| texts.is_empty()) {
            return same.into();
        }
        match first {
            Some(first) if self.languages.iter().all(|language| texts.get(language) == Some(first)) => {
                (*first).clone().into()
            }
            None if texts.is_empty() => todo(what).into(),
            _ => {
                let each = self.languages.iter().map(|language| {
                    (language.clone(), texts.get(language).cloned().unwrap_or_else(|| todo(what)).into())
                });
                Json::Object(each.collect())
            }
        }
    }

    fn category_json(&self, category: &Category) -> Json {
        let text = self.languages.iter().map(|language| {
            let or_todo = |texts: &Texts, what: &str| texts.get(language).cloned().unwrap_or_else(|| todo(what));
            let text = json!({
                "name": or_todo(&category.name, "the name of the switch"),
                "purpose": or_todo(&category.purpose, "what the data is used for"),
                "data": todo("which kinds of data"),
                "recipients": todo("who receives them"),
                "retention": todo("how long they are kept"),
            });
            (language.clone(), text)
        });
        let mut json = json!({
            "id": category.id,
            "necessary": category.necessary,
            "text": text.collect::<Map<_, _>>(),
            "service": category.services.iter().map(|service| self.service_json(category, service)).collect::<Vec<_>>(),
        });
        if category.necessary {
            json["exemption"] = "consent-storage".into();
        } else {
            let name = category.name.values().chain([&category.id]).any(|name| words::is_advertising(name));
            json["signals"] = name.into();
        }
        json
    }

    fn service_json(&self, category: &Category, service: &Service) -> Json {
        let cookie = |cookie: &Cookie| {
            json!({
                "name": cookie.name,
                "storage": if cookie.local { "local" } else { "cookie" },
                "lifetime": cookie.lifetime.clone().unwrap_or_else(|| todo("how long it stays, such as 30 days")),
                "purpose": self.purposes(&cookie.purpose),
            })
        };
        let mut json = json!({
            "id": service.id,
            "name": self.localized(&service.name, service.same_name.as_deref(), "the name people know it by"),
            "provider": if service.exempt { "{controller}".to_owned() } else { todo("who provides it; {controller} for yourself") },
            "country": "TODO",
            "cookies": service.cookies.iter().map(cookie).collect::<Vec<_>>(),
        });
        if category.necessary && !service.exempt {
            json["exemption"] =
                todo("why it need not ask: login, security, basket, ui-preference, load-balancing, …").into();
        }
        json
    }

    /// One text for each language, even if all are the same: a purpose is no proper name.
    fn purposes(&self, texts: &Texts) -> Json {
        let each = self.languages.iter().map(|language| {
            (language.clone(), texts.get(language).cloned().unwrap_or_else(|| todo("what it is for")).into())
        });
        Json::Object(each.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_made_of_names() {
        for (name, want) in [
            ("analytics", "analytics"),
            ("googleAnalytics 4", "googleanalytics-4"),
            ("  Ünal & Söhne  ", "nal-s-hne"),
            ("4chan", "x-4chan"),
            ("", "x"),
            ("a-very-long-name-that-goes-on-and-on-and-on", "a-very-long-name-that-goes-on-an"),
        ] {
            assert_eq!(slug(name), want);
            assert!(consent_core::id::Name::parse(want).is_ok(), "{name}");
        }
    }

    #[test]
    fn cookies_of_peers_are_read() {
        let at = |text| UnixMillis::parse(text).ok();
        let vanilla = "%7B%22categories%22%3A%5B%22necessary%22%2C%22analytics%22%5D%2C%22revision%22%3A0%2C%22data%22%3Anull%2C%22\
            consentTimestamp%22%3A%222026-05-01T10%3A00%3A00.000Z%22%2C%22consentId%22%3A%228c5a64d7-3f0b-4c5e-9b38-0f3b6a0a5d11%22%2C%22\
            services%22%3A%7B%22necessary%22%3A%5B%5D%2C%22analytics%22%3A%5B%22youtube%22%5D%7D%2C%22languageCode%22%3A%22de%22%2C%22\
            lastConsentTimestamp%22%3A%222026-06-01T10%3A00%3A00.000Z%22%2C%22expirationTime%22%3A1%7D";
        let claim = |peer, text: &str| super::claim(peer, text);
        let read = claim(Peer::VanillaCookieconsent, vanilla).unwrap();
        assert_eq!(read.id.as_deref(), Some("8c5a64d7-3f0b-4c5e-9b38-0f3b6a0a5d11"));
        assert_eq!((read.decided_at, read.language.as_deref()), (at("2026-06-01T10:00:00Z"), Some("de")));
        assert_eq!((read.granted, read.refused), (vec!["necessary".to_owned(), "analytics:youtube".to_owned()], None));
        let two = r#"{"categories":["necessary"],"level":["necessary"],"revision":0,"data":null,"rfc_cookie":false,
            "consent_date":"2022-05-01T10:00:00.000Z","consent_uuid":"8c5a64d7-3f0b-4c5e-9b38-0f3b6a0a5d11",
            "last_consent_update":"2022-05-02T10:00:00.000Z"}"#;
        let read = claim(Peer::VanillaCookieconsent, two).unwrap();
        assert_eq!((read.decided_at, read.granted), (at("2022-05-02T10:00:00Z"), vec!["necessary".to_owned()]));
        let read = claim(Peer::Klaro, "%7B%22matomo%22%3Atrue%2C%22youtube%22%3Afalse%7D").unwrap();
        assert_eq!((read.decided_at, read.id), (None, None));
        assert_eq!((read.granted, read.refused), (vec!["matomo".to_owned()], Some(vec!["youtube".to_owned()])));
        let read =
            claim(Peer::C15t, "c.necessary:1,c.measurement:1,i.t:1779000000123,i.sid:sub_4f,i.y:custom").unwrap();
        assert_eq!((read.decided_at, read.id.as_deref()), (Some(UnixMillis::new(1_779_000_000_123)), Some("sub_4f")));
        assert_eq!((read.granted, read.refused), (vec!["necessary".to_owned(), "measurement".to_owned()], None));
        for peer in [Peer::VanillaCookieconsent, Peer::Klaro, Peer::C15t] {
            for bad in ["", "x", "{}", "[]", "%ff", "%7B%22categories%22%3A1%7D", "{\"a\":\"b\"}", "c.:x"] {
                assert!(claim(peer, bad).is_err(), "{peer:?} {bad}");
            }
        }
    }
}
