//! The Merkle tree of one log: growing in memory at its edge, read from stored tiles for proofs.

use std::collections::HashMap;

use consent_core::merkle::{Edge, Hash, Nodes, leaf_hash, range_proof};
use consent_core::tile::{self, Place, TILE_WIDTH, Tile};
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;

/// The bits of a record's key below its site.
const INDEX_BITS: u32 = 40;

/// The key of a record: its site, then its index.
pub(super) fn key(site: i64, index: u64) -> i64 {
    debug_assert!(index < 1 << INDEX_BITS, "a log holds fewer than 2^40 records");
    (site << INDEX_BITS) | i64::try_from(index).expect("below 2^40")
}

/// The index in a record's key.
pub(super) fn index_of(key: i64) -> u64 {
    u64::try_from(key & ((1 << INDEX_BITS) - 1)).expect("masked to 40 bits")
}

/// The hash over a full tile: the node eight levels above its hashes.
fn root_of(full: &[Hash]) -> Hash {
    let mut edge = Edge::default();
    for hash in full {
        edge.push(*hash);
    }
    edge.root()
}

/// The growing tree: its edge, and the hashes of each level's last, unfinished tile.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    edge: Edge,
    unfinished: Vec<Vec<Hash>>,
}

/// A tile that has just become full.
pub(super) struct Finished {
    pub(super) level: u8,
    pub(super) n: u64,
    pub(super) root: Hash,
    pub(super) hashes: Vec<u8>,
}

impl Tree {
    /// Appends a leaf; `finished` takes the tiles that this fills.
    pub(super) fn push(&mut self, leaf: Hash, finished: &mut Vec<Finished>) {
        self.edge.push(leaf);
        let mut hash = leaf;
        let mut n = self.edge.size() - 1;
        for level in 0u8.. {
            if self.unfinished.len() <= usize::from(level) {
                self.unfinished.push(Vec::with_capacity(usize::from(TILE_WIDTH)));
            }
            let hashes = &mut self.unfinished[usize::from(level)];
            hashes.push(hash);
            if hashes.len() < usize::from(TILE_WIDTH) {
                return;
            }
            n /= u64::from(TILE_WIDTH);
            hash = root_of(hashes);
            finished.push(Finished { level, n, root: hash, hashes: tile::to_bytes(hashes) });
            hashes.clear();
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.edge.size()
    }

    pub(super) fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Reads the edge of a stored tree.
    pub(super) fn load(connection: &Connection, site: i64, size: u64) -> Result<Self, StoreError> {
        let mut stored = Stored::new(connection, site, size);
        // What lies left of an empty stretch at the end is the edge.
        let parts = range_proof(&mut stored, size, size, size)?.left;
        let edge = Edge::from_parts(size, parts)
            .ok_or_else(|| StoreError::Corrupt { table: "tile", what: format!("no edge for size {size}") })?;
        let mut unfinished = Vec::new();
        let mut width = size;
        for level in 0u8.. {
            if width == 0 {
                break;
            }
            let partial = u16::try_from(width % u64::from(TILE_WIDTH)).expect("below 256");
            unfinished.push(if partial == 0 {
                Vec::new()
            } else {
                stored.hashes(level, width / u64::from(TILE_WIDTH), partial)?
            });
            width /= u64::from(TILE_WIDTH);
        }
        Ok(Self { edge, unfinished })
    }
}

/// A stored tree of a certain size. Keeps the tiles it has read, so use one for one question.
pub(super) struct Stored<'a> {
    connection: &'a Connection,
    site: i64,
    size: u64,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl<'a> Stored<'a> {
    pub(super) fn new(connection: &'a Connection, site: i64, size: u64) -> Self {
        Self { connection, site, size, tiles: HashMap::new() }
    }

    /// The first `width` hashes of a tile, from the table if it is full by now, else from what is below it.
    pub(super) fn hashes(&mut self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, StoreError> {
        let corrupt =
            |what: &str| StoreError::Corrupt { table: "tile", what: format!("level {level}, tile {n}: {what}") };
        let number = i64::try_from(n).map_err(|_| corrupt("no such tile"))?;
        let full: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT hashes FROM tile WHERE site = ?1 AND level = ?2 AND n = ?3")?
            .query_row(params![self.site, level, number], |row| row.get(0))
            .optional()?;
        let hashes = match full {
            Some(bytes) => {
                let mut hashes = tile::from_bytes(&bytes).ok_or_else(|| corrupt("not whole hashes"))?;
                hashes.truncate(usize::from(width));
                hashes
            }
            None => self.compute(level, n, width)?,
        };
        if hashes.len() == usize::from(width) { Ok(hashes) } else { Err(corrupt("hashes are missing")) }
    }

    fn compute(&self, level: u8, n: u64, width: u16) -> Result<Vec<Hash>, StoreError> {
        let first = n * u64::from(TILE_WIDTH);
        let end = first + u64::from(width);
        let mut hashes = Vec::with_capacity(usize::from(width));
        if level == 0 {
            let mut statement =
                self.connection.prepare_cached("SELECT leaf FROM record WHERE key >= ?1 AND key < ?2 ORDER BY key")?;
            let mut rows = statement.query(params![key(self.site, first), key(self.site, end)])?;
            while let Some(row) = rows.next()? {
                hashes.push(leaf_hash(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?));
            }
        } else {
            let mut statement = self.connection.prepare_cached(
                "SELECT root FROM tile WHERE site = ?1 AND level = ?2 AND n >= ?3 AND n < ?4 ORDER BY n",
            )?;
            let range = (i64::try_from(first).unwrap_or(i64::MAX), i64::try_from(end).unwrap_or(i64::MAX));
            let mut rows = statement.query(params![self.site, level - 1, range.0, range.1])?;
            while let Some(row) = rows.next()? {
                hashes.push(Hash(row.get(0)?));
            }
        }
        Ok(hashes)
    }

    /// A tile of this tree, if it has it.
    pub(super) fn tile(&mut self, tile: &Tile) -> Result<Option<Vec<Hash>>, StoreError> {
        if tile.is_in_tree(self.size) { self.hashes(tile.level, tile.index, tile.width).map(Some) } else { Ok(None) }
    }
}

impl Nodes for Stored<'_> {
    type Error = StoreError;

    fn node(&mut self, level: u8, index: u64) -> Result<Hash, StoreError> {
        let corrupt = || StoreError::Corrupt { table: "tile", what: format!("no node {index} at level {level}") };
        let place = Place::of(level, index, self.size).ok_or_else(corrupt)?;
        let at = (place.tile.level, place.tile.index);
        if !self.tiles.contains_key(&at) {
            let hashes = self.hashes(at.0, at.1, place.tile.width)?;
            self.tiles.insert(at, hashes);
        }
        tile::node_in(&self.tiles[&at], place.sub_level, place.index_in_tile).ok_or_else(corrupt)
    }
}
