//! `consent serve`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use super::{machine, serve_on, stop};
use crate::config::{Config, Loaded};
use crate::store::{Change, Site, Store};
use crate::{app, http, logging, webhooks};

/// Run the service.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  consent serve --config consent.toml\n\nEvery option is in consent.example.toml. Each can be \
    given in the environment,\nlisten as CONSENT_LISTEN; a flag wins over the environment, and that over the file."
)]
pub(super) struct Args {
    /// The configuration
    #[arg(long, env = "CONSENT_CONFIG")]
    config: Option<PathBuf>,
    /// The address to listen on (CONSENT_LISTEN; 127.0.0.1:8080)
    #[arg(long)]
    listen: Option<String>,
    /// The folder with the database and the log keys (CONSENT_DATA; data)
    #[arg(long)]
    data: Option<String>,
    /// How often the checkpoint is published, in seconds (CONSENT_PUBLISH_EVERY_SECONDS; 10)
    #[arg(long)]
    publish_every_seconds: Option<String>,
    #[command(flatten)]
    webhooks: super::webhook::Delivery,
    /// Print what holds and where each value comes from, secrets masked, and end
    #[arg(long)]
    print_config: bool,
    /// Go on with a database that is older than what was published of it. What came later is lost, and the log says so
    #[arg(long)]
    accept_rollback: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut flags = vec![
        ("listen", args.listen.clone()),
        ("data", args.data.clone()),
        ("publish_every_seconds", args.publish_every_seconds.clone()),
    ];
    flags.extend(args.webhooks.flags());
    let loaded = Loaded::read(args.config.as_deref(), std::env::vars(), &flags)?;
    if args.print_config {
        say!("{}", loaded.to_string().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    logging::start(loaded.config.log, loaded.config.log_format);
    serve_on(serve(loaded.config, args.accept_rollback))
}

async fn serve(config: Config, accept_rollback: bool) -> anyhow::Result<ExitCode> {
    let stop = stop()?;
    let app = Arc::new(app::open_with(config, accept_rollback)?);
    let _alone = app::serve_alone(&app.data)?;
    for (site, broken) in app.store.rolled_back() {
        accepted(&app, site, broken).await?;
    }
    for site in &app.store.registry().sites {
        compare_with_witnesses(&app, site, accept_rollback).await?;
    }
    if app.store.registry().sites.is_empty() {
        tracing::warn!("there is no site yet: make one with `consent site create`");
    }
    let listen = app.config.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (listen)"))?;
    let metrics = match app.config.metrics_listen {
        Some(at) => {
            Some(TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at} (metrics_listen)"))?)
        }
        None => None,
    };
    let address = listener.local_addr()?;
    let publishing = tokio::spawn(Arc::clone(&app).publish_forever());
    let delivering = tokio::spawn(webhooks::deliver_forever(Arc::clone(&app)));
    let watching = metrics.map(|listener| {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "metrics on http://{address}/metrics");
        }
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            http::serve(listener, http::operators(Arc::clone(&app)), &app, std::future::pending()).await
        })
    });
    tracing::info!(%address, "listening on http://{address}");
    let stop = Arc::clone(&app).until(stop);
    http::serve(listener, http::router(Arc::clone(&app), None), &app, stop).await?;
    publishing.abort();
    delivering.abort();
    if let Some(watching) = watching {
        watching.abort();
    }
    close(app).await;
    Ok(ExitCode::SUCCESS)
}

/// Records that a log goes on without what the world has seen of it.
async fn accepted(app: &app::App, site: &Site, broken: &str) -> anyhow::Result<()> {
    tracing::warn!(site = %site.id, "a rollback of {} was accepted: {broken}", site.id);
    let change = Change::Restored { site: site.id.clone(), target: format!("rollback accepted: {broken}") };
    Ok(app.store.change(change, machine()).await?)
}

/// Asks the witnesses what they have seen of a log. One that does not answer keeps nobody from starting: that would let it stop the
/// service. What one has seen must be there.
async fn compare_with_witnesses(app: &Arc<app::App>, site: &Arc<Site>, accept_rollback: bool) -> anyhow::Result<()> {
    if app.config.witnesses.is_empty() {
        return Ok(());
    }
    let (asking, of) = (Arc::clone(app), Arc::clone(site));
    for (witness, seen) in tokio::task::spawn_blocking(move || asking.witnesses.latest(&of)).await? {
        match seen {
            Ok(None) => {}
            Ok(Some(note)) => {
                if let Some(broken) = app.store.compare_with_witness(site, &witness, &note, accept_rollback)? {
                    accepted(app, site, &broken).await?;
                }
            }
            Err(why) => {
                tracing::warn!(site = %site.id, "what {witness} has seen of {} is not known: {why}", site.id);
            }
        }
    }
    Ok(())
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
