//! Platforms of others that are told what holds: which of them, and which of their words stands for which category.
//!
//! Everything starts as denied; a word that is mapped to nothing stays so. What each word means to its platform is in
//! `docs/adapters.md`; the functions that say them in the browser are in `consent-wasm/js/adapters`.
//!
//! ```
//! # use consent_core::{adapter::{Adapter, Answer}, id::ChoiceId, outline::Outline};
//! let adapter: Adapter = serde_json::from_str(
//!     r#"{"id": "shopify", "map": {"preferences": "functional", "marketing": "marketing"}}"#,
//! )?;
//! let outline = Outline::builder(1).necessary("functional").optional("marketing").build()?;
//! let marketing = ChoiceId::parse("marketing")?;
//! assert_eq!(
//!     adapter.answers(&outline),
//!     [
//!         ("analytics", Answer::Denied),
//!         ("marketing", Answer::As(&marketing)),
//!         ("preferences", Answer::Granted),
//!         ("sale_of_data", Answer::Denied),
//!     ]
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Standards
//! ePrivacy Directive Art. 5(3); EDPB Guidelines 2/2023. The rest are rules of the platforms, as of November 2026.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::ChoiceId;
use crate::notice::Country;
use crate::outline::Outline;

/// A platform of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Platform {
    /// Google Consent Mode v2: `gtag('consent', …)`, for Google's tags and for Tag Manager.
    GoogleConsentMode,
    /// Microsoft Advertising, Universal Event Tracking: `uetq.push('consent', …)`.
    MicrosoftUet,
    /// Microsoft Clarity, Consent API v2: `clarity('consentv2', …)`.
    MicrosoftClarity,
    /// Meta's pixel: `fbq('consent', 'revoke' | 'grant')`. It has no words of its own; ours is `pixel`.
    MetaPixel,
    /// TikTok's pixel: `ttq.holdConsent()`, `grantConsent()`, `revokeConsent()`. It has no words of its own; ours is `pixel`.
    TiktokPixel,
    /// The WP Consent API, which plugins of WordPress ask.
    Wordpress,
    /// Shopify's Customer Privacy API.
    Shopify,
}

/// A word of a platform: something that it is told to be granted or denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// As the platform spells it.
    pub name: &'static str,
    /// Whether it stands for advertising or for passing data on, which no exemption covers.
    pub advertising: bool,
}

const fn word(name: &'static str) -> Word {
    Word { name, advertising: false }
}

const fn advertising(name: &'static str) -> Word {
    Word { name, advertising: true }
}

impl Platform {
    /// All platforms.
    pub const ALL: [Self; 7] = [
        Self::GoogleConsentMode,
        Self::MicrosoftUet,
        Self::MicrosoftClarity,
        Self::MetaPixel,
        Self::TiktokPixel,
        Self::Wordpress,
        Self::Shopify,
    ];

    /// The name in a notice.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GoogleConsentMode => "google-consent-mode",
            Self::MicrosoftUet => "microsoft-uet",
            Self::MicrosoftClarity => "microsoft-clarity",
            Self::MetaPixel => "meta-pixel",
            Self::TiktokPixel => "tiktok-pixel",
            Self::Wordpress => "wordpress",
            Self::Shopify => "shopify",
        }
    }

    /// Its words, all of which it is told each time.
    pub const fn words(self) -> &'static [Word] {
        match self {
            Self::GoogleConsentMode => {
                const {
                    &[
                        advertising("ad_storage"),
                        advertising("ad_user_data"),
                        advertising("ad_personalization"),
                        word("analytics_storage"),
                        word("functionality_storage"),
                        word("personalization_storage"),
                        word("security_storage"),
                    ]
                }
            }
            Self::MicrosoftUet => const { &[advertising("ad_storage")] },
            Self::MicrosoftClarity => const { &[advertising("ad_Storage"), word("analytics_Storage")] },
            Self::MetaPixel | Self::TiktokPixel => const { &[advertising("pixel")] },
            Self::Wordpress => {
                const {
                    &[
                        word("functional"),
                        word("preferences"),
                        word("statistics-anonymous"),
                        word("statistics"),
                        advertising("marketing"),
                    ]
                }
            }
            Self::Shopify => {
                const { &[word("analytics"), advertising("marketing"), word("preferences"), advertising("sale_of_data")] }
            }
        }
    }

    /// The word of this name.
    pub fn word(self, name: &str) -> Option<Word> {
        self.words().iter().copied().find(|word| word.name == name)
    }

    /// The names of its options.
    pub const fn options(self) -> &'static [&'static str] {
        match self {
            Self::GoogleConsentMode => {
                &["wait_for_update", "regions", "elsewhere", "ads_data_redaction", "url_passthrough", "advanced"]
            }
            Self::MicrosoftUet | Self::MicrosoftClarity | Self::MetaPixel | Self::TiktokPixel => &["advanced"],
            // No tags that could be loaded before anybody has chosen: these govern what others load.
            Self::Wordpress | Self::Shopify => &[],
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a platform hears outside the regions of [`Options::regions`] before anybody has chosen there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Elsewhere {
    /// That everything is denied, as inside them.
    #[default]
    Denied,
    /// Nothing, which Google's tags take for granted. A choice is told there as anywhere.
    Unset,
}

/// How a platform is told. Which platform has which options: [`Platform::options`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How long the platform's tags wait for an answer that was stored, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_for_update: Option<u16>,
    /// Where the default is said for the region in particular: ISO 3166-1 or 3166-2 codes such as `IE`, `US-CA`.
    ///
    /// With Google the more specific region wins, so that a default without a region that the page or Tag Manager sets does not
    /// hold there. There is no code for the European Union.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// What is said outside them.
    #[serde(skip_serializing_if = "is_default")]
    pub elsewhere: Elsewhere,
    /// While `ad_storage` is denied, click identifiers are left out of what Google's tags send.
    #[serde(skip_serializing_if = "is_default")]
    pub ads_data_redaction: bool,
    /// While storage is denied, click identifiers are passed from page to page in the addresses of links.
    #[serde(skip_serializing_if = "is_default")]
    pub url_passthrough: bool,
    /// The site loads the platform's tags before anybody has chosen, instead of behind the gate. Changes nothing that is sent to a
    /// browser; it is in the notice so that it can be seen.
    #[serde(skip_serializing_if = "is_default")]
    pub advanced: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Options {
    /// The names of the options that are given.
    pub fn given(&self) -> Vec<&'static str> {
        let Self { wait_for_update, regions, elsewhere, ads_data_redaction, url_passthrough, advanced } = self;
        let given = [
            ("wait_for_update", wait_for_update.is_some()),
            ("regions", !regions.is_empty()),
            ("elsewhere", !is_default(elsewhere)),
            ("ads_data_redaction", *ads_data_redaction),
            ("url_passthrough", *url_passthrough),
            ("advanced", *advanced),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    /// Whether a text is the code of a country, or of a part of one as far as its form says.
    ///
    /// # Standards
    /// ISO 3166-1 alpha-2; ISO 3166-2.
    pub fn is_region(text: &str) -> bool {
        let part = |part: &str| {
            (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        };
        match text.split_once('-') {
            Some((country, rest)) => Country::parse(country).is_ok() && part(rest),
            None => Country::parse(text).is_ok(),
        }
    }
}

/// A platform whose tags are told what holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Which platform.
    pub id: Platform,
    /// For each of the platform's words, the category or service whose answer it takes over. A word that is left out is denied.
    pub map: BTreeMap<String, ChoiceId>,
    /// How it is told.
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: Options,
}

/// Where the answer to a platform's word comes from. Serialized as `false`, `true` or the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Always denied: mapped to nothing that the notice lists.
    Denied,
    /// Always granted: mapped to what cannot be refused.
    Granted,
    /// As the person answers this.
    As(&'a ChoiceId),
}

impl Serialize for Answer<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Denied => serializer.serialize_bool(false),
            Self::Granted => serializer.serialize_bool(true),
            Self::As(id) => id.serialize(serializer),
        }
    }
}

impl Adapter {
    /// Where the answer to each of the platform's words comes from, in the order of [`Platform::words`].
    pub fn answers(&self, outline: &Outline) -> Vec<(&'static str, Answer<'_>)> {
        let answer = |word: &Word| {
            let listed = self.map.get(word.name).and_then(|id| Some((id, outline.listed(id)?)));
            let answer = match listed {
                None => Answer::Denied,
                Some((_, category)) if category.necessary => Answer::Granted,
                Some((id, _)) => Answer::As(id),
            };
            (word.name, answer)
        };
        self.id.words().iter().map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_named_in_one_way() {
        for platform in Platform::ALL {
            assert_eq!(serde_json::to_value(platform).unwrap(), platform.as_str());
            for word in platform.words() {
                assert_eq!(platform.words().iter().filter(|other| other.name == word.name).count(), 1, "{platform}");
            }
        }
        assert!(serde_json::from_str::<Platform>("\"google\"").is_err());
    }

    #[test]
    fn an_adapter_says_only_what_is_not_usual() {
        let text = r#"{"id":"meta-pixel","map":{"pixel":"marketing"}}"#;
        let adapter: Adapter = serde_json::from_str(text).unwrap();
        assert_eq!(adapter.options, Options::default());
        assert_eq!(serde_json::to_string(&adapter).unwrap(), text);
        let text = concat!(
            r#"{"id":"google-consent-mode","map":{"ad_storage":"marketing:ads"},"options":{"wait_for_update":500,"#,
            r#""regions":["IE","US-CA"],"elsewhere":"unset","ads_data_redaction":true,"url_passthrough":true,"advanced":true}}"#
        );
        let adapter: Adapter = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&adapter).unwrap(), text);
        assert_eq!(adapter.options.given(), adapter.id.options());
        for bad in [
            r#"{"id":"meta-pixel","map":{},"option":{}}"#,
            r#"{"id":"meta-pixel","map":{},"options":{"wait":1}}"#,
            r#"{"id":"meta-pixel","map":{"pixel":"</script>"}}"#,
            r#"{"id":"meta-pixel","map":{},"options":{"wait_for_update":-1}}"#,
        ] {
            assert!(serde_json::from_str::<Adapter>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_mapped_or_not_listed_is_denied() {
        let map = r#"{"ad_storage":"marketing:gone","analytics_storage":"gone","security_storage":"functional"}"#;
        let adapter: Adapter = serde_json::from_str(&format!(r#"{{"id":"google-consent-mode","map":{map}}}"#)).unwrap();
        let outline = Outline::builder(1).necessary("functional").optional("marketing").build().unwrap();
        let answers = adapter.answers(&outline);
        assert_eq!(answers.len(), 7);
        for (word, answer) in answers {
            let want = if word == "security_storage" { Answer::Granted } else { Answer::Denied };
            assert_eq!(answer, want, "{word}");
        }
    }

    #[test]
    fn the_examples_of_the_manual_are_adapters() {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Example {
            #[serde(default)]
            adapter: Vec<Adapter>,
            options: Option<Options>,
        }
        let manual = include_str!("../../docs/adapters.md");
        let blocks = manual.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
        let examples: Vec<Example> = blocks.map(|block| toml::from_str(block).unwrap()).collect();
        assert!(examples.iter().all(|example| example.options.is_some() || !example.adapter.is_empty()));
        let mut shown: Vec<_> = examples.iter().flat_map(|example| &example.adapter).collect();
        shown.sort_by_key(|adapter| adapter.id);
        assert_eq!(shown.iter().map(|adapter| adapter.id).collect::<Vec<_>>(), Platform::ALL);
        for Adapter { id, map, .. } in shown {
            let words: Vec<_> = id.words().iter().map(|word| format!("`{}`", word.name)).collect();
            assert!(manual.contains(&format!("| `{id}` | {} |", words.join(", "))), "the table's row of {id}");
            assert_eq!(map.len(), words.len(), "{id}");
            assert!(map.keys().all(|name| id.word(name).is_some()), "{id}");
        }
    }

    #[test]
    fn regions_follow_iso_3166() {
        for good in ["IE", "GB", "US-CA", "FR-75C", "ES-B"] {
            assert!(Options::is_region(good), "{good}");
        }
        for bad in ["", "EU", "UK", "ie", "US-", "US-cal", "US-CALI", "XX-A", "US_CA", "IE-</", "world"] {
            assert!(!Options::is_region(bad), "{bad}");
        }
    }
}
