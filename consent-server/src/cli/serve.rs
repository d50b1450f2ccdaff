//! `consent serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::{serve_on, stop};
use crate::store::Store;
use crate::{app, http, webhooks};

/// Run the service.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  consent serve --config consent.toml\n\nExample of a consent.toml:\n  \
    listen = \"127.0.0.1:8080\"        # or CONSENT_LISTEN\n  \
    data = \"/var/lib/consent\"        # or CONSENT_DATA\n  \
    publish_every_seconds = 10       # or CONSENT_PUBLISH_EVERY_SECONDS")]
pub(super) struct Args {
    /// The configuration; every setting in it can also be given as CONSENT_*
    #[arg(long)]
    config: Option<PathBuf>,
    /// The address to listen on
    #[arg(long, env = "CONSENT_LISTEN")]
    listen: Option<SocketAddr>,
    /// The folder with the database and the log keys
    #[arg(long, env = "CONSENT_DATA")]
    data: Option<PathBuf>,
    /// How often the checkpoint is published, in seconds
    #[arg(long, env = "CONSENT_PUBLISH_EVERY_SECONDS")]
    publish_every_seconds: Option<u64>,
    #[command(flatten)]
    webhooks: super::webhook::Delivery,
}

/// What a `consent.toml` may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    listen: Option<SocketAddr>,
    data: Option<PathBuf>,
    publish_every_seconds: Option<u64>,
}

impl Args {
    fn config(&self) -> anyhow::Result<Config> {
        let Some(path) = &self.config else { return Ok(Config::default()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} cannot be used", path.display()))
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = args.config()?;
    let listen = args.listen.or(config.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
    let data = args.data.clone().or(config.data).unwrap_or_else(|| PathBuf::from("data"));
    let every = args.publish_every_seconds.or(config.publish_every_seconds).unwrap_or(10);
    if every == 0 {
        bail!("publish_every_seconds must be at least 1");
    }
    serve_on(async move {
        let stop = stop()?;
        let app = Arc::new(app::open(&data)?);
        let _alone = app::serve_alone(&data)?;
        if app.store.registry().sites.is_empty() {
            tracing::warn!("there is no site yet: make one with `consent site create`");
        }
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "listening on http://{address}");
        let publishing = tokio::spawn(Arc::clone(&app).publish_forever(Duration::from_secs(every)));
        let delivering = tokio::spawn(webhooks::deliver_forever(Arc::clone(&app), args.webhooks.options()));
        http::serve(listener, http::router(Arc::clone(&app), None), Arc::clone(&app).until(stop)).await?;
        publishing.abort();
        delivering.abort();
        close(app).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Publishes what was recorded last, and lets the store finish.
pub(super) async fn close(app: Arc<app::App>) {
    for site in &app.store.registry().sites {
        if let Err(error) = app.store.publish(site).await {
            tracing::error!(%error, site = %site.id, "the last checkpoint of {} was not published", site.id);
        }
    }
    tracing::info!("stopped");
}
