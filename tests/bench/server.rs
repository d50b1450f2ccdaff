//! The real binary: set up by its own commands, run as a process of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::requests::{Acts, ORIGIN, SITE, Traffic};
use anyhow::{Context, bail, ensure};

/// How long a start may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with a site, its notice and a key.
pub(crate) struct Folder {
    path: PathBuf,
    binary: PathBuf,
    key: String,
}

impl Folder {
    /// Sets one up, on a real disk: `/tmp` is often memory.
    ///
    /// # Errors
    /// If the binary is missing, or one of its commands fails.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let made = Self::at(path)?;
        std::fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
        let notice = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consent-server/notices/demo-notice.toml");
        let notice = notice.to_str().context("a path that is not UTF-8")?;
        made.command(&["site", "create", SITE, "--log-origin", "bench.example/log", "--origin", ORIGIN])?;
        made.command(&["notice", "publish", notice, "--site", SITE])?;
        made.with_key()
    }

    /// Uses one that is there, with another key.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        Self::at(path)?.with_key()
    }

    fn at(path: &Path) -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("where this program is")?;
        let binary = own.parent().context("a program is in a folder")?.join("consent");
        ensure!(binary.exists(), "{} is missing: `make build` makes it", binary.display());
        Ok(Self { path: path.to_owned(), binary, key: String::new() })
    }

    fn with_key(mut self) -> anyhow::Result<Self> {
        self.key = self.command(&["key", "create", "--role", "backend", "--site", SITE, "--label", "bench"])?;
        Ok(self)
    }

    fn consent(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("CONSENT_DATA", self.data()).env("CONSENT_LOG", "warn").env("TMPDIR", self.path());
        // What is measured is the service, not how early it says no.
        for limit in ["CONSENT_LIMIT_SITE_DECISIONS_PER_MINUTE", "CONSENT_LIMIT_KEY_REQUESTS_PER_SECOND"] {
            command.env(limit, "0");
        }
        command
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.consent().args(arguments).output()?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "consent {}: {err}", arguments.join(" "));
        Ok(out.trim().to_owned())
    }

    /// Where everything is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// How many bytes the database and its log take.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn bytes(&self) -> anyhow::Result<u64> {
        let database = std::fs::metadata(self.data().join("consent.db")).context("the size of the database")?.len();
        Ok(database + std::fs::metadata(self.data().join("consent.db-wal")).map_or(0, |file| file.len()))
    }

    /// The key of a backend.
    pub(crate) fn backend_key(&self) -> &str {
        &self.key
    }

    /// Counts the transactions committed so far (and wraps): `iChange` of the wal-index, which SQLite keeps in shared memory.
    ///
    /// # Errors
    /// If no server has the database open.
    pub(crate) fn commits(&self) -> anyhow::Result<u32> {
        let path = self.data().join("consent.db-shm");
        let mut header = [0; 12];
        let mut file = std::fs::File::open(&path).with_context(|| format!("read {}", path.display()))?;
        file.read_exact(&mut header)?;
        Ok(u32::from_ne_bytes(*header.last_chunk().expect("12 bytes hold 4")))
    }
}

/// A running server. Killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Server {
    /// Starts `serve` and waits for its first answer to a check, asked for again and again.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn serve(folder: &Folder, traffic: &Traffic) -> anyhow::Result<(Self, Duration)> {
        let address = free_address()?;
        let mut command = folder.consent();
        command.args(["serve", "--listen", &address.to_string()]);
        Self::spawn(command, address, &traffic.check(Acts::subject(0)))
    }

    /// How long `demo` takes to its first page, on fresh data.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn demo(folder: &Folder) -> anyhow::Result<Duration> {
        let address = free_address()?;
        let mut command = folder.consent();
        command.args(["demo", "--listen", &address.to_string()]).env_remove("CONSENT_DATA");
        let (_killed, took) = Self::spawn(command, address, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
        Ok(took)
    }

    fn spawn(mut command: Command, address: SocketAddr, request: &str) -> anyhow::Result<(Self, Duration)> {
        let begin = Instant::now();
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut server = Self { process, address };
        loop {
            if let Ok(mut stream) = TcpStream::connect(address) {
                stream.write_all(request.as_bytes())?;
                let mut first = [0; 12];
                stream.read_exact(&mut first)?;
                ensure!(first == *b"HTTP/1.1 200", "its first answer is {}", String::from_utf8_lossy(&first));
                return Ok((server, begin.elapsed()));
            }
            if let Some(status) = server.process.try_wait()? {
                bail!("the server ended with {status}");
            }
            ensure!(begin.elapsed() < PATIENCE, "the server does not answer");
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Errors
    /// If it ends badly.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        // The shell's own `kill`: there is no safe call for it in the standard library.
        let asked = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.process.id().to_string()]).status()?;
        ensure!(asked.success(), "the server could not be asked to stop");
        let status = self.process.wait()?;
        // Asked before it listens for signals, it ends by the signal; what it had written is whole all the same.
        ensure!(status.success() || status.signal() == Some(15), "the server ended with {status}");
        Ok(())
    }

    /// Its resident memory, `VmRSS`.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub(crate) fn resident_kilobytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        line.trim().trim_end_matches(" kB").parse().context("VmRSS is a number of kB")
    }

    /// One request on a connection of its own: the head of the answer and its body.
    ///
    /// # Errors
    /// If there is no answer.
    pub(crate) fn get(&self, path: &str, headers: &str) -> anyhow::Result<(String, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end =
            answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer without an end of its head")?;
        let body = answer.split_off(end + 4);
        let head = String::from_utf8_lossy(&answer).into_owned();
        ensure!(head.starts_with("HTTP/1.1 200 "), "GET {path}: {head}{}", String::from_utf8_lossy(&body));
        Ok((head, body))
    }

    /// The canonical bytes of some leaves, as their subjects see them.
    ///
    /// # Errors
    /// If they cannot be read.
    pub(crate) fn leaves(&self) -> anyhow::Result<Vec<String>> {
        let mut leaves = Vec::new();
        for number in (0..400).filter(|number| Acts::speaks_first(*number)) {
            let subject = format!("Consent-Subject: {}\r\n", Acts::subject(number));
            let (_, body) = self.get(&format!("/v1/sites/{SITE}/records"), &subject)?;
            let history: serde_json::Value = serde_json::from_slice(&body)?;
            let records = history["records"].as_array().context("no records")?;
            // Canonical JSON has sorted names and no spaces, and so has what is written back here.
            leaves.extend(records.iter().map(|record| record["leaf"].to_string()));
        }
        ensure!(!leaves.is_empty(), "no subject has a record");
        Ok(leaves)
    }

    /// The processor time it has used, in seconds.
    ///
    /// # Errors
    /// Where there is no `/proc`.
    pub(crate) fn processor_seconds(&self) -> anyhow::Result<f64> {
        // Linux counts in hundredths of a second on every machine that Rust runs on.
        const TICK: f64 = 0.01;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name in brackets may hold anything; utime and stime are the 12th and 13th field after it.
        let fields = stat.rsplit_once(')').context("no name in stat")?.1;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        Ok(f64::from(ticks.sum::<Result<u32, _>>()?) * TICK)
    }
}

/// An address that nobody listens on now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
