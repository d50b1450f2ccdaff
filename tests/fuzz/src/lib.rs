//! What a stranger can hand us, with one fuzz target each.
//!
//! `cargo test -p consent-fuzz` tries the corpora and a bounded number of their mutations, on any Rust and always the same ones.
//! `make fuzz` goes on for longer, led by coverage where a C++ compiler is there to build libFuzzer with.

pub mod memory;
pub mod mutate;
pub mod rng;
pub mod run;
pub mod seeds;
pub mod targets;
