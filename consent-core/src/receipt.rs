//! Receipts that need nobody: a leaf's inclusion proof with the signed checkpoint it leads to, in one text.
//!
//! A receipt proves what a browser reported under an allowed origin, at our clock, and that it was not changed since; not who pressed.
//!
//! ```
//! use consent_core::{checkpoint::Checkpoint, merkle, note::SigningKey, receipt::TlogProof};
//!
//! let key = SigningKey::from_seed("log.example/consent", [7; 32])?;
//! let head = Checkpoint { origin: "log.example/consent".into(), size: 1, root: merkle::leaf_hash(b"the only entry") };
//! let receipt = TlogProof { extra: None, index: 0, proof: vec![], checkpoint: head.sign(&key) };
//! assert_eq!(TlogProof::parse(&receipt.to_string())?.verify(b"the only entry", &key.vkey())?, head);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Standards
//! C2SP tlog-proof; files of it end in `.tlog-proof`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use data_encoding::BASE64;

use crate::checkpoint::{Checkpoint, CheckpointError, parse_decimal};
use crate::merkle::{Hash, ProofError, decode_base64, leaf_hash, verify_inclusion};
use crate::note::VerifyingKey;

/// The longest receipt that is read, in bytes: 64 KiB.
pub const MAX_RECEIPT: usize = 64 << 10;

/// The most hashes in a receipt: no tree of at most 2^64 leaves needs more.
pub const MAX_PROOF: usize = 64;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Longer than [`MAX_RECEIPT`], or with more hashes than [`MAX_PROOF`].
    #[error("the receipt is too long, or has too many hashes")]
    TooLong,
    /// A line is not what the format asks for.
    #[error("line {line} of the receipt is malformed")]
    Malformed {
        /// The line, counted from 1.
        line: usize,
    },
    /// The log has not signed the checkpoint, or it is of another log.
    #[error("the checkpoint in the receipt cannot be trusted")]
    Checkpoint(#[from] CheckpointError),
    /// The leaf is not in the log at that index.
    #[error("the leaf is not proven to be in the log")]
    Proof(#[from] ProofError),
}

/// An inclusion proof with its checkpoint. `Display` gives the text of the standard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Data for the application, outside of any proof: never trust it before it was checked in another way. Empty data is written
    /// like none.
    pub extra: Option<Vec<u8>>,
    /// Index of the leaf in the log, from 0.
    pub index: u64,
    /// The inclusion proof, the leaf's sibling first.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, a whole note.
    pub checkpoint: String,
}

impl TlogProof {
    /// Reads the text of a receipt. Each receipt has one spelling. This checks no proof: see [`Self::verify`].
    ///
    /// # Errors
    /// [`ReceiptError::TooLong`] or [`ReceiptError::Malformed`].
    ///
    /// # Standards
    /// C2SP tlog-proof, "Format".
    pub fn parse(text: &str) -> Result<Self, ReceiptError> {
        if text.len() > MAX_RECEIPT {
            return Err(ReceiptError::TooLong);
        }
        let mut lines = Lines { rest: text, number: 0 };
        if lines.next()? != FIRST_LINE {
            return Err(lines.malformed());
        }
        let mut line = lines.next()?;
        let mut extra = None;
        if let Some(base64) = line.strip_prefix("extra ") {
            let data = decode_base64(base64).ok_or_else(|| lines.malformed())?;
            if data.is_empty() {
                return Err(lines.malformed());
            }
            extra = Some(data);
            line = lines.next()?;
        }
        let index = line.strip_prefix("index ").and_then(parse_decimal).ok_or_else(|| lines.malformed())?;
        let mut proof = Vec::new();
        loop {
            let line = lines.next()?;
            if line.is_empty() {
                break;
            }
            if proof.len() == MAX_PROOF {
                return Err(ReceiptError::TooLong);
            }
            proof.push(Hash::from_base64(line).ok_or_else(|| lines.malformed())?);
        }
        Ok(Self { extra, index, proof, checkpoint: lines.rest.to_owned() })
    }

    /// Checks that `leaf`, the bytes of the log's entry, stands in the log that owns `key`, and gives the checkpoint that says so.
    ///
    /// Works offline. The extra data is not looked at. Cosignatures of witnesses are skipped; check them with
    /// [`note::verify`](crate::note::verify) on the field `checkpoint`.
    ///
    /// # Errors
    /// [`ReceiptError::Checkpoint`] if the log's key has not signed the checkpoint, [`ReceiptError::Proof`] if the leaf, its index or
    /// the proof is not the right one, [`ReceiptError::TooLong`] if the proof has more than [`MAX_PROOF`] hashes.
    ///
    /// # Standards
    /// C2SP tlog-proof; RFC 9162 section 2.1.3.2.
    pub fn verify(&self, leaf: &[u8], key: &VerifyingKey) -> Result<Checkpoint, ReceiptError> {
        if self.proof.len() > MAX_PROOF {
            return Err(ReceiptError::TooLong);
        }
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        verify_inclusion(&leaf_hash(leaf), self.index, checkpoint.size, &self.proof, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = self.extra.as_deref().filter(|extra| !extra.is_empty()) {
            writeln!(f, "extra {}", BASE64.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.proof {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// Lines that end in a newline each, counted for the error message.
struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, ReceiptError> {
        self.number += 1;
        let (line, rest) = self.rest.split_once('\n').ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(line)
    }

    fn malformed(&self) -> ReceiptError {
        ReceiptError::Malformed { line: self.number }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::merkle::node_hash;
    use crate::note::SigningKey;

    const HASH: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn key() -> SigningKey {
        SigningKey::from_seed("log.example", [7; 32]).unwrap()
    }

    fn receipt() -> TlogProof {
        let (first, second) = (leaf_hash(b"first"), leaf_hash(b"second"));
        let head = Checkpoint { origin: "log.example".to_owned(), size: 2, root: node_hash(&first, &second) };
        TlogProof { extra: Some(b"x".to_vec()), index: 1, proof: vec![first], checkpoint: head.sign(&key()) }
    }

    #[test]
    fn receipts_are_read_strictly() {
        let good = receipt();
        assert_eq!(TlogProof::parse(&good.to_string()), Ok(good.clone()));
        let without = TlogProof { extra: None, ..good.clone() };
        assert_eq!(TlogProof { extra: Some(vec![]), ..good }.to_string(), without.to_string());

        for (bad, line) in [
            ("", 1),
            ("c2sp.org/tlog-proof@v1", 1),
            ("c2sp.org/tlog-proof@v2\nindex 1\n\n", 1),
            ("c2sp.org/tlog-proof@v1\r\nindex 1\n\n", 1),
            ("c2sp.org/tlog-proof@v1\n", 2),
            ("c2sp.org/tlog-proof@v1\nextra \nindex 1\n\n", 2),
            ("c2sp.org/tlog-proof@v1\nextra eA\nindex 1\n\n", 2),
            ("c2sp.org/tlog-proof@v1\nextra eA==eA==\nindex 1\n\n", 2),
            ("c2sp.org/tlog-proof@v1\nextra eA==\nextra eA==\nindex 1\n\n", 3),
            ("c2sp.org/tlog-proof@v1\nindex 01\n\n", 2),
            ("c2sp.org/tlog-proof@v1\nindex +1\n\n", 2),
            ("c2sp.org/tlog-proof@v1\nindex 18446744073709551616\n\n", 2),
            ("c2sp.org/tlog-proof@v1\nindex 1\n", 3),
            ("c2sp.org/tlog-proof@v1\nindex 1\nAQEB\n\n", 3),
        ] {
            assert_eq!(TlogProof::parse(bad), Err(ReceiptError::Malformed { line }), "{bad:?}");
        }
    }

    #[test]
    fn receipts_have_limits() {
        let text = |hashes: usize, rest: usize| {
            format!("{FIRST_LINE}\nindex 1\n{}\n{}", format!("{HASH}\n").repeat(hashes), "a".repeat(rest))
        };
        assert!(TlogProof::parse(&text(MAX_PROOF, 0)).is_ok());
        assert_eq!(TlogProof::parse(&text(MAX_PROOF + 1, 0)), Err(ReceiptError::TooLong));
        let overhead = text(0, 0).len();
        assert!(TlogProof::parse(&text(0, MAX_RECEIPT - overhead)).is_ok());
        assert_eq!(TlogProof::parse(&text(0, MAX_RECEIPT - overhead + 1)), Err(ReceiptError::TooLong));
        let long = TlogProof { proof: vec![Hash([1; 32]); MAX_PROOF + 1], ..receipt() };
        assert_eq!(long.verify(b"second", &key().vkey()), Err(ReceiptError::TooLong));
    }

    #[test]
    fn a_receipt_holds_for_its_leaf_index_and_log_only() {
        let (good, vkey) = (receipt(), key().vkey());
        assert_eq!(good.verify(b"second", &vkey).map(|head| head.size), Ok(2));
        assert_eq!(good.verify(b"first", &vkey), Err(ProofError::Root.into()));
        let moved = TlogProof { index: 0, ..good.clone() };
        assert_eq!(moved.verify(b"second", &vkey), Err(ProofError::Root.into()));
        let outside = TlogProof { index: 2, ..good.clone() };
        assert_eq!(outside.verify(b"second", &vkey), Err(ProofError::Index { index: 2, size: 2 }.into()));
        let grown = TlogProof { checkpoint: good.checkpoint.replacen("\n2\n", "\n3\n", 1), ..good.clone() };
        assert!(matches!(grown.verify(b"second", &vkey), Err(ReceiptError::Checkpoint(_))));
        let other = SigningKey::from_seed("log.example", [8; 32]).unwrap();
        assert!(matches!(good.verify(b"second", &other.vkey()), Err(ReceiptError::Checkpoint(_))));
    }
}
