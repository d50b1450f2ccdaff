//! The backends that adopters copy, each beside the real service: `examples/axum`, `examples/node`, `examples/python`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use consent_core::id::SubjectId;
use consent_tests::{Api, DecisionBody, Demo, TestServer, example, new_subject, now, wait_until};

/// What an acknowledged revoke may take to be heeded by who follows the feed, with what a busy machine adds.
const HEEDED_WITHIN: Duration = Duration::from_secs(10 + 10);

const GPC: (&str, &str) = ("sec-gpc", "1");
const DNT: (&str, &str) = ("dnt", "1");

#[test]
fn axum_serves_only_what_was_granted() {
    serves_only_what_was_granted(Command::new(example("axum")));
}

#[test]
fn node_serves_only_what_was_granted() {
    let mut command = Command::new("node");
    command.arg(root("examples/node/server.mjs")).env("CONSENT_CORE", core());
    serves_only_what_was_granted(command);
}

#[test]
fn python_serves_only_what_was_granted() {
    let mut command = Command::new("python3");
    command.arg("-B").arg(root("examples/python/server.py"));
    serves_only_what_was_granted(command);
}

/// An example, running. Killed when dropped.
struct Backend {
    child: Child,
    api: Api,
}

impl Backend {
    fn start(mut command: Command, service: &Api) -> Self {
        let name = command.get_program().display().to_string();
        let mut child = command
            .env("CONSENT_SERVICE", service.origin())
            .env("CONSENT_SITE", "demo")
            .env("CONSENT_KEY", &service.backend)
            .env_remove("PORT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{name} cannot be started: {error} (`make setup-test` installs what is missing)")
            });
        let stdout = child.stdout.take().unwrap();
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            drop(BufReader::new(stdout).read_line(&mut line));
            drop(sender.send(line));
        });
        let line = receiver.recv_timeout(Duration::from_mins(1)).unwrap_or_default();
        let backend = Self { child, api: Api::new(line.trim(), "", "", "") };
        assert!(line.starts_with("http://127.0.0.1:"), "{name} said {line:?}");
        backend
    }

    /// The status of a page and what the page for everybody says.
    fn ask(&self, path: &str, cookie: &str, signal: Option<(&str, &str)>) -> (u16, String) {
        let mut headers = vec![("cookie", cookie)];
        headers.extend(signal);
        headers.retain(|(_, value)| !value.is_empty());
        let answer = self.api.send("GET", path, &headers, &[]);
        if answer.status == 403 {
            assert_eq!(answer.problem()["type"], "/problems/no-consent");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        let page = self.api.send("GET", "/", &headers, &[]).expect(200).text();
        (answer.status, page)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A visitor who makes this choice, and the cookie that the service answers with.
fn visitor(service: &Api, granted: &[&str]) -> (SubjectId, DecisionBody, String) {
    let subject = new_subject();
    let decision = DecisionBody::save(granted).by(subject);
    let cookie = service.decide(&decision).expect(201).cookie().unwrap();
    (subject, decision, format!("theme=dark; consent={cookie}"))
}

fn serves_only_what_was_granted(command: Command) {
    let mut server = TestServer::choice();
    let service = server.api();
    let backend = Backend::start(command, &service);
    let (on, off) = ("statistics: on".to_owned(), "statistics: off".to_owned());

    let (subject, _, granted) = visitor(&service, &["statistics", "marketing"]);
    let (_, _, refused) = visitor(&service, &[]);
    let (other, decision, only_marketing) = visitor(&service, &["marketing"]);
    // The first thing that is granted shows that the backend has read the notice.
    wait_until("the backend to know the notice", || backend.ask("/statistics", &granted, None).0 == 200);

    let doubled = format!("{granted}; {}", &only_marketing["theme=dark; ".len()..]);
    let forged = format!("consent=1.1.{}.{}.statistics.", now().seconds(), new_subject().to_base64url());
    let nobody = format!("consent=1.1.{}.-.statistics.", now().seconds());
    for (what, path, cookie, signal, want) in [
        ("granted", "/statistics", &*granted, None, (200, &on)),
        ("granted, too", "/marketing", &granted, None, (200, &on)),
        ("GPC, which marketing follows", "/marketing", &granted, Some(GPC), (403, &on)),
        ("DNT", "/marketing", &granted, Some(DNT), (403, &on)),
        ("GPC, which statistics do not", "/statistics", &granted, Some(GPC), (200, &on)),
        ("no cookie", "/statistics", "", None, (403, &off)),
        ("refused", "/statistics", &refused, None, (403, &off)),
        ("another one granted", "/statistics", &only_marketing, None, (403, &off)),
        ("that one", "/marketing", &only_marketing, None, (200, &off)),
        ("two cookies that differ", "/statistics", &doubled, None, (403, &off)),
        ("nonsense", "/statistics", "consent=statistics", None, (403, &off)),
        ("of a subject that the service does not know", "/statistics", &forged, None, (403, &off)),
        ("granted for nobody", "/statistics", &nobody, None, (403, &off)),
    ] {
        let (status, page) = backend.ask(path, cookie, signal);
        assert_eq!((status, &page), want, "{what}");
    }

    // Revoked elsewhere: this browser's cookie still says what it said.
    revoke(&service, subject);
    denied_in_time("the revoke", &backend, &granted);
    assert_eq!(backend.ask("/marketing", &granted, None).0, 403);

    // Refused on another device of the same account.
    let (phone, first, on_phone) = visitor(&service, &["statistics"]);
    let (laptop, _, on_laptop) = visitor(&service, &["statistics"]);
    for device in [phone, laptop] {
        service.link(device, "a customer").expect(204);
    }
    assert_eq!(backend.ask("/statistics", &on_laptop, None).0, 200);
    service.decide(&DecisionBody::save(&[]).by(phone).after(&first)).expect(201);
    let begin = Instant::now();
    for cookie in [&on_phone, &on_laptop] {
        wait_until("the account's refusal to be heeded", || backend.ask("/statistics", cookie, None).0 == 403);
    }
    assert!(begin.elapsed() < HEEDED_WITHIN, "{:?}", begin.elapsed());

    // Granted anew, on the device itself.
    let more = DecisionBody::save(&["statistics"]).by(other).after(&decision);
    let cookie = service.decide(&more).expect(201).cookie().unwrap();
    let cookie = format!("consent={cookie}");
    wait_until("the grant to be heeded", || backend.ask("/statistics", &cookie, None) == (200, on.clone()));

    // The service goes away: nothing is granted any more, and the page is there still.
    server.kill();
    denied_in_time("the service's absence", &backend, &cookie);
}

/// A person tells whoever has the backend's key that they revoke everything.
fn revoke(service: &Api, subject: SubjectId) {
    let told = DecisionBody::new("api", "none", &[]).with("source", "phone").with("evidence", "called");
    service.decide_for(&told.by(subject)).expect(201);
}

/// What has just happened is heeded soon enough, though this cookie still grants what it granted.
fn denied_in_time(what: &str, backend: &Backend, cookie: &str) {
    let begin = Instant::now();
    wait_until(what, || backend.ask("/statistics", cookie, None) == (403, "statistics: off".to_owned()));
    assert!(begin.elapsed() < HEEDED_WITHIN, "{what}: {:?}", begin.elapsed());
}

/// A service that stops, comes back, and comes back once more from a back-up that ends before the follower's place in the feed. The
/// backend runs through all of it.
#[test]
fn axum_recovers_with_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let (data, saved) = (folder.path().join("data"), folder.path().join("saved"));
    let demo = Demo::default().preset("choice");
    let mut server = demo.clone().data(&data).start();
    // Each run of the demo has keys of its own; this one outlives them.
    let key = server.command_ok(&["key", "create", "--role", "backend", "--site", "demo", "--label", "a backend"]);
    let (origin, address) = (server.api().origin().to_owned(), server.address());
    // Over a new connection: those to a server that has ended are of no use.
    let service = || Api::new(&origin, key.trim(), "", "");
    let (subject, _, cookie) = visitor(&service(), &["statistics"]);
    assert!(server.terminate().success());
    copy(&data, &saved);

    let mut server = demo.clone().data(&data).listen(address).start();
    let backend = Backend::start(Command::new(example("axum")), &service());
    let served = |cookie: &str| backend.ask("/statistics", cookie, None).0 == 200;
    let well = || backend.api.send("GET", "/health", &[], &[]).expect(200).text() == "well";
    wait_until("the backend to follow", || served(&cookie) && well());

    server.kill();
    denied_in_time("the service's absence", &backend, &cookie);
    wait_until("the reason", || !well());
    let mut server = demo.clone().data(&data).listen(address).start();
    wait_until("the backend to follow again", || served(&cookie) && well());

    let (_, _, later) = visitor(&service(), &["statistics"]);
    wait_until("the later visitor", || served(&later));
    revoke(&service(), subject);
    denied_in_time("the revoke after the service came back", &backend, &cookie);

    // The back-up knows neither the later visitor nor the revoke; what was kept must be forgotten.
    assert!(server.terminate().success());
    let _server = demo.data(&saved).listen(address).start();
    denied_in_time("the loss of the later visitor", &backend, &later);
    wait_until("the backend to follow the log of the back-up", || served(&cookie) && well());
    revoke(&service(), subject);
    denied_in_time("the revoke in the log of the back-up", &backend, &cookie);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The core as WebAssembly, as `make widget` builds it.
fn core() -> PathBuf {
    let dist = root("consent-wasm/dist");
    let files = std::fs::read_dir(&dist)
        .unwrap_or_else(|error| panic!("{}: {error} (`make widget` builds it)", dist.display()));
    let mut modules = files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "wasm"));
    modules.next().expect("`make widget` builds the core")
}
