//! What downstream systems are told: events, and places in their feed.
//!
//! The feed is a view over the log and over what holds: nothing of it is stored, so nothing is written when a decision is recorded
//! and erasing a subject takes their events out of it. It has three sources:
//!
//! - a record that changed what holds gives an event at its place in the log;
//! - a notice version that ended grants gives one for each subject whose grants it ended, at the place of its own record;
//! - a grant that has become too old gives one when it does. Grants end in the order in which they were given, so this is a second
//!   pass over the log, as far behind as answers hold (`due`).
//!
//! A [`Cursor`] is a place in all three.

use std::fmt;

use consent_core::consent::Effect;
use consent_core::decision::Method;
use consent_core::id::{ChoiceId, RecordId, SubjectId};
use consent_core::record::{Kind, Leaf};
use consent_core::time::UnixMillis;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::Site;

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventType {
    /// Something was granted and held. The same act may have refused something else.
    Grant,
    /// Something was refused or revoked, and nothing was granted.
    Revoke,
    /// "Forget my settings": nothing is granted for this subject any more, for good.
    Forget,
    /// The person was erased: delete what you hold about them.
    Erase,
    /// A grant became too old.
    Expired,
    /// A grant ended since a new notice version changed what it was given for.
    Outdated,
}

impl EventType {
    /// All types.
    pub const ALL: [Self; 6] = [Self::Grant, Self::Revoke, Self::Forget, Self::Erase, Self::Expired, Self::Outdated];

    /// The type as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Forget => "forget",
            Self::Erase => "erase",
            Self::Expired => "expired",
            Self::Outdated => "outdated",
        }
    }

    /// The type of this text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One change of what holds for a subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Event {
    /// The place behind it: what comes `after` this is what follows.
    #[schema(value_type = String)]
    pub cursor: Cursor,
    /// Names the event, the same however often it is read: the id of its record, with an addition for `expired` and `outdated`.
    pub id: String,
    /// What it says.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Whom it is about.
    #[schema(value_type = String, format = "uuid")]
    pub subject: SubjectId,
    /// When it was recorded or fell due.
    #[schema(value_type = String, format = "date-time")]
    pub at: UnixMillis,
    /// The optional categories and services that this granted.
    #[schema(value_type = Vec<String>)]
    pub granted: Vec<ChoiceId>,
    /// Those that this refused, revoked or ended.
    #[schema(value_type = Vec<String>)]
    pub denied: Vec<ChoiceId>,
    /// The notice version that was answered; for `outdated` the one that ended it, for `expired` the one in force. Nothing for `erase`.
    pub notice: Option<u32>,
}

impl Event {
    /// What a record of `subject` says, if it says anything that somebody downstream has to know: a grant that did not count, or
    /// only for one page view, does not.
    pub(super) fn of_record(leaf: &Leaf, subject: SubjectId, site: &Site, cursor: Cursor) -> Option<Self> {
        let event = |kind, granted, denied| {
            let notice = leaf.notice.map(|notice| notice.version);
            Self {
                cursor,
                id: EventId::Record(leaf.id).to_string(),
                kind,
                subject,
                at: leaf.recorded_at,
                granted,
                denied,
                notice,
            }
        };
        if leaf.kind == Kind::Erasure {
            // Its row in `record_id` names the subject for as long as downstream has to be told; every other row of theirs is cut.
            return Some(event(EventType::Erase, Vec::new(), Vec::new()));
        }
        let act = leaf.act()?;
        let answered = act.notice;
        let in_force = site.notices.iter().rev().find(|p| p.published_at <= leaf.recorded_at);
        let outline = &in_force.filter(|p| p.notice.version() >= answered).or(site.version(answered))?.outline;
        let granted = act.held(leaf.effect.unwrap_or(Effect::Stale), outline);
        let kind = match act.method {
            Method::Forget => EventType::Forget,
            _ if !granted.is_empty() => EventType::Grant,
            _ if !act.denied.is_empty() => EventType::Revoke,
            _ => return None,
        };
        Some(event(kind, granted, act.denied))
    }
}

/// What an event's id says: where to find what it was made of. An id names no subject, only records, since delivery logs keep it, and
/// has no full stop, which would be ambiguous in what a webhook signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventId {
    /// What this record says.
    Record(RecordId),
    /// That what this record granted became too old when answers held for so many days. Were they to hold longer some day, it would
    /// hold again, and end again as another event.
    Expired(RecordId, u16),
    /// That the notice in this record ended grants of the subject whose first record has this index.
    Outdated(RecordId, u64),
}

impl EventId {
    /// Parses an id.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (record, rest) = text.split_at_checked(36)?;
        let record = RecordId::parse(record).ok()?;
        let id = match rest.strip_prefix('-').and_then(|rest| rest.split_once('-')) {
            None if rest.is_empty() => Self::Record(record),
            Some(("expired", days)) => Self::Expired(record, days.parse().ok()?),
            Some(("outdated", index)) => Self::Outdated(record, index.parse().ok().filter(|index| *index < 1 << 40)?),
            _ => return None,
        };
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => write!(f, "{record}"),
            Self::Expired(record, days) => write!(f, "{record}-expired-{days}"),
            Self::Outdated(record, index) => write!(f, "{record}-outdated-{index}"),
        }
    }
}

/// A place in the feed of a site. Written as opaque text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The next record to be looked at.
    pub(super) log: u64,
    /// That record is a notice, and the subjects up to this one have been told of it.
    pub(super) walk: Option<SubjectId>,
    /// Grants given before this time, and those of this time with a lower index, have been looked at for being too old.
    pub(super) due: (UnixMillis, u64),
}

impl Cursor {
    /// Before the first event.
    pub const START: Self = Self { log: 0, walk: None, due: (UnixMillis::MIN, 0) };

    const VERSION: u8 = 1;

    /// How many records lie between an earlier place and this one.
    pub fn records_since(&self, earlier: &Self) -> u64 {
        self.log.saturating_sub(earlier.log)
    }

    /// Parses a cursor's text.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (fixed, walk) = bytes.split_at_checked(25)?;
        let number = |at: usize| Some(u64::from_be_bytes(fixed.get(at..at + 8)?.try_into().ok()?));
        if fixed[0] != Self::VERSION {
            return None;
        }
        let walk = match walk {
            [] => None,
            walk => Some(SubjectId::from_bytes(walk.try_into().ok()?)?),
        };
        let at = i64::from_be_bytes(number(9)?.to_be_bytes());
        let due = UnixMillis::new(at);
        let (log, index) = (number(1)?, number(17)?);
        // Indexes lie below 2^40.
        (due.millis() == at && log < 1 << 40 && index <= 1 << 40).then_some(Self { log, walk, due: (due, index) })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![Self::VERSION];
        bytes.extend_from_slice(&self.log.to_be_bytes());
        bytes.extend_from_slice(&self.due.0.millis().to_be_bytes());
        bytes.extend_from_slice(&self.due.1.to_be_bytes());
        bytes.extend(self.walk.iter().flat_map(SubjectId::as_bytes));
        f.write_str(&BASE64URL_NOPAD.encode(&bytes))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A stretch of the feed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Page {
    /// The events, in the order of the feed.
    pub events: Vec<Event>,
    /// Where the next page begins.
    #[schema(value_type = String)]
    pub next: Cursor,
    /// There is more to read at once. A page may have fewer events than were asked for, even none, and yet more may follow.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_nothing_else_is_one() {
        let record = RecordId::from_random([3; 16]);
        for id in [EventId::Record(record), EventId::Expired(record, 180), EventId::Outdated(record, 12)] {
            assert_eq!(EventId::parse(&id.to_string()), Some(id));
        }
        for bad in ["", "x", &format!("{record}-"), &format!("{record}-expired-0180"), &format!("{record}-other-1")] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_erasure_says_whom_to_delete() {
        use consent_core::id::SiteId;
        use consent_core::record::{Action, Hex32};

        let settings = serde_json::from_str(r#"{"origins":[]}"#).unwrap();
        let (id, log_origin, log_key) = (SiteId::parse("a").unwrap(), String::new(), String::new());
        let site = Site {
            number: 1,
            id: id.clone(),
            log_origin,
            log_key,
            settings,
            hand_overs: Vec::new(),
            notices: Vec::new(),
        };
        let (record, subject) = (RecordId::from_random([1; 16]), SubjectId::from_random([2; 16]));
        let leaf =
            |kind| Leaf::of_act(kind, Action::Erase, record, id.clone(), UnixMillis::new(5), [0; 32], Hex32([0; 32]));
        let event = Event::of_record(&leaf(Kind::Erasure), subject, &site, Cursor::START).unwrap();
        assert_eq!((event.kind, event.subject, event.at.millis()), (EventType::Erase, subject, 5));
        assert_eq!((event.id, event.granted.len() + event.denied.len()), (record.to_string(), 0));
        assert_eq!(Event::of_record(&leaf(Kind::Access), subject, &site, Cursor::START), None);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is_one() {
        let subject = SubjectId::from_random([3; 16]);
        for cursor in [
            Cursor::START,
            Cursor { log: 7, walk: None, due: (UnixMillis::new(1), 9) },
            Cursor { log: (1 << 40) - 1, walk: Some(subject), due: (UnixMillis::MAX, 1 << 40) },
        ] {
            assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        }
        let text = Cursor::START.to_string();
        for bad in ["", "now", "0", &text[1..], &format!("{text}A"), &text.replacen('A', "C", 1), &"_".repeat(34)] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
