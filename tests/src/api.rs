//! The HTTP API as a browser and as a backend use it.

use std::time::Duration;

use consent_core::id::{RecordId, SubjectId};
use consent_core::time::UnixMillis;
use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::{HeaderMap, Request};

use crate::clock::now;

/// Stands for the server's own origin in the headers of [`Api::send`].
pub const ORIGIN: &str = "own origin";

/// A new record id: a UUID of version 7.
pub fn new_id() -> RecordId {
    RecordId::at(now(), &random())
}

/// A new subject.
pub fn new_subject() -> SubjectId {
    SubjectId::from_random(random())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// One header, or nothing. Several of one name are joined by commas, as HTTP has it.
    pub fn header(&self, name: &str) -> String {
        let values: Vec<&str> = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        values.join(", ")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} is not JSON: {}", self.status, self.text()))
    }

    /// The value of the consent cookie in `Set-Cookie`, if one is set; the whole line is in [`Self::header`].
    pub fn cookie(&self) -> Option<String> {
        let line = self.headers.get("set-cookie")?.to_str().ok()?;
        let (name, rest) = line.split_once('=')?;
        assert_eq!(name, "consent", "no other cookie is ever set: {line}");
        Some(rest.split(';').next().unwrap_or_default().to_owned())
    }

    /// The problem that this answer is: RFC 9457, with words that say what is wrong.
    ///
    /// # Panics
    /// If it is none, or is not complete.
    pub fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}: {}", self.status, self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        for field in ["type", "title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {problem}");
        }
        assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/")), "{problem}");
        problem
    }

    /// This answer, if it has that status.
    ///
    /// # Panics
    /// If it has another.
    #[expect(clippy::return_self_not_must_use, reason = "often the status is all that is asked")]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// One client with a connection that is kept.
#[derive(Debug, Clone)]
pub struct Api {
    agent: Agent,
    base: String,
    /// A key of the role backend for the demo.
    pub backend: String,
    /// A key of the role officer for the demo.
    pub officer: String,
    /// A key of the role admin for the demo.
    pub admin: String,
}

impl Api {
    /// The API at this address.
    pub fn new(url: &str, backend: &str, officer: &str, admin: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_mins(1)))
            .build()
            .new_agent();
        let base = url.trim_end_matches('/').to_owned();
        Self { agent, base, backend: backend.to_owned(), officer: officer.to_owned(), admin: admin.to_owned() }
    }

    /// The web origin of the demo's own pages.
    pub fn origin(&self) -> &str {
        &self.base
    }

    /// Sends a request. [`ORIGIN`] as a header's value stands for [`Self::origin`].
    ///
    /// # Panics
    /// If there is no answer.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_send(method, path, headers, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// As [`Self::send`], where there may be no answer.
    ///
    /// # Errors
    /// If the connection fails, or the request is none.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, if *value == ORIGIN { &self.base } else { *value });
        }
        let mut response = if body.is_empty() && method == "GET" {
            self.agent.run(request.body(())?)?
        } else {
            self.agent.run(request.body(body)?)?
        };
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        Ok(Answer { status, headers, body })
    }

    /// GET without a key.
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], &[])
    }

    /// GET without a key, where there may be no answer.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        self.try_send("GET", path, &[], &[])
    }

    /// GET with a key.
    pub fn get_as(&self, key: &str, path: &str) -> Answer {
        self.send("GET", path, &[("authorization", &format!("Bearer {key}"))], &[])
    }

    /// POST of JSON with a key.
    pub fn post_as(&self, key: &str, path: &str, body: &Value) -> Answer {
        let key = format!("Bearer {key}");
        let headers = [("authorization", &*key), ("content-type", "application/json")];
        self.send("POST", path, &headers, body.to_string().as_bytes())
    }

    /// Posts a decision as a page of the demo does.
    pub fn decide(&self, decision: &DecisionBody) -> Answer {
        self.post_decision(&decision.0)
    }

    /// As [`Self::decide`], where the server may be gone.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn try_decide(&self, decision: &DecisionBody) -> Result<Answer, ureq::Error> {
        let headers = [("origin", ORIGIN), ("content-type", "application/json")];
        self.try_send("POST", "/v1/sites/demo/decisions", &headers, decision.0.to_string().as_bytes())
    }

    /// Posts a decision that may be of any shape.
    pub fn post_decision(&self, decision: &Value) -> Answer {
        let headers = [("origin", ORIGIN), ("content-type", "application/json")];
        self.send("POST", "/v1/sites/demo/decisions", &headers, decision.to_string().as_bytes())
    }

    /// Posts a decision on a person's behalf, with the backend key.
    pub fn decide_for(&self, decision: &DecisionBody) -> Answer {
        self.post_as(&self.backend, "/v1/sites/demo/decisions", &decision.0)
    }

    /// The consent object that the backend gets, with `allowed` for this category or service.
    pub fn check(&self, subject: SubjectId, category: &str) -> Value {
        let path = format!("/v1/sites/demo/subjects/{subject}/consent?category={category}");
        self.get_as(&self.backend, &path).expect(200).json()
    }

    /// Whether the backend may.
    ///
    /// # Panics
    /// If the answer says neither.
    pub fn allowed(&self, subject: SubjectId, category: &str) -> bool {
        let object = self.check(subject, category);
        object["allowed"].as_bool().unwrap_or_else(|| panic!("no allowed in {object}"))
    }

    /// Links a subject to an account, with the backend key.
    pub fn link(&self, subject: SubjectId, account: &str) -> Answer {
        let path = format!("/v1/sites/demo/subjects/{subject}/account");
        let key = format!("Bearer {}", self.backend);
        let headers = [("authorization", &*key), ("content-type", "application/json")];
        self.send("PUT", &path, &headers, json!({"account": account}).to_string().as_bytes())
    }

    /// The consent object of an account, with `allowed` for this category or service.
    pub fn account(&self, account: &str, category: &str) -> Value {
        let body = json!({"account": account, "category": category});
        self.post_as(&self.backend, "/v1/sites/demo/accounts/consent", &body).expect(200).json()
    }

    /// What a reverse proxy is told about a visitor's request with this consent cookie and these headers.
    pub fn authorize(&self, cookie: &str, category: &str, headers: &[(&str, &str)]) -> Answer {
        let cookie = format!("theme=dark; consent={cookie}");
        let headers: Vec<_> = headers.iter().copied().chain([("cookie", &*cookie)]).collect();
        self.send("GET", &format!("/v1/sites/demo/authorize?category={category}"), &headers, &[])
    }

    /// Status and body of a subject's own records.
    pub fn records(&self, subject: SubjectId) -> Answer {
        self.send("GET", "/v1/sites/demo/records", &[("consent-subject", &subject.to_string())], &[])
    }

    /// The receipt of a record.
    pub fn receipt(&self, subject: SubjectId, id: RecordId) -> Answer {
        let path = format!("/v1/sites/demo/records/{id}/receipt");
        self.send("GET", &path, &[("consent-subject", &subject.to_string())], &[])
    }
}

/// The body of a decision, as a page sends it. Each has an id of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionBody(pub Value);

impl DecisionBody {
    /// A decision on notice version 1, in English, now.
    pub fn new(method: &str, layer: &str, granted: &[&str]) -> Self {
        Self(json!({
            "id": new_id().to_string(),
            "notice": 1,
            "language": "en",
            "layer": layer,
            "method": method,
            "granted": granted,
            "decided_at": now().to_string(),
        }))
    }

    /// Switches saved in the settings.
    pub fn save(granted: &[&str]) -> Self {
        Self::new("save", "settings", granted)
    }

    /// "Forget my settings".
    pub fn forget() -> Self {
        Self::new("forget", "settings", &[])
    }

    /// By a subject.
    #[must_use]
    pub fn by(self, subject: SubjectId) -> Self {
        self.with("subject", subject.to_string())
    }

    /// Made by a browser whose last known decision was this.
    #[must_use]
    pub fn after(self, prev: &Self) -> Self {
        self.with("prev", prev.id().to_string())
    }

    /// Decided at this time, as claimed.
    #[must_use]
    pub fn at(self, time: UnixMillis) -> Self {
        self.with("decided_at", time.to_string())
    }

    /// With a field of this value.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }

    /// Without a field.
    ///
    /// # Panics
    /// If it was not there.
    #[must_use]
    pub fn without(mut self, field: &str) -> Self {
        let removed = self.0.as_object_mut().and_then(|fields| fields.remove(field));
        assert!(removed.is_some(), "there was no {field}");
        self
    }

    /// Its id.
    ///
    /// # Panics
    /// If it has none.
    pub fn id(&self) -> RecordId {
        RecordId::parse(self.0["id"].as_str().unwrap_or_default()).expect("built with an id")
    }
}
