//! What a witness is asked, and what it answers: it cosigns a checkpoint only if the log has kept what the witness saw before.
//!
//! Pure: who keeps the state sees to it that what is judged here is stored, durably, before the cosignature is handed out.
//!
//! # Standards
//! C2SP tlog-witness v1.0.0.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::checkpoint::{Checkpoint, CheckpointError, parse_decimal};
use crate::merkle::{Hash, empty_root, verify_consistency};
use crate::note::{self, VerifyingKey};

/// The most hashes in a request.
pub const MAX_PROOF: usize = 63;

/// The longest request that is read, in bytes: 64 KiB.
pub const MAX_REQUEST: usize = 64 << 10;

/// A log asks a witness to cosign a checkpoint. `Display` gives the body of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the log thinks the witness has seen; 0 for none.
    pub old: u64,
    /// The consistency proof from there.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, a whole note.
    pub checkpoint: String,
}

/// Why a witness does not cosign. Each has its status in the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The request cannot be read.
    #[error("the request is malformed")]
    Malformed,
    /// No log of this origin is known.
    #[error("the log {0:?} is not known here")]
    UnknownLog(String),
    /// No key of that log has signed the checkpoint.
    #[error("no known key of the log has signed the checkpoint")]
    Unsigned,
    /// The old size is above that of the checkpoint.
    #[error("the old size is above that of the checkpoint")]
    Backwards,
    /// The old size is not the one that was recorded.
    #[error("the log's recorded size is {recorded}")]
    Conflict {
        /// The size that was recorded; 0 for none.
        recorded: u64,
    },
    /// The checkpoint is not shown to extend the recorded one.
    #[error("the checkpoint is not shown to extend what was seen before")]
    Inconsistent,
}

impl Refusal {
    /// The status that the protocol has for it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed | Self::Backwards => 400,
            Self::UnknownLog(_) => 404,
            Self::Unsigned => 403,
            Self::Conflict { .. } => 409,
            Self::Inconsistent => 422,
        }
    }
}

impl AddCheckpoint {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn parse(body: &str) -> Result<Self, Refusal> {
        Self::read(body).ok_or(Refusal::Malformed)
    }

    fn read(body: &str) -> Option<Self> {
        if body.len() > MAX_REQUEST {
            return None;
        }
        let (head, checkpoint) = body.split_once("\n\n")?;
        let mut lines = head.split('\n');
        let old = parse_decimal(lines.next()?.strip_prefix("old ")?)?;
        let proof: Vec<Hash> = lines.map(Hash::from_base64).collect::<Option<_>>()?;
        (proof.len() <= MAX_PROOF).then(|| Self { old, proof, checkpoint: checkpoint.to_owned() })
    }

    /// The origin that the checkpoint claims. Tells which log's keys to judge it by, and proves nothing.
    pub fn origin(&self) -> &str {
        self.checkpoint.split('\n').next().unwrap_or_default()
    }

    /// Judges it by the log's keys, none for a log that is not known, and by the checkpoint that was cosigned last.
    ///
    /// The answer is the checkpoint and the whole text that a cosignature covers, extensions included. To be atomic, nothing may
    /// change `recorded` between this call and storing what it answers.
    ///
    /// # Errors
    /// A [`Refusal`], by the order of the protocol.
    pub fn judge(&self, keys: &[VerifyingKey], recorded: Option<&Checkpoint>) -> Result<(Checkpoint, String), Refusal> {
        if keys.is_empty() {
            return Err(Refusal::UnknownLog(self.origin().to_owned()));
        }
        let text = note::verify(&self.checkpoint, keys).map_err(|_| Refusal::Unsigned)?.text;
        let checkpoint = Checkpoint::parse(&text).map_err(|error| match error {
            CheckpointError::EmptyRoot => Refusal::Inconsistent,
            _ => Refusal::Malformed,
        })?;
        if checkpoint.origin != keys[0].name() {
            return Err(Refusal::Unsigned);
        }
        if self.old > checkpoint.size {
            return Err(Refusal::Backwards);
        }
        let (size, root) = recorded.map_or((0, empty_root()), |seen| (seen.size, seen.root));
        if self.old != size {
            return Err(Refusal::Conflict { recorded: size });
        }
        verify_consistency(self.old, checkpoint.size, &root, &checkpoint.root, &self.proof)
            .map_err(|_| Refusal::Inconsistent)?;
        Ok((checkpoint, text))
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::merkle::{leaf_hash, node_hash};
    use crate::note::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("log.example", [seed; 32]).unwrap()
    }

    fn head(size: u64, root: Hash) -> Checkpoint {
        Checkpoint { origin: "log.example".to_owned(), size, root }
    }

    #[test]
    fn requests_are_read_strictly() {
        let good =
            AddCheckpoint { old: 1, proof: vec![Hash([1; 32])], checkpoint: head(2, Hash([2; 32])).sign(&key(1)) };
        assert_eq!(AddCheckpoint::parse(&good.to_string()), Ok(good.clone()));
        let without = AddCheckpoint { proof: vec![], ..good.clone() };
        assert_eq!(AddCheckpoint::parse(&without.to_string()), Ok(without));
        let long = AddCheckpoint { proof: vec![Hash([1; 32]); MAX_PROOF + 1], ..good.clone() };
        let text = good.to_string();
        for bad in [
            long.to_string(),
            String::new(),
            "old 1".to_owned(),
            text.replace("old 1", "old 01"),
            text.replace("old 1", "old -1"),
            text.replace("old 1", "old"),
            text.replace("old 1", "new 1"),
            text.replacen('=', "", 1),
            text.replacen('\n', "\r\n", 1),
            format_args!("{text}{}", "a".repeat(MAX_REQUEST)).to_string(),
        ] {
            assert_eq!(AddCheckpoint::parse(&bad), Err(Refusal::Malformed), "{bad:.40}");
        }
    }

    #[test]
    fn each_refusal_has_its_status() {
        let leaves = [leaf_hash(b"first"), leaf_hash(b"second")];
        let (one, two) = (head(1, leaves[0]), head(2, node_hash(&leaves[0], &leaves[1])));
        let keys = [key(1).vkey()];
        let ask = |old, proof: &[Hash], checkpoint: String| AddCheckpoint { old, proof: proof.to_vec(), checkpoint };
        let by = |head: &Checkpoint| head.sign(&key(1));
        let proof = &leaves[1..];
        let status = |request: &AddCheckpoint, keys: &[VerifyingKey], recorded: Option<&Checkpoint>| {
            request.judge(keys, recorded).map_or_else(|refusal| refusal.status(), |_| 200)
        };
        let foreign = Checkpoint { origin: "other.example".to_owned(), ..two.clone() };
        for (name, request, recorded, want) in [
            ("first contact", ask(0, &[], by(&two)), None, 200),
            ("growth", ask(1, proof, by(&two)), Some(&one), 200),
            ("the same again", ask(2, &[], by(&two)), Some(&two), 200),
            ("nothing yet", ask(0, &[], by(&head(0, empty_root()))), None, 200),
            ("another key", ask(1, proof, two.sign(&key(2))), Some(&one), 403),
            ("another origin by our key", ask(0, &[], foreign.sign(&key(1))), None, 403),
            ("no checkpoint", ask(0, &[], key(1).sign("log.example\n")), None, 400),
            ("old above new", ask(3, &[], by(&two)), Some(&two), 400),
            ("a size that was not recorded", ask(0, &[], by(&two)), Some(&one), 409),
            ("a size above the recorded", ask(2, &[], by(&two)), Some(&one), 409),
            ("a shrunken log", ask(1, &[], by(&one)), Some(&two), 409),
            ("a wrong proof", ask(1, &leaves[..1], by(&two)), Some(&one), 422),
            ("no proof", ask(1, &[], by(&two)), Some(&one), 422),
            ("a proof from nothing", ask(0, proof, by(&two)), None, 422),
            ("a fork", ask(2, &[], by(&head(2, Hash([7; 32])))), Some(&two), 422),
            ("an empty log with a root", ask(0, &[], by(&head(0, Hash([7; 32])))), None, 422),
        ] {
            assert_eq!(status(&request, &keys, recorded), want, "{name}");
        }
        let unknown = ask(0, &[], by(&two)).judge(&[], None).unwrap_err();
        assert_eq!((unknown.status(), unknown), (404, Refusal::UnknownLog("log.example".to_owned())));
        let conflict = ask(0, &[], by(&two)).judge(&keys, Some(&one)).unwrap_err();
        assert_eq!(conflict, Refusal::Conflict { recorded: 1 });
        // The cosignature covers what stands behind the root, too.
        let text = two.text() + "an extension\n";
        let (checkpoint, covered) = ask(0, &[], key(1).sign(&text)).judge(&keys, None).unwrap();
        assert_eq!((checkpoint, covered), (two, text));
    }
}
