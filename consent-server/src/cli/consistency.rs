//! `consent consistency`: whether one checkpoint of a log extends another.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use consent_core::checkpoint::Checkpoint;
use consent_core::note::VerifyingKey;

use crate::log_client::LogClient;

/// Check that a log has kept what an earlier checkpoint signs.
///
/// Exit code 0: it has. 1: it has not. 2: it could not be checked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  consent consistency january.checkpoint march.checkpoint --url https://consent.shop.example/v1/sites/shop/log \
    \\\n    --key 'shop.example/consent+0a1b2c3d+AdV9…'\n\nBoth checkpoints are files, signed notes as the log serves them; the proof \
    between them is made from the log's tiles\nand checked here."
)]
pub(super) struct Args {
    /// The earlier checkpoint
    old: PathBuf,
    /// The later one
    new: PathBuf,
    /// The address that the log's tiles are below
    #[arg(long)]
    url: String,
    /// The public key of the log; hand-overs from it are followed
    #[arg(long, value_name = "VKEY", value_parser = VerifyingKey::parse)]
    key: VerifyingKey,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let log = LogClient::new(&args.url);
    let keys = log.keys(&args.key);
    let read = |path: &PathBuf| -> anyhow::Result<Checkpoint> {
        let note = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        keys.open(&note).with_context(|| format!("{}", path.display()))
    };
    let (old, new) = (read(&args.old)?, read(&args.new)?);
    if let Err(error) = log.extends(&old, &new)? {
        eprintln!("FAILED: the tree of {} records is not an extension of that of {}: {error}", new.size, old.size);
        return Ok(ExitCode::FAILURE);
    }
    say!("good: the first {} of {} records are the same", old.size, new.size);
    Ok(ExitCode::SUCCESS)
}
