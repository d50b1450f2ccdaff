//! A consent service that says what it is told: the notice, the feed and the check, as the API describes them.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use consent_core::id::SubjectId;
use serde_json::{Value, json};

#[derive(Default)]
struct State {
    version: u32,
    since: u32,
    granted: HashMap<SubjectId, Vec<String>>,
    events: Vec<Value>,
    /// What cursors begin with; others are not known.
    age: u32,
    feed_fails: bool,
    checks_take: Duration,
    checks: u32,
    polls: u32,
    stopped: bool,
    streams: Vec<TcpStream>,
}

/// Ends when it is dropped.
pub(crate) struct Service {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new((Mutex::new(State { version: 1, since: 1, ..State::default() }), Condvar::new()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let mut state = shared.0.lock().unwrap();
                if state.stopped {
                    return;
                }
                state.streams.push(stream.try_clone().unwrap());
                drop(state);
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.0.lock().unwrap());
        self.state.1.notify_all();
    }

    pub(crate) fn grant(&self, subject: SubjectId, ids: &[&str]) {
        self.change(|state| {
            state.granted.insert(subject, ids.iter().map(|id| (*id).to_owned()).collect());
        });
    }

    pub(crate) fn deny(&self, subject: SubjectId) {
        self.change(|state| {
            state.granted.remove(&subject);
        });
    }

    pub(crate) fn event(&self, kind: &str, subject: SubjectId) {
        self.change(|state| {
            let cursor = format!("{}-{}", state.age, state.events.len() + 1);
            state.events.push(json!({
                "cursor": cursor, "id": cursor, "type": kind, "subject": subject.to_string(),
                "at": "2026-01-31T09:30:00.000Z", "granted": [], "denied": ["statistics"], "notice": state.version,
            }));
        });
    }

    pub(crate) fn raw_event(&self, json: &str) {
        self.change(|state| state.events.push(serde_json::from_str(json).unwrap()));
    }

    pub(crate) fn publish(&self, version: u32, since: u32) {
        self.change(|state| (state.version, state.since) = (version, since));
    }

    pub(crate) fn lose_cursors(&self) {
        self.change(|state| {
            state.age += 1;
            state.events.clear();
        });
    }

    pub(crate) fn feed_fails(&self, fails: bool) {
        self.change(|state| state.feed_fails = fails);
    }

    pub(crate) fn checks_take(&self, long: Duration) {
        self.change(|state| state.checks_take = long);
    }

    pub(crate) fn checks(&self) -> u32 {
        self.state.0.lock().unwrap().checks
    }

    pub(crate) fn polls(&self) -> u32 {
        self.state.0.lock().unwrap().polls
    }

    /// Ends as a process does: what is open is cut, and nobody listens any more.
    pub(crate) fn stop(&mut self) {
        self.change(|state| {
            state.stopped = true;
            for stream in state.streams.drain(..) {
                drop(stream.shutdown(Shutdown::Both));
            }
        });
        // Wakes the listener, which then sees that it has to end.
        drop(TcpStream::connect(self.address));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(mut stream: &TcpStream, state: &(Mutex<State>, Condvar)) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let (mut authorized, mut cookie) = (false, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            authorized |= line.trim().eq_ignore_ascii_case("authorization: bearer ck_key");
            if let Some(value) = line.trim().strip_prefix("cookie: consent=") {
                value.clone_into(&mut cookie);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let target = first.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: HashMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let (status, body) = match path {
            "/v1/sites/shop/authorize" => (authorize(&query, &cookie, state), Value::Null),
            _ => answer(path, &query, authorized, state),
        };
        let body = if status == 204 { String::new() } else { body.to_string() };
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(path: &str, query: &HashMap<&str, &str>, authorized: bool, shared: &(Mutex<State>, Condvar)) -> (u16, Value) {
    let (lock, changed) = shared;
    match path.strip_prefix("/v1/sites/shop/").unwrap_or_default() {
        "notice" => (200, notice(&lock.lock().unwrap())),
        _ if !authorized => (401, json!({})),
        "events" => {
            let after = query["after"];
            let until = Instant::now() + Duration::from_secs(query["wait"].parse().unwrap());
            let mut state = lock.lock().unwrap();
            state.polls += 1;
            loop {
                let age = state.age;
                let place = match after.split_once('-') {
                    _ if state.feed_fails => return (500, json!({})),
                    None if after == "now" => {
                        return (
                            200,
                            json!({"events": [], "next": format!("{age}-{}", state.events.len()), "more": false}),
                        );
                    }
                    Some((of, place)) if of.parse() == Ok(age) => place.parse::<usize>().unwrap(),
                    _ => return (422, json!({})),
                };
                let left = until.saturating_duration_since(Instant::now());
                if place < state.events.len() || left.is_zero() {
                    // One at a time, so that "more" is met too.
                    let events: Vec<&Value> = state.events[place..].iter().take(1).collect();
                    let next = place + events.len();
                    let more = next < state.events.len();
                    return (200, json!({"events": events, "next": format!("{age}-{next}"), "more": more}));
                }
                state = changed.wait_timeout(state, left).unwrap().0;
                if state.stopped {
                    return (503, json!({}));
                }
            }
        }
        path => panic!("nobody asks for {path}"),
    }
}

/// The records' part of the answer: what the cookie grants is for the tests of the real service.
fn authorize(query: &HashMap<&str, &str>, cookie: &str, (lock, _): &(Mutex<State>, Condvar)) -> u16 {
    let subject = SubjectId::from_base64url(cookie.split('.').nth(3).unwrap_or_default()).unwrap();
    let mut state = lock.lock().unwrap();
    state.checks += 1;
    let take = state.checks_take;
    let granted = state.granted.get(&subject).is_some_and(|ids| ids.iter().any(|id| id == query["category"]));
    drop(state);
    std::thread::sleep(take);
    if granted { 204 } else { 403 }
}

fn notice(state: &State) -> Value {
    json!({
        "site": "shop", "version": state.version, "renew_after_days": 180, "language": "en",
        "categories": [
            {"id": "functional", "necessary": true, "signals": false, "since": 1, "name": "Functional", "services": []},
            {"id": "statistics", "necessary": false, "signals": false, "since": state.since, "services": [{"id": "counter", "since": 1}]},
        ],
    })
}
