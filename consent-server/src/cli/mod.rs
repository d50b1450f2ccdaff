//! The command line: one file for each verb.

/// Prints a line, and lets go where nobody reads any more (`consent openapi | head`).
macro_rules! say {
    ($($text:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stdout().lock(), format_args!("{}\n", format_args!($($text)*))))
    };
}

mod backup;
mod consistency;
mod demo;
mod doctor;
mod export;
mod import;
mod init;
mod key;
mod lint_page;
mod log_key;
mod monitor;
mod notice;
mod serve;
mod site;
mod user;
mod verify;
mod webhook;
mod witness;

// What reads a stranger's file, for tests/fuzz to hand anything to.
pub use crate::draft::parse as parse_draft;
pub use verify::{Verdict, check as verify_file};

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, Subcommand};
use consent_core::id::SiteId;

use crate::config::Loaded;
use crate::store::{Actor, Registry, Site};

/// Consent management that can be proven: banner, service, evidence.
#[derive(Debug, Parser)]
#[command(name = "consent", version, after_help = "Example:\n  consent demo")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a small site with the banner, real gated scripts and all of the service
    Demo(demo::Args),
    /// Run the service
    Serve(serve::Args),
    /// Create, change and list sites
    #[command(subcommand)]
    Site(site::Command),
    /// Create, list, rotate and revoke API keys
    #[command(subcommand)]
    Key(key::Command),
    /// List and rotate the keys that sign the logs
    #[command(subcommand)]
    LogKey(log_key::Command),
    /// Tell other systems of every change by HTTP
    #[command(subcommand)]
    Webhook(webhook::Command),
    /// Create, list, change and remove the users of the console
    #[command(subcommand)]
    User(user::Command),
    /// Write a notice to start from
    Init(init::Args),
    /// Check, publish, compare and import notices
    #[command(subcommand)]
    Notice(notice::Command),
    /// Look through a page for what loads before a choice
    LintPage(lint_page::Args),
    /// Export the records of a site with their proof
    Export(export::Args),
    /// Take over what an earlier system recorded
    Import(import::Args),
    /// Check an export or a receipt offline
    Verify(verify::Args),
    /// Copy the database while it is served
    Backup(backup::BackupArgs),
    /// Put a back-up into an empty folder
    Restore(backup::RestoreArgs),
    /// Check that a log has kept what an earlier checkpoint signs
    Consistency(consistency::Args),
    /// Follow a log, and alarm if its past is ever changed
    Monitor(monitor::Args),
    /// Cosign the checkpoints of others' logs
    #[command(subcommand)]
    Witness(witness::Command),
    /// Look for what is wrong with an installation
    Doctor(doctor::Args),
    /// Print the description of the HTTP API (OpenAPI)
    #[command(after_help = "Example:\n  consent openapi > openapi.json")]
    Openapi,
}

/// Where the data is.
#[derive(Debug, clap::Args)]
struct Data {
    /// The folder with the database and the log keys
    #[arg(long, env = "CONSENT_DATA", default_value = "data")]
    data: PathBuf,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if !matches!(cli.command, Command::Serve(_)) {
        log_to_stderr();
    }
    let done = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(&args),
        Command::Site(command) => site::run(command),
        Command::Key(command) => key::run(command),
        Command::LogKey(command) => log_key::run(command),
        Command::Webhook(command) => webhook::run(command),
        Command::Consistency(args) => consistency::run(&args),
        Command::Monitor(args) => monitor::run(&args),
        Command::Witness(command) => witness::run(command),
        Command::User(command) => user::run(command),
        Command::Notice(command) => notice::run(command),
        Command::LintPage(args) => lint_page::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(&args),
        Command::Verify(args) => verify::run(args),
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Openapi => {
            say!("{}", crate::http::openapi());
            Ok(ExitCode::SUCCESS)
        }
    };
    done.unwrap_or_else(|error| {
        eprintln!("consent: {error:#}");
        // For verify 1 means "proof failed"; everything else that goes wrong is 2 there, and 1 would be a lie.
        ExitCode::from(2)
    })
}

/// What `CONSENT_LOG` and `CONSENT_LOG_FORMAT` say; `serve` reads its file first.
fn log_to_stderr() {
    let ours = std::env::vars().filter(|(name, _)| name.starts_with("CONSENT_LOG"));
    let config = Loaded::read(None, ours, &[]).map(|loaded| loaded.config).unwrap_or_default();
    crate::logging::start(config.log, config.log_format);
}

/// A runtime for a command that asks the store once or twice.
fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}

/// The runtime of a server, and a future that resolves when the process is asked to stop.
fn serve_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// A future that resolves at SIGINT or SIGTERM. They are caught from this call on, not only once it is awaited: a server that can
/// be reached must not die of them.
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    Ok(async { drop(tokio::signal::ctrl_c().await) })
}

/// The site of this name.
fn site<'r>(registry: &'r Registry, name: &str) -> anyhow::Result<&'r Arc<Site>> {
    registry.site(name).with_context(|| format!("there is no site {name}"))
}

/// The sites of these names, each once.
fn site_ids(registry: &Registry, names: &[String]) -> anyhow::Result<Vec<SiteId>> {
    let ids: anyhow::Result<BTreeSet<SiteId>> = names.iter().map(|name| Ok(site(registry, name)?.id.clone())).collect();
    Ok(ids?.into_iter().collect())
}

/// Who a command's acts are recorded for.
const ACTOR: &str = "command line";

/// Whoever has this machine.
fn machine() -> Actor {
    Actor::Machine(ACTOR)
}
