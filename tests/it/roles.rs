//! Who may do what: every route of the description, asked by everybody.
//!
//! The rows are checked against the description that the router gives, so that a new route without a row fails.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use consent_core::id::{RecordId, SubjectId};
use consent_server::http::{UNDESCRIBED, openapi};
use consent_tests::{Answer, Api, DecisionBody, Demo, ORIGIN, TestServer, new_subject, wait_until};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const PASSWORD: &str = "twelve letters";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Nobody,
    Backend,
    Officer,
    Admin,
    OtherBackend,
    OtherOfficer,
    OtherAdmin,
    Expired,
    Revoked,
    Malformed,
    SessionOfficer,
    SessionAdmin,
    SessionOther,
    SessionEnded,
    /// A page of another site makes the admin's browser ask.
    SessionForged,
}

impl Caller {
    const ALL: [Self; 15] = [
        Self::Nobody,
        Self::Backend,
        Self::Officer,
        Self::Admin,
        Self::OtherBackend,
        Self::OtherOfficer,
        Self::OtherAdmin,
        Self::Expired,
        Self::Revoked,
        Self::Malformed,
        Self::SessionOfficer,
        Self::SessionAdmin,
        Self::SessionOther,
        Self::SessionEnded,
        Self::SessionForged,
    ];

    fn has_key(self) -> bool {
        !matches!(
            self,
            Self::Nobody
                | Self::SessionOfficer
                | Self::SessionAdmin
                | Self::SessionOther
                | Self::SessionEnded
                | Self::SessionForged
        )
    }
}

/// Whom a route is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Everybody; keys and sessions make no difference.
    All,
    /// Pages of the site, and backends by key.
    Pages,
    Backends,
    Officers,
    Admins,
    /// Whoever is logged in, on any site.
    Sessions,
}

/// The status that a caller must get where who may gets `good`.
fn want(whom: For, caller: Caller, unsafe_method: bool, good: u16) -> u16 {
    use Caller::{
        Admin, Backend, Expired, Malformed, Nobody, Officer, OtherAdmin, OtherBackend, OtherOfficer, Revoked,
        SessionAdmin, SessionEnded, SessionForged, SessionOfficer, SessionOther,
    };
    let key_of_no_use = matches!(caller, Expired | Revoked | Malformed);
    match whom {
        For::All => good,
        For::Pages if !caller.has_key() => good,
        For::Pages | For::Backends => match caller {
            Backend => good,
            Officer | Admin | OtherBackend | OtherOfficer | OtherAdmin => 403,
            _ => 401,
        },
        For::Officers | For::Admins => match caller {
            Nobody | SessionEnded => 401,
            _ if key_of_no_use => 401,
            Admin | SessionAdmin => good,
            Officer | SessionOfficer if whom == For::Officers => good,
            _ => 403,
        },
        For::Sessions => match caller {
            SessionForged if unsafe_method => 403,
            SessionOfficer | SessionAdmin | SessionOther | SessionForged => good,
            _ => 401,
        },
    }
}

/// One request.
#[derive(Debug, Default)]
struct Ask {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Ask {
    fn path(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    fn json(path: impl Into<String>, body: &Value) -> Self {
        Self { path: path.into(), headers: vec![(JSON.0, JSON.1.to_owned())], body: body.to_string().into_bytes() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// One route: method, path as the description has it, whom it is for, the status for those, and a request that succeeds.
type Row = (&'static str, &'static str, For, u16, fn(&World, Caller) -> Ask);

const ROWS: &[Row] = &[
    ("get", "/.well-known/gpc.json", For::All, 200, |_, _| Ask::path("/.well-known/gpc.json")),
    ("get", "/assets/{name}", For::All, 200, |world, _| Ask::path(world.asset.clone())),
    ("get", "/docs", For::All, 200, |_, _| Ask::path("/docs")),
    ("get", "/docs.css", For::All, 200, |_, _| Ask::path("/docs.css")),
    ("get", "/healthz", For::All, 200, |_, _| Ask::path("/healthz")),
    ("get", "/readyz", For::All, 200, |_, _| Ask::path("/readyz")),
    ("get", "/openapi.json", For::All, 200, |_, _| Ask::path("/openapi.json")),
    ("get", "/v1/sites/{site}/banner.html", For::All, 200, |_, _| Ask::path("/v1/sites/demo/banner.html")),
    ("get", "/v1/sites/{site}/consent.js", For::All, 200, |_, _| Ask::path("/v1/sites/demo/consent.js")),
    ("get", "/v1/sites/{site}/declaration", For::All, 200, |_, _| Ask::path("/v1/sites/demo/declaration")),
    ("get", "/v1/sites/{site}/declaration.html", For::All, 200, |_, _| Ask::path("/v1/sites/demo/declaration.html")),
    ("get", "/v1/sites/{site}/notice", For::All, 200, |_, _| Ask::path("/v1/sites/demo/notice")),
    ("get", "/v1/sites/{site}/settings", For::All, 200, |_, _| Ask::path("/v1/sites/demo/settings")),
    ("get", "/v1/sites/{site}/settings.html", For::All, 200, |_, _| Ask::path("/v1/sites/demo/settings.html")),
    ("get", "/v1/sites/{site}/log/checkpoint", For::All, 200, |_, _| Ask::path("/v1/sites/demo/log/checkpoint")),
    ("get", "/v1/sites/{site}/log/tile/{level}/{n}", For::All, 200, |_, _| {
        Ask::path("/v1/sites/demo/log/tile/0/000.p/1")
    }),
    ("get", "/v1/sites/{site}/log/tile/entries/{n}", For::Officers, 200, |_, _| {
        Ask::path("/v1/sites/demo/log/tile/entries/000.p/1")
    }),
    ("get", "/v1/sites/{site}/log/consistency", For::All, 200, |_, _| {
        Ask::path("/v1/sites/demo/log/consistency?from=1&to=2")
    }),
    ("get", "/v1/sites/{site}/log/keys", For::All, 200, |_, _| Ask::path("/v1/sites/demo/log/keys")),
    ("get", "/v1/sites/{site}/log/keys.html", For::All, 200, |_, _| Ask::path("/v1/sites/demo/log/keys.html")),
    ("get", "/v1/sites/{site}/records", For::All, 200, |world, _| {
        Ask::path("/v1/sites/demo/records").with("consent-subject", world.subject.to_string())
    }),
    ("get", "/v1/sites/{site}/records/{id}/receipt", For::All, 200, |world, _| {
        let path = format!("/v1/sites/demo/records/{}/receipt", world.record);
        Ask::path(path).with("consent-subject", world.subject.to_string())
    }),
    ("post", "/v1/sites/{site}/judge", For::All, 200, |_, _| {
        Ask { body: b"allowed".to_vec(), ..Ask::path("/v1/sites/demo/judge") }.with("content-type", "text/plain")
    }),
    ("post", "/v1/sites/{site}/decisions", For::Pages, 201, |_, caller| {
        let mut body = DecisionBody::new("save", "settings", &["statistics"]);
        if caller.has_key() {
            body = DecisionBody::new("api", "none", &["statistics"]).with("source", "phone");
        }
        Ask::json("/v1/sites/demo/decisions", &body.0).with("origin", ORIGIN)
    }),
    ("get", "/v1/sites/{site}/subjects/{subject}/consent", For::Backends, 200, |world, _| {
        Ask::path(format!("/v1/sites/demo/subjects/{}/consent", world.subject))
    }),
    ("post", "/v1/sites/{site}/consent/check", For::Backends, 200, |world, _| {
        Ask::json("/v1/sites/demo/consent/check", &json!({ "subjects": [world.subject], "category": "statistics" }))
    }),
    ("put", "/v1/sites/{site}/subjects/{subject}/account", For::Backends, 204, |world, _| {
        let path = format!("/v1/sites/demo/subjects/{}/account", world.subject);
        Ask::json(path, &json!({ "account": "customer 7" }))
    }),
    ("post", "/v1/sites/{site}/accounts/consent", For::Backends, 200, |_, _| {
        Ask::json("/v1/sites/demo/accounts/consent", &json!({ "account": "customer 7", "category": "statistics" }))
    }),
    ("get", "/v1/sites/{site}/events", For::Backends, 200, |_, _| Ask::path("/v1/sites/demo/events?after=now")),
    // It reads the visitor's own cookie, and no key.
    ("get", "/v1/sites/{site}/authorize", For::All, 204, |world, _| {
        Ask::path("/v1/sites/demo/authorize?category=statistics").with("cookie", format!("consent={}", world.cookie))
    }),
    ("get", "/v1/sites/{site}/export", For::Officers, 200, |_, _| Ask::path("/v1/sites/demo/export")),
    ("get", "/v1/sites/{site}/audit/records", For::Officers, 200, |_, _| Ask::path("/v1/sites/demo/audit/records")),
    ("get", "/v1/sites/{site}/audit/access", For::Officers, 200, |_, _| Ask::path("/v1/sites/demo/audit/access")),
    ("get", "/v1/sites/{site}/statistics", For::Officers, 200, |_, _| Ask::path("/v1/sites/demo/statistics")),
    ("get", "/v1/sites/{site}/notices", For::Officers, 200, |_, _| Ask::path("/v1/sites/demo/notices")),
    ("get", "/v1/sites/{site}/notices/{version}", For::Officers, 200, |_, _| Ask::path("/v1/sites/demo/notices/1")),
    ("post", "/v1/sites/{site}/notices", For::Admins, 201, |world, _| {
        let body = json!({ "draft": world.new_draft(), "editorial": true });
        Ask::json("/v1/sites/demo/notices", &body)
    }),
    ("get", "/v1/sites/{site}", For::Admins, 200, |_, _| Ask::path("/v1/sites/demo")),
    ("put", "/v1/sites/{site}", For::Admins, 200, |world, _| Ask::json("/v1/sites/demo", &world.settings)),
    ("get", "/v1/sites/{site}/keys", For::Admins, 200, |_, _| Ask::path("/v1/sites/demo/keys")),
    ("post", "/v1/sites/{site}/keys", For::Admins, 201, |_, _| {
        Ask::json("/v1/sites/demo/keys", &json!({ "role": "backend" }))
    }),
    ("delete", "/v1/sites/{site}/keys/{id}", For::Admins, 204, |world, _| {
        Ask::path(format!("/v1/sites/demo/keys/{}", world.new_key()))
    }),
    ("post", "/v1/sites/{site}/keys/{id}/rotate", For::Admins, 200, |world, _| {
        Ask::json(format!("/v1/sites/demo/keys/{}/rotate", world.new_key()), &json!({ "grace_seconds": 60 }))
    }),
    ("get", "/v1/sites/{site}/users", For::Admins, 200, |_, _| Ask::path("/v1/sites/demo/users")),
    ("post", "/v1/sites/{site}/users", For::Admins, 201, |world, _| {
        Ask::json("/v1/sites/demo/users", &json!({ "name": world.new_name(), "role": "officer" }))
    }),
    ("patch", "/v1/sites/{site}/users/{id}", For::Admins, 200, |world, _| {
        Ask::json(format!("/v1/sites/demo/users/{}", world.new_user()), &json!({ "disabled": true }))
    }),
    ("delete", "/v1/sites/{site}/users/{id}", For::Admins, 204, |world, _| {
        Ask::path(format!("/v1/sites/demo/users/{}", world.new_user()))
    }),
    ("get", "/v1/sites/{site}/webhooks", For::Admins, 200, |_, _| Ask::path("/v1/sites/demo/webhooks")),
    ("post", "/v1/sites/{site}/webhooks", For::Admins, 201, |_, _| {
        Ask::json("/v1/sites/demo/webhooks", &json!({ "url": "https://receiver.example/consent" }))
    }),
    ("get", "/v1/sites/{site}/webhooks/{id}", For::Admins, 200, |world, _| {
        Ask::path(format!("/v1/sites/demo/webhooks/{}", world.webhook))
    }),
    ("delete", "/v1/sites/{site}/webhooks/{id}", For::Admins, 204, |world, _| {
        Ask::path(format!("/v1/sites/demo/webhooks/{}", world.new_webhook()))
    }),
    // Nothing was given up: there is nothing to send again, which only who may is told.
    ("post", "/v1/sites/{site}/webhooks/{id}/redeliver", For::Admins, 409, |world, _| {
        Ask::json(format!("/v1/sites/demo/webhooks/{}/redeliver", world.webhook), &json!({}))
    }),
    ("get", "/v1/sites/{site}/webhooks/{id}/deliveries", For::Officers, 200, |world, _| {
        Ask::path(format!("/v1/sites/demo/webhooks/{}/deliveries", world.webhook))
    }),
    // A browser says where the page is from that asks: only what has no browser may leave it out.
    ("post", "/v1/session", For::All, 201, |_, _| {
        Ask::json("/v1/session", &json!({ "user": "table-login", "password": PASSWORD }))
    }),
    ("delete", "/v1/session", For::Sessions, 204, |_, _| Ask::path("/v1/session")),
];

/// Two sites with keys and users, and something to ask about.
struct World {
    api: Api,
    keys: Vec<(Caller, String)>,
    sessions: Vec<(Caller, String)>,
    subject: SubjectId,
    record: RecordId,
    cookie: String,
    asset: String,
    settings: Value,
    draft: Value,
    webhook: String,
    count: AtomicU32,
    server: TestServer,
}

fn create_key(api: &Api, admin: &str, site: &str, role: &str) -> Value {
    api.post_as(admin, &format!("/v1/sites/{site}/keys"), &json!({ "role": role })).expect(201).json()
}

fn create_user(api: &Api, admin: &str, site: &str, role: &str, name: &str) -> String {
    let body = json!({ "name": name, "role": role, "password": PASSWORD });
    let user = api.post_as(admin, &format!("/v1/sites/{site}/users"), &body).expect(201).json();
    user["user"]["id"].as_str().unwrap().to_owned()
}

fn create_webhook(api: &Api, admin: &str, site: &str) -> String {
    let body = json!({ "url": "https://receiver.example/consent" });
    let made = api.post_as(admin, &format!("/v1/sites/{site}/webhooks"), &body).expect(201).json();
    made["webhook"]["id"].as_str().unwrap().to_owned()
}

/// Logs in; the cookie as it is sent back.
fn log_in(api: &Api, name: &str) -> String {
    let body = json!({ "user": name, "password": PASSWORD }).to_string();
    let answer = api.send("POST", "/v1/session", &[JSON], body.as_bytes()).expect(201);
    answer.header("set-cookie").split(';').next().unwrap().to_owned()
}

impl World {
    fn new() -> Self {
        // Whoever asks for everything asks often; that this is limited is asked elsewhere.
        let server = Demo::default().variable("CONSENT_LIMIT_CHANGES_PER_SECOND", "0").start();
        let api = server.api();
        let site = ["site", "create", "shop", "--log-origin", "shop.example/log", "--origin", "https://shop.example"];
        server.command_ok(&site);
        let created = |args: &[&str]| server.command_ok(args).trim().to_owned();
        let shop = created(&["key", "create", "--role", "admin", "--site", "shop"]);
        let expired = created(&["key", "create", "--role", "admin", "--site", "demo", "--days", "0"]);
        wait_until("the server to know the other site", || api.get_as(&shop, "/v1/sites/shop/keys").status == 200);
        let key = |admin: &str, site: &str, role: &str| {
            let created = create_key(&api, admin, site, role);
            (created["key"]["id"].as_str().unwrap().to_owned(), created["secret"].as_str().unwrap().to_owned())
        };
        let (revoked_id, revoked) = key(&api.admin, "demo", "admin");
        let path = format!("/v1/sites/demo/keys/{revoked_id}");
        as_key(&api, "DELETE", &path, &api.admin).expect(204);
        let keys = vec![
            (Caller::Backend, api.backend.clone()),
            (Caller::Officer, api.officer.clone()),
            (Caller::Admin, api.admin.clone()),
            (Caller::OtherBackend, key(&shop, "shop", "backend").1),
            (Caller::OtherOfficer, key(&shop, "shop", "officer").1),
            (Caller::OtherAdmin, shop.clone()),
            (Caller::Expired, expired),
            (Caller::Revoked, revoked),
            (Caller::Malformed, format!("{}x", api.admin)),
        ];
        create_user(&api, &api.admin, "demo", "officer", "table-officer");
        create_user(&api, &api.admin, "demo", "admin", "table-admin");
        create_user(&api, &api.admin, "demo", "officer", "table-login");
        create_user(&api, &shop, "shop", "admin", "shop-admin");
        let subject = new_subject();
        let decision = DecisionBody::save(&["statistics"]).by(subject);
        let cookie = api.decide(&decision).expect(201).cookie().unwrap();
        api.receipt(subject, decision.id()).expect(200);
        let script = api.get("/v1/sites/demo/consent.js").expect(200).text();
        let asset = script.split('"').find(|text| text.starts_with("/assets/")).unwrap_or_default();
        let shown = as_key(&api, "GET", "/v1/sites/demo", &api.admin).expect(200).json();
        let draft: toml::Value = toml::from_str(include_str!("../../consent-server/notices/demo-notice.toml")).unwrap();
        let mut world = Self {
            keys,
            sessions: Vec::new(),
            subject,
            record: decision.id(),
            cookie,
            asset: format!("{asset}js"),
            settings: shown["settings"].clone(),
            draft: serde_json::to_value(draft).unwrap(),
            webhook: create_webhook(&api, &api.admin, "demo"),
            count: AtomicU32::new(0),
            api,
            server,
        };
        world.log_in_again();
        world
    }

    /// New sessions for all who have one.
    fn log_in_again(&mut self) {
        let ended = log_in(&self.api, "table-admin");
        let headers = [("cookie", &*ended), ("sec-fetch-site", "same-origin")];
        self.api.send("DELETE", "/v1/session", &headers, &[]).expect(204);
        self.sessions = vec![
            (Caller::SessionOfficer, log_in(&self.api, "table-officer")),
            (Caller::SessionAdmin, log_in(&self.api, "table-admin")),
            (Caller::SessionForged, log_in(&self.api, "table-admin")),
            (Caller::SessionOther, log_in(&self.api, "shop-admin")),
            (Caller::SessionEnded, ended),
        ];
    }

    fn next(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn new_key(&self) -> String {
        let created = create_key(&self.api, &self.api.admin, "demo", "backend");
        created["key"]["id"].as_str().unwrap().to_owned()
    }

    fn new_webhook(&self) -> String {
        create_webhook(&self.api, &self.api.admin, "demo")
    }

    fn new_name(&self) -> String {
        format!("user-{}", self.next())
    }

    fn new_user(&self) -> String {
        create_user(&self.api, &self.api.admin, "demo", "officer", &self.new_name())
    }

    /// A draft that says something else than those before.
    fn new_draft(&self) -> Value {
        let mut draft = self.draft.clone();
        draft["privacy_policy"] = format!("/privacy?{}", self.next()).into();
        draft
    }

    fn ask(&self, method: &str, caller: Caller, ask: &Ask) -> Answer {
        let of = |list: &[(Caller, String)]| list.iter().find(|(who, _)| *who == caller).map(|(_, text)| text.clone());
        let mut headers: Vec<(&str, String)> = ask.headers.clone();
        if let Some(key) = of(&self.keys) {
            headers.push(("authorization", format!("Bearer {key}")));
        }
        if let Some(cookie) = of(&self.sessions) {
            headers.push(("cookie", cookie));
            if !headers.iter().any(|(name, _)| *name == "origin") {
                let from = if caller == Caller::SessionForged { "cross-site" } else { "same-origin" };
                headers.push(("sec-fetch-site", from.to_owned()));
            }
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.api.send(&method.to_uppercase(), &ask.path, &headers, &ask.body)
    }
}

fn as_key(api: &Api, method: &str, path: &str, key: &str) -> Answer {
    api.send(method, path, &[("authorization", &format!("Bearer {key}"))], &[])
}

#[test]
fn every_route_has_a_row() {
    let description: Value = serde_json::from_str(&openapi()).unwrap();
    let mut routes: BTreeSet<(String, String)> =
        UNDESCRIBED.iter().map(|path| ("get".to_owned(), (*path).to_owned())).collect();
    for (path, methods) in description["paths"].as_object().unwrap() {
        routes.extend(methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    let rows: BTreeSet<(String, String)> =
        ROWS.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(rows.len(), ROWS.len(), "a route has two rows");
    let missing: Vec<_> = routes.difference(&rows).collect();
    let gone: Vec<_> = rows.difference(&routes).collect();
    assert!(missing.is_empty() && gone.is_empty(), "routes without a row: {missing:?}; rows without a route: {gone:?}");
}

#[test]
fn every_route_answers_everybody_as_it_must() {
    let mut world = World::new();
    let mut wrong = Vec::new();
    for &(method, path, whom, good, make) in ROWS {
        let unsafe_method = method != "get";
        for caller in Caller::ALL {
            // What logs out, or in as somebody else's page, is another matter than the rest of the row.
            let mut want = want(whom, caller, unsafe_method, good);
            if (method, path, caller) == ("post", "/v1/session", Caller::SessionForged) {
                want = 403;
            }
            let answer = world.ask(method, caller, &make(&world, caller));
            if answer.status != want {
                wrong.push(format!(
                    "{method} {path} by {caller:?}: {} instead of {want}: {}",
                    answer.status,
                    answer.text()
                ));
            }
            if answer.status >= 400 {
                answer.problem();
            }
            if matches!(want, 401 | 403) && whom != For::Pages {
                let text = answer.text();
                assert!(!text.contains("example.com") && !text.contains("log_key"), "{text}");
            }
        }
        if path == "/v1/session" {
            world.log_in_again();
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A site cannot be told from one that does not exist by who has nothing to do with it.
#[test]
fn another_site_looks_like_one_that_is_not_there() {
    let world = World::new();
    for &(method, path, whom, _, make) in ROWS {
        if !path.contains("{site}") || !matches!(whom, For::Backends | For::Officers | For::Admins) {
            continue;
        }
        for caller in [Caller::OtherBackend, Caller::OtherOfficer, Caller::OtherAdmin, Caller::SessionOther] {
            if (whom, caller) == (For::Backends, Caller::SessionOther) {
                continue;
            }
            let there = make(&world, caller);
            let nowhere = Ask {
                path: there.path.replacen("/sites/demo", "/sites/nope", 1),
                headers: there.headers.clone(),
                body: there.body.clone(),
            };
            let there = world.ask(method, caller, &there).expect(403).text().replace("demo", "nope");
            assert_eq!(there, world.ask(method, caller, &nowhere).expect(403).text(), "{method} {path} by {caller:?}");
        }
    }
}

/// With a key of one site and an id of another, nothing is found and nothing changes.
#[test]
fn an_id_of_another_site_is_not_found() {
    let world = World::new();
    let api = &world.api;
    let shop = &world.keys.iter().find(|(who, _)| *who == Caller::OtherAdmin).unwrap().1;
    let key = create_key(api, shop, "shop", "backend");
    let (key_id, secret) = (key["key"]["id"].as_str().unwrap(), key["secret"].as_str().unwrap());
    let user = create_user(api, shop, "shop", "officer", "shop-officer");
    let demo = |method: &str, path: String, body: Option<Value>| {
        let key = format!("Bearer {}", api.admin);
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        api.send(method, &format!("/v1/sites/demo{path}"), &[("authorization", &*key), JSON], body.as_bytes())
    };
    demo("DELETE", format!("/keys/{key_id}"), None).expect(404).problem();
    demo("POST", format!("/keys/{key_id}/rotate"), Some(json!({ "grace_seconds": 0 }))).expect(404).problem();
    demo("PATCH", format!("/users/{user}"), Some(json!({ "password": "another password" }))).expect(404).problem();
    demo("DELETE", format!("/users/{user}"), None).expect(404).problem();
    let webhook = create_webhook(api, shop, "shop");
    demo("GET", format!("/webhooks/{webhook}"), None).expect(404).problem();
    demo("GET", format!("/webhooks/{webhook}/deliveries"), None).expect(404).problem();
    demo("POST", format!("/webhooks/{webhook}/redeliver"), Some(json!({}))).expect(404).problem();
    demo("DELETE", format!("/webhooks/{webhook}"), None).expect(404).problem();
    for new in [
        json!({ "role": "backend", "sites": ["demo", "shop"] }),
        json!({ "role": "backend", "sites": ["demo", "nope"] }),
    ] {
        demo("POST", "/keys".to_owned(), Some(new)).expect(403).problem();
    }
    demo("POST", "/keys".to_owned(), Some(json!({ "role": "backend", "sites": ["shop"] }))).expect(422).problem();
    let both = json!({ "name": "both", "role": "officer", "sites": ["demo", "shop"] });
    demo("POST", "/users".to_owned(), Some(both)).expect(403).problem();
    for list in ["/keys", "/users", "/webhooks"] {
        let text = demo("GET", list.to_owned(), None).expect(200).text();
        assert!(
            !text.contains(&webhook) && !text.contains(key_id) && !text.contains(&user) && !text.contains("shop"),
            "{text}"
        );
    }
    // Records and subjects of one site are unknown on the other, whoever asks there.
    let record = format!("/audit/records?id={}", world.record);
    let shop_key = format!("Bearer {shop}");
    let in_shop = |path: &str, more: &[(&str, &str)]| {
        let mut headers = vec![("authorization", &*shop_key)];
        headers.extend_from_slice(more);
        api.send("GET", &format!("/v1/sites/shop{path}"), &headers, &[])
    };
    assert_eq!(in_shop(&record, &[]).expect(200).json()["records"], json!([]));
    let subject = world.subject.to_string();
    let theirs = in_shop("/audit/records", &[("consent-subject", &subject)]).expect(200).json();
    assert_eq!(theirs["records"], json!([]));
    assert_eq!(demo("GET", record, None).expect(200).json()["records"][0]["id"], world.record.to_string());
    let own = api.send("GET", "/v1/sites/shop/records", &[("consent-subject", &subject)], &[]).expect(200).json();
    assert_eq!(own["records"], json!([]));
    let receipt = format!("/v1/sites/shop/records/{}/receipt", world.record);
    api.send("GET", &receipt, &[("consent-subject", &subject)], &[]).expect(404);
    // Nothing of all that touched them.
    api.get_as(secret, &format!("/v1/sites/shop/subjects/{subject}/consent")).expect(404);
    log_in(api, "shop-officer");
}

/// A key or user of several sites is seen by the admins of each, and changed only by one of all.
#[test]
fn what_is_for_several_sites_is_changed_by_an_admin_of_all_of_them() {
    let world = World::new();
    let api = &world.api;
    let both = world.server.command_ok(&["key", "create", "--role", "admin", "--site", "demo", "--site", "shop"]);
    let both = both.trim();
    wait_until("the server to know the key", || api.get_as(both, "/v1/sites/shop").status == 200);
    let sites = json!(["demo", "shop"]);
    let key = json!({ "role": "backend", "sites": sites });
    let key = api.post_as(both, "/v1/sites/demo/keys", &key).expect(201).json();
    let key = key["key"]["id"].as_str().unwrap();
    let user = json!({ "name": "of-both", "role": "officer", "sites": sites, "password": PASSWORD });
    let user = api.post_as(both, "/v1/sites/shop/users", &user).expect(201).json();
    let user = user["user"]["id"].as_str().unwrap();
    let seen = api.get_as(&api.admin, "/v1/sites/demo/keys").expect(200).json();
    let seen = seen["keys"].as_array().unwrap().iter().find(|seen| seen["id"] == key).unwrap().clone();
    assert_eq!((&seen["sites"], &seen["elsewhere"]), (&json!(["demo"]), &json!(true)));
    let ask = |caller: &str, method: &str, path: &str, body: &Value| {
        let caller = format!("Bearer {caller}");
        api.send(method, path, &[("authorization", &*caller), JSON], body.to_string().as_bytes()).status
    };
    let grace = json!({ "grace_seconds": 0 });
    for (who, rotated, changed, gone) in [(&*api.admin, 403, 403, 403), (both, 200, 200, 204)] {
        assert_eq!(ask(who, "POST", &format!("/v1/sites/demo/keys/{key}/rotate"), &grace), rotated);
        assert_eq!(ask(who, "PATCH", &format!("/v1/sites/demo/users/{user}"), &json!({ "disabled": false })), changed);
        assert_eq!(ask(who, "DELETE", &format!("/v1/sites/demo/keys/{key}"), &json!({})), gone);
        assert_eq!(ask(who, "DELETE", &format!("/v1/sites/demo/users/{user}"), &json!({})), gone);
    }
    // Each of these is a record of both sites.
    for site in ["demo", "shop"] {
        for (kind, actions) in [("key", ["create", "rotate", "revoke"]), ("user", ["create", "update", "revoke"])] {
            let path = format!("/v1/sites/{site}/audit/records?kind={kind}&limit=200");
            let found = api.get_as(both, &path).expect(200).json();
            let about = if kind == "key" { key } else { user };
            let mut done: Vec<&str> = Vec::new();
            for record in found["records"].as_array().unwrap() {
                if record["target"].as_str().is_some_and(|target| target.contains(about)) {
                    done.push(record["leaf"]["action"].as_str().unwrap());
                }
            }
            done.reverse();
            assert_eq!(done, actions, "{site}");
        }
    }
}
