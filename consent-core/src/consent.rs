//! The consent that holds: a fold over the records of one subject at one site.
//!
//! [`Consent::apply`] takes one record more, [`Consent::view`] says what holds at a time. Both sides run them: the server over
//! what its log holds, the browser over its cookie and what it has not yet been able to send.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::decision::{Layer, Method, text_enum};
use crate::id::{CategoryId, ChoiceId, Name, RecordId, sort};
use crate::outline::{CategoryOutline, Outline};
use crate::time::{AHEAD_AFTER, UnixMillis};

text_enum! {
    /// What a record did to the consent of its subject.
    Effect {
        /// It holds: grants and refusals alike.
        Applied = "applied",
        /// Its grants came too late to count: something was recorded that its browser did not know of, or the subject was
        /// forgotten. Its refusals count all the same.
        Stale = "stale",
        /// It granted for one page view only.
        Once = "once",
        /// It was taken over from an earlier system without the text that the person was shown: it is kept and grants nothing.
        /// Its refusals count all the same.
        Unproven = "unproven",
    }
}

text_enum! {
    /// How the consent of a subject stands.
    Status {
        /// Nothing was ever decided, or the subject was erased.
        None = "none",
        /// Every optional category has an answer that holds.
        Valid = "valid",
        /// An answer is older than the site lets it hold.
        Expired = "expired",
        /// A category has no answer to the notice in force: it is asked again.
        Outdated = "outdated",
        /// The subject pressed "Forget my settings". Nothing is granted for it any more, whatever comes.
        Forgotten = "forgotten",
    }
}

/// How much of a category is granted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Granted {
    /// Nothing of it.
    Nothing,
    /// Only these services, sorted.
    Services(Vec<Name>),
    /// All services that its notice version listed.
    Whole,
}

impl Granted {
    /// How sorted ids grant a category.
    pub fn of(ids: &[ChoiceId], category: &str) -> Self {
        let mut services = Vec::new();
        for id in ids.iter().filter(|id| id.category() == category) {
            match id.service().map(Name::parse) {
                None => return Self::Whole,
                Some(Ok(service)) => services.push(service),
                Some(Err(_)) => {}
            }
        }
        if services.is_empty() { Self::Nothing } else { Self::Services(services) }
    }
}

/// The answer to one category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Which category.
    pub category: CategoryId,
    /// The answer.
    pub granted: Granted,
    /// Since when: the earlier of the claimed and the recorded time, so that no clock can extend validity.
    pub at: UnixMillis,
    /// The notice version that was answered.
    pub notice: u32,
    /// The banner had said that a signal was on.
    pub said: bool,
    /// An act of choice, not *close* or a signal: those speak for their own device only.
    pub explicit: bool,
}

/// The latest record of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// Its id: what the next grant must name as `prev`.
    pub id: RecordId,
    /// When it was recorded.
    pub recorded_at: UnixMillis,
    /// It did not name the latest record before it, so its browser had not seen everything, and neither had whatever that
    /// browser queued behind it.
    pub detached: bool,
}

/// What one record says to the fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The record's id.
    pub id: RecordId,
    /// The last decision that its browser knew for this subject.
    pub prev: Option<RecordId>,
    /// By which act.
    pub method: Method,
    /// Where.
    pub layer: Layer,
    /// What it grants.
    pub granted: Vec<ChoiceId>,
    /// What it refuses.
    pub denied: Vec<ChoiceId>,
    /// The notice version that was shown.
    pub notice: u32,
    /// When, by the clock of who decided.
    pub decided_at: UnixMillis,
    /// When, by the clock of the log.
    pub recorded_at: UnixMillis,
    /// The banner had said that a signal was on.
    pub said: bool,
    /// Made by the controller's key on the person's behalf.
    pub on_behalf: bool,
}

impl Act {
    /// Hands out what it answers, each category as a whole: what it grants if that counts, else that it is refused.
    pub(crate) fn answers(&self, counts: bool, mut each: impl FnMut(Choice)) {
        let granted: &[ChoiceId] = if counts { &self.granted } else { &[] };
        // Two services of one category name it twice, and answer it twice alike.
        for category in granted.iter().chain(&self.denied).map(ChoiceId::category) {
            let Ok(category) = Name::parse(category) else { continue };
            each(Choice {
                granted: Granted::of(granted, category.as_str()),
                at: self.decided_at.min(self.recorded_at),
                notice: self.notice,
                said: self.said,
                explicit: !matches!(self.method, Method::Close | Method::Signal),
                category,
            });
        }
    }

    /// What of its grants held once it was recorded, under the notice in force then: nothing of a stale or one-time grant, nor of an
    /// answer that was outdated or too old when it came.
    #[cfg(feature = "evidence")]
    pub fn held(&self, effect: Effect, outline: &Outline) -> Vec<ChoiceId> {
        if effect != Effect::Applied {
            return Vec::new();
        }
        let mut consent = Consent::default();
        consent.answer(self, true);
        let view = consent.view(outline, self.recorded_at, false);
        self.granted.iter().filter(|choice| view.granted(choice)).cloned().collect()
    }
}

/// The consent of one subject at one site.
///
/// The default is that of a subject nobody has heard of: necessary granted, all else denied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consent {
    /// The latest record.
    pub last: Option<Last>,
    /// "Forget my settings" was pressed. Final.
    pub forgotten: bool,
    /// Something was granted at some time; until then its visitor carries no identifier.
    pub identified: bool,
    /// The answers, one for each category that was ever answered, sorted by category.
    pub choices: Vec<Choice>,
}

impl Consent {
    /// Folds records in the order of the log. A record id that was seen before is the same record and changes nothing.
    pub fn fold<'a>(acts: impl IntoIterator<Item = &'a Act>) -> Self {
        let mut consent = Self::default();
        let mut seen = BTreeSet::new();
        for act in acts {
            if seen.insert(act.id) {
                consent.apply(act);
            }
        }
        consent
    }

    /// Takes one record more and says what it did. The caller sees to it that no id comes twice (the store by a constraint).
    ///
    /// A grant counts only if nothing was recorded that its browser did not know of; a refusal, revoke or forget always counts.
    pub fn apply(&mut self, act: &Act) -> Effect {
        let attached = self.is_attached(act);
        let grants = !act.granted.is_empty();
        let counts = grants && attached;
        self.last = Some(Last { id: act.id, recorded_at: act.recorded_at, detached: !attached });

        if act.method == Method::Forget {
            self.forgotten = true;
            self.choices.clear();
        }
        if self.forgotten {
            return if grants { Effect::Stale } else { Effect::Applied };
        }
        if act.layer == Layer::Placeholder {
            return if counts { Effect::Once } else { Effect::Stale };
        }
        self.answer(act, counts);
        if grants && !counts { Effect::Stale } else { Effect::Applied }
    }

    /// Whether whoever made this decision knew of everything recorded for the subject.
    ///
    /// After a record that itself had not seen everything, naming it is not enough: a browser that was offline queues its
    /// decisions one behind the other, and none of them knows what was revoked elsewhere meanwhile. Only a decision made after
    /// that record had its answer can. Who acts on a person's behalf names no `prev`; it must be later than all that is recorded.
    fn is_attached(&self, act: &Act) -> bool {
        match (self.last, act.prev) {
            (None, prev) => prev.is_none(),
            (Some(last), Some(prev)) => prev == last.id && (!last.detached || act.decided_at >= last.recorded_at),
            (Some(last), None) => act.on_behalf && act.decided_at >= last.recorded_at,
        }
    }

    /// Writes the answers of an act.
    fn answer(&mut self, act: &Act, counts: bool) {
        self.identified |= counts;
        act.answers(counts, |choice| self.put(choice));
    }

    /// Writes the answer to a category in the place of an earlier one, or where it belongs by its name.
    pub(crate) fn put(&mut self, choice: Choice) {
        let at = self.choices.iter().position(|c| c.category >= choice.category).unwrap_or(self.choices.len());
        match self.choices.get_mut(at) {
            Some(earlier) if earlier.category == choice.category => *earlier = choice,
            _ => self.choices.insert(at, choice),
        }
    }

    /// The answer to a category, whether or not it still holds.
    pub fn choice(&self, category: &str) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.category.as_str() == category)
    }

    /// What holds at `now` under the notice in force, while the browser sends a signal or not. See [`View`].
    pub fn view<'a>(&'a self, outline: &'a Outline, now: UnixMillis, signal: bool) -> View<'a> {
        View { consent: self, outline, now, signal }
    }
}

impl Choice {
    fn expires_at(&self, outline: &Outline) -> UnixMillis {
        self.at.plus_days(outline.renew_after_days)
    }
}

/// Why an answer to a notice version, given at a time, does not hold for a category any more.
#[inline]
pub(crate) fn lapsed(
    notice: u32,
    at: UnixMillis,
    category: &CategoryOutline,
    outline: &Outline,
    now: UnixMillis,
) -> Option<Open> {
    // An answer to a version newer than the one in force cannot be judged: as if absent.
    if notice < category.since || notice > outline.version {
        Some(Open::Outdated)
    } else if at.plus_days(outline.renew_after_days) <= now || at.millis() > now.millis().saturating_add(AHEAD_AFTER) {
        Some(Open::Expired)
    } else {
        None
    }
}

/// What holds for a subject: the consent that was folded, the notice in force, a time, and the browser's signal.
///
/// Everything that is not known to be granted reads as denied.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    consent: &'a Consent,
    outline: &'a Outline,
    now: UnixMillis,
    signal: bool,
}

/// Why a category must be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Open {
    Unanswered,
    Expired,
    Outdated,
}

impl<'a> View<'a> {
    /// How the consent stands.
    pub fn status(&self) -> Status {
        if self.consent.forgotten {
            return Status::Forgotten;
        }
        if self.consent.choices.is_empty() {
            return Status::None;
        }
        let mut status = Status::Valid;
        for category in self.outline.optional() {
            match self.why_open(category) {
                Some(Open::Expired) => return Status::Expired,
                Some(_) => status = Status::Outdated,
                None => {}
            }
        }
        status
    }

    /// Whether this category, or this one service, may be used now.
    ///
    /// Unknown to the notice in force: no.
    pub fn granted(&self, choice: &ChoiceId) -> bool {
        let Some(category) = self.outline.listed(choice) else { return false };
        if category.necessary {
            return true;
        }
        let Some(answer) = self.holding(category) else { return false };
        match (&answer.granted, choice.service()) {
            (Granted::Whole, None) => true,
            (Granted::Whole, Some(service)) => category.service(service).is_some_and(|s| s.since <= answer.notice),
            (Granted::Services(services), Some(service)) => services.iter().any(|s| s.as_str() == service),
            (Granted::Services(_), None) | (Granted::Nothing, _) => false,
        }
    }

    /// The optional ids that are granted now, sorted: a category, or its services where only some are.
    pub fn granted_ids(&self) -> Vec<ChoiceId> {
        let mut ids = Vec::new();
        for category in self.outline.optional() {
            let whole = ChoiceId::from(&category.id);
            if self.granted(&whole) {
                ids.push(whole);
            } else {
                for service in &category.services {
                    let service = ChoiceId::service_of(&category.id, &service.id);
                    if self.granted(&service) {
                        ids.push(service);
                    }
                }
            }
        }
        sort(&mut ids);
        ids
    }

    /// The optional ids that are granted here and no longer `later`: what ended between the two. Where only a service of a category
    /// stays granted, the category is named.
    #[cfg(feature = "evidence")]
    pub fn ended(&self, later: &View<'_>) -> Vec<ChoiceId> {
        let mut ids = self.granted_ids();
        ids.retain(|id| !later.granted(id));
        ids
    }

    /// Whether an optional category has no answer that holds, so that a person has something to decide.
    pub fn open(&self, category: &str) -> bool {
        self.outline.category(category).is_some_and(|c| !c.necessary && self.why_open(c).is_some())
    }

    /// The categories that a first layer asks about: all of them for someone new, only the changed ones for who has chosen.
    pub fn asked(&self) -> impl Iterator<Item = &'a CategoryOutline> {
        let view = *self;
        self.outline.optional().filter(move |category| view.why_open(category).is_some())
    }

    /// The optional categories that a signal denies although they were granted, since the banner had not said that it was on.
    pub fn withheld(&self) -> impl Iterator<Item = &'a CategoryOutline> {
        let (view, consent) = (*self, self.consent);
        self.outline.optional().filter(move |category| {
            view.signal
                && category.signals
                && view.why_open(category).is_none()
                && consent.choice(category.id.as_str()).is_some_and(|c| !c.said && c.granted != Granted::Nothing)
        })
    }

    /// When the latest answer was given: the earlier of its claimed and its recorded time.
    pub fn decided_at(&self) -> Option<UnixMillis> {
        self.consent.choices.iter().map(|choice| choice.at).max()
    }

    /// When the first of the answers ends to hold, were no new notice published.
    pub fn expires_at(&self) -> Option<UnixMillis> {
        let answered = self.outline.optional().filter_map(|category| self.consent.choice(category.id.as_str()));
        answered.map(|choice| choice.expires_at(self.outline)).min()
    }

    /// The notice version of the latest answer.
    pub fn notice(&self) -> Option<u32> {
        self.consent.choices.iter().map(|choice| choice.notice).max()
    }

    fn why_open(&self, category: &CategoryOutline) -> Option<Open> {
        if self.consent.forgotten {
            return Some(Open::Unanswered);
        }
        let Some(choice) = self.consent.choice(category.id.as_str()) else { return Some(Open::Unanswered) };
        lapsed(choice.notice, choice.at, category, self.outline, self.now)
    }

    /// The answer that holds for an optional category, if any does.
    fn holding(&self, category: &CategoryOutline) -> Option<&'a Choice> {
        if self.why_open(category).is_some() {
            return None;
        }
        let choice = self.consent.choice(category.id.as_str())?;
        if self.signal && category.signals && !choice.said { None } else { Some(choice) }
    }
}
