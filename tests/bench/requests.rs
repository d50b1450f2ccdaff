//! What is sent. Every id follows from a number, so the checks can ask for any stored subject without a list of them in memory.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use consent_core::id::{RecordId, SubjectId};
use consent_core::time::UnixMillis;

/// The site that is measured.
pub(crate) const SITE: &str = "bench";
/// The origin of its pages.
pub(crate) const ORIGIN: &str = "https://bench.example";

/// One decision in so many is that of someone who has decided before.
const RETURNING: u64 = 4;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `GET /`: the same listener and runtime without anything of ours.
    Hello,
    /// `POST …/decisions` as a browser sends it: three new subjects grant, then a returning one refuses all.
    Decision,
    /// `GET …/subjects/{subject}/consent?category=`, half of them for the first one percent of the subjects.
    Check,
}

/// Makes requests. Lives on one thread.
pub(crate) struct Traffic {
    key: String,
    begin: UnixMillis,
    decisions: Cell<u64>,
    answered: Cell<u64>,
    random: Cell<u64>,
}

/// A number that looks like a random one: the finalizer of splitmix64.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn bytes(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&scatter(number).to_be_bytes());
    bytes[8..].copy_from_slice(&scatter(!number).to_be_bytes());
    bytes
}

impl Traffic {
    /// Traffic for a backend with this key.
    #[expect(
        clippy::disallowed_methods,
        reason = "a decision claims the time it was made at, and this is who makes them"
    )]
    pub(crate) fn new(key: &str) -> anyhow::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("a clock before 1970")?;
        let begin = UnixMillis::new(i64::try_from(now.as_millis()).context("a clock after all time")?);
        let zero = || Cell::new(0);
        Ok(Self { key: key.to_owned(), begin, decisions: zero(), answered: zero(), random: zero() })
    }

    /// How many decisions were answered.
    pub(crate) fn stored(&self) -> u64 {
        self.answered.get()
    }

    /// Notes that a decision was answered. They are answered about in order: the few that are under way do not matter.
    pub(crate) fn note_answer(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    fn random(&self, below: u64) -> u64 {
        self.random.set(self.random.get() + 1);
        scatter(self.random.get()) % below.max(1)
    }

    /// Whether this decision is the first of its subject.
    pub(crate) fn speaks_first(number: u64) -> bool {
        number % RETURNING != RETURNING - 1
    }

    /// A decision that was the first of its subject, among the stored ones.
    fn some_first(&self, below: u64) -> u64 {
        let number = self.random(below);
        number - u64::from(!Self::speaks_first(number))
    }

    /// Time-ordered, about as dense as they come.
    fn record(&self, number: u64) -> RecordId {
        let random = bytes(number ^ 0xa5a5_a5a5);
        let at = UnixMillis::new(self.begin.millis() + i64::try_from(number / 8).unwrap_or(0));
        RecordId::at(at, random.first_chunk().expect("16 bytes hold 10"))
    }

    /// The subject that decision `number` is the first of.
    pub(crate) fn subject(number: u64) -> SubjectId {
        SubjectId::from_random(bytes(number))
    }

    /// Writes the next request of this kind.
    pub(crate) fn next(&self, kind: Kind, request: &mut Vec<u8>) {
        request.clear();
        match kind {
            Kind::Hello => request.extend_from_slice(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            Kind::Decision => {
                let number = self.decisions.get();
                self.decisions.set(number + 1);
                self.decision(number, request);
            }
            Kind::Check => {
                let stored = self.answered.get();
                let half = if self.random(2) == 0 { stored / 100 } else { stored };
                request.extend_from_slice(self.check(Self::subject(self.some_first(half))).as_bytes());
            }
        }
    }

    /// The check of one subject.
    pub(crate) fn check(&self, subject: SubjectId) -> String {
        format!(
            "GET /v1/sites/{SITE}/subjects/{subject}/consent?category=statistics HTTP/1.1\r\nHost: 127.0.0.1\r\n\
             Authorization: Bearer {}\r\n\r\n",
            self.key
        )
    }

    fn decision(&self, number: u64, request: &mut Vec<u8>) {
        let id = self.record(number);
        let at = self.begin;
        let body = if Self::speaks_first(number) {
            let subject = Self::subject(number);
            format!(
                r#"{{"id":"{id}","subject":"{subject}","notice":1,"language":"en","layer":"settings","method":"save","control":"save","granted":["statistics"],"decided_at":"{at}","signals":{{"dnt":false,"gpc":false,"said":false}}}}"#
            )
        } else {
            let first = self.some_first(self.answered.get());
            let (prev, subject) = (self.record(first), Self::subject(first));
            format!(
                r#"{{"id":"{id}","prev":"{prev}","subject":"{subject}","notice":1,"language":"en","layer":"settings","method":"reject-all","control":"reject","granted":[],"decided_at":"{at}","signals":{{"dnt":false,"gpc":false,"said":false}}}}"#
            )
        };
        let head = format!(
            "POST /v1/sites/{SITE}/decisions HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {ORIGIN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(body.as_bytes());
    }
}
