//! Witnesses: who cosigns our logs, and how we cosign those of others.
//!
//! A witness signs a checkpoint only if the log has kept everything that the witness saw before. Whoever sees its signature knows that
//! the log has shown the same past to everybody who asks that witness.
//!
//! # Standards
//! C2SP tlog-witness v1.0.0, tlog-cosignature.

pub mod ask;
pub mod policy;
pub mod serve;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// What a witness's files and addresses call a log: origins hold slashes.
fn name_of(origin: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(origin.as_bytes()))
}
