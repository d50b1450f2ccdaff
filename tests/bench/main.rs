//! `make bench`: the speeds and sizes of the real binary beside their targets, from one run on one machine.
//!
//! `--quick` is a short run to see that it works; `--records N` measures on a larger log than one of ten thousand records.

mod audit;
mod check;
mod disk;
mod load;
mod requests;
mod rows;
mod server;
mod widget;

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::runtime::Runtime;

use load::{Load, Outcome};
use requests::{Kind, Traffic};
use rows::Table;
use server::{Folder, Server};

/// How much is done.
struct Plan {
    records: u64,
    rounds: usize,
    each: Duration,
    starts: usize,
    exported: u32,
}

impl Plan {
    fn from_arguments() -> anyhow::Result<Self> {
        let mut plan = Self { records: 10_000, rounds: 5, each: Duration::from_secs(3), starts: 5, exported: 200_000 };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => {
                    plan = Self { rounds: 3, each: Duration::from_millis(700), starts: 3, exported: 50_000, ..plan };
                }
                "--records" => {
                    plan.records = arguments.next().and_then(|n| n.parse().ok()).context("--records needs a number")?;
                }
                other => bail!("{other}? There are --quick and --records N"),
            }
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
    /// Records in one commit, on average.
    batches: Vec<f64>,
    /// Records per second of a bare append and fdatasync.
    raw: Vec<f64>,
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::from_arguments()?;
    // One thread: the load takes one core at most, and the same for every kind.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut table = Table::default();

    let folder = Folder::create()?;
    let traffic = Rc::new(Traffic::new(folder.backend_key())?);
    let (server, _) = Server::serve(&folder, &traffic)?;
    runtime.block_on(load::run(&server, &traffic, Kind::Decision, Load::Requests(plan.records)))?;
    let leaves = server.leaves()?;
    let leaf = leaves.iter().map(String::len).sum::<usize>() / leaves.len();
    server.stop()?;
    eprintln!("{} records in {}", traffic.stored(), folder.path().display());

    let mut starts = Vec::new();
    for _ in 0..plan.starts {
        let (server, took) = Server::serve(&folder, &traffic)?;
        starts.push(took.as_secs_f64() * 1000.0);
        server.stop()?;
    }
    let mut demos = Vec::new();
    for _ in 0..plan.starts {
        demos.push(Server::demo(&folder)?.as_secs_f64() * 1000.0);
    }

    let (server, _) = Server::serve(&folder, &traffic)?;
    std::thread::sleep(Duration::from_secs(1));
    let idle = server.resident_kilobytes()?;
    let rounds = measure(&plan, &runtime, &server, &traffic, &folder, leaf)?;
    let loaded = server.resident_kilobytes()?;
    let script = widget::served(&server)?;
    server.stop()?;
    eprintln!("{} records at the end\n", traffic.stored());

    table.speeds(&rounds, leaf);
    let (nanoseconds, header) = check::nanoseconds();
    table.in_process(&nanoseconds, header);
    table.audit(&audit::rates(&leaves, plan.exported)?);
    table.memory(idle, loaded);
    table.start("`serve` to its first check", rows::median(&starts), 100.0);
    table.start("`demo` to its first page", rows::median(&demos), 500.0);
    table.widget(&script, &widget::built()?);
    table.print();
    Ok(())
}

/// Hello, decisions, checks and the bare disk, in turns, so that what else the machine does falls on all of them alike.
fn measure(
    plan: &Plan,
    runtime: &Runtime,
    server: &Server,
    traffic: &Rc<Traffic>,
    folder: &Folder,
    leaf: usize,
) -> anyhow::Result<Rounds> {
    let mut rounds = Rounds::default();
    for round in 1..=plan.rounds {
        let go = |kind| runtime.block_on(load::run(server, traffic, kind, Load::Time(plan.each)));
        let hello = go(Kind::Hello)?;
        let before = folder.commits()?;
        let decisions = go(Kind::Decision)?;
        let commits = folder.commits()?.wrapping_sub(before);
        let checks = go(Kind::Check)?;
        #[expect(clippy::cast_precision_loss, reason = "the decisions of a round are far below 2^52")]
        let batch = decisions.requests as f64 / f64::from(commits.max(1));
        let raw = disk::append_and_sync(folder.path(), leaf, batch, plan.each / 3)?;
        eprintln!(
            "round {round}: hello {:.0}/s, decisions {:.0}/s, {batch:.1} in a commit, checks {:.0}/s, bare disk {raw:.0}/s",
            hello.rate(),
            decisions.rate(),
            checks.rate()
        );
        rounds.hello.push(hello);
        rounds.decisions.push(decisions);
        rounds.checks.push(checks);
        rounds.batches.push(batch);
        rounds.raw.push(raw);
    }
    Ok(rounds)
}
