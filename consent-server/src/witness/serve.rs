//! Being a witness for others' logs: `consent witness serve`.
//!
//! What was cosigned last of each log is one file. It is read, judged against and replaced under one lock, and is on disk before the
//! cosignature is handed out: a witness that forgets would sign two pasts.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as Segment, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use consent_core::checkpoint::Checkpoint;
use consent_core::note::{self, CosigningKey, VerifyingKey};
use consent_core::witness::{AddCheckpoint, MAX_REQUEST, Refusal};

use tower_http::timeout::RequestBodyTimeoutLayer;

use super::name_of;
use super::policy::Logs;
use crate::clock::Clock;
use crate::files::write_whole;

/// A witness with its state.
pub struct Witness {
    folder: PathBuf,
    key: CosigningKey,
    vkey: VerifyingKey,
    logs: Logs,
    clock: Arc<dyn Clock>,
    /// Held while a checkpoint is judged and kept.
    state: Mutex<()>,
}

/// Why a witness does not answer with a cosignature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// By the rules.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its own state cannot be read or written. Nothing is signed then.
    #[error("{path}: {why}")]
    State {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Witness {
    /// A witness that keeps what it saw in this folder, and knows these logs.
    pub fn new(folder: &Path, key: CosigningKey, logs: Logs, clock: Arc<dyn Clock>) -> Self {
        let vkey = key.vkey();
        Self { folder: folder.join("seen"), key, vkey, logs, clock, state: Mutex::new(()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.checkpoint"))
    }

    /// What was cosigned last of a log, as it was handed out.
    fn last(&self, name: &str) -> Result<Option<String>, WitnessError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Self::broken(&path, &error)),
        }
    }

    fn broken(path: &Path, why: &dyn std::fmt::Display) -> WitnessError {
        WitnessError::State { path: path.display().to_string(), why: why.to_string() }
    }

    /// Judges a request; the answer is a line with the cosignature, which is on disk.
    ///
    /// # Errors
    /// [`WitnessError`]; then nothing was signed.
    pub fn add_checkpoint(&self, body: &str) -> Result<String, WitnessError> {
        let request = AddCheckpoint::parse(body)?;
        let keys = self.logs.get(request.origin()).map_or(&[][..], Vec::as_slice);
        let name = name_of(request.origin());
        let path = self.path(&name);
        let _one_after_the_other = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = match self.last(&name)?.filter(|_| !keys.is_empty()) {
            None => None,
            Some(kept) => {
                // What we keep we have signed ourselves: a file that says something else is not what was seen.
                let own = note::verify(&kept, std::slice::from_ref(&self.vkey)).map_err(|e| Self::broken(&path, &e))?;
                Some(Checkpoint::parse(&own.text).map_err(|e| Self::broken(&path, &e))?)
            }
        };
        let (checkpoint, text) = request.judge(keys, recorded.as_ref())?;
        let seconds = u64::try_from(self.clock.now().millis() / 1000).unwrap_or(0);
        let line = self.key.cosign(&text, seconds);
        write_whole(&path, format!("{}{line}", request.checkpoint).as_bytes()).map_err(|e| Self::broken(&path, &e))?;
        tracing::info!(log.size = checkpoint.size, "cosigned {} of {} records", checkpoint.origin, checkpoint.size);
        Ok(line)
    }
}

/// What a witness serves.
pub fn router(witness: Arc<Witness>) -> Router {
    Router::new()
        .route("/", get(about))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{log}/checkpoint", get(checkpoint))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .layer(RequestBodyTimeoutLayer::new(Duration::from_secs(10)))
        .with_state(witness)
}

async fn about(State(witness): State<Arc<Witness>>) -> String {
    let mut logs: Vec<_> =
        witness.logs.keys().map(|origin| format!("  /{}/checkpoint  {origin}\n", name_of(origin))).collect();
    logs.sort();
    format!(
        "A witness of transparency logs (C2SP tlog-witness). Its key:\n\n{}\n\nIts logs:\n\n{}",
        witness.vkey,
        logs.concat()
    )
}

async fn add_checkpoint(State(witness): State<Arc<Witness>>, body: Bytes) -> Response {
    let judged = tokio::task::spawn_blocking(move || {
        let body = std::str::from_utf8(&body).map_err(|_| Refusal::Malformed)?;
        witness.add_checkpoint(body)
    });
    match judged.await {
        Ok(Ok(line)) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], line).into_response(),
        Ok(Err(WitnessError::Refused(Refusal::Conflict { recorded }))) => {
            (StatusCode::CONFLICT, [(header::CONTENT_TYPE, "text/x.tlog.size")], format!("{recorded}\n"))
                .into_response()
        }
        Ok(Err(WitnessError::Refused(refusal))) => {
            if refusal == Refusal::Inconsistent {
                // Signed by the log, and not an extension of what it signed before: what a witness is there for.
                tracing::error!("a log has shown a checkpoint that does not extend what was seen of it");
            }
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            (status, format!("{refusal}\n")).into_response()
        }
        Ok(Err(error @ WitnessError::State { .. })) => {
            tracing::error!(%error, "the state of the witness cannot be used");
            (StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot sign now\n").into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a checkpoint could not be judged");
            (StatusCode::INTERNAL_SERVER_ERROR, "the witness cannot sign now\n").into_response()
        }
    }
}

async fn checkpoint(State(witness): State<Arc<Witness>>, Segment(log): Segment<String>) -> Response {
    // Only the names of logs that are known are read as files.
    let known = witness.logs.keys().any(|origin| name_of(origin) == log);
    match known.then(|| witness.last(&log)) {
        Some(Ok(Some(note))) => {
            let headers =
                [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=5")];
            (headers, note).into_response()
        }
        Some(Err(error)) => {
            tracing::error!(%error, "the state of the witness cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Some(Ok(None)) | None => (StatusCode::NOT_FOUND, "nothing was seen of such a log\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use consent_core::merkle::{Hash, leaf_hash, node_hash};
    use consent_core::note::SigningKey;
    use consent_core::time::UnixMillis;

    use super::*;

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> UnixMillis {
            UnixMillis::new(1_767_225_600_999)
        }
    }

    fn log() -> SigningKey {
        SigningKey::from_seed("log.example", [1; 32]).unwrap()
    }

    fn witness(folder: &Path) -> Witness {
        let logs = Logs::from([("log.example".to_owned(), vec![log().vkey()])]);
        Witness::new(folder, CosigningKey::from_seed("witness.example", [2; 32]).unwrap(), logs, Arc::new(Fixed))
    }

    fn ask(old: u64, size: u64, root: Hash, proof: &[Hash]) -> String {
        let checkpoint = Checkpoint { origin: "log.example".to_owned(), size, root }.sign(&log());
        AddCheckpoint { old, proof: proof.to_vec(), checkpoint }.to_string()
    }

    #[test]
    fn what_was_cosigned_is_known_after_a_restart_and_never_contradicted() {
        let folder = tempfile::tempdir().unwrap();
        let leaves = [leaf_hash(b"a"), leaf_hash(b"b")];
        let line = witness(folder.path()).add_checkpoint(&ask(0, 1, leaves[0], &[])).unwrap();
        let cosigned = Checkpoint { origin: "log.example".to_owned(), size: 1, root: leaves[0] }.sign(&log()) + &line;
        let keys = [log().vkey(), witness(folder.path()).vkey];
        assert_eq!(note::verify(&cosigned, &keys).unwrap().signed_by, ["log.example", "witness.example"]);

        // Another process on the same folder.
        let again = witness(folder.path());
        let both = node_hash(&leaves[0], &leaves[1]);
        let refused = |body: &str| match again.add_checkpoint(body) {
            Err(WitnessError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&ask(0, 1, Hash([9; 32]), &[])), Refusal::Conflict { recorded: 1 });
        assert_eq!(refused(&ask(1, 1, Hash([9; 32]), &[])), Refusal::Inconsistent);
        assert_eq!(refused(&ask(1, 2, both, &leaves[..1])), Refusal::Inconsistent);
        again.add_checkpoint(&ask(1, 2, both, &leaves[1..])).unwrap();
        assert_eq!(refused(&ask(1, 1, leaves[0], &[])), Refusal::Conflict { recorded: 2 });
        assert_eq!(refused("old 1\n"), Refusal::Malformed);
    }

    #[test]
    fn a_state_that_was_changed_or_cannot_be_written_signs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let one = witness(folder.path());
        one.add_checkpoint(&ask(0, 1, Hash([9; 32]), &[])).unwrap();
        let path = one.path(&name_of("log.example"));
        let kept = fs::read_to_string(&path).unwrap();
        fs::write(&path, kept.replace("log.example\n1\n", "log.example\n0\n")).unwrap();
        assert!(matches!(one.add_checkpoint(&ask(0, 1, Hash([9; 32]), &[])), Err(WitnessError::State { .. })));
        fs::write(&path, kept).unwrap();
        assert!(one.add_checkpoint(&ask(1, 1, Hash([9; 32]), &[])).is_ok());
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("seen"), "a file where the folder would be").unwrap();
        let result = witness(other.path()).add_checkpoint(&ask(0, 1, Hash([9; 32]), &[]));
        assert!(matches!(result, Err(WitnessError::State { .. })), "{result:?}");
    }
}
