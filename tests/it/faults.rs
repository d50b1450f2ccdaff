//! What fails around the service: disk, file system, pages, clock, connections. Each test says what was acknowledged before, and
//! what is found after. `kill -9` is in `crash.rs`, the order of syncs in `durability.rs`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use consent_core::id::RecordId;
use consent_server::signers::FileSigners;
use consent_server::store::sqlite::Sqlite;
use consent_server::store::{Actor, Change, Store};
use consent_tests::{
    Api, DAY, DecisionBody, FixedClock, Installed, SHOP, Serving, binary, check_log, new_subject, now, wait_until,
};

const QUICK: &str = "publish_every_seconds = 1\nlimit_site_decisions_per_minute = 0\nmin_free_mebibytes = 0\n";

/// Posts a decision; its id if it was acknowledged, else the status, or nothing if there was no answer.
fn decide(api: &Api) -> Result<RecordId, Option<u16>> {
    let body = DecisionBody::save(&["statistics"]).by(new_subject());
    let headers = [("origin", SHOP), ("content-type", "application/json")];
    match api.try_send("POST", "/v1/sites/demo/decisions", &headers, body.0.to_string().as_bytes()) {
        Ok(answer) if answer.status == 201 => Ok(body.id()),
        Ok(answer) => {
            answer.problem();
            Err(Some(answer.status))
        }
        Err(_) => Err(None),
    }
}

/// Posts until something is not acknowledged: what was, and how it ended.
fn decide_until_it_fails(api: &Api) -> (Vec<RecordId>, Option<u16>) {
    let mut acknowledged = Vec::new();
    loop {
        match decide(api) {
            Ok(id) => acknowledged.push(id),
            Err(status) => return (acknowledged, status),
        }
        assert!(acknowledged.len() < 100_000, "nothing ever failed");
    }
}

/// Every one of them is in the log, which is whole; the operator's own command says so too.
fn all_there(installed: &Installed, acknowledged: &[RecordId]) {
    let log = &check_log(&installed.data()).unwrap()[0];
    let missing = acknowledged.iter().filter(|id| !log.records.contains_key(id)).count();
    assert_eq!(missing, 0, "of {} that were acknowledged", acknowledged.len());
    eprintln!("acknowledged {}, found all of them in a log of {}", acknowledged.len(), log.size);
    installed.command(&["doctor"]);
}

/// The command that runs a shell script and then `consent serve` in its place.
fn serve_after(installed: &Installed, before: &[&str], script: &str, config: &str, args: &[&str]) -> Command {
    let mut words = before.iter().copied().chain(["sh", "-c"]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(format!("{script}\nexec \"$0\" \"$@\"")).arg(binary());
    installed.add(&mut command, config, args);
    command
}

/// What makes a mount possible without being root: a name space of its own. None where the system forbids it.
fn own_mounts() -> Option<&'static [&'static str]> {
    const UNSHARE: &[&str] = &["unshare", "--user", "--map-root-user", "--mount"];
    let tried = Command::new(UNSHARE[0])
        .args(&UNSHARE[1..])
        .args(["sh", "-c", "mount -t tmpfs none /mnt"])
        .stderr(Stdio::null())
        .status();
    if tried.is_ok_and(|status| status.success()) {
        return Some(UNSHARE);
    }
    eprintln!("note: no mounts in a name space of one's own here; `tests/faults/with-mounts.sh` runs this as root");
    None
}

#[test]
fn a_full_disk_acknowledges_nothing_and_goes_on_once_there_is_room() {
    let Some(unshare) = own_mounts() else { return };
    let installed = Installed::new();
    // The data on a small disk that only the server's name space sees, with something on it that can be removed.
    let data = installed.data();
    let disk = installed.folder().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let (from, to) = (data.display(), disk.display());
    let script = format!(
        "mount -t tmpfs -o size=4m none '{to}' && cp -a '{from}/.' '{to}' && head -c 1500000 /dev/zero > '{to}/filler' || exit 9"
    );
    let args = ["--data", disk.to_str().unwrap()];
    let mut serving = installed.start(serve_after(&installed, unshare, &script, QUICK, &args)).unwrap();
    let api = installed.api(&serving);
    let (mut acknowledged, status) = decide_until_it_fails(&api);
    assert!(status.is_some(), "it ended with {:?}: {}", serving.wait(), serving.logged());
    assert_eq!(status, Some(503), "{}", serving.logged());
    assert!(!acknowledged.is_empty());
    wait_until("the log to say why", || serving.logged().contains("disk is full"));
    let problem = api.get("/readyz").expect(503).problem();
    assert!(problem["detail"].as_str().unwrap().contains("not written"), "{problem}");
    // Whoever asks is answered; what an officer reads is a record, and waits as others do.
    assert!(!api.allowed(new_subject(), "statistics"));
    api.get_as(&api.officer, "/v1/sites/demo/export").expect(503);
    let inside = format!("/proc/{}/root{}", serving.pid(), disk.display());
    std::fs::remove_file(Path::new(&inside).join("filler")).unwrap();
    wait_until("writing to go on", || decide(&api).inspect(|id| acknowledged.push(*id)).is_ok());
    wait_until("the service to be ready", || api.get("/readyz").status == 200);
    // Out of the name space, before it ends with the process.
    let copy = installed.folder().join("copy");
    let mut backup = Command::new("nsenter");
    backup.args(["--user", "--mount", "--preserve-credentials", "--target", &serving.pid().to_string()]);
    let backup = backup.arg(binary()).args(["backup", "--to"]).arg(&copy).arg("--data").arg(&disk).output().unwrap();
    assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
    serving.ask_to_stop();
    assert!(serving.wait().success());
    std::fs::remove_file(data.join("consent.db")).unwrap();
    std::fs::copy(copy.join("consent.db"), data.join("consent.db")).unwrap();
    let log = &check_log(&data).unwrap()[0];
    assert!(acknowledged.iter().all(|id| log.records.contains_key(id)));
    eprintln!("acknowledged {}, found all of them in a log of {}", acknowledged.len(), log.size);
}

#[test]
fn a_disk_that_fails_a_write_ends_the_process_at_once() {
    let installed = Installed::new();
    // No file may grow over 1 MiB: the write fails as on a broken disk (EFBIG), since the signal that would kill is ignored.
    let command = serve_after(&installed, &[], "trap '' XFSZ; ulimit -f 2048", QUICK, &[]);
    let mut serving = installed.start(command).unwrap();
    let (acknowledged, status) = decide_until_it_fails(&installed.api(&serving));
    assert_eq!(status, None, "no answer after a failed write");
    assert_eq!(serving.wait().code(), Some(70), "{}", serving.logged());
    assert!(acknowledged.len() > 10);
    let mut serving = installed.serve(QUICK);
    let after = decide(&installed.api(&serving)).unwrap();
    serving.ask_to_stop();
    assert!(serving.wait().success());
    all_there(&installed, &[acknowledged, vec![after]].concat());
}

#[test]
fn a_read_only_file_system_is_said_at_the_start() {
    let Some(unshare) = own_mounts() else { return };
    let installed = Installed::new();
    let acknowledged = filled(&installed, 3);
    let data = installed.data();
    let script = format!("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}' || exit 9", data.display());
    let why = installed.start(serve_after(&installed, unshare, &script, QUICK, &[])).unwrap_err();
    assert!(why.contains("Read-only file system") && why.contains(data.to_str().unwrap()), "{why}");
    all_there(&installed, &acknowledged);
}

/// Records so many, stops, and returns what was acknowledged.
fn filled(installed: &Installed, count: usize) -> Vec<RecordId> {
    let mut serving = installed.serve(QUICK);
    let api = installed.api(&serving);
    let acknowledged = (0..count).map(|_| decide(&api).unwrap()).collect();
    serving.ask_to_stop();
    assert!(serving.wait().success());
    acknowledged
}

#[test]
fn changed_bytes_in_the_database_are_found() {
    let installed = Installed::new();
    // More than one tile of the tree: what is in full ones is not read at a start.
    let acknowledged = filled(&installed, 270);
    all_there(&installed, &acknowledged);
    let path = installed.data().join("consent.db");
    let good = std::fs::read(&path).unwrap();

    // One letter of one record.
    let mut bytes = good.clone();
    let needle = acknowledged[7].to_string();
    let at = good.windows(needle.len()).position(|window| window == needle.as_bytes()).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let output = installed.try_command(&["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("WRONG demo: log"), "{said}");

    // A whole page of noise, one after the other: never "all is well", never a crash, and it says where.
    let page = 4096;
    for number in (0..good.len() / page).filter(|number| *number < 8 || number % 9 == 0) {
        let mut bytes = good.clone();
        for (at, byte) in bytes[number * page..][..page].iter_mut().enumerate() {
            *byte ^= 0x5a_u8.wrapping_add(u8::try_from(at % 251).unwrap()) | 1;
        }
        std::fs::write(&path, &bytes).unwrap();
        for left in ["consent.db-wal", "consent.db-shm"] {
            drop(std::fs::remove_file(installed.data().join(left)));
        }
        let output = installed.try_command(&["doctor"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "page {}: {:?} {said}", number + 1, output.status);
        assert!(!said.contains("panicked") && !said.contains("all is well"), "page {}: {said}", number + 1);
    }
    // What the head needs is looked at when a server starts.
    let mut bytes = good.clone();
    bytes[page..].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let why = installed.try_serve(QUICK, &[]).unwrap_err();
    assert!(why.contains("cannot open the store"), "{why}");
    std::fs::write(&path, &good).unwrap();
    all_there(&installed, &acknowledged);
}

#[test]
fn a_clock_that_jumps_back_keeps_the_order() {
    let installed = Installed::new();
    let data = installed.data();
    // An hour in which this machine thought it was tomorrow.
    let tomorrow = now().millis() + DAY;
    {
        let signers = Arc::new(FileSigners::new(data.join("keys")));
        let store = Sqlite::open(&data, Arc::new(FixedClock::at(tomorrow)), signers).unwrap();
        let site = store.registry().site("demo").unwrap().id.clone();
        let change = Change::Restored { site, target: "a test".to_owned() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(store.change(change, Actor::Machine("a test"))).unwrap();
    }
    let acknowledged = filled(&installed, 5);
    let log = &check_log(&data).unwrap()[0];
    for id in &acknowledged {
        let (_, recorded_at) = log.records[id];
        assert_eq!(recorded_at.millis(), tomorrow, "no earlier than what is before it");
    }
    let output = installed.try_command(&["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("WRONG demo: clock") && said.contains("ok    demo: log"), "{said}");
}

/// How many files this process may open, less what it needs itself.
fn sockets() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let soft: usize = line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX);
    soft.saturating_sub(256)
}

fn resident_kilobytes(serving: &Serving) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// `CONSENT_SLOW_CONNECTIONS=10000` (with `ulimit -n 11000`) for the whole of it.
#[test]
fn thousands_of_slow_connections_take_nothing_from_others() {
    let wanted = std::env::var("CONSENT_SLOW_CONNECTIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let count = wanted.min(sockets());
    let installed = Installed::new();
    let serving = installed.serve(QUICK);
    let api = installed.api(&serving);
    let idle = resident_kilobytes(&serving);
    let mut slow = Vec::with_capacity(count);
    let begin = Instant::now();
    for _ in 0..count {
        let mut stream = TcpStream::connect(serving.address()).unwrap();
        // A head that never ends.
        stream.write_all(b"POST /v1/sites/demo/decisions HTTP/1.1\r\nHost: shop.example\r\nX-Slow: ").unwrap();
        slow.push(stream);
    }
    // While they are all open, others are served: these two go first through the same door.
    let acknowledged: Vec<RecordId> = (0..50).map(|_| decide(&api).unwrap()).collect();
    let grown = resident_kilobytes(&serving) - idle;
    eprintln!("{count} slow connections in {:?}: {} kB each", begin.elapsed(), grown / count as u64);
    assert!(grown < 16 * 1024 + 24 * count as u64, "{grown} kB for {count} connections");
    // Each is closed once its head has taken too long.
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let mut rest = Vec::new();
        // An end, or a reset: not an error of time.
        let ended = stream.read_to_end(&mut rest);
        assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock));
    }
    decide(&api).unwrap();
    drop(serving);
    all_there(&installed, &acknowledged);
}

/// Sends bytes and reads the status line of the answer; nothing if the connection was only closed.
fn raw(serving: &Serving, parts: impl IntoIterator<Item = Vec<u8>>) -> Option<String> {
    let mut stream = TcpStream::connect(serving.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    for part in parts {
        // The other side may have had enough.
        if stream.write_all(&part).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).lines().next().map(str::to_owned)
}

#[test]
fn bombs_are_refused_in_bounded_memory() {
    let installed = Installed::new();
    let serving = installed.serve(QUICK);
    let api = installed.api(&serving);
    let acknowledged = vec![decide(&api).unwrap()];
    let idle = resident_kilobytes(&serving);
    let head = "POST /v1/sites/demo/decisions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: https://shop.example\r\n\
                Content-Type: application/json\r\n";
    let large = format!("{head}X-Large: {}\r\n\r\n", "x".repeat(64 << 10)).into_bytes();
    let many = format!("{head}{}\r\n", "X-Many: 1\r\n".repeat(500)).into_bytes();
    for (name, head) in [("large", large), ("many", many)] {
        let answer = raw(&serving, [head]);
        // Closing with unread bytes may reset the connection before the answer is read.
        assert!(answer.as_deref().is_none_or(|line| line.starts_with("HTTP/1.1 431")), "{name}: {answer:?}");
    }
    let small = format!("{head}{}\r\n", "X-Many: 1\r\n".repeat(101)).into_bytes();
    assert_eq!(raw(&serving, [small]).as_deref(), Some("HTTP/1.1 431 Request Header Fields Too Large"));
    let announced = format!("{head}Content-Length: 1073741824\r\n\r\n").into_bytes();
    assert_eq!(raw(&serving, [announced, vec![b' '; 20 << 10]]).as_deref(), Some("HTTP/1.1 413 Payload Too Large"));
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    let chunk = [b"1000\r\n".to_vec(), vec![b' '; 0x1000], b"\r\n".to_vec()].concat();
    let endless = std::iter::once(chunked).chain(std::iter::repeat_n(chunk, 64));
    let answer = raw(&serving, endless);
    assert!(answer.as_deref().is_none_or(|line| line.starts_with("HTTP/1.1 413")), "{answer:?}");
    // All at the same time.
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| raw(&serving, [head.as_bytes().to_vec(), vec![b'x'; 200 << 10]]));
        }
    });
    let grown = resident_kilobytes(&serving).saturating_sub(idle);
    assert!(grown < 32 * 1024, "{grown} kB");
    assert!(decide(&api).is_ok());
    drop(serving);
    all_there(&installed, &acknowledged);
}

#[test]
fn sigterm_under_load_finishes_what_it_takes() {
    let installed = Installed::new();
    let mut serving = installed.serve(QUICK);
    let (acknowledged, count, refused) = (Mutex::new(Vec::new()), AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let api = installed.api(&serving);
            let (acknowledged, count, refused) = (&acknowledged, &count, &refused);
            scope.spawn(move || {
                let mut own = Vec::new();
                loop {
                    match decide(&api) {
                        Ok(id) => own.push(id),
                        Err(None) => break,
                        // Not taken any more is said, not dropped.
                        Err(Some(status)) => {
                            refused.fetch_or(status != 503, Ordering::Relaxed);
                            break;
                        }
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged.lock().unwrap().append(&mut own);
            });
        }
        wait_until("enough to be acknowledged", || count.load(Ordering::Relaxed) >= 400);
        serving.ask_to_stop();
        assert!(serving.wait().success(), "{}", serving.logged());
    });
    assert!(!refused.into_inner());
    assert!(!installed.data().join("consent.db-wal").exists(), "one file is left behind");
    let acknowledged = acknowledged.into_inner().unwrap();
    all_there(&installed, &acknowledged);
    // The last checkpoint covers all of it.
    let log = &check_log(&installed.data()).unwrap()[0];
    assert_eq!(log.published, Some(log.size));
}
