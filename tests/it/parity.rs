//! The rules run the same natively and as WASM: one function, two builds, the same random histories, every answer compared.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use consent_core::id::{RecordId, SubjectId};
use consent_core::time::{DAY, UnixMillis};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wasmi::{Engine, Instance, Linker, Memory, Module, Store, TypedFunc};

const CASES: u32 = 2500;
const T0: i64 = 1_700_000_000_000;
/// What may be granted or asked for: listed in some versions, in none, or not even an id.
const IDS: [&str; 12] = [
    "functional",
    "statistics",
    "statistics:counter",
    "statistics:heatmap",
    "marketing",
    "marketing:ads",
    "marketing:pixel",
    "media",
    "unknown",
    "unknown:thing",
    "Not-An-Id",
    "",
];

/// How the lines begin that say what became of a decision.
const HAPPENS: [&str; 4] = ["effect: applied", "effect: stale", "refused: ", "repeated: "];

#[test]
fn native_and_wasm_answer_alike() {
    let wasm = RefCell::new(Wasm::load(&build()));
    // The same cases in every run: what fails here fails for everyone.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let counts = RefCell::new([0; 4]);
    TestRunner::new_with_rng(config, rng)
        .run(&case(), |case| {
            let bytes = case.encode();
            let native = String::from_utf8(parity::answer(&bytes)).unwrap();
            let other = String::from_utf8(wasm.borrow_mut().answer(&bytes)).unwrap();
            prop_assert_eq!(&native, &other);
            for line in native.lines() {
                for (count, what) in counts.borrow_mut().iter_mut().zip(HAPPENS) {
                    *count += u32::from(line.starts_with(what));
                }
                prop_assert!(!line.starts_with("malformed"), "the case is not encoded as it is read");
            }
            Ok(())
        })
        .unwrap();
    // Histories in which nothing happens would compare well and show nothing.
    for (count, what) in counts.into_inner().into_iter().zip(HAPPENS) {
        assert!(count > CASES / 4, "only {count} times \"{what}\" in {CASES} histories");
    }
}

#[test]
fn what_is_no_case_is_answered_alike() {
    let mut wasm = Wasm::load(&build());
    let mut runner = TestRunner::deterministic();
    for _ in 0..200 {
        let whole = case().new_tree(&mut runner).unwrap().current().encode();
        let cut = &whole[..whole.len() * 2 / 3];
        let native = parity::answer(cut);
        assert!(String::from_utf8_lossy(&native).contains("malformed at"));
        assert_eq!(native, wasm.answer(cut));
    }
    assert_eq!(parity::answer(&[]), wasm.answer(&[]));
}

/// Builds the module with the cargo that runs the tests, and says where it is.
fn build() -> PathBuf {
    const TARGET: &str = "wasm32-unknown-unknown";
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["build", "--release", "-p", "parity", "--target", TARGET, "--message-format=json-render-diagnostics"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the core does not build for WASM; if the target is missing: rustup target add {TARGET}\n\n{stderr}"
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    let mut files = stdout.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files: Vec<PathBuf> = serde_json::from_value(message["filenames"].clone()).ok()?;
        files.into_iter().find(|file| file.file_name().is_some_and(|name| name == "parity.wasm"))
    });
    files.next_back().expect("cargo names the module that it built")
}

/// The module, running.
struct Wasm {
    store: Store<()>,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
    run: TypedFunc<(u32, u32), u64>,
    free: TypedFunc<(u32, u32), ()>,
}

impl Wasm {
    fn load(path: &Path) -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, std::fs::read(path).unwrap()).unwrap();
        assert_eq!(module.imports().count(), 0, "the core reaches nothing outside: no clock, no randomness, no host");
        let mut store = Store::new(&engine, ());
        let instance: Instance = Linker::new(&engine).instantiate_and_start(&mut store, &module).unwrap();
        Self {
            memory: instance.get_memory(&store, "memory").unwrap(),
            alloc: instance.get_typed_func(&store, "parity_alloc").unwrap(),
            run: instance.get_typed_func(&store, "parity_run").unwrap(),
            free: instance.get_typed_func(&store, "parity_free").unwrap(),
            store,
        }
    }

    fn answer(&mut self, case: &[u8]) -> Vec<u8> {
        let len = u32::try_from(case.len()).unwrap();
        let at = self.alloc.call(&mut self.store, len).unwrap();
        self.memory.write(&mut self.store, at as usize, case).unwrap();
        let packed = self.run.call(&mut self.store, (at, len)).unwrap();
        self.free.call(&mut self.store, (at, len)).unwrap();
        let [at, len] = [packed >> 32, packed & 0xffff_ffff].map(|half| u32::try_from(half).unwrap());
        let mut answer = vec![0; len as usize];
        self.memory.read(&self.store, at as usize, &mut answer).unwrap();
        self.free.call(&mut self.store, (at, len)).unwrap();
        answer
    }
}

/// A case as the generator makes it; [`Case::encode`] writes it as `parity` reads it.
#[derive(Debug, Clone)]
struct Case {
    versions: Vec<Version>,
    steps: Vec<Step>,
    questions: Vec<Question>,
    cookies: Vec<RawCookie>,
}

/// A notice version: which of the optional parts it lists and which of its categories it is material for.
#[derive(Debug, Clone)]
struct Version {
    renew_after_days: u16,
    heatmap: bool,
    media: bool,
    material: [bool; 3],
    signals: [bool; 3],
    bad: bool,
}

#[derive(Debug, Clone)]
struct Step {
    id: u8,
    prev: Prev,
    method: u8,
    layer: u8,
    granted: Vec<usize>,
    /// Give methods the layer and the grants they need: without this, most would be refused.
    proper: bool,
    version: u8,
    /// Relative to when it is recorded.
    claimed: i64,
    /// After the step before; negative is a clock that ran backwards.
    recorded: i64,
    flags: u8,
}

#[derive(Debug, Clone)]
enum Prev {
    None,
    Latest,
    Named(u8),
}

#[derive(Debug, Clone)]
struct Question {
    version: u8,
    later: i64,
    signal: bool,
    subject: [u8; 16],
}

#[derive(Debug, Clone)]
struct RawCookie {
    header: String,
    value: String,
    version: u8,
    later: i64,
    signal: bool,
}

fn case() -> impl Strategy<Value = Case> {
    use prop::collection::vec;
    (vec(version(), 1..4), vec(step(), 0..14), vec(question(), 1..4), vec(cookie(), 0..3))
        .prop_map(|(versions, steps, questions, cookies)| Case { versions, steps, questions, cookies })
}

fn version() -> impl Strategy<Value = Version> {
    (
        prop_oneof![4 => Just(180u16), 1 => any::<u16>()],
        any::<(bool, bool)>(),
        prop::array::uniform3(prop::bool::weighted(0.3)),
        prop::array::uniform3(any::<bool>()),
        prop::bool::weighted(0.02),
    )
        .prop_map(|(renew_after_days, (heatmap, media), material, signals, bad)| Version {
            renew_after_days,
            heatmap,
            media,
            material,
            signals,
            bad,
        })
}

fn step() -> impl Strategy<Value = Step> {
    let prev = prop_oneof![6 => Just(Prev::Latest), 2 => Just(Prev::None), 2 => (0..16u8).prop_map(Prev::Named)];
    let claimed = prop_oneof![5 => -3_600_000..3_600_000i64, 2 => -400 * DAY..400 * DAY, 1 => any::<i64>()];
    let recorded = prop_oneof![8 => 0..90 * DAY, 1 => Just(0), 1 => -DAY..0];
    (
        (0..16u8, prev, any::<u8>(), any::<u8>(), prop::bool::weighted(0.8)),
        (prop::collection::vec(0..IDS.len(), 0..4), 0..4u8, claimed, recorded, any::<u8>()),
    )
        .prop_map(|((id, prev, method, layer, proper), (granted, version, claimed, recorded, flags))| Step {
            id,
            prev,
            method: method % 8,
            layer: layer % 4,
            granted,
            proper,
            version,
            claimed,
            recorded,
            flags,
        })
}

fn question() -> impl Strategy<Value = Question> {
    let later = prop_oneof![2 => Just(0i64), 6 => 0..400 * DAY, 1 => any::<i64>()];
    (0..4u8, later, any::<bool>(), any::<[u8; 16]>()).prop_map(|(version, later, signal, subject)| Question {
        version,
        later,
        signal,
        subject,
    })
}

fn cookie() -> impl Strategy<Value = RawCookie> {
    let value = prop_oneof![
        3 => "1\\.[1-4]\\.1(69|70|71)[0-9]{7}\\.(-|AAAAAAAAQACAAAAAAAAAAQ)\\.(statistics(:counter)?|marketing|media~unknown)?\\.s?",
        2 => "[12]?\\.?[0-9+]{0,11}\\.[0-9]{0,20}\\.(-|[A-Za-z0-9_-]{21,23})\\.[a-z~:-]{0,20}\\.[sx]?\\.?",
        1 => "\\PC{0,40}",
    ];
    let header = (value.clone(), value.clone(), 0..5u8).prop_map(|(a, b, form)| match form {
        0 => format!("consent={a}"),
        1 => format!("x=1; consent={a} ;y={b}; consent={a}"),
        2 => format!("consent={a}; consent={b}"),
        3 => format!("xconsent={a};consentx={b}"),
        _ => format!("{a};{b}"),
    });
    (header, value, 0..4u8, -400 * DAY..400 * DAY, any::<bool>())
        .prop_map(|(header, value, version, later, signal)| RawCookie { header, value, version, later, signal })
}

impl Case {
    fn encode(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.list(&self.versions, |out, (place, version)| version.encode(out, place));
        let mut now = T0;
        out.list(&self.steps, |out, (_, step)| {
            now = now.saturating_add(step.recorded);
            step.encode(out, now, self.versions.len());
        });
        out.list(&self.questions, |out, (_, question)| {
            out.0.push(question.version);
            out.number(now.saturating_add(question.later));
            out.0.push(question.signal.into());
            // Some of them are no subject, as the core must notice.
            let subject = *SubjectId::from_random(question.subject).as_bytes();
            out.0.extend(if question.subject[0] < 25 { question.subject } else { subject });
            out.list(&IDS, |out, (_, id)| out.text(id));
        });
        out.list(&self.cookies, |out, (_, cookie)| {
            out.text(&cookie.header);
            out.text("consent");
            out.text(&cookie.value);
            out.0.push(cookie.version);
            out.number(T0.saturating_add(cookie.later));
            out.0.push(cookie.signal.into());
        });
        out.0
    }
}

impl Version {
    fn encode(&self, out: &mut Out, place: usize) {
        let number = u32::try_from(place).unwrap() + 1;
        out.0.extend(number.to_be_bytes());
        out.0.extend(self.renew_after_days.to_be_bytes());
        let since = |i: usize| if self.material[i] { number } else { 1 };
        let mut categories = vec![
            ("functional", 1, 1, vec![]),
            ("statistics", u8::from(self.signals[0]) * 2, since(0), vec![("counter", 1)]),
            ("marketing", u8::from(self.signals[1]) * 2, since(1), vec![("ads", 1), ("pixel", since(1))]),
        ];
        if self.heatmap {
            categories[1].3.push(("heatmap", number));
        }
        if self.media {
            categories.push(("media", u8::from(self.signals[2]) * 2, since(2), vec![]));
        }
        if self.bad {
            categories.push(("Bad Id", 0, 1, vec![]));
        }
        out.list(&categories, |out, (_, (id, flags, since, services))| {
            out.text(id);
            out.0.push(*flags);
            out.0.extend(u32::to_be_bytes(*since));
            out.list(services, |out, (_, (id, since))| {
                out.text(id);
                out.0.extend(u32::to_be_bytes(*since));
            });
        });
    }
}

impl Step {
    fn encode(&self, out: &mut Out, recorded_at: i64, versions: usize) {
        const ACCEPT_ALL: u8 = 0;
        const NEVER_GRANT: [u8; 4] = [1, 3, 4, 5];
        let record = |n: u8| *RecordId::at(UnixMillis::new(T0 + i64::from(n)), &[n; 10]).as_bytes();
        out.0.extend(if self.id == 15 && !self.proper { [0; 16] } else { record(self.id) });
        match self.prev {
            Prev::None => out.0.push(0),
            Prev::Named(n) => {
                out.0.push(1);
                out.0.extend(record(n));
            }
            Prev::Latest => out.0.push(2),
        }
        out.0.push(self.method);
        out.0.push(match self.method {
            3 if self.proper => 0,
            5..=7 if self.proper => 3,
            _ => self.layer,
        });
        let granted: Vec<&str> = match self.method {
            ACCEPT_ALL if self.proper => vec!["marketing", "statistics"],
            method if self.proper && NEVER_GRANT.contains(&method) => vec![],
            _ if self.proper => self.granted.iter().map(|id| IDS[*id % 6]).collect(),
            _ => self.granted.iter().map(|id| IDS[*id]).collect(),
        };
        out.list(&granted, |out, (_, id)| out.text(id));
        out.0.push(if self.proper { self.version % u8::try_from(versions).unwrap() } else { self.version });
        out.number(recorded_at.saturating_add(self.claimed));
        out.number(recorded_at);
        let on_behalf = if self.proper { u8::from(self.method == 7) * 8 } else { self.flags & 8 };
        out.0.push(self.flags & 7 | on_behalf);
    }
}

/// The bytes of a case.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn number(&mut self, number: i64) {
        self.0.extend(number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, (usize, &T))) {
        self.0.push(u8::try_from(items.len()).unwrap());
        for each in items.iter().enumerate() {
            item(self, each);
        }
    }
}
