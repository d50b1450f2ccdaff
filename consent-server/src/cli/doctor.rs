//! `consent doctor`: looks for what is wrong with an installation, before somebody else does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use consent_core::merkle::{Edge, leaf_hash};
use consent_core::record::Leaf;

use super::backup;
use crate::app::{self, App};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Loaded};
use crate::disk;
use crate::store::{Signers, Site, Store};

/// Look for what is wrong with an installation.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  consent doctor --config consent.toml\n\nExit code: 0 all is well, 1 something is wrong, 2 it \
    could not be looked at."
)]
pub(super) struct Args {
    /// The configuration
    #[arg(long, env = "CONSENT_CONFIG")]
    config: Option<PathBuf>,
    /// The folder with the database and the log keys (CONSENT_DATA; data)
    #[arg(long)]
    data: Option<String>,
    /// Only ask the running service whether it is ready (`/readyz`): for a container's health check
    #[arg(long)]
    health: bool,
}

/// What was looked at, and whether it is well.
struct Findings {
    bad: usize,
}

impl Findings {
    fn in_words(&self) -> String {
        match self.bad {
            1 => "1 thing is wrong".to_owned(),
            many => format!("{many} things are wrong"),
        }
    }

    fn check(&mut self, what: &str, result: Result<String, String>) {
        match result {
            Ok(fine) => say!("ok    {what}: {fine}"),
            Err(wrong) => {
                self.bad += 1;
                say!("WRONG {what}: {wrong}");
            }
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let loaded = Loaded::read(args.config.as_deref(), std::env::vars(), &[("data", args.data.clone())])?;
    if args.health {
        return health(&loaded.config);
    }
    let mut findings = Findings { bad: 0 };
    findings.check("configuration", Ok(configuration(args.config.as_deref())));
    let config = loaded.config;
    if !config.data.join("consent.db").exists() {
        anyhow::bail!("there is no database in {}", config.data.display());
    }
    let folder = others_may_read(&config.data);
    findings.check("disk", free(&config));
    findings.check("back-up", Ok(last_backup(&config.data)));
    let app = app::open(&config.data)?;
    // Opening it has put that right.
    let folder =
        folder.map_or_else(|why| format!("{why}; closed to them now"), |()| "only its owner may use it".to_owned());
    findings.check("data folder", Ok(folder));
    findings.check("database", app.store.integrity().map_err(|error| error.to_string()));
    let registry = app.store.registry();
    if registry.sites.is_empty() {
        findings.check("sites", Err("there is none: make one with `consent site create`".to_owned()));
    }
    for site in &registry.sites {
        let id = &site.id;
        findings.check(&format!("{id}: log"), log(&app, site));
        findings.check(&format!("{id}: clock"), clock(&app, site));
        findings.check(&format!("{id}: key file"), key_file(&app, site));
        findings.check(&format!("{id}: notice"), notice(site));
        findings.check(&format!("{id}: origins and cookie"), cookie(site));
    }
    say!("{}", if findings.bad == 0 { "all is well".to_owned() } else { findings.in_words() });
    Ok(if findings.bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Asks the service that listens where the configuration says.
fn health(config: &Config) -> anyhow::Result<ExitCode> {
    let ip = match config.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let url = format!("http://{}/readyz", SocketAddr::new(ip, config.listen.port()));
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .new_agent();
    let mut response = agent.get(&url).call().with_context(|| format!("{url} does not answer"))?;
    let body = response.body_mut().read_to_string().unwrap_or_default();
    say!("{} {body}", response.status().as_u16());
    Ok(if response.status().is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn configuration(file: Option<&Path>) -> String {
    file.map_or_else(|| "no file; defaults and the environment".to_owned(), |path| path.display().to_string())
}

fn free(config: &Config) -> Result<String, String> {
    let Some(free) = disk::free_bytes(&config.data) else { return Ok("how much is free is not known here".to_owned()) };
    let (free, least) = (free >> 20, config.min_free_mebibytes);
    if free < least {
        return Err(format!("{free} MiB are free, min_free_mebibytes asks for {least}"));
    }
    Ok(format!("{free} MiB are free"))
}

fn last_backup(data: &Path) -> String {
    let Some(at) = backup::last(data) else { return "none by `consent backup` is known".to_owned() };
    let hours = SystemClock.now().millis().saturating_sub(at.millis()) / 3_600_000;
    format!("the last one was made at {at}, {hours} hours ago")
}

/// A clock behind the last record has run backwards: new records will all have that record's time until it catches up.
fn clock(app: &App, site: &Site) -> Result<String, String> {
    let last = app.store.last_recorded(site).map_err(|error| error.to_string())?;
    let Some(last) = last else { return Ok("nothing is recorded yet".to_owned()) };
    let behind = last.millis().saturating_sub(app.clock.now().millis()) / 1000;
    if behind > 60 {
        return Err(format!("it is {behind} s behind the last record ({last}): this machine's time is wrong, or was"));
    }
    Ok(format!("not behind the last record ({last})"))
}

/// Reads every record, and compares the tree they give with the published checkpoint.
fn log(app: &App, site: &Site) -> Result<String, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let keys = site.keys().map_err(|e| words(&e))?;
    let Some((size, note)) = app.store.checkpoint(site).map_err(|e| words(&e))? else {
        return Err("no checkpoint was ever published; `consent serve` does that".to_owned());
    };
    let signed = keys.open(&note).map_err(|e| words(&e))?;
    let mut edge = Edge::default();
    let mut wrong = None;
    let mut read = |entry: crate::store::Entry| {
        if let Err(error) = Leaf::parse(&entry.leaf) {
            wrong = Some(format!("record {}: {error}", entry.index));
        }
        edge.push(leaf_hash(&entry.leaf));
        wrong.is_none()
    };
    app.store.entries(site, 0, size, &mut read).map_err(|e| words(&e))?;
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    if edge.root() != signed.root {
        return Err(format!("its {size} records do not give the root that was signed: some were changed"));
    }
    let folded = app.store.compare_folds(site).map_err(|e| words(&e))?;
    Ok(format!("{size} records give the root that was signed; {folded} subjects hold what their records say"))
}

fn key_file(app: &App, site: &Site) -> Result<String, String> {
    let key = site.keys().map_err(|error| error.to_string())?.current().clone();
    app.signers.signer(&key).map_err(|error| error.to_string())?;
    others_may_read(&app.signers.path(&key)).map(|()| "only its owner may read it".to_owned())
}

#[cfg(unix)]
fn others_may_read(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(format!("others may use {} (mode {:o})", path.display(), mode & 0o777)) }
}

#[cfg(not(unix))]
fn others_may_read(_: &Path) -> Result<(), String> {
    Ok(())
}

fn notice(site: &Site) -> Result<String, String> {
    match site.notice() {
        Some(published) => Ok(format!("version {} is in force", published.outline.version)),
        None => Err("none is published: `consent notice publish`".to_owned()),
    }
}

/// A cookie domain must be a parent of every origin's host, or the same: browsers drop any other.
fn cookie(site: &Site) -> Result<String, String> {
    let settings = &site.settings;
    if settings.origins.is_empty() {
        return Err("no origin is allowed: no page can post a decision".to_owned());
    }
    let Some(domain) = &settings.cookie_domain else { return Ok("host-only cookie".to_owned()) };
    for origin in &settings.origins {
        let host = origin.split("://").nth(1).unwrap_or_default().split(':').next().unwrap_or_default();
        if host != domain && !host.ends_with(&format!(".{domain}")) {
            return Err(format!("pages of {origin} cannot have a cookie of the domain {domain}"));
        }
    }
    Ok(format!("cookie for {domain} and below"))
}
