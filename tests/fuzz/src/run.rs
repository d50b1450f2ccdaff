//! The engine that needs nothing but stable Rust: the corpus first, then so many mutations of it, the same ones for the same seed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::memory;
use crate::mutate::mutate;
use crate::rng::Rng;
use crate::targets::Target;

/// How long one input may take, without optimizing and on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long to go on.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// So many mutations: always the same ones.
    Runs(u64),
    /// So long.
    Elapsed(Duration),
}

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// Inputs that were tried, the corpus included.
    pub runs: u64,
    /// Those of them that the reader took for good.
    pub accepted: u64,
    /// The most memory that one took, in bytes.
    pub memory: usize,
    /// The longest that one took.
    pub slowest: Duration,
}

/// A file of a corpus.
#[derive(Debug)]
pub struct Seed {
    /// Its name. Those that start with `good` are accepted.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The corpus of a target, in the order of the names.
///
/// # Panics
/// If it cannot be read, or is empty.
pub fn corpus(target: &str) -> Vec<Seed> {
    let folder = home().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<Seed> = entries
        .map(|entry| {
            let entry = entry.expect("a folder of the repository can be read");
            let bytes = fs::read(entry.path()).expect("a file of the repository can be read");
            Seed { name: entry.file_name().to_string_lossy().into_owned(), bytes }
        })
        .collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    seeds
}

/// Tries one input.
///
/// # Panics
/// If what must always hold does not; then the input is kept in `tests/fuzz/found`.
pub fn one(target: &Target, input: &[u8]) -> (bool, usize) {
    let (done, memory) = memory::peak(|| catch_unwind(AssertUnwindSafe(|| (target.check)(input))));
    let limit = target.memory(input.len());
    let why = match done {
        Ok(accepted) if memory <= limit => return (accepted, memory),
        Ok(_) => format!("{memory} bytes of memory for {} bytes of input, and {limit} are allowed", input.len()),
        Err(panic) => panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("it panicked")
            .to_owned(),
    };
    let kept = keep(target, input);
    panic!("{}: {why}\nthe input is kept in {}; once fixed, move it into the corpus", target.name, kept.display());
}

fn keep(target: &Target, input: &[u8]) -> PathBuf {
    let folder = home().join("found");
    let hash = consent_core::merkle::leaf_hash(input).0;
    let path = folder.join(format!("{}-{:02x}{:02x}{:02x}{:02x}", target.name, hash[0], hash[1], hash[2], hash[3]));
    if let Err(error) = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input)) {
        eprintln!("{} could not be written: {error}", path.display());
    }
    path
}

/// What is being tried, for the one who watches the time.
struct Watched {
    current: Mutex<(Instant, Vec<u8>, bool)>,
    changed: Condvar,
}

impl Watched {
    fn start(target: &'static Target) -> Arc<Self> {
        let watched =
            Arc::new(Self { current: Mutex::new((Instant::now(), Vec::new(), false)), changed: Condvar::new() });
        let seen = Arc::clone(&watched);
        std::thread::spawn(move || {
            let mut current = seen.lock();
            while !current.2 {
                if current.0.elapsed() > PATIENCE {
                    let kept = keep(target, &current.1);
                    eprintln!("{}: over {PATIENCE:?} for the input kept in {}", target.name, kept.display());
                    std::process::abort();
                }
                current = seen
                    .changed
                    .wait_timeout(current, Duration::from_secs(1))
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        });
        watched
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Instant, Vec<u8>, bool)> {
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn begin(&self, input: &[u8]) {
        let mut current = self.lock();
        current.0 = Instant::now();
        current.1.clear();
        current.1.extend_from_slice(input);
    }
}

/// Ends the watching when the run is over, however it ends.
struct Stop(Arc<Watched>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.lock().2 = true;
        self.0.changed.notify_all();
    }
}

/// Tries the corpus and then mutations of it.
///
/// # Panics
/// If what must always hold does not, or a seed named `good` is refused.
pub fn run(target: &'static Target, seed: u64, until: Until) -> Report {
    println!("{}: seed {seed} (FUZZ_SEED={seed} tries the same inputs)", target.name);
    let start = Instant::now();
    let watched = Stop(Watched::start(target));
    let mut report = Report { runs: 0, accepted: 0, memory: 0, slowest: Duration::ZERO };
    let mut attempt = |input: &[u8]| {
        watched.0.begin(input);
        let begun = Instant::now();
        let (accepted, memory) = one(target, input);
        report.runs += 1;
        report.accepted += u64::from(accepted);
        report.memory = report.memory.max(memory);
        report.slowest = report.slowest.max(begun.elapsed());
        accepted
    };
    let seeds = corpus(target.name);
    for seed in &seeds {
        let accepted = attempt(&seed.bytes);
        assert!(accepted || !seed.name.starts_with("good"), "{}: the seed {} is refused", target.name, seed.name);
    }
    // Mutations of good inputs reach further; the others are there for what they once broke.
    let (good, rest): (Vec<_>, Vec<_>) = seeds.into_iter().partition(|seed| seed.name.starts_with("good"));
    let good: Vec<_> = good.into_iter().map(|seed| seed.bytes).collect();
    let rest: Vec<_> = rest.into_iter().map(|seed| seed.bytes).collect();
    let mut rng = Rng::new(seed);
    let mut done = 0;
    while match until {
        Until::Runs(runs) => done < runs,
        Until::Elapsed(length) => start.elapsed() < length,
    } {
        done += 1;
        let from = if rng.below(4) == 0 && !rest.is_empty() { &rest } else { &good };
        let input = rng.pick(from).map(|input| mutate(input, &good, target.words, target.longest, &mut rng));
        attempt(&input.unwrap_or_default());
    }
    let Report { runs, accepted, memory, slowest } = &report;
    println!(
        "{}: {runs} inputs in {:.1} s, {accepted} accepted, slowest {} ms, at most {} KiB each",
        target.name,
        start.elapsed().as_secs_f64(),
        slowest.as_millis(),
        memory / 1024
    );
    report
}
