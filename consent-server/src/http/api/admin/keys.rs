//! API keys of a site.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use consent_core::id::SiteId;
use consent_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{label, owned, private, seen, sites};
use crate::app::App;
use crate::http::answers::{Bodied, Guarded};
use crate::http::body;
use crate::http::caller::{Staff, staff};
use crate::http::problem::Problem;
use crate::http::shapes::{Name, RoleWord};
use crate::keys::{ApiKey, Role, mint, secret};
use crate::store::{Change, Registry, Store};

/// The longest time for which a secret opens after its key got another, in seconds: 30 days.
const MOST_GRACE: u32 = 30 * 86_400;

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Key {
    id: String,
    #[schema(value_type = RoleWord)]
    role: &'static str,
    /// What it is for.
    label: String,
    /// Those of its sites that the caller has too.
    #[schema(value_type = Vec<Name>)]
    sites: Vec<SiteId>,
    /// It is for more sites: this caller cannot change it.
    elsewhere: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: UnixMillis,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<UnixMillis>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<UnixMillis>,
    /// Until when the secret before the last rotation opens too.
    #[schema(value_type = Option<String>, format = DateTime)]
    previous_until: Option<UnixMillis>,
}

impl Key {
    fn new(key: &ApiKey, staff: &Staff) -> Self {
        let (sites, elsewhere) = seen(staff, &key.sites);
        Self {
            id: key.id.clone(),
            role: key.role.as_str(),
            label: key.label.clone(),
            sites,
            elsewhere,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            previous_until: key.previous.map(|(_, until)| until),
        }
    }
}

/// The keys of a site.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Keys {
    keys: Vec<Key>,
}

/// A key with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NewKey {
    key: Key,
    /// The text to send as `Authorization: Bearer`.
    secret: String,
}

/// The key of this id, if it is for the site that is asked about.
fn find<'r>(registry: &'r Registry, staff: &Staff, id: &str) -> Result<&'r ApiKey, Problem> {
    let key = registry.key(id).filter(|key| key.sites.contains(&staff.site.id));
    key.ok_or_else(|| Problem::not_found("the site has no such key"))
}

/// The keys of a site, without their secrets.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/keys",
    tag = "admin",
    params(("site" = String, Path, description = "The site")),
    responses((status = 200, description = "The keys, revoked ones too", body = Keys), Guarded),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let registry = app.store.registry();
    let keys = registry.keys.iter().filter(|key| key.sites.contains(&staff.site.id));
    Ok(private(Json(Keys { keys: keys.map(|key| Key::new(key, &staff)).collect() })))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct KeyBody {
    #[schema(value_type = RoleWord)]
    role: String,
    /// What it is for: at most 100 characters, on one line.
    #[serde(default)]
    #[schema(max_length = 100, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    label: String,
    /// The sites it is for, this one among them; without, this one.
    #[schema(value_type = Option<Vec<Name>>)]
    sites: Option<Vec<SiteId>>,
    /// After how many days it ends; without, it does not.
    #[schema(minimum = 1)]
    days: Option<u16>,
}

/// Create a key. Its secret is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/keys",
    tag = "admin",
    request_body = KeyBody,
    params(("site" = String, Path, description = "The site")),
    responses((status = 201, description = "The key", body = NewKey), Guarded, Bodied),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn create(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let asked: KeyBody = body::json(&headers, body).await?;
    let role = Role::parse(&asked.role)
        .ok_or_else(|| Problem::refused("the role is backend, officer or admin").at("/role"))?;
    label(&asked.label)?;
    let sites = sites(&staff, asked.sites)?;
    let now = app.clock.now();
    if asked.days == Some(0) {
        return Err(Problem::refused("a key lasts a day at least").at("/days"));
    }
    let expires_at = asked.days.map(|days| now.plus_days(days));
    let (key, secret) = mint(role, sites, &asked.label, now, expires_at);
    let shown = Key::new(&key, &staff);
    app.store.change(Change::CreateKey(key), staff.actor).await?;
    Ok(private((StatusCode::CREATED, Json(NewKey { key: shown, secret: secret.reveal().to_owned() }))))
}

/// End a key, at once.
#[utoipa::path(
    delete,
    path = "/v1/sites/{site}/keys/{id}",
    tag = "admin",
    params(("site" = String, Path, description = "The site"), ("id" = String, Path, description = "The key's id")),
    responses(
        (status = 204, description = "It opens nothing any more"),
        (status = 404, description = "The site has no such live key", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It ended meanwhile", body = Problem, content_type = "application/problem+json"),
        Guarded,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn revoke(
    State(app): State<Arc<App>>,
    Path((site, id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let registry = app.store.registry();
    let key = find(&registry, &staff, &id)?;
    owned(&staff, "key", &key.sites)?;
    if key.revoked_at.is_some() {
        return Err(Problem::not_found("the key is revoked already"));
    }
    app.store.change(Change::RevokeKey { id }, staff.actor).await?;
    Ok(private(StatusCode::NO_CONTENT))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RotateBody {
    /// For how many seconds the present secret opens too: 0 to 2592000 (30 days).
    #[schema(maximum = 2_592_000)]
    grace_seconds: u32,
}

/// Give a key another secret. The present one opens too until the grace period ends; one that still opened from a rotation before
/// ends at once.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/keys/{id}/rotate",
    tag = "admin",
    request_body = RotateBody,
    params(("site" = String, Path, description = "The site"), ("id" = String, Path, description = "The key's id")),
    responses(
        (status = 200, description = "The key with its new secret, which is shown this once", body = NewKey),
        (status = 404, description = "The site has no such key", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is revoked or expired", body = Problem, content_type = "application/problem+json"),
        Guarded,
        Bodied,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn rotate(
    State(app): State<Arc<App>>,
    Path((site, id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let asked: RotateBody = body::json(&headers, body).await?;
    if asked.grace_seconds > MOST_GRACE {
        return Err(Problem::refused(format!("at most {MOST_GRACE} seconds")).at("/grace_seconds"));
    }
    let registry = app.store.registry();
    let key = find(&registry, &staff, &id)?;
    owned(&staff, "key", &key.sites)?;
    let (hash, secret) = secret(key.role, &key.id);
    let until = UnixMillis::new(app.clock.now().millis().saturating_add(i64::from(asked.grace_seconds) * 1000));
    app.store.change(Change::RotateKey { id: id.clone(), hash, until }, staff.actor.clone()).await?;
    let registry = app.store.registry();
    let key = Key::new(find(&registry, &staff, &id)?, &staff);
    Ok(private(Json(NewKey { key, secret: secret.reveal().to_owned() })))
}
