//! What is counted, as plain atomics, and how Prometheus reads it.
//!
//! Labels are of closed sets: routes as they are registered, methods, status classes, sites, effects. Nothing of a person.
//!
//! # Standards
//! Prometheus text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Upper bounds of the buckets for times, in microseconds.
const TIMES: [u64; 13] =
    [250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// Upper bounds of the buckets for how many jobs a commit had.
const SIZES: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// How often something took how much.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: [u64; N],
    /// As many as there are bounds; what is above the last is only in `count`.
    buckets: [AtomicU64; N],
    count: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [u64; N]) -> Self {
        Self {
            bounds,
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one.
    pub fn record(&self, value: u64) {
        if let Some(at) = self.bounds.iter().position(|bound| value <= *bound) {
            self.buckets[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Writes it; `unit` is how many of what was counted are one of what is shown.
    fn write(&self, out: &mut String, name: &str, labels: &str, unit: f64) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut below = 0;
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            below += bucket.load(Ordering::Relaxed);
            line(out, format_args!("{name}_bucket{{{labels}{comma}le=\"{}\"}} {below}", float(*bound) / unit));
        }
        let count = self.count.load(Ordering::Relaxed).max(below);
        line(out, format_args!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"));
        let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        line(out, format_args!("{name}_sum{braces} {}", float(self.sum.load(Ordering::Relaxed)) / unit));
        line(out, format_args!("{name}_count{braces} {count}"));
    }
}

/// Exact below 2^53, which no counter of ours reaches.
#[expect(clippy::cast_precision_loss, reason = "what is shown is read by people and graphs")]
fn float(value: u64) -> f64 {
    value as f64
}

fn line(out: &mut String, text: fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String takes everything");
    out.push('\n');
}

/// What is counted of one route and method.
#[derive(Debug)]
pub struct Route {
    /// By the first digit of the status, from 1.
    classes: [AtomicU64; 5],
    took: Histogram<{ TIMES.len() }>,
}

impl Default for Route {
    fn default() -> Self {
        Self { classes: Default::default(), took: Histogram::new(TIMES) }
    }
}

impl Route {
    /// Counts one answer.
    pub fn answered(&self, status: u16, took: Duration) {
        if let Some(class) = usize::from(status / 100).checked_sub(1).and_then(|at| self.classes.get(at)) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        self.took.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

/// What the writer of a store has done.
#[derive(Debug)]
pub struct Commits {
    sizes: Histogram<{ SIZES.len() }>,
    took: Histogram<{ TIMES.len() }>,
    failed: AtomicU64,
}

impl Default for Commits {
    fn default() -> Self {
        Self { sizes: Histogram::new(SIZES), took: Histogram::new(TIMES), failed: AtomicU64::new(0) }
    }
}

impl Commits {
    /// A transaction of so many jobs is on disk.
    pub fn done(&self, jobs: usize, took: Duration) {
        self.sizes.record(u64::try_from(jobs).unwrap_or(u64::MAX));
        self.took.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// A transaction was undone.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A count for each combination of labels.
#[derive(Debug)]
struct Labelled<const N: usize>(RwLock<BTreeMap<[String; N], AtomicU64>>);

impl<const N: usize> Labelled<N> {
    fn add(&self, labels: [&str; N]) {
        let labels = labels.map(str::to_owned);
        if let Some(count) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&labels) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(labels)
            .or_default()
            .fetch_add(1, Ordering::Relaxed);
    }
}

/// What a server counts.
#[derive(Debug)]
pub struct Metrics {
    /// The check, which is asked most: counted without looking anything up.
    pub check: Route,
    /// Connections that are open.
    pub connections: Arc<AtomicU64>,
    routes: RwLock<BTreeMap<(String, &'static str), Arc<Route>>>,
    decisions: Labelled<3>,
    /// When the published checkpoint of each site was last known to cover its log.
    published: Mutex<BTreeMap<String, Instant>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            check: Route::default(),
            connections: Arc::default(),
            routes: RwLock::default(),
            decisions: Labelled(RwLock::default()),
            published: Mutex::default(),
        }
    }
}

/// The methods that are told apart.
fn method(name: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|known| *known == name)
        .unwrap_or("other")
}

impl Metrics {
    /// The counters of a route. `route` is its pattern, never a path that somebody asked for.
    pub fn route(&self, route: &str, name: &str) -> Arc<Route> {
        let key = (route.to_owned(), method(name));
        if let Some(found) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(found);
        }
        Arc::clone(self.routes.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }

    /// Counts a decision that was recorded.
    pub fn decided(&self, site: &str, method: &str, effect: &str) {
        self.decisions.add([site, method, effect]);
    }

    /// The published checkpoint of a site covers its log now.
    pub fn published(&self, site: &str, now: Instant) {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).insert(site.to_owned(), now);
    }

    /// How long ago that was, by site.
    pub fn checkpoint_ages(&self, now: Instant) -> Vec<(String, Duration)> {
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.iter().map(|(site, at)| (site.clone(), now.saturating_duration_since(*at))).collect()
    }
}

/// One metric that is asked for when it is read.
pub struct Gauge<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it says.
    pub help: &'a str,
    /// Its labels, as they stand between braces, and its value.
    pub values: Vec<(String, f64)>,
}

/// A label as it stands between braces.
pub fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

/// All of it in the text format. `check` is the pattern of the check's route.
pub fn write(
    metrics: &Metrics,
    check: &str,
    commits: &Commits,
    counters: &[Gauge<'_>],
    gauges: &[Gauge<'_>],
) -> String {
    let mut out = String::with_capacity(16 * 1024);
    let head = |out: &mut String, name: &str, kind: &str, help: &str| {
        line(out, format_args!("# HELP {name} {help}"));
        line(out, format_args!("# TYPE {name} {kind}"));
    };
    let routes = metrics.routes.read().unwrap_or_else(PoisonError::into_inner);
    let check = ((check.to_owned(), "GET"), &metrics.check);
    let routes = || std::iter::once((&check.0, check.1)).chain(routes.iter().map(|(key, route)| (key, &**route)));
    head(&mut out, "consent_http_requests_total", "counter", "Requests answered.");
    for ((route, method), counted) in routes() {
        for (class, count) in (1..).zip(&counted.classes) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let labels = format!("{},method=\"{method}\",status=\"{class}xx\"", label("route", route));
                line(&mut out, format_args!("consent_http_requests_total{{{labels}}} {count}"));
            }
        }
    }
    let name = "consent_http_request_duration_seconds";
    head(&mut out, name, "histogram", "From a request's head to its answer's head.");
    for ((route, method), counted) in routes() {
        let labels = format!("{},method=\"{method}\"", label("route", route));
        counted.took.write(&mut out, name, &labels, 1e6);
    }
    head(&mut out, "consent_decisions_total", "counter", "Decisions recorded, without repetitions.");
    for ([site, method, effect], count) in metrics.decisions.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
        let labels = format!("{},{},{}", label("site", site), label("method", method), label("effect", effect));
        line(&mut out, format_args!("consent_decisions_total{{{labels}}} {}", count.load(Ordering::Relaxed)));
    }
    head(&mut out, "consent_commit_jobs", "histogram", "Jobs in one transaction.");
    commits.sizes.write(&mut out, "consent_commit_jobs", "", 1.0);
    head(&mut out, "consent_commit_duration_seconds", "histogram", "A transaction, until it is on disk.");
    commits.took.write(&mut out, "consent_commit_duration_seconds", "", 1e6);
    head(&mut out, "consent_commits_failed_total", "counter", "Transactions that were undone.");
    line(&mut out, format_args!("consent_commits_failed_total {}", commits.failed.load(Ordering::Relaxed)));
    for (kind, list) in [("counter", counters), ("gauge", gauges)] {
        for metric in list {
            head(&mut out, metric.name, kind, metric.help);
            for (labels, value) in &metric.values {
                let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                line(&mut out, format_args!("{}{braces} {value}", metric.name));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_adds_up() {
        let histogram = Histogram::new([1, 10]);
        for value in [0, 1, 5, 11] {
            histogram.record(value);
        }
        let mut out = String::new();
        histogram.write(&mut out, "x", "a=\"b\"", 1.0);
        let want = "x_bucket{a=\"b\",le=\"1\"} 2\nx_bucket{a=\"b\",le=\"10\"} 3\nx_bucket{a=\"b\",le=\"+Inf\"} 4\n\
                    x_sum{a=\"b\"} 17\nx_count{a=\"b\"} 4\n";
        assert_eq!(out, want);
    }

    #[test]
    fn a_route_is_its_pattern_and_a_method_one_of_few() {
        let metrics = Metrics::default();
        metrics.route("/v1/sites/{site}/notice", "GET").answered(200, Duration::from_millis(3));
        metrics.route("/v1/sites/{site}/notice", "BREW").answered(404, Duration::from_millis(3));
        metrics.decided("a\"b", "save", "applied");
        let text = write(&metrics, "/check", &Commits::default(), &[], &[]);
        for want in [
            "consent_http_requests_total{route=\"/v1/sites/{site}/notice\",method=\"GET\",status=\"2xx\"} 1\n",
            "consent_http_requests_total{route=\"/v1/sites/{site}/notice\",method=\"other\",status=\"4xx\"} 1\n",
            "consent_http_request_duration_seconds_bucket{route=\"/v1/sites/{site}/notice\",method=\"GET\",le=\"0.005\"} 1\n",
            "consent_decisions_total{site=\"a\\\"b\",method=\"save\",effect=\"applied\"} 1\n",
        ] {
            assert!(text.contains(want), "{want}{text}");
        }
    }
}
