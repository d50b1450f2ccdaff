//! The secrets that deliveries are signed with, and the signature.
//!
//! A receiver checks with the same secret that we sign with, so unlike an API key it cannot be kept as a hash. It is a file beside the
//! private keys of the logs, outside the database: neither an export nor a copy of the database holds it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::files::write_new_private;
use crate::random;

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";

/// What one webhook's deliveries are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret([u8; 32]);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(***)")
    }
}

impl WebhookSecret {
    /// A new one.
    pub fn mint() -> Self {
        Self(random::bytes())
    }

    /// Parses its text.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Its text: for the one place that shows it once, and for its file.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", BASE64.encode(&self.0))
    }

    /// The value of `webhook-signature` for a message: `v1,` and the HMAC-SHA256 over its id, the time in unix seconds and its body,
    /// joined by full stops.
    ///
    /// # Standards
    /// Standard Webhooks 1.0, "Signature scheme".
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
    }
}

/// The secrets in a folder, one file each, readable by the owner only.
#[derive(Debug, Clone)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// Those below this data folder.
    pub fn new(data: &Path) -> Self {
        Self { folder: data.join("keys") }
    }

    fn path(&self, webhook: &str) -> PathBuf {
        self.folder.join(format!("webhook-{webhook}.secret"))
    }

    /// The secret of a webhook.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, webhook: &str) -> std::io::Result<WebhookSecret> {
        let text = fs::read_to_string(self.path(webhook))?;
        WebhookSecret::parse(text.trim_end()).ok_or_else(|| std::io::Error::other("it holds no secret"))
    }

    /// Keeps a new secret.
    ///
    /// # Errors
    /// If it cannot be written, or there is one already.
    pub fn write(&self, webhook: &str, secret: &WebhookSecret) -> std::io::Result<()> {
        write_new_private(&self.path(webhook), format!("{}\n", secret.reveal()).as_bytes())
    }

    /// Removes the secret of a webhook that has ended.
    ///
    /// # Errors
    /// If it cannot be removed. That it is not there is none.
    pub fn remove(&self, webhook: &str) -> std::io::Result<()> {
        match fs::remove_file(self.path(webhook)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_was_written_and_is_not_printed() {
        let secret = WebhookSecret::mint();
        let text = secret.reveal();
        assert_eq!(WebhookSecret::parse(&text), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains(&text[6..]));
        for bad in ["", "whsec_", &text[6..], &text[..text.len() - 4]] {
            assert_eq!(WebhookSecret::parse(bad), None, "{bad}");
        }
    }

    /// Computed with Python's hmac and base64 modules.
    #[test]
    fn the_signature_is_that_of_the_standard() {
        let secret = WebhookSecret::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        assert_eq!(
            secret.sign("msg-1", 1_800_000_000, b"{\"a\":1}"),
            "v1,a5CVVhzXOV8TlUPbeHb8uS48fjWNT9jpx3DVg3Tvcpc="
        );
    }
}
