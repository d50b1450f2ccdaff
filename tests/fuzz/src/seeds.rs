//! The seeds that a log has signed: exports, checkpoints, receipts. `fuzz seeds` writes them into the corpus, always the same.

use std::fs;
use std::io;
use std::path::Path;

use consent_core::checkpoint::Checkpoint;
use consent_core::consent::Effect;
use consent_core::decision::{Control, Layer, Method, Signals};
use consent_core::export::{Exporter, Header};
use consent_core::id::{ChoiceId, Language, RecordId, SiteId, SubjectId};
use consent_core::merkle::{Edge, Hash, Nodes, inclusion_proof, leaf_hash, node_hash, range_proof};
use consent_core::note::SigningKey;
use consent_core::receipt::TlogProof;
use consent_core::record::{Action, Hex32, Kind, Leaf, NoticeRef, SubjectKey};
use consent_core::time::UnixMillis;
use consent_server::cli::parse_draft;
use sha2::{Digest, Sha256};

/// The log's origin.
pub const ORIGIN: &str = "log.example/demo";

/// The log's key.
pub fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, [7; 32]).expect("the name is one")
}

fn site() -> SiteId {
    SiteId::parse("demo").expect("the id is one")
}

fn subject() -> SubjectId {
    SubjectId::from_random([3; 16])
}

fn at(index: u64) -> UnixMillis {
    UnixMillis::new(1_767_225_600_000 + index.cast_signed() * 60_000)
}

struct Log {
    notice: String,
    leaves: Vec<Vec<u8>>,
    hashes: Vec<Hash>,
}

impl Nodes for &Log {
    type Error = core::convert::Infallible;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let from = usize::try_from(index << level).expect("the log is small");
        let mut hashes = self.hashes[from..from + (1 << level)].to_vec();
        while hashes.len() > 1 {
            hashes = hashes.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
        }
        Ok(hashes[0])
    }
}

impl Log {
    fn of(size: u64) -> Self {
        let draft = include_str!("../corpus/notice/good-small.toml");
        let draft = parse_draft(draft, false).expect("the corpus holds a good notice");
        let notice = draft.publish(None, &[], false).expect("the corpus holds a good notice");
        let named = NoticeRef { sha256: Hex32(notice.sha256()), version: notice.version() };
        let leaves: Vec<_> = (0..size).map(|index| leaf(index, named).to_bytes()).collect();
        let hashes = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        Self { notice: notice.canonical().to_owned(), leaves, hashes }
    }

    fn checkpoint(&self, size: u64) -> String {
        let mut tree = Edge::default();
        for hash in self.hashes.iter().take(usize::try_from(size).expect("the log is small")) {
            tree.push(*hash);
        }
        Checkpoint { origin: ORIGIN.to_owned(), size, root: tree.root() }.sign(&key())
    }

    fn export(&self, range: (Option<UnixMillis>, Option<UnixMillis>), from: u64, to: u64) -> Vec<u8> {
        let size = self.leaves.len() as u64;
        let mut out = Vec::new();
        let mut exporter = Exporter::new(Header::new(site(), ORIGIN, range, from, to), &mut out);
        for (index, leaf) in (from..to).zip(self.leaves.iter().skip(usize::try_from(from).expect("the log is small"))) {
            exporter.record(index, leaf, &mut out).expect("the records are in order");
        }
        let named: Vec<_> = exporter.notices().collect();
        for named in named {
            exporter.notice(named, &self.notice, &mut out).expect("the notice is the one that was named");
        }
        let Ok(proof) = range_proof(&mut &*self, from, to, size);
        exporter.finish(&self.checkpoint(size), &proof, &key(), &mut out).expect("the export proves itself");
        out
    }

    fn receipt(&self, index: u64) -> String {
        let leaf = &self.leaves[usize::try_from(index).expect("the log is small")];
        let size = self.leaves.len() as u64;
        let Ok(proof) = inclusion_proof(&mut &*self, index, size);
        let opening = Hex32(SubjectKey([9; 32]).open(&id(index)).0);
        let leaf = String::from_utf8_lossy(leaf);
        let extra = format!(r#"{{"leaf":{leaf},"opening":"{opening}","subject":"{}"}}"#, subject());
        TlogProof { extra: Some(extra.into_bytes()), index, proof, checkpoint: self.checkpoint(size) }.to_string()
    }
}

fn id(index: u64) -> RecordId {
    let mut random = [0x5a; 16];
    random[..8].copy_from_slice(&index.to_be_bytes());
    RecordId::from_random(random)
}

fn leaf(index: u64, notice: NoticeRef) -> Leaf {
    let hash: [u8; 32] = Sha256::digest(index.to_be_bytes()).into();
    if index % 5 == 4 {
        return Leaf::of_act(Kind::Access, Action::Export, id(index), site(), at(index), hash, Hex32(hash));
    }
    let ids = |texts: &[&str]| {
        let ids = texts.iter().map(|text| ChoiceId::parse(text).expect("the ids are some"));
        Some(ids.collect())
    };
    let grants = index.is_multiple_of(2);
    Leaf {
        action: None,
        actor: None,
        salt: None,
        control: Some(Control::Save),
        decided_at: Some(UnixMillis::new(at(index).millis() - 250)),
        granted: ids(if grants { &["statistics"] } else { &[] }),
        denied: ids(if grants { &[] } else { &["statistics"] }),
        effect: Some(Effect::Applied),
        language: Some(Language::parse("en").expect("it is one")),
        layer: Some(Layer::Settings),
        method: Some(Method::Save),
        notice: Some(notice),
        signals: Some(Signals::default()),
        subject: Some(SubjectKey([9; 32]).open(&id(index)).subject(&site(), &subject())),
        ..Leaf::of_act(Kind::Decision, Action::Create, id(index), site(), at(index), hash, Hex32(hash))
    }
}

/// Writes them.
///
/// # Errors
/// If a file cannot be written.
pub fn write() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let put = |name: &str, bytes: &[u8]| {
        let path = corpus.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&corpus))?;
        fs::write(path, bytes)
    };
    let whole = (None, None);
    for size in [0, 1, 2, 6] {
        put(&format!("export/good-{size}.jsonl"), &Log::of(size).export(whole, 0, size))?;
    }
    let log = Log::of(12);
    let range = (Some(at(4)), Some(at(8)));
    put("export/good-range.jsonl", &log.export(range, 3, 9))?;
    put("export/good-end.jsonl", &log.export((Some(at(10)), None), 9, 12))?;
    let crlf = String::from_utf8_lossy(&Log::of(2).export(whole, 0, 2)).replace('\n', "\r\n");
    put("export/good-crlf.jsonl", crlf.as_bytes())?;
    put("export/good-without-last-newline.jsonl", crlf.trim_end().as_bytes())?;
    for size in [0, 1, 12] {
        put(&format!("checkpoint/good-{size}.note"), log.checkpoint(size).as_bytes())?;
    }
    for index in [0, 5, 11] {
        put(&format!("checkpoint/good-{index}.tlog-proof"), log.receipt(index).as_bytes())?;
    }
    put("checkpoint/good-0-of-1.tlog-proof", Log::of(1).receipt(0).as_bytes())?;
    put("checkpoint/good-own.vkey", key().vkey().to_string().as_bytes())
}
