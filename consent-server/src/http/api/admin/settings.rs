//! The settings of a site.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::private;
use crate::app::App;
use crate::http::answers::{Bodied, Guarded};
use crate::http::body;
use crate::http::caller::staff;
use crate::http::problem::Problem;
use crate::keys::Role;
use crate::store::{Change, Site, SiteSettings, Store};

/// A site as its admins see it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ShownSite {
    id: String,
    /// The first line of its checkpoints; it never changes.
    log_origin: String,
    /// The public key of its log.
    log_key: String,
    /// The notice version in force, if one is.
    notice: Option<u32>,
    settings: SiteSettings,
}

impl ShownSite {
    fn new(site: &Site) -> Self {
        Self {
            id: site.id.to_string(),
            log_origin: site.log_origin.clone(),
            log_key: site.log_key.clone(),
            notice: site.notice().map(|published| published.outline.version),
            settings: site.settings.clone(),
        }
    }
}

/// A site with its settings.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}",
    tag = "admin",
    params(("site" = String, Path, description = "The site")),
    responses((status = 200, description = "The site", body = ShownSite), Guarded),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn show(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    Ok(private(Json(ShownSite::new(&staff.site))))
}

/// Change the settings of a site: all of them, as they are from now on.
#[utoipa::path(
    put,
    path = "/v1/sites/{site}",
    tag = "admin",
    request_body = SiteSettings,
    params(("site" = String, Path, description = "The site")),
    responses((status = 200, description = "The site as it is now", body = ShownSite), Guarded, Bodied),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn set(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let settings: SiteSettings = body::json(&headers, body).await?;
    settings.check().map_err(|error| Problem::refused(&error.what).at(format!("/{}", error.field)))?;
    if settings != staff.site.settings {
        let site = staff.site.id.clone();
        app.store.change(Change::UpdateSite { site, settings }, staff.actor).await?;
    }
    let registry = app.store.registry();
    let site = registry.site(staff.site.id.as_str()).unwrap_or(&staff.site);
    Ok(private(Json(ShownSite::new(site))))
}
