//! `consent notice lint|publish`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use consent_core::id::CategoryId;
use consent_core::lint::{self, Severity};
use consent_core::notice::{Draft, PublishError, diff};

use super::{ACTOR, Data, block_on};
use crate::app;
use crate::store::{Change, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a draft against the law's requirements and ours
    #[command(after_help = "Example:\n  consent notice lint notice.toml\n  consent notice lint --rules")]
    Lint {
        /// The draft, TOML or JSON
        #[arg(required_unless_present = "rules")]
        file: Option<PathBuf>,
        /// List the rules
        #[arg(long)]
        rules: bool,
    },
    /// Make a draft the notice in force: an immutable version
    #[command(after_help = "Example:\n  consent notice publish notice.toml --site shop --material statistics")]
    Publish {
        /// The draft, TOML or JSON
        file: PathBuf,
        /// The site
        #[arg(long)]
        site: String,
        /// A category that the change is material for: people are asked about it again; repeat for more
        #[arg(long = "material", num_args = 1..)]
        material: Vec<String>,
        /// Nothing of the change is material: nobody is asked again
        #[arg(long, conflicts_with = "material")]
        editorial: bool,
        #[command(flatten)]
        data: Data,
    },
}

/// Reads a draft.
pub(super) fn read(file: &Path) -> anyhow::Result<Draft> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text, file.extension().is_some_and(|ending| ending == "json"))
        .with_context(|| format!("{} is not a notice", file.display()))
}

/// Parses a draft of TOML or JSON.
pub(super) fn parse(text: &str, json: bool) -> anyhow::Result<Draft> {
    Ok(if json { serde_json::from_str(text)? } else { toml::from_str(text)? })
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Lint { rules: true, .. } => {
            for rule in lint::RULES {
                say!("{}\t{}\t{}", rule.id, rule.title, rule.law);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Lint { file, .. } => {
            let file = file.context("name the draft")?;
            let findings = lint::lint(&read(&file)?);
            for finding in &findings {
                say!("{finding}");
            }
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
            eprintln!("{errors} errors, {} warnings, {} rules", findings.len() - errors, lint::RULES.len());
            Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Publish { file, site, material, editorial, data } => {
            let draft = read(&file)?;
            let app = app::open(&data.data)?;
            let registry = app.store.registry();
            let site = registry.site(&site).with_context(|| format!("there is no site {site}"))?;
            let mut ids = Vec::new();
            for id in &material {
                ids.push(CategoryId::parse(id).with_context(|| format!("--material {id}"))?);
            }
            let previous = site.notice().map(|published| &published.notice);
            for change in previous.map(|previous| diff(previous, &draft)).unwrap_or_default() {
                say!("{change}");
            }
            let notice = match draft.publish(previous, &ids, editorial) {
                Ok(notice) => notice,
                Err(error @ PublishError::Unclassified(_)) => {
                    bail!("{error}\nsay --material CATEGORY for what people must be asked about again, or --editorial")
                }
                Err(error) => bail!("{error}"),
            };
            let version = notice.version();
            let change = Change::PublishNotice { site: site.id.clone(), notice: Box::new(notice), material: ids };
            block_on(app.store.change(change, ACTOR))??;
            say!("version {version} of the notice of {} is in force", site.id);
            Ok(ExitCode::SUCCESS)
        }
    }
}
