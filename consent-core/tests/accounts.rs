//! What holds for an account, as properties over the histories of several devices that share one log: late, stale and offline
//! decisions by every method.

use consent_core::account::{Device, merge};
use consent_core::consent::{Act, Consent, Effect, Status};
use consent_core::cookie::Cookie;
use consent_core::decision::{Layer, Method};
use consent_core::id::{ChoiceId, RecordId, SubjectId};
use consent_core::outline::Outline;
use consent_core::time::{DAY, UnixMillis};
use proptest::prelude::*;

const DEVICES: usize = 4;
const VERSIONS: u32 = 2;
const T0: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;
const CATEGORIES: [&str; 2] = ["marketing", "statistics"];

/// Version 2 adds the service heatmap, without being material for its category.
fn outline(version: u32) -> Outline {
    let builder =
        Outline::builder(version).category("functional", true, false, 1).category("statistics", false, false, 1);
    let builder = builder.service("counter", 1);
    let builder = if version >= 2 { builder.service("heatmap", 2) } else { builder };
    builder.category("marketing", false, true, 1).build().unwrap()
}

fn choice(text: &str) -> ChoiceId {
    ChoiceId::parse(text).unwrap()
}

fn grants(consent: &Consent, now: i64) -> Vec<ChoiceId> {
    consent.view(&outline(VERSIONS), UnixMillis::new(now), false).granted_ids()
}

/// One act of a history, as small numbers.
#[derive(Debug, Clone)]
struct Step {
    device: usize,
    method: Method,
    placeholder: bool,
    /// For each category: nothing, all, or one of two services.
    wanted: [u8; 2],
    notice: u32,
    attached: bool,
    /// Minutes since the step before.
    recorded: i64,
    /// Minutes from when it was recorded to when it was made, as claimed.
    claimed: i64,
}

fn step() -> impl Strategy<Value = Step> {
    (
        (0..DEVICES, proptest::sample::select(Method::ALL), proptest::bool::weighted(0.1)),
        (any::<[u8; 2]>(), 1..=VERSIONS, proptest::bool::weighted(0.8)),
        (1..600i64, prop_oneof![3 => -2..2i64, 1 => -3000..10i64]),
    )
        .prop_map(|((device, method, placeholder), (wanted, notice, attached), (recorded, claimed))| Step {
            device,
            method,
            placeholder,
            wanted,
            notice,
            attached,
            recorded,
            claimed,
        })
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..most)
}

/// Devices that share one log.
#[derive(Debug, Default, Clone)]
struct World {
    now: i64,
    count: u8,
    acts: [Vec<Act>; DEVICES],
    consents: [Consent; DEVICES],
    devices: [Device; DEVICES],
}

impl World {
    fn new() -> Self {
        Self { now: T0, ..Self::default() }
    }

    fn after(steps: &[Step]) -> Self {
        let mut world = Self::new();
        for step in steps {
            world.take(step);
        }
        world
    }

    fn take(&mut self, step: &Step) -> Effect {
        let (mut granted, mut denied) = (Vec::new(), Vec::new());
        let never = matches!(step.method, Method::Close | Method::RejectAll | Method::Forget | Method::Signal);
        for (category, wanted) in CATEGORIES.iter().zip(step.wanted) {
            match wanted % 4 {
                _ if never => denied.push(choice(category)),
                0 => denied.push(choice(category)),
                2 if *category == "statistics" => {
                    granted.push(choice("statistics:counter"));
                    denied.push(choice("statistics:heatmap"));
                }
                3 if *category == "statistics" => {
                    granted.push(choice("statistics:heatmap"));
                    denied.push(choice("statistics:counter"));
                }
                _ => granted.push(choice(category)),
            }
        }
        self.now += step.recorded * MINUTE;
        self.record(step, granted, denied, self.now + step.claimed * MINUTE)
    }

    fn record(&mut self, step: &Step, granted: Vec<ChoiceId>, denied: Vec<ChoiceId>, decided_at: i64) -> Effect {
        let consent = &mut self.consents[step.device];
        self.count += 1;
        let act = Act {
            id: RecordId::from_random([self.count; 16]),
            prev: consent.last.filter(|_| step.attached).map(|last| last.id),
            method: step.method,
            layer: if step.placeholder { Layer::Placeholder } else { Layer::None },
            granted,
            denied,
            notice: step.notice,
            decided_at: UnixMillis::new(decided_at),
            recorded_at: UnixMillis::new(self.now),
            said: false,
            on_behalf: false,
        };
        let effect = consent.apply(&act);
        self.devices[step.device].apply(&act, effect);
        self.acts[step.device].push(act);
        effect
    }

    fn account(&self) -> Consent {
        merge(&self.devices)
    }

    fn granted(&self) -> Vec<ChoiceId> {
        grants(&self.account(), self.now)
    }
}

fn save(device: usize) -> Step {
    Step {
        device,
        method: Method::Save,
        placeholder: false,
        wanted: [1, 1],
        notice: VERSIONS,
        attached: true,
        recorded: 1,
        claimed: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is kept record by record is the fold of the records.
    #[test]
    fn a_device_is_the_fold_of_its_records(steps in steps(20)) {
        let world = World::after(&steps);
        for (acts, device) in world.acts.iter().zip(&world.devices) {
            prop_assert_eq!(&Device::fold(acts), device);
            // A record that comes twice is one record.
            prop_assert_eq!(&Device::fold(acts.iter().chain(acts)), device);
        }
    }

    /// A person with one device has what that device has, but for what it closed.
    #[test]
    fn one_device_holds_what_its_subject_holds(steps in steps(12)) {
        let steps: Vec<Step> = steps.into_iter()
            .filter(|step| !matches!(step.method, Method::Close | Method::Signal))
            .map(|step| Step { device: 0, ..step })
            .collect();
        let world = World::after(&steps);
        prop_assert_eq!(world.granted(), grants(&world.consents[0], world.now));
    }

    /// Which device was linked first says nothing.
    #[test]
    fn the_order_of_links_does_not_matter(steps in steps(20), order in Just([0, 1, 2, 3]).prop_shuffle()) {
        let world = World::after(&steps);
        prop_assert_eq!(merge(order.map(|i| &world.devices[i])), world.account());
    }

    /// Whatever came before: after an explicit refusal on any device nothing is granted, and no grant that was made before it on another
    /// one, however late it arrives, changes that.
    #[test]
    fn a_refusal_stays_a_refusal(
        before in steps(12), late in steps(8), device in 0..DEVICES, attached: bool, claimed in -3000..0i64,
        method in proptest::sample::select(&[Method::RejectAll, Method::Forget, Method::Save, Method::Agent, Method::Api][..]),
    ) {
        let mut world = World::after(&before);
        world.take(&Step { method, wanted: [0, 0], attached, claimed, ..save(device) });
        prop_assert_eq!(world.granted(), []);
        let refused_at = world.now;
        for step in late {
            let claimed = (refused_at - world.now) / MINUTE - step.recorded - step.claimed.abs();
            let device = (device + 1 + step.device % (DEVICES - 1)) % DEVICES;
            world.take(&Step { device, claimed, ..step });
            prop_assert_eq!(world.granted(), []);
        }
    }

    /// Whatever came before: a grant that is made after all of it counts for the account, on a device that was not forgotten.
    #[test]
    fn the_latest_answer_wins(steps in steps(12), device in 0..DEVICES) {
        let mut world = World::after(&steps);
        prop_assume!(!world.consents[device].forgotten);
        // After a detached record only a decision made once that had its answer counts, which this one is.
        prop_assert_eq!(world.take(&save(device)), Effect::Applied);
        prop_assert_eq!(world.granted(), [choice("marketing"), choice("statistics")]);
        prop_assert_eq!(world.account().view(&outline(VERSIONS), UnixMillis::new(world.now), false).status(), Status::Valid);
    }

    /// Only what the latest answer grants, and a partial one of them is a refusal of the rest.
    #[test]
    fn a_partial_answer_refuses_the_rest(steps in steps(12), device in 0..DEVICES) {
        let mut world = World::after(&steps);
        prop_assume!(!world.consents[device].forgotten);
        world.take(&Step { wanted: [0, 2], ..save(device) });
        prop_assert_eq!(world.granted(), [choice("statistics:counter")]);
    }

    /// Closing a banner and sending a signal speak for one device.
    #[test]
    fn close_and_signal_change_nothing_elsewhere(
        steps in steps(12), quiet in steps(6), method in proptest::sample::select(&[Method::Close, Method::Signal][..]),
    ) {
        let mut world = World::after(&steps);
        let before = world.account();
        for step in quiet {
            world.take(&Step { method, ..step });
        }
        prop_assert_eq!(world.account(), before);
    }

    /// A close over a refusal does not uncover an older grant of another device.
    #[test]
    fn a_refusal_outlives_a_close(steps in steps(12), device in 0..DEVICES) {
        let mut world = World::after(&steps);
        world.take(&Step { method: Method::RejectAll, ..save(device) });
        world.take(&Step { method: Method::Close, ..save(device) });
        prop_assert_eq!(world.granted(), []);
    }

    /// Nothing is granted to an account that was not granted on one of its devices.
    #[test]
    fn nothing_comes_from_nowhere(steps in steps(20)) {
        let world = World::after(&steps);
        for id in world.granted() {
            let granted = |act: &Act| act.granted.iter().any(|given| *given == id || given.as_str() == id.category());
            prop_assert!(world.acts.iter().flatten().any(granted), "{id}");
        }
    }

    /// An account's answers end like those of a subject, and a device that is spent never mattered any more.
    #[test]
    fn an_answer_ends(steps in steps(20), later in 0..500i64) {
        let world = World::after(&steps);
        let now = world.now + later * DAY;
        if later > 180 {
            prop_assert_eq!(grants(&world.account(), now), []);
        }
        let rest: Vec<&Device> = world.devices.iter().filter(|device| !device.is_spent(UnixMillis::new(now))).collect();
        prop_assert_eq!(grants(&merge(rest), now), grants(&world.account(), now));
    }
}

#[test]
fn forgetting_is_for_all_devices_and_final_for_one() {
    let mut world = World::new();
    world.take(&save(0));
    world.take(&save(1));
    world.take(&Step { method: Method::Forget, ..save(1) });
    assert_eq!(world.granted(), []);
    let outline = outline(VERSIONS);
    let status = |world: &World| world.account().view(&outline, UnixMillis::new(world.now), false).status();
    assert_eq!(status(&world), Status::Forgotten);
    assert_eq!(world.take(&save(1)), Effect::Stale, "the subject that forgot grants nothing any more");
    assert_eq!(world.granted(), []);
    world.take(&save(2));
    assert_eq!(world.granted(), [choice("marketing"), choice("statistics")], "its person may, elsewhere");
    assert_eq!(status(&world), Status::Valid);
    // What a controller hears under the forgotten subject is a refusal as any other.
    world.take(&Step { method: Method::Api, wanted: [0, 0], ..save(1) });
    assert_eq!(world.granted(), []);
}

#[test]
fn services_of_a_newer_notice_are_not_granted_by_an_answer_that_never_saw_them() {
    let mut world = World::new();
    // Both were offline: the narrower answer is recorded last and was made first.
    world.take(&Step { notice: 1, ..save(0) });
    world.record(&save(1), vec![choice("statistics:heatmap")], vec![choice("statistics:counter")], T0);
    assert_eq!(world.granted(), [choice("marketing")]);
}

#[test]
fn a_request_is_authorized_by_cookie_and_records_together() {
    let outline = outline(VERSIONS);
    let at = UnixMillis::from_seconds(T0 / 1000);
    let now = UnixMillis::new(T0 + DAY);
    let cookie = |subject: bool, granted: &[&str]| Cookie {
        notice: VERSIONS,
        decided_at: at,
        subject: subject.then(|| SubjectId::from_random([7; 16])),
        granted: granted.iter().map(|id| choice(id)).collect(),
        said: false,
    };
    let both = cookie(true, &["marketing", "statistics"]);
    let yes = Consent::from_cookie_only(&both, &outline);
    let no = Consent::from_cookie_only(&cookie(true, &[]), &outline);
    let gone = Consent { forgotten: true, ..Consent::default() };
    for (name, cookie, held, account, id, signal, want) in [
        ("all agree", Some(&both), Some(&yes), None, "statistics", false, true),
        ("a service of it", Some(&both), Some(&yes), None, "statistics:heatmap", false, true),
        ("and the account", Some(&both), Some(&yes), Some(&yes), "statistics", false, true),
        ("no cookie", None, Some(&yes), None, "statistics", false, false),
        ("no identifier", Some(&cookie(false, &["statistics"])), Some(&yes), None, "statistics", false, false),
        ("refused here", Some(&cookie(true, &[])), Some(&yes), None, "statistics", false, false),
        ("not recorded", Some(&both), None, None, "statistics", false, false),
        ("revoked elsewhere", Some(&both), Some(&no), None, "statistics", false, false),
        ("forgotten elsewhere", Some(&both), Some(&gone), None, "statistics", false, false),
        ("revoked on another device", Some(&both), Some(&yes), Some(&no), "statistics", false, false),
        (
            "nothing is known of the account",
            Some(&both),
            Some(&yes),
            Some(&Consent::default()),
            "statistics",
            false,
            false,
        ),
        ("a signal", Some(&both), Some(&yes), None, "marketing", true, false),
        ("a signal it does not heed", Some(&both), Some(&yes), None, "statistics", true, true),
        ("not in the notice", Some(&both), Some(&yes), None, "media", false, false),
        ("necessary", None, None, None, "functional", true, true),
        ("necessary, whatever was refused", Some(&both), Some(&gone), Some(&no), "functional", false, true),
    ] {
        assert_eq!(Cookie::authorizes(cookie, held, account, &outline, &choice(id), now, signal), want, "{name}");
    }
    let late = UnixMillis::new(T0 + 181 * DAY);
    assert!(!Cookie::authorizes(Some(&both), Some(&yes), None, &outline, &choice("statistics"), late, false), "ended");
}
