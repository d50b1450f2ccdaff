//! Having our logs cosigned: after each publishing the witnesses are asked, beside everything else.
//!
//! Decisions never wait for it: a witness that does not answer costs its own thread a few seconds, and the checkpoint its signature.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consent_core::checkpoint::Checkpoint;
use consent_core::note::{self, KeyType, VerifyingKey};
use consent_core::witness::AddCheckpoint;
use serde::Deserialize;
use ureq::Agent;
use ureq::http::header;

use super::name_of;
use crate::app::App;
use crate::config::Config;
use crate::store::{Site, Store, StoreError};

/// How long a witness may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a start waits for what witnesses have seen.
const AT_START: Duration = Duration::from_secs(3);

/// The most of an answer that is read, in bytes.
const MOST: u64 = 64 << 10;

/// A witness that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What it is called in logs and metrics.
    pub name: String,
    /// Where it is; `/add-checkpoint` is below.
    pub url: String,
    /// Its public key.
    pub vkey: String,
}

impl Asked {
    /// Its key.
    ///
    /// # Errors
    /// What is wrong with it, or with the address.
    pub fn key(&self) -> Result<VerifyingKey, String> {
        let key = VerifyingKey::parse(&self.vkey).map_err(|error| format!("the vkey of {}: {error}", self.name))?;
        if key.key_type() != KeyType::CosignatureV1 {
            return Err(format!("the vkey of {} is not one of a witness (cosignature/v1)", self.name));
        }
        if !(self.url.starts_with("https://") || self.url.starts_with("http://")) {
            return Err(format!("the url of {} must begin with https:// or http://", self.name));
        }
        Ok(key)
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.url.trim_end_matches('/'))
    }
}

/// How it went with a witness the last time, for one log.
type Last = Result<(), String>;

/// The witnesses of this service's logs.
#[derive(Debug)]
pub struct Witnesses {
    list: Vec<(Asked, VerifyingKey)>,
    quorum: usize,
    agent: Agent,
    /// The size that each has seen of each log, by name and site.
    seen: Mutex<HashMap<(String, i64), u64>>,
    /// Logs for which somebody is asking.
    busy: Mutex<HashSet<i64>>,
    last: Mutex<HashMap<(String, String), Last>>,
}

/// Why a witness has not cosigned.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("no answer: {0}")]
    Silent(String),
    #[error("it answered {status}: {text}")]
    Refused { status: u16, text: String },
    #[error(
        "it has seen {seen} records, and this log has published {size}: this is an old back-up, or somebody else signs with the log's key"
    )]
    Ahead { seen: u64, size: u64 },
    #[error(
        "it has seen another past of this log (422): somebody else signs with the log's key, or the log was rolled back"
    )]
    Forked,
    #[error("its signature does not hold")]
    Unsigned,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Witnesses {
    /// Those of a configuration that was checked.
    pub fn new(config: &Config) -> Self {
        let list = config.witnesses.iter().filter_map(|asked| Some((asked.clone(), asked.key().ok()?))).collect();
        Self {
            list,
            quorum: usize::try_from(config.witness_quorum).unwrap_or(usize::MAX),
            agent: agent(PATIENCE),
            seen: Mutex::default(),
            busy: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// For metrics: site, witness, and whether it cosigned the last time it was asked.
    pub fn last(&self) -> Vec<(String, String, bool)> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().map(|((site, witness), last)| (site.clone(), witness.clone(), last.is_ok())).collect()
    }

    /// What each witness has seen last of a log, if that is cosigned by it; or why that is not known.
    ///
    /// Blocks for three seconds at most.
    pub fn latest(&self, site: &Site) -> Vec<(String, Result<Option<String>, String>)> {
        let agent = agent(AT_START);
        let path = format!("{}/checkpoint", name_of(&site.log_origin));
        std::thread::scope(|scope| {
            let asking: Vec<_> = self
                .list
                .iter()
                .map(|(asked, key)| (asked.name.clone(), scope.spawn(|| fetch(&agent, &asked.at(&path), key))))
                .collect();
            let answered = |(name, thread): (String, std::thread::ScopedJoinHandle<'_, _>)| {
                (name, thread.join().unwrap_or_else(|_| Err("it could not be asked".to_owned())))
            };
            asking.into_iter().map(answered).collect()
        })
    }

    /// Asks those witnesses for a cosignature of a published checkpoint that have not given one yet, and keeps what they answer.
    /// Returns at once; asks nobody while an earlier checkpoint of this log is being asked about.
    pub fn collect(app: &Arc<App>, site: &Arc<Site>, published: String) {
        if app.witnesses.list.is_empty() || !app.witnesses.lock_busy().insert(site.number) {
            return;
        }
        let (app, site) = (Arc::clone(app), Arc::clone(site));
        tokio::spawn(async move {
            if let Err(error) = app.witnesses.ask_all(&app, &site, &published).await {
                tracing::error!(%error, site = %site.id, "what witnesses of {} signed was not kept", site.id);
            }
            app.witnesses.lock_busy().remove(&site.number);
        });
    }

    fn lock_busy(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask_all(&self, app: &Arc<App>, site: &Arc<Site>, published: &str) -> Result<(), StoreError> {
        let head = site
            .keys()?
            .open(published)
            .map_err(|error| StoreError::Corrupt { table: "published", what: error.to_string() })?;
        let kept = app.store.cosigned(site)?.filter(|(_, note)| note.starts_with(published));
        let mut note = kept.map_or_else(|| published.to_owned(), |(_, note)| note);
        let has = |note: &str, key: &VerifyingKey| note::verify(note, std::slice::from_ref(key)).is_ok();
        let mut asking = tokio::task::JoinSet::new();
        for (asked, key) in self.list.iter().filter(|(_, key)| !has(&note, key)) {
            let (asked, key) = (asked.clone(), key.clone());
            let (app, site, published, head) = (Arc::clone(app), Arc::clone(site), published.to_owned(), head.clone());
            asking.spawn_blocking(move || {
                let line = app.witnesses.ask(&app, &site, &asked, &key, &published, &head);
                app.witnesses.tell(&site, &asked, line.as_ref().map(|_| ()));
                line.ok()
            });
        }
        let mut more = false;
        while let Some(answer) = asking.join_next().await {
            if let Ok(Some(line)) = answer {
                note.push_str(&line);
                more = true;
            }
        }
        let count = self.list.iter().filter(|(_, key)| has(&note, key)).count();
        if more && count >= self.quorum {
            app.store.keep_cosigned(site, head.size, note).await?;
        }
        Ok(())
    }

    /// Says it once when it changes, not every ten seconds.
    fn tell(&self, site: &Site, asked: &Asked, answer: Result<(), &AskError>) {
        let now = answer.map_err(ToString::to_string);
        let key = (site.id.to_string(), asked.name.clone());
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now.clone());
        match (&now, answer) {
            _ if before.as_ref() == Some(&now) => {}
            (Ok(()), _) => tracing::info!(site = %site.id, "{} cosigns the log of {}", asked.name, site.id),
            (Err(why), Err(AskError::Ahead { .. } | AskError::Forked)) => {
                tracing::error!(site = %site.id, "{} does not cosign the log of {}: {why}", asked.name, site.id);
            }
            (Err(why), _) => {
                tracing::warn!(site = %site.id, "{} has not cosigned the log of {}: {why}", asked.name, site.id);
            }
        }
    }

    /// Asks one witness; a line with its cosignature.
    fn ask(
        &self,
        app: &App,
        site: &Site,
        asked: &Asked,
        key: &VerifyingKey,
        published: &str,
        head: &Checkpoint,
    ) -> Result<String, AskError> {
        let at = (asked.name.clone(), site.number);
        let mut old = self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&at).copied().unwrap_or(0);
        // What it has seen is learnt from its first refusal; a second one would be somebody else's doing.
        for _ in 0..3 {
            if old > head.size {
                return Err(AskError::Ahead { seen: old, size: head.size });
            }
            let proof = app.store.consistency(site, old, head.size)?.unwrap_or_default();
            let body = AddCheckpoint { old, proof, checkpoint: published.to_owned() }.to_string();
            let (status, text) = self.post(&asked.at("add-checkpoint"), &body)?;
            match status {
                200 => {
                    let signed = head.text();
                    let holds =
                        |line: &&str| note::verify(&format!("{signed}\n{line}\n"), std::slice::from_ref(key)).is_ok();
                    let line = text.lines().find(holds).ok_or(AskError::Unsigned)?;
                    self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(at, head.size);
                    return Ok(format!("{line}\n"));
                }
                409 => {
                    let recorded = text.trim().parse().ok().filter(|recorded| *recorded != old);
                    old = recorded.ok_or(AskError::Refused { status, text: short(&text) })?;
                    self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(at.clone(), old);
                }
                // From a size that the witness named itself: the proof is right for our log, so its log is another one.
                422 => return Err(AskError::Forked),
                _ => return Err(AskError::Refused { status, text: short(&text) }),
            }
        }
        Err(AskError::Refused { status: 409, text: "again and again, with another size each time".to_owned() })
    }

    fn post(&self, url: &str, body: &str) -> Result<(u16, String), AskError> {
        let silent = |error: ureq::Error| AskError::Silent(error.to_string());
        let mut answer = self
            .agent
            .post(url)
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
            .send(body)
            .map_err(silent)?;
        let text = answer.body_mut().with_config().limit(MOST).read_to_string().map_err(silent)?;
        Ok((answer.status().as_u16(), text))
    }
}

/// The start of what somebody else says, for a log line.
fn short(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(120).collect()
}

fn agent(patience: Duration) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(patience))
        .user_agent("consent-witness/1")
        .build()
        .new_agent()
}

/// The last checkpoint that a witness has cosigned, if it has one of this log.
fn fetch(agent: &Agent, url: &str, key: &VerifyingKey) -> Result<Option<String>, String> {
    let mut answer = agent.get(url).call().map_err(|error| error.to_string())?;
    match answer.status().as_u16() {
        200 => {}
        404 => return Ok(None),
        status => return Err(format!("it answered {status}")),
    }
    let note = answer.body_mut().with_config().limit(MOST).read_to_string().map_err(|error| error.to_string())?;
    note::verify(&note, std::slice::from_ref(key)).map_err(|error| error.to_string())?;
    Ok(Some(note))
}
