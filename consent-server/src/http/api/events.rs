//! The event feed: what changed, in order, from any place on.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::app::App;
use crate::http::problem::Problem;
use crate::http::{bare, caller};
use crate::keys::Role;
use crate::store::events::{Cursor, Page};
use crate::store::{Site, Store, StoreError};

/// Events in a page where nothing else is asked.
const USUAL: usize = 100;
/// The most events in a page.
const MOST: usize = 1000;
/// The longest wait for something new, in seconds.
const LONGEST: u64 = 30;
/// What falls due, and what another process writes, is looked for so often while somebody waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Commits that follow each other so closely are one reason to look.
const GATHER: Duration = Duration::from_millis(20);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// The cursor of the last event that you have, or `next` of the last page; `now` for none of the events so far. Without it the
    /// feed begins at its beginning.
    after: Option<String>,
    /// At most so many events: 1 to 1000, 100 where nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Where there is nothing yet, wait up to so many seconds for it: 0 to 30.
    #[param(maximum = 30)]
    wait: Option<u64>,
}

/// What changed, in order.
///
/// Each change of what holds for a subject is an event: `grant`, `revoke`, `forget`, `erase`, and `expired` and `outdated` within a
/// minute of falling due. A decision is in the feed from its 201 on. An event may come twice, with the same `id`; none is left out.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/events",
    tag = "backend",
    params(("site" = String, Path, description = "The site"), Asked),
    responses(
        (status = 200, description = "The events after the cursor", body = Page),
        (status = 400, description = "Not a cursor, limit or wait", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No key, or a bad one", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A key for something else", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A cursor of a longer log: that of another site, or this one was restored from a back-up. Start anew", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many requests with this key: `Retry-After` says when", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again, and deny meanwhile", body = Problem, content_type = "application/problem+json"),
    ),
    security(("key" = []))
)]
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    query: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (site, _) = caller::with_key(&app, &headers, &site, Role::Backend)?;
    let Query(asked) = query.map_err(|error| Problem::malformed(error.body_text()).at("query"))?;
    let limit = asked.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::malformed(format!("limit is 1 to {MOST}")).at("limit"));
    }
    let wait = asked.wait.unwrap_or(0);
    if wait > LONGEST {
        return Err(Problem::malformed(format!("wait is at most {LONGEST} seconds")).at("wait"));
    }
    let mut after = match asked.after.as_deref() {
        None => Cursor::START,
        Some("now") => {
            let next = app.store.feed_end(&site, app.clock.now())?;
            return Ok(bare::json(&Page { events: Vec::new(), next, more: false }));
        }
        Some(text) => Cursor::parse(text).ok_or_else(|| {
            Problem::malformed("after is the cursor of an event, the next of a page, or \"now\"").at("after")
        })?,
    };
    let end = Instant::now() + Duration::from_secs(wait);
    // From before the first look on, so that nothing that is written after it is missed.
    let (mut commits, mut stopping) = (app.store.commits(), app.stopping.subscribe());
    loop {
        let page = read(&app, &site, after, limit).await?.ok_or_else(|| {
            let detail = "the log does not reach to this cursor: it is of another site, or the log was restored from a \
                          back-up. Read the feed from its beginning, or from \"now\" and check what you hold";
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "cursor-ahead", "The cursor is ahead of the log", detail)
                .at("after")
        })?;
        let stop = *stopping.borrow_and_update();
        if !page.events.is_empty() || page.more || stop || Instant::now() >= end {
            return Ok(bare::json(&page));
        }
        after = page.next;
        let look = (Instant::now() + LOOK_EVERY).min(end);
        tokio::select! {
            _ = commits.changed() => tokio::time::sleep(GATHER).await,
            _ = stopping.changed() => {}
            () = tokio::time::sleep_until(look) => {}
        }
        commits.mark_unchanged();
    }
}

async fn read(app: &Arc<App>, site: &Arc<Site>, after: Cursor, limit: usize) -> Result<Option<Page>, StoreError> {
    let id = Arc::clone(site);
    app.reading(move |app| {
        // The site as it is now: a notice may have been published while we waited.
        let registry = app.store.registry();
        let site = registry.site(id.id.as_str()).unwrap_or(&id);
        app.store.feed(site, &after, limit, app.clock.now())
    })
    .await
}
