//! Notice versions: publishing one, and those that were.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use consent_core::id::{CategoryId, Language};
use consent_core::lint::{self, Finding};
use consent_core::notice::{self, Draft, PublishError};
use consent_core::record::Hex32;
use consent_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::private;
use crate::app::App;
use crate::http::answers::{Bodied, Guarded};
use crate::http::body;
use crate::http::caller::staff;
use crate::http::problem::Problem;
use crate::http::shapes::{Name, Tag};
use crate::keys::Role;
use crate::store::{Change, Published, Store, StoreError};

/// The most that a draft may have, in bytes.
const LIMIT: usize = 512 * 1024;

/// A notice version.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct NoticeVersion {
    version: u32,
    /// SHA-256 of its canonical bytes, as the records name it.
    #[schema(value_type = String)]
    sha256: Hex32,
    #[schema(value_type = String, format = DateTime)]
    published_at: UnixMillis,
    #[schema(value_type = Vec<Tag>)]
    languages: Vec<Language>,
}

impl NoticeVersion {
    fn new(published: &Published) -> Self {
        Self {
            version: published.notice.version(),
            sha256: published.sha256,
            published_at: published.published_at,
            languages: published.notice.languages().to_vec(),
        }
    }
}

/// All versions, the one in force last.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Versions {
    notices: Vec<NoticeVersion>,
}

/// The versions of a site's notice.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/notices",
    tag = "officer",
    params(("site" = String, Path, description = "The site")),
    responses((status = 200, description = "All versions, the one in force last", body = Versions), Guarded),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Officer).await?;
    let notices = staff.site.notices.iter().map(|published| NoticeVersion::new(published)).collect();
    Ok(private(Json(Versions { notices })))
}

/// A version in full.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct FullVersion {
    #[serde(flatten)]
    version: NoticeVersion,
    /// Its canonical JSON: the bytes that `sha256` is of.
    #[schema(value_type = Object)]
    notice: Box<RawValue>,
}

/// One version of a site's notice, as it was published.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/notices/{version}",
    tag = "officer",
    params(("site" = String, Path, description = "The site"), ("version" = u32, Path, description = "Its number, from 1")),
    responses(
        (status = 200, description = "The version", body = FullVersion),
        (status = 404, description = "No such version", body = Problem, content_type = "application/problem+json"),
        Guarded,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn show(
    State(app): State<Arc<App>>,
    Path((site, version)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Officer).await?;
    let published = version.parse().ok().and_then(|version| staff.site.version(version));
    let published = published.ok_or_else(|| Problem::not_found("the notice has no such version"))?;
    let notice = RawValue::from_string(published.notice.canonical().to_owned())
        .map_err(|error| StoreError::Corrupt { table: "notice", what: error.to_string() })?;
    Ok(private(Json(FullVersion { version: NoticeVersion::new(published), notice })))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PublishBody {
    /// The draft, as a notice file has it.
    #[schema(value_type = Object)]
    draft: Draft,
    /// The categories that the change is material for: people are asked about them again.
    #[serde(default)]
    #[schema(value_type = Vec<Name>)]
    material: Vec<CategoryId>,
    /// Nothing of the change is material: nobody is asked again.
    #[serde(default)]
    editorial: bool,
}

/// A version that is in force now.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PublishedNow {
    version: u32,
    #[schema(value_type = String)]
    sha256: Hex32,
    /// What is different from the version before.
    #[schema(value_type = Vec<Object>)]
    changes: Vec<notice::Change>,
    /// What the lint would rather see different.
    #[schema(value_type = Vec<Object>)]
    warnings: Vec<Finding>,
}

fn json(value: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(value).expect("findings and changes hold only text")
}

/// Publish a notice: an immutable version, in force from now on.
///
/// What the lint refuses is a problem whose `findings` name the rules. A change that may be material is refused until the request says
/// for which categories it is, or that it is editorial; the problem's `changes` are the difference.
#[utoipa::path(
    post,
    path = "/v1/sites/{site}/notices",
    tag = "admin",
    request_body = PublishBody,
    params(("site" = String, Path, description = "The site")),
    responses(
        (status = 201, description = "In force", body = PublishedNow),
        (status = 409, description = "Nothing has changed, or another version was published meanwhile", body = Problem, content_type = "application/problem+json"),
        Guarded,
        Bodied,
    ),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn publish(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Admin).await?;
    let asked: PublishBody = body::json_up_to(&headers, body, LIMIT).await?;
    if asked.editorial && !asked.material.is_empty() {
        return Err(Problem::refused("a change is editorial, or material for some categories").at("/editorial"));
    }
    let previous = staff.site.notice().map(|published| &published.notice);
    let warnings = lint::lint(&asked.draft);
    let changes = previous.map(|previous| notice::diff(previous, &asked.draft)).unwrap_or_default();
    let new =
        asked.draft.publish(previous, &asked.material, asked.editorial).map_err(|error| problem(&error, &changes))?;
    let (version, sha256) = (new.version(), Hex32(new.sha256()));
    let change = Change::PublishNotice { site: staff.site.id.clone(), notice: Box::new(new), material: asked.material };
    app.store.change(change, staff.actor).await?;
    Ok(private((StatusCode::CREATED, Json(PublishedNow { version, sha256, changes, warnings }))))
}

fn problem(error: &PublishError, changes: &[notice::Change]) -> Problem {
    let refused = |kind, title, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title, detail);
    match error {
        PublishError::Lint(findings) => {
            let mut rules: Vec<&str> = findings.iter().map(|finding| finding.rule).collect();
            rules.sort_unstable();
            rules.dedup();
            let detail = format!("the draft breaks {}", rules.join(", "));
            refused("notice-lint", "The notice breaks the rules", detail).at("/draft").with("findings", json(findings))
        }
        PublishError::Unclassified(open) => refused(
            "notice-unclassified",
            "Is the change material?",
            "name the categories to ask about again in material, or say that the change is editorial".to_owned(),
        )
        .at("/material")
        .with("changes", json(&changes))
        .with("open", json(open)),
        PublishError::UnknownCategory(_) => Problem::refused(error.to_string()).at("/material"),
        _ => Problem::conflict(error.to_string()),
    }
}
