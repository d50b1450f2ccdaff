//! `consent doctor`: looks for what is wrong with an installation, before somebody else does.

use std::path::Path;
use std::process::ExitCode;

use consent_core::checkpoint::Checkpoint;
use consent_core::merkle::{Edge, leaf_hash};
use consent_core::note::VerifyingKey;
use consent_core::record::Leaf;

use super::Data;
use crate::app::{self, App};
use crate::store::{Signers, Site, Store};

/// Look for what is wrong with an installation.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  consent doctor --data /var/lib/consent")]
pub(super) struct Args {
    #[command(flatten)]
    data: Data,
}

/// What was looked at, and whether it is well.
struct Findings {
    bad: usize,
}

impl Findings {
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
    let mut findings = Findings { bad: 0 };
    if !args.data.data.join("consent.db").exists() {
        anyhow::bail!("there is no database in {}", args.data.data.display());
    }
    let app = app::open(&args.data.data)?;
    findings.check("database", app.store.integrity().map_err(|error| error.to_string()));
    let registry = app.store.registry();
    if registry.sites.is_empty() {
        findings.check("sites", Err("there is none: make one with `consent site create`".to_owned()));
    }
    for site in &registry.sites {
        let id = &site.id;
        findings.check(&format!("{id}: log"), log(&app, site));
        findings.check(&format!("{id}: key file"), key_file(&app, site));
        findings.check(&format!("{id}: notice"), notice(site));
        findings.check(&format!("{id}: origins and cookie"), cookie(site));
    }
    say!("{}", if findings.bad == 0 { "all is well".to_owned() } else { format!("{} things are wrong", findings.bad) });
    Ok(if findings.bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads every record, and compares the tree they give with the published checkpoint.
fn log(app: &App, site: &Site) -> Result<String, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let key = VerifyingKey::parse(&site.log_key).map_err(|e| words(&e))?;
    let Some((size, note)) = app.store.checkpoint(site).map_err(|e| words(&e))? else {
        return Err("no checkpoint was ever published; `consent serve` does that".to_owned());
    };
    let signed = Checkpoint::open(&note, &key).map_err(|e| words(&e))?;
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
    let key = app.signers.signer(&site.log_origin).map_err(|error| error.to_string())?;
    if key.vkey().to_string() != site.log_key {
        return Err("it is not the key that the site was created with".to_owned());
    }
    let path = app.signers.path(&site.log_origin);
    others_may_read(&path).map(|()| "only its owner may read it".to_owned())
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
