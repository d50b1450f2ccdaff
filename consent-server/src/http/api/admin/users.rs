//! Users of a site: officers and admins who log in.

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

use super::{owned, private, seen, sites};
use crate::app::App;
use crate::http::answers::{Bodied, Guarded};
use crate::http::api::session::Turn;
use crate::http::body;
use crate::http::caller::{Staff, staff};
use crate::http::problem::Problem;
use crate::http::shapes::{Name, UserRoleWord};
use crate::keys::Role;
use crate::store::{Change, Registry, Store, UserUpdate};
use crate::users::{self, PasswordHash, User, UserError};

/// A user.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ShownUser {
    /// Stands for them in the log.
    id: String,
    /// What they log in with.
    name: String,
    #[schema(value_type = UserRoleWord)]
    role: &'static str,
    /// Those of their sites that the caller has too.
    #[schema(value_type = Vec<Name>)]
    sites: Vec<SiteId>,
    /// They have more sites: this caller cannot change them.
    elsewhere: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: UnixMillis,
    /// Since when they are kept out, if they are.
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<UnixMillis>,
}

impl ShownUser {
    fn new(user: &User, staff: &Staff) -> Self {
        let (sites, elsewhere) = seen(staff, &user.sites);
        Self {
            id: user.id.clone(),
            name: user.name.clone(),
            role: user.role.as_str(),
            sites,
            elsewhere,
            created_at: user.created_at,
            disabled_at: user.disabled_at,
        }
    }
}

/// The users of a site.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Users {
    users: Vec<ShownUser>,
}

/// A user, and their password if it was made for them.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NewUser {
    user: ShownUser,
    /// Shown this once; only if the request had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
}

fn find<'r>(registry: &'r Registry, staff: &Staff, id: &str) -> Result<&'r User, Problem> {
    let user = registry.user(id).filter(|user| user.sites.contains(&staff.site.id));
    user.ok_or_else(|| Problem::not_found("the site has no such user"))
}

fn refused(error: &UserError) -> Problem {
    let field = match error {
        UserError::Name => "/name",
        UserError::Role => "/role",
        UserError::Short | UserError::Long => "/password",
    };
    Problem::refused(error.to_string()).at(field)
}

/// The users of a site.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/users",
    tag = "admin",
    params(("site" = String, Path, description = "The site")),
    responses((status = 200, description = "The users, disabled ones too", body = Users), Guarded),
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
    let users = registry.users.iter().filter(|user| user.sites.contains(&staff.site.id));
    Ok(private(Json(Users { users: users.map(|user| ShownUser::new(user, &staff)).collect() })))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct UserBody {
    /// What they will log in with: 1 to 64 of a-z 0-9 . _ @ + -; no two users of the service have the same.
    #[schema(example = "ada@gardens.example", pattern = "^[A-Za-z0-9._@+-]{1,64}$")]
    name: String,
    #[schema(value_type = UserRoleWord)]
    role: String,
    /// Their sites, this one among them; without, this one.
    #[schema(value_type = Option<Vec<Name>>)]
    sites: Option<Vec<SiteId>>,
    /// At least 12 characters, at most 256 bytes; without, one is made and shown once.
    #[schema(min_length = 12, max_length = 256)]
    password: Option<String>,
}

/// Create a user.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/users",
    tag = "admin",
    request_body = UserBody,
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 201, description = "The user", body = NewUser),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        Guarded,
        Bodied,
    ),
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
    let asked: UserBody = body::json(&headers, body).await?;
    let name = users::name(&asked.name).map_err(|error| refused(&error))?;
    let role = users::role(&asked.role).map_err(|error| refused(&error))?;
    let sites = sites(&staff, asked.sites)?;
    let made = asked.password.is_none().then(users::generate_password);
    let password = made.as_ref().map(|made| made.reveal().to_owned()).or(asked.password).unwrap_or_default();
    users::check_password(&password).map_err(|error| refused(&error))?;
    // Asked before the hash is made, which costs more; asked again by the store, which decides.
    if app.store.registry().user_named(&name).is_some() {
        return Err(Problem::conflict("the name is taken").at("/name"));
    }
    let password = Turn::wait(&app).await?.hash(move || PasswordHash::of(&password)).await?;
    let created_at = app.clock.now();
    let user = User { id: users::new_id(), name, role, sites, password, created_at, disabled_at: None };
    let shown = ShownUser::new(&user, &staff);
    app.store.change(Change::CreateUser(user), staff.actor).await?;
    let password = made.map(|made| made.reveal().to_owned());
    Ok(private((StatusCode::CREATED, Json(NewUser { user: shown, password }))))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct UserPatch {
    #[schema(value_type = Option<UserRoleWord>)]
    role: Option<String>,
    /// Their sites from now on.
    #[schema(value_type = Option<Vec<Name>>)]
    sites: Option<Vec<SiteId>>,
    /// A new password, of at least 12 characters and at most 256 bytes: they are logged out everywhere.
    #[schema(min_length = 12, max_length = 256)]
    password: Option<String>,
    /// Whether they are kept out: they are logged out everywhere.
    disabled: Option<bool>,
}

/// Change a user. What is left out stays.
#[utoipa::path(
    patch,
    path = "/v1/sites/{site}/users/{id}",
    tag = "admin",
    request_body = UserPatch,
    params(("site" = String, Path, description = "The site"), ("id" = String, Path, description = "The user's id")),
    responses(
        (status = 200, description = "The user as they are now", body = ShownUser),
        (status = 404, description = "The site has no such user", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "They were removed meanwhile", body = Problem, content_type = "application/problem+json"),
        Guarded,
        Bodied,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn update(
    State(app): State<Arc<App>>,
    Path((site, id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let asked: UserPatch = body::json(&headers, body).await?;
    let registry = app.store.registry();
    owned(&staff, "user", &find(&registry, &staff, &id)?.sites)?;
    let role = asked.role.as_deref().map(users::role).transpose().map_err(|error| refused(&error))?;
    let sites = asked.sites.map(|asked| sites(&staff, Some(asked))).transpose()?;
    let password = match asked.password {
        Some(password) => {
            users::check_password(&password).map_err(|error| refused(&error))?;
            Some(Turn::wait(&app).await?.hash(move || PasswordHash::of(&password)).await?)
        }
        None => None,
    };
    let update = UserUpdate { role, sites, password, disabled: asked.disabled };
    if update.is_empty() {
        return Err(Problem::refused("say what changes: role, sites, password or disabled"));
    }
    app.store.change(Change::UpdateUser { id: id.clone(), update }, staff.actor.clone()).await?;
    let registry = app.store.registry();
    Ok(private(Json(ShownUser::new(find(&registry, &staff, &id)?, &staff))))
}

/// Remove a user, with their name. What they did stays in the log under their id.
#[utoipa::path(
    delete,
    path = "/v1/sites/{site}/users/{id}",
    tag = "admin",
    params(("site" = String, Path, description = "The site"), ("id" = String, Path, description = "The user's id")),
    responses(
        (status = 204, description = "They are gone and logged out"),
        (status = 404, description = "The site has no such user", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "They were removed meanwhile", body = Problem, content_type = "application/problem+json"),
        Guarded,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn remove(
    State(app): State<Arc<App>>,
    Path((site, id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let registry = app.store.registry();
    owned(&staff, "user", &find(&registry, &staff, &id)?.sites)?;
    app.store.change(Change::RemoveUser { id }, staff.actor).await?;
    Ok(private(StatusCode::NO_CONTENT))
}
