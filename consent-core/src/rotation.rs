//! One log, several keys one after the other: hand-overs, and which key speaks for which sizes.
//!
//! A log's key is changed by a *hand-over*: a note in which the key before names the next one, signed by both. Whoever trusts one key
//! can follow the hand-overs from it, whoever serves them. Up to the size that a hand-over names the key before signs the log's
//! checkpoints, after it the next one: a key that gets into other hands after it was replaced cannot sign a future.
//!
//! ```
//! use consent_core::{note::SigningKey, rotation::{HandOver, Keys}};
//!
//! let (old, new) = (SigningKey::from_seed("log.example", [1; 32])?, SigningKey::from_seed("log.example", [2; 32])?);
//! let note = HandOver { size: 40, old: old.vkey(), new: new.vkey() }.sign(&old, &new);
//! let keys = Keys::follow(old.vkey(), [note.as_str()]);
//! assert_eq!(keys.current(), &new.vkey());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::checkpoint::{Checkpoint, CheckpointError, parse_decimal};
use crate::note::{self, KeyType, NoteError, SigningKey, VerifyingKey};

/// How the text of every hand-over starts. No checkpoint's text does: its second line is a size.
const FIRST_LINE: &str = "consent log key hand-over v1";

/// Why a text is not a hand-over that can be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// One of both keys has not signed it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not the five lines of a hand-over.
    #[error("not a well-formed hand-over")]
    Malformed,
    /// It is of another key, or of another log.
    #[error("the hand-over is not one of this key")]
    Other,
}

/// The end of one key and the start of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOver {
    /// The largest tree that the key before signs. The record of the rotation is the leaf of this index.
    pub size: u64,
    /// The key before.
    pub old: VerifyingKey,
    /// The key from now on. Both have the log's origin as their name.
    pub new: VerifyingKey,
}

impl HandOver {
    /// The text that both keys sign: five lines.
    pub fn text(&self) -> String {
        format!("{FIRST_LINE}\norigin {}\nsize {}\nold {}\nnew {}\n", self.old.name(), self.size, self.old, self.new)
    }

    /// Signs it with both keys; the answer is a whole note.
    pub fn sign(&self, old: &SigningKey, new: &SigningKey) -> String {
        let text = self.text();
        old.sign(&text) + &new.line(&text)
    }

    /// Reads a hand-over from this key, which must have signed it; the key that it names must have, too.
    ///
    /// # Errors
    /// A [`HandOverError`]; then nothing in it is to be believed.
    pub fn open(note: &str, old: &VerifyingKey) -> Result<Self, HandOverError> {
        let text = note::verify(note, core::slice::from_ref(old))?.text;
        let read = Self::read(&text).ok_or(HandOverError::Malformed)?;
        if read.old != *old || read.new.name() != old.name() || read.text() != text {
            return Err(HandOverError::Other);
        }
        note::verify(note, core::slice::from_ref(&read.new))?;
        Ok(read)
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next()? != FIRST_LINE {
            return None;
        }
        lines.next()?;
        let size = parse_decimal(lines.next()?.strip_prefix("size ")?)?;
        let old = VerifyingKey::parse(lines.next()?.strip_prefix("old ")?).ok()?;
        let new = VerifyingKey::parse(lines.next()?.strip_prefix("new ")?).ok()?;
        let sound = lines.next().is_none() && [&old, &new].iter().all(|key| key.key_type() == KeyType::Ed25519);
        sound.then_some(Self { size, old, new })
    }
}

/// A key with the sizes of the trees that it signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranged {
    /// The key.
    pub key: VerifyingKey,
    /// The smallest tree it signs.
    pub from: u64,
    /// The largest; none for the key that signs now.
    pub to: Option<u64>,
}

/// The keys of one log in their order. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Vec<Ranged>);

impl Keys {
    /// A trusted key, and all that it has handed over to, directly or in turn. Notes that are no hand-over from the key reached so far
    /// are left out: that a log serves them proves nothing.
    pub fn follow<'a>(trusted: VerifyingKey, hand_overs: impl IntoIterator<Item = &'a str>) -> Self {
        let mut keys = Vec::from([Ranged { key: trusted, from: 0, to: None }]);
        for note in hand_overs {
            let last = keys.last_mut().expect("starts with one");
            let Ok(hand_over) = HandOver::open(note, &last.key) else { continue };
            if hand_over.size < last.from {
                continue;
            }
            last.to = Some(hand_over.size);
            keys.push(Ranged { key: hand_over.new, from: hand_over.size.saturating_add(1), to: None });
        }
        Self(keys)
    }

    /// The keys, the trusted one first.
    pub fn all(&self) -> &[Ranged] {
        &self.0
    }

    /// The key that signs now.
    pub fn current(&self) -> &VerifyingKey {
        &self.0.last().expect("never empty").key
    }

    /// Reads a checkpoint that the key for its size has signed.
    ///
    /// # Errors
    /// A [`CheckpointError`], [`CheckpointError::Retired`] if another of the log's keys has signed it.
    pub fn open(&self, note: &str) -> Result<Checkpoint, CheckpointError> {
        let mut first = None;
        for ranged in self.0.iter().rev() {
            match Checkpoint::open(note, &ranged.key) {
                Ok(checkpoint) => {
                    let holds = ranged.from <= checkpoint.size && ranged.to.is_none_or(|to| checkpoint.size <= to);
                    let retired = CheckpointError::Retired { key: format!("{}", ranged.key), size: checkpoint.size };
                    return if holds { Ok(checkpoint) } else { Err(retired) };
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(CheckpointError::Malformed))
    }

    /// The log origin.
    pub fn origin(&self) -> String {
        self.current().name().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::Hash;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("log.example", [seed; 32]).unwrap()
    }

    fn hand_over(size: u64, old: u8, new: u8) -> HandOver {
        HandOver { size, old: key(old).vkey(), new: key(new).vkey() }
    }

    fn head(size: u64, by: u8) -> String {
        Checkpoint { origin: "log.example".to_owned(), size, root: Hash([9; 32]) }.sign(&key(by))
    }

    #[test]
    fn a_hand_over_needs_both_keys_and_says_what_it_is() {
        let good = hand_over(40, 1, 2);
        let note = good.sign(&key(1), &key(2));
        assert_eq!(HandOver::open(&note, &key(1).vkey()), Ok(good.clone()));
        assert!(Checkpoint::open(&note, &key(1).vkey()).is_err(), "never taken for a checkpoint");
        assert_eq!(HandOver::open(&note, &key(3).vkey()), Err(NoteError::Unverified.into()));
        // Signed by one of both only.
        assert_eq!(HandOver::open(&key(1).sign(&good.text()), &key(1).vkey()), Err(NoteError::Unverified.into()));
        assert_eq!(HandOver::open(&key(2).sign(&good.text()), &key(1).vkey()), Err(NoteError::Unverified.into()));
        // The new key says that it follows: that alone is worth nothing.
        assert_eq!(HandOver::open(&note, &key(2).vkey()), Err(HandOverError::Other));
        assert!(HandOver::open(&note.replace("size 40", "size 41"), &key(1).vkey()).is_err());
        for bad in [
            good.text().replace("size 40", "size 040"),
            good.text().replace("origin log.example", "origin other.example"),
            good.text().replace("hand-over v1", "hand-over v2"),
            good.text() + "more\n",
        ] {
            let note = key(1).sign(&bad) + &key(2).line(&bad);
            assert!(HandOver::open(&note, &key(1).vkey()).is_err(), "{bad}");
        }
        let foreign = SigningKey::from_seed("other.example", [2; 32]).unwrap();
        let moved = HandOver { new: foreign.vkey(), ..good };
        assert_eq!(HandOver::open(&moved.sign(&key(1), &foreign), &key(1).vkey()), Err(HandOverError::Other));
    }

    #[test]
    fn each_key_speaks_for_its_sizes_only() {
        let notes = [hand_over(40, 1, 2).sign(&key(1), &key(2)), hand_over(60, 2, 3).sign(&key(2), &key(3))];
        let keys = Keys::follow(key(1).vkey(), notes.iter().map(String::as_str));
        let ranges: Vec<_> = keys.all().iter().map(|ranged| (ranged.from, ranged.to)).collect();
        assert_eq!(ranges, [(0, Some(40)), (41, Some(60)), (61, None)]);
        assert_eq!((keys.current(), keys.origin().as_str()), (&key(3).vkey(), "log.example"));
        for (size, by, holds) in [
            (0, 1, false),
            (1, 1, true),
            (40, 1, true),
            (41, 1, false),
            (40, 2, false),
            (41, 2, true),
            (60, 2, true),
            (61, 2, false),
            (61, 3, true),
            (u64::MAX, 3, true),
            (50, 3, false),
            (50, 4, false),
        ] {
            assert_eq!(keys.open(&head(size, by)).is_ok(), holds, "{size} by {by}");
        }
        assert!(matches!(keys.open(&head(41, 1)), Err(CheckpointError::Retired { size: 41, .. })));
        // Whoever trusts the second key only is led on from there, and nobody is led by a note of a key that was not reached.
        let later = Keys::follow(key(2).vkey(), notes.iter().map(String::as_str));
        assert_eq!(later.current(), &key(3).vkey());
        let foreign = Keys::follow(key(1).vkey(), [notes[1].as_str(), "nothing"]);
        assert_eq!(foreign.current(), &key(1).vkey());
        // A hand-over cannot reach back behind the one before.
        let back = hand_over(30, 2, 3).sign(&key(2), &key(3));
        assert_eq!(Keys::follow(key(1).vkey(), [&*notes[0], &*back]).current(), &key(2).vkey());
    }
}
