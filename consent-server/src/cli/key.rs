//! `consent key create|list|rotate|revoke`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use consent_core::id::SiteId;
use consent_core::time::UnixMillis;

use super::{Data, block_on, machine, site_ids};
use crate::app;
use crate::keys::{Role, mint, secret};
use crate::store::{Change, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a key; it is shown once
    #[command(
        after_help = "Example:\n  consent key create --role backend --site shop --label \"order service\" --days 365"
    )]
    Create {
        /// backend, officer or admin
        #[arg(long)]
        role: String,
        /// A site it is for; repeat for more
        #[arg(long = "site", required = true)]
        sites: Vec<String>,
        /// What it is for
        #[arg(long, default_value = "")]
        label: String,
        /// After how many days it ends; without, it does not
        #[arg(long)]
        days: Option<u16>,
        #[command(flatten)]
        data: Data,
    },
    /// List the keys, without their secrets
    #[command(after_help = "Example:\n  consent key list")]
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Give a key another secret, which is shown once; the present one opens too for a while
    #[command(after_help = "Example:\n  consent key rotate 4kq2zt7a --grace-hours 24")]
    Rotate {
        /// Its id, as `key list` shows it
        id: String,
        /// For how many hours the present secret opens too, at most 720; 0 ends it at once
        #[arg(long, value_parser = clap::value_parser!(u16).range(0..=720))]
        grace_hours: u16,
        #[command(flatten)]
        data: Data,
    },
    /// End a key, at once
    #[command(after_help = "Example:\n  consent key revoke 4kq2zt7a")]
    Revoke {
        /// Its id, as `key list` shows it
        id: String,
        #[command(flatten)]
        data: Data,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { role, sites, label, days, data } => {
            let Some(role) = Role::parse(&role) else { bail!("the role \"{role}\" is not backend, officer or admin") };
            let app = app::open(&data.data)?;
            let registry = app.store.registry();
            let ids = site_ids(&registry, &sites)?;
            let now = app.clock.now();
            let (key, secret) = mint(role, ids, &label, now, days.map(|days| now.plus_days(days)));
            let id = key.id.clone();
            block_on(app.store.change(Change::CreateKey(key), machine()))??;
            eprintln!("created {} key {id}; this is the only time it is shown:", role.as_str());
            say!("{}", secret.reveal());
        }
        Command::List { data } => {
            let app = app::open(&data.data)?;
            let now = app.clock.now();
            for key in &app.store.registry().keys {
                let sites: Vec<&str> = key.sites.iter().map(SiteId::as_str).collect();
                let state = match (key.revoked_at, key.expires_at) {
                    (Some(at), _) => format!("revoked {at}"),
                    (None, Some(end)) if !key.is_live(now) => format!("expired {end}"),
                    (None, Some(end)) => format!("until {end}"),
                    (None, None) => "live".to_owned(),
                };
                say!("{}\t{}\t{}\t{state}\t{}", key.id, key.role.as_str(), sites.join(" "), key.label);
            }
        }
        Command::Rotate { id, grace_hours, data } => {
            let app = app::open(&data.data)?;
            let registry = app.store.registry();
            let key = registry.key(&id).with_context(|| format!("there is no key {id}"))?;
            let (hash, secret) = secret(key.role, &key.id);
            let until = UnixMillis::new(app.clock.now().millis() + i64::from(grace_hours) * 3_600_000);
            block_on(app.store.change(Change::RotateKey { id: id.clone(), hash, until }, machine()))??;
            eprintln!("the present secret of key {id} ends {until}; this is the only time the new one is shown:");
            say!("{}", secret.reveal());
        }
        Command::Revoke { id, data } => {
            let app = app::open(&data.data)?;
            block_on(app.store.change(Change::RevokeKey { id: id.clone() }, machine()))??;
            say!("revoked key {id}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
