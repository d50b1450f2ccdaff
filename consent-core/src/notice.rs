//! Notices: what people are shown before they choose.
//!
//! A [`Draft`] is what a person edits. [`Draft::publish`] lints it, fills in the texts and makes it a [`Notice`]: immutable,
//! numbered, and complete, so that what was shown renders again years later. [`diff`] says what a draft would change, and which of
//! it calls for asking people again.
//!
//! # Standards
//! GDPR Art. 4(11), 7, 13; ePrivacy Directive Art. 5(3). Canonical form: RFC 8785. Choice of a language: RFC 4647 section 3.4.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU16;

use data_encoding::HEXLOWER;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::adapter::Adapter;
use crate::id::{CategoryId, Language, Name};
use crate::lint::{self, Finding, Severity};
use crate::outline::{CategoryOutline, DEFAULT_RENEW_AFTER_DAYS, MAX_RENEW_AFTER_DAYS, Outline, ServiceOutline};
use crate::texts::BuiltIn;
pub use crate::texts::{BUILT_IN_LANGUAGES, LifetimeTexts, TextOverrides, Texts};
use crate::theme::Theme;

/// The `format` of the canonical form that [`Notice`] writes. Another one is refused, never guessed at.
pub const FORMAT: u32 = 1;
/// What may stand in braces in a text of a draft; publishing fills it in.
///
/// `controller`: its name. `days`: `renew_after_days`. `cookie`: the name of the cookie that keeps the choice. `optional`: the names
/// of the optional categories, in the text's language, joined by commas.
///
/// `category`, in what stands in the place of refused content, is filled in by the page: the name of the category it belongs to.
pub const PLACEHOLDERS: [&str; 5] = ["controller", "days", "cookie", "optional", "category"];

/// What the first layer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Preset {
    /// Privacy policy, Close, Settings. Close refuses everything optional.
    Notice,
    /// Accept all, Reject all, Settings, equally prominent.
    Choice,
}

/// Who decides why and how data is used (GDPR Art. 4(7)), and how to reach them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controller {
    /// The legal name.
    pub name: String,
    /// The postal address, in one line.
    #[serde(default)]
    pub address: String,
    /// An e-mail address for questions and requests.
    #[serde(default)]
    pub contact: String,
    /// How to reach the data protection officer, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpo: Option<String>,
}

/// Why something may be stored without asking: the list is closed, so what fits nowhere has to ask.
///
/// # Standards
/// ePrivacy Directive Art. 5(3); the kinds follow CNIL 2020-091.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Exemption {
    /// Keeps the choice itself.
    ConsentStorage,
    /// Keeps a person signed in.
    Login,
    /// Protects a service that the person asked for against misuse.
    Security,
    /// Keeps a basket, and what paying needs.
    Basket,
    /// Keeps a setting of the page that the person asked for: language, text size.
    UiPreference,
    /// Spreads requests over servers.
    LoadBalancing,
    /// Counts free articles before a paywall.
    PaywallMeter,
    /// Measures the own audience only, under strict limits that the lint checks.
    OwnMeasurement,
}

/// The ground on which data may go to a country outside the European Economic Area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Transfer {
    /// The Commission found protection adequate (GDPR Art. 45).
    Adequacy,
    /// Standard contractual clauses (Art. 46(2)(c)).
    StandardClauses,
    /// Binding corporate rules (Art. 47).
    BindingRules,
    /// Explicit consent (Art. 49(1)(a)). A switch cannot give it, so the lint refuses it; listed to be able to say so.
    ExplicitConsent,
}

/// Where something is stored on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Storage {
    /// A cookie.
    Cookie,
    /// Local storage.
    Local,
    /// Session storage.
    Session,
    /// A database of the page.
    #[serde(rename = "indexeddb")]
    IndexedDb,
}

/// How long something stays on the device. As text: `renewal`, `session`, `1 day`, `30 days`, `kept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lifetime {
    /// For `renew_after_days`: the cookie that keeps the choice.
    Renewal,
    /// Until the browser is closed.
    Session,
    /// So many days.
    Days(NonZeroU16),
    /// Until the person deletes it.
    Kept,
}

/// Why a text of a draft is not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Not a [`Lifetime`].
    #[error("must be renewal, session, kept, 1 day or so many days, such as 30 days")]
    Lifetime,
    /// Not a [`Country`].
    #[error("must be two capital letters of ISO 3166-1, such as IE")]
    Country,
}

impl Lifetime {
    /// Parses the text form.
    ///
    /// # Errors
    /// [`ValueError::Lifetime`].
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        match text {
            "renewal" => Ok(Self::Renewal),
            "session" => Ok(Self::Session),
            "kept" => Ok(Self::Kept),
            _ => {
                let days = text.strip_suffix(" days").or(text.strip_suffix(" day")).ok_or(ValueError::Lifetime)?;
                let days = Self::Days(days.parse().map_err(|_| ValueError::Lifetime)?);
                // One value, one spelling: the canonical form depends on it.
                if days.to_string() == text { Ok(days) } else { Err(ValueError::Lifetime) }
            }
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renewal => f.write_str("renewal"),
            Self::Session => f.write_str("session"),
            Self::Days(NonZeroU16::MIN) => f.write_str("1 day"),
            Self::Days(days) => write!(f, "{days} days"),
            Self::Kept => f.write_str("kept"),
        }
    }
}

/// A country by its two letters.
///
/// # Standards
/// ISO 3166-1 alpha-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country([u8; 2]);

// Rule sets are dated data: read on 2026-11-24.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV \
    BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB \
    GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN \
    KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF \
    NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO \
    SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";
// The European Union, with its territories where its law applies, and Iceland, Liechtenstein, Norway.
const EEA: &str =
    "AT AX BE BG CY CZ DE DK EE ES FI FR GF GP GR HR HU IE IS IT LI LT LU LV MF MQ MT NL NO PL PT RE RO SE SI SK YT";
// Decisions under Art. 45. CA: commercial organisations. US: participants of the Data Privacy Framework. BR: (EU) 2026/179.
const ADEQUATE: &str = "AD AR BR CA CH FO GB GG IL IM JE JP KR NZ US UY";

impl Country {
    /// Parses two capital letters.
    ///
    /// # Errors
    /// [`ValueError::Country`] if no country has them.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let letters = <[u8; 2]>::try_from(text.as_bytes()).map_err(|_| ValueError::Country)?;
        if Self(letters).among(COUNTRIES) { Ok(Self(letters)) } else { Err(ValueError::Country) }
    }

    fn among(self, list: &str) -> bool {
        list.split(' ').any(|country| country.as_bytes() == self.0)
    }

    /// Whether the country is in the European Economic Area, where no ground for a transfer is needed.
    pub fn in_eea(self) -> bool {
        self.among(EEA)
    }

    /// Whether the Commission has found its protection adequate, at least for some recipients (list of 2026-11-24).
    pub fn has_adequacy_decision(self) -> bool {
        self.among(ADEQUATE)
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&letter| fmt::Write::write_char(f, char::from(letter)))
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    )*};
}
as_text!(Lifetime, Country);

/// A text that is the same in every language, or one for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Localized {
    /// A proper name, an address on the web.
    Same(String),
    /// By language.
    Each(BTreeMap<Language, String>),
}

impl Localized {
    /// The text in a language, if there is one.
    pub fn in_language(&self, language: &Language) -> Option<&str> {
        match self {
            Self::Same(text) => Some(text),
            Self::Each(texts) => texts.get(language).map(String::as_str),
        }
    }

    /// All texts, with the language of each where it has one.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&Language>, &str)> {
        let (same, each) = match self {
            Self::Same(text) => (Some((None, text.as_str())), None),
            Self::Each(texts) => (None, Some(texts)),
        };
        same.into_iter().chain(each.into_iter().flatten().map(|(language, text)| (Some(language), text.as_str())))
    }
}

// By hand: serde's untagged enums answer a misspelt language with "did not match any variant".
impl<'de> Deserialize<'de> for Localized {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Localized;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a table with one text for each language")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Localized, E> {
                Ok(Localized::Same(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Localized, A::Error> {
                BTreeMap::deserialize(de::value::MapAccessDeserializer::new(map)).map(Localized::Each)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What a category is for, in one language.
///
/// Missing texts read as empty, so that the lint lists all of them at once and not only the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CategoryText {
    /// The name beside the switch.
    pub name: String,
    /// Why the data is used.
    pub purpose: String,
    /// Which kinds of data.
    pub data: String,
    /// Who receives them.
    pub recipients: String,
    /// How long they are kept.
    pub retention: String,
    /// Where they go outside the European Economic Area, on what ground and at what risk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfers: Option<String>,
}

/// The form of a notice that a person edits, in TOML or JSON.
///
/// ```
/// # use consent_core::notice::Draft;
/// let draft: Draft = serde_json::from_str(r#"{
///     "preset": "notice", "default_language": "en", "languages": ["en"], "privacy_policy": "/privacy",
///     "controller": {"name": "Example Gardens Ltd", "address": "1 Example Lane", "contact": "privacy@gardens.example"},
///     "category": [{"id": "statistics", "necessary": false, "text": {"en": {"name": "Website statistics"}}}]
/// }"#)?;
/// assert!(draft.publish(None, &[], false).is_err(), "purpose, data and more are missing");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What the first layer looks like.
    pub preset: Preset,
    /// The language for people who want none of the others.
    pub default_language: Language,
    /// Every language offered.
    pub languages: Vec<Language>,
    /// How long a choice holds, in days: 1 to 395, 180 if not given.
    #[serde(default = "renew_after_days")]
    pub renew_after_days: u16,
    /// Whether people who only refused carry a random ID too. Not unless there is a reason.
    #[serde(default)]
    pub id_for_refusals: bool,
    /// Where the privacy policy is: an `https` address or a path on the site.
    pub privacy_policy: Localized,
    /// Who is responsible.
    pub controller: Controller,
    /// Texts that replace the built-in ones.
    #[serde(default)]
    pub texts: BTreeMap<Language, TextOverrides>,
    /// Languages whose built-in texts nobody has reviewed, which the site offers all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreviewed_languages: Vec<Language>,
    /// Colours, place and shape of the banner.
    #[serde(default, skip_serializing_if = "Theme::is_default")]
    pub theme: Theme,
    /// Platforms of others that are told what holds.
    #[serde(default, rename = "adapter", skip_serializing_if = "Vec::is_empty")]
    pub adapters: Vec<Adapter>,
    /// The switches, in the order shown.
    #[serde(default, rename = "category")]
    pub categories: Vec<Category>,
}

fn renew_after_days() -> u16 {
    DEFAULT_RENEW_AFTER_DAYS
}

/// A category as it is edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// The name in code.
    pub id: CategoryId,
    /// Whether it cannot be refused.
    pub necessary: bool,
    /// Whether the browser's signals (GPC, DNT) keep it off.
    #[serde(default)]
    pub signals: bool,
    /// Why it need not ask; a necessary category must have one, and an optional one must not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemption: Option<Exemption>,
    /// What it is for, by language.
    #[serde(default)]
    pub text: BTreeMap<Language, CategoryText>,
    /// The tools in it.
    #[serde(default, rename = "service")]
    pub services: Vec<Service>,
}

/// A service as it is edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The name in code.
    pub id: Name,
    /// The name people know it by.
    pub name: Localized,
    /// Who provides it; `{controller}` for the controller itself.
    pub provider: String,
    /// Where the provider uses the data.
    pub country: Country,
    /// The ground for that, outside the European Economic Area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// Why this service need not ask, if it is not for the reason of its category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemption: Option<Exemption>,
    /// What it stores or reads on the device.
    #[serde(default)]
    pub cookies: Vec<CookieEntry>,
}

/// Something stored on the device, as it is edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CookieEntry {
    /// Its name.
    pub name: String,
    /// Where it is stored.
    pub storage: Storage,
    /// How long it stays.
    pub lifetime: Lifetime,
    /// What it is for.
    pub purpose: Localized,
}

impl Draft {
    /// The texts of the user interface in a language: the draft's own, else the built-in ones. Placeholders are not yet filled.
    pub fn texts_in(&self, language: &Language) -> TextOverrides {
        let own = self.texts.get(language).cloned().unwrap_or_default();
        let Some(built_in) = BuiltIn::find(language) else { return own };
        let (preset, with_id) = match self.preset {
            Preset::Notice => (built_in.notice, built_in.notice_id_for_refusals),
            Preset::Choice => (built_in.choice, built_in.choice_id_for_refusals),
        };
        let special = if self.id_for_refusals { with_id.or(preset) } else { preset };
        own.or(special).or(built_in.common)
    }

    /// The cookie that keeps the choice: the one with the lifetime `renewal` in a necessary category.
    pub fn choice_cookie(&self) -> Option<&CookieEntry> {
        let necessary = self.categories.iter().filter(|category| category.necessary);
        let mut cookies = necessary.flat_map(|category| &category.services).flat_map(|service| &service.cookies);
        cookies.find(|cookie| cookie.lifetime == Lifetime::Renewal)
    }

    /// Whether a provider is the controller itself.
    pub(crate) fn is_controller(&self, provider: &str) -> bool {
        provider == "{controller}" || provider == self.controller.name
    }

    /// Fills the placeholders of a text. What is not a placeholder stays; the lint reports it.
    fn fill(&self, text: &str, language: &Language) -> String {
        fill(text, |name| match name {
            "controller" => Some(self.controller.name.clone()),
            "days" => Some(self.renew_after_days.to_string()),
            "cookie" => self.choice_cookie().map(|cookie| cookie.name.clone()),
            "optional" => {
                let optional = self.categories.iter().filter(|category| !category.necessary);
                let names: Vec<_> = optional.filter_map(|category| Some(&*category.text.get(language)?.name)).collect();
                let comma = if crate::texts::primary(language) == "ar" { "، " } else { ", " };
                (!names.is_empty()).then(|| names.join(comma))
            }
            _ => None,
        })
    }

    fn lifetime(&self, lifetime: Lifetime, texts: Option<&LifetimeTexts>) -> String {
        let days = match lifetime {
            Lifetime::Renewal => self.renew_after_days,
            Lifetime::Days(days) => days.get(),
            Lifetime::Session => return texts.map_or_else(String::new, |texts| texts.session.clone()),
            Lifetime::Kept => return texts.map_or_else(String::new, |texts| texts.kept.clone()),
        };
        let count = |name: &str| (name == "count").then(|| days.to_string());
        texts.map_or_else(String::new, |texts| fill(if days == 1 { &texts.day } else { &texts.days }, count))
    }

    /// The published form without its numbers. A draft that the lint refuses has empty texts here.
    fn body(&self) -> Body {
        let each = |text: &Localized| -> BTreeMap<Language, String> {
            let in_language = |l: &Language| self.fill(text.in_language(l).unwrap_or_default(), l);
            self.languages.iter().map(|language| (language.clone(), in_language(language))).collect()
        };
        let merged: BTreeMap<_, _> = self.languages.iter().map(|l| (l.clone(), self.texts_in(l))).collect();
        let cookie = |cookie: &CookieEntry| {
            let text = each(&cookie.purpose).into_iter().map(|(language, purpose)| {
                let lifetimes = merged.get(&language).and_then(|texts| texts.lifetimes.as_ref());
                let lifetime = self.lifetime(cookie.lifetime, lifetimes);
                (language, CookieText { lifetime, purpose })
            });
            let text = text.collect();
            PublishedCookie { name: cookie.name.clone(), storage: cookie.storage, lifetime: cookie.lifetime, text }
        };
        let service = |service: &Service| PublishedService {
            id: service.id.clone(),
            since: 0,
            name: each(&service.name),
            provider: fill(&service.provider, |name| (name == "controller").then(|| self.controller.name.clone())),
            country: service.country,
            transfer: service.transfer,
            exemption: service.exemption,
            cookies: service.cookies.iter().map(cookie).collect(),
        };
        let category = |category: &Category| {
            let text = self.languages.iter().map(|language| {
                let text = category.text.get(language).cloned().unwrap_or_default();
                let text = CategoryText {
                    name: self.fill(&text.name, language),
                    purpose: self.fill(&text.purpose, language),
                    data: self.fill(&text.data, language),
                    recipients: self.fill(&text.recipients, language),
                    retention: self.fill(&text.retention, language),
                    transfers: text.transfers.filter(|text| !text.is_empty()).map(|text| self.fill(&text, language)),
                };
                (language.clone(), text)
            });
            PublishedCategory {
                id: category.id.clone(),
                necessary: category.necessary,
                signals: category.signals,
                since: 0,
                exemption: category.exemption,
                text: text.collect(),
                services: category.services.iter().map(service).collect(),
            }
        };
        Body {
            format: FORMAT,
            version: 0,
            preset: self.preset,
            default_language: self.default_language.clone(),
            languages: self.languages.clone(),
            renew_after_days: self.renew_after_days,
            id_for_refusals: self.id_for_refusals,
            controller: Controller {
                dpo: self.controller.dpo.clone().filter(|dpo| !dpo.is_empty()),
                ..self.controller.clone()
            },
            privacy_policy: each(&self.privacy_policy),
            texts: merged.iter().map(|(l, texts)| (l.clone(), texts.complete(|text| self.fill(text, l)))).collect(),
            theme: self.theme.clone(),
            adapters: self.adapters.clone(),
            categories: self.categories.iter().map(category).collect(),
        }
    }

    /// Publishes the draft as the version after `previous`, or as version 1.
    ///
    /// `material` names the categories that people are asked about again. `editorial` states that no other change needs that. A new
    /// optional category, one that was necessary before, and a new service are asked about in any case.
    ///
    /// # Errors
    /// [`PublishError`]: the draft breaks a rule, changes nothing, or changes something of the material kind that neither `material`
    /// nor `editorial` speaks for.
    ///
    /// # Standards
    /// GDPR Art. 7; EDPB Guidelines 05/2020 section 5.1: consent holds for what was told.
    pub fn publish(
        self,
        previous: Option<&Notice>,
        material: &[CategoryId],
        editorial: bool,
    ) -> Result<Notice, PublishError> {
        let mut findings = lint::lint(&self);
        findings.retain(|finding| finding.severity == Severity::Error);
        if !findings.is_empty() {
            return Err(PublishError::Lint(findings));
        }
        if let Some(unknown) = material.iter().find(|id| self.categories.iter().all(|category| category.id != **id)) {
            return Err(PublishError::UnknownCategory(unknown.clone()));
        }
        let mut body = self.body();
        let before = previous.map(|previous| &previous.body);
        if let Some(before) = before {
            let changes = compare(before, &body);
            if changes.is_empty() {
                return Err(PublishError::Unchanged);
            }
            // A change of the whole notice touches every category that people have answered before.
            let mut answered = body.categories.iter().filter(|category| !category.necessary);
            let all = answered.all(|new| before.category(&new.id).is_none() || material.contains(&new.id));
            let named = |change: &Change| change.category.as_ref().map_or(all, |category| material.contains(category));
            let open: Vec<_> =
                changes.into_iter().filter(|change| change.material && !editorial && !named(change)).collect();
            if !open.is_empty() {
                return Err(PublishError::Unclassified(open));
            }
        }
        let version = before.map_or(0, |before| before.version).checked_add(1).ok_or(PublishError::LastVersion)?;
        body.version = version;
        for category in &mut body.categories {
            let old = before.and_then(|before| before.category(&category.id));
            category.since = match old {
                // Nobody was ever asked about a category that was necessary: what they carry is no answer to it.
                Some(old) if old.necessary && !category.necessary => version,
                Some(old) if !material.contains(&category.id) => old.since,
                _ => version,
            };
            for service in &mut category.services {
                let old = old.and_then(|old| old.services.iter().find(|old| old.id == service.id));
                service.since = old.map_or(version, |old| old.since);
            }
        }
        Ok(Notice::new(body))
    }
}

/// Replaces each `{name}` that `value` knows. In one pass, so that what is filled in is never filled again.
fn fill(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        rest = &rest[start..];
        if let Some((value, end)) = rest.find('}').and_then(|end| Some((value(&rest[1..end])?, end))) {
            filled.push_str(&value);
            rest = &rest[end + 1..];
        } else {
            filled.push('{');
            rest = &rest[1..];
        }
    }
    filled.push_str(rest);
    filled
}

/// Why a draft was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The draft breaks rules: the errors, without the warnings.
    #[error("the notice breaks {} of the rules:{}", .0.len(), lines(.0))]
    Lint(Vec<Finding>),
    /// These changes call for asking again: name their categories as material, or state that the changes are editorial.
    #[error("name the categories to ask about again, or state that these changes are editorial:{}", lines(.0))]
    Unclassified(Vec<Change>),
    /// A category named as material is not in the draft.
    #[error("the notice has no category {0}")]
    UnknownCategory(CategoryId),
    /// The draft says what the previous version says.
    #[error("nothing has changed, so there is nothing to publish")]
    Unchanged,
    /// Version numbers are used up.
    #[error("there is no version after 4294967295")]
    LastVersion,
}

fn lines<T: fmt::Display>(items: &[T]) -> String {
    items.iter().fold(String::new(), |text, item| format!("{text}\n{item}"))
}

/// What kind of thing a draft changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ChangeKind {
    /// Who is responsible.
    Controller,
    /// How they are reached.
    Contact,
    /// Where the privacy policy is.
    PrivacyPolicy,
    /// How it looks: preset, texts of the user interface, order, default language.
    Presentation,
    /// Which languages are offered.
    Languages,
    /// How long a choice holds.
    Renewal,
    /// Whether refusals carry an ID.
    IdForRefusals,
    /// A category that was not there.
    CategoryAdded,
    /// A category that is gone.
    CategoryRemoved,
    /// Whether a category can be refused, or why not.
    Basis,
    /// Whether signals keep a category off.
    Signals,
    /// What something is called.
    Name,
    /// What something is for.
    Purpose,
    /// Which kinds of data.
    Data,
    /// Who receives them, providers included.
    Recipients,
    /// How long they are kept, lifetimes included.
    Retention,
    /// Where they go.
    Transfers,
    /// A service that was not there.
    ServiceAdded,
    /// A service that is gone.
    ServiceRemoved,
    /// Something stored that was not stored.
    CookieAdded,
    /// Something stored that is gone.
    CookieRemoved,
}

impl ChangeKind {
    /// Whether people consented to what it changes. Not so for a new category, which is asked about in any case, and for what is
    /// gone, which leaves nothing to ask about.
    fn is_material(self) -> bool {
        match self {
            Self::Controller
            | Self::Renewal
            | Self::Basis
            | Self::Signals
            | Self::Purpose
            | Self::Data
            | Self::Recipients
            | Self::Retention
            | Self::Transfers
            | Self::ServiceAdded
            | Self::CookieAdded => true,
            Self::Contact
            | Self::PrivacyPolicy
            | Self::Presentation
            | Self::Languages
            | Self::IdForRefusals
            | Self::Name
            | Self::CategoryAdded
            | Self::CategoryRemoved
            | Self::ServiceRemoved
            | Self::CookieRemoved => false,
        }
    }
}

/// One thing that a draft changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The category it is about; `None` if it is about the whole notice, and so about every optional category.
    pub category: Option<CategoryId>,
    /// What kind of thing.
    pub what: ChangeKind,
    /// The language it is about; `None` if it is about all of them.
    pub language: Option<Language>,
    /// Where it is, such as `category.statistics.text.en.purpose`.
    pub path: String,
    /// As published; empty if it was not there.
    pub before: String,
    /// As in the draft; empty if it is gone.
    pub after: String,
    /// Whether this kind of change calls for asking again, unless someone states that it is editorial.
    pub material: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.material { " (material unless stated editorial)" } else { "" };
        write!(f, "{}{mark}", self.path)?;
        if !self.before.is_empty() {
            write!(f, "\n  - {}", self.before)?;
        }
        if !self.after.is_empty() {
            write!(f, "\n  + {}", self.after)?;
        }
        Ok(())
    }
}

/// What a draft would change, in the order of the notice. Empty exactly if nothing would.
///
/// Compares what people are shown, placeholders filled: a new name of the controller shows wherever the name stands.
pub fn diff(previous: &Notice, draft: &Draft) -> Vec<Change> {
    compare(&previous.body, &draft.body())
}

/// Where a change is.
struct Place<'a> {
    category: Option<&'a CategoryId>,
    path: String,
    /// Whether changes of the material kind call for asking again here: nobody is asked about a necessary category.
    asked: bool,
}

#[derive(Default)]
struct Changes {
    found: Vec<Change>,
    /// The language that is being compared, inside [`Self::each`].
    language: Option<Language>,
}

impl Changes {
    fn field(
        &mut self,
        at: &Place<'_>,
        what: ChangeKind,
        name: &str,
        before: &(impl ToString + ?Sized),
        after: &(impl ToString + ?Sized),
    ) {
        let (before, after) = (before.to_string(), after.to_string());
        if before == after {
            return;
        }
        let path = if at.path.is_empty() { name.to_owned() } else { format!("{}.{name}", at.path) };
        self.found.push(Change {
            category: at.category.cloned(),
            what,
            language: self.language.clone(),
            path,
            before,
            after,
            material: at.asked && what.is_material(),
        });
    }

    /// The texts in the languages that both have; which languages there are is a change of its own.
    fn each<T>(
        &mut self,
        before: &BTreeMap<Language, T>,
        after: &BTreeMap<Language, T>,
        mut compare: impl FnMut(&mut Self, &Language, &T, &T),
    ) {
        for (language, after) in after {
            if let Some(before) = before.get(language) {
                self.language = Some(language.clone());
                compare(self, language, before, after);
            }
        }
        self.language = None;
    }
}

fn list<'a, T: ToString + 'a>(items: impl IntoIterator<Item = &'a T>) -> String {
    items.into_iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn word(value: &impl Serialize) -> String {
    // Unit variants of small enums, and options of them.
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn compact(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a theme and adapters are texts in maps keyed by text")
}

/// Takes the structs apart, so that the compiler asks here about a field that is added to them.
fn compare(before: &Body, after: &Body) -> Vec<Change> {
    let mut changes = Changes::default();
    let whole = Place { category: None, path: String::new(), asked: true };
    let Body {
        format: _,
        version: _,
        preset,
        default_language,
        languages,
        renew_after_days,
        id_for_refusals,
        controller: Controller { name, address, contact, dpo },
        privacy_policy,
        texts,
        theme,
        adapters,
        categories,
    } = after;
    changes.field(&whole, ChangeKind::Presentation, "preset", &word(&before.preset), &word(preset));
    changes.field(&whole, ChangeKind::Presentation, "default_language", &before.default_language, default_language);
    changes.field(&whole, ChangeKind::Languages, "languages", &list(&before.languages), &list(languages));
    // A choice that holds for a shorter time than people were told takes nothing from them.
    let longer = Place { asked: *renew_after_days > before.renew_after_days, path: String::new(), ..whole };
    changes.field(&longer, ChangeKind::Renewal, "renew_after_days", &before.renew_after_days, renew_after_days);
    changes.field(&whole, ChangeKind::IdForRefusals, "id_for_refusals", &before.id_for_refusals, id_for_refusals);
    let old = &before.controller;
    changes.field(&whole, ChangeKind::Controller, "controller.name", &old.name, name);
    changes.field(&whole, ChangeKind::Contact, "controller.address", &old.address, address);
    changes.field(&whole, ChangeKind::Contact, "controller.contact", &old.contact, contact);
    let [old, new] = [&old.dpo, dpo].map(|dpo| dpo.as_deref().unwrap_or_default());
    changes.field(&whole, ChangeKind::Contact, "controller.dpo", old, new);
    changes.each(&before.privacy_policy, privacy_policy, |changes, l, old, new| {
        changes.field(&whole, ChangeKind::PrivacyPolicy, &format!("privacy_policy.{l}"), old, new);
    });
    changes.each(&before.texts, texts, |changes, l, old, new| {
        for ((name, old), (_, new)) in old.iter().zip(new.iter()) {
            changes.field(&whole, ChangeKind::Presentation, &format!("texts.{l}.{name}"), old, new);
        }
    });
    changes.field(&whole, ChangeKind::Presentation, "theme", &compact(&before.theme), &compact(theme));
    compare_adapters(&mut changes, &before.adapters, after);
    changes.field(&whole, ChangeKind::Presentation, "adapter", &compact(&before.adapters), &compact(adapters));
    for category in categories {
        if let Some(old) = before.category(&category.id) {
            compare_category(&mut changes, old, category);
        } else {
            let at = Place { category: Some(&category.id), path: String::new(), asked: false };
            let names = list(category.text.values().map(|text| &text.name));
            changes.field(&at, ChangeKind::CategoryAdded, &format!("category.{}", category.id), "", &names);
        }
    }
    for old in before.categories.iter().filter(|old| after.category(&old.id).is_none()) {
        let at = Place { category: Some(&old.id), path: String::new(), asked: false };
        let names = list(old.text.values().map(|text| &text.name));
        changes.field(&at, ChangeKind::CategoryRemoved, &format!("category.{}", old.id), &names, "");
    }
    let [old, new] = [(before, after), (after, before)].map(|(body, other)| {
        list(body.categories.iter().map(|category| &category.id).filter(|id| other.category(id).is_some()))
    });
    changes.field(&whole, ChangeKind::Presentation, "category", &old, &new);
    changes.found
}

/// A platform that is told of a category's grants is somebody who receives something by them.
fn compare_adapters(changes: &mut Changes, before: &[Adapter], after: &Body) {
    for adapter in &after.adapters {
        let old = before.iter().find(|old| old.id == adapter.id);
        for (word, choice) in &adapter.map {
            let old = old.and_then(|old| old.map.get(word)).map(ToString::to_string).unwrap_or_default();
            let category = after.categories.iter().find(|category| category.id.as_str() == choice.category());
            let at = Place {
                category: category.map(|category| &category.id),
                path: format!("adapter.{}", adapter.id.as_str()),
                asked: category.is_some_and(|category| !category.necessary),
            };
            changes.field(&at, ChangeKind::Recipients, word, &old, choice);
        }
    }
}

fn compare_category(changes: &mut Changes, before: &PublishedCategory, after: &PublishedCategory) {
    let PublishedCategory { id, necessary, signals, since: _, exemption, text, services } = after;
    let path = format!("category.{id}");
    let at = Place { category: Some(id), path, asked: !necessary && !before.necessary };
    let here = |asked| Place { category: Some(id), path: at.path.clone(), asked };
    // From optional to necessary overrules those who refused, so someone has to stand for it. The other way asks by itself.
    let basis = here(*necessary && !before.necessary);
    changes.field(&basis, ChangeKind::Basis, "necessary", &before.necessary, necessary);
    changes.field(&here(false), ChangeKind::Basis, "exemption", &word(&before.exemption), &word(exemption));
    // Without the signal, what was granted before it would read as granted again.
    let signal = here(at.asked && before.signals);
    changes.field(&signal, ChangeKind::Signals, "signals", &before.signals, signals);
    changes.each(&before.text, text, |changes, l, old, new| {
        let CategoryText { name, purpose, data, recipients, retention, transfers } = new;
        let at = Place { path: format!("{}.text.{l}", at.path), ..at };
        changes.field(&at, ChangeKind::Name, "name", &old.name, name);
        changes.field(&at, ChangeKind::Purpose, "purpose", &old.purpose, purpose);
        changes.field(&at, ChangeKind::Data, "data", &old.data, data);
        changes.field(&at, ChangeKind::Recipients, "recipients", &old.recipients, recipients);
        changes.field(&at, ChangeKind::Retention, "retention", &old.retention, retention);
        let [old, new] = [&old.transfers, transfers].map(|text| text.as_deref().unwrap_or_default());
        changes.field(&at, ChangeKind::Transfers, "transfers", old, new);
    });
    for service in services {
        match before.services.iter().find(|old| old.id == service.id) {
            Some(old) => compare_service(changes, &at, old, service),
            None => {
                changes.field(&at, ChangeKind::ServiceAdded, &format!("service.{}", service.id), "", &service.provider);
            }
        }
    }
    for old in before.services.iter().filter(|old| services.iter().all(|service| service.id != old.id)) {
        changes.field(&at, ChangeKind::ServiceRemoved, &format!("service.{}", old.id), &old.provider, "");
    }
    let [old, new] = [(&before.services, services), (services, &before.services)].map(|(these, others)| {
        list(these.iter().map(|service| &service.id).filter(|id| others.iter().any(|other| other.id == **id)))
    });
    changes.field(&at, ChangeKind::Presentation, "service", &old, &new);
}

fn compare_service(changes: &mut Changes, at: &Place<'_>, before: &PublishedService, after: &PublishedService) {
    let PublishedService { id, since: _, name, provider, country, transfer, exemption, cookies } = after;
    let at = Place { path: format!("{}.service.{id}", at.path), ..*at };
    changes.each(&before.name, name, |changes, l, old, new| {
        changes.field(&at, ChangeKind::Name, &format!("name.{l}"), old, new);
    });
    changes.field(&at, ChangeKind::Recipients, "provider", &before.provider, provider);
    changes.field(&at, ChangeKind::Transfers, "country", &before.country, country);
    changes.field(&at, ChangeKind::Transfers, "transfer", &word(&before.transfer), &word(transfer));
    changes.field(&at, ChangeKind::Basis, "exemption", &word(&before.exemption), &word(exemption));
    let path = |cookie: &PublishedCookie| format!("cookies.{}.{}", word(&cookie.storage), cookie.name);
    let same = |a: &PublishedCookie, b: &PublishedCookie| a.name == b.name && a.storage == b.storage;
    for cookie in cookies {
        let PublishedCookie { name: _, storage: _, lifetime, text } = cookie;
        match before.cookies.iter().find(|old| same(old, cookie)) {
            Some(old) => {
                let at = Place { path: format!("{}.{}", at.path, path(cookie)), ..at };
                changes.field(&at, ChangeKind::Retention, "lifetime", &old.lifetime, lifetime);
                changes.each(&old.text, text, |changes, l, old, new| {
                    changes.field(&at, ChangeKind::Purpose, &format!("purpose.{l}"), &old.purpose, &new.purpose);
                    let [old, new] = [old, new].map(|text| &text.lifetime);
                    changes.field(&at, ChangeKind::Presentation, &format!("lifetime.{l}"), old, new);
                });
            }
            None => changes.field(&at, ChangeKind::CookieAdded, &path(cookie), "", &lifetime),
        }
    }
    for old in before.cookies.iter().filter(|old| cookies.iter().all(|cookie| !same(old, cookie))) {
        changes.field(&at, ChangeKind::CookieRemoved, &path(old), &old.lifetime, "");
    }
    let [old, new] = [(&before.cookies, cookies), (cookies, &before.cookies)].map(|(these, others)| {
        let shared = these.iter().filter(|this| others.iter().any(|other| same(this, other)));
        list(shared.map(path).collect::<Vec<_>>().iter())
    });
    changes.field(&at, ChangeKind::Presentation, "cookies", &old, &new);
}

/// A published notice: immutable, numbered, complete in every language it offers.
///
/// Its canonical bytes are its identity; records name its version and the SHA-256 of those bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    body: Body,
    canonical: String,
    sha256: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    format: u32,
    version: u32,
    preset: Preset,
    default_language: Language,
    languages: Vec<Language>,
    renew_after_days: u16,
    id_for_refusals: bool,
    controller: Controller,
    privacy_policy: BTreeMap<Language, String>,
    texts: BTreeMap<Language, Texts>,
    #[serde(default, skip_serializing_if = "Theme::is_default")]
    theme: Theme,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    adapters: Vec<Adapter>,
    categories: Vec<PublishedCategory>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedCategory {
    id: CategoryId,
    necessary: bool,
    signals: bool,
    since: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exemption: Option<Exemption>,
    text: BTreeMap<Language, CategoryText>,
    services: Vec<PublishedService>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedService {
    id: Name,
    since: u32,
    name: BTreeMap<Language, String>,
    provider: String,
    country: Country,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transfer: Option<Transfer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exemption: Option<Exemption>,
    cookies: Vec<PublishedCookie>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedCookie {
    name: String,
    storage: Storage,
    lifetime: Lifetime,
    text: BTreeMap<Language, CookieText>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CookieText {
    lifetime: String,
    purpose: String,
}

/// Why bytes are not a published notice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoticeError {
    /// Not JSON, or not with the fields of a notice.
    #[error("not a notice: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Of a format that this version does not know.
    #[error("format {0} of a notice is not known")]
    Format(u64),
    /// Another spelling of a notice: its hash would be another one.
    #[error("not in the canonical form of RFC 8785")]
    NotCanonical,
    /// A notice that breaks a promise all notices keep.
    #[error("not a whole notice: {0}")]
    Incomplete(&'static str),
}

impl Body {
    fn category(&self, id: &CategoryId) -> Option<&PublishedCategory> {
        self.categories.iter().find(|category| category.id == *id)
    }

    /// What the rest of this module relies on.
    fn check(&self) -> Result<(), NoticeError> {
        fn whole<T>(languages: &[Language], texts: &BTreeMap<Language, T>) -> bool {
            languages.len() == texts.len() && languages.iter().all(|language| texts.contains_key(language))
        }
        fn unique<T: PartialEq>(items: &[T]) -> bool {
            (1..items.len()).all(|i| !items[..i].contains(&items[i]))
        }
        let known = |since: u32| (1..=self.version).contains(&since);
        let must = |holds: bool, what| if holds { Ok(()) } else { Err(NoticeError::Incomplete(what)) };
        must(self.version > 0, "versions count from 1")?;
        must((1..=MAX_RENEW_AFTER_DAYS).contains(&self.renew_after_days), "renew_after_days is 1 to 395")?;
        must(unique(&self.languages), "a language is listed once")?;
        must(self.languages.contains(&self.default_language), "the default language is offered")?;
        let ids: Vec<_> = self.categories.iter().map(|category| &category.id).collect();
        must(unique(&ids), "a category is listed once")?;
        let languages = |holds| must(holds, "every text is there in every language");
        languages(whole(&self.languages, &self.texts) && whole(&self.languages, &self.privacy_policy))?;
        for category in &self.categories {
            must(known(category.since), "since is a version up to this one")?;
            languages(whole(&self.languages, &category.text))?;
            let ids: Vec<_> = category.services.iter().map(|service| &service.id).collect();
            must(unique(&ids), "a service is listed once in its category")?;
            for service in &category.services {
                must(known(service.since), "since is a version up to this one")?;
                languages(whole(&self.languages, &service.name))?;
                languages(service.cookies.iter().all(|cookie| whole(&self.languages, &cookie.text)))?;
            }
        }
        Ok(())
    }
}

impl Notice {
    fn new(body: Body) -> Self {
        let canonical = serde_json_canonicalizer::to_string(&body)
            .expect("a notice is texts, small whole numbers and maps keyed by text");
        let sha256 = Sha256::digest(&canonical).into();
        Self { body, canonical, sha256 }
    }

    /// Parses the canonical form.
    ///
    /// # Errors
    /// [`NoticeError`] if it is not a notice, or not byte for byte what [`Self::canonical`] writes.
    pub fn parse(canonical: &[u8]) -> Result<Self, NoticeError> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let Format { format } = serde_json::from_slice(canonical)?;
        if format != u64::from(FORMAT) {
            return Err(NoticeError::Format(format));
        }
        let body: Body = serde_json::from_slice(canonical)?;
        body.check()?;
        let notice = Self::new(body);
        if notice.canonical.as_bytes() == canonical { Ok(notice) } else { Err(NoticeError::NotCanonical) }
    }

    /// The canonical form: what is stored, hashed and exported.
    ///
    /// # Standards
    /// RFC 8785.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// The SHA-256 of [`Self::canonical`].
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The number of the version, from 1.
    pub fn version(&self) -> u32 {
        self.body.version
    }

    /// What the first layer looks like.
    pub fn preset(&self) -> Preset {
        self.body.preset
    }

    /// The language for people who want none of the others.
    pub fn default_language(&self) -> &Language {
        &self.body.default_language
    }

    /// Every language offered; at least one, the default among them.
    pub fn languages(&self) -> &[Language] {
        &self.body.languages
    }

    /// How long a choice holds, in days: 1 to 395.
    pub fn renew_after_days(&self) -> u16 {
        self.body.renew_after_days
    }

    /// Whether people who only refused carry a random ID too.
    pub fn id_for_refusals(&self) -> bool {
        self.body.id_for_refusals
    }

    /// Who is responsible.
    pub fn controller(&self) -> &Controller {
        &self.body.controller
    }

    /// Colours, place and shape of the banner.
    pub fn theme(&self) -> &Theme {
        &self.body.theme
    }

    /// Platforms of others that are told what holds.
    pub fn adapters(&self) -> &[Adapter] {
        &self.body.adapters
    }

    /// A draft that says what this notice says, to be edited and published again.
    ///
    /// Placeholders are filled in there, where a built-in text does not say the same; a text that was published empty is left out.
    pub fn to_draft(&self) -> Draft {
        let body = &self.body;
        let same = |texts: &BTreeMap<Language, String>| {
            let first = in_language(texts, &body.default_language);
            if texts.values().all(|text| text == first) {
                Localized::Same(first.clone())
            } else {
                Localized::Each(texts.clone())
            }
        };
        let cookie = |cookie: &PublishedCookie| CookieEntry {
            name: cookie.name.clone(),
            storage: cookie.storage,
            lifetime: cookie.lifetime,
            purpose: Localized::Each(cookie.text.iter().map(|(l, text)| (l.clone(), text.purpose.clone())).collect()),
        };
        let service = |service: &PublishedService| Service {
            id: service.id.clone(),
            name: same(&service.name),
            provider: if service.provider == body.controller.name {
                "{controller}".to_owned()
            } else {
                service.provider.clone()
            },
            country: service.country,
            transfer: service.transfer,
            exemption: service.exemption,
            cookies: service.cookies.iter().map(cookie).collect(),
        };
        let category = |category: &PublishedCategory| Category {
            id: category.id.clone(),
            necessary: category.necessary,
            signals: category.signals,
            exemption: category.exemption,
            text: category.text.clone(),
            services: category.services.iter().map(service).collect(),
        };
        let unreviewed = |language: &&Language| BuiltIn::find(language).is_some_and(|built_in| !built_in.reviewed);
        let mut draft = Draft {
            preset: body.preset,
            default_language: body.default_language.clone(),
            languages: body.languages.clone(),
            renew_after_days: body.renew_after_days,
            id_for_refusals: body.id_for_refusals,
            privacy_policy: same(&body.privacy_policy),
            controller: body.controller.clone(),
            texts: BTreeMap::new(),
            unreviewed_languages: body.languages.iter().filter(unreviewed).cloned().collect(),
            theme: body.theme.clone(),
            adapters: body.adapters.clone(),
            categories: body.categories.iter().map(category).collect(),
        };
        let plain = draft.body();
        for (language, texts) in &body.texts {
            let mut own = texts.overrides(in_language(&plain.texts, language));
            own.lifetimes = self.own_lifetimes(&plain, language);
            if own != TextOverrides::default() {
                draft.texts.insert(language.clone(), own);
            }
        }
        draft
    }

    /// How lifetimes are written here, if not as in `plain`; those that no cookie shows are as built in.
    fn own_lifetimes(&self, plain: &Body, language: &Language) -> Option<LifetimeTexts> {
        fn cookies<'a>(body: &'a Body, l: &'a Language) -> impl Iterator<Item = (Lifetime, &'a str)> {
            let services = body.categories.iter().flat_map(|category| &category.services);
            let cookies = services.flat_map(|service| &service.cookies);
            cookies.map(move |cookie| (cookie.lifetime, in_language(&cookie.text, l).lifetime.as_str()))
        }
        if cookies(&self.body, language).eq(cookies(plain, language)) {
            return None;
        }
        let mut own = BuiltIn::find(language).and_then(|built_in| built_in.common.lifetimes).unwrap_or(LifetimeTexts {
            session: String::new(),
            day: String::new(),
            days: String::new(),
            kept: String::new(),
        });
        for (lifetime, text) in cookies(&self.body, language) {
            let days = match lifetime {
                Lifetime::Renewal => self.body.renew_after_days,
                Lifetime::Days(days) => days.get(),
                Lifetime::Session => {
                    text.clone_into(&mut own.session);
                    continue;
                }
                Lifetime::Kept => {
                    text.clone_into(&mut own.kept);
                    continue;
                }
            };
            if days == 1 {
                text.clone_into(&mut own.day);
            } else {
                own.days = text.replacen(&days.to_string(), "{count}", 1);
            }
        }
        Some(own)
    }

    /// What this version changed after `previous` for the categories that people are asked about again, in the order of the notice.
    pub fn changes_since(&self, previous: &Notice) -> Vec<Change> {
        compare(&previous.body, &self.body)
    }

    /// What decisions need to know of the notice, without its texts.
    pub fn outline(&self) -> Outline {
        let services = |services: &[PublishedService]| {
            services.iter().map(|service| ServiceOutline { id: service.id.clone(), since: service.since }).collect()
        };
        let categories = self.body.categories.iter().map(|category| CategoryOutline {
            id: category.id.clone(),
            necessary: category.necessary,
            signals: category.signals,
            since: category.since,
            services: services(&category.services),
        });
        Outline {
            version: self.body.version,
            renew_after_days: self.body.renew_after_days,
            categories: categories.collect(),
        }
    }

    /// The best language for someone who wants these, most wanted first, without weights: `["de-AT", "en"]`.
    ///
    /// # Standards
    /// RFC 4647 section 3.4 (lookup): each as it is, then ever shorter; then the default. Case does not matter.
    pub fn negotiate(&self, wanted: &[&str]) -> Language {
        for range in wanted {
            let mut range = *range;
            while !range.is_empty() {
                if let Some(language) = self.body.languages.iter().find(|l| l.as_str().eq_ignore_ascii_case(range)) {
                    return language.clone();
                }
                // The RFC also drops a single letter that now ends the range; no language offered here ends in one, so none is met.
                range = range.rsplit_once('-').map_or("", |(shorter, _)| shorter);
            }
        }
        self.body.default_language.clone()
    }

    /// What a page shows, in one language; in the default one if that is not offered.
    pub fn for_language(&self, language: &Language) -> PublicNotice<'_> {
        let body = &self.body;
        let language = body.languages.iter().find(|offered| *offered == language).unwrap_or(&body.default_language);
        PublicNotice {
            version: body.version,
            sha256: HEXLOWER.encode(&self.sha256),
            language,
            languages: &body.languages,
            preset: body.preset,
            renew_after_days: body.renew_after_days,
            controller: &body.controller,
            privacy_policy: in_language(&body.privacy_policy, language).as_str(),
            texts: in_language(&body.texts, language),
            categories: body.categories.iter().map(|category| category.shown(language)).collect(),
        }
    }
}

impl PublishedCategory {
    fn shown(&self, language: &Language) -> PublicCategory<'_> {
        let CategoryText { name, purpose, data, recipients, retention, transfers } = in_language(&self.text, language);
        PublicCategory {
            id: &self.id,
            necessary: self.necessary,
            signals: self.signals,
            since: self.since,
            name,
            purpose,
            data,
            recipients,
            retention,
            transfers: transfers.as_deref(),
            services: self.services.iter().map(|service| service.shown(language)).collect(),
        }
    }
}

impl PublishedService {
    fn shown(&self, language: &Language) -> PublicService<'_> {
        PublicService {
            id: &self.id,
            name: in_language(&self.name, language).as_str(),
            provider: &self.provider,
            country: self.country,
            transfer: self.transfer,
            since: self.since,
            cookies: self.cookies.iter().map(|cookie| cookie.shown(language)).collect(),
        }
    }
}

impl PublishedCookie {
    fn shown(&self, language: &Language) -> PublicCookie<'_> {
        let CookieText { lifetime, purpose } = in_language(&self.text, language);
        PublicCookie { name: &self.name, storage: self.storage, lifetime, purpose }
    }
}

fn in_language<'a, T>(texts: &'a BTreeMap<Language, T>, language: &Language) -> &'a T {
    texts.get(language).expect("a notice has every text in every language it offers")
}

/// What a page shows of a notice, in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PublicNotice<'a> {
    /// The number of the version.
    pub version: u32,
    /// The SHA-256 of the canonical notice (of all languages), in lower-case hexadecimal digits.
    pub sha256: String,
    /// The language of the texts.
    pub language: &'a Language,
    /// The languages there are.
    pub languages: &'a [Language],
    /// What the first layer looks like.
    pub preset: Preset,
    /// How long a choice holds, in days.
    pub renew_after_days: u16,
    /// Who is responsible.
    pub controller: &'a Controller,
    /// Where the privacy policy is.
    pub privacy_policy: &'a str,
    /// The texts of the user interface.
    pub texts: &'a Texts,
    /// The switches, in the order shown.
    pub categories: Vec<PublicCategory<'a>>,
}

/// What a page shows of a category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PublicCategory<'a> {
    /// The name in code.
    pub id: &'a CategoryId,
    /// Whether it cannot be refused.
    pub necessary: bool,
    /// Whether signals keep it off.
    pub signals: bool,
    /// The last version that was material for it; an older answer is no answer.
    pub since: u32,
    /// The name beside the switch.
    pub name: &'a str,
    /// Why the data is used.
    pub purpose: &'a str,
    /// Which kinds of data.
    pub data: &'a str,
    /// Who receives them.
    pub recipients: &'a str,
    /// How long they are kept.
    pub retention: &'a str,
    /// Where they go outside the European Economic Area.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfers: Option<&'a str>,
    /// The tools in it.
    pub services: Vec<PublicService<'a>>,
}

/// What a page shows of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PublicService<'a> {
    /// The name in code.
    pub id: &'a Name,
    /// The name people know it by.
    pub name: &'a str,
    /// Who provides it.
    pub provider: &'a str,
    /// Where the provider uses the data.
    pub country: Country,
    /// The ground for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<Transfer>,
    /// The version that listed it first.
    pub since: u32,
    /// What it stores.
    pub cookies: Vec<PublicCookie<'a>>,
}

/// What a page shows of something stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PublicCookie<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is stored.
    pub storage: Storage,
    /// How long it stays, in words.
    pub lifetime: &'a str,
    /// What it is for.
    pub purpose: &'a str,
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn demo(name: &str) -> Draft {
        toml::from_str(match name {
            "notice" => include_str!("../../consent-server/notices/demo-notice.toml"),
            _ => include_str!("../../consent-server/notices/demo-choice.toml"),
        })
        .unwrap()
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn language(text: &str) -> Language {
        Language::parse(text).unwrap()
    }

    fn category<'a>(draft: &'a mut Draft, id: &str) -> &'a mut Category {
        draft.categories.iter_mut().find(|category| category.id.as_str() == id).unwrap()
    }

    fn text<'a>(draft: &'a mut Draft, id: &str, tag: &str) -> &'a mut CategoryText {
        category(draft, id).text.get_mut(&language(tag)).unwrap()
    }

    fn first() -> Notice {
        static FIRST: std::sync::LazyLock<Notice> =
            std::sync::LazyLock::new(|| demo("choice").publish(None, &[], false).unwrap());
        FIRST.clone()
    }

    #[test]
    fn built_in_texts_are_complete_and_whole() {
        for tag in BUILT_IN_LANGUAGES {
            for preset in [Preset::Notice, Preset::Choice] {
                for id_for_refusals in [false, true] {
                    let draft = Draft { preset, id_for_refusals, ..demo("choice") };
                    let texts = draft.texts_in(&language(tag));
                    assert!(texts.lifetimes.is_some(), "{tag}");
                    for (field, text) in texts.iter() {
                        assert!(text.is_some_and(|text| !text.trim().is_empty()), "{tag} {preset:?} {field}");
                    }
                }
            }
        }
        assert_eq!(demo("notice").texts_in(&language("de-AT")), demo("notice").texts_in(&language("de")));
        assert_eq!(demo("notice").texts_in(&language("eo")), TextOverrides::default());
    }

    #[test]
    fn the_preset_notice_has_the_labels_of_the_origin() {
        let notice = demo("notice").publish(None, &[], false).unwrap();
        let shown = notice.for_language(&language("en"));
        let texts = shown.texts;
        assert_eq!([&*texts.privacy_policy, &*texts.close, &*texts.settings], ["Privacy policy", "Close", "Settings"]);
        assert_eq!(texts.settings_title, "GDPR Consent Settings");
        assert_eq!(texts.details, "View details");
        assert_eq!([&*texts.forget, &*texts.forgotten], ["Forget my settings", "Deleted!"]);
        let names: Vec<_> = shown.categories.iter().map(|category| category.name).collect();
        assert_eq!(names, ["Functional cookies", "Website statistics"]);
    }

    #[test]
    fn published_texts_are_final() {
        let notice = first();
        assert!(!notice.canonical()[1..].contains("{controller}") && !notice.canonical().contains("{days}"));
        let shown = notice.for_language(&language("de"));
        for want in ["Example Gardens Ltd", "180 Tage", "„consent“", "Website-Statistik, Marketing"] {
            assert!(shown.texts.intro.contains(want), "{want}: {}", shown.texts.intro);
        }
        let cookies: Vec<_> =
            shown.categories.iter().flat_map(|c| &c.services).flat_map(|s| &s.cookies).map(|c| c.lifetime).collect();
        assert_eq!(cookies, ["180 Tage", "bis Sie es löschen", "30 Tage", "30 Tage", "7 Tage"]);
    }

    #[test]
    fn filling_never_fills_what_was_filled_in() {
        let value = |name: &str| match name {
            "a" => Some("{b}".to_owned()),
            "b" => Some("no".to_owned()),
            _ => None,
        };
        for (text, want) in [("{a}", "{b}"), ("x{c}y{a}", "x{c}y{b}"), ("{", "{"), ("{{a}", "{{b}"), ("}{", "}{")] {
            assert_eq!(fill(text, value), want, "{text}");
        }
    }

    #[test]
    fn the_page_gets_the_fields_it_codes_against() {
        let notice = first();
        let json = serde_json::to_value(notice.for_language(&language("en"))).unwrap();
        assert_eq!(
            Outline::from_notice(json.to_string().as_bytes()).unwrap(),
            notice.outline(),
            "all that a backend judges by"
        );
        assert!(Outline::from_notice(b"{}").is_err());
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(
            keys(&json),
            "categories controller language languages preset privacy_policy renew_after_days sha256 texts version"
        );
        let marketing = &json["categories"][2];
        assert_eq!(keys(marketing), "data id name necessary purpose recipients retention services signals since");
        assert_eq!(keys(&marketing["services"][0]), "cookies country id name provider since");
        assert_eq!(
            marketing["services"][0]["cookies"][0],
            serde_json::json!({"name": "demo_offer", "storage": "cookie", "lifetime": "7 days", "purpose": "Keeps which offer was shown."})
        );
        assert_eq!(json["sha256"], HEXLOWER.encode(&notice.sha256()));
    }

    #[test]
    fn what_is_published_reads_back_only_as_it_was_written() {
        let notice = first();
        assert_eq!(Notice::parse(notice.canonical().as_bytes()).unwrap(), notice);
        let spaced = notice.canonical().replacen(':', ": ", 1);
        assert!(matches!(Notice::parse(spaced.as_bytes()), Err(NoticeError::NotCanonical)));
        let doubled = notice.canonical().replacen("\"texts\":{", "\"texts\":{\"de\":{},", 1);
        assert!(Notice::parse(doubled.as_bytes()).is_err());
        let later = notice.canonical().replace("\"format\":1,", "\"format\":2,");
        assert!(matches!(Notice::parse(later.as_bytes()), Err(NoticeError::Format(2))));
        for (from, to) in [
            ("\"version\":1", "\"version\":0"),
            ("\"since\":1", "\"since\":2"),
            ("\"languages\":[\"en\",\"de\"]", "\"languages\":[\"en\"]"),
            ("\"default_language\":\"en\"", "\"default_language\":\"fr\""),
            ("\"renew_after_days\":180", "\"renew_after_days\":396"),
            ("\"id\":\"marketing\"", "\"id\":\"statistics\""),
        ] {
            let broken = notice.canonical().replacen(from, to, 1);
            assert_ne!(broken, notice.canonical(), "{from}");
            assert!(matches!(Notice::parse(broken.as_bytes()), Err(NoticeError::Incomplete(_))), "{to}");
        }
    }

    #[test]
    fn languages_are_looked_up() {
        let mut draft = demo("choice");
        let en = language("en");
        draft.languages.push(language("zh-Hant"));
        draft.texts.insert(language("zh-Hant"), draft.texts_in(&en));
        let mut body = draft.body();
        body.version = 1;
        let notice = Notice::new(body);
        for (wanted, want) in [
            (&[][..], "en"),
            (&["de"], "de"),
            (&["DE-at"], "de"),
            (&["fr", "de-CH-1996"], "de"),
            (&["fr", "*"], "en"),
            (&["zh-Hant-x-private"], "zh-Hant"),
            (&["zh"], "en"),
            (&["", "-", "de-"], "de"),
        ] {
            assert_eq!(notice.negotiate(wanted).as_str(), want, "{wanted:?}");
        }
        assert_eq!(notice.for_language(&language("fr")).language.as_str(), "en", "not offered");
    }

    #[test]
    fn the_authoring_form_is_strict() {
        let good = include_str!("../../consent-server/notices/demo-notice.toml");
        for (from, to, want) in [
            ("preset =", "pre_set =", "unknown field"),
            ("id = \"statistics\"", "id = \"Statistics\"", "must match"),
            ("country = \"IE\"", "country = \"XX\"", "ISO 3166"),
            ("lifetime = \"30 days\"", "lifetime = \"030 days\"", "must be renewal"),
            ("exemption = \"ui-preference\"", "exemption = \"because\"", "unknown variant"),
            ("privacy_policy = \"/privacy\"", "privacy_policy = 1", "one text for each language"),
            ("{ en = \"Page counter\"", "{ EN = \"Page counter\"", "language tag"),
        ] {
            let broken = good.replacen(from, to, 1);
            assert_ne!(broken, good, "{from}");
            let error = toml::from_str::<Draft>(&broken).unwrap_err().to_string();
            assert!(error.contains(want), "{to}: {error}");
        }
        let draft = demo("choice");
        let json = serde_json::to_string(&draft).unwrap();
        assert_eq!(serde_json::from_str::<Draft>(&json).unwrap(), draft, "TOML and JSON are the same form");
    }

    #[test]
    fn lifetimes_have_one_spelling() {
        for text in ["renewal", "session", "kept", "1 day", "2 days", "65535 days"] {
            assert_eq!(Lifetime::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "1 days", "2 day", "0 days", "+2 days", "02 days", "65536 days", "2  days", "forever"] {
            assert_eq!(Lifetime::parse(bad), Err(ValueError::Lifetime), "{bad}");
        }
    }

    #[test]
    fn lists_of_countries_are_lists_of_countries() {
        assert_eq!(COUNTRIES.split(' ').count(), 249);
        for list in [EEA, ADEQUATE] {
            for country in list.split(' ') {
                assert!(Country::parse(country).is_ok(), "{country}");
            }
        }
        assert_eq!(EEA.split(' ').count(), 30 + 7, "27 + 3, and 7 territories");
    }

    /// A change, the kind it is reported as, its category, and whether it calls for asking again.
    type Case = (&'static str, fn(&mut Draft), ChangeKind, Option<&'static str>, bool);

    const CASES: &[Case] = {
        use ChangeKind as K;
        let (m, s) = (Some("marketing"), Some("statistics"));
        &[
            ("purpose", |d| text(d, "marketing", "en").purpose = "Sell seeds.".into(), K::Purpose, m, true),
            ("data", |d| text(d, "marketing", "de").data = "Ihr Garten.".into(), K::Data, m, true),
            ("recipients", |d| text(d, "statistics", "en").recipients = "Someone.".into(), K::Recipients, s, true),
            ("retention", |d| text(d, "statistics", "en").retention = "Ten years.".into(), K::Retention, s, true),
            ("transfers", |d| text(d, "statistics", "en").transfers = Some("To Peru.".into()), K::Transfers, s, true),
            ("name", |d| text(d, "statistics", "en").name = "Counting".into(), K::Name, s, false),
            ("provider", |d| category(d, "marketing").services[0].provider = "X".into(), K::Recipients, m, true),
            (
                "service",
                |d| {
                    let mut service = category(d, "marketing").services[0].clone();
                    service.id = name("second");
                    category(d, "marketing").services.push(service);
                },
                K::ServiceAdded,
                m,
                true,
            ),
            ("no service", |d| category(d, "statistics").services.truncate(1), K::ServiceRemoved, s, false),
            ("order of services", |d| category(d, "statistics").services.reverse(), K::Presentation, s, false),
            (
                "cookie",
                |d| {
                    let mut cookie = category(d, "marketing").services[0].cookies[0].clone();
                    cookie.storage = Storage::Local;
                    category(d, "marketing").services[0].cookies.push(cookie);
                },
                K::CookieAdded,
                m,
                true,
            ),
            ("no cookie", |d| category(d, "marketing").services[0].cookies.clear(), K::CookieRemoved, m, false),
            (
                "lifetime",
                |d| category(d, "marketing").services[0].cookies[0].lifetime = Lifetime::parse("8 days").unwrap(),
                K::Retention,
                m,
                true,
            ),
            ("signals off", |d| category(d, "marketing").signals = false, K::Signals, m, true),
            ("signals on", |d| category(d, "statistics").signals = true, K::Signals, s, false),
            (
                "necessary now",
                |d| {
                    category(d, "statistics").necessary = true;
                    category(d, "statistics").exemption = Some(Exemption::OwnMeasurement);
                },
                K::Basis,
                s,
                true,
            ),
            ("controller", |d| d.controller.name = "Other Ltd".into(), K::Controller, None, true),
            ("address", |d| d.controller.address = "2 Example Lane".into(), K::Contact, None, false),
            ("officer", |d| d.controller.dpo = Some("dpo@gardens.example".into()), K::Contact, None, false),
            ("longer", |d| d.renew_after_days = 190, K::Renewal, None, true),
            ("shorter", |d| d.renew_after_days = 170, K::Renewal, None, false),
            ("preset", |d| d.preset = Preset::Notice, K::Presentation, None, false),
            ("policy", |d| d.privacy_policy = Localized::Same("/p".into()), K::PrivacyPolicy, None, false),
            ("language", |d| drop(d.languages.pop()), K::Languages, None, false),
            ("id", |d| d.id_for_refusals = true, K::IdForRefusals, None, false),
            ("order", |d| d.categories.swap(1, 2), K::Presentation, None, false),
            ("no category", |d| drop(d.categories.pop()), K::CategoryRemoved, m, false),
            (
                "category",
                |d| {
                    let mut new = d.categories[2].clone();
                    new.id = name("personal");
                    new.text.values_mut().for_each(|text| text.name.push_str(" 2"));
                    new.text.values_mut().for_each(|text| text.purpose.push_str(" Personally."));
                    new.services[0].cookies[0].name = "demo_personal".into();
                    d.categories.push(new);
                },
                K::CategoryAdded,
                Some("personal"),
                false,
            ),
            (
                "necessary purpose",
                |d| text(d, "functional", "en").purpose = "Remember your choice.".into(),
                K::Purpose,
                Some("functional"),
                false,
            ),
        ]
    };

    #[test]
    fn each_change_is_found_and_sorted() {
        for (what, edit, kind, category, material) in CASES {
            let mut draft = demo("choice");
            edit(&mut draft);
            let changes = diff(&first(), &draft);
            let change = changes.iter().find(|change| change.what == *kind).unwrap_or_else(|| panic!("{what}"));
            assert_eq!((change.category.as_ref().map(Name::as_str), change.material), (*category, *material), "{what}");
            assert!(change.to_string().starts_with(&change.path), "{what}");
        }
    }

    #[test]
    fn a_notice_is_a_draft_again() {
        let lifetimes = |d: &mut Draft| {
            let texts = d.texts.entry(language("en")).or_default();
            texts.intro = Some("{controller}: {optional}. {cookie}, {days} days.".into());
            texts.lifetimes = Some(LifetimeTexts {
                session: "while open".into(),
                day: "a day".into(),
                days: "for {count} days".into(),
                kept: "for good".into(),
            });
        };
        let unreviewed = |d: &mut Draft| {
            for category in &mut d.categories {
                let text = category.text[&language("de")].clone();
                category.text.insert(language("fr"), text);
                for service in &mut category.services {
                    service.name = Localized::Same("One".into());
                    service.cookies.iter_mut().for_each(|cookie| cookie.purpose = Localized::Same("One".into()));
                }
            }
            d.languages.push(language("fr"));
            d.unreviewed_languages.push(language("fr"));
        };
        let more: [fn(&mut Draft); 2] = [lifetimes, unreviewed];
        for edit in CASES.iter().map(|(_, edit, ..)| *edit).chain(more) {
            let mut draft = demo("choice");
            edit(&mut draft);
            let Ok(notice) = draft.publish(None, &[], true) else { continue };
            let again = notice.to_draft();
            assert_eq!(diff(&notice, &again), []);
            assert_eq!(again.publish(Some(&notice), &[], true), Err(PublishError::Unchanged));
        }
        let texts = first().to_draft().texts;
        assert!(texts.is_empty(), "what is built in stays so: {texts:?}");
    }

    #[test]
    fn material_changes_need_someone_to_stand_for_them() {
        for (what, edit, _, _, _) in CASES {
            let mut draft = demo("choice");
            edit(&mut draft);
            let material = diff(&first(), &draft).iter().any(|change| change.material);
            match draft.clone().publish(Some(&first()), &[], false) {
                Err(PublishError::Unclassified(changes)) => {
                    assert!(material && !changes.is_empty() && changes.iter().all(|change| change.material), "{what}");
                }
                published => assert_eq!((published.map(|n| n.version()), material), (Ok(2), false), "{what}"),
            }
            let editorial = draft.clone().publish(Some(&first()), &[], true);
            assert_eq!(editorial.map(|notice| notice.version()), Ok(2), "{what}");
            let all: Vec<_> = draft.categories.iter().map(|category| category.id.clone()).collect();
            let notice = draft.publish(Some(&first()), &all, false).unwrap();
            assert!(notice.outline().categories.iter().all(|category| category.since == 2), "{what}");
            assert_eq!(Notice::parse(notice.canonical().as_bytes()).unwrap(), notice, "{what}");
        }
    }

    #[test]
    fn another_controller_touches_every_optional_category() {
        let mut draft = demo("choice");
        draft.controller.name = "Other Ltd".into();
        // What only repeats the name is a change of its category; keep those out.
        for category in &mut draft.categories {
            category.text.values_mut().for_each(|text| text.recipients = text.recipients.replace("{controller}", "We"));
            category.services.iter_mut().for_each(|service| service.provider = "We".into());
        }
        let mut before = draft.clone();
        before.controller.name = "Example Gardens Ltd".into();
        let one = before.publish(None, &[], false).unwrap();
        let some = draft.clone().publish(Some(&one), &[name("statistics")], false);
        assert!(matches!(some, Err(PublishError::Unclassified(changes)) if changes.len() == 1));
        assert!(draft.publish(Some(&one), &[name("statistics"), name("marketing")], false).is_ok());
    }

    #[test]
    fn the_order_of_what_is_stored_is_shown_too() {
        let mut draft = demo("choice");
        let cookies = &mut category(&mut draft, "marketing").services[0].cookies;
        cookies.push(CookieEntry { storage: Storage::Local, ..cookies[0].clone() });
        let one = draft.clone().publish(None, &[], false).unwrap();
        category(&mut draft, "marketing").services[0].cookies.reverse();
        let changes = diff(&one, &draft);
        assert_eq!(changes.iter().map(|change| change.what).collect::<Vec<_>>(), [ChangeKind::Presentation]);
    }

    fn sinces(notice: &Notice) -> String {
        let categories = notice.outline().categories.into_iter().map(|category| {
            let services: Vec<_> = category.services.iter().map(|s| format!("{} {}", s.id, s.since)).collect();
            format!("{} {} [{}]", category.id, category.since, services.join(", "))
        });
        categories.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn only_what_changed_is_asked_about_again() {
        let one = first();
        let mut draft = demo("choice");
        text(&mut draft, "marketing", "en").purpose = "Sell seeds.".into();
        let two = draft.clone().publish(Some(&one), &[name("marketing")], false).unwrap();
        assert_eq!(
            sinces(&two),
            "functional 1 [privacy-choice 1, text-size 1]; statistics 1 [page-counter 1, visitor-numbers 1]; \
             marketing 2 [newsletter-panel 1]"
        );
        // A new service is asked about even if its category is not.
        let mut service = draft.categories[2].services[0].clone();
        service.id = name("second");
        draft.categories[2].services.push(service);
        let three = draft.clone().publish(Some(&two), &[], true).unwrap();
        assert!(sinces(&three).ends_with("marketing 2 [newsletter-panel 1, second 3]"));
        // What went and came back is new: nothing of the old answer holds.
        let without = Draft { categories: draft.categories[..2].to_vec(), ..draft.clone() };
        let four = without.publish(Some(&three), &[], false).unwrap();
        let five = draft.clone().publish(Some(&four), &[], false).unwrap();
        assert!(sinces(&five).ends_with("marketing 5 [newsletter-panel 5, second 5]"));
        assert_eq!(draft.publish(Some(&five), &[], true), Err(PublishError::Unchanged));
    }

    #[test]
    fn a_category_that_was_necessary_is_asked_about() {
        let mut draft = demo("choice");
        draft.categories[1].necessary = true;
        draft.categories[1].exemption = Some(Exemption::OwnMeasurement);
        let one = draft.publish(None, &[], false).unwrap();
        let two = demo("choice").publish(Some(&one), &[], false).unwrap();
        assert_eq!(two.outline().categories[1].since, 2);
    }

    #[test]
    fn publishing_refuses_what_it_cannot_mean() {
        let unknown = demo("choice").publish(None, &[name("nothing")], false);
        assert_eq!(unknown, Err(PublishError::UnknownCategory(name("nothing"))));
        let mut draft = demo("choice");
        draft.renew_after_days = 0;
        assert!(matches!(draft.publish(None, &[], true), Err(PublishError::Lint(findings)) if findings.len() == 1));
        let mut last = first();
        last.body.version = u32::MAX;
        draft = demo("choice");
        draft.preset = Preset::Notice;
        assert_eq!(draft.publish(Some(&last), &[], true), Err(PublishError::LastVersion));
    }

    proptest! {
        /// Any set of edits: the difference is empty exactly if the notices are the same, and a published one reads back.
        #[test]
        fn differences_are_complete(edits in proptest::collection::vec(0..CASES.len(), 0..4), undo: bool) {
            use ChangeKind as K;
            let mut draft = demo("choice");
            // What takes something away comes last, and once: other edits want it there.
            let takes = |edit: &usize| matches!(CASES[*edit].2, K::CategoryRemoved | K::ServiceRemoved | K::CookieRemoved);
            let (last, edits): (Vec<_>, Vec<_>) = edits.into_iter().partition(takes);
            edits.iter().chain(last.first()).for_each(|edit| CASES[*edit].1(&mut draft));
            if undo {
                draft = demo("choice");
            }
            let (one, mut body) = (first(), draft.body());
            body.version = 1;
            for category in &mut body.categories {
                category.since = 1;
                category.services.iter_mut().for_each(|service| service.since = 1);
            }
            prop_assert_eq!(diff(&one, &draft).is_empty(), body == one.body);
            if let Ok(two) = draft.publish(Some(&one), &[], true) {
                prop_assert_eq!(Notice::parse(two.canonical().as_bytes()).unwrap(), two);
            }
        }

        #[test]
        fn anything_is_refused_without_a_panic(bytes: Vec<u8>, cut in 0_usize..4000, to: u8) {
            prop_assert!(Notice::parse(&bytes).is_err());
            let mut bytes = first().canonical().as_bytes().to_vec();
            let cut = cut % bytes.len();
            let same = bytes[cut] == to;
            bytes[cut] = to;
            // Another notice, or none: never this one under other bytes.
            let parsed = Notice::parse(&bytes);
            prop_assert!(parsed.is_err() || same || parsed.unwrap() != first());
        }

        #[test]
        fn any_text_is_kept_as_it_is(purpose: String) {
            let mut draft = demo("choice");
            text(&mut draft, "marketing", "en").purpose = purpose.clone();
            let body = Body { version: 1, ..draft.body() };
            let notice = Notice::new(body);
            let shown = notice.for_language(&language("en")).categories[2].purpose.to_owned();
            prop_assert_eq!(shown, fill(&purpose, |_| None));
        }
    }
}
