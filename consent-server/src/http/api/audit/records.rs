//! Searching the records of a site.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method as HttpMethod};
use axum::response::Response;
use consent_core::decision::Method;
use consent_core::id::{RecordId, SubjectId};
use consent_core::record::{Kind, Leaf};
use consent_core::time::UnixMillis;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Records, before, limit, looked, parse, private, range, shown};
use crate::app::App;
use crate::http::answers::Guarded;
use crate::http::api::export::range_in_words;
use crate::http::caller::staff;
use crate::http::object;
use crate::http::problem::Problem;
use crate::http::shapes::{KindWord, MethodWord, Subject, Uuid};
use crate::keys::Role;
use crate::store::{Entry, Site, Store, StoreError};

/// The most records that one request looks through. What is left is for the next, from its cursor.
const MOST: u64 = 20_000;

/// How many are read at once: no reading holds the database's log back for long.
const CHUNK: u64 = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Asked {
    /// The record of this id.
    #[param(value_type = Option<Uuid>, inline)]
    id: Option<String>,
    /// Records of this kind.
    #[param(value_type = Option<KindWord>, inline)]
    kind: Option<String>,
    /// Decisions by this act.
    #[param(value_type = Option<MethodWord>, inline)]
    method: Option<String>,
    /// Records recorded at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<String>,
    /// Records recorded before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<String>,
    /// Records with a lower index: `next` of the answer before.
    #[param(maximum = 1_099_511_627_776_u64)]
    before: Option<u64>,
    /// At most so many, 1 to 200; 50 without it.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// What is looked for.
struct Wanted {
    id: Option<RecordId>,
    subject: Option<SubjectId>,
    kind: Option<Kind>,
    method: Option<Method>,
    range: (Option<UnixMillis>, Option<UnixMillis>),
    before: u64,
    limit: usize,
}

impl Wanted {
    fn has(&self, leaf: &Leaf, index: u64) -> bool {
        index < self.before
            && self.kind.is_none_or(|kind| leaf.kind == kind)
            && self.method.is_none_or(|method| leaf.method == Some(method))
            && self.range.0.is_none_or(|from| leaf.recorded_at >= from)
            && self.range.1.is_none_or(|to| leaf.recorded_at < to)
    }

    /// For the access record. It does not name the subject: erasing could not cut that link.
    fn in_words(&self) -> String {
        let mut words = match (&self.id, &self.subject) {
            (Some(id), _) => format!("record {id}"),
            (None, Some(_)) => format!("{} of one subject", range_in_words(self.range)),
            (None, None) => range_in_words(self.range),
        };
        if let Some(kind) = self.kind {
            words = format!("{words}, kind {kind}");
        }
        if let Some(method) = self.method {
            words = format!("{words}, method {method}");
        }
        words
    }
}

/// Search the records, latest first.
///
/// By id, by subject (in a header, since addresses are logged), by kind, act and time. That this was done becomes a record itself before
/// the answer. Looks through 20000 records at most and says in `next` where to go on.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/audit/records",
    tag = "officer",
    params(
        ("site" = String, Path, description = "The site"),
        ("Consent-Subject" = inline(Option<Subject>), Header, description = "Records of this subject: a UUID, or as in the cookie"),
        Asked,
    ),
    responses((status = 200, description = "Records, latest first", body = Records), Guarded),
    security(("key" = []), ("session" = []))
)]
pub(in crate::http) async fn search(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    query: Result<Query<Asked>, QueryRejection>,
    method: HttpMethod,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let staff = staff(&app, &method, &headers, &site, Role::Officer).await?;
    let Query(asked) = query.map_err(|error| Problem::malformed(error.body_text()).at("query"))?;
    let subject = match headers.get("consent-subject") {
        Some(value) => Some(object::subject(value.to_str().unwrap_or_default(), "Consent-Subject")?),
        None => None,
    };
    let known = |what: &str, text: &str| Problem::malformed(format!("there is no {what} \"{text}\"")).at(what);
    let wanted = Wanted {
        id: match asked.id.as_deref() {
            Some(id) => {
                Some(RecordId::parse(id).map_err(|error| Problem::malformed(format!("the id {error}")).at("id"))?)
            }
            None => None,
        },
        subject,
        kind: asked.kind.as_deref().map(|text| Kind::parse(text).ok_or_else(|| known("kind", text))).transpose()?,
        method: asked
            .method
            .as_deref()
            .map(|text| Method::parse(text).ok_or_else(|| known("method", text)))
            .transpose()?,
        range: range(asked.from.as_deref(), asked.to.as_deref())?,
        before: before(asked.before)?,
        limit: limit(asked.limit)?,
    };
    looked(&app, &staff, wanted.in_words()).await?;
    // What was recorded a moment ago can be found, too.
    app.store.publish(&staff.site).await?;
    let found = app.reading(move |app| find(app, &staff.site, &wanted)).await?;
    Ok(private(Json(found)))
}

fn find(app: &App, site: &Site, wanted: &Wanted) -> Result<Records, StoreError> {
    let mut hits = Hits { found: Vec::new(), next: None };
    if let Some(id) = &wanted.id {
        let mut entries: Vec<Entry> = app.store.find(site, id)?.into_iter().collect();
        if let Some(subject) = &wanted.subject {
            let theirs = app.store.records(site, subject)?;
            entries.retain(|entry| theirs.iter().any(|own| own.index == entry.index));
        }
        hits.take(entries, wanted)?;
    } else if let Some(subject) = &wanted.subject {
        hits.take(app.store.records(site, subject)?, wanted)?;
    } else {
        let stretch = app.store.stretch(site, wanted.range.0, wanted.range.1)?;
        let (low, mut high) = (stretch.from, stretch.to.min(wanted.before));
        let floor = high.saturating_sub(MOST).max(low);
        while high > floor && hits.next.is_none() {
            let from = high.saturating_sub(CHUNK).max(floor);
            let mut entries = Vec::new();
            app.store.entries(site, from, high, &mut |entry| {
                entries.push(entry);
                true
            })?;
            hits.take(entries, wanted)?;
            high = from;
        }
        if hits.next.is_none() && floor > low {
            hits.next = Some(floor);
        }
    }
    let registry = app.store.registry();
    let records = hits.found.into_iter().map(|(entry, leaf)| shown(app, &registry, site, entry, &leaf));
    Ok(Records { records: records.collect::<Result<_, _>>()?, next: hits.next })
}

struct Hits {
    found: Vec<(Entry, Leaf)>,
    next: Option<u64>,
}

impl Hits {
    /// Takes what is wanted of these, which ascend, from the end.
    fn take(&mut self, entries: Vec<Entry>, wanted: &Wanted) -> Result<(), StoreError> {
        for entry in entries.into_iter().rev() {
            let leaf = parse(&entry)?;
            if !wanted.has(&leaf, entry.index) {
                continue;
            }
            if self.found.len() == wanted.limit {
                self.next = Some(entry.index + 1);
                return Ok(());
            }
            self.found.push((entry, leaf));
        }
        Ok(())
    }
}
