//! What an auditor's machine does: an export of real leaves, made and verified in memory, on one core.

use std::time::Instant;

use anyhow::{Context, ensure};
use consent_core::checkpoint::Checkpoint;
use consent_core::export::{Exporter, Header, Verifier};
use consent_core::id::RecordId;
use consent_core::merkle::{Edge, RangeProof, leaf_hash};
use consent_core::note::SigningKey;
use consent_core::record::{Hex32, Leaf, NoticeRef};
use consent_core::time::UnixMillis;
use sha2::{Digest, Sha256};

const ORIGIN: &str = "bench.example/log";

/// Records per second.
pub(crate) struct Rates {
    /// Written, without reading a database.
    pub(crate) exported: f64,
    /// Verified.
    pub(crate) verified: f64,
}

/// Exports and verifies `count` leaves made of these.
///
/// # Errors
/// If one of them is no leaf, or what was exported does not verify.
pub(crate) fn rates(samples: &[String], count: u32) -> anyhow::Result<Rates> {
    const NOTICE: &str = r#"{"version":1}"#;
    let notice = NoticeRef { sha256: Hex32(Sha256::digest(NOTICE.as_bytes()).into()), version: 1 };
    let samples = samples.iter().map(|text| Leaf::parse(text.as_bytes())).collect::<Result<Vec<_>, _>>()?;
    let site = samples.first().context("no leaf to begin with")?.site.clone();
    let at = samples.iter().map(|leaf| leaf.recorded_at).max().context("no leaf to begin with")?;
    let mut tree = Edge::default();
    let leaves: Vec<Vec<u8>> = (0..count)
        .zip(samples.iter().cycle())
        .map(|(number, sample)| {
            let mut leaf = sample.clone();
            let mut random = [0; 10];
            random[..4].copy_from_slice(&number.to_be_bytes());
            leaf.id = RecordId::at(UnixMillis::new(at.millis() + i64::from(number / 8)), &random);
            (leaf.recorded_at, leaf.notice) = (at, Some(notice));
            let bytes = leaf.to_bytes();
            tree.push(leaf_hash(&bytes));
            bytes
        })
        .collect();
    let key = SigningKey::from_seed(ORIGIN, [7; 32])?;
    let head = Checkpoint { origin: ORIGIN.to_owned(), size: u64::from(count), root: tree.root() };
    let checkpoint = head.sign(&key);

    let mut file = Vec::new();
    let begin = Instant::now();
    let header = Header::new(site, ORIGIN, (None, None), 0, u64::from(count));
    let mut exporter = Exporter::new(header, &mut file);
    for (index, leaf) in (0..).zip(&leaves) {
        exporter.record(index, leaf, &mut file)?;
    }
    exporter.notice(notice, NOTICE, &mut file)?;
    exporter.finish(&checkpoint, &RangeProof::default(), &key, &mut file)?;
    let exported = f64::from(count) / begin.elapsed().as_secs_f64();

    let begin = Instant::now();
    let mut verifier = Verifier::new(key.vkey(), None);
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        verifier.line(line)?;
    }
    let report = verifier.finish()?;
    let verified = f64::from(count) / begin.elapsed().as_secs_f64();
    ensure!(report.records() == u64::from(count), "the export holds {} records", report.records());
    Ok(Rates { exported, verified })
}
