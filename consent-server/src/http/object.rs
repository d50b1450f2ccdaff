//! The consent object: what holds for a subject, in the one shape that all answers use.

use consent_core::consent::{Consent, Status, View};
use consent_core::id::{ChoiceId, SubjectId};
use consent_core::outline::Outline;
use consent_core::time::UnixMillis;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::store::Site;

/// What holds for a subject now. Everything that is not known to be granted is denied.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConsentObject<'a> {
    /// The site.
    pub site: &'a str,
    /// The subject; null where the question was about an account.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub subject: Option<SubjectId>,
    /// How the consent stands.
    #[schema(value_type = String, example = "valid")]
    pub status: Status,
    /// The notice version of the latest answer.
    pub notice: Option<u32>,
    /// When the latest answer was given: the earlier of its claimed and its recorded time.
    #[schema(value_type = Option<String>)]
    pub decided_at: Option<UnixMillis>,
    /// When the first of the answers ends to hold.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<UnixMillis>,
    /// Each category of the notice in force, and the services granted by themselves.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub categories: Categories<'a>,
    /// Whether the category that was asked for may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<bool>,
}

/// What holds, written as a map of ids to `granted` or `denied`.
#[derive(Debug)]
pub(super) struct Categories<'a> {
    outline: &'a Outline,
    view: View<'a>,
}

impl Categories<'_> {
    /// Whether this may be used.
    pub(super) fn granted(&self, choice: &ChoiceId) -> bool {
        self.view.granted(choice)
    }
}

impl Serialize for Categories<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for category in &self.outline.categories {
            let granted = self.view.granted(&ChoiceId::from(&category.id));
            map.serialize_entry(category.id.as_str(), if granted { "granted" } else { "denied" })?;
            if !granted {
                for service in &category.services {
                    let service = ChoiceId::service_of(&category.id, &service.id);
                    if self.view.granted(&service) {
                        map.serialize_entry(service.as_str(), "granted")?;
                    }
                }
            }
        }
        map.end()
    }
}

impl<'a> ConsentObject<'a> {
    /// The object of a consent at this time.
    pub(super) fn new(
        site: &'a Site,
        outline: &'a Outline,
        subject: impl Into<Option<SubjectId>>,
        consent: &'a Consent,
        now: UnixMillis,
    ) -> Self {
        let view = consent.view(outline, now, false);
        Self {
            site: site.id.as_str(),
            subject: subject.into(),
            status: view.status(),
            notice: view.notice(),
            decided_at: view.decided_at(),
            expires_at: view.expires_at(),
            categories: Categories { outline, view },
            allowed: None,
        }
    }
}

/// A category or service that the notice in force lists.
///
/// # Errors
/// 404 that lists those that it does.
pub(super) fn choice(outline: &Outline, text: &str) -> Result<ChoiceId, Problem> {
    let known = ChoiceId::parse(text).ok().filter(|choice| outline.listed(choice).is_some());
    known.ok_or_else(|| {
        let mut ids: Vec<String> = Vec::new();
        for category in &outline.categories {
            ids.push(category.id.as_str().to_owned());
            ids.extend(category.services.iter().map(|service| format!("{}:{}", category.id, service.id)));
        }
        Problem::new(
            axum::http::StatusCode::NOT_FOUND,
            "unknown-category",
            "Unknown category",
            format!("there is no category \"{text}\"; there are: {}", ids.join(", ")),
        )
        .at("category")
        .with("categories", ids)
    })
}

/// A subject in a path or header: a UUID, or the 22 characters of the cookie.
///
/// # Errors
/// 400.
pub(super) fn subject(text: &str, place: &str) -> Result<SubjectId, Problem> {
    SubjectId::parse(text)
        .or_else(|_| SubjectId::from_base64url(text))
        .map_err(|error| Problem::malformed(format!("the subject {error}, or the form that the cookie has")).at(place))
}
