//! Somebody's published log, read over HTTP: what an auditor has.

use std::collections::HashMap;
use std::time::Duration;

use consent_core::checkpoint::{Checkpoint, CheckpointError};
use consent_core::merkle::{Hash, Nodes, ProofError, consistency_proof, verify_consistency};
use consent_core::note::{MAX_NOTE, VerifyingKey};
use consent_core::rotation::Keys;
use consent_core::tile::{self, Place, TILE_WIDTH, Tile};
use serde::Deserialize;
use ureq::Agent;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a log could not be read, or what it shows is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No answer, or one of another status.
    #[error("{url}: {why}")]
    Silent {
        /// What was asked for.
        url: String,
        /// What came of it.
        why: String,
    },
    /// Something other than what a log serves.
    #[error("{url}: not what a log serves")]
    Malformed {
        /// What was asked for.
        url: String,
    },
    /// The checkpoint is not to be believed.
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
}

/// A log at an address: `https://HOST/v1/sites/SITE/log` for one of ours, any C2SP prefix for another.
#[derive(Debug)]
pub struct LogClient {
    agent: Agent,
    prefix: String,
}

/// The part of `keys` that is used: which notes to try. Nothing of it is believed.
#[derive(Deserialize)]
struct ServedKeys {
    keys: Vec<ServedKey>,
}

#[derive(Deserialize)]
struct ServedKey {
    hand_over: Option<String>,
}

impl LogClient {
    /// The log below this address.
    pub fn new(prefix: &str) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(3)
            .timeout_global(Some(PATIENCE))
            .user_agent("consent-monitor/1")
            .build()
            .new_agent();
        Self { agent, prefix: prefix.trim_end_matches('/').to_owned() }
    }

    fn get(&self, path: &str, most: u64) -> Result<Vec<u8>, ClientError> {
        let url = format!("{}/{path}", self.prefix);
        let silent = |why: String| ClientError::Silent { url: url.clone(), why };
        // What a cache between has kept may be older than what was seen.
        let asked = self.agent.get(&url).header("cache-control", "no-cache").call();
        let mut answer = asked.map_err(|error| silent(error.to_string()))?;
        if answer.status() != 200 {
            return Err(silent(format!("the answer is {}", answer.status())));
        }
        answer.body_mut().with_config().limit(most).read_to_vec().map_err(|error| silent(error.to_string()))
    }

    /// The published checkpoint, as it is served.
    ///
    /// # Errors
    /// [`ClientError`] if there is none that can be read.
    pub fn checkpoint(&self) -> Result<String, ClientError> {
        let malformed = || ClientError::Malformed { url: format!("{}/checkpoint", self.prefix) };
        String::from_utf8(self.get("checkpoint", MAX_NOTE as u64)?).map_err(|_| malformed())
    }

    /// A trusted key with all that it has handed over to. A log that does not say so has this one key.
    pub fn keys(&self, trusted: &VerifyingKey) -> Keys {
        let served = self.get("keys", MAX_NOTE as u64).ok();
        let served: Option<ServedKeys> = served.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let notes: Vec<String> =
            served.into_iter().flat_map(|served| served.keys).filter_map(|key| key.hand_over).collect();
        Keys::follow(trusted.clone(), notes.iter().map(String::as_str))
    }

    /// Whether the log has kept what an older checkpoint signs, by its tiles: `Ok(Err)` says that it has not.
    ///
    /// The proof is computed here and checked against both roots, so no tile has to be believed.
    ///
    /// # Errors
    /// [`ClientError`] if the tiles cannot be read.
    pub fn extends(&self, old: &Checkpoint, new: &Checkpoint) -> Result<Result<(), ProofError>, ClientError> {
        let mut tiles = HttpTiles { log: self, size: new.size, read: HashMap::new() };
        let proof = consistency_proof(&mut tiles, old.size, new.size)?;
        Ok(verify_consistency(old.size, new.size, &old.root, &new.root, &proof))
    }
}

/// The nodes of a published tree, read from its tiles as they are needed.
struct HttpTiles<'a> {
    log: &'a LogClient,
    size: u64,
    read: HashMap<Tile, Vec<Hash>>,
}

impl Nodes for HttpTiles<'_> {
    type Error = ClientError;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, ClientError> {
        let malformed = |path: String| ClientError::Malformed { url: format!("{}/{path}", self.log.prefix) };
        let place = Place::of(level, index, self.size).ok_or_else(|| malformed(format!("node {level}/{index}")))?;
        let path = place.tile.path();
        if !self.read.contains_key(&place.tile) {
            let bytes = self.log.get(&path, u64::from(TILE_WIDTH) * 32)?;
            let hashes = tile::from_bytes(&bytes).filter(|hashes| hashes.len() == usize::from(place.tile.width));
            self.read.insert(place.tile, hashes.ok_or_else(|| malformed(path.clone()))?);
        }
        tile::node_in(&self.read[&place.tile], place.sub_level, place.index_in_tile).ok_or_else(|| malformed(path))
    }
}
