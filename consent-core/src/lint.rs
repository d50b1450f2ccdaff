//! What a notice must keep to before it is published, as a table of rules.
//!
//! Each rule is one row of [`RULES`] and one function. The ids are those of the list of legal requirements (`R-…`); what our own
//! formats ask has ids that start with `S-`. A lint can see that a text is missing or says what it must not; it cannot see whether
//! a text is true. Lists of words exist for English and German; texts in other languages are checked for what needs no words.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::adapter::{Adapter, Elsewhere, Options, Platform};
use crate::id::{Language, Name};
use crate::notice::{
    Category, CookieEntry, Draft, Exemption, Lifetime, Localized, PLACEHOLDERS, Preset, Service, Storage, Transfer,
};
use crate::outline::MAX_RENEW_AFTER_DAYS;
use crate::texts::{BuiltIn, primary};
use crate::theme;

/// The most categories of a notice.
pub const MAX_CATEGORIES: usize = 32;
/// The most services of a category.
pub const MAX_SERVICES: usize = 64;
/// The longest value of the consent cookie, in bytes.
pub const MAX_COOKIE: usize = 1024;
/// What the cookie needs beside the granted ids, in bytes: `1.`, a version of ten digits, a time of twelve, a subject of 22, the dots
/// between them, and eight bytes for flags.
const COOKIE_FRAME: usize = 2 + 10 + 1 + 12 + 1 + 22 + 1 + 1 + 8;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Does not stop publishing.
    Warning,
    /// Stops publishing.
    Error,
}

/// Something in a draft that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The id of the rule, such as `R-4.11-informed`.
    pub rule: &'static str,
    /// Whether it stops publishing.
    pub severity: Severity,
    /// Where it is in the draft, such as `category.statistics.text.en.purpose`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity} {} {}: {}", self.rule, self.path, self.message)
    }
}

/// A rule: one row of [`RULES`].
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Its id in the list of legal requirements.
    pub id: &'static str,
    /// What it asks, in one line.
    pub title: &'static str,
    /// Where that comes from.
    pub law: &'static str,
    /// Reports where a draft breaks it.
    pub check: fn(&Draft, &mut Findings),
}

/// Collects what one rule finds.
#[derive(Debug)]
pub struct Findings {
    rule: &'static str,
    found: Vec<Finding>,
}

impl Findings {
    fn error(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Error, path.into(), message.into());
    }

    fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.add(Severity::Warning, path.into(), message.into());
    }

    fn add(&mut self, severity: Severity, path: String, message: String) {
        self.found.push(Finding { rule: self.rule, severity, path, message });
    }
}

/// Every rule, in the order in which findings are listed.
pub const RULES: &[Rule] = &[
    Rule { id: "S-todo", title: "Nothing is left to be filled in", law: "Format of the notice", check: filled },
    Rule { id: "S-unique", title: "Each id is used once", law: "Format of the notice", check: unique },
    Rule { id: "S-limits", title: "Not empty, and within the limits", law: "Format of the notice", check: limits },
    Rule {
        id: "S-cookie-size",
        title: "Every answer fits the cookie",
        law: "Format of the cookie",
        check: cookie_size,
    },
    Rule {
        id: "S-placeholders",
        title: "Braces hold what can be filled in",
        law: "Format of the notice",
        check: placeholders,
    },
    Rule { id: "S-theme", title: "A theme names roles and colours", law: "Format of the notice", check: themed },
    Rule {
        id: "S-adapter",
        title: "Platforms are told what the notice asks, in their words",
        law: "Rules of the platforms; ePrivacy Directive Art. 5(3); EDPB 2/2023",
        check: adapters,
    },
    Rule {
        id: "S-reviewed",
        title: "Texts that nobody has reviewed are offered only on purpose",
        law: "Format of the notice",
        check: reviewed,
    },
    Rule {
        id: "R-4.11-active",
        title: "No text takes silence or browsing on for consent",
        law: "GDPR Art. 4(11), recital 32; CJEU C-673/17",
        check: active,
    },
    Rule {
        id: "R-4.11-specific",
        title: "One switch for each purpose",
        law: "GDPR Art. 4(11), recital 43; EDPB 05/2020, 3.2",
        check: specific,
    },
    Rule {
        id: "R-4.11-informed",
        title: "Who, why, which data, who receives it, how long cookies live",
        law: "GDPR Art. 4(11); EDPB 05/2020, 3.3.1; CJEU C-673/17",
        check: informed,
    },
    Rule {
        id: "R-9-explicit",
        title: "What needs explicit consent is not behind a switch",
        law: "GDPR Art. 9(2)(a), 49(1)(a); EDPB 05/2020, 4",
        check: explicit,
    },
    Rule {
        id: "R-7.1-minimal",
        title: "People who refuse carry no identifier",
        law: "GDPR Art. 5(1)(c), 7(1); EDPB 05/2020, 5.1",
        check: minimal,
    },
    Rule {
        id: "R-7.2-distinct",
        title: "Plain words, short sentences, no double negatives",
        law: "GDPR Art. 7(2); EDPB 03/2022, ambiguous wording",
        check: distinct,
    },
    Rule {
        id: "R-7.3-withdraw",
        title: "The first layer says that consent can be withdrawn",
        law: "GDPR Art. 7(3); EDPB 05/2020, 5.2",
        check: withdraw,
    },
    Rule {
        id: "R-7-renew",
        title: "A choice holds about six months, at most thirteen",
        law: "EDPB 05/2020, 5.1; CNIL 2020-092; Garante no. 231 of 2021",
        check: renew,
    },
    Rule {
        id: "R-UI-refuse-first-layer",
        title: "Refusing is on the layer that has accepting",
        law: "EDPB cookie banner taskforce, type A",
        check: refuse_first_layer,
    },
    Rule {
        id: "R-UI-equal",
        title: "Accepting and refusing have equal weight",
        law: "EDPB cookie banner taskforce, types D and E",
        check: equal,
    },
    Rule { id: "R-UI-close", title: "Close refuses, and says so", law: "Garante no. 231 of 2021", check: close },
    Rule {
        id: "R-UI-essential",
        title: "Only what is necessary is called so",
        law: "EDPB cookie banner taskforce, type I",
        check: essential,
    },
    Rule {
        id: "R-UI-no-stirring",
        title: "No text stirs or urges",
        law: "EDPB 03/2022, emotional steering",
        check: stirring,
    },
    Rule { id: "R-UI-no-maze", title: "Not too many switches", law: "EDPB 03/2022, too many options", check: maze },
    Rule {
        id: "R-UI-consistent",
        title: "Every text is there in every language",
        law: "EDPB 03/2022, language discontinuity",
        check: consistent,
    },
    Rule {
        id: "R-UI-access",
        title: "Colours can be told apart, and labels fit a small screen",
        law: "WCAG 2.2, 1.4.3, 1.4.10, 1.4.11",
        check: access,
    },
    Rule {
        id: "R-5.3-any-info",
        title: "What is stored on the device is listed as it is",
        law: "ePrivacy Directive Art. 5(3); EDPB 2/2023",
        check: any_info,
    },
    Rule {
        id: "R-5.3-exempt",
        title: "What does not ask has a reason, and keeps to its limits",
        law: "ePrivacy Directive Art. 5(3); CNIL 2020-091",
        check: exempt,
    },
    Rule {
        id: "R-5.3-signals",
        title: "Signals can keep off what they are meant for",
        law: "GDPR Art. 21(5); CNIL 2020-091, 4",
        check: signals,
    },
    Rule {
        id: "R-13-notice",
        title: "How to reach the controller, the policy, how long data is kept",
        law: "GDPR Art. 13",
        check: information,
    },
    Rule {
        id: "R-26-joint",
        title: "Third parties are named as recipients",
        law: "GDPR Art. 13(1)(e), 26; CJEU C-40/17",
        check: third_parties,
    },
    Rule {
        id: "R-44-transfer",
        title: "Outside the European Economic Area there is a ground",
        law: "GDPR Art. 13(1)(f), 44 to 49",
        check: transfers,
    },
];

/// Everything in a draft that breaks a rule, in the order of [`RULES`]. Errors stop publishing, warnings do not.
pub fn lint(draft: &Draft) -> Vec<Finding> {
    let check = |rule: &Rule| {
        let mut findings = Findings { rule: rule.id, found: Vec::new() };
        (rule.check)(draft, &mut findings);
        findings.found
    };
    RULES.iter().flat_map(check).collect()
}

// Words. Phrases are in lower case and match whole words only.

/// By primary language; phrases separated by a comma.
type Words = &'static [(&'static str, &'static str)];

const STIRRING: Words = &[
    (
        "en",
        "best experience, best possible experience, better experience, improve your experience, enhance, \
        love, sorry, miss out, don't miss, do not miss, unfortunately, sadly, help us, support us, \
        we value your privacy, your privacy is important, we care about, hurry, last chance, yummy, \
        delicious, tasty, are you sure",
    ),
    (
        "de",
        "bestes erlebnis, beste erlebnis, besseres erlebnis, optimales erlebnis, nutzererlebnis, lieben, \
        leider, schade, verpassen, helfen sie uns, hilf uns, unterstützen sie uns, unterstütze uns, \
        wir respektieren ihre privatsphäre, uns wichtig, am herzen, letzte chance, beeilen, lecker, \
        leckere, sind sie sicher, bist du sicher",
    ),
];

const BROWSING_ON: Words = &[
    (
        "en",
        "by continuing, if you continue, by using this, by using our, continued use, by browsing, \
        by scrolling, by closing, if you do nothing",
    ),
    (
        "de",
        "wenn sie weiter, wenn du weiter, indem sie weiter, durch die weitere nutzung, \
        mit der weiteren nutzung, durch weitersurfen, durch schließen, \
        wenn sie nichts tun",
    ),
];

const DOUBLE_NEGATIVES: Words = &[
    (
        "en",
        "not disable, not refuse, not reject, not decline, not disagree, not object, not without, \
        not opt out, don't disable, don't refuse, don't reject, don't decline, don't object, don't opt out",
    ),
    (
        "de",
        "nicht ablehnen, nicht deaktivieren, nicht ausschalten, nicht abschalten, nicht widersprechen, \
        nicht verweigern, nicht ohne",
    ),
];

const ACCEPTING: Words = &[
    ("en", "ok, okay, accept, agree, allow, got it, continue, yes, understand, understood, consent"),
    (
        "de",
        "ok, okay, akzeptieren, annehmen, zustimmen, einwilligen, einverstanden, erlauben, verstanden, \
        weiter, ja",
    ),
];

const REFUSING: Words = &[
    ("en", "no, not, nothing, without, reject, refuse, decline, deny, off, only necessary, only essential"),
    ("de", "nein, nicht, nichts, ohne, kein, keine, ablehnen, verweigern, aus, nur notwendige"),
];

const ELSEWHERE: Words = &[
    ("en", "settings, options, preferences, manage, customise, customize, choose, more, learn, later"),
    ("de", "einstellungen, optionen, verwalten, anpassen, auswählen, mehr, später"),
];

const WITHDRAWING: Words = &[("en", "any time, anytime, always"), ("de", "jederzeit, immer")];

/// Names of categories, in any language.
const ESSENTIAL: &str = "necessary, essential, essentials, required, indispensable, notwendig, notwendige, erforderlich, \
    erforderliche, essenziell, essenzielle";
const ADVERTISING: &str = "marketing, advertising, advertisement, ads, ad, retargeting, remarketing, tracking, profiling, \
    werbung, werbe, profilbildung";

fn words(lists: Words, language: &Language) -> &'static str {
    lists.iter().find(|(tag, _)| *tag == primary(language)).map_or("", |(_, words)| words)
}

/// The first of these phrases that stands in a text as whole words.
fn phrase(text: &str, phrases: &'static str) -> Option<&'static str> {
    let text = text.to_lowercase().replace('’', "'");
    let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let stands = |phrase: &str| {
        text.match_indices(phrase)
            .any(|(at, _)| !letter(text[..at].chars().next_back()) && !letter(text[at + phrase.len()..].chars().next()))
    };
    phrases.split(", ").filter(|phrase| !phrase.is_empty()).find(|phrase| stands(phrase))
}

fn blank(text: &str) -> bool {
    text.trim().is_empty()
}

// Walking a draft.

/// A text that people are shown.
struct Shown<'a> {
    path: String,
    /// The name of the field: `intro`, `purpose`, …
    field: &'static str,
    language: &'a Language,
    text: String,
}

/// Everything shown, as it is before placeholders are filled: texts of the interface, of categories, of services.
fn shown(draft: &Draft) -> Vec<Shown<'_>> {
    let mut all = Vec::new();
    for language in &draft.languages {
        let mut add = |path: String, field: &'static str, text: Option<&str>| {
            let text = text.map(str::to_owned);
            all.extend(text.map(|text| Shown { path: format!("{path}.{field}"), field, language, text }));
        };
        for (field, text) in draft.texts_in(language).iter() {
            add(format!("texts.{language}"), field, text);
        }
        for category in &draft.categories {
            let path = format!("category.{}.text.{language}", category.id);
            let Some(text) = category.text.get(language) else { continue };
            for (field, text) in [
                ("name", &text.name),
                ("purpose", &text.purpose),
                ("data", &text.data),
                ("recipients", &text.recipients),
                ("retention", &text.retention),
            ] {
                add(path.clone(), field, Some(text));
            }
            add(path, "transfers", text.transfers.as_deref());
        }
        for (_, service, path) in services(draft) {
            add(path.clone(), "name", service.name.in_language(language));
            for (cookie, path) in cookies(service, &path) {
                add(path, "purpose", cookie.purpose.in_language(language));
            }
        }
    }
    all
}

fn services(draft: &Draft) -> impl Iterator<Item = (&Category, &Service, String)> {
    draft.categories.iter().flat_map(|category| {
        let path = |service: &Service| format!("category.{}.service.{}", category.id, service.id);
        category.services.iter().map(move |service| (category, service, path(service)))
    })
}

fn cookies<'a>(service: &'a Service, path: &str) -> impl Iterator<Item = (&'a CookieEntry, String)> {
    service.cookies.iter().map(move |cookie| (cookie, format!("{path}.cookies.{}", cookie.name)))
}

/// One text of the interface in every language.
fn each_label(draft: &Draft, fields: &[&str]) -> Vec<(Language, String, String)> {
    let of = |language: &Language| {
        let texts = draft.texts_in(language);
        let found = texts.iter().filter(|(field, _)| fields.contains(field));
        let found = found.filter_map(|(field, text)| {
            text.map(|text| (language.clone(), format!("texts.{language}.{field}"), text.to_owned()))
        });
        found.collect::<Vec<_>>()
    };
    draft.languages.iter().flat_map(of).collect()
}

const LABELS: &[&str] = &[
    "privacy_policy",
    "close",
    "settings",
    "accept",
    "reject",
    "save",
    "cancel",
    "details",
    "hide_details",
    "always_on",
    "on",
    "off",
    "forget",
    "reopen",
    "placeholder_once",
    "placeholder_always",
];

// The rules.

fn unique(draft: &Draft, findings: &mut Findings) {
    let mut once = |path: String, what: &str, names: Vec<String>| {
        let mut counts = BTreeMap::new();
        for name in names {
            *counts.entry(name).or_insert(0) += 1;
        }
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 1) {
            findings.error(path.clone(), format!("{what} {name} is listed {count} times; each is listed once"));
        }
    };
    once("languages".into(), "the language", draft.languages.iter().map(Language::to_string).collect());
    once("category".into(), "the category", draft.categories.iter().map(|category| category.id.to_string()).collect());
    for category in &draft.categories {
        let ids = category.services.iter().map(|service| service.id.to_string()).collect();
        once(format!("category.{}", category.id), "the service", ids);
    }
    for (_, service, path) in services(draft) {
        let names = service.cookies.iter().map(|cookie| format!("{} ({:?})", cookie.name, cookie.storage)).collect();
        once(path, "the entry", names);
    }
    // One thing on the device under two switches: refusing one of them would not keep it away.
    let mut owners: BTreeMap<_, &Name> = BTreeMap::new();
    for (category, service, path) in services(draft) {
        for (cookie, path) in cookies(service, &path) {
            let owner = *owners.entry((format!("{:?}", cookie.storage), &cookie.name)).or_insert(&category.id);
            if owner != &category.id {
                findings
                    .error(path, format!("the category {owner} lists this too, so refusing it would not keep it away"));
            }
        }
    }
}

/// What stands in a draft where somebody still has to fill something in, alone or before a colon and what it is.
pub const TODO: &str = "TODO";

/// Whether a text says that it is still to be filled in. In the middle of a text the word may be Spanish or Portuguese.
pub fn is_unfilled(text: &str) -> bool {
    text.trim_start().strip_prefix(TODO).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

fn filled(draft: &Draft, findings: &mut Findings) {
    fn walk(value: &serde_json::Value, path: &str, findings: &mut Findings) {
        let within = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        match value {
            serde_json::Value::String(text) if is_unfilled(text) => findings.error(path, "is still to be filled in"),
            serde_json::Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let name = item.get("id").or_else(|| item.get("name")).and_then(|name| name.as_str());
                    walk(item, &within(&name.map_or_else(|| at.to_string(), str::to_owned)), findings);
                }
            }
            serde_json::Value::Object(fields) => {
                fields.iter().for_each(|(key, item)| walk(item, &within(key), findings));
            }
            _ => {}
        }
    }
    // Every text of a draft, whatever fields there are or will be.
    walk(&serde_json::to_value(draft).expect("a draft is texts in lists and maps keyed by text"), "", findings);
}

fn limits(draft: &Draft, findings: &mut Findings) {
    match draft.categories.len() {
        0 => findings.error("category", "there is no category, so nothing to show"),
        1..=MAX_CATEGORIES => {}
        n => findings.error("category", format!("there are {n} categories; at most {MAX_CATEGORIES} are possible")),
    }
    for category in draft.categories.iter().filter(|category| category.services.len() > MAX_SERVICES) {
        let n = category.services.len();
        findings.error(
            format!("category.{}", category.id),
            format!("has {n} services; at most {MAX_SERVICES} are possible"),
        );
    }
}

/// The most bytes the cookie can have: each optional category as itself or as all its services one by one, whichever is wider.
fn worst_cookie(draft: &Draft) -> usize {
    let widest = |category: &Category| {
        let id = category.id.as_str().len();
        let services = category.services.iter().map(|service| id + 1 + service.id.as_str().len() + 1).sum::<usize>();
        // With the `~` after it.
        services.max(id + 1)
    };
    COOKIE_FRAME + draft.categories.iter().filter(|category| !category.necessary).map(widest).sum::<usize>()
}

fn cookie_size(draft: &Draft, findings: &mut Findings) {
    let worst = worst_cookie(draft);
    if worst > MAX_COOKIE {
        let message = format!(
            "granting every service one by one would need {worst} bytes of the cookie's {MAX_COOKIE}; shorten ids or join services"
        );
        findings.error("category", message);
    }
}

fn placeholders(draft: &Draft, findings: &mut Findings) {
    for Shown { path, language: _, text, field } in shown(draft) {
        for (at, _) in text.match_indices('{') {
            let name = text[at + 1..].split_once('}').map(|(name, _)| name);
            match name {
                // Only what stands in the place of one category's content can name that category.
                Some("category") if field.starts_with("placeholder_") => {}
                Some(name) if name != "category" && PLACEHOLDERS.contains(&name) => {}
                _ => {
                    let known = PLACEHOLDERS.join(", ");
                    findings.error(&*path, format!("braces hold one of {known}, and nothing else"));
                }
            }
            if name == Some("optional") && draft.categories.iter().all(|category| category.necessary) {
                findings.error(&*path, "there is no optional category to name here; write a text that names none");
            }
        }
    }
    for language in &draft.languages {
        let Some(lifetimes) = draft.texts_in(language).lifetimes else { continue };
        if !lifetimes.days.contains("{count}") {
            findings
                .error(format!("texts.{language}.lifetimes.days"), "does not say how many days: {count} is missing");
        }
    }
}

/// How much a suspicious word matters: the texts of the interface are few and can do without it; a category's text may need it.
fn by_words(path: &str) -> Severity {
    if path.starts_with("texts.") { Severity::Error } else { Severity::Warning }
}

fn active(draft: &Draft, findings: &mut Findings) {
    for Shown { path, language, text, .. } in shown(draft) {
        if let Some(phrase) = phrase(&text, words(BROWSING_ON, language)) {
            let message = format!("“{phrase}” takes doing nothing for consent; only a button or switch gives it");
            findings.add(by_words(&path), path, message);
        }
    }
}

fn specific(draft: &Draft, findings: &mut Findings) {
    for language in &draft.languages {
        let texts: Vec<_> =
            draft.categories.iter().filter_map(|category| Some((category, category.text.get(language)?))).collect();
        for (i, (category, text)) in texts.iter().enumerate() {
            let path = format!("category.{}.text.{language}", category.id);
            if let Some((other, _)) = texts[..i].iter().find(|(_, other)| !blank(&text.name) && other.name == text.name)
            {
                findings.error(
                    format!("{path}.name"),
                    format!("is the name of {} too; nobody can tell them apart", other.id),
                );
            }
            let same = texts[..i].iter().find(|(_, other)| !blank(&text.purpose) && other.purpose == text.purpose);
            if let Some((other, _)) = same {
                findings.warn(
                    format!("{path}.purpose"),
                    format!("is the purpose of {} too; one purpose has one switch", other.id),
                );
            }
        }
    }
}

fn informed(draft: &Draft, findings: &mut Findings) {
    if blank(&draft.controller.name) {
        findings.error("controller.name", "say who is responsible");
    }
    for (language, path, intro) in each_label(draft, &["intro"]) {
        if !intro.contains("{controller}") && !intro.contains(&draft.controller.name) {
            findings.error(&*path, "the first layer names the controller: use {controller}");
        }
        let purposes = draft.categories.iter().filter(|category| !category.necessary).all(|category| {
            category.text.get(&language).is_some_and(|text| intro.to_lowercase().contains(&text.name.to_lowercase()))
        });
        if !intro.contains("{optional}") && !purposes {
            findings.warn(path, "the first layer does not name what it asks about: use {optional}");
        }
    }
    for (language, texts) in draft.languages.iter().map(|language| (language, draft.texts_in(language))) {
        let told = [texts.intro.as_deref(), texts.settings_intro.as_deref()].map(Option::unwrap_or_default).join(" ");
        let cookie = draft.choice_cookie().map_or("consent", |cookie| &cookie.name);
        let days = draft.renew_after_days.to_string();
        for (placeholder, value, what) in
            [("{cookie}", cookie, "the cookie that keeps the choice"), ("{days}", &days, "how long it lives")]
        {
            if !told.contains(placeholder) && !told.contains(value) {
                let path = format!("texts.{language}.settings_intro");
                findings.error(path, format!("neither this nor the intro says {what}: use {placeholder}"));
            }
        }
    }
    for category in &draft.categories {
        for (language, text) in &category.text {
            let path = format!("category.{}.text.{language}", category.id);
            for (field, text, what) in [
                ("name", &text.name, "say what the switch is called"),
                ("purpose", &text.purpose, "say what the data is used for"),
                ("data", &text.data, "say which kinds of data"),
                ("recipients", &text.recipients, "say who receives the data, also if only you do"),
            ] {
                if blank(text) {
                    findings.error(format!("{path}.{field}"), what);
                }
            }
            if !blank(&text.purpose) && text.purpose.split_whitespace().count() < 3 {
                findings.warn(format!("{path}.purpose"), "is too short to say what the data is used for");
            }
        }
    }
    for (_, service, path) in services(draft) {
        if blank(&service.provider) {
            findings.error(format!("{path}.provider"), "say who provides it; {controller} if you do yourself");
        }
        for (cookie, path) in cookies(service, &path) {
            if cookie.purpose.iter().any(|(_, text)| blank(text)) {
                findings.error(format!("{path}.purpose"), "say what it is for");
            }
        }
        if service.name.iter().any(|(_, text)| blank(text)) {
            findings.error(format!("{path}.name"), "say what the service is called");
        }
    }
}

fn explicit(draft: &Draft, findings: &mut Findings) {
    for (_, service, path) in
        services(draft).filter(|(_, service, _)| service.transfer == Some(Transfer::ExplicitConsent))
    {
        let message = format!("a switch gives no explicit consent; {} needs another ground", service.id);
        findings.error(format!("{path}.transfer"), message);
    }
}

fn minimal(draft: &Draft, findings: &mut Findings) {
    if draft.id_for_refusals {
        findings
            .warn("id_for_refusals", "people who refuse everything get an identifier too; keep the reason for that");
    }
}

fn distinct(draft: &Draft, findings: &mut Findings) {
    for Shown { path, field, language, text } in shown(draft) {
        let label = LABELS.contains(&field) || field == "name";
        if let Some(phrase) = phrase(&text, words(DOUBLE_NEGATIVES, language)).filter(|_| label) {
            findings.error(&*path, format!("“{phrase}” is a double negative: say what happens"));
        }
        let longest = text.split(['.', ';', ':', '?', '!']).map(|sentence| sentence.split_whitespace().count()).max();
        if longest.is_some_and(|words| words > 35) {
            findings.warn(path, "has a sentence of more than 35 words; split it");
        }
    }
}

fn withdraw(draft: &Draft, findings: &mut Findings) {
    for (language, path, text) in each_label(draft, &["withdraw_hint"]) {
        let known = words(WITHDRAWING, &language);
        if !known.is_empty() && phrase(&text, known).is_none() {
            findings.error(path, "does not say that the choice can be changed or withdrawn at any time");
        }
    }
    for (_, path, text) in each_label(draft, &["withdraw_hint", "forget", "forget_hint", "reopen"]) {
        if blank(&text) {
            findings.error(path, "withdrawing needs this text");
        }
    }
}

fn renew(draft: &Draft, findings: &mut Findings) {
    match draft.renew_after_days {
        1..180 => findings.warn("renew_after_days", "asks those who refused again before six months have passed"),
        180..=184 => {}
        185..=MAX_RENEW_AFTER_DAYS => findings.warn("renew_after_days", "is more than the recommended six months"),
        _ => findings.error("renew_after_days", format!("must be 1 to {MAX_RENEW_AFTER_DAYS} days")),
    }
}

fn refuse_first_layer(draft: &Draft, findings: &mut Findings) {
    if draft.preset != Preset::Choice {
        return;
    }
    if draft.categories.iter().all(|category| category.necessary) {
        findings.error("preset", "there is nothing to accept or refuse; use the preset notice");
    }
    for (language, path, text) in each_label(draft, &["reject"]) {
        if phrase(&text, words(REFUSING, &language)).is_some() {
            continue;
        }
        if let Some(word) = phrase(&text, words(ELSEWHERE, &language)) {
            findings.error(path, format!("“{word}” leads elsewhere; the button refuses at once and says so"));
        } else if let Some(word) = phrase(&text, words(ACCEPTING, &language)) {
            findings.error(path, format!("“{word}” sounds like accepting; the button refuses and says so"));
        }
    }
}

fn themed(draft: &Draft, findings: &mut Findings) {
    let theme = &draft.theme;
    if theme.radius.is_some_and(|radius| radius > 32) {
        findings.error("theme.radius", "is more than 32 pixels; buttons of 44 would be no rectangles any more");
    }
    if theme.font.as_deref().is_some_and(|font| !theme::is_font(font)) {
        findings.error("theme.font", "is not a list of font families, such as: Georgia, serif");
    }
    let known: Vec<_> = theme::ROLES.iter().map(|(role, ..)| *role).collect();
    for (scheme, colours) in [("light", &theme.light), ("dark", &theme.dark)] {
        for (role, colour) in colours {
            let path = format!("theme.{scheme}.{role}");
            if !known.contains(&&**role) && one_button(role).is_none() {
                findings.error(path, format!("is not a role; there are {}", known.join(", ")));
            } else if theme::luminance(colour).is_none() {
                findings.error(path, "is not a colour such as #036 or #003366");
            }
        }
    }
}

/// The button that the name of a role means, if it means one alone.
fn one_button(role: &str) -> Option<&'static str> {
    let words: Vec<_> = role.split(['-', '_']).collect();
    [
        "accept",
        "allow",
        "agree",
        "reject",
        "refuse",
        "deny",
        "decline",
        "close",
        "settings",
        "save",
        "primary",
        "secondary",
    ]
    .into_iter()
    .find(|button| words.contains(button))
}

fn adapters(draft: &Draft, findings: &mut Findings) {
    for platform in Platform::ALL {
        if draft.adapters.iter().filter(|adapter| adapter.id == platform).count() > 1 {
            findings.error("adapter", format!("{platform} is listed more than once; it is told once"));
        }
    }
    for Adapter { id, map, options } in &draft.adapters {
        let at = format!("adapter.{id}");
        if map.is_empty() {
            findings.warn(format!("{at}.map"), "maps none of its words, so everything stays denied there");
        }
        for (name, choice) in map {
            let path = format!("{at}.map.{name}");
            let known = |category: &&Category| {
                let service = |name| category.services.iter().any(|service| service.id.as_str() == name);
                category.id.as_str() == choice.category() && choice.service().is_none_or(service)
            };
            let Some(word) = id.word(name) else {
                let words: Vec<_> = id.words().iter().map(|word| word.name).collect();
                findings.error(path, format!("{id} has no such word; it has {}", words.join(", ")));
                continue;
            };
            match draft.categories.iter().find(known) {
                None => findings.error(path, format!("the notice has no {choice}")),
                Some(category) if word.advertising && category.necessary => {
                    findings
                        .error(path, "stands for advertising, and no exemption covers that: name an optional category");
                }
                Some(category) if word.advertising && !category.signals => {
                    let message = format!("stands for advertising, but the browser's signals do not keep {choice} off");
                    findings.warn(path, message);
                }
                Some(_) => {}
            }
        }
        let option = |name: &str| format!("{at}.options.{name}");
        for name in options.given().into_iter().filter(|name| !id.options().contains(name)) {
            findings.error(option(name), format!("is no option of {id}"));
        }
        for region in options.regions.iter().filter(|region| !Options::is_region(region)) {
            let message = format!(
                "{region:?} is no code of ISO 3166-1 or 3166-2, such as IE or US-CA; for the European Union list its countries"
            );
            findings.error(option("regions"), message);
        }
        if options.elsewhere == Elsewhere::Unset && options.regions.is_empty() {
            findings.error(option("elsewhere"), "there are no regions for it to be outside of");
        } else if options.elsewhere == Elsewhere::Unset {
            let message =
                "outside the regions tags take it for granted until somebody chooses, whatever the banner says";
            findings.warn(option("elsewhere"), message);
        }
        if options.url_passthrough {
            let message =
                "passes click identifiers in the addresses of links while storage is denied: a way around the refusal";
            findings.warn(option("url_passthrough"), message);
        }
        if options.advanced {
            let message = "tags load and send pings before anybody has chosen; EDPB Guidelines 2/2023 hold that Art. 5(3) covers that";
            findings.warn(option("advanced"), message);
        }
    }
}

fn reviewed(draft: &Draft, findings: &mut Findings) {
    for language in &draft.languages {
        if BuiltIn::find(language).is_none_or(|built_in| built_in.reviewed) {
            continue;
        }
        let own = draft.texts.get(language).cloned().unwrap_or_default();
        // Whoever brings all the texts has nothing of ours to review.
        if own.lifetimes.is_some() && own.iter().all(|(_, text)| text.is_some()) {
            continue;
        }
        let path = format!("texts.{language}");
        let nobody = "nobody who speaks the language has reviewed the built-in texts";
        if draft.unreviewed_languages.contains(language) {
            findings.warn(path, format!("{nobody}; have them read before you rely on them"));
        } else {
            findings.error(
                path,
                format!("{nobody}; list it in unreviewed_languages to offer it all the same, or bring your own texts"),
            );
        }
    }
    for language in draft.unreviewed_languages.iter().filter(|language| !draft.languages.contains(language)) {
        findings.warn("unreviewed_languages", format!("{language} is not offered"));
    }
}

fn equal(draft: &Draft, findings: &mut Findings) {
    for (scheme, colours) in [("light", &draft.theme.light), ("dark", &draft.theme.dark)] {
        for role in colours.keys() {
            if let Some(button) = one_button(role) {
                findings.error(
                    format!("theme.{scheme}.{role}"),
                    format!("colours {button} alone; accepting and refusing are drawn alike, by accent and tint"),
                );
            }
        }
    }
    if draft.preset != Preset::Choice {
        return;
    }
    for language in &draft.languages {
        let texts = draft.texts_in(language);
        let (Some(accept), Some(reject)) = (texts.accept, texts.reject) else { continue };
        let path = format!("texts.{language}.reject");
        let (long, short) =
            (accept.chars().count().max(reject.chars().count()), accept.chars().count().min(reject.chars().count()));
        if accept.trim() == reject.trim() {
            findings.error(&*path, "is the label of accept too");
        } else if long > 2 * short {
            findings.error(
                &*path,
                "one of accept and reject is more than twice as long; buttons of one size need like labels",
            );
        }
        let loud = |text: &str| text.chars().any(char::is_alphabetic) && text.to_uppercase() == *text;
        let marked = |text: &str| text.contains('!') || text.chars().any(|c| pictograph(c) || "→»›✓".contains(c));
        if loud(&accept) != loud(&reject) || marked(&accept) != marked(&reject) {
            findings.error(path, "one of accept and reject is emphasised; write both alike");
        }
    }
}

fn close(draft: &Draft, findings: &mut Findings) {
    for (language, path, text) in each_label(draft, &["close", "close_label"]) {
        let refuses = phrase(&text, words(REFUSING, &language)).is_some();
        if let Some(word) = phrase(&text, words(ACCEPTING, &language)).filter(|_| !refuses) {
            findings.error(&*path, format!("“{word}” sounds like accepting; closing is a refusal"));
        }
        let known = !words(REFUSING, &language).is_empty();
        if path.ends_with(".close_label") && (known && !refuses || blank(&text)) {
            findings.error(path, "does not say that nothing optional is switched on");
        }
    }
    // WCAG 2.5.3: who speaks the visible label to the browser must find the button by it.
    for language in &draft.languages {
        let texts = draft.texts_in(language);
        if let (Some(visible), Some(name)) = (texts.close, texts.close_label)
            && !name.to_lowercase().contains(&visible.to_lowercase())
        {
            findings.error(format!("texts.{language}.close_label"), "does not contain the visible label of Close");
        }
    }
}

fn essential(draft: &Draft, findings: &mut Findings) {
    for category in &draft.categories {
        let path = format!("category.{}", category.id);
        let names = category.text.values().map(|text| text.name.as_str());
        let mut names: Vec<_> = names.chain([category.id.as_str()]).collect();
        if !category.necessary {
            if let Some(word) = names.iter().find_map(|name| phrase(name, ESSENTIAL)) {
                findings.error(path, format!("is called “{word}” but can be refused; name it for what it does"));
            }
            continue;
        }
        names.extend(category.services.iter().map(|service| service.id.as_str()));
        names.extend(category.services.iter().flat_map(|service| service.name.iter()).map(|(_, name)| name));
        if let Some(word) = names.iter().find_map(|name| phrase(name, ADVERTISING)) {
            findings
                .error(path, format!("is necessary but holds “{word}”, which no visitor asked for; make it optional"));
        }
    }
}

fn pictograph(c: char) -> bool {
    matches!(c, '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}')
}

fn stirring(draft: &Draft, findings: &mut Findings) {
    for Shown { path, field, language, text } in shown(draft) {
        if let Some(phrase) = phrase(&text, words(STIRRING, language)) {
            let message = format!("“{phrase}” steers by feeling; say only what happens");
            findings.add(by_words(&path), path.clone(), message);
        }
        if text.chars().any(pictograph) {
            findings.error(&*path, "has a pictograph; say it in words");
        }
        // The confirmation answers an act of the person; everything else comes before one.
        if text.contains('!') && field != "forgotten" {
            findings.warn(path, "has an exclamation mark; a calm sentence ends with a full stop");
        }
    }
}

fn maze(draft: &Draft, findings: &mut Findings) {
    let switches = draft.categories.iter().filter(|category| !category.necessary).count();
    if switches > 8 {
        findings
            .warn("category", format!("{switches} switches are too many to choose from; join what has one purpose"));
    }
}

fn consistent(draft: &Draft, findings: &mut Findings) {
    if !draft.languages.contains(&draft.default_language) {
        findings.error("default_language", format!("{} is not one of the languages offered", draft.default_language));
    }
    for language in &draft.languages {
        let texts = draft.texts_in(language);
        for (field, text) in texts.iter() {
            if text.is_none_or(blank) {
                findings.error(format!("texts.{language}.{field}"), "is missing");
            }
        }
        if texts.lifetimes.is_none() {
            findings.error(format!("texts.{language}.lifetimes"), "is missing");
        }
    }
    let offered = |language: &Language| draft.languages.contains(language);
    for language in draft.texts.keys().filter(|language| !offered(language)) {
        findings.warn(format!("texts.{language}"), "is in a language that is not offered");
    }
    for category in &draft.categories {
        let path = format!("category.{}.text", category.id);
        for language in draft.languages.iter().filter(|language| !category.text.contains_key(language)) {
            findings.error(format!("{path}.{language}"), "is missing");
        }
        for language in category.text.keys().filter(|language| !offered(language)) {
            findings.warn(format!("{path}.{language}"), "is in a language that is not offered");
        }
        let mut before: Vec<(&Language, &str)> = Vec::new();
        for (language, text) in &category.text {
            let copied = before.iter().find(|(_, other)| !blank(other) && *other == text.purpose);
            if let Some((other, _)) = copied.filter(|(other, _)| primary(other) != primary(language)) {
                findings.warn(
                    format!("{path}.{language}.purpose"),
                    format!("is the text in {other}; it looks untranslated"),
                );
            }
            before.push((language, &text.purpose));
        }
    }
    let mut localized = |path: String, text: &Localized| {
        for language in draft.languages.iter().filter(|language| text.in_language(language).is_none()) {
            findings.error(format!("{path}.{language}"), "is missing");
        }
        for language in text.iter().filter_map(|(language, _)| language).filter(|language| !offered(language)) {
            findings.warn(format!("{path}.{language}"), "is in a language that is not offered");
        }
        // A sentence is in some language, and so it is in the wrong one for everybody else.
        if let Localized::Same(text) = text
            && path.ends_with(".purpose")
            && draft.languages.len() > 1
            && !blank(text)
        {
            findings.error(path, "is one text for several languages; write one for each");
        }
    };
    localized("privacy_policy".into(), &draft.privacy_policy);
    for (_, service, path) in services(draft) {
        localized(format!("{path}.name"), &service.name);
        for (cookie, path) in cookies(service, &path) {
            localized(format!("{path}.purpose"), &cookie.purpose);
        }
    }
}

fn access(draft: &Draft, findings: &mut Findings) {
    for (dark, scheme) in [(false, "light"), (true, "dark")] {
        for (one, other, least, what) in theme::CONTRASTS {
            let [first, second] = [one, other].map(|role| draft.theme.colour(role, dark).unwrap_or_default());
            if let Some(ratio) = theme::contrast(first, second).filter(|ratio| *ratio < least) {
                findings.error(
                    format!("theme.{scheme}.{one}"),
                    format!(
                        "{first} on {other} {second} has a contrast of {ratio:.2} to 1; {what} need {least} to 1 (WCAG 2.2, \
                         {})",
                        if least < 4.0 { "1.4.11" } else { "1.4.3" }
                    ),
                );
            }
        }
    }
    for (_, path, text) in each_label(draft, LABELS) {
        if text.chars().count() > 36 {
            findings.warn(path, "is longer than 36 characters and will not fit a screen of 320 px in one line");
        }
    }
}

fn any_info(draft: &Draft, findings: &mut Findings) {
    if draft.choice_cookie().is_none() {
        let message = "no necessary category lists the cookie that keeps the choice: storage cookie, lifetime renewal";
        findings.error("category", message);
    }
    for category in draft.categories.iter().filter(|category| !category.necessary && category.services.is_empty()) {
        findings.warn(format!("category.{}", category.id), "lists no service; say what the switch turns on");
    }
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    for (category, service, path) in services(draft) {
        for (cookie, path) in cookies(service, &path) {
            if blank(&cookie.name) {
                findings.error(&*path, "has no name");
            } else if cookie.storage == Storage::Cookie && !cookie.name.bytes().all(token) {
                findings.error(&*path, "is not the name of a cookie (RFC 6265, section 4.1.1)");
            }
            if cookie.storage == Storage::Session && cookie.lifetime != Lifetime::Session {
                findings.error(&*path, "session storage ends with the session, and its lifetime must say so");
            }
            if cookie.storage == Storage::Cookie && cookie.lifetime == Lifetime::Kept {
                findings.error(&*path, "a cookie ends with the session or after so many days; say after how many");
            }
            if cookie.lifetime == Lifetime::Renewal && (!category.necessary || cookie.storage != Storage::Cookie) {
                findings.error(path, "only the cookie that keeps the choice lives for renew_after_days");
            }
        }
    }
}

fn exempt(draft: &Draft, findings: &mut Findings) {
    for category in &draft.categories {
        let path = format!("category.{}.exemption", category.id);
        match (category.necessary, category.exemption) {
            (true, None) => findings.error(path, "is missing: say why this needs no consent, or make it optional"),
            (false, Some(_)) => findings.error(path, "excuses from asking, but this category asks; drop one of them"),
            _ => {}
        }
    }
    for (category, service, path) in services(draft) {
        let exemption = service.exemption.or(category.exemption);
        if !category.necessary {
            if service.exemption.is_some() {
                findings.error(format!("{path}.exemption"), "excuses from asking, but its category asks");
            }
            continue;
        }
        if exemption == Some(Exemption::OwnMeasurement) && !draft.is_controller(&service.provider) {
            findings.error(format!("{path}.provider"), "measures for someone else too, so it has to ask");
        }
        if exemption == Some(Exemption::OwnMeasurement) && service.transfer.is_some() {
            findings.error(format!("{path}.transfer"), "measures without asking only if nothing is passed on");
        }
        for (cookie, path) in cookies(service, &path) {
            let too_long = match (exemption, cookie.lifetime) {
                (Some(Exemption::OwnMeasurement), Lifetime::Days(days)) => days.get() > 395,
                (Some(Exemption::OwnMeasurement), Lifetime::Kept) => true,
                _ => false,
            };
            if too_long {
                findings.error(format!("{path}.lifetime"), "measures without asking for 13 months (395 days) at most");
            }
            if exemption == Some(Exemption::LoadBalancing) && cookie.lifetime != Lifetime::Session {
                findings.warn(format!("{path}.lifetime"), "spreading requests needs it for the session only");
            }
        }
    }
}

fn signals(draft: &Draft, findings: &mut Findings) {
    for category in &draft.categories {
        let path = format!("category.{}.signals", category.id);
        let mut names = category.text.values().map(|text| text.name.as_str()).chain([category.id.as_str()]);
        let advertising = names.find_map(|name| phrase(name, ADVERTISING));
        if category.necessary && category.signals {
            findings.error(path, "a necessary category stays on, so a signal cannot keep it off");
        } else if let Some(word) = advertising.filter(|_| !category.necessary && !category.signals) {
            findings.warn(path, format!("GPC objects to what “{word}” stands for, but does not keep it off here"));
        }
    }
}

fn information(draft: &Draft, findings: &mut Findings) {
    let controller = &draft.controller;
    if blank(&controller.address) {
        findings.error("controller.address", "say where the controller is");
    }
    let mail = controller.contact.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && host.contains('.')
            && !controller.contact.contains(char::is_whitespace)
            && !host.contains('@')
    });
    if !mail {
        findings.error("controller.contact", "give an e-mail address that people can write to");
    }
    for (_, address) in draft.privacy_policy.iter() {
        // What stands here becomes a link: no other scheme, and no path that is another host.
        let path = address.starts_with('/') && !address.starts_with("//") && !address.contains('\\');
        let host = address.strip_prefix("https://").is_some_and(|rest| rest.starts_with(|c: char| c.is_alphanumeric()));
        if !(path || host) || address.contains(|c: char| c.is_whitespace() || c.is_control()) {
            findings.error("privacy_policy", "give an https address, or a path on the site that starts with /");
        }
    }
    for category in &draft.categories {
        for (language, _) in category.text.iter().filter(|(_, text)| blank(&text.retention)) {
            findings
                .error(format!("category.{}.text.{language}.retention", category.id), "say how long the data is kept");
        }
    }
}

fn third_parties(draft: &Draft, findings: &mut Findings) {
    for (category, service, path) in services(draft) {
        if blank(&service.provider) || draft.is_controller(&service.provider) {
            continue;
        }
        let named = |text: &str| text.to_lowercase().contains(&service.provider.to_lowercase());
        for (language, _) in category.text.iter().filter(|(_, text)| !named(&text.recipients)) {
            findings.warn(
                format!("{path}.provider"),
                format!("{} is not among the recipients ({language})", service.provider),
            );
        }
    }
}

fn transfers(draft: &Draft, findings: &mut Findings) {
    for (category, service, path) in services(draft) {
        match service.transfer {
            // Who gives data to the controller directly does not transfer it (EDPB 05/2021).
            None if service.country.in_eea() || draft.is_controller(&service.provider) => {}
            None => {
                let message = format!("{} is outside the European Economic Area; name the ground", service.country);
                findings.error(format!("{path}.transfer"), message);
            }
            Some(ground) => {
                if ground == Transfer::Adequacy && !service.country.has_adequacy_decision() {
                    let message =
                        format!("no adequacy decision for {} is known to this version; check", service.country);
                    findings.warn(format!("{path}.transfer"), message);
                }
                let silent = |text: &Option<String>| text.as_deref().is_none_or(blank);
                for (language, _) in category.text.iter().filter(|(_, text)| silent(&text.transfers)) {
                    let path = format!("category.{}.text.{language}.transfers", category.id);
                    findings.error(path, format!("say where {} takes the data, and on what ground", service.id));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Severity::{Error, Warning};
    use super::*;
    use crate::notice::tests::demo;
    use crate::notice::{Country, TextOverrides};

    fn language(text: &str) -> Language {
        Language::parse(text).unwrap()
    }

    fn paint(d: &mut Draft, role: &str, colour: &str) {
        d.theme.light.insert(role.into(), colour.into());
    }

    fn texts(draft: &mut Draft, tag: &str, edit: impl FnOnce(&mut TextOverrides)) {
        edit(draft.texts.entry(language(tag)).or_default());
    }

    fn many(draft: &mut Draft, count: usize, width: usize) {
        let category = draft.categories[1].clone();
        draft.categories.truncate(1);
        for i in 0..count {
            let mut category = category.clone();
            category.id = Name::parse(&format!("{:a<width$}", format!("c{i}-"))).unwrap();
            category.text.values_mut().for_each(|text| {
                text.name = format!("{} {i}", text.name);
                text.purpose = format!("{} {i}.", text.purpose);
            });
            category.services.truncate(1);
            category.services[0].cookies.clear();
            draft.categories.push(category);
        }
    }

    fn told(d: &mut Draft, id: &str, map: &str, options: &str) {
        let adapter = format!(r#"{{"id": "{id}", "map": {{{map}}}, "options": {{{options}}}}}"#);
        d.adapters.push(serde_json::from_str(&adapter).unwrap());
    }

    fn google(d: &mut Draft, options: &str) {
        told(d, "google-consent-mode", r#""ad_storage": "marketing", "security_storage": "functional""#, options);
    }

    fn vendor(draft: &mut Draft, country: &str, transfer: Option<Transfer>) {
        let category = &mut draft.categories[1];
        category.services[0].provider = "Vendor Inc".into();
        category.services[0].country = Country::parse(country).unwrap();
        category.services[0].transfer = transfer;
        category.text.values_mut().for_each(|text| text.recipients.push_str(" Vendor Inc."));
        if transfer.is_some() {
            category.text.values_mut().for_each(|text| text.transfers = Some("Vendor Inc, at its place.".into()));
        }
    }

    /// A rule, what it finds and where, and an edit of the demo's preset `choice` that breaks it.
    type Broken = (&'static str, Severity, &'static str, fn(&mut Draft));

    const BROKEN: &[Broken] = &[
        ("S-todo", Error, "controller.address", |d| d.controller.address = "TODO".into()),
        ("S-todo", Error, "category.marketing.text.en.retention", |d| {
            d.categories[2].text.get_mut(&language("en")).unwrap().retention = "TODO: how long".into();
        }),
        ("S-todo", Error, "category.functional.service.text-size.cookies.demo_text_size.purpose.en", |d| {
            d.categories[0].services[1].cookies[0].purpose = Localized::Each([(language("en"), "TODO".into())].into());
        }),
        ("S-unique", Error, "category", |d| {
            let mut again = d.categories[2].clone();
            again.services.clear();
            d.categories.push(again);
        }),
        ("S-unique", Error, "languages", |d| d.languages.push(d.languages[0].clone())),
        ("S-unique", Error, "category.statistics", |d| {
            d.categories[1].services[1].id = d.categories[1].services[0].id.clone();
        }),
        ("S-unique", Error, "category.marketing.service.newsletter-panel", |d| {
            let cookies = &mut d.categories[2].services[0].cookies;
            cookies.push(cookies[0].clone());
        }),
        ("S-unique", Error, "category.marketing.service.newsletter-panel.cookies.demo_visits", |d| {
            d.categories[2].services[0].cookies[0].name = "demo_visits".into();
        }),
        ("S-limits", Error, "category", |d| d.categories.clear()),
        ("S-limits", Error, "category", |d| many(d, 32, 4)),
        ("S-limits", Error, "category.statistics", |d| {
            let service = d.categories[1].services[1].clone();
            d.categories[1]
                .services
                .extend((0..63).map(|i| Service { id: Name::parse(&format!("s{i}")).unwrap(), ..service.clone() }));
        }),
        ("S-cookie-size", Error, "category", |d| many(d, 31, 32)),
        ("S-placeholders", Error, "texts.en.intro", |d| {
            texts(d, "en", |t| t.intro = Some("{controller} asks for {option}.".into()));
        }),
        ("S-placeholders", Error, "texts.en.intro", |d| d.categories.truncate(1)),
        ("S-placeholders", Error, "texts.de.lifetimes.days", |d| {
            let mut lifetimes = d.texts_in(&language("de")).lifetimes.unwrap();
            lifetimes.days = "Tage".into();
            texts(d, "de", |t| t.lifetimes = Some(lifetimes));
        }),
        ("R-4.11-active", Error, "texts.en.intro", |d| {
            texts(d, "en", |t| t.intro = Some("{controller}: by continuing you agree to {optional}.".into()));
        }),
        ("R-4.11-active", Warning, "category.statistics.text.de.purpose", |d| {
            d.categories[1].text.get_mut(&language("de")).unwrap().purpose = "Zählen, wenn Sie weiter lesen.".into();
        }),
        ("R-4.11-specific", Error, "category.marketing.text.en.name", |d| {
            d.categories[2].text.get_mut(&language("en")).unwrap().name = "Website statistics".into();
        }),
        ("R-4.11-specific", Warning, "category.marketing.text.en.purpose", |d| {
            let purpose = d.categories[1].text[&language("en")].purpose.clone();
            d.categories[2].text.get_mut(&language("en")).unwrap().purpose = purpose;
        }),
        ("R-4.11-informed", Error, "controller.name", |d| d.controller.name = " ".into()),
        ("R-4.11-informed", Error, "texts.de.intro", |d| {
            texts(d, "de", |t| t.intro = Some("Wir bitten um Einwilligung für {optional}.".into()));
        }),
        ("R-4.11-informed", Warning, "texts.en.intro", |d| {
            texts(d, "en", |t| t.intro = Some("{controller} asks for your permission.".into()));
        }),
        ("R-4.11-informed", Error, "texts.en.settings_intro", |d| {
            texts(d, "en", |t| {
                t.intro = Some("{controller} asks for {optional}.".into());
                t.settings_intro = Some("The cookie {cookie} keeps it.".into());
            });
        }),
        ("R-4.11-informed", Error, "category.statistics.text.en.data", |d| {
            d.categories[1].text.get_mut(&language("en")).unwrap().data = String::new();
        }),
        ("R-4.11-informed", Error, "category.statistics.service.page-counter.provider", |d| {
            d.categories[1].services[0].provider = String::new();
        }),
        ("R-4.11-informed", Error, "category.marketing.service.newsletter-panel.cookies.demo_offer.purpose", |d| {
            d.categories[2].services[0].cookies[0].purpose = Localized::Same(String::new());
        }),
        ("R-9-explicit", Error, "category.statistics.service.page-counter.transfer", |d| {
            vendor(d, "US", Some(Transfer::ExplicitConsent));
        }),
        ("R-7.1-minimal", Warning, "id_for_refusals", |d| d.id_for_refusals = true),
        ("R-7.2-distinct", Error, "texts.en.save", |d| texts(d, "en", |t| t.save = Some("Do not reject".into()))),
        ("R-7.2-distinct", Warning, "category.statistics.text.en.data", |d| {
            d.categories[1].text.get_mut(&language("en")).unwrap().data = "pages and ".repeat(20);
        }),
        ("R-7.3-withdraw", Error, "texts.en.withdraw_hint", |d| {
            texts(d, "en", |t| t.withdraw_hint = Some("You can choose.".into()));
        }),
        ("R-7-renew", Error, "renew_after_days", |d| d.renew_after_days = 396),
        ("R-7-renew", Error, "renew_after_days", |d| d.renew_after_days = 0),
        ("R-7-renew", Warning, "renew_after_days", |d| d.renew_after_days = 395),
        ("R-7-renew", Warning, "renew_after_days", |d| d.renew_after_days = 179),
        ("R-UI-refuse-first-layer", Error, "texts.en.reject", |d| {
            texts(d, "en", |t| t.reject = Some("More options".into()));
        }),
        ("R-UI-refuse-first-layer", Error, "preset", |d| d.categories.truncate(1)),
        ("R-UI-equal", Error, "texts.en.reject", |d| {
            texts(d, "en", |t| t.accept = Some("Accept all and read on at once".into()));
        }),
        ("R-UI-equal", Error, "texts.en.reject", |d| texts(d, "en", |t| t.accept = Some("ACCEPT ALL".into()))),
        ("R-UI-equal", Error, "texts.de.reject", |d| texts(d, "de", |t| t.accept = Some("Alle ablehnen".into()))),
        ("R-UI-close", Error, "texts.en.close", |d| texts(d, "en", |t| t.close = Some("OK".into()))),
        ("R-UI-close", Error, "texts.en.close_label", |d| texts(d, "en", |t| t.close_label = Some("Close".into()))),
        ("R-UI-close", Error, "texts.de.close_label", |d| {
            texts(d, "de", |t| t.close_label = Some("Nichts einschalten".into()));
        }),
        ("R-UI-essential", Error, "category.necessary", |d| d.categories[1].id = Name::parse("necessary").unwrap()),
        ("R-UI-essential", Error, "category.statistics", |d| {
            d.categories[1].text.get_mut(&language("de")).unwrap().name = "Notwendige Zählung".into();
        }),
        ("R-UI-essential", Error, "category.functional", |d| {
            d.categories[0].services[1].name = Localized::Same("Ads".into());
        }),
        ("R-UI-no-stirring", Error, "texts.en.intro", |d| {
            texts(d, "en", |t| t.intro = Some("{controller} wants the best experience: {optional}.".into()));
        }),
        ("R-UI-no-stirring", Error, "texts.en.save", |d| texts(d, "en", |t| t.save = Some("Save 🍪".into()))),
        ("R-UI-no-stirring", Warning, "texts.de.saved", |d| texts(d, "de", |t| t.saved = Some("Gespeichert!".into()))),
        ("S-theme", Error, "theme.light.brand", |d| paint(d, "brand", "#036")),
        ("S-theme", Error, "theme.light.text", |d| paint(d, "text", "black")),
        ("S-theme", Error, "theme.font", |d| d.theme.font = Some("a; color: red".into())),
        ("S-theme", Error, "theme.radius", |d| d.theme.radius = Some(33)),
        ("R-UI-equal", Error, "theme.light.accept-accent", |d| paint(d, "accept-accent", "#0a0")),
        ("R-UI-equal", Error, "theme.light.primary", |d| paint(d, "primary", "#0a0")),
        ("R-UI-access", Error, "theme.light.muted", |d| paint(d, "muted", "#999")),
        ("R-UI-access", Error, "theme.light.edge", |d| paint(d, "edge", "#ccc")),
        ("S-placeholders", Error, "texts.en.title", |d| {
            texts(d, "en", |t| t.title = Some("Privacy of {category}".into()));
        }),
        ("R-UI-no-maze", Warning, "category", |d| many(d, 9, 4)),
        ("R-UI-consistent", Error, "default_language", |d| d.default_language = language("fr")),
        ("R-UI-consistent", Error, "texts.eo.title", |d| d.languages.push(language("eo"))),
        ("S-adapter", Error, "adapter", |d| {
            told(d, "shopify", r#""marketing": "marketing""#, "");
            told(d, "shopify", r#""analytics": "statistics""#, "");
        }),
        ("S-adapter", Warning, "adapter.shopify.map", |d| told(d, "shopify", "", "")),
        ("S-adapter", Error, "adapter.microsoft-clarity.map.ad_storage", |d| {
            told(d, "microsoft-clarity", r#""ad_storage": "marketing""#, "");
        }),
        ("S-adapter", Error, "adapter.meta-pixel.map.pixel", |d| told(d, "meta-pixel", r#""pixel": "ads""#, "")),
        ("S-adapter", Error, "adapter.meta-pixel.map.pixel", |d| {
            told(d, "meta-pixel", r#""pixel": "marketing:page-counter""#, "");
        }),
        ("S-adapter", Error, "adapter.microsoft-uet.map.ad_storage", |d| {
            told(d, "microsoft-uet", r#""ad_storage": "functional""#, "");
        }),
        ("S-adapter", Warning, "adapter.tiktok-pixel.map.pixel", |d| {
            told(d, "tiktok-pixel", r#""pixel": "statistics:page-counter""#, "");
        }),
        ("S-adapter", Error, "adapter.wordpress.options.advanced", |d| {
            told(d, "wordpress", r#""marketing": "marketing""#, r#""advanced": true"#);
        }),
        ("S-adapter", Error, "adapter.google-consent-mode.options.regions", |d| {
            google(d, r#""regions": ["IE", "EU"]"#);
        }),
        ("S-adapter", Error, "adapter.google-consent-mode.options.elsewhere", |d| google(d, r#""elsewhere": "unset""#)),
        ("S-adapter", Warning, "adapter.google-consent-mode.options.elsewhere", |d| {
            google(d, r#""regions": ["IE"], "elsewhere": "unset""#);
        }),
        ("S-adapter", Warning, "adapter.google-consent-mode.options.url_passthrough", |d| {
            google(d, r#""url_passthrough": true"#);
        }),
        ("S-adapter", Warning, "adapter.google-consent-mode.options.advanced", |d| google(d, r#""advanced": true"#)),
        ("S-reviewed", Error, "texts.fr", |d| d.languages.push(language("fr"))),
        ("S-reviewed", Warning, "texts.fr", |d| {
            d.languages.push(language("fr"));
            d.unreviewed_languages.push(language("fr"));
        }),
        ("S-reviewed", Warning, "unreviewed_languages", |d| d.unreviewed_languages.push(language("fr"))),
        ("R-UI-consistent", Error, "category.statistics.text.de", |d| {
            drop(d.categories[1].text.remove(&language("de")));
        }),
        ("R-UI-consistent", Warning, "texts.fr", |d| texts(d, "fr", |_| ())),
        ("R-UI-consistent", Error, "privacy_policy.de", |d| {
            d.privacy_policy = Localized::Each([(language("en"), "/privacy".to_owned())].into());
        }),
        ("R-UI-consistent", Error, "category.marketing.service.newsletter-panel.cookies.demo_offer.purpose", |d| {
            d.categories[2].services[0].cookies[0].purpose = Localized::Same("Keeps the offer.".into());
        }),
        ("R-UI-consistent", Warning, "category.marketing.text.en.purpose", |d| {
            let purpose = d.categories[2].text[&language("de")].purpose.clone();
            d.categories[2].text.get_mut(&language("en")).unwrap().purpose = purpose;
        }),
        ("R-UI-access", Warning, "texts.de.save", |d| {
            texts(d, "de", |t| t.save = Some("Meine Datenschutz-Einstellungen speichern".into()));
        }),
        ("R-5.3-any-info", Error, "category", |d| d.categories[0].services[0].cookies.clear()),
        ("R-5.3-any-info", Warning, "category.marketing", |d| d.categories[2].services.clear()),
        ("R-5.3-any-info", Error, "category.marketing.service.newsletter-panel.cookies.a b", |d| {
            d.categories[2].services[0].cookies[0].name = "a b".into();
        }),
        ("R-5.3-any-info", Error, "category.marketing.service.newsletter-panel.cookies.demo_offer", |d| {
            d.categories[2].services[0].cookies[0].storage = Storage::Session;
        }),
        ("R-5.3-any-info", Error, "category.marketing.service.newsletter-panel.cookies.demo_offer", |d| {
            d.categories[2].services[0].cookies[0].lifetime = Lifetime::Renewal;
        }),
        ("R-5.3-exempt", Error, "category.functional.exemption", |d| d.categories[0].exemption = None),
        ("R-5.3-exempt", Error, "category.statistics.exemption", |d| {
            d.categories[1].exemption = Some(Exemption::OwnMeasurement);
        }),
        ("R-5.3-exempt", Error, "category.functional.service.text-size.cookies.demo_text_size.lifetime", |d| {
            d.categories[0].services[1].exemption = Some(Exemption::OwnMeasurement);
            d.categories[0].services[1].cookies[0].lifetime = Lifetime::parse("396 days").unwrap();
        }),
        ("R-5.3-exempt", Error, "category.functional.service.text-size.provider", |d| {
            d.categories[0].services[1].exemption = Some(Exemption::OwnMeasurement);
            d.categories[0].services[1].provider = "Vendor Inc".into();
        }),
        ("R-5.3-signals", Error, "category.functional.signals", |d| d.categories[0].signals = true),
        ("R-5.3-signals", Warning, "category.marketing.signals", |d| d.categories[2].signals = false),
        ("R-13-notice", Error, "controller.address", |d| d.controller.address = String::new()),
        ("R-13-notice", Error, "controller.contact", |d| d.controller.contact = "privacy".into()),
        ("R-13-notice", Error, "privacy_policy", |d| d.privacy_policy = Localized::Same("javascript:alert(1)".into())),
        ("R-13-notice", Error, "privacy_policy", |d| d.privacy_policy = Localized::Same("//elsewhere.example".into())),
        ("R-13-notice", Error, "category.marketing.text.de.retention", |d| {
            d.categories[2].text.get_mut(&language("de")).unwrap().retention = String::new();
        }),
        ("R-26-joint", Warning, "category.statistics.service.page-counter.provider", |d| {
            d.categories[1].services[0].provider = "Vendor GmbH".into();
        }),
        ("R-44-transfer", Error, "category.statistics.service.page-counter.transfer", |d| vendor(d, "US", None)),
        ("R-44-transfer", Warning, "category.statistics.service.page-counter.transfer", |d| {
            vendor(d, "IN", Some(Transfer::Adequacy));
        }),
        ("R-44-transfer", Error, "category.statistics.text.en.transfers", |d| {
            vendor(d, "US", Some(Transfer::StandardClauses));
            d.categories[1].text.get_mut(&language("en")).unwrap().transfers = None;
        }),
    ];

    #[test]
    fn both_demo_notices_have_no_findings() {
        for name in ["notice", "choice"] {
            assert_eq!(lint(&demo(name)), [], "{name}");
        }
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        for (rule, severity, path, edit) in BROKEN {
            let mut draft = demo("choice");
            edit(&mut draft);
            let findings = lint(&draft);
            let found = findings.iter().any(|f| f.rule == *rule && f.severity == *severity && f.path == *path);
            assert!(found, "{rule} {path}: {findings:#?}");
            let stopped = findings.iter().any(|finding| finding.severity == Error);
            assert_eq!(draft.publish(None, &[], true).is_err(), stopped, "{rule} {path}");
        }
        for rule in RULES {
            assert!(BROKEN.iter().any(|(broken, ..)| *broken == rule.id), "{} is not tested", rule.id);
            assert_eq!(RULES.iter().filter(|other| other.id == rule.id).count(), 1, "{}", rule.id);
        }
    }

    type Kept = (&'static str, fn(&mut Draft));

    #[test]
    fn what_is_near_a_rule_but_keeps_it_passes() {
        let cases: &[Kept] = &[
            ("six months of the longest kind", |d| d.renew_after_days = 184),
            ("a refusal in other words", |d| texts(d, "en", |t| t.reject = Some("Continue without".into()))),
            ("closing in other words", |d| {
                texts(d, "en", |t| {
                    t.close = Some("Continue without accepting".into());
                    t.close_label = Some("Continue without accepting; nothing optional is on".into());
                });
            }),
            ("a vendor in the area", |d| vendor(d, "NO", None)),
            ("a vendor with clauses", |d| vendor(d, "US", Some(Transfer::StandardClauses))),
            ("a vendor with a decision", |d| vendor(d, "JP", Some(Transfer::Adequacy))),
            ("the controller itself abroad", |d| d.categories[1].services[0].country = Country::parse("US").unwrap()),
            ("own measurement for 13 months", |d| {
                d.categories[0].services[1].exemption = Some(Exemption::OwnMeasurement);
                d.categories[0].services[1].cookies[0].lifetime = Lifetime::parse("395 days").unwrap();
            }),
            ("a word of Spanish", |d| texts(d, "de", |t| t.accept = Some("Alle annehmen, TODO".into()))),
            ("words within words", |d| {
                let text = d.categories[1].text.get_mut(&language("en")).unwrap();
                text.purpose = "Count who read about gloves, and whoever tastes lovage.".into();
            }),
            ("only necessary categories", |d| {
                d.preset = Preset::Notice;
                d.categories.truncate(1);
                for tag in ["en", "de"] {
                    texts(d, tag, |t| t.intro = Some("{controller}: {cookie}, {days}.".into()));
                }
            }),
            ("eight switches", |d| many(d, 8, 4)),
            ("platforms that are told in their words", |d| {
                google(d, r#""regions": ["IE", "US-CA"], "wait_for_update": 500, "ads_data_redaction": true"#);
                told(d, "meta-pixel", r#""pixel": "marketing:newsletter-panel""#, "");
                told(d, "wordpress", r#""functional": "functional", "statistics": "statistics""#, "");
            }),
        ];
        for (what, edit) in cases {
            let mut draft = demo("choice");
            edit(&mut draft);
            assert_eq!(lint(&draft), [], "{what}");
        }
    }

    #[test]
    fn the_widest_cookie_is_counted_to_the_byte() {
        let mut draft = demo("choice");
        // "statistics:page-counter~statistics:visitor-numbers" and "marketing:newsletter-panel", with a `~` after each.
        assert_eq!(worst_cookie(&draft), COOKIE_FRAME + 24 + 27 + 27);
        draft.categories[2].services.clear();
        assert_eq!(worst_cookie(&draft), COOKIE_FRAME + 24 + 27 + 10);
    }

    proptest::proptest! {
        /// Whatever a person types, the lint answers; and what it lets pass is published and reads back.
        #[test]
        fn any_text_is_judged_without_a_panic(text: String, days: u16, which in 0_usize..6) {
            let mut draft = demo("choice");
            draft.renew_after_days = days;
            match which {
                0 => texts(&mut draft, "en", |t| t.intro = Some(text)),
                1 => texts(&mut draft, "de", |t| t.reject = Some(text)),
                2 => draft.controller.name = text,
                3 => draft.privacy_policy = Localized::Same(text),
                4 => draft.categories[1].services[0].cookies[0].name = text,
                _ => draft.categories[1].text.get_mut(&language("en")).unwrap().name = text,
            }
            let errors = lint(&draft).iter().filter(|finding| finding.severity == Error).count();
            match draft.publish(None, &[], false) {
                Ok(notice) => {
                    proptest::prop_assert_eq!(errors, 0);
                    proptest::prop_assert_eq!(crate::notice::Notice::parse(notice.canonical().as_bytes()).unwrap(), notice);
                }
                Err(_) => proptest::prop_assert!(errors > 0),
            }
        }
    }
}
