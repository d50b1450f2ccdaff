//! What a reverse proxy is told about a visitor's request, and that nobody who has refused is ever told to have granted.

use consent_core::cookie::Cookie;
use consent_core::id::SubjectId;
use consent_core::time::UnixMillis;
use consent_tests::{Answer, Api, DecisionBody, ORIGIN, TestServer, days_ago, log_size, new_subject, now, open_rows};
use serde_json::json;

const DECISIONS: &str = "/v1/sites/demo/decisions";

/// A visitor who has granted these, and the cookie that the service set.
fn granted(api: &Api, ids: &[&str]) -> (SubjectId, DecisionBody, String) {
    let subject = new_subject();
    let grant = DecisionBody::save(ids).by(subject);
    let cookie = api.decide(&grant).expect(201).cookie().unwrap();
    (subject, grant, cookie)
}

fn denied(answer: Answer) {
    let answer = answer.expect(403);
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.problem();
}

#[test]
fn a_request_has_what_its_cookie_and_the_records_grant() {
    let server = TestServer::choice();
    let api = server.api();
    let (_, _, cookie) = granted(&api, &["statistics"]);
    let answer = api.authorize(&cookie, "statistics", &[]).expect(204);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.body.is_empty() && answer.cookie().is_none());
    api.authorize(&cookie, "statistics&service=page-counter", &[]).expect(204);
    api.authorize(&cookie, "statistics:page-counter", &[]).expect(204);
    denied(api.authorize(&cookie, "marketing", &[]));

    let (_, _, partly) = granted(&api, &["statistics:page-counter"]);
    denied(api.authorize(&partly, "statistics", &[]));
    denied(api.authorize(&partly, "statistics&service=visitor-numbers", &[]));
    api.authorize(&partly, "statistics&service=page-counter", &[]).expect(204);

    denied(api.get("/v1/sites/demo/authorize?category=statistics"));
    // What is necessary is granted to everybody.
    api.get("/v1/sites/demo/authorize?category=functional").expect(204);
    // The page's own log-in is no key of ours, and a page of another origin learns nothing.
    let headers = [("authorization", "Basic YTpi"), ("origin", "https://evil.example")];
    let answer = api.authorize(&cookie, "statistics", &headers).expect(204);
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let own = api.authorize(&cookie, "statistics", &[("origin", ORIGIN)]).expect(204);
    assert_eq!(own.header("access-control-allow-origin"), "", "the page asks window.consent");
}

#[test]
fn a_signal_denies_what_it_was_not_said_about() {
    let server = TestServer::choice();
    let api = server.api();
    let (_, _, cookie) = granted(&api, &["marketing", "statistics"]);
    for signal in ["sec-gpc", "dnt"] {
        denied(api.authorize(&cookie, "marketing", &[(signal, "1")]));
        api.authorize(&cookie, "statistics", &[(signal, "1")]).expect(204);
        api.authorize(&cookie, "marketing", &[(signal, "0")]).expect(204);
    }
    let said = DecisionBody::save(&["marketing"]).by(new_subject()).with("signals", json!({"gpc": true, "said": true}));
    let cookie = api.decide(&said).expect(201).cookie().unwrap();
    api.authorize(&cookie, "marketing", &[("sec-gpc", "1")]).expect(204);
    // The flag in a cookie is the browser's word; what was recorded has to say it too.
    let (_, _, cookie) = granted(&api, &["marketing"]);
    denied(api.authorize(&format!("{cookie}s"), "marketing", &[("sec-gpc", "1")]));
}

#[test]
fn what_was_revoked_elsewhere_is_denied_whatever_the_cookie_says() {
    let server = TestServer::start();
    let api = server.api();
    for (name, revoke) in [
        ("on another page", DecisionBody::save(&[])),
        ("forgotten", DecisionBody::forget()),
        ("by an agent", DecisionBody::new("agent", "none", &[])),
    ] {
        let (subject, grant, cookie) = granted(&api, &["statistics"]);
        api.authorize(&cookie, "statistics", &[]).expect(204);
        api.decide(&revoke.by(subject).after(&grant)).expect(201);
        assert_eq!(api.authorize(&cookie, "statistics", &[]).status, 403, "{name}");
    }
    let (subject, _, cookie) = granted(&api, &["statistics"]);
    let by_telephone = DecisionBody::new("api", "none", &[]).by(subject).with("source", "phone");
    api.decide_for(&by_telephone).expect(201);
    denied(api.authorize(&cookie, "statistics", &[]));

    // On another device of the same account.
    let (laptop, _, cookie) = granted(&api, &["statistics"]);
    let (telephone, grant, _) = granted(&api, &["statistics"]);
    for subject in [laptop, telephone] {
        api.link(subject, "7").expect(204);
    }
    api.authorize(&cookie, "statistics", &[]).expect(204);
    api.decide(&DecisionBody::new("reject-all", "settings", &[]).by(telephone).after(&grant)).expect(201);
    denied(api.authorize(&cookie, "statistics", &[]));
}

#[test]
fn cookies_that_prove_nothing_are_denied() {
    let server = TestServer::start();
    let api = server.api();
    let (_, _, good) = granted(&api, &["statistics"]);
    let cookie = Cookie::parse(&good).unwrap();
    let with = |change: fn(&mut Cookie)| {
        let mut cookie = cookie.clone();
        change(&mut cookie);
        cookie.value()
    };
    let (_, _, refused) = granted(&api, &["statistics:page-counter"]);
    let other = Cookie::parse(&refused).unwrap().subject;
    let stolen = Cookie { subject: other, ..cookie.clone() }.value();
    let pair = format!("{good}; consent={refused}");
    for (name, value) in [
        ("empty", ""),
        ("unreadable", "1.1.x"),
        ("of a later form", &good.replacen("1.", "2.", 1)),
        ("one field more", &format!("{good}.")),
        ("without a subject", &with(|c| c.subject = None)),
        ("of a subject that is not known", &with(|c| c.subject = Some(new_subject()))),
        ("of a subject that has granted less", &stolen),
        ("of a notice that is not published", &with(|c| c.notice = 2)),
        ("too old", &with(|c| c.decided_at = days_ago(181))),
        ("from the future", &with(|c| c.decided_at = UnixMillis::new(now().millis() + 86_400_000))),
        ("that grants nothing", &with(|c| c.granted.clear())),
        ("that differs from a second one", &pair),
    ] {
        assert_eq!(api.authorize(value, "statistics", &[]).status, 403, "a cookie {name}");
    }
    api.authorize(&format!("{good}; consent={good}"), "statistics", &[]).expect(204);
}

#[test]
fn a_wrong_question_is_denied_and_told_to_the_operator_once() {
    let server = TestServer::start();
    let api = server.api();
    let (_, _, cookie) = granted(&api, &["statistics"]);
    for (question, kind) in [
        ("category=statistic", "unknown-category"),
        ("category=statistics&service=other", "unknown-category"),
        ("category=statistics:page-counter&service=page-counter", "unknown-category"),
        ("category=functional:page-counter", "unknown-category"),
        ("category=", "unknown-category"),
        ("category=%00%0a", "unknown-category"),
        ("", "malformed"),
        ("categories=statistics", "malformed"),
        ("category=statistics&category=functional", "malformed"),
    ] {
        let headers = [("cookie", &*format!("consent={cookie}"))];
        for _ in 0..3 {
            let answer = api.send("GET", &format!("/v1/sites/demo/authorize?{question}"), &headers, &[]).expect(403);
            assert_eq!(answer.problem()["type"], format!("/problems/{kind}"), "{question}");
        }
    }
    let nowhere = api.get("/v1/sites/nowhere/authorize?category=statistics").expect(403).problem();
    assert_eq!(nowhere["type"], "/problems/unknown-site");
    let logged = server.logged();
    let told = |what: &str| logged.lines().filter(|line| line.contains(what)).count();
    assert_eq!(told("for statistic,"), 1, "{logged}");
    assert_eq!(told("for what is no id"), 1, "{logged}");
    for n in 0..100 {
        api.get(&format!("/v1/sites/demo/authorize?category=made-up-{n}")).expect(403);
    }
    let logged = server.logged();
    let told = logged.lines().filter(|line| line.contains("authorize was asked")).count();
    assert!(told <= 32, "{told} lines: anybody could fill the log");
}

/// Everything that a backend may ask about someone.
fn is_granted_anywhere(api: &Api, subject: SubjectId, cookie: Option<&str>) -> bool {
    ["statistics", "marketing", "statistics:page-counter"].iter().any(|category| {
        let body = json!({"subjects": [subject.to_string()], "category": category});
        let batch = api.post_as(&api.backend, "/v1/sites/demo/consent/check", &body).expect(200).json();
        let object = api.check(subject, category);
        let account = api.account(&subject.to_string(), category);
        object["allowed"] != false
            || object["categories"]
                .as_object()
                .unwrap()
                .iter()
                .any(|(id, value)| id != "functional" && value != "denied")
            || batch["results"][0]["allowed"] != false
            || account["allowed"] != false
            || api.authorize(cookie.unwrap_or_default(), category, &[]).status != 403
    })
}

#[test]
fn who_has_only_refused_is_granted_nothing_by_any_question() {
    let server = TestServer::choice();
    let api = server.api();
    let refusals = [
        DecisionBody::new("reject-all", "first", &[]),
        DecisionBody::new("reject-all", "settings", &[]),
        DecisionBody::new("close", "first", &[]),
        DecisionBody::new("save", "first", &[]),
        DecisionBody::save(&[]),
        DecisionBody::save(&["functional"]),
        DecisionBody::forget(),
        DecisionBody::new("signal", "none", &[]).with("signals", json!({"gpc": true})),
        DecisionBody::new("agent", "none", &[]),
        DecisionBody::new("api", "none", &[]).with("source", "phone"),
        DecisionBody::new("api", "none", &[]).with("source", "import"),
    ];
    for refusal in refusals {
        let subject = new_subject();
        let refusal = refusal.by(subject);
        let answer = if refusal.0.get("source").is_some() { api.decide_for(&refusal) } else { api.decide(&refusal) };
        let cookie = answer.expect(201).cookie();
        api.link(subject, &subject.to_string()).expect(204);
        assert!(!is_granted_anywhere(&api, subject, cookie.as_deref()), "{}", refusal.0);
        // Nor by a cookie that somebody writes by hand.
        let forged = format!("1.1.{}.{}.marketing~statistics.s", now().seconds(), subject.to_base64url());
        assert!(!is_granted_anywhere(&api, subject, Some(&forged)), "{}", refusal.0);
        // Twice is no yes.
        let again = DecisionBody::new("reject-all", "settings", &[]).by(subject).after(&refusal);
        let cookie = api.decide(&again).expect(201).cookie();
        assert!(!is_granted_anywhere(&api, subject, cookie.as_deref()), "{}", refusal.0);
    }
    // The same questions say yes where it was granted.
    let (subject, _, cookie) = granted(&api, &["statistics"]);
    assert!(is_granted_anywhere(&api, subject, Some(&cookie)));
}

#[test]
fn a_foreign_origin_stores_nothing_in_any_table() {
    let server = TestServer::start();
    let api = server.api();
    let count = || -> Vec<(String, i64)> {
        let rows = open_rows(server.data());
        let mut statement = rows.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
        let tables = statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap);
        tables
            // The checkpoint is published by the clock.
            .filter(|table| table != "published" && !table.starts_with("sqlite_"))
            .map(|table| {
                let sql = format!("SELECT count(*) FROM \"{table}\"");
                let count = rows.query_row(&sql, [], |row| row.get(0)).unwrap();
                (table, count)
            })
            .collect()
    };
    let (before, size) = (count(), log_size(server.data()));
    assert!(before.iter().any(|(table, _)| table == "account_device"));
    let subject = new_subject();
    for origin in ["https://evil.example", "null", ""] {
        for body in [DecisionBody::save(&["statistics"]).by(subject), DecisionBody::forget().by(subject)] {
            let headers = [("origin", origin), ("content-type", "application/json")];
            api.send("POST", DECISIONS, &headers, body.0.to_string().as_bytes()).expect(403).problem();
            let form = [("origin", origin), ("content-type", "application/x-www-form-urlencoded")];
            api.send("POST", DECISIONS, &form, b"method=accept-all&layer=first&notice=1&language=en").expect(403);
        }
    }
    assert_eq!((count(), log_size(server.data())), (before, size));
    assert_eq!(api.check(subject, "statistics")["status"], "none");
}
