//! Checkpoints: the size and root of the log at one moment, signed.
//!
//! ```
//! use consent_core::{checkpoint::Checkpoint, merkle::empty_root, note::SigningKey};
//!
//! let key = SigningKey::from_seed("log.example/consent", [7; 32])?;
//! let head = Checkpoint { origin: "log.example/consent".into(), size: 0, root: empty_root() };
//! assert_eq!(Checkpoint::open(&head.sign(&key), &key.vkey())?, head);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Standards
//! C2SP tlog-checkpoint v1.0.0.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use crate::merkle::{Hash, empty_root};
use crate::note::{self, NoteError, SigningKey, VerifyingKey};

/// Why a text is not a checkpoint of the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The signed note around it is not to be believed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not an origin, a size, a root and perhaps extension lines, each a line that is not empty.
    #[error("not a well-formed checkpoint")]
    Malformed,
    /// A checkpoint without leaves names another root than that of the empty tree.
    #[error("a checkpoint of size 0 must name the root of the empty tree")]
    EmptyRoot,
    /// The checkpoint is of another log than its key.
    #[error("the checkpoint is of the log {found}, not {expected}")]
    Origin {
        /// The name of the key.
        expected: String,
        /// The origin in the text.
        found: String,
    },
    /// A key of the log has signed a size that another of its keys speaks for (see [`crate::rotation`]).
    #[error("the key {key} does not sign trees of {size}: the log has another key for them")]
    Retired {
        /// The key that has signed.
        key: String,
        /// The size that it has signed.
        size: u64,
    },
}

/// The head of a log: so many leaves have this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: the log origin, equal to the name of its key.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: three lines.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Reads the text of a checkpoint. Extension lines are accepted and dropped.
    ///
    /// The text alone proves nothing: see [`Self::open`].
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] or [`CheckpointError::EmptyRoot`].
    ///
    /// # Standards
    /// C2SP tlog-checkpoint v1.0.0, "Note text".
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        Self::read(text).ok_or(CheckpointError::Malformed).and_then(|checkpoint| {
            // Any tree extends the empty one, so a false root here would never be contradicted later.
            let sound = checkpoint.size > 0 || checkpoint.root == empty_root();
            if sound { Ok(checkpoint) } else { Err(CheckpointError::EmptyRoot) }
        })
    }

    fn read(text: &str) -> Option<Self> {
        if note::has_control_characters(text) {
            return None;
        }
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let origin = lines.next().filter(|origin| !origin.is_empty())?.to_owned();
        let size = parse_decimal(lines.next()?)?;
        let root = Hash::from_base64(lines.next()?)?;
        lines.all(|extension| !extension.is_empty()).then_some(Self { origin, size, root })
    }

    /// Signs the checkpoint; the answer is the whole note.
    ///
    /// The key's name must equal the origin, else [`Self::open`] refuses the note. A log must never sign two checkpoints of which the
    /// larger does not extend the smaller; that is for the caller to see to.
    pub fn sign(&self, key: &SigningKey) -> String {
        key.sign(&self.text())
    }

    /// Reads a signed checkpoint and checks that the log's key has signed it. Signatures of others are skipped.
    ///
    /// # Errors
    /// A [`CheckpointError`]; then nothing in the note is to be believed.
    ///
    /// # Standards
    /// C2SP tlog-checkpoint v1.0.0, with the key's name required, not only recommended, to equal the origin.
    pub fn open(note: &str, key: &VerifyingKey) -> Result<Self, CheckpointError> {
        let verified = note::verify(note, core::slice::from_ref(key))?;
        let checkpoint = Self::parse(&verified.text)?;
        if checkpoint.origin != key.name() {
            return Err(CheckpointError::Origin { expected: key.name().to_owned(), found: checkpoint.origin });
        }
        Ok(checkpoint)
    }
}

/// A number as the C2SP texts write it: decimal digits, without sign and leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "O4WpYmwcy2TGuV7H+mSIje/izxLjnnfhCBLOX8uctY4=";

    #[test]
    fn checkpoints_are_read_strictly() {
        let good = Checkpoint::parse(&format!("log.example\n8\n{ROOT}\n")).unwrap();
        assert_eq!((good.origin.as_str(), good.size), ("log.example", 8));
        assert_eq!(good.text(), format!("log.example\n8\n{ROOT}\n"));
        let largest = Checkpoint::parse(&format!("any text + more\n18446744073709551615\n{ROOT}\n")).unwrap();
        assert_eq!(largest.size, u64::MAX);
        assert_eq!(Checkpoint::parse(&format!("log.example\n8\n{ROOT}\nan extension\n")), Ok(good));

        for bad in [
            String::new(),
            format!("log.example\n8\n{ROOT}"),
            format!("\n8\n{ROOT}\n"),
            "log.example\n8\n".to_owned(),
            format!("log.example\n\n{ROOT}\n"),
            format!("log.example\n08\n{ROOT}\n"),
            format!("log.example\n+8\n{ROOT}\n"),
            format!("log.example\n-8\n{ROOT}\n"),
            format!("log.example\n 8\n{ROOT}\n"),
            format!("log.example\n8\u{0663}\n{ROOT}\n"),
            format!("log.example\n18446744073709551616\n{ROOT}\n"),
            format!("log.example\n8\n{}\n", &ROOT[..43]),
            format!("log.example\n8\n{ROOT}\n\n"),
            format!("log.example\n8\n{ROOT}\n\nan extension\n"),
            format!("log.example\r\n8\n{ROOT}\n"),
        ] {
            assert_eq!(Checkpoint::parse(&bad), Err(CheckpointError::Malformed), "{bad:?}");
        }
        assert_eq!(Checkpoint::parse(&format!("log.example\n0\n{ROOT}\n")), Err(CheckpointError::EmptyRoot));
    }

    #[test]
    fn a_checkpoint_of_another_log_is_refused() {
        let key = SigningKey::from_seed("log.example", [7; 32]).unwrap();
        let checkpoint = |origin: &str| Checkpoint { origin: origin.to_owned(), size: 0, root: empty_root() };
        assert_eq!(Checkpoint::open(&checkpoint("log.example").sign(&key), &key.vkey()), Ok(checkpoint("log.example")));
        let error = Checkpoint::open(&checkpoint("other.example").sign(&key), &key.vkey());
        let (expected, found) = ("log.example".to_owned(), "other.example".to_owned());
        assert_eq!(error, Err(CheckpointError::Origin { expected, found }));
        assert_eq!(
            Checkpoint::open(&checkpoint("").sign(&key), &key.vkey()),
            Err(CheckpointError::Malformed),
            "an origin is never empty"
        );
    }
}
