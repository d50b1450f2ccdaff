//! The log, recomputed from the rows.

use std::collections::HashMap;
use std::path::Path;

use consent_core::checkpoint::Checkpoint;
use consent_core::id::RecordId;
use consent_core::merkle::{Edge, Hash, leaf_hash};
use consent_core::note::VerifyingKey;
use consent_core::record::Leaf;
use consent_core::time::UnixMillis;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

/// A record's key is its site, then its index in so many bits.
const INDEX_BITS: u32 = 40;

/// Hashes in a full tile.
const TILE: usize = 256;

/// What does not fit, in words.
pub type Tampered = String;

/// One log, found whole.
#[derive(Debug, Clone)]
pub struct CheckedLog {
    /// The site.
    pub site: String,
    /// How many records it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// The size of the published checkpoint.
    pub published: Option<u64>,
    /// Each record's index and time, by its id.
    pub records: HashMap<RecordId, (u64, UnixMillis)>,
}

/// Opens the rows, to read only. Works beside a running server.
///
/// # Panics
/// If there is no database in the folder.
pub fn open_rows(data: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let rows = Connection::open_with_flags(data.join("consent.db"), flags).expect("there is a database in the folder");
    rows.busy_timeout(std::time::Duration::from_secs(30)).expect("a time-out can be set");
    rows
}

/// The root over these leaf hashes.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut edge = Edge::default();
    for leaf in leaves {
        edge.push(*leaf);
    }
    edge.root()
}

/// How many records the demo's log has: to see that something recorded nothing.
///
/// # Panics
/// If there is no demo in the folder.
pub fn log_size(data: &Path) -> u64 {
    let rows = open_rows(data);
    let sql = "SELECT count(*) FROM record r JOIN site s ON r.key >> 40 = s.site WHERE s.name = 'demo'";
    let count: i64 = rows.query_row(sql, [], |row| row.get(0)).expect("the database has its tables");
    u64::try_from(count).expect("a count is not negative")
}

/// Recomputes the whole tree of every site from its leaves, and compares it with all that is kept about it: the signed head, the
/// published checkpoint, the tiles, and the table of ids.
///
/// # Errors
/// The first thing that does not fit.
///
/// # Panics
/// If the database cannot be read at all.
pub fn check_log(data: &Path) -> Result<Vec<CheckedLog>, Tampered> {
    let rows = open_rows(data);
    // One snapshot: the server may go on writing.
    rows.execute_batch("BEGIN").expect("a read transaction can be started");
    sites(&rows).into_iter().map(|(number, name, key)| check_site(&rows, number, name, &key)).collect()
}

/// The number, name and log key of each site.
fn sites(rows: &Connection) -> Vec<(i64, String, String)> {
    let mut sites = rows.prepare("SELECT site, name, log_key FROM site ORDER BY site").expect("the schema is known");
    let found = sites.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("sites can be read");
    found.collect::<Result<_, _>>().expect("sites can be read")
}

fn check_site(rows: &Connection, number: i64, site: String, key: &str) -> Result<CheckedLog, Tampered> {
    let key = VerifyingKey::parse(key).map_err(|error| format!("{site}: the log key: {error}"))?;
    let published = note(rows, "published", number)?;
    // Of a log whose key was replaced, it may be signed by the key before.
    let earlier = earlier_key(rows, number, published.as_ref().map_or(0, |(size, _)| *size))?;
    let mut published_root = None;
    let mut reader = LogReader::default();
    reader.read(rows, number, &site, &key, &mut |edge| {
        if published.as_ref().is_some_and(|(size, _)| *size == edge.size()) {
            published_root = Some(edge.root());
        }
    })?;
    if let Some(published) = &published {
        signed(&site, "published", published, earlier.as_ref().unwrap_or(&key), published_root)?;
    }
    check_ids(rows, number, &site, &reader.records)?;
    check_tiles(rows, number, &site, reader.hashes)?;
    let (size, root) = (reader.edge.size(), reader.edge.root());
    Ok(CheckedLog { site, size, root, published: published.map(|(size, _)| size), records: reader.records })
}

/// Reads a log that grows: each time only what was added, and then all of it must give the root that is signed.
#[derive(Debug, Default)]
pub struct LogReader {
    edge: Edge,
    hashes: Vec<Hash>,
    last: UnixMillis,
    records: HashMap<RecordId, (u64, UnixMillis)>,
}

impl LogReader {
    /// Reads what was added to the demo's log.
    ///
    /// # Errors
    /// The first thing that does not fit: among what was added, or between all of it and the signed head.
    ///
    /// # Panics
    /// If there is no demo in the folder.
    pub fn catch_up(&mut self, data: &Path) -> Result<(), Tampered> {
        let rows = open_rows(data);
        rows.execute_batch("BEGIN").expect("a read transaction can be started");
        let demo = sites(&rows).into_iter().find(|(_, name, _)| name == "demo");
        let (number, site, key) = demo.expect("the data is a demo's");
        let key = VerifyingKey::parse(&key).map_err(|error| format!("{site}: the log key: {error}"))?;
        self.read(&rows, number, &site, &key, &mut |_| ())
    }

    /// Each record's index and time, by its id.
    pub fn records(&self) -> &HashMap<RecordId, (u64, UnixMillis)> {
        &self.records
    }

    fn read(
        &mut self,
        rows: &Connection,
        number: i64,
        site: &str,
        key: &VerifyingKey,
        each: &mut dyn FnMut(&Edge),
    ) -> Result<(), Tampered> {
        let mut statement = rows
            .prepare("SELECT key, leaf FROM record WHERE key >= ?1 AND key < ?2 ORDER BY key")
            .expect("the schema is known");
        let next = key_of(number, self.edge.size());
        let mut leaves = statement.query([next, key_of(number + 1, 0)]).expect("leaves can be read");
        while let Some(row) = leaves.next().expect("a leaf can be read") {
            let (at, bytes): (i64, Vec<u8>) = (row.get(0).expect("a key"), row.get(1).expect("a leaf"));
            let index = self.edge.size();
            if at != key_of(number, index) {
                return Err(format!("{site}: record {index} is missing, the next key is {at}"));
            }
            let leaf = Leaf::parse(&bytes).map_err(|error| format!("{site}: record {index}: {error}"))?;
            if leaf.site.as_str() != site {
                return Err(format!("{site}: record {index} is of the site {}", leaf.site));
            }
            if leaf.recorded_at < self.last {
                return Err(format!("{site}: record {index} is older than the one before"));
            }
            self.last = leaf.recorded_at;
            if let Some((before, _)) = self.records.insert(leaf.id, (index, leaf.recorded_at)) {
                return Err(format!("{site}: records {before} and {index} have the same id"));
            }
            let hash = leaf_hash(&bytes);
            self.hashes.push(hash);
            self.edge.push(hash);
            each(&self.edge);
        }
        let head = note(rows, "head", number)?.ok_or_else(|| format!("{site}: no head"))?;
        if head.0 != self.edge.size() {
            return Err(format!("{site}: the head says {} records, there are {}", head.0, self.edge.size()));
        }
        signed(site, "head", &head, key, Some(self.edge.root()))
    }
}

/// The key of a record: its site, then its index.
fn key_of(site: i64, index: u64) -> i64 {
    (site << INDEX_BITS) | i64::try_from(index).expect("below 2^40")
}

fn note(rows: &Connection, table: &str, site: i64) -> Result<Option<(u64, String)>, Tampered> {
    let sql = format!("SELECT size, checkpoint FROM {table} WHERE site = ?1");
    let found: Option<(i64, String)> =
        rows.query_row(&sql, [site], |row| Ok((row.get(0)?, row.get(1)?))).optional().expect("the schema is known");
    found
        .map(|(size, note)| {
            u64::try_from(size).map(|size| (size, note)).map_err(|_| format!("{table}: a negative size"))
        })
        .transpose()
}

fn signed(
    site: &str,
    table: &str,
    (size, note): &(u64, String),
    key: &VerifyingKey,
    root: Option<Hash>,
) -> Result<(), Tampered> {
    let checkpoint = Checkpoint::open(note, key).map_err(|error| format!("{site}: {table}: {error}"))?;
    if checkpoint.size != *size {
        return Err(format!("{site}: {table} says {size} and signs {}", checkpoint.size));
    }
    match root {
        Some(root) if root == checkpoint.root => Ok(()),
        Some(_) => Err(format!("{site}: the records do not give the root that {table} signs")),
        None => Err(format!("{site}: {table} signs {size} records, there are fewer")),
    }
}

/// The key that signed a tree of this size, if it is not the one that signs now.
fn earlier_key(rows: &Connection, site: i64, size: u64) -> Result<Option<VerifyingKey>, Tampered> {
    let size = i64::try_from(size).expect("below 2^40");
    let sql = "SELECT old FROM hand_over WHERE site = ?1 AND size >= ?2 ORDER BY size LIMIT 1";
    let old: Option<String> =
        rows.query_row(sql, params![site, size], |row| row.get(0)).optional().expect("the schema is known");
    old.map(|old| VerifyingKey::parse(&old).map_err(|error| format!("an earlier log key: {error}"))).transpose()
}

/// Every record has its id in the table of ids, and that table has no other.
fn check_ids(
    rows: &Connection,
    number: i64,
    site: &str,
    records: &HashMap<RecordId, (u64, UnixMillis)>,
) -> Result<(), Tampered> {
    let mut statement =
        rows.prepare("SELECT id, \"index\" FROM record_id WHERE site = ?1").expect("the schema is known");
    let mut ids = statement.query([number]).expect("ids can be read");
    let mut count = 0;
    while let Some(row) = ids.next().expect("an id can be read") {
        let (id, index): ([u8; 16], i64) = (row.get(0).expect("an id"), row.get(1).expect("an index"));
        let id = RecordId::from_bytes(id).ok_or_else(|| format!("{site}: an id that is none"))?;
        let known = records.get(&id).is_some_and(|(at, _)| i64::try_from(*at) == Ok(index));
        if !known {
            return Err(format!("{site}: the id {id} is kept for record {index}, which has another"));
        }
        count += 1;
    }
    if count == records.len() { Ok(()) } else { Err(format!("{site}: {} records, {count} ids", records.len())) }
}

/// Exactly the full tiles are kept, level by level, each with the right hashes and the right root.
fn check_tiles(rows: &Connection, number: i64, site: &str, leaves: Vec<Hash>) -> Result<(), Tampered> {
    let mut level = leaves;
    for height in 0i64.. {
        let mut above = Vec::new();
        for (n, full) in level.chunks_exact(TILE).enumerate() {
            let root = root_of(full);
            above.push(root);
            let at = i64::try_from(n).expect("below 2^40");
            let sql = "SELECT root, hashes FROM tile WHERE site = ?1 AND level = ?2 AND n = ?3";
            let kept: Option<([u8; 32], Vec<u8>)> = rows
                .query_row(sql, params![number, height, at], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
                .expect("the schema is known");
            let bytes: Vec<u8> = full.iter().flat_map(|hash| hash.0).collect();
            if kept != Some((root.0, bytes)) {
                return Err(format!("{site}: tile {height}/{n} is not what the records give"));
            }
        }
        let sql = "SELECT count(*) FROM tile WHERE site = ?1 AND level = ?2";
        let count: i64 = rows.query_row(sql, params![number, height], |row| row.get(0)).expect("the schema is known");
        if usize::try_from(count) != Ok(above.len()) {
            return Err(format!("{site}: {count} tiles at level {height}, the records fill {}", above.len()));
        }
        if above.is_empty() {
            break;
        }
        level = above;
    }
    Ok(())
}
