//! The table: what was measured, beside what was promised.

use crate::Rounds;
use crate::audit::Rates;
use crate::load::Outcome;
use crate::widget::Sizes;

/// One line.
struct Row {
    what: String,
    value: String,
    target: String,
    /// Nothing where there is no target.
    met: Option<bool>,
}

/// All lines.
#[derive(Default)]
pub(crate) struct Table {
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
fn count(value: f64) -> String {
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
        self.rows.push(Row { what: what.into(), value: value.into(), target: target.into(), met });
    }

    fn plain(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.row(what, value, "", None);
    }

    /// What the interleaved rounds gave; ratios are those of each round, and of these the median.
    pub(crate) fn speeds(&mut self, rounds: &Rounds, leaf: usize) {
        let each = |a: &[f64], b: &[f64]| median(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>());
        let rates = |outcomes: &[Outcome]| outcomes.iter().map(Outcome::rate).collect::<Vec<_>>();
        let (hello, decisions, checks) = (rates(&rounds.hello), rates(&rounds.decisions), rates(&rounds.checks));
        let latency = |outcomes: &[Outcome]| {
            format!("{:.2} / {:.2} ms", over(outcomes, quantile(0.5)), over(outcomes, quantile(0.99)))
        };
        self.plain("hello, requests/s", count(median(&hello)));
        self.plain("  p50 / p99", latency(&rounds.hello));
        let processor = |outcomes: &[Outcome]| format!("{:.1} us", over(outcomes, |outcome| outcome.processor));
        self.plain("  server's processor time for each", processor(&rounds.hello));

        self.plain("durable decisions/s", count(median(&decisions)));
        let (to_hello, to_raw) = (each(&decisions, &hello), each(&decisions, &rounds.raw));
        let met = to_hello >= 0.3 || to_raw >= 0.6;
        self.row("  of hello", format!("{:.0} %", to_hello * 100.0), "30 %, or the next line", Some(met));
        self.row("  of the bare disk", format!("{:.0} %", to_raw * 100.0), "60 %, or the line before", Some(met));
        let p99 = over(&rounds.decisions, quantile(0.99));
        self.row("  p50 / p99", latency(&rounds.decisions), "p99 within 20 ms", Some(p99 <= 20.0));
        self.plain("  server's processor time for each", processor(&rounds.decisions));
        self.plain("  records in one commit (counted)", format!("{:.1}", median(&rounds.batches)));
        self.plain(format!("bare disk, records/s of {leaf} bytes"), count(median(&rounds.raw)));

        self.plain("consent checks/s", count(median(&checks)));
        let to_hello = each(&checks, &hello);
        self.row("  of hello", format!("{:.0} %", to_hello * 100.0), "80 %", Some(to_hello >= 0.8));
        self.plain("  p50 / p99", latency(&rounds.checks));
        self.plain("  server's processor time for each", processor(&rounds.checks));
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
    pub(crate) fn memory(&mut self, idle: u64, loaded: u64) {
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
        let width = |of: fn(&Row) -> &str| self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (what, value, target) = (width(|r| &r.what), width(|r| &r.value), width(|r| &r.target));
        for row in &self.rows {
            let met = match row.met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "",
            };
            let line = format!("{:<what$}  {:>value$}  {:<target$}  {met}", row.what, row.value, row.target);
            println!("{}", line.trim_end());
        }
        let missed = self.rows.iter().filter(|row| row.met == Some(false)).count();
        println!(
            "\n{}",
            if missed == 0 { "Every target is met.".to_owned() } else { format!("{missed} targets are missed.") }
        );
    }
}
