//! `consent site create|set|list`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use consent_core::id::SiteId;

use super::{Data, block_on, machine};
use crate::app;
use crate::store::{Change, SiteSettings, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a site with its log
    #[command(
        after_help = "Example:\n  consent site create shop --log-origin shop.example/consent --origin https://shop.example"
    )]
    Create {
        /// Its id: [a-z][a-z0-9-]{0,31}
        site: String,
        /// The first line of its checkpoints, a name without scheme; it can never change
        #[arg(long)]
        log_origin: String,
        /// A web origin whose pages may post decisions; repeat for more
        #[arg(long = "origin", required = true)]
        origins: Vec<String>,
        /// The Domain of the cookie, where the service is on another host of the same registrable domain
        #[arg(long)]
        cookie_domain: Option<String>,
        /// Show the banner in frames of other sites too, where people can refuse but not grant
        #[arg(long)]
        frames: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Give a site other settings: all of them, as they are from now on
    #[command(
        after_help = "Example:\n  consent site set shop --origin https://shop.example --origin https://www.shop.example"
    )]
    Set {
        /// Its id
        site: String,
        /// A web origin whose pages may post decisions; repeat for more
        #[arg(long = "origin", required = true)]
        origins: Vec<String>,
        /// The Domain of the cookie; without, the cookie is for the page's host only
        #[arg(long)]
        cookie_domain: Option<String>,
        /// Show the banner in frames of other sites too, where people can refuse but not grant
        #[arg(long)]
        frames: bool,
        #[command(flatten)]
        data: Data,
    },
    /// List the sites with their public log keys
    #[command(after_help = "Example:\n  consent site list")]
    List {
        #[command(flatten)]
        data: Data,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { site, log_origin, origins, cookie_domain, frames, data } => {
            let id = SiteId::parse(&site).with_context(|| format!("the id \"{site}\""))?;
            let settings = settings(origins, cookie_domain, frames)?;
            let app = app::open(&data.data)?;
            let change = Change::CreateSite { id: id.clone(), log_origin, settings };
            block_on(app.store.change(change, machine()))??;
            let registry = app.store.registry();
            let site = registry.site(id.as_str()).context("the site was created, and is not there")?;
            say!("created site {id}; the public key of its log is\n{}", site.log_key);
        }
        Command::Set { site, origins, cookie_domain, frames, data } => {
            let app = app::open(&data.data)?;
            let id = SiteId::parse(&site).with_context(|| format!("the id \"{site}\""))?;
            let change = Change::UpdateSite { site: id.clone(), settings: settings(origins, cookie_domain, frames)? };
            block_on(app.store.change(change, machine()))??;
            say!("changed site {id}");
        }
        Command::List { data } => {
            let app = app::open(&data.data)?;
            for site in &app.store.registry().sites {
                say!(
                    "{}\tnotice {}\t{}\t{}",
                    site.id,
                    site.notices.len(),
                    site.settings.origins.join(" "),
                    site.log_key
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(origins: Vec<String>, cookie_domain: Option<String>, frames: bool) -> anyhow::Result<SiteSettings> {
    let settings = SiteSettings { origins, cookie_name: "consent".to_owned(), cookie_domain, frames };
    settings.check()?;
    Ok(settings)
}
