//! Users of the console: who may look at and change which sites, and how they prove who they are.
//!
//! A user has a name to log in with and an id that stands for them in the log. A session is 32 random bytes in a cookie, stored as
//! their SHA-256: like the secret of a key, nobody can guess it.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use consent_core::id::SiteId;
use consent_core::time::UnixMillis;
use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::keys::{Role, Secret};
use crate::random;

/// The least characters of a password.
///
/// # Standards
/// NIST SP 800-63B asks for 8 beside a second factor and 15 without one in its fourth revision; there is a limit on attempts here.
pub const MIN_PASSWORD: usize = 12;

/// The most bytes of a password.
pub const MAX_PASSWORD: usize = 256;

/// The most bytes of a name.
pub const MAX_NAME: usize = 64;

/// How long a session lives without being used, in milliseconds.
pub const IDLE: i64 = 30 * 60 * 1000;

/// How long a session lives at most, in milliseconds.
pub const LONGEST: i64 = 12 * 60 * 60 * 1000;

/// A session's last use is written down again after so long, in milliseconds: not every read should be a write.
pub const TOUCH: i64 = 60 * 1000;

/// What a hash costs: memory in KiB, passes, lanes.
#[derive(Debug, Clone, Copy)]
struct Cost {
    m: u32,
    t: u32,
    p: u32,
}

/// What a new hash costs: more than the least that is recommended. What is above 32 MiB, glibc gives back to the system as soon as it is
/// free; of 19 MiB it would keep one for good, and a server at rest would be that much larger.
///
/// # Standards
/// OWASP Password Storage Cheat Sheet, argon2id: at least m=19456 (19 MiB), t=2, p=1, or m=47104 (46 MiB), t=1, p=1.
const COST: Cost = Cost { m: 47_104, t: 2, p: 1 };

/// A user as it is stored.
#[derive(Clone)]
pub struct User {
    /// Stands for them in the log.
    pub id: String,
    /// What they log in with.
    pub name: String,
    /// What they may do: officer or admin.
    pub role: Role,
    /// Where.
    pub sites: Vec<SiteId>,
    /// The hash of their password.
    pub password: PasswordHash,
    /// When they were made.
    pub created_at: UnixMillis,
    /// When they were disabled, if they are.
    pub disabled_at: Option<UnixMillis>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A new id for a user: as long as that of a key.
pub fn new_id() -> String {
    BASE32_NOPAD.encode(&random::bytes::<5>()).to_lowercase()
}

/// Why a name or a password is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// The name is not one.
    #[error("a name has 1 to {MAX_NAME} of the characters a-z 0-9 . _ @ + -")]
    Name,
    /// Too short to resist guessing.
    #[error("a password has at least {MIN_PASSWORD} characters")]
    Short,
    /// Too long to be hashed for anybody who asks.
    #[error("a password has at most {MAX_PASSWORD} bytes")]
    Long,
    /// Backends have keys.
    #[error("a user is officer or admin; backends have keys")]
    Role,
}

/// A name in the one form that it is stored and compared in.
///
/// # Errors
/// [`UserError::Name`].
pub fn name(text: &str) -> Result<String, UserError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._@+-".contains(c);
    let fits = (1..=MAX_NAME).contains(&text.len()) && text.chars().all(allowed);
    if fits { Ok(text.to_ascii_lowercase()) } else { Err(UserError::Name) }
}

/// The role of a user.
///
/// # Errors
/// [`UserError::Role`].
pub fn role(text: &str) -> Result<Role, UserError> {
    Role::parse(text).filter(|role| *role != Role::Backend).ok_or(UserError::Role)
}

/// A password that is long enough.
///
/// # Errors
/// [`UserError::Short`] or [`UserError::Long`].
pub fn check_password(text: &str) -> Result<(), UserError> {
    if text.chars().count() < MIN_PASSWORD {
        return Err(UserError::Short);
    }
    if text.len() > MAX_PASSWORD { Err(UserError::Long) } else { Ok(()) }
}

/// A password nobody chose: 120 bits in five groups of four that can be typed.
pub fn generate_password() -> Secret {
    let text = BASE32_NOPAD.encode(&random::bytes::<15>()).to_lowercase();
    let groups: Vec<&str> = (0..text.len()).step_by(4).map(|at| &text[at..at + 4]).collect();
    Secret::new(groups.join("-"))
}

/// What is kept of a password: argon2id with its parameters and salt, as a PHC string.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

impl PasswordHash {
    /// Hashes a password: takes 46 MiB and some ten milliseconds, so never on a thread that serves others.
    pub fn of(password: &str) -> Self {
        let salt = random::bytes::<16>();
        let hash = derive(password, &salt, COST).expect("the parameters are constants that argon2 takes");
        let Cost { m, t, p } = COST;
        let (salt, hash) = (BASE64_NOPAD.encode(&salt), BASE64_NOPAD.encode(&hash));
        Self(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}"))
    }

    /// The hash as it was stored.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The hash as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the hash of this password. As slow as [`PasswordHash::of`]; compares in constant time. A stored text that is no hash
    /// is that of no password.
    pub fn matches(&self, password: &str) -> bool {
        let Some((salt, want, cost)) = self.parts() else {
            waste(password);
            return false;
        };
        derive(password, &salt, cost).is_some_and(|hash| bool::from(hash.ct_eq(&want)))
    }

    fn parts(&self) -> Option<(Vec<u8>, [u8; 32], Cost)> {
        let mut parts = self.0.strip_prefix("$argon2id$v=19$")?.split('$');
        let (params, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let mut numbers =
            params.split(',').zip(["m=", "t=", "p="]).map(|(part, name)| part.strip_prefix(name)?.parse().ok());
        let cost = Cost { m: numbers.next()??, t: numbers.next()??, p: numbers.next()?? };
        let decode = |text: &str| BASE64_NOPAD.decode(text.as_bytes()).ok();
        Some((decode(salt)?, decode(hash)?.try_into().ok()?, cost))
    }
}

/// Takes as long as a comparison, for a user that does not exist: the time of an answer must not say which names do.
pub fn waste(password: &str) {
    std::hint::black_box(derive(password, &[0; 16], COST));
}

fn derive(password: &str, salt: &[u8], Cost { m, t, p }: Cost) -> Option<[u8; 32]> {
    let params = Params::new(m, t, p, Some(32)).ok()?;
    let mut out = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.as_bytes(), salt, &mut out)
        .ok()?;
    Some(out)
}

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub user: String,
    /// When they logged in.
    pub created_at: UnixMillis,
    /// When it was last used, to the minute.
    pub used_at: UnixMillis,
}

impl Session {
    /// Whether it opens anything at this time.
    pub fn is_live(&self, now: UnixMillis) -> bool {
        let since = |at: UnixMillis| now.millis().saturating_sub(at.millis());
        since(self.used_at) < IDLE && since(self.created_at) < LONGEST
    }
}

/// A new session's cookie value, and what is stored of it.
pub fn new_session() -> (Secret, [u8; 32]) {
    let text = BASE64URL_NOPAD.encode(&random::bytes::<32>());
    let hash = session_hash(&text).expect("it was made in this form");
    (Secret::new(text), hash)
}

/// What is stored of a session, if the text has the form of one.
pub fn session_hash(text: &str) -> Option<[u8; 32]> {
    (text.len() == 43 && BASE64URL_NOPAD.decode(text.as_bytes()).is_ok())
        .then(|| Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_only() {
        let hash = PasswordHash::of("correct horse battery");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=47104,t=2,p=1$"));
        assert!(hash.matches("correct horse battery") && !hash.matches("correct horse batter"));
        assert_ne!(hash, PasswordHash::of("correct horse battery"), "each has a salt of its own");
        assert!(!format!("{hash:?}").contains("argon2"));
        for broken in [
            "",
            "$argon2id$",
            "$argon2i$v=19$m=19456,t=2,p=1$AAAA$AAAA",
            "$argon2id$v=19$m=1,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
        ] {
            assert!(!PasswordHash::from_stored(broken.to_owned()).matches(""), "{broken}");
        }
    }

    /// A vector of the reference implementation: what we store, any other argon2id can check.
    #[test]
    fn hashes_are_those_of_argon2id() {
        let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash::from_stored(reference.to_owned());
        assert!(hash.matches("password") && !hash.matches("differentpassword"));
    }

    #[test]
    fn names_and_passwords_have_a_form() {
        assert_eq!(name("Ada.L@gardens.example"), Ok("ada.l@gardens.example".to_owned()));
        for bad in ["", "two words", "a/b", "ä", &"x".repeat(65)] {
            assert_eq!(name(bad), Err(UserError::Name), "{bad}");
        }
        assert_eq!(check_password("elf letters"), Err(UserError::Short));
        assert_eq!(check_password("twelve lette"), Ok(()));
        assert_eq!(check_password(&"x".repeat(257)), Err(UserError::Long));
        assert_eq!(check_password(generate_password().reveal()), Ok(()));
        assert_eq!(role("backend"), Err(UserError::Role));
    }

    #[test]
    fn a_session_ends_when_idle_and_at_last() {
        let (text, hash) = new_session();
        assert_eq!(session_hash(text.reveal()), Some(hash));
        assert_eq!(session_hash("short"), None);
        let at = UnixMillis::new(1_000);
        let later = |millis: i64| UnixMillis::new(1_000 + millis);
        let session = |used| Session { user: "a".to_owned(), created_at: at, used_at: used };
        assert!(session(at).is_live(later(IDLE - 1)) && !session(at).is_live(later(IDLE)));
        assert!(session(later(LONGEST - 1)).is_live(later(LONGEST - 1)));
        assert!(!session(later(LONGEST - 1)).is_live(later(LONGEST)));
    }
}
