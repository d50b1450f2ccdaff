//! `consent demo`: a small site with the banner, real gated scripts and all of the service, on fresh data.

mod gallery;
mod pages;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::ValueEnum;
use consent_core::id::SiteId;
use tokio::net::TcpListener;

use super::{serve, serve_on, stop};
use crate::app::{self, App};
use crate::config::{Config, Loaded};
use crate::http;
use crate::keys::{Role, Secret, mint};
use crate::store::{Actor, Change, Site, SiteSettings, Store};
use crate::users::{self, PasswordHash, User};
use crate::webhooks;

const SITE: &str = "demo";
const LOG_ORIGIN: &str = "demo.consent.example/v1/sites/demo";
const LABEL: &str = "demo";
const ACTOR: &str = "demo";
const OFFICER: &str = "officer";

/// Run a small site with the banner.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  consent demo --preset choice --listen 127.0.0.1:8099")]
pub(super) struct Args {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8099")]
    listen: SocketAddr,
    /// Keep the data in this folder and use it again; without, it is temporary
    #[arg(long)]
    data: Option<PathBuf>,
    /// Which first layer
    #[arg(long, value_enum, default_value_t = Preset::Notice)]
    preset: Preset,
    /// Print one JSON object with the addresses and keys as the first line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    webhooks: super::webhook::Delivery,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// Privacy policy · Close · Settings
    Notice,
    /// Accept all · Reject all · Settings
    Choice,
}

impl Preset {
    fn draft(self) -> &'static str {
        match self {
            Self::Notice => include_str!("../../notices/demo-notice.toml"),
            Self::Choice => include_str!("../../notices/demo-choice.toml"),
        }
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    serve_on(async move {
        let temporary = match &args.data {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("consent-demo-").tempdir()?),
        };
        let data = match (&args.data, &temporary) {
            (Some(data), _) => data.clone(),
            (None, Some(folder)) => folder.path().to_owned(),
            (None, None) => unreachable!("one of both is there"),
        };
        let listener =
            TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
        let address = listener.local_addr()?;
        let stop = stop()?;
        let app = Arc::new(app::open_with(config(&data, &args.webhooks.flags())?, false)?);
        let _alone = app::serve_alone(&data)?;
        let site = prepare(&app, address, args.preset).await?;
        let keys = keys(&app).await?;
        let password = officer(&app).await?;
        app.store.publish(&site).await?;
        tell(&args, address, &site, &keys, &password, &data);
        let publishing = tokio::spawn(Arc::clone(&app).publish_forever());
        let delivering = tokio::spawn(webhooks::deliver_forever(Arc::clone(&app)));
        let pages = gallery::router().merge(pages::router());
        let stop = Arc::clone(&app).until(stop);
        http::serve(listener, http::router(Arc::clone(&app), Some(pages)), &app, stop).await?;
        publishing.abort();
        delivering.abort();
        serve::close(app).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The environment's, on this data, and without the ceiling for a site, which a load test is above at once.
fn config(data: &std::path::Path, flags: &[(&'static str, Option<String>)]) -> anyhow::Result<Config> {
    let mut config = Loaded::read(None, std::env::vars(), flags)?.config;
    if std::env::var_os("CONSENT_LIMIT_SITE_DECISIONS_PER_MINUTE").is_none() {
        config.limit_site_decisions_per_minute = 0;
    }
    Ok(Config { data: data.to_owned(), ..config })
}

/// The addresses by which a browser may call this server its own.
fn origins(address: SocketAddr) -> Vec<String> {
    let port = address.port();
    let mut origins = vec![format!("http://{address}")];
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            origins.push(format!("http://{host}:{port}"));
        }
    }
    origins.sort();
    origins.dedup();
    origins
}

/// Makes the site and its notice, or brings those that are there up to date.
async fn prepare(app: &App, address: SocketAddr, preset: Preset) -> anyhow::Result<Arc<Site>> {
    let id = SiteId::parse(SITE)?;
    let settings = SiteSettings {
        origins: origins(address),
        cookie_name: "consent".to_owned(),
        cookie_domain: None,
        frames: false,
    };
    let existing = app.store.registry().site(SITE).cloned();
    let change = match &existing {
        Some(site) if site.settings == settings => None,
        Some(_) => Some(Change::UpdateSite { site: id.clone(), settings }),
        None => Some(Change::CreateSite { id: id.clone(), log_origin: LOG_ORIGIN.to_owned(), settings }),
    };
    if let Some(change) = change {
        app.store.change(change, Actor::Machine(ACTOR)).await?;
    }
    let draft = crate::draft::parse(preset.draft(), false)?;
    let previous = existing.as_ref().and_then(|site| site.notice());
    let changed = previous.is_none_or(|p| !consent_core::notice::diff(&p.notice, &draft).is_empty());
    if changed {
        // Switching the preset of kept data changes what is asked: everything optional that changed is asked again.
        let material = draft.categories.iter().filter(|category| !category.necessary).map(|c| c.id.clone()).collect();
        let material: Vec<_> = if previous.is_some() { material } else { Vec::new() };
        let notice = draft.publish(previous.map(|p| &p.notice), &material, false)?;
        app.store
            .change(Change::PublishNotice { site: id, notice: Box::new(notice), material }, Actor::Machine(ACTOR))
            .await?;
    }
    app.store.registry().site(SITE).cloned().context("the demo's site is missing")
}

/// New keys for this run; those of earlier runs end.
async fn keys(app: &App) -> anyhow::Result<[String; 3]> {
    for key in &app.store.registry().keys {
        if key.label == LABEL && key.revoked_at.is_none() {
            app.store.change(Change::RevokeKey { id: key.id.clone() }, Actor::Machine(ACTOR)).await?;
        }
    }
    let mut texts = [const { String::new() }; 3];
    for (role, text) in Role::ALL.into_iter().zip(&mut texts) {
        let (key, secret) = mint(role, vec![SiteId::parse(SITE)?], LABEL, app.clock.now(), None);
        app.store.change(Change::CreateKey(key), Actor::Machine(ACTOR)).await?;
        secret.reveal().clone_into(text);
    }
    Ok(texts)
}

/// The officer for this run, with a new password; the one of an earlier run goes.
async fn officer(app: &App) -> anyhow::Result<Secret> {
    let registry = app.store.registry();
    // Somebody else's officer, of a site that is no demo, is left alone; the new one then cannot have the name.
    let earlier = registry.user_named(OFFICER).filter(|user| user.sites.iter().all(|site| site.as_str() == SITE));
    if let Some(id) = earlier.map(|user| user.id.clone()) {
        app.store.change(Change::RemoveUser { id }, Actor::Machine(ACTOR)).await?;
    }
    let made = users::generate_password();
    let password = made.reveal().to_owned();
    let user = User {
        id: users::new_id(),
        name: OFFICER.to_owned(),
        role: Role::Officer,
        sites: vec![SiteId::parse(SITE)?],
        password: tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await?,
        created_at: app.clock.now(),
        disabled_at: None,
    };
    app.store.change(Change::CreateUser(user), Actor::Machine(ACTOR)).await?;
    Ok(made)
}

fn tell(args: &Args, address: SocketAddr, site: &Site, keys: &[String; 3], password: &Secret, data: &std::path::Path) {
    let host =
        if address.ip().is_unspecified() { format!("127.0.0.1:{}", address.port()) } else { address.to_string() };
    let [backend, officer, admin] = keys;
    if args.json {
        let line = serde_json::json!({
            "site": SITE,
            "site_url": format!("http://{host}/"),
            "console_url": null,
            "docs_url": format!("http://{host}/docs"),
            "officer": { "user": OFFICER, "password": password.reveal() },
            "backend_key": backend,
            "officer_key": officer,
            "admin_key": admin,
            "log_key": site.log_key,
            "data": data,
        });
        say!("{line}");
        return;
    }
    say!("The site          http://{host}/");
    say!("The API           http://{host}/docs");
    say!("Backend key       {backend}");
    say!("Officer key       {officer}");
    say!("Officer's login   {OFFICER}  {}", password.reveal());
    say!("Admin key         {admin}");
    say!("Log key           {}", site.log_key);
    say!("Data              {}{}", data.display(), if args.data.is_some() { "" } else { "  (gone when this ends)" });
    say!("");
    say!("Choose something on the site, then:");
    say!("  curl -H 'Authorization: Bearer {officer}' http://{host}/v1/sites/{SITE}/export -o audit.jsonl");
    say!("  consent verify audit.jsonl --key '{}'", site.log_key);
    say!("");
    say!("Stop with Ctrl-C.");
}
