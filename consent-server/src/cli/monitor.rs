//! `consent monitor`: follows a log, and alarms if its past is ever changed.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use consent_core::checkpoint::{Checkpoint, CheckpointError};
use consent_core::note::{self, NoteError, VerifyingKey};
use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::files::write_whole;
use crate::log_client::{ClientError, LogClient};

/// Follow a log, and alarm if its past is ever changed.
///
/// Exit code 0: it has kept all that was seen before (with --once). 1: it has not, and both signed checkpoints are printed, which prove
/// it to anybody. 2: it could not be checked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  consent monitor https://consent.shop.example/v1/sites/shop/log --key 'shop.example/consent+0a1b2c3d+AdV9…' \
    \\\n    --state shop.checkpoint --once\n\nPrints one line of JSON for each look. The state is the last checkpoint that was seen, a plain \
    signed note: keep it, it is\nwhat the next look is compared with, and what `consent verify --after` takes. Works with any C2SP \
    tlog-tiles log."
)]
pub(super) struct Args {
    /// The address that `/checkpoint` is below
    url: String,
    /// The public key of the log. Take it from a place that whoever keeps the log cannot change; hand-overs from it are followed
    #[arg(long, value_name = "VKEY", value_parser = VerifyingKey::parse)]
    key: VerifyingKey,
    /// The file with the last checkpoint that was seen; made at the first look
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    /// Look once and end: for cron
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// The public key of a witness that must have cosigned; repeat for more
    #[arg(long = "witness", value_name = "VKEY", value_parser = VerifyingKey::parse)]
    witnesses: Vec<VerifyingKey>,
    /// How many of the witnesses must have cosigned; without, all
    #[arg(long, requires = "witnesses")]
    quorum: Option<usize>,
}

/// What a look found. The words are for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
enum Seen {
    /// Nothing was seen before: from now on it is known.
    First { size: u64 },
    /// The log has kept all that was seen before.
    Consistent { size: u64, before: u64 },
    /// It shows fewer records than it has shown before.
    Rollback { size: u64, before: u64, proof: Evidence },
    /// It shows another past than it has shown before.
    Fork { size: u64, before: u64, proof: Evidence },
    /// It could not be checked.
    Unchecked { why: String },
}

/// Two checkpoints that the log has signed and that cannot both be true.
#[derive(Debug, Serialize)]
struct Evidence {
    old: String,
    new: String,
}

#[derive(Serialize)]
struct Line<'a> {
    at: consent_core::time::UnixMillis,
    log: &'a str,
    #[serde(flatten)]
    seen: &'a Seen,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    ensure!(
        args.quorum.is_none_or(|quorum| quorum <= args.witnesses.len()),
        "--quorum is more than there are witnesses"
    );
    let log = LogClient::new(&args.url);
    loop {
        let seen = look(args, &log).unwrap_or_else(|error| Seen::Unchecked { why: format!("{error:#}") });
        let line = Line { at: SystemClock.now(), log: args.key.name(), seen: &seen };
        say!("{}", serde_json::to_string(&line)?);
        match seen {
            Seen::Rollback { .. } | Seen::Fork { .. } => return Ok(ExitCode::FAILURE),
            Seen::Unchecked { .. } if args.once => return Ok(ExitCode::from(2)),
            _ if args.once => return Ok(ExitCode::SUCCESS),
            _ => std::thread::sleep(Duration::from_secs(args.every)),
        }
    }
}

/// One look. What was seen before is only replaced by what extends it.
fn look(args: &Args, log: &LogClient) -> anyhow::Result<Seen> {
    let before = read(&args.state)?;
    let note = log.checkpoint()?;
    let mut keys = consent_core::rotation::Keys::follow(args.key.clone(), []);
    let needs_more = |error: &CheckpointError| matches!(error, CheckpointError::Note(NoteError::Unverified));
    let mine = |opened: &Result<Checkpoint, CheckpointError>| opened.as_ref().err().is_some_and(needs_more);
    let opens = |keys: &consent_core::rotation::Keys| {
        let old = before.as_deref().map(|before| keys.open(before));
        (keys.open(&note), old)
    };
    let (mut new, mut old) = opens(&keys);
    if mine(&new) || old.as_ref().is_some_and(mine) {
        keys = log.keys(&args.key);
        (new, old) = opens(&keys);
    }
    let new = new.context("the checkpoint that is shown")?;
    cosigned(args, &note)?;
    let Some(old_note) = before else {
        write_whole(&args.state, note.as_bytes()).with_context(|| format!("cannot write {}", args.state.display()))?;
        return Ok(Seen::First { size: new.size });
    };
    let old = old.expect("there is one").with_context(|| format!("what was seen before ({})", args.state.display()))?;
    let (size, before) = (new.size, old.size);
    let proof = Evidence { old: old_note, new: note.clone() };
    if size < before {
        return Ok(Seen::Rollback { size, before, proof });
    }
    if size == before && new.root != old.root {
        return Ok(Seen::Fork { size, before, proof });
    }
    match log.extends(&old, &new) {
        Ok(Ok(())) => {}
        Ok(Err(_)) => return Ok(Seen::Fork { size, before, proof }),
        Err(error @ (ClientError::Silent { .. } | ClientError::Malformed { .. })) => return Err(error.into()),
        Err(error) => bail!(error),
    }
    write_whole(&args.state, note.as_bytes()).with_context(|| format!("cannot write {}", args.state.display()))?;
    Ok(Seen::Consistent { size, before })
}

fn read(state: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(state) {
        Ok(note) => Ok(Some(note)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", state.display())),
    }
}

fn cosigned(args: &Args, note: &str) -> anyhow::Result<()> {
    let count = args.witnesses.iter().filter(|key| note::verify(note, std::slice::from_ref(*key)).is_ok()).count();
    let needed = args.quorum.unwrap_or(args.witnesses.len());
    ensure!(count >= needed, "{count} of the {} witnesses have cosigned, {needed} must have", args.witnesses.len());
    Ok(())
}
