//! The description of the API: true, complete, and readable without asking another host for anything.

use std::collections::BTreeSet;
use std::path::PathBuf;

use consent_tests::{TestServer, consent};
use serde_json::Value;

/// What the design promises of this issue, by method and path.
const ROUTES: &[(&str, &str)] = &[
    ("get", "/v1/sites/{site}/consent.js"),
    ("get", "/v1/sites/{site}/notice"),
    ("post", "/v1/sites/{site}/decisions"),
    ("get", "/v1/sites/{site}/records"),
    ("get", "/v1/sites/{site}/records/{id}/receipt"),
    ("get", "/v1/sites/{site}/log/checkpoint"),
    ("get", "/v1/sites/{site}/log/tile/{level}/{n}"),
    ("get", "/v1/sites/{site}/log/tile/entries/{n}"),
    ("get", "/v1/sites/{site}/log/consistency"),
    ("get", "/v1/sites/{site}/log/keys"),
    ("get", "/v1/sites/{site}/log/keys.html"),
    ("get", "/v1/sites/{site}/subjects/{subject}/consent"),
    ("post", "/v1/sites/{site}/consent/check"),
    ("put", "/v1/sites/{site}/subjects/{subject}/account"),
    ("post", "/v1/sites/{site}/accounts/consent"),
    ("get", "/v1/sites/{site}/authorize"),
    ("get", "/v1/sites/{site}/export"),
    ("get", "/v1/sites/{site}/settings"),
    ("get", "/v1/sites/{site}/declaration"),
    ("get", "/v1/sites/{site}/banner.html"),
    ("get", "/v1/sites/{site}/settings.html"),
    ("get", "/v1/sites/{site}/declaration.html"),
    ("post", "/v1/sites/{site}/judge"),
    ("get", "/v1/sites/{site}/events"),
    ("get", "/.well-known/gpc.json"),
    ("get", "/healthz"),
    ("get", "/readyz"),
];

fn operations(description: &Value) -> Vec<(String, String, &Value)> {
    let paths = description["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (method.clone(), path.clone(), operation))
        })
        .collect()
}

#[test]
fn the_description_is_openapi_3_1_and_lists_every_route() {
    let server = TestServer::start();
    let answer = server.api().get("/openapi.json").expect(200);
    assert!(answer.header("content-type").starts_with("application/json"));
    let description = answer.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1."), "{}", description["openapi"]);
    for field in ["title", "version", "description"] {
        assert!(description["info"][field].as_str().is_some_and(|text| !text.is_empty()), "info.{field}");
    }
    let listed: BTreeSet<(String, String)> =
        operations(&description).into_iter().map(|(method, path, _)| (method, path)).collect();
    for &(method, path) in ROUTES {
        assert!(listed.contains(&(method.to_owned(), path.to_owned())), "{method} {path} is not in {listed:?}");
    }
    let known = |status: &str| status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    for (method, path, operation) in operations(&description) {
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} has no summary");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().all(|status| known(status)), "{method} {path}");
        // Only what concerns no site cannot go wrong.
        assert!(responses.len() > 1 || !path.contains('{'), "{method} {path}");
        for (status, response) in responses {
            let problem = status.as_str() >= "400";
            let kinds: Vec<&String> =
                response["content"].as_object().into_iter().flat_map(|content| content.keys()).collect();
            assert!(!problem || kinds == ["application/problem+json"], "{method} {path} {status}: {kinds:?}");
        }
        let named: BTreeSet<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let described: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(described, named, "{method} {path}");
        let needs = |what: &str| {
            operation["security"].as_array().is_some_and(|list| list.iter().any(|need| need.get(what).is_some()))
        };
        let secured = needs("key") || needs("session") || (method == "post" && path == "/v1/session");
        assert_eq!(secured, responses.contains_key("401"), "{method} {path}: what needs a key or a session says so");
    }
}

#[test]
fn every_reference_in_the_description_leads_somewhere() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| walk(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let output = consent(["openapi"]);
    let description: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut found = Vec::new();
    walk(&description, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn the_page_for_people_lists_the_same_and_asks_no_other_host() {
    let server = TestServer::start();
    let api = server.api();
    let answer = api.get("/docs").expect(200);
    assert!(answer.header("content-type").starts_with("text/html"));
    let page = answer.text();
    for &(method, path) in ROUTES {
        assert!(page.contains(path), "{path}");
        assert!(page.contains(&method.to_uppercase()));
    }
    for external in ["http://", "https://", "src=", "<script", "url(", "@import", "<iframe", "style="] {
        assert!(!page.contains(external), "{external} is in the page");
    }
    let css = api.get("/docs.css").expect(200).text();
    for external in ["http:", "https:", "url(", "@import"] {
        assert!(!css.contains(external), "{external} is in the style");
    }
    for address in page.split("href=").skip(1) {
        let address = address.trim_start_matches('"');
        assert!(address.starts_with('/') || address.starts_with('#'), "{:?}", &address[..20.min(address.len())]);
        assert!(!address.starts_with("//"));
    }
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
}

#[test]
fn the_committed_description_is_that_of_this_binary() {
    let output = consent(["openapi"]);
    assert!(output.status.success());
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../consent-server/openapi.json"].iter().collect();
    let committed = std::fs::read_to_string(&path).unwrap();
    let same = String::from_utf8(output.stdout).unwrap() == committed;
    assert!(same, "consent-server/openapi.json is stale: target/debug/consent openapi > consent-server/openapi.json");
    let served = TestServer::start().api().get("/openapi.json").expect(200).json();
    assert_eq!(served, serde_json::from_str::<Value>(&committed).unwrap());
}
