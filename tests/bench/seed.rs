//! Sets of records, written by the store itself: the same code that records a decision of a visitor, its group commit and its syncs.
//! Only HTTP is left out. A set is kept in `target/bench` and used again.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use consent_core::decision::{Decision, Signals};
use consent_core::id::{ChoiceId, Language};
use consent_core::time::UnixMillis;
use consent_server::app;
use consent_server::config::Config;
use consent_server::store::{self, NewDecision, Site, Store};
use tokio::task::{JoinSet, LocalSet};

use crate::requests::{Act, Acts, SITE, UNDER_WAY, now};
use crate::rows::count;
use crate::server::Folder;

/// Changes with what is written: a set of another version is made anew.
const VERSION: u32 = 1;

/// Decisions under way: eight transactions full of them.
const AT_ONCE: u64 = UNDER_WAY / 2;

/// After so many, the rate is printed.
const STAGE: u64 = 1_000_000;

/// A set that is there.
pub(crate) struct Set {
    pub(crate) folder: Folder,
    pub(crate) acts: Acts,
    /// How many decisions it has; numbers below this are used.
    pub(crate) stored: u64,
}

/// The set of so many records, made if it is not there or is of another version or schema.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn set(records: u64) -> anyhow::Result<Set> {
    let own = std::env::current_exe().context("where this program is")?;
    let target = own.ancestors().nth(2).context("a program is in target/release")?;
    let path = target.join("bench").join(records.to_string());
    let made_by = format!("{VERSION} {}", store::schema());
    let note = path.join("seed");
    if let Some((by, begin)) = fs::read_to_string(&note).ok().as_deref().and_then(|text| text.trim().split_once('\n'))
        && by == made_by
        && let Ok(begin) = begin.parse()
    {
        let folder = Folder::open(&path)?;
        // More than there are decisions, since a log holds other records too.
        let stored = open(&folder.data())?.1;
        return Ok(Set { folder, acts: Acts::new(UnixMillis::new(begin)), stored });
    }
    if path.exists() {
        fs::remove_dir_all(&path).with_context(|| format!("remove the old set in {}", path.display()))?;
    }
    let begin = now()?;
    let folder = Folder::create(&path)?;
    let acts = Acts::new(begin);
    write(&folder.data(), acts, records)?;
    fs::write(&note, format!("{made_by}\n{}\n", begin.millis()))?;
    let stored = open(&folder.data())?.1;
    Ok(Set { folder, acts, stored })
}

/// The site of a set, and how many records its log has.
fn open(data: &Path) -> anyhow::Result<(app::App, u64)> {
    let app = app::open_with(Config { data: PathBuf::from(data), ..Config::default() }, false)?;
    let size = app.store.condition()?.sizes.iter().find(|(site, _)| site == SITE).map(|(_, size)| *size);
    Ok((app, size.context("the set has no site")?))
}

fn write(data: &Path, acts: Acts, records: u64) -> anyhow::Result<()> {
    let (app, _) = open(data)?;
    let site = app.store.registry().site(SITE).cloned().context("the set has no site")?;
    let (app, next, done) = (Rc::new(app), Rc::new(Cell::new(0)), Rc::new(Cell::new(0u64)));
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let tasks = LocalSet::new();
    let begin = Rc::new(Cell::new((Instant::now(), 0)));
    let whole = Instant::now();
    let database: Rc<Path> = Rc::from(data);
    let mut writers = JoinSet::new();
    for _ in 0..AT_ONCE.min(records) {
        let (app, site, database) = (Rc::clone(&app), Arc::clone(&site), Rc::clone(&database));
        let (next, done, begin) = (Rc::clone(&next), Rc::clone(&done), Rc::clone(&begin));
        writers.spawn_local_on(
            async move {
                loop {
                    let number: u64 = next.get();
                    if number >= records {
                        return anyhow::Ok(());
                    }
                    next.set(number + 1);
                    decide(&app, &site, acts.act(number)).await.with_context(|| format!("decision {number}"))?;
                    done.set(done.get() + 1);
                    if done.get() % STAGE == 0 {
                        let (since, before) = begin.replace((Instant::now(), done.get()));
                        say(&database, done.get(), done.get() - before, since);
                    }
                }
            },
            &tasks,
        );
    }
    runtime.block_on(tasks.run_until(async {
        while let Some(ended) = writers.join_next().await {
            ended.context("a task that seeds")??;
        }
        // As a server does when it has grown; checks of the log refer to it.
        app.store.publish(&site).await.context("publish the checkpoint")
    }))?;
    say(data, records, records, whole);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "records and bytes are far below 2^52")]
fn say(data: &Path, done: u64, of_them: u64, since: Instant) {
    let bytes: u64 = ["consent.db", "consent.db-wal"]
        .iter()
        .filter_map(|name| fs::metadata(data.join(name)).ok())
        .map(|file| file.len())
        .sum();
    eprintln!(
        "{} records, the last {} at {}/s, {} bytes for each on disk",
        count(done as f64),
        count(of_them as f64),
        count(of_them as f64 / since.elapsed().as_secs_f64()),
        count(bytes as f64 / done as f64)
    );
}

async fn decide(app: &app::App, site: &Arc<Site>, act: Act) -> anyhow::Result<()> {
    let Act { id, prev, subject, method, layer, control, granted } = act;
    let granted = granted.iter().map(|id| ChoiceId::parse(id)).collect::<Result<_, _>>()?;
    let decided_at = app.clock.now();
    let decision =
        Decision { id, prev, method, layer, granted, decided_at, signals: Signals::default(), on_behalf: false };
    let decision = NewDecision {
        decision,
        subject: Some(subject),
        notice: 1,
        language: Language::parse("en")?,
        control: Some(control),
        widget: None,
        behalf: None,
    };
    let recorded = app.store.decide(site, decision).await?;
    ensure!(!recorded.repeated, "the id was used before");
    Ok(())
}
