//! Signed notes: a text, an empty line, and lines of signatures by named keys.
//!
//! ```
//! use consent_core::note::{self, SigningKey};
//!
//! let key = SigningKey::from_seed("log.example/consent", [7; 32])?;
//! let signed = key.sign("a text that ends in a newline\n");
//! let verified = note::verify(&signed, &[key.vkey()])?;
//! assert_eq!(verified.signed_by, ["log.example/consent"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Standards
//! C2SP signed-note v1.0.0; C2SP tlog-cosignature for keys of type 0x04; Ed25519 as in RFC 8032.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use data_encoding::BASE64;
use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};

use crate::merkle::decode_base64;

/// The longest note that is read, in bytes: 1 MiB.
pub const MAX_NOTE: usize = 1 << 20;

/// The most signature lines that are read in one note.
pub const MAX_SIGNATURES: usize = 100;

/// Why a key is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name is empty, or holds a space, a plus or a control character.
    #[error("a key's name must not be empty, nor hold spaces, plus signs or control characters")]
    Name,
    /// Not `NAME+HEX8+BASE64`, or not 32 bytes of key.
    #[error("must be NAME+KEYID+BASE64, with 8 lowercase hexadecimal digits and a 32-byte key")]
    Format,
    /// The key id is not that of this name and key: one of the three was altered.
    #[error("the key id must be {expected:08x} for this name and key")]
    Id {
        /// The id that name and key have.
        expected: u32,
    },
    /// A type of key that is not supported.
    #[error("key type {0:#04x} is not supported")]
    Type(u8),
    /// The bytes are no usable point of the curve: for such a key, signatures prove nothing.
    #[error("not a usable Ed25519 public key")]
    Weak,
}

/// Why a note is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Longer than [`MAX_NOTE`], or with more signatures than [`MAX_SIGNATURES`].
    #[error("the note is too long, or has too many signatures")]
    TooLong,
    /// Not a text, an empty line and well-formed signature lines.
    #[error("not a well-formed signed note")]
    Malformed,
    /// A signature by a key that we know does not hold: the text was altered, or the signature forged.
    #[error("the signature by {name} does not hold")]
    BadSignature {
        /// The name of the key.
        name: String,
    },
    /// Two different keys were given that share this name and id.
    #[error("two keys share the name {name} and the same id")]
    AmbiguousKey {
        /// The shared name.
        name: String,
    },
    /// No key that we know has signed.
    #[error("no known key has signed the note")]
    Unverified,
}

/// What a key signs, told by the first byte of its encoding. More types exist and may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// 0x01: Ed25519 over the text of the note.
    Ed25519,
    /// 0x04: Ed25519 over the text and the time at which a witness saw it, in seconds since the Unix epoch.
    CosignatureV1,
}

impl KeyType {
    /// The byte that stands for the type.
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
        }
    }

    fn from_byte(byte: u8) -> Result<Self, KeyError> {
        match byte {
            0x01 => Ok(Self::Ed25519),
            0x04 => Ok(Self::CosignatureV1),
            other => Err(KeyError::Type(other)),
        }
    }
}

/// A named public key. Its text, the *vkey*, is `NAME+KEYID+BASE64`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: String,
    id: u32,
    key_type: KeyType,
    key: ed25519_dalek::VerifyingKey,
}

impl VerifyingKey {
    /// Reads a vkey. Each key has one spelling.
    ///
    /// # Errors
    /// A [`KeyError`] that says which part is wrong. Keys for which forged signatures could hold are refused too.
    ///
    /// # Standards
    /// C2SP signed-note v1.0.0, "Signatures".
    pub fn parse(vkey: &str) -> Result<Self, KeyError> {
        // The base64 may hold further plus signs, so the text is cut at the first two only.
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Format);
        };
        let key = decode_base64(key).ok_or(KeyError::Format)?;
        let (&type_byte, key) = key.split_first().ok_or(KeyError::Format)?;
        let key_type = KeyType::from_byte(type_byte)?;
        let key = key.try_into().map_err(|_| KeyError::Format)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| KeyError::Weak)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        let parsed = Self::new(name, key_type, key)?;
        if id.len() != 8 || !id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(KeyError::Format);
        }
        if id != format!("{:08x}", parsed.id) {
            return Err(KeyError::Id { expected: parsed.id });
        }
        Ok(parsed)
    }

    fn new(name: &str, key_type: KeyType, key: ed25519_dalek::VerifyingKey) -> Result<Self, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name);
        }
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', key_type.byte()])
            .chain_update(key.as_bytes())
            .finalize();
        let id = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        Ok(Self { name: name.to_owned(), id, key_type, key })
    }

    /// The name of the key. For the key of a log it equals the log origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The start of a hash over name, type and key. It tells keys apart; it is too short to prove anything.
    pub fn key_id(&self) -> u32 {
        self.id
    }

    /// What the key signs.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// Whether these bytes, without the key id, are this key's signature of the text.
    fn holds(&self, text: &str, signature: &[u8]) -> bool {
        match self.key_type {
            KeyType::Ed25519 => self.holds_strictly(text.as_bytes(), signature),
            KeyType::CosignatureV1 => {
                let Some((time, signature)) = signature.split_first_chunk() else { return false };
                let time = u64::from_be_bytes(*time);
                // The standard keeps to times that a signed integer can hold.
                i64::try_from(time).is_ok() && self.holds_strictly(cosigned(time, text).as_bytes(), signature)
            }
        }
    }

    fn holds_strictly(&self, message: &[u8], signature: &[u8]) -> bool {
        // The strict check refuses keys and signatures of small order, with which one signature can hold for several texts.
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = [self.key_type.byte(); 33];
        key[1..].copy_from_slice(self.key.as_bytes());
        write!(f, "{}+{:08x}+{}", self.name, self.id, BASE64.encode(&key))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(vkey: &str) -> Result<Self, KeyError> {
        Self::parse(vkey)
    }
}

/// A named private key of type 0x01. `Debug` shows its name and id, never the seed; memory is cleared on drop.
#[derive(Clone)]
pub struct SigningKey {
    public: VerifyingKey,
    key: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// The key of this name from 32 secret random bytes.
    ///
    /// # Errors
    /// [`KeyError::Name`] if the name is empty, or holds spaces, plus signs or control characters.
    ///
    /// # Standards
    /// RFC 8032 section 5.1.5: the seed is the private key.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        Ok(Self { public: VerifyingKey::new(name, KeyType::Ed25519, key.verifying_key())?, key })
    }

    /// The name of the key.
    pub fn name(&self) -> &str {
        self.public.name()
    }

    /// The public key: what auditors need.
    pub fn vkey(&self) -> VerifyingKey {
        self.public.clone()
    }

    /// The secret seed, for writing a key file and nothing else.
    pub fn seed(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Signs a text; the answer is the whole note. The same text gives the same note.
    ///
    /// The text must end in a newline and hold no other control character. Signing does not fail if it breaks that rule, but nobody
    /// will accept the note: [`verify`] finds it malformed.
    pub fn sign(&self, text: &str) -> String {
        format!("{text}\n{}", self.line(text))
    }

    /// The signature line alone, with its newline: what is appended to a note that others have signed too.
    pub fn line(&self, text: &str) -> String {
        signature_line(&self.public, &self.key.sign(text.as_bytes()).to_bytes())
    }
}

/// A named private key of type 0x04: a witness says with it when it saw a checkpoint. `Debug` never shows the seed.
///
/// ```
/// use consent_core::note::{self, CosigningKey, SigningKey};
///
/// let (log, witness) = (SigningKey::from_seed("log.example", [7; 32])?, CosigningKey::from_seed("witness.example", [8; 32])?);
/// let text = "a text\n";
/// let note = log.sign(text) + &witness.cosign(text, 1_767_225_600);
/// assert_eq!(note::verify(&note, &[log.vkey(), witness.vkey()])?.signed_by, ["log.example", "witness.example"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Standards
/// C2SP tlog-cosignature, `cosignature/v1`.
#[derive(Clone)]
pub struct CosigningKey {
    public: VerifyingKey,
    key: ed25519_dalek::SigningKey,
}

impl CosigningKey {
    /// The key of this name from 32 secret random bytes. Use one key for one witness: what it signs does not name it.
    ///
    /// # Errors
    /// [`KeyError::Name`] as in [`SigningKey::from_seed`].
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        Ok(Self { public: VerifyingKey::new(name, KeyType::CosignatureV1, key.verifying_key())?, key })
    }

    /// The public key: what those who ask for cosignatures put into their policy.
    pub fn vkey(&self) -> VerifyingKey {
        self.public.clone()
    }

    /// The signature line over a checkpoint's whole text, with its newline. `time_seconds` since the Unix epoch, at most 2^63 - 1.
    pub fn cosign(&self, text: &str, time_seconds: u64) -> String {
        let mut signature = Vec::with_capacity(8 + 64);
        signature.extend(time_seconds.to_be_bytes());
        signature.extend(self.key.sign(cosigned(time_seconds, text).as_bytes()).to_bytes());
        signature_line(&self.public, &signature)
    }
}

impl fmt::Debug for CosigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CosigningKey").field("public", &self.public).field("key", &"***").finish()
    }
}

/// What a cosignature of type 0x04 signs.
fn cosigned(time_seconds: u64, text: &str) -> String {
    format!("cosignature/v1\ntime {time_seconds}\n{text}")
}

fn signature_line(key: &VerifyingKey, signature: &[u8]) -> String {
    let mut bytes = key.id.to_be_bytes().to_vec();
    bytes.extend(signature);
    format!("{LINE_START}{} {}\n", key.name, BASE64.encode(&bytes))
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("public", &self.public).field("key", &"***").finish()
    }
}

/// A note that a known key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The text, with its last newline.
    pub text: String,
    /// The names of the known keys that have signed, each once, in the order of the note. Never empty.
    pub signed_by: Vec<String>,
}

/// Checks a note against the keys we know.
///
/// Signatures of other keys are skipped, whatever they hold. All signatures of known keys must hold, and there must be one at least.
///
/// # Errors
/// A [`NoteError`]; then nothing in the note is to be believed.
///
/// # Standards
/// C2SP signed-note v1.0.0, "Format" and "Signatures".
pub fn verify(note: &str, keys: &[VerifyingKey]) -> Result<Verified, NoteError> {
    if note.len() > MAX_NOTE {
        return Err(NoteError::TooLong);
    }
    if has_control_characters(note) {
        return Err(NoteError::Malformed);
    }
    // The text may hold empty lines: the last one separates.
    let blank = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let text = &note[..=blank];
    let lines = note[blank + 2..].strip_suffix('\n').ok_or(NoteError::Malformed)?;
    if lines.split('\n').count() > MAX_SIGNATURES {
        return Err(NoteError::TooLong);
    }
    // All lines are read before any is checked, so that a malformed note is malformed for everybody, whichever keys they know.
    let lines: Vec<_> =
        lines.split('\n').map(SignatureLine::parse).collect::<Option<_>>().ok_or(NoteError::Malformed)?;

    let mut signed_by: Vec<String> = Vec::new();
    for (position, line) in lines.iter().enumerate() {
        let mut known = keys.iter().filter(|key| key.name == line.name && key.id == line.id);
        let Some(key) = known.next() else { continue };
        if known.any(|other| other != key) {
            return Err(NoteError::AmbiguousKey { name: key.name.clone() });
        }
        // One good signature over a long text, repeated, must not cost a hundred checks.
        if lines[..position].contains(line) {
            continue;
        }
        if !key.holds(text, &line.signature) {
            return Err(NoteError::BadSignature { name: key.name.clone() });
        }
        if !signed_by.contains(&key.name) {
            signed_by.push(key.name.clone());
        }
    }
    if signed_by.is_empty() {
        return Err(NoteError::Unverified);
    }
    Ok(Verified { text: text.to_owned(), signed_by })
}

/// An em dash and a space: how each signature line starts.
const LINE_START: &str = "\u{2014} ";

#[derive(PartialEq, Eq)]
struct SignatureLine<'a> {
    name: &'a str,
    id: u32,
    signature: Vec<u8>,
}

impl<'a> SignatureLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, base64) = line.strip_prefix(LINE_START)?.split_once(' ')?;
        let bytes = decode_base64(base64)?;
        let (id, signature) = bytes.split_first_chunk()?;
        (is_key_name(name) && !signature.is_empty()).then(|| Self {
            name,
            id: u32::from_be_bytes(*id),
            signature: signature.to_vec(),
        })
    }
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

/// Whether the text holds an ASCII control character (below U+0020) other than newline.
pub(crate) fn has_control_characters(text: &str) -> bool {
    text.bytes().any(|b| b < b' ' && b != b'\n')
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const EXAMPLE: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(name, [7; 32]).unwrap()
    }

    #[test]
    fn the_example_of_the_standard_verifies() {
        let vkey = VerifyingKey::parse(EXAMPLE).unwrap();
        assert_eq!((vkey.name(), vkey.key_id(), vkey.key_type()), ("example.com/foo", 0x530d_903a, KeyType::Ed25519));
        assert_eq!(vkey.to_string(), EXAMPLE);
        let note = "This is an example message.\n\n\u{2014} example.com/foo \
                    Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
        let verified = verify(note, &[vkey]).unwrap();
        assert_eq!(verified.text, "This is an example message.\n");
        assert_eq!(verified.signed_by, ["example.com/foo"]);
    }

    #[test]
    fn vkeys_have_one_spelling() {
        for (name, vkey, want) in [
            ("empty", "", KeyError::Format),
            ("two parts", "example.com/foo+530d903a", KeyError::Format),
            ("no name", "+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Name),
            ("space", "a b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Name),
            ("control", "a\0b+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Name),
            (
                "id of another key",
                "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
                KeyError::Id { expected: 0x530d_903a },
            ),
            ("upper case", "example.com/foo+530D903A+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Format),
            (
                "two encodings in a row",
                "example.com/foo+530d903a+Aek=Mnka5ueoQKRhZMkEeGQm1eeCHdiymgDWHK5yr91NpA==",
                KeyError::Format,
            ),
            ("short key", "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==", KeyError::Format),
            ("type 2", "example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k", KeyError::Type(2)),
            (
                // The neutral element: with it, one signature holds for any text.
                "weak point",
                "example.com/foo+530d903a+AQEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                KeyError::Weak,
            ),
        ] {
            assert_eq!(VerifyingKey::parse(vkey), Err(want), "{name}");
        }
        assert_eq!(EXAMPLE.parse::<VerifyingKey>(), VerifyingKey::parse(EXAMPLE));
    }

    #[test]
    fn a_seed_is_never_shown() {
        let key = SigningKey::from_seed("log.example", [0xab; 32]).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains("log.example") && shown.contains("***"), "{shown}");
        for secret in ["abab", "171, 171", "q6ur"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(key.seed(), &[0xab; 32]);
        assert_eq!(SigningKey::from_seed("a b", [0; 32]).unwrap_err(), KeyError::Name);
    }

    #[test]
    fn all_known_signatures_must_hold() {
        let (ours, other) = (key("ours.example"), SigningKey::from_seed("other.example", [8; 32]).unwrap());
        let text = "a text\n";
        let signed = ours.sign(text);
        let line = |note: &str| note.lines().last().unwrap().to_owned();
        let forged = line(&other.sign("another text\n"));
        let note = format!("{signed}{forged}\n");
        let twice = format!("{signed}{0}\n{0}\n", line(&other.sign(text)));

        assert_eq!(verify(&note, &[ours.vkey()]).unwrap().signed_by, ["ours.example"], "an unknown key is skipped");
        let bad = NoteError::BadSignature { name: "other.example".to_owned() };
        assert_eq!(verify(&note, &[ours.vkey(), other.vkey()]), Err(bad), "a known key that fails rejects");
        let both = verify(&twice, &[other.vkey(), ours.vkey(), ours.vkey()]).unwrap();
        assert_eq!(both.signed_by, ["ours.example", "other.example"], "each once, in the order of the note");
        assert_eq!(verify(&signed, &[other.vkey()]), Err(NoteError::Unverified));
        assert_eq!(verify(&signed, &[]), Err(NoteError::Unverified));

        let mut twin = other.vkey();
        (twin.name, twin.id) = (ours.name().to_owned(), ours.vkey().key_id());
        let ambiguous = NoteError::AmbiguousKey { name: "ours.example".to_owned() };
        assert_eq!(verify(&signed, &[ours.vkey(), twin]), Err(ambiguous));
    }

    #[test]
    fn a_signature_has_one_spelling() {
        let key = key("log.example");
        let note = key.sign("a text\n");
        let base64 = note.trim_end().rsplit(' ').next().unwrap();
        let bytes = BASE64.decode(base64.as_bytes()).unwrap();
        let (start, rest) = bytes.split_at(2);
        // The same bytes as two encodings in a row, which decoders that allow it take for one.
        let again = note.replace(base64, &(BASE64.encode(start) + &BASE64.encode(rest)));
        assert_ne!(again, note);
        assert_eq!(verify(&again, &[key.vkey()]), Err(NoteError::Malformed));
    }

    #[test]
    fn notes_have_limits() {
        let key = key("log.example");
        let at_limit = |length: usize| key.sign(&format!("{}\n", "a".repeat(length)));
        let overhead = at_limit(0).len();
        assert!(verify(&at_limit(MAX_NOTE - overhead), &[key.vkey()]).is_ok());
        assert_eq!(verify(&at_limit(MAX_NOTE - overhead + 1), &[key.vkey()]), Err(NoteError::TooLong));

        let note = key.sign("a text\n");
        let line = format!("{}\n", note.lines().last().unwrap());
        assert!(verify(&format!("{note}{}", line.repeat(MAX_SIGNATURES - 1)), &[key.vkey()]).is_ok());
        assert_eq!(verify(&format!("{note}{}", line.repeat(MAX_SIGNATURES)), &[key.vkey()]), Err(NoteError::TooLong));
    }

    #[test]
    fn texts_that_break_the_rules_give_notes_that_nobody_accepts() {
        let key = key("log.example");
        for bad in ["", "no newline", "first\n\nno newline", "tab\there\n", "\r\n", "nul\0\n"] {
            assert_eq!(verify(&key.sign(bad), &[key.vkey()]), Err(NoteError::Malformed), "{bad:?}");
        }
        for good in ["\n", "\n\n", "a\n", "a\n\nb\n", "\u{e9}\u{2014} x\n"] {
            assert_eq!(verify(&key.sign(good), &[key.vkey()]).unwrap().text, good);
        }
    }

    #[test]
    fn a_cosignature_binds_its_time() {
        let signer = CosigningKey::from_seed("witness.example", [9; 32]).unwrap();
        let vkey = signer.vkey();
        assert!(!format!("{signer:?}").contains("0909"));
        assert_eq!(VerifyingKey::parse(&vkey.to_string()), Ok(vkey.clone()));
        let cosigned = |signed_time: u64, time: u64| {
            let line = signer.cosign("a text\n", signed_time);
            let mut bytes = BASE64.decode(line.trim_end().rsplit(' ').next().unwrap().as_bytes()).unwrap();
            bytes[4..12].copy_from_slice(&time.to_be_bytes());
            format!("a text\n\n\u{2014} witness.example {}\n", BASE64.encode(&bytes))
        };
        let bad = Err(NoteError::BadSignature { name: "witness.example".to_owned() });
        assert!(verify(&cosigned(5, 5), core::slice::from_ref(&vkey)).is_ok());
        assert_eq!(verify(&cosigned(5, 6), core::slice::from_ref(&vkey)), bad);
        assert_eq!(verify(&cosigned(1 << 63, 1 << 63), core::slice::from_ref(&vkey)), bad);
        // The same key under type 0x01 has another id: its plain signature is not taken for a cosignature.
        let plain = SigningKey::from_seed("witness.example", [9; 32]).unwrap();
        assert_ne!(plain.vkey().key_id(), vkey.key_id());
        assert_eq!(verify(&plain.sign("a text\n"), core::slice::from_ref(&vkey)), Err(NoteError::Unverified));
    }
}
