//! What officers look at: records, what was done with them, and counts. That they looked is a record itself, made before the answer.

pub(in crate::http) mod access;
pub(in crate::http) mod records;
pub(in crate::http) mod statistics;

use consent_core::id::RecordId;
use consent_core::record::{Action, Leaf};
use consent_core::time::UnixMillis;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::answers::private;
use crate::http::caller::Staff;
use crate::http::problem::Problem;
use crate::store::{Change, Entry, Registry, Site, Store, StoreError};

/// A record as an officer sees it: the leaf, and the texts beside it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct AuditRecord {
    #[schema(value_type = String, format = "uuid")]
    id: RecordId,
    index: u64,
    /// The canonical bytes that the log holds.
    #[schema(value_type = Object)]
    leaf: Box<RawValue>,
    /// Who did it: the id of a key or user, or a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    /// The key's label or the user's name, while there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_name: Option<String>,
    /// On what.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The evidence of a decision on a person's behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<String>,
}

/// Records, latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Records {
    records: Vec<AuditRecord>,
    /// Ask again with this as `before` for earlier ones: there may be none. Null if everything was looked at.
    next: Option<u64>,
}

/// Records that an officer is about to look.
async fn looked(app: &App, staff: &Staff, target: String) -> Result<(), Problem> {
    let site = staff.site.id.clone();
    app.store.change(Change::Access { site, action: Action::Read, target }, staff.actor.clone()).await?;
    Ok(())
}

fn parse(entry: &Entry) -> Result<Leaf, StoreError> {
    Leaf::parse(&entry.leaf)
        .map_err(|error| StoreError::Corrupt { table: "record", what: format!("record {}: {error}", entry.index) })
}

fn shown(app: &App, registry: &Registry, site: &Site, entry: Entry, leaf: &Leaf) -> Result<AuditRecord, StoreError> {
    let aside = app.store.aside(site, entry.index)?;
    let corrupt = |what: String| StoreError::Corrupt { table: "record", what };
    let text = String::from_utf8(entry.leaf).map_err(|error| corrupt(error.to_string()))?;
    let named = aside.actor.as_deref().and_then(|actor| {
        let of = |sites: &[consent_core::id::SiteId]| sites.contains(&site.id);
        let key = registry.key(actor).filter(|key| of(&key.sites)).map(|key| key.label.clone());
        key.or_else(|| registry.user(actor).filter(|user| of(&user.sites)).map(|user| user.name.clone()))
    });
    Ok(AuditRecord {
        id: leaf.id,
        index: entry.index,
        leaf: RawValue::from_string(text).map_err(|error| corrupt(error.to_string()))?,
        actor: aside.actor,
        actor_name: named.filter(|name| !name.is_empty()),
        target: aside.target,
        evidence: aside.evidence,
    })
}

/// A time in a parameter.
fn time(text: Option<&str>, name: &'static str) -> Result<Option<UnixMillis>, Problem> {
    let parsed = text.map(UnixMillis::parse).transpose();
    parsed.map_err(|error| Problem::malformed(format!("{name} {error}")).at(name))
}

/// A range of time in two parameters.
pub(super) fn range(from: Option<&str>, to: Option<&str>) -> Result<(Option<UnixMillis>, Option<UnixMillis>), Problem> {
    let range = (time(from, "from")?, time(to, "to")?);
    match range {
        (Some(from), Some(to)) if from > to => Err(Problem::malformed("from is later than to").at("from")),
        range => Ok(range),
    }
}

/// The index that records are to be before.
fn before(asked: Option<u64>) -> Result<u64, Problem> {
    // No log grows to this.
    match asked.unwrap_or(1 << 40) {
        before if before <= 1 << 40 => Ok(before),
        _ => Err(Problem::malformed("no index is so high").at("before")),
    }
}

/// How many records an answer may have.
fn limit(asked: Option<u32>) -> Result<usize, Problem> {
    match asked.unwrap_or(50) {
        limit @ 1..=200 => Ok(limit as usize),
        _ => Err(Problem::malformed("limit is 1 to 200").at("limit")),
    }
}
