//! consent-core behind a raw byte interface, so that the very same function answers natively and as WASM.
//!
//! [`answer`] takes one encoded case (see [`mod@read`]): notice versions, a history of decisions, questions, and cookies. It answers
//! with text, a line for each thing the core says. The test `it::parity` runs it both ways and compares byte by byte.

mod answer;
pub mod raw;
mod read;

pub use answer::answer;
