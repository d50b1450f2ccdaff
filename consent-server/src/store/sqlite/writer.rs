//! The one thread that writes: jobs in, transactions out, answers only after the commit.

mod account;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use consent_core::checkpoint::Checkpoint;
use consent_core::consent::{Consent, Effect};
use consent_core::id::{ChoiceId, RecordId, SubjectId};
use consent_core::merkle::leaf_hash;
use consent_core::note::{SigningKey, VerifyingKey};
use consent_core::record::{Action, Kind, Leaf, NoticeRef, Opening, SubjectKey, VERSION, clock_of};
use consent_core::rotation::HandOver;
use consent_core::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::account::AccountHash;
use super::{Shared, end_on_io_error, events, keys, read, users, webhooks};
use crate::clock::Clock;
use crate::random;
use crate::store::tree::{Finished, Tree, key};
use crate::store::{
    AccountId, Actor, Behalf, Change, DecideError, LinkError, NewDecision, Published, Recorded, Registry, Signers,
    Site, StoreError, packed, sites_of,
};

/// The most jobs in one transaction: bounds how long the first of them waits.
const BATCH: usize = 512;

/// What can be asked of the writer.
pub(super) enum Job {
    Decide {
        site: Arc<Site>,
        decision: Box<NewDecision>,
        reply: oneshot::Sender<Result<Recorded, DecideError>>,
    },
    Change {
        change: Box<Change>,
        actor: Actor,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    Link {
        site: Arc<Site>,
        subject: SubjectId,
        account: AccountId,
        actor: String,
        reply: oneshot::Sender<Result<(), LinkError>>,
    },
    Deliveries {
        kept: Box<webhooks::Kept>,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    Publish {
        site: Arc<Site>,
        reply: oneshot::Sender<Result<String, StoreError>>,
    },
    Cosigned {
        site: i64,
        size: u64,
        note: String,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
}

/// An answer that waits for the commit.
enum Answer {
    Decided(i64, oneshot::Sender<Result<Recorded, DecideError>>, Box<Result<Recorded, DecideError>>),
    Changed(oneshot::Sender<Result<(), StoreError>>, Result<(), StoreError>),
    Linked(oneshot::Sender<Result<(), LinkError>>, Result<(), LinkError>),
    Published(oneshot::Sender<Result<String, StoreError>>, i64),
}

/// One log as the writer holds it.
struct Log {
    tree: Tree,
    recorded_at: UnixMillis,
    signer: SigningKey,
    checkpoint: String,
    grown: bool,
    publish: bool,
}

pub(super) struct Writer {
    db: Connection,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    signers: Arc<dyn Signers>,
    logs: HashMap<i64, Log>,
    /// Sites, keys and users as the transaction has left them so far: what is shared follows with the commit.
    registry: Arc<Registry>,
    data_version: i64,
}

impl Writer {
    pub(super) fn new(
        db: Connection,
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        signers: Arc<dyn Signers>,
    ) -> Result<Self, StoreError> {
        let data_version = data_version(&db)?;
        let registry = shared.registry();
        let mut writer = Self { db, shared, clock, signers, logs: HashMap::new(), registry, data_version };
        // A log whose rows do not give the root that was signed is found now, not at the first decision.
        for site in &writer.shared.registry().sites {
            writer.log(site.number, &site.log_origin)?;
        }
        Ok(writer)
    }

    /// The connection that writes: for what is looked at before it does.
    pub(super) fn db(&self) -> &Connection {
        &self.db
    }

    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH);
        while queue.blocking_recv_many(&mut jobs, BATCH) > 0 {
            self.commit(&mut jobs);
            // Everyone has their answer; what comes meanwhile waits for about as long as for a commit.
            if self.shared.rewind.swap(false, Ordering::Relaxed)
                && let Err(error) = super::checkpoint(&self.db)
            {
                if let StoreError::Unavailable(error) = &error {
                    end_on_io_error(error);
                }
                tracing::warn!(%error, "the write-ahead log was not copied");
            }
        }
    }

    /// One transaction for all jobs that have queued.
    fn commit(&mut self, jobs: &mut Vec<Job>) {
        let (begin, count) = (Instant::now(), jobs.len());
        let mut answers = Vec::with_capacity(count);
        let mut changed = false;
        let done = self.begin().and_then(|()| {
            // A change tells it by itself.
            let told = jobs.iter().any(|job| matches!(job, Job::Change { change, .. } if change.changes_registry()));
            if !told && self.shared.beside.load(Ordering::Relaxed) {
                self.bump()?;
            }
            for job in jobs.drain(..) {
                changed |= matches!(&job, Job::Change { change, .. } if change.changes_registry());
                self.take(job, &mut answers)?;
            }
            self.seal()
        });
        let done = done.and_then(|()| {
            let commit = || self.db.execute_batch("COMMIT").map_err(StoreError::from);
            if !changed {
                return commit();
            }
            self.shared.replace(|| commit().map(|()| Arc::clone(&self.registry))).map(|_| ())
        });
        if let Err(error) = done {
            return self.undo(&error, answers, jobs);
        }
        self.shared.counted.done(count, begin.elapsed());
        self.shared.failing.store(false, Ordering::Relaxed);
        for answer in &answers {
            if let Answer::Decided(site, _, result) = answer
                && let Ok(recorded) = &**result
            {
                self.shared.recent.written(*site, &recorded.subject, Arc::new(recorded.consent.clone()));
            }
        }
        self.shared.commits.send_replace(());
        for answer in answers {
            // Whoever asked may have gone; what they asked for is on disk all the same.
            match answer {
                Answer::Decided(_, reply, result) => drop(reply.send(*result)),
                Answer::Changed(reply, result) => drop(reply.send(result)),
                Answer::Linked(reply, result) => drop(reply.send(result)),
                Answer::Published(reply, site) => drop(reply.send(Ok(self.logs[&site].checkpoint.clone()))),
            }
        }
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        // Only the store decides order: if another process (a command) wrote meanwhile, our heads are old.
        let data_version = data_version(&self.db)?;
        if data_version != self.data_version {
            self.data_version = data_version;
            self.logs.clear();
            self.shared.recent.clear();
            self.registry = self.shared.reload(&self.db)?;
        }
        Ok(())
    }

    /// Nothing of the transaction happened; say so to everyone in it.
    fn undo(&mut self, error: &StoreError, answers: Vec<Answer>, jobs: &mut Vec<Job>) {
        if let StoreError::Unavailable(error) = error {
            end_on_io_error(error);
        }
        tracing::error!(%error, "a transaction was undone");
        self.shared.counted.failed();
        self.shared.failing.store(true, Ordering::Relaxed);
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            end_on_io_error(&error);
            tracing::error!(%error, "a transaction could not be undone");
        }
        self.logs.clear();
        // What other processes had changed before is there still; what this transaction did is not.
        match read::registry(&self.db) {
            Ok(registry) => self.registry = Arc::new(registry),
            Err(error) => {
                tracing::error!(%error, "the registry cannot be read");
                self.data_version = -1;
            }
        }
        let sorry = || not_written(error);
        for answer in answers {
            match answer {
                Answer::Decided(_, reply, _) => drop(reply.send(Err(sorry().into()))),
                Answer::Changed(reply, _) => drop(reply.send(Err(sorry()))),
                Answer::Linked(reply, _) => drop(reply.send(Err(sorry().into()))),
                Answer::Published(reply, _) => drop(reply.send(Err(sorry()))),
            }
        }
        // Jobs that were not reached: dropping their senders reads as "closed" on the other side.
        jobs.clear();
    }

    /// Does one job inside the transaction. An error here undoes all of it; one job's own failure is its answer.
    fn take(&mut self, job: Job, answers: &mut Vec<Answer>) -> Result<(), StoreError> {
        match job {
            Job::Decide { site, decision, reply } => {
                let result = match self.decide(&site, &decision) {
                    Err(DecideError::Store(error)) => {
                        drop(reply.send(Err(not_written(&error).into())));
                        return Err(error);
                    }
                    result => result,
                };
                answers.push(Answer::Decided(site.number, reply, Box::new(result)));
            }
            Job::Change { change, actor, reply } => {
                self.db.execute_batch("SAVEPOINT change")?;
                let before = Arc::clone(&self.registry);
                let result = match self.change(&change, &actor) {
                    Err(
                        refusal @ (StoreError::Refused(_)
                        | StoreError::Conflict(_)
                        | StoreError::Ended
                        | StoreError::Forbidden(_)),
                    ) => {
                        // What it had written before it was refused goes, and nothing else of the transaction.
                        self.db.execute_batch("ROLLBACK TO change")?;
                        self.registry = before;
                        Err(refusal)
                    }
                    Err(error) => {
                        drop(reply.send(Err(not_written(&error))));
                        return Err(error);
                    }
                    Ok(()) => Ok(()),
                };
                self.db.execute_batch("RELEASE change")?;
                answers.push(Answer::Changed(reply, result));
            }
            Job::Link { site, subject, account, actor, reply } => {
                let result = match self.link(&site, &subject, &account, &actor) {
                    Err(LinkError::Store(error)) => {
                        drop(reply.send(Err(not_written(&error).into())));
                        return Err(error);
                    }
                    result => result,
                };
                answers.push(Answer::Linked(reply, result));
            }
            Job::Deliveries { kept, reply } => {
                webhooks::keep(&self.db, &kept, self.clock.now())?;
                answers.push(Answer::Changed(reply, Ok(())));
            }
            Job::Cosigned { site, size, note, reply } => {
                // Never an older one over a newer one, nor one of another past than what is published.
                self.db
                    .prepare_cached(
                        "UPDATE published SET cosigned = ?3, cosigned_size = ?2
                         WHERE site = ?1 AND size >= ?2 AND coalesce(cosigned_size, 0) <= ?2",
                    )?
                    .execute(params![site, i64::try_from(size).expect("below 2^40"), note])?;
                answers.push(Answer::Changed(reply, Ok(())));
            }
            Job::Publish { site, reply } => {
                self.log(site.number, &site.log_origin)?.publish = true;
                answers.push(Answer::Published(reply, site.number));
            }
        }
        Ok(())
    }

    /// The log of a site, read from the database if it is not in memory.
    fn log(&mut self, site: i64, log_origin: &str) -> Result<&mut Log, StoreError> {
        if !self.logs.contains_key(&site) {
            let log = self.load(site, log_origin)?;
            self.logs.insert(site, log);
        }
        Ok(self.logs.get_mut(&site).expect("inserted above"))
    }

    fn load(&self, site: i64, log_origin: &str) -> Result<Log, StoreError> {
        let keys = read::keys_of(&self.db, site)?;
        let signer = self.signers.signer(keys.current())?;
        let head: Option<(i64, i64, String)> = self
            .db
            .query_row("SELECT size, recorded_at, checkpoint FROM head WHERE site = ?1", [site], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((size, recorded_at, checkpoint)) = head else {
            let (tree, recorded_at) = (Tree::default(), UnixMillis::MIN);
            return Ok(Log { tree, recorded_at, signer, checkpoint: String::new(), grown: false, publish: false });
        };
        let corrupt = |what: String| StoreError::Corrupt { table: "head", what };
        let signed = keys.open(&checkpoint).map_err(|e| corrupt(format!("the signed head of {log_origin}: {e}")))?;
        let size = u64::try_from(size).map_err(|_| corrupt("a negative size".to_owned()))?;
        let tree = Tree::load(&self.db, site, size)?;
        let beyond: bool = self.db.query_row(
            "SELECT EXISTS (SELECT 1 FROM record WHERE key >= ?1 AND key < ?2)",
            params![key(site, size), key(site + 1, 0)],
            |row| row.get(0),
        )?;
        if signed.size != size || signed.root != tree.root() || beyond {
            return Err(corrupt(format!("the records of {log_origin} do not give the tree that was signed")));
        }
        let recorded_at = UnixMillis::new(recorded_at);
        Ok(Log { tree, recorded_at, signer, checkpoint, grown: false, publish: false })
    }

    /// Appends a leaf: `make` gets its recorded time, which never runs backwards.
    fn append(
        &mut self,
        site: i64,
        log_origin: &str,
        make: impl FnOnce(UnixMillis) -> Leaf,
    ) -> Result<(u64, Leaf), StoreError> {
        let now = self.clock.now();
        let log = self.log(site, log_origin)?;
        let recorded_at = now.max(log.recorded_at);
        let leaf = make(recorded_at);
        debug_assert_eq!(leaf.check(), Ok(()), "every leaf follows the grammar");
        let bytes = leaf.to_bytes();
        let index = log.tree.size();
        let mut finished = Vec::new();
        log.tree.push(leaf_hash(&bytes), &mut finished);
        log.recorded_at = recorded_at;
        log.grown = true;
        self.db
            .prepare_cached("INSERT INTO record (key, leaf) VALUES (?1, ?2)")?
            .execute(params![key(site, index), bytes])?;
        for tile in finished {
            self.keep_tile(site, &tile)?;
        }
        Ok((index, leaf))
    }

    fn keep_tile(&self, site: i64, tile: &Finished) -> Result<(), StoreError> {
        let n = i64::try_from(tile.n).expect("below 2^40");
        self.db
            .prepare_cached("INSERT INTO tile (site, level, n, root, hashes) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![site, tile.level, n, tile.root.0, tile.hashes])?;
        Ok(())
    }

    /// Signs the heads of the logs that have grown, and publishes those that were asked for.
    fn seal(&mut self) -> Result<(), StoreError> {
        let now = self.clock.now().millis();
        for (site, log) in &mut self.logs {
            let size = i64::try_from(log.tree.size()).expect("below 2^40");
            if std::mem::take(&mut log.grown) {
                let origin = log.signer.name().to_owned();
                let head = Checkpoint { origin, size: log.tree.size(), root: log.tree.root() }.sign(&log.signer);
                // The only commit point, compared and swapped: everything written with it was made for the head that was read, and
                // counts only if that is still there.
                let before = std::mem::replace(&mut log.checkpoint, head);
                let swapped = self
                    .db
                    .prepare_cached(
                        "INSERT INTO head VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (site) DO UPDATE SET size = ?2, recorded_at = ?3, checkpoint = ?4
                         WHERE checkpoint = ?5",
                    )?
                    .execute(params![site, size, log.recorded_at.millis(), log.checkpoint, before])?;
                if swapped != 1 {
                    let origin = log.signer.name();
                    return Err(StoreError::NotWritten(format!("the head of {origin} is not the one that was read")));
                }
            }
            if std::mem::take(&mut log.publish) {
                self.db
                    .prepare_cached(
                        "INSERT INTO published (site, size, checkpoint, published_at) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (site) DO UPDATE SET size = ?2, checkpoint = ?3, published_at = ?4
                         WHERE size < ?2",
                    )?
                    .execute(params![site, size, log.checkpoint, now])?;
            }
        }
        Ok(())
    }

    fn decide(&mut self, site: &Site, new: &NewDecision) -> Result<Recorded, DecideError> {
        let id = new.decision.id;
        let earlier: Option<Earlier> = self
            .db
            .prepare_cached("SELECT \"index\", subject, content FROM record_id WHERE site = ?1 AND id = ?2")
            .and_then(|mut statement| {
                statement
                    .query_row(params![site.number, &id.as_bytes()[..]], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                    })
                    .optional()
            })
            .map_err(StoreError::from)?;
        match earlier {
            Some((index, Some(subject), Some(content))) => self.repeat(site, new, index, subject, &content),
            // Used by something that was no decision, or by one whose subject was erased: it cannot be compared any more.
            Some(_) => Err(DecideError::Conflict),
            None => self.record(site, new),
        }
    }

    /// The same id again: the same record with what holds now, or a conflict.
    fn repeat(
        &self,
        site: &Site,
        new: &NewDecision,
        index: i64,
        subject: [u8; 16],
        content: &[u8],
    ) -> Result<Recorded, DecideError> {
        let corrupt = |what: &str| StoreError::Corrupt { table: "record_id", what: what.to_owned() };
        let subject = SubjectId::from_bytes(subject).ok_or_else(|| corrupt("not a subject"))?;
        let row = self.subject(site, &subject)?.ok_or_else(|| corrupt("a subject that is not there"))?;
        if digest(&row.key, new)[..] != *content {
            return Err(DecideError::Conflict);
        }
        let index = u64::try_from(index).map_err(|_| corrupt("a negative index"))?;
        let leaf = read::entry(&self.db, site.number, index)?.leaf;
        let leaf = Leaf::parse(&leaf).map_err(|error| corrupt(&error.to_string()))?;
        Ok(Recorded {
            repeated: true,
            index,
            recorded_at: leaf.recorded_at,
            effect: leaf.effect.unwrap_or(Effect::Stale),
            subject,
            consent: row.consent,
        })
    }

    fn record(&mut self, site: &Site, new: &NewDecision) -> Result<Recorded, DecideError> {
        // The caller's view of the site may be a moment old; a notice that it does not know yet is looked up here.
        let current = Arc::clone(&self.registry);
        let site_now = current.sites.iter().find(|s| s.number == site.number).map_or(site, |s| &**s);
        let published = site_now.version(new.notice).ok_or(DecideError::UnknownNotice(new.notice))?;
        if !published.notice.languages().contains(&new.language) {
            return Err(DecideError::UnknownLanguage(new.language.clone()));
        }
        let subject = new.subject.unwrap_or_else(|| SubjectId::from_random(random::bytes()));
        let known = match new.subject {
            Some(subject) => self.subject(site, &subject)?,
            None => None,
        };
        let mut row = known.unwrap_or_else(|| SubjectRow {
            key: SubjectKey(random::bytes()),
            consent: Consent::default(),
            records: Vec::new(),
            account: None,
        });
        let mut answer = new.decision.resolve(&published.outline, &row.consent, self.clock.now())?;
        let earlier = new.behalf.as_ref().and_then(|behalf| behalf.earlier.as_ref());
        if let Some(refused) = earlier.and_then(|earlier| earlier.refused.as_deref()) {
            answer.refuse_only(refused, &published.outline)?;
        }
        let shown = new.behalf.as_ref().is_none_or(Behalf::shown);
        let mut effect = Effect::Applied;
        let opening = row.key.open(&new.decision.id);
        let consent = &mut row.consent;
        let (index, leaf) = self.append(site.number, &site.log_origin, |recorded_at| {
            let mut leaf = leaf_of(site, new, published, recorded_at, &opening, &subject);
            leaf.granted = Some(answer.granted);
            leaf.denied = Some(answer.denied);
            effect = leaf.take_effect(consent, shown);
            leaf
        })?;
        row.add(index);
        self.keep(site, new, index, &subject, &row)?;
        if let Some(account) = &row.account {
            self.tell_account(site, account, &subject, &leaf, effect)?;
        }
        self.note_early(site, index, &leaf)?;
        Ok(Recorded { repeated: false, index, recorded_at: leaf.recorded_at, effect, subject, consent: row.consent })
    }

    fn keep(
        &self,
        site: &Site,
        new: &NewDecision,
        index: u64,
        subject: &SubjectId,
        row: &SubjectRow,
    ) -> Result<(), StoreError> {
        self.keep_record(site, &new.decision.id, index, subject, row, Some(digest(&row.key, new)))?;
        if let Some(behalf) = &new.behalf {
            self.aside(key(site.number, index), None, behalf.text().as_deref(), &behalf.actor, None)?;
        }
        Ok(())
    }

    /// Writes whose a record is, and what is kept beside its subject.
    fn keep_record(
        &self,
        site: &Site,
        id: &RecordId,
        index: u64,
        subject: &SubjectId,
        row: &SubjectRow,
        content: Option<[u8; 16]>,
    ) -> Result<(), StoreError> {
        let (id, subject) = (&id.as_bytes()[..], &subject.as_bytes()[..]);
        self.db.prepare_cached("INSERT INTO record_id VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            site.number,
            id,
            i64::try_from(index).expect("below 2^40"),
            subject,
            content
        ])?;
        self.db.prepare_cached("INSERT OR REPLACE INTO subject VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
            site.number,
            subject,
            &row.key.0[..],
            packed::consent(&row.consent),
            row.records,
            row.account
        ])?;
        Ok(())
    }

    /// Notes a grant that ends noticeably earlier than its place in the log says. Few are.
    fn note_early(&self, site: &Site, index: u64, leaf: &Leaf) -> Result<(), StoreError> {
        let (Some(at), Some(granted)) = (leaf.decided_at, &leaf.granted) else { return Ok(()) };
        if !granted.is_empty() && events::is_early(at, leaf.recorded_at) {
            let index = i64::try_from(index).expect("below 2^40");
            self.db.prepare_cached("INSERT INTO early VALUES (?1, ?2, ?3)")?.execute(params![
                site.number,
                at.millis(),
                index
            ])?;
        }
        Ok(())
    }

    fn aside(
        &self,
        key: i64,
        opening: Option<&Opening>,
        evidence: Option<&str>,
        actor: &str,
        target: Option<&str>,
    ) -> Result<(), StoreError> {
        self.db.prepare_cached("INSERT INTO aside VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            key,
            opening.map(|o| &o.0[..]),
            evidence,
            actor,
            target
        ])?;
        Ok(())
    }

    fn subject(&self, site: &Site, subject: &SubjectId) -> Result<Option<SubjectRow>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT key, consent, records, account FROM subject WHERE site = ?1 AND id = ?2")?;
        let mut rows = statement.query(params![site.number, &subject.as_bytes()[..]])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let consent = packed::to_consent(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        let consent = consent.ok_or_else(|| StoreError::Corrupt {
            table: "subject",
            what: "a consent that cannot be read".to_owned(),
        })?;
        Ok(Some(SubjectRow { key: SubjectKey(row.get(0)?), consent, records: row.get(2)?, account: row.get(3)? }))
    }

    /// Changes the registry, and records it in the log of every site that it concerns.
    fn change(&mut self, change: &Change, actor: &Actor) -> Result<(), StoreError> {
        let now = self.clock.now();
        let registry = Arc::clone(&self.registry);
        let concerned = sites_of(change, &registry);
        users::may(&self.db, actor, &concerned, &registry, now)?;
        // A log that cannot be written refuses the change before anything of it is written.
        for id in &concerned {
            if let Some(site) = registry.site(id.as_str()) {
                self.log(site.number, &site.log_origin)?;
            }
        }
        let site_named = |id: &consent_core::id::SiteId| {
            registry.site(id.as_str()).ok_or_else(|| StoreError::Refused(format!("there is no site {id}")))
        };
        match change {
            Change::CreateSite { id, log_origin, settings } => {
                if registry.site(id.as_str()).is_some() {
                    return Err(StoreError::Refused(format!("there is a site {id} already")));
                }
                if registry.sites.iter().any(|site| site.log_origin == *log_origin) {
                    return Err(StoreError::Refused(format!("another site has the log origin {log_origin}")));
                }
                let log_key = self.signers.create(log_origin)?.vkey().to_string();
                self.db.execute(
                    "INSERT INTO site (name, log_origin, log_key, settings) VALUES (?1, ?2, ?3, ?4)",
                    params![id.as_str(), log_origin, log_key, settings.to_json()],
                )?;
            }
            Change::UpdateSite { site, settings } => {
                let number = site_named(site)?.number;
                self.db
                    .execute("UPDATE site SET settings = ?2 WHERE site = ?1", params![number, settings.to_json()])?;
            }
            Change::PublishNotice { site, notice, .. } => {
                let site = site_named(site)?;
                if notice.version() as usize != site.notices.len() + 1 {
                    return Err(StoreError::Conflict(format!(
                        "version {} does not follow the {} that are published",
                        notice.version(),
                        site.notices.len()
                    )));
                }
                self.db.execute(
                    "INSERT INTO notice (site, version, sha256, published_at, canonical) VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![site.number, notice.version(), notice.sha256(), now.millis(), notice.canonical()],
                )?;
            }
            Change::CreateKey(_) | Change::RevokeKey { .. } | Change::RotateKey { .. } => {
                keys::change(&self.db, change, &registry, now)?;
            }
            Change::CreateWebhook(webhook) => webhooks::create(&self.db, site_named(&webhook.site)?.number, webhook)?,
            Change::RevokeWebhook { site, id } => {
                if !webhooks::end(&self.db, site_named(site)?.number, id, now)? {
                    return Err(StoreError::Conflict(format!("there is no live webhook {id}")));
                }
            }
            Change::Redeliver { site, id, which } => {
                if webhooks::again(&self.db, site_named(site)?.number, id, which)? == 0 {
                    return Err(StoreError::Conflict(format!("webhook {id} has nothing to send again, or has ended")));
                }
            }
            Change::RotateLogKey { site, key } => self.rotate(site_named(site)?, key, now)?,
            Change::Import { site, .. } | Change::Access { site, .. } | Change::Restored { site, .. } => {
                site_named(site)?;
            }
            Change::CreateUser(_)
            | Change::UpdateUser { .. }
            | Change::RemoveUser { .. }
            | Change::Login { .. }
            | Change::Logout { .. }
            | Change::Lock { .. }
            | Change::Touch { .. } => users::change(&self.db, change, &registry, now)?,
        }
        let Some((kind, action)) = change.kind() else { return Ok(()) };
        if change.changes_registry() {
            self.bump()?;
            self.registry = Arc::new(read::registry(&self.db)?);
        }
        let after = Arc::clone(&self.registry);
        for id in concerned {
            let site = after.site(id.as_str()).expect("checked or created above");
            let target = change.target(&site.id, &registry);
            self.record_change(site, change, (kind, action), target.as_deref(), actor.name())?;
        }
        Ok(())
    }

    /// From the next head on, a log is signed by another key. The record of it, which follows in this transaction, is the first leaf
    /// that only the new key signs for.
    fn rotate(&mut self, site: &Site, key: &str, now: UnixMillis) -> Result<(), StoreError> {
        let refused = |why: String| StoreError::Refused(format!("the key {key}: {why}"));
        let new = VerifyingKey::parse(key).map_err(|error| refused(error.to_string()))?;
        let new = self.signers.signer(&new)?;
        let log = self.log(site.number, &site.log_origin)?;
        let (old, size) = (log.signer.clone(), log.tree.size());
        if new.name() != old.name() || new.vkey() == old.vkey() {
            return Err(refused("it must be another key of the same log".to_owned()));
        }
        let note = HandOver { size, old: old.vkey(), new: new.vkey() }.sign(&old, &new);
        log.signer = new;
        let size = i64::try_from(size).expect("below 2^40");
        self.db.execute(
            "INSERT INTO hand_over (site, size, at, old, note) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![site.number, size, now.millis(), old.vkey().to_string(), note],
        )?;
        self.db.execute("UPDATE site SET log_key = ?2 WHERE site = ?1", params![site.number, key])?;
        Ok(())
    }

    fn record_change(
        &mut self,
        site: &Site,
        change: &Change,
        (kind, action): (Kind, Action),
        target: Option<&str>,
        actor: &str,
    ) -> Result<(), StoreError> {
        let opening = Opening(random::bytes());
        let id = RecordId::at(self.clock.now(), &random::bytes());
        let (index, _) = self.append(site.number, &site.log_origin, |recorded_at| {
            let actor = opening.commit(actor);
            let mut leaf = Leaf::of_act(kind, action, id, site.id.clone(), recorded_at, random::bytes(), actor);
            leaf.target = target.map(|text| opening.commit(text));
            if let Change::PublishNotice { notice, material, .. } = change {
                let sha256 = consent_core::record::Hex32(notice.sha256());
                let mut material = material.clone();
                material.sort();
                material.dedup();
                leaf.notice = Some(NoticeRef { sha256, version: notice.version() });
                leaf.material = Some(material);
            }
            leaf
        })?;
        self.db.prepare_cached("INSERT INTO record_id VALUES (?1, ?2, ?3, NULL, NULL)")?.execute(params![
            site.number,
            &id.as_bytes()[..],
            i64::try_from(index).expect("below 2^40")
        ])?;
        self.aside(key(site.number, index), Some(&opening), None, actor, target)
    }

    /// Tells every process that the registry has changed.
    fn bump(&self) -> Result<(), StoreError> {
        let generation = super::generation(&self.db)?;
        self.db.pragma_update(None, "user_version", generation + 1)?;
        Ok(())
    }
}

/// What everyone in a transaction that was undone is told: to wait, unless waiting cannot help.
fn not_written(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(_) | StoreError::NotWritten(_) => StoreError::NotWritten(error.to_string()),
        error => StoreError::Refused(format!("not written: {error}")),
    }
}

/// What the table `record_id` says of an id: its index, and its subject and the digest of its request, unless erased.
type Earlier = (i64, Option<[u8; 16]>, Option<Vec<u8>>);

/// A row of the table `subject`.
struct SubjectRow {
    key: SubjectKey,
    consent: Consent,
    records: Vec<u8>,
    account: Option<AccountHash>,
}

impl SubjectRow {
    /// One record more.
    fn add(&mut self, index: u64) {
        let last = packed::indexes(&self.records).and_then(|indexes| indexes.last().copied());
        packed::push_index(&mut self.records, last, index);
    }
}

/// The leaf of a decision, without what it grants, denies and does.
fn leaf_of(
    site: &Site,
    new: &NewDecision,
    published: &Published,
    recorded_at: UnixMillis,
    opening: &Opening,
    subject: &SubjectId,
) -> Leaf {
    let decision = &new.decision;
    let behalf = new.behalf.as_ref();
    Leaf {
        action: None,
        actor: behalf.map(|b| opening.commit(&b.actor)),
        clock: clock_of(decision.decided_at, recorded_at, published.published_at),
        control: new.control,
        decided_at: Some(decision.decided_at),
        denied: Some(Vec::new()),
        effect: Some(Effect::Applied),
        erased: None,
        evidence: behalf.and_then(Behalf::text).map(|text| opening.commit(&text)),
        granted: Some(Vec::new()),
        id: decision.id,
        kind: Kind::Decision,
        language: Some(new.language.clone()),
        layer: Some(decision.layer),
        material: None,
        method: Some(decision.method),
        notice: Some(NoticeRef { sha256: published.sha256, version: new.notice }),
        prev: decision.prev,
        recorded_at,
        salt: None,
        signals: Some(decision.signals),
        site: site.id.clone(),
        source: behalf.map(|b| b.source),
        subject: Some(opening.subject(&site.id, subject)),
        target: None,
        v: VERSION,
        widget: new.widget,
    }
}

/// A keyed digest of what was asked, to tell the same decision sent again from another one under its id. Keyed with the subject's
/// key, so that what is left of it says nothing about a person.
fn digest(key: &SubjectKey, new: &NewDecision) -> [u8; 16] {
    let decision = &new.decision;
    let mut granted: Vec<&str> = decision.granted.iter().map(ChoiceId::as_str).collect();
    granted.sort_unstable();
    granted.dedup();
    let mut text = serde_json::json!([
        decision.prev,
        new.subject,
        new.notice,
        new.language,
        decision.layer,
        decision.method,
        new.control,
        granted,
        decision.decided_at,
        decision.signals,
        new.widget,
        new.behalf.as_ref().map(|b| (b.source, b.text())),
    ]);
    // Only where it is said, so that the digests of everything else stay what they were.
    if let (Some(earlier), Some(parts)) = (new.behalf.as_ref().and_then(|b| b.earlier.as_ref()), text.as_array_mut()) {
        parts.push(serde_json::json!([earlier.notice_text.is_some(), earlier.refused]));
    }
    let full = Opening(key.0).commit(&text.to_string()).0;
    *full.first_chunk().expect("32 bytes hold 16")
}

/// Changes when another connection has committed.
fn data_version(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("PRAGMA data_version", [], |row| row.get(0))?)
}
