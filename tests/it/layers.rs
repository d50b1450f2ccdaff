//! Pages and forms for browsers without scripts, the layers as HTML, and the judge for pages without WebAssembly.

use consent_core::cookie::Cookie;
use consent_tests::{Answer, Api, DecisionBody, TestServer, log_size, new_subject};
use serde_json::Value;

const DECISIONS: &str = "/v1/sites/demo/decisions";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn post(api: &Api, body: &str, more: &[(&str, &str)]) -> Answer {
    let origin = api.origin().to_owned();
    let page = format!("{origin}/soil.html");
    let mut headers = vec![FORM, ("origin", &*origin), ("referer", &*page)];
    headers.extend(more);
    api.send("POST", DECISIONS, &headers, body.as_bytes())
}

fn leaves(api: &Api, cookie: &Cookie) -> Vec<Value> {
    let records = api.records(cookie.subject.unwrap()).json();
    records["records"].as_array().unwrap().iter().map(|record| record["leaf"].clone()).collect()
}

#[test]
fn a_form_is_recorded_and_leads_back_to_its_page() {
    let server = TestServer::choice();
    let api = server.api();
    for (fields, granted) in [
        ("layer=first&method=reject-all", ""),
        ("layer=first&method=accept-all", "marketing~statistics"),
        ("layer=settings&method=save&granted=statistics", "statistics"),
        ("layer=settings&method=save", ""),
        // The switches are sent with every button of a form; only Save means them.
        ("layer=settings&method=reject-all&granted=statistics", ""),
    ] {
        let answer = post(&api, &format!("notice=1&language=en&{fields}"), &[]).expect(303);
        assert_eq!(answer.header("location"), format!("{}/soil.html", api.origin()), "{fields}");
        let cookie = Cookie::parse(&answer.cookie().unwrap()).unwrap();
        let ids: Vec<_> = cookie.granted.iter().map(ToString::to_string).collect();
        assert_eq!(ids.join("~"), granted, "{fields}");
        assert_eq!(cookie.subject.is_some(), !granted.is_empty(), "{fields}: who refuses carries no ID");
        if let Some(subject) = cookie.subject {
            assert!(api.allowed(subject, "statistics"), "{fields}");
        }
    }
}

#[test]
fn a_form_of_someone_known_continues_what_they_chose() {
    let server = TestServer::choice();
    let api = server.api();
    let granted = post(&api, "notice=1&language=en&layer=first&method=accept-all", &[]).expect(303).cookie().unwrap();
    let cookies = format!("other=1; consent={granted}");
    let page = api.send("GET", "/v1/sites/demo/settings.html", &[("cookie", &cookies)], b"").expect(200).text();
    let cookie = Cookie::parse(&granted).unwrap();
    assert!(page.contains(&cookie.subject.unwrap().to_string()), "the consent ID is shown");
    assert_eq!(page.matches("checked").count(), 3, "necessary, and both that were granted");
    let prev = page.split("name=\"prev\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let save = format!("notice=1&language=en&layer=settings&method=save&granted=marketing&prev={prev}");
    let after = post(&api, &save, &[("cookie", &cookies)]).expect(303).cookie().unwrap();
    let after = Cookie::parse(&after).unwrap();
    assert_eq!(after.subject, cookie.subject);
    assert!(!api.allowed(cookie.subject.unwrap(), "statistics") && api.allowed(cookie.subject.unwrap(), "marketing"));
    let forgotten = post(&api, "notice=1&language=en&layer=settings&method=forget", &[("cookie", &cookies)]);
    assert!(forgotten.expect(303).header("set-cookie").contains("Max-Age=0"));
    assert_eq!(api.check(cookie.subject.unwrap(), "marketing")["status"], "forgotten");
    let leaves = leaves(&api, &cookie);
    assert_eq!(
        leaves.iter().map(|leaf| leaf["method"].as_str().unwrap()).collect::<Vec<_>>(),
        ["accept-all", "save", "forget"]
    );
}

#[test]
fn a_signal_is_said_and_recorded_without_scripts() {
    let server = TestServer::choice();
    let api = server.api();
    for (signal, hidden) in
        [(None, true), (Some(("sec-gpc", "1")), false), (Some(("dnt", "1")), false), (Some(("dnt", "0")), true)]
    {
        let headers: Vec<_> = signal.into_iter().collect();
        let html = api.send("GET", "/v1/sites/demo/banner.html?lang=en", &headers, b"").expect(200).text();
        assert_eq!(html.contains("class=\"signal\" hidden"), hidden, "{signal:?}");
    }
    let body = "notice=1&language=en&layer=first&method=accept-all";
    let cookie = post(&api, body, &[("sec-gpc", "1")]).expect(303).cookie().unwrap();
    let cookie = Cookie::parse(&cookie).unwrap();
    assert_eq!(leaves(&api, &cookie)[0]["signals"], serde_json::json!({"dnt": false, "gpc": true, "said": true}));
}

#[test]
fn what_a_form_must_not_do_is_refused_and_changes_nothing() {
    let server = TestServer::choice();
    let api = server.api();
    let before = log_size(server.data());
    let good = "notice=1&language=en&layer=first";
    for (body, status, place) in [
        (format!("{good}&method=close&granted=statistics&granted=statistics&x=1"), 422, "/x"),
        (format!("{good}&method=save&method=save"), 422, "/method"),
        (format!("{good}&method=agree"), 422, "/method"),
        (good.to_owned(), 422, "/method"),
        (format!("{good}&method=save&granted=video"), 422, "/granted"),
        (format!("{good}&method=save&granted=Not%20an%20id"), 422, "/granted"),
        (format!("{good}&method=save{}", "&granted=statistics".repeat(257)), 422, "/granted"),
        ("notice=9&language=en&layer=first&method=reject-all".to_owned(), 422, "/notice"),
        ("notice=one&language=en&layer=first&method=reject-all".to_owned(), 422, "/notice"),
        ("notice=1&language=fr&layer=first&method=reject-all".to_owned(), 422, "/language"),
        (format!("{good}&method=save&prev=x"), 422, "/prev"),
        (format!("{good}&method=save&x={}", "y".repeat(17_000)), 413, ""),
    ] {
        let problem = post(&api, &body, &[]).expect(status).problem();
        if !place.is_empty() {
            assert_eq!(problem["pointer"].as_str().unwrap_or_default(), place, "{body}: {problem}");
        }
    }
    let foreign = api.send(
        "POST",
        DECISIONS,
        &[FORM, ("origin", "https://evil.example")],
        format!("{good}&method=reject-all").as_bytes(),
    );
    foreign.expect(403);
    let none = api.send("POST", DECISIONS, &[FORM], format!("{good}&method=reject-all").as_bytes());
    none.expect(403);
    assert_eq!(log_size(server.data()), before);
}

#[test]
fn nobody_is_sent_to_another_site() {
    let server = TestServer::choice();
    let api = server.api();
    for back in ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/soil.html", ""] {
        let body = format!("notice=1&language=en&layer=first&method=reject-all&back={back}");
        let location = post(&api, &body, &[]).expect(303).header("location");
        assert_eq!(location, format!("{}/soil.html", api.origin()), "{back}");
    }
    let body = "notice=1&language=en&layer=first&method=reject-all";
    let answer = post(&api, body, &[("referer", "https://evil.example/")]);
    // Two lines of Referer are none that can be trusted; whatever is read, it is not the foreign one.
    assert!(!answer.header("location").contains("evil"));
}

#[test]
fn the_first_layer_is_there_only_for_who_has_something_to_decide() {
    let server = TestServer::choice();
    let api = server.api();
    let get =
        |cookie: &str| api.send("GET", "/v1/sites/demo/banner.html?lang=de", &[("cookie", cookie)], b"").expect(200);
    let asked = get("a=b");
    assert!(asked.text().starts_with("<section data-consent=\"banner\" lang=\"de\" dir=\"ltr\""));
    assert_eq!(asked.header("cache-control"), "private, no-store");
    assert!(asked.header("vary").contains("Cookie"));
    let subject = new_subject();
    let cookie = api.decide(&DecisionBody::save(&["statistics"]).by(subject)).expect(201).cookie().unwrap();
    assert_eq!(get(&format!("consent={cookie}")).text(), "");
    assert_ne!(get("consent=yes").text(), "", "what cannot be read is no choice");
    for (query, want) in
        [("style=link", "<link rel=\"stylesheet\" href=\"/assets/"), ("nonce=abc%2B1", "<style nonce=\"abc+1\">")]
    {
        let html = api.get(&format!("/v1/sites/demo/banner.html?{query}")).expect(200).text();
        assert!(html.contains(want), "{query}");
    }
    api.get("/v1/sites/demo/banner.html?nonce=%22%3E").expect(400);
}

#[test]
fn the_declaration_names_everything_that_the_notice_does() {
    let server = TestServer::choice();
    let api = server.api();
    let notice = api.get("/v1/sites/demo/notice?lang=de").expect(200).json();
    let page = api.get("/v1/sites/demo/declaration.html?lang=de").expect(200).text();
    let part = api.get("/v1/sites/demo/declaration.html?lang=de&fragment").expect(200).text();
    assert!(page.starts_with("<!doctype html>") && part.starts_with("<section"));
    // A page of its own has headings that begin higher.
    assert!(page.contains("<h2>") && part.contains("<h3>") && !part.contains("<h2>"));
    // The controller's lines keep the page's edge, whatever is written in them.
    assert!(part.contains(&format!("<div><bdi>{}</bdi></div>", notice["controller"]["name"].as_str().unwrap())));
    let tree = api.get("/v1/sites/demo/declaration?lang=de").expect(200).text();
    for category in notice["categories"].as_array().unwrap() {
        for text in ["name", "purpose", "data", "recipients", "retention"] {
            let text = category[text].as_str().unwrap();
            assert!(part.contains(text) && tree.contains(text), "{text}");
        }
        for service in category["services"].as_array().unwrap() {
            for cookie in service["cookies"].as_array().unwrap() {
                for text in ["name", "lifetime", "purpose"] {
                    assert!(part.contains(cookie[text].as_str().unwrap()), "{cookie}");
                }
            }
        }
    }
}

#[test]
fn the_judge_answers_as_the_widget_does_and_keeps_nothing() {
    let server = TestServer::choice();
    let api = server.api();
    let before = log_size(server.data());
    let lines =
        "n 1 180 0 0 1795504832000\nc functional 1 0 1\nc statistics 0 0 1\nk consent consent=1.1.1795504800.-..";
    let answer =
        api.send("POST", "/v1/sites/demo/judge", &[("content-type", "text/plain")], lines.as_bytes()).expect(200);
    assert_eq!(answer.text(), consent_wasm::judge(lines));
    assert_eq!(answer.header("cache-control"), "no-store");
    api.send("POST", "/v1/sites/nowhere/judge", &[], b"").expect(404);
    api.send("POST", "/v1/sites/demo/judge", &[], &[0xff]).expect(422);
    api.send("POST", "/v1/sites/demo/judge", &[], &vec![b'x'; 20_000]).expect(413);
    assert_eq!(log_size(server.data()), before);
}

#[test]
fn global_privacy_control_is_said_to_be_honoured() {
    let support = TestServer::start().api().get("/.well-known/gpc.json").expect(200).json();
    assert_eq!(support["gpc"], true);
    assert_eq!(support["lastUpdate"].as_str().unwrap().len(), "2026-11-24".len());
}
