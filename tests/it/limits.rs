//! Who is asked to wait, and who never is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use consent_core::id::SubjectId;
use consent_tests::{Answer, Api, DecisionBody, Installed, SHOP, new_subject, wait_until};

/// A decision as a page of the shop posts it, through a proxy that names this client.
fn decide(api: &Api, client: &str, body: &DecisionBody) -> Answer {
    let headers = [("origin", SHOP), ("content-type", "application/json"), ("x-forwarded-for", client)];
    api.send("POST", "/v1/sites/demo/decisions", &headers, body.0.to_string().as_bytes())
}

fn grant(subject: SubjectId) -> DecisionBody {
    DecisionBody::save(&["statistics"]).by(subject)
}

/// How many of them get through before one is asked to wait.
fn until_limited(most: usize, mut one: impl FnMut() -> Answer) -> (usize, Answer) {
    for number in 0..most {
        let answer = one();
        if answer.status == 429 {
            return (number, answer);
        }
        assert!(answer.status < 300, "{}", answer.text());
    }
    panic!("{most} went through");
}

#[test]
fn a_client_is_limited_and_nobody_else() {
    let installed = Installed::new();
    let serving = installed.serve("limit_decisions_per_minute = 2\nlimit_decisions_burst = 5\n");
    let api = installed.api(&serving);
    let known = new_subject();
    decide(&api, "203.0.113.7", &grant(known)).expect(201);
    let (passed, answer) = until_limited(20, || decide(&api, "203.0.113.7", &grant(new_subject())));
    assert_eq!(passed, 4);
    let problem = answer.problem();
    assert_eq!((&problem["type"], &problem["limit"]), (&"/problems/limited".into(), &"decisions".into()), "{problem}");
    let after: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&after), "{after}");
    assert_eq!(answer.header("ratelimit-policy"), "\"decisions\";q=5;w=150");
    assert_eq!(answer.header("ratelimit"), format!("\"decisions\";r=0;t={after}"));
    // A page can read it, and keeps its decision for later.
    assert_eq!(answer.header("access-control-allow-origin"), SHOP);
    // What a client says about itself left of what the proxy says changes nothing.
    decide(&api, "198.51.100.1, 203.0.113.7", &grant(new_subject())).expect(429);
    for other in ["203.0.113.8", "2001:db8::1", "203.0.113.7, 203.0.113.8"] {
        decide(&api, other, &grant(new_subject())).expect(201);
    }
    // All addresses of a household are one.
    until_limited(20, || decide(&api, "2001:db8:0:1::1", &grant(new_subject())));
    decide(&api, "2001:db8:0:1:ffff::2", &grant(new_subject())).expect(429);
    decide(&api, "2001:db8:0:2::1", &grant(new_subject())).expect(201);
    // A backend acts for many.
    for _ in 0..20 {
        let body = grant(new_subject()).with("source", "form").with("method", "api").with("layer", "none");
        let key = format!("Bearer {}", api.backend);
        let headers =
            [("authorization", &*key), ("content-type", "application/json"), ("x-forwarded-for", "203.0.113.7")];
        let answer = api.send("POST", "/v1/sites/demo/decisions", &headers, body.0.to_string().as_bytes());
        answer.expect(201);
    }
    // Rule 3: whoever the store knows can always refuse, revoke and forget.
    for _ in 0..10 {
        decide(&api, "203.0.113.7", &DecisionBody::save(&[]).by(known)).expect(201);
        decide(&api, "203.0.113.7", &DecisionBody::new("reject-all", "first", &[]).by(known)).expect(201);
    }
    assert!(!api.allowed(known, "statistics"));
    decide(&api, "203.0.113.7", &grant(known)).expect(429);
    decide(&api, "203.0.113.7", &DecisionBody::forget().by(known)).expect(201);
    // Whom it does not know can be anybody.
    decide(&api, "203.0.113.7", &DecisionBody::save(&[]).by(new_subject())).expect(429);
    decide(&api, "203.0.113.7", &DecisionBody::save(&[])).expect(429);
    // Nothing of it is in the log.
    assert!(!serving.logged().contains("203.0.113"), "{}", serving.logged());
}

#[test]
fn keeping_what_is_granted_while_revoking_another_is_a_revoke() {
    let installed = Installed::new();
    let serving = installed.serve("limit_decisions_per_minute = 1\nlimit_decisions_burst = 1\n");
    let api = installed.api(&serving);
    let subject = new_subject();
    let first = grant(subject);
    decide(&api, "203.0.113.7", &first).expect(201);
    decide(&api, "203.0.113.7", &grant(subject).after(&first)).expect(201);
    decide(&api, "203.0.113.7", &DecisionBody::save(&[]).by(subject)).expect(201);
    decide(&api, "203.0.113.7", &grant(subject)).expect(429);
}

#[test]
fn a_form_is_limited_as_a_script_is() {
    let installed = Installed::new();
    let serving = installed.serve("limit_decisions_per_minute = 1\nlimit_decisions_burst = 2\n");
    let api = installed.api(&serving);
    let post = || {
        let headers = [
            ("origin", SHOP),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-forwarded-for", "203.0.113.7"),
        ];
        let body = "notice=1&language=en&layer=settings&method=save&granted=statistics";
        api.send("POST", "/v1/sites/demo/decisions", &headers, body.as_bytes())
    };
    post().expect(303);
    post().expect(303);
    post().expect(429).problem();
}

#[test]
fn a_site_has_a_ceiling_that_no_withdrawal_knows() {
    let installed = Installed::new();
    let serving = installed.serve("limit_site_decisions_per_minute = 3\n");
    let api = installed.api(&serving);
    let known = new_subject();
    decide(&api, "203.0.113.1", &grant(known)).expect(201);
    let mut client = 1;
    let (passed, answer) = until_limited(10, || {
        client += 1;
        decide(&api, &format!("203.0.113.{client}"), &grant(new_subject()))
    });
    assert_eq!((passed, &answer.problem()["limit"]), (2, &"site-decisions".into()));
    decide(&api, "203.0.113.1", &DecisionBody::forget().by(known)).expect(201);
}

#[test]
fn reads_are_limited_and_the_widget_is_not() {
    let installed = Installed::new();
    let serving = installed.serve("limit_reads_per_minute = 1\nlimit_reads_burst = 3\n");
    let api = installed.api(&serving);
    let get = |path: &str, client: &str| api.send("GET", path, &[("x-forwarded-for", client), ("origin", SHOP)], &[]);
    let mut paths = ["notice?lang=en", "settings?lang=en", "declaration?lang=en"].iter().cycle();
    let read = || get(&format!("/v1/sites/demo/{}", paths.next().unwrap()), "203.0.113.7");
    let (passed, answer) = until_limited(10, read);
    assert_eq!((passed, &answer.problem()["limit"]), (3, &"reads".into()));
    assert_eq!(answer.header("access-control-allow-origin"), SHOP);
    get("/v1/sites/demo/log/checkpoint", "203.0.113.7").expect(429);
    get("/v1/sites/demo/log/checkpoint", "203.0.113.8").expect(200);
    for _ in 0..10 {
        for path in ["consent.js", "banner.html?lang=en"] {
            get(&format!("/v1/sites/demo/{path}"), "203.0.113.7").expect(200);
        }
        get("/healthz", "203.0.113.7").expect(200);
    }
    // A proxy that names nobody is not taken for one client.
    for _ in 0..10 {
        api.get("/v1/sites/demo/notice?lang=en").expect(200);
    }
}

#[test]
fn another_spelling_of_a_site_is_the_same_site() {
    let installed = Installed::new();
    let serving = installed.serve("limit_reads_per_minute = 1\nlimit_reads_burst = 4\n");
    let api = installed.api(&serving);
    let read = |site: &str| {
        api.send("GET", &format!("/v1/sites/{site}/notice"), &[("x-forwarded-for", "203.0.113.7")], &[]).status
    };
    assert_eq!(["demo", "%64emo", "d%65mo", "demo"].map(read), [200; 4]);
    assert_eq!(["demo", "%64emo", "de%6do"].map(read), [429; 3]);
    // What is no site has one bucket, whatever it is called.
    assert_eq!(["a", "b", "c", "d", "e", "f"].map(read), [404, 404, 404, 404, 429, 429]);
}

#[test]
fn passwords_and_changes_are_limited() {
    let installed = Installed::new();
    let serving =
        installed.serve("limit_logins_per_minute = 1\nlimit_logins_burst = 2\nlimit_changes_per_second = 1\n");
    let api = installed.api(&serving);
    let (mut name, json) = (0, ("content-type", "application/json"));
    let mut try_one = |client: &str| {
        name += 1;
        let body = format!("{{\"user\": \"user-{name}\", \"password\": \"wrong password\"}}");
        api.send("POST", "/v1/session", &[json, ("x-forwarded-for", client)], body.as_bytes())
    };
    assert_eq!([(); 3].map(|()| try_one("203.0.113.7").status), [401, 401, 429]);
    assert_eq!(try_one("203.0.113.7").problem()["limit"], "logins");
    let wrong = try_one("203.0.113.8").expect(401);
    assert_eq!(wrong.problem()["title"], "The name or the password is wrong");
    assert_ne!(wrong.header("www-authenticate"), "Bearer");
    let make = || api.post_as(&api.admin, "/v1/sites/demo/keys", &serde_json::json!({ "role": "officer" }));
    let (passed, answer) = until_limited(20, make);
    assert!((3..=8).contains(&passed), "{passed}");
    assert_eq!(answer.problem()["limit"], "changes");
    api.get_as(&api.admin, "/v1/sites/demo/keys").expect(200);
}

#[test]
fn only_who_is_trusted_names_a_client() {
    let installed = Installed::new();
    let serving = installed.serve("limit_decisions_burst = 2\nlimit_decisions_per_minute = 1\ntrusted_proxies = []\n");
    let api = installed.api(&serving);
    let mut client = 0;
    let (passed, _) = until_limited(10, || {
        client += 1;
        decide(&api, &format!("203.0.113.{client}"), &grant(new_subject()))
    });
    assert_eq!(passed, 2, "all of them are this machine");
}

#[test]
fn a_key_has_a_limit_of_its_own() {
    let installed = Installed::new();
    let serving = installed.serve("limit_key_requests_per_second = 1\n");
    let api = installed.api(&serving);
    let path = format!("/v1/sites/demo/subjects/{}/consent", new_subject());
    let (_, answer) = until_limited(50, || api.get_as(&api.backend, &path));
    assert_eq!(answer.problem()["limit"], "key");
    api.get_as(&api.officer, "/v1/sites/demo/export").expect(200);
    wait_until("the key to be let in again", || api.get_as(&api.backend, &path).status == 200);
}

#[test]
fn a_full_queue_says_so_and_loses_nothing() {
    let installed = Installed::new();
    let serving = installed.serve("max_queue = 2\npublish_every_seconds = 3600\n");
    // Another process holds the database: the writer waits with its first transaction, and the queue fills.
    let other = rusqlite::Connection::open(installed.data().join("consent.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (answers, ready) = std::thread::scope(|scope| {
        let posts: Vec<_> = (0..12)
            .map(|_| {
                let api = installed.api(&serving);
                scope.spawn(move || decide(&api, "203.0.113.7", &grant(new_subject())))
            })
            .collect();
        let api = installed.api(&serving);
        wait_until("most of them to be answered", || posts.iter().filter(|post| post.is_finished()).count() >= 8);
        let ready = api.get("/readyz");
        api.get("/healthz").expect(200);
        other.execute_batch("ROLLBACK").unwrap();
        (posts.into_iter().map(|post| post.join().unwrap()).collect::<Vec<_>>(), ready)
    });
    assert!(ready.expect(503).problem()["detail"].as_str().unwrap().contains("waits to be written"));
    let recorded = answers.iter().filter(|answer| answer.status == 201).count();
    assert!((3..=4).contains(&recorded), "one or two were being written, two waited: {recorded}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((answer.status, &*answer.header("retry-after")), (503, "1"), "{}", answer.text());
        answer.problem();
    }
    let api = installed.api(&serving);
    wait_until("the service to be ready again", || api.get("/readyz").status == 200);
    decide(&api, "203.0.113.8", &grant(new_subject())).expect(201);
}

#[test]
fn connections_beyond_the_limit_wait_until_one_ends() {
    let installed = Installed::new();
    let serving = installed.serve("max_connections = 3\n");
    let mut held: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(serving.address()).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let mut next = TcpStream::connect(serving.address()).unwrap();
    next.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    next.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut first = [0; 15];
    assert!(next.read(&mut first).is_err(), "it is not served yet");
    drop(held.pop());
    next.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    next.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
}

/// A reverse proxy asks `authorize` for everybody: the visitors that it names are limited, each alone, and it is not.
#[test]
fn a_reverse_proxy_that_asks_for_visitors_is_not_one_client() {
    let installed = Installed::new();
    let limits = "limit_authorize_per_minute = 1\nlimit_authorize_burst = 4\n";
    let serving = installed.serve(limits);
    let api = installed.api(&serving);
    let cookie = decide(&api, "203.0.113.9", &grant(new_subject())).expect(201).cookie().unwrap();
    let ask = |api: &Api, visitor: &str| api.authorize(&cookie, "statistics", &[("x-forwarded-for", visitor)]);
    for visitor in 0..50 {
        ask(&api, &format!("198.51.100.{visitor}")).expect(204);
    }
    let (passed, answer) = until_limited(20, || ask(&api, "203.0.113.7"));
    assert_eq!((passed, &answer.problem()["limit"]), (4, &"authorize".into()));
    assert!(!answer.header("retry-after").is_empty());
    // What a visitor says about itself stands left of what the proxy says.
    ask(&api, "198.51.100.99, 203.0.113.7").expect(429);
    ask(&api, "203.0.113.8").expect(204);
    // A proxy that names nobody is not limited for all of them.
    for _ in 0..20 {
        api.authorize(&cookie, "statistics", &[]).expect(204);
    }
    // Reading and deciding are counted apart.
    decide(&api, "203.0.113.7", &grant(new_subject())).expect(201);
    assert!(!serving.logged().contains("trusted_proxies"), "{}", serving.logged());
    drop(serving);

    // Nobody said that it is a proxy: then it is a client, whatever it says, and the operator can read why.
    let serving = installed.serve(&format!("{limits}trusted_proxies = []\n"));
    let api = installed.api(&serving);
    let mut visitor = 0;
    let (passed, _) = until_limited(20, || {
        visitor += 1;
        ask(&api, &format!("198.51.100.{visitor}"))
    });
    assert_eq!(passed, 4);
    wait_until("the operator to be told", || serving.logged().contains("trusted_proxies"));
    assert!(!serving.logged().contains("198.51.100"), "{}", serving.logged());
}
