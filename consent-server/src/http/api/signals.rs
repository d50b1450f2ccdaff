//! Whether Global Privacy Control is honoured here, for those who look.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use consent_core::time::UnixMillis;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::store::Store;

/// The support resource.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Support {
    /// Whether the signal is honoured.
    gpc: bool,
    /// The day on which that was last said anew: when the notice in force was published.
    #[serde(rename = "lastUpdate")]
    last_update: String,
}

/// Whether Global Privacy Control is honoured.
///
/// It is, at every site of this service: no signal ever grants, and the categories that a notice marks read as denied.
///
/// # Standards
/// Global Privacy Control, section 4.
#[utoipa::path(
    get,
    path = "/.well-known/gpc.json",
    tag = "public",
    responses((status = 200, description = "The support resource", body = Support))
)]
pub(in crate::http) async fn support(State(app): State<Arc<App>>) -> Response {
    let registry = app.store.registry();
    let latest = registry.sites.iter().filter_map(|site| Some(site.notice()?.published_at)).max();
    let day = latest.unwrap_or(UnixMillis::new(0)).to_string();
    let body = Support { gpc: true, last_update: day.get(..10).unwrap_or_default().to_owned() };
    ([(header::CACHE_CONTROL, "public, max-age=86400")], Json(body)).into_response()
}
