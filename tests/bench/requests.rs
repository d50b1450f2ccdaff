//! What is sent. Every id follows from a number, so the checks can ask for any stored subject without a list of them in memory.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use consent_core::decision::{Control, Layer, Method};
use consent_core::id::{RecordId, SubjectId};
use consent_core::time::UnixMillis;

/// The site that is measured.
pub(crate) const SITE: &str = "bench";
/// The origin of its pages.
pub(crate) const ORIGIN: &str = "https://bench.example";

/// Subjects in one batch of checks.
pub(crate) const BATCH: u64 = 100;

/// Of eight decisions these are made by someone who has decided before: 1.6 records for each subject.
const RETURNING: [u64; 3] = [3, 5, 7];

/// Who returns decided first at least so many decisions ago, once there are twice as many: those may still be under way.
pub(crate) const UNDER_WAY: u64 = 8192;

/// The optional categories of the notice that is used.
const ALL: &[&str] = &["statistics"];
const SOME: &[&str] = &["statistics:page-counter"];
const NONE: &[&str] = &[];

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `GET /`: the same listener and runtime without anything of ours.
    Hello,
    /// `POST …/decisions` as a browser sends it: five of eight are of new subjects, three of returning ones.
    Decision,
    /// The same from a foreign origin: refused before its body is read, which has to be read all the same.
    Refused,
    /// `GET …/subjects/{subject}/consent?category=`, half of them for the first one percent of the subjects.
    Check,
    /// `POST …/consent/check`, [`BATCH`] subjects drawn in the same way.
    Batch,
}

impl Kind {
    /// How the answer begins that such a request must have.
    pub(crate) fn answer(self) -> &'static [u8] {
        match self {
            Self::Decision => b"HTTP/1.1 201 ",
            Self::Refused => b"HTTP/1.1 403 ",
            Self::Hello | Self::Check | Self::Batch => b"HTTP/1.1 200 ",
        }
    }
}

/// One act of a person. All of it follows from its number.
pub(crate) struct Act {
    pub(crate) id: RecordId,
    pub(crate) prev: Option<RecordId>,
    pub(crate) subject: SubjectId,
    pub(crate) method: Method,
    pub(crate) layer: Layer,
    pub(crate) control: Control,
    pub(crate) granted: &'static [&'static str],
}

/// The ids and acts of a set of records that began at this time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acts {
    begin: UnixMillis,
}

impl Acts {
    /// Of a set that began then.
    pub(crate) fn new(begin: UnixMillis) -> Self {
        Self { begin }
    }

    /// Whether this decision is the first of its subject.
    pub(crate) fn speaks_first(number: u64) -> bool {
        !RETURNING.contains(&(number % 8))
    }

    /// The decision nearest to this one that was the first of its subject.
    fn first(number: u64) -> u64 {
        number - u64::from(!Self::speaks_first(number))
    }

    /// Time-ordered, about as dense as they come.
    fn record(self, number: u64) -> RecordId {
        let random = bytes(number ^ 0xa5a5_a5a5);
        let at = UnixMillis::new(self.begin.millis() + i64::try_from(number / 8).unwrap_or(0));
        RecordId::at(at, random.first_chunk().expect("16 bytes hold 10"))
    }

    /// The subject that decision `number` is the first of.
    pub(crate) fn subject(number: u64) -> SubjectId {
        SubjectId::from_random(bytes(number))
    }

    /// First choices: grants, grants in part, refusals, and layers closed. Later ones: grants, revocations, switches, and "forget".
    pub(crate) fn act(self, number: u64) -> Act {
        let id = self.record(number);
        let of_hundred = scatter(number ^ 0x5a5a_5a5a) % 100;
        let (method, layer, control, granted) = if Self::speaks_first(number) {
            match of_hundred {
                0..40 => (Method::AcceptAll, Layer::Settings, Control::Accept, ALL),
                40..55 => (Method::Save, Layer::Settings, Control::Save, ALL),
                55..60 => (Method::Save, Layer::Settings, Control::Save, SOME),
                60..85 => (Method::RejectAll, Layer::Settings, Control::Reject, NONE),
                _ => (Method::Close, Layer::First, Control::Close, NONE),
            }
        } else {
            match of_hundred {
                0..30 => (Method::Save, Layer::Settings, Control::Save, ALL),
                30..55 => (Method::Save, Layer::Settings, Control::Save, NONE),
                55..90 => (Method::RejectAll, Layer::Settings, Control::Reject, NONE),
                _ => (Method::Forget, Layer::Settings, Control::Forget, NONE),
            }
        };
        if Self::speaks_first(number) {
            return Act { id, prev: None, subject: Self::subject(number), method, layer, control, granted };
        }
        let below = number - UNDER_WAY.min(number / 2);
        let first = Self::first(scatter(number ^ 0xc3c3_c3c3) % below);
        Act { id, prev: Some(self.record(first)), subject: Self::subject(first), method, layer, control, granted }
    }
}

/// Makes requests. Lives on one thread.
pub(crate) struct Traffic {
    key: String,
    acts: Acts,
    now: UnixMillis,
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
    /// Traffic for a backend with this key, on a set with so many records.
    pub(crate) fn new(key: &str, acts: Acts, stored: u64) -> anyhow::Result<Self> {
        let (decisions, answered, random) = (Cell::new(stored), Cell::new(stored), Cell::new(0));
        Ok(Self { key: key.to_owned(), acts, now: now()?, decisions, answered, random })
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

    /// A subject, half of them among the first one percent.
    fn some_subject(&self) -> SubjectId {
        let stored = self.answered.get();
        let below = if self.random(2) == 0 { stored / 100 } else { stored };
        Acts::subject(Acts::first(self.random(below)))
    }

    /// Writes the next request of this kind.
    pub(crate) fn next(&self, kind: Kind, request: &mut Vec<u8>) {
        request.clear();
        match kind {
            Kind::Hello => request.extend_from_slice(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            Kind::Decision => {
                let number = self.decisions.get();
                self.decisions.set(number + 1);
                self.decision(number, ORIGIN, request);
            }
            Kind::Refused => self.decision(self.decisions.get(), "https://other.example", request),
            Kind::Check => request.extend_from_slice(self.check(self.some_subject()).as_bytes()),
            Kind::Batch => {
                let subjects: Vec<String> = (0..BATCH).map(|_| format!("\"{}\"", self.some_subject())).collect();
                let body = format!(r#"{{"subjects":[{}],"category":"statistics"}}"#, subjects.join(","));
                let head = format!(
                    "POST /v1/sites/{SITE}/consent/check HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n\
                     Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    self.key,
                    body.len()
                );
                request.extend_from_slice(head.as_bytes());
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

    fn decision(&self, number: u64, origin: &str, request: &mut Vec<u8>) {
        let act = self.acts.act(number);
        let prev = act.prev.map_or_else(String::new, |prev| format!(r#""prev":"{prev}","#));
        let granted: Vec<String> = act.granted.iter().map(|id| format!("\"{id}\"")).collect();
        let body = format!(
            r#"{{"id":"{}",{prev}"subject":"{}","notice":1,"language":"en","layer":"{}","method":"{}","control":"{}","granted":[{}],"decided_at":"{}","signals":{{"dnt":false,"gpc":false,"said":false}}}}"#,
            act.id,
            act.subject,
            act.layer,
            act.method,
            act.control,
            granted.join(","),
            self.now
        );
        let head = format!(
            "POST /v1/sites/{SITE}/decisions HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {origin}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(body.as_bytes());
    }
}

/// The time, which is what a decision claims to be made at.
#[expect(clippy::disallowed_methods, reason = "this is who makes the decisions")]
pub(crate) fn now() -> anyhow::Result<UnixMillis> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("a clock before 1970")?;
    Ok(UnixMillis::new(i64::try_from(now.as_millis()).context("a clock after all time")?))
}
