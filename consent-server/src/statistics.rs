//! Counts of decisions, day by day, from the log itself.

use std::collections::BTreeMap;

use consent_core::consent::Effect;
use consent_core::id::{ChoiceId, Language};
use consent_core::record::{Kind, Leaf};
use consent_core::time::{DAY, UnixMillis};
use serde::Serialize;
use utoipa::ToSchema;

/// How often a category or service was granted and denied.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Answers {
    /// Decisions that granted it. One that came too late to count, or is unproven, is not among them.
    pub granted: u64,
    /// Decisions that denied it.
    pub denied: u64,
}

/// What was decided on one day (UTC).
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Day {
    /// Its decisions.
    pub decisions: u64,
    /// Those of them whose grants came too late to count.
    pub stale: u64,
    /// Those of them that were taken over without what the person was shown, so that their grants do not count.
    pub unproven: u64,
    /// By the act.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub methods: BTreeMap<&'static str, u64>,
    /// By where it was made.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub layers: BTreeMap<&'static str, u64>,
    /// By the language of the texts.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub languages: BTreeMap<Language, u64>,
    /// What was answered for each category, and each service that was answered by itself.
    #[schema(value_type = BTreeMap<String, Answers>)]
    pub categories: BTreeMap<ChoiceId, Answers>,
}

/// Counts leaves. Its size depends on days, categories and languages, not on how many leaves there are.
#[derive(Debug, Default)]
pub struct Counts {
    days: BTreeMap<i64, Day>,
}

impl Counts {
    /// Counts a leaf, if it is a decision.
    pub fn add(&mut self, leaf: &Leaf) {
        if leaf.kind != Kind::Decision {
            return;
        }
        let day = self.days.entry(leaf.recorded_at.millis().div_euclid(DAY)).or_default();
        day.decisions += 1;
        let stale = leaf.effect == Some(Effect::Stale);
        day.stale += u64::from(stale);
        day.unproven += u64::from(leaf.effect == Some(Effect::Unproven));
        if let Some(method) = leaf.method {
            *day.methods.entry(method.as_str()).or_default() += 1;
        }
        if let Some(layer) = leaf.layer {
            *day.layers.entry(layer.as_str()).or_default() += 1;
        }
        if let Some(language) = &leaf.language {
            // Looked up first: most days have few languages, and a key is made once.
            match day.languages.get_mut(language) {
                Some(count) => *count += 1,
                None => drop(day.languages.insert(language.clone(), 1)),
            }
        }
        let Some(act) = leaf.act() else { return };
        for choice in act.granted.iter().filter(|_| !stale) {
            day.answers(choice).granted += 1;
        }
        for choice in &act.denied {
            day.answers(choice).denied += 1;
        }
    }

    /// The days that have decisions, as `2026-11-24`, in order.
    pub fn days(self) -> impl Iterator<Item = (String, Day)> {
        self.days.into_iter().map(|(number, day)| {
            let date = UnixMillis::new(number.saturating_mul(DAY)).to_string();
            (date.get(..10).unwrap_or_default().to_owned(), day)
        })
    }
}

impl Day {
    fn answers(&mut self, choice: &ChoiceId) -> &mut Answers {
        if !self.categories.contains_key(choice) {
            self.categories.insert(choice.clone(), Answers::default());
        }
        self.categories.get_mut(choice).expect("inserted above")
    }
}
