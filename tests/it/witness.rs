//! Witnesses: two services watch over each other's logs, a witness keeps to its protocol, and what it saw cannot be undone.

use std::path::PathBuf;
use std::process::Command;

use consent_core::checkpoint::Checkpoint;
use consent_core::merkle::{Hash, empty_root, leaf_hash, node_hash};
use consent_core::note::{self, SigningKey, VerifyingKey};
use consent_core::witness::AddCheckpoint;
use consent_tests::{Answer, Api, Installed, Serving, binary, consent, wait_until};
use sha2::{Digest, Sha256};

use crate::public_log::{QUICK, decide, grow, monitor, shown, size_of, url};

/// A witness in a folder of a service, with the logs that it knows.
struct Operator {
    name: &'static str,
    folder: PathBuf,
    logs: Vec<String>,
}

impl Operator {
    fn new(installed: &Installed, name: &'static str) -> Self {
        Self { name, folder: installed.folder().join("witness"), logs: Vec::new() }
    }

    fn key(&self) -> String {
        let output = consent(["witness", "key", "--name", self.name, "--data", self.folder.to_str().unwrap()]);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn serve(&self, installed: &Installed, listen: &str) -> Serving {
        let mut command = Command::new(binary());
        command.args(["witness", "serve", "--name", self.name, "--listen", listen, "--data"]).arg(&self.folder);
        for log in &self.logs {
            command.args(["--log", log]);
        }
        installed.start(command).unwrap()
    }

    fn config(&self, serving: &Serving, quorum: u32) -> String {
        let (name, key) = (self.name, self.key());
        format!(
            "{QUICK}witness_quorum = {quorum}\nwitnesses = [{{ name = \"{name}\", url = \"http://{}\", vkey = \"{key}\" }}]\n",
            serving.address()
        )
    }
}

fn cosigned(note: &str, key: &str) -> bool {
    note::verify(note, &[VerifyingKey::parse(key).unwrap()]).is_ok()
}

fn ask(api: &Api, request: &AddCheckpoint) -> Answer {
    api.send("POST", "/add-checkpoint", &[], request.to_string().as_bytes())
}

#[test]
fn two_services_witness_each_other() {
    let (a, b) = (Installed::new(), Installed::new());
    // Both have the same origin here, and different keys: a witness tells logs apart by origin, so each knows the other's only.
    let (mut at_a, mut at_b) = (Operator::new(&a, "a.example/witness"), Operator::new(&b, "b.example/witness"));
    at_a.logs.push(b.log_key.clone());
    at_b.logs.push(a.log_key.clone());
    let (witness_a, mut witness_b) = (at_a.serve(&a, "127.0.0.1:0"), at_b.serve(&b, "127.0.0.1:0"));
    let serving_a = a.serve(&at_b.config(&witness_b, 1));
    let serving_b = b.serve(&at_a.config(&witness_a, 1));
    let (api_a, api_b) = (a.api(&serving_a), b.api(&serving_b));
    for (installed, api, witness) in [(&a, &api_a, &at_b), (&b, &api_b, &at_a)] {
        wait_until("the first cosignature", || {
            api.get("/v1/sites/demo/log/checkpoint").status == 200 && cosigned(&shown(api), &witness.key())
        });
        let note = grow(api, &installed.data(), 5);
        assert!(cosigned(&note, &witness.key()), "{note}");
        assert!(cosigned(&note, &installed.log_key), "and the log's own signature stays");
    }
    // The witness shows what it has signed.
    let hash = Hash(Sha256::digest("shop.example/consent").into()).to_string();
    let at_witness = Api::new(&format!("http://{}", witness_b.address()), "", "", "");
    let kept = at_witness.get(&format!("/{hash}/checkpoint")).expect(200).text();
    assert!(cosigned(&kept, &a.log_key) && cosigned(&kept, &at_b.key()));
    // An auditor who asks for the cosignature finds it; one who asks for another witness's does not.
    let state = a.folder().join("seen.checkpoint");
    let (code, seen) = monitor(&url(&serving_a), &a.log_key, &state, &["--witness", &at_b.key()]);
    assert_eq!(code, 0, "{seen}");
    let (code, seen) = monitor(&url(&serving_a), &a.log_key, &state, &["--witness", &at_a.key()]);
    assert_eq!((code, &seen["event"]), (2, &"unchecked".into()), "{seen}");

    // A witness that is gone stops nobody: decisions are recorded as before, and what is shown is what was cosigned last.
    let before = size_of(&shown(&api_a));
    let address = witness_b.address().to_string();
    witness_b.ask_to_stop();
    assert!(witness_b.wait().success());
    for _ in 0..20 {
        decide(&api_a);
    }
    wait_until("the service to say so", || serving_a.logged().contains("has not cosigned the log of demo"));
    assert_eq!(size_of(&shown(&api_a)), before);
    // It knows what it has seen when it is back, and all is cosigned again.
    let _witness_b = at_b.serve(&b, &address);
    wait_until("the checkpoint to be cosigned again", || size_of(&shown(&api_a)) >= before + 20);
    assert!(cosigned(&shown(&api_a), &at_b.key()));
}

#[test]
fn a_witness_keeps_to_its_protocol() {
    let installed = Installed::new();
    let log = SigningKey::from_seed("log.example/x", [1; 32]).unwrap();
    let mut operator = Operator::new(&installed, "witness.example/w");
    operator.logs.push(log.vkey().to_string());
    let mut serving = operator.serve(&installed, "127.0.0.1:0");
    let api = Api::new(&format!("http://{}", serving.address()), "", "", "");
    let leaves = [leaf_hash(b"a"), leaf_hash(b"b")];
    let root = node_hash(&leaves[0], &leaves[1]);
    let head = |size, root| Checkpoint { origin: "log.example/x".to_owned(), size, root };
    let request = |old, proof: &[Hash], checkpoint: String| AddCheckpoint { old, proof: proof.to_vec(), checkpoint };
    let growth = request(1, &leaves[1..], head(2, root).sign(&log));

    // First contact: the size is learnt from a 409.
    ask(&api, &request(0, &[], head(1, leaves[0]).sign(&log))).expect(200);
    let conflict = ask(&api, &request(0, &[], head(2, root).sign(&log))).expect(409);
    assert_eq!((conflict.header("content-type").as_str(), conflict.text().as_str()), ("text/x.tlog.size", "1\n"));
    let line = ask(&api, &growth).expect(200).text();
    assert!(line.starts_with("\u{2014} witness.example/w ") && line.lines().count() == 1, "{line}");
    assert!(cosigned(&(growth.checkpoint.clone() + &line), &operator.key()));
    let stranger = SigningKey::from_seed("log.example/x", [2; 32]).unwrap();
    let unknown = SigningKey::from_seed("log.example/unknown", [1; 32]).unwrap();
    let foreign = Checkpoint { origin: "log.example/unknown".to_owned(), ..head(2, root) }.sign(&unknown);
    for (name, status, refused) in [
        ("an unknown origin", 404, request(0, &[], foreign)),
        ("no signature of the log", 403, request(2, &[], head(2, root).sign(&stranger))),
        ("old above new", 400, request(3, &[], head(2, root).sign(&log))),
        ("a size that was not seen", 409, request(1, &leaves[1..], head(2, root).sign(&log))),
        ("a fork", 422, request(2, &[], head(2, Hash([9; 32])).sign(&log))),
        ("a wrong proof", 422, request(2, &[Hash([9; 32])], head(3, Hash([8; 32])).sign(&log))),
        ("a root over nothing", 409, request(0, &[], head(0, empty_root()).sign(&log))),
    ] {
        let answer = ask(&api, &refused);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
    for bad in ["", "old 2\n", "old x\n\nlog.example/x\n"] {
        api.send("POST", "/add-checkpoint", &[], bad.as_bytes()).expect(400);
    }
    api.send("POST", "/add-checkpoint", &[], &vec![b'a'; 100_000]).expect(413);
    api.get("/..%2f..%2fkeys/checkpoint").expect(404);
    assert!(api.get("/").expect(200).text().contains(&operator.key()));
    // What was answered is on disk: a power cut forgets nothing.
    let killed = Command::new("kill").args(["-KILL", &serving.pid().to_string()]).status().unwrap();
    assert!(killed.success());
    serving.wait();
    let serving = operator.serve(&installed, "127.0.0.1:0");
    let api = Api::new(&format!("http://{}", serving.address()), "", "", "");
    let conflict = ask(&api, &growth).expect(409);
    assert_eq!(conflict.text(), "2\n");
    // And two of one key may not run at once.
    let mut second = Command::new(binary());
    second
        .args(["witness", "serve", "--name", operator.name, "--listen", "127.0.0.1:0", "--data"])
        .arg(&operator.folder);
    second.args(["--log", &operator.logs[0]]);
    assert!(installed.start(second).unwrap_err().contains("another process serves"));
}

#[test]
fn what_a_witness_saw_is_a_memory_that_no_restore_can_reach() {
    let (installed, elsewhere) = (Installed::new(), Installed::new());
    let data = installed.data();
    let mut operator = Operator::new(&elsewhere, "witness.example/w");
    operator.logs.push(installed.log_key.clone());
    let witness = operator.serve(&elsewhere, "127.0.0.1:0");
    let config = operator.config(&witness, 0);
    let mut serving = installed.serve(&config);
    let api = installed.api(&serving);
    let backup = installed.folder().join("backup");
    grow(&api, &data, 3);
    installed.command(&["backup", "--to", backup.to_str().unwrap()]);
    let note = grow(&api, &data, 5);
    wait_until("the witness to have seen it", || cosigned(&shown(&api), &operator.key()));
    serving.ask_to_stop();
    assert!(serving.wait().success());

    // Everything beside the database went with it: only the witness knows.
    std::fs::remove_file(data.join("consent.db")).unwrap();
    std::fs::remove_dir_all(data.join("published")).unwrap();
    installed.command(&["restore", "--from", backup.to_str().unwrap()]);
    let why = installed.try_serve(&config, &[]).unwrap_err();
    assert!(why.contains("witness.example/w") && why.contains(&format!("{} were published", size_of(&note))), "{why}");
    let mut serving = installed.try_serve(&config, &["--accept-rollback"]).unwrap();
    let api = installed.api(&serving);
    let records = api.get_as(&api.officer, "/v1/sites/demo/audit/records?kind=log").expect(200).json();
    let target = records["records"][0]["target"].as_str().unwrap();
    assert!(target.contains("rollback accepted") && target.contains("cosigned by witness.example/w"), "{target}");
    // The witness does not follow, and the log says why.
    wait_until("the log to say so", || serving.logged().contains("does not cosign the log of demo"));
    grow(&api, &data, 20);
    assert!(!cosigned(&shown(&api), &operator.key()));
    serving.ask_to_stop();
    assert!(serving.wait().success());
    // Accepted once is accepted; and a witness that does not answer stops nobody from starting.
    let mut serving = installed.serve(&config);
    serving.ask_to_stop();
    assert!(serving.wait().success());
    drop(witness);
    let serving = installed.serve(&config);
    assert!(serving.logged().contains("is not known"), "{}", serving.logged());
}
