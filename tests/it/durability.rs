//! No 201 before its record is on disk, and no life after an error of the disk.
//!
//! A killed process keeps its page cache, so `crash.rs` passes without a single fsync. Here `strace` writes down what the real
//! server asks of the kernel, and [`check_order`] reads it.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use consent_core::id::RecordId;
use consent_tests::{DecisionBody, TestServer, check_log, consent, new_subject, wait_until};

/// One system call of one thread, as `strace -f -y` wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    thread: u32,
    name: String,
    /// All between the brackets: the file with its path, and what was written.
    arguments: String,
    /// What it returned; none if it never did.
    result: Option<i64>,
    /// The line at which it began.
    begin: usize,
    /// The line at which it returned, the same if nothing came between.
    end: Option<usize>,
}

impl Call {
    /// The path or socket behind the first argument, from `9</data/consent.db-wal>`.
    fn file(&self) -> &str {
        let start = self.arguments.find('<').map_or(0, |at| at + 1);
        let rest = &self.arguments[start..];
        // Sockets have brackets and arrows in their description: it ends where the argument does.
        let end = rest.find(">,").or_else(|| rest.find(">)")).or_else(|| rest.strip_suffix('>').map(str::len));
        &rest[..end.unwrap_or(0)]
    }

    fn is_wal(&self) -> bool {
        self.file().ends_with("consent.db-wal")
    }

    /// The ids of the records whose leaves this call wrote to the WAL.
    fn written_ids(&self) -> impl Iterator<Item = &str> {
        let names = matches!(self.name.as_str(), "pwrite64" | "write" | "writev" | "pwritev" | "pwritev2");
        let wrote = names && self.is_wal() && self.end.is_some() && self.result > Some(0);
        let text = if wrote { self.arguments.as_str() } else { "" };
        text.split(ID).skip(1).filter_map(|after| after.get(..36))
    }

    fn syncs_wal(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.is_wal()
    }

    /// The id of the record that this call acknowledges, if it sends a 201.
    fn acknowledges(&self) -> Option<&str> {
        let sends = matches!(self.name.as_str(), "write" | "writev" | "sendto" | "sendmsg");
        if !sends || self.is_wal() || !self.arguments.contains("HTTP/1.1 201") {
            return None;
        }
        let (_, after) = self.arguments.split_once(ID)?;
        after.get(..36)
    }
}

/// How the field before an id stands in a string that strace has quoted.
const ID: &str = r#"\"id\":\""#;

/// Parses what `strace -f -o FILE` wrote: `PID TIME call(arguments) = result`, where a call that others ran beside is cut in two.
fn parse(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: Vec<(u32, usize)> = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, rest)) = text.trim_start().split_once(' ') else { continue };
        let Ok(thread) = thread.parse::<u32>() else { continue };
        let Some((_time, rest)) = rest.trim_start().split_once(' ') else { continue };
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((name, tail)) = resumed.split_once(" resumed>") else { continue };
            let Some(slot) = open.iter().position(|(of, at)| *of == thread && calls[*at].name == name) else {
                continue;
            };
            let (_, at) = open.remove(slot);
            let (arguments, result) = split_result(tail);
            calls[at].arguments.push_str(arguments);
            calls[at].result = result;
            calls[at].end = Some(line);
        } else if let Some((name, tail)) = rest.split_once('(') {
            let name = name.to_owned();
            if let Some(arguments) = tail.strip_suffix(" <unfinished ...>") {
                open.push((thread, calls.len()));
                let arguments = arguments.to_owned();
                calls.push(Call { thread, name, arguments, result: None, begin: line, end: None });
            } else {
                let (arguments, result) = split_result(tail);
                let (arguments, end) = (arguments.to_owned(), result.map(|_| line));
                calls.push(Call { thread, name, arguments, result, begin: line, end });
            }
        }
    }
    calls
}

/// Splits `arguments) = result` at the last bracket that closes. What a call has written may hold brackets and signs itself.
fn split_result(tail: &str) -> (&str, Option<i64>) {
    let Some((arguments, result)) = tail.rsplit_once(") = ") else {
        // Aligned: `)     = 0`.
        let Some((before, result)) = tail.rsplit_once(" = ") else { return (tail, None) };
        let arguments = before.trim_end();
        return (arguments.strip_suffix(')').unwrap_or(arguments), number(result));
    };
    (arguments, number(result))
}

fn number(result: &str) -> Option<i64> {
    result.split_whitespace().next()?.parse().ok()
}

/// Where each record was first written to the WAL: later transactions write the same page again.
fn first_writes(calls: &[Call]) -> HashMap<&str, usize> {
    let mut first = HashMap::new();
    for call in calls {
        for id in call.written_ids() {
            let end = call.end.expect("only calls that returned have written");
            let known = first.entry(id).or_insert(end);
            *known = end.min(*known);
        }
    }
    first
}

/// Whether a sync of the WAL that began after the line `written` had returned 0 before the line `until`.
fn synced(calls: &[Call], written: usize, until: usize) -> bool {
    calls.iter().any(|call| {
        call.begin > written && call.syncs_wal() && call.result == Some(0) && call.end.is_some_and(|end| end < until)
    })
}

/// Checks that each 201 left only after its record was written to the WAL, and after a sync of the WAL which began after that write
/// had returned 0. Returns how many there were.
fn check_order(calls: &[Call]) -> Result<usize, String> {
    let first = first_writes(calls);
    let mut acknowledged = 0;
    for answer in calls {
        let Some(id) = answer.acknowledges() else { continue };
        let Some(&written) = first.get(id) else {
            return Err(format!("201 for {id}, which was never written to the WAL"));
        };
        if !synced(calls, written, answer.begin) {
            return Err(format!(
                "201 for {id} at line {}, without a sync of the WAL since line {written}",
                answer.begin + 1
            ));
        }
        acknowledged += 1;
    }
    Ok(acknowledged)
}

/// strace on a running process.
struct Tracer(Child);

impl Tracer {
    /// Attaches, and returns once it has.
    fn attach(pid: u32, arguments: &[&str], output: &Path) -> Self {
        let mut child = Command::new("strace")
            .args(["-f", "-tt", "-y", "-s", "65536"])
            .args(arguments)
            .arg("-o")
            .arg(output)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is needed for this test: apt-get install strace");
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let attached = loop {
            let before = said.len();
            if stderr.read_line(&mut said).unwrap() == 0 {
                break false;
            }
            if said[before..].contains("attached") {
                break true;
            }
        };
        assert!(attached, "strace may not trace this process: {said}");
        std::thread::spawn(move || drop(std::io::copy(&mut stderr, &mut std::io::sink())));
        Self(child)
    }

    /// Lets go of the process and waits until all is written.
    fn detach(mut self) {
        let sent = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

const CALLS: &str = "trace=pwrite64,pwritev,pwritev2,write,writev,sendto,sendmsg,fsync,fdatasync";

/// The calls of a server while eight connections post forty decisions each.
fn traced_calls() -> (Vec<Call>, Vec<RecordId>) {
    let server = TestServer::start();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("trace");
    let tracer = Tracer::attach(server.pid(), &["-e", CALLS], &output);
    let ids = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let api = server.api();
                let mut prev = DecisionBody::save(&["statistics"]).by(new_subject());
                for _ in 0..40 {
                    let next =
                        DecisionBody::save(&["statistics"]).with("subject", prev.0["subject"].clone()).after(&prev);
                    api.decide(&prev).expect(201);
                    ids.lock().unwrap().push(prev.id());
                    prev = next;
                }
            });
        }
    });
    tracer.detach();
    let bytes = std::fs::read(&output).unwrap();
    check_log(server.data()).unwrap();
    (parse(&String::from_utf8_lossy(&bytes)), ids.into_inner().unwrap())
}

#[test]
fn no_201_leaves_before_a_sync_of_the_wal_that_began_after_its_record_was_written() {
    let (calls, ids) = traced_calls();
    assert_eq!(check_order(&calls), Ok(ids.len()));
    let seen: BTreeSet<&str> = calls.iter().filter_map(Call::acknowledges).collect();
    assert!(ids.iter().all(|id| seen.contains(&*id.to_string())), "every answer was seen");
    let syncs = calls.iter().filter(|call| call.syncs_wal()).count();
    eprintln!("{} answers of 201, {syncs} syncs of the WAL", ids.len());
    assert!(syncs > 1 && syncs < ids.len(), "many decisions share one sync: {syncs}");

    // The same trace of a server that did not sync, or did so too early, or answered first, does not pass.
    let object = |what: &str, calls: &[Call]| assert!(check_order(calls).is_err(), "{what} was not noticed");
    let without: Vec<Call> = calls.iter().filter(|call| !call.syncs_wal()).cloned().collect();
    object("a server without fsync", &without);
    let changed = |change: &dyn Fn(&mut Call)| {
        let mut calls = calls.clone();
        calls.iter_mut().for_each(change);
        calls
    };
    object("an fsync of another file", &changed(&|call| call.arguments = call.arguments.replace("db-wal", "db")));
    object(
        "a failed fsync",
        &changed(&|call| {
            if call.syncs_wal() {
                call.result = Some(-1);
            }
        }),
    );
    object(
        "an fsync without end",
        &changed(&|call| {
            if call.syncs_wal() {
                call.end = None;
            }
        }),
    );
    object(
        "answers before everything",
        &changed(&|call| {
            if call.acknowledges().is_some() {
                call.begin = 0;
            }
        }),
    );
    let last = calls.iter().rposition(Call::syncs_wal).unwrap();
    let mut one_less = calls.clone();
    one_less.remove(last);
    object("one fsync that is missing", &one_less);
}

#[test]
fn the_reader_of_traces_joins_what_was_cut_in_two() {
    let trace = r#"
41 10:00:00.000001 pwrite64(9</d/consent.db-wal>, "x\"id\":\"a\",) = 5", 24, 0) = 24
41 10:00:00.000002 fdatasync(9</d/consent.db-wal> <unfinished ...>
42 10:00:00.000003 write(7<TCP:[127.0.0.1:1->127.0.0.1:2]>, "HTTP/1.1 200 OK", 15 <unfinished ...>
41 10:00:00.000004 <... fdatasync resumed>) = 0
43 10:00:00.000005 --- SIGINT {si_signo=SIGINT} ---
42 10:00:00.000006 <... write resumed>)     = 15
44 10:00:00.000007 fsync(9</d/consent.db-wal>) = -1 EIO (Input/output error) (INJECTED)
44 10:00:00.000008 write(3</d/x>, "a", 1)   = ?
44 10:00:00.000009 +++ exited with 0 +++
45 10:00:00.000010 writev(8<socket:[77]>, [{iov_base="HTTP/1.1 201", iov_len=12}], 1 <unfinished ...>
"#;
    let calls = parse(trace);
    let seen: Vec<_> =
        calls.iter().map(|call| (call.thread, call.name.as_str(), call.result, call.begin, call.end)).collect();
    assert_eq!(
        seen,
        [
            (41, "pwrite64", Some(24), 1, Some(1)),
            (41, "fdatasync", Some(0), 2, Some(4)),
            (42, "write", Some(15), 3, Some(6)),
            (44, "fsync", Some(-1), 7, Some(7)),
            (44, "write", None, 8, None),
            (45, "writev", None, 10, None),
        ]
    );
    assert_eq!(calls[0].file(), "/d/consent.db-wal");
    assert!(calls[1].syncs_wal() && calls[3].syncs_wal());
    assert_eq!(calls[2].file(), "TCP:[127.0.0.1:1->127.0.0.1:2]");
}

/// A trace of one decision in the order of these steps.
fn story(steps: &[&str]) -> Vec<Call> {
    let id = "01234567-89ab-7def-8123-456789abcdef";
    let other = "11234567-89ab-7def-8123-456789abcdef";
    let lines: Vec<String> = steps
        .iter()
        .enumerate()
        .map(|(number, step)| {
            let call = match *step {
                "write" => format!(r#"pwrite64(9</d/consent.db-wal>, "{{\"id\":\"{id}\"}}", 4096, 56) = 4096"#),
                "write begins" => format!(r#"pwrite64(9</d/consent.db-wal>, "{{\"id\":\"{id}\"}}", 4096, 56 <unfinished ...>"#),
                "write ends" => "<... pwrite64 resumed>) = 4096".to_owned(),
                "write fails" => format!(r#"pwrite64(9</d/consent.db-wal>, "{{\"id\":\"{id}\"}}", 4096, 56) = -1 EIO (x)"#),
                "write as prev" => {
                    format!(r#"pwrite64(9</d/consent.db-wal>, "{{\"id\":\"{other}\",\"prev\":\"{id}\"}}", 4096, 56) = 4096"#)
                }
                "write elsewhere" => format!(r#"pwrite64(8</d/consent.db>, "{{\"id\":\"{id}\"}}", 4096, 56) = 4096"#),
                "sync" => "fdatasync(9</d/consent.db-wal>) = 0".to_owned(),
                "sync begins" => "fdatasync(9</d/consent.db-wal> <unfinished ...>".to_owned(),
                "sync ends" => "<... fdatasync resumed>) = 0".to_owned(),
                "sync elsewhere" => "fdatasync(8</d/consent.db>) = 0".to_owned(),
                "sync fails" => "fdatasync(9</d/consent.db-wal>) = -1 EIO (Input/output error)".to_owned(),
                "answer" => {
                    format!(r#"write(12<socket:[5]>, "HTTP/1.1 201 Created\r\n\r\n{{\"id\":\"{id}\",\"index\":1}}", 90) = 90"#)
                }
                other => panic!("{other} is no step"),
            };
            let thread = if step.starts_with("sync") { 2 } else { 1 };
            format!("{thread} 10:00:00.{number:06} {call}")
        })
        .collect();
    parse(&lines.join("\n"))
}

#[test]
fn the_order_of_write_sync_and_answer_is_what_is_checked() {
    for good in [
        &["write", "sync", "answer"][..],
        &["write", "write", "sync", "answer", "answer"],
        &["write begins", "write ends", "sync begins", "sync ends", "answer"],
        &["sync fails", "write", "sync elsewhere", "sync", "answer"],
        &["write", "sync", "write", "answer"],
    ] {
        assert!(check_order(&story(good)).is_ok_and(|count| count > 0), "{good:?}: {:?}", check_order(&story(good)));
    }
    for bad in [
        &["answer"][..],
        &["write", "answer"],
        &["sync", "answer"],
        &["answer", "write", "sync"],
        &["write", "answer", "sync"],
        &["sync", "write", "answer"],
        &["write", "sync begins", "answer", "sync ends"],
        &["sync begins", "write", "sync ends", "answer"],
        &["write begins", "sync begins", "write ends", "sync ends", "answer"],
        &["write begins", "sync", "answer"],
        &["write", "sync fails", "answer"],
        &["write", "sync elsewhere", "answer"],
        &["write elsewhere", "sync", "answer"],
        &["write fails", "sync", "answer"],
        &["write as prev", "sync", "answer"],
    ] {
        assert!(check_order(&story(bad)).is_err(), "{bad:?}");
    }
    assert_eq!(check_order(&story(&["write", "sync"])), Ok(0));
}

/// Posts until the server does not answer 201 any more. Returns the acknowledged, with their indexes.
fn post_until_refused(server: &TestServer) -> Vec<(RecordId, u64)> {
    let api = server.api();
    let mut acknowledged = Vec::new();
    for _ in 0..10_000 {
        let decision = DecisionBody::save(&["statistics"]).by(new_subject());
        match api.try_decide(&decision) {
            Ok(answer) if answer.status == 201 => {
                acknowledged.push((decision.id(), answer.json()["index"].as_u64().unwrap()));
            }
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text());
                return acknowledged;
            }
            Err(_) => return acknowledged,
        }
    }
    panic!("the error was never met");
}

/// The process ends at an error of the disk, having acknowledged nothing that it could not vouch for.
fn ends_at(inject: &str) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = TestServer::start_in(&data);
    let mut acknowledged = Vec::new();
    let api = server.api();
    for _ in 0..10 {
        let decision = DecisionBody::save(&["statistics"]).by(new_subject());
        acknowledged.push((decision.id(), api.decide(&decision).expect(201).json()["index"].as_u64().unwrap()));
    }
    let output = folder.path().join("trace");
    let tracer = Tracer::attach(server.pid(), &["-e", CALLS, "-e", inject], &output);
    std::thread::scope(|scope| {
        let posters: Vec<_> = (0..4).map(|_| scope.spawn(|| post_until_refused(&server))).collect();
        for poster in posters {
            acknowledged.extend(poster.join().unwrap());
        }
    });
    let status = server.wait();
    assert!(!status.success(), "an error of the disk is no clean end: {status}");
    wait_until("strace to see the end", || {
        std::fs::read_to_string(&output).is_ok_and(|trace| trace.contains("INJECTED"))
    });
    drop(tracer);
    let trace = String::from_utf8_lossy(&std::fs::read(&output).unwrap()).into_owned();
    // Nothing was acknowledged before its own sync; after the error, only what had been synced before it.
    let calls = parse(&trace);
    check_order(&calls).unwrap();
    let error = trace.lines().position(|line| line.contains("INJECTED")).unwrap();
    let first = first_writes(&calls);
    for answer in calls.iter().filter(|call| call.begin > error) {
        let Some(id) = answer.acknowledges() else { continue };
        assert!(synced(&calls, first[id], error), "{id} was acknowledged after the error");
    }
    assert!(server.logged().contains("ERROR"), "the operator is told: {}", server.logged());
    drop(server);

    let server = TestServer::start_in(&data);
    let log = &check_log(&data).unwrap()[0];
    for (id, index) in &acknowledged {
        assert_eq!(log.records.get(id).map(|(at, _)| at), Some(index), "{id} was acknowledged");
    }
    server.api().decide(&DecisionBody::save(&["statistics"])).expect(201);
    drop(server);
    let doctor = consent(["doctor", "--data", data.to_str().unwrap()]);
    assert!(doctor.status.success(), "{}", String::from_utf8_lossy(&doctor.stdout));
}

#[test]
fn the_first_failed_sync_ends_the_process() {
    ends_at("inject=fdatasync,fsync:error=EIO:when=1+");
}

#[test]
fn a_later_failed_sync_ends_the_process_and_is_not_tried_again() {
    ends_at("inject=fdatasync,fsync:error=EIO:when=6");
}

#[test]
fn a_failed_write_ends_the_process_or_is_undone_whole() {
    ends_at("inject=pwrite64:error=EIO:when=40");
}
