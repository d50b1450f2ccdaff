//! How the service does: for whoever starts, watches and replaces it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::http::caller;
use crate::http::problem::Problem;
use crate::metrics::{self, Gauge, label};
use crate::{disk, widget};

/// The route of the check, which counts for itself.
const CHECK: &str = "/v1/sites/{site}/subjects/{subject}/consent";

/// The process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"))
)]
pub(in crate::http) async fn health() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// Decisions can be recorded: the store writes, the disk has room, and checkpoints are published.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    responses(
        (status = 200, description = "Ready", body = String, content_type = "text/plain"),
        (status = 503, description = "Not ready: says why", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn ready(State(app): State<Arc<App>>) -> Response {
    let wrong = wrong(&app);
    if wrong.is_empty() {
        return ([(header::CACHE_CONTROL, "no-store")], "ready\n").into_response();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Decisions cannot be recorded", wrong.join("; "))
        .into_response()
}

fn wrong(app: &App) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    match app.store.condition() {
        Ok(condition) if !condition.writing => wrong.push("the store has stopped writing"),
        Ok(condition) if condition.failing => wrong.push("the last transaction was not written"),
        Ok(condition) if condition.queued >= app.config.max_queue as usize => {
            wrong.push("too much waits to be written");
        }
        Ok(_) => {}
        Err(_) => wrong.push("the store cannot be read"),
    }
    if disk::free_bytes(&app.data).is_some_and(|free| free < app.config.min_free_mebibytes << 20) {
        wrong.push("the disk is nearly full");
    }
    // Three rounds may be missed: a large commit, a slow disk.
    let oldest = Duration::from_secs(app.config.publish_every_seconds * 3 + 30);
    if app.metrics.checkpoint_ages(Instant::now()).iter().any(|(_, age)| *age > oldest) {
        wrong.push("a checkpoint was not published for too long");
    }
    wrong
}

/// What is counted. Not in the description of the API: it is on an address of its own.
pub(in crate::http) async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(token) = &app.config.metrics_token {
        let sent = caller::token(&headers).unwrap_or_default();
        if !token.is(sent) {
            return Err(
                Problem::unauthorized("send the metrics_token as \"Authorization: Bearer ...\"").at("Authorization")
            );
        }
    }
    let text = tokio::task::spawn_blocking(move || text(&app)).await;
    let text = text.map_err(|_| Problem::not_found("the metrics could not be read"))??;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn text(app: &App) -> Result<String, Problem> {
    let condition = app.store.condition()?;
    let now = Instant::now();
    let one = |name, help, value| Gauge { name, help, values: vec![(String::new(), value)] };
    let of_sites = |values: Vec<(String, f64)>| {
        values.into_iter().map(|(site, value)| (label("site", &site), value)).collect::<Vec<_>>()
    };
    let refused = app.limits.refused().map(|(class, count)| (label("limit", class.as_str()), count as f64)).collect();
    let counters = [Gauge { name: "consent_limited_total", help: "Requests refused by a limit.", values: refused }];
    let build = format!(
        "{},{}",
        label("version", env!("CARGO_PKG_VERSION")),
        label("widget", widget::by_ending(".wasm").map_or("", |asset| asset.name))
    );
    let sizes = condition.sizes.into_iter().map(|(site, size)| (site, size as f64)).collect();
    let ages = app.metrics.checkpoint_ages(now).into_iter().map(|(site, age)| (site, age.as_secs_f64())).collect();
    let witnesses = app.witnesses.last().into_iter().map(|(site, witness, cosigns)| {
        (format!("{},{}", label("site", &site), label("witness", &witness)), f64::from(u8::from(cosigns)))
    });
    let mut gauges = vec![
        Gauge { name: "consent_build_info", help: "What runs.", values: vec![(build, 1.0)] },
        one("consent_ready", "Whether decisions can be recorded.", f64::from(u8::from(wrong(app).is_empty()))),
        one("consent_queue_jobs", "Jobs that wait for the writer.", condition.queued as f64),
        one("consent_queue_limit_jobs", "How many may wait.", f64::from(app.config.max_queue)),
        one("consent_connections", "Open connections.", app.metrics.connections.load(Ordering::Relaxed) as f64),
        one("consent_connections_limit", "How many may be open.", f64::from(app.config.max_connections)),
        one("consent_wal_bytes", "The write-ahead log.", condition.wal_bytes as f64),
        one("consent_database_bytes", "The database file.", condition.database_bytes as f64),
        one("consent_registry_generation", "Changes of sites, notices and keys.", condition.generation as f64),
        Gauge { name: "consent_log_records", help: "Records in each log.", values: of_sites(sizes) },
        Gauge {
            name: "consent_checkpoint_age_seconds",
            help: "Since the published checkpoint covered all of the log.",
            values: of_sites(ages),
        },
        Gauge {
            name: "consent_witness_cosigns",
            help: "Whether a witness has cosigned the log the last time it was asked.",
            values: witnesses.collect(),
        },
    ];
    if let Some(free) = disk::free_bytes(&app.data) {
        gauges.push(one("consent_disk_free_bytes", "Where the data is.", free as f64));
    }
    if let Some(resident) = disk::resident_bytes() {
        gauges.push(one("process_resident_memory_bytes", "Resident memory.", resident as f64));
    }
    Ok(metrics::write(&app.metrics, CHECK, app.store.counted(), &counters, &gauges))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_is_counted_under_its_route() {
        let description: serde_json::Value = serde_json::from_str(&crate::http::openapi()).unwrap();
        assert!(description["paths"][super::CHECK]["get"].is_object());
    }
}
