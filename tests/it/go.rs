//! An independent implementation agrees: Go's `golang.org/x/mod/sumdb`, from Debian's packages, reads the log over HTTP.

use std::path::Path;
use std::process::{Command, Output};

use consent_core::id::SubjectId;
use consent_tests::Installed;

use crate::public_log::{QUICK, decide, grow, said, size_of, url, write};

/// Builds `tests/go` against the packages that Debian has; nothing is fetched.
fn build(into: &Path) -> std::path::PathBuf {
    let program = into.join("checklog");
    let output = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", into.join("cache"))
        .env("GOFLAGS", "")
        .output()
        .expect("Go is there: `make setup-test` installs golang and golang-golang-x-mod-dev");
    assert!(output.status.success(), "`make setup-test` installs golang-golang-x-mod-dev: {}", said(&output));
    program
}

#[test]
fn go_verifies_checkpoint_tiles_proofs_receipts_and_entries() {
    let installed = Installed::new();
    let program = build(installed.folder());
    let serving = installed.serve(QUICK);
    let api = installed.api(&serving);
    let decision = decide(&api);
    let old = write(installed.folder(), "old.checkpoint", &grow(&api, &installed.data(), 6));
    // More than one full tile, and a tile of level 1.
    grow(&api, &installed.data(), 600);
    let subject = SubjectId::parse(decision.0["subject"].as_str().unwrap()).unwrap();
    let receipt = write(installed.folder(), "a.tlog-proof", &api.receipt(subject, decision.id()).expect(200).text());
    let check = |key: &str, more: &[&str]| -> Output {
        Command::new(&program).args(more).arg(url(&serving)).arg(key).output().unwrap()
    };
    let (old, receipt) = (old.to_str().unwrap(), receipt.to_str().unwrap());
    let output = check(&installed.log_key, &["-old", old, "-receipt", receipt, "-entries", &api.officer]);
    println!("{}", said(&output));
    assert!(output.status.success(), "{}", said(&output));
    let words = said(&output);
    for line in ["checkpoint: ", "inclusion: ", "consistency: ", "extends: ", "receipt: record ", "entries: "] {
        assert!(words.contains(line), "{line} is not in {words}");
    }
    // It would notice: another key, a changed receipt, another past.
    let stranger = consent_core::note::SigningKey::from_seed("shop.example/consent", [7; 32]).unwrap();
    assert!(said(&check(&stranger.vkey().to_string(), &[])).contains("FAILED"));
    let changed = std::fs::read_to_string(receipt).unwrap().replacen("index ", "index 1", 1);
    let changed = write(installed.folder(), "changed.tlog-proof", &changed);
    assert!(said(&check(&installed.log_key, &["-receipt", changed.to_str().unwrap()])).contains("FAILED"));
    let other = Installed::new();
    let elsewhere = other.serve(QUICK);
    let foreign = write(other.folder(), "foreign.checkpoint", &grow(&other.api(&elsewhere), &other.data(), 2));
    assert!(said(&check(&installed.log_key, &["-old", foreign.to_str().unwrap()])).contains("FAILED"));

    // After a rotation the new key verifies what it has signed, and the key before does not.
    let second = installed.command(&["log-key", "rotate", "--site", "demo"]).trim().to_owned();
    let note = grow(&api, &installed.data(), 1);
    let output = check(&second, &[]);
    assert!(
        output.status.success() && said(&output).contains(&format!("{} records", size_of(&note))),
        "{}",
        said(&output)
    );
    assert!(said(&check(&installed.log_key, &[])).contains("FAILED"));
}
