//! `consent backup` and `consent restore`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use consent_core::time::UnixMillis;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::Data;
use crate::clock::{Clock, SystemClock};
use crate::files::{make_private_folder, new_private, write_new_private, write_whole};
use crate::signers::{FileSigners, file_stem};
use crate::store::Signers;
use crate::store::sqlite::copy;

/// The file in a back-up, and the one beside a database that says when it was last made.
const DESCRIPTION: &str = "backup.json";

/// Copy the database while it is served.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  consent backup --data /var/lib/consent --to /backup/consent-2026-11-24\n\n\
    The private keys of the logs and the secrets of webhooks are not copied unless\n--with-keys says so: whoever has them can sign in \
    their name. Without them a\nrestored database cannot be served: keep them somewhere else.")]
pub(super) struct BackupArgs {
    #[command(flatten)]
    data: Data,
    /// The folder to make; it must not be there, or be empty
    #[arg(long)]
    to: PathBuf,
    /// Copy the private keys of the logs and the secrets of webhooks too, readable by their owner only
    #[arg(long)]
    with_keys: bool,
}

/// Put a back-up into an empty folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  consent restore --from /backup/consent-2026-11-24 --data /var/lib/consent\n\n\
    Every record is read and compared with the signed head. If the folder still has what\nwas published of the logs, and the \
    back-up is older, `consent serve` will refuse it:\nsee docs/operation.md.")]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    data: Data,
    /// The folder that `consent backup` made
    #[arg(long)]
    from: PathBuf,
}

/// What a back-up says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    made_at: UnixMillis,
    version: String,
    with_keys: bool,
    logs: Vec<Described>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Described {
    site: String,
    log_origin: String,
    records: u64,
}

pub(super) fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let (data, to) = (&args.data.data, &args.to);
    let database = data.join("consent.db");
    ensure!(database.exists(), "there is no database in {}", data.display());
    let free = !to.exists() || fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(free, "{} is there already: name a folder that is not", to.display());
    make_folder(to)?;
    let made_at = SystemClock.now();
    let partial = to.join("consent.db.partial");
    private(&partial)?;
    let copied = progress("pages", |bar| copy::copy(&database, &partial, |all, left| tell(bar, all, all - left)));
    copied.with_context(|| format!("cannot copy {} to {}", database.display(), partial.display()))?;
    let logs = progress("records", |bar| copy::inspect(&partial, |all, read| tell(bar, all, read)))?;
    if args.with_keys {
        copy_keys(data, to)?;
    }
    let described = logs.iter().map(|log| Described {
        site: log.site.clone(),
        log_origin: log.log_origin.clone(),
        records: log.size,
    });
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let description = Description { made_at, version, with_keys: args.with_keys, logs: described.collect() };
    let json = serde_json::to_vec_pretty(&description)?;
    write_whole(&to.join(DESCRIPTION), &json)?;
    // Last, so that a folder with this file is a whole back-up.
    fs::rename(&partial, to.join("consent.db"))?;
    fs::File::open(to)?.sync_all()?;
    for log in &logs {
        say!("{}: {} records, and they give the head that was signed", log.site, log.size);
    }
    say!("database copied to {}", to.join("consent.db").display());
    if args.with_keys {
        say!("private keys of the logs and secrets of webhooks copied too: whoever has them can sign in their name");
    } else {
        say!("private keys were not copied (--with-keys): keep {} somewhere else", data.join("keys").display());
    }
    // For `doctor`. A data folder that cannot be written is no reason to call a good back-up bad.
    if let Err(error) = write_whole(&data.join(DESCRIPTION), &json) {
        eprintln!("consent: the time of this back-up could not be noted in {}: {error}", data.display());
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let (data, from) = (&args.data.data, &args.from);
    let (source, target) = (from.join("consent.db"), data.join("consent.db"));
    ensure!(source.exists(), "there is no back-up in {}", from.display());
    for name in ["consent.db", "consent.db-wal", "consent.db-shm"] {
        let path = data.join(name);
        ensure!(!path.exists(), "{} is there: nothing is ever overwritten. Move it away first", path.display());
    }
    let text = fs::read(from.join(DESCRIPTION)).with_context(|| format!("{} is no whole back-up", from.display()))?;
    let description: Description =
        serde_json::from_slice(&text).with_context(|| format!("{}", from.join(DESCRIPTION).display()))?;
    make_folder(data)?;
    let partial = data.join("consent.db.partial");
    // What an earlier try left is not a database yet.
    drop(fs::remove_file(&partial));
    private(&partial)?;
    let copied = progress("pages", |bar| copy::copy(&source, &partial, |all, left| tell(bar, all, all - left)));
    copied.with_context(|| format!("cannot copy {} to {}", source.display(), partial.display()))?;
    let logs = progress("records", |bar| copy::inspect(&partial, |all, read| tell(bar, all, read)));
    let logs = match logs {
        Ok(logs) => logs,
        Err(error) => {
            drop(fs::remove_file(&partial));
            return Err(error).context("the back-up is not what was signed; nothing was restored");
        }
    };
    if description.with_keys {
        copy_keys(from, data)?;
    }
    fs::rename(&partial, &target)?;
    fs::File::open(data)?.sync_all()?;
    for log in &logs {
        say!("{}: {} records, and they give the head that was signed", log.site, log.size);
    }
    say!("restored to {} what was there at {}", target.display(), description.made_at);
    say!(
        "keys, users and passwords are as they were then: what was revoked or changed since opens again until it is revoked again"
    );
    for log in &logs {
        let stem = file_stem(&log.log_origin);
        let key = FileSigners::new(data.join("keys"));
        if key.signer(&log.key).is_err() {
            let path = key.path(&log.key);
            say!(
                "missing: the private key of the log of {}, {}; it cannot be served without",
                log.site,
                path.display()
            );
        }
        let published = data.join("published").join(format!("{stem}.txt"));
        if fs::read_to_string(published).is_ok_and(|note| published_size(&note) > log.size) {
            say!(
                "older: more than {} records of {} were published; `consent serve` will refuse this",
                log.size,
                log.site
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// When the last back-up of this folder was made, if that is known.
pub(super) fn last(data: &Path) -> Option<UnixMillis> {
    let text = fs::read(data.join(DESCRIPTION)).ok()?;
    serde_json::from_slice::<Description>(&text).ok().map(|description| description.made_at)
}

fn published_size(note: &str) -> u64 {
    note.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0)
}

/// Copies what is in the folder of the keys. Keys that are there already stay: they must be the same.
fn copy_keys(from: &Path, to: &Path) -> anyhow::Result<()> {
    let (from, to) = (from.join("keys"), to.join("keys"));
    make_folder(&to)?;
    for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
        let source = entry?.path();
        let Some(name) = source.file_name().filter(|_| source.is_file()) else { continue };
        let target = to.join(name);
        let key = fs::read(&source).with_context(|| format!("cannot read {}", source.display()))?;
        if target.exists() {
            if fs::read(&target)? != key {
                bail!("{} is another key: move it away first", target.display());
            }
            continue;
        }
        write_new_private(&target, &key).with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    make_private_folder(path).with_context(|| format!("cannot make the folder {}", path.display()))
}

fn private(path: &Path) -> anyhow::Result<()> {
    new_private(path).map(drop).with_context(|| format!("cannot write {}", path.display()))
}

fn progress<T>(unit: &str, work: impl FnOnce(&ProgressBar) -> T) -> T {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {unit} {{eta}}"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let done = work(&bar);
    bar.finish_and_clear();
    done
}

fn tell(bar: &ProgressBar, all: u64, done: u64) {
    bar.set_length(all);
    bar.set_position(done);
}
