//! `make bench`: the speeds and sizes of the real binary beside their targets, from one run on one machine.
//!
//! It measures on a set of ten thousand records and on one of ten million, which is made once (`seed`). `--quick` is a short run on the
//! small one, to see that it works; `--records N`, once or more often, names other sets; `--seed` only makes them.

mod audit;
mod check;
mod disk;
mod load;
mod requests;
mod rows;
mod seed;
mod server;
mod widget;

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::runtime::Runtime;

use load::Outcome;
use requests::{Kind, Traffic};
use rows::{Table, median};
use seed::Set;
use server::Server;

/// How much is done.
struct Plan {
    sets: Vec<u64>,
    rounds: usize,
    each: Duration,
    starts: usize,
    exported: u32,
    /// Only make the sets.
    seed: bool,
}

impl Plan {
    fn from_arguments() -> anyhow::Result<Self> {
        let mut plan = Self {
            sets: Vec::new(),
            rounds: 5,
            each: Duration::from_secs(3),
            starts: 5,
            exported: 200_000,
            seed: false,
        };
        let mut whole = true;
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => {
                    whole = false;
                    plan = Self { rounds: 3, each: Duration::from_millis(700), starts: 3, exported: 50_000, ..plan };
                }
                "--records" => {
                    let records = arguments.next().and_then(|n| n.replace('_', "").parse().ok());
                    plan.sets.push(records.filter(|n| *n >= 1000).context("--records needs a number from 1000")?);
                }
                "--seed" => plan.seed = true,
                other => bail!("{other}? There are --quick, --records N and --seed"),
            }
        }
        if plan.sets.is_empty() {
            plan.sets = if whole { vec![10_000, 10_000_000] } else { vec![10_000] };
        }
        Ok(plan)
    }
}

/// What the interleaved rounds gave, one of each for each.
#[derive(Default)]
struct Rounds {
    hello: Vec<Outcome>,
    decisions: Vec<Outcome>,
    checks: Vec<Outcome>,
    batches: Vec<Outcome>,
    refused: Vec<Outcome>,
    /// Records in one commit, on average.
    in_commit: Vec<f64>,
    /// Records per second of a bare append and fdatasync.
    raw: Vec<f64>,
}

/// What was measured on one set.
struct Measured {
    records: u64,
    rounds: Rounds,
    /// Milliseconds, of each start.
    starts: Vec<f64>,
    /// Resident kilobytes, one second after the start and after all load.
    idle: u64,
    loaded: u64,
    /// Bytes on disk for each record, and of a leaf.
    bytes: f64,
    leaf: usize,
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::from_arguments()?;
    // One thread: the load takes one core at most, and the same for every kind.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::default();
    let mut last = None;
    for &records in &plan.sets {
        let set = seed::set(records)?;
        if plan.seed {
            continue;
        }
        let (measured, leaves, script) = on_set(&plan, &runtime, records, &set)?;
        let demos = (0..plan.starts).map(|_| Ok(Server::demo(&set.folder)?.as_secs_f64() * 1000.0));
        let demo = median(&demos.collect::<anyhow::Result<Vec<_>>>()?);
        table.set(&measured);
        last = Some((leaves, script, demo));
    }
    let Some((leaves, script, demo)) = last else { return Ok(()) };
    let (nanoseconds, header) = check::nanoseconds();
    table.in_process(&nanoseconds, header);
    table.audit(&audit::rates(&leaves, plan.exported)?);
    table.start("`demo` to its first page", demo, 500.0);
    table.widget(&script, &widget::built()?);
    table.print();
    Ok(())
}

/// Everything that depends on how many records there are.
fn on_set(
    plan: &Plan,
    runtime: &Runtime,
    records: u64,
    set: &Set,
) -> anyhow::Result<(Measured, Vec<String>, widget::Sizes)> {
    let traffic = Rc::new(Traffic::new(set.folder.backend_key(), set.acts, set.stored)?);
    eprintln!("{} records in {}", traffic.stored(), set.folder.path().display());
    let mut starts = Vec::new();
    for _ in 0..plan.starts {
        let (server, took) = Server::serve(&set.folder, &traffic)?;
        starts.push(took.as_secs_f64() * 1000.0);
        server.stop()?;
    }
    #[expect(clippy::cast_precision_loss, reason = "bytes and records are far below 2^52")]
    let bytes = set.folder.bytes()? as f64 / set.stored as f64;
    let (server, _) = Server::serve(&set.folder, &traffic)?;
    let leaves = server.leaves()?;
    let leaf = leaves.iter().map(String::len).sum::<usize>() / leaves.len();
    server.stop()?;

    let (server, _) = Server::serve(&set.folder, &traffic)?;
    std::thread::sleep(Duration::from_secs(1));
    let idle = server.resident_kilobytes()?;
    let rounds = measure(plan, runtime, &server, &traffic, set, leaf)?;
    let loaded = server.resident_kilobytes()?;
    let script = widget::served(&server)?;
    server.stop()?;
    eprintln!("{} records at the end\n", traffic.stored());
    Ok((Measured { records, rounds, starts, idle, loaded, bytes, leaf }, leaves, script))
}

/// Hello, decisions, checks and the bare disk, in turns, so that what else the machine does falls on all of them alike.
fn measure(
    plan: &Plan,
    runtime: &Runtime,
    server: &Server,
    traffic: &Rc<Traffic>,
    set: &Set,
    leaf: usize,
) -> anyhow::Result<Rounds> {
    let mut rounds = Rounds::default();
    for round in 1..=plan.rounds {
        let go = |kind, each| runtime.block_on(load::run(server, traffic, kind, each));
        let hello = go(Kind::Hello, plan.each)?;
        let before = set.folder.commits()?;
        let decisions = go(Kind::Decision, plan.each)?;
        let commits = set.folder.commits()?.wrapping_sub(before);
        let checks = go(Kind::Check, plan.each)?;
        let batches = go(Kind::Batch, plan.each / 3)?;
        let refused = go(Kind::Refused, plan.each / 3)?;
        #[expect(clippy::cast_precision_loss, reason = "the decisions of a round are far below 2^52")]
        let in_commit = decisions.requests as f64 / f64::from(commits.max(1));
        let raw = disk::append_and_sync(set.folder.path(), leaf, in_commit, plan.each / 3)?;
        eprintln!(
            "round {round}: hello {:.0}/s, decisions {:.0}/s, {in_commit:.1} in a commit, checks {:.0}/s, batches {:.0}/s, \
             refused {:.0}/s, bare disk {raw:.0}/s",
            hello.rate(),
            decisions.rate(),
            checks.rate(),
            batches.rate(),
            refused.rate()
        );
        rounds.hello.push(hello);
        rounds.decisions.push(decisions);
        rounds.checks.push(checks);
        rounds.batches.push(batches);
        rounds.refused.push(refused);
        rounds.in_commit.push(in_commit);
        rounds.raw.push(raw);
    }
    Ok(rounds)
}
