//! A person's own records, and the receipt for each.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use consent_core::id::{RecordId, SubjectId};
use consent_core::receipt::TlogProof;
use consent_core::record::Hex32;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::answers::private;
use crate::http::caller;
use crate::http::object;
use crate::http::problem::Problem;
use crate::http::shapes::Subject;
use crate::store::{Entry, Store, StoreError};

const SUBJECT: &str = "consent-subject";

/// The records of one subject, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct History {
    records: Vec<OwnRecord>,
}

#[derive(Debug, Serialize, ToSchema)]
struct OwnRecord {
    #[schema(value_type = String, format = "uuid")]
    id: RecordId,
    index: u64,
    /// The canonical bytes that the log holds.
    #[schema(value_type = Object)]
    leaf: Box<RawValue>,
}

/// Who holds the consent ID may see its records: it comes in a header, never in a URL that a browser or proxy logs.
fn holder(headers: &HeaderMap) -> Result<SubjectId, Problem> {
    let value = headers.get(SUBJECT).and_then(|value| value.to_str().ok());
    let missing = || Problem::malformed("name the subject in the header Consent-Subject").at("Consent-Subject");
    object::subject(value.ok_or_else(missing)?, "Consent-Subject")
}

fn raw(entry: &Entry) -> Result<Box<RawValue>, StoreError> {
    let corrupt = |what: String| StoreError::Corrupt { table: "record", what };
    let text = String::from_utf8(entry.leaf.clone()).map_err(|error| corrupt(error.to_string()))?;
    RawValue::from_string(text).map_err(|error| corrupt(error.to_string()))
}

/// Own records.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/records",
    tag = "public",
    params(
        ("site" = String, Path, description = "The site"),
        ("Consent-Subject" = inline(Subject), Header, description = "The subject, as a UUID or as in the cookie"),
    ),
    responses(
        (status = 200, description = "The records; none for an unknown subject", body = History),
        (status = 400, description = "No subject, or not one", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn list(
    State(app): State<Arc<App>>,
    Path(site): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let site = caller::site(&app, &site)?;
    let subject = holder(&headers)?;
    let entries = app.store.records(&site, &subject)?;
    let mut records = Vec::with_capacity(entries.len());
    for entry in &entries {
        let leaf = consent_core::record::Leaf::parse(&entry.leaf).map_err(|error| StoreError::Corrupt {
            table: "record",
            what: format!("record {}: {error}", entry.index),
        })?;
        records.push(OwnRecord { id: leaf.id, index: entry.index, leaf: raw(entry)? });
    }
    Ok(private(Json(History { records })))
}

/// What a receipt carries beside the proof: with it, its holder can show that the record is theirs.
#[derive(Serialize)]
struct Extra {
    leaf: Box<RawValue>,
    opening: Hex32,
    statement: &'static str,
    subject: SubjectId,
}

/// A receipt: the record with its inclusion proof (C2SP tlog-proof), to be kept and checked offline.
#[utoipa::path(
    get,
    path = "/v1/sites/{site}/records/{id}/receipt",
    tag = "public",
    params(
        ("site" = String, Path, description = "The site"),
        ("id" = String, Path, description = "The record"),
        ("Consent-Subject" = inline(Subject), Header, description = "The subject, as a UUID or as in the cookie"),
    ),
    responses(
        (status = 200, description = "A C2SP tlog-proof; `extra` holds the leaf, the subject and the opening", body = String, content_type = "text/plain"),
        (status = 400, description = "No subject, or not one", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such record of this subject", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(in crate::http) async fn receipt(
    State(app): State<Arc<App>>,
    Path((site, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let site = caller::site(&app, &site)?;
    let subject = holder(&headers)?;
    let unknown = || Problem::not_found("there is no such record of this subject");
    let id = RecordId::parse(&id).map_err(|_| unknown())?;
    let (entry, opening) = app.store.record(&site, &subject, &id)?.ok_or_else(unknown)?;
    // A record that is newer than the published checkpoint would have no proof: publish first.
    let published = app.store.checkpoint(&site)?.filter(|(size, _)| entry.index < *size);
    let (size, checkpoint) = if let Some(published) = published {
        published
    } else {
        app.store.publish(&site).await?;
        app.store.checkpoint(&site)?.ok_or_else(unknown)?
    };
    let proof = app.store.inclusion(&site, entry.index, size)?;
    let extra =
        Extra { leaf: raw(&entry)?, opening: Hex32(opening), statement: consent_core::export::STATEMENT, subject };
    let extra = serde_json::to_vec(&extra).map_err(|_| Problem::not_found("the receipt cannot be written"))?;
    let text = TlogProof { extra: Some(extra), index: entry.index, proof, checkpoint }.to_string();
    let mut response = private(text);
    let name = format!("attachment; filename=\"consent-{id}.tlog-proof\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}
