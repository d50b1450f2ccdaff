//! The rules of the design's "Core semantics", each as a property over arbitrary histories: late, repeated, reordered and stale
//! decisions on several notice versions, by every method, with odd clocks.

use consent_core::consent::{Act, Consent, Effect, Status};
use consent_core::cookie::{Cookie, CookieRef, Found, find};
use consent_core::decision::{Answer, Decision, DecisionError, Layer, Method, Signals};
use consent_core::id::{ChoiceId, RecordId, SubjectId};
use consent_core::outline::Outline;
use consent_core::time::{DAY, UnixMillis};
use proptest::prelude::*;

const VERSIONS: u32 = 3;
const DAYS: u16 = 180;
const T0: i64 = 1_700_000_000_000;
const IDS: [&str; 8] = [
    "functional",
    "statistics",
    "statistics:counter",
    "statistics:heatmap",
    "marketing",
    "marketing:ads",
    "media",
    "unknown",
];

/// Version 2 is material for statistics, version 3 adds the category media and the service heatmap.
fn outline(version: u32) -> Outline {
    let mut builder = Outline::builder(version)
        .renew_after_days(DAYS)
        .category("functional", true, false, 1)
        .category("statistics", false, false, if version >= 2 { 2 } else { 1 })
        .service("counter", 1);
    if version >= 3 {
        builder = builder.service("heatmap", 3);
    }
    builder = builder.category("marketing", false, true, 1).service("ads", 1);
    if version >= 3 {
        builder = builder.category("media", false, true, 3);
    }
    builder.build().unwrap()
}

fn choice(text: &str) -> ChoiceId {
    ChoiceId::parse(text).unwrap()
}

fn record(n: u8) -> RecordId {
    RecordId::from_random([n; 16])
}

/// One decision of a history, as small numbers.
#[derive(Debug, Clone)]
struct Step {
    id: u8,
    prev: Option<u8>,
    /// Name the latest record instead of `prev`: without this, grants would hardly ever count.
    attached: bool,
    method: Method,
    layer: Layer,
    granted: Vec<usize>,
    all: bool,
    version: u32,
    claimed: i64,
    recorded: i64,
    said: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let time = prop_oneof![5 => -3_600_000..3_600_000i64, 1 => -400 * DAY..400 * DAY];
    (
        (0..12u8, proptest::option::of(0..12u8), proptest::bool::weighted(0.7)),
        (proptest::sample::select(Method::ALL), proptest::sample::select(Layer::ALL)),
        (proptest::collection::vec(0..IDS.len(), 0..4), any::<bool>(), 1..=VERSIONS),
        (time, prop_oneof![0..7_200_000i64, 0..90 * DAY], any::<bool>()),
    )
        .prop_map(|((id, prev, attached), (method, layer), (granted, all, version), (claimed, recorded, said))| {
            Step { id, prev, attached, method, layer, granted, all, version, claimed, recorded, said }
        })
}

impl Step {
    fn decision(&self, held: &Consent, recorded_at: i64) -> Decision {
        let outline = outline(self.version);
        let all = || outline.optional().map(|c| ChoiceId::from(&c.id)).collect();
        let never = matches!(self.method, Method::Close | Method::RejectAll | Method::Forget | Method::Signal);
        Decision {
            id: record(self.id),
            prev: if self.attached { held.last.map(|last| last.id) } else { self.prev.map(record) },
            method: self.method,
            layer: match self.method {
                Method::Close => Layer::First,
                Method::Signal | Method::Agent | Method::Api => Layer::None,
                _ => self.layer,
            },
            granted: if never {
                Vec::new()
            } else if self.all || self.method == Method::AcceptAll {
                all()
            } else {
                self.granted.iter().map(|i| choice(IDS[*i])).filter(|c| outline.listed(c).is_some()).collect()
            },
            decided_at: UnixMillis::new(recorded_at + self.claimed),
            signals: Signals { gpc: self.said, dnt: false, said: self.said },
            on_behalf: self.method == Method::Api,
        }
    }
}

/// A decision that grants nothing, to be changed where a test needs another.
fn plain(id: u8, method: Method, layer: Layer, decided_at: UnixMillis) -> Decision {
    Decision {
        id: record(id),
        prev: None,
        method,
        layer,
        granted: vec![],
        decided_at,
        signals: Signals::default(),
        on_behalf: method == Method::Api,
    }
}

fn act(decision: &Decision, answer: Answer, version: u32, recorded_at: UnixMillis) -> Act {
    Act {
        id: decision.id,
        prev: decision.prev,
        method: decision.method,
        layer: decision.layer,
        granted: answer.granted,
        denied: answer.denied,
        notice: version,
        decided_at: decision.decided_at,
        recorded_at,
        said: decision.signals.said,
        on_behalf: decision.on_behalf,
    }
}

/// Runs the steps as the log would: what is refused is not recorded, what was recorded before is not recorded again.
fn history(steps: &[Step]) -> (Vec<Act>, Consent, UnixMillis) {
    let mut acts: Vec<Act> = Vec::new();
    let mut consent = Consent::default();
    let mut now = T0;
    for step in steps {
        now += step.recorded;
        let recorded_at = UnixMillis::new(now);
        let decision = step.decision(&consent, now);
        if acts.iter().any(|a| a.id == decision.id) {
            continue;
        }
        let Ok(answer) = decision.resolve(&outline(step.version), &consent, recorded_at) else { continue };
        let act = act(&decision, answer, step.version, recorded_at);
        consent.apply(&act);
        acts.push(act);
    }
    (acts, consent, UnixMillis::new(now))
}

fn grants(consent: &Consent, version: u32, now: UnixMillis, signal: bool) -> Vec<ChoiceId> {
    consent.view(&outline(version), now, signal).granted_ids()
}

/// The slow oracle: says from the whole log, category by category and without carrying a state, whether it is granted.
fn oracle(acts: &[Act], id: &str, version: u32, now: UnixMillis, signal: bool) -> bool {
    let outline = outline(version);
    let Some(category) = outline.category(id) else { return false };
    if category.necessary {
        return true;
    }
    if acts.iter().any(|a| a.method == Method::Forget) {
        return false;
    }
    // A record is attached if it names its predecessor and that one was, or had its answer before this was decided.
    let attached = |i: usize| -> bool {
        let mut detached = false;
        for (j, a) in acts.iter().enumerate().take(i + 1) {
            let is = match (j.checked_sub(1).map(|k| &acts[k]), a.prev) {
                (None, None) => true,
                (None, Some(_)) => false,
                (Some(before), Some(prev)) => before.id == prev && (!detached || a.decided_at >= before.recorded_at),
                (Some(before), None) => a.on_behalf && a.decided_at >= before.recorded_at,
            };
            detached = !is;
        }
        !detached
    };
    let latest = acts.iter().enumerate().rev().find(|(i, a)| {
        let mentions = |ids: &[ChoiceId]| ids.iter().any(|c| c.category() == id);
        a.layer != Layer::Placeholder && (mentions(&a.denied) || (mentions(&a.granted) && attached(*i)))
    });
    let Some((i, a)) = latest else { return false };
    let at = a.decided_at.min(a.recorded_at);
    a.granted.contains(&choice(id))
        && attached(i)
        && a.notice >= category.since
        && a.notice <= version
        && at.millis() + i64::from(DAYS) * DAY > now.millis()
        && (a.said || !signal || !category.signals)
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..most)
}

fn later() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0i64), 0..300 * DAY]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    /// Rule 1.
    #[test]
    fn before_any_decision_only_the_necessary_is_granted(
        id in "[a-z]{1,12}(:[a-z]{1,6})?", version in 1..=VERSIONS, now: i64, signal: bool,
    ) {
        let (consent, outline, now) = (Consent::default(), outline(version), UnixMillis::new(now));
        let view = consent.view(&outline, now, signal);
        prop_assert_eq!(view.status(), Status::None);
        prop_assert!(view.granted_ids().is_empty());
        prop_assert!(view.granted(&choice("functional")));
        prop_assert!(!view.granted(&choice(&id)) || id == "functional");
        prop_assert_eq!(view.asked().count(), outline.optional().count());
    }

    /// Rule 1: an unknown category is denied whatever was decided.
    #[test]
    fn unknown_is_denied(steps in steps(10), id in "[a-z]{1,12}:[a-z]{1,6}") {
        let (_, consent, now) = history(&steps);
        let outline = outline(3);
        let known = outline.listed(&choice(&id)).is_some();
        prop_assert!(known || !consent.view(&outline, now, false).granted(&choice(&id)));
    }

    /// Rule 1: what is unreadable is as if absent; what is readable is written back the same.
    #[test]
    fn a_cookie_is_read_exactly_or_not_at_all(
        value in "([0-9]{1,3}\\.|1\\.)[0-9]{0,3}\\.[0-9]{0,12}\\.(-|[A-Za-z0-9_-]{21,23})\\.[a-z~:-]{0,20}\\.[sx]?",
    ) {
        if let Ok(cookie) = Cookie::parse(&value) {
            let mut ids: Vec<_> = value.split('.').nth(4).unwrap().split('~').collect();
            ids.sort_unstable();
            let written = cookie.value();
            prop_assert_eq!(written.split('.').nth(4).unwrap(), ids.join("~"));
            prop_assert_eq!(Cookie::parse(&written), Ok(cookie));
        }
    }

    #[test]
    fn no_text_makes_the_cookie_parser_panic(value in ".{0,1200}", name in "[a-z]{1,8}") {
        let _ = Cookie::parse(&value);
        let _ = find(&value, &name);
    }

    /// Rule 2: the forbidden pairs, in any state and on any version.
    #[test]
    fn forbidden_pairs_are_refused(
        steps in steps(6), id in 1..7usize, version in 1..=VERSIONS, layer in proptest::sample::select(Layer::ALL),
    ) {
        let (_, consent, now) = history(&steps);
        let outline = outline(version);
        let id = choice(IDS[id]);
        prop_assume!(outline.listed(&id).is_some());
        for method in [Method::Close, Method::RejectAll, Method::Forget, Method::Signal] {
            let decision = Decision { granted: vec![id.clone()], ..plain(99, method, layer, now) };
            prop_assert_eq!(decision.resolve(&outline, &consent, now), Err(DecisionError::NeverGrants(method)));
        }
        let all = Decision { granted: vec![id.clone()], ..plain(99, Method::AcceptAll, Layer::First, now) };
        prop_assert_eq!(all.resolve(&outline, &consent, now), Err(DecisionError::NotAll));
        let agent = Decision { granted: vec![id.clone()], ..plain(99, Method::Agent, Layer::None, now) };
        match agent.resolve(&outline, &consent, now) {
            Err(error) => prop_assert!(matches!(error, DecisionError::AgentGrants(_))),
            // What an agent may name is what holds already, and it keeps its date.
            Ok(answer) => {
                prop_assert!(answer.granted.is_empty());
                prop_assert!(consent.view(&outline, now, false).granted(&id));
            }
        }
    }

    /// Rule 2: an agent's act never leaves more granted than before, nor for longer.
    #[test]
    fn an_agent_never_grants(steps in steps(8), agent in step(), later in later()) {
        let (_, mut consent, now) = history(&steps);
        let before = consent.clone();
        let version = agent.version;
        let decision =
            Step { method: Method::Agent, attached: true, id: 99, ..agent }.decision(&consent, now.millis());
        if let Ok(answer) = decision.resolve(&outline(version), &consent, now) {
            consent.apply(&act(&decision, answer, version, now));
            let at = UnixMillis::new(now.millis() + later);
            for id in grants(&consent, 3, at, false) {
                prop_assert!(before.view(&outline(3), at, false).granted(&id), "{id}");
            }
        }
    }

    /// Rule 3: refuse, revoke and forget always succeed, at any version, in any state, whatever they name as the one before.
    #[test]
    fn refusing_always_counts(
        steps in steps(10), version in 1..=VERSIONS, prev in proptest::option::of(0..20u8), claimed in -400 * DAY..400 * DAY,
        method in proptest::sample::select(&[Method::RejectAll, Method::Save, Method::Agent, Method::Forget][..]),
    ) {
        let (_, mut consent, now) = history(&steps);
        let layer = if method == Method::Agent { Layer::None } else { Layer::Settings };
        let decided_at = UnixMillis::new(now.millis() + claimed);
        let decision = Decision { prev: prev.map(record), ..plain(99, method, layer, decided_at) };
        let answer = decision.resolve(&outline(version), &consent, now).unwrap();
        prop_assert_eq!(consent.apply(&act(&decision, answer, version, now)), Effect::Applied);
        for id in grants(&consent, 3, now, false) {
            // Only what the version that was refused did not list can be left.
            prop_assert!(method != Method::Forget && outline(version).category(id.category()).is_none(), "{id}");
        }
    }

    /// Rule 4: nothing holds after `renew_after`, counted from the earlier of both times, and no claimed time extends that.
    #[test]
    fn a_grant_ends(steps in steps(10)) {
        let (acts, consent, now) = history(&steps);
        let end = acts.iter().map(|a| a.recorded_at.millis()).max().unwrap_or(T0) + i64::from(DAYS) * DAY;
        prop_assert!(grants(&consent, 3, UnixMillis::new(end), false).is_empty());
        let outline = outline(3);
        for c in &consent.choices {
            let ends = c.at.plus_days(DAYS);
            prop_assert!(!consent.view(&outline, ends, false).granted(&ChoiceId::from(&c.category)));
        }
        let view = consent.view(&outline, now, false);
        if view.status() == Status::Valid {
            prop_assert!(view.expires_at().unwrap() > now);
        }
    }

    /// Rule 4: an answer from the future holds for nobody who judges it before.
    #[test]
    fn a_cookie_from_the_future_does_not_hold(ahead in 301..400 * 86_400i64, now in 0..T0) {
        let outline = outline(1);
        let now = UnixMillis::new(now);
        let value = format!("1.1.{}.-.statistics.", now.seconds() + ahead);
        prop_assert!(!CookieRef::read(&value).unwrap().grants(&outline, &choice("statistics"), now, false));
        let cookie = Cookie::parse(&value).unwrap();
        prop_assert_eq!(Consent::from_cookie_only(&cookie, &outline).view(&outline, now, false).status(), Status::Expired);
    }

    /// Rule 4: a version that is material for a category closes it and asks it again; the others keep their answer and date.
    #[test]
    fn a_material_version_asks_again_only_for_its_categories(steps in steps(10)) {
        let (_, consent, now) = history(&steps);
        for version in 2..=VERSIONS {
            let (old, new) = (outline(version - 1), outline(version));
            for category in new.optional() {
                let id = ChoiceId::from(&category.id);
                let answer = consent.choice(category.id.as_str()).map_or(0, |c| c.notice);
                let granted = consent.view(&new, now, false).granted(&id);
                if category.since == version && answer < version {
                    prop_assert!(!granted);
                } else if category.since < version && answer < version {
                    prop_assert_eq!(granted, consent.view(&old, now, false).granted(&id));
                }
            }
        }
    }

    /// Rule 5: with a signal on, a marked category is granted only by an answer given after the banner said so; and no signal
    /// adds a grant.
    #[test]
    fn signals_only_take_away(steps in steps(10), version in 1..=VERSIONS) {
        let (_, consent, now) = history(&steps);
        let without = grants(&consent, version, now, false);
        for id in grants(&consent, version, now, true) {
            prop_assert!(without.contains(&id));
            let marked = outline(version).category(id.category()).unwrap().signals;
            prop_assert!(!marked || consent.choice(id.category()).unwrap().said);
        }
    }

    /// Rule 5: against a signal that the banner did not say, nothing marked is granted, by whatever act.
    #[test]
    fn an_unsaid_signal_is_never_a_grant(steps in steps(6), last in step(), gpc: bool, version in 1..=VERSIONS) {
        let (_, mut consent, now) = history(&steps);
        let shown = last.version;
        let mut decision = Step { id: 99, attached: true, ..last }.decision(&consent, now.millis());
        decision.signals = Signals { gpc, dnt: !gpc, said: false };
        let before = grants(&consent, version, now, false);
        if let Ok(answer) = decision.resolve(&outline(shown), &consent, now) {
            prop_assert!(answer.granted.iter().all(|id| !outline(shown).category(id.category()).unwrap().signals));
            consent.apply(&act(&decision, answer, shown, now));
            for id in grants(&consent, version, now, false) {
                let marked = outline(version).category(id.category()).unwrap().signals;
                prop_assert!(!marked || before.contains(&id), "{id}");
            }
        }
    }

    /// Rule 5: the page's record of a new signal refuses what was granted without it being said, and nothing else.
    #[test]
    fn a_signal_record_makes_backends_agree(steps in steps(10)) {
        let (_, mut consent, now) = history(&steps);
        let seen_by_the_page = grants(&consent, 3, now, true);
        let decision = plain(99, Method::Signal, Layer::None, now);
        let answer = decision.resolve(&outline(3), &consent, now).unwrap();
        consent.apply(&act(&decision, answer, 3, now));
        prop_assert_eq!(grants(&consent, 3, now, false), seen_by_the_page.clone());
        prop_assert_eq!(grants(&consent, 3, now, true), seen_by_the_page);
    }

    /// Rule 6: the same id twice is one record, whenever it comes again.
    #[test]
    fn a_repeated_record_changes_nothing(
        steps in steps(10), again in prop::collection::vec((0..10usize, 0..20usize), 1..6),
    ) {
        let (acts, consent, _) = history(&steps);
        let mut repeated = acts.clone();
        for (which, place) in again {
            if let Some(old) = acts.get(which) {
                let first = repeated.iter().position(|a| a.id == old.id).unwrap();
                let place = (first + 1 + place).min(repeated.len());
                repeated.insert(place, old.clone());
            }
        }
        prop_assert_eq!(Consent::fold(&repeated), consent.clone());
        prop_assert_eq!(Consent::fold(&acts), consent);
    }

    /// Rule 6: a grant that does not know the latest record grants nothing.
    #[test]
    fn a_late_grant_is_stale(steps in steps(10), late in step(), version in 1..=VERSIONS) {
        let (acts, mut consent, now) = history(&steps);
        prop_assume!(!acts.is_empty());
        let shown = late.version;
        let decision = Step { method: Method::Save, layer: Layer::Settings, attached: false, id: 99, ..late }
            .decision(&consent, now.millis());
        prop_assume!(decision.prev != consent.last.map(|last| last.id));
        let before = grants(&consent, version, now, false);
        if let Ok(answer) = decision.resolve(&outline(shown), &consent, now)
            && !answer.granted.is_empty()
        {
            prop_assert_eq!(consent.apply(&act(&decision, answer, shown, now)), Effect::Stale);
            for id in grants(&consent, version, now, false) {
                prop_assert!(before.contains(&id), "{id}");
            }
        }
    }

    /// Rule 6: whatever a browser queued before something was revoked elsewhere grants nothing when it is sent after it, however
    /// long the queue and whatever is in it.
    #[test]
    fn a_queue_from_before_a_revocation_grants_nothing(steps in steps(6), queue in steps(8), forget: bool) {
        let (_, mut consent, now) = history(&steps);
        let mut prev = consent.last.map(|last| last.id);
        let method = if forget { Method::Forget } else { Method::RejectAll };
        let revoke = Decision { prev, ..plain(200, method, Layer::Settings, now) };
        let at = UnixMillis::new(now.millis() + 10_000);
        let answer = revoke.resolve(&outline(3), &consent, at).unwrap();
        consent.apply(&act(&revoke, answer, 3, at));
        prop_assert!(grants(&consent, 3, at, false).is_empty());
        for (i, step) in (0u8..).zip(&queue) {
            let method = if step.method == Method::Api { Method::Save } else { step.method };
            let mut decision = Step { id: 100 + i, method, ..step.clone() }.decision(&consent, now.millis());
            // Decided before the revocation was recorded, each behind the one before.
            decision.prev = prev;
            decision.decided_at = UnixMillis::new(now.millis() + i64::from(i));
            let sent = UnixMillis::new(at.millis() + 1000 + i64::from(i));
            if let Ok(answer) = decision.resolve(&outline(step.version), &consent, sent) {
                consent.apply(&act(&decision, answer, step.version, sent));
            }
            prev = Some(decision.id);
            prop_assert!(grants(&consent, 3, sent, false).is_empty());
        }
    }

    /// Rule 6: forget is final.
    #[test]
    fn after_forget_nothing_is_granted(before in steps(6), template in step(), after in steps(8)) {
        let forget = Step { id: 50, attached: true, method: Method::Forget, layer: Layer::Settings, ..template };
        let all: Vec<Step> = before.into_iter().chain([forget]).chain(after).collect();
        let (_, consent, now) = history(&all);
        let outline = outline(3);
        prop_assert_eq!(consent.view(&outline, now, false).status(), Status::Forgotten);
        prop_assert!(grants(&consent, 3, now, false).is_empty());
        prop_assert!(consent.to_cookie(&outline, None, now).is_none());
    }

    /// All rules together: the fold agrees with an oracle that reads the whole log each time.
    #[test]
    fn the_fold_agrees_with_the_whole_log(steps in steps(14), version in 1..=VERSIONS, later in later(), signal: bool) {
        let (acts, consent, now) = history(&steps);
        let now = UnixMillis::new(now.millis() + later);
        let outline = outline(version);
        let view = consent.view(&outline, now, signal);
        for id in ["functional", "statistics", "marketing", "media", "nothing"] {
            prop_assert_eq!(view.granted(&choice(id)), oracle(&acts, id, version, now, signal), "{} {:#?}", id, acts);
        }
    }

    /// A cookie is what stands before the first `=` of what stands between two `;`, without the blanks around either side.
    #[test]
    fn cookies_are_found_by_their_exact_name(
        header in "([ab\t ]{0,3}[=; ]{0,2}){0,12}", name in prop_oneof![4 => "a|ab", 1 => "[ab=; ]{0,3}"],
    ) {
        let pairs = header.split(';').filter_map(|pair| pair.split_once('='));
        let mut values: Vec<&str> = pairs.filter(|(key, _)| key.trim_ascii() == name).map(|(_, value)| value.trim_ascii()).collect();
        values.dedup();
        let want = match values.as_slice() {
            [] => Found::Absent,
            [value] => Found::One(value),
            _ => Found::Differing,
        };
        prop_assert_eq!(find(&header, &name), want);
    }

    /// The cookie never says more than what holds, at no time, and says all of it once every category is answered.
    #[test]
    fn the_cookie_says_what_holds(
        steps in steps(12), version in 1..=VERSIONS, later in later(), signal: bool, subject: [u8; 16],
    ) {
        let (_, consent, now) = history(&steps);
        let outline = outline(version);
        let subject = consent.identified.then(|| SubjectId::from_random(subject));
        let Some(cookie) = consent.to_cookie(&outline, subject, now) else { return Ok(()) };
        let value = cookie.value();
        prop_assert_eq!(Cookie::parse(&value), Ok(cookie.clone()));
        // The answers do not depend on the order in which a cookie lists its ids.
        let turned: Vec<&str> = cookie.granted.iter().rev().map(ChoiceId::as_str).collect();
        let value = value.replace(&cookie.granted.iter().map(ChoiceId::as_str).collect::<Vec<_>>().join("~"), &turned.join("~"));
        prop_assert_eq!(Cookie::parse(&value), Ok(cookie.clone()));
        let unread = CookieRef::read(&value).unwrap();
        let at = UnixMillis::new(now.millis() + later);
        let read = Consent::from_cookie_only(&cookie, &outline);
        let said = read.view(&outline, at, signal).granted_ids();
        // Not only what it lists: a category stands for services, and must not for one that was never asked about.
        for id in IDS.map(choice) {
            let granted = consent.view(&outline, at, signal).granted(&id);
            prop_assert!(granted || !read.view(&outline, at, signal).granted(&id), "{id}: {cookie}");
            prop_assert_eq!(cookie.grants(&outline, &id, at, signal), read.view(&outline, at, signal).granted(&id));
            prop_assert_eq!(unread.grants(&outline, &id, at, signal), read.view(&outline, at, signal).granted(&id));
        }
        let first = &consent.choices[0];
        let alike = consent.choices.iter().all(|c| c.at == first.at && c.said == first.said);
        if consent.view(&outline, now, false).asked().next().is_none() && alike && later == 0 {
            prop_assert_eq!(said, consent.view(&outline, at, signal).granted_ids());
        }
    }
}

#[test]
fn a_close_refuses_just_what_was_asked() {
    let (one, three) = (outline(1), outline(3));
    let at = UnixMillis::new(T0);
    let mut consent = Consent::default();
    let both = vec![choice("marketing"), choice("statistics")];
    let all = Decision { granted: both, ..plain(1, Method::AcceptAll, Layer::First, at) };
    let answer = all.resolve(&one, &consent, at).unwrap();
    assert_eq!(consent.apply(&act(&all, answer, 1, at)), Effect::Applied);

    let later = UnixMillis::new(T0 + DAY);
    let view = consent.view(&three, later, false);
    assert_eq!(view.status(), Status::Outdated);
    assert_eq!(view.asked().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["statistics", "media"]);

    let close = Decision { prev: Some(record(1)), ..plain(2, Method::Close, Layer::First, later) };
    let answer = close.resolve(&three, &consent, later).unwrap();
    assert_eq!(answer, Answer { granted: vec![], denied: vec![choice("media"), choice("statistics")] });
    consent.apply(&act(&close, answer, 3, later));
    let view = consent.view(&three, later, false);
    assert_eq!(view.status(), Status::Valid);
    assert_eq!(view.granted_ids(), [choice("marketing")]);
    assert_eq!(consent.choice("marketing").unwrap().at, at, "it keeps its date");
    let cookie = consent.to_cookie(&three, None, later).unwrap();
    assert_eq!(cookie.value(), format!("1.3.{}.-.marketing.", T0 / 1000), "the cookie takes the older date");
}

#[test]
fn cookies_are_found_and_judged() {
    for (header, want) in [
        ("", Found::Absent),
        ("a=1; xconsent=2; consentx=3", Found::Absent),
        ("a=1; consent=1.1.1.-..; b=2", Found::One("1.1.1.-..")),
        ("consent=x;consent=x", Found::One("x")),
        ("consent=x; consent=y", Found::Differing),
        ("consent", Found::Absent),
    ] {
        assert_eq!(find(header, "consent"), want, "{header}");
    }
    for bad in [
        "",
        "1",
        "1.1.1.-.",
        "1.1.1.-..s.",
        "2.1.1.-..",
        "1.0.1.-..",
        "1.01.1.-..",
        "1.1.+1.-..",
        "1.1.1..a.",
        "1.1.1.-.a~.",
        "1.1.1.-.a~a.",
        "1.1.1.-.A.",
        "1.1.1.-..S",
        "1.1.1.-..ss",
        "1.4294967296.1.-..",
        "1.1.99999999999999999999.-..",
        "1.1.1.AAAAAAAAAAAAAAAAAAAAAA..",
        " 1.1.1.-..",
        "1.1.1.-.a b.",
    ] {
        assert!(Cookie::parse(bad).is_err(), "{bad}");
    }
    let long = format!("1.1.1.-.{}.", vec!["abcdefghijklmnopqrstuvwxyz01234"; 33].join("~"));
    assert!(long.len() > 1024 && Cookie::parse(&long).is_err());
}
