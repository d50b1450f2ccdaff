//! An offline auditor: checks an export with the log's public key and `consent-core`, without the service.
//!
//! `cargo run -p examples --example verify_export -- audit.jsonl 'VKEY'`; `consent verify` does the same and more.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::ExitCode;

use anyhow::Context;
use consent_core::export::{MAX_LINE, Problem, Report, Verifier};
use consent_core::note::VerifyingKey;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(vkey), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: verify_export FILE VKEY");
        return Ok(ExitCode::from(2));
    };
    // The key must come from a place that whoever made the file cannot change, such as the controller's privacy policy.
    let key = VerifyingKey::parse(&vkey).context("the key")?;
    let file = BufReader::new(File::open(&file).with_context(|| format!("cannot open {file}"))?);
    Ok(match verify(file, key)? {
        Ok(report) => {
            println!(
                "{} records, {} decisions, root {}",
                report.records(),
                report.decisions(),
                report.root.to_base64()
            );
            ExitCode::SUCCESS
        }
        Err(Problem::Failed(what)) => {
            eprintln!("failed: {what}");
            ExitCode::from(1)
        }
        Err(Problem::Unreadable(why)) => {
            eprintln!("could not be checked: {why}");
            ExitCode::from(2)
        }
    })
}

/// Reads line by line: memory does not grow with the file but for four bytes a record.
fn verify(mut file: impl BufRead, key: VerifyingKey) -> std::io::Result<Result<Report, Problem>> {
    let mut verifier = Verifier::new(key, None);
    let mut line = Vec::new();
    while file.by_ref().take(MAX_LINE as u64 + 3).read_until(b'\n', &mut line)? > 0 {
        if let Err(problem) = verifier.line(&line) {
            return Ok(Err(problem));
        }
        line.clear();
    }
    Ok(verifier.finish())
}
