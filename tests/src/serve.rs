//! `consent serve` on data and a configuration of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;

use crate::api::Api;
use crate::server::{binary, consent, wait_until};

/// The origin that the site's pages have.
pub const SHOP: &str = "https://shop.example";

/// A folder with the site `demo`, its notice and keys: what `consent serve` needs.
#[derive(Debug)]
pub struct Installed {
    folder: TempDir,
    backend: String,
    officer: String,
    admin: String,
    /// The public key of the site's log.
    pub log_key: String,
}

impl Installed {
    /// Sets one up by the commands that an operator uses.
    ///
    /// # Panics
    /// If one of them fails.
    #[expect(clippy::new_without_default, reason = "it starts processes")]
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("consent-serve-").expect("a temporary folder can be made");
        let mut made = Self {
            folder,
            backend: String::new(),
            officer: String::new(),
            admin: String::new(),
            log_key: String::new(),
        };
        let notice = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consent-server/notices/demo-notice.toml");
        let created =
            made.command(&["site", "create", "demo", "--log-origin", "shop.example/consent", "--origin", SHOP]);
        created.lines().last().unwrap_or_default().clone_into(&mut made.log_key);
        made.command(&["notice", "publish", notice.to_str().expect("UTF-8"), "--site", "demo"]);
        for (role, key) in [("backend", 0), ("officer", 1), ("admin", 2)] {
            let text = made.command(&["key", "create", "--role", role, "--site", "demo"]).trim().to_owned();
            *[&mut made.backend, &mut made.officer, &mut made.admin][key] = text;
        }
        made
    }

    /// The folder that everything is in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Runs a command on the data, which must exit with 0.
    ///
    /// # Panics
    /// If it does not.
    pub fn command(&self, args: &[&str]) -> String {
        let output = self.try_command(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{args:?}: {}\n{out}\n{err}", output.status);
        out.into_owned()
    }

    /// Runs a command on the data.
    pub fn try_command(&self, args: &[&str]) -> Output {
        let data = self.data();
        consent(args.iter().copied().chain(["--data", data.to_str().expect("UTF-8")]))
    }

    /// Serves it with this `consent.toml`; address and folder are added.
    ///
    /// # Panics
    /// If it does not start.
    pub fn serve(&self, config: &str) -> Serving {
        self.try_serve(config, &[]).unwrap_or_else(|logged| panic!("consent serve did not start:\n{logged}"))
    }

    /// As [`Self::serve`] with more arguments; what it logged if it does not start.
    ///
    /// # Errors
    /// What it said before it ended.
    pub fn try_serve(&self, config: &str, args: &[&str]) -> Result<Serving, String> {
        let mut command = Command::new(binary());
        self.add(&mut command, config, args);
        self.start(command)
    }

    /// Adds what [`Self::serve`] adds to a command that ends in the binary.
    pub fn add(&self, command: &mut Command, config: &str, args: &[&str]) {
        let path = self.folder().join("consent.toml");
        let data = self.data();
        let text = format!("listen = \"127.0.0.1:0\"\ndata = {:?}\n{config}", data.to_str().expect("UTF-8"));
        std::fs::write(&path, text).expect("a file can be written");
        command.args(["serve", "--config"]).arg(path).args(args);
    }

    /// Starts a command that [`Self::add`] has completed.
    ///
    /// # Errors
    /// What it said before it ended.
    pub fn start(&self, mut command: Command) -> Result<Serving, String> {
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONSENT_")) {
            command.env_remove(name);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary can be started");
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let logged = Arc::new(Mutex::new(String::new()));
        let lines = Arc::clone(&logged);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push_str(&line);
                lines.push('\n');
            }
        });
        let mut serving = Serving { child, logged, address: None, metrics: None };
        let mut ended = false;
        wait_until("consent serve to listen or end", || {
            let logged = serving.logged();
            let address = |before: &str| {
                let (_, after) = logged.split_once(before)?;
                let end = after.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))?;
                after[..end].parse().ok()
            };
            serving.address = address("listening on http://");
            serving.metrics = address("metrics on http://");
            ended = !matches!(serving.child.try_wait(), Ok(None));
            serving.address.is_some() || ended
        });
        if serving.address.is_none() {
            // What it said last may still be on its way.
            std::thread::sleep(std::time::Duration::from_millis(100));
            return Err(serving.logged());
        }
        Ok(serving)
    }

    /// The API of a server that serves this.
    pub fn api(&self, serving: &Serving) -> Api {
        Api::new(&format!("http://{}", serving.address()), &self.backend, &self.officer, &self.admin)
    }
}

/// A running `consent serve`. Killed when dropped.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    logged: Arc<Mutex<String>>,
    address: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
}

impl Serving {
    /// Where it listens.
    ///
    /// # Panics
    /// Never: it is only handed out once it listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it listens")
    }

    /// Where `/metrics` is.
    ///
    /// # Panics
    /// If it was not configured.
    pub fn metrics(&self) -> SocketAddr {
        self.metrics.expect("metrics_listen is configured")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends it SIGTERM.
    ///
    /// # Panics
    /// If that cannot be sent.
    pub fn ask_to_stop(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM could not be sent");
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("consent serve to end", || {
            status = self.child.try_wait().expect("our own child can be waited for");
            status.is_some()
        });
        status.expect("waited until it is there")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- consent serve logged:\n{}---", self.logged());
        }
    }
}
