//! The real binary, started and ended.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Seek};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::api::Api;

/// How long anything may take that ought to take a moment. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// The binary under test: `CONSENT_BIN`, or `consent` beside the folder of the test executable.
///
/// # Panics
/// If it is not there: a test that ran against nothing must not pass.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("CONSENT_BIN") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "CONSENT_BIN names {}, which is not a file", path.display());
        return path;
    }
    built("consent", "-p consent-server")
}

/// The example of this name, as `cargo test --workspace` builds it.
///
/// # Panics
/// If it is not there.
pub fn example(name: &str) -> PathBuf {
    built(&format!("examples/{name}"), &format!("-p examples --example {name}"))
}

/// A program in the folder of what cargo builds.
fn built(name: &str, how: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the system says where the running test is");
    let folder = test.parent().and_then(Path::parent).expect("a test is in target/PROFILE/deps");
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not there: build it with `cargo build {how}`", path.display());
    if let Some(newer) = newer_source(&path) {
        eprintln!("note: {} is older than {newer}: `cargo build {how}`", path.display());
    }
    path
}

/// A file that the binary was built from and that was changed since: what is tested then is not what is there.
fn newer_source(binary: &Path) -> Option<String> {
    let changed = |path: &Path| path.metadata().ok()?.modified().ok();
    let built = changed(binary)?;
    let sources = std::fs::read_to_string(binary.with_extension("d")).ok()?;
    let mut sources = sources.split_whitespace().skip(1);
    sources.find(|source| changed(Path::new(source)).is_some_and(|at| at > built)).map(str::to_owned)
}

/// Runs a command of the binary to its end.
///
/// # Panics
/// If it cannot be started.
pub fn consent<I>(args: I) -> Output
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    Command::new(binary())
        .args(args)
        .env_remove("CONSENT_DATA")
        .env_remove("CONSENT_LISTEN")
        .stdin(Stdio::null())
        .output()
        .expect("the binary can be started")
}

/// Asks again and again until the answer is yes.
///
/// # Panics
/// If it is not within a minute.
pub fn wait_until(what: &str, mut yes: impl FnMut() -> bool) {
    let start = Instant::now();
    while !yes() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How to start the demo.
#[derive(Debug, Default, Clone)]
pub struct Demo {
    preset: Option<&'static str>,
    data: Option<PathBuf>,
    temporary: bool,
    listen: Option<SocketAddr>,
    args: Vec<String>,
    variables: Vec<(&'static str, &'static str)>,
}

impl Demo {
    /// With the preset of that name.
    #[must_use]
    pub fn preset(mut self, preset: &'static str) -> Self {
        self.preset = Some(preset);
        self
    }

    /// On the data in this folder, which outlives the server.
    #[must_use]
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// On data that the demo itself makes and removes.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    /// At this address instead of a free one: that of a server which has ended.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address);
        self
    }

    /// With these arguments beside the others.
    #[must_use]
    pub fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// With this variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(self) -> TestServer {
        TestServer::launch(self)
    }
}

/// What the demo says about itself in its first line.
#[derive(Debug, Clone)]
struct Told {
    site_url: String,
    backend_key: String,
    officer_key: String,
    admin_key: String,
    log_key: String,
    data: PathBuf,
}

/// A running `consent demo`. Killed when dropped.
#[derive(Debug)]
pub struct TestServer {
    child: Child,
    told: Told,
    data: PathBuf,
    stderr: std::fs::File,
    // Last, so that it is removed after the process has gone.
    _temporary: Option<TempDir>,
}

impl TestServer {
    /// On fresh data with the preset `notice`: `functional` (necessary) and `statistics`.
    pub fn start() -> Self {
        Demo::default().start()
    }

    /// On fresh data with the preset `choice`: as `notice`, and `marketing`, which follows signals.
    pub fn choice() -> Self {
        Demo::default().preset("choice").start()
    }

    /// On the data in this folder.
    pub fn start_in(data: &Path) -> Self {
        Demo::default().data(data).start()
    }

    fn launch(demo: Demo) -> Self {
        let (data, temporary) = if demo.temporary || demo.data.is_some() {
            (demo.data, None)
        } else {
            let folder = TempDir::with_prefix("consent-test-").expect("a temporary folder can be made");
            (Some(folder.path().join("data")), Some(folder))
        };
        let stderr = tempfile::tempfile().expect("a temporary file can be made");
        let listen = demo.listen.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        let mut child = Command::new(binary())
            .args(["demo", "--json", "--listen", &listen, "--preset", demo.preset.unwrap_or("notice")])
            .args(&demo.args)
            .args(data.iter().flat_map(|data| [OsStr::new("--data"), data.as_os_str()]))
            .env_remove("CONSENT_LOG")
            .envs(demo.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr.try_clone().expect("a file handle can be doubled"))
            .spawn()
            .expect("the binary can be started");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).map(|_| line);
            // Nobody may be waiting any more; what else the process says is of no interest, but must not block it.
            drop(sender.send(read));
            drop(std::io::copy(&mut stdout, &mut std::io::sink()));
        });
        let line = receiver.recv_timeout(PATIENCE).ok().and_then(Result::ok).unwrap_or_default();
        let told = serde_json::from_str(&line).ok().as_ref().and_then(tell);
        let Some(told) = told else {
            drop(child.kill());
            drop(child.wait());
            panic!("consent demo did not start; it said {line:?} and\n{}", read_all(&stderr));
        };
        let data = told.data.clone();
        let server = Self { child, told, data, stderr, _temporary: temporary };
        let api = server.api();
        wait_until("the first answer of the demo", || {
            api.try_get("/v1/sites/demo/notice").is_ok_and(|a| a.status == 200)
        });
        server
    }

    /// The API with this server's keys, over a connection of its own.
    pub fn api(&self) -> Api {
        let told = &self.told;
        Api::new(&told.site_url, &told.backend_key, &told.officer_key, &told.admin_key)
    }

    /// The public key of the demo's log.
    pub fn log_key(&self) -> &str {
        &self.told.log_key
    }

    /// The folder with its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If the demo named an address that is none.
    pub fn address(&self) -> SocketAddr {
        let url = self.told.site_url.trim_start_matches("http://").trim_end_matches('/');
        url.parse().expect("the demo listens on an address with a port")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        read_all(&self.stderr)
    }

    /// Ends it as a power cut would end the process: SIGKILL, nothing is finished.
    ///
    /// # Panics
    /// If the process cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Ends it as a service manager would: SIGTERM.
    ///
    /// # Panics
    /// If it does not end within a minute.
    pub fn terminate(&mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM could not be sent");
        self.wait()
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the server to end", || {
            ended = self.child.try_wait().expect("our own child can be waited for");
            ended.is_some()
        });
        ended.expect("waited until it is there")
    }

    /// Runs a command on the data of this server while it runs.
    pub fn command(&self, args: &[&str]) -> Output {
        let data = self.data.to_str().expect("temporary folders have names in UTF-8");
        consent(args.iter().copied().chain(["--data", data]))
    }

    /// As [`Self::command`], which must exit with 0; what it printed.
    ///
    /// # Panics
    /// If it fails.
    pub fn command_ok(&self, args: &[&str]) -> String {
        let output = self.command(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "consent {args:?}: {}\n{out}\n{err}", output.status);
        out.into_owned()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- the server logged:\n{}---", self.logged());
        }
    }
}

fn tell(line: &Value) -> Option<Told> {
    let text = |name: &str| line[name].as_str().map(str::to_owned);
    Some(Told {
        site_url: text("site_url")?,
        backend_key: text("backend_key")?,
        officer_key: text("officer_key")?,
        admin_key: text("admin_key")?,
        log_key: text("log_key")?,
        data: text("data")?.into(),
    })
}

fn read_all(file: &std::fs::File) -> String {
    let mut bytes = Vec::new();
    let mut file = file;
    // The child appends through the same open file: seeking would move where it writes, so read through a handle of its own.
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        if let Ok(mut own) = std::fs::File::open(format!("/proc/self/fd/{}", file.as_raw_fd())) {
            drop(own.read_to_end(&mut bytes));
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    drop(file.rewind());
    drop(file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}
