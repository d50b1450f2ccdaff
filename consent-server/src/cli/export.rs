//! `consent export`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use consent_core::checkpoint::Checkpoint;
use consent_core::record::Action;
use consent_core::time::UnixMillis;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Data, block_on, machine};
use crate::app::{self, App};
use crate::export::{TimeRange, csv, jsonl};
use crate::store::{Change, Signers, Site, Store};

/// Export the records of a site with their proof.
///
/// That this was done becomes a record of the log, which is the last one of the export.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  consent export --site demo --format jsonl -o audit.jsonl\n  consent export --site demo --from 2026-01-01T00:00:00Z --to 2026-04-01T00:00:00Z -o quarter.jsonl"
)]
pub(super) struct Args {
    /// The site
    #[arg(long)]
    site: String,
    /// Records recorded at or after this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = UnixMillis::parse)]
    from: Option<UnixMillis>,
    /// Records recorded before this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = UnixMillis::parse)]
    to: Option<UnixMillis>,
    /// jsonl carries its proof; csv is for a spreadsheet and proves nothing
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Where to write it; `-` for the standard output
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    data: Data,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Jsonl,
    Csv,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { site, from, to, format, output, data: Data { data } } = args;
    let range = (from, to);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        bail!("--from must not be later than --to");
    }
    if !data.join("consent.db").exists() {
        bail!("there is no database in {}", data.display());
    }
    let app = app::open(&data)?;
    let site = Arc::clone(super::site(&app.store.registry(), &site)?);
    block_on(record_access(&app, &site, format, range))??;
    let export = || Export::of(&app, &site, format, range);
    if output == Path::new("-") {
        export()?.write(&mut io::stdout().lock())?;
    } else {
        // Beside the file, so that it can be renamed; a failed export leaves what was there before.
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".consent-export-")
            .tempfile_in(folder)
            .with_context(|| format!("cannot write into {}", folder.display()))?;
        let export = export()?;
        export.write(file.as_file_mut()).with_context(|| format!("cannot write {}", output.display()))?;
        file.as_file().sync_all()?;
        file.persist(&output).with_context(|| format!("cannot write {}", output.display()))?;
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        let size = std::fs::metadata(&output)?.len();
        eprintln!("wrote {} ({size} bytes)", output.display());
        export.tell();
    }
    Ok(ExitCode::SUCCESS)
}

/// Records who exports what, before anything of it is read, and publishes the checkpoint that covers it.
async fn record_access(app: &App, site: &Arc<Site>, format: Format, range: TimeRange) -> anyhow::Result<()> {
    let name = if format == Format::Jsonl { "jsonl" } else { "csv" };
    let bound = |at: Option<UnixMillis>, open: &str| at.map_or_else(|| open.to_owned(), |at| at.to_string());
    let target = format!("{name} from {} to {}", bound(range.0, "the start"), bound(range.1, "the end"));
    app.store.change(Change::Access { site: site.id.clone(), action: Action::Export, target }, machine()).await?;
    app.store.publish(site).await?;
    Ok(())
}

struct Export<'a> {
    app: &'a App,
    site: &'a Site,
    format: Format,
    range: TimeRange,
    signer: consent_core::note::SigningKey,
    stretch: crate::store::Stretch,
    head: Checkpoint,
}

impl<'a> Export<'a> {
    fn of(app: &'a App, site: &'a Site, format: Format, range: TimeRange) -> anyhow::Result<Self> {
        let signer = app.signers.signer(site.keys()?.current())?;
        let stretch = app.store.stretch(site, range.0, range.1)?;
        let head = Checkpoint::open(&stretch.checkpoint, &signer.vkey()).context("the published checkpoint")?;
        Ok(Self { app, site, format, range, signer, stretch, head })
    }

    fn write(&self, to: &mut impl Write) -> anyhow::Result<()> {
        let Self { app, site, format, range, signer, stretch, .. } = self;
        let bar = progress(stretch.to - stretch.from);
        let mut out = |chunk: &[u8]| {
            to.write_all(chunk)?;
            if !bar.is_hidden() {
                // One line for each record; the few others do not show.
                bar.inc(chunk.split(|&byte| byte == b'\n').count() as u64 - 1);
            }
            Ok(())
        };
        match format {
            Format::Jsonl => jsonl::write(&*app.store, site, signer, stretch, *range, &mut out),
            Format::Csv => csv::write(&*app.store, site, signer, stretch, *range, &mut out),
        }?;
        to.flush()?;
        bar.finish_and_clear();
        Ok(())
    }

    fn tell(&self) {
        let (from, to) = (self.stretch.from, self.stretch.to);
        match to.checked_sub(1).filter(|&last| last >= from) {
            Some(last) => eprintln!("records     {} ({from} to {last})", to - from),
            None => eprintln!("records     0"),
        }
        eprintln!("checkpoint  {} records", self.head.size);
        eprintln!("root        {}", self.head.root.to_base64());
        if self.format == Format::Jsonl {
            eprintln!("log key     {}", self.site.log_key);
        }
    }
}

fn progress(records: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} records, {per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    // Drawn on the standard error, and only if that is a terminal.
    ProgressBar::new(records).with_style(style)
}
