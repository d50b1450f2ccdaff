//! What an operator relies on: configuration, health, metrics, logs, back-ups.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use consent_tests::{Api, DecisionBody, Installed, SHOP, binary, check_log, consent, new_subject, wait_until};
use serde_json::Value;

fn decide(api: &Api, body: &DecisionBody) -> u16 {
    let headers = [("origin", SHOP), ("content-type", "application/json")];
    api.send("POST", "/v1/sites/demo/decisions", &headers, body.0.to_string().as_bytes()).status
}

fn grant() -> DecisionBody {
    DecisionBody::save(&["statistics"]).by(new_subject())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_holds_can_be_seen_and_errors_name_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("consent.toml");
    std::fs::write(&file, "metrics_token = \"do-not-print\"\nmax_queue = 7\n").unwrap();
    let serve = |variable: (&str, &str), args: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["serve", "--config"]).arg(&file).args(args).env(variable.0, variable.1).output().unwrap()
    };
    let output = serve(("CONSENT_MAX_CONNECTIONS", "9"), &["--print-config", "--data", "/srv/consent"]);
    let shown = said(&output);
    assert!(output.status.success() && !shown.contains("do-not-print"), "{shown}");
    for (line, origin) in [
        ("metrics_token = \"***\"", "consent.toml"),
        ("max_queue = 7", "consent.toml"),
        ("max_connections = 9", "CONSENT_MAX_CONNECTIONS"),
        ("data = \"/srv/consent\"", "command line"),
        ("listen = \"127.0.0.1:8080\"", "default"),
    ] {
        let found = shown.lines().find(|shown| shown.starts_with(line));
        assert!(found.is_some_and(|found| found.ends_with(origin)), "{line}: {found:?}");
    }
    let output = serve(("CONSENT_MAX_QUEUE", "many"), &["--print-config"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("CONSENT_MAX_QUEUE"), "{}", said(&output));
    let output = serve(("CONSENT_LISTN", "127.0.0.1:1"), &["--print-config"]);
    assert_eq!(output.status.code(), Some(2), "what nobody reads would be taken for what holds");
    assert!(said(&output).contains("is CONSENT_LISTEN meant?"), "{}", said(&output));
    std::fs::write(&file, "metrics_token = \"do-not-print\nmax_queue = 7\n").unwrap();
    let output = serve(("LANG", "C"), &[]);
    assert!(said(&output).contains("line 1") && !said(&output).contains("do-not"), "{}", said(&output));
    std::fs::write(&file, "max_qeue = 7\n").unwrap();
    let output = serve(("LANG", "C"), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("max_qeue") && said(&output).contains("consent.toml"), "{}", said(&output));
    // The example is one that works.
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consent.example.toml");
    let output = consent(["serve", "--print-config", "--config", example.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
}

/// The value of a line of metrics, or 0 where it is not there.
fn value(metrics: &str, line: &str) -> f64 {
    let found = metrics.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(' '));
    found.map_or(0.0, |value| value.parse().unwrap())
}

#[test]
fn health_is_public_and_metrics_are_not() {
    let installed = Installed::new();
    let config = "metrics_listen = \"127.0.0.1:0\"\nmetrics_token = \"watcher\"\nlimit_decisions_burst = 3\n\
                  limit_decisions_per_minute = 1\n";
    let serving = installed.serve(config);
    let api = installed.api(&serving);
    assert_eq!(api.get("/healthz").expect(200).text(), "ok\n");
    wait_until("the service to be ready", || api.get("/readyz").status == 200);
    api.get("/metrics").expect(404);
    let subject = new_subject();
    for _ in 0..3 {
        assert_eq!(decide(&api, &DecisionBody::save(&["statistics"]).by(subject)), 201);
    }
    assert!(api.check(subject, "statistics")["status"].is_string());
    api.get("/v1/sites/nobody/notice?lang=en").expect(404);
    api.get(&format!("/{subject}")).expect(404);

    let watcher = Api::new(&format!("http://{}", serving.metrics()), "", "", "");
    watcher.get("/metrics").expect(401).problem();
    watcher.get_as("watche", "/metrics").expect(401);
    watcher.get(&format!("/v1/sites/demo/subjects/{subject}/consent?category=statistics")).expect(404);
    let answer = watcher.get_as("watcher", "/metrics").expect(200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let metrics = answer.text();
    let check = "route=\"/v1/sites/{site}/subjects/{subject}/consent\",method=\"GET\"";
    let post = "route=\"/v1/sites/{site}/decisions\",method=\"POST\"";
    for (line, want) in [
        (format!("consent_http_requests_total{{{check},status=\"2xx\"}}"), 1.0),
        (format!("consent_http_request_duration_seconds_count{{{check}}}"), 1.0),
        (format!("consent_http_requests_total{{{post},status=\"2xx\"}}"), 3.0),
        ("consent_http_requests_total{route=\"/v1/sites/{site}/notice\",method=\"GET\",status=\"4xx\"}".into(), 1.0),
        ("consent_decisions_total{site=\"demo\",method=\"save\",effect=\"applied\"}".into(), 1.0),
        ("consent_ready".into(), 1.0),
        ("consent_queue_jobs".into(), 0.0),
        ("consent_limited_total{limit=\"decisions\"}".into(), 0.0),
    ] {
        assert!((value(&metrics, &line) - want).abs() < 0.5, "{line}: {metrics}");
    }
    for line in [
        "consent_log_records{site=\"demo\"}",
        "consent_wal_bytes",
        "consent_database_bytes",
        "consent_disk_free_bytes",
        "consent_registry_generation",
        "consent_connections",
        "consent_commit_duration_seconds_count",
        "consent_commit_jobs_count",
        "process_resident_memory_bytes",
    ] {
        assert!(value(&metrics, line) > 0.0, "{line}: {metrics}");
    }
    assert!(
        metrics.contains("consent_checkpoint_age_seconds{site=\"demo\"}")
            && metrics.contains("consent_build_info{version=")
    );
    assert!(!metrics.contains(&subject.to_string()), "no label is about a person");
    // Every line is of the format.
    let mut names = BTreeSet::new();
    for line in metrics.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(names.insert(kind.split(' ').next().unwrap().to_owned()), "{line} twice");
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.split('{').next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(names.contains(name) || names.contains(base), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
}

#[test]
fn a_nearly_full_disk_is_not_ready() {
    let installed = Installed::new();
    let serving = installed.serve("min_free_mebibytes = 1000000000\n");
    let api = installed.api(&serving);
    let problem = api.get("/readyz").expect(503).problem();
    assert!(problem["detail"].as_str().unwrap().contains("disk"), "{problem}");
    api.get("/healthz").expect(200);
    // What a container asks.
    let ask = |address: &str| {
        let mut command = Command::new(binary());
        command.args(["doctor", "--health"]).env("CONSENT_LISTEN", address).output().unwrap()
    };
    assert_eq!(ask(&serving.address().to_string()).status.code(), Some(1));
    assert_eq!(ask("127.0.0.1:1").status.code(), Some(2));
}

#[test]
fn logs_are_json_and_hold_nobody() {
    let installed = Installed::new();
    let config = "log = \"trace\"\nlog_format = \"json\"\npublish_every_seconds = 1\nlimit_decisions_burst = 2\n\
                  limit_decisions_per_minute = 1\n";
    let mut serving = installed.serve(config);
    let api = installed.api(&serving);
    let (subject, agent, address) = (new_subject(), "Garden-Browser/7.3", "203.0.113.77");
    let page = "https://shop.example/very/private/page";
    let send = |method: &str, path: &str, more: &[(&str, &str)], body: &str| {
        let mut headers = vec![("user-agent", agent), ("x-forwarded-for", address), ("referer", page)];
        headers.extend(more);
        api.send(method, path, &headers, body.as_bytes()).status
    };
    let from = [("origin", SHOP), ("content-type", "application/json")];
    let path = "/v1/sites/demo/decisions";
    for want in [201, 201, 429] {
        let body = DecisionBody::save(&["statistics"]).by(if want == 429 { new_subject() } else { subject });
        assert_eq!(send("POST", path, &from, &body.0.to_string()), want);
    }
    assert_eq!(send("POST", path, &from, &format!("{{\"subject\":\"{subject}\"")), 400);
    assert_eq!(send("POST", path, &[("origin", "https://evil.example")], "{}"), 403);
    let key = format!("Bearer {}", api.backend);
    assert_eq!(send("GET", &format!("/v1/sites/demo/subjects/{subject}/consent"), &[("authorization", &key)], ""), 200);
    assert_eq!(send("GET", "/v1/sites/demo/records", &[("consent-subject", &subject.to_string())], ""), 200);
    assert_eq!(send("GET", &format!("/nowhere/{subject}"), &[], ""), 404);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    serving.ask_to_stop();
    assert!(serving.wait().success());
    wait_until("the last line", || serving.logged().contains("stopped"));
    let logged = serving.logged();
    for line in logged.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        assert!(line["level"].is_string() && line["message"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    for secret in [&subject.to_string(), agent, address, page, "nowhere", &api.backend, "evil.example"] {
        assert!(!logged.contains(secret), "{secret} is in {logged}");
    }
}

/// Records so many decisions, and waits until the published checkpoint covers them.
fn record(api: &Api, data: &Path, count: usize) -> u64 {
    for _ in 0..count {
        assert_eq!(decide(api, &grant()), 201);
    }
    let published = || {
        let note = api.get("/v1/sites/demo/log/checkpoint").expect(200).text();
        note.lines().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let size = check_log(data).unwrap()[0].size;
    wait_until("the checkpoint to be published", || published() >= size);
    let mut files = std::fs::read_dir(data.join("published")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| !path.to_str().unwrap().contains("rolled-back")).unwrap();
    wait_until("it to be kept beside the database", || {
        std::fs::read_to_string(&file).is_ok_and(|note| note.lines().nth(1) == Some(&size.to_string()))
    });
    size
}

const QUICK: &str = "publish_every_seconds = 1\nlimit_decisions_per_minute = 0\n";

#[test]
fn a_backup_is_made_under_load_and_restored_whole() {
    let installed = Installed::new();
    let mut serving = installed.serve(QUICK);
    let to = installed.folder().join("backup");
    let to = to.to_str().unwrap();
    let stop = AtomicBool::new(false);
    let subject = new_subject();
    let api = installed.api(&serving);
    assert_eq!(decide(&api, &DecisionBody::save(&["statistics"]).by(subject)), 201);
    let before = check_log(&installed.data()).unwrap()[0].size;
    let said_by_it = std::thread::scope(|scope| {
        for _ in 0..4 {
            let api = installed.api(&serving);
            scope.spawn(|| {
                let api = api;
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(decide(&api, &grant()), 201);
                }
            });
        }
        let said = installed.command(&["backup", "--to", to]);
        stop.store(true, Ordering::Relaxed);
        said
    });
    assert!(
        said_by_it.contains("give the head that was signed") && said_by_it.contains("keys were not copied"),
        "{said_by_it}"
    );
    assert!(!Path::new(to).join("keys").exists());
    let refused = installed.try_command(&["backup", "--to", to]);
    assert_eq!(refused.status.code(), Some(2), "nothing is overwritten");
    let doctor = installed.command(&["doctor"]);
    assert!(doctor.contains("back-up: the last one was made at"), "{doctor}");
    let with_keys = installed.folder().join("with-keys");
    installed.command(&["backup", "--with-keys", "--to", with_keys.to_str().unwrap()]);
    for entry in std::fs::read_dir(with_keys.join("keys")).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    serving.ask_to_stop();
    assert!(serving.wait().success());

    // Over what is there: never.
    let refused = installed.try_command(&["restore", "--from", to]);
    assert!(
        refused.status.code() == Some(2) && said(&refused).contains("nothing is ever overwritten"),
        "{}",
        said(&refused)
    );
    // Somewhere else, with its keys.
    let other = installed.folder().join("other");
    let output = consent(["restore", "--from", with_keys.to_str().unwrap(), "--data", other.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(check_log(&other).unwrap()[0].size >= before);
    let output = consent(["doctor", "--data", other.to_str().unwrap()]);
    assert!(output.status.success(), "{}", said(&output));
    // One without keys says that they are missing.
    let third = installed.folder().join("third");
    let output = consent(["restore", "--from", to, "--data", third.to_str().unwrap()]);
    assert!(output.status.success() && said(&output).contains("missing: the private key"), "{}", said(&output));
    // One that was changed is not restored.
    let rows = rusqlite::Connection::open(Path::new(to).join("consent.db")).unwrap();
    assert_eq!(rows.execute("UPDATE record SET leaf = x'20' WHERE key = (SELECT max(key) FROM record)", []), Ok(1));
    drop(rows);
    let fourth = installed.folder().join("fourth");
    let output = consent(["restore", "--from", to, "--data", fourth.to_str().unwrap()]);
    assert!(output.status.code() == Some(2) && said(&output).contains("nothing was restored"), "{}", said(&output));
    assert!(!fourth.join("consent.db").exists());
}

#[test]
fn an_old_backup_is_refused_until_somebody_answers_for_it() {
    let installed = Installed::new();
    let data = installed.data();
    let to = installed.folder().join("backup");
    let mut serving = installed.serve(QUICK);
    let api = installed.api(&serving);
    let old = record(&api, &data, 3);
    installed.command(&["backup", "--to", to.to_str().unwrap()]);
    let new = record(&api, &data, 5);
    serving.ask_to_stop();
    assert!(serving.wait().success());
    assert!(!data.join("consent.db-wal").exists(), "one file is left behind");
    let aside = installed.folder().join("aside.db");
    std::fs::rename(data.join("consent.db"), &aside).unwrap();
    let restored = installed.command(&["restore", "--from", to.to_str().unwrap()]);
    assert!(restored.contains("`consent serve` will refuse this"), "{restored}");
    let why = installed.try_serve(QUICK, &[]).unwrap_err();
    assert!(why.contains(&format!("it has {old} records, {new} were published")), "{why}");
    assert_eq!(installed.try_command(&["doctor"]).status.code(), Some(2), "not by the back door either");

    let mut serving = installed.try_serve(QUICK, &["--accept-rollback"]).unwrap();
    assert!(serving.logged().contains("a rollback of demo was accepted"), "{}", serving.logged());
    let api = installed.api(&serving);
    // Its own record, and fewer than were lost.
    record(&api, &data, 2);
    let export = api.get_as(&api.officer, "/v1/sites/demo/export").expect(200).text();
    assert!(
        export.contains("\\\"kind\\\":\\\"log\\\"") || export.contains("\"kind\":\"log\""),
        "it is a record: {export}"
    );
    serving.ask_to_stop();
    assert!(serving.wait().success());
    let kept = std::fs::read_dir(data.join("published")).unwrap();
    let mut names: Vec<String> = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() == 2 && names.iter().any(|name| name.contains("rolled-back-1")), "{names:?}");
    // From now on it is the log that was published.
    let mut serving = installed.serve(QUICK);
    serving.ask_to_stop();
    assert!(serving.wait().success());

    // The one that was put aside is longer, and another one: refused just so.
    std::fs::rename(&aside, data.join("consent.db")).unwrap();
    let why = installed.try_serve(QUICK, &[]).unwrap_err();
    assert!(why.contains("records are other ones"), "{why}");
}
