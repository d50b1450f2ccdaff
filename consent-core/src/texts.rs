//! The words of the banner: every text that the user interface shows, and the built-in ones by language.
//!
//! The built-in texts lie in `texts/`, a file for each language, complete. Their legal terms are those of `texts/glossary/`; a test
//! holds the two together.

use serde::{Deserialize, Serialize};

use crate::id::Language;

macro_rules! texts {
    ($($(#[doc = $doc:literal])* $field:ident,)* ; $($(#[doc = $later_doc:literal])* $later:ident,)*) => {
        /// Every text of the user interface in one language, complete.
        ///
        /// Published notices hold it, so the set is part of [`FORMAT`](crate::notice::FORMAT): a text that came later may be missing in
        /// what was published before, and reads as empty there.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        pub struct Texts {
            $($(#[doc = $doc])* pub $field: String,)*
            $($(#[doc = $later_doc])* #[serde(default, skip_serializing_if = "String::is_empty")] pub $later: String,)*
        }

        /// Texts of the user interface that replace the built-in ones.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct TextOverrides {
            $($(#[doc = $doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<String>,)*
            $($(#[doc = $later_doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $later: Option<String>,)*
            /// How lifetimes are written.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub lifetimes: Option<LifetimeTexts>,
        }

        impl Texts {
            /// What differs from `base`, to replace it.
            pub(crate) fn overrides(&self, base: &Self) -> TextOverrides {
                let differs = |own: &String, base: &String| (own != base && !own.is_empty()).then(|| own.clone());
                TextOverrides {
                    $($field: differs(&self.$field, &base.$field),)*
                    $($later: differs(&self.$later, &base.$later),)*
                    lifetimes: None,
                }
            }

            /// Every text with its name, in the order of the fields.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
                [$((stringify!($field), self.$field.as_str()),)* $((stringify!($later), self.$later.as_str())),*].into_iter()
            }
        }

        impl TextOverrides {
            /// Every text with its name, in the order of the fields; `None` where there is none.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
                [$((stringify!($field), self.$field.as_deref()),)* $((stringify!($later), self.$later.as_deref())),*].into_iter()
            }

            /// These texts, and those of `base` where there is none.
            pub(crate) fn or(self, base: Self) -> Self {
                Self {
                    $($field: self.$field.or(base.$field),)*
                    $($later: self.$later.or(base.$later),)*
                    lifetimes: self.lifetimes.or(base.lifetimes),
                }
            }

            pub(crate) fn complete(&self, fill: impl Fn(&str) -> String) -> Texts {
                Texts {
                    $($field: fill(self.$field.as_deref().unwrap_or_default()),)*
                    $($later: fill(self.$later.as_deref().unwrap_or_default()),)*
                }
            }
        }
    };
}

texts! {
    /// Heading of the first layer.
    title,
    /// The short text of the first layer.
    intro,
    /// One sentence: the choice can be changed or withdrawn at any time.
    withdraw_hint,
    /// The link to the privacy policy.
    privacy_policy,
    /// The button that refuses what the first layer asks about.
    close,
    /// Its accessible name, which says that nothing optional is switched on.
    close_label,
    /// The button that opens the dialog.
    settings,
    /// The button that grants every optional category (preset `choice`).
    accept,
    /// The button that refuses every optional category (preset `choice`).
    reject,
    /// Heading of the dialog.
    settings_title,
    /// The text at the top of the dialog.
    settings_intro,
    /// The button that saves the switches as shown.
    save,
    /// The button that leaves the dialog and changes nothing.
    cancel,
    /// The button that shows the details of a category.
    details,
    /// The button that hides them.
    hide_details,
    /// Stands where a necessary category has no switch.
    always_on,
    /// The state of a switch.
    on,
    /// The state of a switch.
    off,
    /// The button that revokes everything and drops the stored choice.
    forget,
    /// What that button does.
    forget_hint,
    /// Confirms that it is done.
    forgotten,
    /// Label of the consent ID.
    consent_id,
    /// Stands in its place when there is none.
    no_consent_id,
    /// Label of the date of the choice.
    chosen_on,
    /// Label of the controller.
    controller,
    /// Label of a category's purpose.
    purpose,
    /// Label of the kinds of data.
    data,
    /// Label of who receives them.
    recipients,
    /// Label of how long they are kept.
    retention,
    /// Label of where they go outside the European Economic Area.
    transfers,
    /// Label of the services.
    services,
    /// Label of what they store.
    cookies,
    /// Column of the name.
    cookie_name,
    /// Column of the lifetime.
    cookie_lifetime,
    /// Column of the purpose.
    cookie_purpose,
    /// The control on every page that opens the layer again.
    reopen,
    /// Confirms that a choice is stored.
    saved,
    /// Says that an act failed and changed nothing.
    error,
    /// Says that the choice holds here and is sent later.
    retry_later,
    /// Says that the browser's signal was heard and what it does.
    signal_said,
    /// Says why a person is asked again.
    outdated,
    /// Stands where content of a refused category would be.
    placeholder_text,
    /// The button that shows it on this page view only.
    placeholder_once,
    /// The button that grants its category.
    placeholder_always,

    ; // Those that came later.
    /// Heading of what a newer notice has changed for this person.
    changed,
    /// Stands before the former text of a change.
    before,
    /// Stands before the present text of a change.
    now,
    /// The button that downloads the proof of the last choice.
    download_receipt,
    /// In a frame of another site, after a press that would grant: why it cannot be done there.
    frame_hint,
    /// The link from a page without scripts back to where the person came from.
    back,
    /// Label of the notice's number.
    version,
    /// The ground of a transfer: GDPR Art. 45.
    adequacy,
    /// The ground of a transfer: GDPR Art. 46(2)(c).
    standard_clauses,
    /// The ground of a transfer: GDPR Art. 47.
    binding_rules,
}

/// How a [`Lifetime`](crate::notice::Lifetime) is written in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifetimeTexts {
    /// Until the browser is closed.
    pub session: String,
    /// One day.
    pub day: String,
    /// Several days, with `{count}` for their number.
    pub days: String,
    /// Until it is deleted.
    pub kept: String,
}

/// The built-in texts of one language.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuiltIn {
    /// Whether somebody who speaks the language and knows the law has read them.
    pub(crate) reviewed: bool,
    pub(crate) common: TextOverrides,
    pub(crate) notice: TextOverrides,
    pub(crate) choice: TextOverrides,
    pub(crate) notice_id_for_refusals: TextOverrides,
    pub(crate) choice_id_for_refusals: TextOverrides,
}

macro_rules! built_in {
    ($($language:literal)*) => {
        /// The languages that have built-in texts. Others need all of theirs in the draft.
        pub const BUILT_IN_LANGUAGES: &[&str] = &[$($language),*];
        const FILES: &[&str] = &[$(include_str!(concat!("../texts/", $language, ".json"))),*];
    };
}
// The official languages of the European Union, then those of its neighbours and of people who live in it.
built_in! {
    "bg" "cs" "da" "de" "el" "en" "es" "et" "fi" "fr" "ga" "hr" "hu" "it" "lt" "lv" "mt" "nl" "pl" "pt" "ro" "sk" "sl" "sv"
    "no" "is" "uk" "tr" "ar"
}

impl BuiltIn {
    /// The texts for a language, or for its primary language: `de-AT` reads `de`, both written forms of Norwegian read `no`.
    pub(crate) fn find(language: &Language) -> Option<Self> {
        let wanted = match primary(language) {
            "nb" | "nn" => "no",
            other => other,
        };
        let at = BUILT_IN_LANGUAGES.iter().position(|language| *language == wanted)?;
        Some(serde_json::from_str(FILES[at]).expect("a test reads every file of built-in texts"))
    }
}

/// The language without its subtags.
pub fn primary(language: &Language) -> &str {
    language.as_str().split_once('-').map_or(language.as_str(), |(primary, _)| primary)
}

/// Whether a language is written from right to left.
pub fn right_to_left(language: &Language) -> bool {
    matches!(primary(language), "ar" | "fa" | "he" | "ps" | "ug" | "ur" | "yi")
}
