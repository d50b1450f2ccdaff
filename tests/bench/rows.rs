//! The table: what was measured, beside what was promised.

use std::fmt::Write;

use crate::audit::Rates;
use crate::load::Outcome;
use crate::requests::BATCH;
use crate::widget::Sizes;
use crate::{Measured, Rounds};

/// What was measured, and whether that meets the target, if there is one.
type Cell = (String, Option<bool>);

/// One line.
struct Row {
    what: String,
    /// For each set; only one for what does not depend on it.
    cells: Vec<Cell>,
    target: String,
}

/// All lines.
#[derive(Default)]
pub(crate) struct Table {
    sets: Vec<u64>,
    rows: Vec<Row>,
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median over rounds of one figure of each.
fn over(rounds: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> f64 {
    median(&rounds.iter().map(figure).collect::<Vec<_>>())
}

/// A quantile of the latency, in milliseconds.
fn quantile(q: f64) -> impl Fn(&Outcome) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of one request are far below 2^52")]
    move |outcome| outcome.latency.value_at_quantile(q) as f64 / 1000.0
}

/// With commas between thousands.
pub(crate) fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Table {
    fn row(&mut self, what: impl Into<String>, value: impl Into<String>, target: impl Into<String>, met: Option<bool>) {
        let (what, cell) = (what.into(), (value.into(), met));
        match self.rows.iter_mut().find(|row| row.what == what) {
            Some(row) => row.cells.push(cell),
            None => self.rows.push(Row { what, cells: vec![cell], target: target.into() }),
        }
    }

    fn plain(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.row(what, value, "", None);
    }

    /// Everything that was measured on one set.
    pub(crate) fn set(&mut self, measured: &Measured) {
        self.sets.push(measured.records);
        self.speeds(&measured.rounds, measured.records, measured.leaf);
        self.memory(measured.idle, measured.loaded);
        self.start("`serve` to its first check", median(&measured.starts), 100.0);
        self.plain("bytes on disk for each record", count(measured.bytes));
    }

    /// What the interleaved rounds gave; ratios are those of each round, and of these the median.
    fn speeds(&mut self, rounds: &Rounds, records: u64, leaf: usize) {
        let each = |a: &[f64], b: &[f64]| median(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>());
        let rates = |outcomes: &[Outcome]| outcomes.iter().map(Outcome::rate).collect::<Vec<_>>();
        let (hello, decisions, checks) = (rates(&rounds.hello), rates(&rounds.decisions), rates(&rounds.checks));
        let latency = |outcomes: &[Outcome]| {
            let at = |q| over(outcomes, quantile(q));
            format!("{:.2} / {:.2} / {:.2} ms", at(0.5), at(0.99), at(0.999))
        };
        let processor = |outcomes: &[Outcome]| format!("{:.1} us", over(outcomes, |outcome| outcome.processor));
        self.plain("hello, requests/s", count(median(&hello)));
        self.plain("  hello, p50 / p99 / p99.9", latency(&rounds.hello));
        self.plain("  hello, server's processor time for each", processor(&rounds.hello));

        self.plain("durable decisions/s", count(median(&decisions)));
        let (to_hello, to_raw) = (each(&decisions, &hello), each(&decisions, &rounds.raw));
        let met = to_hello >= 0.3 || to_raw >= 0.6;
        let percent = |ratio: f64| format!("{:.0} %", ratio * 100.0);
        self.row("  decisions, of hello", percent(to_hello), "30 %, or the next line", Some(met));
        self.row("  decisions, of the bare disk", percent(to_raw), "60 %, or the line before", Some(met));
        let p99 = over(&rounds.decisions, quantile(0.99));
        self.row("  decisions, p50 / p99 / p99.9", latency(&rounds.decisions), "p99 within 20 ms", Some(p99 <= 20.0));
        let longest = over(&rounds.decisions, |outcome| quantile(1.0)(outcome));
        self.plain("  decisions, longest of a round", format!("{longest:.1} ms"));
        self.plain("  decisions, server's processor time for each", processor(&rounds.decisions));
        self.plain("  decisions in one commit (counted)", format!("{:.1}", median(&rounds.in_commit)));
        self.plain("bare disk, leaves/s", format!("{} of {leaf} bytes", count(median(&rounds.raw))));

        self.plain("consent checks/s", count(median(&checks)));
        let to_hello = each(&checks, &hello);
        // What many records cost may not be more than this.
        let want = if records > 1_000_000 { 0.6 } else { 0.8 };
        self.row("  checks, of hello", percent(to_hello), "80 %; 60 % at ten million", Some(to_hello >= want));
        self.plain("  checks, p50 / p99 / p99.9", latency(&rounds.checks));
        self.plain("  checks, server's processor time for each", processor(&rounds.checks));
        let batches = rates(&rounds.batches);
        #[expect(clippy::cast_precision_loss, reason = "a hundred")]
        let subjects = count(median(&batches) * BATCH as f64);
        self.plain(format!("subjects/s in batches of {BATCH}"), subjects);
        self.plain("  batches, p50 / p99 / p99.9", latency(&rounds.batches));
        self.plain("decisions refused for their origin/s", count(median(&rates(&rounds.refused))));
        self.plain("  refused, p50 / p99 / p99.9", latency(&rounds.refused));
    }

    /// The check from a cookie, without the service.
    pub(crate) fn in_process(&mut self, nanoseconds: &[f64], header: usize) {
        let middle = median(nanoseconds);
        let what = format!("check in process, {header} byte Cookie header");
        self.row(what, format!("{middle:.0} ns"), "under 500 ns", Some(middle < 500.0));
    }

    /// Making and verifying an export.
    pub(crate) fn audit(&mut self, rates: &Rates) {
        self.plain("export in memory, records/s", count(rates.exported));
        let met = rates.verified > 500_000.0;
        self.row("verification, records/s on one core", count(rates.verified), "above 500,000", Some(met));
    }

    /// Resident memory, in kB.
    fn memory(&mut self, idle: u64, loaded: u64) {
        let megabytes = |kilobytes: u64| format!("{}.{} MB", kilobytes / 1024, kilobytes % 1024 * 10 / 1024);
        self.row("resident, idle", megabytes(idle), "under 25 MB", Some(idle < 25 * 1024));
        self.row("resident, after load", megabytes(loaded), "under 256 MB", Some(loaded < 256 * 1024));
    }

    /// Milliseconds from the start of a process to its first answer.
    pub(crate) fn start(&mut self, what: &str, milliseconds: f64, within: f64) {
        self.row(what, format!("{milliseconds:.0} ms"), format!("within {within:.0} ms"), Some(milliseconds <= within));
    }

    /// What the widget weighs.
    pub(crate) fn widget(&mut self, script: &Sizes, others: &[Sizes]) {
        let text = |bytes: [u64; 3]| bytes.map(|bytes| bytes.to_string()).join(" / ");
        let mut sum = script.bytes;
        self.plain("widget, bytes", "raw / gzip / brotli");
        self.row(format!("  {}", script.name), text(script.bytes), "4096 brotli", Some(script.bytes[2] <= 4096));
        for file in others {
            self.plain(format!("  {}", file.name), text(file.bytes));
            for (sum, bytes) in sum.iter_mut().zip(file.bytes) {
                *sum += bytes;
            }
        }
        self.row("  all", text(sum), "20000 brotli", Some(sum[2] <= 20_000));
    }

    /// Prints it, and how many targets are missed.
    pub(crate) fn print(&self) {
        let text = |row: &Row, set: usize| row.cells.get(set).map_or_else(String::new, |cell| cell.0.clone());
        let widest =
            |of: &dyn Fn(&Row) -> String| self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (what, target) = (widest(&|row| row.what.clone()), widest(&|row| row.target.clone()));
        let values: Vec<usize> = (0..self.sets.len()).map(|set| widest(&|row| text(row, set))).collect();
        let mut head = format!("{:<what$}", "records");
        for (records, value) in self.sets.iter().zip(&values) {
            #[expect(clippy::cast_precision_loss, reason = "records are far below 2^52")]
            let records = count(*records as f64);
            write!(head, "  {records:>value$}").expect("a String takes everything");
        }
        println!("{head}");
        let mut missed = 0;
        for row in &self.rows {
            let mut line = format!("{:<what$}", row.what);
            for (set, value) in values.iter().enumerate() {
                write!(line, "  {:>value$}", text(row, set)).expect("a String takes everything");
            }
            let met: Vec<bool> = row.cells.iter().filter_map(|cell| cell.1).collect();
            missed += met.iter().filter(|met| !**met).count();
            let met: Vec<&str> = met.into_iter().map(|met| if met { "met" } else { "MISSED" }).collect();
            println!("{}", format!("{line}  {:<target$}  {}", row.target, met.join(", ")).trim_end());
        }
        println!(
            "\n{}",
            if missed == 0 { "Every target is met.".to_owned() } else { format!("{missed} targets are missed.") }
        );
    }
}
