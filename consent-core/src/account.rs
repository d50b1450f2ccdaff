//! What holds for an account: in each category the answer that was made last on any of its devices.
//!
//! A device is a linked subject. [`Device`] keeps what its explicit acts say, [`merge`] makes one [`Consent`] of several, to be viewed
//! like that of a subject: an answer ends and becomes outdated in the same way.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::consent::{Act, Choice, Consent, Effect, Granted};
use crate::decision::{Layer, Method};
use crate::id::CategoryId;
use crate::outline::MAX_RENEW_AFTER_DAYS;
use crate::record::hmac;
use crate::time::UnixMillis;

/// An explicit answer of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer. Its `at` says when it was made.
    pub choice: Choice,
    /// When it was recorded, by the clock of the log: never earlier than `choice.at`.
    pub recorded_at: UnixMillis,
}

/// What one device says to its account.
///
/// *Close* and a signal speak for their own device only: they are not in here, and what they replaced there still is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// When "Forget my settings" was recorded, which is an answer for all devices and to every category.
    pub forgotten_at: Option<UnixMillis>,
    /// The latest explicit answers, one for each category that was ever answered so, sorted by category.
    pub answers: Vec<Answer>,
}

impl Device {
    /// Folds the records of one subject in the order of the log. A record id that was seen before changes nothing.
    pub fn fold<'a>(acts: impl IntoIterator<Item = &'a Act>) -> Self {
        let (mut consent, mut device) = (Consent::default(), Self::default());
        let mut seen = BTreeSet::new();
        for act in acts {
            if seen.insert(act.id) {
                device.apply(act, consent.apply(act));
            }
        }
        device
    }

    /// Takes one record more, with what it did to the consent of its subject.
    pub fn apply(&mut self, act: &Act, effect: Effect) {
        if act.method == Method::Forget {
            self.answers.clear();
            self.forgotten_at = self.forgotten_at.max(Some(act.recorded_at));
            return;
        }
        if act.layer == Layer::Placeholder {
            return;
        }
        act.answers(effect == Effect::Applied, |choice| {
            if choice.explicit {
                self.put(Answer { choice, recorded_at: act.recorded_at });
            }
        });
    }

    fn put(&mut self, answer: Answer) {
        match self.answers.binary_search_by(|earlier| earlier.choice.category.cmp(&answer.choice.category)) {
            Ok(at) => self.answers[at] = answer,
            Err(at) => self.answers.insert(at, answer),
        }
    }

    /// Whether nothing that it says can matter at `now`, at any site.
    ///
    /// An answer holds for at most [`MAX_RENEW_AFTER_DAYS`]. A refusal older than that refuses only grants that were made before it,
    /// which have ended by themselves. Its cookie has ended as well, so that its browser will not act for this subject again.
    pub fn is_spent(&self, now: UnixMillis) -> bool {
        let recorded = self.answers.iter().map(|answer| answer.recorded_at).chain(self.forgotten_at);
        recorded.max().is_none_or(|last| last.plus_days(MAX_RENEW_AFTER_DAYS) <= now)
    }
}

/// The consent of an account with these devices, in any order.
///
/// In each category holds the answer that was made last, less what any device refuses that was recorded since that answer was made.
/// So a grant made on Monday by a device that was offline until Wednesday does not undo the refusal of another one on Tuesday; only
/// a grant made after it does. A device that forgot refuses everything answered until then, and unlike for its own subject that is not
/// final: the person may grant again on another device. `forgotten` says that nothing was answered since.
pub fn merge<'a>(devices: impl IntoIterator<Item = &'a Device>) -> Consent {
    let mut forgotten_at = None;
    let mut answers: BTreeMap<&CategoryId, Vec<&Answer>> = BTreeMap::new();
    for device in devices {
        forgotten_at = forgotten_at.max(device.forgotten_at);
        for answer in &device.answers {
            answers.entry(&answer.choice.category).or_default().push(answer);
        }
    }
    let mut consent = Consent::default();
    for answers in answers.into_values() {
        let Some(last) = last(&answers).filter(|last| forgotten_at.is_none_or(|at| at < last.choice.at)) else {
            continue;
        };
        let mut choice = last.choice.clone();
        for other in answers.into_iter().filter(|other| other.recorded_at >= last.choice.at) {
            choice.granted = less(choice.granted, &last.choice, &other.choice);
        }
        consent.identified |= choice.granted != Granted::Nothing;
        consent.put(choice);
    }
    consent.forgotten = forgotten_at.is_some() && consent.choices.is_empty();
    consent
}

/// The answer made last. Of several made in the same moment, the one to the oldest notice; what they grant is intersected anyhow.
fn last<'a>(answers: &[&'a Answer]) -> Option<&'a Answer> {
    fn key(choice: &Choice) -> (UnixMillis, Reverse<u32>, Reverse<bool>, &Granted) {
        (choice.at, Reverse(choice.notice), Reverse(choice.said), &choice.granted)
    }
    answers.iter().copied().max_by(|a, b| key(&a.choice).cmp(&key(&b.choice)))
}

/// What is left of `granted` once another device's answer is taken into account. `last` is what was granted at first.
fn less(granted: Granted, last: &Choice, other: &Choice) -> Granted {
    match (granted, &other.granted) {
        (granted, Granted::Whole) => granted,
        (Granted::Nothing, _) | (_, Granted::Nothing) => Granted::Nothing,
        // They may be services that the last answer was never asked about.
        (_, Granted::Services(_)) if last.granted == Granted::Whole && other.notice > last.notice => Granted::Nothing,
        (Granted::Whole, services) => services.clone(),
        (Granted::Services(mut services), Granted::Services(others)) => {
            services.retain(|service| others.contains(service));
            if services.is_empty() { Granted::Nothing } else { Granted::Services(services) }
        }
    }
}

/// The random key under which the account ids of one site are hashed. It never leaves the store.
#[derive(Clone, Copy)]
pub struct AccountKey(pub [u8; 32]);

impl core::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AccountKey(***)")
    }
}

impl AccountKey {
    /// The account as the store knows it: HMAC-SHA256 of its id, byte for byte.
    pub fn hash(&self, account: &str) -> [u8; 32] {
        hmac(&self.0, &[account.as_bytes()])
    }
}
