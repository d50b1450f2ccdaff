//! `consent user create|list|password|disable|enable|remove`.

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use consent_core::id::SiteId;

use super::{Data, block_on, machine, site_ids};
use crate::app::{self, App};
use crate::store::{Change, Registry, Store, UserUpdate};
use crate::users::{self, PasswordHash, User};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a user; the password is asked for, or read as a line of the input
    #[command(after_help = "Example:\n  consent user create ada@shop.example --role officer --site shop\n  \
        consent user create ada@shop.example --role officer --site shop --generate")]
    Create {
        /// What they log in with: a-z 0-9 . _ @ + -
        name: String,
        /// officer or admin
        #[arg(long)]
        role: String,
        /// A site of theirs; repeat for more
        #[arg(long = "site", required = true)]
        sites: Vec<String>,
        /// Make a password and show it once
        #[arg(long)]
        generate: bool,
        #[command(flatten)]
        data: Data,
    },
    /// List the users
    #[command(after_help = "Example:\n  consent user list")]
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Give a user another password; they are logged out everywhere
    #[command(after_help = "Example:\n  consent user password ada@shop.example --generate")]
    Password {
        /// Their name or id
        user: String,
        /// Make a password and show it once
        #[arg(long)]
        generate: bool,
        #[command(flatten)]
        data: Data,
    },
    /// Keep a user out, at once
    #[command(after_help = "Example:\n  consent user disable ada@shop.example")]
    Disable {
        /// Their name or id
        user: String,
        #[command(flatten)]
        data: Data,
    },
    /// Let a user in again
    #[command(after_help = "Example:\n  consent user enable ada@shop.example")]
    Enable {
        /// Their name or id
        user: String,
        #[command(flatten)]
        data: Data,
    },
    /// Remove a user with their name; what they did stays in the log under their id
    #[command(after_help = "Example:\n  consent user remove ada@shop.example")]
    Remove {
        /// Their name or id
        user: String,
        #[command(flatten)]
        data: Data,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Create { name, role, sites, generate, data } => {
            let (name, role) = (users::name(&name)?, users::role(&role)?);
            let app = app::open(&data.data)?;
            let registry = app.store.registry();
            let ids = site_ids(&registry, &sites)?;
            if registry.user_named(&name).is_some() {
                bail!("there is a user {name} already");
            }
            let (id, created_at) = (users::new_id(), app.clock.now());
            let (password, shown) = password(generate)?;
            let user = User { id: id.clone(), name, role, sites: ids, password, created_at, disabled_at: None };
            block_on(app.store.change(Change::CreateUser(user), machine()))??;
            eprintln!("created {} {id}", role.as_str());
            show(shown);
        }
        Command::List { data } => {
            let app = app::open(&data.data)?;
            for user in &app.store.registry().users {
                let sites: Vec<&str> = user.sites.iter().map(SiteId::as_str).collect();
                let state = user.disabled_at.map_or("live".to_owned(), |at| format!("disabled {at}"));
                say!("{}\t{}\t{}\t{}\t{state}", user.id, user.role.as_str(), sites.join(" "), user.name);
            }
        }
        Command::Password { user, generate, data } => {
            let app = app::open(&data.data)?;
            let id = named(&app.store.registry(), &user)?;
            let (password, shown) = password(generate)?;
            update(&app, &id, UserUpdate { password: Some(password), ..UserUpdate::default() })?;
            eprintln!("changed the password of {id}");
            show(shown);
        }
        Command::Disable { user, data } => disable(&data, &user, true)?,
        Command::Enable { user, data } => disable(&data, &user, false)?,
        Command::Remove { user, data } => {
            let app = app::open(&data.data)?;
            let id = named(&app.store.registry(), &user)?;
            block_on(app.store.change(Change::RemoveUser { id: id.clone() }, machine()))??;
            say!("removed user {id}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn disable(data: &Data, user: &str, disabled: bool) -> anyhow::Result<()> {
    let app = app::open(&data.data)?;
    let id = named(&app.store.registry(), user)?;
    update(&app, &id, UserUpdate { disabled: Some(disabled), ..UserUpdate::default() })?;
    say!("{} user {id}", if disabled { "disabled" } else { "enabled" });
    Ok(())
}

fn update(app: &App, id: &str, update: UserUpdate) -> anyhow::Result<()> {
    Ok(block_on(app.store.change(Change::UpdateUser { id: id.to_owned(), update }, machine()))??)
}

fn named(registry: &Registry, user: &str) -> anyhow::Result<String> {
    let found = registry.user_named(&user.to_ascii_lowercase()).or_else(|| registry.user(user));
    Ok(found.with_context(|| format!("there is no user {user}"))?.id.clone())
}

/// The hash of a password that is made, asked for without showing it, or read from what is not a terminal; and what to show.
fn password(generate: bool) -> anyhow::Result<(PasswordHash, Option<String>)> {
    if generate {
        let made = users::generate_password();
        return Ok((PasswordHash::of(made.reveal()), Some(made.reveal().to_owned())));
    }
    let password = if std::io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ").context("cannot ask for a password")?;
        if rpassword::prompt_password("Once more: ").context("cannot ask for a password")? != password {
            bail!("the two are not the same");
        }
        password
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("cannot read a password from the input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    users::check_password(&password)?;
    Ok((PasswordHash::of(&password), None))
}

fn show(password: Option<String>) {
    if let Some(password) = password {
        eprintln!("this is the only time the password is shown:");
        say!("{password}");
    }
}
