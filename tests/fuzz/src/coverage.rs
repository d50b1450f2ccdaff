//! The same targets under libFuzzer, which keeps what reaches new code. `FUZZ_TARGET` names the target; the rest is libFuzzer's.
#![no_main]

use std::sync::LazyLock;

use consent_fuzz::mutate::mutate;
use consent_fuzz::rng::Rng;
use consent_fuzz::run::{self, corpus};
use consent_fuzz::targets::{self, Target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    targets::named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET names no target: \"{name}\""))
});

static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let good = corpus(TARGET.name).into_iter().filter(|seed| seed.name.starts_with("good"));
    good.map(|seed| seed.bytes).collect()
});

fuzz_target!(|input: &[u8]| {
    run::one(&TARGET, input);
});

// Half by structure, as the bounded runs do, and half as libFuzzer knows: it has seen what was compared with what.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 2 == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let input = mutate(&data[..size], &GOOD, TARGET.words, max_size, &mut Rng::new(seed.into()));
    data[..input.len()].copy_from_slice(&input);
    input.len()
});
