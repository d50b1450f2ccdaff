//! All reading SQL.

use std::sync::Arc;

use consent_core::account::Device;
use consent_core::consent::{Act, Consent};
use consent_core::id::{RecordId, SiteId, SubjectId};
use consent_core::merkle::{Hash, consistency_proof, inclusion_proof, range_proof};
use consent_core::notice::Notice;
use consent_core::record::{Hex32, Leaf, SubjectKey};
use consent_core::rotation::Keys;
use consent_core::tile::Tile;
use consent_core::time::UnixMillis;
use rusqlite::{Connection, OptionalExtension, params};

use super::account;
use crate::keys::{ApiKey, Role};
use crate::store::tree::{Stored, index_of, key};
use crate::store::{Aside, Entry, HandedOver, Published, Registry, Site, StoreError, Stretch, packed};

fn corrupt(table: &'static str, what: impl Into<String>) -> StoreError {
    StoreError::Corrupt { table, what: what.into() }
}

fn size(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| corrupt("head", "a negative size"))
}

/// Reads sites, notices and keys.
pub(super) fn registry(db: &Connection) -> Result<Registry, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT site, name, log_origin, log_key, settings FROM site ORDER BY site")?;
    let mut rows = statement.query([])?;
    let mut sites = Vec::new();
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        let settings: String = row.get(4)?;
        sites.push(Arc::new(Site {
            number,
            id: SiteId::parse(&row.get::<_, String>(1)?).map_err(|e| corrupt("site", e.to_string()))?,
            log_origin: row.get(2)?,
            log_key: row.get(3)?,
            hand_overs: hand_overs(db, number)?,
            settings: serde_json::from_str(&settings).map_err(|e| corrupt("site", e.to_string()))?,
            notices: notices(db, number)?,
        }));
    }
    let keys = keys(db, &sites)?;
    let users = super::users::all(db, &sites)?;
    Ok(Registry { sites, keys, users })
}

/// The keys of a log, read in the transaction that needs them.
pub(super) fn keys_of(db: &Connection, site: i64) -> Result<Keys, StoreError> {
    let log_key: String =
        db.prepare_cached("SELECT log_key FROM site WHERE site = ?1")?.query_row([site], |row| row.get(0))?;
    crate::store::keys_of(&log_key, &hand_overs(db, site)?)
}

fn hand_overs(db: &Connection, site: i64) -> Result<Vec<HandedOver>, StoreError> {
    let mut statement = db.prepare_cached("SELECT at, old, note FROM hand_over WHERE site = ?1 ORDER BY size")?;
    let found = statement.query_map([site], |row| {
        Ok(HandedOver { at: UnixMillis::new(row.get(0)?), old: row.get(1)?, note: row.get(2)? })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn notices(db: &Connection, site: i64) -> Result<Vec<Arc<Published>>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT version, sha256, published_at, canonical FROM notice WHERE site = ?1 ORDER BY version",
    )?;
    let mut rows = statement.query([site])?;
    let mut notices = Vec::new();
    while let Some(row) = rows.next()? {
        let (version, sha256, canonical): (u32, [u8; 32], String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let notice = Notice::parse(canonical.as_bytes()).map_err(|e| corrupt("notice", e.to_string()))?;
        if notice.sha256() != sha256 || notice.version() != version || version as usize != notices.len() + 1 {
            return Err(corrupt("notice", format!("version {version} is not what was published")));
        }
        let outline = notice.outline();
        let published_at = UnixMillis::new(row.get(2)?);
        notices.push(Arc::new(Published { notice, sha256: Hex32(sha256), published_at, outline }));
    }
    Ok(notices)
}

fn keys(db: &Connection, sites: &[Arc<Site>]) -> Result<Vec<ApiKey>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, role, label, hash, created_at, expires_at, revoked_at, previous_hash, previous_until
         FROM api_key ORDER BY created_at, id",
    )?;
    let mut bound = db.prepare_cached("SELECT site FROM api_key_site WHERE key = ?1 ORDER BY site")?;
    let mut rows = statement.query([])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let role: String = row.get(1)?;
        let numbers = bound.query_map([&id], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        let millis = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(UnixMillis::new));
        keys.push(ApiKey {
            role: Role::parse(&role).ok_or_else(|| corrupt("api_key", format!("role {role}")))?,
            sites: sites.iter().filter(|site| numbers.contains(&site.number)).map(|site| site.id.clone()).collect(),
            label: row.get(2)?,
            hash: row.get(3)?,
            created_at: UnixMillis::new(row.get(4)?),
            expires_at: millis(5)?,
            revoked_at: millis(6)?,
            previous: row.get::<_, Option<[u8; 32]>>(7)?.zip(millis(8)?),
            id,
        });
    }
    Ok(keys)
}

pub(super) fn consent(db: &Connection, site: &Site, subject: &SubjectId) -> Result<Option<Consent>, StoreError> {
    let mut statement = db.prepare_cached("SELECT consent FROM subject WHERE site = ?1 AND id = ?2")?;
    let mut rows = statement.query(params![site.number, &subject.as_bytes()[..]])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    packed::to_consent(bytes).map(Some).ok_or_else(|| corrupt("subject", "a consent that cannot be read"))
}

pub(super) fn entry(db: &Connection, site: i64, index: u64) -> Result<Entry, StoreError> {
    let leaf = db
        .prepare_cached("SELECT leaf FROM record WHERE key = ?1")?
        .query_row([key(site, index)], |row| row.get(0))
        .optional()?;
    leaf.map(|leaf| Entry { index, leaf }).ok_or_else(|| corrupt("record", format!("record {index} is missing")))
}

pub(super) fn records(db: &Connection, site: &Site, subject: &SubjectId) -> Result<Vec<Entry>, StoreError> {
    let list: Option<Vec<u8>> = db
        .prepare_cached("SELECT records FROM subject WHERE site = ?1 AND id = ?2")?
        .query_row(params![site.number, &subject.as_bytes()[..]], |row| row.get(0))
        .optional()?;
    let indexes = match list {
        Some(list) => packed::indexes(&list).ok_or_else(|| corrupt("subject", "a list that cannot be read"))?,
        None => Vec::new(),
    };
    indexes.into_iter().map(|index| entry(db, site.number, index)).collect()
}

pub(super) fn record(
    db: &Connection,
    site: &Site,
    subject: &SubjectId,
    id: &RecordId,
) -> Result<Option<(Entry, [u8; 32])>, StoreError> {
    let found: Option<(i64, [u8; 32])> = db
        .prepare_cached(
            "SELECT r.\"index\", s.key FROM record_id r JOIN subject s ON s.site = r.site AND s.id = r.subject
             WHERE r.site = ?1 AND r.id = ?2 AND r.subject = ?3",
        )?
        .query_row(params![site.number, &id.as_bytes()[..], &subject.as_bytes()[..]], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((index, key)) = found else { return Ok(None) };
    Ok(Some((entry(db, site.number, size(index)?)?, SubjectKey(key).open(id).0)))
}

pub(super) fn find(db: &Connection, site: &Site, id: &RecordId) -> Result<Option<Entry>, StoreError> {
    let index: Option<i64> = db
        .prepare_cached("SELECT \"index\" FROM record_id WHERE site = ?1 AND id = ?2")?
        .query_row(params![site.number, &id.as_bytes()[..]], |row| row.get(0))
        .optional()?;
    index.map(|index| entry(db, site.number, size(index)?)).transpose()
}

pub(super) fn aside(db: &Connection, site: &Site, index: u64) -> Result<Aside, StoreError> {
    let texts = db
        .prepare_cached("SELECT actor, target, evidence FROM aside WHERE key = ?1")?
        .query_row([key(site.number, index)], |row| {
            Ok(Aside { actor: row.get(0)?, target: row.get(1)?, evidence: row.get(2)? })
        })
        .optional()?;
    Ok(texts.unwrap_or_default())
}

pub(super) fn staff_acts(db: &Connection, site: &Site, before: u64, most: u32) -> Result<Vec<Entry>, StoreError> {
    // No log grows to this: the numbers of the next site begin there.
    let before = before.min((1 << 40) - 1);
    let mut statement = db.prepare_cached(
        "SELECT a.key, r.leaf FROM aside a JOIN record r ON r.key = a.key
         WHERE a.opening IS NOT NULL AND a.key >= ?1 AND a.key < ?2 ORDER BY a.key DESC LIMIT ?3",
    )?;
    let mut rows = statement.query(params![key(site.number, 0), key(site.number, before), most])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Entry { index: index_of(row.get(0)?), leaf: row.get(1)? });
    }
    Ok(found)
}

pub(super) fn checkpoint(db: &Connection, site: &Site) -> Result<Option<(u64, String)>, StoreError> {
    let found: Option<(i64, String)> = db
        // With what witnesses say of it, where they have.
        .prepare_cached(
            "SELECT size, CASE WHEN cosigned_size = size THEN cosigned ELSE checkpoint END FROM published WHERE site = ?1",
        )?
        .query_row([site.number], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found.map(|(n, note)| Ok((size(n)?, note))).transpose()
}

/// How many records each log has, by site.
pub(super) fn sizes(db: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT s.name, coalesce(h.size, 0) FROM site s LEFT JOIN head h USING (site) ORDER BY s.site",
    )?;
    let mut rows = statement.query([])?;
    let mut sizes = Vec::new();
    while let Some(row) = rows.next()? {
        sizes.push((row.get(0)?, size(row.get(1)?)?));
    }
    Ok(sizes)
}

/// When the last record of a log was recorded.
pub(super) fn last_recorded(db: &Connection, site: &Site) -> Result<Option<UnixMillis>, StoreError> {
    let at: Option<i64> = db
        .prepare_cached("SELECT recorded_at FROM head WHERE site = ?1")?
        .query_row([site.number], |row| row.get(0))
        .optional()?;
    Ok(at.map(UnixMillis::new))
}

pub(super) fn tile(db: &Connection, site: &Site, tile: &Tile) -> Result<Option<Vec<Hash>>, StoreError> {
    let Some((size, _)) = checkpoint(db, site)? else { return Ok(None) };
    Stored::new(db, site.number, size).tile(tile)
}

pub(super) fn inclusion(db: &Connection, site: &Site, index: u64, size: u64) -> Result<Vec<Hash>, StoreError> {
    inclusion_proof(&mut Stored::new(db, site.number, size), index, size)
}

pub(super) fn consistency(db: &Connection, site: &Site, from: u64, to: u64) -> Result<Option<Vec<Hash>>, StoreError> {
    let Some((size, _)) = checkpoint(db, site)?.filter(|(size, _)| from <= to && to <= *size) else { return Ok(None) };
    consistency_proof(&mut Stored::new(db, site.number, size), from, to).map(Some)
}

/// The newest published checkpoint that enough witnesses have cosigned.
pub(super) fn cosigned(db: &Connection, site: &Site) -> Result<Option<(u64, String)>, StoreError> {
    let found: Option<(Option<i64>, Option<String>)> = db
        .prepare_cached("SELECT cosigned_size, cosigned FROM published WHERE site = ?1")?
        .query_row([site.number], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((Some(n), Some(note))) = found else { return Ok(None) };
    Ok(Some((size(n)?, note)))
}

pub(super) fn stretch(
    db: &Connection,
    site: &Site,
    from: Option<UnixMillis>,
    to: Option<UnixMillis>,
) -> Result<Stretch, StoreError> {
    let (size, checkpoint) = checkpoint(db, site)?.ok_or_else(|| corrupt("published", "no checkpoint"))?;
    // Recorded times never run backwards, so the first record at or after a time is found by halving.
    let first_at = |at: UnixMillis| -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, size);
        while low < high {
            let middle = low + (high - low) / 2;
            let leaf = entry(db, site.number, middle)?.leaf;
            let leaf = Leaf::parse(&leaf).map_err(|e| corrupt("record", format!("record {middle}: {e}")))?;
            if leaf.recorded_at < at { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    };
    let begin = from.map(&first_at).transpose()?.unwrap_or(0);
    let end = to.map(&first_at).transpose()?.unwrap_or(size).max(begin);
    let (begin, end) = (begin.saturating_sub(1), end.saturating_add(1).min(size));
    let proof = range_proof(&mut Stored::new(db, site.number, size), begin, end, size)?;
    Ok(Stretch { from: begin, to: end, checkpoint, size, proof })
}

pub(super) fn entries(
    db: &Connection,
    site: &Site,
    from: u64,
    to: u64,
    each: &mut dyn FnMut(Entry) -> bool,
) -> Result<(), StoreError> {
    let mut statement = db.prepare_cached("SELECT key, leaf FROM record WHERE key >= ?1 AND key < ?2 ORDER BY key")?;
    let mut rows = statement.query(params![key(site.number, from), key(site.number, to)])?;
    let mut expected = from;
    while let Some(row) = rows.next()? {
        let index = index_of(row.get(0)?);
        if index != expected {
            return Err(corrupt("record", format!("record {expected} is missing")));
        }
        expected += 1;
        if !each(Entry { index, leaf: row.get(1)? }) {
            return Ok(());
        }
    }
    if expected == to { Ok(()) } else { Err(corrupt("record", format!("record {expected} is missing"))) }
}

pub(super) fn integrity(db: &Connection) -> Result<String, StoreError> {
    let answer: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if answer == "ok" { Ok("its pages are whole".to_owned()) } else { Err(corrupt("database", answer)) }
}

fn acts(db: &Connection, site: &Site, subject: &SubjectId) -> Result<Vec<Act>, StoreError> {
    let mut acts = Vec::new();
    for entry in records(db, site, subject)? {
        let leaf = Leaf::parse(&entry.leaf).map_err(|e| corrupt("record", e.to_string()))?;
        acts.extend(leaf.act());
    }
    Ok(acts)
}

/// What a subject's records say to the account that it is linked to.
pub(super) fn device(db: &Connection, site: &Site, subject: &SubjectId) -> Result<Device, StoreError> {
    Ok(Device::fold(&acts(db, site, subject)?))
}

pub(super) fn compare_folds(db: &Connection, site: &Site) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached("SELECT id, consent, account FROM subject WHERE site = ?1")?;
    let mut rows = statement.query([site.number])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let subject = SubjectId::from_bytes(row.get(0)?).ok_or_else(|| corrupt("subject", "not an id"))?;
        let kept = packed::to_consent(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        let acts = acts(db, site, &subject)?;
        if kept != Some(Consent::fold(&acts)) {
            return Err(corrupt("subject", "one subject does not hold what its records say"));
        }
        if let Some(account) = row.get(2)? {
            let said = Device::fold(&acts);
            let kept = account::device(db, site, &account, &subject)?;
            // It may say less: erasing another device silences all that were linked then (0002_account.sql).
            let forgot = kept.forgotten_at.is_none() || kept.forgotten_at == said.forgotten_at;
            if !forgot || !kept.answers.iter().all(|answer| said.answers.contains(answer)) {
                return Err(corrupt("account_device", "one device says to its account what its records do not"));
            }
        }
        count += 1;
    }
    Ok(count)
}
