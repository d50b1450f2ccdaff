//! `consent webhook create|list|log|revoke|redeliver`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Subcommand;

use super::{Data, block_on, machine};
use crate::app::{self, App};
use crate::store::Store;
use crate::store::events::{Cursor, EventType};
use crate::store::webhooks::{Again, Webhook, WebhookStore, Which};
use crate::webhooks::manage::{self, Wanted};

/// How a server delivers.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Delivery {
    /// Let webhooks lead to private addresses, to other ports than 443, and over plain http (CONSENT_WEBHOOK_ALLOW_PRIVATE)
    #[arg(long)]
    webhook_allow_private: bool,
    /// How long the delivery of an event is tried before it is given up, in seconds (CONSENT_WEBHOOK_RETRY_SECONDS; 86400)
    #[arg(long)]
    webhook_retry_seconds: Option<String>,
}

impl Delivery {
    /// What the configuration is told of it.
    pub(super) fn flags(&self) -> [(&'static str, Option<String>); 2] {
        [
            ("webhook_allow_private", self.webhook_allow_private.then(|| true.to_string())),
            ("webhook_retry_seconds", self.webhook_retry_seconds.clone()),
        ]
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell an address of every change from now on; its secret is shown once
    #[command(
        after_help = "Example:\n  consent webhook create --site shop --url https://crm.shop.example/consent --types revoke,forget,erase"
    )]
    Create {
        /// The site
        #[arg(long)]
        site: String,
        /// Where the events are sent: https at port 443
        #[arg(long)]
        url: String,
        /// Which: grant, revoke (everything that denies something), forget, erase, expired, outdated; without, all
        #[arg(long, value_delimiter = ',')]
        types: Vec<String>,
        /// Begin behind this place in the event feed, such as where another webhook ended (`webhook list`); without, now
        #[arg(long)]
        after: Option<String>,
        /// Allow http, other ports and private addresses; the server must allow them too
        #[arg(long)]
        allow_private: bool,
        #[command(flatten)]
        data: Data,
    },
    /// List the webhooks and how they stand
    #[command(after_help = "Example:\n  consent webhook list")]
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Show what was sent to a webhook and what came of it, newest first
    #[command(after_help = "Example:\n  consent webhook log 4kq2zt7a --dead")]
    Log {
        /// Its id, as `webhook list` shows it
        id: String,
        /// Only what was given up
        #[arg(long)]
        dead: bool,
        /// At most so many lines
        #[arg(long, default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        data: Data,
    },
    /// End a webhook
    #[command(after_help = "Example:\n  consent webhook revoke 4kq2zt7a")]
    Revoke {
        /// Its id, as `webhook list` shows it
        id: String,
        #[command(flatten)]
        data: Data,
    },
    /// Send again what was given up, or one event, if it still holds
    #[command(after_help = "Example:\n  consent webhook redeliver 4kq2zt7a")]
    Redeliver {
        /// Its id, as `webhook list` shows it
        id: String,
        /// The id of one event, as `webhook log` shows it; without, all that was given up
        #[arg(long)]
        event: Option<String>,
        #[command(flatten)]
        data: Data,
    },
}

fn find(app: &App, id: &str) -> anyhow::Result<Webhook> {
    app.store
        .webhooks()?
        .into_iter()
        .find(|webhook| webhook.id == id)
        .with_context(|| format!("there is no webhook {id}"))
}

fn names(types: &[EventType]) -> String {
    types.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",")
}

fn parse(types: &[String]) -> anyhow::Result<Vec<EventType>> {
    let mut parsed = Vec::new();
    for text in types {
        let known = || anyhow!("\"{text}\" is not one of {}", names(&EventType::ALL));
        parsed.push(EventType::parse(text.trim()).ok_or_else(known)?);
    }
    Ok(parsed)
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { site, url, types, after, allow_private, data } => {
            let types = parse(&types)?;
            let after = after
                .map(|text| Cursor::parse(&text).context("--after is the cursor of an event, or the next of a page"));
            let wanted = Wanted { url, types, after: after.transpose()?, allow_private };
            let app = app::open(&data.data)?;
            let site = Arc::clone(super::site(&app.store.registry(), &site)?);
            let (Webhook { id, .. }, secret) = block_on(manage::create(&app, &site, wanted, machine()))??;
            eprintln!("created webhook {id}; this is the only time its secret is shown:");
            say!("{}", secret.reveal());
        }
        Command::List { data } => {
            let app = app::open(&data.data)?;
            for webhook in app.store.webhooks()? {
                let retrying = app.store.deliveries(&webhook.id, Which::Open, None, 1)?.pop();
                let state = match (webhook.ended, retrying) {
                    (Some((at, why)), _) => format!("{} {at}", why.as_str()),
                    (None, Some(delivery)) => format!("{} since {}", delivery.state.as_str(), delivery.first_at),
                    (None, None) => "live".to_owned(),
                };
                let dead = app.store.dead_letters(&webhook.id)?;
                let Webhook { id, site, url, types, cursor, .. } = &webhook;
                say!("{id}\t{site}\t{state}\t{dead} dead\t{}\t{url}\tat {cursor}", names(types));
            }
        }
        Command::Log { id, dead, limit, data } => {
            let app = app::open(&data.data)?;
            find(&app, &id)?;
            let which = if dead { Which::Dead } else { Which::All };
            for delivery in app.store.deliveries(&id, which, None, limit)? {
                let answer = match (delivery.status, &delivery.error) {
                    (Some(status), _) => status.to_string(),
                    (None, Some(why)) => why.clone(),
                    (None, None) => "not sent".to_owned(),
                };
                let (at, state, times) = (delivery.last_at, delivery.state.as_str(), delivery.attempts);
                say!("{at}\t{}\t{state}\t{times}x\t{answer}\t{}", delivery.kind.as_str(), delivery.event);
            }
        }
        Command::Revoke { id, data } => {
            let app = app::open(&data.data)?;
            let site = find(&app, &id)?.site;
            block_on(manage::revoke(&app, &site, &id, machine()))??;
            say!("revoked webhook {id}");
        }
        Command::Redeliver { id, event, data } => {
            let app = app::open(&data.data)?;
            let site = find(&app, &id)?.site;
            let which = event.map_or(Again::Dead, Again::Event);
            block_on(manage::redeliver(&app, &site, &id, which, machine()))??;
            say!("webhook {id} sends them again");
        }
    }
    Ok(ExitCode::SUCCESS)
}
