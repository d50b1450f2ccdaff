//! Counts of decisions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use consent_core::time::{DAY, UnixMillis};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{looked, parse, private, range};
use crate::app::App;
use crate::http::answers::Guarded;
use crate::http::api::export::range_in_words;
use crate::http::caller::staff;
use crate::http::problem::Problem;
use crate::keys::Role;
use crate::statistics::{Counts, Day};
use crate::store::{Site, Store, StoreError};

/// The most records that are counted for one answer, and the longest range in days.
const MOST: u64 = 5_000_000;
const DAYS: i64 = 400;

/// How many are read at once: no reading holds the database's log back for long.
const CHUNK: u64 = 10_000;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// Decisions recorded at or after this time; without, the 30 days before `to`.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<String>,
    /// Decisions recorded before this time; without, until now.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<String>,
}

/// Counts of decisions.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Statistics {
    #[schema(value_type = String, format = DateTime)]
    from: UnixMillis,
    #[schema(value_type = String, format = DateTime)]
    to: UnixMillis,
    /// How many records of any kind were looked at.
    records: u64,
    /// The days (UTC) that have decisions, as `2026-11-24`.
    days: BTreeMap<String, Day>,
}

/// Counts of decisions for each day: by act, layer, language, and what was answered for each category.
///
/// Counted from the log, so that the numbers are those an export gives. That this was done becomes a record itself.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/statistics",
    tag = "officer",
    params(("site" = String, Path, description = "The site"), Asked),
    responses(
        (status = 200, description = "The counts", body = Statistics),
        (status = 422, description = "More than 5000000 records or 400 days: ask for less", body = Problem, content_type = "application/problem+json"),
        Guarded,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn count(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Officer).await?;
    let Query(asked) = query.map_err(|error| Problem::malformed(error.body_text()).at("query"))?;
    let (from, to) = range(asked.from.as_deref(), asked.to.as_deref())?;
    let to = to.unwrap_or_else(|| app.clock.now());
    let from =
        from.unwrap_or_else(|| UnixMillis::new(to.millis().saturating_sub(30 * DAY).max(UnixMillis::MIN.millis())));
    if from > to {
        return Err(Problem::malformed("from is later than to").at("from"));
    }
    if to.millis().saturating_sub(from.millis()) > DAYS * DAY {
        return Err(Problem::refused(format!("at most {DAYS} days at once")).at("from"));
    }
    looked(&app, &staff, format!("statistics of {}", range_in_words((Some(from), Some(to))))).await?;
    app.store.publish(&staff.site).await?;
    let busy = || Problem::unavailable("other statistics are being counted");
    let turn = tokio::time::timeout(PATIENCE, Arc::clone(&app.counting).acquire_owned());
    let turn = turn.await.map_err(|_| busy())?.map_err(|_| busy())?;
    // The turn goes along: whoever asked may hang up, and the counting goes on.
    let counted = app.reading(move |app| {
        let counted = read(app, &staff.site, from, to);
        drop(turn);
        counted
    });
    let counted = counted.await?;
    let counted = counted.map_err(|records| {
        Problem::refused(format!("these are {records} records; at most {MOST} are counted at once")).at("from")
    })?;
    Ok(private(Json(counted)))
}

/// Counts, or says how many records it would have to look at.
fn read(app: &App, site: &Site, from: UnixMillis, to: UnixMillis) -> Result<Result<Statistics, u64>, StoreError> {
    let stretch = app.store.stretch(site, Some(from), Some(to))?;
    if stretch.to - stretch.from > MOST {
        return Ok(Err(stretch.to - stretch.from));
    }
    let mut counts = Counts::default();
    let mut records = 0;
    let mut at = stretch.from;
    while at < stretch.to {
        let end = (at + CHUNK).min(stretch.to);
        let mut wrong = None;
        app.store.entries(site, at, end, &mut |entry| match parse(&entry) {
            Ok(leaf) => {
                // The stretch has a neighbour on each side.
                if leaf.recorded_at >= from && leaf.recorded_at < to {
                    records += 1;
                    counts.add(&leaf);
                }
                true
            }
            Err(error) => {
                wrong = Some(error);
                false
            }
        })?;
        if let Some(error) = wrong {
            return Err(error);
        }
        at = end;
    }
    Ok(Ok(Statistics { from, to, records, days: counts.days().collect() }))
}
