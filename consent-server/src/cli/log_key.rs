//! `consent log-key list|rotate`.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Data, block_on, machine};
use crate::app;
use crate::store::{Change, Signers, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the public keys of a log, with the sizes of the trees that each signs
    #[command(after_help = "Example:\n  consent log-key list --site shop")]
    List {
        /// The site
        #[arg(long)]
        site: String,
        #[command(flatten)]
        data: Data,
    },
    /// Sign the log of a site with a new key from now on
    #[command(
        after_help = "Example:\n  consent log-key rotate --site shop\n\nThe present key signs a hand-over that names the new one; \
        both are shown at /v1/sites/SITE/log/keys, the rotation is\na record of the log, and everything that was signed before stays \
        verifiable with the key before. Tell those who keep the\nkey, and copy the new key file to where the others are kept. May be done \
        beside a running server."
    )]
    Rotate {
        /// The site
        #[arg(long)]
        site: String,
        #[command(flatten)]
        data: Data,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { site, data } => {
            let app = app::open(&data.data)?;
            let registry = app.store.registry();
            let site = super::site(&registry, &site)?;
            for ranged in site.keys()?.all() {
                let to = ranged.to.map_or_else(|| "now".to_owned(), |to| to.to_string());
                say!("{}\tfrom {} to {to}", ranged.key, ranged.from);
            }
        }
        Command::Rotate { site, data } => {
            let app = app::open(&data.data)?;
            let registry = app.store.registry();
            let site = super::site(&registry, &site)?;
            let before = app.signers.path(site.keys()?.current());
            let key = app.signers.replace(&site.log_origin)?.vkey();
            let change = Change::RotateLogKey { site: site.id.clone(), key: key.to_string() };
            block_on(app.store.change(change, machine()))??;
            eprintln!("the log of {} is signed by another key from now on:", site.id);
            say!("{key}");
            eprintln!(
                "its private key is {}; {} signs nothing any more, but a back-up made before needs it",
                app.signers.path(&key).display(),
                before.display()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
