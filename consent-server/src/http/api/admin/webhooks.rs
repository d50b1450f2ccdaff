//! Webhooks of a site, and what was sent to them. See `docs/events.md`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use consent_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::private;
use crate::app::App;
use crate::http::answers::{Bodied, Guarded};
use crate::http::body;
use crate::http::caller::staff;
use crate::http::problem::Problem;
use crate::keys::Role;
use crate::store::events::{Cursor, EventType};
use crate::store::webhooks::{Again, Delivery, Ended, State as Standing, Webhook, WebhookStore, Which};
use crate::webhooks::manage::{self, ManageError, Wanted};

/// Deliveries in an answer where nothing else is asked.
const USUAL: usize = 100;
/// The most deliveries in an answer.
const MOST: usize = 1000;

/// A webhook, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ShownWebhook {
    id: String,
    url: String,
    types: Vec<EventType>,
    #[schema(value_type = String, format = DateTime)]
    created_at: UnixMillis,
    /// Its place in the event feed: everything before it was delivered or given up.
    #[schema(value_type = String)]
    cursor: Cursor,
    /// Since when nothing is sent any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<UnixMillis>,
    /// Why: `revoked`, or `gone` if its receiver answered 410.
    ended_why: Option<&'static str>,
    /// Deliveries that were given up, of those that are remembered.
    dead: u64,
}

impl ShownWebhook {
    fn new(webhook: Webhook, dead: u64) -> Self {
        let Webhook { id, url, types, created_at, cursor, ended, .. } = webhook;
        let (ended_at, ended_why) = ended.map(|(at, why): (_, Ended)| (at, why.as_str())).unzip();
        Self { id, url, types, created_at, cursor, ended_at, ended_why, dead }
    }
}

/// The webhooks of a site.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ShownWebhooks {
    webhooks: Vec<ShownWebhook>,
}

/// A webhook with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NewWebhook {
    webhook: ShownWebhook,
    /// What deliveries are signed with.
    secret: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WebhookBody {
    /// Where the events are sent: https at port 443 of a public address, unless the server allows more.
    #[schema(max_length = 2048, pattern = "^https?://[^#]+$")]
    url: String,
    /// Which; all without. `revoke` means everything that denies something.
    #[serde(default)]
    types: Vec<EventType>,
    /// The place in the event feed after which it begins, such as the `cursor` of a webhook that has ended; without, now.
    #[schema(pattern = "^[A-Za-z0-9_-]+$")]
    after: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RedeliverBody {
    /// The `event` of one delivery; without, all that was given up.
    event: Option<String>,
}

/// One event on its way.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ShownDelivery {
    /// Counts the events of this webhook.
    n: u64,
    /// The id of the event, sent as `webhook-id`.
    event: String,
    r#type: EventType,
    /// `delivered`, `retrying`, `dead` (given up), `again` (to be sent again) or `void` (does not hold any more).
    state: &'static str,
    /// How often it was sent.
    attempts: u32,
    /// The status of the last answer.
    status: Option<u16>,
    /// Why there was no answer.
    error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    first_at: UnixMillis,
    #[schema(value_type = String, format = DateTime)]
    last_at: UnixMillis,
    /// When it is tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_at: Option<UnixMillis>,
}

impl ShownDelivery {
    fn new(delivery: Delivery) -> Self {
        let Delivery { n, event, kind, state, attempts, status, error, first_at, last_at, next_at, .. } = delivery;
        let (n, state) = (n.unwrap_or_default(), Standing::as_str(state));
        Self { n, event, r#type: kind, state, attempts, status, error, first_at, last_at, next_at }
    }
}

/// What was sent to a webhook, latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Deliveries {
    deliveries: Vec<ShownDelivery>,
    /// Ask again with this as `before` for earlier ones. Null if there are none.
    next: Option<u64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// Only what was given up.
    #[serde(default)]
    dead: bool,
    /// Deliveries with a lower number: `next` of the answer before.
    #[param(maximum = 1_099_511_627_776_u64)]
    before: Option<u64>,
    /// At most so many, 1 to 1000; 100 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Self {
        let detail = error.to_string();
        match error {
            ManageError::Url(_) => Self::refused(detail).at("/url"),
            ManageError::After => Self::refused(detail).at("/after"),
            ManageError::TooMany => Self::conflict(detail),
            ManageError::Unknown(_) => Self::not_found("the site has no such webhook"),
            ManageError::Store(error) => error.into(),
            ManageError::Secret(error) => {
                tracing::error!(%error, "the secret of a webhook could not be written or removed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed", "the secret's file")
            }
        }
    }
}

/// The webhooks of a site, without their secrets.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/webhooks",
    tag = "admin",
    params(("site" = String, Path, description = "The site")),
    responses((status = 200, description = "The webhooks, ended ones too", body = ShownWebhooks), Guarded),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let read = move |app: &App| -> Result<Vec<_>, ManageError> {
        let own = app.store.webhooks()?.into_iter().filter(|webhook| webhook.site == staff.site.id);
        own.map(|webhook| Ok(ShownWebhook::new(webhook.clone(), app.store.dead_letters(&webhook.id)?))).collect()
    };
    Ok(private(Json(ShownWebhooks { webhooks: app.reading(read).await? })))
}

/// One webhook, without its secret.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/webhooks/{id}",
    tag = "admin",
    params(("site" = String, Path, description = "The site"), ("id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 200, description = "The webhook", body = ShownWebhook),
        (status = 404, description = "The site has no such webhook", body = Problem, content_type = "application/problem+json"),
        Guarded,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn show(
    State(app): State<Arc<App>>,
    Path((site, id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let read = move |app: &App| -> Result<_, ManageError> {
        let webhook = manage::find(app, &staff.site.id, &id)?;
        Ok(ShownWebhook::new(webhook, app.store.dead_letters(&id)?))
    };
    Ok(private(Json(app.reading(read).await?)))
}

/// Create a webhook. Its secret is in this answer and nowhere else.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/webhooks",
    tag = "admin",
    request_body = WebhookBody,
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 201, description = "The webhook", body = NewWebhook),
        (status = 409, description = "The site has as many as it may have", body = Problem, content_type = "application/problem+json"),
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
    let WebhookBody { url, types, after } = body::json(&headers, body).await?;
    let cursor = |text: String| {
        Cursor::parse(&text)
            .ok_or_else(|| Problem::refused("after is the cursor of an event, a page or a webhook").at("/after"))
    };
    let after = after.map(cursor).transpose()?;
    let wanted = Wanted { url, types, after, allow_private: app.config.webhook_allow_private };
    let (webhook, secret) = manage::create(&app, &staff.site, wanted, staff.actor).await?;
    let new = NewWebhook { webhook: ShownWebhook::new(webhook, 0), secret: secret.reveal() };
    Ok(private((StatusCode::CREATED, Json(new))))
}

/// End a webhook, at once. What it was sent stays in its log.
#[utoipa::path(
    delete,
    path = "/v1/sites/{site}/webhooks/{id}",
    tag = "admin",
    params(("site" = String, Path, description = "The site"), ("id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 204, description = "Nothing is sent to it any more"),
        (status = 404, description = "The site has no such live webhook", body = Problem, content_type = "application/problem+json"),
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
    manage::revoke(&app, &staff.site.id, &id, staff.actor).await?;
    Ok(private(StatusCode::NO_CONTENT))
}

/// Send again what was given up, or one event, if it still holds.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/webhooks/{id}/redeliver",
    tag = "admin",
    request_body = RedeliverBody,
    params(("site" = String, Path, description = "The site"), ("id" = String, Path, description = "The webhook's id")),
    responses(
        (status = 202, description = "They are sent again, beside the others"),
        (status = 404, description = "The site has no such webhook", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It has ended, or there is nothing to send again", body = Problem, content_type = "application/problem+json"),
        Guarded,
        Bodied,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn redeliver(
    State(app): State<Arc<App>>,
    Path((site, id)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let RedeliverBody { event } = body::json(&headers, body).await?;
    let which = event.map_or(Again::Dead, Again::Event);
    manage::redeliver(&app, &staff.site.id, &id, which, staff.actor).await?;
    Ok(private(StatusCode::ACCEPTED))
}

/// What was sent to a webhook and what came of it, latest first. It names records, no person.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/webhooks/{id}/deliveries",
    tag = "officer",
    params(
        ("site" = String, Path, description = "The site"),
        ("id" = String, Path, description = "The webhook's id"),
        Asked,
    ),
    responses(
        (status = 200, description = "Deliveries of the last 30 days, at most 100,000", body = Deliveries),
        (status = 404, description = "The site has no such webhook", body = Problem, content_type = "application/problem+json"),
        Guarded,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn deliveries(
    State(app): State<Arc<App>>,
    Path((site, id)): Path<(String, String)>,
    query: Result<Query<Asked>, QueryRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Officer).await?;
    let Query(Asked { dead, before, limit }) =
        query.map_err(|error| Problem::malformed(error.body_text()).at("query"))?;
    let limit = limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        return Err(Problem::malformed(format!("limit is 1 to {MOST}")).at("limit"));
    }
    if before.is_some_and(|before| before > 1 << 40) {
        return Err(Problem::malformed("before is the next of an answer").at("before"));
    }
    let which = if dead { Which::Dead } else { Which::All };
    let read = move |app: &App| -> Result<_, ManageError> {
        manage::find(app, &staff.site.id, &id)?;
        Ok(app.store.deliveries(&id, which, before, limit + 1)?)
    };
    let mut found = app.reading(read).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().and_then(|delivery| delivery.n).filter(|_| more);
    let deliveries = found.into_iter().map(ShownDelivery::new).collect();
    Ok(private(Json(Deliveries { deliveries, next })))
}
