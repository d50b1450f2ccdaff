//! `consent witness serve|key`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::Subcommand;
use consent_core::note::CosigningKey;
use tokio::net::TcpListener;

use super::{serve_on, stop};
use crate::app;
use crate::clock::SystemClock;
use crate::files::make_private_folder;
use crate::http;
use crate::signers::FileSigners;
use crate::store::Signers;
use crate::witness::policy::{self, Logs};
use crate::witness::serve::{self, Witness};

/// Connections at one time: a witness is asked by few.
const CONNECTIONS: u32 = 256;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Cosign the checkpoints of others' logs
    #[command(
        after_help = "Example:\n  consent witness serve --name witness.example/w1 --log 'shop.example/consent+0a1b2c3d+AdV9…'\n\n\
        Signs only what extends everything it saw before (C2SP tlog-witness). The folder holds its private key and what it saw:\nkeep \
        both, and never serve two copies of them. Put TLS in front of it; /add-checkpoint and /HASH/checkpoint are public."
    )]
    Serve {
        /// The address to listen on
        #[arg(long, default_value = "127.0.0.1:8090")]
        listen: SocketAddr,
        #[command(flatten)]
        witness: Named,
        /// The public key of a log to cosign; repeat for more
        #[arg(long = "log", value_name = "VKEY")]
        logs: Vec<String>,
        /// A file with lines `log VKEY` (C2SP tlog-policy)
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Print the public key of a witness, made if it has none
    #[command(after_help = "Example:\n  consent witness key --name witness.example/w1")]
    Key {
        #[command(flatten)]
        witness: Named,
    },
}

/// Which witness.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// Its name, an address without scheme
    #[arg(long)]
    name: String,
    /// The folder with its private key and what it saw
    #[arg(long, default_value = "witness")]
    data: PathBuf,
}

impl Named {
    fn key(&self) -> anyhow::Result<CosigningKey> {
        make_folder(&self.data)?;
        let seed = FileSigners::new(self.data.clone()).create(&self.name)?;
        Ok(CosigningKey::from_seed(&self.name, *seed.seed())?)
    }
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    make_private_folder(path).with_context(|| format!("cannot make the folder {}", path.display()))
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { listen, witness, logs, policy } => {
            let mut known = match policy {
                Some(path) => {
                    let text = std::fs::read_to_string(&path);
                    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
                    policy::parse(&text).map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?
                }
                None => Logs::new(),
            };
            for log in &logs {
                policy::add(&mut known, log).map_err(anyhow::Error::msg)?;
            }
            ensure!(!known.is_empty(), "name a log to cosign with --log or --policy");
            serve_on(serve_witness(listen, witness, known))
        }
        Command::Key { witness } => {
            say!("{}", witness.key()?.vkey());
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn serve_witness(listen: SocketAddr, named: Named, logs: Logs) -> anyhow::Result<ExitCode> {
    let stop = stop()?;
    let key = named.key()?;
    // Two witnesses on one state could sign two pasts between them.
    let _alone = app::serve_alone(&named.data)?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr()?;
    tracing::info!("the key of this witness is {}", key.vkey());
    let witness = Arc::new(Witness::new(&named.data, key, logs, Arc::new(SystemClock)));
    tracing::info!(%address, "listening on http://{address}");
    http::accept(listener, serve::router(witness).into(), CONNECTIONS, &Arc::default(), stop).await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}
