//! What a person chose in one act, and what of it may count.
//!
//! [`Decision::resolve`] is the one place that says which acts are allowed (rule 2 of "Core semantics") and what exactly each of
//! them answers. The browser runs it before anything is stored or sent, the server before anything is recorded.

use alloc::vec::Vec;
use core::fmt;

use crate::consent::{Consent, Granted};
use crate::id::{ChoiceId, RecordId, sort};
use crate::outline::{CategoryOutline, Outline};
use crate::time::UnixMillis;

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// All of them, in order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The value as it is written in JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The value of this text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[cfg(feature = "evidence")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(feature = "evidence")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::unknown_variant(&text, &[$($text),*]))
            }
        }
    };
}
pub(crate) use text_enum;

text_enum! {
    /// The act by which a decision was made.
    Method {
        /// "Accept all": every optional category of the notice.
        AcceptAll = "accept-all",
        /// "Reject all": none.
        RejectAll = "reject-all",
        /// Saved switches, or a grant in a placeholder.
        Save = "save",
        /// *Close* on a first layer that asks: a refusal of exactly what it asks about.
        Close = "close",
        /// "Forget my settings": revoke all, drop the cookie, for good.
        Forget = "forget",
        /// GPC or DNT appeared over an older grant.
        Signal = "signal",
        /// A program acting for the person. It may refuse and revoke, never grant.
        Agent = "agent",
        /// The controller, on the person's behalf, with a source.
        Api = "api",
    }
}

text_enum! {
    /// Where the act was made.
    Layer {
        /// The first layer of the banner.
        First = "first",
        /// The settings dialog.
        Settings = "settings",
        /// A placeholder in the page, for that page view only.
        Placeholder = "placeholder",
        /// None of them: a call from the page's script, a signal, the API.
        None = "none",
    }
}

text_enum! {
    /// The control that was used, as in `data-consent-action`.
    Control {
        /// "Accept all".
        Accept = "accept",
        /// "Reject all".
        Reject = "reject",
        /// "Close".
        Close = "close",
        /// "Save" in the settings, or a placeholder's button.
        Save = "save",
        /// "Forget my settings".
        Forget = "forget",
        /// A call of `window.consent`.
        Script = "script",
    }
}

text_enum! {
    /// How the controller learnt of a decision made elsewhere.
    Source {
        /// An own form.
        Form = "form",
        /// A telephone call.
        Phone = "phone",
        /// On paper.
        Paper = "paper",
        /// Taken over from an earlier system.
        Import = "import",
        /// Another program's call.
        Api = "api",
    }
}

/// The browser's signals at the time of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "evidence", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "evidence", serde(deny_unknown_fields, default))]
// In the order of their names: leaves are canonical JSON.
pub struct Signals {
    /// `DNT: 1`.
    pub dnt: bool,
    /// `Sec-GPC: 1`.
    pub gpc: bool,
    /// The banner said that a signal was on.
    pub said: bool,
}

impl Signals {
    /// A signal is on.
    pub const fn on(self) -> bool {
        self.gpc || self.dnt
    }
}

/// A decision as it was claimed, before anything of it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Chosen by who decides, so that sending it twice is one record.
    pub id: RecordId,
    /// The last decision that its browser knew for this subject.
    pub prev: Option<RecordId>,
    /// By which act.
    pub method: Method,
    /// Where.
    pub layer: Layer,
    /// What is granted, as claimed.
    pub granted: Vec<ChoiceId>,
    /// When, by the clock of who decided.
    pub decided_at: UnixMillis,
    /// The browser's signals.
    pub signals: Signals,
    /// Made by the controller's key on the person's behalf.
    pub on_behalf: bool,
}

/// Why a decision is refused. Nothing of it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecisionError {
    /// The notice version does not list this.
    Unknown(ChoiceId),
    /// This act never grants.
    NeverGrants(Method),
    /// "Accept all" means every optional category of the notice, no more and no less.
    NotAll,
    /// An agent may keep what holds, refuse and revoke, never grant.
    AgentGrants(ChoiceId),
    /// This act cannot be made on this layer.
    Layer(Method, Layer),
    /// A placeholder that grants nothing was closed, and closing records nothing.
    EmptyPlaceholder,
    /// `api` is for decisions made on a person's behalf only; `close`, `signal` and `agent` are not.
    OnBehalf(Method),
    /// Said to be granted and to be refused.
    #[cfg(feature = "evidence")]
    Both(ChoiceId),
}

impl fmt::Display for DecisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(choice) => write!(f, "\"{choice}\" is not in this notice version"),
            Self::NeverGrants(method) => write!(f, "method {method} never grants: granted must be empty"),
            Self::NotAll => f.write_str(
                "method accept-all grants every optional category of the notice: granted must name exactly those",
            ),
            Self::AgentGrants(choice) => {
                write!(f, "method agent may refuse and revoke, never grant: \"{choice}\" does not hold like this now")
            }
            #[cfg(feature = "evidence")]
            Self::Both(choice) => write!(f, "\"{choice}\" is both granted and refused"),
            Self::Layer(method, layer) => write!(f, "method {method} cannot be made on layer {layer}"),
            Self::EmptyPlaceholder => f.write_str("a placeholder that grants nothing records nothing"),
            Self::OnBehalf(method) => write!(
                f,
                "method {method} does not fit who sends it: api needs a key, close, signal and agent a browser"
            ),
        }
    }
}

impl core::error::Error for DecisionError {}

impl Source {
    /// Whether a grant learnt like this can count. What an earlier system recorded counts only with the text that the person was
    /// shown: without it nobody can say what was consented to. A refusal counts in any case.
    ///
    /// # Standards
    /// GDPR Art. 4(11), 7(1); EDPB Guidelines 05/2020 section 5.1.
    pub const fn can_grant(self, shown: bool) -> bool {
        shown || !matches!(self, Self::Import)
    }
}

/// What a decision answers: ids sorted, necessary ones left out, a service left out where its category is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// What is granted.
    pub granted: Vec<ChoiceId>,
    /// What was asked and is not granted.
    pub denied: Vec<ChoiceId>,
}

impl Answer {
    /// Leaves only the refusals that were really given: what an earlier system never asked about has no answer, and is asked.
    ///
    /// `refused` names categories or services; a category of which anything is granted was asked about as a whole.
    ///
    /// # Errors
    /// [`DecisionError::Unknown`] for an id that the notice version does not list, [`DecisionError::Both`] for one that is granted too.
    #[cfg(feature = "evidence")]
    pub fn refuse_only(&mut self, refused: &[ChoiceId], outline: &Outline) -> Result<(), DecisionError> {
        for choice in refused {
            if outline.listed(choice).is_none() {
                return Err(DecisionError::Unknown(choice.clone()));
            }
            let whole = |granted: &ChoiceId| granted.service().is_none() && granted.as_str() == choice.category();
            if self.granted.iter().any(|granted| granted == choice || whole(granted)) {
                return Err(DecisionError::Both(choice.clone()));
            }
        }
        let granted = &self.granted;
        self.denied.retain(|denied| {
            let category = denied.category();
            refused.iter().chain(granted).any(|choice| choice.category() == category)
        });
        Ok(())
    }
}

impl Decision {
    /// What this decision answers, on the notice version `outline`, by a person for whom `held` holds at `now`.
    ///
    /// A necessary category in `granted` is ignored; one marked for signals is refused while a signal is on that was not said. What the act does not ask about is in neither list and keeps its answer and
    /// date: *close*, and switches saved on a first layer that asks again about some categories only, touch just those.
    ///
    /// # Errors
    /// [`DecisionError`] for an unknown id and for every pair that rule 2 forbids.
    ///
    /// # Standards
    /// GDPR Art. 4(11), Art. 7(1); `R-4.11-active`, `R-UI-close`.
    pub fn resolve(&self, outline: &Outline, held: &Consent, now: UnixMillis) -> Result<Answer, DecisionError> {
        let mut granted = self.normalized(outline)?;
        self.check_act(&granted, outline)?;
        if self.signals.on() && !self.signals.said {
            // The person was not told that their browser asks for the opposite: no grant against it (rule 5).
            granted.retain(|choice| outline.listed(choice).is_some_and(|category| !category.signals));
        }
        let view = held.view(outline, now, false);
        let mut answer = Answer::default();
        if self.layer == Layer::Placeholder && granted.is_empty() {
            return Err(DecisionError::EmptyPlaceholder);
        }
        if self.layer == Layer::Placeholder {
            answer.granted = granted;
            return Ok(answer);
        }
        for category in outline.optional() {
            let wanted = Granted::of(&granted, category.id.as_str());
            let holds = held.choice(category.id.as_str());
            let open = view.open(category.id.as_str());
            let keeps = || !open && holds.is_some_and(|choice| choice.granted == wanted);
            let asked = match self.method {
                Method::AcceptAll | Method::RejectAll | Method::Forget | Method::Api => true,
                Method::Save => self.layer != Layer::First || !keeps(),
                Method::Close => open,
                // A category that was granted after the banner said that the signal was on stays granted.
                Method::Signal => category.signals && !holds.is_some_and(|c| c.said && c.granted != Granted::Nothing),
                Method::Agent => {
                    if wanted != Granted::Nothing && !keeps() {
                        return Err(DecisionError::AgentGrants(ChoiceId::from(&category.id)));
                    }
                    wanted == Granted::Nothing
                }
            };
            if asked {
                answer_category(&mut answer, category, &wanted);
            }
        }
        sort(&mut answer.granted);
        sort(&mut answer.denied);
        Ok(answer)
    }

    /// What is granted, without necessary ids, doubles and services whose category is granted whole.
    fn normalized(&self, outline: &Outline) -> Result<Vec<ChoiceId>, DecisionError> {
        let mut granted: Vec<ChoiceId> = Vec::new();
        for choice in &self.granted {
            let Some(category) = outline.listed(choice) else { return Err(DecisionError::Unknown(choice.clone())) };
            let in_whole = choice.service().is_some() && self.granted.iter().any(|c| c.as_str() == choice.category());
            if !category.necessary && !in_whole && !granted.contains(choice) {
                granted.push(choice.clone());
            }
        }
        sort(&mut granted);
        Ok(granted)
    }

    fn check_act(&self, granted: &[ChoiceId], outline: &Outline) -> Result<(), DecisionError> {
        let (method, layer) = (self.method, self.layer);
        // What only a browser can report cannot be said by somebody else; and "api" is somebody else by its name.
        let fits = match method {
            Method::Api => self.on_behalf,
            Method::Close | Method::Signal | Method::Agent => !self.on_behalf,
            Method::AcceptAll | Method::RejectAll | Method::Save | Method::Forget => true,
        };
        if !fits {
            return Err(DecisionError::OnBehalf(method));
        }
        if matches!(method, Method::Close | Method::RejectAll | Method::Forget | Method::Signal) && !granted.is_empty()
        {
            return Err(DecisionError::NeverGrants(method));
        }
        let fits = match method {
            // Closing anything else than a first layer that asks records nothing, so there is nothing to send.
            Method::Close => layer == Layer::First,
            Method::Signal | Method::Agent | Method::Api => layer == Layer::None,
            Method::Save => true,
            Method::AcceptAll | Method::RejectAll | Method::Forget => layer != Layer::Placeholder,
        };
        if !fits {
            return Err(DecisionError::Layer(method, layer));
        }
        if method == Method::AcceptAll {
            let is_there = |category: &CategoryOutline| granted.iter().any(|c| c.as_str() == category.id.as_str());
            // As many as there are, and each of them: exactly those.
            if granted.len() != outline.optional().count() || !outline.optional().all(is_there) {
                return Err(DecisionError::NotAll);
            }
        }
        Ok(())
    }
}

fn answer_category(answer: &mut Answer, category: &CategoryOutline, wanted: &Granted) {
    match wanted {
        Granted::Nothing => answer.denied.push(ChoiceId::from(&category.id)),
        Granted::Whole => answer.granted.push(ChoiceId::from(&category.id)),
        Granted::Services(services) => {
            for service in &category.services {
                let choice = ChoiceId::service_of(&category.id, &service.id);
                if services.contains(&service.id) { answer.granted.push(choice) } else { answer.denied.push(choice) }
            }
        }
    }
}

#[cfg(all(test, feature = "evidence"))]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn what_was_never_asked_has_no_answer() {
        let ids = |ids: &[&str]| ids.iter().map(|id| ChoiceId::parse(id).unwrap()).collect::<Vec<_>>();
        let outline = Outline::builder(1)
            .necessary("functional")
            .optional("statistics")
            .service("counter", 1)
            .service("heatmap", 1)
            .optional("marketing")
            .optional("maps")
            .build()
            .unwrap();
        let answer = || Answer {
            granted: ids(&["statistics:counter"]),
            denied: ids(&["maps", "marketing", "statistics:heatmap"]),
        };
        for (refused, want) in [
            (vec![], Ok(ids(&["statistics:heatmap"]))),
            (ids(&["marketing"]), Ok(ids(&["marketing", "statistics:heatmap"]))),
            (ids(&["statistics:heatmap"]), Ok(ids(&["statistics:heatmap"]))),
            (ids(&["functional"]), Ok(ids(&["statistics:heatmap"]))),
            (ids(&["video"]), Err(DecisionError::Unknown(ids(&["video"]).remove(0)))),
            (ids(&["statistics:counter"]), Err(DecisionError::Both(ids(&["statistics:counter"]).remove(0)))),
        ] {
            let mut answer = answer();
            assert_eq!(answer.refuse_only(&refused, &outline).map(|()| answer.denied), want, "{refused:?}");
        }
        let mut whole = Answer { granted: ids(&["statistics"]), denied: vec![] };
        assert!(whole.refuse_only(&ids(&["statistics:counter"]), &outline).is_err(), "granted with its category");
    }
}
