//! `consent lint-page`: pages good and bad, in files and over HTTP, and what is no page.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

use consent_tests::{TestServer, consent};
use serde_json::Value;
use tempfile::TempDir;

fn lint(args: &[&str]) -> Output {
    consent(std::iter::once(&"lint-page").chain(args))
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", out(output), String::from_utf8_lossy(&output.stderr))
}

/// Runs it with `--json`; the exit code and the object.
fn json(args: &[&str]) -> (Option<i32>, Value) {
    let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
    let output = lint(&args);
    let text = out(&output);
    assert_eq!(text.lines().count(), 1, "one object in one line: {}", said(&output));
    (output.status.code(), serde_json::from_str(&text).unwrap())
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../consent-server").join(name)
}

fn notice(preset: &str) -> String {
    folder(&format!("notices/demo-{preset}.toml")).to_str().unwrap().to_owned()
}

/// A page in a file of its own.
struct File {
    path: PathBuf,
    _folder: TempDir,
}

impl File {
    fn new(content: impl AsRef<[u8]>) -> Self {
        let folder = TempDir::with_prefix("consent-test-").unwrap();
        let path = folder.path().join("page.html");
        std::fs::write(&path, content).unwrap();
        Self { path, _folder: folder }
    }

    fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

/// Answers each request with what the function makes of its path, one after the other, until the test ends.
struct Tiny {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tiny {
    fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who has read enough hangs up; that is the client's right.
                drop(one(&stream, &answer, &kept));
            }
        });
        Self { at, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// The heads of the requests so far.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn one(stream: &TcpStream, answer: &impl Fn(&str) -> Vec<u8>, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while reader.read_line(&mut head)? > 2 {}
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(head);
    (&*stream).write_all(&answer(&path))
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn html(body: &str) -> Vec<u8> {
    response("200 OK", "Content-Type: text/html; charset=utf-8\r\n", body.as_bytes())
}

fn redirect(to: &str) -> Vec<u8> {
    response("302 Found", &format!("Location: {to}\r\n"), b"")
}

#[test]
fn the_demos_own_pages_have_no_errors() {
    let mut pages: Vec<_> = std::fs::read_dir(folder("demo")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|ending| ending == "html"));
    assert!(pages.len() >= 7, "{pages:?}");
    for page in &pages {
        let output = lint(&[page.to_str().unwrap(), "--notice", &notice("choice")]);
        assert_eq!(output.status.code(), Some(0), "{}: {}", page.display(), said(&output));
        assert!(out(&output).contains("0 errors"), "{}", said(&output));
        // What is shown inside of other pages does not ask; that is worth a word, no more.
        let inner = ["offer.html", "visitors.html"].iter().any(|name| page.ends_with(name));
        assert_eq!(out(&output).contains("0 warnings"), !inner, "{}", said(&output));
    }
}

#[test]
fn a_page_that_is_served_is_checked_against_the_notice_that_it_shows() {
    let server = TestServer::start();
    for path in ["/", "/pruning.html", "/privacy"] {
        let (code, found) = json(&[&format!("http://{}{path}", server.address())]);
        assert_eq!((code, &found["errors"], &found["warnings"]), (Some(0), &0.into(), &0.into()), "{path}: {found}");
        assert_eq!(found["site"], "demo");
        let ids: Vec<_> = found["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        assert_eq!(
            ids,
            [
                "functional",
                "functional:privacy-choice",
                "functional:text-size",
                "statistics",
                "statistics:page-counter",
                "statistics:visitor-numbers"
            ]
        );
        assert_eq!(found["ids_not_checked"], Value::Null);
    }
    // An id that only the other preset has, on a page that the notice comes to from another host.
    let service = server.address().to_string();
    let tiny = Tiny::serve(move |_| {
        html(&format!(
            "<script async src=\"http://{service}/v1/sites/demo/consent.js\"></script>\
             <iframe data-category=\"marketing\" data-src=\"/offer.html\"></iframe>"
        ))
    });
    let (code, found) = json(&[&tiny.url("/")]);
    assert_eq!((code, &found["findings"][0]["rule"]), (Some(1), &"unknown-id".into()), "{found}");
}

/// One page with one of everything.
const BAD: &str = r#"<!doctype html>
<html lang="en"><head><title>Bad</title>
<link rel="preconnect" href="https://fonts.gstatic.com" crossorigin>
<link rel="stylesheet" href="https://fonts.googleapis.com/css2?family=Inter">
<script async src="/v1/sites/demo/consent.js"></script>
<script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>
<script>gtag('js', new Date()); gtag('config', 'G-1');</script>
<script>document.cookie = "seen=1"</script>
</head><body>
<iframe src="https://www.youtube.com/embed/1" title="A film"></iframe>
<img src="https://www.facebook.com/tr?id=1" alt="">
<video src="https://player.vimeo.com/1.mp4"></video>
<script src="https://widget.unheard.example/w.js"></script>
<script type="text/plain" data-category="statistik" src="/a.js"></script>
<script type="text/javascript" data-category="statistics" src="/a.js"></script>
<iframe data-category="statistics" src="/visitors.html" title="Numbers"></iframe>
<script type="text/plain" data-service="page-counter" src="/a.js"></script>
<script type="text/plain" data-category="functional" src="https://static.hotjar.com/c.js"></script>
<script type="text/plain" data-category="statistics" data-src="/a.js"></script>
<script src="/v1/sites/demo/consent.js"></script>
</body></html>
"#;

/// What is found there: the line, the rule, whether it is an error.
const FAULTS: &[(u64, &str, bool)] = &[
    (3, "third-party", true),
    (4, "third-party", true),
    (6, "third-party", true),
    (7, "tracker-call", true),
    (8, "stores", false),
    (10, "third-party", true),
    (11, "third-party", true),
    (12, "third-party", true),
    (13, "third-party", false),
    (14, "unknown-id", true),
    (15, "runs-anyway", true),
    (16, "runs-anyway", true),
    (17, "service-alone", true),
    (18, "not-refusable", true),
    (19, "never-runs", true),
    (20, "banner", false),
];

#[test]
fn every_fault_of_a_bad_page_is_named_with_its_line_and_what_to_write() {
    let file = File::new(BAD);
    let (code, found) = json(&[file.path(), "--notice", &notice("notice")]);
    assert_eq!(code, Some(1));
    let findings = found["findings"].as_array().unwrap();
    let short: Vec<_> = findings
        .iter()
        .map(|finding| {
            let line = finding["line"].as_u64().unwrap();
            (line, finding["rule"].as_str().unwrap(), finding["severity"] == "error")
        })
        .collect();
    assert_eq!(short, FAULTS);
    let errors = FAULTS.iter().filter(|(.., error)| *error).count();
    assert_eq!((found["errors"].as_u64(), found["warnings"].as_u64()), (Some(13), Some(3)));
    assert_eq!(errors, 13);
    for finding in findings {
        for field in ["element", "what", "why", "write"] {
            assert!(finding[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {finding}");
        }
    }

    let output = lint(&[file.path(), "--notice", &notice("notice")]);
    assert_eq!(output.status.code(), Some(1));
    let text = out(&output);
    for part in [
        "error  third-party  line 6:1: script of Google Analytics (gtag)",
        "  found  <script async src=\"https://www.googletagmanager.com/gtag/js?id=G-1\">\n",
        "  write  <script type=\"text/plain\" data-category=\"statistics\" async src=\"https://www.googletagmanager.com/gtag/js?id=G-1\"></script>\n",
        "LG München I",
        "functional:privacy-choice",
        "13 errors, 3 warnings",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(text.matches("\n  write  ").count(), FAULTS.len());
}

#[test]
fn what_it_says_to_write_is_well() {
    let before = File::new(BAD);
    let (_, found) = json(&[before.path(), "--notice", &notice("choice")]);
    let mut fixed = String::from("<!doctype html><script async src=\"/v1/sites/demo/consent.js\"></script>\n");
    for finding in found["findings"].as_array().unwrap() {
        let write = finding["write"].as_str().unwrap().split(" (").next().unwrap();
        if write.starts_with('<') {
            // Where people must choose an id, one is chosen for them.
            let end = if write.ends_with("</script>") || !write.starts_with("<script") { "" } else { "</script>" };
            writeln!(fixed, "{}{end}", write.replace('…', "marketing")).unwrap();
        }
    }
    assert!(fixed.lines().count() > 10, "{fixed}");
    let after = File::new(&fixed);
    let output = lint(&[after.path(), "--notice", &notice("choice")]);
    assert_eq!(output.status.code(), Some(0), "{fixed}\n{}", said(&output));
    assert!(out(&output).contains("0 errors, 0 warnings"), "{}", said(&output));
}

#[test]
fn a_file_says_what_it_was_not_checked_for() {
    let file = File::new(
        "<script async src=\"https://consent.shop.example/v1/sites/shop/consent.js\"></script>\
         <script type=\"text/plain\" data-category=\"anything\" src=\"/a.js\"></script>\
         <script src=\"https://cdn.elsewhere.example/a.js\"></script>",
    );
    let output = lint(&[file.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(out(&output).contains("were not checked: no --notice was given"), "{}", said(&output));
    assert!(out(&output).contains("0 errors, 1 warning\n"), "{}", said(&output));
    let (code, found) = json(&[file.path(), "--at", "https://www.elsewhere.example/"]);
    assert_eq!((code, &found["warnings"]), (Some(0), &0.into()), "{found}");
    assert_eq!((&found["site"], &found["ids"]), (&"shop".into(), &Value::Null));
}

#[test]
fn a_page_is_asked_for_once_by_name_and_redirects_are_followed() {
    let tiny = Tiny::serve(|path| match path {
        "/1" => redirect("/2"),
        "/2" => redirect("/deep/3"),
        "/deep/3" => redirect("4?x=1"),
        _ => html("<script src=\"b.js\"></script>"),
    });
    let output = lint(&[&tiny.url("/1")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(out(&output).contains(&format!("leads to {}", tiny.url("/deep/4?x=1"))), "{}", said(&output));
    assert!(out(&output).contains("no consent.js that would say where its notice is"), "{}", said(&output));
    let asked = tiny.asked();
    assert_eq!(asked.len(), 4, "nothing of the page is loaded: {asked:?}");
    for head in asked {
        let head = head.to_lowercase();
        assert!(head.contains("user-agent: consent-lint-page/") && !head.contains("cookie:"), "{head}");
    }
}

#[test]
fn what_cannot_be_checked_says_why() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tiny = Tiny::serve(|path| match path {
        "/loop" => redirect("/loop"),
        "/away" => redirect("/away/x"),
        _ if path.starts_with("/away") => redirect(&format!("{path}x")),
        "/huge" => html(&"<p>".repeat((4 << 20) / 3 + 1)),
        "/endless" => {
            let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n";
            [head.as_bytes(), chunk.repeat(2000).as_bytes()].concat()
        }
        "/json" => response("200 OK", "Content-Type: application/json\r\n", b"{}"),
        "/none" => response("200 OK", "", b"<p>"),
        "/gzip" => response("200 OK", "Content-Type: text/html\r\nContent-Encoding: gzip\r\n", b"\x1f\x8b"),
        "/lost" => response("404 Not Found", "Content-Type: text/html\r\n", b"<p>Not here"),
        "/utf16" => response("200 OK", "Content-Type: text/html\r\n", b"\xff\xfe<\0p\0>\0"),
        "/cut" => b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n<p>".to_vec(),
        _ => b"no HTTP\r\n\r\n".to_vec(),
    });
    let binary = File::new(b"\0\0\0");
    let huge = File::new(vec![b' '; (4 << 20) + 1]);
    for (page, want) in [
        (tiny.url("/loop"), "redirects more than 5 times"),
        (tiny.url("/away"), "redirects more than 5 times"),
        (tiny.url("/huge"), "larger than 4 MiB"),
        (tiny.url("/endless"), "larger than 4 MiB"),
        (tiny.url("/json"), "content type is application/json, not text/html"),
        (tiny.url("/none"), "content type is none"),
        (tiny.url("/gzip"), "compressed (gzip)"),
        (tiny.url("/lost"), "404"),
        (tiny.url("/utf16"), "not HTML"),
        (tiny.url("/cut"), ""),
        (tiny.url("/nonsense"), ""),
        (format!("http://{closed}/"), ""),
        (format!("https://{}/", tiny.at), ""),
        ("http://".to_owned(), ""),
        ("http://host.invalid/".to_owned(), ""),
        (binary.path().to_owned(), "not HTML"),
        (huge.path().to_owned(), "larger than 4 MiB"),
        ("/nowhere.html".to_owned(), "No such file"),
        ("ftp://shop.example/".to_owned(), "No such file"),
        (folder("demo").to_str().unwrap().to_owned(), "directory"),
    ] {
        let output = lint(&[&page]);
        assert_eq!(output.status.code(), Some(2), "{page}: {}", said(&output));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(
            words.starts_with(&format!("consent: cannot check {page}: ")) && words.contains(want),
            "{page}: {words}"
        );
        assert!(output.stdout.is_empty(), "{page}: nothing good is said of what could not be checked");
    }
    let page = File::new("<p>");
    for args in [
        vec![],
        vec![page.path(), "--notice", "/nowhere.toml"],
        vec![page.path(), "--notice", page.path()],
        vec![page.path(), "--at", "shop.example"],
    ] {
        assert_eq!(lint(&args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_page_of_exactly_the_limit_is_read() {
    let tiny = Tiny::serve(|_| html(&" ".repeat(4 << 20)));
    let output = lint(&[&tiny.url("/")]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn a_notice_that_cannot_be_had_is_said_and_is_no_error() {
    let page =
        "<script src=\"/v1/sites/shop/consent.js\"></script><script type=\"text/plain\" data-category=\"x\"></script>";
    for (name, notice, want) in [
        ("404", response("404 Not Found", "Content-Type: application/json\r\n", b"{}"), "404"),
        ("no JSON", html(""), "content type"),
        ("another JSON", response("200 OK", "Content-Type: application/json\r\n", b"{\"categories\": 1}"), "no notice"),
        (
            "huge",
            response("200 OK", "Content-Type: application/json\r\n", &vec![b' '; (1 << 20) + 1]),
            "larger than 1 MiB",
        ),
    ] {
        let tiny = Tiny::serve(move |path| if path == "/v1/sites/shop/notice" { notice.clone() } else { html(page) });
        let output = lint(&[&tiny.url("/")]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", said(&output));
        let text = out(&output);
        assert!(text.contains("were not checked") && text.contains(want), "{name}: {text}");
        let (_, found) = json(&[&tiny.url("/")]);
        assert!(found["ids_not_checked"].as_str().is_some_and(|why| why.contains(want)), "{name}: {found}");
    }
}

#[test]
fn a_page_cannot_steer_the_terminal() {
    let file = File::new("<script src=\"https://a.unheard.example/\u{1b}[2J\u{7}.js\"></script>");
    let output = lint(&[file.path()]);
    assert!(out(&output).contains("unheard.example"), "{}", said(&output));
    assert!(!output.stdout.iter().any(|byte| matches!(byte, 0..=9 | 11..=31 | 127)), "{}", said(&output));
}

#[test]
fn the_rules_can_be_listed_and_the_help_has_an_example() {
    let output = lint(&["--rules"]);
    assert_eq!(output.status.code(), Some(0));
    for (.., rule, _) in FAULTS {
        assert!(out(&output).contains(&format!("{rule}\t")), "{rule}");
    }
    let output = lint(&["--help"]);
    assert!(out(&output).contains("Example:\n  consent lint-page https://"), "{}", said(&output));
}
