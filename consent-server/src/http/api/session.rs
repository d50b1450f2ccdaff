//! Logging in and out.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use consent_core::id::SiteId;
use consent_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::answers::Bodied;
use crate::http::caller::{self, SESSION};
use crate::http::problem::Problem;
use crate::http::shapes::{Name, UserRoleWord};
use crate::http::{body, limit};
use crate::store::{Actor, Change, Store, StoreError};
use crate::users::{self, LONGEST, MAX_PASSWORD};

/// How long a request waits until its password can be hashed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The turn to hash a password: they are hashed one after the other.
pub(super) struct Turn(OwnedSemaphorePermit);

fn busy() -> Problem {
    Problem::unavailable("too many passwords are being checked")
}

impl Turn {
    /// Waits for it.
    ///
    /// # Errors
    /// 503 if too many wait.
    pub(super) async fn wait(app: &App) -> Result<Self, Problem> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&app.hashing).acquire_owned());
        turn.await.map_err(|_| busy())?.map(Self).map_err(|_| busy())
    }

    /// Does what hashes a password on a thread that serves nobody else. The turn ends with the hash: whoever asked may hang up, and what
    /// runs for them runs on.
    ///
    /// # Errors
    /// 503 if the thread has failed.
    pub(super) async fn hash<T: Send + 'static>(self, hash: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let Self(turn) = self;
        let done = tokio::task::spawn_blocking(move || {
            let done = hash();
            drop(turn);
            done
        });
        done.await.map_err(|_| busy())
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct LoginBody {
    /// The user's name.
    user: String,
    /// Their password.
    password: String,
}

/// Who is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct LoggedIn {
    id: String,
    name: String,
    #[schema(value_type = UserRoleWord)]
    role: &'static str,
    #[schema(value_type = Vec<Name>)]
    sites: Vec<SiteId>,
    /// When the session ends at the latest. It ends after 30 minutes without use.
    #[schema(value_type = String, format = DateTime)]
    expires_at: UnixMillis,
}

/// Log in: the answer sets the session's cookie.
///
/// After five tries within a quarter of an hour a name has to wait for the rest of it. A wrong password and an unknown name have the
/// same answer and take the same time.
#[utoipa::path(
    post,
    path = "/v1/session",
    tag = "session",
    request_body = LoginBody,
    responses(
        (status = 201, description = "Logged in", body = LoggedIn),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No such user with this password", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A page of another origin", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many tries for this name, or from here: wait as Retry-After says", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again", body = Problem, content_type = "application/problem+json"),
        Bodied,
    )
)]
pub(in crate::http) async fn login(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    // Another site must not log its visitor in as somebody else. A program that is no browser says neither, and has no cookie to lose.
    if headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN) {
        caller::same_origin(&headers)?;
    }
    limit::login(&app, &headers)?;
    let LoginBody { user, password } = body::json(&headers, body).await?;
    let wrong = || Problem::wrong_password("there is no user of this name with this password");
    // What is no name is one that nobody has.
    let name = users::name(&user).unwrap_or_default();
    let too_many = |seconds| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-tries",
            "Too many tries",
            format!("too many tries for this name: wait {seconds} seconds"),
        )
        .wait(seconds)
    };
    app.attempts.look(&name, app.clock.now()).map_err(too_many)?;
    let turn = Turn::wait(&app).await?;
    // Counted now that the hash will be made: who was told to wait for a turn has not tried.
    let last = app.attempts.begin(&name, app.clock.now()).map_err(too_many)?;
    let known = app.store.registry().user_named(&name).cloned();
    let hash = known.as_ref().map(|user| user.password.clone());
    let right = turn.hash(move || {
        let fits = password.len() <= MAX_PASSWORD;
        let password = if fits { &password } else { "" };
        let matches = hash.map(|hash| hash.matches(password));
        if matches.is_none() {
            users::waste(password);
        }
        matches == Some(true) && fits
    });
    let right = right.await?;
    let user = match known {
        Some(user) if right && user.disabled_at.is_none() => user,
        known => {
            if last && let Some(user) = known {
                // Not waited for: the time of the answer would say that there is such a user.
                let app = Arc::clone(&app);
                tokio::spawn(async move {
                    let actor = Actor::User(user.id.clone());
                    if let Err(error) = app.store.change(Change::Lock { user: user.id }, actor).await {
                        tracing::error!(%error, "that a user was locked is not recorded");
                    }
                });
            }
            return Err(wrong());
        }
    };
    app.attempts.succeeded(&name);
    let (secret, hash) = users::new_session();
    let change = Change::Login { user: user.id.clone(), hash, password: user.password };
    match app.store.change(change, Actor::User(user.id.clone())).await {
        // Removed, disabled or given another password while this one was looked at.
        Err(StoreError::Conflict(_)) => return Err(wrong()),
        done => done?,
    }
    let expires_at = UnixMillis::new(app.clock.now().millis().saturating_add(LONGEST));
    let role = user.role.as_str();
    let body = LoggedIn { id: user.id, name: user.name, role, sites: user.sites, expires_at };
    Ok(with_cookie((StatusCode::CREATED, Json(body)).into_response(), secret.reveal(), ""))
}

/// Log out: the session ends and its cookie is cleared.
#[utoipa::path(
    delete,
    path = "/v1/session",
    tag = "session",
    responses(
        (status = 204, description = "Logged out"),
        (status = 401, description = "No live session", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "A page of another origin", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Try again", body = Problem, content_type = "application/problem+json"),
    ),
    security(("session" = []))
)]
pub(in crate::http) async fn logout(
    State(app): State<Arc<App>>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let registry = app.store.registry();
    let (user, hash) = caller::user(&app, &registry, &method, &headers).await?;
    app.store.change(Change::Logout { user: user.id.clone(), hash }, Actor::User(user.id.clone())).await?;
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), "", "; Max-Age=0"))
}

fn with_cookie(mut response: Response, value: &str, more: &str) -> Response {
    let cookie = format!("{SESSION}={value}; Path=/; HttpOnly; Secure; SameSite=Strict{more}");
    let headers = response.headers_mut();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
