//! What no client of ours sends: odd paths, headers, cookies and bytes. Never a 5xx, never a hang, and the server lives on.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use consent_tests::{Answer, Api, DecisionBody, ORIGIN, TestServer, check_log, log_size, new_subject};

/// Longer than any time-out of the server, so that a read which meets this has found a hang.
const HANG: Duration = Duration::from_secs(45);

/// How long to wait for an answer before saying that nothing more will come.
const SOON: Duration = Duration::from_millis(500);

/// Sends bytes as they are and reads until the server closes. If that does not happen soon, says that nothing more will come.
pub(crate) fn raw(server: &TestServer, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // A server that refuses early closes while we still write: that is an answer, too.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let mut waited = false;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return answer,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(error) if is_timeout(&error) && !waited => {
                waited = true;
                stream.set_read_timeout(Some(HANG)).unwrap();
                drop(stream.shutdown(Shutdown::Write));
            }
            Err(error) if is_timeout(&error) => {
                panic!("no end within {HANG:?} after {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]))
            }
            // Reset: the server had enough.
            Err(_) => return answer,
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// The status of the first answer; `None` if the connection was closed without one.
fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    text.strip_prefix("HTTP/1.1 ").or_else(|| text.strip_prefix("HTTP/1.0 "))?.get(..3)?.parse().ok()
}

/// The status of GET for a path that is sent as it is.
fn get_raw(server: &TestServer, path: &str) -> Option<u16> {
    status(&raw(server, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()))
}

fn still_serves(server: &mut TestServer) {
    assert!(server.is_running(), "the process has ended");
    let api = server.api();
    let subject = new_subject();
    api.decide(&DecisionBody::save(&["statistics"]).by(subject)).expect(201);
    assert!(api.allowed(subject, "statistics"));
    let logged = server.logged();
    assert!(!logged.contains("panicked") && !logged.contains("ERROR"), "{logged}");
}

#[test]
fn no_path_leads_out_of_what_is_served() {
    let mut server = TestServer::start();
    let secrets = ["BEGIN PRIVATE KEY", "SQLite format", "root:x:"];
    let escapes = [
        "..",
        "../..",
        "..%2f..",
        "%2e%2e/%2e%2e",
        "%2e%2e%2f%2e%2e%2f",
        "..%5c..%5c",
        "....//....//",
        "..;/..;",
        "%252e%252e%252f",
        ".%00./",
        "/",
        "//",
        "%c0%ae%c0%ae/",
        "..%ef%bc%8f",
    ];
    for prefix in [
        "/",
        "/assets/",
        "/v1/sites/demo/log/tile/0/",
        "/v1/sites/",
        "/v1/sites/demo/",
        "/docs/",
        "//",
        "/v1/sites/demo/records/",
    ] {
        for escape in escapes {
            for target in [
                "consent.db",
                "keys",
                "etc/passwd",
                "../../../../../../etc/passwd",
                "..%2f..%2f..%2f..%2fetc%2fpasswd",
                "/etc/passwd",
                "",
            ] {
                let path = format!("{prefix}{escape}/{target}");
                let answer = raw(
                    &server,
                    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
                );
                let text = String::from_utf8_lossy(&answer);
                assert!(!secrets.iter().any(|secret| text.contains(secret)), "{path}: {text}");
                let status = status(&answer);
                assert!(status.is_some_and(|status| (400..500).contains(&status)), "{path}: {status:?}");
            }
        }
    }
    still_serves(&mut server);
}

#[test]
fn odd_spellings_of_a_path_are_refused_or_not_found() {
    let mut server = TestServer::start();
    let api = "/v1/sites/demo";
    let subject = new_subject();
    let paths = [
        "*".to_owned(),
        "/%".to_owned(),
        "/%zz".to_owned(),
        "/%ff%fe".to_owned(),
        "/%00".to_owned(),
        "/v1/sites/%ff/notice".to_owned(),
        "/v1/sites/%/notice".to_owned(),
        "/v1/sites/demo%00/notice".to_owned(),
        "/v1/sites/demo%20/notice".to_owned(),
        "/v1/sites/demo%0d%0aset-cookie:x=y/notice".to_owned(),
        "/v1/sites/DEMO/notice".to_owned(),
        "/v1/sites//notice".to_owned(),
        "/v1/sites/demo/notice/".to_owned(),
        "/v1//sites/demo/notice".to_owned(),
        "/V1/sites/demo/notice".to_owned(),
        "/v1/sites/demo/./notice".to_owned(),
        format!("/v1/sites/{}/notice", "a".repeat(33)),
        format!("/v1/sites/{}/notice", "a".repeat(20_000)),
        format!("/v1/sites/{}/notice", "%61".repeat(9_000)),
        format!("/{}", "a/".repeat(20_000)),
        format!("{api}/subjects/%ff/consent"),
        format!("{api}/subjects/{subject}/consent?category=%ff"),
        format!("{api}/subjects/{subject}/consent?%ff=%ff&&&==&"),
        format!("{api}/subjects/{subject}/consent?category={}", "a".repeat(20_000)),
        format!("{api}/records/%ff/receipt"),
        format!("{api}/records/{}/receipt", "0".repeat(5_000)),
        format!("{api}/notice?lang=en&lang=de"),
        "/assets/".to_owned(),
        "/assets/core.js%00.br".to_owned(),
        "/assets/manifest.json".to_owned(),
    ];
    for path in paths {
        let status = get_raw(&server, &path);
        let shown: String = path.chars().take(80).collect();
        assert!(status.is_some_and(|status| (400..500).contains(&status)), "{shown}: {status:?}");
    }
    // The script is compressed for who asks first, which may take longer than the requests below wait.
    server.api().get(&format!("{api}/consent.js?lang=en")).expect(200);
    // A language that is not offered, or is none, gets the default one: a banner must come up.
    for lang in ["", "xx", "%00", "en-", "../../etc", "%3Cscript%3E", &"a".repeat(5_000)] {
        for what in ["notice", "consent.js"] {
            assert_eq!(get_raw(&server, &format!("{api}/{what}?lang={lang}")), Some(200), "{what} {lang}");
        }
    }
    still_serves(&mut server);
}

#[test]
fn a_tile_has_one_path() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let grant = DecisionBody::save(&["statistics"]).by(subject);
    api.decide(&grant).expect(201);
    api.receipt(subject, grant.id()).expect(200);
    let size = check_log(server.data()).unwrap()[0].published.unwrap();
    for tile in [
        "0/0",
        "0/00",
        "0/0000",
        "0/000",
        "0/x000/000",
        "0/x000",
        "0/000.p/0",
        "0/000.p/00",
        "0/000.p/01",
        "0/000.p/256",
        "0/000.p/257",
        "0/000.p/-1",
        "0/000.p/+1",
        "0/000.p/",
        "0/000.p",
        "0/000.p/1/",
        "0/000.p/1.p/1",
        "0/000/.p/1",
        "0/000.P/1",
        "0/000.p/1%20",
        "0/000.p/٣",
        "00/000.p/1",
        "01/000.p/1",
        "+0/000.p/1",
        "-1/000.p/1",
        "64/000.p/1",
        "256/000.p/1",
        "99999999999999999999/000.p/1",
        "/000.p/1",
        "x/000.p/1",
        "data/000.p/1",
        "0/001.p/1",
        "0/1000.p/1",
        "0/001/000.p/1",
        "0/x001/000.p/1",
        "0/X001/000.p/1",
        "0/x999/x999/x999/x999/x999/x999/999.p/1",
        "0/18446744073709551615",
        "1/000.p/1",
        "0/000.p/99999999999999999999",
    ] {
        let path = format!("/v1/sites/demo/log/tile/{tile}");
        let answer =
            raw(&server, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes());
        // Raw bytes that are not ASCII are no request line at all.
        let want = if tile.is_ascii() { Some(404) } else { Some(400) };
        let got = status(&answer);
        assert!(got == want || got == Some(404), "{tile}: {got:?}");
    }
    assert_eq!(get_raw(&server, &format!("/v1/sites/demo/log/tile/0/000.p/{size}")), Some(200));
}

#[test]
fn bytes_that_are_no_http_are_answered_or_dropped() {
    let mut server = TestServer::start();
    let size = log_size(server.data());
    let body = DecisionBody::save(&["statistics"]).0.to_string();
    let origin = server.api().origin().to_owned();
    let post = |headers: &str, body: &str| {
        format!(
            "POST /v1/sites/demo/decisions HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
        )
    };
    let length = body.len();
    let requests: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\r\n\r\n\r\n".to_vec(),
        b"\0\0\0\0\0\0\0\0".to_vec(),
        vec![0xff; 10_000],
        b"GET".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"get / http/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET http://evil.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n".to_vec(),
        b"TRACE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"SSH-2.0-OpenSSH_9.2p1\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n: no name\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: x\r\n folded: c\r\n\r\n".to_vec(),
        [b"GET /".to_vec(), vec![b'a'; 200_000], b" HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()].concat(),
        [b"GET / HTTP/1.1\r\nHost: x\r\nCookie: consent=".to_vec(), vec![b'a'; 600_000], b"\r\n\r\n".to_vec()].concat(),
        [b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec(), b"a: b\r\n".repeat(5_000), b"\r\n".to_vec()].concat(),
        post(&format!("Content-Length: {length}\r\nContent-Length: {}\r\n", length + 1), &body).into_bytes(),
        post("Content-Length: -1\r\n", &body).into_bytes(),
        post("Content-Length: 99999999999999999999999\r\n", &body).into_bytes(),
        post(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked, identity\r\n"), &body).into_bytes(),
        post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n").into_bytes(),
        post("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n{}\r\n").into_bytes(),
        post("Transfer-Encoding: chunked\r\n", &format!("{length:x}\r\n{body}")).into_bytes(),
        post(&format!("Content-Length: {}\r\n", length + 10), &body).into_bytes(),
        post(&format!("Content-Length: {}\r\n", length - 1), &body).into_bytes(),
        post(&format!("Content-Encoding: gzip\r\nContent-Length: {length}\r\nOrigin: https://evil.example\r\n"), &body)
            .into_bytes(),
    ];
    for request in requests {
        let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
        let status = status(&raw(&server, &request));
        assert!(status.is_none_or(|status| status < 500 && status != 201), "{shown:?}: {status:?}");
    }
    assert_eq!(log_size(server.data()), size, "half a body, or a doubled header, is no decision");
    still_serves(&mut server);
}

#[test]
fn a_request_smuggled_behind_another_gets_its_own_check() {
    let server = TestServer::start();
    let size = log_size(server.data());
    let body = DecisionBody::save(&["statistics"]).0.to_string();
    // Two in one segment: the second has no Origin, whatever the first had.
    let origin = server.api().origin().to_owned();
    let head = |origin: &str, close: &str| {
        format!(
            "POST /v1/sites/demo/decisions HTTP/1.1\r\nHost: x\r\n{origin}Content-Type: application/json\r\n{close}Content-Length: {}\r\n\r\n",
            body.len()
        )
    };
    let both =
        format!("{}{body}{}{body}", head(&format!("Origin: {origin}\r\n"), ""), head("", "Connection: close\r\n"));
    let answer = raw(&server, both.as_bytes());
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(text.matches("HTTP/1.1 201").count(), 1, "{text}");
    assert_eq!(text.matches("HTTP/1.1 403").count(), 1, "{text}");
    assert_eq!(log_size(server.data()), size + 1);
}

#[test]
fn a_cookie_of_any_shape_is_never_an_error_and_never_a_grant() {
    let server = TestServer::start();
    let api = server.api();
    let subject = new_subject();
    let granting = format!("1.1.1700000000.{}.statistics.", subject.to_base64url());
    let cookies = [
        "",
        ";",
        "=",
        "consent",
        "consent=",
        "consent=1",
        "consent=......",
        "consent=2.1.1.-..",
        "consent=1.1.1.-.statistics.s.",
        "consent=\"x",
        "consent=%00",
        "consent=1.99999999999.1.-..",
        "consent=1.1.-1.-..",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        format!("consent={granting}"),
        format!("consent={granting}; consent=1.1.1.-.."),
        format!("consent={}", "a".repeat(4096)),
        format!("consent={}", "~statistics".repeat(500)),
        "consent=\u{ff}\u{fe}".to_owned(),
        "x=y; ".repeat(2_000),
    ]);
    // The script is compressed for who asks first, which may take longer than the requests below wait.
    api.get("/v1/sites/demo/consent.js").expect(200);
    for cookie in cookies {
        for path in ["/", "/v1/sites/demo/consent.js", "/v1/sites/demo/notice", "/docs"] {
            let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
            assert_eq!(status(&raw(&server, head.as_bytes())), Some(200), "{path} {:?}", cookie.get(..60));
        }
        // What a browser carries decides nothing about what is recorded.
        let headers = [("origin", ORIGIN), ("content-type", "application/json"), ("cookie", cookie.as_str())];
        if cookie.is_ascii() {
            let body = DecisionBody::save(&[]).by(new_subject()).0.to_string();
            let answer = api.send("POST", "/v1/sites/demo/decisions", &headers, body.as_bytes()).expect(201);
            assert_eq!(answer.json()["consent"]["categories"]["statistics"], "denied");
        }
    }
    assert!(!api.allowed(subject, "statistics"), "a cookie is no record");
}

#[test]
fn the_script_is_the_same_for_every_visitor() {
    let server = TestServer::start();
    let api = server.api();
    let ask = |headers: &[(&str, &str)]| api.send("GET", "/v1/sites/demo/consent.js?lang=en", headers, &[]).expect(200);
    let plain = ask(&[]);
    let cookie = format!("consent=1.1.1700000000.{}.statistics.", new_subject().to_base64url());
    for headers in [
        [("cookie", &*cookie)],
        [("sec-gpc", "1")],
        [("dnt", "1")],
        [("user-agent", "other")],
        [("origin", "https://evil.example")],
    ] {
        let other = ask(&headers);
        assert_eq!(other.body, plain.body, "{headers:?}");
        assert_eq!(other.header("etag"), plain.header("etag"));
        assert!(other.headers.get("set-cookie").is_none());
        assert!(!other.header("vary").to_lowercase().contains("cookie"));
    }
    assert_eq!(plain.header("cache-control"), "public, max-age=300, stale-while-revalidate=86400");
    assert!(!plain.header("vary").contains("Accept-Language"), "a language that was asked for is in the address");
    let negotiated = |languages: &str| {
        api.send("GET", "/v1/sites/demo/consent.js", &[("accept-language", languages)], &[]).expect(200)
    };
    let german = negotiated("fr, de;q=0.9, en;q=0.8");
    assert!(german.header("vary").contains("Accept-Language"));
    assert_ne!(german.body, plain.body);
    for odd in ["", "*", ";;;", "de;q=x", "de;q=-1", "de;q=nan", ",,,,", &"de,".repeat(3_000), "\u{fc}"] {
        assert!(!negotiated(odd).body.is_empty(), "{odd}");
    }
    let same = api.send("GET", "/v1/sites/demo/consent.js?lang=en", &[("if-none-match", &plain.header("etag"))], &[]);
    assert_eq!((same.status, same.body.len()), (304, 0));
}

fn statuses(api: &Api, path: &str) -> Vec<(&'static str, Answer)> {
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
        .into_iter()
        .map(|method| (method, api.send(method, path, &[("origin", "https://evil.example")], b"")))
        .collect()
}

#[test]
fn every_method_on_every_route_is_answered() {
    let mut server = TestServer::start();
    let api = server.api();
    let size = log_size(server.data());
    let subject = new_subject();
    for path in [
        "/v1/sites/demo/decisions",
        "/v1/sites/demo/records",
        "/v1/sites/demo/notice",
        "/v1/sites/demo/consent.js",
        "/v1/sites/demo/log/checkpoint",
        "/v1/sites/demo/export",
        "/v1/sites/demo/consent/check",
        &format!("/v1/sites/demo/subjects/{subject}/consent"),
        &format!("/v1/sites/demo/records/{subject}/receipt"),
        "/docs",
        "/openapi.json",
    ] {
        for (method, answer) in statuses(&api, path) {
            assert!(answer.status < 500, "{method} {path}: {}", answer.status);
            assert_eq!(answer.header("access-control-allow-credentials"), "", "{method} {path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{method} {path}: {}", answer.status);
        }
    }
    assert_eq!(log_size(server.data()), size);
    still_serves(&mut server);
}

#[test]
fn every_refusal_below_v1_is_a_problem() {
    let server = TestServer::start();
    let api = server.api();
    for (method, path) in [
        ("GET", "/v1/sites"),
        ("GET", "/v1/sites/demo"),
        ("GET", "/v1/sites/demo/nothing"),
        ("GET", "/v1/sites/other/notice"),
        ("GET", "/v1/sites/other/consent.js"),
        ("GET", "/v1/sites/other/log/checkpoint"),
        ("POST", "/v1/sites/other/decisions"),
        ("GET", "/v1/sites/demo/decisions"),
        ("DELETE", "/v1/sites/demo/records"),
        ("GET", "/v1/sites/%ff/notice"),
        ("GET", "/v1/sites/demo/notice?lang=en&lang=de"),
        ("GET", "/v1/sites/demo/log/tile/0/000.p/200"),
    ] {
        let answer = api.send(method, path, &[("origin", ORIGIN)], b"");
        assert!((400..500).contains(&answer.status), "{method} {path}: {}", answer.status);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{method} {path}: {} {}",
            answer.status,
            answer.text()
        );
        answer.problem();
    }
}

#[test]
fn a_request_that_never_ends_is_cut_off_and_holds_up_nobody() {
    let mut server = TestServer::start();
    let size = log_size(server.data());
    let origin = server.api().origin().to_owned();
    let starts = [
        "GET / HTTP/1.1\r\nHost: x\r\n".to_owned(),
        format!(
            "POST /v1/sites/demo/decisions HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{{\"id\":"
        ),
    ];
    let open: Vec<TcpStream> = starts
        .iter()
        .cycle()
        .take(100)
        .map(|start| {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(start.as_bytes()).unwrap();
            stream.set_read_timeout(Some(HANG)).unwrap();
            stream
        })
        .collect();
    still_serves(&mut server);
    for (number, mut stream) in open.into_iter().enumerate() {
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let hangs = end
            .is_err_and(|error| matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut));
        assert!(!hangs, "connection {number} ({:?}) is still open after {HANG:?}", &starts[number % 2][..30]);
        assert!(status(&answer).is_none_or(|status| status < 500 || status == 504), "{:?}", status(&answer));
    }
    assert_eq!(log_size(server.data()), size + 1, "only what still_serves recorded");
}

#[test]
fn a_stop_does_not_wait_for_idle_connections() {
    let mut server = TestServer::start();
    let mut idle = TcpStream::connect(server.address()).unwrap();
    idle.write_all(b"GET /v1/sites/demo/notice HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    idle.set_read_timeout(Some(HANG)).unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert!(server.terminate().success());
    let mut rest = Vec::new();
    drop(idle.read_to_end(&mut rest));
    // What was recorded last is in the published checkpoint.
    let log = &check_log(server.data()).unwrap()[0];
    assert_eq!(log.published, Some(log.size));
}
