//! Reading what a site shows: its notice in force, in the language that is asked for.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use consent_core::id::Language;
use consent_core::notice::{Notice, PublicNotice};

use super::caller;
use super::encoded::Key;
use super::problem::Problem;
use crate::app::App;
use crate::store::{Published, Site};

/// How long others may keep a public answer: short enough for a new notice to reach people soon.
pub(super) const SOON: &str = "public, max-age=60";

/// Who reads what in which language.
pub(super) struct Reading<'a> {
    app: &'a App,
    headers: &'a HeaderMap,
    pub(super) site: Arc<Site>,
    /// The notice in force.
    pub(super) published: Arc<Published>,
    pub(super) language: Language,
    /// The browser's languages have decided.
    pub(super) negotiated: bool,
}

impl<'a> Reading<'a> {
    /// `lang` is the language that the address asks for.
    ///
    /// # Errors
    /// 404 without such a site, or without a notice of it.
    pub(super) fn of(app: &'a App, site: &str, lang: Option<&str>, headers: &'a HeaderMap) -> Result<Self, Problem> {
        let site = caller::site(app, site)?;
        let published = site.notice().ok_or_else(|| Problem::not_found("the site has no notice yet"))?;
        let published = Arc::clone(published);
        let language = language(&published.notice, lang, headers);
        Ok(Self { app, headers, site, published, language, negotiated: lang.is_none() })
    }

    /// The notice as it is shown.
    pub(super) fn shown(&self) -> PublicNotice<'_> {
        self.published.notice.for_language(&self.language)
    }

    /// Answers everyone with what `make` makes of this notice in this language, kept as `what`.
    pub(super) async fn answer(
        &self,
        what: &str,
        kind: &'static str,
        cache: &'static str,
        make: impl FnOnce() -> String,
    ) -> Response {
        let key = Key {
            site: self.site.number,
            version: self.published.outline.version,
            settings: serde_json::to_string(&self.site.settings).unwrap_or_default(),
            what: format!("{what} {}", self.language),
        };
        let mut response = self.app.scripts.answer(self.headers, key, kind, cache, make).await;
        self.vary(&mut response);
        response
    }

    /// Says whether the answer is another one for who reads other languages.
    pub(super) fn vary(&self, response: &mut Response) {
        if self.negotiated {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Language"));
        }
    }
}

/// The language to answer in: the one asked for, else the first of the browser's that the notice has.
fn language(notice: &Notice, asked: Option<&str>, headers: &HeaderMap) -> Language {
    if let Some(lang) = asked {
        return notice.negotiate(&[lang]);
    }
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut wanted: Vec<(&str, f32)> = accepted
        .split(',')
        .take(32)
        .filter_map(|part| {
            let (tag, quality) = part.split_once(';').unwrap_or((part, ""));
            let quality = quality.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse().ok())?;
            (quality > 0.0 && !tag.trim().is_empty()).then_some((tag.trim(), quality))
        })
        .collect();
    wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let wanted: Vec<&str> = wanted.into_iter().map(|(tag, _)| tag).collect();
    notice.negotiate(&wanted)
}
