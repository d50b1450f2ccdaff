//! `consent verify`: checks an export or a receipt with nothing but the log's public key.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use consent_core::checkpoint::{Checkpoint, CheckpointError};
use consent_core::export::{MAX_LINE, Problem, Report, STATEMENT, Verifier};
use consent_core::id::SubjectId;
use consent_core::note::{NoteError, VerifyingKey};
use consent_core::receipt::{MAX_RECEIPT, ReceiptError, TlogProof};
use consent_core::record::{Hex32, Leaf, LeafError, Opening};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Check an export or a receipt offline.
///
/// Exit code 0: all of it holds. 1: the proof failed, and what was changed is named. 2: it could not be checked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  consent verify audit.jsonl --key 'demo.consent.example/v1/sites/demo+0a1b2c3d+AdV9…'"
)]
pub(super) struct Args {
    /// An export (JSON Lines) or a receipt (.tlog-proof)
    file: PathBuf,
    /// The public key of the log, as NAME+ID+BASE64. Take it from a place that whoever made the file cannot change
    #[arg(long, value_name = "VKEY", value_parser = VerifyingKey::parse)]
    key: VerifyingKey,
    /// A checkpoint of the same log kept from before: shows too that nothing it covered was changed since
    #[arg(long, value_name = "CHECKPOINT")]
    after: Option<PathBuf>,
}

/// What a check comes to, if the file could be read at all.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it holds; this is what it says.
    Good(String),
    /// The proof failed, and this was changed.
    Failed(String),
    /// It could not be checked, and this is why.
    Unreadable(String),
}

/// How every receipt starts.
const RECEIPT: &[u8] = b"c2sp.org/tlog-proof@";

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { file: path, key, after } = args;
    let name = path.display();
    let after = after.as_deref().map(read_checkpoint).transpose()?;
    let mut file = File::open(&path).with_context(|| format!("cannot open {name}"))?;
    let length = file.metadata().with_context(|| format!("cannot read {name}"))?.len();
    let verdict = check(&mut file, length, key, after).with_context(|| format!("cannot read {name}"))?;
    Ok(match verdict {
        Verdict::Good(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Verdict::Failed(what) => {
            eprintln!("{name}: FAILED: {what}");
            ExitCode::from(1)
        }
        Verdict::Unreadable(why) => {
            eprintln!("{name}: could not be checked: {why}");
            ExitCode::from(2)
        }
    })
}

fn read_checkpoint(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let limit = u64::try_from(consent_core::note::MAX_NOTE)? + 1;
    file.take(limit).read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// Checks an export or a receipt of `length` bytes, which is only for showing how far it has come.
///
/// # Errors
/// If reading fails.
pub fn check(file: &mut impl Read, length: u64, key: VerifyingKey, after: Option<String>) -> io::Result<Verdict> {
    let mut start = Vec::new();
    file.take(RECEIPT.len() as u64).read_to_end(&mut start)?;
    // Put back in front, not sought: the file may be a pipe.
    let mut whole = (&start[..]).chain(file);
    if start == RECEIPT {
        let mut bytes = Vec::new();
        whole.take(MAX_RECEIPT as u64 + 1).read_to_end(&mut bytes)?;
        return Ok(check_receipt(&bytes, &key, after.as_deref()));
    }
    check_export(&mut whole, length, key, after)
}

fn check_export(file: &mut impl Read, length: u64, key: VerifyingKey, after: Option<String>) -> io::Result<Verdict> {
    let vkey = key.to_string();
    let bar = progress(length);
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut verifier = Verifier::new(key, after);
    let mut line = Vec::new();
    // One byte more than any line may have, with its line end: what is longer is told so, and not kept.
    let limit = MAX_LINE as u64 + 3;
    let mut read = || -> io::Result<Result<(), Problem>> {
        loop {
            line.clear();
            if reader.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
                return Ok(Ok(()));
            }
            bar.inc(line.len() as u64);
            if let Err(problem) = verifier.line(&line) {
                return Ok(Err(problem));
            }
        }
    };
    let read = read()?;
    bar.finish_and_clear();
    Ok(match read.and_then(|()| verifier.finish()) {
        Ok(report) => Verdict::Good(describe(&report, &vkey)),
        Err(Problem::Failed(failure)) => Verdict::Failed(failure.to_string()),
        Err(Problem::Unreadable(unreadable)) => Verdict::Unreadable(unreadable.to_string()),
    })
}

fn describe(report: &Report, vkey: &str) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{label:<12}{value}").expect("writing into memory does not fail");
    };
    line("good", &format_args!("all of it is as the log signed it"));
    line("site", &report.site);
    line("records", &report.records());
    if let (Some(first), Some(last)) = (report.first_recorded_at, report.last_recorded_at) {
        line("", &format_args!("{} to {} of the log", report.indexes.start, report.indexes.end - 1));
        line("", &format_args!("recorded from {first} to {last}"));
    }
    line("", &counts(report.kinds.iter().map(|(kind, count)| (kind, *count))));
    line("decisions", &report.decisions());
    if !report.methods.is_empty() {
        line("", &counts(report.methods.iter().map(|(method, count)| (method, *count))));
    }
    if report.range != (None, None) {
        let from = report.range.0.map_or_else(|| "the start".to_owned(), |from| from.to_string());
        let to = report.range.1.map_or_else(|| "the end".to_owned(), |to| format!("before {to}"));
        let beside = report.neighbours;
        line("range", &format_args!("from {from} to {to}, none left out; {beside} of the records only show that"));
    }
    if !report.notices.is_empty() {
        line("notices", &report.notices.iter().map(u32::to_string).collect::<Vec<_>>().join(", "));
    }
    line("checkpoint", &format_args!("{} records", report.tree_size));
    line("root", &report.root.to_base64());
    line("signed by", &vkey);
    match report.extends {
        Some(size) => line("extends", &format_args!("the earlier checkpoint of {size} records")),
        None => line(
            "not shown",
            &"that the log never had another past: keep a checkpoint and give it with --after next time",
        ),
    }
    line("", &STATEMENT);
    text
}

fn counts<T: std::fmt::Display>(counts: impl IntoIterator<Item = (T, u64)>) -> String {
    let parts: Vec<_> = counts.into_iter().map(|(what, count)| format!("{what} {count}")).collect();
    parts.join(", ")
}

/// What a receipt carries beside its proof. More may come and is not looked at: nothing of it is believed before it is checked.
#[derive(Deserialize)]
struct Extra<'a> {
    #[serde(borrow)]
    leaf: &'a RawValue,
    opening: Option<Hex32>,
    subject: Option<SubjectId>,
}

fn check_receipt(bytes: &[u8], key: &VerifyingKey, after: Option<&str>) -> Verdict {
    let unreadable = |why: &dyn ToString| Verdict::Unreadable(why.to_string());
    let Ok(text) = std::str::from_utf8(bytes) else { return unreadable(&"the receipt is not text") };
    let proof = match TlogProof::parse(text) {
        Ok(proof) => proof,
        Err(error) => return unreadable(&error),
    };
    let Some(extra) = &proof.extra else { return unreadable(&"the receipt does not hold its record") };
    let extra: Extra<'_> = match serde_json::from_slice(extra) {
        Ok(extra) => extra,
        Err(error) => return unreadable(&format_args!("what the receipt holds cannot be read: {error}")),
    };
    let leaf = extra.leaf.get().as_bytes();
    let head = match proof.verify(leaf, key) {
        Ok(head) => head,
        // Cut off, more likely than changed.
        Err(ReceiptError::Checkpoint(CheckpointError::Note(NoteError::Malformed | NoteError::TooLong))) => {
            return unreadable(&"the checkpoint in the receipt is cut off or malformed");
        }
        Err(ReceiptError::Checkpoint(error)) => {
            return Verdict::Failed(format!("the checkpoint in the receipt is not this log's: {error}"));
        }
        Err(ReceiptError::Proof(_)) => {
            return Verdict::Failed("the record is not in the log: it, its index or the proof was changed".to_owned());
        }
        Err(error) => return unreadable(&error),
    };
    let leaf = match Leaf::parse(leaf) {
        Ok(leaf) => leaf,
        Err(error @ LeafError::Version(_)) => return unreadable(&error),
        Err(error) => return Verdict::Failed(format!("the record is as the log has it, but {error}")),
    };
    let opened = match (leaf.subject, extra.opening, extra.subject) {
        (_, None, None) => None,
        (Some(committed), Some(opening), Some(subject))
            if Opening(opening.0).subject(&leaf.site, &subject) == committed =>
        {
            Some(subject)
        }
        _ => return Verdict::Failed("the record is in the log, but it is not this subject's".to_owned()),
    };
    match check_after(&head, key, after) {
        Ok(same) => Verdict::Good(describe_receipt(&proof, &leaf, opened, &head, key, same)),
        Err(verdict) => verdict,
    }
}

/// Holds an earlier checkpoint against that of a receipt. A receipt can only show that they are the same, or that they cannot be.
fn check_after(head: &Checkpoint, key: &VerifyingKey, after: Option<&str>) -> Result<bool, Verdict> {
    let Some(after) = after else { return Ok(false) };
    let earlier = Checkpoint::open(after, key)
        .map_err(|error| Verdict::Unreadable(format!("the earlier checkpoint cannot be used: {error}")))?;
    if earlier.size > head.size {
        let (earlier, size) = (earlier.size, head.size);
        return Err(Verdict::Unreadable(format!(
            "the earlier checkpoint has {earlier} records, the receipt's {size}: a receipt does not show that they are of one past"
        )));
    }
    match (earlier.size == head.size, earlier.root == head.root) {
        (true, true) => Ok(true),
        (true, false) => Err(Verdict::Failed(format!("the log signed two different trees of {} records", head.size))),
        (false, _) => Err(Verdict::Unreadable(
            "a receipt does not show that the log extends an earlier checkpoint: verify an export with --after"
                .to_owned(),
        )),
    }
}

fn describe_receipt(
    proof: &TlogProof,
    leaf: &Leaf,
    opened: Option<SubjectId>,
    head: &Checkpoint,
    key: &VerifyingKey,
    same_as_earlier: bool,
) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{label:<12}{value}").expect("writing into memory does not fail");
    };
    let ids = |ids: &Option<Vec<consent_core::id::ChoiceId>>| {
        let ids: Vec<_> = ids.iter().flatten().map(consent_core::id::ChoiceId::as_str).collect();
        if ids.is_empty() { "nothing".to_owned() } else { ids.join(" ") }
    };
    line("good", &"the record is in the log");
    line("site", &leaf.site);
    line("record", &format_args!("{} ({}), index {}", leaf.id, leaf.kind, proof.index));
    line("recorded", &leaf.recorded_at);
    if let Some(method) = leaf.method {
        line("method", &method);
        line("granted", &ids(&leaf.granted));
        line("denied", &ids(&leaf.denied));
    }
    match opened {
        Some(subject) => line("subject", &subject),
        None => line("subject", &"not shown by this receipt"),
    }
    line("checkpoint", &format_args!("{} records", head.size));
    line("root", &head.root.to_base64());
    line("signed by", key);
    if same_as_earlier {
        line("extends", &"the earlier checkpoint is the same");
    }
    line("", &STATEMENT);
    text
}

fn progress(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    // Drawn on the standard error, and only if that is a terminal.
    ProgressBar::new(bytes).with_style(style)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use consent_core::export::{Exporter, Header};
    use consent_core::id::{RecordId, SiteId};
    use consent_core::merkle::{Hash, RangeProof, leaf_hash, node_hash};
    use consent_core::note::SigningKey;
    use consent_core::record::{Action, Kind, SubjectKey};
    use consent_core::time::UnixMillis;
    use data_encoding::BASE64;

    use super::*;

    const ORIGIN: &str = "log.example/demo";

    fn key() -> SigningKey {
        SigningKey::from_seed(ORIGIN, [7; 32]).unwrap()
    }

    fn verdict(bytes: &[u8], after: Option<&str>) -> Verdict {
        let length = bytes.len() as u64;
        check(&mut Cursor::new(bytes), length, key().vkey(), after.map(str::to_owned)).unwrap()
    }

    fn site() -> SiteId {
        SiteId::parse("demo").unwrap()
    }

    fn subject() -> SubjectId {
        SubjectId::from_random([3; 16])
    }

    /// A record that links a subject, in a log of two.
    fn leaf() -> Leaf {
        let id = RecordId::from_random([1; 16]);
        let at = UnixMillis::new(1_767_225_600_000);
        let mut leaf = Leaf::of_act(Kind::Account, Action::Create, id, site(), at, [0; 32], Hex32([0; 32]));
        leaf.salt = None;
        leaf.subject = Some(SubjectKey([9; 32]).open(&id).subject(&site(), &subject()));
        leaf
    }

    fn head(root: Hash) -> Checkpoint {
        Checkpoint { origin: ORIGIN.to_owned(), size: 2, root }
    }

    fn receipt(subject: &SubjectId) -> TlogProof {
        let leaf = leaf();
        let opening = Hex32(SubjectKey([9; 32]).open(&leaf.id).0);
        let text = String::from_utf8(leaf.to_bytes()).unwrap();
        let extra = format!(r#"{{"leaf":{text},"opening":"{opening}","statement":"…","subject":"{subject}"}}"#);
        let (hash, other) = (leaf_hash(&leaf.to_bytes()), Hash([5; 32]));
        let checkpoint = head(node_hash(&hash, &other)).sign(&key());
        TlogProof { extra: Some(extra.into_bytes()), index: 0, proof: vec![other], checkpoint }
    }

    #[test]
    fn a_receipt_is_checked_with_its_subject() {
        let good = receipt(&subject());
        let Verdict::Good(text) = verdict(good.to_string().as_bytes(), None) else { panic!("not good") };
        assert!(text.contains(&subject().to_string()) && text.contains("not who pressed"), "{text}");

        let failed = |receipt: TlogProof| match verdict(receipt.to_string().as_bytes(), None) {
            Verdict::Failed(why) => why,
            other => panic!("{other:?}"),
        };
        let other = receipt(&SubjectId::from_random([4; 16]));
        assert_eq!(failed(other), "the record is in the log, but it is not this subject's");
        let extra = String::from_utf8(good.extra.clone().unwrap()).unwrap().replace("create", "revoke");
        let changed = TlogProof { extra: Some(extra.into_bytes()), ..good.clone() };
        assert_eq!(failed(changed), "the record is not in the log: it, its index or the proof was changed");
        let moved = TlogProof { index: 1, ..good.clone() };
        assert_eq!(failed(moved), "the record is not in the log: it, its index or the proof was changed");
        let stranger = SigningKey::from_seed("other.example", [8; 32]).unwrap();
        let foreign = TlogProof { checkpoint: head(Hash([5; 32])).sign(&stranger), ..good.clone() };
        assert!(failed(foreign).starts_with("the checkpoint in the receipt is not this log's"));

        let text = good.to_string();
        for cut in [RECEIPT.len(), 40, text.len() / 2, text.len() - 1] {
            assert!(matches!(verdict(&text.as_bytes()[..cut], None), Verdict::Unreadable(_)), "{cut}");
        }
        let empty = TlogProof { extra: None, ..good.clone() };
        assert!(matches!(verdict(empty.to_string().as_bytes(), None), Verdict::Unreadable(_)));
        let garbage = text.replace(&BASE64.encode(good.extra.as_ref().unwrap()), "eA==");
        assert!(matches!(verdict(garbage.as_bytes(), None), Verdict::Unreadable(_)));
    }

    #[test]
    fn a_receipt_says_little_about_earlier_checkpoints() {
        let good = receipt(&subject());
        let text = good.to_string();
        assert!(matches!(verdict(text.as_bytes(), Some(&good.checkpoint)), Verdict::Good(_)));
        let fork = head(Hash([6; 32])).sign(&key());
        assert!(matches!(verdict(text.as_bytes(), Some(&fork)), Verdict::Failed(_)));
        for size in [1, 3] {
            let other = Checkpoint { size, ..head(Hash([6; 32])) }.sign(&key());
            assert!(matches!(verdict(text.as_bytes(), Some(&other)), Verdict::Unreadable(_)), "{size}");
        }
        assert!(matches!(verdict(text.as_bytes(), Some("no note")), Verdict::Unreadable(_)));
    }

    #[test]
    fn exports_are_checked_line_by_line() {
        let leaf = {
            let (id, at) = (RecordId::from_random([1; 16]), UnixMillis::new(1_767_225_600_000));
            Leaf::of_act(Kind::Site, Action::Create, id, site(), at, [0; 32], Hex32([0; 32])).to_bytes()
        };
        let mut file = Vec::new();
        let mut exporter = Exporter::new(Header::new(site(), ORIGIN, (None, None), 0, 1), &mut file);
        exporter.record(0, &leaf, &mut file).unwrap();
        let head = Checkpoint { origin: ORIGIN.to_owned(), size: 1, root: leaf_hash(&leaf) };
        exporter.finish(&head.sign(&key()), &RangeProof::default(), &key(), &mut file).unwrap();

        let Verdict::Good(text) = verdict(&file, None) else { panic!("not good") };
        for part in ["records     1\n", &head.root.to_base64(), "site 1", "--after", STATEMENT] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let changed = String::from_utf8(file.clone()).unwrap().replacen("create", "revoke", 1);
        assert_eq!(verdict(changed.as_bytes(), None), Verdict::Failed("record 0 was changed".to_owned()));
        assert!(matches!(verdict(&file[..200], None), Verdict::Unreadable(_)));
        assert_eq!(verdict(b"", None), Verdict::Unreadable("the file is empty".to_owned()));
        let long = vec![b' '; MAX_LINE + 10];
        let got = verdict(&long, None);
        assert_eq!(got, Verdict::Unreadable("line 1 is longer than 1048576 bytes".to_owned()));
    }
}
