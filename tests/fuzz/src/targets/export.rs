//! An export file, as `consent verify` reads it.

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::LazyLock;

use consent_core::checkpoint::Checkpoint;
use consent_core::export::FORMAT;
use consent_core::merkle::{Edge, leaf_hash};
use consent_server::cli::{Verdict, verify_file};
use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::Target;
use crate::run::corpus;
use crate::seeds::{ORIGIN, key};

pub(super) static TARGET: Target = Target {
    name: "export",
    check,
    words: &[
        "count",
        "filter",
        "format",
        "from_index",
        "origin",
        "range",
        "site",
        "statement",
        "to_index",
        "index",
        "leaf",
        "locator",
        "notice",
        "sha256",
        "version",
        "checkpoint",
        "proofs",
        "left",
        "right",
        "seal",
        "consent-export/1",
        "{\"index\":",
        "\r\n",
        "{\"notice\":",
        "{\"from_index\":",
        "{\"checkpoint\":",
        "decision",
        "access",
        "erase",
        "9007199254740991",
    ],
    longest: 64 << 10,
    runs: 3_000,
    // The file is read through a buffer of 1 MiB.
    memory: (2 << 20, 64),
};

/// The exports that a log has signed, with plain line ends.
static GENUINE: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
    let good = corpus("export").into_iter().filter(|seed| seed.name.starts_with("good"));
    good.map(|seed| plain(&seed.bytes)).collect()
});

/// What is tolerated taken away: CRLF, and a last line without an end.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len() + 1);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
        plain.extend_from_slice(line);
        plain.push(b'\n');
    }
    plain
}

fn verify(bytes: &[u8]) -> Verdict {
    let length = bytes.len() as u64;
    verify_file(&mut Cursor::new(bytes), length, key().vkey(), None).expect("reading memory does not fail")
}

fn check(input: &[u8]) -> bool {
    let good = matches!(verify(input), Verdict::Good(_));
    let genuine = GENUINE.contains(&plain(input));
    assert_eq!(good, genuine, "an export verifies if the log has made it, and not otherwise");
    if !genuine && let Some(sealed) = seal_again(input) {
        // Whoever has the key may say what they want; it must still be read without harm, and no two files may look the same.
        verify(&sealed);
    }
    good
}

/// The changed file under the log's own signatures, so that what comes after their check is reached.
fn seal_again(input: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = plain(input);
    let start = bytes.get(..bytes.len().checked_sub(1)?)?.iter().rposition(|&byte| byte == b'\n')? + 1;
    let last: serde_json::Value = serde_json::from_slice(&bytes[start..]).ok()?;
    bytes.truncate(start);
    let mut tree = Edge::default();
    for line in bytes.split(|&byte| byte == b'\n') {
        if !line.starts_with(b"{\"index\":") {
            continue;
        }
        let leaf = line.windows(7).position(|window| window == b"\"leaf\":")? + 7;
        tree.push(leaf_hash(line.get(leaf..line.len() - 1)?));
    }
    let whole = serde_json::json!({ "left": [], "right": [] });
    let checkpoint = if last["proofs"] == whole {
        Checkpoint { origin: ORIGIN.to_owned(), size: tree.size(), root: tree.root() }.sign(&key()).into()
    } else {
        last["checkpoint"].clone()
    };
    let digest = BASE64.encode(&Sha256::digest(&bytes));
    let seal = key().sign(&format!("{FORMAT}\n{ORIGIN}\n{digest}\n"));
    let last = serde_json::json!({ "checkpoint": checkpoint, "proofs": last["proofs"], "seal": seal });
    bytes.extend(serde_json::to_vec(&last).ok()?);
    bytes.push(b'\n');
    Some(bytes)
}
