//! The body of a decision, as JSON from a page, as JSON with a key, and as a form.
//!
//! In an input `$id`, `$subject` and `$last` stand for a new record, a new subject and the last decision that was accepted, so that what
//! is tried is not always the repetition of the same id.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use consent_core::cookie::Cookie;
use consent_core::id::{ChoiceId, RecordId, SubjectId};
use consent_core::outline::Outline;
use serde_json::Value;

use super::Target;
use super::server::{self, Answer, ORIGIN, Server};

pub(super) static TARGET: Target = Target {
    name: "decision",
    check,
    words: &[
        "$id",
        "$subject",
        "$last",
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
        "gpc",
        "dnt",
        "said",
        "first",
        "settings",
        "placeholder",
        "none",
        "page",
        "accept-all",
        "reject-all",
        "save",
        "close",
        "forget",
        "signal",
        "agent",
        "api",
        "statistics",
        "marketing",
        "embeds",
        "functional",
        "phone",
        "paper",
        "import",
        "en",
        "de",
        "back",
        "https://gardens.example/",
        "2026-01-01T12:00:00.000Z",
        "9999-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00.000Z",
    ],
    longest: 20 << 10,
    runs: 3_000,
    memory: (64 << 20, 64),
};

#[derive(Default)]
struct Known {
    last: String,
    /// What each subject was ever granted or asked for.
    named: BTreeMap<String, BTreeSet<String>>,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::default();
}

fn check(input: &[u8]) -> bool {
    server::with(|server| {
        KNOWN.with_borrow_mut(|known| {
            if server.requests() == 0 {
                *known = Known::default();
            }
            let key = format!("Bearer {}", server.keys[0]);
            let ways = [
                ("application/json", "origin", ORIGIN),
                ("text/plain", "authorization", &key),
                ("application/x-www-form-urlencoded", "origin", ORIGIN),
            ];
            ways.map(|(kind, name, value)| {
                let body = filled(input, server.requests(), &known.last);
                let request = Request::post("/v1/sites/demo/decisions")
                    .header("content-type", kind)
                    .header(name, value)
                    .body(Body::from(body.clone()))
                    .expect("these headers are valid");
                let answer = server.ask(request);
                judge(server, &body, &answer, known)
            })
            .contains(&true)
        })
    })
}

fn filled(input: &[u8], number: u64, last: &str) -> Vec<u8> {
    // Only what is text holds a placeholder; the rest is sent as it is.
    let Ok(text) = core::str::from_utf8(input) else { return input.to_vec() };
    let mut random = [0xa5; 16];
    random[..8].copy_from_slice(&number.to_be_bytes());
    let id = RecordId::from_random(random).to_string();
    let last = if last.is_empty() { &id } else { last };
    let text = text.replace("$id", &id);
    text.replace("$subject", &SubjectId::from_random(random).to_string()).replace("$last", last).into_bytes()
}

/// Whether it was accepted; then it claims no more than it may.
fn judge(server: &Server, body: &[u8], answer: &Answer, known: &mut Known) -> bool {
    match answer.status {
        StatusCode::OK | StatusCode::CREATED => {}
        StatusCode::SEE_OTHER => {
            let to = answer.headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or_default();
            let own = to.starts_with(&format!("{ORIGIN}/")) || to == ORIGIN || to.starts_with("/v1/sites/demo/");
            assert!(own, "a form leads nowhere else: {to}");
            return true;
        }
        status => {
            assert!(status.is_client_error(), "{status}");
            return false;
        }
    }
    let said: Value = serde_json::from_slice(body).expect("what is accepted is JSON");
    let decided: Value = serde_json::from_slice(&answer.body).expect("the answer is JSON");
    let outline = &server.outline;
    assert_eq!(said["notice"], outline.version, "there is one version");
    let granted = said["granted"].as_array().expect("a list is accepted");
    let named = known.named.entry(decided["subject"].to_string()).or_default();
    for id in granted {
        let id = id.as_str().expect("a list of texts is accepted");
        assert!(is_known(outline, id), "{id:?} is not in the notice, and was accepted");
        named.insert(id.to_owned());
    }
    let holds = decided["consent"]["categories"].as_object().expect("the answer says what holds");
    for (id, answer) in holds {
        assert!(is_known(outline, id), "{id:?} holds and is not in the notice");
        let category = id.split(':').next().unwrap_or_default();
        let necessary = outline.category(category).is_some_and(|category| category.necessary);
        let asked = named.contains(id) || named.contains(category);
        assert!(answer != "granted" || necessary || asked, "{id} is granted, and nobody granted it: {decided}");
    }
    cookie(server, answer, holds);
    decided["id"].as_str().expect("the answer names the record").clone_into(&mut known.last);
    true
}

fn is_known(outline: &Outline, id: &str) -> bool {
    ChoiceId::parse(id).is_ok_and(|choice| outline.listed(&choice).is_some())
}

/// The cookie that is set can be read, and grants nothing that does not hold.
fn cookie(server: &Server, answer: &Answer, holds: &serde_json::Map<String, Value>) {
    let Some(set) = answer.headers.get("set-cookie") else { return };
    let set = set.to_str().expect("a cookie is ASCII");
    let value = set.strip_prefix("consent=").and_then(|rest| rest.split(';').next()).expect("it has its name");
    if value.is_empty() {
        return;
    }
    let cookie = Cookie::parse(value).expect("what is set can be read");
    for id in &cookie.granted {
        let holds = |id: &str| holds.get(id).is_some_and(|answer| answer == "granted");
        // What was granted too long ago is in the cookie with its date, and no longer counts.
        let counts = cookie.grants(&server.outline, id, server.now(), false);
        assert!(!counts || holds(id.as_str()) || holds(id.category()), "{cookie} grants what does not hold: {id}");
    }
}
