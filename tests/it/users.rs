//! Users, sessions, keys that turn, notices and settings over HTTP, and what officers see of it.

use consent_core::record::{Kind, Leaf};
use consent_tests::{
    Answer, Api, DAY, DecisionBody, ORIGIN, TestServer, check_log, consent, days_ago, new_subject, now, open_rows,
    wait_until,
};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const JSON: (&str, &str) = ("content-type", "application/json");
const PASSWORD: &str = "correct horse battery";

fn try_log_in(api: &Api, name: &str, password: &str) -> Answer {
    let body = json!({ "user": name, "password": password }).to_string();
    api.send("POST", "/v1/session", &[JSON], body.as_bytes())
}

fn log_in(api: &Api, name: &str, password: &str) -> String {
    let cookie = try_log_in(api, name, password).expect(201).header("set-cookie");
    cookie.split(';').next().unwrap().to_owned()
}

fn send(api: &Api, key: &str, method: &str, path: &str, body: &Value) -> Answer {
    let key = format!("Bearer {key}");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    api.send(method, &format!("/v1/sites/demo{path}"), &[("authorization", &*key), JSON], body.as_bytes())
}

fn create(api: &Api, role: &str, name: &str) -> String {
    let body = json!({ "name": name, "role": role, "password": PASSWORD });
    let made = send(api, &api.admin, "POST", "/users", &body).expect(201).json();
    assert!(made.get("password").is_none(), "a password that was given is not said again");
    made["user"]["id"].as_str().unwrap().to_owned()
}

fn access_log(api: &Api) -> Vec<Value> {
    let log = send(api, &api.officer, "GET", "/audit/access?limit=200", &Value::Null).expect(200).json();
    assert_eq!(log["next"], Value::Null);
    log["records"].as_array().unwrap().clone()
}

/// What the access log says that somebody did, first to last.
fn acts_of(api: &Api, actor: &str) -> Vec<String> {
    let mine = access_log(api).into_iter().filter(|record| record["actor"] == actor);
    let mut acts: Vec<String> = mine.map(|record| record["leaf"]["action"].as_str().unwrap().to_owned()).collect();
    acts.reverse();
    acts
}

#[test]
fn an_officer_logs_in_reads_and_logs_out() {
    let server = TestServer::start();
    let api = server.api();
    let id = create(&api, "officer", "Ada@gardens.example");
    let answer = try_log_in(&api, "ada@Gardens.example", PASSWORD).expect(201);
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-consent-session="), "{cookie}");
    for part in ["; Path=/", "; HttpOnly", "; Secure", "; SameSite=Strict"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let who = answer.json();
    assert_eq!((&who["id"], &who["role"], &who["sites"]), (&json!(id), &json!("officer"), &json!(["demo"])));
    let cookie = cookie.split(';').next().unwrap();
    // Other cookies beside it do not matter.
    let among = format!("a=b; {cookie}; consent=x");
    api.send("GET", "/v1/sites/demo/export", &[("cookie", &among)], &[]).expect(200);
    // It is stored as a hash, and the password as argon2id.
    let secret = cookie.split_once('=').unwrap().1;
    for file in ["consent.db", "consent.db-wal"] {
        let bytes = std::fs::read(server.data().join(file)).unwrap_or_default();
        for text in [secret, PASSWORD] {
            assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{file}");
        }
    }
    let rows = open_rows(server.data());
    let stored: String =
        rows.query_row("SELECT password FROM console_user WHERE id = ?1", [&id], |row| row.get(0)).unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=47104,t=2,p=1$"), "{stored}");
    let out = |from: &[(&str, &str)]| {
        let mut headers = vec![("cookie", cookie)];
        headers.extend_from_slice(from);
        api.send("DELETE", "/v1/session", &headers, &[])
    };
    let answer = out(&[("origin", ORIGIN)]).expect(204);
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    out(&[("origin", ORIGIN)]).expect(401).problem();
    api.send("GET", "/v1/sites/demo/export", &[("cookie", cookie)], &[]).expect(401).problem();
    assert_eq!(acts_of(&api, &id), ["login", "export", "logout"]);
    let entry = access_log(&api).into_iter().find(|entry| entry["actor"] == *id).unwrap();
    assert_eq!(entry["actor_name"], "ada@gardens.example");
    assert!(!entry["leaf"].to_string().contains(&id), "the leaf holds an HMAC of it");
    check_log(server.data()).unwrap();
}

#[test]
fn a_wrong_password_and_an_unknown_name_look_the_same_and_are_counted() {
    let server = TestServer::start();
    let api = server.api();
    let id = create(&api, "officer", "ada");
    let disabled = create(&api, "officer", "bob");
    send(&api, &api.admin, "PATCH", &format!("/users/{disabled}"), &json!({ "disabled": true })).expect(200);
    let mut texts = Vec::new();
    for (name, password) in [("ada", "wrong password"), ("nobody", PASSWORD), ("bob", PASSWORD), ("a/b", PASSWORD)] {
        texts.push(try_log_in(&api, name, password).expect(401).text());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    // A right one in time starts the count anew.
    log_in(&api, "ada", PASSWORD);
    for name in ["ada", "somebody"] {
        for _ in 0..5 {
            try_log_in(&api, name, "wrong password").expect(401);
        }
        let locked = try_log_in(&api, name, PASSWORD).expect(429);
        locked.problem();
        let wait: u32 = locked.header("retry-after").parse().unwrap();
        assert!((600..=900).contains(&wait), "{wait}");
    }
    assert_eq!(acts_of(&api, &id), ["login", "lock"], "the lock is recorded once");
    let logged = server.logged();
    assert!(!logged.contains("ada") && !logged.contains("wrong password"), "{logged}");
}

/// The work for a name that nobody has is that for one that somebody has: else the time would say which names there are.
#[test]
fn an_unknown_name_takes_as_long_as_a_known_one() {
    let server = TestServer::start();
    let api = server.api();
    for n in 0..3 {
        create(&api, "officer", &format!("known-{n}"));
    }
    let time = |name: String| {
        let start = std::time::Instant::now();
        try_log_in(&api, &name, "wrong password").expect(401);
        start.elapsed()
    };
    // In turns, and the fastest of each, since the machine may be busy; without the work it would be a fiftieth.
    let (known, unknown): (Vec<_>, Vec<_>) =
        (0..9).map(|n| (time(format!("known-{}", n % 3)), time(format!("unknown-{}", n % 3)))).unzip();
    let (known, unknown) = (known.into_iter().min().unwrap(), unknown.into_iter().min().unwrap());
    assert!(unknown * 4 > known && known * 4 > unknown, "{known:?} and {unknown:?}");
}

#[test]
fn a_session_is_used_only_by_pages_of_the_service() {
    let server = TestServer::start();
    let api = server.api();
    create(&api, "admin", "ada");
    let cookie = log_in(&api, "ada", PASSWORD);
    let body = json!({ "role": "backend" }).to_string();
    let host = api.origin().trim_start_matches("http://").to_owned();
    let other_scheme = format!("https://{host}");
    for (what, headers, want) in [
        ("neither", vec![], 403),
        ("same origin", vec![("origin", ORIGIN)], 201),
        // Behind a proxy that ends TLS, the scheme is not known here.
        ("https", vec![("origin", other_scheme.as_str())], 201),
        ("fetched from here", vec![("sec-fetch-site", "same-origin")], 201),
        ("same site", vec![("sec-fetch-site", "same-site"), ("origin", ORIGIN)], 403),
        ("cross-site", vec![("sec-fetch-site", "cross-site"), ("origin", ORIGIN)], 403),
        ("typed into the address bar", vec![("sec-fetch-site", "none")], 403),
        ("said twice", vec![("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")], 403),
        ("another origin", vec![("origin", "https://evil.example")], 403),
        ("no origin to speak of", vec![("origin", "null")], 403),
    ] {
        let mut all = vec![("cookie", &*cookie), JSON];
        all.extend(headers);
        let answer = api.send("POST", "/v1/sites/demo/keys", &all, body.as_bytes());
        assert_eq!(answer.status, want, "{what}: {}", answer.text());
    }
    // Nor do they read, which is recorded in the user's name, from anywhere else.
    for (from, want) in [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)] {
        let headers = [("cookie", &*cookie), ("sec-fetch-site", from)];
        let answer = api.send("GET", "/v1/sites/demo/export", &headers, &[]);
        assert_eq!(answer.status, want, "{from}: {}", answer.text());
    }
    // A bad key never falls back to the session.
    let both = [("cookie", &*cookie), ("authorization", "Bearer x"), ("origin", ORIGIN), JSON];
    api.send("POST", "/v1/sites/demo/keys", &both, body.as_bytes()).expect(401);
    // Nor is anybody logged in by a page of another site.
    let login = json!({ "user": "ada", "password": PASSWORD }).to_string();
    api.send("POST", "/v1/session", &[JSON, ("origin", "https://evil.example")], login.as_bytes()).expect(403);
    // Pages of other origins cannot read what a session could.
    let headers = [("cookie", &*cookie), ("origin", "https://evil.example")];
    let answer = api.send("GET", "/v1/sites/demo/keys", &headers, &[]);
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[test]
fn a_session_ends_when_idle_after_twelve_hours_and_with_its_user() {
    let server = TestServer::start();
    let api = server.api();
    let id = create(&api, "officer", "ada");
    let status = |cookie: &str| api.send("GET", "/v1/sites/demo/notices", &[("cookie", cookie)], &[]).status;
    // A second connection on the server's database, as a command has it.
    let rows = rusqlite::Connection::open(server.data().join("consent.db")).unwrap();
    let minute = 60_000;
    let age = |column: &str, minutes: i64| {
        let at = now().millis() - minutes * minute;
        rows.execute(&format!("UPDATE console_session SET {column} = ?1"), [at]).unwrap();
    };
    for (column, minutes, want) in
        [("used_at", 29, 200), ("used_at", 31, 401), ("created_at", 12 * 60 - 1, 200), ("created_at", 12 * 60 + 1, 401)]
    {
        let cookie = log_in(&api, "ada", PASSWORD);
        age(column, minutes);
        assert_eq!(status(&cookie), want, "{column} {minutes} minutes ago");
    }
    // Being used keeps it alive: the first request wrote down when.
    let cookie = log_in(&api, "ada", PASSWORD);
    age("used_at", 20);
    assert_eq!(status(&cookie), 200);
    let used: i64 = rows.query_row("SELECT max(used_at) FROM console_session", [], |row| row.get(0)).unwrap();
    assert!(now().millis() - used < 5 * minute);
    // Old ones do not stay in the table.
    let count: i64 = rows.query_row("SELECT count(*) FROM console_session", [], |row| row.get(0)).unwrap();
    assert!(count <= 3, "{count}");
    // A new password, disabling and removing end them.
    let user = format!("/users/{id}");
    let cookies = [log_in(&api, "ada", PASSWORD), log_in(&api, "ada", PASSWORD)];
    let admin = &api.admin;
    send(&api, admin, "PATCH", &user, &json!({ "password": "another long one" })).expect(200);
    assert_eq!(cookies.map(|cookie| status(&cookie)), [401, 401]);
    try_log_in(&api, "ada", PASSWORD).expect(401);
    let cookie = log_in(&api, "ada", "another long one");
    // What they may do follows their role and sites at once.
    send(&api, admin, "PATCH", &user, &json!({ "role": "admin" })).expect(200);
    assert_eq!(api.send("GET", "/v1/sites/demo/keys", &[("cookie", &cookie)], &[]).status, 200);
    send(&api, admin, "PATCH", &user, &json!({ "disabled": true })).expect(200);
    assert_eq!(status(&cookie), 401);
    send(&api, admin, "PATCH", &user, &json!({ "disabled": false })).expect(200);
    assert_eq!(status(&cookie), 401, "letting in again brings no session back");
    let cookie = log_in(&api, "ada", "another long one");
    send(&api, admin, "DELETE", &user, &Value::Null).expect(204);
    assert_eq!(status(&cookie), 401);
    send(&api, admin, "DELETE", &user, &Value::Null).expect(404);
    let names: i64 =
        rows.query_row("SELECT count(*) FROM console_user WHERE name = 'ada'", [], |row| row.get(0)).unwrap();
    assert_eq!(names, 0, "the name goes with them");
}

#[test]
fn users_are_made_and_changed_only_as_they_may() {
    let server = TestServer::start();
    let api = server.api();
    let post = |body: Value| send(&api, &api.admin, "POST", "/users", &body);
    for (body, at) in [
        (json!({ "name": "", "role": "officer" }), "/name"),
        (json!({ "name": "two words", "role": "officer" }), "/name"),
        (json!({ "name": "ada", "role": "backend" }), "/role"),
        (json!({ "name": "ada", "role": "root" }), "/role"),
        (json!({ "name": "ada", "role": "officer", "password": "elf letters" }), "/password"),
        (json!({ "name": "ada", "role": "officer", "password": "x".repeat(257) }), "/password"),
        (json!({ "name": "ada", "role": "officer", "sites": [] }), "/sites"),
        (json!({ "name": "ada", "role": "officer", "admin": true }), "/admin"),
    ] {
        let problem = post(body.clone()).expect(422).problem();
        assert_eq!(problem["pointer"], at, "{body}: {problem}");
    }
    let made = post(json!({ "name": "ada", "role": "officer" })).expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let made = made.json();
    log_in(&api, "ada", made["password"].as_str().unwrap());
    post(json!({ "name": "ADA", "role": "officer" })).expect(409).problem();
    let path = format!("/users/{}", made["user"]["id"].as_str().unwrap());
    for bad in [json!({}), json!({ "role": "backend" }), json!({ "password": "short" }), json!({ "sites": ["nope"] })] {
        let status = send(&api, &api.admin, "PATCH", &path, &bad).status;
        assert!(matches!(status, 403 | 422), "{bad}: {status}");
    }
    let list = send(&api, &api.admin, "GET", "/users", &Value::Null).expect(200).text();
    assert!(list.contains("\"ada\"") && !list.contains("argon2"), "{list}");
}

#[test]
fn a_key_turns_without_a_gap() {
    let server = TestServer::start();
    let api = server.api();
    let made = send(&api, &api.admin, "POST", "/keys", &json!({ "role": "officer", "label": "auditor", "days": 9 }));
    let made = made.expect(201).json();
    let (id, first) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let status = |secret: &str| api.get_as(secret, "/v1/sites/demo/notices").status;
    let rotate = |seconds: u32| {
        let body = json!({ "grace_seconds": seconds });
        let answer = send(&api, &api.admin, "POST", &format!("/keys/{id}/rotate"), &body);
        answer.expect(200).json()["secret"].as_str().unwrap().to_owned()
    };
    let second = rotate(60);
    assert_eq!([status(first), status(&second)], [200, 200]);
    // Turning again ends the one before the last, and no grace ends the last.
    let third = rotate(60);
    assert_eq!([status(first), status(&second), status(&third)], [401, 200, 200]);
    let fourth = rotate(0);
    assert_eq!([status(&second), status(&third), status(&fourth)], [401, 401, 200]);
    let too_long = json!({ "grace_seconds": 2_592_001 });
    send(&api, &api.admin, "POST", &format!("/keys/{id}/rotate"), &too_long).expect(422).problem();
    // By command, beside the server.
    let fifth = server.command_ok(&["key", "rotate", id, "--grace-hours", "1"]);
    wait_until("the new secret to open", || status(fifth.trim()) == 200);
    assert_eq!(status(&fourth), 200);
    send(&api, &api.admin, "DELETE", &format!("/keys/{id}"), &Value::Null).expect(204);
    assert_eq!([status(&fourth), status(fifth.trim())], [401, 401]);
    send(&api, &api.admin, "DELETE", &format!("/keys/{id}"), &Value::Null).expect(404);
    send(&api, &api.admin, "POST", &format!("/keys/{id}/rotate"), &json!({ "grace_seconds": 0 })).expect(409);
    let list = send(&api, &api.admin, "GET", "/keys", &Value::Null).expect(200);
    let key = list.json()["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone();
    assert_eq!((&key["label"], &key["role"], &key["sites"]), (&json!("auditor"), &json!("officer"), &json!(["demo"])));
    assert!(key["revoked_at"].is_string() && key["expires_at"].is_string());
    for (body, at) in [
        (json!({ "role": "root" }), "/role"),
        (json!({ "role": "backend", "days": 0 }), "/days"),
        (json!({ "role": "backend", "label": "x".repeat(101) }), "/label"),
        (json!({ "role": "backend", "label": "two\nlines" }), "/label"),
    ] {
        assert_eq!(send(&api, &api.admin, "POST", "/keys", &body).expect(422).problem()["pointer"], at);
    }
    check_log(server.data()).unwrap();
}

#[test]
fn a_notice_is_published_over_http_or_said_what_is_wrong_with_it() {
    let server = TestServer::start();
    let api = server.api();
    let text = include_str!("../../consent-server/notices/demo-notice.toml");
    let draft: Value = serde_json::to_value(toml::from_str::<toml::Value>(text).unwrap()).unwrap();
    let publish = |body: Value| send(&api, &api.admin, "POST", "/notices", &body);
    publish(json!({ "draft": draft })).expect(409).problem();
    let mut bad = draft.clone();
    bad["renew_after_days"] = 4000.into();
    let problem = publish(json!({ "draft": bad, "editorial": true })).expect(422).problem();
    assert_eq!(problem["type"], "/problems/notice-lint");
    let rule = problem["findings"][0]["rule"].as_str().unwrap();
    assert!(rule.starts_with("R-") || rule.starts_with("S-"), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(rule));
    let mut new = draft.clone();
    let category = new["category"].as_array_mut().unwrap().iter_mut().find(|c| c["id"] == "statistics").unwrap();
    category["text"]["en"]["purpose"] =
        "Count which gardening pages are read, and from which links people come.".into();
    let problem = publish(json!({ "draft": new })).expect(422).problem();
    assert_eq!(problem["type"], "/problems/notice-unclassified");
    assert!(problem["changes"][0]["path"].as_str().unwrap().contains("purpose"), "{problem}");
    publish(json!({ "draft": new, "material": ["nothing"] })).expect(422).problem();
    publish(json!({ "draft": new, "material": ["statistics"], "editorial": true })).expect(422).problem();
    publish(json!({ "draft": 1 })).expect(422).problem();
    let done = publish(json!({ "draft": new, "material": ["statistics"] })).expect(201).json();
    assert_eq!(done["version"], 2);
    assert!(done["changes"][0]["before"].is_string());
    // In force at once, in the list, and shown in full.
    assert_eq!(api.get("/v1/sites/demo/notice").expect(200).json()["version"], 2);
    let list = send(&api, &api.officer, "GET", "/notices", &Value::Null).expect(200).json();
    assert_eq!(list["notices"][1]["sha256"], done["sha256"]);
    let shown = send(&api, &api.officer, "GET", "/notices/2", &Value::Null).expect(200).json();
    assert_eq!((&shown["sha256"], &shown["notice"]["version"]), (&done["sha256"], &json!(2)));
    for unknown in ["0", "3", "x", "4294967296"] {
        send(&api, &api.officer, "GET", &format!("/notices/{unknown}"), &Value::Null).expect(404).problem();
    }
}

#[test]
fn settings_are_judged_alike_by_command_and_over_http() {
    let server = TestServer::start();
    let api = server.api();
    let shown = send(&api, &api.admin, "GET", "", &Value::Null).expect(200).json();
    assert_eq!((&shown["id"], &shown["notice"]), (&json!("demo"), &json!(1)));
    assert_eq!(shown["log_key"], server.log_key());
    for origin in ["https://shop.example/", "https://*.example", "HTTPS://shop.example", "shop.example"] {
        let problem = send(&api, &api.admin, "PUT", "", &json!({ "origins": [origin] })).expect(422).problem();
        assert_eq!(problem["pointer"], "/origins", "{origin}");
        assert_eq!(server.command(&["site", "set", "demo", "--origin", origin]).status.code(), Some(2), "{origin}");
    }
    let mut settings = shown["settings"].clone();
    settings["cookie_domain"] = "no domain".into();
    send(&api, &api.admin, "PUT", "", &settings).expect(422).problem();
    settings["cookie_domain"] = Value::Null;
    settings["origins"].as_array_mut().unwrap().push("https://shop.example".into());
    let set = send(&api, &api.admin, "PUT", "", &settings).expect(200).json();
    assert_eq!(set["settings"]["origins"], settings["origins"]);
    let headers = [("origin", "https://shop.example"), JSON];
    let decision = DecisionBody::save(&[]).0.to_string();
    api.send("POST", "/v1/sites/demo/decisions", &headers, decision.as_bytes()).expect(201);
}

#[test]
fn an_officer_finds_one_record_one_person_and_one_act() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let first = DecisionBody::save(&["statistics"]).by(subject);
    api.decide(&first).expect(201);
    let second = DecisionBody::forget().by(subject).after(&first);
    api.decide(&second).expect(201);
    for _ in 0..5 {
        api.decide(&DecisionBody::save(&[])).expect(201);
    }
    let phone = DecisionBody::new("api", "none", &[]).with("source", "phone").with("evidence", "call of Monday");
    api.decide_for(&phone).expect(201);
    let search = |query: &str, headers: &[(&str, &str)]| {
        let key = format!("Bearer {}", api.officer);
        let mut all = vec![("authorization", &*key)];
        all.extend_from_slice(headers);
        api.send("GET", &format!("/v1/sites/demo/audit/records{query}"), &all, &[])
    };
    let ids = |answer: &Value| -> Vec<String> {
        let records = answer["records"].as_array().unwrap();
        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    };
    let subject_text = subject.to_string();
    let theirs = search("", &[("consent-subject", &subject_text)]).expect(200);
    assert_eq!(theirs.header("cache-control"), "no-store");
    let theirs = theirs.json();
    assert_eq!(ids(&theirs), [second.id().to_string(), first.id().to_string()]);
    let one = search(&format!("?id={}", first.id()), &[]).expect(200).json();
    assert_eq!(ids(&one), [first.id().to_string()]);
    let by_phone = search("?method=api", &[]).expect(200).json();
    assert_eq!(by_phone["records"][0]["evidence"], "call of Monday");
    assert!(by_phone["records"][0]["actor"].is_string());
    let found = search("?method=save&kind=decision&limit=2", &[]).expect(200).json();
    assert_eq!(found["records"].as_array().unwrap().len(), 2);
    // The cursor leads through all of them once.
    let mut all = ids(&found);
    let mut next = found["next"].clone();
    while !next.is_null() {
        let page = search(&format!("?method=save&kind=decision&limit=2&before={next}"), &[]).expect(200).json();
        all.extend(ids(&page));
        next = page["next"].clone();
    }
    let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!((all.len(), distinct.len()), (6, 6));
    // A leaf is given as the log has it.
    let leaf = theirs["records"][0]["leaf"].to_string();
    let leaf = Leaf::parse(leaf.as_bytes()).unwrap();
    assert_eq!((leaf.kind, leaf.id), (Kind::Decision, second.id()));
    let tomorrow = consent_core::time::UnixMillis::new(now().millis() + DAY);
    assert_eq!(ids(&search(&format!("?from={tomorrow}"), &[]).expect(200).json()), Vec::<String>::new());
    assert_eq!(ids(&search(&format!("?to={}", days_ago(1)), &[]).expect(200).json()), Vec::<String>::new());
    assert!(ids(&search(&format!("?from={}&to={tomorrow}", days_ago(1)), &[]).expect(200).json()).len() > 10);
    for bad in ["?id=x", "?kind=x", "?method=x", "?from=x", "?limit=0", "?limit=201", "?before=-1", "?fron=1"] {
        search(bad, &[]).expect(400).problem();
    }
    search("", &[("consent-subject", "x")]).expect(400).problem();
    // Each of these was recorded before it was answered, and none names the subject.
    let log = access_log(&api);
    assert_eq!(log[0]["target"], "the access log");
    assert!(log.iter().any(|entry| entry["target"] == format!("record {}", first.id())));
    assert!(log.iter().any(|entry| entry["target"] == "all records of one subject"));
    assert!(!log.iter().any(|entry| entry.to_string().contains(&subject_text)));
    assert!(log.iter().all(|entry| entry["leaf"]["kind"] == "access"));
    let page = send(&api, &api.officer, "GET", "/audit/access?limit=2", &Value::Null).expect(200).json();
    let before = &page["next"];
    let more = send(&api, &api.officer, "GET", &format!("/audit/access?limit=2&before={before}"), &Value::Null);
    assert_eq!(more.expect(200).json()["records"][0], log[1], "the log has grown by the first page's own entry");
    check_log(server.data()).unwrap();
}

#[test]
fn statistics_count_what_the_log_holds() {
    let server = TestServer::choice();
    let api = server.api();
    let subject = new_subject();
    let first = DecisionBody::save(&["statistics"]).by(subject);
    api.decide(&first).expect(201);
    api.decide(&DecisionBody::new("reject-all", "first", &[])).expect(201);
    api.decide(&DecisionBody::new("accept-all", "first", &["statistics", "marketing"]).with("language", "de"))
        .expect(201);
    // Too late to count: it names no predecessor though there is one.
    api.decide(&DecisionBody::save(&["marketing"]).by(subject)).expect(201);
    // Taken over without what the person was shown: it grants nothing, and text without words is none.
    let import = |evidence: Option<&str>| {
        let body = DecisionBody::new("api", "none", &["marketing"]).by(new_subject()).with("source", "import");
        api.decide_for(&evidence.map_or(body.clone(), |text| body.with("evidence", text)))
    };
    assert_eq!(import(None).expect(201).json()["effect"], "unproven");
    for blank in ["", " ", "\u{a0}\n", "\u{200b}", "..."] {
        assert_eq!(import(Some(blank)).expect(422).problem()["pointer"], "/evidence", "{blank:?}");
    }
    let counted = send(&api, &api.officer, "GET", "/statistics", &Value::Null).expect(200).json();
    let days = counted["days"].as_object().unwrap();
    let today = now().to_string()[..10].to_owned();
    // Unless midnight has just passed, all is on one day.
    let day = days.get(&today).filter(|_| days.len() == 1).unwrap_or_else(|| panic!("{counted}"));
    assert_eq!((&day["decisions"], &day["stale"], &day["unproven"]), (&json!(5), &json!(1), &json!(1)));
    assert_eq!(day["methods"], json!({ "save": 2, "reject-all": 1, "accept-all": 1, "api": 1 }));
    assert_eq!(day["layers"], json!({ "settings": 2, "first": 2, "none": 1 }));
    assert_eq!(day["languages"], json!({ "en": 4, "de": 1 }));
    assert_eq!(day["categories"]["statistics"], json!({ "granted": 2, "denied": 3 }));
    assert_eq!(day["categories"]["marketing"], json!({ "granted": 1, "denied": 2 }));
    let ask = |query: &str| send(&api, &api.officer, "GET", &format!("/statistics{query}"), &Value::Null);
    let before = ask(&format!("?to={}", days_ago(1))).expect(200).json();
    assert_eq!((&before["records"], &before["days"]), (&json!(0), &json!({})));
    ask("?from=2020-01-01T00:00:00.000Z").expect(422).problem();
    ask("?from=x").expect(400).problem();
    ask("?from=2020-01-02T00:00:00.000Z&to=2020-01-01T00:00:00.000Z").expect(400).problem();
    assert!(
        access_log(&api).iter().any(|entry| entry["target"].as_str().unwrap_or_default().starts_with("statistics of"))
    );
}

#[test]
fn users_are_looked_after_by_command() {
    let server = TestServer::start();
    let api = server.api();
    let data = server.data().to_str().unwrap();
    let with_input = |args: &[&str], input: &str| {
        let mut child = Command::new(consent_tests::binary())
            .args(args)
            .args(["--data", data])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let create = ["user", "create", "Grace", "--role", "admin", "--site", "demo"];
    assert_eq!(with_input(&create, "too short\n").status.code(), Some(2));
    let made = with_input(&create, "correct horse battery\n");
    assert!(made.status.success() && made.stdout.is_empty(), "{}", String::from_utf8_lossy(&made.stderr));
    wait_until("the server to know her", || try_log_in(&api, "grace", PASSWORD).status == 201);
    assert_eq!(with_input(&create, "correct horse battery\n").status.code(), Some(2), "the name is taken");
    for bad in [
        ["user", "create", "bob", "--role", "backend", "--site", "demo"],
        ["user", "create", "bob", "--role", "officer", "--site", "nowhere"],
        ["user", "create", "b b", "--role", "officer", "--site", "demo"],
    ] {
        assert_eq!(with_input(&bad, "correct horse battery\n").status.code(), Some(2), "{bad:?}");
    }
    let cookie = log_in(&api, "grace", PASSWORD);
    let status = || api.send("GET", "/v1/sites/demo", &[("cookie", &cookie)], &[]).status;
    assert_eq!(status(), 200);
    let new = server.command_ok(&["user", "password", "grace", "--generate"]);
    assert_eq!(new.lines().count(), 1, "the password alone is on the standard output, to be piped");
    assert_eq!(status(), 401);
    wait_until("the new password", || try_log_in(&api, "grace", new.trim()).status == 201);
    let listed = server.command_ok(&["user", "list"]);
    assert!(listed.lines().any(|line| line.contains("\tadmin\tdemo\tgrace\tlive")), "{listed}");
    assert!(!listed.contains("argon2"));
    server.command_ok(&["user", "disable", "grace"]);
    assert!(server.command_ok(&["user", "list"]).contains("disabled"));
    wait_until("her to be kept out", || try_log_in(&api, "grace", new.trim()).status != 201);
    server.command_ok(&["user", "enable", "grace"]);
    server.command_ok(&["user", "remove", "grace"]);
    assert!(!server.command_ok(&["user", "list"]).contains("grace"));
    assert_eq!(server.command(&["user", "remove", "grace"]).status.code(), Some(2));
    let records = api.get_as(&api.officer, "/v1/sites/demo/audit/records?kind=user&limit=200").expect(200).text();
    assert!(!records.contains("grace"), "no name is in the log or beside it");
    check_log(server.data()).unwrap();
    assert_eq!(consent(["user", "--help"]).status.code(), Some(0));
}

/// Sends the head of a request with the first bytes of its body; what is left is sent by what is given back.
fn begin(server: &TestServer, head: &str, body: &str) -> impl FnOnce() -> String + use<> {
    use std::io::Read;
    let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head}\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    let (now, later) = body.split_at(1);
    stream.write_all(now.as_bytes()).unwrap();
    let later = later.to_owned();
    move || {
        stream.write_all(later.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

#[test]
fn a_key_that_is_revoked_while_its_body_comes_makes_nothing() {
    let server = TestServer::start();
    let api = server.api();
    let made = send(&api, &api.admin, "POST", "/keys", &json!({ "role": "admin" })).expect(201).json();
    let (id, secret) = (made["key"]["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let count = || send(&api, &api.admin, "GET", "/keys", &Value::Null).json()["keys"].as_array().unwrap().len();
    let before = count();
    let head = format!("POST /v1/sites/demo/keys HTTP/1.1\r\nauthorization: Bearer {secret}");
    let finish = begin(&server, &head, &json!({ "role": "admin" }).to_string());
    // The head was read and the key let in before it ends.
    std::thread::sleep(std::time::Duration::from_millis(300));
    send(&api, &api.admin, "DELETE", &format!("/keys/{id}"), &Value::Null).expect(204);
    let answer = finish();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(count(), before);
    check_log(server.data()).unwrap();
}

/// Who hangs up gives back a place in the queue only with the memory: else each would take 46 MiB more.
#[cfg(target_os = "linux")]
#[test]
fn logins_that_are_abandoned_take_no_more_memory_than_one() {
    let server = TestServer::start();
    let body = json!({ "user": "nobody", "password": PASSWORD }).to_string();
    for _ in 0..30 {
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        let length = body.len();
        write!(stream, "POST /v1/session HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 250_000, "{peak} kB");
}

#[test]
fn what_a_user_may_see_from_now_on_is_recorded_without_naming_other_sites() {
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
    let both = server.command_ok(&["key", "create", "--role", "admin", "--site", "demo", "--site", "shop"]);
    let both = both.trim();
    wait_until("the new key", || api.get_as(both, "/v1/sites/shop/keys").status == 200);
    let id = create(&api, "officer", "ada");
    let patch = |sites: &[&str]| send(&api, both, "PATCH", &format!("/users/{id}"), &json!({ "sites": sites }));
    patch(&["demo", "shop"]).expect(200);
    patch(&["demo"]).expect(200);
    let told = |site: &str| {
        let path = format!("/v1/sites/{site}/audit/records?kind=user&limit=200");
        let answer = api.get_as(both, &path).expect(200).json();
        let records = answer["records"].as_array().unwrap().iter().rev();
        let targets: Vec<String> = records.map(|record| record["target"].as_str().unwrap().to_owned()).collect();
        targets.into_iter().filter(|target| target.starts_with(&format!("user {id}"))).collect::<Vec<_>>()
    };
    let of = |words: &str| format!("user {id}: {words}");
    assert_eq!(told("shop"), [of("this site added"), of("this site taken")]);
    assert_eq!(told("demo"), [of("other sites"), of("other sites")]);
}
