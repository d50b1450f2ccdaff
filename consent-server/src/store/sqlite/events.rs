//! The event feed: reading it.

use consent_core::consent::{Consent, Effect};
use consent_core::id::SubjectId;
use consent_core::outline::Outline;
use consent_core::record::{Kind, Leaf};
use consent_core::time::{DAY, UnixMillis};
use rusqlite::{Connection, OptionalExtension, params};

use super::read::{consent, entry};
use crate::store::events::{Cursor, Event, EventId, EventType, Page};
use crate::store::tree::{index_of, key};
use crate::store::{Published, Site, StoreError, packed};

/// A grant that was claimed for so long before it was recorded has a row in `early`, in milliseconds. Others are taken to be as old as
/// their place in the log says, so their end may be told this much late.
pub(super) const EARLY_AFTER: i64 = 30_000;

/// The most rows that one page looks at, so that a page's time is bounded wherever it begins.
const MOST_ROWS: u32 = 20_000;

/// Whether a grant given at `at` and recorded at `recorded_at` ends noticeably before its place in the log says.
pub(super) fn is_early(at: UnixMillis, recorded_at: UnixMillis) -> bool {
    recorded_at.millis() - at.millis() > EARLY_AFTER
}

fn corrupt(index: u64, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { table: "record", what: format!("record {index}: {why}") }
}

/// The place behind everything there is.
pub(super) fn end(db: &Connection, site: &Site, now: UnixMillis) -> Result<Cursor, StoreError> {
    Ok(Cursor { log: size(db, site.number)?, walk: None, due: (behind(site, now), 0) })
}

/// Up to where grants are looked at for being too old: those given before are.
fn behind(site: &Site, now: UnixMillis) -> UnixMillis {
    match site.notice() {
        Some(published) => UnixMillis::new(now.millis() - renewal(published) + 1),
        None => UnixMillis::MIN,
    }
}

/// How long an answer holds, in milliseconds.
fn renewal(published: &Published) -> i64 {
    i64::from(published.outline.renew_after_days) * DAY
}

fn size(db: &Connection, site: i64) -> Result<u64, StoreError> {
    let size: Option<i64> =
        db.prepare_cached("SELECT size FROM head WHERE site = ?1")?.query_row([site], |row| row.get(0)).optional()?;
    u64::try_from(size.unwrap_or(0))
        .map_err(|_| StoreError::Corrupt { table: "head", what: "a negative size".to_owned() })
}

/// Reads on from a place; nothing if the log does not reach to it.
pub(super) fn page(
    db: &Connection,
    site: &Site,
    after: &Cursor,
    limit: usize,
    now: UnixMillis,
) -> Result<Option<Page>, StoreError> {
    // One snapshot: what ended is told only of what is the last word in it.
    let snapshot = db.unchecked_transaction()?;
    let size = size(&snapshot, site.number)?;
    if after.log > size || (after.log == size && after.walk.is_some()) {
        return Ok(None);
    }
    let mut walk = Walk { db: &snapshot, site, at: *after, events: Vec::new(), limit, rows: 0 };
    let more = walk.log(size)?.is_none() || walk.due(now)?.is_none();
    Ok(Some(Page { events: walk.events, next: walk.at, more }))
}

/// What stops a walk before its end: the page is full.
type Unless<T> = Result<Option<T>, StoreError>;

struct Walk<'a> {
    db: &'a Connection,
    site: &'a Site,
    /// Everything before this was looked at.
    at: Cursor,
    events: Vec<Event>,
    limit: usize,
    rows: u32,
}

impl Walk<'_> {
    /// Counts a row; `false` if no more may be looked at.
    fn row(&mut self) -> bool {
        self.rows += 1;
        self.rows <= MOST_ROWS
    }

    /// Takes what was found up to `to`; `false` if the page has no room for it, and then the walk stays before it.
    fn take(&mut self, event: Option<Event>, to: Cursor) -> bool {
        if let Some(event) = event {
            if self.events.len() == self.limit {
                return false;
            }
            self.events.push(event);
        }
        self.at = to;
        true
    }

    /// The records up to `size`.
    fn log(&mut self, size: u64) -> Unless<()> {
        let db = self.db;
        let mut statement =
            db.prepare_cached("SELECT key, leaf FROM record WHERE key >= ?1 AND key < ?2 ORDER BY key")?;
        let mut rows = statement.query(params![key(self.site.number, self.at.log), key(self.site.number, size)])?;
        while let Some(row) = rows.next()? {
            if !self.row() {
                return Ok(None);
            }
            let index = index_of(row.get(0)?);
            let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let leaf = Leaf::parse(bytes).map_err(|error| corrupt(index, error))?;
            if leaf.notice.is_some_and(|notice| self.site.version(notice.version).is_none()) {
                // Another process has published a notice that this one hears of in a moment: go on from here then.
                return Ok(Some(()));
            }
            let behind = Cursor { log: index + 1, walk: None, ..self.at };
            let taken = match leaf.kind {
                Kind::Decision | Kind::Erasure => {
                    let subject = subject_of(db, self.site, &leaf)?;
                    let event = subject.and_then(|subject| Event::of_record(&leaf, subject, self.site, behind));
                    self.take(event, behind)
                }
                Kind::Notice => self.outdated(&leaf)?.is_some() && self.take(None, behind),
                _ => self.take(None, behind),
            };
            if !taken {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// The subjects whose grants a notice version has ended.
    fn outdated(&mut self, leaf: &Leaf) -> Unless<()> {
        let Some(version) = leaf.notice.map(|notice| notice.version) else { return Ok(Some(())) };
        let Some((before, after)) = versions(self.site, version) else { return Ok(Some(())) };
        let may_end =
            before.optional().any(|was| after.category(was.id.as_str()).is_none_or(|is| is.since > was.since));
        if !may_end {
            return Ok(Some(()));
        }
        let from = self.at.walk.map_or([0; 16], |subject| *subject.as_bytes());
        let db = self.db;
        let mut statement =
            db.prepare_cached("SELECT id, consent, records FROM subject WHERE site = ?1 AND id > ?2 ORDER BY id")?;
        let mut rows = statement.query(params![self.site.number, &from[..]])?;
        while let Some(row) = rows.next()? {
            if !self.row() {
                return Ok(None);
            }
            let subject = SubjectId::from_bytes(row.get(0)?).ok_or_else(|| bad_subject("not an id"))?;
            let cursor = Cursor { walk: Some(subject), ..self.at };
            let blob = |column| row.get_ref(column).and_then(|value| Ok(value.as_blob()?));
            let event = outdated_of(leaf, (before, after), subject, blob(1)?, blob(2)?, cursor)?;
            if !self.take(event, cursor) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// The grants that have become too old. Comes last, when all records are told: so it never ends a grant that comes after it.
    fn due(&mut self, now: UnixMillis) -> Unless<()> {
        let Some(published) = self.site.notice() else { return Ok(Some(())) };
        let end = (behind(self.site, now), 0);
        // Answers hold longer since the last notice: some that had ended hold again, and will end again.
        self.at.due = self.at.due.min(end);
        let until = end.0;
        let mut early = self.early(until)?.into_iter().peekable();
        let first = self.first_recorded_at(self.at.due)?;
        let db = self.db;
        let mut statement =
            db.prepare_cached("SELECT key, leaf FROM record WHERE key >= ?1 AND key < ?2 ORDER BY key")?;
        let mut rows = statement.query(params![key(self.site.number, first), key(self.site.number, self.at.log)])?;
        let mut in_order = move || -> Result<Option<(UnixMillis, u64, Leaf)>, StoreError> {
            let Some(row) = rows.next()? else { return Ok(None) };
            let index = index_of(row.get(0)?);
            let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            let leaf = Leaf::parse(bytes).map_err(|error| corrupt(index, error))?;
            Ok(Some((leaf.recorded_at, index, leaf)).filter(|(at, ..)| *at < until))
        };
        let mut next = in_order()?;
        loop {
            let early_first = match (early.peek(), &next) {
                (Some((at, index)), Some((recorded_at, other, _))) => (*at, *index) < (*recorded_at, *other),
                (early, _) => early.is_some(),
            };
            let (at, index, leaf) = if early_first {
                let Some((at, index)) = early.next() else { break };
                let leaf = entry(db, self.site.number, index)?.leaf;
                (at, index, Leaf::parse(&leaf).map_err(|error| corrupt(index, error))?)
            } else {
                let Some(found) = next else { break };
                next = in_order()?;
                found
            };
            if !self.row() {
                return Ok(None);
            }
            let cursor = Cursor { due: (at, index + 1), ..self.at };
            let is_its_turn = early_first || !leaf.act().is_some_and(|act| is_early(act.decided_at, act.recorded_at));
            let event = if is_its_turn { self.expired(&leaf, published, cursor)? } else { None };
            if !self.take(event, cursor) {
                return Ok(None);
            }
        }
        if self.rows >= MOST_ROWS {
            return Ok(None);
        }
        self.at.due = end;
        Ok(Some(()))
    }

    /// What a record granted, if that is still the last word and has become too old.
    fn expired(&self, leaf: &Leaf, published: &Published, cursor: Cursor) -> Result<Option<Event>, StoreError> {
        let applied = leaf.effect == Some(Effect::Applied);
        let Some(act) = leaf.act().filter(|act| applied && !act.granted.is_empty()) else { return Ok(None) };
        let Some(subject) = subject_of(self.db, self.site, leaf)? else { return Ok(None) };
        let consent: Consent = consent(self.db, self.site, &subject)?.unwrap_or_default();
        let outline = &published.outline;
        let given = act.decided_at.min(act.recorded_at).millis();
        let due = given + renewal(published);
        let view = |at: i64| consent.view(outline, UnixMillis::new(at), false);
        let denied = view(due - 1).ended(&view(due));
        // What was too old when it came has granted nothing that could end.
        if denied.is_empty() || due <= act.recorded_at.millis() {
            return Ok(None);
        }
        let days = outline.renew_after_days;
        Ok(Some(Event {
            cursor,
            id: EventId::Expired(leaf.id, days).to_string(),
            kind: EventType::Expired,
            subject,
            at: UnixMillis::new(due).max(published.published_at),
            granted: Vec::new(),
            denied,
            notice: Some(outline.version),
        }))
    }

    /// Grants of `early` from this place on, given before `until`.
    fn early(&self, until: UnixMillis) -> Result<Vec<(UnixMillis, u64)>, StoreError> {
        let (at, index) = self.at.due;
        let mut statement = self.db.prepare_cached(
            "SELECT at, \"index\" FROM early WHERE site = ?1 AND (at, \"index\") >= (?2, ?3) AND at < ?4
             ORDER BY at, \"index\" LIMIT ?5",
        )?;
        let index = i64::try_from(index).expect("at most 2^40");
        let rows = statement
            .query_map(params![self.site.number, at.millis(), index, until.millis(), MOST_ROWS], |row| {
                Ok((UnixMillis::new(row.get(0)?), u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default()))
            })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The first record from this place on. Recorded times never run backwards, so it is found by halving.
    fn first_recorded_at(&self, place: (UnixMillis, u64)) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, self.at.log);
        while low < high {
            let middle = low + (high - low) / 2;
            let leaf = entry(self.db, self.site.number, middle)?.leaf;
            let leaf = Leaf::parse(&leaf).map_err(|error| corrupt(middle, error))?;
            if (leaf.recorded_at, middle) < place { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

/// A notice version and the one before it, as far as the rules read them.
fn versions(site: &Site, version: u32) -> Option<(&Outline, &Outline)> {
    Some((&site.version(version.checked_sub(1)?)?.outline, &site.version(version)?.outline))
}

fn bad_subject(what: &str) -> StoreError {
    StoreError::Corrupt { table: "subject", what: what.to_owned() }
}

/// What a notice in force since `leaf` has ended for one subject.
fn outdated_of(
    leaf: &Leaf,
    (before, after): (&Outline, &Outline),
    subject: SubjectId,
    consent: &[u8],
    records: &[u8],
    cursor: Cursor,
) -> Result<Option<Event>, StoreError> {
    let consent = packed::to_consent(consent).ok_or_else(|| bad_subject("a consent that cannot be read"))?;
    let at = leaf.recorded_at;
    let denied = consent.view(before, at, false).ended(&consent.view(after, at, false));
    if denied.is_empty() {
        return Ok(None);
    }
    let first = packed::indexes(records).and_then(|indexes| indexes.first().copied());
    let first = first.ok_or_else(|| bad_subject("a list that cannot be read"))?;
    let id = EventId::Outdated(leaf.id, first).to_string();
    let (kind, granted, notice) = (EventType::Outdated, Vec::new(), Some(after.version));
    Ok(Some(Event { cursor, id, kind, subject, at, granted, denied, notice }))
}

/// The event of this id as it is now, if it still says something that holds. Its cursor is none of the feed.
pub(super) fn event(db: &Connection, site: &Site, id: &str) -> Result<Option<Event>, StoreError> {
    let Some(id) = EventId::parse(id) else { return Ok(None) };
    let db = &db.unchecked_transaction()?;
    let (EventId::Record(record) | EventId::Expired(record, _) | EventId::Outdated(record, _)) = id;
    let index: Option<i64> = db
        .prepare_cached("SELECT \"index\" FROM record_id WHERE site = ?1 AND id = ?2")?
        .query_row(params![site.number, &record.as_bytes()[..]], |row| row.get(0))
        .optional()?;
    let Some(index) = index else { return Ok(None) };
    let read = |index: u64| -> Result<Leaf, StoreError> {
        Leaf::parse(&entry(db, site.number, index)?.leaf).map_err(|error| corrupt(index, error))
    };
    let leaf = read(u64::try_from(index).map_err(|_| corrupt(0, "a negative index"))?)?;
    match id {
        EventId::Record(_) => {
            let subject = subject_of(db, site, &leaf)?;
            Ok(subject.and_then(|subject| Event::of_record(&leaf, subject, site, Cursor::START)))
        }
        EventId::Expired(_, days) => {
            let Some(published) = site.notice().filter(|p| p.outline.renew_after_days == days) else { return Ok(None) };
            let walk = Walk { db, site, at: Cursor::START, events: Vec::new(), limit: 0, rows: 0 };
            walk.expired(&leaf, published, Cursor::START)
        }
        EventId::Outdated(_, first) => {
            let Some(versions) = leaf.notice.and_then(|notice| versions(site, notice.version)) else { return Ok(None) };
            let Some(subject) = subject_of(db, site, &read(first)?)? else { return Ok(None) };
            let mut statement =
                db.prepare_cached("SELECT consent, records FROM subject WHERE site = ?1 AND id = ?2")?;
            let mut rows = statement.query(params![site.number, &subject.as_bytes()[..]])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let blob = |column| row.get_ref(column).and_then(|value| Ok(value.as_blob()?));
            outdated_of(&leaf, versions, subject, blob(0)?, blob(1)?, Cursor::START)
        }
    }
}

/// Whose a record is, unless they were erased.
fn subject_of(db: &Connection, site: &Site, leaf: &Leaf) -> Result<Option<SubjectId>, StoreError> {
    let found: Option<Option<[u8; 16]>> = db
        .prepare_cached("SELECT subject FROM record_id WHERE site = ?1 AND id = ?2")?
        .query_row(params![site.number, &leaf.id.as_bytes()[..]], |row| row.get(0))
        .optional()?;
    let Some(bytes) = found.flatten() else { return Ok(None) };
    let subject = SubjectId::from_bytes(bytes);
    subject.map(Some).ok_or_else(|| StoreError::Corrupt { table: "record_id", what: "not a subject".to_owned() })
}
