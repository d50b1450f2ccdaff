//! A visitor's own request: what its cookie says, and the signals it sends.

use axum::http::{HeaderMap, header};
use consent_core::consent::{Consent, Status};
use consent_core::cookie::{Cookie, Found, find};
use consent_core::decision::Signals;
use consent_core::time::UnixMillis;

use super::caller;
use crate::store::{Published, Site};

/// What a visitor's request says. Anything unreadable reads as absent.
#[derive(Debug)]
pub(super) struct Visitor {
    /// The consent cookie, if there is one and it can be read.
    pub(super) cookie: Option<Cookie>,
    /// The browser's signals; `said` is for whoever answers to know.
    pub(super) signals: Signals,
}

impl Visitor {
    pub(super) fn of(site: &Site, headers: &HeaderMap) -> Self {
        // Several lines are one list (RFC 9113, 8.2.3).
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let cookies = lines.collect::<Vec<_>>().join("; ");
        let cookie = match find(&cookies, &site.settings.cookie_name) {
            Found::One(value) => Cookie::parse(value).ok(),
            _ => None,
        };
        // Exactly "1", in any of several lines (Global Privacy Control, 3.1; Tracking Preference Expression, 5.2).
        let on = |name: &str| headers.get_all(name).iter().any(|value| value == "1");
        Self { cookie, signals: Signals { gpc: on("sec-gpc"), dnt: on("dnt"), said: false } }
    }

    /// How the consent in the cookie stands, and what is granted by it.
    pub(super) fn stands(&self, published: &Published, now: UnixMillis) -> (Status, Vec<String>) {
        let Some(cookie) = &self.cookie else { return (Status::None, Vec::new()) };
        let consent = Consent::from_cookie_only(cookie, &published.outline);
        let view = consent.view(&published.outline, now, self.signals.on());
        (view.status(), view.granted_ids().iter().map(ToString::to_string).collect())
    }
}

/// Where to send a browser after a form: the page it came from, if that is one of the site's.
pub(super) fn page_of(site: &Site, address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    let plain = address.len() <= 2048 && address.bytes().all(|b| b.is_ascii_graphic());
    (plain && caller::allows(site, &format!("{scheme}://{host}"))).then(|| address.to_owned())
}

/// The address of the page that a request says it comes from, if that is one of the site's.
pub(super) fn referrer(site: &Site, headers: &HeaderMap) -> Option<String> {
    page_of(site, headers.get(header::REFERER)?.to_str().ok()?)
}

/// Where a site begins, for who came from nowhere that is known; nowhere for a site without an origin.
pub(super) fn home(site: &Site) -> Option<String> {
    site.settings.origins.first().map(|origin| format!("{origin}/"))
}
