//! The follower beside a service that does as it is told.

mod service;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use consent_core::id::SubjectId;
use consent_tower::{Follower, Knowledge, RequireConsent, Settings, SettingsError};
use http::Request;
use service::Service;
use tower::util::ServiceExt;

/// How long anything may take that ought to take a moment. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A follower of a service, and an application that asks it.
struct Backend {
    follower: Arc<Follower>,
    app: Router,
    runtime: tokio::runtime::Runtime,
}

impl Backend {
    fn of(service: &Service, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new(service.address(), "shop", "ck_key");
        // A busy machine must not make an answer late.
        settings.timeout = Duration::from_secs(20);
        change(&mut settings);
        let follower = Arc::new(Follower::start(settings).unwrap());
        let require = RequireConsent::category(Arc::clone(&follower), "statistics").unwrap();
        let app = Router::new().route("/", get(async || "done").route_layer(require));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        Self { follower, app, runtime }
    }

    /// Follows. A busy machine must not make what is known too old, either.
    fn following(service: &Service) -> Self {
        let backend = Self::of(service, |settings| settings.max_age = PATIENCE);
        wait_until("the follower to follow", || backend.follower.is_following());
        backend
    }

    /// The answer to someone whose cookie grants statistics.
    fn ask(&self, subject: SubjectId) -> u16 {
        let at = self.follower.now().seconds();
        let cookie = format!("consent=1.1.{at}.{}.statistics.", subject.to_base64url());
        let request = Request::builder().uri("/").header("cookie", cookie).body(Body::empty()).unwrap();
        self.runtime.block_on(self.app.clone().oneshot(request)).unwrap().status().as_u16()
    }
}

fn wait_until(what: &str, mut yes: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !yes() {
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn subject(n: u8) -> SubjectId {
    SubjectId::from_random([n; 16])
}

#[test]
fn each_subject_is_asked_for_once_and_then_followed() {
    let service = Service::start();
    service.grant(subject(1), &["statistics"]);
    let backend = Backend::following(&service);
    for _ in 0..5 {
        assert_eq!(backend.ask(subject(1)), 200);
        assert_eq!(backend.ask(subject(2)), 403, "the service knows nothing of it: a cookie alone is no proof");
    }
    assert_eq!(service.checks(), 2);

    for (kind, granted) in [("revoke", false), ("grant", true), ("forget", false)] {
        if granted {
            service.grant(subject(1), &["statistics"]);
        } else {
            service.deny(subject(1));
        }
        service.event(kind, subject(1));
        let want = if granted { 200 } else { 403 };
        wait_until(kind, || backend.ask(subject(1)) == want);
    }
    assert_eq!(service.checks(), 2 + 3, "asked anew after each event, and only then");
}

#[test]
fn a_feed_that_is_too_old_vouches_for_nothing() {
    let mut service = Service::start();
    service.grant(subject(1), &["statistics"]);
    let backend = Backend::of(&service, |settings| settings.max_age = Duration::from_secs(1));
    wait_until("the follower to follow", || backend.follower.is_following());
    assert_eq!(backend.ask(subject(1)), 200);

    service.feed_fails(true);
    wait_until("the feed to be too old", || !backend.follower.is_following());
    assert!(backend.follower.trouble().is_some_and(|why| why.contains("500")), "{:?}", backend.follower.trouble());
    let before = service.checks();
    assert_eq!(backend.ask(subject(1)), 200);
    assert_eq!(backend.ask(subject(1)), 200);
    assert_eq!(service.checks(), before + 2, "each request is asked for");
    // Revoked, and no feed to say so.
    service.deny(subject(1));
    service.event("revoke", subject(1));
    assert_eq!(backend.ask(subject(1)), 403);

    service.feed_fails(false);
    wait_until("the feed to be young again", || backend.follower.is_following());
    assert_eq!(backend.ask(subject(1)), 403, "what happened meanwhile was read first");
    service.grant(subject(1), &["statistics"]);
    service.event("grant", subject(1));
    wait_until("the grant", || backend.ask(subject(1)) == 200);

    service.stop();
    let begin = Instant::now();
    wait_until("the last answer to be too old", || backend.ask(subject(1)) == 403);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn a_lost_place_in_the_feed_makes_all_be_asked_again() {
    let service = Service::start();
    service.grant(subject(1), &["statistics"]);
    let backend = Backend::following(&service);
    assert_eq!(backend.ask(subject(1)), 200);
    service.deny(subject(1));
    // No event for it: it is in what was lost.
    service.lose_cursors();
    wait_until("what was kept to be dropped", || backend.ask(subject(1)) == 403);
    wait_until("the feed to be followed again", || backend.follower.is_following());
}

#[test]
fn an_event_about_nobody_knows_whom_is_about_everybody() {
    let service = Service::start();
    service.grant(subject(1), &["statistics"]);
    let backend = Backend::following(&service);
    assert_eq!(backend.ask(subject(1)), 200);
    service.deny(subject(1));
    service.raw_event("{\"cursor\":\"x\",\"type\":\"merge\",\"subject\":\"?\"}");
    wait_until("what was kept to be dropped", || backend.ask(subject(1)) == 403);
}

#[test]
fn a_new_notice_is_followed() {
    let service = Service::start();
    service.grant(subject(1), &["statistics"]);
    let backend = Backend::following(&service);
    assert_eq!(backend.ask(subject(1)), 200);
    service.publish(2, 2);
    // The event of somebody who has seen it already.
    service.event("grant", subject(9));
    wait_until("the material change to close the category", || backend.ask(subject(1)) == 403);
}

#[test]
fn who_cannot_be_asked_is_denied_in_time() {
    let service = Service::start();
    service.grant(subject(1), &["statistics"]);
    let backend = Backend::of(&service, |settings| settings.timeout = Duration::from_millis(300));
    wait_until("the follower to follow", || backend.follower.is_following());
    service.checks_take(Duration::from_secs(30));
    let begin = Instant::now();
    assert_eq!(backend.ask(subject(1)), 403);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[test]
fn a_service_that_was_never_there_grants_nothing() {
    let mut service = Service::start();
    service.stop();
    let backend = Backend::of(&service, |_| {});
    assert_eq!(backend.ask(subject(1)), 403);
    wait_until("the reason", || backend.follower.trouble().is_some());
    assert!(!backend.follower.is_following());
}

#[test]
fn the_threads_end_with_the_follower() {
    let service = Service::start();
    let backend = Backend::of(&service, |settings| settings.max_age = Duration::from_secs(1));
    wait_until("the follower to poll again and again", || service.polls() > 5);
    drop(backend);
    let mut before = service.polls();
    wait_until("the polls to end", || {
        std::thread::sleep(Duration::from_secs(2));
        let now = service.polls();
        std::mem::replace(&mut before, now) == now
    });
}

#[test]
fn what_cannot_be_reached_is_said_at_once() {
    for (service, site, key) in [
        ("127.0.0.1:8080", "shop", "ck"),
        ("http://", "shop", "ck"),
        ("ftp://consent.example", "shop", "ck"),
        ("http://consent.example", "No Site", "ck"),
        ("http://consent.example", "shop", "c\nk"),
    ] {
        assert!(Follower::start(Settings::new(service, site, key)).is_err(), "{service} {site} {key:?}");
    }
    if !cfg!(feature = "tls") {
        let error = Follower::start(Settings::new("https://consent.example", "shop", "ck")).unwrap_err();
        assert!(matches!(error, SettingsError::Service(_)) && error.to_string().contains("feature"), "{error}");
    }
    assert!(!format!("{:?}", Settings::new("http://a", "shop", "ck_secret")).contains("ck_secret"));
}
