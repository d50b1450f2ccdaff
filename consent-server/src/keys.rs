//! API keys: who may ask what of which site.
//!
//! A key is `consent_<role>_<id>_<secret>`. The id names it in logs and lists; the secret has 256 bits, is shown once, and is stored
//! as its SHA-256: a slow hash protects passwords that people choose, not keys that nobody can guess.

use std::fmt;

use consent_core::id::SiteId;
use consent_core::time::UnixMillis;
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::random;

/// What a key may do on its sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ask and record consents.
    Backend,
    /// Read and export the records.
    Officer,
    /// Change sites, notices and keys; also all that an officer may.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Backend, Self::Officer, Self::Admin];

    /// The role as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Officer => "officer",
            Self::Admin => "admin",
        }
    }

    /// The role of this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether this role may do what `needed` may. Admin includes officer, nothing else is implied.
    pub fn includes(self, needed: Self) -> bool {
        self == needed || (self == Self::Admin && needed == Self::Officer)
    }
}

/// A key as it is stored.
#[derive(Clone)]
pub struct ApiKey {
    /// Its public name.
    pub id: String,
    /// What it may do.
    pub role: Role,
    /// Where.
    pub sites: Vec<SiteId>,
    /// What it is for, in the operator's words.
    pub label: String,
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it ends, if it does.
    pub expires_at: Option<UnixMillis>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<UnixMillis>,
    /// After a rotation: SHA-256 of the secret before, and until when that opens too.
    pub previous: Option<([u8; 32], UnixMillis)>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

/// A text that must not be printed by accident: `Debug` masks it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Masks a text.
    /// A text to keep from being printed.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// Whether it is this text. Takes the same time wherever they differ.
    pub fn is(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }

    /// The text itself: for the one place that shows it once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Makes a key. The secret is in no other place than the answer.
pub fn mint(
    role: Role,
    sites: Vec<SiteId>,
    label: &str,
    now: UnixMillis,
    expires_at: Option<UnixMillis>,
) -> (ApiKey, Secret) {
    let id = BASE32_NOPAD.encode(&random::bytes::<5>()).to_lowercase();
    let (hash, text) = secret(role, &id);
    let label = label.to_owned();
    (ApiKey { id, role, sites, label, hash, created_at: now, expires_at, revoked_at: None, previous: None }, text)
}

/// A new secret for a key: what is stored of it, and the key's text, which is in no other place than the answer.
pub fn secret(role: Role, id: &str) -> ([u8; 32], Secret) {
    let secret = BASE64URL_NOPAD.encode(&random::bytes::<32>());
    (hash(&secret), Secret(format!("consent_{}_{id}_{secret}", role.as_str())))
}

/// What is stored of a key's secret.
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The id and secret of a key's text, if it has its form.
pub fn parse(text: &str) -> Option<(&str, &str)> {
    let (role, rest) = text.strip_prefix("consent_")?.split_once('_')?;
    Role::parse(role)?;
    let (id, secret) = rest.split_once('_')?;
    (id.len() == 8 && secret.len() == 43).then_some((id, secret))
}

impl ApiKey {
    /// Whether this is its secret, or the one before while that still opens. Takes the same time whatever is wrong with it.
    pub fn matches(&self, secret: &str, now: UnixMillis) -> bool {
        self.has(&hash(secret), now)
    }

    /// As [`Self::matches`], by the hash of the secret.
    pub fn has(&self, hash: &[u8; 32], now: UnixMillis) -> bool {
        let before = self.previous.is_some_and(|(before, until)| now < until && bool::from(hash.ct_eq(&before)));
        bool::from(hash.ct_eq(&self.hash)) | before
    }

    /// Whether it opens anything at this time.
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_text_only() {
        let now = UnixMillis::new(1);
        let (key, secret) = mint(Role::Backend, vec![], "test", now, Some(UnixMillis::new(10)));
        let (id, text) = parse(secret.reveal()).unwrap();
        assert_eq!(id, key.id);
        assert!(key.matches(text, now) && !key.matches("x", now));
        assert!(!format!("{key:?}{secret:?}").contains(text));
        assert!(key.is_live(now) && !key.is_live(UnixMillis::new(10)));
        for bad in ["", "consent_", "consent_root_aaaaaaaa_b", "consent_backend_a_b", "backend_aaaaaaaa_b"] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn after_a_rotation_the_old_secret_opens_until_it_ends() {
        let now = UnixMillis::new(1);
        let (mut key, old) = mint(Role::Officer, vec![], "", now, None);
        let (hash, new) = secret(key.role, &key.id);
        key.previous = Some((key.hash, UnixMillis::new(10)));
        key.hash = hash;
        let (old, new) = (parse(old.reveal()).unwrap().1, parse(new.reveal()).unwrap().1);
        for (at, secret, want) in [(9, old, true), (10, old, false), (9, new, true), (10, new, true), (9, "x", false)] {
            assert_eq!(key.matches(secret, UnixMillis::new(at)), want, "at {at}");
        }
    }

    #[test]
    fn roles_imply_just_what_is_said() {
        use Role::{Admin, Backend, Officer};
        for role in Role::ALL {
            for needed in Role::ALL {
                let want = role == needed || (role, needed) == (Admin, Officer);
                assert_eq!(role.includes(needed), want);
            }
        }
        assert!(!Admin.includes(Backend) && !Officer.includes(Admin) && !Backend.includes(Officer));
    }
}
