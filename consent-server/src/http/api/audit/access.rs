//! Who logged in, read and exported.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use consent_core::record::Kind;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Records, before, limit, looked, parse, private, shown};
use crate::app::App;
use crate::http::answers::Guarded;
use crate::http::caller::staff;
use crate::http::problem::Problem;
use crate::keys::Role;
use crate::store::{Site, Store, StoreError};

/// How many acts are read at once, and at most in one request.
const CHUNK: u32 = 500;
const MOST: u32 = 5_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// Records with a lower index: `next` of the answer before.
    #[param(maximum = 1_099_511_627_776_u64)]
    before: Option<u64>,
    /// At most so many, 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// The access log: who logged in and out, read and exported, latest first. This request is its first entry.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/audit/access",
    tag = "officer",
    params(("site" = String, Path, description = "The site"), Asked),
    responses((status = 200, description = "Records of the kind access, latest first", body = Records), Guarded),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn log(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Officer).await?;
    let Query(asked) = query.map_err(|error| Problem::malformed(error.body_text()).at("query"))?;
    let (before, limit) = (self::before(asked.before)?, limit(asked.limit)?);
    looked(&app, &staff, "the access log".to_owned()).await?;
    let found = app.reading(move |app| find(app, &staff.site, before, limit)).await?;
    Ok(private(Json(found)))
}

fn find(app: &App, site: &Site, mut before: u64, limit: usize) -> Result<Records, StoreError> {
    let registry = app.store.registry();
    let mut records = Vec::new();
    for _ in 0..MOST / CHUNK {
        let acts = app.store.staff_acts(site, before, CHUNK)?;
        let end = acts.len() < CHUNK as usize;
        for entry in acts {
            before = entry.index;
            let leaf = parse(&entry)?;
            if leaf.kind != Kind::Access {
                continue;
            }
            if records.len() == limit {
                return Ok(Records { records, next: Some(before + 1) });
            }
            records.push(shown(app, &registry, site, entry, &leaf)?);
        }
        if end {
            return Ok(Records { records, next: None });
        }
    }
    Ok(Records { records, next: Some(before) })
}
