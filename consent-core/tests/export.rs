//! Exports that were tampered with, one way at a time and at random: none is ever taken for good, and what was done is named.

use consent_core::checkpoint::Checkpoint;
use consent_core::consent::Effect;
use consent_core::decision::{Control, Layer, Method, Signals};
use consent_core::export::{Exporter, Failure, Header, Problem, Report, STATEMENT, Unreadable, Verifier};
use consent_core::id::{ChoiceId, Language, RecordId, SiteId};
use consent_core::merkle::{Edge, Hash, Nodes, leaf_hash, node_hash, range_proof};
use consent_core::note::SigningKey;
use consent_core::record::{Action, Hex32, Kind, Leaf, NoticeRef};
use consent_core::time::UnixMillis;
use data_encoding::BASE64;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const ORIGIN: &str = "demo.consent.example/v1/sites/demo";
const START: i64 = 1_767_225_600_000;

fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, [7; 32]).unwrap()
}

fn at(index: u64) -> UnixMillis {
    UnixMillis::new(START + 1000 * i64::try_from(index).unwrap())
}

fn notice(version: u32) -> String {
    format!(r#"{{"format":1,"texts":{{"en":"We count visits, version {version}."}},"version":{version}}}"#)
}

fn notice_ref(version: u32) -> NoticeRef {
    NoticeRef { sha256: Hex32(Sha256::digest(notice(version)).into()), version }
}

/// A leaf of a small log: every seventh one is an officer's access, the others decisions on one of two notices.
fn leaf(index: u64) -> Leaf {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&index.to_be_bytes());
    let hash = leaf_hash(&seed).0;
    let id = RecordId::from_random(hash[..16].try_into().unwrap());
    let site = SiteId::parse("demo").unwrap();
    if index % 7 == 6 {
        return Leaf::of_act(Kind::Access, Action::Export, id, site, at(index), hash, Hex32(hash));
    }
    let ids = |texts: &[&str]| Some(texts.iter().map(|text| ChoiceId::parse(text).unwrap()).collect());
    let grants = index.is_multiple_of(2);
    Leaf {
        action: None,
        actor: None,
        salt: None,
        control: Some(Control::Save),
        decided_at: Some(UnixMillis::new(at(index).millis() - 250)),
        granted: ids(if grants { &["statistics"] } else { &[] }),
        denied: ids(if grants { &["marketing"] } else { &["marketing", "statistics"] }),
        effect: Some(Effect::Applied),
        language: Some(Language::parse("en").unwrap()),
        layer: Some(Layer::Settings),
        method: Some(Method::Save),
        notice: Some(notice_ref(if index < 20 { 1 } else { 2 })),
        signals: Some(Signals::default()),
        subject: Some(Hex32(hash)),
        ..Leaf::of_act(Kind::Decision, Action::Create, id, site, at(index), hash, Hex32(hash))
    }
}

struct Log {
    leaves: Vec<Vec<u8>>,
    hashes: Vec<Hash>,
}

impl Nodes for &Log {
    type Error = std::convert::Infallible;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let mut hashes = self.hashes[usize::try_from(index << level).unwrap()..][..1 << level].to_vec();
        while hashes.len() > 1 {
            hashes = hashes.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        Ok(hashes[0])
    }
}

impl Log {
    fn of(leaves: Vec<Vec<u8>>) -> Self {
        let hashes = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        Self { leaves, hashes }
    }

    fn new(size: u64) -> Self {
        Self::of((0..size).map(|index| leaf(index).to_bytes()).collect())
    }

    fn checkpoint(&self, size: u64, signer: &SigningKey) -> String {
        let mut edge = Edge::default();
        self.hashes[..usize::try_from(size).unwrap()].iter().for_each(|hash| edge.push(*hash));
        Checkpoint { origin: signer.name().to_owned(), size, root: edge.root() }.sign(signer)
    }

    /// The export of `from..to` of the tree of `size`.
    fn export(&self, range: (Option<UnixMillis>, Option<UnixMillis>), from: u64, to: u64, size: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let header = Header::new(SiteId::parse("demo").unwrap(), ORIGIN, range, from, to);
        let mut exporter = Exporter::new(header, &mut out);
        for index in from..to {
            exporter.record(index, &self.leaves[usize::try_from(index).unwrap()], &mut out).unwrap();
        }
        let notices: Vec<_> = exporter.notices().collect();
        for named in notices {
            exporter.notice(named, &notice(named.version), &mut out).unwrap();
        }
        let proof = range_proof(&mut &*self, from, to, size).unwrap();
        exporter.finish(&self.checkpoint(size, &key()), &proof, &key(), &mut out).unwrap();
        out
    }

    fn whole(&self) -> Vec<u8> {
        let size = self.leaves.len() as u64;
        self.export((None, None), 0, size, size)
    }
}

fn verify_with(file: &[u8], key: &SigningKey, earlier: Option<String>) -> Result<Report, Problem> {
    let mut verifier = Verifier::new(key.vkey(), earlier);
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        verifier.line(line)?;
    }
    verifier.finish()
}

fn verify(file: &[u8]) -> Result<Report, Problem> {
    verify_with(file, &key(), None)
}

fn lines(file: &[u8]) -> Vec<String> {
    std::str::from_utf8(file).unwrap().split_inclusive('\n').map(str::to_owned).collect()
}

fn check(lines: &[String]) -> Result<Report, Problem> {
    verify(lines.concat().as_bytes())
}

#[track_caller]
fn failed(lines: &[String]) -> String {
    match check(lines) {
        Err(Problem::Failed(failure)) => failure.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Line of a record in an export that starts at 0.
const fn line_of(index: usize) -> usize {
    index + 1
}

#[test]
fn a_good_export_is_counted() {
    let log = Log::new(100);
    let report = verify(&log.whole()).unwrap();
    assert_eq!((report.records(), report.decisions()), (100, 86));
    assert_eq!(report.kinds[&Kind::Access], 14);
    assert_eq!(report.methods[&Method::Save], 86);
    assert_eq!((report.first_recorded_at, report.last_recorded_at), (Some(at(0)), Some(at(99))));
    assert_eq!((report.indexes, report.tree_size, report.neighbours), (0..100, 100, 0));
    assert_eq!((report.notices, report.key_id), (vec![1, 2], key().vkey().key_id()));
    assert_eq!((report.site.as_str(), report.origin.as_str()), ("demo", ORIGIN));
    let head = Checkpoint::open(&log.checkpoint(100, &key()), &key().vkey()).unwrap();
    assert_eq!(report.root, head.root);
}

#[test]
fn every_line_is_canonical_json() {
    let file = Log::new(40).whole();
    let lines = lines(&file);
    assert_eq!(lines.len(), 1 + 40 + 2 + 1 + 1);
    for line in &lines {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json_canonicalizer::to_string(&value).unwrap() + "\n", *line);
    }
    assert_eq!(
        lines[0].trim_end(),
        format!(
            r#"{{"count":40,"filter":null,"format":"consent-export/1","from_index":0,"origin":"{ORIGIN}","range":null,"site":"demo","statement":"{STATEMENT}","to_index":40}}"#
        )
    );
}

#[test]
fn other_line_ends_are_tolerated_and_nothing_else() {
    let file = Log::new(10).whole();
    let text = String::from_utf8(file.clone()).unwrap();
    assert!(verify(text.replace('\n', "\r\n").as_bytes()).is_ok());
    assert!(verify(text.trim_end().as_bytes()).is_ok());
    assert!(verify(text.replace('\n', "\r\n").trim_end().as_bytes()).is_ok());
    for (name, bad) in [
        ("carriage return for the last newline", text.trim_end().to_owned() + "\r"),
        ("two carriage returns", text.replacen('\n', "\r\r\n", 1)),
        ("an empty line at the end", text.clone() + "\n"),
        ("an empty line inside", text.replacen('\n', "\n\n", 3)),
        ("a byte order mark", "\u{feff}".to_owned() + &text),
        ("a space", text.replacen("{\"index\"", "{ \"index\"", 1)),
        ("a space at the end", text.trim_end().to_owned() + " "),
    ] {
        assert!(verify(bad.as_bytes()).is_err(), "{name}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn what_was_done_to_records_is_named() {
    let log = Log::new(100);
    let good = lines(&log.whole());
    let done = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = good.clone();
        change(&mut lines);
        failed(&lines)
    };
    let renumber = |lines: &mut Vec<String>| {
        let records = lines.iter_mut().filter(|line| line.starts_with("{\"index\""));
        for (index, line) in records.enumerate() {
            *line = format!("{{\"index\":{index},{}", line.split_once(',').unwrap().1);
        }
    };
    let flip = |line: &mut String| {
        *line = line
            .replace(r#""denied":["marketing","statistics"]"#, r#""denied":["marketing"]"#)
            .replace(r#""granted":[]"#, r#""granted":["statistics"]"#);
    };
    let other = format!(
        "{{\"index\":58,\"leaf\":{}}}\n",
        String::from_utf8(leaf(1000).to_bytes()).unwrap().replace("2026-01-01T00:16:", "2026-01-01T00:00:")
    );
    let l57 = line_of(57);
    for (name, change, want) in [
        ("a choice", &(|l: &mut Vec<String>| flip(&mut l[l57])) as &dyn Fn(&mut Vec<String>), "record 57 was changed"),
        ("a time", &|l| l[l57] = l[l57].replace(":57.000Z", ":57.001Z"), "record 57 was changed"),
        ("a time that runs backwards", &|l| l[l57] = l[l57].replace(":57.000Z", ":51.000Z"), "record 57 was changed"),
        ("not JSON any more", &|l| l[l57] = l[l57].replace("leaf", "lexf"), "record 57 was changed"),
        ("garbage", &|l| l[l57] = l[l57][..40].to_owned() + "\n", "record 57 was changed"),
        ("two lines in one", &|l| l[l57].truncate(40), "records 57 and 58 were changed"),
        ("another version", &|l| l[l57] = l[l57].replace("\"v\":1", "\"v\":2"), "record 57 was changed"),
        ("removed", &|l| drop(l.remove(l57)), "record 57 was removed"),
        (
            "removed and renumbered",
            &|l| {
                l.remove(l57);
                renumber(l);
            },
            "record 57 was removed",
        ),
        ("three removed", &|l| drop(l.drain(l57..l57 + 3)), "records 57 to 59 were removed"),
        ("the first removed", &|l| drop(l.remove(1)), "record 0 was removed"),
        ("the last removed", &|l| drop(l.remove(line_of(99))), "record 99 was removed"),
        ("swapped", &|l| l.swap(l57, l57 + 1), "records 57 and 58 were reordered"),
        ("swapped far apart", &|l| l.swap(line_of(3), l57), "records 3 and 57 were reordered"),
        (
            "swapped and renumbered",
            &|l| {
                l.swap(l57, l57 + 1);
                renumber(l);
            },
            "records 57 and 58 were reordered",
        ),
        ("twice", &|l| l.insert(l57, l[l57].clone()), "a record was added after record 57"),
        (
            "another one",
            &|l| {
                l.insert(l57 + 1, other.clone());
                renumber(l);
            },
            "a record was added after record 57",
        ),
        ("another one, not renumbered", &|l| l.insert(l57 + 1, other.clone()), "a record was added after record 57"),
        ("at the start", &|l| l.insert(1, other.clone()), "a record was added before the first record"),
        ("at the end", &|l| l.insert(line_of(100), other.clone()), "a record was added after record 99"),
        (
            "an index",
            &|l| l[l57] = l[l57].replace("\"index\":57", "\"index\":75"),
            "the index of record 57 was changed",
        ),
        (
            "the first index",
            &|l| l[1] = l[1].replace("\"index\":0", "\"index\":1"),
            "the index of record 0 was changed",
        ),
        (
            "two changed",
            &|l| {
                flip(&mut l[l57]);
                flip(&mut l[line_of(9)]);
            },
            "records 9 and 57 were changed",
        ),
        (
            "one removed, one changed",
            &|l| {
                flip(&mut l[l57]);
                l.remove(line_of(9));
            },
            "record 9 was removed, and more was changed after that",
        ),
        (
            "after the notices",
            &|l| l.swap(line_of(99), line_of(100)),
            "line 102 stands in the wrong place: lines were reordered",
        ),
        (
            "a line of another kind",
            &|l| l.insert(l57, "{}\n".into()),
            "line 59 was added or changed: an export has no such line",
        ),
    ] {
        assert_eq!(done(change), want, "{name}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn what_was_done_beside_the_records_is_named() {
    let log = Log::new(100);
    let good = lines(&log.whole());
    let (notice_1, locators, last) = (101, 103, 104);
    let replace = |line: usize, from: &'static str, to: &'static str| {
        move |lines: &mut Vec<String>| {
            assert!(lines[line].contains(from), "{from}");
            lines[line] = lines[line].replace(from, to);
        }
    };
    for (name, change, want) in [
        (
            "count",
            Box::new(replace(0, "\"count\":100", "\"count\":99")) as Box<dyn Fn(&mut Vec<String>)>,
            "the header was changed: its count is not what was exported",
        ),
        ("end", Box::new(replace(0, "\"to_index\":100", "\"to_index\":101")), "the header was changed: its to_index"),
        (
            "both",
            Box::new(|l: &mut Vec<String>| l[0] = l[0].replace(":100", ":101")),
            "the header was changed: its count is not",
        ),
        (
            "start",
            Box::new(replace(0, "\"from_index\":0", "\"from_index\":1")),
            "the header was changed: its from_index",
        ),
        ("site", Box::new(replace(0, "\"site\":\"demo\"", "\"site\":\"demon\"")), "the header was changed: its site"),
        ("origin", Box::new(replace(0, "demo.consent", "dem0.consent")), "the header was changed: its origin"),
        ("statement", Box::new(replace(0, "not who", "and who")), "the header was changed: its statement"),
        ("filter", Box::new(replace(0, "\"filter\":null", "\"filter\":{}")), "the header was changed: its filter"),
        (
            "range",
            Box::new(replace(0, "\"range\":null", "\"range\":{\"from\":\"2026-01-01T00:00:10.000Z\",\"to\":null}")),
            "the header was changed: its range",
        ),
        (
            "a range that changes nothing",
            Box::new(replace(0, "\"range\":null", "\"range\":{\"from\":null,\"to\":null}")),
            "the header was changed: its range",
        ),
        (
            "a range that fits",
            Box::new(replace(0, "\"range\":null", "\"range\":{\"from\":\"2000-01-01T00:00:10.000Z\",\"to\":null}")),
            "the seal is not for these lines: the header's time range was changed",
        ),
        (
            "header form",
            Box::new(replace(0, "\"filter\":null", "\"filter\": null")),
            "the header was changed: its form",
        ),
        ("header JSON", Box::new(replace(0, "\"filter\"", "\"filtor\"")), "the header was changed: its form"),
        ("no header", Box::new(|l: &mut Vec<String>| drop(l.remove(0))), "the header is missing"),
        ("header second", Box::new(|l: &mut Vec<String>| l.swap(0, 1)), "the header is missing"),
        ("notice text", Box::new(replace(notice_1, "count visits", "count nothing")), "notice version 1 was changed"),
        (
            "notice version",
            Box::new(replace(notice_1, "\"version\":1}\n", "\"version\":3}\n")),
            "notice version 1 was changed",
        ),
        ("notice hash", Box::new(replace(notice_1, "\"sha256\":\"", "\"sha256\":\"0")), "notice version 1 was changed"),
        ("notice form", Box::new(replace(notice_1, "{\"notice\":", "{\"nobody\":")), "notice version 1 was changed"),
        ("notice garbage", Box::new(|l: &mut Vec<String>| l[notice_1] = "{}\n".into()), "notice version 1 was changed"),
        ("no notice", Box::new(|l: &mut Vec<String>| drop(l.remove(notice_1))), "notice version 1 was removed"),
        (
            "notice twice",
            Box::new(|l: &mut Vec<String>| l.insert(notice_1, l[notice_1].clone())),
            "notice version 1 was added",
        ),
        (
            "notices swapped",
            Box::new(|l: &mut Vec<String>| l.swap(notice_1, notice_1 + 1)),
            "the notices were reordered",
        ),
        (
            "another notice",
            Box::new(|l: &mut Vec<String>| {
                let NoticeRef { sha256, version } = notice_ref(3);
                l.insert(103, format!("{{\"notice\":{},\"sha256\":\"{sha256}\",\"version\":{version}}}\n", notice(3)));
            }),
            "notice version 3 was added",
        ),
        (
            "locators",
            Box::new(|l: &mut Vec<String>| l[locators] = changed_locator(&l[locators], 57)),
            "the locators of the records from 57 on",
        ),
        (
            "locator form",
            Box::new(replace(locators, "\"locator\"", "\"locater\"")),
            "the locators of the records from 0 on",
        ),
        (
            "no locators",
            Box::new(|l: &mut Vec<String>| drop(l.remove(locators))),
            "the locators of the records from 0 on",
        ),
        (
            "locators twice",
            Box::new(|l: &mut Vec<String>| l.insert(103, l[103].clone())),
            "the locators of the records from 100 on",
        ),
        (
            "seal text",
            Box::new(replace(last, "\"seal\":\"consent-export/1", "\"seal\":\"consent-export/2")),
            "the seal was changed",
        ),
        ("proofs", Box::new(replace(last, "\"left\":[]", "\"left\":[\"AAAA\"]")), "the proofs were changed"),
        (
            "form",
            Box::new(replace(last, "\"left\":[]", "\"left\": []")),
            "the last line, with checkpoint, proofs and seal, was",
        ),
        ("last line twice", Box::new(|l: &mut Vec<String>| l.push(l[last].clone())), "line 106 stands after the end"),
        ("last line earlier", Box::new(|l: &mut Vec<String>| l.swap(last, locators)), "line 105 stands after the end"),
    ] {
        let mut lines = good.clone();
        change(&mut lines);
        let got = failed(&lines);
        assert!(got.starts_with(want), "{name}: {got}");
    }
}

fn changed_locator(line: &str, position: usize) -> String {
    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
    let mut bytes = BASE64.decode(value["locator"].as_str().unwrap().as_bytes()).unwrap();
    bytes[4 * position] ^= 1;
    value["locator"] = BASE64.encode(&bytes).into();
    serde_json::to_string(&value).unwrap() + "\n"
}

fn set_in_last(lines: &mut [String], name: &str, value: &str) {
    let last = lines.last_mut().unwrap();
    let mut parsed: serde_json::Value = serde_json::from_str(last).unwrap();
    parsed[name] = value.into();
    *last = serde_json::to_string(&parsed).unwrap() + "\n";
}

#[test]
fn checkpoints_of_other_sizes_and_logs_are_told_apart() {
    let log = Log::new(100);
    let with = |file: Vec<u8>, checkpoint: &str| {
        let mut lines = lines(&file);
        set_in_last(&mut lines, "checkpoint", checkpoint);
        failed(&lines)
    };
    let older =
        "the checkpoint covers only 60 records, but the file reaches to record 99: it was replaced by an older one";
    assert_eq!(with(log.whole(), &log.checkpoint(60, &key())), older);
    let newer = "the checkpoint of 100 records was replaced or the proofs were changed: they do not go together";
    assert_eq!(with(log.export((None, None), 0, 60, 60), &log.checkpoint(100, &key())), newer);

    let elsewhere = SigningKey::from_seed("other.example", [7; 32]).unwrap();
    let same_name = SigningKey::from_seed(ORIGIN, [8; 32]).unwrap();
    for other in [&elsewhere, &same_name] {
        let got = with(log.whole(), &log.checkpoint(100, other));
        assert!(got.starts_with("the checkpoint is not this log's"), "{got}");
        let got = verify_with(&log.whole(), other, None);
        assert!(matches!(got, Err(Problem::Failed(Failure::Checkpoint(_)))), "{got:?}");
    }
    let good = log.checkpoint(100, &key());
    let other_signature = log.checkpoint(100, &elsewhere);
    let cosigned = format!("{good}{}\n", other_signature.lines().last().unwrap());
    assert_eq!(with(log.whole(), &cosigned), "a signature was added to the checkpoint or the seal");
    let changed = with(log.whole(), &good.replace("\n100\n", "\n101\n"));
    assert!(changed.starts_with("the checkpoint is not this log's: the signature by"), "{changed}");

    let part = log.export((None, Some(at(49))), 0, 50, 100);
    let fork = Log::of((0..100).map(|index| leaf(index + 500).to_bytes()).collect());
    assert!(with(part, &fork.checkpoint(100, &key())).starts_with("the proofs were changed"));
}

#[test]
fn the_exporter_leaves_foreign_signatures_out() {
    let log = Log::new(3);
    let elsewhere = SigningKey::from_seed("other.example", [7; 32]).unwrap();
    let other = log.checkpoint(3, &elsewhere);
    let cosigned = format!("{}{}\n", log.checkpoint(3, &key()), other.lines().last().unwrap());
    let mut out = Vec::new();
    let mut exporter = Exporter::new(Header::new(SiteId::parse("demo").unwrap(), ORIGIN, (None, None), 0, 3), &mut out);
    for (index, leaf) in (0..).zip(&log.leaves) {
        exporter.record(index, leaf, &mut out).unwrap();
    }
    exporter.notice(notice_ref(1), &notice(1), &mut out).unwrap();
    exporter.finish(&cosigned, &range_proof(&mut &log, 0, 3, 3).unwrap(), &key(), &mut out).unwrap();
    assert_eq!(out, log.whole());
}

#[test]
fn who_fits_all_that_is_not_signed_is_still_found_out() {
    // Changes a record, then makes locators, and in the second case also removes one and fixes header and indexes.
    let log = Log::new(50);
    let mut leaves = log.leaves.clone();
    let mut other = leaf(30);
    other.signals = Some(Signals { gpc: true, ..Signals::default() });
    leaves[30] = other.to_bytes();
    let forged = Log::of(leaves.clone());
    let mut lines_of_forged = lines(&forged.whole());
    *lines_of_forged.last_mut().unwrap() = lines(&log.whole()).pop().unwrap();
    assert_eq!(check(&lines_of_forged), Err(Failure::Root.into()));

    leaves.remove(30);
    let shorter = Log::of(leaves);
    let mut lines_of_shorter = lines(&shorter.whole());
    *lines_of_shorter.last_mut().unwrap() = lines(&log.whole()).pop().unwrap();
    assert_eq!(check(&lines_of_shorter), Err(Failure::Root.into()));

    // Cuts the end off and uses the older checkpoint, which is the log's own: only the seal tells.
    let mut cut = lines(&log.export((None, None), 0, 40, 40));
    let seal: serde_json::Value = serde_json::from_str(lines(&log.whole()).last().unwrap()).unwrap();
    set_in_last(&mut cut, "seal", seal["seal"].as_str().unwrap());
    assert_eq!(check(&cut), Err(Failure::Sealed.into()));
}

#[test]
fn what_cannot_be_checked_is_said_to_be_so() {
    let file = Log::new(30).whole();
    let lines = lines(&file);
    let text = String::from_utf8(file.clone()).unwrap();
    let unreadable = |file: &[u8]| match verify(file) {
        Err(Problem::Unreadable(unreadable)) => unreadable,
        other => panic!("{other:?}"),
    };
    assert_eq!(unreadable(b""), Unreadable::Empty);
    for other in ["\n", "hello\n", "{}\n", "[]", "{\"format\":\"x\"}\n", "index,recorded_at\n1,2\n"] {
        assert_eq!(unreadable(other.as_bytes()), Unreadable::NotAnExport, "{other}");
    }
    assert_eq!(
        unreadable(text.replacen("export/1", "export/2", 1).as_bytes()),
        Unreadable::Format("consent-export/2".into())
    );
    assert_eq!(unreadable(lines[..lines.len() - 1].concat().as_bytes()), Unreadable::CutOff { lines: 34 });
    let long = text.replacen("{\"index\":5", &format!("{}{{\"index\":5", " ".repeat(1 << 20)), 1);
    assert_eq!(unreadable(long.as_bytes()), Unreadable::TooLong { line: 7 });
    // Every place in the last lines, where proofs and notes end in many ways; some of the places in the long middle.
    let last_lines = file.len() - 3 * lines[lines.len() - 1].len();
    for length in (0..last_lines).step_by(13).chain(last_lines..file.len() - 1) {
        let got = verify(&file[..length]);
        assert!(matches!(got, Err(Problem::Unreadable(_))), "{length}: {got:?}");
    }
    // A log that knows a later grammar: the bytes are what was signed, and still nothing is guessed.
    let mut leaves: Vec<_> = (0..5).map(|index| leaf(index).to_bytes()).collect();
    leaves[3] = String::from_utf8(leaves[3].clone()).unwrap().replace("\"v\":1", "\"v\":2").into_bytes();
    assert_eq!(unreadable(&Log::of(leaves).whole()), Unreadable::LeafVersion { index: 3, version: 2 });
}

#[test]
fn what_the_log_itself_did_wrong_is_said() {
    let with = |change: &dyn Fn(&mut Vec<Leaf>)| {
        let mut leaves: Vec<_> = (0..10).map(leaf).collect();
        change(&mut leaves);
        match verify(&Log::of(leaves.iter().map(Leaf::to_bytes).collect()).whole()) {
            Err(Problem::Failed(failure)) => failure.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let backwards = with(&|leaves| leaves[5].recorded_at = at(3));
    assert_eq!(backwards, "record 5 is as the log has it, but it is dated earlier than the one before");
    let site = with(&|leaves| leaves[5].site = SiteId::parse("other").unwrap());
    assert_eq!(site, "record 5 is as the log has it, but it is of another site");
    let sorted = with(&|leaves| leaves[5].denied.as_mut().unwrap().reverse());
    assert_eq!(sorted, "record 5 is as the log has it, but the ids in denied are not sorted");
    let reference = NoticeRef { version: 1, ..notice_ref(2) };
    let notice = with(&|leaves| leaves[5].notice = Some(reference));
    assert_eq!(
        notice,
        "record 5 is as the log has it, but it gives notice version 1 another SHA-256 than an earlier record"
    );
}

#[test]
fn a_range_shows_that_nothing_was_left_out() {
    let log = Log::new(40);
    let millis = |index: u64, more: i64| Some(UnixMillis::new(at(index).millis() + more));
    for (name, range, (from, to), neighbours) in [
        ("inside", (millis(10, 0), millis(20, 0)), (9, 21), 2),
        ("between records", (millis(10, 1), millis(20, 1)), (10, 22), 2),
        ("nothing in it", (millis(10, 1), millis(10, 2)), (10, 12), 2),
        ("empty", (millis(10, 0), millis(10, 0)), (9, 11), 2),
        ("from the start", (None, millis(20, 0)), (0, 21), 1),
        ("to the end", (millis(10, 0), None), (9, 40), 1),
        ("before all", (millis(0, -9), millis(0, 0)), (0, 1), 1),
        ("after all", (millis(39, 1), millis(39, 9)), (39, 40), 1),
        ("all", (millis(0, 0), millis(39, 1)), (0, 40), 0),
    ] {
        let file = log.export(range, from, to, 40);
        let report = verify(&file).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!((report.neighbours, report.range, report.indexes), (neighbours, range, from..to), "{name}");
        // One more or one fewer on either side, all made by the log itself.
        for (other_from, other_to) in [(from + 1, to), (from.wrapping_sub(1), to), (from, to - 1), (from, to + 1)] {
            if other_from < other_to && other_to <= 40 {
                let got = verify(&log.export(range, other_from, other_to, 40));
                assert_eq!(got, Err(Failure::Header("range").into()), "{name}: {other_from}..{other_to}");
            }
        }
    }
}

#[test]
fn an_earlier_checkpoint_is_held_against_the_log() {
    let log = Log::new(60);
    let whole = log.whole();
    let after = |file: &[u8], note: String| verify_with(file, &key(), Some(note));
    for size in 0..=60 {
        assert_eq!(after(&whole, log.checkpoint(size, &key())).map(|report| report.extends), Ok(Some(size)), "{size}");
    }
    let fork = Log::of((0..60).map(|index| leaf(if index == 20 { 500 } else { index }).to_bytes()).collect());
    for size in 1..=60 {
        let want = if size <= 20 { Ok(Some(size)) } else { Err(Failure::Rewritten { size }.into()) };
        assert_eq!(after(&whole, fork.checkpoint(size, &key())).map(|report| report.extends), want, "{size}");
    }
    let shorter = log.export((None, None), 0, 50, 50);
    let rolled_back = Failure::RolledBack { earlier: 60, size: 50 };
    assert_eq!(after(&shorter, log.checkpoint(60, &key())), Err(rolled_back.into()));

    let part = log.export((Some(at(31)), Some(at(39))), 30, 40, 60);
    for size in 1..=60 {
        let got = after(&part, log.checkpoint(size, &key())).map(|report| report.extends);
        let want = match size {
            30..=40 | 60 => Ok(Some(size)),
            _ => Err(Unreadable::Elsewhere { from: 30, to: 40, size }.into()),
        };
        assert_eq!(got, want, "{size}");
        if (30..=40).contains(&size) {
            let got = after(&part, fork.checkpoint(size, &key()));
            assert_eq!(got, Err(Failure::Rewritten { size }.into()));
        }
    }
    let other = SigningKey::from_seed(ORIGIN, [8; 32]).unwrap();
    let got = after(&whole, log.checkpoint(30, &other));
    assert!(matches!(got, Err(Problem::Unreadable(Unreadable::Earlier(_)))));
    assert!(after(&whole, "nothing".to_owned()).is_err());
}

#[test]
fn long_exports_have_several_locator_lines() {
    let size = 4096 + 10;
    let log = Log::new(size);
    let good = lines(&log.whole());
    assert_eq!(good.len(), 1 + 4106 + 2 + 2 + 1);
    assert_eq!(check(&good).unwrap().records(), size);
    for index in [0, 4094, 4095, 4096, 4105] {
        let mut changed = good.clone();
        changed[line_of(index)] = changed[line_of(index)].replace("\"v\":1", "\"v\":2");
        assert_eq!(failed(&changed), format!("record {index} was changed"));
        let mut removed = good.clone();
        removed.remove(line_of(index));
        assert_eq!(failed(&removed), format!("record {index} was removed"));
    }
    let mut swapped = good.clone();
    swapped.swap(4109, 4110);
    assert!(failed(&swapped).starts_with("the locators"));
    let mut far = good;
    let moved = far.remove(line_of(100));
    far.insert(line_of(4000), moved);
    assert!(failed(&far).starts_with("records 100, 101 and"), "{}", failed(&far));
}

#[test]
fn the_exporter_refuses_what_would_not_verify() {
    use consent_core::export::ExportError;
    let log = Log::new(10);
    let proof = range_proof(&mut &log, 0, 10, 10).unwrap();
    let start = |out: &mut Vec<u8>| {
        Exporter::new(Header::new(SiteId::parse("demo").unwrap(), ORIGIN, (None, None), 0, 10), out)
    };
    let mut out = Vec::new();
    let mut exporter = start(&mut out);
    assert_eq!(exporter.record(1, &log.leaves[1], &mut out), Err(ExportError::Order { expected: 0, given: 1 }));
    let unfinished = exporter.finish(&log.checkpoint(10, &key()), &proof, &key(), &mut out);
    assert_eq!(unfinished, Err(ExportError::Order { expected: 0, given: 10 }));
    let mut exporter = start(&mut out);
    for index in 0..10 {
        // What the store has is not what was signed.
        exporter.record(index, &leaf(index.max(1)).to_bytes(), &mut out).unwrap();
    }
    assert_eq!(exporter.finish(&log.checkpoint(10, &key()), &proof, &key(), &mut out), Err(ExportError::Root));
}

#[test]
fn no_flipped_bit_is_missed() {
    let log = Log::new(24);
    let file = log.export((Some(at(17)), Some(at(22))), 16, 23, 24);
    verify(&file).unwrap();
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 1 << (place % 8);
        let near = &file[place.saturating_sub(20)..=place];
        assert!(verify(&changed).is_err(), "byte {place}, after {}", String::from_utf8_lossy(near));
    }
}

fn any_export() -> impl Strategy<Value = Vec<u8>> {
    (1..60u64).prop_flat_map(|size| (Just(size), 0..size, 0..=size)).prop_map(|(size, a, b)| {
        let (from, to) = (a.min(b), a.max(b).max(a.min(b) + 1));
        // The range whose neighbours these are.
        let range = ((from > 0).then(|| at(from + 1)), (to < size).then(|| at(to - 1)));
        let (from, to) = if from > 0 && to < size && to - from < 2 { (from - 1, to) } else { (from, to) };
        let range = if range.0.is_some() && range.1.is_some() { (Some(at(from + 1)), Some(at(to - 1))) } else { range };
        Log::new(size).export(range, from, to, size)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_exported_verifies(file in any_export()) {
        prop_assert!(verify(&file).is_ok(), "{:?}", verify(&file));
    }

    #[test]
    fn no_change_of_bytes_is_missed(file in any_export(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut changed = file.clone();
        for (place, byte) in changes {
            let place = place.index(changed.len());
            changed[place] = byte;
        }
        prop_assume!(changed != file);
        prop_assert!(verify(&changed).is_err());
    }

    #[test]
    fn no_insertion_or_deletion_is_missed(file in any_export(), place: prop::sample::Index, length in 1..30usize, insert in prop::option::of(prop::collection::vec(any::<u8>(), 1..30))) {
        let mut changed = file.clone();
        let place = place.index(file.len());
        match insert {
            Some(bytes) => drop(changed.splice(place..place, bytes)),
            None => drop(changed.drain(place..(place + length).min(file.len()))),
        }
        let tolerated = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", "\n").strip_suffix('\n').map(str::to_owned);
        prop_assume!(tolerated(&changed) != tolerated(&file) && changed != file[..file.len() - 1]);
        prop_assert!(verify(&changed).is_err());
    }

    #[test]
    fn no_change_of_lines_is_missed(file in any_export(), one: prop::sample::Index, two: prop::sample::Index, how in 0..3) {
        let mut lines = lines(&file);
        let (one, two) = (one.index(lines.len()), two.index(lines.len()));
        match how {
            0 => drop(lines.remove(one)),
            1 => lines.insert(two, lines[one].clone()),
            _ => lines.swap(one, two),
        }
        prop_assume!(lines.concat().as_bytes() != file);
        prop_assert!(check(&lines).is_err());
    }

    #[test]
    fn a_changed_record_is_named(size in 3..80u64, index: prop::sample::Index, place: prop::sample::Index, byte in 1..128u8) {
        let log = Log::new(size);
        let mut lines = lines(&log.whole());
        let index = index.index(log.leaves.len());
        let line = &mut lines[line_of(index)];
        let start = line.find("\"leaf\":").unwrap() + 7;
        let place = start + place.index(line.len() - 2 - start);
        let mut bytes = line.clone().into_bytes();
        bytes[place] ^= byte;
        prop_assume!(bytes[place].is_ascii_graphic());
        *line = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(failed(&lines), format!("record {index} was changed"));
    }

    #[test]
    fn no_bytes_make_the_verifier_panic(lines in prop::collection::vec(prop_oneof![
        any::<Vec<u8>>(),
        "\\{\"(index|notice|from_index|checkpoint)\":[0-9\"{}\\[\\],a-z:]{0,40}\n".prop_map(String::into_bytes),
        Just(b"{\"count\":1,\"filter\":null,\"format\":\"consent-export/1\",\"from_index\":0,\"origin\":\"x\",\"range\":null,\"site\":\"demo\",\"statement\":\"\",\"to_index\":1}\n".to_vec()),
    ], 0..8)) {
        let _ = verify(&lines.concat());
    }
}

/// `cargo test --release -p consent-core --test export -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, for release builds"]
fn records_per_second() {
    let log = Log::new(200_000);
    let file = log.whole();
    let measure = |name: &str, run: &dyn Fn()| {
        let best = (0..5).map(|_| {
            let start = std::time::Instant::now();
            run();
            start.elapsed()
        });
        let seconds = best.min().unwrap().as_secs_f64();
        let per_record = seconds / 200_000.0 * 1e9;
        println!("{name}: {:.0} records/s, {per_record:.0} ns each", 200_000.0 / seconds);
    };
    println!("{} bytes a record", file.len() / 200_000);
    measure("verify", &|| drop(verify(&file).unwrap()));
    measure("Leaf::parse alone", &|| log.leaves.iter().for_each(|leaf| drop(Leaf::parse(leaf).unwrap())));
    let leaves: Vec<_> = log.leaves.iter().map(|leaf| Leaf::parse(leaf).unwrap()).collect();
    measure("Leaf::to_bytes alone", &|| leaves.iter().for_each(|leaf| drop(leaf.to_bytes())));
    measure("leaf_hash alone", &|| log.leaves.iter().for_each(|leaf| _ = std::hint::black_box(leaf_hash(leaf))));
    measure("export", &|| drop(log.whole()));
}
