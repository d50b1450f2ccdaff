//! `kill -9` under load: what was answered with 201 is there, and the log is whole.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use consent_core::id::RecordId;
use consent_core::time::UnixMillis;
use consent_tests::{DecisionBody, LogReader, TestServer, check_log, consent, new_subject, wait_until};

const ROUNDS: usize = 20;

/// Acknowledged decisions after which a round is cut. Twenty of them are above the 20,000 that are asked for.
const PER_ROUND: usize = 1_050;

/// Connections that post at the same time.
const CONNECTIONS: usize = 24;

/// A decision that was answered with 201, as it was answered.
#[derive(Debug, Clone)]
struct Acknowledged {
    body: DecisionBody,
    index: u64,
    recorded_at: UnixMillis,
}

/// What a round left behind.
#[derive(Default)]
struct Round {
    acknowledged: Vec<Acknowledged>,
    /// Sent, and never answered: it may be there or not.
    unanswered: Vec<DecisionBody>,
}

/// Posts until the connection breaks: first decisions, revokes behind them, and forgets.
fn post(server: &TestServer, stop: &AtomicBool, count: &AtomicUsize, round: &Mutex<Round>) {
    let api = server.api();
    let (mut acknowledged, mut unanswered) = (Vec::new(), Vec::new());
    let mut next = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let body = next.pop().unwrap_or_else(|| {
            let grant = DecisionBody::save(&["statistics"]).by(new_subject());
            next.push(DecisionBody::forget().with("subject", grant.0["subject"].clone()));
            next.push(DecisionBody::save(&[]).with("subject", grant.0["subject"].clone()).after(&grant));
            grant
        });
        match api.try_decide(&body) {
            Ok(answer) if answer.status == 201 => {
                let said = answer.json();
                let recorded_at = UnixMillis::parse(said["recorded_at"].as_str().unwrap()).unwrap();
                acknowledged.push(Acknowledged { body, index: said["index"].as_u64().unwrap(), recorded_at });
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => panic!("a good decision got {}: {}", answer.status, answer.text()),
            Err(_) => {
                unanswered.push(body);
                break;
            }
        }
    }
    let mut round = round.lock().unwrap();
    round.acknowledged.append(&mut acknowledged);
    round.unanswered.append(&mut unanswered);
}

/// Starts, lets many post at once, and kills in the middle of it.
fn round(data: &Path, check: impl FnOnce(&TestServer)) -> Round {
    let mut server = TestServer::start_in(data);
    check(&server);
    let (stop, count, round) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::default());
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| post(&server, &stop, &count, &round));
        }
        wait_until("enough decisions to be acknowledged", || count.load(Ordering::Relaxed) >= PER_ROUND);
        let killed = std::process::Command::new("kill").args(["-KILL", &server.pid().to_string()]).status();
        assert!(killed.unwrap().success());
        // Only what breaks a connection ends a poster: nobody stops before the kill.
    });
    server.wait();
    round.into_inner().unwrap()
}

/// Everything from the rows, and what the operator's own command says of it.
fn check_all(data: &Path) -> u64 {
    let size = check_log(data).unwrap()[0].size;
    let output = consent(["doctor", "--data", data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    size
}

#[test]
fn what_was_acknowledged_survives_twenty_kills_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut all: HashMap<RecordId, Acknowledged> = HashMap::new();
    let mut indexes: HashMap<u64, RecordId> = HashMap::new();
    let mut last = Round::default();
    let (mut there, mut lost) = (0, 0);
    let mut log = LogReader::default();
    for number in 0..=ROUNDS {
        let mut check = |server: &TestServer| {
            log.catch_up(data).unwrap();
            let log = log.records();
            for (id, acknowledged) in &all {
                let want = (acknowledged.index, acknowledged.recorded_at);
                assert_eq!(log.get(id), Some(&want), "round {number}: {id} was answered with 201");
            }
            let api = server.api();
            // Sent again, an acknowledged one is the same record.
            for acknowledged in last.acknowledged.iter().step_by(last.acknowledged.len() / 20 + 1) {
                let said = api.decide(&acknowledged.body).expect(200).json();
                assert_eq!(said["index"], acknowledged.index);
                assert_eq!(said["recorded_at"], acknowledged.recorded_at.to_string());
            }
            // What was never answered is there or not, as a whole; sent again, it is there once.
            for body in &last.unanswered {
                let before = log.get(&body.id());
                let answer = api.decide(body);
                let said = answer.json();
                if let Some((index, _)) = before {
                    assert_eq!((answer.status, said["index"].as_u64()), (200, Some(*index)));
                    there += 1;
                } else {
                    assert_eq!(answer.status, 201, "{said}");
                    lost += 1;
                }
            }
        };
        if number == ROUNDS {
            let server = TestServer::start_in(data);
            check(&server);
            break;
        }
        last = round(data, check);
        for acknowledged in &last.acknowledged {
            let id = acknowledged.body.id();
            assert!(all.insert(id, acknowledged.clone()).is_none(), "{id} was answered with 201 twice");
            let before = indexes.insert(acknowledged.index, id);
            assert_eq!(before, None, "index {} was given twice", acknowledged.index);
        }
        if number == ROUNDS / 2 {
            check_all(data);
        }
    }
    let size = check_all(data);
    eprintln!(
        "{} decisions acknowledged in {ROUNDS} rounds; all are in the log of {size} records. Of those in flight at a kill \
         {there} were there and {lost} were not.",
        all.len(),
    );
    assert!(all.len() >= 20_000, "only {} were acknowledged", all.len());
}
