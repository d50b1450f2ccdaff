//! The HTTP API as a page, a backend and an attacker use it.

use std::collections::BTreeSet;
use std::sync::Barrier;

use consent_core::cookie::Cookie;
use consent_core::id::SubjectId;
use consent_core::note::VerifyingKey;
use consent_core::receipt::TlogProof;
use consent_core::record::Leaf;
use consent_core::time::UnixMillis;
use consent_tests::{
    Answer, Api, DAY, DecisionBody, ORIGIN, TestServer, check_log, days_ago, log_size, new_id, new_subject, now,
    wait_until,
};
use serde_json::{Value, json};

use crate::malformed::raw;

const DECISIONS: &str = "/v1/sites/demo/decisions";
const JSON: (&str, &str) = ("content-type", "application/json");

fn subject_of(answer: &Answer) -> SubjectId {
    SubjectId::parse(answer.json()["subject"].as_str().unwrap()).unwrap()
}

// What the backend is told.

#[test]
fn a_subject_nobody_has_heard_of_is_denied() {
    let server = TestServer::start();
    let subject = new_subject();
    let object = server.api().check(subject, "statistics");
    assert_eq!(
        object,
        json!({
            "site": "demo",
            "subject": subject.to_string(),
            "status": "none",
            "notice": null,
            "decided_at": null,
            "expires_at": null,
            "categories": {"functional": "granted", "statistics": "denied"},
            "allowed": false,
        })
    );
    assert!(server.api().allowed(subject, "functional"), "necessary is granted to everybody");
}

#[test]
fn what_was_granted_is_allowed_and_what_was_refused_is_not() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    let answer = api.decide(&grant).expect(201);
    let body = answer.json();
    assert_eq!((&body["id"], &body["effect"]), (&grant.0["id"], &json!("applied")));
    assert_eq!(body["subject"], subject.to_string());
    assert!(body["index"].is_u64() && UnixMillis::parse(body["recorded_at"].as_str().unwrap()).is_ok(), "{body}");
    assert_eq!(
        body["consent"]["categories"],
        json!({"functional": "granted", "statistics": "granted", "marketing": "denied"})
    );
    assert_eq!(body["consent"]["status"], "valid");

    assert!(api.allowed(subject, "statistics"));
    assert!(api.allowed(subject, "statistics:page-counter"), "a category grants its services");
    assert!(!api.allowed(subject, "marketing"));
    assert!(!api.allowed(subject, "marketing:newsletter-panel"));

    api.decide(&DecisionBody::save(&[]).by(subject).after(&grant)).expect(201);
    assert!(!api.allowed(subject, "statistics"), "revoked");
    assert_eq!(api.check(subject, "statistics")["status"], "valid", "a refusal is an answer");
}

#[test]
fn accept_all_and_reject_all_mean_every_optional_category() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let accept = DecisionBody::new("accept-all", "first", &["marketing", "statistics"]).by(subject);
    api.decide(&accept).expect(201);
    assert!(api.allowed(subject, "statistics") && api.allowed(subject, "marketing"));
    api.decide(&DecisionBody::new("reject-all", "settings", &[]).by(subject).after(&accept)).expect(201);
    assert!(!api.allowed(subject, "statistics") && !api.allowed(subject, "marketing"));
}

#[test]
fn one_service_is_granted_without_its_category() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let answer = api.decide(&DecisionBody::save(&["statistics:visitor-numbers"]).by(subject)).expect(201);
    assert!(answer.cookie().unwrap().contains(".statistics:visitor-numbers."), "{:?}", answer.cookie());
    assert!(api.allowed(subject, "statistics:visitor-numbers"));
    assert!(!api.allowed(subject, "statistics:page-counter"));
    assert!(!api.allowed(subject, "statistics"));
}

#[test]
fn a_necessary_category_in_granted_is_ignored() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let answer = api.decide(&DecisionBody::save(&["functional", "functional"]).by(subject)).expect(201);
    assert!(answer.cookie().unwrap().ends_with(".-.."), "nothing optional was granted: {:?}", answer.cookie());
    assert!(!api.allowed(subject, "statistics"));
}

#[test]
fn a_grant_that_is_too_old_is_denied_whatever_clock_says_so() {
    let server = TestServer::start();
    let api = server.api();
    let old = new_subject();
    api.decide(&DecisionBody::save(&["statistics"]).by(old).at(days_ago(181))).expect(201);
    let object = api.check(old, "statistics");
    assert_eq!((&object["allowed"], &object["status"]), (&json!(false), &json!("expired")));

    let fresh = new_subject();
    api.decide(&DecisionBody::save(&["statistics"]).by(fresh).at(days_ago(179))).expect(201);
    assert!(api.allowed(fresh, "statistics"));

    // A browser whose clock runs ahead gains nothing: the recorded time counts then.
    let ahead = new_subject();
    let claimed = UnixMillis::new(now().millis() + 3650 * DAY);
    let answer = api.decide(&DecisionBody::save(&["statistics"]).by(ahead).at(claimed)).expect(201).json();
    let recorded = UnixMillis::parse(answer["recorded_at"].as_str().unwrap()).unwrap();
    assert_eq!(answer["consent"]["expires_at"], recorded.plus_days(180).to_string());
    let records = api.records(ahead).expect(200).json();
    let leaf = &records["records"][0]["leaf"];
    assert_eq!(
        (&leaf["decided_at"], &leaf["clock"]),
        (&json!(claimed.to_string()), &json!("ahead")),
        "kept as claimed, and marked"
    );
}

#[test]
fn forget_is_final_and_a_new_subject_starts_anew() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    let forget = DecisionBody::forget().by(subject).after(&grant);
    api.decide(&grant).expect(201);
    let forgotten = api.decide(&forget).expect(201);
    assert_eq!(forgotten.json()["consent"]["status"], "forgotten");
    assert!(!api.allowed(subject, "statistics"));

    // Even one that has seen the forgetting grants nothing any more.
    let again = DecisionBody::save(&["statistics"]).by(subject).after(&forget);
    let answer = api.decide(&again).expect(201);
    assert_eq!(answer.json()["effect"], "stale");
    assert!(answer.header("set-cookie").contains("Max-Age=0"), "{}", answer.header("set-cookie"));
    assert!(!api.allowed(subject, "statistics"));
    assert_eq!(api.check(subject, "statistics")["status"], "forgotten");
    // Withdrawing works in any state.
    api.decide(&DecisionBody::save(&[]).by(subject)).expect(201);
    api.decide(&DecisionBody::forget().by(subject)).expect(201);

    let other = new_subject();
    api.decide(&DecisionBody::save(&["statistics"]).by(other)).expect(201);
    assert!(api.allowed(other, "statistics"));
}

#[test]
fn an_unknown_category_is_a_404_that_lists_those_that_exist() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    for category in [
        "marketing",
        "statistic",
        "",
        "Statistics",
        "statistics:",
        "statistics:other",
        "functional:page-counter",
        "%00",
        "%2e%2e",
    ] {
        let path = format!("/v1/sites/demo/subjects/{subject}/consent?category={category}");
        let answer = api.get_as(&api.backend, &path).expect(404);
        let problem = answer.problem();
        let listed: BTreeSet<&str> =
            problem["categories"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(listed.contains("statistics") && listed.contains("functional"), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("statistics"), "{problem}");
        assert!(problem.get("allowed").is_none());
    }
    let twice = format!("/v1/sites/demo/subjects/{subject}/consent?category=statistics&category=functional");
    api.get_as(&api.backend, &twice).expect(400).problem();
    let other = format!("/v1/sites/demo/subjects/{subject}/consent?categories=statistics");
    api.get_as(&api.backend, &other).expect(400).problem();
}

#[test]
fn a_subject_is_named_as_a_uuid_or_as_in_the_cookie() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    api.decide(&DecisionBody::save(&["statistics"]).by(subject)).expect(201);
    for name in [subject.to_string(), subject.to_string().to_uppercase(), subject.to_base64url()] {
        let path = format!("/v1/sites/demo/subjects/{name}/consent?category=statistics");
        assert_eq!(api.get_as(&api.backend, &path).expect(200).json()["allowed"], true, "{name}");
    }
    for name in ["-", "x", "00000000-0000-0000-0000-000000000000", "AAAAAAAAAAAAAAAAAAAAAA", &"a".repeat(5000)] {
        let path = format!("/v1/sites/demo/subjects/{name}/consent?category=statistics");
        api.get_as(&api.backend, &path).expect(400).problem();
    }
}

#[test]
fn a_check_is_answered_the_same_however_its_address_is_written() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    api.decide(&DecisionBody::save(&["statistics"]).by(subject)).expect(201);
    let answer = |key: &str, site: &str, path: &str| {
        let answer = api.get_as(key, &format!("/v1/sites/{site}/{path}"));
        let mut headers = answer.headers.clone();
        headers.remove("date");
        (answer.status, answer.text(), headers)
    };
    // The second spelling of each is not the plain one, which is answered in front of the router.
    for (key, site, encoded, tail) in [
        (&api.backend, "demo", "d%65mo", "?category=statistics"),
        (&api.backend, "demo", "d%65mo", "?category=none-such"),
        (&api.backend, "demo", "d%65mo", ""),
        (&api.backend, "other", "%6fther", "?category=statistics"),
        (&"nonsense".to_owned(), "demo", "d%65mo", "?category=statistics"),
    ] {
        let path = format!("subjects/{subject}/consent{tail}");
        let plain = answer(key, site, &path);
        let want = answer(key, encoded, &path);
        assert_eq!(plain, want, "{site} {tail}");
    }
}

#[test]
fn a_batch_is_answered_in_its_order() {
    let server = TestServer::start();
    let api = server.api();
    let (yes, no, unknown) = (new_subject(), new_subject(), new_subject());
    api.decide(&DecisionBody::save(&["statistics"]).by(yes)).expect(201);
    api.decide(&DecisionBody::save(&[]).by(no)).expect(201);
    let path = "/v1/sites/demo/consent/check";
    let subjects: Vec<String> = [no, yes, unknown, yes].iter().map(ToString::to_string).collect();
    let answer =
        api.post_as(&api.backend, path, &json!({"subjects": subjects, "category": "statistics"})).expect(200).json();
    let want: Vec<Value> = [("valid", false), ("valid", true), ("none", false), ("valid", true)]
        .iter()
        .zip(&subjects)
        .map(|((status, allowed), subject)| json!({"subject": subject, "status": status, "allowed": allowed}))
        .collect();
    assert_eq!(answer, json!({"results": want}));

    let many = |n: usize| json!({"subjects": vec![yes.to_string(); n], "category": "statistics"});
    assert_eq!(api.post_as(&api.backend, path, &many(0)).expect(200).json(), json!({"results": []}));
    assert_eq!(
        api.post_as(&api.backend, path, &many(1000)).expect(200).json()["results"].as_array().unwrap().len(),
        1000
    );
    api.post_as(&api.backend, path, &many(1001)).expect(422).problem();
    let problem = api
        .post_as(&api.backend, path, &json!({"subjects": [yes.to_string(), "x"], "category": "statistics"}))
        .expect(422)
        .problem();
    assert_eq!(problem["pointer"], "/subjects/1");
    api.post_as(&api.backend, path, &json!({"subjects": [], "category": "other"})).expect(404).problem();
    api.post_as(&api.officer, path, &many(1)).expect(403).problem();
}

// Keys.

/// Other spellings and forms of a key that must open nothing.
fn bad_keys(good: &str) -> Vec<String> {
    let mut flipped = good.to_owned();
    let last = flipped.pop().unwrap();
    flipped.push(if last == 'A' { 'B' } else { 'A' });
    let secret = good.rsplit('_').next().unwrap();
    vec![
        format!("Bearer {flipped}"),
        format!("Bearer {}", good.to_uppercase()),
        format!("Bearer {good}x"),
        format!("Bearer {good} {good}"),
        format!("Bearer {}", good.replace("backend", "admin")[1..].to_owned()),
        format!("Bearer {secret}"),
        format!("Basic {good}"),
        good.to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer null".to_owned(),
        String::new(),
        format!("Bearer consent_backend_{}_{}", "a".repeat(8), "A".repeat(43)),
    ]
}

#[test]
fn a_check_needs_a_live_key_of_the_right_role_for_the_right_site() {
    let server = TestServer::start();
    let api = server.api();
    server.command_ok(&[
        "site",
        "create",
        "shop",
        "--log-origin",
        "shop.example/log",
        "--origin",
        "https://shop.example",
    ]);
    let shop_key = server.command_ok(&["key", "create", "--role", "backend", "--site", "shop"]);
    let expired = server.command_ok(&["key", "create", "--role", "backend", "--site", "demo", "--days", "0"]);
    let both = server.command_ok(&["key", "create", "--role", "backend", "--site", "demo", "--site", "shop"]);
    let path = format!("/v1/sites/demo/subjects/{}/consent?category=statistics", new_subject());
    wait_until("the new keys to be known", || api.get_as(both.trim(), &path).status == 200);

    let answer = api.get(&path).expect(401);
    assert_eq!(answer.problem()["pointer"], "Authorization");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
    for bad in bad_keys(&api.backend) {
        let answer = api.send("GET", &path, &[("authorization", &bad)], &[]).expect(401);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(!answer.text().contains(&api.backend), "a key is never repeated");
        answer.problem();
    }
    api.get_as(expired.trim(), &path).expect(401).problem();
    api.get_as(&api.officer, &path).expect(403).problem();
    api.get_as(&api.admin, &path).expect(403).problem();
    let other = api.get_as(shop_key.trim(), &path).expect(403);
    // Whether a site exists is not said to whom no key is good for.
    let nowhere = api.get_as(shop_key.trim(), &path.replace("demo", "nowhere")).expect(403);
    assert_eq!(other.problem()["detail"].as_str().unwrap().replace("demo", "nowhere"), nowhere.problem()["detail"]);
    // The role is that of the stored key, not the one that its text claims.
    let claimed = api.officer.replace("consent_officer_", "consent_backend_");
    api.get_as(&claimed, &path).expect(403).problem();
    api.get_as(&api.backend, &path).expect(200);
}

#[test]
fn each_role_opens_just_its_own_doors() {
    let server = TestServer::start();
    let api = server.api();
    let check = format!("/v1/sites/demo/subjects/{}/consent", new_subject());
    for (who, key, can_check, can_export) in [
        ("backend", &api.backend, 200, 403),
        ("officer", &api.officer, 403, 200),
        ("admin includes officer, not backend", &api.admin, 403, 200),
    ] {
        assert_eq!(api.get_as(key, &check).status, can_check, "{who}");
        assert_eq!(api.get_as(key, "/v1/sites/demo/export").status, can_export, "{who}");
        let decision = DecisionBody::new("api", "none", &["statistics"]).with("source", "phone");
        assert_eq!(api.post_as(key, DECISIONS, &decision.0).status, if can_check == 200 { 201 } else { 403 }, "{who}");
    }
    api.get("/v1/sites/demo/export").expect(401).problem();
    for query in ["?format=xml", "?from=yesterday", "?to=2026-13-01T00:00:00Z", "?fron=2026-01-01T00:00:00Z"] {
        api.get_as(&api.officer, &format!("/v1/sites/demo/export{query}")).expect(400).problem();
    }
}

#[test]
fn a_bad_key_never_falls_back_to_what_a_page_may_do() {
    let server = TestServer::start();
    let api = server.api();
    let before = log_size(server.data());
    let body = DecisionBody::save(&["statistics"]).0.to_string();
    for bad in bad_keys(&api.backend) {
        let headers = [("authorization", &*bad), ("origin", ORIGIN), ("sec-fetch-site", "same-origin"), JSON];
        let answer = api.send("POST", DECISIONS, &headers, body.as_bytes()).expect(401);
        assert!(answer.cookie().is_none());
        answer.problem();
    }
    let officer = format!("Bearer {}", api.officer);
    api.send("POST", DECISIONS, &[("authorization", &officer), ("origin", ORIGIN), JSON], body.as_bytes())
        .expect(403)
        .problem();
    assert_eq!(log_size(server.data()), before);
}

#[test]
fn a_revoked_key_stops_opening_while_the_server_runs() {
    let server = TestServer::start();
    let api = server.api();
    let path = format!("/v1/sites/demo/subjects/{}/consent", new_subject());
    let key = server.command_ok(&["key", "create", "--role", "backend", "--site", "demo", "--label", "a shop"]);
    let key = key.trim();
    wait_until("the new key to open", || api.get_as(key, &path).status == 200);
    let id = key.split('_').nth(2).unwrap();
    let listed = server.command_ok(&["key", "list"]);
    let line = listed.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(line.contains("backend") && line.contains("live") && line.contains("a shop"), "{line}");
    assert!(!listed.contains(key.rsplit('_').next().unwrap()), "a secret is shown once");

    server.command_ok(&["key", "revoke", id]);
    wait_until("the revoked key to open nothing", || api.get_as(key, &path).status == 401);
    api.get_as(key, &path).expect(401).problem();
    api.get_as(&api.backend, &path).expect(200);
    assert!(server.command_ok(&["key", "list"]).lines().any(|line| line.starts_with(id) && line.contains("revoked")));
    assert!(!server.command(&["key", "revoke", id]).status.success(), "it is revoked already");
    assert!(!server.command(&["key", "revoke", "aaaaaaaa"]).status.success(), "there is none");
}

// One id, one record.

#[test]
fn the_same_decision_sent_twice_is_one_record() {
    let server = TestServer::start();
    let api = server.api();
    let decision = DecisionBody::save(&["statistics"]).by(new_subject());
    let first = api.decide(&decision).expect(201);
    let size = log_size(server.data());
    let second = api.decide(&decision).expect(200);
    // The order of the fields, white space, other spellings of an id and doubled ids are no other content.
    let spelled = format!(
        " {{ \"granted\": [\"statistics\", \"statistics\"], \"method\": \"save\", \"layer\": \"settings\", \"language\": \"en\",\n\
         \"notice\": 1, \"decided_at\": {}, \"subject\": \"{}\", \"id\": \"{}\", \"prev\": null, \"signals\": {{}} }} ",
        decision.0["decided_at"],
        decision.0["subject"].as_str().unwrap().to_uppercase(),
        decision.id()
    );
    let third = api.send("POST", DECISIONS, &[("origin", ORIGIN), JSON], spelled.as_bytes()).expect(200);
    for again in [&second, &third] {
        for field in ["id", "index", "recorded_at", "subject", "effect"] {
            assert_eq!(again.json()[field], first.json()[field], "{field}");
        }
        assert_eq!(again.cookie(), first.cookie());
    }
    assert_eq!(log_size(server.data()), size);
}

#[test]
fn a_decision_without_a_subject_is_one_record_under_one_subject() {
    let server = TestServer::start();
    let api = server.api();
    let close = DecisionBody::new("close", "first", &[]);
    let first = api.decide(&close).expect(201);
    let size = log_size(server.data());
    let second = api.decide(&close).expect(200);
    assert_eq!(second.json()["subject"], first.json()["subject"], "its ID is the same in both answers");
    assert_eq!(second.json()["index"], first.json()["index"]);
    assert_eq!(log_size(server.data()), size);
    assert_ne!(
        subject_of(&api.decide(&DecisionBody::new("close", "first", &[]))),
        subject_of(&first),
        "a one-off subject each"
    );
}

#[test]
fn the_same_id_with_other_content_is_a_conflict() {
    let server = TestServer::choice();
    let api = server.api();
    let decision = DecisionBody::save(&["statistics"]).by(new_subject());
    api.decide(&decision).expect(201);
    let size = log_size(server.data());
    let changed = [
        ("granted", json!([])),
        ("granted", json!(["statistics", "marketing"])),
        ("granted", json!(["statistics:page-counter"])),
        ("decided_at", json!(days_ago(1).to_string())),
        ("subject", json!(new_subject().to_string())),
        ("subject", Value::Null),
        ("prev", json!(new_id().to_string())),
        ("layer", json!("first")),
        ("method", json!("reject-all")),
        ("language", json!("de")),
        ("control", json!("script")),
        ("signals", json!({"gpc": true})),
        ("widget", json!("0".repeat(64))),
    ];
    for (field, value) in changed {
        let mut other = decision.clone().with(field, value);
        if field == "method" {
            other = other.with("granted", json!([]));
        }
        let answer = api.decide(&other).expect(409);
        assert_eq!(answer.problem()["pointer"], "/id", "{other:?}");
        assert!(answer.cookie().is_none());
    }
    // The same id in the hands of a backend is no repetition either.
    let body = decision.clone().with("method", "api").with("layer", "none").with("source", "phone");
    api.decide_for(&body).expect(409).problem();
    assert_eq!(log_size(server.data()), size);
    api.decide(&decision).expect(200);
}

#[test]
fn many_at_once_with_one_id_make_one_record() {
    let server = TestServer::start();
    let size = log_size(server.data());
    let decision = DecisionBody::save(&["statistics"]).by(new_subject());
    let barrier = Barrier::new(16);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let ask = || {
            let api = server.api();
            barrier.wait();
            api.decide(&decision)
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 15);
    assert!(answers.iter().all(|answer| answer.json()["index"] == answers[0].json()["index"]));
    assert_eq!(log_size(server.data()), size + 1);
}

#[test]
fn a_grant_and_a_forget_at_once_end_forgotten_in_any_order() {
    let server = TestServer::start();
    for _ in 0..8 {
        let subject = new_subject();
        let (grant, forget) = (DecisionBody::save(&["statistics"]).by(subject), DecisionBody::forget().by(subject));
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            for decision in [&grant, &forget] {
                let (api, barrier) = (server.api(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    api.decide(decision).expect(201);
                });
            }
        });
        assert!(!server.api().allowed(subject, "statistics"));
        assert!(server.api().decide(&grant).expect(200).header("set-cookie").contains("Max-Age=0"));
    }
}

// Who may write, and what.

#[test]
fn only_a_page_of_the_site_may_post() {
    let server = TestServer::start();
    let api = server.api();
    let port = server.address().port();
    let own = api.origin().to_owned();
    let foreign = [
        "https://evil.example".to_owned(),
        format!("https://127.0.0.1:{port}"),
        format!("http://127.0.0.1:{}", port ^ 1),
        "http://127.0.0.1".to_owned(),
        format!("{own}/"),
        format!("{own}.evil.example"),
        format!("{} ", own.to_uppercase()).trim().to_owned(),
        format!("{own}, https://evil.example"),
        format!("http://user@127.0.0.1:{port}"),
        "null".to_owned(),
        String::new(),
        "*".to_owned(),
    ];
    let size = log_size(server.data());
    let body = || DecisionBody::save(&["statistics"]).0.to_string();
    for origin in &foreign {
        for site in [None, Some("cross-site"), Some("same-site"), Some("none")] {
            let mut headers = vec![("origin", &**origin), JSON];
            headers.extend(site.map(|site| ("sec-fetch-site", site)));
            let answer = api.send("POST", DECISIONS, &headers, body().as_bytes()).expect(403);
            assert_eq!(answer.problem()["pointer"], "Origin", "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), "", "{origin}");
            assert!(answer.cookie().is_none());
        }
    }
    for headers in [vec![JSON], vec![JSON, ("sec-fetch-site", "same-origin")], vec![JSON, ("referer", &*own)]] {
        api.send("POST", DECISIONS, &headers, body().as_bytes()).expect(403).problem();
    }
    let headers = [("origin", "https://evil.example"), ("sec-fetch-site", "same-origin"), JSON];
    api.send("POST", DECISIONS, &headers, body().as_bytes()).expect(403).problem();
    assert_eq!(log_size(server.data()), size);

    for headers in [
        vec![("origin", ORIGIN), JSON],
        vec![("origin", "null"), ("sec-fetch-site", "same-origin"), JSON],
        vec![("origin", ORIGIN), ("content-type", "text/plain;charset=UTF-8")],
        vec![("origin", ORIGIN), ("content-type", "Application/JSON; charset=utf-8")],
    ] {
        api.send("POST", DECISIONS, &headers, body().as_bytes()).expect(201);
    }
    let localhost = format!("http://localhost:{port}");
    api.send("POST", DECISIONS, &[("origin", &localhost), JSON], body().as_bytes()).expect(201);
}

#[test]
fn an_answer_is_readable_by_the_sites_own_origins_only() {
    let server = TestServer::start();
    let api = server.api();
    let preflight = |origin: &str, path: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type"),
        ];
        api.send("OPTIONS", path, &headers, &[])
    };
    let own = preflight(ORIGIN, DECISIONS);
    assert_eq!(own.header("access-control-allow-origin"), api.origin());
    assert_eq!(own.header("access-control-allow-credentials"), "true");
    assert!(own.header("vary").contains("Origin"));
    for answer in [
        preflight("https://evil.example", DECISIONS),
        preflight("null", DECISIONS),
        preflight(ORIGIN, "/v1/sites/other/decisions"),
    ] {
        assert_eq!(answer.header("access-control-allow-origin"), "");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    let posted = api.decide(&DecisionBody::save(&[]));
    assert_eq!(posted.header("access-control-allow-origin"), api.origin());
    assert_eq!(posted.header("access-control-allow-credentials"), "true");
    assert_eq!(posted.header("cache-control"), "no-store");
    let refused = api.decide(&DecisionBody::save(&["unknown"]));
    assert_eq!(refused.header("access-control-allow-origin"), api.origin(), "the page may read why it was refused");
    // What needs a key is for backends, never for pages.
    let headers = [("origin", ORIGIN), ("authorization", &*format!("Bearer {}", api.backend))];
    let check =
        api.send("GET", &format!("/v1/sites/demo/subjects/{}/consent", new_subject()), &headers, &[]).expect(200);
    assert_eq!(check.header("access-control-allow-origin"), "");
}

/// A body that is refused: name, bytes, status, and what `pointer` must say.
type Refused = (&'static str, Vec<u8>, u16, &'static str);

/// The values of a decision without the names of their fields, in the order that the description of the API lists them.
fn positional(decision: &DecisionBody) -> Vec<u8> {
    let fields = [
        "id",
        "prev",
        "subject",
        "notice",
        "language",
        "layer",
        "method",
        "control",
        "granted",
        "decided_at",
        "signals",
        "widget",
        "source",
        "evidence",
    ];
    let value = |field: &str| match field {
        "signals" => json!({}),
        field => decision.0[field].clone(),
    };
    Value::from(fields.map(value).to_vec()).to_string().into_bytes()
}

/// What is no JSON, or of no shape at all.
fn unreadable_bodies() -> Vec<Refused> {
    let good = || DecisionBody::save(&["statistics"]);
    let text = good().0.to_string();
    let bytes = |text: &str| text.as_bytes().to_vec();
    let raw = |field: &str, value: &str| {
        let marked = good().with(field, "MARK").0.to_string();
        marked.replace("\"MARK\"", value).into_bytes()
    };
    let mut not_utf8 = text.clone().into_bytes();
    let at = not_utf8.windows(4).position(|window| window == b"\"en\"").unwrap();
    not_utf8[at + 1] = 0xff;
    let mut bom = vec![0xef, 0xbb, 0xbf];
    bom.extend_from_slice(text.as_bytes());
    vec![
        ("nothing", vec![], 400, ""),
        ("white space", bytes("  \n "), 400, ""),
        ("no JSON", bytes("granted=statistics"), 400, ""),
        ("cut off", bytes(&text[..text.len() - 1]), 400, ""),
        ("two values", bytes(&format!("{text}{text}")), 400, ""),
        ("something after it", bytes(&format!("{text} x")), 400, ""),
        ("a trailing comma", bytes(&text.replace('}', ",}")), 400, ""),
        ("single quotes", bytes(&text.replace('"', "'")), 400, ""),
        ("a byte order mark", bom, 400, ""),
        ("not UTF-8", not_utf8, 400, "column"),
        ("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect(), 400, ""),
        ("a NUL", bytes(&text.replace("en", "e\0")), 400, "column"),
        ("deep arrays", bytes(&format!("{}{}", "[".repeat(8000), "]".repeat(8000))), 422, ""),
        (
            "deep objects inside",
            raw("signals", &format!("{}1{}", "{\"gpc\":".repeat(2000), "}".repeat(2000))),
            400,
            "recursion limit",
        ),
        ("deep arrays inside", raw("granted", &format!("{}{}", "[".repeat(7000), "]".repeat(7000))), 422, "/granted"),
        ("null", bytes("null"), 422, ""),
        ("a list", bytes("[]"), 422, ""),
        ("a decision as a list", positional(&good()), 422, ""),
        ("a text", bytes("\"x\""), 422, ""),
        ("a number", bytes("1e999"), 400, ""),
        ("an empty object", bytes("{}"), 422, ""),
    ]
}

/// What has the shape of a decision but for one field.
fn misshapen_bodies() -> Vec<Refused> {
    let good = || DecisionBody::save(&["statistics"]);
    let with = |field: &str, value: Value| good().with(field, value).0.to_string().into_bytes();
    let text = good().0.to_string();
    let bytes = |text: &str| text.as_bytes().to_vec();
    let raw = |field: &str, value: &str| {
        let marked = good().with(field, "MARK").0.to_string();
        marked.replace("\"MARK\"", value).into_bytes()
    };
    vec![
        ("an unknown field", with("extra", json!(1)), 422, "extra"),
        ("a field of another case", with("Granted", json!([])), 422, "Granted"),
        ("a field twice", bytes(&text.replacen('{', "{\"notice\":1,", 1)), 422, "notice"),
        ("__proto__", with("__proto__", json!({})), 422, "__proto__"),
        ("no id", good().without("id").0.to_string().into_bytes(), 422, ""),
        ("no notice", good().without("notice").0.to_string().into_bytes(), 422, ""),
        ("no granted", good().without("granted").0.to_string().into_bytes(), 422, ""),
        ("no method", good().without("method").0.to_string().into_bytes(), 422, ""),
        ("no layer", good().without("layer").0.to_string().into_bytes(), 422, ""),
        ("no language", good().without("language").0.to_string().into_bytes(), 422, ""),
        ("no decided_at", good().without("decided_at").0.to_string().into_bytes(), 422, ""),
        ("an id that is none", with("id", json!("x")), 422, "/id"),
        ("the nil id", with("id", json!("00000000-0000-0000-0000-000000000000")), 422, "/id"),
        ("an id of version 1", with("id", json!("c232ab00-9414-11ec-b3c8-9f6bdeced846")), 422, "/id"),
        ("an id in braces", with("id", json!(format!("{{{}}}", new_id()))), 422, "/id"),
        (
            "an id with 36 characters of more bytes",
            with("id", json!("0193e0c1-3c00-7000-8000-00000000000é")),
            422,
            "/id",
        ),
        ("a number as id", with("id", json!(7)), 422, "/id"),
        ("a subject that is none", with("subject", json!("-")), 422, "/subject"),
        ("a prev that is none", with("prev", json!("first")), 422, "/prev"),
        ("notice 0", with("notice", json!(0)), 422, "/notice"),
        ("notice 2 of 1", with("notice", json!(2)), 422, "/notice"),
        ("the largest notice", with("notice", json!(u32::MAX)), 422, "/notice"),
        ("a larger notice", with("notice", json!(1_u64 << 32)), 422, "/notice"),
        ("a negative notice", with("notice", json!(-1)), 422, "/notice"),
        ("a notice with a fraction", with("notice", json!(1.5)), 422, "/notice"),
        ("a notice as text", with("notice", json!("1")), 422, "/notice"),
        ("a huge notice", raw("notice", &"9".repeat(400)), 400, "number out of range"),
        ("a notice beyond any float", raw("notice", "1e400"), 400, "number out of range"),
        ("a language that is not offered", with("language", json!("fr")), 422, "/language"),
        ("a language that is none", with("language", json!("<b>")), 422, "/language"),
        ("an unknown category", with("granted", json!(["marketing"])), 422, "/granted"),
        ("an unknown category beside a known one", with("granted", json!(["statistics", "other"])), 422, "/granted"),
        ("an unknown service", with("granted", json!(["statistics:other"])), 422, "/granted"),
        ("a service of another category", with("granted", json!(["functional:page-counter"])), 422, "/granted"),
        ("an id with a tilde", with("granted", json!(["statistics", "a~b"])), 422, "/granted/1"),
        ("an id with a dot", with("granted", json!(["statistics.x"])), 422, "/granted/0"),
        ("an id with a line break", with("granted", json!(["statistics\r\nSet-Cookie: x=y"])), 422, "/granted/0"),
        ("an empty id", with("granted", json!([""])), 422, "/granted/0"),
        ("an id that is too long", with("granted", json!(["a".repeat(33)])), 422, "/granted/0"),
        ("a number in granted", with("granted", json!([1])), 422, "/granted/0"),
        ("granted as text", with("granted", json!("statistics")), 422, "/granted"),
        ("granted as null", with("granted", Value::Null), 422, "/granted"),
        ("an unknown method", with("method", json!("grant")), 422, "/method"),
        ("a method of another case", with("method", json!("Save")), 422, "/method"),
        ("an unknown layer", with("layer", json!("banner")), 422, "/layer"),
        ("an unknown control", with("control", json!("ok")), 422, "/control"),
        ("a time that is none", with("decided_at", json!("today")), 422, "/decided_at"),
        ("a time as number", with("decided_at", json!(1_700_000_000)), 422, "/decided_at"),
        ("a year with five digits", with("decided_at", json!("10000-01-01T00:00:00Z")), 422, "/decided_at"),
        ("signals as list", with("signals", json!([true])), 422, "/signals"),
        ("an unknown signal", with("signals", json!({"sid": true})), 422, "/signals"),
        ("a signal as number", with("signals", json!({"gpc": 1})), 422, "/signals"),
        ("a widget that is none", with("widget", json!("0")), 422, "/widget"),
        ("a source without a key", with("source", json!("phone")), 422, "/source"),
        ("evidence without a key", with("evidence", json!("said so")), 422, "/evidence"),
    ]
}

#[test]
fn a_body_that_is_no_decision_is_refused_with_what_and_where_and_records_nothing() {
    let server = TestServer::start();
    let api = server.api();
    let size = log_size(server.data());
    let mut wrong = Vec::new();
    for (name, body, status, pointer) in unreadable_bodies().into_iter().chain(misshapen_bodies()) {
        let answer = api.send("POST", DECISIONS, &[("origin", ORIGIN), JSON], &body);
        let problem = if answer.status >= 400 { answer.problem() } else { answer.json() };
        // A field that ought not to be there at all may be named by the pointer or in the words.
        let said = problem["pointer"].as_str().unwrap_or_default().starts_with(pointer)
            || (!pointer.starts_with('/') && problem["detail"].as_str().unwrap_or_default().contains(pointer));
        if answer.status != status || !said || answer.cookie().is_some() {
            wrong.push(format!("{name}: wanted {status} at {pointer:?}, got {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(log_size(server.data()), size);
    for kind in ["", "application/octet-stream", "multipart/form-data; boundary=x", "text/html", "application/jsonp"] {
        let mut headers = vec![("origin", ORIGIN)];
        headers.extend((!kind.is_empty()).then_some(("content-type", kind)));
        let body = DecisionBody::save(&["statistics"]).0.to_string();
        let problem = api.send("POST", DECISIONS, &headers, body.as_bytes()).expect(415).problem();
        assert_eq!(problem["pointer"], "Content-Type", "{kind}");
    }
    assert_eq!(log_size(server.data()), size);
    api.decide(&DecisionBody::save(&["statistics"])).expect(201);
}

#[test]
fn a_body_that_is_too_large_is_refused_and_records_nothing() {
    let server = TestServer::start();
    let size = log_size(server.data());
    let body = DecisionBody::save(&["statistics"]).0.to_string();
    let origin = server.api().origin().to_owned();
    let chunked = |body: &str| format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let counted = |body: &str| format!("Content-Length: {}\r\n\r\n{body}", body.len());
    for length in [16 * 1024 + 1, 1 << 20] {
        let padded = format!("{body}{}", " ".repeat(length - body.len()));
        for rest in [counted(&padded), chunked(&padded)] {
            let head = format!(
                "POST {DECISIONS} HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nContent-Type: application/json\r\n"
            );
            // By hand: a client library that is still sending may drop the answer that says to stop.
            let answer = raw(&server, format!("{head}{rest}").as_bytes());
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 413 "), "{length}: {answer}");
            let (head, problem) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.to_lowercase().contains("content-type: application/problem+json"), "{head}");
            let problem: Value = serde_json::from_str(problem).unwrap();
            assert!(problem["detail"].as_str().unwrap().contains("16384"), "{problem}");
        }
    }
    assert_eq!(log_size(server.data()), size);
    let largest = format!("{body:width$}", width = 16 * 1024);
    server.api().send("POST", DECISIONS, &[("origin", ORIGIN), JSON], largest.as_bytes()).expect(201);
}

#[test]
fn every_pair_that_rule_2_forbids_is_refused_and_records_nothing() {
    let server = TestServer::choice();
    let api = server.api();
    let size = log_size(server.data());
    let grants: [&[&str]; 4] =
        [&["statistics"], &["marketing"], &["statistics:page-counter"], &["marketing", "statistics"]];
    for method in ["close", "reject-all", "forget", "signal"] {
        for layer in ["first", "settings", "placeholder", "none"] {
            for granted in grants {
                let answer = api.decide(&DecisionBody::new(method, layer, granted));
                assert_eq!(answer.status, 422, "{method} {layer} {granted:?}: {}", answer.text());
                answer.problem();
            }
        }
    }
    for granted in grants {
        api.decide(&DecisionBody::new("agent", "none", granted).by(new_subject())).expect(422).problem();
    }
    for granted in [
        &[][..],
        &["statistics"],
        &["marketing"],
        &["statistics", "marketing:newsletter-panel"],
        &["statistics", "marketing", "other"],
    ] {
        let answer = api.decide(&DecisionBody::new("accept-all", "first", granted));
        assert_eq!(answer.status, 422, "accept-all {granted:?}");
        assert_eq!(answer.problem()["pointer"], "/granted");
    }
    for (method, layer) in [
        ("close", "settings"),
        ("close", "placeholder"),
        ("close", "none"),
        ("signal", "first"),
        ("signal", "settings"),
        ("agent", "first"),
        ("reject-all", "placeholder"),
        ("forget", "placeholder"),
        ("save", "placeholder"),
    ] {
        let answer = api.decide(&DecisionBody::new(method, layer, &[]));
        assert_eq!(answer.status, 422, "{method} on {layer}");
        assert_eq!(answer.problem()["pointer"], "/layer", "{method} on {layer}");
    }
    let problem = api.decide(&DecisionBody::new("api", "none", &["statistics"])).expect(422).problem();
    assert_eq!(problem["pointer"], "/method", "only a key acts on a person's behalf");
    assert_eq!(log_size(server.data()), size);
}

#[test]
fn an_agent_may_revoke_and_keep_but_never_add() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    api.decide(&grant).expect(201);
    let agent = |granted: &[&str]| DecisionBody::new("agent", "none", granted).by(subject).after(&grant);
    api.decide(&agent(&["marketing", "statistics"])).expect(422).problem();
    api.decide(&agent(&["marketing"])).expect(422).problem();
    api.decide(&agent(&["statistics"])).expect(201);
    assert!(api.allowed(subject, "statistics"), "kept");
    api.decide(&agent(&[])).expect(201);
    assert!(!api.allowed(subject, "statistics"), "revoked");
    let late = agent(&["statistics"]);
    api.decide(&late).expect(422).problem();
}

// Late, repeated, reordered.

#[test]
fn revoke_in_one_tab_beats_stale_grant_in_another() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let first = DecisionBody::save(&["statistics"]).by(subject);
    let revoke = DecisionBody::save(&[]).by(subject).after(&first);
    // Decided before the revoke, in a tab that had no network then.
    let queued = DecisionBody::save(&["statistics"]).by(subject).after(&first);
    api.decide(&first).expect(201);
    api.decide(&revoke).expect(201);
    let answer = api.decide(&queued).expect(201);
    assert_eq!(answer.json()["effect"], "stale");
    assert_eq!(answer.json()["consent"]["categories"]["statistics"], "denied");
    let cookie = Cookie::parse(&answer.cookie().unwrap()).unwrap();
    assert!(cookie.granted.is_empty(), "the cookie says what holds: {cookie:?}");
    assert!(!api.allowed(subject, "statistics"));
    // What was queued behind it does not get through either, though it names the latest record.
    let behind = DecisionBody::save(&["statistics"]).by(subject).after(&queued).at(days_ago(0));
    let behind = behind.at(UnixMillis::new(now().millis() - 60_000));
    let answer = api.decide(&behind).expect(201);
    assert_eq!(answer.json()["effect"], "stale");
    assert!(!api.allowed(subject, "statistics"));
    // A person who now sees the answer and decides again is heard.
    let last = DecisionBody::save(&["statistics"]).by(subject).after(&behind);
    let answer = api.decide(&last).expect(201);
    assert_eq!(answer.json()["effect"], "applied");
    assert!(api.allowed(subject, "statistics"));
    assert_eq!(Cookie::parse(&answer.cookie().unwrap()).unwrap().granted.len(), 1);
}

#[test]
fn a_grant_without_prev_counts_only_as_the_first() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    api.decide(&DecisionBody::save(&[]).by(subject)).expect(201);
    let answer = api.decide(&DecisionBody::save(&["statistics"]).by(subject)).expect(201);
    assert_eq!(answer.json()["effect"], "stale");
    assert!(!api.allowed(subject, "statistics"));
    let other = new_subject();
    let answer =
        api.decide(&DecisionBody::save(&["statistics"]).by(other).with("prev", new_id().to_string())).expect(201);
    assert_eq!(answer.json()["effect"], "stale", "it knows of a record that is not there");
    assert!(!api.allowed(other, "statistics"));
}

#[test]
fn a_grant_queued_before_forget_grants_nothing_after_it() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let refusal = DecisionBody::save(&[]).by(subject);
    let queued = DecisionBody::save(&["statistics"]).by(subject).after(&refusal);
    api.decide(&refusal).expect(201);
    let forgotten = api.decide(&DecisionBody::forget().by(subject).after(&refusal)).expect(201);
    assert!(forgotten.header("set-cookie").contains("Max-Age=0"));
    let answer = api.decide(&queued).expect(201);
    assert_eq!(answer.json()["effect"], "stale");
    assert_eq!(answer.json()["consent"]["status"], "forgotten");
    assert_eq!(answer.cookie().as_deref(), Some(""), "cleared: {}", answer.header("set-cookie"));
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert!(!api.allowed(subject, "statistics"));
}

#[test]
fn a_queue_sent_in_order_counts_as_a_whole() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let hour_ago = |minutes: i64| UnixMillis::new(now().millis() - 3_600_000 + minutes * 60_000);
    let one = DecisionBody::save(&["statistics"]).by(subject).at(hour_ago(0));
    let two = DecisionBody::save(&[]).by(subject).after(&one).at(hour_ago(1));
    let three = DecisionBody::save(&["marketing", "statistics"]).by(subject).after(&two).at(hour_ago(2));
    let four = DecisionBody::save(&["marketing"]).by(subject).after(&three).at(hour_ago(3));
    for decision in [&one, &two, &three, &four] {
        assert_eq!(api.decide(decision).expect(201).json()["effect"], "applied");
    }
    assert!(api.allowed(subject, "marketing") && !api.allowed(subject, "statistics"));
    // Sent again as a whole, as after answers that were lost: nothing changes, and every answer says what holds now.
    let size = log_size(server.data());
    for decision in [&one, &two, &three, &four] {
        let answer = api.decide(decision).expect(200);
        assert_eq!(
            answer.json()["consent"]["categories"],
            json!({"functional": "granted", "marketing": "granted", "statistics": "denied"})
        );
        assert_eq!(Cookie::parse(&answer.cookie().unwrap()).unwrap().granted[0].as_str(), "marketing");
    }
    assert_eq!(log_size(server.data()), size);
}

#[test]
fn a_queue_out_of_order_never_grants_what_was_revoked_in_it() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let one = DecisionBody::save(&["statistics"]).by(subject);
    let two = DecisionBody::save(&[]).by(subject).after(&one);
    api.decide(&two).expect(201);
    assert_eq!(api.decide(&one).expect(201).json()["effect"], "stale");
    assert!(!api.allowed(subject, "statistics"));
}

#[test]
fn a_repeated_old_id_never_brings_a_grant_back() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    let revoke = DecisionBody::save(&[]).by(subject).after(&grant);
    api.decide(&grant).expect(201);
    api.decide(&revoke).expect(201);
    let again = api.decide(&grant).expect(200);
    assert_eq!(again.json()["consent"]["categories"]["statistics"], "denied");
    assert!(Cookie::parse(&again.cookie().unwrap()).unwrap().granted.is_empty(), "{:?}", again.cookie());
    assert!(!api.allowed(subject, "statistics"));

    api.decide(&DecisionBody::forget().by(subject).after(&revoke)).expect(201);
    for old in [&grant, &revoke] {
        let again = api.decide(old).expect(200);
        assert_eq!(again.json()["consent"]["status"], "forgotten");
        assert_eq!(again.cookie().as_deref(), Some(""));
    }
    assert!(!api.allowed(subject, "statistics"));
}

#[test]
fn refusing_works_at_any_version_age_and_order() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    for (name, refusal) in [
        ("knows nothing", DecisionBody::save(&[]).by(subject)),
        ("long ago", DecisionBody::save(&[]).by(subject).at(days_ago(9000))),
        (
            "from the future",
            DecisionBody::new("reject-all", "none", &[]).by(subject).at(UnixMillis::new(now().millis() + 9000 * DAY)),
        ),
        ("after a record that is not there", DecisionBody::save(&[]).by(subject).with("prev", new_id().to_string())),
        ("an agent", DecisionBody::new("agent", "none", &[]).by(subject)),
        ("on behalf", DecisionBody::new("api", "none", &[]).by(subject).with("source", "phone").at(days_ago(1))),
    ] {
        let subject = new_subject();
        let grant = grant.clone().with("id", new_id().to_string()).by(subject);
        let refusal = refusal.by(subject);
        api.decide(&grant).expect(201);
        assert!(api.allowed(subject, "statistics"));
        let answer = if name == "on behalf" { api.decide_for(&refusal) } else { api.decide(&refusal) };
        assert_eq!(answer.expect(201).json()["effect"], "applied", "{name}");
        assert!(!api.allowed(subject, "statistics"), "{name}");
    }
}

// The cookie.

#[test]
fn the_cookie_says_what_holds_and_nobody_who_only_refused_has_an_id() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let refusal = DecisionBody::save(&[]).by(subject);
    let answer = api.decide(&refusal).expect(201);
    let seconds =
        |decision: &DecisionBody| UnixMillis::parse(decision.0["decided_at"].as_str().unwrap()).unwrap().seconds();
    assert_eq!(answer.cookie().unwrap(), format!("1.1.{}.-..", seconds(&refusal)));
    let attributes: BTreeSet<String> = answer.header("set-cookie").split("; ").skip(1).map(str::to_lowercase).collect();
    let want = ["path=/", "samesite=lax", "max-age=15552000"].map(str::to_owned);
    assert_eq!(
        attributes,
        BTreeSet::from(want),
        "host-only, readable by the loader, and without Secure on plain loopback only"
    );

    let grant = DecisionBody::save(&["statistics"]).by(subject).after(&refusal);
    let answer = api.decide(&grant).expect(201);
    assert_eq!(answer.cookie().unwrap(), format!("1.1.{}.{}.statistics.", seconds(&grant), subject.to_base64url()));

    let revoke = DecisionBody::save(&[]).by(subject).after(&grant);
    let answer = api.decide(&revoke).expect(201);
    assert_eq!(
        answer.cookie().unwrap(),
        format!("1.1.{}.{}..", seconds(&revoke), subject.to_base64url()),
        "known once, known still"
    );

    let answer = api.decide(&DecisionBody::forget().by(subject).after(&revoke)).expect(201);
    assert_eq!(answer.cookie().unwrap(), "");
    let line = answer.header("set-cookie");
    assert!(line.contains("Max-Age=0") && line.contains("Path=/"), "{line}");
    assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 1);

    // Closing leaves no identifier.
    let close = api.decide(&DecisionBody::new("close", "first", &[])).expect(201);
    assert!(Cookie::parse(&close.cookie().unwrap()).unwrap().subject.is_none());
    assert!(close.json()["subject"].is_string(), "its ID is shown once, with the answer");
    // Nor does a stale grant of somebody who has only ever refused.
    let other = new_subject();
    api.decide(&DecisionBody::save(&[]).by(other)).expect(201);
    let stale = api.decide(&DecisionBody::save(&["statistics"]).by(other)).expect(201);
    assert!(Cookie::parse(&stale.cookie().unwrap()).unwrap().subject.is_none(), "{:?}", stale.cookie());
}

#[test]
fn the_cookie_is_secure_but_on_plain_loopback() {
    let server = TestServer::start();
    let api = server.api();
    let port = server.address().port();
    server.command_ok(&[
        "site",
        "set",
        "demo",
        "--origin",
        "https://www.gardens.example",
        "--origin",
        &format!("http://127.0.0.1:{port}"),
        "--cookie-domain",
        "gardens.example",
    ]);
    let body = || DecisionBody::save(&["statistics"]).0.to_string();
    let post = |origin: &str| api.send("POST", DECISIONS, &[("origin", origin), JSON], body().as_bytes());
    wait_until("the new origin to be allowed", || post("https://www.gardens.example").status == 201);
    let line = post("https://www.gardens.example").expect(201).header("set-cookie");
    assert!(line.contains("; Secure") && line.contains("; Domain=gardens.example"), "{line}");
    assert!(!line.contains("HttpOnly"), "the loader reads it: {line}");
    post(&format!("http://localhost:{port}")).expect(403).problem();
}

#[test]
fn a_grant_for_one_page_view_is_recorded_and_in_no_cookie() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let refusal = DecisionBody::save(&[]).by(subject);
    api.decide(&refusal).expect(201);
    let size = log_size(server.data());
    let once = DecisionBody::new("save", "placeholder", &["marketing:newsletter-panel"]).by(subject).after(&refusal);
    let answer = api.decide(&once).expect(201);
    assert_eq!(answer.json()["effect"], "once");
    assert!(answer.cookie().is_none());
    assert!(!api.allowed(subject, "marketing:newsletter-panel"), "a later page, and every backend, asks again");
    assert_eq!(log_size(server.data()), size + 1);
    // Nor does it make an answer out of none.
    let other = new_subject();
    let answer = api.decide(&DecisionBody::new("save", "placeholder", &["marketing"]).by(other)).expect(201);
    assert!(answer.cookie().is_none());
    assert_eq!(api.check(other, "marketing")["status"], "none");
}

// Signals.

#[test]
fn a_signal_refuses_what_follows_signals_and_nothing_else() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let all = DecisionBody::new("accept-all", "first", &["marketing", "statistics"]).by(subject);
    api.decide(&all).expect(201);
    let signal = DecisionBody::new("signal", "none", &[]).by(subject).after(&all).with("signals", json!({"gpc": true}));
    let answer = api.decide(&signal).expect(201);
    assert_eq!(
        answer.json()["consent"]["categories"],
        json!({"functional": "granted", "marketing": "denied", "statistics": "granted"})
    );
    let cookie = Cookie::parse(&answer.cookie().unwrap()).unwrap();
    assert_eq!(cookie.granted.iter().map(ToString::to_string).collect::<Vec<_>>(), ["statistics"]);
    assert!(!api.allowed(subject, "marketing") && api.allowed(subject, "statistics"));
}

#[test]
fn a_grant_made_after_the_banner_said_the_signal_outlives_the_signal() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let said = json!({"gpc": true, "said": true});
    let grant = DecisionBody::save(&["marketing"]).by(subject).with("signals", said.clone());
    let answer = api.decide(&grant).expect(201);
    let cookie = answer.cookie().unwrap();
    assert!(cookie.ends_with(".marketing.s"), "{cookie}");
    assert!(api.allowed(subject, "marketing"));
    let signal =
        DecisionBody::new("signal", "none", &[]).by(subject).after(&grant).with("signals", json!({"gpc": true}));
    api.decide(&signal).expect(201);
    assert!(api.allowed(subject, "marketing"));
    let leaf = &api.records(subject).json()["records"][0]["leaf"];
    assert_eq!(leaf["signals"], json!({"dnt": false, "gpc": true, "said": true}));
}

#[test]
fn a_grant_under_a_signal_that_the_banner_did_not_say_is_none() {
    let server = TestServer::choice();
    let api = server.api();
    for signals in [json!({"gpc": true}), json!({"dnt": true}), json!({"gpc": true, "dnt": true, "said": false})] {
        let subject = new_subject();
        let all = DecisionBody::new("accept-all", "first", &["marketing", "statistics"]).by(subject);
        let answer = api.decide(&all.with("signals", signals.clone())).expect(201);
        assert!(!api.allowed(subject, "marketing"), "{signals}: rule 5, and the page would withhold it");
        assert!(api.allowed(subject, "statistics"), "{signals}: it does not follow signals");
        assert!(!answer.cookie().unwrap().contains("marketing"), "{:?}", answer.cookie());
    }
}

// On a person's behalf.

#[test]
fn a_backend_records_for_a_person_only_with_a_source() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let on_behalf = || DecisionBody::new("api", "none", &["statistics"]).by(subject);
    let size = log_size(server.data());
    assert_eq!(api.decide_for(&on_behalf()).expect(422).problem()["pointer"], "/source");
    assert_eq!(api.decide_for(&on_behalf().with("source", "rumour")).expect(422).problem()["pointer"], "/source");
    let long = on_behalf().with("source", "paper").with("evidence", "x".repeat(4097));
    assert_eq!(api.decide_for(&long).expect(422).problem()["pointer"], "/evidence");
    for (method, layer) in [("close", "first"), ("signal", "none"), ("agent", "none")] {
        let body = DecisionBody::new(method, layer, &[]).by(subject).with("source", "phone");
        assert_eq!(api.decide_for(&body).expect(422).problem()["pointer"], "/method", "{method}: only a browser's");
    }
    let body = DecisionBody::new("forget", "none", &["statistics"]).by(subject).with("source", "phone");
    api.decide_for(&body).expect(422).problem();
    let body = on_behalf().with("source", "phone");
    assert_eq!(api.decide(&body).expect(422).problem()["pointer"], "/source", "and a page never as a key");
    assert_eq!(log_size(server.data()), size);

    for source in ["form", "phone", "paper", "import", "api"] {
        let subject = new_subject();
        let evidence = "called at noon, said yes to statistics";
        let body = on_behalf().by(subject).with("source", source).with("evidence", evidence);
        let answer = api.decide_for(&body).expect(201);
        assert!(answer.cookie().is_none(), "there is no browser to set it in");
        assert!(api.allowed(subject, "statistics"));
        assert_eq!(api.decide_for(&body).expect(200).json()["index"], answer.json()["index"]);
        api.decide_for(&body.clone().with("evidence", "something else")).expect(409).problem();
        let records = api.records(subject).expect(200);
        let leaf = &records.json()["records"][0]["leaf"];
        assert_eq!((&leaf["source"], &leaf["method"]), (&json!(source), &json!("api")));
        for hash in ["evidence", "actor"] {
            assert_eq!(leaf[hash].as_str().unwrap().len(), 64, "{leaf}");
        }
        assert!(!records.text().contains("noon"), "a leaf holds no free text");
    }
}

#[test]
fn what_a_person_did_later_beats_what_was_learnt_before() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let on_behalf = |at| DecisionBody::new("api", "none", &["statistics"]).by(subject).with("source", "paper").at(at);
    api.decide(&DecisionBody::save(&[]).by(subject)).expect(201);
    assert_eq!(api.decide_for(&on_behalf(days_ago(2))).expect(201).json()["effect"], "stale");
    assert!(!api.allowed(subject, "statistics"));
    assert_eq!(api.decide_for(&on_behalf(UnixMillis::new(now().millis() + 1))).expect(201).json()["effect"], "applied");
    assert!(api.allowed(subject, "statistics"));
    api.decide(&DecisionBody::forget().by(subject)).expect(201);
    assert_eq!(api.decide_for(&on_behalf(UnixMillis::new(now().millis() + 1))).expect(201).json()["effect"], "stale");
    assert!(!api.allowed(subject, "statistics"));
}

// A person's own records.

#[test]
fn own_records_and_receipts_need_the_subject() {
    let server = TestServer::start();
    let api = server.api();
    let (subject, other) = (new_subject(), new_subject());
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    let revoke = DecisionBody::save(&[]).by(subject).after(&grant);
    for decision in [&grant, &revoke, &DecisionBody::save(&[]).by(other)] {
        api.decide(decision).expect(201);
    }
    let own = api.records(subject).expect(200);
    assert_eq!(own.header("cache-control"), "no-store");
    let records = own.json()["records"].as_array().unwrap().clone();
    let ids: Vec<&str> = records.iter().filter_map(|record| record["id"].as_str()).collect();
    assert_eq!(ids, [grant.id().to_string(), revoke.id().to_string()]);
    assert!(
        !own.text().contains(&subject.to_string()) && !own.text().contains(&subject.to_base64url()),
        "no leaf names its subject"
    );
    assert_eq!(api.records(new_subject()).expect(200).json(), json!({"records": []}));
    assert_eq!(
        api.send("GET", "/v1/sites/demo/records", &[("consent-subject", &subject.to_base64url())], &[])
            .expect(200)
            .json(),
        own.json()
    );
    for headers in
        [vec![], vec![("consent-subject", "")], vec![("consent-subject", "x")], vec![("consent-subject", "-")]]
    {
        assert_eq!(
            api.send("GET", "/v1/sites/demo/records", &headers, &[]).expect(400).problem()["pointer"],
            "Consent-Subject"
        );
    }

    let receipt = api.receipt(subject, grant.id()).expect(200);
    assert_eq!(receipt.header("cache-control"), "no-store");
    assert!(receipt.text().starts_with("c2sp.org/tlog-proof@v1\n"), "{}", receipt.text());
    for (who, id) in [(other, grant.id()), (new_subject(), grant.id()), (subject, new_id())] {
        let answer = api.receipt(who, id).expect(404);
        assert_eq!(
            answer.problem()["detail"],
            api.receipt(new_subject(), new_id()).problem()["detail"],
            "who guesses learns nothing"
        );
    }
    let path = format!("/v1/sites/demo/records/{}/receipt", grant.id());
    api.get(&path).expect(400).problem();
    api.get(&format!("{path}?subject={subject}")).expect(400).problem();
}

#[test]
fn a_receipt_proves_its_record_offline() {
    let server = TestServer::start();
    let api = server.api();
    let key = VerifyingKey::parse(server.log_key()).unwrap();
    let subject = new_subject();
    let mut last = DecisionBody::save(&["statistics"]).by(subject);
    api.decide(&last).expect(201);
    for _ in 0..5 {
        let next = DecisionBody::save(&["statistics"]).by(subject).after(&last);
        api.decide(&next).expect(201);
        last = next;
    }
    let records = api.records(subject).json();
    for record in records["records"].as_array().unwrap() {
        let id = consent_core::id::RecordId::parse(record["id"].as_str().unwrap()).unwrap();
        // The newest was recorded after the checkpoint was published; its receipt must not wait for the next one.
        let text = api.receipt(subject, id).expect(200).text();
        let receipt = TlogProof::parse(&text).unwrap();
        let extra: Value = serde_json::from_slice(receipt.extra.as_deref().unwrap()).unwrap();
        let leaf = extra["leaf"].to_string();
        assert_eq!(extra["leaf"], record["leaf"]);
        assert_eq!(extra["subject"], subject.to_string());
        assert!(Leaf::parse(leaf.as_bytes()).is_ok());
        let checkpoint = receipt.verify(leaf.as_bytes(), &key).unwrap();
        assert!(checkpoint.size > receipt.index);
        assert!(
            receipt.verify(leaf.replace("\"granted\":[\"statistics\"]", "\"granted\":[]").as_bytes(), &key).is_err()
        );
    }
}

#[test]
fn the_log_is_public_as_checkpoint_and_tiles_and_holds_no_decision() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    api.decide(&grant).expect(201);
    api.receipt(subject, grant.id()).expect(200);
    let note = api.get("/v1/sites/demo/log/checkpoint").expect(200).text();
    let checkpoint =
        consent_core::checkpoint::Checkpoint::open(&note, &VerifyingKey::parse(server.log_key()).unwrap()).unwrap();
    assert_eq!(checkpoint.origin, "demo.consent.example/v1/sites/demo", "never derived from an address");
    let log = &check_log(server.data()).unwrap()[0];
    assert_eq!((log.published, log.root), (Some(checkpoint.size), checkpoint.root));

    let tile = api.get(&format!("/v1/sites/demo/log/tile/0/000.p/{}", checkpoint.size)).expect(200);
    assert_eq!(tile.body.len() as u64, 32 * checkpoint.size);
    let mut edge = consent_core::merkle::Edge::default();
    for hash in tile.body.as_chunks::<32>().0 {
        edge.push(consent_core::merkle::Hash(*hash));
    }
    assert_eq!(edge.root(), checkpoint.root);
    let narrower = api.get("/v1/sites/demo/log/tile/0/000.p/1").expect(200);
    assert_eq!(narrower.body, tile.body[..32]);
    api.get(&format!("/v1/sites/demo/log/tile/0/000.p/{}", checkpoint.size + 1)).expect(404).problem();
    api.get("/v1/sites/demo/log/tile/0/000").expect(404).problem();
    // What holds decisions is for officers, and says no more to others.
    for path in ["/v1/sites/demo/log/tile/entries/000", "/v1/sites/demo/log/tile/entries/000.p/1"] {
        api.get(path).expect(401).problem();
        api.get_as(&api.backend, path).expect(403).problem();
    }
    api.get("/v1/sites/demo/log/entries").expect(404).problem();
}

#[test]
fn the_checkpoint_follows_the_log_by_itself() {
    let server = TestServer::start();
    let api = server.api();
    let index = api.decide(&DecisionBody::save(&[])).expect(201).json()["index"].as_u64().unwrap();
    let published = || {
        let note = api.get("/v1/sites/demo/log/checkpoint").expect(200).text();
        note.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    wait_until("the checkpoint to cover the decision", || published() > index);
    check_log(server.data()).unwrap();
}

#[test]
fn the_servers_own_words_name_nobody() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    api.decide(&grant).expect(201);
    api.decide(&DecisionBody::save(&["other"]).by(subject)).expect(422);
    api.decide_for(
        &DecisionBody::new("api", "none", &[]).by(subject).with("source", "phone").with("evidence", "by telephone"),
    )
    .expect(201);
    api.receipt(subject, grant.id()).expect(200);
    let size = log_size(server.data());
    let rows = consent_tests::open_rows(server.data());
    let mut statement = rows.prepare("SELECT leaf FROM record").unwrap();
    let leaves: Vec<Vec<u8>> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(leaves.len() as u64, size);
    let leaves: String = leaves.iter().map(|leaf| String::from_utf8_lossy(leaf).into_owned()).collect();
    let logged = server.logged();
    for secret in [
        &subject.to_string(),
        &subject.to_base64url(),
        "by telephone",
        &api.backend,
        &api.officer,
        &api.admin,
        "127.0.0.1",
        "ureq",
    ] {
        assert!(!leaves.contains(secret), "{secret} is in a leaf");
        assert!(secret == "127.0.0.1" || !logged.contains(secret), "{secret} was logged: {logged}");
    }
}

// New notice versions, by the command line, while the server runs.

fn draft(server: &TestServer, name: &str, change: impl FnOnce(&str) -> String) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../consent-server/notices/demo-choice.toml");
    let text = change(&std::fs::read_to_string(path).unwrap());
    let file = server.data().join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn new_purpose(text: &str) -> String {
    let changed = text.replace(
        "purpose = \"Count page views, to see which articles are read.\"",
        "purpose = \"Count page views and searches, to see which articles are read and missed.\"",
    );
    assert_ne!(changed, text);
    changed
}

fn version(api: &Api) -> u64 {
    api.get("/v1/sites/demo/notice").expect(200).json()["version"].as_u64().unwrap()
}

#[test]
fn a_material_version_asks_again_about_its_category_only() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::new("accept-all", "first", &["marketing", "statistics"]).by(subject);
    api.decide(&grant).expect(201);
    let file = draft(&server, "v2.toml", new_purpose);
    let refused = server.command(&["notice", "publish", &file, "--site", "demo"]);
    assert!(!refused.status.success(), "a new purpose must be called material or editorial");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--material"), "{refused:?}");
    server.command_ok(&["notice", "publish", &file, "--site", "demo", "--material", "statistics"]);
    wait_until("version 2 to be in force", || version(&api) == 2);

    let object = api.check(subject, "marketing");
    assert_eq!(object["status"], "outdated");
    assert_eq!(object["categories"], json!({"functional": "granted", "marketing": "granted", "statistics": "denied"}));
    assert_eq!(object["allowed"], true);
    assert!(!api.allowed(subject, "statistics:page-counter"));
    // The old decision sent again says the same, in the cookie too.
    let again = api.decide(&grant).expect(200);
    let cookie = Cookie::parse(&again.cookie().unwrap()).unwrap();
    assert_eq!(cookie.notice, 1, "stays open for the page as well");

    // A grant on the old version is recorded and opens nothing; on the new one it does.
    let old = DecisionBody::save(&["marketing", "statistics"]).by(subject).after(&grant);
    api.decide(&old).expect(201);
    assert!(!api.allowed(subject, "statistics") && api.allowed(subject, "marketing"));
    let new = DecisionBody::save(&["marketing", "statistics"]).by(subject).after(&old).with("notice", 2);
    let answer = api.decide(&new).expect(201);
    assert_eq!(answer.json()["consent"]["status"], "valid");
    assert!(api.allowed(subject, "statistics"));
    // Refusing works on any version.
    api.decide(&DecisionBody::save(&[]).by(subject).after(&new)).expect(201);
    assert!(!api.allowed(subject, "statistics") && !api.allowed(subject, "marketing"));
}

#[test]
fn an_editorial_version_keeps_every_answer() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    api.decide(&DecisionBody::save(&["statistics"]).by(subject)).expect(201);
    let before = api.check(subject, "statistics");
    let file = draft(&server, "v2.toml", new_purpose);
    server.command_ok(&["notice", "publish", &file, "--site", "demo", "--editorial"]);
    wait_until("version 2 to be in force", || version(&api) == 2);
    assert_eq!(api.check(subject, "statistics"), before);
    assert_eq!(before["status"], "valid");

    let size = log_size(server.data());
    let again = server.command(&["notice", "publish", &file, "--site", "demo", "--editorial"]);
    assert!(!again.status.success(), "the same notice is no new version: {again:?}");
    assert_eq!((version(&api), log_size(server.data())), (2, size));
    check_log(server.data()).unwrap();
}

#[test]
fn a_refused_draft_changes_nothing() {
    let server = TestServer::choice();
    let api = server.api();
    let size = log_size(server.data());
    let lint =
        draft(&server, "lint.toml", |text| text.replace("contact = \"privacy@gardens.example\"", "contact = \"\""));
    let broken = draft(&server, "broken.toml", |text| text.replace("preset = \"choice\"", "preset = "));
    let unknown = draft(&server, "unknown.toml", new_purpose);
    for args in [
        vec!["notice", "publish", &lint, "--site", "demo", "--editorial"],
        vec!["notice", "publish", &broken, "--site", "demo", "--editorial"],
        vec!["notice", "publish", &unknown, "--site", "demo", "--material", "other"],
        vec!["notice", "publish", &unknown, "--site", "nowhere", "--editorial"],
        vec!["notice", "publish", "/nowhere.toml", "--site", "demo", "--editorial"],
    ] {
        let output = server.command(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!((version(&api), log_size(server.data())), (1, size));
}

#[test]
fn kept_data_is_used_again_with_new_keys_and_the_same_log() {
    let folder = tempfile::tempdir().unwrap();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    let mut first = TestServer::start_in(folder.path());
    let recorded = first.api().decide(&grant).expect(201).json();
    let (log_key, old) = (first.log_key().to_owned(), first.api());
    assert!(first.terminate().success(), "SIGTERM is no failure");
    drop(first);
    assert!(!folder.path().join("consent.db-wal").exists(), "a clean stop leaves the database in one file");

    let second = TestServer::start_in(folder.path());
    let api = second.api();
    assert_eq!(second.log_key(), log_key);
    assert!(api.allowed(subject, "statistics"));
    let again = api.decide(&grant).expect(200).json();
    assert_eq!((&again["index"], &again["recorded_at"]), (&recorded["index"], &recorded["recorded_at"]));
    let path = format!("/v1/sites/demo/subjects/{subject}/consent");
    for key in [&old.backend, &old.officer, &old.admin] {
        api.get_as(key, &path).expect(401).problem();
    }
    check_log(folder.path()).unwrap();
}
