//! `fuzz TARGET|all [SECONDS]` tries a target for so long; `fuzz try TARGET FILE` one input; `fuzz seeds` writes what logs have signed.

use std::process::ExitCode;
use std::time::Duration;

use consent_fuzz::run::{self, Until};
use consent_fuzz::{seeds, targets};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let seconds = args.get(1).map_or(Some(60), |text| text.parse().ok()).map(Duration::from_secs);
    match (args.as_slice(), seconds) {
        (["seeds"], _) => match seeds::write() {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => eprintln!("the seeds were not written: {error}"),
        },
        (["try", name, file], _) => match (targets::named(name), std::fs::read(file)) {
            (Some(target), Ok(input)) => {
                let (accepted, memory) = run::one(target, &input);
                println!("{name}: {} ({memory} bytes of memory)", if accepted { "accepted" } else { "refused" });
                return ExitCode::SUCCESS;
            }
            (None, _) => eprintln!("there is no target {name}"),
            (_, Err(error)) => eprintln!("{file}: {error}"),
        },
        ([name] | [name, _], Some(seconds)) => {
            let all = targets::TARGETS.into_iter().filter(|target| *name == "all" || *name == target.name);
            let mut any = false;
            for target in all {
                run::run(target, seed(), Until::Elapsed(seconds));
                any = true;
            }
            if any {
                return ExitCode::SUCCESS;
            }
            eprintln!("there is no target {name}");
        }
        _ => eprintln!("usage: fuzz TARGET|all [SECONDS] | fuzz try TARGET FILE | fuzz seeds"),
    }
    let names: Vec<_> = targets::TARGETS.iter().map(|target| target.name).collect();
    eprintln!("targets: {}", names.join(", "));
    ExitCode::from(2)
}

/// The one that was given, or another one each time.
fn seed() -> u64 {
    let given = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok());
    // The keys of a hash map differ from one process to the next.
    given.unwrap_or_else(|| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0))
}
