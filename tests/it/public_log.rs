//! The log as outsiders see it: what is served, how long it may be kept, keys that follow one another, and who is told of what.

use std::path::{Path, PathBuf};
use std::process::Output;

use consent_core::checkpoint::Checkpoint;
use consent_core::id::SubjectId;
use consent_core::merkle::{Hash, leaf_hash, verify_consistency};
use consent_core::note::VerifyingKey;
use consent_core::rotation::Keys;
use consent_core::tile::from_bytes;
use consent_server::signers::FileSigners;
use consent_server::store::Signers;
use consent_tests::{Api, DecisionBody, Installed, SHOP, Serving, check_log, consent, new_subject, wait_until};
use serde_json::Value;

pub(crate) const QUICK: &str =
    "publish_every_seconds = 1\nlimit_decisions_per_minute = 0\nlimit_reads_per_minute = 0\n";
const LOG: &str = "/v1/sites/demo/log";

pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Records a decision; the receipt's address needs the subject and its id.
pub(crate) fn decide(api: &Api) -> DecisionBody {
    let body = DecisionBody::save(&["statistics"]).by(new_subject());
    let headers = [("origin", SHOP), ("content-type", "application/json")];
    api.send("POST", "/v1/sites/demo/decisions", &headers, body.0.to_string().as_bytes()).expect(201);
    body
}

pub(crate) fn shown(api: &Api) -> String {
    api.get(&format!("{LOG}/checkpoint")).expect(200).text()
}

pub(crate) fn size_of(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// Records so many decisions, and waits until a checkpoint is shown that covers them.
pub(crate) fn grow(api: &Api, data: &Path, count: usize) -> String {
    for _ in 0..count {
        decide(api);
    }
    let size = check_log(data).unwrap()[0].size;
    wait_until("the checkpoint to cover what was recorded", || size_of(&shown(api)) >= size);
    shown(api)
}

pub(crate) fn url(serving: &Serving) -> String {
    format!("http://{}{LOG}", serving.address())
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// One look of `consent monitor`: its exit code and the line that it printed.
pub(crate) fn monitor(url: &str, key: &str, state: &Path, more: &[&str]) -> (i32, Value) {
    let args = ["monitor", url, "--key", key, "--state", state.to_str().unwrap(), "--once"];
    let output = consent(args.into_iter().chain(more.iter().copied()));
    let line = String::from_utf8(output.stdout.clone()).unwrap();
    let seen = serde_json::from_str(line.trim()).unwrap_or_else(|_| panic!("not one JSON line: {}", said(&output)));
    (output.status.code().unwrap(), seen)
}

#[test]
fn the_log_is_served_as_files_that_say_how_long_they_may_be_kept() {
    let installed = Installed::new();
    let serving = installed.serve(QUICK);
    let api = installed.api(&serving);
    let note = grow(&api, &installed.data(), 260);
    let key = VerifyingKey::parse(&installed.log_key).unwrap();
    let head = Checkpoint::open(&note, &key).unwrap();
    assert!(head.size > 256);
    let partial = format!("{LOG}/tile/0/001.p/{}", head.size - 256);
    for (path, kept) in [
        (format!("{LOG}/checkpoint"), "public, max-age=5"),
        (format!("{LOG}/tile/0/000"), "public, max-age=31536000, immutable"),
        (partial.clone(), "public, max-age=60"),
        (format!("{LOG}/tile/1/000.p/1"), "public, max-age=60"),
        (format!("{LOG}/consistency?from=3&to=200"), "public, max-age=31536000, immutable"),
        (format!("{LOG}/keys"), "public, max-age=5"),
        (format!("{LOG}/keys.html"), "public, max-age=5"),
    ] {
        assert_eq!(api.get(&path).expect(200).header("cache-control"), kept, "{path}");
    }
    let proof = |from: u64, to: u64| -> Vec<Hash> {
        let served = api.get(&format!("{LOG}/consistency?from={from}&to={to}")).expect(200).json();
        assert_eq!((&served["from"], &served["to"]), (&from.into(), &to.into()));
        served["proof"]
            .as_array()
            .unwrap()
            .iter()
            .map(|hash| Hash::from_base64(hash.as_str().unwrap()).unwrap())
            .collect()
    };
    // From the one full tile on: its root is the tree of 256.
    let root = from_bytes(&api.get(&format!("{LOG}/tile/1/000.p/1")).expect(200).body).unwrap()[0];
    verify_consistency(256, head.size, &root, &head.root, &proof(256, head.size)).unwrap();
    assert!(proof(0, head.size).is_empty() && proof(head.size, head.size).is_empty());
    for bad in
        ["", "?from=1", "?from=2&to=1", "?from=-1&to=1", "?from=1&to=99999", "?from=1&to=2&more=3", "?from=x&to=2"]
    {
        api.get(&format!("{LOG}/consistency{bad}")).expect(400).problem();
    }

    // Entries are for officers, and that they were read is a record before they are handed out.
    let before = check_log(&installed.data()).unwrap()[0].size;
    let bundle = |key: &str, n: &str| api.get_as(key, &format!("{LOG}/tile/entries/{n}"));
    let answer = bundle(&api.officer, "000").expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut rest = &answer.body[..];
    let mut leaves = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let (leaf, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
        leaves.push(leaf_hash(leaf));
        rest = after;
    }
    assert_eq!(leaves, from_bytes(&api.get(&format!("{LOG}/tile/0/000")).expect(200).body).unwrap());
    assert_eq!(check_log(&installed.data()).unwrap()[0].size, before + 1);
    for n in ["002", "0", "001.p/255", "x001/000", "000.p/256"] {
        bundle(&api.officer, n).expect(404).problem();
    }
    bundle(&api.backend, "000").expect(403).problem();
    api.get(&format!("{LOG}/tile/entries/000")).expect(401).problem();
    assert_eq!(check_log(&installed.data()).unwrap()[0].size, before + 1, "what was refused is no record");
}

#[test]
fn a_rotated_key_is_followed_and_what_was_signed_before_still_verifies() {
    let installed = Installed::new();
    let data = installed.data();
    let first = installed.log_key.clone();
    let mut serving = installed.serve(QUICK);
    let api = installed.api(&serving);
    let decision = decide(&api);
    let old_note = grow(&api, &data, 3);
    let old = write(installed.folder(), "old.checkpoint", &old_note);
    let subject = SubjectId::parse(decision.0["subject"].as_str().unwrap()).unwrap();
    let receipt = api.receipt(subject, decision.id()).expect(200).text();
    let receipt = write(installed.folder(), "old.tlog-proof", &receipt);
    let state = installed.folder().join("seen.checkpoint");
    assert_eq!(monitor(&url(&serving), &first, &state, &[]).1["event"], "first");

    // Beside the running server, which signs with the new key from its next commit on.
    let second = installed.command(&["log-key", "rotate", "--site", "demo"]).trim().to_owned();
    assert_ne!(first, second);
    let new_note = grow(&api, &data, 3);
    let keys = [VerifyingKey::parse(&first).unwrap(), VerifyingKey::parse(&second).unwrap()];
    let (before, after) =
        (Checkpoint::open(&old_note, &keys[0]).unwrap(), Checkpoint::open(&new_note, &keys[1]).unwrap());
    assert!(Checkpoint::open(&new_note, &keys[0]).is_err() && after.size > before.size);

    let served = api.get(&format!("{LOG}/keys")).expect(200).json();
    let listed = served["keys"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["vkey"], &listed[1]["vkey"]), (&first.clone().into(), &second.clone().into()));
    let to = listed[0]["to_size"].as_u64().unwrap();
    assert_eq!((listed[1]["from_size"].as_u64(), &listed[1]["to_size"]), (Some(to + 1), &Value::Null));
    assert!(before.size <= to && to < after.size);
    // Who trusts the first key is led to the second by what the first has signed, and by nothing else.
    let hand_over = listed[1]["hand_over"].as_str().unwrap();
    let followed = Keys::follow(keys[0].clone(), [hand_over]);
    assert_eq!(followed.current(), &keys[1]);
    assert_eq!((followed.open(&old_note).unwrap(), followed.open(&new_note).unwrap()), (before, after));
    let page = api.get(&format!("{LOG}/keys.html")).expect(200).text();
    assert!(page.contains("An earlier key") && page.contains("The present key"), "{page}");
    // The old private key cannot sign a later checkpoint that counts.
    let thief = FileSigners::new(data.join("keys")).signer(&keys[0]).unwrap();
    let forged = Checkpoint { size: to + 5, ..followed.open(&new_note).unwrap() }.sign(&thief);
    assert!(followed.open(&forged).is_err());

    // It is a record, whose target names the new key.
    let found = api.get_as(&api.officer, "/v1/sites/demo/audit/records?kind=key&limit=200").expect(200).json();
    let rotated =
        found["records"].as_array().unwrap().iter().find(|record| record["leaf"]["action"] == "rotate").unwrap();
    assert_eq!(rotated["index"], to);
    assert!(rotated["target"].as_str().unwrap().contains(&second), "{rotated}");

    // Everything from before holds with the key from before; the tools follow by themselves.
    let output = consent(["verify", receipt.to_str().unwrap(), "--key", &first]);
    assert!(output.status.success(), "{}", said(&output));
    let new = write(installed.folder(), "new.checkpoint", &new_note);
    let between = |old: &Path, new: &Path| {
        let (old, new, url) = (old.to_str().unwrap(), new.to_str().unwrap(), url(&serving));
        consent(["consistency", old, new, "--url", &url, "--key", &first])
    };
    assert!(between(&old, &new).status.success(), "{}", said(&between(&old, &new)));
    assert_eq!(between(&new, &old).status.code(), Some(1), "the other way round it is none");
    let (code, seen) = monitor(&url(&serving), &first, &state, &[]);
    assert_eq!((code, &seen["event"]), (0, &"consistent".into()), "{seen}");
    let list = installed.command(&["log-key", "list", "--site", "demo"]);
    assert!(list.contains(&format!("{first}\tfrom 0 to {to}")) && list.contains(&format!("{second}\tfrom")), "{list}");
    let export = installed.folder().join("audit.jsonl");
    installed.command(&["export", "--site", "demo", "--format", "jsonl", "-o", export.to_str().unwrap()]);
    let output = consent(["verify", export.to_str().unwrap(), "--key", &second]);
    assert!(output.status.success(), "{}", said(&output));
    let doctor = installed.command(&["doctor"]);
    assert!(doctor.contains("all is well"), "{doctor}");

    // A restart, a back-up and a restore know both keys.
    serving.ask_to_stop();
    assert!(serving.wait().success());
    let serving = installed.serve(QUICK);
    let api = installed.api(&serving);
    Checkpoint::open(&grow(&api, &data, 1), &keys[1]).unwrap();
    let to = installed.folder().join("backup");
    installed.command(&["backup", "--with-keys", "--to", to.to_str().unwrap()]);
    let other = installed.folder().join("other");
    let output = consent(["restore", "--from", to.to_str().unwrap(), "--data", other.to_str().unwrap()]);
    assert!(output.status.success() && !said(&output).contains("missing"), "{}", said(&output));
}

#[test]
fn a_rollback_and_a_fork_are_named_by_the_monitor() {
    let installed = Installed::new();
    let (data, key) = (installed.data(), installed.log_key.clone());
    let (backup, state) = (installed.folder().join("backup"), installed.folder().join("seen.checkpoint"));
    let mut serving = installed.serve(QUICK);
    let api = installed.api(&serving);
    grow(&api, &data, 3);
    installed.command(&["backup", "--to", backup.to_str().unwrap()]);
    let seen = monitor(&url(&serving), &key, &state, &[]);
    assert_eq!((seen.0, &seen.1["event"]), (0, &"first".into()));
    let kept = grow(&api, &data, 300);
    let seen = monitor(&url(&serving), &key, &state, &[]);
    assert_eq!((seen.0, &seen.1["event"], &seen.1["size"]), (0, &"consistent".into(), &size_of(&kept).into()));
    assert_eq!(std::fs::read_to_string(&state).unwrap(), kept, "the state is the checkpoint");
    // What cannot be checked is no alarm, and changes nothing.
    let stranger =
        consent_core::note::SigningKey::from_seed("shop.example/consent", [7; 32]).unwrap().vkey().to_string();
    for (at, by) in [(url(&serving), &*stranger), (format!("{}/nothing", url(&serving)), &*key)] {
        let seen = monitor(&at, by, &state, &[]);
        assert_eq!((seen.0, &seen.1["event"]), (2, &"unchecked".into()), "{}", seen.1);
    }
    serving.ask_to_stop();
    assert!(serving.wait().success());

    // An old back-up takes the log's place.
    std::fs::rename(data.join("consent.db"), installed.folder().join("aside.db")).unwrap();
    installed.command(&["restore", "--from", backup.to_str().unwrap()]);
    let serving = installed.try_serve(QUICK, &["--accept-rollback"]).unwrap();
    let api = installed.api(&serving);
    let note = grow(&api, &data, 1);
    for _ in 0..2 {
        // The alarm does not go away by itself: what was seen stays seen.
        let (code, seen) = monitor(&url(&serving), &key, &state, &[]);
        assert_eq!((code, &seen["event"]), (1, &"rollback".into()), "{seen}");
        assert_eq!((&seen["before"], &seen["size"]), (&size_of(&kept).into(), &size_of(&note).into()));
        assert_eq!(seen["proof"]["old"], kept);
    }
    // Once it is as long as it was, it is another one.
    let note = grow(&api, &data, 320);
    let (code, seen) = monitor(&url(&serving), &key, &state, &[]);
    assert_eq!((code, &seen["event"]), (1, &"fork".into()), "{seen}");
    assert!(size_of(&note) > size_of(&kept));
    // The two checkpoints prove it to anybody who knows the log's key.
    let vkey = VerifyingKey::parse(&key).unwrap();
    for side in ["old", "new"] {
        Checkpoint::open(seen["proof"][side].as_str().unwrap(), &vkey).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&state).unwrap(), kept);
}

#[test]
fn a_database_without_one_of_the_published_logs_is_refused() {
    let installed = Installed::new();
    let data = installed.data();
    let backup = installed.folder().join("backup");
    let mut serving = installed.serve(QUICK);
    grow(&installed.api(&serving), &data, 1);
    installed.command(&["backup", "--to", backup.to_str().unwrap()]);
    let create = ["site", "create", "shop", "--log-origin", "shop.example/second", "--origin", SHOP];
    installed.command(&create);
    let published = || std::fs::read_dir(data.join("published")).unwrap().count();
    wait_until("the second log to be published", || published() == 2);
    serving.ask_to_stop();
    assert!(serving.wait().success());
    std::fs::remove_file(data.join("consent.db")).unwrap();
    installed.command(&["restore", "--from", backup.to_str().unwrap()]);
    let why = installed.try_serve(QUICK, &[]).unwrap_err();
    assert!(why.contains("shop.example/second") && why.contains("is not in this database"), "{why}");
    let mut serving = installed.try_serve(QUICK, &["--accept-rollback"]).unwrap();
    let api = installed.api(&serving);
    let records = api.get_as(&api.officer, "/v1/sites/demo/audit/records?kind=log").expect(200).json();
    assert!(records["records"][0]["target"].as_str().unwrap().contains("shop.example/second"), "{records}");
    serving.ask_to_stop();
    assert!(serving.wait().success());
    // Accepted once is accepted. A file that was changed is refused, too, with the same way out.
    let mut serving = installed.serve(QUICK);
    serving.ask_to_stop();
    assert!(serving.wait().success());
    let files = std::fs::read_dir(data.join("published")).unwrap().map(|entry| entry.unwrap().path());
    let own = files.filter(|path| !path.to_str().unwrap().contains("rolled-back")).collect::<Vec<_>>();
    assert_eq!(own.len(), 1);
    std::fs::write(&own[0], "not a checkpoint").unwrap();
    let why = installed.try_serve(QUICK, &[]).unwrap_err();
    assert!(why.contains("cannot be held against it") && why.contains("--accept-rollback"), "{why}");
    drop(installed.try_serve(QUICK, &["--accept-rollback"]).unwrap());
}
