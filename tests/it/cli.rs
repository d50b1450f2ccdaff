//! The command line: exports that prove themselves, and the operator's commands.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use consent_core::checkpoint::Checkpoint;
use consent_core::export::Verifier;
use consent_core::merkle::Hash;
use consent_core::note::VerifyingKey;
use consent_core::time::UnixMillis;
use consent_server::signers::FileSigners;
use consent_server::store::{Signers, Store};
use consent_tests::{
    Api, DecisionBody, Demo, ORIGIN, TestServer, check_log, consent, log_size, new_subject, now, wait_until,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::store::{Bed, fill, make_site};

const DECISIONS: usize = 10_000;

/// A log of the site `demo` with an export of it.
struct Exported {
    bed: Bed,
    key: String,
    /// A checkpoint that was published halfway.
    earlier: String,
    lines: Vec<String>,
}

impl Exported {
    async fn of(decisions: usize) -> Self {
        let bed = Bed::at(now().millis());
        let store = Arc::new(bed.open());
        let site = make_site(&*store, "demo").await;
        fill(&store, &site, decisions / 2, bed.now()).await;
        let earlier = store.publish(&site).await.unwrap();
        fill(&store, &site, decisions - decisions / 2, bed.now()).await;
        drop(store);
        let file = bed.path().join("audit.jsonl");
        let output = export(bed.path(), &["--format", "jsonl", "-o", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", said(&output));
        let lines = std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
        Self { bed, key: site.log_key.clone(), earlier, lines }
    }

    /// The position of the line of a record.
    fn line_of(&self, index: usize) -> usize {
        let line = self.lines.iter().position(|line| line.starts_with(&format!("{{\"index\":{index},")));
        line.unwrap()
    }

    fn write(&self, lines: &[String]) -> PathBuf {
        self.write_bytes(format!("{}\n", lines.join("\n")).as_bytes())
    }

    fn write_bytes(&self, bytes: &[u8]) -> PathBuf {
        let file = self.bed.path().join("changed.jsonl");
        std::fs::write(&file, bytes).unwrap();
        file
    }

    fn verify(&self, file: &Path, more: &[&str]) -> Output {
        let args = ["verify", file.to_str().unwrap(), "--key", &self.key];
        consent(args.iter().chain(more))
    }

    /// The exit code and what is said about the export after this was done to its lines.
    fn after(&self, change: impl FnOnce(&mut Vec<String>)) -> (Option<i32>, String) {
        let mut lines = self.lines.clone();
        change(&mut lines);
        assert_ne!(lines, self.lines, "the test has changed nothing");
        let output = self.verify(&self.write(&lines), &[]);
        assert!(output.stdout.is_empty(), "what fails says nothing good: {}", said(&output));
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn export(data: &Path, more: &[&str]) -> Output {
    let args = ["export", "--data", data.to_str().unwrap(), "--site", "demo"];
    consent(args.iter().chain(more))
}

/// Replaces in one line, which must change it.
fn replace(lines: &mut [String], at: usize, from: &str, to: &str) {
    let changed = lines[at].replacen(from, to, 1);
    assert_ne!(changed, lines[at], "{from} is not in {}", lines[at]);
    lines[at] = changed;
}

/// A test that would go on for long on each record does so on these: the first decision, the sides of tiles, and the last.
const RECORDS: [usize; 5] = [2, 255, 256, 5_000, 10_001];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_of_ten_thousand_decisions_verifies_and_what_is_changed_in_it_is_named() {
    let exported = Exported::of(DECISIONS).await;
    let log = &check_log(exported.bed.path()).unwrap()[0];
    let good = exported.write(&exported.lines);
    let output = exported.verify(&good, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let report = String::from_utf8(output.stdout).unwrap();
    let root = log.root.to_base64();
    for part in ["10000", &log.size.to_string(), &root, "not who pressed"] {
        assert!(report.contains(part), "{part} is not in {report}");
    }

    let time = |lines: &[String], at: usize| {
        let line: Value = serde_json::from_str(&lines[at]).unwrap();
        line["leaf"]["recorded_at"].as_str().unwrap().to_owned()
    };
    for index in RECORDS {
        let at = exported.line_of(index);
        let (code, words) = exported.after(|lines| {
            replace(lines, at, r#""granted":["statistics"]"#, r#""granted":["marketing"]"#);
        });
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains(&format!("record {index} was changed")), "{words}");

        let (code, words) = exported.after(|lines| {
            let before = time(lines, at);
            let later = UnixMillis::new(UnixMillis::parse(&before).unwrap().millis() + 1).to_string();
            replace(lines, at, &format!("\"recorded_at\":\"{before}\""), &format!("\"recorded_at\":\"{later}\""));
        });
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains(&format!("record {index} was changed")), "{words}");

        let (code, words) = exported.after(|lines| drop(lines.remove(at)));
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains(&format!("record {index} was removed")), "{words}");

        let (code, words) = exported.after(|lines| lines.swap(at, at + 1));
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("reordered") && words.contains(&index.to_string()), "{words}");

        let (code, words) = exported.after(|lines| lines.insert(at, lines[at].clone()));
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("added"), "{words}");
    }

    let (code, words) = exported.after(|lines| {
        let last = lines.len() - 1;
        let mut end: Value = serde_json::from_str(&lines[last]).unwrap();
        end["checkpoint"] = exported.earlier.clone().into();
        lines[last] = end.to_string();
    });
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("checkpoint") && words.contains("older"), "{words}");
}

/// What is done to the lines of an export.
type Forgery<'a> = Box<dyn Fn(&mut Vec<String>) + 'a>;

/// Does the same to all lines of records behind `at`: a forger who keeps the numbers right.
fn renumber(lines: &mut [String], at: usize, by: i64) {
    for line in &mut lines[at..] {
        let Some(rest) = line.strip_prefix("{\"index\":") else { continue };
        let (index, rest) = rest.split_once(',').unwrap();
        *line = format!("{{\"index\":{},{rest}", index.parse::<i64>().unwrap() + by);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_the_numbers_right_is_found_all_the_same() {
    let exported = Exported::of(300).await;
    let count = exported.lines.iter().filter(|line| line.starts_with("{\"index\":")).count();
    let counted = |lines: &mut [String], now: usize| {
        replace(lines, 0, &format!("\"count\":{count}"), &format!("\"count\":{now}"));
        replace(lines, 0, &format!("\"to_index\":{count}"), &format!("\"to_index\":{now}"));
    };
    let at = exported.line_of(100);
    let cases: [(&str, Forgery<'_>); 7] = [
        (
            "100",
            Box::new(|lines| {
                lines.remove(at);
                renumber(lines, at, -1);
                counted(lines, count - 1);
            }),
        ),
        (
            "added",
            Box::new(|lines| {
                lines.insert(at, lines[at + 5].clone());
                renumber(lines, at + 1, 1);
                replace(lines, at, "\"index\":105,", "\"index\":100,");
                counted(lines, count + 1);
            }),
        ),
        (
            "reordered",
            Box::new(|lines| {
                let (one, two) = (lines[at].clone(), lines[at + 1].clone());
                lines[at] = two.replacen("\"index\":101,", "\"index\":100,", 1);
                lines[at + 1] = one.replacen("\"index\":100,", "\"index\":101,", 1);
            }),
        ),
        // Cut off at the end, with a header that fits and the checkpoint of that time.
        (
            "",
            Box::new(|lines| {
                let earlier =
                    Checkpoint::parse(exported.earlier.split_inclusive('\n').take(3).collect::<String>().as_str())
                        .unwrap();
                let size = usize::try_from(earlier.size).unwrap();
                lines.retain(|line| {
                    let Some(rest) = line.strip_prefix("{\"index\":") else { return true };
                    rest.split_once(',').unwrap().0.parse::<usize>().unwrap() < size
                });
                counted(lines, size);
                let last = lines.len() - 1;
                let mut end: Value = serde_json::from_str(&lines[last]).unwrap();
                end["checkpoint"] = exported.earlier.clone().into();
                lines[last] = end.to_string();
            }),
        ),
        (
            "notice",
            Box::new(|lines| replace(lines, exported.notice_line(), "Website statistics", "Website statistica")),
        ),
        ("notice", Box::new(|lines| drop(lines.remove(exported.notice_line())))),
        ("header", Box::new(|lines| drop(lines.remove(0)))),
    ];
    for (number, (word, change)) in cases.iter().enumerate() {
        let (code, words) = exported.after(change);
        assert_eq!(code, Some(1), "case {number}: {words}");
        assert!(words.contains(word), "case {number}: {word} is not in {words}");
    }
}

impl Exported {
    fn notice_line(&self) -> usize {
        self.lines.iter().position(|line| line.starts_with("{\"notice\":")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_whole_export_cannot_be_checked() {
    let exported = Exported::of(30).await;
    let whole = format!("{}\n", exported.lines.join("\n"));
    let key = &exported.key;
    let verify = |bytes: &[u8]| {
        let output = exported.verify(&exported.write_bytes(bytes), &[]);
        assert!(output.status.code() == Some(0) || output.stdout.is_empty());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for cut in [
        0,
        1,
        10,
        exported.lines[0].len(),
        exported.lines[0].len() + 1,
        whole.len() / 2,
        whole.len() - 300,
        whole.len() - 2,
    ] {
        let (code, words) = verify(&whole.as_bytes()[..cut]);
        assert_eq!(code, Some(2), "cut at {cut} of {}: {words}", whole.len());
        assert!(!words.is_empty());
    }
    let without_last = format!("{}\n", exported.lines[..exported.lines.len() - 1].join("\n"));
    assert_eq!(verify(without_last.as_bytes()).0, Some(2), "without its last line");
    for no_export in ["\n", "{}", "[]\n", "index,id\r\n0,x\r\n", "\0\0\0\0", "{\"format\":\"consent-export/2\"}\n"] {
        assert_eq!(verify(no_export.as_bytes()).0, Some(2), "{no_export:?}");
    }
    // What mail and editors do to line ends is tolerated.
    assert_eq!(verify(whole.trim_end().as_bytes()).0, Some(0), "without the last line end");
    assert_eq!(verify(whole.replace('\n', "\r\n").as_bytes()).0, Some(0), "with CRLF");

    let good = exported.write_bytes(whole.as_bytes());
    let good = good.to_str().unwrap();
    let folder = exported.bed.path().to_str().unwrap();
    for args in [
        vec!["verify", "/nowhere.jsonl", "--key", key],
        vec!["verify", folder, "--key", key],
        vec!["verify", good],
        vec!["verify", good, "--key", "x"],
        vec!["verify", good, "--key", &key[..key.len() - 4]],
        vec!["verify", good, "--key", key, "--after", "/nowhere"],
        vec!["verify", good, "--key", key, "--after", good],
    ] {
        let output = consent(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    let stranger = consent_core::note::SigningKey::from_seed("a.example/demo", [7; 32]).unwrap().vkey().to_string();
    let output = consent(["verify", good, "--key", &stranger]);
    assert_eq!(output.status.code(), Some(1), "another log's key: {}", said(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_checkpoint_shows_that_the_log_was_not_rewritten() {
    let exported = Exported::of(300).await;
    let file = exported.write(&exported.lines);
    let earlier = exported.bed.path().join("earlier");
    let verify_after = |note: &str| {
        std::fs::write(&earlier, note).unwrap();
        let output = exported.verify(&file, &["--after", earlier.to_str().unwrap()]);
        (output.status.code(), said(&output))
    };
    let (code, words) = verify_after(&exported.earlier);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("extends"), "{words}");

    // The log's own key signs another past, or a future that this export does not have.
    let signer = FileSigners::new(exported.bed.path().join("keys"))
        .signer(&VerifyingKey::parse(&exported.key).unwrap())
        .unwrap();
    let origin = "a.example/demo".to_owned();
    for (what, size, root) in [
        ("another past", 152, Hash([7; 32])),
        ("a longer log", 100_000, Hash([7; 32])),
        ("another size", 151, Hash([9; 32])),
    ] {
        let (code, words) = verify_after(&Checkpoint { origin: origin.clone(), size, root }.sign(&signer));
        assert_eq!(code, Some(1), "{what}: {words}");
        assert!(words.contains("log was"), "{what}: {words}");
    }
    let (code, words) = verify_after("not a checkpoint\n");
    assert_eq!(code, Some(2), "{words}");
}

/// Whether the bytes are good, in process: starting the binary for each byte would take minutes.
fn holds(bytes: &[u8], key: &VerifyingKey) -> bool {
    let mut verifier = Verifier::new(key.clone(), None);
    bytes.split_inclusive(|&byte| byte == b'\n').all(|line| verifier.line(line).is_ok()) && verifier.finish().is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_single_byte_of_an_export_can_be_changed() {
    let exported = Exported::of(4).await;
    let key = VerifyingKey::parse(&exported.key).unwrap();
    let whole = format!("{}\n", exported.lines.join("\n")).into_bytes();
    assert!(holds(&whole, &key));
    let header = exported.lines[0].len() + 1;
    let last = whole.len() - exported.lines.last().unwrap().len() - 1;
    // Every byte of the header and of the last line; of what lies between, enough to meet every field.
    let positions = (0..header).chain((header..last).step_by(13)).chain(last..whole.len());
    for at in positions {
        for change in [0x01, 0x20, 0x80] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            assert!(
                !holds(&changed, &key),
                "byte {at} ^ {change:#x} of {}",
                String::from_utf8_lossy(&whole[at..(at + 40).min(whole.len())])
            );
        }
    }
    for at in (0..header).chain((header..whole.len()).step_by(29)) {
        let mut without = whole.clone();
        without.remove(at);
        // The last line end alone may be missing.
        assert!(!holds(&without, &key) || at == whole.len() - 1, "without byte {at}");
        let mut with = whole.clone();
        with.insert(at, b' ');
        assert!(!holds(&with, &key), "with a space at {at}");
    }
}

#[test]
fn an_export_over_http_verifies_and_is_a_record_itself() {
    let server = TestServer::start();
    let api = server.api();
    let mut times = vec![now()];
    for _ in 0..5 {
        api.decide(&DecisionBody::save(&["statistics"]).by(new_subject())).expect(201);
        std::thread::sleep(std::time::Duration::from_millis(3));
        times.push(now());
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("audit.jsonl");
    let verify = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let output = consent(["verify", file.to_str().unwrap(), "--key", server.log_key()]);
        (output.status.code(), said(&output))
    };
    let size = log_size(server.data());
    let all = api.get_as(&api.officer, "/v1/sites/demo/export").expect(200);
    assert_eq!(log_size(server.data()), size + 1, "who exported becomes a record");
    assert!(all.header("content-disposition").contains("attachment"), "{}", all.header("content-disposition"));
    assert_eq!(all.header("cache-control"), "no-store");
    let (code, words) = verify(&all.body);
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("decisions   5"), "{words}");
    assert!(all.text().contains("\"kind\":\"access\""), "its own access record is in it");

    let path = format!("/v1/sites/demo/export?from={}&to={}", times[1], times[4]);
    let part = api.get_as(&api.officer, &path).expect(200);
    let (code, words) = verify(&part.body);
    assert_eq!(code, Some(0), "{words}");
    assert!(
        words.contains("range") && words.contains("decisions   5"),
        "three asked for, with one neighbour on each side: {words}"
    );

    let rows = api.get_as(&api.officer, "/v1/sites/demo/export?format=csv").expect(200);
    assert!(rows.header("content-type").starts_with("text/csv"));
    let rows = rows.text();
    assert_eq!(rows.lines().count() as u64, 1 + log_size(server.data()), "a row for each record, and their names");
    assert_eq!(verify(rows.as_bytes()).0, Some(2), "a spreadsheet proves nothing");
    let csv = api.get_as(&api.officer, &path.replace("export?", "export?format=csv&")).expect(200).text();
    assert_eq!(csv.lines().count(), 1 + 3, "no neighbours without a proof: {csv}");
    for name in ["from", "to"] {
        let problem = api.get_as(&api.officer, &format!("/v1/sites/demo/export?{name}=now")).expect(400).problem();
        assert_eq!(problem["pointer"], name);
    }
    // The command writes the same records.
    let output = server.command(&["export", "--site", "demo"]);
    assert!(output.status.success(), "{}", said(&output));
    let (code, words) = verify(&output.stdout);
    assert_eq!(code, Some(0), "{words}");
    let records = |bytes: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.lines().filter(|line| line.starts_with("{\"index\":")).map(str::to_owned).collect()
    };
    let (http, command) = (records(&all.body), records(&output.stdout));
    assert_eq!(http, command[..http.len()]);
}

#[test]
fn an_export_names_no_subject() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    api.decide(&DecisionBody::save(&["statistics"]).by(subject)).expect(201);
    for format in ["jsonl", "csv"] {
        let text = api.get_as(&api.officer, &format!("/v1/sites/demo/export?format={format}")).expect(200).text();
        assert!(!text.contains(&subject.to_string()) && !text.contains(&subject.to_base64url()), "{format}");
        for key in [&api.officer, &api.backend] {
            assert!(!text.contains(key.as_str()) && !text.contains(key.split('_').nth(2).unwrap()), "{format}");
        }
    }
}

#[test]
fn an_export_that_fails_leaves_what_was_there() {
    let server = TestServer::start();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("audit.jsonl");
    std::fs::write(&file, "yesterday's").unwrap();
    let file = file.to_str().unwrap();
    for args in [
        vec!["export", "--site", "nowhere", "-o", file],
        vec!["export", "--site", "demo", "--from", "yesterday", "-o", file],
        vec!["export", "--site", "demo", "--format", "xml", "-o", file],
        vec!["export", "--site", "demo", "--from", "2026-02-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z", "-o", file],
        vec!["export", "--site", "demo", "-o", "/nowhere/audit.jsonl"],
    ] {
        let output = server.command(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), "yesterday's");
    let output = consent(["export", "--site", "demo", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("consent.db").exists(), "asking for an export makes no database");
}

#[test]
fn a_receipt_is_verified_by_the_same_command() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    api.decide(&grant).expect(201);
    let text = api.receipt(subject, grant.id()).expect(200).text();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("mine.tlog-proof");
    let verify = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output = consent(["verify", file.to_str().unwrap(), "--key", server.log_key()]);
        (output.status.code(), said(&output))
    };
    let (code, words) = verify(&text);
    assert_eq!(code, Some(0), "{words}");
    for part in [grant.id().to_string(), subject.to_string(), "statistics".to_owned(), "not who pressed".to_owned()] {
        assert!(words.contains(&part), "{part} is not in {words}");
    }
    let index = text.lines().find(|line| line.starts_with("index ")).unwrap();
    assert_eq!(verify(&text.replace(index, "index 0")).0, Some(1));
    for cut in [0, 30, text.len() / 2] {
        assert_eq!(verify(&text[..cut]).0, Some(2), "{cut}");
    }
}

// Keys, notices, doctor, help.

#[test]
fn a_key_needs_a_role_and_sites_that_exist() {
    let server = TestServer::start();
    let size = log_size(server.data());
    for args in [
        vec!["key", "create", "--role", "root", "--site", "demo"],
        vec!["key", "create", "--role", "Backend", "--site", "demo"],
        vec!["key", "create", "--role", "backend", "--site", "nowhere"],
        vec!["key", "create", "--role", "backend", "--site", "demo", "--site", "nowhere"],
        vec!["key", "create", "--role", "backend"],
        vec!["key", "create", "--role", "backend", "--site", "demo", "--days", "-1"],
        vec!["key", "revoke", ""],
    ] {
        let output = server.command(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(output.stdout.is_empty(), "no key is shown: {}", said(&output));
    }
    assert_eq!(log_size(server.data()), size);
    let key = server.command_ok(&["key", "create", "--role", "officer", "--site", "demo", "--days", "30"]);
    assert_eq!(key.lines().count(), 1, "the key alone is on the standard output, to be piped");
    assert!(key.starts_with("consent_officer_"), "{key}");
    assert_eq!(log_size(server.data()), size + 1);
    let listed = server.command_ok(&["key", "list"]);
    let id = key.split('_').nth(2).unwrap();
    assert!(listed.lines().any(|line| line.starts_with(id) && line.contains("until 20")), "{listed}");
    let secret = key.trim().splitn(4, '_').nth(3).unwrap();
    assert!(!listed.contains(secret));
    // Nor is it in the database, or the log of the server.
    let rows = std::fs::read(server.data().join("consent.db-wal")).unwrap();
    assert!(!rows.windows(secret.len()).any(|window| window == secret.as_bytes()));
    assert!(!server.logged().contains(secret));
}

#[test]
fn a_lint_names_its_rules_and_the_law() {
    let rules = consent(["notice", "lint", "--rules"]);
    assert!(rules.status.success());
    let rules = String::from_utf8(rules.stdout).unwrap();
    let ids: Vec<&str> = rules.lines().filter_map(|line| line.split('\t').next()).collect();
    for id in ["R-4.11-active", "R-UI-close"] {
        assert!(ids.contains(&id), "{id} is not in {rules}");
    }
    let notices: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../consent-server/notices"].iter().collect();
    for name in ["demo-notice.toml", "demo-choice.toml"] {
        let output = consent(["notice", "lint", notices.join(name).to_str().unwrap()]);
        assert!(output.status.success(), "our own notice: {}", said(&output));
    }
    let good = std::fs::read_to_string(notices.join("demo-choice.toml")).unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("draft.toml");
    for (from, to) in [
        ("renew_after_days = 180", "renew_after_days = 9999"),
        ("contact = \"privacy@gardens.example\"", "contact = \"\""),
        ("id = \"marketing\"", "id = \"statistics\""),
        ("name = \"Marketing\"", "name = \"\""),
    ] {
        let draft = good.replacen(from, to, 1);
        assert_ne!(draft, good);
        std::fs::write(&file, draft).unwrap();
        let output = consent(["notice", "lint", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{to}: {}", said(&output));
        let words = String::from_utf8(output.stdout).unwrap();
        assert!(ids.iter().any(|id| words.contains(id)), "{to}: no rule is named in {words}");
    }
    for broken in ["", "preset = ", "x = 1", &good.replace("preset =", "presets ="), &format!("{good}\nunknown = 1\n")]
    {
        std::fs::write(&file, broken).unwrap();
        let output = consent(["notice", "lint", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_says_what_is_wrong_and_where() {
    let exported = Exported::of(600).await;
    let data = exported.bed.path();
    let doctor = || {
        let output = consent(["doctor", "--data", data.to_str().unwrap()]);
        (output.status.code(), said(&output))
    };
    let (code, words) = doctor();
    assert_eq!(code, Some(0), "{words}");
    assert!(words.contains("all is well") && words.contains("603"), "{words}");

    // Below a full tile, where opening does not look.
    let change = |from: &str, to: &str| {
        let sql = "UPDATE record SET leaf = CAST(replace(CAST(leaf AS TEXT), ?1, ?2) AS BLOB) WHERE key & 0xffff = 77";
        assert_eq!(exported.bed.rows().execute(sql, (from, to)).unwrap(), 1);
    };
    change("\"statistics\"", "\"statisticz\"");
    let (code, words) = doctor();
    assert_eq!(code, Some(1), "{words}");
    assert!(words.contains("WRONG demo: log"), "{words}");
    change("\"statisticz\"", "\"statistics\"");
    assert_eq!(doctor().0, Some(0));

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let key = std::fs::read_dir(data.join("keys")).unwrap().next().unwrap().unwrap().path();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (code, words) = doctor();
        assert_eq!(code, Some(1), "{words}");
        assert!(words.contains("WRONG demo: key file"), "{words}");
    }
    let empty = TempDir::new().unwrap();
    let output = consent(["doctor", "--data", empty.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "a doctor leaves nothing behind");
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.split("Commands:\n").nth(1).unwrap_or_default();
    let listed = listed.lines().take_while(|line| !line.is_empty());
    listed.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

fn help_of(path: &[String], seen: &mut Vec<String>) {
    let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    let output = consent(&args);
    assert!(output.status.success(), "{args:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let nested = commands(&help);
    // A group's help lists its commands; each of those has an example.
    assert!(help.contains("Example") || !nested.is_empty(), "{args:?} has no example:\n{help}");
    seen.push(path.join(" "));
    for command in nested {
        help_of(&[path, &[command]].concat(), seen);
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    let mut seen = Vec::new();
    help_of(&[], &mut seen);
    for command in [
        "demo",
        "serve",
        "export",
        "verify",
        "key create",
        "key list",
        "key revoke",
        "init",
        "import",
        "notice publish",
        "notice lint",
        "notice list",
        "notice show",
        "notice diff",
        "notice import",
        "doctor",
        "log-key list",
        "log-key rotate",
        "consistency",
        "monitor",
        "witness serve",
        "witness key",
    ] {
        assert!(seen.iter().any(|path| path == command), "{command} is not in {seen:?}");
    }
    let output = consent(["nothing"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(consent(["--version"]).status.success());
}

#[test]
fn a_demo_without_a_folder_leaves_nothing_behind() {
    let mut server = Demo::default().temporary().start();
    let data = server.data().to_owned();
    assert!(data.join("consent.db").exists());
    server.api().decide(&DecisionBody::save(&["statistics"])).expect(201);
    assert!(server.terminate().success());
    assert!(!data.exists());
}

/// A running `consent serve`, ended when dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_operator_sets_a_site_up_and_serves_it() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let notice: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../consent-server/notices/demo-notice.toml"].iter().collect();
    let command = |args: &[&str]| {
        let output = consent(args.iter().chain(&["--data", data.to_str().unwrap()]));
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let origin = "https://shop.example";
    let created = command(&["site", "create", "demo", "--log-origin", "shop.example/consent", "--origin", origin]);
    let log_key = created.lines().last().unwrap().to_owned();
    command(&["notice", "publish", notice.to_str().unwrap(), "--site", "demo"]);
    let [backend, officer] = ["backend", "officer"]
        .map(|role| command(&["key", "create", "--role", role, "--site", "demo"]).trim().to_owned());

    let config = folder.path().join("consent.toml");
    std::fs::write(&config, format!("listen = \"127.0.0.1:1\"\ndata = {:?}\n", data.to_str().unwrap())).unwrap();
    let mut serving = Serving(
        Command::new(consent_tests::binary())
            .args(["serve", "--config", config.to_str().unwrap()])
            // What is in the environment comes before what is in the file.
            .env("CONSENT_LISTEN", "127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(serving.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = lines.find(|line| line.contains("listening on http://")).expect("it says where it listens");
    let address = line.split("listening on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let rest = std::thread::spawn(move || lines.collect::<Vec<_>>());

    let api = Api::new(&address, &backend, &officer, "");
    assert_eq!(api.get("/").expect(200).text(), "consent\n");
    let subject = new_subject();
    let body = DecisionBody::save(&["statistics"]).by(subject).0.to_string();
    let headers = |origin| [("origin", origin), ("content-type", "application/json")];
    api.send("POST", "/v1/sites/demo/decisions", &headers(ORIGIN), body.as_bytes()).expect(403).problem();
    let answer = api.send("POST", "/v1/sites/demo/decisions", &headers(origin), body.as_bytes()).expect(201);
    assert!(answer.header("set-cookie").contains("; Secure"), "{}", answer.header("set-cookie"));
    assert!(api.allowed(subject, "statistics"));
    let export = api.get_as(&officer, "/v1/sites/demo/export").expect(200);
    let file = folder.path().join("audit.jsonl");
    std::fs::write(&file, export.body).unwrap();
    let output = consent(["verify", file.to_str().unwrap(), "--key", &log_key]);
    assert!(output.status.success(), "{}", said(&output));

    let id = serving.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let mut ended = None;
    wait_until("the service to end", || {
        ended = serving.0.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success());
    let logged = rest.join().unwrap().join("\n");
    for secret in [&backend, &officer, &subject.to_string()] {
        assert!(!logged.contains(secret.as_str()), "{logged}");
    }
    for bad in ["listen = 1", "lisen = \"127.0.0.1:0\"", "publish_every_seconds = 0", "["] {
        std::fs::write(&config, bad).unwrap();
        let output = consent(["serve", "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{bad}: {}", said(&output));
    }
}

#[test]
fn one_folder_is_served_by_one_process() {
    let mut server = TestServer::start();
    let data = server.data().to_str().unwrap().to_owned();
    for args in [["demo", "--json", "--listen", "127.0.0.1:0"].as_slice(), &["serve", "--listen", "127.0.0.1:0"]] {
        let output = consent(args.iter().chain(&["--data", &data]));
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(output.stdout.is_empty() && said(&output).contains("another process"), "{}", said(&output));
    }
    // Neither took anything from the one that serves: its keys still open.
    let api = server.api();
    api.decide(&DecisionBody::save(&["statistics"])).expect(201);
    assert!(!api.allowed(new_subject(), "statistics"));
    // Who was killed holds nothing.
    server.kill();
    TestServer::start_in(server.data()).api().decide(&DecisionBody::save(&[])).expect(201);
}

#[test]
fn a_demo_that_cannot_listen_says_so_and_ends() {
    let server = TestServer::start();
    let output = consent(["demo", "--json", "--listen", &server.address().to_string()]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(output.stdout.is_empty(), "nobody is told of a server that is not there");
    assert!(said(&output).contains(&server.address().to_string()), "{}", said(&output));
}

#[test]
fn output_that_nobody_reads_is_no_crash() {
    for args in [&["notice", "lint", "--rules"][..], &["openapi"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(consent_tests::binary()).args(args).stdout(writer).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(!words.contains("panicked"), "{args:?} | head: {words}");
    }
}
