//! `consent notice lint|publish|list|show|diff|import`.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Subcommand;
use consent_core::id::CategoryId;
use consent_core::lint::{self, Severity};
use consent_core::notice::{self, Draft, Notice, PublishError, diff};

use super::{Data, block_on, machine};
use crate::app::{self, App};
use crate::draft;
use crate::import::{self, Peer};
use crate::store::{Change, Published, Site, Store};

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
    ///
    /// Shows what would change. On a terminal it asks which of it people must be asked about again; elsewhere --material or
    /// --editorial must say so.
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
    /// List the versions: number, when, SHA-256, categories asked about again, languages
    #[command(after_help = "Example:\n  consent notice list --site shop")]
    List {
        /// The site
        #[arg(long)]
        site: String,
        #[command(flatten)]
        data: Data,
    },
    /// Print a version as a draft that can be edited and published again
    #[command(after_help = "Example:\n  consent notice show --site shop > notice.toml")]
    Show {
        /// The site
        #[arg(long)]
        site: String,
        /// Which; the one in force if not given
        #[arg(long)]
        version: Option<u32>,
        /// toml or json
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        #[command(flatten)]
        data: Data,
    },
    /// Show what a draft would change, or what a version has changed
    #[command(
        after_help = "Example:\n  consent notice diff notice.toml --site shop\n  consent notice diff --site shop --from 1 --to 2"
    )]
    Diff {
        /// The draft, TOML or JSON
        #[arg(required_unless_present = "to")]
        file: Option<PathBuf>,
        /// The site
        #[arg(long)]
        site: String,
        /// The version to compare with; the one in force if not given, or the one before --to
        #[arg(long)]
        from: Option<u32>,
        /// Compare with this version, and no draft
        #[arg(long, conflicts_with = "file")]
        to: Option<u32>,
        #[command(flatten)]
        data: Data,
    },
    /// Make a draft of another consent manager's configuration
    ///
    /// Reads JSON, JavaScript and TypeScript without running it. What could not be taken over is listed on the standard error; what
    /// the law asks and the configuration does not say is marked TODO in the draft.
    #[command(after_help = "Example:\n  consent notice import --from klaro config.js -o notice.toml")]
    Import {
        /// Whose configuration it is
        #[arg(long, value_enum)]
        from: Peer,
        /// The configuration
        file: PathBuf,
        /// Where to write the draft, which must not be there; the standard output if not given
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum Format {
    #[default]
    Toml,
    Json,
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
            let findings = draft::lint_file(&file)?;
            for finding in &findings {
                say!("{finding}");
            }
            let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
            eprintln!("{errors} errors, {} warnings, {} rules", findings.len() - errors, lint::RULES.len());
            Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Publish { file, site, material, editorial, data } => {
            publish(&file, &site, &material, editorial, &data)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::List { site, data } => {
            let (_, site) = open(&data, &site)?;
            for published in &site.notices {
                list(published);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Show { site, version, format, data } => {
            let (_, site) = open(&data, &site)?;
            let notice = &pick(&site, version)?.notice;
            let draft = serde_json::to_value(notice.to_draft())?;
            match format {
                Format::Toml => {
                    say!("# Version {} of the notice of {}, as a draft.", notice.version(), site.id);
                    say!("{}", draft::to_toml(&draft).trim_end());
                }
                Format::Json => say!("{}", serde_json::to_string_pretty(&draft)?),
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Diff { file, site, from, to, data } => {
            let (_, site) = open(&data, &site)?;
            let changes = match (to, file) {
                (Some(to), _) => {
                    let after = &pick(&site, Some(to))?.notice;
                    let from =
                        from.or(to.checked_sub(1).filter(|from| *from > 0)).context("version 1 has none before it")?;
                    after.changes_since(&pick(&site, Some(from))?.notice)
                }
                (None, file) => {
                    let draft = draft::read(&file.context("name the draft")?)?;
                    diff(&pick(&site, from)?.notice, &draft)
                }
            };
            for change in &changes {
                say!("{change}");
            }
            let material = changes.iter().filter(|change| change.material).count();
            eprintln!("{} changes, {material} of them material unless stated editorial", changes.len());
            Ok(ExitCode::SUCCESS)
        }
        Command::Import { from, file, output } => {
            take_over(from, &file, output.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn open(data: &Data, site: &str) -> anyhow::Result<(App, Arc<Site>)> {
    if !data.data.join("consent.db").exists() {
        bail!("there is no database in {}", data.data.display());
    }
    let app = app::open(&data.data)?;
    let site = Arc::clone(super::site(&app.store.registry(), site)?);
    Ok((app, site))
}

fn pick(site: &Site, version: Option<u32>) -> anyhow::Result<&Arc<Published>> {
    match version {
        Some(version) => site.version(version).with_context(|| format!("{} has no notice version {version}", site.id)),
        None => site.notice().with_context(|| format!("{} has no notice: `consent notice publish`", site.id)),
    }
}

fn list(published: &Published) {
    let version = published.outline.version;
    let asked = published.outline.optional().filter(|category| category.since == version);
    let asked: Vec<_> = asked.map(|category| category.id.as_str()).collect();
    let languages: Vec<_> = published.notice.languages().iter().map(ToString::to_string).collect();
    let asked = if asked.is_empty() { "-".to_owned() } else { asked.join(" ") };
    say!("{version}\t{}\t{}\t{asked}\t{}", published.published_at, published.sha256, languages.join(" "));
}

fn publish(file: &Path, site: &str, material: &[String], editorial: bool, data: &Data) -> anyhow::Result<()> {
    let draft = draft::read(file)?;
    let app = app::open(&data.data)?;
    let registry = app.store.registry();
    let site = super::site(&registry, site)?;
    let mut ids = Vec::new();
    for id in material {
        ids.push(CategoryId::parse(id).with_context(|| format!("--material {id}"))?);
    }
    let previous = site.notice().map(|published| &published.notice);
    let changes = previous.map(|previous| diff(previous, &draft)).unwrap_or_default();
    for change in &changes {
        say!("{change}");
    }
    let ask = ids.is_empty() && !editorial && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let answers = if ask {
        ask_what_is_material(&draft, &changes, &mut std::io::stdin().lock(), &mut std::io::stderr())?
    } else {
        Answers { material: ids, editorial }
    };
    let notice = publish_draft(draft, previous, &answers)?;
    let version = notice.version();
    let change = Change::PublishNotice { site: site.id.clone(), notice: Box::new(notice), material: answers.material };
    block_on(app.store.change(change, machine()))??;
    say!("version {version} of the notice of {} is in force", site.id);
    Ok(())
}

fn publish_draft(draft: Draft, previous: Option<&Notice>, answers: &Answers) -> anyhow::Result<Notice> {
    match draft.publish(previous, &answers.material, answers.editorial) {
        Ok(notice) => Ok(notice),
        Err(error @ PublishError::Unclassified(_)) => {
            bail!("{error}\nsay --material CATEGORY for what people must be asked about again, or --editorial")
        }
        Err(error) => bail!("{error}"),
    }
}

/// What somebody said about the changes.
#[derive(Debug, PartialEq)]
struct Answers {
    material: Vec<CategoryId>,
    editorial: bool,
}

/// Asks about each category that has a change of the material kind whether people are to be asked again.
///
/// # Errors
/// If no answer comes: then nothing is published.
fn ask_what_is_material(
    draft: &Draft,
    changes: &[notice::Change],
    input: &mut impl BufRead,
    output: &mut impl Write,
) -> anyhow::Result<Answers> {
    let mut answers = Answers { material: Vec::new(), editorial: false };
    let changes: Vec<_> = changes.iter().filter(|change| change.material).collect();
    let optional =
        || draft.categories.iter().filter(|category| !category.necessary).map(|category| category.id.clone());
    if changes.iter().any(|change| change.category.is_none()) {
        let paths = paths(&changes, None);
        if yes(&format!("{paths}: ask everybody again, about every category?"), input, output)? {
            answers.material = optional().collect();
        } else {
            answers.editorial = true;
        }
    }
    for category in draft.categories.iter().map(|category| &category.id) {
        if answers.material.contains(category)
            || changes.iter().all(|change| change.category.as_ref() != Some(category))
        {
            continue;
        }
        let paths = paths(&changes, Some(category));
        if yes(&format!("{paths}: ask people again about {category}?"), input, output)? {
            answers.material.push(category.clone());
        } else {
            answers.editorial = true;
        }
    }
    Ok(answers)
}

fn paths(changes: &[&notice::Change], category: Option<&CategoryId>) -> String {
    let of = changes.iter().filter(|change| change.category.as_ref() == category);
    of.map(|change| change.path.as_str()).collect::<Vec<_>>().join(", ")
}

fn yes(question: &str, input: &mut impl BufRead, output: &mut impl Write) -> anyhow::Result<bool> {
    loop {
        write!(output, "{question} [yes/no] ")?;
        output.flush()?;
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            bail!("no answer, so nothing was published");
        }
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

fn take_over(peer: Peer, file: &Path, output: Option<&Path>) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let imported = import::notice(peer, &text).with_context(|| format!("{} was not understood", file.display()))?;
    match output {
        Some(path) => {
            // A draft that somebody has begun to fill in must not be lost.
            let mut file =
                std::fs::File::create_new(path).with_context(|| format!("cannot write {}", path.display()))?;
            file.write_all(imported.toml.as_bytes())?;
        }
        None => say!("{}", imported.toml.trim_end()),
    }
    for line in &imported.left {
        eprintln!("not taken over: {line}");
    }
    let draft = output.map_or_else(|| "the draft".to_owned(), |path| path.display().to_string());
    eprintln!(
        "{} things were not taken over; {} values in {draft} are TODO: `consent notice lint` refuses it until they are filled in",
        imported.left.len(),
        imported.unfilled
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> Draft {
        draft::parse(include_str!("../../notices/demo-choice.toml"), false).unwrap()
    }

    type Edit<'a> = &'a dyn Fn(&mut Draft);
    /// Edits, what is typed, how many questions that takes, which categories are material then, and whether the rest is editorial.
    type Case<'a> = (&'a [Edit<'a>], &'a str, usize, &'a [&'a str], bool);

    #[test]
    fn a_terminal_is_asked_about_each_category_once() {
        let first = demo().publish(None, &[], false).unwrap();
        let statistics =
            |d: &mut Draft| d.categories[1].text.values_mut().for_each(|text| text.purpose.push_str(" More."));
        let marketing = |d: &mut Draft| d.categories[2].text.values_mut().for_each(|text| text.data.push_str(" More."));
        let controller = |d: &mut Draft| d.controller.name = "Other Ltd".into();
        let cases: &[Case<'_>] = &[
            (&[&statistics], "y\n", 1, &["statistics"], false),
            (&[&statistics], "what?\n\nNO\n", 3, &[], true),
            (&[&statistics, &marketing], "no\nyes\n", 2, &["marketing"], true),
            (&[&controller], "yes\n", 1, &["statistics", "marketing"], false),
            (&[&controller], "no\nno\nyes\n", 3, &["marketing"], true),
            (&[], "", 0, &[], false),
        ];
        for (edits, typed, questions, material, editorial) in cases {
            let mut draft = demo();
            edits.iter().for_each(|edit| edit(&mut draft));
            let changes = diff(&first, &draft);
            let mut shown = Vec::new();
            let answers = ask_what_is_material(&draft, &changes, &mut typed.as_bytes(), &mut shown).unwrap();
            let shown = String::from_utf8(shown).unwrap();
            assert_eq!(shown.matches("[yes/no]").count(), *questions, "{shown}");
            assert_eq!(answers.material.iter().map(CategoryId::as_str).collect::<Vec<_>>(), *material, "{shown}");
            assert_eq!(answers.editorial, *editorial, "{shown}");
            if !edits.is_empty() {
                let notice = publish_draft(draft, Some(&first), &answers).unwrap();
                let outline = notice.outline();
                let again =
                    outline.optional().filter(|category| category.since == 2).map(|category| category.id.as_str());
                assert_eq!(again.collect::<Vec<_>>(), *material);
            }
        }
        let mut draft = demo();
        statistics(&mut draft);
        let changes = diff(&first, &draft);
        assert!(ask_what_is_material(&draft, &changes, &mut &b"what\n"[..], &mut Vec::new()).is_err(), "no answer");
    }
}
