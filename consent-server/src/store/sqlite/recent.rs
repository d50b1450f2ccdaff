//! The consents that were asked for or written last, so that most checks need no database.
//!
//! Never older than the last commit of this process: the writer puts what it has committed before it answers, and a reader that
//! looked at the database meanwhile is refused ([`Ticket`]). Only one process at a time serves a folder (`app::serve_alone`), and a
//! command beside it that changes subjects must add to `user_version`, which clears this.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use consent_core::consent::Consent;
use consent_core::id::SubjectId;

/// Shards, so that two checks seldom wait for each other.
const SHARDS: usize = 16;
/// Consents in each half of a shard: 65,536 in all, about 20 MB.
const HALF: usize = 2048;

type Key = (i64, SubjectId);

#[derive(Default)]
struct Shard {
    /// Counts what was written, so that a reader's older answer is not kept after it.
    written: u64,
    // Two generations: what is found in the old one moves to the new one, and the old one is dropped when the new one is full.
    new: HashMap<Key, Arc<Consent>>,
    old: HashMap<Key, Arc<Consent>>,
}

impl Shard {
    fn put(&mut self, key: Key, consent: Arc<Consent>) {
        if self.new.len() >= HALF {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(key, consent);
    }
}

/// What a reader saw before it looked at the database.
pub(super) struct Ticket(u64);

#[derive(Default)]
pub(super) struct Recent([Mutex<Shard>; SHARDS]);

impl Recent {
    fn shard(&self, subject: &SubjectId) -> std::sync::MutexGuard<'_, Shard> {
        // Subjects are random, and so are their last four bits.
        let at = usize::from(subject.as_bytes()[15]) % SHARDS;
        self.0[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, site: i64, subject: &SubjectId) -> Result<Arc<Consent>, Ticket> {
        let mut shard = self.shard(subject);
        if let Some(consent) = shard.new.get(&(site, *subject)) {
            return Ok(Arc::clone(consent));
        }
        if let Some(consent) = shard.old.remove(&(site, *subject)) {
            shard.put((site, *subject), Arc::clone(&consent));
            return Ok(consent);
        }
        Err(Ticket(shard.written))
    }

    pub(super) fn read(&self, site: i64, subject: &SubjectId, ticket: &Ticket, consent: Arc<Consent>) {
        let mut shard = self.shard(subject);
        if shard.written == ticket.0 {
            shard.put((site, *subject), consent);
        }
    }

    pub(super) fn written(&self, site: i64, subject: &SubjectId, consent: Arc<Consent>) {
        let mut shard = self.shard(subject);
        shard.written += 1;
        shard.old.remove(&(site, *subject));
        shard.put((site, *subject), consent);
    }

    pub(super) fn clear(&self) {
        for shard in &self.0 {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.written += 1;
            shard.new.clear();
            shard.old.clear();
        }
    }
}
