//! `consent init`: the first file of a new site, and what to do with it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

/// Where everybody starts: lints clean but for who is responsible, and says what each line is for.
const START: &str = include_str!("../../notices/start.toml");

/// Write a notice to start from; nothing is overwritten.
///
/// Who is responsible and is not given here is marked TODO in it: it is not published before that is filled in.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  consent init --controller \"Shop Ltd\" --address \"1 Main Street, Cork, Ireland\" \\\n    \
    --contact privacy@shop.example"
)]
pub(super) struct Args {
    /// Where to write it
    #[arg(default_value = "notice.toml")]
    file: PathBuf,
    /// The legal name of who is responsible
    #[arg(long)]
    controller: Option<String>,
    /// Their postal address
    #[arg(long)]
    address: Option<String>,
    /// Their e-mail address for questions and requests
    #[arg(long)]
    contact: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut notice = START.to_owned();
    // Nobody publishes the name of an example by mistake: what is not given is to be filled in, and the lint says so.
    for (example, todo, value) in [
        ("\"Example Gardens Ltd\"", "TODO: the legal name", &args.controller),
        ("\"1 Example Lane, Exampletown, Ireland\"", "TODO: the postal address", &args.address),
        ("\"privacy@gardens.example\"", "TODO: an e-mail address", &args.contact),
    ] {
        notice = notice.replacen(example, &crate::draft::quoted(value.as_deref().unwrap_or(todo)), 1);
    }
    let name = args.file.display();
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&args.file) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!("{name} is there already; nothing was written"),
        Err(error) => return Err(error).with_context(|| format!("cannot write {name}")),
    };
    file.write_all(notice.as_bytes()).with_context(|| format!("cannot write {name}"))?;
    say!("wrote {name}. Say in it who you are and what your site does, then:");
    say!("  consent notice lint {name}");
    say!("  consent site create shop --log-origin shop.example/consent --origin https://shop.example");
    say!("  consent notice publish {name} --site shop");
    say!("  consent serve");
    Ok(ExitCode::SUCCESS)
}
