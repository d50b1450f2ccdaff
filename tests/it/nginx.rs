//! nginx keeps back what needs consent, by the configuration that docs/nginx.md shows.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use consent_tests::{Api, DecisionBody, TestServer, new_subject, wait_until};
use serde_json::json;
use tempfile::TempDir;

const SECRET: &str = "Four hundred and eleven people";

/// A running nginx in a folder of its own. Ended when dropped.
struct Nginx {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

/// Where nginx is. A machine without it has not tested what the documentation promises.
fn binary() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = places.map(|place| place.join("nginx")).find(|file| file.is_file());
    found.expect("nginx is missing: apt-get install nginx (make setup-test does)")
}

/// The configuration in the documentation, with the addresses of this test.
fn documented(service: SocketAddr, listen: SocketAddr, root: &Path) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../docs/nginx.md"].iter().collect();
    let text = std::fs::read_to_string(path).unwrap();
    let block = text.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut config = block.to_owned();
    for (shown, ours) in [
        ("server 127.0.0.1:8099;", format!("server {service};")),
        ("listen 80;", format!("listen {listen};")),
        ("root /srv/shop;", format!("root {};", root.display())),
        ("/v1/sites/shop/", "/v1/sites/demo/".to_owned()),
    ] {
        assert!(config.contains(shown), "docs/nginx.md has no \"{shown}\"");
        config = config.replace(shown, &ours);
    }
    config
}

impl Nginx {
    fn start(service: SocketAddr) -> Self {
        let folder = TempDir::with_prefix("consent-nginx-").unwrap();
        let root = folder.path().join("root");
        for (page, text) in [("index.html", "Welcome"), ("visitors/index.html", SECRET), ("offers/index.html", SECRET)]
        {
            let file = root.join(page);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let listen = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let at = folder.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        // A worker that root starts would be somebody who may not read this folder.
        let user = if is_root() { "user root;" } else { "" };
        let config = format!(
            "{user}\ndaemon off;\nworker_processes 1;\npid {at}/pid;\nerror_log {at}/error.log;\n\
             events {{ worker_connections 64; }}\nhttp {{\naccess_log {at}/access.log;\n{temporary}{}\n}}\n",
            documented(service, listen, &root)
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child = Command::new(binary())
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("nginx can be started");
        let mut nginx = Self { child, address: listen, folder };
        let api = nginx.api();
        wait_until("nginx to answer", || {
            let ended = nginx.child.try_wait().unwrap();
            assert!(ended.is_none(), "nginx ended: {ended:?}\n{}", nginx.errors());
            api.try_get("/").is_ok_and(|answer| answer.status == 200)
        });
        nginx
    }

    fn api(&self) -> Api {
        Api::new(&format!("http://{}/", self.address), "", "", "")
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }

    /// The page as a visitor with this cookie gets it: whether it is the guarded one.
    fn shows(&self, page: &str, cookie: &str, headers: &[(&str, &str)]) -> bool {
        let cookie = format!("consent={cookie}");
        let headers: Vec<_> = headers.iter().copied().chain([("cookie", &*cookie)]).collect();
        let answer = self.api().send("GET", page, &headers, &[]);
        assert!(answer.header("cache-control").contains("no-store"), "{:?}", answer.headers);
        let shown = answer.text().contains(SECRET);
        let want = if shown { (200, SECRET) } else { (403, "This needs your consent") };
        assert!(answer.status == want.0 && answer.text().contains(want.1), "{} {}", answer.status, answer.text());
        shown
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the master takes its worker with it.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id is there");
    id.stdout.trim_ascii() == b"0"
}

#[test]
fn a_page_that_needs_consent_is_shown_only_with_it() {
    let mut server = TestServer::choice();
    let nginx = Nginx::start(server.address());
    let (api, through) = (server.api(), nginx.api());
    through.get("/v1/sites/demo/notice").expect(200);

    for cookie in ["", "1.1.x", "1.1.1700000000.-.statistics."] {
        assert!(!nginx.shows("/visitors/", cookie, &[]), "{cookie}");
    }
    let grant = DecisionBody::save(&["statistics", "marketing"]).by(new_subject());
    // Through the proxy as well, as the page's own script would; the demo's origin stands for the shop's.
    let headers = [("origin", api.origin()), ("content-type", "application/json")];
    let answer = through.send("POST", "/v1/sites/demo/decisions", &headers, grant.0.to_string().as_bytes());
    let cookie = answer.expect(201).cookie().unwrap();
    assert!(nginx.shows("/visitors/", &cookie, &[]) && nginx.shows("/offers/", &cookie, &[]));

    for signal in ["Sec-GPC", "DNT"] {
        assert!(!nginx.shows("/offers/", &cookie, &[(signal, "1")]), "{signal}");
        assert!(nginx.shows("/visitors/", &cookie, &[(signal, "1")]), "the notice does not say that it heeds {signal}");
    }
    // With a body and another method, or a log-in of the site's own, the question stays the same.
    let body = through.send("POST", "/visitors/", &[("cookie", &*format!("consent={cookie}"))], b"a=b");
    assert_eq!(body.status, 405, "authorized, and then not for static files: {}", body.text());
    assert!(nginx.shows("/visitors/", &cookie, &[("authorization", "Basic YTpi")]));
    // Nobody asks the guard itself, or goes around it.
    for path in ["/_consent/statistics", "/_consent/statistics/"] {
        assert_eq!(through.get(path).status, 404, "{path}");
    }
    for path in ["//visitors/", "/./visitors/index.html", "/visitors/%69ndex.html", "/offers/../visitors/"] {
        let answer = through.get(path);
        assert!(!answer.text().contains(SECRET), "{path}: {}", answer.text());
    }

    let subject = grant.0["subject"].as_str().unwrap();
    let revoke = DecisionBody::new("api", "none", &[]).with("source", "phone").with("subject", json!(subject));
    api.decide_for(&revoke).expect(201);
    assert!(!nginx.shows("/visitors/", &cookie, &[]), "revoked elsewhere, with the old cookie");

    let grant = DecisionBody::save(&["statistics"]).by(new_subject());
    let cookie = api.decide(&grant).expect(201).cookie().unwrap();
    assert!(nginx.shows("/visitors/", &cookie, &[]));
    server.kill();
    assert!(!nginx.shows("/visitors/", &cookie, &[]), "the service is away");
    assert!(nginx.errors().contains("auth request unexpected status: 502"), "{}", nginx.errors());
}

/// docs/operation.md shows a server for the whole service: Debian's nginx takes it. (Without its certificate, which is not here.)
#[test]
fn the_configuration_for_operators_is_one_that_nginx_takes() {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../docs/operation.md"].iter().collect();
    let text = std::fs::read_to_string(path).unwrap();
    let block = text.split("```nginx\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(block.contains("listen 443 ssl http2;"), "{block}");
    let block = block.replace("listen 443 ssl http2;", "listen 127.0.0.1:18443 http2;");
    let lines: Vec<&str> = block.lines().filter(|line| !line.contains("ssl_certificate")).collect();
    let folder = TempDir::with_prefix("consent-nginx-").unwrap();
    let file = folder.path().join("nginx.conf");
    let at = folder.path().display();
    let config = format!(
        "pid {at}/pid;\nerror_log {at}/error.log;\nevents {{}}\nhttp {{\nclient_body_temp_path {at}/body;\n\
         proxy_temp_path {at}/proxy;\nfastcgi_temp_path {at}/fastcgi;\nuwsgi_temp_path {at}/uwsgi;\n\
         scgi_temp_path {at}/scgi;\n{}\n}}\n",
        lines.join("\n")
    );
    std::fs::write(&file, config).unwrap();
    let output = Command::new(binary()).arg("-t").arg("-c").arg(&file).output().expect("nginx can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
