//! The private keys of the logs: one PKCS#8 PEM file each, outside the database, readable by the owner only.

use std::fs;
use std::path::{Path, PathBuf};

use consent_core::note::{SigningKey, VerifyingKey};
use data_encoding::HEXLOWER;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use sha2::{Digest, Sha256};

use crate::files::write_new_private;
use crate::random;
use crate::store::{Signers, StoreError};

/// Key files in a folder, named by a hash of the log's origin; those after a log's first key by the key's id, too.
#[derive(Debug)]
pub struct FileSigners {
    folder: PathBuf,
}

impl FileSigners {
    /// The keys in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where the private key to this public one is, or would be: the first key of a log has a file named by the log alone.
    pub fn path(&self, key: &VerifyingKey) -> PathBuf {
        let later = self.later(key);
        if later.exists() { later } else { self.first(key.name()) }
    }

    fn later(&self, key: &VerifyingKey) -> PathBuf {
        self.folder.join(format!("{}-{:08x}.pem", file_stem(key.name()), key.key_id()))
    }

    fn first(&self, log_origin: &str) -> PathBuf {
        self.folder.join(format!("{}.pem", file_stem(log_origin)))
    }

    fn read(path: &Path, log_origin: &str) -> Result<SigningKey, StoreError> {
        let refused =
            |why: String| StoreError::Refused(format!("the key of the log {log_origin} ({}): {why}", path.display()));
        let pem = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(&pem).map_err(|error| refused(error.to_string()))?;
        SigningKey::from_seed(log_origin, key.to_bytes()).map_err(|error| refused(error.to_string()))
    }

    fn make(log_origin: &str, path: impl FnOnce(&VerifyingKey) -> PathBuf) -> Result<SigningKey, StoreError> {
        let seed = random::bytes();
        let key = SigningKey::from_seed(log_origin, seed).map_err(|error| StoreError::Refused(error.to_string()))?;
        let path = path(&key.vkey());
        let pem = ed25519_dalek::SigningKey::from_bytes(&seed).to_pkcs8_pem(LineEnding::LF);
        pem.map_err(std::io::Error::other)
            .and_then(|pem| write_new_private(&path, pem.as_bytes()))
            .map_err(|error| StoreError::Refused(format!("cannot write {}: {error}", path.display())))?;
        Ok(key)
    }
}

/// What files of a log are called, without their ending: origins hold slashes.
pub(crate) fn file_stem(log_origin: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(log_origin.as_bytes())[..8])
}

impl Signers for FileSigners {
    fn signer(&self, key: &VerifyingKey) -> Result<SigningKey, StoreError> {
        let path = self.path(key);
        let read = Self::read(&path, key.name())?;
        if read.vkey() != *key {
            let why = format!("the private key in {} is that to {}, not to {key}", path.display(), read.vkey());
            return Err(StoreError::Refused(why));
        }
        Ok(read)
    }

    fn create(&self, log_origin: &str) -> Result<SigningKey, StoreError> {
        let path = self.first(log_origin);
        if path.exists() {
            // A site's creation that was undone after this file was written: the key signed nothing yet.
            return Self::read(&path, log_origin);
        }
        Self::make(log_origin, |_| path)
    }

    fn replace(&self, log_origin: &str) -> Result<SigningKey, StoreError> {
        // If the database does not take the rotation, the file stays, and its key has signed nothing.
        Self::make(log_origin, |key| self.later(key))
    }
}
