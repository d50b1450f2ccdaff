//! Signed notes, checkpoints, receipts (tlog-proof) and public keys, as auditors get them from anybody.

use std::collections::HashSet;
use std::io::Cursor;
use std::sync::LazyLock;

use consent_core::checkpoint::Checkpoint;
use consent_core::note::{self, VerifyingKey};
use consent_core::receipt::TlogProof;
use consent_server::cli::{Verdict, verify_file};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Target;
use crate::run::corpus;
use crate::seeds::key;

pub(super) static TARGET: Target = Target {
    name: "checkpoint",
    check,
    words: &[
        "\n\n",
        "\u{2014} ",
        "log.example/demo",
        "log.example/consent",
        "c2sp.org/tlog-proof@v1\n",
        "extra ",
        "index ",
        "+",
        "=",
        "==",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        " ",
        "\n",
        "18446744073709551615",
    ],
    longest: 80 << 10,
    runs: 6_000,
    // What verifies has a buffer of 1 MiB, also for an empty file.
    memory: (2 << 20, 64),
};

/// The keys that an auditor knows: ours, and those of the shared vectors.
static KEYS: LazyLock<Vec<VerifyingKey>> = LazyLock::new(|| {
    let shared = corpus("checkpoint")
        .into_iter()
        .filter(|seed| seed.name.rsplit_once('.').is_some_and(|(_, ending)| ending == "vkey"));
    let texts = shared.map(|seed| String::from_utf8(seed.bytes).expect("a key is text"));
    let mut keys = vec![key().vkey()];
    keys.extend(texts.map(|text| VerifyingKey::parse(&text).expect("the corpus holds good keys")));
    keys
});

/// What the keys have signed.
#[derive(Default)]
struct Genuine {
    texts: HashSet<String>,
    /// Signature lines, each with the text it is for.
    lines: HashSet<(String, String)>,
    /// Leaves that receipts are for, each with its index.
    leaves: HashSet<(String, u64)>,
}

static GENUINE: LazyLock<Genuine> = LazyLock::new(|| {
    let mut genuine = Genuine::default();
    for seed in corpus("checkpoint").into_iter().filter(|seed| seed.name.starts_with("good")) {
        let text = String::from_utf8(seed.bytes).expect("what is good is text");
        let proof = TlogProof::parse(&text).ok();
        if let Some(proof) = &proof
            && let Some(leaf) = leaf_of(proof)
        {
            genuine.leaves.insert((leaf, proof.index));
        }
        let note = proof.map_or(text, |proof| proof.checkpoint);
        let Some((text, lines)) = note.rsplit_once("\n\n") else { continue };
        let text = format!("{text}\n");
        genuine.lines.extend(lines.lines().map(|line| (text.clone(), line.to_owned())));
        genuine.texts.insert(text);
    }
    genuine
});

fn leaf_of(proof: &TlogProof) -> Option<String> {
    #[derive(Deserialize)]
    struct Extra<'a> {
        #[serde(borrow)]
        leaf: &'a RawValue,
    }
    let extra: Extra<'_> = serde_json::from_slice(proof.extra.as_deref()?).ok()?;
    Some(extra.leaf.get().to_owned())
}

fn check(input: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(input) else { return receipt(input, None) };
    let mut accepted = false;
    if let Ok(key) = VerifyingKey::parse(text) {
        assert_eq!(key.to_string(), text, "a key has one spelling");
        accepted = true;
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        let printed = checkpoint.text();
        assert!(text.starts_with(&printed), "{text:?} is printed as {printed:?}");
        assert_eq!(Checkpoint::parse(&printed), Ok(checkpoint));
    }
    accepted |= signed(text);
    let proof = TlogProof::parse(text).ok();
    if let Some(proof) = &proof {
        assert_eq!(proof.to_string(), text, "a receipt has one spelling");
        signed(&proof.checkpoint);
    }
    accepted | receipt(input, proof.as_ref())
}

/// Whether the note holds for a key that we know; then it is one that was signed.
fn signed(note: &str) -> bool {
    let verified = note::verify(note, &KEYS);
    if let Ok(verified) = &verified {
        assert!(GENUINE.texts.contains(&verified.text), "nobody has signed {:?}", verified.text);
        assert!(!verified.signed_by.is_empty());
        let (text, lines) = note.split_at(verified.text.len());
        assert_eq!(text, verified.text);
        for name in &verified.signed_by {
            let of_name = |line: &&str| line.split(' ').nth(1) == Some(name);
            let own = |line: &str| GENUINE.lines.contains(&(verified.text.clone(), line.to_owned()));
            assert!(lines.lines().filter(of_name).any(own), "{name} has made none of these lines: {lines:?}");
        }
    }
    for key in KEYS.iter() {
        if let Ok(checkpoint) = Checkpoint::open(note, key) {
            assert!(note.starts_with(&checkpoint.text()), "{note:?}");
            assert_eq!(checkpoint.origin, key.name());
            let alone = note::verify(note, core::slice::from_ref(key)).expect("it was just opened");
            assert!(GENUINE.texts.contains(&alone.text), "nobody has signed {:?}", alone.text);
        }
    }
    verified.is_ok()
}

/// Whether it is a good receipt; then its record is one for which a receipt was given.
fn receipt(input: &[u8], proof: Option<&TlogProof>) -> bool {
    let mut good = false;
    for key in KEYS.iter() {
        let verdict = verify_file(&mut Cursor::new(input), input.len() as u64, key.clone(), None);
        if let Verdict::Good(_) = verdict.expect("reading memory does not fail") {
            let proof = proof.expect("only a receipt verifies here");
            let leaf = leaf_of(proof).expect("a good receipt holds its record");
            assert!(GENUINE.leaves.contains(&(leaf, proof.index)), "no receipt was given for this record");
            good = true;
        }
    }
    good
}
