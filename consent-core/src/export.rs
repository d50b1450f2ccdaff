//! Exports: a stretch of the log as a file that proves itself, and the verifier that names what was changed in one.
//!
//! An export is JSON Lines. Every line is canonical JSON and ends in LF:
//!
//! 1. the [`Header`];
//! 2. one line for each record, `{"index":N,"leaf":…}` with the leaf's canonical bytes as they are;
//! 3. one line for each notice version that a record names, `{"notice":…,"sha256":"…","version":N}`;
//! 4. locators, `{"from_index":N,"locator":"…"}`: base64 of the first four bytes of each leaf hash, for 4096 records a line. Nothing
//!    rests on them but that a changed record can be *named*;
//! 5. the last line, `{"checkpoint":"…","proofs":{"left":[…],"right":[…]},"seal":"…"}`.
//!
//! The *seal* is a signed note of the log's key over the SHA-256 of all lines before the last. The records, the hashes left and
//! right of them and the checkpoint are held together by the root, so that every byte of the file is covered by one of the two
//! signatures. Tolerated are CRLF line ends, and a missing end of the last line.
//!
//! An export of a time range `[from, to)` carries the record before and the one after it, where there are such, which proves that
//! none was left out at either end.
//!
//! ```
//! use consent_core::{checkpoint::Checkpoint, export::*, id::SiteId, merkle, note::SigningKey};
//!
//! let key = SigningKey::from_seed("log.example/demo", [7; 32])?;
//! let empty = Checkpoint { origin: "log.example/demo".into(), size: 0, root: merkle::empty_root() };
//! let header = Header::new(SiteId::parse("demo")?, "log.example/demo", (None, None), 0, 0);
//! let mut file = Vec::new();
//! let exporter = Exporter::new(header, &mut file);
//! exporter.finish(&empty.sign(&key), &merkle::RangeProof::default(), &key, &mut file)?;
//!
//! let mut verifier = Verifier::new(key.vkey(), None);
//! for line in file.split_inclusive(|&byte| byte == b'\n') {
//!     verifier.line(line)?;
//! }
//! assert_eq!(verifier.finish()?.records(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Standards
//! RFC 8785; RFC 6962 section 2.1; C2SP tlog-checkpoint and signed-note.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use std::io::Write as _;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::decision::Method;
use crate::id::SiteId;
use crate::merkle::{Hash, RangeProof, decode_base64, empty_root, leaf_hash, node_hash};
use crate::note::{self, NoteError, SigningKey, VerifyingKey};
use crate::record::{Hex32, Kind, Leaf, LeafError, NoticeRef};
use crate::time::UnixMillis;

/// The only format that is written and read.
pub const FORMAT: &str = "consent-export/1";

/// What the header says that an export proves.
pub const STATEMENT: &str = "A record proves what a browser reported under an allowed origin, at our clock, \
                             and that it was not changed since; not who pressed.";

/// The longest line that is written or read, in bytes: 1 MiB.
pub const MAX_LINE: usize = 1 << 20;

/// Records in one locator line.
pub const LOCATOR_CHUNK: usize = 4096;

/// Indexes are below 2^53, so that every JSON reader gets them right.
const MAX_INDEX: u64 = 1 << 53;

/// Breaks in the sequence of the indexes that are remembered, and the most records that one finding looks at.
const WINDOW: usize = 64;

/// The first four bytes of a leaf hash.
type Locator = [u8; 4];

fn locator(hash: &Hash) -> Locator {
    let [a, b, c, d, ..] = hash.0;
    [a, b, c, d]
}

/// The time range of an export: at or after `from`, before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeRange {
    from: Option<UnixMillis>,
    to: Option<UnixMillis>,
}

/// The first line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
// In the order of their names: the line is canonical JSON.
pub struct Header {
    count: u64,
    // Kept for filtered exports; this version writes and accepts null only.
    filter: serde_json::Value,
    format: String,
    from_index: u64,
    origin: String,
    range: Option<TimeRange>,
    site: SiteId,
    statement: String,
    to_index: u64,
}

impl Header {
    /// The header of an export of the leaves `from_index..to_index`, neighbours included, of the log with this origin.
    ///
    /// `range` are the times that were asked for, `[from, to)`, open where there is none.
    pub fn new(
        site: SiteId,
        origin: &str,
        range: (Option<UnixMillis>, Option<UnixMillis>),
        from_index: u64,
        to_index: u64,
    ) -> Self {
        Self {
            count: to_index.saturating_sub(from_index),
            filter: serde_json::Value::Null,
            format: FORMAT.to_owned(),
            from_index,
            origin: origin.to_owned(),
            range: (range != (None, None)).then_some(TimeRange { from: range.0, to: range.1 }),
            site,
            statement: STATEMENT.to_owned(),
            to_index,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a header has only string keys and its values always serialize")
    }

    fn range(&self) -> (Option<UnixMillis>, Option<UnixMillis>) {
        self.range.map_or((None, None), |range| (range.from, range.to))
    }
}

/// The last line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    checkpoint: String,
    proofs: Proofs,
    seal: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proofs {
    left: Vec<String>,
    right: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocatorLine {
    from_index: u64,
    locator: String,
}

fn seal_text(origin: &str, digest: &[u8]) -> String {
    format!("{FORMAT}\n{origin}\n{}\n", BASE64.encode(digest))
}

/// Complete subtrees, each right of the one before, merged as far as they can be.
///
/// Unlike [`Edge`](crate::merkle::Edge) it may start anywhere in the tree: what lies left of a stretch is known only after its last
/// record was read.
#[derive(Debug, Clone)]
struct Spine {
    next: u64,
    parts: Vec<(u8, Hash)>,
}

impl Spine {
    fn starting_at(from: u64) -> Self {
        Self { next: from, parts: Vec::new() }
    }

    /// Appends a complete subtree of 2^level leaves. `next` must be a multiple of 2^level.
    fn push(&mut self, level: u8, subtree: Hash) {
        let (mut at, mut hash) = (level, subtree);
        // A right child whose left sibling is in hand; the sibling of what stands right of the start may never come.
        while self.next >> at & 1 == 1 && self.parts.last().is_some_and(|&(level, _)| level == at) {
            let (_, left) = self.parts.pop().expect("there is a last part");
            hash = node_hash(&left, &hash);
            at += 1;
        }
        self.parts.push((at, hash));
        self.next += 1 << level;
    }

    /// The root, if the spine starts at 0.
    fn root(&self) -> Hash {
        let parts = self.parts.iter().rev().map(|&(_, hash)| hash);
        parts.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }

    /// This stretch with what the proof says is left and right of it; `None` if the proof has not the hashes it needs.
    fn in_tree(&self, from: u64, size: u64, proof: &RangeProof) -> Option<Self> {
        let right: Vec<_> = levels(self.next, size).collect();
        let left = self.after(from, &proof.left)?;
        if self.next > size || right.len() != proof.right.len() {
            return None;
        }
        let mut whole = left;
        right.into_iter().zip(&proof.right).for_each(|(level, hash)| whole.push(level, *hash));
        Some(whole)
    }

    /// This stretch with what is left of it.
    fn after(&self, from: u64, left: &[Hash]) -> Option<Self> {
        if levels(0, from).count() != left.len() {
            return None;
        }
        let mut whole = Self::starting_at(0);
        levels(0, from).zip(left).for_each(|(level, hash)| whole.push(level, *hash));
        self.parts.iter().for_each(|&(level, hash)| whole.push(level, hash));
        Some(whole)
    }
}

/// The levels of the largest complete aligned subtrees that make up the leaves `from..to`, from left to right. At most 126.
fn levels(mut from: u64, to: u64) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let left = to.checked_sub(from).filter(|&left| left > 0)?;
        let level = from.trailing_zeros().min(left.ilog2());
        from += 1 << level;
        Some(u8::try_from(level).expect("a u64 has 64 bits"))
    })
}

/// Why an export was not written. What was written before is no export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Records come in the order of the log, each one, as many as the header says.
    #[error("record {expected} is due, not {given}")]
    Order {
        /// The next index.
        expected: u64,
        /// The index that was given, or the end of the stretch.
        given: u64,
    },
    /// A line would be longer than [`MAX_LINE`].
    #[error("a line of {length} bytes is too long for an export: the limit is 1048576")]
    TooLong {
        /// Bytes in it.
        length: usize,
    },
    /// The checkpoint is not one of the log's key.
    #[error("the checkpoint cannot be exported")]
    Checkpoint(#[from] CheckpointError),
    /// Records and proof do not lead to the root that the checkpoint signs: what is stored is not what was signed.
    #[error("the records do not lead to the root of the checkpoint")]
    Root,
}

/// Writes an export, a piece at a time, into a buffer that the caller may drain between calls.
///
/// Keeps four bytes for each record until the end.
#[derive(Debug)]
pub struct Exporter {
    header: Header,
    tree: Spine,
    locators: Vec<Locator>,
    // So many of them are written.
    located: usize,
    notices: BTreeMap<u32, Hex32>,
    digest: Sha256,
    // Where the last record named its notice and the bytes of that name: mostly, the next one does the same.
    hint: (usize, Vec<u8>),
}

impl Exporter {
    /// Starts an export: writes the header.
    pub fn new(header: Header, out: &mut Vec<u8>) -> Self {
        let mut exporter = Self {
            tree: Spine::starting_at(header.from_index),
            locators: Vec::new(),
            located: 0,
            notices: BTreeMap::new(),
            digest: Sha256::new(),
            hint: (0, Vec::new()),
            header,
        };
        let start = out.len();
        out.extend(exporter.header.to_bytes());
        exporter.end_line(start, out);
        exporter
    }

    /// Writes the next record from its canonical bytes.
    ///
    /// # Errors
    /// [`ExportError::Order`] if it is not the next one of the stretch, [`ExportError::TooLong`].
    pub fn record(&mut self, index: u64, leaf: &[u8], out: &mut Vec<u8>) -> Result<(), ExportError> {
        if index != self.tree.next || index >= self.header.to_index {
            return Err(ExportError::Order { expected: self.tree.next.min(self.header.to_index), given: index });
        }
        fits(leaf.len() + 64)?;
        let start = out.len();
        write!(out, r#"{{"index":{index},"leaf":"#).expect("writing into memory does not fail");
        out.extend(leaf);
        out.push(b'}');
        self.end_line(start, out);
        let hash = leaf_hash(leaf);
        self.locators.push(locator(&hash));
        self.tree.push(0, hash);
        self.note_reference(leaf);
        Ok(())
    }

    /// The notice versions that the records so far name, in ascending order. Each must be given to [`Self::notice`].
    pub fn notices(&self) -> impl Iterator<Item = NoticeRef> {
        self.notices.iter().map(|(&version, &sha256)| NoticeRef { sha256, version })
    }

    /// Writes one notice version from its canonical bytes: after all records, in ascending order.
    ///
    /// # Errors
    /// [`ExportError::TooLong`].
    pub fn notice(&mut self, notice: NoticeRef, canonical: &str, out: &mut Vec<u8>) -> Result<(), ExportError> {
        fits(canonical.len() + 128)?;
        let (start, NoticeRef { sha256, version }) = (out.len(), notice);
        write!(out, r#"{{"notice":{canonical},"sha256":"{sha256}","version":{version}}}"#)
            .expect("writing into memory does not fail");
        self.end_line(start, out);
        Ok(())
    }

    /// Writes one line of locators, if there is one to write: after all notices. [`Self::finish`] writes those that are left, so this
    /// is only for who wants to drain the buffer in between.
    pub fn locators(&mut self, out: &mut Vec<u8>) -> bool {
        let start = self.located;
        let chunk = &self.locators[start..self.locators.len().min(start + LOCATOR_CHUNK)];
        if chunk.is_empty() {
            return false;
        }
        let from_index = self.header.from_index + start as u64;
        let line = LocatorLine { from_index, locator: BASE64.encode(chunk.as_flattened()) };
        self.located += chunk.len();
        let start = out.len();
        serde_json::to_writer(&mut *out, &line).expect("writing into memory does not fail");
        self.end_line(start, out);
        true
    }

    /// Writes the rest: locators, the checkpoint with the hashes around the stretch, and the seal.
    ///
    /// Of the checkpoint only the log's own signature is written, so that every byte of the file is covered.
    ///
    /// # Errors
    /// [`ExportError::Order`] if records are missing, [`ExportError::Checkpoint`] if the signer's key has not signed it,
    /// [`ExportError::Root`] if the export would not verify.
    pub fn finish(
        mut self,
        checkpoint: &str,
        proof: &RangeProof,
        signer: &SigningKey,
        out: &mut Vec<u8>,
    ) -> Result<(), ExportError> {
        if self.tree.next != self.header.to_index {
            return Err(ExportError::Order { expected: self.tree.next, given: self.header.to_index });
        }
        let head = Checkpoint::open(checkpoint, &signer.vkey())?;
        let tree = self.tree.in_tree(self.header.from_index, head.size, proof);
        if tree.is_none_or(|tree| tree.root() != head.root) {
            return Err(ExportError::Root);
        }
        while self.locators(out) {}
        let texts = |hashes: &[Hash]| hashes.iter().map(Hash::to_base64).collect();
        let last = Last {
            checkpoint: only_own_signature(checkpoint, signer),
            proofs: Proofs { left: texts(&proof.left), right: texts(&proof.right) },
            seal: signer.sign(&seal_text(&self.header.origin, &self.digest.finalize())),
        };
        serde_json::to_writer(&mut *out, &last).expect("writing into memory does not fail");
        out.push(b'\n');
        Ok(())
    }

    fn end_line(&mut self, start: usize, out: &mut Vec<u8>) {
        out.push(b'\n');
        self.digest.update(&out[start..]);
    }

    /// Remembers the notice that a leaf names. Canonical bytes have one place that can look like it, since no text in a leaf holds
    /// a quotation mark.
    fn note_reference(&mut self, leaf: &[u8]) {
        const START: &[u8] = br#""notice":{"sha256":""#;
        let (at, known) = &self.hint;
        if !known.is_empty() && leaf.get(*at..).is_some_and(|rest| rest.starts_with(known)) {
            return;
        }
        let Some(at) = leaf.windows(START.len()).position(|window| window == START) else { return };
        let rest = &leaf[at..];
        let Some(end) = rest.iter().position(|&byte| byte == b'}') else { return };
        let object = &rest[b"\"notice\":".len()..=end];
        if let Ok(NoticeRef { sha256, version }) = serde_json::from_slice(object) {
            self.notices.insert(version, sha256);
            self.hint = (at, rest[..=end].to_owned());
        }
    }
}

fn fits(length: usize) -> Result<(), ExportError> {
    if length <= MAX_LINE { Ok(()) } else { Err(ExportError::TooLong { length }) }
}

/// The note with no signature but the one that this key makes. Signing is deterministic.
fn only_own_signature(note: &str, signer: &SigningKey) -> String {
    let text = note.rfind("\n\n").map_or(note, |blank| &note[..=blank]);
    signer.sign(text)
}

/// Why an export is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is an export, and its proof fails: something in it is not as it was exported, or not as the log signed it.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// It could not be checked.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// What was done to an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Records are not as the log has them.
    #[error("{} changed", Records(indexes))]
    Changed {
        /// Their indexes, ascending.
        indexes: Vec<u64>,
    },
    /// Records are missing.
    #[error("{} removed", Stretch(*first, *last))]
    Removed {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// There are records that the log does not have in this place.
    #[error("{} added {}", if *count == 1 { "a record was".to_owned() } else { format!("{count} records were") }, After(*after))]
    Added {
        /// The record before them, if there is one.
        after: Option<u64>,
        /// How many.
        count: u64,
    },
    /// Records are not in the order of the log.
    #[error("{} reordered", Records(indexes))]
    Reordered {
        /// Their indexes, ascending.
        indexes: Vec<u64>,
    },
    /// The first of several findings about the records.
    #[error("{0}, and more was changed after that")]
    AndMore(Box<Failure>),
    /// From here on no record matches.
    #[error("the records from {from} on are not those that were exported")]
    Replaced {
        /// The index of the first.
        from: u64,
    },
    /// The record is the one of the log, the number written before it is not.
    #[error("the index of record {index} was changed")]
    Index {
        /// The true index.
        index: u64,
    },
    /// A line is in another place than it was written.
    #[error("line {line} stands in the wrong place: lines were reordered")]
    Misplaced {
        /// The line, from 1.
        line: u64,
    },
    /// A line is none that an export has.
    #[error("line {line} was added or changed: an export has no such line")]
    Stray {
        /// The line, from 1.
        line: u64,
    },
    /// There is something after the last line.
    #[error("line {line} stands after the end: lines were added or reordered")]
    AfterEnd {
        /// The line, from 1.
        line: u64,
    },
    /// The header says what is not so.
    #[error("the header was changed: its {0} is not what was exported")]
    Header(&'static str),
    /// There are the lines of an export, the header is not the first of them.
    #[error("the header is missing: the first line was removed or reordered")]
    NoHeader,
    /// A notice is not what people were shown.
    #[error("notice version {version} was changed")]
    NoticeChanged {
        /// The version.
        version: u32,
    },
    /// A notice that records name is missing.
    #[error("notice version {version} was removed")]
    NoticeRemoved {
        /// The version.
        version: u32,
    },
    /// A notice that no record names, or twice the same.
    #[error("notice version {version} was added")]
    NoticeAdded {
        /// The version.
        version: u32,
    },
    /// The notices are not in ascending order.
    #[error("the notices were reordered")]
    NoticesReordered,
    /// The records hold, the locators that only help to name a changed one do not fit them.
    #[error("the locators of the records from {from} on were changed")]
    Locators {
        /// The index of the first record whose locator does not fit.
        from: u64,
    },
    /// The log's key has not signed this checkpoint.
    #[error("the checkpoint is not this log's: {0}")]
    Checkpoint(CheckpointError),
    /// The checkpoint carries signatures that an export does not have.
    #[error("a signature was added to the checkpoint or the seal")]
    Signatures,
    /// The checkpoint is older than the export, or the export was made longer.
    #[error(
        "the checkpoint covers only {size} records, but the file reaches to record {last}: it was replaced by an older one"
    )]
    Older {
        /// Records that it covers.
        size: u64,
        /// The last index of the file.
        last: u64,
    },
    /// The checkpoint is of a size that the proofs are not for.
    #[error("the checkpoint of {size} records was replaced or the proofs were changed: they do not go together")]
    Replacement {
        /// Records that it covers.
        size: u64,
    },
    /// The hashes left and right of the records lead elsewhere.
    #[error("the proofs were changed: the sealed records do not lead to the root in the checkpoint")]
    Proofs,
    /// The last line is not in its form.
    #[error("the last line, with checkpoint, proofs and seal, was changed")]
    LastLine,
    /// The records are not those of the log. Whoever changed them changed the locators too, so that none can be named.
    #[error("the records do not lead to the root in the checkpoint: they were changed, and the locators with them")]
    Root,
    /// The seal is not by the log's key.
    #[error("the seal was changed: {0}")]
    Seal(NoteError),
    /// The seal is by the log's key, for other lines, and these lines prove all that they say.
    #[error(
        "the seal is not for these lines: the header's time range was changed, records were cut off at an end, or it is another export's"
    )]
    Sealed,
    /// The record is as the log signed it, and breaks the log's own rules.
    #[error("record {index} is as the log has it, but {what}")]
    Record {
        /// Its index.
        index: u64,
        /// Which rule.
        what: String,
    },
    /// The log had another root at the size of the earlier checkpoint.
    #[error("the log was rewritten: its first {size} records are not those of the earlier checkpoint")]
    Rewritten {
        /// The size of the earlier checkpoint.
        size: u64,
    },
    /// The log has fewer records than the earlier checkpoint signed.
    #[error("the log was rolled back: the earlier checkpoint has {earlier} records, this one {size}")]
    RolledBack {
        /// The size of the earlier checkpoint.
        earlier: u64,
        /// The size of the export's.
        size: u64,
    },
}

/// Why an export could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// The first line is not a header.
    #[error("this is not a consent export")]
    NotAnExport,
    /// Another format: it cannot be judged, and is never guessed.
    #[error("this version cannot check the format {0:?}")]
    Format(String),
    /// There is no last line, or only a part of it.
    #[error("the file is cut off after line {lines}: its end, with checkpoint and seal, is missing")]
    CutOff {
        /// Lines that are there, the last perhaps in part.
        lines: u64,
    },
    /// Longer than [`MAX_LINE`].
    #[error("line {line} is longer than 1048576 bytes")]
    TooLong {
        /// The line, from 1.
        line: u64,
    },
    /// A record of another version of the grammar.
    #[error("record {index} is of version {version}, which this version cannot check")]
    LeafVersion {
        /// Its index.
        index: u64,
        /// Its `v`.
        version: u64,
    },
    /// A filter, which this version does not know.
    #[error("this version cannot check filtered exports")]
    Filtered,
    /// The earlier checkpoint is not one of this log.
    #[error("the earlier checkpoint cannot be used: {0}")]
    Earlier(CheckpointError),
    /// The earlier checkpoint ends outside the records of this export.
    #[error(
        "the records {from} to {to} do not show whether the log still has the {size} records of the earlier checkpoint"
    )]
    Elsewhere {
        /// The first index of the export.
        from: u64,
        /// One past its last.
        to: u64,
        /// The size of the earlier checkpoint.
        size: u64,
    },
}

/// "record 57 was", "records 57, 60 and 3 more were".
struct Records<'a>(&'a [u64]);

impl fmt::Display for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("no record was"),
            [one] => write!(f, "record {one} was"),
            [one, two] => write!(f, "records {one} and {two} were"),
            [one, two, three] => write!(f, "records {one}, {two} and {three} were"),
            [one, two, more @ ..] => write!(f, "records {one}, {two} and {} more were", more.len()),
        }
    }
}

/// "record 57 was", "records 57 to 60 were".
struct Stretch(u64, u64);

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == self.1 {
            write!(f, "record {} was", self.0)
        } else {
            write!(f, "records {} to {} were", self.0, self.1)
        }
    }
}

struct After(Option<u64>);

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(index) => write!(f, "after record {index}"),
            None => f.write_str("before the first record"),
        }
    }
}

/// What a good export holds. All of it is proven by the log's signature, whatever the file was called.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The site.
    pub site: SiteId,
    /// The log origin.
    pub origin: String,
    /// The id of the key that signed.
    pub key_id: u32,
    /// The times that were asked for, `[from, to)`.
    pub range: (Option<UnixMillis>, Option<UnixMillis>),
    /// The indexes of the records in the file; the end is exclusive.
    pub indexes: Range<u64>,
    /// When the first record of the file was recorded.
    pub first_recorded_at: Option<UnixMillis>,
    /// When the last record of the file was recorded.
    pub last_recorded_at: Option<UnixMillis>,
    /// Records outside the range that only show that none was left out: 0 to 2. The counts include them.
    pub neighbours: u64,
    /// Records of each kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Decisions of each method.
    pub methods: BTreeMap<Method, u64>,
    /// The notice versions in the file.
    pub notices: Vec<u32>,
    /// Records in the log that the checkpoint signs.
    pub tree_size: u64,
    /// The root that it signs.
    pub root: Hash,
    /// The size of the earlier checkpoint that the log was shown to extend, if one was given.
    pub extends: Option<u64>,
}

impl Report {
    /// Records in the file.
    pub fn records(&self) -> u64 {
        self.indexes.end - self.indexes.start
    }

    /// Decisions in the file.
    pub fn decisions(&self) -> u64 {
        self.kinds.get(&Kind::Decision).copied().unwrap_or(0)
    }
}

/// Checks an export offline, a line at a time, with nothing but the log's public key.
///
/// Keeps four bytes for each record. Nothing is believed before [`Self::finish`] says that all of it holds; what is wrong is named
/// there, since only the whole file shows whether a record was changed, removed or moved.
#[derive(Debug)]
pub struct Verifier {
    key: VerifyingKey,
    earlier: Option<Result<Checkpoint, CheckpointError>>,
    lines: u64,
    header: Option<(Header, bool)>,
    digest: Sha256,
    section: Section,
    tree: Option<Spine>,
    // The same leaves from another start, kept only if the first record and the header disagree about it.
    other: Option<(u64, Spine)>,
    // The part of the tree up to the end of the earlier checkpoint.
    earlier_tree: Option<Spine>,
    seen: Vec<Locator>,
    sequence: Sequence,
    expected: Expected,
    notices: Vec<NoticeLine>,
    leaves: Leaves,
    misplaced: Option<u64>,
    stray: Option<u64>,
    last: Option<(Vec<u8>, bool)>,
    after_end: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Section {
    Records,
    Notices,
    Locators,
}

/// Breaks in the sequence of the indexes that the lines claim.
#[derive(Debug, Default)]
struct Sequence {
    previous: Option<u64>,
    // Position among the record lines, the index that was due, the index that was claimed.
    breaks: Vec<(usize, u64, Option<u64>)>,
}

/// What the locator lines say.
#[derive(Debug, Default)]
struct Expected {
    /// So many agree with the records, from the first.
    matched: usize,
    /// Those from the first that does not.
    tail: Vec<Locator>,
    /// A line was not in its form, or not where it should be.
    broken: bool,
}

#[derive(Debug)]
struct NoticeLine {
    // None if the line is not in its form.
    version: Option<u32>,
    stated: Option<Hex32>,
    computed: Hex32,
}

/// What the leaves say.
#[derive(Debug, Default)]
struct Leaves {
    range: (Option<UnixMillis>, Option<UnixMillis>),
    site: Option<SiteId>,
    first_at: Option<UnixMillis>,
    last_at: Option<UnixMillis>,
    before_range: u64,
    after_range: u64,
    kinds: [u64; Kind::ALL.len()],
    methods: [u64; Method::ALL.len()],
    notices: BTreeMap<u32, Hex32>,
    last_notice: Option<NoticeRef>,
    shapes: Shapes,
    // The first leaf that breaks a rule: its position among the record lines, and which rule.
    fault: Option<(usize, Fault)>,
}

#[derive(Debug)]
enum Fault {
    Leaf(LeafError),
    Backwards,
    Site,
    Notice(u32),
}

enum Line<'a> {
    Record(Option<(u64, &'a [u8])>),
    Notice,
    Locator,
    Last,
    Stray,
}

impl Verifier {
    /// A verifier for exports of the log that owns `key`.
    ///
    /// `earlier` may be a checkpoint of the same log that was kept from before, a whole signed note: then the export must also show
    /// that the log still has what that checkpoint signed.
    pub fn new(key: VerifyingKey, earlier: Option<String>) -> Self {
        Self {
            earlier: earlier.map(|note| Checkpoint::open(&note, &key)),
            key,
            lines: 0,
            header: None,
            digest: Sha256::new(),
            section: Section::Records,
            tree: None,
            other: None,
            earlier_tree: None,
            seen: Vec::new(),
            sequence: Sequence::default(),
            expected: Expected::default(),
            notices: Vec::new(),
            leaves: Leaves::default(),
            misplaced: None,
            stray: None,
            last: None,
            after_end: None,
        }
    }

    /// Takes the next line with its line end: everything up to and with LF. Only the last line of a file may come without.
    ///
    /// # Errors
    /// A [`Problem`] if it makes no sense to read on.
    pub fn line(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.lines += 1;
        let ended = bytes.ends_with(b"\n");
        // A carriage return is part of a line end only before its LF.
        let line = bytes.strip_suffix(b"\n").map_or(bytes, |line| line.strip_suffix(b"\r").unwrap_or(line));
        if line.len() > MAX_LINE {
            return Err(Unreadable::TooLong { line: self.lines }.into());
        }
        if self.last.is_some() {
            self.after_end.get_or_insert(self.lines);
            return Ok(());
        }
        if self.lines == 1 {
            let header = read_header(line, ended)?;
            self.begin(header, line);
        } else {
            match sort(line) {
                Line::Record(record) => self.record(line, record),
                Line::Notice => self.notice(line),
                Line::Locator => self.locator(line),
                Line::Last => {
                    self.last = Some((line.to_owned(), ended));
                    return Ok(());
                }
                Line::Stray => {
                    self.stray.get_or_insert(self.lines);
                }
            }
        }
        self.digest.update(line);
        self.digest.update(b"\n");
        Ok(())
    }

    fn begin(&mut self, header: Header, line: &[u8]) {
        let tree = Spine::starting_at(header.from_index);
        self.keep_for_earlier(&tree);
        self.tree = Some(tree);
        self.leaves.range = header.range();
        let canonical = header.to_bytes() == line;
        self.header = Some((header, canonical));
    }

    fn keep_for_earlier(&mut self, tree: &Spine) {
        if matches!(&self.earlier, Some(Ok(earlier)) if earlier.size == tree.next) {
            self.earlier_tree = Some(tree.clone());
        }
    }

    fn enter(&mut self, section: Section) -> bool {
        let in_place = self.section <= section;
        if in_place {
            self.section = section;
        } else {
            self.misplaced.get_or_insert(self.lines);
        }
        in_place
    }

    fn record(&mut self, line: &[u8], record: Option<(u64, &[u8])>) {
        self.enter(Section::Records);
        let Some(mut tree) = self.tree.take() else { return };
        let position = self.seen.len();
        let claimed = record.map(|(index, _)| index);
        if position == 0 && claimed != Some(tree.next) {
            self.other = claimed.map(|index| (index, Spine::starting_at(index)));
        }
        self.sequence.next(position, tree.next, claimed);
        // A line that is none takes its place all the same, so that the others are compared with the right locators.
        let bytes = record.map_or(line, |(_, leaf)| leaf);
        let hash = leaf_hash(bytes);
        self.seen.push(locator(&hash));
        tree.push(0, hash);
        if let Some((_, other)) = &mut self.other {
            other.push(0, hash);
        }
        self.keep_for_earlier(&tree);
        self.tree = Some(tree);
        self.leaves.take(position, bytes);
    }

    fn notice(&mut self, line: &[u8]) {
        self.enter(Section::Notices);
        let (canonical, named) = split_notice(line).map_or((line, None), |(canonical, named)| (canonical, Some(named)));
        self.notices.push(NoticeLine {
            version: named.map(|named| named.version),
            stated: named.map(|named| named.sha256),
            computed: Hex32(Sha256::digest(canonical).into()),
        });
    }

    fn locator(&mut self, line: &[u8]) {
        let in_place = self.enter(Section::Locators);
        let from = self.header.as_ref().map_or(0, |(header, _)| header.from_index);
        let so_far = self.expected.matched + self.expected.tail.len();
        let chunk =
            read_locators(line, from + so_far as u64).filter(|_| in_place && so_far.is_multiple_of(LOCATOR_CHUNK));
        let Some(chunk) = chunk else {
            self.expected.broken = true;
            return;
        };
        for locator in chunk.as_chunks().0 {
            let agrees = self.expected.tail.is_empty() && self.seen.get(self.expected.matched) == Some(locator);
            if agrees {
                self.expected.matched += 1;
            } else {
                self.expected.tail.push(*locator);
            }
        }
    }

    /// Says whether all of it holds.
    ///
    /// # Errors
    /// [`Problem::Failed`] naming what was changed, or [`Problem::Unreadable`] saying why it could not be checked.
    pub fn finish(mut self) -> Result<Report, Problem> {
        if self.lines == 0 {
            return Err(Unreadable::Empty.into());
        }
        let (Some((header, canonical)), Some(tree)) = (self.header.take(), self.tree.take()) else {
            return Err(Unreadable::NotAnExport.into());
        };
        let cut_off = Unreadable::CutOff { lines: self.lines };
        let Some((line, ended)) = self.last.take() else { return Err(cut_off.into()) };
        if let Some(line) = self.after_end {
            return Err(Failure::AfterEnd { line }.into());
        }
        let last = match serde_json::from_slice::<Last>(&line) {
            Ok(last) if serde_json::to_vec(&last).is_ok_and(|bytes| bytes == line) => last,
            Err(error) if error.is_eof() && !ended => return Err(cut_off.into()),
            _ => return Err(Failure::LastLine.into()),
        };
        if let Some(line) = self.misplaced {
            return Err(Failure::Misplaced { line }.into());
        }
        let digest = core::mem::take(&mut self.digest).finalize();
        let seal = Seal::read(&last.seal, &self.key, &seal_text(&header.origin, &digest));
        let head = open_own(&last.checkpoint, &self.key);
        let proof = read_proof(&last.proofs);

        let held = match (&head, &proof) {
            (Ok(head), Some(proof)) => {
                let whole = tree.in_tree(header.from_index, head.size, proof);
                whole.is_some_and(|whole| whole.root() == head.root).then_some((head, proof))
            }
            _ => None,
        };
        let Some((head, proof)) = held else {
            return Err(self.explain(&header, &tree, head, proof.as_ref(), &seal).into());
        };
        // From here on the records are those of the log, in their order: what does not fit them is what was changed.
        self.check_header(&header, canonical, &tree, head, &seal)?;
        self.check_leaves(&header)?;
        self.check_beside(&header)?;
        match seal {
            Seal::Holds => {}
            Seal::OfOthers => return Err(Failure::Sealed.into()),
            Seal::Broken(failure) => return Err(failure.into()),
        }
        let extends = self.check_earlier(&header, &tree, head, proof)?;
        Ok(self.leaves.report(&header, &self.key, head, extends))
    }

    /// Names what keeps the records from leading to the root.
    fn explain(
        &self,
        header: &Header,
        tree: &Spine,
        head: Result<Checkpoint, Failure>,
        proof: Option<&RangeProof>,
        seal: &Seal,
    ) -> Failure {
        if let (Some((from, other)), Ok(head), Some(proof)) = (&self.other, &head, proof) {
            let whole = other.in_tree(*from, head.size, proof);
            if whole.is_some_and(|whole| whole.root() == head.root) {
                return Failure::Header("from_index");
            }
        }
        let from = header.from_index;
        if !self.expected.broken
            && let Some(failure) = self.expected.compare(from, &self.seen)
        {
            return failure;
        }
        if let Some(failure) = self.sequence.explain(header.to_index) {
            return failure;
        }
        if let Some((position, _)) = &self.leaves.fault
            && !matches!(seal, Seal::Holds)
        {
            return Failure::Changed { indexes: alloc::vec![from + *position as u64] };
        }
        let head = match head {
            Ok(head) => head,
            Err(failure) => return failure,
        };
        if head.size < tree.next {
            return Failure::Older { size: head.size, last: tree.next - 1 };
        }
        if !matches!(seal, Seal::Holds) {
            return Failure::Root;
        }
        match proof {
            Some(proof) if tree.in_tree(from, head.size, proof).is_none() => Failure::Replacement { size: head.size },
            _ => Failure::Proofs,
        }
    }

    fn check_header(
        &self,
        header: &Header,
        canonical: bool,
        tree: &Spine,
        head: &Checkpoint,
        seal: &Seal,
    ) -> Result<(), Problem> {
        let changed = |what| Err(Failure::Header(what).into());
        if header.origin != self.key.name() {
            return changed("origin");
        }
        if header.statement != STATEMENT {
            return changed("statement");
        }
        if header.count != self.seen.len() as u64 {
            return changed("count");
        }
        if header.to_index != tree.next {
            return changed("to_index");
        }
        if !header.filter.is_null() {
            return if matches!(seal, Seal::Holds) { Err(Unreadable::Filtered.into()) } else { changed("filter") };
        }
        if self.leaves.site.as_ref().is_some_and(|site| *site != header.site) {
            return changed("site");
        }
        // One neighbour on each side where the log has one; a log has none before its first and after its last record.
        let Leaves { before_range: before, after_range: after, .. } = self.leaves;
        let (from, to) = header.range();
        let starts = before == u64::from(from.is_some()) || (before == 0 && header.from_index == 0);
        let ends = after == u64::from(to.is_some()) || (after == 0 && tree.next == head.size);
        // Without a bound on a side, there is nothing but the end of the log to stop at.
        let reaches = (from.is_some() || header.from_index == 0) && (to.is_some() || tree.next == head.size);
        let forwards = from.zip(to).is_none_or(|(from, to)| from <= to);
        if !(starts && ends && reaches && forwards) || header.range == Some(TimeRange { from: None, to: None }) {
            return changed("range");
        }
        if canonical { Ok(()) } else { changed("form") }
    }

    fn check_leaves(&self, header: &Header) -> Result<(), Problem> {
        if let Some(&(position, ..)) = self.sequence.breaks.first() {
            return Err(Failure::Index { index: header.from_index + position as u64 }.into());
        }
        let Some((position, fault)) = &self.leaves.fault else { return Ok(()) };
        let index = header.from_index + *position as u64;
        let what = match fault {
            Fault::Leaf(LeafError::Version(version)) => {
                return Err(Unreadable::LeafVersion { index, version: *version }.into());
            }
            Fault::Leaf(error) => error.to_string(),
            Fault::Backwards => "it is dated earlier than the one before".to_owned(),
            Fault::Site => "it is of another site".to_owned(),
            Fault::Notice(version) => {
                format!("it gives notice version {version} another SHA-256 than an earlier record")
            }
        };
        Err(Failure::Record { index, what }.into())
    }

    /// Checks the lines that stand beside the records: notices, locators, and none else.
    fn check_beside(&self, header: &Header) -> Result<(), Failure> {
        let mut due = self.leaves.notices.iter();
        let ascending = self.notices.is_sorted_by_key(|line| line.version);
        for line in &self.notices {
            let Some(version) = line.version else { continue };
            let Some(wanted) = self.leaves.notices.get(&version) else {
                // Perhaps only its number was changed.
                let known = self.leaves.notices.iter().find(|(_, sha256)| **sha256 == line.computed);
                return Err(match known {
                    Some((&version, _)) => Failure::NoticeChanged { version },
                    None => Failure::NoticeAdded { version },
                });
            };
            if line.computed != *wanted || line.stated != Some(*wanted) {
                return Err(Failure::NoticeChanged { version });
            }
        }
        if !ascending && self.notices.iter().all(|line| line.version.is_some()) {
            return Err(Failure::NoticesReordered);
        }
        let mut lines = self.notices.iter().peekable();
        loop {
            match (due.next(), lines.next()) {
                (None, None) => break,
                (Some((&version, _)), Some(line)) if line.version == Some(version) => {}
                (Some((&version, _)), Some(NoticeLine { version: None, .. })) => {
                    return Err(Failure::NoticeChanged { version });
                }
                (Some((&version, _)), Some(&NoticeLine { version: Some(other), .. })) if other < version => {
                    return Err(Failure::NoticeAdded { version: other });
                }
                (Some((&version, _)), _) if self.stray.is_some() => return Err(Failure::NoticeChanged { version }),
                (Some((&version, _)), _) => return Err(Failure::NoticeRemoved { version }),
                (None, Some(line)) => return Err(Failure::NoticeAdded { version: line.version.unwrap_or(0) }),
            }
        }
        let Expected { matched, tail, broken } = &self.expected;
        if *broken || !tail.is_empty() || *matched != self.seen.len() {
            return Err(Failure::Locators { from: header.from_index + *matched as u64 });
        }
        self.stray.map_or(Ok(()), |line| Err(Failure::Stray { line }))
    }

    fn check_earlier(
        &self,
        header: &Header,
        tree: &Spine,
        head: &Checkpoint,
        proof: &RangeProof,
    ) -> Result<Option<u64>, Problem> {
        let earlier = match &self.earlier {
            None => return Ok(None),
            Some(Err(error)) => return Err(Unreadable::Earlier(error.clone()).into()),
            Some(Ok(earlier)) => earlier,
        };
        let size = earlier.size;
        if size > head.size {
            return Err(Failure::RolledBack { earlier: size, size: head.size }.into());
        }
        let root = if size == head.size {
            Some(head.root)
        } else {
            // What is left of the stretch was shown to be the log's by the root, so it may be used here.
            self.earlier_tree
                .as_ref()
                .and_then(|tree| tree.after(header.from_index, &proof.left))
                .map(|tree| tree.root())
        };
        match root {
            Some(root) if root == earlier.root => Ok(Some(size)),
            Some(_) => Err(Failure::Rewritten { size }.into()),
            None if size == 0 => Ok(Some(0)),
            None => Err(Unreadable::Elsewhere { from: header.from_index, to: tree.next, size }.into()),
        }
    }
}

/// What the seal says about the lines.
enum Seal {
    Holds,
    /// The log's key has made it, for other lines.
    OfOthers,
    Broken(Failure),
}

impl Seal {
    fn read(note: &str, key: &VerifyingKey, text: &str) -> Self {
        match note::verify(note, core::slice::from_ref(key)) {
            Err(error) => Self::Broken(Failure::Seal(error)),
            Ok(_) if signatures(note) != 1 => Self::Broken(Failure::Signatures),
            Ok(verified) if verified.text == text => Self::Holds,
            Ok(_) => Self::OfOthers,
        }
    }
}

fn signatures(note: &str) -> usize {
    note.rfind("\n\n").map_or(0, |blank| note[blank + 2..].lines().count())
}

/// Opens a checkpoint that only its log has signed. Other signatures would be bytes that nothing covers.
fn open_own(note: &str, key: &VerifyingKey) -> Result<Checkpoint, Failure> {
    let head = Checkpoint::open(note, key).map_err(Failure::Checkpoint)?;
    if signatures(note) == 1 { Ok(head) } else { Err(Failure::Signatures) }
}

fn read_header(line: &[u8], ended: bool) -> Result<Header, Problem> {
    #[derive(Deserialize)]
    struct Format {
        format: String,
    }
    match serde_json::from_slice::<Format>(line) {
        Ok(Format { format }) if format == FORMAT => {
            let header: Header = serde_json::from_slice(line).map_err(|_| Failure::Header("form"))?;
            let Header { from_index, to_index, count, .. } = header;
            if to_index.checked_sub(from_index) != Some(count) {
                // Which of the three was changed is told from the records.
                return if from_index < MAX_INDEX { Ok(header) } else { Err(Failure::Header("from_index").into()) };
            }
            if to_index > MAX_INDEX { Err(Failure::Header("to_index").into()) } else { Ok(header) }
        }
        Ok(Format { format }) if format.starts_with("consent-export/") => Err(Unreadable::Format(format).into()),
        Err(_) if !ended && !line.is_empty() => Err(Unreadable::NotAnExport.into()),
        Err(_) if contains(line, FORMAT.as_bytes()) => Err(Failure::Header("form").into()),
        _ if !matches!(sort(line), Line::Stray) => Err(Failure::NoHeader.into()),
        _ => Err(Unreadable::NotAnExport.into()),
    }
}

/// Which line of an export this is. One that was changed is known by what is left of it.
fn sort(line: &[u8]) -> Line<'_> {
    if line.starts_with(br#"{"index":"#) {
        Line::Record(split_record(line))
    } else if line.starts_with(br#"{"notice":"#) {
        Line::Notice
    } else if line.starts_with(br#"{"from_index":"#) {
        Line::Locator
    } else if line.starts_with(br#"{"checkpoint":"#) {
        Line::Last
    } else if contains(line, br#""leaf":{"#) {
        Line::Record(None)
    } else if contains(line, br#""locator":""#) {
        Line::Locator
    } else if contains(line, br#""seal":""#) {
        Line::Last
    } else if contains(line, br#","sha256":""#) {
        Line::Notice
    } else {
        Line::Stray
    }
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|window| window == part)
}

/// Index and leaf of a record line, cut out without parsing the leaf: what is hashed are the bytes as they stand.
fn split_record(line: &[u8]) -> Option<(u64, &[u8])> {
    let rest = line.strip_prefix(br#"{"index":"#)?;
    let digits = rest.iter().position(|&byte| byte == b',')?;
    let (index, rest) = rest.split_at(digits);
    let leaf = rest.strip_prefix(br#","leaf":"#)?.strip_suffix(b"}")?;
    Some((decimal(index).filter(|&index| index < MAX_INDEX)?, leaf))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    crate::checkpoint::parse_decimal(core::str::from_utf8(digits).ok()?)
}

/// The notice's bytes, and what the line says that they are.
fn split_notice(line: &[u8]) -> Option<(&[u8], NoticeRef)> {
    const MIDDLE: &[u8] = br#","sha256":""#;
    let rest = line.strip_prefix(br#"{"notice":"#)?.strip_suffix(b"}")?;
    // From the end: a notice may hold anything, what follows it has one form.
    let at = rest.windows(MIDDLE.len()).rposition(|window| window == MIDDLE)?;
    let (canonical, named) = (&rest[..at], &rest[at + MIDDLE.len()..]);
    let (sha256, version) = named.split_at_checked(64)?;
    let sha256 = Hex32::parse(core::str::from_utf8(sha256).ok()?)?;
    let version = decimal(version.strip_prefix(br#"","version":"#)?)?;
    Some((canonical, NoticeRef { sha256, version: u32::try_from(version).ok()? }))
}

/// The locators of one line that must start at this index.
fn read_locators(line: &[u8], from_index: u64) -> Option<Vec<u8>> {
    let parsed: LocatorLine = serde_json::from_slice(line).ok()?;
    let canonical = serde_json::to_vec(&parsed).is_ok_and(|bytes| bytes == line);
    let bytes = decode_base64(&parsed.locator)?;
    let whole = !bytes.is_empty() && bytes.len() % 4 == 0 && bytes.len() <= 4 * LOCATOR_CHUNK;
    (canonical && whole && parsed.from_index == from_index).then_some(bytes)
}

fn read_proof(proofs: &Proofs) -> Option<RangeProof> {
    // No more than any tree needs, before anything is decoded.
    if proofs.left.len() > 64 || proofs.right.len() > 126 {
        return None;
    }
    let hashes = |texts: &[String]| texts.iter().map(|text| Hash::from_base64(text)).collect::<Option<_>>();
    Some(RangeProof { left: hashes(&proofs.left)?, right: hashes(&proofs.right)? })
}

impl Sequence {
    fn next(&mut self, position: usize, start: u64, claimed: Option<u64>) {
        let due = self.previous.map_or(start, |previous| previous.saturating_add(1));
        if claimed != Some(due) && self.breaks.len() < WINDOW {
            self.breaks.push((position, due, claimed));
        }
        self.previous = Some(claimed.unwrap_or(due));
    }

    /// What the claimed indexes alone give away.
    fn explain(&self, to_index: u64) -> Option<Failure> {
        match self.breaks.first() {
            Some(&(_, due, None)) => Some(Failure::Changed { indexes: alloc::vec![due] }),
            Some(&(_, due, Some(claimed))) if claimed > due => {
                let comes_later = |&(_, _, later): &(usize, u64, Option<u64>)| {
                    later.is_some_and(|later| (due..claimed).contains(&later))
                };
                Some(if self.breaks[1..].iter().any(comes_later) {
                    Failure::Reordered { indexes: alloc::vec![due, claimed] }
                } else {
                    Failure::Removed { first: due, last: claimed - 1 }
                })
            }
            Some(&(_, due, _)) => Some(Failure::Added { after: due.checked_sub(1), count: 1 }),
            None => {
                let end = self.previous? + 1;
                (end < to_index).then(|| Failure::Removed { first: end, last: to_index - 1 })
            }
        }
    }
}

impl Expected {
    /// Names what was done to the records; `None` if all of them fit their locators.
    fn compare(&self, from_index: u64, seen: &[Locator]) -> Option<Failure> {
        let (mut expected, mut seen) = (&self.tail[..], &seen[self.matched..]);
        let from = from_index + self.matched as u64;
        while let ([e_rest @ .., e], [s_rest @ .., s]) = (expected, seen) {
            if e != s {
                break;
            }
            (expected, seen) = (e_rest, s_rest);
        }
        let index = |offset: usize| from + offset as u64;
        match (expected.len(), seen.len()) {
            (0, 0) => None,
            (gone, 0) => Some(Failure::Removed { first: from, last: index(gone - 1) }),
            (0, more) => Some(Failure::Added { after: before(from, from_index), count: more as u64 }),
            (wanted, given) if wanted == given => {
                let differ = || (0..wanted).filter(|&at| expected[at] != seen[at]);
                let indexes = || differ().map(index).collect();
                let same_records = || sorted(expected) == sorted(seen);
                if wanted <= WINDOW * LOCATOR_CHUNK && same_records() {
                    Some(Failure::Reordered { indexes: indexes() })
                } else if differ().nth(WINDOW).is_none() {
                    Some(Failure::Changed { indexes: indexes() })
                } else {
                    Some(first_of_many(from, from_index, expected, seen))
                }
            }
            _ => Some(first_of_many(from, from_index, expected, seen)),
        }
    }
}

fn before(index: u64, from_index: u64) -> Option<u64> {
    index.checked_sub(1).filter(|&before| before >= from_index)
}

fn sorted(locators: &[Locator]) -> Vec<Locator> {
    let mut sorted = locators.to_owned();
    sorted.sort_unstable();
    sorted
}

/// The first of several changes: the smallest one after which the two go on alike.
fn first_of_many(from: u64, from_index: u64, expected: &[Locator], seen: &[Locator]) -> Failure {
    let sizes = (1..=WINDOW).flat_map(|total| (0..=total).map(move |given| (total - given, given)));
    for (gone, given) in sizes {
        let (Some(e), Some(s)) = (expected.get(gone..), seen.get(given..)) else { continue };
        let length = 2.min(e.len()).min(s.len());
        let all = e.is_empty() && s.is_empty();
        if !(all || (length > 0 && e[..length] == s[..length])) {
            continue;
        }
        let last = (from + gone as u64).saturating_sub(1);
        let found = match (gone, given) {
            (_, 0) => Failure::Removed { first: from, last },
            (0, _) => Failure::Added { after: before(from, from_index), count: given as u64 },
            _ if sorted(&expected[..gone]) == sorted(&seen[..given]) => {
                Failure::Reordered { indexes: (from..=last).collect() }
            }
            _ => Failure::Changed { indexes: (from..=last).collect() },
        };
        return if all { found } else { Failure::AndMore(Box::new(found)) };
    }
    Failure::Replaced { from }
}

impl Leaves {
    fn take(&mut self, position: usize, bytes: &[u8]) {
        let fault = if let Some((shape, at)) = self.shapes.find(bytes) {
            self.count(&shape, at)
        } else {
            match Leaf::parse(bytes) {
                Ok(leaf) => {
                    let shape = self.shapes.remember(&leaf, bytes);
                    self.count(&shape, leaf.recorded_at)
                }
                Err(error) => Some(Fault::Leaf(error)),
            }
        };
        if let Some(fault) = fault
            && self.fault.is_none()
        {
            self.fault = Some((position, fault));
        }
    }

    fn count(&mut self, shape: &Shape, at: UnixMillis) -> Option<Fault> {
        self.kinds[shape.kind as usize] += 1;
        if let Some(method) = shape.method {
            self.methods[method as usize] += 1;
        }
        self.first_at.get_or_insert(at);
        self.before_range += u64::from(self.range.0.is_some_and(|from| at < from));
        self.after_range += u64::from(self.range.1.is_some_and(|to| at >= to));
        let backwards = self.last_at.replace(at).is_some_and(|last| at < last);
        let named_otherwise = shape.notice.filter(|notice| self.last_notice != Some(*notice)).and_then(|notice| {
            self.last_notice = Some(notice);
            let first = *self.notices.entry(notice.version).or_insert(notice.sha256);
            (first != notice.sha256).then_some(Fault::Notice(notice.version))
        });
        let same_site = *self.site.get_or_insert_with(|| shape.site.clone()) == shape.site;
        if backwards {
            Some(Fault::Backwards)
        } else if !same_site {
            Some(Fault::Site)
        } else {
            named_otherwise
        }
    }

    fn report(self, header: &Header, key: &VerifyingKey, head: &Checkpoint, extends: Option<u64>) -> Report {
        fn counted<T: Ord + Copy>(all: &[T], counts: &[u64]) -> BTreeMap<T, u64> {
            all.iter().zip(counts).filter(|(_, count)| **count > 0).map(|(&key, &count)| (key, count)).collect()
        }
        Report {
            site: header.site.clone(),
            origin: header.origin.clone(),
            key_id: key.key_id(),
            range: header.range(),
            indexes: header.from_index..header.to_index,
            first_recorded_at: self.first_at,
            last_recorded_at: self.last_at,
            neighbours: self.before_range + self.after_range,
            kinds: counted(Kind::ALL, &self.kinds),
            methods: counted(Method::ALL, &self.methods),
            notices: self.notices.into_keys().collect(),
            tree_size: head.size,
            root: head.root,
            extends,
        }
    }
}

/// Shapes that are remembered; more are parsed one by one.
const MAX_SHAPES: usize = 512;

/// A leaf that [`Leaf::parse`] has accepted, with holes where the next leaf may have another value of the same class.
///
/// Most leaves of a log differ from an earlier one in their ids, times and commitments only. No rule of the grammar looks at those
/// beyond their own form, so a leaf that is the same everywhere else and has well-formed values in the holes is a leaf too. This
/// makes verifying three times as fast as parsing each one, and leaves all rules where they are.
#[derive(Debug)]
struct Shape {
    bytes: Vec<u8>,
    // In the order of the bytes.
    holes: Vec<(usize, Class)>,
    kind: Kind,
    method: Option<Method>,
    notice: Option<NoticeRef>,
    site: SiteId,
}

/// What a hole may hold: each in the one spelling that canonical bytes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A UUID of version 4 or 7.
    Uuid,
    /// 32 bytes in hexadecimal digits.
    Hex,
    /// A time.
    Time,
    /// The time `recorded_at`.
    RecordedAt,
}

impl Class {
    const OF: [(&'static str, Self); 11] = [
        (r#""actor":""#, Self::Hex),
        (r#""decided_at":""#, Self::Time),
        (r#""erased":""#, Self::Hex),
        (r#""evidence":""#, Self::Hex),
        (r#""id":""#, Self::Uuid),
        (r#""prev":""#, Self::Uuid),
        (r#""recorded_at":""#, Self::RecordedAt),
        (r#""salt":""#, Self::Hex),
        (r#""subject":""#, Self::Hex),
        (r#""target":""#, Self::Hex),
        (r#""widget":""#, Self::Hex),
    ];

    const fn length(self) -> usize {
        match self {
            Self::Uuid => 36,
            Self::Hex => 64,
            Self::Time | Self::RecordedAt => 24,
        }
    }
}

impl Shape {
    /// The shape of a leaf with its bytes.
    fn of(leaf: &Leaf, bytes: &[u8]) -> Self {
        // No text in a leaf holds a quotation mark, so what looks like a key is one.
        let find =
            |key: &str| bytes.windows(key.len()).position(|window| window == key.as_bytes()).map(|at| at + key.len());
        let holes = Class::OF.iter().filter_map(|&(key, class)| Some((find(key)?, class))).collect();
        Self { bytes: bytes.to_owned(), holes, ..Self::without_holes(leaf) }
    }

    fn without_holes(leaf: &Leaf) -> Self {
        let Leaf { kind, method, notice, .. } = *leaf;
        Self { bytes: Vec::new(), holes: Vec::new(), kind, method, notice, site: leaf.site.clone() }
    }

    /// When the leaf of these bytes was recorded, if it has this shape.
    fn fits(&self, bytes: &[u8]) -> Option<UnixMillis> {
        if bytes.len() != self.bytes.len() {
            return None;
        }
        let mut recorded_at = None;
        let mut done = 0;
        for &(at, class) in &self.holes {
            let end = at + class.length();
            let value = &bytes[at..end];
            let well_formed = bytes[done..at] == self.bytes[done..at]
                && match class {
                    Class::Uuid => is_uuid(value),
                    Class::Hex => is_hex(value),
                    Class::Time => time_of(value).is_some(),
                    Class::RecordedAt => {
                        recorded_at = time_of(value);
                        recorded_at.is_some()
                    }
                };
            if !well_formed {
                return None;
            }
            done = end;
        }
        recorded_at.filter(|_| bytes[done..] == self.bytes[done..])
    }
}

/// The shapes seen so far, by their length.
#[derive(Debug, Default)]
struct Shapes {
    by_length: BTreeMap<usize, Vec<Arc<Shape>>>,
    count: usize,
}

impl Shapes {
    fn find(&mut self, bytes: &[u8]) -> Option<(Arc<Shape>, UnixMillis)> {
        let shapes = self.by_length.get_mut(&bytes.len())?;
        let (position, at) =
            shapes.iter().enumerate().find_map(|(position, shape)| Some((position, shape.fits(bytes)?)))?;
        // What is common comes to stand in front.
        if position > 0 {
            shapes.swap(position, position - 1);
        }
        Some((Arc::clone(&shapes[position.saturating_sub(1)]), at))
    }

    fn remember(&mut self, leaf: &Leaf, bytes: &[u8]) -> Arc<Shape> {
        if self.count == MAX_SHAPES {
            return Arc::new(Shape::without_holes(leaf));
        }
        let shape = Arc::new(Shape::of(leaf, bytes));
        self.count += 1;
        self.by_length.entry(bytes.len()).or_default().push(Arc::clone(&shape));
        shape
    }
}

fn is_hex(text: &[u8]) -> bool {
    // Without an early end, so that the compiler can look at many digits at once.
    text.iter().fold(true, |all, byte| all & matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is a UUID of version 4 or 7 in lower case.
fn is_uuid(text: &[u8]) -> bool {
    let parts = [&text[..8], &text[9..13], &text[14..18], &text[19..23], &text[24..]];
    [8, 13, 18, 23].iter().all(|&at| text[at] == b'-')
        && matches!(text[14], b'4' | b'7')
        && matches!(text[19], b'8' | b'9' | b'a' | b'b')
        && parts.iter().all(|part| is_hex(part))
}

/// The time that is written like this, if it is the one spelling that leaves have: `2026-01-31T09:30:00.000Z`.
fn time_of(text: &[u8]) -> Option<UnixMillis> {
    let number = |range: Range<usize>| {
        text[range]
            .iter()
            .try_fold(0, |number, &byte| byte.is_ascii_digit().then(|| 10 * number + i64::from(byte - b'0')))
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if !marks.iter().all(|&(at, mark)| text[at] == mark) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second, milli) = (number(11..13)?, number(14..16)?, number(17..19)?, number(20..23)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days_in_month = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since the epoch, with years that start in March so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    Some(UnixMillis::new((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + milli))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::consent::Effect;
    use crate::decision::{Layer, Signals};
    use crate::id::{ChoiceId, Language, RecordId};
    use crate::record::Action;

    fn leaf(random: [u8; 32], at: i64, prev: bool, kind: Kind, choices: usize) -> Leaf {
        let hex = Hex32(random);
        let id = RecordId::from_random(random[..16].try_into().unwrap());
        let site = SiteId::parse("demo").unwrap();
        let act = Leaf::of_act(kind, Action::Create, id, site, UnixMillis::new(at), random, hex);
        let ids = ["a", "b", "c"][..choices].iter().map(|id| ChoiceId::parse(id).unwrap()).collect();
        match kind {
            Kind::Decision => Leaf {
                action: None,
                actor: prev.then_some(hex),
                decided_at: Some(UnixMillis::new(at)),
                denied: Some(ids),
                effect: Some(Effect::Applied),
                granted: Some(vec![]),
                language: Some(Language::parse("en").unwrap()),
                layer: Some(Layer::First),
                method: Some(Method::Save),
                notice: Some(NoticeRef { sha256: Hex32([1; 32]), version: 1 }),
                prev: prev.then_some(id),
                salt: None,
                signals: Some(Signals::default()),
                subject: Some(hex),
                widget: prev.then_some(hex),
                ..act
            },
            Kind::Account => Leaf { salt: None, subject: Some(hex), ..act },
            Kind::Erasure => Leaf { erased: Some(hex), target: Some(hex), ..act },
            _ => act,
        }
    }

    fn any_leaf() -> impl Strategy<Value = Leaf> {
        let kinds = proptest::sample::select(vec![Kind::Decision, Kind::Account, Kind::Erasure, Kind::Access]);
        let at = UnixMillis::MIN.millis()..=UnixMillis::MAX.millis();
        (any::<[u8; 32]>(), at, any::<bool>(), kinds, 0..3usize)
            .prop_map(|(random, at, prev, kind, choices)| leaf(random, at, prev, kind, choices))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn a_shape_takes_what_the_parser_takes(
            known in any_leaf(), other in any_leaf(),
            place: prop::sample::Index, byte in prop_oneof![any::<u8>(), b'0'..b':', b'a'..b'g', Just(b'"')],
        ) {
            let shape = Shape::of(&known, &known.to_bytes());
            let mut bytes = other.to_bytes();
            for _ in 0..2 {
                if let Some(at) = shape.fits(&bytes) {
                    let parsed = Leaf::parse(&bytes);
                    prop_assert!(parsed.is_ok(), "{:?} {}", parsed, String::from_utf8_lossy(&bytes));
                    let parsed = parsed.unwrap();
                    prop_assert_eq!((at, shape.kind, shape.method), (parsed.recorded_at, parsed.kind, parsed.method));
                    prop_assert_eq!((shape.notice, &shape.site), (parsed.notice, &parsed.site));
                }
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }

        #[test]
        fn a_changed_byte_fits_only_what_it_must(leaf in any_leaf(), place: prop::sample::Index, byte in prop_oneof![any::<u8>(), b'0'..b':', b'a'..b'g']) {
            let mut bytes = leaf.to_bytes();
            let shape = Shape::of(&leaf, &bytes);
            prop_assert_eq!(shape.fits(&bytes), Some(leaf.recorded_at));
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if shape.fits(&bytes).is_some() {
                prop_assert!(Leaf::parse(&bytes).is_ok(), "{}", String::from_utf8_lossy(&bytes));
            }
        }

        #[test]
        fn times_are_read_as_they_are_written(at in UnixMillis::MIN.millis()..=UnixMillis::MAX.millis()) {
            prop_assert_eq!(time_of(UnixMillis::new(at).to_string().as_bytes()), Some(UnixMillis::new(at)));
        }

        #[test]
        fn times_that_are_none_are_refused(text in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9].[0-9]{3}Z") {
            let canonical = UnixMillis::parse(&text).ok().filter(|at| at.to_string() == text);
            prop_assert_eq!(time_of(text.as_bytes()), canonical);
        }
    }
}
