//! So many inputs for each target, always the same ones: a red run is the fault of the change. `make fuzz` looks for new ones.

use consent_fuzz::run::{self, Until};
use consent_fuzz::targets;

fn bounded(name: &str) {
    let target = targets::named(name).expect("there is such a target");
    let seed = std::env::var("FUZZ_SEED").map_or(1, |text| text.parse().expect("FUZZ_SEED is a number"));
    let report = run::run(target, seed, Until::Runs(target.runs));
    assert!(report.runs > target.runs);
    // Else the mutations would be so wild that nothing behind the first check is tried.
    assert!(report.accepted * 100 > report.runs, "{name}: only {} of {} accepted", report.accepted, report.runs);
}

#[test]
fn cookies() {
    bounded("cookie");
}

#[test]
fn notices() {
    bounded("notice");
}

#[test]
fn decisions() {
    bounded("decision");
}

#[test]
fn requests() {
    bounded("request");
}

#[test]
fn exports() {
    bounded("export");
}

#[test]
fn checkpoints() {
    bounded("checkpoint");
}
