//! The service as it answers, with a store of its own, in this process and without a socket.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use consent_core::id::SiteId;
use consent_core::outline::Outline;
use consent_core::time::UnixMillis;
use consent_server::app::App;
use consent_server::cli::parse_draft;
use consent_server::clock::Clock;
use consent_server::config::Config;
use consent_server::http;
use consent_server::keys::{Role, mint};
use consent_server::signers::FileSigners;
use consent_server::store::sqlite::Sqlite;
use consent_server::store::{Actor, Change, SiteSettings, Store};
use hyper::service::Service;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The one origin of the site.
pub(super) const ORIGIN: &str = "https://gardens.example";

/// Requests to one store, so that long runs do not fill the disk.
const REQUESTS: u64 = 20_000;

/// Starts at noon of 2026-01-01 and goes on by a second with each request.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> UnixMillis {
        UnixMillis::new(self.0.load(Ordering::Relaxed))
    }
}

pub(super) struct Server {
    runtime: Runtime,
    answer: Answering,
    clock: Arc<Ticking>,
    requests: u64,
    pub(super) outline: Outline,
    /// The keys, in the order of the roles.
    pub(super) keys: Vec<String>,
    // Dropped last, when nothing uses it any more.
    _folder: TempDir,
}

type Answering = Box<dyn Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>>>>>;

/// What was answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// Uses the server of this thread.
pub(super) fn with<T>(run: impl FnOnce(&mut Server) -> T) -> T {
    SERVER.with_borrow_mut(|server| {
        if server.as_ref().is_some_and(|server| server.requests > REQUESTS) {
            *server = None;
        }
        run(server.get_or_insert_with(Server::start))
    })
}

impl Server {
    fn start() -> Self {
        // In memory where there is such a folder: it is not the disk that is tried here.
        let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("there is a temporary folder");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
        let clock = Arc::new(Ticking(AtomicI64::new(1_767_268_800_000)));
        let signers = Arc::new(FileSigners::new(folder.path().join("keys")));
        let store = Sqlite::open(folder.path(), Arc::clone(&clock) as _, Arc::clone(&signers) as _)
            .expect("an empty folder can be a store");
        let config = Config {
            data: folder.path().to_owned(),
            limit_decisions_per_minute: 0,
            limit_reads_per_minute: 0,
            limit_site_decisions_per_minute: 0,
            ..Config::default()
        };
        let app = Arc::new(App::new(config, store, Arc::clone(&clock) as _, signers));
        // Whoever waits for news answers at once.
        app.stopping.send_replace(true);
        let draft = include_str!("../../corpus/notice/good-demo-choice.toml");
        let draft = parse_draft(draft, false).expect("the corpus holds a good notice");
        let notice = draft.publish(None, &[], false).expect("the corpus holds a good notice");
        let outline = notice.outline();
        let site = SiteId::parse("demo").expect("this is a name");
        let settings = SiteSettings {
            origins: vec![ORIGIN.to_owned()],
            cookie_name: "consent".to_owned(),
            cookie_domain: None,
            frames: false,
        };
        let log_origin = "gardens.example/consent".to_owned();
        let mut changes = vec![
            Change::CreateSite { id: site.clone(), log_origin, settings },
            Change::PublishNotice { site: site.clone(), notice: Box::new(notice), material: Vec::new() },
        ];
        let mut keys = Vec::new();
        for role in Role::ALL {
            let (key, secret) = mint(role, vec![site.clone()], "fuzz", clock.now(), None);
            changes.push(Change::CreateKey(key));
            keys.push(secret.reveal().to_owned());
        }
        for change in changes {
            runtime
                .block_on(app.store.change(change, Actor::Machine("fuzz")))
                .expect("a new store takes what a new site needs");
        }
        let site = app.store.registry().site("demo").cloned().expect("it was just made");
        runtime.block_on(app.store.publish(&site)).expect("a checkpoint can be published");
        let routes = http::router(app, None);
        let front = http::front(&routes);
        let answer: Answering = Box::new(move |request| Box::pin(front.call(request)));
        Self { runtime, answer, clock, requests: 0, outline, keys, _folder: folder }
    }

    /// How many requests it has answered.
    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    /// What time it is.
    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Answers a request.
    ///
    /// # Panics
    /// If the answer is one that nobody may ever get.
    pub(super) fn ask(&mut self, request: Request<Body>) -> Answer {
        self.requests += 1;
        // The bare answer that ours are measured against.
        let bare = request.uri().path() == "/";
        self.clock.0.fetch_add(1000, Ordering::Relaxed);
        let Self { runtime, answer, .. } = self;
        let answer = runtime.block_on(async {
            let (head, body) = match answer(request).await {
                Ok(response) => response.into_parts(),
                Err(never) => match never {},
            };
            let body = to_bytes(body, 64 << 20).await.expect("an answer is complete, and not huge");
            Answer { status: head.status, headers: head.headers, body: body.into() }
        });
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!answer.status.is_server_error(), "{}: {text}", answer.status);
        assert!(bare || answer.headers.contains_key("x-content-type-options"), "the headers that all answers have");
        if answer.status.is_client_error() && !answer.body.is_empty() {
            let kind = answer.headers.get("content-type").map(axum::http::HeaderValue::as_bytes);
            assert_eq!(kind, Some(&b"application/problem+json"[..]), "{}: {text}", answer.status);
            let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("a problem is JSON");
            assert_eq!(problem["status"], answer.status.as_u16());
            assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        }
        answer
    }
}
